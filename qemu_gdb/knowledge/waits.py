"""Which functions only wait, and for what kind of thing; which functions take which of QEMU's locks."""

from __future__ import annotations

from typing import Dict, NamedTuple, Tuple

from .match import Names

# What the innermost functions of a blocked stack wait for. A stack's kind is that of the outermost of its innermost
# run of
# these: futex_wait under pthread_cond_wait under qemu_sem_wait is a semaphore.
# kinds: futex, mutex, condvar, semaphore, event, join, poll, sleep, signal, syscall, vcpu-run, guest-syscall, coroutine
_KINDS: Tuple[Tuple[str, str], ...] = (
    # libc's own layers under the calls
    (
        "futex",
        "syscall futex futex_wait futex_wait_cancelable futex_abstimed_wait futex_abstimed_wait_cancelable "
        "do_futex_wait",
    ),
    (
        "futex",
        "futex_abstimed_wait_common futex_abstimed_wait_common64 futex_abstimed_wait_cancelable64 futex_reltimed_wait",
    ),
    ("futex", "do_futex_wait_cancelable futex_lock_pi64 syscall_thread_switch internal_syscall_cancel syscall_cancel"),
    ("futex", "kernel_vsyscall"),  # how i386 enters the kernel
    ("futex", "syscall_cancel_arch internal_syscall_cancel_arch ___lwp_park60 _lwp_park60 ___lwp_park __umtx_op_err"),
    ("futex", "umtx_op"),
    (
        "mutex",
        "lll_lock_wait lll_lock_wait_private lll_mutex_lock_optimized "
        "pthread_mutex_lock pthread_mutex_lock_full _L_lock_*",
    ),
    ("mutex", "pthread_rwlock_rdlock pthread_rwlock_wrlock pthread_spin_lock lll_lock_elision psynch_mutexwait"),
    # glib/gthread-posix.c: a futex of GLib's own since 2.36
    ("mutex", "g_mutex_lock g_mutex_lock_slowpath g_rec_mutex_lock g_rw_lock_reader_lock g_rw_lock_writer_lock"),
    ("mutex", "pthread_mutex_firstfit_lock_slow pthread_mutex_firstfit_lock_wait pthread_mutex_timedlock"),
    ("mutex-recond", "pthread_mutex_cond_lock pthread_mutex_cond_lock_full"),
    (
        "condvar",
        "pthread_cond_wait pthread_cond_wait_common pthread_cond_timedwait pthread_cond_clockwait psynch_cvwait",
    ),
    (
        "condvar",
        "pthread_cond_timedwait64 pthread_cond_timedwait_relative_np "
        "g_cond_wait g_cond_wait_until pthread_cond_wait_cancel",
    ),
    (
        "semaphore",
        "sem_wait sem_timedwait sem_clockwait new_sem_wait new_sem_wait_slow new_sem_wait_slow64 new_sem_timedwait",
    ),
    ("semaphore", "new_sem_wait_fast sem_timedwait64 do_sem_wait semaphore_wait_trap semaphore_timedwait_trap"),
    (
        "join",
        "pthread_join pthread_clockjoin_ex pthread_timedjoin_ex pthread_timedjoin_np wait_tid g_thread_join ulock_wait",
    ),
    # QEMU's wrappers: util/qemu-thread-posix.c, util/event.c, util/qsp.c, include/qemu/{thread,futex,lockable}.h
    ("mutex", "qemu_mutex_lock qemu_mutex_lock_impl qemu_mutex_lock__raw qemu_rec_mutex_lock qemu_rec_mutex_lock_impl"),
    (
        "mutex",
        "qsp_mutex_lock qsp_rec_mutex_lock qsp_bql_mutex_lock "
        "qemu_spin_lock qemu_lockable_lock qemu_lockable_auto_lock",
    ),
    ("mutex", "qemu_mutex_lock_func qemu_co_mutex_lock qemu_co_mutex_lock_slowpath qemu_cond_destroy_lock"),
    (
        "condvar",
        "qemu_cond_wait qemu_cond_wait_impl qemu_cond_timedwait qemu_cond_timedwait_impl qemu_cond_timedwait_ts",
    ),
    (
        "condvar",
        "qsp_cond_wait qsp_cond_timedwait qemu_cond_wait_iothread qemu_cond_timedwait_iothread qemu_cond_wait_bql",
    ),
    ("condvar", "qemu_cond_timedwait_bql cond_timedwait"),
    ("semaphore", "qemu_sem_wait qemu_sem_timedwait"),
    ("event", "qemu_event_wait qemu_futex_wait"),
    ("join", "qemu_thread_join"),
    # descriptors
    (
        "poll",
        "poll ppoll pollsys select pselect epoll_wait "
        "epoll_pwait epoll_pwait2 kevent g_poll qemu_poll_ns poll_schedule",
    ),
    (
        "poll",
        "pselect6 select64 pollts kevent64 mach_msg mach_msg_trap mach_msg2_trap mach_msg_overwrite mach_msg2_internal",
    ),
    ("poll", "WaitForMultipleObjects WaitForMultipleObjectsEx NtWaitForMultipleObjects MsgWaitForMultipleObjectsEx"),
    ("poll", "ZwWaitForMultipleObjects MsgWaitForMultipleObjects NtUserMsgWaitForMultipleObjectsEx"),
    (
        "poll",
        "fdmon_poll_wait fdmon_epoll_wait fdmon_io_uring_wait "
        "io_uring_submit_and_wait io_uring_enter io_uring_wait_cqe",
    ),
    (
        "poll",
        "io_uring_submit_and_wait_timeout io_uring_get_cqe sys_io_uring_enter2 "
        "sys_io_uring_enter _io_uring_submit aio_epoll",
    ),
    ("poll", "io_getevents sys_io_getevents"),
    ("condvar", "workq_kernreturn"),  # a spare thread of macOS's work queue
    ("sleep", "nanosleep clock_nanosleep clock_nanosleep_time64 usleep sleep g_usleep Sleep SleepEx NtDelayExecution"),
    ("signal", "sigwait sigwaitinfo sigtimedwait sigsuspend pause rt_sigtimedwait sigwait_cancel do_sigwait"),
    (
        "futex",
        "NtWaitForSingleObject WaitForSingleObject "
        "WaitForSingleObjectEx ZwWaitForSingleObject RtlpWaitOnCriticalSection",
    ),
    (
        "condvar",
        "SleepConditionVariableSRW SleepConditionVariableCS RtlSleepConditionVariableSRW NtWaitForAlertByThreadId",
    ),
    ("mutex", "RtlAcquireSRWLockExclusive RtlEnterCriticalSection EnterCriticalSection AcquireSRWLockExclusive"),
    # calls that can take long
    (
        "syscall",
        "read readv pread pread64 preadv preadv64 preadv2 "
        "preadv64v2 write writev pwrite pwrite64 pwritev pwritev64 pwritev2",
    ),
    (
        "syscall",
        "recv recvfrom recvmsg recvmmsg send sendto sendmsg accept accept4 connect close fsync fdatasync fallocate",
    ),
    (
        "syscall",
        "sync_file_range fallocate64 posix_fallocate posix_fallocate64 "
        "internal_fallocate64 ftruncate ftruncate64 lseek",
    ),
    (
        "syscall",
        "lseek64 llseek open open64 openat openat64 stat "
        "fstat lstat statfs fstatfs flock fcntl fcntl64 fcntl64_nocancel",
    ),
    ("syscall", "ioctl madvise mmap munmap msync mremap mlock mlockall io_submit sys_io_submit waitpid wait4 waitid"),
    (
        "syscall",
        "copy_file_range sendfile unlink rename readdir "
        "getdents64 getaddrinfo sys_recvmsg write_nocancel read_nocancel",
    ),
    # paths and directories: a dead mount does not answer
    (
        "syscall",
        "readdir64 getdents opendir fdopendir stat64 fstat64 lstat64 fstatat fstatat64 newfstatat statx fxstat lxstat "
        "xstat fxstat64 lxstat64 xstat64 fxstatat fxstatat64 statfs64 fstatfs64 access faccessat unlinkat renameat",
    ),
    (
        "syscall",
        "renameat2 mkdir mkdirat rmdir mknodat linkat symlinkat readlink readlinkat fchmodat fchownat utimensat "
        "truncate truncate64 getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr "
        "lremovexattr syncfs",
    ),
    ("syscall", "pread_nocancel sendmsg_nocancel recvfrom_nocancel ioctl_nocancel fsync_nocancel fork vfork"),
    ("syscall", "NtReadFile ReadFile NtWriteFile WriteFile NtFlushBuffersFile FlushFileBuffers NtDeviceIoControlFile"),
    ("syscall", "DeviceIoControl NtRemoveIoCompletion GetQueuedCompletionStatus WSARecv WSASend"),
    # the guest runs
    (
        "vcpu-run",
        "kvm_vcpu_ioctl hv_trap hv_vcpu_run hv_vcpu_run_until WHvRunVirtualProcessor "
        "nvmm_vcpu_run hax_vcpu_run mshv_run_vcpu",
    ),
    ("guest-syscall", "safe_syscall_base safe_syscall safe_futex do_safe_futex safe_*"),
    ("coroutine", "qemu_coroutine_switch qemu_coroutine_yield"),
)
_EXACT: Dict[str, str] = {}
_PREFIX = []
for _kind, _names in _KINDS:
    for _name in _names.split():
        if _name.endswith("*"):
            _PREFIX.append((_name[:-1], _kind))
        else:
            _EXACT[_name] = _kind
