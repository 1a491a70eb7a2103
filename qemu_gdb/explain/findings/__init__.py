"""Draws the conclusions about the whole process, the most important first."""

from __future__ import annotations

from typing import List, Sequence

from ...knowledge import signals
from ...model import Finding
from ..context import Context
from . import (
    asks,
    crash,
    fuzzers,
    hang,
    lasting,
    lone,
    mismatch,
    profile,
    rules,
    said_at_exit,
    sanitizers,
    spinning,
    state,
    stopped,
)


def find(context: Context) -> None:
    """Fill the explanation's findings: crash, hang, broken rule, state, in this order."""
    if not context.explanation.is_qemu:
        return
    if not context.snapshot.threads:
        context.explanation.findings = lone.find(context)
        if not context.explanation.findings and context.snapshot.source.kind == "text":
            context.explanation.notices.append(said_at_exit.nothing(context))
        _known(context, context.explanation.findings)
        return
    if profile.is_profile(context):
        context.explanation.findings = profile.find(context)
        return
    cause = crash.find_cause(context)
    findings: List[Finding] = []
    if cause is not None:
        findings = [crash.told(context, each) for each in [cause, *sanitizers.further(context, cause)]]
    at_breakpoint = crash.stopped_by_debugger(context)
    if cause is None or cause.row in ("sent", "watchdog"):  # for it was ended: what it did then is the question
        hangs = fuzzers.timed_out(context) or hang.find(context)
        hangs += spinning.within(context)
        if at_breakpoint or signals.only_stops(context.snapshot.signal):
            # a debugger's stop makes others wait; only what no running on would end is a hang
            hangs = [f for f in hangs if f.kind == "hang.deadlock" and f.confidence != "possible"]
        findings += hangs
    broken = rules.find(context, cause)
    findings = _with_rules(findings, broken)
    findings = _with_state(findings, state.find(context, findings))
    if cause is None and not any(f.kind.startswith(("hang.", "state.breakpoint")) for f in findings):
        guess = crash.possible_crash(context)
        if guess is not None:
            findings = _with_guess(findings, [crash.told(context, guess), *rules.find(context, guess)])
    if all(f.kind.startswith("state.") for f in findings) and not at_breakpoint:
        findings = lone.beside(context) + findings
    findings = mismatch.led_by(context, stopped.led_by(context, findings))
    asks.fill(context, findings)
    context.explanation.findings = findings
    _known(context, findings)


def compare(contexts: Sequence[Context]) -> None:
    """Add to several captures of one process what only their comparison shows, and take back what it refutes."""
    explanations = [context.explanation for context in contexts]
    if any(c.snapshot.source.was_stopped for c in contexts):
        return
    if any(not e.is_qemu or any(f.kind.startswith("crash.") for f in e.findings) for e in explanations):
        return
    stands = lasting.find(contexts)
    if stands:
        last = contexts[-1]
        asks.fill(last, stands)
        others = [f for f in last.explanation.findings if f.kind not in ("state.running", "state.idle")]
        last.explanation.findings = stands + others
    spins = spinning.find(contexts)
    if not spins:
        return
    for context in contexts:
        spinning.correct(spins, context)
        before = [f for f in context.explanation.findings if not spinning.refutes(spins, f, contexts)]
        context.explanation.findings = _with_spins(before, spins)
    asks.fill(contexts[-1], spins)
    _known(contexts[-1], spins)


def _with_spins(before: List[Finding], spins: List[Finding]) -> List[Finding]:
    if spins[0].confidence == "possible":
        sure = [f for f in before if f.kind.startswith("hang.") and f.confidence != "possible"]
        return sure + spins + [f for f in before if f not in sure]
    return spins + [f for f in before if f.kind not in ("state.running", "state.idle")]


def _with_rules(findings: List[Finding], broken: List[Finding]) -> List[Finding]:
    """Each rule behind the finding of the same thread that it explains."""
    result = list(findings)
    for rule in broken:
        position = next((i for i, f in enumerate(result) if set(f.threads) & set(rule.threads) or not f.threads), None)
        if position is None:
            result.append(rule)
        else:
            result.insert(position + 1, rule)
    return result


def _with_guess(findings: List[Finding], guess: List[Finding]) -> List[Finding]:
    """A crash that no signal proves comes behind what is sure, unless a bad pointer speaks for it."""
    if guess[0].confidence == "likely":
        return guess + [f for f in findings if not (f.kind == "state.running" and f.rule in ("executing", "cut-top"))]
    return findings[:1] + guess[:2] + findings[1:]


def _with_state(findings: List[Finding], states: List[Finding]) -> List[Finding]:
    if states and states[0].kind == "state.breakpoint" and not any(f.kind.startswith("hang.") for f in findings):
        return states + findings
    certain = [
        s
        for s in states
        if s.kind in ("state.io-error", "state.guest-panicked", "state.shutdown", "state.incoming", "state.prelaunch")
        or s.rule in ("throttled", "dirty-limit")
    ]
    doubtful = findings and findings[0].confidence == "possible"
    if certain and doubtful:
        return states + findings
    return findings + states


def _known(context: Context, findings: List[Finding]) -> None:
    """Known problems that match the main crash or hang."""
    main = next((f for f in findings if f.kind.startswith(("crash.", "hang."))), None)
    if main is None or main.confidence == "possible" or main.rule.endswith("qemu-died"):  # another process's death
        return
    from ..known import find_known

    main.known_fixes = find_known(context.explanation, hangs=main.kind.startswith("hang."))
    sure = next((f for f in main.known_fixes if f.confidence == "certain" and f.release), None)
    if sure is not None and sure.commit and not sure.has_fix:
        main.next_steps.insert(0, f"update to QEMU {sure.release} or later, or apply commit {sure.commit[:12]}")
