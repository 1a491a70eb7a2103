"""What state a process is in when it neither crashed nor hangs: idle, running, paused, stopped by an I/O error..."""

from __future__ import annotations

import json
from collections import Counter
from typing import List, Optional, Tuple

from ...knowledge import signals
from ...knowledge.rests import VCPUS
from ...model import Evidence, Finding, Job, Notice
from ...role_words import role_words
from .. import stories
from ..complaint import complaint
from ..context import Context, Subject
from ..owners import code_of
from ..stack import Stack
from ..states import tries_instructions
from . import common, purpose, runstates, stops, unplug
from .common import at, capital, evidence, finding, joined, short, the, who
from .crash import stopped_by_debugger
from .requests import OUTSIDE, in_flight, look_outside, one_each, short_wait, told_outside, waiting_outside
from .steps import for_outside

_SAID_BESIDE_HANG = ("state.io-error", "state.guest-panicked")


def find(context: Context, before: List[Finding]) -> List[Finding]:
    """The state of the process; a debugger's stop or a run state explains a quiet process best."""
    found: List[Finding] = []
    crashed = any(f.kind.startswith("crash.") for f in before)
    if crashed:
        return found
    hangs = [f for f in before if f.kind.startswith("hang.")]
    stop = _breakpoint(context) or _probe(context)
    if stop is not None:
        return [stop]
    state = _runstate(context)
    if hangs and hangs[0].confidence != "possible" and state is not None and state.kind not in _SAID_BESIDE_HANG:
        return []
    if state is not None and not (hangs and state.kind in ("state.running", "state.paused", "state.prelaunch")):
        found.append(state)
    found += purpose.find(context)
    if not found and not hangs and not any(f.rule == "yielded" for f in before):
        quiet = _quiet(context)
        if quiet is not None:
            found.append(quiet)
    if not hangs:
        for told in found:
            unplug.tell(context, told)
    return found


# --------------------------------------------------------------------------------------------------------------


def _breakpoint(context: Context) -> Optional[Finding]:
    signal = context.snapshot.signal or next((t.signal for t in context.snapshot.threads if t.signal), None)
    line = stopped_by_debugger(context)
    current = _current(context)
    name = signal.name if signal is not None else None
    if not line and (name is None or name in signals.SIGNALS and name != "SIGTRAP" and not signals.only_stops(signal)):
        return None
    if not line and name not in signals.HARMLESS and name != "SIGTRAP":
        return None
    if current is None:
        return None
    if (
        not line
        and name in ("SIGINT", "SIGSTOP", "SIGTSTP")
        and (context.snapshot.source.kind != "text" or len(context.live_subjects) > 1)
    ):
        return None  # somebody looks at the process; what it does is the question
    story = common.story(context, current)
    sentences: List[str] = []
    failed = stops.failure(context, current) if line or name == "SIGTRAP" else None
    if failed is not None:
        title = failed.title
        sentences += failed.sentences
        proof = [
            Evidence(text=line or "SIGTRAP", thread=current.number),
            evidence(current, failed.position, current.stack.names[failed.position]),
        ]
    elif line or name == "SIGTRAP":
        error = stops.error_line(context)
        title = "Stopped at a breakpoint" + ("" if error else "; nothing is wrong")
        proof = [Evidence(text=line or "SIGTRAP", thread=current.number)]
        position = common.qemu_frame(current.stack)
        if position is not None and current.stack.names[position]:
            place = common.place(current.stack.frames[position])
            sentences.append(f"{who(current)} is in {current.stack.names[position]}{f' ({place})' if place else ''}.")
        if error:
            sentences.append(f'QEMU had written "{common.cut(error, 160)}".')
    else:
        title = f"Stopped by {name}, which is no error"
        if name == "SIGPIPE" and current.told.role == "user-mode":
            sentences.append("The emulated program wrote to a closed pipe or socket; QEMU hands the signal on to it.")
        else:
            sentences.append(f"{signals.HARMLESS[name or '']}.")
        if name in ("SIGUSR1", "SIGUSR2"):
            sentences.append("A debugger has to pass it on.")
        elif name == "SIGPIPE":
            sentences.append("gdb stops at it all the same, unless told otherwise.")
        proof = [Evidence(text=signal.text if signal is not None and signal.text else str(name), thread=current.number)]
    if story:
        sentences.append(f"{who(current)}: {story.rstrip('.')}.")
    waiters = [
        s for s in context.live_subjects if s.waiting is not None and s.waiting.kind == "bql" and s is not current
    ]
    if waiters:
        sentences.append(
            f"{capital(common.listed(waiters))} {'waits' if len(waiters) == 1 else 'wait'} for the BQL meanwhile, "
            f"which is normal: device "
            "accesses are short."
        )
    steps = failed.steps if failed is not None else []
    if name == "SIGPIPE":
        steps = ["in gdb: handle SIGPIPE nostop noprint pass, then continue"]
    elif name == "SIGUSR1":
        steps = ["in gdb: handle SIGUSR1 noprint nostop pass"]
    elif name == "SIGUSR2":
        steps = ["in gdb: handle SIGUSR2 noprint nostop pass (lldb: process handle SIGUSR2 -s false -p true)"]
    return finding(
        "state.breakpoint",
        title,
        "certain",
        sentences,
        subjects=[current],
        proof=proof,
        steps=steps,
        rule="debugger-stop",
    )


