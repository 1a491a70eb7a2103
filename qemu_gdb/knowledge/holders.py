"""Which lock a thread holds while a function is on its stack, and what a thread waits for in which function.

For the reasoning about who waits for whom, where only stacks are known and no lock's owner can be read.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple

from .match import Names

# Frames in which a thread only sleeps or takes a lock; the first other frame above them is the one that waits.
PRIMITIVES = Names(
    # libc, newer and older (nptl, musl, *BSD, macOS) and Windows
    "futex_*", "__futex_*", "___futex_*", "do_futex_wait*", "__lll_*", "lll_*", "_L_lock_*", "_L_cond_lock_*",
    "pthread_*", "__GI___futex_*", "__new_sem_wait*", "new_sem_wait*", "sem_wait*", "sem_timedwait*", "___sem_*",
    "sem_clockwait*", "__sem_*", "syscall", "__internal_syscall_cancel", "__syscall_cancel*", "_pthread_*",
    "__psynch_*", "__ulock_wait*", "semaphore_wait_trap", "semaphore_timedwait_trap", "__semwait_signal*",
    "ppoll", "poll", "__poll_chk", "__ppoll_chk", "ppoll64", "select", "pselect", "epoll_wait", "epoll_pwait*",
    "__pselect*", "__select", "nanosleep", "clock_nanosleep", "usleep", "__clock_nanosleep_*", "kevent",
    "_lll_lock_wait", "mutex_lock_*", "_lwp_park", "__lwp_park*", "___lwp_park*", "_umtx_op*", "__thr_*",
    "NtWait*", "ZwWait*", "RtlSleepConditionVariable*", "SleepConditionVariableSRW", "WaitForSingleObject*",
    "WaitForMultipleObjects*", "RtlpWait*", "RtlpEnter*", "RtlEnterCriticalSection", "RtlAcquireSRW*",
    "AcquireSRWLockExclusive", "___futex_abstimed*", "__clone*_wait", "wait_tid", "sleep", "pselect6",
    "EnterCriticalSection", "SleepConditionVariableCS", "Sleep", "SleepEx", "NtDelayExecution", "MsgWaitForMultiple*",
    "NtUserMsgWaitForMultiple*", "mach_msg*",
    "__kernel_vsyscall",  # how i386 enters the kernel
    # glib
    "g_cond_wait*", "g_mutex_lock*", "g_rec_mutex_lock*", "g_rw_lock_*_lock*", "g_poll", "g_usleep",
    "g_main_context_poll*", "g_main_context_iterate*", "g_main_context_iteration", "g_main_loop_run",
    "g_thread_join", "g_async_queue_pop*",
    # util/qemu-thread-posix.c, util/qemu-thread-win32.c
    "qemu_futex_wait", "qemu_mutex_lock", "qemu_mutex_lock_impl", "qemu_mutex_lock__raw", "qemu_mutex_lock_func*",
    "qemu_rec_mutex_lock", "qemu_rec_mutex_lock_impl", "qemu_cond_wait", "qemu_cond_wait_impl",
    "qemu_cond_timedwait", "qemu_cond_timedwait_impl", "qemu_cond_timedwait_ts", "qemu_sem_wait",
    "qemu_sem_timedwait", "qemu_event_wait", "qemu_lockable_lock", "qemu_lockable_auto_lock", "futex_wait",
    "qemu_mutex_lock_nonnull", "qemu_lockable_mutex_lock", "qemu_lockable_rec_mutex_lock", "qemu_spin_lock",
    "qemu_thread_join", "lockcnt_*", "qemu_lockcnt_lock", "qemu_cond_wait_iothread", "qemu_cond_timedwait_iothread",
    "qemu_cond_wait_bql", "qemu_cond_timedwait_bql", "qsp_cond_*", "qsp_mutex_lock", "qsp_rec_mutex_lock",
    "qsp_bql_mutex_lock", "win32_*wait*",
    # util/qemu-timer.c
    "qemu_poll_ns",
)  # fmt: skip

# Of those, the ones that take a mutex.
MUTEX = Names(
    "pthread_mutex_lock", "pthread_mutex_lock_*", "qemu_mutex_lock*", "qemu_rec_mutex_lock*", "_L_lock_*",
    "__lll_lock_wait*", "lll_mutex_lock*", "g_mutex_lock*", "g_rec_mutex_lock*", "g_rw_lock_*_lock*",
    "EnterCriticalSection", "qsp_mutex_lock", "qsp_rec_mutex_lock", "qsp_bql_mutex_lock",
    "pthread_mutex_timedlock", "__psynch_mutexwait", "_pthread_mutex_firstfit_lock_slow", "_pthread_mutex_lock*",
    "RtlEnterCriticalSection", "RtlpEnter*",
    "AcquireSRWLockExclusive", "RtlAcquireSRW*", "qemu_lockable_*", "pthread_mutex_cond_lock", "_L_cond_lock_*",
)  # fmt: skip
CONDITIONS = Names(
    "pthread_cond_*", "qemu_cond_*", "g_cond_wait*", "__psynch_cvwait", "RtlSleepConditionVariable*",
    "SleepConditionVariableSRW", "SleepConditionVariableCS", "_pthread_cond_*", "qsp_cond_*",
)  # fmt: skip
JOINS = Names("pthread_join*", "pthread_clockjoin*", "pthread_timedjoin*", "qemu_thread_join", "g_thread_join")
SEMAPHORES = Names("sem_*", "__new_sem_wait*", "new_sem_wait*", "qemu_sem_*", "___sem_*", "__sem_*", "semaphore_*")
EVENTS = Names("qemu_event_wait")
POLLS = Names(
    "ppoll", "ppoll64", "poll", "select", "pselect", "epoll_wait", "epoll_pwait*", "qemu_poll_ns", "g_poll",
    "g_main_context_poll*", "g_main_context_iterate*", "kevent",
)  # fmt: skip

# cpus.c, system/cpus.c: the Big QEMU Lock under its names (bql_lock since 9.0).
BQL_LOCK = Names(
    "bql_lock", "bql_lock_impl", "bql_auto_lock", "bql_auto_lock_impl", "qemu_mutex_lock_iothread",
    "qemu_mutex_lock_iothread_impl", "qemu_global_mutex_lock",
)  # fmt: skip
BQL_SYMBOLS = frozenset(("bql", "qemu_global_mutex"))

# util/aio-posix.c, util/aio-win32.c, util/fdmon-*.c: what aio_poll calls of its own while it waits or looks for work.
EVENT_LOOP_INTERNALS = Names(
    "aio_poll", "aio_bh_poll", "aio_bh_call", "aio_bh_dequeue", "aio_dispatch", "aio_dispatch_handlers",
    "aio_dispatch_handler", "aio_dispatch_ready_handlers", "run_poll_handlers*", "try_poll_mode", "poll_set_started",
    "fdmon_*", "timerlist*", "aio_compute_*", "aio_prepare", "aio_pending", "aio_notify*", "event_notifier_*",
    "remove_idle_poll_handlers", "aio_ready_handlers", "aio_free_deleted_handlers", "adjust_polling_time",
    "io_uring_enter", "io_uring_submit_and_wait*", "__io_uring_*", "_io_uring_*", "____sys_io_uring_*",
    "__sys_io_uring_*", "qemu_clock_get_ns", "get_clock",
    "qemu_soonest_timeout", "clock_gettime", "__clock_gettime*", "__vdso_*", "get_clock_realtime", "aio_poll_disabled",
    "qemu_lockcnt_*", "timespec_*", "qemu_poll_ns", "aio_co_reschedule_self", "io_getevents*", "aio_add_ready_handler",
    "aio_wait_kick", "qemu_event_reset", "g_source_*",
)  # fmt: skip


class Wait(NamedTuple):
    """A function in which a thread waits."""

    name: str
    functions: Names
    kind: str  # design.md's words where they exist; see explain/waits.py
    object: str  # what is waited for
    says: str  # "until every vCPU has stopped"
    releases: Tuple[str, ...] = ()  # locks given up meanwhile
    resting: bool = False  # the thread's normal resting place
    answered_by: Tuple[str, ...] = ()  # roles of the threads that end the wait


# More specific rows first.
WAITS: Tuple[Wait, ...] = (
    # --- the BQL and AioContext locks
    Wait("bql", BQL_LOCK, "bql", "BQL", "for the BQL"),
    Wait("mmio-bql", Names("prepare_mmio_access", "bql_lock_guard*"), "bql", "BQL", "for the BQL"),
    # util/async.c: until 8.2 (removed in 9.0)
    Wait("aiocontext", Names("aio_context_acquire"), "aiocontext-lock", "AioContext lock", "for an AioContext lock"),
    # --- vCPUs
    # cpu-common.c: 2.8 and later (linux-user/main.c before)
    Wait("exclusive", Names("start_exclusive"), "exclusive", "exclusive_cond",
         "until no vCPU is inside cpu_exec (start_exclusive)"),
    Wait("exclusive-end", Names("exclusive_idle", "cpu_exec_start"), "exclusive-end", "exclusive_resume",
         "until another thread ends its exclusive section"),
    # system/cpus.c, cpus.c: qemu_pause_cond with the BQL
    Wait("pause", Names("pause_all_vcpus"), "vcpu-stop", "qemu_pause_cond", "until every vCPU has stopped",
         releases=("BQL",)),
    # cpus-common.c/cpu-common.c: qemu_work_cond, mutex is the BQL
    Wait("run-on-cpu", Names("do_run_on_cpu", "run_on_cpu"), "vcpu-work", "qemu_work_cond",
         "until a vCPU has run the work queued for it", releases=("BQL",)),
    Wait("halt", Names("qemu_wait_io_event", "qemu_process_cpu_events", "qemu_kvm_wait_io_event",
         "qemu_tcg_wait_io_event",
                       "qemu_tcg_rr_wait_io_event", "rr_wait_io_event", "qemu_hax_wait_io_event",
                       "qemu_hvf_wait_io_event", "qemu_whpx_wait_io_event", "hvf_wait_for_ipi", "hvf_wfi"),
         "vcpu-halt", "halt_cond", "until the vCPU has something to do", releases=("BQL",), resting=True),
    # migration/cpu-throttle.c, softmmu/cpu-throttle.c, cpus.c; system/dirtylimit.c: the vCPU is slowed on purpose
    Wait("throttle", Names("cpu_throttle_thread"), "rest", "time", "for its throttle's time to pass",
         releases=("BQL",), resting=True),
    Wait("dirty-limit", Names("dirtylimit_vcpu_execute"), "rest", "time", "for the dirty limit's time to pass",
         resting=True),
    Wait("halt-old", Names("qemu_kvm_cpu_thread_fn", "kvm_vcpu_thread_fn", "qemu_tcg_cpu_thread_fn",
                           "qemu_tcg_rr_cpu_thread_fn", "mttcg_cpu_thread_fn", "rr_cpu_thread_fn",
                           "qemu_dummy_cpu_thread_fn", "dummy_cpu_thread_fn", "hvf_cpu_thread_fn",
                           "qemu_hvf_cpu_thread_fn", "qemu_whpx_cpu_thread_fn", "whpx_cpu_thread_fn"),
         "vcpu-halt", "halt_cond", "until the vCPU has something to do", releases=("BQL",), resting=True),
    Wait("vcpu-created", Names("qemu_init_vcpu"), "vcpu-start", "qemu_cpu_cond",
         "until the new vCPU's thread has started", releases=("BQL",)),
    Wait("replay", Names("replay_mutex_lock"), "mutex", "replay lock", "for the record/replay lock"),
    # --- RCU
    Wait("rcu-grace", Names("wait_for_readers", "synchronize_rcu"), "rcu", "rcu_gp_event",
         "until every RCU reader has left its critical section"),
    Wait("rcu-drain", Names("drain_call_rcu"), "rcu-callbacks", "drain_call_rcu",
         "until all RCU callbacks queued so far have run", releases=("BQL",)),
    Wait("rcu-rest", Names("call_rcu_thread"), "rest", "rcu_call_ready_event", "for RCU callbacks", resting=True),
    # --- main loops
    Wait("main-loop", Names("os_host_main_loop_wait", "main_loop_wait", "qemu_main_loop", "main_loop"), "rest",
         "file descriptors and timers", "for events", releases=("BQL",), resting=True),
    Wait("iothread", Names("iothread_run"), "rest", "file descriptors and timers", "for events", resting=True),
    Wait("worker", Names("worker_thread", "thread_pool_*worker*"), "rest", "thread pool", "for work", resting=True),
    Wait("virtiofsd", Names("virtio_loop", "fv_queue_thread"), "rest", "vhost-user messages and requests",
         "for requests", resting=True),
    Wait("vnc-worker", Names("vnc_worker_thread_loop"), "rest", "VNC queue", "for work", resting=True),
    Wait("signals", Names("sigwait_compat"), "rest", "signals", "for signals", resting=True),
    Wait("multifd-idle", Names("multifd_send_thread", "multifd_recv_thread"), "rest", "multifd channel",
         "for work from the migration thread", resting=True),
    Wait("compress-idle", Names("do_data_compress", "do_data_decompress"), "rest", "compression queue",
         "for a page to compress", resting=True),
    # --- migration
    # migration/multifd.c: sem_sync / channels_ready of the send threads
    Wait("multifd-sync", Names("multifd_send_sync_main", "multifd_ram_flush_and_sync"), "multifd-sync",
         "a multifd send channel", "until every multifd send channel has flushed", answered_by=("multifd-send",)),
    Wait("multifd-send", Names("multifd_send_pages", "multifd_queue_page", "multifd_send"), "multifd-ready",
         "channels_ready", "until a multifd send channel is free", answered_by=("multifd-send",)),
    Wait("multifd-recv-sync", Names("multifd_recv_sync_main"), "multifd-sync", "a multifd receive channel",
         "until every multifd receive channel has reached the sync point"),
    # migration/migration.c: pause_sem, posted by migrate-continue
    Wait("pause-before-switchover", Names("migration_maybe_pause", "migration_precopy_wait*",
                                          "migration_switchover_start"), "peer",
         "migrate-continue", "for the management application's migrate-continue (pause-before-switchover)",
         releases=("BQL",)),
    Wait("postcopy-pause", Names("postcopy_pause", "postcopy_pause_incoming", "postcopy_pause_return_path_thread",
                                 "postcopy_pause_fault_thread", "postcopy_pause_fast_load",
                                 "postcopy_pause_ram_fast_load"),
         "peer", "postcopy_pause_sem", "until the broken postcopy migration is recovered (migrate-recover)"),
    Wait("rate-limit", Names("migration_rate_limit"), "rest", "rate limit", "for the next slice of bandwidth",
         resting=True),
    Wait("switchover-ack", Names("migration_wait_*"), "peer", "the destination", "for the destination"),
    Wait("colo-checkpoint", Names("colo_process_checkpoint"), "rest", "checkpoint", "for the next checkpoint",
         resting=True),
    # migration/savevm.c: the listen thread keeps the channel open until the main thread has loaded the devices
    Wait("postcopy-listen", Names("postcopy_ram_listen_thread", "postcopy_listen_thread"), "postcopy-load",
         "main_thread_load_event",
         "until the main loop has loaded the devices' state"),
    Wait("postcopy-fault", Names("postcopy_ram_fault_thread"), "rest", "page faults", "for page faults", resting=True),
    # migration/migration.c: bql_unlock() around the join, all versions
    Wait("migration-join", Names("migrate_fd_cleanup", "migration_cleanup"), "join", "the migration thread",
         "until the migration thread has ended", releases=("BQL",), answered_by=("migration",)),
    # migration/colo.c colo_incoming_co, 6.2 and later; system/dirtylimit.c; system/cpus.c: likewise
    Wait("colo-join", Names("colo_incoming_co"), "join", "the COLO thread", "until the COLO thread has ended",
         releases=("BQL",), answered_by=("colo",)),
    Wait("dirty-rate-join", Names("vcpu_dirty_rate_stat_stop"), "join", "the dirty rate's thread",
         "until the thread that measures dirty rates has ended", releases=("BQL",)),
    Wait("vcpu-join", Names("cpu_remove_sync"), "join", "the vCPU's thread", "until the vCPU's thread has ended",
         releases=("BQL",), answered_by=("vcpu-kvm", "vcpu-mttcg", "vcpu-tcg-rr", "vcpu-other")),
    # --- VNC: ui/vnc-jobs.c, with the BQL held
    Wait("vnc-jobs", Names("vnc_jobs_join"), "condvar", "the VNC worker",
         "until the VNC worker has encoded what it was given for this client", answered_by=("vnc-worker",)),
    # --- tracing
    Wait("trace-flush", Names("flush_trace_file"), "condvar", "trace_empty_cond",
         "until the trace writeout thread has written the buffer"),
)  # fmt: skip


# Functions that call out of an RCU read-side section: RCU_READ_LOCK_GUARD() in system/physmem.c, memory_ldst.c.inc,
# accel/tcg/cpu-exec.c, util/aio-posix.c, migration/ram.c, hw/core/bus.c, hw/net/virtio-net.c, hw/scsi/virtio-scsi.c
# (5.2 to 10.2; rcu_read_lock() before)
RCU_READ_SECTIONS = Names("address_space_write", "address_space_read_full", "address_space_rw", "address_space_ld*",
                          "address_space_st*", "cpu_exec", "run_poll_handlers", "ram_save_setup", "ram_save_iterate",
                          "ram_save_complete", "virtio_net_do_receive", "virtio_scsi_do_tmf", "bus_set_realized",
                          "qbus_walk_children")  # fmt: skip


# Functions that give their lock up around what they call: threads' own functions and loops (util/thread-pool.c,
# ui/vnc-jobs.c, migration/multifd.c...), cpu-common.c process_queued_cpu_work
UNLOCKS_TO_CALL = Names("*_thread", "*_thread_fn", "*_thread_loop", "*_thread_func", "process_queued_cpu_work",
                        "timerlist_run_timers", "iothread_run", "thread_pool_*", "aio_worker")  # fmt: skip

# Who is joined (qemu_thread_join) in which function, as roles, and the locks given up around that.
# iothread.c, system/cpus.c, migration/*.c (5.2 to 10.2)
JOINED: Tuple[Tuple[Names, Tuple[str, ...], Tuple[str, ...]], ...] = (
    (Names("monitor_cleanup"), ("monitor-iothread",), ()),
    (Names("iothread_stop", "iothread_instance_finalize", "iothread_destroy"), ("iothread", "monitor-iothread"), ()),
    (Names("cpu_remove_sync"), ("vcpu-kvm", "vcpu-mttcg", "vcpu-tcg-rr", "vcpu-other"), ("BQL",)),
    (Names("multifd_save_cleanup", "multifd_send_cleanup", "multifd_send_shutdown", "multifd_send_cleanup_channel"),
     ("multifd-send",), ()),
    (Names("multifd_load_cleanup", "multifd_recv_cleanup", "multifd_recv_shutdown"), ("multifd-recv",), ()),
    (Names("await_return_path_close_on_source", "close_return_path_on_source"), ("migration-return-path",), ()),
    (Names("migrate_fd_cleanup", "migration_cleanup"), ("migration",), ("BQL",)),
    (Names("process_incoming_migration_co", "colo_incoming_co"), ("colo",), ()),
    (Names("postcopy_incoming_cleanup", "postcopy_ram_incoming_cleanup"), ("postcopy-fault",), ()),
    (Names("compress_threads_save_cleanup", "compress_threads_load_cleanup"), ("compress",), ()),
)


class NestedPoll(NamedTuple):
    """A function that polls an AioContext until something has happened."""

    name: str
    functions: Names
    kind: str  # drain, graph-wrlock, request, bh, job, other
    says: str  # "until ..."


# From the inside out, the first frame that matches tells why the poll goes on.
NESTED_POLLS: Tuple[NestedPoll, ...] = (
    # block/graph-lock.c: 8.0 and later
    NestedPoll("graph-wrlock", Names("bdrv_graph_wrlock", "bdrv_graph_wrlock_drained"), "graph-wrlock",
               "until every reader has left the block graph"),
    # block/io.c
    NestedPoll("drain-all", Names("bdrv_drain_all_begin", "bdrv_drain_all_begin_nopoll", "bdrv_drain_all",
                                  "blk_drain_all", "bdrv_drain_all_end", "bdrv_drain_all_poll"), "drain",
               "until no block node has a request in flight"),
    NestedPoll("drain-end", Names("bdrv_drained_end", "bdrv_parent_drained_end_single",
                                  "bdrv_parent_drained_end_single_poll", "bdrv_do_drained_end",
                                  "bdrv_drained_end_no_poll", "bdrv_subtree_drained_end"), "drain-end",
               "until the end of the drained section has run in the node's AioContext"),
    NestedPoll("drain", Names("bdrv_do_drained_begin", "bdrv_drained_begin", "bdrv_subtree_drained_begin",
                              "blk_drain", "bdrv_drain", "bdrv_co_yield_to_drain", "bdrv_parent_drained_begin_single",
                              "bdrv_do_drained_begin_quiesce", "blk_root_drained_begin", "bdrv_drain_invoke"), "drain",
               "until the node has no request in flight and its parents are quiet"),
    # block/aio-wait.c, util/aio-wait.c
    NestedPoll("bh-oneshot", Names("aio_wait_bh_oneshot"), "bh", "until its bottom half has run in that AioContext"),
    # job.c, blockjob.c
    NestedPoll("job", Names("job_finish_sync", "job_finish_sync_locked", "job_cancel_sync", "job_cancel_sync_locked",
                            "job_cancel_sync_all", "job_complete_sync*", "block_job_finish_sync",
                            "block_job_cancel_sync",
                            "block_job_cancel_sync_all"), "job", "until the job has ended"),
    # block/export/export.c, nbd/server.c, blockdev-nbd.c, util/vhost-user-server.c, block/export/vduse-blk.c
    NestedPoll("nbd-server", Names("nbd_export_*", "blk_exp_close_all*", "blk_exp_*"), "other",
               "until every block export is closed"),
    NestedPoll("nbd-server-free", Names("nbd_server_free"), "other", "until every client of the NBD server is gone"),
    NestedPoll("vhost-user-server", Names("vhost_user_server_stop", "vhost_user_server_detach_aio_context"), "other",
               "until the vhost-user export's requests have ended"),
    NestedPoll("vduse", Names("vduse_blk_detach_ctx", "vduse_blk_drained_*"), "other",
               "until the VDUSE export's requests have ended"),
    # block/nbd.c, block/nbd-client.c to 6.0: the coroutine that receives replies
    NestedPoll("nbd-teardown", Names("nbd_teardown_connection", "nbd_client_close", "nbd_client_session_close"),
               "other", "until the coroutine that receives the NBD server's replies has ended"),
    # block/throttle-groups.c, block/nvme.c, block/nfs.c, block/qcow2.c (10.2)
    NestedPoll("throttle-restart", Names("throttle_group_unregister_tgm"), "other",
               "until the restart of its throttled requests is over"),
    NestedPoll("nvme-command", Names("nvme_admin_cmd_sync", "nvme_cmd_sync"), "other",
               "until the NVMe controller has completed an admin command"),
    NestedPoll("nfs-size", Names("nfs_get_allocated_file_size"), "other", "until the NFS server has answered"),
    NestedPoll("cache-clean-timer", Names("cache_clean_timer_del_and_wait"), "other",
               "until qcow2's cache cleaner has stopped"),
    # block/io.c, dma-helpers.c
    NestedPoll("cancel", Names("bdrv_aio_cancel", "blk_aio_cancel"), "request",
               "until the request that it cancels has ended"),
    # net/colo-compare.c, net/filter-mirror.c, backends/tpm/tpm_backend.c, hw/ppc/spapr_nvdimm.c, hw/virtio
    NestedPoll("colo-compare", Names("colo_compare_finalize", "colo_flush_packets"), "other",
               "until the packets that colo-compare is sending are out"),
    NestedPoll("filter-mirror", Names("filter_send"), "other", "until the network filter's packet is sent"),
    NestedPoll("tpm", Names("tpm_backend_finish_sync"), "other", "until the TPM's command has ended"),
    NestedPoll("nvdimm", Names("spapr_nvdimm_finish_flushes", "virtio_pmem_unrealize"), "other",
               "until the flushes of the guest's persistent memory are done"),
    # monitor/hmp.c: an HMP command that runs in a coroutine, 5.1 and later
    NestedPoll("hmp-coroutine", Names("handle_hmp_command"), "other", "until the HMP command's coroutine has ended"),
    # include/block/block-io.h, block/io.c, block/block-gen: the synchronous form of a coroutine function
    NestedPoll("flush", Names("bdrv_flush", "blk_flush", "bdrv_flush_all", "blk_flush_all"), "request",
               "until the flush is done"),
    NestedPoll("request", Names("bdrv_poll_co", "bdrv_run_co", "bdrv_prwv_co", "blk_prw", "blk_do_*", "blk_pread",
                                "blk_pwrite*", "bdrv_pread*", "bdrv_pwrite*", "bdrv_rw_co", "bdrv_truncate",
                                "blk_truncate", "bdrv_pdiscard", "bdrv_block_status*", "bdrv_is_allocated*",
                                "bdrv_common_block_status_above", "bdrv_writev_vmstate", "bdrv_readv_vmstate",
                                "bdrv_rw_vmstate", "blk_load_vmstate", "blk_save_vmstate", "bdrv_get_info",
                                "bdrv_getlength", "bdrv_create", "bdrv_check", "bdrv_invalidate_cache*",
                                "bdrv_debug_event", "blk_ioctl", "bdrv_ioctl", "bdrv_open_child*", "nbd_*connect*",
                                "bdrv_*", "blk_*"), "request",
               "until its synchronous request is done"),
    # hw/9pfs, scsi, nbd, monitor
    NestedPoll("v9fs", Names("v9fs_reset"), "other", "until all 9p requests are done"),
    NestedPoll("monitor", Names("monitor_cleanup"), "other", "until the QMP dispatcher coroutine has ended"),
    NestedPoll("thread-pool", Names("thread_pool_free*"), "other", "until the thread pool is empty"),
)  # fmt: skip


# Locks that HOLDERS knows besides the BQL and those of AioContexts: the mutex's symbol and the functions that take it.
NAMED_LOCKS: Tuple[Tuple[str, str, Names], ...] = (
    ("mmap_lock", "mmap_mutex", Names("mmap_lock")),  # linux-user/mmap.c, bsd-user/mmap.c; one thread may take it twice
)


class Holder(NamedTuple):
    """While ``inside`` is on the stack, its thread holds ``lock``."""

    name: str
    lock: str  # BQL, AioContext lock, or one of NAMED_LOCKS
    inside: Names
    roles: Tuple[str, ...]  # () any
    confidence: str  # certain, likely
    says: str
    needs: Names = Names("*")  # a frame further in than ``inside``


_VCPU = ("vcpu-kvm", "vcpu-mttcg", "vcpu-tcg-rr", "vcpu-other", "unknown")

HOLDERS: Tuple[Holder, ...] = (
    # util/main-loop.c: os_host_main_loop_wait gives the BQL up only around the poll, all versions
    Holder("main-loop-handlers", "BQL",
           Names("glib_pollfds_poll", "os_host_main_loop_wait", "qemu_clock_run_all_timers", "main_loop_wait"),
           ("main-loop",), "likely", "the main loop runs its handlers with the BQL held",
           needs=Names("g_main_context_dispatch", "aio_ctx_dispatch", "g_main_dispatch*", "aio_bh_poll",
                       "aio_dispatch*",
                       "timerlist_run_timers", "qemu_clock_run_timers", "qemu_clock_run_all_timers", "slirp_*",
                       "qemu_iohandler_poll", "qemu_bh_poll", "net_slirp*")),
    # cpus.c up to 2.8: guest code runs with the BQL held (commit 8d04fb55dec3, 2.9)
    Holder("tcg-in-turn", "BQL", Names("tcg_exec_all"), _VCPU, "likely",
           "up to QEMU 2.8 the TCG thread runs the guest with the BQL held, until it is kicked"),
    # system/vl.c, vl.c: qemu_init takes it early (qemu_init_subsystems/qemu_init_cpu_loop), qemu_cleanup runs with it
    Holder("startup", "BQL", Names("qemu_init", "qemu_cleanup", "main_loop_should_exit", "bdrv_close_all",
                                   "vm_shutdown"),
           ("main-loop",), "likely", "start-up and clean-up run with the BQL held"),
    # system/cpus.c: run state changes
    Holder("vm-stop", "BQL",
           Names("vm_stop", "vm_stop_force_state", "do_vm_stop", "vm_shutdown", "vm_state_notify", "vm_start",
                 "vm_prepare_start", "migration_stop_vm"),
           (), "likely", "run state changes happen with the BQL held"),
    # softmmu/memory.c, system/memory.c: assert(bql_locked())
    Holder("memory-transaction", "BQL", Names("memory_region_transaction_commit", "memory_region_commit"),
           (), "likely", "memory map changes happen with the BQL held"),
    # system/physmem.c (prepare_mmio_access), accel/tcg/cputlb.c: device dispatch of a vCPU; 10.1 exempts the ACPI PM
    # timer and HPET (memory_region_enable_lockless_io)
    Holder("device-dispatch", "BQL", Names("memory_region_dispatch_read", "memory_region_dispatch_write",
                                           "access_with_adjusted_size", "memory_region_write_accessor",
                                           "memory_region_read_accessor"),
           _VCPU, "likely", "a device's register handlers run with the BQL held"),
    # accel/tcg/cpu-exec.c: interrupts are taken with the BQL; cpu->cpu_exec_interrupt
    Holder("tcg-interrupt", "BQL", Names("cpu_handle_interrupt"), ("vcpu-mttcg", "vcpu-tcg-rr"), "likely",
           "interrupts are delivered with the BQL held"),
    # accel/tcg/cpu-exec.c cpu_handle_exception (inlined): the lock is around tcg_ops->do_interrupt, in system emulation
    # only (5.2 to 10.2); Arm, RISC-V and others serve semihosting calls there
    Holder("tcg-exception", "BQL", Names("cpu_handle_exception", "cpu_exec_loop", "cpu_exec_setjmp", "cpu_exec"),
           ("vcpu-mttcg", "vcpu-tcg-rr"), "likely", "exceptions are delivered with the BQL held",
           needs=Names("*_cpu_do_interrupt")),
    # system/cpus.c: queued work runs under the BQL, except exclusive work
    Holder("queued-work", "BQL", Names("qemu_wait_io_event_common", "qemu_process_cpu_events_common"), _VCPU, "likely",
           "work queued for a vCPU runs with the BQL held"),
    # util/rcu.c: callbacks run between bql_lock and bql_unlock, all versions
    Holder("rcu-callback", "BQL", Names("call_rcu_thread"), ("rcu",), "likely", "RCU callbacks run with the BQL held"),
    # migration/migration.c, savevm.c
    Holder("migration-completion", "BQL",
           Names("qemu_savevm_state_complete_precopy", "qemu_savevm_state_complete_precopy_non_iterable",
                 "migration_completion_precopy", "qemu_savevm_state_complete_postcopy",
                 "bdrv_inactivate_all"),
           ("migration", "colo"), "likely", "the migration thread completes with the BQL held"),
    # migration/colo.c colo_do_checkpoint_transaction: of a checkpoint only this; it talks to its peer without the BQL
    Holder("colo-checkpoint", "BQL", Names("replication_do_checkpoint_all", "qemu_save_device_state"),
           ("migration", "colo"), "likely", "COLO saves the devices' state with the BQL held"),
    # monitor/qmp.c: commands run in the main loop's coroutine dispatcher with the BQL; out-of-band ones do not
    Holder("monitor-command", "BQL", Names("qmp_dispatch", "do_qmp_dispatch", "do_qmp_dispatch_bh",
                                           "handle_hmp_command",
                                           "handle_user_command", "monitor_qmp_dispatch"),
           ("main-loop", "coroutine"), "likely", "monitor commands run with the BQL held"),
    # qemu-coroutine of the main loop: the incoming migration (migration.c)
    Holder("incoming-coroutine", "BQL", Names("process_incoming_migration_co"), ("main-loop", "coroutine"), "likely",
           "the incoming migration's coroutine runs in the main loop, with the BQL held"),
    # --- linux-user/mmap.c, syscall.c, elfload.c; bsd-user/mmap.c; accel/tcg/user-exec.c, cpu-exec.c, tb-maint.c
    Holder("user-mmap", "mmap_lock",
           Names("target_mmap*", "target_munmap", "target_mprotect", "target_mremap", "target_shmat", "do_shmat",
                 "do_shmdt", "load_elf_image", "tb_gen_code", "page_set_flags", "page_unprotect",
                 "tb_invalidate_phys_range*", "mmap_fork_start"),
           ("user-mode",), "likely", "memory maps change and code is translated with mmap_lock held"),
    # --- AioContext locks, until 8.2: job.c, blockdev.c, hw/block/dataplane, hw/scsi
    Holder("job-aiocontext", "AioContext lock",
           Names("job_exit", "job_txn_apply", "job_txn_apply_locked", "job_do_finalize_locked", "job_do_finalize",
                 "job_prepare_locked", "job_prepare", "job_finalize_single", "job_finalize_single_locked",
                 "job_completed_txn_abort", "job_completed_txn_success"),
           ("main-loop",), "likely", "a job's completion runs with the lock of its AioContext held"),
    Holder("drain-aiocontext", "AioContext lock",
           Names("external_snapshot_prepare", "external_snapshot_commit", "external_snapshot_abort", "qmp_blockdev_*",
                 "drive_backup_prepare", "blockdev_backup_prepare", "hmp_drive_del", "virtio_scsi_dataplane_stop",
                 "virtio_blk_data_plane_stop", "bdrv_drain_all_begin", "blk_remove_all_bs",
                 "bdrv_set_aio_context_commit",
                 "qmp_block_*", "qmp_drive_*", "qmp_nbd_server_*", "bdrv_query_image_info", "bdrv_query_info",
                 "qmp_query_block", "qmp_x_blockdev_*", "scsi_dma_restart_bh", "bdrv_try_set_aio_context"),
           ("main-loop",), "likely", "that code runs with the lock of the node's AioContext held"),
    Holder("virtqueue-aiocontext", "AioContext lock",
           Names("virtio_blk_handle_vq", "virtio_scsi_handle_cmd_vq", "virtio_scsi_data_plane_handle_cmd",
                 "virtio_blk_data_plane_handle_output", "blk_aio_complete", "dma_blk_cb", "virtio_blk_rw_complete",
                 "scsi_dma_complete", "co_schedule_bh_cb"),
           ("iothread",), "likely", "the iothread serves requests with its AioContext's lock held"),
)  # fmt: skip

# Inside an otherwise holding frame, these give the BQL up; what is further in runs without it.
BQL_RELEASED = Names(
    # cpus-common.c: exclusive work
    "start_exclusive", "cpu_exec_step_atomic",
    # system/cpus.c, accel/kvm/kvm-all.c: a vCPU that runs the guest
    "kvm_vcpu_ioctl",
    # migration: bql_unlock around the pause
    "migration_maybe_pause",
)  # fmt: skip

# Threads do not survive fork(): util/oslib-posix.c, os-posix.c os_daemonize
FORKS = Names("os_daemonize", "qemu_maybe_daemonize", "daemon", "fork", "__fork")

# What keeps a vCPU counted as running (cpu->running): between cpu_exec_start and cpu_exec_end.
# cpu-common.c; accel/tcg/cpu-exec.c (inside: tcg_cpu_exec / tcg_cpus_exec), accel/kvm/kvm-all.c kvm_cpu_exec
RUNNING_CPU = Names(
    "cpu_tb_exec", "cpu_exec", "cpu_exec_loop", "cpu_exec_setjmp", "cpu_loop_exec_tb", "tcg_cpu_exec", "tcg_cpus_exec",
    "code_gen_buffer", "kvm_vcpu_ioctl", "hvf_vcpu_exec", "hvf_arch_vcpu_exec", "kvm_handle_io", "tb_gen_code",
    "kvm_cpu_exec",
)  # fmt: skip


SYSCALLS = Names(
    "read", "readv", "pread", "pread64", "preadv*", "write", "writev", "pwrite", "pwrite64", "pwritev*", "recv",
    "recvfrom", "recvmsg", "recvmmsg", "send", "sendto", "sendmsg", "connect", "accept", "accept4", "fsync",
    "fdatasync",
    "lseek", "lseek64", "llseek", "ioctl", "fallocate", "fallocate64", "flock", "fcntl", "fcntl64", "open", "open64",
    "openat", "openat64", "close",
    "waitpid", "wait4", "msync", "munmap", "madvise", "io_submit", "io_getevents", "io_getevents_0*", "io_destroy",
    "fstat*", "stat", "stat64", "statx", "lstat", "lstat64", "newfstatat", "fxstat*", "lxstat*", "xstat*", "__fxstat*",
    "__lxstat*", "__xstat*", "access", "faccessat", "unlinkat", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir",
    "mknodat", "linkat", "symlinkat", "readlink", "readlinkat", "readdir", "readdir64", "opendir", "fdopendir",
    "fchmodat", "fchownat", "utimensat", "truncate", "truncate64", "fgetxattr", "getxattr", "lgetxattr", "fsetxattr",
    "setxattr", "lsetxattr", "listxattr", "llistxattr", "lremovexattr",
    "ftruncate*", "getaddrinfo", "gethostbyname*", "getsockopt", "setsockopt", "unlink", "rename", "statfs*",
    "fstatfs*", "sync_file_range",
    "syscall", "io_uring_enter", "splice", "dup3", "posix_fadvise*", "shutdown", "syncfs", "mmap", "mmap64",
    "copy_file_range", "ReadFile", "WriteFile", "NtReadFile", "NtWriteFile", "NtFlushBuffersFile", "FlushFileBuffers",
    "process_vm_readv", "quotactl", "getdents*", "___sys_*", "__sys_*", "__*_syscall", "__libc_recv*", "__libc_send*",
    "__libc_read*", "__libc_write*", "__libc_p*", "__libc_connect", "__libc_accept*", "__libc_open*", "__libc_fsync",
)  # fmt: skip


# Of those, calls on files: what does not answer is storage.
STORAGE_CALLS = frozenset(
    """lseek lseek64 pread pread64 preadv pwrite pwrite64 pwritev fsync fdatasync fallocate fallocate64 io_submit open
    open64 openat openat64 fstat fstat64 ftruncate ftruncate64 io_getevents msync sync_file_range stat stat64 close
    lstat lstat64 statx fstatat fstatat64 newfstatat statfs statfs64 fstatfs fstatfs64 getdents getdents64 readdir
    readdir64 opendir access faccessat unlink unlinkat rename renameat renameat2 mkdir mkdirat rmdir mknodat linkat
    symlinkat readlink readlinkat fchmodat fchownat utimensat truncate truncate64 fgetxattr getxattr lgetxattr
    fsetxattr setxattr lsetxattr listxattr llistxattr lremovexattr flock fcntl fcntl64 syncfs""".split()
)


class Peer(NamedTuple):
    """An outside party that a thread waits for in a function."""

    name: str
    functions: Names
    says: str  # "a client on the chardev"
    title: str
    advice: str
    role: str = ""  # of the thread of this process that answers


PEERS: Tuple[Peer, ...] = (
    # chardev/char-socket.c
    Peer("chardev-wait", Names("tcp_chr_wait_connected", "qemu_chr_wait_connected", "qmp_chardev_open_socket",
                               "tcp_chr_connect_client_sync", "tcp_chr_accept_server_sync",
                               "qmp_chardev_open_socket_server"),
         "a client on a socket chardev (wait=on)", "QEMU waits for a client on a chardev",
         "connect a client to that chardev, or create it with wait=off"),
    # hw/virtio/vhost-user.c: until 9.x it spins a nested GMainLoop or blocks in read
    Peer("vhost-user", Names("vhost_user_read", "vhost_user_read_header", "vhost_user_write", "process_message_reply",
                             # all but vhost_user_server_*, where QEMU itself is the back-end
                             "vhost_user_[!s]*", "vhost_user_s[!e]*", "vhost_user_se[!r]*"),
         "the vhost-user back-end", "The vhost-user back-end does not answer",
         "look at the back-end process (virtiofsd, DPDK, ...): it has not answered this request"),
    # crypto/tlssession.c, io/channel-tls.c
    Peer("tls", Names("qcrypto_tls_session_handshake", "qio_channel_tls_handshake*", "gnutls_handshake"),
         "the peer of a TLS handshake", "A TLS handshake is not answered by its peer",
         "look at the other side of that connection"),
    # block/nbd.c, nbd/client.c
    Peer("nbd", Names("nbd_receive_negotiate", "nbd_start_negotiate", "nbd_client_connect",
                      "nbd_co_do_establish_connection",
                      "nbd_establish_connection", "nbd_read", "nbd_receive_*", "nbd_connect", "nbd_client_init",
                      "nbd_co_establish_connection", "nbd_do_establish_connection"),
         "the NBD server", "An NBD server does not answer", "look at that NBD server"),
    # migration
    # migration/colo.c: x-colo-lost-heartbeat starts the failover, which shuts the streams down
    Peer("colo", Names("colo_receive_*", "colo_send_*", "colo_wait_handle_message"), "a message of the COLO peer",
         "The COLO peer does not answer",
         'look at QEMU on the other side; where it is gone, on a QMP monitor: {"execute": "x-colo-lost-heartbeat"}'),
    # migration/rdma.c
    Peer("rdma", Names("rdma_get_cm_event"), "an event of the RDMA connection",
         "The RDMA connection's event does not arrive", "look at the RDMA peer: it is gone or has not disconnected"),
    # a completion; a connection that breaks ends this wait (qemu_rdma_wait_comp_channel)
    Peer("rdma-message", Names("qemu_rdma_*", "qio_channel_rdma_*"),
         "the RDMA peer's next message", "The RDMA peer does not answer",
         "look at QEMU on the other side: it may still pin its memory, or be stuck"),
    Peer("migration-stream", Names("qemu_fill_buffer", "qemu_get_byte", "qemu_peek_byte", "qemu_get_buffer",
                                   "qemu_file_get_*", "multifd_recv_thread", "source_return_path_thread",
                                   "qemu_get_be*"),
         "data of the migration stream", "The migration peer sends nothing", "look at QEMU on the other side"),
    Peer("migration-write", Names("qemu_fflush", "qemu_put_buffer*", "multifd_send_thread",
                                  "qio_channel_writev_full_all",
                                  "qemu_put_be*", "qemu_put_byte"),
         "the receiver of the migration stream", "The migration stream is not read by its receiver",
         "look at the receiver: the connection or pipe is full"),
    # block drivers' libraries
    Peer("gluster", Names("glfs_*", "qemu_gluster_*"), "libgfapi (Gluster)",
         "A call into libgfapi (Gluster) does not return",
         "look at the Gluster volume and its log"),
    Peer("rbd", Names("rbd_*", "rados_*", "qemu_rbd_*", "librbd::*", "librados::*"), "the Ceph cluster",
         "A call into librbd or librados (Ceph) does not return", "look at the Ceph cluster (ceph -s)"),
    Peer("iscsi", Names("iscsi_*"), "the iSCSI target", "An iSCSI target does not answer", "look at the iSCSI target"),
    Peer("ssh", Names("ssh_*", "libssh2_*", "sftp_*"), "the SSH server", "An SSH server does not answer",
         "look at the SSH server"),
    Peer("curl", Names("curl_*"), "the HTTP server", "An HTTP server does not answer", "look at the HTTP server"),
    Peer("nfs", Names("nfs_*"), "the NFS server", "An NFS server does not answer", "look at the NFS server"),
    # chardev writes of a blocking back-end
    Peer("chardev-write", Names("qemu_chr_write_buffer", "qemu_chr_write", "qemu_chr_fe_write_all", "tcp_chr_write",
                                "fd_chr_write", "qemu_chr_fe_write"),
         "the reader of a chardev", "A chardev's reader does not read", "look at who reads that chardev"),
    Peer("chardev-read", Names("qemu_chr_fe_read_all", "tcp_chr_sync_read"), "data from a chardev's peer",
         "A chardev's peer sends nothing", "look at the peer of that chardev"),
    # util/qemu-sockets.c
    Peer("connect", Names("socket_connect", "inet_connect*", "unix_connect*", "qio_channel_socket_connect_sync",
                          "getaddrinfo"), "a connection", "A connection is not accepted",
         "look at the server or the name server that it asks"),
    # libspice-server: the dispatcher's pipe to the worker and back
    Peer("spice-worker", Names("dispatcher_send_message", "red_dispatcher_*", "red_qxl_*", "qxl_worker_*"),
         "the SPICE worker thread to do what it was sent", "The SPICE worker does not answer",
         "look at the SPICE worker's thread: what does it wait for?", role="spice-worker"),
    # gdbstub/user.c, gdbstub.c: user-mode emulation stops in its gdb stub
    Peer("gdb", Names("gdb_handlesig", "gdb_accept_*", "gdbserver_accept*"),
         "the gdb that debugs the emulated program", "The emulated program is stopped: QEMU waits for its gdb",
         "continue in that gdb (or start QEMU without -g, QEMU_GDB)"),
    # what ui/gtk.c, ui/sdl2.c, ui/egl-*.c call: libxcb, Xlib, GLX, EGL, libwayland-client
    Peer("display-server", Names("xcb_wait_for_reply*", "xcb_wait_for_special_event", "_XReply", "_XReadEvents",
                                 "XSync", "glXSwapBuffers", "eglSwapBuffers*", "wl_display_roundtrip*",
                                 "wl_display_dispatch*", "wl_display_flush", "dri2_*", "dri3_*", "loader_dri3_*"),
         "the display server (X or Wayland)", "The display server does not answer",
         "look at that X server or compositor, and at the GPU's driver (dmesg)"),
    Peer("vfio-user", Names("vfio_user_*"), "the vfio-user server", "The vfio-user server does not answer",
         "look at that server"),
    Peer("tpm", Names("tpm_*"), "the TPM emulator", "The TPM emulator does not answer", "look at swtpm"),
)  # fmt: skip


class LongCall(NamedTuple):
    """A system call that takes long on purpose, or whose failure only the kernel's log tells, by its caller."""

    callers: Names
    says: str  # "{size}" is the caller's argument
    step: str


