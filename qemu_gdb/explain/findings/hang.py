"""Why the process hangs: cycles of waits, and chains of waits followed to their last link."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Set, Tuple

from ...knowledge import holders
from ...model import Evidence, Finding, Request
from .. import coroutines, stories
from ..context import Context, Subject
from ..stack import Stack, number
from ..waits import Waiting, chain, cycles, unstopped_vcpus
from . import common
from .common import at, capital, evidence, finding, joined, listed, short, the, who
from .rules import exclusive_caller, exclusive_inside, foreign_poll

_ALL_THREADS = "thread apply all bt"
# How grave, where several hold: a deadlock explains more than what it blocks.
_RANK = {
    "hang.deadlock": 0,
    "hang.exclusive-stall": 1,
    "hang.drain-waits-for-io": 2,
    "hang.blocked-syscall": 3,
    "hang.waiting-for-peer": 3,
    "hang.vcpu-stop": 4,
    "hang.rcu-stall": 5,
    "hang.bql-held": 6,
    "hang.spinning": 7,
}


@dataclass
class _Search:
    """What has been told already."""

    context: Context
    findings: List[Finding] = field(default_factory=list)
    told: Set[int] = field(default_factory=set)  # id of subjects that a finding explains

    def add(self, result: Finding, subjects: Sequence[Subject]) -> None:
        self.findings.append(result)
        self.told.update(id(s) for s in subjects)


def find(context: Context) -> List[Finding]:
    """All hangs, the gravest first."""
    search = _Search(context)
    _exclusive(search)
    _nested_polls(search)
    _cycles(search)
    _lock_against_poll(search)
    _page_waits(search)
    _chains(search)
    _tool_requests(search)
    order = {"certain": 0, "likely": 1, "possible": 2}
    found = sorted(search.findings, key=lambda f: (order[f.confidence] == 2, _RANK.get(f.kind, 9), order[f.confidence]))
    return found[:6]


# --------------------------------------------------------------------------------------------------------------
# start_exclusive


_MOST_ALIKE = 8  # threads in the same trouble that are told of one by one


def _exclusive(search: _Search) -> None:
    context = search.context
    asking = [s for s in context.live_subjects if s.waiting is not None and s.waiting.kind == "exclusive"]
    for subject in asking[:_MOST_ALIKE]:
        waiting = subject.waiting
        assert waiting is not None
        stack = subject.stack
        inside = exclusive_inside(stack)
        if inside is not None:
            _exclusive_self(search, subject, inside)
            continue
        others = [s for s in waiting.owners if s is not subject]
        # a vCPU whose outer frames are cut, waiting for queued work inside a device access, counts as running too
        others += [
            s
            for s in context.live_subjects
            if s is not subject
            and s not in others
            and s.waiting is not None
            and s.waiting.kind == "vcpu-work"
            and s.told.role not in ("main-loop", "iothread", "migration")
        ]
        blocked = [s for s in others if s.waiting is not None and not s.waiting.resting]
        if blocked:
            _exclusive_stuck(search, subject, blocked)
        else:
            names = listed(others)
            search.add(
                finding(
                    "hang.exclusive-stall",
                    f"{who(subject)} waits for the other vCPUs to leave cpu_exec",
                    "possible",
                    [
                        f"start_exclusive (frame {stack.level(waiting.at)}) waits until no vCPU is inside cpu_exec"
                        + (f"; {names} {'is' if len(others) == 1 else 'are'} still there." if others else "."),
                        "This is short in a healthy QEMU: each vCPU is kicked and leaves at the end of its "
                        "translation block.",
                    ],
                    subjects=[subject, *others],
                    proof=[evidence(subject, waiting.at, "start_exclusive waits")],
                    steps=[
                        _ALL_THREADS if not others else f"take a second sample: do {names} still sit in the same place?"
                    ],
                    rule="exclusive-wait",
                ),
                [subject],
            )


def _exclusive_self(search: _Search, subject: Subject, inside: Tuple[int, int]) -> None:
    stack = subject.stack
    inner, outer = inside
    caller = exclusive_caller(stack, inner)
    name = at(stack, caller) if caller is not None else "its caller"
    run = stack.find_outermost(("cpu_exec",)) or outer
    sentences = [
        f"{who(subject)} called start_exclusive from {name}. That waits until no vCPU is inside cpu_exec; this vCPU "
        f"itself is, "
        f"since {at(stack, run)}, and can't leave while it waits: it waits for itself, for ever.",
    ]
    why = _why(search.context, subject, caller)
    if why:
        sentences.append(why)
    rest = [s for s in search.context.live_subjects if s is not subject and s.waiting is not None and s.waiting.resting]
    roles = [common.words(s.told.role) for s in rest if s.told.role in ("main-loop", "rcu")]
    if roles:
        sentences.append(f"The other threads shown ({joined(roles)}) rest normally.")
    search.add(
        finding(
            "hang.deadlock",
            f"A vCPU waits for itself in start_exclusive, called by {stack.names[caller] if caller else '?'}",
            "certain",
            sentences,
            subjects=[subject],
            proof=[
                evidence(subject, inner, "start_exclusive waits on exclusive_cond"),
                evidence(subject, run, "cpu_exec has not been left: cpu->running is true"),
            ],
            steps=[
                f"look for a fix of {stack.names[caller]} in newer QEMU: the caller must leave cpu_exec first"
                if caller
                else ""
            ],
            rule="exclusive-self",
        ),
        [subject],
    )


def _why(context: Context, subject: Subject, caller: Optional[int]) -> str:
    """How the guest's instruction led to the frame, by the helper above generated code."""
    stack = subject.stack
    guest = stack.find(("code_gen_buffer",)) or stack.find(("cpu_tb_exec",))
    if guest is None or caller is None:
        return ""
    helper = next((p for p in range(guest - 1, caller, -1) if stack.names[p]), None)
    if helper is None:
        return ""
    fill = stack.find(("tlb_fill", "tlb_fill_align", "probe_access_internal"), caller, helper)
    walk = " It needed a page-table walk there (TLB miss)," if fill is not None else ""
    access = ""
    if fill is not None:
        access = (
            f"{walk} and the walk sets a bit in a page-table entry."
            if stack.names[caller].startswith("ptw_")
            else (f"{walk[:-1]}.")
        )
    return f"The guest executed an instruction that QEMU emulates in {at(stack, helper)}.{access}"


def _exclusive_stuck(search: _Search, subject: Subject, blocked: List[Subject]) -> None:
    stack, waiting = subject.stack, subject.waiting
    assert waiting is not None
    other = blocked[0]
    theirs = other.waiting
    assert theirs is not None
    back = subject in theirs.owners
    if theirs.kind == "vcpu-work" and theirs.says:
        target = "work queued for a vCPU, which runs only when that vCPU leaves cpu_exec"
        back = back or not theirs.owners
    else:
        target = theirs.says
    sentences = [
        f"{who(subject)} waits in start_exclusive (frame {stack.level(waiting.at)}) until no vCPU is inside cpu_exec.",
        f"{who(other)} is inside cpu_exec and waits itself in {at(other.stack, theirs.at)}: {target}.",
    ]
    if back and theirs.kind == "vcpu-work":
        sentences.append(
            "Each waits for the other: the exclusive section can't start while a vCPU counts as running, and the "
            "queued work "
            "is not done while the exclusive section is pending."
        )
    if len(blocked) > 1:
        sentences.append(f"The same holds for {listed(blocked[1:])}.")
    search.add(
        finding(
            "hang.deadlock" if back else "hang.exclusive-stall",
            f"Two vCPUs wait for each other: start_exclusive against {other.stack.names[theirs.at]}"
            if back
            else f"start_exclusive waits for {the(other)}, which waits too",
            "likely",
            sentences,
            subjects=[subject, *blocked],
            proof=[
                evidence(subject, waiting.at, "start_exclusive"),
                evidence(other, theirs.at, other.stack.names[theirs.at]),
            ],
            steps=[
                f"frame {other.stack.level(theirs.at)} of {short(other)}: which cpu is the work for; print pending_cpus"
            ],
            rule="exclusive-stuck",
        ),
        [subject, *blocked],
    )


# --------------------------------------------------------------------------------------------------------------
# Polls on a thread that owns no AioContext


def _nested_polls(search: _Search) -> None:
    context = search.context
    for subject in context.live_subjects:
        found = foreign_poll(subject)
        if found is None:
            continue
        outer, callback, second = found
        inner_wait = subject.waiting
        if callback is None or inner_wait is None or inner_wait.poll is None or len(search.findings) >= _MOST_ALIKE:
            continue
        _foreign_poll(search, subject, outer, callback, second, inner_wait)


