"""Draws conclusions about the whole process: crashes, hangs, broken rules, healthy states."""

from __future__ import annotations

from ..context import Context


def find(context: Context) -> None:
    """Fill the explanation's findings, the most important first."""
