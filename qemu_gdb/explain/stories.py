"""Tells each thread's story: its stages from the outside in, with values, and a one-line summary.

For the other rules of ``explain`` (all take a ``Stack`` and answer None where the stack shows nothing of the kind):

- ``guest_access(stack)``: the guest's port or MMIO access that the stack delivers to a device
- ``monitor_command(stack)``: the QMP or HMP command that runs on the stack
- ``block_request(stack)``: the innermost block-layer request (type, node, driver, offset, bytes)
- ``drain(stack)``: the outermost drain or nested poll that waits on the stack
- ``job(stack)``: the block job whose code runs
- ``migration_phase(stack)``: the phase of migration that the stack is in
- ``trigger_chain(subject, facts)``: why the thread is here, outside in, as one phrase
"""

from __future__ import annotations

import re
from typing import Dict, FrozenSet, List, Optional, Sequence, Set, Tuple

from ..knowledge.functions import subsystem as function_subsystem
from ..knowledge.helpers import helper_for
from ..knowledge.roles import STARTERS
from ..knowledge.stages import TABLE, Row, View, block, events, guest, migration, monitor, process
from ..knowledge.stages.block import BlockRequest, Drain
from ..knowledge.stages.guest import GuestAccess
from ..knowledge.stages.monitor import MonitorCall
from ..knowledge.stages.rows import told as phrase
from ..model import Facts, IOThread, Message, Stage, ThreadExplanation, VCpu
from ..pattern import Pattern
from ..record import record
from . import kernel
from .blocked import inside_wrapper
from .context import Context, Subject
from .stack import Stack

__all__ = [
    "BlockRequest",
    "Drain",
    "GuestAccess",
    "MonitorCall",
    "block_request",
    "drain",
    "guest_access",
    "job",
    "migration_phase",
    "monitor_command",
    "tell",
    "trigger_chain",
]

SUMMARY_LIMIT = 118
_KEPT = 600  # inner and outer frames that stages are made of; what is between is a recursion
_LINKS = 40  # inner and outer stages that a summary looks at

# An inner stage that says nothing beside its caller's stage becomes part of it: outer name -> inner names.
_WAITS = frozenset(("mutex", "condition", "event"))
_MERGE: Dict[str, FrozenSet[str]] = {
    "main loop": frozenset(("GLib main loop", "event loop")),
    "GLib main loop": frozenset(("event loop",)),
    "event loop": frozenset(("GLib main loop",)),
    "BQL": _WAITS,
    "AioContext lock": _WAITS,
    "mutex": frozenset(("event",)),
    "condition": frozenset(("event", "mutex")),
    "event": frozenset(("condition",)),
    "thread join": frozenset(("event", "condition")),
    "vCPU thread": _WAITS,
    "RCU": frozenset(("event", "condition")),
    "worker thread": frozenset(("condition", "event")),
    "exclusive section": frozenset(("condition", "event")),
    "vCPU pause": frozenset(("condition", "event")),
    "work on a vCPU": frozenset(("condition", "event")),
    "VNC": frozenset(("condition", "event")),
    "multifd": frozenset(("event", "condition")),
    "graph lock": frozenset(("mutex",)),
    "coroutine": frozenset(("coroutine wake-up",)),
    "KVM vCPU loop": frozenset(("KVM request",)),
    "coroutine yield": frozenset(("coroutine switch",)),
    "coroutine pool": frozenset(("coroutine switch",)),
    "coroutine wake-up": frozenset(("coroutine switch",)),
    "signal thread": frozenset(("system call",)),
}


_PLUMBING = Pattern(
    r"_(?!Z)|std::|malloc$|free$|calloc$|realloc$|cfree$|str[a-z]+$|mem[a-z]+$|pthread_|futex|lll_|g_|syscall$|ppoll$|poll$|epoll|clone|start_thread|sem_|select$|pselect$"
)


_CAST = Pattern(
    r"(?!GLIBC?_)[A-Z][A-Z0-9]*_[A-Z0-9_]+$"
)  # VIRTIO_DEVICE(): QOM's checked casts, inline functions since 5.2


def _is_plumbing(name: str) -> bool:
    """Whether a function outside of QEMU is libc's or GLib's own, and no library that a reader wants to see."""
    return _PLUMBING.match(name) is not None or not name.strip("?")