def _foreign_poll(
    search: _Search, subject: Subject, outer: int, callback: int, second: Optional[int], waiting: Waiting
) -> None:
    context, stack = search.context, subject.stack
    holds = next((h for h in subject.held if h.lock == "BQL"), None)
    name = the(subject)
    main = context.with_role("main-loop")
    asked = next((p for p in range(outer + 1, len(stack)) if stack.names[p] and stack.names[p] != "aio_poll"), outer)
    sentences: List[str] = []
    proof: List[Evidence] = []
    stopper = holds.at if holds is not None else None
    request = _outer_cause(stack, asked, stopper)
    if holds is not None and holds.at is not None:
        phase = stories.migration_phase(stack)
        role = "the migration thread" if subject.told.role == "migration" else name
        begin = _stop_caller(stack, holds.at)
        if begin is not None:
            sentences.append(
                f"{capital(stack.names[begin])} ({'frame ' + str(stack.level(begin))}) has {role} stop the VM with "
                f"the BQL held "
                f"(from {at(stack, holds.at)} on)."
            )
        else:
            sentences.append(
                f"{capital(role)} runs with the BQL held (from {at(stack, holds.at)} "
                f"on{'; ' + phase if phase else ''})."
            )
        proof.append(evidence(subject, holds.at, f"holds the BQL: {holds.basis}"))
    if request:
        sentences.append(request)
    sentences.append(
        f"It polls the main AioContext itself (aio_poll, frame {stack.level(outer)}, for {at(stack, asked)})"
        f"; in that poll {_callback_text(context, subject, callback)} runs."
    )
    proof.append(evidence(subject, outer, "first aio_poll"))
    proof.append(evidence(subject, callback, f"{stack.names[callback]} runs inside the first poll"))
    if second is not None and waiting.poll is not None:
        sentences.append(
            f"There it polls once more (frame {stack.level(waiting.poll)}, in {at(stack, waiting.at)}), an event "
            f"loop inside an event "
            f"loop, {waiting.says}; what would end that wait runs in the main loop."
        )
        proof.append(evidence(subject, waiting.poll, f"second aio_poll, in {stack.names[waiting.at]}"))
    blocked_main = [s for s in main if s.waiting is not None and s.waiting.kind == "bql"]
    steps: List[str] = []
    confidence = "likely"
    if blocked_main:
        sentences.append(f"{who(blocked_main[0])} waits for the BQL, so neither goes on.")
        proof.append(
            evidence(
                blocked_main[0], blocked_main[0].waiting.at if blocked_main[0].waiting else None, "waits for the BQL"
            )
        )
        if any(h.confidence == "certain" for h in subject.held if h.lock == "BQL"):
            confidence = "certain"
    elif main:
        sentences.append(f"{who(main[0])} does not wait for the BQL in this sample.")
        confidence = "possible"
    elif holds is not None:
        sentences.append(
            "The main loop needs the BQL to run its handlers, so neither can go on. Not shown: the main loop."
        )
        steps = [
            f"{_ALL_THREADS}: look for bql_lock or qemu_mutex_lock_iothread in the main loop's thread",
            "p qemu_global_mutex (bql from 9.0): __owner is the LWP of the thread that holds it",
        ]
    else:
        confidence = "possible"
        steps = [_ALL_THREADS]
    who_polls = "The migration thread" if subject.told.role == "migration" else who(subject)
    if second is not None:
        title = f"{who_polls} polls the main AioContext inside its own poll; main loop shut out"
        if len(title) > 90:
            title = f"{capital(short(subject))} polls the main AioContext inside its own poll; main loop shut out"
    else:
        title = f"{who_polls} polls the main AioContext with the BQL held; the main loop is shut out"
    kind = "hang.deadlock" if second is not None or blocked_main else "hang.drain-waits-for-io"
    search.add(
        finding(
            kind,
            title,
            confidence,
            sentences,
            subjects=[subject, *blocked_main],
            proof=proof,
            steps=steps,
            rule="nested-poll",
        ),
        [subject, *blocked_main],
    )


_STOPPERS = ("vm_stop", "vm_stop_force_state", "do_vm_stop", "vm_shutdown", "migration_stop_vm")


def _stop_caller(stack: Stack, held_at: int) -> Optional[int]:
    """The frame that asked for the stop of the VM: the one outside of the vm_stop functions."""
    if stack.names[held_at] not in _STOPPERS:
        return None
    position = held_at + 1
    while position < len(stack) and (stack.names[position] in _STOPPERS or not stack.names[position]):
        position += 1
    return position if position < len(stack) else None


def _outer_cause(stack: Stack, asked: int, stopper: Optional[int]) -> str:
    """What stands between the stop of the VM and the poll: a device that stops its ioeventfd or dataplane."""
    for position in range(asked + 1, stopper if stopper is not None else min(len(stack), asked + 30)):
        name = stack.names[position]
        if (
            "data_plane_stop" in name
            or "dataplane_stop" in name
            or name in ("virtio_bus_stop_ioeventfd", "vhost_dev_stop")
        ):
            device = {"virtio_blk": "virtio-blk", "virtio_scsi": "virtio-scsi"}.get("_".join(name.split("_")[:2]), "")
            move = any("set_aio_context" in n or "change_aio_context" in n for n in stack.names[asked:position])
            what = "moves the disk to the main AioContext" if move else "waits for the disk's requests"
            if device:
                return f"{device}'s dataplane stop ({'frame ' + str(stack.level(position))}) {what}."
            return f"A virtio device stops its ioeventfd (frame {stack.level(position)}) and {what}."
    return ""


def _callback_text(context: Context, subject: Subject, callback: int) -> str:
    stack = subject.stack
    name = stack.names[callback]
    kind = ""
    if name in ("job_exit", "block_job_*"):
        inner = stack.names[:callback]
        job = next(
            (j for j in ("mirror", "backup", "commit", "stream") if any(n.startswith(f"{j}_") for n in inner)), ""
        )
        kind = f" (the end of a {job} job)" if job else " (the end of a block job)"
    return f"{at(stack, callback)}{kind}"


# --------------------------------------------------------------------------------------------------------------
# Cycles


def _cycles(search: _Search) -> None:
    context = search.context
    for cycle in cycles(context):
        if any(id(s) in search.told for s in cycle):
            continue
        if len(cycle) == 1:
            _self_lock(search, cycle[0])
            continue
        if all(s.waiting is not None and s.waiting.kind in ("vcpu-stop", "exclusive-end") for s in cycle):
            continue
        _cycle(search, cycle)


def _self_lock(search: _Search, subject: Subject) -> None:
    waiting, stack = subject.waiting, subject.stack
    if waiting is None or waiting.kind == "exclusive":
        return
    position = waiting.at
    again = stack.find(stack.names[position], position + 1)
    path = [stack.names[p] for p in range(position, (again or position) + 1) if stack.names[p]]
    shown = " → ".join(reversed(_thin(path)))
    certain = waiting.owner_known == "certain"
    sentences = [
        f"{who(subject)} waits {waiting.says}" + (f" in {at(stack, position)}." if stack.names[position] else "."),
    ]
    if again is not None:
        sentences.append(
            f"{stack.names[position]} is on the stack a second time (frame {stack.level(again)}): the outer call "
            f"runs with the lock "
            f"held and came back to it by {shown}. The lock is not recursive, so the thread waits for itself."
        )
    elif certain:
        sentences.append(f"It holds that lock itself ({waiting.basis}).")
    if any(h.lock == "BQL" for h in subject.held):
        sentences.append("It holds the BQL meanwhile: the main loop, the monitor and every device wait with it.")
    title = f"{who(subject)} waits for a lock that it holds itself"
    if again is not None:
        title = f"{stack.names[position]} is entered again with its lock held: the thread waits for itself"
    search.add(
        finding(
            "hang.deadlock",
            title,
            "certain" if certain else "likely",
            sentences,
            subjects=[subject],
            proof=[evidence(subject, position, f"waits {waiting.says}")]
            + ([evidence(subject, again, "the outer call, with the lock held")] if again is not None else []),
            steps=[]
            if certain
            else [f"print the mutex in frame {stack.level(max(position - 1, 0))}: __owner is this thread's own LWP"],
            rule="self-lock",
        ),
        [subject],
    )


def _thin(path: List[str]) -> List[str]:
    kept: List[str] = []
    for name in path:
        if name not in holders.PRIMITIVES and (not kept or kept[-1] != name):
            kept.append(name)
    return kept[:6] if len(kept) <= 6 else [kept[0], "...", *kept[-4:]]


