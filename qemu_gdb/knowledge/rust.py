"""Names of functions in Rust: QEMU's own layer between its C code and its devices in Rust, and how to write a name."""

from __future__ import annotations

from .match import Names

# Crates that only carry calls between C and Rust, and check for their callers: rust/qemu-api (10.0, 10.1);
# rust/bql, qom, hw/core, system, util, chardev, migration, common since.
_CRATES = "qemu_api bql qom hwcore common system util chardev migration".split()
GLUE = Names(*(f"{mark}{crate}::*" for crate in _CRATES for mark in ("", "<")))


def short_name(function: str) -> str:
    """A Rust function without its types' parameters: "hpet::device::HPETState::write"."""
    if "::" not in function:
        return function
    depth, out = 0, []
    for position, char in enumerate(function):
        if char == "<" and position:
            depth += 1
        elif char == ">" and depth and function[position - 1] != "-":
            depth -= 1
        elif not depth:
            out.append(char)
    text = "".join(out).replace("::::", "::")
    return text if len(text) > 3 and not text.startswith("<") else function
