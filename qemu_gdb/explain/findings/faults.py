"""Crashes by a signal of the processor or the kernel: bad pointers, bus errors, illegal instructions, the sandbox."""

from __future__ import annotations

import re
from typing import List, Optional, Tuple

from ...knowledge import graphics, pointers, signals
from ...knowledge.helpers import is_cast
from ...knowledge.match import Names
from ...knowledge.roles import STARTERS
from ...model import Evidence, Frame
from ...pattern import Pattern
from .. import printed
from ..context import Context, Subject
from ..owners import code_of
from ..printed_access import access_of
from ..stack import Stack, number, once_a_stack, string, symbol
from . import common, host_memory, pointer_shown, sandbox
from .cause import Cause, fatal_signal, function_at, is_fatal, past_helpers
from .common import at, cut, evidence, joined, oneline, place
from .elsewhere import ended_at_rest, made_elsewhere

_ADDRESS = Pattern(
    r"(?:segfault at|si_addr ?=|fault(?:ing)? addr(?:ess)?:?|address=|unknown address|at address|[Aa]ttempt to "
    r"(?:read|write) "
    r"(?:from|to) address|KERN_\w+ at|protection fault at) ?(0x)?([0-9a-fA-F]+)"
)
# apport's SegvAnalysis: 'source "0x10(%rdi)" (0x00000010) not located in a known VMA region'
_APPORT = Pattern(r"\((0x[0-9a-fA-F]+)\) not located in a known VMA|\((0x[0-9a-fA-F]+)\) in non-\w+ VMA")
_IGNORED_NULLS = frozenset(
    """errp err error local_err retaddr ra sigmask timeout opaque cb parent reference options child_class ignore
    ignore_child user_data data mask abstime notify return_path argv envp hostname tlscreds to_free abi
    host_error callback func arg args fdset""".split()
)
_GUARD = Pattern(r"^0x[0-9a-f]+$")


def fault_address(context: Context, subject: Subject) -> Optional[int]:
    """The address that the process could not access, as siginfo or the kernel's or debugger's line tells it."""
    for signal in (subject.told.thread.signal, context.snapshot.signal):
        if signal is not None and signal.address is not None:
            return signal.address
        if signal is not None and signal.text:
            found = _ADDRESS.search(signal.text)
            if found:
                return int(found.group(2)[:16], 16)
    shown = printed.signal_address(context.snapshot)
    if shown is not None:
        return shown
    for text in context.said:
        found = _APPORT.search(text) if "VMA" in text else None
        if found:
            return int((found.group(1) or found.group(2))[2:18], 16)
        if any(sign in text for sign in ("ttempt to", "segfault at", "si_addr", "EXC_BAD_ACCESS", "KERN_")):
            found = _ADDRESS.search(text)
            if found:
                return int(found.group(2)[:16], 16)
    return None


# Arguments that are numbers in most functions that have them
_SCALAR = Pattern(
    r"(?:\w+_)?(?:len|length|size|sz|addr|address|off|offset|pos|val|value|index|idx|fd|mask|num|nb|nr|count|bytes"
    r"|sectors?|flags?|features|attrs|irq|level|port|pc|type|id|width|height|shift|limit|op|cmd|perm|mode|status"
    r"|result|ret|code|request|version|version_id)$"
)
_COUNTS = Pattern(r"(?:\w+_)?(?:len|length|size|index|idx|fd|num|nb|count|bytes|width|height|irq|version_id)$")


@once_a_stack
def _prints_hex(stack: Stack) -> bool:
    """Whether the dump has plain numbers in hexadecimal, as gef, pwndbg and gdb's output-radix 16 write them."""
    return any(
        value.startswith("0x") and (number(value) or 0) < 0x10000 and _COUNTS.match(name)
        for frame in stack.frames[:64]
        for name, value in frame.args.items()
    )


def null_arguments(stack: Stack, position: int) -> List[str]:
    """Names of pointer arguments of a frame that are NULL, without those for which NULL is usual."""
    found = []
    for name, value in stack.frames[position].args.items():
        null = value in ("0x0", "(nil)", "NULL") or re.match(r"^\(.*\*\) ?0x0$", value)
        if null and name not in _IGNORED_NULLS and not (_SCALAR.match(name) and _prints_hex(stack)):
            found.append(name)
    return found


