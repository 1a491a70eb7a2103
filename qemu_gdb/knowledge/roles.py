"""What starts each kind of thread, the names threads carry, and frames that give a role away."""

from __future__ import annotations

import functools
import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from .match import Names

# Functions that only start another one: pthread's own, QEMU's wrapper, GLib's, the C runtime's.
STARTERS = Names(
    "start_thread",
    "thread_start",
    "clone",
    "clone3",
    "pthread_start",
    "pthread__create_tramp",  # NetBSD
    "pthread_create_tramp",
    "thr_start",
    "start",
    "_start",
    "libc_start_main",
    "libc_start_call_main",
    "__libc_start_main_impl",
    "libc_start_main_stage2",  # musl
    "qemu_thread_start",  # util/qemu-thread-posix.c, since 2.12
    "win32_start_routine",  # util/qemu-thread-win32.c
    "g_thread_proxy",
    "g_thread_pool_thread_proxy",
    "asan_thread_start",
    "BaseThreadInitThunk",
    "RtlUserThreadStart",
    "__start_context",
    "makecontext",
)


class ThreadEntry(NamedTuple):
    """The function that a thread runs from its start to its end."""

    function: str
    role: str
    subsystem: str  # whose thread it is; told of a resting one
    says: str  # what the thread is for, as an infinitive-free phrase


