"""Runs a qemu-... command inside gdb: its line, its errors, its output, its completion; the same for all commands."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import re
import shlex
import signal
import sys
from typing import Any, Iterator, List, Optional, Sequence

import gdb

from .. import mistakes, options
from ..options import Option, Parsed, UsageError
from ..render.output import columns_for, is_utf8
from ..render.safe import Form, safe
from . import imports
from .declare import Declaration

CHUNK = 4096  # characters given to gdb at a time; its pager and Ctrl-C work between them


def invoke(declaration: Declaration, line: str) -> None:
    """Run one command line. Errors reach the user as one line; Ctrl-C and ``q`` at the pager end it quietly."""
    with _without_collection():
        _invoke(declaration, line)


def _invoke(declaration: Declaration, line: str) -> None:
    with _no_interrupt():
        module = _module(declaration)
        imports.load()
    try:
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"the line has an unfinished quote: {error}") from error
        module.run(options.parse(words, module.OPTIONS))
    except UsageError as error:
        raise gdb.GdbError(safe(f"{declaration.name}: {error}; 'help {declaration.name}' tells more")) from None
    except gdb.GdbError:
        raise
    except gdb.error as error:
        raise gdb.GdbError(safe(f"{declaration.name}: {' '.join(str(error).split())}")) from None
    except (OSError, MemoryError, RecursionError) as error:
        raise gdb.GdbError(safe(f"{declaration.name}: {error or type(error).__name__}")) from None
    except Exception as error:  # a mistake of this program: one line for the user, the place for its authors
        if os.environ.get("QEMU_GDB_DEBUG"):
            raise
        raise gdb.GdbError(safe(f"{declaration.name}: internal error: {mistakes.place(error)}; please report it"
                                " (QEMU_GDB_DEBUG=1 in the environment shows the traceback)")) from None


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """One command makes many objects and hardly a cycle: passes over all of them would only cost time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """Holds Ctrl-C back while modules are imported: in the middle of it Python prints a traceback of its own."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _module(declaration: Declaration) -> Any:
    return importlib.import_module(f"{__package__}.{declaration.module}")


def complete(declaration: Declaration, text: str, word: Optional[str]) -> List[str]:
    """What may follow: options, their values, files, thread numbers."""
    if word is None:  # gdb asks where words break; its own answer is right
        return []
    module = _module(declaration)
    choices: Sequence[Option] = module.OPTIONS
    parts = text.split() or [""]
    if text[-1:].isspace():
        parts.append("")
    current, previous = parts[-1], parts[-2] if len(parts) > 1 else ""
    name, equals, value = current.partition("=")
    option = next((o for o in choices if o.value and (name if equals else previous) in o.names), None)
    if option is not None:
        current = value if equals else current
        found = list(option.choices) if option.choices else _files(current)
    elif current.startswith("-"):
        found = [n for o in choices for n in o.names]
    elif module.TAKES_THREADS:
        found = [str(n) for n in sorted(t.num for t in gdb.selected_inferior().threads())]
    else:
        found = []
    cut = max(0, len(current) - len(word))  # gdb's own word starts after a dash, a slash, a dot
    return [c[cut:] for c in found if c.startswith(current)]


def _files(start: str) -> List[str]:
    folder, _, _ = start.rpartition("/")
    try:
        names = sorted(os.listdir(os.path.expanduser(folder) or ("/" if start.startswith("/") else ".")))[:2000]
    except OSError:
        return []
    return [f"{folder}/{n}" if "/" in start else n for n in names]


def form(parsed: Parsed, numbers: Sequence[int] = ()) -> Form:
    """How pages are written now: gdb's width and charset, the command's switches."""
    width = gdb.parameter("width")
    charset = gdb.parameter("host-charset")
    if charset in (None, "auto"):
        charset = _charset()
    return Form(columns_for(width if isinstance(width, int) else 0), is_utf8(str(charset)),
                parsed.has(options.VERBOSE), parsed.has(options.ALL), tuple(numbers))


def _charset() -> str:
    told = gdb.execute("show host-charset", to_string=True)  # 'The host character set is "auto; currently UTF-8".'
    found = re.search(r'currently ([\w.:-]+)', told)
    return found.group(1) if found else "ASCII"


def wants_colour() -> bool:
    """Whether output gets colours: gdb's own style setting, NO_COLOR, a terminal."""
    try:
        styled = bool(gdb.parameter("style enabled"))
    except (gdb.error, RuntimeError):
        styled = False
    return (styled and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")
            and os.isatty(1))


def write(text: str) -> None:
    """Give ``text`` to gdb's output, through its pager."""
    for start in range(0, len(text), CHUNK):
        gdb.write(text[start:start + CHUNK])
    gdb.flush()


_shown = 0  # columns of the progress line that stands on the terminal


def progress(text: str) -> None:
    """Show ``text`` on the terminal's last line, nothing where output is no terminal; "" removes it."""
    global _shown
    if (text or _shown) and os.isatty(2) and sys.__stderr__ is not None:
        sys.__stderr__.write("\r" + safe(text)[:79].ljust(_shown))
        sys.__stderr__.write("" if text else "\r")
        sys.__stderr__.flush()
        _shown = min(79, len(text))