_PREFIXES = tuple(p for p, _ in _PREFIX)


def kind_of_wait(name: str) -> str:
    """What a function of this canonical name waits for, "" where it is no waiting function."""
    kind = _EXACT.get(name)
    if kind is None and name:
        # libc shows one function under many aliases: __GI___poll, __new_sem_wait_slow64.constprop.1, __futex_wait
        bare = name.lstrip("_")
        if bare.startswith("GI_"):
            bare = bare[3:].lstrip("_")
        if bare.startswith(("libc_", "nptl_")):
            bare = bare[5:]
        elif bare.startswith("sys_") and name.startswith("_"):  # system calls of FreeBSD's libc: __sys__umtx_op
            bare = bare[4:].lstrip("_")
        kind = _EXACT.get(bare)
        if kind is None and name.startswith(_PREFIXES):
            kind = next(k for p, k in _PREFIX if name.startswith(p))
        if kind is None and "@" in name:
            kind = _EXACT.get(bare.split("@", 1)[0])
    return kind or ""


# What QEMU waits in that only calls libc: util/qemu-thread-posix.c, util/event.c, util/qemu-timer.c,
# include/qemu/futex.h. What stands inside of them is the way of a libc into the kernel, whatever its name.
WRAPPERS = frozenset(
    """qemu_mutex_lock qemu_mutex_lock_impl qemu_rec_mutex_lock_impl qemu_cond_wait qemu_cond_wait_impl
    qemu_cond_timedwait_impl qemu_sem_wait qemu_sem_timedwait qemu_event_wait qemu_futex_wait qemu_poll_ns
    qemu_thread_join""".split()
)

