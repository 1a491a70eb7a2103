"""Host-side backends: character devices, networking, displays, audio, and the libraries behind them."""

from __future__ import annotations

from ..match import Names
from ..peers import CONNECTS
from .rows import Row, View


def _chardev(view: View) -> str:
    names = view.names
    label = view.string(None, "label", "id")
    which = f" {label}" if label else ""
    known = view.object(None, "chr", "s", "be")
    which = f" {known.split()[-1]}" if known else which
    if any("wait_connected" in n or ("accept" in n and "accept_input" not in n) for n in names):
        if any(n in CONNECTS for n in view.all_names[: view.first + 1]):
            return f"waits for the server of chardev{which}"
        return f"waits for a client of chardev{which}"
    if any("accept_input" in n for n in names):
        return f"takes more input from chardev{which}" if which else "takes more input from a chardev"
    if any("disconnect" in n for n in names):
        return f"disconnects chardev{which}" if which else "disconnects a chardev"
    if any("connect" in n for n in names) and any(n.startswith(("tcp_chr", "qmp_chardev", "socket")) for n in names):
        return f"connects chardev{which}"
    if any("sync_read" in n or "fe_read" in n for n in names):
        return f"reads from chardev{which} and waits for it" if which else "reads from a chardev and waits for it"
    if any("be_write" in n or n.endswith(("_chr_read", "_read_poll")) or "chr_recv" in n for n in names):
        return f"input arrived on chardev{which}" if which else "input arrived on a chardev"
    if any("add_watch" in n for n in names):
        return "watches a chardev until it can be written"
    if any(("write" in n and "can_write" not in n) or "flush" in n for n in names):
        return f"writes to chardev{which}" if which else "writes to a chardev"
    if any("set_open" in n or "set_fe_open" in n for n in names):
        # chardev/char-fe.c qemu_chr_fe_set_open, chr_set_fe_open before 6.0
        return f"tells chardev{which} that its device opened or closed it" if which else (
            "tells a chardev that its device opened or closed it"
        )
    if any("new" in n or "open" in n or "create" in n or "add" in n for n in names):
        return f"creates chardev{which}" if which else "creates a chardev"
    if any(n.endswith(("read", "recv")) for n in names):
        return f"input arrived on chardev{which}" if which else "input arrived on a chardev"
    if any("finalize" in n or "unref" in n or "free" in n for n in names):
        return f"frees chardev{which}" if which else "frees a chardev"
    return f"works on chardev{which}" if which else f"chardev: {view.outermost}"


def _net(view: View) -> str:
    names = view.names
    if any(n.startswith("tap_send") for n in names):
        return "a packet arrived from the tap device"
    if any("slirp" in n or n.startswith(("tcp_", "ip_", "udp_", "so")) for n in names):
        return "user-mode networking (slirp) moves packets"
    if any("receive" in n or "deliver" in n for n in names):
        return "delivers a packet to a network peer"
    if any("send" in n or "xmit" in n for n in names):
        return "sends a packet"
    if any("cleanup" in n or "del" in n for n in names):
        return "removes a network backend"
    return f"networking: {view.outermost}"


def _vnc(view: View) -> str:
    names = view.names
    if any(n.startswith("vnc_worker_thread") for n in names):
        if len(names) > 2 or (view.inner and not any("cond" in n for n in view.inner)):
            return "encodes a display update for a VNC client"
        return "no display update to encode" if view.inner else "works on the queue of display updates"
    if any("write" in n or "flush" in n for n in names):
        return "sends to a VNC client"
    if any("read" in n.replace("thread", "") for n in names):
        return "reads from a VNC client"
    if any("disconnect" in n for n in names):
        return "disconnects a VNC client"
    if any("refresh" in n or "update" in n for n in names):
        return "updates the VNC server's surface"
    return f"VNC server: {view.outermost}"


def _card(view: View) -> str:
    """Model of the network card by its functions' prefix."""
    for name in view.names:
        if name.startswith("virtio_net"):
            return "virtio-net"
        if name and not name.startswith(("xmit", "start_xmit", "process_tx", "net_")):
            return name.split("_")[0]
    return "network card"


