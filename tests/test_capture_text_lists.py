# ruff: noqa: E501  (pasted lines are as long as they are)
"""Stacks that tools show as lists, trees, tables or one line are read: stand-ins in the tools' formats."""

import pytest
from texts import one, parse

from qemu_gdb.explain import explain_all


def names(thread):
    return [frame.function for frame in thread.frames]


def first_finding(source):
    (explanation,) = explain_all(parse(source))
    return explanation.findings[0]


DRAIN = ["ppoll", "aio_poll", "bdrv_drain_all_begin", "qmp_stop", "main_loop_wait", "qemu_main_loop", "main"]


# -- outermost first


def test_a_list_that_begins_with_main_is_read_backwards():
    (thread,) = one("\n".join(["The stuck stack, outermost first:", "", *DRAIN[::-1]])).threads
    assert names(thread) == DRAIN and [frame.level for frame in thread.frames] == list(range(7))
    assert not thread.truncated_bottom


def test_numbers_that_step_down_are_one_stack():
    (thread,) = one("\n".join(f"#{level}  {DRAIN[level]}" for level in range(6, -1, -1))).threads
    assert names(thread) == DRAIN and thread.frames[0].level == 0


@pytest.mark.parametrize(
    "stack",
    [
        ["clone", "create_thread", "__pthread_create_2_1", "qemu_thread_create", "iothread_complete"],
        ["main", "__libc_start_call_main", "__libc_start_main_impl", "_start"],
    ],
)
def test_what_makes_a_thread_or_main_itself_stays_in_order(stack):
    (thread,) = one("\n".join(f"#{level}  {name} ()" for level, name in enumerate(stack))).threads
    assert names(thread) == stack


# -- one line


def test_call_chain_with_a_label_names_its_thread():
    snapshot = one(
        """
        Deadlock:
         CPU 0/KVM: __lll_lock_wait <- pthread_mutex_lock <- bql_lock_impl <- kvm_vcpu_thread_fn <- start_thread
         thread 1: main -> qemu_main_loop -> main_loop_wait -> qmp_stop -> aio_poll
        """
    )
    vcpu, main = snapshot.threads
    assert vcpu.name == "CPU 0/KVM" and names(vcpu)[0] == "__lll_lock_wait"
    assert main.number == 1 and names(main) == ["aio_poll", "qmp_stop", "main_loop_wait", "qemu_main_loop", "main"]


@pytest.mark.parametrize(
    "line",
    [
        "I think that foo_bar -> baz_qux -> the caller is wrong here",
        "It goes build_it -> run_it -> done",
        "s->vdev->dev_class->parent_class->realize->some_cb",
        "for (i_a = 0; i_a < n_b; i_a++) x;y;z 1",
        "a_b;c_d;e_f;g_h 12",
    ],
)
def test_prose_and_code_are_no_call_chain(line):
    assert one(line).threads == []


def test_a_call_chain_beside_a_real_stack_is_a_remark():
    (thread,) = one(
        """
        We came here by main -> qemu_main_loop -> main_loop_wait -> qmp_stop -> aio_poll.
        #0  0x00007f11 in ppoll () from /lib/libc.so.6
        #1  0x00005612 in main_loop_wait (nonblocking=0) at ../util/main-loop.c:336
        """
    ).threads
    assert names(thread) == ["ppoll", "main_loop_wait"]


def test_folded_stacks_keep_the_heaviest_of_each_thread_and_no_kernel_frames():
    snapshot = one(
        """
        qemu-system-x86;[unknown];main;qemu_main_loop;main_loop_wait;aio_dispatch;tap_receive_iov;writev 812
        CPU 0/KVM;start_thread;qemu_thread_start;kvm_vcpu_thread_fn;kvm_cpu_exec;ioctl;entry_SYSCALL_64_after_hwframe;do_syscall_64;kvm_vcpu_ioctl 15231
        CPU 0/KVM;start_thread;qemu_thread_start;kvm_vcpu_thread_fn;kvm_cpu_exec;bql_lock_impl;__lll_lock_wait 3
        """
    )
    main, vcpu = snapshot.threads
    assert (main.name, names(main)[0], names(main)[-1]) == ("qemu-system-x86", "writev", "main")
    assert vcpu.name == "CPU 0/KVM" and names(vcpu)[:2] == ["ioctl", "kvm_cpu_exec"]
    (explanation,) = explain_all([snapshot])
    assert [f.kind for f in explanation.findings] == ["state.running"]  # a profile: writev is at work


