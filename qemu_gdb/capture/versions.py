"""Which version of QEMU a text says that it is about."""

from __future__ import annotations

import itertools
import re
from typing import Dict, Iterator, List, Optional, Tuple

from qemu_gdb.pattern import Pattern

Said = Tuple[str, Optional[str]]  # the version, and the distribution's package where it is told

# The surer first: what QEMU or a package manager writes, then what people write, in three parts and in two
_PRINTED = (
    Pattern(r"QEMU emulator version (?P<version>\d+\.\d+(?:\.\d+)*(?:-rc\d)?)(?:\s*\((?P<package>[^)]+)\))?"),
    Pattern(r"\bQEMU(?: [Rr]elease|:) v?(?P<version>\d{1,2}\.\d{1,2}(?:\.\d{1,3})?(?:-rc\d)?)(?!\.?\d)"),
    Pattern(r"\bQEMU (?P<version>\d+\.\d+(?:\.\d+)*(?:-rc\d)?) monitor\b"),
    Pattern(r"\b[Qq](?:EMU|emu) ?[Vv]ersion[:\s]+(?:is )?v?(?P<version>\d+\.\d+(?:\.\d+)*(?:-rc\d)?)"),
    Pattern(r"\bqemu(?:-[a-z]\w*){0,4}-(?:\d+:)?(?P<version>\d+\.\d+(?:\.\d+)*)(?P<package>(?:-|\+[a-z])[\w.+~]+(?:-\d[\w.+~]*)?)"),
    Pattern(r"\bqemu(?:-[a-z]\w*)* +\d+:(?P<version>\d+\.\d+(?:\.\d+)*)(?P<package>[+~-][\w.+~-]+)"),
    # "Package: qemu-kvm/8.2.0-11.el9", "pve-qemu-kvm: 7.2.0-8", "qemu 5.2 (Debian 11, 1:5.2+dfsg-11+deb11u3)"
    Pattern(
        r"\bqemu(?:-[a-z]\w*){0,4}(?:/|:? {1,4})(?:\d+:)?(?P<version>\d{1,2}\.\d{1,3}(?:\.\d{1,3})+)"
        r"(?P<package>[+~-]\d[\w.+~-]*|\+[a-z][\w.+~-]*)"
    ),
    Pattern(
        r"\b(?:QEMU|[Qq]emu) v?(?P<version>\d{1,2}\.\d{1,3}(?:\.\d{1,3})*) ?"
        r"\((?:[^()]{0,60}[\s,])?(?:\d+:)?(?P=version)(?P<package>[+~-][\w.+~-]+)"
    ),
)
# "git master at v9.0.0-1234-gabcdef0123": what git-describe prints of a commit after that release
_DESCRIBED = Pattern(
    r"\bv(?P<version>\d{1,2}\.\d{1,2}\.\d{1,3}(?:-rc\d)?)(?P<package>-\d{1,5}-g[0-9a-f]{7,40})\b"
)
_OTHERS_TREE = Pattern(r"linux|kernel|libvirt|edk2|seabios|glibc|bisect", re.IGNORECASE)
_IN_PROSE = (
    Pattern(
        r"\b(?:QEMU|[Qq]emu(?:-[a-z]\w*){0,4})(?:[ -]| [Vv]ersion )v?"
        r"(?P<version>\d{1,2}\.\d{1,3}(?:\.\d{1,3})+(?:-rc\d)?)"
        r"(?P<package>(?:\+dfsg|-\d)[\w.+~-]*)?\b"
    ),
    Pattern(r"\b(?:QEMU|[Qq]emu)[ -]v?(?P<version>\d{1,2}\.\d{1,3}(?:-rc\d)?)(?![\w+~%]|\.\d|-\d| ?[GMKT]i?B\b)"),
)
# In front of a version that is another one than that of the report, or behind it
_OTHER_BEFORE = Pattern(
    r"\b(?:since|before|until|till|up to|not (?:with|in|on)|(?:newer|older|later|earlier|other) than"
    r"|(?:fix|chang|add|introduc|remov|merg)ed (?:in|by|with|for)|\w*graded from|(?:update|upgrade|switch|move)d? from"
    r"|(?:work|boot|ran|run)(?:s|ed)?(?: fine| ok| well)? (?:in|with|on|under)|(?:fine|ok|good) (?:in|with|on|under)"
    r"|not a problem (?:in|with)|previous(?:ly)?(?: used)?|went away (?:in|with)) (?:the |at least |version )?$",
    re.IGNORECASE,
)
_OTHER_BEHIND = Pattern(
    r"(?:\+(?![a-z])|,? (?:(?:and|or) (?:later|newer|above|older|earlier|up|onwards?)|onwards?)\b| work(?:s|ed)\b)"
)
# "QEMU 5.2 and 6.0": several, so none of them
_SECOND = Pattern(
    r" ?(?:and|or|to|vs\.?|/|,|&|-|->|→) ?(?:QEMU |qemu |v)?(?P<version>\d{1,2}\.\d{1,2}(?:\.\d{1,3})?)\b"
)
_NEW_ONE = Pattern(
    r"\b(?:upgrad|updat|mov|switch|went)\w*(?: \w+){0,4}? from (?:QEMU |qemu )?v?\d{1,2}\.\d{1,2}(?:\.\d{1,3})?"
    r" to (?:QEMU |qemu )?v?(?P<version>\d{1,2}\.\d{1,2}(?:\.\d{1,3})?)\b"
)
_DESCRIBED_RANK, _PROSE_RANK = len(_PRINTED), len(_PRINTED) + 1
_TWO_PARTS = _PROSE_RANK + 1  # and the new one of an upgrade


