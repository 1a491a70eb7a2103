# ruff: noqa: E501, E101, W191  (pasted lines are as long as they are)
"""Each tool's way to print a stack is read: the texts are written for these tests, the formats are the tools'."""

import pytest
from texts import one, parse

from qemu_gdb.capture import text


def names(thread):
    return [frame.function for frame in thread.frames]


MAIN_LOOP = ["__ppoll", "qemu_poll_ns", "os_host_main_loop_wait", "main_loop_wait", "qemu_main_loop", "main"]


def test_gdb_frames_have_level_address_arguments_and_place():
    snapshot = one(
        """
        Thread 4 (Thread 0x7f2a1b7fe6c0 (LWP 40123) "CPU 1/KVM"):
        #0  __futex_abstimed_wait_common64 (private=0, cancel=true) at ./nptl/futex-internal.c:57
        #1  0x000055d0c0ffee10 in qemu_cond_wait_impl (cond=0x55d0c2000010, mutex=0x55d0c1f00020 <bql>, file=0x55d0c1a0 "../system/cpus.c", line=462) at ../util/qemu-thread-posix.c:225
        #2  0x000055d0c0dead20 in qemu_wait_io_event (cpu=cpu@entry=0x55d0c3000030) at ../system/cpus.c:462
        #3  0x00007f2a1d000040 in start_thread () from /lib/x86_64-linux-gnu/libc.so.6
        """
    )
    (thread,) = snapshot.threads
    assert (thread.number, thread.lwp, thread.name) == (4, 40123, "CPU 1/KVM")
    wait = thread.frames[1]
    assert (wait.level, wait.pc, wait.function) == (1, 0x55D0C0FFEE10, "qemu_cond_wait_impl")
    assert wait.args["mutex"] == "0x55d0c1f00020 <bql>"
    assert wait.args["file"] == '0x55d0c1a0 "../system/cpus.c"'
    assert (wait.file, wait.line) == ("../util/qemu-thread-posix.c", 225)
    assert thread.frames[2].args == {"cpu": "0x55d0c3000030"}
    assert thread.frames[3].library == "/lib/x86_64-linux-gnu/libc.so.6"
    assert not thread.truncated_top and not thread.truncated_bottom
    assert snapshot.source.kind == "text" and snapshot.source.dialect == "gdb"


@pytest.mark.parametrize(
    "line, function, args, file",
    [
        ("#0  0x00007f3c in  () at /usr/lib64/libc.so.6", None, {}, None),
        ("#0  0x00007f3c in ?? ()", None, {}, None),
        ("#0  0x00007f3c in ??? () at ../a.S:3", None, {}, "../a.S"),
        ("#0  in bdrv_drain_all () at block.c:1924", "bdrv_drain_all", {}, "block.c"),
        ("#0 aio_poll (ctx=0x1, blocking=true) atutil/aio-posix.c:12", "aio_poll", {"ctx": "0x1", "blocking": "true"}, "util/aio-posix.c"),
        ("#0  aio_poll.lto_priv.0 (ctx=0x1) at a.c:1", "aio_poll.lto_priv.0", {"ctx": "0x1"}, "a.c"),
        ("#0  0x1 in hw_error[cold] (fmt=0x2 \"%s) at x.c:1\") at a.c:9", "hw_error[cold]", {"fmt": '0x2 "%s) at x.c:1"'}, "a.c"),
        ('#0  f (buf=0x1 "\\"}, {\\"(", c=40 \'(\', d={a = 1, b = 2}) at a.c:1', "f", {"buf": '0x1 "\\"}, {\\"("', "c": "40 '('", "d": "{a = 1, b = 2}"}, "a.c"),
        ("#0  qemu_api::qom::<impl core::ops::Deref for T>::deref<i32, (u8, u8)> (self=0x1) at rust/qom.rs:7", "qemu_api::qom::<impl core::ops::Deref for T>::deref<i32, (u8, u8)>", {"self": "0x1"}, "rust/qom.rs"),
        ("#0  0x1 in std::function<void (int)>::operator()(int) const (this=0x2, __args#0=3) at f.h:1", "std::function<void (int)>::operator()(int) const", {"this": "0x2", "__args#0": "3"}, "f.h"),
        ("#0  dpy_refresh() () at ui/console.c:18", "dpy_refresh()", {}, "ui/console.c"),
        ("#0  (anonymous namespace)::run (x=1) at a.cc:1", "(anonymous namespace)::run", {"x": "1"}, "a.cc"),
        ("#0  f (v=<error reading variable: Cannot access memory at address 0x8>, w=2) at a.c:1", "f", {"v": "<error reading variable: Cannot access memory at address 0x8>", "w": "2"}, "a.c"),
        ("#0  f (timeout=<optimized out>, timeout@entry=0x0) at a.c:1", "f", {"timeout": "0x0"}, "a.c"),
        ("#0  f (address@hidden, n=3) at a.c:1", "f", {"n": "3"}, "a.c"),
        ("#0  virtio_notify", "virtio_notify", {}, None),
        ("#0  0x00007f12 in poll () from target:/lib64/libc.so.6", "poll", {}, None),
    ],
)
def test_gdb_spellings(line, function, args, file):
    (thread,) = one(line).threads
    (frame,) = thread.frames
    assert (frame.function, frame.args, frame.file) == (function, args, file)


def test_signal_handler_and_generated_code_are_no_functions():
    (thread,) = one(
        """
        #0  sigbus_handler (n=7) at ../util/mmap-alloc.c:1
        #1  <signal handler called>
        #2  0x00007fff668de29a in code_gen_buffer ()
        #3  0x00007fff668de111 in ?? ()
        #4  0x0000555555f95c5d in cpu_tb_exec (cpu=0x5) at ../accel/tcg/cpu-exec.c:357
        """
    ).threads
    assert [frame.kind for frame in thread.frames] == ["normal", "signal", "jit", "jit", "normal"]


def test_gdb_inlined_frame_is_the_one_below_which_no_address_stands():
    (thread,) = one(
        """
        #0  0x0000563055c58663 in kvm_handle_io (count=1) at ../accel/kvm/kvm-all.c:2670
        #1  kvm_cpu_exec (cpu=0x1) at ../accel/kvm/kvm-all.c:2943
        #2  0x0000563055c59965 in kvm_vcpu_thread_fn (arg=0x1) at ../accel/kvm/kvm-accel-ops.c:51
        #3  0x0000563055ddb9df in qemu_thread_start (args=0x1) at ../util/qemu-thread-posix.c:541
        """
    ).threads
    assert [frame.kind for frame in thread.frames] == ["inline", "normal", "normal", "normal"]


