"""Which frame an expert would point at, and whose code is at work."""

from __future__ import annotations

import pytest
from stacks import COND, HANDLER, MAIN, MUTEX, POLL, START, classified, recorded, thread, told

ABORT = "__pthread_kill_implementation __GI_raise __GI_abort"
KVM = f"kvm_cpu_exec kvm_vcpu_thread_fn {START}"
DISPATCH = (
    "memory_region_write_accessor access_with_adjusted_size memory_region_dispatch_write "
    "flatview_write address_space_rw"
)

BLAMED = [
    (f"{ABORT} __assert_fail_base __assert_fail bdrv_unref blockdev_del {HANDLER}", "bdrv_unref"),
    (f"{ABORT} hw_error tsc210x_txrx omap_mcspi_write {DISPATCH} {KVM}", "tsc210x_txrx"),
    (
        f"{ABORT} cpu_abort sparc_cpu_do_interrupt cpu_handle_exception cpu_exec mttcg_cpu_thread_fn {START}",
        "sparc_cpu_do_interrupt",
    ),
    (
        f"{ABORT} error_exit qemu_mutex_destroy char_finalize object_deinit object_finalize object_unref {HANDLER}",
        "char_finalize",
    ),
    (f"{ABORT} error_exit qemu_mutex_lock vnc_lock_output vnc_client_write {HANDLER}", "vnc_client_write"),
    (
        f"{ABORT} object_dynamic_cast_assert IOMMU_MEMORY_REGION vfio_spapr_create_window {HANDLER}",
        "vfio_spapr_create_window",
    ),
    (
        f"{ABORT} error_handle_fatal error_setv error_setg_internal qdev_prop_set_drive pc_init1 qemu_init main",
        "qdev_prop_set_drive",
    ),
    (
        f"{ABORT} malloc_printerr _int_free free g_free qemu_vfree virtio_blk_req_complete {HANDLER}",
        "virtio_blk_req_complete",
    ),
    (f"pthread_kill abort assert_hvf_ok_impl hvf_arch_init_vcpu hvf_cpu_thread_fn {START}", "hvf_arch_init_vcpu"),
]


@pytest.mark.parametrize(("words", "blamed"), BLAMED)
def test_the_machinery_of_abort_and_general_helpers_are_looked_past(words, blamed):
    explained = told(words)
    assert explained.culprit == blamed
    assert explained.culprit_rule == "who-gave-up"
    assert explained.thread.frames[explained.culprit_level].name == blamed


@pytest.mark.parametrize(
    ("words", "blamed"),
    [
        (f"memcpy qio_channel_websock_encode qio_channel_websock_writev {HANDLER}", "qio_channel_websock_encode"),
        (f"__memcpy_avx_unaligned qemu_put_buffer vmstate_save_state migration_thread {START}", "qemu_put_buffer"),
        (
            f"swapcontext qemu_coroutine_new qemu_coroutine_create blk_aio_prwv iothread_run {START}",
            "qemu_coroutine_new",
        ),
        (f"_mesa_TexParameteri dri_make_current SDL_GL_MakeCurrent_REAL sdl2_gl_switch {MAIN}", "sdl2_gl_switch"),
    ],
)
def test_the_innermost_qemu_function_is_blamed_for_a_fault(words, blamed):
    assert told(words, signal="SIGSEGV", current=True).culprit == blamed


@pytest.mark.parametrize(
    ("words", "blamed"),
    [
        (
            f"{POLL} fdmon_poll_wait aio_poll bdrv_do_drained_begin bdrv_drained_begin quorum_del_child {HANDLER}",
            "bdrv_do_drained_begin",
        ),
        (f"{POLL} aio_poll bdrv_poll_co bdrv_flush bdrv_close {HANDLER}", "bdrv_flush"),
        (f"{COND} do_run_on_cpu run_on_cpu memory_region_snapshot_and_clear_dirty {HANDLER}", "do_run_on_cpu"),
        (
            f"sem_wait qemu_sem_wait migration_maybe_pause migration_completion migration_thread {START}",
            "migration_maybe_pause",
        ),
        (f"{MUTEX} aio_context_acquire bdrv_query_image_info qmp_query_block {HANDLER}", "bdrv_query_image_info"),
        (f"write rdma_get_cm_event qemu_rdma_cleanup qio_channel_rdma_close {HANDLER}", "qemu_rdma_cleanup"),
        (
            (
                "recvmsg qio_channel_socket_readv qcrypto_tls_session_pull _gnutls_read "
                f"gnutls_handshake qcrypto_tls_session_handshake {HANDLER}"
            ),
            "qcrypto_tls_session_handshake",
        ),
    ],
)
def test_a_wait_is_blamed_on_the_function_that_decided_to_wait(words, blamed):
    assert told(words).culprit == blamed


