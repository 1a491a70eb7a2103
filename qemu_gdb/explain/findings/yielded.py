"""What a coroutine waits for whose stack a text shows by itself: a server, its limits, the host's storage, others."""

from __future__ import annotations

from typing import Optional

from ...knowledge.yields import yield_in
from ...model import Finding
from ..complaint import complaint
from ..context import Context, Subject
from ..coroutines import yielded_at
from .common import at, evidence, finding, who
from .links import Search, lead, peer_of

_AGAIN = "the same coroutine again, some seconds later (qemu coroutine ADDRESS, or qemu-coroutines): has it moved on?"


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
    position = yielded_at(stack)
    if position is None:
        return None
    wait = yield_in(stack.names[position])
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
