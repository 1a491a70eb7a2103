"""Migration: the phases of an outgoing and incoming one, RAM, devices' state, channels, snapshots."""

from __future__ import annotations

import re
from typing import Optional, Tuple

from ..match import Names
from .rows import Row, View

# Functions and their phase; the first that is on the stack decides: migration/migration.c, savevm.c, ram.c
_PHASES: Tuple[Tuple[Names, str], ...] = (
    (Names("migration_completion_postcopy", "qemu_savevm_state_complete_postcopy"), "completing postcopy"),
    (Names("postcopy_start"), "switching to postcopy"),
    (
        Names(
            "migration_completion_precopy",
            "migration_completion",
            "qemu_savevm_state_complete_precopy*",
            "migration_switchover_*",
            "migration_try_vm_stop_and_save_concurrent",
            "migration_stop_vm",
            "bg_migration_completion",
            "qemu_savevm_state_complete",
            "migrate_finish_set_state",
        ),
        "completing: the VM is stopped, the rest is sent",
    ),
    (Names("bg_migration_iteration_run", "bg_migration_thread"), "background snapshot"),  # migration/migration.c, 6.0
    (
        Names("migration_iteration_run", "qemu_savevm_state_iterate", "ram_save_iterate"),
        "precopy, iterating",
    ),
    (
        Names(
            "qemu_savevm_state_setup",
            "ram_save_setup",
            "qemu_savevm_state_header",
            "qemu_savevm_state_begin",
            "ram_init_all",
        ),
        "setting up",
    ),
    (Names("migrate_start_colo_process", "colo_process_checkpoint"), "COLO checkpoints"),  # inside of finish
    (
        Names("migration_iteration_finish", "migrate_fd_cleanup*", "migration_cleanup*", "multifd_send_shutdown"),
        "cleaning up",
    ),
    (Names("source_return_path_thread"), "reading the destination's answers"),
    (Names("postcopy_ram_listen_thread", "postcopy_listen_thread"), "incoming: loading during postcopy"),
    (Names("postcopy_ram_fault_thread"), "serving page faults of postcopy"),
    (Names("load_snapshot", "load_vmstate"), "loading a snapshot"),  # migration/savevm.c; before 3.0 load_vmstate
    (
        Names(
            "qemu_loadvm_state*",
            "process_incoming_migration_co",
            "qemu_loadvm_section_*",
            "vmstate_load*",
            "loadvm_*",
            "load_snapshot",
            "qemu_load_device_state",
        ),
        "incoming: loading",
    ),
    (
        Names(
            "migrate_fd_connect",
            "migration_channel_connect",
            "migration_start_outgoing",
            "*_start_outgoing_migration",
            "migration_connect",
            "migration_connect_outgoing",
        ),
        "connecting",
    ),
    (Names("save_snapshot", "qemu_savevm_state", "qemu_savevm_live_state"), "saving a snapshot"),
    (Names("migration_thread", "live_migration"), "running"),
)


def phase(view: View) -> Optional[str]:
    """Phase of migration that a stack is in, None without migration frames."""
    names = view.all_names[view.first : view.last + 1]
    for functions, text in _PHASES:
        if any(n in functions for n in names if n):
            return text
    return None


_SHORT = {
    "completing: the VM is stopped, the rest is sent": "migration completion",
    "completing postcopy": "postcopy completion",
    "background snapshot": "background snapshot",
    "precopy, iterating": "migration, precopy",
    "reading the destination's answers": "migration return path",
    "incoming: loading": "incoming migration",
    "incoming: loading during postcopy": "incoming postcopy",
    "saving a snapshot": "snapshot save",
    "loading a snapshot": "snapshot load",
    "switching to postcopy": "migration, switch to postcopy",
    "setting up": "migration setup",
    "connecting": "migration connects",
    "cleaning up": "migration clean-up",
    "COLO checkpoints": "COLO checkpoint",
}


def _short(view: View) -> str:
    words = _SHORT.get(phase(view) or "", _migration(view))
    for known in view.facts.migration:
        if known.uri and known.direction == ("incoming" if "incoming" in words else "outgoing"):
            peer = known.uri.split(", descriptor")[0]
            return f"{words} to {peer}" if known.direction == "outgoing" else f"{words} from {peer}"
    return words


def _section(view: View) -> str:
    """Device or section whose state is saved or loaded."""
    for functions, arguments in (
        (("vmstate_save", "vmstate_load", "qemu_loadvm_section_start_full", "save_section_header"), ("idstr",)),
        (("vmstate_save_state", "vmstate_save_state_v", "vmstate_load_state"), ("name", "vmsd_name")),
        (("qemu_loadvm_section_start_full",), ("idstr", "idstr_buf")),
    ):
        text = view.string(functions, *arguments)
        if text:
            return text
    symbol = view.symbol(("vmstate_save_state", "vmstate_save_state_v", "vmstate_load_state"), "vmsd")
    return re.sub(r"^vmstate_", "", symbol) if symbol else ""


