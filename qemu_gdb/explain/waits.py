"""Who holds and who waits for what: one graph over threads, locks, vCPUs and outside parties, for findings and tables.

From facts where memory was read, from printed values (``__owner = 1234``) where a text has them, and else from what
QEMU's code does: which function waits for what, and under which function a lock is held (knowledge/holders.py).
"""

from __future__ import annotations

import functools
import re
from dataclasses import field, replace
from typing import Dict, FrozenSet, List, Optional, Sequence, Set, Tuple

from ..knowledge import holders, peers
from ..knowledge.waits import ENTERS_LOCK, INLINES_BQL, SIGNALS_CONDITION, WAKES
from ..model import Lock, WaitsFor
from ..model import Wait as WaitFact
from ..pattern import Pattern
from ..record import record
from . import kernel, pages
from .blocked import inside_wrapper
from .context import Context, Subject
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


@record
class Held:
    """A lock that a thread holds."""

    lock: str  # "BQL", "AioContext lock", "mutex 0x..."
    confidence: str  # certain, likely
    basis: str
    at: Optional[int] = None  # position of the frame that shows it
    address: int = 0


# --------------------------------------------------------------------------------------------------------------
# What a stack waits for


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


# --------------------------------------------------------------------------------------------------------------
# What a stack holds


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


# --------------------------------------------------------------------------------------------------------------
# Owners that a text prints

_OWNER = Pattern(r"_?_?owner\s*=\s*(\d+)")
_PRINTED = Pattern(
    r"(?:\(gdb\)|\bp(?:rint)?(?:/x)?\b|[Pp]rinting contents of).*?"
    r"(?P<what>qemu_global_mutex|\bbql\b|0x[0-9a-fA-F]{6,16}|mutex\b)"
)


def printed_owners(lines: Sequence[str]) -> Dict[str, int]:
    """Owners of mutexes by address ("0x5641856f2a00") or name ("bql", "qemu_global_mutex"), as a text prints them."""
    owners: Dict[str, int] = {}
    what: Optional[str] = None
    age = 0
    for line in lines[:20000]:
        if "owner" not in line and "qemu_global_mutex" not in line and "0x" not in line and "bql" not in line:
            age += 1
            if age > 6:
                what = None
            continue
        printed = _PRINTED.search(line)
        if printed:
            what, age = printed.group("what"), 0
        owner = _OWNER.search(line)
        if owner and what and int(owner.group(1)):
            key = what if not what.startswith("0x") else f"0x{int(what, 16):x}"
            owners.setdefault(key, int(owner.group(1)))
            what = None
    return owners


def _unnamed_owners(lines: Sequence[str]) -> List[int]:
    return [int(m.group(1)) for line in lines[:20000] for m in [_OWNER.search(line)] if m and int(m.group(1))]


# --------------------------------------------------------------------------------------------------------------
# The graph


_RESTING_KINDS = ("condvar", "event", "semaphore", "poll", "futex", "sleep")


def _has_aiocontext_locks(context: Context) -> bool:
    """Whether this QEMU still has AioContext locks; QEMU 9.0 has none, and calls the BQL ``bql`` (6bc30f194989)."""
    told = context.facts.extra.get("aiocontext_locks")
    if isinstance(told, bool):
        return told
    if any(name.startswith("bql_") for subject in context.live_subjects for name in subject.stack.names):
        return False
    major = re.match(r"(\d+)\.", context.snapshot.version or "")
    return major is None or int(major.group(1)) < 9


def resolve(context: Context) -> None:
    """Fill what every thread waits for and holds, and who must act for it to go on."""
    subjects = context.live_subjects
    for subject in subjects:
        if subject.told.thread.sampled or subject.told.state_rule == "kernel-stack":
            continue  # it runs, or shows nothing of QEMU
        subject.waiting = find_wait(subject.stack)
        # Where the table says that a thread rests, no finding may call the same place a wait: a stripped program
        # hides the names by which find_wait knows some resting places.
        waiting = subject.waiting
        if waiting is None or subject.told.state != "idle":
            continue
        if waiting.kind in _RESTING_KINDS or (waiting.kind == "nested-poll" and not waiting.row):
            waiting.resting = True
    gone = frozenset() if _has_aiocontext_locks(context) else frozenset({"AioContext lock"})
    for subject in subjects:
        subject.held = [held for held in find_held(subject) if held.lock not in gone]
    _from_facts(context)
    _from_printed(context)
    for wanted in pages.wanted(context):
        wanted.subject.waiting = Waiting("page", 0, "a page of guest RAM", wanted.says, owners=[wanted.server],
                                         owner_known="likely", basis=wanted.basis, row="userfault")
    owners = _Owners(context)
    for subject in subjects:
        _find_owners(context, subject, owners)
    for subject in subjects:
        _tell(subject)


