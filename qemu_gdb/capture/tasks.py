"""Reads the threads of a live process from /proc, without stopping it: for one that no debugger can stop.

A thread in an uninterruptible sleep (state D: a dead NFS server, a failed disk, a device's reset) takes no signal.
ptrace's stop reaches it only when the kernel's call returns; gdb waits for that, with the other threads stopped.
Linux: proc(5), ptrace(2).
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Dict, List, Optional

from qemu_gdb.capture import kernel_part
from qemu_gdb.capture.dialects import foreign
from qemu_gdb.model import WATCHED_S, Frame, Notice, Snapshot, Source, Thread
from qemu_gdb.record import record

MAX_THREADS = 20_000
_STEP_S = 0.1
# System calls on the file behind the descriptor that is their first argument, as the kernel names their entries
# (fstat's is newfstat). Not those on a path below a folder: openat, newfstatat.
_ON_DESCRIPTOR = frozenset(
    "read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 fsync fdatasync ioctl fallocate "
    "ftruncate sendmsg recvmsg sendto recvfrom close newfstat fstatfs flock fcntl getdents getdents64 lseek "
    "sync_file_range copy_file_range".split()
)
_NO_DESCRIPTOR = 0xFFFFFF00  # and above: AT_FDCWD, -1


@record
class Task:
    """One thread as the kernel tells of it."""

    lwp: int
    name: str = ""
    state: str = ""  # R, S, D, T, t, Z, ...
    switches: int = -1  # how often it has left the processor; -1 unknown
    tracer: int = 0  # the process that traces it; 0 for none


def look(pid: int) -> Dict[int, Task]:
    """Every thread of a process by LWP, without its kernel stack; empty where it has ended."""
    found: Dict[int, Task] = {}
    try:
        lwps = sorted(int(name) for name in os.listdir(f"/proc/{pid}/task") if name.isdecimal())
    except OSError:
        return found
    for lwp in lwps[:MAX_THREADS]:
        found[lwp] = _task(pid, lwp)
    return found


def _task(pid: int, lwp: int) -> Task:
    task = Task(lwp)
    for line in _read(f"/proc/{pid}/task/{lwp}/status").splitlines():
        key, _, value = line.partition(":")
        value = value.strip()
        if key == "Name":
            task.name = value
        elif key == "State":
            task.state = value[:1]
        elif key == "TracerPid" and value.isdecimal():
            task.tracer = int(value)
        elif key.endswith("ctxt_switches") and value.isdecimal():
            task.switches = max(task.switches, 0) + int(value)
    return task


def stuck(pid: int, seconds: float = WATCHED_S) -> List[int]:
    """LWPs of the threads that stay in one uninterruptible sleep for ``seconds``; looks once where none is in any."""
    before = {lwp: task.switches for lwp, task in look(pid).items() if task.state == "D"}
    ends = time.monotonic() + seconds
    while before and time.monotonic() < ends:
        time.sleep(_STEP_S)
        now = [_task(pid, lwp) for lwp in before]
        before = {task.lwp: task.switches for task in now if task.state == "D" and task.switches == before[task.lwp]}
    return sorted(before)


def snapshot(pid: int, kept: List[int], stopped_ms: Optional[float] = None) -> Snapshot:
    """The process as /proc shows it; ``kept``: the threads that nothing can stop. ``stopped_ms``: for how long a
    debugger had tried to, None where none had. Without threads where the process has ended.
    """
    found = Snapshot(source=Source(kind="live", pid=pid, stopped_ms=stopped_ms))
    with contextlib.suppress(OSError):
        found.program = os.path.basename(os.readlink(f"/proc/{pid}/exe").replace(" (deleted)", ""))
    words = _read(f"/proc/{pid}/cmdline").split("\0")
    found.command_line = " ".join(words).strip() or None
    tasks = look(pid)
    for lwp in sorted(tasks, key=lambda lwp: (lwp != pid, lwp)):
        found.threads.append(_thread(pid, tasks[lwp], lwp in kept))
    unseen = ""
    if not any(t.kernel for t in found.threads):
        unseen = " The kernel's stacks are for root to read." if os.geteuid() else " Not even root can read the " \
            "kernel's stacks here."
    found.notices.append(Notice(
        "notice.truncated", "Read from /proc while it runs on: of each thread only its system call is known, and "
        f"nothing of QEMU's own functions.{unseen}"))
    return found


def _thread(pid: int, task: Task, kept: bool) -> Thread:
    folder = f"/proc/{pid}/task/{task.lwp}"
    thread = Thread(lwp=task.lwp, name=task.name or None, unstoppable=kept, truncated_bottom=True)
    for line in _read(f"{folder}/stack").splitlines():
        frame = foreign.kernel(line.strip(), len(thread.kernel))
        if frame is not None:
            thread.kernel.append(frame)
    if not thread.kernel:
        inner = _read(f"{folder}/wchan").strip()
        if inner not in ("", "0"):
            thread.kernel.append(Frame(0, function=inner, library="vmlinux", kind="kernel"))
    call = kernel_part.system_call(thread.kernel)
    if call is None:
        return thread
    frame = Frame(0, function=call)
    words = _read(f"{folder}/syscall").split()
    # one that runs may be in another call by now than its stack has shown
    if kept and call in _ON_DESCRIPTOR and len(words) > 1:
        with contextlib.suppress(OSError, ValueError):
            descriptor = int(words[1], 16) & 0xFFFFFFFF
            if descriptor < _NO_DESCRIPTOR:
                frame.args["fd"] = str(descriptor)
                frame.locals["path"] = os.readlink(f"/proc/{pid}/fd/{descriptor}")
    thread.frames = [frame]
    return thread


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(1 << 16)
    except OSError:
        return ""


def stopped(pid: int) -> Optional[bool]:
    """Whether somebody has stopped the whole process (SIGSTOP, a debugger); None where it has ended."""
    main = _task(pid, pid)
    return main.state in ("T", "t") if main.state else None


def stopped_by_signal(pid: int) -> bool:
    """Whether a signal has stopped the whole process, and no debugger."""
    return _task(pid, pid).state == "T"


def ended(pid: int) -> bool:
    """Whether the process is gone, or only its exit status is left of it."""
    return all(task.state in ("Z", "X") for task in look(pid).values())


def tracers(pid: int) -> List[int]:
    """The processes that trace threads of this one."""
    return sorted({task.tracer for task in look(pid).values()} - {0})


def descendants(pid: int, but: int) -> List[int]:
    """The children of a process and theirs, without ``but`` and its own."""
    children: Dict[int, List[int]] = {}
    for name in os.listdir("/proc"):
        # the name, in parentheses, may hold any character
        words = _read(f"/proc/{name}/stat").rpartition(")")[2].split() if name.isdecimal() else []
        if len(words) > 1 and int(name) != but:
            children.setdefault(int(words[1]), []).append(int(name))
    found = list(children.get(pid, []))
    for child in found:  # grows
        found += children.get(child, [])
    return found
