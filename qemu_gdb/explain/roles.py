"""Says of every thread what it is for, by the function it runs; where that is not visible, by what is left."""

from __future__ import annotations

import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ..knowledge import functions, outsiders
from ..knowledge.aborts import EXIT_FUNCTIONS
from ..knowledge.folding import ENDS
from ..knowledge.match import Names
from ..knowledge.rests import POLLERS
from ..knowledge.roles import (
    ENTRIES,
    GIVE_AWAYS,
    HANDLER_DISPATCH,
    KERNEL_THREADS,
    LIBRARIES,
    SINGLE_THREADED_ERA,
    STARTERS,
    TEST_FUNCTIONS,
    TOOL_FUNCTIONS,
    file_kind,
    program_kind,
    role_of_name,
)
from .blocked import Blocked, blocked
from .context import Context, Subject
from .owners import code_of
from .stack import Stack, once_a_stack


class Process(NamedTuple):
    """What kind of program the threads belong to, and what tells TCG's two ways of threading apart."""

    kind: str  # system, user, tool, test; "" unknown
    rr: Optional[bool]  # one thread for all vCPUs; None unknown
    main_lwp: Optional[int]


_ROUND_ROBIN_OPTION = r"thread=single|-icount\b|icount=|-rtc\s+\S*clock=vm"
_MULTI_OPTION = r"thread=multi"
_YIELDED = ("qemu_coroutine_switch", "qemu_coroutine_yield")
_COROUTINE_START = ("coroutine_trampoline", "coroutine_thread")
_MAIN = ("main", "wmain", "WinMain", "qemu_wrap_main")


def assign(context: Context) -> None:
    """Fill role, role_detail and role_rule of every thread."""
    process = look_at_process(context)
    for subject in context.subjects:
        _assign(context, subject, process)
    _settle_unnamed(context, process)
    for subject in context.subjects:
        _detail(context, subject)


def look_at_process(context: Context) -> Process:
    """Kind of program, by its name and by functions that only one kind has."""
    snapshot = context.snapshot
    kind = program_kind(snapshot.program) if snapshot.program else None
    names = {t.name for t in snapshot.threads if t.name}
    if kind is None:
        kind = next((k for k in (program_kind(n) for n in names) if k), None)
    if kind in (None, "system", "test"):
        found = _kind_by_frames(context)
        # a library's test or a renamed program: frames know better than a name that could be anything
        kind = found or kind
    rr: Optional[bool] = None
    for subject in context.subjects:
        stack = subject.stack
        if stack.has("mttcg_cpu_thread_fn") or stack.has("tcg_cpu_thread_fn"):
            rr = False
        elif stack.find(_RR_ENTRIES) is not None or stack.find("tcg_exec_all") is not None:
            rr = True  # also up to 2.8, whose one thread may be called "CPU 0/TCG"
    if rr is None:
        for name in names:
            if name == "ALL CPUs/TCG":
                rr = True
            elif re.match(r"CPU \d+/TCG", name):
                rr = False
    command = snapshot.command_line or ""
    if rr is None and re.search(_ROUND_ROBIN_OPTION, command):
        rr = True
    if rr is None and re.search(_MULTI_OPTION, command):
        rr = False
    if rr is None and _version(snapshot.version) and _version(snapshot.version) < (2, 9):
        rr = True
    lwps = [s.told.thread.lwp for s in context.live_subjects if s.told.thread.lwp]
    main_lwp = snapshot.source.pid if snapshot.source.pid in lwps else None
    return Process(kind or "", rr, main_lwp)


_RR_ENTRIES = frozenset({"rr_cpu_thread_fn", "tcg_rr_cpu_thread_fn", "qemu_tcg_rr_cpu_thread_fn"})


def _version(text: Optional[str]) -> Tuple[int, ...]:
    found = re.match(r"\D*(\d+)\.(\d+)", text or "")
    return (int(found.group(1)), int(found.group(2))) if found else ()


