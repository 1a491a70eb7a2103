"""Explains many reports at once and groups those that show the same problem, for ``qemu-gdb triage``.

Every input is explained in a worker process. A worker that dies or takes too long costs that one input. What is kept
is a record of a few lines for each group, not the explanations, so that memory does not grow with the number of inputs.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import multiprocessing.context
import multiprocessing.process
import os
import signal
import sys
import time
from dataclasses import field
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set, TextIO, Tuple

from . import __version__
from .model import Explanation
from .record import record

SCHEMA = "qemu-gdb-triage/1"
TEXT_SECONDS, CORE_SECONDS = 60.0, 600.0  # that one input may take
MAX_TEXT = 256 << 20  # bytes of a text
MAX_MEMBERS = 1000  # paths that a group lists
_BATCH = 16  # inputs given to a worker at a time
_SAME, _SAME_SIZE = 400, 1 << 20  # texts that a worker remembers, and how large they may be
_RECYCLED = 4000  # inputs after which a worker is replaced, with what it has cached

Record = Dict[str, Any]  # of one input: path, size, mtime, status, signature, digest, finding, ...

# Findings of processes in which nothing is wrong: one group a kind, whatever the threads do just then.
_BY_KIND = frozenset("""state.idle state.running state.paused state.prelaunch state.incoming state.io-error
    state.guest-panicked state.shutdown notice.not-qemu notice.no-symbols notice.truncated""".split())
_CONFIDENCE = ("certain", "likely", "possible")


# ---------------------------------------------------------------------------------------------------------------
# One input


def record_of(path: str, redacted: bool = False) -> Record:
    """Explain one input; never raises for what is in it.

    ``redacted``: also keep the finding's words without private values, as ``shared``.
    """
    from . import cli, inputs

    record: Record = {"type": "input", "path": path, "status": "explained"}
    try:
        about = os.stat(path)
        record["size"], record["mtime"] = about.st_size, about.st_mtime_ns
        record["kind"] = inputs.kind_of(path)
        if record["kind"] == "text" and about.st_size > MAX_TEXT:
            raise cli.Unreadable(f"larger than {MAX_TEXT >> 20} MiB")
        _explained(record, inputs.snapshots(path), redacted)
    except cli.Unreadable as error:
        record["status"], record["error"] = "unreadable", str(error)
    except OSError as error:
        record["status"], record["error"] = "unreadable", error.strerror or str(error)
    except MemoryError:
        record["status"], record["error"] = "failed", "out of memory"
    except Exception as error:  # a mistake of this program costs one input
        record["status"] = "failed"
        record["error"] = f"internal error: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return record


def _explained(record: Record, snapshots: List[Any], redacted: bool) -> None:
    from .explain import explain_all
    from .explain.signature import explanation_signature
    from .render.order import chosen

    told = explain_all(snapshots)
    main = chosen(told)
    if not any(t.thread.frames for t in main.threads):
        record["status"] = "nothing-found"
        return
    if not main.is_qemu:
        record["status"] = "not-qemu"
    signature = explanation_signature(main)
    finding = main.findings[0] if main.findings else None
    kind = finding.kind if finding is not None else record["status"]
    text = kind if kind in _BY_KIND or record["status"] != "explained" else signature.text
    record.update(
        digest=_digest(text), signature=text, program=main.program, version=main.snapshot.version,
        processes=len(told), finding=_finding(main), culprit=_culprit(main),
        detail=sum(len(t.thread.frames) for t in main.threads[:64]))
    if redacted:
        from .render.redact import Redactor

        record["shared"] = _finding(Redactor().explanations([main])[0])


def _digest(text: str) -> str:
    from .knowledge.hashing import stable_hash

    return stable_hash(text)


def _finding(told: Explanation) -> Optional[Record]:
    if not told.findings:
        return None
    finding = told.findings[0]
    return {"kind": finding.kind, "title": finding.title, "confidence": finding.confidence,
            "explanation": finding.explanation, "next_steps": list(finding.next_steps),
            "known_fixes": [{"commit": f.commit, "release": f.release, "score": f.score, "link": f.link,
                             "matched": f.matched or None, "confidence": f.confidence, "has_fix": f.has_fix}
                            for f in finding.known_fixes]}


def _culprit(told: Explanation) -> Optional[str]:
    named = set(told.findings[0].threads[:1]) if told.findings else set()
    chosen = [t for t in told.threads if t.thread.number in named] or told.threads
    return next((t.culprit for t in chosen if t.culprit and t.state not in ("idle", "running-guest")), None)


# ---------------------------------------------------------------------------------------------------------------
# Groups


@record
class Group:
    """Inputs that show the same problem."""

    digest: str
    signature: str
    count: int = 0
    example: Record = field(default_factory=dict)  # the record that tells most
    members: List[str] = field(default_factory=list)  # paths, at most MAX_MEMBERS
    versions: Dict[str, int] = field(default_factory=dict)
    programs: Dict[str, int] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        self.count += 1
        if len(self.members) < MAX_MEMBERS:
            self.members.append(record["path"])
        for told, counts in ((record.get("version"), self.versions), (record.get("program"), self.programs)):
            if told and (told in counts or len(counts) < 50):
                counts[told] = counts.get(told, 0) + 1
        if not self.example or _better(record) < _better(self.example):
            self.example = record

    @property
    def kind(self) -> str:
        return str((self.example.get("finding") or {}).get("kind") or self.example["status"])

    def plain(self) -> Record:
        """As JSON has it."""
        return {"type": "group", "digest": self.digest, "signature": self.signature, "count": self.count,
                "kind": self.kind, "example": self.example["path"], "culprit": self.example.get("culprit"),
                "finding": self.example.get("finding"), "shared": self.example.get("shared"),
                "versions": self.versions, "programs": self.programs, "members": sorted(self.members)}


def _better(record: Record) -> Tuple[int, int, str]:
    """Sorts the records of a group: the surest explanation first, of the longest report; the same in every run."""
    confidence = (record.get("finding") or {}).get("confidence")
    sure = _CONFIDENCE.index(confidence) if confidence in _CONFIDENCE else len(_CONFIDENCE)
    return sure, -int(record.get("detail") or 0), str(record["path"])


@record
class Overview:
    """All groups, and the inputs that could not be explained."""

    groups: Dict[str, Group] = field(default_factory=dict)
    failures: List[Record] = field(default_factory=list)
    failed: int = 0
    empty: int = 0  # inputs without a stack
    explained: int = 0
    taken_over: int = 0  # from an earlier run
    seconds: float = 0.0

    def add(self, record: Record) -> None:
        digest = record.get("digest")
        if record["status"] == "nothing-found":
            self.empty += 1
            return
        if not digest:
            self.failed += 1
            if len(self.failures) < MAX_MEMBERS:
                self.failures.append(record)
            return
        self.explained += 1
        if digest not in self.groups:
            self.groups[digest] = Group(digest, record["signature"])
        self.groups[digest].add(record)

    def ordered(self) -> List[Group]:
        """Problems before healthy processes, then the most frequent first."""
        def key(group: Group) -> Tuple[bool, int, str]:
            return not group.kind.startswith(("crash.", "hang.", "rule.")), -group.count, group.digest

        return sorted(self.groups.values(), key=key)

    def plain(self) -> Record:
        return {"type": "summary", "schema": SCHEMA, "inputs": self.explained + self.failed + self.empty,
                "failed": self.failed, "nothing_found": self.empty, "groups": len(self.groups),
                "taken_over": self.taken_over, "seconds": round(self.seconds, 3)}


# ---------------------------------------------------------------------------------------------------------------
# Workers


def _work(channel: multiprocessing.connection.Connection, redacted: bool) -> None:
    """A worker's life: lists of paths come in, a record a path goes out."""
    os.setpgid(0, 0)  # so that gdb, which it starts for a core, ends with it; Ctrl-C reaches the parent alone
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.freeze()  # the indexes, which are shared, need not be looked through again and again
    gc.set_threshold(50_000, 20, 20)
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 0)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    same: Dict[bytes, Record] = {}
    try:
        while True:
            for path in channel.recv():
                channel.send(_once(path, redacted, same))
    except (EOFError, OSError, KeyboardInterrupt):
        pass
    finally:
        os._exit(0)


