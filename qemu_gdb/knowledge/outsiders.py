"""Programs beside QEMU whose stacks people bring as QEMU's: what manages it, what was made of its sources."""

from __future__ import annotations

from typing import Tuple

from .match import Names

# Functions of libvirt in which one of its threads waits, for what, and what to look at then: src/qemu/qemu_monitor.c,
# qemu_agent.c, qemu_domainjob.c (qemu_domain.c before 7.5), src/conf/virdomainjob.c (domain_job.c before 9.0)
# of libvirt 5.0 to 10.0
MANAGER_WAITS: Tuple[Tuple[Names, str, str], ...] = (
    (Names("qemuMonitorSend"), "in qemuMonitorSend for the answer to a QMP command",
     "Why that QEMU does not answer, its own stacks tell: gdb -p PID of that QEMU, thread apply all bt."),
    (Names("qemuAgentSend", "qemuAgentGuestSync*"), "for the guest agent inside the guest, not for QEMU",
     "Is qemu-ga running there?"),
    (Names("qemuDomainObjBeginJob*", "virDomainObjBeginJob*"),
     "for the domain's job lock, which another API call of libvirt holds",
     "libvirtd's log names it (\"cannot acquire state change lock\")."),
)  # fmt: skip

# Programs that people take for QEMU: functions of their own, libraries, and what they are. libvirt's src/util/vir*.c
# and src/qemu/ (its worker thread for events is named qemu-event); include/unicorn/unicorn.h of Unicorn.
OTHER_PROJECTS: Tuple[Tuple[Names, str, str], ...] = (
    (Names("virObject*", "virEvent*", "virThread*", "virNet*", "virDomain*", "qemuMonitor*", "qemuProcess*",
           "qemuDomain*", "qemuAgent*"), "libvirt",
     "these are stacks of libvirt (its daemon, or a client of it), which manages QEMU from another process: what fails "
     "there is libvirt's."),
    (Names("uc_emu_start", "uc_emu_stop", "uc_open", "uc_close", "uc_mem_*", "uc_reg_*", "uc_hook_*"), "libunicorn",
     "these are stacks of Unicorn (libunicorn), a fork of QEMU's TCG with an interface of its own: its functions have "
     "QEMU's names with the guest's architecture behind them. Report it to Unicorn."),
    # gitlab.com/virtio-fs/virtiofsd, in Rust; QEMU 5.0 to 7.2 had one in C (tools/virtiofsd)
    (Names("virtiofsd::*", "<virtiofsd::*"), "virtiofsd",
     "these are stacks of virtiofsd, the process that serves a shared directory to a VM. Where it ends, QEMU logs "
     "failed vhost-user messages, and the guest's processes on that file system wait until both are started again. "
     "Report it to virtiofsd (gitlab.com/virtio-fs/virtiofsd)."),
)  # fmt: skip

# Google's fork, external/qemu of Android; QEMU itself has goldfish_rtc, goldfish_tty and goldfish_pic
ANDROID = Names("skin_winsys_*", "android_*", "qemu_android_*", "goldfish_pipe*", "goldfish_dma*", "goldfish_sync*",
                "goldfish_battery*", "goldfish_fb*", "goldfish_address_space*")  # fmt: skip
ANDROID_UI = Names("skin_winsys_*")  # its first thread; QEMU's main loop runs in another
