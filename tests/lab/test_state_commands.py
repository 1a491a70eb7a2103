"""What the small commands show: one screen, JSON and Markdown, errors, help, completion."""

from __future__ import annotations

import json

import pytest
from state_lab import VERSIONS, command, machine, with_iothread

COMMANDS = ("qemu-locks", "qemu-vcpus", "qemu-requests", "qemu-coroutines", "qemu-handlers", "qemu-timers",
            "qemu-mtree", "qemu-bt")


@pytest.mark.parametrize("version", VERSIONS)
def test_requests_page_names_node_server_device_and_coroutine(version):
    (page,) = command("nbd_stop", version, "qemu-requests")
    assert "read of 512 bytes at 0" in page and "scsi-hd disk0" in page
    assert "a reply of the NBD server" in page and "1 NBD request without a reply" in page


@pytest.mark.parametrize("version", VERSIONS)
def test_locks_page_names_owner_and_waiters_by_role(version):
    (page,) = command("ide_drain_in_vcpu", version, "qemu-locks")
    line = next(text for text in page.splitlines() if text.strip().startswith("BQL"))
    assert "vCPU 0" in line and "main loop" in line


@pytest.mark.parametrize("version", VERSIONS)
def test_locks_page_tells_alike_waits_once(version):
    (page,) = command("mirror_slow", version, "qemu-locks")
    (workers,) = [line for line in page.splitlines() if "(pool worker)" in line]
    assert workers.strip().startswith("threads ") and " at 0x" in workers


@pytest.mark.parametrize("version", VERSIONS)
def test_vcpus_page_tells_stopped_vcpus(version):
    (page,) = command("nbd_stop", version, "qemu-vcpus")
    rows = [line.split() for line in page.splitlines() if line.strip().startswith(("0 ", "1 "))]
    assert len(rows) == 2 and all("stopped" in " ".join(row) for row in rows)


@pytest.mark.parametrize("version", VERSIONS)
def test_handlers_page_names_loops_and_what_their_descriptors_are_for(version):
    (page,) = command("nbd_stop", version, "qemu-handlers")
    assert "qio_channel_restart_read" in page and "wakes this loop up" in page
    rows = [line.split(None, 3) for line in page.splitlines()]
    assert ["main", "loop"] in [row[:2] for row in rows if row[3:] and "input of chardev hmp0; ready (in)" in row[3]]
    assert any(row[:2] == ["iothread", "mon_iothread"] and "input of chardev qmp0" in row[3] for row in rows if row[3:])
    (page,) = command(with_iothread(version), version, "qemu-handlers")
    assert "iothread io0" in page and "wakes this loop up" in page


@pytest.mark.parametrize("version", VERSIONS)
def test_timers_page_tells_clock_and_function(version):
    (page,) = command("mirror_slow", version, "qemu-timers")
    asleep = [line.split() for line in page.splitlines() if "co_sleep_cb" in line]
    assert asleep and all(row[0] == "realtime" and row[-2] == "coroutine" for row in asleep)
    (page,) = command("idle_tcg", version, "qemu-timers")
    assert any(line.split()[:1] == ["host"] and "rtc_update_timer" in line for line in page.splitlines())


@pytest.mark.parametrize("version", VERSIONS)
def test_mtree_shows_devices_at_their_ports(version):
    page, single, json_text, wrong = command(
        "nbd_stop", version, "qemu-mtree", "qemu-mtree I/O", "qemu-mtree --format json I/O", "qemu-mtree nonsense")
    assert "address space memory" in page and "address space I/O" in page and "virtio-scsi-pci s0" in page
    serial = next(line for line in single.splitlines() if " rtc " in line)
    assert "0x70-0x71" in serial and "mc146818rtc" in serial
    (space,) = json.loads(json_text)["address_spaces"]
    assert space["name"] == "I/O" and any(r["name"] == "rtc" and r["first"] == "0x70" for r in space["regions"])
    assert wrong == ""


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_command_gives_one_json_object_and_a_markdown_page(version, line):
    as_json, markdown = command("nbd_stop", version, f"{line} --format json", f"{line} --format markdown")
    assert json.loads(as_json)["schema"] == "qemu-gdb/1"
    assert markdown.strip() and "Traceback" not in markdown


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_has_help_and_completes_its_options(line):
    (told,) = machine.gdb([], f"help {line}")
    assert f"Usage: {line}" in told and "--format" in told
    (completed,) = machine.gdb([], f"complete {line} --f")
    assert completed.strip() == f"{line} --format"


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_says_in_one_line_that_there_is_no_process(line):
    answers = machine.gdb([], line)
    assert "Traceback" not in answers.errors
    assert len([text for text in answers.errors.splitlines() if line in text]) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_word_that_is_no_coroutine_is_an_error_in_one_line(version):
    made = command("nbd_stop", version, "qemu-coroutines 0x1234", "qemu-coroutines nonsense_symbol", "qemu-locks 3")
    assert "no suspended coroutine is at 0x1234" in made.errors
    assert "expected a coroutine's address, found 'nonsense_symbol'" in made.errors
    assert "expected no more words, found '3'" in made.errors
    assert "Traceback" not in made.errors
