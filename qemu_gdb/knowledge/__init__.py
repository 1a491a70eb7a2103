"""What is known about QEMU, as tables: thread entries, resting places, waits, layers, fatal paths, functions."""
