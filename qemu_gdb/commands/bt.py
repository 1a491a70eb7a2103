"""qemu-bt: a thread's backtrace, continued from the coroutine that it runs to whoever entered that."""

from __future__ import annotations

import json
from typing import List

import gdb

from .. import options
from ..model import SCHEMA
from ..options import Parsed, UsageError
from ..render import state as pages
from ..render.safe import safe
from . import base, parameters

OPTIONS = (options.ALL, options.FORMAT)
TAKES_THREADS = True


def run(parsed: Parsed) -> None:
    from ..capture import process as capture
    from ..state import access, coroutine_chain, coroutines
    from ..state.qom import Qom

    numbers = options.thread_numbers(parsed.words)
    selected = gdb.selected_thread()
    if selected is None:
        raise UsageError("no process: attach to one, or open a core")
    everybody = parsed.has(options.ALL)
    with capture.selection_kept():
        captured = capture.capture()
        threads = captured.snapshot.threads
        if not numbers and not everybody:
            numbers = [selected.num]
        missing = next((n for n in numbers if not any(t.number == n for t in threads)), None)
        if missing is not None:
            raise UsageError(f"there is no thread {missing}")
        reading = access.Process(access.Limits(search_bytes=parameters.search_bytes()))
        qom = Qom(reading)
        pointers = coroutines.stack_pointers(threads)
        told = []
        for thread in threads:
            if not everybody and thread.number not in numbers:
                continue
            try:
                segments, notice = coroutine_chain.read(reading, qom, thread, pointers), ""
            except access.NotReadable as error:
                notice = f"not continued to the caller: {error}"
                segments = [coroutine_chain.Segment("", frames=thread.frames)]
            told.append((thread, segments, notice))
    if parsed.format == "json":
        base.write(json.dumps({"schema": SCHEMA, "threads": [
            {"number": thread.number, "lwp": thread.lwp, "notice": notice or None, "stacks": [
                {"coroutine": hex(s.coroutine) if s.coroutine else None, "frames": pages.plain_frames(s.frames)}
                for s in segments]}
            for thread, segments, notice in told]}, indent=1) + "\n")
        return
    lines: List[str] = []
    fence = ["```"] if parsed.format == "markdown" else []
    for thread, segments, notice in told:
        lines += ([""] if lines else []) + [f"Thread {thread.number} (LWP {thread.lwp})", *fence]
        level = 0
        for segment in segments:
            if segment.title:
                lines.append(f"-- {segment.title}")
            for frame in segment.frames:
                frame.level = level
                lines.append(safe(pages.frame_line(frame)))
                level += 1
        lines += fence
        if notice:
            lines.append(f"({safe(notice)})")
    base.write(base.form(parsed).finish(lines))
