"""The process as a whole: start-up, shutdown and reset, user-mode emulation, thread entries, and ways to die."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from ...model import Message
from ...pattern import Pattern
from .. import guest_calls, rust
from ..aborts import FATAL_PATHS, fatal_path_of, gives_up
from ..glib import plain
from ..helpers import is_cast
from ..match import Names
from ..rests import GLIB_DISPATCHERS
from .rows import Row, View

# Functions on the way from the code that gave up to the kernel, with those that make or write the message before. Not
# the allocators' own functions, and not the death of an emulated program, which has a row of its own.
DYING = Names(
    *(p for row in FATAL_PATHS if row.name != "guest-signal" for p in row.ends.patterns),
    *(p for row in FATAL_PATHS if row.name in ("error-abort", "fdelt", "glib", "raise") for p in row.way.patterns),
    "kill", "error_append_hint", "_nl_load_domain*", "_gnutls_assert*", "NtRaiseException", "RaiseException",
)  # fmt: skip
_ENTRY = Names(
    "start_thread",
    "clone",
    "clone3",
    "thread_start",
    "_pthread_start",
    "pthread_start",
    "qemu_thread_start",
    "__clone",
    "main",
    "_start",
    "__libc_start_main*",
    "__libc_start_call_main*",
    "libc_start_main*",
    "libc_start_call_main",
    "g_thread_proxy",
    "win32_start_routine",
    "thread_trampoline",
    "start_wqthread",
    "__pthread_clone*",
    "___clone",
    "RtlUserThreadStart",
    "BaseThreadInitThunk",
    "_libc_start*",
    "generic_start_main*",
    "qemu_main",
    "__libc_csu_init",
    "asan_thread_start",
    "lwp_start",
    "__mingw_CRTStartup",
    "call_qemu_main",
    "SDL_main",
)


def _messages(view: View) -> List[Message]:
    found = view.memo.get("messages")
    return found if isinstance(found, list) else []


def _clip(text: str, limit: int = 90) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _victim(view: View) -> str:
    """First QEMU function outside the run: the one that asserted or aborted."""
    for name in view.outer:
        if name in GLIB_DISPATCHERS:
            return ""  # the handler that GLib called has no name
        if name and name not in DYING and not gives_up(name) and not _LIBRARY.match(name) and name not in rust.GLUE:
            return rust.short_name(name)
    return next((n for n in view.outer if n), "")


# GLib's and libc's allocation functions, which are not to blame.
_LIBRARY = Pattern(
    r"g_[a-z]|<?(?:std|core|alloc|__rustc)::|rust_|_int_|_*libc_|slab_allocator_|(?:free|malloc|calloc|realloc)(?:_\w+)?$|tcache_|unlink_chunk|malloc_consolidate"
)
_ALLOCATES = Pattern(r"g_(?:malloc|realloc|try_|memdup|strdup|new|slice_alloc|array)")


def told_death(view: View) -> str:
    """What a message beside a stack says of its death, for a stack that lacks the innermost frames; "" without one."""
    for message in _messages(view):
        if message.kind in ("assertion", "glib") and message.expression:
            at = f" in {message.function}" if message.function else ""
            if not message.function or message.function in view.all_names:
                return f"assert({_clip(message.expression, 48)}) fails{at}"
    return ""


def expression(view: View) -> str:
    """Expression of the assertion that a stack is in, "" where it is not readable."""
    text = view.string(Names("__assert_fail*", "assert_fail*", "__assert*"), "assertion", "expr", "assertion_expr")
    if not text:
        text = view.string(Names("g_assertion_message*"), "expr")
    return text or ""


def death(view: View, brief: bool = False) -> str:
    """How the process dies, in one phrase: the assertion's words, hw_error's message, the abort's caller."""
    where = _victim(view)
    at = f" in {where}" if where else ""
    place = ""
    for position in range(view.last + 1, min(view.last + 3, len(view.frames))):
        frame = view.frames[position]
        if frame.file and frame.line and not brief:
            place = f" ({frame.file.rsplit('/', 1)[-1]}:{frame.line})"
            break
    messages = _messages(view)
    paths = {row.name for n in view.names if (row := fatal_path_of(n)) is not None}
    ends = any((row := fatal_path_of(n)) is not None and n in row.ends for n in view.names)
    if paths & {"assert", "g-assert"}:
        words = expression(view)
        if not words:
            words = next((m.expression or "" for m in messages if m.kind in ("assertion", "glib") and m.expression), "")
        return _assertion(words, at, place, brief)
    caster = fatal_path_of(view.caller)
    if ends and caster is not None and caster.name == "qom-cast":
        who = next((n for n in view.outer if n and n != view.caller and not is_cast(n)), "")
        return f"a QOM cast to another type failed{f' in {who}' if who else ''}"
    if "error-abort" in paths and not any(n.startswith("error_handle") or n in ("abort", "raise") for n in view.inward):
        return "makes an error object"
    if "libc" in paths and any(n.startswith(("_int_", "malloc_", "free", "unlink_chunk")) for n in view.outer[:3]):
        paths.add("malloc")
    for path in FATAL_PATHS:
        if path.name in paths and path.name in _DEATHS:
            functions, kind, told, untold = _DEATHS[path.name]
            text = view.whole().string(functions, "str", "fmt") or "" if functions is not None else ""
            text = next((m.text for m in messages if m.kind == kind), text if "%" not in text else "")
            text = _clip(_OWN_NAME.sub("", text), 60)
            return (told if text and told else untold).format(at=at, text=text)
    if "glib" in paths:
        allocation = next((n for n in view.outer[:3] if _ALLOCATES.match(n)), "")
        if allocation:
            return f"{allocation} could not allocate memory{at}"
        text = plain(next((m.text for m in messages if m.kind == "glib"), ""))
        return f'a fatal GLib message{at}: "{_clip(text, 60)}"' if text else f"a fatal GLib message{at}"
    expression_text = next(
        (
            m.expression or ""
            for m in messages
            if m.kind == "assertion" and m.expression and (not m.function or m.function == where)
        ),
        "",
    )
    if expression_text and paths & {"abort", "raise"}:
        return _assertion(expression_text, at, place, brief)
    if paths == {"raise"} and not ends:
        return "sends a signal"
    return f"aborts{at}{place}"


