"""What the host's own lines tell of a process of which no stack is shown: a fault, the OOM killer, a SIGTERM."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional

from ...knowledge import signals
from ...knowledge.roles import program_kind, role_of_name
from ...linux import KERNEL_FAULT, trap_signal
from ...model import Evidence, Finding, Message
from ...pattern import Pattern
from ...role_words import role_words
from ..context import Context
from . import common, sandbox, tested

_RESIDENT = Pattern(r"anon-rss:(\d+)kB")
_SENDER = Pattern(r"terminating on signal (?P<number>\d+)(?: from pid (?P<pid>\d+)(?: \((?P<who>.*?)\))?)?")
_NULL = 0x1000  # an address below it is a member of an object at NULL


def find(context: Context) -> List[Finding]:
    """One finding of the host's last word, none where it said nothing."""
    for kind, tell in _TELLERS.items():
        told = [m for m in context.snapshot.messages if m.kind == kind and _is_of_qemu(m)]
        message = max(told, key=lambda m: "anon-rss" in m.text, default=None)
        found = tell(message) if message is not None else None
        if found is not None and message is not None:
            found.evidence.append(Evidence(text=common.oneline(message.text)))
            return [found]
    return []


def fault_of_no_thread(context: Context) -> Optional[Finding]:
    """The finding of the kernel's line of a QEMU's fault whose thread is not among those shown, None without one."""
    shown = {thread.lwp for thread in context.snapshot.threads}
    for message in context.snapshot.messages:
        match = KERNEL_FAULT.search(message.text) if message.kind == "kernel-fault" and _is_of_qemu(message) else None
        if match is not None and int(match.group("tid")) not in shown:
            return _fault(message)
    return None


def _is_of_qemu(message: Message) -> bool:
    """Whether the process that a line of the kernel's log names is a QEMU: the host and the guest run others."""
    if message.kind not in ("kernel-fault", "oom-kill"):
        return True
    match = KERNEL_FAULT.search(message.text) if message.kind == "kernel-fault" else None
    names = [message.function or ""] if match is None else [match.group("object") or "", match.group("comm")]
    if any(program_kind(word) is not None for name in names for word in (name, name.split(" ")[-1])):
        return True
    if match is not None and names[0] and ".so" not in names[0]:
        return False
    role = role_of_name(names[-1])
    return role is not None and role[0] not in ("unknown", "glib-worker", "external-library")


def _fault(message: Message) -> Optional[Finding]:
    match = KERNEL_FAULT.search(message.text)
    if match is None:
        return None
    inside = match.group("object") or ""
    ip, start = int(match.group("ip"), 16), match.group("start")
    thread = f"thread {match.group('tid')}"
    role = role_of_name(match.group("comm"))
    if role is not None and role[0] != "unknown":
        number = role[2].get("vcpu")
        words = f"vCPU {number}" if number is not None else role_words(role[0]).the
        thread += f' ("{match.group("comm")}", {words})'
    kind, title = "crash.invalid-access", "General protection fault"
    sentence = f"The kernel's line is all there is of it: {thread} "
    if match.group("address") is not None:
        address = int(match.group("address"), 16)
        title = f"Segmentation fault at 0x{address:x}"
        sentence += _access(match.group("error"))
        if address < _NULL:
            kind = "crash.null-dereference"
            title = "Segmentation fault at address 0x0: a NULL pointer" if not address else (
                f"Segmentation fault at 0x{address:x}: a member 0x{address:x} into an object at NULL")
        elif address == ip:
            sentence += "; it jumped there, to no code"
    elif (name := trap_signal(match.group("trap"))) != "SIGSEGV":
        kind, title = signals.SIGNALS[name]
        sentence += f'got {name} ("{match.group("trap")}")'
    else:
        sentence += ("used an address that no program can have: a pointer whose memory was freed and overwritten looks "
                     "like that")
    title += f", in {inside}" if inside else ""
    sentence += ". Which function that is, and who called it, takes the program's symbols or a core."
    program = program_kind(inside) is not None
    steps = ["has the host kept a core? `coredumpctl list`, then `coredumpctl gdb PID` and `thread apply all bt`; if "
             "not, allow cores for the next time (libvirt: max_core in qemu.conf; systemd: LimitCORE=infinity)"]
    if start is not None:
        steps.append(_lines_of(inside, program, ip - int(start, 16), match.group("offset")))
    return Finding(kind, title, "certain", sentence, next_steps=steps, rule="kernel-fault")


def _access(error: Optional[str]) -> str:
    """What the error code of an x86 page fault says: arch/x86/include/asm/trap_pf.h."""
    bits = int(error, 16) if error else 4
    what = "ran code from" if bits & 16 else "wrote to" if bits & 2 else "read"
    where = "a page that does not allow it" if bits & 1 else "an address where nothing is mapped"
    return f"{what} {where}"


def _lines_of(inside: str, program: bool, distance: int, offset: Optional[str]) -> str:
    """How to turn the address into a function and a line."""
    folder = "/usr/libexec" if inside == "qemu-kvm" else "/usr/bin"
    path = f"{folder}/{inside}" if program else f"$(ldconfig -p | grep -o '/.*{inside}')"
    add = "the segment's VirtAddr minus its Offset" if offset else "the VirtAddr of that segment"
    shown = offset.lower().lstrip("0") or "0" if offset else f"{distance:x}"
    return (f"with the debug symbols of exactly this build: `readelf -lW {path}`, find the LOAD segment with flags "
            f"R E, then `addr2line -Cfie {path}` of 0x{shown} plus {add}")


def _oom(message: Message) -> Optional[Finding]:
    group = "cgroup" in message.text or "CONSTRAINT_MEMCG" in message.text
    resident = _RESIDENT.search(message.text)
    size = f" It held {int(resident.group(1)) / (1 << 20):.1f} GiB of anonymous memory." if resident else ""
    whose = "the memory limit of its control group was reached" if group else "the host ran out of memory"
    steps = [("compare memory.max of its control group (systemd-cgtop, or `cat /sys/fs/cgroup/.../memory.max`) with "
              "the guest's RAM plus what QEMU needs itself" if group else
              "compare the host's memory and swap with the RAM of all guests; the kernel's table above that line shows "
              "who held how much")]
    return Finding("crash.signal", "The host's kernel killed QEMU: " + whose, "certain",
                   f"SIGKILL by the OOM killer: QEMU did not crash, and there is no core.{size}", next_steps=steps,
                   rule="oom-kill")


def _told_to_end(message: Message) -> Optional[Finding]:
    match = _SENDER.search(message.text)
    if match is None:
        return None
    name = {"15": "SIGTERM", "2": "SIGINT", "1": "SIGHUP"}.get(match.group("number"), f"signal {match.group('number')}")
    known = match.group("who") not in (None, "", "<unknown process>", "unknown")
    who = f", sent by process {match.group('pid')}" if match.group("pid") else ""
    who += f" ({match.group('who')})" if known else ""
    return Finding("state.shutdown", f"QEMU ended because it was told to: {name}{who}", "certain",
                   "QEMU shuts down in order on this signal: no crash.",
                   next_steps=["the sender's own log at that time tells why (libvirt's domain log: the line `shutting "
                               "down, reason=...`)"], rule="told-to-end")


_TELLERS: Dict[str, Callable[[Message], Optional[Finding]]] = {
    "seccomp": sandbox.finding, "kernel-fault": _fault, "oom-kill": _oom, "qemu-died": tested.finding,
    "told-to-end": _told_to_end,
}  # fmt: skip