def test_info_threads_names_the_stacks_of_thread_switches():
    snapshot = one(
        """
        (gdb) info threads
          Id   Target Id                                   Frame
        * 1    Thread 0x7f1 (LWP 700) "qemu-system-x86" 0x00007f11 in ppoll () from /lib/libc.so.6
          2    Thread 0x7f2 (LWP 701) "qemu-system-x86" syscall () at ../syscall.S:38
          3    LWP 702 "worker" 0x00007f13 in ioctl () from /lib/libc.so.6
        (gdb) bt
        #0  0x00007f11 in ppoll () from /lib/libc.so.6
        #1  0x00005612 in qemu_poll_ns (fds=0x1) at ../util/qemu-timer.c:336
        #2  0x00005613 in main (argc=1) at ../system/main.c:48
        (gdb) thread 2
        [Switching to thread 2 (Thread 0x7f2 (LWP 701))]
        #0  syscall () at ../syscall.S:38
        38	in ../syscall.S
        (gdb) bt
        #0  syscall () at ../syscall.S:38
        #1  0x00005614 in qemu_futex_wait (f=0x1) at futex.h:29
        #2  0x00005615 in call_rcu_thread (opaque=0x0) at ../util/rcu.c:261
        (gdb)
        """
    )
    assert [(t.number, t.lwp, t.name, len(t.frames)) for t in snapshot.threads] == [
        (1, 700, "qemu-system-x86", 3),
        (2, 701, "qemu-system-x86", 3),
        (3, 702, "worker", 1),
    ]
    assert snapshot.threads[0].current
    assert snapshot.threads[2].truncated_bottom


def test_frame_that_gdb_shows_at_a_signal_stands_for_a_missing_frame_0():
    snapshot = one(
        """
        Thread 5 "CPU 0/KVM" received signal SIGSEGV, Segmentation fault.
        [Switching to Thread 0x7fffe (LWP 4711)]
        0x00005555 in virtqueue_pop (vq=0x0, sz=40) at ../hw/virtio/virtio.c:1712
        1712	    if (unlikely(vq->vdev->broken)) {
        #1  0x00005556 in virtio_blk_get_request (vq=0x0) at ../hw/block/virtio-blk.c:120
        #2  0x00005557 in start_thread () from /lib64/libc.so.6
        """
    )
    (thread,) = snapshot.threads
    assert names(thread)[:2] == ["virtqueue_pop", "virtio_blk_get_request"]
    assert (thread.number, thread.lwp, thread.name, thread.crashed) == (5, 4711, "CPU 0/KVM", True)
    assert snapshot.signal.name == "SIGSEGV"
    assert not thread.truncated_top


def test_the_stack_shown_by_bt_and_again_by_thread_apply_is_one_thread():
    snapshot = one(
        """
        Program terminated with signal 6, Aborted.
        #0  0x00007f01 in raise () from /lib64/libc.so.6
        [Current thread is 1 (Thread 0x7f9 (LWP 900))]
        (gdb) bt
        #0  0x00007f01 in raise () from /lib64/libc.so.6
        #1  0x00007f02 in abort () from /lib64/libc.so.6
        #2  0x00005503 in kvm_irqchip_commit_routes (s=0x1) at ../accel/kvm/kvm-all.c:1872
        (gdb) thread apply all bt

        Thread 2 (Thread 0x7f8 (LWP 901)):
        #0  0x00007f05 in syscall () from /lib64/libc.so.6
        #1  0x00005506 in call_rcu_thread (opaque=0x0) at ../util/rcu.c:261

        Thread 1 (Thread 0x7f9 (LWP 900)):
        #0  0x00007f01 in raise () from /lib64/libc.so.6
        #1  0x00007f02 in abort () from /lib64/libc.so.6
        #2  0x00005503 in kvm_irqchip_commit_routes (s=0x1) at ../accel/kvm/kvm-all.c:1872
        """
    )
    assert [(t.number, t.crashed) for t in snapshot.threads] == [(2, False), (1, True)]
    assert (snapshot.signal.name, snapshot.signal.number) == ("SIGABRT", 6)


def test_bt_full_locals_belong_to_their_frame():
    (thread,) = one(
        """
        #0  0x0000555d in virtio_pci_ioeventfd_assign (d=0x1) at ../hw/virtio/virtio-pci.c:347
                proxy = 0x555557c30a00
                mrfd = {addr = {start = 0,
                    size = 2}, match_data = false}
                vdev = <optimized out>
        #1  0x0000555e in bdrv_root_unref_child.llvm ()
        No symbol table info available.
        #2  0x0000555f in main (argc=1) at ../m.c:3
        No locals.
        """
    ).threads
    assert names(thread) == ["virtio_pci_ioeventfd_assign", "bdrv_root_unref_child.llvm", "main"]
    assert thread.frames[0].locals["proxy"] == "0x555557c30a00"
    assert "size = 2}" in thread.frames[0].locals["mrfd"]
    assert thread.frames[1].locals == {}


def test_gdb_machine_interface():
    (thread,) = one(
        '^done,stack=[frame={level="0",addr="0x00007f01",func="ppoll",from="/lib64/libc.so.6"},'
        'frame={level="1",addr="0x00005502",func="qemu_poll_ns",file="../util/qemu-timer.c",line="336"},'
        'frame={level="2",addr="0x00005503",func="main",file="m.c",fullname="/q/m.c",line="48"}]'
    ).threads
    assert names(thread) == ["ppoll", "qemu_poll_ns", "main"]
    assert thread.frames[1].line == 336


def test_mingw_gdb():
    (thread,) = one(
        """
        Program received signal SIGSEGV, Segmentation fault.
        [Switching to Thread 2472.0x8f0]
        0x7c81071e in SwitchToFiber () from C:\\WINDOWS\\system32\\kernel32.dll
        (gdb) bt
        #0  0x7c81071e in SwitchToFiber () from C:\\WINDOWS\\system32\\kernel32.dll
        #1  0x0044774c in qemu_coroutine_switch (from_=0x1, to_=0x2,
            action=COROUTINE_YIELD) at coroutine-win32.c:48
        Backtrace stopped: previous frame inner to this frame (corrupt stack?)
        """
    ).threads
    assert names(thread) == ["SwitchToFiber", "qemu_coroutine_switch"]
    assert thread.number is None
    assert thread.stop_reason.startswith("Backtrace stopped: previous frame inner")
    assert thread.truncated_bottom


