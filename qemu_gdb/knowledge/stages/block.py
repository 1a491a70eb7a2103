"""The block layer: requests with node and offset, drains and nested polls, graph changes, drivers, jobs, tools."""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional

from ...pattern import Pattern
from ..match import Names
from .rows import Row, View, number_of, size_text

_TYPES = (
    (Pattern(r"pwrite_zeroes|pwritezeroes|_zeroes(?:_|$)|zero_pwritev|make_zero"), "write-zeroes"),
    (Pattern(r"pwritev|_pwrite|writev|_write(?:_|$)|do_pwrite|prw_write|write_entry"), "write"),
    (Pattern(r"preadv|_pread|readv|_read(?:_|$)|read_entry|copy_on_read"), "read"),
    (Pattern(r"flush"), "flush"),
    (Pattern(r"pdiscard|discard"), "discard"),
    (Pattern(r"truncate"), "truncate"),
    (Pattern(r"ioctl"), "ioctl"),
    (Pattern(r"block_status|is_allocated"), "block-status query"),
    (Pattern(r"copy_range"), "copy"),
    (Pattern(r"zone_"), "zone operation"),
    (Pattern(r"getlength"), "length query"),
    (Pattern(r"cancel"), "cancellation"),
    (Pattern(r"is_inserted|is_available"), "medium check"),
)
_BYTE_FUNCTIONS = Names(
    "blk_co_p*",
    "blk_p*",
    "blk_do_p*",
    "blk_co_do_p*",
    "blk_aio_p*",
    "blk_aio_prwv",
    "blk_prw",
    "bdrv_co_p*",
    "bdrv_p*",
    "bdrv_aligned_p*",
    "bdrv_driver_p*",
    "bdrv_co_do_p*",
    "bdrv_co_block_status*",
    "bdrv_block_status*",
    "bdrv_co_pdiscard",
    "raw_co_p*",
    "raw_co_prw",
    "qcow2_co_p*",
    "nbd_client_co_p*",
    "nbd_co_request",
    "bdrv_co_do_*",
    "bdrv_co_writev*",
    "bdrv_co_readv*",
    "bdrv_*allocated*",
    "bdrv_prwv_co",
    "raw_thread_pool_submit",
    "raw_do_p*",
    "paio_submit*",
    "laio_co_submit",
    "luring_co_submit",
    "blk_co_writev*",
    "*_co_preadv*",
    "*_co_pwritev*",
    "*_co_pwrite_zeroes",
    "*_co_pdiscard",
    "bdrv_co_common_block_status_above",
    "bdrv_common_block_status_above",
)
REQUEST = Names(
    "blk_aio_*",
    "blk_co_*",
    "blk_pread*",
    "blk_pwrite*",
    "blk_prw",
    "blk_do_*",
    "blk_read_entry",
    "blk_write_entry",
    "blk_flush*",
    "blk_pdiscard*",
    "blk_ioctl*",
    "bdrv_co_*",
    "bdrv_pread*",
    "bdrv_pwrite*",
    "bdrv_prwv_co*",
    "bdrv_rw_co*",
    "bdrv_aligned_p*",
    "bdrv_driver_p*",
    "bdrv_block_status*",
    "bdrv_is_allocated*",
    "bdrv_common_block_status_above*",
    "bdrv_flush",
    "bdrv_flush_all",
    "bdrv_flush_co_entry",
    "bdrv_truncate*",
    "blk_truncate*",
    "bdrv_make_zero",
    "bdrv_pdiscard*",
    "bdrv_save_vmstate",
    "bdrv_load_vmstate",
    "bdrv_wait_serialising_requests*",
    "bdrv_make_request_serialising",
    "tracked_request_*",
    "bdrv_run_co",
    "bdrv_poll_co",
    "bdrv_padding_rmw_read",
    "bdrv_aio_*",
    "bdrv_read",
    "bdrv_write",
    "bdrv_getlength",
    "bdrv_getlength_entry",
    "bdrv_nb_sectors",
    "bdrv_get_allocated_file_size*",
    "bdrv_check*",
    "bdrv_invalidate_cache*",
    "bdrv_activate*",
    "blk_invalidate_cache",
)


class BlockRequest(NamedTuple):
    """A request of the block layer on a stack."""

    type: str  # read, write, write-zeroes, flush, discard, truncate, ioctl, block-status query, ...
    position: int  # of its outermost frame
    node: str = ""
    driver: str = ""
    offset: Optional[int] = None
    bytes: Optional[int] = None

    @property
    def text(self) -> str:
        size = f" of {size_text(self.bytes)}" if self.bytes is not None else ""
        where = f" at {self.offset:#x}" if self.offset is not None else ""
        on = f" on {self.node}" if self.node else ""
        by = f" ({self.driver})" if self.driver else ""
        return f"{self.type}{size}{where}{on}{by}"