def _probe(context: Context) -> Optional[Finding]:
    if not tries_instructions(context):
        return None
    current = next((s for s in context.live_subjects if s.stack.names and s.stack.names[0] in signals.PROBES), None)
    if current is None:
        return None
    signal = context.snapshot.signal
    return finding(
        "state.breakpoint",
        "Stopped by SIGILL, which is no error",
        "certain",
        [f"OpenSSL tries out in {current.stack.names[0]}, before main(), which instructions the CPU has, and catches "
         "the SIGILL of those that it lacks. A debugger stops at it all the same."],
        subjects=[current],
        proof=[Evidence(text=signal.text if signal is not None else "SIGILL", thread=current.number),
               evidence(current, 0, "tries out an instruction")],
        steps=["in gdb: continue; for good: handle SIGILL nostop noprint pass"],
        rule="probes-instructions",
    )


def _current(context: Context) -> Optional[Subject]:
    subjects = context.live_subjects
    return next((s for s in subjects if s.told.thread.current), subjects[0] if subjects else None)


def _runstate(context: Context) -> Optional[Finding]:
    told = context.runstate
    if told is None:
        return None
    if told.name == "running":  # a text's own word adds to what the stacks show, and stands for no thread
        return _running(context) if not told.line else None
    whole = not told.line or _whole(context)
    found = runstates.stopped(context, told, bool(_busy(context)), whole)
    if found is not None:
        found.explanation = " ".join([found.explanation, *_jobs(context)])
    return found


def _jobs(context: Context) -> List[str]:
    """The block jobs. A cancelled mirror first waits for its copies (block/mirror.c, mirror_wait_for_all_io)."""
    told = []
    for job in context.facts.jobs[:2]:
        if job.cancelled:
            copies = f": its {job.in_flight} copies in flight have to complete first" if job.in_flight else ""
            told.append(f"Job {job.id} ({job.type}) has been cancelled, and is not over yet{copies}.")
        elif job.status == "concluded":
            told.append(f"Job {job.id} ({job.type}) has ended, and waits for job-dismiss; query-jobs tells its error.")
        elif job.status not in (None, "null"):
            progress = f", {job.progress}" if job.progress else ""
            told.append(f"Job {job.id} ({job.type}): {job.status}{progress}{_why(job)}.")
    return told


def _why(job: Job) -> str:
    """What a job that does nothing waits for (qapi/job.json, JobStatus)."""
    if _stopped_by_an_error(job):
        return "; it found no space left" if job.io_status == "nospace" else "; an I/O error stopped it"
    return {
        "ready": "; it copies what the guest writes until block-job-complete or block-job-cancel",
        "pending": "; it waits for job-finalize",
        "waiting": "; it waits for the other jobs of its transaction",
    }.get(job.status or "", "")


