"""Which of QEMU's own threading rules a stack breaks: often the cause behind a failed assertion or a deadlock."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from ...knowledge import holders, rules
from ...model import Finding
from ...role_words import role_words
from ..context import Context, Subject
from ..recursion import find_recursion, interval, telling
from ..stack import Stack, once_a_stack
from . import common
from .aborts import coroutine_line
from .cause import Cause, is_helper
from .common import at, capital, evidence, finding, who

_MOST = 8  # broken rules that are told


def find(context: Context, cause: Optional[Cause]) -> List[Finding]:
    """All rules broken, of the crashed thread first."""
    found: List[Finding] = []
    if cause is not None:
        found += _asserted(context, cause)
        found += _coroutine_entry(context, cause)
        found += _recursion(context, cause)
    subjects = context.live_subjects
    if len(subjects) > 64:
        subjects = [s for s in subjects if len(s.stack) > 12]
    for subject in subjects:
        if len(found) >= _MOST:
            break
        for rule in (_exclusive, _reentrancy, _nested_poll):
            one = rule(context, subject)
            if one is not None and not any(f.kind == one.kind and f.threads == one.threads for f in found):
                found.append(one)
    return found[:_MOST]


def thread_word(context: Context, subject: Subject) -> str:
    """ "an iothread": which kind of thread ran the code."""
    return role_words(subject.told.role).one


def asserted_rule(expression: Optional[str]) -> Optional[rules.AssertedRule]:
    """The threading rule that an assertion's expression checks."""
    if not expression:
        return None
    return next((row for row in rules.ASSERTED if row.expression.search(expression)), None)


def _asserted(context: Context, cause: Cause) -> List[Finding]:
    row = asserted_rule(cause.expression)
    inferred = False
    if (
        row is None
        and cause.expression is None
        and cause.kind == "crash.assertion"
        and cause.function in rules.BQL_CHECKS
    ):
        row, inferred = asserted_rule("bql_locked()"), True
    if row is None:
        return []
    subject, stack = cause.subject, cause.subject.stack
    function = cause.function or "this code"
    thread = thread_word(context, subject)
    blame = cause.blame
    sentences = [row.rule.format(function=function)]
    entry = _entry(stack, blame)
    steps: List[str] = []
    if row.name in ("bql", "global-state"):
        if subject.told.role == "iothread":
            way = _way(stack, blame)
            sentences.append(f"{capital(thread)} runs without the BQL" + (f"; it came here by {way}." if way else "."))
            sentences.append(
                "The call belongs in the main loop (a bottom half there), or must not be made from an iothread."
            )
        elif stack.find(rules.GENERATED) is not None:
            helper = _helper(stack)
            sentences.append(
                f"Generated guest code runs without the BQL, and {helper or 'its helper'} called this without "
                f"taking it: "
                "the helper has to take the BQL around the call (bql_lock)."
            )
        else:
            sentences.append(f"{who(subject)} came here" + (f" from {entry}" if entry else "") + " without taking it.")
    elif row.name == "bql-held-twice" and function in rules.BQL_HELD:
        held = rules.BQL_HELD[function]
        sentences.append(held.rule)
        caller = common.qemu_frame(stack, blame + 1) if blame is not None else None
        if caller is not None:
            steps.append(held.step.format(caller=at(stack, caller)))
    elif row.name == "in-coroutine":
        trampoline = stack.find("coroutine_trampoline")
        sentences.append(
            f"This stack is a coroutine's{f' ({at(stack, trampoline)} is its start)' if trampoline is not None else ''}"
            + (f"; the way in is {entry}." if entry else ".")
        )
    elif row.name == "exclusive":
        outer = stack.find(("cpu_exec", "cpu_exec_loop", "cpu_tb_exec"), blame or 0)
        if outer is not None:
            sentences.append(f"It was called inside {at(stack, outer)}.")
    proof = [
        evidence(subject, blame, f"{function} asserts {cause.expression or 'that the BQL is held (in its source)'}")
    ]
    if entry and blame is not None:
        position = stack.find(entry, blame)
        if position is not None:
            proof.append(evidence(subject, position, f"came from {entry}"))
    confidence = "likely" if inferred and cause.confidence != "possible" else cause.confidence
    return [
        finding(
            row.kind,
            capital(row.headline.format(function=function, thread=thread)),
            confidence,
            sentences,
            subjects=[subject],
            proof=proof,
            steps=steps,
            rule=f"asserted.{row.name}",
        )
    ]


