"""Recognises a stack that is the same as one walked before by its words alone: hundreds of idle threads rest alike."""

from __future__ import annotations

import struct
from typing import Dict, List, Mapping, Tuple

import gdb

from ..model import Frame
from ..record import record

_SPAN = 1 << 14  # bytes of stack that are compared
_TEMPLATES = 16  # for one pc


@record
class _Template:
    """Where the return addresses of a walked stack lie, from its stack pointer outwards."""

    span: int
    words: List[Tuple[int, int]]  # offset, return address
    frames: List[Frame]


class Alike:
    """Stacks seen in one process. x86-64: a return address lies right below its caller's stack pointer.

    Where a function's frame has a fixed size, the same pc and the same return addresses at the same offsets are the
    same stack; where the sizes differ the offsets do, and the stack is walked as any other.
    """

    def __init__(self, inferior: gdb.Inferior) -> None:
        self._inferior = inferior
        self._by_pc: Dict[int, List[_Template]] = {}

    def remember(self, newest: gdb.Frame, frames: List[Frame], registers: Mapping[str, int]) -> None:
        """Keep a stack that has just been walked from ``newest`` to its end."""
        pc, sp = registers.get("rip"), registers.get("rsp")
        templates = self._by_pc.setdefault(pc or 0, [])
        if not pc or not sp or len(templates) >= _TEMPLATES or any(f.kind == "signal" for f in frames):
            return
        words, frame, before = [], newest.older(), sp
        try:
            while frame is not None:
                here = int(frame.read_register("rsp")) & (1 << 64) - 1
                # An inlined function shares its caller's stack pointer; no word holds the frame that gdb infers of a
                # tail call.
                if here != before and frame.type() != gdb.TAILCALL_FRAME:
                    words.append((here - 8 - sp, int(frame.pc())))
                    before = here
                frame = frame.older()
        except (gdb.error, ValueError):
            return
        span = words[-1][0] + 8 if words else 0
        if 0 < span <= _SPAN and all(0 <= offset < span for offset, _ in words):
            templates.append(_Template(span, words, frames))

    def frames(self, registers: Mapping[str, int]) -> List[Frame]:
        """The very frames of a stack like that of the thread with these registers; [] where none was walked."""
        sp = registers.get("rsp", 0)
        for template in self._by_pc.get(registers.get("rip", 0), ()):
            try:
                words = bytes(self._inferior.read_memory(sp, template.span))
            except gdb.error:
                continue
            if all(struct.unpack_from("<Q", words, offset)[0] == pc for offset, pc in template.words):
                return list(template.frames)
        return []
