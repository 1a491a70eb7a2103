"""Stacks that are no user-space C stack but stand in such reports: kernel traces, Go's dumps."""

from __future__ import annotations

from typing import Optional

from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

# " [<ffffffff8100f06f>] ? kvm_arch_vcpu_ioctl+0x12/0x30 [kvm]", "? do_syscall_64+0x59/0x90", "[<0>] f+0x1/0x2"
_KERNEL = Pattern(
    r"(?:\[<(?P<pc>[0-9a-fA-F]{1,16})>\]\s*)?(?:\{\S+\}\s*)?(?:\?\s+)?"
    r"(?P<function>[A-Za-z_][\w.]*)\+0x[0-9a-fA-F]+/0x[0-9a-fA-F]+(?:\s+\[(?P<module>[\w -]+)\])?\s*$"
)
_KERNEL_BARE = Pattern(r"\[<(?P<pc>[0-9a-fA-F]{8,16})>\]\s*(?:\?\s*)?0x[0-9a-fA-F]+\s*$")
# crash: " #4 [ffffb1a2c3d4fd00] kvm_vcpu_ioctl at ffffffffc0b32345 [kvm]", below 'PID: 40124 TASK: ffff.. COMMAND: "x"'
_CRASH_TOOL = Pattern(
    r"#(?P<level>\d{1,5})\s+\[[0-9a-f]{8,16}\] (?P<function>\S+) at (?P<pc>[0-9a-f]{8,16})(?: \[(?P<module>\w+)\])?$"
)
CRASH_TASK = Pattern(r"PID: (?P<pid>\d{1,10})\s+TASK: [0-9a-f]{8,16}\s.*COMMAND: \"(?P<command>[^\"]*)\"")
# "/proc/21733/task/21741 CPU 0/KVM", "==> /proc/21733/task/21741/stack <==": what a loop over a process's tasks prints
PROC_TASK = Pattern(
    r"(?:==> )?/proc/(?P<pid>\d{1,10})(?:/task/(?P<tid>\d{1,10}))?(?:/stack)?/?:?(?: <==|\s+(?P<name>\S.{0,30}))?$"
)
KERNEL_TRACE = Pattern(r"(?:Call [Tt]race|Backtrace|Stack traceback):")
KERNEL_SIGN = Pattern(
    r"BUG: |Oops: |kernel BUG at|Kernel panic|general protection fault|watchdog: BUG|rcu: INFO"
    r"|INFO: task .{1,80} blocked|"
    r"WARNING: CPU: \d+ PID"
)
KERNEL_TASK = Pattern(r"\b[Cc]omm: (?P<comm>\S+)|\bProcess (?P<process>\S+) \(pid: (?P<pid>\d+)")
GOROUTINE = Pattern(r"goroutine (?P<id>\d{1,9}) (?:gp=\S+ )?(?:m=\S+ )?(?:mp=\S+ )?\[(?P<state>[^\]]*)\]:")
_GO_CALL = Pattern(r"(?P<function>(?:created by )?[\w./*()$\[\]{}-]+?(?:\.[\w.*()$-]+)?)\((?P<args>[^()]*)\)\s*$")
_GO_PLACE = Pattern(r"(?P<file>\S.*\.(?:go|s|c)):(?P<line>\d{1,8})(?:\s+\+0x[0-9a-fA-F]+)?(?:\s.*)?$")


def kernel(line: str, level: int) -> Optional[Frame]:
    """A line of a Linux kernel trace, else None."""
    match = _KERNEL.match(line)
    if match is not None:
        frame = Frame(level, function=match.group("function"), library=match.group("module") or "vmlinux")
        if match.group("pc"):
            frame.pc = int(match.group("pc"), 16)
        return frame
    match = _KERNEL_BARE.match(line)
    if match is None:
        return None
    return Frame(level, pc=int(match.group("pc"), 16), library="vmlinux")


def crash_tool(line: str) -> Optional[Frame]:
    """A frame of the crash utility's ``bt``, else None."""
    match = _CRASH_TOOL.match(line)
    if match is None:
        return None
    frame = Frame(int(match.group("level")), function=match.group("function"), pc=int(match.group("pc"), 16))
    frame.library = match.group("module") or "vmlinux"
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
