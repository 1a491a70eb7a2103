"""Texts in which the wrong thread, process, library or instruction would be blamed. The stacks are stand-ins written
by hand, but for one line of a kernel's log."""

from __future__ import annotations

import pytest
from texts import told

from qemu_gdb.mangled import demangled
from qemu_gdb.render.safe import Form
from qemu_gdb.render.text import render


def frames(*lines):
    return "".join(f"#{level}  0x00005555555{level:05x} in {line}\n" for level, line in enumerate(lines))


ABORTS = ("__pthread_kill_implementation ()", "__GI_raise (sig=6)", "__GI_abort ()", "__assert_fail_base ()",
          "__GI___assert_fail ()")  # fmt: skip
MAIN_AT_REST = frames("__ppoll (nfds=78) at ppoll.c:42", "qemu_poll_ns () at ../util/qemu-timer.c:351",
                      "os_host_main_loop_wait () at ../util/main-loop.c:315",
                      "main_loop_wait () at ../util/main-loop.c:606",
                      "qemu_main_loop () at ../softmmu/runstate.c:739", "main () at ../softmmu/main.c:48")  # fmt: skip
VCPU = ("kvm_vcpu_thread_fn () at ../accel/kvm/kvm-accel-ops.c:51", "qemu_thread_start ()", "start_thread ()")


def test_an_assertion_is_of_the_thread_that_gave_up_in_that_function_not_of_the_first_one_in_it():
    text = (
        "qemu-system-x86_64: ../accel/kvm/kvm-all.c:3050: kvm_cpu_exec: Assertion `run->immediate_exit == 0' failed.\n"
        'Thread 5 (Thread 0x7f0f0a7fc6c0 (LWP 905) "CPU 0/KVM"):\n'
        + frames("__GI___ioctl (fd=28, request=44672) at ioctl.c:36", "kvm_vcpu_ioctl (type=44672)",
                 "kvm_cpu_exec () at ../accel/kvm/kvm-all.c:2998", *VCPU)
        + '\nThread 6 (Thread 0x7f0f09ffb6c0 (LWP 906) "CPU 1/KVM"):\n'
        + frames(*ABORTS, "kvm_cpu_exec () at ../accel/kvm/kvm-all.c:3050", *VCPU)
    )  # fmt: skip
    found = told(text).findings[0]
    assert found.title.startswith('Assertion "run->immediate_exit == 0" failed in kvm_cpu_exec')
    assert "not in the input" not in found.explanation and found.threads == [6]


def test_a_fault_of_a_process_that_has_ended_is_not_of_the_stack_of_the_next_one():
    line = ("[811202.1] CPU 3/KVM[20417]: segfault at 18 ip 0000557f1f6a8b5c sp 00007f4be57f94d0 error 4 in "
            "qemu-system-x86_64[557f1f3f5000+6a4000]\n")  # fmt: skip
    found = told(line + "(gdb) bt\n" + MAIN_AT_REST).findings[0]
    assert "at 0x18" in found.title and 'thread 20417 ("CPU 3/KVM", vCPU 3)' in found.explanation
    assert "No stack shown is of that thread" in found.explanation
    assert not any("in the core" in step for step in found.next_steps)


def coroutine(heading):
    return told(
        heading + frames(*ABORTS, "bdrv_co_write_req_prepare () at ../block/io.c:1967", "bdrv_aligned_pwritev ()",
                         "blk_aio_write_entry () at ../block/block-backend.c:1567", "coroutine_trampoline ()")
    )  # fmt: skip


@pytest.mark.parametrize(
    "heading, role",
    [
        ("Thread 1 (Thread 0x7f18b2dfd640 (LWP 12931)):\n", "coroutine"),  # of a core the first is the one that died
        ('Thread 1 "qemu-system-x86" received signal SIGABRT, Aborted.\n', "main-loop"),  # of a running process
    ],
)
def test_the_number_1_tells_the_main_loop_of_a_running_process_alone(heading, role):
    text = heading if "received" not in heading else heading + "[Switching to Thread 0x7f18 (LWP 12931)]\n"
    assert coroutine(text).threads[0].role in (role, "coroutine")
    if role == "coroutine":
        assert coroutine(text).threads[0].role == role


def test_a_check_of_the_block_layer_after_a_migration_is_told():
    text = ("qemu: ../block/io.c:1967: bdrv_co_write_req_prepare: Assertion `!(bs->open_flags & BDRV_O_INACTIVE)' "
            "failed.\n")  # fmt: skip
    found = coroutine(text).findings[0]
    assert "given up for a migration" in found.explanation and "query-migrate" in found.next_steps[0]