def test_a_wait_in_folded_stacks_is_no_more_than_possible():
    line = ("main;qemu_main_loop;main_loop_wait;os_host_main_loop_wait;g_main_context_dispatch;aio_ctx_dispatch;"
            "aio_bh_poll;do_qmp_dispatch_bh;qmp_marshal_stop;qmp_stop;vm_stop;do_vm_stop;bdrv_drain_all;"
            "bdrv_drain_all_begin;aio_poll;fdmon_poll_wait;qemu_poll_ns;ppoll")
    found = explain_all([one(f"qemu-system-x86;{line} 800")])[0].findings[0]
    assert (found.kind, found.confidence) == ("hang.drain-waits-for-io", "possible")
    assert "Folded stacks don't tell a thread that waits from one that ran" in found.explanation
    chain = " <- ".join(reversed(line.split(";")))
    assert explain_all([one(f"main thread: {chain}")])[0].findings[0].confidence == "likely"


# -- trees


SAMPLE = """
Call graph:
    2511 Thread_412345   DispatchQueue_1: com.apple.main-thread  (serial)
    + 2511 start  (in dyld) + 6000  [0x18a1b4274]
    +   2511 main  (in qemu-system-aarch64) + 84  [0x100b1c054]
    +     2511 qemu_main_loop  (in qemu-system-aarch64) + 40  [0x100d00028]
    2511 Thread_412356: CPU 0/HVF
    + 2511 thread_start  (in libsystem_pthread.dylib) + 8  [0x18a5397fc]
    +   2511 hvf_cpu_thread_fn  (in qemu-system-aarch64) + 240  [0x100e000f0]
    +     111 hvf_vcpu_exec  (in qemu-system-aarch64) + 900  [0x100e014bc]
    +     ! 111 bql_lock_impl  (in qemu-system-aarch64) + 60  [0x100d0503c]
    +     2400 hvf_vcpu_exec  (in qemu-system-aarch64) + 200  [0x100e01200]
    +       2400 hv_vcpu_run  (in Hypervisor) + 52  [0x23bc01234]

Total number in stack (recursive counted multiple, when >=5):
        5       start  (in dyld) + 6000  [0x18a1b4274]
"""


def test_macos_sample_follows_the_heaviest_branch():
    main, vcpu = one(SAMPLE).threads
    assert names(main) == ["qemu_main_loop", "main", "start"] and main.lwp == 412345 and main.name is None
    assert vcpu.name == "CPU 0/HVF"
    assert names(vcpu) == ["hv_vcpu_run", "hvf_vcpu_exec", "hvf_cpu_thread_fn", "thread_start"]
    assert vcpu.frames[0].library == "Hypervisor" and vcpu.frames[0].pc == 0x23BC01234


def test_perf_report_tree_gives_the_heaviest_branch_innermost_first():
    (thread,) = one(
        """
            98.21%     0.00%  qemu-system-x86  qemu-system-x86_64         [.] qemu_main_loop
                    |
                    ---qemu_main_loop
                       main_loop_wait
                       aio_dispatch
                       |
                       |--61.20%--aio_bh_poll
                       |          virtio_net_tx_bh
                       |
                        --36.90%--aio_dispatch_handlers
                                  virtio_queue_host_notifier_read
        """
    ).threads
    assert thread.name == "qemu-system-x86"
    assert names(thread) == ["virtio_net_tx_bh", "aio_bh_poll", "aio_dispatch", "main_loop_wait", "qemu_main_loop"]


# -- Android


