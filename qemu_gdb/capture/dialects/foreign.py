"""Stacks that are no user-space C stack but stand in such reports: kernel traces, Go's dumps."""

from __future__ import annotations

from typing import Optional

from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

# " [<ffffffff8100f06f>] ? kvm_arch_vcpu_ioctl+0x12/0x30 [kvm]", "? do_syscall_64+0x59/0x90", "[<0>] f+0x1/0x2"
_KERNEL = Pattern(
    r"(?:\[<(?P<pc>[0-9a-fA-F]{1,16})>\]\s*)?(?:\{\S+\}\s*)?(?P<guess>\?\s+)?"
    r"(?P<function>[A-Za-z_][\w.]*)\+0x[0-9a-fA-F]+/0x[0-9a-fA-F]+(?:\s+\[(?P<module>[\w -]+)\])?\s*$"
)
_KERNEL_BARE = Pattern(r"\[<(?P<pc>[0-9a-fA-F]{8,16})>\]\s*(?P<guess>\?\s*)?0x[0-9a-fA-F]+\s*$")
# crash: " #4 [ffffb1a2c3d4fd00] kvm_vcpu_ioctl at ffffffffc0b32345 [kvm]", below 'PID: 40124 TASK: ffff.. COMMAND: "x"'
_CRASH_TOOL = Pattern(
    r"#(?P<level>\d{1,5})\s+\[[0-9a-f]{8,16}\] (?P<function>\S+) at (?P<pc>[0-9a-f]{8,16})(?: \[(?P<module>\w+)\])?$"
)
CRASH_TASK = Pattern(r"PID: (?P<pid>\d{1,10})\s+TASK: [0-9a-f]{8,16}\s.*COMMAND: \"(?P<command>[^\"]*)\"")
# "/proc/21733/task/21741 CPU 0/KVM", "==> /proc/21733/task/21741/stack <==": what a loop over a process's tasks prints
PROC_TASK = Pattern(
    r"(?:=+>? )?/proc/(?P<pid>\d{1,10})(?:/task/(?P<tid>\d{1,10}))?(?:/stack)?/?:?(?: <?=+|\s+(?P<name>\S.{0,30}))?$"
)
# "$ sudo cat /proc/8411/task/8431/stack"
PROC_STACK = Pattern(r"\S*/proc/(?P<pid>\d{1,10})(?:/task/(?P<tid>\d{1,10}))?/stack\b")
# kernel/sched/core.c sched_show_task of Linux, 5.10 and later, and before
TASK = Pattern(
    r"task:(?P<name>\S.{0,20}?)\s+state:(?P<state>\S).*?\bpid:\s*(?P<pid>\d{1,10})\b(?:\s+tgid:\s*(?P<tgid>\d{1,10}))?"
    r"(?:.*?\bppid:\s*(?P<ppid>\d{1,10}))?"
)
OLD_TASK = Pattern(
    r"(?P<name>\S.{0,14}?)\s+(?P<state>[A-Z])\s+(?:running task\s+|[0-9a-f]{8,16}\s+)?\d{1,10}\s+(?P<pid>\d{1,10})"
    r"\s+(?P<ppid>\d{1,10})\s+0x[0-9a-f]{8,16}$"
)
# kernel/hung_task.c: 3.10 to 6.x
HUNG_TASK = Pattern(r"INFO: task (?P<name>\S.{0,20}?):(?P<pid>\d{1,10}) blocked ")
# where an oops happened: arch/x86/kernel/dumpstack.c (a user's code has the selector 0033), arch/arm64/kernel/process.c
STOPPED_AT = Pattern(
    r"(?:E?IP: (?:0010|0060):|pc : )(?:\[<[0-9a-f]{8,16}>\]\s*)*(?P<frame>[A-Za-z_][\w.]*\+0x[0-9a-f]+/0x[0-9a-f]+"
    r"(?: \[[\w -]+\])?)"
)
# the machine of QEMU's that a kernel runs on: SMBIOS' and the device tree's words for it
QEMU_HARDWARE = Pattern(r"Hardware name: (?:QEMU\b|Red Hat (?:KVM|Enterprise Linux)\b|linux,dummy-virt|Bochs\b)")
KERNEL_TRACE = Pattern(r"(?:Call [Tt]race|Backtrace|Stack traceback):")
KERNEL_SIGN = Pattern(
    r"BUG: |Oops: |kernel BUG at|Kernel panic|general protection fault|watchdog: BUG|rcu: INFO"
    r"|INFO: task .{1,80} blocked|"
    r"WARNING: CPU: \d+ PID"
)
KERNEL_TASK = Pattern(
    r"(?:\bPID: (?P<of>\d{1,10}) )?\b[Cc]omm: (?P<comm>\S.{0,14}?)(?= (?:Not t|T)ainted|$)"
    r"|\bProcess (?P<process>\S+) \(pid: (?P<pid>\d+)")
GOROUTINE = Pattern(r"goroutine (?P<id>\d{1,9}) (?:gp=\S+ )?(?:m=\S+ )?(?:mp=\S+ )?\[(?P<state>[^\]]*)\]:")
_GO_CALL = Pattern(r"(?P<function>(?:created by )?[\w./*()$\[\]{}-]+?(?:\.[\w.*()$-]+)?)\((?P<args>[^()]*)\)\s*$")
_GO_PLACE = Pattern(r"(?P<file>\S.*\.(?:go|s|c)):(?P<line>\d{1,8})(?:\s+\+0x[0-9a-fA-F]+)?(?:\s.*)?$")


# The kind, while a text is read, of lines that a trace marks with "?": an address found in the stack's memory, which
# need not be a caller
GUESS = "kernel guess"


def kernel(line: str, level: int) -> Optional[Frame]:
    """A line of a Linux kernel trace, else None."""
    match = _KERNEL.match(line)
    if match is not None:
        frame = Frame(
            level, function=match.group("function"), library=match.group("module") or "vmlinux", kind="kernel"
        )
        if match.group("guess"):
            frame.kind = GUESS
        if match.group("pc"):
            frame.pc = int(match.group("pc"), 16)
        return frame
    match = _KERNEL_BARE.match(line)
    if match is None:
        return None
    kind = GUESS if match.group("guess") else "kernel"
    return Frame(level, pc=int(match.group("pc"), 16), library="vmlinux", kind=kind)


def crash_tool(line: str) -> Optional[Frame]:
    """A frame of the crash utility's ``bt``, else None."""
    match = _CRASH_TOOL.match(line)
    if match is None:
        return None
    frame = Frame(int(match.group("level")), function=match.group("function"), pc=int(match.group("pc"), 16))
    frame.library = match.group("module") or "vmlinux"
    frame.kind = "kernel"
    return frame


def go_call(line: str, level: int) -> Optional[Frame]:
    """``runtime.gopark(0x8a8b20, ...)`` or ``created by main.init``, else None."""
    if line.startswith("created by "):
        return Frame(level, function=line[11:].split(" in goroutine")[0].strip())
    match = _GO_CALL.match(line)
    if match is None or "." not in match.group("function"):
        return None
    return Frame(level, function=match.group("function"))


def go_place(line: str, frame: Frame) -> bool:
    """Fill the file and line of a Go frame from the line below it."""
    match = _GO_PLACE.match(line)
    if match is None:
        return False
    frame.file = match.group("file")
    frame.line = int(match.group("line"))
    return True
