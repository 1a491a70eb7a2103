"""A program under user-mode emulation that died of its own signal: QEMU ends itself the same way."""

from __future__ import annotations

from typing import Optional

from ...knowledge.aborts import DIES_BY_SIGNAL
from ...pattern import Pattern
from ..context import Context, Subject
from .cause import Cause
from .common import at, cut, evidence, oneline

# linux-user/signal.c, bsd-user/signal.c (5.2 to 10.2); die_with_signal since 9.0
_DIES = ("dump_core_and_abort", "die_with_signal", "die_from_signal")
_SAID = Pattern(r"uncaught target signal (\d+)(?: \(([^)]*)\))?")


def guest_died(context: Context, subject: Subject) -> Optional[Cause]:
    """QEMU raises at itself the signal that the emulated program did not handle."""
    stack = subject.stack
    position = stack.find(_DIES, 0, 12)
    if position is None and (wait := stack.find(("sigsuspend",), 0, 4)) is not None:
        position = stack.find(DIES_BY_SIGNAL, wait + 1, wait + 2)
    if position is None or subject.told.role not in ("user-mode", "unknown"):
        return None
    outer = position
    while outer + 1 < len(stack) and stack.names[outer + 1] in _DIES:
        outer += 1
    texts = (_SAID.search(text) for text in context.said if "uncaught target" in text)
    said = next((match for match in texts if match), None)
    signal = int(said.group(1)[:4]) if said else stack.arg_number(outer, "target_sig", "sig")
    name = said.group(2) if said and said.group(2) else ""
    which = f"signal {signal}{f' ({name})' if name else ''}" if signal is not None else "a signal"
    cause = Cause(
        subject,
        "crash.signal",
        f"The emulated program died of {which}; QEMU ends itself with it",
        "guest-signal",
        blame=outer,
        function=stack.names[outer],
    )
    cause.sentences.append(
        f"{at(stack, outer)} raises at QEMU what the emulated program did not handle: this stack is QEMU's own, and "
        "shows nothing of the emulated program's. Either that program is at fault, or an instruction or system call "
        "that QEMU emulates wrongly."
    )
    if said:
        cause.proof.append(evidence(subject, outer, cut(oneline(said.string), 120)))
    else:
        cause.proof.append(evidence(subject, outer, f"ends the process for {which}"))
    cause.steps.append("run it with -g PORT and gdb-multiarch: the fault in the emulated program; or with -strace")
    return cause
