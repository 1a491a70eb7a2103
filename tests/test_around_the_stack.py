"""What the lines around a stack say, and texts without one. The stacks are minimal stand-ins, made by hand."""

from __future__ import annotations

import pytest
from texts import told

MAIN = """
Thread 1 (Thread 0x7f01 (LWP 9922)):
#0  0x01 in ppoll () from /lib64/libc.so.6
#1  0x02 in qemu_poll_ns ()
#2  0x03 in main_loop_wait ()
#3  0x04 in qemu_main_loop ()
#4  0x05 in main ()
"""
PARKED = """
Thread 3 (Thread 0x7f03 (LWP 9931)):
#0  0x11 in pthread_cond_wait@@GLIBC_2.3.2 () from /lib64/libpthread.so.0
#1  0x12 in qemu_cond_wait_impl ()
#2  0x13 in qemu_wait_io_event ()
#3  0x14 in kvm_vcpu_thread_fn ()
#4  0x15 in qemu_thread_start ()
#5  0x16 in start_thread () from /lib64/libpthread.so.0
#6  0x17 in clone () from /lib64/libc.so.6
""" + MAIN
GUEST = """
Thread 3 (Thread 0x7f03 (LWP 9931)):
#0  0x11 in ioctl () from /lib64/libc.so.6
#1  0x12 in kvm_vcpu_ioctl ()
#2  0x13 in kvm_cpu_exec ()
#3  0x14 in kvm_vcpu_thread_fn ()
#4  0x15 in qemu_thread_start ()
#5  0x16 in start_thread () from /lib64/libpthread.so.0
#6  0x17 in clone () from /lib64/libc.so.6
""" + MAIN


# --------------------------------------------------------------------------------------------------------------
# The run state


@pytest.mark.parametrize(
    "line, name, kind",
    [
        ("VM status: paused (guest-panicked)", "guest-panicked", "state.guest-panicked"),
        ("(qemu) info status\nVM status: paused", "paused", "state.paused"),
        ('{"return":{"status":"io-error","singlestep":false,"running":false},"id":"libvirt-4"}',
         "io-error", "state.io-error"),
        ('{\n "return": {\n  "running": false,\n  "status": "paused"\n }\n}', "paused", "state.paused"),
        ("qmpstatus: io-error", "io-error", "state.io-error"),
        ("# virsh domstate vm --reason\npaused (I/O error)", "io-error", "state.io-error"),
        ("crashed (panicked)", "guest-panicked", "state.guest-panicked"),
        ("pmsuspended", "suspended", "state.paused"),
        ("VM status: paused (internal-error)\nVM status: paused (postmigrate)", "postmigrate", "state.paused"),
    ],
)
def test_the_text_tells_the_run_state_and_nobody_is_asked_for_it(line, name, kind):
    explained = told(f"It hangs\n{line}\n{PARKED}")
    finding = explained.findings[0]
    assert (explained.runstate, finding.kind, finding.confidence) == (name, kind, "certain")
    assert "info status" not in " ".join(finding.next_steps)
    assert line.splitlines()[-1] in finding.explanation or line.startswith("{")


def test_qemus_answer_wins_over_libvirts_words_and_prose_is_only_likely():
    prose = "Domain 'foo' paused (user)"
    finding = told(f"It hangs\n{prose}\n{PARKED}").findings[0]
    assert (finding.kind, finding.confidence) == ("state.paused", "likely")
    assert told(f"VM status: paused (io-error)\n{prose}\n{PARKED}").runstate == "io-error"
    assert told(f"VM status: paused (io-error)\npaused (user)\n{PARKED}").runstate == "io-error"


@pytest.mark.parametrize("line", ['{"status": "running", "id": "job0", "type": "mirror"}', "is it paused or running?",
                                  '{"return": {"status": "active", "ram": {}}}', "VM status: unclear"])
def test_another_status_is_no_run_state(line):
    assert told(f"{line}\n{PARKED}").runstate is None


def test_stacks_that_show_another_state_win_over_what_was_said_before():
    assert told(f"VM status: paused\n{GUEST}").runstate == "running"
    explained = told(f"VM status: running\n{PARKED}")
    assert (explained.runstate, explained.findings[0].kind) == (None, "state.paused")
    assert "info status" in explained.findings[0].next_steps[0]


def test_an_io_error_names_the_device_and_what_fails():
    explained = told("kvm: block I/O error in device 'drive-scsi0': No space left on device (28)\n" + PARKED)
    finding = explained.findings[0]
    assert (explained.runstate, finding.kind, finding.confidence) == ("io-error", "state.io-error", "likely")
    assert "drive-scsi0 failed: No space left on device" in finding.explanation
    assert finding.next_steps[0].startswith("free or add space where the image of drive-scsi0 lies")
    assert told("kvm: block I/O error in device 'd0': Input/output error (5)\n" + GUEST).runstate == "running"


