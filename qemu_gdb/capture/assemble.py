"""Makes Snapshots of the stacks and lines that text.py found: which belong to one process, and what that process is."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Set, Tuple

from qemu_gdb.capture import messages
from qemu_gdb.capture.frame_messages import messages_from_frames
from qemu_gdb.capture.pattern import Pattern
from qemu_gdb.model import Frame, Message, Notice, Signal, Snapshot, Source, Thread, canonical_name

# Functions that a complete stack ends in: glibc, musl, the BSDs, macOS, Windows, Wine, and a coroutine's first frame.
OUTERMOST = frozenset(
    [
        "main", "_start", "start", "start_c", "start_thread", "clone", "clone3", "thread_start", "_pthread_start",
        "__start_context", "makecontext", "coroutine_trampoline", "coroutine_bootstrap", "libc_start_main",
        "libc_start_call_main", "libc_start_main_impl", "libc_start_main_stage2", "__libc_start_main_impl",
        "generic_start_main", "__libc_csu_init", "pthread__create_tramp", "__start_thread", "__pthread_start",
        "BaseThreadInitThunk", "RtlUserThreadStart", "BaseProcessStart", "call_thread_func", "__mingw_CRTStartup",
        "__tmainCRTStartup", "mainCRTStartup", "WinMainCRTStartup", "_beginthreadex", "start_wqthread",
        "_pthread_wqthread", "__bthread_start", "__pthread_trampoline", "_dyld_start", "__clone", "__clone2",
        "process_start", "call_process_entry", "___start", "__start", "makecontext_stub", "runtime.goexit",
        "ret_from_fork", "entry_SYSCALL_64_after_hwframe", "__thread_start", "_thread_start", "thread_start_stub",
    ]
)  # fmt: skip
_GIVES_UP = frozenset(
    ["abort", "raise", "gsignal", "__assert_fail", "__assert_rtn", "__pthread_kill", "pthread_kill", "_lwp_kill"]
)
_PAUSE_TOP = 3  # frames from the top among which raise or abort stands in a stack that gave up

_VERSION_IN_PATH = Pattern(
    r"/?\bqemu(?:-kvm)?(?:-rhev|-ev)?-(?P<version>\d{1,2}\.\d{1,3}(?:\.\d{1,3}){0,2}(?:-rc\d)?)(?P<rest>[+~:-]"
    r"[\w.+~:-]*)?"
)
_VERSION_SAID = (
    Pattern(r"QEMU emulator version (?P<version>\d+\.\d+(?:\.\d+)*(?:-rc\d)?)(?:\s*\((?P<package>[^)]+)\))?"),
    Pattern(r"\bQEMU (?P<version>\d+\.\d+(?:\.\d+)*(?:-rc\d)?) monitor\b"),
    Pattern(r"\b[Qq](?:EMU|emu) ?[Vv]ersion[:\s]+(?:is )?v?(?P<version>\d+\.\d+(?:\.\d+)*(?:-rc\d)?)"),
    Pattern(r"\bqemu(?:-[a-z]\w*){0,4}-(?:\d+:)?(?P<version>\d+\.\d+(?:\.\d+)*)(?P<package>-[\w.+~]+)"),
    Pattern(r"\bqemu(?:-[a-z]\w*)* +\d+:(?P<version>\d+\.\d+(?:\.\d+)*)(?P<package>[+~-][\w.+~-]+)"),
    Pattern(
        r"\b(?:QEMU|[Qq]emu)[ -]v?(?P<version>\d{1,2}\.\d{1,3}(?:\.\d{1,3})+(?:-rc\d)?)(?P<package>(?:\+dfsg"
        r"|-\d)[\w.+~-]*)?\b"
    ),
)
_COMMAND = Pattern(
    r"(?:^|[\s`'\"=])(?P<command>(?:[\w~./\\:-]*[/\\])?"
    r"(?P<program>qemu-(?:system-\w+|kvm|img|io|nbd|ga|storage-daemon"
    r"|[a-z0-9_]+))(?:\.exe)?['\"]?(?P<arguments>(?:\s.*)?))$"
)
_COMMAND_BARE = Pattern(r"(?P<command>(?:[\w~./-]*/)?(?P<program>qemu|kvm)(?P<arguments>\s+-.*))$")
_STARTING = Pattern(
    r"(?:Starting program:|[Cc]ommand ?line:|Run till exit|\bRunning:)\s*[`'\"]?(?P<command>\S.*?)[`]?\s*$"
)
_GOES_ON = Pattern(r"(?:\\|\s--?[a-z][\w-]*|,)\s*$")  # a command line that a mailer or a shell broke after an option
_NO_ARGUMENT = Pattern(r"==|[A-Z\[#(>*{]|0x|\d+:|$")
_ACCELERATOR = Pattern(r"(?:-accel[ =]|[,\s]accel=|-machine accel=)(?P<name>[a-z]+)(?P<more>:[a-z:]+)?")
_PROGRAM_NAME = Pattern(
    r"(?:lt-)?(?:qemu-(?:system-[\w]+|kvm|img|io|nbd|ga|storage-daemon|[a-z0-9_]+)|qemu|kvm|test-[\w-]+)$"
)
_ASSERT_PROGRAM = Pattern(r"^\s*(?P<program>[\w./+-]+): (?:[^\s:]+:\d+: |error|warning|fatal|\S)")


@dataclass
class Segment:
    """A part of the text that explicit signs give to one process."""

    threads: List[Thread] = field(default_factory=list)
    dumped: Set[int] = field(default_factory=set)  # id() of threads that stand in a dump of all threads
    # messages, signals, lines that were seen when the stack before each thread ended
    marks: List[Tuple[int, int, int]] = field(default_factory=list)
    ended: Tuple[int, int, int] = (0, 0, 0)
    foreign: Set[int] = field(default_factory=set)  # id() of threads that are no stack of a process: a kernel's, Go's
    printed: Set[int] = field(default_factory=set)  # id() of stacks that the process printed itself
    messages: List[Message] = field(default_factory=list)
    signals: List[Signal] = field(default_factory=list)
    unparsed: List[str] = field(default_factory=list)
    rows: Dict[int, Thread] = field(default_factory=dict)  # of "info threads"
    dialects: Dict[str, int] = field(default_factory=dict)
    program: Optional[str] = None
    command_line: Optional[str] = None
    pid: Optional[int] = None
    crashed_lwp: Optional[int] = None
    core_lines: int = 0
    kernel: int = 0

    def add_thread(self, thread: Thread, dump: bool = False) -> None:
        """Take a thread whose frames are yet to come."""
        self.threads.append(thread)
        if dump:
            self.dumped.add(id(thread))
        self.marks.append(self.ended if len(self.threads) > 1 else (0, 0, 0))

    def stack_goes_on(self) -> None:
        """Note that what was told so far stands above the end of the last stack."""
        self.ended = (len(self.messages), len(self.signals), len(self.unparsed))

    def successor(self) -> Segment:
        """The part of the next process, with what was told since the last stack ended."""
        told, died, noted = self.ended
        after = Segment(messages=self.messages[told:], signals=self.signals[died:], unparsed=self.unparsed[noted:])
        del self.messages[told:], self.signals[died:], self.unparsed[noted:]
        return after

    def add_signal(self, signal: Signal) -> None:
        """Take a signal."""
        if len(self.signals) < 1000:
            self.signals.append(signal)

    def add_message(self, message: Message) -> None:
        """Take a message, once."""
        if len(self.messages) < 1000 and not any(m.text == message.text for m in self.messages[-20:]):
            message.thread = None
            self.messages.append(message)

    def note(self, line: str) -> None:
        """Keep a line that no stack and no message is made of."""
        self.unparsed.append(line)


def finish(segments: List[Segment]) -> List[Snapshot]:
    """The Snapshots of ``segments``, in the order of the text; never empty."""
    parts: List[Segment] = []
    for segment in segments:
        _drop_printed(segment)
        parts.extend(_split(segment))
    parts = [piece for part in parts for piece in _without_foreign(part)]
    parts.sort(key=lambda part: bool(part.foreign))
    if len(parts) > 1:
        parts = _fold(parts)
    return [_snapshot(part) for part in parts] or [Snapshot(source=Source(kind="text"))]


def _fold(parts: List[Segment]) -> List[Segment]:
    """Give what stands between stacks, without a stack of its own, to the process before it or after it."""
    folded: List[Segment] = []
    for part in parts:
        if folded and not part.threads and not part.rows:
            last = folded[-1]
            last.unparsed.extend(part.unparsed)
            for message in part.messages:
                last.add_message(message)
            last.signals.extend(part.signals)
            last.command_line = last.command_line or part.command_line
        elif folded and not folded[-1].threads and not folded[-1].rows and part is not folded[-1]:
            before = folded.pop()
            part.unparsed[:0] = before.unparsed
            part.messages[:0] = before.messages
            part.signals[:0] = before.signals
            shift = (len(before.messages), len(before.signals), len(before.unparsed))
            part.marks = [(a + shift[0], b + shift[1], c + shift[2]) for a, b, c in part.marks]
            part.command_line = part.command_line or before.command_line
            part.program = part.program or before.program
            folded.append(part)
        else:
            folded.append(part)
    return folded


# Where a guest's kernel, which gdbstub shows, begins: Linux init/main.c and arch entry code
_KERNEL_START = frozenset(
    ["start_kernel", "kernel_init", "rest_init", "secondary_startup_64", "ret_from_fork", "cpu_startup_entry"]
)


def _without_foreign(segment: Segment) -> List[Segment]:
    """Set stacks apart that are none of the process: a kernel's or a Go program's."""
    for thread in segment.threads:
        names = {canonical_name(f.function) for f in thread.frames[-4:]}
        if names & _KERNEL_START and not names & OUTERMOST:
            segment.foreign.add(id(thread))
    foreign = [t for t in segment.threads if id(t) in segment.foreign]
    if not foreign or len(foreign) == len(segment.threads):
        return [segment]
    segment.threads = [t for t in segment.threads if id(t) not in segment.foreign]
    segment.marks = segment.marks[: len(segment.threads)]
    kind = "go" if segment.dialects.get("go") else "kernel"
    apart = Segment(
        threads=foreign, dumped=segment.dumped, foreign=segment.foreign, dialects={kind: 1}, kernel=segment.kernel
    )
    segment.foreign, segment.kernel = set(), 0
    segment.dialects.pop(kind, None)
    return [segment, apart]


def _drop_printed(segment: Segment) -> None:
    """Drop a stack of bare addresses that the process printed where a debugger shows the same one."""
    for thread in list(segment.threads):
        if id(thread) not in segment.printed or not thread.frames:
            continue
        mine = {f.pc for f in thread.frames if f.pc is not None}
        for other in segment.threads:
            if other is thread or id(other) in segment.printed:
                continue
            if len(mine & {f.pc for f in other.frames}) * 2 >= len(mine):
                other.crashed = other.current = True
                index = next(i for i, t in enumerate(segment.threads) if t is thread)
                del segment.threads[index]
                del segment.marks[index]
                break


# --------------------------------------------------------------------------------------------------------------
# Which stacks belong together


def _key(frame: Frame) -> Tuple[str, Optional[int]]:
    return canonical_name(frame.function), frame.pc


def _same_stack(one: Thread, other: Thread) -> bool:
    """Whether one stack is the other, perhaps cut or with fewer details."""
    if not one.frames or not other.frames:
        return False
    shorter, longer = sorted((one.frames, other.frames), key=len)
    addresses = [f.pc for f in shorter[:200] if f.pc is not None and f.pc > 0xFFF]
    if len(addresses) >= 2 and shorter[0].level == longer[0].level and set(addresses) <= {f.pc for f in longer}:
        return True
    by_level = {frame.level: frame for frame in longer}
    agree = 0
    for frame in shorter[:60]:
        there = by_level.get(frame.level)
        if there is None:
            return False
        mine, theirs = canonical_name(frame.function), canonical_name(there.function)
        if frame.pc is not None and there.pc is not None and frame.pc > 0xFFF:
            if frame.pc != there.pc:
                return False
        elif mine and theirs and mine != theirs:
            return False
        agree += 1
    if agree == 1:
        inner, outer = shorter[0], by_level[shorter[0].level]
        return _key(inner) == _key(outer) or (canonical_name(inner.function) == canonical_name(outer.function) != "")
    return agree > 0


def _share_values(one: Thread, other: Thread) -> bool:
    """Whether an address or an argument shows the two to be the same: idle threads all have the same functions."""
    return any(
        (mine.pc is not None and mine.pc == theirs.pc) or (mine.args and mine.args == theirs.args)
        for mine, theirs in zip(one.frames[:60], other.frames)
        if mine.level == theirs.level
    )


def _wealth(thread: Thread) -> Tuple[int, int]:
    return len(thread.frames), sum(len(f.args) + len(f.locals) + (f.file is not None) for f in thread.frames[:60])


def _merge(kept: Thread, gone: Thread) -> None:
    """Give ``kept`` what only ``gone`` knows."""
    kept.number = kept.number if kept.number is not None else gone.number
    kept.lwp = kept.lwp if kept.lwp is not None else gone.lwp
    kept.name = kept.name or gone.name
    if gone.number is None and gone.lwp is None and not gone.history:
        kept.current = True  # what "bt" alone shows is the selected thread
    kept.heading = kept.heading or gone.heading
    kept.current = kept.current or gone.current
    kept.crashed = kept.crashed or gone.crashed
    kept.stop_reason = kept.stop_reason or gone.stop_reason
    if _wealth(gone) > _wealth(kept):
        kept.frames = gone.frames
        kept.truncated_bottom = gone.truncated_bottom
        kept.stop_reason = gone.stop_reason
    elif len(gone.frames) <= len(kept.frames):
        for mine, theirs in zip(kept.frames, gone.frames):
            if mine.level == theirs.level:
                mine.locals = mine.locals or theirs.locals
                if not mine.args:
                    mine.args = theirs.args
                mine.file, mine.line = (mine.file, mine.line) if mine.file else (theirs.file, theirs.line)


def _split(segment: Segment) -> List[Segment]:
    """Split a segment whose stacks can't be of one process, and drop stacks that were shown twice."""
    threads = [t for t in segment.threads if t.frames]
    if len(threads) != len(segment.threads):
        keep = [i for i, t in enumerate(segment.threads) if t.frames]
        segment.marks = [segment.marks[i] for i in keep]
        segment.threads = threads
    if len(threads) < 2:
        return [segment]
    groups: List[List[int]] = [[]]
    numbers: Dict[int, int] = {}
    lwps: Dict[int, int] = {}
    base: Optional[int] = None
    gave_up = False
    dropped: Set[int] = set()
    last_anonymous: List[int] = []
    for index, thread in enumerate(threads):
        twin = None
        if thread.number is not None and thread.number in numbers:
            twin = numbers[thread.number]
        elif thread.lwp is not None and thread.lwp in lwps:
            twin = lwps[thread.lwp]
        else:
            for other in last_anonymous[-4:]:
                if (
                    _compatible(threads[other], thread)
                    and _same_stack(threads[other], thread)
                    and _share_values(threads[other], thread)
                ):
                    twin = other
                    break
            if twin is None and thread.number is None and thread.lwp is None and len(groups[-1]) <= 200:
                for other in groups[-1]:
                    if _compatible(threads[other], thread) and _repeats(threads[other], thread):
                        twin = other
                        break
        conflict = False
        if twin is not None:
            other_thread = threads[twin]
            if _same_stack(other_thread, thread) or len(thread.frames) == 1 or len(other_thread.frames) == 1:
                numbered = other_thread.number is not None or thread.number is None
                if (
                    _same_stack(other_thread, thread)
                    and numbered
                    and not (id(thread) in segment.dumped and id(other_thread) not in segment.dumped)
                ):
                    _merge(other_thread, thread)
                    dropped.add(index)
                    _remember(other_thread, twin, numbers, lwps)
                    continue
                if len(thread.frames) == 1 and len(other_thread.frames) > 1:
                    dropped.add(index)
                    other_thread.crashed = other_thread.crashed or thread.crashed
                    other_thread.current = other_thread.current or thread.current
                    continue
                _merge(thread, other_thread)
                dropped.add(twin)
            else:
                conflict = True
        mine = _program_base(thread)
        if mine is not None and base is not None and abs(mine - base) > 1 << 31:
            conflict = True
        fatal = _fatal(thread)
        anonymous = thread.number is None and thread.lwp is None
        if fatal and gave_up and anonymous and not thread.history and twin is None:
            conflict = True
        if conflict:
            groups.append([])
            numbers, lwps, gave_up, last_anonymous, base = {}, {}, False, [], None
        groups[-1].append(index)
        gave_up = gave_up or fatal
        base = base if base is not None else mine
        if anonymous:
            last_anonymous.append(index)
        _remember(thread, index, numbers, lwps)
    if len(groups) == 1:
        keep = [i for i in groups[0] if i not in dropped]
        segment.threads = [threads[i] for i in keep]
        segment.marks = [segment.marks[i] for i in keep]
        return [segment]
    return _cut(segment, threads, groups, dropped)


