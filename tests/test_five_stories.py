"""Five real reports, whole and cut: what the explanation must say, and must not."""

from __future__ import annotations

import pathlib
import re

import pytest

from qemu_gdb.capture import text
from qemu_gdb.explain import explain

ROOT = pathlib.Path(__file__).resolve().parent.parent
OURS = ROOT / "fixtures" / "stories"
REPORTS = ROOT.parent / "shared" / "corpus"


class Told:
    """One explanation as a reader sees it."""

    def __init__(self, content: str) -> None:
        self.explanation = [explain(s) for s in text.parse(content)][0]
        self.findings = self.explanation.findings
        self.kinds = [f.kind for f in self.findings]
        self.first = self.findings[0]
        self.words = " ".join(f"{f.title} {f.explanation}" for f in self.findings)
        self.summaries = " ".join(t.summary for t in self.explanation.threads)
        self.all = f"{self.words} {self.summaries} " + " ".join(
            s.text for t in self.explanation.threads for s in t.stages
        )

    def says(self, *patterns: str) -> None:
        for pattern in patterns:
            assert re.search(pattern, self.all, re.IGNORECASE), f"{pattern!r} is not in: {self.all}"

    def does_not_say(self, *patterns: str) -> None:
        for pattern in patterns:
            assert not re.search(pattern, self.all, re.IGNORECASE), f"{pattern!r} is in: {self.all}"


def from_frame(content: str, number: int) -> str:
    """The text from frame ``number`` on, as a careless selection leaves it."""
    found = re.search(rf"^#{number} .*", content, re.MULTILINE | re.DOTALL)
    assert found
    return found.group(0)


def from_inside_frame(content: str, number: int) -> str:
    """The text from the middle of frame ``number`` on."""
    cut = from_frame(content, number)
    return cut[cut.index(",") + 1 :]


def without_thread(content: str, number: int) -> str:
    """The text without one thread."""
    return re.sub(rf"^Thread {number} \(.*?(?=^Thread |\Z)", "", content, flags=re.MULTILINE | re.DOTALL)


CUTS = {1: lambda t: from_inside_frame(t, 11), 2: lambda t: from_frame(t, 15), 3: lambda t: from_frame(t, 8),
        4: lambda t: from_frame(t, 15), 5: lambda t: without_thread(t, 3)}  # fmt: skip


def whole(number: int, where: str) -> Told:
    return Told(_content(number, where))


def cut(number: int, where: str) -> Told:
    if where == "fixture":
        return Told((OURS / f"story{number}-cut.txt").read_text())
    return Told(CUTS[number](_content(number, where)))


def _content(number: int, where: str) -> str:
    if where == "fixture":
        return (OURS / f"story{number}.txt").read_text()
    path = REPORTS / f"web-{number:03}" / "bt.txt"
    if not path.exists():
        pytest.skip("the original reports (../shared/corpus) are not here")
    return text.read(path.read_bytes())


both = pytest.mark.parametrize("where", ["fixture", "original"])


# --- 1: a TCG vCPU's store to a device that takes it for a hardware error


@both
def test_hw_error_of_a_device_model_is_the_crash(where):
    told = whole(1, where)
    assert told.first.kind == "crash.hw-error"
    assert told.first.confidence == "certain"
    told.says("hw_error", "tsc210x_txrx", "bad SPI word width", "aborts QEMU")


@both
def test_hw_error_tells_the_way_of_the_guests_store_through_the_devices(where):
    told = whole(1, where)
    told.says("guest 4-byte store", r"0x38|offset 56", r"omap_mcspi.*tsc210x", "MTTCG")
    assert [t.role for t in told.explanation.threads] == ["vcpu-mttcg"]


@both
def test_hw_error_is_no_fault_of_tcg_or_the_mmu(where):
    whole(1, where).does_not_say(r"MMU fault", r"TCG (bug|problem)", r"translation.cache", r"segmentation")


@both
def test_hw_error_without_its_top_names_no_cause(where):
    told = cut(1, where)
    assert not any(k.startswith(("crash.", "hang.")) for k in told.kinds)
    told.says(r"begins at frame #1[12]", "missing", "no cause can be named", "guest 4-byte store")


# --- 2: migration completes while a mirror job ends


@both
def test_poll_inside_a_poll_is_a_deadlock(where):
    told = whole(2, where)
    assert told.first.kind in ("hang.deadlock", "hang.drain-waits-for-io")
    assert "rule.nested-poll-off-home-thread" in told.kinds
    assert told.first.confidence == "likely"


