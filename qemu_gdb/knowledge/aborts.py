"""The ways a QEMU process ends itself: the functions between the code that gave up and the kernel."""

from __future__ import annotations

import functools
from typing import NamedTuple, Optional, Tuple

from .match import Names


class FatalPath(NamedTuple):
    """One way to give up."""

    name: str
    kind: str  # of the finding, design.md section 4
    says: str  # what a title calls it: "hw_error()"
    ends: Names  # functions that nothing goes through but the end of the process
    way: Names = Names()  # those on the way there, which a healthy process goes through as well


# In order: a stack that shows several is told by the first (hw_error calls abort, g_assert calls g_abort...).
FATAL_PATHS: Tuple[FatalPath, ...] = (
    # assert(3) of glibc, musl, *BSD, macOS, mingw; glibc of Fedora and RHEL, where only annobin's marks have names.
    # Without glibc's symbols the cold end of __assert_fail_base, which calls abort(), shows as its neighbour
    # _nl_load_domain (intl/loadmsgcat.c), which itself never does.
    FatalPath("assert", "crash.assertion", "assertion",
              Names("__assert_fail", "__assert_fail_base*", "__assert", "__assert_rtn", "__assert2", "__assert13",
                    "__assert_func", "__assert_perror_fail", "_assert", "_wassert", "assert_fail*", "_assertfail",
                    "__assertfail", ".annobin_assert*", "annobin_assert*"),
              Names("_nl_load_domain*")),
    # glib/gtestutils.c: g_assert, g_assert_cmp*, g_assert_not_reached
    FatalPath("g-assert", "crash.assertion", "g_assert", Names("g_assertion_message*", "g_assert_warning")),
    # system/cpus.c, cpus.c, hw/core/hw-error.c
    FatalPath("hw-error", "crash.hw-error", "hw_error()", Names("hw_error")),
    # cpu-target.c, exec.c
    FatalPath("cpu-abort", "crash.abort", "cpu_abort()", Names("cpu_abort")),
    # util/error.c: error_handle (error_handle_fatal up to 8.0) calls abort() for error_abort
    FatalPath("error-abort", "crash.error-abort", "error_abort", Names(),
              Names("error_handle", "error_handle_fatal", "error_setg_internal", "error_setv",
                    "error_setg_errno_internal", "error_propagate", "error_propagate_prepend")),
    # malloc/malloc.c of glibc, src/malloc of musl, libmalloc of macOS
    FatalPath("malloc", "crash.heap-corruption", "malloc found its heap corrupted",
              Names("malloc_printerr*", "__malloc_assert", "malloc_error_break", "malloc_zone_error", "malloc_report",
                    "malloc_vreport", "musl_free_corrupt"),
              Names("munmap_chunk", "unlink_chunk*", "sysmalloc", "malloc_consolidate", "tcache_thread_shutdown",
                    "_int_free")),
    # debug/stack_chk_fail.c
    FatalPath("stack-smashing", "crash.abort", "stack smashing detected",
              Names("stack_chk_fail*", "__stack_chk_fail*")),
    # debug/____longjmp_chk.c
    FatalPath("longjmp", "crash.abort", "a longjmp() into a function that has returned (_FORTIFY_SOURCE)",
              Names("__longjmp_chk", "____longjmp_chk")),
    # debug/fdelt_chk.c: FD_SET() of a descriptor beyond FD_SETSIZE
    FatalPath("fdelt", "crash.abort", "a descriptor number too large for select() (FD_SETSIZE)", Names(),
              Names("__fdelt_chk", "__fdelt_warn")),
    # debug/fortify_fail.c
    FatalPath("fortify", "crash.abort", "buffer overflow detected (_FORTIFY_SOURCE)",
              Names("chk_fail", "__chk_fail", "fortify_fail*", "__fortify_fail*")),
    # glib/gmem.c: g_malloc calls g_error, which traps
    FatalPath("g-malloc", "crash.glib-fatal", "g_malloc failed", Names(),
              Names("g_malloc", "g_malloc0", "g_realloc", "g_malloc_n", "g_malloc0_n", "g_realloc_n",
                    "g_try_malloc*")),
    # glib/gmessages.c
    FatalPath("glib", "crash.glib-fatal", "a fatal GLib message",
              Names("_g_log_abort", "g_log_abort", "g_error", "g_on_error_query"),
              Names("g_log", "g_logv*", "g_log_structured*", "g_log_default_handler", "g_log_writer*",
                    "g_return_if_fail_warning")),
    # libspice-server: common/log.c, common/backtrace.c
    FatalPath("spice", "crash.abort", "a critical check of libspice-server",
              Names("spice_logv", "spice_log", "spice_critical", "spice_abort", "spice_backtrace*")),
    # util/qemu-thread-posix.c
    FatalPath("thread-error", "crash.abort", "error_exit() of qemu-thread", Names("error_exit")),
    # accel/hvf/hvf-all.c
    FatalPath("hvf", "crash.abort", "assert_hvf_ok()", Names("assert_hvf_ok", "assert_hvf_ok_impl", "_assert_hvf_ok")),
    FatalPath("rust-panic", "crash.abort", "a Rust panic",
              Names("rust_panic*", "core::panicking::*", "std::panicking::begin_panic*",
                    "std::panicking::rust_panic*", "std::panicking::default_hook*", "rust_begin_unwind",
                    "__rustc::rust_begin_unwind", "__rustc::rust_panic*",
                    "core::result::unwrap_failed*", "core::result::expect_failed*", "core::option::unwrap_failed*",
                    "core::option::expect_failed*", "core::cell::panic_already*", "core::slice::index::*_fail*",
                    "core::str::slice_error_fail*", "alloc::alloc::handle_alloc_error*"),
              Names("std::process::abort*", "std::sys::*abort_internal*", "std::sys::backtrace::__rust_*",
                    "std::sys_common::backtrace::__rust_*", "std::rt::abort_internal*")),
    # src/common/assert.cc of Ceph
    FatalPath("ceph-assert", "crash.assertion", "an assertion of Ceph's libraries",
              Names("ceph::__ceph_assert_fail*", "__ceph_assert_fail*", "ceph::__ceph_abort*")),
    FatalPath("c++", "crash.abort", "an uncaught C++ exception",
              Names("std::terminate*", "__cxxabiv1::__terminate*", "__gnu_cxx::__verbose_terminate_handler*",
                    "__cxa_pure_virtual"),
              Names("__cxa_throw", "_Unwind_Resume")),
    FatalPath("objc", "crash.abort", "an uncaught Objective-C exception", Names(),
              Names("objc_exception_throw", "__exceptionPreprocess", "-[NSException*", "+[NSException*")),
    # qom/object.c, with --enable-qom-cast-debug; also where the cast reads a bad pointer
    FatalPath("qom-cast", "crash.abort", "a QOM cast to the wrong type", Names(),
              Names("object_dynamic_cast_assert", "object_class_dynamic_cast_assert")),
    # linux-user/signal.c, bsd-user/signal.c: how the emulated program's death becomes QEMU's
    FatalPath("guest-signal", "crash.signal", "the emulated program's signal",
              Names("dump_core_and_abort", "die_from_signal", "die_with_signal")),
    # sysdeps/posix/libc_fatal.c
    FatalPath("libc", "crash.abort", "a fatal message of the C library",
              Names("libc_message", "__libc_message*", "__libc_fatal")),
    FatalPath("abort", "crash.abort", "abort()",
              Names("abort", "g_abort", "__abort_msg", "msvcrt!abort", "ucrtbase!abort")),
    FatalPath("raise", "crash.abort", "abort()",
              Names("raise", "__raise", "gsignal", "_lwp_kill", "__lwp_kill"),
              Names("pthread_kill*", "__pthread_kill*", "__libc_signal_restore_set", "__restore_raise", "tgkill",
                    "thr_kill", "_thr_kill", "__sys_thr_kill")),
)  # fmt: skip

