"""Which run state the VM is in: read from memory, or told by the lines around a text's stacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, List, Optional

from ..knowledge.runstates import NAMES
from ..model import Snapshot
from ..pattern import Pattern
from ..record import record
from .command_line import values

if TYPE_CHECKING:
    from .context import Context

# Words that query-jobs, query-migrate and others have for a status of their own
_SHARED = frozenset("running paused colo debug shutdown".split())
_MAX_LINES = 20_000

_STATUS = Pattern(r"VM status: (?P<word>running|paused)(?: \(single step mode\))?(?: \((?P<name>[a-z-]+)\))?")
_JSON = Pattern(r"[\"']status[\"']: ?[\"'](?P<name>[a-z-]+)[\"']")
_JSON_RUNNING = Pattern(r"[\"']running[\"']: ?(?:true|false|True|False)")
_PROXMOX = Pattern(r"\bqmpstatus: (?P<name>[a-z-]+)")
_VIRSH = Pattern(r"(?P<whole>^)?\b(?P<word>paused|crashed|running) \((?P<reason>[\w/ -]{3,20})\)")
# the whole output of `virsh domstate --reason`
_VIRSH_WHOLE = Pattern(r"\s*(?:(?:paused|crashed|running) \([\w/ -]{3,20}\)|pmsuspended)\s*$")
# tools/virsh-domain-monitor.c of libvirt: state and reason; (word, reason) -> run state. Reasons that can mean several
# run states (migrating, saving) are left out.
_LIBVIRT = {
    ("paused", "I/O error"): "io-error", ("paused", "user"): "paused", ("paused", "watchdog"): "watchdog",
    ("paused", "crashed"): "guest-panicked", ("paused", "starting up"): "prelaunch",
    ("crashed", "panicked"): "guest-panicked",
}  # fmt: skip

# block/block-backend.c, blk_error_action(): the event, which libvirt's log has; the sentence is of builds that log it
_IO_ERROR = Pattern(r"block I/O error in device '(?P<device>[^']{1,80})': (?P<why>[^()]{1,80}?) \((?P<errno>\d{1,3})\)")
_ACTION = Pattern(r"\"action\": ?\"(?P<name>stop|pause)\"")
_EVENTS = {'"BLOCK_IO_ERROR"': ("stop", "io-error"), '"GUEST_PANICKED"': ("pause", "guest-panicked")}
# accel/kvm/kvm-all.c, kvm_cpu_exec() and kvm_handle_internal_error(); target/i386/kvm/kvm.c, kvm_arch_handle_exit():
# the vCPU's state is dumped to stderr and the VM stopped
_KVM = Pattern(
    r"KVM internal error\. Suberror: (?P<suberror>\d{1,5})|error: kvm run failed (?P<why>\S.{0,80})"
    r"|KVM: entry failed, hardware error (?P<hardware>0x[0-9a-fA-F]+)"
)


@record
class Told:
    """A run state, and what says so."""

    name: str
    confidence: str = "certain"
    line: str = ""  # of the text; "" where it was read from memory
    device: str = ""  # of an I/O error
    reason: str = ""  # an I/O error's or KVM's words
    errno: Optional[int] = None
    suberror: Optional[int] = None  # KVM's


def told(context: Context) -> Optional[Told]:
    """The run state: read from memory, else as the text has it last; None where the stacks show another."""
    if context.facts.runstate:
        return Told(context.facts.runstate.replace("_", "-").lower())
    if context.snapshot.source.kind != "text":
        return None
    said = _stated(context.snapshot)
    vcpus = [s for s in context.live_subjects if s.told.role.startswith("vcpu")]
    parked = bool(vcpus) and all(s.waiting is not None and s.waiting.kind == "vcpu-halt" for s in vcpus)
    guest = any(s.told.state == "running-guest" for s in vcpus)
    if said is not None:
        # under KVM a vCPU of a running VM halts in the kernel; what was said was said before
        contradicted = parked and all(s.told.role == "vcpu-kvm" for s in vcpus) if said.name == "running" else guest
        if contradicted:
            return None
        hint = _hint(context.snapshot)
        if hint is not None and hint.name == said.name:
            said.device, said.reason, said.errno, said.suberror = hint.device, hint.reason, hint.errno, hint.suberror
        return said
    if not parked and context.live_subjects:
        return None
    return _hint(context.snapshot) or (_started(context.snapshot.command_line or "") if parked else None)


def _lines(snapshot: Snapshot) -> List[str]:
    lines = snapshot.unparsed
    if len(lines) > _MAX_LINES:
        lines = lines[: _MAX_LINES // 2] + lines[-_MAX_LINES // 2 :]
    return lines


def _stated(snapshot: Snapshot) -> Optional[Told]:
    """What somebody who asked was answered; the last answer counts."""
    found: Optional[Told] = None
    by_virsh: Optional[Told] = None
    lines = _lines(snapshot)
    for index, line in enumerate(lines):
        line = line[:4000]
        name = _stated_in(line, lines, index)
        if name in NAMES:
            found = Told(name, "certain", _shown(line))
            continue
        name = _by_virsh(line)
        if name in NAMES:
            whole = _VIRSH_WHOLE.match(line) is not None
            if whole or by_virsh is None or by_virsh.confidence != "certain":
                by_virsh = Told(name, "certain" if whole else "likely", _shown(line))
    return found or by_virsh


def _shown(line: str) -> str:
    return " ".join(line.split())[:200]


def _stated_in(line: str, lines: List[str], index: int) -> str:
    """The run state by QEMU's own answer."""
    if "status" not in line:
        return ""
    match = _STATUS.search(line) if "VM status" in line else None
    if match is not None:
        return match.group("name") or match.group("word")
    match = _PROXMOX.search(line) if "qmpstatus" in line else None
    if match is not None:
        return match.group("name")
    match = _JSON.search(line)
    name = match.group("name") if match is not None else ""
    if name not in _SHARED:
        return name
    near = [line] if '"return"' in line else [text[:500] for text in lines[max(0, index - 3) : index + 4]]
    return name if any(_JSON_RUNNING.search(text) for text in near) else ""


