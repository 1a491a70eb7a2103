"""Hangs of a migration in waits of its own: multifd channels, a postcopy that broke off."""

from __future__ import annotations

from typing import List

from ...knowledge.match import Names
from ...model import Evidence, Finding
from ..context import Context, Subject
from ..waiting import Waiting
from .calls import recover
from .common import at, finding, listed, short, who
from .links import ALL_THREADS, complete, holding, victims_text

# migration/multifd.c: the way from a new connection to the channel's thread, 4.0 to 10.2
_CONNECTS_MULTIFD = Names(
    "multifd_new_send_channel_async",
    "multifd_channel_connect",
    "multifd_tls_channel_connect",
    "multifd_tls_handshake_thread",
    "multifd_tls_outgoing_handshake",
)


def multifd(
    context: Context,
    last: Subject,
    victims: List[Subject],
    waiting: Waiting,
    sentences: List[str],
    proof: List[Evidence],
) -> Finding:
    stack = last.stack
    channels = context.with_role("multifd-send", "multifd-recv")
    whole = complete(context) and bool(context.with_role("main-loop"))
    sentences.append(f"It waits in {at(stack, waiting.at)} {waiting.says}.")
    steps = []
    connects = next((s for s in context.live_subjects if s.stack.find(_CONNECTS_MULTIFD) is not None), None)
    if not channels and connects is not None:
        sentences.append(
            f"The channels are not there yet: {short(connects)} connects one in "
            f"{at(connects.stack, connects.stack.find(_CONNECTS_MULTIFD) or 0)}"
            + (f", and waits there in {connects.told.culprit}." if connects.waiting and connects.told.culprit else ".")
        )
        title = "The migration thread waits for multifd channels that are not connected yet"
        confidence = "likely"
        whole = False
        steps.append("the other side of that connection: does it answer?")
    elif not channels and whole:
        sentences.append(
            "No multifd thread exists in this process any more, so nobody can post that semaphore: the channels "
            "ended (an error path) "
            "without waking the migration thread."
        )
        title = "The migration thread waits for multifd channels that no longer exist"
        confidence = "likely"
        steps.append("query-migrate and QEMU's log: which error ended the channels")
    else:
        busy = [c for c in channels if c.waiting is None or not c.waiting.resting]
        if busy:
            sentences.append(f"{who(busy[0])}: {busy[0].told.summary or 'is not done'}.")
        title = "The migration thread waits for a multifd channel"
        confidence = "possible"
        steps.append(ALL_THREADS)
    return finding(
        "hang.waiting-for-peer" if channels or not whole else "hang.deadlock",
        title,
        confidence,
        [*sentences, holding(last), victims_text(victims)],
        subjects=[last, *victims],
        proof=proof,
        steps=steps,
        rule="multifd-sync",
    )


def postcopy_paused(
    context: Context, last: Subject, victims: List[Subject], waiting: Waiting, sentences: List[str],
    proof: List[Evidence]
) -> Finding:
    """migration/migration.c, savevm.c, postcopy-ram.c: 3.0 and later; both sides wait for the recovery."""
    stack = last.stack
    also = [s for s in context.live_subjects
            if s is not last and s.waiting is not None and s.waiting.row == "postcopy-pause"]
    source = stack.names[waiting.at] in ("postcopy_pause", "postcopy_pause_return_path_thread")
    sentences.append(f"It waits in {at(stack, waiting.at)} {waiting.says}.")
    if also:
        sentences.append(f"So {'does' if len(also) == 1 else 'do'} {listed(also)}.")
    if not source:
        sentences.append("The guest's accesses to pages that are still at the source wait until then.")
    sentences += [holding(last), victims_text(victims)]
    there = '{"execute": "migrate-recover", "arguments": {"uri": "tcp:ADDRESS:PORT"}}'
    here = '{"execute": "migrate", "arguments": {"uri": "tcp:ADDRESS:PORT", "resume": true}}'
    return finding(
        "hang.waiting-for-peer",
        "Postcopy is paused: the connection broke",
        "likely",
        sentences,
        subjects=[last, *also, *victims],
        proof=proof,
        steps=[f"on the destination's QMP: {there}", f"then on the source's QMP: {here}"]
        if source
        else [recover(context, last)],
        rule="postcopy-paused",
    )  # fmt: skip