def request_type(names: object) -> str:
    """What kind of request functions with these names serve."""
    for name in names if isinstance(names, (list, tuple)) else ():
        for pattern, kind in _TYPES:
            if pattern.search(name):
                return kind
    return ""


def _node(view: View) -> str:
    """Node or BlockBackend of the innermost pointer that the facts know."""
    for text in view.values(None, "bs", "blk", "child"):
        pointer = number_of(text)
        if not pointer:
            continue
        for node in view.facts.nodes:
            if node.address == pointer:
                return f"{node.name} ({node.driver})" if node.driver else node.name
        name = view.facts.objects.get(hex(pointer))
        if name:
            return name.replace("block node ", "", 1)
    return ""


# Driver functions: block/*.c. A driver is named by its prefix.
DRIVERS: Dict[str, str] = {
    "qcow2_": "qcow2",
    "qcow_": "qcow",
    "qed_": "qed",
    "vmdk_": "vmdk",
    "vpc_": "vpc",
    "vdi_": "vdi",
    "vhdx_": "vhdx",
    "parallels_": "parallels",
    "nbd_client_": "nbd",
    "nbd_co_": "nbd",
    "nbd_": "nbd",
    "iscsi_": "iscsi",
    "qemu_rbd_": "rbd",
    "gluster_": "gluster",
    "qemu_gluster_": "gluster",
    "nfs_": "nfs",
    "curl_": "curl",
    "ssh_": "ssh",
    "blkdebug_": "blkdebug",
    "blkverify_": "blkverify",
    "throttle_": "throttle",
    "quorum_": "quorum",
    "raw_": "raw",
    "file_": "file",
    "bdrv_mirror_top_": "mirror filter",
    "null_co_": "null-co",
    "null_": "null",
    "nvme_": "nvme driver",
    "luks_": "luks",
    "block_crypto_": "crypto",
    "copy_before_write_": "copy-before-write",
    "cbw_": "copy-before-write",
    "cor_": "copy-on-read",
    "preallocate_": "preallocate",
    "compress_": "compress",
    "vvfat_": "vvfat",
    "snapshot_access_": "snapshot-access",
    "replication_": "replication",
    "blkio_": "blkio",
    "export_fuse_": "fuse export",
    "dmg_": "dmg",
    "bochs_": "bochs",
    "cloop_": "cloop",
    "sd_": "sheepdog",
    "blkreplay_": "blkreplay",
    "blklogwrites_": "blklogwrites",
    "iscsi_co_": "iscsi",
}
_DRIVER_ROWS = Names(
    *(f"{prefix}co_*" for prefix in DRIVERS if not prefix.endswith("_co_") and prefix not in ("nvme_", "nfs_")),
    "qcow2_*",
    "nbd_client_*",
    "nbd_co_*",
    "nbd_reconnect_attempt*",
    "nbd_receive_*",
    "nbd_connection_entry",
    "nbd_start_negotiate",
    "nbd_read*",
    "nbd_send_*",
    "nbd_negotiate*",
    "nbd_teardown*",
    "nbd_establish_connection",
    "nbd_open",
    "nbd_close",
    "nbd_process_options",
    "nbd_co_reconnect_loop",
    "nbd_do_establish_connection",
    "nbd_connect",
    "connect_thread_func",
    "nbd_cancel_in_flight",
    "iscsi_*",
    "qemu_rbd_*",
    "curl_*",
    "ssh_*",
    "blkdebug_*",
    "qemu_gluster_*",
    "vmdk_*",
    "vpc_*",
    "vhdx_*",
    "vdi_*",
    "parallels_*",
    "throttle_group_*",
    "null_co_*",
    "raw_co_*",
    "handle_aiocb_*",
    "raw_*",
    "cbw_*",
    "bdrv_mirror_top_*",
    "quorum_*",
    "qed_*",
    "luks_*",
    "block_crypto_*",
    "l2_*",
    "qcow_*",
    "hdev_*",
    "aio_worker",
    "paio_*",
    "find_allocation",
    "handle_aiocb_rw*",
    "raw_thread_pool_submit",
    "nfs_client_*",
    "nfs_co_*",
    "nfs_process_*",
    "nfs_file_*",
    "blkio_*",
    "vvfat_*",
    "preallocate_*",
    "cor_*",
)


