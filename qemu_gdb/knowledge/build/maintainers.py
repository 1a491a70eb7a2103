"""Which section of QEMU's MAINTAINERS file owns a source file; for the builder of the function index."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Pattern, Tuple

# The first section claims every file ("F: *"), which says nothing about any of them.
CATCH_ALL = frozenset({"All patches CC here"})

# Groups whose sections cut across the tree (by host system, by process): they own a file only where no other does.
CROSS_CUTTING_GROUPS = frozenset(
    {
        "Hosts",
        "General Project Administration",
        "Architecture support",
        "Build and test automation",
        "Documentation",
        "Build System",
        "Miscellaneous",
    }
)


@dataclass
class Section:
    """One section: its name, the group heading above it, its file patterns (`F:`) and excludes (`X:`)."""

    name: str
    group: str
    order: int
    files: List[str] = field(default_factory=list)
    excludes: List[str] = field(default_factory=list)


def parse(text: str) -> List[Section]:
    """The sections of a MAINTAINERS file, in the order of the file."""
    sections: List[Section] = []
    group, current, previous = "", None, ""
    for line in text.splitlines() + [""]:
        if re.match(r"^(---+|===+)$", line):
            group = previous
            if sections and sections[-1].name == previous and not sections[-1].files:
                sections.pop()
            current = None
        elif re.match(r"^[A-Z]:\s", line):
            if current is not None and line[0] == "F":
                current.files.append(line[2:].strip())
            elif current is not None and line[0] == "X":
                current.excludes.append(line[2:].strip())
        elif line.strip() and not line[0].isspace():
            current = Section(line.strip(), group, len(sections))
            sections.append(current)
        previous = line.strip()
    for section in sections:
        if section.name == "Overall":  # up to QEMU 4.1 two sections bear this name, and one still does
            section.name = "Overall " + (re.findall(r"\((?:other )?(.*)\)", section.group) or ["CPU cores"])[0]
    return [s for s in sections if s.files]


def _regex(pattern: str) -> Pattern[str]:
    """A pattern's regular expression: a trailing slash takes the whole folder, a wildcard stays within one level."""
    body = re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]").replace(r"\[", "[").replace(r"\]", "]")
    return re.compile(body + ("" if pattern.endswith("/") else "(?:/|$)"))


class Owners:
    """Answers which section owns a path.

    Of the sections that match, in this order: one that does not cut across the tree; the longest pattern (literal
    characters); for hardware models a section that is not about CPU cores; the section with fewer patterns; the one
    named first.
    """

    def __init__(self, sections: Iterable[Section]) -> None:
        self._rows: List[Tuple[Pattern[str], int, Section]] = []
        self._excludes: Dict[int, List[Pattern[str]]] = {}
        for section in sections:
            if section.name in CATCH_ALL:
                continue
            self._excludes[section.order] = [_regex(p) for p in section.excludes]
            for pattern in section.files:
                literal = len(re.sub(r"\[[^]]*\]|[*?]", "", pattern))
                self._rows.append((_regex(pattern), literal, section))

    @classmethod
    def of_source(cls, source: Path) -> Owners:
        """The owners of a QEMU source tree.

        :raises OSError: it has no MAINTAINERS file
        """
        return cls(parse((source / "MAINTAINERS").read_text(encoding="utf-8", errors="replace")))

    def section(self, path: str) -> Optional[str]:
        """The name of the section that owns a path relative to the top of the tree, None where none does."""
        best: Optional[Tuple[Tuple[bool, int, bool, int, int], str]] = None
        hardware = path.startswith(("hw/", "include/hw/"))
        for regex, literal, section in self._rows:
            if not regex.match(path) or any(x.match(path) for x in self._excludes[section.order]):
                continue
            cores = hardware and section.group.startswith("Guest CPU")
            narrow = section.group not in CROSS_CUTTING_GROUPS
            rank = (narrow, literal, not cores, -len(section.files), -section.order)
            if best is None or rank > best[0]:
                best = (rank, section.name)
        return best[1] if best else None
