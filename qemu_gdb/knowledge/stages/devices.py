"""Device models: virtio and its queues, vhost, VFIO, PCI, SCSI, USB, the memory API, QOM and qdev."""

from __future__ import annotations

import re
from typing import Dict, Optional

from ...pattern import Pattern
from ..match import Names
from .rows import Row, View, number_of

# hw/virtio, hw/block, hw/scsi, hw/net...: device by function prefix, the longer wins
VIRTIO: Dict[str, str] = {
    "virtio_blk": "virtio-blk",
    "virtio_scsi": "virtio-scsi",
    "virtio_net": "virtio-net",
    "virtio_serial": "virtio-serial",
    "virtio_gpu": "virtio-gpu",
    "virtio_balloon": "virtio-balloon",
    "virtio_rng": "virtio-rng",
    "virtio_crypto": "virtio-crypto",
    "virtio_input": "virtio-input",
    "virtio_mem": "virtio-mem",
    "virtio_pmem": "virtio-pmem",
    "virtio_iommu": "virtio-iommu",
    "virtio_9p": "virtio-9p",
    "virtio_snd": "virtio-sound",
    "vhost_user_blk": "vhost-user-blk",
    "vhost_scsi": "vhost-scsi",
    "vhost_vsock": "vhost-vsock",
    "vhost_user_fs": "vhost-user-fs",
    "vuf_": "vhost-user-fs",
    "control_out": "virtio-serial",
    "virtio_vga": "virtio-vga",
    "vhost_user_gpu": "vhost-user-gpu",
}


def virtio_device(view: View) -> str:
    """Kind of virtio device whose code is on the stack, "" where it does not show."""
    for name in view.names:
        for prefix, device in VIRTIO.items():
            if name.startswith(prefix):
                return device
    return ""


def _named(view: View) -> str:
    """virtio device with its id, where the facts have it."""
    known = _known_device(view)
    return (
        known
        or virtio_device(view)
        or virtio_device(view.part(0, view.last))
        or virtio_device(view.whole())
        or "virtio device"
    )


def _known_device(view: View) -> str:
    """virtio device that a pointer of the run or of its callers is, by the facts."""
    if not view.facts.objects:
        return ""
    for last in (view.last, min(view.last + 2, len(view.all_names) - 1)):
        here = view.part(view.first, last)
        for text in here.values(None, "vdev", "dev", "d", "opaque", "s", "proxy", "bus", "vq"):
            pointer = number_of(text)
            name = view.facts.objects.get(hex(pointer), "") if pointer else ""
            if name.startswith(("virtio", "vhost")):
                if "-bus" not in name and "-pci " not in name:
                    return name
                kind = virtio_device(here)
                if kind:
                    return f"{kind} {name.split()[-1]}"
    return ""


def queue_number(view: View) -> Optional[int]:
    """Number of the virtqueue at work, None where it is not readable."""
    number = view.number(
        ("virtio_queue_notify", "virtio_queue_notify_vq", "virtio_pci_notify_write", "virtio_queue_set_vector"),
        "n",
        "queue",
        "queue_index",
    )
    return number if number is not None and 0 <= number < 1024 else None


def _queue_name(view: View) -> str:
    if any("_cmd" in n for n in view.names) and any("scsi" in n for n in view.names):
        return "command queue"
    if any("_event" in n for n in view.names) and any("scsi" in n for n in view.names):
        return "event queue"
    if any("handle_ctrl" in n for n in view.names):
        return "control queue"
    if any("_tx" in n for n in view.names):
        return "transmit queue"
    if any("_rx" in n or "_receive" in n for n in view.names):
        return "receive queue"
    return "virtqueue"


def _queue(view: View) -> str:
    device = _named(view)
    number = queue_number(view)
    name = _queue_name(view)
    which = f"{name} {number}" if number is not None else ("a virtqueue" if name == "virtqueue" else f"the {name}")
    if _kicked(view):
        return f"a guest kick (event notifier) reached {device}: handles {which}"
    return f"{device} handles {which}"


def _kicked(view: View) -> bool:
    """Whether the queue runs because of its event notifier, not of a vCPU's exit."""
    return any("host_notifier" in n or "event_notifier" in n for n in view.names) or view.caller in (
        "aio_dispatch_handler",
        "aio_dispatch_ready_handlers",
        "aio_dispatch_handlers",
        "aio_dispatch",
        "aio_poll",
        "run_poll_handlers_once",
        "run_poll_handlers",
        "try_poll_mode",
        "aio_poll_ready",
    )


