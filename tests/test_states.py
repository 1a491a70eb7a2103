"""What every thread does at this moment: rests, waits for what, runs the guest, or ends the process."""

from __future__ import annotations

import pytest
from stacks import COND, HANDLER, MAIN, MUTEX, POLL, START, classified, recorded, thread, told

from qemu_gdb.model import Facts, Wait

KVM = f"kvm_cpu_exec kvm_vcpu_thread_fn {START}"

RESTS = [
    (f"{POLL} os_host_main_loop_wait {MAIN}", "main loop"),
    ("__GI___select os_host_main_loop_wait main_loop_wait main_loop main", "main loop of QEMU 1.x"),
    (f"syscall qemu_futex_wait qemu_event_wait call_rcu_thread {START}", "RCU without callbacks"),
    (f"clock_nanosleep g_usleep call_rcu_thread {START}", "RCU that lets callbacks gather"),
    (f"{COND} qemu_wait_io_event kvm_vcpu_thread_fn {START}", "halted vCPU"),
    (f"{COND} qemu_kvm_cpu_thread_fn start_thread clone", "halted vCPU, inlined"),
    (f"{COND} rr_wait_io_event rr_cpu_thread_fn {START}", "halted vCPUs in turn"),
    (f"{POLL} fdmon_poll_wait aio_poll iothread_run {START}", "iothread in poll"),
    (f"epoll_wait fdmon_epoll_wait aio_poll iothread_run {START}", "iothread in epoll"),
    (f"__io_uring_submit_and_wait_timeout fdmon_io_uring_wait aio_poll iothread_run {START}", "iothread in io_uring"),
    (f"poll g_main_context_iterate g_main_loop_run iothread_run {START}", "monitor's iothread"),
    (f"__pthread_cond_timedwait qemu_cond_timedwait_impl worker_thread {START}", "pool worker"),
    (f"do_futex_wait __new_sem_wait_slow sem_timedwait qemu_sem_timedwait worker_thread {START}", "pool worker to 7.0"),
    (f"{COND} vnc_worker_thread_loop vnc_worker_thread {START}", "VNC worker"),
    (f"sem_wait qemu_sem_wait multifd_send_thread {START}", "multifd sender"),
    (f"__libc_recvmsg qio_channel_socket_readv multifd_recv_thread {START}", "multifd receiver"),
    (f"recvmsg qio_channel_readv_full qemu_fill_buffer qemu_get_be16 source_return_path_thread {START}", "return path"),
    (f"poll postcopy_ram_fault_thread {START}", "postcopy fault thread"),
    (
        f"sem_timedwait qemu_sem_timedwait migration_rate_limit migration_thread {START}",
        "migration within its bandwidth",
    ),
    (f"sigwait sigwait_compat {START}", "signalfd emulation"),
]


@pytest.mark.parametrize(("words", "who"), RESTS, ids=[who for _, who in RESTS])
def test_threads_rest_in_their_own_places(words, who):
    explained = told(words)
    assert explained.state == "idle", explained.state_rule
    assert explained.culprit is None