def _stopped_by_an_error(job: Job) -> bool:
    return job.status in ("paused", "standby") and job.io_status in ("failed", "nospace")


def _with_jobs(context: Context, title: str) -> Tuple[str, List[str]]:
    """Title and next steps where an I/O error has stopped a job (block_job_error_action, blockjob.c)."""
    job = next((j for j in context.facts.jobs if _stopped_by_an_error(j) and not j.cancelled), None)
    if job is None:
        return title, []
    works_on = [n.name for n in context.facts.nodes
                if f"{job.type} job {job.id}" in n.parents and not n.name.startswith("#")]
    below = f" below {' or '.join(works_on)}" if works_on else ""
    resume = json.dumps({"execute": "block-job-resume", "arguments": {"device": job.id}})
    return (
        f"The VM runs; an I/O error has stopped the {job.type} job {job.id}",
        [f"mend the storage{below}, then have the job try again, on a QMP monitor: {resume}"],
    )


def _sure(context: Context) -> str:
    """How sure it is that nothing is wrong: what was not read may be what is."""
    return "possible" if any(n.kind == "notice.truncated" for n in context.snapshot.notices) else "certain"


def _busy(context: Context) -> List[Subject]:
    return [
        s
        for s in context.live_subjects
        if len(s.stack) and (s.waiting is None or not s.waiting.resting)
        and s.told.role not in VCPUS
        and s.told.state not in ("idle", "running-guest")
        and s.told.role not in ("external-library", "glib-worker")
    ]


def _running(context: Context) -> Optional[Finding]:
    vcpus = context.with_role(*VCPUS)
    guest = [s for s in vcpus if s.told.state == "running-guest"]
    busy = _busy(context)
    main = context.with_role("main-loop")
    outside = waiting_outside(context)
    unread = context.facts.extra.get("unread_monitors") or {}
    if main and not busy and not guest and vcpus and not (context.facts.requests or outside or unread):
        calm, waits = "Nothing is stuck in QEMU: the guest is idle and all threads rest", "wait for an interrupt"
        known = context.facts.vcpus
        if known and all(vcpu.halted and vcpu.masked for vcpu in known):
            calm = "Nothing is stuck in QEMU: the guest has halted with interrupts off, and goes on by itself no more"
            waits = "have interrupts off: only an NMI, an SMI, INIT or a reset wakes them (a guest that gave up, or " \
                    "firmware that found nothing to start)"
        title, steps = _with_jobs(context, calm)
        return finding(
            "state.idle",
            title,
            _sure(context),
            [f"Run state running; the vCPUs are halted and {waits}; the main loop waits for events.", *_jobs(context)],
            proof=[Evidence(text="run state running")],
            steps=steps,
            rule="running-idle",
        )
    sentences = ["Run state running.", *_jobs(context)]
    calm = "The VM runs; nothing is stuck in QEMU"
    title, steps = _with_jobs(context, calm)
    at_work = title == calm and bool(main) and main[0] in busy
    if title == calm and _sure(context) != "certain":
        title = calm = "The VM runs; nothing that was read of it is stuck"
    if at_work:
        title = "The VM runs; the main loop is at work, and serves no monitor and no device meanwhile"
        steps = ["a second sample, some seconds later: is the main loop still there?"]
    if context.facts.requests and not steps:
        title, steps = _with_requests(context, title)
    if outside:
        short_, sentence = told_outside(outside)
        sentences.append(sentence)
        if title == calm:
            title = f"The VM runs and no thread is stuck; {short_}"
            steps = look_outside(outside[0])
    if context.facts.requests:
        several = len(one_each(context, context.facts.requests)) > 1
        sentences.append(in_flight(context, context.facts.requests))
        sentences.append(f"No thread waits for {'them' if several else 'it'}.")
    for name, size in list(unread.items())[:2]:
        much = f"{size >> 20} MiB" if size >> 20 else f"{size >> 10} KiB"
        sentences.append(f"Monitor {name} has {much} of answers and events to send, and its client does not read them: "
                         "they pile up in QEMU's memory.")
    if unread and title == calm:
        title = f"The VM runs and no thread is stuck; the client of monitor {next(iter(unread))} does not read"
        steps = [f"ss -xp, ss -tnp: which process is the client of {next(iter(unread))}? It hangs, or reads no more"]
    if guest:
        sentences.append(f"{capital(common.listed(guest))} {'is' if len(guest) == 1 else 'are'} in the guest.")
    if busy:
        first = busy[0]
        sentences.append(f"{who(first)}: {first.told.summary or 'executes'}.")
    return finding(
        "state.running",
        title,
        "possible" if at_work else _sure(context),
        sentences,
        subjects=guest[:4],
        proof=[Evidence(text="run state running")],
        steps=steps,
        rule="running",
    )


