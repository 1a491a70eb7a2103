"""Hangs of an exclusive section (start_exclusive): it waits until no vCPU is inside cpu_exec."""

from __future__ import annotations

from typing import List, Optional, Tuple

from ...role_words import role_words
from ..context import Context, Subject
from .common import at, evidence, finding, joined, listed, short, the, who
from .links import ALL_THREADS, Search, proof_step
from .rules import exclusive_caller, exclusive_inside

_MOST_ALIKE = 8  # threads in the same trouble that are told of one by one


def _asking(context: Context) -> List[Subject]:
    return [s for s in context.live_subjects if s.waiting is not None and s.waiting.kind == "exclusive"][:_MOST_ALIKE]


def tell_exclusive(search: Search) -> None:
    """Exclusive sections that can never start: asked for by a running vCPU itself, or by two that need each other."""
    context = search.context
    for subject in _asking(context):
        waiting = subject.waiting
        assert waiting is not None
        stack = subject.stack
        inside = exclusive_inside(stack)
        if inside is not None:
            _exclusive_self(search, subject, inside)
            continue
        blocked = [s for s in _inside_cpu_exec(context, subject) if s.waiting is not None and not s.waiting.resting]
        circle = [
            s for s in blocked
            if s.waiting is not None and (s.waiting.kind == "vcpu-work" or subject in s.waiting.owners)
        ]
        if circle:
            _exclusive_stuck(search, subject, circle)


def exclusive_left(search: Search) -> None:
    """Waits for an exclusive section that no other finding tells of: what the others wait for was told before."""
    context = search.context
    for subject in _asking(context):
        waiting = subject.waiting
        if id(subject) in search.told or waiting is None:
            continue
        others = _inside_cpu_exec(context, subject)
        blocked = [s for s in others if s.waiting is not None and not s.waiting.resting]
        if blocked:
            _exclusive_stuck(search, subject, blocked)
            continue
        names = listed(others)
        search.add(
            finding(
                "hang.exclusive-stall",
                f"{who(subject)} waits for the other vCPUs to leave cpu_exec",
                "possible",
                [
                    f"start_exclusive (frame {subject.stack.level(waiting.at)}) waits until no vCPU is inside cpu_exec"
                    + (f"; {names} {'is' if len(others) == 1 else 'are'} still there." if others else "."),
                    "This is short in a healthy QEMU: each vCPU is kicked and leaves at the end of its "
                    "translation block.",
                ],
                subjects=[subject, *others],
                proof=[evidence(subject, waiting.at, "start_exclusive waits")],
                steps=[
                    f"take a second sample: {'is' if len(others) == 1 else 'are'} {names} still in the same place?"
                    if others
                    else ALL_THREADS
                ],
                rule="exclusive-wait",
            ),
            [subject],
        )


def _inside_cpu_exec(context: Context, subject: Subject) -> List[Subject]:
    """The other vCPUs that count as running; one whose outer frames are cut may wait for queued work."""
    others = [s for s in subject.waiting.owners if s is not subject] if subject.waiting is not None else []
    return others + [
        s
        for s in context.live_subjects
        if s is not subject
        and s not in others
        and s.waiting is not None
        and s.waiting.kind == "vcpu-work"
        and s.told.role not in ("main-loop", "iothread", "migration")
    ]


def _exclusive_self(search: Search, subject: Subject, inside: Tuple[int, int]) -> None:
    stack = subject.stack
    inner, outer = inside
    caller = exclusive_caller(stack, inner)
    name = at(stack, caller) if caller is not None else "its caller"
    run = stack.find_outermost(("cpu_exec",)) or outer
    sentences = [
        f"{who(subject)} called start_exclusive from {name}. That waits until no vCPU is inside cpu_exec; this vCPU "
        f"itself is, "
        f"since {at(stack, run)}, and can't leave while it waits: it waits for itself, for ever.",
    ]
    why = _why(search.context, subject, caller)
    if why:
        sentences.append(why)
    rest = [s for s in search.context.live_subjects if s is not subject and s.waiting is not None and s.waiting.resting]
    roles = [role_words(s.told.role).brackets for s in rest if s.told.role in ("main-loop", "rcu")]
    if roles:
        sentences.append(f"The other threads shown ({joined(roles)}) rest normally.")
    search.add(
        finding(
            "hang.deadlock",
            f"A vCPU waits for itself in start_exclusive, called by {stack.names[caller] if caller else '?'}",
            "certain",
            sentences,
            subjects=[subject],
            proof=[
                evidence(subject, inner, "start_exclusive waits on exclusive_cond"),
                evidence(subject, run, "cpu_exec has not been left: cpu->running is true"),
            ],
            steps=[
                f"look for a fix of {stack.names[caller]} in newer QEMU: the caller must leave cpu_exec first"
                if caller
                else ""
            ],
            rule="exclusive-self",
        ),
        [subject],
    )


