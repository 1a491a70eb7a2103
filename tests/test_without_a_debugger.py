"""Texts that no debugger wrote: Rust's panics, addr2line, the kernel's and a test's lines, libvirt. Stand-ins, made by
hand in the spelling of each."""

from __future__ import annotations

import pytest
from texts import told

from qemu_gdb.capture.messages import signal_of

# --------------------------------------------------------------------------------------------------------------
# Rust

PANIC = """\
thread 'main' panicked at rust/hw/char/pl011/src/device.rs:187:17:
index out of bounds: the len is 16 but the index is 16
stack backtrace:
   0: rust_begin_unwind
             at /rustc/90b35a6239c3d8bdabc530a6a0816f7ff89a0aaf/library/std/src/panicking.rs:597:5
   1: core::panicking::panic_fmt
             at /rustc/90b35a6239c3d8bdabc530a6a0816f7ff89a0aaf/library/core/src/panicking.rs:72:14
   2: core::panicking::panic_bounds_check
             at /rustc/90b35a6239c3d8bdabc530a6a0816f7ff89a0aaf/library/core/src/panicking.rs:180:5
   3: pl011::device::PL011Registers::read
             at ./rust/hw/char/pl011/src/device.rs:187:17
   4: qemu_api::memory::memory_region_ops_read_cb
             at ./rust/qemu-api/src/memory.rs:36:5
   5: memory_region_read_accessor
             at ../system/memory.c:444:11
   6: <unknown>
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
"""


def test_the_backtrace_of_a_rust_panic_is_read_with_its_places():
    explained = told("qemu-system-arm -M realview-pb-a8 crashes\n" + PANIC)
    (thread,) = explained.threads
    frames = thread.thread.frames
    assert [(f.level, f.function) for f in frames][3:] == [
        (3, "pl011::device::PL011Registers::read"), (4, "qemu_api::memory::memory_region_ops_read_cb"),
        (5, "memory_region_read_accessor"), (6, None)]
    assert (frames[5].file, frames[5].line) == ("../system/memory.c", 444)
    assert (thread.state, thread.culprit) == ("aborting", "pl011::device::PL011Registers::read")
    assert explained.findings[0].title == (
        "Rust panic in pl011::device::PL011Registers::read, rust/hw/char/pl011/src/device.rs:187: "
        '"index out of bounds: the len is 16 but the index is 16"')


def test_a_full_rust_backtrace_has_its_addresses():
    full = PANIC.replace("   3: pl", "   3:     0x55d1c5a7f3e0 - pl")
    assert told(full).threads[0].thread.frames[3].pc == 0x55D1C5A7F3E0


def test_a_list_in_prose_is_no_rust_backtrace():
    explained = told("Steps:\n   0: start qemu\n   1: boot the guest\n   2: it hangs\n")
    assert not explained.threads


IN_GDB = """\
#0  __pthread_kill_implementation (threadid=<optimized out>, signo=signo@entry=6, no_tid=no_tid@entry=0) at p.c:44
#1  0x00007ffff6eb313e in __GI_raise (sig=sig@entry=6) at ../sysdeps/posix/raise.c:26
#2  0x00007ffff6e9a8c3 in __GI_abort () at abort.c:79
#3  0x0000555556a0b2ff in rust_panic_without_hook () at library/std/src/panicking.rs:855
#4  0x0000555556a0aa7d in __rustc::rust_begin_unwind () at library/std/src/panicking.rs:695
#5  0x0000555555c0f200 in core::panicking::panic_fmt () at library/core/src/panicking.rs:75
#6  0x0000555555c0f28c in core::{inner} () at library/core/src/panicking.rs:145
#7  0x0000555556123456 in qemu_api::cell::BqlRefCell<hpet::device::HPETRegisters>::borrow_mut<hpet::device::\
HPETRegisters> (self=0x555558000000) at rust/qemu-api/src/cell.rs:312
#8  0x0000555556123499 in hpet::device::HPETState::write (self=0x555558000000, addr=16) at rust/hw/timer/hpet/src/d.rs:8
#9  0x0000555555f12345 in memory_region_write_accessor (mr=0x555558000300, addr=16) at ../system/memory.c:488
"""


