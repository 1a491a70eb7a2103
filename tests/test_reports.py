"""What is said of whole reports, as people send them: fixtures/reports and what its expected.json holds for certain."""

import json
from pathlib import Path

import pytest

from qemu_gdb.capture import text
from qemu_gdb.explain import explain
from qemu_gdb.render import json as as_json
from qemu_gdb.render import output

REPORTS = Path(__file__).resolve().parent.parent / "fixtures" / "reports"
EXPECTED = json.loads((REPORTS / "expected.json").read_text())
QEMUS = [name for name, expected in EXPECTED.items() if expected.get("is_qemu", True)]
OTHERS = [name for name in EXPECTED if name not in QEMUS]


def explained(name):
    explanations = [explain(s) for s in text.parse(text.read(REPORTS / f"{name}.txt"))]
    said = json.loads(as_json.render(explanations))
    return explanations, said[0] if isinstance(said, list) else said


def page(explanations, form="text"):
    import io

    return output.render(explanations, form, output.form_for(io.StringIO()))


def subject(said):
    """The thread that ended the process, else the first."""
    return next((t for t in said["threads"] if t["state"] in ("crashed", "aborting")), said["threads"][0])


def test_every_report_is_in_the_list():
    assert sorted(EXPECTED) == sorted(p.stem for p in REPORTS.glob("*.txt"))


@pytest.mark.parametrize("name", OTHERS)
def test_other_programs_are_not_taken_for_qemu(name):
    _, said = explained(name)
    assert said["qemu"]["is_qemu"] is False
    assert said["findings"] == [] or all(not f["kind"].startswith(("crash.", "hang.")) for f in said["findings"])


@pytest.mark.parametrize("name", QEMUS)
def test_roles_and_states_are_an_experts(name):
    _, said = explained(name)
    assert said["qemu"]["is_qemu"] is not False
    expected = EXPECTED[name]
    thread = subject(said)
    for key in ("role", "state"):
        if key in expected:
            assert thread[key] == expected[key]
    by_number = {t["number"]: t for t in said["threads"]}
    for number, (role, state) in expected.get("threads", {}).items():
        told = by_number[int(number)]
        assert told["role"] == (role or told["role"])
        assert told["state"] == (state or told["state"])


@pytest.mark.parametrize("name", [n for n in QEMUS if "culprit" in EXPECTED[n]])
def test_the_function_that_an_expert_names_is_named(name):
    _, said = explained(name)
    culprits = {t["culprit"] for t in said["threads"] if t["culprit"]}
    wanted = set(EXPECTED[name]["culprit"])
    assert culprits & wanted if wanted else not culprits


@pytest.mark.parametrize("name", [n for n in QEMUS if "finding" in EXPECTED[n]])
def test_the_first_findings_hold_the_one_that_matters(name):
    _, said = explained(name)
    assert EXPECTED[name]["finding"] in [f["kind"] for f in said["findings"][:2]]


@pytest.mark.parametrize("name", ["lsan-timer", "valgrind-leak", "leak-qdict", "leak-visitor"])
def test_a_leak_is_told_as_a_leak_and_not_as_a_crash(name):
    _, said = explained(name)
    first = said["findings"][0]
    assert "leaked" in first["title"] and "Nothing crashed" in first["explanation"]
    assert "stopped it" not in first["explanation"]


def test_an_emulated_programs_death_is_not_qemus_own_fault():
    _, said = explained("linux-user-segv")
    assert said["findings"][0]["title"].startswith("The emulated program died of signal 11")


def test_a_qom_cast_is_not_the_place_of_a_crash():
    _, said = explained("inlined-cast")
    assert "virtio_bus_get_device" in said["findings"][0]["title"]


@pytest.mark.parametrize("name", ["xhci-recursion", "stack-overflow-pci"])
def test_recursion_is_not_called_endless(name):
    explanations, said = explained(name)
    words = " ".join(f["title"] + f["explanation"] for f in said["findings"]).lower()
    assert "endless" not in words and "without end" not in words


def test_a_recursion_is_named_by_the_device_that_recurses():
    _, said = explained("xhci-recursion")
    assert "xhci_doorbell_write" in said["findings"][0]["title"]


def test_generated_code_passes_no_pointer():
    _, said = explained("plugin-crash")
    assert "cpu_tb_exec" not in said["findings"][0]["explanation"]


def test_rows_of_info_threads_alone_show_no_hang():
    _, said = explained("info-threads-only")
    assert not any(f["kind"].startswith("hang.") for f in said["findings"])


def test_a_precopy_load_waits_for_no_page():
    explanations, _ = explained("two-processes")
    assert len(explanations) == 2
    assert "page never comes" not in page(explanations)


def test_a_change_of_the_memory_map_is_not_dirty_logging():
    explanations, said = explained("vfio-unrealize")
    assert "dirty logging" not in said["findings"][0]["explanation"]


def test_the_function_that_panics_in_rust_is_the_devices():
    _, said = explained("rust-device")
    assert "PL011State" in said["findings"][0]["title"]