def test_a_vcpu_that_waits_for_the_bql_is_a_victim():
    assert told(f"{MUTEX} bql_lock_impl prepare_mmio_access flatview_read address_space_rw {KVM}").culprit is None
    assert told(f"{MUTEX} bql_lock_impl os_host_main_loop_wait {MAIN}").culprit is None


def test_a_tool_that_runs_the_main_loop_names_the_function_that_does():
    stack = f"{POLL} os_host_main_loop_wait main_loop_wait convert_do_copy img_convert main"
    assert told(stack, program="qemu-img").culprit == "convert_do_copy"


def test_no_cause_is_named_where_the_innermost_frames_are_missing():
    explained = told(
        f"io_writex store_helper code_gen_buffer cpu_tb_exec cpu_exec mttcg_cpu_thread_fn {START}",
        first=11,
        truncated_top=True,
    )
    assert explained.culprit is None
    assert explained.culprit_rule == "innermost-frames-missing"


def test_an_idle_qemu_has_no_culprit():
    assert {t.culprit for t in recorded("debug-10.0-kvm").explanation.threads} == {None}


@pytest.mark.parametrize(
    ("words", "subsystem"),
    [
        (
            (
                f"{MUTEX} bql_lock_impl prepare_mmio_access address_space_stl_internal pci_msi_trigger "
                "msix_notify virtio_notify virtio_scsi_complete_req coroutine_trampoline"
            ),
            "virtio-scsi",
        ),
        (f"{POLL} aio_poll bdrv_do_drained_begin quorum_del_child qmp_x_blockdev_change {HANDLER}", "Quorum"),
        (f"{POLL} aio_poll bdrv_drain_all do_vm_stop vm_stop qmp_stop qmp_marshal_stop {HANDLER}", "Block I/O path"),
        (
            (
                f"{ABORT} __assert_fail memory_region_transaction_commit memory_region_add_eventfd "
                f"virtio_pci_ioeventfd_assign aio_poll iothread_run {START}"
            ),
            "virtio",
        ),
        (f"{MUTEX} bql_lock_impl prepare_mmio_access flatview_read address_space_rw {KVM}", "KVM"),
        (f"syscall qemu_event_wait call_rcu_thread {START}", "RCU"),
        (f"ioctl kvm_vcpu_ioctl {KVM}", "KVM"),
        (f"{POLL} os_host_main_loop_wait {MAIN}", "Main loop"),
    ],
)
def test_the_subsystem_is_the_work_not_the_helper(words, subsystem):
    assert told(words).subsystem == subsystem


def test_who_passes_error_abort_is_blamed_where_the_stack_shows_it():
    stack = f"{ABORT} error_handle error_setv error_setg_internal blockdev_init drive_new default_drive qemu_init main"
    shown = {level: {"errp": "0x55bb <error_abort>"} for level in (5, 6, 7)}
    explained = told(stack, args=shown)
    assert (explained.culprit, explained.culprit_rule) == ("default_drive", "who-passed-error_abort")


def interrupted(handler, interrupted_code, signal):
    stack = thread(f"{handler} SIGNAL {interrupted_code}", current=True)
    stack.frames[len(handler.split())].function = "<signal handler called>"
    return classified(stack, signal=signal).explanation.threads[0]


def test_a_crash_inside_a_signal_handler_is_the_handlers():
    assert interrupted("termsig_handler", f"{POLL} {MAIN}", "SIGSEGV").culprit == "termsig_handler"


def test_a_handler_that_raises_the_signal_again_is_looked_past():
    assert (
        interrupted("raise sigbus_reraise sigbus_handler", f"ram_load_precopy {MAIN}", "SIGBUS").culprit
        == "ram_load_precopy"
    )


def test_the_rcu_thread_that_waits_for_readers_is_not_to_blame():
    assert told(f"syscall qemu_event_wait wait_for_readers synchronize_rcu call_rcu_thread {START}").culprit is None


