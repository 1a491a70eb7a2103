"""What a kernel writes of its tasks, and the lists in which a tool shows the kernel's frames above a program's."""

from __future__ import annotations

from typing import Optional, Tuple

from qemu_gdb.capture.dialects import foreign
from qemu_gdb.capture.reading.state import Head, Reading, Taken
from qemu_gdb.linux import ENTERED
from qemu_gdb.model import Thread, canonical_name
from qemu_gdb.pattern import Pattern

# bcc's offcputime and profile: "    -                CPU 0/KVM (4130)" below the frames
_BCC_KEY = Pattern(r"-\s+(?P<name>\S.{0,30}?) \((?P<lwp>\d{1,10})\)$")
_BCC_PROFILE = Pattern(r"Sampling at \d+ (?:Hertz|events)\b")
# bpftrace: "@offcpu[qemu-system-x86, 48213]:" or "@[CPU 0/KVM, 48217," above the frames, ", CPU 0/KVM]: 12" below
_MAP_ABOVE = Pattern(r"@\w*\[(?P<keys>[^\[\]]{1,200}?),?\s*(?:\]:)?$")
_MAP_BELOW = Pattern(r",\s*(?P<keys>[^\[\]]{1,200})\]: \S+$")
# "kernel stack of LWP 904:", in the words of who pasted it
_TOLD_TASK = Pattern(r"\bstack\b.{0,30}?\b(?:LWP|lwp|TID|tid|PID|pid|task)[ =:#]{1,3}(?P<tid>\d{1,10})\b")
_BETWEEN = frozenset([",", "--", "-"])  # what tools put between the kernel's frames and the program's


def crash_tool(reading: Reading, line: str, stripped: str) -> Taken:
    """A frame of the crash utility, of a kernel's task."""
    found = foreign.crash_tool(stripped)
    if found is None:
        return False
    reading.segment.kernel += 1
    reading.add(found, "kernel")
    return True


def crash_task(reading: Reading, line: str, stripped: str) -> Taken:
    """The crash utility's ``PID: 40124  TASK: ffff9d4a4b2d8000  CPU: 3  COMMAND: "CPU 0/KVM"``."""
    match = foreign.CRASH_TASK.match(stripped)
    if match is None:
        return False
    reading.end_stack()
    reading.head = Head(lwp=int(match.group("pid")), name=match.group("command"), text=stripped[:500], dump=True)
    return True


def proc_task(reading: Reading, line: str, stripped: str) -> Taken:
    """A task's folder in /proc, above its kernel stack."""
    match = foreign.PROC_TASK.match(stripped)
    if match is None:
        return False
    _of_proc(reading, stripped, match.group("pid"), match.group("tid"), match.group("name"))
    return True


def _of_proc(reading: Reading, stripped: str, pid: str, tid: Optional[str], name: Optional[str]) -> None:
    reading.end_stack()
    reading.head = Head(lwp=int(tid or pid), name=name, text=stripped[:500], dump=True)
    reading.head.pid = int(pid) if tid else None


def trace(reading: Reading, stripped: str) -> bool:
    """``Call Trace:``: the frames of the task that the lines above name."""
    if reading.mode not in ("dmesg", "kernel") or not foreign.KERNEL_TRACE.match(stripped):
        return False
    reading.end_stack()
    reading.mode = "kernel"
    reading.head = reading.task or Head(text=stripped, dump=True)
    reading.task = None
    stopped, reading.stopped_at = reading.stopped_at, None
    if stopped is not None:
        reading.add(stopped, "kernel")
    return True


def frame(reading: Reading, stripped: str) -> bool:
    """A line of a kernel's trace."""
    thread = reading.thread if reading.mode == "kernel" and reading.head is None else None
    found = foreign.kernel(stripped, len(thread.frames) if thread is not None else 0)
    if found is None:
        return False
    if thread is not None and _is_whole(thread, canonical_name(found.function)):
        thread = None
        found.level = 0
    if thread is None:
        reading.head = reading.head or reading.task or Head(text="kernel stack")
        reading.task = None
    reading.mode = "kernel"
    reading.add(found, "kernel")
    return True


def _is_whole(thread: Thread, further: str) -> bool:
    """Whether a kernel's stack ends with its last frame, where the frame that follows is ``further``."""
    last = canonical_name(thread.frames[-1].function)
    # an exception can come from the kernel's own code, too
    return last.startswith(ENTERED) and not last.startswith("asm_") and not further.startswith(ENTERED)


def at_entry(reading: Reading) -> bool:
    """Whether the last frame read is where a program enters the kernel: what called it may follow."""
    thread, segment = reading.thread, reading.segment
    return (
        thread is not None
        and reading.head is None
        and bool(thread.frames)
        and canonical_name(thread.frames[-1].function).startswith(ENTERED)
        and segment.ended == (len(segment.messages), len(segment.signals), len(segment.unparsed))
    )