def _kind_by_frames(context: Context) -> str:
    """Which of QEMU's programs, by the outermost frames of its threads."""
    return next((kind for kind in (_kind_of_stack(s.stack) for s in context.subjects) if kind), "")


@once_a_stack
def _kind_of_stack(stack: Stack) -> str:
    if stack.find(TEST_FUNCTIONS) is not None:
        return "test"
    for position in range(len(stack) - 1, max(-1, len(stack) - 6), -1):
        file = stack.frames[position].file
        kind = file_kind(file) if file else None
        if kind:
            return kind
        if stack.names[position] in TOOL_FUNCTIONS:
            return "tool"
        kind = None if file else _kind_of_function(stack.names[position])
        if kind and (kind != "user" or stack.find(_MAIN) is not None):  # the kernel has a do_futex, too
            return kind
    return "user" if stack.find(("cpu_loop", "target_cpu_loop", "clone_func")) is not None else ""


def _kind_of_function(name: str) -> Optional[str]:
    """The kind of program that alone has functions of that name in QEMU's source: user, tool or test."""
    kinds = {file_kind(place.file) for place in functions.lookup(name)} if name else set()
    return kinds.pop() if len(kinds) == 1 else None


def _assign(context: Context, subject: Subject, process: Process) -> None:
    told = subject.told
    told.role, told.role_rule = _role(context, subject, process)


def _role(context: Context, subject: Subject, process: Process) -> Tuple[str, str]:
    thread = subject.told.thread
    stack = subject.stack
    name = thread.name or ""
    if thread.kernel_only or not _has_user_stack(stack):
        for prefix, _ in KERNEL_THREADS:
            if name.startswith(prefix):
                return "unknown", f"kernel-thread:{prefix}"
        if thread.kernel_only or not len(stack):
            named = role_of_name(name) if name else None
            return (named[0], f"name:{named[0]}") if named else ("unknown", "no-user-stack")
    if thread.coroutine and (stack.names[0] in _YIELDED or not stack.has("process_incoming_migration_co")):
        return "coroutine", "captured-coroutine"
    found = _by_entry(context, subject, process)
    if found is not None:
        return found
    library = _by_library(stack)
    if library is not None:
        return library
    for way in (_by_give_away, _by_first_thread, _by_name, _by_shape, _by_program):
        found = way(context, subject, process)
        if found is not None:
            return found
    return "unknown", ""


def _has_user_stack(stack: Stack) -> bool:
    return any(stack.names) or any(frame.pc for frame in stack.frames)


# ----------------------------------------------------------------------------------------------------------------
# By the function that the thread runs from its start


def _by_entry(context: Context, subject: Subject, process: Process) -> Optional[Tuple[str, str]]:
    """The outermost frame that is a thread's function."""
    stack = subject.stack
    names = stack.names
    for position in range(len(names) - 1, -1, -1):
        name = names[position]
        if not name or name in STARTERS:
            continue
        if name in _COROUTINE_START:
            return _on_coroutine(context, subject, process, position)
        if name in _MAIN:
            return _main(stack, position, process)
        entry = ENTRIES.get(name)
        if entry is None:
            continue
        file = stack.frames[position].file
        if file and file_kind(file) == "test" and entry.role != "rcu":
            return "test", f"entry:{name} in a test"
        role = entry.role
        if role == "iothread" and _serves_a_monitor(context, subject, position):
            role = "monitor-iothread"
        if role == "main-loop":
            return _main(stack, position, process)
        if name == "qemu_tcg_cpu_thread_fn" and _single_threaded(stack, process):
            role = "vcpu-tcg-rr"
        return role, f"entry:{name}"
    return None


_COCOA = next(row.frames for row in LIBRARIES if row.name == "cocoa")
_MAIN_LOOPS = ("main_loop_wait", "main_loop", "qemu_main_loop", "qemu_main")


