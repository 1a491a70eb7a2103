"""Says of every thread what it does at this moment: runs, rests, waits for what, or ends the process."""

from __future__ import annotations

import re
from typing import Callable, Dict, List, Optional, Set, Tuple

from ..knowledge import signals
from ..knowledge.aborts import (
    CHECKS_ITS_CALLER,
    DIES_BY_SIGNAL,
    EXIT_FUNCTIONS,
    FATAL_PATHS,
    FatalPath,
    fatal_path_of,
    gives_up,
)
from ..knowledge.rests import (
    DISPATCH_LOOPS,
    GLIB_DISPATCHERS,
    LIBRARY_REQUESTS,
    LOOP_OWNERS,
    READERS,
    VCPUS,
    WAITS_WITH_BQL,
    rest_rows,
)
from ..knowledge.roles import STARTERS
from ..knowledge.signals import ABORTS, FAULTS
from ..knowledge.waits import ENTERS_LOCK, INLINES_BQL, MOMENTARY_CALLERS, TAKES_LOCK, kind_of_wait
from . import kernel
from .blocked import Blocked, blocked, is_bql, returns_at_once
from .complaint import CRASH, HANG, prose
from .context import Context, Subject
from .fuzzer import report_of
from .owners import code_of, codes
from .stack import Stack, number, once_a_stack

State = Tuple[str, str]  # state, rule

_TCG_RUN = frozenset(
    """cpu_exec cpu_exec_loop cpu_exec_setjmp cpu_tb_exec cpu_loop_exec_tb tcg_cpu_exec tcg_cpus_exec tcg_exec_all
    cpu_exec_step_atomic code_gen_buffer""".split()
)
_DISPATCH = frozenset(
    """memory_region_dispatch_read memory_region_dispatch_write access_with_adjusted_size memory_region_read_accessor
    memory_region_write_accessor io_mem_read io_mem_write memory_region_iorange_write
    memory_region_iorange_read ioport_write ioport_read""".split()
)
_MAIN_LOOP = frozenset({"os_host_main_loop_wait", "main_loop_wait", "glib_pollfds_poll"})
_MAIN_LOOP_OWNERS = frozenset(
    """main_loop kvm_main_loop qemu_main_loop qemu_default_main main qemu_main main_impl SDL_main call_qemu_main
    wmain""".split()
)
_AT_A_LOCK = "at-the-first-instructions-of-a-lock"
_LIBRARY_ROLES = frozenset({"external-library", "glib-worker", "spice-worker", "audio", "display"})


# States that a thread is not in while a profiler finds it on a processor
_NOT_ON_A_PROCESSOR = frozenset(
    """idle blocked-syscall waiting-bql waiting-aiocontext-lock waiting-mutex waiting-condvar
    waiting-drain-or-nested-poll""".split()
)


def assign(context: Context) -> None:
    """Fill state and state_rule of every thread; the roles are known already."""
    for subject in context.subjects:
        told = subject.told
        told.state, told.state_rule = _state(context, subject)
        if told.thread.sampled and told.state in _NOT_ON_A_PROCESSOR:
            told.state, told.state_rule = "executing", "on-a-processor"
        elif told.state in ("running-guest", "executing") and kernel.beside(subject) is not None:
            told.state, told.state_rule = "blocked-syscall", kernel.KEEPS
    _mark_fatal(context)


