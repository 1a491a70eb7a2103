"""Says which of several processes and findings comes first, for every output form."""

from __future__ import annotations

from typing import List, Sequence

from ..model import Explanation, Finding

_RANK = {"crash": 0, "hang": 1, "rule": 2, "state": 3, "notice": 4}


def rank(finding: Finding) -> int:
    """0 for the most important group of kinds."""
    return _RANK.get(finding.kind.partition(".")[0], 5)


def chosen(explanations: Sequence[Explanation]) -> Explanation:
    """The process that an input with several is mostly about: QEMU with the most important finding, else the first."""
    def key(explanation: Explanation) -> int:
        return (0 if explanation.is_qemu else 20) + (rank(explanation.findings[0]) if explanation.findings else 10)

    return min(explanations, key=key)


def merged_findings(explanations: Sequence[Explanation]) -> List[Finding]:
    """The findings of all processes, each process's own order kept, more important groups earlier; one that several
    captures of a process share once.
    """
    if len(explanations) == 1:
        return list(explanations[0].findings)
    queues = [list(e.findings) for e in explanations if e.findings]
    position = [0] * len(queues)
    merged: List[Finding] = []
    for wanted in range(6):
        for i, queue in enumerate(queues):
            while position[i] < len(queue) and rank(queue[position[i]]) <= wanted:
                if not any(queue[position[i]] is known for known in merged):
                    merged.append(queue[position[i]])
                position[i] += 1
    return merged
