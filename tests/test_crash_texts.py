"""Crashes in pasted texts: what the lines around a stack tell goes into the finding. The stacks are stand-ins."""

from __future__ import annotations

from texts import told

ABORTED = """\
#0  0x00007ffff64a26ac in __pthread_kill_implementation () from /usr/lib/libc.so.6
#1  0x00007ffff643a0ae in abort () from /usr/lib/libc.so.6
#2  0x00007ffff75d0c42 in g_assertion_message_expr () from /usr/lib/libglib-2.0.so.0
#3  0x0000555555b6f2ab in cpu_exec_longjmp_cleanup (cpu=0x5555573dc6b0) at ../accel/tcg/cpu-exec.c:552
#4  0x0000555555b6f2cc in cpu_exec (cpu=0x5555573dc6b0) at ../accel/tcg/cpu-exec.c:900
"""


def test_the_expression_of_a_glib_assertion_is_taken_from_its_line():
    found = told("**\nERROR:../accel/tcg/cpu-exec.c:552:cpu_exec_longjmp_cleanup: assertion failed: "
                 "(cpu == current_cpu)\n" + ABORTED).findings[0]
    assert found.title == 'Assertion "cpu == current_cpu" failed in cpu_exec_longjmp_cleanup'
    assert "at accel/tcg/cpu-exec.c:552" in found.explanation
    assert "not in the input" not in found.explanation


STOPPED = "#0  __memcpy_evex_unaligned_erms () at ../sysdeps/x86_64/multiarch/memmove-vec-unaligned-erms.S:416\n"


def test_the_frame_where_gdb_stopped_is_the_first_of_the_backtrace_below_it():
    explained = told("Program terminated with signal SIGBUS, Bus error.\n" + STOPPED + "(gdb) bt\n" + STOPPED
                     + "#1  0x0000562c5a1d5b0a in iov_from_buf_full (iov=0x562c5dff9d50) at ../util/iov.c:33\n"
                     "#2  0x0000562c59f1a5ce in virtio_net_receive_rcu (nc=0x562c5ce0b690) at ../hw/net/x.c:9\n")
    assert len(explained.threads) == 1
    assert explained.findings[0].title == "Bus error in iov_from_buf_full, util/iov.c:33"


def test_two_threads_that_stand_on_one_line_stay_two():
    one = "Thread {n} (Thread 0x7f0b2bfd700 (LWP {n})):\n" + STOPPED
    assert len(told(one.format(n=1) + "\n" + one.format(n=2)).threads) == 2


def test_the_address_of_an_apport_report_is_the_faults():
    found = told("""\
ExecutablePath: /usr/bin/qemu-system-x86_64
Signal: 11
SegvAnalysis:
 Segfault happened at: 0x7f9be06f2b1a:\tmov    0x10(%rdi),%rax
 PC (0x7f9be06f2b1a) ok
 source "0x10(%rdi)" (0x00000010) not located in a known VMA region (needed readable region)!
 destination "%rax" ok
SegvReason: reading NULL VMA
Stacktrace:
 #0  0x00007f9be06f2b1a in egl_fb_blit (dst=0x55d3c2f6a2e8, src=0x55d3c2f6a2c0) at ../../ui/egl-helpers.c:154
 #1  0x00007f9be06fa1c4 in gd_gl_area_draw (vc=0x55d3c2f6a1d0) at ../../ui/gtk-gl-area.c:73
""").findings[0]
    assert found.kind == "crash.null-dereference"
    assert "NULL pointer plus 0x10 dereferenced in egl_fb_blit" in found.title


def test_a_size_below_zero_is_told_as_such():
    found = told("""\
GLib-ERROR **: ../glib/gmem.c:136: failed to allocate 18446744073709551552 bytes
Thread 1 "qemu-img" received signal SIGTRAP, Trace/breakpoint trap.
#0  0x00007ffff7a1c0c7 in g_logv () from /lib64/libglib-2.0.so.0
#1  0x00007ffff7a1c393 in g_log () from /lib64/libglib-2.0.so.0
#2  0x00007ffff7a1ab4a in g_malloc (n_bytes=18446744073709551552) at ../glib/gmem.c:136
#3  0x0000555555643a05 in vmdk_add_extent (bs=0x555555b2d6f0, l1_size=4294967288) at ../block/vmdk.c:512
#4  0x0000555555643c05 in vmdk_open (bs=0x555555b2d6f0) at ../block/vmdk.c:900
#5  0x0000555555643d05 in main () at ../qemu-img.c:5000
""").findings[0]
    assert found.title == "g_malloc could not get 18446744073709551552 bytes, for vmdk_add_extent"
    assert "as a signed number that is -64" in found.explanation
    assert "ulimit" not in " ".join(found.next_steps)


