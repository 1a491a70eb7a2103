"""Stacks of the host's kernel: which system call a task is in, and where in the kernel it stands.

Names are Linux's (arch/x86/entry/common.c, arch/arm64/kernel/syscall.c, include/linux/syscalls.h; 3.10 to 6.x).
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence

from ..knowledge.host_kernel import KernelPart, part_of
from ..knowledge.match import Names
from ..linux import ENTERED, SYSTEM_CALL
from ..model import Frame
from ..pattern import Pattern
from .context import Subject
from .owners import code_of
from .stack import Stack

KEEPS = "kernel-wait"  # the rule of a state: the kernel keeps a thread whose user stack shows an ordinary moment
# Where the kernel is entered, its own threads among them: what stands further in is the kernel's, whatever its name
ENTRIES = Names(*(f"{name}*" for name in ENTERED), "ret_from_fork*", "kthread", "sys_ioctl")
_SCHEDULER = Names("__schedule", "schedule*", "io_schedule*", "__switch_to*", "context_switch", "preempt_schedule*")
_NEAR = 6  # innermost frames among which the one that waits is
_WAITS = Pattern(  # /proc/PID/stack leaves the scheduler's own functions out: the last two sleep there
    r"sched|wait|sleep|poll|read_events|down_|mutex_lock|rwsem|_lock_page|folio_lock|flush|block$|synchronize"
    r"|handle_userfault|blk_execute_rq$"
)


def is_kernels(stack: Stack) -> bool:
    """Whether each frame is of a kernel's own report."""
    return bool(stack.frames) and all(frame.kind == "kernel" for frame in stack.frames)


def halted(stack: Stack) -> bool:
    """Whether a vCPU's task waits in KVM since its guest CPU is halted."""
    found = kernel_wait(stack.frames)
    return found is not None and found.part.key == "halt"


def only_kernel(subject: Subject) -> bool:
    """Whether a stack is the kernel's alone; perf shows QEMU's frames outside the kernel's on one stack."""
    if is_kernels(subject.stack):
        return True
    entry = subject.stack.find_outermost(ENTRIES)
    return entry is not None and not any(code_of(f).owner == "qemu" for f in subject.stack.frames[entry + 1 :])


def only_kernels(subjects: Sequence[Subject]) -> bool:
    """Whether all that is shown is of the kernel."""
    return bool(subjects) and all(only_kernel(s) for s in subjects)


def waits(stack: Stack) -> bool:
    """Whether a task sleeps: the scheduler or a function that waits is innermost."""
    return _sleeps(stack.names)


def _sleeps(names: Sequence[str]) -> bool:
    return any(_WAITS.search(name) for name in names[:_NEAR])


def summary(stack: Stack) -> Optional[str]:
    """ "host kernel, in lseek(): nfs4_file_llseek [nfsv4] … rpc_wait_bit_killable [sunrpc]"; None: no system call."""
    call = None
    for position in range(len(stack) - 1, -1, -1):
        found = SYSTEM_CALL.match(stack.names[position])
        if found is not None:
            call = position, next(g for g in found.groups() if g)
            break
    if call is None:
        return None
    if halted(stack):
        return "in KVM_RUN: the guest's CPU is halted"
    inner = next((p for p in range(call[0]) if stack.names[p] and stack.names[p] not in _SCHEDULER), None)
    if inner is None:
        return f"host kernel, in {call[1]}()"
    outer = call[0] - 1
    way = _named(stack.frames[inner])
    if inner != outer:
        way = f"{_named(stack.frames[outer])} … {way}"
    return f"host kernel, in {call[1]}(): {way}"


def _named(frame: Frame) -> str:
    module = (frame.library or "vmlinux").strip("[]")
    return frame.name + (f" [{module}]" if module not in _NO_MODULE else "")


_NO_MODULE = ("vmlinux", "kernel.kallsyms")


class KernelWait(NamedTuple):
    """What the kernel's frames of a task tell."""

    part: KernelPart
    way: str  # "nfs_file_fsync waits in rpc_wait_bit_killable [sunrpc]"

    @property
    def text(self) -> str:
        return f"{self.part.says}, {self.way}"


def kernel_wait(frames: Sequence[Frame], sleeps: bool = False) -> Optional[KernelWait]:
    """What a task waits for in the kernel, by its frames there; None where it runs, or they tell nothing known.

    ``sleeps``: it is known to.
    """
    names = [frame.name for frame in frames]
    if not sleeps and not _sleeps(names):
        return None
    rows = [part_of(frame.name, frame.library) if frame.name else None for frame in frames]
    chosen = next((row for row in rows if row is not None and not row.general), None) or next(
        (row for row in rows if row is not None), None)
    if chosen is None:
        return None
    inner = next((p for p, name in enumerate(names) if name and name not in _SCHEDULER), 0)
    outer = max(p for p, row in enumerate(rows) if row is chosen)
    if outer <= inner and inner + 1 < len(frames) and chosen.general:
        outer = inner + 1
    way = f"in {_named(frames[inner])}" if outer <= inner else f"{names[outer]} waits in {_named(frames[inner])}"
    return KernelWait(chosen, way)


def beside(subject: Subject) -> Optional[KernelWait]:
    """What the host's kernel makes a thread wait for, where the input shows its stack there and it tells something."""
    thread = subject.told.thread
    if not thread.kernel or thread.sampled:
        return None
    found = kernel_wait(thread.kernel, thread.unstoppable)
    return found if found is not None and found.part.tells else None
