"""What a hang's finding says: the cycle or the last link of the chain, who only waits behind it. Facts here are fakes."""

# ruff: noqa: E501 - backtraces are quoted as gdb prints them
from __future__ import annotations

from qemu_gdb.capture import text
from qemu_gdb.explain import explain
from qemu_gdb.model import (
    BlockNode,
    Coroutine,
    Facts,
    Frame,
    Lock,
    RcuReader,
    Request,
    Snapshot,
    Source,
    Thread,
)

MAIN_LOOP = ["main_loop_wait", "qemu_main_loop", "qemu_default_main", "main"]
IOTHREAD = ["aio_poll", "iothread_run", "qemu_thread_start", "start_thread", "clone3"]
KVM = ["kvm_cpu_exec", "kvm_vcpu_thread_fn", "qemu_thread_start", "start_thread", "clone3"]
MUTEX = ["futex_wait", "__lll_lock_wait", "pthread_mutex_lock", "qemu_mutex_lock_impl"]
POLL = ["__ppoll", "qemu_poll_ns", "fdmon_poll_wait", "aio_poll"]
RCU = ["syscall", "qemu_futex_wait", "qemu_event_wait", "call_rcu_thread", "qemu_thread_start", "start_thread", "clone3"]


def thread(number, names, lwp=None, args=None, name=None):
    frames = [Frame(i, n, args=dict((args or {}).get(n, {}))) for i, n in enumerate(names)]
    return Thread(frames=frames, number=number, lwp=lwp or 1000 + number, name=name)


def told(*threads, **kwargs):
    return explain(Snapshot(source=Source(kind="core"), threads=list(threads), **kwargs))


def first(*threads, **kwargs):
    findings = told(*threads, **kwargs).findings
    assert findings
    return findings[0]


def stop_command():
    return thread(1, POLL + ["bdrv_drain_all_begin", "bdrv_drain_all", "do_vm_stop", "vm_stop", "qmp_stop",
                             "qmp_marshal_stop", "do_qmp_dispatch_bh", "aio_bh_poll", "aio_dispatch", "aio_ctx_dispatch",
                             "g_main_context_dispatch", "glib_pollfds_poll", "os_host_main_loop_wait", *MAIN_LOOP])  # fmt: skip


def test_drain_names_each_request_its_coroutine_and_the_server():
    facts = Facts(
        requests=[Request("nbd0", "nbd", "read", 0, 512, 0x7F4F, origin="scsi-hd s0")],
        nodes=[BlockNode("nbd0", "nbd", peer="unix:/run/nbd.sock")],
    )
    coroutine = Coroutine(0x7F4F, [Frame(0, "qemu_coroutine_switch"), Frame(1, "nbd_receive_reply")], waits_kind="peer",
                          waits_text="a reply of the NBD server at unix:/run/nbd.sock")  # fmt: skip
    found = first(stop_command(), facts=facts, coroutines=[coroutine])
    assert found.kind == "hang.drain-waits-for-io"
    assert found.confidence == "certain"
    assert 'The monitor command "stop"' in found.title
    for words in ("nbd0 (nbd): read of 512 bytes at 0", "scsi-hd s0", "0x7f4f", "nbd_receive_reply", "unix:/run/nbd.sock"):
        assert words in found.explanation, words
    assert "NBD server" in found.next_steps[0]


def test_drain_without_facts_asks_for_the_request():
    snapshot = text.parse("\n".join(f"#{i}  0x00005555000000{i:02x} in {f.function} ()" for i, f in enumerate(stop_command().frames)))[0]
    found = explain(snapshot).findings[0]
    assert found.kind == "hang.drain-waits-for-io"
    assert found.confidence == "likely"
    assert "no stack shows" in found.explanation
    assert any("in_flight" in s or "qemu-requests" in s for s in found.next_steps)
    assert any("thread apply all bt" in s for s in found.next_steps)


