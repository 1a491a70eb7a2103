"""What a debugger's session printed around the stack: the instruction and the source line it stopped at, and values."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional, Sequence, Tuple

from ..model import Snapshot
from ..pattern import Pattern
from .stack import number, string

_MOST_LINES = 2000  # of the text around the stacks that are looked at
_MOST_VALUES = 40

# gdb: "=> 0x7fffb40d19f4 <code_gen_buffer+858567>:\tvpandd %ymm16,%ymm1,%ymm1"; lldb: "->  0x10000f2c <+12>: str x8"
_INSTRUCTION = Pattern(r"(?:=>|->)\s+0x([0-9a-fA-F]{1,16})(?: <[^>]{1,200}>)?:\s+(\S.{0,120})")
_REGISTER = Pattern(r"([a-z]\w{1,7})\s+0x([0-9a-fA-F]{1,16})(?:\s+\S.{0,200})?$")  # "rdi   0x0   0"
_SOURCE = Pattern(r"(\d{1,7})\t\s*(.*)")  # gdb: "728\t{"
_ASKED = Pattern(r"\(gdb\) ?(?:p|print|output|inspect|call)(?:/[a-z])? +(\S.{0,120})")
_VALUE = Pattern(r"\$\d+ = (.{1,900})")
_FIELD = Pattern(r'\b(msg|src|func|line) = ((?:0x[0-9a-f]+ )?(?:<[^>]{1,80}> )?"(?:[^"\\]|\\.){0,400}"|\d+)')
# instructions that write to the stack, and do nothing else to memory, on x86 and Arm
_PUSHES = Pattern(
    r"(?:push\w*|call\w*)\s+(?!\*)\S|(?:stp|str|stm\w*)\s.*\[sp\b"
    r"|\w+\s.*,\s*-?(?:0x)?[0-9a-f]*\(%[re]sp\)|\w+\s+(?:\w+ ptr )?\[[re]sp\b"
)
_NULL_MEMBER = Pattern(r"[{ ](\w{1,60}) = 0x0(?=[,}\s]|$)")
_CODE = Pattern(r"\bsi_code ?= ?(-?[0-9]{1,9})")


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


def instruction_in(snapshot: Snapshot, function: str) -> Optional[Instruction]:
    """The only next instruction that the text shows, where it is one of a function."""
    if not function:
        return None
    found = [m for m in (_INSTRUCTION.search(x) for x in _lines(snapshot) if "=>" in x and f"<{function}+" in x) if m]
    return Instruction(int(found[0].group(1), 16), found[0].group(2).strip()) if len(found) == 1 else None


def register(snapshot: Snapshot, name: str) -> Optional[int]:
    """A register's value by `info registers`, or by `p/x $rdi`; None where the text has none, or several."""
    found = set()
    for line in _lines(snapshot):
        if line.startswith(name):
            row = _REGISTER.match(line)
            if row is not None and row.group(1) == name:
                found.add(int(row.group(2), 16))
    for asked, value in values(snapshot):
        shown = number(value) if asked == f"${name}" else None
        if shown is not None:
            found.add(shown)
    return found.pop() if len(found) == 1 else None


def source_line(snapshot: Snapshot, line_number: Optional[int]) -> Optional[str]:
    """The words of a source line, where the debugger printed it: "{" where a function begins."""
    if line_number is None:
        return None
    begin = f"{line_number}\t"
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


class Error(NamedTuple):
    """An Error of QEMU's (include/qapi/error.h) whose message was printed, alone or with the place that set it."""

    message: str
    function: str = ""
    file: str = ""
    line: Optional[int] = None


def errors(snapshot: Snapshot) -> List[Error]:
    """The errors that somebody had gdb print (p *err, p **errp, p err->msg), in order."""
    told: List[Error] = []
    for expression, value in values(snapshot):
        if expression.endswith("msg"):
            message = string(value)
            told += [Error(message)] if message else []
            continue
        fields = dict(_FIELD.findall(value))
        message = string(fields.get("msg"))
        if message and "err_class" in value:
            line = fields.get("line", "")
            told.append(Error(message, string(fields.get("func")) or "", string(fields.get("src")) or "",
                              int(line) if line.isdigit() else None))
    return told


def null_values(snapshot: Snapshot) -> List[str]:
    """The pointers that somebody had gdb print, and that are NULL."""
    return [name for name, value in values(snapshot) if _is_null(value)]


def _is_null(value: str) -> bool:
    return value.startswith("(") and value.endswith((") 0x0", ")0x0"))


def null_in(snapshot: Snapshot, line: str) -> str:
    """The printed pointer that is NULL and that a source line looks through, "" without one: "ep->domain".

    Members of a structure that was printed count, too.
    """
    candidates = []
    for asked, value in values(snapshot):
        if value == "0x0" or _is_null(value):
            candidates.append(asked)
        elif value.startswith("{") and asked.startswith("*"):
            inner = asked[1:].strip("() ")
            candidates += [f"{inner}->{found.group(1)}" for found in _NULL_MEMBER.finditer(_flat(value))]
    packed = line.replace(" ", "")
    for name in sorted(set(candidates), key=len, reverse=True):
        bare = name.replace(" ", "")
        if not bare or not (bare[0].isalpha() or bare[0] == "_"):
            continue
        at = packed.find(bare)
        while at >= 0:
            before, after = packed[at - 1 : at], packed[at + len(bare) : at + len(bare) + 2]
            whole = not (before.isalnum() or before in ("_", ".", ">")) or not before
            behind = before == "*" and not (after[:1].isalnum() or after[:1] in ("_", "-", ".", "["))
            if whole and (behind or after.startswith(("->", "["))):
                return name
            at = packed.find(bare, at + 1)
    return ""


def zero_divisor(snapshot: Snapshot, line: str, arguments: Sequence[Tuple[str, str]]) -> str:
    """The divisor of a source line that was printed as 0, or that an argument shows to be; "" without one."""
    zeros = [name for name, value in [*values(snapshot), *arguments] if value == "0"]
    packed = re.sub(r"//.*|/\*.*?(?:\*/|$)", "", line).replace(" ", "")
    for name in zeros:
        bare = re.escape(name.replace(" ", ""))
        if re.search(rf"[/%](?:{bare}(?![\w.(\[]|->)|\({bare}\))", packed):
            return name
    return ""


def _flat(value: str) -> str:
    """A printed structure without the structures inside it."""
    depth, kept = 0, []
    for char in value:
        depth += (char == "{") - (char == "}")
        if depth <= 1:
            kept.append(char)
    return "".join(kept)


def signal_code(snapshot: Snapshot) -> Optional[int]:
    """The si_code of the signal, where somebody had the debugger print it."""
    for asked, value in values(snapshot):
        shown = number(value) if asked.endswith("si_code") else None
        if shown is not None:
            return shown
    for line in _lines(snapshot):
        found = _CODE.search(line) if "si_code" in line else None
        if found is not None:
            return int(found.group(1))
    return None


def signal_address(snapshot: Snapshot) -> Optional[int]:
    """The si_addr of the signal, where it was printed alone."""
    for asked, value in values(snapshot):
        shown = number(value) if asked.endswith("si_addr") else None
        if shown is not None:
            return shown
    return None
