"""What the rules about hangs share: the search, the sentences about locks and victims, system calls, peers."""

from __future__ import annotations

import re
from dataclasses import field
from typing import List, Optional, Sequence, Set, Tuple

from ...knowledge import holders, peers
from ...knowledge.roles import STARTERS
from ...knowledge.waits import MOMENTARY_CALLERS
from ...model import Finding
from ...pattern import Pattern
from ...record import record
from .. import stories
from ..context import Context, Subject
from ..owners import code_of
from ..stack import Stack
from ..waiting import Waiting
from ..waits import chain
from . import common
from .common import at, capital, joined, listed, short, who
from .steps import BY_CHARDEV, chardev_of

_ALIAS = Pattern(r"^__(?:GI_+)?")  # __GI___read, __lseek64
ALL_THREADS = "thread apply all bt"


@record
class Search:
    """What has been told already."""

    context: Context
    findings: List[Finding] = field(default_factory=list)
    told: Set[int] = field(default_factory=set)  # id of subjects that a finding explains

    def add(self, result: Finding, subjects: Sequence[Subject]) -> None:
        """Keep a finding that explains these subjects, and those whose threads it names."""
        self.findings.append(result)
        self.told.update(id(s) for s in subjects)
        self.told.update(id(s) for s in self.context.live_subjects if s.number in result.threads)


def is_call(name: str) -> bool:
    """Whether a function is a system call that can take long, under any of libc's names for it."""
    return name in peers.SYSCALLS or (name.startswith("__") and _ALIAS.sub("", name) in peers.SYSCALLS)


def blocked_call(stack: Stack) -> Optional[Tuple[str, int]]:
    """The system call in which the thread sits, and the position of the QEMU or library frame above it."""
    name = stack.names[0] if stack.names else ""
    first = 0
    if not name and len(stack) > 1:
        name, first = stack.names[1], 1
    if not is_call(name):
        return None
    if name == "syscall" and "io_uring" in (stack.names[first + 1] if first + 1 < len(stack) else ""):
        return "io_uring_enter", first + 1
    position = first + 1
    while position < len(stack) and (
        is_call(stack.names[position])
        or code_of(stack.frames[position]).owner == "libc"
        and stack.names[position] not in STARTERS
        and stack.names[position] != "main"
    ):
        name = stack.names[position] if is_call(stack.names[position]) and name == "syscall" else name
        position += 1
    name = re.sub(r"^_*(?:GI_+)?(?:libc_)?", "", re.sub(r"_syscall$|system_call$", "", name))
    if position >= len(stack):
        return None
    above = stack.names[position]
    if above in MOMENTARY_CALLERS:
        return None
    if name in ("ioctl",) and above in (
        "kvm_vcpu_ioctl",
        "kvm_cpu_exec",
        "kvm_vm_ioctl",
        "kvm_ioctl",
        "kvm_run",
        "mshv_run_vcpu",
    ):
        return None
    if name == "syscall" and (above in holders.PRIMITIVES or "futex" in above):
        return None
    if not above and name == "ioctl":
        return None
    return name, position


def holding(subject: Subject) -> str:
    """ "It holds the BQL meanwhile: ..." as a sentence."""
    held = next((h for h in subject.held if h.lock == "BQL"), None)
    if held is None or subject.stack.find(("qemu_init", "__run_exit_handlers")) is not None:
        return ""
    if subject.told.role == "main-loop":
        return (
            f"{who(subject)} holds the BQL meanwhile: QMP, HMP, timers and every device on the main loop wait with it."
        )
    return "It holds the BQL meanwhile: the main loop, the monitor and other vCPUs' device accesses wait with it."


