"""What gdb prints for one frame, taken apart: number, address, function, arguments, file, line, library."""

from __future__ import annotations

import re
import sys
from typing import Dict, List, Optional, Tuple

from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

MAX_ARGS = 64  # arguments kept of one frame
MAX_VALUE = 4096  # characters kept of one value

_PC = Pattern(r"(?:0x([0-9a-fA-F]{1,16})[^\s]*)\s*(?:in\b\s*)?")
_SIMPLE_NAME = Pattern(r"[\w.$@~?!:\[\]/+-]*")
_AT = Pattern(r"\s*\bat\s*(?P<file>\S.*?)(?::(?P<line>\d+))?(?::\d+)?(?:\s+from\s+(?P<lib>\S+))?\s*$")
_LIBRARY = Pattern(r"\.(?:so|dll|dylib)(?:[.\d]*)$", re.IGNORECASE)
_SOURCE = Pattern(r"\.(?:c|h|S|s|cc|cpp|cxx|hh|hpp|inc|rs|m|mm|go|asm)$")
_FROM = Pattern(r"\s*\bfrom\s+(?P<lib>\S.*?)\s*$")
_DELIMITER = Pattern(r"""["'(){}\[\]<>,]""")
_STRING = Pattern(r'"(?:[^"\\]|\\.)*"')
_STRING_END = Pattern(r'(?:[^"\\]|\\.)*"')
_BRACKET = Pattern(r"""["'()]""")
_CHAR = Pattern(r"'(?:[^'\\]|\\.)[^']{0,6}'")
_QUALIFIER = Pattern(r"\s*(?:const|volatile|noexcept|&&?)?\s*(?:\[[^\]\[]{0,80}\])*\s*(?=\()")


def close_of(text: str, start: int) -> int:
    """Index of the parenthesis that closes the one at ``start``, -1 where the text ends before it.

    Strings and characters are stepped over, so that a parenthesis in a value does not count.
    """
    depth = 0
    position = start
    find = _DELIMITER.search
    while True:
        match = find(text, position)
        if match is None:
            return -1
        at = match.start()
        char = text[at]
        position = at + 1
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                return at
        elif char == '"':
            string = _STRING.match(text, at)
            if string is None:
                return -1
            position = string.end()
        elif char == "'":
            quoted = _CHAR.match(text, at)
            if quoted is not None:
                position = quoted.end()


def scan(text: str, depth: int, quoted: bool) -> Tuple[int, bool]:
    """How many parentheses are open after ``text``, and whether a string is; ``depth`` and ``quoted`` were before."""
    position = 0
    if quoted:
        end = _STRING_END.match(text)
        if end is None:
            return depth, True
        position = end.end()
    elif '"' not in text and "'" not in text:
        return max(0, depth + text.count("(") - text.count(")")), False
    while True:
        match = _BRACKET.search(text, position)
        if match is None:
            return depth, False
        at = match.start()
        char = text[at]
        position = at + 1
        if char == "(":
            depth += 1
        elif char == ")":
            depth = max(0, depth - 1)
        elif char == '"':
            string = _STRING.match(text, at)
            if string is None:
                return depth, True
            position = string.end()
        else:
            character = _CHAR.match(text, at)
            if character is not None:
                position = character.end()


def split_arguments(text: str) -> List[str]:
    """The pieces of an argument list between commas that stand in no bracket and no string."""
    if not any(char in text for char in "({[\"'<"):
        return text.split(",")
    pieces: List[str] = []
    depth = 0
    begin = position = 0
    while True:
        match = _DELIMITER.search(text, position)
        if match is None:
            break
        at = match.start()
        char = text[at]
        position = at + 1
        if char == "," and depth <= 0:
            pieces.append(text[begin:at])
            begin = position
            if len(pieces) >= MAX_ARGS:
                return pieces
        elif char in "({[":
            depth += 1
        elif char in ")}]":
            depth -= 1
        elif char == "<":
            end = text.find(">", at)
            if 0 < end < at + 200:
                position = end + 1
        elif char == '"':
            string = _STRING.match(text, at)
            if string is None:
                break
            position = string.end()
        elif char == "'":
            quoted = _CHAR.match(text, at)
            if quoted is not None:
                position = quoted.end()
    pieces.append(text[begin:])
    return pieces


def arguments(text: str) -> Dict[str, str]:
    """``mr=mr@entry=0x55, attrs=...`` as a dict; what has no name is left out."""
    found: Dict[str, str] = {}
    if "=" not in text:
        return found
    for piece in split_arguments(text):
        name, equals, value = piece.partition("=")
        name = name.strip()
        if not equals or not name or " " in name:
            continue
        value = value.strip()
        entry = name + "@entry"
        if value.startswith(entry):
            value = value[len(entry) :].lstrip("= ") or "..."
        if name.endswith("@entry"):
            # gdb adds the value at entry where the present one is another or unknown
            name = name[: -len("@entry")]
            if found.get(name) not in (None, "<optimized out>", "...", ""):
                continue
        found[sys.intern(name)] = value[:MAX_VALUE]
    return found


# What most lines are: a C function whose arguments hold no string and no bracket
_USUAL = Pattern(
    r"#(?P<level>\d{1,7}) +(?:0x(?P<pc>[0-9a-fA-F]{1,16}) in )?(?P<name>[A-Za-z_?][\w.@?]*) \((?P<args>[^()\"'{}]*)\)"
    r"(?: at (?P<file>[^\s:]+):(?P<line>\d{1,9})| from (?P<lib>\S+))$"
)
_OFTEN_REPEATED = 24  # characters


