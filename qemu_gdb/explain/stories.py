"""Tells each thread's story: its stages from the outside in, with values, and a one-line summary."""

from __future__ import annotations

from .context import Context


def tell(context: Context) -> None:
    """Fill stages and summary of every thread."""
