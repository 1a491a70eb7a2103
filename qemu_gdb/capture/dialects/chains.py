"""Stacks in one line: ``ppoll <- qemu_poll_ns <- main`` as people write them, and the folded ones of flame graphs."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional

from qemu_gdb.capture.order import begins_a_thread
from qemu_gdb.model import Frame, canonical_name
from qemu_gdb.pattern import Pattern

FEWEST = 4  # functions; fewer are a remark
_FEWEST_MARKED = 2  # of them that have the look of C: an underscore
MAX_FRAMES = 1000
_INWARDS = ("->", "=>", "→", "-›", "⇒")  # the caller stands on the left
_OUTWARDS = ("<-", "<=", "←", "‹-", "⇐")
_ARROWS = (*_OUTWARDS, *_INWARDS)
_ASCII_ARROWS = tuple(arrow for arrow in _ARROWS if arrow.isascii())
_FUNCTION = Pattern(
    r"`?(?P<function>[A-Za-z_][\w.@]*)(?:\(\s?(?:\.\.\.|void)?\s?\))?(?:\+(?:0x[0-9a-fA-F]+|\d+))?(?:\s\([\w./+-]+:\d+\))?`?"
)
_FOLDED = Pattern(r"(?P<stack>[^;]{1,200}(?:;[^;]{0,400}){3,}) (?P<weight>\d{1,15})$")
_WORD = Pattern(r"[A-Za-z_]\w*$")
_SYMBOL = Pattern(r"[A-Za-z_~][^\s;{}=\"']*$")
_KERNEL = Pattern(r"_\[[kij]\]$")
_COMM_END = Pattern(r"-(?:\d{1,10}|\?)(?:/(?P<tid>\d{1,10}))?$")
_NAME = Pattern(
    r"(?:CPU \d+/[A-Z]+|IO (?!thread)\S+|qemu-\w[\w-]*|qemu_main|call_rcu|worker|ALL CPUs/TCG|live_migration"
    r"|multifd\w+_\d+|mig/\S+|vnc_worker|SPICE Worker)$"
)
_NUMBER = Pattern(r"(?:.*\s)?[Tt]hread #?(?P<number>\d{1,6})$")


class Chain(NamedTuple):
    """A stack out of one line, innermost frame first."""

    frames: List[Frame]
    name: Optional[str] = None
    number: Optional[int] = None
    weight: Optional[int] = None
    rooted: bool = False  # an end is where a thread begins


def separator(text: str) -> Optional[str]:
    """The arrow that joins what may be a chain, None without one."""
    return next((arrow for arrow in (_ASCII_ARROWS if text.isascii() else _ARROWS) if arrow in text), None)


def read(text: str) -> Optional[Chain]:
    """The chain in ``text``, None where it holds none."""
    arrow = separator(text)
    if arrow is None or text.count(arrow) < FEWEST - 1:
        return None
    pieces = [piece.strip() for piece in text.split(arrow, MAX_FRAMES)]
    label, first = _labelled(pieces[0])
    pieces[0] = first
    pieces[-1] = re.split(r"[\s,;]", pieces[-1].rstrip(".,;:"), maxsplit=1)[0]
    functions = [_FUNCTION.match(piece) for piece in pieces]
    if any(found is None or found.end() != len(piece) for found, piece in zip(functions, pieces)):
        return None
    names = [found.group("function") for found in functions if found is not None]
    if sum("_" in name for name in names) < _FEWEST_MARKED:
        return None
    outer_first = arrow in _INWARDS
    ends = [begins_a_thread(canonical_name(name)) for name in (names[0], names[-1])]
    if ends[0] != ends[1]:
        outer_first = ends[0]
    if not any(ends) and f" {arrow}" not in text and f"{arrow} " not in text:
        return None  # an expression of C
    name, number = _thread_of(label)
    return Chain(_frames(names, outer_first), name, number, None, any(ends))


def _labelled(piece: str) -> tuple[str, str]:
    """The words before the first function, and the function."""
    head, colon, tail = piece.rpartition(":")
    if colon and tail.strip() and " " not in tail.strip():
        return head.strip(), tail.strip()
    words = piece.rsplit(None, 1)
    return ("", piece) if len(words) < 2 else (words[0].strip(), words[1])


def _thread_of(label: str) -> tuple[Optional[str], Optional[int]]:
    label = label.strip(" *-\"'")
    match = _NUMBER.match(label)
    return label if _NAME.match(label) else None, int(match.group("number")) if match is not None else None


def folded(text: str) -> Optional[Chain]:
    """``CPU 0/KVM;start_thread;...;ioctl 15231``, what stackcollapse-perf.pl and bcc's -f write, else None."""
    match = _FOLDED.match(text)
    if match is None:
        return None
    pieces = match.group("stack").split(";")[:MAX_FRAMES]
    name: Optional[str] = None
    begins = [begins_a_thread(canonical_name(piece)) for piece in pieces[:3]]
    if not begins[0] and (any(begins[1:]) or _WORD.match(pieces[0]) is None):
        name = _COMM_END.sub("", pieces.pop(0))
    names = [_KERNEL.sub("", piece.strip()) for piece in pieces]
    while names and names[0].startswith("["):
        del names[0]
    known = [n for n in names if not n.startswith(("[", "0x"))]
    if len(known) < FEWEST - 1 or sum("_" in n for n in known) < _FEWEST_MARKED:
        return None
    if any(_SYMBOL.match(n) is None for n in known):
        return None
    if not begins_a_thread(canonical_name(names[0])) and (name is None or _NAME.match(name) is None):
        return None
    return Chain(_frames(names, True), name, None, int(match.group("weight")), True)


def _frames(names: List[str], outer_first: bool) -> List[Frame]:
    ordered = list(reversed(names)) if outer_first else names
    return [
        Frame(level, None if name.startswith(("[", "0x")) else name.split("+")[0])
        for level, name in enumerate(ordered)
    ]
