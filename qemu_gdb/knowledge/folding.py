"""How a stack is boiled down to what tells one problem from another: names unified, plumbing folded into layers."""

from __future__ import annotations

import functools
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

from ..model import canonical_name
from ..pattern import Pattern
from .match import Names


class Layer(NamedTuple):
    """Plumbing that many stacks share; a run of its functions becomes one token, ``@name``."""

    name: str
    functions: Names


# One function under the names that it had over time: old name to newest.
ALIASES: Dict[str, str] = {
    "qemu_kvm_cpu_thread_fn": "kvm_vcpu_thread_fn",  # 5.2, accel/kvm/kvm-accel-ops.c
    "kvm_cpu_thread_fn": "kvm_vcpu_thread_fn",
    "ap_main_loop": "kvm_vcpu_thread_fn",
    "qemu_tcg_cpu_thread_fn": "mttcg_cpu_thread_fn",  # 5.2, accel/tcg/tcg-accel-ops-mttcg.c
    "tcg_cpu_thread_fn": "mttcg_cpu_thread_fn",
    "qemu_tcg_rr_cpu_thread_fn": "rr_cpu_thread_fn",
    "main_loop": "qemu_main_loop",  # 5.0
    "qemu_bh_poll": "aio_bh_poll",
    "hw_error_exit": "hw_error",
    "migrate_fd_cleanup": "migration_cleanup",  # 10.0, migration/migration.c
    "migrate_fd_connect": "migration_connect",
    "migrate_fd_cancel": "migration_cancel",
    "migrate_fd_error": "migration_connect_set_error",
    "virtio_blk_data_plane_start": "virtio_blk_start_ioeventfd",  # 9.0, hw/block/virtio-blk.c
    "virtio_blk_data_plane_stop": "virtio_blk_stop_ioeventfd",
    "virtio_blk_data_plane_handle_output": "virtio_blk_handle_output",
    "virtio_scsi_dataplane_start": "virtio_scsi_start_ioeventfd",
    "virtio_scsi_dataplane_stop": "virtio_scsi_stop_ioeventfd",
    "virtio_scsi_handle_cmd_vq": "virtio_scsi_handle_cmd",
    "virtio_blk_handle_vq": "virtio_blk_handle_output",
    "slave_read": "backend_read",  # 8.1, hw/virtio/vhost-user.c
    "slave_channel_process": "backend_read",
    "bdrv_set_aio_context_commit": "bdrv_change_aio_context",  # 7.2, block.c
    "bdrv_set_aio_context_ignore": "bdrv_change_aio_context",
    "bdrv_child_try_set_aio_context": "bdrv_try_change_aio_context",
    "bdrv_try_set_aio_context": "bdrv_try_change_aio_context",
    "bdrv_do_drained_begin": "bdrv_drained_begin",
    "bdrv_do_drained_begin_quiesce": "bdrv_drained_begin",
    "bdrv_do_drained_end": "bdrv_drained_end",
    "bdrv_drain_all_begin_nopoll": "bdrv_drain_all_begin",
    "bdrv_prwv_co": "bdrv_rw_co",
    "bdrv_rw_co_entry": "bdrv_rw_co",
    "bdrv_flush_co_entry": "bdrv_flush",
    "qcow2_alloc_cluster_offset": "qcow2_alloc_host_offset",  # 5.1, block/qcow2-cluster.c
    "qemu_savevm_state_complete": "qemu_savevm_state_complete_precopy",
    "qemu_savevm_state_complete_precopy_non_iterable": "qemu_savevm_state_complete_precopy",
    "qemu_file_rate_limit": "migration_rate_exceeded",  # 8.1, migration/migration.c
    "vfio_connect_container": "vfio_container_connect",  # 10.0, hw/vfio/container.c
    "vfio_disconnect_container": "vfio_container_disconnect",
    "vfio_get_group": "vfio_group_get",
    "vfio_put_group": "vfio_group_put",
    "ide_dma_error": "ide_dma_cb",
    "flush_trace_file": "st_flush_trace_buffer",
}

