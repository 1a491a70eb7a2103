"""qemu-mtree: the guest's address spaces, and which memory region and device answers where."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional

from .. import options
from ..model import SCHEMA
from ..options import Parsed, UsageError
from ..render import tables
from ..render.safe import safe
from ..render.words import count
from . import base

OPTIONS = (options.ALL, options.FORMAT)
TAKES_THREADS = False
_KEPT = 50  # regions of a space on the first screen
_FIRST = ("memory", "I/O")


def run(parsed: Parsed) -> None:
    from ..capture import process as capture
    from ..state import access, memory_tree
    from ..state.qom import Qom

    wanted = " ".join(parsed.words) or None
    try:
        capture.require_stopped()
    except capture.NoProcess as error:
        raise UsageError(str(error)) from None
    with capture.selection_kept():
        reading = access.Process()
        try:
            spaces = memory_tree.read(reading, Qom(reading))
        except access.NotReadable as error:
            raise UsageError(f"the memory regions can't be read: {error}") from None
    if wanted is not None and not any(s.name == wanted for s in spaces):
        raise UsageError(f"there is no address space {wanted!r}; known are {', '.join(_names(spaces))}")
    if parsed.format == "json":
        base.write(json.dumps({"schema": SCHEMA, "address_spaces": [_plain(s) for s in spaces
                                                                   if wanted in (None, s.name)],
                               "notices": [{"kind": "notice.unreadable", "text": n} for n in reading.notes]},
                              indent=1) + "\n")
        return
    form = base.form(parsed)
    lines: List[str] = []
    for space in spaces:
        chosen = wanted == space.name if wanted else form.all_threads or space.name in _FIRST
        if not chosen or (space.same_as and wanted is None):
            continue
        lines += ([""] if lines else []) + [f"address space {safe(space.name)}"
                                            + (f" (the same as {safe(space.same_as)})" if space.same_as else "")]
        lines += _tree(space, parsed, form, whole=form.all_threads or wanted is not None)
    others = [n for n in _names(spaces) if n not in _FIRST]
    if wanted is None and not form.all_threads and others:
        lines += ["", f"{count(len(others), 'more address space')}: {', '.join(safe(n) for n in others[:12])}"
                      + (" ..." if len(others) > 12 else "") + "; name one, or --all"]
    lines += [f"Note: {safe(n)}" for n in reading.notes]
    base.write(form.finish(lines))


def _names(spaces: List[Any]) -> List[str]:
    return list(dict.fromkeys(s.name for s in spaces))


def _tree(space: Any, parsed: Parsed, form: Any, whole: bool) -> List[str]:
    nodes = space.nodes if whole else [n for n in space.nodes if n.enabled and n.depth < 4][:_KEPT]
    rows = []
    for node in nodes:
        last = node.first + max(node.size, 1) - 1
        name = "  " * min(node.depth, 12) + (node.name or "(no name)")
        if node.alias_of:
            name += f" → {node.alias_of}"
        kind = node.kind + ("" if node.enabled else ", disabled")
        rows.append((f"{node.first:#x}-{last:#x}", kind, name, node.owner))
    if parsed.format == "markdown":
        lines = tables.markdown(("Guest address", "Kind", "Region", "Device"), rows)
    else:
        lines = tables.text(("Guest address", "Kind", "Region", "Device"), rows, form)
    if len(nodes) < len(space.nodes):
        lines.append(f"  ... {len(space.nodes) - len(nodes)} more (deeper, or disabled); --all shows them")
    return lines


def _plain(space: Any) -> Dict[str, Optional[Any]]:
    return {"name": space.name, "same_as": space.same_as or None, "regions": [
        {"address": hex(n.address), "name": n.name, "kind": n.kind, "first": hex(n.first), "size": hex(n.size),
         "depth": n.depth, "priority": n.priority, "enabled": n.enabled, "owner": n.owner or None,
         "alias_of": n.alias_of or None} for n in space.nodes]}
