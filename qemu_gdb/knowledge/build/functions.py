"""Builds the function index: which source file defines a function, in which QEMU release, and whose file that is.

    python3 -m qemu_gdb.knowledge.build.functions SRC... [--old FILE] [--data DIR]

Each SRC is an unpacked QEMU source tree; FILE a list (tab separated, may be xz-compressed) of function, file,
MAINTAINERS section and newest release for pairs that those trees no longer have; without it those of the present
index are kept. Needs Universal Ctags.
"""

from __future__ import annotations

import argparse
import lzma
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from ..indexfile import IndexFile, read_list
from . import indexfile
from .maintainers import CATCH_ALL, Owners

Pair = Tuple[str, str]  # function, file relative to the top of the tree

# Not QEMU's own code, or never part of a QEMU process: firmware, headers of the kernel, guest programs, documentation.
SKIPPED_FOLDERS = (
    "roms/",
    "pc-bios/",
    "linux-headers/",
    "include/standard-headers/",
    "tests/tcg/",
    "tests/lcitool/",
    "tests/fp/berkeley",
    "docs/",
    "debian/",
    "capstone/",
    "dtc/",
    "build/",
    "python/",
    "scripts/",
    "po/",
    "subprojects/packagefiles/",
    "subprojects/berkeley",
    "subprojects/libvfio-user/test/",
    ".pc/",
)
# Names of libc and glib that QEMU's ports, tests and tools define too: a frame of that name is the library's.
LIBRARY_NAMES = frozenset(
    """__close __open accept4 bind canonicalize cfmakeraw close copy_file_range fgetxattr futex_wait g_free g_malloc
    g_malloc0 g_poll g_realloc getpagesize getpwnam_r getpwuid getpwuid_r gettid gmtime_r inet_aton insque listen
    localtime_r memcpy memfd_create memset open openpty printf readv realpath recvmsg remque sendmsg setenv strdup
    strerror writev""".split()
)
CODE = (".c", ".h", ".inc", ".m", ".cc", ".cpp", ".cxx", ".S", ".rs")

# What the preprocessor would do to a definition's name, for ctags.
CTAGS_MACROS = ("HELPER(x)=helper_##x", "glue(x,y)=x##y", "xglue(x,y)=x##y", "CONCAT(x,y)=x##y")
# Specifiers that stand between the type and the name.
CTAGS_IGNORED = (
    "coroutine_fn",
    "coroutine_mixed_fn",
    "no_coroutine_fn",
    "GRAPH_RDLOCK",
    "GRAPH_WRLOCK",
    "GRAPH_UNLOCKED",
    "TSA_NO_TSA",
    "QEMU_NORETURN",
    "G_NORETURN",
    "QEMU_FLATTEN",
    "QEMU_ALWAYS_INLINE",
    "QEMU_ARTIFICIAL",
    "QEMU_WARN_UNUSED_RESULT",
    "IO_CODE+",
    "GLOBAL_STATE_CODE+",
    "GCC_FMT_ATTR+",
    "G_GNUC_PRINTF+",
    "G_GNUC_UNUSED",
    "QEMU_SENTINEL",
    "TSA_ACQUIRE+",
    "TSA_ACQUIRE_SHARED+",
    "TSA_RELEASE+",
    "TSA_RELEASE_SHARED+",
    "TSA_REQUIRES+",
    "TSA_REQUIRES_SHARED+",
    "TSA_EXCLUDES+",
    "TSA_ASSERT+",
    "TSA_ASSERT_SHARED+",
    # Declarations without a semicolon would hide the function that follows them.
    "OBJECT_DECLARE_TYPE+",
    "OBJECT_DECLARE_SIMPLE_TYPE+",
    "OBJECT_DECLARE_CPU_TYPE+",
    "DECLARE_INSTANCE_CHECKER+",
    "DECLARE_OBJ_CHECKERS+",
    "DECLARE_CLASS_CHECKERS+",
    "DEFINE_TYPES+",
    "OBJECT_DEFINE_TYPE+",
    "OBJECT_DEFINE_TYPE_WITH_INTERFACES+",
    "OBJECT_DEFINE_ABSTRACT_TYPE+",
    "OBJECT_DEFINE_SIMPLE_TYPE+",
    "OBJECT_DEFINE_SIMPLE_TYPE_WITH_INTERFACES+",
    "QEMU_DEFINE_STATIC_CO_TLS+",
    "QEMU_DECLARE_CO_TLS+",
    "REG8+",
    "REG32+",
    "REG64+",
    "FIELD+",
    "DECLARE_BITMAP+",
)
# Template files: the macro at the end of a name, and what the includers define it as.
TEMPLATE_SUFFIXES = {
    "memory_ldst.c.inc": ("SUFFIX", ("", "_cached_slow")),  # system/physmem.c, include/exec/memory.h
    "memory_ldst_phys.h.inc": ("SUFFIX", ("", "_cached")),
    "memory_ldst_cached.h.inc": ("SUFFIX", ("", "_cached")),
    "ops_sse.h": ("SUFFIX", ("_mmx", "_xmm", "_ymm")),  # target/i386/tcg/fpu_helper.c
}


