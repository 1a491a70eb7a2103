"""What the reports of AddressSanitizer, ThreadSanitizer, UBSan and valgrind mean."""

from __future__ import annotations

from typing import Optional, Tuple

# The word in the report, the kind of finding, what a title calls it.
SANITIZER: Tuple[Tuple[str, str, str], ...] = (
    ("stack-overflow", "crash.stack-overflow", "stack overflow"),
    ("heap-use-after-free", "crash.invalid-access", "use after free"),
    ("stack-use-after", "crash.invalid-access", "use of a stack variable after its scope"),
    ("use-after-poison", "crash.invalid-access", "use of poisoned memory"),
    ("double-free", "crash.heap-corruption", "double free"),
    ("attempting double-free", "crash.heap-corruption", "double free"),
    ("bad-free", "crash.heap-corruption", "free of memory that is not from malloc"),
    ("attempting free", "crash.heap-corruption", "free of memory that is not from malloc"),
    ("alloc-dealloc-mismatch", "crash.heap-corruption", "memory freed by the wrong function"),
    ("heap-buffer-overflow", "crash.invalid-access", "heap buffer overflow"),
    ("stack-buffer-overflow", "crash.invalid-access", "stack buffer overflow"),
    ("stack-buffer-underflow", "crash.invalid-access", "stack buffer underflow"),
    ("global-buffer-overflow", "crash.invalid-access", "global buffer overflow"),
    ("container-overflow", "crash.invalid-access", "container overflow"),
    ("dynamic-stack-buffer-overflow", "crash.invalid-access", "stack buffer overflow"),
    ("allocation-size-too-big", "crash.abort", "allocation of an impossible size"),
    ("out of memory", "crash.abort", "out of memory"),
    ("memcpy-param-overlap", "crash.invalid-access", "memcpy between overlapping buffers"),
    ("negative-size-param", "crash.invalid-access", "negative size"),
    ("unknown-crash", "crash.invalid-access", "bad memory access"),
    ("SEGV on unknown address", "crash.invalid-access", "segmentation fault"),
    ("SEGV", "crash.invalid-access", "segmentation fault"),
    ("BUS", "crash.bus-error", "bus error"),
    ("FPE", "crash.arithmetic", "arithmetic exception"),
    ("ILL", "crash.illegal-instruction", "illegal instruction"),
    ("ABRT", "crash.abort", "abort"),
    ("data race", "crash.invalid-access", "data race"),
    ("Conflicting load by thread", "crash.invalid-access", "data race"),  # valgrind's drd
    ("Conflicting store by thread", "crash.invalid-access", "data race"),
    ("lock order ", "crash.invalid-access", "lock order inversion"),  # valgrind's helgrind
    ("lock-order-inversion", "crash.invalid-access", "lock order inversion"),
    ("heap-use-after-free (", "crash.invalid-access", "use after free"),
    ("detected memory leaks", "crash.signal", "memory leak"),
    ("irect leak of", "crash.signal", "memory leak"),
    ("blocks are definitely lost", "crash.signal", "memory leak"),
    ("blocks are indirectly lost", "crash.signal", "memory leak"),
    ("blocks are possibly lost", "crash.signal", "memory leak"),
    ("Invalid read", "crash.invalid-access", "invalid read"),
    ("Invalid write", "crash.invalid-access", "invalid write"),
    ("Invalid free", "crash.heap-corruption", "invalid free"),
    ("Conditional jump or move depends on uninitialised", "crash.invalid-access", "use of uninitialised memory"),
    ("Use of uninitialised value", "crash.invalid-access", "use of uninitialised memory"),
    ("use-of-uninitialized-value", "crash.invalid-access", "use of uninitialised memory"),
    ("uninitialised byte", "crash.invalid-access", "uninitialised memory in a system call's argument"),
    ("unaddressable byte", "crash.invalid-access", "invalid memory in a system call's argument"),
    ("Source and destination overlap", "crash.invalid-access", "copy between overlapping buffers"),
    ("Mismatched free", "crash.heap-corruption", "memory freed by the wrong function"),
    ("Jump to the invalid address", "crash.invalid-access", "jump to an invalid address"),
    ("null pointer", "crash.null-dereference", "use of a NULL pointer"),
    ("shift exponent", "crash.arithmetic", "shift by an impossible count"),
    ("left shift of", "crash.arithmetic", "left shift of a negative or too large value"),
    ("signed integer overflow", "crash.arithmetic", "signed integer overflow"),
    ("division by zero", "crash.arithmetic", "division by zero"),
    ("out of bounds", "crash.invalid-access", "index out of bounds"),
    ("misaligned address", "crash.invalid-access", "misaligned access"),
    ("not a valid value for type", "crash.invalid-access", "invalid value of a bool or enum"),
    ("pointer index expression", "crash.arithmetic", "pointer overflow"),
    ("outside the range of representable values", "crash.arithmetic", "conversion out of range"),
    ("call to function", "crash.invalid-access", "call through a pointer of the wrong type"),
)  # fmt: skip


def row_of(line: str) -> Optional[Tuple[str, str, str]]:
    """The row of a report's line, None where none fits."""
    return next((row for row in SANITIZER if row[0] in line), None)
