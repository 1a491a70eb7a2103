"""A signal that none of the threads shown raised: it was sent from outside, or made by a thread that is not shown."""

from __future__ import annotations

from typing import Optional

from ...model import Evidence, Signal
from ...pattern import Pattern
from ..blocked import blocked
from ..context import Context, Subject
from ..states import can_have_taken
from . import common, host_log
from .cause import Cause, fatal_signal
from .common import cut, evidence, oneline
from .links import complete

# Faults of an instruction. Not SIGBUS: of a bad page the kernel tells a thread that waits, too (a vCPU in KVM_RUN).
_KINDS = ("crash.invalid-access", "crash.arithmetic", "crash.illegal-instruction")
_SENT = (0, -1)  # SI_USER, SI_QUEUE: si_code of a signal that a process sent
_LINES = 4000  # around the stacks that are looked at
_WATCHDOG = Pattern(r"Watchdog timeout \(limit (\w[\w ]{0,20})\)")  # src/core/service.c of systemd


def _sender(signal: Signal) -> str:
    return f" by process {signal.sender_pid}" if signal.sender_pid else ""


def _asks_who(signal: Signal) -> str:
    if signal.sender_pid:
        return "who has that pid? The supervisor's log tells why it sent it"
    return "who sent it? In the core: p $_siginfo._sifields._kill.si_pid; else the journal and the supervisor's log"


def made_elsewhere(context: Context, subject: Subject, signal: Signal, kind: str, name: str) -> Optional[Cause]:
    """What is to say where a fault's signal was sent, or where the thread that it would be of waits in a system call,
    which gives EFAULT instead.
    """
    if name == "SIGQUIT" and subject.told.role != "user-mode" and "received signal" not in signal.text:
        cause = Cause(subject, "crash.signal", f"SIGQUIT was sent from outside{_sender(signal)}", "sent", "certain")
        cause.sentences.append("QEMU raises no SIGQUIT and catches none: somebody ended the process by it (Ctrl-\\ in "
                               "its terminal, kill -QUIT) to get this core. What the threads do is the question.")
        cause.steps.append(_asks_who(signal))
        cause.proof.append(Evidence(text=oneline(signal.text) or name, thread=subject.number))
        return cause
    read = subject.stack.find(("sigfd_handler", "sigaction_invoke"), 1, 8)
    if kind == "crash.bus-error" and read is not None and signal.code not in _OF_MEMORY:
        return _bus_error_sent(subject, signal, read)
    waits = kind in _KINDS and not can_have_taken(subject, name)
    if kind in _KINDS and signal.code in _SENT and not waits:
        cause = Cause(subject, "crash.signal", f"{name} was sent from outside{_sender(signal)}", "elsewhere", "certain")
        cause.sentences.append(f"si_code {signal.code} tells that a process sent the signal (kill): what "
                               f"{common.the(subject)} executed at that moment made no fault.")
        cause.steps.append(_asks_who(signal))
        cause.proof.append(Evidence(text=oneline(signal.text) or f"si_code {signal.code}", thread=subject.number))
        return cause
    if not waits:
        return None
    where = next((name for name in subject.stack.names if name), "a system call")
    headline = f"{name}, but {common.the(subject)} waits in the kernel ({where})"
    cause = Cause(subject, "crash.signal", headline, "elsewhere", "likely", None)
    faultless = f"A thread that waits in {where} executes nothing that could fault"
    if signal.code in _SENT:
        cause.headline = f"{name} was sent from outside{_sender(signal)}"
        cause.sentences.append(f"{faultless}, and si_code {signal.code} tells that a process sent the signal (kill).")
        cause.steps.append(_asks_who(signal))
    elif (fault := host_log.fault_of_no_thread(context)) is not None:
        cause.kind, cause.headline, cause.confidence = fault.kind, fault.title, fault.confidence
        cause.sentences.append(f"{fault.explanation} No stack shown is of that thread: they are of others, of another "
                               "moment, or of a later start.")
        cause.steps += fault.next_steps
    else:
        whole = complete(context)
        cause.sentences.append(
            f"{faultless}: a bad pointer there makes the call fail with EFAULT. "
            + ("No thread is at such a place: somebody sent the signal (kill), or it is of another process or time "
               "than these stacks." if whole else
               "The thread that took the signal is not among those shown, or the signal was sent (kill), or it is of "
               "another process than these stacks.")
        )
        cause.steps.append(
            "in the core: p $_siginfo (si_code 0: sent by si_pid), and thread: which one took the signal"
        )
    cause.proof.append(Evidence(text=oneline(signal.text) or name, thread=subject.number))
    cause.proof.append(evidence(subject, 0, "waits in the kernel"))
    return cause


