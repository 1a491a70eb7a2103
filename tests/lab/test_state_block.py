"""What is read of the block layer: nodes, users, requests, throttling, jobs, failed I/O."""

from __future__ import annotations

import pytest
from state_lab import VERSIONS, snapshot

pytestmark = pytest.mark.parametrize("version", VERSIONS)


def node(snap, name):
    return next(n for n in snap.facts.nodes if n.name == name)


def test_silent_nbd_server_is_named_with_the_request_that_waits_for_it(version):
    snap = snapshot("nbd_stop", version)
    (request,) = snap.facts.requests
    assert (request.node, request.driver, request.type) == ("nbd0", "nbd", "read")
    assert (request.offset, request.bytes) == (0, 512)
    assert request.origin.startswith("scsi-hd")
    nbd = node(snap, "nbd0")
    assert nbd.peer.startswith("unix:/") and nbd.peer.endswith(".sock")
    assert nbd.in_flight >= 1 and nbd.quiesce >= 1
    assert nbd.note == "1 NBD request without a reply"
    assert nbd.parents == [request.origin]


def test_request_suspended_by_blkdebug_is_told_with_its_tag(version):
    snap = snapshot("blkdebug_drain", version)
    assert node(snap, "bd0").note == "suspended by blkdebug: hold"
    assert node(snap, "bd0").children == ["null0"] and node(snap, "null0").parents == ["node bd0"]
    assert [r.type for r in snap.facts.requests if r.node == "bd0"] == ["write"]


def test_throttled_request_is_counted_at_its_node(version):
    snap = snapshot("throttled", version)
    assert [n.throttled for n in snap.facts.nodes if n.driver == "throttle"] == [1]


def test_io_error_that_stopped_the_vm_names_the_failed_operation_and_the_policy(version):
    snap = snapshot("io_error", version)
    assert snap.facts.runstate == "io-error"
    note = node(snap, "bd0").note
    assert "I/O status failed" in note and "failed read" in note and "rerror=stop" in note


def test_mirror_job_has_its_copies_in_flight_and_its_target(version):
    snap = snapshot("mirror_slow", version)
    (job,) = snap.facts.jobs
    assert (job.type, job.status) == ("mirror", "running")
    copies = [r for r in snap.facts.requests if r.origin == f"mirror job {job.id}"]
    assert copies and job.in_flight >= len(copies)
    assert job.progress.endswith(" bytes")


def test_nodes_of_a_qemu_without_disks_are_none(version):
    snap = snapshot("idle_tcg", version)
    assert snap.facts.requests == []
