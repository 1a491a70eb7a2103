"""The stack overflow that recursion ends in."""

from __future__ import annotations

from typing import Optional

from ..context import Context, Subject
from ..recursion import DEEP, find_recursion, telling
from . import common
from .cause import Cause, fatal_signal
from .common import evidence


def overflow(context: Context, subject: Subject) -> Optional[Cause]:
    stack = subject.stack
    recursion = find_recursion(stack)
    if recursion is None:
        return None
    signal = subject.told.thread.signal or fatal_signal(context)
    deep = recursion.last >= DEEP or recursion.times * len(recursion.names) >= DEEP // 2
    if signal is None and not deep:
        return None
    if signal is not None and signal.name not in (
        "SIGSEGV", "SIGBUS", "EXC_BAD_ACCESS", "EXCEPTION_STACK_OVERFLOW", "EXCEPTION_ACCESS_VIOLATION"
    ) and not deep:
        return None
    names = [n for n in recursion.names if n and n not in common.PLUMBING]
    shown = " → ".join(reversed(names[:8])) if names else "a function"
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
    cause.sentences.append(
        (
            f"The frames up to level {recursion.last} repeat {shown}, {recursion.times} times in what is shown."
            if recursion.times
            else f"The stack goes on to level {recursion.last}; what is shown of it is {shown}."
        )
        + " Each call makes the next before it returns; whether that would ever have ended, the stack does not show."
    )
    cause.proof.append(evidence(subject, blame, f"repeats up to frame {recursion.last}"))
    return cause