def _cycle(search: _Search, cycle: List[Subject]) -> None:
    context = search.context
    if cycle[0].number is not None and all(s.number is not None for s in cycle):
        first = min(cycle, key=lambda s: s.number or 0)
        cycle = cycle[cycle.index(first) :] + cycle[: cycle.index(first)]
    victims = [s for s in _waiters(context, cycle) if s not in cycle]
    sentences: List[str] = []
    proof: List[Evidence] = []
    steps: List[str] = []
    certain = True
    for subject in cycle:
        waiting = subject.waiting
        assert waiting is not None
        owner = cycle[(cycle.index(subject) + 1) % len(cycle)]
        certain = certain and waiting.owner_known == "certain"
        sentences.append(_link(context, subject, waiting, owner))
        proof.append(
            evidence(
                subject,
                waiting.at,
                f"waits {waiting.says}" + (f"; owner: {short(owner)} ({waiting.basis})" if waiting.basis else ""),
            )
        )
        if waiting.owner_known != "certain":
            steps.append(_proof_step(subject, waiting))
    objects = [s.waiting.object for s in cycle if s.waiting is not None]
    sentences += _extra(context, cycle)
    if victims:
        sentences.append(f"{capital(listed(victims))} only {'waits' if len(victims) == 1 else 'wait'} behind them.")
    if len(cycle) == 2:
        title = f"{capital(short(cycle[0]))} and {short(cycle[1])} wait for each other: {_kinds(objects)}"
    else:
        title = f"{len(cycle)} threads wait for each other in a circle: {_kinds(objects)}"
    search.add(
        finding(
            "hang.deadlock",
            title,
            "certain" if certain else "likely",
            sentences,
            subjects=cycle,
            proof=proof,
            steps=steps,
            rule="cycle",
        ),
        [*cycle, *victims],
    )


def _kinds(objects: Sequence[str]) -> str:
    plain = []
    for name in objects:
        if name.startswith("AioContext lock"):
            name = "AioContext lock"
        elif name.startswith("the mutex that"):
            name = "a mutex"
        elif name in ("a thread",):
            name = "a join"
        elif name == "qemu_pause_cond":
            name = "the stop of the vCPUs"
        plain.append(name)
    return " against ".join(dict.fromkeys(plain))


def _link(context: Context, subject: Subject, waiting: Waiting, owner: Subject) -> str:
    """One link of a chain, as a sentence."""
    stack = subject.stack
    where = f" ({at(stack, waiting.at)})" if waiting.at < len(stack) and stack.names[waiting.at] else ""
    by = _doing(context, subject)
    if waiting.kind == "join":
        return f"{who(subject)}{by} waits{where} until {the(owner)} ends."
    if waiting.poll is not None:
        return f"{who(subject)}{by} polls{where} {waiting.says}; {the(owner)} would have to act."
    known = {"certain": "holds it", "likely": "must hold it"}.get(waiting.owner_known, "may hold it")
    basis = (
        f" ({waiting.basis})"
        if waiting.basis and waiting.owner_known == "certain" and waiting.basis.startswith("__")
        else ""
    )
    if waiting.kind in ("bql", "mutex", "aiocontext-lock"):
        reason = f": {waiting.basis}" if waiting.owner_known == "likely" and waiting.basis else ""
        return f"{who(subject)}{by} waits {waiting.says}{where}; {the(owner)} {known}{basis}{reason}."
    return f"{who(subject)}{by} waits {waiting.says}{where}; {the(owner)} would have to act."


def _doing(context: Context, subject: Subject) -> str:
    """What the thread was at when it began to wait, as a clause."""
    command = stories.monitor_command(subject.stack)
    if command is not None:
        return f", in the {command.text},"
    access = stories.guest_access(subject.stack, context.facts)
    if access is not None and access.text:
        return f", serving a {access.text},"
    return ""


def _extra(context: Context, cycle: Sequence[Subject]) -> List[str]:
    """What an expert adds about a cycle of these locks."""
    found = []
    kinds = {s.waiting.kind for s in cycle if s.waiting is not None}
    if kinds == {"bql", "aiocontext-lock"}:
        found.append("The two locks are taken in opposite orders (ABBA); AioContext locks are gone from QEMU 9.0 on.")
    if "join" in kinds and "bql" in kinds:
        found.append("The joining thread has to give up the BQL around the join.")
    holder = next(
        (
            s
            for s in cycle
            if s.waiting is not None
            and s.waiting.kind == "bql"
            and s.told.role == "main-loop"
            and s.stack.find(("os_host_main_loop_wait", "main_loop_wait")) is not None
            and s.stack.find(("glib_pollfds_poll", "g_main_context_dispatch")) is None
        ),
        None,
    )
    coroutines = [s for s in context.live_subjects if s.told.role == "coroutine" or s.told.thread.coroutine]
    if holder is not None and coroutines and "aiocontext-lock" in kinds:
        inner = common.qemu_frame(coroutines[0].stack, 2)
        name = next(
            (
                n
                for n in coroutines[0].stack.names
                if n
                and "coroutine" not in n
                and n not in holders.PRIMITIVES
                and not n.startswith(("qemu_co_", "bdrv_co_"))
            ),
            None,
        )
        if inner is not None and name:
            found.append(
                f"The main loop is back in its own wait and still owns the AioContext lock: the coroutine shown "
                f"({name}) took it and "
                "yielded with it."
            )
    return found


def _proof_step(subject: Subject, waiting: Waiting) -> str:
    if waiting.kind == "bql":
        return "p qemu_global_mutex (bql from 9.0): __owner is the LWP of its holder"
    if waiting.address:
        return f"p *(pthread_mutex_t *) 0x{waiting.address:x}: __owner is the LWP of its holder"
    if waiting.kind in ("mutex", "aiocontext-lock"):
        level = subject.stack.level(max(0, min(waiting.at, len(subject.stack) - 1) - 1))
        return f"in {short(subject)}, frame {level}: p *mutex; __owner is the LWP of its holder"
    return ""


def _waiters(context: Context, ends: Sequence[Subject]) -> List[Subject]:
    """Threads that wait, directly or through others, for one of ``ends``."""
    found: List[Subject] = []
    for subject in context.live_subjects:
        if subject.waiting is None or subject.waiting.resting or subject in ends:
            continue
        if any(s in ends for s in chain(subject)[1:]):
            found.append(subject)
    return found


# --------------------------------------------------------------------------------------------------------------
# An iothread wants the AioContext lock that the polling main loop keeps


def _lock_against_poll(search: _Search) -> None:
    context = search.context
    wanting = [s for s in context.live_subjects if s.waiting is not None and s.waiting.kind == "aiocontext-lock"]
    pollers = [s for s in context.live_subjects if s.waiting is not None and s.waiting.poll is not None][:64]
    for subject in wanting[:64]:
        waiting = subject.waiting
        if waiting is None or id(subject) in search.told:
            continue
        polling = [s for s in pollers if s is not subject and (s in waiting.owners or s.told.role == "main-loop")]
        if not polling:
            continue
        poller = polling[0]
        theirs = poller.waiting
        assert theirs is not None
        stack = poller.stack
        held = next((h for h in poller.held if h.lock.startswith("AioContext lock")), None)
        sentences = [
            f"{who(poller)} polls in {at(stack, theirs.at)} {theirs.says}.",
            f"{who(subject)} would have to act, but waits for the AioContext lock ({at(subject.stack, waiting.at)}).",
        ]
        if held is not None and held.at is not None:
            sentences.append(
                f"{who(poller)} keeps that lock since {at(stack, held.at)}: {held.basis}; a poll gives it up only "
                f"once, so a lock "
                "taken twice stays held."
            )
        else:
            sentences.append(
                f"If {the(poller)} holds that lock (a poll gives it up only once, so one taken twice stays held), "
                f"neither "
                "can go on."
            )
        if theirs.kind == "graph-wrlock":
            sentences.append("An AioContext lock must not be held while waiting for the graph write lock.")
        victims = [s for s in _waiters(context, [poller]) if s is not subject]
        if victims:
            sentences.append(
                f"{capital(listed(victims))} {'waits' if len(victims) == 1 else 'wait'} for the BQL behind them."
            )
        search.add(
            finding(
                "hang.deadlock",
                f"{capital(short(poller))} polls for {short(subject)}, which waits for its AioContext lock",
                "likely" if held is not None else "possible",
                sentences,
                subjects=[poller, subject],
                proof=[
                    evidence(poller, theirs.at, f"polls {theirs.says}"),
                    evidence(subject, waiting.at, "waits for the lock"),
                ],
                steps=[_proof_step(subject, waiting)],
                rule="lock-against-poll",
            ),
            [poller, subject, *victims],
        )
        return


# --------------------------------------------------------------------------------------------------------------
# Chains to the last link


_MOST_CHAINS = 64  # last links that are looked at


def _chains(search: _Search) -> None:
    context = search.context
    groups: Dict[int, Tuple[Subject, List[Subject]]] = {}
    for subject in context.live_subjects:
        if id(subject) in search.told or _is_background(subject):
            continue
        if subject.waiting is None:
            if blocked_call(subject.stack) is None:
                continue
        elif subject.waiting.resting:
            continue
        path = chain(subject)
        last = path[-1]
        if id(last) in search.told:
            continue
        end, victims = groups.setdefault(id(last), (last, []))
        if subject is not end:
            victims.append(subject)
    for last, victims in list(groups.values())[:_MOST_CHAINS]:
        # a grace period that ends when this does: the RCU thread waits in the background
        victims = [
            v for v in victims if not (v.told.role == "rcu" and v.waiting is not None and v.waiting.kind == "rcu")
        ]
        result = _last_link(context, last, victims)
        if result is not None:
            search.add(result, [last, *victims])


