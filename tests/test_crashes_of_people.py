"""Crashes as people paste them, with what they asked the debugger. The stacks are stand-ins written by hand."""

from __future__ import annotations

from texts import told


def main_finding(source):
    return told(source).findings[0]


def kinds(explained):
    return [f.kind for f in explained.findings]


# --------------------------------------------------------------------------------------------------------------
# Recursion in a cut text

SEGV = 'Thread 4 "CPU 1/TCG" received signal SIGSEGV, Segmentation fault.\n'
ENTRY = """\
0x0000555555a55e63 in walk_page (env=0x55555680aaf0) at ../target/sparc/mmu_helper.c:728
728\t{{
{instruction}
(gdb) bt 9
#0  0x0000555555a55e63 in walk_page (env=0x55555680aaf0) at ../target/sparc/mmu_helper.c:728
"""


def cycles(times, first=1):
    names = (("sparc_cpu_tlb_fill", "cs", "target/sparc/mmu_helper.c"), ("tlb_fill", "cpu", "accel/tcg/cputlb.c"),
             ("load_helper", "env", "accel/tcg/cputlb.c"), ("helper_check", "env", "target/sparc/ldst_helper.c"))
    lines = []
    for level in range(first, first + 4 * times):
        name, arg, file = names[(level - first) % 4]
        place = f"at ../{file}:{level % 4 + 7}"
        lines.append(f"#{level}  0x0000555555a5{level:04x} in {name} ({arg}=0x55555680a1f0) {place}\n")
    return "".join(lines) + "(More stack frames follow...)\n"


def test_a_push_that_faults_above_repeating_frames_is_a_stack_overflow():
    call = "=> 0x0000555555a55e63 <walk_page+3>:\tcall   0x555555a53f10"
    explained = told(SEGV + ENTRY.format(instruction=call) + cycles(2))
    assert kinds(explained)[:2] == ["crash.stack-overflow", "rule.recursion"]
    found = explained.findings[0]
    assert found.confidence == "likely"
    assert "call   0x555555a53f10" in found.explanation.replace("call 0", "call   0")
    assert any("$sp" in step for step in found.next_steps) and any("bt -30" in step for step in found.next_steps)


def test_an_ordinary_instruction_that_faults_above_repeating_frames_is_none():
    load = "=> 0x0000555555a55e63 <walk_page+3>:\tmov    0x10(%rdi),%rax"
    one = cycles(1).replace("(More", cycles(1, 5).split("\n")[0] + "\n(More")
    assert main_finding(SEGV + ENTRY.format(instruction=load) + one).kind != "crash.stack-overflow"


def test_arguments_that_only_frame_0_can_not_read_are_a_used_up_stack():
    found = main_finding(
        SEGV + "#0  0x0000555555a55e63 in walk_page (env=<error reading variable: Cannot access memory at address "
        "0x7fffe6ffeff8>) at ../target/sparc/mmu_helper.c:728\n" + cycles(2))
    assert found.kind == "crash.stack-overflow"


def test_repeating_names_with_other_objects_are_no_recursion():
    source = SEGV + ENTRY.format(instruction="") + cycles(2)
    lines = source.splitlines(keepends=True)
    lines = [x.replace("0x55555680a1f0", "0x55555680ffff") if x.startswith(("#5", "#6", "#7", "#8")) else x
             for x in lines]
    assert main_finding("".join(lines)).kind != "crash.stack-overflow"


