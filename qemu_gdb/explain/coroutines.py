"""Says of every suspended coroutine what it is for, where it yielded and what it waits for."""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Sequence

from ..knowledge.match import Names
from ..model import Coroutine, CoroutineExplanation, Request, Thread, ThreadExplanation, WaitsFor
from .context import Context, Subject
from .owners import code_of
from .stack import Stack

# util/qemu-coroutine*.c, util/coroutine-*.c: how a coroutine yields, whatever for.
_YIELDS = Names(
    "qemu_coroutine_switch", "qemu_coroutine_yield", "qemu_co_mutex_lock*", "qemu_co_queue_wait*", "qemu_co_sleep*",
    "qemu_co_rwlock_*", "qio_channel_yield", "yield_until_fd_readable", "aio_co_reschedule_self", "qemu_co_timeout",
    "coroutine_trampoline", "__start_context", "makecontext", "thread_start", "swapcontext", "siglongjmp",
)  # fmt: skip
_SWITCHES = ("qemu_coroutine_switch", "qemu_coroutine_yield")
_OWNED = {"comutex": "which coroutine {} holds"}  # what the owner has to do with what is waited for
_LIMIT = 4000  # coroutines that get frames' subsystems


def explain(context: Context) -> None:
    """Fill the explanation's coroutines: what each waits for, and the request or job that it serves."""
    requests: Dict[int, Request] = {r.coroutine: r for r in context.facts.requests if r.coroutine}
    jobs = {j.coroutine: j for j in context.facts.jobs if j.coroutine}
    told: List[CoroutineExplanation] = []
    for index, coroutine in enumerate(context.snapshot.coroutines):
        explanation = CoroutineExplanation(coroutine=coroutine)
        stack = _stack(coroutine)
        place = yielded_in(stack)
        parts = []
        request, job = requests.get(coroutine.address), jobs.get(coroutine.address)
        if request is not None:
            parts.append(f"{request.type} of {request.bytes} bytes at {request.offset} on {request.node}")
        elif job is not None:
            parts.append(f"{job.type} job {job.id}")
        else:
            purpose = _purpose(stack, context) or (coroutine.entry or "")
            if purpose:
                parts.append(purpose)
        wait = waits(coroutine, place)
        if wait:
            parts.append(wait)
        explanation.summary = "; ".join(parts)
        if coroutine.waits_kind == "idle":
            explanation.state = "idle"
        if coroutine.waits_text:
            explanation.waits_for = WaitsFor(coroutine.waits_kind or "unknown", _object(coroutine))
        if index < _LIMIT:
            explanation.frame_subsystems = [code_of(frame).subsystem for frame in coroutine.frames]
        told.append(explanation)
    context.explanation.coroutines = told


def waits(coroutine: Coroutine, place: Optional[str] = None) -> str:
    """ "has yielded in nbd_receive_reply and waits for the NBD server": what a coroutine waits for, as a clause."""
    place = yielded_in(_stack(coroutine)) if place is None else place
    where = f"has yielded in {place}" if place else "has yielded"
    if not coroutine.waits_text:
        return where
    owner = ""
    if coroutine.waits_owner:
        owner = f", {_OWNED.get(coroutine.waits_kind, 'of coroutine {}').format(hex(coroutine.waits_owner))}"
    return f"{where} and waits for {coroutine.waits_text}{owner}"


def last_links(coroutines: Iterable[Coroutine], first: int) -> List[int]:
    """The coroutines for which the one at ``first`` waits, in this order; the last one waits for no coroutine."""
    owners = {c.address: c.waits_owner for c in coroutines}
    path: List[int] = []
    current: Optional[int] = first
    while current is not None and current not in path:
        path.append(current)
        current = owners.get(current)
    return path[1:]


def yielded_in(stack: Stack) -> str:
    """The function in which a coroutine yielded, past the ways to yield; "" where no frame has a name."""
    return next((name for name in stack.names if name and name not in _YIELDS), "")


def yielded_at(stack: Stack) -> Optional[int]:
    """Position of the function in which a coroutine yielded; None for one that runs, as its innermost frames show."""
    if not any(name in _SWITCHES for name in stack.names[:2]):
        return None
    return stack.find(yielded_in(stack))


def _object(coroutine: Coroutine) -> str:
    return coroutine.waits_text + (f" ({coroutine.waits_object:#x})" if coroutine.waits_object else "")


def _stack(coroutine: Coroutine) -> Stack:
    return Stack(Thread(frames=coroutine.frames, coroutine=True))


def _purpose(stack: Stack, context: Context) -> str:
    """What the coroutine is at, by its story."""
    from . import stories

    if not stack.frames:
        return ""
    subject = Subject(stack, ThreadExplanation(thread=stack.thread, role="coroutine"))
    return _short(stories.trigger_chain(subject, context.facts).split(" → "))


def _short(stages: Sequence[str]) -> str:
    return " → ".join(stages[:2])
