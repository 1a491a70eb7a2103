"""Guest accesses on their way to a device: port I/O and MMIO from the vCPU's exit to the device model's handler."""

from __future__ import annotations

import re
from typing import FrozenSet, Optional, Tuple

from ...pattern import Pattern
from ...record import record
from ..functions import lookup
from ..match import Names
from ..ports import HANDLERS, handler_register, mmio_register, port_register, region_register
from .rows import Row, View, number_of

# system/memory.c (softmmu/memory.c, memory.c), system/ioport.c: from the region to the device's callback
DISPATCH = Names(
    "memory_region_dispatch_read",
    "memory_region_dispatch_read1",
    "memory_region_dispatch_write",
    "memory_region_dispatch_write_eventfds",
    "access_with_adjusted_size*",
    "memory_region_read_accessor",
    "memory_region_write_accessor",
    "memory_region_read_with_attrs_accessor",
    "memory_region_write_with_attrs_accessor",
    "memory_region_oldmmio_read_accessor",
    "memory_region_oldmmio_write_accessor",
    "memory_region_shift_read_access",
    "memory_region_shift_write_access",
    "io_mem_read",
    "io_mem_write",
    "portio_read",
    "portio_write",
    "subpage_read",
    "subpage_write",
    "prepare_mmio_access",
    "memory_region_ram_device_read",
    "memory_region_ram_device_write",
    "memory_region_access_valid",
    "memory_region_iorange_read",
    "memory_region_iorange_write",
    "ioport_readb_thunk",
    "ioport_readw_thunk",
    "ioport_readl_thunk",
    "ioport_writeb_thunk",
    "ioport_writew_thunk",
    "ioport_writel_thunk",
)
# system/physmem.c (softmmu/physmem.c, exec.c), memory_ldst.c.inc: from an address to the region
ADDRESS_SPACE = Names(
    "address_space_rw",
    "address_space_read",
    "address_space_read_full",
    "address_space_write",
    "address_space_read_continue",
    "address_space_write_continue",
    "flatview_read",
    "flatview_write",
    "flatview_read_continue",
    "flatview_write_continue",
    "flatview_read_continue_step",
    "flatview_write_continue_step",
    "flatview_rw",
    "cpu_physical_memory_rw",
    "cpu_physical_memory_read",
    "cpu_physical_memory_write",
    "address_space_ld*",
    "address_space_st*",
    "address_space_lduw_internal*",
    "cpu_outb",
    "cpu_outw",
    "cpu_outl",
    "cpu_inb",
    "cpu_inw",
    "cpu_inl",
    "ioport_read",
    "ioport_write",
)
PORT_FUNCTIONS = Names(
    *(f"{p}_{d}{w}" for p in ("cpu", "helper") for d in ("in", "out") for w in "bwl"),
    "kvm_handle_io",
    "cpu_ioreq_pio",
    "do_inp",
    "do_outp",
    "hax_handle_io",
    "hvf_handle_io",
    "whpx_handle_portio",
    "nvmm_handle_io",
    "nvmm_io_callback",
    "whpx_emu_ioport_callback",
    "whpx_emu_mmio_callback",
    "ioport_read",
    "ioport_write",
    "portio_read",
    "portio_write",
)
# accel/*: the vCPU loop's own hand-over of an exit
EXIT = Names(
    "kvm_handle_io",
    "kvm_cpu_exec",
    # hw/xen/xen-hvm-common.c, hw/i386/xen/xen-hvm.c: the hypervisor hands guest accesses to the main loop
    "cpu_handle_ioreq",
    "handle_ioreq",
    "cpu_ioreq_pio",
    "cpu_ioreq_move",
    "cpu_ioreq_config",
    "do_inp",
    "do_outp",
    "rw_phys_req_item",
    "read_phys_req_item",
    "write_phys_req_item",
    "handle_buffered_iopage",
    "handle_buffered_io",
    "hvf_vcpu_exec", "hvf_arch_vcpu_exec",
    "hvf_handle_io",
    "hax_handle_io",
    "hax_handle_fastmmio",
    "hax_vcpu_hax_exec",
    "whpx_vcpu_run",
    "whpx_handle_portio",
    "whpx_handle_mmio",
    "whpx_emu_ioport_callback",
    "whpx_emu_mmio_callback",
    "WHvEmulatorTryIoEmulation",
    "WHvEmulatorTryMmioEmulation",
    "nvmm_vcpu_loop",
    "nvmm_handle_io",
    "nvmm_handle_mem",
    "nvmm_io_callback",
    "nvmm_mem_callback",
)
# accel/tcg/cputlb.c: the guest's load or store reached a device (io path), by age of the name
TCG_IO = Names(
    "io_readx",
    "io_writex",
    "io_read*_mmu",
    "io_write*_mmu",
    "int_ld_mmio_beN",
    "int_st_mmio_leN",
    "do_ld_mmio_beN",
    "do_st_mmio_leN",
    "do_ld16_mmio_beN",
    "do_st16_mmio_leN",
)
TCG_MEMORY = Names(
    "load_helper",
    "store_helper",
    "store_helper_unaligned",
    "full_*_mmu",
    "helper_be_*_mmu",
    "helper_le_*_mmu",
    "helper_ret_*_mmu",
    "helper_*_cmmu",  # of guest code, up to 7.2
    "helper_ld*_mmu",
    "helper_st*_mmu",
    *(f"do_{d}{n}_mmu" for d in ("ld", "st") for n in (1, 2, 4, 8)),
    "do_ld16_mmu",
    "do_st16_mmu",
    *(f"do_{d}_{n}" for d in ("ld", "st") for n in (1, 2, 4, 8)),
    "do_ld_beN",
    "do_st_leN",
    "do_ld16_beN",
    "do_st16_leN",
    "do_ld_bytes_beN",
    "do_ld_parts_beN",
    "cpu_ld*_mmu",
    "cpu_st*_mmu",
    "cpu_ld*_mmuidx_ra",
    "cpu_st*_mmuidx_ra",
    "cpu_ld*_data_ra",
    "cpu_st*_data_ra",
    "cpu_ld*_data",
    "cpu_st*_data",
    "cpu_load_helper",
    "cpu_store_helper",
    "cpu_*_code",
    "cpu_*_code_ra",
    "__ld*_mmu",
    "__st*_mmu",
    "slow_ld*_mmu",
    "slow_st*_mmu",
    "wswap_*",
)
_XEN = Names("cpu_handle_ioreq", "handle_ioreq", "cpu_ioreq_*")
_TCG_IN_OUT = Names(*(f"helper_{d}{w}" for d in ("in", "out") for w in "bwl"))
_PATH = (DISPATCH, ADDRESS_SPACE, EXIT, TCG_IO, TCG_MEMORY, _TCG_IN_OUT)

