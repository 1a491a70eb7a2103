"""An error that is set over another: util/error.c's error_setv() wants *errp to be NULL."""

from __future__ import annotations

from ...model import Evidence
from .. import printed
from ..context import Context
from . import common
from .cause import Cause
from .common import at, cut, oneline

_SETS = ("error_setv", "error_setg_internal", "error_setg_errno_internal", "error_set_internal")


def explain(context: Context, cause: Cause, start: int) -> None:
    """Tell which error was set already, where the text has it, and who sets the second (5.2 to 10.2)."""
    stack = cause.subject.stack
    inner = stack.find(("error_setv",))
    if inner is None:
        return
    setter = next((p for p in range(inner, len(stack)) if stack.names[p] not in (*_SETS, "")), None)
    function = stack.arg_string(inner, "func") or (stack.names[setter] if setter is not None else "")
    spot = common.location(stack.arg_string(inner, "src"), stack.arg_number(inner, "line"))
    second = next((oneline(t) for p in range(inner, min(inner + 3, len(stack)))
                   for t in (stack.arg_string(p, "fmt"),) if t), "")
    cause.row = "error-set-twice"
    cause.headline = f"An error was set already, and {function or 'a function'} sets a second over it" + (
        f", {spot}" if spot else "")
    if setter is not None:
        cause.blame, cause.function = setter, stack.names[setter]
    other = f' another ("{cut(second, 80)}")' if second else " another"
    cause.sentences.append(
        f"error_setv() asserts *errp == NULL: what was called before failed and set an error, and "
        f"{at(stack, setter) if setter is not None else 'its caller'} goes on to set{other} through the same errp."
    )
    first = next(iter(printed.errors(context.snapshot)), None)
    if first is not None:
        place = common.location(first.file, first.line)
        by = f", set by {first.function}" if first.function else ""
        cause.sentences.append(f'The first error is "{cut(oneline(first.message), 160)}"{by}'
                               + (f" ({place})." if place else "."))
        cause.proof.append(Evidence(text=f"printed: {oneline(first.message)}", thread=cause.subject.number))
        cause.steps.append(f"read {function}: which call before this one sets errp and is not checked?")
    else:
        cause.steps.append(f"p **errp in frame {stack.level(inner)}: the first error, with the function that set it")

