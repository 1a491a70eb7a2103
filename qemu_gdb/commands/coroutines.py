"""qemu-coroutines: the suspended coroutines, what each waits for, their stacks."""

from __future__ import annotations

from typing import Optional

import gdb

from .. import options
from ..options import Parsed, UsageError
from ..render import state
from . import facts

OPTIONS = (options.ALL, options.FORMAT)
TAKES_THREADS = False


def run(parsed: Parsed) -> None:
    wanted = _address(parsed)
    everything = parsed.has(options.ALL)
    explanation = facts.explained(search_everything=everything)
    if wanted is not None and not any(c.address == wanted for c in explanation.snapshot.coroutines):
        found = explanation.snapshot.coroutines
        hint = f"; {len(found)} suspended coroutines were found, qemu-coroutines lists them" if found else ""
        raise UsageError(f"no suspended coroutine is at {wanted:#x}{hint}")
    facts.write(parsed, lambda told, form: state.coroutines(told, wanted, form), explanation)


def _address(parsed: Parsed) -> Optional[int]:
    if not parsed.words:
        return None
    text = " ".join(parsed.words)
    try:
        return int(gdb.parse_and_eval(text)) & (1 << 64) - 1
    except (gdb.error, TypeError, ValueError) as error:
        raise UsageError(f"expected a coroutine's address, found {text!r} ({' '.join(str(error).split())})") from None
