"""A device_del that does not end while nothing is stuck in QEMU: the guest has to release the device."""

from __future__ import annotations

from typing import Optional

from ...model import Evidence, Finding
from ...pattern import Pattern
from ..context import Context
from . import common

# system/qdev-monitor.c (softmmu/ before 8.2), qmp_device_del(): the request goes to the guest, and DEVICE_DELETED comes
# when it has released the device; a second device_del is refused while the first is pending
_PENDING = Pattern(r"Device (?P<id>[\w.:-]{1,60}) is already in the process of unplug")
_ASKED = Pattern(
    r"\bdevice_del(?:\"[^{}]{0,20}\{ ?\"id\": ?\"(?P<quoted>[\w.:-]{1,60})\"| (?P<plain>[a-z][\w.:-]*\d[\w.:-]*))?"
)
_DONE = Pattern(r"\"event\": ?\"DEVICE_DELETED\"")
_QUIET = frozenset(("quiet-running", "quiet-parked", "quiet", "running", "running-idle"))


def tell(context: Context, found: Finding) -> None:
    """Say of a process at rest, whose text is about a device_del, who has to act."""
    if found.rule not in _QUIET and not found.rule.startswith("runstate."):
        return
    if context.snapshot.source.kind != "text" or not context.with_role("main-loop"):
        return
    line: Optional[str] = None
    device = ""
    for text in context.said:
        if "DEVICE_DELETED" in text and _DONE.search(text):
            return
        match = _PENDING.search(text) if "in the process of unplug" in text else None
        if match is None and "device_del" in text:
            match = _ASKED.search(text[:4000])
        if match is not None:
            groups = match.groupdict()
            device = device or next((g for g in groups.values() if g), "")
            line = line or text
    if line is None:
        return
    if found.rule in _QUIET:
        found.title = f"Nothing is stuck in QEMU: the guest has not released {device or 'the device'} (device_del)"
    stopped = found.kind not in ("state.running", "state.idle")
    found.explanation += (
        " device_del only asks the guest to release the device: QEMU removes it, and sends DEVICE_DELETED, when the "
        "guest answers. The main loop rests, so no thread works on it or blocks it" + (
            "; and a guest that is stopped cannot answer." if stopped else "."))
    found.evidence.append(Evidence(text=common.cut(common.oneline(line), 160)))
    if found.rule in _QUIET:
        found.next_steps[:] = [
            "in the guest: is the hotplug driver there (Linux: acpiphp or pciehp, dmesg tells), is the device in use "
            "(a mounted disk, a bound driver), does the guest ask its user (Windows)?",
            "a guest in its firmware or that is still booting ignores the request: send device_del again when it is up",
            "`info pci` and `info qtree`: the device, and whether its slot can be unplugged (hotplug=on of the port)",
        ]
