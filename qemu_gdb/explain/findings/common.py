"""What all findings share: how threads and frames are named, evidence, and building a Finding."""

from __future__ import annotations

import re
from typing import Iterable, List, Optional, Sequence, Tuple

from ...knowledge.match import Names
from ...model import Evidence, Finding, Frame
from ...pattern import Pattern
from ...role_words import role_words
from ..context import Context, Subject
from ..stack import Stack

# Frames of libc, glib and the compiler's run-time: never the place that a person is pointed at.
PLUMBING = Names(
    "syscall_traced",  # rr's preload library: src/preload/syscallbuf.c
    "_raw_syscall",
    "traced_raw_syscall",
    "syscall_hook",
    "syscall_hook_internal",
    "_syscall_hook_trampoline*",
    "*_WRK",  # valgrind's wrappers of pthread functions: helgrind/hg_intercepts.c
    "raise",
    "abort",
    "pthread_kill*",
    "kill",
    "tgkill",
    "__raise",  # libc of FreeBSD
    "thr_kill",
    "_thr_kill",
    "__sys_thr_kill",
    "__assert_fail*",
    "__assert",
    "__assert_rtn",
    "__assert2",
    "__assert13",
    "__assert_perror_fail",
    "assert_fail*",
    "_nl_load_domain",
    ".annobin_assert*",
    "__pthread_kill_*",
    "g_assertion_message*",
    "g_assert*",
    "g_log*",
    "g_error",
    "g_logv",
    "_g_log_abort",
    "g_return_if_fail_warning",
    "__libc_message*",
    "libc_message*",
    "malloc_printerr*",
    "_int_free*",
    "_int_malloc",
    "_int_realloc",
    "_int_memalign",
    "_mid_memalign",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "libc_realloc",
    "libc_calloc",
    "libc_memalign",
    "slab_allocator_*",  # glib/gslice.c
    "g_tree_*",
    "kernel_vsyscall",
    "__kernel_vsyscall",
    "free*",
    "malloc",
    "realloc",
    "calloc",
    "libc_free",
    "libc_malloc",
    "cfree",
    "g_free",
    "g_malloc*",
    "g_realloc*",
    "g_slice_*",
    "stack_chk_fail*",
    "__stack_chk_fail*",
    "fortify_fail*",
    "__fortify_fail*",
    "chk_fail*",
    "__chk_fail*",
    "*_chk",
    "<signal handler called>",
    "_lwp_kill",
    "__libc_signal_restore_set",
    "gsignal",
    "__kill",
    "__fprintf_chk",
    "unlink_chunk*",
    "sysmalloc",
    "malloc_consolidate",
    "munmap_chunk",
    "tcache_*",
    "__abort*",
    "_exit",
    "exit",
    "__run_exit_handlers",
    "__cxa_*",
    "std::terminate*",
    "__gnu_cxx::*",
    "__rust_*",
    "rust_*panic*",
    "__rustc::*",
    "core::*",
    "alloc::*",
    "std::panicking::*",
    "std::thread::*",
    "std::sync::*",
    "std::sys::*",
    "std::process::*",
    "__asan_*",
    "__interceptor_*",
    "__sanitizer*",
    "fuzzer::*",
    "__tsan_*",
    "__ubsan_*",
    "__msan_*",
    "msvcrt!*",
    "ucrtbase!*",
    "_assert",
    "_wassert",
    "__memcpy*",
    "__memmove*",
    "__memset*",
    "memcpy",
    "memmove",
    "memset",
    "strlen",
    "strcmp",
    "strcpy",
    "strncpy",
    "memcmp",
    "__str*",
    "__mem*",
    "*_sse2*",
    "*_avx*",
    "__restore_rt",
    "killpg",
    "__dl_*",
    "*__chkstk*",  # Windows' probe of a large stack frame, MinGW's too
    "_dl_*",
    "panic_*",
    "__libc_fatal",
    "vg_*",
    "__longjmp",
    "__longjmp_chk",
    "longjmp",
    "siglongjmp",
    "__vmx__longjmp",
    "swapcontext",
    "__libc_siglongjmp",
    "_longjmp",
    "SwitchToFiber",
    "__sigsetjmp",
    "_setjmp",
    "memchr",
    "vfprintf*",
    "__vfprintf*",
    "vsnprintf*",
    "__vsnprintf*",
    "rust_begin_unwind",
)


