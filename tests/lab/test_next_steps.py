"""What an explanation advises works: the QMP command among the next steps ends the hang that it is about."""

from __future__ import annotations

import json
import re

import pytest
from state_lab import VERSIONS, machine

from fixtures.lab import qemus, qmp, scene


@pytest.fixture
def with_oob(monkeypatch):
    """The states' QEMU is started with a monitor that has negotiated out-of-band commands."""
    start = scene.Scene.qemu
    monkeypatch.setattr(scene.Scene, "qemu", lambda self, *words, **options: start(self, *words, **options, oob=True))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", ("nbd_stop", "nbd_stop_qmp", "debugcon_blocked"))
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