def test_waiters_for_the_bql_are_told_to_be_victims_of_the_drain():
    vcpu = thread(5, MUTEX + ["bql_lock_impl", "prepare_mmio_access", "flatview_write", *KVM])
    found = first(stop_command(), vcpu)
    assert found.kind == "hang.drain-waits-for-io"
    assert "Thread 5 waits for the BQL, and only because of this" in found.explanation


def test_two_locks_in_opposite_order_are_a_deadlock():
    lock = {"qemu_mutex_lock_impl": {"mutex": "0x5641856f2a00"}}
    iothread = thread(3, MUTEX + ["bql_lock_impl", "prepare_mmio_access", "msix_notify", "blk_aio_complete", *IOTHREAD], 135952)
    main = thread(1, MUTEX + ["qemu_rec_mutex_lock_impl", "aio_context_acquire", "bdrv_set_aio_context_commit",
                              "bdrv_close_all", "qemu_cleanup", "main"], 135944, lock)  # fmt: skip
    facts = Facts(
        bql_known=True, bql_owner_lwp=135944,
        locks=[Lock("BQL", 0x10, owner_lwp=135944, waiter_lwps=[135952]),
               Lock("AioContext io0", 0x5641856F2A00, "aiocontext", owner_lwp=135952, waiter_lwps=[135944])],
    )  # fmt: skip
    explanation = told(iothread, main, facts=facts)
    found = explanation.findings[0]
    assert found.kind == "hang.deadlock"
    assert found.confidence == "certain"
    assert sorted(found.threads) == [1, 3]
    assert "ABBA" in found.explanation
    assert {t.thread.number: t.waits_for.owner_thread for t in explanation.threads} == {3: 1, 1: 3}


def test_printed_owners_of_a_text_prove_the_deadlock():
    content = """Thread 2 (Thread 0x7f01 (LWP 145416)):
#0  __lll_lock_wait () at lowlevellock.S:135
#1  0x00007f0000000001 in pthread_mutex_lock (mutex=0x561034d25dc0) at pthread_mutex_lock.c:80
#2  0x0000555500000002 in qemu_mutex_lock_impl (mutex=0x561034d25dc0) at util/qemu-thread-posix.c:66
#3  0x0000555500000003 in aio_context_acquire (ctx=0x561034d25d60) at util/async.c:516
#4  0x0000555500000004 in dma_blk_cb (opaque=0x1, ret=0) at dma-helpers.c:119
#5  0x0000555500000005 in bmdma_write (opaque=0x1, addr=0, val=1, size=1) at hw/ide/piix.c:75
#6  0x0000555500000006 in memory_region_write_accessor (mr=0x1) at memory.c:530
#7  0x0000555500000007 in kvm_cpu_exec (cpu=0x1) at accel/kvm/kvm-all.c:1983
#8  0x0000555500000008 in qemu_kvm_cpu_thread_fn (arg=0x1) at cpus.c:1215
Thread 1 (Thread 0x7f00 (LWP 145411)):
#0  __lll_lock_wait () at lowlevellock.S:135
#1  0x00007f0000000001 in pthread_mutex_lock (mutex=0x561032a00000 <qemu_global_mutex>) at pthread_mutex_lock.c:80
#2  0x0000555500000002 in qemu_mutex_lock_impl (mutex=0x561032a00000 <qemu_global_mutex>) at util/qemu-thread-posix.c:66
#3  0x0000555500000003 in qemu_mutex_lock_iothread_impl (file=0x1) at cpus.c:1849
#4  0x0000555500000004 in os_host_main_loop_wait (timeout=1) at util/main-loop.c:236
#5  0x0000555500000005 in main_loop_wait (nonblocking=0) at util/main-loop.c:497
#6  0x0000555500000006 in main (argc=1) at vl.c:4647
(gdb) p qemu_global_mutex
$1 = {lock = {__data = {__lock = 2, __count = 0, __owner = 145416, __nusers = 1}}}
(gdb) p *(QemuMutex *) 0x561034d25dc0
$2 = {lock = {__data = {__lock = 2, __count = 1, __owner = 145411, __nusers = 1}}}
"""
    found = explain(text.parse(content)[0]).findings[0]
    assert found.kind == "hang.deadlock"
    assert found.confidence == "certain"
    assert "__owner = 145416" in found.explanation


