"""What the parts of QEMU are called: the MAINTAINERS section of a file, in the words people use."""

from __future__ import annotations

import functools
from typing import Optional, Tuple

# Files that one MAINTAINERS section mixes with others, or that no section owns: path prefix (the longest wins),
# and subsystem.
FILE_SUBSYSTEMS: Tuple[Tuple[str, str], ...] = (
    # "Block I/O path" owns block/io.c and the event loop alike; a thread that rests in aio_poll does no block I/O.
    ("async.c", "AioContext/event loop"),
    ("aio-posix.c", "AioContext/event loop"),
    ("aio-win32.c", "AioContext/event loop"),
    ("util/async.c", "AioContext/event loop"),
    ("util/aio-", "AioContext/event loop"),
    ("util/fdmon-", "AioContext/event loop"),
    ("include/block/aio", "AioContext/event loop"),
    ("util/event_notifier", "AioContext/event loop"),
    ("include/qemu/event_notifier", "AioContext/event loop"),
    ("util/thread-pool", "AioContext/event loop"),
    ("thread-pool.c", "AioContext/event loop"),
    ("iothread.c", "AioContext/event loop"),
    ("event-loop-base.c", "AioContext/event loop"),
    ("include/system/iothread", "AioContext/event loop"),
    ("include/sysemu/iothread", "AioContext/event loop"),
    ("main-loop.c", "Main loop"),
    ("util/main-loop", "Main loop"),
    ("qemu-timer", "Main loop"),
    ("util/qemu-timer", "Main loop"),
    ("include/qemu/timer", "Main loop"),
    ("vl.c", "Main loop"),
    ("cpus.c", "Main loop"),
    ("util/defer-call.c", "Block I/O path"),
    ("include/qemu/main-loop", "Main loop"),
    ("util/iohandler.c", "Main loop"),
    ("iohandler.c", "Main loop"),
    ("monitor.c", "Monitor (QMP and HMP)"),
    ("monitor/monitor.c", "Monitor (QMP and HMP)"),
    ("monitor/misc.c", "Monitor (QMP and HMP)"),
    ("coroutine-", "Coroutines"),
    ("qemu-coroutine", "Coroutines"),
    ("util/coroutine-", "Coroutines"),
    ("util/qemu-co", "Coroutines"),
    ("include/qemu/coroutine", "Coroutines"),
    # Before softmmu/physmem.c there was exec.c, which MAINTAINERS gave to TCG.
    ("exec.c", "Memory API"),
    ("memory.c", "Memory API"),
    ("ioport.c", "Memory API"),
    ("memory_ldst.c.inc", "Memory API"),
    ("memory_ldst.inc.c", "Memory API"),
    ("system/memory_ldst.c.inc", "Memory API"),
    ("include/exec/memory", "Memory API"),
    ("include/sysemu/dma", "Memory API"),
    ("include/system/dma", "Memory API"),
    ("dma-helpers.c", "Block layer core"),
    ("kvm-all.c", "KVM"),
    ("accel/kvm/", "KVM"),
    ("cpu-exec", "TCG CPUs"),
    ("cputlb.c", "TCG CPUs"),
    ("translate-", "TCG CPUs"),
    ("softmmu_template.h", "TCG CPUs"),
    ("accel/tcg/", "TCG CPUs"),
    # Device models that the section "virtio" has no row of their own for.
    ("hw/scsi/virtio-scsi", "virtio-scsi"),
    ("hw/virtio-scsi", "virtio-scsi"),
    ("hw/net/virtio-net", "virtio-net"),
    ("hw/virtio-net", "virtio-net"),
    ("hw/virtio/virtio-net", "virtio-net"),
    ("hw/virtio/virtio-scsi", "virtio-scsi"),
    ("hw/virtio/virtio-blk", "virtio-blk"),
    ("hw/virtio-blk", "virtio-blk"),
    ("hw/dataplane/virtio-blk", "virtio-blk"),
    ("hw/net/vhost_net", "vhost"),
    ("net/vhost-vdpa", "vhost"),
    ("net/vhost-user", "vhost-user"),
    ("hw/virtio/vhost-user", "vhost-user"),
    ("hw/net/e1000", "e1000 network device"),
    ("hw/net/e1000e", "e1000e network device"),
    ("hw/net/rtl8139", "RTL8139 network device"),
    ("hw/display/vga", "VGA"),
    ("hw/vfio/spapr", "VFIO"),
    ("hw/acpi/piix4", "ACPI/SMBIOS"),
    ("hw/acpi_piix4", "ACPI/SMBIOS"),
    ("hw/i386/kvmvapic", "X86 KVM CPUs"),
    ("hw/i386/vapic", "X86 KVM CPUs"),
    ("hw/display/cirrus_vga", "Cirrus VGA"),
    ("migration/postcopy-ram", "Migration (postcopy)"),
    ("ui/vnc", "VNC"),
    ("ui/spice", "SPICE"),
    ("ui/gtk", "GTK display"),
    ("ui/sdl", "SDL display"),
    ("hw/display/qxl", "SPICE (QXL)"),
    ("replay/", "Record/replay"),
    # Shared code without a section of its own.
    ("util/oslib-", "OS support library"),
    ("oslib-", "OS support library"),
    ("util/osdep", "OS support library"),
    ("osdep.c", "OS support library"),
    ("os-posix.c", "OS support library"),
    ("os-win32.c", "OS support library"),
    ("util/qemu-thread", "Threads and locks"),
    ("qemu-thread", "Threads and locks"),
    ("util/qemu-futex", "Threads and locks"),
    ("include/qemu/thread", "Threads and locks"),
    ("include/qemu/lockable", "Threads and locks"),
    ("include/qemu/futex", "Threads and locks"),
    ("util/lockcnt", "Threads and locks"),
    ("util/event.c", "Threads and locks"),
    ("util/thread-context", "Threads and locks"),
    ("cpu-common.c", "CPU core"),
    ("cpus-common.c", "CPU core"),
    ("cpu.c", "CPU core"),
    ("cpu-target.c", "CPU core"),
)

