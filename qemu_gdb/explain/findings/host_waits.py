"""Threads that the host's kernel keeps outside of any call of QEMU's: a vCPU inside KVM_RUN, an access to memory."""

from __future__ import annotations

from typing import NamedTuple

from ...model import WATCHED_S, Evidence
from .. import kernel
from ..context import Subject
from . import common
from .common import at, capital, finding, short, who
from .links import Search, holding, lead, victims_text, waiters_for

_MOST = 4  # threads told


class Kept(NamedTuple):
    """What the host's kernel makes a thread wait for; all "" where the input does not show that."""

    label: str = ""  # in a few words
    sentence: str = ""
    step: str = ""  # what to do on the host about it


def kept_by(subject: Subject, kernels: str = "host") -> Kept:
    """What the input shows of a thread's stack in the kernel, the host's or (of the guest agent) the guest's."""
    found = kernel.beside(subject)
    if found is None:
        return Kept()
    sentence = f"In the {kernels}'s kernel {short(subject)} waits for {found.part.says} ({found.way})."
    step = found.part.step
    if kernels != "host":
        step = step.replace("on the host", f"in the {kernels}").replace("the host's", f"the {kernels}'s")
    return Kept(found.part.says, sentence, step)


def _unstoppable(search: Search) -> None:
    """Tell of the threads that stay in an uninterruptible sleep."""
    context = search.context
    kept = [s for s in context.live_subjects if s.told.thread.unstoppable]
    for subject in kept[:_MOST]:
        found = kernel.beside(subject)
        call = subject.stack.names[0] if len(subject.stack) else ""
        path = subject.stack.frames[0].locals.get("path", "") if call else ""
        where = f"{call}()" if call else "a call of the kernel"
        where += f" on {path.rsplit('/', 1)[-1]}" if path else ""
        waits = f" for {found.part.says}" if found is not None else ""
        inner = subject.told.thread.kernel[0].name if subject.told.thread.kernel else ""
        steps = [found.part.step] if found is not None and found.part.step else []
        if not steps and not subject.told.thread.kernel:
            steps = ["the host's dmesg (\"blocked for more than 120 seconds\"), and as root: cat "
                     f"/proc/{context.snapshot.source.pid}/task/{subject.told.thread.lwp}/stack"]
        search.add(
            finding(
                "hang.blocked-syscall",
                f"{capital(who(subject))} has not returned from {where} for {WATCHED_S:.0f} s: it waits in the host's "
                f"kernel{waits}",
                "likely",  # a slow disk's fsync lasts as long
                [
                    f"The call is on {path}." if path else "",
                    f"It was watched for {WATCHED_S:.0f} s and did not run: an uninterruptible sleep (state D)"
                    f"{f': {found.way}' if found is not None else f', in {inner}' if inner else ''}.",
                    "No debugger can stop it there: gdb waits for it, with the other threads of the guest stopped. "
                    "So this was read without gdb.",
                ],
                subjects=[subject],
                proof=[Evidence(text="/proc/PID/task/LWP/status: state D, no context switch")],
                steps=[*steps, "when that call has returned: qemu-gdb attach again, for QEMU's own part in it"],
                rule="unstoppable",
            ),
            [subject],
        )


def kernel_waits(search: Search) -> None:
    """Tell of threads whose user stack alone would be an ordinary moment."""
    _unstoppable(search)
    context = search.context
    kept = [
        s for s in context.live_subjects
        if s.told.state_rule == kernel.KEEPS
        and id(s) not in search.told
        and not (s.waiting is not None and s.waiting.row == "userfault")  # a chain goes on from it
    ]
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