def test_iothread_that_wants_the_lock_of_the_polling_main_loop():
    main = thread(1, POLL + ["bdrv_graph_wrlock", "bdrv_replace_child_noperm", "mirror_exit_common", "job_prepare_locked",
                             "job_exit", "aio_bh_poll", "aio_dispatch", "aio_ctx_dispatch", "g_main_context_dispatch",
                             "glib_pollfds_poll", "os_host_main_loop_wait", *MAIN_LOOP])  # fmt: skip
    iothread = thread(3, MUTEX + ["aio_context_acquire", "co_schedule_bh_cb", "aio_bh_call", "aio_bh_poll", *IOTHREAD])
    found = first(main, iothread)
    assert found.kind == "hang.deadlock"
    assert "job_exit" in found.explanation and "twice" in found.explanation


def test_join_with_the_bql_held():
    main = thread(1, ["__pthread_clockjoin_ex", "qemu_thread_join", "process_incoming_migration_co", "coroutine_trampoline"])
    colo = thread(13, MUTEX + ["qemu_mutex_lock_iothread_impl", "colo_process_incoming_thread", "qemu_thread_start", "clone"])
    explanation = told(main, colo)
    found = explanation.findings[0]
    assert found.kind in ("hang.deadlock", "hang.bql-held")


def test_function_entered_again_with_its_lock_held_waits_for_itself():
    names = MUTEX + ["monitor_puts", "qmp_send_response", "monitor_qapi_event_emit", "spice_channel_event",
                     "qemu_chr_fe_write", "monitor_flush_locked", "monitor_puts", "qmp_send_response", *MAIN_LOOP]  # fmt: skip
    found = first(thread(1, names))
    assert found.kind == "hang.deadlock"
    assert "monitor_puts" in found.title and "waits for itself" in found.title


def test_vcpu_that_does_not_stop_is_named():
    main = thread(1, ["futex_wait", "pthread_cond_wait", "qemu_cond_wait_impl", "pause_all_vcpus", "do_vm_stop", "qmp_stop",
                      "qmp_marshal_stop", "do_qmp_dispatch_bh", "aio_bh_poll", "g_main_context_dispatch",
                      "os_host_main_loop_wait", *MAIN_LOOP])  # fmt: skip
    stuck = thread(4, ["ioctl", "kvm_vcpu_ioctl", *KVM])
    parked = thread(5, ["futex_wait", "pthread_cond_wait", "qemu_cond_wait_impl", "qemu_wait_io_event", *KVM[1:]])
    found = first(main, stuck, parked)
    assert found.kind == "hang.vcpu-stop"
    assert 4 in found.threads and 5 not in found.threads
    assert "KVM_RUN" in found.explanation


def test_bql_held_by_a_busy_vcpu_is_contention_not_deadlock():
    vcpu = thread(5, ["virtio_queue_enabled", "vhost_net_start", "virtio_pci_config_write", "memory_region_write_accessor",
                      "memory_region_dispatch_write", "flatview_write", *KVM])  # fmt: skip
    main = thread(1, MUTEX + ["bql_lock_impl", "os_host_main_loop_wait", *MAIN_LOOP])
    found = first(vcpu, main)
    assert found.kind == "hang.bql-held"
    assert found.confidence == "possible"
    assert "second sample" in found.next_steps[0]


def test_system_call_on_storage_with_the_bql_held():
    main = thread(1, ["lseek64", "find_allocation", "raw_co_block_status", "bdrv_co_block_status", "qmp_query_block",
                      "qmp_marshal_query_block", "do_qmp_dispatch_bh", "aio_bh_poll", "g_main_context_dispatch",
                      "glib_pollfds_poll", "os_host_main_loop_wait", *MAIN_LOOP])  # fmt: skip
    vcpu = thread(5, MUTEX + ["bql_lock_impl", "prepare_mmio_access", "flatview_write", *KVM])
    found = first(main, vcpu)
    assert found.kind == "hang.blocked-syscall"
    assert "lseek64" in found.title and "BQL" in found.title


