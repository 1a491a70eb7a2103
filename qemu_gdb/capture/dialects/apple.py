"""Frames and headings of lldb, and of macOS crash reports and samples."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from qemu_gdb.capture.dialects import gdb
from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

_LLDB = Pattern(r"(?:\*\s*)?frame #(?P<level>\d{1,6}):\s*(?:0x(?P<pc>[0-9a-fA-F]{1,16})\s*)?(?P<rest>.*)$")
_OFFSET = Pattern(r"\s+\+\s+(?:0x[0-9a-fA-F]+|\d+)\s*")
_MARK = Pattern(r"\s*\[(?:opt|artificial|inlined|noinline)\]")
_LLDB_AT = Pattern(r"\s+at\s+(?P<file>[^\s()][^()]*?)(?::(?P<line>\d{1,8}))?(?::\d{1,8})?\s*$")
LLDB_THREAD = Pattern(r"(?P<current>\*\s*)?thread #(?P<number>\d{1,7})(?P<rest>\s*[:,].*|\s*)$")
_NAME = Pattern(r"\bname = '(?P<name>[^']*)'")
_TID = Pattern(r"\btid = (?P<tid>0x[0-9a-fA-F]+|\d+)")
_STOP = Pattern(r"\bstop reason = (?P<stop>.*?)\s*$")

# "0   qemu-system-ppc   0x0000000109cd26d2 tcg_opt_gen_mov + 178 (optimize.c:212) [inlined]"
_CRASH = Pattern(r"(?P<level>\d{1,6})\s+(?P<module>\S.*?)\s+0x(?P<pc>[0-9a-fA-F]{6,16})\s+(?P<rest>\S.*)$")
_PLACE = Pattern(r"\s*\((?P<file>[^():]+(?:\.\w+)*):(?P<line>\d{1,8})(?::\d+)?\)")
CRASH_THREAD = Pattern(
    r"Thread (?P<number>\d{1,7})(?P<crashed> Crashed)?\s*(?:(?P<colon>::?)\s*(?P<name>\S.*?)?)?"
    r"(?:\s*Dispatch queue:\s*(?P<queue>\S.*))?\s*$"
)


class Heading(NamedTuple):
    """What a thread's heading in lldb says."""

    number: int
    name: Optional[str]
    lwp: Optional[int]
    current: bool
    stop: Optional[str]


def lldb_heading(line: str) -> Optional[Heading]:
    """``* thread #3, name = 'CPU 0/TCG', stop reason = signal SIGABRT``, else None."""
    match = LLDB_THREAD.match(line)
    if match is None:
        return None
    rest = match.group("rest")
    name = _NAME.search(rest)
    tid = _TID.search(rest)
    stop = _STOP.search(rest)
    return Heading(
        int(match.group("number")),
        name.group("name") if name else None,
        int(tid.group("tid"), 0) if tid else None,
        bool(match.group("current")),
        stop.group("stop") if stop else None,
    )


def lldb_frame(line: str) -> Optional[Frame]:
    """``frame #4: 0x100853c84 qemu-system-aarch64`opts_do_parse(opts=0x60, ...) at qemu-option.c:826:9 [opt]``."""
    match = _LLDB.match(line)
    if match is None:
        return None
    frame = Frame(int(match.group("level")))
    if match.group("pc"):
        frame.pc = int(match.group("pc"), 16)
    rest = match.group("rest").strip()
    module, tick, body = rest.partition("`")
    if tick and " " not in module.strip():
        frame.library = module.strip() or None
    elif not tick and rest and re.match(r"[\w.+-]+$", rest):
        frame.library = rest
        return frame
    else:
        body = rest
    inlined = body.rfind(" [inlined] ", 0, 2000)
    if inlined >= 0:
        frame.kind = "inline"
        body = body[inlined + len(" [inlined] ") :]
    body = _MARK.sub("", body).strip()
    place = _LLDB_AT.search(body[-400:])
    if place is not None:
        frame.file = place.group("file")
        if place.group("line"):
            frame.line = int(place.group("line"))
        body = body[: len(body) - len(body[-400:]) + place.start()]
    body = _OFFSET.sub("", body)
    opening = body.find("(")
    while opening > 0:
        close = gdb.close_of(body, opening)
        inside = body[opening + 1 : close] if close > 0 else body[opening + 1 :]
        if "=" in inside or close < 0 or close == len(body) - 1:
            if "=" in inside or not inside or close < 0:
                frame.args = gdb.arguments(inside)
                body = body[:opening]
            break
        opening = body.find("(", close + 1)
    frame.function = body.strip() or None
    if frame.function and frame.function.startswith("___lldb_unnamed_symbol"):
        frame.function = None
    return frame


def crash_frame(line: str) -> Optional[Frame]:
    """A line of a macOS crash report, else None."""
    match = _CRASH.match(line)
    if match is None:
        return None
    module = match.group("module").strip()
    if "(" in module or "\t" in module.strip("\t") or len(module) > 80:
        return None
    rest = match.group("rest")
    frame = Frame(int(match.group("level")), pc=int(match.group("pc"), 16), library=module)
    if rest.endswith("[inlined]"):
        frame.kind = "inline"
        rest = rest[: -len("[inlined]")].rstrip()
    place = _PLACE.search(rest)
    if place is not None:
        frame.file = place.group("file")
        frame.line = int(place.group("line"))
        rest = rest[: place.start()]
    plus = rest.rfind(" + ")
    name = (rest[:plus] if plus > 0 else rest).strip()
    if name and not name.startswith("0x") and name != "???":
        frame.function = name
    return frame
