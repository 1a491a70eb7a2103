"""Failed assertions: the check, what it means, and the values that the frames and a debugger's session show of it."""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from ...knowledge import rules
from ...knowledge.aborts import fatal_path_of
from ...model import Evidence, Message
from ...pattern import Pattern
from .. import printed
from ..context import Context, Subject
from ..stack import Stack
from . import common, twice
from .cause import Cause, blame_of, called_by, check_of
from .common import at, cut, evidence, oneline, place

_OPERAND = Pattern(r"[A-Za-z_]\w*(?:(?:->|\.)[A-Za-z_]\w*)*(?!\w|\s*[(\[]|->|\.[A-Za-z_])")
_CALL = Pattern(r"\b[A-Za-z_]\w*\s*\([^()]*\)")
_CONSTANT = Pattern(r"[A-Z][A-Z0-9_]*|true|false|sizeof|int|unsigned|char|void|struct|long|bool|u?int\d+_t")
# 5, -1, 0x7f.., "true", an enum's name, a pointer with its cast: (AioContext *) 0x55..
_PLAIN = Pattern(r"(?:\(([\w ]{1,60}\*+)\) ?)?(-?\d+|0x[0-9a-fA-F]+|true|false|[A-Z][A-Z0-9_]+)(?: ['<\"].*)?")
_MOST = 4


def failed(
    context: Context, subject: Subject, found: Dict[str, int], start: int, message: Optional[Message]
) -> Cause:
    """A failed assertion; ``found``: the fatal paths among the frames, of which ``start`` is the first outside."""
    stack = subject.stack
    expression = file = function = None
    line: Optional[int] = None
    said = None
    for position in range(min(len(stack), start + 1)):
        if fatal_path_of(stack.names[position]) is None:
            continue
        expression = expression or stack.arg_string(position, "assertion", "__assertion", "expr", "ex", "message")
        file = file or stack.arg_string(position, "file", "__file", "filename")
        line = line if line is not None else stack.arg_number(position, "line", "__line", "linenr")
        function = function or stack.arg_string(position, "function", "func", "__function")
        said = position if expression else said
    if message is not None and message.kind == "glib" and not message.function:
        told_at = re.search(r"ERROR:([^\s:]+):(\d+):(\w+): code should not", message.text)
        if told_at:
            file, line, function = told_at.group(1), int(told_at.group(2)), told_at.group(3)
    if message is not None and message.kind in ("assertion", "glib"):
        expression = message.expression or expression
        file, line = message.file or file, message.line if message.line is not None else line
        function = message.function or function
    blame = blame_of(subject, start)
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
        shown = _stripped(expression)
        expression = shown
        headline = f'Assertion "{shown}" failed in {where}' + (f", {spot}" if spot else "")
        if len(headline) > 90 and spot:
            headline = f'Assertion "{cut(shown, max(40, 120 - len(where)))}" failed in {where}'
    else:
        headline = f"An assertion failed in {where}" + (f", {spot}" if spot else "")
    cause = Cause(
        subject,
        "crash.assertion",
        headline,
        "glib-assertion" if glib else "assertion",
        blame=blame,
        expression=expression,
        function=function,
        file=file,
        line=line,
    )
    if function == "error_setv" and expression and "*errp" in expression.replace("* errp", "*errp"):
        twice.explain(context, cause, start)
    elif expression is None and not unreachable:
        check = check_of(function or "")
        cause.sentences.append(
            check or "The expression is not in the input; it stands in the line that QEMU wrote to stderr."
        )
        if not spot:
            cause.steps.append("look for the line \"Assertion `...' failed\" in QEMU's stderr or log")
    elif expression and (shared := _shared(function or "", expression)):
        cause.sentences.append(shared.says)
        cause.steps.append(shared.step)
    elif expression and (meant := _meant(function or "", expression)):
        cause.sentences.append(meant)
    elif expression and len(headline) > 90 or (expression and spot and spot not in headline):
        cause.sentences.append(f'The check is "{expression}"' + (f" at {spot}." if spot else "."))
    if blame is not None and expression and not unreachable and cause.row != "error-set-twice":
        compared = _operands(context, stack, blame, expression)
        values = _sentence(compared)
        if values is not None:
            cause.sentences.append(values)
            if compared.missing and stack.frames[blame].file:
                asked = ", ".join(f"p {name}" for name in compared.missing)
                cause.steps.append(f"{asked} in frame {stack.level(blame)}")
    if blame is not None:
        if cause.row != "error-set-twice":
            called_by(cause, blame)
        outer = common.qemu_frame(stack, blame + 1)
        if function in rules.CHECK_STEPS and outer is not None:
            cause.steps.append(rules.CHECK_STEPS[function].format(caller=at(stack, outer)))
    if said is not None:
        cause.proof.append(evidence(subject, said, f"{stack.names[said]}: {expression or 'assertion'}"))
    elif message is not None:
        cause.proof.append(Evidence(text=oneline(message.text), thread=subject.number))
    if blame is not None:
        cause.proof.append(evidence(subject, blame, f"{stack.names[blame]} {place(stack.frames[blame])}".rstrip()))
    return cause


