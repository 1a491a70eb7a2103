"""Stacks for tests, written as function names from the innermost outwards: stand-ins for what a debugger shows."""

from __future__ import annotations

import pathlib

from qemu_gdb.capture import text
from qemu_gdb.explain import classify, explain, overview
from qemu_gdb.explain.context import Context
from qemu_gdb.model import Frame, Signal, Snapshot, Source, Thread

RECORDINGS = pathlib.Path(__file__).parent.parent / "fixtures" / "recordings"

START = "qemu_thread_start start_thread clone3"
MAIN = "main_loop_wait qemu_main_loop qemu_default_main main __libc_start_main"
HANDLER = "aio_bh_call aio_bh_poll aio_dispatch aio_ctx_dispatch g_main_context_dispatch glib_pollfds_poll " + MAIN
COND = "__futex_abstimed_wait_common __pthread_cond_wait_common ___pthread_cond_wait qemu_cond_wait_impl"
MUTEX = "__lll_lock_wait __GI___pthread_mutex_lock qemu_mutex_lock_impl"
POLL = "__ppoll qemu_poll_ns"


def frame(level, word):
    """``name``, ``name@file``, ``name%library``, ``?`` for one without a name."""
    name, _, library = word.partition("%")
    name, _, file = name.partition("@") if "@@" not in name else (name, "", "")
    return Frame(
        level,
        function=None if name == "?" else name,
        file=file or None,
        line=1 if file else None,
        library=library or None,
        pc=0x555555554000 + 64 * level,
    )


def thread(words, number=5, lwp=1005, first=0, args=None, **fields):
    made = Thread([frame(first + i, w) for i, w in enumerate(words.split())], number=number, lwp=lwp, **fields)
    for level, values in (args or {}).items():
        made.frames[level].args.update(values)
    return made


def classified(*threads, signal=None, **fields):
    """The Context of a Snapshot of these threads, after roles, states, culprits, subsystems and overview."""
    snapshot = Snapshot(source=Source(kind="text"), threads=list(threads), **fields)
    if signal:
        snapshot.signal = Signal(name=signal)
    context = Context(snapshot)
    classify.classify(context)
    overview.fill(context)
    return context


def told(words, **fields):
    """What is told of one thread alone."""
    thread_fields = {
        k: fields.pop(k)
        for k in list(fields)
        if k in ("number", "lwp", "name", "first", "args", "current", "truncated_top", "truncated_bottom", "history")
    }
    return classified(thread(words, **thread_fields), **fields).explanation.threads[0]


def explained(*threads, **fields):
    """The explanation of a text that shows these threads."""
    return explain(Snapshot(source=Source(kind="text"), threads=list(threads), **fields))


def recorded(name):
    """The Context of a recording of this project's own."""
    context = Context(text.parse(text.read((RECORDINGS / f"{name}.txt").read_bytes()))[0])
    classify.classify(context)
    overview.fill(context)
    return context