def _state(context: Context, subject: Subject) -> State:
    thread = subject.told.thread
    stack = subject.stack
    if thread.kernel_only or not len(stack):
        return "unknown", "no-user-stack"
    if len(stack) == 1 and not stack.names[0] and not stack.frames[0].args:
        return ("unknown", "no-symbol") if not thread.crashed else ("crashed", "report-says-so")
    if kernel.is_kernels(stack) or not context.explanation.is_qemu and kernel.only_kernel(subject):
        if kernel.halted(stack):
            return "running-guest", "kernel-stack"
        return ("blocked-syscall", "kernel-stack") if kernel.waits(stack) else ("executing", "kernel-stack")
    if thread.history:
        return "executing", "sanitizer-history"
    path = fatal_path(stack)
    if path is not None and path.name == "qom-cast" and _faulted(context, subject):
        path = None  # the cast itself read a bad pointer: nothing was checked yet
    if path is not None:
        return "aborting", f"fatal-path:{path.name}"
    if thread.truncated_top and stack.level(0) >= 3 and stack.names[0] in CHECKS_ITS_CALLER:
        return "aborting", f"cut-above-a-check:{stack.names[0]}"
    top = blocked(stack)
    if not top.kind:
        return _running(context, subject)
    if len(stack) == 1 and thread.truncated_bottom:
        known = _innermost_only(subject, top)
        if known is not None:
            return known
    waiting = _WAITS[top.kind](context, subject, top)
    if waiting[0] not in ("idle", "running-guest") and _is_exiting(stack, top.last + 1):
        return "exiting", "thread-or-process-exit"
    return waiting


def _innermost_only(subject: Subject, top: Blocked) -> Optional[State]:
    """A row of ``info threads``: where the thread rests as a rule, it is taken to rest."""
    role = subject.told.role
    if role == "vcpu-kvm" and subject.stack.names[0] == "ioctl":
        return "running-guest", "innermost-frame-only"
    if role in ("main-loop", "iothread", "monitor-iothread") and top.kind == "poll":
        return "idle", "innermost-frame-only"
    if role in ("rcu", "vnc-worker", "thread-pool-worker", "spice-worker") and top.kind not in ("mutex", "syscall"):
        return "idle", "innermost-frame-only"
    return None


# ----------------------------------------------------------------------------------------------------------------
# The end of a process


@once_a_stack
def fatal_path(stack: Stack) -> Optional[FatalPath]:
    """The way in which a stack gave up, None where its innermost frames show none.

    Looks only at the machinery at the top: abort() further out belongs to a handler that has been left behind.
    """
    seen: Set[str] = set()
    decisive = False
    names = stack.names
    for position in range(min(len(names), 40)):
        name = names[position]
        path = fatal_path_of(name)
        if name == "sigsuspend" and position + 1 < len(names) and names[position + 1] in DIES_BY_SIGNAL:
            path = next(row for row in FATAL_PATHS if row.name == "guest-signal")
            decisive = True
        if path is not None:
            if name not in path.ends:
                seen.add(path.name)
                continue
            if path.name == "raise" and not _raises_abort(stack, position):
                return None
            seen.add(path.name)
            decisive = True
            continue
        if not name or gives_up(name):
            continue
        owner = code_of(stack.frames[position]).owner
        if owner == "libc" and position < 12 and (decisive or not seen):
            if not seen and position > 6:
                return None
            continue
        if owner in ("library", "unknown") and decisive and position < 12 and _more_follows(stack, position):
            continue
        break
    if not decisive:
        return None
    return next(row for row in FATAL_PATHS if row.name in seen)


def _faulted(context: Context, subject: Subject) -> bool:
    """Whether the thread's signal, or the process's, is that of a bad access."""
    signal = subject.told.thread.signal or context.snapshot.signal
    return signals.named(signal) in FAULTS


def _raises_abort(stack: Stack, position: int) -> bool:
    """Whether raise() sends SIGABRT, or goes on into abort(): threads raise other signals at themselves on purpose."""
    signal = stack.arg(position, "sig", "signo", "sig@entry")
    if signal is not None:
        value = number(signal)
        return value in (None, 6, 5)
    return True


def _more_follows(stack: Stack, position: int) -> bool:
    """Whether another part of a fatal path stands further out, with only library code between."""
    for later in range(position + 1, min(position + 8, len(stack.names))):
        name = stack.names[later]
        if fatal_path_of(name) is not None:
            return True
        if code_of(stack.frames[later]).owner == "qemu":
            return False
    return False


def _is_exiting(stack: Stack, start: int) -> bool:
    """Whether everything above the start of the thread is the exit of that thread or of the process."""
    for position in range(max(start, 0), len(stack.names)):
        name = stack.names[position]
        if name in EXIT_FUNCTIONS:
            return True
        if name and code_of(stack.frames[position]).owner == "qemu":
            return False
    return False


