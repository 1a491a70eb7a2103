"""Unwinds coroutines that are not running, on live processes and cores, writing nothing.

A coroutine that gave up the CPU left its registers in ``CoroutineUContext.env`` (util/coroutine-ucontext.c, 5.2 to
10.2). An unwinder hands them to gdb as the caller of the newest frame, for the time of one walk.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

import gdb
import gdb.unwinder

from . import frames as frame_tools
from .access import NotReadable, Process

# glibc, sysdeps/x86_64/jmpbuf-offsets.h; rbp, rsp and the pc are mangled
_REGISTERS = ("rbx", "rbp", "r12", "r13", "r14", "r15", "rsp", "rip")
_MANGLED = ("rbp", "rsp", "rip")
_PC_INDEX = 7
ENV_SIZE = 8 * len(_REGISTERS)
_MASK = (1 << 64) - 1
_CALL = re.compile(r"^call")


@dataclass
class Registers:
    """Where a coroutine goes on when it is entered."""

    values: Dict[str, int]

    @property
    def pc(self) -> int:
        return self.values["rip"]

    @property
    def sp(self) -> int:
        return self.values["rsp"]


class _FrameId:
    def __init__(self, sp: gdb.Value, pc: gdb.Value) -> None:
        self.sp, self.pc = sp, pc


class _Switch(gdb.unwinder.Unwinder):  # type: ignore[misc]
    """Makes a saved context the caller of the thread's newest frame."""

    def __init__(self) -> None:
        super().__init__("qemu-gdb coroutine")
        self.top = (0, 0)
        self.registers: Optional[Registers] = None

    def __call__(self, pending: gdb.PendingFrame) -> Any:
        if self.registers is None:
            return None
        sp, pc = pending.read_register("rsp"), pending.read_register("rip")
        if (int(sp) & _MASK, int(pc) & _MASK) != self.top:
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
        self._switch = _Switch()
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
        """glibc's pointer guard: the tcbhead_t field at fs_base + 0x30, the same in all threads."""
        if self._guard is None:
            thread = gdb.selected_thread()
            if thread is None:
                raise NotReadable("no thread is selected")
            self._guard = self._process.word(self._process.fs_base(thread) + 0x30)
        return self._guard

    def mangle(self, pc: int) -> int:
        """As ``__sigsetjmp`` stores a code address."""
        value = pc ^ self.guard
        return ((value << 17) | (value >> 47)) & _MASK

    def demangle(self, value: int) -> int:
        """The address behind a stored one."""
        return (((value >> 17) | (value << 47)) & _MASK) ^ self.guard

    def registers(self, env: int) -> Registers:
        """The registers in the sigjmp_buf at an address."""
        words = struct.unpack("<8Q", self._process.read(env, ENV_SIZE))
        return Registers({n: self.demangle(w) if n in _MANGLED else w for n, w in zip(_REGISTERS, words)})

    def switch_pc(self) -> int:
        """The address at which ``__sigsetjmp`` returns in qemu_coroutine_switch; where every suspended coroutine is."""
        start = self._process.address("qemu_coroutine_switch")
        if not start:
            raise NotReadable("qemu_coroutine_switch has no symbol")
        try:
            # By end: a count would run on into what lies behind the function.
            listing = gdb.selected_frame().architecture().disassemble(start, start + 400)
        except gdb.error as error:
            raise NotReadable("the code of qemu_coroutine_switch") from error
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
            top = (int(newest.read_register("rsp")) & _MASK, int(newest.read_register("rip")) & _MASK)
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
