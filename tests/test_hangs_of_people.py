"""Hangs as people report them: the last link leads, its peer is named, and a step follows. The stacks are stand-ins
written by hand."""

from __future__ import annotations

from stacks import COND, MAIN, MUTEX, POLL, START, thread
from stacks import explained as told

from qemu_gdb.explain import explain
from qemu_gdb.model import Snapshot, Source

STORE = "memory_region_write_accessor access_with_adjusted_size memory_region_dispatch_write"
MTTCG = f"cpu_exec_loop cpu_exec_setjmp cpu_exec tcg_cpus_exec mttcg_cpu_thread_fn {START}"
KVM = f"kvm_handle_io kvm_cpu_exec kvm_vcpu_thread_fn {START}"
IDLE = f"{POLL} os_host_main_loop_wait {MAIN}"
WANTS_BQL = f"{MUTEX} bql_lock_impl os_host_main_loop_wait {MAIN}"
EXCLUSIVE = f"{COND} start_exclusive"


def main_loop(words, **fields):
    return thread(words, number=1, lwp=1001, name="qemu-system-x86", **fields)


def vcpu(words, number=3, **fields):
    return thread(words, number=number, lwp=1000 + number, name=f"CPU {number - 3}/KVM", **fields)


def steps(found):
    return " | ".join(found.next_steps)


# --------------------------------------------------------------------------------------------------------------
# start_exclusive, system calls with locks held


def test_what_the_exclusive_section_waits_for_leads():
    found = told(
        thread(f"{EXCLUSIVE} cpu_exec_step_atomic mttcg_cpu_thread_fn {START}", number=4, lwp=1004),
        thread(f"__GI_ppoll ?%libglib-2.0.so.0 qio_channel_wait tcp_chr_write qemu_chr_write_buffer qemu_chr_write "
               f"qemu_chr_fe_write_all pl011_write {STORE} cpu_tb_exec {MTTCG}", number=3, lwp=1003),
        main_loop(WANTS_BQL),
    ).findings  # fmt: skip
    assert [f.kind for f in found] == ["hang.waiting-for-peer"]
    assert "start_exclusive), and so for thread 3" in found[0].explanation
    assert found[0].next_steps and "??" not in found[0].explanation


def test_a_vcpu_that_waits_for_the_exclusive_section_is_not_inside_cpu_exec():
    found = told(
        thread(f"{EXCLUSIVE} cpu_exec_step_atomic mttcg_cpu_thread_fn {START}", number=4, lwp=1004),
        thread(f"{COND} exclusive_idle cpu_exec_start tcg_cpus_exec mttcg_cpu_thread_fn {START}", number=3, lwp=1003),
        main_loop(IDLE),
    ).findings  # fmt: skip
    assert not any(f.kind == "hang.deadlock" for f in found)


def test_a_chain_of_guest_threads_ends_in_the_system_call_under_mmap_lock():
    found = told(
        thread(f"__libc_pread64 mmap_frag target_mmap__locked target_mmap do_syscall1 do_syscall cpu_loop clone_func "
               f"{START}", number=3, lwp=1003, args={0: {"fd": "19"}, 4: {"num": "222"}}),
        thread(f"__lll_lock_wait pthread_mutex_lock mmap_lock {MTTCG} cpu_loop clone_func {START}", number=2, lwp=1002,
               args={1: {"mutex": "0xb3e4a0 <mmap_mutex>"}}),
        thread(f"{EXCLUSIVE} fork_start do_fork do_syscall1 do_syscall cpu_loop main", number=1, lwp=1001),
    ).findings[0]  # fmt: skip
    assert (found.title, found.confidence) == ("Thread 3 (user-mode guest thread) is blocked in pread64()", "likely")
    assert "system call mmap" in found.explanation and "descriptor 19" in found.explanation
    assert "and so for thread 3" in found.explanation and "and so for thread 2" in found.explanation