def _passed_from(stack: Stack, where: int) -> Optional[int]:
    """Who passed a NULL pointer to the frame at ``where``: out of callers whose own first pointer, or one of the same
    name, is NULL.
    """
    names = set(null_arguments(stack, where))
    passed = common.qemu_frame(stack, where + 1)
    while passed is not None and passed - where < 6 and passed + 1 < len(stack):
        nulls = null_arguments(stack, passed)
        if not names.intersection(nulls) and next(iter(stack.frames[passed].args), "") not in nulls:
            break
        if common.qemu_frame(stack, passed + 1) != passed + 1:
            break
        names.update(nulls)
        passed += 1
    return passed


def _from_the_guest(stack: Stack, names: List[str], passed: int) -> List[str]:
    """The element of a virtqueue that a NULL vector is of: hw/virtio/virtio.c virtqueue_pop, of the guest's request."""
    vectors = [n for n in names if n in ("in_sg", "out_sg", "iov", "sg")]
    if not vectors or "vq" not in stack.frames[passed].args:
        return []
    return [f"frame {stack.level(passed)}, p *elem (or what info locals has): in_num, in_sg, out_num and out_sg of the "
            "guest's request"]


def nameless(frame: Frame) -> str:
    """A frame without a name as a title has it: "qemu-system-x86_64+0x5d1b55"."""
    where = (frame.library or "").rsplit("/", 1)[-1]
    if where and frame.offset is not None:
        return f"{where}+0x{frame.offset:x}"
    return f"unnamed code of {where}" if where else "code without a name"


def _unnamed(frame: Frame) -> str:
    """Code without a name: of which library it is, where that is not QEMU's own."""
    code = code_of(frame)
    base = (frame.library or "").rsplit("/", 1)[-1]
    if not base or code.in_qemu or code.owner == "libc":
        return "unnamed code"
    whose, _ = graphics.drawer_of(base)
    return f"{base} ({whose})," if whose else f"{base},"


def _symbolize(frame: Frame) -> Optional[str]:
    """The step that turns a nameless frame into a function and a line."""
    if frame.library is None or frame.offset is None:
        return None
    return (f"addr2line -Cfie {frame.library} 0x{frame.offset:x}, with the debug symbols of exactly this build "
            "(debuginfod, or the package's -dbgsym or -debuginfo)")


def odd_arguments(stack: Stack, position: int) -> List[Tuple[str, int, str]]:
    """Pointer arguments that can't be good: small, spelling text, poisoned, misaligned."""
    found = []
    for name, value in stack.frames[position].args.items():
        if not re.match(r"^0x[0-9a-fA-F]+\b", value) or string(value) is not None or symbol(value):
            continue
        pointer = number(value) or 0
        if 0 < pointer < 0x10000:
            if not _SCALAR.match(name) and (name in ALIGNED or not _prints_hex(stack)):
                found.append((name, pointer, "too small for a pointer"))
            continue
        mark = pointers.poison(pointer)
        if mark:
            found.append((name, pointer, mark))
            continue
        text = pointers.text_of(pointer)
        if text:
            found.append((name, pointer, f'its bytes spell "{text}": the memory it was read from holds text now'))
        elif pointer >= 1 << 47 and pointer < 0xFFFF800000000000 and pointer > 0xFFFFFFFFFFFF:
            found.append((name, pointer, "not a canonical address"))
        elif pointer % 4 and pointer > 0x100000 and name in ALIGNED:
            found.append((name, pointer, "not aligned: the memory it was read from was freed or overwritten"))
    return found


ALIGNED = frozenset(
    """bs blk mutex sov acb old chunk job s n dev vdev obj mr ctx node child cpu list f co bus pdev req task ioc
    chan klass class opaque vq q
    nc d pool lock req elem state notifier""".split()
)


_SEGFAULT = Pattern(r"(?i)\bseg(?:mentation )?[ -]?fault|\bsigsegv\b|\bsigfault|\bsegv\b")


