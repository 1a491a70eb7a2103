"""What one stack waits for, by its frames: the lock, the condition, the poll, and why QEMU's code waits there."""

from __future__ import annotations

from dataclasses import field, replace
from typing import List, Optional, Sequence, Tuple

from ..knowledge import holders
from ..knowledge.waits import ENTERS_LOCK, INLINES_BQL, SIGNALS_CONDITION, WAKES
from ..record import record
from .blocked import inside_wrapper
from .context import Subject
from .stack import Stack, number, once_a_stack, symbol


@record
class Waiting:
    """What one thread waits for."""

    kind: str  # bql, mutex, aiocontext-lock, condvar, semaphore, event, join, poll, nested-poll, drain, ... (WAITS)
    at: int  # position of the frame that waits
    object: str  # "BQL", "qemu_cpu_list_lock", "mutex 0x55..."
    says: str  # "for the BQL", "until every vCPU has stopped"
    address: int = 0
    owners: List[Subject] = field(default_factory=list)  # who must act
    owner_known: str = ""  # certain (read or printed), likely (inferred), "" nobody known
    basis: str = ""  # how the owners are known
    releases: Tuple[str, ...] = ()
    resting: bool = False
    poll: Optional[int] = None  # position of the aio_poll of a nested poll
    row: str = ""
    answered_by: Tuple[str, ...] = ()  # roles of the threads that end the wait


def find_wait(stack: Stack) -> Optional[Waiting]:
    """What the innermost frames wait for; None for a thread that executes."""
    found = _by_frames(stack)
    return replace(found, owners=[]) if found is not None else None


@once_a_stack
def _by_frames(stack: Stack) -> Optional[Waiting]:
    names = stack.names
    count = len(names)
    end = _primitives(stack)
    if names and names[0] in ENTERS_LOCK and (stack.frames[0].pc or stack.frames[0].file):
        # the lock functions' own first instructions: a thread that waits sits in the futex below them
        # (a list of bare names may have left that out)
        return None
    innermost = next((n for n in names[:3] if n and n != "syscall"), "")
    if names[:1] == ("syscall",) and "io_uring" in innermost:
        return _nested_poll(stack)  # io_uring_enter() by liburing: no futex
    if innermost.lstrip("_") in WAKES or not SIGNALS_CONDITION.isdisjoint(names[:4]):
        return None
    if end:
        inner = names[:end]
        name = names[end] if end < count else ""
        inner_bql = next((i for i, n in enumerate(inner) if n in holders.BQL_LOCK), None)
        if inner_bql is not None:
            return Waiting("bql", inner_bql, "BQL", "for the BQL", row="bql")
        mutex = any(n in holders.MUTEX for n in inner) and not _condition_regained(inner)
        if mutex:
            return _mutex_wait(stack, end)
        nested = _nested_poll(stack)
        if nested is not None:
            return nested
        row = next((r for r in holders.WAITS if name in r.functions), None)
        if row is None and end + 1 < count and name and any(n in holders.EVENTS for n in inner):
            row = next((r for r in holders.WAITS if names[end + 1] in r.functions), None)
        if row is not None:
            return Waiting(
                row.kind, end, row.object, row.says, releases=row.releases, resting=row.resting, row=row.name,
                answered_by=row.answered_by,
            )  # fmt: skip
        return _plain_wait(stack, end)
    if names and names[0] in holders.BQL_LOCK:
        return Waiting("bql", 0, "BQL", "for the BQL", row="bql")
    if names and names[0] == "aio_context_acquire":
        return None
    return _nested_poll(stack)


@once_a_stack
def _primitives(stack: Stack) -> int:
    """How many of the innermost frames only sleep or take a lock."""
    names = stack.names
    end = 0
    wrapper = inside_wrapper(stack)
    for position in range(min(len(names), 24)):
        name = names[position]
        if name:
            if name not in holders.PRIMITIVES and position >= wrapper:
                break
            end = position + 1
        elif (position > 3 and end == 0) or (
            0 < end == position and position + 1 < len(names) and names[position + 1] not in holders.PRIMITIVES
        ):
            break
    if end and names[0] and names[0] == "syscall" and end == 1 and len(names) > 1 and not names[1]:
        return 1
    return end