def _remember(thread: Thread, index: int, numbers: Dict[int, int], lwps: Dict[int, int]) -> None:
    if thread.number is not None:
        numbers[thread.number] = index
    if thread.lwp is not None:
        lwps[thread.lwp] = index


def _compatible(one: Thread, other: Thread) -> bool:
    if one.history or other.history or one.coroutine != other.coroutine:
        return False
    if one.number is not None and other.number is not None and one.number != other.number:
        return False
    return not (one.lwp is not None and other.lwp is not None and one.lwp != other.lwp)


def _repeats(longer: Thread, thread: Thread) -> bool:
    """Whether ``thread`` is a single frame out of ``longer`` (``frame 4``), or the whole of it once more."""
    if len(thread.frames) == 1 and thread.frames[0].level > 0:
        mine = thread.frames[0]
        return any(f.level == mine.level and _key(f) == _key(mine) for f in longer.frames[: mine.level + 1])
    return (
        len(thread.frames) > 2
        and len(thread.frames) == len(longer.frames)
        and _same_stack(longer, thread)
        and _share_values(longer, thread)
    )


def _fatal(thread: Thread) -> bool:
    return thread.frames[0].level == 0 and any(
        canonical_name(f.function) in _GIVES_UP for f in thread.frames[:_PAUSE_TOP]
    )


