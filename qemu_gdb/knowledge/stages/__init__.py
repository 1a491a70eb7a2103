"""The layers of QEMU that appear on stacks, as tables: a file per family; ``TABLE`` has all rows."""

from __future__ import annotations

from . import backends, block, devices, events, guest, migration, monitor, process, vcpus
from .rows import Row, Table, View

# Where rows of two families name the same function, the earlier family wins.
TABLE = Table(
    process.ROWS[:2]
    + guest.ROWS
    + events.ROWS
    + vcpus.ROWS
    + devices.ROWS
    + block.ROWS
    + monitor.ROWS
    + migration.ROWS
    + backends.ROWS
    + process.ROWS[2:]
)

__all__ = ["TABLE", "Row", "View"]
