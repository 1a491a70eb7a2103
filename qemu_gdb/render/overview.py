"""Writes what ``qemu-gdb triage`` found: groups of reports with one explanation each, as text and as an HTML page."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..model import KnownFix
from . import html, words
from .html import e
from .redact import Redactor
from .safe import Form, cut, pad, safe, width, wrap

MAX_GROUPS = 20  # told on the first page
MAX_HTML_GROUPS = 1000
_MEMBERS = 200

Plain = Dict[str, Any]  # a group or a failure as ``qemu_gdb.triage`` writes it as JSON

STYLE = """
.bar { display: inline-block; height: .65rem; background: var(--link); border-radius: 2px; vertical-align: middle; }
.count { font-weight: 700; margin-right: .5rem; white-space: nowrap; }
td.share { width: 25%; min-width: 4rem; }
@media (max-width: 40rem) { table.threads td.share { display: none; } }
.group > summary .tag { margin-left: .2rem; }
"""


def _versions(group: Plain) -> str:
    counts = sorted(group["versions"].items(), key=lambda item: (-item[1], item[0]))
    told = ", ".join(f"{version} ({count})" for version, count in counts[:6])
    return told + (", ..." if len(counts) > 6 else "")


def _title(group: Plain) -> str:
    finding = group.get("finding")
    return str(finding["title"]) if finding else str(group["signature"])


def _headline(summary: Plain, groups: Sequence[Plain]) -> str:
    told = f"{words.count(summary['inputs'], 'input')} in {words.count(len(groups), 'group')}"
    if summary["nothing_found"]:
        told += f", {summary['nothing_found']} without a stack"
    if summary["failed"]:
        told += f", {summary['failed']} could not be explained"
    if summary["taken_over"]:
        told += f", {summary['taken_over']} taken over from an earlier run"
    return told


# ---------------------------------------------------------------------------------------------------------------
# Text


def text(groups: Sequence[Plain], failures: Sequence[Plain], summary: Plain, form: Form) -> str:
    """The groups, a paragraph each; the first ones only unless all are wanted."""
    lines = [_headline(summary, groups), ""]
    shown = groups if form.all_threads else groups[:MAX_GROUPS]
    for group in shown:
        kind = group["kind"].partition(".")[0].upper()
        finding = group.get("finding")
        sure = safe(finding["confidence"]) if finding else ""
        start = f"{group['count']:>6} x  {safe(kind)}  "
        first = wrap(safe(_title(group)), form.columns - len(sure) - 2, indent=start, hanging=" " * len(start))
        lines += [pad(first[0], form.columns - width(sure)) + sure, *first[1:]]
        inner = " " * 10
        if finding and form.verbose:
            for line in finding["explanation"].splitlines():
                lines += wrap(safe(line), form.columns, indent=inner, hanging=inner) if line.strip() else []
            for step in finding["next_steps"]:
                lines += wrap(f"Next: {safe(step)}", form.columns, indent=inner, hanging=inner + "  ")
        elif finding:
            lines += [cut(inner + safe(" ".join(finding["explanation"].split())), form.columns)]
        lines.append(cut(f"{inner}{group['digest']}  {safe(group['signature'])}", form.columns))
        versions = _versions(group)
        if versions:
            lines.append(cut(f"{inner}versions: {safe(versions)}", form.columns))
        members = [m for m in group["members"] if m != group["example"]]
        also = f", and {len(members) if len(members) < 1000 else group['count'] - 1} more" if members else ""
        lines += [cut(f"{inner}{safe(group['example'])}", form.columns - len(also)) + also, ""]
    if len(shown) < len(groups):
        lines += [f"{words.count(len(groups) - len(shown), 'more group')}; --all shows them", ""]
    for failure in failures[: len(failures) if form.all_threads else 10]:
        lines.append(cut(f"not explained ({safe(failure['status'])}): {safe(failure['path'])}: "
                         f"{safe(str(failure.get('error', '')))}", form.columns))
    if len(failures) > 10 and not form.all_threads:
        lines.append(f"{summary['failed'] - 10} more that could not be explained; --all shows them")
    while lines and not lines[-1]:
        lines.pop()
    return form.finish(lines)


# ---------------------------------------------------------------------------------------------------------------
# HTML


def page(groups: Sequence[Plain], failures: Sequence[Plain], summary: Plain, redact: bool = True) -> str:
    """The groups as an HTML page; without private values unless ``redact`` is off."""
    names = _Names(groups, failures, redact)
    body = ["<main>", f"<h1>{e(_headline(summary, groups))}</h1>"]
    most = max((g["count"] for g in groups), default=1)
    body += ['<table class="threads"><thead><tr><th>Reports</th><th>Kind</th><th>Problem</th><th></th></tr></thead>',
             "<tbody>"]
    for group in groups[:MAX_HTML_GROUPS]:
        share = max(1.0, 100.0 * group["count"] / most)
        body.append(
            f'<tr><td class="nowrap">{group["count"]}</td><td class="nowrap">{e(group["kind"])}</td>'
            f'<td><a href="#g{e(group["digest"])}">{e(_title(names.told(group)))}</a></td>'
            f'<td class="share"><span class="bar" style="width:{share:.1f}%"></span></td></tr>')
    body += ["</tbody></table>", "<h2>Groups</h2>"]
    for i, group in enumerate(groups[:MAX_HTML_GROUPS]):
        body += _group(names.told(group), names, is_open=i == 0)
    if len(groups) > MAX_HTML_GROUPS:
        body.append(f"<p>{len(groups) - MAX_HTML_GROUPS} more groups are left out.</p>")
    if failures:
        body += ["<h2>Not explained</h2>", f"<details><summary>{words.count(summary['failed'], 'input')}</summary><ul>"]
        body += [f"<li><code>{e(names.name(f['path']))}</code>: {e(f['status'])}, {e(names.text(f.get('error', '')))}"
                 "</li>" for f in failures]
        body += ["</ul></details>"]
    body += ["</main>", "<footer><p>" + ("Paths, host names, addresses, secrets and guest data are replaced by labels."
                                         if redact else "Nothing was redacted.") + "</p></footer>"]
    return html.document("QEMU reports by problem", body, STYLE)


class _Names:
    """How inputs are called, and texts told, on a page for others or for oneself."""

    def __init__(self, groups: Sequence[Plain], failures: Sequence[Plain], redact: bool) -> None:
        import os

        self._redactor: Optional[Redactor] = Redactor() if redact else None
        paths = [os.path.abspath(g["example"]) for g in groups] + [os.path.abspath(f["path"]) for f in failures]
        common = os.path.commonpath(paths) if paths else ""
        self._common = os.path.dirname(common) if common in paths else common

    def name(self, path: str) -> str:
        """A file's path below the folder that all have in common."""
        import os

        whole = os.path.abspath(path)
        if self._redactor is None:
            return path
        below = os.path.relpath(whole, self._common) if self._common else os.path.basename(whole)
        return os.path.basename(whole) if below.startswith("..") else below

    def text(self, text: str) -> str:
        return self._redactor.text(text) if self._redactor is not None else text

    def told(self, group: Plain) -> Plain:
        """The group with the words that may be shared."""
        if self._redactor is None or not group.get("finding"):
            return group
        finding = group.get("shared") or {
            **group["finding"], "title": self.text(group["finding"]["title"]),
            "explanation": self.text(group["finding"]["explanation"]),
            "next_steps": [self.text(step) for step in group["finding"]["next_steps"]]}
        return {**group, "finding": finding}


