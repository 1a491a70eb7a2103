"""What it means that a coroutine has yielded in a function: for what is told of one whose stack stands by itself."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from .match import Names


class Yield(NamedTuple):
    """What it means that a coroutine has yielded in a function."""

    functions: Names
    kind: str
    title: str  # behind the coroutine's words
    says: str
    step: str


YIELDS: Tuple[Yield, ...] = (
    # block/throttle-groups.c
    Yield(Names("throttle_group_co_io_limits_intercept"), "state.running", "waits for its turn under an I/O limit",
          "It is slowed on purpose by its throttle group, and goes on when the limit lets it: slow, not stuck.",
          "the group's limits: query-block (iops, bps), or qom-get of the throttle-group object"),
    # block/io_uring.c, linux-aio.c, util/thread-pool.c
    Yield(Names("luring_co_submit", "laio_co_submit", "thread_pool_submit_co", "raw_thread_pool_submit"),
          "hang.blocked-syscall", "waits for the host's storage",
          "Its request is with the host: the kernel (io_uring, Linux AIO) or a worker thread has it.",
          "look at that storage on the host (iostat -x 1, dmesg), and at the pool workers' stacks"),
    # block/graph-lock.c, 8.0 and later
    Yield(Names("bdrv_graph_co_rdlock"), "hang.deadlock", "waits until nobody changes the block graph",
          "A writer holds the graph's lock, or waits for it while other readers are inside.",
          "thread apply all bt: who is in bdrv_graph_wrlock?"),
    # block/io.c
    Yield(Names("bdrv_wait_serialising_requests*", "bdrv_make_request_serialising", "tracked_request_begin"),
          "hang.drain-waits-for-io", "waits for another request on the same sectors",
          "Requests that overlap go one after the other; the one before it has not ended.",
          "p *bs->tracked_requests.lh_first and its list: which request overlaps, and in which coroutine?"),
)


def yield_in(function: str) -> Optional[Yield]:
    """The row of the function in which a coroutine yielded."""
    return next((row for row in YIELDS if function in row.functions), None)
