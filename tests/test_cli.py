"""The qemu-gdb program outside gdb: formats, exit status, errors, recorded snapshots, safe output."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import machine
import pytest

IDLE = """\
Thread 2 (Thread 0x7f1 (LWP 12)):
#0  syscall () at ../sysdeps/unix/sysv/linux/x86_64/syscall.S:38
#1  0x000055d5 in qemu_futex_wait (val=<optimized out>, f=<optimized out>) at include/qemu/futex.h:29
#2  qemu_event_wait (ev=ev@entry=0x55d5 <rcu_call_ready_event>) at util/qemu-thread-posix.c:464
#3  0x000055d5 in call_rcu_thread (opaque=opaque@entry=0x0) at util/rcu.c:261
#4  0x000055d5 in qemu_thread_start (args=<optimized out>) at util/qemu-thread-posix.c:541
#5  0x00007f in start_thread () at pthread_create.c:442
#6  0x00007f in clone3 () at clone3.S:81

Thread 1 (Thread 0x7f2 (LWP 11)):
#0  0x00007f in __GI_ppoll (fds=0x55, nfds=4, timeout=0x7f, sigmask=0x0) at ppoll.c:42
#1  0x000055 in qemu_poll_ns (fds=0x55, nfds=4, timeout=27000000) at util/qemu-timer.c:351
#2  0x000055 in os_host_main_loop_wait (timeout=27000000) at util/main-loop.c:308
#3  main_loop_wait (nonblocking=nonblocking@entry=0) at util/main-loop.c:592
#4  0x000055 in qemu_main_loop () at softmmu/runstate.c:731
#5  0x000055 in main (argc=9, argv=0x7f) at softmmu/main.c:47
"""
FOREIGN = """\
Thread 1 (Thread 0x7f1 (LWP 5)):
#0  0x00007f in poll () from /lib/libc.so.6
#1  0x000055 in g_main_loop_run () from /lib/libglib-2.0.so.0
#2  0x000055 in virEventGLibRunOnce () from /usr/lib/libvirt.so.0
#3  0x000055 in virNetDaemonRun (dmn=0x55) at rpc/virnetdaemon.c:861
#4  0x000055 in main (argc=1, argv=0x7f) at remote/remote_daemon.c:1214
"""


def cli(*arguments, text=None, **env):
    return subprocess.run([sys.executable, "-m", "qemu_gdb", *map(str, arguments)], capture_output=True,
                          cwd=machine.ROOT, input=text.encode("utf-8", "surrogateescape") if text is not None else None,
                          env={**os.environ, "QEMU_GDB_DEBUG": "", "PYTHONIOENCODING": "utf-8", **env}, timeout=60)


def keys_missing(told):
    """Members of design's JSON contract that are absent."""
    wanted = {
        "": ["schema", "source", "qemu", "findings", "threads", "coroutines", "locks", "requests", "notices"],
        "source": ["kind", "pid", "file", "debug_info", "stopped_ms"],
        "qemu": ["program", "version", "accelerator", "vcpus", "runstate", "is_qemu"],
        "threads": ["number", "lwp", "name", "role", "role_detail", "state", "subsystem", "summary", "holds",
                    "waits_for", "culprit", "stages", "frames"],
        "findings": ["kind", "title", "confidence", "explanation", "threads", "evidence", "next_steps", "known_fixes"],
    }  # fmt: skip
    missing = []
    for place, names in wanted.items():
        items = [told] if not place else told[place] if isinstance(told[place], list) else [told[place]]
        missing += [f"{place}.{n}" for item in items for n in names if n not in item]
    return missing


def test_idle_qemu_is_explained_with_status_0(tmp_path):
    (tmp_path / "bt.txt").write_text(IDLE)
    done = cli("explain", tmp_path / "bt.txt")
    page = done.stdout.decode()
    assert done.returncode == 0 and done.stderr == b""
    assert "main loop" in page and "RCU" in page and "idle" in page


def test_standard_input_and_json_keep_the_contract():
    done = cli("explain", "--format", "json", "-", text=IDLE)
    told = json.loads(done.stdout)
    assert keys_missing(told) == []
    assert told["schema"] == "qemu-gdb/1"
    assert {t["role"] for t in told["threads"]} == {"main-loop", "rcu"}
    frame = told["threads"][0]["frames"][0]
    assert set(frame) >= {"level", "function", "file", "line", "subsystem"}


def test_another_program_is_status_1(tmp_path):
    (tmp_path / "bt.txt").write_text(FOREIGN)
    done = cli("explain", "--format=json", tmp_path / "bt.txt")
    assert json.loads(done.stdout)["qemu"]["is_qemu"] is False
    assert done.returncode == 1


def test_a_text_without_a_stack_is_status_1():
    assert cli("explain", "-", text="hello\n").returncode == 1


@pytest.mark.parametrize("arguments", [
    [], ["explain"], ["explain", "/nonexistent"], ["explain", "--bad", "-"], ["explain", "--format", "xml", "-"],
    ["nonsense"], ["explain", "/"], ["explain", "-", "x"], ["explain", "-"],
])  # fmt: skip
def test_bad_usage_is_status_2_and_one_line(arguments):
    done = cli(*arguments, text="")
    assert done.returncode == 2
    assert len(done.stderr.decode().splitlines()) == 1
    assert b"Traceback" not in done.stderr


def test_one_thread_is_told_with_its_frames():
    done = cli("explain", "-", "1", text=IDLE)
    page = done.stdout.decode()
    assert "Thread 1" in page and "main_loop_wait" in page and "call_rcu_thread" not in page
    assert cli("explain", "-", "7", text=IDLE).returncode == 2


def test_markdown_is_a_table():
    page = cli("explain", "--format", "markdown", "-", text=IDLE).stdout.decode()
    assert "| Thread | Role | State | Summary |" in page
    assert "| 1 | main loop | idle |" in page


def test_a_plain_locale_gets_ascii():
    done = cli("explain", "-", text=IDLE, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.stdout.isascii() and b"main loop" in done.stdout


def test_several_processes_become_one_object():
    told = json.loads(cli("explain", "--format", "json", "-", text=IDLE + "\n" + "=" * 30 + "\n\n" + IDLE).stdout)
    assert keys_missing(told) == []
    if "processes" in told:
        assert {t["process"] for t in told["threads"]} == set(range(len(told["processes"])))


def test_hostile_text_is_safe_in_every_format():
    hostile = IDLE.replace("call_rcu_thread", "call_\x1b]0;x\x07rcu\u202e").replace("ppoll.c", "\x1b[2Jp.c\x9b1m")
    for name in ("text", "json", "markdown"):
        for more in ([], ["--all", "-v"]):
            page = cli("explain", "--format", name, *more, "-", text=hostile).stdout.decode()
            assert page and not any(c in page for c in "\x1b\x07\x9b\u202e")


def test_help_and_version():
    assert b"Exit status" in cli("--help").stdout
    assert cli("--version").stdout.startswith(b"qemu-gdb ")
