"""Captures a Snapshot of the process that gdb has, live or from a core, without changing anything in gdb or in it."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal as signals
from collections import deque
from typing import Callable, Deque, Dict, FrozenSet, Iterator, List, Optional, Tuple

import gdb

from .. import architecture
from ..model import Frame, Notice, Signal, Snapshot, Source, Thread
from . import corefile, executable
from .alike import Alike

MAX_THREADS = 20_000
MAX_DEPTH = 60_000  # frames walked of one stack
KEPT_INNER, KEPT_OUTER = 1500, 200  # frames of a deep stack that are kept
MAX_ARGUMENTS = 24  # of one frame
MAX_VALUE = 300  # characters of one printed value
MAX_STRING = 200  # characters of a C string that gdb prints
ALIKE = 16  # threads with the same stack whose arguments are read; of hundreds of idle ones the rest tell nothing new

# Stops that debugging itself brings about; none of them says anything about QEMU.
_NO_EVENT = (0, signals.SIGSTOP, signals.SIGINT)
_SI_ADDR = (signals.SIGSEGV, signals.SIGBUS, signals.SIGILL, signals.SIGFPE, signals.SIGTRAP)
_RUNNING = "the thread is running: interrupt it first"
_AROUND_TCG = ("cpu_tb_exec", "tcg_qemu_tb_exec", "cpu_loop_exec_tb", "cpu_exec_loop", "cpu_exec_setjmp", "cpu_exec")


class NoProcess(Exception):
    """gdb has no process and no core; the message is one line for the user."""


class Process:
    """The process behind a Snapshot, as readers of its memory need it."""

    def __init__(self, inferior: gdb.Inferior, snapshot: Snapshot, program: executable.Program, bias: int) -> None:
        self.inferior = inferior
        self.snapshot = snapshot
        self.program = program
        self.bias = bias  # of the program's load address
        self.threads: Dict[int, gdb.InferiorThread] = {}  # by LWP

    def in_program(self, pc: int) -> bool:
        return self.program.low + self.bias <= pc < self.program.high + self.bias


@contextlib.contextmanager
def selection_kept() -> Iterator[None]:
    """Gives back the selected thread and frame, whatever happens inside, Ctrl-C included."""
    thread = gdb.selected_thread()
    language = gdb.execute("show language", to_string=True)
    frame = None
    if thread is not None and thread.is_valid():
        try:
            frame = gdb.selected_frame()
        except gdb.error:  # it runs, or has no stack
            pass
    try:
        yield
    finally:
        interrupted = None
        for _ in range(10):  # a second Ctrl-C must not leave the job half done
            try:
                _select(thread, frame)
                _restore_language(language)
                break
            except KeyboardInterrupt as again:
                interrupted = again
        if interrupted is not None:
            raise interrupted


def _select(thread: Optional[gdb.InferiorThread], frame: Optional[gdb.Frame]) -> None:
    if thread is None or not thread.is_valid():
        return
    try:
        if gdb.selected_thread() != thread:
            thread.switch()
        if frame is not None and frame.is_valid():
            frame.select()
    except gdb.error:
        pass  # the thread ended, or runs again


def _restore_language(before: str) -> None:
    """Where the language is "auto", evaluating anything in a frame of syscall.S has made it assembler, and a frame
    without debug information does not bring it back.
    """
    if gdb.parameter("language") == "auto" and gdb.execute("show language", to_string=True) != before:
        gdb.execute("set language auto", to_string=True)


def _threads(inferior: gdb.Inferior) -> List[gdb.InferiorThread]:
    threads = sorted(inferior.threads(), key=lambda t: t.num) if inferior.is_valid() and inferior.pid else []
    if not threads:
        raise NoProcess("no process to explain: attach to one, open a core, or give --file FILE")
    return threads


def require_stopped() -> None:
    """
    :raises NoProcess: there is none, or all of it runs
    """
    if all(thread.is_running() for thread in _threads(gdb.selected_inferior())):
        raise NoProcess(_ALL_RUN)


_ALL_RUN = "the process is running: interrupt it first"


def capture(wanted: FrozenSet[str] = frozenset(), progress: Optional[Callable[[int, int], None]] = None) -> Process:
    """Walk every thread of the current inferior. Arguments are read for functions in ``wanted`` (canonical names),
    and for every frame of the selected and the crashed threads.

    To be called under ``selection_kept``.

    :raises NoProcess: there is nothing to capture
    """
    inferior = gdb.selected_inferior()
    threads = _threads(inferior)
    snapshot = Snapshot(source=Source(kind=_kind(inferior), pid=inferior.pid))
    program = _program(inferior, snapshot)
    process = Process(inferior, snapshot, program, _bias(program))
    walker = _Walker(process, wanted)
    selected = gdb.selected_thread()
    if len(threads) > MAX_THREADS:
        snapshot.notices.append(
            Notice("notice.truncated", f"only the first {MAX_THREADS} of {len(threads)} threads were read")
        )
        threads = threads[:MAX_THREADS]
    for done, each in enumerate(threads):
        if progress is not None:
            progress(done, len(threads))
        if not each.is_valid():
            continue
        thread = walker.walk(each, each == selected)
        snapshot.threads.append(thread)
        if thread.lwp is not None:
            process.threads[thread.lwp] = each
    running = [t for t in snapshot.threads if t.stop_reason == _RUNNING]
    if running and len(running) == len([t for t in snapshot.threads if not t.kernel_only]):
        raise NoProcess(_ALL_RUN)
    if running:
        snapshot.notices.append(Notice(
            "notice.truncated", f"{len(running)} of {len(snapshot.threads)} threads run (non-stop mode) and were not "
            "read: `interrupt -a` stops them"))
    _take_signal(snapshot)
    snapshot.source.debug_info = walker.debug_info()
    snapshot.notices += walker.notices()
    return process


# ---------------------------------------------------------------------------------------------------------------
# The process


def _kind(inferior: gdb.Inferior) -> str:
    if hasattr(inferior, "connection"):  # GDB 11
        connection = inferior.connection
        return "core" if connection is not None and connection.type == "core" else "live"
    for line in gdb.execute("info connections", to_string=True).splitlines():
        if line.startswith("*"):
            return "core" if line.split()[2:3] == ["core"] else "live"
    return "live"


def _program(inferior: gdb.Inferior, snapshot: Snapshot) -> executable.Program:
    path = inferior.progspace.filename or ""
    program = executable.read(path)
    if snapshot.source.kind == "core":
        snapshot.source.file = executable.open_core()
    snapshot.program = os.path.basename(path) or None
    snapshot.version, snapshot.package = program.version, program.package
    core = snapshot.source.file if snapshot.source.kind == "core" else None
    words = corefile.arguments(core) if core else []
    snapshot.command_line = (" ".join(map(shlex.quote, words)) if words else
                             _command_line(inferior, snapshot.source.kind, path))
    if snapshot.program is None and snapshot.command_line:
        snapshot.program = os.path.basename(snapshot.command_line.split(" ")[0]) or None
    return program


def _command_line(inferior: gdb.Inferior, kind: str, path: str) -> Optional[str]:
    if kind == "core":
        try:
            told = gdb.execute("info proc cmdline", to_string=True)
        except gdb.error:
            return None
        for line in told.splitlines():
            if line.startswith("cmdline = '"):
                return line[len("cmdline = '") :].rstrip("'").strip()[:4096] or None
        return None
    try:
        # A remote process of the same number is told apart by its program.
        running = os.readlink(f"/proc/{inferior.pid}/exe").replace(" (deleted)", "")
        if os.path.basename(running) != os.path.basename(path):
            return None
        with open(f"/proc/{inferior.pid}/cmdline", "rb") as stream:
            words = stream.read(65536).decode("utf-8", "replace").rstrip("\0").split("\0")
            return " ".join(map(shlex.quote, words)).strip() if any(words) else None
    except OSError:
        return None


def _bias(program: executable.Program) -> int:
    """What the program's addresses were moved by when it was loaded."""
    if not program.entry:
        return 0
    try:
        told = gdb.execute("info auxv", to_string=True)
    except gdb.error:
        return 0
    for line in told.splitlines():
        words = line.split()
        if len(words) > 2 and words[1] == "AT_ENTRY":
            try:
                return int(words[-1], 16) - program.entry
            except ValueError:
                return 0
    return 0


