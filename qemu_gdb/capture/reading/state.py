"""How far the reading of a text has come: the line, the process, the thread and the frame that are being read."""

from __future__ import annotations

import re
import sys
from typing import Callable, List, Optional, Set, Union

from qemu_gdb.capture import frames
from qemu_gdb.capture.dialects import gdb
from qemu_gdb.capture.dialects.chains import Chain
from qemu_gdb.capture.segment import Segment
from qemu_gdb.model import Frame, Message, Thread
from qemu_gdb.pattern import Pattern
from qemu_gdb.record import record

NUMBERED = Pattern(r"(?:[*+•|-]\s+|`)?#\s?(?P<level>\d{1,7})(?!\d)[:.]?\s*(?P<rest>.*)$", re.DOTALL)
PAGER_INSIDE = Pattern(
    r"-{2,3}Type <(?:RET|return)> (?:for more|to continue)(?:, (?:or )?q(?: <(?:RET"
    r"|return)>)? to quit)?(?:, c to continue without paging)?-{2,3}[cq]?"
)
DISPLAY = Pattern(r"(?:0x[0-9a-fA-F]+ in \S|0x[0-9a-fA-F]+ in\s*$|[A-Za-z_~][^\s(]{0,300} \()")


@record
class Head:
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
    pid: Optional[int] = None  # of a kernel's task: its process; 0 for a thread of the kernel itself
    guest: bool = False  # a stack of the guest's own kernel

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


@record
class Pending:
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


# What became of a line: it was taken, it was not, or a part of it is to be read as a line of its own.
Taken = Union[bool, str]
# (reading, the line, the line without blanks around it)
Handler = Callable[["Reading", str, str], Taken]


class Reading:
    """Where the reading stands; takes frames as they come and makes threads of them."""

    def __init__(self, lines: List[str]) -> None:
        self.lines = lines
        self.at = 0
        self.segment = Segment()
        self.segments = [self.segment]
        self.thread: Optional[Thread] = None
        self.head: Optional[Head] = None
        self.selected = Head()  # the thread that the debugger has selected
        self.pending: Optional[Pending] = None
        self.display: Optional[Frame] = None  # what the debugger showed of the selected thread's frame 0
        self.expect_display = False
        self.local: Optional[str] = None  # the local whose value may go on
        self.local_indent = 0
        self.command = ""
        self.mode = ""  # go, kernel, windbg, perf, list: dialects whose lines need the context
        self.side = ""
        self.process = ""
        self.sampled = ""  # the dialect of lists of frames that are samples of a processor's time
        self.task: Optional[Head] = None  # what a kernel's log says of the task whose call trace comes
        self.stopped_at: Optional[Frame] = None  # where a kernel's oops says that it stopped, above its call trace
        self.panicked: Optional[str] = None  # the thread whose Rust code did
        self.chains: List[Chain] = []  # stacks in one line, which count where the text shows no other
        self.unchained = -1  # the line up to which no such stack begins
        self.above: Optional[str] = None  # the thread's name in the row of perf report above
        self.reported: Set[str] = set()  # threads of which perf report showed a tree
        self.cut = 0

    def below(self, within: int = 1) -> str:
        """The first of the next ``within`` lines that is not empty, without the blanks around it; "" for none."""
        for line in self.lines[self.at : self.at + within]:
            below = line.strip()
            if below:
                return below
        return ""

    def begin(self, match: re.Match[str], line: str) -> bool:
        """Begin the frame that NUMBERED found in ``line``; False where it is an issue's number or the like."""
        rest = match.group("rest")
        if not frames.looks_like_frame(rest):
            return False
        if line.endswith("```"):
            rest = rest.rstrip("`")
        self.flush()
        rest = rest.rstrip()
        if "--Type" in rest:
            rest = PAGER_INSIDE.sub(" ", rest)
        self.pending = Pending(int(match.group("level")), [rest], [line])
        return True

    def flush(self) -> None:
        """The frame at hand is complete: parse it and add it."""
        pending = self.pending
        if pending is None:
            return
        self.pending = None
        text = pending.parts[0]
        if "--Type" in text:
            text = PAGER_INSIDE.sub(" ", text)
        frame, dialect = frames.parse(pending.level, text)
        if frame is None:
            self.segment.unparsed.extend(pending.raw)
            return
        if pending.display:
            self.display = frame
            return
        self.add(frame, dialect)

    def add(self, frame: Frame, dialect: str) -> None:
        """Take a frame for the stack that it goes on with, else begin one."""
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
        elif dialect in ("perf", "profile"):
            thread.sampled = True
        elif dialect == "glibc":
            self.segment.printed.add(id(thread))
        self.segment.stack_goes_on()
        self.local = None
        self.expect_display = False

    def _shown_again(self, frame: Frame) -> bool:
        """Whether this is one frame that ``frame N`` or ``up`` shows, not a stack."""
        word = self.command.split(" ", 1)[0] if self.command else ""
        if word not in ("frame", "f", "up", "down", "fr", "select-frame", "finish", "fin", "list", "l", "info"):
            return False
        self.command = ""
        if self.head:
            return False  # a thread's heading stands between: another command's output
        if word == "info" or self.segment.threads:
            self.thread = None
            return True
        return False

    def _start(self, frame: Frame) -> Thread:
        """The thread that ``frame`` begins."""
        self.end_stack()
        head = self.head
        self.head = None
        unheaded = head is None
        if head is None:
            head = self.selected
            if head.number is None and head.lwp is None and head.name is None:
                head = Head(text=head.text, crashed=head.crashed, current=head.current, coroutine=head.coroutine)
            self.selected.coroutine = False
        thread = head.thread()
        self.segment.add_thread(thread, dump=head.dump)
        if head.pid is not None:
            self.segment.process_of[id(thread)] = head.pid
        if head.guest:
            self.segment.guests.add(id(thread))
        if unheaded:
            self.segment.unheaded.add(id(thread))
        if frame.level == 1 and self.display is not None and not head.dump:
            self.display.level = 0
            thread.frames.append(self.display)
        self.display = None
        self.thread = thread
        return thread

    def end_stack(self) -> None:
        """No further frame belongs to the last stack."""
        self.thread = None
        self.local = None

    def use_display(self) -> None:
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

    def boundary(self, begins: bool = True) -> None:
        """What follows is another process; ``begins``: and this line is its first, not the last of the one before."""
        self.flush()
        self.end_stack()
        self.use_display()
        if self.segment.threads:
            self.segment = self.segment.successor() if begins else Segment()
            self.segments.append(self.segment)
        self.head = None
        self.selected = Head()
        self.display = None

    def show(self, text: str, line: str) -> None:
        """A frame that the debugger shows where it stops."""
        self.pending = Pending(0, [text.rstrip()], [line], display=True)
        self.expect_display = False

    def message(self, message: Message) -> None:
        """Take what the process said."""
        if not message.text.startswith("Bail out!"):  # GLib says it a second time
            self.segment.add_message(message)
