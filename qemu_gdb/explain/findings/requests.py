"""The sentence about the block requests that are in flight: what each does, and what its coroutine waits for."""

from __future__ import annotations

from typing import Dict, List, Sequence, Set, Tuple

from ...model import Coroutine, Request
from .. import coroutines
from ..context import Context

_TOLD = 3


def in_flight(context: Context, requests: Sequence[Request]) -> str:
    """The requests, each with what its coroutine waits for; those that wait for no other request first, those that
    are alike as one.
    """
    found = {c.address: c for c in context.snapshot.coroutines}
    requests = one_each(context, requests)
    ours = {r.coroutine for r in requests}
    alike: Dict[Tuple[object, ...], List[Request]] = {}
    for request in requests:
        coroutine = found.get(request.coroutine)
        waits = () if coroutine is None else (coroutine.waits_kind, coroutine.waits_text, coroutine.waits_owner or 0)
        alike.setdefault((request.node, request.type, request.bytes, request.origin, request.waiting_for, waits),
                         []).append(request)
    groups = list(alike.values())
    parts = [_group(context, group, found, ours) for group in groups[:_TOLD]]
    count, left = len(requests), sum(len(group) for group in groups[_TOLD:])
    more = f"; and {left} more" if left else ""
    return f"{count} request{'s are' if count != 1 else ' is'} in flight: " + "; ".join(parts) + more + "."


def _group(context: Context, group: Sequence[Request], found: Dict[int, Coroutine], ours: Set[int]) -> str:
    first = group[0]
    coroutine = found.get(first.coroutine)
    text = request_text(first)
    if len(group) > 1:
        origin = f", for {first.origin}" if first.origin else ""
        text = f"{first.node} ({first.driver}): {len(group)} {first.type}s of {first.bytes} bytes" \
               f", the first of them at {first.offset}{origin}"
    if coroutine is None:
        return text + (f"; it waits for the request of coroutine {first.waiting_for:#x}" if first.waiting_for else "")
    peer = server_of(context, first.node)
    server = f" ({peer})" if peer and peer not in coroutine.waits_text else ""
    whose = f"its coroutine {first.coroutine:#x}" if len(group) == 1 else \
        f"each of their coroutines ({first.coroutine:#x}, ...)"
    return f"{text}; {whose} {coroutines.waits(coroutine)}{server}{_end_of_chain(found, first.coroutine, ours)}"


def _end_of_chain(found: Dict[int, Coroutine], first: int, told: Set[int]) -> str:
    """What the last coroutine of a chain waits for, where no request in flight is its own; "" otherwise."""
    path = coroutines.last_links(found.values(), first)
    if not path or path[-1] in told or path[-1] not in found:
        return ""
    last = "that one" if len(path) == 1 else f"behind that, coroutine {path[-1]:#x}"
    return f"; {last} {coroutines.waits(found[path[-1]])}"


def one_each(context: Context, requests: Sequence[Request]) -> List[Request]:
    """One request for each coroutine: the one on the node that talks to a server, else the innermost (the last).

    Those that keep others waiting come first, and before those that wait for others.
    """
    peers = {n.name for n in context.facts.nodes if n.peer}
    chosen: Dict[int, Request] = {}
    for index, request in enumerate(requests):
        key = request.coroutine or -index - 1
        if key not in chosen or chosen[key].node not in peers:
            chosen[key] = request
    owners = {c.address: c.waits_owner for c in context.snapshot.coroutines}
    blamed = set(owners.values())
    return sorted(chosen.values(), key=lambda r: (bool(owners.get(r.coroutine)), r.coroutine not in blamed))


_LIMITS = {"throttle": "a limit on its I/O holds back", "timer": "a timer holds back (a configured latency)"}


def held_back(context: Context, requests: Sequence[Request]) -> str:
    """What holds requests back that end as time passes, behind "that"; "" where one waits for more."""
    found = {c.address: c for c in context.snapshot.coroutines}
    kinds = set()
    for request in one_each(context, requests):
        path = coroutines.last_links(found.values(), request.coroutine)
        last = found.get(path[-1] if path else request.coroutine)
        kinds.add(last.waits_kind if last is not None else "")
    return _LIMITS.get(kinds.pop(), "") if len(kinds) == 1 else ""


# What a coroutine waits for that does not come from the host's kernel or from QEMU's own code.
OUTSIDE = frozenset({"peer", "throttle", "blkdebug"})


# block/nbd.c up to 6.x: one coroutine a connection waits for the next reply, also where none is due
_RECEIVES_ALWAYS = ("nbd_connection_entry",)


def waiting_outside(context: Context) -> List[Coroutine]:
    """The suspended coroutines of which no block node lists a request, and that wait for somebody outside: a server's
    for its client, a request that is not let in yet.
    """
    listed = {r.coroutine for r in context.facts.requests}
    return [c for c in context.snapshot.coroutines if c.waits_kind in OUTSIDE and c.address not in listed
            and not any(frame.name in _RECEIVES_ALWAYS for frame in c.frames)]  # fmt: skip


def told_outside(found: Sequence[Coroutine]) -> Tuple[str, str]:
    """How many wait for what, for a title and as a sentence."""
    first = found[0]
    alike = sum(short_wait(c) == short_wait(first) for c in found)
    says = f"{alike} coroutine{' waits' if alike == 1 else 's wait'} for"
    more = f", and {len(found) - alike} more for others" if len(found) > alike else ""
    return f"{says} {short_wait(first)}", f"{says} {first.waits_text} ({first.address:#x}){more}."


def look_outside(coroutine: Coroutine) -> List[str]:
    """What to do about what a coroutine waits for outside."""
    if coroutine.waits_kind == "throttle":
        return ["that is a limit which was set (block_set_io_throttle, a throttle group): raise it if it is too low"]
    where = coroutine.waits_text.partition(" at ")[2]
    there = f"a second sample: is it still there? Then look at the other end of {where}: does that process run?"
    return ([there] if where else []) + [f"qemu-coroutines {coroutine.address:#x}"]


def short_wait(coroutine: Coroutine) -> str:
    """What a coroutine waits for, without the address: "a reply of the NBD server"."""
    return coroutine.waits_text.partition(" at ")[0]


def server_of(context: Context, node: str) -> str:
    """The address of the server that a node talks to, "" where it talks to none."""
    return next((n.peer for n in context.facts.nodes if n.name == node), "")


def request_text(request: Request) -> str:
    """One request: where, what, and whose."""
    origin = f", for {request.origin}" if request.origin else ""
    return f"{request.node} ({request.driver}): {request.type} of {request.bytes} bytes at {request.offset}{origin}"
