"""Block requests in flight: alike ones are told once, each wait is told, and one that never ends is found."""

from __future__ import annotations

from qemu_gdb.explain.context import Context
from qemu_gdb.explain.findings import lasting
from qemu_gdb.explain.findings.requests import in_flight
from qemu_gdb.model import BlockNode, Coroutine, Facts, Frame, Request, Snapshot, Source, Thread


def told(requests, coroutines):
    return in_flight(Context(Snapshot(facts=Facts(requests=requests), coroutines=coroutines)), requests)


def write(number, bytes_=65536, driver="raw", **more):
    return Request(node="dst", driver=driver, type="write", offset=number * 65536, bytes=bytes_,
                   coroutine=0x1000 * number, origin="mirror job job0", **more)


def coroutine(number, **waits):
    return Coroutine(address=0x1000 * number, **{"waits_kind": "io", "waits_text": "Linux AIO", **waits})


def test_requests_that_are_alike_are_told_as_one():
    text = told([write(n) for n in range(1, 17)], [coroutine(n) for n in range(1, 17)])
    assert text == ("16 requests are in flight: dst (raw): 16 writes of 65536 bytes, the first of them at 65536, for"
                    " mirror job job0; each of their coroutines (0x1000, ...) has yielded and waits for Linux AIO.")


def test_one_that_waits_for_another_is_told_apart_and_last():
    text = told([write(2), write(1)], [coroutine(2, waits_kind="request", waits_text="an overlapping request",
                                                  waits_owner=0x1000), coroutine(1)])
    first, second = text.index("its coroutine 0x1000 has yielded and waits for Linux AIO"), text.index("0x2000")
    assert first < second and text.startswith("2 requests are in flight")


def test_many_different_ones_are_counted():
    text = told([write(n, bytes_=512 * n) for n in range(1, 7)], [])
    assert text.count("write of") == 3 and text.endswith("; and 3 more.")


def capture(at, *numbers, kind="peer", text="a reply of the NBD server at unix:/run/nbd.sock"):
    """A context of a VM whose writes wait for an NBD server at a moment in seconds."""
    frames = [Frame(0, "ppoll"), Frame(1, "qemu_poll_ns"), Frame(2, "os_host_main_loop_wait"),
              Frame(3, "main_loop_wait"), Frame(4, "qemu_main_loop"), Frame(5, "main")]
    facts = Facts(requests=[write(n, driver="nbd") for n in numbers],
                  nodes=[BlockNode("dst", "nbd", peer="unix:/run/nbd.sock")])
    snapshot = Snapshot(
        threads=[Thread(frames=frames, number=1, lwp=100)], facts=facts, version="10.0.0",
        source=Source(kind="live", pid=100, taken_s=at),
        coroutines=[coroutine(n, waits_kind=kind, waits_text=text) for n in numbers],
    )
    return Context(snapshot)


def test_a_request_that_no_capture_saw_end_is_not_answered():
    (found,) = lasting.find([capture(0.0, 1, 2), capture(1.0, 2), capture(2.5, 2, 3)])
    assert (found.kind, found.confidence) == ("hang.waiting-for-peer", "likely")
    assert found.title == "1 disk request has waited at least 2.5 s for a reply of the NBD server"
    assert "write of 65536 bytes at 131072" in found.explanation and "0x1000" not in found.explanation
    assert found.next_steps[0] == "look at that NBD server (unix:/run/nbd.sock)"


def test_requests_that_come_and_go_are_those_of_a_busy_disk():
    assert not lasting.find([capture(0.0, 1), capture(1.0, 2), capture(2.0, 3)])
    assert not lasting.find([capture(0.0, 1), capture(0.2, 1), capture(0.4, 1)])
    assert not lasting.find([capture(float(n), 1, kind="throttle", text="its turn") for n in range(3)])