WAITS = [
    (f"{MUTEX} bql_lock_impl {KVM}", "waiting-bql"),
    (f"{MUTEX} {MAIN}", "waiting-bql"),  # link-time optimisation inlines bql_lock_impl
    (f"{MUTEX} do_st_mmio_leN do_st4_mmu code_gen_buffer cpu_tb_exec mttcg_cpu_thread_fn {START}", "waiting-bql"),
    (f"{MUTEX} flatview_read_continue address_space_rw {KVM}", "waiting-bql"),
    (f"{MUTEX} helper_outb code_gen_buffer cpu_tb_exec mttcg_cpu_thread_fn {START}", "waiting-bql"),
    (f"{MUTEX} rr_cpu_thread_fn {START}", "waiting-mutex"),  # which also takes the list of CPUs
    (f"{MUTEX} qemu_mutex_lock_iothread_impl os_host_main_loop_wait {MAIN}", "waiting-bql"),
    (
        (
            "__lll_lock_wait _L_lock_953 __pthread_mutex_lock qemu_mutex_lock "
            "qemu_mutex_lock_iothread kvm_cpu_exec kvm_cpu_thread_fn"
        ),
        "waiting-bql",
    ),
    (f"{MUTEX} qemu_rec_mutex_lock_impl aio_context_acquire qmp_block_resize {HANDLER}", "waiting-aiocontext-lock"),
    (
        f"{MUTEX} aio_co_enter aio_co_wake qemu_laio_process_completions aio_poll iothread_run {START}",
        "waiting-aiocontext-lock",
    ),
    (f"{MUTEX} monitor_puts qmp_send_response {HANDLER}", "waiting-mutex"),
    (f"{COND} pause_all_vcpus do_vm_stop vm_stop qmp_stop {HANDLER}", "waiting-condvar"),
    (f"{COND} start_exclusive cpu_exec_step_atomic mttcg_cpu_thread_fn {START}", "waiting-condvar"),
    (f"syscall qemu_event_wait wait_for_readers synchronize_rcu call_rcu_thread {START}", "waiting-condvar"),
    (f"sem_wait qemu_sem_wait multifd_send_sync_main ram_save_iterate migration_thread {START}", "waiting-condvar"),
    (
        f"{POLL} fdmon_poll_wait aio_poll bdrv_do_drained_begin bdrv_drained_begin {HANDLER}",
        "waiting-drain-or-nested-poll",
    ),
    (f"aio_bh_poll aio_poll bdrv_flush bdrv_close bdrv_unref {HANDLER}", "waiting-drain-or-nested-poll"),
    (f"poll g_main_loop_run vhost_user_read vhost_user_get_config {HANDLER}", "waiting-drain-or-nested-poll"),
    (
        f"ppoll qemu_poll_ns os_host_main_loop_wait main_loop_wait colo_wait_for_incoming {HANDLER}",
        "waiting-drain-or-nested-poll",
    ),
    (
        f"recvmsg qio_channel_socket_readv qcrypto_tls_session_handshake multifd_channel_connect {HANDLER}",
        "blocked-syscall",
    ),
    (
        (
            "__pthread_clockjoin_ex qemu_thread_join await_return_path_close_on_source "
            f"migration_completion migration_thread {START}"
        ),
        "blocked-syscall",
    ),
    (f"__libc_pread64 handle_aiocb_rw aio_worker worker_thread {START}", "blocked-syscall"),
    ("safe_syscall_base safe_futex do_futex do_syscall cpu_loop main", "blocked-syscall"),
]


@pytest.mark.parametrize(("words", "state"), WAITS)
def test_waits_are_told_by_what_they_wait_for(words, state):
    explained = told(words)
    assert explained.state == state, explained.state_rule


def test_a_condition_that_is_over_waits_for_its_mutex():
    stack = (
        "__lll_lock_wait __pthread_mutex_cond_lock __pthread_cond_wait_common ___pthread_cond_wait "
        f"qemu_cond_wait_impl qemu_wait_io_event kvm_vcpu_thread_fn {START}"
    )
    assert told(stack).state == "waiting-bql"


def test_the_mutex_symbol_tells_the_bql_under_any_function():
    explained = told(f"{MUTEX} some_new_function {HANDLER}", args={1: {"mutex": "0x55d0 <bql>"}})
    assert explained.state == "waiting-bql"


def test_memory_tells_the_lock_that_the_stack_does_not():
    facts = Facts(waits=[Wait(lwp=1005, kind="mutex", name="AioContext io0")])
    assert told(f"{MUTEX} virtio_blk_handle_vq {HANDLER}", facts=facts).state == "waiting-aiocontext-lock"


def test_kvm_run_is_the_guest_even_under_a_wrong_symbol():
    assert told(f"ioctl kvm_vcpu_ioctl {KVM}").state == "running-guest"
    wrong = told("preadv64v2 ?", name="CPU 0/KVM", args={0: {"flags": "44672"}})
    assert (wrong.role, wrong.state) == ("vcpu-kvm", "running-guest")


