"""Threads that the host's kernel keeps outside of any call of QEMU's: a vCPU inside KVM_RUN, an access to memory."""

from __future__ import annotations

from typing import Optional

from ...model import Evidence
from .. import kernel
from ..context import Subject
from . import common
from .common import at, capital, finding, short, who
from .links import Search, holding, lead, victims_text, waiters_for

_MOST = 4  # threads told


def sentence(subject: Subject) -> str:
    """What the kernel makes the thread wait for, "" where the input does not show that."""
    found = kernel.beside(subject)
    if found is None:
        return ""
    return f"In the host's kernel {short(subject)} waits for {found.part.says} ({found.way})."


def step(subject: Subject) -> Optional[str]:
    """What to do on the host about it."""
    found = kernel.beside(subject)
    return found.part.step or None if found is not None else None


def label(subject: Subject) -> str:
    """What it waits for in a few words, "" where that is not shown."""
    found = kernel.beside(subject)
    return found.part.says if found is not None else ""


def kernel_waits(search: Search) -> None:
    """Tell of threads whose user stack alone would be an ordinary moment."""
    context = search.context
    kept = [s for s in context.live_subjects if s.told.state_rule == kernel.KEEPS and id(s) not in search.told]
    for subject in kept[:_MOST]:
        found = kernel.beside(subject)
        if found is None:
            continue
        victims = waiters_for(context, [subject])
        vcpu = subject.told.role == "vcpu-kvm"
        position = common.qemu_frame(subject.stack)
        place = f", below {at(subject.stack, position)}," if position is not None else ""
        place = ", inside KVM_RUN," if vcpu else place
        sentences = [
            "" if vcpu else lead(context, subject),
            f"{who(subject)} is in the host's kernel{place} and waits there for {found.part.says} ({found.way}).",
            "Its guest CPU stands still until that is over." if vcpu else "",
            holding(subject),
            victims_text(victims),
        ]
        search.add(
            finding(
                "hang.blocked-syscall",
                f"{capital(who(subject))} is kept in the host's kernel: it waits for {found.part.says}",
                "likely" if victims else "possible",
                sentences,
                subjects=[subject, *victims],
                proof=[Evidence(text=f"the kernel's stack of {short(subject)}: {found.text}")],
                steps=[f"is {short(subject)} still there in a second sample of /proc/PID/task/TID/stack?",
                       *([found.part.step] if found.part.step else [])],
                rule=f"kernel-wait.{found.part.key}",
            ),
            [subject, *victims],
        )