def _once(path: str, redacted: bool, same: Dict[bytes, Record]) -> Record:
    """The record of an input; a text that is the same as one before, attached twice say, is not explained again."""
    try:
        about = os.stat(path)
        if about.st_size > _SAME_SIZE:
            return record_of(path, redacted)
        with open(path, "rb") as stream:
            key = hashlib.blake2b(stream.read(_SAME_SIZE + 1), digest_size=16).digest()
    except OSError:
        return record_of(path, redacted)
    if key not in same:
        if len(same) >= _SAME:
            same.pop(next(iter(same)))
        same[key] = record_of(path, redacted)
        return same[key]
    return {**same[key], "path": path, "size": about.st_size, "mtime": about.st_mtime_ns}


class _Worker:
    """A worker process, what it was given, and since when it works on the first of that."""

    def __init__(self, context: multiprocessing.context.BaseContext, redacted: bool, others: List[_Worker]) -> None:
        self.channel, theirs = context.Pipe()
        # The child must not hold the other workers' ends, or they would never see the parent's end.
        foreign = [self.channel, *(worker.channel for worker in others)]
        self.process: multiprocessing.process.BaseProcess = context.Process(  # type: ignore[attr-defined]
            target=_begin, args=(theirs, redacted, foreign), daemon=True)
        self.process.start()
        theirs.close()
        self.todo: List[str] = []
        self.since = time.monotonic()
        self.done = 0

    def give(self, paths: List[str]) -> None:
        if paths:
            self.todo += paths
            with contextlib.suppress(OSError):  # it has died: seen when its next record is wanted
                self.channel.send(paths)

    def end(self) -> None:
        """End it and what it started."""
        if self.process.pid is not None:
            with contextlib.suppress(OSError):  # it may not lead its group yet, or have ended
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join(10)
        self.channel.close()


