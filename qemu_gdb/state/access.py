"""Bounded, read-only access to a QEMU process's memory and symbols, for every reader of QEMU's structures.

Memory is not to be trusted: a core may be cut, corrupt or made by an enemy. Every list has a bound and notices a loop,
every string a length, and what can't be read becomes a note, not an exception that ends the whole explanation.
"""

from __future__ import annotations

import re
import struct
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

import gdb

from ..architecture import MASK, Architecture, by_name
from ..record import record

LIST_LIMIT = 4096  # elements of one list
STRING_LIMIT = 256  # bytes of one string
_NOTE_LIMIT = 40  # notes of one reading
_PAGE = 4096
_PAGES = 4096  # kept of the process's memory
_SYMBOL = re.compile(r"<([^>+]+)(?:\+(\d+))?>")


class NotReadable(Exception):
    """A symbol, a field or memory that a reader needs is not there; the text says which."""


@record
class Limits:
    """What a reading may cost."""

    search_bytes: int = 1 << 30  # of memory to search for coroutines; 0: don't search
    search_everything: bool = False  # not only the heaps
    coroutines: int = 512  # full backtraces of suspended coroutines
    list_items: int = LIST_LIMIT
    frames: int = 200  # of one stack


class _SymbolCache:
    """Symbols and types found in the program; valid while it is loaded, also when libraries come or go beside it."""

    def __init__(self) -> None:
        self.objfiles: List[gdb.Objfile] = []
        self.program: Optional[gdb.Objfile] = None
        self.symbols: Dict[str, Optional[gdb.Symbol]] = {}
        self.types: Dict[str, Optional[gdb.Type]] = {}
        self.minimal: Dict[str, bool] = {}

    def for_program(self) -> _SymbolCache:
        objfiles = list(gdb.objfiles())
        if len(objfiles) != len(self.objfiles) or any(a is not b for a, b in zip(objfiles, self.objfiles)):
            self.objfiles, self.minimal = objfiles, {}
            filename = gdb.current_progspace().filename
            program = next((o for o in objfiles if o.filename == filename), None)
            if program is None or program is not self.program:
                self.program, self.symbols, self.types = program, {}, {}
        return self


_CACHE = _SymbolCache()


class _Guard:
    """What ``Process.guard`` gives: a state has thousands of guarded parts."""

    __slots__ = ("_process", "_what")

    def __init__(self, process: Process, what: str) -> None:
        self._process, self._what = process, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Optional[BaseException], _trace: Any) -> bool:
        if isinstance(error, NotReadable):
            self._process.note(f"{self._what}: {error}")
        elif isinstance(error, gdb.error):
            self._process.note(f"{self._what}: {_first_line(error)}")
        elif isinstance(error, (struct.error, OverflowError, UnicodeError)):
            self._process.note(f"{self._what}: not as expected ({error})")
        else:
            return False
        return True


