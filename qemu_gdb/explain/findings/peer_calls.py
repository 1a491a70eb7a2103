"""Hangs in a system call behind somebody else: the other end of a connection, a process, a thread that answers."""

from __future__ import annotations

from typing import List, Optional, Tuple

from ...knowledge import peers
from ...knowledge.ioctls import ioctl_request
from ...model import Evidence, Finding
from ..context import Context, Subject
from ..owners import code_of
from ..stack import Stack
from . import common, host_waits
from .common import at, evidence, finding, joined, short, who
from .links import blocked_call, command_of, holding, lead, main_stuck, peer_detail, peer_of, progress_of, victims_text
from .steps import for_peer


class BlockedCall:
    """A thread in a system call, and what is known of what the call waits for."""

    def __init__(
        self, context: Context, last: Subject, victims: List[Subject], call: str, position: int, queued: bool
    ) -> None:
        self.context, self.last, self.victims = context, last, victims
        self.call, self.position, self.queued = call, position, queued  # queued: others wait for a mutex that it holds
        self.stack, self.role = last.stack, last.told.role
        self.held = any(h.lock == "BQL" for h in last.held)
        self.kept = host_waits.kept_by(last, "guest" if context.explanation.program == "qemu-ga" else "host")
        self.known = next((row for row in peers.LONG_CALLS if self.stack.names[position] in row.callers), None)
        self.progress = progress_of(self.stack)
        self.on_storage = call in peers.STORAGE_CALLS
        self.peer, self.peer_at = peer_of(self.stack, 0, min(position + 26, len(self.stack)))
        self.child: Optional[Subject] = None  # of a process that forked to serve
        if call == "read" and self.stack.names[position] == "main" and context.explanation.program == "qemu-nbd":
            self.peer, self.peer_at = peers.NBD_FORK, position
            rest = [s for s in context.with_role("tool-main") if s is not last]
            self.child = rest[0] if len(rest) == 1 and rest[0].told.state != "idle" else None

    @property
    def may_flow(self) -> bool:
        """Whether it may write a migration's stream as fast as the link takes it."""
        writes = self.peer is not None and self.peer.name == "migration-write"
        return writes and not self.held and self.role in ("migration", "multifd-send")

    def opening(self) -> List[str]:
        """The sentences that tell the call."""
        story, peer = lead(self.context, self.last), self.peer
        waits = f" it waits for {peer.says}." if peer is not None else ""
        if peer is not None:
            waits = f", for {at(self.stack, self.peer_at)}:{waits}" if self.peer_at > self.position else f":{waits}"
        subject = "It" if story else who(self.last)
        called = f"called by {at(self.stack, self.position)}"
        return [story, f"{subject} is in {self.call}(){descriptor_of(self.stack)[1]}, {called}{waits or '.'}"]

    def proof(self) -> List[Evidence]:
        caller = self.stack.names[self.position] or "an unnamed function"
        return [evidence(self.last, 0, f"in {self.call}()"), evidence(self.last, self.position, f"called by {caller}")]

    def first_steps(self) -> List[str]:
        descriptor = descriptor_of(self.stack)[0]
        steps = for_peer(self.context, self.peer, self.last) if self.peer is not None else []
        named = " (" in descriptor_of(self.stack)[1]  # the ioctl tells what it is of
        if descriptor is not None and not named and self.context.snapshot.source.kind == "text":
            steps.append(f"ls -l /proc/PID/fd/{descriptor} on the host: what that descriptor is")
        return steps

    def who_goes_on(self) -> str:
        """Of a migration thread without the BQL, who is not held up; "" for others."""
        if self.role != "migration" or self.held:
            return ""
        stuck = any(v.told.role == "main-loop" for v in self.victims)
        # COLO stops the VM for a checkpoint (colo_do_checkpoint_transaction)
        stopped = any(v.told.role.startswith("vcpu") for v in self.victims) or (
            self.peer is not None and self.peer.name == "colo"
        )
        free = [] if stopped else ["the vCPUs" if stuck else "the guest"]
        free += [] if stuck else ["the main loop", "the monitor"]
        return f"It does not hold the BQL: {joined(free)} go on." if free else ""