def test_a_semihosting_read_blocks_with_the_bql_held():
    found = told(
        thread(f"__GI___libc_read host_read semihost_sys_read do_common_semihosting arm_v7m_cpu_do_interrupt "
               f"cpu_handle_exception {MTTCG}", number=3, lwp=1003, args={0: {"fd": "9"}}),
        main_loop(WANTS_BQL),
    ).findings[0]  # fmt: skip
    assert found.title.endswith("is blocked in read() with the BQL held")
    assert "semihosting call" in found.explanation and "FIFO" in steps(found)


def test_reading_a_directory_blocks_like_reading_a_file():
    explained = told(
        vcpu(f"__getdents64 __GI___readdir64 usb_mtp_object_readdir usb_mtp_command usb_mtp_handle_data "
             f"usb_process_one usb_handle_packet xhci_kick_epctx {STORE} {KVM}", args={0: {"fd": "29"}}),
        main_loop(WANTS_BQL),
    )  # fmt: skip
    found = explained.findings[0]
    assert found.title == "Thread 3 (vCPU 0, KVM) is blocked in getdents64() with the BQL held"
    assert "usb-mtp serves a directory of the host" in found.explanation and "rootdir" in steps(found)


def test_a_worker_in_9p_on_a_dead_mount_is_told_with_its_path():
    explained = told(
        thread("__GI_fstatat64 local_lstat v9fs_co_lstat v9fs_walk coroutine_trampoline", number=7, lwp=1007,
               name="worker", args={0: {"fd": "58", "file": '0x7f0a "reports"'}}),
        main_loop(IDLE),
    )  # fmt: skip
    found = explained.findings[0]
    assert (explained.threads[0].state, found.kind) == ("blocked-syscall", "hang.blocked-syscall")
    assert 'for "reports"' in found.explanation and "directory that 9p shares" in steps(found)


def test_seeking_for_a_hole_blocks_the_thread_of_the_node():
    found = told(thread("__lseek64 find_allocation raw_co_block_status bdrv_co_do_block_status mirror_iteration "
                        "mirror_run job_co_entry coroutine_trampoline", number=None, lwp=None)).findings[0]
    assert found.kind == "hang.blocked-syscall" and "not in a worker" in found.explanation


# --------------------------------------------------------------------------------------------------------------
# Peers: who it is, how it is called, where to look

REQUEST = "qemu_chr_fe_read_all tpm_emulator_ctrlcmd tpm_emulator_stop_tpm tpm_crb_reset qemu_devices_reset"
GLIB = "g_main_context_dispatch%libglib-2.0.so.0"


def test_the_owner_of_a_chardev_names_its_peer():
    found = told(main_loop(f"__GI___poll ?%libglib-2.0.so.0 g_main_loop_run%libglib-2.0.so.0 qio_channel_wait "
                           f"tcp_chr_sync_read {REQUEST} main_loop_should_exit qemu_main_loop main",
                           args={6: {"cmd": "14"}})).findings[0]  # fmt: skip
    assert found.title == "swtpm does not answer QEMU's command" and "CMD_STOP" in found.explanation
    found = told(main_loop(f"__libc_write io_channel_send_full fd_chr_write qemu_chr_write_buffer qemu_chr_write_all "
                           f"qemu_chr_fe_write_all ccid_card_vscard_send_msg ccid_card_vscard_send_apdu "
                           f"passthru_apdu_from_guest ccid_handle_data {MAIN}")).findings[0]  # fmt: skip
    assert "smartcard reader's client" in found.title


def test_a_vhost_user_back_end_is_named_by_its_device():
    reads = "recvmsg qio_channel_socket_readv tcp_chr_recv tcp_chr_sync_read qemu_chr_fe_read_all vhost_user_read"
    stop = "vhost_user_get_vring_base vhost_virtqueue_stop vhost_dev_stop"
    state = f"virtio_set_status vm_state_notify do_vm_stop vm_stop qmp_stop {MAIN}"
    net = told(main_loop(f"{reads} {stop} vhost_net_stop virtio_net_set_status {state}")).findings[0]
    fs = told(main_loop(f"{reads} {stop} vuf_stop vuf_set_status {state}")).findings[0]
    assert "Open vSwitch" in net.title and "virtiofsd" in fs.title


