"""Requests and jobs that stand still in every capture of a process: not answered, rather than slow."""

from __future__ import annotations

import json
from typing import Dict, List, Sequence, Tuple

from ...model import Coroutine, Evidence, Finding, Request
from ..context import Context
from .common import finding
from .requests import in_flight, one_each, short_wait
from .spinning import ENOUGH
from .steps import for_outside

_LEAST = 1.0  # seconds between the first and the last capture: servers answer in less
_Key = Tuple[str, str, int, int, int]


def find(contexts: Sequence[Context]) -> List[Finding]:
    """One finding, for the last capture, where requests have stood in all of them; none where it has a hang already."""
    last = contexts[-1]
    if any(f.kind.startswith(("hang.", "crash.")) and f.confidence != "possible" for f in last.explanation.findings):
        return []
    taken = [c.snapshot.source.taken_s for c in (contexts[0], last)]
    passed = taken[1] - taken[0] if taken[0] is not None and taken[1] is not None else 0.0
    if passed < _LEAST:
        return []
    held = [_at_a_peer(context) for context in contexts]
    lasting = [held[-1][key] for key in held[-1] if all(key in one for one in held)]
    if not lasting:
        return _retrying(contexts, passed)
    request, coroutine = lasting[0]
    several = len(lasting) > 1
    return [
        finding(
            "hang.waiting-for-peer",
            f"{len(lasting)} disk request{'s have' if several else ' has'} waited at least {passed:.1f} s for "
            f"{short_wait(coroutine)}",
            "likely" if len(contexts) >= ENOUGH else "possible",
            [
                f"In all {len(contexts)} captures the same "
                + in_flight(last, [r for r, _ in lasting]).removeprefix("1 "),
                f"No thread of QEMU waits for {'them' if several else 'it'}.",
            ],
            proof=[Evidence(text=f"coroutine {c.address:#x}: {c.waits_text}") for _, c in lasting[:3]],
            steps=for_outside(last, request, coroutine),
            rule="lasting-request",
        )
    ]


def _retrying(contexts: Sequence[Context], passed: float) -> List[Finding]:
    """A mirror that ignores its target's errors copies again what could not be written, without end: block/mirror.c,
    mirror_write_complete() marks it dirty again (5.2 to 10.2).
    """
    last = contexts[-1]
    for job in last.facts.jobs:
        before = [next((j for j in c.facts.jobs if j.id == job.id), None) for c in contexts]
        if (
            job.on_target_error != "ignore"
            or job.status != "running"
            or not job.progress
            or any(b is None or (b.status, b.progress) != (job.status, job.progress) for b in before)
        ):
            continue
        cancel = json.dumps({"execute": "block-job-cancel", "arguments": {"device": job.id, "force": True}})
        return [
            finding(
                "hang.spinning",
                f"The {job.type} job {job.id} gets nowhere: {job.progress} after {passed:.1f} s, as before",
                "possible",  # no failed write is seen: a target that takes very long looks the same
                [
                    f"In all {len(contexts)} captures it is running and has copied {job.progress}. Under its "
                    "on-target-error=ignore a write to the target that fails is marked dirty and copied again, without "
                    "end; a target that is very slow looks the same."
                ],
                proof=[Evidence(text=f"job {job.id}: {job.status}, {job.progress}, on-target-error=ignore")],
                steps=[
                    "look at that job's target: BLOCK_JOB_ERROR events on the QMP monitor tell of writes that fail",
                    f"to end it, on a QMP monitor: {cancel}",
                ],
                rule="retrying-job",
            )
        ]
    return []


def _at_a_peer(context: Context) -> Dict[_Key, Tuple[Request, Coroutine]]:
    found = {c.address: c for c in context.snapshot.coroutines}
    return {
        (r.node, r.type, r.offset, r.bytes, r.coroutine): (r, found[r.coroutine])
        for r in one_each(context, context.facts.requests)
        if r.coroutine in found and found[r.coroutine].waits_kind == "peer"
    }
