"""Compares several captures of one process: which threads stood still, which moved; stuck, slow or busy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from ..model import Snapshot, Thread

Stack = Tuple[Optional[str], ...]


@dataclass
class Movement:
    """What one thread did between the captures."""

    lwp: int
    number: Optional[int]
    kind: str  # same: the same stack each time; inner: only inner frames differ; moved; gone: ended or started
    common: str = ""  # the innermost function that all captures share


def compare(snapshots: Sequence[Snapshot]) -> List[Movement]:
    """Each thread's movement, in the order of the last capture. Threads are the same by their LWP."""
    seen: List[Dict[int, Thread]] = [
        {t.lwp: t for t in s.threads if t.lwp is not None and not t.kernel_only} for s in snapshots]
    found: List[Movement] = []
    for lwp, last in seen[-1].items():
        threads = [s[lwp] for s in seen if lwp in s]
        if len(threads) < len(seen):
            found.append(Movement(lwp, last.number, "gone"))
            continue
        stacks = [tuple(f.pc for f in t.frames) for t in threads]
        if all(s == stacks[0] for s in stacks):
            found.append(Movement(lwp, last.number, "same"))
            continue
        common = 0
        shortest = min(len(s) for s in stacks)
        while common < shortest and len({s[-1 - common] for s in stacks}) == 1:
            common += 1
        function = last.frames[len(last.frames) - common].name if common else ""
        # Only libc and the frame that calls it differ: the same loop at another point.
        inner = max(len(s) - common for s in stacks)
        found.append(Movement(lwp, last.number, "inner" if inner <= 4 and common >= 3 else "moved", function))
    return found


def text(snapshots: Sequence[Snapshot], interval: float) -> str:
    """The lines that a page ends with."""
    from ..render.words import ranges

    by_kind: Dict[str, List[Movement]] = {}
    for movement in compare(snapshots):
        by_kind.setdefault(movement.kind, []).append(movement)
    lines = [f"\n{len(snapshots)} samples, {interval:g} s apart"]
    says = {
        "same": "stood in the same place each time: at rest or stuck",
        "inner": "moved only in their innermost frames: in a loop, or slow",
        "moved": "moved: busy",
        "gone": "began between the samples",
    }
    for kind, told in says.items():
        movements = by_kind.get(kind, [])
        if movements:
            numbers = ranges([m.number for m in movements if m.number is not None])
            lines.append(f"  thread{'s' if len(movements) > 1 else ''} {numbers}: {told}")
            for movement in movements[:5] if kind in ("inner", "moved") else ():
                if movement.common:
                    lines.append(f"    thread {movement.number} stayed in {movement.common}")
    return "\n".join(lines) + "\n"
