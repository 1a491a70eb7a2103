"""Coroutines of an aarch64 process: qemu-io under qemu-user, hung on an NBD server that does not answer."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
from typing import Any, Dict

import pytest
from explained import lab

from fixtures.lab import peers, qemus

HERE = pathlib.Path(qemus.cache()) / "aarch64"
GDBINIT = pathlib.Path(__file__).parents[2] / "qemu_gdb" / "gdbinit.py"
TIME = 60.0


@pytest.fixture(scope="module")
def core(tmp_path_factory: Any) -> pathlib.Path:
    """The core that qemu-user writes of its program."""
    if not (HERE / ".complete").exists():
        pytest.skip("no aarch64 programs here: run fixtures/lab/aarch64.sh")
    if shutil.which("qemu-aarch64") is None or shutil.which("gdb-multiarch") is None:
        pytest.skip("needs qemu-user and gdb-multiarch")
    folder = tmp_path_factory.mktemp("aarch64")
    server = peers.NbdServer(str(folder / "nbd.sock"), bytes(1 << 20))
    server.silent.set()
    node = f"open -o driver=nbd,server.type=unix,server.path={folder}/nbd.sock"
    qemu_io = ["qemu-aarch64", "-L", str(HERE / "root"), str(HERE / "build" / "qemu-io")]
    process = subprocess.Popen(
        ["prlimit", "--core=unlimited", "setpriv", "--pdeathsig", "KILL", "--", *qemu_io,
         "-c", node, "-c", "aio_read 0 4096", "-c", "read 65536 512"],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + TIME
        while len(server.unanswered) < 2 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGABRT)
        process.wait(TIME)
    finally:
        process.kill()
        server.close()
    (found,) = folder.glob("qemu_*.core")
    return found


def in_gdb(core: pathlib.Path, *lines: str) -> str:
    argv = ["gdb-multiarch", "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off",
            "-iex", f"set sysroot {HERE / 'root'}",
            "-iex", f"set debug-file-directory {HERE / 'root' / 'usr' / 'lib' / 'debug'}",
            "-ex", f"file {HERE / 'build' / 'qemu-io'}", "-ex", f"core-file {core}", "-ex", f"source {GDBINIT}"]
    for line in [*lab.READ_ONLY, *lines]:
        argv += ["-ex", line]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIME, check=False, stdin=subprocess.DEVNULL,
                          env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def answer(core: pathlib.Path) -> Dict[str, Any]:
    text = in_gdb(core, "qemu-explain --all --format json")
    told: Dict[str, Any] = json.loads(text[text.index('{\n "schema"'):])
    return told


def test_both_coroutines_are_found_with_their_stacks_and_what_they_wait_for(answer):
    waits = {}
    for coroutine in answer["coroutines"]:
        functions = [frame["function"] for frame in coroutine["frames"]]
        assert functions[0] == "qemu_coroutine_switch" and functions[-1] == "coroutine_trampoline"
        assert "nbd_client_co_preadv" in functions
        waits[functions[-2]] = coroutine["waits_for"]
    assert set(waits) == {"blk_aio_read_entry", "blk_co_pread_entry"}
    assert all(wait["kind"] == "peer" for wait in waits.values()), waits


def test_the_hang_names_both_requests_and_the_server(answer):
    first = answer["findings"][0]
    assert first["kind"].startswith("hang.")
    assert sorted(request["offset"] for request in answer["requests"]) == [0, 65536]
    assert any("nbd.sock" in step for step in first["next_steps"]), first


def test_a_thread_in_a_futex_call_is_known_by_its_registers(answer):
    (rcu,) = [thread for thread in answer["threads"] if thread["role"] == "rcu"]
    assert rcu["state"] == "idle"
    assert not [n for n in answer["notices"] if "coroutine" in n["text"]], answer["notices"]


def test_a_coroutines_stack_is_printed(core: pathlib.Path):
    text = in_gdb(core, "qemu-coroutines --all")
    assert "nbd_co_receive_one_chunk" in text or "nbd_receive_reply" in text
    assert "blk_co_pread_entry" in text
