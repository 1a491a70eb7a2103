"""The cases of the lab's tests, and the explanation of each as a fixture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, List, Optional

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from explained import Case, Explained, cases, explain, explain_ahead, lab, stop  # noqa: E402


@pytest.fixture
def explained(case: Case) -> Explained:
    """The explanation of a case; skips what this machine can't run."""
    if case.accel == "kvm" and not lab.has_kvm():
        pytest.skip("/dev/kvm is not usable here")
    result = explain(case)
    if isinstance(result, lab.Unavailable):
        pytest.skip(str(result))
    if isinstance(result, Exception):
        pytest.fail(f"{type(result).__name__}: {result}", pytrace=False)
    return result


def pytest_generate_tests(metafunc: Any) -> None:
    if "case" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("truth")
    needed: Optional[str] = marker.args[0] if marker else None
    chosen = [case for case in cases() if needed is None or lab.STATES[case.state].truth.get(needed)]
    metafunc.parametrize("case", chosen, ids=str)


def pytest_collection_modifyitems(items: List[Any]) -> None:
    """All tests of a case one after another, so that what fails is seen together."""

    def case_of(item: Any) -> str:
        return str(item.callspec.params["case"]) if "case" in getattr(item, "fixturenames", ()) else ""

    items.sort(key=case_of)


def pytest_collection_finish(session: Any) -> None:
    if not session.config.option.collectonly:
        items = [item for item in session.items if "case" in getattr(item, "fixturenames", ())]
        named = [item.callspec.params["case"] for item in items]
        usable = [case for case in named if isinstance(case, Case)]  # pytest skips a test that has no case by itself
        explain_ahead(case for case in usable if case.accel != "kvm" or lab.has_kvm())


def pytest_sessionfinish() -> None:
    stop()


def pytest_configure(config: Any) -> None:
    config.addinivalue_line("markers", "truth(name): only for states of whose truth the lab knows this")
