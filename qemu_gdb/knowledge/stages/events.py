"""Event loops, bottom halves, timers, coroutines, workers, RCU, and the locks and system calls that stacks end in."""

from __future__ import annotations

from typing import Dict, Optional

from ..helpers import helper_for
from ..match import Names
from ..rests import LOOP_OWNERS
from ..waits import ENTERS_LOCK, INLINES_BQL, SIGNALS_CONDITION, WAKES
from .rows import Row, View
from .vcpus import ioctl_name

MAIN_LOOP = Names(
    "main_loop_wait",
    "os_host_main_loop_wait",
    "main_loop",
    "qemu_main_loop",
    "qemu_default_main",
    "main_loop_should_exit",
    "glib_pollfds_poll",
    "pollfds_poll",
)
_COUNTED = Names("ppoll", "poll", "qemu_poll_ns", "g_poll")
_POLL = Names(
    "ppoll",
    "poll",
    "qemu_poll_ns",
    "epoll_wait",
    "epoll_pwait",
    "fdmon_poll_wait",
    "fdmon_epoll_wait",
    "fdmon_io_uring_wait",
    "g_poll",
    "g_main_context_poll*",
    "os_host_main_loop_wait",
    "select",
    "aio_poll",
    "io_uring_submit_and_wait",
    "io_uring_submit_and_wait_timeout",
)


def duration(nanoseconds: int) -> str:
    """A time span as people read it."""
    if nanoseconds >= 10_000_000_000:
        return f"{nanoseconds / 1e9:.0f} s"
    if nanoseconds >= 1_000_000_000:
        return f"{nanoseconds / 1e9:.1f} s".replace(".0 s", " s")
    if nanoseconds >= 1_000_000:
        return f"{round(nanoseconds / 1e6)} ms"
    if nanoseconds >= 1_000:
        return f"{round(nanoseconds / 1e3)} µs"
    return f"{nanoseconds} ns"


def polled(view: View) -> str:
    """What an event loop that rests polls: "polls 3 descriptors, next timer in 55 ms"."""
    if "polled" not in view.memo:
        view.memo["polled"] = _polled(view)
    return str(view.memo["polled"])


def _polled(view: View) -> str:
    count = view.number(_COUNTED, "nfds", "__nfds", "n_fds")
    timeout = view.number(("qemu_poll_ns", "os_host_main_loop_wait", "fdmon_poll_wait", "fdmon_epoll_wait"), "timeout")
    words = "polls its descriptors"
    if count is not None and 0 <= count < 1_000_000:
        words = f"polls {count} descriptor{'s' if count != 1 else ''}"
    if timeout is None:
        return words
    if timeout < 0:
        return f"{words}, no timer is due"
    if timeout == 0:
        return f"{words} without waiting"
    return f"{words}, next timer in {duration(timeout)}"


def _main_loop(view: View) -> str:
    if all(n in _POLL or n in MAIN_LOOP or n.startswith("g_main") for n in view.inward if n):
        return polled(view.part(0, view.last))
    if view.has("main_loop_should_exit"):
        return "the main loop acts on a shutdown, reset or stop request"
    return "the main loop dispatches an event"


def _poll(view: View) -> str:
    return polled(view.part(0, view.last))


def _nested(view: View) -> bool:
    """Whether the run is a poll inside other work, not a thread's own loop."""
    return (
        "aio_poll" in view.names
        and not view.has("iothread_run")
        and view.caller
        not in (
            "",
            "iothread_run",
            "qemu_thread_start",
            "start_thread",
            "main",
            "g_main_context_dispatch",
            "coroutine_trampoline",
        )
    )


# Who runs GLib's loop as its own: a thread's function, or QEMU's main loop
_GLIB_LOOPS = frozenset(
    ("", "qemu_thread_start", "start_thread", "main_loop_wait", "os_host_main_loop_wait", "g_thread_proxy",
     *LOOP_OWNERS)
)  # fmt: skip


