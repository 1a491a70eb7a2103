"""Crashes by which QEMU, libc, glib or another library ends the process itself: assertions, hw_error, malloc..."""

from __future__ import annotations

import re
from typing import Dict, Optional, Tuple

from ...knowledge import functions, signals
from ...knowledge.aborts import FATAL_PATHS, FatalPath, fatal_path_of
from ...knowledge.glib import plain
from ...knowledge.match import Names
from ...knowledge.rules import CPU_ABORTS, CPU_ABORTS_OF_TCG
from ...model import Evidence, Message
from ..context import Context, Subject
from ..stack import Stack, number
from . import asserted, common, error_aborts, glib_said, hypervisor, mappings, tested
from .cause import Cause, blame_of, called_by, check_of, function_at, is_fatal, is_helper
from .common import at, capital, cut, evidence, oneline, place
from .elsewhere import sent_from_outside
from .panics import panic


def _leading(stack: Stack) -> Tuple[Dict[str, int], int, bool]:
    """The fatal paths among the innermost frames, with their positions; where QEMU's own frames begin; and whether
    one of the frames is the end for certain.
    """
    found: Dict[str, int] = {}
    start = 0
    ends = False
    for position in range(min(len(stack), 40)):
        name = stack.names[position]
        row = fatal_path_of(name)
        if row is not None:
            found.setdefault(row.name, position)
            ends = ends or name in row.ends
            start = position + 1
        elif not name:
            if position > 6 and not found:
                break
            if (
                found
                and stack.frames[position].library is None
                and stack.frames[position].file is None
                and position > 3
            ):
                following = stack.names[position + 1] if position + 1 < len(stack) else ""
                if fatal_path_of(following) is None and following not in common.PLUMBING:
                    break
        elif name in common.PLUMBING or (position < 2 and name in ("read", "waitpid", "wait4")):
            continue
        else:
            break
    return found, start, ends


def aborted(context: Context, subject: Subject) -> Optional[Cause]:
    stack = subject.stack
    found, start, ends = _leading(stack)
    signal = subject.told.thread.signal or context.snapshot.signal
    name = signal.name if signal is not None and is_fatal(signal) else None
    really = ends or name in ("SIGABRT", "EXC_CRASH")
    if (
        not really
        and name in signals.TRAPS
        or (not really and context.snapshot.signal is not None and context.snapshot.signal.name == "SIGTRAP")
    ):
        really = "glib" in found or "g-malloc" in found
    message = _message(context, subject)
    if not really and message is None:
        return None
    if not really and name is not None and name not in ("SIGABRT", "EXC_CRASH"):
        return None
    cast = "qom-cast" in found and not ("assert" in found or "g-assert" in found)
    if message is not None and (
        message.kind == "assertion" and not cast
        or message.kind == "glib" and "should not be reached" in message.text
    ):
        return asserted.failed(context, subject, found, start, message)
    if "malloc" not in found and "assert" not in found and "g-assert" not in found and _in_malloc(stack, start):
        found["malloc"] = start
    if not ends and name in ("SIGABRT", "EXC_CRASH"):
        # whatever passes through a cast or an allocation at that moment did not fail in it
        outside = sent_from_outside(context, subject, bool(found))
        if outside is not None:
            return outside
    for row in FATAL_PATHS:
        if row.name in found:
            return _by_row(context, subject, row, found, start, message)
    if message is not None:
        return _by_message(context, subject, start, message)
    if name in ("SIGABRT", "EXC_CRASH"):
        return _plain_abort(context, subject, start, None)
    return None


_MALLOC = frozenset(
    (
        "_int_free",
        "_int_malloc",
        "_int_realloc",
        "_int_free_merge_chunk",
        "malloc_consolidate",
        "unlink_chunk",
        "_int_free_create_chunk",
        "sysmalloc",
    )
)


def _in_malloc(stack: Stack, start: int) -> bool:
    """Whether the abort was called from inside malloc or free."""
    end = common.qemu_frame(stack, start)
    inner = stack.names[start : end if end is not None else start + 6]
    return any(n in _MALLOC for n in inner)


