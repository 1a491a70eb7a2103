"""Bus errors: memory that the host had mapped and could not provide."""

from __future__ import annotations

from typing import Optional

from ...knowledge import signals
from ...model import Evidence, Signal
from ...pattern import Pattern
from .. import printed
from ..context import Context
from .cause import Cause
from .common import oneline

# mm/memory-failure.c of Linux: what it tells of a process that holds a page with a hardware error
_POISONED = Pattern(
    r"(?P<line>(?:MCE|Memory failure): .{0,40}Killing (?P<comm>.{1,32}):\d+ due to hardware memory corruption.{0,80})"
)
_BUS_CODES = {
    1: "an address that is not aligned",
    2: "no memory behind the mapping: the backing file is shorter than the mapping (truncated), or the file system or "
    "the huge-page pool is full",
    4: "memory with a hardware error (a poisoned page)",
    5: "memory with a hardware error (a poisoned page)",
}  # BUS_ADRALN, BUS_ADRERR, BUS_MCEERR_AR, BUS_MCEERR_AO of Linux


def explain(context: Context, cause: Cause, function: str, address: Optional[int], signal: Signal) -> None:
    """Why memory that is mapped could not be had: by the signal's code, or by what the kernel wrote."""
    where = f" at 0x{address:x}" if address else ""
    lines = (x for x in context.snapshot.unparsed[:2000] if "memory corruption" in x)
    poisoned = next((found for x in lines if (found := _POISONED.search(x)) is not None), None)
    told = printed.signal_code(context.snapshot)
    code = signal.code if signal.code is not None else told
    if code is None and poisoned is not None:
        code = 4
    if code in _BUS_CODES:
        cause.sentences.append(f"The access{where} in {function or 'this code'} found {_BUS_CODES[code]}.")
        if told == code:
            cause.proof.append(Evidence(text=f"si_code = {code}", thread=cause.subject.number))
        if poisoned is not None:
            cause.proof.append(Evidence(text=oneline(poisoned.group("line"))))
        if code in (4, 5):
            cause.headline = cause.headline.replace("Bus error", "Hardware memory error", 1)
            cause.sentences.append("That is the host's memory, and no fault of QEMU's.")
            cause.steps.append("the host's kernel log and edac-util or rasdaemon: which memory module is bad?")
        elif code == 2:
            cause.steps.append("info proc mappings: which file is mapped there? Then ls -l and df of it: truncated, or "
                               "no space?")
        return
    if signals.named(signal).startswith("EXCEPTION_"):
        cause.sentences.append(f"{function or 'This code'} accessed a mapped file{where} that Windows could not read: "
                               "the disk or the network that it is on failed.")
        return
    cause.sentences.append(
        f"{function or 'This code'} accessed mapped memory{where} that the kernel could not provide: a memory "
        f"backend's file that was "
        "truncated, no huge page or tmpfs space left, or a page with a hardware memory error."
    )
    cause.steps.append(
        "p $_siginfo.si_code: 2 is a truncated or full backing file, 4 or 5 a hardware memory error (see the host's "
        "kernel log); info proc mappings: which mapping holds the address"
    )