_BREAKPOINT = (
    r"\b(?:Temporary )?[Bb]reakpoint \d+|\(gdb\) (?:b|break|watch)\b|[Ww]atchpoint \d+"
    r"|stop reason = (?:breakpoint|step)"
)
_ABRT = r"killed by (SIG[A-Z]+)|terminated with signal (?:\d+, )?(SIG[A-Z]+)|reason:.*\b(SIG[A-Z]+)"


def tries_instructions(context: Context) -> bool:
    """Whether the SIGILL is one that a library provokes and catches, which stops a debugger alone."""
    signal = context.snapshot.signal
    if signals.named(signal) != "SIGILL" or signal is None or "received signal" not in signal.text:
        return False  # of a core: then nothing caught it
    live = context.live_subjects
    took = next((s for s in live if s.told.thread.current or s.told.thread.crashed), live[0] if live else None)
    return took is not None and any(name in signals.PROBES for name in took.stack.names[:2])


def _mark_fatal(context: Context) -> None:
    """Find the thread that took the signal, or that a sanitizer reports, and say that it crashed."""
    live = [s for s in context.live_subjects if len(s.stack)]
    if not live or tries_instructions(context):
        return
    snapshot = context.snapshot
    for subject in live:
        signal = subject.told.thread.signal
        if subject.told.state != "aborting" and (subject.told.thread.crashed or signal is not None):
            name = signals.named(signal or snapshot.signal)
            if not can_have_taken(subject, name) and not _alone_in_a_call(subject, name, live):
                continue
            if name in ABORTS:
                _set(subject, "aborting", f"signal:{name}")
            elif name == "SIGTRAP":
                _trap(context, subject)
            elif name in FAULTS:
                _set(subject, "crashed", f"signal:{name}")
            elif subject.told.thread.crashed and not name:
                _set(subject, "crashed", "report-says-so")
    if _by_sanitizer(context, live) or _by_fuzzer(context, live):
        return
    name = signals.named(snapshot.signal)
    if name and name not in FAULTS and name not in ABORTS:
        return  # a signal that threads send one another on purpose
    if not name:
        found = re.search(_ABRT, prose(context.snapshot))
        name = next((g for g in found.groups() if g), "") if found else ""
    if any(s.told.state in ("aborting", "crashed") for s in live):
        if len(live) > 1 and not name:
            _jumped(context, live)
        return
    if name == "SIGTRAP":
        victim = _signalled(context, live)
        if victim is not None:
            _trap(context, victim)
        return
    if name in FAULTS or name in ABORTS:
        victim = _signalled(context, live)
        if victim is not None and (can_have_taken(victim, name) or _alone_in_a_call(victim, name, live)):
            _set(victim, "aborting" if name in ABORTS else "crashed", f"signal:{name}")
        return
    _jumped(context, live)
    _cut_assertion(context, live)
    _stopped_mid_statement(context, live)


def _trap(context: Context, subject: Subject) -> None:
    """SIGTRAP is a debugger's breakpoint, GLib's way to end, or (macOS) a trap instruction nothing should reach."""
    if subject.stack.names[0].startswith(("g_log", "_g_log")):
        _set(subject, "aborting", "fatal-path:glib")
    elif context.snapshot.source.dialect.startswith(("macos", "ips", "apple")):
        _set(subject, "crashed", "signal:SIGTRAP")
    elif subject.told.state in ("running-guest", "unknown"):
        _set(subject, "executing", "stopped-at-a-trap")


def can_have_taken(subject: Subject, name: str = "") -> bool:
    """Whether a thread can have raised a signal where it stands: one that waits in the kernel was only sent it.

    A blocked system call can end in SIGSYS (seccomp) or SIGXFSZ (a write), KVM_RUN in SIGBUS (poisoned guest memory).
    """
    state, stack = subject.told.state, subject.stack
    if not stack.frames or stack.level(0) or any(f.kind == "signal" for f in stack.frames[:24]):
        return True  # what it did is further out, or not shown
    if name in ("SIGSYS", "SIGXFSZ") and state == "blocked-syscall":
        return True
    if name in FAULTS and stack.names[0].lstrip("_").startswith(_IN_USER_SPACE):
        return True
    if name == "SIGBUS" and state == "running-guest":
        return True
    if state == "idle" and blocked(stack).last < 0:
        return True  # in the event loop's own code, not in the kernel
    return state in ("executing", "unknown", "exiting", "crashed", "aborting") or (
        state == "running-guest" and subject.told.role != "vcpu-kvm"
    )


