"""Decides which dialect a numbered frame is in, and when a frame that was broken over lines is complete."""

from __future__ import annotations

import enum
import re
from typing import List, Optional, Tuple

from qemu_gdb.capture.dialects import android, gdb, reports, sanitizer
from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

MAX_PARTS = 80  # lines that one frame may be broken into
MAX_LENGTH = 65536  # characters of a frame that later lines may still add to

_PLACE = Pattern(r":\d{1,8}$")
_FROM = Pattern(r"(?:^|\s|\))from\s+(?:target:)?\S+$")
_AT = Pattern(r"(?:^|\s|\))at\s*(?P<path>[^\s()\"]*)$")
_SOURCE = Pattern(r"\.(?:c|h|S|s|cc|cpp|rs|inc|m|mm|hpp|cxx)$")
_CLOSED = Pattern(r"\) (?:at \S+:\d+|from \S+)$")  # whatever the strings before it look like
_ADDRESS_ONLY = Pattern(r"(?:0x[0-9a-fA-F]*)?(?:\s*in)?$")
_FRAME = Pattern(
    r"(?!\((?:open(?:ed)?|closed|merged|fixed|new)\))"  # a tracker's heading
    r"(?:0x[0-9a-fA-F]|in\b|pc [0-9a-fA-F]{8}|<signal |<function |<null>|<unknown|\?\?|n/a|\(|"
    r"[^\s(]{1,4000}(?:\s*\(|\s*$|\s+at\s|\s+from\s|\s+[^\s]+:\d|\s+<null>|\s+/|\s+\[)|[^(]{1,500}(?:::"
    r"|<)[^(]{0,500}\(|.{0,200}::)"
)
_SANITIZED = Pattern(r"^(?:0x[0-9a-fA-F]+\s+(?:in\s+)?)?[^\s(]*$")
_CONTINUES = Pattern(
    r"(?:at\s|at\.|at/|from\s|\(|<|[\w@.]+=|address@hidden|[^\s\"]*\)|\S+:\d+$|\S+,\s|.*\)\s+(?:at|from)\b|.*,$)"
)


class State(enum.Enum):
    """What may follow the text of a frame."""

    OPEN = 1  # something must
    PATH = 2  # the rest of a file name must
    SOFT = 3  # arguments or a place may
    DONE = 4  # nothing


def looks_like_frame(text: str) -> bool:
    """Whether ``#N`` followed by ``text`` is a frame, not an issue's number or an item of a list."""
    return not text or _FRAME.match(text) is not None


def continuation(line: str) -> bool:
    """Whether ``line``, below a blank one, still belongs to a frame that is open."""
    return _CONTINUES.match(line) is not None


def state(text: str, balanced: bool) -> State:
    """What may follow ``text``, a frame without its number, whose parentheses are all closed if ``balanced``."""
    if text.endswith("..."):
        return State.SOFT
    if not balanced and _CLOSED.search(text[-1000:]) is None:
        return State.OPEN
    if text.endswith((",", "=")):
        return State.OPEN
    if _PLACE.search(text[-10:]) or text.endswith("called>"):
        return State.DONE
    tail = text[-1000:]
    if text.endswith(")"):
        return State.SOFT
    if _FROM.search(tail):
        return State.DONE
    if tail.endswith((" from", ")from")):
        return State.OPEN
    match = _AT.search(tail)
    if match is not None and " " in text:
        path = match.group("path")
        if not path:
            return State.OPEN
        if ".so" in path or _SOURCE.search(path):
            return State.SOFT
        return State.PATH
    if _ADDRESS_ONLY.match(text) or ("(" not in text and text.count("<") > text.count(">")):
        return State.OPEN
    return State.SOFT


def accepts(current: State, text: str, line: str) -> bool:
    """Whether ``line`` (stripped) goes on with the frame ``text`` in state ``current``."""
    if current is State.DONE:
        return False
    if current is State.OPEN:
        return True
    if current is State.PATH:
        return " " not in line and _PLACE.search(line[-10:]) is not None
    if line.startswith(("at ", "at\t", "from ", "at../", "at/")):
        return not text.endswith("...") and re.match(r"(?:at|from)\s*\S+(?:$|:\d|\s*$)", line) is not None
    if line.startswith("("):
        return bool(
            not line.startswith(("(gdb", "(lldb", "(More", "(qemu)", "(END")) and not text.endswith(("...", ")"))
        )
    if text.endswith(")"):
        return False
    # a sanitizer's or eu-stack's place on the next line
    return (
        text.startswith("0x")
        and (_SANITIZED.match(text) is not None or " - " in text)
        and re.match(r"(?:/|\.\.?/|[\w.+-]+/)?[\w./+-]+:\d+(?::\d+)?$", line) is not None
    )


def join(parts: List[str]) -> str:
    """The frame of several lines as one."""
    if len(parts) == 1:
        return parts[0]
    text = parts[0]
    for part in parts[1:]:
        match = _AT.search(text[-1000:]) if part and not part.startswith("at ") else None
        if match is not None and match.group("path") and (" " not in part or part.endswith(")")):
            text += part
        else:
            text += " " + part
    return text


def parse(level: int, text: str) -> Tuple[Optional[Frame], str]:
    """The frame ``#level text`` and the dialect that it is in."""
    if len(text) < 22 and text.endswith(" i") and text.startswith("0x"):
        text = text[:-2]  # a text cut in the middle of "in"
    if text.startswith(("pc ", "/", "<anon")):
        frame = android.frame(level, text)
        if frame is not None:
            return frame, "tombstone"
        frame = reports.glibc(level, text)
        if frame is not None:
            return frame, "glibc"
    if " at " not in text and ") at" not in text and " from " not in text:
        last = text[-1:]
        if " + 0x" in text[-60:]:
            frame = reports.coredump(level, text)
            if frame is not None:
                return frame, "coredumpctl"
        if "+0x" in text[-400:] or " + 0x" in text[-60:] or last.isdigit() or "<null>" in text:
            frame = sanitizer.numbered(level, text)
            if frame is not None:
                return frame, "sanitizer"
        if text.startswith("0x") and " in " not in text[:40]:
            frame = reports.coredump(level, text)
            if frame is not None:
                return frame, "coredumpctl"
            frame = reports.eu_stack(level, text)
            if frame is not None:
                return frame, "eu-stack"
    frame = gdb.parse_frame(level, text)
    if frame is not None and frame.function is not None and frame.function.startswith("/"):
        frame.library, frame.function = frame.library or frame.function, None  # a path is no function
    return frame, "gdb"