def as_told(context: Context, subject: Subject) -> Optional[Cause]:
    """A crash that the report tells in words, or that the frames alone suggest; no signal is known."""
    stack = subject.stack
    top = _top(stack)
    blame = common.qemu_frame(stack, top)
    culprit = past_helpers(stack, blame) if blame is not None else None
    culprit = culprit if culprit is not None else blame
    if blame is not None and is_cast(stack.names[blame]):
        blame = culprit  # the cast only checks a type
    lines = [*context.snapshot.unparsed[:2000], *[t.heading for t in context.snapshot.threads if t.heading]]
    line = next((x for x in lines if _SEGFAULT.search(x)), None)
    if line is None and subject.waiting is not None and subject.waiting.resting:
        return ended_at_rest(subject)
    function = function_at(subject, blame)
    spot = place(stack.frames[blame]) if blame is not None else ""
    word = "Segmentation fault" if line else "Crash"
    cause = Cause(
        subject,
        "crash.invalid-access",
        f"{word}{f' in {function}' if function else ''}{f', {spot}' if spot else ''}",
        "as-told-in-words" if line else "as-told",
        "likely",
        culprit,
        function=function_at(subject, culprit) or None,
    )
    if line:
        cause.proof.append(Evidence(text=cut(oneline(line), 160), thread=subject.number))
    if blame is not None:
        cause.proof.append(evidence(subject, blame, f"{function} {spot}".rstrip()))
    before = cause.headline
    _bad_pointer(context, cause, subject, top, blame, culprit, fault_address(context, subject))
    cause.sentences.insert(
        0,
        "The signal itself is not in the input; the text says that it crashed."
        if line or subject.told.state_rule == "report-says-so"
        else "No signal is in the input.",
    )
    if cause.headline.split(", under ")[0] == before and not line:
        cause.kind = "crash.signal"
    if not any("_siginfo" in step for step in cause.steps):
        cause.steps.append("the debugger's line with the signal, or: p $_siginfo")
    return cause


def faulted(context: Context, subject: Subject) -> Optional[Cause]:
    stack = subject.stack
    signal = subject.told.thread.signal or context.snapshot.signal
    if signal is None or not is_fatal(signal):
        signal = fatal_signal(context)
    if signal is None:
        return None
    name = signals.named(signal)
    kind, meaning = signals.SIGNALS.get(name, ("crash.signal", f"Signal {signal.number}"))
    address = fault_address(context, subject)
    elsewhere = made_elsewhere(context, subject, signal, kind, name)
    if elsewhere is not None:
        return elsewhere
    top = _top(stack)
    blame = common.qemu_frame(stack, top)
    culprit = past_helpers(stack, blame) if blame is not None else None
    culprit = culprit if culprit is not None else blame
    if blame is not None and is_cast(stack.names[blame]):
        blame = culprit  # the cast only checks a type
    if blame is not None and stack.names[blame] in STARTERS:
        blame = culprit = None  # nothing of QEMU's has a name: who started the thread has no part in it
    function = function_at(subject, blame)
    spot = place(stack.frames[blame]) if blame is not None else ""
    inside = f" in {function}" if function else ""
    if blame is None and len(stack):
        inside = f" in {stack.names[0] or nameless(stack.frames[0])}"
    if blame is not None and not stack.names[top] and blame > top:
        inside, spot = f" in {_unnamed(stack.frames[top])} under {function}", ""
    if kind in ("crash.illegal-instruction", "crash.arithmetic") and top < len(stack) and stack.names[top]:
        inside, spot = f" in {stack.names[top]}", place(stack.frames[top])  # that instruction is there, a helper or not
    cause = Cause(
        subject,
        kind,
        f"{meaning}{inside}" + (f", {spot}" if spot else ""),
        "signal",
        blame=culprit,
        function=function_at(subject, culprit) or None,
    )
    cause.proof.append(Evidence(text=oneline(signal.text) or name, thread=subject.number))
    if blame is not None:
        cause.proof.append(evidence(subject, blame, f"{function} {spot}".rstrip()))
    if kind == "crash.invalid-access" and _unwinds_for_longjmp(stack, top):
        cause.sentences.append(
            "longjmp() unwinds the stack there, through the code that TCG generated, which has no unwind information. "
            "Not the guest's doing: QEMU has to be built with the setjmp() that does not unwind "
            "(include/system/os-win32.h)."
        )
        cause.steps.append("a newer QEMU, or another build of it for this host (mingw's setjmp): does it end as well?")
    elif kind == "crash.invalid-access":
        _bad_pointer(context, cause, subject, top, blame, culprit, address)
    elif kind == "crash.bus-error":
        host_memory.explain(context, cause, function, address, signal)
    elif kind == "crash.illegal-instruction":
        _illegal(context, cause, stack, top, inside)
    elif name in _LIMITS:
        whose, step = _LIMITS[name]
        cause.headline = f"{meaning} ({whose}){inside}" + (f", {spot}" if spot else "")
        why = "a loop without end would meet that limit, too" if whose == "RLIMIT_CPU" else "no fault of QEMU's code"
        cause.sentences.append(f"The process went beyond its limit {whose}, and the kernel ended it for that: {why}.")
        cause.steps.append(step)
    elif name == "EXCEPTION_INT_OVERFLOW":
        cause.sentences.append(f"A division{inside} had a result too large for its register.")
    elif name == "EXCEPTION_STACK_OVERFLOW":
        cause.sentences.append("The thread or coroutine has used its whole stack; no frames repeat in what is shown.")
    elif kind == "crash.arithmetic":
        _divided(context, cause, stack, top, inside)
    elif kind == "crash.seccomp":
        sandbox.explain(context, cause, function)
    elif kind == "crash.abort":
        cause.headline = f"abort(){f' called in {function}' if function else '; the stack does not show by whom'}"
    return cause