# More functions between a fatal path and the kernel, or QEMU's own that reports before it ends: none is to blame.
_MACHINERY = Names(
    "kill", "thrkill", "_thr_send_sig", "libc_signal_restore_set", "__libc_signal_block_all",
    "internal_signal_restore_set", "inline_raise", "do_raise", "raise_direct", "__libc_do_syscall",
    "backtrace_and_maps", "g_malloc_fail", "__interceptor_abort", "__asan*", "__sanitizer*", "fuzzer::*",
    "_exit", "exit", "_int_malloc", "__libc_free", "libc_free", "free", "cfree", "__GI___libc_free", "tcache_*",
    "malloc", "libc_malloc", "realloc", "calloc", "memalign", "_int_memalign", "_mid_memalign", "posix_memalign",
    "_int_realloc", "libc_calloc", "libc_realloc", "__kernel_vsyscall", "kernel_vsyscall",
    "___snprintf_chk", "__snprintf_chk", "__vsnprintf_chk", "__sprintf_chk", "__strcpy_chk",
    "__memcpy_chk",
    # rr's preload library makes the system calls of the recorded process: src/preload/syscallbuf.c, syscall_hook.S
    "syscall_traced", "_raw_syscall", "traced_raw_syscall", "syscall_hook", "syscall_hook_internal",
    "_syscall_hook_trampoline*",
)  # fmt: skip


@functools.lru_cache(maxsize=8192)
def fatal_path_of(name: str) -> Optional[FatalPath]:
    """The first way to give up that a function belongs to, None where it belongs to none."""
    return next((row for row in FATAL_PATHS if name in row.ends or name in row.way), None) if name else None


@functools.lru_cache(maxsize=8192)
def gives_up(name: str) -> bool:
    """Whether a function stands between the code that gave up and the kernel: never the one to blame."""
    return fatal_path_of(name) is not None or name in _MACHINERY


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

# Functions in which a thread only trips over what another did: a destructor, a deferred free.
DEFERRED = Names(
    "call_rcu_thread", "flatview_destroy", "flatview_unref", "phys_section_destroy", "address_space_dispatch_free",
    "object_finalize", "object_deinit", "do_address_space_destroy", "reclaim_ramblock", "memory_region_unref",
)  # fmt: skip
