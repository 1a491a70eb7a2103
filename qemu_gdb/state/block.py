"""The block layer: nodes, their users, what is in flight, which requests are tracked."""

from __future__ import annotations

from dataclasses import field as dataclass_field
from typing import Dict, List, Optional, Set

import gdb

from ..model import BlockNode, Request
from ..record import record
from .access import NotReadable, Process, field, has_field, optional
from .channels import socket_address
from .qom import Qom

_LIMIT = 4096
_UNNAMED = "a block backend without a name"
# Drivers whose file name is the address of a server.
_NETWORK = frozenset("iscsi rbd nfs ssh http https ftp ftps gluster gluster+tcp gluster+unix gluster+rdma sheepdog "
                     "virtio-blk-vhost-user virtio-blk-vhost-vdpa nvme".split())
_TYPES = {"BDRV_TRACKED_READ": "read", "BDRV_TRACKED_WRITE": "write", "BDRV_TRACKED_DISCARD": "discard",
          "BDRV_TRACKED_TRUNCATE": "truncate"}


@record
class Backend:
    """A BlockBackend: what connects a device, a job or an export to the graph."""

    address: int
    name: str
    device: str  # label of the device model
    root: int  # node
    context: int
    in_flight: int
    quiesce: int
    label: str = ""
    queued: int = 0  # requests held back by a drained section
    throttle: int = 0  # address of its ThrottleGroupMember
    errors: str = ""  # I/O status and policies, where a request failed


@record
class Graph:
    """What ``read`` found."""

    nodes: List[BlockNode] = dataclass_field(default_factory=list)
    requests: List[Request] = dataclass_field(default_factory=list)
    backends: List[Backend] = dataclass_field(default_factory=list)
    devices: Dict[int, Set[str]] = dataclass_field(default_factory=dict)  # by AioContext
    values: Dict[int, gdb.Value] = dataclass_field(default_factory=dict)  # BlockDriverState by a node's address

    def label(self, address: int) -> str:
        """What to call the node or BlockBackend at an address, "" if none is there."""
        for node in self.nodes:
            if node.address == address:
                return f"block node {node.name}" if node.name else f"block node ({node.driver})"
        for backend in self.backends:
            if backend.address == address:
                return backend.label
        return ""

    def mutex_label(self, address: int) -> str:
        """What to call a CoMutex inside a node's or its driver's state, "" for one elsewhere."""
        for node in self.nodes:
            bs = self.values[node.address]
            size = optional(lambda: int(bs["drv"]["instance_size"]), 0)  # noqa: B023
            if size and 0 <= address - int(bs["opaque"]) < size:
                return f"the {node.driver} driver's CoMutex of {node.name}"
            if 0 <= address - node.address < bs.type.sizeof:
                return f"a CoMutex of node {node.name}"
        return ""


def read(process: Process, qom: Qom) -> Graph:
    """All nodes (``all_bdrv_states``, block.c, since 2.10), backends (``block_backends``) and tracked requests."""
    graph = Graph()
    head = process.variable("all_bdrv_states", "graph_bdrv_states")
    if head is None:
        return graph
    link = "bs_list" if process.symbol("all_bdrv_states") is not None else "node_list"
    _read_backends(process, qom, graph)
    values = graph.values
    for bs in process.qtailq(head, link, "block nodes", _LIMIT):
        with process.guard("a block node"):
            values[int(bs)] = bs.dereference()
            graph.nodes.append(_node(process, bs.dereference()))
    by_address = {node.address: node for node in graph.nodes}
    for node in graph.nodes:
        with process.guard(f"node {node.name}"):
            _edges(process, graph, node, values[node.address], by_address)
            if node.job:  # the job's own backend has no name (block/mirror.c, s->target)
                node.parents = [p for p in node.parents if p != _UNNAMED]
    for node in graph.nodes:
        with process.guard(f"requests of node {node.name}"):
            _requests(process, graph, node, values[node.address], by_address)
    with process.guard("I/O throttling"):
        _throttling(process, graph, values)
    return graph


def _read_backends(process: Process, qom: Qom, graph: Graph) -> None:
    head = process.variable("block_backends")
    type_ = process.type("BlockBackend", "blk_new", "blk_bs")
    if head is None or type_ is None:
        return
    for blk in process.qtailq(head, "link", "block backends", _LIMIT):
        with process.guard("a block backend"):
            root = blk["root"]
            node = int(root["bs"]) if int(root) else 0
            context = optional(lambda: int(blk["ctx"]), 0)  # noqa: B023
            backend = Backend(int(blk), process.string(blk["name"], 64), "", node, context,
                              int(field(blk, "in_flight")), int(field(blk, "quiesce_counter")))
            device = int(blk["dev"])
            if device:
                backend.device = qom.label(device)
                _note_device(process, qom, graph, context, device)
            backend.queued = _queue_length(process, blk["queued_requests"])
            member = optional(lambda: blk["public"]["throttle_group_member"].address)  # noqa: B023
            backend.throttle = int(member) if member is not None else 0
            backend.errors = _errors(process, blk)
            backend.label = backend.device or (f"block backend {backend.name}" if backend.name else "")
            graph.backends.append(backend)


