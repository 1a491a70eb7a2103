"""Functions that only serve others: who asks who did it, or whose work it is, looks past them at the caller."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple, Tuple

from ..pattern import Pattern
from . import functions
from .match import Names
from .rust import GLUE


class Helper(NamedTuple):
    """A family of functions that many parts of QEMU call."""

    name: str
    functions: Names
    # in which questions the family is looked past: "crash" (which frame to blame for a crash), "wait" (who decided to
    # wait), "work" (who is busy), "owner" (whose code is at work: the subsystem), "cause" (who handed the bad value
    # over: these, and all of "crash"); "leak" (who forgets to free) has ``makes``
    past: str


HELPERS: Tuple[Helper, ...] = (
    # include/qemu/thread.h, util/qemu-thread-*.c, util/qsp.c, include/qemu/lockable.h
    Helper(
        "lock",
        Names(
            "qemu_mutex_*",
            "qemu_rec_mutex_*",
            "qemu_spin_*",
            "qemu_lockable_*",
            "qsp_*",
            "qemu_cond_*",
            "qemu_sem_*",
            "qemu_event_*",
            "qemu_futex_*",
            "qemu_thread_*",
            "bql_*",
            "aio_context_acquire",
            "aio_context_release",
            "qemu_co_mutex_*",
            "error_exit",
            "qemu_co_rwlock_*",
            "seqlock_*",
            "rcu_read_*",
            "wait_for_readers",
            "qemu_lockcnt_*",
            "vnc_lock_*",
            "stat64_*",
            "glib_autoptr_cleanup_*",
            "prepare_mmio_access",
            "rfifolock_*",
            "cond_timedwait",
            "mutex_lock",
        ),
        "crash wait work owner",
    ),
    # qom/object.c; the casts are macros and small functions in capitals
    Helper(
        "object-model",
        Names(
            "object_get_class",
            "object_class_get_parent",
            "object_class_get_name",
            "object_get_typename",
            "object_dynamic_cast*",
            "object_class_dynamic_cast*",
            "type_*",
            "object_ref",
            "object_unref",
            "object_finalize",
            "object_deinit",
            "object_property_del_all",
            "object_property_del_child",
            "object_finalize_child_property",
            "object_unparent",
            "object_release_*",
            "object_child_foreach*",
            "object_class_foreach*",
            "object_initialize*",
            "object_new*",
            "object_init*",
            "object_property_find*",
            "object_class_property_find*",
            "object_resolve_path*",
        ),
        "crash wait work owner",
    ),
    Helper("rust-glue", GLUE, "crash wait work owner cause"),
    # hw/scsi/scsi-bus.c: a request of a controller's, which took or dropped a reference too many
    Helper("reference", Names("scsi_req_ref", "scsi_req_unref"), "crash work owner"),
    Helper(
        "error-object",
        Names(
            "error_free*",
            "error_propagate*",
            "error_set*",
            "error_handle*",
            "error_append*",
            "error_prepend*",
            "error_vset*",
            "error_copy",
            "error_get_pretty",
            "error_report*",
            "warn_report*",
            "vreport",
        ),
        "crash wait work owner",
    ),
    Helper(
        "vectors",
        Names(
            "iov_*",
            "qemu_iovec_*",
            "buffer_zero*",
            "buffer_is_zero*",
            "select_accel*",
            "test_bit*",
            "set_bit*",
            "clear_bit*",
            "find_next_*",
            "find_first_*",
            "find_last_*",
            "bitmap_*",
            "ld*_p",
            "st*_p",
            "ld*_he_p",
            "ld*_le_p",
            "ld*_be_p",
            "st*_he_p",
            "muldiv64",
            "clz64",
            "clz32",
            "ctz64",
            "ctz32",
            "bswap*",
            "extract8", "extract16", "extract32", "extract64",  # include/qemu/bitops.h: they assert the bits' range
            "sextract32", "sextract64",
            "deposit32", "deposit64",
            "le*_to_cpu",
            "cpu_to_*",
            "be*_to_cpu",
            "_mm*",
            "uleb128_*",  # util/cutils.c, util/uleb128.c
        ),
        "crash wait work owner",
    ),
    Helper(
        "values",
        Names(
            "qobject_*",
            "qdict_*",
            "qlist_*",
            "qstring_*",
            "qnum_*",
            "qbool_*",
            "qnull_*",
            "json_*",
            "qentry_*",
            "qht_*",
            "interval_tree_*",
            "g_*",
            "notifier_list_notify",
            "notifier_with_return_list_notify",
            "trace_*",
            "_nocheck__trace_*",
            "qatomic_*",
            "int128_*",
        ),
        "crash wait work owner",
    ),
    Helper(
        "memory-allocation",
        Names(
            "qemu_memalign",
            "qemu_try_memalign",
            "qemu_vfree",
            "qemu_free",
            "qemu_malloc*",
            "qemu_blockalign*",
            "qemu_try_blockalign*",
            "qemu_anon_ram_*",
            "qemu_ram_mmap",
            "malloc_and_trace",  # vl.c up to 2.8: GLib's allocator with a trace point
            "realloc_and_trace",
            "free_and_trace",
        ),
        "crash wait work owner",
    ),
    # include/ui/surface.h, include/ui/console.h before 8.0: accessors that follow a surface's pointer
    Helper(
        "surface",
        Names(
            "surface_data",
            "surface_stride",
            "surface_width",
            "surface_height",
            "surface_format",
            "surface_bits_per_pixel",
            "surface_bytes_per_pixel",
            "qemu_free_displaysurface",
        ),
        "crash wait work owner",
    ),
    # include/exec/memory.h: they follow a region's pointer
    Helper("region-accessor", Names("memory_region_get_iommu*"), "crash work"),
    # util/osdep.c, block/file-posix.c: a system call with the host's differences hidden
    Helper(
        "system-call",
        Names(
            "qemu_fdatasync",
            "qemu_write_full",
            "qemu_open",
            "qemu_open_old",
            "qemu_open_internal",
            "qemu_close",
            "qemu_madvise",
            "qemu_preadv",
            "qemu_pwritev",
        ),
        "wait",
    ),
    # chardev/char-fe.c: devices and monitors call it
    Helper("chardev-frontend", Names("qemu_chr_fe_*", "qemu_chr_write*", "qemu_chr_be_*"), "crash wait owner"),
    Helper(
        "io-channel",
        Names(
            "qio_channel_*",
            "qio_task_*",
            "qio_net_listener_*",
            "qio_dns_*",
            "io_channel_send*",
            "tcp_chr_write",
            "tcp_chr_recv",
            "tcp_chr_sync_read",
            "io_writev_*",
            "qcrypto_tls_session_read",
            "qcrypto_tls_session_write",
            "qcrypto_tls_session_pull",
            "qcrypto_tls_session_push",
            "unix_send_msgfds",
            "qemu_fill_buffer",
            "qemu_put_*",
            "qemu_get_*",
            "qemu_file_*",
            "add_to_iovec",
            "add_buf_to_iovec",
            "qemu_get_b*",
            "qemu_peek_b*",
            "qemu_fflush",
            "channel_get_buffer",
            "channel_writev_buffer",
            "nbd_read",
            "nbd_read*",
            "nbd_drop",
        ),
        "wait owner",
    ),
    Helper("tls", Names("qcrypto_tls_session_*"), "owner"),
    # io/channel.c, io/channel-socket.c: they only follow the pointer to a channel that their caller keeps; not
    # qio_channel_yield, which fails for who runs it
    Helper(
        "io-channel-frontend",
        Names(
            "qio_channel_read", "qio_channel_readv", "qio_channel_readv_*", "qio_channel_read_all*",
            "qio_channel_write", "qio_channel_writev", "qio_channel_writev_*", "qio_channel_write_all*",
            "qio_channel_shutdown", "qio_channel_close", "qio_channel_flush", "qio_channel_has_feature",
            "qio_channel_set_blocking", "qio_channel_set_delay", "qio_channel_set_cork",
            "qio_channel_create_watch", "qio_channel_add_watch*", "qio_channel_io_seek",
            "qio_channel_socket_get_local_address", "qio_channel_socket_get_remote_address",
            "io_channel_send*",  # chardev/char-io.c
        ),
        "crash work",
    ),
    # migration/qemu-file.c: they read a field of the file that the caller keeps
    Helper(
        "stream-state",
        Names("qemu_file_get_error*", "qemu_file_get_ioc", "qemu_file_get_return_path"),
        "crash work",
    ),
    # net/net.c: a network card asks its peer, whose pointer it passes
    Helper(
        "net-peer",
        Names(
            "qemu_has_ufo", "qemu_has_uso", "qemu_has_tunnel", "qemu_has_vnet_hdr*", "qemu_using_vnet_hdr",
            "qemu_get_using_vnet_hdr", "qemu_set_offload", "qemu_get_vnet_hdr_len", "qemu_set_vnet_hdr_len",
            "qemu_set_vnet_le", "qemu_set_vnet_be",
        ),
        "crash work owner",
    ),
    # crypto/*-{gcrypt,gnutls,nettle}.c: thin layers over a library
    Helper(
        "crypto-library",
        Names(
            "qcrypto_pbkdf2",
            "qcrypto_hash_bytesv",
            "qcrypto_hash_bytes",
            "qcrypto_gcrypt_*",
            "qcrypto_nettle_*",
            "qcrypto_gnutls_*",
            "qcrypto_cipher_encrypt",
            "qcrypto_cipher_decrypt",
            "qcrypto_random_bytes",
        ),
        "crash work",
    ),
    # util/qemu-coroutine*.c: entering and waking; not creation and switching, which crash for reasons of their own
    Helper(
        "coroutine",
        Names(
            "qemu_coroutine_enter",
            "qemu_coroutine_enter_if_inactive",
            "qemu_aio_coroutine_enter",
            "aio_co_enter",
            "aio_co_wake",
            "aio_co_schedule",
            "qemu_co_queue_*",
            "qemu_co_enter_next*",
            "co_schedule_bh_cb",
            "qemu_coroutine_yield",
            "coroutine_swap",
            "coroutine_trampoline",
            "qemu_coroutine_get_aio_context",
            "qemu_co_sleep*",
            "aio_co_reschedule_self",
        ),
        "wait owner",
    ),
    Helper("coroutine-switch", Names("qemu_coroutine_switch"), "wait"),
    Helper(
        "event-loop",
        Names(
            "aio_*",
            "fdmon_*",
            "run_poll_handlers*",
            "try_poll_mode",
            "qemu_poll_ns",
            "main_loop_wait",
            "os_host_main_loop_wait",
            "glib_pollfds_poll",
            "timerlist_run_timers",
            "timerlistgroup_run_timers",
            "qemu_clock_run_timers",
            "qemu_clock_run_all_timers",
            "qemu_bh_*",
            "event_notifier_*",
            "qemu_main_loop",
            "qemu_aio_*",
            "qemu_set_fd_handler*",
            "timer_mod*",
            "timer_del*",
            "timer_new*",
            "timer_expire*",
            "timer_pending",
            "timer_free",
            "qemu_iohandler_*",
            "iohandler_*",
            "luring_*",
            "laio_*",
            "defer_call*",
        ),
        "wait owner",
    ),
    Helper(
        "poll-wrapper",
        Names("bdrv_poll_co", "bdrv_run_co", "bdrv_prwv_co", "bdrv_rw_co", "bdrv_rwv_co", "blk_prw", "blk_prwv"),
        "crash wait work owner",
    ),
    # system/memory.c, system/physmem.c: the way from an access to the device that serves it
    Helper(
        "memory-dispatch",
        Names(
            "access_with_adjusted_size*",
            "memory_region_read_accessor",
            "memory_region_write_accessor",
            "memory_region_dispatch_*",
            "memory_region_*_with_attrs_accessor",
            "memory_region_oldmmio_*",
            "memory_region_iorange_*",
            "flatview_read*",
            "flatview_write*",
            "address_space_read*",
            "address_space_write*",
            "address_space_rw*",
            "address_space_ld*",
            "address_space_st*",
            "cpu_physical_memory_*",
            "subpage_*",
            "dma_memory_*",
            "pci_dma_*",
            "ld*_dma",  # include/sysemu/dma.h, include/hw/pci/pci.h
            "st*_dma",
            "qemu_sglist_*",
            "ld*_phys*",
            "st*_phys*",
            "ioport_write*",
            "ioport_read*",
            "cpu_in?",
            "cpu_out?",
            "portio_*",
            "memory_region_section_get_iotlb",
        ),
        "wait work owner",
    ),
    Helper(
        "memory-api",
        Names(
            "memory_region_*",
            "address_space_*",
            "flatview_*",
            "memory_listener_*",
            "listener_*",
            "iotlb_to_section",
            "access_callback_address_matches",
            "mem_check_access_callback_*",
            "dma_blk_*",
            "dma_complete",
            "ram_block_*",
            "qemu_ram_*",
            "phys_*",
            "address_space_dispatch_*",
        ),
        "owner",
    ),
    # KVM's interrupt routes: an API for device models
    Helper(
        "kvm-irqchip",
        Names("kvm_irqchip_*", "kvm_set_irq*", "kvm_vm_ioctl", "kvm_set_ioeventfd_*", "kvm_add_routing_entry"),
        "owner",
    ),
    Helper(
        "block-frontend",
        Names(
            "blk_io_plug*",
            "blk_io_unplug*",
            "bdrv_io_plug",
            "bdrv_io_unplug",
            "blk_aio_cancel*",
            "bdrv_aio_cancel*",
            "blk_aio_p*",
            "blk_aio_r*",
            "blk_aio_w*",
            "blk_is_available",
        ),
        "owner",
    ),
    # block/block-backend.c: they read or count in a BlockBackend that a device model passes
    Helper(
        "block-backend-field",
        Names(
            "blk_inc_in_flight", "blk_dec_in_flight", "blk_bs", "blk_name", "blk_get_public", "blk_get_stats",
            "blk_get_attached_dev*", "blk_get_flags", "blk_get_max_*", "blk_get_request_alignment", "blk_is_sg",
            "blk_is_writable", "blk_supports_write_perm", "blk_get_on_error",
        ),
        "crash work owner",
    ),
    # the same file: a device model reads or writes and waits for it
    Helper("block-frontend", Names("blk_pread*", "blk_pwrite*"), "owner"),
    # hw/dma/i8257.c: the disk's or sound card's model copies through a channel of the ISA DMA controller
    Helper(
        "isa-dma",
        Names("i8257_dma_read_memory", "i8257_dma_write_memory", "DMA_read_memory", "DMA_write_memory"),
        "crash work owner",
    ),
    Helper(
        "drain",
        Names(
            "bdrv_drain*",
            "bdrv_do_drain*",
            "bdrv_parent_drain*",
            "bdrv_subtree_drain*",
            "blk_drain*",
            "bdrv_flush",
            "bdrv_flush_all",
            "bdrv_graph_wrlock*",
            "bdrv_graph_wrunlock*",
        ),
        "owner",
    ),
    Helper(
        "lifecycle",
        Names(
            "do_vm_stop",
            "vm_stop",
            "vm_stop_force_state",
            "vm_state_notify",
            "vm_shutdown",
            "vm_start",
            "vm_prepare_start",
            "qemu_cleanup",
            "run_on_cpu",
            "do_run_on_cpu",
            "async_run_on_cpu",
            "pause_all_vcpus",
            "process_queued_cpu_work",
            "vm_change_state*",
        ),
        "owner",
    ),
    Helper(
        "qdev",
        Names(
            "device_set_realized",
            "property_set_bool",
            "object_property_set*",
            "qdev_*",
            "device_*",
            "qbus_*",
            "object_property_*",
            "pci_qdev_realize",
            "pci_qdev_unrealize",
        ),
        "owner",
    ),
    Helper(
        "string", Names("qemu_strchrnul", "pstrcpy", "pstrcat", "strstart", "qemu_strto*", "qemu_opt*_iter"), "owner"
    ),
    # hw/pci/msi*.c, hw/virtio/virtio.c: a device tells the guest
    Helper(
        "guest-notify",
        Names(
            "pci_msi_trigger",
            "msi_send_message",
            "msi_notify",
            "msix_notify",
            "msix_send_message",
            "pci_set_irq",
            "pci_irq_handler",
            "qemu_set_irq",
            "virtio_pci_notify",
            "virtio_notify*",
            "virtio_irq",
        ),
        "owner",
    ),
    Helper("virtqueue", Names("virtio_queue_notify*", "virtio_queue_host_notifier_*"), "owner"),
    # accel/kvm/kvm-all.c: ioctl() with a request
    Helper(
        "kvm-ioctl", Names("kvm_ioctl", "kvm_vm_ioctl", "kvm_vcpu_ioctl", "kvm_device_ioctl", "kvm_check_extension",
              "kvm_vm_check_extension"),
        "crash wait work owner",
    ),
    # util/qemu-option.c, util/notify.c, util/fifo8.c, include/qemu/fifo32.h, include/hw/pci/pci.h
    Helper(
        "containers",
        Names(
            "qemu_opt_get*",
            "qemu_opt_find",
            "qemu_opt_foreach",
            "qemu_opts_absorb_qdict",
            "qemu_opts_to_qdict*",
            "qemu_opts_append",
            "qemu_opts_del",
            "qemu_opts_set*",
            "find_desc_by_name",
            "notifier_remove",
            "notifier_list_add",
            "qemu_add_*_notifier",
            "qemu_remove_*_notifier",
            "pci_set_word",
            "pci_set_long",
            "pci_set_byte",
            "pci_get_word",
            "pci_get_long",
        ),
        "crash work owner",
    ),
    Helper("queue-of-bytes", Names("fifo8_*", "fifo32_*"), "crash owner"),
    Helper("periodic-timer", Names("ptimer_*"), "owner"),  # hw/core/ptimer.c
    # scripts/qapi/visit.py, types.py; qapi/qapi-visit-core.c
    # accel/tcg/cpu-exec-common.c, cpu-exec.c: out of generated code by siglongjmp, for whoever found the exception
    Helper("leaves-generated-code", Names("cpu_loop_exit*"), "crash owner"),
    Helper(
        "visitor",
        Names("visit_type_*", "visit_start_*", "visit_end_*", "visit_free", "qapi_free_*", "qapi_dealloc_*"),
        "crash work owner",
    ),
    Helper("audio-check", Names("audio_bug", "audio_calloc"), "crash"),  # audio/audio.c
    # block/graph-lock.c: nothing but an assertion about the lock that its callers should hold
    Helper("graph-check", Names("assert_bdrv_graph_readable", "assert_bdrv_graph_writable",
                                "bdrv_graph_rdlock_main_loop", "bdrv_graph_rdunlock_main_loop",
                                "graph_lockable_auto_*", "bdrv_graph_co_rdlock", "bdrv_graph_co_rdunlock"), "crash"),
    # hw/core/qdev.c and the buses: make a device of a type that the caller names
    Helper(
        "device-construction",
        Names("qdev_new", "qdev_try_new", "qdev_create", "qdev_try_create", "isa_new", "isa_try_new", "isa_create*",
              "isa_try_create", "pci_new*", "pci_try_new", "pci_create*", "usb_new", "usb_try_new", "usb_create*",
              "sysbus_create_*", "i2c_slave_new", "i2c_create_slave", "ssi_create_*", "sysbus_try_create_*"),
        "crash owner",
    ),
    # what a headline's function was called by matters more than the function: system/cpus.c, util/qemu-coroutine.c
    Helper("ends-qemu", Names("hw_error", "cpu_abort", "assert_hvf_ok*"), "cause"),
    Helper(
        "coroutine-entry",
        Names(
            "qemu_coroutine_enter",
            "qemu_aio_coroutine_enter",
            "aio_co_enter",
            "aio_co_wake",
            "qemu_coroutine_switch",
            "coroutine_trampoline",
        ),
        "cause",
    ),
    Helper("text", Names("qemu_strchrnul", "qemu_put_buffer"), "cause"),
)

# Casts of QOM's types: OBJECT(), VIRTIO_DEVICE_GET_CLASS()
_CAPITALS = r"[A-Z][A-Z0-9_]{2,}\Z"


def is_cast(name: str) -> bool:
    """Whether a function is a cast of QOM's, which checks a type and nothing else."""
    return re.match(_CAPITALS, name) is not None and not name.startswith("SDL")