def _program_base(thread: Thread) -> Optional[int]:
    """An address inside the position-independent program: two of one process lie close together."""
    for frame in thread.frames[:400]:
        pc = frame.pc
        if pc is None or frame.library is not None:
            continue
        # Linux loads PIE programs at 2/3 of the address space: x86-64 0x55..-0x57, arm64 0xaaaa.., s390x 0x2aa
        if 0x550000000000 <= pc < 0x570000000000 or 0xAAAA00000000 <= pc < 0xAAAF00000000:
            return pc
    return None


def _cut(segment: Segment, threads: List[Thread], groups: List[List[int]], dropped: Set[int]) -> List[Segment]:
    parts: List[Segment] = []
    starts = [segment.marks[group[0]] for group in groups]
    starts[0] = (0, 0, 0)
    ends = starts[1:] + [(len(segment.messages), len(segment.signals), len(segment.unparsed))]
    for group, begin, end in zip(groups, starts, ends):
        # what was told right before the first stack of a later process is its own
        part = Segment(
            threads=[threads[i] for i in group if i not in dropped],
            messages=segment.messages[begin[0] : end[0]],
            signals=segment.signals[begin[1] : end[1]],
            unparsed=segment.unparsed[begin[2] : end[2]],
            dialects=segment.dialects,
            program=segment.program,
            command_line=segment.command_line if not parts else None,
            dumped=segment.dumped,
            kernel=segment.kernel,
        )
        part.marks = [(0, 0, 0)] * len(part.threads)
        if not parts:
            part.rows, part.pid, part.crashed_lwp = segment.rows, segment.pid, segment.crashed_lwp
        parts.append(part)
    return parts