THREAD_ENTRIES: Tuple[ThreadEntry, ...] = (
    # vCPUs. accel/kvm/kvm-accel-ops.c since 6.0, accel/kvm/kvm-cpus.c 5.2, cpus.c before (qemu_...),
    # kvm_cpu_thread_fn in 0.13
    ThreadEntry("kvm_vcpu_thread_fn", "vcpu-kvm", "KVM", "runs a guest CPU under KVM"),
    ThreadEntry("qemu_kvm_cpu_thread_fn", "vcpu-kvm", "KVM", "runs a guest CPU under KVM"),
    ThreadEntry("kvm_cpu_thread_fn", "vcpu-kvm", "KVM", "runs a guest CPU under KVM"),
    ThreadEntry("kvm_main_loop_cpu", "vcpu-kvm", "KVM", "runs a guest CPU under KVM"),  # qemu-kvm 0.12
    ThreadEntry("ap_main_loop", "vcpu-kvm", "KVM", "runs a guest CPU under KVM"),  # qemu-kvm 0.12
    # accel/tcg/tcg-accel-ops-{mttcg,rr}.c since 6.0, accel/tcg/tcg-cpus.c 5.2, cpus.c before
    ThreadEntry("mttcg_cpu_thread_fn", "vcpu-mttcg", "TCG CPUs", "runs one guest CPU under TCG"),
    ThreadEntry("tcg_cpu_thread_fn", "vcpu-mttcg", "TCG CPUs", "runs one guest CPU under TCG"),
    ThreadEntry("rr_cpu_thread_fn", "vcpu-tcg-rr", "TCG CPUs", "runs all guest CPUs in turn under TCG"),
    ThreadEntry("tcg_rr_cpu_thread_fn", "vcpu-tcg-rr", "TCG CPUs", "runs all guest CPUs in turn under TCG"),
    ThreadEntry("qemu_tcg_rr_cpu_thread_fn", "vcpu-tcg-rr", "TCG CPUs", "runs all guest CPUs in turn under TCG"),
    # one name, two meanings: all CPUs in turn up to 2.8, one CPU from 2.9 to 5.1 (explain/roles.py tells them apart)
    ThreadEntry("qemu_tcg_cpu_thread_fn", "vcpu-mttcg", "TCG CPUs", "runs guest CPUs under TCG"),
    ThreadEntry("tcg_cpu_thread", "vcpu-tcg-rr", "TCG CPUs", "runs all guest CPUs in turn under TCG"),
    ThreadEntry("hvf_cpu_thread_fn", "vcpu-other", "HVF", "runs a guest CPU under Hypervisor.framework"),
    ThreadEntry("qemu_hvf_cpu_thread_fn", "vcpu-other", "HVF", "runs a guest CPU under Hypervisor.framework"),
    ThreadEntry("whpx_cpu_thread_fn", "vcpu-other", "WHPX CPUs", "runs a guest CPU under WHPX"),
    ThreadEntry("qemu_whpx_cpu_thread_fn", "vcpu-other", "WHPX CPUs", "runs a guest CPU under WHPX"),
    ThreadEntry("hax_cpu_thread_fn", "vcpu-other", "HAXM", "runs a guest CPU under HAXM"),
    ThreadEntry("qemu_hax_cpu_thread_fn", "vcpu-other", "HAXM", "runs a guest CPU under HAXM"),
    ThreadEntry("qemu_nvmm_cpu_thread_fn", "vcpu-other", "NVMM CPUs", "runs a guest CPU under NVMM"),
    ThreadEntry("mshv_vcpu_thread", "vcpu-other", "MSHV", "runs a guest CPU under MSHV"),  # 10.2
    # qtest and Xen: the thread only takes work for the CPU, accel/dummy-cpus.c, cpus.c before 5.2
    ThreadEntry(
        "dummy_cpu_thread_fn", "vcpu-other", "CPU core", "stands for a guest CPU that runs elsewhere (qtest, Xen)"
    ),
    ThreadEntry(
        "qemu_dummy_cpu_thread_fn", "vcpu-other", "CPU core", "stands for a guest CPU that runs elsewhere (qtest, Xen)"
    ),
    # Event loops
    ThreadEntry(
        "iothread_run", "iothread", "AioContext/event loop", "runs an iothread object's event loop"
    ),  # iothread.c, 2.0
    ThreadEntry("data_plane_thread", "iothread", "virtio-blk", "runs virtio-blk's own event loop"),  # 1.4 to 1.7
    ThreadEntry(
        "call_qemu_main", "main-loop", "Main loop", "runs QEMU's main loop"
    ),  # ui/cocoa.m to 9.2: the first thread serves the UI
    ThreadEntry("qemu_default_main", "main-loop", "Main loop", "runs QEMU's main loop"),  # system/main.c
    ThreadEntry("qemu_main", "main-loop", "Main loop", "runs QEMU's main loop"),
    ThreadEntry("SDL_main", "main-loop", "Main loop", "runs QEMU's main loop"),
    ThreadEntry("qemu_main_loop", "main-loop", "Main loop", "runs QEMU's main loop"),
    ThreadEntry("qemu_init", "main-loop", "Main loop", "starts QEMU"),
    ThreadEntry("call_rcu_thread", "rcu", "RCU", "runs RCU callbacks after a grace period"),  # util/rcu.c, 2.3
    ThreadEntry("coroutine_thread", "coroutine", "Coroutines", "carries a coroutine of the gthread backend"),
    # Pools
    ThreadEntry(
        "worker_thread", "thread-pool-worker", "Block I/O path", "does blocking work for an AioContext"
    ),  # util/thread-pool.c
    ThreadEntry(
        "aio_thread", "thread-pool-worker", "Block I/O path", "does blocking file I/O"
    ),  # posix-aio-compat.c, to 1.1
    ThreadEntry(
        "touch_fn", "mem-prealloc", "Memory API", "touches guest memory so that it is allocated"
    ),  # util/oslib-posix.c
    ThreadEntry("do_touch_pages", "mem-prealloc", "Memory API", "touches guest memory so that it is allocated"),
    ThreadEntry("do_madv_populate_write_pages", "mem-prealloc", "Memory API", "populates guest memory"),
    ThreadEntry(
        "thread_context_run", "mem-prealloc", "Memory API", "creates threads with a given CPU affinity"
    ),  # util/thread-context.c
    # Migration
    ThreadEntry("migration_thread", "migration", "Migration", "sends the VM"),
    ThreadEntry("bg_migration_thread", "migration", "Migration", "saves a background snapshot"),
    ThreadEntry("buffered_file_thread", "migration", "Migration", "sends the VM"),  # 1.4
    ThreadEntry("source_return_path_thread", "migration-return-path", "Migration", "reads the destination's answers"),
    ThreadEntry("multifd_send_thread", "multifd-send", "Migration", "sends pages on one multifd channel"),
    ThreadEntry("multifd_recv_thread", "multifd-recv", "Migration", "receives pages on one multifd channel"),
    ThreadEntry(
        "multifd_tls_handshake_thread", "multifd-send", "Migration", "does the TLS handshake of a multifd channel"
    ),
    ThreadEntry(
        "postcopy_ram_fault_thread", "postcopy-fault", "Migration (postcopy)", "serves page faults of the destination"
    ),
    ThreadEntry(
        "postcopy_preempt_thread", "postcopy-fault", "Migration (postcopy)", "receives urgently requested pages"
    ),
    ThreadEntry(
        "postcopy_ram_listen_thread", "postcopy-listen", "Migration (postcopy)", "receives pages while the VM runs"
    ),
    ThreadEntry(
        "postcopy_listen_thread", "postcopy-listen", "Migration (postcopy)", "receives pages while the VM runs"
    ),  # 10.2
    ThreadEntry("colo_process_incoming_thread", "colo", "COLO Framework", "receives COLO checkpoints"),
    ThreadEntry(
        "colo_compare_thread", "colo", "COLO Proxy", "compares primary and secondary packets"
    ),  # net/colo-compare.c 2.8
    ThreadEntry("do_data_compress", "compress", "Migration", "compresses pages"),  # migration/ram.c to 9.0
    ThreadEntry("do_data_decompress", "compress", "Migration", "decompresses pages"),
    ThreadEntry(
        "get_dirtyrate_thread", "helper", "Migration dirty limit and dirty page rate", "measures the dirty page rate"
    ),
    ThreadEntry(
        "vcpu_dirty_rate_stat_thread",
        "helper",
        "Migration dirty limit and dirty page rate",
        "measures vCPUs' dirty page rate",
    ),
    ThreadEntry(
        "vfio_load_bufs_thread", "migration", "VFIO", "loads device state of a migration"
    ),  # hw/vfio/migration-multifd.c
    ThreadEntry("vfio_save_complete_precopy_thread", "migration", "VFIO", "saves device state of a migration"),
    # Displays
    ThreadEntry("vnc_worker_thread", "vnc-worker", "VNC", "encodes screen updates for VNC clients"),
    ThreadEntry("red_worker_main", "spice-worker", "SPICE", "serves a QXL display"),  # libspice-server
    ThreadEntry("spice_thread_loop", "spice-worker", "SPICE", "serves SPICE"),
    # Devices and services with a thread of their own
    ThreadEntry("kvm_dirty_ring_reaper_thread", "helper", "KVM", "collects KVM's dirty rings"),
    ThreadEntry("kvm_msr_energy_thread", "helper", "X86 KVM CPUs", "keeps virtual RAPL counters"),
    ThreadEntry(
        "sigwait_compat", "helper", "Main loop", "stands in for signalfd: waits for signals"
    ),  # util/compatfd.c
    ThreadEntry("writeout_thread", "helper", "Tracing", "writes trace records"),  # trace/simple.c
    ThreadEntry("dump_thread", "helper", "Dump", "writes a dump of guest memory"),
    ThreadEntry("qio_task_thread_worker", "helper", "I/O Channels", "does one blocking channel operation"),  # io/task.c
    ThreadEntry("connect_thread_func", "helper", "NBD", "connects to an NBD server"),
    ThreadEntry("threaded_qcrypto_pbkdf2_count_iters", "helper", "Cryptography", "measures key derivation"),
    ThreadEntry("cryptodev_lkcf_worker", "helper", "Cryptodev Backends", "does cryptography for a guest"),
    ThreadEntry("comp_handler_thread", "helper", "PVRDMA", "collects RDMA completions"),
    ThreadEntry("edu_fact_thread", "helper", "EDU", "computes for the edu device"),
    ThreadEntry("hpt_prepare_thread", "helper", "sPAPR (pseries)", "prepares a hash page table"),
    ThreadEntry("handle_apdu_thread", "helper", "USB", "talks to an emulated smart card"),
    ThreadEntry("event_thread", "helper", "USB", "waits for smart card events"),
    ThreadEntry("u2f_emulated_thread", "helper", "USB", "emulates a U2F key"),
    ThreadEntry("tpm_passthrough_worker_thread", "helper", "TPM", "talks to the TPM"),
    ThreadEntry("tpm_backend_worker_thread", "helper", "TPM", "talks to the TPM"),
    ThreadEntry("co_run_in_worker", "thread-pool-worker", "virtio-9p", "does blocking file system work"),
    ThreadEntry("win_stdio_thread", "helper", "Character device backends", "reads the Windows console"),
    ThreadEntry("tap_win32_thread_entry", "helper", "Network device backends", "reads the TAP adapter"),
    ThreadEntry("s390_pv_do_unprot_async_fn", "helper", "S390 KVM CPUs", "frees a protected VM"),
    ThreadEntry("exit_with_parent_loop", "helper", "Main loop", "ends QEMU when its parent ends"),  # 10.2
    ThreadEntry("cpu_throttle_thread", "helper", "Main loop", "slows vCPUs for a migration"),
    ThreadEntry("gdbserver_accept_thread", "helper", "GDB stub", "accepts a debugger"),
    ThreadEntry("wait_thread", "helper", "Main loop", "waits for a Windows object"),
    ThreadEntry("fv_queue_thread", "helper", "virtiofs", "serves a virtio-fs queue"),
    ThreadEntry("nbd_client_thread", "helper", "NBD", "connects /dev/nbdN"),  # qemu-nbd.c
    ThreadEntry("show_parts", "helper", "NBD", "makes the kernel read the partition table"),
    ThreadEntry("umad_recv_thread_func", "helper", "PVRDMA", "receives RDMA management datagrams"),
    # User emulation
    ThreadEntry(
        "clone_func", "user-mode", "linux-user", "runs a thread of the emulated program"
    ),  # linux-user/syscall.c
    ThreadEntry("new_thread_start", "user-mode", "BSD user", "runs a thread of the emulated program"),
    ThreadEntry("cpu_loop", "user-mode", "linux-user", "runs the emulated program"),
    ThreadEntry("target_cpu_loop", "user-mode", "BSD user", "runs the emulated program"),
    # GLib
    ThreadEntry("glib_worker_main", "glib-worker", "GLib", "serves GLib's worker context"),
    ThreadEntry("gdbus_shared_thread_func", "glib-worker", "GLib", "serves D-Bus"),
    ThreadEntry("dconf_gdbus_worker_thread", "glib-worker", "GLib", "serves dconf"),
    ThreadEntry("g_thread_pool_spawn_thread", "glib-worker", "GLib", "creates GLib's pool threads"),
    ThreadEntry("g_task_thread_pool_thread", "glib-worker", "GLib", "runs a GTask"),
)
ENTRIES: Dict[str, ThreadEntry] = {row.function: row for row in THREAD_ENTRIES}

