"""Which words of a text are of which stack, and what a stack's own functions mean. The stacks are stand-ins."""

from texts import told

_ABORT = """\
#0  0x00007f0ed5bf12dc in __pthread_kill_implementation () from /lib64/libc.so.6
#1  0x00007f0ed5ba0fe6 in raise () from /lib64/libc.so.6
#2  0x00007f0ed5b8a87d in abort () from /lib64/libc.so.6
"""
_MALLOC = _ABORT + """\
#3  0x00007f0ed5bfbf45 in malloc_printerr () from /lib64/libc.so.6
#4  0x00007f0ed5bfdd7c in _int_free () from /lib64/libc.so.6
#5  0x00007f0ed5c008fe in free () from /lib64/libc.so.6
#6  0x000055bba1a2bd3f in usb_packet_cleanup (p=0x7f0ebc002a30) at ../hw/usb/core.c:601
#7  0x000055bba1e3ef7c in main_loop_wait (nonblocking=0) at ../util/main-loop.c:603
"""
_SIGABRT = 'Thread 1 "qemu-system-x86" received signal SIGABRT, Aborted.\n'


def _main(source):
    return told(source).findings[0]


def test_an_assertion_beside_a_stack_of_malloc_is_another_problem():
    found = _main(
        "qemu-system-x86_64: ../hw/scsi/scsi-bus.c:1517: scsi_req_complete: Assertion `req->status == -1' failed.\n"
        "Later on another host:\n" + _SIGABRT + _MALLOC
    )
    assert found.kind == "crash.heap-corruption"
    assert "an assertion of scsi_req_complete" in found.explanation and "another run" in found.explanation


def test_the_place_of_the_frame_tells_whose_words_a_bare_abort_has():
    found = _main(
        "qemu-system-x86_64: ../tcg/tcg.c:3871: temp_load: Assertion `ts->val_type == TEMP_VAL_MEM' failed.\n"
        "../tcg/tcg.c:3470: tcg fatal error\n" + _SIGABRT + _ABORT
        + "#3  0x000002aa00a1b0c6 in tcg_reg_alloc (s=0x3ffa0000e30, rev=false) at ../tcg/tcg.c:3470\n"
        "#4  0x000002aa00a20f8e in tcg_gen_code (s=0x3ffa0000e30) at ../tcg/tcg.c:4345\n"
    )
    assert found.title.startswith("TCG gave up") and "3470" in found.title


def test_a_subject_line_is_none_of_libcs_words():
    found = _main(
        "Subject: qemu-system-x86_64: corrupted double-linked list at exit (virglrenderer), 7.0\n\n"
        "corrupted double-linked list\n" + _SIGABRT + _MALLOC
    )
    assert found.title == "malloc found its heap corrupted: corrupted double-linked list"


def test_a_checkers_report_beside_a_damaged_heap_is_the_cause():
    found = _main(
        "corrupted double-linked list\n" + _SIGABRT + _MALLOC + """
valgrind of the same run:
==7711== Invalid write of size 4
==7711==    at 0x5A21B30: vrend_renderer_transfer_write_iov (vrend_renderer.c:7921)
==7711==    by 0x4AD3F0: virgl_cmd_transfer_to_host_2d (virtio-gpu-virgl.c:268)
==7711==    by 0x4A6C2E: virtio_gpu_process_cmdq (virtio-gpu.c:1039)
==7711==    by 0x8E2F11: aio_bh_poll (async.c:184)
"""
    )
    assert found.title.startswith("Invalid write in vrend_renderer_transfer_write_iov")
    assert "Thread 1 (main loop) only noticed it" in found.explanation and "Valgrind reports" in found.explanation


_ON_EXIT = """\
Thread 1 "qemu-system-x86" hit Breakpoint 2, __GI_exit (status=1) at ./stdlib/exit.c:142
#0  __GI_exit (status=1) at ./stdlib/exit.c:142
#1  0x0000555555e9f0f2 in error_handle (errp=0x555556d4f2d8 <error_fatal>, err=0x555557b8e010) at ../util/error.c:45
#2  0x0000555555e9f5f7 in error_setv (errp=0x555556d4f2d8 <error_fatal>, line=52) at ../util/error.c:69
#3  0x0000555555b0f41d in pci_add_option_rom (pdev=0x555557b8e444, errp=0x555556d4f2d8) at ../hw/pci/pci.c:2400
#4  0x000055555589b0e5 in main (argc=33, argv=0x7fffffffdcb8) at ../system/main.c:47
"""


