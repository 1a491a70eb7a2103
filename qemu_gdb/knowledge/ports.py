"""Well-known PC I/O ports and device registers: what a guest access touches, by port or by handler and offset."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

# A port range: first, last, and how to name a port in it; the name may differ by direction: (read, write).
_Name = Union[str, Tuple[str, str]]


class Ports(NamedTuple):
    """A device's range of PC I/O ports."""

    first: int
    last: int
    device: str
    registers: Mapping[int, _Name]  # by offset from ``first``


def _directed(name: _Name, write: Optional[bool]) -> str:
    if isinstance(name, str):
        return name
    if write is None:
        return "/".join(dict.fromkeys(name))
    return name[1] if write else name[0]


# 16550A, hw/char/serial.c
_UART: Dict[int, _Name] = {
    0: ("receive buffer", "transmit holding register"),
    1: "interrupt enable",
    2: ("interrupt identification", "FIFO control"),
    3: "line control",
    4: "modem control",
    5: "line status",
    6: "modem status",
    7: "scratch",
}
# i8259, hw/intc/i8259.c
_PIC: Dict[int, _Name] = {0: "command", 1: "interrupt mask"}
# ATA task file, hw/ide/core.c
_ATA: Dict[int, _Name] = {
    0: "data",
    1: ("error", "features"),
    2: "sector count",
    3: "LBA low",
    4: "LBA mid",
    5: "LBA high",
    6: "device/head",
    7: ("status", "command"),
}
# hw/timer/i8254.c
_PIT: Dict[int, _Name] = {0: "channel 0 count", 1: "channel 1 count", 2: "channel 2 count", 3: "mode"}
# hw/block/fdc.c
_FDC: Dict[int, _Name] = {
    0: "status A",
    1: "status B",
    2: "digital output",
    3: "tape drive",
    4: ("main status", "data rate select"),
    5: "data FIFO",
    7: ("digital input", "configuration control"),
}
# hw/dma/i8257.c
_DMA8: Dict[int, _Name] = {
    **{i: f"channel {i // 2} {'count' if i & 1 else 'address'}" for i in range(8)},
    8: ("status", "command"),
    9: "request",
    10: "single mask",
    11: "mode",
    12: "clear flip-flop",
    13: "master clear",
    14: "clear mask",
    15: "all masks",
}
# hw/char/parallel.c
_LPT: Dict[int, _Name] = {0: "data", 1: "status", 2: "control"}
# hw/acpi/core.c: the fixed blocks; PIIX4 and ICH9 firmware put PMBASE at 0x600, older SeaBIOS at 0xb000
_ACPI: Dict[int, _Name] = {0: "PM1 status", 2: "PM1 enable", 4: "PM1 control", 8: "PM timer"}