@both
def test_poll_inside_a_poll_names_both_polls_the_lock_and_the_trigger(where):
    told = whole(2, where)
    told.says(
        r"frame 1\b", r"frame 14\b", "event loop inside an event loop", "bdrv_flush", "BQL held", r"vm_stop",
        "main loop needs the BQL", r"job_exit.*mirror job", "migration",
    )  # fmt: skip
    assert [t.role for t in told.explanation.threads] == ["migration"]


@both
def test_poll_inside_a_poll_says_that_the_main_loop_is_not_shown(where):
    told = whole(2, where)
    told.says("Not shown: the main loop")
    assert any("thread apply all bt" in step for step in told.first.next_steps)


@both
def test_poll_inside_a_poll_is_no_crash(where):
    told = whole(2, where)
    assert not any(k.startswith("crash.") for k in told.kinds)
    told.does_not_say(r"\bcrash")


@both
def test_poll_inside_a_poll_cut_says_what_is_missing(where):
    told = cut(2, where)
    assert not any(k.startswith(("crash.", "hang.")) for k in told.kinds)
    told.says("begins at frame #15", "missing", "no cause can be named", "stops the VM")


# --- 3: an iothread changes memory regions


@both
def test_assertion_names_its_place_and_the_rule_about_the_bql(where):
    told = whole(3, where)
    assert told.first.kind == "crash.assertion"
    assert "rule.bql-not-held" in told.kinds[:2]
    told.says(r"qemu_mutex_iothread_locked\(\)", r"memory\.c:1\d{3}", "memory_region_transaction_commit", "an iothread")


@both
def test_assertion_tells_the_way_from_the_event_notifier_to_the_memory_region(where):
    whole(3, where).says(
        r"event notifier.*virtio_queue_notify_vq.*virtio_scsi_defer_to_dataplane.*start.*memory_region_add_eventfd"
    )


@both
def test_assertion_names_nothing_that_is_not_in_the_text(where):
    whole(3, where).does_not_say("virtio_scsi_request_done", "qemu_log_flush")


@both
def test_assertion_without_its_top_names_no_cause(where):
    told = cut(3, where)
    assert not any(k.startswith(("crash.", "hang.")) for k in told.kinds)
    told.says("begins at frame #8", "no cause can be named", "virtio-scsi")


# --- 4: a guest's write to the device status register


@both
def test_port_write_names_port_width_register_and_what_it_started(where):
    told = whole(4, where)
    assert told.first.kind in ("crash.assertion", "crash.abort")
    told.says(
        "0xc012", "2-byte", "device status", "virtio-scsi dataplane", r"rout(es|ing)", r"kvm_irqchip_commit_routes",
        r"kvm-all\.c:\d{4}", "ret == 0",
    )  # fmt: skip


@both
def test_port_write_is_no_memory_write(where):
    whole(4, where).does_not_say(r"memory write", r"0x12FBE", "performance", "49170")


@both
def test_port_write_knows_the_fixes_that_assert_there(where):
    fixes = whole(4, where).first.known_fixes
    assert any(f.release == "9.0.0" for f in fixes), fixes


@both
def test_port_write_without_its_top_is_only_a_port_write(where):
    told = cut(4, where)
    assert not any(k.startswith(("crash.", "hang.")) for k in told.kinds)
    told.says("0xc012", "begins at frame #15", "no cause can be named")


# --- 5: a vCPU waits for itself


@both
def test_exclusive_section_inside_cpu_exec_is_a_self_deadlock(where):
    told = whole(5, where)
    assert told.first.kind in ("hang.deadlock", "hang.exclusive-stall")
    assert "rule.exclusive-inside-cpu-exec" in told.kinds
    assert told.first.threads == [3]
    told.says("waits for itself", "start_exclusive", "ptw_setl_slow", "helper_ret_protected", "page-table walk")


@both
def test_exclusive_section_leaves_the_other_threads_at_rest(where):
    told = whole(5, where)
    told.says("rest normally")
    told.does_not_say(r"real.?time clock", r"\bRTC\b", "efficient")


@both
def test_two_threads_at_rest_say_nothing_about_the_guest(where):
    told = cut(5, where)
    assert told.kinds == ["state.idle"]
    told.says("rests? normally", "no vCPU is", "nothing can be said about the guest")
    assert told.first.confidence != "certain"