# --------------------------------------------------------------------------------------------------------------
# One process


def _snapshot(segment: Segment) -> Snapshot:
    snapshot = Snapshot(source=Source(kind="text", pid=segment.pid))
    snapshot.threads = segment.threads
    snapshot.messages = segment.messages
    snapshot.unparsed = segment.unparsed
    snapshot.program = segment.program
    snapshot.command_line = segment.command_line
    if segment.dialects:
        snapshot.source.dialect = max(segment.dialects, key=lambda d: segment.dialects[d])
    if segment.kernel and (not segment.threads or snapshot.source.dialect == "kernel"):
        snapshot.source.dialect = "kernel"
    _rows(snapshot, segment)
    for thread in snapshot.threads:
        _finish_thread(thread, id(thread) in segment.dumped)
    _signal(snapshot, segment)
    _messages_of_frames(snapshot)
    if len(snapshot.threads) == 1:
        for message in snapshot.messages:
            message.thread = 0
    _identity(snapshot)
    snapshot.source.debug_info = _debug_info(snapshot)
    if any(t.truncated_top or t.truncated_bottom for t in snapshot.threads):
        snapshot.notices.append(_truncation(snapshot.threads))
    return snapshot


def _messages_of_frames(snapshot: Snapshot) -> None:
    """Add what the stacks' arguments tell, and say which thread each message is of."""
    told = list(snapshot.messages)
    for index, thread in enumerate(snapshot.threads):
        if thread.history:
            continue
        for message in messages_from_frames(thread):
            message.thread = index
            twin = next((m for m in told if _same_message(m, message)), None)
            if twin is None:
                snapshot.messages.append(message)
                continue
            twin.thread = index
            twin.function = twin.function or message.function
            twin.file = twin.file or message.file
            twin.line = twin.line if twin.line is not None else message.line
            twin.expression = twin.expression or message.expression
    for message in told:
        if message.thread is None and message.function:
            for index, thread in enumerate(snapshot.threads[:1000]):
                if not thread.history and any(
                    canonical_name(f.function) == message.function for f in thread.frames[:16]
                ):
                    message.thread = index
                    break


