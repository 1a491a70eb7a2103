"""Says what the process is: QEMU or not, which program, accelerator, how many vCPUs, which run state."""

from __future__ import annotations

from .context import Context


def fill(context: Context) -> None:
    """Fill the explanation's fields about the whole process, and the notices."""