_GENERATED = ("code_gen_buffer", "cpu_tb_exec", "tcg_qemu_tb_exec")
_ADDRESS = ("addr", "offset", "address", "hwaddr", "port")
_VALUE = ("val", "value", "data", "val64", "val32", "v")
_WIDTHS = {"b": 1, "w": 2, "l": 4, "q": 8, "1": 1, "2": 2, "4": 4, "8": 8, "16": 16}
_TCG_WIDTH = Pattern(r"(?:ld|st)(?:s|u)?([bwlq]|16|[1248])(?:_|$)")
_PORT_HANDLERS: FrozenSet[str] = frozenset(
    name for name in HANDLERS if "_ioport_" in name or name.startswith(("virtio_pci_config_", "bmdma_", "kbd_", "ide_"))
)


@record
class GuestAccess:
    """An access of the guest that QEMU delivers to a device."""

    kind: str  # "port" (PIO), "mmio", "access" where the stack does not tell which
    first: int = 0  # positions in the stack of the frames that deliver it, inner to outer
    last: int = 0
    write: Optional[bool] = None
    address: Optional[int] = None  # port number or guest-physical address
    virtual: Optional[int] = None  # guest-virtual address, under TCG
    offset: Optional[int] = None  # in the device's memory region
    width: Optional[int] = None  # bytes
    value: Optional[int] = None  # of a write
    count: int = 1  # repetitions of a string instruction
    register: str = ""  # "device status"
    handler: str = ""  # the device model's function that serves it
    device: str = ""  # "virtio-pci legacy"
    owner: str = ""  # from facts: type and id of the device that owns the memory region

    @property
    def target(self) -> str:
        """Device and register, "" where neither is known."""
        words = f"{self.device} {self.register}".strip()
        return f"{self.owner}: {words}" if self.owner and words else self.owner or words

    @property
    def brief(self) -> str:
        """The access without value and offset: "guest 2-byte OUT to port 0xc012 (virtio-pci legacy device status)"."""
        return self._brief(self.target)

    @property
    def short(self) -> str:
        """The access for a chain that names the device elsewhere: "guest 2-byte OUT to port 0xc012 (device status)"."""
        words = f"{self.device} {self.register}".strip()
        return self._brief(
            self.owner or "" if not words else words if len(words) <= 28 else self.register or self.device
        )

    def _brief(self, target: str) -> str:
        width = f"{self.width}-byte " if self.width else ""
        where = f" ({target})" if target else ""
        if self.kind == "port":
            verb = {True: "OUT to", False: "IN from", None: "I/O at"}[self.write]
            place = f"port {self.address:#x}" if self.address is not None else "a port"
        else:
            verb = {True: "store to", False: "load from", None: "access to"}[self.write]
            if self.kind == "access":
                verb = {True: "write to", False: "read from", None: "access to"}[self.write]
            if self.address is not None:
                place = f"{self.address:#x}"
                if self.kind == "mmio":
                    place = f"MMIO {place}"
            elif self.kind == "mmio" and self.offset is not None:
                place = f"MMIO offset {self.offset:#x}"
                if self.handler and not self.target:
                    where = f" ({self.handler})"
            else:
                place = "MMIO" if self.kind == "mmio" else "a device"
                if self.handler and not self.target:
                    where = f" ({self.handler})"
        repeat = f" ×{self.count}" if self.count > 1 else ""
        return f"guest {width}{verb} {place}{where}{repeat}"

    @property
    def text(self) -> str:
        """The access with all that is known of it."""
        parts = [self.brief]
        if self.value is not None and self.write:
            parts.append(f"value {self.value:#x}")
        if self.offset is not None and f"offset {self.offset:#x}" not in self.brief:
            parts.append(f"offset {self.offset:#x} of its region")
        if self.virtual is not None:
            parts.append(f"guest-virtual {self.virtual:#x}")
        return ", ".join(parts)


