"""Reads from a core file which program it is of, without gdb: its path and build id, for opening the two together."""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import field
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, TypeVar

from ..record import record

_NT_FILE, _NT_AUXV, _NT_PRPSINFO, _NT_GNU_BUILD_ID = 0x46494C45, 6, 3, 3
_NT_PRSTATUS, _NT_SIGINFO, _EM_X86_64 = 1, 0x53494749, 62
# struct elf_prstatus: pr_pid, and pr_reg: x86-64's struct user_regs_struct (Linux, arch/x86/include/asm/user_64.h)
_PR_PID, _PR_REG = 32, 112
_REGISTERS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base "
              "ds es fs gs").split()
_AT_ENTRY, _AT_EXECFN, _AT_PHDR = 9, 31, 3
_MAX_STACK, _MAX_ARGUMENTS, _PAGE = 8 << 20, 10_000, 4096
_MAX_NOTE, _MAX_FILES, _MAX_HEADERS = 64 << 20, 100_000, 70_000


class NotACore(ValueError):
    """The file is no core that can be read; the message is one line."""


@record
class Core:
    """What a core says of its program."""

    programs: List[str] = field(default_factory=list)  # paths, the best first
    build_id: Optional[str] = None


def arguments(path: str) -> List[str]:
    """The words of the command line of the core at ``path``; empty where the core does not tell them.

    They lie where the kernel put them when the program began: argc, argv, environment and auxiliary vector, one after
    another at the outer end of the stack (fs/binfmt_elf.c, create_elf_tables). The last of these is found first.
    """
    return _told(path, _arguments) or []


class Task(NamedTuple):
    """A thread as the core's notes tell it."""

    registers: Dict[str, int]  # by gdb's names
    signal: int  # si_signo, 0 where the core has no siginfo of it


def tasks(path: str) -> Dict[int, Task]:
    """The threads of the x86-64 core at ``path`` by their LWP; empty for any other file."""
    return _told(path, _tasks) or {}


class Cut(NamedTuple):
    """A core whose file ends before what its headers promise: a limit on its size (ulimit -c), a full disk."""

    have: int  # bytes
    whole: int
    lacks_data: bool  # of the program: gdb then shows what its file has, from before it ran

    def __str__(self) -> str:
        return f"{self.have >> 20} of {self.whole >> 20} MiB are in the file"


def cut(path: str) -> Optional[Cut]:
    """Whether the core at ``path`` is cut; None for a whole one, and for any other file."""
    return _told(path, _cut)


_Told = TypeVar("_Told")


def _told(path: str, read: Callable[[mmap.mmap], _Told]) -> Optional[_Told]:
    """What ``read`` makes of a file; None where that is no ELF file of 64 bits, little-endian, or is damaged."""
    try:
        with open(path, "rb") as stream:
            if stream.read(6) != b"\x7fELF\x02\x01":
                return None
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return read(data)
    except (OSError, ValueError, OverflowError, struct.error):
        return None


def _tasks(data: mmap.mmap) -> Dict[int, Task]:
    found: Dict[int, Task] = {}
    if struct.unpack_from("<H", data, 18)[0] != _EM_X86_64:
        return found
    layout = struct.Struct(f"<{len(_REGISTERS)}Q")
    last = 0
    for kind, offset, _address, size, _flags in _headers(data):
        for note, name, body in _notes(data, offset, size) if kind == 4 else ():
            if note == _NT_PRSTATUS and name == b"CORE" and len(body) >= _PR_REG + layout.size:
                (last,) = struct.unpack_from("<i", body, _PR_PID)
                found[last] = Task(dict(zip(_REGISTERS, layout.unpack_from(body, _PR_REG))), 0)
            elif note == _NT_SIGINFO and last in found and len(body) >= 4:  # it follows its thread's status
                found[last] = found[last]._replace(signal=struct.unpack_from("<i", body)[0])
    return found


@record
class _Segment:
    offset: int
    address: int
    size: int


