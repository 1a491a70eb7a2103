"""Hangs in other waits: vCPUs that do not stop, RCU, locks of unknown owners, joins, semaphores, peers."""

from __future__ import annotations

from typing import List, Optional, Tuple

from ...knowledge import holders
from ...knowledge.rests import GLIB_DISPATCHERS, VCPUS
from ...model import Evidence, Finding
from ..context import Context, Subject
from ..owners import code_of, codes
from ..waiting import Waiting
from ..waits import unstopped_vcpus
from . import common
from .common import at, capital, evidence, finding, joined, listed, short, the, who
from .links import (
    ALL_THREADS,
    actor,
    command_of,
    complete,
    holding,
    lead,
    peer_detail,
    peer_named,
    peer_of,
    progress_of,
    proof_step,
    victims_text,
)
from .migrating import multifd, postcopy_paused
from .peer_calls import descriptor_of
from .steps import for_peer

# accel/kvm/kvm-all.c, kvm_ipi_signal(): 5.2 and later
_KICK = "the kick (SIG_IPI) has to bring it out at once; if it stays there, the kernel keeps it or the signal was lost."


def vcpu_stop(context: Context, last: Subject, victims: List[Subject], waiting: Waiting) -> Finding:
    stack = last.stack
    late = [s for s in unstopped_vcpus(context) if s is not last]
    known = any(v.stopped is not None for v in context.facts.vcpus)
    command = command_of(stack)
    sentences = [
        lead(context, last),
        f"It waits in {at(stack, waiting.at)} until every vCPU has stopped; the BQL is free meanwhile.",
    ]
    proof = [evidence(last, waiting.at, "waits on qemu_pause_cond")]
    steps: List[str] = []
    vcpus = context.with_role(*VCPUS)
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
            sentences.append(f"It is inside KVM_RUN: {_KICK}")
            steps += _kernels_stack(first)
    elif vcpus:
        sentences.append(
            "All vCPUs shown rest in their wait: one of them has still to note that it is stopped, or its wake-up "
            "was lost."
        )
        steps.append("print each cpu->stop and cpu->stopped (qemu-vcpus)")
    else:
        sentences.append("No vCPU thread is in the input.")
        steps.append(ALL_THREADS)
    title = f"{command or capital(actor(context, last))} waits for a vCPU that does not stop"
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


