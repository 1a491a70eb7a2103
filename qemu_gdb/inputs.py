"""Reads whatever a user names, text, recorded snapshot or core, into snapshots; and finds such files in folders."""

from __future__ import annotations

import os
from typing import Iterator, List, Sequence

from .model import Snapshot

_SKIPPED = (".git", ".hg", ".svn", "__pycache__", "node_modules")
# Never a report: what people keep beside their reports.
_FOREIGN = (".png", ".jpg", ".jpeg", ".gif", ".pdf", ".zip", ".gz", ".xz", ".zst", ".bz2", ".tar", ".so", ".o", ".a",
            ".pyc", ".qcow2", ".iso", ".html", ".htm")


def kind_of(path: str) -> str:
    """``core``, ``text`` (also a recorded snapshot), or ``foreign`` for an ELF file that is no core.

    :raises OSError: the file can't be read
    """
    with open(path, "rb") as stream:
        start = stream.read(18)
    if start[:4] != b"\x7fELF":
        return "text"
    return "core" if start[16:18] in (b"\x04\x00", b"\x00\x04") else "foreign"


def snapshots(path: str) -> List[Snapshot]:
    """The snapshots in a text, a recorded snapshot or a core; never empty.

    :raises cli.Unreadable: nothing there that can be explained; the message is one line
    """
    from . import cli

    try:
        kind = "text" if path == "-" else kind_of(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise cli.Unreadable(f"cannot read {path}: {reason}") from error
    if kind == "foreign":
        raise cli.Unreadable(f"{path} is a program or a library, not a core")
    if kind == "text":
        return cli.load(path)
    from . import driver

    try:
        return driver.core(path)
    except driver.Failed as error:
        raise cli.Unreadable(f"{path}: {error}") from error


def found(names: Sequence[str]) -> Iterator[str]:
    """The files to explain: those named, and all that lie below the folders named, sorted, each once.

    Files named are taken whatever they are; in folders, hidden files and pictures, archives and the like are passed by.
    """
    seen = set()
    for name in names:
        paths = _below(name) if os.path.isdir(name) else iter([name])
        for path in paths:
            key = os.path.abspath(path)
            if key not in seen:
                seen.add(key)
                yield path


def _below(folder: str) -> Iterator[str]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in _SKIPPED and not f.startswith("."))
        for name in sorted(files):
            path = os.path.join(root, name)
            if not name.startswith(".") and not name.lower().endswith(_FOREIGN) and os.path.isfile(path):
                yield path
