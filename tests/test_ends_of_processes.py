"""How a text tells that its process ended: fuzzers, supervisors, limits, Windows' exceptions. All are stand-ins."""

from __future__ import annotations

import pytest
from texts import told

REGISTER_WRITE = """\
    #9 0x55a1f41c9c3a in toy_receive hw/net/toy.c:1092:5
    #10 0x55a1f41d2a91 in toy_write hw/net/toy.c:1581:5
    #11 0x55a1f4be4b63 in memory_region_write_accessor system/memory.c:497:5
    #12 0x55a1f4be21a9 in memory_region_dispatch_write system/memory.c:1521:16
    #13 0x55a1f4c55258 in address_space_write system/physmem.c:2860:18
"""
CAUGHT = """\
    #0 0x55a1f3ab2c91 in __sanitizer_print_stack_trace asan_stack.cpp:87:3
    #1 0x55a1f39f4668 in fuzzer::PrintStackTrace() FuzzerUtil.cpp:210:5
    #2 0x55a1f39d9e43 in fuzzer::Fuzzer::{callback}() FuzzerLoop.cpp:233:3
    #3 0x7fe02b4ea41f  (/lib/x86_64-linux-gnu/libpthread.so.0+0x1441f)
"""
ABORTS = """\
    #4 0x7fe02b2d900a in raise signal/../sysdeps/unix/sysv/linux/raise.c:48:3
    #5 0x7fe02b2b8858 in abort stdlib/abort.c:79:7
    #6 0x7fe02b2b8728 in __assert_fail_base assert/assert.c:92:3
    #7 0x7fe02b2c9fd5 in __assert_fail assert/assert.c:101:3
"""


def test_fuzzer_signal_is_the_assertion_below_it():
    found = told("==4411== ERROR: libFuzzer: deadly signal\n" + CAUGHT.format(callback="CrashCallback") + ABORTS
                 + REGISTER_WRITE + "SUMMARY: libFuzzer: deadly signal\n")
    main = found.findings[0]
    assert main.kind == "crash.assertion"
    assert "toy_receive" in main.title
    assert found.threads[0].state == "aborting"
    assert "fuzzer::" not in found.threads[0].summary


def test_fuzzer_signal_without_an_abort():
    found = told("==4411== ERROR: libFuzzer: deadly signal\n" + CAUGHT.format(callback="CrashCallback")
                 + REGISTER_WRITE)
    assert found.findings[0].title.startswith("Deadly signal in toy_receive")
    assert found.threads[0].state == "crashed"


def test_fuzzer_memory_names_the_size_and_who_asks():
    found = told(
        "==4023== ERROR: libFuzzer: out-of-memory (malloc(3221225472))\n\n"
        "    #0 0x55cfb1c3b7d1 in __sanitizer_print_stack_trace asan_stack.cpp:86\n"
        "    #1 0x55cfb1b60a06 in fuzzer::Fuzzer::HandleMalloc(unsigned long) FuzzerLoop.cpp:132:3\n"
        "    #2 0x55cfb1c41d37 in __sanitizer::RunMallocHooks(void const*, unsigned long) sanitizer_common.cpp:312:5\n"
        "    #3 0x55cfb1c0e7a6 in calloc asan_malloc_linux.cpp:155\n"
        "    #4 0x7fd3c9dbf0a0 in g_malloc0_n\n" + REGISTER_WRITE
    )
    main = found.findings[0]
    assert main.kind == "crash.abort"
    assert main.title == "Allocation of 3221225472 bytes for toy_receive, net/toy.c:1092"


def test_fuzzer_timeout_is_a_loop():
    found = told("==57121== ERROR: libFuzzer: timeout after 26 seconds\n" + CAUGHT.format(callback="AlarmCallback")
                 + REGISTER_WRITE + "SUMMARY: libFuzzer: timeout\n")
    main = found.findings[0]
    assert main.kind == "hang.spinning"
    assert "still runs in toy_receive after 26 seconds" in main.title
    assert found.threads[0].state == "executing"