def rcu_stall(context: Context, last: Subject, victims: List[Subject], waiting: Waiting) -> Optional[Finding]:
    readers = [r for r in context.facts.rcu_readers if r.depth]
    stack = last.stack
    if last.told.role == "rcu" and not victims:
        return None  # a grace period under way is the RCU thread's daily work
    sentences = [
        lead(context, last) if last.told.role != "rcu" else "",
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
        number = reader.number
        steps.append(f"look at {short(reader)}" + (f": qemu-explain {number}" if number is not None else ""))
    elif (section := stack.find_outermost(holders.RCU_READ_SECTIONS)) is not None and section > waiting.at:
        return _own_reader(context, last, victims, waiting, section)
    elif (inside := _in_read_sections(context, last)) and len(inside) <= 3:
        shown = joined([f"{short(s)} in {at(s.stack, p)}" for s, p in inside])
        sentences.append(
            f"Inside a read section as far as the stacks show: {shown}. The grace period ends when each of them has "
            "left that function once."
        )
        proof += [evidence(s, p, "inside rcu_read_lock") for s, p in inside]
        steps.append(f"a second sample: is {short(inside[0][0])} still inside the same call?")
    else:
        steps.append(
            "print registry in util/rcu.c: a reader whose ctr is not 0 is the one that holds the grace period up"
        )
    sentences += [holding(last), victims_text(victims)]
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


def _in_read_sections(context: Context, last: Subject) -> List[Tuple[Subject, int]]:
    """Threads that call out of an RCU section, and the frame that holds it."""
    found = [(s, s.stack.find_outermost(holders.RCU_READ_SECTIONS)) for s in context.live_subjects if s is not last]
    return [(s, p) for s, p in found if p is not None and s.told.role != "rcu"]


def _own_reader(context: Context, last: Subject, victims: List[Subject], waiting: Waiting, section: int) -> Finding:
    """A thread that waits for all RCU readers while it is one: the grace period ends only when it goes on."""
    stack = last.stack
    poll = stack.find(("aio_poll",), waiting.at, section)
    sentences = [
        lead(context, last),
        f"{who(last)} waits in {at(stack, waiting.at)} {waiting.says}. They run when every reader has left its RCU "
        f"section, and {short(last)} is such a reader itself: {at(stack, section)} calls out with rcu_read_lock() "
        "held.",
    ]
    if poll is not None:
        sentences.append(
            f"That access did not ask for it: a nested poll ({at(stack, poll)}) runs whatever handler is ready, and it "
            "ran this one."
        )
    sentences.append(victims_text(victims))
    return finding(
        "hang.deadlock",
        f"{capital(actor(context, last))} waits for all RCU readers inside an RCU section of its own",
        "likely",
        sentences,
        subjects=[last, *victims],
        proof=[
            evidence(last, waiting.at, f"waits {waiting.says}"),
            evidence(last, section, "inside rcu_read_lock"),
        ],
        steps=[f"p rcu_reader.depth (a thread-local) in {short(last)}: not 0 proves it"],
        rule="rcu-own-reader",
    )


def bql_wait(context: Context, last: Subject, victims: List[Subject], waiting: Waiting) -> Optional[Finding]:
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
            lead(context, last),
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
        steps=["p qemu_global_mutex (bql from 9.0): __owner is the LWP of its holder", ALL_THREADS],
        rule="bql-holder-unknown",
    )


def _is_free(context: Context, waiting: Waiting) -> bool:
    """Whether memory tells that nobody holds the mutex that is waited for."""
    lock = next((lock for lock in context.facts.locks if lock.address and lock.address == waiting.address), None)
    return lock is not None and lock.owner_known and lock.owner_lwp is None


def lock_wait(context: Context, last: Subject, victims: List[Subject], waiting: Waiting) -> Optional[Finding]:
    stack = last.stack
    if last.told.role in ("rcu", "spice-worker", "external-library"):
        return None
    child = _left_by_fork(context, last, victims, waiting)
    if child is not None:
        return child
    if _is_free(context, waiting) and not victims:
        return None  # given back already: the thread has yet to wake up
    name = waiting.object
    sentences = [
        lead(context, last),
        f"{who(last)} waits {waiting.says} ({at(stack, waiting.at)}); its owner is not shown.",
        _perhaps_bql(context, last, waiting),
        holding(last),
        victims_text(victims),
    ]
    label = "an AioContext lock" if waiting.kind == "aiocontext-lock" else ("a mutex" if len(name) > 40 else name)
    title = f"{capital(actor(context, last))} waits for {label}; who holds it is not shown"
    return finding(
        "hang.bql-held" if any(h.lock == "BQL" for h in last.held) else "hang.deadlock",
        title,
        "possible",
        sentences,
        subjects=[last, *victims],
        proof=[evidence(last, waiting.at, f"waits {waiting.says}")],
        steps=[proof_step(last, waiting), ALL_THREADS],
        rule="lock-owner-unknown",
    )