def _assertion(words: str, at: str, place: str, brief: bool) -> str:
    if brief and words:
        return f"assert({_clip(words, 48)}) fails{at}"
    return f'assertion "{_clip(words, 60)}" failed{at}{place}' if words else f"an assertion failed{at}{place}"


_OWN_NAME = Pattern(r"^\s*qemu[\w-]*: (?:fatal|hardware error): ")

# By fatal path: the functions whose arguments hold the text, the kind of message that does, the phrase with the text,
# and that without.
_DEATHS: Dict[str, Tuple[Optional[Names], str, str, str]] = {
    "hw-error": (Names("hw_error"), "hw-error", 'hw_error{at}: "{text}"', "hw_error{at}"),
    "cpu-abort": (Names("cpu_abort"), "cpu-abort", 'cpu_abort{at}: "{text}"', "cpu_abort{at}"),
    "error-abort": (None, "error-abort", 'an error that may not happen (&error_abort){at}: "{text}"',
                    "an error that may not happen (&error_abort){at}"),
    "malloc": (Names("malloc_printerr*", "libc_message*", "__libc_message*"), "malloc",
               'libc stopped the process{at}: "{text}"', "libc found its heap damaged{at}"),
    "stack-smashing": (None, "", "", "stack smashing detected{at}"),
    "longjmp": (None, "", "", "longjmp() into a function that has returned{at}"),
    "fdelt": (None, "", "", "a descriptor number is too large for select() (FD_SETSIZE)"),
    "fortify": (None, "", "", "a buffer overflow was detected by fortify{at}"),
    "thread-error": (None, "", "", "a thread primitive failed{at} (error_exit)"),
    "hvf": (None, "", "", "a call of Hypervisor.framework failed{at}"),
    "spice": (None, "", "", "a critical check of libspice-server failed{at}"),
    "rust-panic": (None, "", "", "Rust code panicked{at}"),
    "ceph-assert": (None, "", "", "an assertion of Ceph's libraries failed{at}"),
    "c++": (None, "", "", "an uncaught C++ exception{at}"),
    "libc": (Names("libc_message*", "__libc_message*"), "malloc", 'libc stopped the process{at}: "{text}"',
             "libc stopped the process{at}"),
}  # fmt: skip


