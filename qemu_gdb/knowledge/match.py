"""Name patterns for knowledge rows: exact function names and shell-style wildcards, matched fast."""

from __future__ import annotations

import fnmatch
import re
from typing import Iterable, Optional, Pattern


class Names:
    """A set of canonical function names; ``*`` and ``?`` are wildcards.

    ``specificity`` of a match is 2 for an exact name, 1 for a wildcard, 0 for none.
    """

    __slots__ = ("patterns", "_exact", "_prefixes", "_other", "_heads", "_wild")

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns
        exact, prefixes, other = [], [], []
        for pattern in patterns:
            head = pattern[:-1] if pattern.endswith("*") else pattern
            if "*" in head or "?" in head or ("[" in head and head != pattern):
                other.append(pattern)
            elif head != pattern:
                prefixes.append(head)
            else:
                exact.append(pattern)
        self._exact = frozenset(exact)
        self._prefixes = tuple(prefixes)
        self._other = tuple(other)
        self._heads = tuple(re.split(r"[*?[]", pattern, maxsplit=1)[0] for pattern in other)
        self._wild: Optional[Pattern[str]] = None  # compiled when first needed: most are never asked

    def __contains__(self, name: str) -> bool:
        if not name:
            return False
        if name in self._exact or (self._prefixes and name.startswith(self._prefixes)):
            return True
        if not name.startswith(self._heads):  # as of none without such a pattern
            return False
        if self._wild is None:
            self._wild = re.compile("|".join(fnmatch.translate(p) for p in self._other))
        return self._wild.match(name) is not None

    def specificity(self, name: str) -> int:
        if name in self._exact:
            return 2
        return 1 if name in self else 0

    def first(self, names: Iterable[str]) -> Optional[int]:
        """Index of the first of ``names`` that belongs here, None if none does."""
        return next((i for i, name in enumerate(names) if name in self), None)

    def __repr__(self) -> str:
        return f"Names{self.patterns!r}"
