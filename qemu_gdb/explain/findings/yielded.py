"""What a coroutine waits for whose stack a text shows by itself: a server, its limits, the host's storage, others."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from ...knowledge.match import Names
from ...model import Finding
from ..complaint import complaint
from ..context import Context, Subject
from ..coroutines import yielded_in
from ..stack import Stack
from .common import at, evidence, finding, who
from .links import Search, lead, peer_of

_SWITCHES = Names("qemu_coroutine_switch", "qemu_coroutine_yield")
_AGAIN = "the same coroutine again, some seconds later (qemu coroutine ADDRESS, or qemu-coroutines): has it moved on?"


class _Wait(NamedTuple):
    """What it means that a coroutine has yielded in a function."""

    functions: Names
    kind: str
    title: str  # behind the coroutine's words
    says: str
    step: str


_WAITS: Tuple[_Wait, ...] = (
    # block/throttle-groups.c
    _Wait(Names("throttle_group_co_io_limits_intercept"), "state.running", "waits for its turn under an I/O limit",
          "It is slowed on purpose by its throttle group, and goes on when the limit lets it: slow, not stuck.",
          "the group's limits: query-block (iops, bps), or qom-get of the throttle-group object"),
    # block/io_uring.c, linux-aio.c, util/thread-pool.c
    _Wait(Names("luring_co_submit", "laio_co_submit", "thread_pool_submit_co", "raw_thread_pool_submit"),
          "hang.blocked-syscall", "waits for the host's storage",
          "Its request is with the host: the kernel (io_uring, Linux AIO) or a worker thread has it.",
          "look at that storage on the host (iostat -x 1, dmesg), and at the pool workers' stacks"),
    # block/graph-lock.c, 8.0 and later
    _Wait(Names("bdrv_graph_co_rdlock"), "hang.deadlock", "waits until nobody changes the block graph",
          "A writer holds the graph's lock, or waits for it while other readers are inside.",
          "thread apply all bt: who is in bdrv_graph_wrlock?"),
    # block/io.c
    _Wait(Names("bdrv_wait_serialising_requests*", "bdrv_make_request_serialising", "tracked_request_begin"),
          "hang.drain-waits-for-io", "waits for another request on the same sectors",
          "Requests that overlap go one after the other; the one before it has not ended.",
          "p *bs->tracked_requests.lh_first and its list: which request overlaps, and in which coroutine?"),
)


def tell(search: Search) -> None:
    """Tell of a lone coroutine's wait, where no thread's wait tells more."""
    if search.findings:
        return
    for subject in search.context.live_subjects:
        if subject.told.role != "coroutine":
            continue
        found = _of(search.context, subject)
        if found is not None:
            search.add(found, [subject])
            return


def _of(context: Context, subject: Subject) -> Optional[Finding]:
    stack = subject.stack
    position = _place(stack)
    if position is None:
        return None
    wait = next((row for row in _WAITS if stack.names[position] in row.functions), None)
    peer, peer_at = peer_of(stack, position, min(position + 8, len(stack)))
    if wait is None and peer is None:
        return None
    hangs = complaint(context.snapshot) == "hang"
    if wait is not None:
        kind, title, says, step = wait.kind, f"{who(subject)} {wait.title}", wait.says, wait.step
    else:
        assert peer is not None
        kind, title = "hang.waiting-for-peer", peer.title
        says, step = f"It waits for {peer.says}.", peer.advice
    return finding(
        kind,
        title,
        "likely" if hangs or kind == "state.running" else "possible",
        [lead(context, subject), f"It has yielded in {at(stack, position)}. {says}"],
        subjects=[subject],
        proof=[evidence(subject, position if wait is not None else peer_at, "has yielded here")],
        steps=[step, _AGAIN],
        rule="yielded",
    )


def _place(stack: Stack) -> Optional[int]:
    if not any(name in _SWITCHES for name in stack.names[:2]):
        return None
    name = yielded_in(stack)
    return stack.find(name) if name else None