def _with_requests(context: Context, title: str) -> Tuple[str, List[str]]:
    """Title and next steps where requests wait for somebody outside: one sample does not tell for how long."""
    found = {c.address: c for c in context.snapshot.coroutines}
    waiting = [
        (r, found[r.coroutine])
        for r in one_each(context, context.facts.requests)
        if r.coroutine in found and found[r.coroutine].waits_kind in OUTSIDE
    ]
    if not waiting:
        return title, []
    request, coroutine = waiting[0]
    alike = sum(c.waits_kind == coroutine.waits_kind for _, c in waiting)
    whom = short_wait(coroutine)
    title = f"The VM runs and no thread is stuck; {alike} request{' waits' if alike == 1 else 's wait'} for {whom}"
    steps = for_outside(context, request, coroutine)
    return title, [f"a second sample: is the same request still there? Then {steps[0]}", *steps[1:]] if steps else []


# --------------------------------------------------------------------------------------------------------------
# From stacks alone


def _whole(context: Context) -> bool:
    """Whether the input can be the whole process: main loop, RCU thread and vCPUs, none of them cut."""
    subjects = context.live_subjects
    if any(
        n.kind in ("notice.truncated", "notice.corrupt-stack")
        for n in [*context.snapshot.notices, *context.explanation.notices]
    ):
        return False
    if any(s.told.thread.truncated_top for s in subjects):
        return False
    return bool(context.with_role("main-loop")) and bool(context.with_role(*VCPUS))


