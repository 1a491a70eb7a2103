"""qemu-gdb attach and core: a short stop, an unharmed guest, the core's own program found."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal

import machine
import pytest
from test_cli import cli, keys_missing

from qemu_gdb.capture import corefile


def state_of(pid):
    return (machine.pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split())[0]


def test_attach_explains_and_lets_the_guest_go(idle_qemu):
    done = cli("attach", "--format", "json", idle_qemu.pid)
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert keys_missing(told) == []
    assert told["source"]["kind"] == "live" and told["source"]["pid"] == idle_qemu.pid
    assert 0 < told["source"]["stopped_ms"] < 20_000
    assert {"main-loop", "rcu", "vcpu-mttcg"} <= {t["role"] for t in told["threads"]}
    assert state_of(idle_qemu.pid) != "t"
    assert machine.qmp(idle_qemu, "query-status")["return"]["status"] == "running"


def test_stacks_alone_leave_the_state_out(idle_qemu, idle_core):
    for words in (["attach", idle_qemu.pid], ["core", idle_core]):
        told = json.loads(cli(*words, "--stacks", "--format", "json").stdout)
        assert {"main-loop", "rcu", "vcpu-mttcg"} <= {t["role"] for t in told["threads"]}
        assert told["qemu"]["runstate"] is None and told["locks"] == told["coroutines"] == told["requests"] == []
    (page,) = machine.gdb(["-p", idle_qemu.pid], "qemu-explain --stacks")
    assert "main loop" in page and "next timer" not in page


def test_attach_says_how_long_the_guest_stood_still(idle_qemu):
    page = cli("attach", idle_qemu.pid).stdout.decode()
    assert page.splitlines()[-1].startswith("The guest stood still for ")
    assert "main loop" in page


def test_samples_tell_resting_threads_from_busy_ones(idle_qemu):
    page = cli("attach", "--samples", "2", "--interval", "0.2", idle_qemu.pid).stdout.decode()
    assert "2 samples, 0.2 s apart" in page
    assert "stood in the same place each time" in page


def test_attach_where_the_program_was_replaced_since(tmp_path, monkeypatch):
    program, other = tmp_path / "qemu-system-x86_64", tmp_path / "other"
    shutil.copy(shutil.which(machine.QEMU), program)
    shutil.copy(shutil.which("true"), other)
    for folder in machine.pathlib.Path("/usr/lib").glob("*/qemu"):  # QEMU looks for its modules beside its program
        monkeypatch.setenv("QEMU_MODULE_DIR", str(folder))
    with machine.qemu("tcg-multi", ("-L", "/usr/share/seabios", "-L", "/usr/share/qemu"), program=str(program)) as qemu:
        os.replace(other, program)
        done = cli("attach", "--format", "json", qemu.pid)
        assert done.returncode == 0, done.stderr
        assert {"main-loop", "rcu", "vcpu-mttcg"} <= {t["role"] for t in json.loads(done.stdout)["threads"]}
        assert machine.qmp(qemu, "query-status")["return"]["status"] == "running"


def test_a_process_that_a_signal_stopped_is_told_as_stopped_and_left_so():
    with machine.qemu("tcg-multi") as qemu:
        os.kill(qemu.pid, signal.SIGSTOP)
        one, several = cli("attach", qemu.pid), cli("attach", "--samples", "2", "--interval", "0.1", qemu.pid)
        assert state_of(qemu.pid) == "T"
        os.kill(qemu.pid, signal.SIGCONT)
        again = cli("attach", qemu.pid).stdout.decode()
    for page in (one.stdout.decode(), several.stdout.decode()):
        assert "The process is stopped by a signal (SIGSTOP" in page and f"kill -CONT {qemu.pid}" in page
        assert "nothing is stuck" not in page.lower()
    assert "is stopped by a signal" not in again


@pytest.mark.parametrize("arguments, expected", [
    (["attach"], "expected a process id"),
    (["attach", "qemu"], "expected a process id, found 'qemu'"),
    (["attach", "999999999"], "there is no process 999999999"),
    (["attach", "--samples", "0", "1"], "--samples must be a number from 1"),
    (["core"], "expected a core file"),
    (["core", "/nonexistent"], "cannot read /nonexistent"),
    (["core", "/dev/null"], "is no core file"),
    (["core", shutil.which("true") or "/bin/true"], "is an ELF file but no core"),
])  # fmt: skip
def test_what_can_not_be_opened_is_one_line(arguments, expected):
    done = cli(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr.decode() and len(done.stderr.decode().splitlines()) == 1


def test_core_finds_its_program(idle_qemu, idle_core):
    told = json.loads(cli("core", "--format", "json", idle_core).stdout)
    assert told["source"]["kind"] == "core" and told["source"]["pid"] == idle_qemu.pid
    assert "main-loop" in {t["role"] for t in told["threads"]}


def test_a_cores_notes_tell_the_registers_that_gdb_does(idle_core):
    printed = machine.gdb([shutil.which(machine.QEMU), idle_core], "thread apply all -q printf \"%d %#lx %#lx\\n\", "
                          "$_gthread, $pc, $sp", "info threads")
    shown = {tuple(int(v, 16) for v in line.split()[1:]) for line in printed[0].splitlines()
             if line.count(" 0x") == 2}
    tasks = corefile.tasks(str(idle_core))
    assert shown and {(t.registers["rip"], t.registers["rsp"]) for t in tasks.values()} == shown
    assert set(tasks) == {int(lwp) for lwp in re.findall(r"LWP (\d+)", printed[1])}


def test_what_is_no_core_has_no_tasks(tmp_path):
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\0" + b"\xff" * 500)
    assert corefile.tasks(str(junk)) == {} == corefile.tasks("/nonexistent")


def test_core_of_a_replaced_program_is_not_opened_with_another(idle_core, tmp_path):
    found = corefile.read(str(idle_core))
    assert found.build_id == corefile.build_id(os.path.realpath(shutil.which(machine.QEMU)))
    page = cli("core", idle_core, shutil.which("true")).stdout.decode()
    assert "is not the program of this core" in page


def test_a_damaged_core_is_one_line_or_explained(idle_core, tmp_path):
    with open(idle_core, "rb") as stream:
        head = bytearray(stream.read(1 << 20))
    for size, patch in ((70, None), (1 << 12, None), (1 << 20, (54, b"\xff\xff")), (1 << 20, (32, b"\xff" * 8))):
        damaged = bytearray(head[:size])
        if patch:
            damaged[patch[0]:patch[0] + len(patch[1])] = patch[1]
        (tmp_path / "core").write_bytes(damaged)
        done = cli("core", tmp_path / "core")
        assert b"Traceback" not in done.stderr
        assert done.returncode in (0, 1, 2) and (done.stdout or len(done.stderr.splitlines()) == 1)


def test_a_cut_core_says_how_much_of_it_is_there(idle_core, tmp_path):
    size = os.path.getsize(idle_core)
    cut = tmp_path / "core"
    shutil.copy(idle_core, cut)
    os.truncate(cut, size // 2)
    assert f"{size // 2 >> 20} of {size >> 20} MiB" in str(corefile.cut(str(cut)))
    assert corefile.cut(str(idle_core)) is None
    done = cli("core", cut, shutil.which(machine.QEMU))
    said = (done.stdout + done.stderr).decode()
    assert f"{size // 2 >> 20} of {size >> 20} MiB are in the file" in said and "attach to one" not in said
    os.truncate(cut, 3000)
    done = cli("core", cut)
    assert "cut or damaged inside its headers" in done.stderr.decode() and len(done.stderr.splitlines()) == 1