# Of several stages of these layers a summary names the innermost.
_INNERMOST = frozenset(("chardev", "device life cycle", "I/O channel", "PCI", "VFIO"))


@record
class _Part:
    """A run of positions that becomes a stage."""

    row: Optional[Row]
    first: int
    last: int
    subsystem: Optional[str] = None
    tail: int = 0  # frames beyond ``last`` that only enter the thread
    recursion: bool = False  # the middle of a stack that is too deep to tell


_Shape = Tuple[List[_Part], List[Tuple[str, Optional[str]]]]


class Story:
    """The stages of one stack, inner to outer, before they are put into words."""

    def __init__(self, stack: Stack, facts: Optional[Facts] = None, messages: Sequence[Message] = (),
                 subsystems: Sequence[Optional[str]] = (),
                 shapes: Optional[Dict[Tuple[object, ...], _Shape]] = None) -> None:  # fmt: skip
        names = stack.names
        self.stack = stack
        self.view = View(stack.frames, names, 0, len(names) - 1, facts, {"messages": list(messages)})
        self.vcpu: Optional[VCpu] = None  # what the thread is, by the facts
        self.iothread: Optional[IOThread] = None
        self._subsystems = list(subsystems) if len(subsystems) == len(stack.frames) else None
        shape = None if shapes is None else shapes.get(self._shape())
        if shape is None:
            self.parts = self._divide()
            self.named = [(self.part_name(part), self._owner(part)) for part in self.parts]
            if shapes is not None and len(shapes) < 4096:
                shapes[self._shape()] = (self.parts, self.named)
        else:
            self.parts, self.named = shape

    def _shape(self) -> Tuple[object, ...]:
        return (
            self.view.all_names,
            tuple(f.kind for f in self.stack.frames),
            tuple(f.file for f in self.stack.frames),
            self.stack.thread.kernel_only,
            inside_wrapper(self.stack),
        )

    def subsystem(self, position: int) -> Optional[str]:
        """Owner of a frame's code."""
        if self._subsystems is not None:
            return self._subsystems[position]
        frame = self.stack.frames[position]
        return function_subsystem(frame.name or None, frame.file)

    def _rows(self, start: int, stop: int) -> List[Tuple[Optional[Row], Optional[str], bool]]:
        """Row, subsystem and whether the frame is foreign (libc, GLib, no name) of positions."""
        found: List[Tuple[Optional[Row], Optional[str], bool]] = []
        wrapper = inside_wrapper(self.stack)
        for position in range(start, stop):
            name = self.view.all_names[position]
            row = TABLE.row(name)
            if row is None and _CAST.match(name):
                row = TABLE.row("object_dynamic_cast_assert")
            if row is not None and row.name == "thread entry":
                found.append((row, None, True))
                continue
            if row is None and position < wrapper:
                found.append((None, None, True))  # some libc's way into the kernel
                continue
            if self.stack.frames[position].kind == "jit":
                found.append((TABLE.row("code_gen_buffer"), None, False))
                continue
            owner = None if row is not None and row.subsystem is not None else self.subsystem(position)
            if row is not None:
                found.append((row, owner, False))
            else:
                found.append((None, owner, not name or owner is None and _is_plumbing(name)))
        return found

    def _divide(self) -> List[_Part]:
        count = len(self.view.all_names)
        if count <= 2 * _KEPT:
            return self._merge(self._group(self._rows(0, count)))
        inner = self._merge(self._group(self._rows(0, _KEPT)))
        outer = self._merge(self._group(self._rows(count - _KEPT, count), count - _KEPT))
        return [*inner, _Part(None, _KEPT, count - _KEPT - 1, recursion=True), *outer]

    def _group(self, rows: Sequence[Tuple[Optional[Row], Optional[str], bool]], start: int = 0) -> List[_Part]:
        parts: List[_Part] = []
        waiting: Optional[int] = None  # first position of a foreign run that has no outer stage yet
        for position, (row, owner, foreign) in enumerate(rows, start):
            if foreign:
                if waiting is None:
                    waiting = position
                continue
            first = position if waiting is None else waiting
            last_part = parts[-1] if parts else None
            if last_part is not None and self._same(last_part, row, owner):
                last_part.last = position
            else:
                parts.append(_Part(row, first, position, owner))
            waiting = None
        if waiting is not None:  # nothing outer: the entry of the thread
            if parts:
                parts[-1].tail = start + len(rows) - 1 - parts[-1].last
            elif rows:
                parts.append(_Part(None, waiting, start + len(rows) - 1))
        return parts

    @staticmethod
    def _same(part: _Part, row: Optional[Row], owner: Optional[str]) -> bool:
        if part.row is not None or row is not None:
            return part.row is row
        return part.subsystem == owner

    def _merge(self, parts: List[_Part]) -> List[_Part]:
        merged: List[_Part] = []
        for part in parts:
            while merged and part.row is not None and merged[-1].row is not None:
                inner = merged[-1].row.name
                if inner == part.row.name or inner in _MERGE.get(part.row.name, ()):
                    part.first = merged[-1].first
                    merged.pop()
                else:
                    break
            merged.append(part)
        return merged

    def part_view(self, part: _Part) -> View:
        return self.view.part(part.first, part.last)

    def part_name(self, part: _Part) -> str:
        if part.row is not None:
            return part.row.name
        if part.recursion:
            return "recursion"
        index = self.parts.index(part)
        outer = self.parts[index + 1] if index + 1 < len(self.parts) else None
        if outer is not None and outer.row is not None and outer.row.name == "guest access":
            files = [f.file or "" for f in self.stack.frames[part.first : part.last + 1]]
            if any("hw/" in file for file in files) or (not any(files) and guest.is_device(self.view, part.last)):
                return "device model"
        owner = part.subsystem or self._owner(part)
        if owner is not None and any(
            "/hw/" in f"/{f.file or ''}" for f in self.stack.frames[part.first : part.last + 1]
        ):
            return "device model"
        if self.stack.thread.kernel_only:
            return "no user stack"
        return f"code of {owner}" if owner else "library code"

    def _owner(self, part: _Part) -> Optional[str]:
        if part.row is not None and part.row.name == "guest access":
            return part.row.subsystem  # old and new names of its functions belong to others, too
        counts: Dict[str, int] = {}
        for position in range(part.first, min(part.last, part.first + 60) + 1):
            row = TABLE.row(self.view.all_names[position])
            if part.row is not None and row is not part.row:
                continue
            owner = self.subsystem(position)
            if owner:
                counts[owner] = counts.get(owner, 0) + 1
        if not counts:
            return part.row.subsystem if part.row is not None else None
        top = max(counts.values())
        return next(o for o, n in counts.items() if n == top)

    def part_text(self, part: _Part, short: bool = False) -> str:
        """The stage in words; ``short`` for a chain, "" where a chain leaves it out."""
        if part.recursion:
            return self._recursion(part)
        if part.row is None:
            return self._chain_of_names(part, 2 if short else 4)
        view = self.part_view(part)
        says = part.row.says
        if short and part.row.short is not None:
            says = part.row.short
        return phrase(says, view)

    def _recursion(self, part: _Part) -> str:
        names = list(dict.fromkeys(n for n in self.view.all_names[part.first : part.last + 1] if n))
        who = " → ".join(reversed(names[:3])) + (" …" if len(names) > 3 else "")
        return (
            f"{part.last - part.first + 1} frames more of {who}" if who else f"{part.last - part.first + 1} frames more"
        )

    def _chain_of_names(self, part: _Part, limit: int) -> str:
        names = [n for n in reversed(self.part_view(part).names) if n and TABLE.row(n) is None]
        names = list(dict.fromkeys(names))
        if not names:
            return "no function name is known" if limit > 2 else ""
        if len(names) > limit:
            names = [*names[: limit // 2], "…", *names[len(names) - (limit - limit // 2) :]]
        return " → ".join(names)

    def stages(self) -> List[Stage]:
        """Stages, the outermost first."""
        found = []
        for part, (name, owner) in zip(reversed(self.parts), reversed(self.named)):
            text = self.part_text(part) or "the thread's entry"
            found.append(Stage(
                name=name, subsystem=owner,
                first=self.stack.level(part.first), last=self.stack.level(part.last + part.tail), text=text,
            ))  # fmt: skip
        return found

    def links(
        self, skip: FrozenSet[str] = frozenset(), full: bool = False, start: int = 0
    ) -> List[Tuple[int, bool, str]]:
        """Weight, whether it triggers, and phrase of what a summary may name, the innermost first.

        :param start: position of the frame that parts have to reach out to: what is inside of it led nowhere
        :param full: name the device beside the register of a guest access
        """
        found: List[Tuple[int, bool, str]] = []
        command = max(
            (i for i, p in enumerate(self.parts) if p.row is not None and p.row.name == "monitor command"), default=None
        )
        for index, part in enumerate(self.parts):
            name = part.row.name if part.row is not None else ""
            if name in skip or (command is not None and index > command) or _LINKS <= index < len(self.parts) - _LINKS:
                continue  # what brings a command to its function is no news
            if part.last < start:
                continue
            if name in _INNERMOST and any(p.row is not None and p.row.name == name for p in self.parts[:index]):
                continue
            text = self.part_text(part, short=True)
            access = guest.access(self.view) if full and name == "guest access" else None
            if access is not None and text == access.short:
                text = access.brief
            if not text or any(text == known for _, _, known in found):
                continue
            if part.row is not None:
                found.append((part.row.weight, part.row.trigger, text))
                continue
            kind = self.part_name(part)
            if kind == "library code" and part is self.parts[-1] and len(self.parts) > 1:
                continue  # what starts the thread
            found.append((5 if kind == "device model" else 4 if part is self.parts[0] else 3, False, text))
        return [
            link
            for i, link in enumerate(found)
            if not any(j != i and other[2].startswith(link[2]) for j, other in enumerate(found))
        ]


def _select(links: Sequence[Tuple[int, bool, str]], limit: int, keep_first: bool = True) -> List[str]:
    """The phrases that tell the most in ``limit`` characters, the innermost first."""
    if not keep_first:
        links = [link for link in links if len(link[2]) <= limit]
    if not links:
        return []
    order = sorted(range(len(links)), key=lambda i: (-links[i][0], -i if links[i][1] else i))
    strong = any(weight >= 6 for weight, _, _ in links)
    chosen: List[int] = []
    used = 0
    if keep_first:
        first = next((i for i, link in enumerate(links) if link[0] >= 3), 0)
        order = [first] + [i for i in order if i != first]
    trigger = next((i for i in range(len(links) - 1, -1, -1) if links[i][1] and links[i][0] >= 6), None)
    if trigger is not None:
        order = order[:1] + [i for i in (trigger,) if i != order[0]] + [i for i in order[1:] if i != trigger]
    for rank, index in enumerate(order):
        weight, _, text = links[index]
        if rank and (weight == 0 or weight <= 3 and strong):
            continue
        cost = len(text) + (3 if used else 0)
        if chosen and used + cost > limit:
            continue
        chosen.append(index)
        used += cost
    return [links[i][2] for i in sorted(chosen)]


def _clip(text: str, limit: int = SUMMARY_LIMIT) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


# --------------------------------------------------------------------------------------------------------------
# What a single stack shows


def _view(stack: Stack, facts: Optional[Facts] = None) -> View:
    return View(stack.frames, stack.names, 0, len(stack.names) - 1, facts)


def guest_access(stack: Stack, facts: Optional[Facts] = None) -> Optional[GuestAccess]:
    """The guest's port or MMIO access that the stack delivers to a device."""
    return guest.access(_view(stack, facts))


def monitor_command(stack: Stack) -> Optional[MonitorCall]:
    """The monitor command that runs on the stack."""
    return monitor.command(_view(stack))


def block_request(stack: Stack, facts: Optional[Facts] = None) -> Optional[BlockRequest]:
    """The innermost block-layer request on the stack."""
    return block.request(_view(stack, facts))


def drain(stack: Stack) -> Optional[Drain]:
    """The outermost drain or nested poll on the stack."""
    return block.drain(_view(stack))


def job(stack: Stack) -> Optional[str]:
    """Type of the block job whose code is on the stack: "mirror", "backup", ..."""
    return block.job(_view(stack))


def migration_phase(stack: Stack) -> Optional[str]:
    """The phase of migration that the stack is in, as a phrase."""
    return migration.phase(_view(stack))


def trigger_chain(subject: Subject, facts: Optional[Facts] = None) -> str:
    """Why the thread is where it is, outside in, as one phrase; "" where the stack does not show it."""
    story = Story(subject.stack, facts, (), subject.told.frame_subsystems)
    died = frozenset(("mutex",)) if subject.told.state == "crashed" else frozenset()  # in the lock: it does not wait
    links = story.links(frozenset(("abort", "coroutine yield")) | died, full=True)
    if len(links) > 1 and links[0][2] == "nested poll":
        del links[0]  # how it waits; the rest says for what
    return " → ".join(reversed(_select(links, 330, keep_first=False)))


# --------------------------------------------------------------------------------------------------------------
# Summaries

_VCPU_ROLES = frozenset(("vcpu-kvm", "vcpu-mttcg", "vcpu-tcg-rr", "vcpu-other"))
# Where a thread of a role rests, in words; those that need values are told below.
_RESTS: Dict[str, str] = {
    "rcu": "no callback is queued",
    "thread-pool-worker": "no request; leaves after 10 s idle",
    "migration-return-path": "waits for messages of the destination",
    "multifd-send": "waits for pages to send",
    "multifd-recv": "waits for pages of the source",
    "postcopy-fault": "waits for the guest's page faults",
    "postcopy-listen": "waits for pages of the source",
    "compress": "waits for pages to compress",
    "vnc-worker": "no display update to encode",
    "spice-worker": "polls for display commands and clients",
    "audio": "waits for sound to play or record",
    "glib-worker": "a helper thread of GLib, nothing to do",
    "mem-prealloc": "waits for memory to touch",
}
_WAIT_STAGES = frozenset(("BQL", "mutex", "condition", "event", "AioContext lock", "vCPU thread"))
# Run states (qapi/run-state.json) as the reason why a vCPU does not run.
_STOPPED: Dict[str, str] = {
    "paused": "stopped: the VM is paused",
    "prelaunch": "stopped: the VM has not been started",
    "preconfig": "stopped: the machine is not built yet",
    "inmigrate": "stopped: the VM waits for an incoming migration",
    "postmigrate": "stopped: the VM has migrated away",
    "finish-migrate": "stopped: the migration is completing",
    "io-error": "stopped: the VM had an I/O error",
    "shutdown": "stopped: the guest has shut down",
    "guest-panicked": "stopped: the guest panicked",
    "internal-error": "stopped: the accelerator reported an error",
    "debug": "stopped: by the gdb stub",
    "watchdog": "stopped: by the watchdog",
    "save-vm": "stopped: a snapshot or a dump is being saved",
    "restore-vm": "stopped: a snapshot is being loaded",
    "colo": "stopped: COLO checkpoint",
}


def _rest(context: Context, subject: Subject, story: Story) -> str:
    told = subject.told
    role = told.role
    if role in _VCPU_ROLES:
        vcpu = story.vcpu
        runstate = context.runstate.name if context.runstate is not None else None
        if vcpu is not None:
            if vcpu.stopped:
                return (
                    _STOPPED.get(runstate or "", f"stopped: run state {runstate}")
                    if runstate != "running"
                    else "stopped by QEMU"
                )
            if vcpu.halted:
                return "halted, waits for an interrupt or kick"
        if runstate and runstate not in ("running", "suspended"):
            return _STOPPED.get(runstate, f"stopped: run state {runstate}")
        return "waits for work: halted or stopped"
    if role in ("main-loop", "iothread", "monitor-iothread", "tool-main"):
        words = events.polled(story.view)
        if not any(n in events._POLL for n in story.view.all_names[:12]):
            words = _busy(story) or words
        iothread = story.iothread
        if iothread is not None:
            if iothread.handlers is not None and "its descriptors" in words:
                plural = "" if iothread.handlers == 1 else "s"
                words = words.replace("its descriptors", f"{iothread.handlers} descriptor{plural}")
            if iothread.serves:
                words += f"; serves {', '.join(iothread.serves[:3])}"
        if role == "monitor-iothread":
            words = f"waits for monitor input, {words}"
        if role == "tool-main":
            work = _busy(story)
            words += f" ← {work}" if work else ""
        return words
    if role == "external-library":
        inside = next(
            (
                n
                for n in reversed(story.view.all_names)
                if n and "std::" not in n and not _is_plumbing(n) and TABLE.row(n) is None
            ),
            "",
        )
        inside = inside.split("(")[0].split("<")[0].strip()[:60]
        return f"thread of a library, waits in {inside}" if inside else "thread of a library, waits"
    return _RESTS.get(role) or _busy(story) or events.polled(story.view)


def _waits_for(told: ThreadExplanation, default: str) -> str:
    waits = told.waits_for
    words = default
    if waits is not None:
        if (
            waits.object
            and waits.object not in ("BQL", "the BQL")
            and default != "the BQL"
            and "0x" not in waits.object
        ):
            words = waits.object
        if waits.owner_thread is not None and waits.owner_thread == told.thread.number:
            words += ", which it holds itself"
        elif waits.owner_thread is not None:
            words += f", held by thread {waits.owner_thread}"
    return f"waits for {words}"


def _busy(story: Story, limit: int = SUMMARY_LIMIT) -> str:
    return " ← ".join(_select(story.links(), limit))


_VAGUE = frozenset(("device", "display", "networking", "chardev"))  # layers that say nothing without a function


def _after(story: Story, first: str, skip: FrozenSet[str], start: int = 0) -> str:
    links = []
    layers: Set[str] = set()
    for weight, trigger, text in story.links(skip, start=start):
        while " → " in text and text.rsplit(" → ", 1)[1] in (*first.split(), "…"):
            text = text.rsplit(" → ", 1)[0]
        layer, _, name = text.rpartition(": ")
        if layer and name in first.split():
            text = layer  # "VNC server: vnc_init_func" beside what happened in vnc_init_func
            layers.add(text)
        if text not in first:
            links.append((weight, trigger, text))
    said = {link[2].partition(": ")[0] for link in links if ": " in link[2]} | _VAGUE
    links = [link for link in links if link[2] not in layers or link[2] not in said]
    rest = _select(links, SUMMARY_LIMIT - len(first) - 3, keep_first=False)
    return " ← ".join([first, *rest])


def _crash(context: Context, subject: Subject, story: Story) -> str:
    signal = subject.told.thread.signal or context.snapshot.signal
    if subject.told.state == "aborting":
        dead = process.told_death(story.view)
        if not dead and subject.told.state_rule == "fatal-path:guest-signal":
            dead = "ends itself with the emulated program, which died of a signal"
        if dead:
            return _after(story, dead, frozenset(("signal", "abort")))
    name = signal.name if signal is not None and signal.name else ""
    if not name:
        guessed = subject.told.state_rule.startswith(("stopped-in-the-middle", "bad-pointer"))
        name = "aborts" if subject.told.state == "aborting" else "stopped" if guessed else "crashes"
    position = next(
        (
            i
            for i, part in enumerate(story.view.all_names)
            if part and not part.startswith("<") and part not in process.DYING
        ),
        None,
    )
    where = ""
    inner = 0
    if subject.told.culprit:
        where = f" in {subject.told.culprit}"
        level = subject.told.culprit_level
        inner = next((p for p, f in enumerate(subject.stack.frames) if f.level == level), 0)
    elif position is not None and story.view.all_names[position] in STARTERS:
        where = " in code without a name"
    elif position is not None:
        where = f" in {story.view.all_names[position]}"
    top = story.view.all_names[0] if story.view.all_names else ""
    plain = TABLE.row(top) is None and not helper_for(top, "crash")
    if subject.told.culprit and top and top != subject.told.culprit and plain:
        where, inner = f" in {top}", 0
    first = f"{name}{where}"
    return _after(story, first, frozenset(("signal", "memory copy", "abort", "mutex")), inner)


def summarize(context: Context, subject: Subject, story: Story) -> str:
    """One line that says what the thread does now."""
    told = subject.told
    state = told.state
    if told.thread.kernel_only or not story.view.all_names:
        return "no QEMU thread: kernel helper, no user stack" if told.thread.kernel_only else "no frames"
    if told.state_rule == "kernel-stack":
        return kernel.summary(subject.stack) or f"host kernel: {subject.stack.names[0] or 'no function name is known'}"
    view = story.view
    dying = next((p for p in story.parts if p.row is not None and p.row.name == "abort"), None)
    yields = story.parts[0].row is not None and story.parts[0].row.name == "coroutine yield"
    if yields and told.role == "coroutine":
        return _busy(story)
    if state in ("aborting", "crashed") or (state == "unknown" and dying is not None and dying.first == 0):
        if dying is not None:
            return _after(story, process.death(story.part_view(dying), True), frozenset(("abort", "signal")))
        return _crash(context, subject, story)
    if state in ("idle", "stopped"):
        return _rest(context, subject, story)
    if state == "running-guest" and not any(p.row is not None and p.row.name == "guest access" for p in story.parts):
        if told.role == "vcpu-kvm":
            return "in KVM_RUN: guest code, or halted in KVM"
        if told.role == "user-mode":
            return "runs the guest program"
        return "runs guest code"
    if told.state_rule == kernel.KEEPS and told.role == "vcpu-kvm":
        return "in KVM_RUN"
    if state == "waiting-bql":
        return _after(story, _waits_for(told, "the BQL"), _WAIT_STAGES)
    if state == "waiting-aiocontext-lock":
        return _after(story, _waits_for(told, "an AioContext's lock"), _WAIT_STAGES)
    if state == "waiting-mutex":
        return _after(story, _waits_for(told, events.lock_name(view) or "a mutex"), _WAIT_STAGES)
    if state == "waiting-drain-or-nested-poll":
        links = story.links(frozenset(("bottom half", "event loop")))
        position = next((i for i, link in enumerate(links) if link[0] >= 4), 0)
        return " ← ".join(_select(links[position:], SUMMARY_LIMIT))
    words = _busy(story)
    return words or "; ".join(s.text for s in story.stages()[-1:])


# --------------------------------------------------------------------------------------------------------------


def _key(subject: Subject) -> Tuple[object, ...]:
    told = subject.told
    thread = told.thread
    frames = tuple(
        (f.function, f.file, tuple(f.args.values()) if f.args else (), tuple(f.locals.values()) if f.locals else ())
        for f in thread.frames
    )
    inside = tuple(f.function for f in thread.kernel)
    return (frames, inside, told.role, told.state,
            told.waits_for and (told.waits_for.object, told.waits_for.owner_thread))


def tell(context: Context) -> None:
    """Fill stages and summary of every thread."""
    vcpus = {v.lwp: v for v in context.facts.vcpus if v.lwp is not None}
    iothreads = {i.lwp: i for i in context.facts.iothreads if i.lwp is not None}
    known: Dict[Tuple[object, ...], Tuple[List[Stage], str]] = {}
    shapes: Dict[Tuple[object, ...], _Shape] = {}
    for index, subject in enumerate(context.subjects):
        thread = subject.told.thread
        messages = [m for m in context.messages if m.thread is None or m.thread == index]
        own = thread.lwp if thread.lwp in vcpus or thread.lwp in iothreads else None
        key = (*_key(subject), own, thread.crashed or thread.current)
        if key in known:
            stages, summary = known[key]
            levels = {f.level for f in thread.frames}
            if all(s.first in levels and s.last in levels for s in stages):
                subject.told.stages = [Stage(s.name, s.subsystem, s.first, s.last, s.text) for s in stages]
                subject.told.summary = summary
                continue
        story = Story(subject.stack, context.facts, messages, subject.told.frame_subsystems, shapes)
        if thread.lwp is not None:
            story.vcpu, story.iothread = vcpus.get(thread.lwp), iothreads.get(thread.lwp)
        subject.told.stages = story.stages()
        summary = summarize(context, subject, story)
        if not summary and subject.told.stages:
            summary = subject.told.stages[-1].text
        subject.told.summary = re.sub(r"\s+", " ", _clip(summary, SUMMARY_LIMIT + 40)).strip()
        kept = kernel.beside(subject)
        if kept is not None:
            kernels = "guest's" if context.explanation.program == "qemu-ga" else "host"
            subject.told.summary += f"; in the {kernels} kernel: {kept.text}"
        if len(known) < 4096:
            known[key] = (subject.told.stages, subject.told.summary)