def _take_signal(snapshot: Snapshot) -> None:
    """The process's signal is the current thread's, or else that of the first thread with a fatal one."""
    with_signal = [t for t in snapshot.threads if t.signal is not None]
    taker = next((t for t in with_signal if t.current), with_signal[0] if with_signal else None)
    if taker is not None:
        snapshot.signal = taker.signal
        taker.crashed = taker.signal is not None and taker.signal.name not in ("SIGTRAP", "SIGUSR1", "SIGUSR2")


# ---------------------------------------------------------------------------------------------------------------
# Threads and frames

_Where = Tuple[Optional[str], Optional[str], Optional[int], Optional[str], str]  # function, file, line, library, kind


class _Walker:
    """Walks the stacks of one process; remembers what it found at an address."""

    def __init__(self, process: Process, wanted: FrozenSet[str]) -> None:
        self._process = process
        self._wanted = wanted
        self._known: Dict[Tuple[int, int], _Where] = {}
        self._libraries: Dict[int, Optional[str]] = {}
        self._arguments: Dict[Tuple[int, int], List[gdb.Symbol]] = {}
        self._alike: Dict[Tuple[Optional[int], ...], int] = {}
        self._machine = architecture.by_name(process.inferior.architecture().name())
        self._seen = {"file": 0, "name": 0, "nothing": 0}  # frames of QEMU's own
        self._deep: List[Optional[int]] = []
        self._corrupt: List[Tuple[Optional[int], str]] = []
        self._limit = _backtrace_limit()
        self._seen_stacks = Alike(process.inferior)
        source = process.snapshot.source
        self._tasks = corefile.tasks(source.file) if source.kind == "core" and source.file else {}

    def walk(self, each: gdb.InferiorThread, selected: bool) -> Thread:
        thread = Thread(number=each.num, lwp=each.ptid[1] or each.ptid[2] or None, name=each.name, current=selected)
        if not selected and self._walked(thread):
            return thread
        try:
            each.switch()
            if each.is_running():
                thread.stop_reason = _RUNNING
                self._corrupt.append((thread.number, _RUNNING))
                return thread
            newest = gdb.newest_frame()
        except gdb.error as error:
            thread.stop_reason = _one_line(error)
            return thread
        self._read_registers(newest, thread)
        thread.signal = _signal()
        if self._machine is not None and not thread.registers.get(self._machine.sp, 1) and not _pc(newest):
            thread.kernel_only = True
            return thread
        thorough = selected or (thread.signal is not None)
        if not thorough:
            thread.frames = self._seen_stacks.frames(thread.registers)
        if not thread.frames:
            self._walk_frames(newest, thread, thorough)
        return thread

    def _walked(self, thread: Thread) -> bool:
        """Whether the core's own notes show that a thread stands where another one stood: gdb need not select it."""
        task = self._tasks.get(thread.lwp or 0)
        if task is None or self._machine is None or task.signal not in (0, *_NO_EVENT):
            return False
        registers = {name: task.registers[name] for name in self._machine.registers if name in task.registers}
        thread.frames = self._seen_stacks.frames(registers)
        if thread.frames:
            thread.registers = registers
        return bool(thread.frames)

    def _walk_frames(self, newest: gdb.Frame, thread: Thread, thorough: bool) -> None:
        inner: List[Frame] = thread.frames
        outer: Deque[Frame] = deque(maxlen=KEPT_OUTER)
        frame: Optional[gdb.Frame] = newest
        level, depth_at_pc, last_pc, last = 0, 0, -1, newest
        telling: List[Tuple[gdb.Frame, Frame, Tuple[int, int]]] = []  # frames whose arguments are wanted
        while frame is not None and level < MAX_DEPTH:
            last = frame
            try:
                pc = frame.pc()
                depth_at_pc = depth_at_pc + 1 if pc == last_pc else 0
                last_pc = pc
                kept = self._frame(frame, level, pc, depth_at_pc)
                if kept.file is not None and (thorough and level < KEPT_INNER or kept.name in self._wanted):
                    telling.append((frame, kept, (pc, depth_at_pc)))
                if level < KEPT_INNER:
                    inner.append(kept)
                else:
                    outer.append(kept)
                frame = frame.older()
            except gdb.error as error:  # gdb.MemoryError is one
                thread.stop_reason = _one_line(error)
                break
            level += 1
        self._read_arguments(inner, telling[: 2 * KEPT_INNER], thorough)
        self._mark_jit(inner)
        if level > KEPT_INNER:
            inner.extend(outer)
            if level - KEPT_INNER > KEPT_OUTER or frame is not None:
                self._deep.append(thread.number)
        if frame is not None and not thread.stop_reason:
            thread.stop_reason = f"more than {MAX_DEPTH} frames; the outer ones were not read"
            thread.truncated_bottom = True
        elif not thread.stop_reason:
            if self._limit and level >= self._limit:
                thread.stop_reason = f"gdb's setting 'backtrace limit' is {self._limit}"
                thread.truncated_bottom = True
            else:
                thread.stop_reason = _stop_reason(last)
        if thread.stop_reason:
            thread.truncated_bottom = True
            self._corrupt.append((thread.number, thread.stop_reason))
        elif not thorough and level <= KEPT_INNER:
            self._remember(newest, thread)

    def _remember(self, newest: gdb.Frame, thread: Thread) -> None:
        """From the first stack whose arguments are not read any more, those like it need no walk."""
        alike = tuple(f.pc for f in thread.frames)
        if self._alike.get(alike) == ALIKE + 1 and not self._limit:
            self._seen_stacks.remember(newest, thread.frames, thread.registers)

    def _read_arguments(
        self, inner: List[Frame], telling: List[Tuple[gdb.Frame, Frame, Tuple[int, int]]], thorough: bool
    ) -> None:
        alike = tuple(f.pc for f in inner)
        self._alike[alike] = self._alike.get(alike, 0) + 1
        if self._alike[alike] > ALIKE and not thorough:
            return
        for frame, result, key in telling:
            symbols = self._arguments.get(key) if result.level else None
            if symbols is None:
                symbols = self._arguments[key] = _argument_symbols(frame)
            for symbol in symbols:
                try:
                    result.args[symbol.name] = printed(symbol.value(frame))
                except (gdb.error, RuntimeError, UnicodeError) as error:
                    result.args[symbol.name] = f"<error reading variable: {_one_line(error)}>"

    def _frame(self, frame: gdb.Frame, level: int, pc: int, depth: int) -> Frame:
        key = (pc, depth)
        where = self._known.get(key) if level else None  # frame 0 looks up its own pc, its callers the call's
        if where is None:
            where = self._look_up(frame, pc)
            if level:
                self._known[key] = where
        function, file, line, library, kind = where
        return Frame(level, function, file, line, pc, library=library, kind=kind)

    def _look_up(self, frame: gdb.Frame, pc: int) -> _Where:
        kind, frame_type = "normal", frame.type()
        if frame_type == gdb.INLINE_FRAME:
            kind = "inline"
        elif frame_type == gdb.SIGTRAMP_FRAME:
            kind = "signal"
        elif frame_type == gdb.TAILCALL_FRAME:  # not on the stack: gdb infers it from debug information
            kind = "tailcall"
        function = frame.name()
        sal = frame.find_sal()
        symtab = sal.symtab
        file = symtab.filename if symtab is not None else None
        library = None
        own = self._process.in_program(pc)
        if not own:
            library = self._library(pc)
            own = library is not None and "/qemu/" in library
        if own and kind != "signal":
            self._seen["file" if file else "name" if function else "nothing"] += 1
        return function, file, (sal.line or None) if file else None, library, kind

    def _library(self, pc: int) -> Optional[str]:
        page = pc >> 12
        if page not in self._libraries:
            self._libraries[page] = gdb.solib_name(pc)
        return self._libraries[page]

    def _mark_jit(self, frames: List[Frame]) -> None:
        """Guest code that TCG generated has no object file; it is called by QEMU's execution loop."""
        for i, frame in enumerate(frames):
            if (
                frame.function is None
                and frame.library is None
                and frame.pc
                and not self._process.in_program(frame.pc)
                and any(f.name in _AROUND_TCG or "accel-tcg" in (f.library or "") for f in frames[i + 1 : i + 3])
            ):
                frame.kind = "jit"

    def _read_registers(self, frame: gdb.Frame, thread: Thread) -> None:
        machine = self._machine
        for name in machine.registers if machine is not None else ():
            try:
                thread.registers[name] = int(frame.read_register(name)) & architecture.MASK
            except (gdb.error, ValueError):  # unavailable, or unknown to this gdb
                continue
        if machine is not None and machine.call_instruction and not self._in_system_call(thread, machine):
            thread.registers.pop(machine.call, None)

    def _in_system_call(self, thread: Thread, machine: architecture.Architecture) -> bool:
        """Whether the thread stands behind the instruction, or on it, where the call begins again."""
        pc, size = thread.registers.get(machine.pc, 0), len(machine.call_instruction)
        try:
            near = bytes(self._process.inferior.read_memory(pc - size, 2 * size))
        except (gdb.error, OverflowError):
            return False
        return machine.call_instruction in (near[:size], near[size:])

    def debug_info(self) -> str:
        """How much is known about QEMU's own frames."""
        if self._seen["file"]:
            return "partial" if self._seen["nothing"] or self._seen["name"] > self._seen["file"] else "full"
        return "symbols" if self._seen["name"] else "none"

    def notices(self) -> List[Notice]:
        found = []
        if self._deep:
            which = ", ".join(str(n) for n in self._deep[:5])
            found.append(
                Notice(
                    "notice.corrupt-stack",
                    f"the stack of thread {which} is very deep: {KEPT_INNER} inner and {KEPT_OUTER} outer"
                    " frames of it are shown",
                )
            )
        by_reason: Dict[str, List[Optional[int]]] = {}
        for number, reason in self._corrupt:
            by_reason.setdefault(reason, []).append(number)
        for reason, numbers in list(by_reason.items())[:5]:
            which = ", ".join(str(n) for n in numbers[:5]) + (", ..." if len(numbers) > 5 else "")
            found.append(Notice("notice.corrupt-stack", f"thread {which} was not read to its end: {reason}"))
        return found


