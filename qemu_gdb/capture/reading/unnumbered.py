"""Frames without gdb's ``#N``: by the context, by their own shape, or since a run of lines is alike."""

from __future__ import annotations

from typing import Callable, Optional

from qemu_gdb.capture.dialects import addr2line, apple, editors, foreign, plain, reports, rust, windows
from qemu_gdb.capture.reading import kernels, tools
from qemu_gdb.capture.reading.state import Head, Reading, Taken
from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

_SOURCE_LINE = Pattern(r"\d{1,7}(?:\t|\s{2,}|\s+in\s)")
_ADDRESS = Pattern(r"0x[0-9a-fA-F]{6,16}$")
_TRACED = Pattern(r"\[pid\s+(?P<lwp>\d{1,10})\]\s")  # strace -f -k: the stack of the call follows
_BRACKETED = Pattern(r"\[(?P<level>\d{1,5})\]:?\s+(?P<rest>0x[0-9a-fA-F]{4,16}\s.*)$")


def arrow(reading: Reading, line: str, stripped: str) -> Taken:
    """pwndbg's ``► 0 0x7ffff74f0a96 ppoll+166``."""
    frame = plain.pwndbg(stripped)
    if frame is None:
        return False
    reading.add(frame, "pwndbg")
    return True


def digit(reading: Reading, line: str, stripped: str) -> Taken:
    """A frame that begins with its number or its address."""
    if stripped.startswith("0x"):
        return False
    if ": " in stripped[:7] and _rust(reading, line, stripped):
        return True
    if "0x" in stripped:
        for parser, dialect in (
            (apple.crash_frame, "macos"),
            (windows.winedbg, "winedbg"),
            (plain.pwndbg, "pwndbg"),
        ):
            frame = parser(stripped)
            if frame is not None:
                reading.add(frame, dialect)
                return True
    after = reading.thread is not None or reading.display is not None
    if after and _SOURCE_LINE.match(line) and not plain.numbered(stripped):
        reading.segment.note(line)
        return True
    frame = plain.numbered(stripped)
    if frame is not None and (
        frame.level == 0 or (reading.thread is not None and reading.thread.frames[-1].level < frame.level)
    ):
        reading.add(frame, "gdb")
        return True
    if reading.mode == "windbg" or "!" in stripped:
        frame = windows.windbg(stripped, len(reading.thread.frames) if reading.thread is not None else 0)
        if frame is not None:
            reading.mode = "windbg"
            reading.add(frame, "windbg")
            return True
    if stripped.endswith(")") and reading.mode == "perf":
        frame = plain.perf(
            stripped, len(reading.thread.frames) if reading.thread is not None and reading.head is None else 0
        )
        if frame is not None:
            reading.add(frame, reading.sampled or "perf")
            return True
    return False


def bracket(reading: Reading, line: str, stripped: str) -> Taken:
    """``[0] 0x...``, gef's ``[#0] 0x...``, a kernel's ``[<ffffffff8100f06f>] ...``."""
    match = _BRACKETED.match(stripped)
    if match is not None and reading.begin(match, line):
        return True
    match = _TRACED.match(stripped)
    if match is not None and reading.at < len(reading.lines):
        below = reading.lines[reading.at].strip()
        if reports.glibc(0, below) is not None:
            reading.end_stack()
            reading.mode = ""
            reading.head = Head(lwp=int(match.group("lwp")), text=stripped[:500], dump=True)
            reading.segment.note(line)
            return True
    if stripped.startswith("[#"):
        return arrow(reading, line, stripped)
    return stripped.startswith("[<") and kernels.frame(reading, stripped)


def _rust(reading: Reading, line: str, stripped: str) -> bool:
    """A frame that Rust's panic handler wrote: below its heading, or with its place in the next line."""
    if reading.mode != "rust":
        below = reading.below()
        if not (stripped.startswith("0: ") and rust.is_place(below)):
            return False
    frame = rust.frame(stripped)
    if frame is None:
        return False
    reading.mode = "rust"
    reading.add(frame, "rust")
    return True


def in_mode(reading: Reading, line: str, stripped: str) -> bool:
    """A line of the dialect that the lines above are in."""
    mode = reading.mode
    level = len(reading.thread.frames) if reading.thread is not None and reading.head is None else 0
    if mode == "go":
        if reading.thread is not None and reading.thread.frames and line[0].isspace():
            return foreign.go_place(stripped, reading.thread.frames[-1])
        frame = foreign.go_call(stripped, level)
    elif mode == "rust":
        if reading.thread is not None and line[0].isspace() and rust.place(stripped, reading.thread.frames[-1]):
            return True
        reading.mode = ""
        reading.end_stack()
        return False
    elif mode == "windbg":
        frame = windows.windbg(stripped, level)
    elif mode == "perf":
        frame = plain.perf(stripped, level)
    elif mode == "kernel":
        return "+0x" in stripped and kernels.frame(reading, stripped)
    elif mode == "pstack":
        frame = reports.pstack(level, stripped)
    else:
        return False
    if frame is None:
        return False
    reading.add(frame, reading.sampled or mode if mode == "perf" else mode)
    return True


