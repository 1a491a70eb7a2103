"""What waits for a server, the host's storage or an I/O limit, and what holds KVM's slots. The stacks that are not a
real QEMU's are stand-ins by hand."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time

import machine
import pytest
from stacks import MAIN, MUTEX, START, thread
from stacks import explained as told

YIELDS = "qemu_coroutine_switch qemu_coroutine_yield"
REQUEST = "bdrv_co_preadv_part blk_aio_read_entry coroutine_trampoline"


def coroutine(words):
    return thread(f"{YIELDS} {words}", coroutine=True)


@contextlib.contextmanager
def starting(socket_option):
    """A QEMU that does not get beyond the vhost-user chardev ``cv``; yields its Popen."""
    command = [
        machine.QEMU, "-display", "none", "-nodefaults", "-m", "48", "-object",
        "memory-backend-memfd,id=m,size=48M,share=on", "-numa", "node,memdev=m", "-chardev",
        f"socket,id=cv,{socket_option}", "-netdev", "vhost-user,id=n,chardev=cv", "-device", "virtio-net-pci,netdev=n",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("option", "title", "step"),
    [
        ("server=off,reconnect=1", "it waits for the server of a socket chardev (server=off)", "start the program"),
        ("server=on", "it waits for a client on a socket chardev (wait=on)", "connect a client to that chardev"),
        ("server=off", "it waits for the program at the other end of a vhost-user chardev", "look at that program"),
    ],
    ids=["nobody-listens", "nobody-connects", "no-answer"],
)
def test_a_starting_qemu_says_whom_it_waits_for(idle_qemu, tmp_path, option, title, step):
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        if option == "server=off":
            silent.bind(str(path))
            silent.listen(1)
        with starting(f"path={path},{option}") as process:
            (told,) = machine.gdb(["-p", process.pid], "qemu-explain")
    told = re.sub(r"\s+", " ", told)
    assert re.search(r"HANG QEMU is still starting: " + re.escape(title).replace(r"\ ", "( likely)? "), told), told
    assert step in told and f"(cv, {path})" in told.replace("/ ", "/"), told


def test_a_chardev_that_connects_waits_for_its_server():
    (found,) = told(
        thread(f"__GI___clock_nanosleep __GI___nanosleep g_usleep tcp_chr_wait_connected qemu_chr_wait_connected "
               f"net_vhost_user_init net_init_vhost_user net_client_init qemu_init {MAIN}", number=1, lwp=1001),
    ).findings  # fmt: skip
    assert found.title == "QEMU is still starting: it waits for the server of a socket chardev (server=off)"
    assert found.next_steps[0].startswith("start the program that listens on that chardev's socket")


def test_a_chardev_that_listens_waits_for_a_client():
    (found,) = told(
        thread(f"__accept4 qemu_accept qio_channel_socket_accept qio_net_listener_wait_client "
               f"tcp_chr_accept_server_sync tcp_chr_wait_connected qmp_chardev_open_socket "
               f"qemu_init {MAIN}", number=1, lwp=1001),
    ).findings  # fmt: skip
    assert "server of a chardev" not in found.title


def test_liburing_that_enters_the_kernel_is_no_futex():
    explanation = told(
        thread(f"syscall __io_uring_submit io_uring_submit_and_wait fdmon_io_uring_wait aio_poll bdrv_drain_all_begin "
               f"bdrv_drain_all vm_stop qmp_stop qmp_dispatch {MAIN}", number=1, lwp=1001),
    )  # fmt: skip
    assert "futex" not in str(explanation)


def test_a_throttled_request_is_slow_on_purpose():
    (found,) = told(coroutine(f"throttle_group_co_io_limits_intercept {REQUEST}")).findings
    assert found.kind == "state.running" and "slow, not stuck" in found.explanation
    assert found.title.endswith("waits for its turn under an I/O limit")


def test_a_request_to_an_nbd_server_waits_for_that_server():
    words = f"nbd_co_do_receive_one_chunk nbd_reply_chunk_iter_receive nbd_co_request nbd_client_co_pwritev {REQUEST}"
    (found,) = told(coroutine(words)).findings
    assert (found.kind, found.title) == ("hang.waiting-for-peer", "An NBD server does not answer")


def test_a_coroutine_stack_whose_top_executes_has_not_yielded():
    found = told(thread(f"malloc throttle_group_co_io_limits_intercept {REQUEST}", number=1, lwp=1001)).findings
    assert all(f.rule != "yielded" for f in found)


def test_the_dirty_ring_reaper_holds_the_lock_of_kvms_slots_in_its_ioctl():
    found = told(
        thread(f"__GI___ioctl kvm_vm_ioctl kvm_dirty_ring_reap_locked kvm_dirty_ring_reap "
               f"kvm_dirty_ring_reaper_thread {START}", number=7, lwp=1007),
        thread(f"{MUTEX} bql_lock_impl ram_state_pending_exact migration_thread {START}", number=6, lwp=1006),
        thread(f"{MUTEX} kvm_slots_lock kvm_region_commit memory_region_transaction_commit qmp_qom_set qmp_dispatch "
               f"{MAIN}", number=1, lwp=1001),
    ).findings[0]  # fmt: skip
    assert "It is in kvm_dirty_ring_reap_locked (frame 2) and holds kvm_slots_lock" in found.explanation
    assert "BQL in" not in found.title
    assert any("/proc/PID/task/1007/stack" in step for step in found.next_steps)


def test_a_write_of_a_device_proxy_is_no_migration_stream():
    found = told(
        thread(f"__libc_sendmsg qio_channel_socket_writev qio_channel_writev_full_all mpqemu_msg_send "
               f"proxy_memory_listener_commit memory_region_transaction_commit {MAIN}", number=1, lwp=1001),
    ).findings  # fmt: skip
    assert found and all("migration" not in f.title for f in found)