def other(reading: Reading, line: str, stripped: str) -> bool:
    """A line that is no frame: whether it is the kernel's, or a tool's word on the stack above or below."""
    if stripped in _BETWEEN and at_entry(reading):
        return True
    if reading.mode == "list" and _key(reading, stripped):
        reading.mode = ""
        reading.segment.note(line)
        return True
    first = stripped[0]
    if first == "@":
        match = _MAP_ABOVE.match(stripped)
        if match is not None:
            reading.end_stack()
            reading.mode = ""
            name, lwp = _keys(match.group("keys"))
            reading.head = Head(name=name, lwp=_own(reading, lwp), text=stripped[:500], dump=True)
            reading.segment.note(line)
            return True
    elif first == "S" and _BCC_PROFILE.match(stripped):
        reading.sampled = "profile"
    if "stack" in stripped and asked(reading, stripped):
        reading.segment.note(line)
        return True
    _task(reading, stripped)
    return False


def asked(reading: Reading, stripped: str) -> bool:
    """Whether a command or a word asks for a task's kernel stack, and that follows."""
    if "/proc/" in stripped:
        match = foreign.PROC_STACK.search(stripped)
    else:
        match = _TOLD_TASK.search(stripped)
    if match is None or not reading.below(3).startswith("[<"):
        return False
    pid, tid = (match.group("pid"), match.group("tid")) if "/proc/" in stripped else (match.group("tid"), None)
    _of_proc(reading, stripped, pid, tid, None)
    return True


def _task(reading: Reading, stripped: str) -> None:
    """Lines of the kernel's log: a task's heading, where an oops happened, which machine it was."""
    log = reading.mode in ("kernel", "dmesg")
    if foreign.KERNEL_SIGN.search(stripped):
        match = foreign.HUNG_TASK.search(stripped)
        if log or match is not None:
            reading.end_stack()
            reading.task = None if match is None else Head(
                lwp=int(match.group("pid")), name=match.group("name"), text=stripped[:500], dump=True)
        log = True
        reading.mode = "kernel"
        reading.segment.kernel += 1
    elif stripped.startswith("task:"):
        log = _heading(reading, stripped, foreign.TASK) or log
    if not log:
        return
    if stripped.startswith("</TASK>"):
        reading.end_stack()
        reading.task = None
        return
    if stripped[-1] in "0123456789abcdef" and "0x" in stripped[-20:] and _heading(reading, stripped, foreign.OLD_TASK):
        return
    match = foreign.KERNEL_TASK.search(stripped)
    if match is not None:
        reading.mode = "kernel"
        reading.segment.kernel += 1
        if reading.task is None:
            pid = match.group("pid") or match.group("of")
            name = match.group("comm") or match.group("process")
            reading.task = Head(lwp=int(pid) if pid else None, name=name, text=stripped[:500], dump=True)
    elif "Hardware name: " in stripped and foreign.QEMU_HARDWARE.search(stripped):
        task = reading.task = reading.task or Head(text=stripped[:500], dump=True)
        # a QEMU inside a guest has that guest's kernel for its host
        task.guest = not (task.name or "").startswith(("qemu", "kvm", "CPU "))
    elif "P: 00" in stripped or stripped.startswith("pc : "):
        match = foreign.STOPPED_AT.search(stripped)
        if match is not None and reading.thread is None:
            reading.stopped_at = foreign.kernel(match.group("frame"), 0)


def _heading(reading: Reading, stripped: str, pattern: Pattern) -> bool:
    match = pattern.match(stripped)
    if match is None:
        return False
    reading.end_stack()
    reading.mode = "kernel"
    reading.segment.kernel += 1
    groups = match.groupdict()
    reading.task = Head(lwp=int(match.group("pid")), name=match.group("name"), text=stripped[:500], dump=True)
    if groups.get("ppid") == "2":  # kthreadd, the parent of the kernel's own threads
        reading.task.pid = 0
    elif groups.get("tgid"):
        reading.task.pid = int(groups["tgid"])
    return True


def _key(reading: Reading, stripped: str) -> bool:
    """The key of a tool's map below a stack: it names the thread."""
    thread = reading.thread
    if thread is None:
        return False
    match = _BCC_KEY.match(stripped)
    if match is not None:
        keys = f"{match.group('name')},{match.group('lwp')}"
    else:
        match = _MAP_BELOW.match(stripped)
        if match is None:
            return False
        keys = match.group("keys")
    name, lwp = _keys(keys)
    thread.name = thread.name or name
    if thread.lwp is None:
        thread.lwp = _own(reading, lwp)
    return True


def _keys(keys: str) -> Tuple[Optional[str], Optional[int]]:
    """The name and the number among a map's keys; of a process's and a thread's number the thread's comes last."""
    parts = [part.strip() for part in keys.split(",")]
    numbers = [part for part in parts if part.isascii() and part.isdigit() and len(part) < 11]
    names = [part for part in parts if part and not part[0].isdigit()]
    return names[0][:40] if names else None, int(numbers[-1]) if numbers else None


def _own(reading: Reading, lwp: Optional[int]) -> Optional[int]:
    """``lwp`` where no stack has it yet: such tools count the stacks of a thread, and each of them is shown."""
    return None if lwp is None or any(t.lwp == lwp for t in reading.segment.threads[-500:]) else lwp
