"""A core whose structures are damaged: reading ends, says so, and the rest is still explained."""

from __future__ import annotations

import time

import pytest
from state_lab import VERSIONS, Patched, lab_core, of_core

NODE = "(all_bdrv_states.tqh_first)"
CPU_HEAD = {"5.2": "cpus", "7.2": "cpus"}


@pytest.fixture(params=VERSIONS)
def patched(request, tmp_path):
    core = Patched(lab_core("nbd_stop", request.param), tmp_path)
    core.version = request.param
    return core


def notices(snap):
    return [n.text for n in snap.notices if n.kind == "notice.unreadable"]


def still_explained(snap):
    return snap.facts.runstate == "paused" and len(snap.threads) >= 5 and snap.facts.bql_owner_lwp


def test_a_looping_list_of_nodes_is_noticed(patched):
    node = patched.evaluate(NODE)
    patched.write(patched.evaluate(f"&{NODE}->bs_list.tqe_next"), node)
    snap = of_core(patched.program, patched.path)
    assert any("block nodes: the list loops" in n for n in notices(snap))
    assert [n.name for n in snap.facts.nodes] == ["nbd0"] and len(snap.facts.requests) == 1
    assert still_explained(snap)


def test_a_wild_pointer_in_the_list_of_vcpus_is_noticed(patched):
    head = CPU_HEAD.get(patched.version, "cpus_queue")
    patched.write(patched.evaluate(f"&{head}.tqh_first->node.tqe_next"), 0x4141414141414141)
    snap = of_core(patched.program, patched.path)
    assert [v.index for v in snap.facts.vcpus] == [0]
    assert any("vCPU" in n for n in notices(snap))
    assert len(snap.facts.requests) == 1 and still_explained(snap)


def test_requests_in_a_loop_are_bounded(patched):
    request = patched.evaluate(f"{NODE}->tracked_requests.lh_first")
    patched.write(patched.evaluate(f"&{NODE}->tracked_requests.lh_first->list.le_next"), request)
    snap = of_core(patched.program, patched.path)
    assert len(snap.facts.requests) == 1
    assert any("requests of node nbd0: the list loops" in n for n in notices(snap))


def test_an_object_tree_with_a_huge_count_is_bounded(patched):
    table = patched.evaluate("object_get_root::root->properties")
    patched.write(table, 1 << 50)
    started = time.monotonic()
    snap = of_core(patched.program, patched.path)
    assert time.monotonic() - started < 30
    assert notices(snap) and still_explained(snap)
    assert len(snap.facts.requests) == 1


def test_a_coroutine_whose_stack_pointer_is_wild_costs_only_itself(patched):
    coroutine = patched.evaluate(f"{NODE}->tracked_requests.lh_first->co")
    patched.write(patched.evaluate(f"&((CoroutineUContext *){coroutine})->stack"), 0x1000)
    snap = of_core(patched.program, patched.path)
    assert coroutine not in [c.address for c in snap.coroutines]
    assert {c.entry for c in snap.coroutines} == {"monitor_qmp_dispatcher_co"} | (
        {"nbd_connection_entry"} if patched.version == "5.2" else set())  # block/nbd.c, until 6.0 reads all replies
    assert len(snap.facts.requests) == 1 and still_explained(snap)


def test_a_node_full_of_garbage_costs_only_itself(patched):
    node = patched.evaluate(NODE)
    for name in ("drv", "children.lh_first", "parents.lh_first", "opaque"):
        patched.write(patched.evaluate(f"&(({NODE})->{name})"), 0x4242424242424242)
    snap = of_core(patched.program, patched.path)
    assert node and notices(snap) and still_explained(snap)
    assert [v.index for v in snap.facts.vcpus] == [0, 1]
