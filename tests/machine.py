"""Real QEMU processes and gdb runs for the tests: started, asked, ended."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
GDBINIT = ROOT / "qemu_gdb" / "gdbinit.py"
GDB = os.environ.get("QEMU_GDB_TEST_GDB", "gdb")
QEMU = "qemu-system-x86_64"
# A command of ours that calls or writes anything fails in every test. gdb itself writes while it attaches.
READ_ONLY = ["set may-call-functions off", "set may-write-registers off", "set may-write-memory off"]
ACCELERATORS = {
    "tcg-multi": "tcg,tb-size=16,thread=multi",
    "tcg-single": "tcg,tb-size=16,thread=single",
    "kvm": "kvm",
}


def kvm_missing():
    """Why KVM can't be used here, "" where it can."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm is missing or not ours"
    try:
        with qemu("kvm"):
            return ""
    except RuntimeError as error:
        return f"KVM does not run guests here: {error}"


@contextlib.contextmanager
def qemu(kind, extra=(), program=QEMU):
    """A running QEMU whose firmware idles: two vCPUs, a virtio-scsi disk on an iothread. Yields its Popen."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="qemu-gdb-"))
    command = [
        program, "-name", "lab,debug-threads=on", "-accel", ACCELERATORS[kind], "-m", "48", "-smp", "2",
        "-display", "none", "-nodefaults", "-serial", "null", "-monitor", "none",
        "-object", "iothread,id=io0", "-blockdev", "null-co,node-name=d0,read-zeroes=on",
        "-device", "virtio-scsi-pci,id=s0,iothread=io0", "-device", "scsi-hd,drive=d0,bus=s0.0",
        "-qmp", f"unix:{folder}/qmp,server=on,wait=off", *extra,
    ]  # fmt: skip
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    process.folder = folder
    try:
        end = time.monotonic() + 20
        while not (folder / "qmp").exists():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((folder / "log").read_text().strip() or "QEMU did not start")
            time.sleep(0.05)
        settle(process)
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def settle(process):
    """Wait until the firmware has come to rest: the process takes hardly any processor time."""
    def used():
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    end = time.monotonic() + 15
    before = used()
    while time.monotonic() < end:
        time.sleep(0.5)
        now = used()
        if now - before <= 1:
            return
        before = now


def qmp(process, command, **arguments):
    """Run one QMP command and return its answer."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(20)
        peer.connect(str(process.folder / "qmp"))
        stream = peer.makefile("rw")
        stream.readline()
        for name, args in (("qmp_capabilities", {}), (command, arguments)):
            stream.write(json.dumps({"execute": name, "arguments": args}) + "\n")
            stream.flush()
            while True:
                answer = json.loads(stream.readline())
                if "return" in answer or "error" in answer:
                    break
        return answer


def gdb(target, *commands, env=None, load=True, timeout=120):
    """Run gdb with these commands; returns what each printed, and what went to stderr in ``errors``."""
    argv = [GDB, "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off"]
    argv += [str(t) for t in target]
    for setting in READ_ONLY:
        argv += ["-ex", setting]
    if load:
        argv += ["-ex", f"source {GDBINIT}"]
    for command in commands:
        argv += ["-ex", "echo \\n@@@@\\n", "-ex", command]
    argv += ["-ex", "echo \\n@@@@\\n"]
    done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout,
                          env={**os.environ, "QEMU_GDB_DEBUG": "", **(env or {})})
    out = done.stdout.decode("utf-8", "surrogateescape").split("\n@@@@\n")[1:-1]
    return Answers(out, done.stderr.decode("utf-8", "surrogateescape"))


class Answers(list):
    """The outputs of gdb's commands in order."""

    def __init__(self, items, errors):
        super().__init__(items)
        self.errors = errors


def explained(target, *more, **options):
    """What ``qemu-explain --format json`` says of a target, as an object."""
    return json.loads(gdb(target, f"qemu-explain --format json {' '.join(more)}", **options)[0])


def core_of(process, folder):
    """A core of a running process, made by gdb's gcore."""
    path = pathlib.Path(folder) / "core"
    gdb(["-p", process.pid], f"gcore {path}", load=False)
    return path


def roles(told):
    """Role and state of each thread that QEMU itself made, by LWP."""
    return {t["lwp"]: (t["role"], t["state"]) for t in told["threads"] if t["frames"]}