def _member(name: str, sets: Tuple[Names, ...]) -> bool:
    return bool(name) and any(name in names for names in sets)


def _direction(view: View) -> Optional[bool]:
    direction = view.number(("kvm_handle_io", "hvf_handle_io"), "direction")
    if direction is not None:
        return direction == 1  # KVM_EXIT_IO_OUT
    for name in view.names:
        if name in ("memory_region_access_valid", "prepare_mmio_access"):
            continue
        bare = name[len("memory_region_") :] if name.startswith("memory_region_") else name
        if (
            re.search(r"(?:^|_)(?:write|out[bwl]|io_writex|writex)(?:_|$)|^io_write", bare)
            or re.match(
                r"(?:address_space|cpu|helper(?:_(?:le|be|ret))?|do|int|full_(?:le|be)|slow|_)_?st(?:[bwlq]|\d|_)", bare
            )
            or name in ("store_helper", "store_helper_unaligned")
        ):
            return True
        if (
            re.search(r"(?:^|_)(?:read|read1|read_full|in[bwl]|readx)(?:_|$)|^io_read", bare)
            or re.match(
                r"(?:address_space|cpu|helper(?:_(?:le|be|ret))?|do|int|full_(?:le|be)|slow|_)_?ld(?:[bsuwlq]|\d|_)",
                bare,
            )
            or name == "load_helper"
        ):
            return False
    flag = view.raw("address_space_rw", "is_write") or view.raw("cpu_physical_memory_rw", "is_write")
    if flag:
        return flag.startswith(("true", "1"))
    return None


