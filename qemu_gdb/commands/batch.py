"""Captures processes and cores for the ``qemu-gdb`` program, which runs gdb for it: with the least pause."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any, Dict, List

import gdb

from ..capture import processor
from ..driver import ATTACHING
from ..model import SCHEMA, Notice, Snapshot, to_plain
from . import base, imports, parameters, subject  # noqa: F401  base and parameters: imported before the attach
from .libraries import Libraries

MAX_LIBRARIES = 300  # whose symbols are read before an attach


def main() -> None:
    """Do what the JSON object in the environment's QEMU_GDB_BATCH says; write snapshots, or an error, to its file."""
    task: Dict[str, Any] = json.loads(os.environ["QEMU_GDB_BATCH"])
    answer: Dict[str, Any] = {"schema": SCHEMA}
    try:
        snapshots = _attach(task) if "pid" in task else [
            subject.of_process(state=not task.get("stacks"))]
        answer["snapshots"] = [{"source": {}, "threads": [], **to_plain(s)} for s in snapshots]
    except (gdb.error, subject.UsageError) as error:
        answer["error"] = " ".join(str(error).split())
    with open(task["answer"], "w", encoding="ascii") as stream:
        json.dump(answer, stream)


def _attach(task: Dict[str, Any]) -> List[Snapshot]:
    pid, samples, interval = int(task["pid"]), int(task["samples"]), float(task["interval"])
    state = not task.get("stacks")
    _warm_up(state)
    _preload(Libraries(pid).files)
    gdb.execute("set auto-solib-add off", to_string=True)
    snapshots: List[Snapshot] = []
    for sample in range(samples):
        if sample:
            time.sleep(interval)
        snapshots.append(_once(pid, task["answer"] + ATTACHING, state))
        print(f"sample {sample + 1} of {samples}", file=sys.stderr, flush=True)
    return snapshots


def _warm_up(with_state: bool) -> None:
    """Read what can be read before the process is stopped: this program's code, QEMU's symbols and types.

    No more than will be used: where the program is loaded at another address, gdb moves in the pause all that it has
    read in full.
    """
    imports.load()
    if not with_state:
        return
    from .. import state

    nobody = Snapshot()
    try:
        state.read_all(nobody, None, limits=state.Limits(search_bytes=0))
    except (gdb.error, RuntimeError, ValueError, AttributeError, TypeError):
        pass  # there is no process yet: all that counts is which symbols gdb has looked at


def _preload(libraries: List[str]) -> None:
    """Read the symbols of the process's libraries into inferiors of their own: gdb shares what it has read of a file,
    so that what an attached process needs of them is there already.
    """
    missing = "qemu_gdb_no_such_symbol"
    for path in libraries[:MAX_LIBRARIES]:
        if set(path) & set(" '\"\\"):
            continue
        try:
            gdb.execute(f"add-inferior -no-connection -exec {path}", to_string=True)
        except gdb.error:  # deleted or replaced since
            continue
    for number in [i.num for i in gdb.inferiors() if i.num != 1]:
        gdb.execute(f"inferior {number}", to_string=True)
        gdb.lookup_global_symbol(missing)
        with contextlib.suppress(gdb.error):
            gdb.parse_and_eval(missing)
    gdb.execute("inferior 1", to_string=True)


def _once(pid: int, marker: str, state: bool) -> Snapshot:
    libraries = Libraries(pid)
    used = processor.times(pid)
    with open(marker, "w", encoding="ascii"):
        pass
    before = time.monotonic()
    gdb.execute(f"attach {pid}", to_string=True)
    os.remove(marker)
    try:
        libraries.read_needed()
        snapshot = subject.of_process(state=state)
        if not libraries.enough_for(snapshot):
            snapshot = subject.of_process(state=state)
    finally:
        gdb.execute("detach", to_string=True)
        stopped = (time.monotonic() - before) * 1000
    snapshot.source.stopped_ms = round(stopped, 1)
    snapshot.source.taken_s = round(before, 4)
    for thread in snapshot.threads:
        thread.processor_s, thread.queued_s = used.get(thread.lwp or 0, (None, None))
    if not snapshot.threads:
        snapshot.notices.append(Notice("notice.truncated", "the process had no thread that could be read"))
    return snapshot
