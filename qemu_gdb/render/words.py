"""The words that pages use for roles, states and groups of threads."""

from __future__ import annotations

from typing import List, Optional, Sequence

from ..model import Explanation, ThreadExplanation
from ..role_words import role_words

_ACCELERATORS = {"kvm": "KVM", "tcg": "TCG", "hvf": "HVF", "whpx": "WHPX", "xen": "Xen", "nvmm": "NVMM", "hax": "HAX"}
_ROLE_ACCELERATOR = {"vcpu-kvm": "kvm", "vcpu-mttcg": "tcg", "vcpu-tcg-rr": "tcg"}


def accelerator(name: str) -> str:
    return _ACCELERATORS.get(name, name)


def heading(explanations: Sequence[Explanation], index: int) -> str:
    """What stands above one of several pages: "Process 1 of 2", or "Capture 1 of 2" where all show one process."""
    count = len(explanations)
    if sorted(e.capture for e in explanations) == list(range(1, count + 1)):
        return f"Capture {explanations[index].capture} of {count}"
    return f"Process {index + 1} of {count}"


def count(number: int, thing: str) -> str:
    """``1 vCPU``, ``2 vCPUs``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def ranges(numbers: Sequence[int]) -> str:
    """``3-5,9`` for 3, 4, 5 and 9."""
    parts: List[str] = []
    ordered = sorted(set(numbers))
    i = 0
    while i < len(ordered):
        j = i
        while j + 1 < len(ordered) and ordered[j + 1] == ordered[j] + 1:
            j += 1
        parts.append(str(ordered[i]) if i == j else f"{ordered[i]}-{ordered[j]}")
        i = j + 1
    if len(parts) > 4:
        return f"{parts[0]},…,{parts[-1]}"
    return ",".join(parts)


def _vcpu_tail(told: ThreadExplanation, of_process: Optional[str]) -> str:
    name = _ROLE_ACCELERATOR.get(told.role) or of_process
    return f"  {accelerator(name)}" if name else ""


def role_label(told: ThreadExplanation, of_process: Optional[str]) -> str:
    """A thread's role as the table shows it: ``vCPU 0  KVM``, ``iothread io0``, ``main loop``."""
    detail = told.role_detail
    base = role_words(told.role).table
    if told.thread.history:
        return f"{base} (earlier)" if told.role != "unknown" else "(earlier event)"
    if told.role.startswith("vcpu"):
        index = detail.get("vcpu")
        return base + (f" {index}" if index is not None else "") + _vcpu_tail(told, of_process)
    if told.role in ("iothread", "monitor-iothread") and detail.get("iothread"):
        return f"{base} {detail['iothread']}"
    if told.role == "unknown":
        return told.thread.name or "?"
    return base


def group_label(group: Sequence[ThreadExplanation], of_process: Optional[str]) -> str:
    """The role of several alike threads: ``vCPU 0-15  KVM``, ``300 iothreads``."""
    first = group[0]
    if first.role.startswith("vcpu"):
        indexes = [t.role_detail.get("vcpu") for t in group]
        known = [i for i in indexes if isinstance(i, int)]
        told = f" {ranges(known)}" if len(known) == len(group) else ""
        return (f"vCPU{told}" if told else f"{len(group)} vCPUs") + _vcpu_tail(first, of_process)
    if first.role == "unknown":
        return f"{len(group)} threads"
    base = role_words(first.role).table
    return f"{len(group)} {base}s" if not base.endswith("s") else f"{len(group)} {base}"


def state_label(told: ThreadExplanation, is_stopped: bool = False) -> str:
    """A thread's state as the table shows it; the contract's name but for two that a word says better."""
    if told.thread.history:
        return "earlier"
    if is_stopped and told.state == "idle":
        return "stopped"
    if told.state == "waiting-drain-or-nested-poll":
        drained = told.waits_for is not None and "drain" in told.waits_for.kind
        return "draining" if drained else "nested-poll"
    return told.state
