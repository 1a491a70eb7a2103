"""A core that was read with another program than its own: names, lines and state are then of other addresses."""

from __future__ import annotations

from typing import List

from ...model import Finding
from ..context import Context


def led_by(context: Context, findings: List[Finding]) -> List[Finding]:
    """``findings``, led by the mismatch where there is one, and none of them sure."""
    note = next((n for n in context.snapshot.notices if n.kind == "notice.wrong-program"), None)
    if note is None:
        return findings
    for found in findings:
        found.confidence = "possible"
    lead = Finding("notice.wrong-program", "The program given is not the core's: nothing below is to be relied on",
                   "certain", f"{note.text}.", rule="wrong-program",
                   next_steps=["qemu-gdb core FILE PROGRAM with the program of that build id (the package of that very "
                               "version, or its debug symbols by debuginfod)"])  # fmt: skip
    return [lead, *findings]