REENTERED = """\
Thread 3 "CPU 0/KVM" received signal SIGSEGV, Segmentation fault.
#0  0x0000555555a01b4c in e1000e_rx_ring (core=0x5555578a5a30) at ../hw/net/e1000e_core.c:570
{inner}#2  0x0000555555a6d39a in memory_region_dispatch_write (mr=0x5555578a54d0) at ../system/memory.c:1476
#3  0x0000555555a06d23 in flatview_write_continue (fv=0x7fff600ad8a0) at ../system/physmem.c:3137
#4  0x0000555555f1cb9a in dma_memory_rw (as=0x5555578a2c50) at ../include/system/dma.h:113
#5  0x0000555555f1cb9b in pci_dma_rw (dev=0x5555578a2a20) at ../include/hw/pci/pci.h:791
#6  0x0000555555f21a77 in e1000e_write_packet_to_guest (core=0x5555578a5a30) at ../hw/net/e1000e_core.c:1583
#7  0x0000555555f1e9f1 in e1000e_tx_pkt_send (core=0x5555578a5a30) at ../hw/net/e1000e_core.c:666
#8  0x0000555555f25d91 in e1000e_core_write (core=0x5555578a5a30) at ../hw/net/e1000e_core.c:3262
#9  0x0000555555a6d39a in memory_region_dispatch_write (mr=0x5555578a54d0) at ../system/memory.c:1476
#10 0x0000555555e417a2 in kvm_cpu_exec (cpu=0x555556d49a10) at ../accel/kvm/kvm-all.c:2912
#11 0x0000555555e42a7e in kvm_vcpu_thread_fn (arg=0x555556d49a10) at ../accel/kvm/kvm-accel-ops.c:50
"""
INNER = "#1  0x0000555555a01b5c in e1000e_core_write (core=0x5555578a5a30) at ../hw/net/e1000e_core.c:3262\n"


def test_a_device_that_its_own_dma_enters_is_told_by_the_devices_functions():
    found = next(f for f in told(REENTERED.format(inner=INNER)).findings if f.kind == "rule.mmio-reentrancy")
    assert "e1000e_core_write runs inside e1000e_write_packet_to_guest" in found.title
    assert "by pci_dma_rw (frame 5)" in found.explanation
    assert found.next_steps and "mr->name" in found.next_steps[0]


def test_two_accesses_to_one_region_are_enough_where_the_inner_handler_is_not_shown():
    cut = "".join(x + "\n" for x in REENTERED.format(inner="").splitlines() if not x.startswith("#0"))
    found = next(f for f in told(cut).findings if f.kind == "rule.mmio-reentrancy")
    assert "e1000e_core_write runs inside e1000e_write_packet_to_guest" in found.title


# --------------------------------------------------------------------------------------------------------------
# Messages and values

ABORT = """\
Program terminated with signal SIGABRT, Aborted.
#0  0xb6a2f4c4 in __pthread_kill_implementation () from /lib/libc.so.6
#1  0xb69ea21e in raise () from /lib/libc.so.6
#2  0xb69dc02c in abort () from /lib/libc.so.6
#3  0xb69e4d02 in __assert_fail () from /lib/libc.so.6
"""
I2C = """\
#4  0x00a1d3ec in i2c_send_async (bus=0x2d1fe20, data=88 'X') at ../hw/i2c/core.c:249
#5  0x00a23d18 in aspeed_i2c_bus_send (bus=0x2b54c70) at ../hw/i2c/aspeed_i2c.c:190
"""


def test_an_assertion_of_another_function_is_not_that_of_the_stack():
    line = "qemu-system-arm: ../hw/block/m25p80.c:583: blk_sync_complete: Assertion `s->blk' failed.\n"
    explained = told(line + ABORT + I2C)
    found = explained.findings[0]
    assert found.title == "An assertion failed in i2c_send_async, hw/i2c/core.c:249"
    assert "assertion of blk_sync_complete (hw/block/m25p80.c:583)" in found.explanation
    assert "s->blk" not in explained.threads[0].summary
    assert not any("*s in" in step for step in found.next_steps)


def test_an_assertion_of_the_same_file_may_be_of_an_inlined_function():
    line = "qemu-system-arm: ../hw/i2c/core.c:249: i2c_check_bus: Assertion `bus->bh' failed.\n"
    assert '"bus->bh"' in main_finding(line + ABORT + I2C).title


