"""Calls into the kernel that can take long, and the outside parties that QEMU's functions wait for."""

from __future__ import annotations

from typing import NamedTuple, Tuple

from .holders import PREALLOCATES
from .match import Names
from .rests import CEPH_THROTTLE

# Calls on files: what does not answer is storage.
STORAGE_CALLS = frozenset(
    """lseek lseek64 pread pread64 preadv pwrite pwrite64 pwritev fsync fdatasync fallocate fallocate64 io_submit open
    open64 openat openat64 fstat fstat64 ftruncate ftruncate64 io_getevents msync sync_file_range stat stat64 close
    lstat lstat64 statx fstatat fstatat64 newfstatat statfs statfs64 fstatfs fstatfs64 getdents getdents64 readdir
    readdir64 opendir access faccessat unlink unlinkat rename renameat renameat2 mkdir mkdirat rmdir mknodat linkat
    symlinkat readlink readlinkat fchmodat fchownat utimensat truncate truncate64 fgetxattr getxattr lgetxattr
    fsetxattr setxattr lsetxattr listxattr llistxattr lremovexattr flock fcntl fcntl64 syncfs io_uring_enter""".split()
)
SYSCALLS = Names(
    *STORAGE_CALLS,
    "read", "readv", "preadv*", "write", "writev", "pwritev*", "recv", "recvfrom", "recvmsg", "recvmmsg", "send",
    "sendto", "sendmsg", "connect", "accept", "accept4", "llseek", "ioctl", "waitpid", "wait4", "munmap", "madvise",
    "io_getevents_0*", "io_destroy", "fstat*", "fxstat*", "lxstat*", "xstat*", "__fxstat*", "__lxstat*", "__xstat*",
    "fdopendir", "ftruncate*", "getaddrinfo", "gethostbyname*", "getsockopt", "setsockopt", "statfs*", "fstatfs*",
    "syscall", "splice", "dup3", "posix_fadvise*", "shutdown", "mmap", "mmap64", "copy_file_range", "ReadFile",
    "WriteFile", "NtReadFile", "NtWriteFile", "NtFlushBuffersFile", "FlushFileBuffers", "process_vm_readv",
    "quotactl", "getdents*", "___sys_*", "__sys_*", "__*_syscall", "__libc_recv*", "__libc_send*", "__libc_read*",
    "__libc_write*", "__libc_p*", "__libc_connect", "__libc_accept*", "__libc_open*", "__libc_fsync",
)  # fmt: skip


class Peer(NamedTuple):
    """An outside party that a thread waits for in a function."""

    name: str
    functions: Names
    says: str  # "a client on the chardev"
    title: str
    advice: str
    role: str = ""  # of the thread of this process that answers
    passes: bool = False  # every healthy start waits there for a while


# chardev/char-socket.c tcp_chr_wait_connected (2.x to 10.2): with server=off it connects, and sleeps between attempts
CONNECTS = Names("g_usleep", "nanosleep", "clock_nanosleep", "usleep", "tcp_chr_connect_client_sync", "connect",
                 "socket_connect", "qio_channel_socket_connect_sync")
CHARDEV_SERVER = Peer(
    "chardev-connect", Names(), "the server of a socket chardev (server=off)",
    "QEMU waits for the server of a chardev: nobody listens there",
    "start the program that listens on that chardev's socket (for vhost-user its back-end, Open vSwitch for one)",
)


# What QEMU asks swtpm for, from 1 on: the numbers of backends/tpm/tpm_ioctl.h (5.2 to 10.2)
TPM_COMMANDS = tuple(
    """CMD_GET_CAPABILITY CMD_INIT CMD_SHUTDOWN CMD_GET_TPMESTABLISHED CMD_SET_LOCALITY CMD_HASH_START CMD_HASH_DATA
    CMD_HASH_END CMD_CANCEL_TPM_CMD CMD_STORE_VOLATILE CMD_RESET_TPMESTABLISHED CMD_GET_STATEBLOB CMD_SET_STATEBLOB
    CMD_STOP CMD_GET_CONFIG CMD_SET_DATAFD CMD_SET_BUFFERSIZE CMD_GET_INFO CMD_LOCK_STORAGE""".split()
)


