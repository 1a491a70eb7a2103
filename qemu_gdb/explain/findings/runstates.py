"""What a run state that is not "running" means, and what to do about it."""

from __future__ import annotations

from typing import List, Tuple

from ...model import Evidence, Finding
from ..context import Context
from ..runstate import Told
from .common import finding

# QAPI RunState -> kind, title, what to do. qapi/run-state.json, 2.x to 10.x.
_RUNSTATES = {
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
    "save-vm": ("state.paused", "A snapshot is being saved", "wait for savevm"),
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
# include/uapi/linux/kvm.h of Linux: KVM_INTERNAL_ERROR_*
_SUBERRORS = {
    1: "KVM had to emulate an instruction of the guest and could not (KVM_INTERNAL_ERROR_EMULATION)",
    2: "an exception came while another was delivered (KVM_INTERNAL_ERROR_SIMUL_EX)",
    3: "the guest left while an event was being delivered to it (KVM_INTERNAL_ERROR_DELIVERY_EV)",
    4: "the processor left the guest for a reason that KVM does not know (KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON)",
}


def stopped(context: Context, told: Told, busy: bool, whole: bool) -> List[Finding]:
    """The finding of a run state other than running; none for one that is not known.

    ``busy``: some thread does not rest. ``whole``: all of the process is shown.
    """
    row = _RUNSTATES.get(told.name)
    if row is None:
        return []
    kind, title, step = row
    if not whole and told.line:
        title = title.partition(";")[0]
    sentences = [_who_says(context, told)] if told.line else [f"Run state {told.name}."]
    more, steps = _of_error(told)
    sentences += more
    nodes = [n for n in context.facts.nodes if n.note]
    if kind == "state.io-error" and nodes:
        sentences += [f"Node {n.name} ({n.driver}): {n.note}." for n in nodes[:2]]
    migration = next((m for m in context.facts.migration), None)
    if migration is not None and kind in ("state.incoming", "state.paused"):
        sentences.append(
            f"Migration ({migration.direction}): {migration.state}{f', {migration.uri}' if migration.uri else ''}."
        )
    if not busy and context.live_subjects:
        sentences.append("All threads rest normally." if whole or not told.line else "The threads shown rest normally.")
    return [
        finding(
            kind,
            title,
            told.confidence,
            sentences,
            steps=steps or [step],
            proof=[Evidence(text=told.line or f"run state {told.name}")],
            rule=f"runstate.{told.name}",
        )
    ]


def _who_says(context: Context, told: Told) -> str:
    """Where the text has it from."""
    parked = " and all vCPUs shown are parked" if context.live_subjects else ""
    if told.confidence == "certain":
        return f'Run state {told.name}: the text says "{told.line}".'
    if told.name in ("inmigrate", "prelaunch"):
        return (f"The command line has `{told.line}`{parked}: run state {told.name}, unless somebody has changed it "
                "since (`info status` tells).")
    return f'The text has "{told.line}"; QEMU stops the VM with that (run state {told.name}){parked}.'


def _of_error(told: Told) -> Tuple[List[str], List[str]]:
    """What an I/O error's or KVM's own line adds, and what to do about this one."""
    if told.name == "io-error" and told.device:
        full = told.errno == 28  # ENOSPC
        steps = [f"free or add space where the image of {told.device} lies (df; for a thin pool: lvs, Data%), then "
                 "`cont`: QEMU sends the request again" if full else
                 f"mend the storage of {told.device} (the host's kernel log; `info block`: which image), then `cont`: "
                 "QEMU sends the request again"]
        return [f"A request of {told.device} failed: {told.reason} (errno {told.errno})."], steps
    if told.name != "internal-error":
        return [], []
    steps = ["below that line, in QEMU's log: the guest's registers and the bytes at its instruction pointer; which "
             "instruction is it?",
             "the host's kernel log (dmesg | grep -i kvm); only `system_reset` or a new start goes on"]
    if told.suberror is not None:
        meaning = _SUBERRORS.get(told.suberror)
        return ([f"Suberror {told.suberror}: {meaning}."] if meaning else []), steps
    if told.reason.startswith("0x"):
        return [f"The processor refused to enter the guest (hardware error {told.reason})."], steps
    if told.reason.startswith("Bad address"):
        return ["KVM_RUN failed with EFAULT: KVM could not reach the host's memory behind a page of the guest."], steps
    return ([f"KVM_RUN failed: {told.reason}."] if told.reason else []), steps
