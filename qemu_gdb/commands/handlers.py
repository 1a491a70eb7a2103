"""qemu-handlers: which descriptors the event loops watch, and which bottom halves are due."""

from __future__ import annotations

from .. import options
from ..options import Parsed
from ..render import state
from . import facts

OPTIONS = (options.ALL, options.FORMAT)
TAKES_THREADS = False


def run(parsed: Parsed) -> None:
    facts.show(parsed, lambda explanation, form: state.handlers(explanation))