# The first row that a stack matches counts: who owns a chardev, a socket or a library's call, before what it goes by.
PEERS: Tuple[Peer, ...] = (
    # os-posix.c os_daemonize: the parent reads a pipe until os_setup_post of the child has written to it
    Peer("daemonize", Names("os_daemonize"), "its child, which becomes QEMU, to finish its start-up (-daemonize)",
         "The parent of a QEMU that daemonizes waits for its child to start up",
         "pgrep -P PID tells the child; thread apply all bt of that process shows what its start-up waits for",
         passes=True),
    # migration/cpr-transfer.c, 10.0 and later: the new QEMU's first channel, before any monitor
    Peer("cpr", Names("cpr_state_load", "cpr_transfer_input"), "the old QEMU's connection (CPR, cpr-transfer)",
         "The new QEMU of a CPR transfer waits for the old one",
         "normal until migrate with mode cpr-transfer is issued on the old QEMU; the new one has no QMP before that",
         passes=True),
    # backends/tpm/tpm_emulator.c, hw/usb/ccid-card-passthru.c: each talks by a chardev, and waits until all is written.
    # hw/usb/redirect.c does not: it keeps what the chardev does not take.
    Peer("tpm-emulator", Names("tpm_emulator_*"), "swtpm (the TPM emulator)", "swtpm does not answer QEMU's command",
         "look at that swtpm process and its log: is it alive, and what does it do?"),
    Peer("smartcard", Names("ccid_card_vscard_*", "passthru_*"), "the client of the smartcard reader to read",
         "The smartcard reader's client does not read what QEMU sends",
         "look at that client (vscclient, or the SPICE viewer); ending the connection ends the wait"),
    # chardev/char-socket.c
    Peer("chardev-wait", Names("tcp_chr_wait_connected", "qemu_chr_wait_connected", "qmp_chardev_open_socket",
                               "tcp_chr_connect_client_sync", "tcp_chr_accept_server_sync",
                               "qmp_chardev_open_socket_server", "qio_net_listener_wait_client"),
         "a client on a socket chardev (wait=on)", "QEMU waits for a client on a chardev",
         "connect a client to that chardev, or create it with wait=off"),
    # hw/virtio/vhost-user.c: until 9.x it spins a nested GMainLoop or blocks in read
    Peer("vhost-user", Names("vhost_user_read", "vhost_user_read_header", "vhost_user_write", "process_message_reply",
                             # all but vhost_user_server_*, where QEMU itself is the back-end
                             "vhost_user_[!s]*", "vhost_user_s[!e]*", "vhost_user_se[!r]*"),
         "the vhost-user back-end", "The vhost-user back-end does not answer",
         "look at the back-end process (virtiofsd, DPDK, ...): it has not answered this request"),
    # net/vhost-user.c: it waits for its chardev, then starts the back-end; what is further in is static
    Peer("vhost-user-start", Names("net_init_vhost_user"), "the program at the other end of a vhost-user chardev",
         "The program at the other end of a vhost-user chardev does not answer",
         "look at that program (Open vSwitch, DPDK, passt, ...): does it run, and is it connected to that socket?"),
    # crypto/tlssession.c, io/channel-tls.c
    Peer("tls", Names("qcrypto_tls_session_handshake", "qio_channel_tls_handshake*", "gnutls_handshake"),
         "the peer of a TLS handshake", "A TLS handshake is not answered by its peer",
         "look at the other side of that connection"),
    # block/nbd.c, nbd/client.c
    Peer("nbd", Names("nbd_receive_negotiate", "nbd_start_negotiate", "nbd_client_connect",
                      "nbd_co_do_establish_connection",
                      "nbd_establish_connection", "nbd_read", "nbd_receive_*", "nbd_connect", "nbd_client_init",
                      "nbd_co_receive_*", "nbd_co_do_receive_*", "nbd_reply_chunk_iter_receive",
                      "nbd_co_establish_connection", "nbd_do_establish_connection"),
         "the NBD server", "An NBD server does not answer", "look at that NBD server"),
    # migration
    # migration/colo.c: x-colo-lost-heartbeat starts the failover, which shuts the streams down
    Peer("colo", Names("colo_receive_*", "colo_send_*", "colo_wait_handle_message"), "a message of the COLO peer",
         "The COLO peer does not answer",
         'look at QEMU on the other side; where it is gone, on a QMP monitor: {"execute": "x-colo-lost-heartbeat"}'),
    # migration/rdma.c
    Peer("rdma", Names("rdma_get_cm_event"), "an event of the RDMA connection",
         "The RDMA connection's event does not arrive", "look at the RDMA peer: it is gone or has not disconnected"),
    # a completion; a connection that breaks ends this wait (qemu_rdma_wait_comp_channel)
    Peer("rdma-message", Names("qemu_rdma_*", "qio_channel_rdma_*"),
         "the RDMA peer's next message", "The RDMA peer does not answer",
         "look at QEMU on the other side: it may still pin its memory, or be stuck"),
    Peer("migration-stream", Names("qemu_fill_buffer", "qemu_get_byte", "qemu_peek_byte", "qemu_get_buffer",
                                   "qemu_file_get_*", "multifd_recv_thread", "source_return_path_thread",
                                   "qemu_get_be*"),
         "data of the migration stream", "The migration peer sends nothing", "look at QEMU on the other side"),
    Peer("migration-write", Names("qemu_fflush", "qemu_put_buffer*", "multifd_send_thread",
                                  "qemu_put_be*", "qemu_put_byte"),
         "the receiver of the migration stream", "The migration stream is not read by its receiver",
         "look at the receiver, and at the network between: ss -tinp on the host (a send queue that stays full is the "
         "receiver's, retransmissions are the network's)"),
    # block drivers' libraries
    Peer("ceph-throttle", CEPH_THROTTLE,
         "a place among the Ceph client's requests in flight (objecter_inflight_ops, objecter_inflight_op_bytes)",
         "The Ceph client has as many requests in flight as it may, and they do not end",
         "ceph -s on the cluster: slow or blocked requests keep that limit full"),
    Peer("gluster", Names("glfs_*", "qemu_gluster_*"), "libgfapi (Gluster)",
         "A call into libgfapi (Gluster) does not return",
         "look at the Gluster volume and its log"),
    Peer("rbd", Names("rbd_*", "rados_*", "qemu_rbd_*", "librbd::*", "librados::*"), "the Ceph cluster",
         "A call into librbd or librados (Ceph) does not return", "look at the Ceph cluster (ceph -s)"),
    Peer("iscsi", Names("iscsi_*"), "the iSCSI target", "An iSCSI target does not answer", "look at the iSCSI target"),
    Peer("ssh", Names("ssh_*", "libssh2_*", "sftp_*"), "the SSH server", "An SSH server does not answer",
         "look at the SSH server"),
    Peer("curl", Names("curl_*"), "the HTTP server", "An HTTP server does not answer", "look at the HTTP server"),
    Peer("nfs", Names("nfs_*"), "the NFS server", "An NFS server does not answer", "look at the NFS server"),
    # block/nvme.c: the driver inside QEMU polls until the controller's interrupt comes, without a limit
    Peer("nvme-controller", Names("nvme_admin_cmd_sync", "nvme_cmd_sync"), "the NVMe controller to complete a command",
         "An NVMe controller does not complete QEMU's command",
         "the host's dmesg for that PCI device (VFIO, IOMMU faults, interrupts); is it alive? Its CSTS register, bit 1 "
         "(CFS), tells a fatal error; no monitor answers meanwhile"),
    # chardev writes of a blocking back-end
    Peer("chardev-write", Names("qemu_chr_write_buffer", "qemu_chr_write", "qemu_chr_fe_write_all", "tcp_chr_write",
                                "fd_chr_write", "qemu_chr_fe_write"),
         "the reader of a chardev", "A chardev's reader does not read", "look at who reads that chardev"),
    Peer("chardev-read", Names("qemu_chr_fe_read_all", "tcp_chr_sync_read"), "data from a chardev's peer",
         "A chardev's peer sends nothing", "look at the peer of that chardev"),
    # util/qemu-sockets.c
    Peer("connect", Names("socket_connect", "inet_connect*", "unix_connect*", "qio_channel_socket_connect_sync",
                          "getaddrinfo"), "a connection", "A connection is not accepted",
         "look at the server or the name server that it asks"),
    # ui/dbus-listener.c (7.0 and later): each update of the screen is a call with a limit of 1 s
    Peer("dbus-display", Names("dbus_scanout_map", "dbus_update_gl_cb", "dbus_gfx_update", "dbus_gl_gfx_update",
                               "dbus_call_update_gl", "dbus_gfx_switch", "dbus_scanout_texture",
                               "qemu_dbus_display1_listener_*_sync"),
         "the client of the D-Bus display", "The client of the D-Bus display does not answer",
         "look at that client: is it stopped or busy? Each call ends after its time limit (1 s), so that this is slow "
         "rather than dead; ending the client ends it"),
    # gio: whoever asks, the other side of the D-Bus connection answers (its limit is the caller's, 25 s as a rule)
    Peer("dbus", Names("g_dbus_*_sync"), "the other side of a D-Bus connection",
         "The other side of a D-Bus connection does not answer",
         "who serves that D-Bus name? busctl --user list, or busctl list"),
    # gio; net/passt.c net_passt_start_daemon (10.1 and later) waits until passt has gone to the background
    Peer("child", Names("g_subprocess_*wait*", "g_subprocess_communicate*"), "a child process to end",
         "QEMU waits for a child process that it has started",
         "ps --ppid PID on the host: which child is it, and what does it wait for?"),
    # libxenstore (tools/libs/store/xs.c): the answer comes from xenstored or oxenstored
    Peer("xenstore", Names("xs_*", "read_reply"), "xenstored's answer", "xenstored does not answer",
         "look at xenstored (or oxenstored) in dom0: does it run, and does xenstore-ls answer there?"),
    # libspice-server: the dispatcher's pipe to the worker and back
    Peer("spice-worker", Names("dispatcher_send_message", "red_dispatcher_*", "red_qxl_*", "qxl_worker_*"),
         "the SPICE worker thread to do what it was sent", "The SPICE worker does not answer",
         "look at the SPICE worker's thread: what does it wait for?", role="spice-worker"),
    # spice-server: red-channel-client.cpp, the worker waits (30 s at most) until a client has been sent an item
    Peer("spice-client", Names("red_channel_client_wait_*", "*RedChannelClient::wait_*", "red_channel_wait_*"),
         "the SPICE client to take what is queued for it", "A SPICE client does not take what it is sent",
         "look at the SPICE client and its connection (ss -tnp on the host); ending that connection ends the wait"),
    # gdbstub/user.c, gdbstub.c: user-mode emulation with -g listens before it runs the program
    Peer("gdb-connect", Names("gdb_accept_*", "gdbserver_accept*"), "a gdb to connect",
         "QEMU waits for a gdb to connect before it runs the program (-g)",
         "connect: gdb PROGRAM, then: target remote :PORT (or start QEMU without -g, QEMU_GDB)"),
    # the same: it stops in its gdb stub
    Peer("gdb", Names("gdb_handlesig*"),
         "the gdb that debugs the emulated program", "The emulated program is stopped: QEMU waits for its gdb",
         "continue in that gdb (or start QEMU without -g, QEMU_GDB)"),
    # Mesa's EGL and NVIDIA's egl-wayland: they keep frames back until the compositor has asked for the next one
    Peer("wayland-frame", Names("dri2_wl_swap_buffers*", "wlEglSwap*", "wlEglWaitFrame*"),
         "the Wayland compositor's next frame", "The Wayland compositor wants no new frame of QEMU's window",
         "is the window minimised, covered or on another workspace? Then the compositor asks for no frame until it is "
         "visible again; gl=off, or X11 (GDK_BACKEND=x11), does without that"),
    # what ui/gtk.c, ui/sdl2.c, ui/egl-*.c call: libxcb, Xlib, GLX, EGL, libwayland-client
    Peer("display-server", Names("xcb_wait_for_reply*", "xcb_wait_for_special_event", "_XReply", "_XReadEvents",
                                 "XSync", "glXSwapBuffers", "eglSwapBuffers*", "wl_display_roundtrip*",
                                 "wl_display_dispatch*", "wl_display_flush", "dri2_*", "dri3_*", "loader_dri3_*"),
         "the display server (X or Wayland)", "The display server does not answer",
         "look at that X server or compositor, and at the GPU's driver (dmesg)"),
    # audio/paaudio.c, pwaudio.c, jackaudio.c, alsaaudio.c
    Peer("sound-server", Names("pa_threaded_mainloop_wait", "pa_simple_*", "pw_thread_loop_wait",
                               "pw_thread_loop_timed_wait*", "jack_client_open*", "jack_activate", "jack_deactivate",
                               "jack_client_close", "snd_pcm_*"),
         "the host's sound server (PulseAudio, PipeWire, JACK) or sound device",
         "The host's sound server or device does not answer",
         "look at the host's sound server (PulseAudio or PipeWire: pactl info as QEMU's user), or restart it"),
    # libusb, which hw/usb/host-libusb.c calls
    Peer("usb-host", Names("libusb_*"), "the host's USB device and its driver",
         "libusb waits for the host's USB device",
         "the host's dmesg: what does that USB device or its controller report? Unplugging it ends its transfers"),
    Peer("vfio-user", Names("vfio_user_*"), "the vfio-user server", "The vfio-user server does not answer",
         "look at that server"),
    Peer("tpm", Names("tpm_*"), "the TPM emulator", "The TPM emulator does not answer", "look at swtpm"),
    # io/channel-socket.c, io/channel-tls.c: a socket that blocks, whoever uses it
    Peer("socket-write", Names("qio_channel_socket_writev", "qio_channel_tls_write*", "gnutls_bye",
                               "qcrypto_tls_session_bye", "qcrypto_tls_session_push", "gnutls_record_send*"),
         "the other side of a connection to read", "The other side of a connection does not read",
         "ss -tnp on the host: does that connection's Send-Q stay full? Then look at its other side"),
)  # fmt: skip


