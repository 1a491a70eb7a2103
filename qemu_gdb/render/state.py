"""Writes what was read of QEMU's own state, a topic a page: locks, vCPUs, requests, coroutines, handlers, timers."""

from __future__ import annotations

import json
import time
from dataclasses import field
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..model import SCHEMA, Coroutine, Explanation, Frame, Handler
from ..record import record
from . import tables
from .safe import Form, safe, wrap
from .text import header as process_header
from .words import ranges, role_label

Plain = Dict[str, Any]
_KEPT = 40  # rows on the first screen


@record
class Page:
    """What one command shows: a table, lines below it, and the same as plain values."""

    name: str  # of the list in JSON
    header: Sequence[str]
    rows: List[Sequence[str]] = field(default_factory=list)
    plain: List[Plain] = field(default_factory=list)
    nothing: str = ""  # said where there are no rows
    below: List[str] = field(default_factory=list)
    more: Plain = field(default_factory=dict)  # further members of the JSON object


def render(page: Page, explanation: Explanation, format_name: str, form: Form) -> str:
    """The page in one of the formats."""
    notices = [n.text for n in explanation.snapshot.notices if n.kind == "notice.unreadable"]
    if format_name == "json":
        members: Plain = {"schema": SCHEMA, page.name: page.plain, **page.more}
        members["notices"] = [{"kind": n.kind, "text": n.text} for n in explanation.snapshot.notices]
        return json.dumps(members, indent=1, allow_nan=False) + "\n"
    if format_name == "markdown":
        lines = [safe(process_header(explanation)), ""]
        lines += tables.markdown(page.header, page.rows) if page.rows else [page.nothing]
        return form.finish(lines + [safe(line) for line in page.below] + [f"Note: {safe(n)}" for n in notices])
    lines = [safe(process_header(explanation)), ""]
    shown = page.rows if form.all_threads else page.rows[:_KEPT]
    lines += tables.text(page.header, shown, form) if page.rows else [page.nothing]
    if len(shown) < len(page.rows):
        lines.append(f"  ... {len(page.rows) - len(shown)} more; --all shows them")
    for line in page.below:
        lines += wrap(safe(line), form.columns, "  ", "  ") if line else [""]
    for notice in notices:
        lines += wrap(f"Note: {safe(notice)}", form.columns, "", "  ")
    return form.finish(lines)


# ---------------------------------------------------------------------------------------------------------------


def locks(explanation: Explanation) -> Page:
    """Who holds which lock, and who waits for it."""
    facts = explanation.snapshot.facts
    page = Page("locks", ("Lock", "Held by", "Waiting"), nothing="No lock could be read.")
    for lock in facts.locks:
        owner = _lwp(explanation, lock.owner_lwp)
        held = owner or ("nobody" if lock.owner_known else "unknown")
        page.rows.append((lock.name, held, ", ".join(_lwp(explanation, w) for w in lock.waiter_lwps)))
        page.plain.append({
            "name": lock.name, "address": hex(lock.address), "kind": lock.kind,
            "owner_thread": _number(explanation, lock.owner_lwp), "owner_lwp": lock.owner_lwp,
            "owner_known": lock.owner_known, "waiters": [_number(explanation, w) for w in lock.waiter_lwps],
        })
    others = [w for w in facts.waits if w.kind != "mutex"]
    waits: List[Plain] = []
    if others:
        page.below += ["", "Threads that wait for something else than a lock:"]
    alike: Dict[Tuple[str, str], List[int]] = {}
    for wait in others:
        what = wait.name or (f"at {wait.address:#x}" if wait.address else "")
        by = {"condvar": "condition", "join": "the end of"}.get(wait.kind, wait.kind)
        text = " ".join(filter(None, (by, what))) + (f" ({wait.text})" if wait.text else "")
        alike.setdefault((_role(explanation, wait.lwp), text), []).append(wait.lwp)
        waits.append({"thread": _number(explanation, wait.lwp), "kind": wait.kind, "object": wait.name or None,
                      "address": hex(wait.address), "owner_thread": _number(explanation, wait.owner_lwp)})
    for (role, text), lwps in alike.items():
        numbers = [n for n in (_number(explanation, lwp) for lwp in lwps) if n is not None]
        many = len(numbers) > 1 and len(numbers) == len(lwps)
        who = f"threads {ranges(numbers)}" + (f" ({role})" if role else "") if many else _lwp(explanation, lwps[0])
        page.below.append(f"{who}: {text}")
    readers = [r for r in facts.rcu_readers if r.depth]
    if readers:
        page.below += ["", "Inside an RCU read-side critical section: "
                       + ", ".join(_lwp(explanation, r.lwp) or "unknown" for r in readers)]
    page.more = {"waits": waits, "rcu_readers": [
        {"thread": _number(explanation, r.lwp), "depth": r.depth, "waiting": r.waiting} for r in facts.rcu_readers]}
    return page


