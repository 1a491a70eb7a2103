"""Why the process crashed: which thread, the cause, and the finding that tells it."""

from __future__ import annotations

from typing import List, Optional

from ...knowledge import signals
from ...knowledge.aborts import DEFERRED, fatal_path_of
from ...model import Finding, Message
from ...pattern import Pattern
from ..context import Context, Subject
from ..fuzzer import report_of
from ..recursion import DEEP
from ..stack import Stack, once_a_stack
from ..states import can_have_taken, tries_instructions
from . import common, fault_facts, fuzzers, printable
from .aborts import aborted
from .cause import Cause, check_of, fatal_signal, is_fatal
from .common import oneline, place, who
from .faults import as_told, faulted
from .guest_signal import guest_died
from .recursion import overflow, recurses
from .sanitizers import sanitizer


def find_cause(context: Context) -> Optional[Cause]:
    """The cause of the crash, None for a process that has not crashed."""
    subject = crashed_subject(context)
    if subject is None or tries_instructions(context):
        return None
    for examine in (fuzzers.stopped, sanitizer, guest_died, aborted, overflow, faulted, as_told):
        cause = examine(context, subject)
        if cause is not None:
            if cause.kind == "crash.stack-overflow":
                recurses(cause)
            fault_facts.refine(context, cause)
            return cause
    return None


def possible_crash(context: Context) -> Optional[Cause]:
    """What a stack without any signal would mean if it is a crash's: where it stopped, at "possible".

    For a stack alone that ends in the middle of a statement, or right above a function that checks something.
    """
    marked = [s for s in context.live_subjects if s.told.state in ("crashed", "aborting")]
    if len(marked) != 1 or stopped_by_debugger(context):
        return None
    subject, rule = marked[0], marked[0].told.state_rule
    if rule.startswith("cut-above-a-check"):
        return _cut_check(subject)
    cause = as_told(context, subject)
    if cause is not None:
        pointer = cause.kind != "crash.signal"
        if not pointer:
            function = cause.function or "this function"
            cause.headline = f"If this is a crash: it stopped in the middle of a statement in {function}"
            cause.sentences = [
                "No signal is in the input. Frame 0 has a program counter inside a statement, as after a fault, or "
                "where somebody "
                "interrupted a running process.",
                *cause.sentences[1:],
            ]
        sure = cause.row == "as-told-in-words" or (pointer and "bad-pointer" in rule)
        cause.confidence = "likely" if sure else "possible"
    return cause


def _cut_check(subject: Subject) -> Optional[Cause]:
    """A stack cut right above a function with a check, as if the frames of assert() had been left out."""
    stack = subject.stack
    position = common.qemu_frame(stack)
    if position is None or not stack.level(0):
        return None
    function = stack.names[position]
    count = stack.level(0)
    spot = place(stack.frames[position])
    cause = Cause(
        subject,
        "crash.assertion",
        f"If this is a failed assertion: it is in {function}" + (f", {spot}" if spot else ""),
        "cut-check",
        "possible",
        position,
        function=function,
        file=stack.frames[position].file,
        line=stack.frames[position].line,
    )
    cause.sentences.append(
        f"The {count} frames that are missing above {function} are as many as a failed assertion takes (raise, "
        f"abort, assert)."
    )
    check = check_of(function)
    if check:
        cause.sentences.append(check)
    cause.steps.append("the line \"Assertion `...' failed\" of QEMU's stderr, and the frames above")
    return cause


# --------------------------------------------------------------------------------------------------------------
# Which thread crashed

_DEBUGGER_STOP = Pattern(
    r"(?:^|\b)(?:Temporary b|[Bb])reakpoint \d+(?:\.\d+)?,|hit (?:Temporary |Hardware )?(?:[Bb]reakpoint|[Ww]atchpoint|"
    r"Catchpoint)|[Ww]atchpoint \d+:|stop reason = (?:breakpoint|step|watchpoint)|Catchpoint \d+|Break instruction "
    r"exception"
    r"|Hardware (?:access|read|watchpoint)|Old value ="
)