# Calls that wake others and return at once, without their leading underscores. One that really waits (glibc's
# condition variables do, for the sleepers of an old group) stands in a futex_wait inside them.
WAKES = Names(
    "futex_wake*", "lll_unlock_wake*", "lll_futex_wake*", "lll_lock_wake*", "pthread_cond_signal",
    "pthread_cond_broadcast", "pthread_mutex_unlock*", "sem_post", "new_sem_post", "psynch_cvsignal", "psynch_cvbroad",
    "psynch_mutexdrop", "g_cond_signal", "g_cond_broadcast", "g_mutex_unlock*", "qemu_futex_wake*", "qemu_cond_signal",
    "qemu_cond_broadcast", "qemu_sem_post", "qemu_event_set", "qemu_mutex_unlock_impl", "qemu_mutex_unlock",
)  # fmt: skip

# glibc nptl/pthread_cond_common.c, 2.25 to 2.40: a signal's own short wait, for sleepers that are just waking up
SIGNALS_CONDITION = frozenset(("condvar_quiesce_and_switch_g1", "__condvar_quiesce_and_switch_g1"))

# Functions whose descriptors never block (chardev/char-socket.c tcp_chr_new_client, 2.x to 10.2; ui/vnc.c vnc_connect),
# but for those of BLOCKING_INSIDE, which make them block meanwhile; and io/channel-socket.c, which reads a socket's
# error queue for zero-copy sends (7.1 and later): recvmsg(MSG_ERRQUEUE) never waits
NON_BLOCKING = frozenset(("tcp_chr_write", "tcp_chr_read", "vnc_client_io", "vnc_client_write", "vnc_client_read",
                          "qio_channel_socket_flush", "qio_channel_socket_flush_internal"))