_OPERATIONS = ("none", "read", "write", "flush", "zone append", "unmap")  # BlockAcctType, zone append since 8.1


def _errors(process: Process, blk: gdb.Value) -> str:
    """What failed, and what the device does about errors (BlockBackend.iostatus, on_read_error, on_write_error)."""
    status = process.enum_name("BlockDeviceIoStatus_lookup", optional(lambda: int(blk["iostatus"]), 0))
    if not status or status == "ok":
        return ""
    parts = [f"I/O status {status}"]
    failed = optional(lambda: blk["stats"]["failed_ops"])
    if failed is not None:
        operations = _OPERATIONS if failed.type.range()[1] == 5 else [o for o in _OPERATIONS if "zone" not in o]
        counts = [f"{int(failed[i])} failed {name}" for i, name in enumerate(operations) if int(failed[i])]
        parts += [f"{text}s" if not text.startswith("1 ") else text for text in counts]
    for option, name in (("rerror", "on_read_error"), ("werror", "on_write_error")):
        policy = process.enum_name("BlockdevOnError_lookup", optional(lambda: int(blk[name]), -1))  # noqa: B023
        if policy:
            parts.append(f"{option}={policy}")
    return ", ".join(parts)


def _note_device(process: Process, qom: Qom, graph: Graph, context: int, device: int) -> None:
    """The device, and the controller whose bus it sits on, use this AioContext."""
    if not context:
        return
    found = graph.devices.setdefault(context, set())
    kind = process.type("DeviceState", "qdev_get_parent_bus", "qdev_realize")
    parent = 0
    if kind is not None:
        bus = optional(lambda: process.at(device, kind)["parent_bus"])
        parent = optional(lambda: int(bus["parent"]), 0) if bus is not None and int(bus) else 0
    label = qom.label(parent) if parent else ""
    own = qom.label(device)
    if label.startswith(("virtio-scsi", "vhost-scsi")):
        found.add(label)
    elif own:
        found.add(own)


def _queue_length(process: Process, queue: gdb.Value) -> int:
    """Coroutines in a CoQueue (include/qemu/coroutine.h)."""
    return sum(1 for _ in process.qsimpleq(queue["entries"], "co_queue_next", "queued requests", 1024))


def _node(process: Process, bs: gdb.Value) -> BlockNode:
    driver = bs["drv"]
    name = process.string(driver["format_name"], 48) if int(driver) else ""
    node = BlockNode(process.array_string(bs["node_name"]), name, int(bs.address))
    node.filename = process.array_string(bs["exact_filename"], 512) or process.array_string(bs["filename"], 512)
    node.in_flight = int(bs["in_flight"])
    node.quiesce = int(bs["quiesce_counter"])
    node.context = int(bs["aio_context"])
    with process.guard(f"driver state of node {node.name}"):
        _driver_state(process, node, bs)
    return node


def _driver_state(process: Process, node: BlockNode, bs: gdb.Value) -> None:
    opaque = int(bs["opaque"])
    if node.driver == "nbd" and opaque:
        type_ = process.type("BDRVNBDState", "bdrv_nbd")
        if type_ is not None:
            state = process.at(opaque, type_)
            node.peer = socket_address(process, state["saddr"])
            status = str(state["state"])
            if status != "NBD_CLIENT_CONNECTED":
                words = status.replace("NBD_CLIENT_", "").replace("_", " ").lower()
                node.note = "the connection ended" if words == "quit" else words
            waiting = int(field(state, "in_flight"))
            if waiting:
                note = f"{waiting} NBD request{'s' if waiting > 1 else ''} without a reply"
                node.note = f"{node.note}; {note}" if node.note else note
    elif node.driver == "blkdebug" and opaque:
        type_ = process.type("BDRVBlkdebugState", "bdrv_blkdebug")
        req = process.type("BlkdebugSuspendedReq", "bdrv_blkdebug")
        if type_ is not None and req is not None:
            first = process.at(opaque, type_)["suspended_reqs"]["lh_first"]
            tags = []
            for each in process.walk(process.pointer(first, req), lambda n: n["next"]["le_next"], "blkdebug", 256):
                tags.append(process.string(each["tag"], 64))
            if tags:
                node.note = "suspended by blkdebug: " + ", ".join(sorted(tags))
    elif node.driver in _NETWORK:
        node.peer = node.filename


