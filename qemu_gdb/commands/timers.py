"""qemu-timers: which timers are armed."""

from __future__ import annotations

from .. import options
from ..options import Parsed
from ..render import state
from . import facts

OPTIONS = (options.ALL, options.FORMAT)
TAKES_THREADS = False


def run(parsed: Parsed) -> None:
    facts.show(parsed, lambda explanation, form: state.timers(explanation))