TOMBSTONE = """\
pid: 18210, tid: 18214, name: CPU 0/TCG  >>> /data/usr/bin/qemu-system-x86_64 -m 1 <<<
signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x18
backtrace:
      #00 pc 00000000006a3d48  /data/usr/bin/qemu-system-x86_64 (ide_data_readw+124) (BuildId: 1234abcd)
      #01 pc 0000000000045abc  <anonymous:7a20000000>
      #02 pc 00000000008f0000  /data/usr/bin/qemu-system-x86_64 (cpu_exec+900)
      #03 pc 00000000000cb6a8  /apex/lib64/bionic/libc.so (__pthread_start(void*)+208)
"""


@pytest.mark.parametrize("prefix", ["", "02-21 11:20:31.123 18300 18300 F DEBUG   : "])
def test_android_tombstone_and_logcat(prefix):
    snapshot = one("".join(f"{prefix}{line}\n" for line in TOMBSTONE.splitlines()))
    (thread,) = snapshot.threads
    assert (thread.lwp, thread.name, thread.crashed) == (18214, "CPU 0/TCG", True)
    assert (snapshot.program, snapshot.source.pid) == ("qemu-system-x86_64", 18210)
    assert (snapshot.signal.name, snapshot.signal.address) == ("SIGSEGV", 0x18)
    assert names(thread) == ["ide_data_readw", None, "cpu_exec", "__pthread_start"]
    assert [frame.kind for frame in thread.frames] == ["normal", "jit", "normal", "normal"]
    assert thread.frames[0].library == "/data/usr/bin/qemu-system-x86_64" and not thread.truncated_bottom


def test_a_path_is_a_module_not_a_function():
    (thread,) = one(
        """
        #00 /data/usr/bin/qemu-system-x86_64 (ide_data_readw+124)
        #01 /data/usr/bin/qemu-system-x86_64
        """
    ).threads
    assert names(thread) == ["ide_data_readw", None]
    assert thread.frames[1].library == "/data/usr/bin/qemu-system-x86_64"


def test_bionics_assertion():
    message = one("Abort message: '../block.c:3395: void bdrv_unref(BDS *): assertion \"bs->refcnt > 0\" failed'").messages[0]
    assert (message.kind, message.function, message.expression) == ("assertion", "bdrv_unref", "bs->refcnt > 0")


# -- screens of gdb


def test_gdb_dashboard_gives_the_current_threads_stack_and_the_others_places():
    snapshot = one(
        """
        ─── Stack ───────────────────────────────────────────────────
        [0] from 0x00007ffff6a969fc in __pthread_kill_implementation+284 at pthread_kill.c:44
        [1] from 0x00007ffff6a287f3 in __GI_abort+211 at abort.c:79
        [2] from 0x0000555555b1a2c3 in bdrv_unref+99 at ../block.c:3395
        [+]
        ─── Threads ─────────────────────────────────────────────────
        [5] id 9125 name CPU 1/KVM from 0x00007ffff6b1aaff in __GI___ioctl+63 at ../syscall-template.S:120
        [1] id 9121 name qemu-system-x86 from 0x00007ffff6a969fc in __pthread_kill_implementation+284 at pthread_kill.c:44
        """
    )
    current, vcpu = snapshot.threads
    assert (current.number, current.lwp, current.current) == (1, 9121, True) and current.truncated_bottom
    assert names(current) == ["__pthread_kill_implementation", "__GI_abort", "bdrv_unref"]
    assert (current.frames[2].file, current.frames[2].line) == ("../block.c", 3395)
    assert (vcpu.number, vcpu.name, names(vcpu)) == (5, "CPU 1/KVM", ["__GI___ioctl"])


def test_gef_tells_number_name_and_signal_of_the_current_thread():
    snapshot = one(
        """
        [#0] Id 1, Name: "qemu-system-arm", stopped 0x5555557a11c4 in dma_memory_rw (), reason: SIGSEGV
        [#1] Id 4, Name: "CPU 0/TCG", stopped 0x7ffff6b1aaff in syscall (), reason: SIGSEGV
        ─── trace ────
        [#0] 0x5555557a11c4 → dma_memory_rw(as=0x0, addr=0x40001000)
        [#1] 0x5555557a1300 → sdhci_write(opaque=0x555557400000)
        """
    )
    current, other = snapshot.threads
    assert (current.number, current.name, current.crashed) == (1, "qemu-system-arm", True)
    assert names(current) == ["dma_memory_rw", "sdhci_write"] and snapshot.signal.name == "SIGSEGV"
    assert (other.number, other.name, names(other)) == (4, "CPU 0/TCG", ["syscall"])


