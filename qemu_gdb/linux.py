"""Names of Linux that a text's reading and its explanation both need: entries, calls, faults in the log."""

from __future__ import annotations

from typing import Dict

from .pattern import Pattern

# include/linux/syscalls.h and arch/*/include/asm/syscall_wrapper.h; SyS_ until 4.16
SYSTEM_CALL = Pattern(r"(?:__(?:x64|ia32|arm64|s390x?|riscv|se|do)_)?(?:compat_)?sys_(\w+)$|ksys_(\w+)$|SyS_(\w+)$")

# "qemu-system-x86[123]: segfault at 28 ip 0000.. sp 0000.. error 4 in qemu-system-x86_64[55d0a3600000+a12000]":
# arch/x86/mm/fault.c show_signal_msg, arch/x86/kernel/traps.c and mm/memory.c print_vma_addr; up to 6.6
# "NAME[start+size]" of the mapping, since then with the offset in the file in front: "NAME[offset,start+size]"
KERNEL_FAULT = Pattern(
    r"(?P<comm>[\w./+-][\w ./+-]{0,14})\[(?P<tid>\d{1,10})\]:? (?:segfault at (?P<address>[0-9a-fA-F]+)"
    r"|(?P<trap>general protection(?: fault)?|trap \w+(?: \w+){0,2}))"
    r" ip:?\s?(?P<ip>[0-9a-fA-F]+)(?:.*? error:? ?(?P<error>[0-9a-fA-F]+))?"
    r"(?:.*? in (?P<object>[^\s\[]+)\[(?:(?:(?P<offset>[0-9a-fA-F]+),)?(?P<start>[0-9a-fA-F]+)\+[0-9a-fA-F]+\])?)?"
)

# Functions in which a program enters the kernel, by how their names begin: what stands further in is the kernel's.
# arch/x86/entry, arch/arm64/kernel/entry*, arch/powerpc, arch/s390 of Linux 3.10 to 6.x
ENTERED = (
    "entry_SYSCALL_", "do_syscall_64", "do_syscall_x64", "x64_sys_call", "__x64_sys_", "entry_INT80", "do_int80_",
    "system_call_fastpath", "entry_SYSENTER", "el0_svc", "el0t_64_sync", "el0_sync", "ret_to_user", "invoke_syscall",
    "do_el0_svc", "syscall_return", "ret_fast_syscall", "system_call_common", "system_call_vectored",
    "asm_exc_", "asm_sysvec_", "el0_da", "el0_ia", "el0_interrupt", "el0t_64_irq",
)  # fmt: skip

# arch/x86/kernel/traps.c: the words behind "trap" in the kernel's log, and the signal that the process gets
TRAPS: Dict[str, str] = {
    "divide error": "SIGFPE", "fpu exception": "SIGFPE", "simd exception": "SIGFPE",
    "coprocessor segment overrun": "SIGFPE", "invalid opcode": "SIGILL", "int3": "SIGTRAP",
    "segment not present": "SIGBUS", "stack segment": "SIGBUS", "alignment check": "SIGBUS",
}  # fmt: skip


def trap_signal(words: str) -> str:
    """The signal of "trap invalid opcode" or "general protection fault"."""
    return TRAPS.get(words.strip()[5:] if words.strip().startswith("trap ") else "", "SIGSEGV")
