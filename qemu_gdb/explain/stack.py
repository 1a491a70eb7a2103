"""A thread's frames as rules want them: canonical names, argument values, searches from inner to outer."""

from __future__ import annotations

import functools
import re
from typing import Any, Callable, Collection, Dict, FrozenSet, List, Optional, Sequence, Tuple, TypeVar, Union, cast

from ..knowledge.match import Names
from ..model import Frame, Thread
from ..pattern import Pattern

_Told = TypeVar("_Told")
Wanted = Union[str, Collection[str], Names]

_NUMBER = Pattern(r"^\s*(?:\([^()]*\)\s*)?(-?0[xX][0-9a-fA-F]+|-?\d+)\b")
_STRING = Pattern(r'"((?:[^"\\]|\\.)*)"')
_SYMBOL = Pattern(r"<([^<>+]+)(?:\+\d+)?>")


def number(text: Optional[str]) -> Optional[int]:
    """The integer that a printed value starts with (``0x55d0 <bql>`` is 0x55d0), None where there is none."""
    if not text:
        return None
    found = _NUMBER.match(text)
    return int(found.group(1), 0) if found and not re.match(r"-?0\d", found.group(1)) else (
        int(found.group(1)) if found else None
    )


def string(text: Optional[str]) -> Optional[str]:
    """The C string inside a printed value (``0x55d0 "stop"`` is stop), None where there is none."""
    found = _STRING.search(text) if text else None
    if found is None:
        return None
    return re.sub(r'\\(["\\])', r"\1", found.group(1))


def symbol(text: Optional[str]) -> Optional[str]:
    """The symbol of a printed pointer (``0x55d0 <exclusive_cond+40>`` is exclusive_cond), None without one."""
    found = _SYMBOL.search(text) if text else None
    if found is None or found.group(1).startswith(("optimized out", "error reading")):
        return None
    return found.group(1)


def once_a_stack(function: Callable[[Stack], _Told]) -> Callable[[Stack], _Told]:
    """Keep what a function finds out about a stack's frames. Its result must not be changed."""
    name = f"{function.__module__}.{function.__name__}"

    @functools.wraps(function)
    def known(stack: Stack) -> _Told:
        if name not in stack.memo:
            stack.memo[name] = function(stack)
        return cast(_Told, stack.memo[name])

    return known


class Stack:
    """One thread's frames, inner to outer. Positions are indexes into ``frames``, not gdb levels."""

    def __init__(self, thread: Thread, memo: Optional[Dict[str, Any]] = None) -> None:
        self.thread = thread
        self.frames: List[Frame] = thread.frames
        # What rules found out about these frames, so that they ask once; stacks of the same frames share it.
        self.memo: Dict[str, Any] = {} if memo is None else memo
        if not self.memo:
            names = tuple(frame.name for frame in thread.frames)
            self.memo["names"] = names, frozenset(names)
        self.names: Tuple[str, ...]
        self._set: FrozenSet[str]
        self.names, self._set = self.memo["names"]

    def __len__(self) -> int:
        return len(self.frames)

    def find(self, wanted: Wanted, start: int = 0, stop: Optional[int] = None) -> Optional[int]:
        """Position of the innermost frame from ``start`` whose function is ``wanted``, None without one."""
        names: Sequence[str] = self.names
        if isinstance(wanted, str):
            if wanted not in self._set:
                return None
            wanted = (wanted,)
        elif not isinstance(wanted, Names) and self._set.isdisjoint(wanted):
            return None
        for position in range(start, len(names) if stop is None else min(stop, len(names))):
            if names[position] and names[position] in wanted:
                return position
        return None

    def find_outermost(self, wanted: Wanted) -> Optional[int]:
        """Position of the outermost frame whose function is ``wanted``, None without one."""
        if isinstance(wanted, str):
            wanted = (wanted,)
        for position in range(len(self.names) - 1, -1, -1):
            if self.names[position] and self.names[position] in wanted:
                return position
        return None

    def find_all(self, wanted: Wanted) -> List[int]:
        """Positions of all frames whose function is ``wanted``."""
        if isinstance(wanted, str):
            wanted = (wanted,)
        return [i for i, name in enumerate(self.names) if name and name in wanted]

    def has(self, *wanted: Wanted) -> bool:
        """Whether each of ``wanted`` is on the stack."""
        return all(self.find(w) is not None for w in wanted)

    def in_order(self, *wanted: Wanted) -> Optional[List[int]]:
        """Positions of frames that follow one another from inner to outer (gaps allowed), None without them."""
        positions: List[int] = []
        start = 0
        for w in wanted:
            at = self.find(w, start)
            if at is None:
                return None
            positions.append(at)
            start = at + 1
        return positions

    def arg(self, position: Optional[int], *names: str) -> Optional[str]:
        """The printed value of the first of the arguments ``names`` that the frame has and that was readable."""
        if position is None or not 0 <= position < len(self.frames):
            return None
        args = self.frames[position].args
        for name in names:
            value = args.get(name)
            if value is not None and "optimized out" not in value and "error reading" not in value and value.strip():
                return value
        return None

    def arg_number(self, position: Optional[int], *names: str) -> Optional[int]:
        return number(self.arg(position, *names))

    def arg_string(self, position: Optional[int], *names: str) -> Optional[str]:
        return string(self.arg(position, *names))

    def arg_symbol(self, position: Optional[int], *names: str) -> Optional[str]:
        return symbol(self.arg(position, *names))

    def level(self, position: int) -> int:
        """gdb's level of the frame at a position."""
        return self.frames[position].level

    def where(self, position: int) -> str:
        """``file:line`` of a frame, "" where it has none."""
        frame = self.frames[position]
        if not frame.file:
            return ""
        return f"{frame.file}:{frame.line}" if frame.line is not None else frame.file
