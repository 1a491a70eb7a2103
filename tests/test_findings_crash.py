"""What a crash's finding says: its cause, the frame that found it, who passed the bad value. Fakes are named as fakes."""

# ruff: noqa: E501 - backtraces are quoted as gdb prints them
from __future__ import annotations

import pytest

from qemu_gdb.capture import text
from qemu_gdb.explain import explain
from qemu_gdb.model import Frame, Message, Signal, Snapshot, Source, Thread

ABORT = """#0  __pthread_kill_implementation (threadid=<optimized out>, signo=6, no_tid=0) at ./nptl/pthread_kill.c:44
#1  0x00007f0000000002 in __GI_raise (sig=6) at ../sysdeps/posix/raise.c:26
#2  0x00007f0000000003 in __GI_abort () at ./stdlib/abort.c:79
"""
MAIN = """#{0}  0x0000555500000101 in qmp_marshal_blockdev_del (args=0x1, ret=0x2, errp=0x3) at qapi/qapi-commands.c:1
#{1}  0x0000555500000102 in do_qmp_dispatch_bh (opaque=0x7ffd00000000) at ../qapi/qmp-dispatch.c:128
#{2}  0x0000555500000103 in aio_bh_poll (ctx=0x555500001000) at ../util/async.c:216
#{3}  0x0000555500000104 in aio_ctx_dispatch (source=0x0) at ../util/async.c:361
#{4}  0x00007f0000000105 in g_main_context_dispatch () from /lib/x86_64-linux-gnu/libglib-2.0.so.0
#{5}  0x0000555500000106 in main_loop_wait (nonblocking=0) at ../util/main-loop.c:606
#{6}  0x0000555500000107 in main (argc=3, argv=0x7ffd00000100) at ../softmmu/main.c:47
"""


def main_loop(start):
    return MAIN.format(*range(start, start + 7))


def first(content):
    findings = explain(text.parse(content)[0]).findings
    assert findings
    return findings[0]


def test_assertion_names_expression_function_and_place():
    found = first(
        "qemu-system-x86_64: ../block.c:7147: bdrv_unref: Assertion `bs->refcnt > 0' failed.\n" + ABORT
        + """#3  0x00007f0000000004 in __assert_fail_base () from /lib/x86_64-linux-gnu/libc.so.6
#4  0x00007f0000000005 in __assert_fail () from /lib/x86_64-linux-gnu/libc.so.6
#5  0x0000555500000006 in bdrv_unref (bs=0x555500002000) at ../block.c:7147
#6  0x0000555500000007 in qmp_blockdev_del (node_name=0x555500003000 "n0", errp=0x7ffd0) at ../blockdev.c:3472
""" + main_loop(7)
    )  # fmt: skip
    assert found.kind == "crash.assertion"
    assert found.title == 'Assertion "bs->refcnt > 0" failed in bdrv_unref, block.c:7147'
    assert found.confidence == "certain"
    assert "blockdev-del" in found.explanation
    assert any("print *bs in frame 5" in step for step in found.next_steps)


def test_null_argument_is_named_with_the_frame_that_passed_it():
    found = first(
        """Thread 7 "return path" received signal SIGSEGV, Segmentation fault.
#0  0x0000555500000001 in qemu_file_get_error (f=0x0) at ../migration/qemu-file.c:154
#1  0x0000555500000002 in source_return_path_thread (opaque=0x555500001000) at ../migration/migration.c:2019
#2  0x0000555500000003 in qemu_thread_start (args=0x555500002000) at ../util/qemu-thread-posix.c:541
#3  0x00007f0000000004 in start_thread (arg=0x7f00) at ./nptl/pthread_create.c:442
#4  0x00007f0000000005 in clone3 () at ../sysdeps/unix/sysv/linux/x86_64/clone3.S:81
"""
    )
    assert found.kind == "crash.null-dereference"
    assert '"f"' in found.title and "qemu_file_get_error" in found.title
    assert "source_return_path_thread (frame 1) passed it" in found.explanation


