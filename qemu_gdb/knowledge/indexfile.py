"""Looks keys up in a compressed index of this package, reading only the blocks that hold them."""

from __future__ import annotations

import bisect
import os
import zlib
from typing import Dict, List, Optional, Tuple, Union

MAGIC = b"qemu-gdb-index-2\n"
DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
AnyPath = Union[str, "os.PathLike[str]"]


def read_bytes(path: AnyPath) -> bytes:
    """:raises OSError: the file can't be read"""
    with open(path, "rb") as file:
        return file.read()


def read_list(path: AnyPath) -> Tuple[List[str], List[str]]:
    """Header and lines of a list that the builder wrote.

    :raises OSError: the file can't be read
    :raises ValueError: it is not such a file
    """
    data = read_bytes(path)
    if not data.startswith(MAGIC):
        raise ValueError(f"{path}: not an index file of this version; generate it again (data/README.md)")
    lines = zlib.decompress(data[len(MAGIC) :]).decode().split("\n")
    count = int(lines[0])
    return lines[1 : 1 + count], lines[1 + count : -1]


class IndexFile:
    """A sorted table from key to value, in small deflated blocks that share a dictionary; read when first needed.

    :raises OSError: the file can't be read
    :raises ValueError: it is not an index file
    """

    def __init__(self, path: AnyPath) -> None:
        self._bytes = read_bytes(path)
        start = len(MAGIC) + 4
        if not self._bytes.startswith(MAGIC):
            raise ValueError(f"{path}: not an index file of this version; generate it again (data/README.md)")
        size = int.from_bytes(self._bytes[len(MAGIC) : start], "little")
        try:
            lines = zlib.decompress(self._bytes[start : start + size]).decode().split("\n")
            count = int(lines[0])
            at = start + size + int(lines[1 + count])
            self._dictionary = zlib.decompress(self._bytes[start + size : at])
        except (zlib.error, IndexError) as error:
            raise ValueError(f"{path}: damaged: {error}") from error
        self.header: List[str] = lines[1 : 1 + count]
        self._first: List[str] = []
        self._start: List[int] = []
        self._size: List[int] = []
        for line in lines[2 + count :]:
            key, _, length = line.rpartition(" ")
            self._first.append(key)
            self._start.append(at)
            self._size.append(int(length))
            at += int(length)
        self._blocks: Dict[int, bytes] = {}

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number)
        if block is None:
            start = self._start[number]
            inflater = zlib.decompressobj(-zlib.MAX_WBITS, zdict=self._dictionary)
            try:
                block = inflater.decompress(self._bytes[start : start + self._size[number]])
            except zlib.error as error:
                raise ValueError(f"a block of an index is damaged: {error}") from error
            self._blocks[number] = block
        return block

    def get(self, key: str) -> Optional[str]:
        """The value of a key, None when it is not in the index."""
        number = bisect.bisect_right(self._first, key) - 1
        if number < 0 or not key or "\n" in key or " " in key:
            return None
        block = self._block(number)
        needle = b"\n" + key.encode(errors="replace") + b" "
        at = block.find(needle)
        if at < 0:
            return None
        start = at + len(needle)
        return block[start : block.index(b"\n", start)].decode()  # ValueError where the block is cut

    def rows(self) -> List[str]:
        """Every row as "key value", in order of the keys."""
        rows: List[str] = []
        for number in range(len(self._first)):
            rows.extend(self._block(number).decode().strip("\n").split("\n"))
        return rows
