"""What is different on each processor architecture: the registers that rules read, system calls, a saved context."""

from __future__ import annotations

from typing import Dict, FrozenSet, Mapping, NamedTuple, Optional, Tuple

MASK = (1 << 64) - 1


class Architecture(NamedTuple):
    """One 64-bit, little-endian architecture under Linux with glibc. Register names are gdb's."""

    name: str  # gdb's: "i386:x86-64"
    pc: str
    sp: str
    thread_pointer: str
    tls_below: bool  # whether static thread-local variables lie below the thread pointer, not above it
    # a system call: the register with its number, those with its arguments, and numbers of calls that rules know
    call: str
    arguments: Tuple[str, str, str]
    call_instruction: bytes  # a thread in a call stands behind it; else ``call`` holds anything (b"": never)
    futex: int
    polls: FrozenSet[int]  # poll and ppoll
    # the sigjmp_buf of glibc: what its words hold ("" nothing of use), which are mangled by the pointer guard and how
    # far to the left they are rotated then
    saved: Tuple[str, ...]
    mangled: FrozenSet[str]
    rotated: int
    guard_offset: Optional[int]  # of the guard from the thread pointer; None: a variable of the dynamic loader's
    return_address_pushed: bool  # by the call itself, right below the caller's stack pointer

    @property
    def registers(self) -> Tuple[str, ...]:
        """Those of frame 0 that rules read."""
        return (self.pc, self.sp, self.call, *self.arguments, self.thread_pointer)

    def mangle(self, address: int, guard: int) -> int:
        """As ``__sigsetjmp`` stores an address (PTR_MANGLE of glibc's sysdeps/unix/sysv/linux/*/pointer_guard.h)."""
        value = address ^ guard
        return (value << self.rotated | value >> (64 - self.rotated)) & MASK

    def demangle(self, value: int, guard: int) -> int:
        """The address behind a stored one."""
        return ((value >> self.rotated | value << (64 - self.rotated)) & MASK) ^ guard

    def is_system_call(self, registers: Mapping[str, int], *numbers: int) -> bool:
        """Whether a thread with these registers is in one of these system calls, and its arguments can be read."""
        number = registers.get(self.call)
        # A call that a signal interrupted has its first argument overwritten where that is the result's register too.
        return number in numbers and registers.get(self.arguments[0], 0) < MASK - 4095


ARCHITECTURES: Tuple[Architecture, ...] = (
    # glibc sysdeps/x86_64/jmpbuf-offsets.h, 2.3.4 to 2.41; asm/unistd_64.h
    Architecture(
        "i386:x86-64", "rip", "rsp", "fs_base", True,
        "orig_rax", ("rdi", "rsi", "rdx"), b"", 202, frozenset({7, 271}),
        ("rbx", "rbp", "r12", "r13", "r14", "r15", "rsp", "rip"), frozenset({"rbp", "rsp", "rip"}), 17, 0x30, True,
    ),
    # glibc sysdeps/aarch64/jmpbuf-offsets.h and setjmp.S, 2.17 to 2.41: the link register is where setjmp returns to;
    # asm-generic/unistd.h
    Architecture(
        "aarch64", "pc", "sp", "tpidr", False,
        "x8", ("x0", "x1", "x2"), b"\x01\0\0\xd4", 98, frozenset({73}),
        (*(f"x{n}" for n in range(19, 30)), "pc", "", "sp"), frozenset({"pc", "sp"}), 0, None, False,
    ),
)  # fmt: skip
_BY_NAME: Dict[str, Architecture] = {row.name: row for row in ARCHITECTURES}


def by_name(name: str) -> Optional[Architecture]:
    """The architecture that gdb calls so; None where this program does not know it."""
    return _BY_NAME.get(name)


def of(registers: Mapping[str, int]) -> Optional[Architecture]:
    """The architecture whose registers these are; None where it is not known."""
    return next((row for row in ARCHITECTURES if row.pc in registers), None)
