"""qemu-threads: what each thread is for and doing, a line a thread."""

from __future__ import annotations

from .. import options
from ..options import Parsed, UsageError
from ..render import output
from . import base, subject

OPTIONS = (options.FORMAT, options.FILE)
TAKES_THREADS = False


def run(parsed: Parsed) -> None:
    if parsed.words:
        raise UsageError(f"expected no more words, found {parsed.words[0]!r}; qemu-explain {parsed.words[0]} explains"
                         " one thread")
    told = subject.explanations(parsed)
    base.write(output.render(told, parsed.format, base.form(parsed), colour=base.wants_colour(), threads_only=True))
