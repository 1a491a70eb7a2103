"""Sentences that would send a reader astray: each stack here is one of which something false could be said."""

import io
import json

import pytest

from qemu_gdb.capture import text
from qemu_gdb.explain import explain
from qemu_gdb.render import json as as_json
from qemu_gdb.render import output


def pasted(names, above=""):
    """A pasted stack of names alone, under a line that came with it."""
    return above + "\n" + "\n".join(f"#{i}  {name} ()" for i, name in enumerate(names.split())) + "\n"


def read(words, above=""):
    """The first thread as JSON, the first finding, and the page with its lines joined."""
    explanations = [explain(s) for s in text.parse(pasted(words, above))]
    said = json.loads(as_json.render(explanations))
    said = said[0] if isinstance(said, list) else said
    page = output.render(explanations, "text", output.form_for(io.StringIO()))
    return said["threads"][0], said["findings"][0], " ".join(page.split())


def test_an_unlock_that_pthread_refuses_is_of_a_lock_that_the_thread_does_not_hold():
    _, finding, page = read(
        "raise abort error_exit qemu_mutex_unlock_impl aio_context_release bdrv_flush bdrv_close bdrv_delete "
        "bdrv_unref qmp_transaction"
    )
    assert finding["kind"] == "crash.abort"
    assert "is not held by this thread" in page
    assert "locked by this thread already" not in page


def test_a_mutex_that_cannot_be_destroyed_is_still_locked():
    _, _, page = read(
        "raise abort error_exit qemu_mutex_destroy qemu_chr_free_common qemu_chr_free qemu_chr_cleanup main"
    )
    assert "is still locked" in page


def test_qemus_own_call_of_a_qmp_function_is_no_command():
    _, _, page = read(
        "object_get_class object_apply_compat_props device_post_init object_init_with_type object_new_with_type "
        "qmp_device_list_properties qdev_device_help qemu_opts_foreach",
        "Program received signal SIGSEGV, Segmentation fault.",
    )
    assert 'QMP "' not in page
    assert "called by object_apply_compat_props" in page


def test_the_only_stack_beside_a_failed_assertion_is_its():
    line = "qemu-system-x86_64: ../block.c:7070: bdrv_unref: Assertion `bs->refcnt > 0' failed."
    thread, finding, page = read(
        "bdrv_replace_child_tran bdrv_replace_node_noperm bdrv_drop_filter stream_prepare job_prepare_locked job_exit",
        line,
    )
    assert thread["state"] == "aborting"
    assert finding["kind"] == "crash.assertion"
    assert "No signal and no failed check" not in page


def test_an_error_object_that_leaks_is_no_error_abort():
    _, _, page = read(
        "__interceptor_calloc g_malloc0 error_setv error_setg_internal load_elf_hdr arm_load_elf "
        "arm_load_kernel_notify notifier_list_notify main",
        "Direct leak of 64 byte(s) in 1 object(s) allocated from:",
    )
    assert "&error_abort" not in page
    assert "runs the guest program" not in page


def test_a_sound_cards_command_is_not_qemu_ios():
    _, _, page = read(
        "abort audio_bug audio_calloc audio_pcm_sw_init_out AUD_open_out continue_dma8 dma_cmd8 command dsp_write"
    )
    assert "qemu-io" not in page
    assert "audio_bug is a helper" in page


def test_a_test_program_is_no_main_loop_and_plays_no_guest():
    thread, _, page = read(
        "memcmp qtest_cb_for_every_machine main __libc_start_main", "qemu crashes with this backtrace"
    )
    assert thread["role"] == "test"
    assert "plays the guest" not in page


def test_a_recursions_owner_is_who_recurses_and_not_where_the_stack_ran_out():
    thread, _, _ = read(
        "malloc g_malloc qemu_aio_get thread_pool_submit_aio blk_pread cd_read_sector_sync "
        + "ide_atapi_cmd_reply_end ahci_start_transfer " * 14,
        "Program received signal SIGSEGV, Segmentation fault.",
    )
    assert thread["subsystem"] == "IDE"


@pytest.mark.parametrize(
    ("poller", "until"),
    [
        ("nbd_teardown_connection", "the coroutine that receives the NBD server's replies has ended"),
        ("nbd_server_free", "every client of the NBD server is gone"),
        ("throttle_group_unregister_tgm", "the restart of its throttled requests is over"),
        ("vhost_user_server_stop", "the vhost-user export's requests have ended"),
    ],
)
def test_a_nested_poll_says_what_it_waits_for(poller, until):
    _, finding, page = read(
        f"ppoll qemu_poll_ns aio_poll {poller} bdrv_close bdrv_delete bdrv_unref qmp_quit main_loop_wait main"
    )
    assert finding["kind"].startswith("hang.")
    assert f"until {until}" in page
    assert "Which request that is" not in page