def test_a_breakpoint_on_exit_shows_a_failure_and_its_words():
    found = _main(_ON_EXIT + '(gdb) p err->msg\n$1 = 0x555557b8e0a0 "failed to find romfile \\"efi.rom\\""\n')
    assert found.title == 'QEMU ends with status 1: "failed to find romfile "efi.rom""'
    assert "for pci_add_option_rom" in found.explanation and not found.next_steps


def test_without_the_words_the_step_prints_them():
    assert _main(_ON_EXIT).next_steps == ["p err->msg in frame 1"]


def test_a_breakpoint_on_error_report_takes_the_logs_line_of_its_format():
    found = _main(
        "qemu-system-x86_64: get_pci_config_device: Bad config data: i=0x6e read: 0\n"
        "qemu-system-x86_64: load of migration failed: Invalid argument\n"
        'Thread 1 "qemu-system-x86" hit Breakpoint 1, error_report (fmt=0x55d1 "%s: Bad config data: i=0x%x read: %x")'
        " at ../util/qemu-error.c:216\n"
        '#0  error_report (fmt=0x55d1 "%s: Bad config data: i=0x%x read: %x") at ../util/qemu-error.c:216\n'
        "#1  0x000055d1c14a9be1 in get_pci_config_device (f=0x55d1c3e02810, size=4096) at ../hw/pci/pci.c:630\n"
        "#2  0x000055d1c170de34 in vmstate_load_state (f=0x55d1c3e02810, version_id=2) at ../migration/vmstate.c:143\n"
    )
    assert "get_pci_config_device: Bad config data: i=0x6e read: 0" in found.title
    assert "nothing is wrong" not in found.title


def test_nothing_is_wrong_only_without_an_error_line():
    stack = (
        'Thread 1 "qemu-system-x86" hit Breakpoint 1, qmp_stop (errp=0x7ffd) at ../monitor/qmp-cmds.c:70\n'
        "#0  qmp_stop (errp=0x7ffd) at ../monitor/qmp-cmds.c:70\n"
        "#1  0x000055d1c170de34 in qmp_marshal_stop (args=0x55d1) at qapi/qapi-commands-misc.c:100\n"
    )
    assert _main(stack).title == "Stopped at a breakpoint; nothing is wrong"
    found = _main("qemu-system-x86_64: vhost_set_mem_table failed: Input/output error (5)\n" + stack)
    assert found.title == "Stopped at a breakpoint" and "vhost_set_mem_table failed" in found.explanation


_TWICE = """\
#0  0x00007ffff6aa29fc in pthread_kill () from /lib/libc.so.6
#1  0x00007ffff6a347f3 in abort () from /lib/libc.so.6
#2  0x00007ffff6a45e96 in __assert_fail (assertion=0x55 "*errp == NULL", file=0x55 "../util/error.c", line=59) at a.c:1
#3  0x0000555555ec0dfe in error_setv (errp=0x7fffffffd670, src=0x555556177a40 "../net/vhost-vdpa.c", line=1398, \
func=0x555556178420 <__func__.22> "net_vhost_vdpa_init") at ../util/error.c:59
#4  0x0000555555ec0f3b in error_setg_internal (errp=0x7fffffffd670, fmt=0x55 "backend failed") at ../util/error.c:111
#5  0x0000555555b9fd50 in net_vhost_vdpa_init (peer=0x0, errp=0x7fffffffd670) at ../net/vhost-vdpa.c:1398
"""