def vcpus(explanation: Explanation) -> Page:
    """What each vCPU is at."""
    page = Page("vcpus", ("vCPU", "Thread", "Accelerator", "State", "Guest", "Last exit"),
                nothing="This process has no vCPU, or its list can't be read.")
    for vcpu in explanation.snapshot.facts.vcpus:
        flags = [("stopped", vcpu.stopped), ("stop requested", vcpu.stop), ("halted", vcpu.halted),
                 ("running", vcpu.running), ("exit requested", vcpu.exit_request and not vcpu.stopped)]
        guest = f"{vcpu.mode} at {vcpu.pc:#x}" if vcpu.mode and vcpu.pc is not None else ""
        if not guest and vcpu.accelerator == "kvm":
            guest = "(in the kernel)"  # QEMU has no copy of the registers while KVM runs the vCPU
        reason = " ".join(filter(None, (vcpu.exit_reason, vcpu.exit_detail)))
        number = _number(explanation, vcpu.lwp)
        page.rows.append((str(vcpu.index), str(number or "-"), (vcpu.accelerator or "").upper(),
                          ", ".join(name for name, on in flags if on) or "-", guest, reason))
        page.plain.append({
            "index": vcpu.index, "thread": number, "lwp": vcpu.lwp, "address": hex(vcpu.address),
            "accelerator": vcpu.accelerator, "halted": vcpu.halted, "stop": vcpu.stop, "stopped": vcpu.stopped,
            "running": vcpu.running, "exit_request": vcpu.exit_request, "exit_reason": vcpu.exit_reason,
            "exit_detail": vcpu.exit_detail or None, "mode": vcpu.mode,
            "pc": hex(vcpu.pc) if vcpu.pc is not None else None,
        })
    return page


def requests(explanation: Explanation) -> Page:
    """Requests in flight, and the nodes that wait for them."""
    facts = explanation.snapshot.facts
    page = Page("requests", ("Node", "Driver", "Request", "From", "Coroutine", "Waits for"),
                nothing="No block request is tracked.")
    by_address = {c.address: c for c in explanation.snapshot.coroutines}
    for request in facts.requests:
        coroutine = by_address.get(request.coroutine)
        waits = coroutine.waits_text if coroutine is not None else ""
        if request.waiting_for:
            waits = waits or f"the request of coroutine {request.waiting_for:#x}"
        page.rows.append((request.node, request.driver, f"{request.type} of {request.bytes} bytes at {request.offset}",
                          request.origin, hex(request.coroutine), waits))
        page.plain.append({
            "node": request.node, "driver": request.driver, "type": request.type, "offset": request.offset,
            "bytes": request.bytes, "coroutine": hex(request.coroutine) if request.coroutine else None,
            "origin": request.origin or None, "waits_for": waits or None,
            "waiting_for": hex(request.waiting_for) if request.waiting_for else None,
        })
    nodes: List[Plain] = []
    busy = []
    for node in facts.nodes:
        parts = []
        if node.in_flight:
            parts.append(f"{node.in_flight} in flight")
        if node.quiesce:
            parts.append(f"drained {node.quiesce}x")
        if node.throttled:
            parts.append(f"{node.throttled} throttled")
        if node.note:
            parts.append(node.note)
        if parts:
            where = f" at {node.peer}" if node.peer else ""
            users = f", used by {', '.join(node.parents)}" if node.parents else ""
            busy.append(f"{node.name} ({node.driver}){where}{users}: {'; '.join(parts)}")
        nodes.append({"name": node.name, "driver": node.driver, "address": hex(node.address),
                      "filename": node.filename or None, "peer": node.peer or None, "in_flight": node.in_flight,
                      "quiesce": node.quiesce, "throttled": node.throttled, "parents": node.parents,
                      "children": node.children, "job": node.job or None, "note": node.note or None})
    if busy:
        page.below += ["", "Nodes:", *busy]
    for job in facts.jobs:
        words = (job.status, "paused" if job.paused else "", "cancelled" if job.cancelled else "", job.progress,
                 f"I/O status {job.io_status}" if job.io_status not in (None, "ok") else "")
        status = ", ".join(dict.fromkeys(filter(None, words)))
        page.below.append(f"job {job.id or '(internal)'} ({job.type}): {status}")
    page.more = {"nodes": nodes, "jobs": [
        {"id": j.id or None, "type": j.type, "status": j.status, "paused": j.paused, "busy": j.busy,
         "cancelled": j.cancelled, "in_flight": j.in_flight, "progress": j.progress or None,
         "io_status": j.io_status, "on_target_error": j.on_target_error,
         "coroutine": hex(j.coroutine) if j.coroutine else None} for j in facts.jobs]}
    return page