def test_a_cast_that_faults_is_no_failed_check():
    thread, _, _ = read(
        "object_dynamic_cast_assert virtio_vmstate_change vm_state_notify vm_prepare_start vm_start qmp_cont hmp_cont",
        "Program received signal SIGSEGV, Segmentation fault.",
    )
    assert (thread["state"], thread["culprit"]) == ("crashed", "virtio_vmstate_change")


def test_waiting_for_all_rcu_readers_inside_an_rcu_section_is_a_deadlock():
    _, finding, page = read(
        "syscall qemu_futex_wait qemu_event_wait drain_call_rcu qmp_device_add do_qmp_dispatch_bh aio_bh_call "
        "aio_bh_poll aio_poll bdrv_poll_co blk_pwrite pflash_update pflash_write memory_region_dispatch_write "
        "flatview_write address_space_write address_space_rw kvm_cpu_exec kvm_vcpu_thread_fn qemu_thread_start"
    )
    assert finding["kind"] == "hang.deadlock"
    assert "is such a reader itself: address_space_rw" in page


def test_an_assertions_function_is_named_without_its_signature():
    _, finding, page = read(
        "raise abort __assert_fail_base __assert_fail bdrv_register_buf ram_block_added process_incoming_migration_co "
        "coroutine_trampoline",
        "qemu-system-x86_64: ../block/graph-lock.c:276: void bdrv_graph_rdlock_main_loop(void): "
        "Assertion `!qemu_in_coroutine()' failed.",
    )
    assert "failed in bdrv_graph_rdlock_main_loop" in finding["title"]
    assert "void bdrv" not in page.lower()


def test_a_lone_stack_of_a_coroutine_that_is_said_to_crash_crashed():
    thread, _, _ = read(
        "?? qio_channel_set_aio_fd_handler qio_channel_yield qemu_fill_buffer process_incoming_migration_co "
        "coroutine_trampoline ?? ??",
        "QEMU crashes with this backtrace:",
    )
    assert thread["state"] == "crashed"


def test_an_old_qemus_synchronous_read_waits():
    thread, finding, _ = read(
        "qemu_aio_wait bdrv_read_em bdrv_pread bdrv_open2 drive_init drive_init_func qemu_opts_foreach main"
    )
    assert thread["state"] == "waiting-drain-or-nested-poll"
    assert finding["kind"].startswith("hang.")


@pytest.mark.parametrize(
    ("stack", "never"),
    [
        ("dump_human_image_check img_check main", "dump of guest memory"),
        ("buffer_is_zero bdrv_aligned_pwritev bdrv_co_pwritev blk_co_pwritev blk_aio_write_entry", "sends guest RAM"),
        ("qemu_create_displaysurface vga_draw_graphic vga_update_display graphic_hw_update", "QEMU is starting"),
        ("convert_hour rtc_set_cmos rtc_update_time", "qemu-img"),
        ("ide_bus_new ich9_ahci_pci_init", "executes a command"),
        ("nbd_co_send_request nbd_co_request nbd_client_co_preadv bdrv_driver_preadv", "NBD server:"),
        ("nbd_receive_request nbd_co_receive_request nbd_trip coroutine_trampoline", "nbd driver"),
        ("inet_connect_saddr socket_connect qio_channel_socket_connect_sync nbd_connect", "chardev"),
        ("memory_listener_register vhost_dev_start vhost_net_start", "changes a memory region"),
        ("iothread_stop iothread_instance_finalize object_unref qmp_object_del qmp_marshal_object_del", "shuts down"),
        ("kvm_arch_get_supported_cpuid x86_cpu_get_supported_feature_word x86_cpu_filter_features", "reads the vCPU"),
        ("assert_bdrv_graph_readable bdrv_co_nb_sectors bdrv_nb_sectors", "takes the block graph's"),
    ],
)
def test_a_function_is_not_told_by_its_prefix_alone(stack, never):
    _, _, page = read(stack, "Program received signal SIGSEGV, Segmentation fault.")
    assert never not in page


def test_an_assertion_whose_frames_have_annobins_names_is_an_assertion():
    _, finding, page = read("raise abort _nl_load_domain.cold.0 .annobin_assert.c_end qmp_blockdev_create qmp_dispatch")
    assert finding["kind"] == "crash.assertion"
    assert "annobin" not in finding["title"] + page.split("Known")[0]