def test_a_condition_has_a_time_limit_only_where_one_is_seen():
    waits = "__futex_abstimed_wait_common pthread_cond_wait@@GLIBC_2.3.2 pa_threaded_mainloop_wait%libpulse.so.0"
    explained = told(main_loop(f"{waits} qpa_init_out AUD_open_out hda_audio_setup aio_bh_poll aio_dispatch "
                               f"aio_ctx_dispatch {GLIB} {MAIN}"))  # fmt: skip
    assert "time limit" not in explained.threads[0].summary
    assert "sound server" in explained.findings[0].explanation


def test_a_forked_child_waits_for_a_lock_of_its_parents_thread():
    child = thread("futex_wait __lll_lock_wait pthread_mutex_lock g_mutex_lock thread_memory_magazine1_reload "
                   "g_slice_alloc g_tree_insert tcg_tb_insert tb_gen_code cpu_exec cpu_loop main",
                   number=1, lwp=1001)  # fmt: skip
    found = told(child).findings[0]
    assert (found.kind, found.confidence) == ("hang.deadlock", "possible")  # other threads may only not be shown
    assert "nobody unlocks" in found.title and "G_SLICE=always-malloc" in found.next_steps[0]
    found = explain(Snapshot(source=Source(kind="core"), threads=[child])).findings[0]
    assert found.confidence == "likely" and "is the only one," in found.explanation


def test_malloc_of_glibc_is_no_lock_that_a_fork_leaves():
    found = told(thread("__lll_lock_wait_private malloc g_malloc tb_gen_code cpu_exec cpu_loop main",
                        number=1, lwp=1001)).findings
    assert not [f for f in found if "forked child" in f.title]


def test_a_reset_of_9p_waits_for_its_own_requests():
    found = told(
        thread("__libc_openat64 openat_file local_open_nofollow local_open v9fs_co_open coroutine_trampoline", number=5,
               lwp=1005, name="worker", args={0: {"fd": "34", "file": '0x7f08 "fifo"'}}),
        main_loop(f"{POLL} fdmon_poll_wait aio_poll v9fs_reset virtio_9p_reset virtio_reset qemu_system_reset "
                  "main_loop_should_exit qemu_main_loop main"),
    ).findings[0]  # fmt: skip
    assert 'for "fifo"' in found.explanation and "active_list.lh_first" in steps(found)
    assert "qemu-requests" not in steps(found)


def test_two_threads_at_one_connection_are_one_finding_and_the_holder_of_the_bql_leads():
    ioc = {"ioc": "0x559e404bd1b0"}
    found = told(
        thread(f"ppoll g_main_context_iterate%libglib-2.0.so.0 g_main_loop_run%libglib-2.0.so.0 qio_channel_wait "
               f"qio_channel_writev_full_all qemu_fflush ram_save_iterate migration_thread {START}", number=5, lwp=1005,
               name="live_migration", args={3: ioc}),
        main_loop(f"sendmsg qio_channel_socket_writev qio_channel_tls_write_handler qcrypto_tls_session_push "
                  f"gnutls_bye%libgnutls.so.30 qcrypto_tls_session_bye migrate_fd_cancel qmp_migrate_cancel "
                  f"qmp_marshal_migrate_cancel do_qmp_dispatch_bh aio_bh_poll aio_dispatch aio_ctx_dispatch {GLIB} "
                  f"{MAIN}", args={2: {"opaque": "0x559e404bd1b0"}}),
    ).findings  # fmt: skip
    assert len(found) == 1 and "migrate_cancel" in found[0].title
    assert "Thread 5 (migration) waits at the same connection" in found[0].explanation
    assert "ss -tnp" in steps(found[0]) and "kernel does not return" not in steps(found[0])


def test_a_wayland_compositor_holds_the_frame_back():
    found = told(main_loop(f"__GI___poll wl_display_poll%libwayland-client.so.0 "
                           f"wl_display_dispatch_queue%libwayland-client.so.0 "
                           f"dri2_wl_swap_buffers_with_damage%libEGL_mesa.so.0 eglSwapBuffers%libEGL_mesa.so.0 "
                           f"gd_egl_draw {GLIB} {MAIN}")).findings[0]  # fmt: skip
    assert "compositor" in found.title and "workspace" in steps(found)