def _nested_glib(view: View) -> bool:
    """Whether a GLib main loop runs inside other work (hw/virtio/vhost-user.c did, up to 7.x)."""
    return (
        view.callee != ""
        and not view.has("iothread_run")
        and view.has("g_main_loop_run", "g_main_context_iteration")
        and view.caller not in _GLIB_LOOPS
    )


def _aio_poll(view: View) -> str:
    if _nested_glib(view):
        return "nested GLib main loop: dispatches an event meanwhile"
    rests = all(n in _POLL or n.startswith("g_main") or n in ("iothread_run", "syscall") for n in view.inward if n)
    if _nested(view):
        return (
            "nested poll: waits for events until that is done"
            if rests
            else "nested poll: dispatches an event meanwhile"
        )
    if rests:
        return polled(view.part(0, view.last))
    if view.has("try_poll_mode", "run_poll_handlers", "run_poll_handlers_once"):
        return "the event loop busy-polls its handlers"
    return "the event loop dispatches an event"


def _bottom_half(view: View) -> str:
    callee = view.callee
    if callee and callee not in ("abort", "raise") and not helper_for(callee, "crash"):
        return f"runs the bottom half {callee}"
    name = view.string(("aio_bh_call",), "name")
    return f"runs the bottom half {name}" if name else "runs a bottom half"


def _timer(view: View) -> str:
    callee = view.callee
    if callee.startswith("replay_"):  # util/qemu-timer.c: asked before the timers of a clock run
        return "runs due timers"
    return f"runs the timer callback {callee}" if callee else "runs due timers"


def _handler(view: View) -> str:
    callee = view.callee
    return f"calls the descriptor handler {callee}" if callee else "looks for ready descriptors"


def _coroutine_entry(view: View) -> str:
    callee = view.callee
    return f"in a coroutine started as {callee}" if callee else "in a coroutine"


def _enter(view: View) -> str:
    return "enters a coroutine"


def _yield(view: View) -> str:
    callee = view.caller
    if view.has("qemu_co_queue_wait_impl"):
        return f"the coroutine waits in a queue ({callee})" if callee else "the coroutine waits in a queue"
    if any(n.startswith(("qemu_co_mutex_lock", "qemu_co_rwlock")) for n in view.names):
        return f"the coroutine waits for a CoMutex ({callee})" if callee else "the coroutine waits for a CoMutex"
    if view.has("qemu_co_sleep", "qemu_co_sleep_ns", "qemu_co_sleep_ns_wakeable"):
        return "the coroutine sleeps on a timer"
    return (
        f"the coroutine has yielded in {callee}"
        if callee and callee != "coroutine_trampoline"
        else "the coroutine has yielded"
    )


_BQL = Names(
    "qemu_mutex_lock_iothread_impl",
    "qemu_mutex_lock_iothread",
    "bql_lock_impl",
    "bql_lock",
    "bql_auto_lock",
    "rust_bql_lock",
)


def _bql(view: View) -> str:
    if any(
        n
        in ("qemu_cond_wait_iothread", "qemu_cond_wait_bql", "qemu_cond_timedwait_iothread", "qemu_cond_timedwait_bql")
        for n in view.names
    ):
        return "waits on a condition with the BQL"
    inner = [n for n in view.all_names[: view.last + 1] if n]
    if (
        any(
            n in ("lll_lock_wait", "__lll_lock_wait", "futex_wait", "qemu_mutex_lock_impl", "pthread_mutex_lock")
            or n.startswith(("_L_lock", "__lll", "__GI___lll"))
            for n in inner
        )
        or inner
        and inner[0] in _BQL
    ):
        return "waits for the BQL"
    unlocks = any("unlock" in n for n in view.names)
    return "gives the BQL up" if unlocks else "takes the BQL"


def lock_name(view: View) -> str:
    """Name of the mutex that the innermost lock call is about, "" without a symbol."""
    symbol = view.symbol(None, "mutex", "lock", "m")
    if symbol in ("qemu_global_mutex", "bql"):
        return "the BQL"
    if symbol:
        return symbol.split("+")[0]
    return "the BQL" if view.outer and view.outer[0] in INLINES_BQL else ""