def _width(view: View) -> Optional[int]:
    size = view.number(("kvm_handle_io", "hvf_handle_io", "hax_handle_io"), "size")
    if size in (1, 2, 4):
        return size
    operation = view.raw(("memory_region_dispatch_read", "memory_region_dispatch_write"), "op")
    if operation:
        found = re.search(r"MO_(?:[BL]E\w*?|\w*?)(8|16|32|64)\b", operation)
        if found:
            return int(found.group(1)) // 8
        if re.search(r"MO_(?:UB|UW|UL|UQ)", operation):
            return {"UB": 1, "UW": 2, "UL": 4, "UQ": 8}[operation[operation.index("MO_") + 3 :][:2]]
    for name in view.names:
        if name in PORT_FUNCTIONS and name[-1] in "bwl" and re.search(r"(?:in|out)[bwl]$", name):
            return _WIDTHS[name[-1]]
    size = view.number(
        (
            "memory_region_dispatch_read",
            "memory_region_dispatch_write",
            "memory_region_dispatch_read1",
            "access_with_adjusted_size",
            "io_mem_read",
            "io_mem_write",
            "int_st_mmio_leN",
            "int_ld_mmio_beN",
        ),
        "size",
    )
    length = view.number(ADDRESS_SPACE, "len")
    if size in (1, 2, 4, 8):
        return size
    if length in (1, 2, 4, 8):
        return length
    for name in view.names:
        if name in TCG_MEMORY or name in ADDRESS_SPACE:
            found = _TCG_WIDTH.search(name)
            if found:
                return _WIDTHS[found.group(1)]
    return None


def _small(view: View, functions: Optional[Names], limit: int) -> Optional[int]:
    for text in view.values(functions, *_ADDRESS):
        value = number_of(text)
        if value is not None and 0 <= value < limit and not re.match(r"\s*\(", text):
            return value
    return None


def access(view: View) -> Optional[GuestAccess]:
    """The guest's access to a device that a stack delivers, None where it delivers none."""
    memo = view.memo
    if "access" not in memo:
        memo["access"] = _access(view.whole())
    found = memo["access"]
    return found if isinstance(found, GuestAccess) else None