def driver_name(function: str) -> str:
    """Block driver that a function belongs to by its prefix, "" without one."""
    best = ""
    for prefix in DRIVERS:
        if function.startswith(prefix) and len(prefix) > len(best):
            best = prefix
    if not best and function.startswith(("aio_worker", "paio_", "hdev_", "find_allocation")):
        return "file"
    return DRIVERS.get(best, "")


def request(view: View) -> Optional[BlockRequest]:
    """The innermost block request of a view's frames."""
    first = view.find(REQUEST)
    if first is None:
        return None
    last = first
    while last + 1 <= view.last and (view.all_names[last + 1] in REQUEST or view.all_names[last + 1] in _DRIVER_ROWS):
        last += 1
    run = view.part(first, last)
    kind = request_type(list(run.names))
    if not kind:
        return None
    inner = view.part(view.first, first)
    driver = next((d for d in (driver_name(n) for n in inner.names if n) if d), "")
    here = view.part(view.first, last)
    return BlockRequest(
        type=kind,
        position=last,
        node=_node(run),
        driver=driver,
        offset=_plausible(here.number(_BYTE_FUNCTIONS, "offset")),
        bytes=_plausible(here.number(_BYTE_FUNCTIONS, "bytes", "count")),
    )


def _plausible(value: Optional[int]) -> Optional[int]:
    return value if value is not None and 0 <= value < 1 << 62 else None


def _request(view: View) -> str:
    found = request(view.part(view.first, view.last))
    if found is None:
        if view.has("bdrv_poll_co", "bdrv_run_co"):
            return "waits for a coroutine of the block layer"
        return f"block request: {view.outermost}"
    if _synchronous(view):
        return f"waits for a synchronous {found.text}"
    return f"{found.text}"


def _synchronous(view: View) -> bool:
    return any(
        n in ("aio_poll", "bdrv_poll_co", "bdrv_run_co", "qemu_aio_wait") for n in list(view.inner)[-3:]
    ) or view.has("bdrv_poll_co", "bdrv_run_co")


def _request_short(view: View) -> str:
    found = request(view.part(view.first, view.last))
    if found is None:
        return _request(view) if view.has("bdrv_poll_co", "bdrv_run_co") else ""
    return f"waits for a synchronous {found.text}" if _synchronous(view) else found.text


# What asks for a drain or a nested poll, by function: block/io.c, block/block-backend.c, job.c, util/aio-wait.c
_DRAINS: Dict[str, str] = {
    "bdrv_drain_all_begin": "drains every block node",
    "bdrv_drain_all_begin_nopoll": "drains every block node",
    "bdrv_drain_all": "drains every block node",
    "bdrv_drain_all_end": "ends a drain of every block node",
    "blk_drain_all": "drains every block backend",
    "blk_drain": "drains a block backend",
    "bdrv_drain": "drains a block node",
    "bdrv_drained_begin": "drains a block node",
    "bdrv_drained_end": "ends a drain of a block node",
    "bdrv_do_drained_begin": "drains a block node",
    "bdrv_do_drained_end": "ends a drain of a block node",
    "bdrv_subtree_drained_begin": "drains a subtree of the block graph",
    "bdrv_parent_drained_begin_single": "quiesces a parent of a block node",
    "bdrv_parent_drained_end_single": "resumes a parent of a block node",
    "bdrv_drain_invoke": "asks a block driver to quiesce",
    "bdrv_co_yield_to_drain": "the coroutine waits until a drain has begun",
    "bdrv_co_drain_bh_cb": "drains on behalf of a coroutine",
    "job_finish_sync": "waits for a job to end",
    "job_finish_sync_locked": "waits for a job to end",
    "job_cancel_sync": "cancels a job and waits for it",
    "job_cancel_sync_locked": "cancels a job and waits for it",
    "job_cancel_sync_all": "cancels all jobs and waits for them",
    "block_job_finish_sync": "waits for a block job to end",
    "block_job_cancel_sync": "cancels a block job and waits for it",
    "aio_wait_bh_oneshot": "waits for a bottom half in another AioContext",
    "aio_wait_bh": "waits for a bottom half in another AioContext",
}
DRAIN = Names(
    *(n for n in _DRAINS if not n.startswith("aio_wait")),
    "bdrv_drain_poll*",
    "bdrv_drain_all_poll",
    "bdrv_do_drained_begin_quiesce",
    "bdrv_parent_drained_*",
    "bdrv_drain_all_end_quiesce",
    "blk_root_drained_*",
    "child_job_drained_*",
    "bdrv_drain_assert_idle",
    "bdrv_drain_recurse",
    "bdrv_requests_pending*",
    "qemu_aio_wait",
    "qemu_aio_flush",
    "bdrv_child_cb_drained_*",
    "bdrv_apply_subtree_drain",
    "bdrv_unapply_subtree_drain",
    "bdrv_do_parent_drained*",
    "blk_wait_while_drained",
)


