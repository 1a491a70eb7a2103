"""Imports what an explanation in gdb needs, at one moment at which Ctrl-C is held back."""

from __future__ import annotations

import importlib

_loaded = False


def load() -> None:
    """Import the reasoning, its knowledge, the readers and the page; once."""
    global _loaded
    if _loaded:
        return
    for name in ("capture.process", "capture.last_words", "knowledge.arguments", "state", "explain",
                 "explain.findings", "explain.known", "explain.stories", "explain.classify", "explain.waits",
                 "explain.overview", "explain.coroutines", "render.output", "render.text", "render.json"):
        importlib.import_module(f"qemu_gdb.{name}")
    _loaded = True