_PORTS: Tuple[Ports, ...] = (
    Ports(0x00, 0x0F, "8237 DMA 0-3", _DMA8),
    Ports(0x20, 0x21, "PIC master", _PIC),
    Ports(0x40, 0x43, "PIT", _PIT),
    Ports(0x60, 0x60, "i8042 keyboard controller", {0: "data"}),
    Ports(0x61, 0x61, "PC speaker and NMI status", {}),
    Ports(0x64, 0x64, "i8042 keyboard controller", {0: ("status", "command")}),
    Ports(0x70, 0x71, "RTC/CMOS", {0: "index", 1: "data"}),
    Ports(0x80, 0x80, "POST code", {}),
    Ports(0x81, 0x8F, "DMA page", {}),
    Ports(0x92, 0x92, "port 92 (A20 and reset)", {}),
    Ports(0xA0, 0xA1, "PIC slave", _PIC),
    Ports(0xB2, 0xB3, "APM", {0: "control (SMI command)", 1: "status"}),
    Ports(0xC0, 0xDF, "8237 DMA 4-7", {}),
    Ports(0xF0, 0xF1, "FPU error", {}),
    Ports(0x170, 0x177, "IDE secondary", _ATA),
    Ports(0x1CE, 0x1D0, "Bochs VBE", {0: "index", 1: "data", 2: "data"}),
    Ports(0x1F0, 0x1F7, "IDE primary", _ATA),
    Ports(0x2E8, 0x2EF, "serial COM4", _UART),
    Ports(0x2F8, 0x2FF, "serial COM2", _UART),
    Ports(0x376, 0x376, "IDE secondary", {0: ("alternate status", "device control")}),
    Ports(0x378, 0x37A, "parallel LPT1", _LPT),
    Ports(0x3B0, 0x3BF, "VGA (mono)", {}),
    Ports(
        0x3C0,
        0x3DF,
        "VGA",
        {
            0x0: "attribute index/data",
            0x1: "attribute data",
            0x2: ("input status 0", "miscellaneous output"),
            0x4: "sequencer index",
            0x5: "sequencer data",
            0x6: "DAC mask",
            0x7: ("DAC state", "DAC read index"),
            0x8: "DAC write index",
            0x9: "DAC data",
            0xC: "miscellaneous output",
            0xE: "graphics index",
            0xF: "graphics data",
            0x14: "CRTC index",
            0x15: "CRTC data",
            0x1A: ("input status 1", "feature control"),
        },
    ),
    Ports(0x3E8, 0x3EF, "serial COM3", _UART),
    Ports(0x3F6, 0x3F6, "IDE primary", {0: ("alternate status", "device control")}),
    Ports(0x3F0, 0x3F7, "floppy", _FDC),
    Ports(0x3F8, 0x3FF, "serial COM1", _UART),
    Ports(0x402, 0x402, "firmware debug console", {}),
    Ports(0x4D0, 0x4D1, "PIC edge/level control", {}),
    Ports(0x505, 0x506, "pvpanic", {0: "event"}),
    Ports(0x510, 0x511, "fw_cfg", {0: "selector", 1: "data"}),
    Ports(0x514, 0x51B, "fw_cfg", {0: "DMA address"}),
    Ports(0x600, 0x60B, "ACPI PM", _ACPI),
    Ports(0xA00, 0xA17, "ACPI memory hotplug", {}),
    Ports(0xAE00, 0xAE17, "ACPI PCI hotplug", {}),
    Ports(0xAF00, 0xAF1F, "ACPI CPU hotplug", {}),
    Ports(0xAFE0, 0xAFE3, "ACPI GPE0", {}),
    Ports(0xB000, 0xB00B, "ACPI PM", _ACPI),
    Ports(0xCC0, 0xCD7, "ACPI PCI hotplug", {}),
    Ports(0xCD8, 0xCF7, "ACPI CPU hotplug", {}),
    Ports(0xCF9, 0xCF9, "reset control", {}),
    Ports(0xCF8, 0xCFB, "PCI configuration", {0: "address"}),
    Ports(0xCFC, 0xCFF, "PCI configuration", {0: "data", 1: "data", 2: "data", 3: "data"}),
    Ports(0x5658, 0x5658, "VMware backdoor", {}),
)


def port_register(port: int, write: Optional[bool] = None) -> str:
    """Device and register at a PC I/O port, "" where the port has no fixed meaning."""
    for ports in _PORTS:
        if ports.first <= port <= ports.last:
            name = ports.registers.get(port - ports.first)
            return f"{ports.device} {_directed(name, write)}" if name else ports.device
    return ""


# The legacy virtio header in BAR 0: include/standard-headers/linux/virtio_pci.h, hw/virtio/virtio-pci.c
_VIRTIO_LEGACY: Dict[int, _Name] = {
    0x00: "device features",
    0x04: "guest features",
    0x08: "queue address",
    0x0C: "queue size",
    0x0E: "queue select",
    0x10: "queue notify",
    0x12: "device status",
    0x13: "interrupt status",
    0x14: "configuration MSI-X vector",
    0x16: "queue MSI-X vector",
}


def virtio_legacy_register(offset: int) -> str:
    """Register at an offset in a legacy virtio-pci BAR (with MSI-X enabled from 0x14)."""
    name = _VIRTIO_LEGACY.get(offset)
    if isinstance(name, str):
        return name
    return "device configuration" if offset >= 0x14 else ""


