"""Explains QEMU processes, cores and pasted backtraces: what each thread does, why it crashed or hangs."""

__version__ = "0.1.0"
