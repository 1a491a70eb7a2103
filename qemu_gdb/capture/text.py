"""Turns a pasted backtrace into Snapshots, one for each process or dump in the text, for whoever has only text."""

from __future__ import annotations

import gc
import os
import re
import sys
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Union

from qemu_gdb.capture import clean, frames, messages
from qemu_gdb.capture.assemble import Segment, finish
from qemu_gdb.capture.dialects import apple, foreign, gdb, plain, reports, sanitizer, windows
from qemu_gdb.capture.pattern import Pattern
from qemu_gdb.model import Frame, Message, Notice, Signal, Snapshot, Thread

MAX_LOCALS = 200  # of one frame
MAX_LOCAL = 2000  # characters of one local's value


class UnreadableText(ValueError):
    """The input is no text that could hold a stack; the message says what was expected and what was found."""


def read(source: Union[bytes, str, os.PathLike[str]]) -> str:
    """The text of ``source``, a file's name or its bytes, in whatever encoding it is.

    :raises UnreadableText: it is empty, an ELF file or otherwise no text
    :raises OSError: the file can't be read
    """
    if isinstance(source, bytes):
        data = source
    else:
        with open(source, "rb") as file:
            data = file.read()
    if not data.strip():
        raise UnreadableText("expected the text of a backtrace, found nothing: the input is empty")
    if data.startswith(b"\x7fELF"):
        kind = data[16:18]
        what = "a core file" if kind in (b"\x04\x00", b"\x00\x04") else "an ELF file"
        raise UnreadableText(f"expected the text of a backtrace, found {what}: open it in gdb instead")
    for magic, name in (
        (b"\x1f\x8b", "gzip"),
        (b"\xfd7zXZ", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"PK\x03\x04", "zip"),
        (b"BZh", "bzip2"),
    ):
        if data.startswith(magic):
            raise UnreadableText(f"expected the text of a backtrace, found {name}-compressed data: unpack it first")
    text = _decode(data)
    sample = text[:65536]
    odd = sum(map(sample.count, _CONTROLS)) + sample.count("\ufffd")
    if odd * 10 > len(sample) and not re.search(r"#\d+ +\S", text[: 1 << 20]):
        raise UnreadableText("expected the text of a backtrace, found binary data")
    return text


_CONTROLS = [chr(c) for c in range(32) if chr(c) not in "\t\n\r\f\b\x1b"] + ["\x7f"]


