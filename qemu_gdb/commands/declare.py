"""Declares the gdb commands: names, help, options; a command's module is imported when it first runs."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

import gdb


class Declaration(NamedTuple):
    """One command: its name, the module that runs it, its help."""

    name: str
    module: str  # in qemu_gdb.commands; it has run(line), and OPTIONS for completion
    says: str


COMMANDS: Tuple[Declaration, ...] = (
    Declaration("qemu-explain", "explain", """\
Explain what the threads of this QEMU are for and doing, why it crashed or hangs.
Usage: qemu-explain [OPTION]... [THREAD...]

Without THREAD: one page about the whole process. With thread numbers (3, 2-5): all about these threads.
Works on a live process, on a core, and with --file on a pasted backtrace. Nothing in the process changes.

  -a, --all            also explain every thread with its frames; identical stacks are told once
  -v, --verbose        add the evidence, arguments and rules that each statement stands on
  -f, --format FORMAT  text (default), json or markdown
      --file FILE      explain the backtraces in the text FILE instead of this process
      --save FILE      also write the snapshot to FILE as JSON; "qemu-gdb explain FILE" reads it elsewhere

Examples: qemu-explain    qemu-explain 1    qemu-explain --all    qemu-explain --file bt.txt"""),
    Declaration("qemu-threads", "threads", """\
List what each thread of this QEMU is for and doing, a line a thread.
Usage: qemu-threads [-f FORMAT] [--file FILE]

  -f, --format FORMAT  text (default), json or markdown
      --file FILE      list the threads in the text FILE instead of this process"""),
)


class QemuCommand(gdb.Command):
    """A gdb command whose code is imported on first use."""

    def __init__(self, declaration: Declaration) -> None:
        self.__doc__ = declaration.says
        self._declaration = declaration
        super().__init__(declaration.name, gdb.COMMAND_STACK)

    def invoke(self, line: str, from_tty: bool) -> None:
        self.dont_repeat()
        from . import base

        base.invoke(self._declaration, line)

    def complete(self, text: str, word: Optional[str]) -> List[str]:
        from . import base

        return base.complete(self._declaration, text, word)


def register() -> None:
    """Give gdb the commands; a second time replaces them."""
    for declaration in COMMANDS:
        QemuCommand(declaration)
