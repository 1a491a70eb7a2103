"""Frames and headings of AddressSanitizer, ThreadSanitizer, UBSan and of valgrind's tools."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

# "0x5593da6704ea in f ../a.c:244:3", "0xfffc3a1678bb  (/lib64/libc.so.6+0x78bb)", "0x55 in f (module+0x1) (BuildId: a)"
_BUILD_ID = Pattern(r"\s*\(BuildId: [^)]{0,80}\)?\s*$")
_MODULE = Pattern(r"\((?P<module>[^()\s][^()]{0,400})\+0x[0-9a-fA-F]+\)\s*$")
_PC = Pattern(r"0x(?P<pc>[0-9a-fA-F]{1,16})\s+(?:in\s+)?")
_PLACE = Pattern(r"\s(?P<file>[^\s:()][^\s:]*|<null>|<unknown module>)(?::(?P<line>\d{1,8}))?(?::\d{1,8})?\s*$")
_TSAN = Pattern(
    r"(?P<function>\S.*?)\s+(?P<file>[^\s:()]+|<null>):?(?P<line>(?<=:)\d{1,8})?(?::\d{1,8})?"
    r"(?:\s+\((?P<module>[^()+]+)\+0x[0-9a-fA-F]+\))?\s*$"
)
# "==169952==    at 0xA47DCD: error_free (error.c:266)"
_VALGRIND = Pattern(
    r"(?:at|by) 0x(?P<pc>[0-9a-fA-F]{1,16}): (?P<function>\S.*?)(?: \((?:in (?P<module>[^()]+)"
    r"|(?P<file>[^()]+?):(?P<line>\d{1,8}))\))?\s*$"
)
VALGRIND_PREFIX = Pattern(r"(?:==|--|\*\*)(\d{1,10})(?:==|--|\*\*)[ \t]?")

VALGRIND_THREAD = Pattern(r"Thread (?P<number>\d{1,9})(?: (?P<name>[^:]{1,32}))?:$")


class Heading(NamedTuple):
    """What the line above a sanitizer's stack says about it."""

    history: bool
    thread: Optional[str]  # "T37", "main"
    name: Optional[str]


_THREAD = Pattern(
    r"\bthread (?P<id>T\d+|#?\d+)(?: \((?!mutexes:)(?P<name>[^()]*)\)| '(?P<quoted>[^']*)')?|\b(?P<main>main) thread\b",
    re.IGNORECASE,
)
_HISTORY = Pattern(
    r"^(?:previously allocated by|freed by|allocated by|Thread T?#?\d+.* (?:was )?created\b|Block was alloc'd|"
    r"Location is (?:heap block|stack of|file descriptor)|Mutex M\d+ .*(?:created|acquired|previously)|"
    r"Address 0x.* (?:free'd|alloc'd)|Uninitialised value was created|Required order was|"
    r"(?:followed by|by) a later acquisition|As if synchronized|.*was stored to memory at|.*was created by|"
    r"Memory was marked as uninitialized|Thread #\d+ was created|Lock at 0x|.*first observed|"
    r"Other segment (?:start|end) )",
    re.IGNORECASE,
)
_PRESENT = Pattern(
    r"^(?:(?:READ|WRITE|ACCESS) of size \d+|(?:Previous )?(?:atomic )?(?:read|write)\b.* (?:of size|access from)|"
    r"(?:Invalid|Use of uninit|Conditional jump|Syscall param|Process terminating|Jump to the invalid|Source and dest|"
    r"Possible data race|Conflicting (?:load|store) by|"
    r"This conflicts with|Direct leak|Indirect leak|Argument '|.*lock order|Cycle in lock|"
    r"Exiting thread still|Mismatched free|Thread #\d+: )|The signal is caused by)",
    re.IGNORECASE,
)


def heading(line: str) -> Optional[Heading]:
    """What ``line`` announces, None where it announces no stack."""
    history = _HISTORY.match(line) is not None
    if not history and not _PRESENT.match(line):
        return None
    created = line.find(" created by ")  # "Thread T4 'CPU 0/TCG' (tid=4250, running) created by main thread at:"
    match = _THREAD.search(line, max(created, 0))
    if match is None:
        return Heading(history, None, None)
    if match.group("main"):
        return Heading(history, "main", None)
    return Heading(history, match.group("id"), match.group("name") or match.group("quoted"))


def numbered(level: int, text: str) -> Optional[Frame]:
    """The frame behind ``#N`` where it is a sanitizer's, else None."""
    body = _BUILD_ID.sub("", text) if "BuildId" in text else text
    module = _MODULE.search(body)
    pc = _PC.match(body)
    if pc is None and module is None:
        # ThreadSanitizer and symbolizers: "f file:line:col"
        match = _TSAN.match(body)
        if match is None or not (match.group("line") or match.group("file") == "<null>") or " at " in body:
            return None
        if "(" in match.group("function") and ")" not in match.group("function"):
            return None
    frame = Frame(level)
    if pc is not None:
        frame.pc = int(pc.group("pc"), 16)
        start = pc.end()
    else:
        start = 0
    rest = body[start : module.start() if module is not None else len(body)]
    if module is not None:
        frame.library = module.group("module").strip()
    place = _PLACE.search(" " + rest)
    if place is not None and (place.group("line") or "/" in place.group("file") or "<" in place.group("file")):
        function = (" " + rest)[: place.start()].strip()
        if not place.group("file").startswith("<"):
            frame.file = place.group("file")
            if place.group("line"):
                frame.line = int(place.group("line"))
    else:
        if module is None:
            return None
        function = rest.strip()
    if function.endswith(" at") or " at " in function or (pc is not None and " in " not in body[:40] and function):
        return None
    if function and function not in ("<null>", "<unknown>", "??"):
        frame.function = function
    return frame


def valgrind(level: int, text: str) -> Optional[Frame]:
    """The frame of ``at 0xA47DCD: error_free (error.c:266)``, the prefix ``==PID==`` already cut off."""
    match = _VALGRIND.match(text)
    if match is None:
        return None
    frame = Frame(level, pc=int(match.group("pc"), 16))
    function = match.group("function")
    if function != "???":
        frame.function = function
    if match.group("module"):
        frame.library = match.group("module")
    elif match.group("file"):
        frame.file = match.group("file")
        frame.line = int(match.group("line"))
    return frame