def source_files(source: Path) -> List[str]:
    """The code files of a tree, relative to its top, sorted."""
    found: List[str] = []
    for folder, folders, names in os.walk(source):
        top = os.path.relpath(folder, source).replace(os.sep, "/")
        prefix = "" if top == "." else top + "/"
        folders[:] = sorted(
            f for f in folders if not f.startswith(".") and not (prefix + f + "/").startswith(SKIPPED_FOLDERS)
        )
        if prefix and prefix.startswith(SKIPPED_FOLDERS):
            continue
        found.extend(prefix + n for n in names if n.endswith(CODE))
    return sorted(found)


def ctags(source: Path, files: Iterable[str]) -> Set[Pair]:
    """Functions that are defined in the text of C, C++ and Objective-C files.

    :raises FileNotFoundError: Universal Ctags is not installed
    :raises subprocess.CalledProcessError: it failed
    """
    command = ["ctags", "--options=NONE", "--languages=C,C++,ObjectiveC", "--langmap=C:.c.h.inc,ObjectiveC:.m"]
    command += ["--kinds-C=f", "--kinds-C++=f", "--kinds-ObjectiveC=f"]
    for macro in CTAGS_MACROS:
        command += ["-D", macro]
    command += ["-I", ",".join(CTAGS_IGNORED), "--output-format=xref", "--_xformat=%N\t%F", "-L", "-", "-f", "-"]
    names = "\n".join(f for f in files if not f.endswith((".S", ".rs")))
    done = subprocess.run(
        command, input=names, capture_output=True, text=True, errors="replace", cwd=source, check=True
    )
    pairs: Set[Pair] = set()
    for line in done.stdout.splitlines():
        name, _, file = line.partition("\t")
        suffix, values = TEMPLATE_SUFFIXES.get(file.rsplit("/", 1)[-1], ("", ()))
        if suffix and name.endswith(suffix):
            pairs.update((name[: -len(suffix)] + value, file) for value in values)
        elif _is_name(name):
            pairs.add((name, file))
    return pairs


def _is_name(name: str) -> bool:
    """Not a macro's name (all capitals), nor a library's."""
    if not re.match(r"^[A-Za-z_]\w*$", name) or re.match(r"^[A-Z][A-Z0-9_]+$", name):
        return False
    return name not in LIBRARY_NAMES


def coroutine_wrappers(file: str, text: str) -> Iterator[Pair]:
    """Functions that scripts/block-coroutine-wrapper.py writes into block/block-gen.c (since QEMU 5.2).

    A wrapper is declared with `co_wrapper`, `no_co_wrapper` (7.2 on) or `generated_co_wrapper` (before).
    """
    for match in re.finditer(r"\b(generated_|no_)?co_wrapper(\w*)\s+(?:\w+RDLOCK\s+)?\*?([a-z]\w*)\(", text):
        kind, variant, name = match.groups()
        yield name, "block/block-gen.c"
        if kind == "no_":
            yield name.replace("_co_", "_", 1) + "_bh", "block/block-gen.c"
            continue
        head, _, tail = name.partition("_")
        yield f"{head}_co_{tail}_entry", "block/block-gen.c"
        yield f"{name}_entry", "block/block-gen.c"


def qapi_functions(file: str, text: str) -> Iterator[Pair]:
    """The marshalling and event functions that scripts/qapi writes for a schema module."""
    module = file.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    folder = "storage-daemon/qapi/" if file.startswith("storage-daemon/") else "qapi/"
    commands = "qga/qga-qapi-commands.c" if file.startswith("qga/") else f"{folder}qapi-commands-{module}.c"
    for kind, name in re.findall(r"\{\s*'(command|event)'\s*:\s*'([\w-]+)'", text):
        c_name = name.replace("-", "_")
        if kind == "command":
            yield f"qmp_marshal_{c_name}", commands
        else:
            yield f"qapi_event_send_{c_name.lower()}", f"{folder}qapi-events-{module}.c"


