"""Frames and headings of Android's tombstones, as debuggerd writes them and logcat repeats them."""

from __future__ import annotations

from typing import NamedTuple, Optional

from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

# "pc 00000000006a3d48  /path/qemu-system-x86_64 (ide_data_readw+124) (BuildId: 1234abcd)", behind "#00 "
_FRAME = Pattern(
    r"(?:pc [0-9a-fA-F]{8,16}\s+)?(?P<module>/[^()\[\]]*?|<anonymous:[0-9a-fA-F]+>|\[anon:[^\]]*\])"
    r"(?: \(offset [^()]*\))?(?: \((?P<function>(?!BuildId|offset)[^+]+?)\+\d+\))?(?: \(BuildId: [^()]*\)?)?\s*$"
)
# "pid: 18210, tid: 18214, name: CPU 0/TCG  >>> /path/qemu-system-x86_64 <<<"
_HEADING = Pattern(
    r"pid: (?P<pid>\d{1,10}), tid: (?P<tid>\d{1,10}), name: (?P<name>.*?)\s+>>> (?P<program>.*?) <<<\s*$"
)


class Heading(NamedTuple):
    """What stands above each thread of a tombstone."""

    pid: int
    tid: int
    name: str
    program: str


def frame(level: int, text: str) -> Optional[Frame]:
    """The frame behind ``#00``, else None; without pc: what is printed is an offset in the module."""
    match = _FRAME.match(text)
    if match is None:
        return None
    found = Frame(level)
    if match.group("module").startswith("/"):
        found.library = match.group("module").split("!")[0]
    else:
        found.kind = "jit"  # memory without a file that is executed: what TCG generated
    name = match.group("function")
    found.function = name.split("(")[0] if name else None
    return found


def heading(line: str) -> Optional[Heading]:
    """``pid: 18210, tid: 18214, name: CPU 0/TCG  >>> qemu-system-x86_64 <<<``, else None."""
    match = _HEADING.match(line)
    if match is None:
        return None
    program = match.group("program").split(" ")[0].rsplit("/", 1)[-1]
    return Heading(int(match.group("pid")), int(match.group("tid")), match.group("name"), program)
