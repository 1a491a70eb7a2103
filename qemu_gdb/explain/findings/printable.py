"""Next steps that print values: only those that the text shows to be there, of QEMU's own frames."""

from __future__ import annotations

import re
from typing import List, Optional, Tuple

from ...model import Frame
from ...pattern import Pattern
from ..context import Context, Subject
from ..owners import codes
from ..stack import Stack, number, string, symbol
from .cause import Cause, is_helper, past_helpers
from .faults import ALIGNED

_OUTWARD = 6  # frames from the one to blame in which a pointer is looked for
# names by which devices' and block layer's functions know what they work on, besides faults.ALIGNED
_OBJECTS = (ALIGNED | frozenset("p packet pkt cmd r sreq vd mon vs sd bb sc".split())) - {"opaque", "ctx", "f"}
_LOCALS = Pattern(r"frame (\d+)\b")


def default_steps(context: Context, cause: Cause) -> List[str]:
    """Print the object that the failing code works on, where the frames show a pointer to it."""
    stack, blame = cause.subject.stack, cause.blame
    if blame is None:
        return []
    named = _looked_through(cause.expression)
    if named:
        position = next((p for p in _outward(stack, blame) if _readable(stack.frames[p], named)), None)
        if position is not None:
            return [f"print *{named} in frame {stack.level(position)}"]
        if stack.frames[blame].file and named not in stack.frames[blame].args:
            return [f"frame {stack.level(blame)}, info locals: {named}"]
    found = _pointer(stack, blame)
    if found is not None:
        position, name = found
        return [f"print *{name} in frame {stack.level(position)}"]
    mine = next((p for p in _outward(stack, blame) if stack.frames[p].file), None)
    return [f"frame {stack.level(mine)}, info locals"] if mine is not None else []


def _outward(stack: Stack, blame: int) -> List[int]:
    """QEMU's own frames from the one to blame, which comes first, outwards."""
    owners = codes(stack)
    return [
        p for p in range(blame, min(blame + _OUTWARD, len(stack))) if stack.names[p] and owners[p].owner == "qemu"
    ]


def _readable(frame: Frame, name: str) -> bool:
    """Whether an argument's value was printed, or left out as of no simple type, and is no NULL."""
    value = frame.args.get(name, "")
    return value == "..." or (number(value) or 0) > 0xFFFF


def _pointer(stack: Stack, blame: int) -> Optional[Tuple[int, str]]:
    """The nearest pointer to an object: of a caller's first, where what failed only serves others."""
    outer = past_helpers(stack, blame) if is_helper(stack.names[blame]) else blame
    for start in dict.fromkeys((outer if outer is not None else blame, blame)):
        for position in _outward(stack, start)[:2]:
            for name, value in stack.frames[position].args.items():
                good = value.startswith("0x") and (number(value) or 0) > 0xFFFF and string(value) is None
                if good and name in _OBJECTS and not symbol(value):
                    return position, name
    return None


def _looked_through(expression: Optional[str]) -> Optional[str]:
    """The pointer that an assertion looks through (bs->refcnt > 0: bs)."""
    found = re.search(r"\b([A-Za-z_]\w*)->", expression or "")
    return found.group(1) if found else None


def without_sources(subject: Subject, steps: List[str]) -> List[str]:
    """The steps without locals of frames that have no debug information."""
    told = []
    for step in steps:
        found = _LOCALS.search(step) if "info locals" in step else None
        if found is None or _has_source(subject.stack, int(found.group(1))):
            told.append(step)
            continue
        if re.fullmatch(r"frame \d+, info locals(?:: \w+)?", step):
            continue
        step = re.sub(r",? (?:and )?info locals", "", step)
        told.append(re.sub(r", then x/i \$pc:", ", then x/i $pc and info registers:", step))
    return told


def _has_source(stack: Stack, level: int) -> bool:
    return any(f.file for f in stack.frames if f.level == level)
