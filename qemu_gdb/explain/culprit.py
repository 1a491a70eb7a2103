"""Names the frame that an expert would point at in a thread that is not at rest: who did it, who decided to wait."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from ..knowledge import functions
from ..knowledge.aborts import RAISES_AGAIN, gives_up
from ..knowledge.helpers import ALLOCATORS, CONTENTION, THIN_LOCK, helper_for
from ..knowledge.rests import DISPATCHERS, VCPUS
from ..knowledge.roles import ENTRIES, STARTERS
from ..knowledge.rules import COPIES, DMA
from .blocked import blocked
from .context import Context, Subject
from .owners import code_of, codes
from .recursion import find_recursion, is_deep, overflowing, telling
from .stack import Stack


class Question(NamedTuple):
    """For which states a culprit is named, and which helpers are looked past on the way to it."""

    name: str
    states: Tuple[str, ...]
    past: str  # of knowledge.helpers
    why: str


# In order, by the thread's state. A state without a row has no culprit: its thread is at rest, runs the guest, or
# says nothing.
QUESTIONS: Tuple[Question, ...] = (
    Question("who-gave-up", ("aborting",), "crash", "the first QEMU function under the machinery of abort"),
    Question("who-crashed", ("crashed",), "crash", "the innermost QEMU function that is no general helper"),
    Question(
        "who-decided-to-poll",
        ("waiting-drain-or-nested-poll",),
        "wait",
        "the QEMU function that polls until something else is done",
    ),
    Question(
        "who-wants-the-lock",
        ("waiting-bql", "waiting-aiocontext-lock", "waiting-mutex"),
        "wait",
        "the function that takes the lock",
    ),
    Question(
        "who-decided-to-wait",
        ("waiting-condvar", "blocked-syscall", "exiting"),
        "wait",
        "the QEMU function that called the wait",
    ),
    Question("who-is-busy", ("executing",), "work", "the innermost QEMU function that is no general helper"),
)


LEAK = Question("who-forgets", (), "leak", "the function that had memory allocated, above constructors and visitors")


def assign(context: Context) -> None:
    """Fill culprit, culprit_level and culprit_rule of every thread; roles and states are known already."""
    for subject in context.subjects:
        _assign(context, subject)
        if subject.told.state_rule == "cut-above-a-failed-assertion":
            failed = [m.function for m in context.snapshot.messages if m.function]
            position = subject.stack.find(failed, 0, 3)
            if position is not None and not helper_for(subject.stack.names[position], "crash"):
                _tell(subject, position, "who-failed-the-check")


def allocates(subject: Subject) -> bool:
    """Whether a stack is that of an allocation, as reports of leaked memory show it: no signal, allocator on top."""
    stack = subject.stack
    if subject.told.state == "aborting" or not stack.names or subject.told.thread.signal is not None:
        return False
    if subject.told.state_rule.startswith(("signal:", "sanitizer-report")) and "nothing" not in subject.told.state_rule:
        return False
    return ALLOCATORS.match(next((n for n in stack.names if n), "")) is not None


def _assign(context: Context, subject: Subject) -> None:
    told = subject.told
    told.culprit = told.culprit_level = None
    told.culprit_rule = ""
    if told.state == "idle":
        found = _decides_in_a_tool(subject)
        if found is not None:
            _tell(subject, found, "who-decided-to-poll")
        return
    if told.state == "crashed" or (told.state == "executing" and is_deep(subject.stack)):
        recursion = find_recursion(subject.stack)
        if recursion is None and told.state_rule.startswith("signal:"):
            recursion = overflowing(context.snapshot, subject.stack)
        named = telling(recursion, subject.stack) if recursion is not None else ""
        position = subject.stack.find(named) if named else None
        if position is not None:
            _tell(subject, position, "who-recurses")
            return
    question = next((q for q in QUESTIONS if told.state in q.states), None)
    if question is not None and question.past in ("crash", "work") and allocates(subject):
        question = LEAK
    if told.thread.truncated_top and not _visible(subject):
        told.culprit_rule = "innermost-frames-missing"
        return
    if question is None or told.role in ("external-library", "glib-worker") or _ordinary(subject):
        return
    if told.state_rule == "fatal-path:error-abort":
        passed = _passed_error_abort(subject.stack)
        if passed is not None:
            _tell(subject, passed, "who-passed-error_abort")
            return
    position = find(subject.stack, question)
    if position is not None:
        _tell(subject, position, question.name)


_ABORT_FRAMES = 6  # as many frames may stand between the function that gives up and the kernel, in any libc


def _visible(subject: Subject) -> bool:
    """Whether a stack without its innermost frames still shows who is to blame: only abort's machinery is missing."""
    state = subject.told.state
    if state == "aborting":
        return subject.stack.level(0) <= _ABORT_FRAMES
    return state not in ("crashed", "executing")


def _tell(subject: Subject, position: int, rule: str) -> None:
    subject.told.culprit = subject.stack.names[position]
    subject.told.culprit_level = subject.stack.level(position)
    subject.told.culprit_rule = rule