def _queue_short(view: View) -> str:
    number = queue_number(view)
    name = _queue_name(view) + (f" {number}" if number is not None else "")
    return f"{_named(view)} kick ({name})" if _kicked(view) else _queue(view)


def _dataplane(view: View) -> str:
    device = _named(view)
    kind = "dataplane" if any("dataplane" in n or "data_plane" in n for n in view.names) else "ioeventfd"
    if any("stop" in n for n in view.names):
        return f"stops the {device} {kind}"
    if any("defer_to_dataplane" in n or "start" in n for n in view.names):
        return f"starts the {device} {kind}"
    return f"switches the {device} ioeventfd"


def _notifiers(view: View) -> str:
    # hw/virtio/virtio-pci.c: masking and polling an MSI-X vector moves the guest notifier
    if any("guest_notifier" in n or "kvm_virtio_pci_v" in n or "_vector_" in n for n in view.names):
        vector = view.number(Names("kvm_virtio_pci_*"), "vector")
        number = view.number(Names("kvm_virtio_pci_*"), "queue_no")
        off = any("release" in n for n in view.names)
        queue = f" for queue {number}" if number is not None and 0 <= number < 2048 else ""
        vector_text = f", vector {vector}" if vector is not None and 0 <= vector < 4096 else ""
        return f"{'removes' if off else 'sets up'} guest notifiers and KVM irq routes{queue}{vector_text}"
    number = view.number(None, "n")
    queue = f" of queue {number}" if number is not None and 0 <= number < 2048 else ""
    assign = view.raw(None, "assign") or ""
    verb = "assigns" if assign.startswith(("true", "1")) else "removes" if assign.startswith(("false", "0")) else ""
    if not verb:
        verb = "removes" if any("cleanup" in n for n in view.names) else "assigns or removes"
    return f"{verb} the host notifier{queue}"


_STATUS_BITS = (
    (4, "DRIVER_OK"),
    (0x80, "FAILED"),
    (0x40, "NEEDS_RESET"),
    (8, "FEATURES_OK"),
    (2, "DRIVER"),
    (1, "ACKNOWLEDGE"),
)


def _status(view: View) -> str:
    device = _named(view)
    value = view.number(("virtio_set_status", "virtio_net_set_status"), "val", "status")
    if value is None:
        written = view.number(("virtio_ioport_write", "virtio_pci_common_write", "virtio_mmio_write"), "val", "value")
        offset = view.number(("virtio_ioport_write", "virtio_pci_common_write", "virtio_mmio_write"), "addr", "offset")
        value = written if offset in (18, 20, 0x70) else None
    if value is None:
        if any(n.endswith("_reset") for n in view.names):
            return f"resets {device}"
        return f"sets the device status of {device}"
    value &= 0xFF
    if value == 0:
        return f"resets {device} (device status 0)"
    bits = [name for bit, name in _STATUS_BITS if value & bit]
    return (
        f"sets device status {value:#x} ({', '.join(bits[:3])}) on {device}"
        if bits
        else f"sets device status {value:#x} on {device}"
    )


def _transport(view: View) -> str:
    offset = view.number(
        ("virtio_ioport_write", "virtio_ioport_read", "virtio_pci_config_write", "virtio_pci_config_read"), "addr"
    )
    if offset == 18 and any("write" in n for n in view.names):
        return _status(view)
    common = view.number(("virtio_pci_common_write",), "addr")
    if common == 20:
        return _status(view)
    if any("notify" in n for n in view.names):
        return "takes the guest's queue notification"
    return "serves the guest's access to the virtio registers"


def _vmstate(view: View) -> str:
    state = view.enumerator(None, "state") or ""
    running = view.raw(None, "running")
    name = state.replace("RUN_STATE_", "").lower().replace("_", "-")
    starts = running is not None and running.startswith(("true", "1"))
    if running is None:
        if any(n in ("vm_start", "vm_prepare_start", "vm_resume") for n in view.outer):
            starts = True
        elif not any(n in ("vm_stop", "do_vm_stop", "vm_stop_force_state", "vm_shutdown") for n in view.outer):
            return "tells devices of the VM's run state"
    return f"tells devices that the VM {'runs' if starts else 'stops'}" + (f" ({name})" if name else "")