RESTS = """\
Stack trace of thread 7711:
#0  0x00007f1c2b118e8f __ppoll (libc.so.6 + 0x118e8f)
#1  0x000055e1a1c52e33 qemu_poll_ns (qemu-system-x86_64 + 0x8f2e33)
#2  0x000055e1a1c4fd2f os_host_main_loop_wait (qemu-system-x86_64 + 0x8efd2f)
#3  0x000055e1a1c50011 main_loop_wait (qemu-system-x86_64 + 0x8f0011)
#4  0x000055e1a18b2ad7 qemu_main_loop (qemu-system-x86_64 + 0x552ad7)
#5  0x000055e1a1b3fd16 qemu_default_main (qemu-system-x86_64 + 0x7dfd16)
#6  0x00007f1c2b02a1ca __libc_start_call_main (libc.so.6 + 0x2a1ca)
"""
DUMPED = "Jun 10 09:00:03 h systemd-coredump[7790]: Process 7711 (qemu-system-x86) of user 0 dumped core.\n\n"


def test_watchdog_of_systemd():
    main = told(
        "Jun 10 09:00:01 h systemd[1]: vm.service: Watchdog timeout (limit 30s)!\n"
        "Jun 10 09:00:01 h systemd[1]: vm.service: Killing process 7711 (qemu-system-x86) with signal SIGABRT.\n"
        + DUMPED + RESTS
    ).findings[0]
    assert main.title == "systemd's watchdog ended it by SIGABRT after 30s"
    assert main.next_steps == ["remove WatchdogSec= from the unit that starts QEMU"]


def test_thread_at_rest_gets_no_advice_on_pointers():
    main = told(DUMPED + RESTS).findings[0]
    assert "rested" in main.title
    assert not any("pointer" in step or "x/i" in step for step in main.next_steps)
    assert "pointer" not in main.explanation


MINGW = (
    "qemu-system-x86_64.exe caused {what} at location 00007FF7A14C2F31 in module qemu-system-x86_64.exe.\n\n"
    "AddrPC           Params\n"
    "00007FF7A14C2F31 000002A5F3B00C10 0000000000000000 0000003F7C1FF640  "
    "qemu-system-x86_64.exe!ide_set_sector+0x61  [../hw/ide/core.c @ 665]\n"
    "00007FF7A14C4A22 000002A5F3B00C10 0000000000000000 0000003F7C1FF640  "
    "qemu-system-x86_64.exe!ide_sector_write_cb+0x132  [../hw/ide/core.c @ 1050]\n"
)


@pytest.mark.parametrize(
    ("what", "kind", "title"),
    [
        ("an Access Violation", "crash.invalid-access", "Access violation in"),
        ("an Integer Divide By Zero", "crash.arithmetic", "Division by zero in"),
        ("an Integer Overflow", "crash.arithmetic", "Integer overflow in"),
        ("a Stack Overflow", "crash.stack-overflow", "Stack overflow in"),
        ("an Illegal Instruction", "crash.illegal-instruction", "Illegal instruction in"),
        ("a Privileged Instruction", "crash.illegal-instruction", "Privileged instruction in"),
        ("an In Page Error", "crash.bus-error", "Memory that Windows could not read"),
        ("a Breakpoint", "crash.signal", "Breakpoint instruction in"),
    ],
)
def test_exceptions_that_dr_mingw_names(what, kind, title):
    main = told(MINGW.format(what=what)).findings[0]
    assert (main.kind, main.title.startswith(title)) == (kind, True)


BUS = """\
Thread 7 "CPU 3/KVM" received signal SIGBUS, Bus error.
(gdb) bt
#0  0x000055d9d0b61ab5 in iov_from_buf_full (iov=0x7f1d3c01a340, iov_cnt=1) at ../util/iov.c:36
#1  0x000055d9d08ad54b in virtio_blk_req_complete (req=0x7f1d3c01a2c0) at ../hw/block/virtio-blk.c:60
#2  0x000055d9d08af5c1 in virtio_blk_handle_request (req=0x7f1d3c01a2c0) at ../hw/block/virtio-blk.c:690
"""


def test_bus_error_whose_code_was_printed():
    memory = told(BUS + "(gdb) p $_siginfo.si_code\n$1 = 4\n").findings[0]
    assert "hardware error" in memory.explanation
    assert "truncated" not in memory.explanation
    file = told(BUS + "(gdb) p $_siginfo\n$1 = {si_signo = 7, si_errno = 0, si_code = 2, _sifields = {}}\n").findings[0]
    assert "truncated" in file.explanation
    assert "hardware" not in file.explanation
    assert not any("si_code" in step for step in memory.next_steps + file.next_steps)