def _entry(stack: Stack, blame: Optional[int]) -> str:
    """The function by which the outermost layer came here: the frame just inside the event loop or guest code."""
    if blame is None:
        return ""
    entry = ""
    for position in range(blame + 1, len(stack)):
        name = stack.names[position]
        if name in rules.GENERATED or name in (
            "coroutine_trampoline",
            "iothread_run",
            "aio_poll",
            "aio_dispatch_handler",
            "aio_bh_call",
            "aio_bh_poll",
            "g_main_context_dispatch",
            "qemu_thread_start",
            "aio_dispatch_handlers",
            "migration_thread",
            "kvm_cpu_exec",
            "timerlist_run_timers",
        ):
            return entry
        if name and name not in common.PLUMBING:
            entry = name
    return entry


def _way(stack: Stack, blame: Optional[int]) -> str:
    """The functions from the event loop to the frame to blame, outside in, bounded."""
    if blame is None:
        return ""
    names: List[str] = []
    notifier = False
    for position in range(blame + 1, len(stack)):
        name = stack.names[position]
        if name in ("aio_dispatch_handler", "aio_dispatch_handlers"):
            notifier = True
        if name in holders.EVENT_LOOP_INTERNALS or name in (
            "iothread_run",
            "coroutine_trampoline",
            "qemu_thread_start",
        ):
            break
        if name and (not names or names[-1] != name):
            names.append(name)
    names.reverse()
    if len(names) > 8:
        names = [*names[:4], "...", *names[-3:]]
    return ("an event notifier → " if notifier and names else "") + " → ".join(names)


def _helper(stack: Stack) -> str:
    guest = stack.find(rules.GENERATED)
    if guest is None or guest == 0:
        return ""
    return next((stack.names[p] for p in range(guest - 1, -1, -1) if stack.names[p]), "")


def _coroutine_entry(context: Context, cause: Cause) -> List[Finding]:
    line, meaning = coroutine_line(context)
    stack = cause.subject.stack
    position = stack.find(
        ("qemu_aio_coroutine_enter", "qemu_coroutine_enter", "coroutine_trampoline", "qemu_coroutine_yield"), 0, 12
    )
    if not line or position is None:
        return []
    caller = common.qemu_frame(stack, position + 1)
    while caller is not None and stack.names[caller] in (
        "aio_co_enter",
        "aio_co_wake",
        "qemu_coroutine_enter",
        "qemu_aio_coroutine_enter",
        "aio_co_schedule",
    ):
        caller = common.qemu_frame(stack, caller + 1)
    by = f", entered by {at(stack, caller)}" if caller is not None else ""
    return [
        finding(
            "rule.coroutine-context",
            f'"{line}"',
            "certain",
            [f"{capital(meaning)}{by}.", "Whoever queued or kept that coroutine did so after it had ended, or twice."],
            subjects=[cause.subject],
            proof=[evidence(cause.subject, position, line)],
            steps=_coroutine_steps(stack, position),
            rule="coroutine-entry",
        )
    ]


def _coroutine_steps(stack: Stack, position: int) -> List[str]:
    """Print the coroutine by a pointer to it that the frames show: its own, or the job's whose it is."""
    asks = "caller, scheduled and entry tell who entered it before"
    for outer in range(position, min(position + 8, len(stack))):
        for argument, expression in (("co", "co"), ("job", "job->co")):
            if (stack.arg_number(outer, argument) or 0) > 0xFFFF:
                return [f"print *{expression} in frame {stack.level(outer)}: {asks}"]
    if any("optimized out" in f.args.get("co", "") for f in stack.frames[position : position + 4]):
        return []
    return [f"print *co in the coroutine-enter frame: {asks}"]