# A thin wrapper that locks something: only believed directly above the lock
THIN_LOCK = Pattern(r"\w+_(?:lock|lock_output|lock_display|locks?_acquire|acquire)\Z")


# Whoever allocates is named in a report of leaked memory, and whoever forgets to free is further out: above these.
ALLOCATORS = Pattern(
    r"(?:__interceptor_|_*libc_|tc_|je_)?(?:malloc|calloc|realloc|memalign|posix_memalign|aligned_alloc|strdup|strndup"
    r"|vasprintf|reallocarray)\Z|(?:malloc|calloc|realloc)_and_trace\Z|g_(?:malloc|try_malloc|realloc|strdup|strndup"
    r"|slice_alloc|memdup)\w*\Z|operator new"
)
# Folders of QEMU whose functions make things for others, and never keep them
_MAKERS = Pattern(
    r"(?:util|qobject|qapi|qom|include|hw/core|qemu-\w+|cutils|oslib-\w+|iov|json-\w+|q(?:dict|string|int|list|json)\.)"
    r"|tests/qtest/lib|hw/qdev|hw/irq"
)
_MAKES = Names(
    "virtio_add_queue",  # hw/virtio/virtio.c
    "qemu_sglist_init",  # softmmu/dma-helpers.c
    "pci_dma_sglist_init",
    "usb_packet_init",  # hw/usb/core.c
    "qemu_fopen_channel_*",  # migration/qemu-file-channel.c
    "qemu_file_new_*",
    "channel_get_output_return_path",
    "qemu_file_get_return_path",
    "create_device_tree",  # system/device_tree.c
    "load_device_tree",
    "qemu_find_file",  # system/datadir.c
    "virtqueue_*pop",  # hw/virtio/virtio.c
    "virtqueue_alloc_element",
    "qio_channel_*_new*",  # io/channel-*.c
    "qio_channel_socket_readv",
    "qio_channel_socket_writev",
    "vu_queue_pop",  # subprojects/libvhost-user/libvhost-user.c
    "visit_type_*",  # scripts/qapi/visit.py
    "audio_calloc",  # audio/audio.c
    "*_fw_cfg_init",  # tests/qtest/libqos
    "object_property_get*",
    "property_get_*",
    "pixman_image_*",
)


