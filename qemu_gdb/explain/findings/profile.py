"""Samples of a processor's time: where time goes, which says nothing of what waits."""

from __future__ import annotations

from typing import List

from ...model import Finding
from ..context import Context
from .common import capital, evidence, finding, qemu_frame, who

_MOST = 5  # stacks told


def is_profile(context: Context) -> bool:
    """Whether all stacks are samples that a profiler took of threads while they ran."""
    subjects = context.live_subjects
    return bool(subjects) and all(s.told.thread.sampled for s in subjects)


def find(context: Context) -> List[Finding]:
    """One finding: what the threads did when they were sampled."""
    subjects = context.live_subjects
    told = [s for s in subjects if s.told.summary][:_MOST]
    sentences = [f"{capital(who(s))}: {s.told.summary.rstrip('.')}." for s in told]
    if len(subjects) > _MOST:
        sentences.append(f"{len(subjects) - _MOST} more stacks are in the input.")
    sentences.append("A profiler finds only what runs: a thread that sleeps is not in it, and one that is about to "
                     "take a lock is no hang.")
    places = ((s, qemu_frame(s.stack)) for s in told[:3])
    return [
        finding(
            "state.running",
            "A profile: samples of threads while they were on a processor",
            "likely",
            sentences,
            subjects=told,
            proof=[evidence(s, p, s.stack.names[p]) for s, p in places if p is not None],
            steps=["for a hang: gdb's thread apply all bt, or stacks of what sleeps (offcputime)"],
            rule="profile",
        )
    ]
