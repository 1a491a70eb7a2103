"""Writes the report of a problem for QEMU's issue tracker, with what its bug template asks, as Markdown or HTML."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from .. import __version__
from ..model import CoroutineExplanation, Evidence, Explanation, Finding, Frame, ThreadExplanation
from ..record import record
from . import graph as graphs
from . import text as page
from . import words
from .markdown import code
from .order import chosen
from .redact import Redactor
from .safe import cut, safe

MAX_FRAMES = 160  # of one stack
MAX_ARGUMENT, MAX_LINE, MAX_LOCALS = 120, 400, 60
MAX_STACKS, MAX_COROUTINES = 120, 40
SUFFIXES = (".md", ".markdown", ".html", ".htm")
_QUIET = ("idle", "running-guest")


class UnknownForm(ValueError):
    """The file's name does not say which form is wanted; the message is one line."""


@record
class Report:
    """What a report is made of: explanations without private values, and how addresses are spelled."""

    explanations: List[Explanation]
    host: Mapping[str, str] = field(default_factory=dict)  # "Operating system", "OS/kernel version", "Architecture"
    redacted: bool = True
    spell: Callable[[int], str] = hex

    @property
    def main(self) -> Explanation:
        """The process that the report is mostly about."""
        return chosen(self.explanations)


@record
class Stack:
    """A stack and the threads that have it."""

    threads: List[ThreadExplanation]
    title: str  # "Threads 3-6: 4 pool workers, idle"
    lines: List[str]  # frames, innermost first
    locals: List[Tuple[str, str]] = field(default_factory=list)  # of the frame to look at
    locals_of: str = ""

    @property
    def first(self) -> ThreadExplanation:
        return self.threads[0]

    @property
    def quiet(self) -> bool:
        return self.first.state in _QUIET or self.first.thread.kernel_only


def make(explanations: Sequence[Explanation], redact: bool = True, host: Optional[Mapping[str, str]] = None) -> Report:
    """Collect a report. ``host``: of the machine that the process runs on, where it is known."""
    if not redact:
        return Report(list(explanations), dict(host or {}), False)
    redactor = Redactor()
    return Report(redactor.explanations(explanations), dict(host or {}), True, redactor.spell)


def write(path: str, explanations: Sequence[Explanation], redact: bool = True,
          host: Optional[Mapping[str, str]] = None) -> None:
    """Write a report to ``path``, whose suffix chooses the form.

    :raises UnknownForm: neither .md nor .html
    :raises OSError: the file can't be written
    """
    check(path)
    report = make(explanations, redact, host)
    if path.lower().endswith((".html", ".htm")):
        from . import html

        text = html.page(report)
    else:
        text = markdown(report)
    with open(path, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)


def check(path: str) -> None:
    """
    :raises UnknownForm: ``path`` ends neither in .md nor in .html
    """
    if not path.lower().endswith(SUFFIXES):
        raise UnknownForm(f"expected a report file that ends in .md or .html, found {path!r}")


# ---------------------------------------------------------------------------------------------------------------
# What both forms show


def host_rows(report: Report) -> List[Tuple[str, str]]:
    """The template's questions about the host, and what is known; "" for what is not."""
    told = report.main
    snapshot = told.snapshot
    version = " ".join(filter(None, (snapshot.version, f"({snapshot.package})" if snapshot.package else "")))
    return [
        ("Operating system", report.host.get("Operating system", "")),
        ("OS/kernel version", report.host.get("OS/kernel version", "")),
        ("Architecture", report.host.get("Architecture", "")),
        ("QEMU flavor", told.program or snapshot.program or ""),
        ("QEMU version", version),
    ]


def guest_rows(report: Report) -> List[Tuple[str, str]]:
    """The template's questions about the guest."""
    program = report.main.program or ""
    found = re.match(r"(?:lt-)?qemu-(?:system-)?([a-z0-9_]+)$", program)
    tools = ("img", "io", "nbd", "ga", "kvm", "storage", "pr")
    architecture = found.group(1) if found and found.group(1) not in tools else ""
    return [("Operating system", ""), ("OS/kernel version", ""), ("Architecture", architecture)]


def facts_rows(explanation: Explanation) -> List[Tuple[str, str]]:
    """What else is known of the process."""
    source = explanation.snapshot.source
    kinds = {"live": "a live process", "core": "a core file", "text": "a pasted backtrace"}
    signal = explanation.snapshot.signal
    rows = [
        ("Accelerator", words.accelerator(explanation.accelerator) if explanation.accelerator else ""),
        ("vCPUs", str(explanation.vcpus) if explanation.vcpus else ""),
        ("Run state", explanation.runstate or ""),
        ("Signal", page.signal_text(signal) if signal is not None and (signal.name or signal.number) else ""),
        ("Read from", kinds.get(source.kind, source.kind)),
        ("Debug information", source.debug_info if source.kind != "text" else ""),
        ("Explained by", f"qemu-gdb {__version__}"),
    ]
    return [(name, value) for name, value in rows if value]