# Spellings that come and go while the function stays: pattern and replacement.
SPELLINGS: Tuple[Tuple[Pattern, str], ...] = (
    # job_exit_locked: 7.2, job.c; bdrv_co_pwritev_part: 4.2, block/io.c; X_entry: block/block-gen.c
    # scsi_dma_complete_noio: 7.2 to 9.0 split the functions by AioContext lock, hw/scsi/scsi-disk.c
    (Pattern(r"(?:__?locked)?(?:_entry)?(?:_impl)?(?:_part)?(?:_noio)?$"), ""),
    (Pattern(r"^(bdrv|blk|nbd|raw|qcow2)_co_(?!wait|yield)"), r"\1_"),  # 8.0 made wrappers of many
    (Pattern(r"^do_(?=[a-z]+_)"), ""),  # inlined into X, or called from its end
    (Pattern(r"^qmp_marshal_"), "qmp_"),
)

# Frames that say nothing about the problem: libraries, the way to abort, lock and coroutine primitives, casts.
SKIPPED = Names(
    # C library and its kin
    "raise", "abort", "exit", "_exit", "kill", "pthread_*", "clone", "clone3", "start_thread", "thread_start",
    "_start", "start", "syscall", "poll", "ppoll", "select", "pselect", "epoll_wait", "epoll_pwait", "read", "write",
    "readv", "writev", "recv", "recvmsg", "recvfrom", "send", "sendmsg", "sendto", "ioctl", "fsync", "fdatasync",
    "lseek", "lseek64", "pread", "pread64", "preadv*", "pwrite", "pwrite64", "pwritev*", "nanosleep",
    "clock_nanosleep", "usleep", "sleep", "memcpy*", "memmove*", "mempcpy*", "memset*", "memcmp*", "memchr*",
    "memrchr*", "strlen*", "strnlen*", "strcmp*", "strncmp*", "strcasecmp*", "strchr*", "strrchr*", "strcpy*",
    "strncpy*", "strdup", "strndup", "strtol*", "strtoul*", "strstr*", "strerror*", "strftime*", "malloc*", "calloc",
    "realloc", "free", "posix_memalign", "free_and_trace", "realloc_and_trace", "sem_*", "futex*", "do_futex*",
    "lll_*", "__*", "_L_*", "_int_*", "_IO_*", "_dl_*", "_fini", "_init", "libc_*", "vfprintf*", "printf", "fprintf",
    "snprintf*", "vsnprintf*", "vasprintf*", "assert_fail*", "_nl_load_domain*", "_nss_*", "fortify_fail*",
    "stack_chk_fail*", "swapcontext", "makecontext", "sigsetjmp", "siglongjmp", "longjmp", "setjmp", "_longjmp",
    "_setjmp", "internal_fallocate*", "operator new*", "operator delete*", "gsignal", "_lwp_kill", "_GI_*", "killpg",
    "tkill", "thr_kill", "arena_get*", "sysmalloc*", "unlink_chunk*", "munmap", "munmap_chunk", "mmap", "mmap64",
    "madvise", "tcache_*", "tcsetattr", "open", "open64", "openat", "close", "accept", "accept4", "connect", "flock",
    "fcntl", "fcntl64", "opendir", "readdir*", "nptl_*", "setxid_*", "setgid", "setuid", "setgroups",
    # GLib
    "g_*", "_g_*", "glib_worker_main", "glib_autoptr_*", "gdk_*", "gtk_main*",
    # sanitizers and valgrind
    "asan_*", "tsan_*", "interceptor_*", "vgPlain_*", "_vgr*", "_mm_*", "_mm256_*", "_mm512_*", "spice_backtrace*",
    "spice_log*",
    # how QEMU gives up (the frame outside is the one to look at)
    "error_exit", "error_handle*", "error_setv", "error_set*", "error_propagate*", "error_report*", "error_abort",
    "object_*dynamic_cast*", "object_get_class", "type_table_lookup", "type_get_*", "type_is_ancestor", "qemu_abort*",
    # primitives
    "aio_context_acquire", "aio_context_release", "bql_lock*", "bql_unlock*", "qemu_mutex_*", "qemu_rec_mutex_*",
    "qemu_cond_*", "qemu_sem_*", "qemu_event_wait*", "qemu_futex_*", "qemu_spin_*", "qemu_lockable_*",
    "qemu_memalign", "qemu_try_memalign", "qemu_vfree", "qemu_thread_join", "qatomic_*", "trace_*",
    "_nocheck__trace_*", "rcu_read_*", "notifier_list_notify", "notifier_with_return_list_notify", "aio_wait_kick*",
    "safe_*", "do_safe_*", "sigwait*", "sigtimedwait", "sigsuspend",
    # accessors that any caller with a bad pointer dies in
    "qemu_file_get_error*", "qemu_coroutine_get_aio_context",
    # words that a parser of reports took for functions
    "in", "at", "from", "by", "to", "Bad",
)  # fmt: skip

