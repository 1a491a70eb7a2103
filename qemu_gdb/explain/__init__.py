"""Pure reasoning over a Snapshot: roles, states, stories, waits, findings, known fixes."""

from __future__ import annotations

from typing import List, Sequence

from ..model import Explanation, Snapshot
from .context import Context


def explain(snapshot: Snapshot) -> Explanation:
    """Explain one Snapshot; works the same for a live process, a core and a text."""
    return _explained(snapshot).explanation


def explain_all(snapshots: Sequence[Snapshot]) -> List[Explanation]:
    """Explain every Snapshot of one input. Those that show one process also tell what only their comparison shows:
    which thread spins.
    """
    contexts = [_explained(snapshot) for snapshot in snapshots]
    if len(contexts) > 1:
        from . import findings, samples

        for group in samples.by_process(contexts):
            for number, context in enumerate(group, 1):
                context.explanation.capture = number
            findings.compare(group)
    return [context.explanation for context in contexts]


def _explained(snapshot: Snapshot) -> Context:
    from . import classify, coroutines, findings, overview, stories, waits

    context = Context(snapshot)
    classify.classify(context)  # roles, states, subsystems, culprits
    waits.resolve(context)  # holds, waits_for
    stories.tell(context)  # stages, summaries
    coroutines.explain(context)
    overview.fill(context)  # program, accelerator, vCPUs, run state, is_qemu
    findings.find(context)
    return context