def test_a_panic_in_the_layer_between_c_and_rust_is_the_devices():
    explained = told("thread '<unnamed>' panicked at 'assertion failed: bql_locked()', rust/qemu-api/src/cell.rs:312\n"
                     + IN_GDB.format(inner="panicking::panic"))
    found = explained.findings[0]
    assert (found.kind, explained.threads[0].culprit) == ("crash.assertion", "hpet::device::HPETState::write")
    assert found.title.startswith("Rust panic in hpet::device::HPETState::write, rust/qemu-api/src/cell.rs:312: ")
    assert "rule.bql-not-held" in [f.kind for f in explained.findings]


def test_a_borrowed_cell_is_told_as_a_device_that_was_entered_again():
    explained = told("thread '<unnamed>' (4711) panicked at rust/qemu-api/src/cell.rs:312:9:\nalready borrowed\n"
                     + IN_GDB.format(inner="cell::panic_already_borrowed"))
    assert "the device was entered again" in explained.findings[0].explanation


def test_a_cell_of_rusts_own_library_tells_of_no_device():
    explained = told("thread '<unnamed>' (4711) panicked at src/lib.rs:12:9:\nalready mutably borrowed: BorrowError\n"
                     + IN_GDB.format(inner="cell::panic_already_mutably_borrowed"))
    assert "BqlRefCell" not in explained.findings[0].explanation


def test_without_the_line_the_panics_own_function_tells_of_a_borrowed_cell():
    cell = IN_GDB.replace("core::{inner}", "qemu_api::cell::panic_already_borrowed")
    found = told(cell).findings[0]
    assert found.title.endswith(": already borrowed") and "the device was entered again" in found.explanation


def test_without_the_line_the_panics_own_function_tells():
    found = told(IN_GDB.format(inner="panicking::panic_bounds_check")).findings[0]
    assert found.title.endswith(": index out of bounds")


def test_the_line_of_a_rust_panic_alone_is_a_finding():
    found = told("qemu-system-arm: starting\nthread 'main' panicked at rust/hw/char/pl011/src/device.rs:187:17:\n"
                 "index out of bounds: the len is 16 but the index is 16\n").findings[0]
    assert found.title == ('Rust panic at rust/hw/char/pl011/src/device.rs:187: '
                           '"index out of bounds: the len is 16 but the index is 16"')


# --------------------------------------------------------------------------------------------------------------
# addr2line

FAULT = ("[1234567.891011] CPU 1/KVM[9911]: segfault at 0 ip 000055e3c6a1f2d4 sp 00007f2b7affc520 error 6 in "
         "qemu-system-x86_64[55e3c6300000+b00000]\n")
PAIRS = """
$ addr2line -fi -e /usr/lib/debug/usr/bin/qemu-system-x86_64.debug 0x71f2d4
virtio_gpu_virgl_process_cmd
/build/qemu-8.2.2/hw/display/virtio-gpu-virgl.c:412
virtio_gpu_process_cmdq
/build/qemu-8.2.2/hw/display/virtio-gpu.c:1045 (discriminator 3)
"""
PRETTY = """
$ addr2line -Cfipe /usr/bin/qemu-system-x86_64 0x71f2d4
virtio_gpu_virgl_process_cmd at /build/qemu-8.2.2/hw/display/virtio-gpu-virgl.c:412
 (inlined by) virtio_gpu_process_cmdq at /build/qemu-8.2.2/hw/display/virtio-gpu.c:1045
"""


def test_addr2lines_output_is_the_stack_of_the_thread_that_the_kernel_names():
    for spelled in (PAIRS, PRETTY):
        explained = told(FAULT + spelled)
        (thread,) = explained.threads
        assert [(f.function, f.line) for f in thread.thread.frames] == [
            ("virtio_gpu_virgl_process_cmd", 412), ("virtio_gpu_process_cmdq", 1045)]
        assert (thread.thread.lwp, thread.role, thread.role_detail["vcpu"]) == (9911, "vcpu-kvm", 1)
        assert explained.findings[0].kind == "crash.null-dereference"