def _left_by_fork(context: Context, last: Subject, victims: List[Subject], waiting: Waiting) -> Optional[Finding]:
    """A user-mode child of fork() that wants a lock of a library: its owner was a thread of the parent."""
    stack = last.stack
    others = [s for s in context.live_subjects if s is not last and s.told.role != "rcu"]
    if last.told.role != "user-mode" or others or last.number is None or waiting.at >= len(stack):
        return None
    row = next((row for row in holders.FORK_LOCKS if stack.names[waiting.at] in row[0]), None)
    if row is None:
        return None
    _, owner, step, repaired = row
    if repaired and any(name.startswith(holders.GLIBCS_WAITS) for name in stack.names[: waiting.at]):
        return None  # glibc's fork() unlocks these for the child
    forked = stack.find(("do_fork", "fork", "vfork", "__libc_fork", "fork_end")) is not None
    whole = complete(context)
    return finding(
        "hang.deadlock",
        f"A forked child waits for a lock of {owner} that nobody unlocks",
        "likely" if forked or whole else "possible",
        [
            lead(context, last),
            f"{who(last)} is the only one{'' if whole else ' shown'}, and waits for a lock of {owner} "
            f"({at(stack, waiting.at)}). Threads do not survive fork(): one that held the lock exists only in the "
            "parent, and in this process it stays locked "
            "for ever.",
        ],
        subjects=[last, *victims],
        proof=[evidence(last, waiting.at, f"waits {waiting.says}")],
        steps=[step, "the parent (PPid in /proc/PID/status): did it have other threads when it forked?"],
        rule="fork-lock",
    )


def _perhaps_bql(context: Context, last: Subject, waiting: Waiting) -> str:
    """Which lock a vCPU of a stripped QEMU may want: the main loop's, where that is inside one of its handlers."""
    caller = last.stack.names[waiting.at] if waiting.at < len(last.stack) else ""
    if caller or waiting.address or not last.told.role.startswith("vcpu"):
        return ""
    for loop in context.with_role("main-loop"):
        if loop.stack.find(GLIB_DISPATCHERS, 1) is not None and loop.told.state not in ("idle", "unknown"):
            return f"It may be the BQL: {the(loop)} is inside one of its handlers, which run with the BQL held."
    return ""


