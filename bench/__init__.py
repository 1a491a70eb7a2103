"""Measures how fast the program is against gdb's own commands, in the same run on the same machine."""