def _mutex(view: View) -> str:
    name = lock_name(view)
    verb = "locks" if any(view.inner) else "waits for"
    innermost = view.frames[0]
    if innermost.name in ENTERS_LOCK and (innermost.pc or innermost.file):
        verb = "takes"
    if any("unlock" in n for n in view.names):
        verb = "unlocks"
    if innermost.name.startswith("qemu_spin_"):  # include/qemu/thread.h: it never sleeps
        return "gives a spin lock up" if verb == "unlocks" else "takes a spin lock"
    if name:
        return f"{verb} {name}"
    address = view.number(None, "mutex", "futex", "futex_word")
    return f"{verb} a mutex at {address:#x}" if address is not None and address > 4096 else f"{verb} a mutex"


def _timed(view: View) -> bool:
    """Whether a wait has a time limit. glibc's futex_abstimed_wait serves both kinds: a NULL abstime is none."""
    limit = view.number(None, "abstime")
    if limit is not None:
        return limit != 0
    return any("timed" in n and "abstimed" not in n or "clockwait" in n or "wait_until" in n for n in view.names)


def _condition(view: View) -> str:
    cond = view.symbol(None, "cond")
    timed = _timed(view)
    if cond:
        return f"waits on {cond.split('+')[0]}{' with a time limit' if timed else ''}"
    return "waits on a condition with a time limit" if timed else "waits on a condition"


def _semaphore(view: View) -> str:
    symbol = view.symbol(None, "sem", "ev", "event")
    if "qemu_event_set" in view.names:
        return f"sets {symbol.split('+')[0]}" if symbol else "sets an event"
    if any(n.lstrip("_") in WAKES for n in view.names if n) or not SIGNALS_CONDITION.isdisjoint(view.all_names[:4]):
        return "wakes another thread"
    what = "an event" if any("event" in n for n in view.names) else "a semaphore"
    return f"waits for {symbol.split('+')[0]}" if symbol else f"waits for {what}"


# What a thread that rests in a system call is doing there, without the values.
_CALLS: Dict[str, str] = {
    "recvmsg": "receives from a socket",
    "recv": "receives from a socket",
    "recvfrom": "receives from a socket",
    "read": "reads from a descriptor",
    "readv": "reads from a descriptor",
    "pread": "reads from a file",
    "pread64": "reads from a file",
    "preadv": "reads from a file",
    "preadv64": "reads from a file",
    "write": "writes to a descriptor",
    "writev": "writes to a descriptor",
    "pwrite": "writes to a file",
    "pwrite64": "writes to a file",
    "pwritev": "writes to a file",
    "pwritev64": "writes to a file",
    "send": "sends to a socket",
    "sendmsg": "sends to a socket",
    "sendto": "sends to a socket",
    "accept": "waits for a connection",
    "accept4": "waits for a connection",
    "connect": "connects",
    "fsync": "flushes a file to disk",
    "fdatasync": "flushes a file to disk",
    "fallocate": "allocates or punches file space",
    "fallocate64": "allocates or punches file space",
    "internal_fallocate64": "allocates file space",
    "internal_fallocate": "allocates file space",
    "posix_fallocate": "allocates file space",
    "posix_fallocate64": "allocates file space",
    "lseek": "seeks in a file",
    "lseek64": "seeks in a file",
    "flock": "locks a file",
    "fcntl": "sets a descriptor's flags or lock",
    "open": "opens a file",
    "openat": "opens a file",
    "open64": "opens a file",
    "close": "closes a descriptor",
    "munmap": "unmaps memory",
    "mmap": "maps memory",
    "mmap64": "maps memory",
    "madvise": "gives memory advice",
    "nanosleep": "sleeps",
    "clock_nanosleep": "sleeps",
    "usleep": "sleeps",
    "sleep": "sleeps",
    "g_usleep": "sleeps",
    "waitpid": "waits for a child process",
    "wait4": "waits for a child process",
    "waitid": "waits for a child process",
    "io_getevents": "collects finished Linux AIO",
    "io_submit": "submits Linux AIO",
    "sigwait": "waits for a signal",
    "sigtimedwait": "waits for a signal",
    "sigwaitinfo": "waits for a signal",
    "sigsuspend": "waits for a signal",
    "msync": "writes memory back to its file",
    "memcpy": "copies memory",
    "memmove": "copies memory",
    "memset": "fills memory",
}


