"""Why the process crashed: signal, assertion, hw_error, error_abort, corruption, and the frame to blame."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

from ...knowledge import fatal
from ...model import Evidence, Finding, Message, Signal
from ..context import Context, Subject
from ..stack import Stack, number, string, symbol
from . import common
from .common import at, capital, cut, evidence, joined, oneline, place, source, who


@dataclass
class Cause:
    """What ended the process, as far as one thread shows it."""

    subject: Subject
    kind: str
    headline: str  # title
    row: str
    confidence: str = "certain"
    blame: Optional[int] = None  # position of the frame that found it or failed
    sentences: List[str] = field(default_factory=list)
    proof: List[Evidence] = field(default_factory=list)
    steps: List[str] = field(default_factory=list)
    expression: Optional[str] = None  # of an assertion
    function: Optional[str] = None
    file: Optional[str] = None
    line: Optional[int] = None
    recursion: Optional["Recursion"] = None


@dataclass
class Recursion:
    """Frames that repeat."""

    names: Tuple[str, ...]
    first: int  # level
    last: int
    times: int


def find(context: Context) -> List[Finding]:
    """The crash, if there is one; the thread that took the signal first."""
    cause = find_cause(context)
    if cause is None:
        return []
    return [told(context, cause)]


def find_cause(context: Context) -> Optional[Cause]:
    """The cause of the crash, None for a process that has not crashed."""
    subject = crashed_subject(context)
    if subject is None:
        return None
    for examine in (_sanitizer, _aborted, _overflow, _faulted):
        cause = examine(context, subject)
        if cause is not None:
            return cause
    return None


# --------------------------------------------------------------------------------------------------------------
# Which thread crashed

_DEBUGGER_STOP = re.compile(
    r"(?:^|\b)(?:Temporary b|[Bb])reakpoint \d+(?:\.\d+)?,|hit (?:Temporary |Hardware )?(?:[Bb]reakpoint|[Ww]atchpoint|"
    r"Catchpoint)|[Ww]atchpoint \d+:|stop reason = (?:breakpoint|step|watchpoint)|Catchpoint \d+|Break instruction exception"
    r"|Hardware (?:access|read|watchpoint)|Old value ="
)


def stopped_by_debugger(context: Context) -> str:
    """The line by which a debugger tells that a breakpoint stopped the process, "" without one."""
    signal = context.snapshot.signal
    for text in ([signal.text] if signal and signal.text else []) + context.snapshot.unparsed[:4000]:
        if "reak" in text or "atch" in text or "stop reason" in text or "Old value" in text:
            found = _DEBUGGER_STOP.search(text)
            if found:
                return oneline(text)
    for thread in context.snapshot.threads:
        if thread.heading and _DEBUGGER_STOP.search(thread.heading):
            return oneline(thread.heading)
    return ""


def fatal_signal(context: Context) -> Optional[Signal]:
    """The fatal signal that the process took, None without one."""
    candidates = [context.snapshot.signal] + [t.signal for t in context.snapshot.threads]
    for signal in candidates:
        if signal is not None and is_fatal(signal):
            return signal
    return None


def is_fatal(signal: Signal) -> bool:
    name = signal.name or ""
    if name in fatal.SIGNALS and name != "SIGTRAP":
        return True
    return not name and signal.number in (4, 6, 7, 8, 10, 11, 31)


def crashed_subject(context: Context) -> Optional[Subject]:
    """The thread that took the fatal signal or is ending the process."""
    subjects = context.live_subjects
    signal = fatal_signal(context)
    aborting = [s for s in subjects if _ends_process(s.stack)]
    for subject in subjects:
        thread = subject.told.thread
        if thread.crashed or (thread.signal is not None and is_fatal(thread.signal)):
            return subject
    if signal is not None:
        if signal.name in ("SIGABRT", "EXC_CRASH") and aborting:
            return aborting[0]
        current = [s for s in subjects if s.told.thread.current]
        if current and not _rests(current[0]):
            return current[0]
        if aborting:
            return aborting[0]
        if current:
            return current[0]
        return next((s for s in subjects if not _rests(s)), subjects[0] if subjects else None)
    if aborting:
        return aborting[0]
    marked = [s for s in subjects if s.told.state in ("crashed", "aborting")]
    if marked:
        return marked[0]
    if any(m.kind == "sanitizer" for m in context.snapshot.messages) and subjects:
        return subjects[0]
    fatal_lines = [m for m in context.snapshot.messages if m.kind in _FATAL_MESSAGES]
    if fatal_lines and subjects and not stopped_by_debugger(context):
        return _subject_of(context, fatal_lines[0]) or _said_by(context, fatal_lines[0])
    return None


_FATAL_MESSAGES = frozenset(("assertion", "hw-error", "error-abort", "malloc", "stack-smashing", "fortify", "cpu-abort"))


def _subject_of(context: Context, message: Message) -> Optional[Subject]:
    if message.thread is not None and 0 <= message.thread < len(context.subjects):
        return context.subjects[message.thread]
    return None


def _said_by(context: Context, message: Message) -> Optional[Subject]:
    """The thread whose innermost frames hold the function that a message names."""
    live = context.live_subjects
    if message.function:
        for subject in live:
            if subject.stack.find(message.function, 0, 12) is not None:
                return subject
        return None
    return live[0] if len(live) == 1 and not _rests(live[0]) else None


def _rests(subject: Subject) -> bool:
    return subject.waiting is not None


_ENDS = frozenset(("assert", "g-assert", "hw-error", "cpu-abort", "abort", "malloc", "stack-smashing", "fortify", "raise",
                   "thread-error", "rust-panic"))  # fmt: skip


def _ends_process(stack: Stack) -> bool:
    """Whether the innermost frames abort the process."""
    for position in range(min(len(stack), 8)):
        name = stack.names[position]
        row = _fatal_row(name)
        if row is not None:
            return row.name in _ENDS and not (row.name == "malloc" and name in ("sysmalloc", "malloc_consolidate",
                                                                               "unlink_chunk"))  # fmt: skip
        if name and name not in common.PLUMBING:
            return False
    return False


def _fatal_row(name: str) -> Optional[fatal.Fatal]:
    return next((row for row in fatal.FATAL if name in row.functions), None) if name else None


# --------------------------------------------------------------------------------------------------------------
# Aborts


def _leading(stack: Stack) -> Tuple[Dict[str, int], int]:
    """Rows of fatal functions among the innermost frames, with their positions, and where QEMU's own frames begin."""
    found: Dict[str, int] = {}
    start = 0
    for position in range(min(len(stack), 40)):
        name = stack.names[position]
        row = _fatal_row(name)
        if row is not None:
            found.setdefault(row.name, position)
            start = position + 1
        elif not name:
            if position > 6 and not found:
                break
            if found and stack.frames[position].library is None and stack.frames[position].file is None and position > 3:
                following = stack.names[position + 1] if position + 1 < len(stack) else ""
                if _fatal_row(following) is None and following not in common.PLUMBING:
                    break
        elif name in common.PLUMBING:
            continue
        else:
            break
    return found, start


