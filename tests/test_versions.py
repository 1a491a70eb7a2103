"""Which version and program a text names, and how many vCPUs there are. Lines as people write them, made by hand."""

from __future__ import annotations

import pytest
from stacks import classified, thread

from qemu_gdb.capture import text
from qemu_gdb.explain import explain
from qemu_gdb.knowledge.roles import whole_name

STACK = "#0  ppoll () at a.c:1\n#1  qemu_poll_ns () at ../util/qemu-timer.c:339\n#2  main_loop_wait () at b.c:5\n"


@pytest.mark.parametrize(
    "line, version, package",
    [
        ("QEMU 6.2 hangs:", "6.2", None),
        ("We run QEMU 9.1 here", "9.1", None),
        ("qemu 8.1 on Debian 12", "8.1", None),
        ("QEMU-8.1", "8.1", None),
        ("QEMU v8.2", "8.2", None),
        ("I attached gdb 12.1 to QEMU 6.2 on the host:", "6.2", None),
        ("Source QEMU (pid 1111, qemu-kvm-8.2.0):", "8.2.0", None),
        ("Package: qemu-kvm/8.2.0-11.el9", "8.2.0", "8.2.0-11.el9"),
        ("pve-qemu-kvm: 7.2.0-8", "7.2.0", "7.2.0-8"),
        ("PVE 8.1.4 with pve-qemu-kvm 8.1.5-4.", "8.1.5", "8.1.5-4"),
        ("qemu-img 4.2.1 convert hangs", "4.2.1", None),
        ("qemu-img version 4.2.1", "4.2.1", None),
        ("qemu 5.2 (Debian 11, 1:5.2+dfsg-11+deb11u3)", "5.2", "5.2+dfsg-11+deb11u3"),
        ("git master at v9.0.0-1234-gabcdef0123", "9.0.0", "9.0.0-1234-gabcdef0123"),
        ("Module qemu-system-x86_64 from deb qemu-9.2.0+ds-1.amd64", "9.2.0", "9.2.0+ds-1.amd64"),
        ("QEMU 8.2 here; the log says qemu-8.2.4-1.fc40", "8.2.4", "8.2.4-1.fc40"),
        ("QEMU 8.2\nqemu 8.2.4", "8.2.4", None),
        ("we upgraded from QEMU 6.2 to 7.0", "7.0", None),
    ],
)
def test_the_version_as_people_write_it(line, version, package):
    snapshot = text.parse(f"{line}\n\n{STACK}")[0]
    assert (snapshot.version, snapshot.package) == (version, package)


@pytest.mark.parametrize(
    "line",
    ["since QEMU 6.2", "it hangs, but not with QEMU 6.2", "newer than QEMU 6.2", "fixed in QEMU 9.0",
     "it worked in QEMU 6.2", "that works in qemu 6.2.0", "Upgraded from QEMU 6.2",
     "before QEMU 6.2 this was fine", "QEMU 5.2 and 6.0",
     "libvirt 8.0.0, kernel 5.15, qemu", "QEMU 6.2 works", "CD-ROM QEMU DVD-ROM 2.5+", "QEMU 6.2 and newer hang"],
)
def test_another_version_than_the_reports_is_not_taken(line):
    assert text.parse(f"{line}\n\n{STACK}")[0].version is None


def test_the_words_around_a_tools_stack_name_it():
    stack = "#0  poll ()\n#1  qemu_poll_ns ()\n#2  img_info () at qemu-img.c:3\n#3  main () at qemu-img.c:5\n"
    assert explain(text.parse("nova-compute stuck, qemu-img info never returns\n\n" + stack)[0]).program == "qemu-img"
    two = "qemu-img or qemu-io, which one?\n\n" + stack
    assert explain(text.parse(two)[0]).program is None


def test_a_name_that_the_kernel_cut_is_completed_where_one_program_fits():
    assert whole_name("qemu-system-x86") == "qemu-system-x86_64"
    assert whole_name("qemu-system-aar") == "qemu-system-aarch64"
    assert whole_name("qemu-storage-da") == "qemu-storage-daemon"
    assert [whole_name(n) for n in ("qemu-system-mip", "qemu-system-ppc")] == ["qemu-system-mip", "qemu-system-ppc"]


def test_there_are_not_fewer_vcpus_than_the_highest_number_says():
    vcpu = "ioctl kvm_vcpu_ioctl kvm_cpu_exec kvm_vcpu_thread_fn qemu_thread_start start_thread clone3"
    main = "ppoll qemu_poll_ns main_loop_wait qemu_main_loop main __libc_start_main"
    shown = classified(thread(main, number=1, lwp=1), thread(vcpu, number=2, lwp=2, name="CPU 1/KVM"))
    assert shown.explanation.vcpus is None
    both = classified(thread(main, number=1, lwp=1), thread(vcpu, number=2, lwp=2, name="CPU 0/KVM"),
                      thread(vcpu, number=3, lwp=3, name="CPU 1/KVM"))
    assert both.explanation.vcpus == 2
