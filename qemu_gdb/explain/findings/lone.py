"""Of a text without a stack: what the failure's own line tells, and what to add."""

from __future__ import annotations

from typing import List, Optional, Tuple

from ...knowledge import sanitizers
from ...model import Evidence, Finding, Message
from ...pattern import Pattern
from ..context import Context
from . import common, host_log, said_at_exit

# a message's kind, the finding's kind, what happened; the first that the text holds is told
_ROWS: Tuple[Tuple[str, str, str], ...] = (
    ("assertion", "crash.assertion", "Assertion failed"),
    ("rust-panic", "crash.abort", "Rust panic"),
    ("hw-error", "crash.hw-error", "A device model gave up"),  # hw_error(), system/cpus.c
    ("cpu-abort", "crash.abort", "The CPU emulation gave up"),  # cpu_abort(), cpu-target.c
    ("error-abort", "crash.error-abort", "An error that was not expected"),  # error_handle(), util/error.c
    ("malloc", "crash.heap-corruption", "The heap is corrupt"),
    ("stack-smashing", "crash.abort", "The stack is overwritten"),
    ("fortify", "crash.abort", "A buffer overflowed"),
    ("sanitizer", "crash.invalid-access", "A sanitizer reports"),
)
_STEP = (
    "add the stacks: `coredumpctl gdb` or `gdb PROGRAM CORE`, then `thread apply all bt`; the line alone does not say"
    " how QEMU came there"
)


def find(context: Context) -> List[Finding]:
    """One finding where the text has no stack but a line that QEMU, libc, a sanitizer or the host wrote of its end."""
    for wanted, kind, headline in _ROWS:
        message = next((m for m in context.snapshot.messages if m.kind == wanted), None)
        if message is not None:
            return [_finding(message, _kind(message) or kind, headline)]
    return host_log.find(context) or said_at_exit.find(context)


def beside(context: Context) -> List[Finding]:
    """A failed assertion or a panic that QEMU itself wrote, above stacks none of which is of it."""
    for message in context.snapshot.messages:
        if message.kind == "assertion" and _QEMUS.search(message.text):
            kind, headline = "crash.assertion", "Assertion failed"
        elif message.kind == "rust-panic" and (message.file or "").startswith("rust/"):  # as in QEMU's tree
            kind, headline = "crash.abort", "Rust panic"
        else:
            continue
        found = _finding(message, kind, headline)
        found.confidence = "likely"
        found.explanation = "That aborts QEMU, and no stack here is of it: they are of another moment or process."
        found.rule = "no-stack-of-it"
        return [found]
    return []


_QEMUS = Pattern(r"(?:^|[\s\"'])(?:qemu|kvm)[\w.+-]{0,60}: ")  # libc puts the program's name in front


def _kind(message: Message) -> Optional[str]:
    if message.kind != "sanitizer":
        return None
    row = sanitizers.row_of(message.text)
    return row[1] if row is not None else None


def _finding(message: Message, kind: str, headline: str) -> Finding:
    line = common.oneline(message.text)
    if message.kind == "rust-panic":
        title = f"{headline} at {common.location(message.file, message.line)}"
        title += f': "{common.cut(message.expression, 90)}"' if message.expression else ""
    elif message.expression:
        spot = common.location(message.file, message.line)
        title = f'Assertion "{common.cut(message.expression, 80)}" failed'
        title += (f" in {message.function}" if message.function else "") + (f", {spot}" if spot else "")
    else:
        title = f"{headline}: {common.cut(line, 100)}"
    return Finding(
        kind,
        title,
        "certain",
        "The text has this line and no stack.",
        evidence=[Evidence(text=line)],
        next_steps=[_STEP],
        rule="no-stack",
    )
