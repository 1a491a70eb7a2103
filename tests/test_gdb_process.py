"""What qemu-explain says of this distribution's own QEMU: live, from a core, and from gdb's pasted backtrace."""

from __future__ import annotations

import json
import subprocess
import sys

import machine
import pytest

VCPU_ROLE = {"tcg-multi": "vcpu-mttcg", "tcg-single": "vcpu-tcg-rr", "kvm": "vcpu-kvm"}


def roles_of(told):
    return sorted(t["role"] for t in told["threads"] if t["frames"])


def check_roles(told, accelerator):
    roles = roles_of(told)
    vcpus = 1 if accelerator == "tcg-single" else 2
    assert roles.count("main-loop") == 1
    assert roles.count("rcu") == 1
    assert roles.count("iothread") + roles.count("monitor-iothread") >= 1
    assert roles.count(VCPU_ROLE[accelerator]) == vcpus
    main = next(t for t in told["threads"] if t["role"] == "main-loop")
    assert main["lwp"] == told["source"]["pid"]


def test_stripped_qemu_attached_shows_its_roles(distribution_qemu):
    told = machine.explained(["-p", distribution_qemu.pid])
    assert told["source"]["kind"] == "live"
    check_roles(told, distribution_qemu.accelerator)


def test_stripped_qemu_core_shows_the_same_roles_without_thread_names(distribution_qemu, distribution_core):
    told = machine.explained([machine.QEMU, distribution_core])
    assert told["source"]["kind"] == "core"
    assert all(t["name"] is None for t in told["threads"])
    check_roles(told, distribution_qemu.accelerator)


def test_missing_debug_information_is_said(distribution_qemu, distribution_core):
    told = machine.explained([machine.QEMU, distribution_core])
    assert told["source"]["debug_info"] == "symbols"
    assert "notice.no-symbols" in [n["kind"] for n in told["notices"]] or "notice.partial-symbols" in [
        n["kind"] for n in told["notices"]]


def test_an_idle_qemu_is_neither_a_crash_nor_a_hang(distribution_qemu, distribution_core):
    told = machine.explained([machine.QEMU, distribution_core])
    assert [f["kind"] for f in told["findings"] if f["kind"].startswith(("crash.", "hang.", "rule."))] == []
    assert told["signal"] is None


def test_live_core_and_pasted_text_give_the_same_roles_and_states(distribution_qemu, distribution_core, tmp_path):
    machine.settle(distribution_qemu)
    core = [machine.QEMU, distribution_core]
    text = tmp_path / "bt.txt"
    text.write_text(machine.gdb(core, "thread apply all bt", load=False)[0], "utf-8", "surrogateescape")
    of_text = json.loads(subprocess.run([sys.executable, "-m", "qemu_gdb", "explain", "--format", "json", text],
                                        capture_output=True, cwd=machine.ROOT, check=True).stdout)
    of_core = machine.explained(core)
    of_live = machine.explained(["-p", distribution_qemu.pid])
    in_text = machine.roles(of_text)
    assert machine.roles(of_core) == {lwp: in_text[lwp] for lwp in machine.roles(of_core)}
    live, cored = machine.roles(of_live), machine.roles(of_core)
    assert {lwp: role for lwp, (role, _) in live.items()} == {lwp: role for lwp, (role, _) in cored.items()}
    resting = {lwp for lwp, (role, _) in cored.items() if not role.startswith("vcpu")}
    assert {lwp: live[lwp] for lwp in resting} == {lwp: cored[lwp] for lwp in resting}


def test_kernel_helper_thread_of_kvm_is_named_as_such(distribution_qemu):
    told = machine.explained(["-p", distribution_qemu.pid])
    helpers = [t for t in told["threads"] if not t["frames"]]
    if not helpers:
        pytest.skip("this kernel gives the process no helper thread")
    page = machine.gdb(["-p", distribution_qemu.pid], "qemu-explain")[0]
    assert "no QEMU thread: kernel helper, no user stack" in page


def test_version_and_package_come_from_the_program(idle_core):
    told = machine.explained([machine.QEMU, idle_core])
    said = subprocess.run([machine.QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    assert f"version {told['qemu']['version']}" in said
    assert told["qemu"]["program"] == "qemu-system-x86_64"
    assert told["qemu"]["package"] is None or f"({told['qemu']['package']})" in said


def test_process_goes_on_after_detach(idle_qemu):
    machine.explained(["-p", idle_qemu.pid])
    assert machine.qmp(idle_qemu, "query-status")["return"]["status"] == "running"


def test_recorded_snapshot_is_explained_without_gdb_as_in_gdb(idle_core, tmp_path):
    saved = tmp_path / "snapshot.json"
    inside = machine.explained([machine.QEMU, idle_core], "--save", str(saved))
    outside = json.loads(subprocess.run([sys.executable, "-m", "qemu_gdb", "explain", "--format", "json", saved],
                                        capture_output=True, cwd=machine.ROOT, check=True).stdout)
    assert outside == inside


def test_registers_of_a_waiting_thread_are_in_the_snapshot(idle_core, tmp_path):
    saved = tmp_path / "snapshot.json"
    machine.explained([machine.QEMU, idle_core], "--save", str(saved))
    threads = json.loads(saved.read_text())["snapshots"][0]["threads"]
    waiting = [t for t in threads if t["registers"]["orig_rax"] == 202]  # futex
    assert waiting
    assert all(t["registers"]["rdi"] for t in waiting)


def test_a_process_of_another_program_is_not_taken_for_qemu(compiled):
    program = compiled("deep")
    told = machine.explained([program, "-ex", "run 40"])
    assert told["qemu"]["is_qemu"] is False
    assert told["signal"]["name"] == "SIGABRT"


def test_a_very_deep_stack_is_cut_in_the_middle_and_said(compiled):
    program = compiled("deep")
    told = machine.explained([program, "-ex", "run"])
    assert told["signal"]["name"] == "SIGSEGV"
    frames = told["threads"][0]["frames"]
    assert len(frames) < 2000
    assert "notice.corrupt-stack" in [n["kind"] for n in told["notices"]]


def test_hostile_names_do_not_reach_the_terminal(compiled):
    program = compiled("hostile")
    for line in ("qemu-explain", "qemu-explain --all -v", "qemu-threads", "qemu-explain --all --format markdown"):
        page = machine.gdb([program, "-ex", "break pause", "-ex", "run"], line)[0]
        assert page.strip()
        assert "\x1b" not in page and "\x07" not in page and "\u202e" not in page
