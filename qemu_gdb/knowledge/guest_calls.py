"""System calls of emulated programs, by the functions of linux-user and bsd-user that carry them out."""

from __future__ import annotations

import re
from typing import Dict, Optional

# linux-user/syscall.c, ipc in the same file (5.2 to 10.2): do_NAME carries out the system call NAME for these
_SAME = frozenset(
    """accept4 arch_prctl bind brk connect fcntl futex get_thread_area getpeername getsockname getsockopt ioctl ipc
    mmap modify_ldt msgctl msgrcv msgsnd name_to_handle_at open_by_handle_at openat ppoll prctl pselect6 recvfrom
    riscv_hwprobe select semctl semtimedop sendto set_thread_area setsockopt shmctl shmat shmdt sigaltstack signalfd4
    socket socketcall socketpair""".split()
)
# and functions of other names, of linux-user/syscall.c and mmap.c, bsd-user/mmap.c
_OTHERS: Dict[str, str] = {
    "do_execv": "execve", "do_fork": "clone or fork", "do_guest_openat": "openat",
    "do_pipe": "pipe", "do_safe_futex": "futex",
    "do_old_select": "select", "target_mmap": "mmap", "target_munmap": "munmap",
    "target_mprotect": "mprotect", "target_mremap": "mremap", "target_madvise": "madvise", "target_shmat": "shmat",
    "target_shmdt": "shmdt",
}  # fmt: skip
ENTRIES = frozenset(("do_syscall", "do_syscall1", "do_freebsd_syscall", "freebsd_syscall"))
_FAMILIES = ("ioctl", "prctl")  # do_ioctl_dm and the like are parts of one system call


def guest_call(name: str, sends: Optional[int] = None) -> str:
    """The system call that a function carries out, "" where it is none's.

    ``sends``: the argument "send" of do_sendrecvmsg and do_sendrecvmmsg, which serve two system calls each.
    """
    if name in _OTHERS:
        return _OTHERS[name]
    if name.startswith("do_sendrecvm") and sends is not None:
        return ("send" if sends else "recv") + ("mmsg" if name.startswith("do_sendrecvmmsg") else "msg")
    # bsd-user/bsd-*.h, freebsd/os-*.h: one function a system call; freebsd11_ are older versions of the same
    of_bsd = re.match(r"do_(?:bsd|freebsd)_(?:freebsd\d+_)?(\w+)$", name)
    if of_bsd:
        return of_bsd.group(1)
    if name.startswith("safe_") and not name.startswith("safe_syscall"):
        return name[5:]  # include/user/safe-syscall.h: a host's system call that a signal can interrupt
    if not name.startswith("do_"):
        return ""
    rest = name[3:]
    if rest in _SAME:
        return rest
    return next((family for family in _FAMILIES if rest.startswith(family + "_")), "")