def victims_text(victims: Sequence[Subject]) -> str:
    if not victims:
        return ""
    rcu = [v for v in victims if v.waiting is not None and v.waiting.kind in ("rcu", "rcu-callbacks")]
    if len(rcu) == len(victims):
        first = rcu[0]
        at_wait = first.waiting.at if first.waiting is not None else 0
        return (
            f"{capital(listed(victims))} {'waits' if len(victims) == 1 else 'wait'} for an RCU grace period "
            f"({at(first.stack, at_wait)}) that this thread's read-side critical section holds up."
        )
    bql = [v for v in victims if v.waiting is not None and v.waiting.kind == "bql"]
    if len(bql) == len(victims):
        return (
            f"{capital(listed(victims))} {'waits' if len(victims) == 1 else 'wait'} for the BQL, and only "
            f"because of this."
        )
    told = [text for text in (_waits_for(v) for v in victims if v not in bql) if text][:3]
    if bql and told:
        told.append(f"{capital(listed(bql))} {'waits' if len(bql) == 1 else 'wait'} for the BQL behind that.")
    return " ".join(told) or f"{capital(listed(victims))} {'waits' if len(victims) == 1 else 'wait'} behind it."


def _waits_for(subject: Subject) -> str:
    """What one thread of a chain waits for, for whom, and why that one."""
    waiting = subject.waiting
    if waiting is None or not waiting.owners:
        return ""
    why = f": {waiting.basis}" if waiting.owner_known == "likely" and waiting.basis else ""
    place = f", in frame {subject.stack.level(waiting.at)}," if waiting.at < len(subject.stack) else ""
    owners = joined([short(o) for o in chain(subject)[1:2] or waiting.owners[:3]])
    return f"{who(subject)} waits{place} {waiting.says}, and so for {owners}{why}."


def command_of(stack: Stack) -> str:
    command = stories.monitor_command(stack)
    if command is None:
        return ""
    return f'The {"guest agent" if command.protocol == "guest agent" else "monitor"} command "{command.command}"'


def lead(context: Context, subject: Subject) -> str:
    text = common.story(context, subject)
    return f"{who(subject)}: {text.rstrip('.')}." if text else ""


def actor(context: Context, subject: Subject) -> str:
    return who(subject) if subject.number is not None or subject.told.role != "unknown" else "this thread"


def waiters_for(context: Context, ends: Sequence[Subject]) -> List[Subject]:
    """Threads that wait, directly or through others, for one of ``ends``."""
    found: List[Subject] = []
    for subject in context.live_subjects:
        if subject.waiting is None or subject.waiting.resting or subject in ends:
            continue
        if any(s in ends for s in chain(subject)[1:]):
            found.append(subject)
    return found


def proof_step(subject: Subject, waiting: Waiting) -> str:
    if waiting.kind == "bql":
        return "p qemu_global_mutex (bql from 9.0): __owner is the LWP of its holder"
    if waiting.address:
        return f"p *(pthread_mutex_t *) 0x{waiting.address:x}: __owner is the LWP of its holder"
    if waiting.kind in ("mutex", "aiocontext-lock"):
        inner = max(0, min(waiting.at, len(subject.stack) - 1) - 1)
        if not subject.stack.frames[inner].args and not subject.stack.frames[inner].file:
            return "qemu-locks, in gdb with this extension: it reads the mutex's owner from memory, without symbols too"
        level = subject.stack.level(inner)
        return f"in {short(subject)}, frame {level}: p *mutex; __owner is the LWP of its holder"
    return ""


def peer_of(stack: Stack, start: int, stop: int) -> Tuple[Optional[peers.Peer], int]:
    """The most telling outside party among the frames, and the position of the frame that shows it (None, 0)."""
    best: Optional[Tuple[int, int]] = None
    for position in range(start, stop):
        name = stack.names[position]
        if name == "qio_task_complete":
            break  # io/task.c: what is further out has ended, and called who waits now
        if not name or name in holders.PRIMITIVES or name in peers.SYSCALLS:
            continue
        for rank, row in enumerate(peers.PEERS):
            if row.name == "daemonize" and not (position and is_call(stack.names[position - 1])):
                continue  # os_daemonize has forked, and does something else
            if name in row.functions and (best is None or rank <= best[0]):
                best = (rank, position)
    if best is None:
        return None, 0
    return _by_device(stack, peers.PEERS[best[0]], best[1]), best[1]