def _quiet(context: Context) -> Optional[Finding]:
    subjects = context.live_subjects
    if not subjects or not context.explanation.is_qemu:
        return None
    if len(subjects) > 1 and all(len(s.stack) == 1 and s.told.thread.truncated_bottom for s in subjects):
        return _innermost_only(subjects)
    vcpus = context.with_role(*VCPUS)
    main = context.with_role("main-loop")
    resting = [s for s in subjects if _rests(s)]
    at_rest = {id(s) for s in resting}
    executing = [s for s in subjects if id(s) not in at_rest]
    truncated = _cut(context)
    steps = [] if _whole(context) else ["thread apply all bt"]
    users = context.with_role("user-mode")
    if users and all(
        id(s) in at_rest
        or s.told.role == "user-mode"
        and s.stack.find(("do_safe_futex", "safe_futex", "do_futex")) is not None
        for s in subjects
    ):
        return _tool(context, users[0], resting, [])
    if len(resting) < len(subjects):
        return _executing(context, executing, truncated, steps)
    if not main or not vcpus or truncated:
        return _part(context, resting, vcpus, main, truncated)
    guest = [s for s in vcpus if s.told.state == "running-guest" or s.stack.names[:1] == ("ioctl",)]
    migrating = purpose.rate_limited(context)
    if guest:
        return finding(
            "state.running",
            "Nothing is stuck in QEMU: the vCPUs are in the guest, the other threads rest",
            "likely",
            [
                f"{capital(common.listed(guest))} {'is' if len(guest) == 1 else 'are'} in the guest, and the main "
                f"loop waits for events.",
                "If this VM hangs, look inside the guest, or at KVM and the host kernel, not at QEMU's locks."
                if migrating is None
                else f"{capital(the(migrating))} migrates, and pauses for its bandwidth limit: if that never ends, the "
                "guest dirties its RAM as fast as the limit lets it be sent.",
            ],
            subjects=guest[:4],
            proof=[evidence(s, 0, "runs the guest") for s in guest[:2]],
            steps=["info registers and a sample of the guest's pc on each vCPU: where does it loop?"]
            if migrating is None
            else ["info migrate: dirty pages rate against throughput, and max-bandwidth; auto-converge, multifd or "
                  "postcopy end a migration that does not converge"],
            rule="quiet-running",
        )
    halted_kvm = [
        s for s in vcpus if s.told.role == "vcpu-kvm" and s.waiting is not None and s.waiting.kind == "vcpu-halt"
    ]
    if halted_kvm and len(halted_kvm) == len(vcpus):
        return finding(
            "state.paused",
            "Nothing is stuck in QEMU: the VM is stopped, all its vCPUs are parked",
            "likely",
            [
                "Under KVM a vCPU waits in qemu_wait_io_event (halt_cond) only while the VM is stopped: paused, not "
                "started (-S), waiting for a migration, "
                "stopped by an I/O error or a guest panic, or shut down with -no-shutdown (or an interrupt "
                "controller is emulated in QEMU).",
                "The main loop waits for events.",
            ],
            subjects=halted_kvm[:4],
            proof=[evidence(s, s.waiting.at if s.waiting else None, "parked") for s in halted_kvm[:2]],
            steps=["info status (query-status): which run state is it?"],
            rule="quiet-parked",
        )
    return finding(
        "state.idle",
        "Nothing is stuck in QEMU: all threads rest where they should",
        "likely",
        [
            f"The main loop waits for events and {'the vCPU is' if len(vcpus) == 1 else 'the vCPUs are'} halted or "
            f"stopped.",
            "If the VM seems to hang, ask for its run state, and look inside the guest.",
        ],
        subjects=[*main[:1], *vcpus[:3]],
        proof=[evidence(s, s.waiting.at if s.waiting else 0, "rests") for s in [*main[:1], *vcpus[:2]]],
        steps=["info status (query-status): is it running?"],
        rule="quiet",
    )


def _innermost_only(subjects: List[Subject]) -> Finding:
    """``info threads`` alone: where each thread stands, and nothing of why."""
    guest = [s for s in subjects if s.told.state == "running-guest"]
    sentences = ["That shows where a thread stands, but not who called it: whether it rests, waits for a lock or for "
                 "a request, its outer frames tell."]
    if guest:
        sentences.append(f"{capital(common.listed(guest))} {'is' if len(guest) == 1 else 'are'} in KVM_RUN: in the "
                         "guest, or halted there.")
    return finding("state.running", "Only the innermost frame of each thread is in the text", "possible", sentences,
                   subjects=guest[:4], proof=[evidence(s, 0, s.stack.names[0] or "a frame") for s in subjects[:3]],
                   steps=["thread apply all bt"], rule="innermost-only")


def _rests(subject: Subject) -> bool:
    if subject.told.thread.truncated_top:
        return False
    return (
        subject.told.state in ("idle", "running-guest")
        or (subject.waiting is not None and subject.waiting.resting)
        or (subject.told.thread.kernel_only)
    )


def _cut(context: Context) -> bool:
    notices: List[Notice] = [*context.snapshot.notices, *context.explanation.notices]
    return any(n.kind == "notice.truncated" for n in notices) or any(
        s.told.thread.truncated_top for s in context.live_subjects
    )


def _missing_end(context: Context, subject: Subject) -> str:
    """Which end of a stack is missing, as a sentence."""
    thread = subject.told.thread
    if thread.truncated_top and subject.stack.frames:
        first = subject.stack.frames[0].level
        frames = f"frames #0 to #{first - 1}" if first > 1 else "frame #0"
        if not first:
            frames = "its innermost frames"
        return (
            f"The text begins at frame #{first}: {frames} are missing, and with them what happened; no cause can "
            f"be named."
        )
    return ""