def test_lldb_threads_have_names_and_the_stop_reason_is_the_signal():
    snapshot = one(
        """
        (lldb) bt all
        * thread #1, queue = 'com.apple.main-thread', stop reason = EXC_BAD_ACCESS (code=1, address=0x18)
          * frame #0: 0x00000001008539ec qemu-system-aarch64`get_opt_value [inlined] qemu_strchrnul(s="nic", c=44) at cutils.h:144:12 [opt]
            frame #1: 0x0000000100853c84 qemu-system-aarch64`opts_do_parse(opts=0x0000600002e30460, cb=(qemu-system-aarch64`opt_cb at vl.c:12), end=true) at qemu-option.c:826:9 [opt]
            frame #2: 0x0000000199a2c274 dyld`start + 2840
          thread #4, name = 'CPU 0/TCG'
            frame #0: 0x00007fff523b8ce6 libsystem_kernel.dylib`__psynch_cvwait + 10
            frame #1: 0x0000000118570230
            frame #2: 0x00007fff5246283b libsystem_pthread.dylib`thread_start + 15
        """
    )
    first, second = snapshot.threads
    assert names(first) == ["qemu_strchrnul", "opts_do_parse", "start"]
    assert first.frames[0].kind == "inline" and first.frames[0].args == {"s": '"nic"', "c": "44"}
    assert first.frames[1].args["end"] == "true" and first.frames[1].line == 826
    assert first.frames[1].library == "qemu-system-aarch64"
    assert first.current and first.crashed
    assert (second.number, second.name) == (4, "CPU 0/TCG")
    assert second.frames[1].function is None
    assert (snapshot.signal.name, snapshot.signal.address) == ("SIGSEGV", 0x18)
    assert snapshot.program == "qemu-system-aarch64"


def test_macos_crash_report():
    snapshot = one(
        """
        Process:               qemu-system-ppc [1234]
        Exception Type:        EXC_BAD_ACCESS (SIGSEGV)
        Exception Codes:       KERN_INVALID_ADDRESS at 0x0000000000000020

        Thread 0:: Dispatch queue: com.apple.main-thread
        0   libsystem_kernel.dylib        	0x00007fff203891aa __psynch_cvwait + 10
        1   qemu-system-ppc               	0x0000000109c09ac3 main_loop_wait + 377 (main-loop.c:57)
        2   libdyld.dylib                 	0x00007fff203d5621 start + 1

        Thread 4 Crashed:: CPU 0/TCG
        0   qemu-system-ppc               	0x0000000109cd26d2 tcg_opt_gen_mov + 178 (optimize.c:212) [inlined]
        1   qemu-system-ppc               	0x0000000109cd26d2 tcg_optimize + 5656
        2   Hypervisor                    	0x1ea69ee50 HvCore::Clock::body() + 316
        3   libsystem_pthread.dylib       	0x00007fff2038a47b thread_start + 15
        """
    )
    main, vcpu = snapshot.threads
    assert (main.number, vcpu.number) == (0, 4)
    assert vcpu.crashed and vcpu.name == "CPU 0/TCG" and not main.crashed
    assert names(vcpu) == ["tcg_opt_gen_mov", "tcg_optimize", "HvCore::Clock::body()", "thread_start"]
    assert vcpu.frames[0].kind == "inline" and (vcpu.frames[0].file, vcpu.frames[0].line) == ("optimize.c", 212)
    assert (snapshot.signal.name, snapshot.signal.address) == ("SIGSEGV", 0x20)
    assert snapshot.source.pid == 1234


def test_macos_ips_json():
    snapshot = one(
        """
        {"app_name":"qemu-system-aarch64","bug_type":"309"}
        {"procName":"qemu-system-aarch64","exception":{"type":"EXC_CRASH","signal":"SIGABRT"},
         "usedImages":[{"name":"libsystem_kernel.dylib","base":4096},{"name":"qemu-system-aarch64","base":65536}],
         "threads":[{"id":77,"name":"CPU 0/HVF","triggered":true,"frames":[
           {"imageIndex":0,"imageOffset":8,"symbol":"__pthread_kill"},
           {"imageIndex":1,"imageOffset":16,"symbol":"assert_hvf_ok_impl","sourceFile":"hvf-all.c","sourceLine":30},
           {"imageIndex":0,"imageOffset":32,"symbol":"thread_start"}]}]}
        """
    )
    (thread,) = snapshot.threads
    assert names(thread) == ["__pthread_kill", "assert_hvf_ok_impl", "thread_start"]
    assert thread.frames[1].pc == 65552 and thread.frames[1].line == 30
    assert thread.crashed and thread.name == "CPU 0/HVF"
    assert snapshot.signal.name == "SIGABRT"
    assert snapshot.program == "qemu-system-aarch64"


def test_windbg():
    snapshot = one(
        """
        0:005> ~*kn
        .  0  Id: 1a2c.2b3c Suspend: 1 Teb: 000000d1`9a5f3000 Unfrozen "main"
         # Child-SP          RetAddr               Call Site
        00 000000d1`9a9ff0c8 00007ffb`1a2b3c4d     ntdll!NtWaitForMultipleObjects+0x14
        01 000000d1`9a9ff0d0 00007ff7`00112233     qemu_system_x86_64!os_host_main_loop_wait+0x1f2 [C:\\q\\util\\main-loop.c @ 480]
        02 (Inline Function) --------`--------     qemu_system_x86_64!qemu_main_loop+0x20 [C:\\q\\softmmu\\runstate.c @ 731]
        03 000000d1`9a9ff1d0 00000000`00000000     kernel32!BaseThreadInitThunk+0x14
           1  Id: 1a2c.2b40 Suspend: 1 Teb: 000000d1`9a5f5000 Unfrozen
         # Child-SP          RetAddr               Call Site
        00 000000d1`9b9ff0c8 00007ffb`1a2b3c4d     ntdll!ZwWaitForAlertByThreadId+0x14
        01 000000d1`9b9ff0d0 00007ff7`00112233     qemu_system_x86_64!whpx_vcpu_run+0x9a
        """
    )
    first, second = snapshot.threads
    assert (first.number, first.lwp, first.name, first.current) == (0, 0x2B3C, "main", True)
    assert names(first) == ["NtWaitForMultipleObjects", "os_host_main_loop_wait", "qemu_main_loop", "BaseThreadInitThunk"]
    assert (first.frames[1].file, first.frames[1].line) == ("C:\\q\\util\\main-loop.c", 480)
    assert first.frames[2].kind == "inline"
    assert second.lwp == 0x2B40 and names(second)[1] == "whpx_vcpu_run"
    assert snapshot.source.dialect == "windbg"