def _from_facts(context: Context) -> None:
    facts = context.facts
    if not (facts.locks or facts.waits or facts.bql_known):
        return
    locks: Dict[int, Lock] = {lock.address: lock for lock in facts.locks if lock.address}
    for lock in facts.locks:
        owner = context.by_lwp(lock.owner_lwp)
        if owner is not None and lock.owner_known:
            _add_held(owner, Held(lock.name, "certain", "its owner word", address=lock.address))
        for lwp in lock.waiter_lwps:
            waiter = context.by_lwp(lwp)
            if waiter is None:
                continue
            kind = "bql" if lock.name == "BQL" else "aiocontext-lock" if lock.kind == "aiocontext" else "mutex"
            if waiter.waiting is None or waiter.waiting.kind in ("mutex", "futex", "bql", "aiocontext-lock"):
                at = waiter.waiting.at if waiter.waiting is not None else 0
                waiter.waiting = Waiting(kind, at, lock.name, f"for the {lock.name}", lock.address)
            if owner is not None and lock.owner_known:
                waiter.waiting.owners = [owner]
                waiter.waiting.owner_known, waiter.waiting.basis = "certain", "the mutex's owner word"
    if facts.bql_known:
        owner = context.by_lwp(facts.bql_owner_lwp)
        for subject in context.live_subjects:
            if subject is not owner:
                subject.held = [h for h in subject.held if h.lock != "BQL"]
        if owner is not None:
            _add_held(owner, Held("BQL", "certain", "its owner word"))
    for wait in facts.waits:
        waiter = context.by_lwp(wait.lwp)
        if waiter is not None:
            _apply_wait(context, waiter, wait, locks)


def _apply_wait(context: Context, subject: Subject, wait: WaitFact, locks: Dict[int, Lock]) -> None:
    waiting = subject.waiting
    if waiting is None:
        if wait.kind not in ("mutex", "condvar", "semaphore", "event", "join", "futex"):
            return
        label = wait.name or (f"{wait.kind} 0x{wait.address:x}" if wait.address else wait.kind)
        kind = "bql" if wait.name == "BQL" and wait.kind == "mutex" else wait.kind
        waiting = subject.waiting = Waiting(kind, 0, label, wait.text or f"for {label}", wait.address)
    waiting.address = waiting.address or wait.address
    if wait.name and waiting.kind in ("mutex", "futex", "condvar", "semaphore", "event"):
        waiting.object = wait.name
        waiting.says = f"for {wait.name}"
        if wait.kind == "mutex":
            waiting.kind = "bql" if wait.name == "BQL" else "mutex"
    if wait.mutex and wait.mutex in locks and locks[wait.mutex].name == "BQL":
        waiting.releases = ("BQL",)
        subject.held = [h for h in subject.held if h.lock != "BQL"]
    owner = context.by_lwp(wait.owner_lwp)
    if owner is not None and not waiting.owners:
        waiting.owners, waiting.owner_known = [owner], "certain"
        waiting.basis = "the thread it joins" if wait.kind == "join" else "the mutex's owner word"


def _add_held(subject: Subject, held: Held) -> None:
    subject.held = [h for h in subject.held if h.lock != held.lock]
    subject.held.append(held)


