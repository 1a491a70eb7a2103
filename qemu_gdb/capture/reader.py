"""Goes through the lines of a cleaned text once and sorts them into stacks, messages and what is neither."""

from __future__ import annotations

import re
import sys
from typing import Dict, List, Tuple

from qemu_gdb.capture import frames
from qemu_gdb.capture.dialects import gdb
from qemu_gdb.capture.reading import kernels, prose, reports, session, tools, unnumbered
from qemu_gdb.capture.reading.state import NUMBERED, PAGER_INSIDE, Handler, Reading, Taken
from qemu_gdb.pattern import Pattern

MAX_LOCALS = 200  # of one frame
MAX_LOCAL = 2000  # characters of one local's value
_PREFIX = Pattern(
    r"(?:(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s+\d{1,2} \d\d:\d\d:\d\d(?:\.\d+)?"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*)"
    r"\s+\S*[^\s:]\s+[\w./@-]+(?:\[\d+\])?: ?(?:\[ *\d+\.\d+\] ?)?"
)
_DMESG = Pattern(r"(?:<\d>)?\[ *\d+\.\d{3,9}\](?:\[ *[CT]?\d+\])? ?")
_PAGER = Pattern(r"-{2,3}(?:Type <(?:RET|return)>|\(?more\)?-|More--)", re.IGNORECASE)
_LOCAL = Pattern(r"(?P<indent>\s+)(?P<name>[A-Za-z_][\w.]*(?: <[^>]*>)?)\s=(?:\s(?P<value>.*))?$", re.DOTALL)


def read(lines: List[str]) -> Reading:
    """Read every line; empties ``lines``, so that text and stacks need not be in memory at once."""
    reading = Reading(lines)
    count = len(lines)
    while reading.at < count:
        at = reading.at
        line = lines[at]
        lines[at] = ""
        reading.at = at + 1
        stripped = line.strip()
        if not stripped:
            _blank(reading)
            continue
        if reading.pending is not None and _continue(reading, line, stripped):
            continue
        _line(reading, line, stripped)
    reading.flush()
    reading.end_stack()
    reading.use_display()
    tools.use_chains(reading)
    return reading


def _blank(reading: Reading) -> None:
    reading.mode = "" if reading.mode in ("list", "perf") else reading.mode
    reading.local = None
    pending = reading.pending
    if pending is None:
        return
    if pending.state is frames.State.OPEN or pending.state is frames.State.PATH:
        for ahead in range(reading.at, min(reading.at + 3, len(reading.lines))):
            below = reading.lines[ahead].strip()
            if not below:
                continue
            if below[0] != "#" and frames.continuation(below) or _PAGER.match(below):
                return
            break
    elif pending.state is frames.State.SOFT and reading.at < len(reading.lines):
        below = reading.lines[reading.at].strip()
        if below.startswith(("at ", "from ")) and frames.accepts(pending.state, pending.parts[-1], below):
            return
    reading.flush()


def _continue(reading: Reading, line: str, stripped: str) -> bool:
    pending = reading.pending
    assert pending is not None
    first = stripped[0]
    if first == "-" and _PAGER.match(stripped):
        return True
    if (
        pending.state is frames.State.DONE
        or (first == "#" and NUMBERED.match(stripped))
        or (first == "T" and (session.GDB_THREAD.match(stripped) or session.STOPPED.match(stripped)))
        or (first == "f" and stripped.startswith("frame #"))
        or (
            first in "(["
            and (session.PROMPT.match(stripped) or stripped.startswith(("[New ", "[Switching", "[Current", "[Thread ")))
        )
        or (first == "B" and stripped.startswith("Backtrace stopped"))
        or (
            pending.state is not frames.State.PATH
            and line[0].isspace()
            and pending.parts[0].count("{") <= pending.parts[0].count("}")
            and _LOCAL.match(line)
        )
        or stripped.startswith(("No locals.", "No symbol table", "==", "Stack trace of"))
    ):
        reading.flush()
        return False
    text = pending.parts[0]
    if not frames.accepts(pending.state, text, stripped):
        reading.flush()
        return False
    if pending.state is frames.State.OPEN and not text and not frames.looks_like_frame(stripped):
        reading.flush()
        return False
    joined = pending.add(line, PAGER_INSIDE.sub(" ", stripped) if "--Type" in stripped else stripped)
    if len(pending.raw) > frames.MAX_PARTS or len(joined) > frames.MAX_LENGTH:
        reading.flush()
    return True