def _access(view: View) -> Optional[GuestAccess]:
    names = view.all_names
    # the outermost hand-over that is followed by a dispatch: what the guest did itself, not a device's DMA
    last = None
    for position in range(len(names) - 1, -1, -1):
        name = names[position]
        if _member(name, (DISPATCH, ADDRESS_SPACE)) or name in TCG_IO or name in _TCG_IN_OUT or name == "kvm_handle_io":
            last = position
            break
    if last is None:
        return None
    first = last
    while first > 0 and _member(names[first - 1], (DISPATCH, ADDRESS_SPACE, TCG_IO)):
        first -= 1
    outer = last
    while outer + 1 < len(names) and _member(names[outer + 1], (TCG_MEMORY, EXIT, _TCG_IN_OUT)):
        outer += 1
    run = view.part(first, outer)
    caller = names[outer + 1] if outer + 1 < len(names) else ""
    tcg = any(name in TCG_IO or name in TCG_MEMORY or name in _TCG_IN_OUT for name in run.names)
    hypervisor = any(name in EXIT for name in run.names)
    helperless = False
    if not tcg and (caller in _GENERATED or (outer + 1 < len(names) and view.frames[outer + 1].kind == "jit")):
        tcg = True
        # x86's helper_out* ends in a call of address_space_st*, and leaves no frame
        helperless = names[outer].startswith(("address_space_ld", "address_space_st"))
    if not tcg and not hypervisor:
        truncated = view.frames[-1].name not in ("start_thread", "clone", "clone3", "thread_start", "main")
        if outer + 1 < len(names) and caller or not truncated:
            return None  # DMA or a reset handler: not the guest's own access
        if names[last].startswith(("address_space_ld", "address_space_st")):
            return None  # accelerators use address_space_rw; whose load this is, the cut stack does not show
    if not any(
        name in DISPATCH or name in TCG_IO or name in ADDRESS_SPACE or name == "kvm_handle_io" for name in run.names
    ):
        return None
    write = _direction(run)
    width = _width(run)
    handlers = [n for n in reversed(names[max(0, first - 4) : first]) if n]
    handler = handlers[0] if handlers else ""
    if not any(name in DISPATCH for name in run.names) and handler not in HANDLERS:
        handler = ""
    if handler and first > 0 and not is_device(view, first - 1):
        handler = ""
    space = run.symbol(ADDRESS_SPACE, "as") or ""
    physical = run.number(
        (
            "address_space_rw",
            "address_space_write",
            "address_space_read",
            "address_space_read_full",
            "flatview_write",
            "flatview_read",
            "cpu_physical_memory_rw",
        ),
        "addr",
    )
    if physical is None:
        physical = run.number(("flatview_write_continue", "flatview_read_continue"), "addr")
    port = run.number(("kvm_handle_io", "hvf_handle_io", "hax_handle_io"), "port")
    if port is None and any(name in PORT_FUNCTIONS for name in run.names):
        port = run.number(
            (
                "cpu_outb",
                "cpu_outw",
                "cpu_outl",
                "cpu_inb",
                "cpu_inw",
                "cpu_inl",
                "helper_outb",
                "helper_outw",
                "helper_outl",
                "helper_inb",
                "helper_inw",
                "helper_inl",
            ),
            "addr",
            "port",
        )
        if port is None and physical is not None and physical <= 0xFFFF:
            port = physical
    known = next((h for h in handlers[:3] if h in HANDLERS), "")
    is_port = (
        any(name in PORT_FUNCTIONS for name in run.names)
        or space == "address_space_io"
        or (helperless and (physical is None or physical <= 0xFFFF))
        or (known in _PORT_HANDLERS and (physical is None or physical <= 0xFFFF))
    )
    if is_port:
        kind = "port"
        address = port if port is not None else physical
        if address is not None and address > 0xFFFF:
            address = None
    elif tcg or space == "address_space_memory" or (physical is not None and physical > 0xFFFF):
        kind, address = "mmio", physical
    else:
        kind, address = "access", physical
    offset = run.number(DISPATCH, "addr")
    if offset is None:
        offset = run.number(TCG_IO, "mr_offset")
    handler_position = first - 1
    if offset is None and handler:
        offset = _small(view.part(max(0, handler_position), max(0, handler_position)), None, 1 << 32)
        if offset is not None and is_port and offset == address:
            offset = None
    device, register = "", ""
    if known:
        at = next(p for p in range(first - 1, -1, -1) if names[p] == known)
        own = _small(view.part(at, at), None, 1 << 32)
        if own is None:
            own = offset
        if own is None and known.startswith(("virtio_pci_config", "virtio_ioport")) and address is not None:
            own = address & 0x3F  # legacy virtio I/O BARs are at least 0x20 long and aligned: hw/virtio/virtio-pci.c
        device, register = handler_register(known, own, write)
    value = None
    if write:
        value = run.number(("memory_region_dispatch_write",), "data")
        if value is None and tcg:
            value = run.number(TCG_IO, "val", "val_le")
            if value is None:
                value = run.number(TCG_MEMORY, "val")
        if value is None:
            value = run.number(
                ("io_mem_write", "helper_outb", "helper_outw", "helper_outl", "cpu_outb", "cpu_outw", "cpu_outl"),
                "val",
                "data",
                "t0",
            )
        if value is None:
            for position in range(first - 1, max(-1, first - 4), -1):
                candidate = view.part(position, position).number(None, *_VALUE)
                if candidate is not None and 0 <= candidate < 1 << (8 * (width or 4)):
                    value = candidate
                    break
        if value is not None and width and width < 8:
            value &= (1 << (8 * width)) - 1
    if not device and kind == "port" and address is not None:
        register = port_register(address, write)
    elif not device and kind == "mmio" and address is not None and hypervisor and _is_pc(view):
        register = mmio_register(address, write)
    region = run.number(DISPATCH, "mr")
    owner = _owner(view, region)
    if not known and offset is not None:
        name = next((r.name for r in view.facts.regions if r.address == region and region), "")
        found_device, found_register = region_register(name, offset, write)
        if found_register or found_device:
            device, register = found_device, found_register
    if address is None and offset is not None:
        base = next((r.base for r in view.facts.regions if r.address == region and r.base is not None), None)
        if base is not None and kind != "access":
            address = base + offset
    virtual = _virtual(run, address if address is not None else offset) if tcg and not is_port else None
    count = run.number(("kvm_handle_io",), "count") or 1
    return GuestAccess(
        kind=kind,
        first=first,
        last=outer,
        write=write,
        address=address,
        virtual=virtual,
        offset=offset,
        width=width,
        value=value,
        count=count if 1 <= count <= 65536 else 1,
        register=register,
        handler=handler,
        device=device,
        owner=owner,
    )