# struct virtio_pci_common_cfg, hw/virtio/virtio-pci.c virtio_pci_common_write
_VIRTIO_COMMON: Dict[int, _Name] = {
    0: "device feature select",
    4: "device features",
    8: "driver feature select",
    12: "driver features",
    16: "configuration MSI-X vector",
    18: "number of queues",
    20: "device status",
    21: "configuration generation",
    22: "queue select",
    24: "queue size",
    26: "queue MSI-X vector",
    28: "queue enable",
    30: "queue notify offset",
    32: "queue descriptor address, low",
    36: "queue descriptor address, high",
    40: "queue driver (avail) address, low",
    44: "queue driver (avail) address, high",
    48: "queue device (used) address, low",
    52: "queue device (used) address, high",
    56: "queue notify data",
    58: "queue reset",
}
# include/standard-headers/linux/virtio_mmio.h
_VIRTIO_MMIO: Dict[int, _Name] = {
    0x000: "magic value",
    0x004: "version",
    0x008: "device ID",
    0x00C: "vendor ID",
    0x010: "device features",
    0x014: "device features select",
    0x020: "driver features",
    0x024: "driver features select",
    0x028: "guest page size",
    0x030: "queue select",
    0x034: "queue size, maximum",
    0x038: "queue size",
    0x03C: "queue alignment",
    0x040: "queue PFN",
    0x044: "queue ready",
    0x050: "queue notify",
    0x060: "interrupt status",
    0x064: "interrupt acknowledge",
    0x070: "device status",
    0x080: "queue descriptor address, low",
    0x084: "queue descriptor address, high",
    0x090: "queue driver (avail) address, low",
    0x094: "queue driver (avail) address, high",
    0x0A0: "queue device (used) address, low",
    0x0A4: "queue device (used) address, high",
    0x0FC: "configuration generation",
}
# hw/intc/apic.c apic_mem_read: bits 4 to 11 of the offset
_LAPIC: Dict[int, str] = {
    0x02: "ID",
    0x03: "version",
    0x08: "task priority",
    0x09: "arbitration priority",
    0x0A: "processor priority",
    0x0B: "end of interrupt",
    0x0D: "logical destination",
    0x0E: "destination format",
    0x0F: "spurious-interrupt vector",
    0x28: "error status",
    0x30: "interrupt command, low",
    0x31: "interrupt command, high",
    0x32: "LVT timer",
    0x33: "LVT thermal",
    0x34: "LVT performance counter",
    0x35: "LVT LINT0",
    0x36: "LVT LINT1",
    0x37: "LVT error",
    0x38: "timer initial count",
    0x39: "timer current count",
    0x3E: "timer divide",
}
# hw/intc/ioapic.c
_IOAPIC: Dict[int, _Name] = {0x00: "register select", 0x10: "window", 0x40: "end of interrupt"}
# hw/timer/hpet.c
_HPET: Dict[int, str] = {
    0x000: "capabilities",
    0x004: "period",
    0x010: "configuration",
    0x014: "configuration",
    0x020: "interrupt status",
    0x0F0: "main counter",
    0x0F4: "main counter",
}
_HPET_TIMER: Dict[int, str] = {0: "configuration", 4: "configuration", 8: "comparator", 12: "comparator", 16: "route"}
# include/block/nvme.h NvmeBar
_NVME: Dict[int, _Name] = {
    0x00: "capabilities (CAP)",
    0x04: "capabilities (CAP)",
    0x08: "version (VS)",
    0x0C: "interrupt mask set (INTMS)",
    0x10: "interrupt mask clear (INTMC)",
    0x14: "controller configuration (CC)",
    0x1C: "controller status (CSTS)",
    0x20: "subsystem reset (NSSR)",
    0x24: "admin queue attributes (AQA)",
    0x28: "admin submission queue base (ASQ)",
    0x2C: "admin submission queue base (ASQ)",
    0x30: "admin completion queue base (ACQ)",
    0x34: "admin completion queue base (ACQ)",
}
# hw/net/e1000x_regs.h
_E1000: Dict[int, _Name] = {
    0x0000: "CTRL",
    0x0008: "STATUS",
    0x0010: "EECD",
    0x0014: "EERD",
    0x0018: "CTRL_EXT",
    0x0020: "MDIC",
    0x00C0: "ICR (interrupt cause)",
    0x00C8: "ICS (interrupt cause set)",
    0x00D0: "IMS (interrupt mask set)",
    0x00D8: "IMC (interrupt mask clear)",
    0x0100: "RCTL (receive control)",
    0x0400: "TCTL (transmit control)",
    0x2810: "RDH (receive head)",
    0x2818: "RDT (receive tail)",
    0x3810: "TDH (transmit head)",
    0x3818: "TDT (transmit tail)",
}
# hw/usb/hcd-xhci.c xhci_oper_read
_XHCI_OPER: Dict[int, _Name] = {
    0x00: "USBCMD",
    0x04: "USBSTS",
    0x08: "PAGESIZE",
    0x14: "DNCTRL",
    0x18: "CRCR low",
    0x1C: "CRCR high",
    0x30: "DCBAAP low",
    0x34: "DCBAAP high",
    0x38: "CONFIG",
}
# hw/usb/hcd-ehci.c ehci_opreg_write
_EHCI_OPER: Dict[int, _Name] = {
    0x00: "USBCMD",
    0x04: "USBSTS",
    0x08: "USBINTR",
    0x0C: "FRINDEX",
    0x14: "PERIODICLISTBASE",
    0x18: "ASYNCLISTADDR",
    0x40: "CONFIGFLAG",
}
# hw/usb/hcd-uhci.c
_UHCI: Dict[int, _Name] = {
    0x00: "USBCMD",
    0x02: "USBSTS",
    0x04: "USBINTR",
    0x06: "FRNUM",
    0x08: "FLBASEADD",
    0x0C: "SOFMOD",
    0x10: "PORTSC1",
    0x12: "PORTSC2",
}
# hw/char/pl011.c
_PL011: Dict[int, _Name] = {
    0x00: "data",
    0x04: "receive status",
    0x18: "flags",
    0x24: "integer baud rate",
    0x28: "fractional baud rate",
    0x2C: "line control",
    0x30: "control",
    0x34: "FIFO level select",
    0x38: "interrupt mask",
    0x3C: "raw interrupt status",
    0x40: "masked interrupt status",
    0x44: "interrupt clear",
    0x48: "DMA control",
}
# hw/ide/ahci-internal.h: host registers, then 0x80 bytes a port from 0x100
_AHCI_HOST: Dict[int, str] = {0x00: "CAP", 0x04: "GHC (global control)", 0x08: "IS (interrupt status)", 0x0C: "PI"}
_AHCI_PORT: Dict[int, str] = {
    0x00: "PxCLB",
    0x04: "PxCLBU",
    0x08: "PxFB",
    0x0C: "PxFBU",
    0x10: "PxIS (interrupt status)",
    0x14: "PxIE (interrupt enable)",
    0x18: "PxCMD (command)",
    0x20: "PxTFD",
    0x24: "PxSIG",
    0x28: "PxSSTS",
    0x2C: "PxSCTL (SATA control)",
    0x30: "PxSERR",
    0x34: "PxSACT",
    0x38: "PxCI (command issue)",
}