# Main functions of the tools, and functions that only a tool has: qemu-img.c, qemu-io.c, qemu-nbd.c, qemu-storage-
# daemon.c, qga/main.c
TOOL_FUNCTIONS = Names(
    "qmp_guest_*",  # qga/commands*.c: the guest agent
    "img_*",
    "convert_do_copy",
    "convert_co_do_copy",
    "qemuio_command",
    "qemuio_misc_init",
    "aio_read_f",
    "aio_write_f",
    "read_f",
    "write_f",
    "readv_f",
    "writev_f",
    "open_f",
    "openfile",
    "run_agent",
    "qga_*",
    "ga_*",
    "collect_image_check",
    "nbd_update_server_watch",
    "nbd_can_accept",
    "nbd_accept",
    "run_block_job",
    "command_loop",
)

_ARCHITECTURES = frozenset(
    """aarch64 aarch64_be alpha arm armeb cris hexagon hppa i386 loongarch64 m68k microblaze microblazeel mips mips64
    mips64el mipsel mipsn32 mipsn32el nios2 or1k ppc ppc64 ppc64abi32 ppc64le riscv32 riscv64 s390x sh4 sh4eb
    sparc sparc32plus sparc64 tilegx unicore32 x86_64 xtensa xtensaeb""".split()
)
_TOOLS = frozenset("img io nbd storage-daemon ga pr-helper edid keymap bridge-helper vmsr-helper".split())