def _virtual(run: View, physical: Optional[int]) -> Optional[int]:
    """The guest-virtual address of a load or store: the outermost one that has the page offset of the physical one."""
    found = None
    for text in run.values(TCG_MEMORY, "addr") + run.values(TCG_IO, "addr"):
        value = number_of(text)
        if value is None or (physical is not None and (value ^ physical) & 0xFFF):
            continue
        if found is None or value > found:
            found = value
    return found if found != physical else None


def is_device(view: View, position: int) -> bool:
    """Whether a frame's function is a device model's, as far as its file tells."""
    frame = view.frames[position]
    if frame.file:
        return "hw/" in frame.file or "display" in frame.file
    places = lookup(frame.name)
    return not places or any(place.file.startswith("hw/") for place in places)


def _is_pc(view: View) -> bool:
    """Whether the stack comes from an x86 machine."""
    return any("i386" in (f.file or "") or f.name.startswith(("apic_", "ioapic_", "hpet_", "pc_")) for f in view.frames)


def _owner(view: View, region: Optional[int]) -> str:
    """Type and id of the device that owns a memory region, from the facts."""
    if not region:
        return ""
    for known in view.facts.regions:
        if known.address == region:
            words = " ".join(w for w in (known.owner_type, known.owner_id) if w)
            return words or known.name
    return ""


def _exit_reason(view: View) -> str:
    """What the vCPU loop does with its last exit."""
    found = access(view)
    if found is not None:
        return {"port": "port I/O", "mmio": "MMIO"}.get(found.kind, "a device access")
    return ""


def _kvm(view: View) -> str:
    inner = next((n for n in view.inner if n), "")
    reason = _exit_reason(view)
    if view.has("kvm_handle_internal_error"):
        return "KVM reported an internal error for the vCPU"
    if "kvm_vcpu_ioctl" in view.all_names[: view.last + 1] or inner == "ioctl":
        return "in the guest: KVM_RUN has not returned"
    if reason:
        return f"left KVM_RUN for {reason}"
    return "runs the KVM vCPU loop"


def _deliver(view: View) -> str:
    found = access(view)
    if found is not None and not (found.last < view.first or found.first > view.last):
        return f"delivers the {found.text}"
    return _dma(view)


def _deliver_short(view: View) -> str:
    found = access(view)
    if found is not None and not (found.last < view.first or found.first > view.last):
        return found.short
    return _dma(view)


def _dma(view: View) -> str:
    """An access by QEMU's own code: DMA of a device, loaders, the monitor."""
    address = view.number(ADDRESS_SPACE, "addr")
    length = view.number(ADDRESS_SPACE, "len", "l")
    if any(name in _XEN for name in view.names) and address is None:
        return "serves an access that Xen hands over"
    write = _direction(view)
    verb = {True: "writes", False: "reads", None: "accesses"}[write]
    if any(name in DISPATCH for name in view.names):
        what = "device registers"
    else:
        what = "guest memory"
    if address is not None and write and 0xFEE00000 <= address <= 0xFEEFFFFF and any("msi" in n for n in view.outer):
        return f"sends an MSI: a write to {address:#x}"
    size = f"{length} bytes of " if length is not None and 0 < length < 1 << 40 else ""
    where = f" at guest-physical {address:#x}" if address is not None else ""
    return f"{verb} {size}{what}{where}"


def _softmmu(view: View) -> str:
    found = access(view)
    write = _direction(view)
    width = _width(view)
    address = view.number(TCG_MEMORY, "addr")
    if found is not None and found.first <= view.first <= found.last:
        address = found.virtual
    verb = {True: "store", False: "load", None: "memory access"}[write]
    size = f"{width}-byte " if width else ""
    where = f" at guest-virtual {address:#x}" if address is not None else ""
    if any(re.search(r"_code(?:_|$)|_cmmu$", n) for n in view.names):
        return f"fetches guest code{where}"
    if found is not None and found.first <= view.first <= found.last:
        return f"guest {size}{verb}{where}: not RAM"
    return f"guest {size}{verb}{where}, on the slow path"


