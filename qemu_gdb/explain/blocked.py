"""Says in what the innermost frames of a stack wait, and which function called the wait."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional

from ..knowledge.aborts import gives_up
from ..knowledge.rests import EVENT_LOOPS, ONLY_POLLS, POLLERS
from ..knowledge.roles import STARTERS
from ..knowledge.waits import BLOCKING_INSIDE, BQL_SYMBOLS, KVM_RUN, NON_BLOCKING, WRAPPERS, WRITES_ALL, kind_of_wait
from .owners import code_of
from .stack import Stack, once_a_stack


class Blocked(NamedTuple):
    """What the top of a stack waits in. Positions are indexes into the stack's frames."""

    # mutex, condvar, semaphore, event, join, poll, sleep, signal, syscall, vcpu-run, guest-syscall, coroutine, futex;
    # "" running
    kind: str
    last: int = -1  # the outermost waiting function
    caller: Optional[int] = None  # the first frame above it, named or not; None at the end of the stack
    named: Optional[int] = None  # the first named frame above it that belongs to nobody's event loop
    loop: Optional[int] = None  # of a poll: the outermost frame of the event loop that polls
    poller: str = (
        ""  # of a poll: the function that polls by itself (aio_poll, g_main_loop_run...), "" where nobody's loop polls
    )
    relock: bool = False  # a condition wait that is over, and wants its mutex back
    mutex: str = ""  # symbol of the mutex, where it is shown


_MAX = 24  # waiting functions and unnamed frames looked at from the top


@once_a_stack
def blocked(stack: Stack) -> Blocked:
    """What the stack's innermost frames wait in; ``kind`` is "" for a thread that runs."""
    names = stack.names
    kinds: List[str] = []
    last = -1
    limit = min(len(names), _MAX)
    wrapper = inside_wrapper(stack)
    for position in range(limit):
        name = names[position]
        kind = kind_of_wait(name)
        if not kind:
            if position < wrapper:
                continue
            # nameless frames, and libc's functions that no table knows, may stand inside a wait
            if not name or (last < 0 and position < 4 and code_of(stack.frames[position]).owner == "libc"):
                continue
            break
        if last < 0 and kind == "coroutine" and position:
            break  # the switch itself is at work
        kinds.append(kind)
        last = position
    if last < 0:
        if names and names[0] in EVENT_LOOPS:
            return _poll(stack, -1)
        if names and not names[0]:
            return _in_a_nameless_poll(stack)
        return Blocked("")
    if last == 0 and kinds[0] == "futex" and names[0] == "syscall" and names[1:2] and "io_uring" in names[1]:
        kinds[0] = "syscall"  # liburing enters the kernel by it
    if last == 0 and kinds[0] == "mutex" and names[0].startswith("qemu_") and stack.level(0) == 0:
        return Blocked("")  # QEMU's wrapper has not called pthread_mutex_lock, or has come back
    if last == 0 and (_is_kvm_run(stack) or names[0] == "ioctl" and names[1:2] and names[1] in _RUNS):
        return Blocked("vcpu-run", 0, 1 if len(names) > 1 else None, _named(stack, 1))
    kind = next((k for k in reversed(kinds) if k != "futex"), "futex")
    relock = False
    if kind in ("condvar", "mutex-recond"):
        inner = [k for k in kinds if k != "futex"]
        relock = "mutex-recond" in kinds or (inner[0] == "mutex" and kind == "condvar")
        kind = "mutex" if relock else "condvar"
    if kind == "poll":
        return _poll(stack, last)
    if kind == "vcpu-run" and not _runs_guest(stack, last):
        kind = "syscall"
    caller = last + 1 if last + 1 < len(names) else None
    return Blocked(kind, last, caller, _named(stack, last + 1), relock=relock, mutex=_mutex(stack, last))


_ILLUMOS = frozenset(("mutex_lock", "cond_wait", "sema_wait"))  # its libc's, and in QEMU's sources too
_DEEPEST = 6  # functions of a libc between QEMU's wait and the kernel


@once_a_stack
def inside_wrapper(stack: Stack) -> int:
    """How many of the innermost frames are a libc's, inside a function of QEMU's that only calls libc to wait.

    Each libc has names of its own there (``_umtx_op_err``, ``lwp_park``, ``_rthread_mutex_timedlock``).
    """
    position = stack.find(WRAPPERS, 1, _DEEPEST)
    if position is None or stack.level(0) != 0 or stack.thread.crashed or stack.thread.signal is not None:
        return 0
    foreign = all(
        (code_of(f).owner in ("libc", "unknown", "none", "library") or f.name in _ILLUMOS) and not gives_up(f.name)
        for f in stack.frames[:position]
    )
    return position if foreign and any(stack.names[:position]) else 0


