"""Frames of crash reporters: systemd-coredump, eu-stack, abrt, glibc's and others' own backtraces."""

from __future__ import annotations

from typing import Any, Iterator, List, Optional, Tuple

from qemu_gdb.capture.pattern import Pattern
from qemu_gdb.model import Frame

# coredumpctl: "0x00007f9397ea365c __pthread_kill_implementation (libc.so.6 + 0xa365c)"
_COREDUMP = Pattern(
    r"0x(?P<pc>[0-9a-fA-F]{1,16})\s+(?:in\s+)?(?P<function>\S.*?)\s+"
    r"\((?P<module>[^()=,\"]*?[^()=,\"\s])(?:\s\+\s0x[0-9a-fA-F]+)?\)\s*$"
)
# eu-stack: "0x00007f8c5d6bfbf9 __poll" or with "- 1 [/lib/..." and "file:line:col" behind
_EU = Pattern(
    r"0x(?P<pc>[0-9a-fA-F]{8,16})(?:\s+-\s+\d+)?\s+(?:(?P<inline>\[inline\])\s*)?(?P<function>[^\s(][^\s]*(?"
    r":\([^()]*\))?)"
    r"(?:\s+-\s+(?P<lib>\S+)|\s+(?P<file>[^\s:]+):(?P<line>\d{1,8})(?::\d+)?)?\s*$"
)
# glibc: "/lib/libc.so.6(gsignal+0x35)[0x7f15dfe0bad6]", "qemu() [0x492ff3]"
_GLIBC = Pattern(
    r"(?P<module>[^\s()\[\]]+)\s?(?:\((?P<function>[^()+]*)(?:\+0x[0-9a-fA-F]+)?\))?\s?\[0x(?P<pc>[0-9a-fA-F]{"
    r"1,16})\]\s*$"
)


def coredump(level: int, text: str) -> Optional[Frame]:
    """A frame as ``coredumpctl info`` and journald print it, else None."""
    match = _COREDUMP.match(text)
    if match is None:
        return None
    module = match.group("module")
    function = match.group("function")
    if module == "..." or function.endswith((")", " at")) or " in " in function:
        return None
    frame = Frame(level, pc=int(match.group("pc"), 16))
    frame.function = None if function in ("n/a", "??", "???") else function
    frame.library = None if module == "n/a" else module
    return frame


def eu_stack(level: int, text: str) -> Optional[Frame]:
    """A frame as elfutils' eu-stack and eu-readelf print it, else None."""
    match = _EU.match(text)
    if match is None or match.group("function") in ("in", "<signal"):
        return None
    frame = Frame(level, pc=int(match.group("pc"), 16))
    function = match.group("function")
    frame.function = None if function in ("???", "??") else function
    frame.library = match.group("lib")
    frame.file = match.group("file")
    if match.group("line"):
        frame.line = int(match.group("line"))
    if match.group("inline"):
        frame.kind = "inline"
    return frame


def glibc(level: int, text: str) -> Optional[Frame]:
    """A frame of glibc's ``backtrace_symbols``, else None."""
    match = _GLIBC.match(text)
    if match is None:
        return None
    frame = Frame(level, pc=int(match.group("pc"), 16), library=match.group("module"))
    frame.function = match.group("function") or None
    return frame


def json_threads(text: str) -> Iterator[Tuple[str, List[Frame], bool, Any]]:
    """Stacks of a JSON report, abrt's core_backtrace and macOS's .ips: heading, frames, crashed, the thread's object.

    :raises ValueError: not JSON, or JSON of another shape
    """
    import json

    decoder = json.JSONDecoder()
    position = 0
    found = False
    for _ in range(4):
        while position < len(text) and text[position].isspace():
            position += 1
        if position >= len(text):
            break
        try:
            report, position = decoder.raw_decode(text, position)
        except RecursionError as error:
            raise ValueError("JSON nested too deeply") from error
        if not isinstance(report, dict):
            continue
        images = report.get("usedImages")
        threads = report.get("stacktrace") or report.get("threads")
        if not isinstance(threads, list):
            continue
        found = True
        for index, thread in enumerate(threads):
            if not isinstance(thread, dict) or not isinstance(thread.get("frames"), list):
                continue
            frames = [_json_frame(level, item, images) for level, item in enumerate(thread["frames"])]
            crashed = bool(thread.get("crash_thread") or thread.get("triggered"))
            yield f"thread {thread.get('id', index)}", [f for f in frames if f is not None], crashed, thread
    if not found:
        raise ValueError("no stacks in this JSON")


def _json_frame(level: int, item: Any, images: Any) -> Optional[Frame]:
    if not isinstance(item, dict):
        return None
    frame = Frame(level)
    function = item.get("function_name") or item.get("symbol")
    if isinstance(function, str):
        frame.function = function
    address = item.get("address")
    offset = item.get("imageOffset")
    if isinstance(address, int):
        frame.pc = address
    index = item.get("imageIndex")
    if isinstance(images, list) and isinstance(index, int) and 0 <= index < len(images):
        image = images[index]
        if isinstance(image, dict):
            name = image.get("name") or image.get("path")
            frame.library = name if isinstance(name, str) else None
            if isinstance(offset, int) and isinstance(image.get("base"), int):
                frame.pc = image["base"] + offset
    for key in ("file_name", "sourceFile"):
        if isinstance(item.get(key), str):
            if key == "sourceFile":
                frame.file = item[key]
            else:
                frame.library = item[key]
    line = item.get("sourceLine")
    if isinstance(line, int):
        frame.line = line
    if item.get("inline"):
        frame.kind = "inline"
    return frame
