"""Known problems of QEMU, by the functions of their stacks and by their assertions; for `explain.known`."""

from __future__ import annotations

import functools
import math
import os
import re
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from .folding import is_layer
from .hashing import stable_hash
from .indexfile import DATA, AnyPath, IndexFile

# Expressions that any function may hold, and so tell nothing by themselves.
_EMPTY_EXPRESSIONS = frozenset({"", "0", "false", "codeshouldnotbereached", "ret==0", "!ret", "r==0", "r>=0", "!r"})


class Problem(NamedTuple):
    """A fixing commit, or a tracker's issue with the commits that resolve it."""

    number: int
    commits: Tuple[str, ...]
    releases: Tuple[str, ...]  # first release with the commit of the same position, "" where unknown
    link: str  # of the issue, "" for a commit without one
    files: Tuple[str, ...] = ()  # QEMU's source files that the commit changes


class KnownStack(NamedTuple):
    """One stack of a problem, folded (see `knowledge.folding`)."""

    number: int
    problem: int
    tokens: Tuple[str, ...]


def expression_key(expression: Optional[str]) -> str:
    """A hash that an assertion's expression keeps over spacing, outer brackets and a report's damage; "" for none."""
    text = expression or ""
    text = re.split(r"\)?Bail out!|\)\s*(?:Aborted|failed)", text)[0]
    text = re.sub(r"^\s*(?:assertion failed:|Assertion)", "", text.strip(), flags=re.I)
    text = re.sub(r"\s|[`'\"“”‘’]", "", text)
    while text.startswith("(") and text.endswith(")") and _closes_last(text):
        text = text[1:-1]
    if text.count("(") == text.count(")") + 1 and text.startswith("("):
        text = text[1:]
    text = text.rstrip(".")
    return stable_hash(text) if text else ""


def is_telling(expression: Optional[str]) -> bool:
    """Whether an assertion's expression says more than that something failed."""
    return re.sub(r"[\s()]", "", expression or "").lower() not in _EMPTY_EXPRESSIONS


def _closes_last(text: str) -> bool:
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return position == len(text) - 1
    return False


class Problems:
    """The index of known problems, read lazily.

    :raises OSError, ValueError: as `IndexFile`
    """

    def __init__(self, path: AnyPath) -> None:
        self._index = IndexFile(path)
        self.stacks = int(self._index.header[0])
        self.count = int(self._index.header[1])
        self._stack: Dict[int, KnownStack] = {}

    def problem(self, number: int) -> Problem:
        value = self._index.get(f"p:{number}")
        if value is None:
            raise ValueError(f"no problem {number} in the index")
        commits, releases, link, files = (value.split("\t") + ["", "", ""])[:4]
        fixes = tuple(c for c in commits.split(",") if c)
        return Problem(number, fixes, tuple(releases.split(",")), link, tuple(files.split()))

    def stack(self, number: int) -> KnownStack:
        found = self._stack.get(number)
        if found is None:
            problem, *tokens = (self._index.get(f"s:{number}") or "0").split(" ")
            found = self._stack[number] = KnownStack(number, int(problem), tuple(tokens))
        return found

    def stacks_with(self, token: str) -> List[int]:
        """Numbers of the stacks that hold a token."""
        value = self._index.get("f:" + token) if not is_layer(token) else None
        return [int(number, 36) for number in value.split(" ")] if value else []

    def stacks_of(self, problem: int) -> List[KnownStack]:
        value = self._index.get(f"o:{problem}")
        return [self.stack(int(number)) for number in value.split(" ")] if value else []

    def assertions(self) -> Dict[int, List[Tuple[str, str]]]:
        """(function, expression key) of every problem's assertions; reads the whole index."""
        found: Dict[int, List[Tuple[str, str]]] = {}
        for row in self._index.rows():
            if row.startswith("a:"):
                function, _, value = row[2:].partition(" ")
                for key, problem in (item.split(":") for item in value.split(" ")):
                    found.setdefault(int(problem), []).append((function, key))
        return found

    @functools.lru_cache(maxsize=1)  # noqa: B019
    def with_assertions(self) -> FrozenSet[int]:
        """The problems in which an assertion failed."""
        return frozenset(self.assertions())

    def asserting(self, function: str) -> List[Tuple[str, int]]:
        """(expression key, problem) of every known assertion in a function."""
        value = self._index.get("a:" + function)
        pairs = (item.split(":") for item in value.split(" ")) if value else ()
        return [(key, int(problem)) for key, problem in pairs]

    @functools.lru_cache(maxsize=4096)  # noqa: B019
    def rarity(self, token: str) -> float:
        """How much a token tells: inverse document frequency over the stacks of the index, 0 for a layer.

        Between 1 for what every stack has and about 7.6 for what none has.
        """
        if is_layer(token):
            return 0.0
        return 1.0 + math.log((self.stacks + 1) / (len(self.stacks_with(token)) + 1))


def user_index() -> str:
    """Where a user's own index lies, if there is one (`build.problems --git CLONE --data FOLDER` makes it)."""
    home = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(home, "qemu-gdb", "problems.idx")


@functools.lru_cache(maxsize=1)
def problems() -> Problems:
    """The user's index where there is a good one, else that of this package."""
    own = user_index()
    if os.path.isfile(own):
        try:
            return Problems(own)
        except (OSError, ValueError):
            pass  # of an older version, or damaged: the package's will do
    return Problems(os.path.join(DATA, "problems.idx"))