# --------------------------------------------------------------------------------------------------------------
# Lines of the host


def test_the_kernels_line_alone_tells_the_fault_and_how_to_find_its_function():
    explained = told(FAULT.replace("segfault at 0", "segfault at 28"))
    found = explained.findings[0]
    assert explained.is_qemu and explained.program == "qemu-system-x86_64"
    assert (found.kind, found.confidence) == ("crash.null-dereference", "certain")
    assert found.title == ("Segmentation fault at 0x28: a member 0x28 into an object at NULL, in qemu-system-x86_64")
    assert '("CPU 1/KVM", vCPU 1) wrote to an address where nothing is mapped' in found.explanation
    assert "of 0x71f2d4 plus the VirtAddr of that segment" in found.next_steps[1]


def test_a_newer_kernels_line_gives_the_offset_in_the_file():
    line = FAULT.replace("[55e3c6300000+b00000]", "[a5f2d4,55e3c6300000+b00000]")
    assert "of 0xa5f2d4 plus the segment's VirtAddr minus its Offset" in told(line).findings[0].next_steps[1]


def test_a_general_protection_fault_is_no_null_pointer():
    found = told("kernel: traps: qemu-system-x86[2871] general protection fault ip:5599da27f2d4 sp:7f7a5bf7f8e0 "
                 "error:0 in qemu-system-x86_64[5599d9e00000+a00000]\n").findings[0]
    assert (found.kind, found.title) == ("crash.invalid-access", "General protection fault, in qemu-system-x86_64")


@pytest.mark.parametrize(
    "trap, signal, kind, title",
    [
        ("invalid opcode", "SIGILL", "crash.illegal-instruction", "Illegal instruction"),
        ("divide error", "SIGFPE", "crash.arithmetic", "Arithmetic exception"),
        ("int3", "SIGTRAP", "crash.signal", "Trap"),
        ("coprocessor segment overrun", "SIGFPE", "crash.arithmetic", "Arithmetic exception"),
    ],
)
def test_a_trap_in_the_kernels_log_is_what_its_words_say(trap, signal, kind, title):
    line = f"kernel: traps: qemu-system-x86[1234] trap {trap} ip:5599da27f2d4 sp:7f7a5bf7f8e0 error:0 in " \
           "qemu-system-x86_64[5599d9e00000+a00000]\n"
    found = told(line).findings[0]
    assert (found.kind, found.title) == (kind, f"{title}, in qemu-system-x86_64")
    assert f'got {signal} ("trap {trap}")' in found.explanation
    assert "freed" not in found.explanation
    assert signal_of(line).name == signal


@pytest.mark.parametrize(
    "line",
    [
        "kernel: Out of memory: Killed process 4321 (java) total-vm:9kB, anon-rss:9kB\n",
        "kernel: oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/user.slice,task=firefox,pid=4321,uid=1000\n",
        "[12.5] myprog[812]: segfault at 0 ip 000055e3c6a1f2d4 sp 00007f2b7affc520 error 6 in myprog[55e3c6a00+10]\n",
        "[12.5] worker[812]: segfault at 0 ip 000055e3c6a1f2d4 sp 00007f2b7affc520 error 6 in httpd[55e3c6a00+10]\n",
    ],
)
def test_the_end_of_another_process_beside_a_qemu_is_not_qemus(line):
    explained = told("$ qemu-system-x86_64 -m 4096 -accel kvm\n" + line)
    assert not [f for f in explained.findings if f.kind.startswith("crash.")]


