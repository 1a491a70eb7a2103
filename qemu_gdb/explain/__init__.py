"""Pure reasoning over a Snapshot: roles, states, stories, waits, findings, known fixes."""

from __future__ import annotations

from ..model import Explanation, Snapshot
from .context import Context


def explain(snapshot: Snapshot) -> Explanation:
    """Explain one Snapshot; works the same for a live process, a core and a text."""
    from . import classify, coroutines, findings, overview, stories, waits

    context = Context(snapshot)
    classify.classify(context)  # roles, states, subsystems, culprits
    waits.resolve(context)  # holds, waits_for
    stories.tell(context)  # stages, summaries
    coroutines.explain(context)
    overview.fill(context)  # program, accelerator, vCPUs, run state, is_qemu
    findings.find(context)
    return context.explanation
