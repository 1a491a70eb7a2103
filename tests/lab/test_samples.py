"""Several captures of a live QEMU tell which thread spins, where, and what keeps it awake; a busy guest is no hang."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from explained import ROOT, VERSIONS, lab

SPINS = sorted(name for name, state in lab.STATES.items() if "samples" in state.truth)


def sampled(scene, form):
    command = [sys.executable, "-m", "qemu_gdb", "attach", "--samples", "3", "--interval", "0.5", *form, str(scene.pid)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", [*SPINS, "guest_spins", "idle_tcg", "idle_kvm", "nbd_stop"])
def test_what_spins_is_told_and_nothing_else(state, version):
    accel = lab.STATES[state].accels[0]
    if accel == "kvm" and not lab.has_kvm():
        pytest.skip("/dev/kvm is not usable here")
    with lab.running(state, version, accel) as scene:
        told = json.loads(sampled(scene, ["--format", "json"]))
        truth = scene.truth
    kinds = [(f["kind"], f["title"]) for f in told["findings"]]
    wanted = truth.get("samples") or truth["findings"]
    assert kinds[0][0] in wanted, kinds
    assert ("hang.spinning" in wanted) == any(kind == "hang.spinning" for kind, _ in kinds), kinds
    text = (told["findings"][0]["title"] + told["findings"][0]["explanation"]).lower()
    for word in truth.get("samples_words", ()):
        assert word.lower() in text, text
    if "hang.spinning" in wanted:
        (spinner,) = [t for t in told["threads"] if t["number"] == told["findings"][0]["threads"][0]]
        assert spinner["state"] == "executing"


def first_of_samples(state, version):
    with lab.running(state, version, "tcg") as scene:
        return json.loads(sampled(scene, ["--format", "json", "--interval", "0.8"]))["findings"][0]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_read_that_no_sample_saw_answered_is_the_servers(version):
    first = first_of_samples("nbd_silent", version)
    assert first["kind"] == "hang.waiting-for-peer" and "for a reply of the NBD server" in first["title"]
    assert "nbd.sock" in first["next_steps"][0]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_job_that_copies_the_same_for_ever_is_told_with_its_policy(version):
    first = first_of_samples("mirror_retries", version)
    assert (first["kind"], first["confidence"]) == ("hang.spinning", "possible")
    assert "mirror job job0 gets nowhere" in first["title"]
    assert "on-target-error=ignore" in first["explanation"] and "block-job-cancel" in first["next_steps"][1]
