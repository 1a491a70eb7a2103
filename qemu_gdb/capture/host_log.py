"""Lines in which others tell of an end: the kernel's fault line, OOM killer and audit, a test, QEMU at a SIGTERM."""

from __future__ import annotations

from typing import Optional

from qemu_gdb.linux import KERNEL_FAULT
from qemu_gdb.model import Message
from qemu_gdb.pattern import Pattern

# mm/oom_kill.c of Linux
_OOM = Pattern(
    r"(?:[Oo]ut of memory: Kill(?:ed)? process (?P<pid>\d{1,10}) \((?P<comm>[^)]{1,64})\)"
    r"|oom-kill:.{0,2000}?\btask=(?P<task>[^,]{1,64}),pid=(?P<other>\d{1,10}))"
)
# kernel/auditsc.c of Linux, audit_seccomp(); `ausearch -i` writes names for the numbers
_AUDIT = Pattern(r"\btype=(?:1326|SECCOMP)\b")
_AUDIT_SIGNAL = Pattern(r"\bsig=(?:31|SIGSYS)\b")
_AUDIT_EXE = Pattern(r"\bexe=\"?(?P<exe>[^\s\"]{1,200})")
# qtest_check_status(), kill_qemu() before 8.1, tests/qtest/libqtest.c
_DIED = Pattern(r"kill_qemu\(\) (?:detected QEMU death|tried to terminate QEMU process but)")
# qemu_kill_report(), system/runstate.c (vl.c before 5.0)
_TOLD_TO_END = Pattern(r"(?P<program>[\w.+-]*(?:qemu|kvm)[\w.+-]*): terminating on signal \d+(?: from pid \d+)?.*")


def is_seccomp(line: str) -> bool:
    """Whether a line is the audit record of a process that a seccomp filter ended."""
    return "syscall=" in line and _AUDIT.search(line) is not None and _AUDIT_SIGNAL.search(line) is not None


def message_of(line: str) -> Optional[Message]:
    """The message that a host's line is, None where it is none; its ``function`` is the program that it names."""
    fault = KERNEL_FAULT.search(line) if " ip" in line else None
    if fault is not None:
        return Message("kernel-fault", line.strip(), function=fault.group("object") or fault.group("comm"))
    oom = _OOM.search(line) if "oom" in line or "ut of memory" in line else None
    if oom is not None:
        return Message("oom-kill", line.strip(), function=oom.group("comm") or oom.group("task"))
    if is_seccomp(line):
        exe = _AUDIT_EXE.search(line)
        program = exe.group("exe").rsplit("/", 1)[-1] if exe is not None else None
        return Message("seccomp", line.strip(), function=program)
    if "kill_qemu()" in line and _DIED.search(line):
        return Message("qemu-died", line.strip())
    if "terminating on signal" in line:
        ended = _TOLD_TO_END.search(line)
        if ended is not None:
            return Message("told-to-end", line.strip(), function=ended.group("program"))
    return None
