"""Which assertions of a text are of the stacks beside them: a text may quote another run's."""

from __future__ import annotations

from typing import List, Optional, Sequence

from ..knowledge.aborts import fatal_path_of
from ..knowledge.functions import is_qemu_function
from ..model import Message, Thread

_TOP = 12  # frames in which an assertion ends the process
_NEAR = 6  # frames outside of those in which the function that asserted can stand


def _asserts(thread: Thread) -> Optional[int]:
    """Position of the frame that called assert(), None where no thread's innermost frames are that."""
    if not thread.frames or thread.frames[0].level or thread.history:
        return None
    last = None
    for position, frame in enumerate(thread.frames[:_TOP]):
        row = fatal_path_of(frame.name)
        if row is not None and row.name in ("assert", "g-assert"):
            last = position
    if last is None or last + 1 >= len(thread.frames):
        return None
    return last + 1


def _base(file: Optional[str]) -> str:
    return (file or "").replace("\\", "/").rsplit("/", 1)[-1]


def _is_of(message: Message, thread: Thread) -> bool:
    position = _asserts(thread)
    if position is None:
        return any(frame.name == message.function for frame in thread.frames[: _TOP + _NEAR])
    frame = thread.frames[position]
    if not frame.file or not is_qemu_function(frame.name):
        return True  # nothing to tell it by
    if _base(frame.file) == _base(message.file) or _base(message.file).endswith((".h", ".inc")):
        return True  # or inlined into that frame
    return any(f.name == message.function for f in thread.frames[position : position + _NEAR])


def foreign(messages: Sequence[Message], threads: Sequence[Thread]) -> List[Message]:
    """The assertions that none of the threads failed, where one failed another that its frames tell."""
    told = [m for m in messages if m.kind in ("assertion", "glib") and m.function and m.file and m.line is not None]
    if not told or not any(_asserts(thread) is not None for thread in threads):
        return []
    live = [thread for thread in threads if not thread.history]
    return [m for m in told if not any(_is_of(m, thread) for thread in live)]


def own(messages: Sequence[Message], threads: Sequence[Thread]) -> List[Message]:
    """The messages without ``foreign`` ones."""
    others = {id(m) for m in foreign(messages, threads)}
    return [m for m in messages if id(m) not in others]