# QEMU's own functions among those that SKIPPED takes for a library's.
KEPT = Names(
    "__amdvi_*", "__build_*", "__cpu_*", "__curl_multi_*", "__desc_ring_*", "__do_*", "__get_all_*", "__helper_*",
    "__kvm_*", "__nvme_*", "__ppc*", "__qemu_*", "__s390_*", "__sungem_*", "__target_*", "__toggle_*", "__ufs_*",
    "__virtio_*",
)  # fmt: skip

LAYERS: Tuple[Layer, ...] = (
    Layer("start", Names(
        "main", "qemu_default_main", "qemu_main", "qemu_thread_start", "win32_start_routine", "coroutine_wrapper",
        "kvm_vcpu_thread_fn", "mttcg_cpu_thread_fn", "rr_cpu_thread_fn", "hvf_cpu_thread_fn", "whpx_cpu_thread_fn",
        "dummy_cpu_thread_fn", "nvmm_cpu_thread_fn", "hax_cpu_thread_fn", "xen_*thread_fn",
        "qemu_dummy_cpu_thread_fn", "iothread_run", "clone_func", "worker_thread", "call_rcu_thread",
        "vnc_worker_thread*",
    )),
    Layer("rcu", Names("wait_for_readers", "enter_qs", "synchronize_rcu")),
    Layer("coroutine", Names(
        "coroutine_trampoline", "coroutine_bootstrap", "coroutine_swap", "qemu_coroutine_switch",
        "qemu_coroutine_enter", "SwitchToFiber", "qemu_aio_coroutine_enter", "qemu_coroutine_yield", "aio_co_wake",
        "aio_co_enter", "aio_co_reschedule_self", "aio_co_schedule", "bdrv_coroutine_enter", "co_schedule_bh_cb",
        "qemu_coroutine_self", "qemu_co_queue_run_restart", "qemu_co_enter_next", "bdrv_poll", "bdrv_run_co",
        "qemu_co_queue_wait*", "qemu_co_mutex_lock*",
    )),
    Layer("event-loop", Names(
        "qemu_main_loop", "main_loop_wait", "os_host_main_loop_wait", "glib_pollfds_poll", "qemu_poll_ns",
        "qemu_iohandler_poll", "aio_poll", "aio_ctx_dispatch", "aio_ctx_prepare", "aio_ctx_check", "aio_dispatch*",
        "aio_bh_poll", "aio_bh_call", "fdmon_*", "run_poll_handlers*", "try_poll_mode", "timerlist_run_timers",
        "timerlistgroup_run_timers", "qemu_clock_run_timers", "qemu_clock_run_all_timers", "qio_channel_fd_source_*",
        "qio_channel_fd_pair_source_*", "main_loop_should_exit", "thread_pool_completion_bh", "qemu_iohandler_*",
        "qemu_run_all_timers", "qemu_run_timers", "aio_wait_bh", "qemu_aio_wait", "AIO_WAIT_WHILE*",
    )),
    Layer("vcpu", Names(
        "kvm_cpu_exec", "kvm_vcpu_ioctl", "qemu_wait_io_event", "qemu_process_cpu_events", "qemu_cpu_exec",
        "tcg_cpu_exec", "cpu_exec",
        "cpu_exec_loop", "cpu_exec_setjmp", "cpu_exec_step_atomic", "cpu_exec_nocache", "cpu_loop_exec_tb",
        "cpu_tb_exec", "code_gen_buffer", "static_code_gen_buffer", "tcg_qemu_tb_exec", "cpu_*_exec", "tcg_exec_all",
        "tcg_cpus_exec", "process_queued_cpu_work", "cpu_handle_interrupt",
        "cpu_handle_exception", "cpu_loop", "do_syscall", "do_syscall1", "hvf_vcpu_exec", "hvf_arch_vcpu_exec",
        "whpx_vcpu_run", "nvmm_vcpu_exec",
        "jit*", "qemu_tcg_wait_io_event", "qemu_wait_io_event_common", "qemu_process_cpu_events_common",
    )),
    Layer("guest-access", Names(
        "kvm_handle_io", "kvm_handle_mmio", "cpu_in?", "cpu_out?", "helper_in?", "helper_out?", "ioport_read*",
        "ioport_write*", "portio_read", "portio_write", "memory_region_dispatch_read*",
        "memory_region_dispatch_write*", "memory_region_*_accessor", "access_with_adjusted_size*", "flatview_read*",
        "flatview_write*", "address_space_rw", "address_space_read*", "address_space_write*", "address_space_st*",
        "address_space_ld*", "cpu_physical_memory_rw", "cpu_physical_memory_read", "cpu_physical_memory_write",
        "io_readx", "io_writex", "store_helper*", "load_helper*", "helper_*_mmu*", "full_*_mmu*", "do_st?_mmu",
        "do_st16_*", "do_st_?", "do_st_*N", "do_st_mmio*", "do_ld?_mmu", "do_ld16_*", "do_ld_?", "do_ld_*N",
        "do_ld_mmio*", "cpu_st?_*", "cpu_st16_*", "cpu_ld?_*", "cpu_ldu?_*", "cpu_lds?_*", "cpu_ld16_*",
        "int_ld_mmio*", "int_st_mmio*", "subpage_read*", "subpage_write*", "io_mem_read", "io_mem_write", "st?_phys*",
        "ld*_phys*", "memory_region_oldmmio_*", "memory_region_iorange_*", "prepare_mmio_access", "slow_st*",
        "slow_ld*", "kvm_arch_handle_exit", "kvm_flush_coalesced_mmio_buffer", "io_prepare*", "io_failed",
        "io_write?", "io_read?",
    )),
    # migration/qemu-file.c, migration/savevm.c: every incoming stream is read by these
    Layer("migration-stream", Names(
        "qemu_fill_buffer", "qemu_peek_byte", "qemu_peek_buffer", "qemu_get_byte", "qemu_get_be*", "qemu_get_buffer*",
        "qemu_loadvm_state_main",
    )),
    Layer("dma", Names(
        "dma_memory_rw*", "dma_memory_read*", "dma_memory_write*", "pci_dma_*", "dma_buf_*",
    )),
    Layer("monitor-command", Names(
        "monitor_qmp_dispatch*", "monitor_qmp_bh_dispatcher", "monitor_qmp_read", "qmp_dispatch", "do_qmp_dispatch*",
        "handle_qmp_command", "handle_hmp_command*", "monitor_command_cb", "readline_handle_byte", "monitor_read",
        "monitor_control_read", "json_message_*", "json_lexer_*", "json_parser_*", "parse_value", "parse_object",
        "parse_pair", "qemu_chr_be_write*", "tcp_chr_read", "fd_chr_read", "monitor_ioctl*",
        "qmp_human_monitor_command", "qmp_marshal_human_monitor_command", "gdb_read_byte", "gdb_handle_packet",
        "gdb_handlesig", "handle_pending_signal", "process_pending_signals",
    )),
    Layer("property", Names(
        "object_property_set*", "object_property_get*", "property_set_*", "property_get_*", "qdev_realize*",
        "device_set_realized", "object_new*", "object_initialize*", "object_init_*", "qdev_new", "qdev_init",
        "qdev_init_nofail", "object_class_foreach*", "type_initialize*", "object_apply_*", "object_set_*prop*",
        "bus_set_realized", "qdev_try_new", "qdev_create",
    )),
    Layer("teardown", Names(
        "object_finalize", "object_unref", "object_deinit", "object_property_del*", "object_unparent",
        "object_finalize_child_property",
    )),
    # hw/core/reset.c, hw/core/resettable.c; before 5.0 hw/core/qdev.c and bus.c; each release cut it differently
    Layer("reset", Names(
        "qemu_system_reset", "qemu_devices_reset", "*machine_reset", "resettable_*", "legacy_reset_*", "qbus_reset_*",
        "qdev_reset_*", "qbus_walk_children", "qdev_walk_children", "device_reset", "device_cold_reset",
        "device_legacy_reset", "device_transitional_reset", "device_phases_reset", "bus_cold_reset", "bus_reset_*",
    )),
    Layer("startup", Names(
        "qemu_init", "qmp_x_exit_preconfig", "qemu_create_cli_devices", "qemu_opts_foreach", "device_init_func",
        "machine_run_board_init", "qemu_create_machine", "main_impl", "qemu_init_board", "qemu_create_late_backends",
        "qemu_create_early_backends", "qemu_machine_creation_done", "net_init_clients", "net_init_client",
    )),
    Layer("qtest", Names("qtest_*", "qmp_fd_receive", "test_case_run", "rsp_*")),
)  # fmt: skip