def _guest_call(view: View) -> str:
    """The system call by the innermost function that carries out one, just inside of the switch over their numbers."""
    entry = next((i for i, n in enumerate(view.all_names) if n in guest_calls.ENTRIES), 0)
    for name in view.all_names[max(0, entry - 4) : entry]:
        call = guest_calls.guest_call(name, view.number((name,), "send"))
        if call:
            return call
    return ""


# linux-user/syscall.c, bsd-user: what the guest asked for
def _user(view: View) -> str:
    number = view.number(guest_calls.ENTRIES, "num")
    if any(n in guest_calls.ENTRIES for n in view.names):
        call = _guest_call(view)
        detail = f" {call}" if call else (f" {number}" if number is not None else "")
        return f"makes the guest program's system call{detail}"
    if any(n in guest_calls.ENTRIES for n in view.outer):
        return "makes the guest program's system call"
    if any("signal" in n for n in view.names):
        return "delivers a signal to the guest program"
    if any(n in ("load_elf_binary", "loader_exec", "load_elf_image") for n in view.names):
        return "loads the guest program"
    return "runs the guest program"


_STARTUP: Dict[str, str] = {
    "qemu_init": "starting",
    "qemu_create_cli_devices": "creates the devices of the command line",
    "qemu_create_machine": "creates the machine",
    "qemu_create_early_backends": "creates backends of the command line",
    "qemu_create_late_backends": "creates backends of the command line",
    "configure_accelerators": "starts the accelerator",
    "configure_blockdev": "opens the disks of the command line",
    "machine_run_board_init": "builds the board",
    "qmp_x_exit_preconfig": "builds the board and the devices",
    "qemu_init_board": "builds the board",
    "bdrv_init": "initialises the block layer",
}


def _startup(view: View) -> str:
    for name in view.names:
        if name in _STARTUP and name != "qemu_init":
            return f"QEMU is starting: {_STARTUP[name]}"
    option = next((n for n in view.names if n.endswith("_init_func")), "")
    if option:
        return f"QEMU is starting: handles -{option[: -len('_init_func')].replace('_', '-')}"
    return "QEMU is starting"


def _shutdown(view: View) -> str:
    if any(n in ("exit", "__run_exit_handlers", "run_exit_handlers") or "exit_handlers" in n for n in view.names):
        return "the process exits: runs exit handlers"
    if any("reset" in n for n in view.names):
        return "resets the machine"
    if any("wakeup" in n or "suspend" in n for n in view.names):
        return "suspends or wakes the machine"
    if any("cleanup" in n for n in view.names):
        return "QEMU shuts down: cleans up"
    return "shuts the machine down"


def victim_file(view: View) -> Optional[str]:
    """Source file of the frame that called the dying functions."""
    position = view.last + 1
    return view.frames[position].file if position < len(view.frames) else None


