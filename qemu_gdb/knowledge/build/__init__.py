"""Generates the indexes of `knowledge/data` from QEMU sources; for maintainers of this package."""
