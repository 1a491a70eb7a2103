"""Hangs in which threads wait for each other or for themselves: cycles, locks against polls, polls inside polls."""

from __future__ import annotations

from typing import List, Optional, Sequence

from ...knowledge import holders
from ...model import Evidence
from .. import stories
from ..context import Context, Subject
from ..stack import Stack
from ..waiting import Waiting
from ..waits import cycles
from . import common
from .common import at, capital, evidence, finding, listed, short, the, who
from .links import ALL_THREADS, Search, blocked_call, proof_step, waiters_for
from .peer_calls import descriptor_of
from .rules import foreign_poll

_MOST_ALIKE = 8  # threads in the same trouble that are told of one by one


def nested_polls(search: Search) -> None:
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
    search: Search, subject: Subject, outer: int, callback: int, second: Optional[int], waiting: Waiting
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
            f"{ALL_THREADS}: look for bql_lock or qemu_mutex_lock_iothread in the main loop's thread",
            "p qemu_global_mutex (bql from 9.0): __owner is the LWP of the thread that holds it",
        ]
    else:
        confidence = "possible"
        steps = [ALL_THREADS]
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


def tell_cycles(search: Search) -> None:
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


def _self_lock(search: Search, subject: Subject) -> None:
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


def _cycle(search: Search, cycle: List[Subject]) -> None:
    context = search.context
    if cycle[0].number is not None and all(s.number is not None for s in cycle):
        first = min(cycle, key=lambda s: s.number or 0)
        cycle = cycle[cycle.index(first) :] + cycle[: cycle.index(first)]
    victims = [s for s in waiters_for(context, cycle) if s not in cycle]
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
            steps.append(proof_step(subject, waiting))
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
        elif name in ("rcu_gp_event", "drain_call_rcu"):
            name = "an RCU grace period"
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
    if waiting.kind in ("rcu", "rcu-callbacks"):
        return f"{who(subject)}{by} waits {waiting.says}{where}; {the(owner)} is {waiting.basis}."
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


def lock_against_poll(search: Search) -> None:
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
        flushes = [(s, blocked_call(s.stack)) for s in context.with_role("thread-pool-worker")]
        worker, call = next(((s, c) for s, c in flushes if c is not None), (None, None))
        if worker is not None and call is not None:
            sentences.append(f"{who(worker)} is in {call[0]}(){descriptor_of(worker.stack)[1]}, called by "
                             f"{at(worker.stack, call[1])}: as likely the request that {short(poller)} waits for.")
        victims = [s for s in waiters_for(context, [poller]) if s is not subject]
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
                steps=[
                    proof_step(subject, waiting),
                    f"is {short(worker)} still in {call[0]}() a minute later? Then that storage does not answer"
                    if worker is not None and call is not None
                    else "",
                ],
                rule="lock-against-poll",
            ),
            [poller, subject, *victims],
        )
        return
