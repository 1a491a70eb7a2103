"""The finding of a VM that is not running: its run state, who says so, and what is known of the reason."""

from __future__ import annotations

from typing import List, Optional, Tuple

from ...knowledge.runstates import RUNSTATES, SUBERRORS
from ...model import Evidence, Finding
from ..context import Context
from ..runstate import Told
from .common import finding


def stopped(context: Context, told: Told, busy: bool, whole: bool) -> Optional[Finding]:
    """The finding of a run state other than running; none for one that is not known.

    ``busy``: some thread does not rest. ``whole``: all of the process is shown.
    """
    row = RUNSTATES.get(told.name)
    if row is None:
        return None
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
    return finding(
        kind,
        title,
        told.confidence,
        sentences,
        steps=steps or [step],
        proof=[Evidence(text=told.line or f"run state {told.name}")],
        rule=f"runstate.{told.name}",
    )


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
        meaning = SUBERRORS.get(told.suberror)
        return ([f"Suberror {told.suberror}: {meaning}."] if meaning else []), steps
    if told.reason.startswith("0x"):
        return [f"The processor refused to enter the guest (hardware error {told.reason})."], steps
    if told.reason.startswith("Bad address"):
        return ["KVM_RUN failed with EFAULT: KVM could not reach the host's memory behind a page of the guest."], steps
    return ([f"KVM_RUN failed: {told.reason}."] if told.reason else []), steps