def test_a_type_that_nobody_registered_blames_who_wanted_it():
    thread, _, page = read(
        "g_assertion_message_expr object_new_with_type object_new qdev_new isa_new i8254_pit_init microvm_devices_init",
        "qemu-system-x86_64: qom/object.c:714: object_new_with_type: Assertion `type != NULL' failed.",
    )
    assert thread["culprit"] == "i8254_pit_init"
    assert "no QOM type of that name is registered" in page


def test_a_leak_in_main_is_qemus_if_the_file_is():
    text_of = "Direct leak of 8 byte(s) in 1 object(s) allocated from:\n" + (
        "    #0 0x7f01 in malloc (/lib64/libasan.so+0x1)\n    #1 0x7f02 in g_strsplit (/lib64/libglib-2.0.so.0+0x2)\n"
        "    #2 0x5503 in main /home/a/qemu/vl.c:4120\n"
    )
    said = json.loads(as_json.render([explain(s) for s in text.parse(text_of)]))
    said = said[0] if isinstance(said, list) else said
    assert said["qemu"]["is_qemu"]
    assert said["threads"][0]["role"] == "main-loop"


def test_the_join_in_migration_clean_up_is_made_without_the_bql():
    """migration.c gives the BQL up around the join: a vCPU that waits for the BQL does not wait for this thread."""
    threads = (
        "Thread 1 (LWP 11):\n"
        + pasted(
            "__pthread_clockjoin_ex qemu_thread_join migrate_fd_cleanup migrate_fd_cleanup_bh aio_bh_call aio_bh_poll "
            "aio_dispatch aio_ctx_dispatch g_main_context_dispatch glib_pollfds_poll os_host_main_loop_wait "
            "main_loop_wait qemu_main_loop main"
        )
        + "\nThread 6 (LWP 16):\n"
        + pasted("sendmsg qio_channel_socket_writev qemu_fflush ram_save_iterate migration_thread start_thread clone")
    )
    explanations = [explain(s) for s in text.parse(threads)]
    page = " ".join(output.render(explanations, "text", output.form_for(io.StringIO())).split())
    assert "holds the BQL" not in page
    assert "until the migration thread has ended" in page
    assert "the main loop and the monitor go on" not in page


def test_a_tool_whose_worker_is_in_a_system_call_waits_for_it():
    threads = (
        "Thread 1 (LWP 11):\n"
        + pasted("ppoll qemu_poll_ns os_host_main_loop_wait main_loop_wait convert_do_copy img_convert main")
        + "\nThread 3 (LWP 13):\n"
        + pasted("fdatasync qemu_fdatasync handle_aiocb_flush aio_worker worker_thread start_thread clone")
    )
    explanations = [explain(s) for s in text.parse(threads)]
    page = " ".join(output.render(explanations, "text", output.form_for(io.StringIO())).split())
    assert "waits for a request that is in fdatasync()" in page
    assert "no thread waits for another" not in page


def test_an_old_visitor_is_no_command_that_forgets_memory():
    thread, _, _ = read(
        "malloc malloc_and_trace g_malloc qint_from_int qmp_output_type_int visit_type_uint32 "
        "property_get_uint32_ptr object_property_get object_property_get_qobject build_append_pci_bus_devices "
        "acpi_build",
        "Direct leak of 64 byte(s) in 1 object(s) allocated from:",
    )
    assert thread["culprit"] == "build_append_pci_bus_devices"


SIGSEGV = "Program received signal SIGSEGV, Segmentation fault."


def test_a_register_that_only_an_address_tells_is_not_named_without_one():
    _, _, page = read(
        "__assert_fail kvm_irqchip_commit_routes msix_table_mmio_write memory_region_write_accessor "
        "access_with_adjusted_size memory_region_dispatch_write address_space_rw kvm_cpu_exec"
    )
    assert "MSI-X table" in page
    assert "vector" not in page.split("Known")[0]


def test_only_x86s_helpers_leave_no_frame_between_generated_code_and_a_port():
    stack = "memory_region_dispatch_write code_gen_buffer cpu_tb_exec cpu_exec mttcg_cpu_thread_fn"
    _, _, page = read(f"memory_region_access_valid {stack}", SIGSEGV)
    assert "store to MMIO" in page
    assert "port" not in page.split("Known")[0]
    _, _, page = read(f"serial_ioport_write memory_region_dispatch_write address_space_stb {stack.split(None, 1)[1]}")
    assert "OUT to a port" in page


