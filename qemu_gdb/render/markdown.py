"""Writes explanations as Markdown, for issue trackers and mail."""

from __future__ import annotations

from typing import List, Sequence

from ..model import Explanation, Finding, ThreadExplanation
from ..pattern import Pattern
from . import text as page
from . import words
from .safe import Form, safe

_SPECIAL = Pattern(r"([\\`*_{}\[\]<>()#+!|~&@-])")


def escape(text: str) -> str:
    """``text`` on one line with nothing that Markdown or HTML would act on."""
    plain = safe(text)
    return _SPECIAL.sub(lambda m: {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(m.group(1), "\\" + m.group(1)), plain)


def code(text: str) -> str:
    """``text`` as inline code, whatever backticks it holds."""
    plain = safe(text).strip()
    fence = "`"
    while fence in plain:
        fence += "`"
    space = " " if plain.startswith("`") or plain.endswith("`") or not plain else ""
    return f"{fence}{space}{plain}{space}{fence}"


def render(explanations: Sequence[Explanation], form: Form) -> str:
    """The whole page for all processes of one input."""
    lines: List[str] = []
    for i, explanation in enumerate(explanations):
        if len(explanations) > 1:
            lines += [f"# {words.heading(explanations, i)}", ""]
        lines += _process(explanation, form)
    return form.finish(lines)


def _process(explanation: Explanation, form: Form) -> List[str]:
    lines = [escape(page.header(explanation)), ""]
    wanted = set(form.numbers)
    if not wanted:
        for finding in explanation.findings:
            lines += _finding(finding, form)
        if explanation.threads:
            lines += [*table(explanation), ""]
        for notice in explanation.notices:
            lines += [f"> {escape(notice.text)}", ""]
    for told in explanation.threads:
        if form.all_threads or told.thread.number in wanted:
            lines += _thread(explanation, told)
    return lines


def _finding(finding: Finding, form: Form) -> List[str]:
    kind = finding.kind.partition(".")[0].upper()
    lines = [f"## {kind}: {escape(finding.title)}", "", f"*{escape(finding.confidence)}* ({code(finding.kind)})", ""]
    for line in finding.explanation.splitlines():
        if line.strip():
            lines.append(escape(line.strip()) + "  ")
    lines.append("")
    lines += [f"- Next: {escape(step)}" for step in finding.next_steps]
    lines += [f"- Known: {escape(page.known(fix, link=True))}" for fix in finding.known_fixes]
    if form.verbose:
        for item in finding.evidence:
            where = ", ".join(p for p in (f"thread {item.thread}" if item.thread is not None else "",
                                          f"frame {item.frame}" if item.frame is not None else "") if p)
            lines.append(f"- Seen{' in ' + where if where else ''}: {escape(item.text)}")
    return [*lines, ""] if lines[-1] else lines


def table(explanation: Explanation) -> List[str]:
    """The threads as a table."""
    lines = ["| Thread | Role | State | Summary |", "| --- | --- | --- | --- |"]
    rows, dropped = page.rows(explanation, merge=True)
    lines += [f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows]
    if dropped:
        lines.append(f"| | {words.count(dropped, 'more row')} | | |")
    return lines


def threads(explanations: Sequence[Explanation], form: Form) -> str:
    """The thread tables alone."""
    lines: List[str] = []
    for explanation in explanations:
        lines += [escape(page.header(explanation)), "", *table(explanation), ""]
    return form.finish(lines)


def _thread(explanation: Explanation, told: ThreadExplanation) -> List[str]:
    thread = told.thread
    number = f" {thread.number}" if thread.number is not None else ""
    label = words.role_label(told, explanation.accelerator)
    lines = [f"### Thread{number}: {escape(label)}, {escape(words.state_label(told))}", ""]
    if told.summary:
        lines += [escape(told.summary), ""]
    if told.holds:
        lines.append(f"- Holds: {escape(', '.join(told.holds))}")
    if told.waits_for is not None:
        lines.append(f"- Waits for: {escape(page.waits(told))}")
    lines += [f"- {escape(stage.text or stage.name)} (frames {stage.first} to {stage.last})" for stage in told.stages]
    frames = [safe(f"#{f.level:<3} {f.function or '??'}" + (f" at {f.file}:{f.line}" if f.file else ""))
              for f in thread.frames[:400]]
    fence = "```"
    while any(fence in f for f in frames):
        fence += "`"
    return [*lines, "", fence, *frames, fence, ""]