def coroutines(explanation: Explanation, wanted: Optional[int], form: Form) -> Page:
    """Suspended coroutines: a line each; with stacks for the one asked for, or for all of them."""
    facts = explanation.snapshot.facts
    page = Page("coroutines", ("Coroutine", "Began in", "Waits for", "Runs in"),
                nothing="No suspended coroutine was found.")
    for coroutine in explanation.snapshot.coroutines:
        if wanted is not None and coroutine.address != wanted:
            continue
        context = facts.objects.get(hex(coroutine.context), "")
        context = "main loop" if coroutine.context == facts.main_context and facts.main_context else context
        context = context.replace("AioContext of iothread ", "iothread ")
        if not context and hex(coroutine.context) == facts.extra.get("iohandler_context"):
            context = "main loop"
        if not context:
            context = next((f"iothread {t.name}" for t in facts.iothreads if t.context == coroutine.context), "")
        waits = coroutine.waits_text or _yielded_in(coroutine)
        page.rows.append((hex(coroutine.address), coroutine.entry or "?", waits, context))
        page.plain.append({
            "address": hex(coroutine.address), "entry": coroutine.entry, "origin": coroutine.origin,
            "context": hex(coroutine.context) if coroutine.context else None, "runs_in": context or None,
            "locks_held": coroutine.locks_held,
            "waits_for": {"kind": coroutine.waits_kind or None, "text": waits or None,
                          "object": hex(coroutine.waits_object) if coroutine.waits_object else None,
                          "owner": hex(coroutine.waits_owner) if coroutine.waits_owner else None},
            "frames": [_plain_frame(f) for f in coroutine.frames],
        })
        if wanted is not None or form.all_threads:
            page.below += ["", f"{coroutine.address:#x} waits for {waits or 'something unknown'}"]
            page.below += [frame_line(f) for f in coroutine.frames]
    return page


def handlers(explanation: Explanation) -> Page:
    """Descriptors that the event loops watch, and bottom halves that are due."""
    facts = explanation.snapshot.facts
    page = Page("handlers", ("Event loop", "fd", "Calls", "What for"), nothing="No AioContext could be read.")
    loops = {facts.main_context: "main loop", **{t.context: f"iothread {t.name}" for t in facts.iothreads}}
    order = {context: number for number, context in enumerate(loops)}

    def rank(handler: Handler) -> Tuple[int, bool, int]:
        # what only wakes a loop up says the least, and comes last
        return order.get(handler.context, 0), handler.note.startswith("wakes"), handler.fd

    for handler in sorted(facts.handlers, key=rank):
        loop = loops.get(handler.context, "main loop")
        ready = f"ready ({handler.ready})" if handler.ready else ""
        unknown = "" if handler.glib or handler.read or handler.write else "removed since, or of a GLib source"
        calls = [handler.read, f"to write: {handler.write}" if handler.write else "",
                 "(GLib source)" if handler.glib else ""]  # fmt: skip
        page.rows.append((loop, str(handler.fd), ", ".join(filter(None, calls)) or "-",
                          "; ".join(filter(None, (handler.note, unknown, ready)))))
        page.plain.append({"loop": loop, "context": hex(handler.context), "fd": handler.fd, "read": handler.read,
                           "write": handler.write, "opaque": hex(handler.opaque), "note": handler.note or None,
                           "glib": handler.glib, "events": handler.events or None, "ready": handler.ready or None})
    if any(handler.glib for handler in facts.handlers):
        page.below += ["", "What a GLib source calls is known to GLib alone."]
    page.below += [f"chardev {c.id} is not polled for input: its frontend has no room for any"
                   for c in facts.chardevs if c.takes_input is False]
    if facts.bottom_halves:
        page.below += ["", "Bottom halves that are scheduled:"]
    for bh in facts.bottom_halves:
        page.below.append(f"{loops.get(bh.context, 'main loop')}: {bh.name or bh.function} ({bh.function})"
                          if bh.name and bh.name != bh.function else
                          f"{loops.get(bh.context, 'main loop')}: {bh.function}")
    page.more = {"bottom_halves": [
        {"loop": loops.get(b.context, "main loop"), "context": hex(b.context), "function": b.function,
         "name": b.name or None, "flags": b.flags} for b in facts.bottom_halves]}
    return page


