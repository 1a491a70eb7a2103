"""Colours by Pygments: the lexer keeps the text, knows frames and pages, and is found by pygmentize."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pygments = pytest.importorskip("pygments")

from pygments.token import Generic, Name, Number, String  # noqa: E402

from qemu_gdb.render import colour  # noqa: E402
from qemu_gdb.render.lexer import BacktraceLexer  # noqa: E402

FRAME = '#1  0x0000561736746c5b in qemu_cond_wait_impl (cond=0x5617, file=0x1 "a.c", line=3) at util/x.c:230\n'


def tokens(text):
    return [(str(value), kind) for kind, value in BacktraceLexer(stripnl=False, ensurenl=False).get_tokens(text)]


def test_frames_show_function_address_arguments_and_file():
    found = dict(tokens(FRAME))
    assert found["qemu_cond_wait_impl"] in Name.Function
    assert found["0x0000561736746c5b"] in Number.Hex
    assert found["cond"] in Name.Variable
    assert found['"a.c"'] in String and found["util/x.c"] in String


def test_pages_show_what_is_wrong_in_red():
    found = dict(tokens("HANG  A waits for B        certain\n\nThreads\n  1  main loop  waiting-bql  x\n"))
    assert found["HANG"] in Generic.Error
    assert found["Threads"] in Generic.Heading


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_lexing_keeps_every_character(text):
    text = text.replace("\r", "")
    assert "".join(value for value, _ in tokens(text)) == text


def test_time_is_linear_in_a_long_line():
    assert colour.coloured("#1  " + "(((" * 30_000)


def test_page_is_plain_without_pygments(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygments", None)
    assert colour.coloured(FRAME) == FRAME


def test_colours_stand_in_the_coloured_page():
    assert "\x1b[" in colour.coloured(FRAME)


def test_pygmentize_finds_the_lexer(tmp_path):
    (tmp_path / "bt.txt").write_text(FRAME)
    done = subprocess.run([sys.executable, "-m", "pygments", "-l", "qemu-backtrace", "-f", "html", tmp_path / "bt.txt"],
                          capture_output=True, text=True)
    if "no lexer for alias" in done.stderr:
        pytest.skip("the package is not installed; make test installs it")
    assert '<span class="nf">qemu_cond_wait_impl</span>' in done.stdout
