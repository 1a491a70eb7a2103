"""Runs the ``qemu-gdb`` program by ``python3 -m qemu_gdb``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
