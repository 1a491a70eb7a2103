"""Who holds QEMU's locks and who waits for what."""

from __future__ import annotations

import json

import pytest
from state_lab import VERSIONS, machine, snapshot

from fixtures.lab import qemus, scene

pytestmark = pytest.mark.parametrize("version", VERSIONS)


def thread_with(snap, function):
    return next(t for t in snap.threads if any(f.name == function for f in t.frames))


def lock(snap, name):
    return next(entry for entry in snap.facts.locks if entry.name == name)


def test_main_loop_that_drains_holds_the_bql(version):
    snap = snapshot("nbd_stop", version)
    main = thread_with(snap, "main_loop_wait")
    assert snap.facts.bql_known and snap.facts.bql_owner_lwp == main.lwp
    assert lock(snap, "BQL").owner_lwp == main.lwp


def test_main_loop_waits_for_the_bql_that_a_vcpu_holds_in_a_device_write(version):
    snap = snapshot("ide_drain_in_vcpu", version)
    vcpu = thread_with(snap, "bmdma_cmd_writeb")
    main = thread_with(snap, "main_loop_wait")
    assert snap.facts.bql_owner_lwp == vcpu.lwp
    assert main.lwp in lock(snap, "BQL").waiter_lwps
    wait = next(w for w in snap.facts.waits if w.lwp == main.lwp)
    assert (wait.kind, wait.name, wait.owner_lwp) == ("mutex", "BQL", vcpu.lwp)


def test_migration_thread_holds_the_bql_while_it_stops_the_vm(version):
    snap = snapshot("nbd_migration_completion", version)
    assert snap.facts.bql_owner_lwp == thread_with(snap, "migration_thread").lwp


def test_idle_qemu_has_a_free_bql_and_halted_vcpus_on_their_own_conditions(version):
    snap = snapshot("idle_tcg", version)
    assert snap.facts.bql_known and snap.facts.bql_owner_lwp is None
    vcpus = {v.lwp: v.index for v in snap.facts.vcpus}
    names = {vcpus[w.lwp]: w.name for w in snap.facts.waits if w.lwp in vcpus}
    assert names == {0: "halt_cond of vCPU 0", 1: "halt_cond of vCPU 1"}
    rcu = thread_with(snap, "call_rcu_thread")
    assert next(w.name for w in snap.facts.waits if w.lwp == rcu.lwp) == "rcu_call_ready_event"


def test_vcpu_inside_guest_memory_access_is_an_rcu_reader(version):
    snap = snapshot("ide_drain_in_vcpu", version)
    vcpu = thread_with(snap, "bmdma_cmd_writeb")
    assert vcpu.lwp in [r.lwp for r in snap.facts.rcu_readers]


@pytest.mark.skipif(not qemus.has_kvm(), reason="/dev/kvm is not usable here")
def test_the_kernels_helper_of_a_vcpu_is_no_rcu_reader(version):
    if version not in qemus.built():
        pytest.skip(f"QEMU {version} with debug information is not built (make lab)")
    with scene.running("ide_drain_in_vcpu", version, "kvm") as hung:
        locks, explained = (json.loads(page[page.index("{"):page.rindex("}") + 1]) for page in machine.gdb(
            ["-p", hung.pid], "qemu-locks --format json", "qemu-explain --all --format json")[:2])
    reading = {reader["thread"] for reader in locks["rcu_readers"] if reader["depth"]}
    inside = {t["number"] for t in explained["threads"]
              if any(f["function"] == "bmdma_cmd_writeb" for f in t["frames"])}
    assert inside and inside <= reading
    assert not reading & {t["number"] for t in explained["threads"] if not t["frames"]}
