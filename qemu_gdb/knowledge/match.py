"""Name patterns for knowledge rows: exact function names and shell-style wildcards, matched fast."""

from __future__ import annotations

import fnmatch
import re
from typing import Iterable, Optional, Pattern


class Names:
    """A set of canonical function names; ``*`` and ``?`` are wildcards.

    ``specificity`` of a match is 2 for an exact name, 1 for a wildcard, 0 for none.
    """

    __slots__ = ("patterns", "_exact", "_wild")

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns
        self._exact = frozenset(p for p in patterns if "*" not in p and "?" not in p)
        wild = [fnmatch.translate(p) for p in patterns if "*" in p or "?" in p]
        self._wild: Optional[Pattern[str]] = re.compile("|".join(wild)) if wild else None

    def __contains__(self, name: str) -> bool:
        return bool(name) and (name in self._exact or (self._wild is not None and self._wild.match(name) is not None))

    def specificity(self, name: str) -> int:
        if name in self._exact:
            return 2
        return 1 if name in self else 0

    def first(self, names: Iterable[str]) -> Optional[int]:
        """Index of the first of ``names`` that belongs here, None if none does."""
        return next((i for i, name in enumerate(names) if name in self), None)

    def __repr__(self) -> str:
        return f"Names{self.patterns!r}"
