"""Which locks a thread's code holds, told from its stack."""

from __future__ import annotations

import pytest

from qemu_gdb.explain import explain
from qemu_gdb.model import Frame, Snapshot, Thread

COMPLETION = """ppoll qemu_poll_ns fdmon_poll_wait aio_poll bdrv_drain_all_begin mirror_exit_common job_prepare_locked
    job_finalize_locked job_exit aio_bh_call aio_bh_poll aio_dispatch aio_ctx_dispatch g_main_context_dispatch
    glib_pollfds_poll os_host_main_loop_wait main_loop_wait qemu_main_loop main""".split()


def held(version, extra=None):
    stack = [Frame(level, name) for level, name in enumerate(COMPLETION)]
    snapshot = Snapshot(version=version, threads=[Thread(frames=stack, number=1)])
    snapshot.facts.extra.update(extra or {})
    return explain(snapshot).threads[0].holds


@pytest.mark.parametrize("version", ["7.2.22", "8.2.0", None])
def test_job_completion_holds_its_aiocontext_lock_until_8_2(version):
    assert held(version) == ["BQL", "AioContext lock"]


@pytest.mark.parametrize("version", ["9.0.0", "10.0.13"])
def test_no_aiocontext_lock_is_held_where_there_is_none(version):
    assert held(version) == ["BQL"]


def test_the_process_knows_better_than_its_version():
    assert held("8.2.50", {"aiocontext_locks": False}) == ["BQL"]
    assert "AioContext lock" in held("9.0.0", {"aiocontext_locks": True})


@pytest.mark.parametrize("rests_in", ["qemu_process_cpu_events", "qemu_wait_io_event"])
def test_vcpu_rests_under_its_old_and_new_name(rests_in):
    """qemu_wait_io_event is qemu_process_cpu_events since QEMU 10.2."""
    names = f"""pthread_cond_wait qemu_cond_wait_impl {rests_in} mttcg_cpu_thread_fn qemu_thread_start start_thread
        clone3""".split()
    stack = [Frame(level, name) for level, name in enumerate(names)]
    told = explain(Snapshot(threads=[Thread(frames=stack, number=1)]))
    assert (told.threads[0].role, told.threads[0].state) == ("vcpu-mttcg", "idle")
    assert not any(finding.kind.startswith("hang.") for finding in told.findings)


def test_iothread_rests_where_neither_qemu_nor_libc_has_symbols():
    """A distribution's QEMU and libc without debug information: only exported functions have names."""
    io = [("ppoll", "libc.so.6"), (None, None), ("aio_poll", None), (None, None), (None, None), (None, "libc.so.6"),
          (None, "libc.so.6")]
    main = [("ppoll", "libc.so.6"), ("qemu_poll_ns", None), ("main_loop_wait", None), ("qemu_main_loop", None),
            ("qemu_default_main", None), (None, "libc.so.6"), ("__libc_start_main", "libc.so.6"), ("_start", None)]
    threads = [
        Thread(number=number, name=name, frames=[Frame(i, f, library=lib and f"/lib/{lib}", pc=0x1000 + i)
                                                 for i, (f, lib) in enumerate(stack)])
        for number, name, stack in ((1, "qemu-system-x86", main), (3, "IO io0", io))
    ]
    told = explain(Snapshot(program="qemu-system-x86_64", threads=threads))
    assert (told.threads[1].role, told.threads[1].state) == ("iothread", "idle")
    assert not any(finding.kind.startswith(("hang.", "rule.")) for finding in told.findings)
