# ruff: noqa: E501  (pasted lines are as long as they are)
"""What stands near a stack is read: signals, assertions in every libc's words, errors, command line, version, processes."""

import pytest
from texts import one, parse

from qemu_gdb.capture.frame_messages import messages_from_frames, string_value

STACK = "#0  0x01 in f () at ../a.c:1\n#1  0x02 in main () at ../b.c:2\n"


@pytest.mark.parametrize(
    "line, name, number, address",
    [
        ('Thread 3 "CPU 0/KVM" received signal SIGSEGV, Segmentation fault.', "SIGSEGV", 11, None),
        ("Program received signal SIGBUS, Bus error.", "SIGBUS", 7, None),
        ("Program terminated with signal 6, Aborted.", "SIGABRT", 6, None),
        ("Program terminated with signal SIGILL, Illegal instruction.", "SIGILL", 4, None),
        ("        Signal: 6 (ABRT)", "SIGABRT", 6, None),
        ("* thread #1, stop reason = signal SIGABRT", "SIGABRT", 6, None),
        ("* thread #1, stop reason = EXC_BAD_ACCESS (code=1, address=0x28)", "SIGSEGV", 11, 0x28),
        ("* thread #1, stop reason = signal SIGSEGV: invalid address (fault address: 0x0)", "SIGSEGV", 11, 0),
        ("Exception Type:        EXC_BAD_ACCESS (SIGSEGV)", "SIGSEGV", 11, None),
        ("==4==ERROR: AddressSanitizer: SEGV on unknown address 0x000000000010 (pc 0x1)", "SIGSEGV", 11, 0x10),
        ("qemu-system-x86[12021]: segfault at 14 ip 000056 sp 00007f error 4 in qemu-system-x86_64[56+8]", "SIGSEGV", 11, 0x14),
        ("reason:         qemu-system-x86_64 killed by SIGABRT", "SIGABRT", 6, None),
        ("    COREDUMP_SIGNAL=6", "SIGABRT", 6, None),
        ('{"COREDUMP_SIGNAL_NAME":"SIGBUS","COREDUMP_PID":"12"}', "SIGBUS", 7, None),
        ("Aborted (core dumped)", "SIGABRT", 6, None),
        ("./run.sh: line 1: 4802 Segmentation fault      (core dumped) qemu-system-x86_64 -S", "SIGSEGV", 11, None),
        ("zsh: bus error (core dumped)", "SIGBUS", 7, None),
        ("==7== Process terminating with default action of signal 11 (SIGSEGV): dumping core", "SIGSEGV", 11, None),
    ],
)
def test_signals(line, name, number, address):
    signal = one(f"{line}\n{STACK}").signal
    assert (signal.name, signal.number, signal.address) == (name, number, address)


def test_errors_that_qemu_stamps_with_the_time_and_heap_reports_of_old_glibcs_are_kept():
    snapshot = one(
        "2026-11-20T10:11:12.123456Z qemu-system-x86_64: ../block.c: something is wrong\n"
        f"*** Error in `/usr/bin/qemu-kvm': double free or corruption (!prev): 0x0000556677889900 ***\n{STACK}"
    )
    assert [m.kind for m in snapshot.messages] == ["qemu-error", "malloc"]


def test_the_format_that_glibc_prints_is_no_assertion():
    snapshot = one("#5 garbage fmt=0x7f \"%s%s%s:%u: %s%sAssertion `%s' failed.\"\n")
    assert snapshot.messages == []


def test_a_signal_that_only_stops_does_not_hide_the_one_that_kills():
    snapshot = one(f"Program received signal SIGSEGV, Segmentation fault.\n{STACK}later, SIGUSR2:\nProgram received signal SIGUSR2.\n")
    assert snapshot.signal.name == "SIGSEGV"
    assert snapshot.threads[0].crashed