def test_openssls_tries_of_instructions_are_no_crash():
    explained = told("Starting program: /home/pi/qemu-system-arm -M raspi2b\n"
    "Program received signal SIGILL, Illegal instruction.\n"
                     + frames("_armv7_tick () from /usr/lib/libcrypto.so.1.1", "OPENSSL_cpuid_setup ()",
                              "call_init () at dl-init.c:72"))  # fmt: skip
    assert [f.kind for f in explained.findings] == ["state.breakpoint"]
    assert "continue" in explained.findings[0].next_steps[0] and explained.threads[0].state != "crashed"


@pytest.mark.parametrize("version, killed", [("3.1.0", True), ("8.2.0", False)])
def test_what_resource_control_does_depends_on_the_version(version, killed):
    found = told(f"qemu-system-x86_64 --version: QEMU emulator version {version}\n"
    "Program terminated with signal SIGSYS, Bad system call.\n"
                 + frames("sched_setaffinity ()", "?? () from /usr/lib/dri/radeonsi_dri.so", "start_thread ()")
                 ).findings[0]  # fmt: skip
    assert found.title.endswith("asked for by radeonsi_dri.so") and found.next_steps
    assert ("EPERM" not in found.explanation) is killed


def test_ceph_s_own_assertion_is_read_and_its_names_taken_apart():
    explained = told(
        "Signal: 6 (ABRT)\nStack trace of thread 31931:\n"
        "#0  0x0000000000000001 abort (libc.so.6 + 0x157f3)\n"
        "#1  0x0000000000000002 _ZN4ceph18__ceph_assert_failEPKcS1_iS1_ (libceph-common.so.2 + 0x276e22)\n"
        "#2  0x0000000000000003 _ZN6librbd9operation13ResizeRequestINS_8ImageCtxEE16handle_shut_downEi "
        "(librbd.so.1 + 0x3)\n"
        "#3  0x0000000000000004 start_thread (libc.so.6 + 0x8c802)\n"
        "Stack trace of thread 31882:\n#0  0x0000000000000005 ppoll (libc.so.6 + 0x10a71f)\n"
        "#1  0x0000000000000006 qemu_poll_ns (qemu-kvm + 0x9160f6)\n"
        "#2  0x0000000000000007 main_loop_wait (qemu-kvm + 0x1)\n"
        "#3  0x0000000000000008 qemu_main_loop (qemu-kvm + 0x5)\n\n"
        "./src/librbd/operation/ResizeRequest.cc: 61: FAILED ceph_assert(m_image_ctx.exclusive_lock == nullptr)\n"
    )
    found = explained.findings[0]
    assert found.title.startswith('Assertion "m_image_ctx.exclusive_lock == nullptr" failed in librbd::operation::')
    assert any("librbd.so.1's" in step for step in found.next_steps)


@pytest.mark.parametrize(
    "name, read",
    [
        ("_ZN7Context8completeEi", "Context::complete"),
        ("_ZNSt6thread11_State_implINS_8_InvokerISt5tupleIJPFvvEEEEEE6_M_runEv", "std::thread::_State_impl::_M_run"),
        ("_ZN1AD1Ev", "A::~A"),
        ("_ZN4core9panicking5panic17h0123456789abcdefE", "core::panicking::panic"),
        ("_ZN6librbd9oper", "_ZN6librbd9oper"),  # cut
        ("_ZN", "_ZN"),
        ("bdrv_drain", "bdrv_drain"),
    ],
)
def test_a_mangled_name_is_taken_apart_or_left_alone(name, read):
    assert demangled(name) == read


def test_systemd_s_line_tells_the_signal_and_a_library_without_names_is_named():
    found = told(
        "Stack trace of thread 55310:\n#0  0x00007a8c1d6d0f0e n/a (libspa-audioconvert.so + 0x4af0e)\n"
        "#1  0x00007a8c2d2f0a31 n/a (libpipewire-0.3.so.0 + 0x8fa31)\n"
        "#2  0x00007a8c3952318c n/a (libc.so.6 + 0x11918c)\n"
        "Stack trace of thread 55288:\n#0  0x00007a8c39515ca6 ppoll (libc.so.6 + 0x10bca6)\n"
        "#1  0x000062d2d5cd1d10 n/a (qemu-system-x86_64 + 0xc37d10)\n"
        "systemd-coredump[1]: Process 55288 (qemu-system-x86) of user 1000 terminated abnormally with signal "
        "11/SEGV, x\n"
    ).findings[0]
    assert (found.title, found.confidence) == ("Segmentation fault in libspa-audioconvert.so+0x4af0e", "certain")


def test_a_divisor_that_was_printed_is_named():
    found = told(
        "Program received signal SIGFPE, Arithmetic exception.\n"
        "0x0000561e65a2bd1e in cirrus_do_copy (src=0) at hw/display/cirrus_vga.c:684\n"
        "684\t        sx = (src % ABS(s->cirrus_blt_srcpitch)) / depth;\n(gdb) p depth\n$1 = 0\n(gdb) bt\n"
        "#0  0x0000561e65a2bd1e in cirrus_do_copy (src=0) at hw/display/cirrus_vga.c:684\n"
        "#1  0x0000561e65a2be9f in cirrus_bitblt_start () at hw/display/cirrus_vga.c:1001\n"
    ).findings[0]
    assert "had the divisor 0: depth is" in found.explanation and "depth" in found.next_steps[0]


