"""Which memory of a process can hold its heap: what the coroutine search looks through."""

from __future__ import annotations

import bisect
import re
import struct
import time
from typing import Callable, List, Optional, Sequence, Tuple

import gdb

from .access import NotReadable, Process, field

Range = Tuple[int, int]  # first address, address after the last
_SECTION = re.compile(r"0x([0-9a-f]+)->0x([0-9a-f]+) at 0x[0-9a-f]+: load\S* (.*)")
_MAPPING = re.compile(r"0x([0-9a-f]+) - 0x([0-9a-f]+) is load\d+")
_DATA_SECTION = re.compile(r"^\t0x[0-9a-f]+ - 0x([0-9a-f]+) is \.bss$", re.MULTILINE)
_BREAK_MAX = (1 << 30) + (64 << 20)
_PAGE = 4096
_STEP = 16 << 20
_HEAP_MAX = 64 << 20
_SHOW_AFTER = 2.0  # seconds


def writable_ranges(process: Process) -> List[Range]:
    """The writable, non-executable mappings that the core has, or that the kernel tells of a live process.

    :raises NotReadable: neither is known (a remote target)
    """
    core = gdb.execute("maint info sections", to_string=True).partition("Core file:")[2]
    found = [
        (int(m.group(1), 16), int(m.group(2), 16))
        for m in _SECTION.finditer(core)
        if "READONLY" not in m.group(3) and "CODE" not in m.group(3)
    ]
    if found:
        return found
    pid = process.inferior.pid
    connection = getattr(process.inferior, "connection", None)
    if not pid or (connection is not None and connection.type != "native"):
        raise NotReadable("the process's memory map is not known to gdb")
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
            for line in maps:
                parts = line.split(None, 5)
                if parts[1].startswith("rw-p"):
                    first, _, last = parts[0].partition("-")
                    found.append((int(first, 16), int(last, 16)))
    except OSError as error:
        raise NotReadable(f"/proc/{pid}/maps: {error.strerror}") from error
    return found


def guest_ram(process: Process) -> List[Range]:
    """Where RAMBlocks lie in QEMU's memory (ram_list, include/exec/ramlist.h, 5.2 to 10.2)."""
    ram_list = process.variable("ram_list")
    ranges: List[Range] = []
    if ram_list is None:
        return ranges
    for block in process.walk(ram_list["blocks"]["lh_first"], lambda b: b["next"]["le_next"], "RAM blocks", 1024):
        with process.guard("RAM blocks"):
            host, size = int(field(block, "host")), int(field(block, "max_length"))
            if host and size:
                ranges.append((host, host + size))
    return ranges


def heap_ranges(
    process: Process, stack_pointers: Sequence[int] = (), heap_pointers: Optional[Sequence[int]] = None
) -> List[Range]:
    """Writable mappings without guest RAM and without the threads' stacks.

    With ``heap_pointers``, addresses of small objects that QEMU allocated (zeros are skipped), only glibc's heaps: the
    mappings that hold those, or the one that the kernel grows behind the program where there are none, and the arenas.
    What is left out are single large allocations: guest RAM, TLBs, translated code, buffers.
    """
    ranges: List[Range] = []
    if heap_pointers is not None and not _other_allocator():
        everything = _core_ranges() or writable_ranges(process)
        anchors = sorted({p for p in heap_pointers if p}) or _program_break(process, everything)
        ranges = [r for r in everything if _holds(r, anchors) or _is_arena(process, r)]
        if not any(_holds(r, anchors) for r in ranges):
            ranges = []
    ranges = ranges or writable_ranges(process)
    stacks = sorted(stack_pointers)
    ranges = [r for r in ranges if not _holds(r, stacks)]
    ram = guest_ram(process)
    result: List[Range] = []
    for first, last in ranges:
        pieces = [(first, last)]
        for low, high in ram:
            pieces = [
                piece for a, b in pieces for piece in ((a, min(b, low)), (max(a, high), b)) if piece[0] < piece[1]
            ]
        result.extend(pieces)
    return result


def _holds(span: Range, addresses: Sequence[int]) -> bool:
    """Whether one of the sorted addresses lies in a range."""
    place = bisect.bisect_left(addresses, span[0])
    return place < len(addresses) and addresses[place] < span[1]


def _core_ranges() -> List[Range]:
    """A core's mappings without their permissions: 25 times faster than ``maint info sections``."""
    told = gdb.execute("info files", to_string=True).partition("core dump file:")[2]
    return [(int(m.group(1), 16), int(m.group(2), 16)) for m in _MAPPING.finditer(told)]


def _other_allocator() -> bool:
    return any(name in (o.filename or "") for o in gdb.objfiles() for name in ("jemalloc", "tcmalloc", "ld-musl"))


def _is_arena(process: Process, span: Range) -> bool:
    """Whether one of glibc's heaps for threads begins here: at a multiple of HEAP_MAX_SIZE, with heap_info's ar_ptr,
    prev, size and mprotect_size (glibc malloc/arena.c, 2.3 to 2.41).
    """
    if span[0] % _HEAP_MAX:
        return False
    try:
        arena, _, size, writable = struct.unpack("<4Q", process.read(span[0], 32))
    except NotReadable:
        return False
    return 0 < arena % _HEAP_MAX < _PAGE and 0 < size <= writable <= _HEAP_MAX


def _program_break(process: Process, mappings: Sequence[Range]) -> List[int]:
    """An address in the heap that brk grows: the first mapping that begins behind the program's data, which the kernel
    moves up by at most 32 MB, since Linux 6.9 1 GB (arch_randomize_brk, arch/x86/kernel/process.c). Empty: not found.
    """
    end = 0
    if process.objfile is not None:
        told = gdb.execute("info files", to_string=True)
        end = max((int(m.group(1), 16) for m in _DATA_SECTION.finditer(told)), default=0)
    behind = min((first for first, _ in mappings if end <= first <= end + _BREAK_MAX), default=0) if end else 0
    return [behind] if behind else []


def search(
    process: Process,
    ranges: Sequence[Range],
    pattern: bytes,
    limit: int,
    progress: Optional[Callable[[str], None]] = None,
) -> List[int]:
    """Addresses of an aligned 8-byte pattern, at most ``limit`` of them; calls ``progress`` past two seconds."""
    total = sum(last - first for first, last in ranges)
    done, started, found = 0, time.monotonic(), []
    for first, last in ranges:
        position = first
        while position < last and len(found) < limit:
            end = min(position + _STEP, last)
            try:
                hit = process.inferior.search_memory(position, end - position, pattern)
            except gdb.error:
                hit = None  # a hole: gdb searches up to it only
            if hit is None:
                done += end - position
                position = end
                if progress is not None and time.monotonic() - started > _SHOW_AFTER:
                    progress(f"searching memory for coroutines: {done * 100 // max(total, 1)} %")
                continue
            done += hit + 8 - position
            position = hit + 8
            if hit % 8 == 0:
                found.append(hit)
    return found