def returns_at_once(stack: Stack, start: int) -> bool:
    """Whether the system call at ``start`` is on a descriptor that QEMU never lets block."""
    near = stack.names[start : start + 8]
    return not NON_BLOCKING.isdisjoint(near) and BLOCKING_INSIDE.isdisjoint(near) and not writes_all(stack, start)


def writes_all(stack: Stack, start: int) -> bool:
    """Whether the call is repeated until a chardev's other side has taken everything."""
    end = min(start + 10, len(stack))
    if stack.find(WRITES_ALL, start, end) is not None:
        return True
    writes = stack.find(("qemu_chr_write_buffer", "qemu_chr_write"), start, end)
    return writes is not None and stack.arg(writes, "write_all") == "true"


def _named(stack: Stack, start: int) -> Optional[int]:
    for position in range(start, len(stack)):
        if stack.names[position]:
            return position
    return None


def _in_a_nameless_poll(stack: Stack) -> Blocked:
    """A loop whose innermost frames have no name: poll() of a libc without symbols, under QEMU's and GLib's names."""
    first = _named(stack, 0)
    if first is None or first > 3 or stack.names[first] not in ONLY_POLLS or stack.level(0) != 0:
        return Blocked("")
    if any(code_of(frame).in_qemu for frame in stack.frames[:first]):
        return Blocked("")
    return _poll(stack, first - 1)._replace(last=-1)  # a fault there is one: no kernel wait is seen


def _poll(stack: Stack, last: int) -> Blocked:
    """A wait for descriptors: find the event loop it belongs to."""
    names = stack.names
    loop: Optional[int] = None
    poller = ""
    position = last + 1
    while position < len(names):
        name = names[position]
        if name in EVENT_LOOPS:
            loop = position
            if name in POLLERS:
                poller = name
            if poller and not _continues(stack, position + 1):
                break
        elif name or not _loop_follows(stack, position):
            break
        position += 1
    outer = (loop if loop is not None else last) + 1
    return Blocked("poll", last, outer if outer < len(names) else None, _named(stack, outer), loop, poller)


def _continues(stack: Stack, position: int) -> bool:
    """Whether the same event loop goes on: GLib's iteration under its loop, aio_poll inlined into itself."""
    while position < len(stack.names) and not stack.names[position]:
        if code_of(stack.frames[position]).owner != "library":
            return False
        position += 1
    if position >= len(stack.names):
        return False
    name = stack.names[position]
    return name in POLLERS and (name.startswith("g_main") or name == stack.names[position - 1])


def _loop_follows(stack: Stack, position: int) -> bool:
    """An unnamed frame inside an event loop: the next named frame is the loop's."""
    for later in range(position, min(position + 4, len(stack.names))):
        if stack.names[later]:
            return stack.names[later] in EVENT_LOOPS
    return False


# Functions whose own ioctl() is KVM_RUN: qemu-kvm 0.1x, and where compilers left kvm_vcpu_ioctl out
_RUNS = ("kvm_run", "kvm_cpu_exec", "kvm_vcpu_thread_fn")
_NUMBERS = r"(?:0x[0-9a-fA-F]{1,16}|\d{1,20})\b"


def _is_kvm_run(stack: Stack) -> bool:
    """ioctl(KVM_RUN) by its request number, even under a wrong symbol's name and argument names."""
    for value in stack.frames[0].args.values():
        found = re.match(_NUMBERS, value)
        if found and int(found.group(0), 0 if found.group(0).startswith("0x") else 10) in KVM_RUN:
            return True
    return False


def _runs_guest(stack: Stack, last: int) -> bool:
    """Whether a hypervisor call runs the guest: kvm_vcpu_ioctl also reads and writes registers."""
    if stack.names[last] != "kvm_vcpu_ioctl":
        return True
    request = stack.arg_number(last, "type", "request")
    if request is not None:
        return request in KVM_RUN
    caller = _named(stack, last + 1)
    return caller is None or stack.names[caller] in ("kvm_cpu_exec", "kvm_run") or stack.names[caller] in STARTERS


def _mutex(stack: Stack, last: int) -> str:
    """Symbol of the mutex that the wait's frames show."""
    for position in range(last, -1, -1):
        shown = stack.arg_symbol(position, "mutex", "m", "lock")
        if shown:
            return shown
    return ""


def is_bql(mutex: str) -> bool:
    """Whether a symbol names the big QEMU lock."""
    return mutex in BQL_SYMBOLS