USER = """\
#0  0x000055555566f4a4 in target_to_host_cmsg (msgh=0x7fffffffd5b0) at ../linux-user/syscall.c:1771
#1  0x0000555555672c4a in do_sendrecvmsg_locked (fd=3, flags=0, send=1) at ../linux-user/syscall.c:3284
#2  0x0000555555673190 in do_sendrecvmsg (fd=3, target_msg=1082130680, flags=0, send=1) at ../linux-user/syscall.c:3372
#3  0x0000555555683c6e in do_syscall1 (cpu_env=0x555555a2f9f0, num=296, arg1=3) at ../linux-user/syscall.c:9856
#4  0x000055555568a9e1 in do_syscall (cpu_env=0x555555a2f9f0, num=296, arg1=3) at ../linux-user/syscall.c:13705
#5  0x00005555555c5a0f in cpu_loop (env=0x555555a2f9f0) at ../linux-user/arm/cpu_loop.c:461
"""


def test_linux_user_tells_the_signal_and_the_address_itself():
    explained = told("QEMU internal SIGSEGV {code=MAPERR, addr=0x10}\n" + USER)
    found = explained.findings[0]
    assert found.kind == "crash.null-dereference" and "plus 0x10" in found.title
    assert "system call sendmsg" in explained.threads[0].summary


def test_a_pointer_that_gdb_printed_as_null_is_the_bad_one():
    stop = "Program received signal SIGSEGV, Segmentation fault.\n"
    found = main_finding(stop + USER + "(gdb) p msgh->msg_control\n$1 = (void *) 0x0\n")
    assert found.kind == "crash.null-dereference" and found.confidence == "likely"
    assert "msgh->msg_control is NULL, as the debugger printed it" in found.explanation
    other = main_finding(stop + USER + "(gdb) p other->thing\n$1 = (void *) 0x0\n")
    assert other.kind == "crash.invalid-access"


LLDB = """\
(lldb) bt all
* thread #1, name = 'qemu-aarch64-static', stop reason = signal SIGABRT
  * frame #0: 0x0000000001a2f4ea qemu-aarch64-static`__sys_thr_kill at thr_kill.S:4
    frame #1: 0x0000000001a0ed34 qemu-aarch64-static`__raise(s=6) at raise.c:50:10
    frame #2: 0x0000000001a41c49 qemu-aarch64-static`abort at abort.c:67:17
    frame #3: 0x0000000001720d8c qemu-aarch64-static`page_set_flags(start=4096, last=4095) at user-exec.c:507:5
    frame #4: 0x000000000164f2ba qemu-aarch64-static`target_munmap(start=4096, len=0) at mmap.c:779:9
    frame #5: 0x000000000165d0b1 qemu-aarch64-static`do_bsd_munmap(arg1=4096, arg2=0) at bsd-mem.h:102:12
    frame #6: 0x0000000001657a55 qemu-aarch64-static`freebsd_syscall(cpu_env=0x0000000801a5b2b0, num=73) at os-syscall.c:560:15
    frame #7: 0x0000000001656c40 qemu-aarch64-static`do_freebsd_syscall(cpu_env=0x0000000801a5b2b0, num=73) at os-syscall.c:1008:11
    frame #8: 0x000000000164be0d qemu-aarch64-static`target_cpu_loop(env=0x0000000801a5b2b0) at target_arch_cpu.h:81:19
  thread #2, name = 'qemu-aarch64-static', stop reason = signal SIGABRT
    frame #0: 0x0000000001a2e90c qemu-aarch64-static`__sys__umtx_op at _umtx_op.S:4
    frame #1: 0x0000000001743ee1 qemu-aarch64-static`qemu_event_wait(ev=0x0000000001f3a0b8) at qemu-thread-posix.c:464:13
    frame #2: 0x000000000174f25e qemu-aarch64-static`call_rcu_thread(opaque=0x0000000000000000) at rcu.c:278:21
"""  # noqa: E501


def test_of_lldbs_threads_with_one_stop_reason_the_one_that_aborts_took_the_signal():
    explained = told(LLDB)
    assert explained.findings[0].title.startswith("abort() called in page_set_flags")
    assert [t.state for t in explained.threads] == ["aborting", "idle"]
    assert explained.threads[0].culprit == "page_set_flags"
    assert "system call munmap" in explained.threads[0].summary