def test_stalled_migration_stream_leaves_the_guest_running():
    migration = thread(6, ["__GI___writev", "qio_channel_command_writev", "qio_channel_writev_full_all", "qemu_fflush",
                           "qemu_put_be64", "ram_save_iterate", "qemu_savevm_state_iterate", "migration_thread",
                           "qemu_thread_start", "start_thread", "clone3"])  # fmt: skip
    found = first(migration)
    assert found.kind == "hang.waiting-for-peer"
    assert "not read by its receiver" in found.title
    assert "does not hold the BQL" in found.explanation
    assert any("migrate_cancel" in s for s in found.next_steps)


def test_start_that_waits_for_a_chardevs_client():
    main = thread(1, ["poll", "g_main_context_iterate", "g_main_loop_run", "qio_net_listener_wait_client",
                      "tcp_chr_accept_server_sync", "qmp_chardev_open_socket_server", "qemu_chr_open_socket",
                      "chardev_init_func", "qemu_opts_foreach", "qemu_init", "main"])  # fmt: skip
    found = first(main)
    assert found.kind == "hang.waiting-for-peer"
    assert "still starting" in found.title
    assert "wait=off" in found.next_steps[0]


def test_thread_left_behind_by_fork_will_not_answer():
    main = thread(1, ["syscall", "g_cond_wait", "flush_trace_file", "st_flush_trace_buffer", "__run_exit_handlers",
                      "os_daemonize", "qemu_init", "main"])  # fmt: skip
    found = first(main)
    assert found.kind == "hang.deadlock"
    assert "fork()" in found.explanation


def test_reader_that_holds_up_a_grace_period_is_the_last_link():
    main = thread(1, ["syscall", "qemu_futex_wait", "qemu_event_wait", "drain_call_rcu", "qmp_device_add",
                      "qmp_marshal_device_add", "do_qmp_dispatch_bh", "aio_bh_poll", "g_main_context_dispatch",
                      "os_host_main_loop_wait", *MAIN_LOOP])  # fmt: skip
    reader = thread(4, ["recvmsg", "qio_channel_socket_readv", "vhost_user_read", "vhost_user_get_features",
                        "memory_region_write_accessor", *KVM])  # fmt: skip
    found = first(main, reader, facts=Facts(rcu_readers=[RcuReader(1004, 1, True)]))
    assert 4 in found.threads
    assert found.kind in ("hang.waiting-for-peer", "hang.rcu-stall")


def test_vcpu_that_stands_still_in_a_device_access_holds_up_a_grace_period():
    main = thread(1, ["syscall", "qemu_futex_wait", "qemu_event_wait", "drain_call_rcu", "qmp_device_del",
                      "qmp_marshal_device_del", "do_qmp_dispatch_bh", "aio_bh_call", "aio_bh_poll", "aio_dispatch",
                      "aio_ctx_dispatch", "g_main_context_dispatch", *MAIN_LOOP])  # fmt: skip
    reader = thread(4, ["write", "qemu_chr_fe_write_all", "serial_xmit", "serial_ioport_write",
                        "memory_region_write_accessor", "flatview_write", "address_space_write", *KVM])  # fmt: skip
    findings = told(main, reader).findings
    assert [f.kind for f in findings] == ["hang.waiting-for-peer"]
    assert "Thread 1 waits for an RCU grace period" in findings[0].explanation


def test_grace_period_waited_for_with_the_bql_held_and_a_reader_that_wants_the_bql_are_a_deadlock():
    main = thread(1, ["syscall", "qemu_futex_wait", "qemu_event_wait", "wait_for_readers", "synchronize_rcu",
                      "qmp_object_del", "qmp_marshal_object_del", *HANDLER, *MAIN_LOOP])  # fmt: skip
    reader = thread(3, [*MUTEX, "bql_lock_impl", "prepare_mmio_access", "address_space_write", *KVM])
    explained = told(main, reader)
    assert explained.findings[0].kind == "hang.deadlock"
    assert "an RCU grace period against BQL" in explained.findings[0].title
    assert "thread 3 (vCPU, KVM) is inside a read-side critical section" in explained.findings[0].explanation
    assert explained.threads[0].culprit == "synchronize_rcu"