# -- editors


@pytest.mark.parametrize("module", ["", "qemu-system-x86_64!"])
def test_visual_studio_codes_call_stack(module):
    (thread,) = one(
        f"""
        libc.so.6!__GI_raise(int sig) (raise.c:26)
        libc.so.6!__GI___assert_fail(const char * assertion, const char * file) (assert.c:101)
        {module}vring_used_idx_set(VirtQueue * vq, void (*cb)(int)) (/home/me/qemu/hw/virtio/virtio.c:410)
        libglib-2.0.so.0!g_main_context_dispatch (Unknown Source:0)
        {module}main(int argc, char ** argv) (/home/me/qemu/system/main.c:76)
        """
    ).threads
    assert names(thread) == ["__GI_raise", "__GI___assert_fail", "vring_used_idx_set", "g_main_context_dispatch", "main"]
    assert (thread.frames[2].file, thread.frames[2].line) == ("/home/me/qemu/hw/virtio/virtio.c", 410)
    assert thread.frames[3].library == "libglib-2.0.so.0"


def test_clion_frames_without_a_line_do_not_split_the_stack():
    (thread,) = one(
        """
        aio_ctx_dispatch async.c:361
        g_main_context_dispatch 0x00007ffff7e3ad1b
        main_loop_wait main-loop.c:589
        main main.c:76
        _start 0x00005555556b1d85
        """
    ).threads
    assert names(thread) == ["aio_ctx_dispatch", "g_main_context_dispatch", "main_loop_wait", "main", "_start"]


# -- how it died


@pytest.mark.parametrize(
    "source, name, address",
    [
        ("qemu.exe caused an Access Violation at location 00007FF6D1A2B3C4 in module qemu.exe Reading from location 0000000000000010.", "EXCEPTION_ACCESS_VIOLATION", 0x10),
        ("(2cf4.1f0c): Access violation - code c0000005 (first chance)\n00007ff7`1a2b3c4d 488b4738  mov  rax,qword ptr [rdi+38h] ds:00000000`00000038=????????????????", "EXCEPTION_ACCESS_VIOLATION", 0x38),
        ("*** signal 11\nRegister dump:\n Trap: 0000000e   Error: 00000004   OldMask: 00000000   CR2: 00000018", "SIGSEGV", 0x18),
        ("Crash reason:  SIGSEGV /SEGV_MAPERR\nCrash address: 0x10", "SIGSEGV", 0x10),
        ("*** SIGSEGV received at time=1710239912 on cpu 3 ***", "SIGSEGV", None),
        ("*** SIGSEGV (@0x18) received by PID 17711 (TID 0x7f893090a6f0) from PID 24; stack trace: ***", "SIGSEGV", 0x18),
    ],
)
def test_signals_of_crash_handlers(source, name, address):
    signal = one(source).signal
    assert (signal.name, signal.address) == (name, address)


def test_minidump_stackwalk():
    snapshot = one(
        """
        Crash reason:  SIGSEGV /SEGV_MAPERR
        Crash address: 0x10

        Thread 2 (crashed)
         0  qemu-system-x86_64!virtio_net_flush_tx [virtio-net.c : 2700 + 0x5]
            rax = 0x0000000000000000   rdx = 0x0000000000000001
            rip = 0x000055e1a1b2c3d4
            Found by: given as instruction pointer in context
         1  libc.so.6!start_thread [pthread_create.c : 442 + 0x3]
            Found by: call frame info

        Thread 0
         0  libc.so.6 + 0x4f
            Found by: given as instruction pointer in context
         1  qemu-system-x86_64!qemu_main_loop [runstate.c : 835 + 0x5]
        """
    )
    died, main = snapshot.threads
    assert (died.number, died.crashed, names(died)) == (2, True, ["virtio_net_flush_tx", "start_thread"])
    assert (died.frames[0].library, died.frames[0].line) == ("qemu-system-x86_64", 2700) and not died.frames[0].locals
    assert (main.number, main.crashed, names(main)) == (0, False, [None, "qemu_main_loop"])