def _same_message(told: Message, shown: Message) -> bool:
    """Whether a line of the text is what a frame's arguments show too."""
    assertions = ("assertion", "glib")
    if told.kind in assertions and shown.kind in assertions:
        return told.expression == shown.expression or (told.line is not None and told.line == shown.line)
    return told.kind == shown.kind


def _rows(snapshot: Snapshot, segment: Segment) -> None:
    """Merge the table of ``info threads``."""
    if not segment.rows:
        return
    by_number = {t.number: t for t in snapshot.threads if t.number is not None}
    for number, row in segment.rows.items():
        thread = by_number.get(number)
        if thread is None and row.current:
            # the stack below the table is the current thread's
            anonymous = [
                t for t in snapshot.threads if t.number is None and t.lwp is None and not t.coroutine and not t.history
            ]
            if anonymous and row.frames and anonymous[0].frames and _same_stack(row, anonymous[0]):
                thread = anonymous[0]
                thread.number = number
        if thread is not None:
            thread.lwp = thread.lwp if thread.lwp is not None else row.lwp
            thread.name = thread.name or row.name
            thread.current = thread.current or row.current
            if not thread.heading:
                thread.heading = row.heading
        elif row.frames:
            snapshot.threads.append(row)
            segment.dumped.add(id(row))