def _recursion(context: Context, cause: Cause) -> List[Finding]:
    recursion = cause.recursion or find_recursion(cause.subject.stack)
    if recursion is None:
        return []
    names = [n for n in recursion.names if n and n not in common.PLUMBING]
    if not names:
        return []
    named = telling(recursion, cause.subject.stack) or names[-1]
    chain = interval(recursion, common.PLUMBING)
    return [
        finding(
            "rule.recursion",
            f"{named} is entered again and again inside its own call",
            "likely",
            [
                f"The interval is {chain} → {chain.partition(' → ')[0]}."
                if recursion.times
                else f"The stack goes on to level {recursion.last}; where it begins to repeat is not shown. Inside: "
                f"{chain}.",
                "One of these has to stop it: by noting that it is under way, by a limit on the depth, or by a bottom "
                "half that runs later.",
            ],
            subjects=[cause.subject],
            rule="recursion",
            proof=[
                evidence(
                    cause.subject, cause.subject.stack.find(names[0]), f"levels {recursion.first} to {recursion.last}"
                )
            ],
        )
    ]


# --------------------------------------------------------------------------------------------------------------


def exclusive_inside(stack: Stack) -> Optional[Tuple[int, int]]:
    """Positions of start_exclusive and of the cpu_exec frame around it, None where there are none."""
    inner = stack.find("start_exclusive")
    if inner is None:
        return None
    # cpu_exec_step_atomic and process_queued_cpu_work call it outside cpu_exec, as they should
    outer = stack.find(("cpu_tb_exec", "cpu_loop_exec_tb", "cpu_exec_loop", "cpu_exec_setjmp", "cpu_exec"), inner + 1)
    if outer is None or stack.find(("cpu_exec_step_atomic", "process_queued_cpu_work"), inner + 1, outer) is not None:
        return None
    return inner, outer


def exclusive_caller(stack: Stack, inner: int) -> Optional[int]:
    """Position of the frame that asked for the exclusive section."""
    position = inner + 1
    while position < len(stack) and stack.names[position] in ("start_exclusive", ""):
        position += 1
    return position if position < len(stack) else None


def _exclusive(context: Context, subject: Subject) -> Optional[Finding]:
    found = exclusive_inside(subject.stack)
    if found is None:
        return None
    stack = subject.stack
    inner, outer = found
    caller = exclusive_caller(stack, inner)
    name = stack.names[caller] if caller is not None else "a function"
    outermost = stack.find_outermost(("cpu_exec",))
    run = outermost if outermost is not None else outer
    title = f"{name} starts an exclusive section inside cpu_exec"
    sentences = [
        "start_exclusive() waits until no vCPU is inside cpu_exec, so a vCPU may call it only from outside: this "
        "one counts as "
        f"running itself since {at(stack, run)}.",
        "Code that needs it there has to leave cpu_exec first (cpu_loop_exit_atomic) or queue the work "
        "(async_safe_run_on_cpu).",
    ]
    return finding(
        "rule.exclusive-inside-cpu-exec",
        title,
        "certain",
        sentences,
        subjects=[subject],
        rule="exclusive-inside-cpu-exec",
        proof=[
            evidence(subject, inner, f"start_exclusive called by {name}"),
            evidence(subject, run, "cpu_exec has not been left"),
        ],
    )


