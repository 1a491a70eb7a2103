"""A test program that aborts since the QEMU that it drives has died: tests/qtest/libqtest.c, 2.x to 10.2."""

from __future__ import annotations

from typing import Optional

from ...model import Evidence, Finding, Message
from ...pattern import Pattern
from ..context import Context, Subject
from .cause import Cause
from .common import at, evidence, oneline

# who looks at how the QEMU under test ended; each may be inlined into the next
NOTICES = ("kill_qemu", "qtest_kill_qemu", "qtest_check_status", "qtest_wait_qemu")
_DEATH = Pattern(r"(?:death from (?P<signal>signal \d+ \([^)]*\)(?: \(core dumped\))?)|exit status (?P<status>-?\d+))")
_STEPS = (
    "the test's log above that line has QEMU's own stderr: the failed assertion or sanitizer report",
    "QEMU's own core (`coredumpctl list`), or run the test with QTEST_STOP=1 and attach gdb to that QEMU",
)


def finding(message: Message) -> Finding:
    """The finding where only the test's line is known."""
    return Finding("crash.signal", f"The QEMU under test {_how(message)}", "certain",
                   "The test only notices it: the cause is QEMU's.", next_steps=list(_STEPS), rule="qemu-died")


def cause(context: Context, subject: Subject, blame: Optional[int]) -> Cause:
    """The cause of the test's own abort: the stack says nothing of why QEMU died."""
    message = next((m for m in context.snapshot.messages if m.kind == "qemu-died"), None)
    how = _how(message) if message is not None else "died, or ended with another status than expected"
    found = Cause(subject, "crash.abort", f"A test aborts: the QEMU under test {how}", "qemu-died", blame=blame)
    found.sentences.append("This is the stack of the test program, which only noticed it; QEMU is another process.")
    found.steps += _STEPS
    if message is not None:
        found.proof.append(Evidence(text=oneline(message.text), thread=subject.number))
    if blame is not None:
        found.proof.append(evidence(subject, blame, at(subject.stack, blame)))
    return found


def _how(message: Message) -> str:
    match = _DEATH.search(message.text)
    if match is None:
        return "died"
    return f"died of {match.group('signal')}" if match.group("signal") else f"ended with status {match.group('status')}"