def _alone_in_a_call(subject: Subject, name: str, live: List[Subject]) -> bool:
    """The only thread shown, in a system call: BSD kernels answer a forbidden mmap() with a fault."""
    return len(live) == 1 and name in FAULTS and subject.told.state == "blocked-syscall"


# Waits whose own code touches memory that may be gone; where the kernel is called, that is one frame further in
_IN_USER_SPACE = ("pthread_", "sem_", "qemu_", "g_", "std::")


def _set(subject: Subject, state: str, rule: str) -> None:
    subject.told.state, subject.told.state_rule = state, rule


def _signalled(context: Context, live: List[Subject]) -> Optional[Subject]:
    """The thread that took the process's signal."""
    for subject in live:
        if subject.told.thread.current:
            return subject
    threads = [s for s in live if not s.told.thread.coroutine] or live
    if len(threads) == 1:
        return threads[0]
    signal = context.snapshot.signal
    text = signal.text if signal else ""
    core = context.snapshot.source.kind == "core" or "terminated" in text or "dumped" in text
    for subject in threads:
        if subject.stack.find(("<signal handler called>",)) is not None:
            return subject
    if core:
        first = next((s for s in threads if s.told.thread.number == 1), None)
        if first is not None:
            return first
    running = [s for s in threads if s.told.state in ("executing", "running-guest")]
    return running[0] if len(running) == 1 or (running and context.snapshot.source.kind == "text") else None


def _by_sanitizer(context: Context, live: List[Subject]) -> bool:
    """Stacks of a sanitizer's report: a bad access ends the process, undefined behaviour and a race don't."""
    messages = [m for m in context.snapshot.messages if m.kind == "sanitizer"]
    dialect = context.snapshot.source.dialect
    if not messages and dialect not in ("asan", "ubsan", "tsan", "valgrind", "msan", "lsan"):
        return False
    text = " ".join(m.text for m in messages)
    if re.search(
        r"runtime error|data race|ThreadSanitizer|LeakSanitizer|irect leak of|uninitiali[sz]ed|are \w+ lost", text
    ) and not re.search(r"AddressSanitizer: (?!.*leak)|Invalid (?:read|write|free)|DEADLYSIGNAL|signal \d+", text):
        harmless = True
    else:
        harmless = dialect in ("ubsan", "tsan", "lsan")
    if harmless:
        for subject in live:
            if subject.told.state == "crashed":
                _set(subject, "executing", "sanitizer-report-that-stops-nothing")
        return True
    victim = next((s for s in live if s.told.thread.crashed or s.told.thread.current), live[0])
    if victim.told.state not in ("aborting", "crashed") and (victim.number is None or can_have_taken(victim)):
        _set(victim, "crashed", "sanitizer-report")
    return True


def _by_fuzzer(context: Context, live: List[Subject]) -> bool:
    """The stack of a libFuzzer report: where it refused memory or caught a signal the process ends."""
    report = report_of(context.snapshot)
    if report is None:
        return False
    if report.ended and live[0].told.state not in ("aborting", "crashed"):
        _set(live[0], "crashed" if report.what == "deadly signal" else "aborting", "fuzzer-report")
    return True


def _jumped(context: Context, live: List[Subject]) -> None:
    """A call through a bad pointer: no code under the innermost pc while the callers have their sources."""
    for subject in live:
        stack = subject.stack
        if len(stack) < 2 or stack.names[0] or subject.told.state in ("aborting", "crashed") or stack.level(0) != 0:
            continue
        caller = stack.frames[1]
        if stack.frames[0].library or stack.frames[0].file or not caller.file or not stack.names[1]:
            continue
        if code_of(caller).owner == "qemu" and stack.names[1] not in _TCG_RUN:
            pc = stack.frames[0].pc
            if pc is not None and (pc < 0x10000 or subject.told.state == "executing"):
                _set(subject, "crashed", "no-code-at-pc")


