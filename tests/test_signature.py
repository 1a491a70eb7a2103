"""Which stacks count as the same problem."""

import pytest

from qemu_gdb.explain.signature import explanation_signature, signature, similarity
from qemu_gdb.knowledge.folding import fold, token_of
from qemu_gdb.model import Explanation, Finding, Frame, Snapshot, Thread, ThreadExplanation


def stack(*functions, **fields):
    frames = []
    for level, function in enumerate(functions):
        kind = "inline" if function.startswith("~") else "normal"
        frames.append(Frame(level, function.lstrip("~"), kind=kind))
    return Thread(frames=frames, **fields)


# One crash, by two QEMU versions and two accelerators: the touchscreen model refuses a transfer width.
MTTCG_7_2 = stack(
    "__pthread_kill_implementation", "__GI_raise", "__GI_abort", "hw_error", "tsc210x_txrx", "omap_mcspi_transfer_run",
    "omap_mcspi_write", "memory_region_write_accessor", "access_with_adjusted_size", "memory_region_dispatch_write",
    "io_writex", "store_helper", "helper_le_stl_mmu", "code_gen_buffer", "cpu_tb_exec", "cpu_loop_exec_tb", "cpu_exec",
    "tcg_cpus_exec", "mttcg_cpu_thread_fn", "qemu_thread_start", "start_thread", "clone3",
)  # fmt: skip
MTTCG_10_0 = stack(
    "raise", "abort", "hw_error", "tsc210x_txrx", "omap_mcspi_transfer_run.isra.0", "omap_mcspi_write",
    "memory_region_write_accessor", "access_with_adjusted_size", "~memory_region_dispatch_write", "int_st_mmio_leN",
    "do_st_mmio_leN", "do_st_4", "do_st4_mmu", "??", "cpu_tb_exec", "~cpu_loop_exec_tb", "cpu_exec_loop",
    "cpu_exec_setjmp", "cpu_exec", "tcg_cpu_exec", "mttcg_cpu_thread_fn", "qemu_thread_start", "start_thread",
)  # fmt: skip
KVM = stack(
    "abort", "hw_error", "tsc210x_txrx", "omap_mcspi_transfer_run", "omap_mcspi_write", "memory_region_write_accessor",
    "access_with_adjusted_size", "memory_region_dispatch_write", "flatview_write_continue_step",
    "flatview_write_continue", "flatview_write", "address_space_write", "address_space_rw", "kvm_cpu_exec",
    "qemu_kvm_cpu_thread_fn", "qemu_thread_start", "start_thread", "clone",
)  # fmt: skip
OTHER = stack(
    "abort", "hw_error", "omap_badwidth_write16", "omap_rtc_write", "memory_region_write_accessor",
    "access_with_adjusted_size", "memory_region_dispatch_write", "flatview_write", "kvm_cpu_exec", "kvm_vcpu_thread_fn",
)  # fmt: skip


def told(thread, role, state="aborting"):
    return ThreadExplanation(thread=thread, role=role, state=state)


def test_same_crash_has_one_signature_over_versions_and_accelerators():
    made = {
        signature(told(MTTCG_7_2, "vcpu-mttcg")),
        signature(told(MTTCG_10_0, "vcpu-mttcg")),
        signature(told(KVM, "vcpu-kvm")),
    }
    assert len({s.digest for s in made}) == 1
    assert {s.text for s in made} == {
        "vcpu | hw_error < tsc210x_txrx < omap_mcspi_transfer_run < omap_mcspi_write < @guest-access"
    }


def test_different_crashes_on_the_same_path_have_different_signatures():
    assert signature(OTHER).digest != signature(KVM).digest


def test_inlined_frames_do_not_change_a_signature():
    plain = stack("bdrv_unref", "bdrv_root_unref_child", "blk_remove_bs", "qmp_blockdev_del", "qmp_dispatch")
    inlined = stack("~qemu_lockcnt_inc", "bdrv_unref", "~helper", "bdrv_root_unref_child", "blk_remove_bs",
                    "qmp_blockdev_del", "qmp_dispatch")  # fmt: skip
    assert signature(plain).digest == signature(inlined).digest


@pytest.mark.parametrize(
    "old, new",
    [
        ("qemu_kvm_cpu_thread_fn", "kvm_vcpu_thread_fn"),
        ("main_loop", "qemu_main_loop"),
        ("virtio_blk_data_plane_stop", "virtio_blk_stop_ioeventfd"),
        ("job_exit_locked", "job_exit"),
        ("bdrv_co_pwritev", "bdrv_pwritev"),
        ("migrate_fd_cleanup", "migration_cleanup"),
        ("scsi_dma_complete_noio", "scsi_dma_complete"),
        ("qemu_file_rate_limit", "migration_rate_exceeded"),
        ("qmp_marshal_stop", "qmp_stop"),
        ("pc_machine_reset", "resettable_reset"),  # plumbing of a reset, cut otherwise in each release
        ("bdrv_drain_all_begin.part.0", "bdrv_drain_all_begin"),
    ],
)
def test_function_counts_the_same_under_its_old_and_new_name(old, new):
    assert token_of(old) == token_of(new)


