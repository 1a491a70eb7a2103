"""Stacks of a stripped QEMU, of other libcs, and of threads that wait on purpose. Stand-ins, written by hand."""

from __future__ import annotations

from texts import told

from qemu_gdb.capture import text
from qemu_gdb.explain import explain_all
from qemu_gdb.render.safe import Form
from qemu_gdb.render.text import render

STRIPPED = """\
app-emulation/qemu-8.1.2, stripped. The VM froze.

Thread 5 (Thread 0x7f1c2ffff6c0 (LWP 9012)):
#0  0x00007f1d3a1274bb in ioctl () from /lib64/libc.so.6
#1  0x0000559a3e0f3dd5 in ?? ()
#2  0x0000559a3e0f42a1 in ?? ()
#3  0x0000559a3e0f5a4e in ?? ()
#4  0x0000559a3e2a1b88 in ?? ()
#5  0x00007f1d3a0ab3aa in ?? () from /lib64/libc.so.6
Thread 4 (Thread 0x7f1c35dff6c0 (LWP 9011)):
#0  0x00007f1d3a0a7f2e in ?? () from /lib64/libc.so.6
#1  0x00007f1d3a0ae3e1 in pthread_mutex_lock () from /lib64/libc.so.6
#2  0x0000559a3e2a2233 in ?? ()
#3  0x0000559a3e0b06bb in ?? ()
#4  0x0000559a3e0f5a4e in ?? ()
#5  0x0000559a3e2a1b88 in ?? ()
#6  0x00007f1d3a0ab3aa in ?? () from /lib64/libc.so.6
Thread 2 (Thread 0x7f1d377fe6c0 (LWP 9003)):
#0  0x00007f1d3a12a66d in syscall () from /lib64/libc.so.6
#1  0x0000559a3e2a2f0a in ?? ()
#2  0x0000559a3e2ac552 in ?? ()
#3  0x0000559a3e2a1b88 in ?? ()
#4  0x00007f1d3a0ab3aa in ?? () from /lib64/libc.so.6
Thread 1 (Thread 0x7f1d38ad2e40 (LWP 9000)):
#0  0x00007f1d3a1207a0 in write () from /lib64/libc.so.6
#1  0x0000559a3e222e93 in ?? ()
#2  0x0000559a3e2b9a0e in ?? ()
#3  0x00007f1d3ae4ec3f in g_main_context_dispatch () from /usr/lib64/libglib-2.0.so.0
#4  0x0000559a3e2bb0d9 in ?? ()
#5  0x00007f1d3a045eca in ?? () from /lib64/libc.so.6
"""


def test_a_stripped_qemu_without_thread_names_is_known_by_its_threads_shapes():
    explained = told(STRIPPED)
    assert explained.is_qemu
    assert [(t.thread.number, t.role, t.state) for t in explained.threads] == [
        (5, "vcpu-kvm", "running-guest"), (4, "vcpu-kvm", "waiting-mutex"), (2, "rcu", "idle"),
        (1, "main-loop", "blocked-syscall")]
    found = explained.findings[0]
    assert "It may be the BQL: thread 1 (main loop) is inside one of its handlers" in found.explanation
    assert found.next_steps[0].startswith("qemu-locks")


def test_nameless_code_of_which_nobody_says_that_it_is_qemus_stays_unknown():
    assert not told(STRIPPED.replace("qemu-8.1.2", "something")).is_qemu


def test_the_program_that_gdb_attached_to_is_named():
    line = "Attaching to program: /usr/bin/qemu-system-x86_64, process 9000\n"
    assert told(line + STRIPPED.partition("\n\n")[2]).program == "qemu-system-x86_64"


