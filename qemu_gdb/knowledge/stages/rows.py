"""What a stage row is: which functions belong to one layer of QEMU, and how to say what they do, with values."""

from __future__ import annotations

import re
from typing import Callable, Collection, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from ...model import Facts, Frame
from ...pattern import Pattern
from ..match import Names

Wanted = Union[str, Collection[str], Names]

_NUMBER = Pattern(r"^\s*(?:\([^()]*\)\s*)?(-?0[xX][0-9a-fA-F]+|-?\d+)\b")
_STRING = Pattern(r'"((?:[^"\\]|\\.)*)"')
_SYMBOL = Pattern(r"<([^<>+]+)(?:\+\d+)?>")
# what is folded into a stage and says nothing of it
_LIBRARY = Pattern(
    r"g_[a-z]|_|(?:malloc|calloc|realloc|free|abort|raise|syscall|memcpy|memset|strcmp)$|pthread_|futex"
)
_ENUMERATOR = Pattern(r"^\s*([A-Za-z_]\w*(?:\s*\|\s*[A-Za-z_]\w*)*)\s*$")


def readable(value: Optional[str]) -> bool:
    """Whether a printed value says anything."""
    if not value:
        return False
    if "<" not in value:
        return True
    return not any(word in value for word in ("optimized out", "error reading", "unavailable", "synthetic pointer"))


def number_of(text: Optional[str]) -> Optional[int]:
    """The integer that a printed value starts with; a character (``49 '1'``) counts by its code."""
    found = _NUMBER.match(text) if text else None
    if found is None:
        return None
    digits = found.group(1)
    return int(digits, 16) if "x" in digits.lower() else int(digits)


def string_of(text: Optional[str]) -> Optional[str]:
    """The C string inside a printed value."""
    found = _STRING.search(text) if text else None
    return re.sub(r'\\(["\\])', r"\1", found.group(1)) if found else None


def symbol_of(text: Optional[str]) -> Optional[str]:
    """The symbol of a printed pointer."""
    found = _SYMBOL.search(text) if text else None
    return found.group(1) if found and readable(found.group(1)) else None


def enumerator_of(text: Optional[str]) -> Optional[str]:
    """The enumerator that a printed enum value is (``RUN_STATE_PAUSED``)."""
    found = _ENUMERATOR.match(text) if text else None
    return found.group(1) if found and readable(found.group(1)) else None


class View:
    """A run of frames as a row's phrases see it; look-ups go from the inner frames to the outer ones."""

    def __init__(
        self,
        frames: Sequence[Frame],
        names: Sequence[str],
        first: int,
        last: int,
        facts: Optional[Facts] = None,
        memo: Optional[Dict[str, object]] = None,
    ) -> None:
        self.frames = frames
        self.all_names = names
        self.first = first
        self.last = last
        self.facts = facts if facts is not None else Facts()
        self.memo: Dict[str, object] = memo if memo is not None else {}  # shared by the views of one stack

    @property
    def names(self) -> Sequence[str]:
        """Functions of the run, inner to outer."""
        return self.all_names[self.first : self.last + 1]

    @property
    def innermost(self) -> str:
        return next((n for n in self.names if n and not _LIBRARY.match(n)), "") or next(
            (n for n in self.names if n), ""
        )

    @property
    def outermost(self) -> str:
        return next((n for n in reversed(self.names) if n), "")

    @property
    def callee(self) -> str:
        """Function that the run called directly, "" at the end of the stack."""
        return next((n for n in reversed(self.inner) if n), "")

    @property
    def caller(self) -> str:
        """Function that called the run, "" at the start of the stack."""
        return next((n for n in self.outer if n), "")

    @property
    def inward(self) -> Sequence[str]:
        """Functions of the run and of all that it called, innermost first."""
        return self.all_names[: self.last + 1]

    @property
    def inner(self) -> Sequence[str]:
        """Functions that the run called, innermost first."""
        return self.all_names[: self.first]

    @property
    def outer(self) -> Sequence[str]:
        """Functions that led to the run, the direct caller first."""
        return self.all_names[self.last + 1 :]

    def whole(self) -> View:
        """The same look-ups over the whole stack."""
        return View(self.frames, self.all_names, 0, len(self.all_names) - 1, self.facts, self.memo)

    def part(self, first: int, last: int) -> View:
        return View(self.frames, self.all_names, first, last, self.facts, self.memo)

    def find(self, functions: Wanted) -> Optional[int]:
        """Position of the innermost frame of the run whose function is wanted."""
        if isinstance(functions, str):
            functions = (functions,)
        for position in range(self.first, self.last + 1):
            name = self.all_names[position]
            if name and name in functions:
                return position
        return None

    def find_outermost(self, functions: Wanted) -> Optional[int]:
        if isinstance(functions, str):
            functions = (functions,)
        for position in range(self.last, self.first - 1, -1):
            name = self.all_names[position]
            if name and name in functions:
                return position
        return None

    def has(self, *functions: str) -> bool:
        return any(name in functions for name in self.names)

    def each(self, functions: Optional[Wanted], arguments: Sequence[str]) -> Iterator[str]:
        """Readable values of the named arguments (or locals) in the run's frames, inner to outer."""
        if isinstance(functions, str):
            functions = (functions,)
        for position in range(self.first, self.last + 1):
            frame = self.frames[position]
            if not frame.args and not frame.locals:
                continue
            if functions is not None and self.all_names[position] not in functions:
                continue
            for source in (frame.args, frame.locals):
                for argument in arguments:
                    value = source.get(argument)
                    if value is not None and readable(value):
                        yield value

    def values(self, functions: Optional[Wanted], *arguments: str) -> List[str]:
        """Readable values of the named arguments (or locals) in the run's frames, inner to outer."""
        return list(self.each(functions, arguments))

    def _first(
        self, functions: Optional[Wanted], arguments: Sequence[str], convert: Callable[[str], Optional[str]]
    ) -> Optional[str]:
        return next((found for found in map(convert, self.each(functions, arguments)) if found), None)

    def raw(self, functions: Optional[Wanted], *arguments: str) -> Optional[str]:
        return next(self.each(functions, arguments), None)

    def number(self, functions: Optional[Wanted], *arguments: str) -> Optional[int]:
        return next((n for n in map(number_of, self.each(functions, arguments)) if n is not None), None)

    def string(self, functions: Optional[Wanted], *arguments: str) -> Optional[str]:
        return self._first(functions, arguments, string_of)

    def symbol(self, functions: Optional[Wanted], *arguments: str) -> Optional[str]:
        return self._first(functions, arguments, symbol_of)

    def enumerator(self, functions: Optional[Wanted], *arguments: str) -> Optional[str]:
        return self._first(functions, arguments, enumerator_of)

    def object(self, functions: Optional[Wanted], *arguments: str) -> str:
        """Name of the object (a device, a node) that one of the pointers is, from the facts; "" if unknown."""
        if not self.facts.objects:
            return ""
        for value in self.values(functions, *arguments):
            pointer = number_of(value)
            if pointer:
                name = self.facts.objects.get(hex(pointer))
                if name:
                    return name
        return ""


