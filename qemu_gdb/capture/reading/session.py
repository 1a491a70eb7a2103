"""A debugger's session: its prompts and commands, the threads that it lists, heads, selects and stops."""

from __future__ import annotations

import re

from qemu_gdb.capture import frames, messages
from qemu_gdb.capture.dialects import apple, gdb, machine
from qemu_gdb.capture.reading import kernels
from qemu_gdb.capture.reading.state import DISPLAY, NUMBERED, Head, Reading, Taken
from qemu_gdb.model import Thread
from qemu_gdb.pattern import Pattern

PROMPT = Pattern(r"\(?(?:gdb|lldb|rr|qemu|pwndbg|gef)(?:\)|>|➤)(?:-peda\$)?\s*(?P<command>.*)$")
GDB_THREAD = Pattern(
    r"Thread (?P<number>\d{1,9})(?P<middle>(?: \"[^\"]*\")?\s*\((?:Thread|LWP|process|0x|idle|Exiting|\d).*)$",
    re.DOTALL,
)
_BARE_THREAD = Pattern(r"Thread (?:0x[0-9a-fA-F]+ )?\((?:LWP |lwp )?(?P<lwp>\d{1,10})\)[^:]*:?\s*$")
STOPPED = Pattern(
    r"Thread (?P<number>\d{1,9})(?: \"(?P<name>[^\"]*)\")? (?P<what>received signal|hit |stopped|exited|crashed|caught)"
)
_LWP = Pattern(
    r"\b(?:LWP|lwp) (\d{1,10})|\bThread (?:0x[0-9a-fA-F]+ )?\(?(\d{1,10})\)|\bprocess (\d{1,10})|\btid[= ](\d{1,10})"
    r"|\bThread \d+\.(\d{1,10})(?!\w)"
)
_QUOTED = Pattern(r'"([^"]*)"')
_CURRENT = Pattern(r"\[Current thread is (?P<number>\d{1,9})(?P<rest>.*)$")
_SWITCHING = Pattern(
    r"\[Switching to (?:(?:(?-i:thread) \d+\.|thread )(?P<number>\d{1,9})(?=[\s\](]|$))?(?P<rest>.*?)"
    r"\](?P<tail>[^\]]*)$",
    re.IGNORECASE,
)
_INFO_ROW = Pattern(r"(?P<current>\*)?\s*(?P<number>\d{1,9})\s+(?P<target>(?:Thread|LWP|process|Id)\b.*)$")
_INFO_TARGET = Pattern(
    r"(?:Thread (?:0x[0-9a-fA-F]+ )?\(LWP (?P<a>\d+)\)|LWP (?P<b>\d+)|Thread 0x[0-9a-fA-F]+"
    r"|Thread \d+\.(?P<d>\d+)(?!\w)|Thread [\d.x]+"
    r"|process (?P<c>\d+)|Thread)\s*"
    r"(?:\"(?P<name>[^\"]*)\"\s*)?(?P<frame>.*)$"
)
_OUTER_END = Pattern(r"(?:bt|backtrace|where)\b.*\s-\d+$")
_COROUTINE_COMMAND = Pattern(r"(?:qemu|source .*;)?\s*(?:qemu )?(?:coroutine|bt coroutine|co-?bt|qemu-coroutine)\b")


def _state(text: str) -> frames.State:
    depth, quoted = gdb.scan(text, 0, False)
    return frames.state(text, depth == 0 and not quoted)


def thread_heading(reading: Reading, line: str, stripped: str) -> Taken:
    """``Thread 3 (LWP 12 "io0"):``, ``Thread 3 received signal ...``."""
    if stripped.startswith("Thread "):
        match = GDB_THREAD.match(stripped)
        if match is not None:
            return _gdb_thread(reading, match, stripped)
        match = STOPPED.match(stripped)
        if match is not None:
            return _stopped(reading, match, line, stripped)
        match = _BARE_THREAD.match(stripped)
        if match is not None:
            quoted = _QUOTED.search(stripped)
            reading.head = Head(
                lwp=int(match.group("lwp")),
                name=quoted.group(1) if quoted else None,
                text=stripped[:500],
                dump=True,
            )
            reading.thread = None
            return True
    return False


