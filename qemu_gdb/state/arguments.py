"""Values of arguments in the captured threads' frames, read again from gdb where the capture left them out."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple

import gdb

from ..model import Frame, Thread
from . import frames as frame_tools
from .access import Process

_NUMBER = re.compile(r"^(?:\([^()]*\)\s*)?@?(0x[0-9a-f]+|-?\d+)\b")


class FrameArguments:
    """Reads arguments of frames of the captured threads."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._walked: Dict[int, List[gdb.Frame]] = {}

    def number(self, thread: Thread, frame: Frame, *names: str) -> Optional[int]:
        """The first of these arguments as an address or number; None where none has a value."""
        for name in names:
            value = parse(frame.args.get(name))
            if value is not None:
                return value
        if any(name in frame.args for name in names) and "<optimized out>" not in frame.args.values():
            return None
        found = self.frame(thread, frame)
        if found is None:
            return None
        for name in names:
            value = frame_tools.pointer(found, name)
            if value:
                return value
        return None

    def text(self, thread: Thread, frame: Frame, name: str) -> str:
        """An argument as gdb prints it, "" where it has no value."""
        text = frame.args.get(name)
        if text is None:
            found = self.frame(thread, frame)
            text = frame_tools.arguments(found).get(name, "") if found is not None else ""
        return "" if text.startswith("<") else text

    def frame(self, thread: Thread, frame: Frame) -> Optional[gdb.Frame]:
        """gdb's own frame; selects the thread."""
        gdb_thread = self._process.thread(thread.lwp)
        if gdb_thread is None or thread.lwp is None or frame.level > self._process.limits.frames:
            return None
        frames = self._walked.get(thread.lwp)
        if frames is None or not frames or not frames[0].is_valid():
            try:
                gdb_thread.switch()
                frames = list(frame_tools.walk(gdb.newest_frame(), self._process.limits.frames))
            except gdb.error:
                frames = []
            self._walked = {thread.lwp: frames}  # gdb forgets the frames of the thread before
        return frames[frame.level] if frame.level < len(frames) else None


def parse(text: Optional[str]) -> Optional[int]:
    """The number that a printed value begins with: ``0x55.. <bql>``, ``(QemuMutex *) 0x55..``, ``42``."""
    match = _NUMBER.match(text) if text else None
    return int(match.group(1), 0) if match else None


def find(thread: Thread, *functions: str) -> Optional[Tuple[int, Frame]]:
    """Index and frame of the innermost frame of one of these functions."""
    for index, frame in enumerate(thread.frames):
        if frame.name in functions:
            return index, frame
    return None