def test_lock_is_held_by_the_thread_that_has_come_further_in_the_function_that_takes_it():
    monitor = thread(3, ["sendmsg", "qio_channel_socket_writev", "tcp_chr_write", "qemu_chr_fe_write", "monitor_flush_locked",
                         "monitor_puts", "qmp_send_response", "g_main_loop_run", "iothread_run", "qemu_thread_start", "clone3"])
    main = thread(1, ["__lll_lock_wait", "pthread_mutex_lock", "qemu_mutex_lock_impl", "monitor_puts", "qmp_send_response",
                      "monitor_qapi_event_emit", "job_exit", "aio_bh_call", "aio_bh_poll", "aio_dispatch",
                      "aio_ctx_dispatch", "g_main_context_dispatch", *MAIN_LOOP])  # fmt: skip
    found = first(main, monitor)
    assert found.kind == "hang.waiting-for-peer" and found.threads[0] == 3
    assert "and so for thread 3: it has come further in monitor_puts" in found.explanation


def test_worker_that_runs_its_request_holds_no_lock_of_the_pool():
    runs = thread(3, ["pread", "handle_aiocb_rw", "aio_worker", "worker_thread", "qemu_thread_start", "clone3"])
    waits = thread(2, [*MUTEX, "worker_thread", "qemu_thread_start", "clone3"])
    assert all(t.waits_for is None or t.waits_for.owner_thread is None for t in told(waits, runs).threads)


def test_guest_code_is_no_system_call_though_up_to_2_8_it_runs_with_the_bql_held():
    guest = thread(2, ["static_code_gen_buffer", "cpu_tb_exec", "cpu_x86_exec", "tcg_exec_all", "qemu_tcg_cpu_thread_fn",
                       "start_thread", "clone"], name="CPU 0/TCG")  # fmt: skip
    main = thread(1, [*MUTEX[:-1], "qemu_mutex_lock", "qemu_mutex_lock_iothread", "os_host_main_loop_wait",
                      "main_loop_wait", "main_loop", "main"])  # fmt: skip
    explained = told(main, guest)
    assert explained.threads[1].role == "vcpu-tcg-rr"
    assert "in guest code" in explained.findings[0].title and explained.findings[0].confidence == "possible"
    assert "kicks the vCPU" in explained.findings[0].explanation


def test_wait_for_a_new_vcpu_names_its_thread():
    main = thread(1, ["futex_wait", "pthread_cond_wait", "qemu_cond_wait_impl", "qemu_init_vcpu", "x86_cpu_realizefn",
                      "qmp_device_add", *HANDLER, *MAIN_LOOP])  # fmt: skip
    vcpu = thread(4, ["ioctl", "kvm_vcpu_ioctl", "kvm_arch_init_vcpu", "kvm_init_vcpu", *KVM[1:]])
    found = first(main, vcpu)
    assert found.title == "Thread 1 (main loop) waits until the new vCPU's thread has started"
    assert 4 in found.threads


def test_migration_thread_waits_behind_the_channel_that_does_not_send():
    sender = thread(5, ["sendmsg", "qio_channel_socket_writev", "multifd_send_thread", "qemu_thread_start", "clone3"])
    idle = thread(4, ["futex_wait", "sem_wait", "qemu_sem_wait", "multifd_send_thread", "qemu_thread_start", "clone3"])
    migration = thread(3, ["futex_wait", "sem_wait", "qemu_sem_wait", "multifd_send_sync_main", "ram_save_iterate",
                           "migration_thread", "qemu_thread_start", "clone3"])  # fmt: skip
    found = first(migration, idle, sender)
    assert found.title == "The migration stream is not read by its receiver, or more slowly than it is sent"
    assert found.threads == [5, 3]