BLOCKING_INSIDE = frozenset(("tcp_chr_sync_read",))
# chardev/char.c qemu_chr_write_buffer, gdbstub/: with write_all they try again until all is written
WRITES_ALL = frozenset(("qemu_chr_fe_write_all", "qemu_chr_write_all", "gdb_put_packet", "gdb_put_packet_binary",
                        "gdb_put_buffer"))

# The lock functions' own instructions: whoever waits for a mutex stands in a futex (lll_lock_wait) below them
ENTERS_LOCK = frozenset(
    "pthread_mutex_lock pthread_mutex_lock_full qemu_mutex_lock_impl qemu_mutex_lock qemu_rec_mutex_lock_impl".split()
)

# System calls that return at once, or belong to no wait: a thread seen in one of them is at work
MOMENTARY_CALLERS = Names(
    "event_notifier_set",
    "event_notifier_test_and_clear",
    "aio_notify",
    "aio_notify_accept",
    "qemu_event_set",
    "qemu_notify_event",
    "qemu_cpu_kick",
    "qemu_cpu_kick_thread",
    "qemu_log",
    "qemu_vfree",
    "qemu_anon_ram_alloc",
)

# linux/kvm.h: _IO(KVMIO, 0x80), 44672 in decimal; of ppc, mips, sparc and alpha, whose _IOC_NONE is 1, 536915584
KVM_RUN = frozenset((0xAE80, 0x2000AE80))


class TakesLock(NamedTuple):
    """Functions whose wait for a mutex is a wait for one of QEMU's locks."""

    state: str
    lock: str
    functions: Names


# In order; looked for in the function that called the mutex wrappers and, for thin wrappers, in its callers.
TAKES_LOCK: Tuple[TakesLock, ...] = (
    # system/cpus.c bql_lock_impl since 9.0; softmmu/cpus.c, cpus.c qemu_mutex_lock_iothread(_impl) before
    TakesLock(
        "waiting-bql",
        "BQL",
        Names(
            "bql_lock_impl",
            "bql_lock",
            "qemu_mutex_lock_iothread",
            "qemu_mutex_lock_iothread_impl",
            "bql_auto_lock",
            "qemu_mutex_iothread_lock",
            "kvm_mutex_lock",
            "qemu_cond_wait_bql",
            "rust_bql_lock",
        ),
    ),
    # util/async.c up to 8.2; the lock went away with 9.0. Compilers inline aio_context_acquire into the others.
    TakesLock(
        "waiting-aiocontext-lock",
        "AioContext",
        Names("aio_context_acquire", "aio_co_enter", "aio_co_wake", "co_schedule_bh_cb", "rfifolock_lock"),
    ),
)
# Functions that take the BQL and no other mutex, into which compilers (link-time optimisation) inline the taking: a
# mutex wait that they call themselves is for the BQL. Left out: those that take another lock too (synchronize_rcu's in
# call_rcu_thread, the list of CPUs in rr_cpu_thread_fn).
# util/main-loop.c, accel/kvm/kvm-all.c, accel/kvm/kvm-accel-ops.c, accel/tcg/{cputlb,cpu-exec}.c,
# system/{physmem.c,memory_ldst.c.inc}, target/*/hvf/hvf.c; 2.9 to 10.2
INLINES_BQL = Names(
    "main_loop_wait",
    "os_host_main_loop_wait",
    "prepare_mmio_access",
    "flatview_read*",
    "flatview_write*",
    "address_space_ld*",
    "address_space_st*",
    "address_space_read*",
    "address_space_write*",
    "address_space_rw",
    "io_readx",
    "io_writex",
    "do_ld*_mmio*",
    "do_st*_mmio*",
    "int_ld*_mmio*",
    "int_st*_mmio*",
    "cpu_handle_halt",
    "cpu_handle_exception",
    "cpu_handle_interrupt",
    "cpu_exec_loop",
    "cpu_exec_setjmp",
    "helper_*",
    "kvm_cpu_exec",
    "kvm_vcpu_thread_fn",
    "hvf_vcpu_exec",
)

# Names of QEMU's big lock as a symbol: cpus.c up to 8.2, system/cpus.c since 9.0
BQL_SYMBOLS = frozenset({"qemu_global_mutex", "bql"})
