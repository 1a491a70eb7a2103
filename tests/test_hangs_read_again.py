"""Hangs in which the holder, the peer or the side that has to act was told wrongly or not at all. The stacks are
stand-ins written by hand."""

from __future__ import annotations

import pytest
from stacks import MAIN, MUTEX, POLL, START, thread
from stacks import explained as told

from qemu_gdb.model import Facts, Frame, Lock

KVM = f"kvm_cpu_exec kvm_vcpu_thread_fn {START}"
WANTS_BQL = f"{MUTEX} qemu_mutex_lock_iothread_impl main_loop_wait {MAIN}"
DRAINS = f"{POLL} fdmon_poll_wait aio_poll blk_drain virtio_blk_reset virtio_reset"


def main_loop(words, **fields):
    return thread(words, number=1, lwp=1001, name="qemu-system-s39", **fields)


def steps(found):
    return " | ".join(found.next_steps)


@pytest.mark.parametrize(
    "call",
    [
        f"sclp_execute sclp_service_call handle_instruction kvm_arch_handle_exit {KVM}",  # s390x
        f"virtio_ccw_cb ioinst_handle_ssch handle_instruction kvm_arch_handle_exit {KVM}",
        f"h_scsi spapr_hypercall kvm_arch_handle_exit {KVM}",  # ppc
    ],
)
def test_a_vcpu_that_handles_an_exit_of_s390x_or_ppc_holds_the_bql(call):
    found = told(thread(f"{DRAINS} {call}", number=3, lwp=1003, name="CPU 0/KVM"), main_loop(WANTS_BQL)).findings
    assert [f.kind for f in found] == ["hang.drain-waits-for-io"]
    assert "Thread 1 waits for the BQL, and only because of this" in found[0].explanation


def test_kvm_run_has_another_number_on_ppc():
    vcpu = told(thread("ioctl kvm_vcpu_ioctl " + KVM, number=3, lwp=1003,
                       args={0: {"request": "536915584"}, 1: {"type": "536915584"}})).threads[0]  # fmt: skip
    assert vcpu.state == "running-guest"


def test_under_record_and_replay_the_main_loop_holds_that_lock_outside_its_poll():
    found = told(
        thread(f"{MUTEX} replay_mutex_lock rr_cpu_thread_fn {START}", number=3, lwp=1003),
        main_loop(f"{POLL} aio_poll bdrv_drain_all do_vm_stop qmp_stop hmp_stop handle_hmp_command monitor_read "
                  f"g_main_context_dispatch glib_pollfds_poll os_host_main_loop_wait {MAIN}"),
    ).findings  # fmt: skip
    assert len(found) == 1 and "record/replay lock, and so for thread 1" in found[0].explanation


def test_a_mutex_that_is_free_already_is_no_hang():
    def findings(owner):
        submits = main_loop(f"{MUTEX} thread_pool_submit_aio raw_co_preadv bdrv_co_preadv {MAIN}",
                            args={2: {"mutex": "0x7000"}})  # fmt: skip
        facts = Facts(locks=[Lock("mutex 0x7000", 0x7000, "mutex", owner, True)])
        return [f for f in told(submits, facts=facts).findings if f.kind.startswith("hang.")]

    assert findings(4711) and not findings(None)


@pytest.mark.parametrize("version, titled", [("10.0.2", True), (None, False), ("7.2.0", False), ("10.2.0", False)])
def test_a_drain_inside_the_graphs_write_lock_is_no_slow_disk(version, titled):
    found = told(main_loop(f"{POLL} aio_poll bdrv_drained_begin bdrv_change_aio_context bdrv_root_unref_child "
                           f"block_job_remove_all_bdrv job_clean job_exit aio_bh_poll aio_ctx_dispatch "
                           f"g_main_context_dispatch glib_pollfds_poll os_host_main_loop_wait {MAIN}"),
                 version=version).findings[0]  # fmt: skip
    assert ("inside the block graph's write lock" in found.title) is titled
    assert ("update QEMU" in steps(found)) is titled
    assert ("graph write lock" in found.explanation) is (version in ("10.0.2", None))