def test_an_error_over_another_names_both():
    explanation = told(
        _SIGABRT + _TWICE + '(gdb) p **errp\n$3 = {msg = 0x555557c0f830 "group query failed", err_class = '
        'ERROR_CLASS_GENERIC_ERROR, src = 0x55 "../hw/virtio/vhost-vdpa.c", func = 0x55 "get_vring_group", line = 30}\n'
    )
    found = explanation.findings[0]
    assert found.title == (
        "An error was set already, and net_vhost_vdpa_init sets a second over it, net/vhost-vdpa.c:1398"
    )
    assert '"group query failed", set by get_vring_group (hw/virtio/vhost-vdpa.c:30)' in found.explanation
    assert explanation.threads[0].role == "main-loop"
    assert "p **errp in frame 3: the first error, with the function that set it" in _main(_SIGABRT + _TWICE).next_steps


def test_a_failed_assertions_values_are_told_and_only_missing_ones_asked_for():
    stack = (
        _SIGABRT + _ABORT + '#3  0x01 in __assert_fail (assertion=0x5f80 "dst_size <= len", file=0x5f20 '
        '"../hw/dma/xlnx-zdma.c", line=412, function=0x40 "zdma_write_dst") at ./assert/assert.c:101\n'
        "#4  0x0000aaaaab4f3d24 in zdma_write_dst (s=0xaaaaadc3a0f0, len=64) at ../hw/dma/xlnx-zdma.c:412\n"
    )
    below = "#5  0x0000aaaaab4f42b0 in zdma_process_descr (s=0xaaaaadc3a0f0) at ../hw/dma/xlnx-zdma.c:486\n"
    found = _main(stack + below)
    assert "Here len is 64." in found.explanation and found.next_steps[0] == "p dst_size in frame 4"
    found = _main(stack + "        dst_size = 4294967232\n" + below)
    assert "Here dst_size is 4294967232 (-64 as a signed number), len is 64." in found.explanation
    assert not any(step.startswith("p dst_size") for step in found.next_steps)


def test_asking_for_a_context_moves_no_node():
    stack = (
        "#0  0x01 in blk_get_aio_context (blk=0x55c1b4e1be30) at ../block/block-backend.c:2001\n"
        "#1  0x02 in blk_drain (blk=0x55c1b4e1be30) at ../block/block-backend.c:1788\n"
    )
    found = _main('Thread 1 "qemu-kvm" received signal SIGSEGV, Segmentation fault.\n' + stack)
    assert "asks which AioContext a disk is in" in found.explanation and "moves" not in found.explanation


def test_a_thread_that_could_not_be_made_is_the_limits_matter():
    explanation = told(
        _SIGABRT + _ABORT
        + '#3  0x03 in error_exit (err=11, msg=0x55 "qemu_thread_create") at ../util/qemu-thread-posix.c:41\n'
        '#4  0x04 in qemu_thread_create (thread=0x7ffd, name=0x55 "worker") at ../util/qemu-thread-posix.c:554\n'
        "#5  0x05 in do_spawn_thread (pool=0x55f70bf66a40) at ../util/thread-pool.c:148\n"
        "#6  0x06 in spawn_thread_bh_fn (opaque=0x55f70bf66a40) at ../util/thread-pool.c:156\n"
        "#7  0x07 in aio_bh_poll (ctx=0x55f70bf61d50) at ../util/async.c:169\n"
        "#8  0x08 in aio_dispatch (ctx=0x55f70bf61d50) at ../util/aio-posix.c:423\n"
    )
    assert explanation.threads[0].role == "main-loop"
    steps = " ".join(explanation.findings[0].next_steps)
    assert "pids.max" in steps and "vm.max_map_count" in steps and "mutex" not in steps


def _known(source):
    return [fix.matched for fix in _main(source).known_fixes]


def test_a_path_that_leads_to_the_crash_is_no_known_problem():
    way = (
        "#1  0x01 in ram_save_iterate (f=0x555557c1a200, opaque=0x555556f2d6f0) at ../migration/ram.c:3200\n"
        "#2  0x02 in qemu_savevm_state_iterate (f=0x555557c1a200, postcopy=false) at ../migration/savevm.c:1437\n"
        "#3  0x03 in migration_iteration_run (s=0x555556d10400) at ../migration/migration.c:3000\n"
        "#4  0x04 in migration_thread (opaque=0x555556d10400) at ../migration/migration.c:3295\n"
    )
    segv = 'Thread 1 "qemu-kvm" received signal SIGSEGV, Segmentation fault.\n'
    assert _known(segv + "#0  0x0a in ram_save_host_page (rs=0x7ffe, pss=0x7fff) at ../migration/ram.c:2400\n" + way)
    assert not _known(segv + "#0  0x0a in a_function_of_tomorrow (rs=0x7ffe) at ../migration/ram.c:2400\n" + way)


