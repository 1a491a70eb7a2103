"""Makes a Snapshot of each process that a text shows: its threads, what they are, how it died."""

from __future__ import annotations

from typing import List, Optional, Tuple

from qemu_gdb.capture import belonging, messages, order
from qemu_gdb.capture.frame_messages import messages_from_frames
from qemu_gdb.capture.identity import identify
from qemu_gdb.capture.segment import Segment
from qemu_gdb.model import Frame, Message, Notice, Signal, Snapshot, Source, Thread, canonical_name


def finish(segments: List[Segment]) -> List[Snapshot]:
    """The Snapshots of ``segments``, in the order of the text; never empty."""
    for segment in segments:
        order.straighten(segment)
    parts = belonging.processes(segments)
    return [_snapshot(part) for part in parts] or [Snapshot(source=Source(kind="text"))]


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
    identify(snapshot)
    snapshot.source.debug_info = _debug_info(snapshot)
    snapshot.notices.extend(segment.notices)
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
            message.thread = _thread_of(message.function, snapshot.threads[:1000])


# libc, GLib and macOS's C library: what a failed check calls
_GIVES_UP = ("abort", "raise", "__assert", "_assert", "assert", "g_assert", "__pthread_kill", "pthread_kill", "gsignal")


def _thread_of(function: str, threads: List[Thread]) -> Optional[int]:
    """Index of the thread in which a function wrote its last words: of several that are in it, the one that gave up."""
    found: Optional[int] = None
    for index, thread in enumerate(threads):
        names = [] if thread.history else [canonical_name(f.function) for f in thread.frames[:16]]
        if function not in names:
            continue
        if thread.crashed or any(name.startswith(_GIVES_UP) for name in names[: names.index(function)]):
            return index
        found = index if found is None else found
    return found


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
    shown = _shown_row(snapshot, segment)
    for number, row in segment.rows.items():
        thread = by_number.get(number)
        if thread is None and row.current:
            # the stack below the table is the current thread's
            anonymous = [
                t for t in snapshot.threads if t.number is None and t.lwp is None and not t.coroutine and not t.history
            ]
            if anonymous and row.frames and anonymous[0].frames and belonging.same_stack(row, anonymous[0]):
                thread = anonymous[0]
                thread.number = number
        elif thread is None and shown is not None and row is shown[0]:
            thread = shown[1]
            thread.number, thread.current = number, True
        if thread is not None:
            thread.lwp = thread.lwp if thread.lwp is not None else row.lwp
            thread.name = thread.name or row.name
            thread.current = thread.current or row.current
            if not thread.heading:
                thread.heading = row.heading
        elif row.frames:
            snapshot.threads.append(row)
            segment.dumped.add(id(row))


def _shown_row(snapshot: Snapshot, segment: Segment) -> Optional[Tuple[Thread, Thread]]:
    """The one row, of a table that marks none, that stands where the only stack without a number does; and the stack.

    A screen of gdb shows the threads and, above or below them, the stack of the current one.
    """
    nameless = [t for t in snapshot.threads if t.number is None and t.lwp is None and not t.coroutine and not t.history]
    if len(nameless) != 1 or any(row.current for row in segment.rows.values()):
        return None
    pc = nameless[0].frames[0].pc
    same = [row for row in segment.rows.values() if row.frames and pc and row.frames[0].pc == pc]
    return (same[0], nameless[0]) if len(same) == 1 else None


def _finish_thread(thread: Thread, dumped: bool) -> None:
    frames = thread.frames
    _kinds(frames)
    first, last = frames[0], frames[-1]
    thread.truncated_top = thread.truncated_top or first.level > 0
    names = [canonical_name(f.function) for f in frames[-4:]]
    ends = any(name in belonging.OUTERMOST for name in names) or (last.pc == 0 and len(frames) > 1)
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


_RUNS_CODE = ("cpu_exec", "cpu_exec_loop", "cpu_loop_exec_tb", "cpu_exec_setjmp", "tcg_cpus_exec", "tcg_cpu_exec")
_HELPERS = ("helper_", "do_ld", "do_st", "cpu_ld", "cpu_st", "full_ld", "full_st", "store_helper", "load_helper")