def _condition_regained(inner: Sequence[str]) -> bool:
    """Whether the frames are a wait for a condition; one that regains its mutex is a wait for the mutex."""
    regains = any(n in ("pthread_mutex_cond_lock", "_L_cond_lock_1") or n.startswith("_L_cond_lock") for n in inner)
    return any(n in holders.CONDITIONS for n in inner) and not regains


def _mutex_wait(stack: Stack, end: int) -> Waiting:
    """A wait for a mutex, named by the function above it or by the symbol of the mutex."""
    address = 0
    name: Optional[str] = None
    for position in range(end):
        value = stack.arg(position, "mutex", "m", "lock", "futex_word", "futex")
        if value is not None:
            address = number(value) or address
            name = symbol(value) or name
    caller = stack.names[end] if end < len(stack) else ""
    if name in holders.BQL_SYMBOLS or caller in holders.BQL_LOCK:
        return Waiting("bql", end if caller in holders.BQL_LOCK else max(end - 1, 0), "BQL", "for the BQL", address)
    if caller == "aio_context_acquire":
        context = stack.arg_number(end, "ctx")
        label = f"AioContext lock of 0x{context:x}" if context else "AioContext lock"
        return Waiting("aiocontext-lock", end, label, "for an AioContext lock", address, row="aiocontext")
    if not name and caller in INLINES_BQL:
        return Waiting("bql", end, "BQL", "for the BQL", address)
    if caller in ("aio_co_enter", "aio_co_wake", "co_schedule_bh_cb") and not name:
        # util/async.c: aio_co_enter takes the AioContext lock inlined (until 8.2)
        return Waiting("aiocontext-lock", end, "AioContext lock", "for an AioContext lock", address)
    if caller == "replay_mutex_lock":  # replay/replay-internal.c
        return Waiting("mutex", end, "the record/replay lock", "for the record/replay lock", address, row="replay")
    for lock, mutex, takers in holders.NAMED_LOCKS:
        if name == mutex or caller in takers:
            return Waiting("mutex", min(end, len(stack) - 1), lock, f"for {lock}", address)
    if not name:
        name = f"mutex 0x{address:x}" if address else (f"the mutex that {caller} takes" if caller else "a mutex")
    return Waiting("mutex", min(end, len(stack) - 1), name, f"for {name}", address)


def _plain_wait(stack: Stack, end: int) -> Optional[Waiting]:
    """A wait in a function that no row knows."""
    names = stack.names
    inner = names[:end]
    caller = names[end] if end < len(names) else ""
    at = min(end, len(names) - 1)
    place = f" in {caller}" if caller else ""
    object_name = ""
    address = mutex = 0
    releases: Tuple[str, ...] = ()
    for position in range(end):
        value = stack.arg(position, "cond", "ev", "sem", "__cond")
        if value:
            address = number(value) or address
            object_name = symbol(value) or object_name
        value = stack.arg(position, "mutex", "__mutex")
        if value:
            mutex = number(value) or mutex
            if symbol(value) in holders.BQL_SYMBOLS:
                releases = ("BQL",)
    if any(
        n
        in ("qemu_cond_wait_iothread", "qemu_cond_timedwait_iothread", "qemu_cond_wait_bql", "qemu_cond_timedwait_bql")
        for n in inner
    ):
        releases = ("BQL",)
    for names_of, kind, word in (
        (holders.JOINS, "join", "a thread to end"),
        (holders.CONDITIONS, "condvar", "condition"),
        (holders.EVENTS, "event", "event"),
        (holders.SEMAPHORES, "semaphore", "semaphore"),
        (holders.POLLS, "poll", "file descriptors"),
    ):
        if any(n in names_of for n in inner):
            if kind == "join":
                joined = (row[1:] for row in holders.JOINED if stack.find(row[0], at, at + 3) is not None)
                roles, releases = next(joined, ((), releases))
                return Waiting(
                    kind, at, "a thread", f"for a thread to end{place}", answered_by=roles, releases=releases
                )
            label = f"{word} {object_name}" if object_name else word
            return Waiting(kind, at, label, f"for {label}{place}", address, releases=releases)
    if any(n in ("nanosleep", "clock_nanosleep", "g_usleep", "usleep") for n in inner):
        return Waiting("sleep", at, "time", f"a fixed time{place}", resting="call_rcu_thread" in names)
    if any(n in ("syscall", "futex_wait") or "futex" in n for n in inner):
        return Waiting("futex", at, "a futex", f"for a futex{place}", address)
    return None