def _executing(context: Context, executing: List[Subject], truncated: bool, steps: List[str]) -> Finding:
    at_work = next((s for s in executing if s.told.state == "executing"), executing[0])
    subject = next((s for s in executing if s.told.thread.current), at_work)
    stack = subject.stack
    missing = _missing_end(context, subject)
    story = common.story(context, subject)
    access = stories.guest_access(stack, context.facts)
    sentences = [missing] if missing else []
    if story:
        sentences.append(f"{who(subject)}: {story.rstrip('.')}.")
    elif subject.told.summary:
        sentences.append(f"{who(subject)}: {subject.told.summary.rstrip('.')}.")
    position = common.qemu_frame(stack)
    proof = [evidence(subject, position, f"{stack.names[position]}")] if position is not None else []
    if missing:
        first = stack.frames[0].level
        command = stories.monitor_command(stack)
        seen = access.text.split(",")[0] if access is not None else command.text if command is not None else ""
        title = f"The text begins at frame #{first}: the innermost frames are missing"
        if seen:
            title = f"The text begins at frame #{first}; only {seen} is visible"
        return finding(
            "state.running",
            title,
            "certain",
            sentences,
            subjects=[subject],
            proof=proof,
            steps=[f"the frames above #{first}, and the line with the signal or assertion", "thread apply all bt"],
            rule="cut-top",
        )
    huge = _huge(stack)
    if huge:
        sentences.append(huge)
    name = stack.names[position] if position is not None else "code without a name"
    other = [s for s in executing if s is not subject]
    alone = len(context.live_subjects) == 1
    if subject.told.state == "exiting":
        ended = _exits(context, subject, sentences)
        if ended is not None:
            return ended
    if subject.told.role == "user-mode" and stack.names[0].startswith("safe_") and subject.told.summary:
        title = f"{who(subject)} {subject.told.summary}; nothing shows that it is stuck"
    elif subject.told.state in ("waiting-mutex", "waiting-condvar", "blocked-syscall") or subject.waiting is not None:
        waits_in = (stack.names[subject.waiting.at] if subject.waiting else name) or f"{stack.names[0] or 'a call'}()"
        title = f"{who(subject)} waits in {waits_in}; nothing shows that it is stuck"
    else:
        title = f"{who(subject)} executes {name}"
    sentences.append(
        "No signal and no failed check is in the input, and nothing waits for this thread: a stack alone does not "
        "say that it crashed or hangs."
        if alone
        else "No signal is in the input."
        if any(s.waiting is not None and s.waiting.owners and not s.waiting.resting for s in context.live_subjects)
        else "No signal is in the input, and no thread waits for another."
    )
    if other and not alone:
        sentences.append(
            f"Also at work: {joined([f'{short(s)} ({s.told.summary or s.told.role})' for s in other[:3]])}."
        )
    told = complaint(context.snapshot)
    steps = [] if told == "hang" else ["if it crashed: the line with the signal or the failed assertion, and bt full"]
    if subject.told.role == "user-mode" and stack.names[0].startswith("safe_"):
        steps = ["what does the guest program wait for? These stacks show QEMU's side alone: run it with -strace, or "
                 "with -g PORT and gdb-multiarch for the guest's own stacks"]
    elif told != "crash":
        lead = "" if told else "if it hangs or is slow: "
        steps.append(f"{lead}a second sample of thread apply all bt, some seconds later: which frames are the same?")
    return finding(
        "state.running",
        title,
        "possible",
        sentences,
        subjects=[subject, *other[:3]],
        proof=proof,
        steps=steps,
        rule="executing",
    )