def makes(name: str) -> bool:
    """Whether a function makes an object for its caller: a constructor, a visitor, code of QEMU's libraries."""
    if ALLOCATORS.match(name) or name in _MAKES or helper_for(name, "crash"):
        return True
    files = {info.file for info in functions.lookup(name)}
    if name.startswith(("qmp_output_", "qmp_input_")):
        return True  # qapi/qmp-*-visitor.c up to 2.8
    if name.startswith(("qmp_", "hmp_")) and not any(file.startswith("tests/") for file in files):
        return False  # commands, wherever they stand
    return any(_MAKERS.match(file) for file in files)


@functools.lru_cache(maxsize=32768)
def helper_for(name: str, question: str) -> str:
    """The family that ``name`` is looked past as, for one of the questions of ``Helper.past``; "" where it is not."""
    if question == "leak":
        return "maker" if makes(name) else ""
    if is_cast(name):
        return "object-model"
    for row in HELPERS:
        if (question in row.past or (question == "cause" and "crash" in row.past)) and name in row.functions:
            return row.name
    return ""


# Functions where threads meet for the BQL as a matter of course: a wait here tells nothing about the waiter.
CONTENTION = Names(
    "prepare_mmio_access",
    "os_host_main_loop_wait",
    "main_loop_wait",
    "kvm_cpu_exec",
    "kvm_cpu_thread_fn",
    "qemu_wait_io_event*", "qemu_process_cpu_events*",
    "qemu_*_wait_io_event",
    "*_cpu_thread_fn",
    "kvm_vcpu_thread_fn",
    "rr_*",
    "cpu_handle_interrupt",
    "cpu_handle_exception",
    "cpu_handle_halt",
    "tcg_cpus_exec",
    "cpu_exec",
    "call_rcu_thread",
    "co_schedule_bh_cb",
    "aio_co_enter",
    "aio_co_wake",
    "main_loop",
    "qemu_main_loop",
    "cpu_exec_loop",
    "kvm_handle_io",
    "cpu_interrupt",
    "do_ld_mmio_beN",
    "do_st_mmio_leN",
    "io_readx",
    "int_ld_mmio*",
    "int_st_mmio*",
    "io_writex",
    "helper_*",
    "address_space_ld*",
    "address_space_st*",
    "flatview_*",
    "hvf_vcpu_exec", "hvf_arch_vcpu_exec",
)