def _lapic(offset: int, write: Optional[bool]) -> str:
    if offset > 0xFFF:
        return "MSI"
    index = (offset >> 4) & 0xFF
    for base, name in ((0x10, "in service"), (0x18, "trigger mode"), (0x20, "interrupt request")):
        if base <= index < base + 8:
            return f"{name} {index - base}"
    return _LAPIC.get(index, "")


def _hpet(offset: int, write: Optional[bool]) -> str:
    if offset >= 0x100:
        timer, register = divmod(offset - 0x100, 0x20)
        name = _HPET_TIMER.get(register, "")
        return f"timer {timer} {name}".rstrip()
    return _HPET.get(offset, "")


def _nvme(offset: int, write: Optional[bool]) -> str:
    if offset >= 0x1000:  # stride 4: hw/nvme/ctrl.c nvme_process_db
        queue, completion = divmod((offset - 0x1000) >> 2, 2)
        return f"{'completion' if completion else 'submission'} queue {queue} doorbell"
    return _directed(_NVME.get(offset, ""), write)


def _ahci(offset: int, write: Optional[bool]) -> str:
    if offset >= 0x100:
        port, register = divmod(offset - 0x100, 0x80)
        return f"port {port} {_AHCI_PORT.get(register, '')}".rstrip()
    return _AHCI_HOST.get(offset, "")


