"""The page in a terminal: merged rows, widths, charsets, confidence at the right, safe characters."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qemu_gdb.model import (
    Coroutine,
    CoroutineExplanation,
    Evidence,
    Explanation,
    Facts,
    Finding,
    Frame,
    KnownFix,
    Notice,
    Snapshot,
    Source,
    Thread,
    ThreadExplanation,
    VCpu,
    WaitsFor,
)
from qemu_gdb.render import json, markdown, text
from qemu_gdb.render.safe import Form, cut, safe, to_ascii, width, wrap


def told(number, role="iothread", state="idle", summary="polls 2 descriptors", **more):
    detail = more.pop("detail", {})
    thread = Thread(number=number, lwp=1000 + number, frames=[Frame(0, "ppoll", "ppoll.c", 42)], **more)
    return ThreadExplanation(thread, role=role, state=state, summary=summary, role_detail=detail)


def hang():
    return Finding("hang.drain-waits-for-io", 'The monitor command "stop" waits for disk I/O', "certain",
                   "Thread 1 drains every block node.\n  nbd0 (nbd): read of 512 bytes at 0", [1],
                   [Evidence("ppoll", 1, 0)], ["look at that NBD server"],
                   [KnownFix("0123456789abcdef", "9.0.0", 0.9, "https://example.org/1", "the assertion", "likely",
                             False)], rule="drain-waits")


def explanation(threads, findings=(), **more):
    snapshot = Snapshot(source=Source(kind="core", pid=24739), version="10.0.13", facts=more.pop("facts", Facts()))
    return Explanation(snapshot, program="qemu-system-x86_64", accelerator="kvm", vcpus=2, runstate="paused",
                       threads=list(threads), findings=list(findings), **more)


def lines(*args, **form):
    return text.render([explanation(*args)], Form(**form)).splitlines()


def test_header_is_program_accelerator_vcpus_source_runstate():
    assert lines([])[0] == "qemu-system-x86_64 10.0.13 · KVM · 2 vCPUs · core of pid 24739 · run state: paused"


def test_finding_has_kind_title_and_confidence_at_the_right_edge():
    page = lines([told(1, "main-loop")], [hang()])
    first = next(line for line in page if line.startswith("HANG"))
    assert first.startswith('HANG  The monitor command "stop" waits for disk I/O')
    assert first.endswith("certain") and len(first) == 100
    assert "    nbd0 (nbd): read of 512 bytes at 0" in page
    assert "  Next: look at that NBD server" in page
    assert any("fixed by 0123456789ab in 9.0.0, which this QEMU does not have" in line for line in page)
    assert not any("Seen" in line for line in page)


def test_verbose_adds_evidence_and_rule():
    page = "\n".join(lines([told(1, "main-loop")], [hang()], verbose=True))
    assert "Seen in thread 1, frame 0: ppoll" in page and "Rule: drain-waits" in page


def test_vcpu_rows_name_index_and_accelerator():
    page = lines([told(4, "vcpu-kvm", "running-guest", "runs guest code", detail={"vcpu": 0})])
    assert any(line.split() == "4 vCPU 0 KVM running-guest runs guest code".split() for line in page)


def test_a_stopped_vcpu_is_said_to_be_stopped():
    facts = Facts(vcpus=[VCpu(0, lwp=1004, stopped=True)])
    page = text.render([explanation([told(4, "vcpu-kvm", detail={"vcpu": 0})], facts=facts)], Form())
    assert "stopped" in page


def test_many_alike_threads_share_a_row():
    threads = [told(1, "main-loop")] + [
        told(n, "vcpu-kvm", "running-guest", "runs guest code", detail={"vcpu": n - 3}) for n in range(3, 19)]
    page = lines(threads)
    assert any(line.split()[:4] == ["3-18", "vCPU", "0-15", "KVM"] for line in page)
    assert len(page) < 8


def test_thread_without_user_stack_is_a_kernel_helper():
    page = lines([told(1, "main-loop"), told(6, kernel_only=True)])
    assert any("no QEMU thread: kernel helper, no user stack" in line for line in page)


def test_asked_thread_shows_stages_waits_and_frames():
    one = told(1, "main-loop", "waiting-bql", "waits for the BQL")
    one.waits_for, one.holds = WaitsFor("bql", "BQL", 5), ["AioContext io0"]
    page = "\n".join(lines([one, told(2)], numbers=(1,)))
    assert "Waits for: BQL, held by thread 5" in page and "Holds: AioContext io0" in page
    assert "#0   ppoll  ppoll.c:42" in page
    assert "Thread 2" not in page


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 140])
def test_no_line_is_wider_than_the_terminal(columns):
    long = "polls 2 descriptors, serves virtio-scsi s0 and many more devices"
    threads = [told(n, summary=long) for n in range(1, 30)]
    one = explanation(threads, [hang()], notices=[Notice("notice.truncated", "the text begins at frame #4 " * 9)])
    for form in (Form(columns), Form(columns, verbose=True, all_threads=True), Form(columns, numbers=(1, 2))):
        assert max(width(line) for line in text.render([one], form).splitlines()) <= columns


def test_ascii_terminals_get_ascii():
    assert text.render([explanation([told(1, summary="a ← b · c → d é")])], Form(unicode=False)).isascii()


HOSTILE = st.text(st.characters(codec="utf-8") | st.sampled_from("\x1b\x07\x9b\u202e\u2066\r\n\t\0\ud800"), max_size=60)


@settings(max_examples=150, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_page_holds_anything_that_a_terminal_acts_on(one, two, three):
    thread = Thread([Frame(0, one, two, 3, args={three: one}, library=two)], 1, name=three, heading=one)
    thread_told = ThreadExplanation(thread, role=one, summary=two, holds=[three], culprit=one,
                                    waits_for=WaitsFor(one, two), role_detail={one: two, "iothread": three})
    finding = Finding("crash." + one, two, three, f"{one}\n{two}", [1], [Evidence(one, 1, 1)], [two], [], rule=three)
    whole = Explanation(Snapshot(version=one), program=two, threads=[thread_told], findings=[finding],
                        notices=[Notice("notice.x", three)], accelerator=one, runstate=two)
    allowed = set("\n")
    for form in (Form(), Form(verbose=True, all_threads=True), Form(40, numbers=(1,))):
        for page in (text.render([whole], form), markdown.render([whole], form), json.render([whole])):
            assert all(c.isprintable() or c in allowed for c in page)


@given(st.text(max_size=200), st.integers(10, 60))
def test_wrapped_text_keeps_its_words_and_its_width(value, columns):
    wrapped = wrap(safe(value), columns, "  ", "    ")
    assert "".join("".join(wrapped).split()) == "".join(safe(value).split())
    assert all(width(line) <= max(columns, 14) for line in wrapped)


def test_cut_text_ends_with_an_ellipsis():
    assert cut("abcdefgh", 5) == "abcd…"
    assert width(cut("表" * 20, 9)) <= 9


def test_ascii_spelling_of_signs():
    assert to_ascii("a ← b") == "a <- b"
    assert set(to_ascii("é表")) <= set(string.printable)


def test_markdown_escapes_what_markdown_and_html_act_on():
    page = markdown.render([explanation([told(1, summary="<script>|*a*|`b`")])], Form())
    assert "<script>" not in page and "&lt;script&gt;\\|\\*a\\*\\|\\`b\\`" in page


def test_resting_coroutines_stay_off_the_first_page():
    both = [CoroutineExplanation(Coroutine(0x10), "idle", "the QMP dispatcher waits for the next command"),
            CoroutineExplanation(Coroutine(0x20), "suspended", "read of 512 bytes on nbd0")]
    one = explanation([told(1, "main-loop")], coroutines=both)
    page = text.render([one], Form())
    assert "Coroutines (1 suspended)" in page and "0x20  read of 512 bytes on nbd0" in page and "0x10" not in page
    assert "0x10  the QMP dispatcher" in text.render([one], Form(verbose=True))


def test_paths_are_those_of_qemus_tree():
    assert text.short_path("../src/qemu-10.0.13+ds/util/fdmon-poll.c") == "util/fdmon-poll.c"
    assert text.short_path("../../hw/scsi/scsi-bus.c") == "hw/scsi/scsi-bus.c"
    assert text.short_path("/usr/src/debug/qemu-9.1.0-1.x86_64/block/io.c") == "block/io.c"
    assert text.short_path("./nptl/pthread_create.c") == "./nptl/pthread_create.c"


def test_a_condition_is_not_held():
    told = ThreadExplanation(thread=Thread(number=1))
    told.waits_for = WaitsFor("vcpu-work", "qemu_work_cond", 3)
    assert text.waits(told) == "qemu_work_cond; thread 3 has to end that wait"
    told.waits_for = WaitsFor("mutex", "mmap_lock", 3)
    assert text.waits(told) == "mmap_lock, held by thread 3"