def test_reading_a_vcpus_registers_is_not_the_guest():
    assert told(f"ioctl kvm_vcpu_ioctl kvm_get_regs kvm_arch_get_registers {KVM}").state == "executing"


def test_tcg_runs_the_guest_unless_a_device_serves_it():
    outer = f"code_gen_buffer cpu_tb_exec cpu_exec tcg_cpu_exec mttcg_cpu_thread_fn {START}"
    assert told(f"tlb_set_page_full x86_cpu_tlb_fill helper_ldl_mmu {outer}").state == "running-guest"
    device = (
        "omap_mcspi_write@hw/ssi/omap_spi.c memory_region_write_accessor "
        "access_with_adjusted_size memory_region_dispatch_write"
    )
    assert told(f"{device} io_writex helper_stl_mmu {outer}").state == "executing"


ENDS = [
    f"__pthread_kill_implementation __GI_raise __GI_abort __assert_fail_base __assert_fail bdrv_unref {HANDLER}",
    f"raise abort ? ? memory_region_transaction_commit aio_poll iothread_run {START}",
    f"_lwp_kill abort __assert13 memory_region_finalize {HANDLER}",
    f"__pthread_kill pthread_kill abort __assert_rtn qcow2_free {HANDLER}",
    f"raise abort g_assertion_message.cold g_assertion_message_expr tcg_handle_interrupt {HANDLER}",
    f"raise abort hw_error tsc210x_txrx {HANDLER}",
    f"raise abort malloc_printerr _int_free free g_free virtio_blk_req_complete {HANDLER}",
    f"raise abort __libc_message __fortify_fail __stack_chk_fail pcibus_get_fw_dev_path {HANDLER}",
    f"g_logv g_log g_malloc0 nvme_map_prp {HANDLER}".replace("g_logv", "_g_log_abort g_logv"),
]


@pytest.mark.parametrize("words", ENDS)
def test_a_process_that_ends_itself_is_aborting(words):
    assert told(words).state == "aborting"


def test_kicking_a_vcpu_by_a_signal_is_no_abort():
    assert (
        told(f"__pthread_kill qemu_cpu_kick_thread qemu_cpu_kick tcg_handle_interrupt {HANDLER}").state == "executing"
    )


def test_the_thread_that_took_the_signal_crashed_and_the_others_did_not():
    victim = thread(f"virtio_net_get_config virtio_config_readb {KVM}", number=2, lwp=1002, current=True)
    other = thread(f"{MUTEX} bql_lock_impl {KVM}", number=3, lwp=1003)
    states = [t.state for t in classified(victim, other, signal="SIGSEGV").explanation.threads]
    assert states == ["crashed", "waiting-bql"]


def test_a_resting_thread_does_not_crash_by_a_signal_from_outside():
    assert told(f"{POLL} os_host_main_loop_wait {MAIN}", signal="SIGABRT", current=True).state == "idle"


def test_a_lock_at_null_is_a_crash_not_a_wait():
    stack = f"__GI___pthread_mutex_lock qemu_mutex_lock qemu_chr_fe_write_all vhost_user_write {HANDLER}"
    explained = told(stack, args={0: {"mutex": "0x0"}})
    assert (explained.state, explained.culprit) == ("crashed", "vhost_user_write")


def test_a_call_to_nowhere_is_a_crash():
    stack = (
        "? notifier_list_notify@util/notify.c migrate_fd_connect@migration/migration.c main_loop_wait@util/main-loop.c"
    )
    assert told(stack, number=None, lwp=None).state == "crashed"


def test_a_breakpoint_is_no_crash():
    explained = told(
        f"vga_ioport_write {KVM}", unparsed=["Breakpoint 1, vga_ioport_write (opaque=0x1)"], number=None, lwp=None
    )
    assert explained.state == "executing"


def test_a_sanitizers_history_happened_earlier():
    assert told(f"free g_free pci_bridge_update_mappings {KVM}", history=True).state == "executing"