def _main(stack: Stack, position: int, process: Process) -> Tuple[str, str]:
    """Which program's main: the system emulator's runs the main loop."""
    name = stack.names[position]
    file = stack.frames[position].file
    kind = (file_kind(file) if file else None) or process.kind
    if stack.find(_COCOA, 0, position) is not None and stack.find(_MAIN_LOOPS, 0, position) is None:
        return "display", "the first thread serves Cocoa's UI"
    if stack.find(outsiders.ANDROID_UI, 0, position) is not None:
        return "display", "the first thread serves the Android Emulator's UI"
    role = {"tool": "tool-main", "test": "test", "user": "user-mode"}.get(kind, "main-loop")
    return role, f"entry:{name} of a {kind or 'system'} program"


_V9FS_WORK = Names("v9fs_co_*")


def _on_coroutine(context: Context, subject: Subject, process: Process, position: int) -> Tuple[str, str]:
    """A stack that starts in a coroutine: the thread below it is not visible, only its number or name."""
    thread = subject.told.thread
    stack = subject.stack
    if stack.names[0] in _YIELDED and thread.lwp is None:
        return "coroutine", "suspended-coroutine"
    if stack.has("process_incoming_migration_co"):
        return "main-loop", "coroutine-of-the-main-loop:process_incoming_migration_co"
    # hw/9pfs/coth.c: v9fs_co_run_in_worker() has the rest of a request's coroutine run on a worker of the pool
    if stack.find(_V9FS_WORK) is not None and stack.names[0] not in _YIELDED:
        return "thread-pool-worker", "9p-request-on-a-worker"
    named = role_of_name(thread.name) if thread.name else None
    if named:
        return named[0], f"coroutine-on-thread-named:{thread.name}"
    if thread.lwp is not None:
        main = {"tool": "tool-main", "test": "test"}.get(process.kind, "main-loop")
        if thread.lwp == process.main_lwp:
            return main, "coroutine-on-first-thread"
        if any(s is not subject and _is_main_loop(s.stack) for s in context.live_subjects):
            return "iothread", "coroutine-beside-the-main-loop"
        if thread.number == 1:
            first = _is_first(context, subject)
            return (main, "coroutine-on-first-thread") if first else ("coroutine", "stack-of-a-coroutine")
        if any(s.told.thread.number == 1 for s in context.live_subjects):
            return "iothread", "coroutine-on-another-thread"
    return "coroutine", "stack-of-a-coroutine"


def _is_first(context: Context, subject: Subject) -> bool:
    """Whether a thread that is numbered 1 is the process's first: in a core that is the one that crashed."""
    lwps = [s.told.thread.lwp for s in context.live_subjects if s.told.thread.lwp]
    if len(lwps) > 1:
        return subject.told.thread.lwp == min(lwps)
    signal = context.snapshot.signal
    died = signal is not None or any(name in ENDS for name in subject.stack.names[:8])
    return not died or (signal is not None and "received signal" in signal.text)  # which a running gdb says


def _is_main_loop(stack: Stack) -> bool:
    return stack.find_outermost(_MAIN_LOOP_FRAMES) is not None


_MAIN_LOOP_FRAMES = frozenset(
    {"main", "qemu_main_loop", "main_loop", "qemu_default_main", "qemu_init", "call_qemu_main"}
)


def _serves_a_monitor(context: Context, subject: Subject, position: int) -> bool:
    """iothread.c iothread_run: only an iothread whose GMainContext was asked for runs a GLib loop; monitors ask."""
    thread = subject.told.thread
    known = context.iothread_of(thread.lwp)
    if known is not None:
        return known.monitor
    if thread.name:
        named = role_of_name(thread.name)
        if named and named[0] in ("iothread", "monitor-iothread"):
            return named[0] == "monitor-iothread"
    stack = subject.stack
    loop = stack.find(("g_main_loop_run",), 0, position)
    return loop is not None and stack.find(("aio_poll",), loop, position) is None


def _single_threaded(stack: Stack, process: Process) -> bool:
    """qemu_tcg_cpu_thread_fn ran all vCPUs up to 2.8 and one vCPU from 2.9 on (commit 372579427a50)."""
    if process.rr is not None:
        return process.rr
    return stack.find(SINGLE_THREADED_ERA) is not None


