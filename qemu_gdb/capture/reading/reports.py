"""Headings and stacks of crash reporters and checkers: sanitizers, valgrind, systemd, abrt, macOS, Windows, Go."""

from __future__ import annotations

import re

from qemu_gdb.capture import messages
from qemu_gdb.capture.dialects import apple, foreign, sanitizer, windows
from qemu_gdb.capture.dialects import reports as dialect
from qemu_gdb.capture.reading import kernels
from qemu_gdb.capture.reading.state import Head, Reading, Taken
from qemu_gdb.pattern import Pattern

_STACK_OF = Pattern(
    r"(?:Stack trace of|Backtrace of|Stack of) thread (?P<lwp>\d{1,10})\b(?P<rest>[^#]*)", re.IGNORECASE
)
_TID = Pattern(r"TID (?P<lwp>\d{1,10})(?:\s+\"?(?P<name>[^\":]+)\"?)?:\s*$")
_ABRT = Pattern(r"Thread no\. (?P<number>\d{1,9}) \((?P<count>\d+) frames?\)")


def thread_heading(reading: Reading, line: str, stripped: str) -> Taken:
    """``Thread no. 1 (5 frames)``, ``Thread T2 created by T0 here:``, ``Thread 0 Crashed:``, ``TID 12:``."""
    if stripped.startswith("Thread "):
        match = _ABRT.match(stripped)
        if match is not None:
            reading.head = Head(number=int(match.group("number")), text=stripped, dump=True)
            reading.mode = ""
            return True
        heading = sanitizer.heading(stripped)
        if heading is not None:
            checker_heading(reading, heading, stripped)
            return True
        match = apple.CRASH_THREAD.match(stripped)
        if match is not None and (match.group("crashed") or match.group("colon")):
            name = match.group("name") or match.group("queue")
            reading.head = Head(
                number=int(match.group("number")),
                name=name if name and not name.startswith("Dispatch queue") else None,
                text=stripped,
                crashed=bool(match.group("crashed")),
                current=bool(match.group("crashed")),
                dump=True,
            )
            return True
    elif stripped.startswith("TID "):
        match = _TID.match(stripped)
        if match is not None:
            reading.head = Head(lwp=int(match.group("lwp")), name=match.group("name"), text=stripped, dump=True)
            return True
    return False


def lwp_heading(reading: Reading, line: str, stripped: str) -> Taken:
    """illumos' ``----- lwp# 4 / thread# 4 -----``."""
    match = dialect.LWP_HEADING.match(stripped)
    if match is None:
        return False
    reading.end_stack()
    reading.mode = "pstack"
    reading.head = Head(lwp=int(match.group("lwp")), name=match.group("name"), text=stripped[:500], dump=True)
    return True


def equals(reading: Reading, line: str, stripped: str) -> Taken:
    """Wine's mark of the current frame; valgrind's ``==12==``."""
    if stripped.startswith("=>"):
        frame = windows.winedbg(stripped)
        if frame is not None:
            reading.add(frame, "winedbg")
        return frame is not None
    match = sanitizer.VALGRIND_PREFIX.match(stripped)
    return match is not None and _valgrind(reading, stripped[match.end() :], line)


def _valgrind(reading: Reading, rest: str, line: str) -> bool:
    body = rest.strip()
    if not body:
        reading.head = None
        reading.thread = None
        return True
    if body.startswith(("at 0x", "by 0x")):
        if body.startswith("at 0x"):
            reading.thread = None
        level = len(reading.thread.frames) if reading.thread is not None else 0
        frame = sanitizer.valgrind(level, body)
        if frame is not None:
            reading.mode = "valgrind"
            reading.add(frame, "valgrind")
            return True
    thread = sanitizer.VALGRIND_THREAD.match(body)
    if thread is not None:  # "Thread 3 CPU 0/TCG:" stands above all that it did
        reading.selected = Head(number=int(thread.group("number")), name=thread.group("name"))
        reading.segment.note(line)
        return True
    heading = sanitizer.heading(body)
    signal = messages.signal_of(body)
    if signal is not None:
        reading.segment.add_signal(signal)
    elif reading.segment.signals:
        address = messages.fault_address(body)
        if address is not None and reading.segment.signals[-1].address is None:
            reading.segment.signals[-1].address = address
    message = messages.message_of(body)
    if message is not None:
        reading.message(message)
    if heading is not None:
        checker_heading(reading, heading, body)
    elif message is None:
        reading.segment.note(line)
    return True


def checker_heading(reading: Reading, heading: sanitizer.Heading, text: str) -> None:
    """A sanitizer's or valgrind's words above one of its stacks."""
    reading.end_stack()
    # what leaked is told at the end: where another report stands before, its stacks are of earlier, too
    leaks = " leak of " in text and any(" leak of " not in t.heading for t in reading.segment.threads[:100])
    chosen = Head() if heading.history or leaks else reading.selected
    reading.head = Head(
        name=heading.name or chosen.name,
        text=text[:500],
        history=heading.history or leaks,
        dump=True,
    )


def words(reading: Reading, line: str, stripped: str) -> Taken:
    """Headings that begin with a letter, by their first words."""
    match = _STACK_OF.match(stripped)
    if match is not None:
        reading.end_stack()
        reading.head = Head(lwp=int(match.group("lwp")), text=stripped[:500], dump=True)
        reading.segment.dialects.setdefault("coredumpctl", 0)
        inline = stripped.find("#0")
        return stripped[inline:] if inline > 0 else True
    match = windows.WINE_THREAD.match(stripped)
    if match is not None:
        reading.end_stack()
        reading.head = Head(lwp=int(match.group("tid"), 16), text=stripped[:500], dump=True)
        if match.group("program"):
            reading.segment.program = reading.segment.program or re.split(r"[\\/]", match.group("program"))[-1]
        return True
    if stripped == "stack backtrace:":  # of Rust's panic handler
        reading.end_stack()
        reading.mode = "rust"
        reading.head = Head(text=stripped, name=reading.panicked, current=True, crashed=True, dump=True)
        return True
    if windows.WINDBG_HEADER.match(stripped):
        reading.mode = "windbg"
        reading.thread = None
        if stripped.startswith("STACK_TEXT"):  # of !analyze: the stack of the exception
            reading.head = Head(text=stripped[:500], current=True, crashed=True, dump=True)
        return True
    program = windows.WINDBG_PROGRAM.match(stripped)
    if program is not None:
        reading.segment.program = reading.segment.program or program.group("program")
        reading.segment.note(line)
        return True
    match = foreign.GOROUTINE.match(stripped)
    if match is not None:
        reading.end_stack()
        reading.mode = "go"
        reading.head = Head(
            number=int(match.group("id")), text=stripped[:500], current="running" in match.group("state"), dump=True
        )
        reading.segment.dialects.setdefault("go", 0)
        return True
    return kernels.trace(reading, stripped)


def windbg_thread(reading: Reading, line: str, stripped: str) -> Taken:
    """``.  0  Id: 1a2c.e8 Suspend: 1 Teb: ... Unfrozen "main"``."""
    match = windows.WINDBG_THREAD.match(stripped)
    if match is None:
        return False
    reading.end_stack()
    reading.head = Head(
        number=int(match.group("number")),
        lwp=int(match.group("tid"), 16),
        name=match.group("name"),
        text=stripped[:500],
        current=match.group("current") == ".",
        dump=True,
    )
    reading.mode = "windbg"
    return True