@pytest.mark.parametrize(
    ("line", "crashed"),
    [
        ("In the guest: myprog[812]: segfault at 0 ip 00401136 sp 00007ffd error 4 in myprog[401000+1000]", False),
        ("kernel: traps: httpd[99] trap invalid opcode ip:7f00 sp:7ff0 error:0 in httpd[400000+1000]", False),
        ("kernel: httpd[99]: segfault at 0 ip 00007f00 sp 00007ff0 error 4 in libc.so.6[400000+1000]", False),
        ("kernel: qemu-kvm[99]: segfault at 0 ip 00007f00 sp 00007ff0 error 4 in libc.so.6[400000+1000]", True),
        ("kernel: migration[7103]: segfault at 0 ip 00007f00 sp 00007ff0 error 4 in libc.so.6[400000+1000]", True),
    ],
    ids=["guest", "trap", "library", "qemu", "thread"],
)
def test_a_fault_of_another_process_above_stacks_is_not_theirs(line, crashed):
    explained = told(line + """
Thread 2 (Thread 0x7f31 (LWP 7103) "migration"):
#0  0x00007f3e0c8a1e2d in recvmsg () from /lib64/libc.so.6
#1  0x000055f0c6d36d75 in qio_channel_socket_readv (ioc=0x55f0c8) at ../io/channel-socket.c:533
#2  0x000055f0c6d36e10 in source_return_path_thread (opaque=0x55f0c8) at ../migration/migration.c:2300
Thread 1 (Thread 0x7f30 (LWP 7101) "qemu-system-x86"):
#0  0x00007f3e0c8b1e2d in ppoll () from /lib64/libc.so.6
#1  0x000055f0c6d38aa5 in os_host_main_loop_wait (timeout=998736271) at ../util/main-loop.c:305
#2  0x000055f0c67f8f07 in qemu_main_loop () at ../system/runstate.c:835
""")
    assert (explained.snapshot.signal is not None) == crashed


def test_a_lone_stack_does_not_die_of_another_programs_fault():
    explained = told("""[123.4] Xorg[4242]: segfault at 28 ip 00007f12 sp 00007f20 error 4 in Xorg[55d0a3600000+a12000]

#0  0x00007f472d59a366 in __ppoll (fds=0x55a8165f0a40, nfds=4, timeout=<optimized out>, sigmask=0x0) at ppoll.c:42
#1  0x000055a8145d3c45 in fdmon_poll_wait (ctx=0x55a8165e1f10, timeout=-1) at util/fdmon-poll.c:79
#2  0x000055a8145d2a95 in aio_poll (ctx=0x55a8165e1f10, blocking=true) at util/aio-posix.c:670
#3  0x000055a8143f10c6 in iothread_run (opaque=0x55a8165e1c00) at iothread.c:63
""")
    thread = explained.snapshot.threads[0]
    assert thread.lwp is None and thread.name is None and not thread.crashed
    assert not [f for f in explained.findings if f.kind.startswith("crash.")]


def test_a_thread_of_qemu_in_a_library_is_qemu():
    for name in ("CPU 0/KVM", "IO iothread0", "worker", "qemu-system-x86"):
        line = (f"kernel: {name}[812]: segfault at 0 ip 00007fe3c6a1f2d4 sp 00007f2b7affc520 error 6 in "
                "libc.so.6[7fe3c6a00000+100000]\n")
        found = told("$ qemu-system-x86_64 -m 4096 -accel kvm\n" + line).findings[0]
        assert (found.kind, found.rule) == ("crash.null-dereference", "kernel-fault")


def test_another_programs_fault_is_not_qemus():
    assert not told("kernel: firefox[2871]: segfault at 0 ip 00005599da27f2d4 sp 00007f7a5bf7f8e0 error 4 in "
                    "firefox[5599d9e00000+a00000]\n").is_qemu


def test_the_oom_killer_is_named():
    found = told("pve1 kernel: oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/qemu.slice/103.scope,task=kvm,pid=2345,"
                 "uid=0\npve1 kernel: Out of memory: Killed process 2345 (kvm) total-vm:19394948kB, "
                 "anon-rss:16810240kB, file-rss:2048kB\n").findings[0]
    assert found.title == "The host's kernel killed QEMU: the host ran out of memory"
    assert "It held 16.0 GiB of anonymous memory" in found.explanation
    found = told("Memory cgroup out of memory: Killed process 77 (qemu-system-x86) anon-rss:1048576kB\n").findings[0]
    assert found.title.endswith("the memory limit of its control group was reached")