def test_user_mode_waits_for_a_gdb_to_connect():
    found = told(thread("__libc_accept gdb_accept_tcp gdbserver_start main", number=1, lwp=1001,
                        args={2: {"port_or_path": '0x7ffe "1234"'}})).findings[0]
    assert "to connect" in found.title and "target remote" in steps(found) and "1234" in found.explanation


def test_a_library_is_named_by_the_function_that_qemu_called():
    found = told(main_loop(f"__poll handle_events%libusb-1.0.so.0 "
                           f"libusb_handle_events_timeout_completed%libusb-1.0.so.0 libusb_close%libusb-1.0.so.0 "
                           f"usb_host_close usb_host_unrealize device_set_realized qmp_device_del aio_bh_poll "
                           f"aio_dispatch aio_ctx_dispatch {GLIB} {MAIN}")).findings[0]  # fmt: skip
    assert "It waits in libusb_close (frame 3)" in found.explanation and "dmesg" in steps(found)


def test_the_spice_worker_waits_for_its_client():
    explained = told(
        thread(f"usleep red_channel_client_wait_outgoing_item%libspice-server.so.1 "
               f"display_channel_draw_until%libspice-server.so.1 {GLIB} g_main_loop_run%libglib-2.0.so.0 "
               f"red_worker_main%libspice-server.so.1 start_thread clone", number=9, lwp=1009),
        main_loop(f"read read_safe%libspice-server.so.1 dispatcher_send_message%libspice-server.so.1 "
                  f"red_qxl_stop%libspice-server.so.1 vm_state_notify do_vm_stop vm_stop {MAIN}"),
    )  # fmt: skip
    assert "nested poll" not in explained.threads[0].summary
    assert "the SPICE client" in explained.findings[0].explanation and "SPICE client" in steps(explained.findings[0])


# --------------------------------------------------------------------------------------------------------------
# Migration, start-up, vCPUs, long work


def test_a_paused_postcopy_is_told_once_with_its_recovery():
    found = told(
        thread(f"{COND} qemu_sem_wait postcopy_pause_incoming qemu_loadvm_state_main postcopy_ram_listen_thread "
               f"{START}", number=9, lwp=1009),
        thread(f"{COND} qemu_sem_wait postcopy_pause_fault_thread postcopy_ram_fault_thread {START}", number=8,
               lwp=1008),
        main_loop(IDLE),
    ).findings  # fmt: skip
    assert [f.title for f in found if f.kind.startswith("hang.")] == ["Postcopy is paused: the connection broke"]
    assert "migrate-recover" in steps(found[0]) and "resume" in steps(found[0])


def test_the_vcpu_that_is_waited_for_is_named_by_its_pointer():
    cpu = "0x561aa2a0f4b0"
    found = told(
        vcpu(f"ioctl kvm_vm_ioctl kvm_init_vcpu kvm_vcpu_thread_fn {START}", number=9,
             args={1: {"type": "44609"}, 3: {"arg": cpu}}),
        main_loop(f"{COND} qemu_init_vcpu x86_cpu_realizefn device_set_realized qmp_device_add {MAIN}",
                  args={4: {"cpu": cpu}}),
    ).findings[0]  # fmt: skip
    assert "thread 9" in found.title and "KVM_CREATE_VCPU" in found.explanation
    assert "/proc/PID/task/1009/stack" in steps(found)


def test_a_cpr_target_and_a_daemon_s_parent_wait_as_they_should():
    cpr = told(main_loop("__GI_ppoll ?%libglib-2.0.so.0 g_main_loop_run%libglib-2.0.so.0 qio_net_listener_wait_client "
                         "cpr_transfer_input cpr_state_load qemu_init main")).findings[0]
    assert cpr.kind == "hang.waiting-for-peer" and "normal until migrate" in steps(cpr)
    parent = told(main_loop("__GI___libc_read os_daemonize qemu_process_early_options qemu_init main")).findings[0]
    assert "its child" in parent.title and "pgrep -P" in steps(parent)
    for found in (cpr, parent):  # as every such start does
        assert found.confidence == "possible" and "second sample" in found.next_steps[0]