def read(path: str) -> Core:
    """What the core at ``path`` says of its program. Every count in the file is distrusted.

    :raises NotACore: it is none
    """
    try:
        with open(path, "rb") as stream:
            start = stream.read(64)
            if start[:4] != b"\x7fELF":
                raise NotACore(f"{path} is no core file")
            if start[4:6] != b"\x02\x01":
                raise NotACore(f"{path} is a core of 32 bits or another byte order, which is not supported")
            if start[16:18] != b"\x04\x00":
                raise NotACore(f"{path} is an ELF file but no core; expected: qemu-gdb core CORE [PROGRAM]")
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _read(data)
    except (OSError, ValueError, OverflowError, struct.error) as error:
        if isinstance(error, NotACore):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, struct.error):
            reason = "it is cut or damaged inside its headers"
        raise NotACore(f"cannot read {path}: {reason}") from error


def _headers(data: mmap.mmap) -> Iterator[Tuple[int, int, int, int, int]]:
    """Type, offset, address, size in the file and flags of each segment."""
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    if count == 0xFFFF:  # PN_XNUM: the number stands in the first section header
        (sections,) = struct.unpack_from("<Q", data, 40)
        (count,) = struct.unpack_from("<I", data, sections + 44)
    for i in range(min(count, _MAX_HEADERS)):
        kind, flags, offset, address, _physical, in_file, _memory = struct.unpack_from("<IIQQQQQ", data,
                                                                                       table + i * size)
        yield kind, offset, address, in_file, flags


_WRITABLE = 2  # PF_W
_AROUND = 16 << 20  # bytes behind a program's mappings of its file, where its other data lie


def _cut(data: mmap.mmap) -> Optional[Cut]:
    whole = max((offset + size for _kind, offset, _address, size, _flags in _headers(data)), default=0)
    if whole <= len(data):
        return None
    own = _program_range(data)
    lacks = own is None
    for kind, offset, address, size, flags in _headers(data):
        if own is not None and kind == 1 and flags & _WRITABLE and size and offset + size > len(data):
            lacks = lacks or own[0] <= address < own[1] + _AROUND
    return Cut(len(data), whole, lacks)


def _program_range(data: mmap.mmap) -> Optional[Tuple[int, int]]:
    """The addresses over which the program's file is mapped."""
    entry = 0
    files: List[Tuple[int, int, int, str]] = []
    for kind, offset, _address, size, _flags in _headers(data):
        for note, _name, body in _notes(data, offset, size) if kind == 4 else ():
            if note == _NT_FILE:
                files = _files(body)
            elif note == _NT_AUXV:
                pairs = (struct.unpack_from("<QQ", body, i) for i in range(0, min(len(body), 4096) - 15, 16))
                entry = next((value for key, value in pairs if key == _AT_ENTRY), 0)
    name = next((f[3] for f in files if f[0] <= entry < f[1]), None)
    own = [f for f in files if f[3] == name]
    return (min(f[0] for f in own), max(f[1] for f in own)) if own else None


def _notes(data: mmap.mmap, offset: int, size: int) -> Iterator[Tuple[int, bytes, bytes]]:
    end = min(offset + min(size, _MAX_NOTE), len(data))
    while offset + 12 <= end:
        name_size, size, kind = struct.unpack_from("<III", data, offset)
        body = offset + 12 + (name_size + 3) // 4 * 4
        if body + size > end:
            return
        yield kind, data[offset + 12:offset + 12 + name_size].rstrip(b"\0"), data[body:body + size]
        offset = body + (size + 3) // 4 * 4


def _read(data: mmap.mmap) -> Core:
    segments: List[_Segment] = []
    files: List[Tuple[int, int, int, str]] = []
    auxiliary = {}
    for kind, offset, address, size, _flags in _headers(data):
        if kind == 1:  # PT_LOAD
            segments.append(_Segment(offset, address, size))
        elif kind == 4:  # PT_NOTE
            for note, _name, body in _notes(data, offset, size):
                if note == _NT_FILE:
                    files = _files(body)
                elif note == _NT_AUXV:
                    for i in range(0, min(len(body), 4096) - 15, 16):
                        key, value = struct.unpack_from("<QQ", body, i)
                        auxiliary[key] = value
    core = Core()
    entry = auxiliary.get(_AT_ENTRY, 0)
    own = next((f for f in files if f[0] <= entry < f[1]), None)
    if own is not None:
        core.programs.append(own[3].replace(" (deleted)", ""))
        first = min((f[0] for f in files if f[3] == own[3] and f[2] == 0), default=own[0])
        core.build_id = _mapped_build_id(data, segments, first)
    elif auxiliary.get(_AT_PHDR):
        core.build_id = _mapped_build_id(data, segments, auxiliary[_AT_PHDR] & ~0xFFF)
    name = _string(data, segments, auxiliary.get(_AT_EXECFN, 0))
    if name and name not in core.programs:
        core.programs.append(name)
    return core


