"""Turns a pasted backtrace into Snapshots, one for each process or dump in the text, for whoever has only text."""

from __future__ import annotations

import re
from typing import List, Optional

from qemu_gdb.capture.dialects import gdb
from qemu_gdb.model import Frame, Signal, Snapshot, Source, Thread

_FRAME = re.compile(r"\s*#(\d{1,7})(?=\s|0x|\w|<|\?)\s*(.*)")
_THREAD = re.compile(r"\s*Thread (\d+) (.*)")
_LWP = re.compile(r"\bLWP (\d+)")
_NAME = re.compile(r'"([^"]*)"')
_SIGNAL = re.compile(r"\b(SIG[A-Z0-9]+)\b|terminated with signal (\d+)")
_OUTERMOST = frozenset(
    "main _start start_thread clone clone3 thread_start _pthread_start start __libc_start_main __libc_start_call_main"
    " __libc_start_main_impl coroutine_trampoline makecontext".split()
)


class UnreadableText(ValueError):
    """The input is no text that could hold a stack."""


def read(data: bytes) -> str:
    """Decode a pasted text."""
    return data.decode("utf-8", "replace")


def parse(text: str) -> List[Snapshot]:
    """One Snapshot for each process in ``text``; never empty."""
    snapshot = Snapshot(source=Source(kind="text", dialect="gdb"))
    thread: Optional[Thread] = None
    level = -1
    pending: List[str] = []

    def flush() -> None:
        nonlocal thread, level
        if level < 0:
            return
        frame: Optional[Frame] = gdb.parse_frame(level, " ".join(pending))
        if frame is not None:
            if thread is None or (thread.frames and frame.level <= thread.frames[-1].level):
                thread = Thread()
                snapshot.threads.append(thread)
            thread.frames.append(frame)
        level = -1
        pending.clear()

    for line in text.splitlines():
        match = _FRAME.match(line)
        if match:
            flush()
            level = int(match.group(1))
            pending.append(match.group(2))
            continue
        stripped = line.strip()
        head = _THREAD.match(line)
        if head:
            flush()
            signal = _SIGNAL.search(line)
            thread = Thread(number=int(head.group(1)), heading=stripped)
            lwp = _LWP.search(line)
            if lwp:
                thread.lwp = int(lwp.group(1))
            name = _NAME.search(line)
            if name:
                thread.name = name.group(1)
            if "received signal" in line and signal:
                snapshot.signal = Signal(name=signal.group(1), text=stripped)
                thread = None
            else:
                snapshot.threads.append(thread)
            continue
        if level >= 0 and stripped and not stripped.startswith(("(gdb)", "--Type", "[")):
            if not re.search(r"(?:\) at \S+:\d+|\) from \S+)$", pending[-1] if pending else ""):
                pending.append(stripped)
                continue
        flush()
        if stripped.startswith("Program ") and "signal" in stripped:
            signal = _SIGNAL.search(line)
            if signal:
                snapshot.signal = Signal(name=signal.group(1), text=stripped)
                if signal.group(2):
                    snapshot.signal.number = int(signal.group(2))
        elif stripped:
            snapshot.unparsed.append(line)
    flush()
    snapshot.threads = [t for t in snapshot.threads if t.frames]
    for t in snapshot.threads:
        t.truncated_top = t.frames[0].level > 0
        t.truncated_bottom = t.frames[-1].name not in _OUTERMOST
    return [snapshot]
