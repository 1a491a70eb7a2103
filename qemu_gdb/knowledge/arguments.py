"""The functions whose arguments rules read, for the capture in gdb, which reads the arguments of no other frame."""

from __future__ import annotations

from typing import FrozenSet

# Read by rules that are no stage rows (waits, findings); those of the stage rows are added below.
OTHERS: FrozenSet[str] = frozenset()

WANTED_ARGUMENTS: FrozenSet[str] = OTHERS