def test_kernel_line_gives_the_offset_into_the_missing_structure():
    found = first(
        """kernel: qemu-system-x86[4711]: segfault at 14 ip 0000555500000001 sp 00007f00 error 4 in qemu-system-x86_64
Thread 1 received signal SIGSEGV, Segmentation fault.
#0  0x0000555500000001 in virtio_queue_notify (vdev=0x555500001000, n=2) at ../hw/virtio/virtio.c:2512
#1  0x0000555500000002 in virtio_pci_config_write (opaque=0x555500002000, addr=16, val=2, size=2) at ../hw/virtio/virtio-pci.c:571
#2  0x0000555500000003 in memory_region_write_accessor (mr=0x1, addr=16, value=0x2, size=2) at ../system/memory.c:497
"""
    )
    assert found.kind == "crash.null-dereference"
    assert "plus 0x14" in found.title


def test_call_through_a_null_pointer_blames_the_caller():
    found = first(
        """Thread 1 "qemu-system-x86" received signal SIGSEGV, Segmentation fault.
0x0000000000000000 in ?? ()
#0  0x0000000000000000 in ?? ()
#1  0x0000555500000001 in notifier_list_notify (list=0x555500001000, data=0x555500002000) at ../util/notify.c:39
#2  0x0000555500000002 in migrate_fd_connect (s=0x555500003000, error_in=0x0) at ../migration/migration.c:3975
"""
    )
    assert found.kind == "crash.null-dereference"
    assert "function pointer" in found.title and "notifier_list_notify" in found.title


def test_misaligned_pointer_means_freed_or_overwritten_memory():
    found = first(
        """Program terminated with signal SIGSEGV, Segmentation fault.
#0  0x0000555500000001 in bdrv_release_dirty_bitmap (bs=0x5593d88c50d1) at ../block/dirty-bitmap.c:362
#1  0x0000555500000002 in dirty_bitmap_load (f=0x555500001000) at ../migration/block-dirty-bitmap.c:1194
"""
    )
    assert "0x5593d88c50d1" in found.title
    assert "freed or overwritten" in found.explanation


def test_helper_is_not_blamed_but_the_caller_that_passed_the_pointer():
    found = first(
        """Program received signal SIGSEGV, Segmentation fault.
#0  0x0000555500000001 in object_get_class (obj=0x0) at ../qom/object.c:860
#1  0x0000555500000002 in qio_channel_writev_full (ioc=0x0, iov=0x7ffd0, niov=1) at ../io/channel.c:76
#2  0x0000555500000003 in tcp_chr_write (chr=0x555500001000) at ../chardev/char-socket.c:129
"""
    )
    assert found.kind == "crash.null-dereference"
    assert 'and so is "ioc" in frame 1; tcp_chr_write (frame 2) passed it' in found.explanation


def test_abort_in_a_named_function_says_where():
    found = first(ABORT + "#3  0x0000555500000004 in abort_f (blk=0x1, argc=1) at ../qemu-io-cmds.c:2709\n" + main_loop(4))
    assert found.kind == "crash.abort"
    assert "abort_f" in found.title and "qemu-io-cmds.c:2709" in found.title


def test_error_abort_tells_the_errors_text_and_where_it_was_raised():
    found = first(
        """Unexpected error in object_property_find_err() at ../qom/object.c:1327:
qemu-system-x86_64: Property 'x.y' not found
""" + ABORT
        + """#3  0x0000555500000004 in error_handle (errp=0x555500009000 <error_abort>, err=0x1) at ../util/error.c:37
#4  0x0000555500000005 in error_setg_internal (errp=0x555500009000 <error_abort>, src=0x1 "../qom/object.c", line=1327, func=0x2 "object_property_find_err", fmt=0x3 "Property '%s.%s' not found") at ../util/error.c:105
#5  0x0000555500000006 in object_property_find_err (obj=0x1, name=0x2 "y", errp=0x555500009000 <error_abort>) at ../qom/object.c:1327
#6  0x0000555500000007 in pc_machine_init (obj=0x1) at ../hw/i386/pc.c:1
"""
    )  # fmt: skip
    assert found.kind == "crash.error-abort"
    assert "Property" in found.title
    assert "object_property_find_err" in found.explanation or "object_property_find_err" in found.title


