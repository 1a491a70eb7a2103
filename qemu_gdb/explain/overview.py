"""Says what the process is: QEMU or not, which program, accelerator, how many vCPUs, which run state."""

from __future__ import annotations

import re
from typing import List, Optional

from ..knowledge import exits, functions, outsiders
from ..knowledge.roles import ENTRIES, LIBRARIES, STARTERS, program_kind, role_of_name, whole_name
from ..model import Notice
from ..pattern import Pattern
from . import kernel
from .context import Context, Subject
from .owners import code_of, codes, library_name

_ACCELERATOR_OF_ROLE = {"vcpu-kvm": "kvm", "vcpu-mttcg": "tcg", "vcpu-tcg-rr": "tcg"}
_OTHER_ACCELERATORS = (
    ("hvf", "hvf"),
    ("whpx", "whpx"),
    ("nvmm", "nvmm"),
    ("hax", "hax"),
    ("mshv", "mshv"),
    ("vmx_", "hvf"),
)
_LINES_WITHOUT_A_STACK = 2000  # that are searched for QEMU's own messages


def fill(context: Context) -> None:
    """Fill the explanation's fields about the whole process, and the notices."""
    explanation = context.explanation
    program = context.snapshot.program or _program(context)
    explanation.program = whole_name(program) if program else None
    explanation.notices = list(context.snapshot.notices)
    if not explanation.is_qemu:
        explanation.accelerator = None
        if kernel.only_kernels(context.subjects):
            explanation.program = None  # it may well be QEMU's tasks, but nothing of QEMU is seen
        _notice(context, "notice.not-qemu", "Nothing here shows QEMU: " + _why_not(context))
        return
    explanation.accelerator = context.snapshot.accelerator or _accelerator(context)
    explanation.vcpus = _vcpus(context)
    explanation.runstate = context.runstate.name if context.runstate else _runstate(context)
    _fork(context)
    _symbols(context)
    _truncated(context)
    _corrupt(context)


def _notice(context: Context, kind: str, text: str) -> None:
    if not any(n.kind == kind for n in context.explanation.notices):
        context.explanation.notices.append(Notice(kind, text))


# ----------------------------------------------------------------------------------------------------------------
# QEMU or not


def is_qemu(context: Context) -> bool:
    """Weigh what speaks for QEMU (its functions, programs, thread names) against what speaks for another program."""
    snapshot = context.snapshot
    if kernel.only_kernels(context.subjects):
        return False
    if snapshot.program and program_kind(snapshot.program) in ("system", "user", "tool"):
        return bool(snapshot.threads or snapshot.messages)
    known = unknown = 0
    entries = 0
    seen = set()
    foreign_program = bool(snapshot.program) and program_kind(snapshot.program or "") is None
    for subject in context.subjects:
        in_kernel = subject.stack.find_outermost(kernel.ENTRIES)
        for frame in subject.stack.frames[0 if in_kernel is None else in_kernel + 1 :]:
            name = frame.name
            key = (name, frame.library)
            if not name or key in seen:
                continue
            seen.add(key)
            code = code_of(frame)
            if code.owner == "jit" or (name in ENTRIES and name not in _SHARED_NAMES):
                entries += 1
            elif code.owner == "qemu":
                fits = _file_fits(name, frame.file) if name not in _SHARED_NAMES else _is_a_main(frame.file)
                known += int(fits)
            elif (
                code.owner == "unknown" and name not in STARTERS and not library_name(name) and not _of_a_library(name)
            ):
                unknown += 1
    if any(_qemu_library(subject) for subject in context.subjects):
        return True
    if entries and not (foreign_program and known < 3):
        return True
    if foreign_program:
        return known >= 3 and known > unknown
    if known:
        return known * 2 >= unknown or known >= 4
    names = [t.name for t in snapshot.threads if t.name]
    if any(program_kind(n) in ("system", "user", "tool") for n in names):
        return True
    if any((role_of_name(n) or ("",))[0].startswith("vcpu") for n in names):
        return True
    if not snapshot.threads and (exits.heard(snapshot.unparsed[:_LINES_WITHOUT_A_STACK]) or context.runstate):
        return True
    if any(m.kind in ("qemu-error", "hw-error", "error-abort", "cpu-abort", "qemu-died") for m in snapshot.messages):
        return True
    return not unknown and _has_nameless_code(context) and _speaks_of_qemu(context)


def _has_nameless_code(context: Context) -> bool:
    """Whether a program's own frames are there, without names: a stripped program."""
    return any(not f.name and f.library is None and f.pc for s in context.subjects for f in s.stack.frames[1:])


