"""Which part of QEMU a function or source file belongs to, by a generated index; for `explain`."""

from __future__ import annotations

import functools
import os
import re
import zlib
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..model import canonical_name
from ..pattern import Pattern
from .indexfile import DATA, MAGIC, IndexFile, read_bytes
from .subsystems import subsystem_of

__all__ = ["FunctionInfo", "is_qemu_function", "lookup", "newer_than", "section_of_file", "subsystem"]


class FunctionInfo(NamedTuple):
    """One place that defines a function."""

    name: str
    file: str  # relative to QEMU's top folder
    section: Optional[str]  # of MAINTAINERS; None where it has no owner
    versions: Tuple[str, ...]  # releases seen to have it, oldest first; of functions that are gone only the newest


class _Files:
    """The file table: path to section, one sorted text that is searched in place."""

    def __init__(self) -> None:
        try:
            text = zlib.decompress(
                read_bytes(os.path.join(DATA, "files.idx"))[len(MAGIC) :]
            )  # as read_list, but not split: faster
        except (OSError, zlib.error):  # no index, or a damaged one: no file is known
            text = b"0\n"
        count, _, rest = text.partition(b"\n")
        lines = rest.split(b"\n", int(count))
        self._sections = [line.decode() for line in lines[:-1]]
        self._text = b"\n" + lines[-1]
        self._rows: List[bytes] = []

    def find(self, path: str) -> Optional[Tuple[str, Optional[str]]]:
        """The path and its section, None when there is no such file."""
        needle = b"\n" + path.encode(errors="replace") + b"\t"
        at = self._text.find(needle)
        if at < 0:
            return None
        return path, self._section(self._text[at + len(needle) : self._text.index(b"\n", at + 1)])

    def named(self, name: str) -> List[Tuple[str, Optional[str]]]:
        """Every file of that base name."""
        needle = b"/" + name.encode(errors="replace") + b"\t"
        found, at = [], self._text.find(needle)
        while at >= 0:
            start, end = self._text.rindex(b"\n", 0, at) + 1, self._text.index(b"\n", at)
            path, _, section = self._text[start:end].partition(b"\t")
            found.append((path.decode(), self._section(section)))
            at = self._text.find(needle, end)
        return found

    def number(self, number: int) -> Tuple[str, Optional[str]]:
        """The file that function records call by this number."""
        if not self._rows:
            self._rows = self._text.strip(b"\n").split(b"\n")
        path, _, section = self._rows[number].partition(b"\t")
        return path.decode(), self._section(section)

    def _section(self, number: bytes) -> Optional[str]:
        return self._sections[int(number)] if number else None


@functools.cache
def _files() -> _Files:
    return _Files()


@functools.cache
def _indexes() -> Tuple[IndexFile, ...]:
    names = ("functions.idx", "functions_target.idx", "functions_old.idx")
    return tuple(IndexFile(os.path.join(DATA, name)) for name in names)