def test_the_thread_that_still_connects_is_what_the_end_of_an_nbd_client_waits_for():
    found = told(
        thread("__libc_connect inet_connect_addr socket_connect connect_thread_func start_thread clone", number=5,
               lwp=1005),
        main_loop(f"{POLL} aio_poll nbd_teardown_connection nbd_client_close nbd_close bdrv_close "
                  f"qmp_blockdev_del qmp_marshal_blockdev_del qmp_dispatch {MAIN}"),
    ).findings[0]  # fmt: skip
    assert "Thread 5" in found.explanation and "still connects" in found.explanation
    assert "tracked_requests" not in steps(found)


def test_a_start_that_pins_terabytes_is_no_blocked_call():
    found = told(main_loop("ioctl vfio_legacy_dma_map vfio_listener_region_add vfio_realize qdev_device_add qemu_init "
                           "main", args={0: {"fd": "27", "request": "15217"}, 1: {"size": str(1952 << 30)}})
                 ).findings[0]
    assert found.title.startswith("QEMU is still starting: the kernel pins 1952 GiB") and found.confidence == "possible"
    assert "/fd/27" not in steps(found)


def test_the_guest_agents_kernel_is_the_guests():
    explained = told(
        thread("ioctl qmp_guest_fsfreeze_do_freeze_list qmp_guest_fsfreeze_freeze qmp_marshal_guest_fsfreeze_freeze "
               "qmp_dispatch process_event run_agent main", number=1, lwp=901,
               kernel=[Frame(i, f) for i, f in enumerate(("rq_qos_wait", "wbt_wait", "__x64_sys_ioctl"))]),
        program="qemu-ga",
    )  # fmt: skip
    found = explained.findings[0]
    assert "host" not in f"{found.explanation} {steps(found)} {explained.threads[0].summary}"


def test_a_guest_program_that_waits_is_asked_about_by_its_own_tools():
    found = told(thread("safe_syscall_base safe_futex do_futex do_syscall1 do_syscall cpu_loop main", number=1,
                        lwp=1001)).findings[0]  # fmt: skip
    assert "-strace" in steps(found) and "second sample" not in steps(found)


def test_a_guest_that_resets_a_usb_port_is_told():
    explained = told(thread(f"ioctl libusb_reset_device usb_host_handle_reset usb_device_reset xhci_port_reset "
                            f"xhci_port_write {KVM}", number=4, lwp=1004))  # fmt: skip
    assert "resets a USB device (xHCI)" in explained.threads[0].summary + explained.findings[0].explanation


def test_a_function_that_goes_round_for_a_device_names_it():
    found = told(
        thread("vhost_svq_more_used vhost_svq_poll vhost_vdpa_net_svq_flush vhost_vdpa_net_cvq_load vhost_net_start "
               f"virtio_net_set_status virtio_pci_common_write memory_region_dispatch_write {KVM}", number=3, lwp=1003),
        main_loop(WANTS_BQL),
    ).findings[0]  # fmt: skip
    assert "the vDPA device has used a buffer" in found.explanation and "mlx5_vdpa" in found.next_steps[0]


def test_a_9p_request_that_a_worker_runs_is_what_the_reset_waits_for():
    explained = told(
        thread("fstatat64 local_lstat v9fs_co_lstat v9fs_walk coroutine_trampoline makecontext", number=9, lwp=1009),
        thread(f"{POLL} fdmon_poll_wait aio_poll v9fs_reset virtio_reset virtio_pci_common_write "
               f"memory_region_dispatch_write {KVM}", number=3, lwp=1003),
        main_loop(WANTS_BQL),
    )  # fmt: skip
    assert explained.threads[0].role == "thread-pool-worker" and len(explained.findings) == 1
    assert "works on one of them" in explained.findings[0].explanation