def _from_printed(context: Context) -> None:
    """Owners that somebody printed in gdb beside the stacks."""
    lines = context.snapshot.unparsed
    if not lines or not any("owner" in line for line in lines):
        return
    owners = printed_owners(lines)
    for subject in context.live_subjects:
        waiting = subject.waiting
        if waiting is None or waiting.kind not in ("bql", "mutex", "aiocontext-lock"):
            continue
        keys = [f"0x{waiting.address:x}"] if waiting.address else []
        if waiting.kind == "bql":
            keys += ["qemu_global_mutex", "bql"]
        for key in keys:
            owner = context.by_lwp(owners.get(key))
            if owner is not None:
                waiting.owners, waiting.owner_known, waiting.basis = [owner], "certain", f"__owner = {owners[key]}"
                label = "BQL" if waiting.kind == "bql" else waiting.object
                _add_held(owner, Held(label, "certain", f"__owner = {owners[key]}", address=waiting.address))
                break
    # "Printing mutex in fr 2, I see __owner = 145411": an owner whose mutex is not named goes to the one wait left
    left = [
        s
        for s in context.live_subjects
        if s.waiting and s.waiting.kind in ("mutex", "aiocontext-lock") and not s.waiting.owners
    ]
    spare = [o for o in _unnamed_owners(lines) if context.by_lwp(o) is not None]
    used = {
        s.waiting.owners[0].told.thread.lwp
        for s in context.live_subjects
        if s.waiting and s.waiting.owner_known == "certain" and s.waiting.owners
    }
    spare = [o for o in dict.fromkeys(spare) if o not in used]
    if len(left) == 1 and len(spare) == 1:
        owner = context.by_lwp(spare[0])
        waiting = left[0].waiting
        if owner is not None and waiting is not None and owner is not left[0]:
            waiting.owners, waiting.owner_known = [owner], "likely"
            waiting.basis = f"__owner = {spare[0]} is printed in the text"
            _add_held(owner, Held(waiting.object, "likely", waiting.basis))


def _bql_owner(context: Context) -> Optional[Tuple[Subject, str, str]]:
    """The thread that holds the BQL: known, or the only one whose code holds it."""
    certain = [s for s in context.live_subjects if any(h.lock == "BQL" and h.confidence == "certain" for h in s.held)]
    if certain:
        held = next(h for h in certain[0].held if h.lock == "BQL")
        for other in context.live_subjects:
            if other is not certain[0]:
                other.held = [h for h in other.held if h.lock != "BQL"]
        return certain[0], "certain", held.basis
    if context.facts.bql_known:
        return None
    likely = [s for s in context.live_subjects if any(h.lock == "BQL" for h in s.held)]
    if len(likely) == 1:
        held = next(h for h in likely[0].held if h.lock == "BQL")
        return likely[0], "likely", held.basis
    return None


def running_vcpus(context: Context) -> List[Subject]:
    """vCPUs that count as running: between cpu_exec_start and cpu_exec_end."""
    running = []
    for subject in context.with_role("vcpu-mttcg", "vcpu-tcg-rr", "vcpu-kvm", "vcpu-other", "user-mode", "unknown"):
        vcpu = context.vcpu_of(subject.told.thread.lwp)
        if vcpu is not None and vcpu.running is not None:
            if vcpu.running:
                running.append(subject)
        elif subject.waiting is not None and subject.waiting.kind == "exclusive-end":
            continue  # cpu-common.c cpu_exec_start: it waits with cpu->running false
        elif subject.stack.find(holders.RUNNING_CPU) is not None:
            running.append(subject)
    return running


def unstopped_vcpus(context: Context) -> List[Subject]:
    """vCPUs that have not stopped, though they may have been asked to."""
    found = []
    for subject in context.with_role("vcpu-mttcg", "vcpu-tcg-rr", "vcpu-kvm", "vcpu-other"):
        vcpu = context.vcpu_of(subject.told.thread.lwp)
        if vcpu is not None and vcpu.stopped is not None:
            if not vcpu.stopped:
                found.append(subject)
        elif subject.waiting is None or subject.waiting.kind != "vcpu-halt":
            found.append(subject)
    return found


_MOST_OWNERS = 64  # threads that one thread is said to wait for


