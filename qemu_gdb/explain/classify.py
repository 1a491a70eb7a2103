"""Says of every thread its role, its state, whose code is at work, and which frame to blame."""

from __future__ import annotations

from . import culprit, overview, roles, states, subsystems
from .context import Context


def classify(context: Context) -> None:
    """Fill role, state, subsystem and culprit of every thread, and whether they are a QEMU's at all."""
    context.explanation.is_qemu = overview.is_qemu(context)
    roles.assign(context)
    states.assign(context)
    culprit.assign(context)
    subsystems.assign(context)
    if not context.explanation.is_qemu:
        for subject in context.subjects:
            told = subject.told
            told.role, told.role_rule = "unknown", "not-qemu"
            told.role_detail = {}
            told.culprit = told.culprit_level = told.subsystem = None