def test_heap_corruption_is_only_noticed_where_it_stops():
    found = first(
        "double free or corruption (out)\n" + ABORT
        + """#3  0x00007f0000000004 in __libc_message (action=do_abort) at ../sysdeps/posix/libc_fatal.c:155
#4  0x00007f0000000005 in malloc_printerr (str=0x7f00 "double free or corruption (out)") at ./malloc/malloc.c:5664
#5  0x00007f0000000006 in _int_free (av=0x1, p=0x2, have_lock=0) at ./malloc/malloc.c:4588
#6  0x00007f0000000007 in __GI___libc_free (mem=0x3) at ./malloc/malloc.c:3391
#7  0x0000555500000008 in if_start (slirp=0x555500001000) at ../slirp/if.c:205
"""
    )  # fmt: skip
    assert found.kind == "crash.heap-corruption"
    assert "earlier and elsewhere" in found.explanation
    assert "free()" in found.explanation and "if_start" in found.explanation


def test_endless_recursion_is_a_stack_overflow_with_its_interval():
    frames = [Frame(i, ("bdrv_open_inherit", "bdrv_open_child_bs")[i % 2], "../block.c", 100 + i % 2) for i in range(400)]
    fake = Snapshot(threads=[Thread(frames=frames, number=1, crashed=True)], signal=Signal(name="SIGSEGV"))
    findings = explain(fake).findings
    assert findings[0].kind == "crash.stack-overflow"
    assert "bdrv_open_child_bs" in findings[0].explanation
    assert "rule.recursion" in [f.kind for f in findings]


@pytest.mark.parametrize("inner", [["ppoll", "qemu_poll_ns"], ["object_dynamic_cast_assert", "hpet_handle_legacy_irq"]])
def test_signal_from_outside_is_no_abort_of_qemus(inner):
    names = [*inner, "os_host_main_loop_wait", "main_loop_wait", "qemu_main_loop", "main"]
    frames = [Frame(level, name) for level, name in enumerate(names)]
    fake = Snapshot(
        source=Source(kind="core"),
        threads=[Thread(frames=frames, number=1, current=True)],
        signal=Signal(name="SIGABRT", number=6, code=0, sender_pid=4711),
    )
    found = explain(fake).findings[0]
    assert found.kind == "crash.signal"
    assert "4711" in found.title and "outside" in found.title


def test_a_fault_that_kill_sent_is_none_of_the_code_that_ran():
    frames = [Frame(level, name) for level, name in enumerate(["hpet_handle_legacy_irq", "qemu_main_loop", "main"])]
    found = explain(Snapshot(source=Source(kind="core"), threads=[Thread(frames=frames, number=1, current=True)],
                             signal=Signal(name="SIGSEGV", number=11, code=0, sender_pid=4711))).findings[0]  # fmt: skip
    assert found.title == "SIGSEGV was sent from outside by process 4711"
    assert "made no fault" in found.explanation and "hpet" not in found.title


@pytest.mark.parametrize(
    ("signal", "kind"),
    [("SIGBUS", "crash.bus-error"), ("SIGILL", "crash.illegal-instruction"), ("SIGFPE", "crash.arithmetic"),
     ("SIGSYS", "crash.seccomp")],
)  # fmt: skip
def test_each_fatal_signal_has_its_kind(signal, kind):
    found = first(
        f"Program terminated with signal {signal}, something.\n"
        "#0  0x0000555500000001 in ram_load (f=0x555500001000) at ../migration/ram.c:1\n" + main_loop(1)
    )
    assert found.kind == kind


def test_forbidden_system_call_is_that_of_qemus_function_not_of_the_thread_that_glibc_had_repeat_it():
    found = first("""Program terminated with signal SIGSYS, Bad system call.

Thread 2 (LWP 2):
#0  futex_wait (private=0, expected=4, futex_word=0x7fff6c01f80) at ../sysdeps/nptl/futex-internal.h:146
#1  __nptl_setxid (cmdp=cmdp@entry=0x7fff6c01f60) at ./nptl/nptl_setxid.c:236
#2  0x00007fd2d7b7364e in __setgid (gid=65534) at ../sysdeps/unix/sysv/linux/setgid.c:29
#3  0x000055a511041bd9 in change_process_uid () at ../os-posix.c:146
#4  0x000055a510e15565 in qemu_init (argc=1, argv=0x7ff) at ../system/vl.c:3859

Thread 1 (LWP 1):
#0  __GI___nptl_setxid_sighandler (sig=33, si=0x7fd2d75aacb0, ctx=0x0) at ./nptl/nptl_setxid.c:72
#1  <signal handler called>
#2  bql_lock_impl (file=0x1 "x", line=1) at ../system/cpus.c:1
#3  0x000055a510bab53a in call_rcu_thread (opaque=0x0) at ../util/rcu.c:288
""")
    assert found.kind == "crash.seccomp" and found.title.endswith("in change_process_uid")
    assert "grace period" not in found.explanation