def test_what_malloc_finds_is_not_laid_to_the_guests_access():
    found = told("""\
malloc(): unaligned tcache chunk detected
Thread 1 "qemu-system-x86" received signal SIGABRT, Aborted.
#0  0x00007ffff64a26ac in __pthread_kill_implementation () from /usr/lib/libc.so.6
#1  0x00007ffff643a0ae in abort () from /usr/lib/libc.so.6
#2  0x00007ffff64ac7ea in malloc_printerr () from /usr/lib/libc.so.6
#3  0x00007ffff64b114c in malloc () from /usr/lib/libc.so.6
#4  0x0000555555b6f2ab in qemu_coroutine_new () at ../util/coroutine-ucontext.c:212
#5  0x0000555555a90260 in ahci_port_write (s=0x555558b3e6a0, port=0, offset=56, val=4) at ../hw/ide/ahci.c:380
#6  0x0000555555d1b14e in memory_region_write_accessor (mr=0x555558b3e6d0, addr=312) at ../softmmu/memory.c:492
#7  0x0000555555d1cff8 in memory_region_dispatch_write (mr=0x555558b3e6d0, addr=312) at ../softmmu/memory.c:1515
#8  0x0000555555dcd2ea in kvm_cpu_exec (cpu=0x5555579c0d30) at ../accel/kvm/kvm-all.c:2936
""").findings[0]
    assert found.kind == "crash.heap-corruption"
    assert "the guest's own access" not in found.explanation


CUT = """\
==2310==ERROR: AddressSanitizer: stack-overflow on address 0x7ffe5b3a8f78 (pc 0x55b0c0f3d1a7 bp 0x1 sp 0x2 T0)
    #0 0x55b0c24d17ae in flatview_do_translate /qemu/softmmu/physmem.c:500:5
    #1 0x55b0c1a8d1ac in pci_dma_read /qemu/include/hw/pci/pci.h:851:12
    #2 0x55b0c1a9b1c4 in e1000e_start_xmit /qemu/hw/net/e1000e_core.c:920:9
    #3 0x55b0c1a8bd0e in e1000e_core_write /qemu/hw/net/e1000e_core.c:3290:9
    #4 0x55b0c24a8b9a in memory_region_write_accessor /qemu/softmmu/memory.c:492:5
    #5 0x55b0c24a7a05 in memory_region_dispatch_write /qemu/softmmu/memory.c:1514:16
    #6 0x55b0c24e2592 in address_space_write /qemu/softmmu/physmem.c:2963:18
    #7 0x55b0c24e3b20 in address_space_unmap /qemu/softmmu/physmem.c:3271:9
    #8 0x55b0c1a9c0d5 in e1000e_process_tx_desc /qemu/hw/net/e1000e_core.c:760:9
    #9 0x55b0c1a9b3d1 in e1000e_start_xmit /qemu/hw/net/e1000e_core.c:931:9
"""


def test_a_device_on_both_sides_of_a_dispatch_is_entered_twice_though_the_report_is_cut():
    titles = [f.title for f in told(CUT).findings if f.kind == "rule.mmio-reentrancy"]
    assert titles == ["A device is entered twice: e1000e_core_write runs inside e1000e_process_tx_desc, by DMA"]


def test_a_device_function_that_calls_itself_without_a_dispatch_is_not():
    plain = "\n".join(line for line in CUT.splitlines() if "dispatch" not in line and "accessor" not in line)
    assert not [f for f in told(plain).findings if f.kind == "rule.mmio-reentrancy"]


