"""Hangs whose end lies with a peer, a device, the kernel or another thread: who it is, how sure, and what to do."""

from __future__ import annotations

from stacks import COND, HANDLER, MAIN, MUTEX, POLL, START, thread
from stacks import explained as told

from qemu_gdb import cli
from qemu_gdb.capture import text
from qemu_gdb.explain import explain
from qemu_gdb.explain.command_line import values
from qemu_gdb.model import Frame, Snapshot, Source, Thread

VCPU = f"kvm_cpu_exec kvm_vcpu_thread_fn {START}"
IDLE_MAIN = f"{POLL} os_host_main_loop_wait {MAIN}"
QXL_WRITE = ("__libc_read ?%libspice-server.so.1 dispatcher_send_message%libspice-server.so.1 "
             "spice_qxl_destroy_surfaces%libspice-server.so.1 qxl_spice_destroy_surfaces ioport_write "
             "memory_region_write_accessor access_with_adjusted_size memory_region_dispatch_write address_space_rw "
             f"kvm_handle_io {VCPU}")
SPICE_LOOP = "g_main_context_dispatch%libglib-2.0.so.0 g_main_loop_run%libglib-2.0.so.0 ?%libspice-server.so.1"


def spice(words, **fields):
    return told(thread(f"{words} start_thread clone", number=9, lwp=1409, name="SPICE Worker", **fields),
                thread(QXL_WRITE, number=4, lwp=1404, name="CPU 1/KVM"))


def test_a_spice_worker_inside_a_handler_does_not_rest():
    explained = spice(f"__libc_write ?%libspice-server.so.1 red_channel_client_push%libspice-server.so.1 {SPICE_LOOP}",
                      args={0: {"fd": "41"}})
    worker = explained.threads[0]
    assert (worker.role, worker.state) == ("spice-worker", "blocked-syscall")
    found = explained.findings[0]
    assert "Thread 9 (SPICE worker) has to answer, and is itself in write() on descriptor 41" in found.explanation
    assert "what thread 9 waits for in write(): ls -l /proc/PID/fd/41" in found.next_steps[0]


def test_a_spice_worker_that_sleeps_in_a_handler_is_told_by_the_function():
    found = spice(f"clock_nanosleep usleep flush_all_qxl_commands%libspice-server.so.1 {SPICE_LOOP}").findings[0]
    assert "flush_all_qxl_commands (frame 2)" in found.explanation
    assert "rests" not in found.explanation


def test_a_spice_worker_in_its_poll_rests_and_may_have_missed_the_message():
    poll = "__poll ?%libglib-2.0.so.0 g_main_loop_run%libglib-2.0.so.0 red_worker_main%libspice-server.so.1"
    explained = spice(poll)
    assert explained.threads[0].state == "idle"
    assert "has missed what it was sent" in explained.findings[0].next_steps[0]


def colo(inner):
    return thread(f"{inner} colo_do_checkpoint_transaction colo_process_checkpoint migrate_start_colo_process "
                  f"migration_iteration_finish migration_thread {START}", name="migration")


RECEIVES = ("__libc_recvmsg qio_channel_socket_readv qio_channel_read qemu_fill_buffer qemu_peek_byte qemu_get_be32 "
            "colo_receive_message colo_receive_check_message")


def test_a_colo_primary_waits_for_its_peer_without_the_bql():
    explained = told(colo(RECEIVES), thread(IDLE_MAIN, number=1, lwp=1001))
    found = explained.findings[0]
    assert found.title == "The COLO peer does not answer"
    assert "It does not hold the BQL: the main loop and the monitor go on." in found.explanation
    assert "x-colo-lost-heartbeat" in found.next_steps[0]
    assert explained.threads[0].summary.endswith("COLO checkpoint")


def test_the_devices_state_of_colo_is_saved_with_the_bql():
    saves = "virtio_save vmstate_save qemu_save_device_state"
    assert "BQL" in told(colo(saves)).threads[0].holds