def short(subject: Subject) -> str:
    """ "thread 4", or what stands for it where no number is known."""
    number = subject.number
    if number is not None:
        return f"thread {number}"
    if subject.told.thread.coroutine or subject.told.role == "coroutine":
        return "this coroutine"
    lwp = subject.told.thread.lwp
    if lwp is not None:
        return f"the thread with LWP {lwp}"
    return role_words(subject.told.role).the


def who(subject: Subject) -> str:
    """ "Thread 4 (vCPU 1, MTTCG)": a thread as a sentence's subject."""
    told = subject.told
    role = role_words(told.role).brackets
    detail = told.role_detail
    if told.role.startswith("vcpu-") and detail.get("vcpu") is not None and told.role != "vcpu-tcg-rr":
        rest = role.partition(",")[2]
        role = f"vCPU {detail['vcpu']}{',' + rest if rest else ''}"
    elif told.role == "iothread" and detail.get("iothread"):
        role = f"iothread {detail['iothread']}"
    number = told.thread.number
    if number is not None:
        return f"Thread {number} ({role})" if role else f"Thread {number}"
    lwp = told.thread.lwp
    if told.role == "coroutine":
        return "The coroutine shown"
    if lwp is not None:
        return f"The thread with LWP {lwp} ({role})" if role else f"The thread with LWP {lwp}"
    if not role:
        return "The thread shown"
    return capital(role_words(told.role).the)


def the(subject: Subject) -> str:
    """As ``who``, inside a sentence."""
    text = who(subject)
    return text if text.startswith("vCPU") else text[0].lower() + text[1:]


def level(stack: Stack, position: int) -> int:
    return stack.frames[position].level


def at(stack: Stack, position: int) -> str:
    """ "bdrv_flush (frame 2)"; of a C++ function without its parameters."""
    name = stack.names[position] or "??"
    if "::" in name and "operator" not in name:
        name = name.partition("(")[0] or name
    return f"{name} (frame {stack.level(position)})"


def place(frame: Frame) -> str:
    """ "block.c:7147", without the leading build path; "" where unknown."""
    return location(frame.file, frame.line)


def location(file: Optional[str], line: Optional[int]) -> str:
    if not file:
        return ""
    return f"{source(file)}:{line}" if line is not None else source(file)


_ROOTS = (
    "accel",
    "audio",
    "authz",
    "backends",
    "block",
    "bsd-user",
    "chardev",
    "common-user",
    "contrib",
    "crypto",
    "disas",
    "dump",
    "ebpf",
    "fpu",
    "gdbstub",
    "hw",
    "include",
    "io",
    "job",
    "libdecnumber",
    "linux-user",
    "migration",
    "monitor",
    "nbd",
    "net",
    "plugins",
    "qapi",
    "qga",
    "qobject",
    "qom",
    "replay",
    "rust",
    "scsi",
    "semihosting",
    "softmmu",
    "storage-daemon",
    "stubs",
    "system",
    "target",
    "tcg",
    "tests",
    "tools",
    "trace",
    "ui",
    "util",
)
_ROOTED = Pattern(r"(?:^|/)((?:" + "|".join(_ROOTS) + r")/\S*)$")
_TAIL = Pattern(r"(?:^|/)([^/]+)$")


def source(file: str) -> str:
    """A source file as QEMU's tree names it: ``../../src/qemu/hw/ssi/omap_spi.c`` is ``hw/ssi/omap_spi.c``."""
    path = file.replace("\\", "/")
    if path.startswith("../"):
        cut = re.sub(r"^(?:\.\./)+", "", path)
        if cut.split("/", 1)[0] in _ROOTS or "/" not in cut:
            return cut
    best = _rooted(path)
    if best:
        return best
    tail = _TAIL.search(path)
    return tail.group(1) if tail else path


def is_rooted(file: str) -> bool:
    """Whether a source file's path can be one of QEMU's tree (a path without folders can)."""
    path = file.replace("\\", "/")
    return "/" not in path or bool(_rooted(path)) or re.sub(r"^(?:\.\./)+", "", path).split("/", 1)[0] in _ROOTS


def _rooted(path: str) -> str:
    parts = path.split("/")
    marks = [i for i, p in enumerate(parts[:-1]) if p.startswith("qemu") and i + 1 < len(parts)]
    if marks:
        rest = parts[marks[-1] + 1 :]
        if rest and (rest[0] in _ROOTS or len(rest) == 1):
            return "/".join(rest)
    if parts[0] == "rust":  # has a folder for each of the tree's
        return path
    for i, part in enumerate(parts[:-1]):
        if part in _ROOTS and i and parts[0] != "usr":
            return "/".join(parts[i:])
    if parts[0] in _ROOTS and not path.startswith("/"):
        return path
    return ""


