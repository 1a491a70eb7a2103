"""qemu-explain: the page about the whole process, or all about some threads."""

from __future__ import annotations

import os
from typing import List

from .. import options
from ..model import Explanation, Snapshot
from ..options import Parsed, UsageError
from ..render import output
from . import base, subject

OPTIONS = (options.ALL, options.VERBOSE, options.FORMAT, options.FILE, options.STACKS, options.SAVE, options.REPORT,
           options.NO_REDACT)  # fmt: skip
TAKES_THREADS = True


def run(parsed: Parsed) -> None:
    numbers = options.thread_numbers(parsed.words)
    snapshots = subject.snapshots(parsed)
    path = parsed.get(options.SAVE)
    if path is not None:
        _save(snapshots, os.path.expanduser(path))
    from ..explain import explain_all

    told = explain_all(snapshots)
    subject.threads_checked(told, numbers)
    _report(parsed, told)
    base.write(output.render(told, parsed.format, base.form(parsed, numbers), colour=base.wants_colour()))


def _report(parsed: Parsed, told: List[Explanation]) -> None:
    from .. import cli

    if options.REPORT.key in parsed.values:
        parsed.values[options.REPORT.key] = os.path.expanduser(parsed.values[options.REPORT.key])
    try:
        cli.report(parsed, told)
    except cli.Unreadable as error:
        raise UsageError(str(error)) from error


def _save(snapshots: List[Snapshot], path: str) -> None:
    from .. import cli

    try:
        cli.save(snapshots, path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
