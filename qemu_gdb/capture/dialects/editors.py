"""Frames as editors copy them: Visual Studio Code's "Copy Call Stack", CLion's list of frames."""

from __future__ import annotations

from typing import Optional

from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

# "libc.so.6!__GI_raise(int sig) (raise.c:26)", "libglib-2.0.so.0!g_main_context_dispatch (Unknown Source:0)"
_CODE = Pattern(
    r"(?:(?P<module>[\w.+-]+)!)?(?P<function>[A-Za-z_~?][\w:~<>$@.?]*)(?:\((?P<parameters>[^\n]{0,2000})\))? "
    r"\((?:Unknown Source:0|(?P<file>(?:[A-Za-z]:)?[^():]{1,500}):(?P<line>\d{1,8}))\)$"
)
# "g_main_context_dispatch 0x00007ffff7e3ad1b", between frames that have a line
_NAMED = Pattern(r"(?P<function>[A-Za-z_~][\w:~.@$]*) 0x(?P<pc>[0-9a-fA-F]{8,16})$")


def code(line: str, level: int) -> Optional[Frame]:
    """``qemu-system-x86_64!main(int argc, char ** argv) (/src/qemu/system/main.c:76)``, else None."""
    match = _CODE.match(line)
    if match is None or (match.group("parameters") is None and match.group("module") is None):
        return None
    name = match.group("function")
    frame = Frame(level, function=None if name == "??" else name, library=match.group("module"))
    if match.group("file"):
        frame.file, frame.line = match.group("file"), int(match.group("line"))
    return frame


def named_address(line: str, level: int) -> Optional[Frame]:
    """``g_main_context_dispatch 0x00007ffff7e3ad1b``, else None."""
    match = _NAMED.match(line)
    return Frame(level, function=match.group("function"), pc=int(match.group("pc"), 16)) if match is not None else None
