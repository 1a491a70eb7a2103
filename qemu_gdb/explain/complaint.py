"""What the words around a pasted stack complain of: a crash, or a hang."""

from __future__ import annotations

from ..model import Snapshot
from ..pattern import Pattern

CRASH = Pattern(
    r"(?i)\bseg(?:mentation )?fault|\bsigsegv\b|\bsigabrt\b|\bsigbus\b|\bcrash(?:e[ds]|ing)?\b|core dumped"
    r"|\bkilled by sig|assertion [`'\"‘]"
)
HANG = Pattern(
    r"(?i)\bhangs?\b|\bhung\b|\bstuck\b|\bdeadlock|\bfreez|\bfrozen|\bunresponsive|\b100 ?%|\bblocked\b|\bspin"
)


def prose(snapshot: Snapshot) -> str:
    """The first lines of a text that are no stack."""
    return "\n".join(snapshot.unparsed[:400])[:40000]


def complaint(snapshot: Snapshot) -> str:
    """What a text complains of: crash or hang, "" where it tells of both or of none."""
    words = prose(snapshot)
    crash, hang = CRASH.search(words) is not None, HANG.search(words) is not None
    return "" if crash == hang else "crash" if crash else "hang"