def _decode(data: bytes) -> str:
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe\x00\x00", "utf-32"),
        (b"\x00\x00\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    sample = data[:4096]
    if len(sample) >= 8:
        if sample[1::2].count(0) * 10 > len(sample) * 4:
            return data.decode("utf-16-le", "replace")
        if sample[0::2].count(0) * 10 > len(sample) * 4:
            return data.decode("utf-16-be", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "replace")
    if text.count("\ufffd") * 20 > len(text):
        return text
    # a few stray bytes: an 8-bit charset in an argument's string
    return text


def parse(text: str) -> List[Snapshot]:
    """One Snapshot for each process or dump in ``text``; never empty.

    Where nothing is found, one Snapshot without threads has every line in ``unparsed``.
    """
    head = text.lstrip()[:1]
    if head == "{" and ('"frames"' in text or '"stacktrace"' in text):
        found = _parse_json(text)
        if found is not None:
            return found
    lines, _ = clean.clean(text)
    reader = _Reader(lines)
    collecting = gc.isenabled()
    gc.disable()  # nothing below makes a cycle, and every pass over millions of new objects costs seconds
    try:
        reader.run()
        snapshots = finish(reader.segments)
    finally:
        if collecting:
            gc.enable()
    if reader.cut:
        snapshots[0].notices.append(Notice("notice.truncated", f"{reader.cut} long values in the text were shortened"))
    return snapshots


def _parse_json(text: str) -> Optional[List[Snapshot]]:
    segment = Segment()
    try:
        for heading, stack, crashed, thread in reports.json_threads(text):
            if not stack:
                continue
            number = thread.get("id")
            segment.add_thread(
                Thread(
                    frames=stack,
                    lwp=number if isinstance(number, int) else None,
                    name=thread.get("name") if isinstance(thread.get("name"), str) else None,
                    heading=heading,
                    crashed=crashed,
                    current=crashed,
                )
            )
    except ValueError:
        return None
    if not segment.threads:
        return None
    segment.dialects["json"] = 1
    match = re.search(r'"signal"\s*:\s*(?:"(SIG[A-Z]+)"|(\d+))', text)
    if match is not None:
        segment.signals.append(
            messages.signal_named(match.group(1), int(match.group(2)) if match.group(2) else None, match.group())
        )
    match = re.search(r'"(?:executable|procPath|procName)"\s*:\s*"([^"]+)"', text)
    if match is not None:
        segment.program = match.group(1).replace("\\/", "/").rsplit("/", 1)[-1]
    return finish([segment])


# --------------------------------------------------------------------------------------------------------------
# Lines

_NUMBERED = Pattern(r"(?:[*+•|-]\s+|`)?#\s?(?P<level>\d{1,7})(?!\d)[:.]?\s*(?P<rest>.*)$", re.DOTALL)
_PREFIX = Pattern(
    r"(?:(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s+\d{1,2} \d\d:\d\d:\d\d(?:\.\d+)?|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*)"
    r"\s+\S+\s+[\w./@-]+(?:\[\d+\])?: ?(?:\[ *\d+\.\d+\] ?)?"
)
_DMESG = Pattern(r"(?:<\d>)?\[ *\d+\.\d{3,9}\](?:\[ *[CT]?\d+\])? ?")
_PAGER = Pattern(r"-{2,3}(?:Type <(?:RET|return)>|\(?more\)?-|More--)", re.IGNORECASE)
_PAGER_INSIDE = Pattern(
    r"-{2,3}Type <(?:RET|return)> (?:for more|to continue)(?:, (?:or )?q(?: <(?:RET|return)>)? to quit)?(?:, c to continue without paging)?-{2,3}[cq]?"
)
_PROMPT = Pattern(r"\(?(?:gdb|lldb|rr|qemu|pwndbg|gef)(?:\)|>|➤)(?:-peda\$)?\s*(?P<command>.*)$")
_GDB_THREAD = Pattern(
    r"Thread (?P<number>\d{1,9})(?P<middle>(?: \"[^\"]*\")?\s*\((?:Thread|LWP|process|0x|idle|Exiting|\d).*)$",
    re.DOTALL,
)
_STOPPED = Pattern(
    r"Thread (?P<number>\d{1,9})(?: \"(?P<name>[^\"]*)\")? (?P<what>received signal|hit |stopped|exited|crashed|caught)"
)
_LWP = Pattern(
    r"\b(?:LWP|lwp) (\d{1,10})|\bThread (?:0x[0-9a-fA-F]+ )?\(?(\d{1,10})\)|\bprocess (\d{1,10})|\btid[= ](\d{1,10})"
)
_QUOTED = Pattern(r'"([^"]*)"')
_CURRENT = Pattern(r"\[Current thread is (?P<number>\d{1,9})(?P<rest>.*)$")
_SWITCHING = Pattern(
    r"\[Switching to (?:thread (?:\d+\.)?(?P<number>\d{1,9})(?=[\s\](]|$))?(?P<rest>.*?)\](?P<tail>[^\]]*)$",
    re.IGNORECASE,
)
_STACK_OF = Pattern(
    r"(?:Stack trace of|Backtrace of|Stack of) thread (?P<lwp>\d{1,10})\b(?P<rest>[^#]*)", re.IGNORECASE
)
_TID = Pattern(r"TID (?P<lwp>\d{1,10})(?:\s+\"?(?P<name>[^\":]+)\"?)?:\s*$")
_ABRT = Pattern(r"Thread no\. (?P<number>\d{1,9}) \((?P<count>\d+) frames?\)")
_INFO_ROW = Pattern(r"(?P<current>\*)?\s*(?P<number>\d{1,9})\s+(?P<target>(?:Thread|LWP|process|Id)\b.*)$")
_INFO_TARGET = Pattern(
    r"(?:Thread (?:0x[0-9a-fA-F]+ )?\(LWP (?P<a>\d+)\)|LWP (?P<b>\d+)|Thread 0x[0-9a-fA-F]+|Thread [\d.x]+|process (?P<c>\d+)|Thread)\s*"
    r"(?:\"(?P<name>[^\"]*)\"\s*)?(?P<frame>.*)$"
)
_DISPLAY = Pattern(r"(?:0x[0-9a-fA-F]+ in \S|0x[0-9a-fA-F]+ in\s*$|[A-Za-z_~][^\s(]{0,300} \()")
_SOURCE_LINE = Pattern(r"\d{1,7}(?:\t|\s{2,}|\s+in\s)")
_LOCAL = Pattern(r"(?P<indent>\s+)(?P<name>[A-Za-z_][\w.]*(?: <[^>]*>)?)\s=(?:\s(?P<value>.*))?$", re.DOTALL)
_CUT = Pattern(
    r"(?:\(More stack frames follow\.\.\.\)|\(?\.\.\.+\)?|\[\.\.\.+\]|(?:\.{3,}|…+)\s*$|<?snip>?|\[snip\]|---+\s*snip)",
    re.IGNORECASE,
)
_CORE_OF = Pattern(r"Core was generated by [`'\"]?(?P<command>.*?)['\"`]?\.?\s*$")
_DUMPED = Pattern(r"Process (?P<pid>\d+) \((?P<program>[^)]*)\) of user \S+ (?:dumped core|terminated)")
_PROCESS_HINT = Pattern(r"[Pp]roc|PID|PROC|generated by|tach|stack |gdb|WineD|====* ?pid")
_DETACHED = Pattern(
    r"\[?(?:Inferior \d+ \(process \d+\)|Process \d+) (?:detached|exited|killed)|Detaching from (?:program|process)"
)
_PROCESS = Pattern(
    r"(?:PROCESS:\s*(?P<a>\d+)|Attaching to (?:program: .*, )?process (?P<b>\d+)|PID (?P<c>\d+) - (?:process|core)|"
    r"Process (?P<d>\d+) (?:launched|attached|stopped)|Process:\s+\S.* \[(?P<e>\d+)\]|=+ ?(?:pid|process) (?P<f>\d+)|"
    r"\S*pstack (?P<g>\d+)|WineDbg starting on pid (?P<i>\w+)|.*\bgdb\b.* (?:-p|--pid)[ =](?P<h>\d+))"
)
_SIDE = Pattern(
    r"[\W_]*(?:on |in |of |the |from )*\b(?P<side>src|source|dst|dest|destination|target|libvirtd?|qemu(?!-[a-z])|host|sender|receiver)\b"
    r"[^.,;?!`'\"]{0,50}?[\W_]*$",
    re.IGNORECASE,
)
_SIDES = {
    "source": "src",
    "sender": "src",
    "dest": "dst",
    "destination": "dst",
    "target": "dst",
    "receiver": "dst",
    "libvirtd": "libvirt",
}
_COROUTINE_COMMAND = Pattern(r"(?:qemu|source .*;)?\s*(?:qemu )?(?:coroutine|bt coroutine|co-?bt|qemu-coroutine)\b")
_COROUTINE_PROSE = Pattern(
    r"\b(?:coroutine|connection_co|_co)\b.*\b(?:stack|backtrace|bt|trace)\b|\b(?:stack|backtrace|trace)\b.*\bcoroutine\b",
    re.IGNORECASE,
)
_NOISE = (
    "[New ", "[Thread debugging", "Using host libthread_db", "[Detaching", "Missing separate debuginfo", "No locals.",
    "No symbol table info", "Reading symbols from", "Loaded symbols", "Symbols already loaded", "Downloading ",
    "Enable debuginfod", "This GDB supports", "Debuginfod has been", "To make this setting", "Type \"apropos",
    "For help, type", "Find the GDB manual", "<http://www.gnu.org", "warning: ", "Python Exception <class", "Locals:",
    "[Inferior", "Backtrace:", "Symbols already",
)  # fmt: skip


@dataclass
class _Head:
    """What the lines above a stack say about its thread."""

    number: Optional[int] = None
    lwp: Optional[int] = None
    name: Optional[str] = None
    text: str = ""
    current: bool = False
    crashed: bool = False
    coroutine: bool = False
    history: bool = False
    dump: bool = False  # one of "thread apply all", or of a report of all threads
    truncated_top: bool = False

    def thread(self) -> Thread:
        """A Thread without frames."""
        return Thread(
            number=self.number,
            lwp=self.lwp,
            name=self.name or None,
            heading=self.text,
            current=self.current,
            crashed=self.crashed,
            coroutine=self.coroutine,
            history=self.history,
            truncated_top=self.truncated_top,
        )


@dataclass
class _Pending:
    """A numbered frame of which more lines may come."""

    level: int
    parts: List[str]
    raw: List[str]
    display: bool = False
    depth: int = 0  # parentheses open at the end of it
    quoted: bool = False  # whether a string is
    state: frames.State = frames.State.OPEN

    def __post_init__(self) -> None:
        self._look(self.parts[0], self.parts[0])

    def _look(self, text: str, added: str) -> None:
        self.depth, self.quoted = gdb.scan(added, self.depth, self.quoted)
        self.state = frames.state(text, self.depth == 0 and not self.quoted)

    def add(self, line: str, text: str) -> str:
        """Take a further line; the whole text so far."""
        self.raw.append(line)
        joined = frames.join([self.parts[0], text])
        self.parts[0] = joined
        self._look(joined, text)
        return joined


def _state(text: str) -> frames.State:
    depth, quoted = gdb.scan(text, 0, False)
    return frames.state(text, depth == 0 and not quoted)


class _Reader:
    """Goes through the lines once and sorts them into segments."""

    def __init__(self, lines: List[str]) -> None:
        self.lines = lines
        self.at = 0
        self.segment = Segment()
        self.segments = [self.segment]
        self.thread: Optional[Thread] = None
        self.head: Optional[_Head] = None
        self.selected = _Head()  # the thread that the debugger has selected
        self.pending: Optional[_Pending] = None
        self.display: Optional[Frame] = None  # what the debugger showed of the selected thread's frame 0
        self.expect_display = False
        self.local: Optional[str] = None  # the local whose value may go on
        self.local_indent = 0
        self.command = ""
        self.mode = ""  # go, kernel, windbg, perf, list: dialects whose lines need the context
        self.side = ""
        self.process = ""
        self.cut = 0
        self.program_lines = 0

    def run(self) -> None:
        """Read every line."""
        lines = self.lines
        count = len(lines)
        while self.at < count:
            line = lines[self.at]
            self.at += 1
            stripped = line.strip()
            if not stripped:
                self._blank()
                continue
            if self.pending is not None and self._continue(line, stripped):
                continue
            self._line(line, stripped)
        self._flush()
        self._end_stack()
        self._use_display()

    # ---- frames that are broken over lines

    def _blank(self) -> None:
        self.mode = "" if self.mode in ("list", "perf") else self.mode
        self.local = None
        pending = self.pending
        if pending is None:
            return
        if pending.state is frames.State.OPEN or pending.state is frames.State.PATH:
            for ahead in range(self.at, min(self.at + 3, len(self.lines))):
                below = self.lines[ahead].strip()
                if not below:
                    continue
                if below[0] != "#" and frames.continuation(below) or _PAGER.match(below):
                    return
                break
        elif pending.state is frames.State.SOFT and self.at < len(self.lines):
            below = self.lines[self.at].strip()
            if below.startswith(("at ", "from ")) and frames.accepts(pending.state, pending.parts[-1], below):
                return
        self._flush()

    def _continue(self, line: str, stripped: str) -> bool:
        pending = self.pending
        assert pending is not None
        first = stripped[0]
        if first == "-" and _PAGER.match(stripped):
            return True
        if (
            pending.state is frames.State.DONE
            or (first == "#" and _NUMBERED.match(stripped))
            or (first == "T" and (_GDB_THREAD.match(stripped) or _STOPPED.match(stripped)))
            or (first == "f" and stripped.startswith("frame #"))
            or (
                first in "(["
                and (_PROMPT.match(stripped) or stripped.startswith(("[New ", "[Switching", "[Current", "[Thread ")))
            )
            or (first == "B" and stripped.startswith("Backtrace stopped"))
            or (pending.state is not frames.State.PATH and line[0].isspace() and _LOCAL.match(line))
            or stripped.startswith(("No locals.", "No symbol table", "==", "Stack trace of"))
        ):
            self._flush()
            return False
        text = pending.parts[0]
        if not frames.accepts(pending.state, text, stripped):
            self._flush()
            return False
        if pending.state is frames.State.OPEN and not text and not frames.looks_like_frame(stripped):
            self._flush()
            return False
        joined = pending.add(line, _PAGER_INSIDE.sub(" ", stripped) if "--Type" in stripped else stripped)
        if len(pending.raw) > frames.MAX_PARTS or len(joined) > frames.MAX_LENGTH:
            self._flush()
        return True

    def _flush(self) -> None:
        pending = self.pending
        if pending is None:
            return
        self.pending = None
        text = pending.parts[0]
        if "--Type" in text:
            text = _PAGER_INSIDE.sub(" ", text)
        frame, dialect = frames.parse(pending.level, text)
        if frame is None:
            self.segment.unparsed.extend(pending.raw)
            return
        if pending.display:
            self.display = frame
            return
        self._add(frame, dialect)

    def _add(self, frame: Frame, dialect: str) -> None:
        if frame.function is not None and len(frame.function) < 200:
            frame.function = sys.intern(frame.function)
        if frame.file is not None and len(frame.file) < 300:
            frame.file = sys.intern(frame.file)
        if frame.library is not None and len(frame.library) < 300:
            frame.library = sys.intern(frame.library)
        thread = self.thread
        if self.command and self._shown_again(frame):
            return
        if thread is None or self.head is not None or (thread.frames and frame.level <= thread.frames[-1].level):
            thread = self._start(frame)
        self.segment.dialects[dialect] = self.segment.dialects.get(dialect, 0) + 1
        thread.frames.append(frame)
        if dialect in ("kernel", "go"):
            self.segment.foreign.add(id(thread))
        elif dialect == "glibc":
            self.segment.printed.add(id(thread))
        self.segment.stack_goes_on()
        self.local = None
        self.expect_display = False

    def _shown_again(self, frame: Frame) -> bool:
        """Whether this is one frame that ``frame N`` or ``up`` shows, not a stack."""
        word = self.command.split(" ", 1)[0] if self.command else ""
        if (
            word not in ("frame", "f", "up", "down", "fr", "select-frame", "finish", "fin", "list", "l", "info")
            or self.head
        ):
            return False
        self.command = ""
        if word == "info" or self.segment.threads:
            self.thread = None
            return True
        return False

    def _start(self, frame: Frame) -> Thread:
        """The thread that ``frame`` begins."""
        self._end_stack()
        head = self.head
        self.head = None
        if head is None:
            head = self.selected
            if head.number is None and head.lwp is None and head.name is None:
                head = _Head(text=head.text, crashed=head.crashed, current=head.current, coroutine=head.coroutine)
            self.selected.coroutine = False
        thread = head.thread()
        self.segment.add_thread(thread, dump=head.dump)
        if frame.level == 1 and self.display is not None and not head.dump:
            self.display.level = 0
            thread.frames.append(self.display)
        self.display = None
        self.thread = thread
        return thread

    def _end_stack(self) -> None:
        self.thread = None
        self.local = None

    def _use_display(self) -> None:
        """Make a stack of the one frame that the debugger showed, where no stack followed."""
        if self.display is not None and not self.segment.threads:
            frame, self.display = self.display, None
            frame.level = 0
            thread = self.selected.thread()
            thread.frames.append(frame)
            thread.truncated_bottom = True
            self.segment.add_thread(thread)
            self.segment.dialects["gdb"] = self.segment.dialects.get("gdb", 0) + 1
        self.display = None

    def _boundary(self, begins: bool = True) -> None:
        """What follows is another process; ``begins``: and this line is its first, not the last of the one before."""
        self._flush()
        self._end_stack()
        self._use_display()
        if self.segment.threads:
            self.segment = self.segment.successor() if begins else Segment()
            self.segments.append(self.segment)
        self.head = None
        self.selected = _Head()
        self.display = None

    # ---- whole lines

    def _line(self, line: str, stripped: str) -> None:
        first = stripped[0]
        if first == "#":
            frame = gdb.usual_frame(stripped)
            if frame is not None:
                self._flush()
                self._add(frame, "gdb")
                return
            match = _NUMBERED.match(stripped)
            if match is not None and self._numbered(match, line):
                return
        elif first in "JFMASOND2":
            prefix = _PREFIX.match(stripped)
            if prefix is not None:
                rest = stripped[prefix.end() :]
                if rest.strip():
                    self._line(rest, rest.strip())
                return
        if first == "[" or first == "<":
            prefix = _DMESG.match(stripped)
            if prefix is not None and prefix.end() < len(stripped):
                self.mode = self.mode or "dmesg"
                rest = stripped[prefix.end() :]
                if rest.strip():
                    self._line(rest, rest.strip())
                return
        handler = _HANDLERS.get(first)
        if handler is not None and handler(self, line, stripped):
            return
        if line[0].isspace() and self._local(line):
            return
        if self.mode and self._in_mode(line, stripped):
            return
        if self._anywhere(line, stripped):
            return
        self._other(line, stripped)

    def _numbered(self, match: re.Match[str], line: str) -> bool:
        rest = match.group("rest")
        if not frames.looks_like_frame(rest):
            return False
        if line.endswith("```"):
            rest = rest.rstrip("`")
        self._flush()
        rest = rest.rstrip()
        if "--Type" in rest:
            rest = _PAGER_INSIDE.sub(" ", rest)
        self.pending = _Pending(int(match.group("level")), [rest], [line])
        return True

    def _local(self, line: str) -> bool:
        """A line of ``bt full`` below a frame."""
        thread = self.thread
        if thread is None or not thread.frames:
            return False
        frame = thread.frames[-1]
        match = _LOCAL.match(line)
        if match is not None:
            indent = len(match.group("indent").expandtabs())
            if self.local is None or indent <= self.local_indent:
                if len(frame.locals) >= MAX_LOCALS:
                    return True
                self.local = match.group("name")
                self.local_indent = indent
                value = (match.group("value") or "").strip()
                self.cut += len(value) > MAX_LOCAL
                frame.locals[sys.intern(self.local)] = sys.intern(value) if len(value) < 20 else value[:MAX_LOCAL]
                return True
        if self.local is not None:
            indent = (
                len(line.expandtabs()) - len(line.expandtabs().lstrip()) if len(line) < 4096 else self.local_indent + 1
            )
            value = frame.locals.get(self.local, "")
            if indent > self.local_indent:
                if len(value) < MAX_LOCAL:
                    frame.locals[self.local] = (value + " " + line.strip()[:MAX_LOCAL]).strip()
                return True
        return False

    def _in_mode(self, line: str, stripped: str) -> bool:
        mode = self.mode
        level = len(self.thread.frames) if self.thread is not None and self.head is None else 0
        if mode == "go":
            if self.thread is not None and self.thread.frames and line[0].isspace():
                return foreign.go_place(stripped, self.thread.frames[-1])
            frame = foreign.go_call(stripped, level)
        elif mode == "windbg":
            frame = windows.windbg(stripped, level)
        elif mode == "perf":
            frame = plain.perf(stripped, level)
        elif mode == "kernel":
            frame = foreign.kernel(stripped, level)
        else:
            return False
        if frame is None:
            return False
        self._add(frame, mode)
        return True

    def _anywhere(self, line: str, stripped: str) -> bool:
        """Frames without a number, and what else can begin with any letter."""
        last = stripped[-1]
        level = len(self.thread.frames) if self.thread is not None and self.head is None and self.mode == "list" else 0
        if last.isdigit() and ":" in stripped[-9:]:
            frame = plain.ide(stripped, level) or plain.at_line(stripped, level)
            if frame is not None and (self.mode == "list" or self._run_of(plain.ide, plain.at_line)):
                return self._listed(frame)
        elif last == ")" or " from " in stripped:
            frame = plain.at_line(stripped, level)
            if frame is not None and (self.mode == "list" or self._run_of(plain.at_line)):
                return self._listed(frame)
        if "/0x" in stripped:
            frame = foreign.kernel(
                stripped, len(self.thread.frames) if self.thread is not None and self.mode == "kernel" else 0
            )
            if frame is not None:
                if self.mode != "kernel":
                    self.mode = "kernel"
                    self.head = self.head or _Head(text="kernel stack")
                self._add(frame, "kernel")
                return True
        if last == "]" and "[0x" in stripped:
            frame = reports.glibc(level, stripped)
            if frame is not None:
                self.mode = "list"
                return self._listed(frame, "glibc")
        if self.mode == "list" or (len(stripped) < 100 and self._run_of_names()):
            name = plain.bare_name(stripped)
            if name is not None:
                return self._listed(Frame(level, function=name))
        return False

    def _listed(self, frame: Frame, dialect: str = "list") -> bool:
        if self.mode != "list":
            self.mode = "list"
            if self.head is None:
                self.head = _Head()
            frame.level = 0
        elif self.thread is not None and self.head is None:
            frame.level = len(self.thread.frames)
        self._add(frame, dialect)
        return True

    def _run_of(self, *parsers: object) -> bool:
        """Whether the next line is a frame of the same kind: one alone is a sentence."""
        for ahead in range(self.at, min(self.at + 2, len(self.lines))):
            below = self.lines[ahead].strip()
            if below:
                return any(parser(below, 0) is not None for parser in parsers if callable(parser))
        return False

    def _run_of_names(self) -> bool:
        """Whether this line and the next three hold nothing but names of functions."""
        if self.at + 3 > len(self.lines):
            return False
        names = 0
        marked = 0
        for ahead in range(self.at - 1, self.at + 3):
            below = self.lines[ahead].strip()
            name = plain.bare_name(below) if below and len(below) < 100 else None
            if name is None:
                return False
            names += 1
            marked += "_" in name or "(" in below
        return names == 4 and marked >= 3

    # ---- handlers by the first character

    def _on_thread(self, line: str, stripped: str) -> bool:
        if stripped.startswith("Thread "):
            match = _GDB_THREAD.match(stripped)
            if match is not None:
                return self._gdb_thread(match, stripped)
            match = _STOPPED.match(stripped)
            if match is not None:
                return self._stopped(match, line, stripped)
            match = _ABRT.match(stripped)
            if match is not None:
                self.head = _Head(number=int(match.group("number")), text=stripped, dump=True)
                self.mode = ""
                return True
            heading = sanitizer.heading(stripped)
            if heading is not None:
                return self._sanitizer(heading, stripped)
            match = apple.CRASH_THREAD.match(stripped)
            if match is not None and (match.group("crashed") or match.group("colon")):
                name = match.group("name") or match.group("queue")
                self.head = _Head(
                    number=int(match.group("number")),
                    name=name if name and not name.startswith("Dispatch queue") else None,
                    text=stripped,
                    crashed=bool(match.group("crashed")),
                    current=bool(match.group("crashed")),
                    dump=True,
                )
                return True
        elif stripped.startswith("TID "):
            match = _TID.match(stripped)
            if match is not None:
                self.head = _Head(lwp=int(match.group("lwp")), name=match.group("name"), text=stripped, dump=True)
                return True
        return False

    def _gdb_thread(self, match: re.Match[str], stripped: str) -> bool:
        self._flush()
        middle = match.group("middle")
        text = stripped
        # a mailer may break the heading
        if middle.count("(") > middle.count(")") and self.at < len(self.lines):
            below = self.lines[self.at].strip()
            if below and below[0] != "#":
                text = f"{stripped} {below}"
                middle = f"{middle} {below}"
                self.at += 1
        lwp = _LWP.search(middle)
        name = _QUOTED.search(middle)
        number = int(match.group("number"))
        self.head = _Head(
            number=number,
            lwp=int(next(g for g in lwp.groups() if g)) if lwp is not None else None,
            name=name.group(1) if name is not None else None,
            text=text[:500],
            dump=True,
        )
        if self.selected.number == number:
            self.head.name = self.head.name or self.selected.name
            self.head.crashed = self.selected.crashed
            self.head.current = self.selected.current
        self.thread = None
        inline = re.search(r"\):?\s*(#0\s.*)$", text)
        if inline is not None:
            inner = _NUMBERED.match(inline.group(1))
            if inner is not None:
                self._numbered(inner, inline.group(1))
        return True

    def _stopped(self, match: re.Match[str], line: str, stripped: str) -> bool:
        if match.group("what") == "exited":
            return False
        self._end_stack()
        self.selected = _Head(number=int(match.group("number")), name=match.group("name"), text=stripped, current=True)
        self.head = None
        self.display = None
        signal = messages.signal_of(stripped)
        if signal is not None:
            self.selected.crashed = signal.name in messages.FATAL
            self._signal(signal)
        self.expect_display = True
        inline = re.search(
            r"hit (?:Hardware |Temporary )?(?:[Bb]reakpoint|watchpoint|Catchpoint) \d+(?:\.\d+)?[,:]\s*(\S.*)$",
            stripped,
        )
        if inline is not None and _DISPLAY.match(inline.group(1)):
            self._show(inline.group(1), line)
        return True

    def _show(self, text: str, line: str) -> None:
        """A frame that the debugger shows where it stops."""
        self.pending = _Pending(0, [text.rstrip()], [line], display=True)
        self.expect_display = False

    def _on_bracket(self, line: str, stripped: str) -> bool:
        match = _SWITCHING.match(stripped)
        if match is not None:
            rest = match.group("rest")
            lwp = _LWP.search(rest)
            found = int(next(g for g in lwp.groups() if g)) if lwp is not None else None
            name = _QUOTED.search(rest)
            if match.group("number"):
                self._end_stack()
                self.head = None
                self.selected = _Head(
                    number=int(match.group("number")),
                    lwp=found,
                    name=name.group(1) if name else None,
                    text=stripped,
                )
                self.display = None
            else:
                if self.selected.lwp is not None and self.selected.lwp != found:
                    self.selected = _Head(crashed=self.selected.crashed, current=True)
                self.selected.lwp = found
                self.selected.text = self.selected.text or stripped
            self.expect_display = True
            tail = match.group("tail").strip()
            if tail.startswith("#"):
                self._line(tail, tail)
            return True
        match = _CURRENT.match(stripped)
        if match is not None:
            lwp = _LWP.search(match.group("rest"))
            name = _QUOTED.search(match.group("rest"))
            number = int(match.group("number"))
            head = _Head(
                number=number,
                lwp=int(next(g for g in lwp.groups() if g)) if lwp is not None else None,
                name=name.group(1) if name else None,
                text=stripped,
                current=True,
                crashed=any(s.name in messages.FATAL for s in self.segment.signals),
            )
            self.selected = head
            threads = self.segment.threads
            if threads and threads[-1].number is None and threads[-1].lwp is None:
                last = threads[-1]
                last.number, last.lwp, last.name = head.number, head.lwp, last.name or head.name
                last.current, last.crashed = True, head.crashed
            return True
        if _DETACHED.match(stripped):
            self._boundary(begins=False)
            return True
        if stripped.startswith("[#"):
            frame = plain.pwndbg(stripped)
            if frame is not None:
                self._add(frame, "pwndbg")
                return True
        if stripped.startswith("[<"):
            frame = foreign.kernel(
                stripped, len(self.thread.frames) if self.thread is not None and self.mode == "kernel" else 0
            )
            if frame is not None:
                if self.mode != "kernel":
                    self.mode = "kernel"
                    self.head = self.head or _Head(text="kernel stack")
                self._add(frame, "kernel")
                return True
        return bool(_PAGER.match(stripped)) or stripped.startswith(_NOISE)

    def _on_prompt(self, line: str, stripped: str) -> bool:
        if stripped.startswith("(More stack frames follow"):
            if self.thread is not None:
                self.thread.truncated_bottom = True
                self.thread.stop_reason = ""
            return True
        match = _PROMPT.match(stripped)
        if match is None:
            return False
        command = match.group("command").strip()
        if stripped.startswith("(qemu)"):
            if command.startswith("["):
                return self._on_bracket(command, command)
            return False
        self._flush()
        again = _PROMPT.match(command)
        if again is not None and command:
            return self._on_prompt(command, command)
        if command.startswith("#") or command.startswith("Thread "):
            self._line(command, command)
            return True
        self.command = command
        self.thread = None if command else self.thread
        self.local = None
        if command.startswith("$") or not command:
            return True
        if re.match(r"(?:p|print|inspect|output|info|x)\b", command):
            self.segment.note(stripped)  # the question to the answer that follows
        if _COROUTINE_COMMAND.match(command):
            self.head = _Head(text=stripped, coroutine=True)
            return True
        thread = re.match(r"(?:t|th|thr|thread)\s+(\d{1,9})\s*$", command)
        if thread is not None:
            self.selected = _Head(number=int(thread.group(1)), text=stripped)
            self.head = None
            self.display = None
            self.expect_display = True
            return True
        if re.match(r"(?:attach|core(?:-file)?|file|target (?:create|core))\b", command) and self.segment.threads:
            if not re.match(r"file\b", command):
                self._boundary()
            return True
        if re.match(r"(?:c|continue|r|run|s|step|n|next|stepi|nexti|ni|si|until|jump)\b", command):
            self.expect_display = True
            self.display = None
        return True

    def _on_star(self, line: str, stripped: str) -> bool:
        if stripped.startswith("***"):
            return False
        rest = stripped[1:].lstrip()
        if rest.startswith("frame #"):
            return self._on_frame(rest, rest)
        if rest.startswith("thread #"):
            return self._on_lldb_thread(line, stripped)
        if rest.startswith("#") and _NUMBERED.match(rest):
            self._line(rest, rest)
            return True
        if rest[:1].isdigit():
            return self._info_row(stripped)
        return False

    def _on_lldb_thread(self, line: str, stripped: str) -> bool:
        heading = apple.lldb_heading(stripped)
        if heading is None:
            return False
        self._end_stack()
        crashed = False
        if heading.stop:
            signal = messages.signal_of(stripped)
            if signal is not None:
                self._signal(signal)
                crashed = signal.name in messages.FATAL
        self.head = _Head(
            number=heading.number,
            lwp=heading.lwp,
            name=heading.name,
            text=stripped[:500],
            current=heading.current,
            crashed=crashed,
            dump=False,
        )
        self.segment.dialects.setdefault("lldb", 0)
        return True

    def _on_frame(self, line: str, stripped: str) -> bool:
        if stripped.startswith("frame #"):
            # lldb, with the arguments perhaps broken by a mailer
            text = stripped
            for _ in range(20):
                if text.count("(") <= text.count(")") or self.at >= len(self.lines):
                    break
                below = self.lines[self.at].strip()
                if not below or below.startswith(("frame #", "* ", "thread #", "(lldb)")):
                    break
                text = f"{text} {below}"
                self.at += 1
            frame = apple.lldb_frame(text)
            if frame is not None:
                self._add(frame, "lldb")
                return True
            return False
        return stripped.startswith("frame=") and self._mi(stripped)

    def _mi(self, stripped: str) -> bool:
        found = plain.mi_frames(stripped)
        for frame in found:
            self._add(frame, "gdb-mi")
        return bool(found)

    def _info_row(self, stripped: str) -> bool:
        match = _INFO_ROW.match(stripped)
        if match is None:
            return False
        target = _INFO_TARGET.match(match.group("target"))
        if target is None:
            return False
        number = int(match.group("number"))
        lwp = target.group("a") or target.group("b") or target.group("c")
        text = target.group("frame").strip()
        while text and _state(text) is frames.State.OPEN and self.at < len(self.lines):
            below = self.lines[self.at].strip()
            if not below or _INFO_ROW.match(below) or len(text) > 4000 or _PROMPT.match(below):
                break
            text = f"{text} {below}"
            self.at += 1
        if self.at < len(self.lines):
            below = self.lines[self.at].strip()
            if text and _state(text) is frames.State.SOFT and below.startswith(("at ", "from ")):
                text = f"{text} {below}"
                self.at += 1
        thread = Thread(number=number, lwp=int(lwp) if lwp else None, name=target.group("name"), heading=stripped[:500])
        if text and frames.looks_like_frame(text):
            frame, _ = frames.parse(0, text)
            if frame is not None:
                thread.frames.append(frame)
        thread.current = bool(match.group("current"))
        thread.truncated_bottom = True
        self.segment.rows[number] = thread
        if thread.current:
            crashed = self.selected.crashed and self.selected.number in (None, number)
            self.selected = _Head(
                number=number, lwp=thread.lwp, name=thread.name, text=stripped[:500], current=True, crashed=crashed
            )
        return True

    def _on_digit(self, line: str, stripped: str) -> bool:
        if stripped.startswith("0x"):
            if self.expect_display and _DISPLAY.match(stripped):
                self._show(stripped, line)
                return True
            if "located" in stripped:
                self.segment.note(line)
                return True
            if _DISPLAY.match(stripped) and not self.segment.threads and self.thread is None and self.display is None:
                self._show(stripped, line)
                return True
            return False
        if _INFO_ROW.match(stripped) and self._info_row(stripped):
            return True
        if "0x" in stripped:
            for parser, dialect in (
                (apple.crash_frame, "macos"),
                (windows.winedbg, "winedbg"),
                (plain.pwndbg, "pwndbg"),
            ):
                frame = parser(stripped)
                if frame is not None:
                    self._add(frame, dialect)
                    return True
        if "Id:" in stripped and self._windbg_thread(stripped):
            return True
        if _SOURCE_LINE.match(line) and self._after_frame() and not plain.numbered(stripped):
            self.segment.note(line)
            return True
        frame = plain.numbered(stripped)
        if frame is not None and (
            frame.level == 0 or (self.thread is not None and self.thread.frames[-1].level < frame.level)
        ):
            self._add(frame, "gdb")
            return True
        if self.mode == "windbg" or "!" in stripped:
            frame = windows.windbg(stripped, len(self.thread.frames) if self.thread is not None else 0)
            if frame is not None:
                self.mode = "windbg"
                self._add(frame, "windbg")
                return True
        if stripped.endswith(")") and self.mode == "perf":
            frame = plain.perf(
                stripped, len(self.thread.frames) if self.thread is not None and self.head is None else 0
            )
            if frame is not None:
                self._add(frame, "perf")
                return True
        return False

    def _after_frame(self) -> bool:
        return self.thread is not None or self.display is not None

    def _windbg_thread(self, stripped: str) -> bool:
        match = windows.WINDBG_THREAD.match(stripped)
        if match is None:
            return False
        self._end_stack()
        self.head = _Head(
            number=int(match.group("number")),
            lwp=int(match.group("tid"), 16),
            name=match.group("name"),
            text=stripped[:500],
            current=match.group("current") == ".",
            dump=True,
        )
        self.mode = "windbg"
        return True

    def _on_equals(self, line: str, stripped: str) -> bool:
        if stripped.startswith("=>"):
            frame = windows.winedbg(stripped)
            if frame is not None:
                self._add(frame, "winedbg")
                return True
            return False
        match = sanitizer.VALGRIND_PREFIX.match(stripped)
        if match is not None:
            return self._valgrind(stripped[match.end() :], line)
        return self._side_heading(stripped)

    def _valgrind(self, rest: str, line: str) -> bool:
        body = rest.strip()
        if not body:
            self.head = None
            self.thread = None
            return True
        if body.startswith(("at 0x", "by 0x")):
            if body.startswith("at 0x"):
                self.thread = None
            level = len(self.thread.frames) if self.thread is not None else 0
            frame = sanitizer.valgrind(level, body)
            if frame is not None:
                self.mode = "valgrind"
                self._add(frame, "valgrind")
                return True
        heading = sanitizer.heading(body)
        signal = messages.signal_of(body)
        if signal is not None:
            self._signal(signal)
        elif self.segment.signals:
            address = messages.fault_address(body)
            if address is not None and self.segment.signals[-1].address is None:
                self.segment.signals[-1].address = address
        message = messages.message_of(body)
        if message is not None:
            self._message(message)
        if heading is not None:
            self._sanitizer(heading, body)
        elif message is None:
            self.segment.note(line)
        return True

    def _sanitizer(self, heading: sanitizer.Heading, text: str) -> bool:
        self._end_stack()
        self.head = _Head(
            name=heading.name,
            text=text[:500],
            history=heading.history,
            dump=True,
        )
        return True

    def _side_heading(self, stripped: str) -> bool:
        """A line such as ``==== src stack ====`` or ``libvirt:`` above a stack."""
        if len(stripped) > 90:
            return False
        match = _SIDE.match(stripped)
        if match is None:
            return False
        below = ""
        for ahead in range(self.at, min(self.at + 3, len(self.lines))):
            below = self.lines[ahead].strip()
            if below:
                break
        if not (below.startswith(("#", "Thread ", "[Switching", "(gdb)", "0x")) or stripped.startswith("=")):
            return False
        side = match.group("side").lower()
        side = _SIDES.get(side, side)
        if self.side and side != self.side:
            self._boundary()
        self.side = side
        self.thread = None
        self.head = _Head(text=stripped)
        return True

    def _on_arrow(self, line: str, stripped: str) -> bool:
        frame = plain.pwndbg(stripped)
        if frame is None:
            return False
        self._add(frame, "pwndbg")
        return True

    def _on_dash(self, line: str, stripped: str) -> bool:
        return _PAGER.match(stripped) is not None

    def _on_letter(self, line: str, stripped: str) -> bool:
        """Headings that begin with a letter, by their first words."""
        if stripped.startswith("Backtrace stopped"):
            if self.thread is not None:
                self.thread.stop_reason = stripped[:300]
                return True
            return False
        if stripped.startswith("Cannot access memory at") and self.thread is not None:
            self.thread.stop_reason = stripped[:300]
            return True
        match = _STACK_OF.match(stripped)
        if match is not None:
            self._end_stack()
            self.head = _Head(lwp=int(match.group("lwp")), text=stripped[:500], dump=True)
            self.segment.dialects.setdefault("coredumpctl", 0)
            inline = stripped.find("#0")
            if inline > 0:
                self._line(stripped[inline:], stripped[inline:])
            return True
        match = windows.WINE_THREAD.match(stripped)
        if match is not None:
            self._end_stack()
            self.head = _Head(lwp=int(match.group("tid"), 16), text=stripped[:500], dump=True)
            if match.group("program"):
                self.segment.program = self.segment.program or re.split(r"[\\/]", match.group("program"))[-1]
            return True
        if windows.WINDBG_HEADER.match(stripped):
            self.mode = "windbg"
            self.thread = None
            return True
        match = foreign.GOROUTINE.match(stripped)
        if match is not None:
            self._end_stack()
            self.mode = "go"
            self.head = _Head(
                number=int(match.group("id")), text=stripped[:500], current="running" in match.group("state"), dump=True
            )
            self.segment.dialects.setdefault("go", 0)
            return True
        if foreign.KERNEL_TRACE.match(stripped) and self.mode in ("dmesg", "kernel"):
            self._end_stack()
            self.mode = "kernel"
            self.head = _Head(text=stripped, dump=True)
            return True
        return False

    # ---- what is no frame

    def _other(self, line: str, stripped: str) -> None:
        if self._process(stripped):
            self.segment.note(line)
            return
        if stripped.startswith(_NOISE) and not stripped.startswith("warning: "):
            return
        if (
            self.expect_display
            and _DISPLAY.match(stripped)
            and (stripped.endswith((")", ",")) or " at " in stripped or " (" in stripped)
        ):
            self._show(stripped, line)
            return
        if messages.INTERESTING.search(stripped):
            if self._tell(line, stripped):
                return
        heading = sanitizer.heading(stripped)
        if heading is not None:
            self._sanitizer(heading, stripped)
            return
        if self._side_heading(stripped):
            return
        if foreign.KERNEL_SIGN.search(stripped):
            self.mode = "kernel"
            self.segment.kernel += 1
        match = foreign.KERNEL_TASK.search(stripped)
        if match is not None and self.mode in ("kernel", "dmesg"):
            self.mode = "kernel"
            self.segment.kernel += 1
        if _CUT.match(stripped):
            self._cut_here()
        elif (
            len(stripped) < 200 and ("oroutine" in stripped or "_co" in stripped) and _COROUTINE_PROSE.search(stripped)
        ):
            self.head = _Head(text=stripped, coroutine=True)
        elif plain.PERF_SAMPLE.match(stripped):
            sample = plain.PERF_SAMPLE.match(stripped)
            assert sample is not None
            self._end_stack()
            self.mode = "perf"
            self.head = _Head(
                name=sample.group("comm"),
                lwp=int(sample.group("tid2") or sample.group("tid")),
                text=stripped[:500],
                dump=True,
            )
        elif (
            "stack=[frame={" in stripped
            and self._mi(stripped)
            or stripped.startswith("^done,stack")
            and self._mi(stripped)
        ):
            return
        elif self.head is not None and self.head.coroutine and not line[0].isspace():
            # the announced stack did not follow at once
            for ahead in range(self.at, min(self.at + 2, len(self.lines))):
                below = self.lines[ahead].strip()
                if below:
                    if not below.startswith(("#", "(gdb)", "0x", "*")):
                        self.head = None
                    break
        self.segment.note(line)

    def _cut_here(self) -> None:
        """An ellipsis: frames are missing above or below."""
        if self.thread is not None:
            self.thread.truncated_bottom = True
            self.thread = None
        for ahead in range(self.at, min(self.at + 2, len(self.lines))):
            below = self.lines[ahead].strip()
            if below.startswith("#") and self.head is not None:
                self.head.truncated_top = True

    def _process(self, stripped: str) -> bool:
        """Lines that name the process; another one than before is a boundary."""
        if not _PROCESS_HINT.search(stripped):
            return False
        match = _DUMPED.search(stripped)
        if match is not None:
            if self.segment.threads and self.process and self.process != match.group("pid"):
                self._boundary()
            self.process = match.group("pid")
            self.segment.pid = int(match.group("pid"))
            self.segment.program = match.group("program")
            return True
        match = _CORE_OF.match(stripped)
        if match is not None:
            if self.segment.core_lines:
                self._boundary()
            self.segment.core_lines += 1
            command = match.group("command")
            self.segment.command_line = command
            self.segment.program = re.split(r"[\\/]", command.split(" ")[0])[-1] or self.segment.program
            return True
        match = _PROCESS.match(stripped)
        if match is not None:
            pid = next(g for g in match.groups() if g)
            if self.process and self.process != pid:
                self._boundary()
            self.process = pid
            if self.segment.pid is None and pid.isdigit():
                self.segment.pid = int(pid)
            if stripped.startswith("PROCESS"):
                return True
            return False
        if _DETACHED.match(stripped):
            self._boundary(begins=False)
            return True
        return False

    def _tell(self, line: str, stripped: str) -> bool:
        """Signals and messages; whether the line was one."""
        told = False
        signal = messages.signal_of(stripped)
        if signal is not None:
            self._signal(signal)
            told = True
            if stripped.startswith("Program "):
                self._end_stack()
                self.selected = _Head(
                    text=stripped,
                    current=True,
                    crashed=signal.name in messages.FATAL,
                )
                self.head = None
                self.expect_display = True
                self.display = None
            kernel = messages.kernel_thread(stripped)
            if kernel is not None:
                self.segment.crashed_lwp = kernel[1]
        else:
            address = messages.fault_address(stripped)
            if address is not None and self.segment.signals and self.segment.signals[-1].address is None:
                self.segment.signals[-1].address = address
                told = True
        if stripped.startswith("Breakpoint ") or stripped.startswith("Temporary breakpoint"):
            place = re.match(r"(?:Temporary b|B)reakpoint \d+, (.*)$", stripped)
            if place is not None and _DISPLAY.match(place.group(1)):
                self._end_stack()
                self._show(place.group(1), line)
                return True
        text = stripped
        if messages.incomplete(stripped):
            for ahead in range(self.at, min(self.at + 3, len(self.lines))):
                below = self.lines[ahead].strip()
                if not below or below.startswith("#"):
                    break
                text = f"{text} {below}"
                if not messages.incomplete(text):
                    self.at = ahead + 1
                    break
        message = messages.message_of(text)
        if message is not None:
            if message.kind == "error-abort" and self.at < len(self.lines):
                below = self.lines[self.at].strip()
                if below and below[0] not in "#[(":
                    message.text = f"{message.text} {below}"[: messages.MAX_TEXT]
                    self.at += 1
            self._message(message)
            told = True
            if "Sanitizer" in text or "runtime error:" in text:
                self._end_stack()
                self.head = _Head(
                    text=text[:500],
                    dump=True,
                    crashed="ERROR" in text or "runtime error" in text,
                    current="SUMMARY" not in text,
                )
                thread = re.search(r"\bthread (?:T\d+)(?: \(([^()]*)\))?", text)
                if thread is not None and thread.group(1):
                    self.head.name = thread.group(1)
                if "SUMMARY" in text:
                    self.head = None
        return told

    def _signal(self, signal: Signal) -> None:
        self.segment.add_signal(signal)

    def _message(self, message: Message) -> None:
        if not message.text.startswith("Bail out!"):  # GLib says it a second time
            self.segment.add_message(message)


def _on_dot(reader: _Reader, line: str, stripped: str) -> bool:
    return reader._windbg_thread(stripped)


_HANDLERS: Dict[str, Callable[[_Reader, str, str], bool]] = {
    "T": _Reader._on_thread,
    "[": _Reader._on_bracket,
    "(": _Reader._on_prompt,
    "*": _Reader._on_star,
    "t": _Reader._on_lldb_thread,
    "f": _Reader._on_frame,
    "=": _Reader._on_equals,
    "-": _Reader._on_dash,
    "B": _Reader._on_letter,
    "C": _Reader._on_letter,
    "S": _Reader._on_letter,
    "g": _Reader._on_letter,
    "►": _Reader._on_arrow,
    "▸": _Reader._on_arrow,
    "→": _Reader._on_arrow,
    ".": _on_dot,
}
for _digit in "0123456789":
    _HANDLERS[_digit] = _Reader._on_digit
