"""Crashes as people paste them, with what they asked the debugger. The stacks are stand-ins written by hand."""

from __future__ import annotations

from qemu_gdb.capture import text
from qemu_gdb.explain import explain


def told(source):
    snapshots = text.parse(source)
    assert len(snapshots) == 1
    return explain(snapshots[0])


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
