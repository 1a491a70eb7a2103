"""Writes explanations as the page that a person reads in a terminal."""

from __future__ import annotations

import collections
from typing import Collection, Dict, List, Optional, Sequence, Set, Tuple

from ..model import Explanation, Finding, Frame, KnownFix, Signal, ThreadExplanation
from ..pattern import Pattern
from . import words
from .safe import Form, cut, pad, safe, width, wrap

MAX_ROWS = 40  # rows of the thread table on the first page
MAX_FINDINGS = 5  # findings told in full on the first page
MAX_PROCESSES = 20  # processes of one text that get a page


def render(explanations: Sequence[Explanation], form: Form) -> str:
    """The whole page for all processes of one input."""
    lines: List[str] = []
    shown = explanations if form.all_threads else explanations[:MAX_PROCESSES]
    told: Set[int] = set()  # findings that several captures of one process share are told once
    for i, explanation in enumerate(shown):
        if len(explanations) > 1:
            again = [f for f in explanation.findings if id(f) in told]
            title = words.heading(explanations, i) + (", the same again" if again else "")
            lines += ([""] if i else []) + [title]
        if form.numbers:
            lines += _asked(explanation, form)
        else:
            lines += _page(explanation, form, told)
        told.update(map(id, explanation.findings))
    if len(shown) < len(explanations):
        lines += ["", f"{len(explanations) - len(shown)} more processes; --all shows them."]
    return form.finish(lines)


def threads(explanations: Sequence[Explanation], form: Form) -> str:
    """The thread table alone, every thread in a row of its own."""
    lines: List[str] = []
    for i, explanation in enumerate(explanations):
        lines += [""] if i else []
        lines.append(cut(header(explanation), form.columns))
        lines += table(explanation, form, merge=False)
    return form.finish(lines)


def header(explanation: Explanation) -> str:
    """The process on one line: program, version, accelerator, vCPUs, where from, run state."""
    snapshot = explanation.snapshot
    source = snapshot.source
    program = explanation.program or snapshot.program or ("QEMU" if explanation.is_qemu else "not QEMU")
    parts = [" ".join(filter(None, (program, snapshot.version if explanation.is_qemu else None)))]
    kernels = bool(explanation.threads) and all(t.state_rule == "kernel-stack" for t in explanation.threads)
    if not explanation.is_qemu and (program != "not QEMU" or kernels):
        parts = [] if program == "not QEMU" else parts
        parts.append("stacks of the host's kernel" if kernels else "not QEMU")
    if explanation.accelerator:
        parts.append(words.accelerator(explanation.accelerator))
    if explanation.vcpus:
        parts.append(words.count(explanation.vcpus, "vCPU"))
    pid = f" pid {source.pid}" if source.pid is not None else ""
    if source.kind == "live":
        parts.append(f"live{pid}" if pid else "live process")
    elif source.kind == "core":
        parts.append(f"core of{pid}" if pid else "core")
    else:
        parts.append(f"pasted text{' of' + pid if pid else ''}")
    if explanation.runstate:
        parts.append(f"run state: {explanation.runstate}")
    return safe(" · ".join(parts))


