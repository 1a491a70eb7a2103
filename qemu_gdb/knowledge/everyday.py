"""Functions of everyday paths: on every stack of their kind, whatever is wrong, so they tell no known problem."""

from __future__ import annotations

from .match import Names

# Checked with QEMU 5.2 to 10.2; older names as of the index of known problems.
EVERYDAY = Names(
    # hw/virtio: the way of a kick, a reset or a status write to any device
    "virtio_reset", "virtio_bus_reset", "virtio_pci_reset", "virtio_pci_bus_reset*", "virtio_mmio_*reset*",
    "virtio_set_status", "virtio_queue_notify*", "virtio_queue_host_notifier_*", "virtio_queue_guest_notifier_*",
    "virtio_ioport_write", "virtio_pci_config_write", "virtio_pci_config_read", "virtio_pci_common_write",
    "virtio_pci_notify_write*", "virtio_mmio_write", "virtio_bus_start_ioeventfd", "virtio_bus_stop_ioeventfd",
    "virtio_pci_start_ioeventfd", "virtio_pci_stop_ioeventfd", "virtio_vmstate_change", "virtio_notify*",
    "virtio_blk_handle_output*", "virtio_blk_handle_vq", "virtio_scsi_handle_cmd*", "virtio_scsi_data_plane_handle_*",
    "virtio_blk_data_plane_handle_*", "virtio_device_realize", "virtio_device_unrealize",
    # chardev, io: a write to or a read from any backend
    "socket_connect", "inet_connect*", "unix_connect*", "qio_task_thread_worker",
    "io_channel_send*", "qemu_chr_write*", "qemu_chr_fe_write*", "tcp_chr_write", "fd_chr_write", "pty_chr_write",
    "char_pty_chr_write", "tcp_chr_recv", "qio_channel_write*", "qio_channel_read*", "qio_channel_socket_*",
    # accel/tcg: any translation, linux-user's end by a signal
    "translator_loop", "gen_intermediate_code*", "tb_gen_code", "tb_find*", "tb_lookup*", "setjmp_gen_code",
    "tcg_gen_code*", "dump_core_and_abort", "force_sig*",
    # block: any drain, flush, close or request, and its worker
    "qemu_fdatasync", "handle_aiocb_*", "aio_worker", "bdrv_flush*", "blk_flush*", "bdrv_co_flush*", "blk_co_flush*",
    "bdrv_close", "bdrv_close_all", "bdrv_delete", "bdrv_unref*", "blk_unref", "blk_delete", "blk_remove_bs",
    "bdrv_drain*", "bdrv_do_drained_*", "blk_drain*", "bdrv_co_preadv*", "bdrv_co_pwritev*",
    "bdrv_co_readv*", "bdrv_co_writev*", "blk_co_preadv*", "blk_co_pwritev*", "blk_co_do_*", "blk_aio_*_entry",
    "blk_aio_preadv*", "blk_aio_pwritev*", "bdrv_aligned_*", "bdrv_driver_*", "raw_co_*", "blk_read_entry",
    "blk_write_entry", "bdrv_root_unref_child", "bdrv_detach_child",
    # hw/vfio: the start of any assigned device
    "vfio_listener_region_add", "listener_add_address_space", "memory_listener_register", "vfio_container_connect",
    "vfio_connect_container", "vfio_group_get", "vfio_get_group", "vfio_attach_device*", "vfio_device_attach*",
    "vfio_realize", "vfio_pci_realize", "vfio_dma_map", "vfio_legacy_dma_map",
    # system: the way into the stop of the VM and of the process
    "do_vm_stop", "vm_stop", "vm_shutdown", "qemu_cleanup", "vm_state_notify", "qmp_stop", "qmp_quit", "qmp_cont",
)  # fmt: skip