Says = Union[str, Callable[[View], str]]


class Row(NamedTuple):
    """One layer of QEMU as it appears on stacks.

    ``says`` is the stage's phrase in the story, third person ("drains every block node"); ``short`` is the same
    for a chain in a summary, None where ``says`` serves, "" where the layer is plumbing that a summary leaves out.
    ``weight`` orders what a summary keeps when it is short of room (0: plumbing ... 9: the trigger or the point).
    """

    name: str
    functions: Names
    says: Says
    short: Optional[Says] = None
    subsystem: Optional[str] = None  # None: the owner of the innermost frame's file
    weight: int = 5
    trigger: bool = False  # what makes the thread run: a guest access, a command, a timer
    reads: Tuple[str, ...] = ()  # functions of other rows whose arguments the phrases read too
    order: int = 0  # among wildcards of the same function: the higher wins

    def exact_names(self) -> Tuple[str, ...]:
        return tuple(p for p in self.functions.patterns if "*" not in p and "?" not in p)

    def wanted(self) -> Tuple[str, ...]:
        """Functions whose arguments this row reads."""
        talks = callable(self.says) or callable(self.short)
        return (self.exact_names() if talks else ()) + self.reads


class Table:
    """Rows by function: an exact name wins over a wildcard, then ``order``, then the longer pattern."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = tuple(rows)
        self._exact: Dict[str, Row] = {}
        self._prefixes: Dict[str, Row] = {}
        self._other: List[Tuple[str, Row]] = []
        for row in rows:
            for pattern in row.functions.patterns:
                head = pattern[:-1] if pattern.endswith("*") else pattern
                if "*" in head or "?" in head:
                    self._other.append((pattern, row))
                elif head == pattern:
                    self._exact.setdefault(pattern, row)
                elif head not in self._prefixes or row.order > self._prefixes[head].order:
                    self._prefixes[head] = row
        self._compiled: Optional[List[Tuple[int, Names, Row]]] = None
        self._seen: Dict[str, Optional[Row]] = {}

    def row(self, function: str) -> Optional[Row]:
        """The row that a function belongs to, None without one."""
        if not function:
            return None
        try:
            return self._seen[function]
        except KeyError:
            pass
        row = self._exact.get(function) or self._wildcard(function)
        if len(self._seen) < 20000:
            self._seen[function] = row
        return row

    def _wildcard(self, function: str) -> Optional[Row]:
        best: Optional[Row] = None
        rank = (-99, 0)
        for length in range(len(function), 0, -1):
            row = self._prefixes.get(function[:length])
            if row is not None and (row.order, length) > rank:
                best, rank = row, (row.order, length)
        if self._compiled is None:
            self._compiled = [(len(p) - p.count("*"), Names(p), r) for p, r in self._other]
        for length, names, row in self._compiled:
            if (row.order, length) > rank and function in names:
                best, rank = row, (row.order, length)
        return best


def told(says: Says, view: View) -> str:
    """The phrase of a row for these frames."""
    return says if isinstance(says, str) else says(view)


def hexadecimal(value: int) -> str:
    return hex(value) if value >= 0 else f"-{hex(-value)}"


def size_text(count: int) -> str:
    """A byte count as people read it."""
    if count >= 10 << 30 and count % (1 << 30):
        return f"{count / (1 << 30):.1f} GiB"
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} bytes" if count != 1 else "1 byte"


def lookup(table: Mapping[str, str], view: View, default: str = "") -> str:
    """The phrase of the innermost function of the run that the table has."""
    return next((table[name] for name in view.names if name in table), default)