def test_winedbg():
    snapshot = one(
        """
        Unhandled exception: page fault on write access to 0x00000004 in 32-bit code (0x7b83ba1e).
        Backtracing for thread 0029 in process 0024 (Z:\\q\\qemu-system-i386.exe):
        Backtrace:
        =>0 0x7b83ba1e SwitchToFiber+0x1e() in kernel32 (0x04dde198)
          1 0x0044e368 qemu_coroutine_switch+0x37(from_=0x14730c, to_=0x16d430) [/q/coroutine-win32.c:48] in qemu-system-i386 (0x04dde1c8)
          2 0x68621611 in winmm (+0x21610) (0x0dd1ea48)
        """
    )
    (thread,) = snapshot.threads
    assert names(thread) == ["SwitchToFiber", "qemu_coroutine_switch", None]
    assert thread.frames[1].args == {"from_": "0x14730c", "to_": "0x16d430"}
    assert thread.frames[1].line == 48 and thread.frames[2].library == "winmm"
    assert (snapshot.signal.name, snapshot.signal.address) == ("EXCEPTION_ACCESS_VIOLATION", 4)
    assert snapshot.program == "qemu-system-i386"


def test_address_sanitizer_use_free_and_allocation():
    snapshot = one(
        """
        =================================================================
        ==777==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010 at pc 0x55aa bp 0x7f sp 0x7f
        READ of size 8 at 0x602000000010 thread T3 (CPU 0/TCG)
            #0 0x55aa00000010 in memory_region_unref ../system/memory.c:1771:9
            #1 0x55aa00000020 in call_rcu_thread ../util/rcu.c:283
            #2 0x7faa00000030 in start_thread (/lib64/libc.so.6+0x8a19c) (BuildId: aabbcc)

        0x602000000010 is located 0 bytes inside of 16-byte region [0x602000000010,0x602000000020)
        freed by thread T0 here:
            #0 0x7fbb00000010 in free (/lib64/libasan.so.6+0xaf)
            #1 0x55aa00000040 in vfio_bars_exit
        ../hw/vfio/pci.c:1800

        previously allocated by thread T0 here:
            #0 0x7fbb00000020 in malloc (/lib64/libasan.so.6+0xb0)
            #1 0x7fbb00000030  (/lib64/libglib-2.0.so.0+0x5e738)

        Thread T3 (CPU 0/TCG) created by T0 here:
            #0 0x7fbb00000040 in pthread_create (/lib64/libasan.so.6+0x5a)
            #1 0x55aa00000050 in qemu_thread_create ../util/qemu-thread-posix.c:603

        SUMMARY: AddressSanitizer: heap-use-after-free ../system/memory.c:1771:9 in memory_region_unref
        ==777==ABORTING
        """
    )
    use, free, allocation, creation = snapshot.threads
    assert names(use) == ["memory_region_unref", "call_rcu_thread", "start_thread"]
    assert (use.frames[0].file, use.frames[0].line) == ("../system/memory.c", 1771)
    assert use.frames[2].library == "/lib64/libc.so.6"
    assert use.name == "CPU 0/TCG" and not use.history
    assert [t.history for t in (free, allocation, creation)] == [True, True, True]
    assert (free.frames[1].file, free.frames[1].line) == ("../hw/vfio/pci.c", 1800)
    assert allocation.frames[1].function is None
    assert any(m.kind == "sanitizer" and "heap-use-after-free" in m.text for m in snapshot.messages)
    assert snapshot.source.dialect == "sanitizer"


def test_address_sanitizer_signal_carries_the_address():
    snapshot = one(
        """
        ==9==ERROR: AddressSanitizer: SEGV on unknown address 0x000000000048 (pc 0x55 bp 0x7f sp 0x7f T0)
            #0 0x55aa00000010 in e1000e_write ../hw/net/e1000e_core.c:12
            #1 0x55aa00000020 in main ../system/main.c:48
        """
    )
    assert (snapshot.signal.name, snapshot.signal.address) == ("SIGSEGV", 0x48)
    assert names(snapshot.threads[0]) == ["e1000e_write", "main"]


def test_thread_sanitizer():
    snapshot = one(
        """
        WARNING: ThreadSanitizer: data race (pid=351)
          Atomic write of size 4 at 0x7b1000000168 by thread T17 (mutexes: write M1):
            #0 aio_bh_enqueue /q/util/async.c:81:17 (qemu-img+0xa5e933)
            #1 worker_thread /q/util/thread-pool.c:118:9 (qemu-img+0xa66153)
          Previous read of size 4 at 0x7b1000000168 by main thread:
            #0 aio_compute_timeout /q/util/async.c:282:15 (qemu-img+0xa5ebc8)
            #1 <null> <null> (libglib-2.0.so.0+0x7daed) (BuildId: e845)
            #2 main /q/qemu-img.c:50:1 (qemu-img+0x1)
          Thread T17 'worker' (tid=3514461, running) created by main thread at:
            #0 pthread_create <null> (qemu-img+0x2)
        """
    )
    write, read, created = snapshot.threads
    assert names(write) == ["aio_bh_enqueue", "worker_thread"]
    assert names(read) == ["aio_compute_timeout", None, "main"]
    assert write.frames[0].line == 81 and read.frames[1].library == "libglib-2.0.so.0"
    assert not write.history and not read.history and created.history


def test_undefined_behaviour_sanitizer():
    snapshot = one(
        """
        ../hw/display/cirrus_vga_rop2.h:216:23: runtime error: shift exponent -2 is negative
            #0 0x5589a028c89a in cirrus_colorexpand ../hw/display/cirrus_vga_rop2.h:216:23
            #1 0x5589a031e239 in memory_region_write_accessor ../system/memory.c:497:5
        """
    )
    (message,) = snapshot.messages
    assert (message.kind, message.file, message.line) == ("sanitizer", "../hw/display/cirrus_vga_rop2.h", 216)
    assert names(snapshot.threads[0]) == ["cirrus_colorexpand", "memory_region_write_accessor"]