def _cut_assertion(context: Context, live: List[Subject]) -> None:
    """A stack without the frames of the assertion that the text tells of: it starts in the function that checks.

    Or near it; and the only stack of a text is that assertion's, wherever it starts.
    """
    failed = {m.function for m in context.snapshot.messages if m.kind in ("assertion", "glib") and m.function}
    for subject in live:
        if subject.told.state == "executing" and not failed.isdisjoint(subject.stack.names[:3]):
            _set(subject, "aborting", "cut-above-a-failed-assertion")
            return
    if failed and len(live) == 1 and live[0].told.state == "executing":
        _set(live[0], "aborting", "the-only-stack-beside-a-failed-assertion")


def _stopped_mid_statement(context: Context, live: List[Subject]) -> None:
    """One stack that runs QEMU's code and comes without any word on why it stopped.

    gdb shows no address for frame 0 when it stands at the start of a statement, as at a breakpoint;
    a fault is in its middle.
    """
    if len(live) != 1 or context.snapshot.source.kind != "text":
        return
    subject = live[0]
    stack = subject.stack
    if subject.told.state not in ("executing", "running-guest") or stack.level(0) != 0:
        return
    if blocked(stack).kind and subject.told.state_rule != _AT_A_LOCK:
        return
    if subject.told.thread.number is not None and subject.told.thread.lwp is not None:
        return
    words = prose(context.snapshot)
    if re.search(_BREAKPOINT, words):
        return
    top = next((p for p, f in enumerate(stack.frames) if code_of(f).owner not in ("libc", "none")), None)
    if top is None:
        return
    mine = codes(stack)[top].owner == "qemu"
    if CRASH.search(words) and (mine or any(code_of(f).owner == "qemu" for f in stack.frames)):
        _set(subject, "crashed", "report-says-so")
        return
    if not mine or subject.told.thread.coroutine:
        return
    if HANG.search(words):
        return
    frame = stack.frames[0]
    if frame.pc is not None:
        _set(subject, "crashed", "stopped-in-the-middle-of-a-statement")
    elif not any(f.pc for f in stack.frames) and _bad_pointer(stack):
        _set(subject, "crashed", "bad-pointer-at-the-top")


def _bad_pointer(stack: Stack) -> bool:
    """A pointer among the innermost arguments that can't be one: tiny, or not aligned for an object."""
    for position in range(min(2, len(stack))):
        for name, value in stack.frames[position].args.items():
            found = re.match(r"0x[0-9a-fA-F]+", value)
            if (
                not found
                or name in ("addr", "offset", "val", "value", "data", "buf", "errp", "flags", "pc")
                or '"' in value
            ):
                continue
            pointer = int(found.group(0), 16)
            if 0 < pointer < 0x1000 or (pointer > 0x10000 and pointer % 4):
                return True
    return False


# ----------------------------------------------------------------------------------------------------------------
# Running


def _running(context: Context, subject: Subject) -> State:
    stack = subject.stack
    if _is_exiting(stack, 0):
        return "exiting", "thread-or-process-exit"
    role = subject.told.role
    cut = subject.told.thread.truncated_top
    if role in ("vcpu-mttcg", "vcpu-tcg-rr", "user-mode") and not cut and _in_guest_code(stack):
        return "running-guest", "tcg-without-device-access"
    if role in VCPUS and stack.names[0] == "kvm_cpu_exec":
        return "running-guest", "kvm_cpu_exec"
    if not any(stack.names):
        return "unknown", "no-symbols"
    return "executing", "no-wait-on-top"