def test_kvms_internal_error_is_told_by_its_suberror():
    finding = told("KVM internal error. Suberror: 1\nemulation failure\nEAX=00000000\n" + PARKED).findings[0]
    assert finding.title == "The VM is stopped by an internal error of the accelerator"
    assert "Suberror 1: KVM had to emulate an instruction" in finding.explanation
    assert "registers" in finding.next_steps[0]
    finding = told("error: kvm run failed Bad address\n" + PARKED).findings[0]
    assert "EFAULT" in finding.explanation


def test_the_command_line_tells_why_parked_vcpus_have_not_begun():
    incoming = told("/usr/bin/qemu-system-x86_64 -S -accel kvm -no-user-config -incoming defer\n" + PARKED)
    assert (incoming.runstate, incoming.findings[0].kind) == ("inmigrate", "state.incoming")
    assert incoming.findings[0].confidence == "likely"
    assert told("$ qemu-system-x86_64 -S -accel kvm\n" + PARKED).findings[0].kind == "state.prelaunch"
    # libvirt starts everything with -S
    assert told("$ qemu-system-x86_64 -S -no-user-config -accel kvm\n" + PARKED).findings[0].kind == "state.paused"


# --------------------------------------------------------------------------------------------------------------
# No stack at all


@pytest.mark.parametrize(
    "line, title, step",
    [
        ("2023-08-15 qemu-kvm: error while loading state for instance 0x0 of device '0000:00:02.0/virtio-net'\n"
         "2023-08-15 qemu-kvm: load of migration failed: Operation not permitted",
         "error while loading state for instance 0x0 of device '0000:00:02.0/virtio-net'", "machine type"),
        ("qemu-img: Could not open '/a': Failed to get shared \"write\" lock\nIs another process using the image [/a]?",
         'Failed to get shared "write" lock', "qemu-img info -U"),
        ("Could not access KVM kernel module: Permission denied",
         "Could not access KVM kernel module: Permission denied",
         "ls -l /dev/kvm"),
        ("qemu-system-x86_64: failed to initialize KVM: Device or resource busy",
         "failed to initialize KVM: Device or resource busy", "VirtualBox"),
        ("qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory",
         "cannot set up guest memory 'pc.ram': Cannot allocate memory", "overcommit"),
        ("qemu-system-x86_64: -drive file=a: Could not open 'a': Permission denied",
         "Could not open 'a': Permission denied", "SELinux"),
        ("qemu-system-x86_64: -device e1000,id=n0: Duplicate device ID 'n0'", "Duplicate device ID 'n0'", "another id"),
        ('qemu-system-x86_64: -device x: failed to find romfile "efi-virtio.rom"',
         'failed to find romfile "efi-virtio.rom"',
         "ipxe"),
        ("qemu-system-x86_64: unsupported machine type", "unsupported machine type", "-machine help"),
        ("qemu-kvm: Missing section footer for 0000:00:01.3/piix4_pm",
         "Missing section footer for 0000:00:01.3/piix4_pm",
         "version"),
        ("qemu-system-x86_64: -device vfio-pci: vfio 0000:01:00.0: group 1 is not viable",
         "group 1 is not viable", "vfio-pci"),
        ("qemu-system-x86_64: network script /etc/qemu-ifup failed with status 256",
         "network script /etc/qemu-ifup failed with status 256", "by hand"),
    ],
)
def test_qemus_last_words_are_explained_and_are_no_crash(line, title, step):
    explained = told(line + "\n")
    (finding,) = explained.findings
    assert (finding.kind, finding.title, finding.confidence, finding.rule) == (
        "state.shutdown", title, "certain", "said-at-exit")
    assert "The text has no stack" in finding.explanation and "no crash" in finding.explanation
    assert step in " ".join(finding.next_steps)


def test_feature_bits_that_the_destination_lacks_are_named():
    finding = told("qemu-kvm: Features 0x130afffa7 unsupported. Allowed features: 0x30afffa7\n").findings[0]
    assert "Feature bit 32: the guest uses what is not offered here" in finding.explanation


def test_a_text_with_neither_stack_nor_last_word_says_what_to_add():
    explained = told("qemu-system-x86_64: warning: host doesn't support requested feature\nIt hangs then.\n")
    assert not explained.findings
    (notice,) = [n for n in explained.notices if n.kind == "notice.no-stack"]
    assert "No stack is in this text" in notice.text and "gdb -p PID" in notice.text


def test_what_any_program_says_is_not_qemus():
    assert not told("vim: Could not open 'a': Permission denied\n").is_qemu


