"""Says of a frame whose code it is: the C library's, another library's, QEMU's, or code that TCG generated."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple, Optional, Tuple

from ..knowledge import functions
from ..knowledge.aborts import gives_up
from ..knowledge.match import Names
from ..knowledge.roles import STARTERS
from ..knowledge.subsystems import subsystem_of
from ..knowledge.waits import kind_of_wait
from ..model import Frame
from .stack import Stack, once_a_stack


class Code(NamedTuple):
    """Whose code a frame runs."""

    owner: str  # qemu, libc, library, jit, signal, unknown (a name nobody knows), none (no name)
    subsystem: Optional[str] = None
    in_qemu: bool = False  # the frame lies in QEMU's own program or module, whatever its name


_QEMU_OBJECT = r"(?i)(?:^|/)(?:lib)?(?:qemu|xemu|utm)[\w.+-]*|/qemu/|(?:^|/)accel-[\w-]+\.so|(?:^|/)kvm$"
_LIBC_OBJECT = r"(?:^|/)(?:libc|libpthread|ld-linux|ld-musl|libsystem_\w+|ntdll|kernel32|kernelbase|libm|libdl|librt)\b"
_LIBC_FILE = (
    r"(?:^|/)(?:sysdeps|nptl|csu|libio|malloc|debug|elf|setjmp|posix|signal|stdlib|string|time|misc|io|bits|glibc[^/]*)/"
    r"|(?:^|/)(?:abort|assert|raise|pthread_\w+|sem_\w+|futex-internal|lowlevellock|clone3?|poll2?|ppoll)\.[chS]$"
    r"|libsanitizer|vg_replace|hg_intercepts|drd_\w+_intercepts|asan_|tsan_|string3\.h|string_fortified\.h"
)
_QEMU_TREE = (
    r"(?:\.\./)*(?:\S*/[\w.+~-]*qemu[\w.+~-]*/|\S*/xemu/)?(?:\.\./)*(?P<path>(?:accel|audio|backends|block|chardev|crypto|disas|dump"
    r"|ebpf|fpu|fsdev|gdbstub|hw|io|linux-user|bsd-user|migration|monitor|nbd|net|qapi|qga|qobject|qom|replay|rust|scsi"
    r"|semihosting|softmmu|system|target|tcg|trace|ui|util)/[\w./+-]+\.(?:c|h|m|rs|inc))$"
)
_LIBRARY_FILE = (
    r"(?:^|/)(?:glib|gio|gobject|mesa|SDL|spice|gnutls|libglvnd)[^/]*/|(?:^|/)(?:gmain|gthread\w*|gtimer)\.c$"
)
_LIBRARY_NAME = (
    r"g_[a-z]|_g_|gl[A-Z]|egl[A-Z]|gtk_|gdk_|SDL_|_mesa_|glfs_|gnutls_|_gnutls_|gcry_|_gcry|rados_|rbd_|libusb_"
    r"|spice_|red_|pa_|ibv_|snd_"
)


@functools.lru_cache(maxsize=32768)
def _code(name: str, file: Optional[str], library: Optional[str], kind: str) -> Code:
    if kind == "signal" or name == "<signal handler called>":
        return Code("signal")
    if kind == "jit" or name == "code_gen_buffer":
        return Code("jit")
    if name.startswith(("core::", "std::", "alloc::", "<core::", "<std::", "<alloc::")):
        return Code("library")  # of Rust, though QEMU has a crate hwcore under rust/hw/core
    if name.startswith("pixman_"):
        return Code("library")  # include/ui/pixman-minimal.h has a few of them for builds without it
    in_qemu = bool(library and re.search(_QEMU_OBJECT, library))
    if not name:
        if library and not in_qemu:
            return Code("libc" if re.search(_LIBC_OBJECT, library) else "library")
        return Code("none", None, in_qemu)
    if library and not in_qemu:
        return Code("libc" if re.search(_LIBC_OBJECT, library) else "library")
    if file:
        owner = functions.subsystem(name, file)
        if owner and not re.search(_LIBC_FILE, file):
            return Code("qemu", owner, True)
        if owner and functions.is_qemu_function(name):
            return Code("qemu", owner, True)
        if re.search(_LIBC_FILE, file):
            return Code("libc")
        if re.search(_LIBRARY_FILE, file) or file.endswith((".cc", ".cpp", ".cxx", ".hpp")):
            return Code("library")
        if functions.section_of_file(file) is not None:
            return Code("qemu", owner, True)
        inside = re.match(_QEMU_TREE, file)
        if inside:  # a file that QEMU's releases don't have: a fork's, or a newer one
            return Code("qemu", subsystem_of(inside.group("path"), None), True)
    if kind_of_wait(name) and not name.startswith(("qemu_", "aio_", "fdmon_", "kvm_", "qsp_", "safe_")):
        return Code("libc", None, in_qemu)
    if name in STARTERS or gives_up(name):
        if functions.is_qemu_function(name) and (name not in STARTERS or name.startswith("qemu")):
            return Code("qemu", functions.subsystem(name, file), True)
        return Code("library") if library_name(name) else Code("libc", None, in_qemu)
    if functions.is_qemu_function(name):
        return Code("qemu", functions.subsystem(name, file), True)
    if functions.lookup(name):
        return Code("qemu", functions.subsystem(name, file) or "Tests", True)
    if in_qemu:
        return Code("qemu", None, True)
    if "::" in name or re.match(_LIBRARY_NAME, name):
        return Code("library")
    if name.startswith(("_", "mem", "str")):
        return Code("libc")
    return Code("unknown" if not file else "library")


def code_of(frame: Frame) -> Code:
    """Whose code a frame runs, and which part of QEMU where it is QEMU's."""
    return _code(frame.name, frame.file, frame.library, frame.kind)


@once_a_stack
def codes(stack: Stack) -> Tuple[Code, ...]:
    """``code_of`` every frame, corrected by the frames beside it.

    A name that several files define is that of its caller's file. A name that no index has, called by QEMU's code and
    calling QEMU's, is QEMU's: of a fork, a later release, or made by a macro. Libraries call back from deeper down.
    """
    alone = [code_of(frame) for frame in stack.frames]
    found = list(alone)
    for position, code in enumerate(alone):
        if code.owner == "qemu":
            found[position] = _beside(stack, position, code)
        elif code.owner == "unknown" and stack.names[position] not in _CALLS_BACK:
            beside = alone[max(position - 1, 0) : position + 2 : 2]
            if len(beside) == 2 and beside[0].owner == beside[1].owner == "qemu":
                found[position] = Code("qemu", None, True)
    return tuple(found)


# libc's functions that call their caller's own from their only frame
_CALLS_BACK = Names("qsort*", "msort*", "bsearch", "lfind", "lsearch", "twalk*", "nftw*", "ftw*", "glob*", "scandir*",
                    "dl_iterate_phdr", "pthread_once", "call_once", "on_exit", "atexit")  # fmt: skip


def _beside(stack: Stack, position: int, code: Code) -> Code:
    if stack.frames[position].file:
        return code
    names = stack.names
    for neighbour in (position + 1, position - 1):
        if 0 <= neighbour < len(names) and names[neighbour] and names[neighbour] != names[position]:
            subsystem = functions.subsystem_beside(names[position], names[neighbour])
            if subsystem:
                return code._replace(subsystem=subsystem)
    return code


def library_name(name: str) -> bool:
    """Whether a function's name carries the prefix of a library that QEMU is built on."""
    return "::" in name or re.match(_LIBRARY_NAME, name) is not None
