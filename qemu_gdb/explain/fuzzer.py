"""What libFuzzer told of why it stopped: by a signal, by memory that it does not give, or by a time that is over."""

from __future__ import annotations

from typing import Optional

from ..model import Snapshot
from ..pattern import Pattern
from ..record import record

# compiler-rt/lib/fuzzer/FuzzerLoop.cpp of LLVM: CrashCallback, HandleMalloc, RssLimitCallback, AlarmCallback
_REPORT = Pattern(
    r"libFuzzer: (?P<what>deadly signal|out-of-memory|timeout)(?: \(malloc\((?P<size>\d{1,20})\)\))?"
    r"(?: after (?P<seconds>\d{1,9}) second)?"
)


@record
class Report:
    """One report."""

    what: str  # deadly signal, out-of-memory, timeout
    text: str
    size: Optional[int] = None  # of the allocation that was too much
    seconds: Optional[int] = None

    @property
    def ended(self) -> bool:
        """Whether the process did something that ends it, and not only took too long."""
        return self.what != "timeout"


def report_of(snapshot: Snapshot) -> Optional[Report]:
    """The first report of the text, None without one."""
    for message in snapshot.messages:
        found = _REPORT.search(message.text) if message.kind == "fuzzer" else None
        if found is not None:
            size, seconds = found.group("size"), found.group("seconds")
            return Report(found.group("what"), message.text, int(size) if size else None,
                          int(seconds) if seconds else None)  # fmt: skip
    return None
