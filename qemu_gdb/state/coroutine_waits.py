"""Says what a suspended coroutine waits for, from the functions that it yielded in: a table, and how it is applied.

Functions and arguments by QEMU 5.2 to 10.2; a row that a version lacks just never matches.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple

import gdb

from ..record import record
from . import frames as frame_tools
from .access import NotReadable, Process, optional
from .channels import describe, socket_address
from .qom import Qom


class Yields(NamedTuple):
    """A function in which a coroutine gives up the CPU."""

    function: str
    kind: str  # Coroutine.waits_kind
    object: Tuple[str, ...] = ()  # the arguments or locals that name what it waits for, first that has a value
    text: str = ""  # what it waits for, in words; {object} is the object's address


# The wait itself: the innermost of these decides the kind, unless a row of OUTER explains it better.
INNER = (
    # util/qemu-coroutine-lock.c
    Yields("qemu_co_mutex_lock_slowpath", "comutex", ("mutex",), "a CoMutex"),
    Yields("qemu_co_mutex_lock", "comutex", ("mutex",), "a CoMutex"),  # the slow path inlined
    Yields("qemu_co_rwlock_rdlock", "corwlock", ("lock",), "a CoRwlock, to read"),
    Yields("qemu_co_rwlock_wrlock", "corwlock", ("lock",), "a CoRwlock, to write"),
    Yields("qemu_co_rwlock_upgrade", "corwlock", ("lock",), "a CoRwlock, to upgrade"),
    Yields("qemu_co_queue_wait_impl", "coqueue", ("queue",), "a CoQueue"),
    # util/qemu-coroutine-sleep.c
    Yields("qemu_co_sleep_ns_wakeable", "timer", ("w", "ns"), "a timer"),
    Yields("qemu_co_sleep", "timer", ("w",), "a timer"),
    Yields("qemu_co_timeout", "timer", (), "a timer"),
    # util/qemu-coroutine-io.c, io/channel.c
    Yields("qio_channel_yield", "fd", ("ioc",), "a channel"),
    Yields("yield_until_fd_readable", "fd", ("fd",), "a descriptor to become readable"),
    Yields("qemu_co_sendv_recvv", "fd", ("sockfd",), "a descriptor"),
    # util/thread-pool.c, block/linux-aio.c, block/io_uring.c
    Yields("thread_pool_submit_co", "thread-pool", ("arg",), "a worker of the thread pool"),
    Yields("laio_co_submit", "linux-aio", ("fd",), "the kernel (Linux AIO)"),
    Yields("luring_co_submit", "io_uring", ("fd",), "the kernel (io_uring)"),
    # util/async.c
    Yields("aio_co_reschedule_self", "scheduled", ("new_ctx",), "its turn in another AioContext"),
    # job.c: the job is paused, or sleeps between two iterations
    Yields("job_do_yield", "job", ("job",), "the job's next turn"),
    Yields("job_do_yield_locked", "job", ("job",), "the job's next turn"),
    Yields("job_pause_point", "job", ("job",), "the job to be resumed"),
    Yields("job_pause_point_locked", "job", ("job",), "the job to be resumed"),
    Yields("job_yield", "job", ("job",), "the job's next turn"),
    Yields("job_sleep_ns", "job", ("job",), "the job's next turn"),
    Yields("backup_loop", "job", ("job",), "the backup job's block-copy"),
    Yields("backup_run", "job", ("job",), "the backup job's writes of the guest"),
    Yields("convert_co_do_copy", "job", ("s",), "another copy of this convert"),  # qemu-img.c: write in order
    # block/io.c, block/block-backend.c
    Yields("bdrv_co_yield_to_drain", "drain", ("bs",), "the main loop to drain the node"),
    Yields("bdrv_co_drain_bh_cb", "drain", (), "the main loop to drain the node"),
    # block/aio_task.c
    Yields("aio_task_pool_wait_one", "task-pool", ("pool",), "one of its own subrequests"),
    # block/blkdebug.c
    Yields("suspend_request", "blkdebug", ("bs",), "blkdebug's `resume` of a suspended request"),
    Yields("blkdebug_co_debug_event", "blkdebug", ("bs",), "blkdebug's `resume` of a suspended request"),
    Yields("blkdebug_debug_event", "blkdebug", ("bs",), "blkdebug's `resume` of a suspended request"),
    # monitor/qmp.c, qapi/qmp-dispatch.c
    Yields("monitor_qmp_dispatcher_pop_any", "idle", (), "the next QMP command"),
    Yields("monitor_qmp_dispatcher_co", "idle", (), "the next QMP command"),
    Yields("qmp_dispatch", "qmp-command", ("request",), "a QMP command that runs outside coroutine context"),
    # remote storage
    Yields("nbd_co_do_receive_one_chunk", "peer", ("s",), "a reply of the NBD server"),  # 5.2: another one reads
    Yields("nbd_co_receive_one_chunk", "peer", ("s",), "a reply of the NBD server"),
    Yields("nbd_receive_replies", "peer", ("s",), "a reply of the NBD server (another request reads them)"),
    Yields("nbd_co_do_establish_connection", "peer", ("bs",), "the connection to the NBD server"),
    Yields("nbd_co_establish_connection", "peer", ("conn", "bs"), "the connection to the NBD server"),
    Yields("iscsi_co_wait_for_task", "peer", ("bs",), "the iSCSI target"),
    Yields("iscsi_co_readv", "peer", ("bs",), "the iSCSI target"),
    Yields("iscsi_co_writev", "peer", ("bs",), "the iSCSI target"),
    Yields("iscsi_co_flush", "peer", ("bs",), "the iSCSI target"),
    Yields("qemu_rbd_start_co", "peer", ("bs",), "the Ceph cluster (librbd)"),
    Yields("qemu_gluster_co_rw", "peer", ("bs",), "the Gluster volume"),
    Yields("qemu_gluster_co_flush_to_disk", "peer", ("bs",), "the Gluster volume"),
    Yields("nfs_co_preadv", "peer", ("bs",), "the NFS server (libnfs)"),
    Yields("nfs_co_pwritev", "peer", ("bs",), "the NFS server (libnfs)"),
    Yields("nfs_co_flush", "peer", ("bs",), "the NFS server (libnfs)"),
    Yields("co_yield", "peer", ("bs",), "the SSH server"),
    Yields("curl_co_preadv", "peer", ("bs",), "the HTTP/FTP server"),
    Yields("nvme_co_prw_aligned", "device", ("bs",), "the NVMe controller"),
    Yields("nvme_co_flush", "device", ("bs",), "the NVMe controller"),
    Yields("blkio_co_preadv", "device", ("bs",), "libblkio's device"),
    Yields("blkio_co_pwritev", "device", ("bs",), "libblkio's device"),
    Yields("blkio_co_flush", "device", ("bs",), "libblkio's device"),
    Yields("quorum_co_preadv", "subrequests", ("bs",), "its own subrequests"),
    Yields("quorum_co_pwritev", "subrequests", ("bs",), "its own subrequests"),
    Yields("read_quorum_children", "subrequests", (), "its own subrequests"),
    # a driver with asynchronous callbacks instead of coroutines (block/io.c)
    Yields("bdrv_driver_preadv", "driver", ("bs",), "the block driver's completion"),
    Yields("bdrv_driver_pwritev", "driver", ("bs",), "the block driver's completion"),
    Yields("bdrv_co_ioctl", "driver", ("bs",), "the driver's ioctl"),
    Yields("bdrv_co_flush", "driver", ("bs",), "the driver's flush"),
    Yields("bdrv_co_pdiscard", "driver", ("bs",), "the driver's discard"),
    # migration
    Yields("process_incoming_migration_co", "migration", (), "the incoming migration's next step"),
    Yields("colo_incoming_co", "migration", (), "COLO"),
    Yields("colo_process_incoming_thread", "migration", (), "COLO"),
    # nbd/server.c
    Yields("nbd_trip", "fd", ("client",), "the NBD client"),
    # hw/9pfs
    Yields("co_run_in_worker_bh", "thread-pool", (), "a worker of the thread pool"),
    Yields("virtio_gpu_sync", "device", (), "the display"),
)

# Callers that say more than the wait itself. ``under`` in the dict's key: the kind that INNER found.
OUTER: Dict[str, Tuple[Yields, ...]] = {
    "fd": (
        Yields("nbd_receive_replies", "peer", ("s", "bs"), "a reply of the NBD server"),
        Yields("nbd_receive_reply", "peer", ("bs", "ioc"), "a reply of the NBD server"),
        Yields("nbd_co_receive_one_chunk", "peer", ("s",), "a reply of the NBD server"),
        Yields("nbd_co_do_receive_one_chunk", "peer", ("s",), "a reply of the NBD server"),
        Yields("nbd_co_send_request", "peer", ("bs",), "the NBD server to take a request"),
        Yields("nbd_co_do_send_request", "peer", ("bs",), "the NBD server to take a request"),
        Yields("nbd_connection_entry", "peer", ("opaque",), "the NBD server"),  # 5.2: a coroutine per connection
        Yields("nbd_receive_request", "idle", (), "the next request of an NBD client"),
        Yields("nbd_co_receive_request", "idle", (), "the next request of an NBD client"),
        Yields("nbd_co_send_simple_reply", "peer", ("client",), "the NBD client to take a reply"),
        Yields("nbd_co_send_iov", "peer", ("client",), "the NBD client to take a reply"),
        Yields("nbd_negotiate", "peer", ("client",), "the NBD client to negotiate"),
        Yields("qemu_fill_buffer", "peer", ("f",), "the migration source"),
        Yields("process_incoming_migration_co", "peer", (), "the migration source"),
        Yields("vu_message_read", "idle", (), "the vhost-user frontend's next message"),
        Yields("prh_co_entry", "peer", (), "the persistent-reservation helper"),
        Yields("pr_manager_helper_run", "peer", (), "the persistent-reservation helper"),
        Yields("sd_co_rw_vector", "peer", (), "the Sheepdog server"),
    ),
    "comutex": (
        # one coroutine reads replies for all; the others queue for it
        Yields("nbd_receive_replies", "peer", ("s",), "a reply of the NBD server (another request reads them)"),
    ),
    "coqueue": (
        Yields("throttle_group_co_io_limits_intercept", "throttle", ("tgm",), "its I/O throttling group"),
        Yields("blk_wait_while_drained", "drain", ("blk",), "the end of a drained section"),
        Yields("bdrv_wait_serialising_requests_locked", "request", ("self",), "an overlapping request"),
        Yields("bdrv_wait_serialising_requests", "request", ("self",), "an overlapping request"),
        Yields("bdrv_make_request_serialising", "request", ("req",), "an overlapping request"),
        Yields("tracked_request_begin", "request", ("req",), "an overlapping request"),
        Yields("reqlist_wait_one", "request", ("reqs",), "an overlapping copy request"),
        Yields("reqlist_wait_all", "request", ("reqs",), "overlapping copy requests"),
        Yields("block_copy_wait_one", "request", ("s",), "an overlapping copy request"),
        Yields("handle_dependencies", "request", ("bs",), "another write to the same qcow2 cluster"),
        Yields("bdrv_co_flush", "flush", ("bs",), "another flush of the node"),
        Yields("bdrv_graph_co_rdlock", "graph-lock", (), "the writer of the block graph"),
        Yields("mirror_wait_for_free_in_flight_slot", "job", ("s",), "a free slot: the mirror job's copies in flight"),
        Yields("mirror_wait_for_any_operation", "job", ("s",), "one of the mirror job's copies in flight"),
        Yields("mirror_wait_on_conflicts", "job", ("s",), "a mirror copy of the same area"),
        Yields("nbd_co_send_request", "peer", ("bs",), "a free NBD request slot"),
        Yields("nbd_co_do_send_request", "peer", ("bs",), "a free NBD request slot"),
        Yields("qcow2_co_process", "thread-pool", ("bs",), "a slot for qcow2's worker threads"),
        Yields("co_get_from_shres", "shared-resource", ("s",), "memory of a shared budget"),
        Yields("qed_alloc_clusters", "request", ("s",), "another allocating write"),
        Yields("qed_co_request", "request", ("bs",), "another allocating write"),
        Yields("nvme_get_free_req", "device", ("q",), "a free NVMe request slot"),
        Yields("nvme_cmd_map_qiov", "device", ("bs",), "free IOVA space of the NVMe driver"),
        Yields("v9fs_flush", "request", ("opaque",), "the 9p request that it cancels"),
        Yields("qmp_screendump", "display", (), "the display to draw"),
        Yields("fsdev_co_throttle_request", "throttle", ("fst",), "fsdev throttling"),
        Yields("blkio_alloc_mem_region", "shared-resource", (), "bounce buffer memory"),
    ),
    "job": (
        Yields("job_pause_point", "job", ("job",), "the job to be resumed"),
        Yields("job_pause_point_locked", "job", ("job",), "the job to be resumed"),
    ),
    "timer": (
        Yields("null_co_common", "timer", ("bs",), "null-co's latency-ns"),
        Yields("throttle_group_co_io_limits_intercept", "throttle", ("tgm",), "its I/O throttling group"),
        Yields("nbd_reconnect_attempt", "peer", ("s",), "the next attempt to connect to the NBD server"),
        Yields("nbd_co_reconnect_loop", "peer", ("s",), "the next attempt to connect to the NBD server"),
        Yields("job_sleep_ns", "job", ("job",), "the job's next turn"),
    ),
}

_SWITCHING = frozenset(("qemu_coroutine_switch", "qemu_coroutine_yield"))
_REACH = 14  # frames outward that a caller may lie
_INNER = {row.function: row for row in INNER}
_OUTER = {kind: {row.function: row for row in rows} for kind, rows in OUTER.items()}


@record
class CoroutineWait:
    """What a coroutine waits for."""

    kind: str = ""
    text: str = ""
    object: int = 0
    owner: Optional[int] = None  # the coroutine that must act


def classify(process: Process, qom: Qom, frames: List[gdb.Frame]) -> CoroutineWait:
    """Apply the tables to gdb's frames of one coroutine, innermost first."""
    level = next((i for i, frame in enumerate(frames[:_REACH]) if _name(frame) in _INNER), None)
    if level is None:
        return CoroutineWait()
    inner = _INNER[_name(frames[level])]
    row, row_frame = inner, frames[level]
    outer_rows = _OUTER.get(inner.kind, {})
    for frame in frames[level + 1 : level + 1 + _REACH]:
        outer = outer_rows.get(_name(frame))
        if outer is not None:
            row, row_frame = outer, frame
            break
    wait = CoroutineWait(row.kind, row.text, frame_tools.pointer(row_frame, *row.object) if row.object else 0)
    inner_object = frame_tools.pointer(frames[level], *inner.object) if inner.object else 0
    with process.guard("what a coroutine waits for"):
        _refine(process, qom, wait, inner, inner_object)
    return wait