def test_preallocation_is_progress():
    found = told(
        thread(f"__madvise do_madv_populate_write_pages {START}", number=3, lwp=1003),
        thread(f"__madvise do_madv_populate_write_pages {START}", number=4, lwp=1004),
        main_loop("__futex_abstimed_wait_common __pthread_clockjoin_ex qemu_thread_join qemu_prealloc_mem "
                  "host_memory_backend_memory_complete user_creatable_complete qemu_init main"),
    ).findings  # fmt: skip
    assert len(found) == 1 and "prealloc" in found[0].title and "HugePages_Free" in steps(found[0])


def test_a_snapshot_and_a_dump_are_progress():
    saves = told(main_loop(f"{POLL} fdmon_poll_wait aio_poll bdrv_poll_co bdrv_writev_vmstate block_writev_buffer "
                           f"qemu_fflush ram_save_iterate qemu_savevm_state save_snapshot hmp_savevm "
                           f"handle_hmp_command {GLIB} {MAIN}",
                           args={5: {"pos": "9812434944"}})).findings[0]  # fmt: skip
    assert "stopped meanwhile" in saves.title and "p pos (9812434944 here)" in saves.next_steps[0]
    dumps = told(thread(f"write qemu_write_full fd_write_vmcore write_data create_vmcore dump_process dump_thread "
                        f"{START}", number=7, lwp=1007), main_loop(IDLE)).findings[0]
    assert "dump-guest-memory" in dumps.title and "query-dump" in steps(dumps)


def test_a_hole_in_guest_ram_is_no_storage():
    found = told(
        vcpu(f"fallocate64 ram_block_discard_range virtio_mem_unplug_request virtio_mem_handle_request "
             f"virtio_queue_notify {STORE} {KVM}"),
        main_loop(WANTS_BQL),
    ).findings[0]  # fmt: skip
    assert "memory and not storage" in found.explanation and "requested-size" in steps(found)


def test_reading_the_error_queue_spins():
    found = told(thread(f"__libc_recvmsg qio_channel_socket_flush multifd_zero_copy_flush multifd_send_sync_main "
                        f"ram_save_iterate migration_thread {START}", number=5, lwp=1005, name="live_migration",
                        args={0: {"fd": "61", "flags": "8192"}}), main_loop(IDLE)).findings[0]  # fmt: skip
    assert found.kind == "hang.spinning" and "never blocks" in found.explanation


def test_no_monitor_command_is_advised_where_no_monitor_answers():
    sends = thread(f"__libc_sendmsg qio_channel_socket_writev qio_channel_writev_full_all multifd_send_thread {START}",
                   number=12, lwp=1012, name="mig/src/send_1", args={0: {"fd": "64"}})  # fmt: skip
    saves = thread(f"{COND} qemu_sem_wait multifd_send_sync_main ram_save_complete "
                   f"qemu_savevm_state_complete_precopy migration_completion migration_thread {START}", number=10,
                   lwp=1010, name="mig/src/main")  # fmt: skip
    found = told(sends, saves, main_loop(WANTS_BQL)).findings[0]
    assert "info migrate" not in steps(found) and "ss -tnpi" in steps(found)


# --------------------------------------------------------------------------------------------------------------
# Drains


def test_a_drain_under_record_replay_waits_for_the_log():
    threads = (
        thread(f"__lll_lock_wait pthread_mutex_lock qemu_mutex_lock_impl bql_lock_impl rr_cpu_thread_fn {START}",
               number=2, lwp=1002, name="ALL CPUs/TCG"),
        main_loop(f"{POLL} fdmon_poll_wait aio_poll bdrv_drain_all_begin bdrv_drain_all do_vm_stop vm_stop "
                  "main_loop_should_exit qemu_main_loop main"),
    )  # fmt: skip
    found = told(*threads, unparsed=["qemu-system-aarch64 -icount shift=3,rr=replay,rrfile=x.rr"]).findings[0]
    assert "record/replay" in found.explanation
    assert "thread apply all bt" not in found.next_steps  # the text has threads 1 to 2