def test_bus_error_that_the_kernel_explains():
    line = "[12.5] MCE: Killing CPU 3/KVM:912 due to hardware memory corruption fault at 7f1a9b7ff000\n"
    main = told(BUS + line).findings[0]
    assert main.title.startswith("Hardware memory error")
    assert "truncated" not in main.explanation


PIPE = """\
#0  0x00007f7ac8d1b8dd in sendmsg () from /lib64/libpthread.so.0
#1  0x0000561f6a66a9c0 in qio_channel_socket_writev (ioc=0x561f6c22a350, niov=1) at io/channel-socket.c:545
#2  0x0000561f6a5b6db4 in nbd_write (ioc=0x561f6c22a350) at include/block/nbd.h:323
#3  0x0000561f6a5bd310 in nbd_trip (opaque=0x561f6c2a97a0) at nbd/server.c:2572
"""


def test_sigpipe_in_a_live_gdb_is_a_stop():
    main = told('Thread 1 "qemu-nbd" received signal SIGPIPE, Broken pipe.\n(gdb) bt\n' + PIPE).findings[0]
    assert main.kind == "state.breakpoint"
    assert main.next_steps == ["in gdb: handle SIGPIPE nostop noprint pass, then continue"]


def test_sigpipe_of_a_core_is_a_death():
    main = told("Program terminated with signal SIGPIPE, Broken pipe.\n" + PIPE).findings[0]
    assert main.kind == "crash.signal"


def test_limit_of_a_file_size():
    found = told(
        "Program terminated with signal SIGXFSZ, File size limit exceeded.\n"
        "#0  0x00007f8b1f0e9f77 in __libc_pwrite64 (fd=10) at ../sysdeps/unix/sysv/linux/pwrite64.c:25\n"
        "#1  0x00005588d2c2a4f0 in handle_aiocb_rw_linear (aiocb=0x7f8b1d9fe9d0) at ../block/file-posix.c:1561\n"
        "#2  0x00005588d2d06e02 in worker_thread (opaque=0x5588d4c76d10) at ../util/thread-pool.c:110\n"
        "#3  0x00005588d2cf3b01 in qemu_thread_start (args=0x5588d4c7a2f0) at ../util/qemu-thread-posix.c:505\n"
    )
    main = found.findings[0]
    assert main.title.startswith("File size limit exceeded (RLIMIT_FSIZE)")
    assert "ulimit -f" in main.next_steps[0]
    assert found.threads[0].state == "crashed"


FAULT = """\
Thread 3 "CPU 0/KVM" received signal SIGSEGV, Segmentation fault.
0x00005555558a11f7 in scsi_req_continue ()
(gdb) bt
#0  0x00005555558a11f7 in scsi_req_continue ()
#1  0x00005555558a44c0 in esp_do_dma ()
#2  0x00005555558a6e22 in esp_reg_write ()
(gdb) x/i $pc
=> 0x5555558a11f7 <scsi_req_continue+7>:\t{instruction}
(gdb) info registers
{register}            {value}                 0
rsp            0x7ffff5b3c310      0x7ffff5b3c310
"""


@pytest.mark.parametrize(
    ("instruction", "register", "offset"),
    [
        ("mov    0x208(%rdi),%rax", "rdi", "0x208"),
        ("mov    rax,QWORD PTR [rdi+0x208]", "rdi", "0x208"),
        ("ldr\tx0, [x19, #1848]", "x19", "0x738"),
    ],
)
def test_register_of_the_instruction_is_null(instruction, register, offset):
    main = told(FAULT.format(instruction=instruction, register=register, value="0x0")).findings[0]
    assert main.kind == "crash.null-dereference"
    assert main.title == f"NULL pointer plus {offset} dereferenced in scsi_req_continue"
    assert f"took {register} for the pointer, which is 0" in main.explanation
    assert not any("x/i" in step or "info registers" in step for step in main.next_steps)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("0xdeaddeaddeaddead", "0xdead again and again"),
        ("0x5a5a5a5a5a5a5a5a", "freed memory"),
        ("0x00ffff00deadbee8", "not a canonical address"),
    ],
)
def test_register_of_the_instruction_is_no_pointer(value, why):
    main = told(FAULT.format(instruction="mov 0x158(%r13),%rax", register="r13", value=value)).findings[0]
    assert main.title == f"Bad pointer r13=0x{int(value, 16):x} used in scsi_req_continue"
    assert why in main.explanation


