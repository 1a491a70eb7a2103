"""The access that failed, by what a debugger's session printed: the instruction, and the register with the pointer."""

from __future__ import annotations

import re
from typing import Optional

from ..knowledge import pointers
from ..model import Frame, Snapshot
from ..pattern import Pattern
from ..record import record
from . import printed

_MASK = (1 << 64) - 1
# x86 as AT&T's and Intel's assemblers write it, Arm: "0x208(%rdi)", "-8(%rax,%rcx,4)", "[rdi+0x208]", "[x19, #1848]"
_ATT = Pattern(r"(?P<offset>-?(?:0x[0-9a-f]{1,16}|\d{1,9}))?\(%(?P<base>\w{2,4})(?P<index>,%\w+(?:,\d)?)?\)")
_INTEL = Pattern(r"\[(?P<base>r\w{1,3})(?P<index>[+]\w+\*\d)?(?P<offset>[+-]0x[0-9a-f]{1,16})?\]")
_ARM = Pattern(r"\[(?P<base>x\d{1,2})(?P<index>, [xw]\d{1,2}[^\]]{0,20})?(?:, #(?P<offset>-?(?:0x[0-9a-f]+|\d+)))?\]")
_NO_ACCESS = ("lea", "nop")  # name an address, and do not go there


@record
class Access:
    """An instruction and the pointer it used."""

    instruction: str
    register: str
    base: int  # what the register holds
    offset: int  # that the instruction adds
    indexed: bool  # a second register is added, too

    @property
    def address(self) -> Optional[int]:
        """What was accessed, None where another register has a part in it."""
        return None if self.indexed else (self.base + self.offset) & _MASK

    @property
    def odd(self) -> str:
        """Why the register's value is no pointer, "" where it can be one."""
        return pointers.why_bad(self.base, self.register.startswith("x"))


def access_of(snapshot: Snapshot, frame: Optional[Frame]) -> Optional[Access]:
    """The access of the innermost frame, where the text has both its instruction and the register's value."""
    text = instruction_of(snapshot, frame)
    found = _operand(text)
    value = printed.register(snapshot, found.group("base")) if found is not None else None
    if found is None or value is None:
        return None
    return Access(text, found.group("base"), value & _MASK, _number(found.group("offset") or "0"),
                  bool(found.group("index")))  # fmt: skip


def instruction_of(snapshot: Snapshot, frame: Optional[Frame]) -> str:
    """The instruction that the innermost frame stands at, "" where the text does not show it."""
    if frame is None or frame.level != 0:
        return ""
    shown = printed.instruction_at(snapshot, frame.pc) or printed.instruction_in(snapshot, frame.name)
    return " ".join(shown.text.split()) if shown is not None else ""


def pointer_register(text: str) -> str:
    """The register that an instruction takes for a pointer, "" where it has no operand in memory."""
    found = _operand(text)
    return found.group("base") if found is not None else ""


def _number(text: str) -> int:
    return int(text, 16 if "x" in text else 10)


def _operand(text: str) -> Optional[re.Match[str]]:
    several = text.count("(%") > 1 or text.count("[") > 1
    if not text or several or text.startswith(_NO_ACCESS) or "fs:" in text or "gs:" in text:
        return None
    return _ATT.search(text) or _ARM.search(text) or _INTEL.search(text)