# configs/targets/*-softmmu.mak (default-configs before 6.0), 2.x to 10.x
_MACHINES = (
    """aarch64 alpha arm avr cris hppa i386 lm32 loongarch64 m68k microblaze microblazeel mips mips64 mips64el mipsel
    moxie nios2 or1k ppc ppc64 riscv32 riscv64 rx s390x sh4 sh4eb sparc sparc64 tricore unicore32 x86_64 xtensa
    xtensaeb""".split()
)
_COMM = 15  # characters of a name that the kernel keeps


def whole_name(program: str) -> str:
    """A program's name that the kernel cut (``qemu-system-x86``), completed where one program alone fits."""
    if len(program) != _COMM:
        return program
    names = [*(f"qemu-system-{m}" for m in _MACHINES), *(f"qemu-{t}" for t in _TOOLS)]
    fitting = [name for name in names if name.startswith(program)]
    return fitting[0] if len(fitting) == 1 else program


@functools.lru_cache(maxsize=256)
def program_kind(program: str) -> Optional[str]:
    """What a program is by its name: system, user, tool, test, or None where the name is not one of QEMU's.

    Names may be paths, and may be cut at 15 characters as the kernel's are (``qemu-system-x86``).
    """
    name = re.split(r"[/\\]", program.strip())[-1]
    name = re.sub(r"^lt-|\.exe$|\.bin$", "", name)
    lower = name.lower()
    if lower.startswith(("qemu-system", "qemu-fuzz-")) or lower in (
        "qemu-kvm",
        "kvm",
        "qemu",
        "qemu-dm",
        "xemu",
        "qemulauncher",
    ):
        return "system"
    if lower.startswith("qemu-"):
        rest = lower[5:]
        rest = rest[:-7] if rest.endswith("-static") else rest
        if rest.endswith("-softmmu"):
            return "system"
        if rest in _TOOLS or (len(lower) == 15 and any(t.startswith(rest) for t in _TOOLS)):
            return "tool"
        if rest in _ARCHITECTURES or (len(lower) == 15 and any(a.startswith(rest) for a in _ARCHITECTURES)):
            return "user"
        return None
    if lower == "virtiofsd":
        return "tool"
    if re.match(r"(?:test-[\w-]+|[\w-]+-test|check-q\w+|rcutorture|[\w-]+-bench|benchmark-[\w-]+)\Z", lower):
        return "test"
    return None


_TOOL_FILES = (
    r"(?:^|/)(?:qemu-(?:img|io|nbd|storage-daemon|edid|keymap|bridge-helper|pr-helper|vmsr-helper)(?:-cmds)?\.c"
    r"|storage-daemon/qemu-storage-daemon\.c|qga/[\w-]+\.c|scsi/qemu-pr-helper\.c|fsdev/virtfs-proxy-helper\.c"
    r"|tools/virtiofsd/\S+\.c|contrib/\S+\.c)$"
)


@functools.lru_cache(maxsize=4096)
def file_kind(file: str) -> Optional[str]:
    """Which program a source file belongs to alone: tool, test, user, or None where QEMU's programs share it."""
    path = file.replace("\\", "/")
    if "tests/" in path and re.search(r"(?:^|/)tests/(?!tcg/)\S+\.[ch]$", path):
        return "test"
    if "-user/" in path and re.search(r"(?:^|/)(?:linux|bsd|darwin|common)-user/", path):
        return "user"
    if re.search(_TOOL_FILES, path):
        return "tool"
    return None


TEST_FUNCTIONS = Names(
    "g_test_run", "g_test_run_suite", "g_test_run_suite_internal", "g_test_run_suite_internal.*",
    "LLVMFuzzerTestOneInput",  # tests/qtest/fuzz/fuzz.c
)  # fmt: skip

# Thread names: QEMU sets them with -name debug-threads=on (libvirt does), libraries set their own.
# Names are hints: they are believed where the frames don't tell, and to tell one vCPU or iothread from another.
_THREAD_NAMES: Tuple[Tuple[str, str], ...] = (
    (r"CPU (?P<vcpu>\d+)/KVM", "vcpu-kvm"),
    (r"CPU (?P<vcpu>\d+)/TCG", "vcpu-mttcg"),
    (r"ALL CPUs/TCG", "vcpu-tcg-rr"),
    (r"CPU (?P<vcpu>\d+)/(?:HVF|WHPX|HAX|NVMM|MSHV|DUMMY|XEN|\w+)", "vcpu-other"),
    (r"IO (?P<iothread>mon_iothread|mon_iot.*)", "monitor-iothread"),
    (r"IO (?P<iothread>\S.*)", "iothread"),
    (r"call_rcu", "rcu"),
    (r"worker", "thread-pool-worker"),
    (r"live_migration|migration|bg_snapshot|mig/src/main|mig/snapshot", "migration"),
    (r"return path|mig/src/return|mig/src/rp-thr", "migration-return-path"),
    (
        r"multifdsend_(?P<channel>\d+)|mig/src/send_(?P<channel2>\d+)|mig/src/tls|multifd-tls-handshake-worker",
        "multifd-send",
    ),
    (r"multifdrecv_(?P<channel>\d+)|mig/dst/recv_(?P<channel2>\d+)", "multifd-recv"),
    (r"postcopy/fault|fault-default|fault-fast|mig/dst/fault|mig/dst/preempt", "postcopy-fault"),
    (r"postcopy/listen|mig/dst/listen", "postcopy-listen"),
    (r"COLO incoming|mig/dst/colo", "colo"),
    (r"(?:de)?compress", "compress"),
    (r"vnc_worker", "vnc-worker"),
    (r"SPICE Worker", "spice-worker"),
    (r"touch_pages|TC \S.*", "mem-prealloc"),
    (r"gmain|gdbus|pool-spawner|dconf worker|pool-.*|pool", "glib-worker"),
    (r"qemu_main", "main-loop"),
    (
        r"kvm-reaper|kvm-msr|dump_thread|get_dirtyrate|dirtyrate-stat|mig/dirtyrate|io-task-worker|nbd-connect|signalfd_compat"
        r"|trace-thread|gdb-accept|exit-parent|pbkdf2|lkcf-worker|ccid/\w+|u2f-key|edu|async_cleanup|sPAPR HPT prep.*",
        "helper",
    ),
    (
        r"llvmpipe-\d+|\S+:(?:gdrv|sh|cs|gl|disk\$|shlo|gal|rast|zfq|traceq|shopt|sh_opt|gdrv|disk)\w*\d*"
        r"|msgr-worker-\d+|log|service|admin_socket|ceph_timer|ms_dispatch|ms_local|ms_reaper|io_context_pool|safe_timer"
        r"|taskfin_\S+|tp_librbd|fn_anonymous|glfs_\S+|iothr.+gluster|PulseAudio.*|threaded-ml|pw-.*|data-loop\.?\d*|\[vdso\]"
        r"|libusb_event|SDL\S*|pulse\S*|alsa-\S+|jack\S*",
        "external-library",
    ),
)