def run_state(view: View) -> str:
    """QAPI name of the run state that a stop passes down, "" where it is not readable."""
    state = (
        view.enumerator(
            ("vm_stop", "do_vm_stop", "vm_stop_force_state", "vm_state_notify", "migration_stop_vm"), "state"
        )
        or ""
    )
    return state.replace("RUN_STATE_", "").lower().replace("_", "-")


def _vm_stop(view: View) -> str:
    name = run_state(view)
    if any(n in ("vm_start", "vm_prepare_start", "vm_resume") for n in view.names):
        return "starts the VM"
    if any(n == "vm_shutdown" for n in view.names):
        return "stops the VM for shutdown"
    return f"stops the VM (run state {name})" if name else "stops the VM"


# system/memory.c: functions that change the map; the others ask
_CHANGES_MEMORY = Pattern(
    r"_(?:init|do_init|add|del|set|update|reset|clear|register|unregister|resize|render|generate|commit|readd)(?:_|$)"
)


def _memory(view: View) -> str:
    names = view.names
    if any("ioeventfd" in n or "eventfd" in n for n in names):
        verb = "removes" if any("del" in n for n in names) else "adds"
        return f"{verb} an ioeventfd of a memory region"
    if any("flatview_destroy" in n or "phys_section" in n or "dispatch_free" in n for n in names):
        return "frees an old view of guest memory"
    if any(re.search(r"(?:^|_)log(?:_|$)|global_dirty_log|dirty", n) for n in names):
        return "changes or reads dirty logging of guest memory"
    if any("transaction_commit" in n or "topology" in n or "begin" in n for n in names):
        return "commits a change of the memory map"
    if any("iommu" in n and "notif" in n for n in names):
        return "notifies of an IOMMU mapping"
    if any("finalize" in n or "destroy" in n or "unref" in n for n in names):
        return "frees a memory region or address space"
    if any("iommu_replay" in n for n in names):
        return "tells the mappings of an IOMMU again"
    if all("translate" in n or "lookup" in n or "get_iommu" in n or n == "phys_page_find" for n in names if n):
        return "looks up a guest-physical address"
    if "memory_listener_register" in names or "memory_listener_unregister" in names:
        return "adds or removes a listener of memory map changes"
    if not any(_CHANGES_MEMORY.search(n) for n in names):
        return f"memory API: {view.outermost}"
    region = view.object(None, "mr", "subregion")
    return f"changes memory region {region}" if region else "changes a memory region"


def _qom(view: View) -> str:
    names = view.names
    prop = view.string(
        ("object_property_set", "object_property_set_bool", "object_property_set_qobject", "object_property_get"),
        "name",
    )
    if any("finalize" in n or "unref" in n or "unparent" in n or "deinit" in n or "del_all" in n for n in names):
        return "frees a QOM object"
    if any("cast" in n or n == "object_get_class" for n in names):
        return "casts a QOM object"
    if prop:
        return f"sets the QOM property {prop}"
    if any("property" in n for n in names):
        adds = all("_add" in n for n in names if "property" in n)
        return "adds a QOM property" if adds else "sets or reads a QOM property"
    if any(n.startswith("type_initialize") for n in names):
        return "initialises a QOM class"
    if any("init" in n or n.startswith("object_new") for n in names):
        return "creates a QOM object"
    return f"QOM: {view.outermost}"


def _qdev(view: View) -> str:
    names = view.names
    device = view.object(None, "dev", "d", "qdev")
    which = f" {device}" if device else " a device"
    if any(n.endswith("_class_init") or n.startswith("device_class_") for n in names):
        return f"device: {view.outermost}"
    if any("unplug" in n and "blocker" not in n and "allowed" not in n for n in names):
        return f"unplugs{which}"
    if any("unrealize" in n or "unparent" in n for n in names):
        return f"unrealizes{which}"
    if any("reset" in n for n in names):
        return f"resets{which}"
    if any("print" in n for n in names):
        return "prints the device tree"
    if any(n in ("qdev_new", "qdev_create", "qdev_try_new") for n in names):
        return "creates a device"
    if any("device_add" in n or "device_init_func" in n or "cli_devices" in n for n in names):
        driver = view.string(("qdev_device_add", "qdev_device_add_from_qdict"), "driver")
        return f"creates device {driver}" if driver else "creates a device"
    value = view.raw(("device_set_realized",), "value")
    if any("realize" in n for n in names):
        return f"unrealizes{which}" if value and value.startswith(("false", "0")) else f"realizes{which}"
    return f"works on{which}" if device else f"device: {view.outermost}"