def _gdb_thread(reading: Reading, match: re.Match[str], stripped: str) -> bool:
    reading.flush()
    middle = match.group("middle")
    text = stripped
    # a mailer may break the heading
    if middle.count("(") > middle.count(")") and reading.at < len(reading.lines):
        below = reading.lines[reading.at].strip()
        if below and below[0] != "#":
            text = f"{stripped} {below}"
            middle = f"{middle} {below}"
            reading.at += 1
    lwp = _LWP.search(middle)
    name = _QUOTED.search(middle)
    number = int(match.group("number"))
    reading.head = Head(
        number=number,
        lwp=int(next(g for g in lwp.groups() if g)) if lwp is not None else None,
        name=name.group(1) if name is not None else None,
        text=text[:500],
        dump=True,
    )
    if reading.selected.number == number:
        reading.head.name = reading.head.name or reading.selected.name
        reading.head.crashed = reading.selected.crashed
        reading.head.current = reading.selected.current
    reading.thread = None
    inline = re.search(r"\):?\s*(#0\s.*)$", text)
    if inline is not None:
        inner = NUMBERED.match(inline.group(1))
        if inner is not None:
            reading.begin(inner, inline.group(1))
    return True


def _stopped(reading: Reading, match: re.Match[str], line: str, stripped: str) -> bool:
    if match.group("what") == "exited":
        return False
    reading.end_stack()
    reading.selected = Head(number=int(match.group("number")), name=match.group("name"), text=stripped, current=True)
    reading.head = None
    reading.display = None
    signal = messages.signal_of(stripped)
    if signal is not None:
        reading.selected.crashed = signal.name in messages.FATAL
        reading.segment.add_signal(signal)
    reading.expect_display = True
    inline = re.search(
        r"hit (?:Hardware |Temporary )?(?:[Bb]reakpoint|watchpoint|Catchpoint) \d+(?:\.\d+)?[,:]\s*(\S.*)$",
        stripped,
    )
    if inline is not None and DISPLAY.match(inline.group(1)):
        reading.show(inline.group(1), line)
    return True


def selection(reading: Reading, line: str, stripped: str) -> Taken:
    """``[Switching to thread 3 ...]``, ``[Current thread is 1 ...]``."""
    match = _SWITCHING.match(stripped)
    if match is not None:
        rest = match.group("rest")
        lwp = _LWP.search(rest)
        found = int(next(g for g in lwp.groups() if g)) if lwp is not None else None
        name = _QUOTED.search(rest)
        if match.group("number"):
            reading.end_stack()
            reading.head = None
            reading.selected = Head(
                number=int(match.group("number")),
                lwp=found,
                name=name.group(1) if name else None,
                text=stripped,
            )
            reading.display = None
        else:
            if reading.selected.lwp is not None and reading.selected.lwp != found:
                reading.selected = Head(crashed=reading.selected.crashed, current=True)
            reading.selected.lwp = found
            reading.selected.text = reading.selected.text or stripped
        reading.expect_display = True
        tail = match.group("tail").strip()
        return tail if tail.startswith("#") else True
    match = _CURRENT.match(stripped)
    if match is not None:
        lwp = _LWP.search(match.group("rest"))
        name = _QUOTED.search(match.group("rest"))
        number = int(match.group("number"))
        head = Head(
            number=number,
            lwp=int(next(g for g in lwp.groups() if g)) if lwp is not None else None,
            name=name.group(1) if name else None,
            text=stripped,
            current=True,
            crashed=any(s.name in messages.FATAL for s in reading.segment.signals),
        )
        reading.selected = head
        threads = reading.segment.threads
        if threads and threads[-1].number is None and threads[-1].lwp is None:
            last = threads[-1]
            last.number, last.lwp, last.name = head.number, head.lwp, last.name or head.name
            last.current, last.crashed = True, head.crashed
        return True
    return False