def _migration(view: View) -> str:
    names = view.names
    found = phase(view)
    if found is None:
        return f"migration: {view.outermost}"
    extra = ""
    uri = view.string(None, "uri")
    if uri:
        extra = f" ({uri})"
    if "incoming" in found or "postcopy" in found and "page" in found:
        return f"migration, {found}{extra}"
    if any(n.startswith(("save_snapshot", "load_snapshot")) for n in names):
        return found
    return f"migration, {found}{extra}"


def _state(view: View) -> str:
    section = _section(view)
    loads = any("load" in n for n in view.names)
    verb = "loads" if loads else "saves"
    return f"{verb} the state of {section}" if section else f"{verb} a device's state"


def _ram(view: View) -> str:
    block = view.string(None, "block_name", "rbname", "idstr")
    loads = any(n.startswith(("ram_load", "postcopy_place", "ram_block_load", "colo_load")) for n in view.names)
    which = f" of {block}" if block else ""
    if any("sync_dirty" in n or "bitmap_sync" in n for n in view.names):
        return "synchronises the dirty bitmap of guest RAM"
    return f"receives guest RAM{which}" if loads else f"sends guest RAM{which}"


def _multifd(view: View) -> str:
    if any("recv" in n for n in view.names):
        return "receives pages on a multifd channel"
    if any("sync_main" in n for n in view.names):
        return "waits until all multifd channels have sent their pages"
    if any("terminate" in n or "shutdown" in n or "cleanup" in n for n in view.names):
        return "shuts the multifd channels down"
    if any("connect" in n for n in view.names):
        return "connects a multifd channel"
    return "sends pages on a multifd channel"


