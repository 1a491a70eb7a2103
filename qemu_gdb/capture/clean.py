"""Undoes what mail, the web and terminals do to a pasted backtrace, for the parsers of text.py.

Every step looks for its damage first and leaves a text without it alone.
"""

from __future__ import annotations

import re
from typing import List, Tuple

from qemu_gdb.capture import localised, scanned, tables, wrappers
from qemu_gdb.pattern import Pattern

_ESCAPE = Pattern(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\)|\x1b[()][0-9A-B]|\x1b[@-_]|[^\n]\x08"
)
# colours whose escape byte did not survive
_LOST_ESCAPE = Pattern(r"(?:\^\[|␛)?\[(?:[0-9]{1,2}(?:;[0-9]{1,3}){0,5})?m")
_LOST_COLOUR = Pattern(r"\[[0-9]{1,2}(?:;[0-9]{1,3}){0,5}m")
_INVISIBLE = {
    0x00: None,
    0x85: "\n",
    0xA0: " ",
    0xAD: None,
    0x200B: None,
    0x200C: None,
    0x200D: None,
    0x200E: None,
    0x200F: None,
    0x2009: " ",
    0x2028: "\n",
    0x2029: "\n",
    0x202F: " ",
    0x2060: None,
    0xFEFF: None,
    0x2018: "`",
    0x2019: "'",
    0x201C: '"',
    0x201D: '"',
    0x2026: "...",
    0x2192: "->",
}
_ODD = Pattern("[" + "".join(map(re.escape, map(chr, _INVISIBLE))) + "]")
_SOFT_BREAK = Pattern(r"=[ \t]*\n(?:> ?)*")
_SOFT_END = Pattern(r"^(?:> ?)*(.*)=$", re.MULTILINE)
_HEX_PAIRS = Pattern(r"(?:=[0-9A-F]{2})+")
_ENTITY = Pattern(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});")
_BREAK_TAG = Pattern(r"<(?:br|p|/p|/div|/li|/tr)\s*/?>", re.IGNORECASE)
_CELL_TAG = Pattern(r"</t[dh]>", re.IGNORECASE)
_TAG = Pattern(
    r"</?(?:p|pre|code|div|span|tt|font|blockquote|ul|ol|li|td|tr|tbody|table|a|b|i|u|em|strong|samp|kbd|html|body)"
    r"(?:\s[^<>\n]{0,300})?/?>",
    re.IGNORECASE,
)
_QUOTE = Pattern(r"[ \t]{0,16}(?:(?:[A-Z]{2,3}(?=> )|)>(?![,);=:])[ \t]?)+")
_LONE_QUOTE = Pattern(r"[ \t>]*>[ \t>]*$")
_MARKED = Pattern(r"^[ \t]{0,16}(?:[A-Z]{0,3}>|[|¦│])", re.MULTILINE)
_BAR = Pattern(r"[ \t]*[|¦│][ \t]?")
_STUFFED = Pattern(r"\.\.(?<=\w\.\.)(?=(?:c|h|S|m|cc|cpp|rs|inc|so)\b)")
_FENCE = Pattern(r"\s*(?:`{3,}|~{3,})")
_FRAME_START = Pattern(r"[\s>*|-]*#\d{1,6}(?:\s|0x)")
_INNER_FRAME = Pattern(
    r"(?<=[\s;,)])#(?P<n>\d{1,5})\s+(?=(?:0x[0-9a-fA-F]+\s|in\s|<signal|\?\?|[A-Za-z_][\w:.<>~@]*\s*(?:\(|$|\s#\d)))"
)
_INNER_HEAD = Pattern(
    r"(?<=\s)(?=Thread \d+ (?:\(Thread |\(LWP |\"[^\"]*\" (?:received|hit))|\(gdb\) |\[Switching to )"
)
_ADDRESS_END = Pattern(r"\s*#\d+\s+0x[0-9a-fA-F]+(?: in)?\s*$")
_HEAD = Pattern(r"\s*(?:#\d|Thread \d|\(gdb\)|\[|--|Backtrace|=|frame #|\*)")


