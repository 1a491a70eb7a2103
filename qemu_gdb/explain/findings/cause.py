"""What ended a process, as the rules about crashes hand it to one another, and what they share."""

from __future__ import annotations

from dataclasses import field
from typing import List, Optional

from ...knowledge import rules, signals
from ...knowledge.helpers import THIN_LOCK, helper_for
from ...knowledge.rests import DISPATCHERS, GLIB_DISPATCHERS
from ...model import Evidence, Signal
from ...record import record
from ..context import Context, Subject
from ..recursion import Recursion
from ..stack import Stack
from . import common
from .common import at, evidence, place


@record
class Cause:
    """What ended the process, as far as one thread shows it."""

    subject: Subject
    kind: str
    headline: str  # title
    row: str
    confidence: str = "certain"
    blame: Optional[int] = None  # position of the frame that found it or failed
    sentences: List[str] = field(default_factory=list)
    proof: List[Evidence] = field(default_factory=list)
    steps: List[str] = field(default_factory=list)
    expression: Optional[str] = None  # of an assertion
    function: Optional[str] = None
    file: Optional[str] = None
    line: Optional[int] = None
    recursion: Optional[Recursion] = None


def fatal_signal(context: Context) -> Optional[Signal]:
    """The fatal signal that the process took, None without one."""
    candidates = [context.snapshot.signal] + [t.signal for t in context.snapshot.threads]
    for signal in candidates:
        if signal is not None and is_fatal(signal):
            return signal
    return None


def is_fatal(signal: Signal) -> bool:
    name = signals.named(signal)
    return name in signals.SIGNALS and name != "SIGTRAP" and not signals.only_stops(signal)


def blame_of(subject: Subject, start: int) -> Optional[int]:
    """Position of the frame that found the problem: QEMU's first one above the aborting functions.

    None where that has no name: a handler right inside GLib's dispatch, which checks nothing of QEMU's itself.
    """
    blame = common.qemu_frame(subject.stack, start)
    return None if blame is not None and subject.stack.names[blame] in GLIB_DISPATCHERS else blame


def function_at(subject: Subject, position: Optional[int]) -> str:
    if position is None:
        return ""
    return subject.stack.names[position]


def is_helper(name: str) -> bool:
    """Whether a function only serves others: a generic one of QEMU's, or a QOM cast (VIRTIO_DEVICE)."""
    return bool(helper_for(name, "cause"))


def past_helpers(stack: Stack, position: int) -> Optional[int]:
    """The first frame from ``position`` outwards that is no generic helper."""
    outer: Optional[int] = position
    locks = False
    while outer is not None and outer - position < 8:
        thin = locks and outer + 1 < len(stack) and THIN_LOCK.match(stack.names[outer]) is not None
        if not (thin or is_helper(stack.names[outer])):
            break
        locks = helper_for(stack.names[outer], "cause") == "lock"
        outer = common.qemu_frame(stack, outer + 1)
    if outer is not None and outer != position and stack.names[outer] in DISPATCHERS:
        return position  # the handler that called it has no name here
    return outer


def check_of(function: str) -> str:
    check = rules.CHECKS.get(function)
    return check or ""


def called_by(cause: Cause, blame: int) -> None:
    """Where a helper gave up: who called it, for that is where to read on."""
    stack = cause.subject.stack
    outer = past_helpers(stack, blame) if is_helper(stack.names[blame]) else None
    if outer is None or outer == blame:
        return
    spot = place(stack.frames[outer])
    cause.sentences.append(
        f"{stack.names[blame]} is a helper; what it got came from {at(stack, outer)}{f', {spot}' if spot else ''}."
    )
    cause.proof.append(evidence(cause.subject, outer, f"called by {stack.names[outer]}"))
