"""A fault that none of the threads shown can have made: those to be blamed wait in the kernel."""

from __future__ import annotations

from typing import Optional

from ...knowledge.waits import kind_of_wait
from ...model import Evidence, Signal
from ..blocked import blocked
from ..context import Context, Subject
from ..owners import code_of
from ..stack import Stack
from . import common
from .cause import Cause
from .common import evidence, oneline
from .links import complete, is_call

# Faults of an instruction. Not SIGBUS: of a bad page the kernel tells a thread that waits, too (a vCPU in KVM_RUN).
_KINDS = ("crash.invalid-access", "crash.arithmetic", "crash.illegal-instruction")
_IN_USER_SPACE = ("pthread_", "qemu_", "g_", "sem_", "std::")  # waits whose own code may touch memory that is gone


def made_elsewhere(context: Context, subject: Subject, signal: Signal, kind: str, name: str) -> Optional[Cause]:
    """What is to say where the thread that a fault would be of waits in a system call, which gives EFAULT instead."""
    if kind not in _KINDS or not in_the_kernel(subject.stack):
        return None
    where = subject.stack.names[0]
    headline = f"{name}, but {common.the(subject)} waits in the kernel ({where})"
    cause = Cause(subject, "crash.signal", headline, "elsewhere", "likely", None)
    if signal.code is not None and signal.code in (0, -1):
        sender = f" by process {signal.sender_pid}" if signal.sender_pid else ""
        cause.headline = f"{name} was sent from outside{sender}"
    whole = context.snapshot.source.kind != "text" or complete(context)
    cause.sentences.append(
        f"A thread that waits in {where} executes nothing that could fault: a bad pointer there makes the call fail "
        "with EFAULT. "
        + ("No thread is at such a place: somebody sent the signal (kill), or it is of another process or time than "
           "these stacks." if whole else
           "The thread that took the signal is not among those shown, or the signal was sent (kill), or it is of "
           "another process than these stacks.")
    )
    cause.proof.append(Evidence(text=oneline(signal.text) or name, thread=subject.number))
    cause.proof.append(evidence(subject, 0, "waits in the kernel"))
    cause.steps.append("in the core: p $_siginfo (si_code 0: sent by si_pid), and thread: which one took the signal")
    return cause


def in_the_kernel(stack: Stack) -> bool:
    """Whether the innermost frame is a system call that the thread waits in, and no wait in libc's or QEMU's code."""
    if not stack.frames or stack.level(0) != 0 or any(f.kind == "signal" for f in stack.frames[:24]):
        return False
    name = stack.names[0]
    calls = is_call(name) or kind_of_wait(name) not in ("", "coroutine") and code_of(stack.frames[0]).owner == "libc"
    return calls and bool(blocked(stack).kind) and not name.lstrip("_").startswith(_IN_USER_SPACE)
