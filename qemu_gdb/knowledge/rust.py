"""Names of functions in Rust: QEMU's own layer between its C code and its devices in Rust, and how to write a name."""

from __future__ import annotations

from typing import Tuple

from .match import Names

# Crates that only carry calls between C and Rust, and check for their callers: rust/qemu-api (10.0, 10.1);
# rust/bql, qom, hw/core, system, util, chardev, migration, common since.
_CRATES = "qemu_api bql qom hwcore common system util chardev migration".split()
GLUE = Names(*(f"{mark}{crate}::*" for crate in _CRATES for mark in ("", "<")))

# What a panic's own function tells where its words are not in the input; library/core/src of Rust 1.63 (QEMU's floor)
# to 1.90.
PANICS: Tuple[Tuple[Names, str], ...] = (
    (Names("core::panicking::panic_bounds_check*"), "index out of bounds"),
    (Names("core::slice::index::*"), "range of a slice out of bounds"),
    (Names("core::option::unwrap_failed*", "core::option::expect_failed*"), "unwrap() or expect() of a None"),
    (Names("core::result::unwrap_failed*"), "unwrap() or expect() of an Err"),
    (Names("core::panicking::panic_const::*overflow*", "core::panicking::panic_const_*overflow*"),
     "arithmetic overflow"),
    (Names("core::panicking::panic_const::*div_by_zero*"), "division by zero"),
    (Names("core::panicking::assert_failed*"), "assert_eq!() or assert_ne!() failed"),
    (Names("core::panicking::panic_nounwind*", "core::panicking::panic_cannot_unwind*"),
     "a panic would have left a function that C calls"),
    (Names("alloc::alloc::handle_alloc_error*", "alloc::raw_vec::*", "__rustc::__rust_alloc_error_handler*"),
     "memory could not be had"),
    # rust/qemu-api/src/cell.rs (10.0), rust/bql/src/cell.rs (10.2)
    (Names("qemu_api::cell::*panic_already_borrowed*", "bql::cell::*panic_already_borrowed*"), "already borrowed"),
)


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
