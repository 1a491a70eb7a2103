"""The types that every part shares: a Snapshot of one QEMU process, and the Explanation of it.

Everything here is plain data: no gdb, no rules. ``to_plain`` and ``from_plain`` turn any of these types into
JSON-ready values and back, so that a recorded Snapshot is explained without gdb.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import typing
from dataclasses import field
from typing import Any, Dict, List, Optional, Tuple, Type, TypeVar

from .mangled import demangled
from .pattern import Pattern
from .record import many, record

SCHEMA = "qemu-gdb/1"

# --------------------------------------------------------------------------------------------------------------
# What was seen


@many
class Frame:
    """One frame of a stack, innermost is level 0."""

    level: int
    function: Optional[str] = None  # as the debugger spelled it; None where it had no name
    file: Optional[str] = None
    line: Optional[int] = None
    pc: Optional[int] = None
    args: Dict[str, str] = field(default_factory=dict)  # values as the debugger prints them
    library: Optional[str] = None  # shared object or module that the pc lies in
    # normal, inline, tailcall (inferred: it is not on the stack), signal (a handler's trampoline), jit (TCG's code),
    # kernel (the operating system's own code)
    kind: str = "normal"
    locals: Dict[str, str] = field(default_factory=dict)
    offset: Optional[int] = None  # of the pc from the start of ``library``, where a reporter gives that and no name

    @property
    def name(self) -> str:
        """The function in canonical spelling, "" where it is unknown."""
        return canonical_name(self.function)


@record
class Signal:
    """The signal that stopped a process."""

    name: Optional[str] = None  # "SIGSEGV"
    number: Optional[int] = None
    code: Optional[int] = None  # si_code
    address: Optional[int] = None  # si_addr for the fault signals
    sender_pid: Optional[int] = None  # si_pid for signals that a process sent
    text: str = ""  # the line that told it


WATCHED_S = 3.0  # that a thread must not have run, to count as unstoppable: a busy disk's write sleeps there for long


@record
class Thread:
    """One thread, or one stack of a report (a coroutine, a sanitizer's "freed by")."""

    frames: List[Frame] = field(default_factory=list)
    number: Optional[int] = None
    lwp: Optional[int] = None
    name: Optional[str] = None
    heading: str = ""  # the line that introduced the stack
    current: bool = False  # the one that the debugger shows first, or that took the signal
    crashed: bool = False  # the report itself says that this thread took the fatal signal
    coroutine: bool = False  # the stack of a suspended coroutine
    history: bool = False  # an earlier event that a sanitizer recorded (allocation, free, thread creation)
    kernel_only: bool = False  # has no user stack
    truncated_top: bool = False  # inner frames are missing
    truncated_bottom: bool = False  # outer frames are missing
    stop_reason: str = ""  # why unwinding ended, where that was not the outermost frame
    signal: Optional[Signal] = None
    registers: Dict[str, int] = field(default_factory=dict)  # of frame 0, those that were asked for
    tls: Dict[str, int] = field(default_factory=dict)  # thread-local values by symbol name
    processor_s: Optional[float] = None  # of a live process, since the thread began: on a processor
    queued_s: Optional[float] = None  # and ready to run, waiting for one
    sampled: bool = False  # a sample of a processor's time: it ran when it was taken
    kernel: List[Frame] = field(default_factory=list)  # the host kernel's own frames, further in than frames[0]
    unstoppable: bool = False  # of a live process: stays in an uninterruptible sleep, where no debugger can stop it


@record
class Message:
    """A line near the stack that the process or a tool wrote."""

    # assertion, glib, hw-error, qemu-error, error-abort, sanitizer, malloc, stack-smashing, fortify, cpu-abort,
    # rust-panic, fuzzer, kernel-fault, seccomp, oom-kill, told-to-end, qemu-died, other
    kind: str
    text: str
    function: Optional[str] = None
    file: Optional[str] = None
    line: Optional[int] = None
    expression: Optional[str] = None  # of an assertion; a Rust panic's own words
    thread: Optional[int] = None  # index into Snapshot.threads, where known


@record
class Notice:
    """Something the reader must know about the input, or about what could not be read."""

    kind: str  # "notice.truncated", "notice.no-symbols", ...; design.md section 4
    text: str


@record
class Source:
    """Where a Snapshot comes from."""

    kind: str = "text"  # live, core, text
    pid: Optional[int] = None
    file: Optional[str] = None
    debug_info: str = "none"  # full, partial, symbols, none
    stopped_ms: Optional[float] = None
    was_stopped: bool = False  # by a signal, before it was captured
    taken_s: Optional[float] = None  # of several captures: when it was stopped, on a clock that all of them share
    dialect: str = ""  # of a text: gdb, lldb, asan, ...


# --------------------------------------------------------------------------------------------------------------
# Facts: read from memory by state/. An absent fact is None or an empty list; what could not be read is a Notice.


@record
class Lock:
    """A mutex (or an AioContext's lock, a CoMutex) that somebody holds or waits for."""

    name: str  # "BQL", "AioContext io0", "qemu_cpu_list_lock", or "mutex 0x..."
    address: int = 0
    kind: str = "mutex"  # mutex, rec-mutex, aiocontext, comutex, rwlock
    owner_lwp: Optional[int] = None  # None: free or unknown
    owner_known: bool = True
    owner_coroutine: Optional[int] = None
    waiter_lwps: List[int] = field(default_factory=list)


@record
class Wait:
    """What one thread's innermost frames wait for, by its registers or by the arguments of the wait."""

    lwp: int
    kind: str  # mutex, condvar, semaphore, event, join, fd, sleep, futex
    address: int = 0
    name: str = ""  # of the object where it has one: "BQL", "qemu_pause_cond"
    mutex: int = 0  # the mutex that goes with a condition
    owner_lwp: Optional[int] = None  # who must act
    text: str = ""


@record
class VCpu:
    """A vCPU as CPUState has it (include/hw/core/cpu.h)."""

    index: int
    lwp: Optional[int] = None
    address: int = 0
    accelerator: Optional[str] = None  # kvm, tcg, ...
    halted: Optional[bool] = None
    masked: Optional[bool] = None  # the guest has interrupts off
    stop: Optional[bool] = None
    stopped: Optional[bool] = None
    running: Optional[bool] = None
    exit_request: Optional[bool] = None
    has_work: Optional[bool] = None
    exit_reason: Optional[str] = None  # KVM's last exit: "io", "mmio", ...
    exit_detail: str = ""  # "OUT port 0xc012, 2 bytes"
    pc: Optional[int] = None
    mode: Optional[str] = None  # "16-bit", "64-bit", ...
    type_name: Optional[str] = None


@record
class IOThread:
    """An iothread object and what runs on it."""

    name: str
    lwp: Optional[int] = None
    address: int = 0
    context: int = 0
    monitor: bool = False
    serves: List[str] = field(default_factory=list)  # device ids
    handlers: Optional[int] = None  # descriptors polled


@record
class Handler:
    """A file descriptor watched by an event loop."""

    fd: int
    context: int
    read: Optional[str] = None  # function names
    write: Optional[str] = None
    opaque: int = 0
    note: str = ""
    glib: bool = False  # a GLib source polls it: no AioContext knows it
    events: str = ""  # that are polled for: "in, out"
    ready: str = ""  # that the last poll has found


@record
class BottomHalf:
    """A scheduled bottom half of an AioContext."""

    function: Optional[str]
    context: int
    flags: int = 0
    name: str = ""


@record
class Timer:
    """A QEMUTimer that is armed."""

    clock: str
    expires_ns: int
    function: Optional[str]
    opaque: int = 0
    due_in_ns: Optional[int] = None


@record
class BlockNode:
    """A BlockDriverState."""

    name: str
    driver: str
    address: int = 0
    filename: str = ""
    in_flight: Optional[int] = None
    quiesce: Optional[int] = None  # drain counter
    context: int = 0
    parents: List[str] = field(default_factory=list)  # "scsi-hd s0", "mirror job j0", "node top"
    children: List[str] = field(default_factory=list)
    throttled: int = 0  # requests that wait in a throttle group
    peer: str = ""  # the server of a network driver
    note: str = ""  # blkdebug's suspended requests and the like
    job: str = ""


@record
class Request:
    """A BdrvTrackedRequest."""

    node: str
    driver: str
    type: str  # read, write, discard, truncate
    offset: int = 0
    bytes: int = 0
    coroutine: int = 0
    waiting_for: int = 0  # coroutine of the request that it waits for
    origin: str = ""  # the device or job that issued it


@record
class Job:
    """A block job."""

    id: str
    type: str
    status: Optional[str] = None
    coroutine: int = 0
    paused: Optional[bool] = None
    busy: Optional[bool] = None
    cancelled: Optional[bool] = None
    in_flight: Optional[int] = None
    progress: str = ""
    io_status: Optional[str] = None  # BlockDeviceIoStatus: ok, failed, nospace
    on_target_error: Optional[str] = None  # BlockdevOnError of a mirror: report, ignore, enospc, stop, auto


@record
class Region:
    """A MemoryRegion that a frame works on."""

    address: int
    name: str = ""
    owner_type: str = ""  # QOM type of the owner
    owner_path: str = ""  # QOM path
    owner_id: str = ""
    base: Optional[int] = None  # of the region in its address space


@record
class Chardev:
    """A character device backend."""

    id: str
    type: str = ""
    peer: str = ""
    connected: Optional[bool] = None
    address: int = 0
    fd: Optional[int] = None  # that its input comes from
    listens: List[int] = field(default_factory=list)  # descriptors that wait for connections
    takes_input: Optional[bool] = None  # False: its input is not polled, the frontend has no room


@record
class MonitorCommand:
    """A monitor and the command that it runs now."""

    monitor: str = ""  # the chardev's id
    protocol: str = ""  # qmp, hmp
    command: str = ""
    arguments: str = ""
    lwp: Optional[int] = None


@record
class Migration:
    """MigrationState, outgoing or incoming."""

    direction: str  # outgoing, incoming
    state: str
    uri: str = ""
    detail: str = ""
    command: str = ""  # of the process at the other end (exec:), while that runs
    pages_awaited: Optional[int] = None  # of an incoming postcopy: asked of the source, and not there yet


@record
class Coroutine:
    """A suspended coroutine."""

    address: int
    frames: List[Frame] = field(default_factory=list)
    context: int = 0
    caller: int = 0
    locks_held: int = 0
    entry: Optional[str] = None
    origin: str = ""  # how it was found: request, job, queue, search
    waits_kind: str = ""  # fd, comutex, coqueue, drain, timer, thread-pool, io_uring, peer, request, ...
    waits_text: str = ""
    waits_object: int = 0
    waits_owner: Optional[int] = None  # address of the coroutine that must act


@record
class RcuReader:
    """A thread inside an RCU read-side critical section."""

    lwp: Optional[int]
    depth: int = 0
    waiting: Optional[bool] = None


@record
class Fault:
    """An access that the processor or the kernel refused."""

    lwp: Optional[int] = None
    address: Optional[int] = None
    instruction: str = ""
    access: str = ""  # read, write
    register: str = ""  # that holds the pointer
    base: Optional[int] = None  # the pointer
    offset: Optional[int] = None  # that the instruction adds to it
    pointer: str = ""  # the pointer as a C expression: "vdev->vq"
    member: str = ""  # what was accessed: "VirtQueue.vring.desc"
    memory_kind: str = ""  # guest-ram, stack, mapping, unmapped
    memory: str = ""  # what lies at the address
    ram_block: str = ""
    ram_owner: str = ""  # "memory-backend-file ram0"
    ram_offset: Optional[int] = None  # in the block
    ram_size: Optional[int] = None
    ram_file: str = ""
    ram_file_size: Optional[int] = None  # now


@record
class Facts:
    """Everything that state/ read."""

    runstate: Optional[str] = None  # QAPI name: "running", "paused", "io-error"
    bql_owner_lwp: Optional[int] = None
    bql_known: bool = False
    locks: List[Lock] = field(default_factory=list)
    waits: List[Wait] = field(default_factory=list)
    vcpus: List[VCpu] = field(default_factory=list)
    iothreads: List[IOThread] = field(default_factory=list)
    handlers: List[Handler] = field(default_factory=list)
    bottom_halves: List[BottomHalf] = field(default_factory=list)
    timers: List[Timer] = field(default_factory=list)
    nodes: List[BlockNode] = field(default_factory=list)
    requests: List[Request] = field(default_factory=list)
    jobs: List[Job] = field(default_factory=list)
    regions: List[Region] = field(default_factory=list)
    chardevs: List[Chardev] = field(default_factory=list)
    monitor_commands: List[MonitorCommand] = field(default_factory=list)
    migration: List[Migration] = field(default_factory=list)
    rcu_readers: List[RcuReader] = field(default_factory=list)
    fault: Optional[Fault] = None
    last_words: List[str] = field(default_factory=list)  # what libc or GLib said when it aborted
    main_context: int = 0
    objects: Dict[str, str] = field(default_factory=dict)  # "0x55..." -> "virtio-scsi s0": pointers met in frames
    extra: Dict[str, Any] = field(default_factory=dict)  # plain values for which no type exists yet


@record
class Snapshot:
    """One moment of one process."""

    source: Source = field(default_factory=Source)
    program: Optional[str] = None  # "qemu-system-x86_64"
    version: Optional[str] = None
    package: Optional[str] = None  # distribution package version
    command_line: Optional[str] = None
    accelerator: Optional[str] = None
    threads: List[Thread] = field(default_factory=list)
    coroutines: List[Coroutine] = field(default_factory=list)
    signal: Optional[Signal] = None
    messages: List[Message] = field(default_factory=list)
    notices: List[Notice] = field(default_factory=list)
    facts: Facts = field(default_factory=Facts)
    unparsed: List[str] = field(default_factory=list)  # lines of a text that belong to no stack and no message


# --------------------------------------------------------------------------------------------------------------
# What is concluded


@record
class Evidence:
    """What a finding stands on."""

    text: str
    thread: Optional[int] = None  # number
    frame: Optional[int] = None  # level


@record
class KnownFix:
    """A known QEMU problem that matches."""

    commit: Optional[str] = None
    release: Optional[str] = None  # first release with the fix
    score: float = 0.0
    link: Optional[str] = None
    matched: str = ""  # what matched, in words
    confidence: str = "possible"
    has_fix: Optional[bool] = None  # this QEMU; None where it can't be known


@record
class Finding:
    """A conclusion about the whole process."""

    kind: str
    title: str
    confidence: str  # certain, likely, possible
    explanation: str
    threads: List[int] = field(default_factory=list)  # numbers
    evidence: List[Evidence] = field(default_factory=list)
    next_steps: List[str] = field(default_factory=list)
    known_fixes: List[KnownFix] = field(default_factory=list)
    rule: str = ""  # the row that made it


@record
class Stage:
    """A run of neighbouring frames that belong to one layer of QEMU."""

    name: str
    subsystem: Optional[str]
    first: int  # frame levels, inner to outer
    last: int
    text: str


@record
class WaitsFor:
    """What a thread waits for."""

    kind: str  # mutex, bql, aiocontext-lock, condvar, drain, fd, join, peer, ...
    object: Optional[str] = None
    owner_thread: Optional[int] = None


@record
class ThreadExplanation:
    """What one thread is for and doing."""

    thread: Thread
    role: str = "unknown"
    role_detail: Dict[str, Any] = field(default_factory=dict)  # vcpu, iothread, ...
    role_rule: str = ""
    state: str = "unknown"
    state_rule: str = ""
    subsystem: Optional[str] = None
    summary: str = ""
    holds: List[str] = field(default_factory=list)
    waits_for: Optional[WaitsFor] = None
    culprit: Optional[str] = None
    culprit_level: Optional[int] = None
    culprit_rule: str = ""
    stages: List[Stage] = field(default_factory=list)
    frame_subsystems: List[Optional[str]] = field(default_factory=list)


@record
class CoroutineExplanation:
    """What one suspended coroutine waits for."""

    coroutine: Coroutine
    state: str = "suspended"
    summary: str = ""
    waits_for: Optional[WaitsFor] = None
    frame_subsystems: List[Optional[str]] = field(default_factory=list)


@record
class Explanation:
    """The whole answer for one Snapshot."""

    snapshot: Snapshot
    is_qemu: bool = True
    program: Optional[str] = None
    accelerator: Optional[str] = None
    vcpus: Optional[int] = None
    runstate: Optional[str] = None
    findings: List[Finding] = field(default_factory=list)
    threads: List[ThreadExplanation] = field(default_factory=list)
    coroutines: List[CoroutineExplanation] = field(default_factory=list)
    notices: List[Notice] = field(default_factory=list)
    capture: int = 0  # which of several captures of this process in one input it is, from 1; 0 for the only one


# --------------------------------------------------------------------------------------------------------------
# Names

# Suffixes that compilers, linkers and symbol versions add; none of them names another function.
_SUFFIX = Pattern(
    r"(?:@plt|@@?[A-Z][A-Za-z_]*_?[\d.]*|\[(?:cold|clone [^\]]*|inlined|opt|artificial)\]|\s+\[[^\]]*\]|\(\)"
    r"|\.(?:lto_priv|constprop|part|isra|cold|llvm|localalias|clone|ipa|sra)(?:\.\d+)*|\.\d+)$"
)
# libc functions that debuggers show under internal aliases (__GI___poll, __pthread_mutex_lock, ___pthread_cond_wait).
_LIBC = frozenset(
    """abort accept accept4 clock_nanosleep clone clone3 close connect epoll_pwait epoll_wait exit fallocate fcntl
    fdatasync flock fsync getrandom io_getevents ioctl kill libc_message libc_start_call_main libc_start_main
    longjmp lseek lseek64 madvise memcpy memmove memset mmap mmap64 msync munmap nanosleep open open64 openat poll
    posix_fallocate ppoll pread pread64 preadv preadv64 pselect pwrite pwrite64 pwritev pwritev64 raise read readv
    recv recvfrom recvmsg select sem_timedwait sem_wait send sendmsg sendto sigsuspend sigtimedwait sigwait
    sigwaitinfo sleep start_thread strcmp strlen syscall timer_create usleep wait4 waitid waitpid write writev
    fortify_fail stack_chk_fail chk_fail libc_free libc_malloc libc_realloc libc_calloc""".split()
)


@functools.lru_cache(maxsize=65536)
def canonical_name(function: Optional[str]) -> str:
    """The function's name without what compilers, linkers and debuggers add to it.

    ``bdrv_drain_all_begin.part.0`` and ``bdrv_drain_all_begin[cold]`` become ``bdrv_drain_all_begin``;
    ``__GI___pthread_mutex_lock`` and ``___pthread_mutex_lock`` become ``pthread_mutex_lock``. ``??`` becomes "".
    Windows' ``ntdll!ZwReadFile`` loses its module; Zw and Nt are two names of one entry, here always Nt.
    """
    if not function:
        return ""
    name = function.strip()
    if name in ("??", "???", "n/a", "<null>"):
        return ""
    for _ in range(8):
        cut = _SUFFIX.sub("", name).strip()
        if cut == name or not cut:
            break
        name = cut
    if name.startswith(("_Z", "__Z")):  # macOS puts an underscore in front of every symbol
        name = demangled(name[name.index("Z") - 1 :])
    module, mark, inside = name.rpartition("!")
    if mark and inside and module.replace("_", "").replace("-", "").replace(".", "").isalnum():
        name = f"Nt{inside[2:]}" if inside[:2] == "Zw" and inside[2:3].isupper() else inside
    bare = name[5:] if name.startswith("__GI_") else name
    stripped = bare.lstrip("_")
    if stripped.startswith("pthread_") or stripped in _LIBC:
        return sys.intern(stripped)
    return sys.intern(bare)


# --------------------------------------------------------------------------------------------------------------
# To plain values and back

_T = TypeVar("_T")
_Plain = Any


def to_plain(value: Any) -> _Plain:
    """Turn a dataclass of this module into dicts, lists, strings, numbers and None; defaults are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {}
        for f in dataclasses.fields(value):
            item = getattr(value, f.name)
            if f.default is not dataclasses.MISSING and item == f.default:
                continue
            if f.default_factory is not dataclasses.MISSING and item == f.default_factory():
                continue
            plain[f.name] = to_plain(item)
        return plain
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    return value


@functools.cache
def _fields(cls: type) -> Tuple[Tuple[str, Any], ...]:
    hints = typing.get_type_hints(cls)
    return tuple((f.name, hints[f.name]) for f in dataclasses.fields(cls))


def from_plain(cls: Type[_T], plain: _Plain) -> _T:
    """Build a dataclass of this module from what ``to_plain`` returned; unknown keys are ignored.

    :raises ValueError: ``plain`` has not the shape of ``cls``
    """
    result = _convert(cls, plain)
    return typing.cast(_T, result)


def _convert(hint: Any, plain: _Plain) -> Any:
    origin = typing.get_origin(hint)
    if origin is typing.Union:
        if plain is None:
            return None
        return _convert(next(a for a in typing.get_args(hint) if a is not type(None)), plain)
    if origin is list:
        if not isinstance(plain, list):
            raise ValueError(f"expected a list, found {type(plain).__name__}")
        (item,) = typing.get_args(hint)
        return [_convert(item, p) for p in plain]
    if origin is dict:
        if not isinstance(plain, dict):
            raise ValueError(f"expected an object, found {type(plain).__name__}")
        _, item = typing.get_args(hint)
        return {key: _convert(item, p) for key, p in plain.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(plain, dict):
            raise ValueError(f"expected an object for {hint.__name__}, found {type(plain).__name__}")
        given = {name: _convert(h, plain[name]) for name, h in _fields(hint) if name in plain}
        try:
            return hint(**given)
        except TypeError as error:
            raise ValueError(f"{hint.__name__}: {error}") from error
    if hint is float and isinstance(plain, int):
        return float(plain)
    if hint is Any:
        return plain
    if isinstance(hint, type) and hint is not object and (not isinstance(plain, hint)):
        raise ValueError(f"expected {hint.__name__}, found {type(plain).__name__}")
    return plain
