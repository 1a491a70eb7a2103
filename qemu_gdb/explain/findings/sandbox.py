"""Which system call a seccomp filter did not allow, and which of -sandbox's options denies it."""

from __future__ import annotations

from typing import Optional, Sequence

from ...knowledge import sandbox
from ...model import Snapshot
from ...pattern import Pattern
from .. import printed

_SYSCALL = Pattern(r"\b_?syscall = (\d{1,5})\b")
_ARCH = Pattern(r"\b_?arch = (\d{1,10})\b")
_X86_64 = 0xC000003E  # AUDIT_ARCH_X86_64, linux/audit.h


def printed_number(snapshot: Snapshot) -> Optional[int]:
    """The number of the system call on x86-64, where somebody printed the signal's details or the register."""
    for expression, value in printed.values(snapshot):
        if "_sigsys" in expression:
            arch = _ARCH.search(value)
            found = _SYSCALL.search(value)
            if found and (arch is None or int(arch.group(1)) == _X86_64):
                return int(found.group(1))
            if expression.endswith("syscall") and value.isdigit():
                return int(value)
        elif expression == "$orig_rax" and value.isdigit():
            return int(value)
    return None


def called_by(names: Sequence[str]) -> str:
    """The system call that the innermost frame makes, by its name; "" where that is none a sandbox denies."""
    return next((name for name in names if sandbox.option_of(name)), "")


def denied_by(call: str) -> str:
    """What of QEMU's own sandbox denies a system call ("mount()"), as a sentence; "" where that is not known."""
    option = sandbox.option_of(call[:-2] if call.endswith("()") else "")
    if option == "on":
        return f"-sandbox on denies {call} whatever else it is told."
    if option == "resourcecontrol=deny":
        return (
            f"-sandbox on,{option} denies {call}: 5.2 ends the process for it, 7.2 and later have it fail with EPERM, "
            "so there a filter of systemd or of a container may be the one."
        )
    return f"-sandbox on,{option} denies {call}." if option else ""