# Functions that macros and generators make, or that lived between the releases of the index: pattern of the whole name,
# and the file that stands for them. A replacement that begins with "=" is another function, to look up instead.
IMPLIED: Tuple[Tuple[str, str], ...] = (
    (r"(?:_nocheck__)?trace_.+", "trace/control.c"),  # scripts/tracetool
    (r"qmp_marshal_.+", "qapi/qapi-util.c"),  # scripts/qapi/commands.py
    (r"qapi_event_send_.+", "qapi/qapi-util.c"),  # scripts/qapi/events.py
    (r"qapi_free_.+", "qapi/qapi-util.c"),  # scripts/qapi/types.py
    (r"visit_type_.+", "qapi/qapi-util.c"),  # scripts/qapi/visit.py
    (r"gen_(helper_.+)", r"=\1"),  # include/exec/helper-gen.h.inc: the emitter of a call to helper_X
    (r"(?:do_qemu_init_)+(.+)", r"=\1"),  # include/qemu/module.h: constructor of a type_init(X)
    (r"glib_autoptr_cleanup_.+", "include/qemu/lockable.h"),  # G_DEFINE_AUTOPTR_CLEANUP_FUNC
    (r"safe_syscall_(?:base|start|end)", "linux-user/signal.c"),  # common-user/host/*/safe-syscall.inc.S
    # accel/tcg/atomic_template.h, include/exec/cpu_ldst_template.h, softmmu_template.h
    (r"(?:helper|cpu)_atomic_.+", "accel/tcg/cputlb.c"),
    (r"cpu_(?:ld|st)[a-z]+_(?:.+_)?(?:ra|data|code|kernel|super|user)", "accel/tcg/cputlb.c"),
    (r"io_(?:read|write)[bwlq]", "accel/tcg/cputlb.c"),
    (r"cpu_[a-z0-9]+_exec", "accel/tcg/cpu-exec.c"),  # "#define cpu_exec cpu_x86_exec" in target headers up to 2.5
    (r"cpu_[a-z0-9]+_signal_handler", "accel/tcg/user-exec.c"),
    (r"helper_.+", "accel/tcg/tcg-runtime.c"),  # include/exec/helper-proto.h.inc
    (r"address_space_(?:ld|st)\w+_cached(?:_slow)?", "system/memory_ldst.c.inc"),
    (r"(?:ld|st)[a-z]+_(?:[lb]e_)?pci_dma", "hw/pci/pci.c"),  # include/hw/pci/pci_device.h: PCI_DMA_DEFINE_LDST
    (r"(?:ld|st)[a-z]+_(?:[lb]e_)?dma", "include/system/dma.h"),  # DEFINE_LDST_DMA
    (r"gen_.+|trans_.+", "accel/tcg/translator.c"),  # by macros in target/*/translate
    (r"tcg_gen_.+", "tcg/tcg-op.c"),
    (r"(?:parts(?:64|128)|b?float(?:x80|\d+)|u?int\d+_to_b?float\d+)_.+", "fpu/softfloat.c"),  # softfloat-parts.c.inc
    (r"cirrus_(?:bitblt|colorexpand|patternfill|fill)_.+", "hw/display/cirrus_vga.c"),  # cirrus_vga_rop*.h
    # audio/audio_template.h
    (r"AUD_.+|audio_pcm_.+|audio_get_pd\w+|(?:clip|conv)_.+_(?:to|from)_(?:mono|stereo)", "audio/audio.c"),
    (r"(?:zrle|zywrle|tight|send_hextile|hextile|draw_hextile)_.+", "ui/vnc.c"),  # vnc-enc-*-template.c
    (r"qsp_.+", "util/qsp.c"),
    (r"pc_(?:init|machine|i440fx|q35|compat)_.+", "hw/i386/pc.c"),  # DEFINE_PC_MACHINE
    (r"hyperv_.+", "hw/hyperv/hyperv.c"),
    (r"QEMU_AES_.+", "crypto/aes.c"),  # include/crypto/aes.h renames AES_*
    (r"qemu_main|SDL_main", "system/main.c"),  # main() under another name, for Cocoa, SDL and fuzzing
    (r"kvm_main_loop(?:_cpu)?|ap_main_loop|kvm_run", "accel/kvm/kvm-all.c"),  # qemu-kvm 0.1x
    (r"job_defer_to_main_loop_bh", "job.c"),  # 2.12
    (r"bdrv_run_co", "block/io.c"),  # 5.1
    (r"vhost_user_read_cb", "hw/virtio/vhost-user.c"),  # 6.1
)
# Files made by generators: pattern, and the file whose section they take.
GENERATED_FILES: Tuple[Tuple[str, str], ...] = (
    (r"(?:^|/)(?:qapi/)?qapi-(?:commands|events|types|visit|introspect|init)[\w-]*\.[ch]$", "qapi/qapi-util.c"),
    (r"(?:^|/)qmp-(?:marshal|commands)\.[ch]$", "monitor/qmp.c"),
    (r"(?:^|/)trace/(?:generated-tracers|trace-[\w-]+)\.[ch]$", "trace/control.c"),
    (r"(?:^|/)(?:trace-dtrace|trace-ust)[\w-]*\.[ch]$", "trace/control.c"),
    (r"(?:^|/)decode-[\w-]+\.c\.inc$", "accel/tcg/translator.c"),
)
# Folders of other projects whose files carry names that QEMU's have too.
_FOREIGN = Pattern(
    r"(?:^|/)(?:glibc|nptl|sysdeps|glib(?:-[\d.]+)?|gobject|gio|openssl[\w.-]*|gnutls[\w.-]*|musl|mesa[\w.-]*)/"
)