def _catches(function: Optional[str]) -> bool:
    """Whether a function is libFuzzer's for a signal (FuzzerLoop.cpp): what called it is the kernel's trampoline."""
    return function is not None and function.startswith("fuzzer::Fuzzer::") and "Callback" in function


def _kinds(frames: List[Frame]) -> None:
    """Mark inlined frames and generated code."""
    with_pc = 0
    inner_name: Optional[str] = None
    for frame in frames:
        with_pc += frame.pc is not None
        name = frame.function
        if name is not None and name.startswith("code_gen_buffer"):
            frame.kind = "jit"
        elif name is None and _catches(inner_name):
            frame.kind = "signal"
        inner_name = name
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
        name = canonical_name(frame.function)
        # accel/tcg/cpu-exec.c: cpu_tb_exec calls the code; where it was inlined, a helper stands right inside the code
        calls = name == "cpu_tb_exec" or (
            name in _RUNS_CODE and index > 1 and frames[index - 1].function is None
            and canonical_name(frames[index - 2].function).startswith(_HELPERS)
        )
        if index and calls:
            for above in reversed(frames[max(0, index - 4) : index]):
                if above.function is not None:
                    break
                if above.kind in ("normal", "inline"):
                    above.kind = "jit"


_MAIN_NAMES = ("qemu", "kvm")  # of a process's first thread, which is called as its program is


def _is_main(thread: Thread) -> bool:
    return any(canonical_name(f.function) in ("main", "_start") for f in thread.frames[-4:])


def _signal(snapshot: Snapshot, segment: Segment) -> None:
    chosen: Optional[Signal] = None
    threads = snapshot.threads
    signals = belonging.own_signals(segment.signals, threads)
    for signal in signals:
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
    faults = [fault for fault in (messages.kernel_thread(signal.text) for signal in signals) if fault is not None]
    if faults:
        name, lwp = faults[-1]
        alone = len(threads) == 1 and threads[0].lwp is None and not threads[0].history
        if alone and (name.startswith(_MAIN_NAMES) or not _is_main(threads[0])):
            threads[0].lwp = lwp
        for thread in threads:
            if thread.lwp == lwp:
                thread.name = thread.name or name
                thread.crashed = thread.current = True
    if chosen is None or chosen.name not in messages.FATAL:
        here = [t for t in threads if not t.history]
        if chosen is None and segment.dumped_core and (snapshot.source.dialect == "coredumpctl" or len(here) == 1):
            for thread in here[:1]:  # the record tells no signal, but it is one of a crash
                thread.crashed = thread.current = True
        return
    taken = [t for t in threads if t.crashed]
    if len(taken) > 1:  # lldb gives the signal of a core to every thread as its stop reason
        those = [t for t in taken if chosen.name == "SIGABRT" and belonging.gives_up(t)] or [
            t for t in taken if t.current
        ]
        for thread in taken if len(those) == 1 else ():
            thread.crashed = thread is those[0]
            thread.signal = chosen if thread.crashed else None
    if taken:
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
    core = "terminated with signal" in chosen.text  # gdb gives the thread that died in a core the number 1
    for chosen_by in (
        lambda t: t.current,
        lambda t: core and t.number == 1,
        lambda t: chosen.name == "SIGABRT" and belonging.gives_up(t),
    ):
        some = [t for t in here if chosen_by(t)]
        if len(some) == 1:
            here = some
            break
    if len(here) == 1:
        here[0].crashed = here[0].current = True
        here[0].signal = chosen


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
    if 1 < len(cut) == len(threads) and all(len(t.frames) == 1 and not t.truncated_top for t in threads):
        return Notice("notice.truncated", "each thread's outer frames are missing")
    words = []
    nameless = [t for t in cut if t.number is None and t.lwp is None and not t.truncated_top]
    if len(nameless) > 1:  # they end too early, and can't be told apart
        cut = [t for t in cut if not any(t is other for other in nameless)]
        words.append(f"{len(nameless)} stacks end before their outermost frames")
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
