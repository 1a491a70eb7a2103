"""System calls that a seccomp filter did not allow: which, who asked, and which of -sandbox's options denies it."""

from __future__ import annotations

import os
import re
from typing import Optional, Tuple

from ...knowledge import sandbox, signals
from ...model import Evidence, Finding, Message, Snapshot
from ...pattern import Pattern
from .. import printed
from ..context import Context
from ..owners import code_of
from ..stack import Stack
from . import common
from .cause import Cause
from .common import at, capital, evidence, oneline

_SYSCALL = Pattern(r"\b_?syscall = (\d{1,5})\b")
_ARCH = Pattern(r"\b_?arch = (\d{1,10})\b")
_COMPARE = "compare with the -sandbox options (elevateprivileges, spawn, resourcecontrol, obsolete)"
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


def denied_by(call: str, version: Optional[str] = None) -> str:
    """What of QEMU's own sandbox denies a system call ("mount()"), as a sentence; "" where that is not known."""
    option = sandbox.option_of(call[:-2] if call.endswith("()") else "")
    if option == "on":
        return f"-sandbox on denies {call} whatever else it is told."
    if option == "resourcecontrol=deny":
        # qemu_seccomp_get_action() of 5.2 to 10.2 (3.1 and before, from memory: it kills for every set)
        old = f"-sandbox on,{option} denies {call}, and QEMU before 4.0 ends for it"
        if re.match(r"[23]\.", version or ""):
            return f"{old}."
        return f"{old}; since then the call fails with EPERM, so a filter of systemd or of a container may be the one."
    if call == "clone()":  # 7.2 to 10.2; the rules of 5.2 have no clone
        return f"-sandbox on,{option} denies {call} where it makes a process (fork(), a script), and not for a thread."
    return f"-sandbox on,{option} denies {call}." if option else ""


def _asks(stack: Stack, position: int) -> bool:
    """Whether a frame is the one that asked for a system call, not the C library on its behalf."""
    name = stack.names[position]
    wraps = bool(sandbox.option_of(name)) or name == "clone" or name.startswith(("set", "__set", "syscall"))
    if not name or wraps or name in common.PLUMBING:
        return False
    return "setxid" not in name and code_of(stack.frames[position]).owner != "libc"


def _library(stack: Stack, end: int) -> str:
    """The library whose nameless frame asked for the system call, "" where a function or the C library did."""
    for frame in stack.frames[:end]:
        if code_of(frame).owner == "libc" or not frame.library or (frame.name or "") in common.PLUMBING:
            continue
        return "" if frame.function else os.path.basename(frame.library)
    return ""


def explain(context: Context, cause: Cause, function: str) -> None:
    """Which system call the sandbox forbade, and which code asked for it."""
    subject = cause.subject
    number_ = subject.told.thread.registers.get("orig_rax", printed_number(context.snapshot))
    name = signals.SYSCALLS_X86_64.get(number_, "") if number_ is not None else ""
    call = (
        f"{name}()"
        if name
        else (f"system call {number_}" if number_ is not None and number_ < 1024 else "a system call")
    )
    inner = next(iter(subject.stack.names), "")
    if number_ is None and sandbox.option_of(inner):
        call = f"{inner}()"
    audit = next((m for m in context.snapshot.messages if m.kind == "seccomp"), None)
    if number_ is None and audit is not None:
        call = signals.audited_call(audit.text) or call
        cause.proof.append(Evidence(text=oneline(audit.text)))
    asker = subject
    if "setxid" in function:
        others = [
            s for s in context.live_subjects if any("nptl_setxid" in n for n in s.stack.names[:6]) and s is not subject
        ]
        asker = next((s for s in others if not any("setxid_sighandler" in n for n in s.stack.names)), subject)
    position = next((p for p in range(len(asker.stack)) if _asks(asker.stack, p)), None)
    library = _library(asker.stack, len(asker.stack) if position is None else position)
    where = f" in {asker.stack.names[position]}" if position is not None else ""
    where = f", asked for by {library}" if library else where
    whose, more = _who_forbids(call)
    cause.headline = f"{'A seccomp filter' if more else 'The sandbox'} forbids {call}{where}"
    cause.function = asker.stack.names[position] if position is not None else cause.function
    who_ = "" if asker is subject else f", asked for by thread {asker.number}, which glibc has every thread repeat"
    cause.sentences.append(
        f"{capital(whose)} does not allow {call}{who_}; the kernel ended the process for it (SIGSYS)."
    )
    cause.sentences += [more] if more else []
    if position is not None:
        cause.proof.append(evidence(asker, position, f"asks for {call}"))
        if asker is not subject:
            cause.sentences.append(f"It comes from {at(asker.stack, position)} of thread {asker.number}.")
    if call == "a system call":
        cause.steps.append("p $_siginfo._sifields._sigsys.syscall (or $orig_rax): which system call")
    option = denied_by(call, context.snapshot.version)
    cause.sentences += [option] if option else []
    if not option:
        cause.steps.append(_COMPARE)
    elif "=deny" in option and not more:
        name = sandbox.option_of(call[:-2]).partition("=")[0]
        cause.steps.append(f"does it live with -sandbox on,{name}=allow (libvirt: seccomp_sandbox = 0 in qemu.conf)? "
                           f"Then whose code is it that needs {call}, and does a newer one do without?")


def finding(message: Message) -> Optional[Finding]:
    """The finding where only the kernel's audit record is known."""
    call = signals.audited_call(message.text)
    if not call:
        return None
    whose, more = _who_forbids(call)
    option = denied_by(call)
    told = [f"{capital(whose)} does not allow {call}; the kernel ended the process for it (SIGSYS). The audit record "
            "is all there is of it.", more, option]
    return Finding("crash.seccomp", f"{'A seccomp filter' if more else 'The sandbox'} forbids {call}", "certain",
                   " ".join(sentence for sentence in told if sentence), rule="seccomp",
                   next_steps=[*([] if option else [_COMPARE]),
                               "`coredumpctl gdb PID` and `bt`: which code asked for it"])  # fmt: skip


def _who_forbids(call: str) -> Tuple[str, str]:
    """Who does not allow a system call, and what else is known of it, as a sentence.

    softmmu/qemu-seccomp.c (system/ since 8.2): 5.2 has no rule for clone3(), 7.2 and 10.x have it fail with ENOSYS.
    """
    if call == "clone3()":
        return "a seccomp filter", (
            "glibc 2.34 and later begin a thread by it. QEMU's own sandbox does not kill for it in 5.2, 7.2 and 10.x "
            "(with spawn=deny of the later two it fails with ENOSYS, and glibc falls back to clone()): is it a filter "
            "of systemd (SystemCallFilter=) or of a container?")
    return "QEMU's sandbox (-sandbox)", ""
