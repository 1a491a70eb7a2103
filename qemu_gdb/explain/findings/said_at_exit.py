"""Of a text without a stack: the message with which QEMU ended in order, and the run state that the text tells."""

from __future__ import annotations

from typing import List, Sequence

from ...knowledge import exits, signals, vfio
from ...knowledge.roles import program_kind
from ...model import Evidence, Finding, Notice
from ...pattern import Pattern
from ..complaint import CRASH
from ..context import Context
from . import common, runstates

_FEATURES = Pattern(r"Features (0x[0-9a-fA-F]{1,16}) unsupported\. Allowed features: (0x[0-9a-fA-F]{1,16})")
_MAX_LINES = 20_000


def said(context: Context) -> List[str]:
    """The text's lines that belong to no stack: those that look like messages first."""
    lines, half = context.snapshot.unparsed, _MAX_LINES // 2
    return [m.text for m in context.snapshot.messages] + lines[:half] + lines[half:][-half:]


def find(context: Context) -> List[Finding]:
    """One finding of QEMU's last words, or of the run state; none where the text has neither."""
    lines = said(context)
    for line in lines:
        refused = vfio.why(line)
        if refused is not None:
            return [_refused(line, *refused)]
    heard = exits.heard(lines)
    if heard is not None:
        return [_last_word(context, heard, lines)]
    stopped = runstates.stopped(context, context.runstate, False, False) if context.runstate is not None else None
    return [stopped] if stopped is not None else []


def _last_word(context: Context, heard: exits.Heard, lines: List[str]) -> Finding:
    program = context.explanation.program or "QEMU"
    crash = _tells_of_a_crash(context, lines)
    sentences = [f"{common.capital(heard.word.says)}."]
    if crash:
        sentences.append(f"With this message {program} ends in order. The text tells of a crash as well, and has no "
                         "stack of it: this message need not belong to it.")
    else:
        sentences.append(f"The text has no stack, and needs none: with this message {program} ends in order; that is "
                         "no crash, and leaves no core.")
    if heard.word.also_answers and program_kind(program) != "tool":
        sentences.append("As the answer to a monitor command it ends nothing.")
    match = _FEATURES.search(heard.text)
    missing = int(match.group(1), 16) & ~int(match.group(2), 16) if match is not None else 0
    if missing:
        bits = [str(bit) for bit in range(64) if missing >> bit & 1]
        sentences.append(f"Feature bit{'s' if len(bits) > 1 else ''} {', '.join(bits[:8])}: the guest uses what is not "
                         "offered here.")
    below = _below(lines, heard)
    sentences += [f'Also said: "{common.cut(below, 160)}".'] if below else []
    steps = list(heard.word.steps)
    if crash:
        steps.append("for the crash: what `coredumpctl gdb PID` and `thread apply all bt` show")
    return Finding("state.shutdown", common.cut(common.oneline(heard.text), 140), "possible" if crash else "certain",
                   " ".join(sentences), evidence=[Evidence(text=common.oneline(heard.line))], next_steps=steps,
                   rule="said-at-exit")


def _tells_of_a_crash(context: Context, lines: List[str]) -> bool:
    """Whether the text complains of a crash; "reason=crashed" is libvirt's word for any end it did not ask for."""
    signal = context.snapshot.signal
    if signal is not None and signal.name in signals.SIGNALS and not signals.only_stops(signal):
        return True
    return any(CRASH.search(line[:4000].replace("reason=crashed", "")) for line in lines[:400])


def _below(lines: List[str], heard: exits.Heard) -> str:
    """Another message of the same end that names what it is about: the image, the reason."""
    for line in lines:
        if line != heard.line and ("Is another process using" in line or "load of migration failed" in line):
            return common.without_program(line)
    return ""


def _refused(line: str, sentence: str, steps: Sequence[str]) -> Finding:
    match = vfio.RESULT.search(line)
    title = common.oneline(line[match.start() :]) if match is not None else common.oneline(line)
    return Finding("state.shutdown", common.cut(title, 140), "certain",
                   f"{sentence} At start, and for a device that is plugged in, the device is refused; in a running VM "
                   "QEMU gives up (vfio: DMA mapping failed, unable to continue). The text has no stack.",
                   evidence=[Evidence(text=common.oneline(line))], next_steps=list(steps), rule="said-at-exit")


def nothing(context: Context) -> Notice:
    """What to add to a text that has neither a stack nor anything that tells of an end."""
    errors = [m.text for m in context.snapshot.messages if m.kind == "qemu-error"]
    last = f' (the last line of QEMU is "{common.cut(common.oneline(errors[-1]), 120)}")' if errors else ""
    return Notice("notice.no-stack",
                  f"No stack is in this text, and no message of QEMU's end that is known{last}. Add, for "
                  "a crash, what `coredumpctl gdb PID` and `thread apply all bt` show; for a hang, `gdb -p PID "
                  "--batch -ex 'thread apply all bt'`; and the last lines of QEMU's log.")
