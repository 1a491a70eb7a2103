"""Gets what a command is about, explained: the process that gdb has, or a text file; for every command."""

from __future__ import annotations

import os
from typing import List, Optional

import gdb

from .. import options
from ..model import Explanation, Notice, Snapshot
from ..options import Parsed, UsageError


def explanations(parsed: Parsed) -> List[Explanation]:
    """Explain the file that ``--file`` names, else gdb's current process.

    :raises UsageError: no process, no such file
    """
    from ..explain import explain_all

    return explain_all(snapshots(parsed))


def snapshots(parsed: Parsed) -> List[Snapshot]:
    """The snapshots behind ``explanations``."""
    file = parsed.get(options.FILE)
    if file is not None:
        from .. import cli

        try:
            return cli.load(os.path.expanduser(file))
        except cli.Unreadable as error:
            raise UsageError(str(error)) from error
    return [of_process(state=not parsed.has(options.STACKS))]


def of_process(search: bool = True, search_everything: bool = False, state: bool = True) -> Snapshot:
    """Capture gdb's current process and read its state; selection and settings stay as they are.

    ``search``: look for coroutines in memory, beside those that the block layer knows; ``search_everything``: in all
    writable memory, not only in the heaps. ``state``: read QEMU's own structures, not only the stacks.
    """
    from ..capture import corefile, last_words, process
    from ..knowledge.arguments import WANTED_ARGUMENTS

    with process.selection_kept():
        try:
            captured = process.capture(WANTED_ARGUMENTS)
        except process.NoProcess as error:
            raise UsageError(str(error)) from error
        source = captured.snapshot.source
        cut = corefile.cut(source.file) if source.kind == "core" and source.file else None
        if cut is not None:
            unread = "; QEMU's own state is not read, for what gdb would show of it is from before it ran" \
                if cut.lacks_data else ""
            captured.snapshot.notices.insert(0, Notice("notice.truncated", f"The core is cut: {cut}{unread}."))
        if state and (cut is None or not cut.lacks_data):
            _read_state(captured, search, search_everything)
    last_words.add_messages(captured.snapshot)
    return captured.snapshot


def _read_state(captured: object, search: bool, search_everything: bool) -> None:
    """Fill the facts; what goes wrong there costs the facts, not the explanation."""
    snapshot: Snapshot = captured.snapshot  # type: ignore[attr-defined]
    try:
        from .. import state
        from . import base, parameters

        limits = state.Limits(search_bytes=parameters.search_bytes() if search else 0,
                              search_everything=search_everything)
        try:
            state.read_all(snapshot, captured, progress=base.progress, limits=limits)
        finally:
            base.progress("")
    except gdb.GdbError:
        raise
    except Exception as error:
        if os.environ.get("QEMU_GDB_DEBUG"):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        snapshot.notices.append(Notice("notice.unreadable", f"reading QEMU's state failed: {reason}"))


def threads_checked(told: List[Explanation], numbers: List[int]) -> None:
    """
    :raises UsageError: one of ``numbers`` is no thread
    """
    known = {t.thread.number for e in told for t in e.threads}
    missing: Optional[int] = next((n for n in numbers if n not in known), None)
    if missing is not None:
        raise UsageError(f"there is no thread {missing}")