def _finish_thread(thread: Thread, dumped: bool) -> None:
    frames = thread.frames
    _kinds(frames)
    first, last = frames[0], frames[-1]
    thread.truncated_top = thread.truncated_top or first.level > 0
    names = [canonical_name(f.function) for f in frames[-4:]]
    ends = any(name in OUTERMOST for name in names) or (last.pc == 0 and len(frames) > 1)
    if not ends and last.function is None and first.kind != "jit" and len(frames) > 2:
        # a stripped libc's thread start or main has no name
        ends = last.library is not None or any(f.function is None and f.library for f in frames[-2:])
    if ends and not thread.truncated_bottom:
        thread.truncated_bottom = False
    elif not ends:
        thread.truncated_bottom = True
    if thread.stop_reason and ends:
        thread.truncated_bottom = False
    if frames and all(f.pc == 0 and f.function is None for f in frames):
        thread.kernel_only = True
        thread.truncated_bottom = False
    if not dumped and not thread.history:
        tail = [canonical_name(f.function) for f in frames[-6:]]
        if thread.coroutine:
            pass
        elif (
            any(name in ("coroutine_trampoline", "coroutine_bootstrap") for name in tail)
            and not any(
                name in ("start_thread", "clone", "clone3", "main", "thread_start", "_pthread_start") for name in tail
            )
            or (
                thread.number is None
                and thread.lwp is None
                and canonical_name(frames[0].function) in ("qemu_coroutine_switch", "qemu_coroutine_yield")
            )
        ):
            thread.coroutine = True