def test_register_of_the_instruction_can_be_a_pointer():
    main = told(FAULT.format(instruction="mov 0x10(%rbx),%rax", register="rbx", value="0x555556f3a1c0")).findings[0]
    assert "rbx = 0x555556f3a1c0, which can be a pointer" in main.explanation


LINE = """\
Thread 1 "qemu-system-x86" received signal SIGSEGV, Segmentation fault.
0x0000558d5d1a7e10 in toy_translate (mr=0x558d60a3b9e0) at ../hw/virtio/toy.c:1102
1102\t        interval = g_tree_lookup(ep->domain->mappings, &key);
(gdb) bt
#0  0x0000558d5d1a7e10 in toy_translate (mr=0x558d60a3b9e0) at ../hw/virtio/toy.c:1102
#1  0x0000558d5d2a3d11 in address_space_translate_iommu (iommu_mr=0x558d60a3b9e0) at ../system/physmem.c:433
"""


@pytest.mark.parametrize(
    "printed",
    [
        "(gdb) p ep->domain\n$1 = (VirtIOIOMMUDomain *) 0x0\n",
        "(gdb) p/x ep->domain\n$1 = 0x0\n",
        "(gdb) p *ep\n$1 = {id = 3, domain = 0x0, next = {le_next = 0x0}}\n",
    ],
)
def test_printed_null_that_the_source_line_looks_through(printed):
    main = told(LINE + printed).findings[0]
    assert main.kind == "crash.null-dereference"
    assert main.title.startswith('NULL pointer "ep->domain" in toy_translate')


def test_printed_null_that_the_source_line_does_not_look_through():
    main = told(LINE + "(gdb) p key->domain\n$1 = (void *) 0x0\n").findings[0]
    assert main.kind == "crash.invalid-access"


def test_second_report_of_a_sanitizer_is_a_finding():
    found = told(
        "../target/arm/tcg/toy.c:5318:21: runtime error: index 16 out of bounds for type 'uint64_t [16]'\n"
        "    #0 0x5581d9f55bc6 in toy_load ../target/arm/tcg/toy.c:5318\n"
        "    #1 0x5581d9f5a1b0 in helper_toy ../target/arm/tcg/toy.c:5441\n"
        "\n==1922==ERROR: LeakSanitizer: detected memory leaks\n\n"
        "Direct leak of 1040 byte(s) in 13 object(s) allocated from:\n"
        "    #0 0x7f8e8b6b4887 in __interceptor_calloc asan_malloc_linux.cpp:154\n"
        "    #1 0x5581d97b6a0e in qdict_new ../qobject/qdict.c:30\n"
        "    #2 0x5581d97a0911 in parse_object ../qobject/json-parser.c:370\n"
    )
    first, second = found.findings
    assert first.title.startswith("Index out of bounds in toy_load")
    assert second.title.startswith("1040 bytes of memory leaked")
    assert "allocated it" not in first.explanation
    assert found.threads[1].thread.history


CRITICAL = "(qemu-system-x86_64:33112): GLib-GObject-CRITICAL **: 09:31:07.515: "
CRITICAL += """g_object_unref: assertion 'G_IS_OBJECT (object)' failed

Thread 1 "qemu-system-x86" received signal SIGTRAP, Trace/breakpoint trap.
#0  0x00007f56b14be3b3 in g_logv () from /lib64/libglib-2.0.so.0
#1  0x00007f56b14be663 in g_log () from /lib64/libglib-2.0.so.0
#2  0x000056225f4e8dbf in dbus_display_finalize (o=0x562262ad7e10) at ../ui/dbus.c:180
#3  0x000056225f6d3a3a in object_deinit (obj=0x562262ad7e10, type=0x5622624c7d00) at ../qom/object.c:713
"""


