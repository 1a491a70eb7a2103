"""Stacks of tools that show them as tables, trees or single lines: screens of gdb, profilers, Android, minidumps."""

from __future__ import annotations

from typing import List, Optional

from qemu_gdb.capture import messages
from qemu_gdb.capture.dialects import android, chains, dashboards, minidump, trees
from qemu_gdb.capture.reading.state import Head, Reading, Taken
from qemu_gdb.model import Frame, Thread
from qemu_gdb.pattern import Pattern

_MAX_CHAINS = 2000
_FEWEST_ROOTLESS = 6  # functions of a chain of which no end is a thread's first function
_MI_COMMAND = Pattern(
    r"\d{0,9}-(?:thread-select (?P<selected>\d{1,9})|stack-list-frames\b.*--thread (?P<thread>\d{1,9})"
    r"|(?:stack|thread|exec|data|gdb|var|break|interpreter|target|file|list)-[a-z-]+)\b"
)


def _stack(reading: Reading, head: Head, found: List[Frame], dialect: str) -> None:
    """Take a whole stack, innermost frame first."""
    reading.flush()
    reading.end_stack()
    reading.mode = ""
    reading.head = head
    for level, frame in enumerate(found):
        frame.level = level
        reading.add(frame, dialect)
    reading.end_stack()


def tombstone(reading: Reading, line: str, stripped: str) -> Taken:
    """``pid: 18210, tid: 18214, name: CPU 0/TCG  >>> qemu-system-x86_64 <<<``, above each of Android's threads."""
    found = android.heading(stripped)
    if found is None:
        return False
    reading.end_stack()
    segment = reading.segment
    first = not segment.threads  # the one that died
    segment.pid, segment.program = found.pid, segment.program or found.program
    reading.head = Head(lwp=found.tid, name=found.name, text=stripped[:500], current=first, dump=True)
    return True


def screen(reading: Reading, line: str, stripped: str) -> Taken:
    """gdb-dashboard's stack and threads, gef's threads."""
    if stripped == "[+]":  # gdb-dashboard: there is more
        if reading.thread is not None:
            reading.thread.truncated_bottom = True
            reading.end_stack()
        return True
    row = dashboards.row(stripped) if " id " in stripped[:12] or " Id " in stripped[:12] else None
    if row is None:
        frame = dashboards.frame(stripped) if "] from 0x" in stripped[:16] else None
        if frame is not None:
            reading.add(frame, "dashboard")
        return frame is not None
    reading.end_stack()
    if len(reading.segment.rows) < 100_000:
        reading.segment.rows[row.number] = Thread(
            frames=[row.frame] if row.frame is not None else [],
            number=row.number,
            lwp=row.lwp,
            name=row.name,
            heading=stripped[:500],
            truncated_bottom=True,
        )
    if row.reason is not None and not reading.segment.signals:
        signal = messages.signal_named(row.reason, None, stripped) if row.reason.startswith("SIG") else None
        if signal is not None:
            reading.segment.add_signal(signal)
    return True


def sampled(reading: Reading, line: str, stripped: str) -> Taken:
    """The tree of one thread of macOS' sample: its heaviest branch is the stack."""
    if "Thread_" not in stripped:
        return False
    thread = trees.sampled_thread(stripped)
    if thread is None:
        return False
    found, reading.at = trees.sampled(reading.lines, reading.at)
    if found:
        head = Head(lwp=thread.id, name=thread.name, text=stripped[:500], dump=True)
        _stack(reading, head, found[::-1], "sample")
    return True


def reported(reading: Reading, line: str, stripped: str) -> Taken:
    """``---qemu_main_loop``, where a tree of perf report begins; its first branch is the heaviest."""
    if not trees.root(stripped):
        return False
    found, end = trees.reported(line, reading.lines, reading.at)
    if len(found) < chains.FEWEST:
        return False
    reading.at = end
    above = reading.above
    reading.above = None
    if above is None or above not in reading.reported:  # the first row of each thread is the heaviest
        reading.reported.add(above or "")
        _stack(reading, Head(name=above, dump=True), found, "perf")
    return True


def perf_row(reading: Reading, line: str, stripped: str) -> Taken:
    """A row of perf report, above its tree."""
    match = trees.PERF_ROW.match(stripped) if "%" in stripped[:8] else None
    if match is None:
        return False
    reading.end_stack()
    reading.above = match.group("comm")
    reading.segment.note(line)
    return True