@pytest.mark.parametrize(
    "line, kind, function, file, number, expression",
    [
        ("qemu-system-x86_64: ../hw/net/e1000e.c:71: e1000e_poll: Assertion `n < (5 + 1)' failed.", "assertion", "e1000e_poll", "../hw/net/e1000e.c", 71, "n < (5 + 1)"),
        ("Assertion failed: n > 0 (../block/io.c: bdrv_co_preadv: 12)", "assertion", "bdrv_co_preadv", "../block/io.c", 12, "n > 0"),
        ("Assertion failed: (mr->ops), function memory_region_init, file memory.c, line 1221.", "assertion", "memory_region_init", "memory.c", 1221, "mr->ops"),
        ("Assertion failed: bs->job, file ../blockjob.c, line 55", "assertion", None, "../blockjob.c", 55, "bs->job"),
        ('assertion "obj->ref > 0" failed: file "../qom/object.c", line 1200, function "object_unref"', "assertion", "object_unref", "../qom/object.c", 1200, "obj->ref > 0"),
        ("ERROR:../qom/object.c:711:object_finalize: assertion failed (obj->ref == 0): (1 == 0)", "glib", "object_finalize", "../qom/object.c", 711, "obj->ref == 0"),
        ("ERROR:../qom/object.c:711:object_finalize: assertion failed: (f(a) && b)", "glib", "object_finalize", "../qom/object.c", 711, "f(a) && b"),
        ("ERROR:../tcg/tcg.c:12:tcg_out_mov: code should not be reached", "glib", "tcg_out_mov", "../tcg/tcg.c", 12, None),
        ("(process:123): GLib-ERROR **: 10:00:00.000: ../glib/gmem.c:136: failed to allocate 18446744073709550592 bytes", "glib", None, None, None, None),
        ("qemu: hardware error: pl011_read: Bad offset 0x48", "hw-error", None, None, None, None),
        ("qemu: fatal: Trying to execute code outside RAM or ROM at 0x40000000", "cpu-abort", None, None, None, None),
        ("error: kvm run failed Bad address", "qemu-error", None, None, None, None),
        ("KVM internal error. Suberror: 1", "qemu-error", None, None, None, None),
        ("free(): invalid pointer", "malloc", None, None, None, None),
        ("malloc(): corrupted top size", "malloc", None, None, None, None),
        ("double free or corruption (!prev)", "malloc", None, None, None, None),
        ("corrupted size vs. prev_size", "malloc", None, None, None, None),
        ("*** stack smashing detected ***: terminated", "stack-smashing", None, None, None, None),
        ("*** buffer overflow detected ***: terminated", "fortify", None, None, None, None),
        ("../util/iov.c:12:3: runtime error: null pointer passed as argument 1", "sanitizer", None, "../util/iov.c", 12, None),
        ("==5== Invalid write of size 4", "sanitizer", None, None, None, None),
        ("qemu-system-x86_64: Failed to get shared \"write\" lock", "qemu-error", None, None, None, None),
    ],
)
def test_messages(line, kind, function, file, number, expression):
    (message,) = one(f"{line}\n{STACK}").messages
    assert (message.kind, message.function, message.file, message.line, message.expression) == (kind, function, file, number, expression)
    assert message.thread == 0


def test_an_assertion_that_a_mailer_broke_is_one_message():
    (message,) = one(f"> qemu-img: ../block.c:5: f: Assertion `bs->refcnt ==\n> 0' failed.\n{STACK}").messages
    assert (message.expression, message.line) == ("bs->refcnt == 0", 5)


def test_error_abort_takes_the_message_below_it():
    (message,) = one(
        "Unexpected error in bdrv_check_perm() at ../block.c:2100:\nqemu-system-x86_64: Conflicts with use by disk0\nAborted (core dumped)\n" + STACK
    ).messages
    assert (message.kind, message.function, message.file, message.line) == ("error-abort", "bdrv_check_perm", "../block.c", 2100)
    assert message.text.endswith("Conflicts with use by disk0")


def test_prose_about_qemu_is_no_message():
    snapshot = one(f"I think qemu: it hangs when the error is there\nthe qemu-system-x86_64 binary crashed\n{STACK}")
    assert snapshot.messages == []
    assert len(snapshot.unparsed) == 2


def test_a_stack_tells_its_assertion_by_its_arguments():
    snapshot = one(
        """
        #0  0x01 in __GI_raise (sig=sig@entry=6) at raise.c:50
        #1  0x02 in __GI_abort () at abort.c:79
        #2  0x03 in __assert_fail_base (fmt=0x7f "%s%s%s:%u: %s%sAssertion `%s' failed.\\n%n", assertion=0x55 "QTAILQ_EMPTY(&q)", file=0x56 "../util/async.c", line=371, function=0x57 "aio_ctx_finalize") at assert.c:92
        #3  0x04 in __GI___assert_fail (assertion=0x55 "QTAILQ_EMPTY(&q)", file=0x56 "../util/async.c", line=371, function=0x57 "aio_ctx_finalize") at assert.c:101
        #4  0x05 in aio_ctx_finalize (source=0x1) at ../util/async.c:371
        """
    )
    (message,) = snapshot.messages
    assert (message.kind, message.expression, message.file, message.line, message.function, message.thread) == (
        "assertion",
        "QTAILQ_EMPTY(&q)",
        "../util/async.c",
        371,
        "aio_ctx_finalize",
        0,
    )


