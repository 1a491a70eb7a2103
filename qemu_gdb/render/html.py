"""Writes the report of a problem as one HTML page without scripts or outside resources, for any browser."""

from __future__ import annotations

import dataclasses
from html import escape
from typing import List, Optional, Sequence, Tuple

from ..model import Explanation, Finding, KnownFix
from . import graph as graphs
from . import report as reports
from . import text as text_page
from . import words
from .report import Report, Stack
from .safe import safe

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1c1f23; --soft: #59616b; --line: #d5d9de; --panel: #f5f6f8;
  --crash: #b3261e; --hang: #8a5300; --state: #1d6b3a; --rule: #6b3fa0; --link: #0b57b0; --thread: #e3edfb;
  --lock: #fbe7c8; --request: #e6e6f7; --coroutine: #dff3e6; --outside: #eceef0; }
@media (prefers-color-scheme: dark) {
:root { --ground: #15181c; --ink: #e4e7eb; --soft: #a2abb6; --line: #3a4149; --panel: #1e2328; --crash: #ff8a80;
  --hang: #f0b35e; --state: #7ed59b; --rule: #c7a4f5; --link: #8ab8f5; --thread: #1f344f; --lock: #4a3714;
  --request: #2f2f52; --coroutine: #1d412b; --outside: #2a3037; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 0; line-height: 1.35; }
p { margin: .4rem 0; }
a { color: var(--link); }
ol, ul { margin: .4rem 0; padding-left: 1.4rem; }
code, pre, .mono { font: .82rem/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
pre { margin: .4rem 0; padding: .6rem; background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  overflow-x: auto; white-space: pre; overflow-wrap: normal; }
pre.wrap { white-space: pre-wrap; overflow-wrap: anywhere; }
.soft { color: var(--soft); } .blank { color: var(--soft); font-style: italic; }
.finding { border-left: 4px solid var(--soft); background: var(--panel); padding: .7rem .9rem; margin: .8rem 0;
  border-radius: 0 6px 6px 0; }
.finding.crash { border-color: var(--crash); } .finding.hang { border-color: var(--hang); }
.finding.state { border-color: var(--state); } .finding.rule { border-color: var(--rule); }
.tag { font-size: .78rem; font-weight: 700; letter-spacing: .04em; margin-right: .4rem; }
.crash .tag { color: var(--crash); } .hang .tag { color: var(--hang); }
.state .tag { color: var(--state); } .rule .tag { color: var(--rule); }
.sure { font-weight: 400; color: var(--soft); white-space: nowrap; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .15rem 1rem; margin: .4rem 0; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.nowrap { white-space: nowrap; }
@media (max-width: 40rem) { table.threads thead { display: none; }
  table.threads tr { display: block; padding: .35rem 0; border-bottom: 1px solid var(--line); }
  table.threads td { display: inline; border: 0; padding: 0 .5rem 0 0; white-space: normal; }
  table.threads td:last-child { display: block; color: var(--soft); }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin: 0 0 .4rem; } }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: 0 .7rem; }
summary { cursor: pointer; padding: .4rem 0; } summary b { font-weight: 600; }
details[open] > summary { border-bottom: 1px solid var(--line); margin-bottom: .4rem; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
svg.graph { display: block; margin: .5rem auto; font: 12px system-ui, sans-serif; }
svg.graph text { text-anchor: middle; fill: var(--ink); } svg.graph .first { font-weight: 600; }
svg.graph rect { stroke: var(--line); fill: var(--outside); }
svg.graph .thread rect { fill: var(--thread); } svg.graph .lock rect { fill: var(--lock); }
svg.graph .request rect { fill: var(--request); } svg.graph .coroutine rect { fill: var(--coroutine); }
svg.graph .outside rect { stroke-dasharray: 4 3; stroke: var(--soft); }
svg.graph .edge { fill: none; stroke: var(--soft); stroke-width: 1.4; } svg.graph .head { fill: var(--soft); }
svg.graph .cycle { stroke: var(--crash); stroke-width: 2.2; }
svg.graph .label { font-size: 11px; fill: var(--soft); stroke: var(--ground); stroke-width: 4px; paint-order: stroke; }
footer { margin-top: 2.5rem; padding-top: .6rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: .88rem; }
@media print { details { border: 0; } body { max-width: none; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def e(text: object) -> str:
    """``text`` on one line as HTML, safe in elements and in quoted attributes."""
    return escape(safe(str(text)), quote=True)


def document(title: str, body: Sequence[str], style: str = "") -> str:
    """A whole page around ``body``."""
    return "\n".join([
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">', '<link rel="icon" href="data:,">',
        f"<title>{e(title)}</title>", f"<style>{STYLE}{style}</style>", "</head>", "<body>", *body, "</body>",
        "</html>", ""])


def page(report: Report) -> str:
    """The page of a report."""
    main = report.main
    first = main.findings[0] if main.findings else None
    body: List[str] = ["<main>"]
    ordered = [main, *(x for x in report.explanations if x is not main)]
    for i, explanation in enumerate(ordered):
        body += _process(report, explanation, i, ordered)
    body += _template(report)
    body += ["</main>", f"<footer><p>{e(reports.redaction_note(report))}</p></footer>"]
    title = f"{first.kind.partition('.')[0].upper()}: {first.title}" if first else text_page.header(main)
    return document(title, body)


def _process(report: Report, explanation: Explanation, index: int, ordered: List[Explanation]) -> List[str]:
    number = f"{words.heading(ordered, index)}: " if len(ordered) > 1 else ""
    body = [f"<h1>{e(number + text_page.header(explanation))}</h1>"]
    body += [part for finding in explanation.findings for part in finding_block(finding)]
    said = [safe(m.text) for m in explanation.snapshot.messages[:10] if m.text]
    if said:
        body += ["<h2>What the process said</h2>", f'<pre class="wrap">{escape(chr(10).join(said))}</pre>']
    crashed = bool(explanation.findings) and explanation.findings[0].kind.startswith("crash.")
    if not crashed:
        body += _graph(report, explanation, index)
    if explanation.threads:
        body += ["<h2>Threads</h2>", *_threads(explanation)]
        body += ["<h2>Stacks</h2>"]
        found = reports.stacks(explanation)
        named = set(explanation.findings[0].threads) if explanation.findings else set()
        for stack in found[:reports.MAX_STACKS]:
            is_open = not stack.quiet and any(t.thread.number in named for t in stack.threads[:1])
            body += _stack(stack, is_open=is_open or len(found) == 1)
        if len(found) > reports.MAX_STACKS:
            body.append(f"<p>{len(found) - reports.MAX_STACKS} more stacks are left out.</p>")
    if crashed:  # who waits meanwhile is the lesser question
        body += _graph(report, explanation, index)
    waiting = reports.coroutines(explanation)
    if waiting:
        body.append("<h2>Coroutines</h2>")
        for told in waiting:
            lines = reports.frame_lines(told.coroutine.frames)
            body += [f"<details><summary>{e(reports.spelled(report, told))}</summary>", _pre(lines), "</details>"]
    body += [f'<p class="soft">Note: {e(n.text)}</p>' for n in explanation.notices]
    return body


def _graph(report: Report, explanation: Explanation, index: int) -> List[str]:
    graph = graphs.build(explanation, report.spell)
    drawn = graphs.svg(graph, f"waits{index}")
    if not drawn:
        return []
    return ["<h2>Who waits for whom</h2>", f'<div class="scroll" tabindex="0">{drawn}</div>',
            "<details><summary>In words</summary><ul>", *(f"<li>{e(s)}</li>" for s in graphs.sentences(graph)),
            "</ul></details>"]


def finding_block(finding: Finding) -> List[str]:
    """One finding."""
    return finding_parts(finding.kind, finding.title, finding.confidence, finding.explanation, finding.next_steps,
                         finding.known_fixes, [(reports.seen_in(i), i.text) for i in finding.evidence[:20]])


def finding_parts(kind: str, title: str, confidence: str, explanation: str, steps: Sequence[str],
                  fixes: Sequence[KnownFix], evidence: Sequence[Tuple[str, str]] = ()) -> List[str]:
    """One finding from its parts."""
    group = kind.partition(".")[0]
    body = [f'<section class="finding {e(group)}">',
            f'<h3><span class="tag">{e(group.upper())}</span>{e(title)} <span class="sure">{e(confidence)}</span></h3>']
    body += [f"<p>{e(line.strip())}</p>" for line in explanation.splitlines() if line.strip()]
    if steps:
        body += ["<p><b>Next</b></p>", "<ul>", *(f"<li>{e(step)}</li>" for step in steps), "</ul>"]
    for fix in text_page.worth_telling(fixes):
        body.append(f"<p><b>Known</b>: {e(text_page.known(dataclasses.replace(fix, link=None)))}{_link(fix.link)}</p>")
    if evidence:
        body += ["<details><summary>What this stands on</summary><ul>",
                 *(f"<li>{e('Seen' + where)}: {e(text)}</li>" for where, text in evidence), "</ul></details>"]
    return [*body, "</section>"]


def _link(link: Optional[str]) -> str:
    if not link or not link.startswith(("https://", "http://")):
        return ""
    return f' <a href="{e(link)}" rel="noreferrer">{e(link.split("://", 1)[1][:60])}</a>'


def _threads(explanation: Explanation) -> List[str]:
    rows, dropped = text_page.rows(explanation, merge=True)
    body = ['<table class="threads"><thead><tr><th>Thread</th><th>Role</th><th>State</th><th>What it does</th></tr>'
            "</thead><tbody>"]
    for number, role, state, summary in rows:
        body.append(f'<tr><td class="nowrap">{e(number)}</td><td class="nowrap"><b>{e(role)}</b></td>'
                    f'<td class="nowrap">{e(state)}</td><td>{e(summary)}</td></tr>')
    body.append("</tbody></table>")
    if dropped:
        body.append(f"<p>and {words.count(dropped, 'more row')}</p>")
    return body


def _stack(stack: Stack, is_open: bool) -> List[str]:
    told = stack.first
    body = [f"<details{' open' if is_open else ''}><summary><b>{e(stack.title)}</b>"
            + (f' <span class="soft">{e(told.summary)}</span>' if told.summary else "") + "</summary>"]
    if told.holds:
        body.append(f"<p>Holds: {e(', '.join(told.holds))}</p>")
    if told.waits_for is not None:
        body.append(f"<p>Waits for: {e(text_page.waits(told))}</p>")
    if told.culprit and not stack.quiet:
        at = f" (frame {told.culprit_level})" if told.culprit_level is not None else ""
        body.append(f"<p>Look at: <code>{e(told.culprit)}</code>{e(at)}</p>")
    if told.stages and not stack.quiet:
        body += ["<ol>"]
        for stage in told.stages:
            span = f"#{stage.first}" if stage.first == stage.last else f"#{stage.first}-{stage.last}"
            body.append(f'<li>{e(stage.text or stage.name)} <span class="soft">{e(span)}</span></li>')
        body.append("</ol>")
    body.append(_pre(stack.lines))
    if stack.locals:
        body += [f"<details><summary>Locals of <code>{e(stack.locals_of)}</code></summary>",
                 _pre([f"{name} = {value}" for name, value in stack.locals]), "</details>"]
    return [*body, "</details>"]


def _pre(lines: Sequence[str]) -> str:
    return f'<pre tabindex="0">{escape(chr(10).join(lines))}</pre>' if lines else '<p class="soft">no frames</p>'


def _template(report: Report) -> List[str]:
    """The template's other questions."""
    body = ["<h2>Host environment</h2>", *_list(reports.host_rows(report), blank=True)]
    command = report.main.snapshot.command_line
    body.append("<p>QEMU command line:</p>")
    body.append(f'<pre class="wrap">{escape(safe(command))}</pre>' if command else
                '<p class="blank">please fill in</p>')
    body += ["<h2>Emulated/Virtualized environment</h2>", *_list(reports.guest_rows(report), blank=True)]
    body += ["<h2>Steps to reproduce</h2>", '<p class="blank">please fill in</p>']
    return [*body, "<h2>Additional information</h2>", *_list(reports.facts_rows(report.main))]


def _list(rows: Sequence[Tuple[str, str]], blank: bool = False) -> List[str]:
    body = ["<dl>"]
    for name, value in rows:
        if value or blank:
            told = e(value) if value else '<span class="blank">please fill in</span>'
            body.append(f"<dt>{e(name)}</dt><dd>{told}</dd>")
    return [*body, "</dl>"]