def _kinds(frames: List[Frame]) -> None:
    """Mark inlined frames and generated code."""
    with_pc = 0
    for frame in frames:
        with_pc += frame.pc is not None
        name = frame.function
        if name is not None and name.startswith("code_gen_buffer"):
            frame.kind = "jit"
    if with_pc * 3 >= len(frames):
        inner: Optional[Frame] = None
        for frame in frames:
            # a frame that has no address, or the same, called nothing: the one inside it was inlined into it
            if (
                inner is not None
                and inner.kind == "normal"
                and frame.level == inner.level + 1
                and (frame.pc is None or (frame.pc == inner.pc and frame.pc != 0))
                and frame.function is not None
                and inner.function is not None
                and frame.kind == "normal"
                and (frame.pc is None or frame.function != inner.function or bool(frame.args))
            ):
                inner.kind = "inline"
            inner = frame
    for index, frame in enumerate(frames):
        if index and canonical_name(frame.function) == "cpu_tb_exec":
            for above in reversed(frames[max(0, index - 4) : index]):
                if above.function is not None:
                    break
                if above.kind in ("normal", "inline"):
                    above.kind = "jit"


def _signal(snapshot: Snapshot, segment: Segment) -> None:
    chosen: Optional[Signal] = None
    for signal in segment.signals:
        fatal = signal.name in messages.FATAL
        if chosen is None or fatal or chosen.name not in messages.FATAL:
            if chosen is not None and chosen.name == signal.name:
                chosen.address = chosen.address if chosen.address is not None else signal.address
                if chosen.code is None:
                    chosen.code = signal.code
                continue
            # what the shell says of the same death adds nothing
            if chosen is not None and chosen.name in messages.FATAL and "core dumped" in signal.text:
                continue
            chosen = signal
    snapshot.signal = chosen
    threads = snapshot.threads
    if segment.crashed_lwp is not None:
        for thread in threads:
            if thread.lwp == segment.crashed_lwp:
                thread.crashed = thread.current = True
    if chosen is None or chosen.name not in messages.FATAL:
        return
    if any(t.crashed for t in threads):
        for thread in threads:
            if thread.crashed:
                thread.signal = chosen
        return
    if snapshot.source.dialect == "coredumpctl" and threads:
        # systemd-coredump puts the thread that died first
        threads[0].crashed = threads[0].current = True
        threads[0].signal = chosen
        return
    here = [t for t in threads if not t.history]
    for chosen_by in (lambda t: t.current, lambda t: chosen.name == "SIGABRT" and _fatal(t)):
        some = [t for t in here if chosen_by(t)]
        if len(some) == 1:
            here = some
            break
    if len(here) == 1:
        here[0].crashed = here[0].current = True
        here[0].signal = chosen


def _identity(snapshot: Snapshot) -> None:
    """Program, version, command line and accelerator, from whatever tells them."""
    paths: Counter[Tuple[str, str]] = Counter()
    for thread in snapshot.threads[:400]:
        for frame in thread.frames[:200]:
            for place in (frame.file, frame.library):
                if place and "qemu" in place:
                    match = _VERSION_IN_PATH.search(place)
                    if match is not None:
                        rest = (match.group("rest") or "").rstrip("-.")
                        paths[(match.group("version"), rest)] += 1
    if paths:
        (version, rest), _ = paths.most_common(1)[0]
        snapshot.version = version
        if rest and not re.match(r"-[a-z_]+$", rest):
            snapshot.package = version + rest
    lines = (
        snapshot.unparsed
        if len(snapshot.unparsed) < 20_000
        else snapshot.unparsed[:10_000] + snapshot.unparsed[-10_000:]
    )
    said: Dict[int, List[Tuple[str, Optional[str]]]] = {}
    for index, line in enumerate(lines):
        if "qemu" not in line and "QEMU" not in line and "Qemu" not in line and "kvm" not in line:
            continue
        line = line[:4000]
        for rank, pattern in enumerate(_VERSION_SAID):
            match = pattern.search(line)
            if match is not None:
                groups = match.groupdict()
                package = groups.get("package")
                if package and package[:1] in "-+":
                    package = match.group("version") + package
                said.setdefault(rank, []).append((match.group("version"), package))
                break
        if snapshot.command_line is None:
            _command(snapshot, lines, index)
    for rank in sorted(said):
        versions = {version for version, _ in said[rank]}
        if snapshot.version is not None:
            fitting = [p for v, p in said[rank] if v == snapshot.version and p]
            if fitting and snapshot.package is None:
                snapshot.package = fitting[0]
        elif len(versions) == 1:
            snapshot.version, snapshot.package = said[rank][0]
    _program(snapshot)
    if snapshot.command_line is not None:
        snapshot.accelerator = _accelerator(snapshot.command_line)


