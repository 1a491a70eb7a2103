"""Runs gdb for the ``qemu-gdb`` program: attaches to a process with the least pause, opens a core with its program."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .model import Notice, Snapshot, from_plain

ATTACHING = ".attaching"  # the suffix of the file that is there while gdb attaches
_GDBINIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gdbinit.py")


class Failed(Exception):
    """gdb could not do it; the message is one line for the user."""


def attach(pid: int, samples: int = 1, interval: float = 1.0, stacks: bool = False) -> List[Snapshot]:
    """Capture a live process ``samples`` times, ``interval`` seconds apart. gdb reads the symbols first; the process
    stands still only while its threads and state (with ``stacks``, its threads alone) are read.

    :raises Failed: no such process, not allowed, no gdb
    """
    from .capture import tasks

    program = f"/proc/{pid}/exe"
    try:
        real = os.readlink(program)
    except FileNotFoundError:
        raise Failed(f"there is no process {pid}") from None
    except PermissionError:
        raise Failed(f"not allowed to look at process {pid}; root may") from None
    except OSError as error:
        raise Failed(f"process {pid}: {error.strerror}") from None
    task = {"pid": pid, "samples": samples, "interval": interval, "stacks": stacks}
    try:
        kept = tasks.stuck(pid)
        if kept:  # gdb would wait for them, with all others stopped
            return _told_by_kernel(pid, kept, None, samples)
        was_stopped = tasks.stopped_by_signal(pid)
        try:
            snapshots = _attach(program, real, task)
            for snapshot in snapshots:
                snapshot.source.was_stopped = was_stopped
            return snapshots
        except _Unstoppable as error:
            return _told_by_kernel(pid, error.kept, error.stopped_ms, samples)
    except Failed:
        if tasks.ended(pid):
            raise Failed(f"process {pid} ended while it was looked at") from None
        raise


def _told_by_kernel(pid: int, kept: List[int], stopped_ms: Optional[float], samples: int) -> List[Snapshot]:
    """One snapshot from /proc.

    :raises Failed: the process has ended
    """
    from .capture import tasks

    told = tasks.snapshot(pid, kept, stopped_ms)
    if not told.threads or tasks.ended(pid):
        raise Failed(f"process {pid} ended while it was looked at")
    if samples > 1:
        told.notices.append(Notice(
            "notice.truncated", f"This is one sample instead of the {samples} that were asked for: while a thread is "
            "in an uninterruptible sleep, gdb can take none."))
    return [told]


class _Unstoppable(Exception):
    """gdb waits for threads that can't be stopped."""

    def __init__(self, kept: List[int], stopped_ms: float) -> None:
        super().__init__()
        self.kept, self.stopped_ms = kept, stopped_ms


def _attach(program: str, real: str, task: Dict[str, Any]) -> List[Snapshot]:
    same = False
    with contextlib.suppress(OSError):
        same = os.path.samefile(program, real)
    if same:
        return _run([real], task)  # by its name, so that gdb finds separate debug information beside it
    # It was replaced since, or it runs in a container. gdb would follow the link to whatever has that name here.
    with tempfile.TemporaryDirectory(prefix="qemu-gdb-") as folder:
        copy = os.path.join(folder, os.path.basename(real.replace(" (deleted)", "")))
        try:
            shutil.copyfile(program, copy)
        except OSError as error:
            raise Failed(f"process {task['pid']}: cannot read its program: {error.strerror}") from None
        return _run([copy], task)


_PATIENCE_S = 1.0  # that an attach lasts before its threads are looked at
_LOOK_S = 0.1
_KILLED_S = 3.0  # for a killed gdb to be gone


def _until_it_ends(process: subprocess.Popen[bytes], task: Dict[str, Any], answer: str) -> bytes:
    """gdb's error output. Where it waits for a thread that fell into an uninterruptible sleep since: end gdb.

    :raises _Unstoppable: gdb was ended, and the process runs on
    """
    from .capture import tasks

    if "pid" not in task:
        return process.communicate()[1]
    pid = int(task["pid"])
    stopped = tasks.stopped(pid)
    seen, since = 0, 0.0  # the marker of the attach that lasts, and when it was first there
    while True:
        try:
            return process.communicate(timeout=_LOOK_S)[1]
        except subprocess.TimeoutExpired:
            marker = 0
            with contextlib.suppress(OSError):
                marker = os.stat(answer + ATTACHING).st_mtime_ns
        if marker != seen:
            seen, since = marker, time.monotonic()
        if marker and time.monotonic() - since > _PATIENCE_S:
            kept = tasks.stuck(pid)
            if kept:
                _end(process, pid)
                if not stopped:  # stops that gdb has asked for and not yet seen would reach the process later
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGCONT)
                raise _Unstoppable(kept, round((time.monotonic() - since) * 1000, 1))