class _Owners:
    """Who can be waited for, found once for all threads."""

    def __init__(self, context: Context) -> None:
        self.bql = _bql_owner(context)
        subjects = context.live_subjects
        kinds = {s.waiting.kind for s in subjects if s.waiting is not None}
        self.running = running_vcpus(context)[:_MOST_OWNERS] if "exclusive" in kinds else []
        self.unstopped = unstopped_vcpus(context)[:_MOST_OWNERS] if "vcpu-stop" in kinds else []
        self.exclusive: List[Subject] = []
        if "exclusive-end" in kinds:
            inside = [s for s in subjects if s.stack.find("start_exclusive") is None and _in_exclusive(s)]
            asking = [s for s in subjects if s.waiting is not None and s.waiting.kind == "exclusive"]
            self.exclusive = (inside + asking)[:_MOST_OWNERS]
        self.vcpus: Dict[int, Subject] = {}
        if not kinds.isdisjoint(("vcpu-work", "vcpu-start")):
            for vcpu in context.with_role("vcpu-mttcg", "vcpu-tcg-rr", "vcpu-kvm", "vcpu-other"):
                address = _vcpu_address(vcpu)
                if address:
                    self.vcpus.setdefault(address, vcpu)
        self.aiocontext: List[Subject] = []
        if "aiocontext-lock" in kinds:
            self.aiocontext = [
                s
                for s in subjects
                if s.waiting is not None
                and not s.waiting.resting
                and any(h.lock.startswith("AioContext lock") for h in s.held)
            ][:_MOST_OWNERS]
        self.named: Dict[str, Optional[Tuple[Subject, str]]] = {}
        if "mutex" in kinds:
            self.named = {lock: _named_lock(subjects, lock) for lock, _, _ in holders.NAMED_LOCKS}


def _find_owners(context: Context, subject: Subject, owners: _Owners) -> None:
    waiting = subject.waiting
    if waiting is None or waiting.owners or waiting.resting:
        return
    if waiting.kind == "bql":
        bql = owners.bql
        if bql is not None and bql[0] is not subject:
            waiting.owners, waiting.owner_known, waiting.basis = [bql[0]], bql[1], bql[2]
    elif waiting.kind == "exclusive":
        waiting.owners = owners.running
        waiting.owner_known = "likely" if waiting.owners else ""
        waiting.basis = "inside cpu_exec"
    elif waiting.kind in ("rcu", "rcu-callbacks"):
        _rcu_readers(context, subject, waiting)
    elif waiting.kind == "exclusive-end":
        waiting.owners = [s for s in owners.exclusive if s is not subject]
        waiting.owner_known = "likely" if waiting.owners else ""
        waiting.basis = "it runs or asks for the exclusive section"
    elif waiting.kind == "vcpu-stop":
        waiting.owners = [s for s in owners.unstopped if s is not subject]
        waiting.owner_known = "likely" if waiting.owners else ""
        waiting.basis = "a vCPU that has not stopped"
    elif waiting.kind in ("vcpu-work", "vcpu-start"):
        target = subject.stack.arg_number(waiting.at, "cpu")
        worker = owners.vcpus.get(target) if target else None
        waiting.owners = [worker] if worker is not None and worker is not subject else []
        waiting.owner_known = "likely" if waiting.owners else ""
        waiting.basis = "the vCPU whose work is waited for"
    elif waiting.kind == "aiocontext-lock":
        _aiocontext_owner(owners.aiocontext, subject, waiting)
    elif waiting.kind == "mutex" and waiting.object in owners.named:
        holder = owners.named[waiting.object]
        if holder is not None and holder[0] is not subject:
            waiting.owners, waiting.owner_known, waiting.basis = [holder[0]], "likely", holder[1]
    elif waiting.kind == "mutex":
        _same_mutex(context, subject, waiting)
    elif waiting.kind == "join" and _joined(context, subject, waiting):
        pass
    elif waiting.answered_by:
        _answering(context, subject, waiting)


def _joined(context: Context, subject: Subject, waiting: Waiting) -> bool:
    """nptl/pthread_join_common.c: it sleeps on the other's tid field while that holds its thread's number."""
    for position in range(min(waiting.at, len(subject.stack))):
        owner = context.by_lwp(subject.stack.arg_number(position, "expected"))
        if owner is not None and owner is not subject:
            waiting.owners, waiting.owner_known, waiting.basis = [owner], "certain", "the thread it joins"
            return True
    return False


