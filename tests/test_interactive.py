"""gdb sessions at a terminal: the pager, Ctrl-C, small windows, plain charsets, the TUI; then all is as before."""

from __future__ import annotations

import os
import re

import machine
import pexpect
import pytest

PROMPT = r"\(gdb\) $"


class Session:
    """An interactive gdb on a core, at a terminal of the given size."""

    def __init__(self, core, rows=40, columns=100, **env):
        variables = {**os.environ, "TERM": "xterm", "LANG": "C.UTF-8", "LC_ALL": "", "QEMU_GDB_DEBUG": "", **env}
        self._child = pexpect.spawn(
            machine.GDB,
            ["-nx", "-q", "-iex", "set debuginfod enabled off", machine.QEMU, "-iex", "set pagination off", "-iex",
             "set history save off", str(core)],
            env=variables, dimensions=(rows, columns), timeout=60, encoding="utf-8", codec_errors="replace")
        self._child.expect(PROMPT)
        for setting in machine.READ_ONLY:
            self.run(setting)
        self.run(f"source {machine.GDBINIT}")

    def send(self, line):
        self._child.sendline(line)
        self._child.expect_exact(line)  # the echo

    def run(self, line):
        self.send(line)
        self._child.expect(PROMPT)
        return self._child.before

    def expect(self, pattern):
        self._child.expect(pattern)
        return self._child.before

    def key(self, keys):
        self._child.send(keys)

    def state(self):
        """What a command of ours must leave alone."""
        return [self.run(line) for line in ("thread", "frame", "show pagination", "show height", "show width",
                                            "show style enabled", "show print symbol", "show print elements",
                                            "show confirm", "show scheduler-locking")]

    def close(self):
        self._child.close(force=True)


@pytest.fixture
def session(idle_core):
    opened = []

    def start(**options):
        opened.append(Session(idle_core, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()>=][AB0]?", "", text)


def test_the_page_comes_twice_in_a_row(session):
    gdb = session()
    first, second = gdb.run("qemu-explain"), gdb.run("qemu-explain")
    assert "Threads" in plain(first)
    assert first == second


def test_q_at_the_pager_ends_the_command_and_changes_nothing(session):
    gdb = session(rows=5)
    gdb.run("thread 2")
    gdb.run("frame 1")
    before = gdb.state()
    gdb.run("set pagination on")
    gdb.run("set height 5")
    gdb.send("qemu-explain --all")
    gdb.expect("--Type <RET> for more")
    gdb.key("q\r")
    said = gdb.expect(PROMPT)
    assert "Traceback" not in said and "rror" not in said
    gdb.run("set pagination off")
    gdb.run("set height 5")
    after = gdb.state()
    assert after[:2] == before[:2]
    assert after[4:] == before[4:]


def test_five_rows_and_paging_through_show_the_whole_page(session):
    gdb = session(rows=5)
    whole = plain(gdb.run("qemu-explain"))
    gdb.run("set pagination on")
    gdb.run("set height 5")
    gdb.send("qemu-explain")
    gdb.expect("--Type <RET> for more")
    gdb.key("c\r")
    rest = plain(gdb.expect(PROMPT))
    assert whole.strip().splitlines()[-1].strip() in rest


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03, 0.1])
def test_ctrl_c_in_the_middle_leaves_thread_and_frame(session, delay):
    import time

    gdb = session()
    gdb.run("thread 3")
    gdb.run("frame 2")
    before = gdb.state()
    gdb.send("qemu-explain --all -v")
    time.sleep(delay)
    gdb.key("\x03")
    said = gdb.expect(PROMPT)
    assert "Traceback" not in said
    gdb.run("echo \\n")  # a prompt that Ctrl-C at the prompt itself brought
    assert gdb.state() == before
    assert "Threads" in plain(gdb.run("qemu-explain"))


def test_forty_columns_are_kept(session):
    gdb = session(columns=40)
    page = plain(gdb.run("qemu-explain"))
    lines = [line.rstrip("\r") for line in page.split("\n")]
    assert "Threads" in page
    assert max(map(len, lines)) <= 40


def test_plain_c_locale_gets_ascii(session):
    gdb = session(LANG="C", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    page = plain(gdb.run("qemu-explain"))
    assert "Threads" in page
    assert page.isascii()


def test_colours_follow_style_and_no_color(session):
    gdb = session()
    assert "\x1b[" in gdb.run("qemu-explain")
    gdb.run("set style enabled off")
    assert "\x1b[" not in gdb.run("qemu-explain").replace("\x1b[?2004h", "").replace("\x1b[?2004l", "")
    without = session(NO_COLOR="1")
    assert "\x1b[" not in without.run("qemu-explain").replace("\x1b[?2004h", "").replace("\x1b[?2004l", "")


def test_an_error_is_one_line_and_the_session_goes_on(session):
    gdb = session()
    said = plain(gdb.run("qemu-explain 99"))
    assert "there is no thread 99" in said and "Traceback" not in said
    assert len([line for line in said.splitlines() if line.strip()]) == 1
    assert "Threads" in plain(gdb.run("qemu-explain"))


def test_an_empty_line_does_not_repeat_the_page(session):
    gdb = session()
    gdb.run("qemu-explain")
    gdb.key("\r")
    assert "Threads" not in gdb.expect(PROMPT)


def test_it_works_in_the_tui(session):
    gdb = session(rows=50, columns=120)
    gdb.send("tui enable")
    gdb.expect(r"\(gdb\)")
    gdb.key("qemu-threads\r")
    gdb.expect("main")
    gdb.key("tui disable\r")
    gdb.expect(r"\(gdb\)")


def test_it_loads_from_a_users_gdbinit(idle_core, tmp_path):
    example = (machine.ROOT / "gdbinit.example").read_text()
    (tmp_path / ".gdbinit").write_text(example)
    (tmp_path / "qemu-gdb").symlink_to(machine.ROOT)
    child = pexpect.spawn(machine.GDB, ["-q", "-batch", machine.QEMU, str(idle_core), "-ex", "qemu-threads"],
                          env={**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}, timeout=60,
                          encoding="utf-8", codec_errors="replace")
    child.expect(pexpect.EOF)
    assert "main" in child.before and "Traceback" not in child.before
