"""The bad pointer of a fault, by the registers and the values that a debugger's session printed around the stack."""

from __future__ import annotations

import re
from typing import List, Optional

from ...model import Evidence
from .. import printed
from ..context import Context
from ..printed_access import Access
from ..stack import Stack
from .cause import Cause
from .common import cut


def by_register(cause: Cause, access: Access, address: Optional[int], where: str, named: bool) -> None:
    """What the instruction's register tells; ``named``: the frames' arguments tell which pointer is bad."""
    what = f"{access.register} = 0x{access.base:x}"
    cause.proof.append(Evidence(text=f"`{access.instruction}`, {what}", thread=cause.subject.number))
    if named or access.address is not None and access.address != address:
        return
    if not access.base:
        cause.sentences.append(f"The instruction `{access.instruction}` took {access.register} for the pointer, which "
                               "is 0.")
        return
    if access.odd:
        cause.headline = f"Bad pointer {access.register}=0x{access.base:x} used in {where}"
        cause.sentences = [
            f"The instruction `{access.instruction}` took {access.register} for the pointer, which is no valid one: "
            f"{access.odd}.",
            "What it was read from was freed, overwritten or never set before.",
        ]
    elif access.base < 0x10000:
        cause.sentences.append(f"The instruction `{access.instruction}` used {what}, which is too small for a pointer.")
    else:
        cause.sentences.append(f"The instruction `{access.instruction}` used {what}, which can be a pointer: what it "
                               "points to is not mapped, or does not allow this access.")


def printed_null(context: Context, cause: Cause, stack: Stack, positions: List[int], where: str) -> bool:
    """Name the pointer where somebody had the debugger print one of these frames' own, and it was NULL."""
    frame = stack.frames[positions[0]] if positions else None
    line = printed.source_line(context.snapshot, frame.line) if frame is not None and frame.level == 0 else None
    through = printed.null_in(context.snapshot, line) if line else ""
    if through:
        cause.kind = "crash.null-dereference"
        cause.headline = f'NULL pointer "{through}" in {where}'
        told = [s for s in cause.sentences if s.startswith("The instruction")]
        cause.sentences = [f"{through} is NULL, as the debugger printed it, and the line looks through it: "
                           f"`{cut(line or '', 120)}`.", *told]
        cause.proof.append(Evidence(text=f"{through} = 0x0", thread=cause.subject.number))
        return True
    for expression in printed.null_values(context.snapshot):
        root = re.match(r"[*&(]*([A-Za-z_]\w*)", expression)
        frames = [stack.frames[p] for p in positions]
        if root is None or not any(root.group(1) in f.args or root.group(1) in f.locals for f in frames):
            continue
        if cause.kind != "crash.null-dereference":  # no address tells it
            cause.kind, cause.confidence = "crash.null-dereference", "likely"
            cause.headline = f"NULL pointer in {where}"
        told = [s for s in cause.sentences if s.startswith("The instruction")]
        cause.sentences = [f"{expression} is NULL, as the debugger printed it in the text.", *told]
        cause.proof.append(Evidence(text=f"{expression} = 0x0", thread=cause.subject.number))
        return True
    return False