def test_valgrind():
    snapshot = one(
        """
        ==15252== Thread 3 CPU 0/TCG:
        ==15252== Invalid read of size 8
        ==15252==    at 0xA47DCD: error_free (error.c:266)
        ==15252==    by 0x7B3F689: g_main_context_dispatch (in /usr/lib64/libglib-2.0.so.0)
        ==15252==    by 0x28A8D1: main (vl.c:4656)
        ==15252==  Address 0x143137e0 is 0 bytes inside a block of size 48 free'd
        ==15252==    at 0x4A342BB: free (vg_replace_malloc.c:530)
        ==15252==    by 0x4E0945: vfio_realize (pci.c:3025)
        ==15252==
        ==15252== Process terminating with default action of signal 11 (SIGSEGV): dumping core
        ==15252==  Access not within mapped region at address 0x8
        ==15252==    at 0x1: ???
        ==15252==    by 0x56E1E2: qio_task_free (task.c:58)
        """
    )
    read, freed, died = snapshot.threads
    assert names(read) == ["error_free", "g_main_context_dispatch", "main"]
    assert read.frames[1].library == "/usr/lib64/libglib-2.0.so.0" and read.frames[0].line == 266
    assert freed.history and names(died) == [None, "qio_task_free"]
    assert (snapshot.signal.name, snapshot.signal.address) == ("SIGSEGV", 8)


def test_coredumpctl_with_journal_prefixes():
    snapshot = one(
        """
        Jun 29 07:15:10 host kernel: qemu-system-x86[1202]: segfault at 14 ip 0000565473 sp 00007fc6 error 4 in qemu-system-x86_64[5654+1]
        Jun 29 07:15:39 host systemd-coredump[9]: Process 1200 (qemu-system-x86) of user 954 dumped core.
                                                   Stack trace of thread 1202:
                                                   #0 0x000056547310bee4 n/a (qemu-system-x86_64 + 0x397ee4)
                                                   #1 0x000056547330e059 memory_region_dispatch_write (qemu-system-x86_64 + 0x59a059)
                                                   #2 0x00007fc6d93b6ded n/a (libc.so.6 + 0x92ded)
                                                   Stack trace of thread 1200:
                                                   #0  0x00007fc6d93b6dee ppoll (libc.so.6)
                                                   #1  0x00007fc6d93b6def n/a (n/a + 0x0)
        """
    )
    vcpu, main = snapshot.threads
    assert (vcpu.lwp, main.lwp) == (1202, 1200)
    assert names(vcpu) == [None, "memory_region_dispatch_write", None]
    assert vcpu.frames[0].library == "qemu-system-x86_64" and main.frames[1].library is None
    assert vcpu.crashed and not main.crashed
    assert (snapshot.signal.name, snapshot.signal.address) == ("SIGSEGV", 0x14)
    assert snapshot.source.pid == 1200 and snapshot.source.dialect == "coredumpctl"


def test_eu_stack():
    snapshot = one(
        """
        PID 8100 - process
        TID 8100:
        #0  0x00007f8c5d6bfbf9 __ppoll
        #1  0x000055d5c1a2b3c4 qemu_poll_ns - /usr/bin/qemu-system-x86_64
        #2  0x000055d5c1a2b3c5 main
            /q/system/main.c:48:5
        TID 8101 call_rcu:
        #0  0x00007f8c5d6bfbfa syscall
        #1  0x000055d5c1a2b3c6 call_rcu_thread
        """
    )
    assert [(t.lwp, names(t)) for t in snapshot.threads] == [
        (8100, ["__ppoll", "qemu_poll_ns", "main"]),
        (8101, ["syscall", "call_rcu_thread"]),
    ]
    assert snapshot.threads[0].frames[2].line == 48


def test_abrt_truncated_backtrace_and_core_backtrace():
    snapshot = one(
        """
        Truncated backtrace:
        Thread no. 1 (2 frames)
         #4 do_patch_instruction at ../hw/i386/kvmvapic.c:439
         #10 clone3 at ../sysdeps/unix/sysv/linux/x86_64/clone3.S:81
        """
    )
    (thread,) = snapshot.threads
    assert [f.level for f in thread.frames] == [4, 10]
    assert thread.truncated_top and thread.frames[0].line == 439
    assert [n.kind for n in snapshot.notices] == ["notice.truncated"]
    (thread,) = one(
        '{"signal": 6, "executable": "/usr/bin/qemu-system-x86_64", "stacktrace": [{"crash_thread": true, "frames": '
        '[{"address": 5, "function_name": "abort", "file_name": "/lib64/libc.so.6"}, {"address": 6, "function_name": "main"}]}]}'
    ).threads
    assert names(thread) == ["abort", "main"] and thread.crashed


def test_glibc_prints_its_own_backtrace():
    (thread,) = one(
        """
        ======= Backtrace: =========
        /lib/libc.so.6(+0x71ad6)[0x7f15dfe0bad6]
        /usr/bin/qemu-system-x86_64(qemu_free+0x12)[0x492ff3]
        /usr/bin/qemu-system-x86_64[0x494082]
        /lib/libc.so.6(__libc_start_main+0xfd)[0x7f15dfdb8c4d]
        """
    ).threads
    assert names(thread) == [None, "qemu_free", None, "__libc_start_main"]


def test_perf_script_samples_are_stacks():
    snapshot = one(
        """
        CPU 0/KVM 16028 [003] 1234.567890:     250000 cycles:
            ffffffff810011f1 vmx_vcpu_run+0x11 ([kernel.kallsyms])
                55d0c2b1e5a3 kvm_cpu_exec+0x1a3 (/usr/bin/qemu-system-x86_64)
                7f5f25e4e700 [unknown] (/usr/lib64/libc.so.6)
        """
    )
    (thread,) = snapshot.threads
    assert (thread.lwp, thread.name) == (16028, "CPU 0/KVM")
    assert [f.name for f in thread.kernel] == ["vmx_vcpu_run"] and names(thread) == ["kvm_cpu_exec", None]


def test_pwndbg_and_gef():
    (thread,) = one(
        """
         ► 0 0x7ffff74f0a96 ppoll+166
           1 0x555555ea4786 qemu_poll_ns+221
           2 0x5555557d2ba9 main+45
           3 0x7ffff7402083 __libc_start_main+243
        """
    ).threads
    assert names(thread) == ["ppoll", "qemu_poll_ns", "main", "__libc_start_main"]
    (thread,) = one(
        """
        [#0] 0x7ffff7e8d1e1 → raise()
        [#1] 0x7ffff7e77537 → abort()
        [#2] 0x555555b1c1fd → bdrv_close_all(x=0x0)
        """
    ).threads
    assert names(thread) == ["raise", "abort", "bdrv_close_all"]


