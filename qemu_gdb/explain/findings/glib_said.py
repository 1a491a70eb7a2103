"""Messages for which GLib ended the process: whether it does so by itself, and whose argument was wrong."""

from __future__ import annotations

from ...pattern import Pattern
from .cause import Cause

_LEVEL = Pattern(r"\b(?P<level>CRITICAL|WARNING)(?: \*\*)?: ")
_ARGUMENT = Pattern(r": (?P<function>_?g_\w{1,60}): assertion [`'\"](?P<check>.{1,200}?)['\"`] failed")


def explain(cause: Cause, said: str, spot: str) -> None:
    """Say who wrote the message, what it means, and why the process ended for it. ``spot``: " (a.c:12)" or ""."""
    who = f"{cause.function or 'The caller'}{spot}"
    argument = _ARGUMENT.search(said)
    if argument is not None:
        called = argument.group("function")
        cause.sentences.append(f"{who} called {called}, directly or through another function, with an argument for "
                               f"which \"{argument.group('check')}\" does not hold: NULL, freed, or of another type.")
    else:
        cause.sentences.append(f"{who} wrote a message that GLib ends the process for.")
    level = _LEVEL.search(said)
    if level is None:
        return
    fatal = "fatal-criticals or fatal-warnings" if level.group("level") == "CRITICAL" else "fatal-warnings"
    cause.sentences.append(f"A {level.group('level')} of GLib ends a process only where G_DEBUG={fatal} is set (test "
                           "programs ask for it themselves); without it QEMU would have gone on, with that mistake.")