def _group(group: Plain, names: _Names, is_open: bool) -> List[str]:
    kind = group["kind"].partition(".")[0]
    body = [f'<details class="group {e(kind)}" id="g{e(group["digest"])}"{" open" if is_open else ""}><summary>'
            f'<span class="count">{group["count"]} ×</span><span class="tag">{e(kind.upper())}</span>'
            f"<b>{e(_title(group))}</b></summary>"]
    finding = group.get("finding")
    if finding:
        fixes = [KnownFix(**{**fix, "matched": fix.get("matched") or ""}) for fix in finding["known_fixes"]]
        body += html.finding_parts(finding["kind"], finding["title"], finding["confidence"], finding["explanation"],
                                   finding["next_steps"], fixes)
    rows: List[Tuple[str, str]] = [("Signature", f"{group['digest']}  {group['signature']}")]
    rows += [("Look at", group["culprit"])] if group.get("culprit") else []
    rows += [("Versions", _versions(group))] if group["versions"] else []
    rows.append(("Example", names.name(group["example"])))
    body += ["<dl>", *(f"<dt>{e(name)}</dt><dd>{e(value)}</dd>" for name, value in rows), "</dl>"]
    members = group["members"]
    if len(members) > 1:
        body += [f"<details><summary>{words.count(group['count'], 'report')}</summary><ul>",
                 *(f"<li><code>{e(names.name(m))}</code></li>" for m in members[:_MEMBERS]), "</ul>"]
        if group["count"] > _MEMBERS:
            body.append(f"<p>and {group['count'] - _MEMBERS} more</p>")
        body.append("</details>")
    return [*body, "</details>"]
