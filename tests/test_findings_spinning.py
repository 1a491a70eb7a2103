"""Several dumps of one process: a thread at work in the same function each time spins; rest and the guest do not."""

from __future__ import annotations

import pytest
from test_findings_hang import IOTHREAD, KVM, MAIN_LOOP, MUTEX, RCU, thread

from qemu_gdb.capture import text
from qemu_gdb.explain import explain_all
from qemu_gdb.model import BottomHalf, Facts, Handler, Snapshot, Source, Timer
from qemu_gdb.render import text as render_text
from qemu_gdb.render.safe import Form

DISPATCH = ["aio_bh_call", "aio_bh_poll", "aio_dispatch", "aio_ctx_dispatch", "g_main_context_dispatch",
            "glib_pollfds_poll", "os_host_main_loop_wait", *MAIN_LOOP]  # fmt: skip
DEVICE = ["memory_region_write_accessor", "access_with_adjusted_size", "memory_region_dispatch_write",
          "address_space_rw", *KVM]  # fmt: skip
AT_REST = ["__ppoll", "qemu_poll_ns", "os_host_main_loop_wait", *MAIN_LOOP]


def samples(*stacks, number=1, others=(), awake=None, facts=None):
    """Captures a second apart of a thread with these stacks; ``awake``: its time on a processor in each second."""
    result = []
    for second, stack in enumerate(stacks):
        one = thread(number, stack)
        one.processor_s = None if awake is None else awake * second
        snapshot = Snapshot(source=Source(kind="live", pid=7, taken_s=float(second)), threads=[one, *others])
        if facts:
            snapshot.facts = facts[second]
        result.append(snapshot)
    return explain_all(result)[-1]


def spins(explanation):
    return [f for f in explanation.findings if f.kind == "hang.spinning"]


def test_a_thread_at_work_in_the_same_function_loops_there():
    stack = ["cirrus_do_copy", "cirrus_bitblt_start", *DEVICE]
    told = samples(stack, ["cirrus_bitblt_fill", *stack[1:]], stack, number=3)
    (found,) = spins(told)
    assert told.findings[0] is found
    assert found.confidence == "likely"
    assert "cirrus_bitblt_start" in found.title and "vCPU" in found.title


def test_two_captures_make_it_possible_only():
    (found,) = spins(samples(*[["uhci_process_frame", "uhci_frame_timer", *DISPATCH]] * 2))
    assert found.confidence == "possible"


def test_whoever_waited_for_the_bql_all_along_shows_that_one_call_does_not_end():
    vcpu = thread(3, [*MUTEX, "bql_lock_impl", *KVM], args={"qemu_mutex_lock_impl": {"mutex": "0x55d0 <bql>"}})
    (found,) = spins(samples(*[["uhci_process_frame", "uhci_frame_timer", *DISPATCH]] * 3, others=[vcpu], awake=1.0))
    assert "never leaves uhci_process_frame" in found.title
    assert "one call that does not end" in found.explanation
    assert found.threads == [1, 3]


def test_without_symbols_the_bql_shows_that_the_event_loop_does_not_come_back():
    vcpu = thread(3, [*MUTEX, "bql_lock_impl", *KVM], args={"qemu_mutex_lock_impl": {"mutex": "0x55d0 <bql>"}})
    stack = ["read", None, None, "g_main_context_dispatch", *MAIN_LOOP]
    told = samples(stack, stack, stack, others=[vcpu], awake=1.0)
    (found,) = spins(told)
    assert "does not come back from what its event loop has called" in found.title
    assert not any(f.kind == "hang.blocked-syscall" for f in told.findings)


@pytest.mark.parametrize("stack, number", [
    (AT_REST, 1),
    (RCU, 2),
    (["ioctl", "kvm_vcpu_ioctl", *KVM], 3),
    (["ram_find_and_save_block", "ram_save_iterate", "migration_thread", *RCU[-3:]], 4),
    (["cpu_tb_exec", "cpu_exec", "mttcg_cpu_thread_fn", *RCU[-3:]], 5),
])  # fmt: skip
def test_rest_guest_code_and_long_work_do_not_spin(stack, number):
    assert not spins(samples(stack, stack, stack, number=number))
    assert not spins(samples(stack, stack, stack, number=number, awake=0.05))


