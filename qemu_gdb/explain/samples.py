"""Compares several captures of one process: which threads stood still, which moved; stuck, slow or busy."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Set

from ..model import Snapshot, Thread
from ..record import record
from .context import Context

BUSY = 0.85  # of the time, and more: a thread that hardly slept
LEAST_INTERVAL = 0.1  # seconds; the kernel's clock ticks may be 10 ms apart


@record
class Movement:
    """What one thread did between the captures."""

    lwp: int
    number: Optional[int]
    # same: the same stack each time; awake: likewise, and it never slept; inner: only inner frames differ; moved;
    # gone: ended or started
    kind: str
    common: str = ""  # the innermost function that all captures share


def by_process(contexts: Sequence[Context]) -> List[List[Context]]:
    """The groups of captures, in their order, that show one process: the same process id, or the same threads."""
    groups: List[List[Context]] = []
    for context in contexts:
        same = next((g for g in groups if _same_process(g[-1].snapshot, context.snapshot)), None)
        if same is None:
            groups.append([context])
        else:
            same.append(context)
    return [g for g in groups if len(g) > 1]


def _same_process(one: Snapshot, other: Snapshot) -> bool:
    if one.source.pid is not None and other.source.pid is not None:
        return one.source.pid == other.source.pid and one.source.kind == other.source.kind
    mine, theirs = _lwps(one), _lwps(other)
    # a text's later dump lacks the threads that the first shows in the same place
    return 2 * len(mine & theirs) > min(len(mine), len(theirs))


def _lwps(snapshot: Snapshot) -> Set[int]:
    return {t.lwp for t in snapshot.threads if t.lwp is not None}


def awake(snapshots: Sequence[Snapshot], lwp: int) -> Optional[float]:
    """The part of the time between the first and the last capture, 0 to 1, that a thread was on a processor or ready
    to be; None where it is not known, or the time was too short to tell.
    """
    first, last = snapshots[0], snapshots[-1]
    before = next((t for t in first.threads if t.lwp == lwp), None)
    after = next((t for t in last.threads if t.lwp == lwp), None)
    if before is None or after is None or before.processor_s is None or after.processor_s is None:
        return None
    if first.source.taken_s is None or last.source.taken_s is None:
        return None
    passed = last.source.taken_s - first.source.taken_s - sum((s.source.stopped_ms or 0) / 1000 for s in snapshots[:-1])
    if passed < LEAST_INTERVAL:
        return None
    ready = after.processor_s - before.processor_s
    if before.queued_s is not None and after.queued_s is not None:
        ready += after.queued_s - before.queued_s
    return max(0.0, min(1.0, ready / passed))


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
            share = awake(snapshots, lwp)
            found.append(Movement(lwp, last.number, "same" if share is None or share < BUSY else "awake"))
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
        "awake": "stood in the same place each time, and did not sleep: in the guest, or in a loop",
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
