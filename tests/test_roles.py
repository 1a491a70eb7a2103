"""What every kind of thread is for: by the function it runs, and by what is left where that can't be seen."""

from __future__ import annotations

import pytest
from stacks import COND, HANDLER, MAIN, POLL, START, classified, recorded, thread, told

ENTRIES = [
    # newest spelling first, then the older ones
    ("kvm_cpu_exec kvm_vcpu_thread_fn", "vcpu-kvm"),
    ("kvm_cpu_exec qemu_kvm_cpu_thread_fn", "vcpu-kvm"),
    ("cpu_exec tcg_cpu_exec mttcg_cpu_thread_fn", "vcpu-mttcg"),
    ("cpu_exec tcg_cpu_thread_fn", "vcpu-mttcg"),
    ("cpu_exec tcg_cpu_exec qemu_tcg_cpu_thread_fn", "vcpu-mttcg"),
    ("cpu_exec rr_cpu_thread_fn", "vcpu-tcg-rr"),
    ("cpu_exec tcg_rr_cpu_thread_fn", "vcpu-tcg-rr"),
    ("cpu_exec qemu_tcg_rr_cpu_thread_fn", "vcpu-tcg-rr"),
    ("cpu_x86_exec tcg_cpu_exec tcg_exec_all qemu_tcg_cpu_thread_fn", "vcpu-tcg-rr"),
    ("hv_vcpu_run hvf_vcpu_exec hvf_cpu_thread_fn", "vcpu-other"),
    ("WHvRunVirtualProcessor whpx_vcpu_run whpx_cpu_thread_fn", "vcpu-other"),
    ("sigwait dummy_cpu_thread_fn", "vcpu-other"),
    ("syscall qemu_event_wait call_rcu_thread", "rcu"),
    ("sem_timedwait qemu_sem_timedwait worker_thread", "thread-pool-worker"),
    ("pthread_cond_timedwait cond_timedwait aio_thread", "thread-pool-worker"),
    ("write qio_channel_socket_writev migration_thread", "migration"),
    ("ioctl bg_migration_thread", "migration"),
    ("recvmsg qemu_fill_buffer source_return_path_thread", "migration-return-path"),
    ("sem_wait qemu_sem_wait multifd_send_thread", "multifd-send"),
    ("recvmsg multifd_recv_thread", "multifd-recv"),
    ("poll postcopy_ram_fault_thread", "postcopy-fault"),
    ("recvmsg ram_load_postcopy postcopy_preempt_thread", "postcopy-fault"),
    ("ioctl postcopy_ram_listen_thread", "postcopy-listen"),
    ("ioctl postcopy_listen_thread", "postcopy-listen"),
    ("sem_wait qemu_sem_wait colo_process_incoming_thread", "colo"),
    (f"{COND} do_data_compress", "compress"),
    (f"{COND} vnc_worker_thread_loop vnc_worker_thread", "vnc-worker"),
    ("memset touch_fn", "mem-prealloc"),
    ("sigwaitinfo sigwait_compat", "helper"),
    ("poll g_main_context_iterate g_main_loop_run red_worker_main", "spice-worker"),
    ("poll g_main_loop_run gdbus_shared_thread_func g_thread_proxy", "glib-worker"),
    ("cpu_exec cpu_loop clone_func", "user-mode"),
    ("qemu_bh_new migrate_fd_connect migration_channel_connect socket_outgoing_migration", "main-loop"),
    ("kvm_get_radix_page_info kvm_arch_init kvm_init accel_init_machine", "main-loop"),
    ("tcg_handle_interrupt cpu_interrupt ich9_apm_ctrl_changed hmp_ioport_write handle_hmp_command", "main-loop"),
]


@pytest.mark.parametrize(("words", "role"), ENTRIES)
def test_a_threads_own_function_tells_its_role(words, role):
    explained = told(f"{words} {START}")
    assert explained.role == role
    assert explained.role_rule