def object_casts(file: str, text: str) -> Iterator[Pair]:
    """The inline cast functions that QOM's declaration macros make (include/qom/object.h, since QEMU 5.2)."""
    macro = (
        r"\b(OBJECT_DECLARE_TYPE|OBJECT_DECLARE_SIMPLE_TYPE|DECLARE_INSTANCE_CHECKER|DECLARE_OBJ_CHECKERS"
        r"|DECLARE_CLASS_CHECKERS)\s*\(([^)]*)\)"
    )
    for match in re.finditer(macro, text):
        kind, words = match.group(1), [w.strip() for w in match.group(2).split(",")]
        position = {"OBJECT_DECLARE_TYPE": 2, "DECLARE_OBJ_CHECKERS": 2}.get(kind, 1)
        if len(words) <= position or not re.match(r"^[A-Z]\w+$", words[position]):
            continue
        name = words[position]
        if kind != "DECLARE_CLASS_CHECKERS":
            yield name, file
        if kind in ("OBJECT_DECLARE_TYPE", "DECLARE_OBJ_CHECKERS", "DECLARE_CLASS_CHECKERS"):
            yield f"{name}_GET_CLASS", file
            yield f"{name}_CLASS", file


def linux_user_syscalls(file: str, text: str) -> Iterator[Pair]:
    """The `safe_NAME` wrappers that linux-user and bsd-user declare by macro."""
    for name in re.findall(r"^safe_syscall[0-6]\([^,]*,\s*(\w+)", text, re.M):
        yield f"safe_{name}", file


def decoders(file: str, text: str) -> Iterator[Pair]:
    """Functions that scripts/decodetree.py writes; meson.build names them."""
    folder = file.rpartition("/")[0]
    for source, arguments in re.findall(r"decodetree\.process\('([\w.-]+)\.decode'([^)]*)", text):
        for name in re.findall(r"--(?:static-)?decode[=',\s]+(\w+)", arguments) or [f"decode_{source}"]:
            yield name, f"{folder}/decode-{source}.c.inc"


GENERATED: Sequence[Tuple[Callable[[str], bool], Callable[[str, str], Iterator[Pair]]]] = (
    (lambda f: f.startswith(("include/", "block/")) and f.endswith(".h"), coroutine_wrappers),
    (lambda f: f.endswith(".json") and "qapi" in f and not f.startswith("tests/"), qapi_functions),
    (lambda f: f.endswith((".h", ".c")) and not f.startswith("tests/"), object_casts),
    (lambda f: f.startswith(("linux-user/", "bsd-user/")), linux_user_syscalls),
    (lambda f: f.endswith("meson.build"), decoders),
)
# Owners of generated files: the file whose section they take.
GENERATED_OWNERS: Sequence[Tuple[str, str]] = (
    (r"^block/block-gen\.c$", "block.c"),
    (r"^qapi/qapi-(?:commands|events)-([\w-]+)\.c$", r"qapi/\1.json"),
    (r"^storage-daemon/qapi/qapi-(?:commands|events)-[\w-]+\.c$", "storage-daemon/qemu-storage-daemon.c"),
    (r"^qga/qga-qapi-commands\.c$", "qga/commands.c"),
    (r"^(.*)/decode-([\w-]+)\.c\.inc$", r"\1/\2.decode"),
)


def functions_of(source: Path) -> Tuple[Set[Pair], Dict[str, Optional[str]]]:
    """The (function, file) pairs of one tree, and the section of each file."""
    files = source_files(source)
    pairs = ctags(source, files)
    patterns = ("qapi/*.json", "qga/*.json", "storage-daemon/qapi/*.json", "target/**/meson.build")
    extra = [found.relative_to(source).as_posix() for pattern in patterns for found in source.glob(pattern)]
    for file in [*files, *sorted(extra)]:
        makers = [make for wanted, make in GENERATED if wanted(file)]
        if makers:
            text = (source / file).read_text(encoding="utf-8", errors="replace")
            for make in makers:
                pairs.update(make(file, text))
    owners = Owners.of_source(source)
    sections: Dict[str, Optional[str]] = {}
    for file in {*files, *(f for _, f in pairs)}:
        owner = file
        for pattern, replacement in GENERATED_OWNERS:
            if re.match(pattern, file):
                owner = re.sub(pattern, replacement, file)
        sections[file] = owners.section(owner)
    return pairs, sections


def read_old(path: Path) -> List[Tuple[str, str, str, str]]:
    """Rows (function, file, section, newest release) of the list of functions that are gone."""
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as stream:
        rows = [line.rstrip("\n").split("\t") for line in stream]
    good = [r for r in rows if len(r) == 4 and _is_name(r[0])]
    return [(r[0], r[1], "" if r[2] in CATCH_ALL else r[2], r[3]) for r in good]


def read_index(data: Path) -> List[Tuple[str, str, str, str]]:
    """The same of the index that lies in a folder already; empty where there is none.

    :raises ValueError: it is damaged, or of another version
    """
    if not (data / "functions_old.idx").is_file():
        return []
    index = IndexFile(data / "functions_old.idx")
    names, lines = read_list(data / "files.idx")
    files = [line.partition("\t") for line in lines]
    rows = []
    for row in index.rows():
        function, *places = row.split(" ")
        for place in places:
            number, _, mask = place.partition(".")
            path, _, section = files[int(number, 36)]
            release = index.header[(int(mask, 16) if mask else 1).bit_length() - 1]
            rows.append((function, path, names[int(section)] if section else "", release))
    return rows


