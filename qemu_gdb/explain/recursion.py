"""Finds frames that repeat, and the function of such an interval that an expert would name."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from ..knowledge.helpers import helper_for
from ..knowledge.match import Names
from ..knowledge.rests import DISPATCHERS
from ..knowledge.roles import STARTERS
from ..model import Frame, Snapshot
from . import printed
from .owners import code_of
from .stack import Stack, number, once_a_stack

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


NO_POINTER = 0x10000  # an address below it is a NULL pointer's, not a stack's
_SHOWN = 8  # functions of an interval that a sentence names
_INNER = 6  # frames that may be called last, inside of what repeats


def find_cycle(stack: Stack) -> Optional[Recursion]:
    """Frames that come once more further out, for the same objects; ``times`` counts whole intervals."""
    names = stack.names[:400]
    for period in range(1, min(40, len(names) - 3) + 1):
        for first in range(min(_INNER, len(names) - period)):
            run = alike = 0
            while first + run + period < len(names):
                inner, outer = first + run, first + run + period
                same = _same_object(stack.frames[inner], stack.frames[outer])
                if not names[inner] or names[inner] != names[outer] or same is False:
                    break
                run += 1
                alike += same is True
            if run >= 3 and alike >= 2:
                return Recursion(
                    tuple(names[first : first + period]), stack.level(first), stack.level(first + run + period - 1),
                    run // period + 1,
                )  # fmt: skip
    return None


def repeated(stack: Stack) -> Optional[Recursion]:
    """Functions that come again in the same order, twice as a whole, of a stack that is known to be used up."""
    names = stack.names[:400]
    for period in range(2, min(60, len(names) // 2) + 1):
        for first in range(min(_INNER, len(names) - period)):
            run = 0
            while first + run + period < len(names) and names[first + run] == names[first + run + period] != "":
                run += 1
            if run >= period:
                last = stack.level(first + run + period - 1)
                return Recursion(tuple(names[first : first + period]), stack.level(first), last, run // period + 1)
    return None


def _same_object(inner: Frame, outer: Frame) -> Optional[bool]:
    """Whether two calls of a function got the same first pointer; None where that is not shown of both."""
    for name, value in inner.args.items():
        pointer, other = number(value), number(outer.args.get(name))
        if value.startswith("0x") and other is not None and pointer is not None and pointer > 0xFFFF:
            return pointer == other
    return None


def overflowing(snapshot: Snapshot, stack: Stack) -> Optional[Recursion]:
    """A recursion of which a cut text shows one or two intervals, with a sign that it used up the stack.

    That is what ``out_of_stack`` finds, or a limit that cut the text after two whole intervals of no event loop.
    """
    if not stack.frames or stack.level(0):
        return None
    for signal in (stack.thread.signal, snapshot.signal):
        if signal is not None and signal.address is not None and signal.address < NO_POINTER:
            return None
    cycle = find_cycle(stack)
    if cycle is None or out_of_stack(snapshot, stack):
        return cycle
    cut = stack.thread.truncated_bottom and not any(n in STARTERS for n in stack.names)
    return cycle if cut and cycle.times >= 2 and not any(n in DISPATCHERS for n in cycle.names) else None


def out_of_stack(snapshot: Snapshot, stack: Stack) -> str:
    """Where frame 0 faulted, if only a bad stack pointer fails there: at a function's first line or a push, or where
    its own arguments can't be read and those of its callers can; "" else.
    """
    frame = stack.frames[0]
    instruction = printed.instruction_at(snapshot, frame.pc)
    if instruction is not None:
        return f'at "{instruction.text}", which writes to the stack' if instruction.pushes else ""
    if printed.source_line(snapshot, frame.line) == "{":
        return "where a function begins, which writes to the stack"
    unread = any("Cannot access memory" in value for value in frame.args.values())
    if unread and not any("Cannot access memory" in v for f in stack.frames[1:8] for v in f.args.values()):
        return "in a frame whose own arguments can't be read, though those of its callers can"
    return ""


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


def interval(recursion: Recursion, unwanted: Names) -> str:
    """The functions that repeat, outer to inner, without ``unwanted``; of many those that serve no others, bounded."""
    names = [n for n in reversed(recursion.names) if n and n not in unwanted]
    if len(names) > _SHOWN:
        names = [n for n in names if not helper_for(n, "cause") and not helper_for(n, "owner")] or names
    return " → ".join(names[:_SHOWN]) + (" → ..." if len(names) > _SHOWN else "")
