"""Reads why an access failed: the instruction, the pointer it used and where that came from, and what lies there."""

from __future__ import annotations

import os
import re
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import gdb

from ..model import Fault, Signal, Thread
from ..record import record
from .access import NotReadable, Process, field
from .qom import Qom

_MASK = (1 << 64) - 1
_INSTRUCTIONS = 3000  # disassembled at most, from the function's start
_DEEPEST = 4  # loads that a bad pointer is followed back through
_MEMBERS = 4  # nested structures in a member's name
_STACK_NEAR = 1 << 16  # bytes between a stack pointer and an access that belongs to the stack

_ATT = re.compile(
    r"(?:%(?P<seg>[c-g]s):)?(?P<off>-?0x[0-9a-f]+)?\((?P<base>%\w+)?(?:,(?P<index>%\w+),(?P<scale>\d))?\)"
)
_INTEL = re.compile(r"\[(?P<inside>[^\]]+)\]")
_REGISTER_64 = {
    **{f"{p}{r}": f"r{r}" for r in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp") for p in ("r", "e", "")},
    **{f"{r}l": f"r{r}x" for r in "abcd"},
    **{f"r{n}{s}": f"r{n}" for n in range(8, 16) for s in ("", "d", "w", "b")},
    "rip": "rip",
}
_CALLER_SAVED = frozenset("rax rcx rdx rsi rdi r8 r9 r10 r11".split())
_READS_ONLY = ("cmp", "test", "call", "jmp", "push", "ucomis", "comis", "bt ", "btl", "btq", "prefetch")


@record
class _Operand:
    """A memory operand: offset(base,index,scale)."""

    base: str
    index: str = ""
    scale: int = 1
    offset: int = 0
    segment: str = ""


def read(process: Process, qom: Qom, threads: Sequence[Thread], signal: Optional[Signal]) -> Optional[Fault]:
    """The failed access of the thread that took a fault signal; None where no thread took one.

    x86-64 only for the instruction and its pointer; the memory's kind on any. Selects the thread.
    """
    if signal is None or signal.name not in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE"):
        return None
    thread = next((t for t in threads if t.crashed), None) or next((t for t in threads if t.signal is signal), None)
    gdb_thread = process.thread(thread.lwp) if thread is not None else None
    if thread is None or gdb_thread is None:
        return None
    gdb_thread.switch()
    frame = gdb.newest_frame()  # the fatal signal itself runs no handler: the newest frame made the access
    if signal.address is None:
        frame = _raised_again(process, frame, signal) or frame
    fault = Fault(lwp=thread.lwp, address=signal.address)
    _Reader(process, frame, fault).run()
    if fault.address is not None and signal.name in ("SIGSEGV", "SIGBUS"):
        with process.guard("the memory at the faulting address"):
            _place(process, qom, fault, _register(frame, "sp"))
    return fault


_SIGINFO = 304  # bytes from a signal frame's ucontext to its siginfo: struct rt_sigframe of Linux, x86-64


def _raised_again(process: Process, newest: gdb.Frame, signal: Signal) -> Optional[gdb.Frame]:
    """The frame that made the access, where a handler took its signal and raised it again; fills in the signal.

    sigbus_handler (softmmu/cpus.c, system/cpus.c, 5.2 to 10.2) does so. The kernel left the first siginfo on the stack.
    """
    frame: Optional[gdb.Frame] = newest
    for _ in range(12):
        if frame is None:
            return None
        if frame.type() == gdb.SIGTRAMP_FRAME:
            break
        frame = frame.older()
    place = _register(frame, "rsp") if frame is not None else None
    if frame is None or place is None:
        return None
    try:
        number, code = process.int32(place + _SIGINFO), process.int32(place + _SIGINFO + 8)
        address = process.word(place + _SIGINFO + 16)
    except NotReadable:
        return None
    if number != signal.number or code <= 0:
        return None
    signal.code, signal.address, signal.sender_pid = code, address, None
    return frame.older()


def _register(frame: gdb.Frame, name: str) -> Optional[int]:
    try:
        return int(frame.read_register(name)) & _MASK
    except (gdb.error, ValueError):
        return None


class _Reader:
    """Follows the faulting instruction's pointer back to a variable of the program."""

    def __init__(self, process: Process, frame: gdb.Frame, fault: Fault) -> None:
        self._process, self._frame, self._fault = process, frame, fault
        self._code: List[Tuple[int, str]] = []

    def run(self) -> None:
        try:
            if "x86-64" not in self._frame.architecture().name():
                return
            pc = self._frame.pc()
            (now,) = self._frame.architecture().disassemble(pc)
        except (gdb.error, ValueError):
            return  # pc lies nowhere: a call through a bad pointer
        text = _plain(now["asm"])
        self._fault.instruction = text
        operand = self._operand_at_fault(text)
        if operand is None:
            return
        self._fault.access = _access(text)
        self._fault.register = operand.base
        self._fault.base = self._value(operand.base)
        self._fault.offset = operand.offset
        if operand.base in ("", "rip", "rsp") or self._fault.base is None:
            return
        self._code = list(self._code_before(pc))
        self._name(operand)

    def _operand_at_fault(self, text: str) -> Optional[_Operand]:
        operands = _operands(text)
        for operand in operands:
            address = self._address(operand)
            if address is not None and self._fault.address is not None \
                    and address <= self._fault.address < address + 64:
                return operand
        return operands[0] if len(operands) == 1 else None

    def _address(self, operand: _Operand) -> Optional[int]:
        total = operand.offset
        for name, factor in ((operand.base, 1), (operand.index, operand.scale)):
            if name:
                value = self._value(name)
                if value is None:
                    return None
                total += value * factor
        return total & _MASK

    def _value(self, register: str) -> Optional[int]:
        return _register(self._frame, register) if register else None

    def _code_before(self, pc: int) -> Iterator[Tuple[int, str]]:
        """The function's instructions up to ``pc``, each with its address."""
        try:
            block = gdb.block_for_pc(pc)
            while block is not None and block.superblock is not None and not block.superblock.is_static:
                block = block.superblock  # out of the inlined functions to the one that holds the code
            start = block.start if block is not None else 0
        except (gdb.error, RuntimeError, AttributeError):
            start = 0
        if not start or not 0 < pc - start < _INSTRUCTIONS * 8:
            return
        try:
            for each in self._frame.architecture().disassemble(start, pc - 1):
                yield each["addr"], _plain(each["asm"])
        except gdb.error:
            return

    def _name(self, operand: _Operand) -> None:
        fault = self._fault
        index = len(self._code)
        expression, target = self._whence(operand.base, fault.base or 0, index, _DEEPEST)
        fault.pointer = expression
        if target is None and not expression:
            candidates = self._variables(fault.base or 0, operand.offset)
            if len(candidates) == 1:
                fault.pointer, target = candidates[0]
        if target is not None and not operand.index:
            fault.member = _member(target, operand.offset)

    def _whence(
        self, register: str, value: int, before: int, depth: int
    ) -> Tuple[str, Optional[gdb.Type]]:
        """The C expression whose value a register got, with the type it points at; "" where it can't be told.

        Each load found is read again from memory, so that a path not taken is not believed.
        """
        if depth == 0:
            return "", None
        for at in range(before - 1, -1, -1):
            text = self._code[at][1]
            kind, source = _written(text, register)
            if kind == "":
                continue
            if kind == "load" and isinstance(source, _Operand):
                return self._loaded(source, value, at, depth)
            if kind == "copy" and isinstance(source, str):
                if self._value(source) != value:
                    return "", None
                name = self._variable(value)
                return name if name[0] else self._whence(source, value, at, depth - 1)
            if kind == "call":
                callee = re.search(r"<([^>+]+)>", text)
                return (f"the result of {callee.group(1)}()", None) if callee and register == "rax" else ("", None)
            return "", None
        return self._variable(value)

    def _loaded(self, source: _Operand, value: int, at: int, depth: int) -> Tuple[str, Optional[gdb.Type]]:
        address = self._address(source)
        try:
            same = address is not None and self._process.word(address) == value
        except NotReadable:
            same = False
        holder = self._value(source.base)
        if not same or not holder or source.index or source.base in ("rip", "rsp", "rbp"):
            return self._variable(value) if value else ("", None)
        name, target = self._variable(holder)
        if not name:
            name, target = self._whence(source.base, holder, at, depth - 1)
        if not name or target is None:
            return "", None
        member, type_ = _field_at(target, source.offset)
        if not member:
            return "", None
        pointed = type_.strip_typedefs() if type_ is not None else None
        after = pointed.target() if pointed is not None and pointed.code == gdb.TYPE_CODE_PTR else None
        return f"{name}->{member}", after

    def _frames(self) -> Iterator[gdb.Frame]:
        """The frames that share the faulting instruction's registers: inlined ones and the function that holds them."""
        frame: Optional[gdb.Frame] = self._frame
        for _ in range(12):
            if frame is None:
                return
            yield frame
            if frame.type() != gdb.INLINE_FRAME:
                return
            frame = frame.older()

    def _variable(self, value: int) -> Tuple[str, Optional[gdb.Type]]:
        """The one argument or local variable that is a pointer of this value, with what it points at."""
        found = self._variables(value, None) if value else []
        return found[0] if found else ("", None)

    def _variables(self, value: int, offset: Optional[int]) -> List[Tuple[str, Optional[gdb.Type]]]:
        found: Dict[str, Optional[gdb.Type]] = {}
        for frame in self._frames():
            for symbol in _pointers_of(frame):
                if symbol.name in found:
                    continue
                target = symbol.type.strip_typedefs().target()
                try:
                    held = symbol.value(frame)
                    if held.is_optimized_out or int(held) & _MASK != value:
                        continue
                except (gdb.error, RuntimeError):
                    continue
                if offset is None or (offset < target.sizeof and _field_at(target, offset)[0]):
                    found[symbol.name] = target
        # A pointer to a structure tells more than a void pointer of the same value.
        return sorted(found.items(), key=lambda item: not _is_structure(item[1]))


def _pointers_of(frame: gdb.Frame) -> Iterator[gdb.Symbol]:
    """The arguments and local variables of a frame that are pointers."""
    try:
        block = frame.block()
    except RuntimeError:
        return
    for _ in range(20):
        for symbol in block:
            if (symbol.is_argument or symbol.is_variable) and symbol.type.strip_typedefs().code == gdb.TYPE_CODE_PTR:
                yield symbol
        if block.function is not None or block.superblock is None:
            return
        block = block.superblock


def _is_structure(type_: Optional[gdb.Type]) -> bool:
    return type_ is not None and type_.strip_typedefs().code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION)


