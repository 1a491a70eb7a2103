"""A process that a signal had stopped before anybody looked at it: nothing in it runs, whatever its stacks show."""

from __future__ import annotations

from typing import List

from ...model import Finding
from ..context import Context

_OF_A_RUNNING_ONE = ("state.idle", "state.running")


def led_by(context: Context, findings: List[Finding]) -> List[Finding]:
    """``findings``, led by the stop where there is one, and without those that say that the process is well."""
    source = context.snapshot.source
    if not source.was_stopped:
        return findings
    stop = Finding(
        "state.breakpoint",
        "The process is stopped by a signal (SIGSTOP, or one of its terminal's): nothing in it runs",
        "certain",
        "It was stopped before it was looked at, and still is. What follows is how it stood then; timers, clients and "
        "migrations that wait for it wait for that.",
        threads=[t.number for t in context.snapshot.threads[:1] if t.number is not None],
        next_steps=[f"kill -CONT {source.pid} lets it go on; who stopped it: Ctrl-Z, a script, a supervisor?",
                    "if it stops again at once: it wants its terminal from the background (SIGTTIN, SIGTTOU): fg"],
        rule="stopped-by-signal",
    )  # fmt: skip
    return [stop, *(f for f in findings if f.kind not in _OF_A_RUNNING_ONE)]