def system_call(view: View) -> Optional[str]:
    """What the innermost known libc call of the run does, with the descriptor and count where they are readable."""
    for position in range(view.first, view.last + 1):
        name = view.all_names[position]
        phrase = _CALLS.get(name)
        if phrase is None:
            continue
        here = view.part(position, position)
        descriptor = here.number(None, "fd", "s", "sockfd", "__fd", "fildes")
        if descriptor is not None and 0 <= descriptor < 1 << 20:
            phrase = (
                phrase.replace("a descriptor", f"descriptor {descriptor}")
                .replace("a socket", f"the socket, descriptor {descriptor}")
                .replace("a file", f"the file, descriptor {descriptor}")
            )
        return f"{phrase} ({name})"
    name = ioctl_name(view)
    return f"ioctl {name}" if name else None


ROWS = (
    # util/main-loop.c, system/runstate.c, system/main.c (10.2); before: main-loop.c, vl.c
    Row("main loop", MAIN_LOOP, _main_loop, short="", subsystem="Main loop", weight=1),
    # util/aio-posix.c, fdmon-*.c, async.c; aio-posix.c before 2.9
    Row(
        "event loop",
        Names(
            "aio_poll",
            "aio_ctx_dispatch",
            "aio_ctx_prepare",
            "aio_ctx_check",
            "aio_dispatch",
            "aio_dispatch_handlers",
            "aio_dispatch_handler",
            "aio_dispatch_ready_handlers",
            "aio_pending",
            "try_poll_mode",
            "run_poll_handlers",
            "run_poll_handlers_once",
            "fdmon_poll_wait",
            "fdmon_epoll_wait",
            "fdmon_epoll_try_upgrade",
            "fdmon_io_uring_wait",
            "qemu_poll_ns",
            "iothread_run",
            "aio_epoll",
            "poll_set_started",
            "fdmon_poll_*",
            "fdmon_epoll_*",
            "fdmon_io_uring_*",
            "aio_set_fd_handler",
            "aio_set_fd_poll",
            "aio_set_event_notifier*",
            "aio_context_*setup*",
            "aio_free_deleted_handlers",
            "remove_idle_poll_handlers",
            "aio_notify",
            "aio_notify_accept",
            "io_uring_*",
        ),
        _aio_poll,
        short=lambda v: "nested poll" if _nested(v) else "",
        subsystem="Block I/O path",
        weight=4,
        reads=("ppoll", "poll", "g_poll", "qemu_poll_ns"),
    ),
    # GLib: glib/gmain.c
    Row(
        "GLib main loop",
        Names(
            "g_main_context_dispatch*",
            "g_main_context_iterate*",
            "g_main_context_iteration",
            "g_main_loop_run",
            "g_main_dispatch",
            "g_main_context_poll*",
            "g_poll",
            "gmain_worker",
            "glib_worker_main",
            "gdbus_shared_thread_func",
            "g_main_context_*",
        ),
        _aio_poll,
        short=lambda v: "nested poll" if _nested_glib(v) else "",
        subsystem=None,
        weight=4,
    ),
    # util/async.c (10.2)
    Row(
        "bottom half scheduling",
        Names("qemu_bh_schedule*", "aio_bh_schedule_oneshot*", "aio_bh_enqueue"),
        "schedules a bottom half",
        weight=3,
    ),
    # util/async.c (10.2); before: async.c
    Row(
        "bottom half",
        Names("aio_bh_call", "aio_bh_poll", "qemu_bh_poll"),
        _bottom_half,
        short=_bottom_half,
        subsystem="Block I/O path",
        weight=3,
        trigger=True,
    ),
    # util/async.c, util/qemu-coroutine-lock.c, util/qemu-coroutine.c (10.2)
    Row(
        "coroutine wake-up",
        Names(
            "co_schedule_bh_cb",
            "aio_co_wake",
            "aio_co_enter",
            "aio_co_schedule",
            "qemu_co_queue_run_restart",
            "qemu_coroutine_enter",
            "qemu_aio_coroutine_enter",
            "qemu_coroutine_enter_if_inactive",
            "qemu_co_enter_next_impl",
            "qemu_co_queue_next",
            "qemu_co_queue_restart_all",
            "qemu_co_queue_do_restart",
            "qemu_co_enter_all_impl",
        ),
        _enter,
        short="",
        subsystem=None,
        weight=1,
    ),
    # util/coroutine-sigaltstack.c, util/coroutine-ucontext.c, util/coroutine-wasm.c (10.2)
    Row(
        "coroutine",
        Names(
            "coroutine_trampoline",
            "__start_context",
            "__makecontext_ret",
            "makecontext",
            "coroutine_bootstrap",
            "coroutine_thread",
        ),
        _coroutine_entry,
        short="",
        subsystem=None,
        weight=1,
    ),
    # util/qemu-coroutine-lock.c, util/qemu-coroutine-sleep.c, util/qemu-coroutine.c (10.2)
    Row(
        "coroutine yield",
        Names(
            "qemu_coroutine_yield",
            "qemu_co_queue_wait_impl",
            "qemu_co_mutex_lock",
            "qemu_co_mutex_lock_slowpath",
            "qemu_co_rwlock_rdlock",
            "qemu_co_rwlock_wrlock",
            "qemu_co_rwlock_upgrade",
            "qemu_co_sleep",
            "qemu_co_sleep_ns",
            "qemu_co_sleep_ns_wakeable",
            "co_aio_sleep_ns",
            "yield_until_fd_readable",
            "qemu_co_queue_wait",
            "aio_co_reschedule_self",
        ),
        _yield,
        weight=5,
    ),
    # util/coroutine-sigaltstack.c, util/coroutine-ucontext.c, util/coroutine-wasm.c (10.2)
    Row(
        "coroutine switch",
        Names(
            "qemu_coroutine_switch",
            "swapcontext",
            "__sigsetjmp",
            "sigsetjmp",
            "siglongjmp",
            "__vmx__longjmp",
            "coroutine_swap",
            "SwitchToFiber",
            "longjmp",
            "__libc_siglongjmp",
        ),
        lambda v: (
            "leaves the CPU loop (longjmp)" if any(n.startswith("cpu_loop_exit") for n in v.all_names)
            else "switches coroutines"
        ),
        weight=3,
    ),
    # util/coroutine-sigaltstack.c, util/coroutine-ucontext.c, util/coroutine-wasm.c (10.2)
    Row(
        "coroutine pool",
        Names(
            "qemu_coroutine_new",
            "qemu_coroutine_create",
            "qemu_coroutine_delete",
            "coroutine_delete",
            "qemu_free_stack",
            "qemu_alloc_stack",
            "coroutine_pool_*",
            "local_pool_cleanup*",
        ),
        lambda v: (
            "frees a coroutine's stack"
            if any("delete" in n or "free" in n or "cleanup" in n for n in v.names)
            else "creates a coroutine"
        ),
        subsystem=None,
        weight=4,
    ),
    # util/qemu-timer.c
    Row(
        "timer",
        Names(
            "timerlist_run_timers",
            "timerlistgroup_run_timers",
            "qemu_clock_run_timers",
            "qemu_clock_run_all_timers",
            "qemu_run_timers",
            "qemu_clock_advance_virtual_time",
            "qemu_clock_warp",
        ),
        _timer,
        weight=6,
        trigger=True,
    ),
    # accel/tcg/icount-common.c, accel/tcg/tcg-accel-ops-icount.c (10.2); before: softmmu/icount.c, cpus.c
    Row("instruction count", Names("icount_*"), "counts the guest's instructions (icount)", weight=3),
    # io/channel-watch.c, chardev/char-io.c (10.2); before: iohandler.c, qemu-char.c
    Row(
        "descriptor handler",
        Names(
            "qemu_iohandler_poll",
            "iohandler_*",
            "qio_channel_fd_source_dispatch",
            "qio_channel_*_source_dispatch",
            "io_watch_poll_dispatch",
            "event_notifier_*",
        ),
        _handler,
        short="",
        weight=2,
    ),
    # util/thread-pool.c
    Row(
        "worker thread",
        Names("worker_thread", "aio_thread", "do_spawn_thread", "spawn_thread_bh_fn", "thread_pool_*", "spawn_thread"),
        lambda v: (
            "has no request"
            if any("sem_" in n or "cond_" in n for n in v.names)
            else "completes requests of the thread pool"
            if v.has("thread_pool_completion_bh")
            else "waits for the thread pool"
            if v.has("thread_pool_free", "thread_pool_wait")
            else "executes a request of the thread pool"
            if v.has("worker_thread", "aio_thread")
            else "works on the thread pool"
        ),
        short="",
        subsystem="Block I/O path",
        weight=2,
    ),
    # util/rcu.c
    Row(
        "RCU",
        Names(
            "call_rcu_thread",
            "try_dequeue",
            "call_rcu1",
            "synchronize_rcu",
            "wait_for_readers",
            "drain_call_rcu",
            "drain_rcu_callback",
            "rcu_register_thread",
            "rcu_unregister_thread",
            "qemu_rcu_*",
            "rcu_init*",
        ),
        lambda v: (
            "waits until every reader has left its RCU critical section"
            if v.has("wait_for_readers", "synchronize_rcu")
            else "waits until the RCU thread has run all callbacks"
            if v.has("drain_call_rcu")
            else "no callback is queued"
            if "qemu_event_wait" in v.inward and v.has("call_rcu_thread")
            else "runs RCU callbacks"
            if v.callee and v.has("call_rcu_thread")
            else "works on RCU"
        ),
        subsystem="RCU",
        weight=6,
    ),
    # the BQL: system/cpus.c (softmmu/cpus.c, cpus.c)
    Row(
        "BQL",
        Names(
            *_BQL.patterns,
            "qemu_cond_wait_iothread",
            "qemu_cond_timedwait_iothread",
            "qemu_cond_wait_bql",
            "qemu_cond_timedwait_bql",
            "qemu_mutex_unlock_iothread",
            "bql_unlock",
            "qemu_mutex_lock_iothread_impl",
            "bql_auto_unlock",
        ),
        _bql,
        subsystem="Main loop",
        weight=9,
    ),
    # async.c, util/async.c (before 10.0)
    Row(
        "AioContext lock",
        Names("aio_context_acquire", "aio_context_release"),
        lambda v: (
            "releases an AioContext's lock"
            if v.has("aio_context_release") and not v.has("aio_context_acquire")
            else "waits for an AioContext's lock"
        ),
        subsystem="Block I/O path",
        weight=9,
    ),
    # block/graph-lock.c (10.2)
    Row(
        "graph lock",
        Names(
            "bdrv_graph_wrlock",
            "bdrv_graph_co_rdlock",
            "bdrv_graph_rdlock*",
            "bdrv_graph_wrunlock*",
            "bdrv_graph_wrlock_drained",
            "bdrv_graph_co_rdunlock",
            "assert_bdrv_graph_*",
        ),
        lambda v: (
            "waits until no reader of the block graph is left"
            if any("wrlock" in n for n in v.names)
            else "gives the block graph's lock up"
            if any("unlock" in n for n in v.names)
            else "takes the block graph's read lock"
            if any("rdlock" in n for n in v.names)
            else "checks that the block graph's lock is held"
        ),
        subsystem="Block layer core",
        weight=8,
    ),
    # util/qemu-thread-posix.c
    Row(
        "mutex",
        Names(
            "qemu_mutex_lock_impl",
            "qemu_mutex_lock",
            "qemu_rec_mutex_lock",
            "qemu_rec_mutex_lock_impl",
            "pthread_mutex_lock",
            "pthread_mutex_timedlock",
            "lll_lock_wait",
            "__lll_lock_wait",
            "lll_mutex_lock_optimized",
            "pthread_mutex_lock_full",
            "g_mutex_lock*",
            "qemu_lockcnt_*",
            "qemu_spin_lock",
            "pthread_rwlock_*",
            "__lll_lock_wait_private",
            "g_rec_mutex_lock*",
            "pthread_spin_lock",
            "pthread_mutex_cond_lock",
            "_L_lock_*",
            "__L_lock_*",
            "qemu_mutex_unlock_impl",
            "pthread_mutex_unlock*",
            "job_lock*",
        ),
        _mutex,
        subsystem=None,
        weight=6,
    ),
    # util/qemu-thread-posix.c, util/qemu-thread-win32.c (10.2); before: qemu-thread-posix.c, qemu-thread-win32.c
    Row(
        "condition",
        Names(
            "qemu_cond_wait",
            "qemu_cond_wait_impl",
            "qemu_cond_timedwait",
            "qemu_cond_timedwait_impl",
            "qemu_cond_timedwait_ts",
            "pthread_cond_wait*",
            "pthread_cond_timedwait*",
            "pthread_cond_clockwait*",
            "g_cond_wait*",
            "futex_abstimed_wait*",
            "__futex_abstimed_wait*",
            "futex_wait_cancelable",
        ),
        _condition,
        subsystem=None,
        weight=4,
    ),
    # util/qemu-thread-posix.c, util/qemu-thread-win32.c, util/event.c (10.2)
    Row(
        "event",
        Names(
            "qemu_event_wait",
            "qemu_futex_wait",
            "qemu_sem_wait",
            "qemu_sem_timedwait",
            "sem_wait",
            "sem_timedwait",
            "do_futex_wait*",
            "__new_sem_wait*",
            "new_sem_wait*",
            "sem_clockwait*",
            "futex_wait",
            "qemu_event_set",
            "futex_wait_simple",
        ),
        _semaphore,
        subsystem=None,
        weight=4,
    ),
    # util/qemu-thread-posix.c, util/qemu-thread-win32.c (10.2)
    Row(
        "thread join",
        Names(
            "qemu_thread_join",
            "pthread_join",
            "pthread_timedjoin*",
            "pthread_clockjoin*",
            "pthread_tryjoin*",
            "g_thread_join",
            "pthread_clockjoin_ex",
            "lll_wait_tid",
        ),
        "waits for another thread to end (join)",
        subsystem=None,
        weight=7,
    ),
    # util/qemu-thread-posix.c, util/qemu-thread-win32.c (10.2); before: qemu-thread-posix.c, qemu-thread-win32.c
    Row("thread start", Names("qemu_thread_create", "pthread_create", "g_thread_new"), "creates a thread", weight=4),
    # util/compatfd.c
    Row("signal thread", Names("sigwait_compat"), "waits for signals to hand to the main loop", weight=5),
    # what stacks end in, where QEMU waits for the kernel
    Row(
        "system call",
        Names(*(n for n in _CALLS if n not in ("memcpy", "memmove", "memset"))),
        lambda v: system_call(v) or v.innermost,
        subsystem=None,
        weight=6,
        reads=tuple(_CALLS),
    ),
    # libc
    Row(
        "memory copy",
        Names("memcpy*", "__memcpy*", "memmove*", "__memmove*", "memset*", "__memset*"),
        lambda v: "fills memory" if any("memset" in n for n in v.names) else "copies memory",
        subsystem=None,
        weight=3,
    ),
)