# BUS_ADRALN to BUS_MCEERR_AO of Linux
_OF_MEMORY = (1, 2, 3, 4, 5)


def _bus_error_sent(subject: Subject, signal: Signal, read: int) -> Cause:
    """util/main-loop.c sigfd_handler and system/cpus.c sigbus_reraise, 5.2 to 10.2: no instruction made the fault."""
    info = "*info" if subject.stack.names[read] == "sigaction_invoke" else "info"
    sender = _sender(signal) if signal.code in _SENT else ""  # that of a signal raised again is the process itself
    cause = Cause(subject, "crash.signal", f"SIGBUS was sent to the process{sender}", "elsewhere", "likely")
    cause.sentences.append(
        f"{common.capital(common.the(subject))} read the signal from its descriptor of signals "
        f"({common.at(subject.stack, read)}), and QEMU raises a SIGBUS again that is none of the guest's memory: no "
        "access of QEMU's failed there. A process sent it, or the kernel told of a bad page that nobody had touched.")
    cause.steps.append(f"frame {subject.stack.level(read)}, p {info}: ssi_code 0 or less is a process's (ssi_pid), 5 "
                       "the kernel's word of a bad page" if subject.stack.frames[read].file else
                       "the host's dmesg (\"hardware memory corruption\"), and the supervisor's log: who sent it?")
    cause.proof.append(evidence(subject, read, "reads the signal"))
    return cause


def sent_from_outside(context: Context, subject: Subject, ends: bool) -> Optional[Cause]:
    """An abort's signal that another process sent; ``ends``: the thread's frames can be those of an end by itself."""
    signal = subject.told.thread.signal or fatal_signal(context)
    if signal is None or signal.code not in (None, *_SENT):
        return None
    if signal.code is None and (ends or subject.waiting is None and not blocked(subject.stack).kind):
        return None
    cause = Cause(subject, "crash.signal", f"{signal.name} was sent from outside{_sender(signal)}", "sent", blame=None)
    cause.confidence = "certain" if signal.code is not None else "likely"
    if signal.code is None and "(core dumped)" in signal.text:
        cause.confidence = "possible"
        cause.sentences.append(f'The line "{cut(oneline(signal.text), 80)}" may also be of another program.')
    cause.proof.append(Evidence(text=oneline(signal.text) or f"si_code {signal.code}", thread=subject.number))
    limit = _watchdog(context)
    if limit:
        cause.row = "watchdog"
        cause.headline = f"systemd's watchdog ended it by {signal.name} after {limit}"
        cause.sentences.append(
            f"No thread of QEMU aborts: systemd sent {signal.name}, as the unit's watchdog (WatchdogSec=) heard "
            f"nothing for {limit}. QEMU never sends it what it waits for (sd_notify with WATCHDOG=1), however well it "
            "runs."
        )
        cause.steps.append("remove WatchdogSec= from the unit that starts QEMU")
        return cause
    cause.sentences.append(
        f"No thread of QEMU aborts: {signal.name} came from outside{_sender(signal)} (a supervisor, a watchdog or a "
        "person: kill -ABRT), to end the process or to get this core. What the threads do at that moment is the "
        "question."
    )
    cause.steps.append(_asks_who(signal))
    return cause


def _watchdog(context: Context) -> str:
    """The time after which systemd's service watchdog ended the process, "" where it did not."""
    for line in context.snapshot.unparsed[:_LINES]:
        found = _WATCHDOG.search(line) if "Watchdog" in line else None
        if found is not None:
            return found.group(1)
    return ""


def ended_at_rest(subject: Subject) -> Cause:
    """A core whose signal is not told, of a thread that waits as it should: it did nothing that ends a process."""
    at_rest = subject.waiting.at if subject.waiting is not None else 0
    cause = Cause(subject, "crash.signal", f"The process ended while {common.the(subject)} rested", "at-rest", "likely")
    cause.sentences.append(
        "No signal is in the input, and a thread that waits in the kernel makes no fault: the signal was sent from "
        "outside, or another thread raised it."
    )
    cause.proof.append(evidence(subject, at_rest, "rests"))
    cause.steps.append("coredumpctl info (Signal:), or the journal around that time: which signal, and who sent it?")
    return cause
