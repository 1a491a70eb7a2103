"""Crash reports in JSON: macOS's .ips and abrt's core_backtrace, alone in a text or in the middle of one."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Optional, Tuple

from qemu_gdb.capture import messages
from qemu_gdb.capture.segment import Segment
from qemu_gdb.model import Frame, Thread
from qemu_gdb.pattern import Pattern

_OBJECT = Pattern(r"^[ \t]*(?=\{)", re.MULTILINE)
_MAX_OBJECTS = 16  # that are tried in one text
_ADDRESS = Pattern(r"\bat (0x[0-9a-fA-F]{1,16})")


def take(text: str) -> Tuple[List[Segment], str]:
    """The processes that JSON reports in ``text`` show, and the text without these reports."""
    segments: List[Segment] = []
    if '"frames"' not in text or '"threads"' not in text and '"stacktrace"' not in text:
        return segments, text
    decoder = json.JSONDecoder()
    rest: List[str] = []
    done = 0
    for tried, match in enumerate(_OBJECT.finditer(text)):
        if tried >= _MAX_OBJECTS:
            break
        if match.end() < done:
            continue
        try:
            report, end = decoder.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            continue
        segment = _segment(report)
        if segment is not None:
            segments.append(segment)
            rest.append(text[done : match.start()])
            done = end
    return segments, "".join(rest) + text[done:]


def _segment(report: Dict[str, Any]) -> Optional[Segment]:
    threads = report.get("stacktrace") or report.get("threads")
    if not isinstance(threads, list):
        return None
    segment = Segment(dialects={"json": 1})
    images = report.get("usedImages")
    first = 0 if images is not None else 1  # macOS counts threads from 0, abrt says "Thread no. 1"
    for index, item in enumerate(threads):
        if not isinstance(item, dict) or not isinstance(item.get("frames"), list):
            continue
        found = [_frame(level, frame, images) for level, frame in enumerate(item["frames"])]
        stack = [frame for frame in found if frame is not None]
        if stack:
            crashed = bool(item.get("crash_thread") or item.get("triggered"))
            name = item.get("name")
            number = item.get("id")
            segment.add_thread(
                Thread(
                    frames=stack,
                    number=index + first,
                    lwp=number if isinstance(number, int) else None,
                    name=name if isinstance(name, str) else None,
                    heading=f"thread {index + first}",
                    crashed=crashed,
                    current=crashed,
                )
            )
    if not segment.threads:
        return None
    _process(segment, report)
    return segment


def _process(segment: Segment, report: Dict[str, Any]) -> None:
    for key in ("executable", "procPath", "procName"):
        if isinstance(report.get(key), str) and report[key]:
            segment.program = report[key].rsplit("/", 1)[-1]
            break
    if isinstance(report.get("pid"), int):
        segment.pid = report["pid"]
    exception = report.get("exception") if isinstance(report.get("exception"), dict) else {}
    assert isinstance(exception, dict)
    signal = report.get("signal", exception.get("signal"))
    if isinstance(signal, (int, str)) and signal:
        name, number = (signal, None) if isinstance(signal, str) else (None, signal)
        told = messages.signal_named(name, number, f"signal {signal}")
        address = _ADDRESS.search(str(exception.get("subtype", "")))
        told.address = int(address.group(1), 16) if address is not None else None
        segment.add_signal(told)
    said = report.get("asi")  # application-specific information: what libraries said last
    for lines in said.values() if isinstance(said, dict) else ():
        for line in lines if isinstance(lines, list) else ():
            message = messages.message_of(line) if isinstance(line, str) else None
            if message is not None:
                segment.add_message(message)
            elif isinstance(line, str):
                segment.note(line)


def _frame(level: int, item: Any, images: Any) -> Optional[Frame]:
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
