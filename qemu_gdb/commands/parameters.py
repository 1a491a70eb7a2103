"""gdb settings of this program: ``set qemu-search-limit``."""

from __future__ import annotations

import gdb

NAME = "qemu-search-limit"
DEFAULT = 1024


class SearchLimit(gdb.Parameter):
    """How many megabytes of memory qemu-explain and qemu-coroutines search for suspended coroutines.

    Where a process has more, only the coroutines are shown that its block layer and jobs know; 0 searches nothing."""

    set_doc = "Set the limit, in megabytes, on the memory that is searched for coroutines."
    show_doc = "Show the limit, in megabytes, on the memory that is searched for coroutines."

    def __init__(self) -> None:
        super().__init__(NAME, gdb.COMMAND_STACK, gdb.PARAM_ZUINTEGER_UNLIMITED)
        self.value = DEFAULT

    def get_set_string(self) -> str:
        return ""

    def get_show_string(self, value: str) -> str:
        return f"The memory that is searched for coroutines is limited to {value} MB."


def search_bytes() -> int:
    """The setting in bytes; the default where it is not registered."""
    try:
        value = gdb.parameter(NAME)
    except RuntimeError:
        value = DEFAULT
    return 1 << 62 if value is None or value < 0 else int(value) << 20


def register() -> None:
    """Give gdb the setting once; a second time keeps its value."""
    try:
        gdb.parameter(NAME)
    except RuntimeError:
        SearchLimit()