def _why(context: Context, subject: Subject, caller: Optional[int]) -> str:
    """How the guest's instruction led to the frame, by the helper above generated code."""
    stack = subject.stack
    guest = stack.find(("code_gen_buffer",)) or stack.find(("cpu_tb_exec",))
    if guest is None or caller is None:
        return ""
    helper = next((p for p in range(guest - 1, caller, -1) if stack.names[p]), None)
    if helper is None:
        return ""
    fill = stack.find(("tlb_fill", "tlb_fill_align", "probe_access_internal"), caller, helper)
    walk = " It needed a page-table walk there (TLB miss)," if fill is not None else ""
    access = ""
    if fill is not None:
        access = (
            f"{walk} and the walk sets a bit in a page-table entry."
            if stack.names[caller].startswith("ptw_")
            else (f"{walk[:-1]}.")
        )
    return f"The guest executed an instruction that QEMU emulates in {at(stack, helper)}.{access}"


def _exclusive_stuck(search: Search, subject: Subject, blocked: List[Subject]) -> None:
    stack, waiting = subject.stack, subject.waiting
    assert waiting is not None
    other = blocked[0]
    theirs = other.waiting
    assert theirs is not None
    back = subject in theirs.owners
    named = next((p for p in range(theirs.at, len(other.stack)) if other.stack.names[p]), theirs.at)
    place = other.stack.names[named] or "a function without a name"
    if theirs.kind == "vcpu-work" and theirs.says:
        target = (f"work queued for {the(theirs.owners[0])}, which runs only when that vCPU leaves cpu_exec"
                  if theirs.owners else "work queued for a vCPU, which runs only when that vCPU leaves cpu_exec")
        back = back or not theirs.owners
    else:
        target = theirs.says
    sentences = [
        f"{who(subject)} waits in start_exclusive (frame {stack.level(waiting.at)}) until no vCPU is inside cpu_exec.",
        f"{who(other)} is inside cpu_exec and waits itself in {at(other.stack, named)}: {target}.",
    ]
    if back and theirs.kind == "vcpu-work":
        sentences.append(
            "Each waits for the other: the exclusive section can't start while a vCPU counts as running, and the "
            "queued work "
            "is not done while the exclusive section is pending."
        )
    if len(blocked) > 1:
        sentences.append(f"The same holds for {listed(blocked[1:])}.")
    search.add(
        finding(
            "hang.deadlock" if back else "hang.exclusive-stall",
            f"Two vCPUs wait for each other: start_exclusive against {place}"
            if back
            else f"start_exclusive waits for {the(other)}, which waits too",
            "likely",
            sentences,
            subjects=[subject, *blocked],
            proof=[
                evidence(subject, waiting.at, "start_exclusive"),
                evidence(other, named, place),
            ],
            steps=[
                "p pending_cpus: 1, and 1 more for each vCPU that is still inside cpu_exec"
                if theirs.kind == "vcpu-work" and theirs.owners
                else f"frame {other.stack.level(theirs.at)} of {short(other)}: which cpu is the work for; print "
                "pending_cpus"
                if theirs.kind == "vcpu-work"
                else proof_step(other, theirs) or f"take a second sample: is {short(other)} still in {place}?"
            ],
            rule="exclusive-stuck",
        ),
        [subject, *blocked],
    )
