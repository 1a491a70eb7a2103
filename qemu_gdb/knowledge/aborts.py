"""The ways a QEMU process ends itself: the functions between the code that gave up and the kernel."""

from __future__ import annotations

from typing import Dict, NamedTuple, Tuple

from .match import Names


class FatalPath(NamedTuple):
    """One way to give up: functions that show it for certain."""

    name: str
    finding: str  # kind of the finding that goes with it, design.md section 4
    functions: Names
    says: str


# In order: a stack that shows several is told by the first (hw_error calls abort, g_assert calls g_abort...).
FATAL_PATHS: Tuple[FatalPath, ...] = (
    FatalPath(
        "hw_error", "crash.hw-error", Names("hw_error"), "a device model gave up by hw_error()"
    ),  # system/cpus.c, hw/core/hw-error.c
    FatalPath(
        "cpu_abort", "crash.abort", Names("cpu_abort"), "the CPU emulation gave up by cpu_abort()"
    ),  # cpu-target.c, exec.c
    FatalPath(
        "error_abort", "crash.error-abort", Names("error_handle_fatal", "error_handle"), "an error met &error_abort"
    ),  # util/error.c
    FatalPath(
        "thread-primitive", "crash.abort", Names("error_exit", "error_exit_errno"), "a lock or thread primitive failed"
    ),  # util/qemu-thread-posix.c
    FatalPath(
        "hvf",
        "crash.abort",
        Names("assert_hvf_ok_impl", "_assert_hvf_ok", "assert_hvf_ok"),
        "Hypervisor.framework refused a call",
    ),
    FatalPath(
        "whpx",
        "crash.abort",
        Names(
            "whpx_panic",
        ),
        "WHPX refused a call",
    ),
    FatalPath(
        "tcg_abort",
        "crash.abort",
        Names("tcg_abort", "tcg_abort_fulltext", "tcg_raise_tb_overflow_abort"),
        "TCG gave up",
    ),
    FatalPath(
        "qom-cast",
        "crash.assertion",
        Names("object_dynamic_cast_assert", "object_class_dynamic_cast_assert"),
        "an object is not of the type it is used as",
    ),  # qom/object.c, with --enable-qom-cast-debug
    FatalPath(
        "linux-user-signal",
        "crash.signal",
        Names("dump_core_and_abort", "die_from_signal", "die_with_signal"),
        "the emulated program died of a signal",
    ),  # linux-user/signal.c
    FatalPath(
        "glib-assertion",
        "crash.assertion",
        Names("g_assertion_message*", "g_assertion_message", "g_assert_warning"),
        "a g_assert() failed",
    ),
    FatalPath(
        "assertion",
        "crash.assertion",
        Names(
            "assert_fail",
            "__assert_fail",
            "assert_fail_base",
            "__assert_fail_base",
            "__assert_perror_fail",
            "__assert",
            "__assert13",
            "__assert_rtn",
            "__assert2",
            "__assert_func",
            "_assert",
            ".annobin_assert.c",
            ".annobin_assert.c_end",
            "_wassert",
            "__assertfail",
        ),
        "an assertion failed",
    ),
    FatalPath(
        "heap",
        "crash.heap-corruption",
        Names(
            "malloc_printerr",
            "_int_free",
            "malloc_consolidate",
            "unlink_chunk",
            "abort_message",
            "munmap_chunk",
            "malloc_zone_error",
            "malloc_report",
        ),
        "the C library found the heap damaged",
    ),
    FatalPath(
        "fortify",
        "crash.heap-corruption",
        Names(
            "fortify_fail",
            "chk_fail",
            "__fortify_fail",
            "__fortify_fail_abort",
            "__chk_fail",
            "stack_chk_fail",
            "__stack_chk_fail",
            "__longjmp_chk",
            "____longjmp_chk",
        ),
        "a buffer or the stack was overrun",
    ),
    FatalPath(
        "glib-fatal",
        "crash.glib-fatal",
        Names("g_log_abort", "_g_log_abort", "g_error", "g_mem_fail", "g_on_error_query"),
        "GLib reported a fatal error",
    ),
    FatalPath(
        "spice",
        "crash.assertion",
        Names("spice_logv", "spice_log", "spice_backtrace", "spice_backtrace_gstack", "spice_abort"),
        "the SPICE server's own check failed",
    ),
    FatalPath(
        "rust-panic",
        "crash.assertion",
        Names(
            "rust_panic", "core::panicking::*", "std::panicking::*", "rust_begin_unwind", "core::panicking::panic_fmt"
        ),
        "Rust code panicked",
    ),
    FatalPath(
        "c++-terminate",
        "crash.abort",
        Names(
            "std::terminate",
            "__cxxabiv1::__terminate",
            "__cxa_throw",
            "_Unwind_Resume",
            "__gnu_cxx::__verbose_terminate_handler",
            "ceph::__ceph_assert_fail",
            "__ceph_assert_fail",
            "ceph::__ceph_abort",
        ),
        "C++ code of a library gave up",
    ),
    FatalPath(
        "undefined-behaviour", "crash.abort", Names("__ubsan_handle_*", "__ubsan_on_report"), "undefined behaviour"
    ),
    FatalPath(
        "libc-message",
        "crash.abort",
        Names("libc_message", "__libc_message", "__libc_message_impl", "__libc_fatal"),
        "the C library gave up",
    ),
    FatalPath("abort", "crash.abort", Names("abort", "g_abort", "os_abort", "__abort_msg"), "abort() was called"),
    FatalPath(
        "raise", "crash.abort", Names("raise", "gsignal", "_lwp_kill", "__lwp_kill"), "the thread sent itself a signal"
    ),
)