RBD = ("futex_wait_cancelable pthread_cond_wait@@GLIBC_2.3.2 ceph::condition_variable_debug::wait(m) "
       "C_SaferCond::wait()%librbd.so.1 rbd_close%librbd.so.1 qemu_rbd_close bdrv_close bdrv_delete bdrv_unref "
       "blk_remove_bs blk_delete release_drive object_finalize object_unref bus_free_bus_child "
       f"call_rcu_thread {START}")


def test_a_callback_of_rcu_that_waits_in_a_library_holds_the_bql():
    waits = thread(f"{MUTEX} bql_lock_impl os_host_main_loop_wait {MAIN}", number=1, lwp=1001)
    explained = told(thread(RBD, number=2, lwp=1002), waits)
    found = explained.findings[0]
    assert found.title == "A call into librbd or librados (Ceph) does not return"
    assert "It holds the BQL meanwhile" in found.explanation
    assert "Thread 1 waits for the BQL, and only because of this." in found.explanation
    assert "It waits in rbd_close (frame 4)" in found.explanation  # what QEMU called, not what is inside
    assert len(explained.findings) == 1


def test_the_rcu_threads_own_wait_holds_nothing():
    waits = thread(f"syscall qemu_futex_wait qemu_event_wait wait_for_readers synchronize_rcu call_rcu_thread {START}")
    assert told(waits).threads[0].holds == []


SENDS = "__libc_sendmsg qio_channel_socket_writev qio_channel_writev_full_all"


def test_a_migration_that_sends_ram_is_only_possibly_stuck():
    explained = told(
        thread(f"{SENDS} qemu_fflush save_normal_page ram_save_iterate qemu_savevm_state_iterate "
               f"migration_iteration_run migration_thread {START}", number=6, lwp=1006),
        thread(IDLE_MAIN, number=1, lwp=1001))
    found = explained.findings[0]
    assert (found.kind, found.confidence) == ("hang.waiting-for-peer", "possible")
    assert "A healthy migration waits there most of the time, too" in found.explanation
    assert found.next_steps[0].startswith("info migrate, twice")


def test_a_completion_that_sends_with_the_bql_held_is_likely_stuck():
    explained = told(
        thread(f"{SENDS} qemu_fflush qemu_savevm_state_complete_precopy migration_completion_precopy "
               f"migration_completion migration_thread {START}", number=6, lwp=1006),
        thread(f"{MUTEX} bql_lock_impl os_host_main_loop_wait {MAIN}", number=1, lwp=1001))
    assert explained.findings[0].confidence == "likely"


def test_an_rdma_source_waits_for_the_peers_message_not_for_its_end():
    found = told(thread("__GI___poll qemu_rdma_wait_comp_channel qemu_rdma_block_for_wrid "
                        "qemu_rdma_exchange_get_response qemu_rdma_exchange_send qemu_rdma_registration_stop "
                        f"ram_save_setup migration_thread {START}"),
                 thread(IDLE_MAIN, number=1, lwp=1001)).findings[0]
    assert found.title == "The RDMA peer does not answer"
    assert "disconnected" not in " ".join(found.next_steps)


def test_a_map_for_dma_tells_its_size_and_that_it_may_be_slow():
    found = told(thread("ioctl vfio_legacy_dma_map vfio_container_dma_map vfio_listener_region_add "
                        f"memory_region_transaction_commit {HANDLER}", number=1, lwp=1001,
                        args={1: {"size": "1645333610496"}})).findings[0]
    assert "pins 1532.3 GiB of guest memory" in found.explanation
    assert "slow rather than stuck" in found.explanation
    assert "Huge pages" in " ".join(found.next_steps)


def test_a_reset_of_an_assigned_device_asks_for_the_hosts_log():
    found = told(thread(f"ioctl vfio_legacy_pci_hot_reset vfio_pci_reset_handler qemu_system_reset {HANDLER}",
                        number=1, lwp=1001)).findings[0]
    assert "dmesg" in found.next_steps[0]


