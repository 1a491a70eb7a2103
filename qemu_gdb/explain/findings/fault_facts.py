"""Sharpens a crash by what the process itself tells: the bad pointer, its member, the memory."""

from __future__ import annotations

import re

from ...model import Evidence, Fault
from ..context import Context
from . import common
from .cause import Cause
from .common import capital, place

_VAGUE = "A member of a structure whose pointer is NULL was accessed"
_UNKNOWN = "The input does not show which pointer"


def refine(context: Context, cause: Cause) -> None:
    """Replace what the frames only suggest by what ``facts.fault`` knows."""
    fault = context.facts.fault
    if fault is None or fault.lwp != cause.subject.told.thread.lwp:
        return
    if fault.instruction and fault.address is not None:
        cause.proof.append(
            Evidence(
                f"the instruction `{fault.instruction}` at a fault address of 0x{fault.address:x}"
                + (f", {fault.register} = 0x{fault.base:x}" if fault.base is not None and fault.register else ""),
                cause.subject.number,
                0,
            )
        )
    if fault.memory_kind == "stack" and cause.kind.startswith(("crash.invalid", "crash.null")):
        cause.kind = "crash.stack-overflow"
        cause.headline = f"Stack overflow in {cause.function or 'a thread'}"
        cause.sentences[:] = [f"The access at 0x{fault.address or 0:x} lies {fault.memory}."]
    elif fault.memory_kind == "guest-ram" and cause.kind == "crash.bus-error":
        _guest_ram(cause, fault)
    elif cause.kind in ("crash.null-dereference", "crash.invalid-access"):
        _pointer(cause, fault)


def _pointer(cause: Cause, fault: Fault) -> None:
    if fault.base is None or not (fault.pointer or fault.member):
        if fault.memory and cause.kind == "crash.invalid-access":
            cause.sentences.append(f"At that address: {fault.memory}.")
        return
    null = fault.base == 0
    value = "NULL" if null else f"0x{fault.base:x}"
    what = fault.member or f"offset 0x{fault.offset or 0:x}"
    verb = "writes" if fault.access == "write" else "reads"
    pointer = fault.pointer or "the pointer"
    begins = capital(pointer) if pointer.startswith("the ") else pointer  # a variable's name stays as it is
    told = f"{begins} is {value}: the instruction {verb} {what} there"
    if fault.member and fault.offset:
        told += f" (offset 0x{fault.offset:x})"
    passed = re.compile(rf'"{re.escape(pointer)}" is 0x0 in frame \d+(?:; (?P<by>\w+ \(frame \d+\) passed it))?\.')
    for sentence in list(cause.sentences):
        same = passed.fullmatch(sentence)
        if same is not None and same.group("by") and not _in_handler(cause):
            told += f"; {same.group('by')}"
        if same is not None or sentence.startswith((_VAGUE, _UNKNOWN)):
            cause.sentences.remove(sentence)
    cause.steps[:] = [s for s in cause.steps if "which pointer" not in s]
    cause.sentences.insert(0, told + ".")
    if fault.memory and not null:
        cause.sentences.insert(1, f"At 0x{fault.address or 0:x}: {fault.memory}.")
    stack = cause.subject.stack
    position = common.qemu_frame(stack, 0)
    if position is None or position > 0 or not fault.pointer:
        return
    if cause.blame is not None and all(frame.kind == "inline" for frame in stack.frames[: cause.blame]):
        position = cause.blame
    spot = place(stack.frames[position])
    where = f"{stack.names[position]}{f', {spot}' if spot else ''}"
    if null:
        cause.headline = f'NULL pointer "{fault.pointer}" in {where}'
    elif cause.headline.startswith("Invalid address"):
        cause.headline = f"Bad pointer {fault.pointer}={value} used in {where}"


def _in_handler(cause: Cause) -> bool:
    """Whether the kernel called the function, as a signal's handler."""
    return any(frame.kind == "signal" for frame in cause.subject.stack.frames[:3])


def _guest_ram(cause: Cause, fault: Fault) -> None:
    owner = f" ({fault.ram_owner})" if fault.ram_owner else ""
    told = f"The address is guest RAM: block {fault.ram_block}{owner}, offset 0x{fault.ram_offset or 0:x}"
    if fault.ram_size:
        told += f" of 0x{fault.ram_size:x}"
    if fault.ram_file:
        told += f", mapped from {fault.ram_file}"
        if fault.ram_file_size is not None:
            told += f", which is 0x{fault.ram_file_size:x} bytes long now"
            if fault.ram_offset is not None and fault.ram_file_size <= fault.ram_offset:
                told += ": too short"
    cause.sentences.insert(0, told + ".")
    if fault.ram_owner:
        offset = f"0x{fault.ram_offset or 0:x}"
        cause.headline = f"Bus error on guest RAM: {fault.ram_owner} has no memory at offset {offset}"
    file = fault.ram_file or "the backing file"
    cause.steps.insert(0, f"ls -l {file} and df of its file system: who truncated it, or is it full?")