def _pc(frame: gdb.Frame) -> int:
    try:
        return int(frame.pc())
    except gdb.error:
        return 0


def _backtrace_limit() -> int:
    limit = gdb.parameter("backtrace limit")
    return limit if isinstance(limit, int) and limit > 0 else 0


def _stop_reason(frame: gdb.Frame) -> str:
    """Why gdb could not unwind further, "" where the outermost frame was reached."""
    try:
        reason = frame.unwind_stop_reason()
        if reason in (gdb.FRAME_UNWIND_NO_REASON, gdb.FRAME_UNWIND_OUTERMOST):
            return ""
        return str(gdb.frame_stop_reason_string(reason))
    except gdb.error as error:
        return _one_line(error)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _signal() -> Optional[Signal]:
    """The selected thread's signal; None where it has none that tells something."""
    try:
        info = gdb.parse_and_eval("$_siginfo")
        number = int(info["si_signo"])
        if number in _NO_EVENT:
            return None
        found = Signal(number=number, code=int(info["si_code"]))
        fields = info["_sifields"]
        if found.code is not None and found.code <= 0:  # SI_USER, SI_TKILL, ...: a process sent it
            found.sender_pid = int(fields["_kill"]["si_pid"])
        elif number in _SI_ADDR:
            found.address = int(fields["_sigfault"]["si_addr"]) & (1 << 64) - 1
    except (gdb.error, ValueError):  # no siginfo in this core
        return None
    try:
        found.name = signals.Signals(number).name
    except ValueError:
        pass
    return found


# ---------------------------------------------------------------------------------------------------------------
# Arguments


def _argument_symbols(frame: gdb.Frame) -> List[gdb.Symbol]:
    """The arguments of a frame's function; none without debug information."""
    try:
        block = frame.block()
        while block is not None and block.function is None:
            block = block.superblock
    except (gdb.error, RuntimeError):  # an address outside any function's debug information
        return []
    return [symbol for symbol in block or () if symbol.is_argument][:MAX_ARGUMENTS]


_AGGREGATES = (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION, gdb.TYPE_CODE_ARRAY)


def printed(value: gdb.Value) -> str:
    """A value as gdb's own backtrace prints it: scalars and strings, ``...`` for aggregates."""
    if value.type.strip_typedefs().code in _AGGREGATES:
        return "..."
    if value.is_optimized_out:
        return "<optimized out>"
    text = str(value.format_string(raw=True, symbols=True, max_elements=MAX_STRING, repeat_threshold=0))
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "..."