def test_the_inlined_condition_of_a_drain_is_a_drain():
    found = told(main_loop(f"{POLL} aio_poll bdrv_drain_poll_top_level bdrv_do_drained_begin mirror_exit_common "
                           f"mirror_prepare job_exit aio_bh_call aio_bh_poll aio_dispatch aio_ctx_dispatch {GLIB} "
                           f"{MAIN}")).findings[0]  # fmt: skip
    assert "in a drain" in found.title


def test_a_flush_beside_a_deadlock_is_named():
    found = told(
        thread(f"fsync qemu_fdatasync handle_aiocb_flush worker_thread {START}", number=9, lwp=1009, name="worker",
               args={0: {"fd": "19"}}),
        thread(f"{MUTEX} aio_context_acquire virtio_blk_handle_vq aio_dispatch_handler aio_poll iothread_run {START}",
               number=4, lwp=1004, name="IO iothread0"),
        main_loop(f"{POLL} fdmon_poll_wait aio_poll bdrv_poll_co bdrv_flush external_snapshot_prepare qmp_transaction "
                  f"do_qmp_dispatch_bh aio_bh_poll aio_dispatch aio_ctx_dispatch {GLIB} {MAIN}"),
    ).findings[0]  # fmt: skip
    assert found.kind == "hang.deadlock" and "fsync() on descriptor 19" in found.explanation


def test_a_thread_inside_a_request_of_a_library_does_not_rest():
    explained = told(
        thread(f"{COND} std::condition_variable::wait Throttle::_wait%libceph-common.so.2 "
               "Throttle::get%libceph-common.so.2 Objecter::_op_submit_with_budget%libceph-common.so.2 "
               "librbd::io::ObjectRequest::send%librbd.so.1 start_thread clone", number=12, lwp=1012,
               name="io_context_pool"),
        main_loop(IDLE),
    )  # fmt: skip
    assert explained.threads[0].state == "waiting-condvar"
    assert "ceph -s" in steps(explained.findings[0])


def test_a_backup_server_may_hold_a_drain_up():
    explained = told(
        thread("epoll_wait ?%libproxmox_backup_qemu.so.0 ?%libproxmox_backup_qemu.so.0 start_thread clone3", number=6,
               lwp=1006, name="proxmox-backup-"),
        main_loop(f"{POLL} fdmon_poll_wait aio_poll bdrv_drain_all_begin bdrv_graph_wrlock backup_clean job_clean "
                  f"job_exit aio_bh_poll aio_dispatch aio_ctx_dispatch {GLIB} {MAIN}"),
    )  # fmt: skip
    assert explained.threads[0].state == "idle"
    assert "Proxmox Backup Server" in explained.findings[0].explanation


def test_an_open_that_does_not_return_may_be_of_a_fifo():
    found = told(main_loop("__libc_open64 _IO_file_open __fopen_internal qmp_pmemsave qmp_marshal_pmemsave "
                           f"do_qmp_dispatch_bh aio_bh_poll aio_ctx_dispatch {GLIB} {MAIN}")).findings[0]  # fmt: skip
    assert "called by qmp_pmemsave" in found.explanation and "FIFO" in steps(found)


def test_threads_that_allocate_memory_are_told_by_the_thread_that_waits_for_them():
    joins = "__futex_abstimed_wait_common64 __pthread_clockjoin_ex qemu_thread_join wait_and_free_mem_prealloc_context"
    found = told(
        thread("__mmap64 alloc_new_heap new_heap arena_get2 tcache_init malloc g_malloc qemu_thread_start "
               "start_thread clone3", number=7, lwp=1007, name="touch_pages"),
        main_loop(f"{joins} qemu_prealloc_mem object_property_set qmp_object_add qmp_dispatch {MAIN}"),
    ).findings[0]  # fmt: skip
    assert (found.title, found.confidence) == (
        "QEMU allocates guest RAM beforehand (prealloc), and waits for that", "possible")  # fmt: skip