@functools.lru_cache(maxsize=1024)
def role_of_name(thread_name: str) -> Optional[Tuple[str, str, Dict[str, str]]]:
    """Role by a thread's name, the pattern that said so, and what the name tells (vcpu, iothread, channel)."""
    for pattern, role in _THREAD_NAMES:
        found = re.match(f"(?:{pattern})\\Z", thread_name)
        if found:
            told = {key.rstrip("2"): value for key, value in found.groupdict().items() if value}
            return role, pattern, told
    return None


# Threads that the kernel adds to a process and that never run user code: name, and whom they work for.
KERNEL_THREADS: Tuple[Tuple[str, str], ...] = (
    ("iou-wrk-", "io_uring"),
    ("iou-sqp-", "io_uring"),
    ("kvm-nx-lpage-re", "KVM"),
    ("kvm-pit", "KVM"),
    ("vhost-", "vhost"),
)


class GiveAway(NamedTuple):
    """Frames that only one kind of thread has; used where the thread's start is cut off, or has no symbols."""

    name: str
    role: str
    frames: Names


# cpu-exec.c, memory.c and ioport.c of QEMU up to 2.8, which had one thread for all CPUs
_UP_TO_2_8 = (
    "tcg_exec_all",
    "tb_find_fast",
    "tb_find_slow",
    "memory_region_iorange_write",
    "memory_region_iorange_read",
    "cpu_alpha_exec",
    "cpu_arm_exec",
    "cpu_cris_exec",
    "cpu_i386_exec",
    "cpu_x86_exec",
    "cpu_lm32_exec",
    "cpu_m68k_exec",
    "cpu_microblaze_exec",
    "cpu_mips_exec",
    "cpu_moxie_exec",
    "cpu_or32_exec",
    "cpu_ppc_exec",
    "cpu_s390x_exec",
    "cpu_sh4_exec",
    "cpu_sparc_exec",
    "cpu_unicore32_exec",
    "cpu_xtensa_exec",
    "qemu_cpu_exec",
)

# Handlers of the human monitor's commands before they were called hmp_*: monitor.c, savevm.c, migration.c, blockdev.c,
# hw/qdev.c of QEMU 0.9 to 1.1 (do_savevm to 2.3)
OLD_HMP_HANDLERS = tuple(
    """do_savevm do_loadvm do_delvm do_cont do_change do_change_block do_change_vnc do_eject
    do_screen_dump do_logfile do_singlestep do_gdbserver do_memory_dump do_physical_memory_dump do_sendkey
    do_mouse_move do_mouse_button do_ioport_read do_ioport_write do_system_powerdown do_usb_add
    do_usb_del do_device_add do_device_del do_wav_capture do_stop_capture do_memory_save do_physical_memory_save
    do_boot_set do_migrate do_migrate_cancel do_migrate_set_speed do_migrate_set_downtime
    do_snapshot_blkdev do_drive_del do_netdev_add do_netdev_del do_set_link do_watchdog_action do_balloon
    do_block_set_passwd do_block_resize do_getfd do_closefd do_inject_mce do_inject_nmi
    do_pci_device_hot_remove pci_device_hot_add drive_hot_add do_trace_event_set_state
    do_trace_file do_info do_info_qtree do_info_snapshots""".split()
)

