"""Which of QEMU's own threading rules a stack breaks, and the states in which nothing is wrong. Facts are fakes."""

# ruff: noqa: E501 - backtraces are quoted as gdb prints them
from __future__ import annotations

import pytest

from qemu_gdb.capture import text
from qemu_gdb.explain import explain
from qemu_gdb.model import BlockNode, Facts, Frame, Message, Signal, Snapshot, Source, Thread

VCPU = ["memory_region_write_accessor", "access_with_adjusted_size", "memory_region_dispatch_write"]
KVM = ["kvm_cpu_exec", "kvm_vcpu_thread_fn", "qemu_thread_start", "start_thread", "clone3"]
ABORT = ["raise", "abort", "__assert_fail_base", "__assert_fail"]


def thread(number, names, args=None):
    return Thread(frames=[Frame(i, n, args=dict((args or {}).get(n, {}))) for i, n in enumerate(names)], number=number)


def findings(*threads, **kwargs):
    return explain(Snapshot(threads=list(threads), **kwargs)).findings


def assertion(expression, function, names, number=1):
    message = Message("assertion", f"{function}: Assertion `{expression}' failed.", function, "../system/x.c", 1, expression)
    return findings(thread(number, ABORT + [function, *names]), messages=[message])


@pytest.mark.parametrize("expression", ["bql_locked()", "qemu_mutex_iothread_locked()"])
def test_helper_of_generated_code_without_the_bql(expression):
    names = ["x86_register_ferr_irq", "helper_fninit", "code_gen_buffer", "cpu_tb_exec", "cpu_exec", "mttcg_cpu_thread_fn"]
    found = assertion(expression, "tcg_handle_interrupt", names)
    assert found[0].kind == "crash.assertion"
    assert found[1].kind == "rule.bql-not-held"
    assert "helper_fninit" in found[1].explanation


def test_coroutine_that_may_not_be_one():
    found = assertion("!qemu_in_coroutine()", "bdrv_graph_rdlock_main_loop", ["bdrv_unregister_buf", "coroutine_trampoline"])
    assert found[1].kind == "rule.coroutine-context"
    assert "must not run in a coroutine" in found[1].title


def test_coroutine_entered_twice():
    content = """Co-routine re-entered recursively
#0  raise () from /lib64/libc.so.6
#1  abort () from /lib64/libc.so.6
#2  qemu_aio_coroutine_enter (ctx=0x555500001000, co=0x555500002000) at ../util/qemu-coroutine.c:281
#3  aio_co_enter (ctx=0x555500001000, co=0x555500002000) at ../util/async.c:713
#4  qio_channel_restart_read (opaque=0x555500003000) at ../io/channel.c:569
#5  aio_dispatch_handler (ctx=0x555500001000, node=0x1) at ../util/aio-posix.c:372
#6  aio_poll (ctx=0x555500001000, blocking=true) at ../util/aio-posix.c:712
#7  iothread_run (opaque=0x1) at ../iothread.c:63
"""
    found = explain(text.parse(content)[0]).findings
    assert found[0].kind == "crash.abort" and "re-entered" in found[0].title
    assert found[1].kind == "rule.coroutine-context"
    assert "qio_channel_restart_read" in found[1].explanation


def test_device_entered_twice_by_its_own_dma():
    names = ["lsi_reg_writeb", "lsi_mmio_write", *VCPU, "flatview_write", "address_space_write", "dma_memory_write",
             "lsi_do_dma", "lsi_execute_script", "lsi_mmio_write", *VCPU, "flatview_write", *KVM]  # fmt: skip
    found = findings(thread(4, names), signal=Signal(name="SIGSEGV"))
    rule = next(f for f in found if f.kind == "rule.mmio-reentrancy")
    assert "lsi_mmio_write" in rule.title


def test_one_device_access_is_no_reentrancy():
    found = findings(thread(4, ["e1000_mmio_write", *VCPU, "flatview_write", "address_space_write", *KVM]))
    assert not any(f.kind.startswith("rule.") for f in found)