def _unwinds_for_longjmp(stack: Stack, top: int) -> bool:
    """Whether Windows' longjmp(), which unwinds the stack, was at it when TCG left its loop (accel/tcg/cpu-exec*.c)."""
    unwinds = top < len(stack) and stack.names[top].startswith(("RtlUnwind", "RtlpUnwind", "RtlVirtualUnwind"))
    return unwinds and stack.find(("cpu_loop_exit", "cpu_loop_exit_restore", "cpu_loop_exit_noexc"), top) is not None


# setrlimit(2) of Linux; systemd.exec(5)
_LIMITS = {
    "SIGXFSZ": (
        "RLIMIT_FSIZE",
        "ulimit -f of the shell, LimitFSIZE= of the unit, /etc/security/limits.conf: raise it beyond the image's size",
    ),
    "SIGXCPU": (
        "RLIMIT_CPU",
        "ulimit -t of the shell, LimitCPU= of the unit, /etc/security/limits.conf: raise or remove it",
    ),
}
_TRAPS = ("ud2", "udf", "brk", "trap", "int3", "ebreak", "unimp")  # what compilers and assert-like macros emit


def _divided(context: Context, cause: Cause, stack: Stack, top: int, inside: str) -> None:
    frame = stack.frames[top] if top < len(stack) else None
    line = printed.source_line(context.snapshot, frame.line) if frame is not None else None
    given = list(frame.args.items()) if frame is not None else []
    divisor = printed.zero_divisor(context.snapshot, line, given) if line else ""
    if divisor and line:
        cause.sentences.append(f'An integer division{inside} had the divisor 0: {divisor} is, in "{cut(line, 90)}".')
        cause.steps.append(f"what gave {divisor} its value? It has to be refused there, or before this line")
        return
    cause.sentences.append(f"An integer division{inside} had the divisor 0 (or overflowed).")
    cause.steps.append("x/i $pc and info registers: which value was 0, and where does it come from?")


