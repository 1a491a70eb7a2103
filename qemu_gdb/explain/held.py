"""Which locks a thread's code holds, by its frames."""

from __future__ import annotations

import functools
from typing import FrozenSet, List, Optional, Set

from ..knowledge import holders
from ..record import record
from .context import Subject
from .stack import Stack, once_a_stack


@record
class Held:
    """A lock that a thread holds."""

    lock: str  # "BQL", "AioContext lock", "mutex 0x..."
    confidence: str  # certain, likely
    basis: str
    at: Optional[int] = None  # position of the frame that shows it
    address: int = 0


def find_held(subject: Subject) -> List[Held]:
    """The locks that the thread's code holds, inferred from its stack."""
    stack, role = subject.stack, subject.told.role
    waiting = subject.waiting
    held: List[Held] = []
    if waiting is not None and waiting.kind == "bql":
        skip = {"BQL"}
    else:
        skip = set(waiting.releases) if waiting is not None else set()
    if _without_aiocontext_locks(stack):
        skip.add("AioContext lock")
    if waiting is not None and waiting.kind == "mutex":
        skip.add(waiting.object)  # it waits for it
    for row in _holders(stack):
        if row.lock in skip or (row.roles and role not in row.roles) or any(h.lock == row.lock for h in held):
            continue
        at = stack.find_outermost(row.inside)
        if at is None or at == 0:
            continue
        if row.needs.patterns != ("*",) and stack.find(row.needs, 0, at) is None:
            continue
        if row.lock == "BQL":
            released = stack.find(holders.BQL_RELEASED, 0, at)
            if released is not None:
                continue
            if row.name == "rcu-callback" and (
                    stack.names[at - 1] in _RCU_OWN or (waiting is not None and waiting.at >= at)):
                continue  # the thread's own wait, outside of any callback
            if role == "tool-main":
                continue
        held.append(Held(row.lock, row.confidence, row.says, at))
    return held


@once_a_stack
def _holders(stack: Stack) -> List[holders.Holder]:
    rows: Set[int] = set().union(*map(_rows_with, set(stack.names)))
    return [holders.HOLDERS[row] for row in sorted(rows)]


@functools.lru_cache(maxsize=8192)
def _rows_with(name: str) -> FrozenSet[int]:
    """Which of the rows a function stands in."""
    return frozenset(row for row, holder in enumerate(holders.HOLDERS) if name in holder.inside)


@once_a_stack
def _without_aiocontext_locks(stack: Stack) -> bool:
    """Whether a stack is of a QEMU that has none, or is about to: 9.0 removed them.

    bql_* came with 9.0; util/defer-call.c and the folder system/ came with 8.2.
    """
    return any(name.startswith(("bql_", "defer_call_", "laio_deferred_")) for name in stack.names) or any(
        frame.file is not None and "system/" in frame.file and "accel/" not in frame.file for frame in stack.frames
    )


_RCU_OWN = frozenset(
    (
        "synchronize_rcu",
        "wait_for_readers",
        "qemu_event_wait",
        "g_usleep",
        "try_dequeue",
        "qemu_event_reset",
        "malloc_trim",
        "bql_lock_impl",
        "qemu_mutex_lock_iothread_impl",
    )
)