def test_ide_lists_and_hand_made_lists():
    (thread,) = one(
        """
        mmu_lookup cputlb.c:1767
        do_st4_mmu cputlb.c:2783
        cpu_tb_exec cpu-exec.c:484
        """
    ).threads
    assert names(thread) == ["mmu_lookup", "do_st4_mmu", "cpu_tb_exec"] and thread.frames[2].line == 484
    (thread,) = one(
        """
        It hangs here:
          bdrv_drain_all_begin () at ../block/io.c:550
          do_vm_stop (state=RUN_STATE_PAUSED) at ../softmmu/cpus.c:262
          qmp_stop (errp=0x0) at ../monitor/qmp-cmds.c:62
        as one can see.
        """
    ).threads
    assert names(thread) == ["bdrv_drain_all_begin", "do_vm_stop", "qmp_stop"]
    (thread,) = one(
        """
        qemu_coroutine_switch
        qemu_coroutine_yield
        qemu_co_mutex_lock
        qcow2_co_pwritev()
        """
    ).threads
    assert names(thread) == ["qemu_coroutine_switch", "qemu_coroutine_yield", "qemu_co_mutex_lock", "qcow2_co_pwritev"]


def test_kernel_trace_and_go_dump_are_told_apart():
    snapshot = one(
        """
        [65866.976982] BUG: unable to handle kernel NULL pointer dereference at 0000000000000010
        [65866.980085] CPU: 3 PID: 3369 Comm: qemu-system-x86 Not tainted 6.1.0
        [65866.980085] Call Trace:
        [65866.980085]  <TASK>
        [65866.980085]  kvm_mmu_load+0x12/0x340 [kvm]
        [65866.980085]  ? vcpu_enter_guest+0x1/0x2
        """
    )
    assert snapshot.source.dialect == "kernel"
    assert names(snapshot.threads[0]) == ["kvm_mmu_load", "vcpu_enter_guest"]
    snapshot = one(
        """
        goroutine 17 [running, locked to thread]:
        runtime.throw(0x885b40, 0x39)
        	/root/go/src/runtime/panic.go:530 +0x90 fp=0x8d sp=0x8e
        main.main()
        	/root/main.go:12 +0x4

        goroutine 1 [chan receive]:
        main.wait(0x8d122a0)
        	/root/main.go:63 +0x78
        """
    )
    assert snapshot.source.dialect == "go"
    assert [names(t) for t in snapshot.threads] == [["runtime.throw", "main.main"], ["main.wait"]]
    assert snapshot.threads[0].frames[0].line == 530


def test_coroutine_stack_of_qemus_script_is_no_thread():
    main, coroutine = one(
        """
        (gdb) bt
        #0  0x01 in ppoll () from /lib64/libc.so.6
        #1  0x02 in main () at vl.c:5
        (gdb) qemu coroutine 0x561035dd0860
        #0  qemu_coroutine_switch (from_=0x1) at ../util/coroutine-ucontext.c:303
        #1  qemu_coroutine_yield () at ../util/qemu-coroutine.c:194
        #2  nbd_receive_replies (s=0x1) at ../block/nbd.c:463
        #3  coroutine_trampoline (i0=1) at ../util/coroutine-ucontext.c:175
        """
    ).threads
    assert coroutine.coroutine and not main.coroutine
    assert not coroutine.truncated_bottom


def test_a_thread_of_a_dump_that_runs_a_coroutine_stays_a_thread():
    (thread,) = one(
        """
        Thread 3 (Thread 0x7f3 (LWP 135952)):
        #0  0x01 in memcpy () from /lib64/libc.so.6
        #1  0x02 in qcow2_co_preadv (bs=0x1) at ../block/qcow2.c:2000
        #2  0x03 in coroutine_trampoline (i0=1) at ../util/coroutine-ucontext.c:175
        #3  0x04 in ?? () from /lib64/libc.so.6
        """
    ).threads
    assert not thread.coroutine


def test_arguments_that_gdb_prints_over_several_lines():
    (thread,) = one("#0  f (x=0x1, s={\n    a = 1,\n    b = 2\n  }, y=3) at a.c:1\n#1  main () at b.c:2\n").threads
    assert names(thread) == ["f", "main"]
    assert thread.frames[0].args["y"] == "3" and thread.frames[0].line == 1


def test_apport_report_gives_each_stack_once():
    snapshot = one(
        """
        Signal: 6
        ProcCmdline: qemu-system-x86_64 -enable-kvm -m 2048
        Package: qemu-system-x86 1:6.2+dfsg-2ubuntu6.6
        Stacktrace:
         #0  __GI_raise (sig=6) at raise.c:50
         #1  0x0000555555aa in usb_packet_complete (dev=0x0, p=0x1) at ../hw/usb/core.c:488
        StacktraceTop:
         usb_packet_complete (dev=0x0, p=0x1) at ../hw/usb/core.c:488
         usb_ep_get () at ../hw/usb/core.c:3
        ThreadStacktrace:
         .
         Thread 2 (Thread 0x7f0 (LWP 56)):
         #0  0x00007f00aabbccdd in ioctl () from /lib64/libc.so.6
         .
         Thread 1 (Thread 0x7f1 (LWP 57)):
         #0  __GI_raise (sig=6) at raise.c:50
         #1  0x0000555555aa in usb_packet_complete (dev=0x0, p=0x1) at ../hw/usb/core.c:488
        """
    )
    assert [(t.number, t.crashed) for t in snapshot.threads] == [(2, False), (1, True)]
    assert (snapshot.version, snapshot.package, snapshot.accelerator) == ("6.2", "6.2+dfsg-2ubuntu6.6", "kvm")


def test_visual_studio_and_bare_windbg_lines():
    (thread,) = one(
        """
        > qemu-system-x86_64.exe!qemu_mutex_lock_impl(QemuMutex * mutex, const char * file, int line) Line 29	C
          qemu-system-x86_64.exe!aio_poll(AioContext * ctx, bool blocking) Line 600	C
          KERNEL32!BaseThreadInitThunk+0x14
        """
    ).threads
    assert names(thread) == ["qemu_mutex_lock_impl", "aio_poll", "BaseThreadInitThunk"]
    assert thread.frames[0].line == 29