@pytest.mark.parametrize(
    "line",
    [
        "My network script for the office VPN does not start.",
        "rsync: Size mismatch: file",
        "backup: Length mismatch: file",
        "objdump: foo.o: Unsupported machine type 0x123",
        "Error: group is not viable for the next season",
        "qemu host: nginx bind() failed Address already in use",
        "On my qemu host vim says: Could not open 'a': Permission denied",
        "openvpn: could not open /dev/net/tun",
    ],
)
def test_prose_and_other_programs_messages_are_not_qemus_last_words(line):
    explained = told(line + "\n")
    assert not explained.is_qemu
    assert not explained.findings


@pytest.mark.parametrize(
    "line, title",
    [
        ("2023-08-15T10:00:00Z qemu-kvm: Size mismatch: 0000:00:03.0/virtio-net-pci.rom: 0x40000 != 0x80000",
         "Size mismatch: 0000:00:03.0/virtio-net-pci.rom: 0x40000 != 0x80000"),
        ("qemu-kvm: Length mismatch: 0000:00:03.0/virtio-net-pci.rom: 0x20000 in != 0x40000: Invalid argument",
         "Length mismatch: 0000:00:03.0/virtio-net-pci.rom: 0x20000 in != 0x40000: Invalid argument"),
        ("qemu-system-x86_64: -vnc :0: Failed to listen on socket: Address already in use",
         "Failed to listen on socket: Address already in use"),
        ("error: internal error: unable to execute QEMU command 'device_add': Duplicate ID 'n0' for device",
         "Duplicate ID 'n0' for device"),
        ('{"error": {"class": "GenericError", "desc": "Device \'d0\' is in use"}}', "Device 'd0' is in use\"}}"),
        ("(qemu) drive_add 0 file=a\nCould not open 'a': No such file or directory",
         "Could not open 'a': No such file or directory"),
        ("Could not initialize SDL(No available video device) - exiting",
         "Could not initialize SDL(No available video device) - exiting"),
        ("kvm: -netdev tap,id=n: could not configure /dev/net/tun (tap0): Device or resource busy",
         "could not configure /dev/net/tun (tap0): Device or resource busy"),
    ],
)
def test_a_message_that_others_have_too_is_qemus_where_the_line_says_so(line, title):
    (finding,) = told(line + "\n").findings
    assert (finding.title, finding.confidence, finding.rule) == (title, "certain", "said-at-exit")


def test_a_complaint_of_a_crash_is_not_talked_away():
    line = "qemu-img: Could not open 'a': Permission denied\n"
    (finding,) = told("My VM crashes with SIGSEGV every night.\n" + line).findings
    assert finding.confidence == "possible"
    assert "needs none" not in finding.explanation
    assert "coredumpctl" in " ".join(finding.next_steps)
    (libvirts,) = told(line + "2023-08-15 10:00:00.1+0000: shutting down, reason=crashed\n").findings
    assert libvirts.confidence == "certain"


def test_a_run_state_without_a_stack_is_told():
    explained = told("# virsh domstate vm --reason\npaused (I/O error)\n")
    assert (explained.findings[0].kind, explained.runstate) == ("state.io-error", "io-error")


# --------------------------------------------------------------------------------------------------------------
# What a crash's or a quiet process's lines add

HW_ERROR = """
#0  0x01 in raise () from /lib64/libc.so.6
#1  0x02 in abort () from /lib64/libc.so.6
#2  0x03 in hw_error (fmt=0x1 "vfio: DMA mapping failed, unable to continue") at ../softmmu/cpus.c:120
#3  0x04 in vfio_listener_region_add (listener=0x55f9f9c9c5e0) at ../hw/vfio/common.c:1011
#4  0x05 in address_space_set_flatview () at ../softmmu/memory.c:1051
"""


@pytest.mark.parametrize(
    "call, errno, words, step",
    [("vfio_dma_map", 12, "ENOMEM", "RLIMIT_MEMLOCK"), ("vfio_container_dma_map", 22, "EINVAL", "IOMMU's width"),
     ("vfio_container_dma_map", 17, "EEXIST", "overlap")],
)
def test_a_refused_mapping_is_explained_by_its_errno(call, errno, words, step):
    line = f"qemu-kvm: {call}(0x55f9f9c9c5d0, 0x383800000000, 0x2000000, 0x7f1dc4000000) = -{errno} (why)\n"
    crash = told(line + HW_ERROR).findings[0]
    assert crash.kind == "crash.hw-error"
    assert "refused to map 32 MiB at guest address 0x383800000000" in crash.explanation and words in crash.explanation
    assert step in " ".join(crash.next_steps)
    alone = told(line).findings[0]
    assert (alone.kind, alone.rule) == ("state.shutdown", "said-at-exit") and step in " ".join(alone.next_steps)


