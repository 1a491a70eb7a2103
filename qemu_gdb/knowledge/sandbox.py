"""The system calls that QEMU's sandbox denies, by the option that does: system/qemu-seccomp.c (softmmu/ up to 8.1)."""

from __future__ import annotations

from typing import Dict, Tuple

# Of 5.2, 7.2, 10.0 and 10.2. Only 5.2 denies the two questions of resource control; it lets setns, unshare,
# execveat and clone pass. The others let clone make threads.
_SETS: Tuple[Tuple[str, str], ...] = (
    ("on", "reboot swapon swapoff syslog mount umount umount2 kexec_load afs_syscall ftime getpmsg putpmsg vserver"),
    ("obsolete=deny",
     "readdir _sysctl bdflush create_module get_kernel_syms query_module sgetmask ssetmask sysfs uselib ustat"),
    ("elevateprivileges=deny",
     "setuid setgid setpgid setsid setreuid setregid setresuid setresgid setfsuid setfsgid"),
    ("spawn=deny", "fork vfork clone execve execveat setns unshare"),
    ("resourcecontrol=deny",
     "setpriority sched_setparam sched_getparam sched_setscheduler sched_getscheduler sched_setaffinity"),
)  # fmt: skip
_OPTIONS: Dict[str, str] = {name: option for option, names in _SETS for name in names.split()}


def option_of(call: str) -> str:
    """The option of -sandbox that denies a system call, "on" where all do; "" where none does."""
    return _OPTIONS.get(call, "")
