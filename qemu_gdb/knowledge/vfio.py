"""What the kernel's answers to a mapping of guest memory for an assigned device mean."""

from __future__ import annotations

from typing import Dict, Optional, Tuple

from ..pattern import Pattern

# "vfio_container_dma_map(0x55.., 0x383800000000, 0x2000000, 0x7f..) = -12 (Cannot allocate memory)": the listener and
# the vIOMMU's notifier in hw/vfio/listener.c (common.c before 10.1); vfio_dma_map() before 9.0
RESULT = Pattern(
    r"vfio_(?:container_)?dma_map\((?P<container>0x[0-9a-fA-F]+|\(nil\)), (?P<iova>0x[0-9a-fA-F]+), "
    r"(?P<size>0x[0-9a-fA-F]+), (?P<vaddr>0x[0-9a-fA-F]+|\(nil\))\) = -(?P<errno>\d{1,3})\b"
)

# errno of VFIO_IOMMU_MAP_DMA: vfio_dma_do_map() and vfio_pin_pages_remote() of Linux, drivers/vfio/vfio_iommu_type1.c
_WHY: Dict[int, Tuple[str, Tuple[str, ...]]] = {
    12: ("ENOMEM: QEMU may not lock that much memory, or the host has none left",
         ("ulimit -l of QEMU (RLIMIT_MEMLOCK, /proc/PID/limits: Max locked memory): all of the guest's RAM has to fit, "
          "once for each container with a vIOMMU (libvirt: <memtune><hard_limit>)",
          "the host's kernel log: it has a line of vfio_pin_pages_remote, if it was that limit")),
    22: ("EINVAL: the range is not one that this IOMMU can map",
         ("does the guest's physical address (the second number) fit the IOMMU's width? dmesg: DMAR/AMD-Vi, host "
          "address width; keep the guest's below it (host-phys-bits-limit=, guest-phys-bits=, pci-hole64-size)",
          "/sys/kernel/iommu_groups/N/reserved_regions: a guest's range must not touch them")),
    14: ("EFAULT: there is no memory of the host behind the range, or it may not be pinned",
         ("a device's BAR, or a file of memory that is too short: info mtree, which region lies there?",)),
    17: ("EEXIST: a part of the range is mapped already",
         ("another region or another device in the container has mapped it: info mtree -f, which regions overlap "
          "there?",)),
    16: ("EBUSY: a part of the range is in use",
         ("info mtree -f: which regions overlap there?",)),
    1: ("EPERM: the kernel does not allow that mapping",
        ("is the memory behind it read-only, or does the platform refuse devices of that group?",)),
    28: ("ENOSPC: the container has no room for another mapping",
         ("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit (65535): a guest with a vIOMMU maps many small "
          "ranges",)),
}  # fmt: skip


def why(line: str) -> Optional[Tuple[str, Tuple[str, ...]]]:
    """What such a line says in words, and what to look at; None where it is none, or an errno that is not known."""
    match = RESULT.search(line) if "dma_map(" in line else None
    row = _WHY.get(int(match.group("errno"))) if match is not None else None
    if match is None or row is None:
        return None
    size = int(match.group("size"), 16)
    shown = f"{size >> 20} MiB" if size >= 1 << 20 and not size & ((1 << 20) - 1) else f"0x{size:x} bytes"
    return f"The host's kernel refused to map {shown} at guest address {match.group('iova')}: {row[0]}.", row[1]