def _vhost_user(view: View) -> str:
    for name in view.names:
        if name in ("slave_read", "backend_read", "vhost_backend_handle_iotlb_msg", "vhost_device_iotlb_miss"):
            return "serves a message of the vhost backend"
        if name == "vhost_user_write":
            return "sends a message to the vhost-user backend"
        if name == "vhost_user_read_cb":
            return "reads the vhost-user backend's answer"
        if "read" in name or "reply" in name:
            return "waits for the vhost-user backend's answer"
    return "asks the vhost-user backend"


def _usb(view: View) -> str:
    if any(n.startswith(("xhci", "ehci", "uhci", "ohci")) for n in view.names):
        controller = next(n.split("_")[0].upper() for n in view.names if n.startswith(("xhci", "ehci", "uhci", "ohci")))
        # hw/usb/core.c, hcd-*.c: usb_port_reset, usb_device_reset; a reset of the machine comes there, too
        if any("port_reset" in n or "device_reset" in n for n in view.names):
            return f"resets a USB device ({controller.replace('XHCI', 'xHCI')})"
        return f"{controller.replace('XHCI', 'xHCI')} controller works on transfers"
    if any("packet" in n or "handle" in n or "complete" in n for n in view.names):
        return "handles a USB packet"
    return f"USB: {view.outermost}"


def _usb_device(view: View) -> str:
    if any(n.startswith("usb_mtp") for n in view.names):
        return "usb-mtp serves a directory of the host"
    if any(n.startswith("usbredir") for n in view.names):
        return "USB redirection"
    if any(n.startswith(("ccid_card", "emulated_", "passthru_")) for n in view.names):
        return "smartcard reader"
    return "passes a host USB device through"


# hw/ide/core.c, atapi.c, ahci.c: from the command to the end of its transfer
_IDE_COMMAND = Names(
    "ide_exec_cmd", "cmd_*dma*", "ide_sector_*", "ide_dma_*", "ide_start_dma", "ide_transfer_*", "ide_flush_*",
    "ide_atapi_*", "ide_cmd_*", "ide_buffered_*", "ide_issue_trim*", "ide_trim_*", "ide_set_inactive",
    "ide_handle_rw_error", "handle_cmd", "handle_reg_h2d_fis", "ahci_start_*", "ahci_commit_*", "ahci_dma_*",
    "ahci_pio_*", "ahci_populate_*", "ahci_cmd_done", "ahci_check_cmd*", "ahci_exec*", "process_ncq_command",
    "execute_ncq_command", "ncq_*",
)  # fmt: skip


