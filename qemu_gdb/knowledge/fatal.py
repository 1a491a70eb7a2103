"""How QEMU ends itself: the functions on an aborting stack, the words near it, and which kind of crash each means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, FrozenSet, Tuple

from .match import Names


@dataclass(frozen=True)
class Fatal:
    """A function that ends the process, or reports why it ends."""

    name: str
    functions: Names
    kind: str  # crash.*
    says: str  # "hw_error()": what the title calls it


# More telling rows first: an assertion also shows abort().
FATAL: Tuple[Fatal, ...] = (
    # assert(3) of glibc, musl, *BSD, macOS, mingw
    Fatal("assert", Names("__assert_fail", "__assert_fail_base*", "__assert", "__assert_rtn", "__assert2", "__assert13",
                          "__assert_perror_fail", "_assert", "_wassert", "assert_fail*", "_assertfail",
                          ".annobin_assert*"),  # glibc of Fedora and RHEL, where only annobin's marks have names
          "crash.assertion", "assertion"),
    # glib/gtestutils.c: g_assert, g_assert_cmp*, g_assert_not_reached
    Fatal("g-assert", Names("g_assertion_message*", "g_assert_warning"), "crash.assertion", "g_assert"),
    # system/cpus.c, cpus.c
    Fatal("hw-error", Names("hw_error"), "crash.hw-error", "hw_error()"),
    # cpu-target.c, exec.c
    Fatal("cpu-abort", Names("cpu_abort"), "crash.abort", "cpu_abort()"),
    # util/error.c: error_handle -> abort() for error_abort
    Fatal("error-abort", Names("error_handle", "error_handle_fatal", "error_setg_internal", "error_setv",
                               "error_setg_errno_internal", "error_propagate", "error_propagate_prepend"),
          "crash.error-abort", "error_abort"),
    # glibc: malloc/malloc.c
    Fatal("malloc", Names("malloc_printerr*", "__libc_message_impl", "munmap_chunk", "unlink_chunk*", "sysmalloc",
                          "malloc_consolidate", "tcache_thread_shutdown", "__malloc_assert", "malloc_error_break",
                          "malloc_zone_error", "malloc_vreport", "musl_free_corrupt"),
          "crash.heap-corruption", "malloc found its heap corrupted"),
    Fatal("stack-smashing", Names("stack_chk_fail*", "__stack_chk_fail*"), "crash.abort", "stack smashing detected"),
    Fatal("fortify", Names("chk_fail", "__chk_fail", "fortify_fail*", "__fortify_fail*", "__fdelt_chk", "__fdelt_warn"),
          "crash.abort", "buffer overflow detected (_FORTIFY_SOURCE)"),
    # glib/gmem.c: g_malloc calls g_error, which traps
    Fatal("g-malloc", Names("g_malloc", "g_malloc0", "g_realloc", "g_malloc_n", "g_malloc0_n", "g_realloc_n",
                            "g_try_malloc*"), "crash.glib-fatal", "g_malloc failed"),
    Fatal("glib", Names("g_log", "g_logv", "g_log_structured*", "g_log_default_handler", "_g_log_abort", "g_error",
                        "g_log_writer_*", "g_return_if_fail_warning", "g_abort"), "crash.glib-fatal",
          "a fatal GLib message"),
    # libspice-server: common/log.c
    Fatal("spice", Names("spice_logv", "spice_log", "spice_critical", "spice_backtrace*"), "crash.abort",
          "a critical check of libspice-server"),
    # util/qemu-thread-posix.c: error_exit
    Fatal("thread-error", Names("error_exit"), "crash.abort", "error_exit() of qemu-thread"),
    Fatal("hvf", Names("assert_hvf_ok", "assert_hvf_ok_impl"), "crash.abort", "assert_hvf_ok()"),
    Fatal("rust-panic", Names("rust_panic*", "core::panicking::*", "std::panicking::*", "rust_begin_unwind",
                              "core::result::unwrap_failed*", "core::option::unwrap_failed*"), "crash.abort",
          "a Rust panic"),
    Fatal("c++", Names("std::terminate*", "__cxa_throw", "__gnu_cxx::__verbose_terminate_handler*",
                       "__cxa_pure_virtual"),
          "crash.abort", "an uncaught C++ exception"),
    Fatal("objc", Names("objc_exception_throw", "__exceptionPreprocess", "-[NSException*", "+[NSException*"),
          "crash.abort", "an uncaught Objective-C exception"),
    # qom/object.c
    Fatal("qom-cast", Names("object_dynamic_cast_assert", "object_class_dynamic_cast_assert"), "crash.abort",
          "a QOM cast to the wrong type"),
    # util/qemu-coroutine.c
    Fatal("abort", Names("abort", "__abort_msg", "tgkill", "msvcrt!abort", "ucrtbase!abort"), "crash.abort", "abort()"),
    Fatal("raise", Names("raise", "gsignal", "pthread_kill*", "__pthread_kill_*", "_lwp_kill",
                         "__libc_signal_restore_set",
                         "__restore_raise"), "crash.abort", "abort()"),
)  # fmt: skip

# Fatal functions that are harmless on their way: they count only when the process really ends in them.
ONLY_WITH_ABORT: FrozenSet[str] = frozenset(
    ("error-abort", "g-malloc", "glib", "c++", "qom-cast", "hvf", "rust-panic", "malloc", "spice", "raise", "objc")
)

# A pc or a pointer with one of these patterns is memory that an allocator has marked.
POISON: Dict[int, str] = {
    0x5A: "0x5a bytes: jemalloc's or MALLOC_PERTURB_'s mark of freed memory",
    0xA5: "0xa5 bytes: a mark of fresh or freed memory",
    0x6B: "0x6b bytes: a poison mark of freed memory",
    0xDD: "0xdd bytes: the MSVC run-time's mark of freed memory",
    0xFE: "0xfe bytes: a debug allocator's fence or mark of freed memory",
    0xCD: "0xcd bytes: the MSVC run-time's mark of memory never written",
    0xBE: "0xbe bytes: AddressSanitizer's fill of fresh memory",
    0xAA: "0xaa bytes: a debug allocator's fill of fresh memory",
}

# AddressSanitizer, ThreadSanitizer, UBSan, valgrind: the word in the report and what it is.
SANITIZER: Tuple[Tuple[str, str, str], ...] = (
    ("stack-overflow", "crash.stack-overflow", "stack overflow"),
    ("heap-use-after-free", "crash.invalid-access", "use after free"),
    ("stack-use-after", "crash.invalid-access", "use of a stack variable after its scope"),
    ("use-after-poison", "crash.invalid-access", "use of poisoned memory"),
    ("double-free", "crash.heap-corruption", "double free"),
    ("attempting double-free", "crash.heap-corruption", "double free"),
    ("bad-free", "crash.heap-corruption", "free of memory that is not from malloc"),
    ("attempting free", "crash.heap-corruption", "free of memory that is not from malloc"),
    ("alloc-dealloc-mismatch", "crash.heap-corruption", "memory freed by the wrong function"),
    ("heap-buffer-overflow", "crash.invalid-access", "heap buffer overflow"),
    ("stack-buffer-overflow", "crash.invalid-access", "stack buffer overflow"),
    ("stack-buffer-underflow", "crash.invalid-access", "stack buffer underflow"),
    ("global-buffer-overflow", "crash.invalid-access", "global buffer overflow"),
    ("container-overflow", "crash.invalid-access", "container overflow"),
    ("dynamic-stack-buffer-overflow", "crash.invalid-access", "stack buffer overflow"),
    ("allocation-size-too-big", "crash.abort", "allocation of an impossible size"),
    ("out of memory", "crash.abort", "out of memory"),
    ("memcpy-param-overlap", "crash.invalid-access", "memcpy between overlapping buffers"),
    ("negative-size-param", "crash.invalid-access", "negative size"),
    ("unknown-crash", "crash.invalid-access", "bad memory access"),
    ("SEGV on unknown address", "crash.invalid-access", "segmentation fault"),
    ("SEGV", "crash.invalid-access", "segmentation fault"),
    ("BUS", "crash.bus-error", "bus error"),
    ("FPE", "crash.arithmetic", "arithmetic exception"),
    ("ILL", "crash.illegal-instruction", "illegal instruction"),
    ("ABRT", "crash.abort", "abort"),
    ("data race", "crash.invalid-access", "data race"),
    ("Conflicting load by thread", "crash.invalid-access", "data race"),  # valgrind's drd
    ("Conflicting store by thread", "crash.invalid-access", "data race"),
    ("lock order ", "crash.invalid-access", "lock order inversion"),  # valgrind's helgrind
    ("lock-order-inversion", "crash.invalid-access", "lock order inversion"),
    ("heap-use-after-free (", "crash.invalid-access", "use after free"),
    ("detected memory leaks", "crash.signal", "memory leak"),
    ("irect leak of", "crash.signal", "memory leak"),
    ("blocks are definitely lost", "crash.signal", "memory leak"),
    ("blocks are indirectly lost", "crash.signal", "memory leak"),
    ("blocks are possibly lost", "crash.signal", "memory leak"),
    ("Invalid read", "crash.invalid-access", "invalid read"),
    ("Invalid write", "crash.invalid-access", "invalid write"),
    ("Invalid free", "crash.heap-corruption", "invalid free"),
    ("Conditional jump or move depends on uninitialised", "crash.invalid-access", "use of uninitialised memory"),
    ("Use of uninitialised value", "crash.invalid-access", "use of uninitialised memory"),
    ("use-of-uninitialized-value", "crash.invalid-access", "use of uninitialised memory"),
    ("uninitialised byte", "crash.invalid-access", "uninitialised memory in a system call's argument"),
    ("unaddressable byte", "crash.invalid-access", "invalid memory in a system call's argument"),
    ("Source and destination overlap", "crash.invalid-access", "copy between overlapping buffers"),
    ("Mismatched free", "crash.heap-corruption", "memory freed by the wrong function"),
    ("Jump to the invalid address", "crash.invalid-access", "jump to an invalid address"),
    ("null pointer", "crash.null-dereference", "use of a NULL pointer"),
    ("shift exponent", "crash.arithmetic", "shift by an impossible count"),
    ("left shift of", "crash.arithmetic", "left shift of a negative or too large value"),
    ("signed integer overflow", "crash.arithmetic", "signed integer overflow"),
    ("division by zero", "crash.arithmetic", "division by zero"),
    ("out of bounds", "crash.invalid-access", "index out of bounds"),
    ("misaligned address", "crash.invalid-access", "misaligned access"),
    ("not a valid value for type", "crash.invalid-access", "invalid value of a bool or enum"),
    ("pointer index expression", "crash.arithmetic", "pointer overflow"),
    ("outside the range of representable values", "crash.arithmetic", "conversion out of range"),
    ("call to function", "crash.invalid-access", "call through a pointer of the wrong type"),
)  # fmt: skip

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
}  # fmt: skip

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
    "SIGHUP": "Its terminal went away: QEMU shuts down on it",
}  # fmt: skip

# Functions in which a thread only trips over what another did: a destructor, a deferred free.
DEFERRED = Names(
    "call_rcu_thread", "flatview_destroy", "flatview_unref", "phys_section_destroy", "address_space_dispatch_free",
    "object_finalize", "object_deinit", "do_address_space_destroy", "reclaim_ramblock", "memory_region_unref",
)  # fmt: skip




def poison(value: int) -> str:
    """What an allocator's mark in a pointer means, "" where there is none."""
    if value < 0x10000:
        return ""
    low = value & 0xFFFFFFFF
    byte = low & 0xFF
    if low == byte * 0x01010101 and byte in POISON:
        return POISON[byte]
    if value in (0xDEADBEEF, 0xDEADBEEFDEADBEEF, 0xBAADF00D, 0xFEEEFEEE, 0xABABABAB):
        return "a debugger's or allocator's mark"
    return ""


def text_of(value: int) -> str:
    """The characters that a pointer's bytes spell, "" where they are no text (at least 5 printable ones).

    A position-independent program and its heap lie at 0x55.. and 0x56.. on x86-64 Linux: "UU" at the end is no text.
    """
    if value >> 40 in (0x55, 0x56):
        return ""
    raw = value.to_bytes(8, "little", signed=False).rstrip(b"\0") if 0 < value < 1 << 64 else b""
    if len(raw) >= 5 and all(32 < b < 127 for b in raw) and sum(chr(b).isalnum() for b in raw) >= 4:
        return raw.decode("ascii")
    return ""


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