class Drain(NamedTuple):
    """A drain, or another nested poll that waits for block I/O."""

    kind: str  # "drain-all", "drain", "request" (a synchronous one), "job", "bottom-half", "poll"
    position: int  # of the outermost frame that asks for it
    poll: Optional[int] = None  # of the innermost aio_poll under it
    text: str = ""


def drain(view: View) -> Optional[Drain]:
    """The outermost drain or nested poll of a stack that waits now."""
    view = view.whole()
    polls = [p for p, n in enumerate(view.all_names) if n in ("aio_poll", "qemu_aio_wait")]
    polls = [
        p
        for p in polls
        if p + 1 < len(view.all_names)
        and view.all_names[p + 1] not in ("iothread_run", "aio_ctx_dispatch", "main_loop_wait", "g_main_dispatch", "")
    ]
    best: Optional[int] = None
    for position in range(len(view.all_names) - 1, -1, -1):
        if view.all_names[position] in _DRAINS and (polls and polls[0] < position):
            best = position
            break
    if best is not None:
        name = view.all_names[best]
        kind = (
            "drain-all"
            if "all" in name and "job" not in name
            else "job"
            if "job" in name
            else ("bottom-half" if name.startswith("aio_wait") else "drain")
        )
        node = _node(view.part(max(0, best - 2), best))
        text = _DRAINS[name] + (f" ({node})" if node and kind == "drain" else "")
        return Drain(kind, best, next(p for p in polls if p < best), text)
    if not polls:
        return None
    caller = view.part(polls[-1] + 1, min(polls[-1] + 4, len(view.all_names) - 1))
    found = request(caller)
    if found is not None:
        return Drain("request", found.position, polls[-1], f"waits for a synchronous {found.text}")
    asker = view.all_names[polls[-1] + 1]
    return Drain("poll", polls[-1] + 1, polls[-1], f"polls an event loop inside {asker}")


def _drain(view: View) -> str:
    for position in range(view.last, view.first - 1, -1):
        phrase = _DRAINS.get(view.all_names[position])
        if phrase:
            if "every" in phrase and "ends" not in phrase and view.facts.requests:
                count = len(view.facts.requests)
                return f"{phrase} ({count} request{'s' if count != 1 else ''} in flight)"
            node = _node(view.part(position, position)) or _node(view)
            if not node:
                return phrase
            mine = [r for r in view.facts.requests if node in (r.node, r.origin, f"{r.node} ({r.driver})")]
            if mine and "ends" not in phrase:
                node += f" ({len(mine)} request{'s' if len(mine) != 1 else ''} in flight)"
            return phrase.replace("a block node", f"node {node}").replace(
                "a block backend", f"the block backend of {node}"
            )
    if any("poll" in n for n in view.names):
        return "checks whether a drain is complete"
    if view.has("qemu_aio_wait", "qemu_aio_flush"):
        return "polls for block I/O"
    return "quiesces users of a block node" if any("begin" in n for n in view.names) else "works on a drain"


