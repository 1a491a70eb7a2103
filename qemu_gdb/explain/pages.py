"""Threads that wait for a page of guest RAM which another thread of QEMU's has to let them have (userfaultfd)."""

from __future__ import annotations

from typing import List, NamedTuple

from ..knowledge.holders import INTO_GUEST_RAM, SAVES_IN_BACKGROUND
from ..knowledge.rules import COPIES
from . import kernel
from .context import Context, Subject
from .stack import Stack, once_a_stack


class Wanted(NamedTuple):
    """A page that a thread waits for."""

    subject: Subject
    server: Subject
    says: str
    basis: str


def wanted(context: Context) -> List[Wanted]:
    """Accesses to pages that a paused postcopy, or the thread of a background snapshot, has to bring."""
    subjects = context.live_subjects
    paused = [s for s in subjects if s.waiting is not None and s.waiting.row == "postcopy-pause"]
    paused.sort(key=lambda s: s.told.role != "postcopy-listen")
    saves = [s for s in subjects if s.stack.find(SAVES_IN_BACKGROUND) is not None]
    server = next(iter(paused or saves), None)
    if server is None:
        return []
    basis = "the migration is paused" if paused else "it lets writes go on when it has saved the page"
    found = []
    for subject in subjects:
        if subject is server:
            continue
        inside = kernel.beside(subject)
        if inside is not None and inside.part.key == "userfault":
            found.append(Wanted(subject, server, "for a page of guest RAM (userfaultfd)", basis))
        elif not paused and subject.waiting is None and _writes_guest_ram(subject.stack):
            found.append(Wanted(subject, server, "likely for a page of guest RAM that is write-protected", basis))
    return found


@once_a_stack
def _writes_guest_ram(stack: Stack) -> bool:
    """Whether a copy is innermost, directly under a function that writes guest RAM."""
    if len(stack) < 2 or not COPIES.match(stack.names[0]):
        return False
    near = stack.names[1:4]
    return any(name in INTO_GUEST_RAM for name in near) and not any("_read" in name for name in near)
