"""The tree of memory regions of every address space: what the guest sees where, and which device answers."""

from __future__ import annotations

from dataclasses import field as dataclass_field
from typing import Dict, List, Optional

import gdb

from ..record import record
from .access import NotReadable, Process, field, optional
from .memory_regions import owner_of, region_type
from .qom import Qom

_DEPTH = 64
_REGIONS = 20000


@record
class Node:
    """One MemoryRegion in a tree."""

    address: int
    name: str
    kind: str  # ram, rom, romd, i/o, alias, container
    first: int  # guest address of its first byte
    size: int
    depth: int
    priority: int = 0
    enabled: bool = True
    owner: str = ""
    alias_of: str = ""  # "pc.ram @0x0"


@record
class Space:
    """An AddressSpace and the regions under its root."""

    name: str
    root: int
    nodes: List[Node] = dataclass_field(default_factory=list)
    same_as: str = ""  # another address space with the same root


def read(process: Process, qom: Qom, wanted: Optional[str] = None) -> List[Space]:
    """``address_spaces`` (system/memory.c; softmmu/memory.c to 8.x), each root's tree once.

    :raises NotReadable: no debug information
    """
    head = process.require("address_spaces")
    if region_type(process) is None:
        raise NotReadable("type MemoryRegion is not in the debug information")
    spaces: List[Space] = []
    roots: Dict[int, str] = {}
    for value in process.qtailq(head, "address_spaces_link", "address spaces", 1024):
        with process.guard("an address space"):
            name = process.string(value["name"], 64)
            root = int(value["root"])
            space = Space(name, root, same_as=roots.get(root, ""))
            spaces.append(space)
            roots.setdefault(root, name)
            if space.same_as or not root or (wanted is not None and wanted != name):
                continue
            _collect(process, qom, value["root"].dereference(), 0, 0, space.nodes, set())
    return spaces


def _collect(
    process: Process, qom: Qom, region: gdb.Value, base: int, depth: int, nodes: List[Node], path: set[int]
) -> None:
    address = int(region.address)
    if address in path or depth > _DEPTH:
        process.note("memory regions: a region lies in itself; the memory is corrupt, or it was being changed")
        return
    if len(nodes) >= _REGIONS:
        process.note(f"memory regions: only the first {_REGIONS} were read")
        return
    nodes.append(_node(process, qom, region, base, depth))
    start = nodes[-1].first
    inside = path | {address}
    for child in process.qtailq(region["subregions"], "subregions_link", f"subregions of {nodes[-1].name}"):
        with process.guard("a memory region"):
            _collect(process, qom, child.dereference(), start, depth + 1, nodes, inside)


def _node(process: Process, qom: Qom, region: gdb.Value, base: int, depth: int) -> Node:
    size_field = field(region, "size")  # Int128: __int128, or two words
    size = int.from_bytes(process.read(int(size_field.address), 16), "little")
    first = (base + int(region["addr"])) & 0xFFFFFFFFFFFFFFFF
    node = Node(int(region.address), process.string(region["name"], 96), "", first, size, depth)
    node.priority = int(region["priority"])
    node.enabled = bool(int(region["enabled"]))
    alias = int(region["alias"])
    if alias:
        node.kind = "alias"
        target = optional(lambda: process.string(region["alias"]["name"], 96), "?")
        node.alias_of = f"{target} @{int(region['alias_offset']):#x}"
    elif int(region["rom_device"]):
        node.kind = "romd"
    elif int(region["ram"]):
        node.kind = "rom" if int(region["readonly"]) else "ram"
    elif int(region["ops"]) and process.symbol_at(int(region["ops"])) != "unassigned_mem_ops":
        node.kind = "i/o"
    else:
        node.kind = "container"
    found = owner_of(qom, region)
    node.owner = found.label if found is not None else ""
    return node
