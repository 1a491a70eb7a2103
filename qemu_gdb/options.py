"""Reads the options of a command line, the same inside gdb and outside, for commands and the ``qemu-gdb`` program."""

from __future__ import annotations

from dataclasses import field
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from .record import record

FORMATS = ("text", "json", "markdown")


class UsageError(ValueError):
    """The line can't be understood; the message is one line that says what was expected and what was found."""


class Option(NamedTuple):
    """One option: its spellings, the name of its value in help (None: a switch), what it does."""

    names: Tuple[str, ...]
    value: Optional[str]
    says: str
    choices: Tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The long spelling without its dashes."""
        return self.names[-1].lstrip("-").replace("-", "_")


ALL = Option(("-a", "--all"), None, "explain every thread with its frames")
VERBOSE = Option(("-v", "--verbose"), None, "add the evidence and the rules that each statement stands on")
FORMAT = Option(("-f", "--format"), "FORMAT", "text (default), json or markdown", FORMATS)
FILE = Option(("--file",), "FILE", "explain the backtraces pasted into FILE instead of this process")
STACKS = Option(("--stacks",), None, "read the threads' stacks alone and none of QEMU's structures: the shortest pause")
REPORT = Option(("--report",), "FILE", "write a report for QEMU's issue tracker to FILE.md or FILE.html")
SAVE = Option(("--save",), "FILE", "write the snapshot to FILE as JSON; qemu-gdb explain FILE reads it")
SAMPLES = Option(("--samples",), "N", "capture the process N times and say which threads moved")
NO_REDACT = Option(("--no-redact",), None, "leave paths, hosts, addresses, secrets and guest data in the report")
INTERVAL = Option(("--interval",), "SECONDS", "time between samples, 1 second without it")
RESUME = Option(("--resume",), "STATE", "triage: keep what is done in the file STATE.jsonl, and go on from there")
TIMEOUT = Option(("--timeout",), "SECONDS", "triage: give up an input after this time; 60 for a text, 600 for a core")
JOBS = Option(("-j", "--jobs"), "N", "triage: explain N inputs at a time; one a processor without it")
OVERVIEW = Option(("--report",), "FILE", "write the groups as a page to FILE.html")
FORMAT_LINES = Option(("-f", "--format"), "FORMAT", "text (default) or json: a line an input, a group, a summary",
                      ("text", "json"))


@record
class Parsed:
    """A line's options by key and its other words in order."""

    values: Dict[str, str] = field(default_factory=dict)
    words: List[str] = field(default_factory=list)

    def has(self, option: Option) -> bool:
        return option.key in self.values

    def get(self, option: Option, default: Optional[str] = None) -> Optional[str]:
        return self.values.get(option.key, default)

    @property
    def format(self) -> str:
        return self.values.get("format", "text")


def parse(words: Sequence[str], options: Sequence[Option]) -> Parsed:
    """Sort ``words`` into options and the rest. ``--`` ends the options; long ones may be abbreviated.

    :raises UsageError: an unknown option, a missing or a wrong value
    """
    parsed = Parsed()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            parsed.words += rest
            break
        if not word.startswith("-") or word == "-":
            parsed.words.append(word)
            continue
        name, equals, value = word.partition("=")
        option = _find(name, options)
        if option.value is None:
            if equals:
                raise UsageError(f"{name} takes no value")
            parsed.values[option.key] = ""
            continue
        if not equals:
            if not rest:
                raise UsageError(f"{name} needs a value: {option.value}")
            value = rest.pop(0)
        if option.choices and value not in option.choices:
            raise UsageError(f"{name} must be one of {', '.join(option.choices)}, found {value!r}")
        parsed.values[option.key] = value
    return parsed


def _find(name: str, options: Sequence[Option]) -> Option:
    for option in options:
        if name in option.names:
            return option
    if name.startswith("--") and len(name) > 2:
        starting = [o for o in options if any(n.startswith(name) for n in o.names)]
        if len(starting) == 1:
            return starting[0]
        if starting:
            raise UsageError(f"{name} could be any of {', '.join(o.names[-1] for o in starting)}")
    known = ", ".join(o.names[-1] for o in options)
    raise UsageError(f"there is no option {name!r}; known are {known}" if options else f"there is no option {name!r}")


def thread_numbers(words: Sequence[str], limit: int = 10_000_000) -> List[int]:
    """Thread numbers from words like ``3``, ``2-5`` or ``1.4`` (inferior and thread).

    :raises UsageError: a word that is none of these
    """
    numbers: List[int] = []
    for word in words:
        first, dash, last = word.partition("-")
        first = first.rpartition(".")[2]
        last = last.rpartition(".")[2]
        if not (first.isdecimal() and first.isascii()) or (dash and not (last.isdecimal() and last.isascii())):
            raise UsageError(f"expected a thread number like 3 or 2-5, found {word!r}")
        low, high = int(first), int(last or first)
        if low > high or high > limit or high - low > 100_000:
            raise UsageError(f"{word!r} is no range of thread numbers")
        numbers += range(low, high + 1)
    return numbers


def number(parsed: Parsed, option: Option, default: float, low: float, high: float) -> float:
    """An option's value as a number.

    :raises UsageError: it is none, or out of range
    """
    value = parsed.get(option)
    if value is None:
        return default
    try:
        found = float(value)
    except ValueError:
        found = float("nan")
    if not low <= found <= high:
        raise UsageError(f"{option.names[-1]} must be a number from {low:g} to {high:g}, found {value!r}")
    return found


def usage(options: Sequence[Option], indent: str = "  ") -> str:
    """The options, one a line, for help texts."""
    spelled = [(", ".join(o.names) + (f" {o.value}" if o.value else ""), o.says) for o in options]
    width = max((len(s) for s, _ in spelled), default=0)
    return "\n".join(f"{indent}{s.ljust(width)}  {says}" for s, says in spelled)
