"""Writes the compressed, sorted blocks that `knowledge.indexfile` reads; for the builders of the indexes."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Iterable, List, Tuple

from ..indexfile import MAGIC

BLOCK_BYTES = 16 * 1024


def write(path: Path, header: Iterable[str], rows: Iterable[Tuple[str, str]]) -> int:
    """Write rows (key, value) to an index file and return its size in bytes.

    ``header`` lines are given back to the reader as they are. Keys may not hold blanks, nor keys and values a newline.

    :raises ValueError: they do
    """
    blocks: List[Tuple[str, bytes]] = []
    lines: List[str] = []
    size = 0
    first = ""
    for key, value in sorted(rows):
        if " " in key or "\n" in key or "\n" in value:
            raise ValueError(f"not a key or value of an index: {key!r} {value!r}")
        if not lines:
            first = key
        lines.append(f"{key} {value}")
        size += len(lines[-1]) + 1
        if size >= BLOCK_BYTES:
            blocks.append((first, _pack(lines)))
            lines, size = [], 0
    if lines:
        blocks.append((first, _pack(lines)))
    head = list(header)
    text = [str(len(head)), *head, *(f"{key} {len(data)}" for key, data in blocks)]
    packed = zlib.compress("\n".join(text).encode(), 9)
    out = MAGIC + len(packed).to_bytes(4, "little") + packed + b"".join(data for _, data in blocks)
    path.write_bytes(out)
    return len(out)


def _pack(lines: List[str]) -> bytes:
    return zlib.compress(("\n" + "\n".join(lines) + "\n").encode(), 9)


def write_list(path: Path, header: Iterable[str], lines: Iterable[str]) -> int:
    """Write a list of lines as one block and return the file's size in bytes."""
    head = list(header)
    packed = zlib.compress("\n".join([str(len(head)), *head, *lines, ""]).encode(), 9)
    path.write_bytes(MAGIC + packed)
    return len(MAGIC) + len(packed)


_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number: int) -> str:
    """A number in the digits that the indexes use."""
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"
