"""Why the process hangs: cycles of waits, and chains of waits followed to their last link."""

from __future__ import annotations

from typing import Dict, List, Optional, Set, Tuple

from ...knowledge.peers import PEERS
from ...model import Finding
from ..context import Context, Subject
from ..waiting import Waiting
from ..waits import chain
from . import yielded
from .calls import executing_holder, joined_for_long, page_waits, system_call
from .common import who
from .deadlocks import lock_against_poll, nested_polls, tell_cycles
from .exclusive import exclusive_left, tell_exclusive
from .host_waits import kernel_waits
from .links import Search, blocked_call, channels_of, peer_of
from .polls import poll_wait, tool_requests
from .rests import bql_wait, lock_wait, other_wait, rcu_stall, vcpu_stop

# How grave, where several hold: a deadlock explains more than what it blocks.
_RANK = {
    "hang.deadlock": 0,
    "hang.exclusive-stall": 1,
    "hang.drain-waits-for-io": 2,
    "hang.blocked-syscall": 3,
    "hang.waiting-for-peer": 3,
    "hang.vcpu-stop": 4,
    "hang.rcu-stall": 5,
    "hang.bql-held": 6,
    "hang.spinning": 7,
}


_PASSING = frozenset(f"peer.{peer.name}" for peer in PEERS if peer.passes)


def find(context: Context) -> List[Finding]:
    """All hangs, the gravest first."""
    search = Search(context)
    tell_exclusive(search)
    nested_polls(search)
    tell_cycles(search)
    lock_against_poll(search)
    kernel_waits(search)
    page_waits(search)
    _chains(search)
    exclusive_left(search)
    _workers(search)
    tool_requests(search)
    yielded.tell(search)
    sampled = context.snapshot.source.dialect == "folded"  # by a tool that samples what runs: a call is at work there
    findings = [f for f in search.findings if not (sampled and f.kind == "hang.blocked-syscall")]
    for found in findings:
        _moderate(found, sampled)
    order = {"certain": 0, "likely": 1, "possible": 2}
    findings.sort(key=lambda f: (order[f.confidence] == 2, _RANK.get(f.kind, 9), order[f.confidence]))
    return findings[:6]


def _moderate(found: Finding, sampled: bool) -> None:
    """Say no more than "possible" where a healthy process shows the same stacks."""
    if found.rule in _PASSING:
        found.confidence = "possible"
        found.next_steps.insert(0, "take a second sample some seconds later: every such start waits there for a while")
    if sampled and found.kind != "hang.spinning":
        found.confidence = "possible"
        found.explanation += (" Folded stacks don't tell a thread that waits from one that ran when it was sampled: in "
                              "a profile of processor time this is work that goes on.")


_MOST_CHAINS = 64  # last links that are looked at


def _chains(search: Search) -> None:
    context = search.context
    groups: Dict[int, Tuple[Subject, List[Subject]]] = {}
    for subject in context.live_subjects:
        if id(subject) in search.told or _is_background(subject) or subject.told.thread.sampled:
            continue
        if subject.waiting is None:
            if blocked_call(subject.stack) is None:
                continue
        elif subject.waiting.resting:
            continue
        path = chain(subject)
        last = path[-1]
        if id(last) in search.told:
            continue
        end, victims = groups.setdefault(id(last), (last, []))
        if subject is not end:
            victims.append(subject)
    # those that others wait for first: they may tell of a thread by itself, too (who asks the server for the main loop)
    ordered = sorted(
        groups.values(),
        key=lambda group: (
            not group[1],
            not any(held.lock == "BQL" for held in group[0].held),
            group[0].told.role in ("helper", "unknown"),
        ),
    )
    connections: List[Tuple[Set[int], Finding]] = []
    for last, victims in ordered[:_MOST_CHAINS]:
        if id(last) in search.told:
            continue
        # a grace period that ends when this does: the RCU thread waits in the background
        victims = [
            v for v in victims if not (v.told.role == "rcu" and v.waiting is not None and v.waiting.kind == "rcu")
        ]
        result = _last_link(context, last, victims)
        if result is None:
            continue
        mine = channels_of(last.stack)
        same = next((found for used, found in connections if not used.isdisjoint(mine)), None)
        if same is not None and not victims:
            same.explanation += f" {who(last)} waits at the same connection: {last.told.summary}."
            same.threads = list(dict.fromkeys([*same.threads, *result.threads]))
            search.told.add(id(last))
            continue
        if mine:
            connections.append((mine, result))
        search.add(result, [last, *victims])