def other_wait(context: Context, last: Subject, victims: List[Subject], waiting: Waiting) -> Optional[Finding]:
    stack = last.stack
    role = last.told.role
    end = min(waiting.at + 8, len(stack))
    peer, peer_at = peer_of(stack, waiting.at, end)
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
        or (peer is not None and peer.name == "ceph-throttle")
    ):
        pass
    else:
        return None
    sentences = [lead(context, last)]
    shown = next((p for p in range(waiting.at, end) if stack.names[p]), min(waiting.at, len(stack) - 1))
    if peer is None:
        shown = _library_entry(last, shown)
    where = at(stack, shown)
    proof = [evidence(last, waiting.at, f"waits {waiting.says}")]
    steps: List[str] = []
    if waiting.row == "postcopy-pause":
        return postcopy_paused(context, last, victims, waiting, sentences, proof)
    if waiting.kind in ("peer",):
        sentences.append(f"It waits in {where} {waiting.says}.")
        title = f"{capital(actor(context, last))} waits {waiting.says}"
        if len(title) > 90:
            title = f"{capital(actor(context, last))} waits for {waiting.object}"
        return finding(
            "hang.waiting-for-peer",
            title,
            "likely",
            [*sentences, holding(last), victims_text(victims)],
            subjects=[last, *victims],
            proof=proof,
            steps=[_PEER_STEPS.get(waiting.row, f"what has to come is {waiting.object}")],
            rule=f"wait.{waiting.row}",
        )
    if waiting.kind == "multifd-sync":
        return multifd(context, last, victims, waiting, sentences, proof)
    if waiting.kind == "join":
        return _join(context, last, victims, waiting, sentences, proof)
    if peer is not None and waiting.kind in ("poll", "condvar", "nested-poll", "semaphore", "futex", "event", "sleep"):
        in_start = stack.find("qemu_init") is not None
        whom = peer_named(context, peer, last)
        through = f", called by {at(stack, peer_at)}," if peer_at > shown else ""
        foreign = code_of(stack.frames[shown]).owner != "qemu" and stack.names[shown] not in peer.functions
        if peer_at > shown and foreign:
            # a library's inside tells nobody anything
            entry = peer_at if code_of(stack.frames[peer_at]).owner != "qemu" else _library_entry(last, shown)
            where, through = at(stack, entry), through if peer_at > entry else ""
        sentences.append(f"It waits in {where}{through} for {whom or peer.says}.")
        sentences += [peer_detail(stack, peer), holding(last), victims_text(victims)]
        title = f"QEMU is still starting: it waits for {whom.split(' (')[0] or peer.says}" if in_start else peer.title
        if in_start:
            sentences.append("No vCPU runs yet.")
        return finding(
            "hang.waiting-for-peer",
            title,
            "certain" if whom else "possible" if peer.name == "ceph-throttle" else "likely",
            sentences,
            subjects=[last, *victims],
            proof=proof,
            steps=for_peer(context, peer, last),
            rule=f"peer.{peer.name}",
        )
    if waiting.kind == "vcpu-work":
        sentences.append(f"It waits in {where} {waiting.says}; the BQL is free meanwhile.")
        if waiting.owners:
            return _on_vcpu(last, victims, waiting, waiting.owners[0], sentences, proof, "vcpu-work")
        return finding(
            "hang.vcpu-stop",
            f"{capital(actor(context, last))} waits for work to be run on a vCPU",
            "possible",
            [*sentences, victims_text(victims)],
            subjects=[last, *victims],
            proof=proof,
            steps=[ALL_THREADS, f"frame {stack.level(waiting.at)}: p cpu->cpu_index, p cpu->running, p cpu->stopped"],
            rule="vcpu-work",
        )
    if waiting.kind == "vcpu-start":
        new = [s for s in context.with_role(*VCPUS) if s.waiting is None]
        sentences.append(f"It waits in {where} {waiting.says}; the BQL is free meanwhile.")
        if waiting.owners:
            return _on_vcpu(last, victims, waiting, waiting.owners[0], sentences, proof, "vcpu-start")
        sentences += [f"{who(s)}: {s.told.summary}." for s in new[:2] if s.told.summary]
        return finding(
            "hang.vcpu-stop",
            f"{capital(actor(context, last))} waits {waiting.says}",
            "possible",
            [*sentences, victims_text(victims)],
            subjects=[last, *new[:2], *victims],
            proof=proof,
            steps=[ALL_THREADS, f"frame {stack.level(waiting.at)}: p cpu->created, p cpu->cpu_index"],
            rule="vcpu-start",
        )
    if waiting.kind == "exclusive-end":
        return finding(
            "hang.exclusive-stall",
            f"{capital(actor(context, last))} waits for the end of another's exclusive section",
            "possible",
            [f"It waits in {where} {waiting.says}.", victims_text(victims)],
            subjects=[last, *waiting.owners, *victims],
            proof=proof,
            steps=[ALL_THREADS],
            rule="exclusive-end",
        )
    if waiting.kind in ("condvar", "semaphore", "event", "futex", "poll", "sleep", "mutex"):
        if len(stack) == 1 and last.told.thread.truncated_bottom:
            return None  # a row of "info threads" does not tell whose wait it is
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
        sentences += [holding(last), victims_text(victims)]
        title = f"{who(last)} waits in {stack.names[shown] or 'an unnamed function'}" + (
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
        able = context.with_role(*waiting.answered_by) if waiting.answered_by else []
        if able and all(s.told.state == "idle" for s in able):
            confidence = "possible"
            sentences.append(
                f"{who(able[0])} would end that wait, and rests: either this sample fell between the two, or a wake-up "
                "was lost."
            )
            steps.append(f"a second sample: do {short(last)} and {short(able[0])} both still stand there? Then a "
                         "wake-up was lost")
        else:
            steps.append(f"who would wake it? Look for the thread or event that {at(stack, shown)} waits for: "
                         f"{ALL_THREADS}")
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


# qapi/migration.json: migrate-continue, 2.11 and later
_PEER_STEPS = {
    "pause-before-switchover": 'on a QMP monitor: {"execute": "migrate-continue", "arguments": {"state": '
                               '"pre-switchover"}}',
    "switchover-ack": "look at QEMU on the destination",
}  # fmt: skip


def _on_vcpu(
    last: Subject, victims: List[Subject], waiting: Waiting, vcpu: Subject, sentences: List[str],
    proof: List[Evidence], rule: str
) -> Finding:
    """A wait for one vCPU's thread, which the pointer to its CPUState names."""
    stack = vcpu.stack
    does = vcpu.told.summary.split(" ← ")[0] or "see its stack"
    if vcpu.told.state == "blocked-syscall":
        does = f"it is in {stack.names[0].lstrip('_')}(){descriptor_of(stack)[1]}"
    sentences.append(f"That is {the(vcpu)} (the same CPUState): {does}.")
    steps = [f"{short(vcpu)} in a second sample: is it still in the same place?"]
    if stack.names and stack.names[0].endswith("ioctl"):
        if vcpu.told.state == "running-guest":
            sentences.append(f"It is inside KVM_RUN: {_KICK}")
        steps = _kernels_stack(vcpu) + steps
    proof.append(evidence(vcpu, 0, "the thread of that vCPU"))
    return finding(
        "hang.vcpu-stop",
        f"{capital(short(last))} waits for {the(vcpu)} to "
        + ("start" if rule == "vcpu-start" else "run what is queued for it"),
        "likely" if vcpu.told.state == "blocked-syscall" else "possible",
        [*sentences, victims_text(victims)],
        subjects=[last, vcpu, *victims],
        proof=proof,
        steps=steps,
        rule=rule,
    )  # fmt: skip


def _kernels_stack(vcpu: Subject) -> List[str]:
    """Where to read where the kernel keeps a vCPU's thread; nothing where that is shown."""
    lwp = vcpu.told.thread.lwp
    if vcpu.told.thread.kernel:
        return []
    return [f"on the host: cat /proc/PID/task/{lwp if lwp is not None else 'LWP'}/stack: where the kernel keeps "
            f"{short(vcpu)}"]


def _library_entry(subject: Subject, shown: int) -> int:
    """The function of a library that QEMU called, where the wait is inside the library."""
    stack = subject.stack
    caller = next((p for p in range(shown, min(shown + 12, len(stack))) if codes(stack)[p].owner == "qemu"), None)
    if caller is None or any(codes(stack)[p].owner not in ("library", "unknown", "libc") for p in range(shown, caller)):
        return shown
    return next((p for p in range(caller - 1, shown, -1) if stack.names[p] and stack.names[p] not in GLIB_DISPATCHERS),
                shown)


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
    progress = progress_of(stack, waiting.at)
    if progress is not None:
        workers = context.with_role(*waiting.answered_by) if waiting.answered_by else []
        working = [s for s in workers if progress_of(s.stack) is progress]
        sentences.append(progress.says)
        if working:
            sentences.append(f"{capital(listed(working))} {'does' if len(working) == 1 else 'do'} it.")
        return finding(
            "hang.blocked-syscall",
            progress.title,
            "possible",
            [*sentences, holding(last), victims_text(victims)],
            subjects=[last, *working[:4], *victims],
            proof=proof,
            steps=[progress.step],
            rule="progress",
        )
    sentences += [holding(last), victims_text(victims)]
    steps = [ALL_THREADS]
    if target is not None:
        steps = [f"{capital(short(target))} is the one to look at: who should have told it to end, or woken it?"]
    if target is not None and target.told.state == "running-guest" and stack.names[waiting.at] == "cpu_remove_sync":
        sentences.append(f"That vCPU was told to end, and is inside KVM_RUN: {_KICK}")
        steps = _kernels_stack(target) or steps
        steps.append(f"{short(target)} in a second sample: is it still there?")
    whom = f"{the(target)} to end" if target is not None else "a thread to end"
    return finding(
        "hang.bql-held" if held else "hang.blocked-syscall",
        f"{who(last)} waits for {whom} (join)",
        "likely" if held else "possible",
        sentences,
        subjects=[last, *([target] if target is not None else []), *victims],
        proof=proof,
        steps=steps,
        rule="join",
    )
