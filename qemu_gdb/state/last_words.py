"""Reads what libc, GLib and QEMU's Error objects were about to say when the process aborted, also in a stripped one."""

from __future__ import annotations

from typing import List, Optional, Sequence

from ..model import Message, Thread
from .access import NotReadable, Process, field
from .arguments import FrameArguments, find

_LONGEST = 2000  # bytes of one message


def read(process: Process) -> List[str]:
    """The texts of libc's and GLib's last abort, as they would have been printed.

    libc: ``__abort_msg`` points at {unsigned size; char text[]}, the words of a failed assertion, of malloc's checks,
    of fortify and of the stack protector (glibc assert/assert.c, sysdeps/posix/libc_fatal.c; exported, so it is
    found without debug information). GLib: ``__glib_assert_msg`` is the text of a failed g_assert (gtestutils.c).
    """
    found = []
    for name, skip in (("__abort_msg", 4), ("__glib_assert_msg", 0)):
        try:
            variable = process.library_variable(name)
            pointer = process.word(variable) if variable else 0
            if pointer:
                found.append(process.string(pointer + skip, _LONGEST).strip())
        except NotReadable:
            continue
    return [text for text in found if text]


# Frames that get an Error object which ends the process (util/error.c, 5.2 to 10.2).
_FATAL_ERRORS = ("error_handle_fatal", "error_handle", "error_propagate", "error_propagate_prepend")


def error_object(process: Process, arguments: FrameArguments, threads: Sequence[Thread]) -> Optional[Message]:
    """The Error that a thread ends the process with, and where it was raised; None without one."""
    for index, thread in enumerate(threads):
        if not any(frame.name in ("abort", "exit") for frame in thread.frames[:8]):
            continue
        place = find(thread, *_FATAL_ERRORS)
        address = arguments.number(thread, place[1], "err", "local_err") if place is not None else None
        if not address:
            continue
        error = process.at(address, process.require_type("struct Error", "error_setg_internal"))
        text = process.string(field(error, "msg"), _LONGEST)
        if text:
            return Message(
                "error-abort",
                text,
                function=process.string(field(error, "func")) or None,
                file=process.string(field(error, "src")) or None,
                line=int(field(error, "line")),
                thread=index,
            )
    return None
