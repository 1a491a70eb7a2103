"""What the host's kernel makes a task of QEMU's wait for: the subsystem that a function or module of Linux belongs to.

Names are Linux's, 3.10 to 6.x; the folder or file stands above each row.
"""

from __future__ import annotations

import functools
from typing import FrozenSet, NamedTuple, Optional, Tuple

from .match import Names


class KernelPart(NamedTuple):
    """A part of the kernel in which a task waits."""

    key: str
    names: Names  # functions
    says: str  # behind "waits for"
    step: str = ""  # what to do on the host
    modules: FrozenSet[str] = frozenset()
    tells: bool = True  # False: the user's own frames tell as much
    general: bool = False  # holds where no other row does


def _row(key: str, modules: str, names: str, says: str, step: str = "", **more: bool) -> KernelPart:
    return KernelPart(key, Names(*names.split()), says, step, frozenset(modules.split()), **more)


# The innermost frame that a row has decides; a general row only where no other has one.
PARTS: Tuple[KernelPart, ...] = (
    # fs/nfs, net/sunrpc
    _row("nfs", "nfs nfsv2 nfsv3 nfsv4 nfs_layout_flexfiles sunrpc rpcrdma",
         "nfs_* nfs3_* nfs4_* rpc_* __rpc_* xprt_* call_transmit*", "NFS",
         "does the NFS server answer? The host's dmesg (\"nfs: server ... not responding\"), nfsstat -c; under a hard "
         "mount the call returns only when the server does"),
    # fs/ceph, net/ceph, drivers/block/rbd.c
    _row("ceph", "ceph libceph rbd", "ceph_* rbd_*", "the kernel's Ceph client",
         "ceph -s on the cluster, and the host's dmesg (libceph)"),
    # fs/smb/client (fs/cifs until 6.3)
    _row("cifs", "cifs", "cifs_* smb2_* SMB2_*", "CIFS (SMB)", "does the SMB server answer? The host's dmesg (CIFS)"),
    # fs/fuse
    _row("fuse", "fuse virtiofs", "fuse_* __fuse_* request_wait_answer wait_answer_interruptible", "FUSE",
         "which program serves that file system (mount, fusermount)? It does not answer the request"),
    # fs/ocfs2, fs/gfs2, fs/dlm
    _row("cluster-fs", "ocfs2 gfs2 dlm lustre", "gfs2_* ocfs2_* dlm_*", "the cluster file system's locks",
         "is another node of the cluster gone, or not fenced? The host's dmesg, dlm_tool ls"),
    # drivers/block/drbd
    _row("drbd", "drbd", "drbd_*", "DRBD", "drbdadm status: is the peer gone, or I/O suspended?"),
    # drivers/md/dm*.c
    _row("dm", "dm_mod dm_multipath dm_crypt dm_thin_pool dm_snapshot",
         "dm_* multipath_* dmcrypt_* __split_and_process*", "the device mapper",
         "multipath -ll and dmsetup info on the host: is a device suspended, or (queue_if_no_path) without "
         "a path?"),
    # drivers/md/md.c, raid*.c
    _row("md", "md_mod raid1 raid10 raid456", "md_* raid1_* raid5_* raid10_*", "the software RAID",
         "cat /proc/mdstat"),
    # drivers/scsi, block/scsi_ioctl.c, block/bsg.c
    _row("scsi", "scsi_mod sg iscsi_tcp libiscsi", "scsi_* sg_io sg_ioctl* bsg_* blk_execute_rq",
         "a SCSI command to the device", "the host's dmesg: SCSI errors, aborts, resets of that device"),
    # drivers/nvme/host
    _row("nvme", "nvme nvme_core nvme_tcp nvme_rdma nvme_fc", "nvme_*", "the NVMe driver",
         "the host's dmesg: timeouts of that NVMe device or its fabric"),
    # fs/jbd2, fs/xfs/xfs_log*.c, fs/btrfs/transaction.c
    _row("journal", "jbd2", "jbd2_* wait_transaction_locked start_this_handle xfs_log_* xlog_* "
         "btrfs_commit_transaction btrfs_wait_for_commit wait_current_trans* txg_wait_synced* zil_commit*",
         "the file system's journal", "iostat -x 1 on the host: is the disk below that file system slow or gone?"),
    # fs/super.c, kernel/locking/percpu-rwsem.c: FIFREEZE first waits for who writes
    _row("freeze", "", "freeze_super sb_wait_write thaw_super", "the writers that are inside that file system",
         "which task is in a write to it, and what keeps that one (echo w > /proc/sysrq-trigger; dmesg)? Of a loop "
         "device the file system below may be frozen already"),
    # drivers/pci/pci.c
    _row("pci-reset", "", "pci_dev_lock pci_*reset* pcie_flr pcie_*reset* pci_dev_wait pci_bridge_wait_for_* "
         "pcie_wait_for_link*", "a PCI reset",
         "the host's dmesg (\"not ready ... after FLR\"): a device that does not come back from its reset takes a "
         "power cycle of the host"),
    # drivers/vfio
    _row("vfio", "vfio vfio_pci vfio_pci_core vfio_iommu_type1 iommufd mdev", "vfio_*", "VFIO",
         "the host's dmesg: does it tell of that device or of its IOMMU?"),
    # drivers/vhost
    _row("vhost", "vhost vhost_net vhost_scsi vhost_vsock vhost_vdpa", "vhost_*", "vhost",
         "the worker's own stack: /proc/TID/stack of the task vhost-PID (a thread of QEMU from Linux 6.4)"),
    # drivers/gpu, drivers/dma-buf
    _row("gpu", "i915 xe amdgpu nouveau nvidia drm drm_kms_helper", "drm_* dma_fence_* dma_resv_* amdgpu_* i915_*",
         "the GPU's driver", "the host's dmesg: has the GPU hung or been reset?"),
    # drivers/usb/core/devio.c
    _row("usb", "usbcore xhci_hcd ehci_hcd", "usb_* usbdev_* proc_do_submiturb proc_submiturb", "USB",
         "the host's dmesg: the USB device"),
    # fs/userfaultfd.c
    _row("userfault", "", "handle_userfault", "a page that userfaultfd's server has to bring",
         "who serves the userfaultfd (the source of a postcopy migration, a background snapshot)? It has not sent "
         "that page"),
    # mm/memory.c, mm/page_io.c, mm/swap_state.c
    _row("swap", "", "do_swap_page swap_readpage swap_read_folio* swapin_readahead read_swap_cache_async "
         "swap_cluster_readahead shmem_swapin*", "a page from swap",
         "vmstat 1 (si, so) and grep VmSwap /proc/PID/status: the host swaps this process; free memory, or lock "
         "guest RAM"),
    # mm/page-writeback.c
    _row("dirty", "", "balance_dirty_pages*", "writeback of dirty pages",
         "iostat -x 1 on the host: the disk that these pages go to is too slow"),
    # mm/vmscan.c, mm/page_alloc.c, mm/memcontrol.c, mm/compaction.c
    _row("reclaim", "", "__alloc_pages_slowpath* try_to_free_* shrink_* throttle_direct_reclaim mem_cgroup_handle_* "
         "try_charge* mem_cgroup_oom* compact_zone* try_to_compact_pages", "free memory (reclaim)",
         "free and cat /proc/pressure/memory; memory.events of its control group: the host or its limit is short of "
         "memory"),
    # mm/filemap.c
    _row("mapped-file", "", "filemap_fault __filemap_fdatawait_range", "a page of a file",
         "iostat -x 1: the disk of that file is slow or gone"),
    # kernel/rcu
    _row("rcu", "", "synchronize_rcu* synchronize_srcu* __synchronize_srcu wait_rcu_gp* __wait_rcu_gp rcu_barrier*",
         "an RCU grace period", "the host's dmesg: RCU stalls; which processor does not come to rest?"),
    # net/core/rtnetlink.c
    _row("rtnl", "", "rtnl_lock* rtnetlink_rcv*", "the lock of the network's configuration (rtnl)",
         "the host's dmesg: which task holds rtnl_lock?"),
    # fs/coredump.c, kernel/exit.c
    _row("dies", "", "do_coredump vfs_coredump coredump_wait coredump_task_exit do_exit exit_mm exit_mmap",
         "the end of the process, which is dying", "has its core been written (coredumpctl)? A large one takes time"),
    # kernel/ptrace.c, kernel/signal.c, kernel/freezer.c
    _row("stopped", "", "ptrace_stop do_signal_stop do_freezer_trap __refrigerator",
         "being let go on (stopped, traced or frozen)", "cat /proc/PID/status (State, TracerPid), and cgroup.freeze"),
    # block, mm/filemap.c, fs/iomap
    _row("io", "", "io_schedule* blk_mq_get_tag bt_get wbt_wait rq_qos_wait submit_bio_wait blkdev_* "
         "wait_on_page_* folio_wait_* __folio_lock* __lock_page* iomap_dio_* __iomap_dio_* blk_io_schedule "
         "__wait_on_buffer wait_on_buffer dio_await_completion* do_blockdev_direct_IO", "disk I/O",
         "iostat -x 1 and dmesg on the host: is that disk slow, or gone?", general=True),
    # virt/kvm/kvm_main.c: the guest's CPU is halted
    _row("halt", "", "kvm_vcpu_block kvm_vcpu_halt kvm_vcpu_check_block", "the guest's next interrupt", tells=False,
         general=True),
)  # fmt: skip


@functools.lru_cache(maxsize=4096)
def part_of(name: str, module: Optional[str]) -> Optional[KernelPart]:
    """The row of a function, which is in a module of the kernel or in none."""
    bare = module.strip("[]") if module else ""
    return next((row for row in PARTS if bare in row.modules or name in row.names), None)