def minidump_thread(reading: Reading, line: str, stripped: str) -> Taken:
    """``Thread 2 (crashed)``, above a stack of minidump_stackwalk."""
    match = minidump.THREAD.match(stripped)
    below = reading.below()
    if match is None or not below.startswith("0  ") or minidump.frame(below) is None:
        return False
    reading.end_stack()
    crashed = match.group("crashed") is not None
    reading.mode = "minidump"
    reading.head = Head(
        number=int(match.group("number")),
        lwp=int(match.group("tid")) if match.group("tid") else None,
        name=match.group("name"),
        text=stripped[:500],
        crashed=crashed,
        current=crashed,
        dump=True,
    )
    return True


def minidump_frame(reading: Reading, line: str, stripped: str) -> Taken:
    """`` 0  qemu-system-x86_64!virtio_net_flush_tx [virtio-net.c : 2700 + 0x5]``, with what stands below it."""
    if reading.mode != "minidump":
        return False
    frame = minidump.frame(stripped)
    if frame is None:
        return False
    reading.add(frame, "minidump")
    while reading.at < len(reading.lines) and minidump.BELOW.match(reading.lines[reading.at]):
        reading.at += 1
    return True


def abseil(reading: Reading, line: str, stripped: str) -> Taken:
    """``PC: @ 0x55bbc3a1b2c3 (unknown) f``, then a line without ``PC:`` for each frame."""
    program_counter = stripped.startswith("PC: @")
    if not program_counter and reading.mode != "abseil":
        return False
    thread = reading.thread if reading.mode == "abseil" and reading.head is None and not program_counter else None
    frame = minidump.abseil(stripped, len(thread.frames) if thread is not None else 0)
    if frame is None:
        return False
    if program_counter or thread is None:
        reading.end_stack()
        reading.mode = "abseil"
        reading.head = Head(text=stripped[:500], current=True, dump=True)
    elif frame.pc == thread.frames[0].pc:  # what stands between was the handler
        del thread.frames[1:]
        return True
    elif frame.function is None and len(thread.frames) == 1:
        return True  # the signal's trampoline
    reading.add(frame, "abseil")
    return True


def command(reading: Reading, line: str, stripped: str) -> Taken:
    """``-stack-list-frames --thread 3``, ``-thread-select 3``: commands of gdb's machine interface."""
    match = _MI_COMMAND.match(stripped)
    if match is None:
        return False
    reading.end_stack()
    number = match.group("thread") or match.group("selected")
    if number is not None:
        reading.selected = Head(number=int(number), text=stripped[:500])
        reading.head = None
        reading.display = None
    return True


def chain(reading: Reading, line: str, stripped: str) -> bool:
    """``main thread: ppoll <- qemu_poll_ns <- ... <- main`` and folded stacks: kept for a text without other stacks."""
    found: Optional[chains.Chain] = None
    arrow = chains.separator(stripped)
    if arrow is not None and reading.at > reading.unchained:
        text, end = stripped, reading.at
        while end < len(reading.lines) and end - reading.at < 100:
            below = reading.lines[end].strip()
            if not below or not (text.endswith(arrow) or below.startswith(arrow)):
                break
            text, end = f"{text} {below}", end + 1
        found = chains.read(text)
        if found is not None:
            reading.at = end
        else:
            reading.unchained = end  # what was looked at in vain is not looked at again
    elif arrow is None and ";" in stripped and stripped[-1].isdigit():
        found = chains.folded(stripped)
    if found is None or not (found.rooted or len(found.frames) >= _FEWEST_ROOTLESS):
        return False
    if len(reading.chains) < _MAX_CHAINS:
        reading.chains.append(found)
    reading.segment.note(line)
    return True


def use_chains(reading: Reading) -> None:
    """Make threads of the chains where the text shows no other stack; of one thread's folded stacks the heaviest."""
    if not reading.chains or any(segment.threads or segment.rows for segment in reading.segments):
        return
    kept: List[chains.Chain] = []
    heaviest: dict[tuple[Optional[str], tuple[Optional[str], ...]], int] = {}
    for found in reading.chains:
        if found.weight is not None:
            key = (found.name, tuple(frame.function for frame in found.frames[-3:]))
            if key in heaviest:
                if (kept[heaviest[key]].weight or 0) < found.weight:
                    kept[heaviest[key]] = found
                continue
            heaviest[key] = len(kept)
        kept.append(found)
    for found in kept:
        head = Head(number=found.number, name=found.name, dump=found.weight is not None)
        _stack(reading, head, found.frames, "chain" if found.weight is None else "folded")
