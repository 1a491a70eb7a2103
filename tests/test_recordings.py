"""Recordings of real QEMUs (fixtures/record.py makes them) explained without gdb: the same from snapshot and text."""

from __future__ import annotations

import pytest
from machine import ROOT

from qemu_gdb import cli
from qemu_gdb.explain import explain

KINDS = {"idle-tcg-multi": "vcpu-mttcg", "idle-tcg-single": "vcpu-tcg-rr", "idle-kvm": "vcpu-kvm"}
FOLDER = ROOT / "fixtures" / "recordings"


def roles(name):
    (snapshot,) = cli.load(str(FOLDER / name))
    return {t.thread.lwp: (t.role, t.state) for t in explain(snapshot).threads
            if t.thread.frames and any(f.function for f in t.thread.frames)}


@pytest.mark.parametrize("name", list(KINDS))
def test_recorded_idle_qemu_has_its_roles_and_rests(name):
    found = roles(f"{name}.json")
    told = [role for role, _ in found.values()]
    assert told.count("main-loop") == 1 and told.count("rcu") == 1
    assert told.count(KINDS[name]) == (1 if name == "idle-tcg-single" else 2)
    assert {state for _, state in found.values()} <= {"idle", "running-guest"}


@pytest.mark.parametrize("name", list(KINDS))
def test_recorded_text_tells_the_same_as_the_recorded_snapshot(name):
    assert roles(f"{name}.txt") == roles(f"{name}.json")


@pytest.mark.parametrize("name", list(KINDS))
def test_recorded_idle_qemu_has_no_crash_and_no_hang(name):
    for form in ("json", "txt"):
        (snapshot,) = cli.load(str(FOLDER / f"{name}.{form}"))
        kinds = [f.kind for f in explain(snapshot).findings]
        assert not [k for k in kinds if k.startswith(("crash.", "hang.", "rule."))]
