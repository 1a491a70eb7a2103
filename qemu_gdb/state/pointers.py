"""Names the objects that frames of threads and coroutines work on: devices, regions, nodes, contexts."""

from __future__ import annotations

from typing import Dict, Iterable, List, Sequence, Set

import gdb

from ..model import Facts, Frame
from .access import NotReadable, Process
from .arguments import parse
from .block import Graph
from .qom import Qom

# Names of arguments that point at something that has a name, in QEMU's habits.
_ARGUMENTS = frozenset(
    """opaque mr vdev dev d s bs blk obj proxy bus qbus vq cpu pci_dev pdev chr job ctx iothread n r vb vs req client
    adapter ehci uhci xhci nvme ahci ide lun hd t parent src tgt mon ioc conn region data arg""".split()
)
_LIMIT = 600  # pointers looked at


def gather(stacks: Iterable[Sequence[Frame]]) -> Dict[int, str]:
    """Pointers met as arguments, with the argument's name; bounded."""
    found: Dict[int, str] = {}
    for frames in stacks:
        for frame in frames[:200]:
            for name, text in frame.args.items():
                if name in _ARGUMENTS and len(found) < _LIMIT:
                    value = parse(text)
                    if value is not None and value > 0xFFFF and value % 8 == 0:
                        found.setdefault(value, name)
    return found


def name(process: Process, qom: Qom, graph: Graph, facts: Facts, pointers: Dict[int, str]) -> List[int]:
    """Fill ``facts.objects``; returns those that are MemoryRegions."""
    regions: List[int] = []
    known: Dict[int, str] = {t.context: f"AioContext of iothread {t.name}" for t in facts.iothreads if t.context}
    if facts.main_context:
        known[facts.main_context] = "main AioContext"
    known.update({v.address: f"vCPU {v.index}" for v in facts.vcpus})
    known.update({t.address: f"iothread {t.name}" for t in facts.iothreads})
    for address in pointers:
        label = known.get(address) or graph.label(address)
        if not label:
            kind = qom.type_name(address)
            if kind is not None:
                if "memory-region" in kind:
                    regions.append(address)
                    continue
                label = qom.label(address)
            elif pointers[address] == "vq":
                label = _virtqueue(process, qom, address)
        if label:
            facts.objects[hex(address)] = label
    return regions


def _virtqueue(process: Process, qom: Qom, address: int) -> str:
    type_ = process.type("struct VirtQueue", "virtio_queue_notify_vq", "virtio_add_queue")
    if type_ is None:
        return ""
    try:
        value = process.at(address, type_)
        label = qom.label(int(value["vdev"]))
        return f"{label} queue {int(value['queue_index'])}" if label else ""
    except (gdb.error, NotReadable):
        return ""


def addresses_of_regions(stacks: Iterable[Sequence[Frame]]) -> Set[int]:
    """Addresses in arguments called ``mr``."""
    return {v for frames in stacks for f in frames[:200] for v in [parse(f.args.get("mr"))] if v}