def clean(text: str) -> Tuple[List[str], List[str]]:
    """The lines of ``text`` without the damage, and the names of the damage that was undone."""
    undone: List[str] = []
    text = wrappers.unwrap(text)
    if "\x1b" in text or "\x08" in text:
        text = _ESCAPE.sub("", text).replace("\x1b", "").replace("\x08", "")
        undone.append("escapes")
    if "[0m" in text or "[m" in text and _LOST_COLOUR.search(text):
        text = _LOST_ESCAPE.sub("", text)
    if "\r" in text:
        text = text.replace("\r\r\n", "\n").replace("\r\n", "\n").replace("\r", "\n")
    if ("\x00" in text or not text.isascii()) and _ODD.search(text):
        text = text.translate(_INVISIBLE)
        undone.append("characters")
    if "=3D" in text and _is_quoted_printable(text) or "=\n" in text and _is_soft_broken(text):
        text = _undo_quoted_printable(text)
        undone.append("quoted-printable")
    if "&" in text and _ENTITY.search(text):
        import html

        for _ in range(2):
            text = _ENTITY.sub(lambda m: html.unescape(m.group()), text)
        text = text.replace("\xa0", " ")
        undone.append("html")
    if "</" in text or "<br" in text.lower():
        cut = _TAG.sub("", _BREAK_TAG.sub("\n", _CELL_TAG.sub(" ", text)))
        if cut != text:
            undone.append("html")
            text = cut
    if "\\_" in text:
        text = text.replace("\\_", "_")
        undone.append("markdown")
    if "\\<optimized" in text or "\\<signal" in text:
        text = text.replace("\\<", "<").replace("\\>", ">")
        undone.append("markdown")
    if "[#" in text and "](" in text:
        text = tables.LINKED_NUMBER.sub(r"\1", text)
    if ".." in text:
        text = _STUFFED.sub(".", text)
    marked = _MARKED.search(text) is not None
    fenced = "```" in text or "~~~" in text or "\\\n" in text
    if text.count("#") > text.count("\n#") + 1:
        text = wrappers.without_prefixes(text)
    lines = text.split("\n")
    if "|" in text and tables.HINT.search(text):
        lines = tables.frames(lines)
    if "SIG" in text and localised.HINT.search(text):
        lines = localised.in_english(lines)
    if "#" in text and scanned.HINT.search(text):
        lines = scanned.repaired(lines)
    del text
    if marked:
        lines = _undo_quotes(lines, undone)
    if fenced:
        lines = _undo_markdown(lines, undone)
    lines = _split_joined(lines, undone)
    return _undo_hard_wrap(lines, undone), undone


