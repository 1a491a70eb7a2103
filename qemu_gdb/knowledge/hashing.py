"""A hash for names in indexes and signatures: the same everywhere and for ever, and cheap to load.

hashlib costs 10 ms to import (it loads OpenSSL), which an explanation in gdb would feel.
"""

from __future__ import annotations

_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


def stable_hash(text: str) -> str:
    """12 hex digits: 64-bit FNV-1a of the text's UTF-8 bytes, folded to 48 bits. Not for secrets."""
    value = _OFFSET
    for byte in text.encode("utf-8", "replace"):
        value = ((value ^ byte) * _PRIME) & _MASK
    return f"{(value >> 48) ^ (value & 0xFFFFFFFFFFFF):012x}"