def _softmmu_short(view: View) -> str:
    found = access(view)
    return "" if found is not None and found.first <= view.first <= found.last else _softmmu(view)


ROWS = (
    # accel/kvm/kvm-all.c, kvm-accel-ops.c (cpus.c up to 5.1)
    Row(
        "KVM vCPU loop",
        Names(
            "kvm_cpu_exec",
            "kvm_vcpu_thread_fn",
            "qemu_kvm_cpu_thread_fn",
            "kvm_vcpu_ioctl",
            "kvm_handle_internal_error",
            "kvm_run",
            "kvm_main_loop_cpu",
            "ap_main_loop",
        ),
        _kvm,
        short="",
        subsystem="Overall KVM CPUs",
        weight=1,
    ),
    # system/physmem.c, system/memory.c, hw/xen/xen-hvm-common.c (10.2); before: memory.c, ioport.c
    Row(
        "guest access",
        Names(
            *(p for s in (DISPATCH, ADDRESS_SPACE, TCG_IO, _TCG_IN_OUT) for p in s.patterns),
            "kvm_handle_io",
            *(p for p in EXIT.patterns if "exec" not in p and "loop" not in p and "vcpu_run" not in p),
        ),
        _deliver,
        short=_deliver_short,
        subsystem="Memory API",
        weight=8,
        trigger=True,
        reads=tuple(sorted(HANDLERS)),
    ),
    # accel/tcg/cputlb.c, accel/tcg/user-exec.c (10.2); before: accel/tcg/cputlb.c
    Row(
        "guest memory access",
        TCG_MEMORY,
        _softmmu,
        short=_softmmu_short,
        subsystem="Overall TCG CPUs",
        weight=6,
        trigger=True,
        reads=tuple(f"do_{d}{n}_mmu" for d in ("ld", "st") for n in (1, 2, 4, 8, 16))
        + tuple(
            f"helper_{e}_{d}_mmu"
            for e in ("le", "be", "ret")
            for d in ("stb", "stw", "stl", "stq", "ldub", "lduw", "ldul", "ldq", "ldsb", "ldsw", "ldsl")
        )
        + tuple(f"helper_{d}_mmu" for d in ("stb", "stw", "stl", "stq", "ldub", "lduw", "ldul", "ldq"))
        + tuple(f"cpu_{d}_mmu" for d in ("stb", "stw", "stl", "stq", "ldb", "ldw", "ldl", "ldq")),
    ),
    # system/physmem.c, hw/virtio/virtio.c, system/dma-helpers.c (10.2); before: exec.c, softmmu/physmem.c
    Row(
        "DMA",
        Names(
            "dma_memory_rw",
            "dma_memory_rw_relaxed",
            "dma_memory_read",
            "dma_memory_write",
            "dma_buf_*",
            "pci_dma_rw",
            "pci_dma_read",
            "pci_dma_write",
            "dma_memory_set",
            "ldl_dma",
            "stl_dma",
            "address_space_map",
            "address_space_unmap",
            "dma_memory_map",
            "dma_memory_unmap",
            "cpu_physical_memory_map",
            "cpu_physical_memory_unmap",
            "cpu_physical_memory_write_rom",
            "address_space_write_rom*",
            "virtqueue_map_desc",
            "virtqueue_map_iovec",
            "qemu_sglist_*",
            "ld*_*_pci_dma",
            "st*_*_pci_dma",
            "ld*_*_dma",
            "st*_*_dma",
            "address_space_cache_*",
            "address_space_*_cached*",
            "address_space_*_cached_slow",
        ),
        lambda v: (
            "maps guest memory for the device"
            if any("_map" in n for n in v.names)
            else "unmaps guest memory after the device's transfer"
            if any("unmap" in n for n in v.names)
            else "the device reads or writes guest memory (DMA)"
        ),
        short="device DMA",
        weight=4,
    ),
)
