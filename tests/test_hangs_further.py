"""Hangs of which a text tells more than the stacks alone. The texts here are stand-ins, written for these tests."""

from __future__ import annotations

import pytest
from stacks import HANDLER, START
from texts import told

_KERNEL = """\
[<0>] handle_userfault+0x3f1/0x5f0
[<0>] shmem_fault+0x7b/0x210
[<0>] kvm_vcpu_ioctl+0x211/0x680 [kvm]
[<0>] __x64_sys_ioctl+0x94/0xd0
"""
_BQL = "__lll_lock_wait (futex=0x5588 <bql>)", "pthread_mutex_lock (mutex=0x5588 <bql>)", "bql_lock_impl ()"
_RUNS = "ioctl (fd=30, request=44672)", "kvm_vcpu_ioctl ()", "kvm_cpu_exec ()", "kvm_vcpu_thread_fn ()", *(
    f"{name} ()" for name in START.split())
_HANDLER = tuple(f"{name} ()" for name in HANDLER.split())


def _thread(number, name, *frames):
    lines = [f'Thread {number} (Thread 0x7f0000000{number}00 (LWP 90{number}) "{name}"):']
    lines += [f"#{level}  0x{0x5500000 + level * 64:x} in {frame}" for level, frame in enumerate(frames)]
    return "\n".join([*lines, ""])


def _text(*threads, below=""):
    return "\n".join([*threads, below])


def _vcpu(number, *frames):
    return _thread(number, f"CPU {number - 4}/KVM", *(frames or _RUNS))


def _titles(explanation):
    return [finding.title for finding in explanation.findings]


_PAUSED = _thread(7, "mig/dst/listen", "futex_wait ()", "qemu_sem_wait ()", "postcopy_pause_incoming ()",
                  "qemu_loadvm_state_main ()", "postcopy_ram_listen_thread ()", *(f"{n} ()" for n in START.split()))
_STOPS = _thread(1, "qemu-system-x86", "futex_wait ()", "pthread_cond_wait ()", "qemu_cond_wait_impl ()",
                 "pause_all_vcpus ()", "do_vm_stop ()", "qmp_stop ()", "qmp_marshal_stop ()", "do_qmp_dispatch_bh ()",
                 *_HANDLER)


@pytest.mark.parametrize("heading", [
    "(gdb) !cat /proc/901/task/904/stack", "kernel stack of LWP 904:", "$ sudo cat /proc/901/task/904/stack",
    "== /proc/901/task/904/stack",
])
def test_a_kernel_stack_below_a_dump_is_its_threads_and_leads_to_the_paused_postcopy(heading):
    explanation = told(_text(_PAUSED, _vcpu(5), _vcpu(4), _STOPS, below=f"{heading}\n{_KERNEL}"))
    (found,) = [f for f in explanation.findings if f.kind.startswith("hang.")]
    assert found.title == "Postcopy is paused: the connection broke"
    assert set(found.threads) == {7, 4, 1}
    assert "for a page of guest RAM (userfaultfd), and so for thread 7" in found.explanation
    assert "has stopped, and so for thread 4" in found.explanation
    assert "exec-oob" in found.next_steps[0]
    assert not any("/stack" in step for step in found.next_steps)


def test_a_workers_kernel_stack_makes_its_call_a_finding():
    explanation = told("TID 41:\n#0  0x00007f55ad1112ab ioctl\n#1  0x000055e6a5dfbd3c do_sgio_worker\n"
                       "#2  0x000055e6a5e1d0f1 worker_thread\n#3  0x000055e6a5e18a11 qemu_thread_start\n\n"
                       "/proc/41/stack:\n[<0>] blk_execute_rq+0x89/0xe0\n[<0>] sg_io+0x16a/0x3f0\n"
                       "[<0>] __x64_sys_ioctl+0x8a/0xc0\n")
    assert "a SCSI command to the device" in _titles(explanation)[0]


_SENDS = ("sendmsg (fd=14)", "qio_channel_socket_writev ()", "qio_channel_writev_full ()", "io_channel_send_full ()",
          "tcp_chr_write ()")


def test_a_send_that_has_to_write_all_is_a_wait_for_the_chardevs_reader():
    main = _thread(1, "qemu-system-x86", *_SENDS, "qemu_chr_write_buffer (write_all=true)",
                   "qemu_chr_write (write_all=true)", "gdb_vm_state_change ()", "vm_state_notify ()", *_HANDLER)
    wants = _vcpu(4, *_BQL, "prepare_mmio_access ()", *_RUNS[2:])
    explanation = told(_text(wants, main))
    assert _titles(explanation)[0] == "A chardev's reader does not read"
    assert explanation.findings[0].threads == [1, 4]


