"""Breakpoints on the functions by which QEMU tells an error or ends in order: what it says there is the failure."""

from __future__ import annotations

from typing import List, NamedTuple, Optional

from ...knowledge.match import Names
from ...pattern import Pattern
from .. import printed
from ..context import Context, Subject
from ..stack import Stack
from .common import cut, oneline, without_program

# util/qemu-error.c, util/error.c (5.2 to 10.2); stdlib/exit.c
_REPORTS = Names("error_report", "error_report_err", "error_vreport", "error_printf", "error_vprintf", "vreport",
                 "error_setg_internal", "error_setg_errno_internal", "error_setg_file_open_internal", "error_setv",
                 "error_set_internal", "error_handle", "error_handle_fatal", "error_propagate",
                 "error_propagate_prepend", "error_reportf_err", "error_report_once_cond")  # fmt: skip
_WARNS = Names("warn_report", "warn_vreport", "warn_report_err", "warn_reportf_err", "warn_report_once_cond",
               "g_log", "g_logv", "g_log_structured")  # fmt: skip
_EXITS = Names("exit", "_exit", "quick_exit", "exit_group")
_TOP = 4
_LITERAL = 8  # characters of a format that tell its line from others
_CONVERSION = Pattern(r"%[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|ll|[hlzjt])?[a-zA-Z%]")


class Failure(NamedTuple):
    """What QEMU was about to tell, or why it was about to end."""

    title: str
    sentences: List[str]
    steps: List[str]
    position: int  # of the function that tells it


def failure(context: Context, subject: Subject) -> Optional[Failure]:
    """The failure that a breakpoint of a stopped thread shows, None where it shows none."""
    stack = subject.stack
    if not stack.frames or stack.level(0):
        return None
    first = stack.names[0]
    exits = first in _EXITS
    status = stack.arg_number(0, "status", "code", "rc") if exits else None
    if exits and status == 0 or not (exits or first in _REPORTS or first in _WARNS):
        return None
    tells = [p for p in range(min(_TOP, len(stack))) if stack.names[p] in _REPORTS or stack.names[p] in _WARNS]
    if exits and status is None and not tells:
        return None
    said = _said(context, stack, tells)
    teller = tells[-1] if tells else 0
    from_frame = next((p for p in range(teller + 1, len(stack)) if stack.names[p]), None)
    function = stack.names[from_frame] if from_frame is not None else ""
    by = f" for {function}" if function else ""
    quoted = f': "{cut(said, 110)}"' if said else ""
    if exits:
        title = f"QEMU ends with status {status}{quoted}" if status is not None else f"QEMU ends on an error{quoted}"
        sentences = [f"That is no crash, and leaves no core: {stack.names[0]}() is called{by}."]
    elif first in _WARNS:
        title = f"QEMU is about to warn{quoted}"
        sentences = [f"The breakpoint is in {first}{by}."]
    else:
        title = f"QEMU is about to report an error{quoted}"
        sentences = [f"The breakpoint is in {first}{by}: what it reports is the failure."]
    if any(stack.arg_symbol(p, "errp", "dst_errp") == "error_fatal" for p in range(min(_TOP, len(stack)))):
        sentences.append("&error_fatal was passed down: an error there ends QEMU in order.")
    steps = []
    if not said:
        where = next((p for p in tells if "err" in stack.frames[p].args or "local_err" in stack.frames[p].args), None)
        name = "err" if where is not None and "err" in stack.frames[where].args else "local_err"
        steps = [f"p {name}->msg in frame {stack.level(where)}" if where is not None else "the last line of QEMU's log"]
    return Failure(title, sentences, steps, teller)


def _said(context: Context, stack: Stack, tells: List[int]) -> str:
    """The error's words: as somebody printed them, else the log's line of the format, else the format."""
    told = printed.errors(context.snapshot)
    if told:
        return oneline(told[-1].message)
    given = next((text for p in tells for text in (stack.arg_string(p, "fmt", "format"),) if text), "")
    line = _line_of(context, given)
    if line or given:
        return line or oneline(given)
    return error_line(context) if tells or stack.names[0] in _EXITS else ""


def _line_of(context: Context, given: str) -> str:
    literal = max((part.strip() for part in _CONVERSION.split(given)), key=len, default="")
    if len(literal) < _LITERAL:
        return ""
    for message in context.snapshot.messages:
        if literal in message.text and message.kind == "qemu-error":
            return without_program(message.text)
    line = next((x for x in context.snapshot.unparsed[:4000] if literal in x and "fmt=" not in x), "")
    return without_program(line)


def error_line(context: Context) -> str:
    """The last error that QEMU wrote, as the text has it; "" for none."""
    errors = [m.text for m in context.messages if m.kind == "qemu-error"]
    return without_program(errors[-1]) if errors else ""