def _aborted(context: Context, subject: Subject) -> Optional[Cause]:
    stack = subject.stack
    found, start = _leading(stack)
    signal = subject.told.thread.signal or context.snapshot.signal
    name = signal.name if signal is not None and is_fatal(signal) else None
    really = any(r in found for r in ("abort", "raise", "assert", "g-assert", "thread-error", "hw-error", "cpu-abort",
                                      "stack-smashing", "fortify")) or name in ("SIGABRT", "EXC_CRASH")  # fmt: skip
    if not really and name in ("SIGTRAP", "SIGILL", "EXC_BREAKPOINT") or (
        not really and context.snapshot.signal is not None and context.snapshot.signal.name == "SIGTRAP"
    ):
        really = "glib" in found or "g-malloc" in found
    message = _message(context, subject)
    if not really and message is None:
        return None
    if not really and name is not None and name not in ("SIGABRT", "EXC_CRASH"):
        return None
    if message is not None and message.kind == "assertion":
        return _assertion(context, subject, found, start, message)
    for row in fatal.FATAL:
        if row.name in found:
            return _by_row(context, subject, row, found, start, message)
    if message is not None:
        return _by_message(context, subject, start, message)
    if name in ("SIGABRT", "EXC_CRASH"):
        return _plain_abort(context, subject, start, None)
    return None


def _message(context: Context, subject: Subject) -> Optional[Message]:
    """The process's own line that goes with this crash."""
    order = ("assertion", "hw-error", "error-abort", "cpu-abort", "malloc", "stack-smashing", "fortify", "glib")
    messages = [m for m in context.snapshot.messages if m.kind in order]
    index = next((i for i, s in enumerate(context.subjects) if s is subject), -1)
    mine = [m for m in messages if m.thread is None or m.thread == index]
    names = set(subject.stack.names[:24])
    for message in mine:
        if message.function and message.function in names:
            return message
    for kind in order:
        for message in mine:
            if message.kind == kind and not (message.function and _elsewhere(context, message.function)):
                if message.kind == "glib" and not any(n.startswith("g_") for n in subject.stack.names[:8]):
                    continue
                return message
    return None


def _elsewhere(context: Context, function: str) -> bool:
    return any(s.stack.find(function, 0, 12) is not None for s in context.live_subjects)


def _by_row(
    context: Context, subject: Subject, row: fatal.Fatal, found: Dict[str, int], start: int, message: Optional[Message]
) -> Optional[Cause]:
    if row.name in ("assert", "g-assert"):
        return _assertion(context, subject, found, start, message)
    if row.name == "hw-error":
        return _hw_error(context, subject, found[row.name], start, message)
    if row.name == "cpu-abort":
        return _formatted(context, subject, row, found[row.name], start, message)
    if row.name == "error-abort":
        return _error_abort(context, subject, found[row.name], start, message)
    if row.name in ("abort", "raise"):
        if message is not None and message.kind not in ("glib",):
            return _by_message(context, subject, start, message)
        return _plain_abort(context, subject, start, found.get("abort", found.get("raise")))
    if row.name == "thread-error":
        return _thread_error(context, subject, found[row.name], start)
    if row.name == "qom-cast":
        return _qom_cast(context, subject, found[row.name], start)
    return _named_abort(context, subject, row, found[row.name], start, message)


def _blame(subject: Subject, start: int) -> Optional[int]:
    """Position of the frame that found the problem: QEMU's first one above the aborting functions."""
    position = common.qemu_frame(subject.stack, start)
    return position


def _function_at(subject: Subject, position: Optional[int]) -> str:
    if position is None:
        return ""
    return subject.stack.names[position]


def _assertion(
    context: Context, subject: Subject, found: Dict[str, int], start: int, message: Optional[Message]
) -> Cause:
    stack = subject.stack
    expression = file = function = None
    line: Optional[int] = None
    said = None
    for position in range(min(len(stack), start + 1)):
        if _fatal_row(stack.names[position]) is None:
            continue
        expression = expression or stack.arg_string(position, "assertion", "__assertion", "expr", "ex", "message")
        file = file or stack.arg_string(position, "file", "__file", "filename")
        line = line if line is not None else stack.arg_number(position, "line", "__line", "linenr")
        function = function or stack.arg_string(position, "function", "func", "__function")
        said = position if expression else said
    if message is not None and message.kind == "assertion":
        expression = message.expression or expression
        file, line = message.file or file, message.line if message.line is not None else line
        function = message.function or function
    blame = _blame(subject, start)
    if function:
        exact = stack.find(function, start) if stack.find(function, start) is not None else stack.find(function)
        blame = exact if exact is not None and exact <= start + 6 else blame
    if blame is not None:
        frame = stack.frames[blame]
        function = function or stack.names[blame]
        if not file and frame.file and frame.file.endswith((".c", ".h", ".inc", ".rs", ".m", ".cc", ".cpp")):
            file, line = frame.file, frame.line
    glib = "g-assert" in found and "assert" not in found
    where = function or "an unnamed function"
    spot = common.location(file, line)
    unreachable = bool(message and "should not be reached" in message.text) or (
        expression is not None and "should not be reached" in expression
    )
    if unreachable:
        headline = f"g_assert_not_reached() was reached in {where}" + (f", {spot}" if spot else "")
        expression = None
    elif expression:
        shown = _strip_assertion(expression)
        expression = shown
        headline = f'Assertion "{shown}" failed in {where}' + (f", {spot}" if spot else "")
        if len(headline) > 90 and spot:
            headline = f'Assertion "{cut(shown, max(20, 66 - len(where)))}" failed in {where}'
    else:
        headline = f"An assertion failed in {where}" + (f", {spot}" if spot else "")
    cause = Cause(subject, "crash.assertion", headline, "glib-assertion" if glib else "assertion", blame=blame,
                  expression=expression, function=function, file=file, line=line)  # fmt: skip
    if expression is None and not unreachable:
        cause.sentences.append("The expression is not in the input; it stands in the line that QEMU wrote to stderr.")
        if not spot:
            cause.steps.append("look for the line \"Assertion `...' failed\" in QEMU's stderr or log")
    elif expression and len(headline) > 90 or (expression and spot and spot not in headline):
        cause.sentences.append(f'The check is "{expression}"' + (f" at {spot}." if spot else "."))
    if said is not None:
        cause.proof.append(evidence(subject, said, f"{stack.names[said]}: {expression or 'assertion'}"))
    elif message is not None:
        cause.proof.append(Evidence(text=oneline(message.text), thread=subject.number))
    if blame is not None:
        cause.proof.append(evidence(subject, blame, f"{stack.names[blame]} {place(stack.frames[blame])}".rstrip()))
    return cause


