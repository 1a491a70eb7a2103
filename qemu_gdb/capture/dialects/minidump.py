"""Frames of minidump_stackwalk, which shows what Breakpad and Crashpad kept, and of Abseil's and glog's handlers."""

from __future__ import annotations

from typing import Optional

from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

# " 0  qemu-system-x86_64!virtio_net_flush_tx [virtio-net.c : 2700 + 0x5]", " 1  libc.so.6 + 0x2d50a"
_FRAME = Pattern(
    r"(?P<level>\d{1,5})  (?:(?P<module>[^\s!\[]+)(?:!(?P<function>[^\[]+?))?|0x[0-9a-fA-F]+)"
    r"(?: \[(?P<file>[^\[\]]+?) : (?P<line>\d{1,8})(?: \+ 0x[0-9a-fA-F]+)?\]| \+ 0x[0-9a-fA-F]+)?$"
)
# "Thread 2 (crashed)", of the Rust version "Thread 0 qemu-system-x86 (crashed) - tid: 4123"
THREAD = Pattern(
    r"Thread (?P<number>\d{1,6})(?: (?P<name>(?!\()[^:]{1,40}?))?(?P<crashed> \(crashed\))?"
    r"(?: - tid: (?P<tid>\d{1,10}))?$"
)
# what stands below a frame: its registers, and how it was found
BELOW = Pattern(r"\s+(?:Found by: |(?:[a-z][a-z0-9]{1,6} = 0x[0-9a-fA-F]{4,16}\s*)+$)")
# "PC: @     0x55bbc3a1b2c3  (unknown)  memory_region_transaction_commit", then "@ 0x7f1c2b042520  (unknown)  f"; glog
# writes no size
_ABSEIL = Pattern(
    r"(?:PC: )?@\s+0x(?P<pc>[0-9a-fA-F]{1,16})\s+(?:(?:\(unknown\)|\d+)\s+)?"
    r"(?P<function>\(unknown\)|\(/\S+\)|[A-Za-z_~]\S.*?)?\s*$"
)


def frame(line: str) -> Optional[Frame]:
    """A line of minidump_stackwalk's stack, else None."""
    match = _FRAME.match(line)
    if match is None:
        return None
    found = Frame(int(match.group("level")), match.group("function"), library=match.group("module"))
    if match.group("file"):
        found.file, found.line = match.group("file"), int(match.group("line"))
    return found


def abseil(line: str, level: int) -> Optional[Frame]:
    """A line of Abseil's stack, else None."""
    match = _ABSEIL.match(line)
    if match is None:
        return None
    name = match.group("function")
    found = Frame(level, pc=int(match.group("pc"), 16))
    found.function = None if name is None or name.startswith("(") else name.split("(")[0]
    return found
