"""Snapshots of the lab's states, read by gdb from cores or live, for the tests of what is read of QEMU's own state."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import shutil
import struct
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
for place in (str(ROOT), str(ROOT / "tests")):
    if place not in sys.path:
        sys.path.insert(0, place)

import machine  # noqa: E402

from fixtures.lab import cores, qemus, registry  # noqa: E402
from fixtures.lab import states as _states  # noqa: E402, F401
from qemu_gdb import model  # noqa: E402

VERSIONS = os.environ.get("QEMU_GDB_LAB_VERSIONS", "7.2 10.0").split()


def lab_core(name, version, accel=None):
    """A core of a state; skips where that QEMU is not built, or the machine has no KVM."""
    if version not in qemus.built():
        pytest.skip(f"QEMU {version} with debug information is not built (make lab)")
    if accel == "kvm" and not qemus.has_kvm():
        pytest.skip("/dev/kvm is missing")
    if name not in registry.STATES:
        pytest.skip(f"the lab has no state {name}")
    return cores.core(name, version, accel)


@functools.cache
def snapshot(name, version, accel=None):
    """The snapshot that gdb takes of a core of a state."""
    made = lab_core(name, version, accel)
    return of_core(made.program, made.path)


def with_iothread(version):
    """A state with a virtio-scsi controller on iothread io0 and a read in flight, as far as that QEMU can."""
    return "migration_completes" if version == "5.2" else "nbd_stop"


def of_core(program, core, *before, timeout=120):
    """The snapshot of any core."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        answers = machine.gdb([program, core], *before, f"qemu-explain --save {file.name}", timeout=timeout)
        text = file.read()
    assert "internal error" not in answers.errors, answers.errors
    plain = json.loads(text)
    return model.from_plain(model.Snapshot, plain["snapshots"][0])


def command(name, version, *lines, accel=None):
    """What gdb commands print on the core of a state."""
    made = lab_core(name, version, accel)
    return machine.gdb([made.program, made.path], *lines)


class Patched:
    """A copy of a core in which words can be overwritten."""

    def __init__(self, made, folder):
        self.program = made.program
        self.path = str(pathlib.Path(folder) / "patched.core")
        machine.subprocess.run(["cp", "--sparse=always", made.path, self.path], check=True)
        with open(self.path, "rb") as file:
            header = file.read(64)
            (start,) = struct.unpack_from("<Q", header, 32)
            (count,) = struct.unpack_from("<H", header, 56)
            file.seek(start)
            table = file.read(56 * count)
        rows = [struct.unpack_from("<IIQQQQQQ", table, 56 * i) for i in range(count)]
        self._loads = [(r[3], r[5], r[2]) for r in rows if r[0] == 1 and r[5]]

    def evaluate(self, expression):
        """The value of a C expression in the core, as a number."""
        answer = machine.gdb([self.program, self.path], f"output/d (long)({expression})", load=False)
        return int(answer[0])

    def write(self, address, value):
        """Overwrite the 64-bit word at an address."""
        for first, size, offset in self._loads:
            if first <= address < first + size:
                with open(self.path, "r+b") as file:
                    file.seek(offset + address - first)
                    file.write(struct.pack("<Q", value & (1 << 64) - 1))
                return
        raise AssertionError(f"{address:#x} is not in the core")


__all__ = ["VERSIONS", "Patched", "command", "lab_core", "machine", "model", "of_core", "shutil", "snapshot",
           "with_iothread"]