# Changes of the block graph: block.c, block/block-backend.c, blockdev.c, block/monitor/
_GRAPH: Dict[str, str] = {
    "bdrv_open": "opens a block node",
    "bdrv_open_inherit": "opens a block node",
    "bdrv_open_common": "opens a block node",
    "bdrv_open_driver": "opens a block node",
    "bdrv_open_child": "opens a child node",
    "bdrv_open_backing_file": "opens a backing file",
    "bdrv_new_open_driver": "opens a block node",
    "blk_new_open": "opens an image",
    "bdrv_close": "closes a block node",
    "bdrv_close_all": "closes every block node",
    "bdrv_delete": "frees a block node",
    "bdrv_unref": "drops a reference to a block node",
    "bdrv_unref_child": "detaches a child node",
    "bdrv_root_unref_child": "detaches a node from a parent",
    "blk_unref": "drops a reference to a BlockBackend",
    "blk_delete": "frees a BlockBackend",
    "blk_remove_bs": "detaches the node from a BlockBackend",
    "blk_remove_all_bs": "detaches the nodes of all BlockBackends",
    "blk_insert_bs": "attaches a node to a BlockBackend",
    "bdrv_append": "puts a node on top of a chain",
    "bdrv_replace_node": "replaces a node in the block graph",
    "bdrv_replace_node_common": "replaces a node in the block graph",
    "bdrv_replace_child_noperm": "changes an edge of the block graph",
    "bdrv_replace_child": "changes an edge of the block graph",
    "bdrv_attach_child_common": "attaches a child in the block graph",
    "bdrv_drop_filter": "removes a filter node",
    "bdrv_drop_intermediate": "removes nodes between two of a chain",
    "bdrv_reopen_multiple": "reopens block nodes",
    "bdrv_reopen_prepare": "reopens a block node",
    "bdrv_set_aio_context_ignore": "moves nodes to another AioContext",
    "bdrv_child_try_set_aio_context": "moves nodes to another AioContext",
    "bdrv_try_change_aio_context": "moves nodes to another AioContext",
    "bdrv_try_set_aio_context": "moves nodes to another AioContext",
    "bdrv_change_aio_context": "moves nodes to another AioContext",
    "bdrv_attach_aio_context": "attaches a node to its new AioContext",
    "bdrv_detach_aio_context": "detaches a node from its AioContext",
    "bdrv_set_aio_context": "moves nodes to another AioContext",
    "blk_get_aio_context": "asks which AioContext a disk is in",
    "bdrv_get_aio_context": "asks which AioContext a node is in",
    "bdrv_child_get_parent_aio_context": "asks which AioContext a node's user is in",
    "blk_set_aio_context": "moves a disk to another AioContext",
    "blk_do_set_aio_context": "moves a disk to another AioContext",
    "bdrv_inactivate_all": "inactivates every block node (hand-over to the migration destination)",
    "bdrv_invalidate_cache_all": "activates every block node",
    "bdrv_activate_all": "activates every block node",
    "blk_is_available": "asks whether a disk has its medium",
    "blk_is_inserted": "asks whether a disk has its medium",
    "bdrv_is_inserted": "asks whether a disk has its medium",
    "bdrv_refresh_limits": "reads a node's limits",
    "bdrv_query_image_info": "queries an image",
    "bdrv_block_device_info": "queries a block node",
    "bdrv_snapshot_create": "creates an internal snapshot",
    "bdrv_snapshot_goto": "loads an internal snapshot",
    "bdrv_img_create": "creates an image",
    "bdrv_create": "creates an image",
    "bdrv_io_plug": "batches requests (plug)",
    "bdrv_io_unplug": "submits batched requests (unplug)",
    "blk_io_plug": "batches requests (plug)",
    "blk_io_unplug": "submits batched requests (unplug)",
}
_GRAPH_NAMES = Names(
    *_GRAPH,
    "bdrv_open_*",
    "bdrv_parent_change_aio_context",
    "bdrv_child_change_aio_context",
    "bdrv_*aio_context*",
    "blk_*aio_context*",
    "blk_*aio_ctx*",
    "child_job_*aio_ctx*",
    "bdrv_attach_*",
    "bdrv_detach_*",
    "bdrv_remove_*",
    "bdrv_refresh_*",
    "bdrv_reopen_*",
    "bdrv_*perm*",
    "blk_root_*",
    "bdrv_set_backing*",
    "bdrv_inactivate_*",
    "bdrv_query_*",
    "bdrv_snapshot_*",
    "bdrv_new*",
    "bdrv_child_*",
    "blk_new*",
    "bdrv_*",
    "blk_*",
    "block_*_info",
    "block_io_plug*",
    "blk_io_plug*",
)


def _graph(view: View) -> str:
    phrases = list(dict.fromkeys(_GRAPH[n] for n in reversed(view.names) if n in _GRAPH))
    if phrases:
        node = _node(view)
        words = phrases[0] if len(phrases) == 1 else f"{phrases[0]}: {phrases[-1]}"
        return f"{words} ({node})" if node else words
    if any(("aio_context" in n or "aio_ctx" in n) and "notifier" not in n for n in view.names):
        return "moves nodes to another AioContext"
    return f"block layer: {view.outermost}"


def _graph_short(view: View) -> str:
    return _graph(view).split(": ")[-1]