@functools.lru_cache(maxsize=4096)
def _resolve(path: str) -> Optional[Tuple[str, Optional[str]]]:
    """The file of QEMU that a debugger's path means, and its section."""
    clean = path.replace("\\", "/").strip()
    if not clean or _FOREIGN.search(clean) or clean.startswith("/usr/include/"):
        return None
    parts = [p for p in clean.split("/") if p not in ("", ".", "..")][-12:]
    relative = not clean.startswith("/") and ":" not in clean
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        if start == len(parts) - 1 and start and relative and not _is_top(parts[start - 1]):
            break  # sysdeps/unix/poll.c is not QEMU's poll.c
        found = _files().find(tail)
        if found:
            return found
    for pattern, owner in GENERATED_FILES:
        if re.search(pattern, clean):
            return _files().find(owner)
    if len(parts) == 1:
        owners = [row for row in _files().named(parts[0]) if not _is_minor(row[0])]
        if owners and len({section for _, section in owners}) == 1:
            return owners[0]
    return None


def _is_top(folder: str) -> bool:
    return "qemu" in folder.lower() or folder in ("src", "build")


def section_of_file(path: str) -> Optional[str]:
    """The MAINTAINERS section of a source file, in the spelling of a frame ("../block/io.c", "C:\\\\qemu\\\\block.c").

    None for files that aren't QEMU's or that have no owner. Of releases the newest that has the file decides.
    """
    found = _resolve(path)
    return found[1] if found else None


def _name(function: Optional[str]) -> str:
    name = canonical_name(function)
    return name.rsplit("!", 1)[-1] if "!" in name else name


@functools.lru_cache(maxsize=16384)
def _defined(name: str) -> Tuple[FunctionInfo, ...]:
    try:
        return _places(name)
    except (OSError, ValueError, IndexError):  # no index, or a damaged one: nothing is known
        return ()


def _places(name: str) -> Tuple[FunctionInfo, ...]:
    found: List[FunctionInfo] = []
    for index in _indexes():
        value = index.get(name)
        for place in value.split(" ") if value else ():
            number, _, mask = place.partition(".")
            file, section = _files().number(int(number, 36))
            bits = int(mask, 16) if mask else -1
            versions = tuple(release for n, release in enumerate(index.header) if bits >> n & 1)
            found.append(FunctionInfo(name, file, section, versions))
    return tuple(found)


def lookup(function: str) -> Tuple[FunctionInfo, ...]:
    """Every place in QEMU 1.0 to 10.2 that defines a function; empty when none does.

    Debuggers' suffixes (``.part.0``, ``[cold]``) are ignored. Functions that QEMU's generators make, and that no source
    file holds, are given with the file that stands for them and no versions.
    """
    name = _name(function)
    return _defined(name) or (_implied(name) if name else ())


@functools.lru_cache(maxsize=16384)
def _implied(name: str) -> Tuple[FunctionInfo, ...]:
    """What stands for a function that no source file holds."""
    for pattern, file in IMPLIED:
        match = re.fullmatch(pattern, name)
        if match and file.startswith("="):
            return lookup(match.expand(file[1:]))
        if match:
            owner = _files().find(file) or (file, None)
            return (FunctionInfo(name, owner[0], owner[1], ()),)
    if "::" in name:
        crate = name.lstrip("<").partition("::")[0].replace("_", "-")
        for file, section in _files().named("lib.rs"):
            if file.startswith("rust/") and file.endswith(f"/{crate}/src/lib.rs"):
                return (FunctionInfo(name, file, section, ()),)
    return ()