_BACKGROUND = (
    "thread-pool-worker",
    "rcu",
    "vnc-worker",
    "spice-worker",
    "glib-worker",
    "external-library",
    "display",
    "audio",
    "monitor-iothread",
    "multifd-send",
    "multifd-recv",
    "compress",
    "unknown",
    "test",
    "mem-prealloc",
    "postcopy-fault",
    "migration-return-path",
)


def _is_background(subject: Subject) -> bool:
    """A thread whose own wait alone says nothing about the process."""
    waiting = subject.waiting
    if subject.told.role not in _BACKGROUND:
        return subject.told.thread.history
    if waiting is not None and waiting.kind in ("bql", "aiocontext-lock", "rcu", "rcu-callbacks", "peer"):
        return False
    if waiting is not None and waiting.kind == "mutex" and subject.told.role not in ("external-library", "unknown"):
        return False
    return not (subject.told.role == "unknown" and waiting is not None and _meaningful(waiting))


def _meaningful(waiting: Waiting) -> bool:
    return waiting.kind in (
        "drain",
        "drain-end",
        "graph-wrlock",
        "nested-poll",
        "job",
        "vcpu-stop",
        "exclusive",
        "vcpu-work",
        "join",
        "multifd-sync",
        "peer",
        "condvar",
        "semaphore",
        "event",
        "poll",
        "futex",
        "mutex",
    )


def blocked_call(stack: Stack) -> Optional[Tuple[str, int]]:
    """The system call in which the thread sits, and the position of the QEMU or library frame above it."""
    name = stack.names[0] if stack.names else ""
    first = 0
    if not name and len(stack) > 1:
        name, first = stack.names[1], 1
    if name not in holders.SYSCALLS:
        return None
    position = first + 1
    while position < len(stack) and (
        stack.names[position] in holders.SYSCALLS
        or stack.names[position].startswith(("__libc_", "_IO_", "__syscall", "__internal_sys", "__GI_"))
    ):
        name = stack.names[position] if stack.names[position] in holders.SYSCALLS and name == "syscall" else name
        position += 1
    name = re.sub(r"^(?:__libc_|_+)", "", re.sub(r"_syscall$", "", name))
    if position >= len(stack):
        return None
    above = stack.names[position]
    if name in ("ioctl",) and above in (
        "kvm_vcpu_ioctl",
        "kvm_cpu_exec",
        "kvm_vm_ioctl",
        "kvm_ioctl",
        "kvm_run",
        "mshv_run_vcpu",
    ):
        return None
    if name == "syscall" and (above in holders.PRIMITIVES or "futex" in above):
        return None
    if not above and name == "ioctl":
        return None
    return name, position


def _last_link(context: Context, last: Subject, victims: List[Subject]) -> Optional[Finding]:
    waiting = last.waiting
    if waiting is None:
        call = blocked_call(last.stack)
        if call is not None:
            return _syscall(context, last, victims, *call)
        return _executing(context, last, victims) if victims else None
    if waiting.kind in ("drain", "drain-end", "nested-poll", "graph-wrlock", "job") and waiting.poll is not None:
        return _poll_wait(context, last, victims, waiting)
    if waiting.kind == "vcpu-stop":
        return _vcpu_stop(context, last, victims, waiting)
    if waiting.kind in ("rcu", "rcu-callbacks"):
        return _rcu(context, last, victims, waiting)
    if waiting.kind == "bql":
        return _bql_wait(context, last, victims, waiting)
    if waiting.kind in ("mutex", "aiocontext-lock"):
        return _lock_wait(context, last, victims, waiting)
    if waiting.kind == "rest" and victims:
        return None
    if waiting.kind == "postcopy-load":
        return None
    return _other_wait(context, last, victims, waiting)


def _holding(subject: Subject) -> str:
    """ "It holds the BQL meanwhile: ..." as a sentence."""
    held = next((h for h in subject.held if h.lock == "BQL"), None)
    if held is None or subject.stack.find(("qemu_init", "__run_exit_handlers")) is not None:
        return ""
    if subject.told.role == "main-loop":
        return (
            f"{who(subject)} holds the BQL meanwhile: QMP, HMP, timers and every device on the main loop wait with it."
        )
    return "It holds the BQL meanwhile: the main loop, the monitor and other vCPUs' device accesses wait with it."


def _victims_text(victims: Sequence[Subject]) -> str:
    if not victims:
        return ""
    rcu = [v for v in victims if v.waiting is not None and v.waiting.kind in ("rcu", "rcu-callbacks")]
    if len(rcu) == len(victims):
        first = rcu[0]
        at_wait = first.waiting.at if first.waiting is not None else 0
        return (
            f"{capital(listed(victims))} {'waits' if len(victims) == 1 else 'wait'} for an RCU grace period "
            f"({at(first.stack, at_wait)}) that this thread's read-side critical section holds up."
        )
    bql = [v for v in victims if v.waiting is not None and v.waiting.kind == "bql"]
    if len(bql) == len(victims):
        return (
            f"{capital(listed(victims))} {'waits' if len(victims) == 1 else 'wait'} for the BQL, and only "
            f"because of this."
        )
    return f"{capital(listed(victims))} {'waits' if len(victims) == 1 else 'wait'} behind it."


def _command(stack: Stack) -> str:
    command = stories.monitor_command(stack)
    return f'The monitor command "{command.command}"' if command is not None else ""


def _lead(context: Context, subject: Subject) -> str:
    text = common.story(context, subject)
    return f"{who(subject)}: {text.rstrip('.')}." if text else ""


# --- polls


def _poll_wait(context: Context, last: Subject, victims: List[Subject], waiting: Waiting) -> Finding:
    stack = last.stack
    requests = context.facts.requests
    poll_frame = f"frame {stack.level(waiting.poll)}" if waiting.poll is not None else ""
    sentences = [_lead(context, last)]
    command = _command(stack)
    asked = _asker(stack, waiting.at)
    what = {
        "drain": "a drain",
        "drain-end": "the end of a drain",
        "graph-wrlock": "the graph write lock",
        "job": "a job",
    }.get(waiting.kind, "")
    sentences.append(
        f"It polls in {at(stack, waiting.at)}{f', called by {asked},' if asked else ''} {waiting.says}"
        f"{f' (aio_poll, {poll_frame})' if poll_frame else ''}."
    )
    proof = [evidence(last, waiting.at, f"polls {waiting.says}")]
    steps: List[str] = []
    confidence = "likely"
    kind = "hang.drain-waits-for-io"
    if requests and waiting.kind in ("drain", "nested-poll", "job", "graph-wrlock", "drain-end"):
        sentences.append(_requests(context, requests))
        confidence = "certain"
        server = next((n.peer for n in context.facts.nodes if n.peer and any(r.node == n.name for r in requests)), "")
        driver = requests[0].driver
        if driver == "nbd":
            steps.append(f"look at that NBD server{f' ({server})' if server else ''}")
        steps += [f"qemu-coroutines 0x{r.coroutine:x}" for r in requests[:2] if r.coroutine]
        for request in requests[:4]:
            proof.append(Evidence(text=_request_text(request)))
    elif (
        peer := _peer(stack, waiting.at, min(waiting.at + 3, len(stack)))[0]
    ) is not None and peer.name in _POLLED_PEERS:
        return _polled_peer(context, last, victims, waiting, peer, [x for x in sentences if x], proof)
    else:
        workers, coroutine = _request_elsewhere(context)
        if coroutine is not None:
            text, step = coroutine
            sentences.append(text)
            steps.append(step)
        if workers:
            worker = workers[0]
            call = blocked_call(worker.stack)
            name = call[0] if call else "a system call"
            sentences.append(
                f"{who(worker)} is in {name}(), which may be such a request: then the storage behind it is what "
                f"does not answer."
            )
            proof.append(evidence(worker, 0, f"in {name}()"))
            steps.append(f"is {short(worker)} still in {name}() a minute later? Then look at that storage")
        graph = _graph_writer(stack, waiting)
        if graph:
            sentences.append(graph)
        if not workers and coroutine is None and not graph:
            hidden = "Which request that is, no stack shows: it is a coroutine that has yielded, or is in the kernel."
            if waiting.kind == "graph-wrlock":
                hidden = (
                    "Which reader that is, no stack shows: it is a coroutine that has yielded inside a read section."
                )
            sentences.append(hidden)
        if context.snapshot.source.kind == "text":
            steps += _text_steps(stack, waiting)
    sentences += [_holding(last), _victims_text(victims)]
    if waiting.kind == "drain" or (waiting.kind in ("nested-poll", "drain-end", "job", "graph-wrlock")):
        subject_words = command or capital(_actor(context, last))
        if waiting.kind == "graph-wrlock":
            title = f"{subject_words} waits for readers of the block graph that never leave"
        elif waiting.kind == "job":
            title = f"{subject_words} waits for a job that does not end"
        elif waiting.kind == "drain-end":
            title = f"{subject_words} waits for the end of a drained section in another AioContext"
        elif waiting.kind == "drain":
            title = f"{subject_words} waits in a drain for disk I/O that does not complete"
            if command:
                title = f"{command} waits for disk I/O that does not complete"
        else:
            title = f"{subject_words} waits {waiting.says}, polling in {stack.names[waiting.at]}"
    iothreads = [s for s in context.live_subjects if s.told.role == "iothread" and s is not last]
    stuck = [s for s in iothreads if s.waiting is not None and not s.waiting.resting and s not in victims]
    if stuck:
        sentences.append(
            f"{who(stuck[0])} is stuck too ({stuck[0].waiting.says if stuck[0].waiting else ''}), and may be the "
            f"one that would complete it."
        )
    executing = blocked_call(stack) is None and stack.names[0] not in holders.PRIMITIVES
    if (
        executing
        and not requests
        and confidence == "likely"
        and waiting.kind not in ("drain", "graph-wrlock", "drain-end")
    ):
        confidence = "possible"
    del what
    return finding(
        kind,
        title,
        confidence,
        sentences,
        subjects=[last, *victims],
        proof=proof,
        steps=steps,
        rule=f"poll.{waiting.kind}",
    )