# ----------------------------------------------------------------------------------------------------------------
# By what is left


# GLib functions that any thread may be in: a stack that is cut off there does not say whose it is
_ANYBODYS = Names("g_main_*", "g_usleep", "g_cond_*", "g_mutex_*", "g_poll", "g_async_queue_*")


def _by_library(stack: Stack) -> Optional[Tuple[str, str]]:
    """A thread that a library made: no QEMU code below the start, and a frame of that library."""
    outer: List[int] = []
    nameless = False  # a frame of no shared object: of the program itself
    if stack.find(EXIT_FUNCTIONS) is not None:
        return None
    for position in range(len(stack) - 1, -1, -1):
        code = code_of(stack.frames[position])
        if code.owner == "qemu" or code.in_qemu:
            return None
        nameless = nameless or (code.owner == "none" and stack.frames[position].pc is not None)
        if stack.names[position] or code.owner == "library":
            outer.append(position)
    found: Optional[Tuple[str, str]] = None
    for position in outer:
        frame = stack.frames[position]
        name = frame.name
        for row in LIBRARIES:
            if row.name == "glib" and (nameless or stack.names[outer[0]] in _ANYBODYS):
                continue
            if (name and name in row.frames) or (frame.library and any(part in frame.library for part in row.files)):
                if row.name != "glib":
                    return row.role, f"library:{row.name}"
                found = found or (row.role, "library:glib")
    return found


def _by_give_away(context: Context, subject: Subject, process: Process) -> Optional[Tuple[str, str]]:
    """Frames that only one kind of thread has."""
    stack = subject.stack
    for row in GIVE_AWAYS:
        role = row.role
        position = stack.find_outermost(row.frames) if role == "main-loop" else stack.find(row.frames)
        if position is None or (role == "main-loop" and _in_nested_poll(stack, position)):
            continue
        if role == "vcpu-mttcg":
            if process.kind == "user":
                return "user-mode", f"gives-away:{row.name} of a user program"
            if process.rr or (process.rr is None and stack.find(SINGLE_THREADED_ERA) is not None):
                role = "vcpu-tcg-rr"
        elif role == "vcpu-tcg-rr" and process.rr is False:
            role = "vcpu-mttcg"
        elif role == "main-loop":
            if process.kind in ("tool", "test", "user"):
                continue
            if process.kind == "" and row.name == "device-creation" and not _is_qemu(stack, position):
                continue
        return role, f"gives-away:{row.name} ({stack.names[position]})"
    if stack.find_outermost(HANDLER_DISPATCH) is not None:
        return _cut_handler(stack, subject, process)
    return None


def _by_first_thread(context: Context, subject: Subject, process: Process) -> Optional[Tuple[str, str]]:
    """A stack that libc started with main(), which left no frame: it was inlined, or called exit() as its last act."""
    position = subject.stack.find_outermost(_CALLS_MAIN)
    return _main(subject.stack, position, process) if position is not None else None


_CALLS_MAIN = Names("libc_start_main", "libc_start_call_main", "__libc_start_main_impl", "libc_start_main_stage2")


def _in_nested_poll(stack: Stack, position: int) -> bool:
    """Whether a nested poll stands further out: in it any thread may run the main loop's handlers."""
    return stack.find(POLLERS, position + 1) is not None


def _is_qemu(stack: Stack, position: int) -> bool:
    return code_of(stack.frames[position]).owner == "qemu"


def _cut_handler(stack: Stack, subject: Subject, process: Process) -> Optional[Tuple[str, str]]:
    """A handler of some event loop whose thread is cut off."""
    position = stack.find_outermost(HANDLER_DISPATCH)
    if position is None or _unnamed_start(stack) or _in_nested_poll(stack, position):
        return None
    if process.kind in ("tool", "test"):
        return ("tool-main" if process.kind == "tool" else "test"), f"handler-in-a-{process.kind}"
    name = stack.names[position]
    if name == "blk_new_open" and stack.arg(position, "options") == "0x0":
        # blockdev_init always gives blk_new_open a QDict (blockdev.c); qemu-io and qemu-img don't
        return "tool-main", "blk_new_open without options"
    if subject.told.thread.number not in (None, 1):
        return None
    return "main-loop", f"handler-of-a-cut-stack:{name}"


