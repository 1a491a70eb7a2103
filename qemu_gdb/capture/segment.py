"""A part of a pasted text that explicit signs give to one process: its stacks, and what was told near them."""

from __future__ import annotations

from dataclasses import field
from typing import Dict, List, Optional, Set, Tuple

from qemu_gdb.model import Message, Notice, Signal, Thread
from qemu_gdb.record import record


@record
class Segment:
    """What the reading of a text found of one process."""

    threads: List[Thread] = field(default_factory=list)
    dumped: Set[int] = field(default_factory=set)  # id() of threads that stand in a dump of all threads
    # messages, signals, lines that were seen when the stack before each thread ended
    marks: List[Tuple[int, int, int]] = field(default_factory=list)
    ended: Tuple[int, int, int] = (0, 0, 0)
    unheaded: Set[int] = field(default_factory=set)  # id() of threads that no line above introduced
    foreign: Set[int] = field(default_factory=set)  # id() of threads that are no stack of a process: a kernel's, Go's
    guests: Set[int] = field(default_factory=set)  # id() of stacks of the guest's own kernel
    process_of: Dict[int, int] = field(default_factory=dict)  # id() of a kernel's stack of a task: its process
    tasks_of: Set[int] = field(default_factory=set)  # processes of which both stacks are shown, some task's
    notices: List[Notice] = field(default_factory=list)
    printed: Set[int] = field(default_factory=set)  # id() of stacks that the process printed itself
    messages: List[Message] = field(default_factory=list)
    signals: List[Signal] = field(default_factory=list)
    unparsed: List[str] = field(default_factory=list)
    rows: Dict[int, Thread] = field(default_factory=dict)  # of "info threads"
    dialects: Dict[str, int] = field(default_factory=dict)
    program: Optional[str] = None
    command_line: Optional[str] = None
    pid: Optional[int] = None
    core_lines: int = 0
    dumped_core: bool = False  # a record of a crash reporter says so
    kernel: int = 0

    def add_thread(self, thread: Thread, dump: bool = False) -> None:
        """Take a thread whose frames are yet to come."""
        self.threads.append(thread)
        if dump:
            self.dumped.add(id(thread))
        self.marks.append(self.ended if len(self.threads) > 1 else (0, 0, 0))

    def stack_goes_on(self) -> None:
        """Note that what was told so far stands above the end of the last stack."""
        self.ended = (len(self.messages), len(self.signals), len(self.unparsed))

    def successor(self) -> Segment:
        """The part of the next process, with what was told since the last stack ended."""
        told, died, noted = self.ended
        after = Segment(messages=self.messages[told:], signals=self.signals[died:], unparsed=self.unparsed[noted:])
        del self.messages[told:], self.signals[died:], self.unparsed[noted:]
        return after

    def add_signal(self, signal: Signal) -> None:
        """Take a signal."""
        if len(self.signals) < 1000:
            self.signals.append(signal)

    def add_message(self, message: Message) -> None:
        """Take a message, once."""
        if len(self.messages) < 1000 and not any(m.text == message.text for m in self.messages[-20:]):
            message.thread = None
            self.messages.append(message)

    def note(self, line: str) -> None:
        """Keep a line that no stack and no message is made of."""
        self.unparsed.append(line)
