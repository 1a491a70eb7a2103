"""QEMU's run states that are not "running": what each means, and what to do about it."""

from __future__ import annotations

from typing import Dict, Tuple

# QAPI RunState -> kind of finding, title, what to do. qapi/run-state.json, 2.x to 10.x; preconfig until 10.x.
RUNSTATES: Dict[str, Tuple[str, str, str]] = {
    "prelaunch": ("state.prelaunch", "The VM has not been started yet (-S)", "`cont` starts it"),
    "preconfig": ("state.prelaunch", "QEMU waits for its configuration (-preconfig)", "`x-exit-preconfig` goes on"),
    "inmigrate": (
        "state.incoming",
        "QEMU waits for an incoming migration (-incoming)",
        "start the migration on the source; `info migrate`, there and here, tells whether it has begun or failed",
    ),
    "postmigrate": (
        "state.paused",
        "The VM was migrated away; this is what is left of the source",
        "`quit` ends it; `cont` only if the destination did not start",
    ),
    "finish-migrate": ("state.paused", "The VM is stopped for the last phase of a migration", "query-migrate"),
    "paused": ("state.paused", "The VM is paused", "`cont` resumes it"),
    "suspended": ("state.paused", "The guest is suspended (S3)", "`system_wakeup` wakes it; `cont` does not"),
    "restore-vm": ("state.paused", "A snapshot is being loaded", "wait for loadvm"),
    "save-vm": ("state.paused", "A snapshot or a dump of the guest's memory is being saved", "wait until that is done"),
    "debug": ("state.paused", "The VM is stopped by the gdbstub", "continue in the gdb that debugs the guest"),
    "io-error": (
        "state.io-error",
        "The VM is stopped by an I/O error; the threads themselves are healthy",
        "mend the storage, then `cont`: QEMU sends the request again",
    ),
    "guest-panicked": (
        "state.guest-panicked",
        "The guest reported a panic",
        "look at the guest's console or dump; `system_reset` restarts it",
    ),
    "internal-error": (
        "state.paused",
        "The VM is stopped by an internal error of the accelerator",
        "look at QEMU's stderr (KVM internal error, register dump) and the host's kernel log",
    ),
    "shutdown": (
        "state.shutdown",
        "The guest has shut down; QEMU stays because of -no-shutdown",
        "`quit` ends it, `system_reset` restarts it",
    ),
    "watchdog": ("state.paused", "The VM was paused by its watchdog", "`cont` or `system_reset`"),
    "colo": ("state.paused", "The VM is stopped for a COLO checkpoint", "wait for the checkpoint"),
}
NAMES = frozenset(RUNSTATES) | {"running"}

# include/uapi/linux/kvm.h of Linux: KVM_INTERNAL_ERROR_*
SUBERRORS: Dict[int, str] = {
    1: "KVM had to emulate an instruction of the guest and could not (KVM_INTERNAL_ERROR_EMULATION)",
    2: "an exception came while another was delivered (KVM_INTERNAL_ERROR_SIMUL_EX)",
    3: "the guest left while an event was being delivered to it (KVM_INTERNAL_ERROR_DELIVERY_EV)",
    4: "the processor left the guest for a reason that KVM does not know (KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON)",
}