def test_a_device_that_writes_to_a_chardev_is_named_not_the_chardev():
    stack = f"clock_nanosleep g_usleep qemu_chr_write_buffer qemu_chr_fe_write_all debugcon_ioport_write {KVM}"
    assert told(stack).culprit == "debugcon_ioport_write"


@pytest.mark.parametrize(
    ("words", "signal", "blamed"),
    [
        (f"__memmove_avx_unaligned iov_from_buf_full aio_bh_poll aio_dispatch {MAIN}", "SIGSEGV", "iov_from_buf_full"),
        (f"{ABORT} __assert_fail g_main_context_dispatch glib_pollfds_poll {MAIN}", None, None),
        (f"write ? ? aio_dispatch ? g_main_context_dispatch {MAIN}", None, None),
        (f"poll libusb_handle_events_timeout_completed aio_bh_poll aio_dispatch {HANDLER}", None, "aio_bh_poll"),
    ],
)  # fmt: skip
def test_the_functions_outside_an_event_loop_are_not_to_blame_for_a_nameless_handler(words, signal, blamed):
    assert told(words, signal=signal, current=signal is not None).culprit == blamed


@pytest.mark.parametrize(
    ("words", "signal", "blamed"),
    [
        (f"pixman_image_get_data surface_data vga_draw_graphic {MAIN}", "SIGSEGV", "vga_draw_graphic"),
        (f"{ABORT} __assert_fail extract32 ati_reg_read_offs ati_mm_read {DISPATCH} {KVM}", None, "ati_reg_read_offs"),
        (f"fdatasync qemu_fdatasync handle_aiocb_flush worker_thread {START}", None, "handle_aiocb_flush"),
        (f"__strcmp_sse42 find_desc_by_name qemu_opts_absorb_qdict nbd_open bdrv_open {MAIN}", "SIGSEGV", "nbd_open"),
        ("realloc g_realloc opts_parse main", "SIGSEGV", "opts_parse"),
        (f"pwritev64 qemu_pwritev handle_aiocb_rw_vector worker_thread {START}", None, "handle_aiocb_rw_vector"),
        (f"object_get_class qio_channel_writev_full io_channel_send_full tcp_chr_write {HANDLER}", "SIGSEGV",
         "tcp_chr_write"),
        (f"object_get_class qio_channel_shutdown multifd_recv_terminate_threads {HANDLER}", "SIGSEGV",
         "multifd_recv_terminate_threads"),
        (f"{ABORT} __assert_fail qio_channel_yield channel_get_buffer {MAIN}", None, "qio_channel_yield"),
        (f"{ABORT} __assert_fail assert_bdrv_graph_readable bdrv_co_nb_sectors bdrv_nb_sectors {MAIN}", None,
         "bdrv_co_nb_sectors"),
        (f"qemu_file_get_error_obj qemu_file_get_error source_return_path_thread {START}", "SIGSEGV",
         "source_return_path_thread"),
        (f"qemu_set_offload virtio_net_apply_guest_offloads virtio_net_set_features {MAIN}", "SIGSEGV",
         "virtio_net_apply_guest_offloads"),
        (f"scsi_req_unref virtio_scsi_handle_cmd_req_submit virtio_scsi_handle_cmd_vq {MAIN}", "SIGSEGV",
         "virtio_scsi_handle_cmd_req_submit"),
        (f"kvm_ioctl kvm_check_extension kvm_arm_pmu_supported arm_set_pmu {MAIN}", "SIGSEGV", "kvm_arm_pmu_supported"),
        (f"g_str_hash g_hash_table_lookup object_class_property_find object_property_find "
         f"object_resolve_path_component qemu_chr_find {MAIN}", "SIGSEGV", "qemu_chr_find"),
        (f"free qapi_dealloc_type_str visit_type_str visit_type_Netdev net_visit {MAIN}", "SIGSEGV", "net_visit"),
        (f"blk_inc_in_flight blk_aio_prwv blk_aio_preadv scsi_do_read {MAIN}", "SIGSEGV", "blk_aio_prwv"),
    ],
)  # fmt: skip
def test_accessors_and_thin_layers_over_system_calls_are_looked_past(words, signal, blamed):
    assert told(words, signal=signal, current=signal is not None).culprit == blamed