def stacks(explanation: Explanation) -> List[Stack]:
    """The stacks, equal ones once: of threads at rest those with the same functions, of others the same lines."""
    found: Dict[Tuple[object, ...], List[ThreadExplanation]] = {}
    for told in explanation.threads:
        thread = told.thread
        quiet = told.state in _QUIET
        frames = tuple((f.name or f.kind) if quiet else (f.name, f.line, f.level) for f in thread.frames)
        wait = told.waits_for.object if told.waits_for and not quiet else None
        crash = (thread.crashed, thread.history)
        found.setdefault((told.role, told.state, thread.kernel_only, frames, wait, tuple(told.holds), crash),
                         []).append(told)
    merged = [_stack(explanation, group) for group in found.values()]
    named = set(explanation.findings[0].threads) if explanation.findings else set()
    return sorted(merged, key=lambda s: (s.quiet, not any(t.thread.number in named for t in s.threads)))


def _stack(explanation: Explanation, group: List[ThreadExplanation]) -> Stack:
    first = group[0]
    numbers = words.ranges([t.thread.number for t in group if t.thread.number is not None])
    label = (words.role_label(first, explanation.accelerator) if len(group) == 1 else
             words.group_label(group, explanation.accelerator))
    title = f"Thread{'s' if len(group) > 1 else ''} {numbers}: " if numbers else ""
    title += "kernel helper without a user stack" if first.thread.kernel_only else (
        f"{label}, {words.state_label(first)}")
    stack = Stack(group, title, frame_lines(first.thread.frames, arguments=first.state not in _QUIET))
    if first.culprit_level is not None and first.state not in _QUIET:
        frame = next((f for f in first.thread.frames if f.level == first.culprit_level), None)
        if frame is not None and frame.locals:
            stack.locals = [(safe(k), cut(safe(v), MAX_LINE)) for k, v in list(frame.locals.items())[:MAX_LOCALS]]
            stack.locals_of = f"#{frame.level} {frame.function or '??'}"
    return stack


def frame_lines(frames: Sequence[Frame], arguments: bool = True) -> List[str]:
    """Frames as gdb's backtrace shows them, the middle of a deep stack left out."""
    half = MAX_FRAMES // 2
    shown: Sequence[Frame] = frames if len(frames) <= MAX_FRAMES else [*frames[:half], *frames[-half:]]
    lines = [_frame_line(frame, arguments) for frame in shown]
    if len(shown) < len(frames):
        lines.insert(half, f"... {len(frames) - len(shown)} frames left out ...")
    return lines


def _frame_line(frame: Frame, arguments: bool) -> str:
    name = frame.function or {"signal": "<signal handler called>", "jit": "<guest code>"}.get(frame.kind, "??")
    told = ""
    if arguments and frame.args:
        told = " (" + ", ".join(f"{k}={cut(v, MAX_ARGUMENT)}" for k, v in frame.args.items()) + ")"
    where = ""
    if frame.file:
        where = f" at {frame.file}" + (f":{frame.line}" if frame.line is not None else "")
    elif frame.library:
        where = f" from {frame.library}"
    room = max(40, MAX_LINE - len(where))
    return safe(f"#{frame.level:<3} {cut(name + told, room)}{where}")


def coroutines(explanation: Explanation) -> List[CoroutineExplanation]:
    """The coroutines that wait for something, the ones that rest left out."""
    return [c for c in explanation.coroutines if c.waits_for is None or c.waits_for.kind != "idle"][:MAX_COROUTINES]


def spelled(report: Report, told: CoroutineExplanation) -> str:
    """A coroutine's address as the report spells it, and what it waits for."""
    return f"{report.spell(told.coroutine.address)}: {told.summary or told.state}"


def seen_in(item: Evidence) -> str:
    """Where a piece of evidence stands: `` in thread 1, frame 4``."""
    parts = [f"thread {item.thread}" if item.thread is not None else "",
             f"frame {item.frame}" if item.frame is not None else ""]
    told = ", ".join(filter(None, parts))
    return f" in {told}" if told else ""


def redaction_note(report: Report) -> str:
    if not report.redacted:
        return "Nothing was redacted: look for private values before you publish this."
    return ("Paths, host names, addresses, secrets and guest data are replaced by labels; the same label always stands"
            " for the same thing.")


# ---------------------------------------------------------------------------------------------------------------
# Markdown


