"""The outgoing and the incoming migration: state, where the stream leads, what it is at."""

from __future__ import annotations

import shlex
from typing import List, Optional

import gdb

from ..model import Migration
from .access import Process, field, has_field, optional
from .channels import describe
from .qom import Qom

_IDLE = ("none", None)
_COMMAND = 200  # characters of a command line that are told


def read(process: Process, qom: Qom) -> List[Migration]:
    """``current_migration`` and ``current_incoming`` (migration/migration.c, 5.2 to 10.2), where there is one."""
    result = []
    for symbol, direction, stream in (
        ("current_migration", "outgoing", "to_dst_file"),
        ("current_incoming", "incoming", "from_src_file"),
    ):
        pointer = process.variable(symbol)
        if pointer is None:
            continue
        with process.guard(f"the {direction} migration"):
            if not int(pointer):
                continue
            state = process.enum_name("MigrationStatus_lookup", int(pointer["state"]))
            file = optional(lambda: pointer[stream])  # noqa: B023
            if state in _IDLE and (file is None or not int(file)):
                continue
            entry = Migration(direction, state or "unknown")
            entry.uri = _channel(process, qom, file)
            entry.detail = _detail(process, pointer, file)
            entry.command = _command(entry.uri)
            if direction == "incoming" and has_field(pointer, "page_requested_count"):
                entry.pages_awaited = optional(lambda: int(pointer["page_requested_count"]))  # noqa: B023
            result.append(entry)
    return result


def _channel(process: Process, qom: Qom, file: Optional[gdb.Value]) -> str:
    if file is None or not int(file):
        return ""
    type_ = process.type("QEMUFile", "qemu_fflush", "qemu_put_byte")
    if type_ is None:
        return ""
    value = process.at(int(file), type_)
    # QEMUFile.ioc since 7.1 (it was the opaque of its operations before)
    ioc = optional(lambda: int(field(value, "ioc", "opaque")), 0)
    channel = describe(process, qom, ioc) if ioc else None
    if channel is None:
        return ""
    where = channel.peer or channel.type_name.replace("qio-channel-", "")
    return f"{where}, descriptor {channel.fd}" if channel.fd is not None else where


def _command(uri: str) -> str:
    """The command line of the process that a stream leads to (``process 4711``): QEMU keeps only its number, so it is
    read while it is still a child of the process that gdb has; a core's is gone with it.
    """
    words = uri.replace(",", "").split()
    if words[:1] != ["process"] or len(words) < 2 or not words[1].isdecimal():
        return ""
    folder = f"/proc/{words[1]}"
    try:
        with open(f"{folder}/stat", encoding="utf-8", errors="replace") as stream:
            parent = stream.read(4096).rpartition(")")[2].split()[1]
        if parent != str(gdb.selected_inferior().pid):
            return ""
        with open(f"{folder}/cmdline", "rb") as stream:
            arguments = stream.read(4096).decode("utf-8", "replace").rstrip("\0").split("\0")
    except (OSError, IndexError):
        return ""
    told = " ".join(map(shlex.quote, arguments)) if any(arguments) else ""
    return told if len(told) <= _COMMAND else told[: _COMMAND - 3] + "..."


def _detail(process: Process, pointer: gdb.Value, file: Optional[gdb.Value]) -> str:
    parts = []
    if has_field(pointer, "error"):
        error = optional(lambda: int(pointer["error"]), 0)
        if error:
            # struct Error begins with its message in all versions (include/qapi/error.h)
            text = optional(lambda: process.string(process.word(error), 200), "")
            if text:
                parts.append(f"error: {text}")
    if has_field(pointer, "start_postcopy") and optional(lambda: int(pointer["start_postcopy"]), 0):
        parts.append("postcopy requested")
    type_ = process.type("QEMUFile", "qemu_fflush", "qemu_put_byte")
    if file is not None and int(file) and type_ is not None:
        last = optional(lambda: int(process.at(int(file), type_)["last_error"]), 0)
        if last:
            parts.append(f"the stream failed with {last}")
    return "; ".join(parts)