_QEMU_WORD = Pattern(r"\bqemu\b|\bqemu-|\bkvm\b", re.IGNORECASE)


def _speaks_of_qemu(context: Context) -> bool:
    """Whether the words around the stacks name QEMU as what they are of; libvirt's users name it too."""
    lines = context.snapshot.unparsed[:400]
    return any(_QEMU_WORD.search(line) for line in lines) and not any("libvirtd" in line for line in lines)


_MAINS = Pattern(
    r"qemu.*/(?:vl|(?:softmmu|system|linux-user|bsd-user|qga)/main|qemu-(?:img|io|nbd)|storage-daemon/qemu-storage-daemon)\.c$"
)


def _is_a_main(file: Optional[str]) -> bool:
    """Whether a file is one of QEMU's that hold a main(), in a folder of QEMU's."""
    return bool(file and _MAINS.search(file))


def _file_fits(name: str, file: Optional[str]) -> bool:
    """Whether a frame's file can be the one that defines QEMU's function of that name; a header can be anybody's."""
    if file and "qemu" in file.lower():
        return True
    places = functions.lookup(name)
    if not file or file.endswith((".h", ".inc")):
        return bool(places)
    base = file.replace("\\", "/").rsplit("/", 1)[-1]
    return any(place.file.rsplit("/", 1)[-1] == base for place in places)


# Names that other programs have too
_SHARED_NAMES = frozenset(
    """main event_thread wait_thread worker_thread dump_thread migration_thread start open close read write usage error
    cpu_loop show_parts new_thread_start event_loop main_loop log debug init reset""".split()
)


def _of_a_library(name: str) -> bool:
    return any(name in row.frames for row in LIBRARIES)


def _qemu_library(subject: Subject) -> bool:
    return any(
        frame.library
        and re.search(r"(?:^|/)(?:qemu-(?:system|img|io|nbd|storage)|qemu-kvm|accel-(?:tcg|qtest)"
                     r"|hw-(?:display|usb|s390x)-)", frame.library)
        for frame in subject.stack.frames
    )


def _why_not(context: Context) -> str:
    if kernel.only_kernels(context.subjects):
        return _kernels_words(context)
    told = _manager(context) or _other_project(context)
    if told:
        return told
    program = context.snapshot.program
    if program:
        return f"the program is {program}."
    if not context.snapshot.threads:
        return "no stack of a user program was found."
    return "no function on these stacks is QEMU's."


# arch/x86/mm/fault.c, arch/x86/kernel/dumpstack.c, arch/arm64/kernel/traps.c of Linux 4.x to 6.x
_OOPS = Pattern(r"\bBUG: (?:kernel NULL pointer|unable to handle)|\bOops(?:: | - )|\bkernel BUG at "
                r"|Internal error: Oops")
_OOPS_AT = Pattern(r"\b(?:RIP: 0010:|pc : )(?P<function>[\w.]+)\+0x[0-9a-f]+/0x[0-9a-f]+(?: (?P<module>\[\w+\]))?")


def _oops(context: Context, tasks: Optional[str]) -> str:
    """What to say where the host's kernel itself crashed, "" where it did not."""
    lines = context.snapshot.unparsed[:4000]
    if tasks is None or not any(_OOPS.search(line) for line in lines):
        return ""
    place = next((found for found in map(_OOPS_AT.search, lines) if found is not None), None)
    spot = f" in {place.group('function')} {place.group('module') or ''}".rstrip() if place is not None else ""
    ends = any(s.stack.find("do_exit") is not None for s in context.subjects)
    return (f"the host's kernel itself crashed{spot}, {'when' if ends else 'in a call of'} {tasks}"
            f"{' ended' if ends else ''}. That is a bug of the kernel{' or of that module' if '[' in spot else ''}, "
            "whatever the program asked for: report it there, with the whole log; the host needs a new start.")


def _kernels_words(context: Context) -> str:
    """What the host kernel's stacks tell by themselves: whose tasks they are, and what those wait for."""
    tasks = next((t.name for t in context.snapshot.threads if t.name and program_kind(t.name)), None)
    oops = _oops(context, tasks)
    if oops:
        return oops
    text = f"these are stacks of the host's kernel{f', of the tasks of {tasks}' if tasks else ''}"
    waits, steps = [], []
    for subject in context.subjects:
        thread = subject.told.thread
        found = kernel.kernel_wait(subject.stack.frames)
        if found is None or not found.part.tells:
            continue
        who = f"{thread.name} ({thread.lwp})" if thread.name and thread.lwp is not None else thread.name
        who = who or (f"task {thread.lwp}" if thread.lwp is not None else "the task")
        waits.append(f"{who} waits for {found.part.says} ({found.way})")
        steps.append(found.part.step)
    if waits:
        more = f", and {len(waits) - 3} more" if len(waits) > 3 else ""
        text += f": {'; '.join(waits[:3])}{more}."
        step = next((step for step in steps if step), "")
        text += f" Next: {step}{'' if step.endswith('?') else '.'}" if step else ""
        return f"{text} What QEMU does there, its own stacks tell (gdb -p PID)."
    return f"{text}; what QEMU does there, its own stacks tell (gdb -p PID)."


