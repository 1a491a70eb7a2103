"""Reads C++'s and Rust's mangled names, which a stack has where no debugger took them apart."""

from __future__ import annotations

import re
from typing import List, Tuple

_OPENS = "INJF"  # template arguments, a nested name, a pack, a function type: each ends with E
_HASH = re.compile(r"h[0-9a-f]{16}$")  # the last part of a name by Rust's old scheme


class _Unknown(ValueError):
    """The name has a form that is not read here."""


def demangled(name: str) -> str:
    """``librbd::Request::send`` of ``_ZN6librbd7Request4sendEi``: without types, arguments and template arguments.

    Names of the Itanium C++ ABI (section 5.1), which gcc and clang use, and of Rust's scheme up to its v0. A name that
    is cut, or of another form, comes back as it is.
    """
    body = name[2:] if name.startswith("_Z") else ""
    try:
        parts = _nested(body[1:]) if body.startswith("N") else [_identifier(body, 0)[0]]
    except (ValueError, IndexError):
        return name
    if len(parts) > 1 and _HASH.match(parts[-1]):
        parts.pop()
    return "::".join(parts)


def _nested(text: str) -> List[str]:
    at = 0
    parts: List[str] = []
    while text[at] in "rVK":
        at += 1
    while text[at] != "E":
        letter = text[at]
        if letter.isdigit():
            part, at = _identifier(text, at)
            parts.append(part)
        elif letter == "I":
            at = _past(text, at)
        elif text.startswith("St", at):
            parts.append("std")
            at += 2
        elif letter in "CD" and text[at + 1].isdigit() and parts:  # a constructor, a destructor
            parts.append(("~" if letter == "D" else "") + parts[-1])
            at += 2
        elif letter.islower() and text[at + 1].isalpha() and parts:
            parts.append("operator")
            at += 2
        else:
            raise _Unknown(text)
    if not parts:
        raise _Unknown(text)
    return parts


def _identifier(text: str, at: int) -> Tuple[str, int]:
    start = at
    while text[at : at + 1].isdigit():
        at += 1
    end = at + int(text[start:at] or 0)
    if at == start or end > len(text) or at - start > 4:
        raise _Unknown(text)
    return text[at:end], end


def _past(text: str, at: int) -> int:
    """Where what opens at a place has ended."""
    depth = 0
    while True:
        letter = text[at]
        if letter.isdigit():
            at = _identifier(text, at)[1]
            continue
        if letter == "X" or (letter == "L" and not text[at + 1].islower()):
            raise _Unknown(text)
        if letter in "ST" and not text[at + 1].islower():  # a substitution or a parameter: S_, S1_, T0_
            at = text.index("_", at)
        elif letter == "L" and text[at + 1].islower():  # a literal: Li5E
            at = text.index("E", at)
        elif letter in _OPENS:
            depth += 1
        elif letter == "E":
            depth -= 1
            if not depth:
                return at + 1
        at += 1
