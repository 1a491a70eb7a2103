"""The sentence about block requests in flight: alike ones are told once, each wait is told."""

from __future__ import annotations

from qemu_gdb.explain.context import Context
from qemu_gdb.explain.findings.requests import in_flight
from qemu_gdb.model import Coroutine, Facts, Request, Snapshot


def told(requests, coroutines):
    return in_flight(Context(Snapshot(facts=Facts(requests=requests), coroutines=coroutines)), requests)


def write(number, bytes_=65536, **more):
    return Request(node="dst", driver="raw", type="write", offset=number * 65536, bytes=bytes_,
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