def _xhci_doorbell(offset: int, write: Optional[bool]) -> str:
    return f"slot {offset >> 2} doorbell" if offset else "command doorbell"


def _xhci_port(offset: int, write: Optional[bool]) -> str:
    return {0: "PORTSC", 4: "PORTPMSC", 8: "PORTLI"}.get(offset & 0xF, "")


def _msix(offset: int, write: Optional[bool]) -> str:
    vector, register = divmod(offset, 16)
    return f"vector {vector} {('address', 'address high', 'data', 'control')[register >> 2]}"


def _bmdma(offset: int, write: Optional[bool]) -> str:
    return {0: "command", 2: "status"}.get(offset & 3, "")


def _any_port(offset: int, write: Optional[bool]) -> str:
    """For handlers of portio lists, whose address is the port itself (system/ioport.c portio_write)."""
    return port_register(offset, write).replace("VGA ", "", 1) if offset > 0x3AF else ""


def _by(table: Mapping[int, _Name], mask: int = 0xFFFFFFFF) -> Callable[[int, Optional[bool]], str]:
    return lambda offset, write: _directed(table.get(offset & mask, ""), write)


def _mmio_config(offset: int, write: Optional[bool]) -> str:
    return "device configuration" if offset >= 0x100 else _directed(_VIRTIO_MMIO.get(offset, ""), write)


def _legacy(offset: int, write: Optional[bool]) -> str:
    return virtio_legacy_register(offset)


def _fixed(name: str) -> Callable[[int, Optional[bool]], str]:
    return lambda offset, write: name


_Register = Callable[[int, Optional[bool]], str]


def _pair(stem: str, device: str, register: _Register) -> List[Tuple[str, Tuple[str, _Register]]]:
    return [(stem + suffix, (device, register)) for suffix in ("_read", "_write")]