def _strip_assertion(expression: str) -> str:
    text = oneline(expression)
    found = re.match(r"(?:assertion failed: ?\(?)(.*?)\)?$", text)
    if found:
        text = found.group(1)
    return text.strip("`'\"") or text


def _hw_error(context: Context, subject: Subject, position: int, start: int, message: Optional[Message]) -> Cause:
    stack = subject.stack
    blame = _blame(subject, start)
    function = _function_at(subject, blame) or "an unnamed function"
    said = _said(stack, position, message, "hw-error")
    shown = _fill(said, function)
    headline = f"hw_error() in {function}" + (f': "{shown}"' if shown else "")
    cause = Cause(subject, "crash.hw-error", headline, "hw-error", blame=blame, function=function)
    spot = place(stack.frames[blame]) if blame is not None else ""
    values = common.arguments(stack, blame) if blame is not None else ""
    cause.sentences.append(
        f"{function}{f' ({spot})' if spot else ''} called hw_error(), which prints its message and aborts QEMU"
        + (f"; it was called with {values}." if values else ".")
    )
    cause.proof.append(evidence(subject, position, f"hw_error{f': {said}' if said else ''}"))
    if blame is not None:
        cause.proof.append(evidence(subject, blame, f"{function} {spot}".rstrip()))
    return cause


def _said(stack: Stack, position: int, message: Optional[Message], kind: str) -> str:
    if message is not None and message.kind == kind:
        text = oneline(message.text)
        return re.sub(r"^.*?(?:hardware error|fatal error|qemu): ?(?:fatal: ?)?", "", text) if ":" in text else text
    given = stack.arg_string(position, "fmt", "format", "message", "msg")
    return oneline(given.replace("\\n", " ")) if given else ""


def _fill(text: str, function: str) -> str:
    """A format string whose first ``%s`` is the function's own name, as ``hw_error("%s: ...", __func__)`` has it."""
    if text.startswith("%s:"):
        return text.replace("%s:", f"{function}:", 1) if function else text[3:].strip()
    return text


def _formatted(
    context: Context, subject: Subject, row: fatal.Fatal, position: int, start: int, message: Optional[Message]
) -> Cause:
    stack = subject.stack
    blame = _blame(subject, start)
    function = _function_at(subject, blame) or "an unnamed function"
    said = _said(stack, position, message, "cpu-abort")
    headline = f"cpu_abort() in {function}" + (f': "{said}"' if said else "")
    cause = Cause(subject, row.kind, headline, row.name, blame=blame, function=function)
    spot = place(stack.frames[blame]) if blame is not None else ""
    cause.sentences.append(
        f"{function}{f' ({spot})' if spot else ''} met a state of the guest CPU that it can't emulate and gave up by "
        "cpu_abort()."
    )
    cause.proof.append(evidence(subject, position, f"cpu_abort{f': {said}' if said else ''}"))
    cause.steps.append("the register dump that cpu_abort printed to stderr shows the guest CPU's state")
    return cause


_RAISED = re.compile(r"Unexpected error in (\w+)\(\) at ([^\s:]+):(\d+)")


def _error_abort(
    context: Context, subject: Subject, position: int, start: int, message: Optional[Message]
) -> Optional[Cause]:
    stack = subject.stack
    raised_in = raised_at = said = ""
    for candidate in range(min(len(stack), start + 1)):
        name = stack.names[candidate]
        if name.startswith("error_set"):
            raised_in = raised_in or (stack.arg_string(candidate, "func") or "")
            file, line = stack.arg_string(candidate, "src", "file"), stack.arg_number(candidate, "line")
            raised_at = raised_at or common.location(file, line)
            said = said or oneline(stack.arg_string(candidate, "fmt") or "")
    if message is not None and message.kind == "error-abort":
        found = _RAISED.search(message.text)
        if found:
            raised_in, raised_at = found.group(1), common.location(found.group(2), int(found.group(3)))
            rest = message.text[found.end() :].lstrip(": \n")
            said = oneline(rest) or said
        raised_in = message.function or raised_in
    blame = _blame(subject, start)
    function = raised_in or _function_at(subject, blame)
    frame_place = place(stack.frames[blame]) if blame is not None else ""
    headline = "error_abort: " + (f'"{said}"' if said else "an error that the caller takes for impossible") + (
        f", raised in {function}" if function else ""
    )
    cause = Cause(subject, "crash.error-abort", headline, "error-abort", blame=blame, function=function)
    caller = next((i for i in range(start, len(stack)) if symbol(stack.frames[i].args.get("errp", "")) == "error_abort"
                   and stack.names[i] != function), None)  # fmt: skip
    sentence = f"{function or 'A function'}{f' ({raised_at or frame_place})' if raised_at or frame_place else ''} reported an error"
    outermost = max((i for i in range(start, len(stack))
                     if symbol(stack.frames[i].args.get("errp", "")) == "error_abort"), default=None)  # fmt: skip
    if outermost is not None and outermost + 1 < len(stack) and stack.names[outermost + 1]:
        sentence += f" through &error_abort, which {stack.names[outermost + 1]} passed down: an error there ends QEMU by design."
    else:
        sentence += " to a caller that passed &error_abort: an error there ends QEMU by design."
    cause.sentences.append(sentence)
    cause.proof.append(evidence(subject, position, stack.names[position]))
    if caller is not None:
        cause.proof.append(evidence(subject, caller, "errp is &error_abort"))
    if not said:
        cause.steps.append("the error's text is on stderr (\"Unexpected error in ...\"), or: print *err in the error_handle frame")
    return cause