def _answering(context: Context, subject: Subject, waiting: Waiting) -> None:
    """Of the threads that can end the wait the one that stands still; a thread that is joined may also rest."""
    able = [s for s in context.with_role(*waiting.answered_by) if s is not subject]
    still = [s for s in able if _stands_still(s)]
    if waiting.kind == "join":
        still = able if len(able) == 1 else still if len(still) == 1 else []
    elif waiting.row == "bh-oneshot" and len(still) > 1:
        still = []
    waiting.owners = still[:1]
    waiting.owner_known = "likely" if still else ""
    waiting.basis = {"join": "it is joined there", "nested-poll": "its loop does not turn"}.get(
        waiting.kind, "it has not done its part"
    )


def _rcu_readers(context: Context, subject: Subject, waiting: Waiting) -> None:
    """Readers that hold a grace period up: read from memory, else threads that stand still inside a read section."""
    readers = [context.by_lwp(r.lwp) for r in context.facts.rcu_readers if r.depth]
    found = [s for s in readers[:_MOST_OWNERS] if s is not None and s is not subject]
    waiting.owners = [s for s in found if s.told.state not in ("running-guest", "executing")] or found[:1]
    waiting.owner_known = "certain" if waiting.owners else ""
    waiting.basis = "inside a read-side critical section"
    if context.facts.rcu_readers or subject.stack.find(holders.RCU_READ_SECTIONS, waiting.at) is not None:
        return
    waiting.owners = [
        s
        for s in context.live_subjects
        if s is not subject and _stands_still(s) and s.stack.find(holders.RCU_READ_SECTIONS, 1) is not None
    ][:1]
    waiting.owner_known = "likely" if waiting.owners else ""


def _vcpu_address(subject: Subject) -> Optional[int]:
    """Address of the CPUState that a vCPU thread runs, from its frames' arguments."""
    stack = subject.stack
    for position in range(len(stack) - 1, -1, -1):
        starts = stack.names[position].endswith("cpu_thread_fn")
        if starts or stack.names[position] in _TAKE_CPU:
            shown = stack.arg_number(position, "arg" if starts else "cpu")
            if shown:
                return shown
    return None


_TAKE_CPU = frozenset(("kvm_cpu_exec", "kvm_vcpu_ioctl", "kvm_init_vcpu", "tcg_cpus_exec", "tcg_cpu_exec", "cpu_exec",
                       "hvf_vcpu_exec", "whpx_vcpu_exec"))


def _in_exclusive(subject: Subject) -> bool:
    return subject.stack.find(("cpu_exec_step_atomic", "process_queued_cpu_work")) is not None


def _aiocontext_owner(holding: Sequence[Subject], subject: Subject, waiting: Waiting) -> None:
    """The one other thread whose code holds an AioContext lock while it waits itself."""
    candidates = [s for s in holding if s is not subject and _same_context(s, waiting)]
    if len(candidates) == 1:
        held = next(h for h in candidates[0].held if h.lock.startswith("AioContext lock"))
        waiting.owners, waiting.owner_known, waiting.basis = candidates, "likely", held.basis


def _same_context(subject: Subject, waiting: Waiting) -> bool:
    other = subject.waiting
    return not (
        other is not None
        and other.kind == "aiocontext-lock"
        and waiting.address
        and other.address
        and other.address == waiting.address
    )


def _same_mutex(context: Context, subject: Subject, waiting: Waiting) -> None:
    """A function further out that runs with this very mutex held: the thread waits for itself."""
    stack = subject.stack
    at = waiting.at
    if at >= len(stack):
        return
    again = stack.find(stack.names[at], at + 1)
    if again is not None and stack.names[at] and _separate_call(stack, at, again):
        waiting.owners, waiting.owner_known = [subject], "likely"
        waiting.basis = f"{stack.names[at]} runs a second time inside its own call"
        return
    # another thread that took the lock in the same function, and has come further in it
    if not stack.names[at] or stack.names[at] in holders.UNLOCKS_TO_CALL:
        return
    inside = [s for s in context.live_subjects if s is not subject and _further_in(s, stack, at)]
    if len(inside) == 1:
        waiting.owners, waiting.owner_known = inside, "likely"
        waiting.basis = f"it has come further in {stack.names[at]}"