def _member(type_: gdb.Type, offset: int) -> str:
    name, _ = _field_at(type_, offset)
    return f"{type_.unqualified()}.{name}" if name else ""


def _field_at(type_: gdb.Type, offset: int) -> Tuple[str, Optional[gdb.Type]]:
    """Name and type of the scalar member at a byte offset; "" where there is none."""
    path = ""
    current, left = type_.strip_typedefs(), offset
    for _ in range(_MEMBERS * 2):
        if current.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
            inside = next(
                (f for f in current.fields()
                 if not f.is_base_class and hasattr(f, "bitpos") and f.bitpos // 8 <= left
                 and left < f.bitpos // 8 + max(f.type.sizeof, 1)),
                None,
            )
            if inside is None:
                return "", None
            left -= inside.bitpos // 8
            if inside.name:
                path = f"{path}.{inside.name}" if path else inside.name
            current = inside.type.strip_typedefs()
        elif current.code == gdb.TYPE_CODE_ARRAY and current.target().sizeof:
            path += f"[{left // current.target().sizeof}]"
            left %= current.target().sizeof
            current = current.target().strip_typedefs()
        else:
            return (path, current) if left < max(current.sizeof, 1) else ("", None)
    return path, current


# ---------------------------------------------------------------------------------------------------------------
# Instructions, in either of gdb's spellings (set disassembly-flavor)


def _plain(asm: str) -> str:
    return " ".join(asm.split())


def _operands(text: str) -> List[_Operand]:
    found = []
    for match in _ATT.finditer(text):
        if not match.group("base") and not match.group("index"):
            continue
        found.append(
            _Operand(
                _REGISTER_64.get((match.group("base") or "%").lstrip("%"), ""),
                _REGISTER_64.get((match.group("index") or "%").lstrip("%"), ""),
                int(match.group("scale") or 1),
                int(match.group("off") or "0", 16),
                match.group("seg") or "",
            )
        )
    if found:
        return found
    for match in _INTEL.finditer(text):
        operand = _Operand("")
        for sign, term in re.findall(r"([+-]?)\s*([\w*]+)", match.group("inside")):
            name, _, scale = term.partition("*")
            if name in _REGISTER_64:
                if scale or operand.base:
                    operand.index, operand.scale = _REGISTER_64[name], int(scale or 1)
                else:
                    operand.base = _REGISTER_64[name]
            else:
                try:
                    operand.offset += int(term, 0) * (-1 if sign == "-" else 1)
                except ValueError:
                    break
        found.append(operand)
    return found


def _is_att(text: str) -> bool:
    return "%" in text


def _access(text: str) -> str:
    """What the instruction does with its memory operand: read or write."""
    if text.startswith(_READS_ONLY):
        return "read"
    operands = re.split(r",(?![^(\[]*[)\]])", text.partition(" ")[2])
    memory = next((i for i, o in enumerate(operands) if "(" in o or "[" in o), 0)
    target = len(operands) - 1 if _is_att(text) else 0
    if text.startswith("rep"):
        return "write" if "stos" in text or "movs" in text else "read"
    return "write" if memory == target and len(operands) > 1 else "read"


def _written(text: str, register: str) -> Tuple[str, object]:
    """How an instruction changes a register: ("load", operand), ("copy", register), ("call", None), ("other", None),
    or ("", None) where it does not.
    """
    name, _, rest = text.partition(" ")
    if name.startswith("call"):
        return ("call", None) if register in _CALLER_SAVED else ("", None)
    if name.startswith(("cmp", "test", "push", "j", "nop", "endbr", "ret", "prefetch", "ucomis", "comis", "bt")):
        return "", None
    operands = [o.strip() for o in re.split(r",(?![^(\[]*[)\]])", rest.partition("#")[0].partition("<")[0])]
    if not operands or not operands[0]:
        return "", None
    target, source = (operands[-1], operands[0]) if _is_att(text) else (operands[0], operands[-1])
    if _REGISTER_64.get(target.lstrip("%"), "") != register:
        return "", None
    if name in ("mov", "movq") and len(operands) == 2:
        loads = _operands(source)
        if loads and not loads[0].segment:
            return "load", loads[0]
        copied = _REGISTER_64.get(source.lstrip("%"), "")
        if copied:
            return "copy", copied
    return "other", None


# ---------------------------------------------------------------------------------------------------------------
# Memory


def _place(process: Process, qom: Qom, fault: Fault, stack_pointer: Optional[int]) -> None:
    address = fault.address or 0
    if _in_guest_ram(process, qom, fault):
        return
    mapping = _mapping(process, address)
    near = stack_pointer is not None and -_STACK_NEAR < address - stack_pointer < 4096
    if near and not _readable(process, address):
        fault.memory_kind = "stack"
        fault.memory = "just below the stack's end: the stack is full"
    elif mapping is not None:
        fault.memory_kind = "mapping"
        fault.memory = mapping
    elif not _readable(process, address) and address >= 0x10000:
        fault.memory_kind = "unmapped"
        fault.memory = "nothing is mapped there"


def _readable(process: Process, address: int) -> bool:
    try:
        process.read(address, 1)
        return True
    except NotReadable:
        return False


def _in_guest_ram(process: Process, qom: Qom, fault: Fault) -> bool:
    """Whether the address lies in a RAMBlock (include/exec/ramblock.h, 5.2 to 10.2); names it, its file and offset."""
    ram_list = process.variable("ram_list")
    if ram_list is None or fault.address is None:
        return False
    for block in process.walk(ram_list["blocks"]["lh_first"], lambda b: b["next"]["le_next"], "RAM blocks", 1024):
        host, size = int(field(block, "host")), int(field(block, "max_length"))
        if not host or not host <= fault.address < host + size:
            continue
        fault.memory_kind = "guest-ram"
        fault.ram_block = process.array_string(field(block, "idstr"))
        fault.ram_offset = fault.address - host
        fault.ram_size = size
        with process.guard("the memory backend"):
            fault.ram_owner = qom.label(int(block["mr"]["owner"])) if int(block["mr"]["owner"]) else ""
        path = _mapped_file(process, fault.address)
        if path:
            fault.ram_file = path
            if process.inferior.pid and os.path.exists(path) and _is_live(process):
                fault.ram_file_size = os.stat(path).st_size
        fault.memory = f"guest RAM, block {fault.ram_block}"
        return True
    return False


def _is_live(process: Process) -> bool:
    connection = getattr(process.inferior, "connection", None)
    return connection is not None and connection.type == "native"


def _mappings(process: Process) -> Iterator[Tuple[int, int, str]]:
    """First address, address after the last, file of each mapping that gdb knows."""
    try:
        told = gdb.execute("info proc mappings", to_string=True)
    except gdb.error:
        return
    for line in told.splitlines():
        words = line.split(None, 6)
        if len(words) >= 4 and words[0].startswith("0x") and words[1].startswith("0x"):
            path = line[line.index("/"):].strip() if "/" in line else (words[-1] if words[-1].startswith("[") else "")
            yield int(words[0], 16), int(words[1], 16), path


def _mapping(process: Process, address: int) -> Optional[str]:
    for first, last, path in _mappings(process):
        if first <= address < last:
            return f"a mapping of {path}" if path else "a mapping without a file"
    return None


def _mapped_file(process: Process, address: int) -> str:
    path = next((p for first, last, p in _mappings(process) if first <= address < last), "")
    return path[: -len(" (deleted)")] if path.endswith(" (deleted)") else path if path.startswith("/") else ""
