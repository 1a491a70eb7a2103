"""qemu-requests: which block requests are in flight, from whom, and what they wait for."""

from __future__ import annotations

from .. import options
from ..options import Parsed
from ..render import state
from . import facts

OPTIONS = (options.ALL, options.FORMAT)
TAKES_THREADS = False


def run(parsed: Parsed) -> None:
    facts.show(parsed, lambda explanation, form: state.requests(explanation))
