"""What a thread's story says: stages from the outside in with values, and one line to tell a colleague."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qemu_gdb.explain import classify, stories, waits
from qemu_gdb.explain.context import Context, Subject
from qemu_gdb.knowledge import functions, ports
from qemu_gdb.knowledge.arguments import WANTED_ARGUMENTS
from qemu_gdb.knowledge.ioctls import ioctl_request
from qemu_gdb.knowledge.stages import TABLE
from qemu_gdb.model import Facts, Frame, IOThread, Region, Signal, Snapshot, Thread, VCpu

CORPUS = Path(__file__).resolve().parents[1] / ".." / "shared" / "corpus"
FrameSpec = Tuple[str, Dict[str, str]]


def thread(*frames: object, **more: object) -> Thread:
    """A thread of frames given as names, or as (name, arguments)."""
    made: List[Frame] = []
    for level, frame in enumerate(frames):
        name, args = frame if isinstance(frame, tuple) else (frame, {})
        made.append(Frame(level=level, function=str(name), args=dict(args)))
    return Thread(frames=made, **more)  # type: ignore[arg-type]


def told(one: Thread, facts: Facts = None, **snapshot: object) -> Subject:  # type: ignore[assignment]
    """The thread after roles, states, waits and stories."""
    context = Context(Snapshot(threads=[one], facts=facts or Facts(), **snapshot))  # type: ignore[arg-type]
    classify.classify(context)
    waits.resolve(context)
    stories.tell(context)
    return context.subjects[0]


def texts(subject: Subject) -> List[str]:
    return [stage.text for stage in subject.told.stages]


ENTRY = ("kvm_vcpu_thread_fn", "qemu_thread_start", "start_thread", "clone3")
MAIN = ("main_loop_wait", "qemu_main_loop", "qemu_default_main", "main")
PIO = (
    ("memory_region_write_accessor", {"addr": "18", "size": "2", "mr": "0x5500001000"}),
    ("access_with_adjusted_size", {"addr": "18", "size": "2"}),
    ("memory_region_dispatch_write", {"addr": "18", "data": "<optimized out>"}),
    ("flatview_write_continue", {"addr": "49170", "len": "2"}),
    ("address_space_rw", {"as": "0x5600 <address_space_io>", "addr": "49170", "len": "2", "is_write": "true"}),
    ("kvm_handle_io", {"port": "49170", "direction": "<optimized out>", "size": "2", "count": "1"}),
    ("kvm_cpu_exec", {}),
)


def test_port_write_to_a_legacy_virtio_device_names_port_width_register_and_driver_ok():
    subject = told(
        thread(
            "raise",
            "abort",
            "kvm_irqchip_commit_routes",
            "kvm_virtio_pci_vq_vector_use",
            "virtio_pci_set_guest_notifiers",
            "virtio_scsi_dataplane_start",
            "virtio_bus_start_ioeventfd",
            ("virtio_ioport_write", {"addr": "18", "val": "15"}),
            ("virtio_pci_config_write", {"addr": "18", "val": "<optimized out>"}),
            *PIO,
            *ENTRY,
        ),
        signal=Signal(name="SIGABRT"),
    )
    story = " | ".join(texts(subject))
    assert "guest 2-byte OUT to port 0xc012 (virtio-pci legacy device status), value 0xf" in story
    assert "DRIVER_OK" in story
    assert "starts the virtio-scsi dataplane" in story
    assert "KVM irq routes" in story
    assert "port 0xc012" in subject.told.summary and "kvm_irqchip_commit_routes" in subject.told.summary
    assert "49170" not in story


def test_cut_stack_of_a_port_write_names_the_port_and_no_device():
    access = stories.guest_access(told(thread(*PIO, *ENTRY)).stack)
    assert access is not None
    assert (access.kind, access.address, access.width, access.write) == ("port", 0xC012, 2, True)
    assert access.device == "" and access.handler == ""


def test_stages_cover_every_frame_outside_in():
    subject = told(thread("ppoll", "qemu_poll_ns", "os_host_main_loop_wait", *MAIN))
    stages = subject.told.stages
    covered = sorted(level for s in stages for level in range(s.first, s.last + 1))
    assert covered == list(range(len(subject.stack.frames)))
    assert stages[0].last == len(subject.stack.frames) - 1 and stages[-1].first == 0


def test_idle_main_loop_tells_descriptors_and_next_timer():
    subject = told(
        thread(
            ("ppoll", {"nfds": "5"}),
            ("qemu_poll_ns", {"nfds": "<optimized out>", "timeout": "54822346"}),
            ("os_host_main_loop_wait", {"timeout": "54822346"}),
            *MAIN,
        )
    )
    assert subject.told.summary == "polls 5 descriptors, next timer in 55 ms"


def test_idle_rcu_thread_has_no_callback():
    subject = told(
        thread("syscall", "qemu_futex_wait", "qemu_event_wait", "call_rcu_thread", "qemu_thread_start", "start_thread")
    )
    assert subject.told.summary == "no callback is queued"


def test_halted_vcpu_is_told_from_a_stopped_one_by_the_facts_only():
    frames = (
        "futex_wait",
        "pthread_cond_wait",
        "qemu_cond_wait_impl",
        "qemu_wait_io_event",
        "mttcg_cpu_thread_fn",
        "qemu_thread_start",
        "start_thread",
    )
    assert told(thread(*frames)).told.summary == "waits for work: halted or stopped"
    halted = Facts(runstate="running", vcpus=[VCpu(index=0, lwp=7, halted=True, stopped=False)])
    assert told(thread(*frames, lwp=7), halted).told.summary == "halted, waits for an interrupt or kick"
    paused = Facts(runstate="paused", vcpus=[VCpu(index=0, lwp=7, halted=True, stopped=True)])
    assert told(thread(*frames, lwp=7), paused).told.summary == "stopped: the VM is paused"


def test_idle_iothread_names_what_it_serves():
    facts = Facts(iothreads=[IOThread(name="io0", lwp=9, serves=["virtio-scsi s0"], handlers=2)])
    subject = told(
        thread("ppoll", "fdmon_poll_wait", "aio_poll", "iothread_run", "qemu_thread_start", "start_thread", lwp=9),
        facts,
    )
    assert subject.told.summary == "polls 2 descriptors; serves virtio-scsi s0"


def test_hmp_stop_that_drains_tells_the_chain_from_the_command():
    subject = told(
        thread(
            ("ppoll", {"nfds": "1"}),
            ("fdmon_poll_wait", {"timeout": "-1"}),
            "aio_poll",
            "bdrv_drain_all_begin",
            "virtio_scsi_dataplane_stop",
            "virtio_bus_stop_ioeventfd",
            "virtio_vmstate_change",
            ("vm_state_notify", {"running": "false", "state": "RUN_STATE_PAUSED"}),
            ("do_vm_stop", {"state": "RUN_STATE_PAUSED"}),
            "hmp_stop",
            ("handle_hmp_command", {"cmdline": '0x5600 "stop"'}),
            "monitor_command_cb",
            "tcp_chr_read",
            *MAIN,
        )
    )
    assert subject.told.summary == (
        'drains every block node ← stops the virtio-scsi dataplane ← stops the VM (run state paused) ← HMP "stop"'
    )
    command = stories.monitor_command(subject.stack)
    assert command is not None and command.text == 'HMP "stop"'
    drain = stories.drain(subject.stack)
    assert drain is not None and drain.kind == "drain-all"


def test_qmp_command_is_spelled_as_users_type_it():
    stack = told(
        thread(
            "bdrv_unref",
            ("qmp_blockdev_del", {"node_name": '0x5600 "n0"'}),
            "qmp_marshal_blockdev_del",
            "do_qmp_dispatch_bh",
            "aio_bh_poll",
            *MAIN,
        )
    ).stack
    command = stories.monitor_command(stack)
    assert command is not None and command.text == 'QMP "blockdev-del n0"'


def test_nested_poll_inside_migration_completion_names_job_flush_and_dataplane():
    subject = told(
        thread(
            "aio_bh_poll",
            "aio_poll",
            "bdrv_flush",
            "bdrv_close",
            "bdrv_unref",
            "block_job_remove_all_bdrv",
            "mirror_exit_common",
            "mirror_abort",
            "job_exit",
            "aio_bh_poll",
            "aio_poll",
            "aio_wait_bh_oneshot",
            "bdrv_attach_aio_context",
            "blk_set_aio_context",
            "virtio_blk_data_plane_stop",
            "virtio_bus_stop_ioeventfd",
            "virtio_vmstate_change",
            "vm_state_notify",
            ("do_vm_stop", {"state": "RUN_STATE_FINISH_MIGRATE"}),
            "vm_stop_force_state",
            "migration_completion",
            "migration_thread",
            "qemu_thread_start",
            "start_thread",
        )
    )
    for words in ("synchronous flush", "failed mirror job", "stops the virtio-blk dataplane", "migration completion"):
        assert words in subject.told.summary, subject.told.summary
    assert stories.job(subject.stack) == "mirror"
    assert "completing" in (stories.migration_phase(subject.stack) or "")


def test_late_kick_on_an_iothread_is_told_as_an_event_notifier():
    subject = told(
        thread(
            "raise",
            "abort",
            ("__assert_fail", {"assertion": '0x5600 "qemu_mutex_iothread_locked()"'}),
            "memory_region_transaction_commit",
            "memory_region_add_eventfd",
            "virtio_pci_ioeventfd_assign",
            "virtio_bus_set_host_notifier",
            "virtio_scsi_dataplane_start",
            "virtio_scsi_defer_to_dataplane",
            "virtio_scsi_handle_event",
            "aio_dispatch_handler",
            "aio_poll",
            "iothread_run",
            "qemu_thread_start",
            "start_thread",
        ),
        signal=Signal(name="SIGABRT"),
    )
    story = " | ".join(texts(subject))
    assert "a guest kick (event notifier) reached virtio-scsi: handles the event queue" in story
    assert 'assertion "qemu_mutex_iothread_locked()" failed in memory_region_transaction_commit' in story
    assert subject.told.summary.startswith(
        "assert(qemu_mutex_iothread_locked()) fails in memory_region_transaction_commit"
    )


def test_tcg_store_to_a_device_is_an_mmio_write_and_no_fault():
    subject = told(
        thread(
            "raise",
            "abort",
            ("hw_error", {"fmt": '0x5600 "%s: bad width %i"'}),
            ("tsc210x_txrx", {"value": "6468416", "len": "24"}),
            "omap_mcspi_transfer_run",
            ("omap_mcspi_write", {"addr": "56", "value": "6468416", "size": "4"}),
            ("memory_region_write_accessor", {"addr": "56", "size": "4"}),
            ("memory_region_dispatch_write", {"addr": "56", "data": "6468416", "op": "MO_32"}),
            ("io_writex", {"val": "6468416", "addr": "4194926648", "op": "MO_32"}),
            ("helper_le_stl_mmu", {"addr": "4194926648", "val": "6468416"}),
            "code_gen_buffer",
            "cpu_tb_exec",
            "cpu_exec",
            "tcg_cpus_exec",
            "mttcg_cpu_thread_fn",
            "qemu_thread_start",
            "start_thread",
        ),
        signal=Signal(name="SIGABRT"),
    )
    story = " | ".join(texts(subject))
    assert "guest 4-byte store to MMIO offset 0x38 (omap_mcspi_write), value 0x62b340" in story
    assert "hw_error in tsc210x_txrx" in subject.told.summary
    assert "fault" not in story


def test_exclusive_wait_inside_a_far_return_names_the_instruction_and_the_page_walk():
    subject = told(
        thread(
            "futex_wait",
            "pthread_cond_wait",
            "qemu_cond_wait_impl",
            "start_exclusive",
            "ptw_setl_slow",
            ("mmu_translate", {}),
            ("x86_cpu_tlb_fill", {"addr": "25041848", "access_type": "MMU_DATA_LOAD"}),
            ("do_ld4_mmu", {"addr": "25041848"}),
            ("helper_ret_protected", {"is_iret": "0"}),
            "code_gen_buffer",
            "cpu_tb_exec",
            "cpu_exec",
            "mttcg_cpu_thread_fn",
            "qemu_thread_start",
            "start_thread",
        )
    )
    story = " | ".join(texts(subject))
    assert "far return" in story and "page tables" in story and "0x17e1bb8" in story
    assert subject.told.summary.startswith("waits in start_exclusive until no vCPU executes guest code")


def test_out_instruction_under_tcg_is_seen_though_its_helper_left_no_frame():
    facts = Facts(regions=[Region(address=0x5500, name="piix-bmdma", owner_type="piix3-ide", base=0xC000)])
    access = stories.guest_access(
        told(
            thread(
                "blk_drain",
                "ide_cancel_dma_sync",
                ("bmdma_cmd_writeb", {"val": "8"}),
                ("memory_region_write_accessor", {"mr": "0x5500", "addr": "0", "size": "1"}),
                ("memory_region_dispatch_write", {"mr": "0x5500", "addr": "0", "op": "MO_8"}),
                "address_space_stb",
                "code_gen_buffer",
                "cpu_tb_exec",
                "cpu_exec",
                "mttcg_cpu_thread_fn",
                "start_thread",
            )
        ).stack,
        facts,
    )
    assert access is not None
    assert (access.kind, access.address, access.width, access.value) == ("port", 0xC000, 1, 8)
    assert access.text.startswith("guest 1-byte OUT to port 0xc000 (piix3-ide: bus-master IDE command)")


def test_dma_of_a_device_is_not_taken_for_a_guest_access():
    stack = told(
        thread(
            "memory_region_dispatch_write",
            "address_space_write",
            "dma_memory_write",
            "some_device_bh",
            "aio_bh_poll",
            *MAIN,
        )
    ).stack
    assert stories.guest_access(stack) is None


def test_block_request_tells_type_offset_and_length():
    request = stories.block_request(
        told(
            thread(
                "qemu_coroutine_yield",
                ("bdrv_aligned_preadv", {"offset": "6897893376", "bytes": "4096"}),
                ("bdrv_co_preadv_part", {"offset": "6897893376", "bytes": "4096"}),
                "blk_aio_read_entry",
                "coroutine_trampoline",
            )
        ).stack
    )
    assert request is not None and request.text == "read of 4 KiB at 0x19b258000"


def test_functions_of_no_row_are_told_with_their_subsystem():
    subject = told(thread("visit_type_str", "visit_start_list", "qmp_marshal_stop", "qmp_dispatch", *MAIN))
    assert "visit_type_str" in subject.told.stages[-1].text


def test_trigger_chain_reads_from_the_outside_in():
    subject = told(thread("bdrv_drained_begin", "qmp_blockdev_del", "qmp_marshal_blockdev_del", "qmp_dispatch", *MAIN))
    assert stories.trigger_chain(subject) == 'QMP "blockdev-del" → drains a block node'


@pytest.mark.parametrize(
    ("port", "write", "name"),
    [
        (0x3F8, True, "serial COM1 transmit holding register"),
        (0x71, False, "RTC/CMOS data"),
        (0xCF8, True, "PCI configuration address"),
        (0x1F7, False, "IDE primary status"),
        (0x1F7, True, "IDE primary command"),
        (0x43, True, "PIT mode"),
        (0x64, True, "i8042 keyboard controller command"),
        (0x510, True, "fw_cfg selector"),
        (0xC012, True, ""),
    ],
)
def test_well_known_ports_have_their_register_names(port, write, name):
    assert ports.port_register(port, write) == name


@pytest.mark.parametrize(
    ("handler", "offset", "name"),
    [
        ("virtio_ioport_write", 18, ("virtio-pci legacy", "device status")),
        ("virtio_pci_common_write", 20, ("virtio-pci", "device status")),
        ("apic_mem_write", 0xF0, ("local APIC", "spurious-interrupt vector")),
        ("hpet_ram_write", 0x108, ("HPET", "timer 0 comparator")),
        ("nvme_mmio_write", 0x1008, ("NVMe", "submission queue 1 doorbell")),
        ("virtio_mmio_write", 0x50, ("virtio-mmio", "queue notify")),
    ],
)
def test_device_handlers_name_their_registers(handler, offset, name):
    assert ports.handler_register(handler, offset, True) == name


def test_kvm_run_is_known_by_its_request_number():
    assert ioctl_request(44672) == "KVM_RUN"
    assert ioctl_request(0xAE80) == "KVM_RUN"


def test_capture_is_told_to_read_the_arguments_that_stories_use():
    for name in (
        "kvm_handle_io",
        "address_space_rw",
        "virtio_ioport_write",
        "qemu_poll_ns",
        "vm_state_notify",
        "mmu_translate",
    ):
        assert name in WANTED_ARGUMENTS, name


def test_stage_rows_name_functions_that_some_qemu_has():
    """Names that are not QEMU's own (libc, GLib, hypervisors) live in a few rows; elsewhere a typo would show here."""
    foreign = set(
        "abort,thread entry,GLib main loop,coroutine,coroutine switch,mutex,condition,event,thread join,thread start,"
        "system call,memory copy,signal,shutdown,display,accelerator loop,translated code,guest access,sanitizer,BQL,"
        "Linux AIO,test program".split(",")
    )
    unknown = [
        (row.name, name)
        for row in TABLE.rows
        if row.name not in foreign
        for name in row.exact_names()
        if not functions.lookup(name) and not name.startswith(("_", "g_", "pthread", "futex", "sem_"))
    ]
    assert unknown == []


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real reports is not beside this tree")
def test_every_thread_of_real_reports_has_a_summary_and_whole_stages():
    from qemu_gdb.capture import text

    for path in sorted(CORPUS.glob("*/bt.txt")):
        for snapshot in text.parse(text.read(path.read_bytes())):
            context = Context(snapshot)
            classify.classify(context)
            waits.resolve(context)
            stories.tell(context)
            for subject in context.subjects:
                frames = subject.told.thread.frames
                if not frames:
                    continue
                assert subject.told.summary, path
                assert len(subject.told.summary) <= 160, subject.told.summary
                stages = subject.told.stages
                assert stages and all(stage.text for stage in stages), path
                assert (stages[0].last, stages[-1].first) == (frames[-1].level, frames[0].level), path