@pytest.mark.parametrize(
    "loop", ["main_loop_wait main_loop main", MAIN, "main_loop_wait qemu_main_loop qemu_main call_qemu_main"]
)
def test_the_main_loop_in_every_spelling(loop):
    assert told(f"{POLL} os_host_main_loop_wait {loop}").role == "main-loop"


def test_start_up_and_shutdown_are_the_main_loops_work():
    assert (
        told("pci_qdev_realize device_set_realized qdev_device_add qmp_x_exit_preconfig qemu_init main").role
        == "main-loop"
    )
    assert told("bdrv_close_all qemu_cleanup main").role == "main-loop"


def test_an_iothread_that_runs_a_glib_loop_serves_a_monitor():
    assert told(f"ppoll qemu_poll_ns fdmon_poll_wait aio_poll iothread_run {START}").role == "iothread"
    assert told(f"poll g_main_context_iterate g_main_loop_run iothread_run {START}").role == "monitor-iothread"


def test_thread_names_tell_one_vcpu_and_iothread_from_another():
    vcpu = told(f"ioctl kvm_vcpu_ioctl kvm_cpu_exec kvm_vcpu_thread_fn {START}", name="CPU 3/KVM")
    assert vcpu.role_detail == {"vcpu": 3}
    iothread = told(f"ppoll qemu_poll_ns aio_poll iothread_run {START}", name="IO disks")
    assert iothread.role_detail == {"iothread": "disks"}
    assert told(f"recvmsg multifd_recv_thread {START}", name="mig/dst/recv_2").role_detail == {"channel": 2}


def test_frames_are_believed_before_names():
    assert told(f"syscall qemu_event_wait call_rcu_thread {START}", name="CPU 0/KVM").role == "rcu"


def test_a_name_tells_the_role_where_no_frame_does():
    assert told("? ?", name="CPU 1/TCG", program="qemu-system-x86_64").role == "vcpu-mttcg"
    assert told("? ?", name="ALL CPUs/TCG", program="qemu-system-x86_64").role == "vcpu-tcg-rr"


def test_one_tcg_thread_name_has_two_meanings_by_version():
    stack = f"{COND} qemu_tcg_wait_io_event qemu_tcg_cpu_thread_fn {START}"
    assert told(stack, version="2.5.0").role == "vcpu-tcg-rr"
    assert told(stack, version="3.1.0").role == "vcpu-mttcg"


def test_the_same_functions_in_a_tool_a_test_and_an_emulated_program():
    assert told("raise abort bdrv_unref img_check main", program="qemu-img").role == "tool-main"
    assert told("abort test_submit g_test_run main@tests/unit/test-thread-pool.c").role == "test"
    assert told("cpu_exec cpu_loop main", program="qemu-arm").role == "user-mode"


@pytest.mark.parametrize(
    ("words", "role"),
    [
        ("zero_bss load_elf_image load_elf_binary loader_exec main", "user-mode"),
        ("have_mmap_lock page_set_flags target_mmap load_elf_image loader_exec main", "user-mode"),
        ("init_states QEMU_Elf_init main", "tool-main"),
    ],
)
def test_a_main_is_that_of_the_program_that_alone_has_its_callees(words, role):
    assert told(words).role == role


def test_the_kernels_functions_make_no_emulated_program():
    kernel = thread("__schedule futex_wait_queue_me futex_wait do_futex sys_futex system_call", number=1, lwp=1)
    vcpu = thread(f"ioctl kvm_vcpu_ioctl kvm_cpu_exec kvm_vcpu_thread_fn {START}", number=2, lwp=2)
    main = thread(f"{POLL} os_host_main_loop_wait {MAIN}", number=3, lwp=3)
    roles = [s.told.role for s in classified(kernel, vcpu, main).subjects]
    assert roles[1:] == ["vcpu-kvm", "main-loop"]
    assert roles[0] != "user-mode"


def test_a_helper_of_generated_code_at_the_end_of_a_cut_stack_is_a_tcg_vcpus():
    words = "serial_ioport_write access_with_adjusted_size address_space_stb helper_outb"
    assert told(words, truncated_bottom=True).role == "vcpu-mttcg"