def _by_device(stack: Stack, peer: peers.Peer, position: int) -> peers.Peer:
    """A vhost-user back-end as what it is for that device, a socket chardev's peer by who connects to whom."""
    if peer.name in ("chardev-wait", "vhost-user-start") and stack.find(peers.CONNECTS, 0, position + 1) is not None:
        return peers.CHARDEV_SERVER
    if peer.name != "vhost-user":
        return peer
    for names, says, advice in peers.VHOST_USER_DEVICES:
        if stack.find(names, position) is not None:
            name = capital(says) if says.startswith("the ") else says  # a program's name keeps its case
            return peer._replace(says=says, title=f"{name} does not answer", advice=advice)
    return peer


def peer_detail(stack: Stack, peer: peers.Peer) -> str:
    """What the peer was asked, where an argument tells it; "" where none does."""
    if peer.name == "tpm-emulator":
        command = stack.arg_number(stack.find(("tpm_emulator_ctrlcmd",)), "cmd")
        known = command is not None and 0 < command <= len(peers.TPM_COMMANDS)
        return f"The command is {peers.TPM_COMMANDS[command - 1]}." if command is not None and known else ""
    if peer.name == "gdb-connect":
        port = stack.arg_string(stack.find(("gdbserver_start",)), "port_or_path")
        return f"It listens at {port}." if port else ""
    return ""


def channels_of(stack: Stack) -> Set[int]:
    """The I/O channels (io/channel*.c) among the innermost frames' arguments."""
    found = set()
    for position in range(min(len(stack), 16)):
        name = stack.names[position]
        opaque = ("opaque",) if name.startswith(("qio_channel_", "channel_")) else ()
        value = stack.arg_number(position, "ioc", *opaque) if opaque or "ioc" in stack.frames[position].args else None
        if value and value > 0xFFFF:
            found.add(value)
    return found


def progress_of(stack: Stack, start: int = 0) -> Optional[peers.Progress]:
    """The long work by nature that the stack is in."""
    return next((row for row in peers.PROGRESS if stack.find(row.functions, start) is not None), None)


def complete(context: Context) -> bool:
    """Whether no thread is missing; in a text: gdb's numbers from 1 on without a gap, and more than a frame each."""
    if context.snapshot.source.kind != "text":
        return True
    subjects = context.live_subjects
    numbers = sorted(s.number for s in subjects if s.number is not None)
    return (
        len(numbers) > 1
        and len(numbers) == len(subjects)
        and numbers == list(range(1, len(numbers) + 1))
        and all(len(s.stack) > 1 and not s.told.thread.truncated_top for s in subjects)
    )


def main_stuck(context: Context) -> bool:
    """Whether the main loop serves no monitor: it waits for a lock or a peer, or is in a call, inside its handlers."""
    for loop in context.with_role("main-loop"):
        waiting = loop.waiting
        if (waiting is not None and not waiting.resting) or (
            waiting is None and (loop.told.state == "blocked-syscall" or blocked_call(loop.stack) is not None)
        ):
            return True
    return False


def peer_named(context: Context, peer: peers.Peer, subject: Subject) -> str:
    """The outside party with its name and address, where facts have them; "" without."""
    chardev = chardev_of(context, subject) if peer.name.startswith("chardev") or peer.name in BY_CHARDEV else None
    if chardev is None:
        return ""
    where = f" ({chardev.type}, {chardev.peer})" if chardev.peer else ""
    if peer.name in BY_CHARDEV:
        return f"{peer.says}, at chardev {chardev.id}{where}"
    if peer.name == "chardev-wait":
        return f"a client of chardev {chardev.id}{where}"
    return f"the peer of chardev {chardev.id}{where}"