OPENBSD = """\
Thread 2 (thread 512233 of process 8123 "CPU 0/TCG"):
#0  futex () at /tmp/-:2
#1  0x00000c1a2b3c4d5e in _rthread_mutex_timedlock (mutexp=0xc1b00000 <bql>, trywait=0, abs=0x0, timed=0) at r.c:177
#2  0x00000c19a1b2c3d4 in qemu_mutex_lock_impl (mutex=0xc1b00000 <bql>) at ../util/qemu-thread-posix.c:95
#3  0x00000c19a18a7b10 in bql_lock_impl (file=0xc19a0 "../accel/tcg/cputlb.c", line=1340) at ../system/cpus.c:536
#4  0x00000c19a1d01111 in do_st_mmio_leN (cpu=0xc1c00000, addr=4276092928, size=4) at ../accel/tcg/cputlb.c:2500
#5  0x00000c1d00012345 in code_gen_buffer ()
#6  0x00000c19a1cf3333 in cpu_exec (cpu=0xc1c00000) at ../accel/tcg/cpu-exec.c:1040
#7  0x00000c19a1d13333 in mttcg_cpu_thread_fn (arg=0xc1c00000) at ../accel/tcg/tcg-accel-ops-mttcg.c:94
"""
ILLUMOS = """\
------------  lwp# 1 / thread# 1  ---------------
 fffffd7fff1a2b3c lwp_park (0, 0, 0)
 fffffd7fff19f123 mutex_lock_impl (1a2b3c0, 0) + 293
 fffffd7fff19f4a1 mutex_lock (1a2b3c0) + 11
 0000000000f1a234 qemu_mutex_lock_impl () + 34
 0000000000b01234 bql_lock_impl () + 54
 0000000000f3c111 main_loop_wait () + 151
 0000000000b12bcd qemu_main_loop () + 2d
 0000000000d50000 main () + 20
"""


def test_who_waits_for_the_bql_is_seen_under_any_libc():
    for source, role, rest in ((OPENBSD, "vcpu-mttcg", " ← guest store to MMIO"), (ILLUMOS, "main-loop", "")):
        (thread,) = told(source).threads
        assert (thread.role, thread.state, thread.summary) == (role, "waiting-bql", "waits for the BQL" + rest)


def test_a_failed_lock_is_an_abort_and_no_wait():
    source = OPENBSD.replace("futex () at /tmp/-:2", "__GI_raise (sig=6) at raise.c:51").replace(
        "_rthread_mutex_timedlock (mutexp", "abort (mutexp")
    assert told(source).threads[0].state == "aborting"


BUSY = """\
QEMU uses 100% CPU:
Thread 1 (Thread 0x7f3abc5f4a80 (LWP 81120) "qemu-system-x86"):
#0  0x000055d8a5b18a2b in aio_dispatch_handlers (ctx=0x55d8a8797520) at ../util/aio-posix.c:400
#1  0x000055d8a5b18a6e in aio_dispatch (ctx=0x55d8a8797520) at ../util/aio-posix.c:424
#2  0x000055d8a5b2bdff in aio_ctx_dispatch (source=<optimized out>) at ../util/async.c:358
#3  0x00007f3ac1391f69 in g_main_context_dispatch () from /usr/lib/libglib-2.0.so.0
#4  0x000055d8a5b2d3f8 in main_loop_wait (nonblocking=nonblocking@entry=0) at ../util/main-loop.c:592
#5  0x000055d8a5785b89 in qemu_main_loop () at ../system/runstate.c:782
#6  0x000055d8a591b0f8 in main () at ../system/main.c:37
"""


def test_a_main_loop_between_two_events_is_at_work_and_the_advice_is_for_a_hang():
    explained = told(BUSY)
    assert explained.threads[0].state == "executing"
    assert explained.findings[0].next_steps == [
        "a second sample of thread apply all bt, some seconds later: which frames are the same?"]


GEF = """\
Program received signal SIGSEGV, Segmentation fault.
#0  0x0000555555a1b2c3 in virtio_gpu_ctrl_response (g=0x555556f00000, cmd=0x7fffe0001000, resp_len={len}) at v.c:168
#1  0x0000555555a1b4d5 in virtio_gpu_process_cmdq (g=0x555556f00000) at ../hw/display/virtio-gpu.c:1100
"""


def test_a_length_in_hexadecimal_is_no_pointer():
    found = told(GEF.format(len="0x18")).findings[0]
    assert found.title == "Segmentation fault in virtio_gpu_ctrl_response, v.c:168"


