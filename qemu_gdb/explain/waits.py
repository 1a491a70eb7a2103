"""Who holds and who waits for what: one graph over threads, locks, vCPUs and outside parties, for findings and tables.

From facts where memory was read, from printed values (``__owner = 1234``) where a text has them, and else from what
QEMU's code does: which function waits for what, and under which function a lock is held (knowledge/holders.py).
"""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Sequence, Set, Tuple

from ..knowledge import holders, peers
from ..model import Lock, WaitsFor
from ..model import Wait as WaitFact
from ..pattern import Pattern
from . import kernel, pages
from .context import Context, Subject
from .held import Held, find_held
from .stack import Stack
from .waiting import Waiting, find_wait

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
    found = [_OWNER.search(line) for line in lines[:20000] if "owner" in line]
    return [int(m.group(1)) for m in found if m and int(m.group(1))]


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
    elif waiting.kind == "mutex" and waiting.row == "replay":
        # util/main-loop.c os_host_main_loop_wait, 3.0 to 10.2: given up around the poll alone, as the BQL is
        mains = [s for s in context.with_role("main-loop") if s is not subject and any(h.lock == "BQL" for h in s.held)]
        waiting.owners, waiting.owner_known = mains[:1], "likely" if mains else ""
        waiting.basis = "under record/replay the main loop gives that lock up around its poll alone"
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