# Where no section owns the file (or only one that cuts across the tree): path prefix (the longest wins) and subsystem.
FALLBACK_SUBSYSTEMS: Tuple[Tuple[str, str], ...] = (
    ("util/", "Utilities"),
    ("include/qemu/", "Utilities"),
    ("qobject/", "QObject"),
    ("qapi/", "QAPI"),
    ("stubs/", "Stubs"),
    ("tests/", "Tests"),
    ("accel/", "CPU core"),
    ("system/", "System emulation core"),
    ("softmmu/", "System emulation core"),
    ("include/system/", "System emulation core"),
    ("include/sysemu/", "System emulation core"),
    ("include/exec/", "Memory API"),
    *((f"include/exec/{header}", "TCG CPUs") for header in (
        "translator", "translation-block", "translate-all", "tb-flush", "gen-icount", "helper-", "cpu_ldst", "cputlb",
        "exec-all", "plugin-gen", "tlb-common",
    )),
    ("include/exec/gdbstub", "GDB stub"),
    ("monitor/", "Monitor"),
    ("include/monitor/", "Monitor"),
    ("hw/core/", "Machine core"),
    ("hw/qdev", "QOM"),
    ("hw/irq.c", "Machine core"),
    ("hw/", "Device models"),
    ("include/hw/", "Device models"),
    ("hw/display/", "Graphics"),
    ("trace/", "Tracing"),
    ("target/tilegx/", "TileGX"),
    ("target-tilegx/", "TileGX"),
    ("libcacard/", "Smart card emulation"),
    ("libdecnumber/", "Decimal arithmetic"),
    ("backends/", "Backends"),
    ("iov.c", "Utilities"),
    ("notify.c", "Utilities"),
    ("module", "Utilities"),
    ("compatfd.c", "Utilities"),
    ("qemu-config.c", "Command line option argument parsing"),
    ("util/qemu-config.c", "Command line option argument parsing"),
)
# Sections of the host systems: a file that only these own is better told by what it does.
HOST_SECTIONS = frozenset({"POSIX", "W32, W64", "Stubs"})

# MAINTAINERS names that say more, or less, than what people call that part.
SHORT_NAMES = {
    "Overall KVM CPUs": "KVM",
    "Overall TCG CPUs": "TCG CPUs",
    "Overall accelerators": "Accelerators",
    "Overall": "CPU core",
    "Read, Copy, Update (RCU)": "RCU",
    "Network Block Device (NBD)": "NBD",
    "Network device backends": "Network backends",
    "raw": "raw block driver",
    "RADOS Block Device (RBD)": "RBD",
    "Human Monitor (HMP)": "HMP",
    "Overall usermode emulation": "User mode",
    "Overall Audio backends": "Audio",
    "Internet Small Computer Systems Interface (iSCSI)": "iSCSI",
}


def short_name(section: str) -> str:
    """What people call a MAINTAINERS section; the section's own name where that is it."""
    return SHORT_NAMES.get(section, section)


@functools.lru_cache(maxsize=16384)
def subsystem_of(path: str, section: Optional[str]) -> Optional[str]:
    """The subsystem of a file relative to QEMU's top folder, None when nothing is known.

    A row of FILE_SUBSYSTEMS first, then its section in people's words, then its folder's.
    """
    precise = _longest(FILE_SUBSYSTEMS, path)
    if precise:
        return precise
    if section and section not in HOST_SECTIONS:
        return short_name(section)
    return _longest(FALLBACK_SUBSYSTEMS, path) or (short_name(section) if section else None)


def _longest(rows: Tuple[Tuple[str, str], ...], path: str) -> Optional[str]:
    found = [row for row in rows if path.startswith(row[0])]
    return max(found, key=lambda row: len(row[0]))[1] if found else None
