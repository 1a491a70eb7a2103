"""Frames of the backtrace that Rust's own panic handler writes."""

from __future__ import annotations

from typing import Optional

from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

# "   3: pl011::device::PL011Registers::read", with RUST_BACKTRACE=full "   3:     0x55d1c5a7f3e0 - core::panic..."
_FRAME = Pattern(r"(?P<level>\d{1,5}):\s+(?:0x(?P<pc>[0-9a-fA-F]{1,16}) - )?(?P<function>[<\w{_][^`']*?)\s*$")
_PLACE = Pattern(r"at (?P<file>\S[^`']*?):(?P<line>\d{1,8})(?::\d{1,8})?$")


def frame(line: str) -> Optional[Frame]:
    """``3: pl011::device::PL011Registers::read``, else None."""
    match = _FRAME.match(line)
    if match is None:
        return None
    name = match.group("function")
    if " at " in name or ": " in name:
        return None
    found = Frame(int(match.group("level")), function=None if name == "<unknown>" else name)
    if match.group("pc"):
        found.pc = int(match.group("pc"), 16)
    return found


def place(line: str, of: Frame) -> bool:
    """Take ``at ./rust/hw/char/pl011/src/device.rs:187:9``, the line below a frame; whether it is one."""
    match = _PLACE.match(line)
    if match is None:
        return False
    of.file, of.line = match.group("file"), int(match.group("line"))
    return True


def is_place(line: str) -> bool:
    """Whether ``line`` is what stands below a frame."""
    return _PLACE.match(line) is not None