def _illegal(context: Context, cause: Cause, stack: Stack, top: int, inside: str) -> None:
    """An instruction that the processor refused: a compiler's trap, one that it lacks, or TCG's for another host."""
    frame = stack.frames[top] if top < len(stack) else None
    shown = printed.instruction_at(context.snapshot, frame.pc) if frame is not None else None
    told = f' "{shown.text}"' if shown is not None else " an instruction"
    if shown is not None:
        cause.proof.append(evidence(cause.subject, top, f"pc 0x{shown.pc:x}: {shown.text}"))
    if frame is not None and code_of(frame).owner == "jit":
        cause.headline = "Illegal instruction in code that TCG generated"
        cause.blame = cause.function = None
        cause.sentences.append(
            f"The processor refused{told}, which TCG itself wrote into its code buffer. TCG emits what it found the "
            "host to have when QEMU started: the host does not execute all that it reports (a hypervisor's or an "
            "emulator's virtual CPU), QEMU found out a feature wrongly, or the code buffer was overwritten."
        )
        if shown is None:
            cause.steps.append("x/i $pc: which instruction")
        cause.steps.append("the host's /proc/cpuinfo: does it have that instruction's feature, and is the host a VM?")
        cause.steps.append("run with -d op_opt,out_asm -D FILE: which TCG operation emits that instruction")
        return
    if shown is not None and shown.text.split()[0].startswith(_TRAPS):
        cause.sentences.append(
            f"The processor stopped at{told}{inside}: a compiler's trap for what may not be reached."
        )
        return
    if shown is not None:
        cause.sentences.append(
            f"The processor refused{told}{inside}: this host CPU lacks it, or the code was built for another."
        )
        cause.steps.append("the host's /proc/cpuinfo: does it have that instruction's feature?")
        return
    cause.sentences.append(
        f"The processor refused an instruction{inside}: either a compiler's trap at a place that must not be "
        "reached (ud2; udf or brk of Arm), or an instruction that this host CPU lacks."
    )
    cause.steps.append("x/i $pc: ud2, udf or brk is a trap of the compiler; anything else is a missing CPU feature of "
                       "the host")


# QEMU's handlers of fault signals: linux-user/signal.c, bsd-user/signal.c, util/oslib-posix.c, accel/kvm
_FAULT_HANDLERS = frozenset(
    """host_signal_handler host_sigsegv_handler host_sigbus_handler cpu_signal_handler sigbus_handler
    qemu_sigbus_handler kvm_on_sigbus sigbus_reraise segv_handler""".split()
)


def _top(stack: Stack) -> int:
    """Position of the frame that faulted: outside of the trampoline where a handler of fault signals runs."""
    trampoline = next((i for i, f in enumerate(stack.frames[:16]) if f.kind == "signal"), None)
    if trampoline is None or trampoline + 1 >= len(stack):
        return 0
    inside = stack.names[:trampoline]
    raised_again = bool(inside) and inside[0] in _RAISES and all(not n or n in common.PLUMBING for n in inside[1:])
    if trampoline == 0 or raised_again or any(n in _FAULT_HANDLERS for n in inside):
        return trampoline + 1
    return 0


# what a handler without a name that raises its signal again stands in: system/cpus.c sigbus_reraise, 5.2 to 10.2
_RAISES = Names("pthread_sigmask", "raise", "pthread_kill*", "__pthread_kill*", "kill", "tgkill", "sigprocmask")


