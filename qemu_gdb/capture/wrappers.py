"""Takes a pasted backtrace out of what carries it: a mail's encoded part, a string literal, the prefixes of a log.

What stands in front of each line is learned from the frames, so that no logger's format need be known.
"""

from __future__ import annotations

import binascii
import re
from typing import Dict, List, Optional, Tuple

from qemu_gdb.pattern import Pattern

_MAX_SHAPES = 8  # prefixes of one text that are told apart
_ENOUGH = 2000  # frames that are looked at to learn them

# Content-Transfer-Encoding (RFC 2045): the rest of the part's header, a blank line, the encoded lines
_BASE64_PART = Pattern(
    r"^(?P<header>Content-Transfer-Encoding:[ \t]*base64[ \t]*\n(?:[ \t]*\S.*\n)*)[ \t]*\n"
    r"(?P<body>(?:[A-Za-z0-9+/]{4,998}={0,2}[ \t]*(?:\n|\Z))+)",
    re.IGNORECASE | re.MULTILINE,
)
_ESCAPED_FRAME = Pattern(r"\\n(?:\s|\\t)*(?:#\d{1,5}\s|Thread \d)")
_ESCAPE = Pattern(r"\\(?:u(?P<unicode>[0-9a-fA-F]{4})|x(?P<hex>[0-9a-fA-F]{2})|(?P<octal>033)|(?P<char>.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "", "e": "\x1b"}
_LITERALS = (
    Pattern(r'(?<=[:\[,{=(])\s*"(?P<body>(?:[^"\\]|\\.)*)"|^\s*"(?P<whole>(?:[^"\\]|\\.)*)"'),
    Pattern(r"(?<=[:\[,{=(])\s*b?'(?P<body>(?:[^'\\]|\\.)*)'|^\s*b?'(?P<whole>(?:[^'\\]|\\.)*)'"),
)
_NEXT_ITEM = Pattern(r"(?P<quote>[\"'])\s*,\s*(?P=quote)(?=\s*#\d{1,5}\s)")
# a frame behind something: an issue's number or an item of a list is followed by no address and no arguments
_PREFIXED = Pattern(
    r"^[ \t]*(?P<prefix>(?![#\s])[^\n#]{1,160}?(?:#\d{0,9}[^\s#][^\n#]{0,80}?)?)"
    r"(?:\* )?(?:frame )?#(?P<level>\d{1,5}):?[ \t]+"
    r"(?:0x[0-9a-fA-F]{4,16}\s|pc [0-9a-fA-F]{8,16}\s|[^\s(]+ ?\((?:[^\n]*\) (?:at|from) \S|\w+=))",
    re.MULTILINE,
)
# what belongs to a stack: a bullet, a prompt, a heading, another frame
_OWN_PREFIX = Pattern(
    r"(?:[*•-]|`|(?:[*] )?frame|\(\w+\).*|.*\b(?:Thread|thread|TID|[Bb]acktrace)\b.*|.*[:)]\s*\w+ \(.*)$"
)
_CHANGING = Pattern(r"[0-9]+|[ \t]+")
_QUOTE_END = {
    '"': Pattern(r'"[\s\]}),;]*$'),
    "'": Pattern(r"'[\s\]}),;]*$"),
}


def unwrap(text: str) -> str:
    """``text`` with encoded parts and string literals undone."""
    if "ase64" in text or "BASE64" in text:
        text = _BASE64_PART.sub(_decoded, text)
    for _ in range(3):  # a literal in a literal
        if "\\n" not in text or len(_ESCAPED_FRAME.findall(text)) < 2:
            break
        text = "\n".join(map(_unescaped_line, text.split("\n")))
    if _NEXT_ITEM.search(text):
        text = "\n".join(map(_unlisted, text.split("\n")))
    return text


def _decoded(match: re.Match[str]) -> str:
    try:
        data = binascii.a2b_base64(match.group("body"))
    except binascii.Error:
        return match.group()
    found = data.decode("utf-8", "replace")
    if found.count("\ufffd") * 20 > len(found) or "\x00" in found:
        return match.group()
    return match.group("header") + "\n" + found.replace("\r\n", "\n") + "\n"


def _character(match: re.Match[str]) -> str:
    if match.group("char") is not None:
        return _ESCAPES.get(match.group("char"), match.group("char"))
    if match.group("octal"):
        return "\x1b"
    code = int(match.group("unicode") or match.group("hex"), 16)
    return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text)


def _unescaped_line(line: str) -> str:
    if _ESCAPED_FRAME.search(line) is None:
        return line
    for literal in _LITERALS:
        found = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal found
            body: str = match.group("body") if match.group("body") is not None else match.group("whole")
            if _ESCAPED_FRAME.search(body) is None:
                return match.group()
            found += 1
            return "\n" + _unescaped(body) + "\n"

        changed = literal.sub(replace, line)
        if found:
            return changed
    return _unescaped(line)


def _unlisted(line: str) -> str:
    """One frame a line, where the items of a list stand in one."""
    first = _NEXT_ITEM.search(line)
    if first is None:
        return line
    quote = first.group("quote")
    begin = line.rfind(f"[{quote}", 0, first.start())
    items = re.split(rf"(?<!\\){quote}\s*,\s*{quote}", line[begin + 2 :] if begin >= 0 else line)
    items[-1] = _QUOTE_END[quote].sub("", items[-1])
    return "\n".join([line[: max(begin, 0)], *map(_unescaped, items)])


def without_prefixes(text: str) -> str:
    """``text`` without what a logger, a pager or a listing put before each line.

    Two frames that follow each other must stand behind the same words; numbers may change.
    """
    shapes: Dict[str, Tuple[int, int]] = {}  # frames; level of the last one
    followed = set()
    for index, match in enumerate(_PREFIXED.finditer(text)):
        prefix = match.group("prefix").rstrip()
        if index > _ENOUGH or len(shapes) > 1000:
            break
        if _OWN_PREFIX.match(prefix):
            continue
        shape = _shape(prefix)
        level = int(match.group("level"))
        count, before = shapes.get(shape, (0, -2))
        if level == before + 1:
            followed.add(shape)
        shapes[shape] = (count + 1, level)
    chosen = sorted(followed, key=lambda shape: -shapes[shape][0])[:_MAX_SHAPES]
    if not chosen:
        return text
    patterns = [(re.compile(rf"[ \t]*{shape}(?:[ \t]|(?=\S)|$)"), _QUOTE_END.get(shape[-1])) for shape in chosen]
    return "\n".join(_cut(line, patterns) for line in text.split("\n"))


def _shape(prefix: str) -> str:
    """A regular expression for ``prefix`` with any other numbers."""
    parts: List[str] = []
    end = 0
    for match in _CHANGING.finditer(prefix):
        parts.append(re.escape(prefix[end : match.start()]))
        parts.append(r"[0-9]+" if match.group()[0].isdigit() else r"[ \t]+")
        end = match.end()
    parts.append(re.escape(prefix[end:]))
    return "".join(parts)


def _cut(line: str, patterns: List[Tuple[re.Pattern[str], Optional[Pattern]]]) -> str:
    for pattern, quote in patterns:
        match = pattern.match(line)
        if match is not None:
            rest = line[match.end() :]
            return rest if quote is None else _unescaped(quote.sub("", rest))
    return line
