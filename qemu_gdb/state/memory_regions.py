"""The MemoryRegions that frames work on: name, owning device, base address."""

from __future__ import annotations

from typing import Iterable, List, Optional

import gdb

from ..model import Region
from .access import NotReadable, Process, field
from .qom import Qom, QomObject

_NESTING = 64


def region_type(process: Process) -> Optional[gdb.Type]:
    """``MemoryRegion`` (include/exec/memory.h; include/system/memory.h since 10.1)."""
    return process.type("MemoryRegion", "memory_region_init", "memory_region_init_io")


def read(process: Process, qom: Qom, addresses: Iterable[int]) -> List[Region]:
    """The regions at these addresses; what is none is left out."""
    result: List[Region] = []
    for address in addresses:
        kind = qom.type_name(address) or ""
        # "memory-region", "iommu-memory-region" and types derived from it; the type is dear to look up
        type_ = region_type(process) if "memory-region" in kind else None
        if type_ is None:
            continue
        with process.guard("a memory region"):
            result.append(describe(process, qom, process.at(address, type_)))
    return result


def describe(process: Process, qom: Qom, region: gdb.Value) -> Region:
    """One MemoryRegion as a fact."""
    entry = Region(int(region.address))
    entry.name = process.string(region["name"], 128)
    found = owner_of(qom, region)
    if found is not None:
        entry.owner_type, entry.owner_path, entry.owner_id = found.type_name, found.path, found.id
    entry.base = base(process, region)
    return entry


def owner_of(qom: Qom, region: gdb.Value) -> Optional[QomObject]:
    """The device that owns a region. A list of ports owns its region, but the device is the region's parent
    (system/ioport.c, since 9.1).
    """
    owner = int(region["owner"])
    found = qom.object(owner) if owner else None
    if found is not None and found.type_name == "memory-region-portio-list":
        parent = qom.parent(int(region.address))
        return qom.object(parent) if parent else None
    return found


def base(process: Process, region: gdb.Value) -> Optional[int]:
    """Where a region begins in its outermost container; None where it lies in none, or only behind an alias."""
    address = 0
    node = region
    for _ in range(_NESTING):
        container = int(field(node, "container"))
        if not container:
            return address if int(node.address) != int(region.address) else None
        address += int(node["addr"])
        node = field(node, "container").dereference()
    raise NotReadable("memory regions nested without end")