def stopped_by_debugger(context: Context) -> str:
    """The line by which a debugger tells that a breakpoint stopped the process, "" without one."""
    signal = context.snapshot.signal
    if (
        signal is not None
        and signal.name == "SIGTRAP"
        and not any(_ends_process(s.stack) for s in context.live_subjects)
    ):
        return signal.text or "SIGTRAP"
    for text in ([signal.text] if signal and signal.text else []) + context.snapshot.unparsed[:4000]:
        if "reak" in text or "atch" in text or "stop reason" in text or "Old value" in text:
            found = _DEBUGGER_STOP.search(text)
            if found:
                return oneline(text)
    for thread in context.snapshot.threads:
        if thread.heading and _DEBUGGER_STOP.search(thread.heading):
            return oneline(thread.heading)
    return ""


def crashed_subject(context: Context) -> Optional[Subject]:
    """The thread that took the fatal signal or is ending the process."""
    subjects = context.live_subjects
    signal = fatal_signal(context)
    aborting = [s for s in subjects if _ends_process(s.stack)]
    stop = context.snapshot.signal
    if stop is not None and stop.name in signals.TRAPS:
        aborting += [s for s in subjects if _glib_traps(s.stack)]
    name = signals.named(signal)
    for subject in subjects:
        thread = subject.told.thread
        if thread.crashed or (thread.signal is not None and is_fatal(thread.signal)):
            if aborting and subject not in aborting and not can_have_taken(subject, name):
                continue
            return subject
    if signal is not None:
        if signal.name in ("SIGABRT", "EXC_CRASH") and aborting:
            return aborting[0]
        current = [s for s in subjects if s.told.thread.current]
        if current and not _rests(current[0]) and can_have_taken(current[0], name):
            return current[0]
        if aborting:
            return aborting[0]
        if current:
            return current[0]
        return next((s for s in subjects if not _rests(s)), subjects[0] if subjects else None)
    if aborting:
        return aborting[0]
    marked = [s for s in subjects if s.told.state in ("crashed", "aborting") and _sure(s.told.state_rule)]
    if marked:
        return marked[0]
    deep = next((s for s in subjects if s.stack.frames and s.stack.frames[-1].level >= DEEP), None)
    if deep is not None:
        return deep
    if (report := report_of(context.snapshot)) is not None and report.ended and subjects:
        return subjects[0]
    if any(m.kind == "sanitizer" for m in context.snapshot.messages) and subjects:
        return subjects[0]
    fatal_lines = [m for m in context.messages if m.kind in _FATAL_MESSAGES]
    if fatal_lines and subjects and not stopped_by_debugger(context):
        return _subject_of(context, fatal_lines[0]) or _said_by(context, fatal_lines[0])
    return None


def _sure(rule: str) -> bool:
    """Whether the rule that found a thread crashed or aborting stands on more than where its stack ends."""
    return not rule.startswith(("cut-above-a-check", "stopped-in-the-middle", "bad-pointer"))


_FATAL_MESSAGES = frozenset(
    ("assertion", "hw-error", "error-abort", "malloc", "stack-smashing", "fortify", "cpu-abort")
)


def _subject_of(context: Context, message: Message) -> Optional[Subject]:
    if message.thread is not None and 0 <= message.thread < len(context.subjects):
        subject = context.subjects[message.thread]
        if not message.function or subject.stack.find(message.function, 0, 12) == common.qemu_frame(subject.stack):
            return subject
    return None


def _said_by(context: Context, message: Message) -> Optional[Subject]:
    """The thread whose innermost frames hold the function that a message names."""
    live = context.live_subjects
    if message.function:
        for subject in live:
            if subject.stack.find(message.function, 0, 12) == common.qemu_frame(subject.stack):
                return subject
        return None
    return live[0] if len(live) == 1 and not _rests(live[0]) else None


