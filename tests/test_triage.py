"""Many reports at once: groups, counts, broken inputs, resuming, the overview; signatures and similarity of files."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import machine
import pexpect
import pytest

from qemu_gdb import triage

STORIES = machine.ROOT / "fixtures" / "stories"
RECORDINGS = machine.ROOT / "fixtures" / "recordings"
CORES = pathlib.Path(os.environ.get("QEMU_GDB_CACHE", pathlib.Path.home() / ".cache" / "qemu-gdb")) / "cores"


def run(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "qemu_gdb", *map(str, arguments)], cwd=machine.ROOT, text=True,
                          capture_output=True, timeout=300, **options)


def lines(*arguments):
    return [json.loads(line) for line in run("triage", "-f", "json", *arguments).stdout.splitlines()]


def of_type(objects, kind):
    return [o for o in objects if o["type"] == kind]


@pytest.fixture
def reports(tmp_path):
    """Three times the first story with other addresses, twice the third, one healthy recording, one shopping list."""
    folder = tmp_path / "reports"
    (folder / "deep").mkdir(parents=True)
    for i in range(3):
        text = (STORIES / "story1.txt").read_text().replace("0x0000", f"0x000{i + 1}")
        (folder / f"one-{i}.txt").write_text(text)
    for i in range(2):
        shutil.copy(STORIES / "story3.txt", folder / "deep" / f"three-{i}.log")
    (folder / "list.txt").write_text("milk\nbread\n")
    (folder / ".hidden.txt").write_text("hidden")
    return folder


def test_reports_of_one_problem_are_one_group(reports):
    told = lines(reports)
    counts = {g["kind"]: g["count"] for g in of_type(told, "group")}
    assert counts == {"crash.hw-error": 3, "crash.assertion": 2}
    (summary,) = of_type(told, "summary")
    assert (summary["inputs"], summary["nothing_found"], summary["failed"], summary["groups"]) == (6, 1, 0, 2)


def test_group_has_one_explanation_and_names_its_members(reports):
    group = next(g for g in of_type(lines(reports), "group") if g["count"] == 3)
    assert "tsc210x_txrx" in group["signature"] and "hw_error" in group["finding"]["title"] + group["signature"]
    assert [os.path.basename(m) for m in group["members"]] == ["one-0.txt", "one-1.txt", "one-2.txt"]


def test_every_input_has_a_line(reports):
    inputs = of_type(lines(reports), "input")
    assert sorted(os.path.basename(i["path"]) for i in inputs) == [
        "list.txt", "one-0.txt", "one-1.txt", "one-2.txt", "three-0.log", "three-1.log"]
    assert {i["status"] for i in inputs} == {"explained", "nothing-found"}


def test_page_tells_the_most_frequent_problem_first(reports):
    done = run("triage", reports)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("6 inputs in 2 groups, 1 without a stack\n")
    assert done.stdout.index("3 x  CRASH") < done.stdout.index("2 x  CRASH")


def test_healthy_processes_of_one_state_are_one_group():
    if not RECORDINGS.is_dir() or len(list(RECORDINGS.glob("*idle*.txt")) or list(RECORDINGS.glob("*.txt"))) < 2:
        pytest.skip("no recordings in fixtures")
    kinds = [g["kind"] for g in of_type(lines(RECORDINGS), "group")]
    assert len([k for k in kinds if k == "state.idle"]) <= 1


def test_one_broken_input_does_not_stop_the_rest(reports):
    (reports / "broken").symlink_to("/nonexistent")
    missing = reports / "missing.txt"
    program = reports / "program"
    shutil.copy(shutil.which("true"), program)
    told = lines(reports, missing)
    failed = {os.path.basename(i["path"]): i for i in of_type(told, "input") if i["status"] == "unreadable"}
    assert set(failed) == {"missing.txt", "program"}
    assert "No such file" in failed["missing.txt"]["error"] and "not a core" in failed["program"]["error"]
    assert len(of_type(told, "group")) == 2


def test_a_broken_core_is_told_and_the_rest_goes_on(reports):
    (reports / "core.1").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x04\x00" + b"\xff" * 500)
    told = lines(reports)
    (failed,) = [i for i in of_type(told, "input") if i["status"] == "unreadable"]
    assert failed["path"].endswith("core.1") and failed["kind"] == "core"
    assert len(of_type(told, "group")) == 2


@pytest.mark.parametrize(("how", "status"), [("dies", "died"), ("hangs", "timeout")])
def test_a_worker_that_is_lost_costs_one_input(reports, monkeypatch, how, status):
    original = triage.record_of

    def evil(path, redacted=False):
        if path.endswith("one-1.txt"):
            if how == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(600)
        return original(path, redacted)

    monkeypatch.setattr(triage, "record_of", evil)
    found = triage.gather([str(reports)], workers=2, seconds=3)
    assert [(os.path.basename(f["path"]), f["status"]) for f in found.failures] == [("one-1.txt", status)]
    assert sorted(g.count for g in found.groups.values()) == [2, 2]


def test_workers_are_replaced_and_nothing_is_lost(reports, monkeypatch):
    for i in range(60):
        shutil.copy(STORIES / "story5.txt", reports / f"five-{i}.txt")
    monkeypatch.setattr(triage, "_RECYCLED", 7)
    found = triage.gather([str(reports)], workers=3)
    assert found.explained == 65 and max(g.count for g in found.groups.values()) == 60


def children():
    """Processes whose parent is this one, ended but unreaped ones included."""
    found = set()
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(status.parent.name))
    return found


def test_no_worker_is_left_behind(reports):
    before = children()
    list(triage.run([str(p) for p in sorted(reports.rglob("*.txt"))], workers=3))
    assert children() <= before


def test_a_run_goes_on_where_it_was_ended(reports, tmp_path):
    state = tmp_path / "state.jsonl"
    first = lines("--resume", state, reports / "deep")
    assert of_type(first, "summary")[0]["taken_over"] == 0
    with open(state, "a") as stream:
        stream.write('{"type": "input", "path": "/cut')  # the run was killed in the middle of a line
    second = lines("--resume", state, reports)
    assert of_type(second, "summary")[0]["taken_over"] == 2
    assert {g["kind"]: g["count"] for g in of_type(second, "group")} == {"crash.hw-error": 3, "crash.assertion": 2}
    third = lines("--resume", state, reports)
    assert of_type(third, "summary")[0]["taken_over"] == 6
    assert of_type(third, "group") == of_type(second, "group")
    for line in state.read_text().splitlines():
        json.loads(line)


def test_a_changed_input_is_explained_again(reports, tmp_path):
    state = tmp_path / "state.jsonl"
    lines("--resume", state, reports)
    shutil.copy(STORIES / "story3.txt", reports / "one-0.txt")
    told = lines("--resume", state, reports)
    assert of_type(told, "summary")[0]["taken_over"] == 5
    assert {g["count"] for g in of_type(told, "group")} == {2, 3}
    assert {g["kind"]: g["count"] for g in of_type(told, "group")} == {"crash.hw-error": 2, "crash.assertion": 3}


def test_another_file_is_not_taken_for_a_state(reports, tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("dear diary\n")
    done = run("triage", "--resume", other, reports)
    assert done.returncode == 2 and "no state of qemu-gdb triage" in done.stderr
    assert other.read_text() == "dear diary\n"


def test_overview_page_tells_groups_and_keeps_private_values(reports, tmp_path):
    page = tmp_path / "overview.html"
    text = (STORIES / "story5.txt").read_text()
    (reports / "private.txt").write_text("qemu-system-x86_64 -drive file=/home/alice/disk.qcow2\n" + text)
    done = run("triage", "--report", page, reports)
    assert done.returncode == 0
    shown = page.read_text()
    assert "tsc210x_txrx" in shown and "one-0.txt" in shown
    assert "alice" not in shown and str(reports) not in shown and "<script" not in shown
    refused = run("triage", "--report", "overview.md", reports)
    assert refused.returncode == 2 and ".html" in refused.stderr


def test_terminal_shows_progress(reports):
    for i in range(40):
        shutil.copy(STORIES / "story2.txt", reports / f"two-{i}.txt")
    child = pexpect.spawn(sys.executable, ["-m", "qemu_gdb", "triage", str(reports)], cwd=str(machine.ROOT),
                          encoding="utf-8", timeout=120, dimensions=(50, 100))
    child.expect(r"\d+/46  \d+/s")
    child.expect("46 inputs in 3 groups")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_interrupt_ends_all_and_keeps_what_was_done(reports, tmp_path):
    for i in range(3000):
        (reports / f"two-{i}.txt").write_text((STORIES / "story2.txt").read_text() + f"\nreport {i}\n")
    state = tmp_path / "state.jsonl"
    child = pexpect.spawn(sys.executable, ["-m", "qemu_gdb", "triage", "--resume", str(state), str(reports)],
                          cwd=str(machine.ROOT), encoding="utf-8", timeout=120, dimensions=(50, 100),
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # "&" in a script ignores it
    child.expect(r"[1-9]\d*/3006")
    child.sendintr()
    child.expect("stopped; the same line with --resume")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert len(state.read_text().splitlines()) > 1
    assert "Traceback" not in (child.before or "")


@pytest.mark.parametrize("arguments", [(), ("--jobs", "0", "x"), ("--resume",), ("--nothing", "x")])
def test_bad_usage_is_one_line(arguments):
    done = run("triage", *arguments)
    assert done.returncode == 2 and done.stderr.startswith("qemu-gdb: ") and done.stderr.count("\n") == 1


def test_signature_is_the_same_for_two_reports_of_a_problem(reports):
    a, b, c = run("signature", reports / "one-0.txt", reports / "one-1.txt",
                  reports / "deep" / "three-0.log").stdout.splitlines()
    digests = [line.split(": ", 1)[1].split()[0] for line in (a, b, c)]
    assert digests[0] == digests[1] != digests[2]
    plain = json.loads(run("signature", "-f", "json", reports / "one-0.txt").stdout)
    assert plain["digest"] == digests[0] and "tsc210x_txrx" in plain["functions"]


def test_similarity_tells_equal_problems_from_different_ones(reports):
    same = run("similarity", reports / "one-0.txt", reports / "one-1.txt").stdout
    other = run("similarity", reports / "one-0.txt", reports / "deep" / "three-0.log").stdout
    assert same.startswith("1.00  the same signature; shared: ") and "tsc210x_txrx" in same
    assert float(other.split()[0]) < 0.3 and "different signatures" in other


def test_signature_of_no_backtrace_finds_nothing(reports):
    done = run("signature", reports / "list.txt")
    assert done.returncode == 1 and done.stdout == ""


@pytest.mark.parametrize("version", ["10.0", "7.2"])
def test_cores_are_explained_among_texts(reports, version, tmp_path):
    cores = [CORES / version / f"{state}.core" for state in ("assertion_by_qmp", "nbd_stop")]
    cores = [c for c in cores if c.exists()]
    if not cores or not shutil.which("gdb"):
        pytest.skip("no cores of the lab (make lab)")
    told = lines("--resume", tmp_path / "s.jsonl", reports, *cores)
    by_path = {i["path"]: i for i in of_type(told, "input")}
    for core in cores:
        kind = by_path[str(core)]["finding"]["kind"]
        assert kind == ("crash.assertion" if "assertion" in core.name else "hang.drain-waits-for-io"), kind
    assert of_type(told, "summary")[0]["failed"] == 0