GENERATED = """\
Thread 6 "CPU 3/TCG" received signal SIGILL, Illegal instruction.
0x00007fffb40d19f4 in code_gen_buffer ()
(gdb) x/i $pc
=> 0x7fffb40d19f4 <code_gen_buffer+858567>:\tvpandd %ymm16,%ymm1,%ymm1
(gdb) bt
#0  0x00007fffb40d19f4 in code_gen_buffer ()
#1  0x0000555555a80b1d in cpu_tb_exec (cpu=0x5555567f8c00) at ../accel/tcg/cpu-exec.c:455
#2  0x0000555555a817d7 in cpu_exec (cpu=0x5555567f8c00) at ../accel/tcg/cpu-exec.c:1061
#3  0x0000555555aa32f5 in mttcg_cpu_thread_fn (arg=0x5555567f8c00) at ../accel/tcg/tcg-accel-ops-mttcg.c:95
"""


def test_an_instruction_that_tcg_emitted_and_the_host_refuses():
    found = main_finding(GENERATED)
    assert found.title == "Illegal instruction in code that TCG generated"
    assert '"vpandd %ymm16,%ymm1,%ymm1"' in found.explanation and "ud2" not in found.explanation
    assert any("/proc/cpuinfo" in step for step in found.next_steps)
    assert any("out_asm" in step for step in found.next_steps)


RECOMPILE = """\
cpu_io_recompile: could not find TB for pc=0x7fff6b2c4d17
Thread 3 "qemu-system-ris" received signal SIGABRT, Aborted.
#0  0x00007ffff68a4f4f in __pthread_kill_internal (signo=6) at ./nptl/pthread_kill.c:78
#1  0x00007ffff6840472 in __GI_abort () at ./stdlib/abort.c:79
#2  0x0000555555c8e2f1 in cpu_abort (cpu=0x555556b31c40, fmt=0x555555f9b0b0 "cpu_io_recompile: could not find TB for pc=%p") at ../cpu-target.c:376
#3  0x0000555555c53f9e in cpu_io_recompile (cpu=0x555556b31c40, retaddr=140735011048727) at ../accel/tcg/translate-all.c:611
#4  0x0000555555c51ed8 in do_st_1 (cpu=0x555556b31c40, mmu_idx=1) at ../accel/tcg/cputlb.c:2670
#5  0x0000555555bb30f9 in helper_vse8_v (vd=0x555556b34a50) at ../target/riscv/vector_helper.c:362
#6  0x00007fffab2c4d18 in code_gen_buffer ()
"""  # noqa: E501


def test_tcgs_own_inconsistency_is_not_the_guests_state():
    found = main_finding(RECOMPILE)
    assert "pc=0x7fff6b2c4d17" in found.title and "%p" not in found.title
    assert "inconsistency of QEMU's own" in found.explanation and "can't emulate" not in found.explanation
    assert "helper_vse8_v (frame 5)" in found.explanation
    assert any("GETPC()" in step for step in found.next_steps)


# --------------------------------------------------------------------------------------------------------------
# Whose code it is, and steps that print what is there

MESA = """\
           PID: 2541 (qemu-system-x86)
        Signal: 11 (SEGV)
    Executable: /usr/bin/qemu-system-x86_64

                Stack trace of thread 2541:
                #0  0x00007a3b0c5c2d6b n/a (radeonsi_dri.so + 0x9c2d6b)
                #1  0x00007a3b19d1a8b0 virgl_renderer_submit_cmd (libvirglrenderer.so.1 + 0x1a8b0)
                #2  0x00007a3b1a8b2f61 virtio_gpu_virgl_process_cmd (hw-display-virtio-gpu-gl.so + 0x3f61)
                #3  0x00005e84a3b6b5a1 virtio_gpu_process_cmdq (qemu-system-x86_64 + 0x36b5a1)
                #4  0x00005e84a40cd3f6 aio_bh_poll (qemu-system-x86_64 + 0x8cd3f6)
                #5  0x00005e84a40ce6b7 main_loop_wait (qemu-system-x86_64 + 0x8ce6b7)
"""


def test_a_crash_in_a_driver_of_mesas_names_it_and_qemus_own_module():
    explained = told(MESA)
    found = explained.findings[0]
    assert found.title == "Segmentation fault in radeonsi_dri.so (Mesa), under virgl_renderer_submit_cmd"
    assert "QEMU's nearest frame is virtio_gpu_virgl_process_cmd" in found.explanation
    assert any("versions of Mesa" in step and "gl=off" in step for step in found.next_steps)


