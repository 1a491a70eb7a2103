"""gdb's machine interface, as front ends log it: stacks, the table of threads, why the process stopped."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

_STRING = r'"(?:[^"\\]|\\.)*"'
_FLAT = rf"(?:[^{{}}\"]|{_STRING})*"  # without a tuple inside
_FRAME = Pattern(rf"frame=\{{(?P<body>{_FLAT}(?:\{{{_FLAT}\}}{_FLAT})*)\}}")
_PAIR = Pattern(rf"([\w-]+)=({_STRING})")
_ARGUMENT = Pattern(rf"\{{name=(?P<name>{_STRING}),value=(?P<value>{_STRING})\}}")
_THREAD = Pattern(rf"\{{id=\"(?P<number>\d{{1,9}})\",target-id=(?P<target>{_STRING})")
_LWP = Pattern(r"LWP (\d{1,10})|Thread \d+\.(\d{1,10})")
_CURRENT = Pattern(r"current-thread-id=\"(\d{1,9})\"")
_STOPPED = Pattern(r"\d{0,9}\*stopped,")
_SIGNAL = Pattern(r"signal-name=\"(\w+)\"")
_STOPPED_THREAD = Pattern(r"\bthread-id=\"(\d{1,9})\"")


def _value(text: str) -> str:
    return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")


def frames(line: str) -> List[Frame]:
    """Every ``frame={level="0",addr="0x1",func="f",args=[...],file="a.c",line="1"}`` of a record."""
    return [_frame(match.group("body")) for match in _FRAME.finditer(line)]


def _frame(body: str) -> Frame:
    arguments = {_value(m.group("name")): _value(m.group("value")) for m in _ARGUMENT.finditer(body)}
    pairs: Dict[str, str] = {name: _value(value) for name, value in _PAIR.findall(_ARGUMENT.sub("", body))}
    frame = Frame(int(pairs["level"]) if pairs.get("level", "").isdigit() else 0)
    name = pairs.get("func")
    frame.function = None if name in (None, "??") else name
    if pairs.get("addr", "").startswith("0x"):
        frame.pc = int(pairs["addr"].split()[0], 16)
    frame.file = pairs.get("fullname") or pairs.get("file")
    if pairs.get("line", "").isdigit():
        frame.line = int(pairs["line"])
    frame.library = pairs.get("from")
    if arguments:
        frame.args = arguments
    return frame


def threads(line: str) -> List[Tuple[int, Optional[int], Optional[str], Optional[Frame]]]:
    """Number, LWP, name and innermost frame of each thread in ``^done,threads=[{id="1",target-id="...",...}]``."""
    found = []
    starts = list(_THREAD.finditer(line))
    for match, after in zip(starts, [m.start() for m in starts[1:]] + [len(line)]):
        part = line[match.end() : after]
        lwp = _LWP.search(match.group("target"))
        names = [_value(value) for key, value in _PAIR.findall(part.split("frame={")[0]) if key == "name"]
        inner = frames(part)
        found.append(
            (
                int(match.group("number")),
                int(lwp.group(1) or lwp.group(2)) if lwp is not None else None,
                names[0] if names else None,
                inner[0] if inner else None,
            )
        )
    return found


def current(line: str) -> Optional[int]:
    """The number of the thread that a table of threads calls the current one."""
    match = _CURRENT.search(line)
    return int(match.group(1)) if match is not None else None


def stopped(line: str) -> Optional[Tuple[Optional[int], Optional[str]]]:
    """The thread and the signal's name of a ``*stopped`` record, None where ``line`` is none."""
    if _STOPPED.match(line) is None:
        return None
    thread, signal = _STOPPED_THREAD.search(line), _SIGNAL.search(line)
    return int(thread.group(1)) if thread is not None else None, signal.group(1) if signal is not None else None