def _begin(channel: multiprocessing.connection.Connection, redacted: bool, foreign: List[Any]) -> None:
    for other in foreign:
        other.close()
    _work(channel, redacted)


def run(paths: Iterable[str], workers: int = 0, seconds: Optional[float] = None, redacted: bool = False,
        progress: Optional[Callable[[int], None]] = None) -> Iterator[Record]:
    """Explain inputs in parallel; yields a record for each, in the order in which they are done.

    ``workers``: processes, 0 for one a processor. ``seconds``: that one input may take. ``progress`` is called a few
    times a second.
    """
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else None)
    _warm_up()
    count = workers or _processors()
    waiting = iter(paths)
    again: List[str] = []  # were given to a worker that died over another input
    team: List[_Worker] = []

    def next_batch() -> List[str]:
        batch: List[str] = []
        while again and len(batch) < _BATCH:
            batch.append(again.pop())
        for path in waiting if len(batch) < _BATCH else ():
            batch.append(path)
            if len(batch) == _BATCH or _is_core(path):
                break
        return batch

    def hire() -> None:
        batch = next_batch()
        if batch:
            worker = _Worker(context, redacted, team)
            team.append(worker)
            worker.give(batch)

    finished = 0
    try:
        for _ in range(count):
            hire()
        while team:
            ready = multiprocessing.connection.wait([w.channel for w in team], timeout=0.2)
            for worker in list(team):
                record: Optional[Record] = None
                if worker.channel in ready:
                    try:
                        record = worker.channel.recv()
                        worker.todo.pop(0)
                        worker.since = time.monotonic()
                        worker.done += 1
                    except (EOFError, OSError):
                        worker.process.join(5)
                        code = worker.process.exitcode
                        how = f"by signal {-code}" if code is not None and code < 0 else f"with status {code}"
                        record = _lost(worker, "died", f"the process that explained it ended {how}")
                else:
                    allowed = seconds or (CORE_SECONDS if _is_core(worker.todo[0]) else TEXT_SECONDS)
                    if time.monotonic() - worker.since > allowed:
                        record = _lost(worker, "timeout", f"took longer than {allowed:g} s")
                if record is None:
                    continue
                finished += 1
                yield record
                if record["status"] in ("died", "timeout"):
                    again += worker.todo
                    worker.todo = []
                elif worker.done < _RECYCLED and len(worker.todo) <= _BATCH // 4:
                    worker.give(next_batch())
                if not worker.todo:  # lost, worn out, or out of work
                    team.remove(worker)
                    worker.end()
                    hire()
            if progress is not None:
                progress(finished)
    finally:
        for worker in team:
            worker.end()


def _lost(worker: _Worker, status: str, why: str) -> Record:
    record: Record = {"type": "input", "path": worker.todo.pop(0), "status": status, "error": why}
    with contextlib.suppress(OSError):
        about = os.stat(record["path"])
        record["size"], record["mtime"] = about.st_size, about.st_mtime_ns
    return record


def _is_core(path: str) -> bool:
    from . import inputs

    try:
        return inputs.kind_of(path) == "core"
    except OSError:
        return False


def _processors() -> int:
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:
        return os.cpu_count() or 1


def _warm_up() -> None:
    """Load the code and the indexes once: the workers share them."""
    from .capture import text
    from .explain import explain, signature

    sample = ("Program terminated with signal SIGABRT\nThread 1 (LWP 1):\n"
              "#0  raise () at a.c:1\n#1  abort () at a.c:1\n"
              "#2  __assert_fail (assertion=0x1 \"x\") at a.c:1\n#3  bdrv_drain_all_begin () at block/io.c:1\n"
              "#4  do_vm_stop () at system/cpus.c:1\n#5  main_loop_wait () at util/main-loop.c:1\n"
              "#6  main () at system/main.c:1\n")
    for snapshot in text.parse(sample):
        signature.explanation_signature(explain(snapshot))


# ---------------------------------------------------------------------------------------------------------------
# Resuming


