"""Undoes what Markdown exporters make of a stack: a table with a row for each frame, numbers that are links."""

from __future__ import annotations

from typing import List, Optional

from qemu_gdb.pattern import Pattern

# "[#1](https://example.org/issues/1)": a forge takes the frame's number for an issue's
LINKED_NUMBER = Pattern(r"\[(#\d{1,5})\]\((?:https?:/)?/[^\s()]{1,300}\)")
HINT = Pattern(r"--:?[ \t]*\|[ \t]*:?--")  # of a text that may hold a rule
_RULE = Pattern(r"[ \t]{0,16}\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-{2,}:?[ \t]*){1,12}\|?[ \t]*$")
_NUMBER = Pattern(r"#?(?P<level>\d{1,5})$")
_FUNCTION = Pattern(r"(?P<name>[A-Za-z_][\w.@:~<>]*|\?\?)\s?(?P<args>\(.*\))?$")
_PLACE = Pattern(r"(?P<file>[^\s:]+:\d{1,8})(?::\d{1,8})?$")
_ADDRESS = Pattern(r"0x[0-9a-fA-F]{4,16}$")
_FEWEST = 2  # rows that a table of frames has


def frames(lines: List[str]) -> List[str]:
    """``lines`` with the rows of tables that show frames written as gdb writes frames."""
    result: List[str] = []
    at = 0
    while at < len(lines):
        rows: List[str] = []
        if at and "|" in lines[at - 1] and _RULE.match(lines[at]):
            end = at + 1
            while end < len(lines) and lines[end].count("|") >= 2:
                row = _frame(lines[end])
                if row is None:
                    break
                rows.append(row)
                end += 1
        if len(rows) >= _FEWEST:
            result.pop()
            result.extend(rows)
            at += 1 + len(rows)
        else:
            result.append(lines[at])
            at += 1
    return result


def _frame(line: str) -> Optional[str]:
    cells = [cell.strip().strip("`*").strip() for cell in line.strip().strip("|").split("|")]
    number = _NUMBER.match(cells[0])
    if number is None or len(cells) < 2:
        return None
    address = name = args = place = ""
    for cell in cells[1:]:
        if _ADDRESS.match(cell):
            address = address or f"{cell} in "
            continue
        if not place and _PLACE.match(cell):
            place = f" at {_PLACE.sub(lambda match: match.group('file'), cell)}"
            continue
        function = _FUNCTION.match(cell)
        if function is not None and not name:
            name, args = function.group("name"), function.group("args") or "()"
        elif not place and ("/" in cell or ".so" in cell or ".dll" in cell) and " " not in cell:
            place = f" from {cell}"
    return f"#{number.group('level')}  {address}{name} {args}{place}" if name else None
