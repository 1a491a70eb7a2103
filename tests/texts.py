"""Reads and explains a text for tests."""

from __future__ import annotations

import textwrap

from qemu_gdb.capture import text
from qemu_gdb.explain import explain


def parse(source):
    """The snapshots of a text, written with the indentation of the test around it."""
    return text.parse(textwrap.dedent(source))


def one(source):
    """The only snapshot of a text."""
    (snapshot,) = parse(source)
    return snapshot


def told(source):
    """The explanation of a text of one process."""
    (snapshot,) = text.parse(source)
    return explain(snapshot)
