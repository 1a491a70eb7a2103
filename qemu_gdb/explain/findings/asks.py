"""The two or three gdb commands whose output would settle what a pasted text leaves open, for this very case."""

from __future__ import annotations

import re
from typing import List, Optional

from ...knowledge.aborts import fatal_path_of
from ...model import Finding
from ...pattern import Pattern
from .. import printed
from ..context import Context, Subject
from ..owners import code_of, codes
from ..printed_access import instruction_of, pointer_register
from . import common, debuggers, printable
from .links import ALL_THREADS, complete, main_stuck

MAX_STEPS = 3
_SECOND_SAMPLE = "a second sample, some seconds later: which frames are the same?"
_WITHOUT_GDB = ("addr2line", "coredumpctl", "glibc", "list", "rust")  # spellings of what is no debugger's session
_ASKS_MONITOR = Pattern(
    r"^(?:info (?:migrate|status|block|replay|cpus)|query-\w+)\b|on a QMP monitor(?!.{0,30}negotiated oob)"
)
_NEEDS_SYMBOLS = Pattern(r"\binfo locals|\bp(?:rint)? [*(&]|\bprint the\b")
_NEEDS_GDB = Pattern(r"\bframe \d|\$_siginfo|^(?:p|print|x/\w+) ")


def fill(context: Context, findings: List[Finding]) -> None:
    """Complete and bound the next steps of the main finding."""
    if not findings:
        return
    source = context.snapshot.source
    if source.kind == "text":
        _text(context, findings[0])
    listed = source.kind == "text" and complete(context)
    stuck = any(f.kind.startswith("hang.") for f in findings) and main_stuck(context)
    for found in findings:
        if stuck:  # its commands are served by the main loop
            found.next_steps = [s for s in found.next_steps if not _ASKS_MONITOR.search(s)]
        if found.kind.startswith("hang."):
            if listed:  # the text is that command's output
                found.next_steps = [s.replace(f": {ALL_THREADS}", "") for s in found.next_steps if s != ALL_THREADS]
            found.next_steps = found.next_steps or [_SECOND_SAMPLE]
        steps = (debuggers.step_for(source.dialect, step) for step in found.next_steps)
        found.next_steps = list(dict.fromkeys(steps))[: MAX_STEPS + 1]


_COMMANDS = Pattern(r"(?P<lead>frame \d+, then:? )?(?P<commands>[^:]*\$pc[^:]*)(?P<why>: .*)$")
_PRINTS = Pattern(r"print (?P<what>\*?\w+) in frame \d+$")


def _unanswered(context: Context, steps: List[str]) -> List[str]:
    """The steps without commands whose output the text already has."""
    if not any(_PRINTS.match(step) or _COMMANDS.match(step) for step in steps):
        return steps
    snapshot = context.snapshot
    asked = {name for name, _ in printed.values(snapshot)}
    frames = [s.stack.frames[0] for s in context.live_subjects[:64] if len(s.stack)]
    instruction = next((text for text in (instruction_of(snapshot, f) for f in frames) if text), "")
    pointer = pointer_register(instruction)
    has = {
        "x/i $pc": bool(instruction),
        "info registers": bool(pointer) and printed.register(snapshot, pointer) is not None,
        "p $_siginfo._sifields._sigfault.si_addr": printed.signal_address(snapshot) is not None,
    }
    kept = []
    for step in steps:
        printing = _PRINTS.match(step)
        if printing is not None and printing.group("what") in asked:
            continue
        found = _COMMANDS.match(step)
        if found is not None:
            before = re.split(r", | and ", found.group("commands"))
            commands = [c for c in before if not has.get(c)]
            if not commands:
                continue
            if len(commands) < len(before):
                lead = found.group("lead") or ""
                if commands == ["info locals"]:
                    lead = lead.replace(", then: ", ", ").replace(", then ", ", ")
                if pointer:
                    commands = [f"{c} {pointer}" if c == "info registers" else c for c in commands]
                step = f"{lead}{', '.join(commands)}{found.group('why')}"
        kept.append(step)
    return kept


def _whose_symbols(program: str, crashed: Optional[Subject]) -> str:
    """Of what the debug symbols are missing: where it crashed in a library, of that one first."""
    own = "virtiofsd's" if "virtiofsd" in program else "QEMU's"  # no part of QEMU since 8.0
    if crashed is None:
        return own
    told = crashed.told.culprit
    named = next((f for f in crashed.stack.frames if told and f.name == told), None)
    place = named or next((f for f, code in zip(crashed.stack.frames, codes(crashed.stack))
                  if code.owner not in ("libc", "none") and (f.name or "") not in common.PLUMBING
                           and fatal_path_of(f.name or "") is None), None)
    if place is None or not place.library or place.file or code_of(place).owner != "library":
        return own
    name = place.library.rsplit("/", 1)[-1]
    return f"{name}'s" if not any(code.owner == "qemu" for code in codes(crashed.stack)) else f"{name}'s and {own}"


def _text(context: Context, main: Finding) -> None:
    subjects = context.live_subjects
    steps = main.next_steps
    asked = " ".join(steps)
    alone = len(subjects) == 1 and main.rule != "fork-lock"
    if main.kind.startswith("hang.") and alone and "thread apply all bt" not in asked:
        steps.append("thread apply all bt")
    crash = main.kind.startswith("crash.") and main.rule != "crash.watchdog"
    if crash and main.threads and context.with_role("rcu") and "asan" not in asked.lower():
        crashed = next((s for s in subjects if s.number in main.threads), None)
        if crashed is not None and crashed.told.role == "rcu":
            steps.append("run with AddressSanitizer (configure --enable-asan): it names who freed the object first")
    program = context.explanation.program or ""
    died = [s for s in subjects if s.told.state in ("crashed", "aborting")]
    crashed = next((s for s in subjects if s.number in main.threads or len(subjects) == 1), next(iter(died), None))
    shown = [crashed] if crash and crashed is not None else subjects
    bare = bool(subjects) and not any(f.file for s in shown for f in s.stack.frames)
    if crash and bare and main.kind == "crash.seccomp":  # that call is named: only QEMU's own frames want symbols
        bare = any(code.owner == "qemu" for s in shown for code in codes(s.stack))
    if crash and crashed is not None:
        steps[:] = printable.without_sources(crashed, steps)
    steps[:] = _unanswered(context, steps)
    whose = _whose_symbols(program, crashed if crash else None)
    dialect = context.snapshot.source.dialect
    prints = next((i for i, step in enumerate(steps) if bare and _NEEDS_SYMBOLS.search(step)), None)
    if prints is not None:
        first = 0 if crash else max(prints, 1)
        steps.insert(first, f"install {whose} debug symbols: this text has no files and arguments")
    if crash and bare and not any("debug symbols" in step for step in steps):
        steps.append(f"install {whose} debug symbols and take bt full again: this text has no files and arguments")
    if crash and dialect in _WITHOUT_GDB:
        pid = context.snapshot.source.pid if dialect == "coredumpctl" else None
        if any(_NEEDS_GDB.search(step) or (pid and "take bt full" in step) for step in steps):
            steps.insert(
                0, f"coredumpctl gdb {pid}: that core in gdb, for what follows" if pid else
                "open a core in gdb (`coredumpctl gdb PID`) for what follows; it may number the frames otherwise"
            )
