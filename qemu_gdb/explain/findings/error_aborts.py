"""Errors that a caller passed &error_abort for: util/error.c's error_handle() ends QEMU over them by design."""

from __future__ import annotations

from typing import Optional

from ...model import Message
from ...pattern import Pattern
from ..context import Subject
from ..stack import symbol
from . import common
from .cause import Cause, blame_of, function_at
from .common import evidence, oneline, place

_DUPLICATE = Pattern(r"attempt to add duplicate property '([^']+)' to object \(type '([^']+)'\)")
_RAISED = Pattern(r"Unexpected error in (\w+)\(\) at ([^\s:]+):(\d+)")


def expected(subject: Subject, position: int, start: int, message: Optional[Message]) -> Cause:
    """What the error was, who set it, and who passed &error_abort, for a stack whose ``position`` ends QEMU over it."""
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
        elif message.text and "%" not in message.text:
            said = oneline(message.text)
        raised_in = message.function or raised_in
    blame = blame_of(subject, start)
    function = raised_in or function_at(subject, blame)
    frame_place = place(stack.frames[blame]) if blame is not None else ""
    headline = (
        "error_abort: "
        + (f'"{said}"' if said else "an error that the caller takes for impossible")
        + (f", raised in {function}" if function else "")
    )
    cause = Cause(subject, "crash.error-abort", headline, "error-abort", blame=blame, function=function)
    shown = [i for i in range(start, len(stack)) if symbol(stack.frames[i].args.get("errp", "")) == "error_abort"]
    caller = next((i for i in shown if stack.names[i] != function), None)
    sentence = (
        f"{function or 'A function'}{f' ({raised_at or frame_place})' if raised_at or frame_place else ''} "
        f"reported an error"
    )
    passed = stack.names[shown[-1] + 1] if shown and shown[-1] + 1 < len(stack) else ""
    if passed:
        sentence += f" through &error_abort, which {passed} passed down: an error there ends QEMU by design."
    else:
        sentence += " to a caller that passed &error_abort: an error there ends QEMU by design."
    cause.sentences.append(sentence)
    cause.proof.append(evidence(subject, position, stack.names[position]))
    if caller is not None:
        cause.proof.append(evidence(subject, caller, "errp is &error_abort"))
    duplicate = _DUPLICATE.search(said) or _DUPLICATE.search(message.text if message is not None else "")
    if duplicate and duplicate.group(2) == "container":
        # qom/object.c object_property_try_add; system/qdev-monitor.c puts devices with an id into /machine/peripheral
        name = duplicate.group(1)
        cause.sentences.append(
            f'An object with the id "{name}" still exists. device_del only asks the guest to release a device: it and '
            "its id stay until the event DEVICE_DELETED."
        )
        cause.steps.append(f'was device_del of "{name}" sent before, and had DEVICE_DELETED come? (QMP log; qom-list '
                           "/machine/peripheral)")
    if not said:
        cause.steps.append(
            'the error\'s text is on stderr ("Unexpected error in ..."), or: print *err in the error_handle frame'
        )
    return cause