def _message(context: Context, subject: Subject) -> Optional[Message]:
    """The process's own line that goes with this crash."""
    order = ("assertion", "rust-panic", "hw-error", "error-abort", "cpu-abort", "malloc", "stack-smashing", "fortify",
             "glib")
    messages = [m for m in context.messages if m.kind in order]
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
    context: Context, subject: Subject, row: FatalPath, found: Dict[str, int], start: int, message: Optional[Message]
) -> Optional[Cause]:
    if row.name in ("assert", "g-assert"):
        return asserted.failed(context, subject, found, start, message)
    if row.name == "hw-error":
        return _hw_error(context, subject, found[row.name], start, message)
    if row.name == "cpu-abort":
        return _formatted(context, subject, row, found[row.name], start, message)
    if row.name == "error-abort":
        return error_aborts.expected(subject, found[row.name], start, message)
    if row.name in ("abort", "raise"):
        if message is not None and message.kind not in ("glib",):
            return _by_message(context, subject, start, message)
        return _plain_abort(context, subject, start, found.get("abort", found.get("raise")))
    if row.name == "thread-error":
        return _thread_error(context, subject, found[row.name], start)
    if row.name == "qom-cast":
        return _qom_cast(context, subject, found[row.name], start)
    if row.name == "rust-panic":
        return panic(subject, found[row.name], start, message)
    return _named_abort(context, subject, row, found[row.name], start, message)


def _hw_error(context: Context, subject: Subject, position: int, start: int, message: Optional[Message]) -> Cause:
    stack = subject.stack
    blame = blame_of(subject, start)
    function = function_at(subject, blame) or "an unnamed function"
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
    before = _written_before(context, message)
    if before:
        cause.sentences.append(f'Right before, QEMU wrote "{cut(before, 160)}": that is the reason.')
    if "vfio" in said:
        mappings.explain(context, cause)
    return cause


def _written_before(context: Context, message: Optional[Message]) -> str:
    """QEMU's own error line right above the last one, as error_report_err(err); hw_error(...) leaves it."""
    lines = context.snapshot.messages
    at_ = next((i for i, each in enumerate(lines) if each is message), 0)
    above = lines[at_ - 1] if at_ else None
    if above is None or above.kind != "qemu-error":
        return ""
    return re.sub(r"^.*?(?:qemu[\w-]*|kvm): ", "", oneline(above.text), count=1)


def _said(stack: Stack, position: int, message: Optional[Message], kind: str) -> str:
    if message is not None and message.kind == kind:
        text = oneline(message.text)
        return re.sub(r"^(?:.*?(?:hardware|fatal) error: ?|qemu[\w-]*: ?(?:fatal: ?)?)", "", text)
    given = stack.arg_string(position, "fmt", "format", "message", "msg")
    return oneline(given.replace("\\n", " ")) if given else ""


def _fill(text: str, function: str) -> str:
    """A format string whose first ``%s`` is the function's own name, as ``hw_error("%s: ...", __func__)`` has it."""
    if text.startswith("%s:"):
        return text.replace("%s:", f"{function}:", 1) if function else text[3:].strip()
    return text


def _formatted(
    context: Context, subject: Subject, row: FatalPath, position: int, start: int, message: Optional[Message]
) -> Cause:
    stack = subject.stack
    blame = blame_of(subject, start)
    function = function_at(subject, blame) or "an unnamed function"
    said = _printed(context, _said(stack, position, message, "cpu-abort"))
    headline = f"cpu_abort() in {function}" + (f': "{said}"' if said else "")
    cause = Cause(subject, row.kind, headline, row.name, blame=blame, function=function)
    spot = place(stack.frames[blame]) if blame is not None else ""
    no_block = function == "cpu_io_recompile" and blame is not None and (
        stack.arg_number(blame, "retaddr") == 0 or "pc=(nil)" in said)
    key = f"{function} of no block" if no_block else function
    cause.sentences.append(
        (CPU_ABORTS.get(key) if not said or function in CPU_ABORTS_OF_TCG else None)
        or f"{function}{f' ({spot})' if spot else ''} met a state of the guest CPU that it can't emulate and gave up "
        "by cpu_abort()."
    )
    cause.proof.append(evidence(subject, position, f"cpu_abort{f': {said}' if said else ''}"))
    if no_block:
        cause.steps.append("compare the access's address with IDT, GDT, TR, the stack and CR3 of the register dump")
    elif function in CPU_ABORTS_OF_TCG:
        helper = next((i for i in range(blame or 0, len(stack)) if stack.names[i].startswith("helper_")), None)
        if helper is not None:
            cause.sentences.append(f"Here that is {at(stack, helper)}.")
            cause.steps.append(f"frame {stack.level(helper)}: which function takes the GETPC() for the access?")
    else:
        cause.steps.append("the register dump that cpu_abort printed to stderr shows the guest CPU's state")
    return cause


