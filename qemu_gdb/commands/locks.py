"""qemu-locks: who holds QEMU's locks, and which threads wait."""

from __future__ import annotations

from .. import options
from ..options import Parsed
from ..render import state
from . import facts

OPTIONS = (options.ALL, options.FORMAT)
TAKES_THREADS = False


def run(parsed: Parsed) -> None:
    facts.show(parsed, lambda explanation, form: state.locks(explanation))
