"""What is read of a QEMU without debug information: the distribution's own."""

from __future__ import annotations

import json

import machine


def told(core, *commands):
    return machine.gdb([machine.QEMU, core], *commands)


def test_run_state_and_free_bql_are_known_without_debug_information(idle_core):
    explained, locks = told(idle_core, "qemu-explain --format json", "qemu-locks --format json")
    assert json.loads(explained)["qemu"]["runstate"] == "running"
    (bql,) = [lock for lock in json.loads(locks)["locks"] if lock["name"] == "BQL"]
    assert bql["owner_known"] and bql["owner_thread"] is None


def test_suspended_coroutines_are_found_without_debug_information(idle_core):
    """A QEMU with a QMP monitor has at least the dispatcher's coroutine; the pooled ones are left out."""
    (listed,) = told(idle_core, "qemu-coroutines --format json")
    found = json.loads(listed)["coroutines"]
    names = [[f["function"] for f in c["frames"]] for c in found]
    assert any("monitor_qmp_dispatcher_co" in frames for frames in names), names
    assert all(frames[0] == "qemu_coroutine_switch" for frames in names)


def test_commands_that_need_debug_information_say_so(idle_core):
    answers = told(idle_core, "qemu-mtree", "qemu-vcpus", "qemu-requests")
    assert "the memory regions can't be read" in answers.errors and "debug information" in answers.errors
    assert "Traceback" not in answers.errors
    assert "can't be read" in answers[1]


def test_waits_for_conditions_name_their_mutex_by_registers(idle_qemu):
    """Halted vCPUs sleep on a condition; the kernel's view of them is in their registers."""
    (listed,) = machine.gdb(["-p", idle_qemu.pid], "qemu-locks --format json")
    kinds = {w["kind"] for w in json.loads(listed)["waits"]}
    assert kinds & {"condvar", "futex", "event"}
