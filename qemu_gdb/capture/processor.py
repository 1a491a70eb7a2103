"""How much time on a processor each thread of a live process has had, so that two captures tell who never slept."""

from __future__ import annotations

import os
from typing import Dict, Optional, Tuple

Times = Tuple[float, Optional[float]]  # seconds on a processor; seconds ready to run, without one


def times(pid: int) -> Dict[int, Times]:
    """The times of every thread, by LWP: proc(5) task/LWP/schedstat, or stat where the kernel lacks it."""
    found: Dict[int, Times] = {}
    try:
        lwps = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for lwp in lwps:
        folder = f"/proc/{pid}/task/{lwp}"
        known = _schedstat(folder) or _stat(folder)
        if known is not None and lwp.isdecimal():
            found[int(lwp)] = known
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read(4096)
    except OSError:
        return ""


def _schedstat(folder: str) -> Optional[Times]:
    """Documentation/scheduler/sched-stats.rst: nanoseconds on a processor, in its queue, number of times."""
    words = _read(f"{folder}/schedstat").split()
    if len(words) < 2 or not all(w.isdecimal() for w in words[:2]):
        return None
    return int(words[0]) / 1e9, int(words[1]) / 1e9


def _stat(folder: str) -> Optional[Times]:
    words = _read(f"{folder}/stat").rpartition(")")[2].split()
    if len(words) < 13 or not all(w.isdecimal() for w in words[11:13]):
        return None
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"), None