def _thread_error(context: Context, subject: Subject, position: int, start: int) -> Cause:
    stack = subject.stack
    blame = _blame(subject, start)
    operation = stack.arg_string(position, "msg")
    code = stack.arg_number(position, "err")
    primitive = next((stack.names[i] for i in range(position + 1, min(position + 4, len(stack)))
                      if stack.names[i].startswith("qemu_")), operation or "a qemu-thread function")  # fmt: skip
    outer = blame
    while outer is not None and stack.names[outer] in fatal.HELPERS:
        outer = common.qemu_frame(stack, outer + 1)
    errno = {22: "Invalid argument", 16: "Device or resource busy", 35: "Resource deadlock avoided", 11: "Resource "
             "temporarily unavailable", 12: "Cannot allocate memory", 1: "Operation not permitted"}.get(code or 0, "")  # fmt: skip
    what = f"{operation or primitive}" + (f": {errno}" if errno else "")
    caller = _function_at(subject, outer)
    headline = f"{what} failed{f', called by {caller}' if caller else ''}"
    cause = Cause(subject, "crash.abort", headline, "thread-error", blame=outer, function=caller)
    if "mutex" in primitive:
        cause.sentences.append(
            f"{primitive} got an error from pthread, so QEMU ends itself: the mutex that {caller or 'the caller'} passed is not "
            "a live one (destroyed, or in memory that was freed), or is locked by this thread already."
        )
    elif "thread_create" in primitive:
        cause.sentences.append("No further thread could be made: a limit of the user, the cgroup (pids.max) or memory.")
    else:
        cause.sentences.append(f"{primitive} got an error from pthread that QEMU takes for impossible, and ends itself.")
    cause.proof.append(evidence(subject, position, f"error_exit{f': {operation}' if operation else ''}"))
    if outer is not None:
        cause.proof.append(evidence(subject, outer, f"{caller} passed the object"))
        pointer = next((v for n, v in stack.frames[outer].args.items() if (number(v) or 0) > 0xFFFF), None)
        if pointer:
            cause.steps.append(f"print the object that holds the mutex in frame {stack.level(outer)}; who freed it before?")
    return cause


def _qom_cast(context: Context, subject: Subject, position: int, start: int) -> Optional[Cause]:
    stack = subject.stack
    wanted = stack.arg_string(position, "typename")
    func = stack.arg_string(position, "func")
    obj = stack.arg_number(position, "obj", "class")
    macro = start
    if macro < len(stack) and re.fullmatch(r"[A-Z][A-Z0-9_]+", stack.names[macro] or ""):
        macro += 1
    blame = common.qemu_frame(stack, macro)
    caller = _function_at(subject, blame)
    headline = f'QOM cast to "{wanted or func or "another type"}" failed' + (f" in {caller}" if caller else "")
    cause = Cause(subject, "crash.abort", headline, "qom-cast", blame=blame, function=caller)
    cause.sentences.append(
        f"{caller or 'The caller'} took an object for {wanted or 'a type'} that is of another type"
        + (f" (object at 0x{obj:x})." if obj else ".")
    )
    cause.proof.append(evidence(subject, position, f"{stack.names[position]}{f' to {wanted}' if wanted else ''}"))
    cause.steps.append(f"print ((Object *) obj)->class->type->name in frame {stack.level(position)}: what the object really is")
    return cause


def _named_abort(
    context: Context, subject: Subject, row: fatal.Fatal, position: int, start: int, message: Optional[Message]
) -> Cause:
    stack = subject.stack
    blame = _blame(subject, start)
    function = _function_at(subject, blame)
    said = oneline(message.text) if message is not None else ""
    if not said:
        text = stack.arg_string(position, "str", "format", "fmt", "message", "msg", "log_domain")
        said = oneline(text or "")
    kind, headline = row.kind, capital(row.says)
    cause = Cause(subject, kind, headline, row.name, blame=blame, function=function)
    spot = f" ({place(stack.frames[blame])})" if blame is not None and place(stack.frames[blame]) else ""
    if row.name == "malloc":
        cause.headline = f"malloc found its heap corrupted{f': {said}' if said else ''}"
        cause.sentences.append(
            f"libc noticed it in {stack.names[position]} when {function or 'its caller'}{spot} freed or allocated memory. The write "
            "that did the damage, or the first of two frees, happened earlier and elsewhere."
        )
        cause.steps.append("reproduce with AddressSanitizer (configure --enable-asan) or valgrind: they stop at the damage itself")
    elif row.name == "stack-smashing":
        cause.headline = f"Stack smashing detected in {function or 'an unnamed function'}"
        cause.sentences.append(f"{function or 'A function'}{spot} wrote past the end of a variable on its own stack; libc saw it "
                               "when the function returned.")  # fmt: skip
    elif row.name == "fortify":
        cause.headline = f"Buffer overflow stopped by _FORTIFY_SOURCE in {function or 'an unnamed function'}"
        cause.sentences.append(f"{function or 'A function'}{spot} called a libc function with a size or descriptor beyond its buffer.")
    elif row.name == "g-malloc":
        size = next((stack.arg_number(i, "n_bytes", "n_blocks") for i in range(position, min(start + 1, len(stack)))
                     if stack.arg_number(i, "n_bytes", "n_blocks")), None)  # fmt: skip
        cause.headline = (f"g_malloc could not get {size} bytes" if size else "g_malloc could not get memory") + (
            f", for {function}" if function else "")  # fmt: skip
        cause.sentences.append(f"{function or 'The caller'}{spot} asked for it. Either the host (or a memory limit) has no more, or "
                               "the size is nonsense.")  # fmt: skip
        cause.steps.append("compare the size with the process's limits (ulimit -v, memory.max of its cgroup)")
    elif row.name == "glib":
        cause.headline = f"Fatal GLib message{f': {said}' if said else ''}" + (f", from {function}" if function else "")
        cause.sentences.append(f"{function or 'The caller'}{spot} wrote a message that GLib ends the process for.")
    elif row.name == "spice":
        cause.headline = "libspice-server aborts on a critical check" + (f" in {function}" if function else "")
        cause.sentences.append("libspice-server checks what the guest's QXL driver puts into its commands and ends the whole process "
                               "when a check fails; no QEMU function is at fault in the stack.")  # fmt: skip
    elif row.name == "hvf":
        cause.headline = f"A call of Apple's Hypervisor.framework failed in {function or 'HVF code'}"
        cause.sentences.append(f"{function or 'HVF code'}{spot} made a call whose error QEMU does not expect; the code is in the line "
                               "that assert_hvf_ok printed.")  # fmt: skip
    else:
        cause.headline = f"{capital(row.says)}{f' in {function}' if function else ''}"
        if said:
            cause.sentences.append(f'It says "{cut(said, 160)}".')
    if said and said not in cause.headline and row.name not in ("malloc", "glib"):
        cause.proof.append(Evidence(text=said, thread=subject.number))
    cause.proof.append(evidence(subject, position, stack.names[position]))
    return cause