def _manager(context: Context) -> str:
    """What libvirt's own stacks say of QEMU, "" where none of them waits for it."""
    for names, waits_for, then in outsiders.MANAGER_WAITS:
        waits = [s for s in context.subjects if s.stack.find(names) is not None]
        if waits:
            number = waits[0].number
            who = f"thread {number}" if number is not None else "a thread"
            more = f" (as {len(waits) - 1} more {'does' if len(waits) == 2 else 'do'})" if len(waits) > 1 else ""
            return f"these are stacks of libvirt: {who} waits {waits_for}{more}. {then}"
    return ""


def _other_project(context: Context) -> str:
    """What another project's stacks are of, "" where they are of none that is known."""
    for names, library, words in outsiders.OTHER_PROJECTS:
        for subject in context.subjects[:200]:
            if subject.stack.find(names) is not None or any(
                f.library and library in f.library for f in subject.stack.frames[:64]
            ):
                return words
    return ""


def _fork(context: Context) -> None:
    found = next((f for s in context.live_subjects[:200] for f in s.stack.names if f in outsiders.ANDROID), None)
    if found is not None:
        _notice(context, "notice.fork", f"{found} is of the Android Emulator, Google's fork of QEMU: lines and "
                "versions are not those of QEMU's releases, and its bugs go to Google (issuetracker.google.com).")


def _program(context: Context) -> Optional[str]:
    """The program by its threads' names or by the object that QEMU's frames lie in."""
    for thread in context.snapshot.threads:
        libvirts = thread.name == "qemu-event"
        if thread.name and program_kind(thread.name) and thread.name.startswith("qemu-") and not libvirts:
            return thread.name
    for subject in context.subjects:
        for frame in subject.stack.frames:
            if frame.library and program_kind(frame.library.rsplit("/", 1)[-1]) in ("system", "tool", "user"):
                return frame.library.rsplit("/", 1)[-1]
    return _named_in_words(context)


_PROGRAM_IN_WORDS = Pattern(r"(?<![\w/.-])(?:/[\w./-]{0,200}/)?"
                            r"(qemu-(?:system-\w+|(?!system)[a-z]\w*(?:-(?:static|daemon))?))(?![\w-])")


def _named_in_words(context: Context) -> Optional[str]:
    """The one program of the kind that the stacks show, where the text around them names one alone."""
    roles = {s.told.role for s in context.live_subjects}
    kind = "tool" if "tool-main" in roles else "user" if "user-mode" in roles else "system"
    if kind == "system" and not any(role == "main-loop" or role.startswith("vcpu") for role in roles):
        return None
    lines = [*context.snapshot.unparsed[:2000], *(t.heading for t in context.snapshot.threads[:100])]
    names = {name for line in lines if "qemu-" in line for name in _PROGRAM_IN_WORDS.findall(line[:2000])}
    fitting = sorted(name for name in names if program_kind(name) == kind)
    return fitting[0] if len(fitting) == 1 else None


# ----------------------------------------------------------------------------------------------------------------
# Accelerator, vCPUs, run state


def _accelerator(context: Context) -> Optional[str]:
    for vcpu in context.facts.vcpus:
        if vcpu.accelerator:
            return vcpu.accelerator
    for subject in context.live_subjects:
        found = _ACCELERATOR_OF_ROLE.get(subject.told.role)
        if found:
            return found
        if subject.told.role == "vcpu-other":
            for name in subject.stack.names:
                for part, accelerator in _OTHER_ACCELERATORS:
                    if part in name:
                        return accelerator
    command = context.snapshot.command_line or ""
    found_option = re.search(r"accel(?:=|\s+)(kvm|tcg|hvf|whpx|nvmm|xen)\b", command)
    if found_option:
        return found_option.group(1)
    return "kvm" if "-enable-kvm" in command else None