@pytest.mark.parametrize(
    "frame, kind, words",
    [
        ('g_assertion_message_expr (domain=0x0, file=0x1 "../a.c", line=12, func=0x2 "f", expr=0x3 "x != NULL") at g.c:1', "glib", "x != NULL"),
        ('hw_error (fmt=0x1 "%s: bad word width %i\\n") at ../system/cpus.c:126', "hw-error", "%s: bad word width %i"),
        ('cpu_abort (cpu=0x1, fmt=0x2 "TLB miss") at ../cpu-target.c:1', "cpu-abort", "TLB miss"),
        ('malloc_printerr (str=str@entry=0x1 "free(): invalid pointer") at malloc.c:5347', "malloc", "free(): invalid pointer"),
        ('object_dynamic_cast_assert (obj=0x0, typename=0x1 "pci-device", file=0x2 "/q/pci.h", line=3, func=0x4 "PCI_DEVICE") at ../qom/object.c:883', "assertion", "pci-device"),
    ],
)
def test_other_frames_that_tell_why(frame, kind, words):
    (thread,) = one(f"#0  0x1 in abort () at abort.c:79\n#1  0x2 in {frame}\n#2  0x3 in caller (x=1) at ../c.c:7\n").threads
    (message,) = messages_from_frames(thread)
    assert message.kind == kind and words in message.text


def test_an_error_is_a_message_only_where_it_was_made_fatal():
    frame = '#{} 0x2 in error_setg_internal (errp=0x1 <error_abort>, src=0x2 "../a.c", line=9, func=0x3 "f", fmt=0x4 "no %s") at ../util/error.c:105\n'
    (thread,) = one("#0 0x1 in abort () at abort.c:79\n" + frame.format(1)).threads
    (message,) = messages_from_frames(thread)
    assert (message.kind, message.text, message.function, message.line) == ("error-abort", "no %s", "f", 9)
    (thread,) = one(frame.format(0)).threads
    assert messages_from_frames(thread) == []


def test_a_string_is_read_from_what_gdb_prints():
    assert string_value('0x55 "a\\"b\\n\\001"...') == 'a"b\n\x01...'
    assert string_value("0x55") is None


@pytest.mark.parametrize(
    "line, program, accelerator",
    [
        ("Core was generated by `/usr/bin/qemu-system-aarch64 -machine virt,accel=tcg -m 1G'.", "qemu-system-aarch64", "tcg"),
        ("$ qemu-system-x86_64 -enable-kvm -m 1G", "qemu-system-x86_64", "kvm"),
        ("Command line: `qemu-system-ppc64 -accel kvm -m 1G`", "qemu-system-ppc64", "kvm"),
        ("Starting program: /q/build/qemu-img convert a b", "qemu-img", None),
        ("qemu-system-x86_64 -accel kvm -accel tcg", "qemu-system-x86_64", None),
        ("Process 1200 (qemu-kvm) of user 954 dumped core.", "qemu-kvm", None),
    ],
)
def test_program_and_accelerator(line, program, accelerator):
    snapshot = one(f"{line}\n{STACK}")
    assert (snapshot.program, snapshot.accelerator) == (program, accelerator)


@pytest.mark.parametrize(
    "line, version, package",
    [
        ("QEMU emulator version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)", "8.2.2", "Debian 1:8.2.2+ds-0ubuntu1"),
        ("QEMU 9.0.0 monitor - type 'help' for more information", "9.0.0", None),
        ("I have qemu-kvm-2.12.0-64.el8 here", "2.12.0", "2.12.0-64.el8"),
        ("qemu version: 6.2.0", "6.2.0", None),
        ("it broke between QEMU 6.2.0 and QEMU 7.0.0", None, None),
    ],
)
def test_version(line, version, package):
    snapshot = one(f"{line}\n{STACK}")
    if line.startswith("it broke"):
        snapshot = one(f"QEMU 6.2.0 was fine\nQEMU 7.0.0 is not\n{STACK}")
    assert (snapshot.version, snapshot.package) == (version, package)


def test_version_from_the_paths_of_frames():
    snapshot = one("QEMU 5.0.0 was fine\n#0  f () at ../qemu-9.1.2/system/memory.c:1\n#1  g () at /build/qemu-9.1.2+ds/b.c:3\n#2  g () at /build/qemu-9.1.2+ds/c.c:3\n")
    assert (snapshot.version, snapshot.package) == ("9.1.2", "9.1.2+ds")


