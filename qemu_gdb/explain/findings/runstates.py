"""The finding of a VM that is not running: its run state, who says so, and what is known of the reason."""

from __future__ import annotations

from typing import List, Optional, Tuple

from ...knowledge.runstates import RUNSTATES, SUBERRORS
from ...model import Evidence, Finding
from ...pattern import Pattern
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
    more, steps = _of_error(context, told)
    sentences += more
    nodes = [n for n in context.facts.nodes if n.note]
    if kind == "state.io-error" and nodes:
        sentences += [f"Node {n.name} ({n.driver}): {n.note}." for n in nodes[:2]]
    migration = next((m for m in context.facts.migration), None)
    if migration is not None and kind in ("state.incoming", "state.paused"):
        sentences.append(
            f"Migration ({migration.direction}): {migration.state}{f', {migration.uri}' if migration.uri else ''}."
        )
    if migration is not None and migration.direction == "outgoing" and migration.state in _RUNS_OVER_THERE and (
        told.name in ("finish-migrate", "postmigrate", "paused")
    ):
        title = "Postcopy: the VM runs on the destination, and this side still has pages of its RAM"
        sentences.append("Do not `cont` here and do not end this process: the VM over there would lose the pages that "
                         "it has not got yet.")
        step = "query-migrate, twice: does the remaining RAM fall?"
        if migration.state != "postcopy-active":
            step = "the connection broke: migrate-recover on the destination, then migrate with resume here"
    if told.name == "shutdown" and _resets_end_it(context):
        title = "The guest has shut down or reset itself (-no-reboot makes one of the other); the process stays"
        sentences.append("A triple fault is such a reset, too.")
    if not busy and context.live_subjects:
        sentences.append("All threads rest normally." if whole or not told.line else "The threads shown rest normally.")
    return finding(
        kind,
        title,
        told.confidence,
        sentences,
        steps=[s for s in steps if s] or [step],
        proof=[Evidence(text=told.line or f"run state {told.name}")],
        rule=f"runstate.{told.name}",
    )


# qapi/migration.json; in postcopy-device (10.2) the destination does not run yet
_RUNS_OVER_THERE = ("postcopy-active", "postcopy-paused", "postcopy-recover-setup", "postcopy-recover")


def _resets_end_it(context: Context) -> bool:
    """Whether a reset of the guest's shuts it down: -no-reboot, -action reboot=shutdown (system/runstate.c)."""
    said = context.snapshot.command_line or ""
    return bool(context.facts.extra.get("resets_shut_down")) or "-no-reboot" in said or "reboot=shutdown" in said


def _who_says(context: Context, told: Told) -> str:
    """Where the text has it from."""
    parked = " and all vCPUs shown are parked" if context.live_subjects else ""
    if told.confidence == "certain":
        return f'Run state {told.name}: the text says "{told.line}".'
    if told.name in ("inmigrate", "prelaunch"):
        return (f"The command line has `{told.line}`{parked}: run state {told.name}, unless somebody has changed it "
                "since (`info status` tells).")
    return f'The text has "{told.line}"; QEMU stops the VM with that (run state {told.name}){parked}.'


_LINES = 4000
# target/i386/cpu-dump.c x86_cpu_dump_state, 2.0 to 10.2: the byte at the instruction pointer stands in < >
_CODE = Pattern(r"^Code=(?:[0-9a-f?]{2} ){0,64}(?P<at><[0-9a-f]{2}>(?: [0-9a-f]{2}){0,7})")
_IP = Pattern(r"^(?P<register>[RE]IP) ?= ?(?P<value>[0-9a-f]{8,16})\b")
_PREFIXES = {"c4": "VEX, of AVX", "c5": "VEX, of AVX", "62": "EVEX, of AVX-512"}


def _instruction(context: Context) -> str:
    """The instruction at which the guest stands, as QEMU's register dump in the text has its bytes; "" without one."""
    code = place = None
    for line in context.snapshot.unparsed[:_LINES]:
        code = code or (_CODE.search(line) if "Code=" in line else None)
        place = place or (_IP.search(line) if "IP" in line else None)
    if code is None:
        return ""
    shown = code.group("at").replace("<", "").replace(">", "")
    where = f" at {place.group('register')} 0x{place.group('value').lstrip('0') or '0'}" if place is not None else ""
    wide = place is not None and place.group("register") == "RIP"
    kind = _PREFIXES.get(shown[:2]) if wide or shown[3:4] in ("c", "d", "e", "f") else None  # else LES, LDS, BOUND
    more = (f" {shown[:2]} begins an instruction with a prefix ({kind}) that most versions of KVM's emulator do not "
            "know: the guest used it on a device's memory, or where KVM can't run guest code itself." if kind else "")
    return f"The instruction{where} begins with the bytes {shown}.{more}"


def _of_error(context: Context, told: Told) -> Tuple[List[str], List[str]]:
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
    bytes_ = _instruction(context)
    steps = ["" if bytes_ else "below that line, in QEMU's log: the guest's registers and the bytes at its instruction "
             "pointer; which instruction is it?",
             "the host's kernel log (dmesg | grep -i kvm); only `system_reset` or a new start goes on"]
    if told.suberror is not None:
        meaning = SUBERRORS.get(told.suberror)
        return ([f"Suberror {told.suberror}: {meaning}."] if meaning else []) + ([bytes_] if bytes_ else []), steps
    if told.reason.startswith("0x"):
        return [f"The processor refused to enter the guest (hardware error {told.reason})."], steps
    if told.reason.startswith("Bad address"):
        return ["KVM_RUN failed with EFAULT: KVM could not reach the host's memory behind a page of the guest."], steps
    return ([f"KVM_RUN failed: {told.reason}."] if told.reason else []), steps