def test_a_size_that_an_unchecked_argument_made_is_no_lack_of_memory():
    found = told(
        "(process:7340): GLib-ERROR **: gmem.c:105: failed to allocate 68719476720 bytes\n"
        "Program received signal SIGTRAP, Trace/breakpoint trap.\n"
        + frames("g_logv ()", "g_log ()", "g_malloc (n_bytes=68719476720)",
                 "net_tx_pkt_init (pkt=0x55dd, max_frags=4294967295) at ../hw/net/net_tx_pkt.c:70",
                 "vmxnet3_activate_device () at ../hw/net/vmxnet3.c:1511")
    ).findings[0]  # fmt: skip
    assert "16 times max_frags, which is 4294967295" in found.explanation and "ulimit" not in " ".join(found.next_steps)


def test_a_table_in_a_devices_memory_is_the_guests_doing():
    found = told(
        "qemu: fatal: cpu_io_recompile: could not find TB for pc=(nil)\n"
        + frames("__GI_raise (sig=6)", "__GI_abort ()", "cpu_abort (cpu=0x1) at ../cpu.c:345",
                 "cpu_io_recompile (cpu=0x1, retaddr=0) at ../accel/tcg/translate-all.c:2229",
                 "io_readx () at ../accel/tcg/cputlb.c:1310", "load_helper () at ../accel/tcg/cputlb.c:1875",
                 "do_interrupt64 () at ../target/i386/seg_helper.c:877", "cpu_exec () at ../accel/tcg/cpu-exec.c:1")
    ).findings[0]  # fmt: skip
    assert "not of the guest's state" not in found.explanation and "IDT" in found.next_steps[0]


KVM_ERROR = """KVM internal error. Suberror: 1
emulation failure
{ip}=000f9c41 EFL=00010046
Code=66 ba f8 03 <{code}> f9 7f 07 c3 00
"""


@pytest.mark.parametrize("ip, code, vex", [("EIP", "c5", True), ("EIP", "89", False), ("RIP", "62", True)])
def test_the_bytes_at_the_guests_instruction_pointer_are_read(ip, code, vex):
    found = told(KVM_ERROR.format(ip=ip, code=code)).findings[0]
    assert f"The instruction at {ip} 0xf9c41 begins with the bytes {code} f9 7f 07" in found.explanation
    assert ("prefix" in found.explanation) is vex and "which instruction is it" not in " ".join(found.next_steps)


def test_the_host_kernels_own_crash_is_no_matter_of_gdb():
    page = render([told(
        "BUG: kernel NULL pointer dereference, address: 0000000000000028\nOops: 0000 [#1] PREEMPT SMP\n"
        "CPU: 5 PID: 6118 Comm: qemu-system-x86 Not tainted\n"
        "RIP: 0010:vfio_pci_core_disable+0x2a4/0x3f0 [vfio_pci_core]\nCall Trace:\n <TASK>\n"
        " vfio_pci_core_close_device+0x60/0xc0 [vfio_pci_core]\n __fput+0x8e/0x250\n task_work_run+0x59/0x90\n"
        " do_exit+0x351/0xb00\n do_group_exit+0x2d/0x80\n get_signal+0x968/0x970\n do_syscall_64+0x65/0xb0\n"
        " </TASK>\n")], Form())
    plain = " ".join(page.split())
    assert "kernel itself crashed in vfio_pci_core_disable [vfio_pci_core], when qemu-system-x86 ended" in plain
    assert "gdb -p" not in plain


def test_a_bus_error_that_the_main_loop_read_from_its_descriptor_was_sent():
    found = told(
        "Core was generated by `qemu-system-x86_64 -m 64'.\nProgram terminated with signal SIGBUS, Bus error.\n"
        + frames("__pthread_sigmask (how=1) at ./nptl/pthread_sigmask.c:43",
                 "sigbus_reraise () at ../system/cpus.c:355", "sigbus_handler (n=7) at ../system/cpus.c:371",
                 "sigaction_invoke () at ../util/oslib-posix.c:1", "sigfd_handler () at ../util/main-loop.c:52",
                 "aio_dispatch_handler ()", "main_loop_wait ()", "main () at ../system/main.c:48")
    ).findings[0]  # fmt: skip
    assert found.title == "SIGBUS was sent to the process" and "no access of QEMU's failed" in found.explanation


def test_a_core_by_sigquit_was_asked_for():
    found = told("Core was generated by `qemu-system-x86_64 -m 64'.\nProgram terminated with signal SIGQUIT, Quit.\n"
                 + MAIN_AT_REST).findings[0]  # fmt: skip
    assert found.title == "SIGQUIT was sent from outside" and "info locals" not in " ".join(found.next_steps)
