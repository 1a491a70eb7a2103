"""Turns gdb's frames into the model's, for stacks that the capture of threads does not see: suspended coroutines."""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional

import gdb

from ..model import Frame

_TEXT_LIMIT = 200


def walk(start: Optional[gdb.Frame], limit: int) -> Iterator[gdb.Frame]:
    """A frame and its callers, at most ``limit``; ends where unwinding fails."""
    frame = start
    for _ in range(limit):
        if frame is None:
            return
        yield frame
        try:
            frame = frame.older()
        except gdb.error:
            return


_KINDS = {gdb.INLINE_FRAME: "inline", gdb.SIGTRAMP_FRAME: "signal", gdb.TAILCALL_FRAME: "tailcall"}


def to_model(frames: List[gdb.Frame]) -> List[Frame]:
    """The model's frames with arguments, renumbered from 0."""
    result = []
    for level, frame in enumerate(frames):
        kind = _KINDS.get(frame.type(), "normal")
        entry = Frame(level=level, function=frame.name(), pc=frame.pc(), kind=kind)
        sal = frame.find_sal()
        if sal is not None and sal.symtab is not None:
            entry.file, entry.line = sal.symtab.filename, sal.line or None
        else:
            try:
                entry.library = gdb.solib_name(frame.pc())
            except gdb.error:
                pass
        entry.args = arguments(frame)
        result.append(entry)
    return result


def arguments(frame: gdb.Frame) -> Dict[str, str]:
    """The arguments of a frame as gdb prints them, structures left out."""
    result: Dict[str, str] = {}
    function = frame.function()
    if function is None:
        return result
    try:
        block = frame.block()
    except (RuntimeError, gdb.error):
        return result
    while block is not None and block.function is None:
        block = block.superblock
    if block is None:
        return result
    for symbol in block:
        if symbol.is_argument:
            result[symbol.name] = _text(frame, symbol)
    return result


def _text(frame: gdb.Frame, symbol: gdb.Symbol) -> str:
    try:
        value = frame.read_var(symbol)
        if value.is_optimized_out:
            return "<optimized out>"
        if value.type.strip_typedefs().code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION, gdb.TYPE_CODE_ARRAY):
            return "..."
        return value.format_string(max_elements=64, symbols=True)[:_TEXT_LIMIT]
    except (gdb.error, ValueError):
        return "<error>"


def variable(frame: gdb.Frame, *names: str) -> Optional[gdb.Value]:
    """The first of these arguments or locals that has a value in a frame."""
    for name in names:
        try:
            value = frame.read_var(name)
        except (ValueError, RuntimeError, gdb.error):
            continue
        if not value.is_optimized_out:
            return value
    return None


def pointer(frame: gdb.Frame, *names: str) -> int:
    """The first of these arguments or locals as an address; 0 where none has a value."""
    for name in names:
        value = variable(frame, name)
        if value is not None:
            try:
                return int(value)
            except (gdb.error, OverflowError, TypeError):
                try:
                    return int(value.address)
                except (gdb.error, TypeError):
                    continue
    return 0