def test_exclusive_section_that_waits_for_a_victim_of_the_bql_is_told_behind_its_holder():
    drain = ["ppoll", "qemu_poll_ns", "aio_poll", "bdrv_drain_all", "do_vm_stop", "qmp_stop", "aio_bh_call", "aio_bh_poll",
             "aio_dispatch", "aio_ctx_dispatch", "g_main_context_dispatch"]  # fmt: skip
    tcg = ["cpu_tb_exec", "cpu_exec", "tcg_cpu_exec", "mttcg_cpu_thread_fn", "qemu_thread_start", "clone3"]
    victim = thread(3, ["futex_wait", "pthread_mutex_lock", "qemu_mutex_lock_impl", "bql_lock_impl", "do_st4_mmu", *tcg])
    asks = thread(2, ["futex_wait", "pthread_cond_wait", "qemu_cond_wait_impl", "start_exclusive", "cpu_exec_step_atomic",
                      "mttcg_cpu_thread_fn", "qemu_thread_start", "clone3"])  # fmt: skip
    findings = told(thread(1, [*drain, *MAIN_LOOP]), asks, victim).findings
    assert findings[0].kind == "hang.drain-waits-for-io"
    assert set(findings[0].threads) == {1, 2, 3}


HANDLER = ["aio_bh_call", "aio_bh_poll", "aio_dispatch", "aio_ctx_dispatch", "g_main_context_dispatch"]


def test_bottom_half_waits_for_the_iothread_that_is_blocked():
    iothread = thread(3, ["io_submit", "ioq_submit", "laio_co_submit", "raw_co_prw", "coroutine_trampoline"],
                      name="IO iothread1")  # fmt: skip
    main = thread(1, [*POLL, "aio_wait_bh_oneshot", "virtio_blk_stop_ioeventfd", "vm_stop", "qmp_stop", *HANDLER, *MAIN_LOOP])
    found = first(main, iothread)
    assert found.title == "Thread 3 (iothread iothread1) is blocked in io_submit()"
    assert found.threads == [3, 1]


def test_join_is_a_wait_for_the_thread_that_is_joined_there_and_for_no_other():
    join = ["__pthread_clockjoin_ex", "pthread_join", "qemu_thread_join"]
    iothread = thread(3, ["futex_wait", "pthread_cond_wait", "rbd_flush", "qemu_rbd_co_flush", "coroutine_trampoline"],
                      name="IO iothread1")  # fmt: skip
    victim = thread(2, ["futex_wait", "pthread_mutex_lock", "qemu_mutex_lock_impl", "bql_lock_impl", *KVM])
    found = first(thread(1, [*join, "iothread_stop", "user_creatable_del", "qmp_object_del", *HANDLER, *MAIN_LOOP]), victim, iothread)
    assert found.title == "A call into librbd or librados (Ceph) does not return"
    assert "Thread 1 (main loop) waits, in frame 3, for a thread to end in iothread_stop, and so for thread 3" in found.explanation
    parked = thread(3, ["futex_wait", "pthread_cond_wait", "qemu_cond_wait_impl", "qemu_wait_io_event", "kvm_vcpu_thread_fn", "clone3"])
    found = first(thread(1, [*join, "cpu_remove_sync", "x86_cpu_unrealizefn", *HANDLER, *MAIN_LOOP]), parked)
    assert found.title == "Thread 1 (main loop) waits for thread 3 (vCPU, KVM) to end (join)"
    assert "BQL" not in found.explanation  # cpu_remove_sync gives it up


def test_answer_of_the_spice_worker_is_no_system_call_that_hangs():
    found = first(thread(1, ["read", "read_safe", "dispatcher_send_message", "red_qxl_update_area", "qxl_spice_update_area",
                             "qxl_hw_update", *HANDLER, *MAIN_LOOP]))  # fmt: skip
    assert found.title == "The SPICE worker does not answer"