def test_truncated_backing_file_is_told_from_si_code():
    frames = [Frame(0, "load_atomic4", "../accel/tcg/ldst_atomicity.c.inc", 123), Frame(1, "cpu_exec")]
    fake = Snapshot(
        threads=[Thread(frames=frames, number=1, crashed=True)],
        signal=Signal(name="SIGBUS", number=7, code=2, address=0x7FE54E7FF000),
    )
    assert "backing file is shorter" in explain(fake).findings[0].explanation


def test_rcu_thread_is_only_the_one_that_trips():
    found = first(
        ABORT + """#3  0x0000555500000004 in try_dequeue () at ../util/rcu.c:235
#4  0x0000555500000005 in call_rcu_thread (opaque=0x0) at ../util/rcu.c:288
#5  0x0000555500000006 in qemu_thread_start (args=0x1) at ../util/qemu-thread-posix.c:541
#6  0x00007f0000000007 in start_thread (arg=0x7f00) at ./nptl/pthread_create.c:442
"""
    )
    assert found.kind == "crash.abort"
    assert "queued twice" in found.explanation


def test_stack_alone_is_no_crash():
    content = """#0  bdrv_replace_child_tran (child=0x1, new_bs=0x2) at ../block.c:2410
#1  0x0000555500000002 in bdrv_drop_filter (bs=0x1) at ../block.c:5313
""" + main_loop(2)
    kinds = [f.kind for f in explain(text.parse(content)[0]).findings]
    assert kinds and all(k.startswith("state.") for k in kinds), kinds


def test_sanitizer_report_names_who_freed():
    message = Message("sanitizer", "ERROR: AddressSanitizer: heap-use-after-free on address 0x62d0005f7418")
    fake = Snapshot(
        threads=[
            Thread(frames=[Frame(0, "tb_jmp_cache_inval_tb", "../accel/tcg/tb-maint.c", 244)], crashed=True),
            Thread(frames=[Frame(0, "cpu_exec_unrealizefn")], history=True, heading="freed by thread T148 here:"),
        ],
        messages=[message],
    )
    found = explain(fake).findings[0]
    assert found.kind == "crash.invalid-access"
    assert "Use after free in tb_jmp_cache_inval_tb" in found.title
    assert "cpu_exec_unrealizefn" in found.explanation and "freed it" in found.explanation
    assert found.next_steps[0].startswith("read cpu_exec_unrealizefn and tb_jmp_cache_inval_tb: what has to be")


def test_long_assertion_stands_whole_in_the_title():
    expression = "bdrv_get_aio_context(old_bs) == bdrv_get_aio_context(new_bs)"
    content = f"""qemu-system-x86_64: block.c:2240: bdrv_replace_child_noperm: Assertion `{expression}' failed.
#0  0x00007ffff3ab150f in raise () from /lib64/libc.so.6
#1  0x00007ffff3a9b895 in abort () from /lib64/libc.so.6
#2  0x00007ffff3a9b769 in __assert_fail_base.cold.0 () from /lib64/libc.so.6
#3  0x00007ffff3aa9a26 in __assert_fail () from /lib64/libc.so.6
#4  0x0000555555d0e8d1 in bdrv_replace_child_noperm (child=0x555557066a00, new_bs=0x5555570ee5b0) at block.c:2240
""" + main_loop(5)
    assert expression in explain(text.parse(content)[0]).findings[0].title


def names(words):
    return "".join(f"#{n} 0x{0x555500000000 + 64 * n:x} in {word} ()\n" for n, word in enumerate(words.split()))


