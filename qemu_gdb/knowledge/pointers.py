"""What the bytes of a bad pointer tell: an allocator's mark, or a text that was written over it."""

from __future__ import annotations

from typing import Dict

# A pc or a pointer with one of these patterns is memory that an allocator has marked.
POISON: Dict[int, str] = {
    0x5A: "0x5a bytes: jemalloc's or MALLOC_PERTURB_'s mark of freed memory",
    0xA5: "0xa5 bytes: a mark of fresh or freed memory",
    0x6B: "0x6b bytes: a poison mark of freed memory",
    0xDD: "0xdd bytes: the MSVC run-time's mark of freed memory",
    0xFE: "0xfe bytes: a debug allocator's fence or mark of freed memory",
    0xCD: "0xcd bytes: the MSVC run-time's mark of memory never written",
    0xBE: "0xbe bytes: AddressSanitizer's fill of fresh memory",
    0xAA: "0xaa bytes: a debug allocator's fill of fresh memory",
}


def poison(value: int) -> str:
    """What an allocator's mark in a pointer means, "" where there is none."""
    if value < 0x10000:
        return ""
    low = value & 0xFFFFFFFF
    byte = low & 0xFF
    if low == byte * 0x01010101 and byte in POISON:
        return POISON[byte]
    if value in (0xDEADBEEF, 0xDEADBEEFDEADBEEF, 0xBAADF00D, 0xFEEEFEEE, 0xABABABAB):
        return "a debugger's or allocator's mark"
    return ""


def text_of(value: int) -> str:
    """The characters that a pointer's bytes spell, "" where they are no text (at least 5 printable ones).

    A position-independent program and its heap lie at 0x55.. and 0x56.. on x86-64 Linux: "UU" at the end is no text.
    """
    if value >> 40 in (0x55, 0x56):
        return ""
    raw = value.to_bytes(8, "little", signed=False).rstrip(b"\0") if 0 < value < 1 << 64 else b""
    if len(raw) >= 5 and all(32 < b < 127 for b in raw) and sum(chr(b).isalnum() for b in raw) >= 4:
        return raw.decode("ascii")
    return ""


def why_bad(value: int, arm: bool = False) -> str:
    """Why a register's value can't be a pointer, "" where it can: a mark, a text, a pattern, an impossible address.

    x86-64 has 47 bits for user space (without la57); Arm ignores the top byte, and has up to 52.
    """
    mark = poison(value)
    if mark:
        return mark
    text = text_of(value)
    if text:
        return f'its bytes spell "{text}"'
    low = value & 0xFFFF
    if low and value == low * 0x0001000100010001:
        return f"0x{low:04x} again and again: a pattern that somebody filled memory with"
    if (value >> 52 & 0xF if arm else value >> 47 not in (0, 0x1FFFF)):
        return "not a canonical address"
    return ""