# Functions on the way from abort() to the kernel; together with a FatalPath they are the machinery, none of them is
# to blame.
MACHINERY = Names(
    "abort",
    "raise",
    "gsignal",
    "kill",
    "tgkill",
    "pthread_kill",
    "pthread_kill_implementation",
    "pthread_kill_internal",
    "__pthread_kill_implementation",
    "__pthread_kill_internal",
    "__pthread_kill",
    "thr_kill",
    "thrkill",
    "_thr_send_sig",
    "_lwp_kill",
    "__lwp_kill",
    "__libc_signal_restore_set",
    "libc_signal_restore_set",
    "__libc_signal_block_all",
    "internal_signal_restore_set",
    "inline_raise",
    "do_raise",
    "raise_direct",
    "__libc_do_syscall",
    "libc_message",
    "__libc_message",
    "__libc_message_impl",
    "backtrace_and_maps",
    "_nl_load_domain",
    ".annobin_assert*",
    "g_log",
    "g_logv",
    "g_log_default_handler",
    "g_log_structured*",
    "g_log_writer*",
    "g_logv_*",
    "_g_log_abort",
    "g_log_abort",
    "g_abort",
    "g_malloc_fail",
    "__interceptor_abort",
    "__asan*",
    "__sanitizer*",
    "msvcrt!abort",
    "_exit",
    "exit",
    "error_setv",
    "error_setg_internal",
    "error_setg_errno_internal",
    "error_propagate",
    "error_propagate_prepend",
    "malloc_printerr",
    "_int_free",
    "_int_malloc",
    "__libc_free",
    "libc_free",
    "free",
    "cfree",
    "__GI___libc_free",
    "unlink_chunk",
    "tcache_*",
    "malloc",
    "libc_malloc",
    "realloc",
    "calloc",
    "memalign",
    "_int_memalign",
    "_int_realloc",
    "libc_calloc",
    "libc_realloc",
    "___snprintf_chk",
    "__snprintf_chk",
    "__vsnprintf_chk",
    "__sprintf_chk",
    "__strcpy_chk",
    "__memcpy_chk",
    "__fdelt_chk",
    "__fdelt_warn",
)
FATAL_BY_NAME: Dict[str, FatalPath] = {}
for _row in FATAL_PATHS:
    for _pattern in _row.functions.patterns:
        if "*" not in _pattern:
            FATAL_BY_NAME.setdefault(_pattern, _row)

# Functions whose own check breaks QEMU's threading rules when it fails; abort frames cut off above them are this
# check's.
# accel/tcg/tcg-accel-ops.c tcg_handle_interrupt, system/memory.c memory_region_transaction_commit,
# block/graph-lock.c, util/async.c; all since they exist
CHECKS_ITS_CALLER = Names(
    "tcg_handle_interrupt",
    "memory_region_transaction_commit",
    "bdrv_graph_rdlock_main_loop",
    "bdrv_graph_rdunlock_main_loop",
    "assert_bdrv_graph_readable",
    "assert_bdrv_graph_writable",
    "do_patch_instruction",
    "assert_hvf_ok_impl",
    "cpu_reset_interrupt",
    "qemu_mutex_unlock_iothread",
    "bql_unlock",
)

# Handlers that report a signal or raise it again: the interrupted code is to blame, not they.
# system/cpus.c sigbus_handler, util/oslib-posix.c, linux-user/signal.c, accel/tcg/user-exec.c
RAISES_AGAIN = Names(
    "sigbus_handler",
    "sigbus_reraise",
    "host_signal_handler",
    "host_sigsegv_handler",
    "host_sigbus_handler",
    "cpu_signal_handler",
    "handle_cpu_signal",
    "cpu_exit_tb_from_sighandler",
    "dump_core_and_abort",
    "queue_signal",
    "force_sig*",
    "qemu_mutex_*",
)

# linux-user/signal.c (1.0 to 10.2): dump_core_and_abort, force_sig before, is static; inlined into these it leaves only
# the sigsuspend() that waits for the signal raised at QEMU itself.
DIES_BY_SIGNAL = Names("handle_pending_signal", "process_pending_signals", "queue_signal", "force_sig*")

EXIT_FUNCTIONS = Names(
    "exit",
    "_exit",
    "run_exit_handlers",
    "__run_exit_handlers",
    "_dl_fini",
    "_dl_call_fini",
    "_fini",
    "__cxa_finalize",
    "nptl_deallocate_tsd",
    "__nptl_deallocate_tsd",
    "__nptl_free_tcb",
    "__call_tls_dtors",
    "exit_group",
    "quick_exit",
    "advise_stack_range",
    "pthread_exit",
    "qemu_thread_atexit_notify",
    "qemu_thread_atexit_run",
    "exit_thread",
    "__exit_thread",
)

# Signals that end a process because of what a thread did, and those that a process sends itself to end
FAULTS = frozenset(
    {
        "SIGSEGV",
        "SIGBUS",
        "SIGFPE",
        "SIGILL",
        "SIGSYS",
        "SIGTRAP",
        "EXC_BAD_ACCESS",
        "EXC_BAD_INSTRUCTION",
        "EXC_ARITHMETIC",
        "EXCEPTION_ACCESS_VIOLATION",
        "SIGSTKFLT",
        "SIGEMT",
    }
)
ABORTS = frozenset({"SIGABRT", "SIGIOT", "EXC_CRASH"})
SIGNAL_NUMBERS: Dict[int, str] = {
    4: "SIGILL",
    5: "SIGTRAP",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    10: "SIGBUS",
    11: "SIGSEGV",
    31: "SIGSYS",
}
