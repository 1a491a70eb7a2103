"""Writes explanations as the JSON object of design.md section 4, for other programs."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Sequence

from ..model import (
    SCHEMA,
    CoroutineExplanation,
    Explanation,
    Finding,
    Frame,
    KnownFix,
    Signal,
    ThreadExplanation,
    WaitsFor,
)
from .order import chosen, merged_findings

Plain = Dict[str, Any]


def render(explanations: Sequence[Explanation]) -> str:
    """The JSON text of all processes of one input; ASCII only, so that it is safe for any terminal."""
    return json.dumps(plain(explanations), indent=1, allow_nan=False) + "\n"


def plain(explanations: Sequence[Explanation]) -> Plain:
    """One object for all processes of one input (never empty): the first QEMU with findings is the main one."""
    main = chosen(explanations)
    result: Plain = {
        "schema": SCHEMA,
        "source": _source(main),
        "qemu": _qemu(main),
        "signal": _signal(main.snapshot.signal),
        "findings": [_finding(f) for f in merged_findings(explanations)],
        "threads": [],
        "coroutines": [],
        "locks": [],
        "requests": [],
        "notices": [],
    }
    several = len(explanations) > 1
    for index, explanation in enumerate(explanations):
        parts = {
            "threads": [_thread(t) for t in explanation.threads],
            "coroutines": [_coroutine(c) for c in explanation.coroutines],
            "locks": _locks(explanation),
            "requests": _requests(explanation),
            "notices": [{"kind": n.kind, "text": n.text} for n in explanation.notices],
        }
        for name, items in parts.items():
            if several:
                for item in items:
                    item["process"] = index
            result[name] += items
    if several:
        result["processes"] = [
            {"source": _source(e), "qemu": _qemu(e), "signal": _signal(e.snapshot.signal), "capture": e.capture or None,
             "findings": [_finding(f) for f in e.findings]}
            for e in explanations
        ]
    return result


def _hex(value: Optional[int]) -> Optional[str]:
    return hex(value) if value else None


def _source(explanation: Explanation) -> Plain:
    source = explanation.snapshot.source
    return {
        "kind": source.kind,
        "pid": source.pid,
        "file": source.file,
        "debug_info": source.debug_info,
        "stopped_ms": source.stopped_ms,
        "was_stopped": source.was_stopped if source.kind == "live" else None,
        "dialect": source.dialect or None,
    }


def _qemu(explanation: Explanation) -> Plain:
    return {
        "program": explanation.program,
        "version": explanation.snapshot.version,
        "package": explanation.snapshot.package,
        "accelerator": explanation.accelerator,
        "vcpus": explanation.vcpus,
        "runstate": explanation.runstate,
        "is_qemu": explanation.is_qemu,
    }


def _signal(signal: Optional[Signal]) -> Optional[Plain]:
    if signal is None:
        return None
    return {
        "name": signal.name,
        "number": signal.number,
        "code": signal.code,
        "address": hex(signal.address) if signal.address is not None else None,
        "sender_pid": signal.sender_pid,
    }


def _finding(finding: Finding) -> Plain:
    return {
        "kind": finding.kind,
        "title": finding.title,
        "confidence": finding.confidence,
        "explanation": finding.explanation,
        "threads": list(finding.threads),
        "evidence": [{"thread": e.thread, "frame": e.frame, "text": e.text} for e in finding.evidence],
        "next_steps": list(finding.next_steps),
        "known_fixes": [_known_fix(k) for k in finding.known_fixes],
        "rule": finding.rule or None,
    }


def _known_fix(fix: KnownFix) -> Plain:
    return {
        "commit": fix.commit,
        "release": fix.release,
        "score": fix.score,
        "link": fix.link,
        "matched": fix.matched or None,
        "confidence": fix.confidence,
        "has_fix": fix.has_fix,
    }


def _waits_for(waits: Optional[WaitsFor]) -> Optional[Plain]:
    if waits is None:
        return None
    return {"kind": waits.kind, "object": waits.object, "owner_thread": waits.owner_thread}


def _thread(told: ThreadExplanation) -> Plain:
    thread = told.thread
    return {
        "number": thread.number,
        "lwp": thread.lwp,
        "name": thread.name,
        "current": thread.current,
        "role": told.role,
        "role_detail": {"vcpu": None, "iothread": None, **told.role_detail},
        "state": told.state,
        "subsystem": told.subsystem,
        "summary": told.summary,
        "holds": list(told.holds),
        "waits_for": _waits_for(told.waits_for),
        "culprit": told.culprit,
        "stages": [
            {"name": s.name, "subsystem": s.subsystem, "frames": [s.first, s.last], "text": s.text}
            for s in told.stages
        ],
        "frames": _frames(thread.frames, told.frame_subsystems),
        "kernel_frames": _frames(thread.kernel, []),
    }


def _frames(frames: Sequence[Frame], subsystems: Sequence[Optional[str]]) -> List[Plain]:
    known = len(subsystems)
    return [
        {
            "level": frame.level,
            "function": frame.function,
            "file": frame.file,
            "line": frame.line,
            "subsystem": subsystems[i] if i < known else None,
            "pc": hex(frame.pc) if frame.pc is not None else None,
            "library": frame.library,
        }
        for i, frame in enumerate(frames)
    ]


def _coroutine(told: CoroutineExplanation) -> Plain:
    return {
        "address": hex(told.coroutine.address),
        "state": told.state,
        "summary": told.summary,
        "waits_for": _waits_for(told.waits_for),
        "frames": _frames(told.coroutine.frames, told.frame_subsystems),
    }


def _locks(explanation: Explanation) -> List[Plain]:
    number = {t.thread.lwp: t.thread.number for t in explanation.threads if t.thread.lwp is not None}
    return [
        {
            "name": lock.name,
            "address": _hex(lock.address),
            "owner_thread": number.get(lock.owner_lwp) if lock.owner_lwp is not None else None,
            "owner_lwp": lock.owner_lwp,
            "waiters": [number[lwp] for lwp in lock.waiter_lwps if lwp in number],
        }
        for lock in explanation.snapshot.facts.locks
    ]


def _requests(explanation: Explanation) -> List[Plain]:
    return [
        {
            "node": request.node,
            "driver": request.driver,
            "type": request.type,
            "offset": request.offset,
            "bytes": request.bytes,
            "coroutine": _hex(request.coroutine),
            "waiting_for": _hex(request.waiting_for),
            "origin": request.origin or None,
        }
        for request in explanation.snapshot.facts.requests
    ]