def _bad_pointer(
    context: Context,
    cause: Cause,
    subject: Subject,
    top: int,
    blame: Optional[int],
    culprit: Optional[int],
    address: Optional[int],
) -> None:
    stack = subject.stack
    frame = stack.frames[top] if top < len(stack) else None
    if frame is not None and not frame.function and (frame.pc is not None and frame.pc < 0x10000):
        _bad_call(cause, stack, top, frame.pc)
        return
    access = access_of(context.snapshot, frame)
    if access is not None and cause.row != "signal" and access.base and not access.odd:
        access = None  # no fault is known: this may be where somebody stopped it
    if access is not None and (address is None or not address and access.odd) and access.address is not None:
        address = access.address  # a fault at no canonical address comes without one
    function = function_at(subject, blame) or (
        nameless(frame) if frame is not None and not frame.function else "the function"
    )
    spot = place(stack.frames[blame]) if blame is not None else ""
    if frame is not None and not frame.function and (named := _symbolize(frame)):
        cause.steps.append(named)
    if blame is not None and blame > top and frame is not None and not frame.function:
        function, spot = f"{_unnamed(frame)} under {function}", ""
    tail = f", {spot}" if spot else ""
    if address is not None and address < 0x10000:
        cause.kind = "crash.null-dereference"
        offset = f" plus 0x{address:x}" if address else ""
        cause.headline = f"NULL pointer{offset} dereferenced in {function}{tail}"
    names: List[str] = []
    chained = False  # whether callers' own pointers are told to be NULL, too
    where = blame
    positions = [p for p in range(top, min((culprit if culprit is not None else top) + 1, top + 5)) if p < len(stack)]
    for position in positions:
        nulls = null_arguments(stack, position)
        if nulls:
            names, where = nulls, position
            break
    odd: List[Tuple[str, int, str]] = []
    for position in positions:
        odd = [o for o in odd_arguments(stack, position) if o[1] != address or address is None or address >= 0x10000]
        if odd:
            where = position if not names else where
            break
    if names and (address is None or address < 0x10000):
        cause.kind = "crash.null-dereference"
        if where is not None:
            shown = joined([f'"{n}"' for n in names[:2]])
            passed = _passed_from(stack, where)
            if passed is not None and not all(stack.names[where + 1 : passed]):
                passed = None  # code without a name stands between, perhaps generated code
            by = f"; {stack.names[passed]} (frame {stack.level(passed)}) passed it" if passed is not None else ""
            if address is None or address == 0 or len(names) == 1:
                cause.headline = f"NULL pointer {shown} in {stack.names[where] or function}{tail}"
            caster = common.qemu_frame(stack, where + 1)
            if is_cast(stack.names[where]) and caster is not None and passed is not None:
                spot = place(stack.frames[caster])
                cause.headline = f"NULL pointer cast by {stack.names[where]}() in {stack.names[caster]}" + (
                    f", {spot}" if spot else ""
                )
            chained = passed is not None and passed > where + 1
            also = [(p, null_arguments(stack, p)) for p in range(where + 1, passed if passed is not None else 0)]
            further = [f'"{more[0]}" in frame {stack.level(p)}' for p, more in also if more]
            chain = f", and so {'is' if len(further) == 1 else 'are'} {joined(further)}" if further else ""
            cause.sentences.append(
                f"{shown} {'are' if len(names) > 1 else 'is'} 0x0 in frame {stack.level(where)}{chain}{by}."
            )
            if passed is not None and stack.frames[passed].file:
                cause.steps += _from_the_guest(stack, names, passed)
                if chain:
                    cause.steps.append(f"frame {stack.level(passed)}, info locals: where does the NULL come from?")
            cause.proof.append(evidence(subject, where, f"{joined(names[:2])} = 0x0"))
    elif odd and where is not None:
        name, value, why = odd[0]
        cause.headline = f"Bad pointer {name}=0x{value:x} used in {stack.names[where] or function}{tail}"
        cause.sentences.append(f"{name}=0x{value:x} in frame {stack.level(where)} is no valid pointer: {why}.")
        cause.proof.append(evidence(subject, where, f"{name} = 0x{value:x}"))
        if "freed" in why or "overwritten" in why or "holds text" in why or "mark" in why:
            cause.sentences.append("So the object behind it was freed or overwritten before; this thread only used it.")
            cause.steps.append("reproduce with AddressSanitizer (configure --enable-asan): it names who freed it")
    elif address is not None and address < 0x10000:
        cause.sentences.append(
            "A member of a structure whose pointer is NULL was accessed"
            + (f", at offset 0x{address:x}." if address else ".")
        )
    elif address is not None:
        mark = pointers.poison(address) or (
            f'its bytes spell "{pointers.text_of(address)}"' if pointers.text_of(address) else ""
        )
        cause.headline = f"Invalid address 0x{address:x} accessed in {function}{tail}"
        if mark:
            cause.sentences.append(f"The address is {mark}.")
    if access is not None:
        pointer_shown.by_register(cause, access, address, function + tail, named=bool(names or odd))
    printed_null = False
    if not names and not odd and (address is None or address < 0x10000):
        printed_null = pointer_shown.printed_null(context, cause, stack, positions, function + tail)
    if culprit is not None and blame is not None and culprit != blame:
        if not chained:
            cause.sentences.append(
                f"{function} is a helper; the pointer came from {at(stack, culprit)}"
                + (f", {place(stack.frames[culprit])}." if place(stack.frames[culprit]) else ".")
            )
        cause.proof.append(evidence(subject, culprit, f"called from {stack.names[culprit]}"))
        if stack.names[culprit] and stack.names[culprit] not in cause.headline and cause.headline.endswith(function):
            cause.headline += f", called by {stack.names[culprit]}"
    if culprit is not None:
        _library(cause, subject, culprit)
    drawer = next((step for f in stack.frames[top : top + 3] if (step := graphics.drawer_of(f.library or "")[1])), "")
    if drawer:
        cause.steps.append(drawer)
    if any(n in _SWITCHES for n in stack.names[: (blame or 0) + 2]):
        cause.sentences.append(
            "A fault in the switch of stacks itself means a coroutine whose stack or saved context is gone (entered "
            "or deleted twice), "
            "or a compiler, kernel or hardware fault: registers and disassembly decide."
        )
        cause.steps.append("x/4i $pc and info registers: is the stack pointer inside a mapped stack?")
    if not cause.sentences:
        cause.sentences.append(f"The input does not show which pointer {function} followed.")
        cause.steps.append(
            f"frame {stack.level(blame) if blame is not None else 0}, then: p $_siginfo._sifields._sigfault.si_addr, "
            "x/i $pc, info registers, info locals: which pointer was bad"
        )
    elif where is not None and cause.kind == "crash.null-dereference" and not names and not printed_null:
        cause.steps.append(
            f"frame {stack.level(blame) if blame is not None else 0}, then x/i $pc and info locals: which pointer "
            f"is NULL"
        )