UNPLUG = ('reply={"id": "l-101", "error": {"class": "GenericError", "desc": "Device net1 is already in the process of '
          'unplug"}}\n')


def test_a_device_del_that_does_not_end_waits_for_the_guest():
    finding = told(UNPLUG + GUEST).findings[0]
    assert (finding.kind, finding.title) == (
        "state.running", "Nothing is stuck in QEMU: the guest has not released net1 (device_del)")
    assert "acpiphp" in finding.next_steps[0]
    paused = told(UNPLUG + "VM status: paused\n" + PARKED).findings[0]
    assert paused.title == "The VM is paused" and "a guest that is stopped cannot answer" in paused.explanation
    done = told(UNPLUG + '{"event": "DEVICE_DELETED", "data": {"device": "net1"}}\n' + GUEST).findings[0]
    assert "released" not in done.title


AUDIT = ('audit: type=1326 audit(1638288011.123:9931): auid=4294967295 uid=107 gid=107 ses=4294967295 pid=4431 '
         'comm="qemu-system-x86" exe="/usr/bin/qemu-system-x86_64" sig=31 arch={} syscall={} compat=0 ip=0x7f5e\n')
RECORD = """
Process 4431 (qemu-system-x86) of user 107 dumped core.

Stack trace of thread 4431:
#0  0x00007f5ea1b2a8bd fork (libc.so.6 + 0x1268bd)
#1  0x0000564c2ba1f68e launch_script (qemu-system-x86_64 + 0xa2f68e)
#2  0x0000564c2ba33a2a main_loop_wait (qemu-system-x86_64 + 0xa43a2a)
#3  0x0000564c2b7c5d73 qemu_main_loop (qemu-system-x86_64 + 0x7d5d73)
#4  0x0000564c2b5e8f4a main (qemu-system-x86_64 + 0x5f8f4a)
"""


def test_an_audit_record_names_the_forbidden_system_call():
    finding = told(AUDIT.format("c000003e", 57) + RECORD).findings[0]
    assert (finding.kind, finding.title, finding.confidence) == (
        "crash.seccomp", "The sandbox forbids fork() in launch_script", "certain")
    forks = told(AUDIT.format("c000003e", 56) + RECORD).findings[0]
    assert "spawn=deny denies clone() where it makes a process" in forks.explanation
    alone = told(AUDIT.format("c000003e", 435)).findings[0]
    assert (alone.kind, alone.title) == ("crash.seccomp", "A seccomp filter forbids clone3()")
    assert "system call 57" in told(AUDIT.format("c00000b7", 57)).findings[0].title  # another architecture's numbers


def test_a_core_dumps_record_is_a_crash_without_any_signal():
    findings = told(RECORD).findings
    assert findings[0].kind.startswith("crash.")
    assert not any(f.kind.startswith("state.") for f in findings)


# --------------------------------------------------------------------------------------------------------------
# info threads alone

ROWS = """\
  Id   Target Id                                            Frame
* 1    Thread 0x7f1c2a3b4f40 (LWP 3301) "qemu-system-x86"   0x00007f1c2b168e8f in __ppoll (fds=0x55e1a3e4c2a0) at a.c:42
  2    Thread 0x7f1c295ff6c0 (LWP 3302) "qemu-system-x86"   syscall () at ../sysdeps/unix/sysv/linux/x86_64/syscall.S:38
  3    Thread 0x7f1c277fe6c0 (LWP 3305) "CPU 0/KVM"         __GI___ioctl (fd=14, request=44672) at ioctl.c:36
  4    Thread 0x7f1c26ffd6c0 (LWP 3306) "CPU 1/KVM"         __futex_abstimed_wait_common64 (abstime=0x0) at f.c:57
"""


def test_info_threads_alone_says_that_only_the_innermost_frames_are_there():
    explained = told(ROWS)
    finding = explained.findings[0]
    assert (finding.title, finding.next_steps) == (
        "Only the innermost frame of each thread is in the text", ["thread apply all bt"])
    assert [n.text for n in explained.notices if n.kind == "notice.truncated"] == [
        "each thread's outer frames are missing"]
    assert explained.threads[3].summary == "waits on a condition"  # abstime 0x0 is no time limit


def test_the_events_that_stop_a_vm_are_read():
    event = '{"event": "BLOCK_IO_ERROR", "data": {"device": "", "operation": "write", "action": "stop"}}\n'
    assert told(event + PARKED).findings[0].kind == "state.io-error"
    assert told(event.replace('"stop"', '"report"') + PARKED).findings[0].kind == "state.paused"