def _tool_requests(search: _Search) -> None:
    """A tool (qemu-img, qemu-nbd...) whose main loop rests while requests that it waits for are in flight."""
    context = search.context
    requests = context.facts.requests
    tools = [s for s in context.with_role("tool-main") if s.waiting is not None and s.waiting.resting]
    if not requests or not tools or search.findings:
        return
    tool = tools[0]
    outer = tool.stack.find(("main_loop_wait",))
    caller = common.qemu_frame(tool.stack, outer + 1) if outer is not None else None
    if outer is None or caller is None or tool.stack.names[caller] == "main":
        return
    found = {c.address: c for c in context.snapshot.coroutines}
    kinds = {found[r.coroutine].waits_kind for r in requests if r.coroutine in found}
    server = next((n.peer for n in context.facts.nodes if n.peer and any(r.node == n.name for r in requests)), "")
    peer = "peer" in kinds or bool(server)
    served = _one_each(context, requests)
    name = context.explanation.program or context.snapshot.program or "The tool"
    sentences = [
        f"{who(tool)} waits in its main loop for {at(tool.stack, caller)} to finish.",
        _requests(context, requests),
    ]
    steps = [f"look at that {served[0].driver.upper()} server{f' ({server})' if server else ''}"] if peer else []
    steps += [f"qemu-coroutines {r.coroutine:#x}" for r in requests[:2] if r.coroutine]
    search.add(
        finding(
            "hang.waiting-for-peer" if peer else "hang.drain-waits-for-io",
            f"{name} waits for {'a server that does not answer' if peer else 'block requests that do not complete'}",
            "likely",
            sentences,
            subjects=[tool],
            proof=[
                evidence(tool, caller, tool.stack.names[caller]),
                *[Evidence(text=_request_text(r)) for r in requests[:3]],
            ],
            steps=steps,
            rule="tool-requests",
        ),
        [tool],
    )


_POLLED_PEERS = ("nbd", "connect", "chardev-wait", "tls", "vhost-user", "ssh", "iscsi", "gluster", "rbd", "nfs", "curl")


def _polled_peer(
    context: Context,
    last: Subject,
    victims: List[Subject],
    waiting: Waiting,
    peer: holders.Peer,
    sentences: List[str],
    proof: List[Evidence],
) -> Finding:
    """A nested poll for an outside party, which another thread may be asking."""
    command = _command(last.stack)
    sentences[-1] = (
        f"It polls in {at(last.stack, waiting.at)} for {peer.says} (aio_poll, frame "
        f"{last.stack.level(waiting.poll or 0)})."
    )
    helper = None
    for subject in context.live_subjects:
        call = blocked_call(subject.stack) if subject is not last and subject.waiting is None else None
        if call is None:
            continue
        asked, position = _peer(subject.stack, call[1], min(call[1] + 14, len(subject.stack)))
        if asked is peer:
            helper = subject
            sentences.append(f"{who(subject)} asks it, in {call[0]}() for {at(subject.stack, position)}.")
            proof.append(evidence(subject, position, f"in {call[0]}()"))
            break
    sentences += [_holding(last), _victims_text(victims)]
    title = f"{command} waits for {peer.says}, which does not answer" if command else peer.title
    return finding(
        "hang.waiting-for-peer",
        title,
        "likely",
        sentences,
        subjects=[last, *([helper] if helper is not None else []), *victims],
        proof=proof,
        steps=[capital(peer.advice)],
        rule=f"poll-peer.{peer.name}",
    )


def _asker(stack: Stack, position: int) -> str:
    """The function that wanted the drain: the first one outside of the drain's own layers."""
    skip = (
        "bdrv_drain",
        "blk_drain",
        "bdrv_do_drain",
        "bdrv_subtree",
        "bdrv_parent_drain",
        "aio_wait",
        "bdrv_flush_all",
        "blk_root_drain",
    )
    for candidate in range(position + 1, min(position + 6, len(stack))):
        name = stack.names[candidate]
        if name and not name.startswith(skip) and name != stack.names[position]:
            return at(stack, candidate)
    return ""


def _actor(context: Context, subject: Subject) -> str:
    return who(subject) if subject.number is not None or subject.told.role != "unknown" else "this thread"


# QEMU's code that takes the graph write lock and then drains or polls inside: block.c, blockjob.c, 8.1 to 10.0
_GRAPH_WRITERS = (
    "block_job_remove_all_bdrv",
    "bdrv_root_unref_child",
    "blk_remove_bs",
    "bdrv_unref_child",
    "bdrv_replace_node",
    "bdrv_append",
    "bdrv_set_backing_hd",
    "bdrv_drop_filter",
)


def _graph_writer(stack: Stack, waiting: Waiting) -> str:
    if waiting.kind == "graph-wrlock":
        inner = stack.find(("job_exit", "job_do_finalize_locked", "job_finalize_single_locked"), waiting.at)
        if inner is not None:
            return (
                "Readers are coroutines inside the block layer; one that was drained, or waits for a lock this "
                "thread holds, never leaves."
            )
        return ""
    if waiting.kind != "drain":
        return ""
    position = stack.find(("block_job_remove_all_bdrv",), waiting.at)
    if position is None:
        return ""
    return (
        f"{at(stack, position)} takes the graph write lock before it (QEMU 8.1 to 10.0), and draining inside that "
        f"section is forbidden: the "
        "request that the drain waits for may itself wait for the graph's read lock."
    )


def _requests(context: Context, requests: Sequence[Request]) -> str:
    """The requests in flight, each with what its coroutine waits for; one whose wait is known first."""
    found = {c.address: c for c in context.snapshot.coroutines}
    parts = []
    requests = _one_each(context, requests)
    for request in requests[:3]:
        text = _request_text(request)
        coroutine = found.get(request.coroutine)
        if coroutine is not None:
            peer = next((n.peer for n in context.facts.nodes if n.name == request.node), "")
            server = f" ({peer})" if peer and peer not in coroutine.waits_text else ""
            text += f"; its coroutine {request.coroutine:#x} {coroutines.waits(coroutine)}{server}"
        elif request.waiting_for:
            text += f"; it waits for the request of coroutine {request.waiting_for:#x}"
        parts.append(text)
    count = len(requests)
    more = f"; and {count - 3} more" if count > 3 else ""
    return f"{count} request{'s are' if count != 1 else ' is'} in flight: " + "; ".join(parts) + more + "."


def _one_each(context: Context, requests: Sequence[Request]) -> List[Request]:
    """One request for each coroutine: the one on the node that talks to a server, else the innermost (the last)."""
    peers = {n.name for n in context.facts.nodes if n.peer}
    chosen: Dict[int, Request] = {}
    for index, request in enumerate(requests):
        key = request.coroutine or -index - 1
        if key not in chosen or chosen[key].node not in peers:
            chosen[key] = request
    return list(chosen.values())


def _request_text(request: Request) -> str:
    origin = f", for {request.origin}" if request.origin else ""
    return f"{request.node} ({request.driver}): {request.type} of {request.bytes} bytes at {request.offset}{origin}"


def _request_elsewhere(context: Context) -> Tuple[List[Subject], Optional[Tuple[str, str]]]:
    """Workers in a system call that may be the request, and what a coroutine's stack in the text shows."""
    workers = [s for s in context.with_role("thread-pool-worker") if blocked_call(s.stack) is not None]
    coroutine = None
    for subject in context.subjects:
        if not (subject.told.thread.coroutine or subject.told.role == "coroutine"):
            continue
        stack = subject.stack
        names = [
            n
            for n in stack.names
            if n and n not in ("qemu_coroutine_switch", "qemu_coroutine_yield", "coroutine_trampoline")
        ]
        if not names or stack.names[0] not in ("qemu_coroutine_switch", "qemu_coroutine_yield"):
            continue
        peer = next((p for p in holders.PEERS if any(n in p.functions for n in names)), None)
        inner = names[0]
        key = next((n for n in reversed(names) if not n.startswith("__") and n != "makecontext"), inner)
        if peer is not None:
            coroutine = (
                f"The coroutine shown is one that keeps it waiting: it has yielded in {inner} for {peer.says} ({key}).",
                capital(peer.advice),
            )
        else:
            coroutine = (f"The coroutine shown has yielded in {inner} ({key}).", "")
        break
    return workers, coroutine