def timers(explanation: Explanation) -> Page:
    """Timers that are armed."""
    facts = explanation.snapshot.facts
    page = Page("timers", ("Clock", "Due", "Function", "For"), nothing="No timer is armed.")
    for timer in facts.timers:
        due = _at(timer.clock, timer.expires_ns) if timer.due_in_ns is None else _due(timer.due_in_ns)
        page.rows.append((timer.clock, due, timer.function or "?", facts.objects.get(hex(timer.opaque), "")))
        page.plain.append({"clock": timer.clock, "expires_ns": timer.expires_ns, "due_in_ns": timer.due_in_ns,
                           "function": timer.function, "opaque": hex(timer.opaque)})
    return page


def _at(clock: str, expires_ns: int) -> str:
    """When a timer expires, where the present time of its clock is not known: the host's clock is the time of day."""
    if clock == "host" and 0 < expires_ns < 1 << 62:
        seconds, rest = divmod(expires_ns, 10**9)
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{rest // 10**6:03} UTC"
    return f"at {expires_ns / 10**9:.3f} s"


def _due(nanoseconds: int) -> str:
    size = abs(nanoseconds)
    for unit, factor in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if size >= factor:
            amount = f"{size / factor:.1f} {unit}"
            break
    else:
        amount = f"{size} ns"
    return f"in {amount}" if nanoseconds >= 0 else f"since {amount}"


# ---------------------------------------------------------------------------------------------------------------


def frame_line(frame: Frame) -> str:
    """A frame as gdb's own backtrace shows it."""
    arguments = ", ".join(f"{name}={value}" for name, value in frame.args.items())
    where = f" at {frame.file}:{frame.line}" if frame.file else f" from {frame.library}" if frame.library else ""
    return f"#{frame.level:<2} {frame.function or '??'} ({arguments}){where}"


def _plain_frame(frame: Frame) -> Plain:
    return {"level": frame.level, "function": frame.function, "file": frame.file, "line": frame.line,
            "args": dict(frame.args)}


def plain_frames(frames: Sequence[Frame]) -> List[Plain]:
    """Frames as the JSON contract has them, with arguments."""
    return [_plain_frame(f) for f in frames]


def _yielded_in(coroutine: Coroutine) -> str:
    for frame in coroutine.frames:
        if frame.name and frame.name not in ("qemu_coroutine_switch", "qemu_coroutine_yield"):
            return f"(yielded in {frame.name})"
    return ""


def _lwp(explanation: Explanation, lwp: Optional[int]) -> str:
    if lwp is None:
        return ""
    for told in explanation.threads:
        if told.thread.lwp == lwp:
            label = _role(explanation, lwp)
            number = told.thread.number if told.thread.number is not None else f"LWP {lwp}"
            return f"thread {number} ({label})" if label else f"thread {number}"
    return f"LWP {lwp} (no such thread)"


def _role(explanation: Explanation, lwp: int) -> str:
    """ "vCPU 0 KVM"; "" where there is no such thread."""
    told = next((t for t in explanation.threads if t.thread.lwp == lwp), None)
    return " ".join(role_label(told, explanation.accelerator).split()) if told is not None else ""


def _number(explanation: Explanation, lwp: Optional[int]) -> Optional[int]:
    return next((t.thread.number for t in explanation.threads if lwp is not None and t.thread.lwp == lwp), None)