def _by_name(context: Context, subject: Subject, process: Process) -> Optional[Tuple[str, str]]:
    thread = subject.told.thread
    named = role_of_name(thread.name) if thread.name else None
    if named is None:
        return None
    role = named[0]
    if process.kind == "user" and role.startswith("vcpu"):
        return None
    return role, f"name:{thread.name}"


def _unnamed_start(stack: Stack) -> bool:
    """Whether a thread's start is followed by nameless frames of QEMU: a stripped program's thread."""
    position = len(stack) - 1
    while position >= 0 and (stack.names[position] in STARTERS or code_of(stack.frames[position]).owner == "libc"):
        position -= 1
    if (
        position == len(stack) - 1
        or stack.has("main")
        or stack.find(("libc_start_main", "libc_start_call_main", "_start")) is not None
    ):
        return False
    return position >= 0 and not stack.names[position]


def _by_shape(context: Context, subject: Subject, process: Process) -> Optional[Tuple[str, str]]:
    """A thread of a stripped QEMU, by the exported functions on its stack: facts.md "What a stack shows"."""
    stack = subject.stack
    top = blocked(stack)
    if _called_by_generated_code(stack):
        return ("vcpu-tcg-rr" if process.rr else "vcpu-mttcg"), "shape:called by generated code"
    if not _unnamed_start(stack):
        return None
    qemu = [n for n in stack.names if n and n not in STARTERS]
    if any(n.startswith(("qemu_wait_io_event", "qemu_process_cpu_events")) for n in qemu):  # renamed in 10.2
        return _vcpu(context, stack, process), "shape:qemu_wait_io_event"
    module = any(frame.library and "accel-tcg" in frame.library for frame in stack.frames)
    if module:
        # qemu_wait_io_event is exported and inlined nowhere; the round-robin loop waits in its own static function
        rr = process.rr if process.rr is not None else top.kind == "condvar"
        return ("vcpu-tcg-rr" if rr else "vcpu-mttcg"), "shape:accel-tcg module"
    if "qemu_event_wait" in qemu or any(n == "g_usleep" for n in qemu):
        return "rcu", "shape:qemu_event_wait"
    if "g_main_loop_run" in qemu:
        return "monitor-iothread", "shape:g_main_loop_run"
    if "aio_poll" in qemu:
        return "iothread", "shape:aio_poll"
    if any(n in ("qemu_cond_timedwait_impl", "qemu_cond_timedwait", "qemu_sem_timedwait") for n in qemu):
        return "thread-pool-worker", "shape:timed wait"
    if _waits_on_own_queue(stack, top):
        return "vnc-worker", "shape:condition and mutex of one queue"
    if process.kind in ("", "system") and stack.level(0) == 0 and all(code_of(f).owner != "qemu" for f in stack.frames):
        return _nameless(stack)
    return None


def _nameless(stack: Stack) -> Optional[Tuple[str, str]]:
    """A thread of which only the system call has a name.

    util/rcu.c: call_rcu_thread waits on a futex right in qemu_event_wait; a vCPU's thread is the only one that makes
    ioctl() its life (accel/kvm/kvm-all.c kvm_cpu_exec).
    """
    own = [p for p, f in enumerate(stack.frames) if not f.name and code_of(f).owner == "none"]
    if not own or own[-1] - own[0] + 1 != len(own) or own[0] > 3:
        return None
    if stack.names[0] == "syscall" and len(own) <= 3:
        return "rcu", "shape:syscall() under three frames"
    if stack.names[0] == "ioctl" and len(own) in (3, 4, 5):
        return "vcpu-kvm", "shape:ioctl() under a thread's start"
    return None