def test_a_system_call_that_returns_at_once_is_work():
    assert told(f"write event_notifier_set aio_notify qemu_bh_schedule {HANDLER}").state == "executing"


def test_exit_handlers_are_the_end_of_the_process():
    assert told("_dl_fini __run_exit_handlers exit main_loop_should_exit main").state == "exiting"


@pytest.mark.parametrize("name", ["distribution-7.2-tcg-multi", "debug-10.0-tcg-multi", "distribution-7.2-tcg-single"])
def test_every_thread_of_a_recorded_idle_qemu_rests(name):
    assert {t.state for t in recorded(name).explanation.threads} == {"idle"}


def test_a_breakpoint_in_a_core_is_no_crash():
    assert (
        told(f"hpet_ram_write memory_region_write_accessor {KVM}", signal="SIGTRAP", current=True).state == "executing"
    )


def test_glib_ends_the_process_by_a_trap():
    assert (
        told(f"g_logv g_log g_malloc0 qemu_chr_open_ringbuf {HANDLER}", signal="SIGTRAP", current=True).state
        == "aborting"
    )


def test_a_core_of_a_hung_qemu_that_was_killed_shows_the_hang():
    stack = f"{POLL} fdmon_poll_wait aio_poll bdrv_drain_all_begin {HANDLER}"
    assert told(stack, signal="SIGABRT", current=True).state == "waiting-drain-or-nested-poll"


def test_a_thread_seen_in_a_cast_runs_and_has_not_failed_it():
    cast = told(f"object_dynamic_cast_assert VIRTIO_DEVICE chr_read entropy_available {HANDLER}")
    assert (cast.role, cast.state) == ("main-loop", "executing")
    failed = told(f"raise abort object_dynamic_cast_assert VIRTIO_DEVICE chr_read entropy_available {HANDLER}")
    assert failed.state == "aborting"


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (f"ioctl {KVM}", "running-guest"),
        (f"ppoll fdmon_poll_wait iothread_run {START}", "idle"),
    ],
)
def test_layers_that_compilers_left_out_change_nothing(words, state):
    assert told(words).state == state


def test_a_lock_is_no_culprit():
    assert told(f"{MUTEX} rr_cpu_thread_fn {START}").culprit == "rr_cpu_thread_fn"


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (f"?? g_main_context_iterate.isra.19 g_main_loop_run iothread_run {START}", "idle"),
        ("?? g_main_context_iterate g_main_loop_run gdbus_shared_thread_func g_thread_proxy start_thread", "idle"),
        ("?? os_host_main_loop_wait main_loop_wait main", "idle"),
        ("?? g_main_context_iterate g_main_loop_run vhost_user_read vhost_user_get_config",
         "waiting-drain-or-nested-poll"),
        (f"?? g_main_context_dispatch g_main_loop_run iothread_run {START}", "executing"),
    ],
)  # fmt: skip
def test_a_loop_polls_though_poll_has_no_name(words, state):
    assert told(words).state == state


def test_a_fault_in_a_nameless_function_of_a_loop_is_a_crash():
    words = f"?? g_main_context_iterate g_main_loop_run iothread_run {START}"
    assert told(words, signal="SIGSEGV", current=True).state == "crashed"


@pytest.mark.parametrize(
    "words",
    [
        f"send qio_channel_socket_writev qio_channel_writev_full io_channel_send_full tcp_chr_write {HANDLER}",
        f"sendmsg qio_channel_socket_writev qio_channel_writev_full io_channel_send_full tcp_chr_write "
        f"qemu_chr_fe_write monitor_flush_locked {HANDLER}",
    ],
)
def test_what_is_over_in_a_moment_is_no_wait(words):
    assert told(words).state == "executing"


def test_a_read_that_makes_the_socket_block_waits():
    words = f"recvmsg qio_channel_socket_readv tcp_chr_recv tcp_chr_sync_read qemu_chr_fe_read_all {HANDLER}"
    assert told(words).state == "blocked-syscall"