USB = """\
Using `-device qemu-xhci -device usb-host,vendorid=0x0bda` the guest unplugs, QEMU dies
qemu-system-x86_64: ../hw/usb/core.c:563: usb_packet_check_state: Assertion `!"usb packet in unexpected state"' failed.
Program terminated with signal SIGABRT, Aborted.
#0  __pthread_kill_implementation (no_tid=0, signo=6) at ./nptl/pthread_kill.c:44
#1  0x00007ffff64287f3 in __GI_abort () at ./stdlib/abort.c:79
#2  0x00007ffff6439e96 in __GI___assert_fail () at ./assert/assert.c:101
#3  0x00005555558ea4d6 in usb_packet_check_state (p=p@entry=0x7fff8c01bd48, expected=USB_PACKET_ASYNC) at ../hw/usb/core.c:563
#4  0x00005555558ea8cc in usb_packet_complete (dev=dev@entry=0x555557c9d0a0, p=p@entry=0x7fff8c01bd48) at ../hw/usb/core.c:511
"""  # noqa: E501


def test_a_devices_name_is_no_program_and_a_step_prints_the_packet():
    explained = told(USB)
    assert explained.program == "qemu-system-x86_64"
    found = explained.findings[0]
    assert found.title.startswith('Assertion "!"usb packet in unexpected state"" failed')
    assert found.next_steps == ["print *p in frame 3"]


REENTRY = """\
Co-routine re-entered recursively
Program terminated with signal SIGABRT, Aborted.
#0  0x0000727f3824526e in __GI_raise (sig=6) at ../sysdeps/posix/raise.c:26
#1  0x0000727f382288ff in __GI_abort () at ./stdlib/abort.c:79
#2  0x00005a1b9ad3d0d1 in qemu_aio_coroutine_enter (ctx=0x5a1b9c5be7f0, co=<optimized out>) at ../util/qemu-coroutine.c:161
#3  0x00005a1b9ad3b3a2 in aio_co_enter (ctx=<optimized out>, co=<optimized out>) at ../util/async.c:713
#4  0x00005a1b9ac68d5e in job_enter_cond_locked (job=0x5a1b9e2c2a10, fn=0x0) at ../job.c:597
#5  0x00005a1b9ac8bc2a in child_job_drained_end (c=<optimized out>) at ../blockjob.c:157
"""  # noqa: E501


def test_no_step_prints_what_was_optimized_out():
    first, rule = told(REENTRY).findings[:2]
    assert first.next_steps == ["print *job in frame 4"]
    assert rule.next_steps == ["print *job->co in frame 4: caller, scheduled and entry tell who entered it before"]


def test_a_duplicate_id_is_one_whose_device_is_not_gone():
    found = main_finding("""\
Unexpected error in object_property_try_add() at ../qom/object.c:1167:
qemu-kvm: attempt to add duplicate property 'nic1' to object (type 'container')
#0  0x00007f1e0d174db5 in abort () from /lib64/libc.so.6
#1  0x0000560a1d8f7c2d in error_handle_fatal (errp=<optimized out>, err=0x560a20a1b3c0) at ../util/error.c:40
#2  0x0000560a1d8f7e68 in error_setg_internal (errp=0x560a1e2d1b60 <error_abort>) at ../util/error.c:97
#3  0x0000560a1d7d92c3 in object_property_try_add (obj=0x560a1f7b7bd0, name=0x560a20ab11d0 "nic1") at ../qom/object.c:1167
#4  0x0000560a1d5be2b0 in qdev_set_id (dev=0x560a20f3d2e0, id=0x560a20ab11d0 "nic1") at ../softmmu/qdev-monitor.c:593
""")  # noqa: E501
    assert 'the id "nic1" still exists' in found.explanation
    assert any("DEVICE_DELETED" in step for step in found.next_steps)


