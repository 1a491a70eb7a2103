"""Signals: which end a process and what they mean for QEMU, which are harmless, which call the sandbox forbade."""

from __future__ import annotations

from typing import Dict, FrozenSet, Optional, Tuple

from ..model import Signal
from ..pattern import Pattern
from .match import Names

# The kind of finding, and what a title calls it.
SIGNALS: Dict[str, Tuple[str, str]] = {
    "SIGSEGV": ("crash.invalid-access", "Segmentation fault"),
    "EXC_BAD_ACCESS": ("crash.invalid-access", "Bad memory access"),
    "SIGBUS": ("crash.bus-error", "Bus error"),
    "SIGILL": ("crash.illegal-instruction", "Illegal instruction"),
    "EXC_BAD_INSTRUCTION": ("crash.illegal-instruction", "Illegal instruction"),
    "SIGFPE": ("crash.arithmetic", "Arithmetic exception"),
    "EXC_ARITHMETIC": ("crash.arithmetic", "Arithmetic exception"),
    "SIGSYS": ("crash.seccomp", "System call forbidden by the sandbox"),
    "SIGABRT": ("crash.abort", "abort()"),
    "EXC_CRASH": ("crash.abort", "abort()"),
    "SIGTRAP": ("crash.signal", "Trap"),
    "SIGQUIT": ("crash.signal", "Core dumped by SIGQUIT"),
    "SIGXCPU": ("crash.signal", "CPU time limit exceeded"),
    "SIGXFSZ": ("crash.signal", "File size limit exceeded"),
    "SIGKILL": ("crash.signal", "Killed"),
    "SIGPIPE": ("crash.signal", "Write to a closed pipe"),
    "SIGSTKFLT": ("crash.signal", "Stack fault"),
    "EXCEPTION_ACCESS_VIOLATION": ("crash.invalid-access", "Access violation"),
    "EXCEPTION_ILLEGAL_INSTRUCTION": ("crash.illegal-instruction", "Illegal instruction"),
    "EXCEPTION_INT_DIVIDE_BY_ZERO": ("crash.arithmetic", "Division by zero"),
    "EXCEPTION_INT_OVERFLOW": ("crash.arithmetic", "Integer overflow"),
    "EXCEPTION_PRIV_INSTRUCTION": ("crash.illegal-instruction", "Privileged instruction"),
    "EXCEPTION_IN_PAGE_ERROR": ("crash.bus-error", "Memory that Windows could not read from its file"),
    "EXCEPTION_BREAKPOINT": ("crash.signal", "Breakpoint instruction"),
    "EXCEPTION_STACK_OVERFLOW": ("crash.stack-overflow", "Stack overflow"),
    "STATUS_HEAP_CORRUPTION": ("crash.heap-corruption", "Windows found its heap corrupted"),
    "STATUS_STACK_BUFFER_OVERRUN": ("crash.abort", "Fast fail: abort(), or a damaged stack,"),
    "STATUS_FATAL_APP_EXIT": ("crash.abort", "abort()"),
}  # fmt: skip

# Those that end a process because of what a thread did, and those that it sends itself to end.
FAULTS: FrozenSet[str] = frozenset(
    {
        "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP", "EXC_BAD_ACCESS", "EXC_BAD_INSTRUCTION",
        "EXC_ARITHMETIC", "EXCEPTION_ACCESS_VIOLATION", "EXCEPTION_ILLEGAL_INSTRUCTION",
        "EXCEPTION_INT_DIVIDE_BY_ZERO", "EXCEPTION_STACK_OVERFLOW", "STATUS_HEAP_CORRUPTION", "SIGSTKFLT", "SIGEMT",
        "EXCEPTION_INT_OVERFLOW", "EXCEPTION_PRIV_INSTRUCTION", "EXCEPTION_IN_PAGE_ERROR", "SIGXFSZ", "SIGXCPU",
    }
)  # fmt: skip
ABORTS: FrozenSet[str] = frozenset(
    {"SIGABRT", "SIGIOT", "EXC_CRASH", "STATUS_STACK_BUFFER_OVERRUN", "STATUS_FATAL_APP_EXIT"}
)

# The numbers of Linux, and SIGBUS of *BSD and macOS.
NUMBERS: Dict[int, str] = {
    4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 10: "SIGBUS", 11: "SIGSEGV", 31: "SIGSYS",
}  # fmt: skip


# by which a process ends that executes a trap instruction, as GLib's g_logv() does after a fatal message
TRAPS = ("SIGTRAP", "SIGILL", "EXC_BREAKPOINT", "EXCEPTION_BREAKPOINT")