ROWS = (
    # hw/virtio/virtio.c
    Row(
        "virtqueue handler",
        Names(
            "virtio_queue_notify*",
            "virtio_queue_host_notifier_*",
            "virtio_blk_handle_*",
            "virtio_blk_data_plane_handle_output",
            "virtio_scsi_handle_*",
            "virtio_scsi_data_plane_handle_*",
            "virtio_net_handle_*",
            "virtio_net_tx_*",
            "virtio_net_flush_tx",
            "virtio_gpu_handle_*",
            "virtio_gpu_process_*",
            "virtio_serial_handle_*",
            "virtio_balloon_handle_*",
            "virtio_mmio_notify*",
            "virtio_rng_handle*",
            "virtio_crypto_handle*",
            "virtio_queue_notify_aio_vq",
            "virtio_scsi_pop_req",
            "virtqueue_pop",
            "virtqueue_*",
            "virtio_blk_get_request",
            "handle_output",
            "virtio_9p_handle*",
            "handle_9p_output",
            "virtio_queue_*read",
            "virtio_snd_handle*",
            "virtio_mem_handle*",
            "virtio_*_handle_*",
        ),
        _queue,
        short=_queue_short,
        subsystem="virtio",
        weight=7,
        trigger=True,
        reads=("virtio_queue_notify", "virtio_queue_notify_vq"),
    ),
    # hw/virtio/virtio-bus.c, hw/virtio/virtio-pci.c, hw/block/virtio-blk.c (10.2)
    Row(
        "virtio start/stop",
        Names(
            "virtio_bus_start_ioeventfd",
            "virtio_bus_stop_ioeventfd",
            "virtio_device_start_ioeventfd*",
            "virtio_device_stop_ioeventfd*",
            "virtio_pci_start_ioeventfd",
            "virtio_pci_stop_ioeventfd",
            "virtio_blk_data_plane_start",
            "virtio_blk_data_plane_stop",
            "virtio_blk_start_ioeventfd",
            "virtio_blk_stop_ioeventfd",
            "virtio_scsi_dataplane_start",
            "virtio_scsi_dataplane_stop",
            "virtio_scsi_defer_to_dataplane",
            "virtio_scsi_data_plane_*",
            "virtio_*_stop_bh",
            "virtio_ccw_start_ioeventfd",
            "virtio_device_grab_ioeventfd",
            "virtio_bus_grab_ioeventfd",
            "virtio_scsi_dataplane_*",
            "virtio_blk_data_plane_*",
            "virtio_bus_release_ioeventfd",
            "virtio_mmio_*_ioeventfd",
            "virtio_*dataplane*",
            "virtio_blk_ioeventfd_*",
        ),
        _dataplane,
        subsystem="virtio",
        weight=8,
    ),
    # hw/virtio/virtio-pci.c, hw/virtio/virtio-bus.c, hw/scsi/virtio-scsi-dataplane.c (10.2)
    Row(
        "virtio notifiers",
        Names(
            "virtio_pci_set_guest_notifiers",
            "virtio_pci_set_guest_notifier",
            "kvm_virtio_pci_*",
            "virtio_bus_set_host_notifier",
            "virtio_pci_ioeventfd_assign",
            "virtio_pci_set_host_notifier*",
            "virtio_scsi_set_host_notifier",
            "virtio_scsi_vring_init",
            "virtio_bus_cleanup_host_notifier",
            "virtio_pci_vector_*",
            "virtio_pci_vq_vector_*",
            "virtio_pci_*_vector*",
            "virtio_mmio_set_*",
            "virtio_ccw_*notifier*",
            "virtio_bus_set_*",
        ),
        _notifiers,
        subsystem="virtio",
        weight=5,
    ),
    # hw/virtio/virtio.c, hw/net/virtio-net.c, hw/virtio/virtio-pci.c (10.2)
    Row(
        "virtio status",
        Names(
            "virtio_set_status",
            "virtio_net_set_status",
            "virtio_*_set_status",
            "virtio_reset",
            "virtio_pci_reset",
            "virtio_bus_reset",
            "virtio_blk_reset",
            "virtio_*_reset",
            "virtio_bus_device_*",
        ),
        _status,
        subsystem="virtio",
        weight=6,
        reads=("virtio_set_status",),
    ),
    # hw/virtio/virtio-pci.c, hw/virtio/virtio-mmio.c (10.2); before: hw/virtio-pci.c
    Row(
        "virtio registers",
        Names(
            "virtio_ioport_write",
            "virtio_ioport_read",
            "virtio_pci_config_write",
            "virtio_pci_config_read",
            "virtio_pci_common_write",
            "virtio_pci_common_read",
            "virtio_pci_notify_write*",
            "virtio_pci_isr_*",
            "virtio_pci_device_*",
            "virtio_mmio_write",
            "virtio_mmio_read",
            "virtio_write_config",
            "virtio_config_*",
            "virtio_*_set_config",
            "virtio_*_get_config",
        ),
        _transport,
        subsystem="virtio",
        weight=5,
    ),
    # system/runstate.c, hw/virtio/virtio.c, hw/i386/kvm/clock.c (10.2); before: softmmu/runstate.c, softmmu/vl.c
    Row(
        "VM state change",
        Names(
            "vm_state_notify",
            "virtio_vmstate_change",
            "*_vm_state_change*",
            "*_vmstate_change*",
            "vfio_vmstate_change*",
            "kvmclock_vm_state_change",
            "*_change_state_handler",
        ),
        _vmstate,
        weight=3,
        subsystem="Main loop",
        reads=("vm_state_notify",),
    ),
    # system/cpus.c (10.2); before: cpus.c, softmmu/cpus.c
    Row(
        "VM stop or start",
        Names(
            "vm_stop",
            "do_vm_stop",
            "vm_stop_force_state",
            "vm_start",
            "vm_prepare_start",
            "vm_shutdown",
            "vm_resume",
            "cpu_stop_current",
        ),
        _vm_stop,
        subsystem="Main loop",
        weight=7,
        reads=("vm_stop", "do_vm_stop"),
    ),
    # hw/block/virtio-blk.c
    Row(
        "virtio-blk request",
        Names("virtio_blk_*"),
        lambda v: (
            f"{_named(v)} works on requests of the guest"
            if any("req" in n or "submit" in n or "complete" in n or "process" in n for n in v.names)
            else f"{_named(v)}: {v.outermost}"
        ),
        subsystem="virtio-blk",
        weight=4,
        order=-2,
    ),
    # hw/virtio/
    Row(
        "virtio device",
        Names("virtio_*", "vring_*"),
        lambda v: (
            f"{_named(v)} completes a request"
            if any("complete" in n for n in v.names)
            else f"{_named(v)}: {v.outermost}"
        ),
        weight=4,
        order=-4,
    ),
    # hw/virtio/vhost*.c
    Row(
        "vhost",
        Names("vhost_*", "vhost_user_*"),
        lambda v: (
            "waits for an answer of the vhost-user backend"
            if any("read" in n and "user" in n for n in v.names)
            else "writes to the vhost-user backend"
            if any(n == "vhost_user_write" for n in v.names)
            else "switches the vhost backend's dirty logging"
            if any("log_global" in n for n in v.names)
            else "stops the vhost backend"
            if any("stop" in n for n in v.names)
            else "starts the vhost backend"
            if any("start" in n for n in v.names)
            else "asks the vhost backend"
            if any("get_" in n or "set_" in n for n in v.names)
            else f"vhost: {v.outermost}"
        ),
        subsystem="vhost",
        weight=6,
        order=1,
    ),
    # hw/virtio/vhost-user.c, hw/virtio/vhost-backend.c, hw/virtio/vhost.c (10.2); before: hw/virtio/vhost-user.c
    Row(
        "vhost-user message",
        Names(
            "vhost_user_write",
            "vhost_user_read*",
            "vhost_user_get_*",
            "process_message_reply",
            "slave_read",
            "backend_read",
            "vhost_user_set_*",
            "vhost_backend_handle_iotlb_msg",
            "vhost_device_iotlb_miss",
        ),
        _vhost_user,
        subsystem="vhost",
        weight=7,
        order=2,
    ),
    # hw/vfio
    Row(
        "VFIO",
        Names("vfio_*", "iommufd_*"),
        lambda v: (
            "realizes an assigned device"
            if any("realize" in n for n in v.names)
            else "resets an assigned device"
            if any("reset" in n for n in v.names)
            else "maps guest memory for an assigned device's DMA"
            if any("dma_map" in n or "region_add" in n for n in v.names)
            else "unmaps guest memory of an assigned device"
            if any("dma_unmap" in n or "region_del" in n for n in v.names)
            else "migrates an assigned device's state"
            if any("save" in n or "load" in n or "migration" in n for n in v.names)
            else "passes a guest access to the assigned device"
            if any("region_read" in n or "region_write" in n or "config" in n for n in v.names)
            else f"VFIO: {v.innermost}"
        ),
        subsystem="VFIO",
        weight=6,
    ),
    # system/memory.c, softmmu/memory.c, memory.c
    Row(
        "memory API",
        Names(
            "memory_region_*",
            "memory_global_*",
            "memory_listener_*",
            "address_space_update_*",
            "address_space_set_flatview",
            "address_space_add_del_ioeventfds",
            "address_space_init",
            "address_space_destroy",
            "address_space_dispatch_*",
            "address_space_map*",
            "flatview_*",
            "phys_section*",
            "phys_page_*",
            "address_space_remove_*",
            "address_space_*",
            "do_address_space_*",
            "flatviews_*",
            "tcg_commit*",
        ),
        _memory,
        subsystem="Memory API",
        weight=5,
        order=-2,
    ),
    # qom/object.c, hw/core/qdev*.c, system/qdev-monitor.c
    Row(
        "QOM",
        Names(
            "object_*",
            "property_set_*",
            "property_get_*",
            "user_creatable_*",
            "type_initialize*",
            "qom_*",
            "container_get",
        ),
        _qom,
        subsystem="QOM",
        weight=2,
        order=-1,
    ),
    # hw/pci/pci.c, system/vl.c, hw/core/qdev.c (10.2); before: softmmu/vl.c, hw/pci.c
    Row(
        "device life cycle",
        Names(
            "device_set_realized",
            "device_*",
            "qdev_*",
            "qbus_*",
            "bus_*",
            "pci_qdev_realize",
            "sysbus_realize*",
            "pci_qdev_unrealize",
            "hotplug_handler_*",
            "qemu_create_cli_devices",
            "device_init_func",
            "resettable_*",
            "pcibus_reset",
            "pci_device_reset",
            "pci_device_*",
            "acpi_pcihp_*",
            "pcie_cap_slot_*",
            "pci_bus_*",
            "pci_for_each_*",
        ),
        _qdev,
        weight=5,
        order=-3,
        reads=("device_set_realized", "qdev_device_add", "qdev_device_add_from_qdict"),
    ),
    # realize and unrealize functions of device models, hw/
    Row(
        "device life cycle",
        Names("*_device_realize", "*_device_unrealize", "*_realize", "*_unrealize", "*_realizefn", "*_unrealizefn"),
        _qdev,
        weight=5,
        order=-1,
    ),
    # hw/pci/
    Row(
        "PCI",
        Names("pci_*", "pcie_*", "msix_*", "msi_*", "shpc_*"),
        lambda v: (
            "writes a PCI device's configuration space"
            if any("config_write" in n or "write_config" in n for n in v.names)
            else "reads a PCI device's configuration space"
            if any("config_read" in n or "read_config" in n for n in v.names)
            else "changes MSI-X vectors"
            if any("msix" in n for n in v.names)
            else "remaps a PCI device's BARs"
            if any("update_mappings" in n for n in v.names)
            else f"PCI: {v.innermost}"
        ),
        subsystem="PCI",
        weight=3,
        order=-2,
    ),
    # hw/ide/ahci.c (10.2)
    Row(
        "bus-master IDE",
        Names("bmdma_*", "ide_*", "ahci_*", "handle_cmd", "handle_reg_h2d_fis", "piix_ide_*", "cmd_*dma*"),
        lambda v: (
            "starts or stops the IDE bus master's DMA"
            if any("bmdma" in n and not n.endswith(("_init", "_setup_bar")) for n in v.names)
            else "sets up the IDE bus master"
            if any(n in ("bmdma_init", "bmdma_setup_bar") for n in v.names)
            else "the AHCI controller executes a command"
            if any("ahci" in n for n in v.names) and any(n in _IDE_COMMAND for n in v.names)
            else "the IDE disk executes a command"
            if any(n in _IDE_COMMAND for n in v.names)
            else f"IDE: {v.outermost}"
        ),
        subsystem="IDE",
        weight=5,
        order=-1,
    ),
    # hw/usb/dev-mtp.c, host-libusb.c, host-legacy.c, redirect.c, ccid-card-*.c: what a controller hands packets to
    Row(
        "USB device",
        Names("usb_mtp_*", "usb_host_*", "usbredir*", "libusb_*", "ccid_card_*", "emulated_*", "passthru_*"),
        _usb_device,
        subsystem="USB",
        weight=6,
    ),
    # hw/usb/
    Row(
        "USB",
        Names("usb_*", "xhci_*", "ehci_*", "uhci_*", "ohci_*", "ccid_*"),
        _usb,
        subsystem="USB",
        weight=6,
        order=-1,
    ),
    # hw/9pfs/coth.c, hw/9pfs/9p.c (10.2); before: hw/9pfs/virtio-9p-coth.c
    Row(
        "9p server",
        Names("v9fs_*", "coroutine_enter_func", "local_*_at", "do_readdir*", "pdu_submit"),
        lambda v: f"9p server: {re.sub('^v9fs_(co_)?', '', v.outermost)}",
        subsystem="virtio-9p",
        weight=6,
        order=1,
    ),
)
