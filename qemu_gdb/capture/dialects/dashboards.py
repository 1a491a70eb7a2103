"""What gdb's screens show: gdb-dashboard's stack and threads, gef's table of threads."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

_PLACE = (
    r"from 0x(?P<pc>[0-9a-fA-F]{1,16})(?: in (?P<function>[^\s(+]+)(?:\(\))?(?:\+\d+)?)?"
    r"(?: at (?P<file>\S+?):(?P<line>\d{1,8}))?(?: of (?P<library>\S+))?\s*$"
)
# "[5] from 0x0000555555b1a2c3 in bdrv_unref+99 at ../block.c:3395"
_FRAME = Pattern(r"\[(?P<level>\d{1,5})\] " + _PLACE)
# "[5] id 9125 name CPU 1/KVM from 0x00007ffff6b1aaff in __GI___ioctl+63 at ../syscall-template.S:120"
_THREAD = Pattern(r"\[(?P<number>\d{1,5})\] id (?P<lwp>\d{1,10})(?: name (?P<name>.*?))? " + _PLACE)
# '[#0] Id 1, Name: "qemu-system-x86", stopped 0x5555557a11c4 in virtio_gpu_ctrl_response (), reason: SIGSEGV'
_GEF = Pattern(
    r"\[#\d{1,5}\] Id (?P<number>\d{1,6}),(?: Name: \"(?P<name>[^\"]*)\",)? (?:stopped|running)"
    r"(?: 0x(?P<pc>[0-9a-fA-F]{1,16}) in (?P<function>[^\s(]+) \(\))?(?:, reason: (?P<reason>.*?))?\s*$"
)


class Row(NamedTuple):
    """A row of a table of threads."""

    number: int
    lwp: Optional[int]
    name: Optional[str]
    frame: Optional[Frame]
    reason: Optional[str] = None


def frame(line: str) -> Optional[Frame]:
    """A line of gdb-dashboard's stack, else None."""
    match = _FRAME.match(line)
    return _frame(int(match.group("level")), match) if match is not None else None


def _frame(level: int, match: re.Match[str]) -> Frame:
    name = match.group("function")
    found = Frame(level, None if name == "??" else name, pc=int(match.group("pc"), 16))
    if match.group("file"):
        found.file, found.line = match.group("file"), int(match.group("line"))
    found.library = match.group("library")
    return found


def row(line: str) -> Optional[Row]:
    """A line of gdb-dashboard's or gef's table of threads, else None."""
    match = _THREAD.match(line)
    if match is not None:
        return Row(int(match.group("number")), int(match.group("lwp")), match.group("name"), _frame(0, match))
    match = _GEF.match(line)
    if match is None:
        return None
    top = None
    if match.group("pc"):
        name = match.group("function")
        top = Frame(0, None if name == "??" else name, pc=int(match.group("pc"), 16))
    return Row(int(match.group("number")), None, match.group("name"), top, match.group("reason"))
