"""vCPUs, run state, iothreads, monitor commands, migration, character devices, devices behind pointers."""

from __future__ import annotations

import pytest
from state_lab import VERSIONS, snapshot, with_iothread

pytestmark = pytest.mark.parametrize("version", VERSIONS)


@pytest.mark.parametrize("state, runstate", [
    ("idle_tcg", "running"), ("prelaunch", "prelaunch"), ("paused", "paused"), ("incoming", "inmigrate"),
    ("guest_panicked", "guest-panicked"), ("shut_down", "shutdown"), ("nbd_migration_completion", "finish-migrate"),
])  # fmt: skip
def test_run_state_has_its_qapi_name(version, state, runstate):
    assert snapshot(state, version).facts.runstate == runstate


def test_vcpus_of_a_paused_vm_are_stopped_and_of_an_idle_one_halted(version):
    assert all(v.stopped for v in snapshot("paused", version).facts.vcpus)
    idle = snapshot("idle_tcg", version).facts.vcpus
    assert [v.index for v in idle] == [0, 1]
    assert all(v.halted and not v.stopped and v.accelerator == "tcg" and v.mode for v in idle)


def test_kvm_is_known_as_the_accelerator(version):
    assert {v.accelerator for v in snapshot("idle_kvm", version, "kvm").facts.vcpus} == {"kvm"}


def test_iothread_is_known_by_its_id_and_serves_the_controller_on_it(version):
    snap = snapshot(with_iothread(version), version)
    iothread = next(t for t in snap.facts.iothreads if t.name == "io0")
    assert iothread.serves == ["virtio-scsi s0"]
    assert any(f.name == "iothread_run" for t in snap.threads if t.lwp == iothread.lwp for f in t.frames)
    assert [t.name for t in snap.facts.iothreads if t.monitor] == ["mon_iothread"]


@pytest.mark.parametrize("state, protocol, command", [
    ("nbd_stop", "hmp", "stop"), ("nbd_quit", "hmp", "quit"), ("nbd_stop_qmp", "qmp", "stop"),
    ("nbd_device_del", "qmp", "device_del"), ("vhost_user_silent", "qmp", "device_add"),
])  # fmt: skip
def test_monitor_command_that_hangs_is_named(version, state, protocol, command):
    commands = snapshot(state, version).facts.monitor_commands
    if not commands:
        # ``quit`` only asks for the shutdown: the command itself has returned.
        assert state in ("nbd_quit", "nbd_device_del")
        return
    assert (commands[0].protocol, commands[0].command) == (protocol, command)
    assert commands[0].monitor


def test_arguments_of_a_qmp_command_are_told(version):
    command = snapshot("nbd_snapshot", version).facts.monitor_commands[0]
    assert command.command == "blockdev-snapshot" and '"node": "nbd0"' in command.arguments


def test_stalled_migration_names_the_process_at_the_other_end(version):
    (migration,) = snapshot("migration_stalled", version).facts.migration
    assert (migration.direction, migration.state) == ("outgoing", "active")
    assert migration.uri.startswith("process ")


def test_chardev_that_waits_for_its_client_is_known_by_id_and_address(version):
    chardevs = {c.id: c for c in snapshot("chardev_wait", version).facts.chardevs}
    assert chardevs["c0"].connected is False
    assert chardevs["c0"].peer.startswith("unix:/") and chardevs["c0"].peer.endswith("c0.sock,server=on")


def test_region_of_a_port_write_is_known_with_its_device(version):
    snap = snapshot("ide_drain_in_vcpu", version)
    regions = {r.name: r for r in snap.facts.regions}
    assert regions["piix-bmdma"].owner_type == "piix3-ide"
    assert regions["piix-bmdma"].base % 8 == 0


def test_device_pointers_in_frames_have_names(version):
    names = set(snapshot("nbd_stop", version).facts.objects.values())
    assert "virtio-scsi s0" in names and "main AioContext" in names
    assert "iothread io0" in snapshot(with_iothread(version), version).facts.objects.values()