def test_a_wait_for_the_x_server_is_named_though_frames_between_have_no_names():
    found = told(thread("__poll ?%libxcb.so.1 xcb_wait_for_reply64%libxcb.so.1 _XReply%libX11.so.6 XSync%libX11.so.6 "
                        f"?%libGLX.so.0 glXSwapBuffers%libGLX.so.0 gd_gl_area_draw {HANDLER}", number=1,
                        lwp=1001)).findings[0]
    assert (found.kind, found.title) == ("hang.waiting-for-peer", "The display server does not answer")
    assert "It waits in xcb_wait_for_reply64 (frame 2)" in found.explanation


def test_a_worker_that_rests_while_it_is_waited_for_is_paired_with_the_waiter():
    found = told(thread(f"{COND} vnc_jobs_join vnc_client_io {HANDLER}", number=1, lwp=1001),
                 thread(f"{COND} vnc_worker_thread_loop vnc_worker_thread {START}", number=7, lwp=1007)).findings[0]
    assert found.confidence == "possible"
    assert "Thread 7 (VNC worker) would end that wait, and rests" in found.explanation
    assert "do thread 1 and thread 7 both still stand there?" in found.next_steps[0]


PAUSED = thread("do_futex_wait __new_sem_wait_slow64 qemu_sem_wait postcopy_pause_incoming qemu_loadvm_state_main "
                f"postcopy_ram_listen_thread {START}", number=6, lwp=1006)
RECEIVES_PACKET = ("lduw_he_p lduw_le_p address_space_lduw_le_cached virtio_lduw_phys_cached vring_avail_idx "
                   f"virtio_queue_split_empty virtio_queue_empty virtio_net_receive_rcu tap_send {HANDLER}")


def test_a_page_that_a_broken_postcopy_does_not_send_is_one_finding():
    touches = thread(RECEIVES_PACKET, number=1, lwp=1001)
    waits = thread(f"{MUTEX} bql_lock_impl prepare_mmio_access address_space_write {VCPU}", number=4, lwp=1004)
    explained = told(touches, PAUSED, waits)
    found = explained.findings[0]
    assert found.title == "Postcopy is broken off: thread 1 waits for a page that nobody sends"
    assert "until the broken postcopy migration is recovered" in found.explanation
    assert '{"exec-oob": "migrate-recover"' in found.next_steps[0]
    assert len(explained.findings) == 1


def test_the_same_access_without_a_postcopy_is_none():
    found = told(thread(RECEIVES_PACKET, number=1, lwp=1001)).findings
    assert not [f for f in found if "ostcopy" in f.title]


def test_an_export_keeps_the_daemon_from_its_end():
    found = told(thread("__ppoll aio_poll blk_exp_close_all_type blk_exp_close_all main __libc_start_main", number=1,
                        lwp=1001, name="qemu-storage-da")).findings[0]
    assert "block_exports" in found.next_steps[0]


def test_work_for_a_vcpu_is_told_with_the_vcpu():
    waiter = thread(f"{COND} do_run_on_cpu run_on_cpu gicv3_its_thing_write memory_region_write_accessor "
                    f"do_st_4 cpu_tb_exec cpu_exec tcg_cpu_exec mttcg_cpu_thread_fn {START}", number=3, lwp=1003,
                    args={4: {"cpu": "0x5000"}})
    asks = thread(f"{COND} start_exclusive cpu_exec_step_atomic mttcg_cpu_thread_fn {START}", number=4, lwp=1004,
                  args={6: {"arg": "0x5000"}})
    found = told(waiter, asks).findings[0]
    assert "work queued for thread 4" in found.explanation
    assert "which cpu is the work for" not in " ".join(found.next_steps)


def test_a_vm_that_is_being_stopped_is_not_called_running():
    stops = thread(f"{COND} pause_all_vcpus do_vm_stop vm_stop qmp_stop {HANDLER}", number=1, lwp=1001)
    guest = thread(f"ioctl kvm_vcpu_ioctl {VCPU}", number=3, lwp=1003, name="CPU 0/KVM")
    assert told(stops, guest).runstate is None
    assert told(guest).runstate == "running"


