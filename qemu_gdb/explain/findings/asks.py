"""The two or three gdb commands whose output would settle what a pasted text leaves open, for this very case."""

from __future__ import annotations

from typing import List

from ...model import Finding
from ...pattern import Pattern
from ..context import Context
from . import debuggers

MAX_STEPS = 3
_WITHOUT_GDB = ("addr2line", "coredumpctl", "glibc", "list", "rust")  # spellings of what is no debugger's session
_NEEDS_GDB = Pattern(r"\bframe \d|\$_siginfo|^(?:p|print|x/\w+) ")


def fill(context: Context, findings: List[Finding]) -> None:
    """Complete and bound the next steps of the main finding."""
    if not findings:
        return
    main = findings[0]
    if context.snapshot.source.kind == "text":
        _text(context, main)
    dialect = context.snapshot.source.dialect if context.snapshot.source.kind == "text" else ""
    for found in findings:
        steps = [debuggers.step_for(dialect, step) for step in found.next_steps]
        found.next_steps = list(dict.fromkeys(steps))[: MAX_STEPS + 1]


def _text(context: Context, main: Finding) -> None:
    subjects = context.live_subjects
    steps = main.next_steps
    asked = " ".join(steps)
    if main.kind.startswith("hang.") and len(subjects) == 1 and "thread apply all bt" not in asked:
        steps.append("thread apply all bt")
    crash = main.kind.startswith("crash.")
    if crash and main.threads and context.with_role("rcu") and "asan" not in asked.lower():
        crashed = next((s for s in subjects if s.number in main.threads), None)
        if crashed is not None and crashed.told.role == "rcu":
            steps.append("run with AddressSanitizer (configure --enable-asan): it names who freed the object first")
    dialect = context.snapshot.source.dialect
    if crash and dialect in _WITHOUT_GDB and any(_NEEDS_GDB.search(step) for step in steps):
        pid = context.snapshot.source.pid if dialect == "coredumpctl" else None
        steps.insert(0, f"coredumpctl gdb {pid}: that core in gdb, for what follows" if pid else
                     "open a core in gdb (`coredumpctl gdb PID`) for what follows; it may number the frames otherwise")
    if (
        crash
        and main.kind not in ("crash.assertion", "crash.hw-error")
        and not any(f.file for s in subjects[:1] for f in s.stack.frames)
    ):
        steps.append("install QEMU's debug symbols and take bt full again: this text has no files and arguments")