def prompt(reading: Reading, line: str, stripped: str) -> Taken:
    """``(gdb) bt``."""
    if stripped.startswith("(More stack frames follow"):
        if reading.thread is not None:
            reading.thread.truncated_bottom = True
            reading.thread.stop_reason = ""
        return True
    match = PROMPT.match(stripped)
    if match is None:
        return False
    command = match.group("command").strip()
    if stripped.startswith("(qemu)"):
        return command if command.startswith("[") else False
    reading.flush()
    again = PROMPT.match(command)
    if again is not None and command:
        return prompt(reading, command, command)
    if command.startswith(("#", "Thread ")):
        return command
    reading.command = command
    if command and not _OUTER_END.match(command):  # "bt -6" goes on with the stack that "bt 14" began
        reading.thread = None
    reading.local = None
    if command.startswith("$") or not command:
        return True
    if "/proc/" in command and kernels.asked(reading, command):
        reading.segment.note(stripped)
        return True
    if re.match(r"(?:p|print|inspect|output|info|x)\b", command):
        reading.segment.note(stripped)  # the question to the answer that follows
    if _COROUTINE_COMMAND.match(command):
        reading.head = Head(text=stripped, coroutine=True)
        return True
    thread = re.match(r"(?:t|th|thr|thread)\s+(\d{1,9})\s*$", command)
    if thread is not None:
        reading.selected = Head(number=int(thread.group(1)), text=stripped)
        reading.head = None
        reading.display = None
        reading.expect_display = True
        return True
    if re.match(r"(?:attach|core(?:-file)?|file|target (?:create|core))\b", command) and reading.segment.threads:
        if not re.match(r"file\b", command):
            reading.boundary()
        return True
    if re.match(r"(?:c|continue|r|run|s|step|n|next|stepi|nexti|ni|si|until|jump)\b", command):
        reading.expect_display = True
        reading.display = None
    return True


def info_row(reading: Reading, line: str, stripped: str) -> Taken:
    """A row of ``info threads``."""
    match = _INFO_ROW.match(stripped)
    if match is None:
        return False
    target = _INFO_TARGET.match(match.group("target"))
    if target is None:
        return False
    number = int(match.group("number"))
    lwp = target.group("a") or target.group("b") or target.group("c") or target.group("d")
    text = target.group("frame").strip()
    while text and _state(text) is frames.State.OPEN and reading.at < len(reading.lines):
        below = reading.lines[reading.at].strip()
        if not below or _INFO_ROW.match(below) or len(text) > 4000 or PROMPT.match(below):
            break
        text = f"{text} {below}"
        reading.at += 1
    if reading.at < len(reading.lines):
        below = reading.lines[reading.at].strip()
        if text and _state(text) is frames.State.SOFT and below.startswith(("at ", "from ")):
            text = f"{text} {below}"
            reading.at += 1
    thread = Thread(number=number, lwp=int(lwp) if lwp else None, name=target.group("name"), heading=stripped[:500])
    if text == "(running)":
        reading.segment.note(line)
    elif text and frames.looks_like_frame(text):
        frame, _ = frames.parse(0, text)
        if frame is not None:
            thread.frames.append(frame)
    thread.current = bool(match.group("current"))
    thread.truncated_bottom = True
    reading.segment.rows[number] = thread
    if thread.current:
        crashed = reading.selected.crashed and reading.selected.number in (None, number)
        reading.selected = Head(
            number=number, lwp=thread.lwp, name=thread.name, text=stripped[:500], current=True, crashed=crashed
        )
    return True