def test_one_thread_in_a_futex_is_not_all_threads_of_a_program():
    stack = "safe_syscall_base safe_futex do_futex do_syscall cpu_loop"
    _, finding, _ = read(f"{stack} main")
    assert finding["title"] == "The guest program's only thread in this text waits in a futex of its own"
    assert finding["confidence"] == "possible"


def test_an_emulated_system_call_is_named_as_such():
    thread, finding, _ = read("safe_syscall_end safe_pselect6 do_select do_syscall cpu_loop main")
    assert "makes the guest program's system call pselect6" in finding["title"]
    thread, _, _ = read("recvmsg do_sendrecvmsg do_socketcall do_syscall cpu_loop main")
    assert thread["summary"] == "receives from a socket (recvmsg) ← makes the guest program's system call socketcall"


def test_a_call_of_exit_is_told_with_its_caller():
    _, finding, page = read("__GI_exit virtqueue_num_heads virtqueue_get_avail_bytes virtio_net_receive main_loop main")
    assert finding["kind"] == "state.shutdown"
    assert finding["title"] == "QEMU ends itself: virtqueue_num_heads called exit()"
    assert "stderr" in page


def test_a_truncation_that_discards_inside_is_a_truncation():
    thread, _, _ = read(
        "get_refblock_offset qcow2_discard_refcount_block qcow2_shrink_reftable qcow2_truncate bdrv_truncate "
        "blk_truncate truncate_f command main",
        SIGSEGV,
    )
    assert "← qcow2 driver: truncate" in thread["summary"]


def test_a_device_that_opens_its_chardev_creates_none():
    _, _, page = read("qemu_chr_fe_set_open set_guest_connected control_out virtio_queue_notify main", SIGSEGV)
    assert "creates a chardev" not in page
    assert "tells a chardev that its device opened or closed it" in page


@pytest.mark.parametrize(
    ("stack", "summary"),
    [
        ("__assert_fail vnc_init_func qemu_opts_foreach qemu_init_displays qemu_init main",
         "an assertion failed in vnc_init_func ← VNC server ← QEMU is starting"),
        ("qdev_free pciej_write ioport_write cpu_outl kvm_cpu_exec",
         "SIGSEGV in qdev_free ← pciej_write ← guest 4-byte OUT to a port"),
        ("qcow2_grow_l1_table handle_copied qcow2_co_writev bdrv_rwv_co nbd_trip coroutine_trampoline",
         "SIGSEGV in qcow2_grow_l1_table ← qcow2 driver: write"),
    ],
)  # fmt: skip
def test_a_summary_names_the_function_that_failed_once(stack, summary):
    thread, _, _ = read(stack, "" if "assert" in stack else SIGSEGV)
    assert thread["summary"].startswith(summary)


def test_pages_of_an_emulated_program_are_not_translated_code():
    thread, _, _ = read("g_malloc0 page_find_alloc page_set_flags target_mmap do_syscall cpu_loop main", SIGSEGV)
    assert "translates" not in thread["summary"]
    assert "works on the table of the guest's pages" in thread["summary"]


@pytest.mark.parametrize(
    ("stack", "said", "never"),
    [
        ("helper_le_ldw_cmmu cpu_lduw_code arc_decode translator_loop tb_gen_code cpu_exec mttcg_cpu_thread_fn",
         "fetches guest code", "executes the TCG helper"),
        ("address_space_translate_for_iotlb do_interrupt64 do_interrupt_all cpu_exec mttcg_cpu_thread_fn",
         "delivers an interrupt or exception", "executes the TCG helper"),
        ("memory_region_get_iommu address_space_translate_for_iotlb tlb_set_page_full cpu_exec mttcg_cpu_thread_fn",
         "looks up a guest-physical address", "notifies of an IOMMU"),
        ("vtd_iommu_replay memory_region_iommu_replay vfio_listener_region_add main",
         "tells the mappings of an IOMMU again", "notifies of an IOMMU"),
    ],
)  # fmt: skip
def test_what_a_vcpu_does_for_the_guest_is_told_by_what_it_is(stack, said, never):
    _, _, page = read(stack, SIGSEGV)
    assert said in page
    assert never not in page


def test_a_fault_in_a_lock_is_no_wait_and_names_who_locks():
    thread, finding, page = read(
        "qemu_mutex_lock_impl bdrv_dirty_bitmaps_lock bdrv_release_dirty_bitmap cancel_incoming_locked "
        "dirty_bitmap_load postcopy_ram_listen_thread qemu_thread_start start_thread",
        SIGSEGV,
    )
    assert finding["title"].endswith("called by bdrv_release_dirty_bitmap")
    assert "waits for" not in page.split("Known")[0]