def anywhere(reading: Reading, line: str, stripped: str) -> bool:
    """Frames without a number that can begin with any letter."""
    last = stripped[-1]
    listed = reading.thread is not None and reading.head is None and reading.mode == "list"
    level = len(reading.thread.frames) if listed and reading.thread is not None else 0
    if stripped.count("_") > 1 and tools.chain(reading, line, stripped):
        return True
    if reading.mode == "top" and reading.segment.threads and plain.at_line(stripped, level) is not None:
        reading.segment.note(line)  # of a stack that stands above in full
        return True
    if last.isdigit() and ":" in stripped[-9:]:
        frame = plain.ide(stripped, level) or plain.at_line(stripped, level)
        below = (plain.ide, plain.at_line, editors.named_address)
        if frame is not None and (reading.mode == "list" or _run_of(reading, *below)):
            return _listed(reading, frame)
    elif last == ")" or " from " in stripped:
        frame = plain.at_line(stripped, level)
        if frame is not None and (reading.mode == "list" or _run_of(reading, plain.at_line)):
            return _listed(reading, frame)
        frame = editors.code(stripped, level) if " (" in stripped else None
        if frame is not None and (reading.mode == "list" or _run_of(reading, editors.code)):
            return _listed(reading, frame)
    if _symbolized(reading, stripped, level):
        return True
    if "!" in stripped:
        frame = windows.bare(stripped, level)
        if frame is not None and (reading.mode == "list" or _run_of(reading, windows.bare)):
            return _listed(reading, frame, "windbg")
    if "/0x" in stripped and kernels.frame(reading, stripped):
        return True
    if last == "]" and "[0x" in stripped:
        frame = reports.glibc(level, stripped)
        if frame is not None:
            reading.mode = "list"
            return _listed(reading, frame, "glibc")
    if " 0x" in stripped:
        frame = editors.named_address(stripped, level)
        if frame is not None and (reading.mode == "list" or _run_of(reading, plain.ide)):
            return _listed(reading, frame)
    if reading.mode == "list" and _ADDRESS.match(stripped):
        return _listed(reading, Frame(level, pc=int(stripped, 16)))  # bpftrace: no symbol
    if reading.mode == "list" or (len(stripped) < 100 and _run_of_names(reading, stripped)):
        name = plain.bare_name(stripped)
        if name is not None:
            return _listed(reading, Frame(level, function=name))
    return False


def _symbolized(reading: Reading, stripped: str, level: int) -> bool:
    """addr2line's output: a function and its place, where it is none of a stack's lines."""
    below = reading.below()
    # a name stands alone in its line, but for its parameters
    named = stripped[-1] == ")" or " " not in stripped
    frame = addr2line.pair(stripped, below, level) if named and ":" in below else None
    if frame is not None and ("_" in stripped or "/" in below):
        reading.at += 1
        return _listed(reading, frame, "addr2line")
    frame = addr2line.pretty(stripped, level) if " at " in stripped else None
    if frame is None or not (reading.mode == "list" or addr2line.pretty(below, 0) or stripped.startswith("0x")):
        return False
    return _listed(reading, frame, "addr2line")


def _listed(reading: Reading, frame: Frame, dialect: str = "list") -> bool:
    if reading.mode != "list":
        reading.mode = "list"
        if kernels.at_entry(reading):
            frame.level = len(reading.thread.frames) if reading.thread is not None else 0
        else:
            reading.head = reading.head or Head()
            frame.level = 0
    elif reading.thread is not None and reading.head is None:
        frame.level = len(reading.thread.frames)
    if dialect == "list" and reading.sampled == "profile":
        dialect = "profile"
    reading.add(frame, dialect)
    return True


def _run_of(reading: Reading, *parsers: Callable[[str, int], Optional[Frame]]) -> bool:
    """Whether the next line is a frame of the same kind: one alone is a sentence."""
    below = reading.below(2)
    return any(parser(below, 0) is not None for parser in parsers) if below else False


def _run_of_names(reading: Reading, stripped: str) -> bool:
    """Whether this line and the next three hold nothing but functions."""
    if reading.at + 3 > len(reading.lines):
        return False
    marked = 0
    for line in (stripped, *reading.lines[reading.at : reading.at + 3]):
        below = line.strip()
        address = _ADDRESS.match(below) is not None
        if len(below) >= 100 or not address and plain.bare_name(below) is None:
            return False
        marked += address or any(mark in below for mark in "_(+")
    return marked >= 3