def behind_peer(blocked: BlockedCall) -> Finding:
    """The call waits for somebody: who that is, and how to look at them. ``blocked.peer`` is known."""
    peer, last, victims = blocked.peer, blocked.last, blocked.victims
    assert peer is not None
    sentences, steps = [*blocked.opening(), peer_detail(blocked.stack, peer)], blocked.first_steps()
    sentences += [holding(last), victims_text(victims)]
    for subject in blocked.context.with_role(peer.role)[:1] if peer.role else []:
        does, next_step = _answering(subject)
        sentences.append(does)
        steps = [next_step, *(step for step in steps if step != peer.advice)]
    sentences.append(blocked.who_goes_on())
    if peer.name == "migration-write":
        sentences.append(_stream(blocked.context))
        if blocked.stack.find("qio_channel_command_writev") is not None:
            steps.append("ending the command that reads the stream (exec:) wakes this thread"
                         if main_stuck(blocked.context)
                         else "while the pipe is full migrate_cancel can't wake this thread; ending the command does")
    kind, title, confidence = "hang.waiting-for-peer", peer.title, "likely"
    rule, subjects = f"peer.{peer.name}", [last, *victims]
    if blocked.stack.find("qemu_init") is not None:
        title = f"QEMU is still starting: it waits for {peer.says}"
        sentences.append("No vCPU runs yet.")
    elif peer.name == "migration-stream" and blocked.role == "postcopy-listen" and not victims and _no_page_awaited(
        blocked.context
    ):
        kind, confidence = "state.running", "likely"
        title = "Postcopy is under way: the destination waits for the source's data, and no thread for a page"
        sentences.append("The source may send slowly, by its limit (max-postcopy-bandwidth) or its link. Until the "
                         "last page is here, this VM is lost with the source, and with the link.")
        steps = ["query-migrate on both sides, twice: does the remaining RAM fall?"]
    elif blocked.may_flow:
        # migration/qemu-file.c: the thread's socket blocks, and RAM is there faster than a link takes it
        sentences.append("A healthy migration waits there most of the time, too: it has more to send than the link "
                         "takes.")
        steps.insert(0, _does_it_flow(blocked))
        title, confidence = f"{peer.title}, or more slowly than it is sent", "possible"
        if blocked.stack.find("bg_migration_thread") is not None:
            title = title.replace("The migration stream", "The background snapshot", 1)
        held_up = _held_up_by_grace_period(victims)
        asked = command_of(held_up.stack) if held_up is not None else ""
        if held_up is not None and asked:  # its last link may be in order: the command is what hangs
            kind, rule, subjects = "hang.rcu-stall", "rcu-reader-in-call", [*victims, last]
            title = f"{asked} waits for an RCU grace period that {short(last)} holds up"
            sentences.insert(0, lead(blocked.context, held_up))
    elif peer.name == "socket-write" and command_of(blocked.stack):
        title = f"{command_of(blocked.stack)} waits for the other side of a connection, which does not read"
    elif blocked.child is not None:
        confidence = "possible"
        does = blocked.child.told.summary or "see its stack"
        sentences.append(f"That is the other process shown, as it seems: {does}.")
    return finding(kind, title, confidence, sentences, subjects=subjects, proof=blocked.proof(), steps=steps, rule=rule)


def _no_page_awaited(context: Context) -> bool:
    """Whether memory tells that the destination of a postcopy waits for no page (MigrationIncomingState)."""
    return any(m.direction == "incoming" and m.pages_awaited == 0 for m in context.facts.migration)


def _stream(context: Context) -> str:
    migration = next((m for m in context.facts.migration if m.direction == "outgoing"), None)
    if migration is None or not migration.uri:
        return ""
    runs = f"; that process runs {migration.command}" if migration.command else ""
    return f"The stream goes to {migration.uri}{runs}."


def _does_it_flow(blocked: BlockedCall) -> str:
    grows = "info migrate, twice: does the transferred ram grow?"
    if main_stuck(blocked.context):  # no monitor answers
        descriptor = descriptor_of(blocked.stack)[0]
        on = f" of descriptor {descriptor}" if descriptor is not None else ""
        grows = "does what it writes to grow (ls -l of that file, twice)?" if (
            blocked.stack.find("qio_channel_command_writev") is not None
        ) else f"ss -tnpi on the host, twice: does bytes_acked of the connection{on} grow?"
    return f"{grows} Then nothing is stuck"


def _held_up_by_grace_period(victims: List[Subject]) -> Optional[Subject]:
    return next((v for v in victims if v.waiting is not None and v.waiting.kind in ("rcu", "rcu-callbacks")
                 and v.told.role == "main-loop"), None)


def descriptor_of(stack: Stack) -> Tuple[Optional[int], str]:
    """The file descriptor of the innermost call, and " on descriptor 7"; None and "" where no argument shows it."""
    descriptor = stack.arg_number(0, "fd", "__fd", "sockfd", "s")
    if stack.names[0].endswith("ioctl"):
        values = (stack.arg_number(n, "request", "type") for n in range(min(4, len(stack))))
        callers = [name for name in stack.names[1:4] if name]
        request = next((ioctl_request(value, callers) for value in values if value is not None), "")
        return descriptor, f" ({request})" if request else f" on descriptor {descriptor}" if descriptor else ""
    path = next((p for p in (stack.arg_string(n, *_PATHS) for n in range(min(2, len(stack)))) if p), "")
    on_path = f' for "{common.cut(path, 60)}"' if path and not stack.names[0].startswith(_MOVE_DATA) else ""
    return descriptor, (f" on descriptor {descriptor}" if descriptor is not None else "") + on_path


_PATHS = ("file", "path", "pathname", "filename", "name", "__path", "__file")
_MOVE_DATA = ("read", "write", "pread", "pwrite", "recv", "send", "ioctl")


def _answering(subject: Subject) -> Tuple[str, str]:
    """What the thread does that has to answer, and what to look at."""
    stack = subject.stack
    behind, shows = peer_of(stack, 0, min(len(stack), 12))
    if behind is not None and behind.name == "spice-client":
        return f"{who(subject)} has to answer, and waits itself in {at(stack, shows)} for {behind.says}.", behind.advice
    if subject.told.state == "idle":
        return (f"{who(subject)} rests: {subject.told.summary.split(' ← ')[0]}. Either it has just answered, or it has "
                "missed what it was sent.",
                f"a second sample: does {short(subject)} still rest? Then it has missed what it was sent")
    by = next((p for p, f in enumerate(stack.frames) if f.function and code_of(f).owner not in ("libc", "none")), None)
    within = f" for {at(stack, by)}" if by is not None else ""
    call = blocked_call(stack)
    if call is None:
        return (f"{who(subject)} has to answer: {subject.told.summary.split(' ← ')[0]}{within}.",
                f"a second sample: what keeps {short(subject)}?")
    descriptor, fd = descriptor_of(stack)
    tell = f": ls -l /proc/PID/fd/{descriptor} tells the other side" if descriptor is not None else ""
    return (f"{who(subject)} has to answer, and is itself in {call[0]}(){fd}{within}: that has to end first.",
            f"what {short(subject)} waits for in {call[0]}(){tell}")