NULL = """\
Program terminated with signal SIGSEGV, Segmentation fault.
#0  object_get_class (obj=0x0) at ../qom/object.c:1031
#1  0x0000555555a01b4c in scsi_device_purge_requests (sdev=0x0, sense=...) at ../hw/scsi/scsi-bus.c:1675
#2  0x0000555555a01b5c in scsi_qdev_unrealize (qdev=<optimized out>) at ../hw/scsi/scsi-bus.c:251
#3  0x0000555555a01b6c in device_set_realized (obj=<optimized out>, value=<optimized out>) at ../hw/core/qdev.c:602
"""


def test_a_null_pointer_is_followed_to_the_caller_that_has_it_first():
    found = main_finding(NULL)
    assert '"obj" is 0x0 in frame 0, and so is "sdev" in frame 1; scsi_qdev_unrealize (frame 2)' in found.explanation
    assert "came from scsi_device_purge_requests" not in found.explanation
    assert found.next_steps[0].startswith("frame 2, info locals")


def test_a_null_vector_is_of_the_requests_element():
    found = main_finding("""\
Program terminated with signal SIGSEGV, Segmentation fault.
#0  virtio_net_handle_ctrl_iov (vdev=0x56124e0b7c60, in_sg=0x0, in_num=1) at ../hw/net/virtio-net.c:1560
#1  0x000056124b1f5b3a in virtio_net_handle_ctrl (vdev=0x56124e0b7c60, vq=0x7f1be80bd240) at ../hw/net/virtio-net.c:1623
""")
    assert found.next_steps[0].startswith("frame 1, p *elem")


def test_without_debug_information_no_locals_are_asked_for():
    bare = "\n".join(line.split(" at ../")[0] for line in NULL.replace("obj=0x0", "").splitlines())
    steps = main_finding(bare).next_steps
    assert any("install QEMU's debug symbols" in step for step in steps)
    assert not any("info locals" in step for step in steps)


def test_a_worker_of_virtiofsd_is_not_its_main_thread():
    explained = told("""\
           PID: 3417 (virtiofsd)
        Signal: 6 (ABRT)
  Command Line: /usr/lib/virtiofsd --fd=27 -o source=/srv/share
    Executable: /usr/lib/virtiofsd
       Message: Process 3417 (virtiofsd) of user 0 dumped core.

                Stack trace of thread 3460:
                #0  0x00007f6c1a4434b8 abort (libc.so.6 + 0x254b8)
                #1  0x0000561e9bf51446 rust_panic (virtiofsd + 0x2e446)
                #2  0x0000561e9bf510d2 core::result::unwrap_failed (virtiofsd + 0x2e0d2)
                #3  0x0000561e9bfc0b3e virtiofsd::passthrough::PassthroughFs::forget_one (virtiofsd + 0x9db3e)
                #4  0x0000561e9bf9a2cc virtiofsd::VhostUserFsThread<F>::process_queue_serial (virtiofsd + 0x772cc)
""")
    assert explained.threads[0].role != "tool-main"
    assert any("install virtiofsd's debug symbols" in step for step in explained.findings[0].next_steps)


# --------------------------------------------------------------------------------------------------------------
# Order and rules

def test_what_the_failing_function_called_did_not_lead_to_it():
    explained = told("""\
*** Error in `/usr/libexec/qemu-kvm': double free or corruption (!prev): 0x00007f5b1c0019a0 ***
======= Backtrace: =========
/lib64/libc.so.6(+0x81299)[0x7f5b3a1a2299]
/usr/libexec/qemu-kvm(qemu_vfree+0x1e)[0x55a1b2c3d4ee]
/usr/libexec/qemu-kvm(qcow2_close+0x9d)[0x55a1b2b0f01d]
/usr/libexec/qemu-kvm(bdrv_unref+0x1a4)[0x55a1b2ad1a14]
/usr/libexec/qemu-kvm(bdrv_close_all+0x8b)[0x55a1b2ad2b3b]
/usr/libexec/qemu-kvm(main+0x1c3a)[0x55a1b28c1c3a]
""")
    assert explained.threads[0].culprit == "qcow2_close"
    assert "qemu_vfree" not in explained.threads[0].summary


