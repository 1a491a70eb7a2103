"""QEMU's last words where it ends in order: its messages, what they mean, what to do. Functions of 5.2 to 10.2."""

from __future__ import annotations

from typing import Iterable, Optional, Tuple

from ..pattern import Pattern
from ..record import record


@record
class LastWord:
    """A message with which QEMU (or one of its tools) ends, or refuses a command."""

    name: str
    key: str  # in every such line
    pattern: Pattern
    says: str  # what it means
    steps: Tuple[str, ...]
    also_answers: bool = False  # a monitor gives it, too, and QEMU goes on
    anybodys: bool = False  # other programs and people say it as well: heard only where the line is QEMU's


@record
class Heard:
    """A line that has a message of the table."""

    word: LastWord
    text: str  # the message alone
    line: str


_LOOK_ALIKE = (
    "compare both sides: QEMU's version, the machine type with its version (-machine pc-q35-6.2, not q35), and the "
    "devices with their options",
)
_OPENER = "who has it open: lsof IMAGE, or `lslocks`; `qemu-img info -U IMAGE` looks at it without the lock"
_NO_DISPLAY = "there is no display to open a window on"
_DISPLAY = "DISPLAY or WAYLAND_DISPLAY of that user; -display none or -vnc :0 needs none"

# The more telling first: several of them stand in one log, and the last is often only the consequence.
ROWS: Tuple[LastWord, ...] = (
    # virtio_load(), hw/virtio/virtio.c
    LastWord(
        "virtio-features",
        "Allowed features",
        Pattern(r"Features 0x[0-9a-fA-F]+ unsupported\. Allowed features: 0x\w+"),
        "the guest has been using features of a virtio device that the device here does not offer",
        (
            "the device's options on both sides, and vhost (the host's kernel, or the vhost-user server): which "
            "feature bit has the first number and not the second?",
            *_LOOK_ALIKE,
        ),
    ),
    # configuration_post_load(), migration/savevm.c
    LastWord(
        "machine-differs",
        "Machine type received",
        Pattern(r"Machine type received is '[^']*' and local is '[^']*'"),
        "the source runs another machine type than this side was started with",
        ("start this side with the source's -machine",),
    ),
    # qemu_ram_resize(), system/physmem.c
    LastWord(
        "ram-size-differs",
        "Size mismatch",
        Pattern(r"Size mismatch: \S+: 0x[0-9a-fA-F]+ != 0x[0-9a-fA-F]+.*"),
        "a block of memory has another size on the two sides: RAM, or a device's ROM file",
        (
            "the block's name tells which: -m and the machine for RAM, the version of the ROM package for a ROM "
            "(`romsize=` of the device sets it)",
            *_LOOK_ALIKE,
        ),
    ),
    # the same function's words before 5.2
    LastWord(
        "ram-length-differs",
        "Length mismatch",
        Pattern(r"Length mismatch: \S+: (?:0x)?[0-9a-fA-F]+ in != (?:0x)?[0-9a-fA-F]+.*"),
        "a block of memory has another size on the two sides: RAM, or a device's ROM file",
        (
            "the block's name tells which: -m and the machine for RAM, the version of the ROM package for a ROM",
            *_LOOK_ALIKE,
        ),
    ),
    # check_section_footer(), migration/savevm.c
    LastWord(
        "section-footer",
        "Missing section footer",
        Pattern(r"Missing section footer for .*"),
        "the source wrote more or less of that device's state than this side reads",
        (*_LOOK_ALIKE, "a known incompatibility of two versions looks like that: try the same version on both"),
    ),
    # qemu_loadvm_section_start_full(), migration/savevm.c
    LastWord(
        "unknown-section",
        "Unknown savevm section",
        Pattern(r"Unknown savevm section.*"),
        "the source sends the state of a device that this side does not have",
        _LOOK_ALIKE,
    ),
    LastWord(
        "not-a-stream",
        "migration stream",
        Pattern(r"(?:Not a|Unsupported) migration stream.*"),
        "what came in is no migration stream of a QEMU that this one understands",
        ("is it compressed, or from another program? (-incoming exec: with the right filter)",),
    ),
    LastWord(
        "device-state",
        "error while loading state",
        Pattern(r"error while loading state .*"),
        "that device's state, as the source sent it, does not fit the device here",
        (*_LOOK_ALIKE, "the lines above it in QEMU's log tell which field"),
    ),
    # process_incoming_migration_co(), migration/migration.c
    LastWord(
        "load-failed",
        "load of migration failed",
        Pattern(r"load of migration failed.*"),
        "the incoming migration (or the saved state) could not be loaded; the guest goes on at the source",
        ("QEMU's lines above it, in the destination's log, tell what did not fit", *_LOOK_ALIKE),
    ),
    # raw_check_lock_bytes() and raw_handle_perm_lock(), block/file-posix.c
    LastWord(
        "image-lock",
        "lock",
        Pattern(r"Failed to get (?:shared )?\"[\w-]+\" lock.*"),
        "another process uses the image in a way that this one must not share: a running VM, a backup, a tool, or a "
        "QEMU on another host with the same storage",
        (
            _OPENER,
            "two at once damage an image: end the other one, or open it read-only and shared "
            "(-U of qemu-img; read-only=on,file.locking=off only if nobody writes)",
        ),
        True,
    ),
    # kvm_init(), accel/kvm/kvm-all.c
    LastWord(
        "kvm-module",
        "Could not access KVM",
        Pattern(r"Could not access KVM kernel module:? ?.*"),
        "/dev/kvm cannot be opened",
        (
            "ls -l /dev/kvm: missing, if the module is not loaded (dmesg | grep -i kvm: virtualization is off in the "
            "firmware, or this is a VM without nested virtualization); else the user needs its group (kvm)",
            "-accel tcg runs without it, slowly",
        ),
    ),
    LastWord(
        "kvm-create",
        "KVM_CREATE_VM",
        Pattern(r"ioctl\(KVM_CREATE_VM\) failed.*"),
        "the kernel refuses to create a VM",
        (
            "EBUSY: another hypervisor (VirtualBox, VMware) has the processor's virtualization; stop it, or unload "
            "its module",
            "dmesg | grep -i kvm",
        ),
    ),
    # configure_accelerators() and do_configure_accelerator(), system/vl.c
    LastWord(
        "accelerator",
        "ailed to initialize",
        Pattern(r"(?i:failed to initialize (?:kvm|hvf|whpx|xen|nvmm|hax|mshv))\b.*"),
        "the accelerator cannot be used",
        (
            "QEMU's line above it tells why; `Device or resource busy`: another hypervisor (VirtualBox, VMware) has "
            "the processor's virtualization",
            "dmesg | grep -i kvm; ls -l /dev/kvm",
        ),
    ),
    # ram_block_add(), system/physmem.c
    LastWord(
        "guest-memory",
        "cannot set up guest memory",
        Pattern(r"cannot set up guest memory .*"),
        "the host refuses the memory for the guest's RAM",
        (
            "free -m, and the limits: ulimit -v, the control group's memory.max, vm.overcommit_memory=2 (CommitLimit "
            "of /proc/meminfo)",
            "less -m, or swap",
        ),
    ),
    # file_ram_alloc(), system/physmem.c
    LastWord(
        "backing-store",
        "unable to map backing store",
        Pattern(r"unable to map backing store for guest RAM.*"),
        "the file or the huge pages behind the guest's RAM cannot be mapped",
        ("grep Huge /proc/meminfo: enough free huge pages, of that size and on that NUMA node? df of a mem-path",),
    ),
    # "group N" of hw/vfio/container-legacy.c in 10.2, container.c in 10.0, common.c in 7.2; util/vfio-helpers.c
    LastWord(
        "vfio-viable",
        "is not viable",
        Pattern(r"(?:VFIO group|group \d+) is not viable.*"),
        "not all devices of the IOMMU group are bound to vfio-pci (or to no driver)",
        ("ls /sys/kernel/iommu_groups/N/devices; lspci -nnk of each: bind them all to vfio-pci, bridges excepted",),
        True,
    ),
    LastWord(
        "vfio-container",
        "for container",
        Pattern(
            r"(?:[Ff]ailed to setup container for group \d+: )?Failed to set iommu for "
            r"container.*"
        ),
        "the kernel cannot set up an IOMMU for that group",
        (
            "dmesg: EPERM without interrupt remapping (allow_unsafe_interrupts of vfio_iommu_type1), EINVAL without "
            "an IOMMU (intel_iommu=on, the firmware's setting)",
        ),
        True,
    ),
    LastWord(
        "vfio-container",
        "group container",
        Pattern(
            r"(?:[Ff]ailed to setup container for group \d+: )?Failed to set group "
            r"container.*"
        ),
        "the group cannot be added to the container",
        ("dmesg; EINVAL: the group has no IOMMU, or its devices are not all bound to vfio-pci",),
        True,
    ),
    LastWord(
        "vfio-group",
        "iommu_group",
        Pattern(r"(?:vfio[^:]*: )?no iommu_group found.*"),
        "the device has no IOMMU group: there is no IOMMU, or it is off",
        ("dmesg | grep -i -e DMAR -e AMD-Vi: on in the firmware, and on the kernel's command line (intel_iommu=on)?",),
        True,
    ),
    # launch_script(), net/tap.c
    LastWord(
        "net-script",
        "network script",
        Pattern(r"could not launch network script \S+.*|network script \S+ failed with status -?\d+.*"),
        "the script that sets the tap device up failed (status is wait()'s: 256 is exit status 1)",
        (
            "run it by hand as that user (sh -x SCRIPT tap0): a missing bridge, tool or privilege; script=no leaves it "
            "out",
        ),
        True,
    ),
    # tap_open(), net/tap-linux.c
    LastWord(
        "tap",
        "/dev/net/tun",
        Pattern(r"could not (?:open|configure) /dev/net/tun.*"),
        "the tap device cannot be set up",
        ("who owns it (ip -d link), is it in use by another VM, may this user create one?",),
        True,
        True,
    ),
    # pci_add_option_rom(), hw/pci/pci.c
    LastWord(
        "romfile",
        "romfile",
        Pattern(r"failed to find romfile \"[^\"]*\""),
        "the device's ROM file is not installed, or not where this QEMU looks",
        (
            "the package with the ROMs (ipxe-qemu, seabios, qemu-system-data); -L DIR; or romfile= (empty) for a "
            "device that needs none",
        ),
    ),
    LastWord(
        "firmware",
        "could not load",
        Pattern(r"could not load (?:PC BIOS|kernel|initrd|firmware|bios)\b.*"),
        "a file that the guest starts from cannot be read",
        ("does it exist, where QEMU looks (-L, the data folder), and may this user read it?",),
        False,
        True,
    ),
    # machine_parse(), system/vl.c
    LastWord(
        "machine-type",
        "nsupported machine type",
        Pattern(r"[Uu]nsupported machine type.*"),
        "this QEMU does not have that machine type: a newer one, a distribution's own, or one that was removed",
        ("qemu-system-... -machine help; for a VM from a newer host: the older type, or a newer QEMU",),
        False,
        True,
    ),
    # qdev_get_device_class(), system/qdev-monitor.c
    LastWord(
        "device-name",
        "is not a valid device model",
        Pattern(r"'[^']*' is not a valid device model name"),
        "this QEMU does not have that device: it is built without it, or its module is not installed",
        (
            "qemu-system-... -device help; the distribution's package of the module (qemu-system-modules, "
            "qemu-device-display-...)",
        ),
        True,
    ),
    # qemu_opts_create(), util/qemu-option.c; qdev_set_id(), system/qdev-monitor.c; net_client_init1(), net/net.c
    LastWord(
        "duplicate-id",
        "Duplicate",
        Pattern(r"Duplicate (?:device )?ID '[^']*'.*"),
        "two options, or a device that is still there, have the same id",
        ("give another id; after device_del: wait for DEVICE_DELETED before the id is used again",),
        True,
        True,
    ),
    # set_drive_helper(), hw/core/qdev-properties-system.c; blockdev.c
    LastWord(
        "in-use",
        "in use",
        Pattern(r"(?:Device|Drive|Node|Block device|IDE unit|Floppy unit) '?[\w#./:-]+'? is (?:already )?in use.*"),
        "something has that device or node already: another device, a block job, a migration",
        ("`info block -v` and `info block-jobs` (query-named-block-nodes): who has it?",),
        True,
        True,
    ),
    # inet_listen_saddr(), unix_listen_saddr(), util/qemu-sockets.c
    LastWord(
        "address-in-use",
        "Address already in use",
        Pattern(
            r"(?:Failed to (?:bind socket|find an available port|listen on socket).{0,200}?)?"
            r"Address already in use"
        ),
        "another process listens on that address: often the same VM, started twice",
        ("ss -ltnp (or -lxp for a UNIX socket): who listens there?",),
        True,
        True,
    ),
    # bdrv_open_driver(), block.c; raw_open_common(), block/file-posix.c
    LastWord(
        "no-access",
        "ermission denied",
        Pattern(r"(?:Could not open|could not open) '?[^']*'?: Permission denied"),
        "the user that QEMU runs as may not open that file",
        (
            "ls -lZ FILE and each folder above it: owner and mode, the SELinux or AppArmor label (ausearch -m avc; "
            "dmesg | grep DENIED)",
        ),
        True,
        True,
    ),
    LastWord(
        "no-file",
        "ould not open '",
        Pattern(r"[Cc]ould not open '[^']*': .*"),
        "that file cannot be opened, for the reason that stands behind it",
        (
            "does it exist for that user, on this host; and each image of its backing chain (qemu-img info "
            "--backing-chain)?",
        ),
        True,
        True,
    ),
    # sdl2_display_init(), ui/sdl2.c: without the program's name
    LastWord(
        "display",
        "ould not initialize SDL",
        Pattern(r"[Cc]ould not initialize SDL ?\([^)]*\) - exiting"),
        _NO_DISPLAY,
        (_DISPLAY,),
    ),
    LastWord(
        "display",
        "nitializ",
        Pattern(r"gtk initialization failed|[Cc]ould not initialize SDL.*"),
        _NO_DISPLAY,
        (_DISPLAY,),
        False,
        True,
    ),
)


# error_report() puts the program's name in front, libvirt its own words; a monitor answers a command
_QEMUS = Pattern(
    r"(?:^|[\s:'\"/\\(])(?:lt-)?(?:qemu|kvm)[\w.+-]*(?:\[\d+\])?: "
    r"|unable to execute QEMU command|closed the monitor|connecting to monitor|\"class\": ?\"GenericError\""
)


def heard(lines: Iterable[str]) -> Optional[Heard]:
    """The most telling message of the table among ``lines``, its first occurrence."""
    best: Optional[Heard] = None
    rank = len(ROWS)
    asked = False  # whether the line before is a command at QEMU's prompt
    for line in lines:
        cut = line[:2000]
        for position, row in enumerate(ROWS[:rank]):
            if row.key in cut:
                match = row.pattern.search(cut)
                if match is not None and (not row.anybodys or asked or _QEMUS.search(cut[: match.start()])):
                    best, rank = Heard(row, match.group(0).strip(), line), position
                    break
        asked = cut.lstrip().startswith("(qemu)")
        if not rank:
            break
    return best