def _text_steps(stack: Stack, waiting: Waiting) -> List[str]:
    steps = []
    for position in range(waiting.at, max(waiting.at - 4, -1), -1):
        bs = stack.arg(position, "bs")
        if bs is not None:
            level = stack.level(position)
            steps.append(
                f"frame {level}: p bs->node_name, p bs->in_flight, p *bs->tracked_requests.lh_first (its co is the "
                f"coroutine that "
                "keeps it)"
            )
            break
    else:
        if waiting.kind in ("drain", "nested-poll", "job"):
            steps.append(
                "qemu-requests (or, for each node: p *bs->tracked_requests.lh_first): which request is in flight, "
                "and in which coroutine"
            )
        elif waiting.kind == "graph-wrlock":
            steps.append("p aio_context_list and each reader_count: which AioContext holds the reader")
    steps.append(_ALL_THREADS)
    return steps


# --- system calls


def _syscall(context: Context, last: Subject, victims: List[Subject], call: str, position: int) -> Optional[Finding]:
    stack = last.stack
    peer, peer_at = _peer(stack, 0, min(position + 26, len(stack)))
    held = any(h.lock == "BQL" for h in last.held)
    role = last.told.role
    if role == "user-mode" or (
        role == "iothread" and not victims and stack.find("iothread_run", position, position + 2) is not None
    ):
        return None
    if not victims and not held and peer is None and role not in ("main-loop", "migration", "tool-main", "iothread"):
        return None
    in_start = stack.find("qemu_init") is not None
    caller = stack.names[position] or "an unnamed function"
    story = _lead(context, last)
    command = _command(stack)
    descriptor = stack.arg_number(0, "fd", "__fd", "sockfd", "s")
    fd = f" on descriptor {descriptor}" if descriptor is not None else ""
    sentences = [
        story,
        f"{'It' if story else who(last)} is in {call}(){fd}, called by {at(stack, position)}"
        + (
            f", for {at(stack, peer_at)}: it waits for {peer.says}."
            if peer is not None and peer_at > position
            else f": it waits for {peer.says}."
            if peer is not None
            else "."
        ),
    ]
    proof = [evidence(last, 0, f"in {call}()"), evidence(last, position, f"called by {caller}")]
    steps = [capital(peer.advice)] if peer is not None else []
    if descriptor is not None and context.snapshot.source.kind == "text":
        steps.append(f"ls -l /proc/PID/fd/{descriptor} on the host: what that descriptor is")
    sentences += [_holding(last), _victims_text(victims)]
    if role == "migration" and not held:
        sentences.append("It does not hold the BQL: the guest, the main loop and the monitor go on.")
    if peer is not None and peer.name == "migration-write":
        migration = next((m for m in context.facts.migration if m.direction == "outgoing"), None)
        if migration is not None and migration.uri:
            sentences.append(f"The stream goes to {migration.uri}.")
        if stack.find("qio_channel_command_writev") is not None:
            steps.append("while the pipe is full migrate_cancel can't wake this thread; ending the command does")
    if peer is not None:
        if in_start:
            peer_title = f"QEMU is still starting: it waits for {peer.says}"
            return finding(
                "hang.waiting-for-peer",
                peer_title,
                "likely",
                [*sentences, "No vCPU runs yet."],
                subjects=[last, *victims],
                proof=proof,
                steps=steps,
                rule=f"peer.{peer.name}",
            )
        return finding(
            "hang.waiting-for-peer",
            peer.title,
            "likely",
            sentences,
            subjects=[last, *victims],
            proof=proof,
            steps=steps,
            rule=f"peer.{peer.name}",
        )
    locked = (
        " with the BQL held"
        if held
        else (" with an AioContext lock held" if any(h.lock.startswith("Aio") for h in last.held) else "")
    )
    if any(h.lock.startswith("AioContext lock") for h in last.held) and not held and victims:
        sentences.append(
            "It holds its AioContext's lock in that call, and whoever needs that lock waits for the storage."
        )
    title = f"{command or who(last)} is blocked in {call}(){locked}"
    if len(title) > 90:
        title = f"{capital(short(last))} is blocked in {call}(){locked}"
    storage = call in holders.STORAGE_CALLS
    steps.append(
        "is it still there in a second sample? Then the kernel does not return: "
        + (
            "look at that storage (NFS, a dead path, a fragmented file)"
            if storage
            else "strace -p PID and /proc/PID/stack tell why"
        )
    )
    confidence = "likely" if victims or held else "possible"
    if storage and call.startswith("lseek"):
        sentences.append(
            "An lseek(SEEK_DATA/SEEK_HOLE) can take long on a fragmented or remote file; this may be slow rather "
            "than stuck."
        )
    return finding(
        "hang.blocked-syscall",
        title,
        confidence,
        sentences,
        subjects=[last, *victims],
        proof=proof,
        steps=steps,
        rule="blocked-syscall",
    )


def _peer_named(context: Context, peer: holders.Peer, subject: Subject) -> str:
    """The outside party with its name and address, where facts have them; "" without."""
    if not peer.name.startswith("chardev"):
        return ""
    by_address = {c.address: c for c in context.facts.chardevs if c.address}
    chardev = None
    for frame in subject.stack.frames[:16] if by_address else ():
        chardev = next((by_address[n] for n in map(number, frame.args.values()) if n in by_address), None)
        if chardev is not None:
            break
    if chardev is None:
        return ""
    where = f" ({chardev.type}, {chardev.peer})" if chardev.peer else ""
    if peer.name == "chardev-wait":
        return f"a client of chardev {chardev.id}{where}"
    return f"the peer of chardev {chardev.id}{where}"


def _peer(stack: Stack, start: int, stop: int) -> Tuple[Optional[holders.Peer], int]:
    """The most telling outside party among the frames, and the position of the frame that shows it (None, 0)."""
    best: Optional[Tuple[int, int]] = None
    for position in range(start, stop):
        name = stack.names[position]
        if not name or name in holders.PRIMITIVES or name in holders.SYSCALLS:
            continue
        for rank, row in enumerate(holders.PEERS):
            if name in row.functions and (best is None or rank <= best[0]):
                best = (rank, position)
    return (holders.PEERS[best[0]], best[1]) if best is not None else (None, 0)


# --- threads that execute while others wait


_COPIES = (
    "memcpy",
    "memmove",
    "memcmp",
    "flatview_read_continue",
    "flatview_read_continue_step",
    "flatview_read",
    "address_space_read",
    "address_space_read_full",
    "address_space_rw",
    "ldl_phys",
    "ram_load",
    "cpu_physical_memory_rw",
)
_LOADS = (
    "process_incoming_migration_co",
    "qemu_loadvm_state",
    "qemu_loadvm_state_main",
    "loadvm_postcopy_handle_run_bh",
)


def guest_memory_wait(subject: Subject) -> Optional[Tuple[int, int]]:
    """A read of guest memory while the incoming VM is loaded, which under postcopy is a wait for the page."""
    stack = subject.stack
    inner = next(
        (
            p
            for p in range(min(6, len(stack)))
            if stack.names[p] in _COPIES
            or stack.names[p].startswith(("__memcpy", "__memmove", "flatview_read", "address_space_ld"))
        ),
        None,
    )
    if inner is None:
        return None
    outer = stack.find(_LOADS, inner)
    return (inner, outer) if outer is not None else None


def _page_waits(search: _Search) -> None:
    context = search.context
    listeners = context.with_role("postcopy-listen")
    incoming = next((m for m in context.facts.migration if m.direction == "incoming"), None)
    postcopy = bool(listeners) or (incoming is not None and incoming.state.startswith("postcopy"))
    for subject in context.live_subjects:
        if subject.waiting is not None or id(subject) in search.told:
            continue
        found = guest_memory_wait(subject)
        if found is None and postcopy and subject.told.role.startswith("vcpu"):
            inner = next((p for p in range(min(4, len(subject.stack))) if _copies(subject.stack.names[p])), None)
            found = (inner, -1) if inner is not None else None
        if found is not None:
            _page_wait(search, subject, found, listeners, postcopy)
            return


def _copies(name: str) -> bool:
    return name in _COPIES or name.startswith(
        ("__memcpy", "__memmove", "flatview_read", "address_space_ld", "translator_ld")
    )


