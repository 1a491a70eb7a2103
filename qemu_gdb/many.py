"""The commands of ``qemu-gdb`` that compare reports: triage, signature, similarity."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, List, Optional, Tuple

from . import options
from .options import Parsed, UsageError

if TYPE_CHECKING:
    from .explain.signature import Signature

TRIAGE_OPTIONS = (options.ALL, options.VERBOSE, options.FORMAT_LINES, options.OVERVIEW, options.NO_REDACT,
                  options.RESUME, options.TIMEOUT, options.JOBS)
SIGNATURE_OPTIONS = (options.FORMAT_LINES,)


def triage(words: List[str]) -> int:
    """``qemu-gdb triage DIR|FILE...``; returns the exit status."""
    from . import triage as engine
    from .cli import EXPLAINED, NOTHING_FOUND, Unreadable, _write
    from .render import output, overview

    parsed = options.parse(words, TRIAGE_OPTIONS)
    if not parsed.words:
        raise UsageError("expected folders or files to explain")
    path = _html_path(parsed)
    jobs = int(options.number(parsed, options.JOBS, 0, 1, 1024))
    seconds = options.number(parsed, options.TIMEOUT, 0, 0.1, 86400)
    state_path = parsed.get(options.RESUME)
    as_json = parsed.format == "json"
    try:
        state = engine.State(state_path) if state_path is not None else None
    except OSError as error:
        raise Unreadable(f"cannot use {state_path}: {error.strerror or error}") from error
    except ValueError as error:
        raise Unreadable(str(error)) from error

    def line(plain: engine.Record) -> None:
        _write(sys.stdout, json.dumps({k: v for k, v in plain.items() if k != "shared"}) + "\n")

    try:
        found = engine.gather(parsed.words, jobs, seconds or None, state, redacted=path is not None,
                              each=line if as_json else None)
    except KeyboardInterrupt:
        if state_path is not None:
            sys.stderr.write(f"\nqemu-gdb: stopped; the same line with --resume {state_path} goes on\n")
        raise
    finally:
        if state is not None:
            state.close()
    summary = found.plain()
    groups = [group.plain() for group in found.ordered()]
    if path is not None:
        try:
            with open(path, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(overview.page(groups, found.failures, summary, not parsed.has(options.NO_REDACT)))
        except OSError as error:
            raise Unreadable(f"cannot write {path}: {error.strerror}") from error
    if as_json:
        for plain in [*groups, summary]:
            line(plain)
    else:
        form = output.form_for(sys.stdout, verbose=parsed.has(options.VERBOSE), all_threads=parsed.has(options.ALL))
        _write(sys.stdout, overview.text(groups, found.failures, summary, form))
    return EXPLAINED if found.explained else NOTHING_FOUND


def _html_path(parsed: Parsed) -> Optional[str]:
    path = parsed.get(options.OVERVIEW)
    if path is not None and not path.lower().endswith((".html", ".htm")):
        raise UsageError(f"expected a report file that ends in .html, found {path!r}")
    return path


def signature(words: List[str]) -> int:
    """``qemu-gdb signature FILE...``: a line a process; returns the exit status."""
    from .cli import EXPLAINED, NOTHING_FOUND, _printable, _write

    parsed = options.parse(words, SIGNATURE_OPTIONS)
    if not parsed.words:
        raise UsageError("expected files with backtraces, snapshots or cores")
    status = NOTHING_FOUND
    for path in parsed.words:
        for kind, made in _signatures(path):
            status = EXPLAINED
            if parsed.format == "json":
                _write(sys.stdout, json.dumps({"path": path, "digest": made.digest, "signature": made.text,
                                               "kind": kind, "functions": list(made.tokens)}) + "\n")
            else:
                name = f"{path}: " if len(parsed.words) > 1 else ""
                _write(sys.stdout, _printable(f"{name}{made.digest}  {made.text}") + "\n")
    return status


def similarity(words: List[str]) -> int:
    """``qemu-gdb similarity A B``: how alike two problems are, 0 to 1; returns the exit status."""
    from .cli import EXPLAINED, NOTHING_FOUND, _printable, _write
    from .explain.signature import stack_similarity

    parsed = options.parse(words, SIGNATURE_OPTIONS)
    if len(parsed.words) != 2:
        raise UsageError("expected two files to compare")
    ours, theirs = (_signatures(path) for path in parsed.words)
    if not ours or not theirs:
        return NOTHING_FOUND
    pairs = [(stack_similarity(a.tokens, b.tokens), a.digest == b.digest) for _, a in ours for _, b in theirs]
    likeness, same = max(pairs, key=lambda pair: (pair[1], pair[0].share))
    if parsed.format == "json":
        _write(sys.stdout, json.dumps({"similarity": round(likeness.share, 3), "same_signature": same,
                                       "shared_functions": list(likeness.functions)}) + "\n")
    else:
        shared = ", ".join(likeness.functions) or "no telling function"
        told = "the same signature" if same else "different signatures"
        _write(sys.stdout, _printable(f"{likeness.share:.2f}  {told}; shared: {shared}") + "\n")
    return EXPLAINED


def _signatures(path: str) -> List[Tuple[str, Signature]]:
    """The kind of the first finding and the signature of each QEMU process in a file that has a stack."""
    from . import inputs
    from .explain import explain_all
    from .explain.signature import explanation_signature

    told = explain_all(inputs.snapshots(path))
    return [(e.findings[0].kind if e.findings else "", explanation_signature(e))
            for e in told if e.is_qemu and any(t.thread.frames for t in e.threads)]