def test_a_json_report_in_the_middle_of_a_mail_says_where_and_why():
    snapshot = one(
        """
        Hello, my Mac says this:
        ```
        {"app_name":"qemu-system-aarch64","bug_type":"309"}
        {"procName":"qemu-system-aarch64","pid":4711,
         "exception":{"type":"EXC_BAD_ACCESS","signal":"SIGSEGV","subtype":"KERN_INVALID_ADDRESS at 0x0000000000000018"},
         "asi":{"libsystem_c.dylib":["Assertion failed: (cpu->hvf), function hvf_vcpu_exec, file hvf.c, line 18."]},
         "usedImages":[{"name":"qemu-system-aarch64","base":65536}],
         "threads":[{"id":77,"frames":[{"imageIndex":0,"imageOffset":8,"symbol":"call_rcu_thread"},{"symbol":"_pthread_start"}]},
                    {"id":78,"triggered":true,"frames":[{"imageIndex":0,"imageOffset":9,"symbol":"virtqueue_pop"},{"symbol":"_pthread_start"}]}]}
        ```
        Thanks!
        """
    )
    assert [(t.number, t.crashed, t.truncated_bottom) for t in snapshot.threads] == [(0, False, False), (1, True, False)]
    assert (snapshot.signal.name, snapshot.signal.address, snapshot.source.pid) == ("SIGSEGV", 0x18, 4711)
    assert snapshot.messages[0].expression == "cpu->hvf"
    assert "Thanks!" in snapshot.unparsed


def test_eu_stack_puts_the_source_line_below_the_frame():
    (thread,) = one(
        """
        PID 1812 - process
        TID 1812:
        #0  0x00007f7d1c54a366     __ppoll - /usr/lib64/libc.so.6
        #1  0x000055f40b7a1c95 - 1 qemu_poll_ns - /usr/bin/qemu-system-x86_64
            ../util/qemu-timer.c:351
        #2  0x000055f40b79fc12 - 1 main_loop_wait - /usr/bin/qemu-system-x86_64
            ../util/main-loop.c:310:9
        #3  0x000055f40b3f0a07 - 1 main
        """
    ).threads
    assert [(f.function, f.file, f.line) for f in thread.frames[1:3]] == [
        ("qemu_poll_ns", "../util/qemu-timer.c", 351),
        ("main_loop_wait", "../util/main-loop.c", 310),
    ]


def test_illumos_pstack():
    main, vcpu = one(
        """
        11290:	qemu-system-x86_64 -m 1024 -enable-kvm
        -----------------  lwp# 1 / thread# 1  --------------------
         fffffd7fff0e3a7a pollsys  (fffffd7fffdfe880, 5, fffffd7fffdfe830, 0)
         00000000005c8c12 main_loop_wait () + 200
         000000000047b512 main () + 1200
        ------------  lwp# 4 / thread# 4 [CPU 0/KVM]  ---------------
         fffffd7fff0e4daa ioctl    (7, 2000ae80, 0)
         00000000005e8122 kvm_cpu_exec () + 92
         fffffd7fff0dc680 _lwp_start ()
        """
    ).threads
    assert (main.lwp, names(main)) == (1, ["pollsys", "main_loop_wait", "main"])
    assert (vcpu.lwp, vcpu.name, names(vcpu)) == (4, "CPU 0/KVM", ["ioctl", "kvm_cpu_exec", "_lwp_start"])
    assert not vcpu.truncated_bottom


def test_machine_interface_tells_the_stop_the_threads_and_the_arguments():
    snapshot = one(
        r"""
        *stopped,reason="signal-received",signal-name="SIGSEGV",frame={addr="0x5f",func="f",args=[]},thread-id="2",stopped-threads="all"
        12^done,threads=[{id="2",target-id="Thread 0x7f2a (LWP 40124)",name="CPU 0/KVM",frame={level="0",addr="0x5f",func="f",args=[]},state="stopped"},{id="1",target-id="Thread 0x7f2b (LWP 40100)",name="qemu",frame={level="0",addr="0x51",func="ppoll",args=[]}}],current-thread-id="2"
        13^done,stack=[frame={level="0",addr="0x5f",func="f",args=[{name="s",value="0x1 \"a}b\""},{name="n",value="{x = 1}"}],file="a.c",line="3"},frame={level="1",addr="0x60",func="start_thread"}]
        """
    )
    two, one_ = snapshot.threads
    assert (two.number, two.lwp, two.name, two.crashed) == (2, 40124, "CPU 0/KVM", True)
    assert names(two) == ["f", "start_thread"]
    assert two.frames[0].args == {"s": '0x1 "a}b"', "n": "{x = 1}"}
    assert (one_.number, one_.lwp, names(one_)) == (1, 40100, ["ppoll"])


def test_console_stream_of_the_machine_interface():
    (thread,) = one(
        r"""
        ~"Thread 1 (Thread 0x7f2a1c0ea940 (LWP 40100)):\n"
        ~"#0  0x0000555555aa in virtqueue_pop (vq=0x0, name=0x5 \"a.c\") at ../hw/virtio/virtio.c:1712\n"
        ~"#1  0x000055d0c0dea040 in main () at m.c:3\n"
        ^done
        """
    ).threads
    assert (thread.number, names(thread)) == (1, ["virtqueue_pop", "main"])
    assert thread.frames[0].args["name"] == '0x5 "a.c"'


def test_a_pretty_printed_structure_ends_below_its_name():
    snapshot = one(
        """
        #0  0x01 in f (x=1) at a.c:1
                reqs = {
                  tqh_first = 0x5,
                  tqh_circ = {
                    tql_next = 0x0
                  }
                }
                ret = 3
        #1  0x02 in main () at m.c:1
        """
    )
    assert snapshot.threads[0].frames[0].locals == {"reqs": "{ tqh_first = 0x5, tqh_circ = { tql_next = 0x0 } }", "ret": "3"}
    assert snapshot.unparsed == []


def test_of_a_core_without_a_current_thread_the_first_died():
    snapshot = one(
        """
        Program terminated with signal SIGSEGV, Segmentation fault.
        Thread 2 (LWP 12):
        #0  0x01 in ioctl () from /lib64/libc.so.6
        #1  0x02 in start_thread () from /lib64/libc.so.6
        Thread 1 (LWP 11):
        #0  0x03 in virtqueue_pop (vq=0x0) at v.c:1
        #1  0x04 in main () at m.c:1
        """
    )
    assert [t.crashed for t in snapshot.threads] == [False, True]


