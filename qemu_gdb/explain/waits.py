"""Resolves what each thread holds and waits for, from facts where there are any and from its frames otherwise."""

from __future__ import annotations

from .context import Context


def resolve(context: Context) -> None:
    """Fill holds and waits_for of every thread."""