def test_abseil_begins_where_the_program_was_not_in_the_handler():
    (thread,) = one(
        """
        *** SIGSEGV received at time=1710239912 on cpu 3 ***
        PC: @     0x55bbc3a1b2c3  (unknown)  memory_region_transaction_commit
            @     0x55bbc3a00000       1536  absl::WriteFailureInfo()
            @     0x7f1c2b042520  (unknown)  (unknown)
            @     0x55bbc3a1b2c3         64  memory_region_transaction_commit
            @     0x55bbc3b02222  (unknown)  kvm_vcpu_thread_fn
            @     0x7f1c2b094ac3  (unknown)  start_thread
        """
    ).threads
    assert names(thread) == ["memory_region_transaction_commit", "kvm_vcpu_thread_fn", "start_thread"] and thread.crashed


# -- lists of profilers


def test_bcc_key_names_the_thread_and_kernel_frames_are_left_out():
    first, second = one(
        """
            finish_task_switch.isra.0
            schedule
            do_syscall_64
            entry_SYSCALL_64_after_hwframe
            __lll_lock_wait
            bql_lock_impl
            kvm_vcpu_thread_fn
            start_thread
            -                CPU 0/KVM (4130)
                498123

            ppoll
            qemu_poll_ns
            main_loop_wait
            qemu_main_loop
            main
            -                qemu-system-x86 (4123)
                4998001
        """
    ).threads
    assert (first.name, first.lwp) == ("CPU 0/KVM", 4130)
    assert names(first) == ["__lll_lock_wait", "bql_lock_impl", "kvm_vcpu_thread_fn", "start_thread"]
    assert (second.name, second.lwp) == ("qemu-system-x86", 4123)


# -- what carries a stack


def test_markdown_table_of_frames():
    (thread,) = one(
        """
        | # | Address | Function | Location |
        |---|---------|----------|----------|
        | 0 | 0x7f3abe1af1a0 | `__GI___ioctl` | ../sysdeps/unix/sysv/linux/ioctl.c:36 |
        | 1 | 0x7f3abe1af2a0 | `??` | /usr/lib/dri/radeonsi_dri.so |
        | 2 | 0x55d8a5601a02 | `main (argc=1)` | ../system/main.c:37 |
        """
    ).threads
    assert names(thread) == ["__GI___ioctl", None, "main"] and thread.frames[0].pc == 0x7F3ABE1AF1A0
    assert thread.frames[1].library == "/usr/lib/dri/radeonsi_dri.so"
    assert (thread.frames[2].args, thread.frames[2].line) == ({"argc": "1"}, 37)


def test_numbers_that_became_links():
    (thread,) = one(
        """
        [#0](https://example.org/issues/0)  futex_wait (private=0) at ../nptl/futex-internal.h:146
        [#1](https://example.org/issues/1) 0x00007f3ac0b227cc in clone3 () at ../clone3.S:81
        """
    ).threads
    assert names(thread) == ["futex_wait", "clone3"] and thread.frames[1].pc == 0x7F3AC0B227CC


def test_numbers_and_addresses_of_a_scanned_stack():
    (thread,) = one(
        """
        #O  futex_wait (private=0) at ../nptl/futex-internal.h:146
        #l  Ox00007f3ac0aa1e6l in lll_lock (mutex=0x1) at pthread_mutex_lock.c:48
        #2  qemu_main_loop () at ../system/runstate.c:782
        """
    ).threads
    assert names(thread) == ["futex_wait", "lll_lock", "qemu_main_loop"] and thread.frames[1].pc == 0x7F3AC0AA1E61


