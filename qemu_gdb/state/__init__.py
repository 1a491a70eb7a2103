"""Reads QEMU's own structures through gdb into facts; a file per topic, bounded, read-only."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from ..model import Notice, Snapshot
from . import (
    aio,
    block,
    chardev,
    coroutine_chain,
    coroutines,
    fault,
    iothreads,
    jobs,
    last_words,
    locks,
    memory_regions,
    migration,
    monitor,
    pointers,
    polled,
    queues,
    rcu,
    runstate,
    vcpus,
    waits,
)
from .access import Limits, NotReadable, Process
from .arguments import FrameArguments, find
from .layout import layout, offset_of
from .qom import Qom

__all__ = ["Limits", "read_all"]


def read_all(
    snapshot: Snapshot,
    captured: Any = None,
    progress: Optional[Callable[[str], None]] = None,
    limits: Optional[Limits] = None,
) -> None:
    """Fill ``snapshot.facts`` and ``snapshot.coroutines`` from the selected inferior.

    The snapshot's threads must have been captured with the registers of their frame 0. Selects threads: to be called
    where the selection is kept. What can't be read becomes a notice, the rest is read. ``captured`` is the capture
    that made the snapshot; it is not needed.
    """
    process = Process(limits)
    reading = _Reading(process, snapshot)
    for topic in (
        reading.end,
        reading.locks_and_waits,
        reading.machine,
        reading.block_layer,
        reading.coroutines,
        reading.callers_of_coroutines,
        reading.event_loops,
        reading.monitor,
        reading.names,
        reading.finish,
    ):
        with process.guard(topic.__name__.replace("_", " ")):
            topic() if topic != reading.coroutines else reading.coroutines(progress)
    for text in process.notes:
        snapshot.notices.append(Notice("notice.unreadable", text))


class _Reading:
    """One reading of one process, topic by topic."""

    def __init__(self, process: Process, snapshot: Snapshot) -> None:
        self.process, self.snapshot, self.facts = process, snapshot, snapshot.facts
        self.qom = Qom(process)
        self.arguments = FrameArguments(process)
        self.graph = block.Graph()
        self.queued: Dict[int, queues.Queued] = {}
        self.devices: Dict[int, Set[str]] = {}
        self.bql = 0
        self.names_of_locks: Dict[int, str] = {}

    def end(self) -> None:
        """What ended the process, where something did."""
        snapshot = self.snapshot
        if snapshot.signal is None:
            return
        with self.process.guard("the faulting access"):
            self.facts.fault = fault.read(self.process, self.qom, snapshot.threads, snapshot.signal)
        if snapshot.signal.name == "SIGABRT":
            self.facts.last_words = last_words.read(self.process)
            with self.process.guard("the fatal error"):
                error = last_words.error_object(self.process, self.arguments, snapshot.threads)
                if error is not None:
                    snapshot.messages.append(error)

    def locks_and_waits(self) -> None:
        process, facts = self.process, self.facts
        self.bql = locks.bql_address(process)
        self.names_of_locks = locks.names(process, self.bql)
        facts.main_context = iothreads.main_context(process)
        with process.guard("iothreads"):
            facts.iothreads = iothreads.read(process, self.qom)
        with process.guard("vCPUs"):
            facts.vcpus = vcpus.read(process, self.snapshot.accelerator)
        self._name_vcpu_locks()
        reader = waits.WaitReader(process, self.arguments, self.names_of_locks)
        facts.waits = reader.read(self.snapshot.threads)
        locks.read(process, facts, facts.waits, self.names_of_locks, self.bql)

    def _name_vcpu_locks(self) -> None:
        type_ = vcpus.state_type(self.process)
        if type_ is None:
            return
        members = layout(self.process, type_, "halt_cond")
        work_mutex = offset_of(type_, "work_mutex")
        for vcpu in self.facts.vcpus:
            with self.process.guard(f"locks of vCPU {vcpu.index}"):
                halt_cond = members.read(self.process, vcpu.address)["halt_cond"]
                self.names_of_locks[halt_cond or 0] = f"halt_cond of vCPU {vcpu.index}"
                if work_mutex is not None:
                    self.names_of_locks[vcpu.address + work_mutex] = f"work_mutex of vCPU {vcpu.index}"

    def machine(self) -> None:
        process, facts = self.process, self.facts
        facts.runstate = runstate.read(process)
        if facts.runstate == "shutdown":
            facts.extra["resets_shut_down"] = runstate.resets_shut_down(process)
        with process.guard("migration"):
            facts.migration = migration.read(process, self.qom)
        with process.guard("character devices"):
            facts.chardevs = chardev.read(process, self.qom)
        with process.guard("RCU readers"):
            facts.rcu_readers = rcu.read(process, self.snapshot.threads)

    def block_layer(self) -> None:
        self.graph = block.read(self.process, self.qom)
        self.facts.nodes, self.facts.requests = self.graph.nodes, self.graph.requests
        if self.graph.backends:
            self.facts.extra["block_backends"] = block.plain_backends(self.graph)
        self.facts.jobs = jobs.read(self.process)
        self.queued = queues.read(self.process, self.graph)
        for context, labels in self.graph.devices.items():
            self.devices.setdefault(context, set()).update(labels)

    def coroutines(self, progress: Optional[Callable[[str], None]] = None) -> None:
        facts = self.facts
        known: List[Tuple[int, str]] = [(r.coroutine, "request") for r in facts.requests]
        known += [(j.coroutine, "job") for j in facts.jobs]
        known += [(address, "queue") for address in self.queued]
        dispatcher = self.process.variable("qmp_dispatcher_co")  # monitor/monitor.c, since 5.2
        if dispatcher is not None:
            known.append((int(dispatcher), "monitor"))
        stack_pointers = coroutines.stack_pointers(self.snapshot.threads)
        heap = None if self.process.limits.search_everything else [
            facts.main_context, *(t.context for t in facts.iothreads), *(address for address, _ in known)
        ]
        self.snapshot.coroutines = coroutines.read(self.process, self.qom, known, stack_pointers, heap, progress)

    def callers_of_coroutines(self) -> None:
        """Continue the stacks of threads that run a coroutine with those that entered it: they show the thread's role.

        ``facts.extra["continued"]``: by thread number, the level from which on the frames lie on other stacks.
        """
        continued: Dict[str, int] = {}
        pointers_ = coroutines.stack_pointers(self.snapshot.threads)
        for thread in self.snapshot.threads:
            place = find(thread, "coroutine_trampoline")
            if place is None or len(continued) >= 64:
                continue
            try:
                segments = coroutine_chain.read(self.process, self.qom, thread, pointers_)
            except NotReadable:
                continue  # it has never yielded, or its memory is missing: gdb's own backtrace is what there is
            kept = thread.frames[: place[0] + 1]
            for segment in segments[1:]:
                kept += segment.frames
            for level, frame in enumerate(kept):
                frame.level = level
            thread.frames, thread.stop_reason, thread.truncated_bottom = kept, "", False
            continued[str(thread.number)] = place[0] + 1
        if continued:
            self.facts.extra["continued"] = continued

    def event_loops(self) -> None:
        process, facts = self.process, self.facts
        contexts = self._contexts()
        iothreads_by_context = {iothread.context: iothread for iothread in facts.iothreads}
        for context in contexts:
            with process.guard("an AioContext"):
                heads = aio.heads(process, context)
                handlers = list(aio.handlers(process, self.qom, heads, self.devices))
                facts.handlers += handlers
                facts.bottom_halves += list(aio.bottom_halves(process, heads))
                if context in iothreads_by_context:
                    iothreads_by_context[context].handlers = len(handlers)
        polled.read(process, self.snapshot)
        live = self.snapshot.source.kind == "live"
        facts.timers = list(aio.timers(process, contexts, aio.clocks_now(process, live)))
        for timer in facts.timers[:64]:
            with process.guard("whose a timer is"):
                label = aio.owner_of_timer(process, self.qom, timer)
                if label:
                    facts.objects.setdefault(hex(timer.opaque), label)
        iothreads.served(process, self.qom, facts.iothreads, self.devices)

    def _contexts(self) -> List[int]:
        contexts = [c for c in [self.facts.main_context, *(t.context for t in self.facts.iothreads)] if c]
        handlers = self.process.variable("iohandler_ctx")  # util/main-loop.c: the main loop's other descriptors
        if handlers is not None:
            with self.process.guard("iohandler_ctx"):
                if int(handlers):
                    contexts.append(int(handlers))
                    self.facts.extra["iohandler_context"] = hex(int(handlers))
        return list(dict.fromkeys(contexts))

    def monitor(self) -> None:
        self.facts.monitor_commands = monitor.read(
            self.process, self.arguments, self.snapshot.threads, self.snapshot.coroutines
        )
        unread = monitor.unread(self.process)
        if unread:
            self.facts.extra["unread_monitors"] = unread

    def names(self) -> None:
        stacks = [t.frames for t in self.snapshot.threads] + [c.frames for c in self.snapshot.coroutines]
        found = pointers.gather(stacks)
        self.facts.chardevs += chardev.unfinished(self.process, self.qom, found)
        regions = pointers.name(self.process, self.qom, self.graph, self.facts, found)
        wanted = dict.fromkeys([*regions, *pointers.addresses_of_regions(stacks)])
        self.facts.regions = memory_regions.read(self.process, self.qom, wanted)
        for region in self.facts.regions:
            owner = self.qom.label(self._owner_address(region.owner_path)) if region.owner_path else ""
            label = f"region {region.name}" if region.name else "a memory region"
            self.facts.objects[hex(region.address)] = f"{label} of {owner or region.owner_type}" \
                if owner or region.owner_type else label

    def _owner_address(self, path: str) -> int:
        return self.qom.resolve(*[p for p in path.split("/") if p])

    def finish(self) -> None:
        """Join facts of different topics."""
        self._owners()
        by_coroutine = {r.coroutine: r for r in self.facts.requests if r.coroutine}
        by_node = {n.name: n for n in self.facts.nodes}
        for coroutine in self.snapshot.coroutines:
            request = by_coroutine.get(coroutine.address)
            node = by_node.get(request.node) if request is not None else None
            if coroutine.waits_kind != "peer" or node is None or not node.peer:
                continue
            coroutine.waits_object = node.address
            if node.peer not in coroutine.waits_text:
                head = coroutine.waits_text.partition(" at ")[0]
                coroutine.waits_text = f"{head} at {node.peer}"

    def _owners(self) -> None:
        """What the block layer's own queues and mutexes tell of the coroutines that wait for them."""
        for coroutine in self.snapshot.coroutines:
            queued = self.queued.get(coroutine.address)
            if queued is not None:
                coroutine.waits_kind, coroutine.waits_text = queued.kind, queued.text
                coroutine.waits_object, coroutine.waits_owner = queued.object, queued.owner or None
            elif coroutine.waits_kind == "comutex":
                coroutine.waits_text = self.graph.mutex_label(coroutine.waits_object) or coroutine.waits_text
        for coroutine in self.snapshot.coroutines:
            if coroutine.waits_kind == "flush" and not coroutine.waits_owner:
                coroutine.waits_owner = queues.flusher(self.snapshot.coroutines, coroutine) or None