def test_qemu_kvms_loops_rest_where_they_poll_and_run_the_guest():
    explained = told(thread(2, ["ioctl", "kvm_run", "kvm_cpu_exec", "kvm_main_loop_cpu", "ap_main_loop", "start_thread"]),
                     thread(1, ["select", "main_loop_wait", "kvm_main_loop", "main_loop", "main"]))  # fmt: skip
    assert [t.state for t in explained.threads] == ["running-guest", "idle"]


def test_windows_waits_are_known_under_their_modules_names():
    waits = thread(3, ["ntdll!ZwWaitForAlertByThreadId", "ntdll!RtlAcquireSRWLockExclusive", "qemu_mutex_lock_impl",
                       "bql_lock_impl", "prepare_mmio_access", "whpx_vcpu_run", "whpx_cpu_thread_fn", "win32_start_routine"])
    runs = thread(2, ["ntdll!ZwDeviceIoControlFile", "WinHvPlatform!WHvRunVirtualProcessor", "whpx_vcpu_run",
                      "whpx_cpu_thread_fn", "win32_start_routine"])  # fmt: skip
    main = thread(1, ["ntdll!ZwWaitForMultipleObjects", "WaitForMultipleObjectsEx", "aio_poll", "bdrv_drain_all", "vm_stop",
                      *HANDLER, *MAIN_LOOP])  # fmt: skip
    explained = told(main, runs, waits)
    assert [t.state for t in explained.threads] == ["waiting-drain-or-nested-poll", "running-guest", "waiting-bql"]
    assert explained.findings[0].kind == "hang.drain-waits-for-io"


def test_cocoas_thread_rests_in_its_own_loop_beside_the_main_loops_thread():
    cocoa = thread(1, ["mach_msg2_trap", "mach_msg2_internal", "__CFRunLoopServiceMachPort", "__CFRunLoopRun",
                       "-[NSApplication run]", "main", "start"])  # fmt: skip
    main = thread(4, ["__select", "qemu_poll_ns", "os_host_main_loop_wait", "main_loop_wait", "qemu_main_loop",
                      "qemu_default_main", "call_qemu_main", "qemu_thread_start", "_pthread_start"])  # fmt: skip
    vcpu = thread(5, ["hv_trap", "hv_vcpu_run", "hvf_vcpu_exec", "hvf_cpu_thread_fn", "qemu_thread_start", "_pthread_start"])
    explained = told(cocoa, main, vcpu)
    assert [(t.role, t.state) for t in explained.threads] == [
        ("display", "idle"), ("main-loop", "idle"), ("vcpu-other", "running-guest"),
    ]  # fmt: skip
    assert [f.kind for f in explained.findings] == ["state.running"]


def test_all_at_rest_is_no_hang():
    main = thread(1, ["__ppoll", "qemu_poll_ns", "os_host_main_loop_wait", *MAIN_LOOP])
    vcpu = thread(3, ["ioctl", "kvm_vcpu_ioctl", *KVM])
    iothread = thread(4, ["__poll", "g_main_context_iterate", "g_main_loop_run", "iothread_run", "qemu_thread_start", "clone3"])
    kinds = [f.kind for f in told(main, thread(2, RCU), vcpu, iothread).findings]
    assert kinds == ["state.running"]


def test_main_loop_that_waits_for_work_on_a_vcpu_is_told_on_i386_too():
    found = first(thread(1, ["__kernel_vsyscall", "__pthread_cond_wait", "qemu_cond_wait", "run_on_cpu",
                             "kvm_cpu_synchronize_state", "main_loop", "main"]))  # fmt: skip
    assert found.kind == "hang.vcpu-stop"
    assert "run_on_cpu (frame 3)" in found.explanation


def test_emulated_program_stopped_by_its_gdb_is_said_to_wait_for_gdb():
    explained = told(thread(1, ["read", "gdb_handlesig", "handle_pending_signal", "process_pending_signals", "cpu_loop",
                                "main"]))  # fmt: skip
    assert explained.findings[0].title == "The emulated program is stopped: QEMU waits for its gdb"
    assert explained.threads[0].culprit == "gdb_handlesig"