def _line(reading: Reading, line: str, stripped: str) -> None:
    first = stripped[0]
    if first == "#":
        frame = gdb.usual_frame(stripped)
        if frame is not None:
            reading.flush()
            reading.add(frame, "gdb")
            return
        match = NUMBERED.match(stripped)
        if match is not None and reading.begin(match, line):
            return
    elif first in "JFMASOND2":
        prefix = _PREFIX.match(stripped)
        if prefix is not None:
            rest = stripped[prefix.end() :]
            if rest.strip():
                _line(reading, rest, rest.strip())
            return
    if first == "[" or first == "<":
        prefix = _DMESG.match(stripped)
        if prefix is not None and prefix.end() < len(stripped):
            reading.mode = reading.mode or "dmesg"
            rest = stripped[prefix.end() :]
            if rest.strip():
                _line(reading, rest, rest.strip())
            return
    for handler in _HANDLERS.get(first, ()):
        taken = handler(reading, line, stripped)
        if taken is True:
            return
        if taken:
            _line(reading, taken, taken.strip())
            return
    if line[0].isspace() and _local(reading, line):
        return
    if reading.mode and unnumbered.in_mode(reading, line, stripped):
        return
    if unnumbered.anywhere(reading, line, stripped):
        return
    prose.other(reading, line, stripped)


def _local(reading: Reading, line: str) -> bool:
    """A line of ``bt full`` below a frame."""
    thread = reading.thread
    if thread is None or not thread.frames:
        return False
    frame = thread.frames[-1]
    match = _LOCAL.match(line)
    if match is not None:
        indent = len(match.group("indent").expandtabs())
        if reading.local is None or indent <= reading.local_indent:
            if len(frame.locals) >= MAX_LOCALS:
                reading.cut += 1
                return True
            reading.local = match.group("name")
            reading.local_indent = indent
            value = (match.group("value") or "").strip()
            reading.cut += len(value) > MAX_LOCAL
            frame.locals[sys.intern(reading.local)] = sys.intern(value) if len(value) < 20 else value[:MAX_LOCAL]
            return True
    if reading.local is not None:
        if line.strip() in ("}", "},", "}}"):  # "set print pretty": the end of a structure stands below its name
            value = frame.locals.get(reading.local, "")
            if value.count("{") > value.count("}") and len(value) < MAX_LOCAL:
                frame.locals[reading.local] = f"{value} {line.strip()}"
            return True
        indent = (
            len(line.expandtabs()) - len(line.expandtabs().lstrip()) if len(line) < 4096 else reading.local_indent + 1
        )
        value = frame.locals.get(reading.local, "")
        if indent > reading.local_indent:
            if len(value) < MAX_LOCAL:
                frame.locals[reading.local] = (value + " " + line.strip()[:MAX_LOCAL]).strip()
            return True
    return False


def _pager(reading: Reading, line: str, stripped: str) -> Taken:
    return _PAGER.match(stripped) is not None


_DIGITS: Tuple[Handler, ...] = (
    session.shown, session.info_row, reports.windbg_thread, tools.sampled, tools.perf_row, tools.minidump_frame,
    unnumbered.digit,
)  # fmt: skip
# By a line's first character, in the order in which they are asked.
_HANDLERS: Dict[str, Tuple[Handler, ...]] = {
    "#": (kernels.crash_tool,),
    "P": (kernels.crash_task, reports.words, tools.abseil),
    "@": (tools.abseil,),
    "p": (tools.tombstone,),
    "/": (kernels.proc_task,),
    "T": (session.thread_heading, reports.thread_heading, tools.minidump_thread),
    "[": (session.selection, prose.detached, tools.screen, unnumbered.bracket, _pager, prose.noise),
    "(": (session.prompt,),
    "*": (session.star,),
    "t": (session.lldb_thread,),
    "f": (session.lldb_frame,),
    "=": (kernels.proc_task, reports.equals, prose.side_heading),
    "-": (_pager, reports.lwp_heading, tools.command, tools.reported),
    "B": (session.stopped_unwinding, reports.words),
    "C": (session.stopped_unwinding, reports.words),
    "S": (reports.words,),
    "s": (reports.words,),
    "g": (reports.words,),
    "►": (unnumbered.arrow,),
    "▸": (unnumbered.arrow,),
    "→": (unnumbered.arrow,),
    ".": (reports.windbg_thread,),
    **dict.fromkeys("0123456789", _DIGITS),
}