def _files(body: bytes) -> List[Tuple[int, int, int, str]]:
    """Start, end, offset in pages, and path of each mapped file."""
    count, _page = struct.unpack_from("<QQ", body, 0)
    count = min(count, _MAX_FILES, len(body) // 24)
    names = body[16 + 24 * count:].split(b"\0")
    found = []
    for i in range(min(count, len(names))):
        start, end, offset = struct.unpack_from("<QQQ", body, 16 + 24 * i)
        found.append((start, end, offset, os.fsdecode(names[i])))
    return found


def _memory(data: mmap.mmap, segments: List[_Segment], address: int, size: int) -> bytes:
    for segment in segments:
        if segment.address <= address < segment.address + segment.size:
            start = segment.offset + address - segment.address
            return data[start:start + min(size, segment.address + segment.size - address)]
    return b""


def _string(data: mmap.mmap, segments: List[_Segment], address: int) -> str:
    return os.fsdecode(_memory(data, segments, address, 4096).partition(b"\0")[0]) if address else ""


def _arguments(data: mmap.mmap) -> List[str]:
    segments: List[_Segment] = []
    vector = b""
    for kind, offset, address, size, _flags in _headers(data):
        if kind == 1:
            segments.append(_Segment(offset, address, size))
        elif kind == 4:
            vector = vector or next((b for n, _name, b in _notes(data, offset, size) if n == _NT_AUXV), b"")
    name = 0
    for i in range(0, min(len(vector), 4096) - 15, 16):
        key, value = struct.unpack_from("<QQ", vector, i)
        name = value if key == _AT_EXECFN else name
    stack = next((s for s in segments if s.address <= name < s.address + s.size), None) if name else None
    if stack is None:
        return []
    end = stack.offset + name - stack.address
    at = data.rfind(vector[:64], max(stack.offset, end - _MAX_STACK), end)

    def word(place: int) -> int:
        return int(struct.unpack_from("<Q", data, place)[0]) if place >= stack.offset else 0

    place = at - 16  # the environment's last pointer; its end mark stands between
    while at > 0 and word(place) and at - place < _MAX_STACK:
        place -= 8
    found: List[str] = []
    place -= 8
    while at > 0 and len(found) < _MAX_ARGUMENTS and word(place) >= _PAGE:
        found.append(_string(data, [stack], word(place)))
        place -= 8
    return found[::-1] if found and word(place) == len(found) else []


def _mapped_build_id(data: mmap.mmap, segments: List[_Segment], address: int) -> Optional[str]:
    """The build id in a program's first page, which Linux dumps for this purpose."""
    page = _memory(data, segments, address, 4096)
    return _build_id_of(page) if page[:4] == b"\x7fELF" else None


def _build_id_of(image: bytes) -> Optional[str]:
    try:
        (table,) = struct.unpack_from("<Q", image, 32)
        size, count = struct.unpack_from("<HH", image, 54)
        for i in range(min(count, 64)):
            kind, _flags, offset, _address, _physical, length, _memory_size = struct.unpack_from("<IIQQQQQ", image,
                                                                                                table + i * size)
            if kind != 4:
                continue
            end = min(offset + length, len(image))
            while offset + 12 <= end:
                name_size, body_size, note = struct.unpack_from("<III", image, offset)
                body = offset + 12 + (name_size + 3) // 4 * 4
                if note == _NT_GNU_BUILD_ID and image[offset + 12:offset + 15] == b"GNU" and body_size <= 64:
                    return image[body:body + body_size].hex() or None
                offset = body + (body_size + 3) // 4 * 4
    except struct.error:
        pass
    return None


def build_id(path: str) -> Optional[str]:
    """The build id of a program file, None where it has none."""
    try:
        with open(path, "rb") as stream:
            image = stream.read(65536)
    except OSError:
        return None
    return _build_id_of(image) if image[:6] == b"\x7fELF\x02\x01" else None