def _in_guest_code(stack: Stack) -> bool:
    """Whether TCG executes, translates or looks up for the guest: its execution loop without a device below it."""
    outer = stack.find(_TCG_RUN)
    if outer is None:
        jit = any(code_of(f).owner == "jit" for f in stack.frames)
        if not jit:
            return False
        outer = next(p for p, f in enumerate(stack.frames) if code_of(f).owner == "jit")
    if stack.find(_DISPATCH, 0, outer) is not None:
        return False
    for position in range(outer):
        code = code_of(stack.frames[position])
        file = stack.frames[position].file or ""
        if "linux-user/" in file or "bsd-user/" in file:
            return False
        if code.subsystem and code.owner == "qemu" and _is_device(file, code.subsystem):
            return False
    return True


def _is_device(file: str, subsystem: str) -> bool:
    return "/hw/" in file or file.startswith("hw/")


# ----------------------------------------------------------------------------------------------------------------
# Waiting


def _caller(stack: Stack, top: Blocked) -> str:
    return stack.names[top.named] if top.named is not None else ""


def _unnamed_to_start(stack: Stack, top: Blocked) -> bool:
    """Whether only nameless frames stand between the wait and the thread's start: a stripped program."""
    if top.caller is None:
        return False
    for position in range(top.caller, len(stack.names)):
        name = stack.names[position]
        if name:
            return position > top.caller and (name in STARTERS or code_of(stack.frames[position]).owner == "libc")
    return True


_REST_ROWS = rest_rows()


def _rests(subject: Subject, top: Blocked) -> Optional[State]:
    """The thread's normal resting place, if that is where it waits."""
    role = subject.told.role
    caller = _caller(subject.stack, top)
    for row in _REST_ROWS.get(role, ()):
        if caller in row.at:
            return "idle", f"rest:{row.name}"
    if role in _LIBRARY_ROLES and subject.stack.find(LIBRARY_REQUESTS, max(top.last, 0)) is not None:
        return None
    if role in _LIBRARY_ROLES and not _qemu_between(subject.stack, top):
        # in a handler that GLib's loop has called the thread is at work; it rests where the loop itself polls
        serves = subject.stack.find(GLIB_DISPATCHERS, max(top.last + 1, 0)) is not None
        return None if serves else ("idle", f"rest:{role}")
    if role not in ("main-loop", "unknown", "coroutine", "user-mode") and _unnamed_to_start(subject.stack, top):
        return "idle", f"rest:{role} without symbols"
    return None


def _qemu_between(stack: Stack, top: Blocked) -> bool:
    return any(code_of(f).owner == "qemu" for f in stack.frames[max(top.last, 0) :])


def _wait_mutex(context: Context, subject: Subject, top: Blocked) -> State:
    stack = subject.stack
    if stack.level(0) == 0 and kind_of_wait(stack.names[0]) == "mutex":
        mutex = stack.arg_number(0, "mutex", "lock", "m")
        if mutex is not None and mutex < 0x1000:
            return "crashed", "lock-at-a-bad-address"
    lock = lock_wanted(context, subject, top)
    if lock:
        return lock
    if stack.level(0) == 0 and stack.names[0] in ENTERS_LOCK:
        return "executing", _AT_A_LOCK
    if _is_exiting(stack, top.last + 1):
        return "exiting", "thread-or-process-exit"
    return "waiting-mutex", "mutex"


def lock_wanted(context: Context, subject: Subject, top: Blocked) -> Optional[State]:
    """Which of QEMU's known locks a mutex wait is for: by memory, by symbol, by who takes it."""
    stack = subject.stack
    lwp = subject.told.thread.lwp
    for wait in context.facts.waits:
        if lwp is not None and wait.lwp == lwp and wait.kind == "mutex" and wait.name:
            if wait.name == "BQL" or is_bql(wait.name):
                return "waiting-bql", "lock-read-from-memory"
            if wait.name.startswith("AioContext"):
                return "waiting-aiocontext-lock", "lock-read-from-memory"
    if is_bql(top.mutex):
        return "waiting-bql", f"mutex-symbol:{top.mutex}"
    if top.relock and _caller(stack, top) in WAITS_WITH_BQL:
        return "waiting-bql", f"wakes-up-in:{_caller(stack, top)}"
    position = top.last
    for row in TAKES_LOCK:
        if row.state == "waiting-bql":
            end = position + 2
        else:
            end = position + 3
        at = stack.find(row.functions, max(0, position - 3), end)
        if at is not None and _directly_above(stack, at, top):
            return row.state, f"lock-taken-by:{stack.names[at]}"
    if not top.mutex and top.caller is not None and stack.names[top.caller] in INLINES_BQL:
        return "waiting-bql", f"lock-inlined-into:{stack.names[top.caller]}"
    return None