def _driver(view: View) -> str:
    name = next((d for d in (driver_name(n) for n in view.names if n) if d), "")
    # the callback that the block layer called tells for what: a truncation may discard inside
    asked = view.caller.startswith(("bdrv_", "blk_"))
    kind = request_type(list(reversed(view.names)) if asked else list(view.names))
    offset = _plausible(view.number(_BYTE_FUNCTIONS, "offset"))
    count = _plausible(view.number(_BYTE_FUNCTIONS, "bytes"))
    if any(
        n
        in (
            "nbd_client_connect",
            "nbd_establish_connection",
            "nbd_start_negotiate",
            "nbd_receive_negotiate",
            "nbd_co_establish_connection",
            "nbd_do_establish_connection",
            "nbd_co_do_establish_connection",
            "nbd_reconnect_attempt",
        )
        for n in view.names
    ):
        negotiates = any("negotiat" in n for n in view.names)
        return "nbd driver: negotiates with its server" if negotiates else "nbd driver: connects to its server"
    if any(n.startswith(("nbd_receive", "nbd_co_do_receive", "nbd_co_receive")) for n in view.names):
        return "nbd driver: reads a reply of the server"
    parts = f"{name} driver" if name and not name.endswith("driver") else (name or "block driver")
    if kind:
        size = f" of {size_text(count)}" if count is not None else ""
        where = f" at {offset:#x}" if offset is not None else ""
        return f"{parts}: {kind}{size}{where}"
    return f"{parts}: {view.innermost}"


# Block jobs, by prefix of their functions: block/mirror.c, backup.c, commit.c, stream.c, create.c, blockdev.c
_JOBS = (
    ("mirror_", "mirror"),
    ("backup_", "backup"),
    ("commit_", "commit"),
    ("stream_", "stream"),
    ("block_copy_", "backup"),
    ("blockdev_create_", "create"),
    ("blockdev_amend_", "amend"),
    ("snapshot_load_job", "snapshot-load"),
    ("snapshot_save_job", "snapshot-save"),
    ("snapshot_delete_job", "snapshot-delete"),
    ("active_commit", "commit"),
)


def job(view: View) -> Optional[str]:
    """Type of the block job whose code is on the stack, None without one."""
    for name in view.all_names[view.first : view.last + 1]:
        for prefix, kind in _JOBS:
            if name.startswith(prefix) and name not in ("stream_push", "stream_can_push"):
                return kind
    return None


def _job(view: View) -> str:
    kind = job(view) or ""
    what = f"{kind} job" if kind else "block job"
    names = view.names
    if any("aio_ctx" in n for n in names):
        return f"the {what} follows its node to another AioContext"
    if any("exit" in n for n in names) or any(n in ("job_completed", "job_completed_locked") for n in names):
        ending = any("abort" in n for n in names if n.startswith(("job_", "mirror_", "commit_", "backup_", "stream_")))
        return f"ends a {'failed or cancelled ' if ending else ''}{what}"
    if any("cancel" in n for n in names):
        return f"cancels a {what}"
    if any("complete" in n for n in names) and any(n.startswith("job_complete") for n in names):
        return f"completes a {what}"
    if any(
        n.startswith(("mirror_run", "backup_run", "commit_run", "stream_run", "job_co_entry")) or "iteration" in n
        for n in names
    ):
        return f"runs a {what}"
    if any("pause" in n for n in names):
        return f"the {what} is at a pause point"
    if any("drain" in n for n in names):
        return f"quiesces a {what}"
    for verb in ("dismiss", "prepare", "finalize", "start", "ready", "free", "unref", "create"):
        if any(verb in n for n in names):
            return {
                "free": "frees",
                "unref": "frees",
                "ready": "readies",
                "dismiss": "dismisses",
                "prepare": "prepares the end of",
            }.get(verb, f"{verb}s") + f" a {what}"
    return f"{what}: {view.outermost}"


_STARTS = Pattern(
    r"new|enqueue|continue|read_data|write_data|send_command|do_read|do_write|blk_io|submit|_rw|dma_blk|io_cmd|admin_cmd"
)

