"""The stack overflow that recursion ends in."""

from __future__ import annotations

from typing import List, Optional

from ...knowledge.roles import STARTERS
from ..context import Context, Subject
from ..recursion import (
    DEEP,
    NO_POINTER,
    Recursion,
    find_cycle,
    find_recursion,
    interval,
    out_of_stack,
    overflowing,
    repeated,
    telling,
)
from ..stack import Stack
from . import common
from .cause import Cause, fatal_signal
from .common import evidence, place
from .faults import fault_address
from .rules import reentered

_FAULTS = ("SIGSEGV", "SIGBUS", "EXC_BAD_ACCESS", "EXCEPTION_STACK_OVERFLOW", "EXCEPTION_ACCESS_VIOLATION")


def overflow(context: Context, subject: Subject) -> Optional[Cause]:
    stack = subject.stack
    signal = subject.told.thread.signal or fatal_signal(context)
    recursion = find_recursion(stack)
    few = False
    if recursion is None and signal is not None and signal.name in _FAULTS:
        recursion = overflowing(context.snapshot, stack)
        few = recursion is not None
    address = fault_address(context, subject) if few else None
    if recursion is None or (address is not None and address < NO_POINTER):
        return None
    deep = recursion.last >= DEEP or recursion.times * len(recursion.names) >= DEEP // 2
    if signal is None and not deep:
        return None
    if signal is not None and signal.name not in _FAULTS and not deep:
        return None
    names = [n for n in recursion.names if n and n not in common.PLUMBING]
    shown = interval(recursion, common.PLUMBING) or "a function"
    named = telling(recursion, stack) or (names[-1] if names else "")
    blame = stack.find(named) if named else None
    cause = Cause(
        subject,
        "crash.stack-overflow",
        f"Recursion of {named or 'a function'} used the whole stack",
        "recursion",
        "certain" if signal is not None and deep and recursion.times else "likely",
        blame,
        function=named or None,
        recursion=recursion,
    )
    if few:
        sign = out_of_stack(context.snapshot, stack)
        again = recursion.first + len(recursion.names)
        cause.sentences.append(
            f"What is shown repeats: {shown}, and from frame {again} on the same for the same objects."
            + (f" The fault is {sign}, as at the end of a thread's stack." if sign else " The rest of the text is cut.")
        )
    else:
        cause.sentences.append(_repeats(recursion, shown))
    cause.sentences[-1] += (
        " Each call makes the next before it returns; whether that would ever have ended, the stack does not show."
    )
    if context.snapshot.source.kind == "text":
        cause.steps += _steps(stack)
    cause.proof.append(evidence(subject, blame, f"repeats up to frame {recursion.last}"))
    return cause


def recurses(cause: Cause) -> None:
    """Name the device whose DMA enters it again, or what a checker's report shows to repeat, instead of the helper that
    came last.
    """
    subject, stack = cause.subject, cause.subject.stack
    if cause.recursion is not None and cause.recursion.times:
        return  # its whole interval is shown
    position = reentered(stack)
    if position is None and cause.recursion is None:
        recursion = find_recursion(stack) or find_cycle(stack) or repeated(stack)
        named = telling(recursion, stack) if recursion is not None else ""
        position = stack.find(named) if named else None
    if position is None or stack.names[position] == cause.function:
        return
    name, spot = stack.names[position], place(stack.frames[position])
    cause.headline = f"Recursion of {name} used the whole stack" + (f", {spot}" if spot else "")
    cause.blame, cause.function = position, name
    cause.proof.append(evidence(subject, position, f"{name} comes again further out"))
    told = subject.told
    told.culprit, told.culprit_level, told.culprit_rule = name, stack.level(position), "who-recurses"


def _repeats(recursion: Recursion, shown: str) -> str:
    if recursion.times:
        return f"The frames up to level {recursion.last} repeat {shown}, {recursion.times} times in what is shown."
    return f"The stack goes on to level {recursion.last}; what is shown of it is {shown}."


def _steps(stack: Stack) -> List[str]:
    """How to see that the stack is used up, and where the recursion begins."""
    steps = ["p $sp, and info proc mappings (in a core: info files): is it at the low end of its mapping?"]
    if stack.level(0):
        steps.append("bt 40: the innermost frames show what repeats")
    elif stack.thread.truncated_bottom and not any(n in STARTERS for n in stack.names):
        steps.append("bt -30: the outermost frames show where the recursion began")
    return steps
