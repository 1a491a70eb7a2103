"""Says whose code is at work in every thread, by the section names of QEMU's MAINTAINERS file."""

from __future__ import annotations

from typing import List, Optional

from ..knowledge import functions
from ..knowledge.aborts import gives_up
from ..knowledge.helpers import helper_for
from ..knowledge.rests import VCPUS
from ..knowledge.roles import ENTRIES, KERNEL_THREADS, LIBRARIES, STARTERS
from .blocked import blocked
from .context import Context, Subject
from .owners import codes
from .recursion import find_recursion
from .stack import Stack

# Whose a thread is that does nothing of its own: role and subsystem
_OF_ROLE = {
    "main-loop": "Main loop",
    "vcpu-kvm": "KVM",
    "vcpu-mttcg": "TCG CPUs",
    "vcpu-tcg-rr": "TCG CPUs",
    "iothread": "AioContext/event loop",
    "monitor-iothread": "QMP",
    "rcu": "RCU",
    "thread-pool-worker": "Block I/O path",
    "migration": "Migration",
    "migration-return-path": "Migration",
    "multifd-send": "Migration",
    "multifd-recv": "Migration",
    "postcopy-fault": "Migration (postcopy)",
    "postcopy-listen": "Migration (postcopy)",
    "colo": "COLO Framework",
    "compress": "Migration",
    "vnc-worker": "VNC",
    "spice-worker": "SPICE",
    "mem-prealloc": "Memory API",
    "glib-worker": "GLib",
    "user-mode": "linux-user",
    "tool-main": "Block layer core",
    "test": "Tests",
    "coroutine": "Coroutines",
}
# Of the helpers on a stack without other code, whose owner is told: the one that says most
_WEIGHTS = {
    "chardev-frontend": 4,
    "drain": 4,
    "block-frontend": 4,
    "memory-api": 2,
    "kvm-irqchip": 2,
    "io-channel": 1,  # so that a thread of migration's that reads its stream is migration's
    "tls": 3,
    "qdev": 1,
    "memory-dispatch": 1,
    "guest-notify": 1,
    "virtqueue": 1,
}
# Subsystems that only carry others' work: their frames are told of only where there is nothing else.
_CARRIERS = frozenset(
    {"Threads and locks", "OS support library", "Utilities", "QObject", "Stubs", "CPU core", "Main loop", "Tests"}
)


def assign(context: Context) -> None:
    """Fill subsystem and frame_subsystems of every thread; roles, states and culprits are known already."""
    for subject in context.subjects:
        stack = subject.stack
        subject.told.frame_subsystems = [code.subsystem for code in codes(stack)]
        subject.told.subsystem = _subsystem(subject)


def _subsystem(subject: Subject) -> Optional[str]:
    told = subject.told
    stack = subject.stack
    if told.culprit_rule == "who-forgets":  # above those that allocate for others
        owner = next((c.subsystem for f, c in zip(stack.frames, codes(stack)) if f.level == told.culprit_level), None)
        if owner:
            return owner
    if told.culprit_rule == "who-recurses":  # where the stack ran out says nothing
        found = find_recursion(stack)
        positions = [stack.find(name) for name in (found.names if found else ())]
        owners = [codes(stack)[p].subsystem for p in positions if p is not None]
        at_work = _at_work(subject)
        return at_work if at_work in owners else next((o for o in owners if o and o not in _CARRIERS), at_work)
    if told.state in ("idle", "running-guest"):
        return _resting(subject)
    if told.thread.kernel_only or not any(stack.names):
        name = told.thread.name or ""
        return next((owner for prefix, owner in KERNEL_THREADS if name.startswith(prefix)), _OF_ROLE.get(told.role))
    if told.role in ("external-library", "audio", "display"):
        return _of_library(subject) or _at_work(subject)
    if told.role == "user-mode" and told.state == "blocked-syscall" and told.culprit is None:
        return "linux-user"
    return _at_work(subject) or _OF_ROLE.get(told.role)


