"""Frames that repeat, and the stack overflow that endless recursion ends in."""

from __future__ import annotations

from typing import Optional

from ..context import Context, Subject
from ..stack import Stack
from . import common
from .cause import Cause, Recursion, fatal_signal
from .common import evidence

DEEP = 4000  # QEMU's own stacks are some dozen frames deep; so many are recursion


def find_recursion(stack: Stack) -> Optional[Recursion]:
    """Frames that repeat: the shortest interval, where it comes at least 8 times in a row (or the levels are huge)."""
    names = stack.names
    count = len(names)
    huge = bool(stack.frames) and stack.frames[-1].level >= DEEP
    if count < 24 and not huge:
        return None
    limit = min(count, 4000)
    for period in range(1, min(40, limit // 4) + 1):
        run = best = best_end = 0
        for i in range(limit - period):
            if names[i] and names[i] == names[i + period]:
                run += 1
                if run > best:
                    best, best_end = run, i
            else:
                run = 0
        times = best // period + 1 if best >= period else 0
        if times >= 8 and best >= 24 and _not_inline(stack, best_end - best + 1, period):
            first = best_end - best + 1
            last_level = stack.level(best_end + period)
            return Recursion(names[first : first + period], stack.level(first), last_level, times)
    if huge:
        seen = [n for n in dict.fromkeys(names) if n]
        return Recursion(tuple(seen[:8]), stack.frames[0].level, stack.frames[-1].level, 0)
    return None


def _not_inline(stack: Stack, first: int, period: int) -> bool:
    """Whether the repeated frame can call itself, and is not one that debuggers show twice for inlining."""
    return not (period == 1 and stack.names[first] in ("qemu_thread_start", "main_loop_wait"))


def overflow(context: Context, subject: Subject) -> Optional[Cause]:
    stack = subject.stack
    recursion = find_recursion(stack)
    if recursion is None:
        return None
    signal = subject.told.thread.signal or fatal_signal(context)
    deep = recursion.last >= DEEP or recursion.times * len(recursion.names) >= DEEP // 2
    if signal is None and not deep:
        return None
    if signal is not None and signal.name not in ("SIGSEGV", "SIGBUS", "EXC_BAD_ACCESS") and not deep:
        return None
    names = [n for n in recursion.names if n and n not in common.PLUMBING]
    shown = " → ".join(reversed(names[:8])) if names else "a function"
    title = f"Endless recursion of {names[0] if names else 'a function'} used the whole stack"
    blame = next((i for i, n in enumerate(stack.names) if n in names), None)
    cause = Cause(
        subject,
        "crash.stack-overflow",
        title,
        "recursion",
        "certain" if signal is not None else "likely",
        blame,
        function=names[0] if names else None,
        recursion=recursion,
    )
    cause.sentences.append(
        f"The frames up to level {recursion.last} repeat {shown}"
        + (f", {recursion.times} times in what is shown" if recursion.times else "")
        + ": each call makes the next before it returns, until the stack is full."
    )
    cause.proof.append(evidence(subject, blame, f"repeats up to frame {recursion.last}"))
    return cause
