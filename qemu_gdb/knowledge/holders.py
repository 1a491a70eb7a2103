"""Which lock a thread holds while a function is on its stack, and what a thread waits for in which function.

For the reasoning about who waits for whom, where only stacks are known and no lock's owner can be read.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple

from .match import Names

# Frames in which a thread only sleeps or takes a lock; the first other frame above them is the one that waits.
PRIMITIVES = Names(
    # libc, newer and older (nptl, musl, *BSD, macOS) and Windows
    "futex", "futex_*", "__futex_*", "___futex_*", "do_futex_wait*", "__lll_*", "lll_*", "_L_lock_*", "_L_cond_lock_*",
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
    kind: str  # design.md's words where they exist; see explain/waiting.py
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


# migration/migration.c, 6.0 and later: a background snapshot write-protects guest RAM and saves page after page
SAVES_IN_BACKGROUND = Names("bg_migration_thread")
# system/physmem.c, util/iov.c, system/dma-helpers.c, system/memory_ldst.c.inc, hw/virtio/virtio.c: writes of guest RAM
INTO_GUEST_RAM = Names("flatview_write*", "iov_from_buf*", "dma_memory_*", "dma_buf_*", "address_space_write*",
                       "address_space_st*", "st?_*phys*", "cpu_physical_memory_write*", "virtqueue_fill",
                       "vring_used_*", "pci_dma_write")  # fmt: skip


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

# util/oslib-posix.c, 5.2 to 10.2: who makes threads that touch all of the guest's RAM, and joins them
PREALLOCATES = Names("touch_all_pages", "qemu_prealloc_mem", "os_mem_prealloc", "wait_and_free_mem_prealloc_context",
                     "qemu_finish_async_prealloc_mem")  # fmt: skip

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
    (PREALLOCATES, ("mem-prealloc",), ()),
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
                              "bdrv_do_drained_begin_quiesce", "blk_root_drained_begin", "bdrv_drain_invoke",
                              # the condition, inlined (3.0 and later)
                              "bdrv_drain_poll", "bdrv_drain_poll_top_level"), "drain",
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
    ("kvm_slots_lock", "kml_slots_lock", Names("kvm_slots_lock")),  # accel/kvm/kvm-all.c
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
    # target/s390x/kvm/kvm.c, target/ppc/kvm.c: kvm_arch_handle_exit() takes the BQL before anything else, 5.2 to 10.2;
    # that of i386 only for some exits
    Holder("kvm-exit", "BQL", Names("kvm_arch_handle_exit"), _VCPU, "likely",
           "s390x and ppc handle a KVM exit with the BQL held",
           needs=Names("handle_intercept", "handle_instruction", "handle_tsch", "handle_stsi", "handle_sclp*",
                       "kvm_sclp_service_call", "sclp_*", "ioinst_*", "css_*", "spapr_*", "kvmppc_*", "handle_diag*")),
    # target/s390x/tcg/misc_helper.c (misc_helper.c in 5.2) and KVM's handlers; hw/ppc/spapr.c asserts it of hypercalls
    Holder("guest-call", "BQL", Names("sclp_service_call*", "ioinst_handle_*", "handle_diag_308", "spapr_hypercall"),
           _VCPU, "likely", "the guest's calls of its hypervisor are served with the BQL held"),
    # include/block/aio-wait.h: no thread but the main loop and an iothread polls for a drain without it
    Holder("vcpu-drains", "BQL", Names("blk_drain", "bdrv_drain", "bdrv_drain_all", "bdrv_drain_all_begin*",
                                       "bdrv_drained_begin*", "bdrv_do_drained_begin*"), _VCPU, "likely",
           "a vCPU drains block nodes with the BQL held"),
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
    # assert(bql_locked()), assert(qemu_mutex_iothread_locked()) in 5.2, 7.2, 10.0 or 10.2: all functions that have it,
    # but for those that give the BQL up further in
    Holder("asserts-bql", "BQL", Names(*"""
    accel_ioctl_inhibit_begin arm_cpu_do_interrupt arm_handle_psci_call arm_reset_cpu arm_set_cpu_off
    arm_set_cpu_off_async_work arm_set_cpu_on arm_set_cpu_on_and_reset arm_set_cpu_on_and_reset_async_work
    arm_set_cpu_on_async_work close_port console_can_read console_read cpu_check_irqs cpu_interrupt cpu_set_ignne
    do_hcr_write emulate_spapr_hypercall fire_watch_cb gicv3_cpuif_update hcrx_write imx6_clear_reset_bit
    imx7_clear_reset_bit kvm_dirty_ring_flush kvm_xen_soft_reset migration_block_activate migration_block_inactivate
    net_rx_packet net_tx_packets pegasos2_hypercall pegasos_hypercall qemu_s390_clear_io_flic
    qemu_s390_flic_dequeue_crw_mchk qemu_s390_flic_dequeue_io qemu_s390_flic_dequeue_service qemu_s390_flic_has_any
    qemu_s390_flic_reset qemu_s390_inject_crw_mchk qemu_s390_inject_io qemu_s390_inject_service
    qemu_semihosting_console_block_until_ready qemu_semihosting_console_inc qemu_semihosting_console_ready
    qmp_dump_skeys s390_qmp_dump_skeys update_ckc_timer xen_evtchn_deliver_pirq_msi xen_evtchn_set_callback_param
    xen_evtchn_set_gsi xen_evtchn_snoop_msi xen_evtchn_soft_reset xen_evtchn_translate_pirq_msi xen_netdev_connect
    xen_netdev_disconnect xen_overlay_map_shinfo_page
    """.split()), (), "likely", "it checks that it runs with the BQL held"),
    # --- accel/kvm/kvm-all.c: kvm_slots_lock() around these, 3.1 to 10.2
    Holder("kvm-slots", "kvm_slots_lock",
           Names("kvm_dirty_ring_reap", "kvm_dirty_ring_reap_locked", "kvm_set_phys_mem", "kvm_region_commit",
                 "kvm_section_update_flags", "kvm_log_sync", "kvm_log_sync_global", "kvm_log_clear",
                 "kvm_physical_log_clear", "kvm_physical_sync_dirty_bitmap"),
           (), "likely", "KVM's memory slots and dirty logs change with that lock held"),
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

# Locks that are not QEMU's, by the functions that take them, in a child that fork() left with one thread: what another
# thread of the parent held stays locked. glibc's malloc and stdio are put right by its fork(), other libcs' may not be.
FORK_LOCKS: Tuple[Tuple[Names, str, str, bool], ...] = (
    (Names("g_slice_*", "thread_memory_*", "magazine_*", "slab_allocator_*", "allocator_*"),
     "GLib's slice allocator",
     "G_SLICE=always-malloc in the environment, or QEMU built with GLib 2.76 or later, which has no slice allocator",
     False),
    (Names("malloc", "calloc", "realloc", "free", "cfree", "__libc_malloc", "libc_malloc", "libc_free", "libc_calloc",
           "_int_malloc", "_int_free*", "_int_realloc", "arena_get*", "tcache_init*", "posix_memalign", "memalign"),
     "the allocator (malloc)", "which libc is it linked with? glibc's fork() puts malloc's locks right for the child",
     True),
    (Names("_IO_*", "fputs", "fwrite", "fflush", "vfprintf*", "printf", "fprintf", "puts", "fclose"), "a stdio stream",
     "without QEMU's logging (-d, QEMU_LOG, -strace) nothing writes there", True),
    (Names("_dl_*", "dl_iterate_phdr", "dlopen*", "dlsym", "__tls_get_addr", "tls_get_addr_tail"),
     "the dynamic linker", "a statically linked QEMU has none", False),
    (Names("g_*"), "GLib", "a newer GLib and QEMU: does it still happen?", False),
)
# how a wait for a low-level lock of glibc's begins; other libcs have other names
GLIBCS_WAITS = ("__lll_lock_wait", "lll_lock_wait")

# What keeps a vCPU counted as running (cpu->running): between cpu_exec_start and cpu_exec_end.
# cpu-common.c; accel/tcg/cpu-exec.c (inside: tcg_cpu_exec / tcg_cpus_exec), accel/kvm/kvm-all.c kvm_cpu_exec
RUNNING_CPU = Names(
    "cpu_tb_exec", "cpu_exec", "cpu_exec_loop", "cpu_exec_setjmp", "cpu_loop_exec_tb", "tcg_cpu_exec", "tcg_cpus_exec",
    "code_gen_buffer", "kvm_vcpu_ioctl", "hvf_vcpu_exec", "hvf_arch_vcpu_exec", "kvm_handle_io", "tb_gen_code",
    "kvm_cpu_exec",
)  # fmt: skip


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