def _command(snapshot: Snapshot, lines: List[str], index: int) -> None:
    """Take the command line that begins in ``lines[index]``, if one does."""
    line = lines[index].strip()[:100_000]
    match = _STARTING.search(line)
    command = match.group("command") if match is not None else line.lstrip("$#%> ")
    found = _COMMAND.search(command) or _COMMAND_BARE.match(command)
    if found is None:
        return
    text = found.group("command").strip()
    for below in lines[index + 1 : index + 40]:
        below = below.strip()[:10_000]
        if (
            _NO_ARGUMENT.match(below)
            or not (below.startswith("-") and not below.startswith(("->", "---")))
            and not _GOES_ON.search(text)
        ):
            break
        text = f"{text.rstrip(chr(92)).rstrip()} {below}"
    arguments = text[len(found.group("command").strip()) - len(found.group("arguments").strip()) :].strip()
    if match is None and not re.match(r"['\"]?-", arguments):
        return
    snapshot.command_line = text.rstrip("`\\").strip()
    if snapshot.program is None:
        snapshot.program = found.group("program")


def _program(snapshot: Snapshot) -> None:
    if snapshot.program is not None:
        snapshot.program = snapshot.program.strip("`'\"")
        if snapshot.program.endswith(".exe"):
            snapshot.program = snapshot.program[:-4]
    full = snapshot.program if snapshot.program and len(snapshot.program) != 15 else None
    if full is not None:
        return
    candidates: List[str] = []
    if snapshot.command_line:
        word = re.split(r"[\\/]", snapshot.command_line.split(" ")[0])[-1]
        candidates.append(word)
    for message in snapshot.messages:
        match = _ASSERT_PROGRAM.match(message.text)
        if match is not None and match.group("program") != "qemu":
            candidates.append(match.group("program").rsplit("/", 1)[-1])
    for thread in snapshot.threads[:400]:
        for frame in thread.frames[:100]:
            if frame.library:
                word = re.split(r"[\\/]", frame.library)[-1]
                if ".so" not in word and ".dylib" not in word:
                    candidates.append(word)
    candidates.extend(t.name for t in snapshot.threads if t.name)
    for word in candidates:
        word = word[:-4] if word.endswith(".exe") else word
        if _PROGRAM_NAME.match(word) and (snapshot.program is None or word.startswith(snapshot.program)):
            if len(word) == 15 and word.startswith("qemu-system-x86"):
                snapshot.program = snapshot.program or word
                continue
            snapshot.program = word
            return


def _accelerator(command_line: str) -> Optional[str]:
    found: List[str] = []
    for match in _ACCELERATOR.finditer(command_line[:100_000]):
        if match.group("name") != "qtest":
            found.append(match.group("name") + (match.group("more") or ""))
    if re.search(r"(?:^|\s)--?enable-kvm\b", command_line):
        found.append("kvm")
    names = set(found)
    if len(names) == 1:
        name = names.pop()
        return name if ":" not in name else None
    return None


def _debug_info(snapshot: Snapshot) -> str:
    named = files = total = 0
    for thread in snapshot.threads[:400]:
        for frame in thread.frames[:200]:
            if frame.kind in ("signal", "jit"):
                continue
            total += 1
            named += frame.function is not None
            files += frame.file is not None
    if not total or not named:
        return "none"
    if files * 10 >= total * 6:
        return "full"
    return "partial" if files * 10 >= total * 2 else "symbols"


def _truncation(threads: List[Thread]) -> Notice:
    cut = [t for t in threads if t.truncated_top or t.truncated_bottom]
    words = []
    for thread in cut[:5]:
        label = (
            f"thread {thread.number}"
            if thread.number is not None
            else f"LWP {thread.lwp}"
            if thread.lwp is not None
            else "a stack"
        )
        if thread.truncated_top:
            words.append(f"{label} begins at frame #{thread.frames[0].level}")
        if thread.truncated_bottom:
            words.append(f"{label} ends before its outermost frame")
    more = f" and {len(cut) - 5} more" if len(cut) > 5 else ""
    return Notice("notice.truncated", "; ".join(words) + more)