# In order: the first row with a frame anywhere on the stack decides. Rows of threads that may run other threads'
# usual work
# (a vCPU or the migration thread polls the main AioContext and runs its handlers) stand above those threads' own.
_FD_HANDLERS = (
    """tap_writable tap_can_send vde_to_qemu net_socket_send net_socket_send_dgram net_socket_writable
    net_socket_accept net_socket_connect net_dgram_send net_dgram_writable net_l2tpv3_send l2tpv3_writable netmap_send
    netmap_writable af_xdp_send af_xdp_writable net_bridge_* slave_read backend_read vhost_kernel_iotlb_read
    vfio_ioeventfd_handler vfio_err_notifier_handler vfio_req_notifier_handler vfio_ap_req_notifier_handler
    vfio_ccw_io_notifier_handler vfio_ccw_crw_notifier_handler vfio_ccw_req_notifier_handler intr_resample_handler
    ivshmem_vector_notify ivshmem_read cpu_handle_ioreq usb_host_handle_fd can_host_socketcan_read input_linux_event
    virtio_input_host_event u2f_passthru_read vhost_user_gpu_chr_read vfu_object_ctx_run vfu_object_attach_ctx
    gd_hw_gl_flushed oss_helper_poll_in oss_helper_poll_out sndio_poll_in sndio_poll_out entropy_available
    xen_9pfs_evtchn_event xen_pv_evtchn_event xen_device_event xenstore_update rdma_accept_incoming_migration
    rdma_cm_poll_handler hv_syndbg_recv_event cryptodev_lkcf_handle_response""".split()
)