def _named_lock(subjects: Sequence[Subject], lock: str) -> Optional[Tuple[Subject, str]]:
    """The one thread whose code holds a lock that has a name of its own, and does not wait for it itself; and why."""
    holding = [
        (subject, held.basis)
        for subject in subjects
        for held in subject.held
        if held.lock == lock and (subject.waiting is None or subject.waiting.object != lock)
    ]
    return holding[0] if len(holding) == 1 else None


def _further_in(other: Subject, stack: Stack, at: int) -> bool:
    """Whether another thread stands still inside the function that takes the lock, and not at the lock."""
    position = other.stack.find((stack.names[at],), 1)
    if position is None or not _stands_still(other):
        return False
    if other.waiting is not None and other.waiting.kind in ("mutex", "bql") and other.waiting.at >= position:
        return False
    mine, theirs = stack.frames[at].args, other.stack.frames[position].args
    return all(theirs[name] == value for name, value in mine.items() if name in theirs and value.startswith("0x"))


def _separate_call(stack: Stack, inner: int, outer: int) -> bool:
    """Whether two frames of one function are two calls, not one frame that inlining repeats."""
    return outer - inner > 2 and any(n != stack.names[inner] for n in stack.names[inner + 1 : outer])


def _tell(subject: Subject) -> None:
    waiting = subject.waiting
    for held in subject.held:
        label = held.lock
        if label not in subject.told.holds:
            subject.told.holds.append(label)
    if waiting is None or waiting.resting:
        return
    owner = waiting.owners[0].number if len(waiting.owners) == 1 else None
    subject.told.waits_for = WaitsFor(waiting.kind, waiting.object, owner)


# --------------------------------------------------------------------------------------------------------------
# Chains and cycles


_MOST_CYCLES = 8  # that are told


def cycles(context: Context) -> List[List[Subject]]:
    """The cycles of the waits-for graph, each thread once, shortest first; a thread alone waits for itself."""
    found: List[List[Subject]] = []
    seen: Set[frozenset[int]] = set()
    for start in context.live_subjects:
        if start.waiting is None or start.waiting.resting or not start.waiting.owners:
            continue
        if len(found) >= _MOST_CYCLES:
            break
        path: List[Subject] = [start]
        stack: List[Tuple[Subject, List[Subject]]] = [(start, list(start.waiting.owners))]
        steps = 0
        while stack and steps < 2000:
            steps += 1
            _, owners = stack[-1]
            if not owners:
                stack.pop()
                path.pop()
                continue
            owner = owners.pop()
            if owner in path:
                cycle = path[path.index(owner) :]
                key = frozenset(id(s) for s in cycle)
                if key not in seen:
                    seen.add(key)
                    found.append(cycle)
                continue
            if owner.waiting is None or owner.waiting.resting or len(path) > 12:
                continue
            path.append(owner)
            stack.append((owner, list(owner.waiting.owners)))
    return sorted(found, key=len)


def chain(subject: Subject) -> List[Subject]:
    """The thread, the one it waits for, and so on to the last one that is known."""
    path = [subject]
    while path[-1].waiting is not None and path[-1].waiting.owners and len(path) < 32:
        owners = path[-1].waiting.owners
        if path[-1].waiting.kind in _FOR_ALL:  # one that stands still tells more than the others
            owners = [o for o in owners if _stands_still(o)][:1] or owners
        if len(owners) != 1:
            break
        owner = owners[0]
        if owner in path or (path[-1].waiting.kind in _FOR_RUNNING and not _stands_still(owner)):
            break
        path.append(owner)
    return path


_FOR_ALL = ("exclusive", "vcpu-stop")  # waits that take all of the owners


# Waits for a thread that runs: what it does at this moment tells nothing, its not coming does.
_FOR_RUNNING = ("vcpu-stop", "vcpu-work", "vcpu-start", "exclusive", "rcu", "rcu-callbacks", "join")


def _stands_still(subject: Subject) -> bool:
    """Whether the thread waits itself, or is in a system call other than the one that runs the guest."""
    if subject.waiting is not None:
        return not subject.waiting.resting
    if subject.told.state_rule == kernel.KEEPS:
        return True
    names = subject.stack.names
    return bool(names) and names[0] in peers.SYSCALLS and _ASKS_KVM.isdisjoint(names[:3])


_ASKS_KVM = frozenset(("kvm_vcpu_ioctl", "kvm_vm_ioctl", "kvm_ioctl"))
