"""The backtrace of a thread that runs a coroutine, continued to whoever entered it, up to the thread's own stack."""

from __future__ import annotations

from dataclasses import field as dataclass_field
from typing import List, Optional, Tuple

import gdb

from ..model import Frame, Thread
from ..record import record
from . import frames as frame_tools
from . import memory
from .access import NotReadable, Process
from .coroutine_stacks import CoroutineStacks, Registers
from .coroutines import CoroutineReader, search_candidates
from .qom import Qom

_NESTING = 64
_TRAMPOLINE = "coroutine_trampoline"


@record
class Segment:
    """One stack of the chain."""

    title: str
    coroutine: int = 0
    frames: List[Frame] = dataclass_field(default_factory=list)


def read(process: Process, qom: Qom, thread: Thread, stack_pointers: List[int]) -> List[Segment]:
    """The thread's stack, and those of the coroutines and the thread that entered it, innermost first.

    :raises NotReadable: the coroutine that the thread runs, or its caller, can't be found
    """
    gdb_thread = process.thread(thread.lwp)
    if gdb_thread is None:
        raise NotReadable("gdb has no such thread")
    gdb_thread.switch()
    own = list(frame_tools.walk(gdb.newest_frame(), process.limits.frames))
    index = next((i for i, f in enumerate(own) if (f.name() or "").split(".")[0] == _TRAMPOLINE), None)
    if index is None:
        return [Segment("", frames=frame_tools.to_model(own))]
    coroutine = frame_tools.pointer(own[index], "co", "self")
    result = [Segment("", coroutine, frame_tools.to_model(own[: index + 1]))]
    with CoroutineStacks(process) as stacks:
        reader = CoroutineReader(process, qom, stacks)
        if not coroutine:
            coroutine = _running(process, reader, stacks, thread, stack_pointers)
            result[0].coroutine = coroutine
        result[0].title = f"coroutine {coroutine:#x}"
        for _ in range(_NESTING):
            caller, registers = _caller(process, reader, coroutine)
            frames = stacks.walk(registers, process.limits.frames)
            end = next((i for i, f in enumerate(frames) if (f.name() or "").split(".")[0] == _TRAMPOLINE), None)
            if end is None:
                result.append(Segment("entered from the thread's own stack", 0, frame_tools.to_model(frames)))
                return result
            result.append(
                Segment(f"entered by coroutine {caller:#x}", caller, frame_tools.to_model(frames[: end + 1]))
            )
            coroutine = caller
    process.note("coroutines that entered each other without end")
    return result


def _running(
    process: Process, reader: CoroutineReader, stacks: CoroutineStacks, thread: Thread, stack_pointers: List[int]
) -> int:
    sp = thread.registers.get(process.architecture.sp, 0)
    others = [p for p in stack_pointers if p != sp]
    for heap in ((), None):
        for candidate in search_candidates(process, reader, stacks, memory.heap_ranges(process, others, heap)):
            if candidate.stack <= sp < candidate.stack + candidate.stack_size:
                return candidate.address
    raise NotReadable("the coroutine that this thread runs has no saved context yet")


def _caller(process: Process, reader: CoroutineReader, coroutine: int) -> Tuple[int, Registers]:
    caller = process.word(coroutine + 16)  # struct Coroutine: entry, entry_arg, caller
    if not caller:
        raise NotReadable(f"coroutine {coroutine:#x} has no caller")
    return caller, reader.saved_registers(caller)


def title_of(segment: Segment) -> Optional[str]:
    """The line above a segment, None for the first."""
    return segment.title or None