def test_signal_that_ends_an_emulated_program_is_told_where_compilers_inlined_the_death():
    found = first(names("sigsuspend process_pending_signals cpu_loop main"))
    assert found.title == "The emulated program died of a signal; QEMU ends itself with it"


def test_emulated_program_in_translated_code_is_not_at_rest():
    found = first("#0  float64_sub ()\n" + names("x helper_subsd code_gen_buffer cpu_tb_exec cpu_exec cpu_loop main").partition("\n")[2])
    assert found.title == "The emulated program runs; nothing shows that it is stuck"


def test_cpu_abort_for_code_outside_of_memory_tells_of_the_guests_jump():
    found = first(ABORT + names("cpu_abort get_page_addr_code tb_find_fast cpu_x86_exec tcg_exec_all").replace("#", "#1"))
    assert "neither RAM nor ROM" in found.explanation


def test_thread_in_a_locks_own_code_does_not_wait_for_it():
    told = explain(text.parse(names("pthread_mutex_lock qemu_mutex_lock qemu_chr_fe_write_all vhost_user_write "
                                    "vhost_dev_stop vm_stop main_loop main"))[0])  # fmt: skip
    assert told.threads[0].culprit == "vhost_user_write"
    assert any("If this is a crash" in f.title for f in told.findings)


def test_fault_in_the_incoming_migrations_coroutine_is_the_main_loops():
    told = explain(text.parse(names("cpu_post_load vmstate_load_state qemu_loadvm_state process_incoming_migration_co "
                                    "coroutine_trampoline __startcontext"))[0])  # fmt: skip
    assert told.threads[0].role == "main-loop"


def test_valgrinds_complaint_about_a_system_call_names_what_it_is():
    found = first("""==7== Syscall param ioctl(generic) points to uninitialised byte(s)
==7==    at 0x5A: ioctl (in /usr/lib64/libc-2.28.so)
==7==    by 0x5B: kvm_ioctl (kvm-all.c:2365)
==7==    by 0x5C: kvm_arch_get_supported_msr_feature (kvm.c:469)
""")
    assert found.title.startswith("Uninitialised memory in a system call's argument in kvm_ioctl")
    assert "Valgrind reports" in found.explanation


@pytest.mark.parametrize("size", [0, 1, 3])
def test_an_explanation_of_little_does_not_fail(size):
    fake = Snapshot(threads=[Thread(frames=[Frame(i) for i in range(size)])])
    explain(fake)


@pytest.mark.parametrize(
    "line, kind, title",
    [
        ("qemu-system-x86_64: ../block.c:5021: bdrv_close: Assertion `bs->refcnt == 0' failed.", "crash.assertion", 'Assertion "bs->refcnt == 0" failed in bdrv_close, block.c:5021'),
        ("qemu: hardware error: pflash_write: Unknown command 0xff", "crash.hw-error", "A device model gave up: qemu: hardware error: pflash_write: Unknown command 0xff"),
    ],
)
def test_a_failures_line_without_a_stack_is_told_and_the_stacks_are_asked_for(line, kind, title):
    (finding,) = explain(text.parse(line)[0]).findings
    assert (finding.kind, finding.title) == (kind, title)
    assert "thread apply all bt" in finding.next_steps[0]


FATAL = [
    (
        "__pthread_kill_implementation raise abort __libc_message_impl __fortify_fail __stack_chk_fail rtl8139_do_receive",
        "Stack smashing detected in rtl8139_do_receive",
    ),
    (
        "raise abort __libc_message_impl malloc_printerr _int_free free g_free virtio_cleanup",
        "malloc found its heap corrupted",
    ),
    (
        "raise abort ceph::__ceph_assert_fail rbd_aio_write qemu_rbd_start_co",
        "An assertion of Ceph's libraries in rbd_aio_write",
    ),
    (
        "raise abort __libc_message __fortify_fail __chk_fail __fdelt_warn qemu_iohandler_poll",
        "A descriptor number too large for select() (FD_SETSIZE) in qemu_iohandler_poll",
    ),
    (
        "raise abort __libc_message __fortify_fail ____longjmp_chk __longjmp_chk cpu_loop_exit",
        "A longjmp() into a function that has returned (_FORTIFY_SOURCE) in cpu_loop_exit",
    ),
    (
        "abort _nl_load_domain annobin_assert.c_end ptimer_transaction_begin imx_epit_reset imx_epit_write",
        "An assertion failed in ptimer_transaction_begin",
    ),
    ("raise abort _nl_load_domain memory_region_notify_one", "An assertion failed in memory_region_notify_one"),
    (
        "__kernel_vsyscall __libc_signal_restore_set __GI_abort __assert_fail_base __GI___assert_fail get_sqe",
        "An assertion failed in get_sqe",
    ),
    ("raise abort __assert_fail g_main_context_dispatch", "An assertion failed in an unnamed function"),
    (
        "raise abort object_dynamic_cast_assert IOMMU_MEMORY_REGION vfio_spapr_create_window",
        "QOM cast IOMMU_MEMORY_REGION() failed in vfio_spapr_create_window",
    ),
]