def test_critical_of_glib():
    found = told(CRITICAL)
    main = found.findings[0]
    assert main.title == ("Fatal GLib message: GLib-GObject-CRITICAL: g_object_unref: assertion "
                          "'G_IS_OBJECT (object)' failed, from dbus_display_finalize")
    assert "G_DEBUG=fatal-criticals" in main.explanation
    assert "called g_object_unref" in main.explanation
    assert "33112" not in found.threads[0].summary


def test_libvirts_stack_is_said_to_be_libvirts():
    found = told(
        'Thread 14 "qemu-event" received signal SIGSEGV, Segmentation fault.\n'
        "#0  virObjectLock (anyobj=0x0) at ../src/util/virobject.c:434\n"
        "#1  0x00007f1c8c0a21f9 in qemuProcessHandleMonitorEOF (mon=0x7f1c7c0126a0) at ../src/qemu/qemu_process.c:309\n"
        "#2  0x00007f1c8c121c10 in qemuMonitorIO (socket=0x7f1c3c0b71a0) at ../src/qemu/qemu_monitor.c:578\n"
    )
    assert not found.is_qemu
    assert any("libvirt" in notice.text for notice in found.notices)


def test_unicorn_is_said_to_be_a_fork():
    library = "from /usr/lib/python3/site-packages/unicorn/lib/libunicorn.so.2"
    found = told(
        "Program received signal SIGSEGV, Segmentation fault.\n"
        f"#0  0x00007ffff5d1c9a2 in tcg_optimize_x86_64 () {library}\n"
        f"#1  0x00007ffff5c93c70 in cpu_exec_x86_64 () {library}\n"
        f"#2  0x00007ffff5c22341 in uc_emu_start () {library}\n"
    )
    assert not found.is_qemu
    assert any("Unicorn" in notice.text for notice in found.notices)


def test_android_emulators_first_thread_is_its_ui():
    found = told(
        "Crash reason:  SIGSEGV /SEGV_MAPERR\nCrash address: 0x18\n\n"
        "Thread 4 (crashed)\n"
        " 0  qemu-system-x86_64!goldfish_pipe_read [goldfish_pipe.c : 812 + 0x8]\n"
        " 1  qemu-system-x86_64!memory_region_read_accessor [memory.c : 430 + 0x5]\n"
        " 2  qemu-system-x86_64!kvm_cpu_exec [kvm-all.c : 2123 + 0x2c]\n"
        " 3  qemu-system-x86_64!qemu_kvm_cpu_thread_fn [cpus.c : 1180 + 0x9]\n\n"
        "Thread 0\n"
        " 0  libc.so.6!__poll + 0x2f\n"
        " 1  libQt6CoreAndroidEmu.so.6!QEventDispatcherUNIX::processEvents\n"
        " 2  qemu-system-x86_64!skin_winsys_enter_main_loop [winsys-qt.cpp : 611 + 0x5]\n"
        " 3  qemu-system-x86_64!main [main.cpp : 2990 + 0x5]\n"
    )
    first = next(t for t in found.threads if t.thread.number == 0)
    assert (first.role, first.state) == ("display", "idle")
    assert any("Android Emulator" in notice.text for notice in found.notices)


def test_only_the_missing_register_is_asked_for():
    text = FAULT.format(instruction="mov 0x110(%rbp),%rdx", register="rax", value="0x1")
    steps = told(text).findings[0].next_steps
    assert any("info registers rbp" in step for step in steps)


@pytest.mark.parametrize(
    "damaged",
    [
        FAULT.format(instruction="mov 010(%rdi),%rax", register="rdi", value="0x0"),
        FAULT.format(instruction="mov (%rdi", register="rdi", value="0x" + "f" * 40),
        FAULT + "(gdb) p $rdi\n$1 = 0xzz\n(gdb) p $_siginfo.si_code\n$2 = --5\n(gdb) p *x\n$3 = {{{ = 0x0,\n",
        "==1== ERROR: libFuzzer: timeout after 99999999999999999999 seconds\n    #0 0x1 in fuzzer::X() a.cpp:1:1\n",
        "==1== ERROR: libFuzzer: out-of-memory (malloc(1))\n    #0 0x1 in fuzzer::X() a.cpp:1:1\n",
    ],
)
def test_damaged_text_raises_nothing(damaged):
    assert told(damaged) is not None