ROWS = (
    # util/error.c, system/cpus.c, cpu-target.c (10.2); before: cpus.c, softmmu/cpus.c
    Row(
        "abort",
        DYING,
        death,
        short=lambda v: death(v, True),
        subsystem=None,
        weight=9,
        reads=(
            "__assert_fail",
            "__assert_fail_base",
            "assert_fail",
            "hw_error",
            "cpu_abort",
            "g_assertion_message_expr",
            "g_assertion_message",
            "malloc_printerr",
            "libc_message",
            "__libc_message",
        ),
    ),
    # libc, GLib; util/qemu-thread-posix.c, system/main.c
    Row("thread entry", _ENTRY, "", short="", subsystem=None, weight=0),
    # system/vl.c, hw/core/machine.c, block.c (10.2); before: softmmu/vl.c, vl.c
    Row(
        "start-up",
        Names(
            *_STARTUP,
            "*_init_func",
            "qemu_opts_foreach",
            "qemu_run_machine_init_done_notifiers",
            "qemu_machine_creation_done",
            "machine_*_init*",
            "pc_init*",
            "pc_q35_init*",
            "qemu_create_cli_devices",
            "qemu_create_early_backends",
            "qemu_create_late_backends",
            "qemu_create_machine",
            "qemu_create_default_devices",
            "machvirt_init",
            "machine_class_init",
            "module_call_init",
            "do_configure_accelerator",
            "accel_init_machine",
            "foreach_device_config",
        ),
        _startup,
        subsystem="Main loop",
        weight=6,
        trigger=True,
        order=-1,
    ),
    # iothread.c: an iothread object goes, by object_del or at the end of QEMU
    Row(
        "iothread end",
        Names("iothread_stop*", "iothread_instance_finalize", "iothread_destroy"),
        "ends an iothread and waits for its thread",
        subsystem="AioContext/event loop",
        weight=6,
    ),
    # system/runstate.c, qemu-nbd.c (10.2); before: softmmu/runstate.c, softmmu/vl.c
    Row(
        "shutdown",
        Names(
            "qemu_cleanup",
            "qemu_system_shutdown*",
            "qemu_system_reset",
            "exit",
            "__run_exit_handlers",
            "run_exit_handlers",
            "__GI_exit",
            "qemu_system_killed",
            "qemu_system_powerdown",
            "qemu_run_exit_notifiers",
            "*_machine_reset",
            "qemu_devices_reset*",
            "pc_machine_reset",
            "qemu_system_wakeup",
            "qemu_system_suspend",
            "_dl_fini",
            "_fini",
            "qemu_kill_report",
            "qemu_thread_atexit_*",
            "monitor_cleanup",
            "qemu_shutdown_requested",
        ),
        _shutdown,
        subsystem="Main loop",
        weight=7,
        trigger=True,
    ),
    # linux-user/, bsd-user/
    Row(
        "guest program",
        Names(
            "cpu_loop",
            "do_syscall",
            "do_syscall1",
            "do_futex",
            "do_safe_futex",
            "safe_*",
            "safe_syscall_base",
            "do_fork",
            "clone_func",
            "process_pending_signals",
            "handle_pending_signal",
            "host_signal_handler",
            "queue_signal",
            "load_elf_binary",
            "load_elf_image",
            "load_elf_interp",
            "loader_exec",
            "target_mmap*",
            "target_munmap",
            "target_cpu_loop",
            "freebsd_syscall",
            "do_freebsd_*",
            "do_bsd_*",
            "do_openat",
            "do_guest_openat",
            "do_ioctl",
            "do_execve*",
            "do_sendrecvmsg*",
            "do_select",
            "dump_core_and_abort",
            "force_sig*",
        ),
        _user,
        subsystem=None,
        weight=6,
        trigger=True,
        order=-1,
        reads=("do_syscall", "do_syscall1"),
    ),
    # util/notify.c (10.2); before: notify.c
    Row("notifiers", Names("notifier_list_notify", "notifier_with_return_list_notify"), "calls notifiers", weight=2),
    # the compilers' sanitizers
    Row(
        "sanitizer",
        Names("__asan_*", "__sanitizer_*", "fuzzer::*", "__ubsan_*", "__interceptor_*", "__tsan_*", "__msan_*",
              "__lsan_*"),
        "the sanitizer's own code",
        short="",
        weight=0,
    ),
    # GLib: glib/gtestutils.c
    Row("test program", Names("g_test_run*", "g_test_run_suite*", "main_test*"), "runs a test", weight=3, order=-5),
    # system/cpus.c, util/oslib-posix.c, os-posix.c (10.2); before: cpus.c, softmmu/cpus.c
    Row(
        "signal",
        Names(
            "<signal handler called>",
            "__restore_rt",
            "_sigtramp",
            "sigbus_handler",
            "termsig_handler",
            "sigbus_reraise",
            "sig_ipi_handler",
        ),
        "in a signal handler",
        subsystem=None,
        weight=5,
    ),
)
