"""The iothread objects: which thread runs each, and what it serves."""

from __future__ import annotations

from typing import Dict, List, Set

import gdb

from ..model import IOThread
from .access import Process, optional
from .layout import layout, require
from .qom import Qom


def main_context(process: Process) -> int:
    """Address of the main loop's AioContext (``qemu_aio_context``, util/main-loop.c); 0: unknown."""
    value = process.variable("qemu_aio_context")
    return optional(lambda: int(value), 0) if value is not None else 0


def read(process: Process, qom: Qom) -> List[IOThread]:
    """Objects of type "iothread" under /objects, and the monitor's own."""
    type_ = process.type("IOThread", "iothread_create", "iothread_by_id")
    if type_ is None:
        return []
    found: Dict[int, IOThread] = {}
    objects = qom.resolve("objects")
    with process.guard("the iothread objects"):
        for name, address in qom.children(objects) if objects else ():
            if qom.type_name(address) == "iothread":
                found[address] = IOThread(name, address=address)
    # monitor/monitor.c; it lies under no path that users see (object_get_internal_root, since 3.0)
    monitor = process.variable("mon_iothread")
    if monitor is not None:
        address = optional(lambda: int(monitor), 0)
        if address:
            found.setdefault(address, IOThread("mon_iothread", address=address)).monitor = True
    members = layout(process, type_, "thread_id", "ctx")
    for address, iothread in found.items():
        with process.guard(f"iothread {iothread.name}"):
            value = members.read(process, address)
            iothread.lwp, iothread.context = value["thread_id"] or None, require(value, "ctx")
    return sorted(found.values(), key=lambda t: (t.monitor, len(t.name), t.name))


def served(process: Process, qom: Qom, iothreads: List[IOThread], devices: Dict[int, Set[str]]) -> None:
    """Fill what runs on each iothread, from the devices found by AioContext."""
    for iothread in iothreads:
        iothread.serves = sorted(devices.get(iothread.context, ()))


def virtqueue_device(process: Process, qom: Qom, notifier: int, member: str = "host_notifier") -> str:
    """The device whose virtqueue has its host notifier, or its ``guest_notifier``, at an address, "" if none has."""
    queue = process.type("struct VirtQueue", "virtio_queue_host_notifier_read", "virtio_queue_notify_vq",
                         "virtio_add_queue")
    if queue is None:
        return ""
    try:
        offset = next(f.bitpos // 8 for f in queue.fields() if f.name == member)
        value = process.at(notifier - offset, queue)
        device = int(value["vdev"])
        label = qom.label(device)
        return f"{label} queue {int(value['queue_index'])}" if label else ""
    except (gdb.error, StopIteration):
        return ""
