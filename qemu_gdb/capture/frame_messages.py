"""Messages that a stack carries in its arguments: the assertion, the format, the error of the function that gave up."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple

from qemu_gdb.model import Frame, Message, Thread
from qemu_gdb.pattern import Pattern

_STRING = Pattern(r'"((?:[^"\\]|\\.)*)"(\.\.\.)?')
_OCTAL = Pattern(r"\\([0-7]{1,3}|.)")
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}

# function -> kind, and the names that its arguments have for expression, file, line, function
_FAILURES: Dict[str, Tuple[str, Tuple[str, ...], Tuple[str, ...], Tuple[str, ...], Tuple[str, ...]]] = {
    # glibc assert/assert.c
    "__assert_fail": (
        "assertion",
        ("assertion", "__assertion", "expr"),
        ("file", "__file"),
        ("line", "__line"),
        ("function", "__function", "func"),
    ),
    "__assert_fail_base": ("assertion", ("assertion",), ("file",), ("line",), ("function",)),
    # musl src/exit/assert.c; macOS and FreeBSD __assert_rtn, __assert; NetBSD __assert13
    "__assert_rtn": ("assertion", ("expr", "failedexpr", "assertion"), ("file",), ("line",), ("func", "function")),
    "__assert": ("assertion", ("failedexpr", "expr", "assertion"), ("file",), ("line",), ("func", "function")),
    "__assert13": ("assertion", ("failedexpr", "expr"), ("file",), ("line",), ("function", "func")),
    "_assert": ("assertion", ("_Message", "expr", "message"), ("_File", "file"), ("_Line", "line"), ()),
    "_wassert": ("assertion", ("_Message", "expr", "message"), ("_File", "file"), ("_Line", "line"), ()),
    # GLib glib/gtestutils.c
    "g_assertion_message_expr": ("glib", ("expr",), ("file",), ("line",), ("func",)),
    "g_assertion_message": ("glib", ("message",), ("file",), ("line",), ("func",)),
    "g_assertion_message_cmpnum": ("glib", ("expr",), ("file",), ("line",), ("func",)),
    "g_assertion_message_cmpint": ("glib", ("expr",), ("file",), ("line",), ("func",)),
    "g_assertion_message_cmpstr": ("glib", ("expr",), ("file",), ("line",), ("func",)),
    "g_assertion_message_error": ("glib", ("expr",), ("file",), ("line",), ("func",)),
    # util/error.c, all versions
    "error_handle_fatal": ("error-abort", (), (), (), ()),
    "error_handle": ("error-abort", (), (), (), ()),
    # softmmu/cpus.c, system/cpus.c (hw_error), cpu-target.c, exec.c (cpu_abort)
    "hw_error": ("hw-error", (), (), (), ()),
    "cpu_abort": ("cpu-abort", (), (), (), ()),
    "object_dynamic_cast_assert": ("assertion", (), ("file",), ("line",), ("func",)),
    "object_class_dynamic_cast_assert": ("assertion", (), ("file",), ("line",), ("func",)),
    # glibc malloc/malloc.c, debug/fortify_fail.c, debug/stack_chk_fail.c
    "malloc_printerr": ("malloc", (), (), (), ()),
    "__fortify_fail": ("fortify", (), (), (), ()),
    "__fortify_fail_abort": ("fortify", (), (), (), ()),
    "__stack_chk_fail": ("stack-smashing", (), (), (), ()),
    # GLib glib/gmessages.c
    "g_log": ("glib", (), (), (), ()),
    "g_logv": ("glib", (), (), (), ()),
}
_TEXTS = ("str", "msg", "fmt", "format", "action")  # arguments that hold the text of those without an expression
_ERRORS = frozenset(["error_setg_internal", "error_setv", "error_setg_errno_internal", "error_propagate"])
_MADE_FATAL = frozenset(["error_handle_fatal", "error_handle", "abort", "exit"])
_DEEPEST = 16  # frames from the top among which such a function stands


def string_value(value: Optional[str]) -> Optional[str]:
    """The string that gdb printed behind a pointer (``0x55... "text"``), None where it printed none."""
    if not value or '"' not in value:
        return None
    match = _STRING.search(value)
    if match is None:
        return None

    def plain(escape: re.Match[str]) -> str:
        code = escape.group(1)
        if code[0] in "01234567":
            return chr(int(code, 8))
        return _SIMPLE.get(code, code)

    return _OCTAL.sub(plain, match.group(1)) + (match.group(2) or "")


def _first(frame: Frame, names: Tuple[str, ...]) -> Optional[str]:
    for name in names:
        found = string_value(frame.args.get(name))
        if found is not None:
            return found
    return None


def messages_from_frames(thread: Thread) -> List[Message]:
    """Assertions, hw_error formats and the like that the arguments of the innermost frames show, the innermost first.

    ``Message.thread`` is left to the caller, who knows the thread's index.
    """
    found: List[Message] = []
    for index, frame in enumerate(thread.frames[:_DEEPEST]):
        function = frame.function or ""
        bare = function.replace("__GI_", "", 1) if function.startswith("__GI_") else function
        row = _FAILURES.get(bare)
        if row is None:
            # an error that nobody made fatal is no message
            if bare in _ERRORS and any(f.name in _MADE_FATAL for f in thread.frames[:index]):
                text = _first(frame, ("fmt", "msg"))
                if text is not None:
                    found.append(_error(frame, text))
            continue
        kind, expression, file, line, name = row
        if not frame.args:
            continue
        message = Message(kind, "")
        message.expression = _first(frame, expression)
        message.file = _first(frame, file)
        message.function = _first(frame, name)
        number = next((frame.args[key] for key in line if key in frame.args), "")
        if number.isdigit():
            message.line = int(number[:9])
        if not expression:
            message.text = (_first(frame, _TEXTS) or "").strip()
        if bare in ("error_handle_fatal", "error_handle"):
            message.text = _first(frame, ("msg",)) or ""
        if bare.startswith("object_"):
            typename = string_value(frame.args.get("typename"))
            if typename is None:
                continue
            message.text = f"cast to {typename}"
        if not message.text and message.expression is None:
            continue
        if not message.text:
            place = f"{message.file}:{message.line}: " if message.file and message.line is not None else ""
            where = f"{message.function}: " if message.function else ""
            message.text = f"{place}{where}{message.expression}"
        if any(_same(message, other) for other in found):
            continue
        if message.function is None and kind == "assertion" and index + 1 < len(thread.frames):
            caller = next((f for f in thread.frames[index + 1 :] if "assert" not in f.name), None)
            message.function = caller.name or None if caller is not None else None
        if message.function is None and kind in ("hw-error", "cpu-abort") and index + 1 < len(thread.frames):
            caller = thread.frames[index + 1]
            message.function, message.file, message.line = caller.function, caller.file, caller.line
        found.append(message)
    return found


def _error(frame: Frame, text: str) -> Message:
    message = Message("error-abort", text)
    message.function = _first(frame, ("func",))
    message.file = _first(frame, ("src", "file"))
    number = frame.args.get("line", "")
    if number.isdigit():
        message.line = int(number[:9])
    return message


def _same(one: Message, other: Message) -> bool:
    return (one.kind, one.expression, one.file, one.line) == (
        other.kind,
        other.expression,
        other.file,
        other.line,
    ) and (one.expression is not None or one.text == other.text)