_SWITCHES = frozenset(
    (
        "swapcontext",
        "longjmp",
        "siglongjmp",
        "__longjmp",
        "__vmx__longjmp",
        "__longjmp_chk",
        "__libc_siglongjmp",
        "SwitchToFiber",
        "_longjmp",
    )
)


def _library(cause: Cause, subject: Subject, culprit: int) -> None:
    """Where QEMU's own code ends, if what faulted is a library's, or of no release of QEMU's."""
    stack = subject.stack
    level = subject.told.culprit_level
    if level is None or level <= stack.level(culprit):
        return
    foreign = not _of_qemu(stack, culprit) or code_of(stack.frames[culprit]).owner in ("library", "libc")
    if not foreign and code_of(stack.frames[culprit]).owner != "unknown":
        return
    mine = next(
        (p for p in range(len(stack)) if stack.level(p) == level and stack.names[p] == subject.told.culprit), None
    )
    if mine is None:
        return
    spot = place(stack.frames[mine])
    name = stack.names[culprit]
    whose = "This is a library's code" if foreign else f"{name} is a library's, or of no QEMU that is known here"
    cause.sentences.append(f"{whose}; QEMU's nearest frame is {at(stack, mine)}{f', {spot}' if spot else ''}.")
    cause.proof.append(evidence(subject, mine, f"QEMU's frame: {stack.names[mine]}"))
    if cause.headline.endswith(f" in {name}"):
        cause.headline += f", under {stack.names[mine]}"
    if not cause.steps:
        cause.steps.append(
            f"p $_siginfo._sifields._sigfault.si_addr; frame {level}, info locals: which pointer did "
            f"{stack.names[mine]} hand over?"
        )


def _of_qemu(stack: Stack, position: int) -> bool:
    """Whether a frame can be QEMU's: it has no library, and no file outside of QEMU's tree as far as paths tell."""
    frame = stack.frames[position]
    if frame.library and "qemu" not in frame.library:
        return False
    return frame.file is None or common.is_rooted(frame.file)


def _bad_call(cause: Cause, stack: Stack, top: int, pc: int) -> None:
    caller = common.qemu_frame(stack, top + 1)
    name = stack.names[caller] if caller is not None else ""
    cause.kind = "crash.null-dereference" if pc == 0 else "crash.invalid-access"
    word = "NULL" if pc == 0 else f"0x{pc:x}"
    cause.headline = f"Call through a function pointer that is {word}" + (f", by {name}" if name else "")
    cause.blame, cause.function = caller, name or None
    cause.sentences.append(
        (
            f"{at(stack, caller)} called a callback whose pointer is {word}"
            if caller is not None
            else f"The pc is {word}"
        )
        + ": the structure that holds it was never filled, or was freed while still registered"
        + ("; or the dynamic linker left a weak symbol at 0." if pc == 0 else ".")
    )
    if caller is not None:
        cause.steps.append(
            f"frame {stack.level(caller)}, info locals: the list entry or ops structure whose callback was called"
        )