def test_an_assertion_of_the_function_that_frees_is_not_what_malloc_noticed():
    assert not any("an assertion in usb_packet_cleanup" in known for known in _known(_SIGABRT + _MALLOC))


def test_an_illegal_instruction_is_where_the_pc_is_and_matches_no_path():
    found = _main(
        'Thread 1 "qemu-kvm" received signal SIGILL, Illegal instruction.\n'
        "#0  0x0a in buffer_is_zero_avx512 (buf=0x7fff9f200000, len=4096) at ../util/bufferiszero.c:151\n"
        "#1  0x0b in ram_save_host_page (rs=0x7ffe, pss=0x7fff) at ../migration/ram.c:2400\n"
        "#2  0x01 in ram_save_iterate (f=0x555557c1a200, opaque=0x555556f2d6f0) at ../migration/ram.c:3200\n"
        "#3  0x02 in qemu_savevm_state_iterate (f=0x555557c1a200, postcopy=false) at ../migration/savevm.c:1437\n"
        "#4  0x03 in migration_iteration_run (s=0x555556d10400) at ../migration/migration.c:3000\n"
        "#5  0x04 in migration_thread (opaque=0x555556d10400) at ../migration/migration.c:3295\n"
    )
    assert found.title == "Illegal instruction in buffer_is_zero_avx512, util/bufferiszero.c:151"
    assert found.known_fixes == []


_SIGSYS = (
    'Thread 1 "qemu-kvm" received signal SIGSYS, Bad system call.\n'
    "#0  0x00007f9e0c7b61f2 in {} () from /lib/ld-musl-x86_64.so.1\n"
    "#1  0x00007f9e0a12cc32 in pa_make_realtime () from /usr/lib/libpulsecommon-16.1.so\n"
    "#2  0x00007f9e0c7bb5b2 in start () from /lib/ld-musl-x86_64.so.1\n"
)


def test_a_forbidden_system_call_is_named_with_the_option_that_denies_it():
    found = _main(
        "qemu-kvm -sandbox on\n" + _SIGSYS.format("cp")
        + "(gdb) p $_siginfo._sifields._sigsys\n$1 = {_call_addr = 0x7f9e, _syscall = 105, _arch = 3221225534}\n"
    )
    assert "setuid()" in found.title and "-sandbox on,elevateprivileges=deny denies setuid()" in found.explanation
    found = _main("qemu-kvm -sandbox on\n" + _SIGSYS.format("sched_setscheduler"))
    assert "sched_setscheduler()" in found.title and "on,resourcecontrol=deny" in found.explanation
    assert not any("debug symbols" in step or "which system call" in step for step in found.next_steps)


def test_what_apples_framework_answered_is_in_the_title():
    found = _main(
        "qemu-system-aarch64: Error: ret = HV_DENIED (0xfae94007, at ../target/arm/hvf/hvf.c:1927)\n" + _SIGABRT
        + _ABORT + "#3  0x000000010a7d8f30 in assert_hvf_ok_impl (ret=1) at ../accel/hvf/hvf-all.c:41\n"
        "#4  0x000000010a7da6f4 in hvf_vcpu_exec (cpu=0x7f0ebc002a30) at ../target/arm/hvf/hvf.c:1927\n"
        "#5  0x000000010a7d9cbc in hvf_cpu_thread_fn (arg=0x7f0ebc002a30) at ../accel/hvf/hvf-accel-ops.c:470\n"
    )
    assert found.title.endswith("failed in hvf_vcpu_exec: HV_DENIED, target/arm/hvf/hvf.c:1927")
    assert "com.apple.security.hypervisor" in found.explanation