def _page_wait(
    search: _Search, subject: Subject, found: Tuple[int, int], listeners: Sequence[Subject], postcopy: bool
) -> None:
    inner, outer = found
    stack = subject.stack
    while_loading = f" while {at(stack, outer)} loads the VM" if outer >= 0 else ""
    sentences = [
        _lead(search.context, subject),
        f"{who(subject)} reads guest memory ({at(stack, inner)}){while_loading}. Under postcopy such a read is a "
        f"page fault "
        "that waits until the source has sent the page; if it stays there, the page never comes.",
        _holding(subject),
    ]
    proof = [evidence(subject, inner, "reads guest memory")]
    victims = [v for v in _waiters(search.context, [subject]) if v.told.role != "rcu"]
    sentences.append(_victims_text(victims))
    idle = next((x for x in listeners if blocked_call(x.stack) is not None), None)
    call = blocked_call(idle.stack) if idle is not None else None
    if idle is not None and call is not None:
        sentences.append(f"{who(idle)} waits in {call[0]}() for the source's next data.")
        proof.append(evidence(idle, call[1], f"in {call[0]}()"))
    search.add(
        finding(
            "hang.waiting-for-peer",
            "Postcopy: a page of guest memory is waited for, and the source sends nothing"
            if idle is not None
            else "Guest memory is read during an incoming migration: the page may never come",
            "likely" if idle is not None else "possible",
            sentences,
            subjects=[subject, *listeners, *victims],
            proof=proof,
            steps=[
                "a second sample: is it still in that read?",
                "query-migrate on both sides: postcopy-active or postcopy-paused?",
                "" if postcopy else "thread apply all bt: the postcopy listen and fault threads",
            ],
            rule="postcopy-page",
        ),
        [subject, *listeners, *victims],
    )


def _executing(context: Context, last: Subject, victims: List[Subject]) -> Optional[Finding]:
    held = next((h for h in last.held if h.lock == "BQL"), None)
    stack = last.stack
    position = common.qemu_frame(stack)
    waiting = [v for v in victims if v.waiting is not None]
    if not waiting or position is None:
        return None
    culprit = stack.find(last.told.culprit) if last.told.culprit else None
    if culprit is None:
        culprit = position
    kind_word = waiting[0].waiting.object if waiting[0].waiting is not None else "a lock"
    lock = "the BQL" if held is not None else kind_word
    sentences = [
        _lead(context, last),
        f"It executes {at(stack, culprit)} and holds {lock}"
        + (f" ({held.basis})." if held is not None and held.confidence == "certain" else "."),
        f"{capital(listed(victims))} {'waits' if len(victims) == 1 else 'wait'} for it.",
        "One sample can't tell a short wait from a stuck one: device accesses and commands are short in a healthy "
        "QEMU.",
    ]
    title = (
        f"{who(last)} holds {lock} in {stack.names[culprit]}; {listed(victims)} "
        f"{'waits' if len(victims) == 1 else 'wait'}"
    )
    if len(title) > 90:
        title = f"{capital(short(last))} holds {lock} in {stack.names[culprit]}; others wait"
    steps = [
        f"take a second sample: if {short(last)} is still in {stack.names[culprit]}, it loops there or is very slow"
    ]
    repeated = [n for n in dict.fromkeys(stack.names) if n and stack.names.count(n) > 3]
    del repeated
    return finding(
        "hang.bql-held",
        title,
        "possible",
        sentences,
        subjects=[last, *victims],
        proof=[
            evidence(last, culprit, f"executes with {lock} held"),
            *[evidence(v, v.waiting.at if v.waiting else None, "waits for it") for v in victims[:4]],
        ],
        steps=steps,
        rule="lock-held",
    )


# --- vCPU stop


def _vcpu_stop(context: Context, last: Subject, victims: List[Subject], waiting: Waiting) -> Finding:
    stack = last.stack
    late = [s for s in unstopped_vcpus(context) if s is not last]
    known = any(v.stopped is not None for v in context.facts.vcpus)
    command = _command(stack)
    sentences = [
        _lead(context, last),
        f"It waits in {at(stack, waiting.at)} until every vCPU has stopped; the BQL is free meanwhile.",
    ]
    proof = [evidence(last, waiting.at, "waits on qemu_pause_cond")]
    steps: List[str] = []
    vcpus = context.with_role("vcpu-mttcg", "vcpu-tcg-rr", "vcpu-kvm", "vcpu-other")
    if late:
        first = late[0]
        where = common.qemu_frame(first.stack)
        place = first.told.summary or (f"is in {at(first.stack, where)}" if where is not None else "has not stopped")
        sentences.append(f"{who(first)} has not stopped: {place}.")
        if len(late) > 1:
            sentences.append(f"Neither {'have' if len(late) > 2 else 'has'} {listed(late[1:])}.")
        proof.append(evidence(first, where, "has not stopped"))
        steps.append(f"{capital(short(first))} is the one to look at: is it in the same place in a second sample?")
        if first.stack.names and first.stack.names[0] == "ioctl":
            sentences.append(
                "It is inside KVM_RUN; the kick signal (SIG_IPI) should have brought it out at once, so the kernel "
                "keeps it."
            )
            steps.append("on the host: cat /proc/PID/task/LWP/stack of that vCPU")
    elif vcpus:
        sentences.append(
            "All vCPUs shown rest in their wait: one of them has still to note that it is stopped, or its wake-up "
            "was lost."
        )
        steps.append("print each cpu->stop and cpu->stopped (qemu-vcpus)")
    else:
        sentences.append("No vCPU thread is in the input.")
        steps.append(_ALL_THREADS)
    title = f"{command or capital(_actor(context, last))} waits for a vCPU that does not stop"
    confidence = (
        "certain" if known and late else ("likely" if late and any(v.waiting is not None for v in late) else "possible")
    )
    return finding(
        "hang.vcpu-stop",
        title,
        confidence,
        sentences,
        subjects=[last, *late[:3], *victims],
        proof=proof,
        steps=steps,
        rule="vcpu-stop",
    )


# --- RCU


def _rcu(context: Context, last: Subject, victims: List[Subject], waiting: Waiting) -> Optional[Finding]:
    readers = [r for r in context.facts.rcu_readers if r.depth]
    stack = last.stack
    if last.told.role == "rcu" and not victims:
        return None  # a grace period under way is the RCU thread's daily work
    sentences = [
        _lead(context, last) if last.told.role != "rcu" else "",
        f"{who(last)} waits in {at(stack, waiting.at)} {waiting.says}.",
    ]
    proof = [evidence(last, waiting.at, f"waits {waiting.says}")]
    steps: List[str] = []
    named = [s for s in (context.by_lwp(r.lwp) for r in readers) if s is not None and s is not last]
    if named:
        reader = named[0]
        sentences.append(
            f"{who(reader)} is inside a read-side critical section: {reader.told.summary or 'see its stack'}."
        )
        proof.append(evidence(reader, 0, "inside rcu_read_lock"))
        steps.append(f"{capital(short(reader))} is the one to look at")
    else:
        steps.append(
            "print registry in util/rcu.c: a reader whose ctr is not 0 is the one that holds the grace period up"
        )
    sentences += [_holding(last), _victims_text(victims)]
    title = "An RCU grace period does not end" + (f": {short(named[0])} stays in a read section" if named else "")
    return finding(
        "hang.rcu-stall",
        title,
        "certain" if named else "possible",
        sentences,
        subjects=[last, *named[:1], *victims],
        proof=proof,
        steps=steps,
        rule="rcu",
    )


# --- locks whose owner is not known


def _bql_wait(context: Context, last: Subject, victims: List[Subject], waiting: Waiting) -> Optional[Finding]:
    waiters = [s for s in context.live_subjects if s.waiting is not None and s.waiting.kind == "bql"]
    if last is not waiters[0]:
        return None
    sentences = [
        f"{capital(listed(waiters))} {'waits' if len(waiters) == 1 else 'wait'} for the BQL; no thread shown holds "
        f"it as far as its "
        "stack tells."
    ]
    main = context.with_role("main-loop")
    if len(context.live_subjects) == 1:
        sentences = [
            _lead(context, last),
            f"{who(last)} waits for the BQL ({at(last.stack, waiting.at)}): it is a victim; who holds the BQL is "
            f"not shown.",
        ]
    elif not main:
        sentences.append("The main loop is not shown, and may be the holder.")
    return finding(
        "hang.bql-held",
        f"{capital(listed(waiters))} {'waits' if len(waiters) == 1 else 'wait'} for the BQL; its holder is not shown",
        "possible",
        sentences,
        subjects=waiters,
        proof=[evidence(w, w.waiting.at if w.waiting else None, "waits for the BQL") for w in waiters[:6]],
        steps=["p qemu_global_mutex (bql from 9.0): __owner is the LWP of its holder", _ALL_THREADS],
        rule="bql-holder-unknown",
    )


def _lock_wait(context: Context, last: Subject, victims: List[Subject], waiting: Waiting) -> Optional[Finding]:
    stack = last.stack
    if last.told.role in ("rcu", "spice-worker", "external-library"):
        return None
    name = waiting.object
    sentences = [
        _lead(context, last),
        f"{who(last)} waits {waiting.says} ({at(stack, waiting.at)}); its owner is not shown.",
        _holding(last),
        _victims_text(victims),
    ]
    label = "an AioContext lock" if waiting.kind == "aiocontext-lock" else ("a mutex" if len(name) > 40 else name)
    title = f"{capital(_actor(context, last))} waits for {label}; who holds it is not shown"
    return finding(
        "hang.deadlock" if False else "hang.bql-held" if any(h.lock == "BQL" for h in last.held) else "hang.deadlock",
        title,
        "possible",
        sentences,
        subjects=[last, *victims],
        proof=[evidence(last, waiting.at, f"waits {waiting.says}")],
        steps=[_proof_step(last, waiting), _ALL_THREADS],
        rule="lock-owner-unknown",
    )