def test_a_recursion_of_a_hundred_thousand_frames_is_told_in_few_stages():
    loop = ["bdrv_refresh_filename", "bdrv_backing_attach", "some_unknown_function"] * 40_000
    subject = told(thread("raise", *loop, "qmp_blockdev_add", "qmp_marshal_blockdev_add", "qmp_dispatch", *MAIN))
    stages = subject.told.stages
    assert any(stage.name == "recursion" and "bdrv_backing_attach" in stage.text for stage in stages)
    assert len(stages) < 2000
    assert "blockdev-add" in subject.told.summary
    assert (stages[0].last, stages[-1].first) == (len(subject.stack.frames) - 1, 0)


NAMES = sorted({name.replace("*", "x") for row in TABLE.rows for name in row.functions.patterns} | {"??", "unknown_fn"})
VALUES = [
    "0",
    "-1",
    "<optimized out>",
    "18446744073709551615",
    '0x55 "stop"',
    '0x55 ""',
    "true",
    "MO_32",
    "{a = 1}",
    "...",
]
ARGUMENTS = [
    "addr",
    "val",
    "data",
    "size",
    "len",
    "port",
    "offset",
    "bytes",
    "bs",
    "cmdline",
    "state",
    "timeout",
    "request",
]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES), st.dictionaries(st.sampled_from(ARGUMENTS), st.sampled_from(VALUES), max_size=3)
        ),
        min_size=1,
        max_size=20,
    ),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_stack_of_known_functions_has_whole_stages_and_one_line(frames, crashed):
    subject = told(thread(*frames, crashed=crashed))
    covered = sorted(level for s in subject.told.stages for level in range(s.first, s.last + 1))
    assert covered == list(range(len(frames)))
    assert all(stage.text for stage in subject.told.stages)
    assert subject.told.summary and "\n" not in subject.told.summary and len(subject.told.summary) <= 160


def test_a_spin_lock_is_taken_and_not_waited_for():
    subject = told(thread("qemu_spin_lock", "page_lock", "page_collection_lock", "tb_invalidate_phys_range", *ENTRY))
    assert subject.told.state == "executing"
    assert "takes a spin lock" in subject.told.summary and "waits" not in subject.told.summary