def _exits(context: Context, subject: Subject, sentences: List[str]) -> Optional[Finding]:
    """QEMU's own call of exit(): devices up to 2.8 gave up by it, and so does whatever fails before the VM runs."""
    stack = subject.stack
    left = stack.find(("exit", "_exit"))
    caller = common.qemu_frame(stack, left + 1) if left is not None else None
    if caller is None or code_of(stack.frames[caller]).owner != "qemu":
        return None
    name = stack.names[caller]
    planned = name in ("main", "qemu_default_main", "qemu_main")
    return finding(
        "state.shutdown",
        "QEMU ends: main() has returned or called exit()" if planned else f"QEMU ends itself: {name} called exit()",
        "certain",
        [
            *sentences,
            "No signal ends it."
            if planned
            else f"That is no crash: {at(stack, caller)} met something that it does not go on with, and its message is "
            "on stderr or in the log.",
        ],
        subjects=[subject],
        proof=[evidence(subject, caller, f"{name} called exit()")],
        steps=[] if planned else ["QEMU's last line on stderr or in its log"],
        rule="exits",
    )


def _part(
    context: Context, resting: List[Subject], vcpus: List[Subject], main: List[Subject], truncated: bool
) -> Finding:
    missing = []
    if not main:
        missing.append("main loop")
    if not vcpus:
        missing.append("vCPU")
    tool = context.with_role("tool-main", "user-mode", "test")
    roles = Counter(s.told.role for s in resting)
    named = [_a(role, count) for role, count in roles.items()][:5]
    sentences = [f"{capital(joined(named))} {'rests' if len(resting) == 1 else 'rest'} normally."]
    titles = "The threads shown rest normally"
    if tool:
        return _tool(context, tool[0], resting, sentences)
    guest = [s for s in vcpus if s.told.state == "running-guest"]
    if guest and len(guest) == len(resting):
        is_are = "is" if len(guest) == 1 else "are"
        sentences = [
            f"{who(guest[0]) if len(guest) == 1 else capital(common.listed(guest))} {is_are} in the guest: that is "
            f"the normal stack of a running "
            "guest, whatever the guest does there.",
            *sentences[1:],
            "The rest of the process is not in this text.",
        ]
        return finding(
            "state.running",
            "The vCPU is in the guest; nothing else of the process is shown"
            if len(guest) == 1
            else "The vCPUs are in the guest; nothing else of the process is shown",
            "likely",
            sentences,
            subjects=guest[:4],
            proof=[evidence(s, 0, "runs the guest") for s in guest[:2]],
            steps=["samples of the guest's pc (info registers): where does it loop?", "thread apply all bt"],
            rule="quiet-guest",
        )
    if missing:
        sentences.append(
            f"No {' and no '.join(missing)} is in this text, so nothing can be said about "
            f"{'the guest' if missing == ['vCPU'] else 'the rest of the process'}."
        )
        titles += f"; no {' and no '.join(missing)} is shown"
    cuts = [m for m in (_missing_end(context, s) for s in resting) if m]
    sentences += cuts[:1]
    if truncated and not cuts:
        sentences.append("The text is cut: what is missing may be what matters.")
    return finding(
        "state.idle",
        titles,
        "possible",
        sentences,
        subjects=resting[:4],
        proof=[evidence(s, s.waiting.at if s.waiting is not None else 0, "rests") for s in resting[:3]],
        steps=["thread apply all bt"],
        rule="quiet-part",
    )


