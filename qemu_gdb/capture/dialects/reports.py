"""Frames of crash reporters: systemd-coredump, eu-stack, abrt, glibc's and others' own backtraces."""

from __future__ import annotations

from typing import Optional

from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

# coredumpctl: "0x00007f9397ea365c __pthread_kill_implementation (libc.so.6 + 0xa365c)"
_COREDUMP = Pattern(
    r"0x(?P<pc>[0-9a-fA-F]{1,16})\s+(?:in\s+)?(?P<function>\S.*?)\s+"
    r"\((?P<module>[^()=,\"]*?[^()=,\"\s])(?:\s\+\s0x(?P<offset>[0-9a-fA-F]{1,16}))?\)\s*$"
)
# eu-stack: "0x00007f8c5d6bfbf9 __poll" or with "- 1 [/lib/..." and "file:line:col" behind
_EU = Pattern(
    r"0x(?P<pc>[0-9a-fA-F]{8,16})(?:\s+-\s+\d+)?\s+(?:(?P<inline>\[inline\])\s*)?(?P<function>[^\s(][^\s]*(?"
    r":\([^()]*\))?)"
    r"(?:\s+-\s+(?P<lib>\S+))?(?:\s+(?P<file>[^\s:]+):(?P<line>\d{1,8})(?::\d+)?)?\s*$"
)
# glibc: "/lib/libc.so.6(gsignal+0x35)[0x7f15dfe0bad6]", "qemu() [0x492ff3]"
_GLIBC = Pattern(
    r"(?P<module>[^\s()\[\]]+)\s?(?:\((?P<function>[^()+]*)(?:\+0x(?P<offset>[0-9a-fA-F]{1,16}))?\))?\s?\[0x(?P<pc>[0-9a-fA-F]{"
    r"1,16})\]\s*$"
)
# illumos: "----- lwp# 4 / thread# 4 [CPU 0/KVM] -----", " fffffd7fff0e4daa ioctl    (7, 2000ae80, 0) + 12"
LWP_HEADING = Pattern(r"-{3,}\s+lwp# (?P<lwp>\d{1,10})(?: / thread# \d+)?\s*(?:\[(?P<name>[^\]]*)\])?\s*-*$")
_PSTACK = Pattern(r"(?P<pc>[0-9a-fA-F]{8,16}) (?P<function>\S+)\s+\([^()]*\)(?: \+ [0-9a-f]+)?$")


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
    if frame.function is None and match.group("offset"):
        frame.offset = int(match.group("offset"), 16)
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
    if frame.function is None and match.group("offset"):
        frame.offset = int(match.group("offset"), 16)
    return frame


def pstack(level: int, text: str) -> Optional[Frame]:
    """A frame of illumos' and Solaris' pstack, else None."""
    match = _PSTACK.match(text)
    if match is None:
        return None
    function = match.group("function")
    return Frame(level, pc=int(match.group("pc"), 16), function=None if function == "????????" else function)