def usual_frame(line: str) -> Optional[Frame]:
    """The frame of one whole line of the most common form; None says only that ``parse_frame`` must look."""
    match = _USUAL.match(line)
    if match is None:
        return None
    level, pc, name, args, file, number, library = match.groups()
    frame = Frame(int(level), None if name[0] == "?" else sys.intern(name))
    if pc is not None:
        frame.pc = int(pc, 16)
    if file is not None:
        frame.file = sys.intern(file)
        frame.line = int(number)
    else:
        frame.library = sys.intern(library)
    if args:
        values = {}
        for piece in args.split(", "):
            key, equals, value = piece.partition("=")
            if not equals or "@" in key or " " in key or "@entry=" in value:
                frame.args = arguments(args)
                return frame
            # pointers come again in every frame of their thread
            values[sys.intern(key)] = sys.intern(value) if len(value) < _OFTEN_REPEATED else value
        frame.args = values
    return frame


def _name_end(text: str) -> Tuple[int, int]:
    """End of the function's name, and index of the parenthesis that opens its arguments (-1: none)."""
    simple = _SIMPLE_NAME.match(text)
    end = simple.end() if simple else 0
    length = len(text)
    position = end
    while position < length and text[position] == " ":
        position += 1
    if position < length and text[position] == "(" and (end or not text[position:].startswith("(anonymous")):
        # `func() ()` and `ns::func(int, char *) (this=0x0)`: the first group belongs to the name
        if position == end and end:
            close = close_of(text, position)
            if close > 0:
                more = _QUALIFIER.match(text, close + 1)
                if more is not None:
                    return close + 1, more.end()
        return end, position
    if position >= length:
        return end, -1
    if text[position : position + 3] in ("at ", "fro") and end:
        return end, -1
    return _template_end(text)


def _template_end(text: str) -> Tuple[int, int]:
    """As ``_name_end`` for names with templates, generics, lambdas and anonymous namespaces."""
    angle = round_ = 0
    length = min(len(text), 4000)
    index = 0
    while index < length:
        char = text[index]
        if char == "<" and not text.startswith("operator<", max(0, index - 8)):
            angle += 1
        elif char == ">" and angle and text[index - 1] not in "-=":
            angle -= 1
        elif char == "(":
            if angle == 0 and round_ == 0 and index and text[index - 1] == " ":
                return len(text[:index].rstrip()), index
            if angle == 0 and round_ == 0:
                close = close_of(text, index)
                if close < 0:
                    return index, index
                more = _QUALIFIER.match(text, close + 1)
                if more is None and not text.startswith("::", close + 1):
                    return index, index
                index = close
            else:
                round_ += 1
        elif char == ")":
            round_ -= 1
        elif char == " " and angle == 0 and round_ == 0 and text[index : index + 4] in (" at ", " fro"):
            return index, -1
        index += 1
    return len(text.rstrip()), -1


def parse_frame(level: int, text: str) -> Optional[Frame]:
    """One frame from the text that follows its ``#N``, with wrapped lines already joined; None where it is none."""
    body = text.strip()
    frame = Frame(level)
    match = _PC.match(body)
    if match is not None:
        frame.pc = int(match.group(1), 16)
        body = body[match.end() :]
        if not body:  # cut here: gdb writes a function behind every address
            frame.pc = frame.pc if len(match.group(1)) >= 8 and match.group(1).strip("0") else None
            return frame
    elif body in ("0", "0x"):
        return frame
    elif body.startswith("in ") or body == "in":
        body = body[2:].lstrip()
    if body.startswith("<"):
        if body.startswith("<signal handler called>"):
            frame.function = "<signal handler called>"
            frame.kind = "signal"
            return frame
        if body.startswith("<function called from gdb>"):
            frame.function = "<function called from gdb>"
            return frame
    end, opening = _name_end(body)
    name = body[:end].strip()
    frame.function = None if name in ("", "??", "???", "n/a") else name.lstrip("*")  # old glibc: *__GI_raise
    tail = body[end:]
    if opening >= 0:
        close = close_of(body, opening)
        if close < 0:
            close = _last_close(body, opening)
        if close < 0:
            frame.args = arguments(body[opening + 1 :])
            return frame
        frame.args = arguments(body[opening + 1 : close])
        tail = body[close + 1 :]
    if tail:
        location(frame, tail)
    return frame


def _last_close(body: str, opening: int) -> int:
    """The close of an argument list whose strings do not balance: by the ``at`` or ``from`` behind it."""
    for mark in (") at ", ") from "):
        at = body.rfind(mark)
        if at > opening:
            return at
    return len(body) - 1 if body.endswith(")") else -1


def location(frame: Frame, tail: str) -> None:
    """Fill file and line, or library, from what follows the arguments."""
    match = _AT.match(tail)
    if match is not None:
        file = match.group("file")
        frame.library = match.group("lib")
        if match.group("line"):
            frame.file = file
            frame.line = int(match.group("line")[:9])
        elif _LIBRARY.search(file):
            frame.library = file
        elif _SOURCE.search(file):
            frame.file = file
        return
    match = _FROM.match(tail)
    if match is not None:
        frame.library = match.group("lib")