def _printed(context: Context, said: str) -> str:
    """What the process printed of a format, where the text has that line: with the values."""
    start = said.split("%", 1)[0].strip()
    if "%" not in said or len(start) < 8:
        return said
    lines = (line[line.index(start) :] for line in context.said if start in line and said not in line)
    return oneline(next(lines, said))


def _thread_error(context: Context, subject: Subject, position: int, start: int) -> Cause:
    stack = subject.stack
    blame = blame_of(subject, start)
    operation = stack.arg_string(position, "msg")
    code = stack.arg_number(position, "err")
    primitive = next(
        (
            stack.names[i]
            for i in range(position + 1, min(position + 4, len(stack)))
            if stack.names[i].startswith("qemu_")
        ),
        operation or "a qemu-thread function",
    )
    outer = blame
    while outer is not None and is_helper(stack.names[outer]):
        outer = common.qemu_frame(stack, outer + 1)
    errno = {
        22: "Invalid argument",
        16: "Device or resource busy",
        35: "Resource deadlock avoided",
        11: "Resource temporarily unavailable",
        12: "Cannot allocate memory",
        1: "Operation not permitted",
    }.get(code or 0, "")
    name = (operation or primitive).split(":")[0]
    errno = errno or (operation.split(":", 1)[1].strip() if operation and ":" in operation else "")
    caller = function_at(subject, outer)
    headline = f"{name} failed{f' ({errno})' if errno else ''}{f', called by {caller}' if caller else ''}"
    cause = Cause(subject, "crash.abort", headline, "thread-error", blame=outer, function=caller)
    if errno == "Device or resource busy":
        cause.sentences.append(
            f"{caller or 'The caller'} destroys a mutex that is still locked: somebody uses it, or it was never "
            f"unlocked."
        )
    elif "mutex" in primitive:
        cause.sentences.append(
            f"{primitive} got an error from pthread, so QEMU ends itself: {_mutex_error(stack, primitive, caller)}"
        )
    elif "thread_create" in primitive:
        # pthread_create(3): EAGAIN where a limit of threads is reached or there is no memory for a stack
        cause.sentences.append(
            "No further thread could be made: a limit of the user, of the cgroup or of the host is reached, or there "
            "is no memory (or no mapping left) for its stack."
        )
        cause.steps += [
            "ulimit -u of QEMU's user, and pids.max and pids.current of its cgroup (systemd: TasksMax)",
            "sysctl kernel.threads-max kernel.pid_max vm.max_map_count; how many threads does the process have "
            "(ls /proc/PID/task | wc -l)?",
        ]
    else:
        cause.sentences.append(
            f"{primitive} got an error from pthread that QEMU takes for impossible, and ends itself."
        )
    cause.proof.append(evidence(subject, position, f"error_exit{f': {operation}' if operation else ''}"))
    if "unlock" in primitive:
        cause.steps.append("p *mutex in the unlock's frame: __owner is the LWP that holds it, 0 if nobody does")
    if outer is not None:
        cause.proof.append(evidence(subject, outer, f"{caller} passed the object"))
        if "unlock" in primitive or not any(word in primitive for word in ("mutex", "cond", "sem", "event")):
            return cause
        pointer = next((v for n, v in stack.frames[outer].args.items() if (number(v) or 0) > 0xFFFF), None)
        if pointer:
            what = next(w for w in ("mutex", "cond", "sem", "event") if w in primitive)
            what = {"cond": "condition", "sem": "semaphore"}.get(what, what)
            cause.steps.append(
                f"print the object that holds the {what} in frame {stack.level(outer)}; who freed it before?"
            )
    return cause