# qemu-nbd.c: the parent of --fork (and of -c without -v) reads a pipe until its child has started up or has failed
NBD_FORK = Peer(
    "nbd-fork", Names(), "its child, which becomes the server, to finish its start-up (--fork)",
    "The parent of a qemu-nbd that forks waits for its child to start up",
    "the other qemu-nbd process (pgrep -P PID): what its start-up waits for is what holds this one up",
)  # fmt: skip

# ui/ui-qmp-cmds.c, ui/console.c (7.2): screendump yields until graphic_hw_update_done; no frame shows that
SCREENDUMP = Peer(
    "screendump", Names(), "the display device to have drawn its screen (graphic_hw_update_done)",
    "screendump waits for the display device, which does not finish its update",
    "what that device's update waits for: with QXL the SPICE worker thread, with virtio-gpu a fence or its command "
    "queue; no block I/O is part of it",
)  # fmt: skip


# What a vhost-user back-end is, by the device's functions further out: hw/virtio/vhost-user-*.c, net/vhost-user.c,
# hw/net/vhost_net.c, hw/display/vhost-user-gpu.c, hw/block/vhost-user-blk.c, hw/scsi/vhost-user-scsi.c
VHOST_USER_DEVICES: Tuple[Tuple[Names, str, str], ...] = (
    (Names("vuf_*", "vhost_user_fs_*"), "virtiofsd (vhost-user-fs)", "look at that virtiofsd process"),
    (Names("vhost_user_blk_*"), "the vhost-user-blk back-end",
     "look at the daemon that serves that disk (SPDK, qemu-storage-daemon)"),
    (Names("vhost_user_scsi_*"), "the vhost-user-scsi back-end", "look at the daemon that serves that disk (SPDK)"),
    (Names("vhost_user_gpu_*"), "vhost-user-gpu", "look at that vhost-user-gpu process"),
    (Names("vhost_net_*", "virtio_net_*", "net_init_vhost_user", "net_vhost_*"),
     "the vhost-user switch (Open vSwitch, DPDK)", "look at that switch (Open vSwitch, DPDK, VPP) and its log"),
)


