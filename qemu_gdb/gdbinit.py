"""Loaded by gdb's ``source``: registers the qemu-... commands, and changes nothing else.

The commands' code is imported when one of them is first used, so that this file adds little to gdb's start.
"""

import os
import sys

import gdb


def _register() -> None:
    here = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        from qemu_gdb.commands import declare
    except ImportError as error:
        raise gdb.GdbError(f"qemu-gdb: {here} holds no complete copy of qemu_gdb: {error}")  # noqa: B904
    declare.register()


_register()