def _mutex_error(stack: Stack, primitive: str, caller: str) -> str:
    """What pthread's refusal means: util/qemu-thread-posix.c, and which errors POSIX gives for each call."""
    who = caller or "the caller"
    if "unlock" in primitive and stack.find(("aio_context_release",)) is not None:
        # include/block/aio-wait.h up to 8.2: AIO_WAIT_WHILE() releases the lock around its poll
        return (
            f"the AioContext's lock that {who} gives up is not held by this thread. AIO_WAIT_WHILE() gives it up "
            "around its poll (to 8.2) and wants its caller to hold it; either nobody on this stack took it, or the "
            "node was moved to another AioContext since."
        )
    if "unlock" in primitive:
        return f"the mutex that {who} unlocks is not held by this thread, or was destroyed."
    if "destroy" in primitive:
        return (
            f"the mutex that {who} destroys is still locked (somebody uses it, or never unlocked it), or was destroyed "
            "before."
        )
    return (
        f"the mutex that {who} passed is not a live one (destroyed, or in memory that was freed), or is locked by this "
        "thread already."
    )


def _qom_cast(context: Context, subject: Subject, position: int, start: int) -> Optional[Cause]:
    stack = subject.stack
    wanted = stack.arg_string(position, "typename")
    func = stack.arg_string(position, "func")
    obj = stack.arg_number(position, "obj", "class")
    macro = start
    cast = ""
    if macro < len(stack) and re.fullmatch(r"[A-Z][A-Z0-9_]+", stack.names[macro] or ""):
        cast = f" {stack.names[macro]}()"
        macro += 1
    blame = common.qemu_frame(stack, macro)
    caller = function_at(subject, blame)
    to = f' to "{wanted or func}"' if wanted or func else cast
    headline = f"QOM cast{to} failed" + (f" in {caller}" if caller else "")
    cause = Cause(subject, "crash.abort", headline, "qom-cast", blame=blame, function=caller)
    cause.sentences.append(
        f"{caller or 'The caller'} took an object for {wanted or 'a type'} that is of another type"
        + (f" (object at 0x{obj:x})." if obj else ".")
    )
    cause.proof.append(evidence(subject, position, f"{stack.names[position]}{f' to {wanted}' if wanted else ''}"))
    cause.steps.append(
        f"print ((Object *) obj)->class->type->name in frame {stack.level(position)}: what the object really is"
    )
    return cause


_HUGE = 1 << 31  # of a count: -1 as an unsigned number, and its like
_SIZES = Names("*size*", "*len*", "*bytes*", "n", "nb")


def _huge_factor(stack: Stack, position: int, size: int) -> Optional[Tuple[str, int]]:
    """The argument, with its value, that makes a size huge: one of the function that asked, which divides it."""
    for name in stack.frames[position].args:
        value = stack.arg_number(position, name)
        if value is None or value < _HUGE or name in _SIZES:
            continue
        if size % value == 0 and 2 <= size // value <= 1 << 16:
            return name, value
    return None