def newer_than(function: str, file: Optional[str] = None) -> Tuple[Optional[str], bool]:
    """The newest release of the index that had no such function yet, None where each had it or nobody knows.

    With it, whether the frame's file agrees: of a name alone another program can have its own.
    """
    places = [p for p in lookup(function) if p.versions]
    if not places:
        return None, False
    path = "/" + (file or "").replace("\\", "/")
    own = [p for p in places if "/" in p.file and path.endswith("/" + p.file)]
    releases = _indexes()[0].header
    firsts = []
    for place in own or places:
        if place.versions[-1] not in releases[-2:]:  # it is gone: the index does not tell since when it was there
            return None, False
        firsts.append(releases.index(place.versions[0]))
    first = min(firsts)
    return (releases[first - 1] if first else None), bool(own)


def is_qemu_function(name: str) -> bool:
    """Whether QEMU itself (not only its tests) defines a function of this name. "main" is one of them."""
    return any(not _is_minor(info.file) for info in lookup(name))


def _is_minor(file: str) -> bool:
    """Tests and stubs: they define functions under the names of the real ones."""
    return file.startswith(("tests/", "stubs/", "accel/stubs/")) or file.endswith(
        ("-stub.c", "-stubs.c", "_stub.c", "/stubs.c")
    )


@functools.lru_cache(maxsize=16384)
def subsystem(function: Optional[str], file: Optional[str] = None) -> Optional[str]:
    """The subsystem of a frame: by its file where that is known, else by its function.

    None when it isn't QEMU's, or when files of unrelated subsystems define a function of that name.
    """
    resolved = _resolve(file) if file else None
    places = lookup(function) if function else ()
    if resolved:
        # A frame can carry the header of a function that was inlined into it: then the function decides.
        inlined = resolved[0].endswith(".h") and places and all(p.file != resolved[0] for p in places)
        known = (_agreed(places, None) if inlined else None) or subsystem_of(*resolved)
        if known:
            return known
    if file and not resolved and _FOREIGN.search(file.replace("\\", "/")):
        return None
    return _agreed(places, file)


@functools.lru_cache(maxsize=16384)
def subsystem_beside(function: str, neighbour: str) -> Optional[str]:
    """The subsystem of a function that several files define, by its caller or callee in one of these files.

    A static function is called from its own file alone. None where no release has it in files of several subsystems
    (a function that has moved is one), or where the neighbour is in none of them.
    """
    places = lookup(function)
    sections: Dict[str, Set[Optional[str]]] = {}
    for place in places:
        for release in place.versions:
            sections.setdefault(release, set()).add(place.section)
    if all(len(owners) < 2 for owners in sections.values()):
        return None
    files = {place.file for place in lookup(neighbour)}
    return _agreed([place for place in places if place.file in files], None)


def _agreed(places: Sequence[FunctionInfo], file: Optional[str]) -> Optional[str]:
    if file:
        base = file.replace("\\", "/").rsplit("/", 1)[-1]
        places = [p for p in places if p.file.rsplit("/", 1)[-1] == base] or places
    # What is left out where something is left without it: each time a name that the real one lends to others.
    for aside in (
        _is_minor,
        lambda path: path.startswith(("contrib/", "subprojects/", "tools/")),  # other programs
        lambda path: path.endswith(".h"),  # what a feature's functions are where it is not built
        lambda path: path.startswith(("linux-user/", "bsd-user/", "darwin-user/", "accel/tcg/user-exec")),
    ):
        places = [p for p in places if not aside(p.file)] or places
    newest = max((_release_key(p.versions[-1]) for p in places if p.versions), default=())
    for chosen in (places, [p for p in places if not p.versions or _release_key(p.versions[-1]) == newest]):
        agreed = _one_of(name for name in (subsystem_of(p.file, p.section) for p in chosen) if name)
        if agreed:
            return agreed
    return None


# Subsystems of one kind, and what they are called together.
_FAMILIES = (("KVM", "KVM"), ("TCG", "TCG CPUs"), ("HVF", "HVF"), ("Xen", "Xen"), (" user", "User mode"))


def _one_of(names: Iterable[str]) -> Optional[str]:
    counts: Dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    if not counts:
        return None
    best = max(counts, key=lambda name: counts[name])
    total = sum(counts.values())
    if len(counts) == 1 or (counts[best] >= 3 and counts[best] * 3 >= total * 2):
        return best
    for mark, family in _FAMILIES:
        if sum(count for name, count in counts.items() if mark in name) * 3 >= total * 2:
            return family
    return None


def _release_key(release: str) -> Tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", release))
