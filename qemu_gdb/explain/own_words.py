"""Which last words of a text are of the stacks beside them: a text may quote another run's, or its own subject."""

from __future__ import annotations

from typing import Dict, FrozenSet, List, Optional, Sequence

from ..knowledge.aborts import fatal_path_of
from ..knowledge.functions import is_qemu_function
from ..model import Message, Thread
from ..pattern import Pattern

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


# By which of knowledge.aborts' rows a process ends that says such a thing last. glibc's malloc says it through
# __libc_message, sysmalloc() by an assertion of its own; TCG's tcg_abort() (to 7.2) calls abort() right away.
_FITTING: Dict[str, FrozenSet[str]] = {
    "assertion": frozenset(("assert", "g-assert", "qom-cast", "ceph-assert")),
    "glib": frozenset(("g-assert", "glib", "g-malloc", "assert", "qom-cast")),
    "malloc": frozenset(("malloc", "libc")),
    "cpu-abort": frozenset(("cpu-abort",)),
    "hw-error": frozenset(("hw-error",)),
}
# rows through which nothing goes but one certain end
_TELLING = frozenset(
    ("assert", "g-assert", "malloc", "hw-error", "cpu-abort", "thread-error", "stack-smashing", "fortify")
)
# the subject line of a mail or a report: it tells of the crash, and is none of its words
_HEADER = Pattern(r"(?i)\s*(?:[>#*|]+\s*)?(?:subject|re|fwd?|title|summary)\s*:")


def _fits(message: Message, thread: Thread) -> bool:
    """Whether a thread that ends the process can have said a message last; True where its frames don't tell."""
    rows = set()
    position = -1
    for at, frame in enumerate(thread.frames[:_TOP]):
        row = fatal_path_of(frame.name)
        if row is not None:
            rows.add(row.name if row.name not in _TELLING or frame.name in row.ends else "")
            position = at
    if not rows:
        return True
    telling = rows & _TELLING
    if telling:
        return bool(rows & _FITTING.get(message.kind, telling))
    inner = thread.frames[position + 1] if position + 1 < len(thread.frames) else None
    if not rows <= {"abort", "raise"} or "abort" not in rows or inner is None or not inner.file:
        return True
    if message.kind == "malloc":
        return not is_qemu_function(inner.name)
    if message.kind not in ("assertion", "glib") or not message.function or not is_qemu_function(inner.name):
        return True
    # abort() was called by that function itself; what is inlined into one with debug information has its own frame
    return (_base(inner.file), inner.line) == (_base(message.file), message.line)


def _is_of(message: Message, thread: Thread) -> bool:
    """Whether a thread that ends the process, and whose frames do not name the message's function, can have said it."""
    if not _fits(message, thread):
        return False
    position = _asserts(thread)
    if position is None or not _located(message):
        return True
    frame = thread.frames[position]
    if not frame.file or not is_qemu_function(frame.name):
        return True  # nothing to tell it by
    return _base(frame.file) == _base(message.file) or _base(message.file).endswith((".h", ".inc"))  # inlined into it


def _located(message: Message) -> bool:
    return message.kind in ("assertion", "glib") and bool(message.function and message.file)


def _ends(thread: Thread) -> bool:
    """Whether a thread's innermost frames end the process."""
    return not thread.history and any(
        row is not None and frame.name in row.ends
        for frame in thread.frames[:_TOP]
        for row in (fatal_path_of(frame.name),)
    )


def foreign(messages: Sequence[Message], threads: Sequence[Thread]) -> List[Message]:
    """The last words that none of the threads can have said, where one ends the process as its frames tell."""
    told = [m for m in messages if _located(m) and m.line is not None or m.kind in ("malloc", "cpu-abort", "hw-error")]
    ending = [thread for thread in threads if _ends(thread)] if told else []
    if not ending:
        return []
    near = [thread.frames[: _TOP + _NEAR] for thread in threads if not thread.history]
    named = {frame.name for frames in near for frame in frames}
    # one of those that end alike is enough
    ends = {tuple((f.name, f.file, f.line) for f in t.frames[: _TOP + _NEAR]): t for t in ending}.values()
    return [m for m in told if not (m.function and m.function in named) and not any(_is_of(m, t) for t in ends)]


def without(foreign_ones: Sequence[Message], messages: Sequence[Message]) -> List[Message]:
    """The messages without ``foreign`` ones, and without a report's subject that repeats libc's words."""
    others = {id(m) for m in foreign_ones}
    return [m for m in messages if id(m) not in others and not (m.kind == "malloc" and _HEADER.match(m.text))]


def own(messages: Sequence[Message], threads: Sequence[Thread]) -> List[Message]:
    """The messages that the threads can have said."""
    return without(foreign(messages, threads), messages)