def test_a_holder_in_a_call_that_returns_at_once_is_still_told_where_a_thread_waits():
    main = _thread(1, "qemu-system-x86", *_SENDS, "qemu_chr_write_buffer (write_all=false)",
                   "qemu_chr_write (write_all=false)", "monitor_flush_locked ()", *_HANDLER)
    wants = _vcpu(4, *_BQL, "prepare_mmio_access ()", *_RUNS[2:])
    explanation = told(_text(wants, main))
    assert explanation.findings[0].kind == "hang.bql-held"
    assert not any("no thread waits for another" in f.explanation for f in explanation.findings)


def test_a_joined_thread_is_known_by_the_number_in_the_futex():
    joins = _vcpu(4, "__futex_abstimed_wait_common64 (private=128, expected=906)", "__pthread_clockjoin_ex ()",
                  "qemu_thread_join ()", "cpu_remove_sync ()", "x86_cpu_unrealizefn ()", *_RUNS[2:])
    explanation = told(_text(_vcpu(6), _vcpu(5), joins))
    assert "thread 6" in _titles(explanation)[0]
    assert next(t for t in explanation.threads if t.thread.number == 4).waits_for.owner_thread == 6
    assert "every vCPU has stopped" not in explanation.findings[0].explanation


@pytest.mark.parametrize("frames, title, step", [
    ("poll g_main_context_iterate g_main_context_iteration g_dbus_connection_send_message_with_reply_sync "
     "g_dbus_proxy_call_sync dbus_scanout_map dbus_gfx_update", "The client of the D-Bus display does not answer",
     "1 s"),
    ("poll g_main_context_iterate g_main_context_iteration g_subprocess_sync_complete g_subprocess_wait "
     "net_passt_start_daemon", "QEMU waits for a child process that it has started", "ps --ppid PID"),
    ("pthread_cond_wait read_reply xs_talkv xs_single xs_read xenstore_read_str", "xenstored does not answer",
     "dom0"),
    ("ppoll fdmon_poll_wait aio_poll nvme_admin_cmd_sync nvme_identify nvme_init nvme_file_open bdrv_open_driver",
     "An NVMe controller does not complete QEMU's command", "CSTS"),
])
def test_whom_a_librarys_wait_is_for(frames, title, step):
    explanation = told(_text(_thread(1, "qemu-system-x86", *(f"{n} ()" for n in frames.split()), *_HANDLER)))
    assert _titles(explanation)[0] == title
    assert step in " ".join(explanation.findings[0].next_steps)
    assert "in_flight" not in " ".join(explanation.findings[0].next_steps)


def test_an_hmp_screendump_waits_for_the_display_device():
    frames = ("ppoll ()", "fdmon_poll_wait ()", "aio_poll ()", 'handle_hmp_command (cmdline=0x55 "screendump /tmp/a")',
              "qmp_human_monitor_command ()")
    explanation = told(_text(_thread(1, "qemu-system-x86", *frames, *_HANDLER)))
    assert "waits for the display device" in _titles(explanation)[0]
    assert not any("in flight" in step for step in explanation.findings[0].next_steps)


_SAVES = ("write (fd=38)", "qio_channel_command_writev ()", "qio_channel_writev_full_all ()", "qemu_fflush ()")


def test_a_copy_into_guest_ram_waits_for_the_background_snapshot():
    saves = _thread(6, "mig/snapshot", *_SAVES, "ram_save_iterate ()", "bg_migration_iteration_run ()",
                    "bg_migration_thread ()", *(f"{n} ()" for n in START.split()))
    main = _thread(1, "qemu-system-x86", "__memmove_avx_unaligned_erms ()", "flatview_write_continue_step ()",
                   "flatview_write ()", "dma_memory_rw ()", *_HANDLER)
    wants = _vcpu(4, *_BQL, "prepare_mmio_access ()", *_RUNS[2:])
    explanation = told(_text(saves, wants, main))
    found = explanation.findings[0]
    assert found.title.startswith("The background snapshot is not read")
    assert set(found.threads) == {6, 1, 4}
    assert "likely for a page of guest RAM that is write-protected" in found.explanation
    assert "the vCPUs go on" not in found.explanation
    assert not any("info migrate" in step or "migrate_cancel" in step for step in found.next_steps)
    assert "precopy" not in found.explanation
    reads = main.replace("flatview_write", "flatview_read")
    assert next(t for t in told(_text(saves, reads)).threads if t.thread.number == 1).waits_for is None


