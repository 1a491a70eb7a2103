"""Names QOM objects: type, path and id, for every reader that meets a pointer to one.

The first five words of an Object (include/qom/object.h) and the first fields of an ObjectProperty have been the same
from QEMU 5.0 to 10.2, so that this works without debug information too.
"""

from __future__ import annotations

import re
import struct
from typing import Dict, List, Optional, Tuple

import gdb

from ..record import record
from .access import NotReadable, Process

_TYPE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.:,/+-]*$")
_DEPTH = 32
_PARENT = 32  # struct Object: class, free, properties, ref (32 bits), parent
_PROPERTIES = 16
_OPAQUE = 64  # struct ObjectProperty: name, type, description, get, set, resolve, release, init, opaque


@record
class QomObject:
    """What is known of an object."""

    address: int
    type_name: str
    path: str = ""  # "/machine/peripheral/s0"; "" where it has no place in the tree
    id: str = ""  # the user's id, or that of the device that it is part of

    @property
    def label(self) -> str:
        """What to call it in a sentence: "virtio-scsi s0"."""
        name = self.type_name
        for suffix in ("-device", "-pci-non-transitional", "-pci-transitional"):
            if name.startswith(("virtio-", "vhost-")) and name.endswith(suffix):
                name = name[: -len(suffix)]
        return f"{name} {self.id}" if self.id else name


class Qom:
    """The object tree of one process; remembers what it has read."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._children: Dict[int, List[Tuple[str, int]]] = {}
        self._objects: Dict[int, Optional[QomObject]] = {}
        self._root: Optional[int] = None
        self._type_names: Dict[int, Optional[str]] = {}  # by class

    def type_name(self, address: int) -> Optional[str]:
        """The type of the object at an address; None if none is there."""
        if address < 4096 or address % 8:
            return None
        process = self._process
        try:
            klass = process.word(address)
            if klass < 4096 or klass % 8:
                return None
            if klass in self._type_names:
                return self._type_names[klass]
            type_impl = process.word(klass)  # ObjectClass begins with its TypeImpl, which begins with its name
            if type_impl < 4096 or type_impl % 8:
                return None
            name = process.string(process.word(type_impl), 80)
        except NotReadable:
            return None
        self._type_names[klass] = name if len(name) > 1 and _TYPE_NAME.match(name) else None
        return self._type_names[klass]

    def object(self, address: int) -> Optional[QomObject]:
        """Type, path and id of the object at an address; None if none is there."""
        if address not in self._objects:
            type_name = self.type_name(address)
            found = None
            if type_name is not None:
                found = QomObject(address, type_name)
                try:
                    found.path = self.path(address)
                except NotReadable:
                    pass
                found.id = _id_from(found.path)
            self._objects[address] = found
        return self._objects[address]

    def label(self, address: int) -> str:
        """``QomObject.label``, "" if no object is there."""
        found = self.object(address)
        return found.label if found else ""

    def parent(self, address: int) -> int:
        """The object's parent in the tree; 0: it has none."""
        try:
            return self._process.word(address + _PARENT)
        except NotReadable:
            return 0

    def path(self, address: int) -> str:
        """The object's path from the root, "" if it is not in the tree."""
        parts: List[str] = []
        node = address
        for _ in range(_DEPTH):
            parent = self._process.word(node + _PARENT)
            if not parent:
                return "/" + "/".join(reversed(parts)) if parts else ""
            name = next((n for n, child in self.children(parent) if child == node), None)
            if name is None:
                return ""
            parts.append(name)
            node = parent
        return ""

    def children(self, address: int) -> List[Tuple[str, int]]:
        """Names and addresses of an object's children."""
        if address not in self._children:
            found: List[Tuple[str, int]] = []
            process = self._process
            table = process.word(address + _PROPERTIES)
            with process.guard("properties of an object"):
                for _, prop in process.ghashtable(table, "properties of an object"):
                    try:
                        words = struct.unpack("<9Q", process.read(prop, _OPAQUE + 8))
                        if process.read(words[1], 6) == b"child<":
                            found.append((process.string(words[0], 128), words[8]))
                    except NotReadable:
                        process.note("properties of an object: one of them can't be read")
            self._children[address] = found
        return self._children[address]

    @property
    def root(self) -> int:
        """Address of the tree's root; 0: unknown."""
        if self._root is None:
            self._root = 0
            try:
                # A static variable inside the function, all versions (qom/object.c).
                if self._process.symbol("object_get_root") is not None:
                    self._root = int(gdb.parse_and_eval("object_get_root::root"))
            except gdb.error:
                pass
        return self._root

    def resolve(self, *names: str) -> int:
        """Address of the object at a path from the root; 0 if there is none."""
        node = self.root
        for name in names:
            if not node:
                return 0
            try:
                node = next((child for n, child in self.children(node) if n == name), 0)
            except NotReadable:
                return 0
        return node


def _id_from(path: str) -> str:
    parts = path.strip("/").split("/")
    if len(parts) >= 3 and parts[:2] == ["machine", "peripheral"]:
        return parts[2]
    if len(parts) == 2 and parts[0] in ("objects", "chardevs", "backend"):
        return parts[1]
    return ""
