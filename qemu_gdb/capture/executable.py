"""Reads what a QEMU program's file says of itself: its version, its address range; for captures of a process."""

from __future__ import annotations

import functools
import mmap
import os
import re
import struct
from typing import Dict, NamedTuple, Optional, Tuple

# vl.c: printf("QEMU emulator version " QEMU_FULL_VERSION ...), and likewise in qemu-img.c, qemu-nbd.c, qemu-io.c,
# storage-daemon/qemu-storage-daemon.c and linux-user/main.c, 2.x to 10.2. QEMU_FULL_VERSION: "10.0.13 (Debian ...)".
_VERSION = re.compile(
    rb"(?:QEMU emulator|qemu-[a-z0-9_-]{1,32}|QEMU Guest Agent|%s) version "
    rb"(\d[\w.+~-]{0,40})(?: \(([^()\0\n]{1,100})\))?"
)
_MAX_SECTION = 64 << 20


class Program(NamedTuple):
    """What the file says; zeros and None where it can't be read."""

    path: str = ""
    version: Optional[str] = None
    package: Optional[str] = None  # of the distribution
    entry: int = 0  # addresses as linked
    low: int = 0
    high: int = 0


def read(path: str) -> Program:
    """What the ELF file ``path`` says; an empty Program for anything else. Remembered until the file changes."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return Program(path)
    return _read(path, status.st_mtime_ns, status.st_size)


def open_core() -> Optional[str]:
    """The core file that this gdb has open; None if it has several.

    gdb before 17 tells its scripts only in the output of ``info files``, which takes 23 ms on a large core.
    """
    found = set()
    try:
        for name in os.listdir("/proc/self/fd")[:4096]:
            path = os.path.realpath(f"/proc/self/fd/{name}")
            if path not in found and os.path.isfile(path):
                with open(path, "rb") as stream:
                    start = stream.read(18)
                if start[:4] == b"\x7fELF" and start[16:18] == b"\x04\x00":  # ET_CORE
                    found.add(path)
    except OSError:
        return None
    return found.pop() if len(found) == 1 else None


@functools.lru_cache(maxsize=16)
def _read(path: str, _mtime: int, size: int) -> Program:
    try:
        with open(path, "rb") as stream:
            if size < 64 or stream.read(6) != b"\x7fELF\x02\x01":  # 64 bits, little-endian
                return Program(path)
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                entry, low, high = _range(data)
                version, package = _version(data, _sections(data).get(b".rodata"))
                return Program(path, version, package, entry, low, high)
    except (OSError, ValueError, struct.error):
        return Program(path)


def _range(data: mmap.mmap) -> Tuple[int, int, int]:
    """Entry point, lowest and highest address of the loaded segments."""
    entry, table = struct.unpack_from("<QQ", data, 24)
    size, count = struct.unpack_from("<HH", data, 54)
    low, high = 1 << 64, 0
    for i in range(min(count, 64)):
        kind, _flags, _offset, address, _physical, _in_file, in_memory = struct.unpack_from(
            "<IIQQQQQ", data, table + i * size
        )
        if kind == 1:  # PT_LOAD
            low, high = min(low, address), max(high, address + in_memory)
    return (entry, low, high) if high else (entry, 0, 0)


def _sections(data: mmap.mmap) -> Dict[bytes, Tuple[int, int]]:
    """Offset and size in the file of each section."""
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    (names_at,) = struct.unpack_from("<Q", data, table + names * size + 24)
    found: Dict[bytes, Tuple[int, int]] = {}
    for i in range(min(count, 200)):
        name, _kind, _flags, _address, offset, length = struct.unpack_from("<IIQQQQ", data, table + i * size)
        start = names_at + name
        end = data.find(b"\0", start, start + 64)
        if end > 0:
            found[data[start:end]] = (offset, length)
    return found


def _version(data: mmap.mmap, section: Optional[Tuple[int, int]]) -> Tuple[Optional[str], Optional[str]]:
    if section is None:
        return None, None
    start, end = section[0], section[0] + min(section[1], _MAX_SECTION)
    for _ in range(2000):
        at = data.find(b" version ", start, end)
        if at < 0:
            break
        match = _VERSION.search(data[max(0, at - 48) : at + 160])
        if match:
            package = match.group(2)
            return match.group(1).decode(), package.decode("utf-8", "replace") if package else None
        start = at + 1
    return None, None