def release_key(release: str) -> Tuple[int, ...]:
    """A release such as "5.2" or "10.0.13" as numbers, to sort by."""
    return tuple(int(n) for n in re.findall(r"\d+", release))


def fill_sections(sections: Dict[str, Optional[str]], pairs: Iterable[Pair], gone: Set[str]) -> None:
    """Give a file that is gone, and had no owner, the section that most of its functions have elsewhere.

    QEMU's early releases name no owner for most files; their functions mostly live on in files that have one.
    """
    homes: Dict[str, Set[Optional[str]]] = defaultdict(set)
    contents: Dict[str, Set[str]] = defaultdict(set)
    for function, file in pairs:
        if file in gone and not sections.get(file):
            contents[file].add(function)
        else:
            homes[function].add(sections.get(file))
    for file, functions in contents.items():
        votes = Counter(next(iter(homes[f])) for f in functions if len(homes[f]) == 1)
        if votes and votes.most_common(1)[0][1] * 3 >= sum(votes.values()) * 2:
            sections[file] = votes.most_common(1)[0][0]


def build(sources: Sequence[Path], old: Optional[Path], data: Path) -> None:
    """Write the index into a folder: files.idx (file to section) and functions*.idx (function to files and releases).

    What neither of the two newest trees has goes to functions_old.idx; of the rest what lies under target/ goes to
    functions_target.idx.
    """
    releases: List[str] = []
    where: Dict[Pair, int] = defaultdict(int)
    sections: Dict[str, Optional[str]] = {}
    for source in sorted(sources, key=lambda s: release_key((s / "VERSION").read_text())):
        version = (source / "VERSION").read_text().strip()
        release = ".".join(version.split(".")[:2])
        pairs, owned = functions_of(source)
        for pair in pairs:
            where[pair] |= 1 << len(releases)
        sections.update({f: s for f, s in owned.items() if s or not sections.get(f)})
        releases.append(release)
        print(f"{release}: {len(pairs)} functions in {len(owned)} files")
    gone: Dict[Pair, str] = {}
    for function, file, section, release in read_old(old) if old is not None else read_index(data):
        if (function, file) not in where:
            gone[(function, file)] = release
            if not sections.get(file):
                sections[file] = section or None
    fill_sections(sections, [*where, *gone], {f for _, f in gone} - {f for _, f in where})

    files = sorted(sections)
    number = {file: indexfile.base36(n) for n, file in enumerate(files)}
    names = sorted({s for s in sections.values() if s})
    section_number = {name: str(n) for n, name in enumerate(names)}
    size = indexfile.write_list(
        data / "files.idx", names, [f"{f}\t{section_number.get(sections[f] or '', '')}" for f in files]
    )
    print(f"files.idx: {len(files)} files, {len(names)} sections, {size} bytes")
    newest = 3 << max(0, len(releases) - 2)
    for pair in [p for p, mask in where.items() if not mask & newest]:
        gone[pair] = releases[where.pop(pair).bit_length() - 1]
    old_releases = sorted(set(gone.values()), key=release_key)
    masks = {pair: 1 << old_releases.index(release) for pair, release in gone.items()}
    for name, heads, part in (
        ("functions.idx", releases, {p: m for p, m in where.items() if not p[1].startswith("target/")}),
        ("functions_target.idx", releases, {p: m for p, m in where.items() if p[1].startswith("target/")}),
        ("functions_old.idx", old_releases, masks),
    ):
        every = (1 << len(heads)) - 1
        rows: Dict[str, List[str]] = defaultdict(list)
        for (function, file), mask in sorted(part.items()):
            rows[function].append(number[file] + ("" if mask == every else f".{mask:x}"))
        size = indexfile.write(data / name, heads, ((f, " ".join(v)) for f, v in rows.items()))
        print(f"{name}: {len(rows)} functions, {size} bytes")


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python3 -m qemu_gdb.knowledge.build.functions", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("sources", metavar="SRC", nargs="+", type=Path, help="an unpacked QEMU source tree")
    parser.add_argument("--old", type=Path, help="list of functions that only older releases have")
    parser.add_argument("--data", type=Path, default=Path(__file__).parent.parent / "data", help="folder to write to")
    given = parser.parse_args(arguments)
    for source in given.sources:
        for needed in ("VERSION", "MAINTAINERS"):
            if not (source / needed).is_file():
                print(f"{source}: no QEMU source tree ({needed} is missing)", file=sys.stderr)
                return 2
    try:
        build(given.sources, given.old, given.data)
    except FileNotFoundError as error:
        print(f"{error.filename}: not found; install Universal Ctags (Debian: universal-ctags)", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