ROWS = (
    # block/io.c, job.c, block/block-backend.c (10.2); before: block/io.c, blockjob.c
    Row("drain", DRAIN, _drain, subsystem="Block I/O path", weight=8),
    # util/aio-wait.c (10.2)
    Row(
        "wait for a bottom half",
        Names("aio_wait_bh_oneshot", "aio_wait_bh"),
        "waits for a bottom half in another AioContext",
        weight=4,
    ),
    # block/io.c, block/block-gen.c, block/block-gen.h (10.2); before: block.c, block/block-backend.c
    Row(
        "block request",
        REQUEST,
        _request,
        short=_request_short,
        subsystem="Block I/O path",
        weight=5,
        order=1,
        reads=(
            "blk_co_preadv",
            "blk_co_pwritev",
            "blk_co_do_preadv_part",
            "blk_co_do_pwritev_part",
            "blk_aio_prwv",
            "bdrv_co_preadv",
            "bdrv_co_pwritev",
            "bdrv_co_preadv_part",
            "bdrv_co_pwritev_part",
            "bdrv_aligned_preadv",
            "bdrv_aligned_pwritev",
            "bdrv_driver_preadv",
            "bdrv_driver_pwritev",
            "bdrv_co_do_pwrite_zeroes",
            "bdrv_co_pwrite_zeroes",
            "bdrv_pread",
            "bdrv_pwrite",
            "blk_pread",
            "blk_pwrite",
            "bdrv_co_pdiscard",
            "blk_co_pdiscard",
            "bdrv_co_flush",
            "blk_co_flush",
            "bdrv_flush",
            "bdrv_co_block_status",
            "bdrv_co_common_block_status_above",
            "bdrv_common_block_status_above",
            "blk_aio_read_entry",
            "blk_aio_write_entry",
            "blk_aio_flush_entry",
            "bdrv_co_truncate",
            "blk_prw",
            "bdrv_prwv_co",
            "blk_co_do_flush",
            "blk_aio_preadv",
            "blk_aio_pwritev",
        ),
    ),
    # block/nbd.c, nbd/client-connection.c, block/file-posix.c (10.2); before: block/nbd.c, block/nbd-client.c
    Row(
        "block driver",
        _DRIVER_ROWS,
        _driver,
        weight=4,
        reads=(
            "qcow2_co_preadv_part",
            "qcow2_co_pwritev_part",
            "qcow2_co_preadv",
            "qcow2_co_pwritev",
            "raw_co_preadv",
            "raw_co_pwritev",
            "raw_co_prw",
            "nbd_client_co_preadv",
            "nbd_client_co_pwritev",
            "nbd_co_request",
            "laio_co_submit",
            "luring_co_submit",
            "raw_thread_pool_submit",
            "blkdebug_co_preadv",
            "blkdebug_co_pwritev",
            "null_co_preadv",
            "null_co_pwritev",
        ),
    ),
    # block/linux-aio.c, block/io_uring.c
    Row(
        "Linux AIO",
        Names("qemu_laio_*", "laio_*", "ioq_submit*", "io_submit", "luring_*", "qemu_luring_*"),
        lambda v: (
            "completes Linux AIO requests"
            if any("complet" in n or "poll" in n for n in v.names)
            else "submits requests to the kernel"
        ),
        short="AIO completion",
        weight=3,
    ),
    # block.c, block/block-backend.c, block/qapi.c (10.2); before: block.c, block/block-backend.c
    Row(
        "block graph",
        _GRAPH_NAMES,
        _graph,
        short=_graph_short,
        subsystem="Block layer core",
        weight=5,
        order=-3,
        reads=(
            "bdrv_unref",
            "bdrv_close",
            "bdrv_delete",
            "bdrv_open_inherit",
            "bdrv_set_aio_context_ignore",
            "bdrv_child_try_set_aio_context",
            "blk_set_aio_context",
            "bdrv_drained_begin",
            "bdrv_do_drained_begin",
            "bdrv_append",
            "bdrv_replace_node",
            "blk_remove_bs",
        ),
    ),
    # block/commit.c, block/stream.c, block/create.c (10.2); before: block/commit.c, block/stream.c
    Row(
        "block job",
        Names(
            "mirror_*",
            "backup_*",
            "commit_run",
            "commit_complete",
            "commit_active_*",
            "commit_clean",
            "commit_prepare",
            "commit_abort",
            "stream_run",
            "stream_prepare",
            "stream_clean",
            "stream_populate",
            "block_copy_*",
            "job_*",
            "block_job_*",
            "child_job_*",
            "blockdev_create_run",
            "stream_complete",
            "active_commit*",
        ),
        _job,
        short=lambda v: _job(v).replace("failed or cancelled ", "failed "),
        subsystem="Block Jobs",
        weight=7,
        trigger=True,
    ),
    # hw/block/virtio-blk.c, hw/nvme/ctrl.c, system/dma-helpers.c (10.2); before: hw/virtio-blk.c, hw/block/nvme.c
    Row(
        "disk request of a device",
        Names(
            "dma_blk_*",
            "dma_complete",
            "ide_dma_cb",
            "ide_*_cb",
            "scsi_dma_*",
            "scsi_do_read*",
            "scsi_read_*",
            "scsi_write_*",
            "scsi_req_*",
            "scsi_disk_*",
            "scsi_block_*",
            "scsi_generic_*",
            "scsi_device_*",
            "scsi_aio_*",
            "virtio_blk_rw_complete",
            "virtio_blk_submit_*",
            "virtio_blk_flush_complete",
            "nvme_rw*",
            "nvme_io_cmd",
            "nvme_admin_cmd",
            "nvme_enqueue_*",
        ),
        lambda v: (
            f"{_device(v)}: cancels the device's requests"
            if any("purge" in n or "cancel" in n for n in v.names)
            else f"{_device(v)}: request of the guest completes"
            if any("complete" in n or (n.endswith("_cb") and n != "dma_blk_cb" and "scsi" not in n) for n in v.names)
            else f"{_device(v)}: starts a request of the guest"
            if any(_STARTS.search(n) for n in v.names)
            else f"{_device(v)}: {v.innermost}"
        ),
        weight=5,
    ),
    # block/block-backend.c (10.2); before: block.c
    Row(
        "error policy",
        Names("blk_error_action", "bdrv_error_action", "*_handle_rw_error", "scsi_handle_rw_error*"),
        "applies the disk's error policy (rerror/werror)",
        weight=6,
    ),
    # nbd/server.c, blockdev-nbd.c, qemu-nbd.c (10.2); before: nbd.c
    Row(
        "NBD server",
        Names(
            "nbd_trip",
            "nbd_client_receive_next_request",
            "nbd_export_*",
            "nbd_server_*",
            "nbd_co_receive_request",
            "nbd_receive_request",
            "nbd_co_send_iov",
            "nbd_co_send_simple_reply",
            "nbd_co_send_chunk*",
            "nbd_co_send_structured_*",
            "nbd_co_send_sparse_read",
            "nbd_co_send_extents",
            "nbd_co_send_block_status",
            "nbd_co_send_bitmap",
            "nbd_co_send_reply",
            "nbd_client_new",
            "nbd_accept",
            "nbd_do_cmd_read",
            "nbd_handle_request",
            "nbd_client_put",
            "nbd_client_get",
            "nbd_client_receive_next_request",
        ),
        "NBD server: serves a client's request",
        subsystem="Network Block Device (NBD)",
        weight=6,
        trigger=True,
    ),
    # nbd/server.c: the coroutine of a new client, until its first request
    Row(
        "NBD server, handshake",
        Names("nbd_co_client_start", "nbd_negotiate*"),
        "NBD server: negotiates with a new client",
        subsystem="Network Block Device (NBD)",
        weight=6,
        trigger=True,
    ),
    # util/vhost-user-server.c, subprojects/libvhost-user/libvhost-user.c (10.2)
    Row(
        "block export",
        Names("vu_blk_*", "vhost_user_server_*", "vduse_blk_*", "fuse_*", "blk_exp_*", "vu_client_trip", "vu_dispatch"),
        lambda v: (
            "closes block exports and waits until they are gone"
            if any("close" in n or "shutdown" in n or n.endswith("_stop") for n in v.names)
            else "virtiofsd serves a request of the guest"
            if any(n.startswith(("fv_", "lo_", "virtio_loop")) for n in v.all_names)
            else "serves a block export"
        ),
        weight=5,
        trigger=True,
    ),
    # qemu-img.c, qemu-io-cmds.c
    Row(
        "tool command",
        Names("img_*", "convert_do_copy", "convert_co_*", "convert_iteration_sectors", "convert_select_part",
              "convert_copy_bitmaps", "convert_check_bitmaps", "convert_read", "convert_write", "qemuio_command",
              "qemu_io_*", "check_*_func", "bench_cb"),
        lambda v: (
            f"qemu-img {v.outermost[4:].replace('_', ' ')}"
            if v.outermost.startswith("img_")
            else (
                "qemu-img convert: copies data"
                if any(n.startswith("convert_") for n in v.names)
                else "runs a qemu-io command"
            )
        ),
        weight=7,
        trigger=True,
        order=-2,
    ),
)


def _device(view: View) -> str:
    for prefix, name in (
        ("scsi", "SCSI"),
        ("ide", "IDE"),
        ("dma_blk", "DMA"),
        ("virtio_blk", "virtio-blk"),
        ("nvme", "NVMe"),
    ):
        if any(n.startswith(prefix) for n in view.names):
            return name
    return "disk"