@pytest.mark.parametrize(
    ("words", "subsystem"),
    [
        ("__strcmp_sse42 find_desc_by_name qemu_opts_absorb_qdict nbd_open bdrv_open_driver qemu_init main", "NBD"),
        ("memcpy stw_le_p pci_set_word xen_pt_config_reg_init xen_pt_config_init qemu_init main", "X86 Xen CPUs"),
        (f"address_space_translate_internal flatview_do_translate dma_memory_write stl_le_dma stl_le_pci_dma "
         f"intel_hda_response hda_codec_response {KVM}", "Overall Audio frontends"),
        (f"flatview_write_continue cpu_physical_memory_write i8257_dma_write_memory fdctrl_transfer_handler {KVM}",
         "Floppy"),
        (f"blk_inc_in_flight blk_pwritev_part blk_pwrite fdctrl_write_data fdctrl_write {KVM}", "Floppy"),
        (f"free visit_type_str visit_type_VncServerInfo qapi_free_VncServerInfo vnc_server_info_get {MAIN}", "VNC"),
        (f"surface_bits_per_pixel get_depth_index vga_draw_graphic vga_update_display gui_update {MAIN}", "VGA"),
    ],
)  # fmt: skip
def test_the_subsystem_is_that_of_the_caller_of_containers_and_of_the_file_of_its_caller(words, subsystem):
    assert told(words, signal="SIGSEGV", current=True).subsystem == subsystem


@pytest.mark.parametrize(
    ("words", "subsystem"),
    [
        (f"{ABORT} __assert_fail qio_channel_yield channel_get_buffer qemu_fill_buffer qemu_get_be16 "
         f"source_return_path_thread {START}", "Migration"),
        (f"{ABORT} fifo8_pop fifo32_pop spi_read memory_region_read_accessor {KVM}", "Device models"),
        ("memory_region_write_with_attrs_accessor address_space_rw qtest_process_command main",
         "Memory API"),
        ("ldl_he_p translator_ldl_swap ppc_tr_translate_insn translator_loop mttcg_cpu_thread_fn", "TCG CPUs"),
    ],
)  # fmt: skip
def test_a_subsystem_is_that_of_the_work_not_of_its_way(words, subsystem):
    assert told(words, signal="SIGSEGV", current=True).subsystem == subsystem


@pytest.mark.parametrize(
    ("words", "blamed", "subsystem"),
    [
        (f"acme_step acme_write {DISPATCH} {KVM}", "acme_step", "Device models"),
        (f"g_free acme_bottom_half {HANDLER}", "acme_bottom_half", None),
        (f"vhost_acme_cb qio_channel_fd_source_dispatch g_main_dispatch {MAIN}", "vhost_acme_cb", None),
        (f"bdrv_acme_check bdrv_open_inherit bdrv_open {MAIN}", "bdrv_acme_check", "Block layer core"),
        (f"ec_gf_writev glfs_pwritev_async qemu_gluster_co_writev {MAIN}", "qemu_gluster_co_writev", "GLUSTER"),
        (f"iscsi_acme iscsi_service iscsi_process_read aio_dispatch_handler {MAIN}", "iscsi_process_read", "iSCSI"),
    ],
)
def test_functions_of_a_fork_are_known_by_who_calls_them(words, blamed, subsystem):
    explained = told(words, signal="SIGSEGV", current=True)
    assert explained.culprit == blamed
    assert subsystem in (None, explained.subsystem)


def test_a_function_between_two_of_qemus_is_qemus_though_no_index_has_it():
    words = f"{ABORT} g_assertion_message_expr object_initialize a_forks_board_init machine_run_board_init main"
    assert told(words).culprit == "a_forks_board_init"
    assert told(f"{ABORT} qsort qemu_init main").culprit == "qemu_init"


def test_a_function_that_no_index_has_and_that_fails_a_check_is_qemus():
    assert told(f"{ABORT} __assert_fail acme_check qcow2_co_pwritev {MAIN}").culprit == "acme_check"
    assert told(f"{ABORT} malloc_printerr acme_free qcow2_co_pwritev {MAIN}").culprit == "qcow2_co_pwritev"


def test_a_channel_that_leaks_is_forgotten_by_who_made_it():
    words = f"malloc g_malloc object_new_with_type qio_channel_socket_new socket_send_channel_create {MAIN}"
    explained = told(words)
    assert (explained.culprit, explained.subsystem) == ("socket_send_channel_create", "Migration")
