"""Reports of AddressSanitizer, ThreadSanitizer, UBSan and valgrind, as crashes."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple

from ...knowledge.aborts import FATAL_PATHS, fatal_path_of
from ...knowledge.helpers import ALLOCATORS, helper_for
from ...knowledge.sanitizers import SANITIZER, row_of
from ...model import Evidence, Message
from ...pattern import Pattern
from ..context import Context, Subject
from ..culprit import past_copy
from ..owners import code_of
from ..stack import Stack
from ..states import can_have_taken
from . import common
from .cause import Cause, function_at, past_helpers
from .common import at, capital, cut, evidence, oneline, place
from .rules import reentered


def sanitizer(context: Context, subject: Subject) -> Optional[Cause]:
    reports = [m for m in context.snapshot.messages if m.kind == "sanitizer"]
    if not reports:
        return None
    reporting = _reporting(context, subject, reports)
    if reporting is not None:
        found = _reported(context, reporting, reports)
        words = next((oneline(m.text) for m in context.messages if m.kind == "malloc"), "")
        found.sentences.append(
            f"{common.who(subject)} only noticed it: libc stops there over its damaged heap"
            + (f' ("{cut(words, 80)}").' if words else ".")
        )
        found.confidence = "likely"
        return found
    if subject.number is not None and not can_have_taken(subject):
        return _without_stack(subject, reports[0])
    return _reported(context, subject, reports)


def _without_stack(subject: Subject, report: Message) -> Cause:
    """A report whose own stack the text does not have: the threads shown wait in the kernel."""
    where = next((name for name in subject.stack.names if name), "a system call")
    cause = Cause(subject, "crash.signal", f"{cut(oneline(report.text), 100)}, and its stack is not shown", "sanitizer",
                  "likely", None)  # fmt: skip
    cause.sentences.append(
        f"{capital(common.the(subject))} waits in {where} and did nothing that a sanitizer reports: "
        "the line is of another thread, or of another program."
    )
    cause.proof.append(evidence(subject, 0, "waits in the kernel"))
    cause.steps.append("the whole report, with the stack (#0 0x…) below that line")
    return cause


_FURTHER = 3  # reports besides the first that are told


def further(context: Context, first: Cause) -> List[Cause]:
    """What the sanitizers report besides the first: of another kind, each with its own stack."""
    if first.row != "sanitizer":
        return []
    told: List[Cause] = []
    begun = {_kind_of(first.proof[0].text)} if first.proof else set()
    for subject in context.subjects:
        heading = subject.told.thread.heading
        kind = _kind_of(heading) if subject is not first.subject and _BEGINS.search(heading) else ""
        if kind and kind not in begun:
            begun.add(kind)
            told.append(_reported(context, subject, [Message("sanitizer", heading)]))
            if len(told) == _FURTHER:
                break
    return told


# The lines that begin a report, right above its stack
_BEGINS = Pattern(r"irect leak of \d|runtime error: |(?:ERROR|WARNING): \w+Sanitizer: ")


def _kind_of(line: str) -> str:
    """What a report is of ("memory leak"), "" where that is not known."""
    row = row_of(line)
    return row[2] if row is not None else ""


def _reported(context: Context, subject: Subject, reports: List[Message]) -> Cause:
    stack = subject.stack
    lines = [oneline(m.text) for m in reports]
    rows = ((m, line, row_of(line)) for m, line in zip(reports, lines))
    message, text, row = next((told for told in rows if told[2] is not None), (reports[0], lines[0], None))
    word, kind, meaning = row if row is not None else ("", "crash.invalid-access", "sanitizer report")
    if meaning == "memory leak":
        return _leak(subject, lines)
    address = _hex(re.search(r"(?:on (?:unknown )?address|address) (0x[0-9a-fA-F]+)", text))
    if kind == "crash.invalid-access" and "SEGV" in word and address is not None and address < 0x10000:
        kind, meaning = "crash.null-dereference", "NULL pointer"
    start = 1 if "system call" in meaning else 0  # the innermost frame is the call itself
    blame = common.qemu_frame(stack, start)
    function = function_at(subject, blame)
    spot = place(stack.frames[blame]) if blame is not None else common.location(message.file, message.line)
    function = function or message.function or ""
    headline = capital(meaning) + (f" in {function}" if function else "") + (f", {spot}" if spot else "")
    caller = past_helpers(stack, past_copy(stack, blame)) if blame is not None else None
    if caller is not None and caller != blame:
        spot = place(stack.frames[caller])
        headline = f"{capital(meaning)} in {function}, called by {stack.names[caller]}" + (f", {spot}" if spot else "")
    cause = Cause(subject, kind, headline, "sanitizer", blame=blame, function=function)
    tool = (
        "MemorySanitizer"
        if "MemorySanitizer" in text
        else "ThreadSanitizer"
        if "ThreadSanitizer" in text or word == "data race"
        else "AddressSanitizer"
        if "AddressSanitizer" in text
        else "UBSan"
        if "runtime error" in text or "UndefinedBehaviorSanitizer" in text
        else "Valgrind"
        if context.snapshot.source.dialect == "valgrind" or text.startswith(("==", "Invalid read", "Invalid write"))
        else "The sanitizer"
    )
    extra = ""
    size = re.search(r"\b(READ|WRITE|[Rr]ead|[Ww]rite) of size (\d+)", " ".join(lines))
    if size:
        extra = f" a {size.group(1).lower()} of {size.group(2)} bytes"
    if "runtime error" in text:
        cause.sentences.append(
            f'{tool} reports: "{cut(text.split("runtime error:")[-1].strip(), 140)}". The process may go on after it.'
        )
    elif word == "data race":
        cause.sentences.append(
            "ThreadSanitizer saw two threads touch the same memory without synchronisation"
            + (f";{extra}" if extra else "")
            + ". A report, not a crash: the damage depends on timing."
        )
    else:
        verb = "reports" if tool == "Valgrind" else "stopped it"  # memcheck lets the program go on
        cause.sentences.append(f"{tool} {verb}:{extra or ' ' + meaning} in {function or 'a function'}.")
    if blame is not None and caller is not None and past_copy(stack, blame) == caller != blame:
        cause.blame, cause.function = caller, stack.names[caller]
        cause.sentences.append(f"{function} only copies: {at(stack, caller)} gave it the buffer.")
    earlier_ones: Dict[str, str] = {}  # what it did: the function that did it
    freed = [s for s in context.subjects if s.told.thread.history and "free" in s.told.thread.heading.lower()]
    made = [s for s in context.subjects if s.told.thread.history and "alloc" in s.told.thread.heading.lower()
            and " leak of " not in s.told.thread.heading]  # fmt: skip
    other = [s for s in context.subjects if s.told.thread.heading.startswith("Previous ")]
    variable = _variable(context)
    if variable is not None and "uninitialised" in meaning:
        name, maker = variable
        cause.sentences.append(f'It is an uninitialised part of "{name}", a local variable of {maker}.')
        made = []
        cause.steps.append(f"read {maker}: which fields of {name} does it fill, and for which ways through it?")
    for earlier, verb in (
        (freed, "freed it"),
        (other, "is the other side"),
        (made if not freed and not other else [], "allocated it"),
    ):
        if earlier:
            position = _who(earlier[0].stack, verb)
            if position is not None:
                name = earlier[0].stack.names[position]
                more = common.qemu_frame(earlier[0].stack, position + 1)
                by = f", called by {earlier[0].stack.names[more]}" if more is not None else ""
                lead = "The other side: " if earlier is other else "Before, "
                cause.sentences.append(lead + name + by + ("." if earlier is other else f" {verb}."))
                earlier_ones[verb] = name
                cause.proof.append(Evidence(text=f"{verb}: {name} {place(earlier[0].stack.frames[position])}".rstrip()))
    inside = _inside(context) if "free" in meaning and "use" not in meaning else None
    if inside is not None:
        cause.sentences.append(f"The address is {inside[0]} bytes inside a block of {inside[1]}: no block begins "
                               "there. A pointer into the middle of it was given away as one to free.")
    cause.proof.insert(0, Evidence(text=text, thread=subject.number))
    user = stack.names[caller] if caller is not None else function
    again = reentered(freed[0].stack) if freed else None
    if again is not None:
        cause.sentences.append(
            f"That free is inside an access that the device makes to itself by its own DMA "
            f"({freed[0].stack.names[again]} entered again): the outer call goes on with what the inner one has freed.")
        cause.steps.append("does QEMU 8.1 or later do it, too? Its guard refuses such accesses (mem_reentrancy_guard)")
        return cause
    cause.steps += _steps(tool, meaning, user, earlier_ones)
    return cause


# coregrind/m_addrinfo.c of Valgrind; compiler-rt's asan_descriptions.cpp
_INSIDE = Pattern(r"(?:is|located) (?P<at>[\d,]{1,20}) bytes inside (?:of |a block of size )(?P<size>[\d,]{1,20})")


def _inside(context: Context) -> Optional[Tuple[str, str]]:
    """How far into which size of block the address lies, where that is not its beginning."""
    for line in [*(t.heading for t in context.snapshot.threads[:64]), *context.snapshot.unparsed[:2000]]:
        found = _INSIDE.search(line) if "bytes inside" in line else None
        if found is not None:
            return (found.group("at"), found.group("size")) if found.group("at").strip("0,") else None
    return None


# compiler-rt's msan_report.cpp: of a variable on the stack
_ON_STACK = Pattern(r"created by an allocation of '([^']{1,80})' in the stack frame(?: of function '([^']{1,120})')?")


def _variable(context: Context) -> Optional[Tuple[str, str]]:
    """The local variable that a report names as what was never set, and its function."""
    headings = [s.told.thread.heading for s in context.subjects if s.told.thread.history]
    for text in headings + context.snapshot.unparsed[:2000]:
        found = _ON_STACK.search(text) if "in the stack frame" in text else None
        if found:
            return found.group(1), found.group(2) or "the function below"
    return None


def _reporting(context: Context, subject: Subject, reports: List[Message]) -> Optional[Subject]:
    """The stack of a report of bad memory accesses, where ``subject`` is another, in which libc found its heap damaged.

    The report is of the access that did the damage, or of a like one: its stack tells more.
    """
    if not any(fatal_path_of(name) is _MALLOC for name in subject.stack.names[:12]):
        return None
    if not any(row[0] in m.text for m in reports for row in SANITIZER if row[1] in _MEMORY):
        return None
    headings = {oneline(m.text) for m in reports}
    others = [s for s in context.live_subjects if s is not subject and not s.told.thread.crashed]
    return next((s for s in others if oneline(s.told.thread.heading) in headings), None)


_MEMORY = ("crash.invalid-access", "crash.heap-corruption")
_MALLOC = next(row for row in FATAL_PATHS if row.name == "malloc")

_IN_DEBUGGER = {  # how to stop at the report with the values still there
    "AddressSanitizer": "run it in gdb with ASAN_OPTIONS=abort_on_error=1",
    "MemorySanitizer": "run it in gdb with MSAN_OPTIONS=abort_on_error=1",
    "ThreadSanitizer": "run it in gdb with TSAN_OPTIONS=halt_on_error=1:abort_on_error=1",
    "UBSan": "run it in gdb with UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1",
    "The sanitizer": "run it in gdb with ASAN_OPTIONS=abort_on_error=1 (MSAN_, UBSAN_ or TSAN_OPTIONS of those)",
    "Valgrind": "run it with valgrind --vgdb-error=1 and attach gdb with: target remote | vgdb",
}


def _steps(tool: str, meaning: str, user: str, earlier: Dict[str, str]) -> List[str]:
    """What to read in QEMU's source first: the process has ended, and the report holds no values.

    ``user`` is the function that accessed the memory, ``earlier`` who did what before.
    """
    freed, other, made = earlier.get("freed it"), earlier.get("is the other side"), earlier.get("allocated it")
    if not user:
        return []
    if freed and freed != user:
        return [f"read {freed} and {user}: what has to be unregistered, cancelled, referenced or left to RCU before"
                " the free"]
    if meaning == "data race" and other:
        return [f"read {user} and {other}: which lock or atomic access should order the two"]
    if meaning.endswith("overflow") and made:
        return [f"compare the size that {made} asks for with what {user} accesses"]
    if "uninitialised memory" in meaning and tool == "Valgrind":
        return ["run it with valgrind --track-origins=yes: it names where the memory was made"]
    start = _IN_DEBUGGER.get(tool)
    return [f"{start}, then info locals in {user}"] if start else []


def _who(stack: Stack, verb: str) -> Optional[int]:
    """The first frame of an earlier event that is no allocator's, constructor's or helper's; else the first at all."""
    question = "leak" if verb == "allocated it" else "crash"
    if verb == "allocated it":  # a library's own block is not its caller's
        maker = next((p for p, name in enumerate(stack.names) if name and name not in common.PLUMBING
                      and not helper_for(name, question)), None)
        if maker is not None and code_of(stack.frames[maker]).owner == "library":
            return maker
    for position, name in enumerate(stack.names):
        if name and code_of(stack.frames[position]).owner == "qemu" and not helper_for(name, question):
            return position
    return common.qemu_frame(stack)