def _tool(context: Context, tool: Subject, resting: List[Subject], sentences: List[str]) -> Finding:
    """A tool (qemu-img, qemu-nbd...), a test or a user-mode emulator at rest."""
    stack = tool.stack
    if tool.told.role == "user-mode":
        guests = context.with_role("user-mode")
        futex = [
            s for s in guests if s.stack.find(("do_safe_futex", "safe_futex", "do_futex", "do_sys_futex")) is not None
        ]
        if futex and len(futex) == len(guests):
            return finding(
                "state.idle",
                "All threads of the guest program wait in its own futexes"
                if len(guests) > 1
                else "The guest program's only thread in this text waits in a futex of its own",
                "likely" if len(guests) > 1 else "possible",
                [
                    f"{capital(common.listed(guests))} {'is' if len(guests) == 1 else 'are'} in a futex system call "
                    f"that the guest program made; no lock "
                    "of QEMU is involved.",
                    "If the program hangs here and not on a real machine, a wake-up was lost: its own bug, or the "
                    "emulation of its atomics or of futex.",
                ],
                subjects=guests[:4],
                proof=[evidence(s, s.stack.find("do_safe_futex"), "guest futex") for s in guests[:3]],
                steps=["with QEMU_STRACE=1 (or -strace): the last futex calls of each thread"],
                rule="quiet-user",
            )
        running = [s for s in guests if s.told.state == "running-guest"]
        if running:
            return finding(
                "state.running",
                "The emulated program runs; nothing shows that it is stuck",
                "possible",
                [
                    f"{capital(common.listed(running))} {'is' if len(running) == 1 else 'are'} in code that TCG "
                    "translated for the program, or translates or helps it: such a stack shows nothing of the "
                    "program's own functions.",
                ],
                subjects=running[:4],
                proof=[evidence(s, 0, "runs the program") for s in running[:3]],
                steps=[
                    "if it crashed: the line with the signal",
                    "if it hangs or is slow: run it with -g PORT and gdb-multiarch, or take perf's samples",
                ],
                rule="user-running",
            )
    outer = stack.find(("main_loop_wait",))
    caller = common.qemu_frame(stack, outer + 1) if outer is not None else None
    if caller is not None and stack.names[caller] != "main":
        workers = [s for s in context.with_role("thread-pool-worker") if s.waiting is None]
        by_time = [c for c in context.snapshot.coroutines if c.waits_kind in ("throttle", "timer")]
        if by_time and not workers:
            return finding(
                "state.idle",
                f"{who(tool)} waits for {stack.names[caller]}, which goes on when its time has come",
                "likely",
                [f"{who(tool)} waits in its main loop for {at(stack, caller)} to finish.", told_outside(by_time)[1],
                 "That ends by itself: a rate limit (-r), a sleep or a latency that was asked for."],
                subjects=[tool],
                proof=[evidence(tool, caller, stack.names[caller])],
                rule="tool-by-time",
            )  # fmt: skip
        sentences = [
            f"{who(tool)} waits in its main loop for {at(stack, caller)} to finish.",
            "No thread shown works on it: the request is with the kernel or another machine, or a wake-up was lost."
            if not workers
            else f"{capital(common.listed(workers))} may be at work on it.",
        ]
        return finding(
            "state.idle",
            f"{who(tool)} waits for {stack.names[caller]}; no thread shown works on it"
            if not workers
            else f"{who(tool)} waits for {stack.names[caller]}",
            "possible",
            sentences,
            subjects=[tool],
            proof=[evidence(tool, outer, "main_loop_wait"), evidence(tool, caller, stack.names[caller])],
            steps=["a second sample; if nothing moves, qemu-requests and qemu-coroutines: what is still in flight?"],
            rule="quiet-tool",
        )
    outside = waiting_outside(context)
    if outside:
        short_, sentence = told_outside(outside)
        return finding(
            "state.idle",
            f"The threads shown rest; {short_}",
            "likely",
            [*sentences, sentence],
            subjects=resting[:4],
            steps=look_outside(outside[0]),
            rule="quiet-outside",
        )
    sentences.append("Nothing in it waits for a lock or a request as far as the stacks show.")
    return finding(
        "state.idle",
        "The threads shown rest normally; nothing is seen to be stuck",
        "possible",
        sentences,
        subjects=resting[:4],
        steps=["if it should be busy: a second sample, and the state of its requests (qemu-requests)"],
        rule="quiet-tool",
    )


def _huge(stack: Stack) -> str:
    """An argument that makes a loop of hours, as a sentence."""
    for position in range(min(16, len(stack))):
        for name, value in stack.frames[position].args.items():
            if (
                name in ("iterations", "count", "loops", "rounds", "n_iterations", "niter")
                and value.isdigit()
                and int(value) > 1_000_000_000
            ):
                return f"{at(stack, position)} was called with {name}={value}: that can take hours."
    return ""


def _a(role: str, count: int) -> str:
    words = role_words(role)
    if count > 1:
        return f"{count} threads ({words.brackets or 'of unknown role'})"
    return words.one if role != "unknown" else "a thread"
