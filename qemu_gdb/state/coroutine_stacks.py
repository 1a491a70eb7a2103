"""Unwinds coroutines that are not running, on live processes and cores, writing nothing.

A coroutine that gave up the CPU left its registers in ``CoroutineUContext.env`` (util/coroutine-ucontext.c, 5.2 to
10.2). An unwinder hands them to gdb as the caller of the newest frame, for the time of one walk.
"""

from __future__ import annotations

import re
import struct
from typing import Any, Dict, List, Optional

import gdb
import gdb.unwinder

from ..architecture import MASK, Architecture
from ..record import record
from . import frames as frame_tools
from .access import NotReadable, Process

_CALL = re.compile(r"^(?:call|bl\b)")


@record
class Registers:
    """Where a coroutine goes on when it is entered."""

    values: Dict[str, int]
    pc: int
    sp: int


class _FrameId:
    def __init__(self, sp: gdb.Value, pc: gdb.Value) -> None:
        self.sp, self.pc = sp, pc


class _Switch(gdb.unwinder.Unwinder):  # type: ignore[misc]
    """Makes a saved context the caller of the thread's newest frame."""

    def __init__(self, machine: Architecture) -> None:
        super().__init__("qemu-gdb coroutine")
        self._machine = machine
        self.top = (0, 0)
        self.registers: Optional[Registers] = None

    def __call__(self, pending: gdb.PendingFrame) -> Any:
        if self.registers is None:
            return None
        sp, pc = pending.read_register(self._machine.sp), pending.read_register(self._machine.pc)
        if (int(sp) & MASK, int(pc) & MASK) != self.top:
            return None
        # gdb wants every caller's frame above its callee's ("previous frame inner to this frame")
        below = gdb.Value(self.registers.sp - 256).cast(sp.type)
        info = pending.create_unwind_info(_FrameId(below, pc))
        for name, value in self.registers.values.items():
            info.add_saved_register(name, gdb.Value(value).cast(pending.read_register(name).type))
        return info


class CoroutineStacks:
    """A context manager: inside it ``frames`` walks suspended coroutines; afterwards gdb is as before."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.machine = process.architecture
        self._switch = _Switch(self.machine)
        self._on = False
        self._guard: Optional[int] = None

    def __enter__(self) -> CoroutineStacks:
        return self

    def __exit__(self, *_: object) -> None:
        self._switch.registers = None
        if self._on:
            self._on = False
            if self._switch in gdb.frame_unwinders:
                gdb.frame_unwinders.remove(self._switch)
            gdb.invalidate_cached_frames()

    @property
    def guard(self) -> int:
        """glibc's pointer guard, the same in all threads: in tcbhead_t, or a variable of the dynamic loader's (of the
        program's own where it is linked statically).
        """
        if self._guard is None:
            offset = self.machine.guard_offset
            if offset is not None:
                self._guard = self._process.word(self._process.thread_pointer() + offset)
            else:
                names = ("__pointer_chk_guard", "__pointer_chk_guard_local")
                place = next(filter(None, map(self._process.library_variable, names)), 0)
                if not place:
                    raise NotReadable("the pointer guard of libc has no symbol")
                self._guard = self._process.word(place)
        return self._guard

    def mangled(self, pc: int) -> bytes:
        """As ``__sigsetjmp`` stores a code address."""
        return struct.pack("<Q", self.machine.mangle(pc, self.guard))

    @property
    def pc_offset(self) -> int:
        """Where in a sigjmp_buf the program counter lies."""
        return 8 * self.machine.saved.index(self.machine.pc)

    def registers(self, env: int) -> Registers:
        """The registers in the sigjmp_buf at an address."""
        machine = self.machine
        words = struct.unpack(f"<{len(machine.saved)}Q", self._process.read(env, 8 * len(machine.saved)))
        values = {name: machine.demangle(word, self.guard) if name in machine.mangled else word
                  for name, word in zip(machine.saved, words) if name}
        return Registers(values, values[machine.pc], values[machine.sp])

    def switch_pc(self) -> int:
        """The address at which ``__sigsetjmp`` returns in qemu_coroutine_switch; where every suspended coroutine is."""
        start = self._process.address("qemu_coroutine_switch")
        if not start:
            raise NotReadable("qemu_coroutine_switch has no symbol")
        try:
            # By end: a count would run on into what lies behind the function.
            listing = gdb.selected_frame().architecture().disassemble(start, start + 400)
        except gdb.error as error:
            raise NotReadable("the code of qemu_coroutine_switch could not be read") from error
        for instruction in listing:
            if _CALL.match(instruction["asm"]) and "sigsetjmp" in instruction["asm"]:
                return int(instruction["addr"]) + int(instruction["length"])
        raise NotReadable("no call of sigsetjmp in qemu_coroutine_switch: another coroutine backend")

    def walk(self, registers: Registers, limit: int) -> List[gdb.Frame]:
        """gdb's frames of a suspended coroutine, innermost (qemu_coroutine_switch) first; valid until the next walk."""
        self._switch.registers = None
        if not self._on:
            gdb.frame_unwinders.insert(0, self._switch)
            self._on = True
        gdb.invalidate_cached_frames()
        try:
            newest = gdb.newest_frame()
            top = (self.sp_of(newest), int(newest.read_register(self.machine.pc)) & MASK)
            self._switch.top, self._switch.registers = top, registers
            gdb.invalidate_cached_frames()
            result: List[gdb.Frame] = []
            for frame in frame_tools.walk(gdb.newest_frame(), limit + 8):
                # The thread's own newest frame comes first, and more than once where functions are inlined into it.
                if result or frame.pc() == registers.pc:
                    result.append(frame)
                    if len(result) >= limit:
                        break
        except (gdb.error, ValueError) as error:
            raise NotReadable(f"the stack of a coroutine ({error})") from error
        return result

    def sp_of(self, frame: gdb.Frame) -> int:
        """A frame's stack pointer."""
        return int(frame.read_register(self.machine.sp)) & MASK