def _edges(
    process: Process, graph: Graph, node: BlockNode, bs: gdb.Value, by_address: Dict[int, BlockNode]
) -> None:
    for child in process.qlist(bs["children"], "next", f"children of node {node.name}", 256):
        target = by_address.get(int(child["bs"]))
        if target is not None:
            node.children.append(target.name)
    for child in process.qlist(bs["parents"], "next_parent", f"parents of node {node.name}", 256):
        # BdrvChildClass, klass since 5.1: who the parent is
        klass = process.symbol_at(int(field(child, "klass", "role"))) or ""
        opaque = int(child["opaque"])
        if klass == "child_root":
            backend = next((b for b in graph.backends if b.address == opaque), None)
            label = backend.label if backend is not None else ""
            if backend is not None and not label:
                label = _backend_user(process, opaque)
                backend.label = label
            node.parents.append(label or _UNNAMED)
            if backend is not None and backend.errors:
                node.note = f"{node.note}; {backend.errors}" if node.note else backend.errors
        elif klass == "child_job":
            node.parents.append(_job_label(process, opaque))
            node.job = node.job or _job_label(process, opaque)
        elif klass in ("child_of_bds", "child_file", "child_format", "child_backing"):
            parent = by_address.get(opaque)
            if parent is not None:
                node.parents.append(f"node {parent.name}" if parent.name else f"node ({parent.driver})")
        else:
            # Other parents keep a text of their own; only their kind is known here.
            node.parents.append(klass.replace("child_", "").replace("_", " ") or "unknown parent")


def _backend_user(process: Process, address: int) -> str:
    """A BlockBackend without device and name belongs to an export or a job (block/export/export.c)."""
    exports = process.variable("block_exports")
    if exports is None:
        return ""
    for export in process.qlist(exports, "next", "block exports", 256):
        try:
            if int(export["blk"]) == address:
                return f"export {process.string(export['id'], 64)}"
        except gdb.error:
            continue
    return ""


def _job_label(process: Process, address: int) -> str:
    try:
        type_ = process.require_type("BlockJob", "block_job_create")
        job = process.at(address, type_)["job"]
        kind = process.enum_name("JobType_lookup", int(job["driver"]["job_type"])) or "block"
        name = process.string(job["id"], 64)
        return f"{kind} job {name}" if name else f"internal {kind} job"
    except (NotReadable, gdb.error):
        return "a block job"


def _requests(
    process: Process, graph: Graph, node: BlockNode, bs: gdb.Value, by_address: Dict[int, BlockNode]
) -> None:
    origin = ""
    for request in process.qlist(bs["tracked_requests"], "list", f"requests of node {node.name}", _LIMIT):
        with process.guard(f"a request of node {node.name}"):
            origin = origin or _origin(graph, node, by_address)
            kind = str(request["type"])
            entry = Request(node.name, node.driver, _TYPES.get(kind, kind.replace("BDRV_TRACKED_", "").lower()))
            entry.offset, entry.bytes = int(request["offset"]), int(request["bytes"])
            entry.coroutine, entry.origin = int(request["co"]), origin
            other = int(request["waiting_for"])
            if other:
                entry.waiting_for = optional(lambda: int(request["waiting_for"]["co"]), 0)  # noqa: B023
            graph.requests.append(entry)


def _origin(graph: Graph, node: BlockNode, by_address: Dict[int, BlockNode]) -> str:
    """The devices, jobs and exports above a node."""
    names = {n.name: n for n in graph.nodes if n.name}
    seen: Set[int] = set()
    pending, found = [node], []
    while pending and len(seen) < 256:
        current = pending.pop()
        if current.address in seen:
            continue
        seen.add(current.address)
        for parent in current.parents:
            if parent.startswith("node ") and parent[5:] in names:
                pending.append(names[parent[5:]])
            elif not parent.startswith("node ") and parent not in found:
                found.append(parent)
    return ", ".join(found)


def _throttling(process: Process, graph: Graph, values: Dict[int, gdb.Value]) -> None:
    """Requests that wait in a throttle group (ThrottleGroupMember, include/block/throttle-groups.h)."""
    members = {b.throttle: b.root for b in graph.backends if b.throttle}
    for node in graph.nodes:
        if node.driver == "throttle":
            members[int(values[node.address]["opaque"])] = node.address
    member_type = process.type("ThrottleGroupMember", "throttle_group_register_tgm") if members else None
    if member_type is None:
        return
    by_address = {node.address: node for node in graph.nodes}
    for member, address in members.items():
        target = by_address.get(address)
        if target is None or not member:
            continue
        value = process.at(member, member_type)
        if has_field(value, "throttle_state") and not int(value["throttle_state"]):
            continue
        target.throttled += int(value["pending_reqs"][0]) + int(value["pending_reqs"][1])


def plain_backends(graph: Graph) -> List[Dict[str, Optional[object]]]:
    """The backends as plain values for ``Facts.extra``."""
    return [
        {"address": hex(b.address), "name": b.name, "user": b.label, "node": graph.label(b.root) if b.root else None,
         "in_flight": b.in_flight, "quiesce": b.quiesce, "queued": b.queued, "context": hex(b.context),
         "errors": b.errors}
        for b in graph.backends
    ]  # fmt: skip
