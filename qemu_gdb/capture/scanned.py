"""Undoes what reading a picture of a stack does: O and o for 0, l and I for 1, in frame numbers and addresses only."""

from __future__ import annotations

from typing import List

from qemu_gdb.pattern import Pattern

HINT = Pattern(r"#\d{0,4}[OolI][0-9OolI]{0,4}[ \t]")  # of a text that may hold such a number
_NUMBER = Pattern(r"(?P<head>\s*#)(?P<level>[0-9OolI]{1,5})(?P<rest>\s+\S.*)$")
_ADDRESS = Pattern(r"(?P<blanks>\s+)(?P<address>[0Oo]x[0-9a-fA-FOolI]{4,16})(?= in )")
_DIGITS = str.maketrans("OolI", "0011")


def repaired(lines: List[str]) -> List[str]:
    """``lines`` with the frames' numbers and addresses mended, where that fills the gap in the numbering."""
    result: List[str] = []
    last = -1
    for line in lines:
        match = _NUMBER.match(line)
        if match is None:
            result.append(line)
            continue
        written = match.group("level")
        level = int(written.translate(_DIGITS))
        if not written.isdecimal() and level not in (0, last + 1):
            result.append(line)
            continue
        last = level
        rest = match.group("rest")
        address = _ADDRESS.match(rest)
        if address is not None:
            mended = "0x" + address.group("address")[2:].translate(_DIGITS)
            rest = f"{address.group('blanks')}{mended}{rest[address.end() :]}"
        result.append(f"{match.group('head')}{level}{rest}")
    return result
