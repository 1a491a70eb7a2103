"""Tells the host kernel's frames from QEMU's own, on one stack or beside it, and from those of the guest's kernel."""

from __future__ import annotations

from typing import Dict, List, Optional, Set

from qemu_gdb.capture.dialects import foreign
from qemu_gdb.capture.segment import Segment
from qemu_gdb.linux import ENTERED, SYSTEM_CALL
from qemu_gdb.model import Frame, Notice, Thread, canonical_name

_DIALECTS = frozenset(["chain", "folded", "kernel", "list", "perf", "perf-event", "profile"])
_KERNELS_HALF = 1 << 63  # of the address space
_MOST_SHOWN = 3


def separate(segments: List[Segment]) -> None:
    """Give each thread its part in the kernel, and take out the stacks that are none of a program's tasks."""
    mixed = [s for s in segments if not _DIALECTS.isdisjoint(s.dialects)]
    for segment in mixed:
        for thread in segment.threads:
            if id(thread) in segment.foreign:
                _without_guesses(thread)
            _cut(segment, thread)
        _take_out(segment)
    if any(segment.foreign for segment in mixed):
        _attach(segments)


def system_call(frames: List[Frame]) -> Optional[str]:
    """The system call that a kernel's frames are in, as the kernel names it: ``futex`` of ``__x64_sys_futex``."""
    for frame in reversed(frames):
        found = SYSTEM_CALL.match(canonical_name(frame.function))
        if found is not None:
            return next(group for group in found.groups() if group)
    return None


def _without_guesses(thread: Thread) -> None:
    """Leave out the frames that the kernel itself doubts, unless it doubts them all (it has no unwinder then)."""
    sure = [frame for frame in thread.frames if frame.kind != foreign.GUESS]
    if len(sure) == len(thread.frames):
        return
    if len(sure) > 1:
        thread.frames = sure
    for level, frame in enumerate(thread.frames):
        frame.level, frame.kind = level, "kernel"


def is_of(segment: Segment, thread: Thread) -> bool:
    """Whether a kernel's stack is of a task whose process's user stacks are shown, its own not among them."""
    return segment.process_of.get(id(thread)) in segment.tasks_of


def _cut(segment: Segment, thread: Thread) -> None:
    """Part the kernel's frames from the program's, where a stack shows both."""
    frames = thread.frames
    begins = 0
    for position in range(len(frames) - 1, -1, -1):
        frame = frames[position]
        entered = frame.function is not None and canonical_name(frame.function).startswith(ENTERED)
        if entered or (frame.pc is not None and frame.pc >= _KERNELS_HALF):
            begins = position + 1
            break
    if not begins or begins == len(frames) or frames[begins].kind == "kernel" or frames[begins].level == 0:
        return
    thread.kernel, thread.frames = frames[:begins], frames[begins:]
    for inner in thread.kernel:
        inner.kind = "kernel"
    for level, frame in enumerate(thread.frames):
        frame.level = level
    segment.foreign.discard(id(thread))
    innermost = thread.frames[0]
    if innermost.function is None and not canonical_name(thread.kernel[-1].function).startswith("asm_"):
        innermost.function = system_call(thread.kernel)  # libc's function of that call, or syscall()


def _take_out(segment: Segment) -> None:
    """Take out stacks of the guest's own kernel and of the host kernel's own threads, and say so."""
    guests = [t for t in segment.threads if id(t) in segment.guests]
    others = [t for t in segment.threads if segment.process_of.get(id(t)) == 0]
    if guests:
        function = next((t.frames[0].function for t in guests if t.frames), None)
        segment.notices.append(Notice(
            "notice.guest-kernel", f"The text also holds an oops of the guest's own kernel{_named([function])}: that "
            "is the guest's, not QEMU's."))
    if others:
        segment.notices.append(Notice(
            "notice.other-tasks", f"The text also holds stacks of the host kernel's own threads"
            f"{_named([t.name for t in others])}."))
    if guests or others:
        gone = {id(t) for t in (*guests, *others)}
        _drop(segment, gone)
        segment.foreign -= gone


def _named(names: List[Optional[str]]) -> str:
    known = list(dict.fromkeys(name for name in names if name))
    if not known:
        return ""
    return f" ({', '.join(known[:_MOST_SHOWN])}{', ...' if len(known) > _MOST_SHOWN else ''})"


def _drop(segment: Segment, gone: Set[int]) -> None:
    keep = [i for i, t in enumerate(segment.threads) if id(t) not in gone]
    segment.threads = [segment.threads[i] for i in keep]
    segment.marks = [segment.marks[i] for i in keep]


def _attach(segments: List[Segment]) -> None:
    """Put the kernel's stack of a task beside the task's user stack, where the text has both."""
    users: Dict[int, Thread] = {}
    nameless: List[Thread] = []
    for segment in segments:
        for thread in segment.threads:
            if id(thread) not in segment.foreign and not thread.kernel and not thread.history and thread.frames:
                if thread.lwp is not None:
                    users[thread.lwp] = thread
                elif not thread.coroutine:
                    nameless.append(thread)
    tasks = [(s, t) for s in segments if "go" not in s.dialects for t in s.threads if id(t) in s.foreign and t.frames]
    for segment, task in tasks:
        user = users.get(task.lwp) if task.lwp is not None else None
        if user is None and len(tasks) == len(nameless) == 1 and not users:
            call = system_call(task.frames)
            if call is not None and canonical_name(nameless[0].frames[0].function) == call:
                user = nameless[0]
        if user is None or user.kernel:
            continue
        user.kernel = task.frames
        user.name = user.name or task.name
        if id(task) in segment.process_of and user.lwp is not None:
            segment.tasks_of.add(segment.process_of[id(task)])
        _drop(segment, {id(task)})
        segment.foreign.discard(id(task))
        segment.kernel = 0