def star(reading: Reading, line: str, stripped: str) -> Taken:
    """The mark of what is selected, in gdb's and lldb's tables."""
    if stripped.startswith("***"):
        return False
    rest = stripped[1:].lstrip()
    if rest.startswith("frame #") or rest.startswith("#") and NUMBERED.match(rest):
        return rest
    if rest.startswith("thread #"):
        return lldb_thread(reading, line, stripped)
    if rest[:1].isdigit():
        return info_row(reading, line, stripped)
    return False


def lldb_thread(reading: Reading, line: str, stripped: str) -> Taken:
    """``* thread #1, name = 'qemu', stop reason = ...``."""
    heading = apple.lldb_heading(stripped)
    if heading is None:
        return False
    reading.end_stack()
    crashed = False
    if heading.stop:
        signal = messages.signal_of(stripped)
        if signal is not None:
            reading.segment.add_signal(signal)
            crashed = signal.name in messages.FATAL
    reading.head = Head(
        number=heading.number,
        lwp=heading.lwp,
        name=heading.name,
        text=stripped[:500],
        current=heading.current,
        crashed=crashed,
        dump=False,
    )
    reading.segment.dialects.setdefault("lldb", 0)
    return True


def lldb_frame(reading: Reading, line: str, stripped: str) -> Taken:
    """``frame #0: 0x... qemu`f(x=1) at a.c:2``."""
    if stripped.startswith("frame #"):
        # lldb, with the arguments perhaps broken by a mailer
        text = stripped
        for _ in range(20):
            if text.count("(") <= text.count(")") or reading.at >= len(reading.lines):
                break
            below = reading.lines[reading.at].strip()
            if not below or below.startswith(("frame #", "* ", "thread #", "(lldb)")):
                break
            text = f"{text} {below}"
            reading.at += 1
        frame = apple.lldb_frame(text)
        if frame is not None:
            reading.add(frame, "lldb")
            return True
        return False
    return stripped.startswith("frame=") and mi(reading, stripped)


def mi(reading: Reading, stripped: str) -> bool:
    """Records of gdb's machine interface: ``^done,stack=[...]``, ``^done,threads=[...]``, ``*stopped,...``."""
    if "target-id=" in stripped:
        for thread, lwp, name, frame in machine.threads(stripped):
            row = Thread(number=thread, lwp=lwp, name=name, heading=f"thread {thread}", truncated_bottom=True)
            row.frames = [frame] if frame is not None else []
            row.current = machine.current(stripped) == thread
            reading.segment.rows[thread] = row
        return bool(reading.segment.rows)
    found = machine.frames(stripped)
    stop = machine.stopped(stripped)
    if stop is not None:
        number, signal_name = stop
        reading.end_stack()
        reading.selected = Head(number=number, text=stripped[:500], current=True)
        reading.head = None
        reading.display = found[0] if found else None
        if signal_name is not None:
            signal = messages.signal_named(signal_name, None, stripped)
            reading.segment.add_signal(signal)
            reading.selected.crashed = signal.name in messages.FATAL
        return True
    for frame in found:
        reading.add(frame, "gdb-mi")
    return bool(found)


def shown(reading: Reading, line: str, stripped: str) -> Taken:
    """``0x... in f () from ...``: the frame that the debugger shows where it stops."""
    if not stripped.startswith("0x"):
        return False
    if reading.expect_display and DISPLAY.match(stripped):
        reading.show(stripped, line)
        return True
    if "located" in stripped:
        reading.segment.note(line)
        return True
    if DISPLAY.match(stripped) and not reading.segment.threads and reading.thread is None and reading.display is None:
        reading.show(stripped, line)
        return True
    return False


def stopped_unwinding(reading: Reading, line: str, stripped: str) -> Taken:
    """``Backtrace stopped: ...``, ``Cannot access memory at address ...`` below a stack."""
    if reading.thread is None or not stripped.startswith(("Backtrace stopped", "Cannot access memory at")):
        return False
    reading.thread.stop_reason = stripped[:300]
    return True