# How a process ends itself: the function that called them is telling even where it is plumbing.
ENDS = Names("raise", "abort", "assert_fail*", "__assert*", "g_assertion_message*", "_wassert", "_assert", "_lwp_kill")

_MAX_FRAMES = 4096
_MAX_PERIOD = 12
_ENDLESS = 8


def is_layer(token: str) -> bool:
    """Whether a token stands for a layer of plumbing."""
    return token.startswith("@")


@functools.lru_cache(maxsize=65536)
def token_of(function: Optional[str]) -> str:
    """What a function counts as: its newest plain name, ``@layer``, or "" for a frame that tells nothing."""
    name = canonical_name(function)
    if " " in name and "(" not in name and "<" not in name:
        name = name.partition(" ")[0]  # a damaged text left the file with it
    if not name or (name in SKIPPED and name not in KEPT):
        return ""
    for layer in LAYERS:
        if name in layer.functions:
            return "@" + layer.name
    name = ALIASES.get(name, name)
    for pattern, replacement in SPELLINGS:
        shorter = pattern.sub(replacement, name, count=1)
        if len(shorter) >= 5:
            name = shorter
    name = ALIASES.get(name, name)
    if name in SKIPPED and name not in KEPT:
        return ""
    for layer in LAYERS:
        if name in layer.functions:
            return "@" + layer.name
    return name