def _page(explanation: Explanation, form: Form, before: Collection[int] = ()) -> List[str]:
    lines = [*wrap(header(explanation), form.columns, hanging="  "), ""]
    limit = len(explanation.findings) if form.verbose or form.all_threads else MAX_FINDINGS
    for finding in explanation.findings[:limit]:
        lines += [*(_finding(finding, form) if id(finding) not in before else _title(finding, form)), ""]
    if len(explanation.findings) > limit:
        lines += [f"{words.count(len(explanation.findings) - limit, 'more finding')}; -v shows them.", ""]
    if explanation.threads:
        lines += ["Threads", *table(explanation, form, merge=not form.all_threads), ""]
    lines += _coroutines(explanation, form)
    for notice in explanation.notices:
        lines += wrap(f"Note: {safe(notice.text)}", form.columns, hanging="  ")
    if form.all_threads:
        for told, same in _folded(explanation.threads):
            lines += ["", *_detail(explanation, told, form, same)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _title(finding: Finding, form: Form) -> List[str]:
    kind = finding.kind.partition(".")[0].upper()
    sure = safe(finding.confidence)
    room = form.columns - len(sure) - 2
    first = wrap(safe(finding.title), room, indent=f"{safe(kind)}  ", hanging=" " * (len(kind) + 2))
    return [pad(first[0], form.columns - len(sure)) + sure, *first[1:]]


def _finding(finding: Finding, form: Form) -> List[str]:
    lines = _title(finding, form)
    for line in finding.explanation.splitlines():
        lines += _paragraph(line, form, "  ")
    for i, step in enumerate(finding.next_steps):
        lines += wrap(safe(step), form.columns, indent="  Next: " if i == 0 else "        ", hanging="        ")
    for fix in finding.known_fixes if form.verbose else worth_telling(finding.known_fixes):
        lines += wrap(f"Known: {safe(known(fix))}", form.columns, indent="  ", hanging="    ")
    if form.verbose:
        for item in finding.evidence:
            where = _where(item.thread, item.frame)
            lines += wrap(f"Seen{where}: {safe(item.text)}", form.columns, indent="  ", hanging="    ")
        if finding.rule:
            lines += wrap(f"Rule: {safe(finding.rule)} ({safe(finding.kind)})", form.columns, indent="  ")
    return lines


def _where(thread: Optional[int], frame: Optional[int]) -> str:
    parts = [f"thread {thread}" if thread is not None else "", f"frame {frame}" if frame is not None else ""]
    told = ", ".join(p for p in parts if p)
    return f" in {told}" if told else ""


def worth_telling(fixes: Sequence[KnownFix]) -> List[KnownFix]:
    """The known problems for a first page: two, and merely possible ones only where no better one names a fix.

    One whose fix this QEMU has is not this problem, as a rule.
    """
    open_ones = [f for f in fixes if not f.has_fix]
    better = [f for f in open_ones if f.confidence != "possible"][:2]
    if any(f.commit for f in better):
        return better
    return better + [f for f in open_ones if f.confidence == "possible" and (f.commit or not better)][:2]


def known(fix: KnownFix, link: bool = False) -> str:
    """One known problem in words: what matched, the fix, whether this QEMU has it. A commit's link can be left out."""
    told = "a report" if fix.link else "a known problem"
    if fix.commit:
        told = f"fixed by {fix.commit[:12]}" + (f" in {fix.release}" if fix.release else "")
    elif fix.release:
        told = f"fixed in {fix.release}"
    if fix.has_fix is not None:
        told += ", which this QEMU " + ("has" if fix.has_fix else "does not have")
    if fix.link and (link or not fix.commit):
        told += f" {fix.link}"
    return f"{told} ({fix.confidence}{f': {fix.matched}' if fix.matched else ''})"


def _paragraph(line: str, form: Form, indent: str) -> List[str]:
    body = safe(line.lstrip(" "))
    inner = indent + " " * min(8, len(line) - len(line.lstrip(" ")))
    return wrap(body, form.columns, indent=inner, hanging=inner) if body else []


Row = Tuple[str, str, str, str]  # number, role, state, summary


def table(explanation: Explanation, form: Form, merge: bool = True) -> List[str]:
    """The threads, a row each; many identical ones share a row."""
    cells, dropped = rows(explanation, merge)
    number_width = min(12, max((width(r[0]) for r in cells), default=1))
    role_width = min(28, max((width(r[1]) for r in cells), default=1))
    state_width = max((width(r[2]) for r in cells), default=1)
    lines: List[str] = []
    for number, role, state, summary in cells:
        start = f"  {pad(number, number_width)}  "
        if not state:
            lines.append(cut(f"{start}{role}", form.columns))
            continue
        start += f"{pad(cut(role, role_width), role_width)}  {pad(state, state_width)}  "
        room = form.columns - width(start)
        if room < 24:  # a narrow terminal: the summary goes below
            lines.append(cut(start.rstrip(), form.columns))
            lines += wrap(summary, form.columns, indent="      ", hanging="      ") if summary else []
            continue
        wrapped = wrap(summary, form.columns, indent=start, hanging=" " * width(start))
        lines += wrapped if form.verbose or len(wrapped) <= 2 else [wrapped[0], cut(f"{wrapped[1]} …", form.columns)]
    if dropped:
        lines.append(f"  and {words.count(dropped, 'more row')}; qemu-threads shows every thread")
    return lines


def rows(explanation: Explanation, merge: bool) -> Tuple[List[Row], int]:
    """The table's cells, and how many rows were left out."""
    stopped = {v.lwp for v in explanation.snapshot.facts.vcpus if v.stopped and v.lwp is not None}
    told = explanation.threads
    groups: List[List[ThreadExplanation]] = [[t] for t in told]
    if merge and len(told) > 10:
        groups = _grouped(told, by_summary=True)
        if len(groups) > 24 or len(told) > 60:
            groups = _grouped(told, by_summary=False)
    cells = [_row(explanation, group, stopped) for group in groups]
    if merge and len(cells) > MAX_ROWS:
        busy = [i for i, g in enumerate(groups) if g[0].state not in ("idle", "running-guest", "unknown")]
        keep = set(busy[:MAX_ROWS]) | set(range(MAX_ROWS - min(len(busy), MAX_ROWS)))
        return [r for i, r in enumerate(cells) if i in keep], len(cells) - len(keep)
    return cells, 0


def _grouped(told: Sequence[ThreadExplanation], by_summary: bool) -> List[List[ThreadExplanation]]:
    found: Dict[Tuple[object, ...], List[ThreadExplanation]] = {}
    for t in told:
        quiet = by_summary or t.state not in ("idle", "running-guest", "waiting-bql")
        key = (t.role, t.state, t.summary if quiet else "", t.thread.kernel_only, t.thread.history, t.thread.crashed,
               tuple(t.holds), t.waits_for.object if t.waits_for else None)
        found.setdefault(key, []).append(t)
    groups: List[List[ThreadExplanation]] = []
    for group in found.values():
        groups += [group] if len(group) >= 3 else [[t] for t in group]
    position = {id(t): i for i, t in enumerate(told)}
    return sorted(groups, key=lambda g: position[id(g[0])])


def _row(explanation: Explanation, group: Sequence[ThreadExplanation], stopped: Set[int]) -> Row:
    first = group[0]
    numbers = words.ranges([t.thread.number for t in group if t.thread.number is not None])
    if first.thread.kernel_only:
        many = "no QEMU thread: kernel helper, no user stack"
        return numbers or "-", f"({many})", "", ""
    summaries = collections.Counter(t.summary for t in group)
    summary, times = summaries.most_common(1)[0]
    if times < len(group):
        summary = f"most: {summary}" if times > len(group) // 2 else f"for example: {first.summary}"
    label = words.role_label(first, explanation.accelerator) if len(group) == 1 else words.group_label(
        group, explanation.accelerator)
    state = safe(words.state_label(first, is_stopped=first.thread.lwp in stopped))
    mark = "*" if first.thread.current and len(explanation.threads) > 1 else ""
    return (numbers or "-") + mark, safe(label), state, safe(summary)


def _coroutines(explanation: Explanation, form: Form) -> List[str]:
    """The suspended coroutines; those that rest only with --all or -v."""
    told = [c for c in explanation.coroutines if c.state != "idle" or form.all_threads or form.verbose]
    if not told:
        return []
    lines = [f"Coroutines ({len(told)} suspended)"]
    shown = told if form.all_threads else told[:8]
    for c in shown:
        start = f"  {hex(c.coroutine.address)}  "
        lines += wrap(safe(c.summary or c.state), form.columns, indent=start, hanging=" " * len(start))
    if len(shown) < len(told):
        lines.append(f"  and {len(told) - len(shown)} more; qemu-coroutines shows them")
    return [*lines, ""]


def _folded(told: Sequence[ThreadExplanation]) -> List[Tuple[ThreadExplanation, List[ThreadExplanation]]]:
    """Threads with the same stack told once: the first of them, and all of them."""
    found: Dict[Tuple[object, ...], List[ThreadExplanation]] = {}
    for t in told:
        frames = tuple((f.function, f.line) if f.function else (f.pc,) for f in t.thread.frames)
        found.setdefault((t.role, t.state, t.thread.kernel_only, frames), []).append(t)
    return [(group[0], group) for group in found.values()]


def _asked(explanation: Explanation, form: Form) -> List[str]:
    lines = [cut(header(explanation), form.columns)]
    wanted = set(form.numbers)
    for told in explanation.threads:
        if told.thread.number in wanted:
            lines += ["", *_detail(explanation, told, form, [told])]
    return lines


def _detail(explanation: Explanation, told: ThreadExplanation, form: Form,
            same: Sequence[ThreadExplanation]) -> List[str]:
    """Everything about one thread."""
    thread = told.thread
    stopped = {v.lwp for v in explanation.snapshot.facts.vcpus if v.stopped and v.lwp is not None}
    numbers = words.ranges([t.thread.number for t in same if t.thread.number is not None])
    head = f"Thread{'s' if len(same) > 1 else ''} {numbers}" if numbers else "Thread"
    if len(same) == 1:
        about = [f"LWP {thread.lwp}" if thread.lwp is not None else "", f'"{thread.name}"' if thread.name else ""]
        label = words.role_label(told, explanation.accelerator)
    else:
        about, label = [f"{len(same)} alike"], words.group_label(same, explanation.accelerator)
    extra = ", ".join(a for a in about if a)
    if extra:
        head += f" ({extra})"
    if thread.kernel_only:
        return [cut(safe(f"{head}: no QEMU thread but a kernel helper; it has no user stack"), form.columns)]
    state = words.state_label(told, is_stopped=thread.lwp in stopped)
    lines = wrap(safe(f"{head}: {label}, {state}"), form.columns, hanging="  ")
    summaries = {t.summary for t in same}
    if told.summary and len(summaries) == 1:
        lines += wrap(safe(told.summary), form.columns, indent="  ", hanging="  ")
    for key, value in sorted(told.role_detail.items()):
        if value not in (None, "", []) and key not in ("vcpu", "iothread"):
            lines += wrap(safe(f"{key}: {value}"), form.columns, indent="  ", hanging="    ")
    if told.holds:
        lines += wrap(safe(f"Holds: {', '.join(told.holds)}"), form.columns, indent="  ", hanging="    ")
    if told.waits_for is not None:
        lines += wrap(safe(f"Waits for: {waits(told)}"), form.columns, indent="  ", hanging="    ")
    if told.culprit and told.state != "idle":
        level = f" (frame {told.culprit_level})" if told.culprit_level is not None else ""
        lines += wrap(safe(f"Look at: {told.culprit}{level}"), form.columns, indent="  ", hanging="    ")
    if thread.signal is not None:
        lines += wrap(safe(f"Signal: {signal_text(thread.signal)}"), form.columns, indent="  ", hanging="    ")
    if told.stages:
        lines += ["  What it does, from the outside in:"]
        for stage in told.stages:
            span = f"#{stage.first}" if stage.first == stage.last else f"#{stage.first}-{stage.last}"
            start = f"    {pad(span, 7)} "
            lines += wrap(safe(stage.text or stage.name), form.columns, indent=start, hanging=" " * len(start))
    if form.verbose:
        rules = (("role", told.role_rule), ("state", told.state_rule), ("culprit", told.culprit_rule))
        spelled = "; ".join(f"{what} by {rule}" for what, rule in rules if rule)
        lines += wrap(safe(f"Rules: {spelled}"), form.columns, indent="  ", hanging="    ") if spelled else []
    if thread.kernel:
        lines += ["  Frames in the host's kernel", *_frames(thread.kernel, [], None, form)]
    if thread.frames:
        lines += ["  Frames", *_frames(thread.frames, told.frame_subsystems, told.culprit_level, form)]
    if thread.stop_reason:
        lines += wrap(safe(f"The stack ends here: {thread.stop_reason}"), form.columns, indent="  ", hanging="    ")
    return lines


def waits(told: ThreadExplanation) -> str:
    """What a thread waits for, in words."""
    w = told.waits_for
    if w is None:
        return "nothing"
    text = w.object or w.kind
    if w.owner_thread is not None:
        held = w.kind in ("bql", "mutex") or "lock" in w.kind
        text += f", held by thread {w.owner_thread}" if held else f"; thread {w.owner_thread} has to end that wait"
    return text


def signal_text(signal: Signal) -> str:
    """A signal in words."""
    text = signal.name or (f"signal {signal.number}" if signal.number is not None else signal.text or "unknown")
    if signal.address is not None:
        text += f" at address {hex(signal.address)}"
    return text


_BUILD = Pattern(r"^.*/qemu[-_]v?\d[^/]*/(?=[^/])")


def short_path(file: str) -> str:
    """A source file's path in QEMU's tree: ``../src/qemu-10.0.2/util/rcu.c`` is util/rcu.c."""
    cut_path = _BUILD.sub("", file)
    while cut_path.startswith("../"):
        cut_path = cut_path[3:]
    return cut_path


def _frames(frames: Sequence[Frame], subsystems: Sequence[Optional[str]], culprit: Optional[int],
            form: Form, limit: int = 400) -> List[str]:
    lines: List[str] = []
    shown = range(len(frames)) if len(frames) <= limit else [*range(limit // 2),
                                                            *range(len(frames) - limit // 2, len(frames))]
    before = -1
    for i in shown:
        if i != before + 1:
            lines.append(f"    ... {i - before - 1} frames left out ...")
        before = i
        frame = frames[i]
        file = short_path(frame.file or "")
        where = f"{file}:{frame.line}" if file and frame.line is not None else file
        if not where and frame.library:
            where = f"from {frame.library.rpartition('/')[2]}"
        args = ""
        if form.verbose and frame.args:
            args = " (" + ", ".join(f"{k}={v}" for k, v in frame.args.items()) + ")"
        mark = ">" if culprit is not None and frame.level == culprit else " "
        name = frame.function or {"signal": "<signal handler called>", "jit": "<guest code>"}.get(frame.kind, "??")
        if name == "??" and frame.pc is not None:
            name = f"?? at {hex(frame.pc)}"
        text = safe(f"{name}{args}" + (f"  {where}" if where else ""))
        subsystem = subsystems[i] if i < len(subsystems) else None
        start = f"   {mark}#{frame.level:<3} "
        if subsystem:
            tail = f"[{safe(subsystem)}]"
            room = form.columns - width(start) - width(tail) - 2
            if room >= 30 and width(text) <= room:
                text = pad(text, min(room, 60)) + "  " + tail
        lines += wrap(text, form.columns, indent=start, hanging=" " * 10) if form.verbose and width(
            text) > form.columns - width(start) else [cut(start + text, form.columns)]
    return lines