def _workers(search: Search) -> None:
    """Workers in a call whose peer is known to fail, where nothing else is wrong: their request is what hangs."""
    for subject in search.context.with_role("thread-pool-worker", "glib-worker"):  # GLib: of virtiofsd in C
        call = blocked_call(subject.stack) if not search.findings and subject.waiting is None else None
        if call is not None:
            result = system_call(search.context, subject, [], *call)
            if result is not None:
                search.add(result, [subject])


_BACKGROUND = (
    "thread-pool-worker",
    "rcu",
    "vnc-worker",
    "spice-worker",
    "glib-worker",
    "external-library",
    "display",
    "audio",
    "monitor-iothread",
    "multifd-send",
    "multifd-recv",
    "compress",
    "unknown",
    "test",
    "mem-prealloc",
    "postcopy-fault",
    "migration-return-path",
)


def _is_background(subject: Subject) -> bool:
    """A thread whose own wait alone says nothing about the process."""
    waiting = subject.waiting
    if subject.told.role not in _BACKGROUND:
        return subject.told.thread.history
    if waiting is not None and waiting.kind in ("bql", "aiocontext-lock", "rcu", "rcu-callbacks", "peer"):
        return False
    if waiting is not None and subject.told.role == "external-library" and _asks_a_peer(subject, waiting):
        return False
    if waiting is not None and waiting.kind == "mutex" and subject.told.role not in ("external-library", "unknown"):
        return False
    return not (subject.told.role == "unknown" and waiting is not None and _meaningful(waiting))


def _asks_a_peer(subject: Subject, waiting: Waiting) -> bool:
    peer, _ = peer_of(subject.stack, waiting.at, min(waiting.at + 8, len(subject.stack)))
    return peer is not None and peer.name == "ceph-throttle"


def _meaningful(waiting: Waiting) -> bool:
    return waiting.kind in (
        "drain",
        "drain-end",
        "graph-wrlock",
        "nested-poll",
        "job",
        "vcpu-stop",
        "exclusive",
        "vcpu-work",
        "join",
        "multifd-sync",
        "peer",
        "condvar",
        "semaphore",
        "event",
        "poll",
        "futex",
        "mutex",
    )


def _last_link(context: Context, last: Subject, victims: List[Subject]) -> Optional[Finding]:
    waiting = last.waiting
    if waiting is None:
        long = joined_for_long(context, last, victims)
        if long is not None:
            return long
        call = blocked_call(last.stack)
        found = system_call(context, last, victims, *call) if call is not None else None
        # one sample may have met a holder in a call that returns at once
        if found is not None or (call is not None and not any(h.lock == "BQL" for h in last.held)):
            return found
        return executing_holder(context, last, victims) if victims else None
    if waiting.kind in ("drain", "drain-end", "nested-poll", "graph-wrlock", "job") and waiting.poll is not None:
        return poll_wait(context, last, victims, waiting)
    if waiting.kind == "vcpu-stop":
        return vcpu_stop(context, last, victims, waiting)
    if waiting.kind in ("rcu", "rcu-callbacks"):
        return rcu_stall(context, last, victims, waiting)
    if waiting.kind == "bql":
        return bql_wait(context, last, victims, waiting)
    if waiting.kind in ("mutex", "aiocontext-lock"):
        return lock_wait(context, last, victims, waiting)
    if waiting.kind == "rest" and victims:
        return None
    if waiting.kind == "postcopy-load":
        return None
    return other_wait(context, last, victims, waiting)