def test_the_wrapper_of_every_rust_thread_is_no_panic():
    explanation = told(
        'Thread 6 (Thread 0x7f2a1b7fe640 (LWP 4410) "qemu-vcpu"):\n'
        "#0  0x00007f2a2b43a3ab in ioctl () from /lib64/libc.so.6\n"
        "#1  0x000055f0a0f6e711 in kvm_vcpu_ioctl ()\n"
        "#2  0x000055f0a0f1a990 in std::panicking::try ()\n"
        "#3  0x000055f0a12e7a35 in std::sys::unix::thread::Thread::new::thread_start ()\n"
    )
    assert "panic" not in explanation.threads[0].summary
    assert not any(found.kind.startswith("crash.") for found in explanation.findings)


def test_dma_into_a_bad_buffer_is_the_matter_of_who_gave_the_buffer():
    explanation = told(
        """\
==30511== Invalid write of size 8
==30511==    at 0x4842DE0: memmove (vg_replace_strmem.c:1414)
==30511==    by 0x6F3C1A: pci_dma_read (pci_device.h:268)
==30511==    by 0x71B6E0: vmxnet3_process_tx_queue (vmxnet3.c:650)
==30511==    by 0x71C2B8: vmxnet3_io_bar0_write (vmxnet3.c:1105)
==30511==    by 0x8F1F5A: memory_region_write_accessor (memory.c:497)
"""
    )
    assert explanation.threads[0].culprit == "vmxnet3_process_tx_queue"
    assert "called by vmxnet3_process_tx_queue" in explanation.findings[0].title


def test_msan_names_the_variable_that_was_never_set():
    found = _main(
        """\
==90417==WARNING: MemorySanitizer: use-of-uninitialized-value
    #0 0x55e22c9ea913 in mptsas_process_scsi_io_request /src/qemu/hw/scsi/mptsas.c:297:9
    #1 0x55e22c9e2241 in mptsas_fetch_request /src/qemu/hw/scsi/mptsas.c:779:5

  Uninitialized value was created by an allocation of 'req' in the stack frame of function 'mptsas_fetch_request'
    #0 0x55e22c9e1f10 in mptsas_fetch_request /src/qemu/hw/scsi/mptsas.c:748
"""
    )
    assert 'uninitialised part of "req", a local variable of mptsas_fetch_request' in found.explanation
    assert any("MSAN_OPTIONS" in step for step in found.next_steps)
    assert not any("frame 0" in step for step in found.next_steps)


def test_a_used_up_stack_is_told_of_the_device_that_recurses():
    turn = """\
    #{} 0x560be0003011 in flatview_write_continue ../softmmu/physmem.c:2797:14
    #{} 0x560be0005011 in address_space_write ../softmmu/physmem.c:2909:18
    #{} 0x560be0008011 in stl_le_pci_dma include/hw/pci/pci.h:871:1
    #{} 0x560be000a011 in intel_hda_response ../hw/audio/intel-hda.c:370:5
    #{} 0x560be000d011 in intel_hda_corb_run ../hw/audio/intel-hda.c:342:9
    #{} 0x560be0010011 in intel_hda_mmio_write ../hw/audio/intel-hda.c:1060:5
    #{} 0x560be0011011 in memory_region_write_accessor ../softmmu/memory.c:491:5
    #{} 0x560be0013011 in memory_region_dispatch_write ../softmmu/memory.c:1502:16
"""
    stack = turn.format(*range(2, 10)) + turn.format(*range(10, 18)) + turn.format(*range(18, 26))
    explanation = told(
        "==9982==ERROR: AddressSanitizer: stack-overflow on address 0x7ffe1cb2fff8 (pc 0x560be6c7f1f7 bp 0x7ffe1cb30840"
        " sp 0x7ffe1cb30000 T0)\n"
        "    #0 0x560be0000011 in __asan_memcpy (/qemu-system-i386+0x1f3a1f7)\n"
        "    #1 0x560be0001011 in flatview_do_translate ../softmmu/physmem.c:513:12\n" + stack
    )
    found = explanation.findings[0]
    assert found.kind == "crash.stack-overflow"
    assert found.title == "Recursion of intel_hda_mmio_write used the whole stack, hw/audio/intel-hda.c:1060"
    assert explanation.threads[0].culprit == "intel_hda_mmio_write"