def test_who_told_qemu_to_end_is_named_and_it_is_no_crash():
    found = told("qemu-kvm: terminating on signal 15 from pid 1403 (/usr/sbin/libvirtd)\n").findings[0]
    assert (found.kind, found.title) == (
        "state.shutdown", "QEMU ended because it was told to: SIGTERM, sent by process 1403 (/usr/sbin/libvirtd)")


# --------------------------------------------------------------------------------------------------------------
# Neighbours of QEMU

DIED = ("../tests/qtest/libqtest.c:204: kill_qemu() detected QEMU death from signal 11 (Segmentation fault) "
        "(core dumped)\n")
TEST = """\
#0  __GI_raise (sig=sig@entry=6) at ../sysdeps/posix/raise.c:26
#1  0x00007f7e2b2287f3 in __GI_abort () at ./stdlib/abort.c:79
#2  0x000055c3a6a0f1c2 in kill_qemu (s=0x55c3a7c30ac0) at ../tests/qtest/libqtest.c:220
#3  0x000055c3a6a0e3ab in qtest_quit (s=0x55c3a7c30ac0) at ../tests/qtest/libqtest.c:560
#4  0x000055c3a69f8f21 in test_io_interface (opaque=0x55c3a7c2e230) at ../tests/qtest/ahci-test.c:1766
#5  0x000055c3a69f1234 in main (argc=1, argv=0x7ffd1b2c4a58) at ../tests/qtest/ahci-test.c:2000
"""


def test_a_test_that_notices_its_qemus_death_is_not_the_one_that_crashed():
    explained = told(DIED + TEST)
    found = explained.findings[0]
    assert explained.threads[0].role == "test"
    assert found.title == "A test aborts: the QEMU under test died of signal 11 (Segmentation fault) (core dumped)"
    assert "QEMU is another process" in found.explanation and not found.known_fixes
    alone = told(DIED).findings[0]
    assert alone.title == "The QEMU under test died of signal 11 (Segmentation fault) (core dumped)"


LIBVIRT = """\
Thread 5 (Thread 0x7f1a8affd700 (LWP 1423)):
#0  pthread_cond_wait@@GLIBC_2.3.2 () at ../sysdeps/unix/sysv/linux/x86_64/pthread_cond_wait.S:185
#1  0x00007f1ab1f5d3f6 in virCondWait () from /usr/lib/libvirt.so.0
#2  0x00007f1a7c0e4b3a in qemuMonitorSend (mon=0x7f1a70019b20) at ../src/qemu/qemu_monitor.c:1003
#3  0x00007f1ab17096db in start_thread (arg=0x7f1a8affd700) at pthread_create.c:463
"""


def test_libvirts_stacks_point_to_the_qemu_that_does_not_answer():
    explained = told(LIBVIRT)
    assert not explained.is_qemu
    note = explained.notices[-1].text
    assert "thread 5 waits in qemuMonitorSend for the answer to a QMP command" in note and "gdb -p PID" in note


# --------------------------------------------------------------------------------------------------------------
# Other debuggers' commands

ANALYZED = """\
ExceptionAddress: 00007ff6c0b51234 (qemu_system_x86_64!gd_draw_event+0x0000000000000044)
   ExceptionCode: c0000005 (Access violation)
Attempt to read from address 0000000000000030
PROCESS_NAME:  qemu-system-x86_64.exe
STACK_TEXT:
00000034`d2bff5a0 00007ff6`c0b4f0aa     : 00000000`00000000 00000000`00000001 00000000`00000002 00000000`00000003 : \
qemu_system_x86_64!gd_draw_event+0x44
00000034`d2bff680 00007ff6`c0a00000     : 00000000`00000000 00000000`00000001 00000000`00000002 00000000`00000003 : \
qemu_system_x86_64!main_loop_wait+0x1f2
00000034`d2bff700 00007ff6`c0700000     : 00000000`00000000 00000000`00000001 00000000`00000002 00000000`00000003 : \
qemu_system_x86_64!qemu_main_loop+0x27
"""