def fold(functions: Iterable[Optional[str]]) -> Tuple[str, ...]:
    """A stack, innermost function first, as tokens: noise dropped, plumbing and recursion folded.

    A run of frames of one layer is one token, and so is a function that stands directly above itself (an inlined copy,
    a generated wrapper). A sequence that repeats is kept once: a stack overflow looks the same at any depth.
    """
    return tuple(_fold_recursion(_tokens(functions)))


def recursion(functions: Iterable[Optional[str]]) -> Tuple[str, ...]:
    """The tokens that repeat over and over on a stack, innermost first, from the alphabetically first one on.

    Empty where nothing repeats at least eight times: mere re-entry is no endless recursion.
    """
    tokens = _tokens(functions)
    for period in range(1, _MAX_PERIOD + 1):
        run = 0
        for position in range(period, len(tokens)):
            run = run + 1 if tokens[position] == tokens[position - period] else 0
            if run >= (_ENDLESS - 1) * period:
                cycle = tokens[position - period + 1 : position + 1]
                first = cycle.index(min(cycle))
                return tuple(cycle[first:] + cycle[:first])
    return ()


def _tokens(functions: Iterable[Optional[str]]) -> List[str]:
    tokens: List[str] = []
    ending = False
    for count, function in enumerate(functions):
        if count >= _MAX_FRAMES:
            break
        token = token_of(function)
        if not tokens:
            name = canonical_name(function)
            if token.startswith("@") and ending:
                token = ALIASES.get(name, name)
            ending = ending or name in ENDS
        if token and (not tokens or tokens[-1] != token):
            tokens.append(token)
    return tokens


def _fold_recursion(tokens: List[str]) -> List[str]:
    """The tokens with every immediately repeated block of up to ``_MAX_PERIOD`` kept once."""
    for period in range(1, _MAX_PERIOD + 1):
        if len(tokens) < 2 * period:
            break
        kept: List[str] = []
        for token in tokens:
            kept.append(token)
            if len(kept) >= 2 * period and kept[-period:] == kept[-2 * period : -period]:
                del kept[-period:]
        tokens = kept
    return tokens