def _nested_poll(stack: Stack) -> Optional[Waiting]:
    """The innermost nested poll of an AioContext in which the thread sits, with why it polls."""
    poll: Optional[int] = None
    for position, name in enumerate(stack.names):
        if name in ("aio_poll", "aio_poll_locked", "qemu_aio_wait", "qemu_aio_flush"):  # the latter two up to 1.6
            poll = position
            break
        if name and name not in holders.EVENT_LOOP_INTERNALS and name not in holders.PRIMITIVES:
            return None
        if position > 16:
            return None
    if poll is None:
        return None
    # inlined copies repeat the frame
    outer = poll + 1
    while outer < len(stack) and stack.names[outer] in ("aio_poll", "aio_wait_kick", "aio_poll_locked"):
        outer += 1
    if outer >= len(stack):
        return None
    if stack.names[outer] in ("iothread_run", "aio_ctx_dispatch"):
        return Waiting("rest", outer, "file descriptors and timers", "for events", resting=True)
    # a stripped program shows iothread_run and qemu_thread_start (both static) without names
    base = outer
    while base < len(stack) and not stack.names[base] and base - outer < 2:
        base += 1
    if base > outer and (base >= len(stack) or stack.names[base] in ("start_thread", "clone", "clone3")):
        return Waiting("rest", outer, "file descriptors and timers", "for events", resting=True)
    row, at = poll_reason(stack, outer)
    if row is None:
        name = stack.names[outer] or "an unnamed function"
        return Waiting("nested-poll", outer, "an AioContext's events", f"in a poll that {name} runs", poll=poll)
    kind = {"request": "nested-poll", "other": "nested-poll", "bh": "nested-poll"}.get(row.kind, row.kind)
    answered_by = ("iothread",) if row.kind == "bh" else ()
    return Waiting(kind, at, stack.names[at], row.says, poll=poll, row=row.name, answered_by=answered_by)


def poll_reason(stack: Stack, outer: int) -> Tuple[Optional[holders.NestedPoll], int]:
    """Why a nested poll runs: the row, and the position of the frame that asked for it."""
    for position in range(outer, min(outer + 3, len(stack))):
        name = stack.names[position]
        for row in holders.NESTED_POLLS:
            if name in row.functions:
                return _outermost_alike(stack, row, position)
    return None, outer


def _outermost_alike(stack: Stack, row: holders.NestedPoll, position: int) -> Tuple[holders.NestedPoll, int]:
    """The neighbours further out that mean the same wait tell more (bdrv_drain_all over bdrv_drain_all_begin)."""
    if row.kind not in ("drain", "graph-wrlock", "request"):
        return row, position
    at = position
    if row.kind == "request":
        outer = position + 1
        better = next(
            (
                r
                for r in holders.NESTED_POLLS
                if outer < len(stack)
                and stack.names[outer] in r.functions
                and stack.names[position] in ("bdrv_poll_co", "bdrv_run_co", "bdrv_prwv_co")
            ),
            None,
        )
        if better is not None:
            return better, outer
    while at + 1 < len(stack) and stack.names[at + 1] in row.functions and row.kind == "drain":
        at += 1
    if row.name == "drain" and at + 1 < len(stack):
        whole = next(r for r in holders.NESTED_POLLS if r.name == "drain-all")
        if stack.names[at + 1] in whole.functions:
            return whole, at + 1
    return row, at