def _is_quoted_printable(text: str) -> bool:
    sample = text if len(text) < 200_000 else text[:100_000] + text[len(text) // 2 :][:100_000]
    encoded = sample.count("=3D") + sample.count("=20") + sample.count("=\n")
    return encoded * 2 >= sample.count("=")


def _is_soft_broken(text: str) -> bool:
    """Whether lines that end in ``=`` were all broken there for their length, in a text that has no other ``=``."""
    sample = text[:200_000]
    lengths = [len(match.group(1)) + 1 for match in _SOFT_END.finditer(sample)]
    return (
        len(lengths) >= 2
        and min(lengths) >= 70
        and max(lengths) <= 77
        and len(lengths) * 2 >= sample.count("=")
        and max(map(len, sample.split("\n"))) <= 90
    )


def _undo_quoted_printable(text: str) -> str:
    text = _SOFT_BREAK.sub("", text)

    def decode(match: re.Match[str]) -> str:
        raw = bytes.fromhex(match.group().replace("=", ""))
        return raw.decode("utf-8", "replace")

    return _HEX_PAIRS.sub(decode, text)


def _undo_quotes(lines: List[str], undone: List[str]) -> List[str]:
    quoted = lone = full = bars = 0
    for line in lines:
        stripped = line.lstrip()
        if not stripped:
            continue
        full += 1
        first = stripped[0]
        if first == ">":
            quoted += 1
            if _LONE_QUOTE.match(line):
                lone += 1
        elif first in "|¦│":
            bars += "%--" not in stripped  # a branch of perf report's tree
        elif first.isupper() and ">" in stripped[1:4] and _QUOTE.match(line):
            quoted += 1
    if quoted:
        # web archives put the mark of every quoted line on a line of its own
        alone = lone * 3 >= full and lone * 4 >= quoted * 3
        kept: List[str] = []
        for line in lines:
            if ">" in line[:28]:
                if alone and _LONE_QUOTE.match(line):
                    continue
                line = _QUOTE.sub("", line, count=1)
            kept.append(line)
        lines = kept
        undone.append("quoting")
    elif bars >= 3 and bars * 2 >= full:
        lines = [_BAR.sub("", line, count=1) for line in lines]
        undone.append("quoting")
    return lines


def _undo_markdown(lines: List[str], undone: List[str]) -> List[str]:
    ends = sum(1 for line in lines if line.endswith("\\"))
    if ends >= 3 and ends * 6 >= len(lines):
        lines = [line[:-1].rstrip() if line.endswith("\\") else line for line in lines]
        undone.append("markdown")
    kept: List[str] = []
    for line in lines:
        if "`" in line or "~~~" in line:
            match = _FENCE.match(line)
            if match is not None:
                line = line[match.end() :]
                if " " not in line.strip():
                    continue
            line = line.rstrip()
            if line.endswith("```"):
                line = line[:-3]
        kept.append(line)
    return kept


def _split_joined(lines: List[str], undone: List[str]) -> List[str]:
    """Break lines that hold several frames, as where a form lost every newline."""
    result: List[str] = []
    for line in lines:
        # two frames in one line: "#1" behind "#0"
        if line.count("#") < 2 or not _INNER_FRAME.search(line):
            result.append(line)
            continue
        cuts: List[int] = []
        match = _FRAME_START.match(line)
        last = -1
        if match is not None:
            last = int(match.group().strip(" \t>*|-#").split("0x")[0] or 0)
        for inner in _INNER_FRAME.finditer(line):
            number = int(inner.group("n"))
            if last >= 0 and number != last + 1 and number != 0:
                continue
            last = number
            cuts.append(inner.start())
        if len(cuts) + (match is not None) < 2:
            result.append(line)
            continue
        begin = 0
        for cut in cuts + [len(line)]:
            piece = line[begin:cut]
            begin = cut
            if "Thread " in piece or "(gdb)" in piece or "[Switching" in piece:
                inner_begin = 0
                for head in _INNER_HEAD.finditer(piece):
                    if head.start() > inner_begin:
                        result.append(piece[inner_begin : head.start()])
                        inner_begin = head.start()
                piece = piece[inner_begin:]
            if piece.strip():
                result.append(piece)
        if "joined" not in undone:
            undone.append("joined")
    return result


def _undo_hard_wrap(lines: List[str], undone: List[str]) -> List[str]:
    """Put together what a terminal of fixed width broke inside tokens.

    There every broken line has exactly the width; a mailer that breaks at blanks leaves lines of all lengths.
    """
    width = continued = exact = addresses = 0
    previous = ""
    lengths: List[int] = []
    for line in lines:
        if previous and line and not line[0].isspace() and not _HEAD.match(line) and _in_frame(previous, lengths):
            lengths.append(len(previous))
            addresses += _ADDRESS_END.match(previous) is not None
            if len(lengths) >= 2000:
                break
        previous = line
    if len(lengths) < 3:
        return lines
    width = max(lengths)
    continued = len(lengths)
    exact = sum(1 for length in lengths if length == width)
    # lines of one length, since all end behind an address, are not cut by a terminal
    if width < 40 or exact < 3 or exact * 10 < continued * 9 or addresses * 2 > continued:
        return lines
    undone.append("wrapping")
    result: List[str] = []
    joining = False
    for line in lines:
        if joining and line and not _HEAD.match(line):
            result[-1] += line
        else:
            result.append(line)
        joining = len(line) == width
    return result


def _in_frame(line: str, lengths: List[int]) -> bool:
    return _FRAME_START.match(line) is not None or bool(lengths and len(line) == lengths[-1])
