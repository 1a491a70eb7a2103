"""Frames and headings of WinDbg (cdb, ntsd, kd) and of Wine's winedbg."""

from __future__ import annotations

import re
from typing import Optional

from qemu_gdb.capture.dialects import gdb
from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

# "04 00000012`e4fff3f0 00007ff6`12345678 qemu_system_x86_64!main_loop_wait+0x1f2 [C:\q\util\main-loop.c @ 570]"
_WINDBG = Pattern(
    r"(?:(?P<level>[0-9a-fA-F]{2,4})\s+)?(?:\(Inline(?: Function)?\)\s+)?"
    r"(?:(?:[0-9a-fA-F]{8}`?[0-9a-fA-F]{0,8}|-{8}`?-{0,8})\s+){1,2}(?:(?::\s+)?(?:[0-9a-fA-F]{8}`?[0-9a-fA-F]{0,8}\s+){"
    r"2,4}:?\s*)?"
    r"(?P<symbol>\S+!.+|0x[0-9a-fA-F`]+|\S+\+0x[0-9a-fA-F]+)\s*$"
)
_SHORT = Pattern(r"(?:(?P<level>[0-9a-fA-F]{2,4})\s+)(?P<symbol>[\w.-]+!\S.*)$")
_SYMBOL = Pattern(
    r"(?P<module>[^!\s]+)!(?P<function>[^\[]+?)(?:\+0x[0-9a-fA-F]+)?(?:\s+\[(?P<file>.+?)\s+@\s+(?P<line>\d+)\])?\s*$"
)
# Visual Studio: "qemu.exe!f(int x) Line 29  C"; WinDbg's kc: "qemu!f+0x12"
_BARE = Pattern(
    r"(?:>\s*)?(?P<module>[\w.-]+)!(?P<function>[A-Za-z_~][\w:~<>@$]*)(?:\+0x[0-9a-fA-F]+|\([^\n]*?\))?"
    r"(?:\s+\[(?P<file>.+?)\s+@\s+(?P<at>\d+)\])?(?:\s+Line (?P<line>\d+))?(?:\s+(?:C|C\+\+|Unknown))?\s*$"
)
WINDBG_HEADER = Pattern(r"\s*(?:#\s+)?(?:Child-SP|ChildEBP)\s+RetAddr|STACK_TEXT:")
WINDBG_PROGRAM = Pattern(r"PROCESS_NAME:\s+(?P<program>\S+)$")
WINDBG_THREAD = Pattern(
    r"(?P<current>[.#]?)\s*(?P<number>\d{1,6})\s+Id:\s+[0-9a-fA-F]+\.(?P<tid>[0-9a-fA-F]+)\s+Suspend:\s*\S+\s+"
    r"Teb:\s*\S+\s*\w*\s*(?:\"(?P<name>[^\"]*)\")?"
)
# "=>0 0x7b83ba1e SwitchToFiber+0x1e() in kernel32 (0x04dde198)"
_WINE = Pattern(r"(?:=>)?\s*(?P<level>\d{1,6})\s+0x(?P<pc>[0-9a-fA-F]{6,16})\s+(?P<rest>\S.*)$")
_WINE_REST = Pattern(r"(?P<function>[^\s(+]+)\+0x[0-9a-fA-F]+\s*(?=\()")
_WINE_TAIL = Pattern(
    r"\s*(?:\[(?P<file>[^\]]+?)(?::(?P<line>\d+))?\]\s*)?(?:in (?P<module>\S+)\s*)?(?:\((?:\+?0x[0-9a-fA-F]+)\)\s*)*$"
)
WINE_THREAD = Pattern(
    r"Backtracing for thread (?P<tid>[0-9a-fA-F]+) in process (?P<pid>[0-9a-fA-F]+)(?: \((?P<program>.*)\))?"
)


def windbg(line: str, level: int) -> Optional[Frame]:
    """One line of WinDbg's ``k``, ``kn``, ``kb`` and the like, else None; ``level`` where the line has no number."""
    match = _WINDBG.match(line) or _SHORT.match(line)
    if match is None:
        return None
    if match.group("level"):
        level = int(match.group("level"), 16)
    frame = Frame(level)  # without pc: the address that WinDbg prints is where this frame returns to
    symbol = _SYMBOL.match(match.group("symbol"))
    if symbol is None:
        text = match.group("symbol")
        if not text.startswith("0x"):
            frame.library = text.split("+")[0]
        return frame
    frame.function = symbol.group("function").strip()
    frame.library = symbol.group("module")
    if symbol.group("file"):
        frame.file = symbol.group("file")
        frame.line = int(symbol.group("line")[:9])
    if "(Inline" in line:
        frame.kind = "inline"
    return frame


def bare(line: str, level: int) -> Optional[Frame]:
    """``qemu.exe!f(int x) Line 29 C`` and ``qemu!f+0x12``, else None."""
    match = _BARE.match(line)
    if match is None:
        return None
    frame = Frame(level, function=match.group("function"), library=match.group("module"), file=match.group("file"))
    number = match.group("line") or match.group("at")
    if number:
        frame.line = int(number[:9])
    return frame


def winedbg(line: str) -> Optional[Frame]:
    """One line of winedbg's ``bt``, else None."""
    match = _WINE.match(line)
    if match is None:
        return None
    rest = match.group("rest")
    frame = Frame(int(match.group("level")), pc=int(match.group("pc"), 16))
    name = _WINE_REST.match(rest)
    if name is None:
        bare = re.match(r"(?:in )?(?P<module>[\w.-]+) \(\+0x[0-9a-fA-F]+\)", rest)
        if bare is None:
            return None
        frame.library = bare.group("module")
        return frame
    close = gdb.close_of(rest, name.end())
    if close < 0:
        frame.function = name.group("function")
        frame.args = gdb.arguments(rest[name.end() + 1 :])
        return frame
    tail = _WINE_TAIL.match(rest[close + 1 :])
    if tail is None:
        return None
    frame.function = name.group("function")
    frame.args = gdb.arguments(rest[name.end() + 1 : close])
    frame.library = tail.group("module")
    if tail.group("file"):
        frame.file = tail.group("file")
        if tail.group("line"):
            frame.line = int(tail.group("line")[:9])
    return frame