def _by_message(context: Context, subject: Subject, start: int, message: Message) -> Optional[Cause]:
    blame = _blame(subject, start)
    function = message.function or _function_at(subject, blame)
    text = oneline(message.text)
    kind = {"hw-error": "crash.hw-error", "error-abort": "crash.error-abort", "malloc": "crash.heap-corruption",
            "glib": "crash.glib-fatal"}.get(message.kind, "crash.abort")  # fmt: skip
    if message.kind == "error-abort":
        return _error_abort(context, subject, 0, start, message)
    if message.kind == "hw-error":
        said = re.sub(r"^.*?hardware error: ?", "", text)
        headline = f'hw_error() in {function or "an unnamed function"}: "{said}"'
    elif message.kind == "cpu-abort":
        headline = f'cpu_abort(): "{re.sub(r"^.*?fatal: ?", "", text)}"'
    else:
        headline = text
    cause = Cause(subject, kind, headline, message.kind, blame=blame, function=function)
    if len(headline) > 90:
        cause.sentences.append(f'The process wrote "{cut(text, 200)}".')
    if message.kind == "malloc":
        cause.sentences.append("libc only noticed it here; the write that did the damage, or the first of two frees, happened earlier "
                               "and elsewhere.")  # fmt: skip
        cause.steps.append("reproduce with AddressSanitizer (configure --enable-asan) or valgrind: they stop at the damage itself")
    cause.proof.append(Evidence(text=text, thread=subject.number))
    return cause


_COROUTINE_LINES = (
    ("Co-routine re-entered recursively", "a coroutine was entered while it already runs (or its memory was freed and reused)"),
    ("Co-routine is returning while someone is waiting", "a coroutine ended while another waits to be resumed by it"),
    ("Co-routine was already scheduled", "a coroutine was entered while it is also scheduled elsewhere"),
    ("Co-routine is yielding to no one", "a coroutine yielded outside any caller"),
)


def coroutine_line(context: Context) -> Tuple[str, str]:
    """util/qemu-coroutine.c's last words in the input and what they mean, "" without any."""
    for text in [m.text for m in context.snapshot.messages] + context.snapshot.unparsed[:4000]:
        if "o-routine" in text:
            for line, meaning in _COROUTINE_LINES:
                if line in text:
                    return line, meaning
    return "", ""


_OWN_LINE = re.compile(r"(?:^|[\s>`\"])(?:qemu[\w-]*|kvm|\w+-softmmu): (.{6,200})")


def _plain_abort(context: Context, subject: Subject, start: int, position: Optional[int]) -> Cause:
    stack = subject.stack
    blame = _blame(subject, start)
    function = _function_at(subject, blame)
    frame_place = place(stack.frames[blame]) if blame is not None else ""
    line, meaning = coroutine_line(context)
    said = oneline(next((m.text for m in context.snapshot.messages if m.kind == "qemu-error"), ""))
    if line and any("coroutine" in n or n.startswith("aio_co") for n in stack.names[: start + 3]):
        headline = f'"{line}": abort() in {function or "qemu_aio_coroutine_enter"}'
    elif function:
        headline = f"abort() called in {function}" + (f", {frame_place}" if frame_place else "")
    else:
        headline = "QEMU ended itself by abort(); the function that called it has no name here"
    cause = Cause(subject, "crash.abort", headline, "abort", blame=blame, function=function, file=None)
    if blame is not None:
        cause.file, cause.line = stack.frames[blame].file, stack.frames[blame].line
    if meaning and line in headline:
        cause.sentences.append(capital(meaning) + ".")
    else:
        check = _check_of(function)
        if check:
            cause.sentences.append(check)
        if said:
            cause.sentences.append(f'QEMU had written "{cut(said, 160)}".')
        elif function and not check:
            cause.sentences.append(
                f"{function} gives up on a state that it takes for impossible (abort() itself, or an assertion whose frames have "
                "no names here); the line that it wrote to stderr tells which."
            )
            if frame_place:
                cause.steps.append(f"read the check at {frame_place}, and QEMU's stderr")
    if position is not None:
        cause.proof.append(evidence(subject, position, stack.names[position]))
    if blame is not None:
        cause.proof.append(evidence(subject, blame, f"{function} {frame_place}".rstrip()))
    return cause


def _check_of(function: str) -> str:
    from ...knowledge import rules

    check = rules.CHECKS.get(function)
    return check or ""


# --------------------------------------------------------------------------------------------------------------
# Sanitizers


def _sanitizer(context: Context, subject: Subject) -> Optional[Cause]:
    reports = [m for m in context.snapshot.messages if m.kind == "sanitizer"]
    if not reports:
        return None
    stack = subject.stack
    message = reports[0]
    lines = [oneline(m.text) for m in reports]
    word, kind, meaning = "", "crash.invalid-access", "sanitizer report"
    for text in lines:
        row = next((r for r in fatal.SANITIZER if r[0] in text), None)
        if row is not None:
            word, kind, meaning = row
            message = next(m for m in reports if oneline(m.text) == text)
            break
    text = oneline(message.text)
    address = _hex(re.search(r"(?:on (?:unknown )?address|address) (0x[0-9a-fA-F]+)", text))
    if kind == "crash.invalid-access" and "SEGV" in word and address is not None and address < 0x10000:
        kind, meaning = "crash.null-dereference", "NULL pointer"
    blame = common.qemu_frame(stack)
    start = blame if blame is not None else 0
    while start + 1 < len(stack) and stack.names[start] in fatal.HELPERS:
        start += 1
    function = _function_at(subject, blame)
    spot = place(stack.frames[blame]) if blame is not None else common.location(message.file, message.line)
    function = function or message.function or ""
    headline = capital(meaning) + (f" in {function}" if function else "") + (f", {spot}" if spot else "")
    cause = Cause(subject, kind, headline, "sanitizer", blame=blame, function=function)
    tool = ("ThreadSanitizer" if "ThreadSanitizer" in text or word == "data race" else "AddressSanitizer" if "AddressSanitizer"
            in text else "UBSan" if "runtime error" in text else "valgrind" if text.startswith("==") else "the sanitizer")  # fmt: skip
    extra = ""
    size = re.search(r"\b(READ|WRITE|[Rr]ead|[Ww]rite) of size (\d+)", " ".join(lines))
    if size:
        extra = f" a {size.group(1).lower()} of {size.group(2)} bytes"
    if "runtime error" in text:
        cause.sentences.append(f'{tool} reports: "{cut(text.split("runtime error:")[-1].strip(), 140)}". The process may go on after it.')
    elif word == "data race":
        cause.sentences.append("ThreadSanitizer saw two threads touch the same memory without synchronisation"
                               + (f";{extra}" if extra else "") + ". A report, not a crash: the damage depends on timing.")  # fmt: skip
    else:
        cause.sentences.append(f"{tool} stopped it:{extra or ' ' + meaning} in {function or 'a function'}.")
    freed = [s for s in context.subjects if s.told.thread.history and "free" in s.told.thread.heading.lower()]
    made = [s for s in context.subjects if s.told.thread.history and ("alloc" in s.told.thread.heading.lower())]
    other = [s for s in context.subjects if s.told.thread.history and "revious" in s.told.thread.heading]
    for earlier, verb in ((freed, "freed it"), (other, "is the other side"), (made if not freed else [], "allocated it")):
        if earlier:
            position = common.qemu_frame(earlier[0].stack)
            if position is not None:
                name = earlier[0].stack.names[position]
                more = common.qemu_frame(earlier[0].stack, position + 1)
                by = f", called by {earlier[0].stack.names[more]}" if more is not None else ""
                cause.sentences.append(f"Before, {name}{by} {verb}.")
                cause.proof.append(Evidence(text=f"{verb}: {name} {place(earlier[0].stack.frames[position])}".rstrip()))
    cause.proof.insert(0, Evidence(text=text, thread=subject.number))
    return cause


