"""Who stands in which queue of the block layer, and whose turn it is: qcow2 allocations, throttling, drains, flushes.

Read from the queues' own heads, so that it holds too where a coroutine's frames have lost their variables.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Tuple

import gdb

from ..model import BlockNode, Coroutine, Request
from ..record import record
from . import jobs
from .access import Process, optional
from .block import Graph

_QUEUE = 1024  # coroutines in one queue
# BucketType, include/qemu/throttle.h: the order of ThrottleConfig.buckets
_LIMITS = ("bps-total", "bps-read", "bps-write", "iops-total", "iops-read", "iops-write")


@record
class Queued:
    """What a coroutine in a queue waits for."""

    coroutine: int
    kind: str  # Coroutine.waits_kind
    text: str
    object: int
    owner: int = 0  # the coroutine that must act; 0: no coroutine, or unknown


def read(process: Process, graph: Graph) -> Dict[int, Queued]:
    """By coroutine, what it queues for."""
    found: Dict[int, Queued] = {}
    for reader in (_serialising, _allocations, _throttled, _drained, _flushes, _mirrored):
        with process.guard(f"queues of the block layer ({reader.__name__[1:]})"):
            for queued in reader(process, graph):
                found.setdefault(queued.coroutine, queued)
    return found


def _members(process: Process, queue: gdb.Value) -> List[int]:
    """The coroutines in a CoQueue, first come first (include/qemu/coroutine.h)."""
    entries = queue["entries"]
    # most queues are empty, and a word tells it
    if not process.word(int(queue.address)):
        return []
    return [int(co) for co in process.qsimpleq(entries, "co_queue_next", "a queue of coroutines", _QUEUE)]


def _serialising(_process: Process, graph: Graph) -> Iterator[Queued]:
    """BdrvTrackedRequest.waiting_for (block/io.c, bdrv_wait_serialising_requests_locked)."""
    for request in graph.requests:
        if not request.waiting_for:
            continue
        other = next((r for r in graph.requests
                      if r.coroutine == request.waiting_for and r.node == request.node), None)
        what = f": {other.type} of {other.bytes} bytes at {other.offset} on {other.node}" if other is not None else ""
        yield Queued(request.coroutine, "request", f"an overlapping request{what}", 0, request.waiting_for)


def _allocations(process: Process, graph: Graph) -> Iterator[Queued]:
    """Writes that wait in QCowL2Meta.dependent_requests (block/qcow2-cluster.c, handle_dependencies)."""
    for node in graph.nodes:
        opaque = int(graph.values[node.address]["opaque"]) if node.driver == "qcow2" else 0
        # the type is dear to look up: only where a node needs it
        state_type = process.type("BDRVQcow2State", "handle_dependencies", "qcow2_alloc_host_offset", "bdrv_qcow2") \
            if opaque else None
        if state_type is None:
            continue
        state = process.at(opaque, state_type)
        for meta in process.qlist(state["cluster_allocs"], "next_in_flight", "allocations of qcow2", 1024):
            queue = meta["dependent_requests"]
            waiting = _members(process, queue)
            first = int(meta["offset"])
            size = int(meta["nb_clusters"]) * int(state["cluster_size"])
            begins = first + int(meta["cow_start"]["offset"]) + int(meta["cow_start"]["nb_bytes"])
            writer = _writer(graph.requests, node, begins, first + int(meta["cow_end"]["offset"]), waiting)
            what = "clusters" if int(meta["nb_clusters"]) > 1 else "cluster"
            text = f"another write that allocates the qcow2 {what} at {first} ({size} bytes) of {node.name}"
            for coroutine in waiting:
                yield Queued(coroutine, "request", text, int(queue.address), writer)


def _writer(requests: List[Request], node: BlockNode, begin: int, end: int, waiting: List[int]) -> int:
    """The one write on a node that covers what an allocation writes, and does not wait for it; 0: not to be told."""
    found = {r.coroutine for r in requests if r.node == node.name and r.driver == node.driver and r.type == "write"
             and r.offset < end and begin < r.offset + r.bytes and r.coroutine not in waiting}
    return found.pop() if len(found) == 1 else 0


def _throttled(process: Process, graph: Graph) -> Iterator[Queued]:
    """ThrottleGroupMember.throttled_reqs (block/throttle-groups.c)."""
    members = [b.throttle for b in graph.backends if b.throttle]
    members += [int(graph.values[n.address]["opaque"]) for n in graph.nodes if n.driver == "throttle"]
    member_type = process.type("ThrottleGroupMember", "throttle_group_register_tgm") if members else None
    if member_type is None:
        return
    group_type = process.type("struct ThrottleGroup", "throttle_group_register_tgm", "throttle_group_config")
    for address in filter(None, members):
        member = process.at(address, member_type)
        if not int(member["throttle_state"]):
            continue
        for direction, name in enumerate(("read", "write")):
            waiting = _members(process, member["throttled_reqs"][direction])
            if waiting:
                group, limits = _group(process, member["throttle_state"], group_type)
                text = f"its turn in throttle group {group}" if group else "its turn in its throttle group"
                text += f" ({limits})" if limits else ""
                behind = f", {len(waiting)} {name}s queue" if len(waiting) > 1 else ""
                for coroutine in waiting:
                    yield Queued(coroutine, "throttle", text + behind, address)


def _group(process: Process, state: gdb.Value, type_: Optional[gdb.Type]) -> Tuple[str, str]:
    """Name and limits of the ThrottleGroup around a ThrottleState."""
    name = ""
    if type_ is not None:
        offset = next((f.bitpos // 8 for f in type_.strip_typedefs().fields() if f.name == "ts"), None)
        if offset is not None:
            group = process.at(int(state) - offset, type_)
            name = optional(lambda: process.string(group["name"], 64), "")
    buckets = optional(lambda: state["cfg"]["buckets"])
    limits = []
    for index, limit in enumerate(_LIMITS if buckets is not None else ()):
        average = optional(lambda: int(buckets[index]["avg"]), 0)  # noqa: B023
        if average:
            limits.append(f"{limit}={average}")
    return name, ", ".join(limits)


def _drained(process: Process, graph: Graph) -> Iterator[Queued]:
    """BlockBackend.queued_requests (block/block-backend.c, blk_wait_while_drained)."""
    type_ = process.type("BlockBackend", "blk_new", "blk_bs")
    for backend in graph.backends if type_ is not None else ():
        for coroutine in _members(process, process.at(backend.address, type_)["queued_requests"]):
            whose = backend.label or graph.label(backend.root) or "its block backend"
            yield Queued(coroutine, "drain", f"the end of a drained section of {whose}", backend.address)


def _flushes(process: Process, graph: Graph) -> Iterator[Queued]:
    """BlockDriverState.flush_queue (block/io.c, bdrv_co_flush): who flushes now, ``flusher`` tells."""
    for node in graph.nodes:
        for coroutine in _members(process, graph.values[node.address]["flush_queue"]):
            yield Queued(coroutine, "flush", f"the flush of {node.name} that is under way", node.address)


def flusher(coroutines: List[Coroutine], waiting: Coroutine) -> int:
    """The coroutine that flushes the node for which another one waits; 0 where none shows it."""
    for coroutine in coroutines:
        if coroutine.address == waiting.address or coroutine.waits_kind == "flush":
            continue
        for frame in coroutine.frames:
            shown = frame.args.get("bs", "").split(" ")[0] if frame.name == "bdrv_co_flush" else ""
            if shown == hex(waiting.waits_object):
                return coroutine.address
    return 0


def _mirrored(process: Process, _graph: Graph) -> Iterator[Queued]:
    """MirrorOp.waiting_requests (block/mirror.c): copies and guest writes of the same area wait for each other."""
    for job in jobs.mirrors(process):
        for operation in process.qtailq(job["ops_in_flight"], "next", "copies of a mirror job", _QUEUE):
            offset, size = int(operation["offset"]), int(operation["bytes"])
            for coroutine in _members(process, operation["waiting_requests"]):
                owner = int(operation["co"])
                text = f"the mirror job's copy of {size} bytes at {offset}"
                yield Queued(coroutine, "job", text, int(operation), 0 if owner == coroutine else owner)