def _directly_above(stack: Stack, at: int, top: Blocked) -> bool:
    """Only inlined or thin frames between the wait and the function that takes the lock."""
    return at - top.last <= 1 or (top.named is not None and at <= top.named)


def _wait_condition(context: Context, subject: Subject, top: Blocked) -> State:
    rest = _rests(subject, top)
    if rest:
        return rest
    if subject.told.role == "migration" and _caller(subject.stack, top) == "migration_rate_limit":
        return "idle", "rest:migration-rate-limit"
    return "waiting-condvar", top.kind


def _wait_join(context: Context, subject: Subject, top: Blocked) -> State:
    rest = _rests(subject, top)
    return rest if rest else ("blocked-syscall", "join")


def _wait_poll(context: Context, subject: Subject, top: Blocked) -> State:
    state, rule = _poll_state(context, subject, top)
    if state == "idle" and top.last < 0 and subject.stack.names[0] in DISPATCH_LOOPS:
        return "executing", "its-event-loop-is-at-work"
    return state, rule


def _poll_state(context: Context, subject: Subject, top: Blocked) -> State:
    stack = subject.stack
    told = subject.told
    caller = _caller(stack, top)
    if told.role in ("tool-main", "test") and (
        caller in _MAIN_LOOP or stack.find(_MAIN_LOOP, 0, (top.named or 0) + 2) is not None
    ):
        return "idle", "rest:main-loop"
    if caller in _MAIN_LOOP or (caller in _MAIN_LOOP_OWNERS and top.poller == ""):
        return _main_loop_poll(stack, top, told.role)
    in_loop = top.loop is not None or bool(top.poller) or caller == "iothread_run"
    if in_loop and caller in LOOP_OWNERS and told.role in (*LOOP_OWNERS[caller], "unknown"):
        return "idle", f"rest:loop-of-{caller}"
    if top.poller or top.loop is not None:
        if told.role in _LIBRARY_ROLES and not _qemu_between(stack, top):
            return "idle", f"rest:{told.role}"
        if told.role != "main-loop" and _unnamed_to_start(stack, top):
            return "idle", f"rest:{told.role} without symbols"
        if top.poller or stack.names[0] in ("aio_bh_poll", "aio_dispatch"):
            if caller in STARTERS or top.named is None:
                return "idle", "rest:event-loop"
            return "waiting-drain-or-nested-poll", f"nested:{top.poller or 'event loop'} called by {caller}"
    rest = _rests(subject, top)
    if rest:
        return rest
    if told.role == "main-loop" and _unnamed_to_start(stack, top):
        return "idle", "rest:main-loop without symbols"
    return _reads_from_peer(subject, top) or ("blocked-syscall", "poll")


def _main_loop_poll(stack: Stack, top: Blocked, role: str) -> State:
    """main_loop_wait is also called by code that wants the main loop to go on while it waits: that is a nested poll."""
    position = top.named if top.named is not None else 0
    while position < len(stack.names) and (stack.names[position] in _MAIN_LOOP or not stack.names[position]):
        position += 1
    if position >= len(stack.names):
        return "idle", "rest:main-loop"
    owner = stack.names[position]
    if (
        owner in _MAIN_LOOP_OWNERS
        or owner in STARTERS
        or code_of(stack.frames[position]).owner not in ("qemu", "unknown")
    ):
        return "idle", "rest:main-loop"
    if role == "main-loop":
        return "waiting-drain-or-nested-poll", f"nested:main_loop_wait called by {owner}"
    return "idle", f"rest:main-loop run by {owner}"


