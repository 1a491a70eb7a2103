"""What the function index says of QEMU's functions and files."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from qemu_gdb.knowledge import functions, indexfile
from qemu_gdb.knowledge.build.functions import coroutine_wrappers, decoders, object_casts, qapi_functions
from qemu_gdb.knowledge.build.maintainers import Owners, parse
from qemu_gdb.knowledge.functions import is_qemu_function, lookup, section_of_file, subsystem

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"


def files_of(function):
    return {info.file for info in lookup(function)}


@pytest.mark.parametrize(
    "function, file",
    [
        ("virtio_blk_handle_vq", "hw/block/virtio-blk.c"),
        ("aio_poll", "util/aio-posix.c"),
        ("kvm_vcpu_thread_fn", "accel/kvm/kvm-accel-ops.c"),  # static
        ("helper_syscall", "target/i386/tcg/system/seg_helper.c"),  # HELPER(syscall) in some targets
        ("bdrv_co_flush", "block/io.c"),  # between coroutine_fn and a lock annotation
        ("address_space_stl_internal", "system/memory_ldst.c.inc"),  # glue(address_space_stl_internal, SUFFIX)
        ("address_space_ldl_le_cached_slow", "system/memory_ldst.c.inc"),
        ("bdrv_co_flush_entry", "block/block-gen.c"),  # written by scripts/block-coroutine-wrapper.py
        ("qmp_marshal_query_block", "qapi/qapi-commands-block-core.c"),  # written by scripts/qapi
        ("VIRTIO_BLK", "include/hw/virtio/virtio-blk.h"),  # DECLARE_INSTANCE_CHECKER
        ("disas_a32", "target/arm/tcg/decode-a32.c.inc"),  # decodetree
        ("hmp_info_block", "block/monitor/block-hmp-cmds.c"),
        ("do_syscall1", "linux-user/syscall.c"),
        ("freebsd_exec_common", "bsd-user/freebsd/os-proc.c"),
    ],
)
def test_function_is_found_where_qemu_defines_it(function, file):
    assert file in files_of(function)


def test_function_of_an_old_release_is_known_with_its_newest_release():
    (info,) = [i for i in lookup("qemu_kvm_cpu_thread_fn") if i.file == "cpus.c"]
    assert info.versions and int(info.versions[-1].split(".")[0]) < 6


def test_compiler_suffixes_do_not_hide_a_function():
    assert files_of("qmp_x_exit_preconfig.part.0") == files_of("qmp_x_exit_preconfig") != set()
    assert files_of("aio_poll[cold]") == files_of("aio_poll")


def test_static_function_names_all_its_homes():
    assert len(files_of("qemu_coroutine_switch")) >= 3


@pytest.mark.parametrize(
    "path, section",
    [
        ("../block/io.c", "Block I/O path"),
        ("/home/x/qemu-9.0/block/io.c", "Block I/O path"),
        ("/usr/src/debug/qemu-2.9.0/hw/virtio/vhost.c", "vhost"),
        ("C:\\src\\qemu\\build\\..\\block.c", "Block layer core"),
        ("../../../migration/ram.c", "Migration"),
        ("qapi/qapi-commands-migration.c", "Migration"),
        ("/usr/include/x86_64-linux-gnu/bits/poll2.h", None),
        ("../sysdeps/unix/sysv/linux/ppoll.c", None),
        ("../glib/gmain.c", None),
        ("malloc.c", None),
        ("", None),
    ],
)
def test_section_of_a_file_as_frames_spell_it(path, section):
    assert section_of_file(path) == section


@pytest.mark.parametrize(
    "function, file, expected",
    [
        ("aio_poll", "../util/aio-posix.c", "AioContext/event loop"),
        ("aio_poll", None, "AioContext/event loop"),
        ("bdrv_do_drained_begin", None, "Block I/O path"),
        ("kvm_cpu_exec", None, "KVM"),
        ("call_rcu_thread", None, "RCU"),
        ("virtio_scsi_handle_cmd_vq", None, "virtio-scsi"),
        ("vnc_worker_thread", None, "VNC"),
        ("qemu_coroutine_switch", None, "Coroutines"),  # four files, one answer
        ("kvm_arch_handle_exit", None, "KVM"),  # a file for each target
        ("address_space_rw", "/data/qemu/exec.c", "Memory API"),  # up to QEMU 5.1
        # The file is that of a function inlined into it.
        ("flatview_write_continue", "/root/qemu/include/qemu/host-utils.h", "Memory API"),
        ("qemu_poll_ns", "/usr/include/bits/poll2.h", "Main loop"),
        ("qmp_marshal_a_command_of_tomorrow", None, "QAPI"),
        ("process_pending_signals", None, "User mode"),  # linux-user and bsd-user
        ("virtqueue_map_desc", None, "virtio"),  # libvhost-user has one, too
        ("cpu_x86_exec", None, "TCG CPUs"),  # cpu_exec up to 2.5, by a macro
        ("stl_le_pci_dma", None, "PCI"),
    ],
)
def test_subsystem_of_a_frame(function, file, expected):
    assert subsystem(function, file) == expected


@pytest.mark.parametrize(
    "function, file",
    [
        ("raise", None),
        ("g_main_context_dispatch", "gmain.c"),
        ("g_malloc", None),
        ("start_thread", "pthread_create.c"),
        ("memcpy", None),
        ("futex_wait", "../sysdeps/nptl/futex-internal.h"),
        ("virNetServerProgramDispatch", None),
        (None, None),
        ("??", None),
        ("", ""),
    ],
)
def test_frames_of_libraries_have_no_subsystem(function, file):
    assert subsystem(function, file) is None


def test_name_that_unrelated_parts_share_is_not_guessed():
    assert subsystem("usage") is None
    assert subsystem("usage", "../qemu-nbd.c") == "NBD"


def test_name_that_several_files_have_is_that_of_the_file_of_its_caller():
    assert functions.subsystem_beside("get_depth_index", "vga_draw_graphic") == "VGA"  # also in hw/display/sm501.c
    assert functions.subsystem_beside("get_depth_index", "main_loop_wait") is None
    assert functions.subsystem_beside("vga_draw_graphic", "vga_update_display") is None  # has one file


def test_library_functions_are_not_qemu_functions():
    assert not any(
        is_qemu_function(f) for f in ("poll", "raise", "g_free", "memcpy", "start_thread", "ioctl", "??", "", "x y")
    )
    assert all(is_qemu_function(f) for f in ("main_loop_wait", "virtio_queue_notify", "qemu_main_loop.part.0"))


def test_without_a_readable_index_nothing_is_known_and_nothing_fails(tmp_path, monkeypatch):
    for content in (None, b"", b"damaged", indexfile.MAGIC + b"\x04\0\0\0aaaa" + bytes(100)):
        for name in ("files.idx", "functions.idx", "functions_target.idx", "functions_old.idx"):
            if content is not None:
                (tmp_path / name).write_bytes(content)
        monkeypatch.setattr(functions, "DATA", tmp_path)
        caches = [value for value in vars(functions).values() if hasattr(value, "cache_clear")]
        try:
            for cache in caches:
                cache.cache_clear()
            assert subsystem("aio_poll", "../util/aio-posix.c") is None
            assert lookup("aio_poll") == () and not is_qemu_function("main_loop_wait")
        finally:
            monkeypatch.undo()
            for cache in caches:
                cache.cache_clear()


HOSTILE = ["do_qemu_init_" * 5000, "gen_" * 5000, "a" * 1_000_000, "x" + "::y" * 10_000, "\n", "\0", "é"]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_looked_up_like_any_other(name):
    assert isinstance(lookup(name), tuple)
    subsystem(name, name)


MAINTAINERS = """\
Group one
---------
All patches CC here
F: *
F: */