POLLED = ["virtio_queue_split_empty", "virtio_queue_empty", "virtio_queue_host_notifier_aio_poll",
          "run_poll_handlers_once", "run_poll_handlers", "try_poll_mode", *IOTHREAD]  # fmt: skip


def test_an_iothread_that_polls_adaptively_does_not_spin():
    assert not spins(samples(*[POLLED] * 3, number=3, awake=1.0))


def test_an_iothread_under_load_does_not_spin_but_one_that_stays_in_one_place_does():
    serves = ["virtio_blk_handle_vq", "virtio_queue_notify_vq", "aio_dispatch_handler", "aio_dispatch_handlers",
              "aio_dispatch", *IOTHREAD]  # fmt: skip
    others = (["virtqueue_pop", *serves], ["blk_aio_preadv", "virtio_blk_submit_multireq", *serves],
              ["virtqueue_push", *serves])  # fmt: skip
    assert not spins(samples(*others, number=3, awake=1.0))
    assert not spins(samples(others[0], others[0], number=3, awake=1.0))
    assert spins(samples(*[others[0]] * 3, number=3, awake=1.0))


def test_a_thread_that_slept_in_between_does_not_spin():
    assert not spins(samples(*[["uhci_process_frame", "uhci_frame_timer", *DISPATCH]] * 3, awake=0.2))


def test_a_system_call_that_a_busy_thread_makes_each_time_does_not_block_it():
    told = samples(*[["read", "entropy_available", *DISPATCH]] * 3, awake=1.0)
    assert [f.kind for f in told.findings][0] == "hang.spinning"
    assert told.threads[0].state == "executing"
    assert not any(f.kind == "hang.blocked-syscall" for f in told.findings)


def test_a_main_loop_that_never_sleeps_names_the_bottom_half_that_is_always_due():
    facts = [Facts(main_context=1, bottom_halves=[BottomHalf("virtio_net_tx_bh", 1)]) for _ in range(3)]
    (found,) = spins(samples(AT_REST, ["virtio_net_flush_tx", "virtio_net_tx_bh", *DISPATCH], AT_REST, awake=0.97,
                             facts=facts))  # fmt: skip
    assert "the bottom half virtio_net_tx_bh is scheduled each time" in found.title


def test_a_main_loop_that_only_runs_a_timer_names_it():
    facts = [Facts(timers=[Timer("virtual", 10**9 * n + 1, "pit_irq_timer", 7),
                           Timer("virtual", 99 * 10**9, "rtc_update_timer", 8)]) for n in range(3)]  # fmt: skip
    timers = ["timerlist_run_timers", "qemu_clock_run_all_timers", *MAIN_LOOP]
    (found,) = spins(samples(*[["pit_irq_timer", *timers]] * 3, awake=1.0, facts=facts))
    assert "the timer pit_irq_timer is due again" in found.title


def test_a_main_loop_that_never_sleeps_names_the_descriptor_that_is_always_ready():
    hung_up = Handler(12, 1, note="input of chardev c0", glib=True, ready="in, hung up")
    facts = [Facts(main_context=1, handlers=[hung_up, Handler(9, 1, "accept_cb")]) for _ in range(3)]
    (found,) = spins(samples(*[AT_REST] * 3, awake=1.0, facts=facts))
    assert "descriptor 12 is ready each time" in found.title
    assert "chardev c0" in found.explanation and "hung up" in found.explanation


def test_an_iothread_that_polls_adaptively_is_healthy():
    stack = ["virtio_queue_host_notifier_aio_poll", "run_poll_handlers_once", "run_poll_handlers", "try_poll_mode",
             "aio_poll", "iothread_run", *RCU[-3:]]  # fmt: skip
    assert not spins(samples(stack, stack[1:], stack, number=4, awake=1.0))


