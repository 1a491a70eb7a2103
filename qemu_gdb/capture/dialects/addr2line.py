"""Frames as addr2line, llvm-symbolizer and eu-addr2line write them: the function in one line, its place in the next."""

from __future__ import annotations

from typing import Optional

from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

_PLACE = Pattern(
    r"(?P<file>(?:\?\?|[A-Za-z]?:?[^\s:()]{0,300}\.(?:c|h|cc|cpp|hpp|inc|rs|S|m))):(?P<line>\d{1,8}|\?)(?::\d{1,8})?"
    r"(?: \(discriminator \d+\))?$"
)
_NAME = Pattern(r"[A-Za-z_][\w.:~<>$@]*(?:\([^()]*\))?$")
# addr2line -p: "(inlined by) virtio_gpu_process_cmdq at /build/hw/display/virtio-gpu.c:1045"
_PRETTY = Pattern(
    r"(?:0x[0-9a-fA-F]+: )?(?P<inlined>\(inlined by\) )?(?P<function>[A-Za-z_][\w.:~<>$@]*) at (?P<place>\S+:[\d?]+)"
    r"(?: \(discriminator \d+\))?$"
)


def pair(line: str, below: str, level: int) -> Optional[Frame]:
    """The frame of two lines, ``virtio_gpu_process_cmdq`` and ``/build/hw/display/virtio-gpu.c:1045``, else None."""
    place = _PLACE.match(below)
    if place is None or not _NAME.match(line):
        return None
    frame = Frame(level, function=line.partition("(")[0])
    if place.group("file") != "??":
        frame.file = place.group("file")
        frame.line = int(place.group("line")) if place.group("line") != "?" else None
    return frame


def pretty(line: str, level: int) -> Optional[Frame]:
    """The frame of ``(inlined by) f at /build/a.c:12``, as ``addr2line -p`` writes it, else None."""
    match = _PRETTY.match(line)
    return pair(match.group("function"), match.group("place"), level) if match is not None else None
