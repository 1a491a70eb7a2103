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

from qemu_gdb import driver
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
    page = " ".join(told.stdout.replace(" likely\n", "\n").split())  # it stands at the end of the title's first line
    assert f"The thread with LWP {kept} has not returned from" in page
    assert "has not returned from vfork() for 3 s: it waits in the host's kernel" in page
    assert "an uninterruptible sleep (state D)" in page and "this was read without gdb" in page
    assert "The guest stood still" not in page
    assert sorted(states(sleeper).values()) == ["D", "S"]  # nothing of it was stopped


@pytest.mark.parametrize("sleeper", [LATER], indirect=True)
def test_a_stand_in_gdb_that_waits_for_such_a_thread_is_ended(sleeper, tmp_path):
    gdb = tmp_path / "gdb"
    gdb.write_text(GDB)
    gdb.chmod(0o755)
    assert until(lambda: set(states(sleeper).values()) == {"S"})
    told = attach(sleeper, QEMU_GDB_GDB=str(gdb))
    assert (told.returncode, told.stderr) == (0, "")
    page = " ".join(told.stdout.split())
    assert "has not returned from" in page
    stood = re.search(r"The guest stood still for (\d+) ms\.", page)
    assert stood and int(stood.group(1)) > 1000


# traces as gdb does, but stops nothing (PTRACE_SEIZE)
TRACING = GDB.replace("exec python3", "python3").replace("os.kill(", """
import ctypes
assert ctypes.CDLL(None).ptrace(0x4206, task["pid"], 0, 0) == 0
os.kill(""") + "exit 0\n"


@pytest.mark.parametrize("sleeper", [LATER], indirect=True)
def test_a_stand_in_gdb_below_a_script_is_ended_and_traces_no_more(sleeper, tmp_path):
    gdb = tmp_path / "gdb"
    gdb.write_text(TRACING)
    gdb.chmod(0o755)
    assert until(lambda: set(states(sleeper).values()) == {"S"})
    told = attach(sleeper, "--samples", "3", QEMU_GDB_GDB=str(gdb))
    assert (told.returncode, told.stderr) == (0, "")
    page = " ".join(told.stdout.split())
    assert "has not returned from" in page
    assert "This is one sample instead of the 3 that were asked for" in page
    assert tasks.tracers(sleeper) == []
    assert sorted(states(sleeper).values()) == ["D", "S"]


# the first look finds nothing: the thread falls asleep after it
LOOKS_LATER = """
import sys
from qemu_gdb import driver
from qemu_gdb.capture import tasks
looks, stuck = [], tasks.stuck
tasks.stuck = lambda pid: stuck(pid) if looks else looks.append(pid) or []
(told,) = driver.attach(int(sys.argv[1]))
print(told.source.stopped_ms > 1000, [t.lwp for t in told.threads if t.unstoppable])
"""


def test_a_real_gdb_below_a_script_is_ended_and_the_stand_in_program_runs_on(sleeper, tmp_path):
    gdb = tmp_path / "run-gdb"
    gdb.write_text('#!/bin/sh\ngdb "$@"\nexit $?\n')
    gdb.chmod(0o755)
    assert until(lambda: "D" in states(sleeper).values())
    (kept,) = tasks.stuck(sleeper, 0.5)
    told = subprocess.run(["python3", "-c", LOOKS_LATER, str(sleeper)], capture_output=True, text=True, timeout=40,
                          check=False, env={**os.environ, "QEMU_GDB_GDB": str(gdb)})
    assert (told.stdout, told.stderr) == (f"True [{kept}]\n", "")
    assert tasks.tracers(sleeper) == []
    time.sleep(0.5)
    assert sorted(states(sleeper).values()) == ["D", "S"]


def test_descendants_are_those_of_one_process_without_a_branch():
    with subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60 & wait"], start_new_session=True) as shell:
        try:
            assert until(lambda: len(tasks.descendants(shell.pid, 0)) == 2)
            one, other = tasks.descendants(shell.pid, 0)
            assert tasks.descendants(shell.pid, one) == [other]
            assert shell.pid in tasks.descendants(os.getpid(), 0)
            assert not {one, other, shell.pid} & set(tasks.descendants(os.getpid(), shell.pid))
        finally:
            os.killpg(shell.pid, signal.SIGKILL)


def test_a_process_that_ends_while_it_is_watched_is_told_in_one_line(sleeper):
    assert until(lambda: "D" in states(sleeper).values())
    with subprocess.Popen(["python3", "-m", "qemu_gdb", "attach", str(sleeper)], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as told:
        time.sleep(1.5)
        os.killpg(sleeper, signal.SIGKILL)
        out, errors = told.communicate(timeout=30)
    assert (told.returncode, out) == (2, "")
    assert errors == f"qemu-gdb: process {sleeper} ended while it was looked at\n"


def test_a_process_that_ends_after_it_was_watched_is_told_in_one_line(monkeypatch):
    with subprocess.Popen(["sleep", "60"]) as process:
        def watched(pid):
            process.kill()
            process.wait()
            return [pid]

        monkeypatch.setattr(tasks, "stuck", watched)
        with pytest.raises(driver.Failed, match=f"^process {process.pid} ended while it was looked at$"):
            driver.attach(process.pid)


@pytest.mark.parametrize(("call", "first", "kept", "fd"), [
    ("newfstat", "0x7", True, "7"),
    ("fsync", "0x7", True, "7"),
    ("fsync", "0x7", False, None),  # it runs: the two files may be of two calls
    ("openat", "0x7", True, None),  # the folder
    ("newfstatat", "0xffffff9c", True, None),  # AT_FDCWD
    ("fsync", "0xffffffffffffffff", True, None),
])
def test_a_descriptor_is_told_where_it_is_the_calls_own(monkeypatch, call, first, kept, fd):
    files = {"stack": f"[<0>] do_wait+0x10/0x20\n[<0>] __x64_sys_{call}+0x1a/0x20\n", "syscall": f"74 {first} 0x0"}
    monkeypatch.setattr(tasks, "_read", lambda path: files.get(path.rsplit("/", 1)[1], ""))
    (frame,) = tasks._thread(1, tasks.Task(1), kept).frames
    assert (frame.function, frame.args.get("fd")) == (call, fd)


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


@pytest.mark.parametrize("script", [None, '#!/bin/sh\ngdb "$@"\nexit $?\n'], ids=["gdb", "script"])
def test_a_thread_that_falls_asleep_as_gdb_attaches_is_told_and_the_guest_runs_on(silent_fuse, tmp_path, script):
    image, server = silent_fuse
    environment = {}
    if script is not None:
        (tmp_path / "run-gdb").write_text(script)
        (tmp_path / "run-gdb").chmod(0o755)
        environment["QEMU_GDB_GDB"] = str(tmp_path / "run-gdb")
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
            told = attach(process.pid, "-f", "json", **environment)
            assert (told.returncode, told.stderr) == (0, "")
            explained = json.loads(told.stdout)
            found = explained["findings"][0]
            assert "(thread-pool worker) has not returned from" in found["title"]
            if "kernel's stacks" not in told.stdout:
                assert found["title"].endswith("() on image for 3 s: it waits in the host's kernel for FUSE")
                assert f"The call is on {image}." in found["explanation"]
            assert tasks.tracers(process.pid) == []
            time.sleep(0.5)
            assert not {"T", "t"} & set(states(process.pid).values())  # what gdb has asked for does not come later
        finally:
            os.kill(server, signal.SIGCONT)
            process.kill()