def test_windbgs_analysis_is_read_and_its_own_commands_are_advised():
    explained = told(ANALYZED)
    assert explained.program == "qemu-system-x86_64"
    assert [f.function for f in explained.threads[0].thread.frames] == [
        "gd_draw_event", "main_loop_wait", "qemu_main_loop"]
    found = explained.findings[0]
    assert found.kind == "crash.null-dereference"
    assert found.title == "NULL pointer plus 0x30 dereferenced in gd_draw_event"
    assert found.next_steps[0] == ".frame 0, then u @$ip and r: which pointer is NULL"


def test_a_windows_exception_has_its_own_name():
    found = told("(1f84.2d10): Integer divide-by-zero - code c0000094 (first/second chance not available)\n"
                 "00 00000034`d2bff5a0 00007ff6`c0b4f0aa qemu_system_x86_64!vga_draw_graphic+0x44\n"
                 "01 00000034`d2bff680 00007ff6`c0a00000 qemu_system_x86_64!main_loop_wait+0x1f2\n").findings[0]
    assert (found.kind, found.title) == ("crash.arithmetic", "Division by zero in vga_draw_graphic")


# --------------------------------------------------------------------------------------------------------------
# linux-user's lock

USER = """\
Thread 3 (Thread 0x7f8a4cff9640 (LWP 301) "qemu-aarch64"):
#0  __GI___lll_lock_wait (futex=futex@entry=0x55d0c0a5a1e0 <mmap_mutex>, private=0) at ./nptl/lowlevellock.c:49
#1  0x00007f8a4f297002 in ___pthread_mutex_lock (mutex=0x55d0c0a5a1e0 <mmap_mutex>) at ./nptl/pthread_mutex_lock.c:93
#2  0x000055d0c0512345 in mmap_lock () at ../linux-user/mmap.c:36
#3  0x000055d0c03f1234 in cpu_exec_loop (cpu=0x55d0c1c5d2e0, sc=0x7f8a4cff8d00) at ../accel/tcg/cpu-exec.c:1000
#4  0x000055d0c0301000 in cpu_loop (env=0x55d0c1c5f600) at ../linux-user/aarch64/cpu_loop.c:93
#5  0x000055d0c0520000 in clone_func (arg=0x7ffd4fc0d1c0) at ../linux-user/syscall.c:6600
#6  0x00007f8a4f293b43 in start_thread (arg=<optimized out>) at ./nptl/pthread_create.c:442

Thread 1 (Thread 0x7f8a4f1aa740 (LWP 299) "qemu-aarch64"):
#0  __GI_munmap () at ../sysdeps/unix/syscall-template.S:120
#1  0x000055d0c0513000 in mmap_reserve_or_unmap (start=274877906944, len=4096) at ../linux-user/mmap.c:980
#2  0x000055d0c0513200 in target_munmap (start=274877906944, len=4096) at ../linux-user/mmap.c:1030
#3  0x000055d0c0530000 in do_syscall1 (cpu_env=0x55d0c1c10000, num=215) at ../linux-user/syscall.c:10400
#4  0x000055d0c0301100 in cpu_loop (env=0x55d0c1c10000) at ../linux-user/aarch64/cpu_loop.c:100
#5  0x000055d0c02ff000 in main (argc=2, argv=0x7ffd4fc0dd88, envp=0x7ffd4fc0dda0) at ../linux-user/main.c:1013
"""


def test_who_holds_mmap_lock_is_named():
    explained = told(USER)
    assert explained.threads[0].waits_for.object == "mmap_lock"
    assert explained.threads[0].waits_for.owner_thread == 1
    assert explained.threads[1].holds == ["mmap_lock"]
    found = explained.findings[0]
    assert (found.kind, found.confidence) == ("hang.blocked-syscall", "possible")
    assert found.title == "Thread 1 (user-mode guest thread) is blocked in munmap()"