SYSTEMD = """\
host systemd-coredump[3311]: Process 3300 (qemu-system-x86) of user 64055 dumped core.

    Stack trace of thread 3308:
    #0  0x000055fdb2c9ab55 n/a (/usr/bin/qemu-system-x86_64 + 0x5d1b55)
    #1  0x000055fdb2eb4bfa n/a (/usr/bin/qemu-system-x86_64 + 0x7ebbfa)
    #2  0x00007f1b4b49f802 start_thread (libc.so.6 + 0x9f802)
host kernel: CPU 2/KVM[3308]: segfault at 28 ip 000055fdb2c9ab55 sp 00007f1b2fffe3a0 error 4 in \
qemu-system-x86_64[55fdb29e2000+5d1000]
"""


def test_a_crash_without_names_is_told_by_its_offset_and_its_threads_name():
    explained = told(SYSTEMD)
    found = explained.findings[0]
    assert found.title == "NULL pointer plus 0x28 dereferenced in qemu-system-x86_64+0x5d1b55"
    assert found.next_steps[0].startswith("addr2line -Cfie /usr/bin/qemu-system-x86_64 0x5d1b55")
    assert explained.threads[0].role_detail["vcpu"] == 2
    assert "start_thread" not in explained.threads[0].summary


THROTTLED = """\
Thread 4 (Thread 0x7f1c2ffff6c0 (LWP 12) "CPU 0/KVM"):
#0  0x00007f1d3a12a66d in __futex_abstimed_wait_common () from /lib64/libc.so.6
#1  0x00007f1d3a0ae3e1 in pthread_cond_timedwait () from /lib64/libc.so.6
#2  0x0000559a3e2a2233 in qemu_cond_timedwait_impl (cond=0x559a40, mutex=0x559a80 <bql>, ms=990) at q.c:280
#3  0x0000559a3e2a2234 in qemu_cond_timedwait_bql (cond=0x559a40, ms=990) at ../system/cpus.c:570
#4  0x0000559a3e2a2235 in cpu_throttle_thread (cpu=0x559a3f, opaque=...) at ../migration/cpu-throttle.c:65
#5  0x0000559a3e2a2236 in process_queued_cpu_work (cpu=0x559a3f) at ../cpu-common.c:360
#6  0x0000559a3e2a2237 in kvm_vcpu_thread_fn (arg=0x559a3f) at ../accel/kvm/kvm-accel-ops.c:50
#7  0x00007f1d3a0ab3aa in start_thread () from /lib64/libc.so.6
"""


def test_a_throttled_vcpu_is_no_hang():
    (found,) = told(THROTTLED).findings
    assert (found.kind, found.confidence) == ("state.running", "certain")
    assert found.title == "A migration slows the vCPUs down on purpose (to at most 1 % of their speed): auto-converge"


VIRTIOFSD = """\
Thread 1 (LWP 700):
#0  0x00007f1d3a12a66d in ppoll () from /lib64/libc.so.6
#1  0x0000559a3e2a2233 in virtio_loop (se=0x559a40) at ../tools/virtiofsd/fuse_virtio.c:800
#2  0x0000559a3e2a2234 in main (argc=5, argv=0x7ffd) at ../tools/virtiofsd/passthrough_ll.c:4700
"""


def test_virtiofsd_rests_where_it_waits_for_messages():
    explained = told(VIRTIOFSD)
    assert explained.threads[0].state == "idle"
    assert explained.findings[0].kind == "state.idle"
    assert "The tool's main thread rests normally" in explained.findings[0].explanation


def test_two_captures_of_one_process_are_called_captures():
    later = BUSY.replace("QEMU uses 100% CPU:", "Later:").replace(
        "#0  0x000055d8a5b18a2b in aio_dispatch_handlers (ctx=0x55d8a8797520) at ../util/aio-posix.c:400",
        "#0  0x000055d8a5c2aa10 in virtio_blk_handle_vq (s=0x55d8a8797520) at ../hw/block/virtio-blk.c:700")
    explanations = explain_all(text.parse(BUSY + "\n" + later))
    assert [e.capture for e in explanations] == [1, 2]
    page = render(explanations, Form())
    assert "Capture 2 of 2" in page and "Process" not in page
