"""Threads that never rest: in the same function, or going round the same event loop, in every capture of a process."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Set, Tuple

from ...knowledge.rests import EVENT_LOOPS, VCPUS
from ...knowledge.roles import STARTERS
from ...model import Evidence, Finding, Timer
from ...record import record
from ..blocked import blocked
from ..context import Context, Subject
from ..owners import code_of
from ..samples import BUSY, awake
from ..stack import Stack
from . import common
from .common import at, capital, evidence, finding, short, who
from .links import holding, lead, victims_text, waiters_for

RESTED = 0.5  # of the time, and less: a thread that slept, wherever it was seen
ENOUGH = 3  # captures that show more than chance

# Threads whose work is short, so that one which is always at work is stuck in it. Others (migration, workers,
# encoders) work for minutes, and so do tools.
_SHORT_WORK = ("main-loop", "iothread", "monitor-iothread", "rcu", *VCPUS)
_LONG_WORK = ("tool-main",)
_ONE_A_PROCESS = ("main-loop", "rcu")
# Functions that go round for ever, besides EVENT_LOOPS: what they call is the work.
_ROUNDS = frozenset(
    """main_loop_wait os_host_main_loop_wait main_loop qemu_main_loop qemu_default_main main qemu_main main_impl
    iothread_run glib_pollfds_poll qemu_clock_run_all_timers qemu_clock_run_timers timerlist_run_timers
    timerlistgroup_run_timers call_rcu_thread run_poll_handlers run_poll_handlers_once try_poll_mode
    g_main_context_dispatch aio_ctx_dispatch""".split()
)
# The loops of vCPU threads: what the guest does there is its own affair.
_VCPU_ROUNDS = frozenset(
    """kvm_vcpu_thread_fn qemu_kvm_cpu_thread_fn kvm_cpu_exec mttcg_cpu_thread_fn tcg_cpu_thread_fn
    qemu_tcg_cpu_thread_fn rr_cpu_thread_fn qemu_tcg_rr_cpu_thread_fn tcg_cpus_exec tcg_cpu_exec cpu_exec
    cpu_exec_setjmp cpu_exec_loop cpu_loop_exec_tb cpu_tb_exec tcg_qemu_tb_exec hvf_vcpu_exec whpx_vcpu_run
    nvmm_vcpu_loop""".split()
)
# What the dispatch of a guest's access goes through, before the device's own code.
_DISPATCH_ENDS = ("memory_region_dispatch_write", "memory_region_dispatch_read", "memory_region_write_accessor",
                  "memory_region_read_accessor", "access_with_adjusted_size")  # fmt: skip
# Short functions without a loop, which wake up others (util/async.c, util/event_notifier-posix.c, util/qemu-timer.c,
# hw/core/irq.c): one is where a busy thread is often seen, as every system call is.
_NO_LOOPS = frozenset(
    """event_notifier_set event_notifier_test_and_clear aio_notify aio_notify_accept aio_bh_enqueue qemu_bh_schedule
    qemu_bh_schedule_event qemu_notify_event timerlist_notify timerlist_rearm qemu_timer_notify_cb timer_mod
    timer_mod_ns qemu_set_irq qemu_mutex_unlock_impl qemu_mutex_lock_impl bql_unlock bql_lock_impl
    qemu_mutex_unlock_iothread qemu_mutex_lock_iothread_impl qemu_clock_get_ns cpu_get_clock cpu_get_clock_locked
    get_clock rcu_read_lock rcu_read_unlock""".split()
)
_TIMER_ROUNDS = ("timerlist_run_timers", "qemu_clock_run_timers", "qemu_clock_run_all_timers",
                 "timerlistgroup_run_timers")  # fmt: skip
# Bottom halves that are scheduled whenever there is work: util/main-loop.c, which only wakes the loop up, and
# completions, which schedule themselves while they run (util/thread-pool.c, block/linux-aio.c, block/io_uring.c)
_PASSING = ("notify_event_cb", "thread_pool_completion_bh", "qemu_laio_completion_bh", "qemu_luring_completion_bh",
            "co_schedule_bh_cb")  # fmt: skip
_BUSY_POLLS = ("run_poll_handlers", "run_poll_handlers_once", "try_poll_mode")


@record
class _Seen:
    """One thread in all captures."""

    subjects: List[Subject]
    share: Optional[float]  # of the time between them that it was awake; None: unknown
    loop: int = 0  # position, in the last stack, of the innermost function that all stacks share

    @property
    def last(self) -> Subject:
        return self.subjects[-1]


def find(contexts: Sequence[Context]) -> List[Finding]:
    """What spins, the surest first; ``contexts`` are captures of one process in the order of time, at least two."""
    found: List[Finding] = []
    for seen in _threads(contexts):
        told = _told(contexts, seen)
        if told is not None:
            found.append(told)
    order = {"certain": 0, "likely": 1, "possible": 2}
    return sorted(found, key=lambda f: order[f.confidence])[:3]


def within(context: Context) -> List[Finding]:
    """What spins by one text's stacks alone: of several without a number whose thread is the only one of its role in a
    process, each is a sample of that thread ("bt" again and again).
    """
    found: List[Finding] = []
    for role in _ONE_A_PROCESS:
        subjects = [s for s in context.with_role(role)
                    if s.number is None and s.told.thread.lwp is None and not s.told.thread.truncated_top]  # fmt: skip
        if len(subjects) > 1:
            told = _told([context] * len(subjects), _Seen(subjects, None))
            found += [told] if told is not None else []
    return found


def refutes(spins: Sequence[Finding], other: Finding, contexts: Sequence[Context]) -> bool:
    """Whether a conclusion from one capture does not hold: that a thread which spins is blocked, or only slow."""
    if other.kind not in ("hang.blocked-syscall", "hang.bql-held", "hang.waiting-for-peer") or not other.threads:
        return False
    number = other.threads[0]
    spin = next((s for s in spins if number in s.threads[:1]), None)
    if spin is None:
        return False
    subject = next((s for s in contexts[-1].live_subjects if s.number == number), None)
    lwp = subject.told.thread.lwp if subject is not None else None
    share = awake([c.snapshot for c in contexts], lwp) if lwp is not None else None
    return spin.confidence != "possible" or (share is not None and share >= BUSY)


def correct(spins: Sequence[Finding], context: Context) -> None:
    """Say of threads that spin that they run: one that enters the kernel in each round is seen to wait there."""
    for spin in spins:
        for subject in context.live_subjects:
            told = subject.told
            if spin.confidence != "possible" and subject.number in spin.threads[:1] and told.state != "executing":
                told.state, told.state_rule = "executing", "never-sleeps"


def _threads(contexts: Sequence[Context]) -> List[_Seen]:
    result: List[_Seen] = []
    for subject in contexts[-1].live_subjects:
        lwp = subject.told.thread.lwp
        if lwp is None or subject.told.role not in _SHORT_WORK + _LONG_WORK or subject.told.thread.truncated_top:
            continue
        all_seen = [c.by_lwp(lwp) for c in contexts]
        subjects = [s for s in all_seen if s is not None and len(s.stack)]
        if len(subjects) < len(contexts):
            continue
        result.append(_Seen(subjects, awake([c.snapshot for c in contexts], lwp)))
    return result


def _told(contexts: Sequence[Context], seen: _Seen) -> Optional[Finding]:
    if seen.share is not None and seen.share < (RESTED if len(contexts) >= ENOUGH else BUSY):
        return None
    busy = seen.share is not None and seen.share >= BUSY
    if any(s.told.state == "running-guest" for s in seen.subjects):
        return None
    if not busy and not all(_on_processor(s) for s in seen.subjects):
        return None
    common_frames = _shared(seen.subjects)
    if not common_frames:
        return None
    seen.loop = len(seen.last.stack) - common_frames
    inside = _work(seen.last.stack, seen.loop)
    in_timers = inside is not None and seen.last.stack.find(_TIMER_ROUNDS, inside) is not None
    if in_timers and _moved_timers(contexts, seen.subjects):
        inside = None  # one timer after the other
    if inside is not None and any(s.stack.find(_BUSY_POLLS) is not None for s in seen.subjects):
        return None  # what adaptive polling looks at; poll-max-ns asks for it (util/aio-posix.c)
    if inside is not None:
        return _in_work(contexts, seen, inside)
    if seen.last.told.role in ("rcu", *VCPUS, *_LONG_WORK):
        return None
    return _in_rounds(contexts, seen, busy)


def _on_processor(subject: Subject) -> bool:
    """Whether the thread runs where it stands: it does not wait, or polls without waiting."""
    stack = subject.stack
    if subject.told.state == "executing":
        return True
    top = blocked(stack)
    return top.kind == "poll" and (top.last < 0 or _polls_at_once(stack))


def _polls_at_once(stack: Stack) -> bool:
    """util/qemu-timer.c qemu_poll_ns, util/fdmon-*.c: a timeout of 0 only looks."""
    at_once = stack.find(("qemu_poll_ns", "os_host_main_loop_wait", "fdmon_poll_wait", "fdmon_epoll_wait",
                          "fdmon_io_uring_wait", "aio_epoll", "epoll_wait"), 0, 6)  # fmt: skip
    return at_once is not None and stack.arg_number(at_once, "timeout") == 0


def _shared(subjects: Sequence[Subject]) -> int:
    """How many of the outermost frames are the same functions in all stacks."""
    stacks = [s.stack for s in subjects]
    shortest = min(len(s) for s in stacks)
    count = 0
    while count < shortest:
        frames = [s.frames[-1 - count] for s in stacks]
        names = {s.names[-1 - count] for s in stacks}
        if len(names) != 1 or (not stacks[0].names[-1 - count] and len({f.pc for f in frames}) != 1):
            break
        count += 1
    return count


def _work(stack: Stack, first: int) -> Optional[int]:
    """Position of the innermost function of QEMU's, from ``first`` on, that is inside the thread's rounds: it, or what
    it calls, goes on and on. None where all that the stacks share are the rounds themselves.
    """
    inner: Optional[int] = None
    for position in range(first, len(stack)):
        name = stack.names[position]
        if name in EVENT_LOOPS or name in _ROUNDS or name in _VCPU_ROUNDS or name in STARTERS:
            return inner
        owner = code_of(stack.frames[position]).owner
        if owner == "jit":
            return inner
        if (inner is None and owner in ("qemu", "unknown") and name and name not in common.PLUMBING
                and name not in _NO_LOOPS):  # fmt: skip
            inner = position
    return None


def _samples(contexts: Sequence[Context], seen: _Seen) -> str:
    """ "In all 3 captures within 2.1 s"."""
    times = [c.snapshot.source.taken_s for c in contexts]
    within = f" within {times[-1] - times[0]:.1f} s" if times[0] is not None and times[-1] is not None else ""
    number = "both" if len(contexts) == 2 else f"all {len(contexts)}"
    return f"in {number} captures{within}"


def _awake(seen: _Seen) -> str:
    return f"It did not sleep in between (awake {seen.share:.0%} of the time)." if seen.share is not None else ""


def _confidence(contexts: Sequence[Context], seen: _Seen) -> str:
    if seen.last.told.role in _LONG_WORK or len(contexts) < ENOUGH:
        return "possible"
    return "likely"


def _in_work(contexts: Sequence[Context], seen: _Seen, inside: int) -> Optional[Finding]:
    context, last = contexts[-1], seen.last
    stack = last.stack
    function = stack.names[inside]
    if function in _DISPATCH_ENDS:
        return None  # one guest access after the other
    stuck = _waited_all_the_time(contexts, last)
    sentences = [
        lead(context, last),
        f"{capital(_samples(contexts, seen))} it is in {at(stack, inside)}{_varies(seen, inside)}.",
        _awake(seen),
        holding(last),
        victims_text(stuck),
    ]
    one_call = any(v.waiting is not None and v.waiting.kind == "bql" for v in stuck)
    if last.told.role == "iothread" and not one_call and (len(contexts) < ENOUGH or _varies(seen, inside)):
        return None  # under load it serves one request after the other: some of its stacks are alike
    if one_call:
        sentences.append("As the BQL was never free for them, this is one call that does not end.")
    elif last.told.role in _LONG_WORK:
        sentences.append("That may be long work rather than an endless loop.")
    else:
        caller = "the guest" if last.told.role in VCPUS else "the event loop"
        sentences.append(f"Either this call does not end, or {caller} makes it again and again.")
    loops = [n.text for n in context.snapshot.notices if n.kind == "notice.unreadable" and "loop" in n.text]
    if loops:
        sentences.append(f"Noted while reading its memory: {loops[0].rstrip('.')}.")
    proof = [evidence(s, max(0, len(s.stack) - len(stack) + inside), f"capture {n}: in {function}")
             for n, s in enumerate(seen.subjects[:4], 1)]  # fmt: skip
    proof += [evidence(v, v.waiting.at if v.waiting else None, "waits for it") for v in stuck[:3]]
    level = stack.level(inside)
    return finding(
        "hang.spinning",
        f"{who(last)} never leaves {function}" if one_call else f"{who(last)} is in {function} each time: it loops",
        _confidence(contexts, seen),
        sentences,
        subjects=[last, *stuck],
        proof=proof,
        steps=[
            f"in {short(last)}, frame {level}: `info locals` and a few times `next`: which condition does not change?",
            "does a list that it walks lead back to itself, or does a count grow with each round?",
        ],
        rule="spins-in-a-function",
    )


def _varies(seen: _Seen, inside: int) -> str:
    """What the stacks show inside the function, where they differ."""
    outer = len(seen.last.stack) - inside
    inner: Dict[str, None] = {}
    for subject in seen.subjects:
        position = len(subject.stack) - outer - 1
        if position >= 0 and subject.stack.names[position]:
            inner.setdefault(subject.stack.names[position])
    return f", each time in something that it calls ({', '.join(list(inner)[:3])})" if len(inner) > 1 else ""


def _waited_all_the_time(contexts: Sequence[Context], last: Subject) -> List[Subject]:
    """Threads that wait for this one in every capture, in the same place."""
    stuck: List[Subject] = []
    for victim in waiters_for(contexts[-1], [last]):
        before = [c.by_lwp(victim.told.thread.lwp) for c in contexts[:-1]]
        if all(b is not None and b.stack.names == victim.stack.names and b.waiting is not None for b in before):
            stuck.append(victim)
    return stuck


# --------------------------------------------------------------------------------------------------------------
# Event loops that never sleep


def _in_rounds(contexts: Sequence[Context], seen: _Seen, busy: bool) -> Optional[Finding]:
    last = seen.last
    if sum(s.stack.find(_BUSY_POLLS) is not None for s in seen.subjects) * 2 > len(seen.subjects):
        return None  # adaptive polling: poll-max-ns asks for it (util/aio-posix.c)
    if not busy and not any(_polls_at_once(s.stack) for s in seen.subjects):
        return None
    stuck = [v for v in _waited_all_the_time(contexts, last) if v.waiting is not None and v.waiting.kind == "bql"]
    if stuck and busy and len(contexts) >= ENOUGH:
        return _nameless(contexts, seen, stuck)
    source = _source(contexts, seen)
    if last.told.role == "iothread" and (source is None or not source.sure):
        return None  # one with much to do, as far as is seen
    sentences = [
        f"{capital(_samples(contexts, seen))} {common.the(last)} goes round its event loop, and does not rest.",
        _awake(seen),
    ]
    proof: List[Evidence] = [evidence(s, 0, f"capture {n}: {s.told.summary or s.stack.names[0]}")
                             for n, s in enumerate(seen.subjects[:4], 1)]  # fmt: skip
    name = who(last)
    if source is None:
        sentences.append("What keeps it awake can't be told from these captures: it may just have much to do.")
        title = f"{name} never rests"
    else:
        sentences.append(source.says)
        proof += source.proof
        title = f"{name} never rests: {source.title}"
    confidence = _confidence(contexts, seen) if source is not None and source.sure and busy else "possible"
    return finding(
        "hang.spinning",
        title,
        confidence,
        [*sentences, "Everything else on that loop goes on, only slower."],
        subjects=[last],
        proof=proof,
        steps=[source.step if source is not None else "perf top -t LWP: which functions take its time",
               "qemu-handlers, qemu-timers: what is due on that loop"],
        rule="event-loop-never-rests",
    )


def _nameless(contexts: Sequence[Context], seen: _Seen, stuck: List[Subject]) -> Finding:
    """A loop that would give up the BQL in each round, and has not: what it has called does not end. The function has
    no name, or another in each capture.
    """
    last = seen.last
    return finding(
        "hang.spinning",
        f"{who(last)} does not come back from what its event loop has called",
        "likely",
        [
            f"{capital(_samples(contexts, seen))} {common.the(last)} is at work.",
            _awake(seen),
            holding(last),
            victims_text(stuck),
            "As the BQL was never free for them, the event loop has not gone round: one call does not end.",
        ],
        subjects=[last, *stuck],
        proof=[evidence(s, 0, f"capture {n}: {s.told.summary or s.stack.names[0]}")
               for n, s in enumerate(seen.subjects[:4], 1)],
        steps=["with QEMU's debug symbols the stacks name the function (the distribution's -dbgsym package, or "
               "debuginfod)"],
        rule="event-loop-does-not-come-back",
    )  # fmt: skip


@record
class _Source:
    """What keeps an event loop awake."""

    title: str
    says: str
    step: str
    proof: List[Evidence]
    sure: bool  # whether much work can't look the same


def _source(contexts: Sequence[Context], seen: _Seen) -> Optional[_Source]:
    return _timer(contexts, seen) or _bottom_half(contexts, seen) or _descriptor(contexts, seen)


def _loop_context(context: Context, subject: Subject) -> int:
    iothread = context.iothread_of(subject.told.thread.lwp)
    return iothread.context if iothread is not None else context.facts.main_context


def _bottom_half(contexts: Sequence[Context], seen: _Seen) -> Optional[_Source]:
    """A bottom half that is scheduled in every capture: it schedules itself (util/async.c)."""
    always: Optional[Set[str]] = None
    for context, subject in zip(contexts, seen.subjects):
        home = _loop_context(context, subject)
        now = {b.function for b in context.facts.bottom_halves
               if b.function and b.context == home and b.function not in _PASSING}  # fmt: skip
        always = now if always is None else always & now
    if not always:
        return None
    function = min(always)
    return _Source(
        f"the bottom half {function} is scheduled each time",
        f"The bottom half {function} is scheduled in each of them: it, or what it causes, schedules it again.",
        f"who schedules it: break qemu_bh_schedule if bh->cb == {function}",
        [Evidence(f"{function} is scheduled")],
        sure=False,
    )


def _descriptor(contexts: Sequence[Context], seen: _Seen) -> Optional[_Source]:
    """A descriptor that every poll finds ready: what is there is never taken, or the other end has hung up."""
    always: Optional[Set[int]] = None
    for context, subject in zip(contexts, seen.subjects):
        home = _loop_context(context, subject)
        others = {i.context for i in context.facts.iothreads} if home == context.facts.main_context else set()
        now = {h.fd for h in context.facts.handlers
               if h.ready and (h.context == home or others and h.context not in others)
               and not h.note.startswith("wakes")}  # fmt: skip
        always = now if always is None else always & now
    if not always:
        return None
    fd = min(always)
    handler = next(h for h in contexts[-1].facts.handlers if h.fd == fd and h.ready)
    calls = handler.read or handler.write or ("a GLib source" if handler.glib else "")
    what = f"descriptor {fd}{f' ({handler.note})' if handler.note else ''}"
    return _Source(
        f"descriptor {fd} is ready each time",
        f"{capital(what)} is ready ({handler.ready}) in each of them{f', for {calls}' if calls else ''}: what there is "
        "to read is never taken, or the other end has hung up.",
        f"ls -l /proc/PID/fd/{fd}, ss -p: what is at the other end",
        [Evidence(f"descriptor {fd} is ready: {handler.ready}")],
        sure=any(word in handler.ready for word in ("error", "hung up", "invalid")),
    )


def _timer(contexts: Sequence[Context], seen: _Seen) -> Optional[_Source]:
    """A timer that is armed anew each time it has run: the stacks are in the timers' loop, or look at the descriptors
    without waiting because a timer is due; and of all timers only it moved between any two captures and comes next
    (util/qemu-timer.c).
    """
    if seen.last.told.role != "main-loop":
        return None
    runs = [s for s in seen.subjects if s.stack.find(_TIMER_ROUNDS) is not None]
    hurries = [s for s in seen.subjects if s not in runs and _polls_at_once(s.stack)]
    if 2 * (len(runs) + len(hurries)) < len(seen.subjects):
        return None
    moved = _moved_timers(contexts, seen.subjects)
    proof = [evidence(s, s.stack.find(_TIMER_ROUNDS), "runs timers") for s in runs[:2]]
    if len(moved) == 1:
        timer = moved[0]
        owner = contexts[-1].facts.objects.get(hex(timer.opaque), "")
        return _Source(
            f"the timer {timer.function} is due again as soon as it has run",
            f"{timer.function}{f' of {owner}' if owner else ''} ({timer.clock} clock) was armed anew between them, "
            "and is the next to run: its period is shorter than what one round takes.",
            f"who asks for that period: a guest can set it in the device behind {timer.function}",
            [*proof, Evidence(f"{timer.function} expires at {timer.expires_ns} ns")],
            sure=True,
        )
    if 2 * len(runs) < len(seen.subjects):
        return None
    return _Source("it runs timers all the time",
                   f"In {len(runs)} of them it runs timers: one is due again as soon as it has run.",
                   "qemu-timers, twice: which one's time moved", proof, sure=True)  # fmt: skip


def _moved_timers(contexts: Sequence[Context], subjects: Sequence[Subject]) -> List[Timer]:
    """Timers that were armed anew between two captures, or are in one of them being run, and are the next of their
    clock in the last that shows them; where one of them is on a stack, only that.
    """
    times: Dict[Tuple[str, str, int], List[int]] = {}
    following: Dict[Tuple[str, str, int], Timer] = {}
    for context in contexts:
        clocks: Set[str] = set()
        for timer in sorted(context.facts.timers, key=lambda t: t.expires_ns):
            if timer.function:
                key = (timer.clock, timer.function, timer.opaque)
                times.setdefault(key, []).append(timer.expires_ns)
                following.pop(key, None)
                if timer.clock not in clocks:
                    following[key] = timer
            clocks.add(timer.clock)

    def on_stack(timer: Timer) -> bool:
        return any(s.stack.find(timer.function or "") is not None for s in subjects)

    moved = [t for key, t in following.items()
             if len(set(times[key])) == len(times[key]) and (len(times[key]) > 1 or on_stack(t))]  # fmt: skip
    return [t for t in moved if on_stack(t)] or moved