GIVE_AWAYS: Tuple[GiveAway, ...] = (
    GiveAway(
        "kvm-run",
        "vcpu-kvm",
        Names(
            "kvm_cpu_exec",
            "kvm_handle_io",
            "kvm_vcpu_ioctl",
            "kvm_arch_handle_exit",
            "kvm_arch_post_run",
            "kvm_arch_pre_run",
            "qemu_kvm_wait_io_event",
            "qemu_kvm_cpu_exec",
            "kvm_run",
            "kvm_handle_internal_error",
            "kvm_handle_hypercall",
        ),
    ),
    GiveAway(
        "other-hypervisor-run",
        "vcpu-other",
        Names(
            "hvf_vcpu_exec", "hvf_arch_vcpu_exec",
            "hvf_arch_init_vcpu",
            "hvf_init_vcpu",
            "hv_vcpu_run",
            "whpx_vcpu_run",
            "whpx_vcpu_exec",
            "nvmm_vcpu_loop",
            "nvmm_vcpu_exec",
            "hax_vcpu_hax_exec",
            "hax_smp_cpu_exec",
            "mshv_cpu_exec",
            "mshv_run_vcpu",
            "vmx_read_mem",
            "vmx_write_mem",
            "hvf_handle_io",
            "WHvRunVirtualProcessor",
        ),
    ),
    GiveAway(
        "user-emulation",
        "user-mode",
        Names(
            "cpu_loop",
            "target_cpu_loop",
            "do_syscall",
            "do_syscall1",
            "safe_syscall_base",
            "target_mmap",
            "target_munmap",
            "do_fork",
            "do_safe_futex",
            "process_pending_signals",
            "dump_core_and_abort",
            "do_freebsd_syscall",
            "target_mprotect",
            "host_signal_handler",
            "load_elf_image",
            "load_elf_binary",
            "loader_exec",
            "probe_guest_base",
            "main_thread_exec",
        ),
    ),
    GiveAway(
        "tcg-in-turn",
        "vcpu-tcg-rr",
        Names(
            *_UP_TO_2_8,
            "qemu_tcg_rr_wait_io_event",
            "rr_cpu_exec",
            "rr_wait_io_event",
        ),
    ),
    GiveAway(
        "tcg-run",
        "vcpu-mttcg",
        Names(
            "tcg_cpus_exec",
            "tcg_cpu_exec",
            "cpu_exec",
            "cpu_exec_loop",
            "cpu_exec_setjmp",
            "cpu_loop_exec_tb",
            "cpu_tb_exec",
            "cpu_exec_step_atomic",
            "code_gen_buffer",
            "tb_gen_code",
            "tcg_gen_code",
            "setjmp_gen_code",
            "gen_intermediate_code",
            "translator_loop",
            "io_writex",
            "io_readx",
            "load_helper",
            "store_helper",
            "do_ld?_mmu",
            "do_st?_mmu",
            "do_st_mmio_leN",
            "do_ld_mmio_beN",
            "full_*_mmu",
            "helper_*",  # include/exec/helper-head.h: no other function of QEMU's is called so
            "cpu_handle_exception",
            "cpu_handle_interrupt",
            "tcg_optimize",
        ),
    ),
    GiveAway(
        "migration",
        "migration",
        Names(
            "migration_completion",
            "migration_iteration_run",
            "migration_maybe_pause",
            "postcopy_start",
            "migration_completion_precopy",
            "migration_rate_limit",
            "bg_migration_iteration_run",
            "migration_iteration_finish",
            "ram_save_iterate",
            "qemu_savevm_state_iterate",
            "colo_do_checkpoint_transaction",
            "migrate_start_colo_process",
            "colo_process_checkpoint",
        ),
    ),
    # hw/display/qxl.c: "called from spice server thread context only" (1.0 to 10.2)
    GiveAway(
        "spice-server",
        "spice-worker",
        Names(
            "interface_get_command",
            "interface_req_cmd_notification",
            "interface_release_resource",
            "interface_get_cursor_command",
            "interface_req_cursor_notification",
            "interface_flush_resources",
            "interface_update_area_complete*",
            "interface_async_complete*",
        ),
    ),
    GiveAway("rcu", "rcu", Names("call_rcu_thread", "try_dequeue")),
    GiveAway("vnc-jobs", "vnc-worker", Names("vnc_worker_thread_loop")),  # ui/vnc-jobs.c
    GiveAway("pool-work", "thread-pool-worker", Names("aio_worker", "handle_aiocb_*")),
    GiveAway(
        "main-loop",
        "main-loop",
        Names(
            "qemu_main_loop",
            "main_loop",
            "main_loop_wait",
            "os_host_main_loop_wait",
            "glib_pollfds_poll",
            "main_loop_should_exit",
            "qemu_init",
            "qmp_x_exit_preconfig",
            "qemu_cleanup",
            "configure_accelerator*",
            "do_configure_accelerator",  # accel/accel-system.c, system/vl.c: each accelerator's init_machine
            "accel_init_machine",
            "kvm_init",
            "qemu_create_machine",
            "select_machine",
            "qemu_create_cli_devices",
            "qemu_create_late_backends",
            "os_daemonize",
            "qemu_maybe_daemonize",
            "vm_shutdown",
            "process_incoming_migration_co",
            "machine_run_board_init",
            "monitor_init_globals*",
            "qemu_init_main_loop",
            "qemu_init_displays",
            "qemu_main_loop_start",
            "qdev_machine_creation_done",
        ),
    ),
    # net/net.c, net/*.c: at start and by netdev_add
    GiveAway("net-creation", "main-loop", Names("net_init_*", "net_client_init*", "net_vhost_vdpa_init")),
    GiveAway(
        "monitor-command",
        "main-loop",
        Names(
            "qmp_marshal_*",
            "hmp_*",
            "monitor_qmp_bh_dispatcher",
            "monitor_qmp_dispatcher_co",
            "monitor_qmp_dispatch",
            "handle_hmp_command",
            "do_qmp_dispatch*",
            "qmp_dispatch",
            "qmp_human_monitor_command",
            "handle_qmp_command",
            "monitor_command_cb",
            "monitor_control_read",
            *OLD_HMP_HANDLERS,
        ),
    ),
    # Handlers, bottom halves and timers that only the main context has: system/qtest.c, ui/vnc.c, ui/sdl2.c, ui/gtk.c,
    # net/slirp.c, net/tap.c, gdbstub/system.c, hw/usb/redirect.c, hw/vfio/pci.c, migration/migration.c (10.2)
    GiveAway(
        "main-loop-handler",
        "main-loop",
        Names(
            "qtest_read",
            "qtest_process_inbuf",
            "qtest_process_command",
            "vnc_client_io",
            "vnc_client_read",
            "vnc_listen_io",
            "sdl2_poll_events",
            "gd_draw_event",
            "dpy_refresh",
            "net_slirp_poll_notify",
            "tap_send",
            "net_vhost_user_event",
            "gdb_chr_receive",
            "monitor_read",
            "usbredir_chardev_read",
            "vfio_msi_interrupt",
            "vfio_intx_interrupt",
            "ehci_work_bh",
            "virtio_net_tx_bh",
            "migration_cleanup_bh",
            "migrate_fd_connect",
            "migration_channel_connect",
            "socket_outgoing_migration",
            "socket_accept_incoming_migration",
            "migration_channel_process_incoming",
            "process_incoming_migration_bh",
            # what devices and backends hand to qemu_set_fd_handler (5.2 to 10.2)
            *_FD_HANDLERS,
        ),
    ),
    GiveAway(
        "monitor-input", "main-loop", Names("qmp_*", "exec_start_outgoing_migration", "*_start_outgoing_migration")
    ),
    GiveAway(
        "device-creation",
        "main-loop",
        Names(
            "device_set_realized",
            "qdev_realize",
            "qdev_device_add",
            "qdev_init",
            "*_realize",
            "*_realizefn",
            "device_init_func",
            "*_machine_init",
            "machine_init*",
            "user_creatable_*",
        ),
    ),
    GiveAway(
        "job-end",
        "main-loop",
        Names(
            "job_exit",
            "job_defer_to_main_loop_bh",
            "block_job_defer_to_main_loop_bh",
            "job_do_finalize*",
            "vm_stop",
            "do_vm_stop",
            "qmp_transaction",
            "blockdev_do_action",
            "blockdev_init",
            "bdrv_close_all",
            "qemu_system_reset",
            "qemu_devices_reset",
            "gui_update",
        ),
    ),
)
# A stack that is cut off above one of these is a handler of some event loop: the main loop's, unless something says
# otherwise.
HANDLER_DISPATCH = Names(
    "aio_dispatch_handler",
    "aio_dispatch_handlers",
    "aio_dispatch",
    "aio_ctx_dispatch",
    "aio_bh_call",
    "aio_bh_poll",
    "qio_channel_fd_source_dispatch",
    "g_main_dispatch",
    "timerlist_run_timers",
    "qemu_clock_run_timers",
    "io_watch_poll_*",
    "tcp_chr_read",
    "qemu_chr_be_write",
    "bdrv_open",
    "bdrv_open_inherit",
    "blk_new_open",
    "bdrv_open_common",
    "bdrv_open_driver",
    "qemu_gluster_init",
    "qemu_opts_foreach",
)
SINGLE_THREADED_ERA = Names(*_UP_TO_2_8, "ioport_read", "ioport_write", "ioport_writeb_thunk")


class Library(NamedTuple):
    """Threads that a library makes inside QEMU."""

    name: str
    subsystem: str
    role: str
    frames: Names
    files: Tuple[str, ...] = ()  # parts of shared object names


