"""Reading a live QEMU leaves it as it was: registers, locks, selection; after Ctrl-C and the pager's q too."""

from __future__ import annotations

import pathlib
import re
import signal
import time

import pexpect
import pytest
from state_lab import VERSIONS, machine

from fixtures.lab import qemus, scene

COMMANDS = ("qemu-locks", "qemu-vcpus", "qemu-requests", "qemu-coroutines --all", "qemu-handlers", "qemu-timers",
            "qemu-mtree --all", "qemu-bt --all", "qemu-explain --all")


@pytest.fixture(params=VERSIONS)
def hung(request):
    """QEMU whose ``stop`` waits for a silent NBD server."""
    if request.param not in qemus.built():
        pytest.skip(f"QEMU {request.param} with debug information is not built (make lab)")
    with scene.running("nbd_stop", request.param, "tcg") as running:
        yield running


def test_registers_locks_and_threads_are_the_same_after_every_command(hung):
    seen = ("thread apply all info registers", "info threads", "info inferiors")
    answers = machine.gdb(["-p", hung.pid], *seen, *COMMANDS, *seen)
    before, after = answers[:len(seen)], answers[-len(seen):]
    assert before == after
    assert all(answers[len(seen):-len(seen)])
    assert "Traceback" not in answers.errors and "internal error" not in answers.errors


def test_mutex_memory_is_not_written(hung):
    name = next(n for n in ("bql", "qemu_global_mutex")
                if "No symbol" not in machine.gdb([hung.program("qemu-system-x86_64")], f"info address {n}").errors)
    watch = f"x/6xw &{name}"
    before, *_, after = machine.gdb(["-p", hung.pid], watch, *COMMANDS, watch)
    assert before == after and before


def session(pid, height):
    child = pexpect.spawn(machine.GDB, ["-nx", "-q", "-iex", "set debuginfod enabled off", "-iex",
                                        f"set height {height}", "-iex", "set width 80", "-p", str(pid)],
                          encoding="utf-8", timeout=60, dimensions=(height, 80))
    child.expect_exact("(gdb) ") if height == 0 else _past_pager(child)
    for setting in machine.READ_ONLY:
        child.sendline(setting)
        _past_pager(child)
    child.sendline(f"source {machine.GDBINIT}")
    _past_pager(child)
    return child


def _past_pager(child, quit_it=False):
    """The output up to the next prompt; answers the pager with q or return."""
    shown = ""
    while True:
        found = child.expect_exact(["(gdb) ", "to continue without paging--"])
        shown += child.before
        if found == 0:
            return shown
        child.sendline("q" if quit_it else "")


@pytest.mark.parametrize("line", COMMANDS)
def test_q_at_the_pager_ends_any_command_and_changes_nothing(hung, line):
    child = session(hung.pid, 6)
    child.sendline("frame")
    before = _past_pager(child)
    child.sendline(line)
    shown = _past_pager(child, quit_it=True)
    assert "Traceback" not in shown
    child.sendline("frame")
    assert _past_pager(child) == before
    child.sendline("info unwinder")
    assert "qemu-gdb" not in _past_pager(child)
    child.sendline("detach")
    _past_pager(child)
    child.close(force=True)


@pytest.mark.parametrize("delay", [0.01, 0.05, 0.1, 0.2, 0.3])
def test_ctrl_c_in_the_middle_leaves_gdb_as_it_was(hung, delay):
    child = session(hung.pid, 0)
    child.sendline("frame")
    before = _past_pager(child)
    child.sendline("qemu-coroutines --all")
    time.sleep(delay)
    child.kill(signal.SIGINT)
    shown = _past_pager(child)
    assert "Traceback" not in shown
    time.sleep(0.3)
    child.sendline("")
    child.sendline("info unwinder")
    child.sendline("echo end\\n")
    child.expect_exact("end\r\n")
    assert "qemu-gdb coroutine" not in child.before
    child.sendline("frame")
    child.expect(r"#0 .*\n")
    assert re.search(r"#0 .*", before)
    child.close(force=True)


def test_guest_runs_on_after_detach():
    version = next((v for v in VERSIONS if v in qemus.built()), None)
    if version is None:
        pytest.skip("no QEMU with debug information is built (make lab)")
    with scene.running("guest_spins", version, "tcg") as running:
        machine.gdb(["-p", running.pid], *COMMANDS)
        stat = pathlib.Path(f"/proc/{running.pid}/stat")

        def used():
            fields = stat.read_text().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        first = used()
        time.sleep(0.5)
        assert used() > first + 10


def test_the_command_that_a_migration_feeds_is_told_while_it_runs():
    version = next((v for v in VERSIONS if v in qemus.built()), None)
    if version is None:
        pytest.skip("no QEMU with debug information is built (make lab)")
    with scene.running("migration_stalled", version, "tcg") as running:
        (page,) = machine.gdb(["-p", running.pid], "qemu-explain")
    assert "that process runs /bin/sh -c 'sleep 600'" in " ".join(page.split())
