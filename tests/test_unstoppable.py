"""A process of which one thread is in an uninterruptible sleep: told from /proc, and it runs on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from qemu_gdb.capture import tasks

# vfork()'s parent sleeps there until its child has ended
PROGRAM = """
#include <pthread.h>
#include <unistd.h>
static void *work(void *unused) { if (vfork() == 0) { sleep(600); _exit(0); } return unused; }
int main(void) { pthread_t one; pthread_create(&one, 0, work, 0); for (;;) pause(); }
"""


IN_FUSE = ("fuse_", "request_wait_answer", "folio_wait_")  # where Linux 5.10 to 6.18 waits for a FUSE server
# begins to sleep so when it is told to: by then gdb attaches
LATER = PROGRAM.replace("int main(void) {", """
#include <signal.h>
int main(void) { int n; sigset_t one_; sigemptyset(&one_); sigaddset(&one_, SIGUSR1);
sigprocmask(SIG_BLOCK, &one_, 0); sigwait(&one_, &n);""")
GDB = """#!/bin/sh
exec python3 -c '
import json, os, signal, time
task = json.loads(os.environ["QEMU_GDB_BATCH"])
open(task["answer"] + ".attaching", "w").close()
os.kill(task["pid"], signal.SIGUSR1)
time.sleep(600)'
"""


def states(pid):
    return {task.lwp: task.state for task in tasks.look(pid).values()}


def waits(pid):
    return [(Path("/proc") / str(pid) / "task" / str(lwp) / "wchan").read_text() for lwp in tasks.look(pid)]


def attach(pid, *options, **environment):
    return subprocess.run(["python3", "-m", "qemu_gdb", "attach", *options, str(pid)], capture_output=True, text=True,
                          timeout=60, check=False, env={**os.environ, **environment})


def until(condition, seconds=20):
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(params=[PROGRAM])
def sleeper(tmp_path, request):
    (tmp_path / "a.c").write_text(request.param)
    program = tmp_path / "qemu-system-x86_64"
    subprocess.run(["gcc", "-o", program, tmp_path / "a.c", "-lpthread"], check=True)
    with subprocess.Popen([program], start_new_session=True) as process:
        try:
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_stand_in_programs_thread_in_an_uninterruptible_sleep_is_told_without_gdb(sleeper):
    assert until(lambda: "D" in states(sleeper).values())
    (kept,) = tasks.stuck(sleeper, 0.5)
    told = attach(sleeper)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith(f"qemu-system-x86_64 · live pid {sleeper}\n")
    page = " ".join(told.stdout.split())
    assert f"The thread with LWP {kept} does not return from" in page
    assert "an uninterruptible sleep (state D)" in page and "this was read without gdb" in page
    assert sorted(states(sleeper).values()) == ["D", "S"]  # nothing of it was stopped


@pytest.mark.parametrize("sleeper", [LATER], indirect=True)
def test_a_stand_in_gdb_that_waits_for_such_a_thread_is_ended(sleeper, tmp_path):
    gdb = tmp_path / "gdb"
    gdb.write_text(GDB)
    gdb.chmod(0o755)
    assert until(lambda: set(states(sleeper).values()) == {"S"})
    told = attach(sleeper, QEMU_GDB_GDB=str(gdb))
    assert (told.returncode, told.stderr) == (0, "")
    assert "does not return from" in " ".join(told.stdout.split())
    stood = re.search(r"The guest stood still for (\d+) ms\.", told.stdout)
    assert stood and int(stood.group(1)) > 1000


def test_a_process_that_sleeps_as_usual_is_not_watched_for_long():
    began = time.monotonic()
    assert tasks.stuck(os.getpid()) == []
    assert time.monotonic() - began < 1


@pytest.fixture
def silent_fuse(tmp_path):
    """A disk image on a FUSE file system whose server can be stopped: (path, pid of the server)."""
    daemon = shutil.which("qemu-storage-daemon")
    if not daemon or not shutil.which("fusermount3") or not os.access("/dev/fuse", os.W_OK):
        pytest.skip("needs qemu-storage-daemon, fusermount3 and /dev/fuse")
    (tmp_path / "base").write_bytes(bytes(1 << 26))
    image = tmp_path / "image"
    image.touch()
    with subprocess.Popen([daemon, "--blockdev", f"file,node-name=f,filename={tmp_path}/base", "--export",
                           f"fuse,id=e,node-name=f,mountpoint={image},writable=on"],
                          stderr=subprocess.PIPE, text=True) as server:
        if not until(lambda: server.poll() is not None or image.stat().st_size, 10) or server.poll() is not None:
            server.kill()
            pytest.skip("no FUSE mount here: " + (server.stderr.read().strip() or "not ready in 10 s"))
        try:
            yield image, server.pid
        finally:
            server.send_signal(signal.SIGCONT)
            server.terminate()


def test_a_thread_that_falls_asleep_as_gdb_attaches_is_told_and_the_guest_runs_on(silent_fuse, tmp_path):
    image, server = silent_fuse
    qemu = shutil.which("qemu-system-x86_64")
    monitor = tmp_path / "monitor"
    with subprocess.Popen([qemu, "-S", "-name", "lab,debug-threads=on", "-accel", "tcg", "-m", "32", "-display", "none",
                           "-nodefaults", "-drive", f"if=none,id=d,file={image},format=raw,cache=none,file.locking=off",
                           "-device", "ide-hd,drive=d", "-monitor", f"unix:{monitor},server=on,wait=off"]) as process:
        try:
            assert until(monitor.exists)
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(str(monitor))
                while b"(qemu)" not in client.recv(4096):
                    pass  # it still opens its disk
                os.kill(server, signal.SIGSTOP)
                client.sendall(b"cont\n")
                # the firmware reads the boot sector; a worker waits for the file system, and a signal can wake it
                assert until(lambda: any(w.startswith(IN_FUSE) for w in waits(process.pid)))
            told = attach(process.pid, "-f", "json")
            assert (told.returncode, told.stderr) == (0, "")
            explained = json.loads(told.stdout)
            found = explained["findings"][0]
            assert "(thread-pool worker) does not return from" in found["title"]
            assert explained["source"]["stopped_ms"] is not None
            if "The kernel's stacks are for root" not in told.stdout:
                assert found["title"].endswith("() on image: it waits in the host's kernel for FUSE")
                assert f"The call is on {image}." in found["explanation"]
            time.sleep(0.5)
            assert not {"T", "t"} & set(states(process.pid).values())  # what gdb has asked for does not come later
        finally:
            os.kill(server, signal.SIGCONT)
            process.kill()
