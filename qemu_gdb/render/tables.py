"""Lays out tables of short texts, as text or Markdown, for every command that lists things."""

from __future__ import annotations

from typing import List, Sequence

from .safe import Form, cut, pad, safe, width, wrap

_GAP = 2
_LEAST = 6


def text(header: Sequence[str], rows: Sequence[Sequence[str]], form: Form) -> List[str]:
    """Lines of a table as wide as the page at most: the widest columns give way, and their texts wrap."""
    cells = [[safe(c) for c in row] for row in rows]
    table = [list(header), *cells] if any(header) else cells
    if not table:
        return []
    columns = max(len(row) for row in table)
    for row in table:
        row.extend([""] * (columns - len(row)))
    widths = [max(width(row[i]) for row in table) for i in range(columns)]
    room = form.columns - _GAP * columns
    while sum(widths) > room:
        widest = max(range(columns), key=lambda i: (widths[i], i))
        if widths[widest] <= _LEAST:
            break
        widths[widest] -= max(1, min(sum(widths) - room, widths[widest] - sorted(widths)[-2] or 1))
    return [line for row in table for line in _lines(row, widths)]


def _lines(row: Sequence[str], widths: Sequence[int]) -> List[str]:
    cells = [[cell] if width(cell) <= w else _wrapped(cell, w) for cell, w in zip(row, widths)]
    lines = []
    for i in range(max(len(cell) for cell in cells)):
        parts = [pad(cell[i] if i < len(cell) else "", w) for cell, w in zip(cells, widths)]
        lines.append(("  " + (" " * _GAP).join(parts)).rstrip())
    return lines


def _wrapped(cell: str, columns: int) -> List[str]:
    indent = cell[: min(len(cell) - len(cell.lstrip()), columns // 2)]
    return [cut(line, columns, "") for line in wrap(cell, columns, indent, indent)]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> List[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for row in rows:
        lines.append("| " + " | ".join(safe(cell).replace("\\", "\\\\").replace("|", "\\|") for cell in row) + " |")
    return lines
