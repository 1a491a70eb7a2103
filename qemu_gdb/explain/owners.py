"""Says of a frame whose code it is: the C library's, another library's, QEMU's, or code that TCG generated."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple, Optional, Sequence, Tuple

from ..knowledge import functions
from ..knowledge.aborts import fatal_path_of, gives_up
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


_QEMU_OBJECT = (
    r"(?i)(?:^|/)(?:lib)?(?:qemu|xemu|utm)[\w.+-]*|/qemu/"
    r"|(?:^|/)(?:accel|audio|block|chardev|hw|ui)-[\w-]+\.so$|(?:^|/)kvm$"
)
_LIBC_OBJECT = r"(?:^|/)(?:libc|libpthread|ld-linux|ld-musl|libsystem_\w+|ntdll|kernel32|kernelbase|libm|libdl|librt)\b"
_LIBC_FILE = (
    r"(?:^|/)(?:sysdeps|nptl|csu|libio|malloc|debug|elf|setjmp|posix|signal|stdlib|string|time|misc|io|bits|glibc[^/]*)/"
    r"|(?:^|/)(?:abort|assert|raise|pthread_\w+|sem_\w+|futex-internal|lowlevellock|clone3?|poll2?|ppoll)\.[chS]$"
    r"|/rr/src/preload/|libsanitizer|vg_replace|hg_intercepts|drd_\w+_intercepts|asan_|tsan_|string3\.h|string_fortified\.h"
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
    if kind == "kernel":
        return Code("library")
    if kind == "signal" or name == "<signal handler called>":
        return Code("signal")
    if kind == "jit" or name == "code_gen_buffer":
        return Code("jit")
    if name.startswith(("core::", "std::", "alloc::", "__rustc::", "<core::", "<std::", "<alloc::")):
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

    A name that several files define is that of its caller's file. A name that no index has is QEMU's, of a fork, a
    later release, or made by a macro, as its neighbours tell.
    """
    found = [code_of(frame) for frame in stack.frames]
    for position in range(len(found) - 1, -1, -1):
        code = found[position]
        if code.owner == "qemu":
            found[position] = _beside(stack, position, code)
        elif code.owner == "unknown" and _between(stack.names, position, found):
            found[position] = Code("qemu", None, True)
    return tuple(found)


def _between(names: Sequence[str], position: int, found: Sequence[Code]) -> bool:
    """Whether a function that no index has is QEMU's: called by QEMU's code, and by one that calls nothing else,
    by one of its own family, or itself calling QEMU's or failing a check. Libraries do that deeper down.
    """
    if position + 1 >= len(names) or found[position + 1].owner != "qemu":
        return False
    name, caller = names[position], names[position + 1]
    if caller in _CALLS_QEMU:
        return True
    family = re.match(r"[a-z][a-z0-9]{2,}_", name)
    if family is not None and caller.startswith(family.group(0)) and family.group(0)[:-1] not in _BOTH:
        return True
    if position == 0 or name in _CALLS_BACK:
        return False
    fails = fatal_path_of(names[position - 1])
    return found[position - 1].owner == "qemu" or (fails is not None and fails.name in ("assert", "g-assert"))


# Functions that call what device models, jobs and the event loop's users registered with them: QEMU's own code.
# util/async.c, util/aio-posix.c, util/qemu-timer.c, system/memory.c, hw/core, qom/object.c, system/runstate.c
_CALLS_QEMU = Names(
    "qio_channel_*_source_dispatch", "aio_bh_call", "aio_bh_poll", "aio_dispatch_handler",
    "timerlist_run_timers", "memory_region_*_accessor", "access_with_adjusted_size", "memory_region_dispatch_*",
    "portio_read", "portio_write", "process_queued_cpu_work",
    "object_init_with_type", "object_deinit", "type_initialize*", "device_set_realized", "pci_qdev_realize",
    "virtio_device_realize", "machine_run_board_init", "vm_state_notify", "notifier_list_notify",
    "coroutine_trampoline", "virtio_queue_notify_vq", "vmstate_load_state", "vmstate_save_state*",
    "qemu_devices_reset", "resettable_phase_*", "job_co_entry", "do_qmp_dispatch_bh", "qemu_set_irq",
)  # fmt: skip
# first words that functions of QEMU's and of libraries share
_BOTH = frozenset("iscsi nfs ssh rbd curl slirp vde xen gluster rdma spice vnc sdl gtk".split())
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