# --------------------------------------------------------------------------------------------------------------
# Several processes


def threads(snapshot):
    return [(t.number, t.frames[0].function) for t in snapshot.threads]


def test_detaching_ends_a_process():
    first, second = parse(
        """
        [New LWP 11]
        Thread 1 (LWP 10):
        #0  0x1 in ppoll () at a.c:1
        [Inferior 1 (process 10) detached]
        Thread 1 (LWP 20):
        #0  0x1 in recvmsg () at a.c:1
        [Inferior 1 (process 20) detached]
        """
    )
    assert (threads(first), threads(second)) == ([(1, "ppoll")], [(1, "recvmsg")])


def test_source_and_destination_are_two_processes():
    source, destination = parse(
        """
        ===== src main thread =====:
        #0  recvmsg () from /lib64/libc.so.6
        #1  main () at a.c:1
        ===== src live_migration thread =====:
        #0  sem_wait () from /lib64/libc.so.6
        #1  migration_thread (opaque=0x1) at m.c:1
        ===== dst main thread =====:
        #0  recvmsg () from /lib64/libc.so.6
        #1  qemu_loadvm_state () at s.c:1
        """
    )
    assert [t.frames[-1].function for t in source.threads] == ["main", "migration_thread"]
    assert [t.frames[-1].function for t in destination.threads] == ["qemu_loadvm_state"]


def test_programs_at_different_addresses_are_two_processes():
    first, second = parse(
        """
        Thread 1 (LWP 7487):
        #0  0x0000560b135103aa in flatview_read (fv=0x1) at ../system/physmem.c:1
        Thread 9 (LWP 11777):
        #0  0x0000555555c3be3f in postcopy_ram_fault_thread (opaque=0x1) at ../migration/postcopy-ram.c:999
        """
    )
    assert (threads(first), threads(second)) == ([(1, "flatview_read")], [(9, "postcopy_ram_fault_thread")])


def test_two_deaths_are_two_processes():
    first, second = parse(
        """
        Call trace:
        #0  raise () from /lib64/libc.so.6
        #1  abort () from /lib64/libc.so.6
        #2  mirror_exit (job=0x1) at block/mirror.c:376
        With a newer one:
        #0  raise () from /lib64/libc.so.6
        #1  abort () from /lib64/libc.so.6
        #2  mirror_iteration (s=0x1) at block/mirror.c:335
        qemu-system-x86_64: block/mirror.c:335: mirror_iteration: Assertion `a == b' failed.
        """
    )
    assert first.threads[0].frames[2].function == "mirror_exit" and first.messages == []
    assert second.messages[0].function == "mirror_iteration" and second.messages[0].thread == 0


def test_two_dumps_of_one_process_stay_apart():
    first, second = parse(
        """
        (gdb) thread apply all bt
        Thread 1 (LWP 10):
        #0  0x1 in ppoll () at a.c:1
        #1  0x2 in main () at m.c:1
        (gdb) c
        (gdb) thread apply all bt
        Thread 1 (LWP 10):
        #0  0x3 in write () at a.c:1
        #1  0x2 in main () at m.c:1
        """
    )
    assert (threads(first), threads(second)) == ([(1, "ppoll")], [(1, "write")])


def test_one_frame_shown_again_is_no_thread():
    snapshot = one(STACK + "(gdb) frame 1\n#1  0x02 in main () at ../b.c:2\n2\t  f();\n(gdb) p x\n$1 = 3\n")
    assert len(snapshot.threads) == 1 and len(snapshot.threads[0].frames) == 2


def test_words_above_a_stack_name_its_thread():
    waiter, holder = one(
        """
        Thread 5 is blocked on the BQL:
        #0  __lll_lock_wait () from /lib64/libc.so.6
        #1  qemu_mutex_lock_iothread_impl () at ../softmmu/cpus.c:504
        and thread 1 holds it:
        #0  ppoll () from /lib64/libc.so.6
        #1  main () at ../softmmu/main.c:48
        """
    ).threads
    assert (waiter.number, holder.number) == (5, 1)
    assert waiter.heading == "Thread 5 is blocked on the BQL:"


def test_two_idle_threads_without_addresses_are_not_one():
    stack = "#0  ioctl ()\n#1  kvm_vcpu_ioctl ()\n#2  kvm_cpu_exec ()\n"
    assert len(one(f"vCPU 0:\n{stack}\nvCPU 1:\n{stack}").threads) == 2
