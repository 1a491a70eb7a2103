"""Frames of tools that number them without ``#`` or not at all: pwndbg, gef, IDEs, perf, hand-made lists."""

from __future__ import annotations

import re
from typing import Optional

from qemu_gdb.capture.dialects import gdb
from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

# pwndbg: "► 0 0x7ffff74f0a96 ppoll+166"; gef: "[#0] 0x7ffff7e8d1e1 → raise()", "[#1] 0x.. -> f(a=0x0)"
_PWNDBG = Pattern(
    r"(?:[►▸▶→>f]\s*)?(?P<level>\d{1,6})\s+0x(?P<pc>[0-9a-fA-F]{3,16})\s*(?P<function>[^\s+(]\S*?)?(?:\+(?:0x["
    r"0-9a-fA-F]+|\d+))?\s*$"
)
_GEF = Pattern(r"\[#(?P<level>\d{1,6})\]\s+0x(?P<pc>[0-9a-fA-F]{1,16})\s*(?:→|->)\s*(?P<rest>\S.*)$")
# IDEs: "cpu_exec cpu-exec.c:1091"
_IDE = Pattern(
    r"(?P<function>[A-Za-z_~][\w:<>~.@$-]*(?:\([^()]*\))?)\s+(?P<file>(?:[A-Za-z]:)?[\w./\\+@-]+\.(?:c|h|cc|cpp"
    r"|cxx|hh|hpp|inc|rs|S|s|m|mm))"
    r":(?P<line>\d{1,7})(?:\s+0x(?P<pc>[0-9a-fA-F]+))?\s*$"
)
# perf script: "    55d0c2b1e5a3 aio_poll+0x1a3 (/usr/bin/qemu-system-x86_64)"
_PERF = Pattern(
    r"(?P<pc>[0-9a-fA-F]{6,16})\s+(?P<function>\[unknown\]|\S.*?)(?:\+0x[0-9a-fA-F]+)?\s+\((?P<module>[^()]*(?"
    r":\([^()]*\))?[^()]*)\)\s*$"
)
PERF_SAMPLE = Pattern(
    r"(?P<comm>\S.*?)\s+(?P<tid>\d+)(?:/(?P<tid2>\d+))?\s+(?:\[\d+\]\s+)?\d+\.\d+:\s+(?:\d+\s+)?[\w:/.-]+:?"
)
_AT_LINE = Pattern(r"(?P<function>[A-Za-z_~][\w:<>~.@$]*)\s*\(.*\)\s+(?:at\s+\S+:\d+|from\s+\S+)\s*$")
_NUMBERED = Pattern(r"(?P<level>\d{1,5})[.:)]?\s+(?P<rest>(?:0x[0-9a-fA-F]+ in )?[A-Za-z_?<].*)$")
_NAME = Pattern(r"[A-Za-z_][\w.]*(?:\s?\((?:\.\.\.|void)?\))?(?:\s*\+\s*(?:0x[0-9a-fA-F]+|\d+))?$")
_BULLET = Pattern(r"^(?:[-*+•|`\\]+[->]*|->|=>|└─+|├─+|↳|\d{1,3}[.)])\s*")


def pwndbg(line: str) -> Optional[Frame]:
    """``► 0 0x7ffff74f0a96 ppoll+166`` and gef's ``[#0] 0x.. → f()``, else None."""
    if line.startswith("[#"):
        match = _GEF.match(line)
        if match is None:
            return None
        frame = gdb.parse_frame(int(match.group("level")), match.group("rest"))
        if frame is not None:
            frame.pc = int(match.group("pc"), 16)
        return frame
    match = _PWNDBG.match(line)
    if match is None:
        return None
    frame = Frame(int(match.group("level")), pc=int(match.group("pc"), 16))
    frame.function = match.group("function") or None
    if frame.function in ("None", "??"):
        frame.function = None
    return frame


def ide(line: str, level: int) -> Optional[Frame]:
    """``cpu_exec cpu-exec.c:1091``, else None."""
    match = _IDE.match(line)
    if match is None:
        return None
    frame = Frame(level, function=match.group("function").partition("(")[0], file=match.group("file"))
    frame.line = int(match.group("line"))
    if match.group("pc"):
        frame.pc = int(match.group("pc"), 16)
    return frame


def at_line(line: str, level: int) -> Optional[Frame]:
    """``f (a=0x0) at file.c:12`` without a number, else None."""
    bare = _BULLET.sub("", line, count=1)
    if _AT_LINE.match(bare) is None:
        return None
    return gdb.parse_frame(level, bare)


def numbered(line: str) -> Optional[Frame]:
    """``3  try_dequeue () at ../util/rcu.c:235``: a frame whose ``#`` was lost, else None."""
    match = _NUMBERED.match(line)
    if match is None:
        return None
    rest = match.group("rest")
    if not (_AT_LINE.match(rest) or re.match(r"(?:0x[0-9a-fA-F]+ in )?\S+ \([^()]*\)(?: (?:at|from) \S+)?$", rest)):
        return None
    return gdb.parse_frame(int(match.group("level")), rest)


def bare_name(line: str) -> Optional[str]:
    """The function of a line that holds nothing but a name, else None."""
    bare = _BULLET.sub("", line, count=1).strip()
    match = _NAME.match(bare)
    if match is None:
        return None
    return re.split(r"[\s(+]", bare, maxsplit=1)[0]


def perf(line: str, level: int) -> Optional[Frame]:
    """A line of ``perf script``'s call chains, else None."""
    match = _PERF.match(line)
    if match is None:
        return None
    frame = Frame(level, pc=int(match.group("pc"), 16), library=match.group("module"))
    name = match.group("function")
    frame.function = None if name == "[unknown]" else name
    if match.group("module") == "inlined":
        frame.library = None
        frame.kind = "inline"
    return frame
