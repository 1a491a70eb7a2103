"""Finds every suspended coroutine of the process, with its stack and what it waits for."""

from __future__ import annotations

import struct
from typing import Callable, Dict, Iterable, List, Optional, Sequence, Tuple

import gdb

from .. import architecture
from ..model import Coroutine, Thread
from ..record import record
from . import frames as frame_tools
from . import memory
from .access import NotReadable, Process, optional
from .coroutine_stacks import CoroutineStacks, Registers
from .coroutine_waits import classify
from .qom import Qom

_UNTYPED_SIZES = (88, 80, 96, 104, 72)  # of struct Coroutine, where its type isn't known: 7.2 to 10.2, then others
_STACK_MAX = 64 << 20
_FOUND_MAX = 100000
_PROGRAM_MAX = 128 << 20  # bytes of QEMU's code
_TRAMPOLINE = "coroutine_trampoline"


@record
class Candidate:
    """A Coroutine structure in memory, and its saved context."""

    address: int
    env: int
    stack: int
    stack_size: int
    caller: int
    entry: int
    registers: Registers


class CoroutineReader:
    """Knows where a coroutine keeps what, in this program."""

    def __init__(self, process: Process, qom: Qom, stacks: CoroutineStacks) -> None:
        self._process, self._qom, self._stacks = process, qom, stacks
        self._type = process.type("CoroutineUContext", "qemu_coroutine_switch")
        self._return_offset: Optional[int] = None
        self.switch_pc = stacks.switch_pc()

    @property
    def typed(self) -> bool:
        """Whether the structure's layout comes from debug information."""
        return self._type is not None

    def at(self, address: int) -> Candidate:
        """The coroutine at an address.

        :raises NotReadable: its memory, or it isn't one of the ucontext backend
        """
        if self._type is not None:
            value = self._process.at(address, self._type)
            env = int(value["env"].address)
        else:
            env = address + self._untyped_size(address) + 16
        return self._candidate(address, env)

    def saved_registers(self, address: int) -> Registers:
        """The registers of a coroutine, or of a thread's own context, that entered another one."""
        if self._type is not None:
            env = int(self._process.at(address, self._type)["env"].address)
        else:
            env = address + self._untyped_size(address) + 16
        registers = self._stacks.registers(env)
        if registers.pc != self.switch_pc:
            raise NotReadable(f"the context at {address:#x} is in use")
        return registers

    def from_saved_pc(self, place: int) -> Optional[Candidate]:
        """The coroutine whose saved pc lies at ``place``; None for copies, threads' own contexts and freed ones."""
        env = place - self._stacks.pc_offset
        try:
            if self._type is not None:
                offset = next(f.bitpos // 8 for f in self._type.strip_typedefs().fields() if f.name == "env")
                return self._candidate(env - offset, env)
            for size in _UNTYPED_SIZES:
                address = env - 16 - size
                if self._is_allocation(address) and self._is_code(self._process.word(address)):
                    return self._candidate(address, env)
        except (NotReadable, gdb.error):
            pass
        return None

    def _untyped_size(self, address: int) -> int:
        for size in _UNTYPED_SIZES:
            try:
                place = address + size + 16 + self._stacks.pc_offset
                if self._process.read(place, 8) == self._stacks.mangled(self.switch_pc):
                    return size
            except NotReadable:
                break
        raise NotReadable(f"no suspended coroutine at {address:#x}")

    def _is_allocation(self, address: int) -> bool:
        # A malloc chunk's size word lies before it: sane for 200 to 4096 bytes, with the "previous in use" bit.
        return address % 16 == 0 and 200 <= self._process.word(address - 8) & ~7 <= 4096

    def _is_code(self, address: int) -> bool:
        # A coroutine's entry is a function of QEMU's program, or of one of its modules.
        return abs(address - self.switch_pc) < _PROGRAM_MAX or gdb.solib_name(address) is not None

    def _candidate(self, address: int, env: int) -> Candidate:
        process = self._process
        registers = self._stacks.registers(env)
        # entry, entry_arg, caller begin struct Coroutine in all versions; stack and its size precede env
        # (with SafeStack a second pair lies between; then the first pair is the real stack)
        entry, _, caller = struct.unpack("<3Q", process.read(address, 24))
        if self._type is not None:
            value = process.at(address, self._type)
            stack, size = int(value["stack"]), int(value["stack_size"])
        else:
            stack, size = struct.unpack("<2Q", process.read(env - 16, 16))
        if registers.pc != self.switch_pc:
            raise NotReadable(f"the coroutine at {address:#x} isn't suspended")
        if not (stack and 0 < size <= _STACK_MAX and stack <= registers.sp < stack + size):
            raise NotReadable(f"the stack of the coroutine at {address:#x}")
        return Candidate(address, env, stack, size, caller, entry, registers)

    def yielded_from(self, candidate: Candidate) -> str:
        """The function that called qemu_coroutine_switch: qemu_coroutine_yield, or the trampoline at its end."""
        if self._return_offset is None:
            walked = self._stacks.walk(candidate.registers, 2)
            if len(walked) < 2:
                raise NotReadable("the stack of a coroutine")
            self._return_offset = self._place_of_return(candidate.registers.sp, walked[1])
        back = self._process.word(candidate.registers.sp + self._return_offset)
        return (self._process.symbol_at(back) or "").split("+")[0]

    def _place_of_return(self, sp: int, caller: gdb.Frame) -> int:
        """Where above its stack pointer qemu_coroutine_switch keeps the address that it returns to."""
        size = self._stacks.sp_of(caller) - sp
        if self._stacks.machine.return_address_pushed:
            return size - 8
        content = self._process.read(sp, size) if 0 < size <= 4096 else b""
        words = struct.unpack(f"<{len(content) // 8}Q", content[: len(content) // 8 * 8])
        if caller.pc() not in words:
            raise NotReadable("the stack of a coroutine")
        return 8 * words.index(caller.pc())

    def is_pooled(self, candidate: Candidate) -> bool:
        """Whether it has ended and waits for reuse: it was switched away from by its trampoline."""
        caller = self.yielded_from(candidate)
        if caller.split(".")[0] == _TRAMPOLINE:
            return True
        if caller == "qemu_coroutine_yield" or self.typed:
            return False
        # Static functions have no names here, and link-time optimization inlines qemu_coroutine_yield. The trampoline
        # is the one whose frame ends where the stack does.
        frames = self._stacks.walk(candidate.registers, 3)
        if len(frames) < 3:
            return True
        end = self._stacks.sp_of(frames[2])
        return end >= candidate.stack + candidate.stack_size - 24  # what makecontext leaves above it

    def read(self, candidate: Candidate, origin: str, with_frames: bool = True) -> Coroutine:
        """The coroutine as a fact."""
        process = self._process
        result = Coroutine(candidate.address, origin=origin, caller=candidate.caller)
        result.entry = process.function_at(candidate.entry)
        if self._type is not None:
            base = process.at(candidate.address, self._type)["base"]
            result.context = optional(lambda: int(base["ctx"]), 0)
            result.locks_held = optional(lambda: int(base["locks_held"]), 0)
            scheduled = optional(lambda: int(base["scheduled"]), 0)
        else:
            scheduled = 0
        if with_frames:
            frames = self._cut(self._stacks.walk(candidate.registers, process.limits.frames), candidate)
            result.frames = frame_tools.to_model(frames)
            wait = classify(process, self._qom, frames)
            result.waits_kind, result.waits_text = wait.kind, wait.text
            result.waits_object, result.waits_owner = wait.object, wait.owner
        # Sleeping coroutines are marked by qemu_co_sleep_ns too; they wait for their timer.
        if scheduled and optional(lambda: process.string(scheduled, 80), "") == "aio_co_schedule":
            result.waits_kind, result.waits_text = "scheduled", "its turn in its AioContext"
        return result

    def _cut(self, frames: List[gdb.Frame], candidate: Candidate) -> List[gdb.Frame]:
        for index, frame in enumerate(frames):
            if (frame.name() or "").split(".")[0] == _TRAMPOLINE:
                return frames[: index + 1]
            if index and frame.name() in (None, "__start_context", "__push___start_context"):
                try:
                    sp = self._stacks.sp_of(frame)
                except (gdb.error, ValueError):
                    return frames[:index]
                if not candidate.stack <= sp < candidate.stack + candidate.stack_size - 64:
                    return frames[:index]
        return frames


def stack_pointers(threads: Sequence[Thread]) -> List[int]:
    """The stack pointers of the threads: the memory around them is no heap."""
    machines = [(architecture.of(t.registers), t.registers) for t in threads]
    return [registers[m.sp] for m, registers in machines if m is not None and m.sp in registers]


def read(
    process: Process,
    qom: Qom,
    known: Iterable[Tuple[int, str]],
    stack_pointers: Sequence[int] = (),
    heap_pointers: Optional[Sequence[int]] = None,
    progress: Optional[Callable[[str], None]] = None,
) -> List[Coroutine]:
    """All suspended coroutines: those in ``known`` (address, origin) first, then those that the memory search finds.

    ``stack_pointers`` and ``heap_pointers`` narrow the search, see ``memory.heap_ranges``.

    Pooled coroutines, stale copies and contexts of threads are left out.
    """
    try:
        stacks = CoroutineStacks(process)
        reader = CoroutineReader(process, qom, stacks)
    except NotReadable as error:
        process.note(f"coroutines: {error}")
        return []
    with stacks:
        found: Dict[int, Tuple[Candidate, str]] = {}
        for address, origin in known:
            if address and address not in found:
                try:
                    found[address] = (reader.at(address), origin)
                except (NotReadable, gdb.error):
                    continue  # it runs now, or it never yielded
        for candidate in _searched(process, reader, stacks, (stack_pointers, heap_pointers), progress):
            found.setdefault(candidate.address, (candidate, "search"))
        result = []
        for candidate, origin in found.values():
            if candidate.caller:
                continue  # entered: it runs, or waits for a coroutine that it entered; qemu-bt shows it
            if len(result) >= process.limits.coroutines:
                process.note(f"coroutines: {len(found)} contexts found; only {len(result)} coroutines were unwound")
                break
            with process.guard(f"coroutine {candidate.address:#x}"):
                if origin in ("search", "job") and reader.is_pooled(candidate):
                    continue  # a job keeps the address of its coroutine when that has ended
                result.append(reader.read(candidate, origin))
    return result


def _searched(
    process: Process,
    reader: CoroutineReader,
    stacks: CoroutineStacks,
    pointers: Tuple[Sequence[int], Optional[Sequence[int]]],
    progress: Optional[Callable[[str], None]],
) -> List[Candidate]:
    if process.limits.search_bytes <= 0:
        return []
    try:
        ranges = memory.heap_ranges(process, *pointers)
    except NotReadable as error:
        process.note(f"coroutines: only those that the block layer knows; {error}")
        return []
    total = sum(last - first for first, last in ranges)
    if total > process.limits.search_bytes:
        process.note(
            f"coroutines: only those that the block layer knows; the search of {total >> 20} MB of memory was left out "
            f"(limit {process.limits.search_bytes >> 20} MB; set qemu-search-limit)"
        )
        return []
    return search_candidates(process, reader, stacks, ranges, progress)


def search_candidates(
    process: Process,
    reader: CoroutineReader,
    stacks: CoroutineStacks,
    ranges: Sequence[memory.Range],
    progress: Optional[Callable[[str], None]] = None,
) -> List[Candidate]:
    """All contexts in memory that were switched away from, running, ended and suspended ones alike."""
    pattern = stacks.mangled(reader.switch_pc)
    places = memory.search(process, ranges, pattern, _FOUND_MAX, progress)
    candidates = (reader.from_saved_pc(place) for place in places)
    return [c for c in candidates if c is not None]
