"""The commands as gdb's user meets them: help, completion, errors, settings and selection left alone."""

from __future__ import annotations

import machine
import pytest


def settings(shown):
    """The lines of gdb's ``show``; the environment of programs to run is this test's own."""
    return {line for line in shown.splitlines() if "=" not in line or line.startswith("$")}


def test_help_tells_usage_and_every_option(idle_core):
    explain, threads, listed = machine.gdb([], "help qemu-explain", "help qemu-threads", "help stack")
    for option in ("--all", "--verbose", "--format", "--file"):
        assert option in explain
    assert "qemu-threads [-f FORMAT]" in threads
    assert "qemu-explain" in listed


def test_loading_prints_nothing_and_changes_no_setting():
    shown = "show"
    plain = machine.gdb([], shown, load=False)
    loaded = machine.gdb([], shown)
    added = [line for line in loaded[0].splitlines() if line.startswith("qemu-")]  # its own settings
    assert settings(loaded[0]) == settings(plain[0]) | set(added)
    assert loaded.errors == plain.errors


@pytest.mark.parametrize("line, expected", [
    ("qemu-explain", "no process to explain"),
    ("qemu-explain --nonsense", "there is no option '--nonsense'"),
    ("qemu-explain --format", "--format needs a value"),
    ("qemu-explain --format yaml", "must be one of text, json, markdown"),
    ("qemu-explain --file /nonexistent/bt.txt", "cannot read /nonexistent/bt.txt: No such file"),
    ("qemu-explain main", "expected a thread number"),
    ("qemu-explain 'a", "unfinished quote"),
    ("qemu-threads 3", "expected no more words"),
])  # fmt: skip
def test_errors_are_one_line_that_says_what_was_expected(line, expected):
    answers = machine.gdb([], line)
    lines = [each for each in answers.errors.splitlines() if "qemu-" in each]
    assert len(lines) == 1 and expected in lines[0]
    assert "Traceback" not in answers.errors


def test_a_thread_that_is_not_there_is_an_error(idle_core):
    answers = machine.gdb([machine.QEMU, idle_core], "qemu-explain 4711")
    assert "there is no thread 4711" in answers.errors


def test_completion_offers_options_values_files_and_threads(idle_core, tmp_path):
    (tmp_path / "trace.txt").write_text("x")
    options, formats, joined, files, threads = machine.gdb(
        [machine.QEMU, idle_core], "complete qemu-explain --", "complete qemu-explain --format ",
        "complete qemu-explain --format=m", f"complete qemu-explain --file {tmp_path}/tr", "complete qemu-explain ")
    assert "qemu-explain --all" in options and "qemu-explain --verbose" in options
    assert [line.split()[-1] for line in formats.splitlines()] == ["json", "markdown", "text"]
    assert "markdown" in joined
    assert f"{tmp_path}/trace.txt" in files
    assert "qemu-explain 1" in threads.splitlines()


def test_selection_and_settings_are_as_before(idle_core):
    probe = ["thread", "frame", "show", "show convenience", "show values"]
    answers = machine.gdb([machine.QEMU, idle_core], "thread 3", "frame 2", "print 42", *probe, "qemu-explain",
                          "qemu-explain --all -v", "qemu-threads", "qemu-explain 1", "qemu-explain --nonsense", *probe)
    before, after = answers[3:8], answers[-5:]
    for earlier, later in zip(before, after):
        assert settings(earlier) ^ settings(later) == set()
    assert "[Current thread is 3" in before[0]
    assert before[1].startswith("#2 ")


def test_command_works_beside_a_prefix_command_named_qemu(idle_core):
    own = "python gdb.Command('qemu', gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)"  # as QEMU's own script declares it
    helped, page = machine.gdb([machine.QEMU, idle_core], own + "\n", "qemu-explain")[-2:]
    assert "Threads" in page


def test_pages_fit_gdbs_width_and_charset(idle_core):
    wide, narrow, ascii_only = machine.gdb(
        [machine.QEMU, idle_core], "qemu-explain", "set width 40", "qemu-explain", "set host-charset ASCII",
        "qemu-explain")[0::2]
    assert max(map(len, wide.splitlines())) <= 100
    assert max(map(len, narrow.splitlines())) <= 40
    assert ascii_only.isascii()


def test_output_in_a_pipe_has_no_colours(idle_core):
    page = machine.gdb([machine.QEMU, idle_core], "set style enabled on", "qemu-explain --all")[-1]
    assert "\x1b" not in page


def test_a_text_file_is_explained_inside_gdb(idle_core, tmp_path):
    text = tmp_path / "bt.txt"
    text.write_text(machine.gdb([machine.QEMU, idle_core], "thread apply all bt", load=False)[0], "utf-8",
                    "surrogateescape")
    page = machine.gdb([], f"qemu-explain --file {text}")[0]
    assert "pasted text" in page and "main loop" in page


def test_loading_twice_is_harmless(idle_core):
    answers = machine.gdb([machine.QEMU, idle_core], f"source {machine.GDBINIT}", "qemu-explain")
    assert "Threads" in answers[1]
    assert "Traceback" not in answers.errors


def test_a_running_process_is_an_error_that_says_what_to_do(idle_qemu):
    answers = machine.gdb(["-p", idle_qemu.pid], "set may-write-memory on", "set may-write-registers on", "continue &",
                          "qemu-explain", "interrupt", "shell sleep 1", "detach")
    assert "the process is running: interrupt it first" in answers.errors