DUMP = """\
Thread 2 (Thread 0x7f1 (LWP 102)):
#0  syscall () at ../sysdeps/unix/sysv/linux/x86_64/syscall.S:38
#1  0x1 in qemu_futex_wait (f=0x1, val=4294967295) at include/qemu/futex.h:29
#2  0x2 in qemu_event_wait (ev=0x1) at util/qemu-thread-posix.c:464
#3  0x3 in call_rcu_thread (opaque=0x0) at util/rcu.c:261
#4  0x4 in qemu_thread_start (args=0x1) at util/qemu-thread-posix.c:541
#5  0x5 in start_thread () from /lib64/libpthread.so.0

Thread 1 (Thread 0x7f2 (LWP 101)):
#0  0x55d0{line} in bdrv_parent_drained_begin (bs=0x1) at block/io.c:{line}
#1  0x55d0aa in bdrv_do_drained_begin (bs=0x1) at block/io.c:343
#2  0x55d0ab in bdrv_close_all () at block.c:4001
#3  0x9 in qemu_cleanup () at softmmu/runstate.c:800
#4  0xa in main (argc=3, argv=0x1) at softmmu/main.c:50
"""


def test_dumps_of_one_process_in_a_pasted_text_are_compared():
    snapshots = text.parse("".join(DUMP.format(line=line) for line in (50, 52, 50)))
    assert len(snapshots) == 3
    found = spins(explain_all(snapshots)[-1])
    assert found and "bdrv_parent_drained_begin" in found[0].title


def test_dumps_of_different_processes_are_not():
    other = DUMP.replace("10", "20")
    snapshots = text.parse(DUMP.format(line=50) + other.format(line=52))
    assert not any(spins(e) for e in explain_all(snapshots))


BT = """\
(gdb) bt
#0  0x55d05{line}00 in {function} (vq=0x55d1) at ../hw/virtio/virtio.c:{line}
#1  0x55d06001 in chr_read (opaque=0x55d1, buf=0x1, size=0) at ../hw/virtio/virtio-rng.c:81
#2  0x55d07001 in entropy_available (opaque=0x55d2) at ../backends/rng-random.c:50
#3  0x55d08001 in aio_dispatch_handler (ctx=0x55d3, node=0x55d4) at ../util/aio-posix.c:372
#4  0x55d09001 in aio_dispatch (ctx=0x55d3) at ../util/aio-posix.c:424
#5  0x55d0c001 in main_loop_wait (nonblocking=0) at ../util/main-loop.c:589
#6  0x55d0d001 in qemu_main_loop () at ../system/runstate.c:835
#7  0x55d0e001 in main (argc=1, argv=0x1) at ../system/main.c:48
(gdb) c
Continuing.
^C
"""


def test_bt_again_and_again_shows_samples_of_the_one_main_loop():
    pasted = BT.format(function="virtio_queue_empty", line=1) + BT.format(function="virtqueue_get_avail_bytes", line=2)
    (found,) = spins(explain_all(text.parse(pasted))[-1])
    assert "chr_read" in found.title and found.confidence == "possible"


def test_what_several_dumps_share_is_told_once():
    pasted = "".join(DUMP.format(line=line) for line in (50, 52, 50))
    page = render_text.render(explain_all(text.parse(pasted)), Form(100, True))
    assert page.count("In all 3 captures") == 1
    assert "Capture 2 of 3, the same again" in page


def test_a_loop_that_has_much_to_do_is_no_sure_spin():
    facts = [Facts(main_context=1, bottom_halves=[BottomHalf("thread_pool_completion_bh", 1), BottomHalf("some_bh", 1)])
             for _ in range(3)]  # fmt: skip
    (found,) = spins(samples(*[AT_REST] * 3, awake=1.0, facts=facts))
    assert found.confidence == "possible" and "some_bh" in found.title
    stack = ["virtio_blk_handle_vq", "aio_dispatch_handler", "aio_poll", "iothread_run", *RCU[-3:]]
    assert not spins(samples(stack, stack[1:], stack[1:], number=4, awake=1.0))