# Functions that TCG's generated code calls for a guest access: nameless code above them is that code
_CALLED_BY_GENERATED_CODE = Names(
    "address_space_ld*", "address_space_st*", "cpu_out?", "cpu_in?", "helper_*", "*_mmu", "do_ld?_mmu", "do_st?_mmu"
)


def _called_by_generated_code(stack: Stack) -> bool:
    """Whether the stack ends in code without a name or an object, in a program whose own functions have theirs."""
    position = len(stack.names) - 1
    while position > 0 and not stack.names[position]:
        if stack.frames[position].library:
            return False
        position -= 1
    if position == len(stack.names) - 1:
        return False
    inner = stack.frames[position]
    return stack.names[position] in _CALLED_BY_GENERATED_CODE and (inner.file is not None or inner.library is not None)


def _waits_on_own_queue(stack: Stack, top: Blocked) -> bool:
    """ui/vnc-jobs.c VncJobQueue: the mutex follows the condition directly."""
    if top.kind != "condvar":
        return False
    for position in range(top.last + 1):
        cond = stack.arg_number(position, "cond")
        mutex = stack.arg_number(position, "mutex")
        if cond and mutex:
            return 48 <= mutex - cond <= 64
    return False


def _vcpu(context: Context, stack: Stack, process: Process) -> str:
    """Accelerator of a vCPU that rests, by the process's other threads."""
    if any(frame.library and "accel-tcg" in frame.library for frame in stack.frames):
        return "vcpu-tcg-rr" if process.rr else "vcpu-mttcg"
    accelerator = context.snapshot.accelerator or ""
    for other in context.subjects:
        if (
            other.stack.find(("kvm_cpu_exec", "kvm_vcpu_ioctl", "kvm_vcpu_thread_fn", "qemu_kvm_cpu_thread_fn"))
            is not None
        ):
            return "vcpu-kvm"
        if other.stack.find(("cpu_exec", "tcg_cpu_exec", "tcg_cpus_exec")) is not None:
            return "vcpu-tcg-rr" if process.rr else "vcpu-mttcg"
    command = context.snapshot.command_line or ""
    if accelerator == "kvm" or re.search(r"-enable-kvm|accel=kvm|-accel\s+kvm", command):
        return "vcpu-kvm"
    if accelerator == "tcg" or re.search(r"accel=tcg|-accel\s+tcg", command):
        return "vcpu-tcg-rr" if process.rr else "vcpu-mttcg"
    return "vcpu-other" if accelerator else "vcpu-kvm"


def _by_program(context: Context, subject: Subject, process: Process) -> Optional[Tuple[str, str]]:
    """What a thread without any other sign is in a program that has only one kind of thread of its own."""
    stack = subject.stack
    if process.kind in ("tool", "test", "user") and _shows_code(stack):
        role = {"tool": "tool-main", "test": "test", "user": "user-mode"}[process.kind]
        if process.kind == "tool" and subject.told.thread.number not in (None, 1):
            return None
        pid, lwp = context.snapshot.source.pid, subject.told.thread.lwp
        if process.kind == "tool" and pid is not None and lwp is not None and lwp != pid:
            return None  # another thread than the one that has the process's id
        return role, f"only-thread-of-a-{process.kind}-program"
    thread = subject.told.thread
    if thread.lwp is not None and thread.lwp == process.main_lwp and process.kind == "system":
        return "main-loop", "thread-of-the-process-id"
    if (
        thread.number == 1
        and process.kind == "system"
        and not thread.history
        and _shows_code(stack)
        and thread.lwp is not None
    ):
        lwps = [s.told.thread.lwp for s in context.live_subjects if s.told.thread.lwp]
        if len(lwps) > 1 and thread.lwp == min(lwps):
            return "main-loop", "first-thread"
    return None


def _shows_code(stack: Stack) -> bool:
    return any(stack.names) or len(stack) > 0