@pytest.mark.parametrize(("words", "title"), FATAL)
def test_each_way_to_give_up_has_its_own_title(words, title):
    assert first(names(f"{words} main_loop_wait qemu_main_loop main")).title == title


@pytest.mark.parametrize(
    ("words", "caller"),
    [
        ("raise abort __libc_message malloc_printerr _int_realloc __libc_realloc g_realloc m_cat ip_input", "m_cat"),
        (
            "raise abort __libc_message _int_malloc _int_memalign _mid_memalign posix_memalign g_slice_alloc "
            "g_tree_insert_internal tcg_tb_insert tb_gen_code",
            "tcg_tb_insert",
        ),
    ],
)
def test_a_damaged_heap_names_the_function_of_qemu_that_asked(words, caller):
    assert f"called by {caller}." in first(names(words)).explanation


@pytest.mark.parametrize(
    ("words", "title", "sentence"),
    [
        (
            "_mesa_TexParameteri dri_make_current SDL_GL_MakeCurrent_REAL sdl2_gl_switch",
            "Segmentation fault in _mesa_TexParameteri, under sdl2_gl_switch",
            "This is a library's code; QEMU's nearest frame is sdl2_gl_switch (frame 3).",
        ),
        (
            "ec_gf_writev default_writev glfs_pwritev_async qemu_gluster_co_writev",
            "Segmentation fault in ec_gf_writev, under qemu_gluster_co_writev",
            "ec_gf_writev is a library's, or of no QEMU that is known here; "
            "QEMU's nearest frame is qemu_gluster_co_writev (frame 3).",
        ),
    ],
)
def test_a_fault_in_a_library_names_the_function_of_qemu_that_called_it(words, title, sentence):
    signal = "Program received signal SIGSEGV, Segmentation fault.\n"
    found = first(signal + names(f"{words} main_loop_wait main"))
    assert found.title == title
    assert sentence in found.explanation


def test_a_helper_right_under_the_event_loop_is_not_the_loops_fault():
    signal = "Program received signal SIGSEGV, Segmentation fault.\n"
    found = first(signal + names("__memmove_avx_unaligned_erms iov_from_buf_full aio_bh_poll aio_dispatch main_loop_wait"))
    assert found.title == "Segmentation fault in iov_from_buf_full"
    assert "bottom half iov_from_buf_full" not in found.explanation


def test_a_signal_sent_to_a_thread_is_no_crash_of_the_sender():
    told = first(names("pthread_kill qemu_cpu_kick_thread cpu_exit main_loop_wait main"))
    assert told.kind == "state.running"


def test_two_reports_whose_stacks_both_end_in_libc_are_told_by_one_of_them():
    headings = [f"==7==ERROR: AddressSanitizer: {what} on address 0x602000000010 at pc 0x55"
                for what in ("heap-use-after-free", "heap-buffer-overflow")]
    calls = "raise abort __libc_message malloc_printerr _int_free free".split()
    threads = [Thread([Frame(i, name) for i, name in enumerate([*calls, owner, "main"])], number=n, heading=heading)
               for n, (owner, heading) in enumerate(zip(("virtio_blk_reset", "virtio_net_reset"), headings), 1)]
    messages = [Message("sanitizer", heading) for heading in headings]
    found = explain(Snapshot(Source("text"), program="qemu-system-x86_64", threads=threads, messages=messages)).findings
    assert found[0].kind == "crash.invalid-access" and "only noticed it" in found[0].explanation
