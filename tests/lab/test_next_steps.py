"""What an explanation advises works: the QMP command among the next steps ends the hang that it is about."""

from __future__ import annotations

import json
import re

import pytest
from explained import of_core
from state_lab import VERSIONS, machine

from fixtures.lab import qemus, qmp, scene


@pytest.fixture
def with_oob(monkeypatch):
    """The states' QEMU is started with a monitor that has negotiated out-of-band commands."""
    start = scene.Scene.qemu
    monkeypatch.setattr(scene.Scene, "qemu", lambda self, *words, **options: start(self, *words, **options, oob=True))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", ("nbd_stop", "nbd_stop_qmp", "nbd_flush", "debugcon_blocked"))
def test_the_yank_that_is_advised_ends_the_hang(version, state, with_oob):
    if version not in qemus.built():
        pytest.skip(f"QEMU {version} with debug information is not built (make lab)")
    with scene.running(state, version, "tcg") as hung:
        assert hung.qmp_is_dead()
        page = machine.gdb(["-p", hung.pid], "qemu-explain --format json")[0]
        steps = json.loads(page[page.index("{"):])["findings"][0]["next_steps"]
        advised = [step for step in steps if "yank" in step]
        if int(version.split(".")[0]) < 6:
            assert not advised  # the command came with 6.0
            return
        command = json.loads(re.search(r"\{.*\}", advised[0]).group())
        assert "oob" in advised[0].partition("{")[0]
        hung.qmp.execute(command["exec-oob"], command["arguments"], oob=True, timeout=10)

        def answers():
            try:
                return hung.qmp.execute("query-name", timeout=5) is not None
            except (qmp.NoAnswer, qmp.QmpError):
                return False

        hung.wait("QMP answers again", answers)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_resume_that_is_advised_has_a_stopped_job_try_again(version):
    if version not in qemus.built():
        pytest.skip(f"QEMU {version} with debug information is not built (make lab)")
    with scene.running("mirror_stopped_by_error", version, "tcg") as stopped:
        page = machine.gdb(["-p", stopped.pid], "qemu-explain --format json")[0]
        steps = json.loads(page[page.index("{"):])["findings"][0]["next_steps"]
        (advised,) = [step for step in steps if "block-job-resume" in step]
        assert "below src or dst" in advised or "below dst or src" in advised
        command = json.loads(re.search(r"\{.*\}", advised).group())
        stopped.qmp.events.clear()
        stopped.qmp.execute(command["execute"], command["arguments"])
        # the storage is as bad as it was: it tried, and stopped again
        assert stopped.qmp.wait_event("BLOCK_JOB_ERROR")["data"]["action"] == "stop"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_never_greets_is_told_once_and_by_its_address(version):
    explained = of_core("nbd_connect_silent", version)
    assert [f["kind"] for f in explained.answer["findings"]].count("hang.waiting-for-peer") == 1
    if version != "5.2":  # which connects outside of any coroutine
        assert "nbd.sock" in explained.first["next_steps"][0]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_silent_back_end_is_told_by_its_socket(version):
    assert "vhost.sock" in of_core("vhost_user_silent", version).first["next_steps"][0]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_only_waits_behind_a_hang_matches_no_known_problem(version):
    fixes = of_core("nbd_snapshot", version).first["known_fixes"]
    assert not [f for f in fixes if "cpu_handle_interrupt" in f["matched"]]
