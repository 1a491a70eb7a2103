"""What several tests share: this machine's QEMU, run once a kind, and cores of it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import machine

os.environ.pop("NO_COLOR", None)


def _needs_tools():
    for tool in (machine.GDB, machine.QEMU):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed (make test installs it)")


@pytest.fixture(scope="session", params=list(machine.ACCELERATORS))
def accelerator(request):
    _needs_tools()
    if request.param == "kvm":
        missing = machine.kvm_missing()
        if missing:
            pytest.skip(missing)
    return request.param


@pytest.fixture(scope="session")
def distribution_qemu(accelerator):
    """This distribution's QEMU, idle, under each accelerator."""
    with machine.qemu(accelerator) as process:
        process.accelerator = accelerator
        yield process


@pytest.fixture(scope="session")
def distribution_core(distribution_qemu, tmp_path_factory):
    """A core of it."""
    return machine.core_of(distribution_qemu, tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="session")
def idle_qemu():
    """One idle QEMU under TCG, for tests of gdb's side that don't depend on the accelerator."""
    _needs_tools()
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(machine.qemu("tcg-multi"))


@pytest.fixture(scope="session")
def idle_core(idle_qemu, tmp_path_factory):
    return machine.core_of(idle_qemu, tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Builds a program of fixtures/programs with debug information; returns its path."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed (make test installs it)")
    folder = tmp_path_factory.mktemp("programs")

    def build(name, *flags):
        import subprocess

        path = folder / name
        source = machine.ROOT / "fixtures" / "programs" / f"{name}.c"
        subprocess.run(["gcc", "-g", "-O0", "-pthread", *flags, "-o", str(path), str(source)], check=True)
        return path

    return build