def prose(text: str) -> str:
    """``text`` on one line; nothing in it acts on Markdown, and it is still readable as plain text."""
    plain = safe(text).strip()
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = re.sub(r"([\\`*\[\]|~])|([@#!$%])(?=\w)|(?<!\w)(_)|(_)(?!\w)", lambda m: "\\" + m.group(), plain)
    plain = re.sub(r"^([-+=]|#)", r"\\\1", plain)
    return re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", plain)


def fenced(lines: Sequence[str], indent: str = "") -> List[str]:
    """Lines of code; the fence is longer than any within."""
    fence = "```"
    while any(fence in line for line in lines):
        fence += "`"
    return [f"{indent}{fence}", *(f"{indent}{line}" for line in lines), f"{indent}{fence}"]


def markdown(report: Report) -> str:
    """The report in the headings of QEMU's bug template (.gitlab/issue_templates/bug.md)."""
    lines = ["## Host environment"]
    for name, value in host_rows(report):
        lines.append(f" - {name}: {prose(value)}" if value else f" - {name}: <!-- please fill in -->")
    command = report.main.snapshot.command_line
    lines.append(" - QEMU command line:")
    lines += fenced([safe(command)], "   ") if command else ["   <!-- please fill in -->"]
    lines += ["", "## Emulated/Virtualized environment"]
    for name, value in guest_rows(report):
        lines.append(f" - {name}: {prose(value)}" if value else f" - {name}: <!-- please fill in -->")
    lines += ["", "", "## Description of problem"]
    for explanation in _ordered(report):
        lines += _description(report, explanation)
    lines += ["", "## Steps to reproduce", "1. ", "2. ", "3. ", "", "", "## Additional information", ""]
    ordered = _ordered(report)
    for i, explanation in enumerate(ordered):
        lines += [f"### {words.heading(ordered, i)}", ""] if len(ordered) > 1 else []
        lines += _additional(report, explanation)
    lines += [f"{prose(redaction_note(report))}", "", '/label ~"kind::Bug"']
    return "\n".join(lines) + "\n"


def _ordered(report: Report) -> List[Explanation]:
    main = report.main
    return [main, *(e for e in report.explanations if e is not main)]


def _description(report: Report, explanation: Explanation) -> List[str]:
    lines = [prose(page.header(explanation)), ""]
    for finding in explanation.findings[:page.MAX_FINDINGS]:
        lines += _finding(finding)
    if explanation.snapshot.messages:
        said = [safe(m.text) for m in explanation.snapshot.messages[:10] if m.text]
        lines += ["What the process said:", "", *fenced(said), ""] if said else []
    return lines


def _finding(finding: Finding) -> List[str]:
    kind = finding.kind.partition(".")[0].upper()
    lines = [f"**{prose(kind)}: {prose(finding.title)}** ({prose(finding.confidence)}, {code(finding.kind)})", ""]
    lines += [prose(line) + "  " for line in finding.explanation.splitlines() if line.strip()]
    lines += [""] if lines[-1] else []
    for fix in page.worth_telling(finding.known_fixes):
        lines.append(f"- Known: {prose(page.known(fix, link=True))}")
    for step in finding.next_steps:
        lines.append(f"- Next: {prose(step)}")
    for item in finding.evidence[:12]:
        lines.append(f"- Seen{seen_in(item)}: {prose(item.text)}")
    return [*lines, ""]


def _additional(report: Report, explanation: Explanation) -> List[str]:
    lines = [f"- {name}: {prose(value)}" for name, value in facts_rows(explanation)]
    graph = graphs.build(explanation, report.spell)
    if graph.edges:
        lines += ["", "**Who waits for whom**", ""]
        lines += [f"- {prose(sentence)}" for sentence in graphs.sentences(graph)]
    lines += ["", "**Threads**", "", "| Thread | Role | State | Summary |", "| --- | --- | --- | --- |"]
    rows, dropped = page.rows(explanation, merge=True)
    lines += [f"| {' | '.join(prose(cell) for cell in row)} |" for row in rows]
    if dropped:
        lines.append(f"| | {words.count(dropped, 'more row')} | | |")
    lines.append("")
    found = stacks(explanation)
    for stack in found[:MAX_STACKS]:
        lines += [f"<details><summary>{prose(stack.title)}</summary>", "", *fenced(stack.lines), ""]
        if stack.locals:
            lines += [f"Locals of {code(stack.locals_of)}:", "",
                      *fenced([f"{name} = {value}" for name, value in stack.locals]), ""]
        lines += ["</details>", ""]
    if len(found) > MAX_STACKS:
        lines += [f"{len(found) - MAX_STACKS} more stacks are left out.", ""]
    for told in coroutines(explanation):
        lines += [f"<details><summary>Coroutine {prose(spelled(report, told))}</summary>", "",
                  *fenced(frame_lines(told.coroutine.frames)), "", "</details>", ""]
    for notice in explanation.notices:
        lines += [f"> {prose(notice.text)}", ""]
    return lines