def _named_abort(
    context: Context, subject: Subject, row: FatalPath, position: int, start: int, message: Optional[Message]
) -> Cause:
    stack = subject.stack
    blame = blame_of(subject, start)
    function = function_at(subject, blame)
    said = oneline(message.text) if message is not None else ""
    if not said:
        text = stack.arg_string(position, "str", "format", "fmt", "message", "msg", "log_domain")
        said = oneline(text or "")
    headline = f"{capital(row.says)}{f' in {function}' if function else ''}"
    cause = Cause(subject, row.kind, headline, row.name, blame=blame, function=function)
    spot = f" ({place(stack.frames[blame])})" if blame is not None and place(stack.frames[blame]) else ""
    if row.name == "malloc":
        cause.headline = f"malloc found its heap corrupted{f': {said}' if said else ''}"
        cause.sentences.append(
            f"libc noticed it in {_entry_of_malloc(stack, blame)}, called by "
            f"{function or 'code without a name'}{spot}. "
            "The write that did the damage, or the first of two frees, happened earlier and elsewhere."
        )
        cause.steps.append(
            "reproduce with AddressSanitizer (configure --enable-asan) or valgrind: they stop at the damage itself"
        )
    elif row.name == "stack-smashing":
        cause.headline = f"Stack smashing detected in {function or 'an unnamed function'}"
        cause.sentences.append(
            f"The frame of {function or 'a function'}{spot} was written over past one of its variables: by itself, or "
            "by a function that it gave the address of one. libc saw it when the function returned, at that line."
        )
        if blame is not None:
            cause.steps.append(f"frame {stack.level(blame)}, info locals: which array or structure lies last, and "
                               "which call before that line fills it?")
    elif row.name == "fortify":
        cause.headline = f"Buffer overflow stopped by _FORTIFY_SOURCE in {function or 'an unnamed function'}"
        cause.sentences.append(
            f"{function or 'A function'}{spot} called a libc function with a size or descriptor beyond its buffer."
        )
    elif row.name == "fdelt":
        cause.sentences.append(
            f"{function or 'The caller'}{spot} used FD_SET() on a descriptor of 1024 or above, which no fd_set can "
            "hold: the process has that many descriptors open."
        )
        cause.steps.append("ls -l /proc/PID/fd of a running one: what are they, and do they grow (a leak)?")
    elif row.name == "g-malloc":
        size = next(
            (
                stack.arg_number(i, "n_bytes", "n_blocks")
                for i in range(position, min(start + 1, len(stack)))
                if stack.arg_number(i, "n_bytes", "n_blocks")
            ),
            None,
        )
        told = re.search(r"failed to allocate (\d{1,20}) bytes", message.text) if message is not None else None
        size = size or (int(told.group(1)) if told else None)
        cause.headline = (f"g_malloc could not get {size} bytes" if size else "g_malloc could not get memory") + (
            f", for {function}" if function else ""
        )
        if size is not None and 1 << 63 <= size < 1 << 64:
            cause.sentences.append(
                f"{function or 'The caller'}{spot} asked for it: as a signed number that is {size - (1 << 64)}, so its "
                "arithmetic went below zero or overflowed."
            )
            cause.steps.append("from which numbers (of an image's header, a device's register) was the size computed?")
        elif size and blame is not None and (factor := _huge_factor(stack, blame, size)):
            name, value = factor
            cause.sentences.append(
                f"{function}{spot} asked for it: {size // value} times {name}, which is {value}. That looks "
                "like a number that was not checked."
            )
            cause.steps.append(f"where does {name} come from: a device's register, a descriptor, an image's header?")
        else:
            cause.sentences.append(
                f"{function or 'The caller'}{spot} asked for it. Either the host (or a memory limit) has no more, or "
                "the size is nonsense."
            )
            cause.steps.append("compare the size with the process's limits (ulimit -v, memory.max of its cgroup)")
    elif row.name == "glib":
        said = plain(said)
        cause.headline = f"Fatal GLib message{f': {said}' if said else ''}" + (f", from {function}" if function else "")
        glib_said.explain(cause, said, spot)
    elif row.name == "spice":
        cause.headline = "libspice-server aborts on a critical check" + (f" in {function}" if function else "")
        cause.sentences.append(
            "libspice-server checks what the guest's QXL driver puts into its commands and ends the whole process "
            "when a check fails; no QEMU function is at fault in the stack."
        )
    elif row.name == "hvf":
        cause.headline = f"A call of Apple's Hypervisor.framework failed in {function or 'HVF code'}"
        hypervisor.tell(context, cause, f"{function or 'HVF code'}{spot}")
    elif said:
        cause.sentences.append(f'It says "{cut(said, 160)}".')
    if said and said not in cause.headline and row.name not in ("malloc", "glib"):
        cause.proof.append(Evidence(text=said, thread=subject.number))
    cause.proof.append(evidence(subject, position, stack.names[position]))
    return cause


_ENTRIES = {
    "free": "free()",
    "cfree": "free()",
    "g_free": "g_free()",
    "_int_free": "free()",
    "malloc": "malloc()",
    "_int_malloc": "malloc()",
    "libc_free": "free()",
    "libc_malloc": "malloc()",
    "realloc": "realloc()",
    "libc_realloc": "realloc()",
    "_int_realloc": "realloc()",
    "calloc": "calloc()",
    "libc_calloc": "calloc()",
}


def _entry_of_malloc(stack: Stack, blame: Optional[int]) -> str:
    """The function of malloc's that QEMU called: "free()"."""
    inner = stack.names[: blame if blame is not None else 10]
    return next((_ENTRIES[n] for n in reversed(inner) if n in _ENTRIES and n != "g_free"), "malloc or free")


