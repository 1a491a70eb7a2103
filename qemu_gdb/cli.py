"""The ``qemu-gdb`` program: explains pasted backtraces, recorded snapshots, live processes and cores outside gdb."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, List, Optional, Sequence, TextIO

from . import __version__, mistakes, options
from .options import Parsed, UsageError

if TYPE_CHECKING:
    from .model import Explanation, Snapshot

EXPLAINED, NOTHING_FOUND, BAD_USAGE = 0, 1, 2
MAX_BYTES = 1 << 30  # of a text

EXPLAIN_OPTIONS = (options.ALL, options.VERBOSE, options.FORMAT, options.REPORT, options.NO_REDACT)
ATTACH_OPTIONS = (*EXPLAIN_OPTIONS, options.SAMPLES, options.INTERVAL, options.STACKS, options.SAVE)
TRIAGE_OWN_OPTIONS = (options.RESUME, options.TIMEOUT, options.JOBS)  # of triage
CORE_OPTIONS = (*EXPLAIN_OPTIONS, options.STACKS, options.SAVE)
HELP = f"""\
usage: qemu-gdb explain [options] FILE|- [THREAD...]
       qemu-gdb attach [options] PID [THREAD...]
       qemu-gdb core [options] CORE [PROGRAM]
       qemu-gdb triage [options] DIR|FILE...
       qemu-gdb signature [-f json] FILE...
       qemu-gdb similarity [-f json] FILE FILE

explain: explains the QEMU backtraces in FILE (- reads standard input): what each thread is for and doing, why it
crashed or hangs, what to do. FILE is text in any spelling that debuggers, crash reporters and mail give it, or a
snapshot that qemu-explain --save wrote. With THREAD numbers: all about these threads.
attach: explains a live process. gdb reads the symbols first, so that the guest stands still for as short as can be;
the process goes on before the explanation is made. With samples: also says which threads moved between them.
core: explains a core file; finds its program by the core's own notes.
triage: explains many texts, snapshots and cores, and groups those that show the same problem.
signature: one problem's name, the same over versions, hosts and builds. similarity: how alike two problems are, 0 to 1.

{options.usage((*ATTACH_OPTIONS, *TRIAGE_OWN_OPTIONS))}
  -h, --help            this text
      --version         the version of qemu-gdb

Exit status: 0 explained, 1 not QEMU or nothing found, 2 bad usage or unreadable.
"""


class Unreadable(Exception):
    """An input that can't be explained; the message is one line."""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command line; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except UsageError as error:
        sys.stderr.write(f"qemu-gdb: {_printable(str(error))}; qemu-gdb --help tells more\n")
        return BAD_USAGE
    except Unreadable as error:
        sys.stderr.write(f"qemu-gdb: {_printable(str(error))}\n")
        return BAD_USAGE
    except BrokenPipeError:  # the reader, a pager say, has closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXPLAINED
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return 130
    except Exception as error:  # a mistake of this program: one line for the user
        if os.environ.get("QEMU_GDB_DEBUG"):
            raise
        sys.stderr.write(f"qemu-gdb: internal error: {_printable(mistakes.place(error))}; please report it"
                         " with the input (QEMU_GDB_DEBUG=1 in the environment shows the traceback)\n")
        return BAD_USAGE


def _printable(text: str) -> str:
    from .render.safe import safe

    return safe(text)


def _run(words: List[str]) -> int:
    if not words:
        raise UsageError("expected a command: explain, attach, core, triage, signature or similarity")
    command, rest = words[0], words[1:]
    if command in ("-h", "--help", "help") or "--help" in rest or "-h" in rest:
        sys.stdout.write(HELP)
        return EXPLAINED
    if command == "--version":
        sys.stdout.write(f"qemu-gdb {__version__}\n")
        return EXPLAINED
    if command == "explain":
        return _explain(rest)
    if command == "attach":
        return _attach(rest)
    if command == "core":
        return _core(rest)
    if command in ("triage", "signature", "similarity"):
        from . import many

        return {"triage": many.triage, "signature": many.signature, "similarity": many.similarity}[command](rest)
    raise UsageError(f"there is no command {command!r}")


def _explain(words: List[str]) -> int:
    parsed = options.parse(words, EXPLAIN_OPTIONS)
    if not parsed.words:
        raise UsageError("expected a FILE, or - for standard input")
    numbers = options.thread_numbers(parsed.words[1:])
    snapshots = load(parsed.words[0])
    return _tell(parsed, numbers, snapshots, parsed.words[0])


