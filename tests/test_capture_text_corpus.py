"""Every real report's threads are found, with their numbers, whole or quoted, encoded and escaped by a mailer."""

import json
import pathlib
import quopri

import pytest

from qemu_gdb.capture import text

CORPUS = pathlib.Path(__file__).resolve().parents[2] / "shared" / "corpus"
CASES = sorted(path.parent for path in CORPUS.glob("*/meta.json"))
pytestmark = pytest.mark.skipif(not CASES, reason="the labelled reports are not beside this repository")


def threads(source):
    return [thread for snapshot in text.parse(source) for thread in snapshot.threads]


def shape(source):
    return [(t.number, t.lwp, [f.function for f in t.frames]) for t in threads(source)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_labelled_threads_of_a_report_are_found(case):
    found = threads(text.read(case / "bt.txt"))
    labels = json.loads((case / "meta.json").read_text())["threads"] or []
    assert found
    if "tcg-lock-status" in (case / "bt.txt").read_text(errors="replace"):
        return  # some of its labelled threads stand in a table of locks, without a stack
    assert len(found) >= len(labels)
    known = {t.number for t in found} | {t.lwp for t in found}
    assert {label["num"] for label in labels if label["num"] is not None} <= known


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_report_reads_the_same_quoted_escaped_and_encoded(case):
    source = text.read(case / "bt.txt").replace("\r\n", "\n")
    wanted = shape(source)
    escaped = source.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    assert shape(escaped) == wanted
    assert shape("".join(f"> {line}\n" for line in source.split("\n"))) == wanted
    if "=3D" not in source:
        assert shape(quopri.encodestring(source.encode()).decode()) == wanted


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_frame_of_a_report_has_a_name_or_a_place_that_is_none(case):
    for thread in threads(text.read(case / "bt.txt")):
        for frame in thread.frames:
            assert frame.function is None or frame.function.strip() == frame.function != ""
            assert " at " not in (frame.function or "") and " in " not in (frame.function or "")
            assert frame.file is None or (" " not in frame.file and ")" not in frame.file)
            assert frame.library is None or ")" not in frame.library