def test_instruction_where_a_debugger_stopped_is_no_fault():
    text = FAULT.format(instruction="mov 0x10(%rbx),%rax", register="rbx", value="0x555556f3a1c0")
    found = told("\n".join(text.split("\n")[2:]))
    assert not any("Invalid address" in f.title or "not mapped" in f.explanation for f in found.findings)


def test_two_operands_in_memory_leave_the_pointer_open():
    text = FAULT.format(instruction="movsb (%rsi),(%rdi)", register="rsi", value="0x0")
    assert told(text).findings[0].kind == "crash.invalid-access"


def test_call_through_memory_is_an_access():
    text = FAULT.format(instruction="call *0x20(%rax)", register="rax", value="0x0")
    assert told(text).findings[0].title.startswith("NULL pointer plus 0x20")


def test_limit_of_cpu_time():
    main = told(
        "Program terminated with signal SIGXCPU, CPU time limit exceeded.\n"
        "#0  0x00005588d2c2a4f0 in qcow2_check_refcounts (bs=0x7f8b1d9fe9d0) at ../block/qcow2-refcount.c:2500\n"
        "#1  0x00005588d2c2ac88 in qcow2_co_check (bs=0x7f8b1d9fe9d0) at ../block/qcow2.c:640\n"
    ).findings[0]
    assert main.title.startswith("CPU time limit exceeded (RLIMIT_CPU) in qcow2_check_refcounts")
    assert "ulimit -t" in main.next_steps[0]


@pytest.mark.parametrize(
    "line",
    [
        'type=1326 sig=31 syscall=\u00b2 arch=c000003e exe="/usr/bin/qemu-system-x86_64"',
        f"qemu[{'1' * 5000}]: segfault at 0 ip 0 sp 0 error 4",
        "oom-kill:task=a" * 4000,
        'assertion "a' * 8000,
        "=" * 40_000,
    ],
    ids=["digit-of-another-script", "number-of-5000-digits", "oom", "assertion", "rule"],
)
def test_a_hostile_line_of_a_log_costs_the_rest_nothing(line):
    found = told(f"{line}\n#0  0x00005588d2c2a4f0 in qemu_mutex_lock_impl () at ../util/qemu-thread-posix.c:1\n")
    assert [t.thread.frames[0].function for t in found.threads] == ["qemu_mutex_lock_impl"]


BOTH_REST = """\
Thread 2 (Thread 0x7f31 (LWP 7103) "CPU 0/KVM"):
#0  0x00007f3e0c8a1e2d in ioctl () from /lib64/libc.so.6
#1  0x000055f0c6d36d75 in kvm_vcpu_ioctl (cpu=0x55f0c8, type=44672) at ../accel/kvm/kvm-all.c:3020
#2  0x000055f0c6d36e10 in kvm_cpu_exec (cpu=0x55f0c8) at ../accel/kvm/kvm-all.c:2850
#3  0x000055f0c6d36e11 in kvm_vcpu_thread_fn (arg=0x55f0c8) at ../accel/kvm/kvm-accel-ops.c:51
Thread 1 (Thread 0x7f30 (LWP 7101) "qemu-system-x86"):
#0  0x00007f3e0c8b1e2d in ppoll () from /lib64/libc.so.6
#1  0x000055f0c6d38aa5 in os_host_main_loop_wait (timeout=998736271) at ../util/main-loop.c:305
#2  0x000055f0c67f8f07 in qemu_main_loop () at ../system/runstate.c:835
"""


@pytest.mark.parametrize("signal", ["SIGSEGV, Segmentation fault", "SIGFPE, Arithmetic exception"])
def test_a_thread_in_a_system_call_made_no_fault(signal):
    (found,) = told(f"Program terminated with signal {signal}.\n{BOTH_REST}").findings
    assert found.confidence == "likely" and "thread 1 (main loop) waits in the kernel (ppoll)" in found.title
    assert "EFAULT" in found.explanation


