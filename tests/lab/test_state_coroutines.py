"""Suspended coroutines: found, unwound with arguments, and what each waits for."""

from __future__ import annotations

import json

import pytest
from state_lab import VERSIONS, command, snapshot

pytestmark = pytest.mark.parametrize("version", VERSIONS)


def of_request(snap, node):
    request = next(r for r in snap.facts.requests if r.node == node)
    return next(c for c in snap.coroutines if c.address == request.coroutine)


def functions(coroutine):
    return [f.name for f in coroutine.frames]


def test_request_on_a_silent_nbd_server_waits_for_that_peer(version):
    coroutine = of_request(snapshot("nbd_stop", version), "nbd0")
    assert coroutine.waits_kind == "peer"
    assert coroutine.waits_text.startswith("a reply of the NBD server at unix:/")
    assert functions(coroutine)[:2] == ["qemu_coroutine_switch", "qemu_coroutine_yield"]
    assert functions(coroutine)[2] in ("qio_channel_yield", "nbd_co_do_receive_one_chunk")  # in 5.2 another one reads
    assert functions(coroutine)[-2:] == ["blk_aio_read_entry", "coroutine_trampoline"]
    arguments = next(f.args for f in coroutine.frames if f.name in ("blk_co_do_preadv_part", "blk_do_preadv"))
    assert (arguments["offset"], arguments["bytes"]) == ("0", "512")


def test_suspended_blkdebug_request_waits_for_resume(version):
    assert of_request(snapshot("blkdebug_drain", version), "bd0").waits_kind == "blkdebug"


def test_throttled_request_waits_for_its_group(version):
    snap = snapshot("throttled", version)
    request = next(r for r in snap.facts.requests if r.driver == "throttle")
    assert of_request(snap, request.node).waits_kind == "throttle"


def test_mirror_job_waits_for_a_slot_and_its_copies_for_a_timer(version):
    snap = snapshot("mirror_slow", version)
    job = next(c for c in snap.coroutines if c.origin == "job")
    assert job.entry == "job_co_entry" and job.waits_kind == "job"
    copies = [c for c in snap.coroutines if c.origin == "request"]
    assert copies and {c.waits_kind for c in copies} == {"timer"}


def test_idle_qmp_dispatcher_waits_for_the_next_command(version):
    kinds = {c.entry: c.waits_kind for c in snapshot("idle_tcg", version).coroutines}
    assert kinds["monitor_qmp_dispatcher_co"] == "idle"


def test_pooled_coroutines_are_left_out(version):
    for state in ("io_error", "nbd_stop"):
        for coroutine in snapshot(state, version).coroutines:
            assert functions(coroutine)[1] == "qemu_coroutine_yield"


def test_one_coroutine_is_shown_with_its_stack_on_request(version):
    listed = json.loads(command("nbd_stop", version, "qemu-coroutines --format json")[0])["coroutines"]
    address = next(c["address"] for c in listed if c["waits_for"]["kind"] == "peer")
    (shown,) = command("nbd_stop", version, f"qemu-coroutines {address}")
    assert "waits for a reply of the NBD server at unix:/" in shown
    assert "nbd_client_co_preadv (bs=" in shown and "coroutine_trampoline" in shown


def test_threads_and_frames_are_the_same_after_the_unwinding(version):
    before, _, after = command("nbd_stop", version, "bt", "qemu-coroutines --all", "bt")
    assert before == after
    *_, selected, _, again = command("nbd_stop", version, "thread 3", "up", "frame", "qemu-coroutines", "frame")
    assert selected == again


def test_unwinder_is_gone_afterwards(version):
    _, listed = command("nbd_stop", version, "qemu-coroutines", "info unwinder")
    assert "qemu-gdb" not in listed


def test_backtrace_of_a_thread_in_a_coroutine_goes_on_to_who_entered_it(version):
    (shown,) = command("null_in_coroutine_injected", version, "qemu-bt")
    coroutine, _, outer = shown.partition("-- entered from the thread's own stack")
    assert "coroutine_trampoline" in coroutine and "bdrv_co_preadv_part" in coroutine
    assert "qemu_coroutine_switch" in outer and "iothread_run" in outer and "#0 " not in outer


def test_crashed_thread_in_a_coroutine_keeps_its_role(version):
    told = json.loads(command("null_in_coroutine_injected", version, "qemu-explain --format json")[0])
    crashed = next(t for t in told["threads"] if t["state"] == "crashed")
    assert crashed["role"] == "iothread"


def test_search_past_the_limit_is_left_out_with_a_notice(version):
    _, shown = command("nbd_stop", version, "set qemu-search-limit 1", "qemu-coroutines")
    assert "left out" in " ".join(shown.split()) and "limit 1 MB; set qemu-search-limit" in " ".join(shown.split())
    assert "a reply of the NBD server" in shown
