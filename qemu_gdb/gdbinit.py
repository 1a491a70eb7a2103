"""Loaded by gdb's ``source``: registers the qemu-... commands, and changes nothing else.

The commands' code is imported when one of them is first used, so that this file adds little to gdb's start.
"""

import os
import sys

import gdb


def _register() -> None:
    # Not __file__: where another script runs "source", gdb leaves that script's name in it.
    this = _register.__code__.co_filename
    here = os.path.dirname(os.path.dirname(os.path.realpath(this)))
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        from qemu_gdb.commands import declare
    except ImportError as error:
        raise gdb.GdbError(f"qemu-gdb: {here} holds no complete copy of qemu_gdb: {error}")  # noqa: B904
    declare.register()


_register()