# --- everything else


def _other_wait(context: Context, last: Subject, victims: List[Subject], waiting: Waiting) -> Optional[Finding]:
    stack = last.stack
    role = last.told.role
    end = min(waiting.at + 8, len(stack))
    peer, peer_at = _peer(stack, waiting.at, end)
    held = any(h.lock == "BQL" for h in last.held)
    if (
        role
        in (
            "main-loop",
            "vcpu-kvm",
            "vcpu-mttcg",
            "vcpu-tcg-rr",
            "iothread",
            "migration",
            "tool-main",
            "colo",
            "coroutine",
            "unknown",
            "postcopy-listen",
            "vcpu-other",
        )
        or victims
        or held
    ):
        pass
    else:
        return None
    sentences = [_lead(context, last)]
    where = at(stack, waiting.at) if waiting.at < len(stack) and stack.names[waiting.at] else ""
    proof = [evidence(last, waiting.at, f"waits {waiting.says}")]
    steps: List[str] = []
    if waiting.kind in ("peer",):
        sentences.append(f"It waits in {where} {waiting.says}.")
        title = f"{capital(_actor(context, last))} waits {waiting.says}"
        if len(title) > 90:
            title = f"{capital(_actor(context, last))} waits for {waiting.object}"
        return finding(
            "hang.waiting-for-peer",
            title,
            "likely",
            [*sentences, _holding(last), _victims_text(victims)],
            subjects=[last, *victims],
            proof=proof,
            steps=steps or [f"what has to come is {waiting.object}"],
            rule=f"wait.{waiting.row}",
        )
    if waiting.kind == "multifd-sync":
        return _multifd(context, last, victims, waiting, sentences, proof)
    if waiting.kind == "join":
        return _join(context, last, victims, waiting, sentences, proof)
    if peer is not None and waiting.kind in ("poll", "condvar", "nested-poll", "semaphore", "futex", "event", "sleep"):
        in_start = stack.find("qemu_init") is not None
        whom = _peer_named(context, peer, last)
        through = f", called by {at(stack, peer_at)}," if peer_at > waiting.at else ""
        sentences.append(f"It waits in {where}{through} for {whom or peer.says}.")
        sentences += [_holding(last), _victims_text(victims)]
        title = f"QEMU is still starting: it waits for {whom.split(' (')[0] or peer.says}" if in_start else peer.title
        if in_start:
            sentences.append("No vCPU runs yet.")
        return finding(
            "hang.waiting-for-peer",
            title,
            "certain" if whom else "likely",
            sentences,
            subjects=[last, *victims],
            proof=proof,
            steps=[capital(peer.advice)],
            rule=f"peer.{peer.name}",
        )
    if waiting.kind == "vcpu-work":
        sentences.append(f"It waits in {where} {waiting.says}; the BQL is free meanwhile.")
        return finding(
            "hang.vcpu-stop",
            f"{capital(_actor(context, last))} waits for work to be run on a vCPU",
            "possible",
            [*sentences, _victims_text(victims)],
            subjects=[last, *victims],
            proof=proof,
            steps=[_ALL_THREADS, f"frame {stack.level(waiting.at)}: p cpu->cpu_index, p cpu->running, p cpu->stopped"],
            rule="vcpu-work",
        )
    if waiting.kind == "exclusive-end":
        return finding(
            "hang.exclusive-stall",
            f"{capital(_actor(context, last))} waits for the end of another's exclusive section",
            "possible",
            [f"It waits in {where} {waiting.says}.", _victims_text(victims)],
            subjects=[last, *waiting.owners, *victims],
            proof=proof,
            steps=[_ALL_THREADS],
            rule="exclusive-end",
        )
    if waiting.kind in ("condvar", "semaphore", "event", "futex", "poll", "sleep", "mutex"):
        if role in ("unknown", "coroutine") and not held and not victims:
            return None
        sentences.append(
            f"{who(last)} waits {waiting.says} (frame {stack.level(waiting.at)}), which is not its normal resting "
            f"place."
        )
        fork = stack.find(holders.FORKS, waiting.at)
        if fork is not None:
            sentences.append(
                f"{at(stack, fork)} has forked: threads do not survive fork(), so the thread that would answer "
                f"exists only in the other "
                "process."
            )
            held = False
        sentences += [_holding(last), _victims_text(victims)]
        title = f"{who(last)} waits in {stack.names[waiting.at] or 'an unnamed function'}" + (
            " with the BQL held" if held else ""
        )
        if fork is not None:
            title += " for a thread that fork() left behind"
            return finding(
                "hang.deadlock",
                title,
                "likely",
                sentences,
                subjects=[last, *victims],
                proof=proof,
                steps=["info threads: is the thread that should answer in this process?"],
                rule="fork",
            )
        kind = "hang.bql-held" if held else "hang.blocked-syscall"
        confidence = "likely" if held and waiting.kind != "sleep" else "possible"
        steps.append(
            f"who would wake it? Look for the thread or event that {stack.names[waiting.at] or 'it'} waits for: "
            f"{_ALL_THREADS}"
        )
        return finding(
            kind,
            title,
            confidence,
            sentences,
            subjects=[last, *victims],
            proof=proof,
            steps=steps,
            rule=f"wait.{waiting.kind}",
        )
    return None


def _multifd(
    context: Context,
    last: Subject,
    victims: List[Subject],
    waiting: Waiting,
    sentences: List[str],
    proof: List[Evidence],
) -> Finding:
    stack = last.stack
    channels = context.with_role("multifd-send", "multifd-recv")
    complete = len(context.live_subjects) > 2 and bool(context.with_role("main-loop"))
    sentences.append(f"It waits in {at(stack, waiting.at)} {waiting.says}.")
    steps = []
    if not channels and complete:
        sentences.append(
            "No multifd thread exists in this process any more, so nobody can post that semaphore: the channels "
            "ended (an error path) "
            "without waking the migration thread."
        )
        title = "The migration thread waits for multifd channels that no longer exist"
        confidence = "likely"
        steps.append("query-migrate and QEMU's log: which error ended the channels")
    else:
        busy = [c for c in channels if c.waiting is None or not c.waiting.resting]
        if busy:
            sentences.append(f"{who(busy[0])}: {busy[0].told.summary or 'is not done'}.")
        title = "The migration thread waits for a multifd channel"
        confidence = "possible"
        steps.append(_ALL_THREADS)
    return finding(
        "hang.waiting-for-peer" if not (not channels and complete) else "hang.deadlock",
        title,
        confidence,
        [*sentences, _holding(last), _victims_text(victims)],
        subjects=[last, *victims],
        proof=proof,
        steps=steps,
        rule="multifd-sync",
    )


def _join(
    context: Context,
    last: Subject,
    victims: List[Subject],
    waiting: Waiting,
    sentences: List[str],
    proof: List[Evidence],
) -> Finding:
    stack = last.stack
    held = any(h.lock == "BQL" for h in last.held)
    bql = [s for s in context.live_subjects if s.waiting is not None and s.waiting.kind == "bql" and s is not last]
    target = waiting.owners[0] if waiting.owners else None
    sentences.append(f"{who(last)} waits in {at(stack, waiting.at)} until another thread ends.")
    if target is not None:
        sentences.append(f"That is {the(target)}: {target.told.summary or 'see its stack'}.")
    if held and bql and target is None:
        one = bql[0]
        known = next((h.basis for h in last.held if h.lock == "BQL" and h.confidence == "certain"), "")
        sentences.append(
            f"{who(one)} waits for the BQL, which {the(last)} holds during the "
            f"join{f' ({known})' if known.startswith('__') else ''}: if that is the thread to end, "
            f"neither can go on."
        )
        return finding(
            "hang.deadlock",
            f"{capital(short(last))} joins a thread with the BQL held; {short(one)} waits for the BQL",
            "likely",
            [*sentences, "The BQL has to be given up around the join."],
            subjects=[last, *bql],
            proof=proof,
            steps=[
                "p qemu_global_mutex (bql from 9.0): __owner",
                f"frame {stack.level(max(0, waiting.at - 1))}: which thread is joined",
            ],
            rule="join-with-bql",
        )
    sentences += [_holding(last), _victims_text(victims)]
    return finding(
        "hang.bql-held" if held else "hang.blocked-syscall",
        f"{who(last)} waits for a thread to end (join)",
        "likely" if held else "possible",
        sentences,
        subjects=[last, *victims],
        proof=proof,
        steps=[_ALL_THREADS],
        rule="join",
    )