class Process:
    """The selected inferior, read with bounds. Lives for one reading; keep none of its values after the process moved.

    :raises NotReadable: from every method that says ``require``, ``read`` or ``string``
    """

    def __init__(self, limits: Optional[Limits] = None) -> None:
        self.limits = limits or Limits()
        self.inferior = gdb.selected_inferior()
        self.notes: List[str] = []
        self._cache = _CACHE.for_program()
        self.objfile = self._cache.program
        self._void_p = gdb.lookup_type("void").pointer() if self._knows_void() else None
        self._architecture: Optional[Architecture] = None
        self.layouts: Dict[Any, Any] = {}  # layout.py's
        self._pages: Dict[int, bytes] = {}
        self._symbols_at: Dict[int, Optional[str]] = {}
        self._threads: Optional[Dict[int, gdb.InferiorThread]] = None
        self.has_types = self.objfile is not None and (
            self.symbol("aio_poll") is not None or self.symbol("main") is not None
        )

    # -- notes

    def note(self, text: str) -> None:
        """Remember what could not be read."""
        if text not in self.notes and len(self.notes) < _NOTE_LIMIT:
            self.notes.append(text)

    def guard(self, what: str) -> _Guard:
        """Turn what goes wrong inside into a note that names ``what``."""
        return _Guard(self, what)

    # -- symbols and types

    def symbol(self, name: str) -> Optional[gdb.Symbol]:
        """A function or variable of QEMU's program, global or static; None where it has none of this name."""
        symbols = self._cache.symbols
        if name not in symbols:
            symbols[name] = self._find_symbol(name)
        return symbols[name]

    def _find_symbol(self, name: str) -> Optional[gdb.Symbol]:
        try:
            if self.objfile is not None:
                return self.objfile.lookup_global_symbol(name) or self.objfile.lookup_static_symbol(name)
            return gdb.lookup_global_symbol(name)
        except gdb.error:
            return None

    def variable(self, *names: str) -> Optional[gdb.Value]:
        """The first of these variables that the program has, newest name first."""
        for name in names:
            symbol = self.symbol(name)
            # One that is only declared where gdb found it (SYMBOL_LOC_UNRESOLVED) has a value, but is no "variable".
            if symbol is not None and not symbol.is_function and symbol.addr_class != gdb.SYMBOL_LOC_TYPEDEF:
                try:
                    return symbol.value()
                except gdb.error:
                    continue
        return None

    def require(self, *names: str) -> gdb.Value:
        """Like ``variable``; raises NotReadable where there is none."""
        value = self.variable(*names)
        if value is None:
            raise NotReadable(f"no variable {' or '.join(names)} in the debug information")
        return value

    def address(self, *names: str) -> int:
        """Address of the first of these variables or functions, also from the symbol table alone; 0: none."""
        for name in names:
            symbol = self.symbol(name)
            try:
                if symbol is not None:
                    address = symbol.value().address
                    if address is not None:
                        return int(address)
                if symbol is None and not self.has_types:
                    return self._minimal(name)
            except gdb.error:
                continue
        return 0

    def _minimal(self, name: str) -> int:
        # Asking for a name that does not exist is dear where a program has full symbols (44 ms), cheap without.
        if self._cache.minimal.get(name, True):
            try:
                address = int(gdb.parse_and_eval(f"(unsigned long)&{name}"))
                self._cache.minimal[name] = True
                return address
            except gdb.error:
                self._cache.minimal[name] = False
        return 0

    def library_variable(self, name: str) -> int:
        """Address of a variable that a library exports; 0: none."""
        return self._minimal(name)

    def type(self, name: str, *anchors: str) -> Optional[gdb.Type]:
        """A type by its C name, looked up in the source file of the first ``anchors`` symbol that exists.

        A type that only one source file completes ("struct QEMUBH") costs over a second without an anchor.
        """
        types = self._cache.types
        if name not in types:
            types[name] = self._find_type(name, anchors)
        return types[name]

    def _find_type(self, name: str, anchors: Tuple[str, ...]) -> Optional[gdb.Type]:
        for anchor in anchors:
            symbol = self.symbol(anchor)
            if symbol is None:
                continue
            try:
                found = gdb.lookup_type(name, symbol.symtab.static_block())
            except gdb.error:
                continue
            if found.strip_typedefs().code != gdb.TYPE_CODE_STRUCT or found.strip_typedefs().sizeof:
                return found
        if anchors:
            return None
        try:
            return gdb.lookup_type(name)
        except gdb.error:
            return None

    def require_type(self, name: str, *anchors: str) -> gdb.Type:
        """Like ``type``; raises NotReadable where it is not known."""
        found = self.type(name, *anchors)
        if found is None:
            raise NotReadable(f"type {name} is not in the debug information")
        return found

    def at(self, address: Union[int, gdb.Value], type_: gdb.Type) -> gdb.Value:
        """What lies at an address, as a lazy value of this type."""
        return self.pointer(address, type_).dereference()

    def pointer(self, address: Union[int, gdb.Value], type_: gdb.Type) -> gdb.Value:
        """A pointer of this target type. A cast of a pointer to an incomplete type would search all of QEMU for it."""
        return gdb.Value(int(address)).cast(type_.pointer())

    def symbol_at(self, address: int) -> Optional[str]:
        """The symbol that begins at or before an address, "name" or "name+12"; None where there is none."""
        if not address or self._void_p is None:
            return None
        if address not in self._symbols_at:
            self._symbols_at[address] = self._find_symbol_at(address)
        return self._symbols_at[address]

    def _find_symbol_at(self, address: int) -> Optional[str]:
        try:
            text = gdb.Value(address).cast(self._void_p).format_string(symbols=True)
        except (gdb.error, OverflowError):
            return None
        match = _SYMBOL.search(text)
        return None if match is None else match.group(1) if not match.group(2) else f"{match.group(1)}+{match.group(2)}"

    def function_at(self, pointer: Union[int, gdb.Value]) -> Optional[str]:
        """Name of the function that a pointer points at, None for NULL; hex where it has no name."""
        address = to_int(pointer)
        if not address:
            return None
        name = self.symbol_at(address)
        return hex(address) if name is None or "+" in name else name

    # -- memory

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes at an address."""
        address &= 0xFFFFFFFFFFFFFFFF
        start = address % _PAGE
        if start + size <= _PAGE:
            page = self._page(address - start)
            if page:
                return page[start : start + size]
        try:
            return bytes(self.inferior.read_memory(address, size))
        except (gdb.error, OverflowError) as error:
            raise NotReadable(f"no memory at {address:#x}") from error

    def _page(self, address: int) -> bytes:
        """The page at an address; empty where it can't be read whole. What gdb is asked for once is not asked again."""
        page = self._pages.get(address)
        if page is None:
            if len(self._pages) >= _PAGES:
                self._pages.clear()
            try:
                page = bytes(self.inferior.read_memory(address, _PAGE))
            except (gdb.error, OverflowError):
                page = b""
            self._pages[address] = page
        return page

    def word(self, address: int) -> int:
        """The unsigned 64-bit word at an address."""
        return int(struct.unpack("<Q", self.read(address, 8))[0])

    def int32(self, address: int) -> int:
        """The signed 32-bit word at an address."""
        return int(struct.unpack("<i", self.read(address, 4))[0])

    def string(self, pointer: Union[int, gdb.Value], limit: int = STRING_LIMIT) -> str:
        """The C string at a pointer, "" for NULL, cut at ``limit`` bytes."""
        address = to_int(pointer)
        if not address:
            return ""
        data = b""
        while len(data) < limit:
            step = min(limit - len(data), _PAGE - (address + len(data)) % _PAGE, 64)
            try:
                chunk = self.read(address + len(data), step)
            except NotReadable:
                if data:
                    break
                raise
            end = chunk.find(b"\0")
            if end >= 0:
                data += chunk[:end]
                break
            data += chunk
        return data.decode("utf-8", "replace")

    def array_string(self, value: gdb.Value, limit: int = STRING_LIMIT) -> str:
        """The string in a ``char[N]`` field."""
        address = value.address
        if address is None:
            raise NotReadable("a string that lies in no memory")
        return self.string(int(address), min(limit, value.type.sizeof))

    # -- lists (include/qemu/queue.h)

    def walk(self, first: Any, step: Callable[[Any], Any], what: str, limit: Optional[int] = None) -> Iterator[Any]:
        """The pointers of a linked list, gdb.Values or numbers as ``first`` and ``step`` give them; ends with a note at
        a loop, at the bound, or where memory ends.
        """
        bound = self.limits.list_items if limit is None else limit
        seen = set()
        node = first
        while True:
            try:
                address = int(node)
            except gdb.error as error:
                self.note(f"{what}: the list can't be followed further ({_first_line(error)})")
                return
            if not address:
                return
            if address in seen:
                self.note(f"{what}: the list loops at {address:#x}; the memory is corrupt, or it was being changed")
                return
            if len(seen) >= bound:
                self.note(f"{what}: only the first {bound} entries were read")
                return
            seen.add(address)
            yield node
            try:
                node = step(node)
            except gdb.error as error:
                self.note(f"{what}: the list can't be followed further ({_first_line(error)})")
                return

    def qlist(self, head: gdb.Value, link: str, what: str, limit: Optional[int] = None) -> Iterator[gdb.Value]:
        """QLIST"""
        return self.walk(head["lh_first"], lambda node: node[link]["le_next"], what, limit)

    def qtailq(self, head: gdb.Value, link: str, what: str, limit: Optional[int] = None) -> Iterator[gdb.Value]:
        """QTAILQ"""
        return self.walk(head["tqh_first"], lambda node: node[link]["tqe_next"], what, limit)

    def qslist(self, head: gdb.Value, link: str, what: str, limit: Optional[int] = None) -> Iterator[gdb.Value]:
        """QSLIST"""
        return self.walk(head["slh_first"], lambda node: node[link]["sle_next"], what, limit)

    def qsimpleq(self, head: gdb.Value, link: str, what: str, limit: Optional[int] = None) -> Iterator[gdb.Value]:
        """QSIMPLEQ"""
        return self.walk(head["sqh_first"], lambda node: node[link]["sqe_next"], what, limit)

    def ghashtable(self, table: Union[int, gdb.Value], what: str) -> Iterator[Tuple[int, int]]:
        """Keys and values (addresses) of a GHashTable.

        glib has no debug information as a rule. glib/ghash.c: gsize size since 2.68, gint before; hashes 0 and 1
        mark free and deleted slots; since 2.60 keys and values are 32-bit wide while all of them fit.
        """
        address = to_int(table)
        if not address:
            return
        head = self.read(address, 64)
        for layout in ("<QiIIIIxxxxQQQ", "<iiIIIxxxxQQQ"):
            fields = struct.unpack_from(layout, head)
            wide = len(fields) == 9
            size, nodes = int(fields[0]), int(fields[3])
            keys, hashes, values = fields[-3:]
            if not keys or not hashes or not values or size <= 0 or size & (size - 1) or nodes > size:
                continue
            bits = int(fields[5]) if wide else 3
            if size > 1 << 20:
                self.note(f"{what}: a hash table of {size} slots was left out")
                return
            hash_words = struct.unpack(f"<{size}I", self.read(hashes, 4 * size))
            key_words = self._slots(keys, size, bool(bits & 1))
            value_words = self._slots(values, size, bool(bits & 2))
            for index, word in enumerate(hash_words):
                if word >= 2:
                    yield key_words[index], value_words[index]
            return
        raise NotReadable(f"{what}: a hash table in an unknown layout")

    def _slots(self, address: int, size: int, big: bool) -> Tuple[int, ...]:
        return struct.unpack(f"<{size}{'Q' if big else 'I'}", self.read(address, size * (8 if big else 4)))

    # -- enumerations

    def enum_name(self, table: str, number: int) -> Optional[str]:
        """QAPI name of an enumeration's value from its ``X_lookup`` table (QEnumLookup, include/qapi/util.h)."""
        address = self.address(table)
        if not address:
            return None
        try:
            # const char *const *array; [const unsigned char *features;] int size
            array = self.word(address)
            return self.string(self.word(array + 8 * number), 64) if 0 <= number < 512 else None
        except NotReadable:
            return None

    # -- threads

    def thread(self, lwp: Optional[int]) -> Optional[gdb.InferiorThread]:
        """gdb's thread of an LWP."""
        if self._threads is None:
            self._threads = {t.ptid[1]: t for t in self.inferior.threads()}
        return None if lwp is None else self._threads.get(lwp)

    @property
    def architecture(self) -> Architecture:
        """The architecture of the process.

        :raises NotReadable: this program does not know it
        """
        if self._architecture is None:
            try:
                name = self.inferior.architecture().name()
            except gdb.error as error:
                raise NotReadable("the architecture is not known") from error
            self._architecture = by_name(name)
            if self._architecture is None:
                raise NotReadable(f"saved registers of the architecture {name} can't be read")
        return self._architecture

    def thread_pointer(self) -> int:
        """The thread pointer of the selected thread.

        :raises NotReadable: the target does not give it
        """
        try:
            return int(gdb.newest_frame().read_register(self.architecture.thread_pointer)) & MASK
        except (gdb.error, ValueError) as error:
            raise NotReadable("the thread pointer is not known") from error

    @staticmethod
    def _knows_void() -> bool:
        try:
            gdb.lookup_type("void")
        except gdb.error:
            return False
        return True


def to_int(value: Union[int, gdb.Value]) -> int:
    """An address or number as a Python int."""
    return value if isinstance(value, int) else int(value)


def field(value: gdb.Value, *names: str) -> gdb.Value:
    """The first of these fields that a structure (or pointer to one) has, newest name first."""
    for name in names:
        try:
            return value[name]
        except gdb.error:
            continue
    raise NotReadable(f"no field {' or '.join(names)} in {value.type}")


def has_field(value: gdb.Value, name: str) -> bool:
    """Whether a structure, or the one that a pointer points at, has a field of this name."""
    try:
        value[name]
    except gdb.error:
        return False
    return True


def optional(read: Callable[[], Any], default: Any = None) -> Any:
    """What ``read`` returns, ``default`` where a field or memory is missing."""
    try:
        return read()
    except (gdb.error, NotReadable):
        return default


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:120]
