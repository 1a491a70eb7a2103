"""Reads only the libraries' symbols that the stacks of a stopped process need: reading all of them takes most of the
time for which an attach stops a guest.
"""

from __future__ import annotations

import bisect
import re
import struct
from typing import Dict, List, Set, Tuple

import gdb

from ..model import Snapshot

_STACK = 8192  # bytes, from the stack pointer outwards
_ALIKE = 4  # threads with the same pc whose stacks are looked at
# libc also brings libthread_db, which finds the threads' own variables; QEMU's modules hold variables of its devices.
_ALWAYS = re.compile(r"/(libc|libpthread)[.-][^/]*$|/qemu/[^/]*\.so$")
_SPECIAL = re.compile(r"([\\.*\[\]^$+?])")  # of gdb's regular expressions: the syntax of Emacs


class Libraries:
    """The libraries of one process, by the map that the kernel gives of it."""

    def __init__(self, pid: int) -> None:
        self._code: List[Tuple[int, int, str]] = []
        self.files: List[str] = []
        try:
            with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as stream:
                for line in stream:
                    self._add(line.rstrip("\n").split(maxsplit=5))
        except OSError:
            pass
        self._code.sort()
        self._starts = [first for first, _, _ in self._code]
        self._read: Set[str] = set()

    def _add(self, words: List[str]) -> None:
        path = words[-1]
        if len(words) < 6 or not path.startswith("/") or ".so" not in path:
            return
        if path not in self.files:
            self.files.append(path)
        if "x" in words[1]:
            first, _, last = words[0].partition("-")
            self._code.append((int(first, 16), int(last, 16), path))

    def read_needed(self) -> None:
        """Read the symbols of those whose code the threads run, or that a word on their stacks points into."""
        found: Dict[str, int] = {path: first for first, _, path in self._code if _ALWAYS.search(path)}
        seen: Dict[int, int] = {}
        for thread in gdb.selected_inferior().threads():
            try:
                thread.switch()
                frame = gdb.newest_frame()
                pc, sp = int(frame.pc()), int(frame.read_register("sp")) & (1 << 64) - 1
            except (gdb.error, ValueError):
                continue
            seen[pc] = seen.get(pc, 0) + 1
            if seen[pc] <= _ALIKE:
                for address in (pc, *_words(sp)):
                    place = bisect.bisect_right(self._starts, address) - 1
                    if place >= 0 and address < self._code[place][1]:
                        found.setdefault(self._code[place][2], address)
        names = {gdb.solib_name(address) for address in found.values()}
        self._read |= {name for name in names if name}
        if self._read:
            pattern = r"\|".join(_SPECIAL.sub(r"\\\1", name) for name in sorted(self._read))
            gdb.execute(f"sharedlibrary {pattern}", to_string=True)

    def enough_for(self, snapshot: Snapshot) -> bool:
        """Whether no stack ran into a library whose symbols were not read; else all have been read now, and the process
        is to be captured again.
        """
        missed = any(
            thread.truncated_bottom
            or any(f.function is None and f.library and f.library not in self._read for f in thread.frames)
            for thread in snapshot.threads
        )
        if missed:
            gdb.execute("sharedlibrary", to_string=True)
        return not missed


def _words(address: int) -> Tuple[int, ...]:
    for size in (_STACK, _STACK // 8, _STACK // 64):  # a stack may end before
        try:
            memory = bytes(gdb.selected_inferior().read_memory(address, size))
        except gdb.error:
            continue
        return struct.unpack(f"={size // 8}Q", memory)
    return ()
