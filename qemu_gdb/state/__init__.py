"""Reads QEMU's own structures through gdb into facts; a file per topic, bounded, read-only."""