def test_the_version_that_a_reporter_writes_is_read():
    stack = "#0  0x0000555555643a05 in bdrv_close (bs=0x0) at ../block.c:512\n#1  0x1 in main () at ../a.c:5\n"
    assert told("QEMU release 7.2.0, Debian 12\n" + stack).snapshot.version == "7.2.0"
    assert told("QEMU: 10.0.2.15 is its address\n" + stack).snapshot.version is None
    assert told("QEMU: v7.1.0 commit 621da778\n" + stack).snapshot.version == "7.1.0"


def test_what_tcg_could_not_translate_is_not_called_cpu_abort():
    found = told("""\
../tcg/tcg.c:5120: tcg fatal error
Thread 4 "CPU 1/TCG" received signal SIGABRT, Aborted.
#0  0x00007ffff764cfb8 in raise () from /usr/lib/libc.so.6
#1  0x00007ffff76364d2 in abort () from /usr/lib/libc.so.6
#2  0x0000555555c4e0cb in tcg_reg_alloc (s=0x7fffe0000b70) at ../tcg/tcg.c:4200
#3  0x0000555555c5221c in tcg_gen_code (s=0x7fffe0000b70, tb=0x7fffb40b4c00) at ../tcg/tcg.c:6160
""").findings[0]
    assert found.title == 'TCG gave up while it translated: "../tcg/tcg.c:5120: tcg fatal error"'
    assert "-d in_asm" in found.next_steps[0]


def test_what_a_lock_asserts_of_any_caller_matches_no_known_problem():
    explained = told("""\
kvm: ../util/qemu-thread-posix.c:94: qemu_mutex_lock_impl: Assertion `mutex->initialized' failed.
#0  0x00007f4dbd45dd06 in raise () from /lib64/libc.so.6
#1  0x00007f4dbd4307f3 in abort () from /lib64/libc.so.6
#2  0x00007f4dbd456ca6 in __assert_fail () from /lib64/libc.so.6
#3  0x000055a2a6b6a5fa in qemu_mutex_lock_impl (mutex=0x55a2a8d1f258) at ../util/qemu-thread-posix.c:94
#4  0x000055a2a66d0a4d in some_thread_of_a_fork (opaque=0x55a2a8d1f230) at ../migration/x.c:690
#5  0x000055a2a6b6b21a in qemu_thread_start (args=0x55a2a8c3a8e0) at ../util/qemu-thread-posix.c:541
""")
    assert explained.findings[0].known_fixes == []


DEEP = """\
Thread 1 "qemu-system-x86" received signal SIGSEGV, Segmentation fault.
(gdb) bt 4
#0  0x0000555555d02f8a in address_space_translate_internal (d=0x7fffdc1b3c60) at ../softmmu/physmem.c:376
#1  0x0000555555a1d210 in pci_dma_write (dev=0x555557c2f9e0) at /qemu/include/hw/pci/pci.h:840
#2  0x0000555555a1e402 in intel_hda_corb_run (d=0x555557c2f9e0) at ../hw/audio/intel-hda.c:342
#3  0x0000555555cfc63d in memory_region_dispatch_write (mr=0x555557c303f0) at ../softmmu/memory.c:1514
(More stack frames follow...)
"""
OUTER = """\
#21343 0x0000555555d8e0c4 in kvm_cpu_exec (cpu=0x5555573dc6b0) at ../accel/kvm/kvm-all.c:2929
#21344 0x0000555555d8fe8a in kvm_vcpu_thread_fn (arg=0x5555573dc6b0) at ../accel/kvm/kvm-accel-ops.c:51
#21345 0x0000555555f8c0d3 in qemu_thread_start (args=0x5555573ec2a0) at ../util/qemu-thread-posix.c:505
"""


def test_the_outer_end_of_a_stack_belongs_to_what_was_shown_before_it():
    explained = told(DEEP + "(gdb) bt -3\n" + OUTER)
    (thread,) = explained.threads
    assert thread.role == "vcpu-kvm" and thread.thread.frames[-1].level == 21345
    found = explained.findings[0]
    assert (found.kind, found.title) == ("crash.stack-overflow", "Recursion of intel_hda_corb_run used the whole stack")


def test_the_outer_end_alone_repeats_nothing():
    assert "ecursion" not in str(told(OUTER).findings)