def test_a_command_that_waits_for_a_grace_period_heads_the_chain():
    sends = _thread(6, "mig/src/main", "sendmsg (fd=47)", "qio_channel_socket_writev ()",
                    "qio_channel_writev_full_all ()", "qemu_fflush ()", "ram_save_iterate ()",
                    "qemu_savevm_state_iterate ()", "migration_iteration_run ()", "migration_thread ()",
                    *(f"{n} ()" for n in START.split()))
    main = _thread(1, "qemu-kvm", "syscall ()", "qemu_futex_wait ()", "qemu_event_wait ()", "drain_call_rcu ()",
                   "qmp_device_add ()", "qmp_marshal_device_add ()", "do_qmp_dispatch_bh ()", *_HANDLER)
    found = told(_text(sends, main)).findings[0]
    assert found.kind == "hang.rcu-stall"
    assert found.title == 'The monitor command "device_add" waits for an RCU grace period that thread 6 holds up'


def test_an_ioctl_number_of_two_names_is_told_by_its_caller_and_a_small_map_is_one_of_many():
    maps = _vcpu(4, "ioctl (fd=23, request=15217)", "vfio_legacy_dma_map (size=4096)", "vfio_iommu_map_notify ()",
                 "memory_region_notify_iommu ()", "memory_region_write_accessor ()", *_RUNS[2:])
    wants = _vcpu(5, *_BQL, "prepare_mmio_access ()", *_RUNS[2:])
    found = told(_text(wants, maps)).findings[0]
    assert "(VFIO_IOMMU_MAP_DMA)" in found.explanation
    assert found.confidence == "possible"


def test_a_file_that_the_process_serves_itself_is_a_deadlock():
    opens = _thread(1, "qemu-storage-da", 'open64 (file=0x55 "/srv/disk")', "qemu_open_internal ()",
                    "raw_open_common ()", "qmp_blockdev_add ()", "qmp_marshal_blockdev_add ()",
                    "do_qmp_dispatch_bh ()", "aio_bh_poll ()", "main_loop_wait ()",
                    "main () at ../storage-daemon/q.c:4")
    command = "qemu-storage-daemon --export fuse,id=e,node-name=q,mountpoint={},writable=on\n"
    found = told(_text(command.format("/srv/disk"), opens)).findings[0]
    assert (found.kind, found.confidence) == ("hang.deadlock", "likely")
    assert "serves itself by FUSE" in found.title
    assert told(_text(command.format("/srv/other"), opens)).findings[0].kind != "hang.deadlock"


def test_the_guest_agents_commands_are_no_monitor_commands():
    freezes = _thread(1, "qemu-ga", "ioctl ()", "qmp_guest_fsfreeze_do_freeze_list ()", "qmp_guest_fsfreeze_freeze ()",
                      "qmp_marshal_guest_fsfreeze_freeze ()", "qmp_dispatch ()", "process_event ()",
                      "g_main_loop_run ()", "run_agent_once ()", "main () at ../qga/main.c:1700")
    found = told(_text(freezes)).findings[0]
    assert found.title.startswith('The guest agent command "guest-fsfreeze-freeze"')
    assert "the guest's kernel log" in found.next_steps[0]
    assert not any("host's dmesg" in step for step in found.next_steps)


def test_the_parent_of_a_forking_nbd_server_waits_for_its_child():
    reads = _thread(1, "qemu-nbd", "read (fd=8)", "main () at ../qemu-nbd.c:988")
    assert "waits for its child" in _titles(told(_text(reads)))[0]


def test_a_line_of_the_kernels_log_is_quoted_and_not_asked_for():
    resets = _thread(1, "kvm", "ioctl (fd=29, request=15217)", "vfio_pci_hot_reset ()", "vfio_reset_handler ()",
                     "qemu_devices_reset ()", *_HANDLER)
    found = told(_text("vfio-pci 0000:0c:00.0: not ready 65535ms after bus reset; giving up\n", resets)).findings[0]
    assert '"not ready 65535ms after bus reset"' in found.explanation
    assert not any("dmesg" in step for step in found.next_steps)


def test_the_error_of_the_hypervisor_framework_is_quoted():
    dies = _thread(7, "CPU 0/HVF", "__pthread_kill ()", "abort ()", "assert_hvf_ok_impl ()", "hvf_vcpu_exec ()",
                   "hvf_cpu_thread_fn ()")
    line = "qemu-system-aarch64: Error: hv_vcpu_run(cpu->accel->fd) = HV_ERROR (0xfae94001, at hvf.c:1911)\n"
    found = told(_text(line, dies)).findings[0]
    assert "hv_vcpu_run() at hvf.c:1911 was answered HV_ERROR (0xfae94001)" in found.explanation
