"""What the lines around a stack say, and texts without one. The stacks are minimal stand-ins, made by hand."""

from __future__ import annotations

import pytest

from qemu_gdb.capture import text
from qemu_gdb.explain import explain

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


def told(source):
    snapshots = text.parse(source)
    assert len(snapshots) == 1
    return explain(snapshots[0])


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


def test_a_run_state_without_a_stack_is_told():
    explained = told("# virsh domstate vm --reason\npaused (I/O error)\n")
    assert (explained.findings[0].kind, explained.runstate) == ("state.io-error", "io-error")