# The first row that fits a frame below the innermost wait decides, from the thread's start inwards.
LIBRARIES: Tuple[Library, ...] = (
    Library(
        "spice",
        "SPICE",
        "spice-worker",
        Names("red_worker_main", "red_dispatcher*", "red_process_*"),
        ("libspice-server",),
    ),
    Library(
        "ceph",
        "RBD",
        "external-library",
        Names(
            "ceph::*",
            "Ceph*",
            "SafeTimer*",
            "DispatchQueue*",
            "SimpleMessenger*",
            "Pipe::*",
            "EventCenter::*",
            "EpollDriver::*",
            "Accepter::*",
            "Finisher::*",
            "librados*",
            "librbd*",
            "AdminSocket*",
            "Throttle*",
            "ContextWQ*",
            "ThreadPool::*",
            "AsyncMessenger*",
            "Processor::*",
            "NetworkStack*",
            "PosixNetworkStack*",
            "CommonSafeTimer*",
        ),
        ("libceph-common", "librados", "librbd"),
    ),
    Library(
        "gluster",
        "GLUSTER",
        "external-library",
        Names(
            "glfs_poller",
            "syncenv_processor",
            "syncenv_task",
            "event_dispatch*",
            "gf_timer_proc",
            "iot_worker",
            "pool_sweeper",
            "socket_poller",
            "gf_timer_*",
        ),
        ("libglusterfs", "libgfapi", "rpc-transport"),
    ),
    # Proxmox VE's backup library, written in Rust: its threads are tokio's
    Library("proxmox-backup", "Block Jobs", "external-library", Names("proxmox_backup_*"),
            ("libproxmox_backup_qemu",)),
    Library("xenstore", "X86 Xen CPUs", "external-library", Names(), ("libxenstore",)),  # its read_thread
    Library("lttng", "Tracing", "external-library", Names("ust_listener_thread", "lttng_*"), ("liblttng",)),
    Library(
        "libusb",
        "USB",
        "external-library",
        Names("linux_udev_event_thread_main", "linux_netlink_event_thread_main", "libusb_*"),
        ("libusb",),
    ),
    Library("pulseaudio", "Audio", "audio", Names("pa_mainloop_*", "pa_threaded_mainloop*"), ("libpulse",)),
    Library("pipewire", "Audio", "audio", Names("pw_*", "do_loop", "spa_*"), ("libpipewire", "libspa")),
    Library("jack", "Audio", "audio", Names("jack_*", "Jack::*", "JackClient*"), ("libjack",)),
    Library("sdl-audio", "Audio", "audio", Names("SDL_RunAudio", "RunAudio", "sdl_audio_*"), ()),
    Library("alsa", "Audio", "audio", Names("snd_pcm_*"), ("libasound",)),
    Library("coreaudio", "Audio", "audio", Names("HALC_*", "AQ::*", "caulk::*"), ("CoreAudio", "AudioToolbox")),
    Library(
        "mesa",
        "Graphics",
        "external-library",
        Names("util_queue_thread_func", "u_queue_*", "thread_function", "llvmpipe_*", "lp_rast*", "_mesa_*", "vk_*"),
        ("_dri.so", "libgallium", "libGLX", "libEGL", "libvulkan", "libLLVM", "swrast", "libnvidia", "libGL"),
    ),
    Library(
        "virgl", "virtio-gpu", "external-library", Names("vrend_*", "thread_sync", "virgl_*"), ("libvirglrenderer",)
    ),
    Library("sdl", "SDL display", "display", Names("SDL_RunThread", "SDL_TimerThread"), ("libSDL",)),
    Library(
        "cocoa",
        "Cocoa graphics",
        "display",
        Names("-[NSApplication run]", "NSApplicationMain", "_DPSNextEvent", "-[NSApplication *", "CFRunLoopRun*"),
        ("AppKit", "HIToolbox"),
    ),
    Library(
        "x11",
        "Graphics",
        "external-library",
        Names(
            "XNextEvent",
        ),
        ("libX11", "libxcb"),
    ),
    Library("gnutls", "Cryptography", "external-library", Names("gnutls_*"), ()),
    Library("curl", "CURL", "external-library", Names("getaddrinfo_thread", "curl_*", "Curl_*"), ("libcurl",)),
    Library("iscsi", "iSCSI", "external-library", Names("iscsi_*"), ("libiscsi",)),
    Library("nfs", "NFS", "external-library", Names("nfs_*"), ("libnfs",)),
    Library("rdma", "RDMA", "external-library", Names("ibv_*", "rdma_*"), ("libibverbs", "librdmacm")),
    Library("hypervisor-framework", "HVF", "external-library", Names("HvCore::*", "hv_vm_*"), ("Hypervisor",)),
    Library(
        "dispatch",
        "Main loop",
        "external-library",
        Names("_dispatch_*", "start_wqthread", "pthread_wqthread", "__workq_kernreturn"),
        ("libdispatch",),
    ),
    Library(
        "windows",
        "Main loop",
        "external-library",
        Names("TppWorkerThread", "NtWaitForWorkViaWorkerFactory", "RtlpTp*", "call_thread_func*"),
        ("winmm", "mswsock"),
    ),
    Library(
        "glib",
        "GLib",
        "glib-worker",
        Names(
            "glib_worker_main",
            "gdbus_shared_thread_func",
            "dconf_gdbus_worker_thread",
            "g_thread_pool_*",
            "g_task_thread_pool_*",
        ),
        ("libglib-2", "libgio-2", "libdconf", "libgobject", "libgvfs"),
    ),
    Library(
        "sanitizer",
        "Sanitizers",
        "external-library",
        Names("BackgroundThread", "__sanitizer::*", "__tsan::*", "__asan::*"),
        (),
    ),
)


def library_index() -> List[Tuple[str, Library]]:
    """Parts of shared object names with the row that they belong to, in the rows' order."""
    return [(part, row) for row in LIBRARIES for part in row.files]
