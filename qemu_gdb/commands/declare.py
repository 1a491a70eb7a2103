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
      --report FILE    also write a report for QEMU's issue tracker to FILE.md or FILE.html; paths, hosts, addresses,
                       secrets and guest data are replaced by labels
      --no-redact      leave them in

Examples: qemu-explain    qemu-explain 1    qemu-explain --all    qemu-explain --file bt.txt"""),
    Declaration("qemu-threads", "threads", """\
List what each thread of this QEMU is for and doing, a line a thread.
Usage: qemu-threads [-f FORMAT] [--file FILE]

  -f, --format FORMAT  text (default), json or markdown
      --file FILE      list the threads in the text FILE instead of this process"""),
    Declaration("qemu-locks", "locks", """\
List QEMU's locks: who holds each, who waits for it, and what other threads wait for.
Usage: qemu-locks [-a] [-f FORMAT]

The Big QEMU Lock (BQL), AioContext locks, and every mutex that a thread waits for or holds.

  -a, --all            all rows, not only the first screen
  -f, --format FORMAT  text (default), json or markdown"""),
    Declaration("qemu-coroutines", "coroutines", """\
List the suspended coroutines and what each waits for; with ADDRESS, its stack.
Usage: qemu-coroutines [-a] [-f FORMAT] [ADDRESS]

Coroutines are no threads: one that waits is in no thread's backtrace. They are found through the block layer and jobs,
and by a search of QEMU's heaps ("set qemu-search-limit MEGABYTES" bounds it). Nothing in the process changes.

  -a, --all            all coroutines with their stacks; search all writable memory
  -f, --format FORMAT  text (default), json or markdown

Examples: qemu-coroutines    qemu-coroutines 0x7f4ff00039f0    qemu-coroutines --all"""),
    Declaration("qemu-requests", "requests", """\
List the block requests in flight: their node, size, device or job, coroutine, and what they wait for.
Usage: qemu-requests [-a] [-f FORMAT]

Below the requests: the nodes that are drained or throttled, or that have something in flight, and the jobs.

  -a, --all            all rows, not only the first screen
  -f, --format FORMAT  text (default), json or markdown"""),
    Declaration("qemu-vcpus", "vcpus", """\
List the vCPUs: thread, stopped or halted, guest mode and pc, why each last left KVM.
Usage: qemu-vcpus [-a] [-f FORMAT]

  -a, --all            all rows, not only the first screen
  -f, --format FORMAT  text (default), json or markdown"""),
    Declaration("qemu-bt", "bt", """\
Print a thread's backtrace, continued from the coroutine that it runs to the stacks that entered it.
Usage: qemu-bt [-a] [-f FORMAT] [THREAD...]

Without THREAD: the selected thread. gdb's own backtrace of a thread that runs a coroutine ends at coroutine_trampoline.

  -a, --all            every thread
  -f, --format FORMAT  text (default), json or markdown"""),
    Declaration("qemu-mtree", "mtree", """\
Show the guest's address spaces: which memory region and which device answers at which address.
Usage: qemu-mtree [-a] [-f FORMAT] [ADDRESS-SPACE]

Without ADDRESS-SPACE: the upper levels of "memory" and "I/O".

  -a, --all            every address space in full
  -f, --format FORMAT  text (default), json or markdown"""),
    Declaration("qemu-handlers", "handlers", """\
List the descriptors that each event loop watches, with their handlers, and the bottom halves that are scheduled.
Usage: qemu-handlers [-a] [-f FORMAT]

  -a, --all            all rows, not only the first screen
  -f, --format FORMAT  text (default), json or markdown"""),
    Declaration("qemu-timers", "timers", """\
List the timers that are armed, by clock.
Usage: qemu-timers [-a] [-f FORMAT]

  -a, --all            all rows, not only the first screen
  -f, --format FORMAT  text (default), json or markdown"""),
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
    from . import parameters

    for declaration in COMMANDS:
        QemuCommand(declaration)
    parameters.register()