def _leak(subject: Subject, lines: List[str]) -> Cause:
    """Memory that nothing frees: named is who asked for it, above constructors and visitors."""
    stack = subject.stack
    level = subject.told.culprit_level
    keeper = next((p for p in range(len(stack)) if level is not None and stack.level(p) == level), None)
    blame = keeper if keeper is not None else common.qemu_frame(stack)
    function = function_at(subject, blame)
    spot = place(stack.frames[blame]) if blame is not None else ""
    made = common.qemu_frame(stack)
    while made is not None and ALLOCATORS.match(stack.names[made]):
        made = common.qemu_frame(stack, made + 1)
    text = next((x for x in lines if "leak of" in x or "bytes in" in x), lines[0])
    size = re.search(r"leak of (\d+) byte|([\d,]+) (?:\([^)]*\) )?bytes in", text)
    amount = f"{(size.group(1) or size.group(2))} bytes of memory" if size else "Memory"
    cause = Cause(
        subject,
        "crash.signal",
        f"{amount} leaked" + (f": allocated for {function}" if function else "") + (f", {spot}" if spot else ""),
        "sanitizer",
        blame=blame,
        function=function,
    )
    through = f" by {at(stack, made)}" if made is not None and blame is not None and made < blame else ""
    cause.sentences.append(
        f"Nothing crashed: the report lists memory that was allocated{through} and that nothing frees."
        + (
            f" {function} is the first function outside of constructors and libraries; it, or who takes its result, has"
            " to free it on every path."
            if function
            else ""
        )
    )
    cause.proof.append(Evidence(text=text, thread=subject.number))
    if blame is not None:
        cause.proof.append(evidence(subject, blame, f"{function} {spot}".rstrip()))
        undone = re.search(r"realize|init$|_init_|initfn|_open|_setup|_start", function or "")
        also = ", and what undoes it (unrealize, finalize, close)" if undone else ""
        cause.steps.append(f"read every return of {function} after that call{also}")
    return cause


def _hex(match: Optional[re.Match[str]]) -> Optional[int]:
    return int(match.group(1), 16) if match else None