def test_a_thread_that_runs_has_no_stack_and_its_row_is_kept():
    snapshot = one(
        """
          Id   Target Id                                   Frame
        * 1    Thread 700.700 "qemu-system-x86" 0x00007f11 in ppoll () from /lib/libc.so.6
          2    Thread 700.701 "vnc_worker" (running)
        """
    )
    assert [(t.number, t.lwp) for t in snapshot.threads] == [(1, 700)]
    assert snapshot.unparsed[-1].strip().startswith("2    Thread 700.701")


def test_bpftrace_user_stacks_are_apart_and_named_by_their_key():
    vcpu, main = one(
        """
        Attaching 1 probe...
        @[
            pthread_mutex_lock+113
            qemu_mutex_lock_impl+45
            0x55d0c0dead30
            kvm_vcpu_thread_fn+144
            start_thread+772
        , CPU 0/KVM]: 12
        @[
            __ppoll+79
            qemu_poll_ns+112
            main_loop_wait+204
            main+16
        , qemu-system-x86]: 441
        """
    ).threads
    assert (vcpu.name, names(vcpu)) == ("CPU 0/KVM", ["pthread_mutex_lock", "qemu_mutex_lock_impl", None, "kvm_vcpu_thread_fn", "start_thread"])
    assert (main.name, names(main)) == ("qemu-system-x86", ["__ppoll", "qemu_poll_ns", "main_loop_wait", "main"])


def test_strace_shows_the_stack_of_each_call():
    vcpu, main = one(
        """
        [pid 40124] ioctl(18, KVM_RUN, 0)       = 0
         > /usr/lib64/libc.so.6(__ioctl+0x3b) [0x10a57b]
         > /usr/bin/qemu-system-x86_64(kvm_cpu_exec+0x120) [0x7ead20]
         > /usr/lib64/libc.so.6(start_thread+0x304) [0x8e044]
        [pid 40100] ppoll([{fd=4, events=POLLIN}], 2, NULL, NULL, 8) = 0 (Timeout)
         > /usr/lib64/libc.so.6(ppoll+0x66) [0x109066]
         > /usr/bin/qemu-system-x86_64(main+0x40) [0x7ea040]
        """
    ).threads
    assert (vcpu.lwp, names(vcpu)) == (40124, ["__ioctl", "kvm_cpu_exec", "start_thread"])
    assert (main.lwp, names(main)) == (40100, ["ppoll", "main"])


def test_the_crash_utility_shows_a_kernel():
    snapshot = one(
        """
        crash> bt 40124
        PID: 40124    TASK: ffff9d4a4b2d8000  CPU: 3    COMMAND: "CPU 0/KVM"
         #0 [ffffb1a2c3d4fb90] __schedule at ffffffff8a9c2a3d
         #1 [ffffb1a2c3d4fd00] kvm_vcpu_ioctl at ffffffffc0b32345 [kvm]
         #2 [ffffb1a2c3d4ff50] entry_SYSCALL_64_after_hwframe at ffffffff8aa00099
        """
    )
    (thread,) = snapshot.threads
    assert (thread.lwp, names(thread)) == (40124, ["__schedule", "kvm_vcpu_ioctl", "entry_SYSCALL_64_after_hwframe"])
    assert snapshot.source.dialect == "kernel" and thread.frames[1].library == "kvm"


def test_a_second_core_is_another_process():
    first, second = parse(
        """
        Program terminated with signal SIGSEGV, Segmentation fault.
        #0  virtqueue_pop (vq=0x0, sz=40) at ../hw/virtio/virtio.c:1712
        #1  0x000055d0c0dea040 in main () at m.c:3

        qemu-system-x86_64: ../block.c:5021: bdrv_close: Assertion `QLIST_EMPTY(&bs->tracked_requests)' failed.
        Program terminated with signal SIGABRT, Aborted.
        #0  0x00007fb1e2eae834 in raise () from /lib64/libc.so.6
        #1  0x00007fb1e2e448ff in abort () from /lib64/libc.so.6
        #2  0x00005574e6d8c3b5 in bdrv_close (bs=0x1) at ../block.c:5021
        #3  0x000055d0c0dea041 in main () at m.c:3
        """
    )
    assert (first.signal.name, first.messages, names(first.threads[0])) == ("SIGSEGV", [], ["virtqueue_pop", "main"])
    assert (second.signal.name, second.messages[0].function) == ("SIGABRT", "bdrv_close")


def test_valgrind_names_the_thread_and_drd_what_conflicts():
    memcheck, race, other = one(
        """
        ==40100== Thread 3 CPU 0/TCG:
        ==40100== Invalid read of size 8
        ==40100==    at 0x9B2F3C: virtqueue_pop (virtio.c:1712)
        ==40100==
        ==40100== Conflicting load by thread 3 at 0x05ac3f00 size 4
        ==40100==    at 0x9C1040: qemu_event_wait (qemu-thread-posix.c:464)
        ==40100== Other segment start (thread 1)
        ==40100==    at 0x4841D4A: pthread_mutex_unlock (drd_pthread_intercepts.c:890)
        """
    ).threads
    assert (memcheck.name, memcheck.history) == ("CPU 0/TCG", False)
    assert not race.history and other.history


def test_the_mutexes_that_a_thread_held_are_not_its_name():
    (thread,) = one(
        """
        WARNING: ThreadSanitizer: data race (pid=40100)
          Write of size 8 at 0x7b5400001230 by thread T2 (mutexes: write M0, write M1):
            #0 aio_set_fd_handler ../util/aio-posix.c:120:5 (qemu-system-x86_64+0xabcdef)
            #1 iothread_run ../iothread.c:63:13 (qemu-system-x86_64+0xabcdee)
        """
    ).threads
    assert thread.name is None


def test_a_heading_ends_the_command_before_it():
    listing = "(gdb) info threads / thread apply all bt\nThread 6 (Thread 0x7f0b2bfd700 (LWP 741)):\n"
    frames = "".join(f"#{i}  0x00005555000000{i}0 in f{i} () at a.c:{i}\n" for i in range(4))
    (snapshot,) = text.parse(listing + frames)
    assert [len(t.frames) for t in snapshot.threads] == [4]


def test_one_frame_shown_by_a_command_stays_no_stack():
    shown = "Thread 6 (Thread 0x7f0b2bfd700 (LWP 741)):\n#0  f0 () at a.c:1\n#1  f1 () at a.c:2\n(gdb) frame 1\n" \
            "#1  f1 () at a.c:2\n"
    (snapshot,) = text.parse(shown)
    assert [len(t.frames) for t in snapshot.threads] == [2]
