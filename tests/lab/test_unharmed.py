"""A lab process that was explained is as it was: registers, the BQL, thread states; and the guest runs on."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from explained import ROOT, VERSIONS, lab
from state_lab import machine

from fixtures.lab import qemus

COMMANDS = ("qemu-explain", "qemu-explain --format json", "qemu-explain -v 1")
PROBE = ("thread apply all -q info registers", "x/40xb {bql}", "info threads")


def _probe(version: str) -> list:
    bql = "&bql" if version not in ("5.2", "7.2") else "&qemu_global_mutex"
    return ["echo \\n==== probe ====\\n", *(line.format(bql=bql) for line in PROBE), "echo \\n==== end ====\\n"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state, accel", [("nbd_stop", "tcg"), ("idle_kvm", "kvm"), ("ide_drain_in_vcpu", "kvm")])
def test_registers_and_bql_are_as_before(state, accel, version):
    if accel == "kvm" and not lab.has_kvm():
        pytest.skip("/dev/kvm is not usable here")
    probe = _probe(version)
    commands = [*probe, f"source {ROOT / 'qemu_gdb' / 'gdbinit.py'}"]
    for command in COMMANDS:
        commands += [command, *probe]
    with lab.running(state, version, accel) as scene:
        output = scene.gdb(*commands, prepare=lab.READ_ONLY_LIVE)
    probes = re.findall(r"==== probe ====\n(.*?)==== end ====", output, re.S)
    assert len(probes) == len(COMMANDS) + 1
    assert "rip" in probes[0]
    for command, after in zip(COMMANDS, probes[1:]):
        assert after == probes[0], command


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("accel", ["tcg", "kvm"])
def test_guest_runs_on_after_detach(accel, version):
    if accel == "kvm" and not lab.has_kvm():
        pytest.skip("/dev/kvm is not usable here")
    with lab.running("throttled", version, accel) as scene:
        scene.gdb(f"source {ROOT / 'qemu_gdb' / 'gdbinit.py'}", "qemu-explain", prepare=lab.READ_ONLY_LIVE)
        assert scene.qmp.execute("query-status")["status"] == "running"
        with open(f"/proc/{scene.pid}/status", encoding="ascii", errors="replace") as status:
            assert "TracerPid:\t0\n" in status.read()


@pytest.mark.parametrize("version", VERSIONS)
def test_attach_to_a_container_whose_program_is_another_file_here(version, tmp_path):
    """A container's /usr/bin/qemu-system-x86_64 is not the host's; with the host's symbols gdb would break into it at
    wrong addresses.
    """
    start, inside = tmp_path / "start", shutil.which(machine.QEMU)
    start.write_text(f'#!/bin/sh\nexec unshare -m sh -c \'mount --bind "{qemus.program(version)}" "{inside}"'
                     f' && exec "{inside}" "$@"\' sh "$@"\n')
    start.chmod(0o755)
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mount namespaces can't be made here (root may)")
    with machine.qemu("tcg-multi", ("-L", "/usr/share/seabios", "-L", "/usr/share/qemu"), program=str(start)) as qemu:
        done = subprocess.run([sys.executable, "-m", "qemu_gdb", "attach", str(qemu.pid)], cwd=ROOT, text=True,
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert f"qemu-system-x86_64 {version}." in done.stdout and "halted, waits for an interrupt" in done.stdout
        assert machine.qmp(qemu, "query-status")["return"]["status"] == "running"