@pytest.mark.parametrize(
    "told, chosen",
    [
        ('线程 3 "CPU 0/KVM" 收到信号 SIGSEGV, 段错误.', "[切换到线程 0x7fffe37fe6c0 (LWP 9123)]"),
        ('Thread 3 "CPU 0/KVM" hat Signal SIGSEGV, Speicherzugriffsfehler empfangen.', "[Wechsel zu Thread 0x7fffe37fe6c0 (LWP 9123)]"),
    ],
)
def test_a_gdb_in_another_language_tells_thread_and_signal(told, chosen):
    snapshot = one(f"{told}\n{chosen}\n(gdb) bt\n#0  0x0000555555b4a1c0 in f (pkt=0x0) at ../a.c:1\n#1  0x0000555555b4a1c1 in g () at ../a.c:2\n")
    (thread,) = snapshot.threads
    assert (thread.number, thread.lwp, thread.name, thread.crashed) == (3, 9123, "CPU 0/KVM", True)
    assert snapshot.signal.name == "SIGSEGV"


def test_a_german_core_tells_its_command_and_its_thread():
    snapshot = one(
        """
        Core wurde erzeugt von »qemu-system-x86_64 -enable-kvm -m 4096«.
        Programm beendet mit Signal SIGABRT, Abgebrochen.
        #0  raise () at ./nptl/pthread_kill.c:44
        [Aktueller Thread ist 1 (Thread 0x7f57a1ffb6c0 (LWP 4125))]
        (gdb) bt
        #0  raise () at ./nptl/pthread_kill.c:44
        #1  0x00005581d1a40999 in kvm_put_msrs (level=<wegoptimiert>) at ../target/i386/kvm/kvm.c:3400
        """
    )
    (thread,) = snapshot.threads
    assert (thread.number, thread.lwp, thread.crashed) == (1, 4125, True)
    assert snapshot.program == "qemu-system-x86_64" and snapshot.signal.name == "SIGABRT"
    assert snapshot.accelerator == "kvm"


def test_machine_interface_numbers_the_stack_that_a_command_asked_for():
    snapshot = one(
        """
        -thread-info
        ^done,threads=[{id="1",target-id="Thread 0x7f1 (LWP 3301)",name="qemu-system-x86",state="stopped"},{id="3",target-id="Thread 0x7f2 (LWP 3305)",name="CPU 0/KVM",state="stopped"}],current-thread-id="1"
        (gdb)
        -stack-list-frames --thread 3
        ^done,stack=[frame={level="0",addr="0x7f1c",func="ioctl"},frame={level="1",addr="0x55e1",func="kvm_cpu_exec"}]
        (gdb)
        """
    )
    (thread,) = snapshot.threads
    assert (thread.number, thread.lwp, thread.name) == (3, 3305, "CPU 0/KVM")


# -- rr


def test_rrs_own_frames_are_not_who_gave_up():
    finding = first_finding(
        """
        Thread 2 received signal SIGABRT, Aborted.
        [Switching to Thread 70123.70125]
        (rr) bt
        #0  0x0000000070000002 in syscall_traced ()
        #1  0x00007fd9e0b2f3a3 in _raw_syscall () at /home/roc/rr/rr/src/preload/raw_syscall.S:120
        #2  0x00007fd9e0b2bd11 in traced_raw_syscall (call=0x7fd9de0fefd0) at /home/roc/rr/rr/src/preload/syscallbuf.c:278
        #3  0x00007fd9e0b2b240 in _syscall_hook_trampoline () at /home/roc/rr/rr/src/preload/syscall_hook.S:313
        #4  0x00007fd9e06a969f in __pthread_kill_implementation (signo=6) at ./nptl/pthread_kill.c:44
        #5  0x00007fd9e06333a4 in __GI_abort () at ./stdlib/abort.c:79
        #6  0x00007fd9e1a3b5c1 in g_assertion_message (message=0x1) at ../glib/gtestutils.c:3331
        #7  0x000055c8a1b2c3d4 in tcg_handle_interrupt (cpu=0x55c8a4a1b2c0, mask=2) at ../accel/tcg/tcg-accel-ops.c:79
        #8  0x000055c8a1d13999 in rr_cpu_thread_fn (arg=0x55c8a4a1b2c0) at ../accel/tcg/tcg-accel-ops-rr.c:285
        """
    )
    assert finding.kind == "crash.assertion" and "tcg_handle_interrupt" in finding.title
    assert finding.threads == [2]
