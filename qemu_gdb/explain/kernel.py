"""Stacks of the host's kernel: which system call a task is in, and where in the kernel it stands.

Names are Linux's (arch/x86/entry/common.c, arch/arm64/kernel/syscall.c, include/linux/syscalls.h; 3.10 to 6.x).
"""

from __future__ import annotations

from typing import Optional, Sequence

from ..knowledge.match import Names
from ..pattern import Pattern
from .context import Subject
from .owners import code_of
from .stack import Stack

# Where the kernel is entered: what stands further in is the kernel's, whatever its name
ENTRIES = Names(
    "entry_SYSCALL_*",
    "do_syscall_64",
    "__x64_sys_*",
    "ret_from_fork*",
    "el0_svc*",
    "el0t_64_sync*",
    "system_call_fastpath",
    "sys_ioctl",
    "asm_exc_*",
    "kthread",
    "invoke_syscall*",
    "system_call_common",
)
_CALL = Pattern(r"(?:__(?:x64|arm64|s390x?|se|do)_)?(?:compat_)?sys_(\w+)$|ksys_(\w+)$|SyS_(\w+)$")
_SCHEDULER = Names("__schedule", "schedule*", "io_schedule*", "__switch_to*", "context_switch", "preempt_schedule*")
_WAITS = Pattern(r"sched|wait|sleep|poll|read_events|down_|mutex_lock")


def only_kernel(subject: Subject) -> bool:
    """Whether a stack is the kernel's alone; perf shows QEMU's frames outside the kernel's on one stack."""
    entry = subject.stack.find_outermost(ENTRIES)
    return entry is not None and not any(code_of(f).owner == "qemu" for f in subject.stack.frames[entry + 1 :])


def only_kernels(subjects: Sequence[Subject]) -> bool:
    """Whether all that is shown is of the kernel."""
    return bool(subjects) and all(only_kernel(s) for s in subjects)


def waits(stack: Stack) -> bool:
    """Whether a task sleeps: the scheduler or a function that waits is innermost."""
    return any(_WAITS.search(name) for name in stack.names[:4])


def summary(stack: Stack) -> Optional[str]:
    """ "host kernel, in lseek(): nfs4_file_llseek [nfsv4] … rpc_wait_bit_killable [sunrpc]"; None: no system call."""
    call = None
    for position in range(len(stack) - 1, -1, -1):
        found = _CALL.match(stack.names[position])
        if found is not None:
            call = position, next(g for g in found.groups() if g)
            break
    if call is None:
        return None
    inner = next((p for p in range(call[0]) if stack.names[p] and stack.names[p] not in _SCHEDULER), None)
    if inner is None:
        return f"host kernel, in {call[1]}()"
    outer = call[0] - 1
    way = _frame(stack, inner) if inner == outer else f"{_frame(stack, outer)} … {_frame(stack, inner)}"
    return f"host kernel, in {call[1]}(): {way}"


def _frame(stack: Stack, position: int) -> str:
    module = stack.frames[position].library
    return stack.names[position] + (f" [{module}]" if module and module != "vmlinux" else "")
