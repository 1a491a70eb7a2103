"""What the reasoning over one Snapshot shares: the threads' stacks and explanations, the facts, look-ups by LWP."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from ..model import Explanation, Facts, IOThread, Message, Snapshot, Thread, ThreadExplanation, VCpu
from . import own_words
from .runstate import Told, told
from .stack import Stack

if TYPE_CHECKING:
    from .held import Held
    from .waiting import Waiting


_MOST_LINES = 4000


class Subject:
    """One thread under explanation: its stack, and what has been concluded so far."""

    def __init__(self, stack: Stack, told: ThreadExplanation) -> None:
        self.stack = stack
        self.told = told
        self.waiting: Optional[Waiting] = None  # filled by waits.resolve
        self.held: List[Held] = []

    @property
    def number(self) -> Optional[int]:
        return self.told.thread.number


class Context:
    """One Snapshot under explanation."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.facts: Facts = snapshot.facts
        self.explanation = Explanation(snapshot=snapshot, program=snapshot.program, accelerator=snapshot.accelerator)
        memos: Dict[Tuple[object, ...], Dict[str, Any]] = {}
        self.subjects: List[Subject] = [
            Subject(Stack(thread, memos.setdefault(_sameness(thread), {})), ThreadExplanation(thread=thread))
            for thread in snapshot.threads
        ]
        self.explanation.threads = [subject.told for subject in self.subjects]
        self._by_lwp: Dict[int, Subject] = {
            s.told.thread.lwp: s for s in self.subjects if s.told.thread.lwp is not None
        }
        self._vcpus: Dict[int, VCpu] = {v.lwp: v for v in self.facts.vcpus if v.lwp is not None}
        self._iothreads: Dict[int, IOThread] = {i.lwp: i for i in self.facts.iothreads if i.lwp is not None}

    @functools.cached_property
    def live_subjects(self) -> List[Subject]:
        """Threads of the moment itself: without a sanitizer's history and without kernel-only threads."""
        return [s for s in self.subjects if not s.told.thread.history and not s.told.thread.kernel_only]

    @functools.cached_property
    def runstate(self) -> Optional[Told]:
        """The VM's run state, where memory or the text tells it; to be asked when the threads' waits are known."""
        return told(self)

    @functools.cached_property
    def messages(self) -> List[Message]:
        """What the process wrote, without assertions that another run failed."""
        return own_words.without(self.foreign, self.snapshot.messages)

    @functools.cached_property
    def said(self) -> List[str]:
        """What a text says beside its stacks: the messages, then the first lines that are none."""
        return [m.text for m in self.snapshot.messages] + self.snapshot.unparsed[:_MOST_LINES]

    @functools.cached_property
    def foreign(self) -> List[Message]:
        """Assertions in the text that none of its threads failed."""
        return own_words.foreign(self.snapshot.messages, self.snapshot.threads)

    def by_lwp(self, lwp: Optional[int]) -> Optional[Subject]:
        return self._by_lwp.get(lwp) if lwp is not None else None

    def vcpu_of(self, lwp: Optional[int]) -> Optional[VCpu]:
        """The vCPU that a thread runs; of one that runs all of them, the last."""
        return self._vcpus.get(lwp) if lwp is not None else None

    def iothread_of(self, lwp: Optional[int]) -> Optional[IOThread]:
        return self._iothreads.get(lwp) if lwp is not None else None

    def with_role(self, *roles: str) -> List[Subject]:
        return [s for s in self.live_subjects if s.told.role in roles]


def _sameness(thread: Thread) -> Tuple[object, ...]:
    """Equal for threads with the very same frames: a capture gives hundreds of idle ones the same objects."""
    return (*map(id, thread.frames), thread.truncated_top, thread.truncated_bottom, thread.crashed, thread.history)