def dispatches(stack: Stack) -> List[Tuple[int, str, str]]:
    """The device handlers on a stack, inner to outer: position, function, and the object that it serves."""
    found: List[Tuple[int, str, str]] = []
    position = 0
    while position < len(stack):
        if stack.names[position] in rules.DISPATCH:
            inner = position - 1
            while inner >= 0 and (not stack.names[inner] or stack.names[inner] in rules.DISPATCH):
                inner -= 1
            if inner >= 0 and (not found or found[-1][0] != inner):
                opaque = stack.arg(inner, "opaque", "ptr", "s", "p") or ""
                found.append((inner, stack.names[inner], opaque.split()[0] if opaque else ""))
            while position < len(stack) and (stack.names[position] in rules.DISPATCH or not stack.names[position]):
                position += 1
        position += 1
    return found


def _reentrancy(context: Context, subject: Subject) -> Optional[Finding]:
    twice = _twice(subject.stack)
    return _entered_twice(subject, *twice) if twice is not None else None


def reentered(stack: Stack) -> Optional[int]:
    """Position of the device's function that its own DMA enters again, None where the stack shows no such."""
    twice = _twice(stack)
    return _sides(stack, *twice)[3] if twice is not None else None


@once_a_stack
def _twice(stack: Stack) -> Optional[Tuple[int, int]]:
    """Positions of the inner and the outer access where a device is entered twice."""
    if stack.find(rules.DISPATCH) is None:
        return None
    entries = dispatches(stack)
    for index, (inner, name, opaque) in enumerate(entries):
        for outer, other, other_opaque in entries[index + 1 :]:
            same = (opaque and opaque == other_opaque) or (name == other and not (opaque and other_opaque))
            if same and stack.find(rules.DMA, inner + 1, outer) is not None:
                return inner, outer
    # a stack that begins inside the inner access: both are to the same region
    regions: Dict[str, int] = {}
    for position in stack.find_all(_DISPATCHERS):
        region = stack.arg(position, "mr")
        if region is None:
            continue
        inner = regions.setdefault(region, position)
        if stack.find(rules.DMA, inner + 1, position) is not None:
            handler = next((p for p in range(position - 1, inner, -1) if _of_device(stack, p)), None)
            return inner, handler if handler is not None else position
    # a report that was cut before the outer access: the device's own function stands on both sides of a dispatch
    first: Dict[str, int] = {}
    for position, name in enumerate(stack.names[:400]):
        if not (name and _of_device(stack, position) and "hw/" in (stack.frames[position].file or "")):
            continue
        inner = first.setdefault(name, position)
        if inner == position or stack.find(rules.DMA, inner + 1, position) is None:
            continue
        if stack.find(_DISPATCHERS, inner + 1, position) is not None:
            return inner, position
    return None


_DISPATCHERS = ("memory_region_dispatch_write", "memory_region_dispatch_read")


def _of_device(stack: Stack, position: int) -> bool:
    """Whether a frame can be a device model's own: neither memory's, nor DMA's, nor of a header."""
    name, file = stack.names[position], stack.frames[position].file or ""
    if not name or name in rules.DMA or name in rules.DISPATCH or name in common.PLUMBING or "include/" in file:
        return False
    return not is_helper(name) and (not file or not common.is_rooted(file) or "hw/" in file)


def _sides(stack: Stack, inner: int, outer: int) -> Tuple[int, int, int, int]:
    """Positions of the inner access's dispatch, of the DMA, of the device's function that does it, and of the one that
    is entered again; the last is the outer access's where the inner end is not shown.
    """
    dispatch = stack.find(rules.DISPATCH, inner) or inner
    dma = stack.find(rules.DMA, dispatch, outer + 1) or inner
    near = next((p for p in range(dma, len(stack)) if _of_device(stack, p)), outer)
    dma = next((p for p in range(near - 1, dma, -1) if stack.names[p] in rules.DMA), dma)  # what the device called
    entered = next((p for p in range(dispatch - 1, -1, -1) if _of_device(stack, p)), None)
    return dispatch, dma, near, entered if entered is not None else outer