def _hex(match: Optional["re.Match[str]"]) -> Optional[int]:
    return int(match.group(1), 16) if match else None


# --------------------------------------------------------------------------------------------------------------
# Stack overflow

_LEVELS = 4000  # QEMU's own stacks are some dozen frames deep; so many are recursion


def find_recursion(stack: Stack) -> Optional[Recursion]:
    """Frames that repeat: the shortest interval, where it comes at least 8 times in a row (or the levels are huge)."""
    names = stack.names
    count = len(names)
    huge = bool(stack.frames) and stack.frames[-1].level >= _LEVELS
    if count < 24 and not huge:
        return None
    limit = min(count, 4000)
    for period in range(1, min(40, limit // 4) + 1):
        run = best = best_end = 0
        for i in range(limit - period):
            if names[i] and names[i] == names[i + period]:
                run += 1
                if run > best:
                    best, best_end = run, i
            else:
                run = 0
        times = best // period + 1 if best >= period else 0
        if times >= 8 and best >= 24 and _not_inline(stack, best_end - best + 1, period):
            first = best_end - best + 1
            last_level = stack.level(best_end + period)
            return Recursion(names[first : first + period], stack.level(first), last_level, times)
    if huge:
        seen = [n for n in dict.fromkeys(names) if n]
        return Recursion(tuple(seen[:8]), stack.frames[0].level, stack.frames[-1].level, 0)
    return None


def _not_inline(stack: Stack, first: int, period: int) -> bool:
    """Copies of one frame that inlining shows have one pc; calls that recurse have other stack addresses but the same pc."""
    return not (period == 1 and stack.names[first] in ("qemu_thread_start", "main_loop_wait"))


def _overflow(context: Context, subject: Subject) -> Optional[Cause]:
    stack = subject.stack
    recursion = find_recursion(stack)
    if recursion is None:
        return None
    signal = subject.told.thread.signal or fatal_signal(context)
    deep = recursion.last >= _LEVELS or recursion.times * len(recursion.names) >= _LEVELS // 2
    if signal is None and not deep:
        return None
    if signal is not None and signal.name not in ("SIGSEGV", "SIGBUS", "EXC_BAD_ACCESS") and not deep:
        return None
    names = [n for n in recursion.names if n and n not in common.PLUMBING]
    shown = " → ".join(reversed(names[:5])) if names else "a function"
    title = f"Endless recursion of {names[0] if names else 'a function'} used the whole stack"
    blame = next((i for i, n in enumerate(stack.names) if n in names), None)
    cause = Cause(subject, "crash.stack-overflow", title, "recursion", "certain" if signal is not None else "likely", blame,
                  function=names[0] if names else None, recursion=recursion)  # fmt: skip
    cause.sentences.append(
        f"The frames up to level {recursion.last} repeat {shown}"
        + (f", {recursion.times} times in what is shown" if recursion.times else "")
        + ": each call makes the next before it returns, until the stack is full."
    )
    cause.proof.append(evidence(subject, blame, f"repeats up to frame {recursion.last}"))
    return cause


# --------------------------------------------------------------------------------------------------------------
# Faults

_ADDRESS = re.compile(
    r"(?:segfault at|si_addr ?=|fault(?:ing)? addr(?:ess)?:?|address=|unknown address|at address|[Aa]ttempt to (?:read|write) "
    r"(?:from|to) address|KERN_\w+ at|protection fault at) ?(0x)?([0-9a-fA-F]+)"
)
_IGNORED_NULLS = frozenset(
    """errp err error local_err retaddr ra sigmask timeout opaque cb parent reference options child_class ignore
    ignore_child user_data data mask abstime notify return_path argv envp hostname tlscreds to_free abi
    host_error callback func arg args fdset""".split()
)
_GUARD = re.compile(r"^0x[0-9a-f]+$")


def fault_address(context: Context, subject: Subject) -> Optional[int]:
    """The address that the process could not access, as siginfo or the kernel's or debugger's line tells it."""
    for signal in (subject.told.thread.signal, context.snapshot.signal):
        if signal is not None and signal.address is not None:
            return signal.address
        if signal is not None and signal.text:
            found = _ADDRESS.search(signal.text)
            if found:
                return int(found.group(2)[:16], 16)
    for text in [m.text for m in context.snapshot.messages] + context.snapshot.unparsed[:2000]:
        if "segfault at" in text or "si_addr" in text or "EXC_BAD_ACCESS" in text or "KERN_" in text:
            found = _ADDRESS.search(text)
            if found:
                return int(found.group(2)[:16], 16)
    return None


def null_arguments(stack: Stack, position: int) -> List[str]:
    """Names of pointer arguments of a frame that are NULL, without those for which NULL is usual."""
    found = []
    for name, value in stack.frames[position].args.items():
        if value in ("0x0", "(nil)", "NULL") or re.match(r"^\(.*\*\) ?0x0$", value):
            if name not in _IGNORED_NULLS:
                found.append(name)
    return found


def odd_arguments(stack: Stack, position: int) -> List[Tuple[str, int, str]]:
    """Pointer arguments that can't be good: small, spelling text, poisoned, misaligned."""
    found = []
    for name, value in stack.frames[position].args.items():
        if not re.match(r"^0x[0-9a-fA-F]+\b", value) or string(value) is not None or symbol(value):
            continue
        pointer = number(value) or 0
        if 0 < pointer < 0x10000:
            if name not in ("flags", "features", "attrs", "mask"):
                found.append((name, pointer, "too small for a pointer"))
            continue
        mark = fatal.poison(pointer)
        if mark:
            found.append((name, pointer, mark))
            continue
        text = fatal.text_of(pointer)
        if text:
            found.append((name, pointer, f'its bytes spell "{text}": the memory it was read from holds text now'))
        elif pointer >= 1 << 47 and pointer < 0xFFFF800000000000 and pointer > 0xFFFFFFFFFFFF:
            found.append((name, pointer, "not a canonical address"))
        elif pointer % 4 and pointer > 0x100000 and name in _ALIGNED:
            found.append((name, pointer, "not aligned: the memory it was read from was freed or overwritten"))
    return found


_ALIGNED = frozenset(
    """bs blk mutex job s dev vdev obj mr ctx node child cpu list f co bus pdev req task ioc chan klass class opaque vq q
    nc d pool lock req elem state notifier""".split()
)


def _faulted(context: Context, subject: Subject) -> Optional[Cause]:
    stack = subject.stack
    signal = subject.told.thread.signal or context.snapshot.signal
    if signal is None or not is_fatal(signal):
        signal = fatal_signal(context)
    if signal is None:
        return None
    name = signal.name or {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 10: "SIGBUS", 11: "SIGSEGV",
                           31: "SIGSYS"}.get(signal.number or 0, "")  # fmt: skip
    kind, meaning = fatal.SIGNALS.get(name, ("crash.signal", f"Signal {signal.number}"))
    address = fault_address(context, subject)
    top = _top(stack)
    blame = common.qemu_frame(stack, top)
    culprit = blame
    while culprit is not None and stack.names[culprit] in fatal.HELPERS and culprit - (blame or 0) < 6:
        following = common.qemu_frame(stack, culprit + 1)
        if following is None:
            break
        culprit = following
    function = _function_at(subject, blame)
    spot = place(stack.frames[blame]) if blame is not None else ""
    inside = f" in {function}" if function else ""
    cause = Cause(subject, kind, f"{meaning}{inside}" + (f", {spot}" if spot else ""), "signal", blame=culprit,
                  function=_function_at(subject, culprit) or None)  # fmt: skip
    cause.proof.append(Evidence(text=oneline(signal.text) or name, thread=subject.number))
    if blame is not None:
        cause.proof.append(evidence(subject, blame, f"{function} {spot}".rstrip()))
    if kind == "crash.invalid-access":
        _bad_pointer(context, cause, subject, top, blame, culprit, address)
    elif kind == "crash.bus-error":
        _bus_error(cause, function, address, signal)
    elif kind == "crash.illegal-instruction":
        cause.sentences.append(f"The processor refused an instruction{inside}: either a compiler trap after a place that must not be "
                               "reached (ud2), or an instruction that this host CPU lacks.")  # fmt: skip
        cause.steps.append("x/i $pc: ud2 is a trap of the compiler; anything else is a missing CPU feature of the host")
    elif kind == "crash.arithmetic":
        cause.sentences.append(f"An integer division{inside} had the divisor 0 (or overflowed).")
        cause.steps.append("x/i $pc and info registers: which value was 0; then print it in the frame")
    elif kind == "crash.seccomp":
        cause.sentences.append("QEMU's sandbox (-sandbox) forbids the system call; the kernel ended the process for it.")
        cause.steps.append("p $_siginfo._sifields._sigsys.syscall (or $orig_rax): which system call; compare with the -sandbox options")
    elif kind == "crash.abort":
        cause.headline = f"abort(){f' called in {function}' if function else '; the stack does not show by whom'}"
    return cause


def _top(stack: Stack) -> int:
    """Position of the frame that faulted: above a signal handler, if one ran."""
    handler = next((i for i, f in enumerate(stack.frames[:12]) if f.kind == "signal"), None)
    return handler + 1 if handler is not None and handler + 1 < len(stack) else 0


def _bad_pointer(
    context: Context,
    cause: Cause,
    subject: Subject,
    top: int,
    blame: Optional[int],
    culprit: Optional[int],
    address: Optional[int],
) -> None:
    stack = subject.stack
    frame = stack.frames[top] if top < len(stack) else None
    if frame is not None and not frame.function and (frame.pc is not None and frame.pc < 0x10000):
        _bad_call(cause, stack, top, frame.pc)
        return
    function = _function_at(subject, blame) or "the function"
    spot = place(stack.frames[blame]) if blame is not None else ""
    tail = f", {spot}" if spot else ""
    if address is not None and address < 0x10000:
        cause.kind = "crash.null-dereference"
        offset = f" plus 0x{address:x}" if address else ""
        cause.headline = f"NULL pointer{offset} dereferenced in {function}{tail}"
    names: List[str] = []
    where = blame
    positions = [p for p in range(top, min((culprit if culprit is not None else top) + 1, top + 5)) if p < len(stack)]
    for position in positions:
        nulls = null_arguments(stack, position)
        if nulls:
            names, where = nulls, position
            break
    odd: List[Tuple[str, int, str]] = []
    for position in positions:
        odd = odd_arguments(stack, position)
        if odd:
            where = position if not names else where
            break
    if names and (address is None or address < 0x10000):
        cause.kind = "crash.null-dereference"
        if where is not None:
            shown = joined([f'"{n}"' for n in names[:2]])
            passed = common.qemu_frame(stack, where + 1)
            by = f"; {stack.names[passed]} (frame {stack.level(passed)}) passed it" if passed is not None else ""
            if address is None or address == 0 or len(names) == 1:
                cause.headline = f"NULL pointer {shown} in {stack.names[where] or function}{tail}"
            cause.sentences.append(f"{shown} {'are' if len(names) > 1 else 'is'} 0x0 in frame {stack.level(where)}{by}.")
            cause.proof.append(evidence(subject, where, f"{joined(names[:2])} = 0x0"))
    elif odd and where is not None:
        name, value, why = odd[0]
        cause.headline = f"Bad pointer {name}=0x{value:x} used in {stack.names[where] or function}{tail}"
        cause.sentences.append(f"{name}=0x{value:x} in frame {stack.level(where)} is no valid pointer: {why}.")
        cause.proof.append(evidence(subject, where, f"{name} = 0x{value:x}"))
        if "freed" in why or "overwritten" in why or "holds text" in why or "mark" in why:
            cause.sentences.append("So the object behind it was freed or overwritten before; this thread only used it.")
            cause.steps.append("reproduce with AddressSanitizer (configure --enable-asan): it names who freed it")
    elif address is not None and address < 0x10000:
        cause.sentences.append(
            "A member of a structure whose pointer is NULL was accessed" + (f", at offset 0x{address:x}." if address else ".")
        )
    elif address is not None:
        mark = fatal.poison(address) or (f'its bytes spell "{fatal.text_of(address)}"' if fatal.text_of(address) else "")
        cause.headline = f"Invalid address 0x{address:x} accessed in {function}{tail}"
        if mark:
            cause.sentences.append(f"The address is {mark}.")
    if culprit is not None and blame is not None and culprit != blame:
        cause.sentences.append(
            f"{function} is a helper; the pointer came from {at(stack, culprit)}"
            + (f", {place(stack.frames[culprit])}." if place(stack.frames[culprit]) else ".")
        )
        cause.proof.append(evidence(subject, culprit, f"called from {stack.names[culprit]}"))
    if not cause.sentences:
        cause.sentences.append(f"The input does not show which pointer {function} followed.")
        cause.steps.append(f"frame {stack.level(blame) if blame is not None else 0}, then: p $_siginfo._sifields._sigfault.si_addr, "
                           "x/i $pc, info registers, info locals: which pointer was bad")  # fmt: skip
    elif where is not None and cause.kind == "crash.null-dereference" and not names:
        cause.steps.append(f"frame {stack.level(blame) if blame is not None else 0}, then x/i $pc and info locals: which pointer is NULL")


def _bad_call(cause: Cause, stack: Stack, top: int, pc: int) -> None:
    caller = common.qemu_frame(stack, top + 1)
    name = stack.names[caller] if caller is not None else ""
    cause.kind = "crash.null-dereference" if pc == 0 else "crash.invalid-access"
    word = "NULL" if pc == 0 else f"0x{pc:x}"
    cause.headline = f"Call through a function pointer that is {word}" + (f", by {name}" if name else "")
    cause.blame, cause.function = caller, name or None
    cause.sentences.append(
        (f"{at(stack, caller)} called a callback whose pointer is {word}" if caller is not None else "The pc is "
         f"{word}") + ": the structure that holds it was never filled, or was freed while still registered."
    )  # fmt: skip
    if caller is not None:
        cause.steps.append(f"frame {stack.level(caller)}, info locals: the list entry or ops structure whose callback was called")


def _bus_error(cause: Cause, function: str, address: Optional[int], signal: Signal) -> None:
    codes = {2: "no memory behind the mapping: the backing file is shorter than the mapping (truncated), or the file system or the "
             "huge-page pool is full", 4: "the memory there has a hardware error (poisoned page)",
             5: "the memory there has a hardware error (poisoned page)", 1: "an address that is not aligned"}  # fmt: skip
    where = f" at 0x{address:x}" if address else ""
    if signal.code in codes:
        cause.sentences.append(f"The access{where} in {function or 'this code'} found {codes[signal.code]}.")
        return
    cause.sentences.append(
        f"{function or 'This code'} accessed mapped memory{where} that the kernel could not provide: a memory backend's file that was "
        "truncated, no huge page or tmpfs space left, or a page with a hardware memory error."
    )
    cause.steps.append("p $_siginfo.si_code: 2 is a truncated or full backing file, 4 or 5 a hardware memory error (see the host's "
                       "kernel log); info proc mappings: which mapping holds the address")  # fmt: skip


# --------------------------------------------------------------------------------------------------------------
# The finding


def told(context: Context, cause: Cause) -> Finding:
    """The finding that tells a cause."""
    subject, stack = cause.subject, cause.subject.stack
    sentences = list(cause.sentences)
    chain = common.story(context, subject)
    lead = ""
    if chain:
        lead = f"{who(subject)}: {chain.rstrip('.')}."
    else:
        path = _path(stack, cause.blame)
        lead = f"{who(subject)} came there by {path}." if path else ""
    guest = _guest(context, cause)
    deferred = stack.find(fatal.DEFERRED, (cause.blame or 0) + 0)
    if deferred is not None and subject.told.role == "rcu":
        sentences.append("The RCU thread only runs what was queued for after a grace period: the fault is with whoever freed, queued twice "
                         "or still used the object.")  # fmt: skip
    elif stack.has("__run_exit_handlers") or stack.find(("bdrv_close_all", "qemu_cleanup", "qemu_chr_cleanup")) is not None:
        sentences.append("QEMU is shutting down: something was torn down before what still uses it.")
    confidence = cause.confidence
    if subject.told.thread.truncated_top and cause.row not in ("assertion", "sanitizer"):
        confidence = "likely"
    result = common.finding(
        cause.kind, cause.headline, confidence, [lead, *sentences, guest], subjects=[subject], proof=cause.proof,
        steps=cause.steps, rule=f"crash.{cause.row}",
    )  # fmt: skip
    if not result.next_steps:
        result.next_steps = _default_steps(context, cause)
    return result


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
    return "As seen, the guest's own access leads here: the guest can trigger it."


def _default_steps(context: Context, cause: Cause) -> List[str]:
    stack, blame = cause.subject.stack, cause.blame
    steps: List[str] = []
    if blame is not None:
        frame = stack.frames[blame]
        subjectish = _object_of(cause.expression, frame.args) if cause.expression else None
        if subjectish:
            steps.append(f"print *{subjectish} in frame {frame.level}")
        elif context.snapshot.source.kind == "text":
            pointer = next((n for n, v in frame.args.items() if (number(v) or 0) > 0xFFFF and string(v) is None
                            and not symbol(v)), None)  # fmt: skip
            if pointer:
                steps.append(f"print *{pointer} in frame {frame.level}")
            else:
                steps.append(f"frame {frame.level}, info locals")
    return steps


def _object_of(expression: Optional[str], args: Dict[str, str]) -> Optional[str]:
    """The pointer that an assertion looks through, where it is an argument or simply a name (bs->refcnt > 0: bs)."""
    found = re.search(r"\b([A-Za-z_]\w*)->", expression or "")
    return found.group(1) if found else None


def source_of(cause: Cause) -> str:
    """The file of the failed check, as QEMU's tree names it."""
    return source(cause.file) if cause.file else ""
