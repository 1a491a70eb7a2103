"""Says of every thread its role, its state, whose code is at work, and which frame to blame."""

from __future__ import annotations

from . import culprit, roles, states, subsystems
from .context import Context


def classify(context: Context) -> None:
    """Fill role, state, subsystem and culprit of every thread."""
    roles.assign(context)
    states.assign(context)
    culprit.assign(context)
    subsystems.assign(context)
