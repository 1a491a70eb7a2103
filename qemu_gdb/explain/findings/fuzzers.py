"""Why libFuzzer stopped QEMU: memory that it does not give, a signal, an input that takes too long."""

from __future__ import annotations

from typing import List, Optional

from ...model import Evidence, Finding
from ..context import Context, Subject
from ..fuzzer import Report, report_of
from . import common
from .cause import Cause, blame_of, function_at, past_helpers
from .common import at, evidence, finding, oneline, place


def stopped(context: Context, subject: Subject) -> Optional[Cause]:
    """An allocation that libFuzzer refused, or a signal whose reason the frames do not show."""
    report = report_of(context.snapshot)
    if report is None or not report.ended or subject.told.state == "aborting" and report.what == "deadly signal":
        return None
    blame = blame_of(subject, 0)
    function = function_at(subject, blame)
    spot = place(subject.stack.frames[blame]) if blame is not None else ""
    where = f"{function or 'an unnamed function'}{f', {spot}' if spot else ''}"
    if report.what == "deadly signal":
        cause = Cause(subject, "crash.signal", f"Deadly signal in {where}", "fuzzer", blame=blame, function=function)
        cause.sentences.append("libFuzzer caught a signal that ends the process; its report does not say which.")
        cause.steps.append("run the same input in gdb, without libFuzzer's handlers (-handle_segv=0 and the like)")
    else:
        cause = _memory(subject, report, blame, function, where)
    cause.proof.append(Evidence(text=oneline(report.text), thread=subject.number))
    if blame is not None:
        cause.proof.append(evidence(subject, blame, f"{function} {spot}".rstrip()))
    return cause


def _memory(subject: Subject, report: Report, blame: Optional[int], function: str, where: str) -> Cause:
    if report.size is None:
        cause = Cause(subject, "crash.abort", f"Out of memory while in {where}", "fuzzer", "possible", blame=blame,
                      function=function)  # fmt: skip
        cause.sentences.append("libFuzzer found that the process uses more memory than it allows (-rss_limit_mb). "
                               "Its stack is where the process was at that moment, which need not be what took it.")
        return cause
    headline = f"Allocation of {report.size} bytes for {where}"
    cause = Cause(subject, "crash.abort", headline, "fuzzer", blame=blame, function=function)
    cause.sentences.append(
        f"libFuzzer stopped it: {function or 'the caller'} asks for {report.size} bytes at once, which is beyond "
        "libFuzzer's limit (-malloc_limit_mb, else -rss_limit_mb). The fuzzer's input stands for the guest; the "
        "frames do not show which of its values became that size."
    )
    outer = past_helpers(subject.stack, blame) if blame is not None else None
    reader = function_at(subject, outer) or function
    if reader:
        cause.steps.append(f"read {reader}: from which value of the guest is the size computed, and what bounds it?")
    return cause


def timed_out(context: Context) -> List[Finding]:
    """The finding of an input that did not end in time."""
    report = report_of(context.snapshot)
    subject = next(iter(context.live_subjects), None)
    if report is None or report.ended or subject is None:
        return []
    inner = blame_of(subject, 0)
    position = past_helpers(subject.stack, inner) if inner is not None else None
    if position is None or inner is None:
        return []
    stack = subject.stack
    name, spot = stack.names[inner], place(stack.frames[inner])
    took = f"after {report.seconds} seconds" if report.seconds is not None else "when its time was over"
    story = common.story(context, subject)
    through = "" if position == inner else f", called by {stack.names[position]}"
    return [
        finding(
            "hang.spinning",
            f"{common.who(subject)} still runs in {name} {took}",
            "likely",
            [
                f"{common.who(subject)}: {story.rstrip('.')}." if story else "",
                f"libFuzzer's input had not ended {took}: it is in {at(stack, inner)}{f', {spot}' if spot else ''}"
                f"{through}.",
                "That is one sample: the loop is in that function or in one of its callers, or the input merely takes "
                "long.",
            ],
            subjects=[subject],
            proof=[Evidence(text=oneline(report.text), thread=subject.number), evidence(subject, inner, name)],
            steps=[f"read the loops of {name} and its callers: can a value of the guest keep one from ending?",
                   "run the input in gdb, stop it twice and compare bt: which frames stay?"],
            rule="fuzzer-timeout",
        )
    ]
