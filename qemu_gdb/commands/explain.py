"""qemu-explain: the page about the whole process, or all about some threads."""

from __future__ import annotations

import os
from typing import List

from .. import options
from ..model import Snapshot
from ..options import Parsed, UsageError
from ..render import output
from . import base, subject

OPTIONS = (options.ALL, options.VERBOSE, options.FORMAT, options.FILE, options.SAVE)
TAKES_THREADS = True


def run(parsed: Parsed) -> None:
    numbers = options.thread_numbers(parsed.words)
    snapshots = subject.snapshots(parsed)
    path = parsed.get(options.SAVE)
    if path is not None:
        _save(snapshots, os.path.expanduser(path))
    from ..explain import explain

    told = [explain(snapshot) for snapshot in snapshots]
    subject.threads_checked(told, numbers)
    base.write(output.render(told, parsed.format, base.form(parsed, numbers), colour=base.wants_colour()))


def _save(snapshots: List[Snapshot], path: str) -> None:
    from .. import cli

    try:
        cli.save(snapshots, path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
