"""Why the host's kernel refused to map guest memory for an assigned device, where QEMU's line about it is in a text."""

from __future__ import annotations

from ...knowledge import vfio
from ...model import Evidence
from ..context import Context
from .cause import Cause
from .common import oneline


def explain(context: Context, cause: Cause) -> None:
    """Add the kernel's answer to a crash that follows from it."""
    for line in context.said:
        refused = vfio.why(line)
        if refused is not None:
            cause.sentences.append(refused[0])
            cause.proof.append(Evidence(text=oneline(line)))
            cause.steps += refused[1]
            return