PROC = """\
# for t in /proc/21733/task/*; do echo $t $(cat $t/comm); cat $t/stack; done
/proc/21733/task/21733 qemu-system-x86
[<0>] rpc_wait_bit_killable+0x24/0xa0 [sunrpc]
[<0>] nfs4_file_llseek+0x3c/0x70 [nfsv4]
[<0>] ksys_lseek+0x7b/0xc0
[<0>] do_syscall_64+0x5b/0x1a0
/proc/21733/task/21741 CPU 0/KVM
[<0>] futex_wait_queue+0x60/0x90
[<0>] do_futex+0x106/0x1b0
[<0>] __x64_sys_futex+0x6a/0x1e0
[<0>] do_syscall_64+0x5b/0x1a0
"""


def test_kernel_stacks_of_a_process_are_told_by_task_call_and_place():
    (snapshot,) = text.parse(PROC)
    explained = explain(snapshot)
    assert [(t.thread.lwp, t.thread.name) for t in explained.threads] == [(21733, "qemu-system-x86"),
                                                                         (21741, "CPU 0/KVM")]
    assert explained.threads[0].summary == (
        "host kernel, in lseek(): nfs4_file_llseek [nfsv4] … rpc_wait_bit_killable [sunrpc]")
    assert {t.state for t in explained.threads} == {"blocked-syscall"}
    assert not explained.is_qemu
    assert "stacks of the host's kernel, of the tasks of qemu-system-x86" in explained.notices[-1].text


def test_kernel_stacks_are_headed_as_such(tmp_path, capsys):
    path = tmp_path / "proc.txt"
    path.write_text(PROC)
    assert cli.main(["explain", str(path)]) == 1
    assert "not QEMU" not in capsys.readouterr().out.splitlines()[0]


def test_an_nbd_connection_is_told_by_the_command_that_waits_for_it():
    explained = told(
        thread(f"connect inet_connect_addr inet_connect_saddr socket_connect nbd_connect connect_thread_func {START}",
               number=4, lwp=1004),
        thread("__ppoll aio_poll nbd_do_establish_connection nbd_open bdrv_open_driver bdrv_open qmp_blockdev_add "
               f"qmp_marshal_blockdev_add {HANDLER}", number=1, lwp=1001))
    assert explained.findings[0].title == (
        'The monitor command "blockdev-add" waits for the NBD server, which does not answer')
    assert len(explained.findings) == 1


def test_a_system_call_is_told_without_libcs_word_for_it():
    found = told(thread("__recvmsg_syscall __libc_recvmsg qio_channel_socket_readv qio_channel_read qemu_fill_buffer "
                        f"qemu_get_be32 process_incoming_migration_co {HANDLER}", number=1, lwp=1001)).findings[0]
    assert "It is in recvmsg(), called by" in found.explanation


def test_frames_without_threads_are_not_taken_for_the_kernels():
    plain = Snapshot(source=Source(kind="text"), threads=[Thread(frames=[Frame(0, "aio_poll"), Frame(1, "main")])])
    assert explain(plain).threads[0].state_rule != "kernel-stack"


def test_the_dispatcher_behind_a_command_is_not_said_to_wait_for_the_next():
    waits = "qemu_coroutine_switch qemu_coroutine_yield monitor_qmp_dispatcher_co coroutine_trampoline"
    behind = waits.replace("yield ", "yield qmp_dispatch monitor_qmp_dispatch ")
    summaries = [told(thread(words, coroutine=True)).threads[0].summary for words in (waits, behind)]
    assert "waits for the next command" in summaries[0]
    assert "has handed a command to the main loop" in summaries[1]


def test_values_of_options_are_read_as_qemu_takes_them():
    line = "qemu-system-x86_64 --chardev 'socket,id=a,path=/with a space' -chardev socket,id=b -incoming=defer"
    assert values(line, "chardev") == ["socket,id=a,path=/with a space", "socket,id=b"]
    assert values(line, "serial", "incoming") == ["defer"]
    assert values("start it by `qemu-system-arm -chardev socket,id=c,path=/s`", "chardev") == ["socket,id=c,path=/s"]
    assert not values("-chardevs a x-chardev b -chardev", "chardev")
