"""Threads that QEMU makes wait on purpose: vCPUs that a migration slows down, a migration at its bandwidth limit."""

from __future__ import annotations

from typing import List, Optional

from ...knowledge.rests import VCPUS
from ...model import Finding
from ..context import Context, Subject
from ..stack import Stack
from .common import at, capital, evidence, finding, listed

_SLICE_MS = 10  # CPU_THROTTLE_TIMESLICE_NS, migration/cpu-throttle.c


def find(context: Context) -> List[Finding]:
    """A finding of what slows the guest on purpose, in no hang and no crash; none where nothing does."""
    vcpus = context.with_role(*VCPUS)
    slowed = [s for s in vcpus if s.stack.find("cpu_throttle_thread") is not None]
    limited = [s for s in vcpus if s.stack.find("dirtylimit_vcpu_execute") is not None]
    if slowed:
        return [_throttled(slowed)]
    if limited:
        return [_limited(limited)]
    return []


def _throttled(vcpus: List[Subject]) -> Finding:
    """migration/cpu-throttle.c (softmmu/cpu-throttle.c up to 8.2): auto-converge, or cpu-throttle-initial."""
    position = vcpus[0].stack.find("cpu_throttle_thread") or 0
    share = _share(vcpus[0].stack, position)
    return finding(
        "state.running",
        f"A migration slows the vCPUs down on purpose{share}: auto-converge",
        "certain",
        [
            f"{capital(listed(vcpus))} {'waits' if len(vcpus) == 1 else 'wait'} in {at(vcpus[0].stack, position)} "
            "for a part of each time slice, so that the guest dirties its RAM more slowly than the migration sends it. "
            "The guest is slow, not stuck; the wait ends by itself."
        ],
        subjects=vcpus[:4],
        proof=[evidence(vcpus[0], position, "the vCPU's throttle")],
        steps=["info migrate: `cpu throttle percentage`, and the dirty pages rate against the throughput",
               "a faster link, multifd or postcopy lets it converge; max-cpu-throttle bounds the slowing; "
               "migrate_cancel ends it"],
        rule="throttled",
    )


def _limited(vcpus: List[Subject]) -> Finding:
    """system/dirtylimit.c, 7.1 and later."""
    position = vcpus[0].stack.find("dirtylimit_vcpu_execute") or 0
    return finding(
        "state.running",
        "The vCPUs are slowed down on purpose: they dirty RAM faster than the dirty page rate limit",
        "certain",
        [
            f"{capital(listed(vcpus))} {'sleeps' if len(vcpus) == 1 else 'sleep'} in {at(vcpus[0].stack, position)} "
            "each time that KVM's dirty ring is full. The guest is slow, not stuck; the wait ends by itself."
        ],
        subjects=vcpus[:4],
        proof=[evidence(vcpus[0], position, "the dirty limit's sleep")],
        steps=["info vcpu_dirty_limit: limit and current rate of each vCPU",
               "cancel_vcpu_dirty_limit, or the migration's vcpu-dirty-limit parameter"],
        rule="dirty-limit",
    )


def _share(stack: Stack, position: int) -> str:
    """ " (to at most 1 % of their speed)": the wait that the frames show is what is left of the sleep after 10 ms."""
    for inner in range(position):
        ms = stack.arg_number(inner, "ms")
        if ms and 0 < ms < 100_000:
            return f" (to at most {max(1, round(100 * _SLICE_MS / (ms + _SLICE_MS)))} % of their speed)"
    return ""


def rate_limited(context: Context) -> Optional[Subject]:
    """The migration thread where it pauses for its bandwidth limit."""
    for subject in context.with_role("migration"):
        if subject.stack.find("migration_rate_limit") is not None:
            return subject
    return None
