"""Finds frames that repeat, and the function of such an interval that an expert would name."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from ..knowledge.helpers import helper_for
from ..knowledge.roles import STARTERS
from .owners import code_of
from .stack import Stack, once_a_stack

DEEP = 4000  # QEMU's own stacks are some dozen frames deep; so many are recursion


class Recursion(NamedTuple):
    """Frames that repeat."""

    names: Tuple[str, ...]  # one interval, inner to outer
    first: int  # level
    last: int
    times: int  # 0 where one interval is all that is shown of a very deep stack


@once_a_stack
def find_recursion(stack: Stack) -> Optional[Recursion]:
    """Frames that repeat: the shortest interval, where it comes at least 8 times in a row (or the levels are huge)."""
    names = stack.names
    count = len(names)
    huge = is_deep(stack)
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
        if times >= 8 and best >= 24 and _calls_itself(stack, best_end - best + 1, period):
            first = best_end - best + 1
            last_level = stack.level(best_end + period)
            return Recursion(tuple(names[first : first + period]), stack.level(first), last_level, times)
    if huge and not (stack.level(0) and any(n in STARTERS for n in names)):  # the outer end alone repeats nothing
        gap = next((p for p in range(1, count) if stack.level(p) > stack.level(p - 1) + 1), count)
        seen = [n for n in dict.fromkeys(names[:gap]) if n]
        return Recursion(tuple(seen[:8]), stack.frames[0].level, stack.frames[-1].level, 0)
    return None


def is_deep(stack: Stack) -> bool:
    """Whether the levels are so many that only recursion makes them."""
    return bool(stack.frames) and stack.frames[-1].level >= DEEP


def _calls_itself(stack: Stack, first: int, period: int) -> bool:
    """Whether the repeated frame can call itself, and is not one that debuggers show twice for inlining."""
    return not (period == 1 and stack.names[first] in ("qemu_thread_start", "main_loop_wait"))


def telling(recursion: Recursion, stack: Stack) -> str:
    """The function of the interval that says most: the outermost that is QEMU's and serves no others; "" for none."""
    mine = [
        n
        for n in recursion.names
        if n and (p := stack.find(n)) is not None and code_of(stack.frames[p]).owner == "qemu"
    ]
    for question in ("owner", "crash"):
        chosen = next((n for n in reversed(mine) if not helper_for(n, question)), "")
        if chosen:
            return chosen
    return mine[-1] if mine else ""