def _vcpus(context: Context) -> Optional[int]:
    """How many vCPUs there are: from memory; from the command line; by counting their threads in a whole dump."""
    if context.facts.vcpus:
        return len(context.facts.vcpus)
    command = context.snapshot.command_line or ""
    threads = [s for s in context.live_subjects if s.told.role in ("vcpu-kvm", "vcpu-mttcg", "vcpu-other")]
    indexes = [i for i in (s.told.role_detail.get("vcpu") for s in threads) if isinstance(i, int)]
    option = re.search(r"-smp\s+(?:cpus=)?(\d+)", command)
    count = int(option.group(1)) if option else len(threads) if threads and _is_whole(context) else 0
    return count if count > max(indexes, default=0) else None  # some were plugged in, or are not shown


def _is_whole(context: Context) -> bool:
    """Whether the dump has every thread: numbered 1 to n without a gap."""
    numbers = sorted(s.told.thread.number for s in context.live_subjects if s.told.thread.number is not None)
    if context.snapshot.source.kind != "text":
        return True
    return len(numbers) > 1 and numbers == list(range(1, len(numbers) + 1))


def _runstate(context: Context) -> Optional[str]:
    """The run state where a stack can't be explained by another: vCPUs in the guest."""
    vcpus = [s for s in context.live_subjects if s.told.role.startswith("vcpu")]
    if not any(s.told.state == "running-guest" for s in vcpus):
        return None
    # system/cpus.c do_vm_stop, vm_shutdown: the run state changes when the vCPUs have stopped, or just before
    stopping = any(s.stack.find(("do_vm_stop", "vm_shutdown", "pause_all_vcpus")) is not None
                   for s in context.live_subjects)
    return None if stopping else "running"


# ----------------------------------------------------------------------------------------------------------------
# What the reader must know about the input


def _symbols(context: Context) -> None:
    named = unnamed = with_file = 0
    for subject in context.live_subjects:
        for frame, code in zip(subject.stack.frames, codes(subject.stack)):
            if frame.kind in ("signal", "jit"):
                continue
            owner = code.owner
            if not frame.name and owner == "none":
                called_nothing = frame is subject.stack.frames[0] and frame.pc is not None and frame.pc < 0x10000
                unnamed += not called_nothing  # a call through a bad pointer
            elif owner == "qemu":
                named += 1
                with_file += frame.file is not None
    if not unnamed or _unnamed_tail_only(context):
        return
    if not named:
        _notice(context, "notice.no-symbols", "No frame of QEMU has a name: roles are inferred from what is left.")
    else:
        _notice(
            context,
            "notice.partial-symbols",
            f"{unnamed} of QEMU's frames {'has' if unnamed == 1 else 'have'} no name (static functions of a stripped "
            "program).",
        )


def _unnamed_tail_only(context: Context) -> bool:
    """Nameless frames at a stack's outer end only: what lies below a coroutine or a thread's start."""
    for subject in context.live_subjects:
        names: List[str] = list(subject.stack.names)
        while names and not names[-1]:
            names.pop()
        if not names:
            return False
        if any(not n and code_of(f).owner == "none" for n, f in zip(names, subject.stack.frames)):
            return False
    return True


def _truncated(context: Context) -> None:
    top = [s for s in context.live_subjects if s.told.thread.truncated_top and len(s.stack)]
    bottom = [s for s in context.live_subjects if s.told.thread.truncated_bottom and not _ends_well(s)]
    if not top and not bottom:
        return
    parts = []
    if top:
        parts.append(f"{_whose(top)} begins at frame #{top[0].stack.level(0)}: the innermost frames are missing")
    if bottom:
        parts.append(f"{_whose(bottom)} ends before the thread's start")
    _notice(context, "notice.truncated", "; ".join(parts) + ". What is missing may be what matters.")


def _ends_well(subject: Subject) -> bool:
    """A coroutine's stack ends in its trampoline, whatever is printed below."""
    return subject.told.role == "coroutine" or subject.stack.find(("coroutine_trampoline",)) is not None


def _whose(subjects: List[Subject]) -> str:
    number = subjects[0].number
    if len(subjects) > 1:
        return (
            f"{len(subjects)} stacks (the first: thread {number})" if number is not None else f"{len(subjects)} stacks"
        )
    return f"Thread {number}" if number is not None else "The stack"


def _corrupt(context: Context) -> None:
    for subject in context.live_subjects:
        reason = subject.told.thread.stop_reason
        if reason and re.search(r"corrupt|inner to this frame|identical to this frame|loop", reason):
            if subject.stack.find(("coroutine_trampoline",)) is not None:
                continue
            who = f"Thread {subject.number}" if subject.number is not None else "The stack"
            _notice(context, "notice.corrupt-stack", f"{who} could not be unwound to its start: {reason}")
