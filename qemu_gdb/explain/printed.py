"""What a debugger's session printed around the stack: the instruction and the source line it stopped at, and values."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

from ..model import Snapshot
from ..pattern import Pattern

_MOST_LINES = 2000  # of the text around the stacks that are looked at
_MOST_VALUES = 40

# gdb: "=> 0x7fffb40d19f4 <code_gen_buffer+858567>:\tvpandd %ymm16,%ymm1,%ymm1"; lldb: "->  0x10000f2c <+12>: str x8"
_INSTRUCTION = Pattern(r"(?:=>|->)\s+0x([0-9a-fA-F]{1,16})(?: <[^>]{1,200}>)?:\s+(\S.{0,120})")
_SOURCE = Pattern(r"(\d{1,7})\t\s*(.*)")  # gdb: "728\t{"
_ASKED = Pattern(r"\(gdb\) ?(?:p|print|output|inspect|call)(?:/[a-z])? +(\S.{0,120})")
_VALUE = Pattern(r"\$\d+ = (.{1,200})")
# instructions that write to the stack, and do nothing else to memory, on x86 and Arm
_PUSHES = Pattern(
    r"(?:push\w*|call\w*)\s+(?!\*)\S|(?:stp|str|stm\w*)\s.*\[sp\b"
    r"|\w+\s.*,\s*-?(?:0x)?[0-9a-f]*\(%[re]sp\)|\w+\s+(?:\w+ ptr )?\[[re]sp\b"
)


class Instruction(NamedTuple):
    """A machine instruction that the text shows as the next one."""

    pc: int
    text: str

    @property
    def pushes(self) -> bool:
        """Whether it fails only where the stack pointer is bad."""
        return _PUSHES.match(self.text) is not None


def _lines(snapshot: Snapshot) -> List[str]:
    return snapshot.unparsed[:_MOST_LINES]


def instruction_at(snapshot: Snapshot, pc: Optional[int]) -> Optional[Instruction]:
    """The instruction at a program counter, where the text has its line."""
    if pc is None:
        return None
    for line in _lines(snapshot):
        if "=>" in line or "->" in line:
            found = _INSTRUCTION.search(line)
            if found and int(found.group(1), 16) == pc:
                return Instruction(pc, found.group(2).strip())
    return None


def source_line(snapshot: Snapshot, number: Optional[int]) -> Optional[str]:
    """The words of a source line, where the debugger printed it: "{" where a function begins."""
    if number is None:
        return None
    begin = f"{number}\t"
    line = next((x for x in _lines(snapshot) if x.startswith(begin)), None)
    found = _SOURCE.match(line) if line is not None else None
    return found.group(2).strip() if found else None


def values(snapshot: Snapshot) -> List[Tuple[str, str]]:
    """The expressions that somebody had gdb print, with their values, in order."""
    told: List[Tuple[str, str]] = []
    asked = ""
    for line in _lines(snapshot):
        if line.startswith("(gdb)"):
            found = _ASKED.match(line)
            asked = found.group(1).strip() if found else ""
        elif asked and line.startswith("$"):
            value = _VALUE.match(line)
            if value:
                told.append((asked, value.group(1).strip()))
                if len(told) >= _MOST_VALUES:
                    break
            asked = ""
    return told


def null_values(snapshot: Snapshot) -> List[str]:
    """The pointers that somebody had gdb print, and that are NULL."""
    return [name for name, value in values(snapshot) if value.startswith("(") and value.endswith(("*) 0x0", "*)0x0"))]


_CODE = Pattern(r"\bsi_code ?= ?(-?\d{1,9})")
_POINTER = Pattern(r"(?:\(.{0,60}\*\) ?)?(0x[0-9a-fA-F]{1,16})\b")


def signal_code(snapshot: Snapshot) -> Optional[int]:
    """The si_code of the signal, where somebody had the debugger print it."""
    for asked, value in values(snapshot):
        if asked.endswith("si_code") and value.lstrip("-").isdigit():
            return int(value[:10])
    for line in _lines(snapshot):
        found = _CODE.search(line) if "si_code" in line else None
        if found is not None:
            return int(found.group(1))
    return None


def signal_address(snapshot: Snapshot) -> Optional[int]:
    """The si_addr of the signal, where it was printed alone."""
    for asked, value in values(snapshot):
        found = _POINTER.match(value) if asked.endswith("si_addr") else None
        if found is not None:
            return int(found.group(1), 16)
    return None
