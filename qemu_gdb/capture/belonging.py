"""Which stacks and signals of a text belong to one process, and which stacks are the same one shown twice."""

from __future__ import annotations

from typing import Dict, List, Optional, Set, Tuple

from qemu_gdb.capture import kernel_part
from qemu_gdb.capture.segment import Segment
from qemu_gdb.linux import KERNEL_FAULT
from qemu_gdb.model import Frame, Signal, Thread, canonical_name
from qemu_gdb.pattern import Pattern

# Functions that a complete stack ends in: glibc, musl, the BSDs, macOS, Windows, Wine, and a coroutine's first frame.
OUTERMOST = frozenset(
    canonical_name(name) for name in (
        "main", "_start", "start", "start_c", "start_thread", "clone", "clone3", "thread_start", "_pthread_start",
        "__start_context", "makecontext", "coroutine_trampoline", "coroutine_bootstrap", "libc_start_main",
        "libc_start_call_main", "libc_start_main_impl", "libc_start_main_stage2", "__libc_start_main_impl",
        "generic_start_main", "__libc_csu_init", "pthread__create_tramp", "__start_thread", "__pthread_start",
        "BaseThreadInitThunk", "RtlUserThreadStart", "BaseProcessStart", "call_thread_func", "__mingw_CRTStartup",
        "__tmainCRTStartup", "mainCRTStartup", "WinMainCRTStartup", "_beginthreadex", "start_wqthread",
        "_pthread_wqthread", "__bthread_start", "__pthread_trampoline", "_dyld_start", "__clone", "__clone2",
        "process_start", "call_process_entry", "___start", "__start", "makecontext_stub", "runtime.goexit",
        "ret_from_fork", "entry_SYSCALL_64_after_hwframe", "__thread_start", "_thread_start", "thread_start_stub",
        "_lwp_start", "_thrp_setup",
    )
)  # fmt: skip
_GIVES_UP = frozenset(
    ["abort", "raise", "gsignal", "__assert_fail", "__assert_rtn", "__pthread_kill", "pthread_kill", "_lwp_kill"]
)
_QEMUS = Pattern(r"(?i)qemu|kvm|tcg|^CPU \d|virtiofsd")  # names of its programs and threads
_PAUSE_TOP = 3  # frames from the top among which raise or abort stands in a stack that gave up


def processes(segments: List[Segment]) -> List[Segment]:
    """``segments`` again, one for each process, those that are no user-space process last."""
    kernel_part.separate(segments)
    parts: List[Segment] = []
    for segment in segments:
        _drop_printed(segment)
        parts.extend(_split(segment))
    parts = [piece for part in parts for piece in _without_foreign(part)]
    parts.sort(key=lambda part: bool(part.foreign))
    return _fold(parts) if len(parts) > 1 else parts


def _fold(parts: List[Segment]) -> List[Segment]:
    """Give what stands between stacks, without a stack of its own, to the process before it or after it."""
    folded: List[Segment] = []
    for part in parts:
        if folded and not part.threads and not part.rows:
            last = folded[-1]
            last.unparsed.extend(part.unparsed)
            last.notices.extend(part.notices)
            for message in part.messages:
                last.add_message(message)
            last.signals.extend(part.signals)
            last.command_line = last.command_line or part.command_line
        elif folded and not folded[-1].threads and not folded[-1].rows and part is not folded[-1]:
            before = folded.pop()
            part.unparsed[:0] = before.unparsed
            part.notices[:0] = before.notices
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
    segment.foreign -= {id(t) for t in segment.threads if kernel_part.is_of(segment, t)}
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


def _key(frame: Frame) -> Tuple[str, Optional[int]]:
    return canonical_name(frame.function), frame.pc


def same_stack(one: Thread, other: Thread) -> bool:
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
    """Whether an address or an argument shows the two to be the same: idle threads all have the same functions.

    The one frame that gdb shows where it stops has neither where it has a source line and no arguments.
    """
    mine, theirs = one.frames[0], other.frames[0]
    place, alone = (mine.level, mine.file, mine.line), 1 in (len(one.frames), len(other.frames))
    if alone and None not in place and place == (theirs.level, theirs.file, theirs.line):
        return True
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
                    and same_stack(threads[other], thread)
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
            if same_stack(other_thread, thread) or len(thread.frames) == 1 or len(other_thread.frames) == 1:
                numbered = other_thread.number is not None or thread.number is None
                if (
                    same_stack(other_thread, thread)
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
        fatal = gives_up(thread)
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
        and same_stack(longer, thread)
        and _share_values(longer, thread)
    )


def gives_up(thread: Thread) -> bool:
    """Whether the stack, whole at its top, ends in abort or raise."""
    return thread.frames[0].level == 0 and any(
        canonical_name(f.function) in _GIVES_UP for f in thread.frames[:_PAUSE_TOP]
    )


def own_signals(signals: List[Signal], threads: List[Thread]) -> List[Signal]:
    """``signals`` without the kernel's lines of faults of other processes: the host and the guest run some."""
    lwps = {thread.lwp for thread in threads}
    names = {thread.name for thread in threads}
    return [signal for signal in signals if not threads or not _of_another(signal.text, lwps, names)]


def _of_another(line: str, lwps: Set[Optional[int]], names: Set[Optional[str]]) -> bool:
    """Whether a kernel's line of a fault is of a process with none of these threads."""
    fault = KERNEL_FAULT.search(line)
    if fault is None:
        return False
    name = fault.group("comm").strip()
    if _QEMUS.search(name) or int(fault.group("tid")) in lwps or name in names:
        return False
    program = fault.group("object") or ""
    if program and ".so" not in program:
        return _QEMUS.search(program) is None
    return all(names)


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
            part.rows, part.pid = segment.rows, segment.pid
            part.notices = segment.notices
        parts.append(part)
    return parts
