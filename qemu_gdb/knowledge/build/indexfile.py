"""Writes the compressed, sorted blocks that `knowledge.indexfile` reads; for the builders of the indexes."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Iterable, List, Tuple

from ..indexfile import MAGIC

BLOCK_BYTES = 4 * 1024
DICTIONARY_BYTES = 16 * 1024  # of rows from all over the table, which every block may refer to


def write(path: Path, header: Iterable[str], rows: Iterable[Tuple[str, str]]) -> int:
    """Write rows (key, value) to an index file and return its size in bytes.

    ``header`` lines are given back to the reader as they are. Keys may not hold blanks, nor keys and values a newline.

    :raises ValueError: they do
    """
    ordered = sorted(rows)
    for key, value in ordered:
        if " " in key or "\n" in key or "\n" in value:
            raise ValueError(f"not a key or value of an index: {key!r} {value!r}")
    every = [f"{key} {value}" for key, value in ordered]
    step = max(1, sum(len(line) + 1 for line in every) // DICTIONARY_BYTES)
    dictionary = "\n".join(every[::step])[:DICTIONARY_BYTES].encode()
    blocks: List[Tuple[str, bytes]] = []
    lines: List[str] = []
    size = 0
    for line in every:
        lines.append(line)
        size += len(line) + 1
        if size >= BLOCK_BYTES:
            blocks.append(_pack(lines, dictionary))
            lines, size = [], 0
    if lines:
        blocks.append(_pack(lines, dictionary))
    head = list(header)
    packed_dictionary = zlib.compress(dictionary, 9)
    text = [str(len(head)), *head, str(len(packed_dictionary)), *(f"{key} {len(data)}" for key, data in blocks)]
    packed = zlib.compress("\n".join(text).encode(), 9)
    out = MAGIC + len(packed).to_bytes(4, "little") + packed + packed_dictionary + b"".join(d for _, d in blocks)
    _replace(path, out)
    return len(out)


def _replace(path: Path, data: bytes) -> None:
    """Write a file at once: who reads meanwhile gets the old one or the new one."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    os.replace(new, path)


def _pack(lines: List[str], dictionary: bytes) -> Tuple[str, bytes]:
    """A block's first key and its bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=dictionary)
    data = packer.compress(("\n" + "\n".join(lines) + "\n").encode()) + packer.flush()
    return lines[0].partition(" ")[0], data


def write_list(path: Path, header: Iterable[str], lines: Iterable[str]) -> int:
    """Write a list of lines as one block and return the file's size in bytes."""
    head = list(header)
    packed = zlib.compress("\n".join([str(len(head)), *head, *lines, ""]).encode(), 9)
    _replace(path, MAGIC + packed)
    return len(MAGIC) + len(packed)


_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number: int) -> str:
    """A number in the digits that the indexes use."""
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"
