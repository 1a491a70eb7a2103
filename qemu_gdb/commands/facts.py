"""Captures the process that gdb has and shows one topic of its state: what the small commands share."""

from __future__ import annotations

from typing import Callable, Optional

from ..model import Explanation
from ..options import Parsed, UsageError
from ..render import state
from ..render.safe import Form
from . import base, subject


def show(parsed: Parsed, page: Callable[[Explanation, Form], state.Page]) -> None:
    """Write the page that ``page`` makes of gdb's process.

    :raises UsageError: no process, or words where none are expected
    """
    if parsed.words:
        raise UsageError(f"expected no more words, found {parsed.words[0]!r}")
    write(parsed, page, explained(search=False))


def explained(search: bool = True, search_everything: bool = False) -> Explanation:
    """gdb's process, captured and explained; see ``subject.of_process``."""
    from ..explain import explain

    return explain(subject.of_process(search=search, search_everything=search_everything))


def write(
    parsed: Parsed,
    page: Callable[[Explanation, Form], state.Page],
    explanation: Explanation,
    form: Optional[Form] = None,
) -> None:
    """Write one page in the format that the line asked for."""
    form = form or base.form(parsed)
    base.write(state.render(page(explanation, form), explanation, parsed.format, form))