# The function of a device model that serves the access -> device and register of its offset argument.
# Names and offsets hold from 2.x to 10.2 where the function exists.
HANDLERS: Dict[str, Tuple[str, _Register]] = dict(
    _pair("serial_ioport", "serial 16550", _by(_UART, 7))
    + _pair("serial_mm", "serial 16550", lambda offset, write: "")
    + _pair("pit_ioport", "PIT", _by(_PIT, 3))
    + _pair("cmos_ioport", "RTC/CMOS", _by({0: "index", 1: "data"}, 1))
    + _pair("pic_ioport", "PIC", _by(_PIC, 1))
    + _pair("elcr_ioport", "PIC", _fixed("edge/level control"))
    + _pair("apic_mem", "local APIC", _lapic)
    + _pair("ioapic_mem", "I/O APIC", _by(_IOAPIC))
    + _pair("hpet_ram", "HPET", _hpet)
    + _pair("bmdma", "bus-master IDE", _bmdma)
    + _pair("bmdma_cmd", "bus-master IDE", _fixed("command"))
    + _pair("bmdma_addr", "bus-master IDE", _fixed("PRD table address"))
    + _pair("ide_ioport", "IDE", _by(_ATA, 7))
    + _pair("ahci_mem", "AHCI", _ahci)
    + _pair("acpi_pm_evt", "ACPI PM", _by({0: "PM1 status", 1: "PM1 status", 2: "PM1 enable", 3: "PM1 enable"}))
    + _pair("acpi_pm_cnt", "ACPI PM", _fixed("PM1 control"))
    + _pair("acpi_pm_tmr", "ACPI PM", _fixed("PM timer"))
    + _pair("virtio_pci_config", "virtio-pci legacy", _legacy)
    + _pair("virtio_ioport", "virtio-pci legacy", _legacy)
    + _pair("virtio_pci_common", "virtio-pci", _by(_VIRTIO_COMMON))
    + _pair("virtio_pci_notify", "virtio-pci", _fixed("queue notify"))
    + _pair("virtio_pci_isr", "virtio-pci", _fixed("interrupt status"))
    + _pair("virtio_pci_device", "virtio-pci", _fixed("device configuration"))
    + _pair("virtio_mmio", "virtio-mmio", _mmio_config)
    + _pair("e1000_mmio", "e1000", _by(_E1000))
    + _pair("e1000e_mmio", "e1000e", _by(_E1000))
    + _pair("nvme_mmio", "NVMe", _nvme)
    + _pair("xhci_oper", "xHCI", _by(_XHCI_OPER))
    + _pair("xhci_cap", "xHCI", _fixed("capability"))
    + _pair("xhci_runtime", "xHCI", _fixed("runtime"))
    + _pair("xhci_doorbell", "xHCI", _xhci_doorbell)
    + _pair("xhci_port", "xHCI", _xhci_port)
    + _pair("ehci_opreg", "EHCI", _by(_EHCI_OPER))
    + _pair("uhci_port", "UHCI", _by(_UHCI))
    + _pair("pl011", "PL011 UART", _by(_PL011))
    + _pair("vga_ioport", "VGA", _any_port)
    + _pair("vga_mem", "VGA", _fixed("legacy frame buffer"))
    + _pair("pci_host_config", "PCI configuration", _fixed("address"))
    + _pair("pci_host_data", "PCI configuration", _fixed("data"))
    + _pair("pcie_mmcfg_data", "PCIe ECAM", _fixed("configuration space"))
    + _pair("msix_table_mmio", "MSI-X table", _msix)
    + _pair("msix_pba_mmio", "MSI-X", _fixed("pending bits"))
    + _pair("port92", "port 92", _fixed("A20 and reset"))
    + _pair("pcspk_io", "PC speaker", _fixed("control"))
    + _pair("pvpanic", "pvpanic", _fixed("event"))
    + _pair("debug_exit", "isa-debug-exit", _fixed("exit code"))
    + _pair("debugcon_ioport", "debug console", _fixed("character"))
    + _pair("vmport_ioport", "VMware backdoor", _fixed(""))
    + _pair("tpm_tis_mmio", "TPM TIS", _fixed("registers"))
    + _pair("tpm_crb_mmio", "TPM CRB", _fixed("registers"))
    + _pair("rtl8139_ioport", "rtl8139", _fixed("registers"))
    + _pair("intel_hda_mmio", "Intel HDA", _fixed("registers"))
    + _pair("lsi_mmio", "lsi53c895a", _fixed("registers"))
    + _pair("lsi_io", "lsi53c895a", _fixed("registers"))
    + _pair("megasas_mmio", "megasas", _fixed("registers"))
    + _pair("gic_dist", "GIC distributor", _fixed(""))
    + _pair("gicv3_dist", "GICv3 distributor", _fixed(""))
    + _pair("gicv3_redist", "GICv3 redistributor", _fixed(""))
    + _pair("unassigned_mem", "no device", _fixed("unassigned address"))
    + _pair("unassigned_io", "no device", _fixed("unassigned port"))
) | {
    "kbd_read_data": ("i8042 keyboard controller", _fixed("data")),
    "kbd_write_data": ("i8042 keyboard controller", _fixed("data")),
    "kbd_read_status": ("i8042 keyboard controller", _fixed("status")),
    "kbd_write_command": ("i8042 keyboard controller", _fixed("command")),
    "ide_data_readw": ("IDE", _fixed("data")),
    "ide_data_writew": ("IDE", _fixed("data")),
    "ide_data_readl": ("IDE", _fixed("data")),
    "ide_data_writel": ("IDE", _fixed("data")),
    "ide_status_read": ("IDE", _fixed("alternate status")),
    "ide_ctrl_write": ("IDE", _fixed("device control")),
    "ide_cmd_write": ("IDE", _fixed("device control")),
    "bmdma_cmd_writeb": ("bus-master IDE", _fixed("command")),
    "virtio_pci_notify_write_pio": ("virtio-pci", _fixed("queue notify")),
    "vbe_ioport_write_data": ("Bochs VBE", _fixed("data")),
    "vbe_ioport_read_data": ("Bochs VBE", _fixed("data")),
    "vbe_ioport_write_index": ("Bochs VBE", _fixed("index")),
    "vbe_ioport_read_index": ("Bochs VBE", _fixed("index")),
    "qxl_vga_ioport_write": ("qxl VGA", _any_port),
    "apm_ioport_writeb": ("APM", _by({0: "control (SMI command)", 1: "status"})),
    "apm_ioport_readb": ("APM", _by({0: "control (SMI command)", 1: "status"})),
    "fw_cfg_comb_write": ("fw_cfg", _by({0: "selector", 1: "data"})),
    "fw_cfg_data_read": ("fw_cfg", _fixed("data")),
    "fw_cfg_data_mem_write": ("fw_cfg", _fixed("data")),
    "fw_cfg_ctl_mem_write": ("fw_cfg", _fixed("selector")),
    "fw_cfg_dma_mem_write": ("fw_cfg", _fixed("DMA address")),
    "ich9_smi_writel": ("ICH9", _fixed("SMI control")),
    "ich9_gpe_writeb": ("ICH9", _fixed("GPE0")),
    "cpu_hotplug_wr": ("ACPI CPU hotplug", _fixed("")),
    "cpu_hotplug_rd": ("ACPI CPU hotplug", _fixed("")),
    "acpi_memory_hotplug_write": ("ACPI memory hotplug", _fixed("")),
    "acpi_memory_hotplug_read": ("ACPI memory hotplug", _fixed("")),
}

