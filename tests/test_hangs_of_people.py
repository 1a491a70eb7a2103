"""Hangs as people report them: the last link leads, its peer is named, and a step follows. The stacks are stand-ins
written by hand."""

from __future__ import annotations

from stacks import COND, MAIN, MUTEX, POLL, START, thread

from qemu_gdb.explain import explain
from qemu_gdb.model import Snapshot, Source

STORE = "memory_region_write_accessor access_with_adjusted_size memory_region_dispatch_write"
MTTCG = f"cpu_exec_loop cpu_exec_setjmp cpu_exec tcg_cpus_exec mttcg_cpu_thread_fn {START}"
KVM = f"kvm_handle_io kvm_cpu_exec kvm_vcpu_thread_fn {START}"
IDLE = f"{POLL} os_host_main_loop_wait {MAIN}"
WANTS_BQL = f"{MUTEX} bql_lock_impl os_host_main_loop_wait {MAIN}"
EXCLUSIVE = f"{COND} start_exclusive"


def told(*threads, **fields):
    return explain(Snapshot(source=Source(kind="text"), threads=list(threads), **fields))


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
