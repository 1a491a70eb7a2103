"""What AioContexts have to do: descriptors they watch, bottom halves scheduled, timers armed."""

from __future__ import annotations

import struct
from typing import Dict, Iterator, List, Optional, Set

import gdb

from ..model import BottomHalf, Handler, Timer
from .access import NotReadable, Process, field, optional
from .iothreads import virtqueue_device
from .layout import ADDRESS, Values, layout, offset_of, require
from .qom import Qom

CLOCKS = ("realtime", "virtual", "host", "virtual-rt")  # QEMUClockType, include/qemu/timer.h
_LIMIT = 2048
# QEMUBH.flags (util/async.c, since 5.0)
BH_PENDING, BH_SCHEDULED, BH_DELETED, BH_ONESHOT, BH_IDLE = 1, 2, 4, 8, 16

# What a well-known descriptor is for, by its read handler.
HANDLER_NOTES = {
    "aio_context_notifier_cb": "wakes this loop up",
    "event_notifier_dummy_cb": "wakes this loop up",
    "virtio_queue_host_notifier_read": "a guest's virtqueue kick",
    "virtio_queue_host_notifier_aio_read": "a guest's virtqueue kick",
    "virtio_config_guest_notifier_read": "a virtio device's configuration interrupts",
    "qemu_laio_completion_cb": "Linux AIO completions",
    "qemu_luring_completion_cb": "io_uring completions",
    "qio_channel_restart_read": "a coroutine waits for data",
    "qio_channel_restart_write": "a coroutine waits to send",
    "sigfd_handler": "signals",
    "accept_cb": "connections",
    "vfio_intx_interrupt": "a VFIO interrupt",
    "vfio_msi_interrupt": "a VFIO interrupt",
    "tap_send": "packets from the tap device",
}


def context_type(process: Process) -> Optional[gdb.Type]:
    """``AioContext`` (include/block/aio.h)."""
    return process.type("AioContext", "aio_poll", "aio_context_new")


def heads(process: Process, context: int) -> Values:
    """Where the lists of an AioContext begin.

    :raises NotReadable: its type or its memory
    """
    type_ = context_type(process)
    if type_ is None:
        raise NotReadable("type AioContext is not in the debug information")
    return layout(process, type_, "aio_handlers.lh_first", "bh_list.slh_first", "bh_slice_list.sqh_first").read(
        process, context)


def handlers(process: Process, qom: Qom, head: Values, devices: Dict[int, Set[str]]) -> Iterator[Handler]:
    """The descriptors that an AioContext watches (AioHandler: util/aio-posix.h since 5.0), by its ``heads``.

    Adds the devices whose virtqueues it serves to ``devices``.
    """
    context = require(head, ADDRESS)
    node_type = process.type("struct AioHandler", "aio_poll", "aio_set_fd_handler")
    if node_type is None:
        return
    members = layout(process, node_type, "pfd.fd", "io_read", "io_write", "opaque", "node.le_next",
                     "node_deleted.le_prev")
    first = require(head, "aio_handlers.lh_first")
    for node in members.walk(process, first, "node.le_next", "descriptor handlers", _LIMIT):
        with process.guard("a descriptor handler"):
            if node["node_deleted.le_prev"]:
                continue
            read, write = process.function_at(require(node, "io_read")), process.function_at(require(node, "io_write"))
            opaque = require(node, "opaque")
            handler = Handler(require(node, "pfd.fd"), context, read, write, opaque)
            handler.note = HANDLER_NOTES.get(read or "", "") or HANDLER_NOTES.get(write or "", "")
            # The host notifier is the opaque, or in 5.2 to 7.2 with io_poll only known by its read function.
            if read and read.startswith("virtio_queue_host_notifier"):
                device = virtqueue_device(process, qom, opaque)
                if device:
                    handler.note = f"kicks of {device}"
                    devices.setdefault(context, set()).add(device.rpartition(" queue ")[0])
            elif read == "virtio_queue_guest_notifier_read":
                device = virtqueue_device(process, qom, opaque, "guest_notifier")
                handler.note = f"interrupts of {device}" if device else "a virtqueue's interrupts"
            elif not handler.note or handler.note.startswith("a coroutine"):
                label = qom.label(opaque) if opaque else ""
                if label:
                    handler.note = f"{handler.note} on {label}" if handler.note else label
            yield handler


