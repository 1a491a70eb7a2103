"""Panics of QEMU's code in Rust: what failed, where, and what it means in QEMU's terms."""

from __future__ import annotations

from typing import Optional

from ...knowledge.rust import PANICS, short_name
from ...model import Evidence, Message
from ..context import Subject
from . import common
from .cause import Cause, blame_of, function_at, past_helpers
from .common import at, cut, evidence, oneline, place

# rust/qemu-api/src/cell.rs (10.0), rust/bql/src/cell.rs (10.2): both borrow() and borrow_mut() of a BqlRefCell say so.
# "already mutably borrowed" and "already borrowed: BorrowMutError" are of Rust's own RefCell, of which QEMU has none.
_BORROWED = "already borrowed"
_REENTERED = (
    "A BqlRefCell was borrowed already: the device was entered again while one of its own functions, further out on "
    "this stack, still works on its state."
)


def panic(subject: Subject, position: int, start: int, message: Optional[Message]) -> Cause:
    """Tell of the panic whose machinery ends at ``position``; ``start``: where its caller's frames begin."""
    stack = subject.stack
    blame = _blame(subject, start)
    function = function_at(subject, blame)
    said = oneline(message.expression or "") if message is not None else ""
    told_by_frame = ""
    if not said:
        for inner in range(min(start + 1, len(stack))):
            told_by_frame = next((words for names, words in PANICS if stack.names[inner] in names), told_by_frame)
    expression = said[len("assertion failed: "):] if said.startswith("assertion failed: ") else None
    file, line = (message.file, message.line) if message is not None and message.file else (None, None)
    spot = common.location(file, line) if file else place(stack.frames[blame]) if blame is not None else ""
    name = short_name(function)
    what = f'"{cut(said, 90)}"' if said else told_by_frame
    headline = "Rust panic" + (f" in {name}" if name else "") + (f", {spot}" if spot else "")
    headline += f": {what}" if what else ""
    cause = Cause(subject, "crash.assertion" if expression else "crash.abort", headline, "rust-panic", blame=blame,
                  expression=expression, function=function or None, file=file, line=line)
    if message is not None and len(said) > 90:
        cause.sentences.append(f'It says "{cut(said, 240)}".')
    if (said or told_by_frame).startswith(_BORROWED) and "BorrowMutError" not in said:
        cause.sentences.append(_REENTERED)
    elif not what:
        cause.sentences.append(
            "Its words stand in the line \"thread '...' panicked at ...\" that QEMU wrote to stderr."
        )
        cause.steps.append('look for "panicked at" in QEMU\'s stderr or log: the line below it says what failed')
    if message is not None:
        cause.proof.append(Evidence(text=oneline(message.text), thread=subject.number))
    cause.proof.append(evidence(subject, position, stack.names[position]))
    if blame is not None:
        cause.proof.append(evidence(subject, blame, at(stack, blame)))
    return cause


def _blame(subject: Subject, start: int) -> Optional[int]:
    """The function that panicked: past QEMU's own Rust glue, whose checks are of its callers."""
    blame = blame_of(subject, start)
    outer = past_helpers(subject.stack, blame) if blame is not None else None
    return outer if outer is not None and "::" in subject.stack.names[outer] else blame
