"""Where each kind of thread waits when it has nothing to do: a thread there is idle, and that is normal."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Tuple

from .match import Names

ANY = Names("*")


class Rest(NamedTuple):
    """A resting place: the QEMU function that called the wait, for threads of some role."""

    name: str
    roles: Tuple[str, ...]
    at: Names  # the innermost function that is no waiting function
    says: str


VCPUS = ("vcpu-kvm", "vcpu-mttcg", "vcpu-tcg-rr", "vcpu-other")

RESTS: Tuple[Rest, ...] = (
    # ui/cocoa.m since 4.0: the first thread serves the UI, QEMU's main loop runs in another
    Rest("cocoa-ui", ("display",), Names("*CFRunLoop*", "-[NSApplication *", "_DPSNextEvent"), "waits for UI events"),
    # Qt's event loop, of the Android Emulator's UI
    Rest("qt-ui", ("display",), Names("QEventDispatcher*", "QEventLoop::*", "QXcb*"), "waits for UI events"),
    # system/cpus.c qemu_wait_io_event; qemu_{kvm,tcg,hax,hvf}_wait_io_event up to 2.11; inlined into the thread's
    # function in 2.x
    Rest(
        "vcpu-halted",
        VCPUS,
        Names(
            "qemu_wait_io_event", "qemu_process_cpu_events",
            "qemu_kvm_wait_io_event",
            "qemu_tcg_wait_io_event",
            "qemu_tcg_rr_wait_io_event",
            "rr_wait_io_event",
            "qemu_hax_wait_io_event",
            "qemu_hvf_wait_io_event",
            "qemu_wait_io_event_common", "qemu_process_cpu_events_common",
            "qemu_tcg_cpu_thread_fn",
            "qemu_kvm_cpu_thread_fn",
            "kvm_vcpu_thread_fn",
            "mttcg_cpu_thread_fn",
            "tcg_cpu_thread_fn",
            "rr_cpu_thread_fn",
            "tcg_rr_cpu_thread_fn",
            "qemu_tcg_rr_cpu_thread_fn",
            "kvm_cpu_thread_fn",
            "hvf_cpu_thread_fn",
            "whpx_cpu_thread_fn",
            "qemu_hvf_cpu_thread_fn",
            "qemu_whpx_cpu_thread_fn",
            "hax_cpu_thread_fn",
            "qemu_nvmm_cpu_thread_fn",
            "mshv_vcpu_thread",
            "kvm_main_loop_wait",
            "kvm_main_loop_cpu",
            "tcg_cpu_thread",
            "rr_start_vcpu_wait",
            "hvf_wait_for_ipi",
            "hvf_wfi",
        ),
        "the vCPU is halted, stopped or has nothing to do",
    ),
    # accel/dummy-cpus.c: sigwait on POSIX, a semaphore on Windows
    Rest(
        "dummy-vcpu",
        ("vcpu-other",),
        Names("dummy_cpu_thread_fn", "qemu_dummy_cpu_thread_fn"),
        "waits for work for its CPU",
    ),
    # util/main-loop.c
    Rest(
        "main-loop",
        ("main-loop", "tool-main", "test", "unknown"),
        Names(
            "os_host_main_loop_wait",
            "main_loop_wait",
            "main_loop",
            "qemu_main_loop",
            "glib_pollfds_poll",
            "slirp_pollfds_poll",
        ),
        "waits for descriptors, timers and bottom halves",
    ),
    # tools/virtiofsd/fuse_virtio.c, 5.0 to 7.2
    Rest("virtiofsd", ("tool-main", "unknown"), Names("virtio_loop"), "waits for vhost-user messages"),
    Rest("rcu", ("rcu",), Names("call_rcu_thread"), "no callback is queued, or it lets some gather"),
    # util/thread-pool.c (ten second timeout), posix-aio-compat.c
    Rest(
        "pool-worker",
        ("thread-pool-worker",),
        Names("worker_thread", "aio_thread", "g_thread_pool_wait_for_new_task"),
        "waits for a request",
    ),
    Rest(
        "vnc-worker", ("vnc-worker",), Names("vnc_worker_thread_loop", "vnc_worker_thread"), "waits for an encoding job"
    ),
    # migration/multifd.c
    Rest("multifd-send", ("multifd-send",), Names("multifd_send_thread"), "waits for pages to send"),
    Rest("multifd-recv", ("multifd-recv",), Names("multifd_recv_thread", "multifd_recv_sync_main"), "waits for pages"),
    # migration/migration.c: bandwidth limit; since 2.8 migration_rate_limit, before in the thread itself
    Rest(
        "migration-rate-limit",
        ("migration",),
        Names("migration_rate_limit", "migration_thread", "bg_migration_thread"),
        "the bandwidth limit makes it pause",
    ),
    # migration/colo.c
    Rest(
        "colo-checkpoint",
        ("migration", "colo"),
        Names("colo_process_checkpoint", "colo_process_incoming_thread"),
        "waits for the next checkpoint",
    ),
    Rest("postcopy-fault", ("postcopy-fault",), Names("postcopy_ram_fault_thread"), "waits for a page fault"),
    Rest("compress", ("compress",), Names("do_data_compress", "do_data_decompress"), "waits for a page"),
    Rest("thread-context", ("mem-prealloc",), Names("thread_context_run"), "waits for a thread to create"),
    # threads of single devices and services wait in their own functions
    Rest(
        "helper",
        ("helper",),
        Names(
            "sigwait_compat",
            "writeout_thread",
            "wait_for_trace_records_available",
            "kvm_dirty_ring_reaper_thread",
            "edu_fact_thread",
            "handle_apdu_thread",
            "event_thread",
            "u2f_emulated_thread",
            "cryptodev_lkcf_worker",
            "comp_handler_thread",
            "tpm_backend_worker_thread",
            "kvm_msr_energy_thread",
            "gdbserver_accept_thread",
            "exit_with_parent_loop",
            "fv_queue_thread",
            "nbd_client",  # nbd/client.c, called by qemu-nbd.c nbd_client_thread: NBD_DO_IT lasts as long as the device
            "nbd_client_thread",
            "qio_task_thread_worker",
            "vcpu_dirty_rate_stat_thread",
            "vcpu_dirty_rate_stat_collect",
            "umad_recv_thread_func",
            "win_stdio_thread",
            "tap_win32_thread_entry",
        ),
        "waits for work",
    ),
)

# Functions that wait on a condition with the BQL as its mutex: woken up, they want the BQL back (system/cpus.c)
WAITS_WITH_BQL = Names(
    *next(row for row in RESTS if row.name == "vcpu-halted").at.patterns,
    "pause_all_vcpus",
    "qemu_init_vcpu",
    "qemu_cond_wait_bql",
    "qemu_cond_timedwait_bql",
    "qemu_cond_wait_iothread",
    "qemu_cond_timedwait_iothread",
    "do_run_on_cpu",
    "run_on_cpu",
    "cpu_throttle_thread",
)

# Threads that read what a peer sends: waiting for it is their normal place
READERS: Dict[str, Names] = {
    "migration-return-path": Names("source_return_path_thread"),
    "multifd-recv": Names("multifd_recv_thread"),
    "postcopy-fault": Names("postcopy_preempt_thread", "ram_load_postcopy"),
}

# Waiting functions between QEMU's and a library's event loop: the loop's owner is further out.
EVENT_LOOPS = Names(
    # util/aio-posix.c, util/async.c, util/fdmon-*.c, util/main-loop.c, GLib
    "aio_poll",
    "aio_poll_disabled",
    "aio_dispatch",
    "aio_dispatch_handler",
    "aio_dispatch_handlers",
    "aio_dispatch_ready_handlers",
    "aio_bh_poll",
    "aio_bh_call",
    "aio_bh_dequeue",
    "aio_ctx_dispatch",
    "aio_ctx_prepare",
    "aio_ctx_check",
    "run_poll_handlers",
    "run_poll_handlers_once",
    "try_poll_mode",
    "aio_compute_timeout",
    "aio_prepare",
    "aio_pending",
    "aio_add_ready_handler",
    "fdmon_poll_wait",
    "fdmon_epoll_wait",
    "fdmon_io_uring_wait",
    "fdmon_*_gsource_*",  # since 10.2
    "aio_set_fd_poll_notify",
    "poll_set_started",
    "aio_epoll",
    "qemu_poll_ns",
    "qemu_aio_wait",
    "qemu_aio_flush",
    "aio_context_notifier",
    "aio_notify_accept",
    "remove_idle_poll_handlers",
    "g_main_loop_run",
    "g_main_context_iteration",
    "g_main_context_iterate",
    "g_main_context_iterate_unlocked",
    "g_main_context_dispatch",
    "g_main_context_dispatch_unlocked",
    "g_main_dispatch",
    "g_main_context_poll",
    "g_main_context_check",
    "g_main_context_poll_unlocked",
    "g_main_context_prepare",
    "g_main_context_query",
    "g_main_context_wait",
    "g_source_callback",
    "g_poll",
    "g_main_run",
    "qcow2_aio_poll",
)
# Those that call handlers: what runs inside them was not called by the functions outside
GLIB_DISPATCHERS = Names("g_main_dispatch", "g_main_context_dispatch", "g_main_context_dispatch_unlocked")
DISPATCHERS = Names(
    *GLIB_DISPATCHERS.patterns,
    "aio_bh_call",
    "aio_bh_poll",
    "aio_dispatch",
    "aio_dispatch_handler",
    "aio_dispatch_handlers",
    "aio_dispatch_ready_handlers",
    "aio_ctx_dispatch",
    "timerlist_run_timers",
)
# Those among them that poll by themselves: who calls them waits for something
POLLERS = Names(
    "aio_poll",
    "g_main_loop_run",
    "g_main_context_iteration",
    "qemu_aio_wait",
    "qemu_aio_flush",
    "main_loop_wait",
    "g_main_run",
)
# Those that call no handler themselves: what they call, and is not named, is poll(). GLib's glib/gmain.c dispatches by
# g_main_context_dispatch, util/main-loop.c by glib_pollfds_poll
ONLY_POLLS = Names("g_main_context_iterate*", "g_main_context_poll*", "os_host_main_loop_wait", "fdmon_*_wait")
# Those that go through what is ready: whoever stands in one of them, and in no call, is at work
DISPATCH_LOOPS = Names("aio_dispatch*", "aio_ctx_dispatch", "aio_bh_poll", "aio_bh_call", "aio_bh_dequeue",
                       "glib_pollfds_poll", "timerlist_run_timers", "qemu_clock_run_*timers")
# Between a nested poll and the function that decided to poll: generated and inlined wrappers
POLL_WRAPPERS = Names(
    "bdrv_poll_co",
    "bdrv_run_co",
    "aio_wait_bh_oneshot",
    "bdrv_prwv_co",
    "bdrv_rw_co",
    "bdrv_rwv_co",
    "blk_prwv",
    "blk_prw",
    "aio_poll_wrapper",
    "nested_poll",
)

# Whose event loop a wait in one of EVENT_LOOPS is, by the function that called the loop: then the thread is idle
LOOP_OWNERS: Dict[str, Tuple[str, ...]] = {
    "iothread_run": ("iothread", "monitor-iothread", "test"),
    "data_plane_thread": ("iothread",),
    "red_worker_main": ("spice-worker",),
    "glib_worker_main": ("glib-worker",),
    "gdbus_shared_thread_func": ("glib-worker",),
    "dconf_gdbus_worker_thread": ("glib-worker",),
    "colo_compare_thread": ("colo",),
    "run_agent": ("tool-main",),
    "main": ("tool-main", "main-loop", "test"),
    "qemu_file_monitor_test_event_loop": ("test",),
}


# Ceph: src/osdc/Objecter.cc takes a budget from src/common/Throttle.cc before it sends
CEPH_THROTTLE = Names("Throttle::get*", "Throttle::_wait*", "Objecter::_throttle_op*")
# Functions by which a library asks an outside party: a thread that waits inside them is no worker at rest
LIBRARY_REQUESTS = Names(
    # Ceph: osdc/Objecter.cc, librbd/io/, librados/IoCtxImpl.cc
    *CEPH_THROTTLE.patterns, "Objecter::*submit*", "librados::IoCtxImpl::operate*", "librados::RadosClient::connect*",
)  # fmt: skip


def rest_rows() -> Dict[str, List[Rest]]:
    """Rows of RESTS by role."""
    found: Dict[str, List[Rest]] = {}
    for row in RESTS:
        for role in row.roles:
            found.setdefault(role, []).append(row)
    return found