def _rests(subject: Subject) -> bool:
    return subject.waiting is not None


def _glib_traps(stack: Stack) -> bool:
    """Whether the innermost frame is GLib's, after a fatal message: g_logv() ends by a trap instruction."""
    name = next((n for n in stack.names[:3] if n), "")
    row = fatal_path_of(name)
    return row is not None and row.name == "glib"


@once_a_stack
def _ends_process(stack: Stack) -> bool:
    """Whether the innermost frames abort the process."""
    for position in range(min(len(stack), 8)):
        name = stack.names[position]
        row = fatal_path_of(name)
        if row is not None and name in row.ends:
            return True
        if row is None and name and name not in common.PLUMBING:
            return False
    return False


def told(context: Context, cause: Cause) -> Finding:
    """The finding that tells a cause."""
    subject, stack = cause.subject, cause.subject.stack
    sentences = list(cause.sentences)
    chain = common.story(context, subject) if cause.row not in ("sent", "watchdog") else ""
    lead = ""
    if chain:
        lead = f"{who(subject)}: {chain.rstrip('.')}."
    else:
        path = _path(stack, cause.blame)
        lead = f"{who(subject)} came there by {path}." if path else ""
    sentences += _beside(context)
    guest = _guest(context, cause)
    deferred = stack.find(DEFERRED, cause.blame or 0)
    if deferred is not None and subject.told.role == "rcu" and cause.kind != "crash.seccomp":
        sentences.append(
            "The RCU thread only runs what was queued for after a grace period: the fault is with whoever freed, "
            "queued twice "
            "or still used the object."
        )
    elif (
        stack.has("__run_exit_handlers")
        or stack.find(("bdrv_close_all", "qemu_cleanup", "qemu_chr_cleanup")) is not None
    ):
        sentences.append("QEMU is shutting down: something was torn down before what still uses it.")
    confidence = cause.confidence
    if subject.told.thread.truncated_top and cause.row not in ("assertion", "sanitizer") and confidence == "certain":
        confidence = "likely"
    result = common.finding(
        cause.kind,
        cause.headline,
        confidence,
        [lead, *sentences, guest],
        subjects=[subject],
        proof=cause.proof,
        steps=cause.steps,
        rule=f"crash.{cause.row}",
    )
    if not result.next_steps and cause.recursion is None:
        result.next_steps = printable.default_steps(context, cause)
    return result


def _beside(context: Context) -> List[str]:
    """Last words of another run that the text has, too: a second problem, whose stack is not there."""
    other = min(context.foreign, key=lambda message: not message.function, default=None)  # an assertion before others
    if other is None:
        return []
    told = f'"{common.cut(oneline(other.text), 100)}", with which this stack does not end'
    if other.function:
        told = (f"an assertion of {other.function} ({common.location(other.file, other.line)}), which this stack did "
                "not fail")
    return [f"The text also has {told}: it is of another run, whose stack is not here."]


def _path(stack: Stack, blame: Optional[int]) -> str:
    """The callers of the frame to blame, outermost first, where no story is known."""
    if blame is None:
        return ""
    names: List[str] = []
    position = blame
    while position < len(stack) and len(names) < 4:
        name = stack.names[position]
        if name and name not in common.PLUMBING and (not names or names[-1] != name):
            names.append(name)
        position += 1
    return " → ".join(reversed(names)) if len(names) > 1 else ""


def _guest(context: Context, cause: Cause) -> str:
    """Whether the stack shows that the guest's own access led here."""
    from .. import stories

    access = stories.guest_access(cause.subject.stack, context.facts)
    if access is None or (cause.blame is not None and access.first < cause.blame):
        return ""
    # memory that the host could not give: the guest has no part in that; damage that malloc finds was done elsewhere
    if cause.kind in ("crash.bus-error", "crash.heap-corruption"):
        return ""
    return "What is seen: the guest's own access leads to the failing code."
