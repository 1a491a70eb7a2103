"""Chooses the output form: text, JSON or Markdown, width, charset and colour."""

from __future__ import annotations

import os
from typing import Sequence, TextIO

from ..model import Explanation
from .safe import Form

DEFAULT_COLUMNS = 100
MIN_COLUMNS, MAX_COLUMNS = 40, 140


def columns_for(columns: int) -> int:
    """A page's width on a terminal of ``columns`` (0: unknown or unlimited): lines too long are hard to read."""
    return max(MIN_COLUMNS, min(columns, MAX_COLUMNS)) if columns > 0 else DEFAULT_COLUMNS


def is_utf8(charset: str) -> bool:
    return charset.lower().replace("-", "").replace("_", "") in ("utf8", "utf8mb4", "cp65001")


def form_for(stream: TextIO, verbose: bool = False, all_threads: bool = False, numbers: Sequence[int] = ()) -> Form:
    """The form for a stream outside gdb."""
    return Form(columns_for(_columns(stream)), is_utf8(stream.encoding or ""), verbose, all_threads, tuple(numbers))


def _columns(stream: TextIO) -> int:
    if not stream.isatty():
        return 0
    import shutil  # gdb, which knows its width itself, need not wait for it

    return shutil.get_terminal_size((0, 0)).columns


def wants_colour(stream: TextIO) -> bool:
    """Whether a stream outside gdb gets colours: a terminal, without NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")


def render(explanations: Sequence[Explanation], form_name: str, form: Form, colour: bool = False,
           threads_only: bool = False) -> str:
    """The text of an explanation in the form that ``--format`` names."""
    if form_name == "json":
        from . import json

        return json.render(explanations)
    if form_name == "markdown":
        from . import markdown

        return (markdown.threads if threads_only else markdown.render)(explanations, form)
    from . import text

    page = (text.threads if threads_only else text.render)(explanations, form)
    if colour:
        from .colour import coloured

        return coloured(page)
    return page