def test_bottom_half_that_runs_on_a_vcpu():
    names = ABORT + ["virtio_net_pre_save", "save_snapshot", "snapshot_save_job_bh", "aio_bh_poll", "aio_poll", "bdrv_poll_co",
                     "blk_pwrite", "pflash_update", *VCPU, "flatview_write", *KVM]  # fmt: skip
    rule = next(f for f in findings(thread(4, names)) if f.kind == "rule.nested-poll-off-home-thread")
    assert "snapshot_save_job_bh" in rule.title and "vCPU" in rule.title


def test_exclusive_work_queued_for_a_vcpu_breaks_no_rule():
    names = ["futex_wait", "pthread_cond_wait", "qemu_cond_wait_impl", "start_exclusive", "process_queued_cpu_work",
             "qemu_wait_io_event", "mttcg_cpu_thread_fn", "qemu_thread_start"]  # fmt: skip
    assert not any(f.kind.startswith("rule.") for f in findings(thread(3, names)))


# --- states


def idle(facts=None, kind="core", **kwargs):
    main = thread(1, ["__ppoll", "qemu_poll_ns", "os_host_main_loop_wait", "main_loop_wait", "qemu_main_loop", "main"])
    vcpu = thread(3, ["futex_wait", "pthread_cond_wait", "qemu_cond_wait_impl", "qemu_wait_io_event", "kvm_vcpu_thread_fn",
                      "qemu_thread_start", "start_thread", "clone3"])  # fmt: skip
    return findings(main, vcpu, facts=facts or Facts(), source=Source(kind=kind), **kwargs)


@pytest.mark.parametrize(
    ("runstate", "kind"),
    [("paused", "state.paused"), ("prelaunch", "state.prelaunch"), ("inmigrate", "state.incoming"),
     ("io-error", "state.io-error"), ("guest-panicked", "state.guest-panicked"), ("shutdown", "state.shutdown")],
)  # fmt: skip
def test_run_state_explains_a_process_at_rest(runstate, kind):
    found = idle(Facts(runstate=runstate))
    assert [f.kind for f in found] == [kind]
    assert found[0].confidence == "certain"


def test_io_error_names_the_node():
    found = idle(Facts(runstate="io-error", nodes=[BlockNode("bd0", "blkdebug", note="1 failed read, rerror=stop")]))
    assert "bd0 (blkdebug)" in found[0].explanation and "rerror=stop" in found[0].explanation
    assert "`cont`" in found[0].next_steps[0]


def test_parked_kvm_vcpus_without_facts_mean_a_stopped_vm():
    found = idle(kind="text")
    assert found[0].kind == "state.paused"
    assert found[0].confidence == "likely"


def test_breakpoint_is_no_crash_and_its_waiters_no_hang():
    vcpu = thread(4, ["apic_mem_write", *VCPU, "do_st4_mmu", "code_gen_buffer", "cpu_tb_exec", "cpu_exec", "mttcg_cpu_thread_fn"])
    vcpu.current = True
    main = thread(1, ["futex_wait", "pthread_mutex_lock", "qemu_mutex_lock_impl", "bql_lock_impl", "os_host_main_loop_wait",
                      "main_loop_wait", "main"])  # fmt: skip
    found = findings(vcpu, main, signal=Signal(name="SIGTRAP"))
    assert [f.kind for f in found] == ["state.breakpoint"]
    assert "normal" in found[0].explanation


def test_coroutine_signal_under_a_debugger_is_no_crash():
    found = findings(thread(3, ["__sigsuspend", "qemu_coroutine_new", "qemu_coroutine_create"]), signal=Signal(name="SIGUSR2"))
    assert found[0].kind == "state.breakpoint"
    assert "pass" in found[0].next_steps[0]


def test_all_guest_threads_in_their_own_futexes():
    names = ["safe_syscall_base", "safe_futex", "do_safe_futex", "do_syscall1", "do_syscall", "cpu_loop"]
    found = findings(thread(1, [*names, "main"]), thread(3, [*names, "clone_func", "start_thread", "clone"]))
    assert found[0].kind == "state.idle"
    assert "no lock of QEMU" in found[0].explanation
