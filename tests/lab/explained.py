"""Explains lab states, once per case, for all tests that ask about it; the cases are chosen here."""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Tuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from fixtures import lab  # noqa: E402

VERSIONS = os.environ.get("QEMU_GDB_LAB_VERSIONS", "7.2 10.0").split()
GDB = os.environ.get("QEMU_GDB_TEST_GDB", "gdb")
COMMAND = "qemu-explain --format json"

_pool = concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count())
_answers: Dict[Case, Any] = {}


class NoJson(Exception):
    """gdb did not print the explanation; ``args[0]`` holds what it printed."""


@dataclass(frozen=True)
class Case:
    """A state, where it runs, and how it is looked at: "live", "core" (gdb's) or "kernel-core"."""

    state: str
    version: str
    accel: str
    how: str

    def __str__(self) -> str:
        return f"{self.state}-{self.version}-{self.accel}-{self.how}"


@dataclass(frozen=True)
class Explained:
    """What the explanation said of a case, as JSON, and what the lab knows."""

    answer: Dict[str, Any]
    truth: Dict[str, Any]
    pid: int
    backtrace: str

    @property
    def first(self) -> Dict[str, Any]:
        assert self.answer["findings"], "no finding at all"
        return self.answer["findings"][0]

    @property
    def first_text(self) -> str:
        parts = [self.first["title"], self.first["explanation"], *self.first["next_steps"]]
        return "\n".join(part or "" for part in parts)

    def threads(self, role: str) -> List[Dict[str, Any]]:
        return [thread for thread in self.answer["threads"] if role_matches(thread["role"], role)]


def role_matches(role: str, wanted: str) -> bool:
    """Whether a thread's role is the wanted one; "vcpu" stands for those of all accelerators."""
    return role == wanted or (wanted == "vcpu" and role.startswith("vcpu-"))


def cases() -> List[Case]:
    """Every state on every QEMU: live and from cores on its first accelerator, on the others one of the two."""
    found = []
    for version in VERSIONS:
        for name, state in sorted(lab.STATES.items()):
            if state.versions is not None and version not in state.versions:
                continue
            if state.crash:
                hows = ["kernel-core"] if state.kernel_core_only else ["live", "core", "kernel-core"]
            else:
                hows = ["live", "core"]
            found += [Case(name, version, state.accels[0], how) for how in hows]
            for accel in state.accels[1:]:
                found.append(Case(name, version, accel, "kernel-core" if state.crash else "live"))
    return found


def _script(state: lab.State) -> Tuple[str, ...]:
    """What keeps gdb's hands off the process; gdb needs them to plant a fault or to stop at a breakpoint."""
    return lab.READ_ONLY_LIVE[:1] if state.inject or state.stop_at or state.crash else lab.READ_ONLY_LIVE


def _json(output: str) -> Dict[str, Any]:
    found = re.search(r'\{\s*"schema"', output)
    if found is None:
        raise NoJson(f"no JSON in gdb's output:\n{output[-3000:]}")
    answer, _ = json.JSONDecoder().raw_decode(output[found.start() :])
    return answer


def explain_ahead(wanted: Iterable[Case]) -> None:
    """Starts explaining ``wanted`` in this order, as many at a time as there are processors."""
    for case in dict.fromkeys(wanted):
        if case not in _answers:
            _answers[case] = _pool.submit(_explain, case)


def explain(case: Case) -> Any:
    """The :class:`Explained` of ``case``, or the exception that says why there is none."""
    explain_ahead([case])
    return _answers[case].result()


def of_core(state: str, version: str) -> Explained:
    """The explanation of a state's core under TCG; skips the test where this QEMU is not built."""
    answer = explain(Case(state, version, "tcg", "core"))
    if isinstance(answer, lab.NotBuilt):
        pytest.skip(str(answer))
    assert not isinstance(answer, Exception), answer
    return answer


def stop() -> None:
    """Gives up the cases that nobody has asked for yet."""
    for answer in _answers.values():
        answer.cancel()


def _explain(case: Case) -> Any:
    state = lab.STATES[case.state]
    source = f"source {ROOT / 'qemu_gdb' / 'gdbinit.py'}"
    commands = (source, COMMAND, "echo \\n==== backtrace ====\\n", "thread apply all bt 60")
    try:
        if case.how == "live":
            with lab.running(case.state, case.version, case.accel) as scene:
                output = scene.gdb(*commands, prepare=_script(state), program=GDB)
                truth, pid = scene.truth, scene.pid
        else:
            by = "kernel" if case.how == "kernel-core" else "gdb"
            made = lab.core(case.state, case.version, case.accel, by)
            argv = [GDB, "-nx", "-batch"]
            for line in (*lab.QUIET, *lab.READ_ONLY, *commands):
                argv += ["-ex", line]
            argv[3:3] = [made.program, made.path]
            result = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=120,
                check=False,
            )
            output, truth, pid = result.stdout.decode(errors="replace"), made.truth, made.truth["pid"]
        answer, _, backtrace = output.partition("==== backtrace ====")
        return Explained(_json(answer), truth, pid, backtrace)
    except (lab.Failed, lab.Unavailable, NoJson, subprocess.TimeoutExpired) as problem:
        return problem