def _ordinary(subject: Subject) -> bool:
    """Waits that every such thread does all the time: a vCPU for the BQL, an emulated program in a system call."""
    told = subject.told
    if told.role == "user-mode" and told.state == "blocked-syscall":
        return not subject.stack.has("gdb_handlesig")
    if told.role == "unknown" and told.state.startswith(("waiting", "blocked")) and not _has_qemu(subject.stack):
        return True
    if told.role == "rcu" and told.state == "waiting-condvar":
        return True  # it waits for readers: they decide, not it
    if told.state not in ("waiting-bql", "waiting-aiocontext-lock"):
        return False
    stack = subject.stack
    top = blocked(stack)
    for position in range(max(top.last, 0), len(stack.names)):
        name = stack.names[position]
        if code_of(stack.frames[position]).owner != "qemu":
            continue
        if name in CONTENTION:
            return (
                told.state == "waiting-bql"
                and (told.role in VCPUS or name != "prepare_mmio_access")
                or (told.state == "waiting-aiocontext-lock" and told.role == "iothread")
            )
        if not helper_for(name, "wait"):
            return False
    return True


def _has_qemu(stack: Stack) -> bool:
    return any(code_of(f).owner == "qemu" for f in stack.frames)


def find(stack: Stack, question: Question) -> Optional[int]:
    """Position of the frame that answers a question, None where no QEMU function is on the stack."""
    first: Optional[int] = None
    top = blocked(stack) if question.past == "wait" else None
    start = max(top.last, 0) if top is not None and question.name != "who-gave-up" else 0
    signal = stack.find(("<signal handler called>",))
    if question.past == "crash" and signal is not None and signal < 12 and _handler_only_ends(stack, signal):
        start = signal + 1
    lock_above = False
    loop = top.loop if top is not None and top.loop is not None else start - 1
    for position in range(start, len(stack.frames)):
        name = stack.names[position]
        if not name:
            continue
        if name in DISPATCHERS and position > max(loop, start):
            # whoever decided, or is to blame, was called by the loop: the functions outside of it have no part in that
            if first is not None:
                return first
            named = codes(stack)[position].owner == "qemu" and all(stack.names[start:position])
            return position if named else None
        code = codes(stack)[position]
        if code.owner == "jit":
            break
        if code.owner != "qemu":
            continue
        if name in STARTERS:
            continue
        family = helper_for(name, question.past)
        if not family and question.past == "crash" and gives_up(name):
            family = "fatal-path"
        if not family and lock_above and THIN_LOCK.match(name) and position + 1 < len(stack.names):
            family = "lock"
        if not family and question.past == "crash" and past_copy(stack, position) != position:
            family = "copy"
        lock_above = family == "lock"
        if family:
            if family != "fatal-path" and first is None:
                first = position
            continue
        first = position if first is None else first
        if first != position and (name == "main" or name in ENTRIES and ENTRIES[name].role in VCPUS):
            return position if helper_for(stack.names[first], question.past) == "lock" else first
        return position
    return first


def past_copy(stack: Stack, position: int) -> int:
    """From a function that only copied between guest memory and its caller's buffer: where the device is that gave
    the buffer. The same position where the stack shows no such copy.
    """
    names = stack.names
    if not (names[position] in DMA and any(COPIES.match(n) for n in names[:3])):
        return position
    if any(n and n not in DMA and code_of(f).owner == "qemu" for n, f in zip(names[:position], stack.frames)):
        return position
    outer = next((p for p in range(position, len(names)) if names[p] and names[p] not in DMA), None)
    if outer is None or names[outer] in CONTENTION or code_of(stack.frames[outer]).owner != "qemu":
        return position
    known = functions.lookup(names[outer])  # one of no release that is known is a device's: the rest changes less
    return outer if not known or any(info.file.startswith("hw/") for info in known) else position


def _handler_only_ends(stack: Stack, signal: int) -> bool:
    """Whether a signal's handler only reports it or raises it again: then the interrupted frame is the one to blame."""
    return all(
        name in RAISES_AGAIN for name, f in zip(stack.names[:signal], stack.frames) if code_of(f).owner == "qemu"
    )


def _passed_error_abort(stack: Stack) -> Optional[int]:
    """Who gave &error_abort to a function that failed: the caller of the outermost frame that shows it as its errp."""
    for position in range(len(stack.frames) - 2, -1, -1):
        if stack.arg_symbol(position, "errp") in ("error_abort", "error_fatal"):
            for outer in range(position + 1, len(stack.frames)):
                if stack.names[outer] and code_of(stack.frames[outer]).owner == "qemu":
                    return None if helper_for(stack.names[outer], "crash") else outer
    return None


def _decides_in_a_tool(subject: Subject) -> Optional[int]:
    """qemu-img and its like run the main loop until their request is done: the function that does so."""
    if subject.told.role != "tool-main":
        return None
    stack = subject.stack
    loop = stack.find(("main_loop_wait", "aio_poll"))
    if loop is None:
        return None
    for position in range(loop + 1, len(stack.names)):
        if (
            stack.names[position]
            and stack.names[position] != "main"
            and code_of(stack.frames[position]).owner == "qemu"
        ):
            return position
    return None