def evidence(subject: Subject, position: Optional[int], text: str) -> Evidence:
    frame = subject.stack.frames[position].level if position is not None and subject.stack.frames else None
    return Evidence(text=text, thread=subject.number, frame=frame)


def numbers(subjects: Iterable[Subject]) -> List[int]:
    return list(dict.fromkeys(s.number for s in subjects if s.number is not None))


def joined(items: Sequence[str]) -> str:
    if len(items) <= 1:
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]


def listed(subjects: Sequence[Subject], limit: int = 4) -> str:
    """ "threads 2, 3 and 5", bounded."""
    if not subjects:
        return ""
    if len(subjects) == 1:
        return short(subjects[0])
    named = [str(s.number) for s in subjects if s.number is not None]
    if len(named) < len(subjects):
        return f"{len(subjects)} threads"
    if len(named) > limit:
        return f"threads {', '.join(named[:limit])} and {len(named) - limit} more"
    return "threads " + joined(named)


def capital(text: str) -> str:
    """The text as the beginning of a sentence; a function's name stays as it is."""
    first = text.split(" ", 1)[0]
    return text if "_" in first or "(" in first or "::" in first else text[:1].upper() + text[1:]


MAX_TITLE = 150  # characters: two lines of a terminal


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."


def finding(
    kind: str,
    title: str,
    confidence: str,
    sentences: Sequence[str],
    *,
    subjects: Iterable[Subject] = (),
    proof: Optional[List[Evidence]] = None,
    steps: Sequence[str] = (),
    rule: str = "",
) -> Finding:
    text = " ".join(s.strip() for s in sentences if s and s.strip())
    return Finding(
        kind=kind,
        title=cut(title, MAX_TITLE),
        confidence=confidence,
        explanation=text,
        threads=numbers(subjects),
        evidence=list(proof or []),
        next_steps=[s for s in dict.fromkeys(steps) if s],
        rule=rule,
    )


def qemu_frame(stack: Stack, start: int = 0) -> Optional[int]:
    """Position of the innermost frame from ``start`` that has a name and is no plumbing of libc or glib."""
    for position in range(start, len(stack)):
        name = stack.names[position]
        if name and name not in PLUMBING:
            return position
    return None


def arguments(stack: Stack, position: int, limit: int = 4) -> str:
    """ "value=6468416, len=24": the readable arguments of a frame, bounded."""
    shown = []
    for name, value in stack.frames[position].args.items():
        if "optimized out" in value or value in ("...", "") or "error reading" in value or name == "opaque":
            continue  # nothing that a reader could use: an opaque pointer is whatever the callback's owner gave
        shown.append(f"{name}={cut(value, 60)}")
    return ", ".join(shown[:limit]) + (", ..." if len(shown) > limit else "")


def truncated(context: Context) -> Tuple[bool, bool]:
    """Whether the input lacks inner frames, and outer ones, of some thread."""
    subjects = context.live_subjects
    return any(s.told.thread.truncated_top for s in subjects), any(s.told.thread.truncated_bottom for s in subjects)


def same_file(a: Optional[str], b: Optional[str]) -> bool:
    """Whether two spellings name the same source file, as far as they tell."""
    if not a or not b:
        return False
    return source(a).rsplit("/", 1)[-1] == source(b).rsplit("/", 1)[-1]


def story(context: Context, subject: Subject) -> str:
    """Why the thread is where it is, outside in, as one phrase; "" where nothing is known."""
    from .. import stories

    return stories.trigger_chain(subject, context.facts)


_WRAP = Pattern(r"\s+")


def oneline(text: str) -> str:
    return _WRAP.sub(" ", text).strip()


# "2024-03-01T13:05:11.202113Z qemu-system-x86_64: "
_PROGRAM = Pattern(r"^(?:\S{0,40}\d\d:\d\d\S{0,40}\s+)?[\w./-]{0,80}(?:qemu|kvm)[\w.-]{0,40}: ")
_LINE = 600  # characters of a line that are read


def without_program(line: str) -> str:
    """A message of QEMU's without the time and the program's name in front."""
    return _PROGRAM.sub("", oneline(line[:_LINE]))
