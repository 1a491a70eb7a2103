"""Makes of a stack that was written otherwise what a debugger shows: the thread's own frames, innermost first."""

from __future__ import annotations

from typing import List

from qemu_gdb.capture.belonging import OUTERMOST
from qemu_gdb.capture.segment import Segment
from qemu_gdb.model import Thread, canonical_name

# What only a thread's first frames call, and what therefore begins no stack but one read backwards
_FIRST = OUTERMOST | {"qemu_thread_start", "qemu_main_loop", "qemu_default_main"}
_MAKES_THREADS = ("create_thread", "pthread_create", "qemu_thread_create", "fork", "posix_spawn", "spawni")
_FEWEST = 3  # frames; fewer have no direction that can be told


def begins_a_thread(function: str) -> bool:
    """Whether ``function``, in canonical spelling, is among the first that a thread runs."""
    return function in _FIRST or function.endswith("_thread_fn")


def straighten(segment: Segment) -> None:
    """Put the stacks of ``segment`` in order, innermost frame first."""
    _join_counted_down(segment)
    for thread in segment.threads:
        if _backwards(thread):
            thread.frames.reverse()
            for level, frame in enumerate(thread.frames):
                frame.level = level


def _backwards(thread: Thread) -> bool:
    frames = thread.frames
    if len(frames) < _FEWEST or frames[0].level != 0 or frames[0].pc:
        return False
    if frames[-1].function is None or not begins_a_thread(canonical_name(frames[0].function)):
        return False
    names = [canonical_name(frame.function) for frame in frames]
    if any(begins_a_thread(name) for name in names[-2:]):
        return False
    # clone() that makes a thread is innermost in its stack
    return not any(name.lstrip("_").startswith(_MAKES_THREADS) for name in names[1:4])


def _join_counted_down(segment: Segment) -> None:
    """Frames whose numbers step down by one (#8, #7, ... #0) are one stack that was taken for many."""
    threads = segment.threads
    if not any(thread.frames and thread.frames[0].level >= _FEWEST - 1 for thread in threads):
        return
    kept: List[int] = []
    at = 0
    while at < len(threads):
        end = at + 1
        while (
            end < len(threads)
            and len(threads[end - 1].frames) == len(threads[end].frames) == 1
            and id(threads[end]) in segment.unheaded
            and threads[end].frames[0].level == threads[end - 1].frames[0].level - 1
        ):
            end += 1
        kept.append(at)
        if end - at >= _FEWEST:
            whole = threads[at]
            whole.frames = [thread.frames[0] for thread in reversed(threads[at:end])]
            whole.truncated_bottom = False
            at = end
        else:
            at += 1
    if len(kept) < len(threads):
        segment.threads = [threads[index] for index in kept]
        segment.marks = [segment.marks[index] for index in kept]