def test_lock_of_glib_in_an_emulated_program_is_a_wait_for_a_mutex():
    told_of = told(thread(1, ["syscall", "g_mutex_lock_slowpath", "g_mutex_lock", "g_slice_alloc", "tcg_tb_insert",
                              "tb_gen_code", "cpu_exec", "cpu_loop", "main"]))  # fmt: skip
    assert told_of.threads[0].state == "waiting-mutex"
    assert told_of.threads[0].culprit == "tcg_tb_insert"
    assert told_of.findings[0].kind == "hang.deadlock"


def test_a_thread_that_wakes_another_waits_for_nothing():
    """___pthread_cond_signal in the kernel's futex call: the moment before it goes on."""
    names = ["futex_wake", "___pthread_cond_signal", "qemu_cond_signal", "thread_pool_submit_aio", "blk_aio_read_entry",
             "coroutine_trampoline"]
    answer = told(thread(3, names))
    assert not [f for f in answer.findings if f.kind.startswith("hang.")]
    assert answer.threads[0].state == "executing" and answer.threads[0].waits_for is None


def test_a_signal_that_waits_inside_glibc_is_a_wait():
    names = ["futex_wait", "futex_wait_simple", "__condvar_quiesce_and_switch_g1", "___pthread_cond_signal",
             "qemu_cond_signal", "thread_pool_submit_aio", "blk_aio_read_entry", "coroutine_trampoline"]
    answer = told(thread(3, names))
    assert answer.threads[0].state != "executing" and answer.threads[0].waits_for is None
    assert "wakes another thread" in answer.threads[0].summary
    assert not [f for f in answer.findings if f.kind.startswith("hang.")]  # it is over when the sleepers are awake


def test_multifd_channels_that_the_main_loop_connects_have_not_ended():
    migration = ["pthread_cond_wait", "qemu_sem_wait", "multifd_send_sync_main", "ram_save_setup",
                 "qemu_savevm_state_setup", "migration_thread", "qemu_thread_start", "start_thread"]  # fmt: skip
    connects = ["recvmsg", "qio_channel_socket_readv", "qcrypto_tls_session_handshake", "qio_channel_tls_handshake",
                "multifd_tls_channel_connect", "multifd_new_send_channel_async", "qio_task_complete", *MAIN_LOOP]  # fmt: skip
    findings = told(thread(2, migration), thread(1, connects), thread(3, RCU)).findings
    title = "The migration thread waits for multifd channels that are not connected yet"
    waits = next(f for f in findings if f.title == title)
    assert "thread 1 connects one in multifd_tls_channel_connect (frame 4)" in waits.explanation
    assert not any("no longer exist" in f.title for f in findings)


def test_a_vcpu_that_delivers_an_interrupt_with_the_bql_held_is_not_in_guest_code():
    delivers = ["address_space_translate_for_iotlb", "tlb_set_page_full", "x86_cpu_tlb_fill", "cpu_ldl_mmu",
                "do_interrupt_x86_hardirq", "x86_cpu_exec_interrupt", "cpu_handle_interrupt", "cpu_exec",
                "mttcg_cpu_thread_fn", "qemu_thread_start", "start_thread"]  # fmt: skip
    found = first(thread(1, MUTEX + ["bql_lock_impl", *MAIN_LOOP]), thread(2, delivers))
    assert found.title.startswith("Thread 2 (vCPU, MTTCG) holds the BQL in address_space_translate_for_iotlb")
    assert "delivers an interrupt or exception to the guest CPU" in found.explanation
    assert "(interrupts are delivered with the BQL held)" in found.explanation


def test_of_several_threads_the_one_that_executes_is_told_before_those_in_system_calls():
    reads = thread(3, ["read", "do_syscall", "cpu_loop", "main"])
    works = thread(1, ["tcg_temp_new_internal_i32", "gen_shift_rm_im", "host_signal_handler", "cpu_x86_exec"])
    assert first(reads, works).title == "Thread 1 (user-mode guest thread) executes tcg_temp_new_internal_i32"