def _end(process: subprocess.Popen[bytes], pid: int) -> None:
    """End gdb, which may be a child of what was started for it (a script, sudo), and wait until it traces no more.

    :raises Failed: not allowed
    """
    from .capture import tasks

    for started in [process.pid, *tasks.descendants(process.pid, pid)]:
        with contextlib.suppress(OSError):
            os.kill(started, signal.SIGKILL)
    ends = time.monotonic() + _KILLED_S
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_KILLED_S)  # who else has inherited the pipe may keep it open
    process.poll()
    tracers = tasks.tracers(pid)
    while tracers and time.monotonic() < ends:
        time.sleep(_LOOK_S)
        tracers = tasks.tracers(pid)
    if tracers:
        raise Failed(f"gdb waits for a thread of process {pid} that nothing can stop, and stops the others. It can't "
                     f"be ended from here; as root: kill -9 {' '.join(map(str, tracers))}; kill -CONT {pid}")


def core(path: str, program: Optional[str] = None, stacks: bool = False) -> List[Snapshot]:
    """Capture a core file; without ``program``, the one that the core names. ``stacks``: as in ``attach``.

    :raises Failed: no core, or its program can't be found
    """
    from .capture import corefile

    try:
        found = corefile.read(path)
    except corefile.NotACore as error:
        raise Failed(str(error)) from None
    cut = corefile.cut(path)
    try:
        program, note = _program(found, program)
        snapshots = _run([program, path], {"stacks": stacks})
    except Failed as error:
        if cut is None:
            raise
        told = "gdb could not open the core" if str(error).startswith("no process") else str(error)
        raise Failed(f"{told} (it is cut: {cut})") from None
    if note:
        for snapshot in snapshots:
            snapshot.notices.append(Notice("notice.wrong-program", note))
    return snapshots


def _program(found: Any, given: Optional[str]) -> Tuple[str, str]:
    """The core's program, and a warning where its build differs."""
    from .capture import corefile

    tried = [given] if given else found.programs
    for path in tried:
        if path and os.path.isfile(path):
            build = corefile.build_id(path)
            if found.build_id and build and build != found.build_id:
                if given:
                    return path, f"{path} is not the program of this core: its build id is {build[:12]}," \
                                 f" the core's {found.build_id[:12]}"
                continue
            return path, ""
    if found.build_id:
        stored = f"/usr/lib/debug/.build-id/{found.build_id[:2]}/{found.build_id[2:]}"
        for path in (stored, stored + ".debug"):
            if os.path.isfile(path):
                return path, ""
    names = ", ".join(p for p in tried if p) or "no name"
    wanted = f" with build id {found.build_id}" if found.build_id else ""
    raise Failed(f"cannot find the program of the core ({names}){wanted}; give it: qemu-gdb core FILE PROGRAM")


def _run(target: Sequence[str], task: Dict[str, Any]) -> List[Snapshot]:
    gdb = os.environ.get("QEMU_GDB_GDB") or shutil.which("gdb")
    if not gdb:
        raise Failed("gdb is not installed")
    with tempfile.TemporaryDirectory(prefix="qemu-gdb-") as folder:
        answer = os.path.join(folder, "answer.json")
        command = [gdb, "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set auto-load no",
                   "-iex", "set print thread-events off", "-iex", "set print inferior-events off",
                   "-iex", "set confirm off", "-iex", "set auto-load libthread-db on",
                   *target, "-ex", f"source {_GDBINIT}", "-ex",
                   "python from qemu_gdb.commands import batch; batch.main()"]
        environment = {**os.environ, "QEMU_GDB_BATCH": json.dumps({**task, "answer": answer})}
        # gdb stands in our process group: Ctrl-C reaches it, it detaches and ends.
        # Not as a context manager: that waits without end, and one of another user (sudo) can't be killed.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, env=environment)
        try:
            errors = _until_it_ends(process, task, answer)
        except KeyboardInterrupt:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM)
                process.wait()
            raise
        finally:
            if process.stderr is not None:
                process.stderr.close()
        try:
            with open(answer, encoding="ascii") as stream:
                plain = json.load(stream)
        except (OSError, ValueError):
            lines = [line for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
            raise Failed(f"gdb failed: {lines[-1].strip() if lines else f'exit status {process.returncode}'}") from None
    if "error" in plain:
        raise Failed(str(plain["error"]))
    return [from_plain(Snapshot, item) for item in plain["snapshots"]]
