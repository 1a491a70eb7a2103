"""Prints QObjects (QDict, QList, QString, ...) as JSON-like text: the arguments of monitor commands."""

from __future__ import annotations

import struct
from typing import List, Set

import gdb

from .access import NotReadable, Process, optional

# QType (qapi/common.json): none, qnull, qnum, qstring, qdict, qlist, qbool; the same since 2.12.
_QNULL, _QNUM, _QSTRING, _QDICT, _QLIST, _QBOOL = 1, 2, 3, 4, 5, 6
_DEPTH = 6
_ITEMS = 32
_BASE = 16  # struct QObjectBase_: QType and reference count
_BUCKETS = 512
_HIDDEN = frozenset(("password", "passwd", "data"))  # set_password, object-add of a secret: never shown


def text(process: Process, address: int, limit: int = 400) -> str:
    """The QObject at an address as text, cut at ``limit`` characters; "" for NULL."""
    if not address:
        return ""
    try:
        result = _text(process, address, 0, set())
    except (NotReadable, gdb.error, struct.error):
        return ""
    return result if len(result) <= limit else result[: limit - 3] + "..."


def _text(process: Process, address: int, depth: int, seen: Set[int]) -> str:
    if depth > _DEPTH or address in seen:
        return "..."
    seen = seen | {address}
    kind = process.int32(address)
    if kind == _QNULL:
        return "null"
    if kind == _QNUM:
        number_kind = process.int32(address + _BASE)
        data = process.read(address + _BASE + 8, 8)
        return str(struct.unpack({0: "<q", 1: "<Q"}.get(number_kind, "<d"), data)[0])
    if kind == _QSTRING:
        return '"' + process.string(process.word(address + _BASE), 200) + '"'
    if kind == _QBOOL:
        return "true" if process.read(address + _BASE, 1) != b"\0" else "false"
    if kind == _QDICT:
        # size, then the heads of 512 hash buckets; an entry is key, value, next (include/qobject/qdict.h)
        items: List[str] = []
        heads = struct.unpack(f"<{_BUCKETS}Q", process.read(address + _BASE + 8, 8 * _BUCKETS))
        for head in heads:
            steps = 0
            while head and len(items) < _ITEMS and steps < _ITEMS:
                key, value, head = struct.unpack("<3Q", process.read(head, 24))
                name = process.string(key, 64)
                hidden = name in _HIDDEN and process.int32(value) == _QSTRING
                shown = '"..."' if hidden else _text(process, value, depth + 1, seen)
                items.append(f'"{name}": {shown}')
                steps += 1
        return "{" + ", ".join(sorted(items)) + "}"
    if kind == _QLIST:
        entry = process.word(address + _BASE)
        items = []
        while entry and len(items) < _ITEMS:
            value, entry = struct.unpack("<2Q", process.read(entry, 16))
            items.append(_text(process, value, depth + 1, seen))
        return "[" + ", ".join(items) + "]"
    return optional(lambda: "?", "")