class Progress(NamedTuple):
    """Work that takes its time by nature: to be watched before it is called stuck."""

    functions: Names
    title: str
    says: str
    step: str


PROGRESS: Tuple[Progress, ...] = (
    # migration/savevm.c: savevm, snapshot-save
    Progress(Names("save_snapshot", "save_vmstate", "hmp_savevm", "qemu_savevm_state"),
             "A snapshot of the VM is being saved, all of its RAM with it; the VM is stopped meanwhile",
             "savevm writes all of the guest's RAM into the image with the VM stopped, and answers when that is done: "
             "on slow storage this takes long.",
             "the image's size on the host, twice (ls -ls, or iostat): while it is written to, the command goes on"),
    Progress(Names("load_snapshot", "load_vmstate", "hmp_loadvm"),
             "A snapshot of the VM is being loaded, all of its RAM with it",
             "loadvm reads all of the guest's RAM from the image with the VM stopped, and answers when that is done.",
             "iostat on the host, twice: while the image is read, the command goes on"),
    # dump/dump.c: dump-guest-memory stops the VM until it is done, with detach too
    Progress(Names("dump_process", "create_vmcore", "create_kdump_vmcore"),
             "dump-guest-memory writes the guest's memory; the VM is stopped until that is done",
             "dump-guest-memory has stopped the VM and writes all of its memory.",
             "the dump's file, twice: while it grows, the dump goes on (query-dump tells the same where QMP answers)"),
    # util/oslib-posix.c: that, and its threads
    Progress(Names(*PREALLOCATES.patterns, "do_touch_pages", "do_madv_populate_write_pages"),
             "QEMU allocates guest RAM beforehand (prealloc), and waits for that",
             "Threads touch every page of that memory, so that the host allocates and clears it: huge guests take "
             "minutes.",
             "on the host, twice: HugePages_Free in /proc/meminfo, or VmRSS in /proc/PID/status: while it changes, it "
             "goes on; prealloc-threads=N of the memory backend makes it faster"),
)


