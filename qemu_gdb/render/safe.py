"""Makes any string safe for a terminal, and measures, wraps and cuts it, for the text and Markdown pages."""

from __future__ import annotations

import unicodedata
from typing import List, NamedTuple, Sequence

_ASCII = {
    "·": "-", "←": "<-", "→": "->", "…": "...", "–": "-", "—": "-", "×": "x", "≤": "<=", "≥": ">=", "≠": "!=",
    "“": '"', "”": '"', "‘": "'", "’": "'", "µ": "u", "•": "*",
}  # fmt: skip


def safe(text: str) -> str:
    """``text`` on one line without anything that a terminal would act on: escapes, controls, bidi, line ends."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _spelled(c) for c in text)


def _spelled(char: str) -> str:
    if char in "\t\n\r\x0b\x0c\x85\u2028\u2029" or unicodedata.category(char) == "Zs":
        return " "
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def to_ascii(text: str) -> str:
    """``text`` with ASCII spellings for the signs that the pages use, escapes for all others."""
    if text.isascii():
        return text
    for sign, plain in _ASCII.items():
        text = text.replace(sign, plain)
    return text.encode("ascii", "backslashreplace").decode("ascii")


def width(text: str) -> int:
    """Columns that ``text`` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_char_width(c) for c in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, columns: int, ellipsis: str = "…") -> str:
    """``text`` in at most ``columns`` columns."""
    if len(text) <= columns and width(text) <= columns:
        return text
    kept: List[str] = []
    used = width(ellipsis)
    for char in text:
        used += _char_width(char)
        if used > columns:
            break
        kept.append(char)
    return "".join(kept).rstrip() + ellipsis


def pad(text: str, columns: int) -> str:
    """``text`` filled up with spaces to ``columns`` columns."""
    return text + " " * max(0, columns - width(text))


def wrap(text: str, columns: int, indent: str = "", hanging: str = "") -> List[str]:
    """``text`` in lines of at most ``columns`` columns; a word that is longer is broken. O(length)."""
    lines: List[str] = []
    line, used = indent, width(indent)
    empty = True
    for word in text.split():
        size = width(word)
        if not empty and used + 1 + size > columns:
            lines.append(line)
            line, used, empty = hanging, width(hanging), True
        room = max(8, columns - used)
        while empty and size > room:
            head = word[:room]
            while width(head) > room and len(head) > 1:
                head = head[:-1]
            lines.append(line + head)
            word = word[len(head):]
            size = width(word)
            line, used = hanging, width(hanging)
            room = max(8, columns - used)
        if empty:
            line += word
            used += size
        else:
            line += " " + word
            used += 1 + size
        empty = False
    if not empty or not lines:
        lines.append(line)
    return [item.rstrip() for item in lines]


class Form(NamedTuple):
    """How a page is written: width in columns, whether the charset is UTF-8, how much is told."""

    columns: int = 100
    unicode: bool = True
    verbose: bool = False
    all_threads: bool = False
    numbers: Sequence[int] = ()

    def finish(self, lines: Sequence[str]) -> str:
        text = "\n".join(lines) + "\n"
        return text if self.unicode else to_ascii(text)