# Where PC chipsets put their registers in guest-physical memory (hw/i386/pc.c, include/hw/i386/apic_internal.h).
_MMIO: Tuple[Tuple[int, int, str, _Register], ...] = (
    (0xFEE00000, 0xFEEFFFFF, "local APIC", _lapic),
    (0xFEC00000, 0xFEC00FFF, "I/O APIC", _by(_IOAPIC)),
    (0xFED00000, 0xFED003FF, "HPET", _hpet),
    (0xFED40000, 0xFED44FFF, "TPM", _fixed("registers")),
    (0xA0000, 0xBFFFF, "VGA", _fixed("legacy frame buffer")),
)


def mmio_register(address: int, write: Optional[bool] = None) -> str:
    """Device and register at a guest-physical address of a PC, "" where it has no fixed meaning."""
    for first, last, device, register in _MMIO:
        if first <= address <= last:
            return f"{device} {register(address - first, write)}".rstrip()
    return ""


# Names that devices give their memory regions -> a handler that serves them.
_REGIONS: Tuple[Tuple[str, str], ...] = (
    ("virtio-pci-common", "virtio_pci_common_write"),  # hw/virtio/virtio-pci.c
    ("virtio-pci-notify", "virtio_pci_notify_write"),
    ("virtio-pci-isr", "virtio_pci_isr_read"),
    ("virtio-pci-device", "virtio_pci_device_write"),
    ("virtio-pci", "virtio_pci_config_write"),
    ("virtio-mmio", "virtio_mmio_write"),
    ("apic-msi", "apic_mem_write"),
    ("ioapic", "ioapic_mem_write"),
    ("hpet", "hpet_ram_write"),
    ("nvme", "nvme_mmio_write"),
    ("ahci", "ahci_mem_write"),
    ("e1000-mmio", "e1000_mmio_write"),
    ("serial", "serial_ioport_write"),
    ("pl011", "pl011_write"),
)


def region_register(region: str, offset: int, write: Optional[bool] = None) -> Tuple[str, str]:
    """Device and register at an offset of a memory region that a device named so; "" for what is not known."""
    for prefix, handler in _REGIONS:
        if region == prefix or (prefix != "virtio-pci" and region.startswith(prefix + "-")):
            return handler_register(handler, offset, write)
    return "", ""


_PROBED = (0, 1, 2, 3, 4, 8, 0x10, 0x14, 0x20, 0x44, 0x80, 0x100, 0x3C4, 0x404, 0x440, 0x1000)


def handler_register(function: str, offset: Optional[int], write: Optional[bool] = None) -> Tuple[str, str]:
    """Device and register that a device model's handler serves at an offset; "" for what is not known."""
    found = HANDLERS.get(function)
    if found is None:
        return "", ""
    device, register = found
    if offset is None:
        # only what does not depend on the offset
        probe = {register(o, write) for o in _PROBED}
        return device, probe.pop() if len(probe) == 1 else ""
    return device, register(offset, write)
