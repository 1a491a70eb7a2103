"""Names of Linux that both a text's reading and its explanation need: system calls in stacks, traps in the log."""

from __future__ import annotations

from typing import Dict

from .pattern import Pattern

# include/linux/syscalls.h and arch/*/include/asm/syscall_wrapper.h; SyS_ until 4.16
SYSTEM_CALL = Pattern(r"(?:__(?:x64|ia32|arm64|s390x?|riscv|se|do)_)?(?:compat_)?sys_(\w+)$|ksys_(\w+)$|SyS_(\w+)$")

# arch/x86/kernel/traps.c: the words behind "trap" in the kernel's log, and the signal that the process gets
TRAPS: Dict[str, str] = {
    "divide error": "SIGFPE", "fpu exception": "SIGFPE", "simd exception": "SIGFPE",
    "coprocessor segment overrun": "SIGFPE", "invalid opcode": "SIGILL", "int3": "SIGTRAP",
    "segment not present": "SIGBUS", "stack segment": "SIGBUS", "alignment check": "SIGBUS",
}  # fmt: skip


def trap_signal(words: str) -> str:
    """The signal of "trap invalid opcode" or "general protection fault"."""
    return TRAPS.get(words.strip()[5:] if words.strip().startswith("trap ") else "", "SIGSEGV")