class State:
    """The records of earlier runs in a file, a JSON line each; new ones are added as they come."""

    def __init__(self, path: str) -> None:
        """
        :raises OSError: the file can be neither read nor written
        :raises ValueError: it is another file than one of these
        """
        self._done: Set[Tuple[str, int, int]] = set()
        self._path = path
        self.broken = 0
        end = 0
        if os.path.exists(path):
            with open(path, "rb") as stream:
                for number, line in enumerate(stream):
                    if not line.endswith(b"\n"):
                        break  # the run that wrote it was ended
                    end += len(line)
                    key = self._key(self._parsed(line))
                    if key is None:
                        if number == 0 and not line.startswith(b'{"type": "state"'):
                            raise ValueError(f"{path} is no state of qemu-gdb triage; name another file")
                        self.broken += number > 0
                    else:
                        self._done.add(key)
        self._stream = open(path, "r+b" if os.path.exists(path) else "w+b")  # noqa: SIM115
        self._stream.truncate(end)
        self._stream.seek(end)
        if not end:
            self._write({"type": "state", "schema": SCHEMA, "version": __version__})
        self._flushed = time.monotonic()

    @staticmethod
    def _parsed(line: bytes) -> Record:
        try:
            plain = json.loads(line)
        except (ValueError, RecursionError):
            return {}
        return plain if isinstance(plain, dict) else {}

    @staticmethod
    def _key(record: Record) -> Optional[Tuple[str, int, int]]:
        path, size, mtime = record.get("path"), record.get("size"), record.get("mtime")
        if record.get("type") != "input" or not isinstance(path, str):
            return None
        return (path, size, mtime) if isinstance(size, int) and isinstance(mtime, int) else None

    def has(self, path: str) -> bool:
        """Whether this input was done before and has not changed since."""
        if not self._done:
            return False
        try:
            about = os.stat(path)
        except OSError:
            return False
        return (os.path.abspath(path), about.st_size, about.st_mtime_ns) in self._done

    def records(self, wanted: Set[str]) -> Iterator[Record]:
        """The records of earlier runs that are about ``wanted`` inputs (absolute paths)."""
        latest: Dict[str, int] = {}
        with open(self._path, "rb") as stream:
            for number, line in enumerate(stream):
                record = self._parsed(line)
                if self._key(record) is not None and record["path"] in wanted:
                    latest[record["path"]] = number
        numbers = set(latest.values())
        with open(self._path, "rb") as stream:
            for number, line in enumerate(stream):
                if number in numbers:
                    yield self._parsed(line)

    def add(self, record: Record) -> None:
        self._write({**record, "path": os.path.abspath(record["path"])})
        if time.monotonic() - self._flushed > 0.5:
            self.flush()

    def flush(self) -> None:
        self._stream.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        self._stream.close()

    def _write(self, record: Record) -> None:
        self._stream.write(json.dumps(record).encode("ascii") + b"\n")


# ---------------------------------------------------------------------------------------------------------------
# Progress


class Progress:
    """A bar on a terminal: done, speed, time left."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream, self._total = stream, total
        self._start = self._shown = time.monotonic()
        self.failed = 0

    def show(self, done: int, last: bool = False) -> None:
        now = time.monotonic()
        if now - self._shown < 0.1 and not last:
            return
        self._shown = now
        speed = done / max(now - self._start, 1e-6)
        part = done / self._total if self._total else 1.0
        left = (self._total - done) / speed if speed else 0.0
        bar = "#" * int(24 * part)
        failed = f"  {self.failed} failed" if self.failed else ""
        line = f"[{bar:<24}] {done}/{self._total}  {speed:.0f}/s  {left:.0f} s left{failed}"
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"\r\x1b[K{line[:78]}")
            self._stream.flush()

    def clear(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def gather(names: List[str], workers: int = 0, seconds: Optional[float] = None, state: Optional[State] = None,
           redacted: bool = False, each: Optional[Callable[[Record], None]] = None) -> Overview:
    """Explain all inputs that ``names`` lead to, and group them. ``each`` is given every record as it comes."""
    from . import inputs

    overview = Overview()
    start = time.monotonic()
    todo: List[str] = []
    earlier: Set[str] = set()
    for path in inputs.found(names):
        if state is not None and state.has(path):
            earlier.add(os.path.abspath(path))
        else:
            todo.append(path)

    def take(record: Record) -> None:
        overview.add(record)
        if each is not None:
            each(record)

    if state is not None and earlier:
        for record in state.records(earlier):
            overview.taken_over += 1
            take(record)
    bar = Progress(sys.stderr, len(todo)) if todo and sys.stderr.isatty() else None
    try:
        for record in run(todo, workers, seconds, redacted, bar.show if bar else None):
            if state is not None:
                state.add(record)
            take(record)
            if bar is not None:
                bar.failed = overview.failed
    finally:
        if bar is not None:
            bar.clear()
        if state is not None:
            state.flush()
    overview.seconds = time.monotonic() - start
    return overview