def _shared(function: str, expression: str) -> Optional[rules.SharedCheck]:
    return next((row for row in rules.SHARED_CHECKS
                 if function in row.functions and row.expression.search(expression)), None)


def _meant(function: str, expression: str) -> str:
    """What a known check of the function means, if the expression is of that check and no rule tells it; "" else."""
    check = check_of(function)
    if not check or any(row.expression.search(expression) for row in rules.ASSERTED):
        return ""
    words = set(re.findall(r"[a-z]{3,}", expression.lower().replace("_", " ")))
    said = set(re.findall(r"[a-z]{3,}", check.lower().replace("_", " ")))
    return check if words & said else ""


def _stripped(expression: str) -> str:
    text = oneline(expression)
    found = re.match(r"(?:assertion failed: ?\(?)(.*?)\)?$", text)
    if found:
        text = found.group(1)
    closes = {"`": "'", "'": "'", '"': '"'}.get(text[:1])
    if closes is not None and len(text) > 2 and text.endswith(closes) and text[0] not in text[1:-1]:
        return text[1:-1]
    return text


class _Operands(NamedTuple):
    """What an assertion compares."""

    shown: List[Tuple[str, str]]  # expression and value
    missing: List[str]
    alike: List[Tuple[str, str]]  # further expressions of a pointer's type that were printed


def _operands(context: Context, stack: Stack, position: int, expression: str) -> _Operands:
    """The operands of an assertion that the frame at ``position`` failed."""
    frame = stack.frames[position]
    asked: Dict[str, str] = dict(printed.values(context.snapshot))
    shown: List[Tuple[str, str]] = []
    missing: List[str] = []
    types = []
    compared = re.sub(r'"[^"]*"', "", expression[:400])
    while _CALL.search(compared):  # what a call gets is not what is compared
        compared = _CALL.sub("0", compared)
    for name in dict.fromkeys(_OPERAND.findall(compared)):
        if _CONSTANT.fullmatch(name):
            continue
        value = asked.get(name) or frame.locals.get(name) or frame.args.get(name) or ""
        found = _PLAIN.fullmatch(value)
        if found is None:
            missing.append(name)
            continue
        shown.append((name, _readable(found.group(2))))
        if found.group(1) and name in asked:
            types.append(found.group(1))
    alike = []
    for name, value in asked.items():
        found = _PLAIN.fullmatch(value)
        if found is not None and found.group(1) in types and all(name != known for known, _ in shown):
            alike.append((name, found.group(2)))
    return _Operands(shown[:_MOST], missing[:_MOST], alike[:_MOST])


def _readable(value: str) -> str:
    """A number that is a small negative one of 32 or 64 bits, with that; an address or a size of that order in hex."""
    number = int(value) if value.isdigit() else 0
    for bits in (32, 64):
        if (1 << bits) - (1 << 24) <= number < 1 << bits:
            return f"{value} ({number - (1 << bits)} as a signed number)"
    if number >= 1 << 32:
        return f"{value} (0x{number:x})"
    return value


def _sentence(found: _Operands) -> Optional[str]:
    """The values in words, None where none is shown."""
    if not found.shown:
        return None
    told = "Here " + ", ".join(f"{name} is {value}" for name, value in found.shown) + "."
    if found.alike:
        told += " Printed, too: " + ", ".join(f"{name} is {value}" for name, value in found.alike) + "."
    return told