def _refine(
    process: Process, qom: Qom, wait: CoroutineWait, inner: Yields, inner_object: int
) -> None:
    if inner.kind == "comutex" and inner_object:
        # CoMutex.holder, include/qemu/coroutine.h (coroutine-core.h in 8.0 to 8.2)
        mutex = process.type("CoMutex", "qemu_co_mutex_lock")
        if mutex is not None:
            wait.owner = optional(lambda: int(process.at(inner_object, mutex)["holder"])) or None
        if wait.kind == "comutex":
            wait.object = inner_object
            name = process.symbol_at(inner_object)
            wait.text = f"CoMutex {name or hex(inner_object)}"
    elif inner.function == "qio_channel_yield" and inner_object:
        channel = describe(process, qom, inner_object)
        if channel is not None:
            where = channel.peer or (f"descriptor {channel.fd}" if channel.fd is not None else "")
            if where:
                wait.text = f"{wait.text} at {where}" if wait.kind == "peer" else where
            if not wait.object:
                wait.object = inner_object
    elif inner.function == "nbd_co_establish_connection" and inner_object:
        connection = process.type("NBDClientConnection", "nbd_co_establish_connection")  # nbd/client-connection.c, 6.1
        if connection is not None:
            where = optional(lambda: socket_address(process, process.at(inner_object, connection)["saddr"]), "")
            wait.text = f"{wait.text} at {where}" if where else wait.text
    elif wait.kind == "fd" and inner_object:
        wait.text = f"descriptor {inner_object}"


def _name(frame: gdb.Frame) -> str:
    try:
        name = frame.name() or ""
    except gdb.error:
        return ""
    return name.split(".", 1)[0].split("@", 1)[0]


__all__ = ["INNER", "OUTER", "CoroutineWait", "NotReadable", "Yields", "classify"]