def _by_message(context: Context, subject: Subject, start: int, message: Message) -> Optional[Cause]:
    blame = blame_of(subject, start)
    function = message.function or function_at(subject, blame)
    text = oneline(message.text)
    kind = {
        "hw-error": "crash.hw-error",
        "error-abort": "crash.error-abort",
        "malloc": "crash.heap-corruption",
        "glib": "crash.glib-fatal",
    }.get(message.kind, "crash.abort")
    if message.kind == "error-abort":
        return error_aborts.expected(subject, 0, start, message)
    if message.kind == "hw-error":
        said = re.sub(r"^.*?hardware error: ?", "", text)
        headline = f'hw_error() in {function or "an unnamed function"}: "{said}"'
    elif "tcg fatal" in text.lower():  # tcg_abort(), include/tcg/tcg.h until 7.2; tcg/tcg.c
        headline = f'TCG gave up while it translated: "{text}"'
    elif message.kind == "cpu-abort":
        headline = f'cpu_abort(): "{re.sub(r"^.*?fatal: ?", "", text)}"'
    else:
        headline = text
    cause = Cause(subject, kind, headline, message.kind, blame=blame, function=function)
    if len(headline) > 90:
        cause.sentences.append(f'The process wrote "{cut(text, 200)}".')
    if "tcg fatal" in text.lower():
        cause.steps.append("run with -d in_asm,op,op_opt -D FILE: the last block in FILE is the one that it could not "
                           "translate")
    if message.kind == "malloc":
        cause.sentences.append(
            "libc only noticed it here; the write that did the damage, or the first of two frees, happened earlier "
            "and elsewhere."
        )
        cause.steps.append(
            "reproduce with AddressSanitizer (configure --enable-asan) or valgrind: they stop at the damage itself"
        )
    cause.proof.append(Evidence(text=text, thread=subject.number))
    return cause


_COROUTINE_LINES = (
    (
        "Co-routine re-entered recursively",
        "a coroutine was entered while it already runs (or its memory was freed and reused)",
    ),
    ("Co-routine is returning while someone is waiting", "a coroutine ended while another waits to be resumed by it"),
    ("Co-routine was already scheduled", "a coroutine was entered while it is also scheduled elsewhere"),
    ("Co-routine is yielding to no one", "a coroutine yielded outside any caller"),
)


def coroutine_line(context: Context) -> Tuple[str, str]:
    """util/qemu-coroutine.c's last words in the input and what they mean, "" without any."""
    for text in context.said:
        if "o-routine" in text:
            for line, meaning in _COROUTINE_LINES:
                if line in text:
                    return line, meaning
    return "", ""


def _in_a_strange_handler(stack: Stack, blame: Optional[int]) -> Optional[int]:
    """Where a signal interrupted the thread, if the function that aborts is in its handler and not QEMU's."""
    if blame is None or functions.lookup(stack.names[blame]):
        return None
    handler = stack.find(("<signal handler called>",), blame)
    return handler + 1 if handler is not None and handler < blame + 8 and handler + 1 < len(stack) else None


def _plain_abort(context: Context, subject: Subject, start: int, position: Optional[int]) -> Cause:
    stack = subject.stack
    blame = blame_of(subject, start)
    function = function_at(subject, blame)
    frame_place = place(stack.frames[blame]) if blame is not None else ""
    if function in tested.NOTICES:
        return tested.cause(context, subject, blame)
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
        check = check_of(function)
        if check:
            cause.sentences.append(check)
        if said:
            cause.sentences.append(f'QEMU had written "{cut(said, 160)}".')
        elif (interrupted := _in_a_strange_handler(stack, blame)) is not None:
            cause.sentences.append(
                f"{function} is no function of QEMU's: a library's signal handler ended the process. What the signal "
                f"was for happened in {at(stack, interrupted)}."
            )
        elif function and not check:
            cause.sentences.append(
                f"{function} gives up on a state that it takes for impossible (abort() itself, or an assertion "
                f"whose frames have "
                "no names here); the line that it wrote to stderr tells which."
            )
            if frame_place:
                cause.steps.append(f"read the check at {frame_place}, and QEMU's stderr")
    if blame is not None:
        called_by(cause, blame)
    if position is not None:
        cause.proof.append(evidence(subject, position, stack.names[position]))
    if blame is not None:
        cause.proof.append(evidence(subject, blame, f"{function} {frame_place}".rstrip()))
    return cause