ROWS = (
    # migration/migration.c, migration/savevm.c (10.2); before: migration/migration.c, savevm.c
    Row(
        "migration",
        Names(
            "migration_*",
            "bg_migration_*",
            "qemu_savevm_*",
            "save_snapshot*",
            "load_snapshot*",
            "load_vmstate",
            "process_incoming_migration*",
            "qemu_loadvm_*",
            "loadvm_*",
            "migrate_*",
            "*_start_outgoing_migration",
            "*_start_incoming_migration",
            "source_return_path_thread",
            "postcopy_start",
            "await_return_path_close_on_source",
            "postcopy_ram_listen_thread", "postcopy_listen_thread",
            "qemu_load_device_state",
            "snapshot_*_job_*",
            "close_return_path_on_source",
            "qemu_save_device_state",
            "qemu_start_incoming_migration",
        ),
        _migration,
        short=_short,
        subsystem="Migration",
        weight=8,
        trigger=True,
        reads=(
            "qemu_start_incoming_migration",
            "qmp_migrate",
            "exec_start_outgoing_migration",
            "socket_start_outgoing_migration",
            "fd_start_outgoing_migration",
            "migrate_fd_connect",
        ),
    ),
    # hw/virtio/virtio.c (10.2); before: hw/virtio.c
    Row(
        "device state",
        Names(
            "vmstate_save*",
            "vmstate_load*",
            "vmstate_*",
            "*_pre_save",
            "*_post_load",
            "*_pre_load",
            "*_post_save",
            "virtio_save",
            "virtio_load",
            "get_*_buffer_state",
        ),
        _state,
        subsystem="Migration",
        weight=7,
        order=-1,
        reads=(
            "vmstate_save",
            "vmstate_load",
            "vmstate_save_state",
            "vmstate_save_state_v",
            "vmstate_load_state",
            "qemu_loadvm_section_start_full",
        ),
    ),
    # migration/ram.c (10.2); before: migration/ram.c, util/bufferiszero.c
    Row(
        "RAM migration",
        Names(
            "ram_save_*",
            "ram_find_and_save_block",
            "ram_load*",
            "save_zero_page*",
            "save_normal_page",
            "ram_state_*",
            "migration_bitmap_sync*",
            "ramblock_sync_dirty_bitmap",
            "colo_*_ram*",
            "save_page*",
            "save_compress_page",
            "ram_flush_*",
            "do_data_compress",
            "ram_block_*",
            "find_dirty_block",
            "pss_find_next_dirty",
            "mapped_ram_*",
        ),
        _ram,
        subsystem="Migration",
        weight=6,
    ),
    # util/bufferiszero.c: RAM migration asks it, and so do block layer and qemu-img
    Row(
        "zero check",
        Names("buffer_is_zero*", "buffer_zero_*", "select_accel_fn"),
        "checks whether memory is all zeroes",
        short="",
        weight=2,
    ),
    # migration/multifd*.c, since 4.0
    Row(
        "multifd",
        Names("multifd_*", "nocomp_*", "zlib_send_*", "zstd_send_*"),
        _multifd,
        subsystem="Migration",
        weight=7,
    ),
    # migration/postcopy-ram.c, migration/ram.c (10.2)
    Row(
        "postcopy",
        Names("postcopy_ram_fault_thread", "postcopy_*", "migrate_send_rp_*", "ram_save_queue_pages"),
        lambda v: (
            "serves guest page faults from the source"
            if v.has("postcopy_ram_fault_thread")
            else "places a page that arrived"
            if any("place" in n for n in v.names)
            else "postcopy"
        ),
        subsystem="Migration",
        weight=7,
    ),
    # migration/colo*.c, since 2.8
    Row(
        "COLO",
        Names("colo_*"),
        "COLO replication of the VM",
        subsystem="COLO Framework",
        weight=7,
        order=-1,
        trigger=True,
    ),
    # migration/qemu-file.c (10.2); before: qemu-file.c, savevm.c
    Row(
        "migration stream",
        Names(
            "qemu_put_byte",
            "qemu_put_be*",
            "qemu_put_sbe*",
            "qemu_put_buffer*",
            "qemu_put_counted_string",
            "qemu_put_qemu_file",
            "qemu_put_compression_data",
            "qemu_get_byte",
            "qemu_get_be*",
            "qemu_get_sbe*",
            "qemu_get_buffer*",
            "qemu_get_counted_string",
            "qemu_get_fd",
            "qemu_fflush",
            "qemu_fclose",
            "qemu_fill_buffer",
            "qemu_peek_*",
            "qemu_file_get*",
            "qemu_file_set*",
            "qemu_file_rate*",
            "qemu_file_total*",
            "qemu_file_credit*",
            "qemu_file_shutdown*",
            "qemu_file_new*",
            "qemu_file_transferred*",
            "qemu_file_is_*",
            "qemu_file_mode*",
            "qemu_file_skip",
            "qemu_file_update*",
            "qemu_file_reset*",
            "qemu_file_acct*",
            "qemu_file_switchover*",
            "channel_close",
            "channel_writev_buffer",
            "channel_get_buffer",
            "add_to_iovec",
            "qemu_buffered_file*",
        ),
        lambda v: (
            "closes the migration stream"
            if any("close" in n for n in v.names)
            else "reads the migration stream"
            if any(n.startswith(("qemu_get_", "qemu_fill", "qemu_peek", "channel_get")) for n in v.names)
            else f"migration stream: {v.outermost}"
            if any("error" in n or "rate" in n or "total" in n for n in v.names)
            else "writes the migration stream"
        ),
        subsystem="Migration",
        weight=4,
    ),
    # migration/rdma.c
    Row(
        "RDMA",
        Names("qemu_rdma_*", "qio_channel_rdma_*", "rdma_*"),
        "RDMA transport of migration",
        subsystem="RDMA Migration",
        weight=5,
        order=1,
    ),
    # migration/block-dirty-bitmap.c, block/dirty-bitmap.c (10.2); before: block.c
    Row(
        "dirty bitmap migration",
        Names(
            "dirty_bitmap_*",
            "cancel_incoming_locked",
            "bdrv_dirty_bitmap*",
            "bdrv_release_dirty_bitmap",
            "bdrv_*dirty_bitmap*",
        ),
        "works on dirty bitmaps",
        subsystem="Dirty Bitmaps",
        weight=5,
        order=1,
    ),
    # io/, since 2.6; crypto/tlssession.c
    Row(
        "I/O channel",
        Names(
            "qio_channel_*", "qio_task_*", "qio_net_listener_*", "qio_dns_*", "qcrypto_tls_*", "gnutls_*", "_gnutls_*"
        ),
        lambda v: (
            "websocket handshake"
            if any("websock" in n and "handshake" in n for n in v.names)
            else "TLS handshake"
            if any("handshake" in n for n in v.names)
            else "TLS session"
            if any("tls" in n for n in v.names)
            else "closes a channel"
            if any("close" in n for n in v.names)
            else "connects a channel"
            if any("connect" in n for n in v.names)
            else "reads from a channel"
            if any("read" in n.replace("thread", "") for n in v.names)
            else "writes to a channel"
            if any("write" in n for n in v.names)
            else f"I/O channel: {v.outermost}"
        ),
        weight=3,
    ),
)