Block layer core
M: Somebody <s@example.org>
F: block*
F: block/
X: block/special.c

Block I/O path
F: block/io.c
F: util/aio-*.c

Hosts
-----
POSIX
F: util/*posix*.c
"""


def test_most_specific_maintainers_section_owns_a_file():
    owners = Owners(parse(MAINTAINERS))
    assert owners.section("block.c") == owners.section("block/qcow2.c") == "Block layer core"
    assert owners.section("block/io.c") == "Block I/O path"
    assert owners.section("util/aio-posix.c") == "Block I/O path"  # not the longer pattern of a host system
    assert owners.section("util/oslib-posix.c") == "POSIX"
    assert owners.section("block/special.c") is None  # excluded
    assert owners.section("vl.c") is None  # only the catch-all


def test_generated_functions_are_read_from_their_declarations():
    text = """int co_wrapper_mixed_bdrv_rdlock bdrv_get_size(BlockDriverState *bs);
              void coroutine_fn no_co_wrapper blk_co_unref(X *x);"""
    assert {n for n, _ in coroutine_wrappers("include/block/x.h", text)} == {
        "bdrv_get_size",
        "bdrv_co_get_size_entry",
        "bdrv_get_size_entry",
        "blk_co_unref",
        "blk_unref_bh",
    }
    schema = "{ 'command': 'block-job-cancel', 'data': {} }\n{ 'event': 'SHUTDOWN' }"
    made = [name for name, _ in qapi_functions("qapi/run-state.json", schema)]
    assert made == ["qmp_marshal_block_job_cancel", "qapi_event_send_shutdown"]
    assert ("PIT_CLASS", "x.h") in set(object_casts("x.h", "OBJECT_DECLARE_TYPE(PITState, PITClass,\n    PIT)"))
    meson = "decodetree.process('t16.decode', extra_args: '--static-decode=disas_t16'),"
    assert list(decoders("target/a/meson.build", meson)) == [("disas_t16", "target/a/decode-t16.c.inc")]


FRAME = re.compile(
    r"^[>\s|*]*#\s*(?:\d+)\s+(?:0x[0-9a-f]+\s+in\s+)?(?P<function>[A-Za-z_]\w*)\s*\([^#]*?(?:\bat\s+(?P<file>[^\s:]+\.[ch](?:\.inc)?))?(?::\d+|$)",
    re.M,
)


@pytest.mark.parametrize("version", ["7.2", "10.0"])
def test_nearly_every_symbol_of_a_real_build_is_known(version):
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "qemu-gdb"
    program = cache / f"qemu-{version}" / "qemu-system-x86_64"
    if not program.is_file() or not shutil.which("nm"):
        pytest.skip(f"no QEMU with symbols at {program}, or no nm; make lab builds it")
    lines = subprocess.run(["nm", program], check=True, capture_output=True, text=True).stdout.splitlines()
    names = {line.split()[-1] for line in lines if line.split()[-2] in "tTwW"}
    names = {name for name in names if not name.startswith("_")}
    assert len(names) > 15_000
    assert sum(bool(lookup(name)) for name in names) > 0.98 * len(names)
    assert sum(subsystem(name) is not None for name in names) > 0.97 * len(names)


def test_nearly_every_qemu_function_of_real_reports_has_its_subsystem():
    """A frame counts as QEMU's by its file or its function in the index, or by a name that begins like QEMU's."""
    if not CORPUS.is_dir():
        pytest.skip(f"no corpus at {CORPUS}")
    known, unknown = 0, set()
    mine = re.compile(
        r"^(?:qemu|bdrv|blk|virtio|vhost|kvm|tcg|memory_region|address_space|aio|job|nbd|qmp|hmp|vfio|qio|monitor|cpu)_"
    )
    for report in sorted(CORPUS.glob("*/bt.txt")):
        for match in FRAME.finditer(report.read_text(errors="replace")):
            function, file = match.group("function"), match.group("file")
            if subsystem(function, file):
                known += 1
            elif is_qemu_function(function) or mine.match(function):
                unknown.add((function, file))
    assert known > 1000
    assert len(unknown) <= 0.02 * known, sorted(unknown, key=str)