@pytest.mark.parametrize("depth", [2, 3, 400])
def test_recursion_looks_the_same_at_any_depth(depth):
    cycle = ["virtio_queue_enabled", "virtio_pci_queue_enabled"]
    assert fold(cycle * depth + ["vhost_net_start"]) == (*cycle, "vhost_net_start")


@pytest.mark.parametrize(
    "end", [[], ["g_malloc"], ["qdict_get"], ["bdrv_open_inherit"], ["bdrv_open_child_bs", "bdrv_open_inherit"]]
)
def test_stack_overflow_has_one_signature_wherever_in_the_cycle_it_ends(end):
    cycle = ["bdrv_open", "bdrv_open_child_bs", "bdrv_open_inherit"]
    made = signature(stack(*end, *cycle * 20, "qmp_blockdev_add"))
    assert made.text == "recursion: bdrv_open < bdrv_open_child_bs < bdrv_open_inherit"


def test_hang_is_not_signed_by_threads_that_only_wait_for_the_bql():
    main = told(stack("ppoll", "aio_poll", "bdrv_drained_begin", "blk_drain", "vm_stop", number=1), "main-loop", "x")
    rcu = told(stack("bql_lock_impl", "call_rcu_thread", "qemu_thread_start", number=2), "rcu", "waiting-bql")
    finding = Finding("hang.drain-waits-for-io", "", "likely", "", threads=[1, 2])
    made = explanation_signature(Explanation(Snapshot(), findings=[finding], threads=[main, rcu]))
    assert made.text == "hang: main-loop | bdrv_drained_begin < blk_drain < vm_stop"


def test_drain_in_the_stopping_of_the_vm_is_one_hang_whatever_command_stops_it():
    waits = ("ppoll", "aio_poll", "bdrv_drain_all_begin", "blk_drain_all", "virtio_scsi_stop_ioeventfd",
             "virtio_bus_stop_ioeventfd", "virtio_vmstate_change", "vm_state_notify", "do_vm_stop")  # fmt: skip
    by_stop = stack(*waits, "qmp_stop", "hmp_stop", "handle_hmp_command_exec", "main_loop_wait", "main")
    by_quit = stack(*waits, "vm_shutdown", "qemu_cleanup", "qemu_default_main", "main")
    in_a_command = stack("ppoll", "aio_poll", "bdrv_drained_begin", "qmp_x_blockdev_change", "qmp_dispatch")
    assert signature(by_stop).digest == signature(by_quit).digest
    assert "qmp_x_blockdev_change" in signature(in_a_command).text


def test_command_and_its_marshaller_count_once():
    inlined = stack("bdrv_drain_all", "do_vm_stop", "qmp_marshal_stop", "do_qmp_dispatch_bh")
    whole = stack("bdrv_drain_all", "do_vm_stop", "vm_stop", "qmp_stop", "qmp_marshal_stop", "do_qmp_dispatch_bh")
    assert signature(inlined).digest == signature(whole).digest


def test_frames_that_gdb_infers_do_not_change_a_signature():
    inferred = stack("bdrv_open", "bds_tree_init", "qmp_blockdev_add")
    inferred.frames[1].kind = "tailcall"
    assert signature(inferred).digest == signature(stack("bdrv_open", "qmp_blockdev_add")).digest


def test_long_stacks_are_folded_in_bounded_time():
    assert len(fold(f"function_{n}" for n in range(100_000))) <= 4096


def test_resting_threads_are_not_alike():
    main_loop = stack("ppoll", "qemu_poll_ns", "os_host_main_loop_wait", "main_loop_wait", "qemu_main_loop", "main")
    other = stack("poll", "os_host_main_loop_wait", "main_loop_wait", "main_loop", "main")
    assert similarity(signature(main_loop), signature(other)) == 0.0


def test_similarity_grows_with_the_shared_path():
    same, other = signature(KVM), signature(OTHER)
    assert similarity(same, signature(MTTCG_10_0)) > 0.8
    assert similarity(same, other) < 0.4
    assert similarity(same, same) == 1.0
    assert similarity(same, other) == pytest.approx(similarity(other, same))


def test_aborting_function_is_named_even_where_it_is_plumbing():
    thread = stack("raise", "abort", "qemu_aio_coroutine_enter", "aio_co_wake", "qio_channel_restart_read", "aio_poll")
    assert signature(thread).text.startswith("qemu_aio_coroutine_enter < ")


def test_hang_is_signed_by_all_threads_of_its_first_finding_in_any_order():
    iothread = told(stack("bql_lock", "prepare_mmio_access", "msi_send_message", "aio_poll", number=3), "iothread",
                    "waiting-bql")  # fmt: skip
    main = told(stack("aio_context_acquire", "bdrv_change_aio_context", "bdrv_close_all", "qemu_cleanup", number=1),
                "main-loop", "waiting-aiocontext-lock")  # fmt: skip
    finding = Finding("hang.deadlock", "", "likely", "", threads=[3, 1])

    def sign(*threads):
        return explanation_signature(Explanation(Snapshot(), findings=[finding], threads=list(threads)))

    assert sign(main, iothread) == sign(iothread, main)
    assert "main-loop |" in sign(main, iothread).text and "iothread |" in sign(main, iothread).text


def test_stack_without_names_still_has_a_signature():
    assert signature(stack("??", "??")).text == "no known function"
    assert explanation_signature(Explanation(Snapshot())).text == "no known function"
