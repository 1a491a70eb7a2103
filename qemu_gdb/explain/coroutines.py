"""Says of every suspended coroutine what it waits for."""

from __future__ import annotations

from .context import Context


def explain(context: Context) -> None:
    """Fill the explanation's coroutines."""