def named(signal: Optional[Signal]) -> str:
    """A signal's name, by its number where only that is known; "" where neither tells, or without a signal."""
    return (signal.name or NUMBERS.get(signal.number or 0, "")).upper() if signal is not None else ""


def only_stops(signal: Optional[Signal]) -> bool:
    """Whether a debugger stopped at a signal that its process ignores.

    SIGPIPE: os-posix.c os_setup_early_signal_handling of system emulators and qemu-nbd, 5.2 to 10.2; main() of
    qemu-img, qemu-io, qemu-storage-daemon and qemu-pr-helper.
    """
    return named(signal) == "SIGPIPE" and signal is not None and "received signal" in signal.text


# Functions of OpenSSL that try out what instructions the CPU has, with a handler of SIGILL in place: crypto/armcap.c,
# ppccap.c, s390xcap.c, sparcv9cap.c; they run before main(), in whatever links libcrypto.
PROBES = Names("OPENSSL_cpuid_setup", "_armv7_*", "_armv8_*", "_armv9_*", "OPENSSL_*_probe", "_sparcv9_*")


# Signals that stop a process under a debugger and are part of its normal life.
HARMLESS: Dict[str, str] = {
    "SIGINT": "Somebody interrupted it (Ctrl-C) to look",
    "SIGSTOP": "It was stopped from outside",
    "SIGTSTP": "It was stopped from its terminal",
    "SIGCONT": "It was continued",
    "SIGUSR1": "SIGUSR1 is QEMU's own signal (SIG_IPI) that makes a vCPU leave the guest",
    "SIGUSR2": "SIGUSR2 is QEMU's own: the sigaltstack coroutine back-end makes a new stack in its handler",
    "SIG34": "It is QEMU's or libc's own signal",
    "SIG33": "It is libc's own signal",
    "SIG32": "It is libc's own signal",
    "SIGALRM": "It is a timer's signal",
    "SIGIO": "It is an I/O signal",
    "SIGCHLD": "A child process ended",
    "SIGWINCH": "The terminal's size changed",
    "SIGTERM": "Somebody asked it to end: QEMU shuts down on it",
    "SIGPIPE": "QEMU ignores SIGPIPE: the write returns EPIPE, and QEMU takes the other end for closed",
    "SIGHUP": "Its terminal went away: QEMU shuts down on it",
}  # fmt: skip

_X86_64 = "c000003e"  # AUDIT_ARCH_X86_64 of Linux, include/uapi/linux/audit.h
_SAME_EVERYWHERE = 403  # system calls from this number on have one number on all architectures
_ARCH = Pattern(r"\barch=(?P<arch>\w{1,20})")
_CALL = Pattern(r"\bsyscall=(?P<call>\w{1,40})")


def audited_call(line: str) -> str:
    """The system call that an audit record's numbers mean: ``clone3()``, or ``system call 99`` without a name."""
    match, arch = _CALL.search(line), _ARCH.search(line)
    if match is None:
        return ""
    call = match.group("call")
    if not (call.isascii() and call.isdigit()):
        return f"{call}()"
    number = int(call)
    known = arch is not None and arch.group("arch") in (_X86_64, "x86_64") or number >= _SAME_EVERYWHERE
    name = SYSCALLS_X86_64.get(number) if known else None
    return f"{name}()" if name else f"system call {number}"


# System calls that QEMU's sandbox forbids (system/qemu-seccomp.c) by their number on x86-64.
SYSCALLS_X86_64: Dict[int, str] = {
    56: "clone", 57: "fork", 58: "vfork", 59: "execve", 62: "kill", 101: "ptrace", 105: "setuid", 106: "setgid",
    109: "setpgid", 112: "setsid", 113: "setreuid", 114: "setregid", 116: "setgroups", 117: "setresuid",
    119: "setresgid", 122: "setfsuid", 123: "setfsgid", 126: "capset", 139: "sysfs", 142: "sched_setparam",
    144: "sched_setscheduler", 153: "vhangup", 155: "pivot_root", 156: "_sysctl", 159: "adjtimex", 161: "chroot",
    163: "acct", 164: "settimeofday", 165: "mount", 166: "umount2", 167: "swapon", 168: "swapoff", 169: "reboot",
    170: "sethostname", 172: "iopl", 173: "ioperm", 174: "create_module", 175: "init_module", 176: "delete_module",
    179: "quotactl", 203: "sched_setaffinity", 212: "lookup_dcookie", 216: "remap_file_pages", 227: "clock_settime",
    246: "kexec_load", 250: "keyctl", 251: "ioprio_set", 272: "unshare", 308: "setns", 313: "finit_module",
    314: "sched_setattr", 322: "execveat", 435: "clone3", 424: "pidfd_send_signal", 428: "open_tree", 429: "move_mount",
}  # fmt: skip