def test_a_crash_in_the_vnc_workers_loop_is_no_rest():
    explained = told("""\
==40871==ERROR: AddressSanitizer: heap-use-after-free on address 0x61d0000a2f18 at pc 0x55b3a5a0cc5d
READ of size 8 at 0x61d0000a2f18 thread T7 (vnc_worker)
    #0 0x55b3a5a0cc5c in vnc_worker_thread_loop ../ui/vnc-jobs.c:305
    #1 0x55b3a5a0d4c1 in vnc_worker_thread ../ui/vnc-jobs.c:350
    #2 0x55b3a6ac0f11 in qemu_thread_start ../util/qemu-thread-posix.c:541

Thread T7 (vnc_worker) created by T0 here:
    #0 0x7f1d5f058685 in __interceptor_pthread_create asan_interceptors.cpp:216
    #1 0x55b3a6ac11b3 in qemu_thread_create ../util/qemu-thread-posix.c:581
    #2 0x55b3a5a0d69a in vnc_start_worker_thread ../ui/vnc-jobs.c:372
    #3 0x55b3a59ffe48 in vnc_display_init ../ui/vnc.c:3481
""")
    assert "no display update" not in explained.findings[0].explanation + explained.threads[0].summary
    assert not any("reads from a VNC client" in t.summary for t in explained.threads)


CHECKED = """\
qemu-system-i386: {line} failed.
Program terminated with signal SIGABRT, Aborted.
#0  0x00007ffff62288cd in __GI_abort () at ./stdlib/abort.c:73
#1  0x00007ffff6228820 in __GI___assert_fail () at ./assert/assert.c:101
#2  0x0000555555a04b3c in {function}
#3  0x00005555559e02c9 in {caller}
"""


def test_the_replay_mutex_is_taken_before_the_bql():
    found = told(CHECKED.format(
        line="../replay/replay-internal.c:231: replay_mutex_lock: Assertion `!bql_locked()'",
        function="replay_mutex_lock () at ../replay/replay-internal.c:231",
        caller="vm_stop_force_state (state=RUN_STATE_SAVE_VM) at ../system/cpus.c:790"))
    rule = next(f for f in found.findings if f.kind == "rule.bql-not-held")
    assert "replay mutex first, then the BQL" in rule.explanation and "not recursive" not in rule.explanation
    assert rule.next_steps and "vm_stop_force_state (frame 3)" in rule.next_steps[0]


def test_who_may_throw_away_all_translated_code():
    found = main_finding(CHECKED.format(
        line="../accel/tcg/tb-maint.c:770: tb_flush__exclusive_or_serial: Assertion `!runstate_is_running() || "
             "(current_cpu && cpu_in_serial_context(current_cpu))'",
        function="tb_flush__exclusive_or_serial () at ../accel/tcg/tb-maint.c:770",
        caller="gdb_breakpoint_remove_all (cs=0x5624b4b9c000) at ../gdbstub/system.c:663"))
    assert "only while no vCPU runs any of it" in found.explanation
    assert any("gdb_breakpoint_remove_all (frame 3)" in step for step in found.next_steps)


def test_generated_code_is_no_stripped_function():
    explained = told("""\
Thread 7 received signal SIGSEGV, Segmentation fault.
#0  0x00007ff61a2b3c4d in hpet_ram_read (opaque=0x0, addr=240, size=4) at ../hw/timer/hpet.c:440
#1  0x00007ff61a3b4d5e in access_with_adjusted_size (addr=240) at ../system/memory.c:573
#2  0x00007ff61a4c5e6f in do_ld_mmio_beN (cpu=0x1f0a1c00000, addr=4275044592) at ../accel/tcg/cputlb.c:1990
#3  0x000001f0b0012345 in ?? ()
#4  0x00007ff61a4d6f70 in cpu_exec (cpu=0x1f0a1c00000) at ../accel/tcg/cpu-exec.c:1040
#5  0x00007ff61a4e7081 in mttcg_cpu_thread_fn (arg=0x1f0a1c00000) at ../accel/tcg/tcg-accel-ops-mttcg.c:94
""")
    assert not any(n.kind == "notice.partial-symbols" for n in explained.notices)