class Versions:
    """Takes lines, and says which version they agree about."""

    def __init__(self) -> None:
        self._said: Dict[int, List[Said]] = {}

    def take(self, line: str) -> None:
        """Note what a line says that has "qemu" or "git-describe"'s words."""
        for rank, pattern in enumerate(_PRINTED):
            match = pattern.search(line)
            if match is not None:
                groups = match.groupdict()
                package = groups.get("package")
                if package and package[:1] in "-+~":
                    package = match.group("version") + package
                self._add(rank, match.group("version"), package)
                return
        described = _DESCRIBED.search(line) if "-g" in line else None
        if described is not None and not _OTHERS_TREE.search(line):
            version = described.group("version")
            self._add(_DESCRIBED_RANK, version, version + described.group("package"))
            return
        for version, package in _prose(line):
            self._add(_PROSE_RANK if version.count(".") > 1 else _TWO_PARTS, version, package)

    def _add(self, rank: int, version: str, package: Optional[str]) -> None:
        some = self._said.setdefault(rank, [])
        if len(some) < 1000:
            some.append((version, package.rstrip(".+~-") if package else None))

    def package_of(self, version: str) -> Optional[str]:
        """The package of a version that is known otherwise."""
        return next((p for rank in sorted(self._said) for v, p in self._said[rank] if v == version and p), None)

    def agreed(self) -> Optional[Said]:
        """The version of the surest lines; None where those of one kind name several."""
        for rank in sorted(self._said):
            some = self._said[rank]
            if len({version for version, _ in some}) == 1:
                return next((said for said in some if said[1]), some[0])
            if rank >= _PROSE_RANK:
                break
        return None


def _prose(line: str) -> Iterator[Said]:
    """What people write: "QEMU 8.2 hangs", but not "fixed in QEMU 8.2"."""
    new = _NEW_ONE.search(line) if " to " in line else None
    if new is not None:
        yield new.group("version"), None
        return
    for pattern in _IN_PROSE:
        found = False
        for match in itertools.islice(pattern.finditer(line), 4):
            before = line[max(0, match.start() - 60) : match.start()]
            if _OTHER_BEFORE.search(before) or _OTHER_BEHIND.match(line, match.end()):
                continue
            package = match.groupdict().get("package")
            version = match.group("version")
            found = True
            yield version, version + package if package else None
            second = _SECOND.match(line, match.end())
            if second is not None:
                yield second.group("version"), None
        if found:
            return