def test_a_coroutine_on_a_numbered_thread_is_that_threads_work():
    first = thread(
        "lseek64 find_allocation mirror_run job_co_entry coroutine_trampoline __start_context", number=1, lwp=100
    )
    other = thread("prepare_mmio_access virtio_notify coroutine_trampoline __start_context", number=3, lwp=103)
    roles = [t.role for t in classified(first, other).explanation.threads]
    assert roles == ["main-loop", "iothread"]


def test_a_coroutines_stack_by_itself_is_a_coroutine():
    suspended = "qemu_coroutine_switch qemu_coroutine_yield qio_channel_yield nbd_read coroutine_trampoline"
    assert told(suspended, number=None, lwp=None).role == "coroutine"


def test_the_incoming_migrations_coroutine_runs_on_the_main_loop():
    assert (
        told("vmstate_load process_incoming_migration_co coroutine_trampoline", number=None, lwp=None).role
        == "main-loop"
    )


def test_a_vcpu_that_polls_the_main_loops_context_stays_a_vcpu():
    stack = (
        "save_snapshot snapshot_save_job_bh aio_bh_poll aio_poll blk_pwrite pflash_write memory_region_dispatch_write"
    )
    assert told(f"{stack} address_space_rw kvm_cpu_exec").role == "vcpu-kvm"


def test_a_cut_stack_with_a_nested_poll_has_no_role():
    stack = "bdrv_close bdrv_unref job_exit aio_bh_poll aio_poll aio_wait_bh_oneshot bdrv_attach_aio_context"
    assert told(stack, truncated_bottom=True).role == "unknown"


def test_a_cut_monitor_command_is_the_main_loops():
    assert told("bdrv_unref qmp_blockdev_del qmp_marshal_blockdev_del", truncated_bottom=True).role == "main-loop"


def test_libraries_threads_are_told_from_qemus():
    ceph = "epoll_wait EventCenter::process_events ?%libstdc++.so.6 start_thread clone"
    assert told(ceph, program="qemu-system-x86_64").role == "external-library"
    assert told("poll ?%libspice-server.so.1 start_thread clone", program="qemu-system-x86_64").role == "spice-worker"


@pytest.mark.parametrize("build", ["distribution-7.2", "debug-10.0"])
@pytest.mark.parametrize(
    ("kind", "vcpus"), [("kvm", ["vcpu-kvm"] * 2), ("tcg-multi", ["vcpu-mttcg"] * 2), ("tcg-single", ["vcpu-tcg-rr"])]
)
def test_a_recorded_qemu_with_and_without_symbols_has_the_same_roles(build, kind, vcpus):
    roles = [t.role for t in recorded(f"{build}-{kind}").explanation.threads if t.thread.name != "kvm-nx-lpage-re"]
    assert roles == ["vnc-worker", *vcpus, "monitor-iothread", "iothread", "rcu", "main-loop"]


def test_kernel_threads_have_no_role():
    explained = [t for t in recorded("distribution-7.2-kvm").explanation.threads if t.thread.name == "kvm-nx-lpage-re"]
    assert [(t.role, t.state, t.subsystem) for t in explained] == [("unknown", "unknown", "KVM")]


def test_every_role_names_the_rule_that_told_it():
    for explained in recorded("distribution-7.2-tcg-multi").explanation.threads:
        assert explained.role_rule and explained.state_rule


def test_a_handler_at_the_bottom_of_a_cut_stack_is_the_main_loops():
    assert (
        told(f"vhost_user_read {HANDLER.split()[0]}", number=None, lwp=None, truncated_bottom=True).role == "main-loop"
    )


def test_thread_1_of_a_kernels_core_is_the_crashed_one_not_the_main_loop():
    crashed = thread("virtio_scsi_command_complete scsi_req_complete coroutine_trampoline", number=1, lwp=103)
    main = thread(f"{POLL} os_host_main_loop_wait {MAIN}", number=4, lwp=100)
    assert [t.role for t in classified(crashed, main).explanation.threads] == ["iothread", "main-loop"]
