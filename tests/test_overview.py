"""What the process is: QEMU or not, its program, accelerator and vCPUs, and what is missing from the input."""

from __future__ import annotations

import pytest
from stacks import COND, MAIN, POLL, START, classified, recorded, thread

from qemu_gdb.capture import text
from qemu_gdb.explain.context import Context
from qemu_gdb.explain.overview import is_qemu
from qemu_gdb.model import Facts, Frame, Thread, VCpu

OTHERS = {
    "libvirtd": (
        "__lll_lock_wait pthread_mutex_lock virMutexLock qemuDomainObjBeginJob "
        "qemuDomainDestroyFlags virThreadPoolWorker start_thread"
    ),
    "GNOME": (
        "raise abort g_assertion_message gtk_icon_info_load_icon_finish "
        "g_main_context_dispatch g_main_loop_run meta_run main"
    ),
    "sshd": "__GI_select wait_until_can_do_something server_loop2 do_authenticated main",
    "PostgreSQL": (
        "ChoosePortalStrategy PortalStart exec_simple_query PostgresMain BackendRun ServerLoop PostmasterMain main"
    ),
    "SPDK": "spdk_vhost_dev_foreach vhost_user_msg_handler fdset_event_dispatch ctrl_thread_init start_thread clone",
    "VirtualBox": (
        "cpu_exec%VBoxREM.so REMR3Run%VBoxREM.so EMR3ExecuteVM%VBoxVMM.so "
        "vmR3EmulationThread%VBoxVMM.so rtThreadMain%VBoxRT.so"
    ),
    "kvmtool": "ioctl kvm_cpu__run kvm_cpu__start kvm_cpu_thread start_thread clone",
    "a C program": "read_config@config.c init@main.c main@main.c",
    "the kernel": "kvm_arch_vcpu_ioctl_run kvm_vcpu_ioctl __x64_sys_ioctl do_syscall_64 entry_SYSCALL_64_after_hwframe",
}


@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS.keys())
def test_other_programs_are_not_taken_for_qemu(words):
    context = classified(thread(words))
    explanation = context.explanation
    assert explanation.is_qemu is False
    assert [n.kind for n in explanation.notices] == ["notice.not-qemu"]
    assert {t.role for t in explanation.threads} == {"unknown"}
    assert {t.culprit for t in explanation.threads} == {None}


@pytest.mark.parametrize(
    "words",
    [
        "bdrv_co_flush",
        "? ? kvm_cpu_exec ? ?",
        "helper_ldl_mmu code_gen_buffer",
        "virtio_net_get_config@hw/net/virtio-net.c",
    ],
)
def test_a_tiny_excerpt_of_qemu_is_qemu(words):
    assert is_qemu(context_of(thread(words))) is True


def context_of(*threads):
    return classified(*threads)


def test_tools_and_tests_of_qemu_are_qemu():
    assert classified(thread("raise abort bdrv_unref main"), program="qemu-img").explanation.is_qemu
    assert classified(
        thread("abort test_submit_aio@tests/unit/test-thread-pool.c main@tests/unit/test-thread-pool.c")
    ).explanation.is_qemu


def test_perf_shows_kernel_frames_of_a_qemu():
    stack = (
        "vmx_vcpu_run kvm_arch_vcpu_ioctl_run __x64_sys_ioctl do_syscall_64 "
        "entry_SYSCALL_64_after_hwframe ioctl kvm_vcpu_ioctl kvm_cpu_exec"
    )
    assert is_qemu(context_of(thread(stack)))


def test_a_text_without_any_stack_is_not_qemu():
    context = Context(text.parse("hello\nworld\n")[0])
    assert is_qemu(context) is False


@pytest.mark.parametrize(
    ("name", "accelerator", "vcpus"),
    [("distribution-7.2-kvm", "kvm", 2), ("debug-10.0-tcg-multi", "tcg", 2), ("debug-10.0-tcg-single", "tcg", None)],
)
def test_accelerator_and_number_of_vcpus_of_a_recorded_qemu(name, accelerator, vcpus):
    explanation = recorded(name).explanation
    assert (explanation.accelerator, explanation.vcpus) == (accelerator, vcpus)


def test_memory_knows_the_vcpus_of_a_single_tcg_thread():
    facts = Facts(vcpus=[VCpu(0, accelerator="tcg"), VCpu(1, accelerator="tcg")], runstate="paused")
    explanation = classified(thread(f"{COND} rr_wait_io_event rr_cpu_thread_fn {START}"), facts=facts).explanation
    assert (explanation.accelerator, explanation.vcpus, explanation.runstate) == ("tcg", 2, "paused")


def test_a_vcpu_in_the_guest_shows_that_the_vm_runs():
    running = classified(thread(f"ioctl kvm_vcpu_ioctl kvm_cpu_exec kvm_vcpu_thread_fn {START}")).explanation
    assert running.runstate == "running"
    resting = classified(thread(f"{COND} qemu_wait_io_event kvm_vcpu_thread_fn {START}")).explanation
    assert resting.runstate is None


def notices(context):
    return {n.kind: n.text for n in context.explanation.notices}


def test_a_stripped_qemu_gets_a_notice_and_a_whole_one_none():
    assert set(notices(recorded("distribution-7.2-kvm"))) == {"notice.partial-symbols"}
    assert notices(recorded("debug-10.0-kvm")) == {}


def test_no_names_at_all_is_said():
    context = classified(Thread([Frame(0, pc=0x10), Frame(1, pc=0x20)], number=1, lwp=1), program="qemu-system-x86_64")
    assert "notice.no-symbols" in notices(context)


def test_a_stack_that_begins_in_its_middle_is_said_to_be_cut():
    cut = thread(f"io_writex store_helper cpu_exec mttcg_cpu_thread_fn {START}", first=11, truncated_top=True)
    assert "#11" in notices(classified(cut))["notice.truncated"]


def test_a_coroutines_stack_is_whole():
    whole = thread("bdrv_co_flush coroutine_trampoline ? ?", number=None, lwp=None, truncated_bottom=True)
    assert "notice.truncated" not in notices(classified(whole))


def test_a_corrupt_stack_is_said():
    corrupt = thread(f"{POLL} {MAIN}", stop_reason="previous frame inner to this frame (corrupt stack?)")
    assert "corrupt" in notices(classified(corrupt))["notice.corrupt-stack"]
