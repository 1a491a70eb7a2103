"""What the event loops poll, by the arrays that they hand to the kernel: GLib's sources stand in no list of QEMU's."""

from __future__ import annotations

import os
import struct
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

from .. import architecture
from ..model import Chardev, Facts, Handler, Snapshot, Thread
from . import aio
from .access import Process, optional
from .layout import layout, offset_of

_LIMIT = 1024
_EVENTS = ((1, "in"), (2, "urgent"), (4, "out"), (8, "error"), (16, "hung up"), (32, "invalid"))  # poll(2)


class Polled(NamedTuple):
    """One ``struct pollfd``, or GLib's GPollFD, which is the same."""

    fd: int
    events: int
    ready: int  # what the kernel has found; of a poll that still waits nothing


def words(events: int) -> str:
    """ "in, hung up"."""
    return ", ".join(word for bit, word in _EVENTS if events & bit)


def of_thread(process: Process, thread: Thread) -> List[Polled]:
    """What a thread inside poll() or ppoll() waits for, by the registers of the system call."""
    registers = thread.registers
    machine = architecture.of(registers)
    if machine is None or not machine.is_system_call(registers, *machine.polls):
        return []
    return _array(process, *(registers.get(name, 0) for name in machine.arguments[:2]))


def of_main_loop(process: Process) -> List[Polled]:
    """``gpollfds`` (util/main-loop.c): what the main loop has polled in this round, GLib's sources among them."""
    array = process.variable("gpollfds")
    if array is None or not int(array):
        return []
    return _array(process, int(array["data"]), int(array["len"]))


def _array(process: Process, address: int, count: int) -> List[Polled]:
    if not address or not 0 < count < 1 << 20:
        return []
    return [Polled(*each) for each in struct.iter_unpack("<ihh", process.read(address, 8 * min(count, _LIMIT)))]


def read(process: Process, snapshot: Snapshot) -> None:
    """Note which descriptors are ready, and add those that no AioContext knows: GLib's sources."""
    facts = snapshot.facts
    names = {fd: text for chardev in facts.chardevs for fd, text in _names(chardev)}
    contexts_seen = dict.fromkeys([facts.main_context, *(i.context for i in facts.iothreads),
                                   int(facts.extra.get("iohandler_context", "0"), 16)])  # fmt: skip
    for ring in _rings(process, [address for address in contexts_seen if address]):
        names[ring] = "io_uring of an AioContext"
    watched: Dict[int, Dict[int, Handler]] = {}
    for handler in facts.handlers:
        watched.setdefault(handler.context, {})[handler.fd] = handler
    for context, contexts, polled, at_rest in _loops(process, snapshot):
        known: Dict[int, Handler] = {}
        for each_context in contexts:
            known.update(watched.get(each_context, {}))
        for each in dict.fromkeys(polled):
            found = known.get(each.fd)
            if found is None:
                note = names.get(each.fd) or _link(snapshot, each.fd)
                found = known[each.fd] = Handler(each.fd, context, note=note, glib=at_rest or each.fd in names)
                facts.handlers.append(found)
            found.events = found.events or words(each.events)
            found.ready = found.ready or words(each.ready & (each.events | 0x38))


def _loops(process: Process, snapshot: Snapshot) -> Iterator[Tuple[int, Sequence[int], List[Polled], bool]]:
    """Each event loop's context, the contexts whose handlers it serves, what it polls, and whether it polls now: one
    that serves handlers may have removed some of what it has polled.
    """
    facts: Facts = snapshot.facts
    threads = {t.lwp: t for t in snapshot.threads}
    if facts.main_context:
        with process.guard("what the main loop polls"):
            other = int(facts.extra.get("iohandler_context", "0"), 16)
            polled = of_main_loop(process)
            main = threads.get(snapshot.source.pid)
            at_rest = main is not None and of_thread(process, main) == polled
            yield facts.main_context, (facts.main_context, other), polled, at_rest
    for iothread in facts.iothreads:
        thread = threads.get(iothread.lwp)
        if thread is not None and iothread.context:
            with process.guard(f"what iothread {iothread.name} polls"):
                yield iothread.context, (iothread.context,), of_thread(process, thread), True


def _rings(process: Process, contexts: List[int]) -> Iterator[int]:
    """The io_urings by which AioContexts watch their descriptors, where GLib polls them (util/async.c, 10.2)."""
    type_ = aio.context_type(process)
    if type_ is None or offset_of(type_, "io_uring_fd_tag") is None:
        return
    members = layout(process, type_, "io_uring_fd_tag", "fdmon_io_uring.ring_fd")
    for context in contexts:
        values = optional(lambda: members.read(process, context))  # noqa: B023
        if values and values["io_uring_fd_tag"] and values["fdmon_io_uring.ring_fd"] is not None:
            yield values["fdmon_io_uring.ring_fd"]


def _names(chardev: Chardev) -> Iterator[Tuple[int, str]]:
    if chardev.fd is not None:
        yield chardev.fd, f"input of chardev {chardev.id}"
    for fd in chardev.listens:
        yield fd, f"connections to chardev {chardev.id}"


def _link(snapshot: Snapshot, fd: int) -> str:
    """What a descriptor of a live process is, by proc(5)."""
    folder = f"/proc/{snapshot.source.pid}"
    try:
        if snapshot.source.kind != "live" or os.path.basename(os.readlink(f"{folder}/exe")) != snapshot.program:
            return ""  # a remote process may have a local one's number
        target = os.readlink(f"{folder}/fd/{fd}")
    except OSError:
        return ""
    kind = target.partition(":")[2].strip("[]") if target.startswith("anon_inode:") else target.partition(":")[0]
    return target if target.startswith("/") else f"{'an' if kind[:1] in 'aeio' else 'a'} {kind}"