def _by_virsh(line: str) -> str:
    """The run state by what libvirt says, or what somebody tells in its words."""
    if "(" in line and ("paused" in line or "crashed" in line or "running" in line):
        match = _VIRSH.search(line.strip())
        if match is not None:
            if match.group("word") == "running":
                return "running" if match.group("whole") is not None else ""
            return _LIBVIRT.get((match.group("word"), match.group("reason")), "")
    return "suspended" if "pmsuspended" in line else ""


def _told_lines(snapshot: Snapshot) -> Iterator[str]:
    for message in snapshot.messages:
        yield message.text
    yield from _lines(snapshot)


def _hint(snapshot: Snapshot) -> Optional[Told]:
    """A line that QEMU writes when it stops the VM for an error. An errno is told by the line that has one."""
    found: Optional[Told] = None
    for line in _told_lines(snapshot):
        if "block I/O error" not in line and "KVM" not in line and "kvm run" not in line and '"event"' not in line:
            continue
        line = line[:4000]
        shown = _shown(line)
        match = _IO_ERROR.search(line)
        if match is not None:
            found = Told("io-error", "likely", shown, match.group("device"), match.group("why"),
                         int(match.group("errno")))
            continue
        match = _KVM.search(line)
        if match is not None:
            suberror = match.group("suberror")
            why = match.group("why") or match.group("hardware") or ""
            found = Told("internal-error", "likely", shown, reason=why, suberror=int(suberror) if suberror else None)
        elif found is None:
            action = _ACTION.search(line)
            for event, (wanted, name) in _EVENTS.items():
                if event in line and action is not None and action.group("name") == wanted:
                    found = Told(name, "likely", shown)
    return found


_STOPPED = Pattern(r"(?:^|\s)-S(?:\s|$)")
# libvirt starts every VM with -S and sends `cont` when it is set up: src/qemu/qemu_command.c, qemu_process.c
_MANAGED = Pattern(r"-no-user-config|charmonitor|/var/lib/libvirt|-daemonize")


def _started(command_line: str) -> Optional[Told]:
    """How the command line has parked vCPUs begin, as far as nobody has changed it since."""
    incoming = values(command_line, "incoming")
    if incoming:
        return Told("inmigrate", "likely", f"-incoming {incoming[0][:200]}")
    stopped = _STOPPED.search(command_line) is not None and not _MANAGED.search(command_line)
    return Told("prelaunch", "likely", "-S") if stopped else None