def _resting(subject: Subject) -> Optional[str]:
    """Of a thread that rests, or runs the guest: the owner of its resting place."""
    told = subject.told
    entry = _entry(subject.stack)
    if told.role in ("external-library", "audio", "display", "helper", "vcpu-other", "iothread"):
        if entry is not None and ENTRIES[entry].role == told.role:
            return ENTRIES[entry].subsystem
        if told.role not in ("helper", "iothread"):
            return _of_library(subject) or _at_work(subject) or _OF_ROLE.get(told.role)
    if told.role == "test":
        return "AioContext/event loop"
    if told.role == "unknown":
        return _at_work(subject)
    return _OF_ROLE.get(told.role)


def _entry(stack: Stack) -> Optional[str]:
    for name in reversed(stack.names):
        if name in ENTRIES:
            return name
    return None


def _of_library(subject: Subject) -> Optional[str]:
    rule = subject.told.role_rule
    if rule.startswith("library:"):
        return next((row.subsystem for row in LIBRARIES if row.name == rule[8:]), None)
    for frame in reversed(subject.stack.frames):
        for row in LIBRARIES:
            if (frame.name and frame.name in row.frames) or (
                frame.library and any(p in frame.library for p in row.files)
            ):
                return row.subsystem
    return None


def _at_work(subject: Subject) -> Optional[str]:
    """The innermost QEMU code that is no helper of others'; helpers' own owner where there is nothing else."""
    stack = subject.stack
    told = subject.told
    fallback: Optional[str] = None
    best = -1
    carrier: Optional[str] = None
    device = False  # a device model's function that several have under this name
    nobodys = False  # a function of QEMU's that no index has
    start = 0
    if told.state not in ("crashed", "aborting", "executing"):
        start = max(blocked(stack).last, 0)
    for position in range(start, len(stack.frames)):
        name = stack.names[position]
        if name in STARTERS:
            break
        code = codes(stack)[position]
        if code.owner == "jit":
            return _guest_code(told.role, fallback)
        if code.owner == "qemu" and not code.subsystem:
            nobodys = nobodys or not functions.lookup(name)
            if _of_devices(name):
                fallback, best, device = "Device models", 9, True
        if code.owner != "qemu" or not code.subsystem:
            continue
        if told.state == "aborting" and gives_up(name):
            continue
        family = helper_for(name, "owner")
        if nobodys and family == "memory-dispatch" and name.startswith(("memory_region_", "access_with_")):
            return "Device models"  # of a fork or a later release: what else would an accessor call?
        if family:
            weight = _WEIGHTS.get(family, 0)
            if code.subsystem not in _CARRIERS and weight > best:
                fallback, best = code.subsystem, weight
            carrier = carrier or code.subsystem
            continue
        if code.subsystem in _CARRIERS:
            carrier = carrier or code.subsystem
            continue
        entry = ENTRIES.get(name)
        if entry is not None and (entry.role in VCPUS or entry.role == "main-loop" or best >= 2):
            break
        if (_ends_work(name) and best > 0) or (device and not _of_devices(name)):
            break
        return code.subsystem
    if told.state == "waiting-bql" and best <= 1 and told.role in _OF_ROLE:
        return _OF_ROLE[told.role]
    return fallback or _OF_ROLE.get(told.role) or carrier


def _guest_code(role: str, fallback: Optional[str]) -> str:
    return fallback or ("linux-user" if role == "user-mode" else "TCG CPUs")


def _ends_work(name: str) -> bool:
    """Functions that started the work, not part of it: commands and the loops around them."""
    return name.startswith(
        ("qmp_", "hmp_", "monitor_", "handle_hmp", "do_qmp", "kvm_cpu_exec", "kvm_handle_io", "kvm_vcpu_thread_fn",
         "qtest_")
    )  # fmt: skip


def _of_devices(name: str) -> bool:
    """Whether a name that several device models share is of nothing else."""
    places = functions.lookup(name)
    return bool(places) and all(place.file.startswith("hw/") for place in places)


__all__: List[str] = ["assign"]