def _attach(words: List[str]) -> int:
    from . import driver

    parsed = options.parse(words, ATTACH_OPTIONS)
    if not parsed.words or not parsed.words[0].isdecimal():
        raise UsageError(f"expected a process id, found {parsed.words[0]!r}" if parsed.words else
                         "expected a process id")
    samples = options.number(parsed, options.SAMPLES, 1, 1, 1000)
    interval = options.number(parsed, options.INTERVAL, 1, 0, 3600)
    try:
        snapshots = driver.attach(int(parsed.words[0]), int(samples), interval, parsed.has(options.STACKS))
    except driver.Failed as error:
        raise Unreadable(str(error)) from error
    _save(parsed, snapshots)
    after = ""
    if len(snapshots) > 1 and parsed.format != "json":
        from .explain import samples as compared

        after = compared.text(snapshots, interval)
    told = _tell(parsed, options.thread_numbers(parsed.words[1:]), snapshots, f"process {parsed.words[0]}", after, 1)
    stood = [s.source.stopped_ms for s in snapshots if s.source.stopped_ms is not None and not s.source.was_stopped]
    if parsed.format == "text" and stood:
        each = ", ".join(f"{ms:.0f} ms" for ms in stood[:10]) + (", ..." if len(stood) > 10 else "")
        _write(sys.stdout, f"The guest stood still for {each}.\n")
    return told


def _core(words: List[str]) -> int:
    from . import driver

    parsed = options.parse(words, CORE_OPTIONS)
    if not 1 <= len(parsed.words) <= 2:
        raise UsageError("expected a core file, and perhaps its program")
    try:
        program = parsed.words[1] if len(parsed.words) > 1 else None
        snapshots = driver.core(parsed.words[0], program, parsed.has(options.STACKS))
    except driver.Failed as error:
        raise Unreadable(str(error)) from error
    _save(parsed, snapshots)
    return _tell(parsed, [], snapshots, parsed.words[0])


def _save(parsed: Parsed, snapshots: Sequence[Snapshot]) -> None:
    path = parsed.get(options.SAVE)
    if path is not None:
        try:
            save(snapshots, path)
        except OSError as error:
            raise Unreadable(f"cannot write {path}: {error.strerror}") from error


def save(snapshots: Sequence[Snapshot], path: str) -> None:
    """Write snapshots as JSON that ``load`` reads.

    :raises OSError: the file can't be written
    """
    import json

    from .model import SCHEMA, to_plain

    plain = {"schema": SCHEMA, "snapshots": [{"source": {}, "threads": [], **to_plain(s)} for s in snapshots]}
    with open(path, "w", encoding="ascii") as stream:
        json.dump(plain, stream)
        stream.write("\n")


def _tell(parsed: Parsed, numbers: List[int], snapshots: Sequence[Snapshot], name: str, after: str = "",
          last: int = 0) -> int:
    """Explain and write; returns the exit status. ``after``: lines that follow a page. ``last``: tell only so many
    of the snapshots, 0 for all.
    """
    from .explain import explain_all

    explanations = explain_all(snapshots)[-last:]
    report(parsed, explanations)
    if numbers:
        known = {t.thread.number for e in explanations for t in e.threads}
        missing = [n for n in numbers if n not in known]
        if missing:
            raise UsageError(f"there is no thread {missing[0]} in {name}")
    from .render import output

    form = output.form_for(sys.stdout, verbose=parsed.has(options.VERBOSE), all_threads=parsed.has(options.ALL),
                           numbers=numbers)
    page = output.render(explanations, parsed.format, form, colour=output.wants_colour(sys.stdout))
    _write(sys.stdout, page + after)
    return status(explanations)


def report(parsed: Parsed, explanations: Sequence[Explanation]) -> None:
    """Write the report that ``--report`` names, if any.

    :raises UsageError: its name has another suffix than .md or .html
    :raises Unreadable: the file can't be written
    """
    path = parsed.get(options.REPORT)
    if path is None:
        return
    from .capture import host
    from .render import report as reports

    try:
        machine = host.of([e.snapshot for e in explanations])
        reports.write(path, explanations, not parsed.has(options.NO_REDACT), machine)
    except reports.UnknownForm as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise Unreadable(f"cannot write {path}: {error.strerror}") from error


def status(explanations: Sequence[Explanation]) -> int:
    """The exit status that these explanations deserve."""
    return EXPLAINED if any(e.is_qemu and (e.threads or e.findings) for e in explanations) else NOTHING_FOUND


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "ascii"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def load(path: str) -> List[Snapshot]:
    """The snapshots in a file of text or JSON (``-``: standard input); never empty.

    :raises Unreadable: no such file, no text, or nothing that could be a stack
    """
    data = _read(path)
    name = None if path == "-" else path
    if data[:64].lstrip().startswith(b"{"):
        recorded = _recorded(data)
        if recorded is not None:
            return recorded
    from .capture import text

    try:
        snapshots = text.parse(text.read(data))
    except text.UnreadableText as error:
        raise Unreadable(f"{path}: {error}") from error
    for snapshot in snapshots:
        snapshot.source.file = snapshot.source.file or name
    return snapshots


def _read(path: str) -> bytes:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(path, "rb") as stream:
                data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Unreadable(f"cannot read {path}: {reason}") from error
    if len(data) > MAX_BYTES:
        raise Unreadable(f"{path} is larger than {MAX_BYTES >> 20} MiB")
    return data


def _recorded(data: bytes) -> Optional[List[Snapshot]]:
    import json

    from .model import Snapshot, from_plain

    try:
        plain = json.loads(data)
        items = plain.get("snapshots", [plain])
        if not items or not all(isinstance(i, dict) and "threads" in i and "source" in i for i in items):
            return None
        return [from_plain(Snapshot, item) for item in items]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


if __name__ == "__main__":
    sys.exit(main())