def _reads_from_peer(subject: Subject, top: Blocked) -> Optional[State]:
    """Threads whose life is to read a channel rest while the peer is silent."""
    readers = READERS.get(subject.told.role)
    if readers is None:
        return None
    at = subject.stack.find(readers, max(top.last, 0))
    return ("idle", f"rest:reads-{subject.told.role}") if at is not None else None


def _wait_sleep(context: Context, subject: Subject, top: Blocked) -> State:
    return _rests(subject, top) or ("blocked-syscall", "sleep")


def _wait_signal(context: Context, subject: Subject, top: Blocked) -> State:
    stack = subject.stack
    if _caller(stack, top) in (
        "qemu_coroutine_new",
        "kvm_eat_signals",
        "qemu_kvm_eat_signals",
        "qemu_coroutine_create",
    ):
        return "executing", "momentary-signal-wait"  # util/coroutine-sigaltstack.c
    return _rests(subject, top) or ("blocked-syscall", "signal")


def _wait_call(context: Context, subject: Subject, top: Blocked) -> State:
    stack = subject.stack
    caller = _caller(stack, top)
    if caller in MOMENTARY_CALLERS:
        return "executing", f"momentary-call-by:{caller}"
    if returns_at_once(stack, top.last):
        return "executing", "non-blocking-descriptor"
    if "kvm_vcpu_ioctl" in (caller, stack.names[top.last]):
        return "executing", "kvm_vcpu_ioctl"  # reads or writes registers: returns at once
    if subject.told.role == "vcpu-kvm" and stack.names[top.last] == "ioctl" and _unnamed_to_start(stack, top):
        return "running-guest", "the vCPU's ioctl without symbols"
    rest = _reads_from_peer(subject, top) or _rests(subject, top)
    return rest or ("blocked-syscall", f"call:{stack.names[top.last]}")


def _wait_vcpu(context: Context, subject: Subject, top: Blocked) -> State:
    return "running-guest", f"hypervisor-call:{subject.stack.names[top.last] or subject.stack.names[0]}"


def _wait_guest_call(context: Context, subject: Subject, top: Blocked) -> State:
    return "blocked-syscall", "system-call-of-the-guest"


def _wait_futex(context: Context, subject: Subject, top: Blocked) -> State:
    """A bare futex: a condition or a mutex without symbols between."""
    for wait in context.facts.waits:
        if wait.lwp == subject.told.thread.lwp and wait.kind == "mutex":
            found = lock_wanted(context, subject, top)
            return found or ("waiting-mutex", "lock-read-from-memory")
    rest = _rests(subject, top)
    if rest:
        return rest
    if subject.told.role == "user-mode":
        return "blocked-syscall", "system-call-of-the-guest"
    return "waiting-condvar", "futex"


def _wait_coroutine(context: Context, subject: Subject, top: Blocked) -> State:
    """A suspended coroutine: what it waits for is the function that yielded."""
    stack = subject.stack
    if stack.find(("qemu_co_mutex_lock_slowpath", "qemu_co_mutex_lock"), 0, top.last + 3) is not None:
        return "waiting-mutex", "coroutine-mutex"
    if (
        stack.find(("bdrv_graph_co_rdlock", "qemu_co_rwlock_rdlock", "qemu_co_rwlock_wrlock"), 0, top.last + 6)
        is not None
    ):
        return "waiting-mutex", "coroutine-rwlock"
    if stack.find(("qemu_co_queue_wait_impl", "qemu_co_queue_wait"), 0, top.last + 3) is not None:
        return "waiting-condvar", "coroutine-queue"
    return "unknown", "suspended-coroutine"


_WAITS: Dict[str, Callable[[Context, Subject, Blocked], State]] = {
    "mutex": _wait_mutex,
    "condvar": _wait_condition,
    "semaphore": _wait_condition,
    "event": _wait_condition,
    "join": _wait_join,
    "poll": _wait_poll,
    "sleep": _wait_sleep,
    "signal": _wait_signal,
    "syscall": _wait_call,
    "vcpu-run": _wait_vcpu,
    "guest-syscall": _wait_guest_call,
    "futex": _wait_futex,
    "coroutine": _wait_coroutine,
}