LONG_CALLS: Tuple[LongCall, ...] = (
    # hw/vfio/common.c (5.2, 7.2), hw/vfio/container.c (10.0): VFIO_IOMMU_MAP_DMA; backends/iommufd.c (10.0):
    # IOMMU_IOAS_MAP; hw/virtio/vhost-vdpa.c: a message to the device
    LongCall(Names("vfio_dma_map", "vfio_legacy_dma_map", "iommufd_backend_map_dma", "vhost_vdpa_dma_map"),
             "The kernel pins{size} of guest memory there, and allocates and clears each page that is not there yet: "
             "this may be slow rather than stuck.",
             "a second sample: is it the same address? Huge pages or preallocated memory make this short"),
    # VFIO_DEVICE_RESET: hw/vfio/pci.c; VFIO_DEVICE_PCI_HOT_RESET: there until 7.2, hw/vfio/container.c and
    # hw/vfio/iommufd.c in 10.0
    # semihosting/syscalls.c (7.1 and later), target/arm/arm-semi.c, semihosting/arm-compat-semi.c (before): QEMU's own
    # descriptors of the host's files and its console, which block
    LongCall(Names("host_open", "host_read", "host_write", "host_close", "host_stat", "host_system", "host_fstat",
                   "host_remove", "host_rename", "host_lseek", "host_readfn", "host_writefn", "host_closefn",
                   "host_seekfn"),
             "The guest asked for it by a semihosting call, which QEMU serves in the vCPU's own thread: what is behind "
             "that file or descriptor of the host (a FIFO, a terminal, a mount) does not answer.",
             "what the guest opened by semihosting: a FIFO or terminal without its other side blocks as long as that "
             "is missing"),
    # block/file-posix.c, called in the coroutine without a worker (5.2 to 10.2)
    LongCall(Names("find_allocation"),
             "That call runs in the thread of the node itself and not in a worker: until it returns, nothing else of "
             "that main loop or iothread goes on. It can take long on a fragmented file, on tmpfs and on a remote file "
             "system; this may be slow rather than stuck.",
             "a second sample: does the offset move on? Then the file is slow to search for holes (fragments, tmpfs)"),
    # util/osdep.c: F_OFD_SETLK and F_OFD_GETLK never wait for another holder
    LongCall(Names("qemu_lock_fcntl", "qemu_lock_fd", "qemu_unlock_fd", "qemu_lock_fd_test", "raw_apply_lock_bytes",
                   "raw_check_lock_bytes"),
             "It asks for a lock on the image, and does not wait for other holders of it: what does not answer is the "
             "file system's lock service (NFS: the server's).",
             "look at the storage's lock service (NFS: lockd or the NFSv4 server); locking=off leaves the lock out"),
    # hw/usb/dev-mtp.c, hw/9pfs/9p-local.c, 9p-util.h: what is on the host behind a shared directory
    LongCall(Names("usb_mtp_*"),
             "usb-mtp asks the host's file system in the thread that serves the guest's access.",
             "look at the directory that usb-mtp shares (rootdir): a dead or slow mount (NFS, CIFS, autofs) blocks "
             "there"),
    LongCall(Names("local_*", "openat_dir", "openat_file", "openat_nofollow", "relative_openat_nofollow", "proxy_*",
                   "fchmodat_nofollow", "f*xattrat_nofollow", "flistxattrat_nofollow"),
             "9p asks the host's file system for a file of the shared directory.",
             "look at the directory that 9p shares, and at that path in it: a dead mount (NFS, CIFS, autofs) blocks "
             "there, and so does opening a FIFO"),
    LongCall(Names("vfio_pci_reset", "vfio_pci_hot_reset", "vfio_legacy_pci_hot_reset", "iommufd_cdev_pci_hot_reset"),
             "The host's kernel resets the device there, and waits for it to answer again.",
             "the host's dmesg: does the device come back from its reset?"),
)


# The functions whose arguments the rules over waits and crashes read, for the capture in gdb.
ARGUMENTS = frozenset(
    """vfio_dma_map vfio_legacy_dma_map iommufd_backend_map_dma vhost_vdpa_dma_map
    qemu_chr_write_buffer qemu_chr_write qemu_chr_fe_write qemu_chr_fe_write_all qemu_chr_wait_connected
    tcp_chr_wait_connected tcp_chr_accept_server_sync qmp_chardev_open_socket_server bdrv_drained_begin
    bdrv_do_drained_begin bdrv_subtree_drained_begin bdrv_parent_drained_end_single blk_drain do_run_on_cpu run_on_cpu
    start_exclusive qemu_aio_coroutine_enter qemu_coroutine_enter object_dynamic_cast_assert
    object_class_dynamic_cast_assert error_exit error_setv error_handle_fatal cpu_abort mttcg_cpu_thread_fn
    rr_cpu_thread_fn kvm_vcpu_thread_fn dummy_cpu_thread_fn g_malloc g_malloc0 g_realloc""".split()
)