def _settle_unnamed(context: Context, process: Process) -> None:
    """Threads that only the others explain: one of a stripped QEMU that waits on the vCPUs' mutex is a vCPU, and so is
    one whose function has called from the same place as a vCPU's.
    """
    starts: Dict[Tuple[int, int], str] = {}
    for subject in context.live_subjects:
        began = _began(subject.stack) if subject.told.role.startswith("vcpu") else None
        if began is not None:
            starts[began] = subject.told.role
    for subject in context.live_subjects if starts else ():
        began = _began(subject.stack) if subject.told.role == "unknown" else None
        if began is not None and began in starts:
            subject.told.role, subject.told.role_rule = starts[began], "shape:runs the same function as a vCPU"
    if starts and not context.with_role("main-loop") and process.kind == "":
        lwps = [s.told.thread.lwp for s in context.live_subjects if s.told.thread.lwp]
        for subject in context.live_subjects:
            if subject.told.role == "unknown" and subject.told.thread.number == 1 and len(lwps) > 1 and (
                    subject.told.thread.lwp == min(lwps)):
                subject.told.role, subject.told.role_rule = "main-loop", "first-thread"
    mutexes: Dict[str, str] = {}
    for subject in context.live_subjects:
        if subject.told.role.startswith("vcpu"):
            shown = _cond_mutex(subject.stack)
            if shown:
                mutexes[shown] = subject.told.role
    for subject in context.live_subjects:
        if subject.told.role in ("unknown", "vnc-worker") and subject.told.role_rule.startswith(("shape", "")):
            shown = _cond_mutex(subject.stack)
            if shown and shown in mutexes and _unnamed_start(subject.stack):
                subject.told.role = mutexes[shown]
                subject.told.role_rule = "shape:waits on the vCPUs' mutex"


@once_a_stack
def _began(stack: Stack) -> Optional[Tuple[int, int]]:
    """Where a thread's two outermost nameless frames of QEMU stand: qemu_thread_start and the function it runs."""
    position = len(stack) - 1
    while position >= 0 and (stack.names[position] in STARTERS or code_of(stack.frames[position]).owner == "libc"):
        position -= 1
    if position < 1 or stack.names[position] or stack.names[position - 1]:
        return None
    outer, inner = stack.frames[position].pc, stack.frames[position - 1].pc
    return (outer, inner) if outer and inner else None


@once_a_stack
def _cond_mutex(stack: Stack) -> Optional[str]:
    top = blocked(stack)
    if top.kind != "condvar":
        return None
    for position in range(top.last + 1):
        value = stack.arg(position, "mutex")
        if value:
            return value.split()[0]
    return None


# ----------------------------------------------------------------------------------------------------------------
# Which vCPU, which iothread


def _detail(context: Context, subject: Subject) -> None:
    told = subject.told
    thread = told.thread
    detail: Dict[str, Any] = {}
    named = role_of_name(thread.name) if thread.name else None
    if told.role.startswith("vcpu"):
        vcpu = context.vcpu_of(thread.lwp)
        if vcpu is not None and told.role != "vcpu-tcg-rr":
            detail["vcpu"] = vcpu.index
        if "vcpu" not in detail and named and "vcpu" in named[2]:
            detail["vcpu"] = int(named[2]["vcpu"])
        if told.role == "vcpu-tcg-rr" and context.facts.vcpus:
            detail["vcpus"] = len(context.facts.vcpus)
    if told.role in ("iothread", "monitor-iothread"):
        known = context.iothread_of(thread.lwp)
        if known is not None:
            detail["iothread"] = known.name
        if "iothread" not in detail and named and "iothread" in named[2]:
            detail["iothread"] = named[2]["iothread"]
    if named and "channel" in named[2]:
        detail["channel"] = int(named[2]["channel"])
    entry = _entry_of(subject.stack)
    if entry is not None and told.role == "helper":
        detail["purpose"] = ENTRIES[entry].says
    if told.role_rule.startswith("library:"):
        detail["library"] = told.role_rule.split(":", 1)[1]
    told.role_detail = detail


def _entry_of(stack: Stack) -> Optional[str]:
    for position in range(len(stack.names) - 1, -1, -1):
        if stack.names[position] in ENTRIES:
            return stack.names[position]
    return None