def _entered_twice(subject: Subject, inner: int, outer: int) -> Finding:
    """Told by the device's own functions on both sides of its DMA, the nearest ones."""
    stack = subject.stack
    dispatch, dma, near, shown = _sides(stack, inner, outer)
    entered = shown if shown < dispatch else None
    name, other = stack.names[shown], stack.names[near]
    again = f"and enters {at(stack, shown)}" if entered is not None else f"(those of {at(stack, shown)})"
    sentences = [
        f"The DMA that {at(stack, near)} does (by {at(stack, dma)}) writes to or reads from the device's own registers "
        f"{again}, before the first access has returned: the guest aimed the DMA at the device itself.",
        'QEMU 8.1 and later refuse this for most devices ("Blocked re-entrant IO").',
    ]
    steps = []
    if stack.arg(dispatch, "mr") and stack.names[dispatch] in rules.DISPATCH:
        # include/exec/memory.h, include/system/memory.h: MemoryRegion.disable_reentrancy_guard, of 8.1
        steps.append(f"frame {stack.level(dispatch)}: p mr->name and p mr->disable_reentrancy_guard (if it has that): "
                     "which registers the DMA hit, and whether this device opts out of the guard")
    return finding(
        "rule.mmio-reentrancy",
        f"A device is entered twice: {name} runs inside {other}, by DMA",
        "likely",
        sentences,
        subjects=[subject],
        rule="mmio-reentrancy",
        steps=steps,
        proof=[
            evidence(subject, entered if entered is not None else inner, f"{name} second time"),
            evidence(subject, near, f"the DMA of {other}"),
        ],
    )


_HOME = ("main-loop", "iothread", "monitor-iothread", "tool-main", "test", "coroutine", "unknown", "user-mode")


def foreign_poll(subject: Subject) -> Optional[Tuple[int, Optional[int], Optional[int]]]:
    """A poll of an AioContext by a thread that owns none: positions of the outermost aio_poll, of a callback that runs
    inside it (None: it only waits), and of a second poll inside that (None: there is none)."""
    if subject.told.role in _HOME:
        return None
    stack = subject.stack
    outer = stack.find_outermost(("aio_poll",))
    if outer is None:
        return None
    callback = None
    for position in range(outer - 1, -1, -1):
        name = stack.names[position]
        if name and name not in holders.EVENT_LOOP_INTERNALS and name not in holders.PRIMITIVES:
            callback = position
            break
    second = None
    if callback is not None:
        second = stack.find("aio_poll", 0, callback)
    return outer, callback, second


def _nested_poll(context: Context, subject: Subject) -> Optional[Finding]:
    found = foreign_poll(subject)
    if found is None:
        return None
    outer, callback, second = found
    if callback is None:
        return None
    stack = subject.stack
    asked = next((p for p in range(outer + 1, len(stack)) if stack.names[p] and stack.names[p] != "aio_poll"), None)
    name = stack.names[callback]
    sentences = [
        "An AioContext is polled by the thread it belongs to.",
        f"{who(subject)} polls one itself in {at(stack, outer)}"
        + (f", for {at(stack, asked)}" if asked is not None else "")
        + f", and this poll runs {at(stack, callback)}, which was meant for the owner of that context.",
    ]
    proof = [
        evidence(subject, outer, "aio_poll on a thread without an AioContext"),
        evidence(subject, callback, f"{name} runs inside it"),
    ]
    if second is not None:
        sentences.append(f"There it polls once more ({at(stack, second)}): an event loop nested in an event loop.")
        proof.append(evidence(subject, second, "second aio_poll, nested in the first"))
    title = f"{capital(common.short(subject))} runs {name} in a nested poll that is not its own"
    if subject.told.role == "migration":
        title = "The migration thread polls an AioContext that is not its own" + (
            ", twice nested" if second is not None else ""
        )
    elif subject.told.role.startswith("vcpu"):
        title = f"{name} runs on a vCPU thread, inside a nested poll"
    return finding(
        "rule.nested-poll-off-home-thread",
        title,
        "likely",
        sentences,
        subjects=[subject],
        proof=proof,
        rule="nested-poll-off-home-thread",
    )