def test_a_fault_in_the_code_around_a_wait_is_a_fault():
    waits = BOTH_REST.replace("ppoll () from", "pthread_cond_wait@@GLIBC_2.3.2 () from")
    shown = told(f"Program terminated with signal SIGSEGV, Segmentation fault.\n{waits}")
    assert shown.findings[0].title.startswith("Segmentation fault in")
    assert next(t for t in shown.threads if t.thread.number == 1).state == "crashed"
    locks = BOTH_REST.replace("ppoll () from /lib64/libc.so.6", "pthread_mutex_lock () from /lib64/libc.so.6")
    (found, *_) = told(f"Program terminated with signal SIGSEGV, Segmentation fault.\n{locks}").findings
    assert found.title.startswith("Segmentation fault in")


def test_a_shells_word_of_an_abort_above_resting_threads_is_only_possible():
    (found,) = told(f"In the guest: Aborted (core dumped)\n{BOTH_REST}").findings
    assert found.confidence == "possible" and "may also be of another program" in found.explanation


def test_a_sanitizers_line_above_resting_threads_is_not_theirs():
    line = "==55==ERROR: AddressSanitizer: heap-use-after-free on address 0x6020000000f0"
    shown = told(f"{line}\n{BOTH_REST}")
    (found,) = shown.findings
    assert found.title.endswith("and its stack is not shown") and found.confidence == "likely"
    assert not any(t.state == "crashed" for t in shown.threads)


@pytest.mark.parametrize(
    ("unit", "confidence"), [("qemu@vm1.service", "certain"), ("nginx.service", "likely")], ids=["qemu", "other"]
)
def test_systemds_word_on_the_unit_of_a_qemu_is_its_signal(unit, confidence):
    (found,) = told(
        f"systemd[1]: {unit}: Main process exited, code=dumped, status=11/SEGV\n"
        "#0  0x000055f0c6d36d75 in virtio_queue_notify_vq (vq=0x0) at ../hw/virtio/virtio.c:2260\n"
        "#1  0x000055f0c6d36e10 in virtio_pci_notify (vq=0x0) at ../hw/virtio/virtio-pci.c:300\n"
    ).findings
    assert (found.kind, found.confidence) == ("crash.null-dereference", confidence)


def test_an_assertion_of_qemus_above_stacks_that_are_not_of_it_is_told():
    line = "qemu-system-x86_64: ../hw/virtio/toy.c:20: toy_reset: Assertion `queue' failed."
    found, rests = told(f"{line}\n{BOTH_REST}").findings
    assert found.title == 'Assertion "queue" failed in toy_reset, hw/virtio/toy.c:20' and found.confidence == "likely"
    assert "no stack here is of it" in found.explanation and rests.kind == "state.idle"


def test_an_assertion_of_a_guests_program_is_not_qemus():
    (found,) = told(f"In the guest: app.c:12: main: Assertion `queue' failed.\n{BOTH_REST}").findings
    assert found.kind == "state.idle"


def test_the_thread_that_aborts_is_it_where_the_kernels_line_names_one_that_waits():
    aborts = """\
Thread 3 (Thread 0x7f32 (LWP 7104) "worker"):
#0  0x00007f3e0c89eeec in __pthread_kill_implementation () from /lib64/libc.so.6
#1  0x00007f3e0c84ffb2 in raise () from /lib64/libc.so.6
#2  0x00007f3e0c83a472 in abort () from /lib64/libc.so.6
#3  0x000055f0c6b00c11 in toy_reset () at ../hw/virtio/toy.c:20
"""
    line = "kernel: CPU 0/KVM[7103] general protection fault ip:55e1 sp:7f1c error:0"
    assert told(f"{line}\n{aborts}{BOTH_REST}").findings[0].title.startswith("abort() called in toy_reset")


def test_a_panic_of_qemus_above_a_stack_that_is_not_of_it_is_told():
    one = BOTH_REST[: BOTH_REST.index("Thread 1 ")]
    panic = "thread 'CPU 0/KVM' panicked at rust/hw/char/toy/src/device.rs:187:17:\nindex out of bounds"
    found = told(f"{panic}\n{one}").findings[0]
    assert found.title.startswith("Rust panic at rust/hw/char/toy/src/device.rs:187") and found.confidence == "likely"