# Functions that go round until somebody outside has done his part: whom, and what to look at.
BUSY_WAITS: Tuple[Tuple[str, str, str], ...] = (
    # hw/virtio/vhost-shadow-virtqueue.c, 8.0 to 10.2: ten seconds for each element
    ("vhost_svq_poll", "the vDPA device has used a buffer of its control queue, for up to 10 seconds a buffer",
     "the host's dmesg and the vDPA device's driver (mlx5_vdpa, ...): why does it not answer on its control queue?"),
)


class LongCall(NamedTuple):
    """A system call that takes long on purpose, or whose failure only the kernel's log tells, by its caller."""

    callers: Names
    says: str  # "{size}" is the caller's argument
    step: str
    by: Tuple[Tuple[Names, str], ...] = ()  # steps instead of that, by a function further out
    log: Tuple[str, str] = ("", "")  # a line of the kernel's log that answers the step, and what to do then


LONG_CALLS: Tuple[LongCall, ...] = (
    # hw/vfio/common.c (5.2, 7.2), container.c (10.0), container-legacy.c (10.2): VFIO_IOMMU_MAP_DMA;
    # backends/iommufd.c (10.0, 10.2): IOMMU_IOAS_MAP; hw/virtio/vhost-vdpa.c: a message to the device
    LongCall(Names("vfio_dma_map", "vfio_legacy_dma_map", "iommufd_backend_map_dma", "vhost_vdpa_dma_map"),
             "The kernel pins{size} of guest memory there, and allocates and clears each page that is not there yet: "
             "this may be slow rather than stuck.",
             "a second sample: is it the same address? Huge pages or preallocated memory make this short"),
    # semihosting/syscalls.c (7.1 and later), target/arm/arm-semi.c, semihosting/arm-compat-semi.c (before): QEMU's own
    # descriptors of the host's files and its console, which block
    LongCall(Names("host_open", "host_read", "host_write", "host_close", "host_stat", "host_system", "host_fstat",
                   "host_remove", "host_rename", "host_lseek", "host_readfn", "host_writefn", "host_closefn",
                   "host_seekfn"),
             "The guest asked for it by a semihosting call, which QEMU serves in the vCPU's own thread: what is behind "
             "that file or descriptor of the host (a FIFO, a terminal, a mount) does not answer.",
             "what the guest opened by semihosting: a FIFO or terminal without its other side blocks as long as that "
             "is missing"),
    # block/file-posix.c, called in the coroutine without a worker (5.2 to 10.2)
    LongCall(Names("find_allocation"),
             "That call runs in the thread of the node itself and not in a worker: until it returns, nothing else of "
             "that main loop or iothread goes on. It can take long on a fragmented file, on tmpfs and on a remote file "
             "system; this may be slow rather than stuck.",
             "a second sample: does the offset move on? Then the file is slow to search for holes (fragments, tmpfs)"),
    # system/physmem.c: fallocate() or madvise() on the file or memory behind guest RAM
    LongCall(Names("ram_block_discard_range", "ram_block_discard_guest_memfd_range"),
             "It gives guest RAM back to the host (a hole in hugetlbfs, in shared memory or in a memfd): that is "
             "memory and not storage, and takes its time for a large range.",
             "a second sample: does it go on? Huge ranges, and huge pages that others use, make it long",
             by=((Names("virtio_mem_*"),
                  "a second sample: does it go on? Shrink virtio-mem's requested-size in smaller steps"),
                 (Names("virtio_balloon_*", "balloon_*"),
                  "a second sample: does it go on? The balloon's guest driver asks for each page of it"),
                 (Names("postcopy_*", "ram_postcopy_*", "loadvm_*", "ram_load*"),
                  "a second sample: does it go on? Postcopy throws the pages away that it has to fetch again"))),
    # util/osdep.c: F_OFD_SETLK and F_OFD_GETLK never wait for another holder
    LongCall(Names("qemu_lock_fcntl", "qemu_lock_fd", "qemu_unlock_fd", "qemu_lock_fd_test", "raw_apply_lock_bytes",
                   "raw_check_lock_bytes"),
             "It asks for a lock on the image, and does not wait for other holders of it: what does not answer is the "
             "file system's lock service (NFS: the server's).",
             "look at the storage's lock service (NFS: lockd or the NFSv4 server); locking=off leaves the lock out"),
    # hw/usb/dev-mtp.c, hw/9pfs/9p-local.c, 9p-util.h: what is on the host behind a shared directory
    LongCall(Names("usb_mtp_*"),
             "usb-mtp asks the host's file system in the thread that serves the guest's access.",
             "look at the directory that usb-mtp shares (rootdir): a dead or slow mount (NFS, CIFS, autofs) blocks "
             "there"),
    LongCall(Names("local_*", "openat_dir", "openat_file", "proxy_*",
                   "fchmodat_nofollow", "f*xattrat_nofollow"),
             "9p asks the host's file system for a file of the shared directory.",
             "look at the directory that 9p shares, and at that path in it: a dead mount (NFS, CIFS, autofs) blocks "
             "there, and so does opening a FIFO"),
    # VFIO_DEVICE_RESET: hw/vfio/pci.c; VFIO_DEVICE_PCI_HOT_RESET: there until 7.2, hw/vfio/container.c (10.0) or
    # container-legacy.c (10.2) and hw/vfio/iommufd.c since
    LongCall(Names("vfio_pci_reset", "vfio_pci_hot_reset", "vfio_legacy_pci_hot_reset", "iommufd_cdev_pci_hot_reset"),
             "The host's kernel resets the device there, and waits for it to answer again.",
             "the host's dmesg: does the device come back from its reset?",
             # drivers/pci/pci.c pci_dev_wait() of Linux
             log=(r"not ready \d+ms after [\w ]{1,30}",
                  "a device that does not come back from its reset takes a power cycle of the host")),
    # tools/virtiofsd/passthrough_ll.c, 5.0 to 7.2
    LongCall(Names("lo_*", "do_statx"),
             "virtiofsd asks the file system of the shared directory for the guest, and that does not answer: the "
             "guest's processes on that directory wait with it.",
             "which file system is the shared directory on (df of virtiofsd's source directory), and does it answer: "
             "NFS, FUSE, a dead disk?"),
    # qga/commands-linux.c (commands-posix.c before 8.0): FIFREEZE, mount after mount
    LongCall(Names("qmp_guest_fsfreeze_do_freeze*"),
             "It freezes a file system of the guest (FIFREEZE); the guest's kernel first writes all of that file "
             "system's dirty pages, and returns when its storage has taken them. The file systems that are frozen "
             "already stay so meanwhile.",
             "the guest's kernel log and /proc/PID/stack of qemu-ga in the guest: which file system, and is its "
             "storage (NFS, a loop device on a frozen file system) slow or gone?"),
)