def bottom_halves(process: Process, head: Values) -> Iterator[BottomHalf]:
    """Bottom halves that are scheduled, and those being run in a batch (QEMUBH, util/async.c, since 5.0)."""
    context = require(head, ADDRESS)
    bh_type = process.type("struct QEMUBH", "aio_bh_poll", "qemu_bh_schedule")
    if bh_type is None:
        return
    firsts = [require(head, "bh_list.slh_first")]
    slices = head["bh_slice_list.sqh_first"]
    slice_type = process.type("BHListSlice", "aio_bh_poll")
    if slices and slice_type is not None:
        for each in process.walk(
            process.pointer(slices, slice_type), lambda n: n["next"]["sqe_next"], "batches of bottom halves", 64
        ):
            firsts.append(int(each["bh_list"]["slh_first"]))
    for first in (process.pointer(address, bh_type) for address in firsts if address):
        for bh in process.walk(first, lambda n: n["next"]["sle_next"], "bottom halves", _LIMIT):
            with process.guard("a bottom half"):
                flags = int(bh["flags"])
                if not flags & (BH_SCHEDULED | BH_ONESHOT | BH_IDLE) or flags & BH_DELETED:
                    continue
                name = optional(lambda: process.string(bh["name"], 64), "")  # noqa: B023 (since 6.1)
                yield BottomHalf(process.function_at(bh["cb"]), context, flags, name or "")


def scheduled_coroutines(process: Process, context: int) -> List[int]:
    """Coroutines that wait for their turn in an AioContext (aio_co_schedule)."""
    type_ = context_type(process)
    if type_ is None:
        return []
    head = process.at(context, type_)["scheduled_coroutines"]
    return [int(co) for co in process.qslist(head, "co_scheduled_next", "scheduled coroutines", _LIMIT)]


def timer_groups(process: Process, contexts: List[int]) -> List[int]:
    """Addresses of the QEMUTimerListGroups: the main loop's, and each AioContext's."""
    main, type_ = process.address("main_loop_tlg"), context_type(process)
    inside = offset_of(type_, "tlg") if type_ is not None else None
    return ([main] if main else []) + [context + inside for context in contexts if inside is not None]


def timers(process: Process, contexts: List[int], now: Dict[str, int]) -> Iterator[Timer]:
    """Armed timers, by their lists' order: the next one of each clock first (util/qemu-timer.c)."""
    list_type = process.type("struct QEMUTimerList", "timerlist_new", "timer_mod_ns")
    if list_type is None:
        return
    active = offset_of(list_type, "active_timers") or 0
    for group in timer_groups(process, contexts):
        try:
            lists = struct.unpack("<4Q", process.read(group, 32))  # QEMUTimerListGroup.tl, its only member
        except NotReadable as error:
            process.note(f"timers: {error}")
            continue
        for clock, pointer in zip(CLOCKS, lists):
            try:  # most lists are empty: a word tells it, where a Value would cost ten times as much
                armed = pointer and process.word(pointer + active)
            except NotReadable as error:
                process.note(f"timers: {error}")
                continue
            if not armed:
                continue
            with process.guard("timers"):
                for timer in process.walk(process.at(pointer, list_type)["active_timers"], lambda t: t["next"],
                                          f"timers of the {clock} clock", _LIMIT):
                    expires = int(timer["expire_time"])
                    due = expires - now[clock] if clock in now else None
                    yield Timer(clock, expires, process.function_at(timer["cb"]), int(timer["opaque"]), due)


def owner_of_timer(process: Process, qom: Qom, timer: Timer) -> str:
    """Whose a timer is: the device that its opaque is, or the coroutine that sleeps; "" where that is not known."""
    if timer.function == "co_sleep_cb":  # QemuCoSleep, QemuCoSleepState in 5.2: the coroutine is their first member
        return f"coroutine {process.word(timer.opaque):#x}"
    return qom.label(timer.opaque) if timer.opaque else ""


def clocks_now(process: Process, live: bool) -> Dict[str, int]:
    """The clocks' present values in ns, as far as they can be known: of a core only a stopped virtual clock."""
    now: Dict[str, int] = {}
    if live:
        import time

        now["realtime"] = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        now["host"] = time.time_ns()
    state = process.variable("timers_state")  # softmmu/cpu-timers.c (5.2: softmmu/cpus.c or cpu-timers.c)
    if state is not None:
        try:
            offset = int(field(state, "cpu_clock_offset"))
            if int(field(state, "cpu_ticks_enabled")):
                if live:
                    now["virtual"] = now["realtime"] + offset
            else:
                now["virtual"] = offset
        except (NotReadable, gdb.error):
            pass
    icount = process.variable("use_icount")
    if icount is not None and optional(lambda: int(icount), 0):
        now.pop("virtual", None)
    return now