ROWS = (
    # chardev/char*.c
    Row(
        "chardev",
        Names(
            "qemu_chr_*",
            "qemu_chardev_*",
            "tcp_chr_*",
            "fd_chr_*",
            "pty_chr_*",
            "mux_chr_*",
            "mux_proc_*",
            "char_*",
            "qmp_chardev_*",
            "socket_reconnect_timeout",
            "chardev_*",
            "qemu_chr_fe_*",
            "udp_chr_*",
            "stdio_*",
            "pty_*",
            "fe_*",
            "chr_*",
        ),
        _chardev,
        subsystem="Character device backends",
        weight=6,
        order=-1,
        reads=(
            "qemu_chr_new",
            "qemu_chardev_new",
            "qemu_chr_new_from_opts",
            "qmp_chardev_add",
            "qemu_chr_new_noreplay",
        ),
    ),
    # util/qemu-sockets.c: chardevs, migration, NBD and VNC use it
    Row(
        "sockets",
        Names(
            "socket_connect",
            "socket_listen",
            "socket_dgram",
            "inet_*",
            "unix_connect*",
            "unix_listen*",
            "vsock_*",
            "qemu_accept",
            "wait_for_connect",
        ),
        lambda v: (
            "connects a socket"
            if any("connect" in n for n in v.names)
            else "accepts a connection"
            if "qemu_accept" in v.names
            else "listens on a socket"
            if any("listen" in n for n in v.names)
            else f"sockets: {v.outermost}"
        ),
        weight=4,
    ),  # fmt: skip
    # ui/vnc-jobs.c (10.2); before: ui/vnc-jobs-async.c
    Row(
        "VNC",
        Names("vnc_*", "vnc_worker_thread", "vnc_worker_thread_loop", "protocol_*", "vncws_*"),
        _vnc,
        subsystem="Graphics",
        weight=6,
        trigger=True,
    ),
    # hw/display/qxl.c (10.2); before: hw/qxl.c
    Row(
        "SPICE",
        Names(
            "red_*",
            "reds_*",
            "spice_*",
            "qxl_*",
            "interface_*",
            "qemu_spice_*",
            "dcc_*",
            "display_channel_*",
            "init_qxl_ram",
            "main_dispatcher_*",
        ),
        lambda v: (
            "serves a SPICE client"
            if any(n.startswith(("red_channel_client", "dcc_")) for n in v.names)
            else "SPICE worker"
            if any(n.startswith(("red_worker", "red_", "dcc_", "display_channel")) for n in v.names)
            else "QXL display device"
            if any(n.startswith(("qxl_", "init_qxl")) for n in v.names)
            else "SPICE server"
        ),
        subsystem="SPICE",
        weight=5,
        order=-1,
    ),
    # hw/display/vga.c (10.2); before: hw/vga.c
    Row(
        "display",
        Names(
            "gd_*",
            "sdl*",
            "egl_*",
            "gtk_*",
            "gdk_*",
            "cocoa_*",
            "graphic_hw_*",
            "dpy_*",
            "gui_*",
            "console_*",
            "qemu_console_*",
            "vga_update_display",
            "vga_draw_*",
            "vmsvga_*",
            "pixman_*",
            "dri_*",
            "_mesa_*",
            "virgl_*",
            "vrend_*",
            "glFlush",
            "glFinish",
            "sdl2_*",
            "surface_*",
            "cirrus_*",
            "dbus_display_*",
            "dbus_*",
            "curses_*",
            "vga_*",
            "fbdev_*",
            "macfb_*",
        ),
        lambda v: (
            "draws the guest's screen"
            if any(
                n in ("gui_update", "vga_update_display", "graphic_hw_update", "dpy_refresh")
                or "draw_" in n
                or "gfx_update" in n
                or n.endswith("_refresh")
                for n in v.names
            )
            else "OpenGL for the guest (virglrenderer)"
            if any(n.startswith(("virgl_", "vrend_")) for n in v.names)
            else "OpenGL of the display"
            if any(n.startswith(("dri_", "_mesa", "gl", "virgl", "vrend", "egl")) for n in v.names)
            else "GTK user interface"
            if any(n.startswith(("gtk_", "gdk_", "gd_")) for n in v.names)
            else f"display: {v.outermost}"
        ),
        subsystem="Graphics",
        weight=5,
        order=-2,
    ),
    # net/*.c
    Row(
        "networking",
        Names(
            "qemu_net_*",
            "net_*",
            "qemu_send_packet*",
            "qemu_sendv_packet*",
            "qemu_deliver_packet*",
            "qemu_receive_packet*",
            "tap_*",
            "slirp_*",
            "net_slirp_*",
            "net_socket_*",
            "qemu_net_queue_*",
            "qemu_flush_queued_packets",
            "nc_sendv_compat",
            "nc_*",
            "filter_*",
            "netdev_*",
            "qemu_del_*",
            "vlan_*",
            "hub_*",
            "net_init*",
            "qemu_can_*",
            "stream_*",
            "dgram_*",
            "l2tpv3_*",
            "af_xdp_*",
        ),
        _net,
        subsystem="Network device backends",
        weight=5,
        order=-1,
    ),
    # hw/net/e1000.c (10.2); before: hw/e1000.c
    Row(
        "network device",
        Names(
            "e1000*",
            "rtl8139_*",
            "pcnet_*",
            "vmxnet3_*",
            "igb_*",
            "net_tx_pkt_*",
            "net_rx_pkt_*",
            "smc91*",
            "lan9118_*",
            "ftgmac100_*",
            "virtio_net_*",
            "eepro100_*",
            "tulip_*",
            "start_xmit",
            "xmit_seg",
            "process_tx_desc",
        ),
        lambda v: (
            f"{_card(v)}: "
            + (
                "sends a packet"
                if any("xmit" in n or "tx" in n or "send" in n for n in v.names)
                else "receives a packet"
                if any("receive" in n or "rx" in n for n in v.names)
                else v.outermost
            )
        ),
        weight=5,
        order=-2,
    ),
    # audio/, hw/audio/
    Row(
        "audio",
        Names(
            "audio_*",
            "hda_*",
            "intel_hda_*",
            "ac97_*",
            "alsa_*",
            "qpa_*",
            "pa_*",
            "sdlaudio_*",
            "spiceaudio_*",
            "AUD_*",
            "es1370_*",
            "sb_*",
            "wav_*",
            "coreaudio_*",
            "ossaudio_*",
            "jack_*",
            "dsound_*",
            "pw_*",
            "qpw_*",
        ),
        lambda v: (
            "plays or records audio"
            if any(n.startswith("audio_run") or n in ("audio_timer", "AUD_write", "AUD_read") for n in v.names)
            else f"audio: {v.outermost}"
        ),
        subsystem="Audio (general)",
        weight=5,
        order=-1,
    ),
    # hw/tpm/, backends/tpm/
    Row("TPM", Names("tpm_*"), "TPM request", subsystem="TPM", weight=6, trigger=True),
    # qga/
    Row("guest agent", Names("ga_*", "qmp_guest_*", "channel_event_cb"), "guest agent", weight=6),
    # util/oslib-posix.c, util/oslib-win32.c, util/osdep.c (10.2); before: util/oslib-posix.c, util/oslib-win32.c
    Row(
        "memory backend",
        Names(
            "host_memory_backend_*",
            "qemu_ram_*",
            "file_ram_*",
            "ram_block_add*",
            "os_mem_prealloc",
            "touch_all_pages",
            "do_touch_pages",
            "qemu_prealloc_mem",
            "ram_block_*",
            "memory_region_init_ram*",
            "qemu_anon_ram_alloc",
            "qemu_memfd_*",
            "do_madv_populate_write_pages",
            "qemu_madvise",
            "reclaim_ramblock",
            "wait_and_free_mem_prealloc_context",
        ),
        lambda v: (
            "touches guest RAM to allocate it"
            if any("touch" in n or "prealloc" in n or "populate" in n for n in v.names)
            else "frees guest RAM"
            if any("free" in n or "reclaim" in n or "remove" in n for n in v.names)
            else "allocates guest RAM"
            if any(
                n.startswith(("qemu_", "file_ram", "ram_", "memory_region", "host_memory"))
                and ("alloc" in n or "_add" in n or "_init_ram" in n or "complete" in n or "memfd" in n)
                for n in v.names
            )
            or "host_memory_backend_init" in v.names
            else f"guest RAM: {v.outermost}"
        ),
        subsystem="Memory API",
        weight=6,
        order=2,
    ),
    # dump/dump.c
    Row(
        "memory dump",
        Names(
            "dump_begin",
            "dump_iterate",
            "dump_process",
            "dump_thread",
            "dump_init",
            "dump_cleanup",
            "dump_state*",
            "dump_bitmap*",
            "dump_completed",
            "dump_error",
            "dump_set_*",
            "dump_get_*",
            "dump_guest_*",
            "create_vmcore",
            "create_kdump_vmcore",
            "create_header*",
            "write_memory",
            "write_dump_*",
            "write_elf*",
            "get_next_page",
            "win_dump_*",
            "create_win_dump",
        ),
        "writes a dump of guest memory",
        subsystem="Dump",
        weight=7,
        trigger=True,
    ),
    # qemu-nbd.c
    Row("qemu-nbd device", Names("nbd_client_thread"), "serves the kernel's /dev/nbd device", weight=6, trigger=True),
    # trace/simple.c
    Row(
        "trace",
        Names("writeout_thread", "flush_trace_file", "st_flush_trace_buffer", "wait_for_trace_records_available"),
        "writes the trace file",
        subsystem="Tracing",
        weight=5,
    ),
    # target/i386/sev.c, target/i386/kvm/tdx.c
    Row("confidential guest", Names("sev_*", "tdx_*"), "confidential guest (SEV, TDX)", weight=6, order=-1),
    # replay/
    Row("record/replay", Names("replay_*"), "record/replay of execution", weight=5, order=-1),
    # hw/remote/
    Row(
        "remote device",
        Names("mpqemu_*", "vfu_*", "vfu_object_*", "remote_*"),
        "serves a device for another process",
        weight=6,
        trigger=True,
        order=-1,
    ),
    # util/osdep.c (10.2)
    Row(
        "host interface",
        Names("seccomp_*", "os_*", "qemu_set_*", "qemu_open*", "qemu_close"),
        lambda v: f"host interface: {v.outermost}",
        short="",
        weight=2,
        order=-3,
    ),
)
