"""The values of what a failed assertion compares, as the frames and a debugger's session in the text show them."""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from ...pattern import Pattern
from .. import printed
from ..context import Context
from ..stack import Stack

_OPERAND = Pattern(r"[A-Za-z_]\w*(?:(?:->|\.)[A-Za-z_]\w*)*(?!\w|\s*[(\[]|->|\.[A-Za-z_])")
_CALL = Pattern(r"\b[A-Za-z_]\w*\s*\([^()]*\)")
_CONSTANT = Pattern(r"[A-Z][A-Z0-9_]*|true|false|sizeof|int|unsigned|char|void|struct|long|bool|u?int\d+_t")
# 5, -1, 0x7f.., "true", an enum's name, a pointer with its cast: (AioContext *) 0x55..
_PLAIN = Pattern(r"(?:\(([\w ]{1,60}\*+)\) ?)?(-?\d+|0x[0-9a-fA-F]+|true|false|[A-Z][A-Z0-9_]+)(?: ['<\"].*)?")
_MOST = 4


class Operands(NamedTuple):
    """What an assertion compares."""

    shown: List[Tuple[str, str]]  # expression and value
    missing: List[str]
    alike: List[Tuple[str, str]]  # further expressions of a pointer's type that were printed


def operands(context: Context, stack: Stack, position: int, expression: str) -> Operands:
    """The operands of an assertion that the frame at ``position`` failed."""
    frame = stack.frames[position]
    asked: Dict[str, str] = dict(printed.values(context.snapshot))
    shown: List[Tuple[str, str]] = []
    missing: List[str] = []
    types = []
    compared = re.sub(r'"[^"]*"', "", expression[:400])
    while _CALL.search(compared):  # what a call gets is not what is compared
        compared = _CALL.sub("0", compared)
    for name in dict.fromkeys(_OPERAND.findall(compared)):
        if _CONSTANT.fullmatch(name):
            continue
        value = asked.get(name) or frame.locals.get(name) or frame.args.get(name) or ""
        found = _PLAIN.fullmatch(value)
        if found is None:
            missing.append(name)
            continue
        shown.append((name, _readable(found.group(2))))
        if found.group(1) and name in asked:
            types.append(found.group(1))
    alike = []
    for name, value in asked.items():
        found = _PLAIN.fullmatch(value)
        if found is not None and found.group(1) in types and all(name != known for known, _ in shown):
            alike.append((name, found.group(2)))
    return Operands(shown[:_MOST], missing[:_MOST], alike[:_MOST])


def _readable(value: str) -> str:
    """A number that is a small negative one of 32 or 64 bits, with that; an address or a size of that order in hex."""
    number = int(value) if value.isdigit() else 0
    for bits in (32, 64):
        if (1 << bits) - (1 << 24) <= number < 1 << bits:
            return f"{value} ({number - (1 << bits)} as a signed number)"
    if number >= 1 << 32:
        return f"{value} (0x{number:x})"
    return value


def sentence(found: Operands) -> Optional[str]:
    """The values in words, None where none is shown."""
    if not found.shown:
        return None
    told = "Here " + ", ".join(f"{name} is {value}" for name, value in found.shown) + "."
    if found.alike:
        told += " Printed, too: " + ", ".join(f"{name} is {value}" for name, value in found.alike) + "."
    return told
