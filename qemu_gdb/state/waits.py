"""What each thread's innermost frames wait for: by its system call's registers, else by the arguments of the wait."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Set, Tuple

from .. import architecture
from ..model import Frame, Thread, Wait
from .access import NotReadable, Process
from .arguments import FrameArguments, find

# linux/futex.h: WAKE, FD, REQUEUE, CMP_REQUEUE, WAKE_OP, UNLOCK_PI, WAKE_BITSET
_SIGNALS_CONDITION = ("condvar_quiesce_and_switch_g1", "__condvar_quiesce_and_switch_g1")
_FUTEX_WAKES = frozenset((1, 2, 3, 4, 5, 7, 10))
_FUTEX_COMMAND = 0x7F  # without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME
_POLLS = {7: "poll", 271: "ppoll", 23: "select", 270: "pselect6", 232: "epoll_wait", 281: "epoll_pwait",
          426: "io_uring_enter", 35: "nanosleep", 230: "clock_nanosleep"}
_OUT_OF_REACH = 24  # frames to look outward for the function that waits

# pthread functions by what their first argument is; the frames around them differ between glibc versions
_MUTEX_FUNCTIONS = (
    "pthread_mutex_lock", "pthread_mutex_timedlock", "pthread_mutex_cond_lock", "pthread_mutex_lock_full",
    "qemu_mutex_lock_impl", "qemu_rec_mutex_lock_impl", "qemu_mutex_lock",
)
_CONDITION_FUNCTIONS = (
    "pthread_cond_wait", "pthread_cond_timedwait", "pthread_cond_wait_common", "pthread_cond_clockwait",
    "qemu_cond_wait_impl", "qemu_cond_timedwait_impl", "qemu_cond_timedwait_ts", "qemu_cond_wait",
    "g_cond_wait", "g_cond_wait_until",
)
_SEMAPHORE_FUNCTIONS = ("qemu_sem_wait", "qemu_sem_timedwait", "sem_wait", "sem_timedwait", "new_sem_wait")
_JOIN_FUNCTIONS = ("pthread_join", "pthread_clockjoin_ex", "pthread_timedjoin_ex", "qemu_thread_join", "g_thread_join")
_EVENT_FUNCTIONS = ("qemu_event_wait",)
# glibc 2.25 on, nptl/pthreadP.h: struct pthread_cond_t's __g_signals lie at +40 (2.36) or +32, +36, +40, +44
_CONDITION_WORDS = (40, 44, 36, 32, 28, 24)


class WaitReader:
    """Reads what threads wait for, and names it."""

    def __init__(self, process: Process, arguments: FrameArguments, names: Dict[int, str]) -> None:
        self._process, self._arguments, self._names = process, arguments, names
        self._lwps: Set[int] = set()
        self._bql = next((address for address, name in names.items() if name == "BQL"), 0)

    def read(self, threads: List[Thread]) -> List[Wait]:
        """The waits of all threads that wait for something nameable."""
        self._lwps = {t.lwp for t in threads if t.lwp}
        found = []
        for thread in threads:
            if not thread.lwp or thread.kernel_only or not thread.frames:
                continue
            with self._process.guard(f"what LWP {thread.lwp} waits for"):
                wait = self._one(thread, thread.lwp)
                if wait is not None:
                    found.append(wait)
        return found

    def _one(self, thread: Thread, lwp: int) -> Optional[Wait]:
        machine = architecture.of(thread.registers)
        if machine is not None and machine.is_system_call(thread.registers, machine.futex):
            return self._futex(thread, lwp, [thread.registers.get(name, 0) for name in machine.arguments])
        mutex = self._innermost(thread, _MUTEX_FUNCTIONS)
        if mutex and self._asleep(thread):  # another architecture, or a system call that registers don't show
            return self._mutex(thread, lwp, mutex)
        return None

    def _asleep(self, thread: Thread) -> bool:
        return find(thread, "futex_wait", "lll_lock_wait", "lll_lock_wait_private") is not None

    def _innermost(self, thread: Thread, functions: Tuple[str, ...]) -> Optional[Frame]:
        for frame in thread.frames[:_OUT_OF_REACH]:
            if frame.name in functions:
                return frame
        return None

    def _futex(self, thread: Thread, lwp: int, arguments: Sequence[int]) -> Optional[Wait]:
        address, operation, joined = arguments[0], arguments[1] & 0xFFFFFFFF, arguments[2]
        if operation & _FUTEX_COMMAND in _FUTEX_WAKES:
            return None  # it wakes others, and returns at once
        if self._innermost(thread, _SIGNALS_CONDITION) is not None:
            return None  # a moment's wait inside pthread_cond_signal()
        join = self._innermost(thread, _JOIN_FUNCTIONS)
        event = self._innermost(thread, _EVENT_FUNCTIONS)
        if event is not None:
            found = self._arguments.number(thread, event, "ev") or address
            return Wait(lwp, "event", found, self._name(found))
        if operation == 0x109 and (join is not None or (joined in self._lwps and self._joins(address, joined))):
            # FUTEX_WAIT_BITSET | CLOCK_REALTIME, not private: the kernel clears the joined thread's tid word
            owner = joined if joined in self._lwps else None
            text = "" if owner else f"LWP {joined} no longer exists" if joined else ""
            return Wait(lwp, "join", address, f"LWP {joined}", owner_lwp=owner, text=text)
        # FUTEX_WAIT or FUTEX_LOCK_PI, private or not: a mutex (low-level lock). pthread_cond_wait that takes its
        # mutex again waits for the mutex as well.
        if operation in (0x80, 0x00, 0x86, 0x06, 0x8D, 0x0D):
            if self._innermost(thread, _SEMAPHORE_FUNCTIONS[2:]) is not None and not self._asleep_on_lock(thread):
                return Wait(lwp, "semaphore", address, self._name(address))
            return Wait(lwp, "mutex", address, self._name(address), owner_lwp=self.owner(address))
        condition = self._innermost(thread, _CONDITION_FUNCTIONS)
        semaphore = self._innermost(thread, _SEMAPHORE_FUNCTIONS)
        named = self._condition_at(address)
        if condition is not None and not condition.args and self._name(named).startswith("halt_cond"):
            # one of many vCPU threads with the same stack: its own condition tells all (cpus.c: it goes with the BQL)
            return Wait(lwp, "condvar", named, self._name(named), mutex=self._bql)
        if condition is not None:
            cond = self._arguments.number(thread, condition, "cond") or 0
            mutex = self._arguments.number(thread, condition, "mutex") or 0
            if not cond:
                cond = self._condition_at(address)
            outer = self._innermost(thread, ("qemu_cond_wait_impl", "qemu_cond_timedwait_impl"))
            if not mutex and outer is not None:
                mutex = self._arguments.number(thread, outer, "mutex") or 0
            kind, name = "condvar", self._name(cond)
            if semaphore is not None:  # QemuSemaphore is a mutex, a condition and a count (util/qemu-thread-posix.c)
                kind = "semaphore"
                cond = self._arguments.number(thread, semaphore, "sem") or cond
                name = self._name(cond)
            return Wait(lwp, kind, cond, name, mutex=mutex)
        if semaphore is not None:
            return Wait(lwp, "semaphore", address, self._name(address))
        return Wait(lwp, "futex", address, self._name(address))

    def _asleep_on_lock(self, thread: Thread) -> bool:
        return self._innermost(thread, ("lll_lock_wait", *_MUTEX_FUNCTIONS[:4])) is not None

    def _joins(self, address: int, joined: int) -> bool:
        try:
            return self._process.int32(address) == joined
        except NotReadable:
            return False

    def _condition_at(self, word: int) -> int:
        """The condition variable that a futex word belongs to: one that has a name, else by glibc 2.36's layout."""
        for offset in _CONDITION_WORDS:
            if (word - offset) in self._names:
                return word - offset
        return word - _CONDITION_WORDS[0]

    def _mutex(self, thread: Thread, lwp: int, frame: Frame) -> Wait:
        address = self._arguments.number(thread, frame, "mutex") or 0
        return Wait(lwp, "mutex", address, self._name(address), owner_lwp=self.owner(address))

    def owner(self, mutex: int) -> Optional[int]:
        """LWP of the thread that holds a pthread mutex; None: free or unknown."""
        return owner_of(self._process, mutex)[0]

    def _name(self, address: int) -> str:
        if not address:
            return ""
        if address in self._names:
            return self._names[address]
        symbol = self._process.symbol_at(address)
        return symbol or ""


def owner_of(process: Process, mutex: int) -> Tuple[Optional[int], bool]:
    """Owner's LWP of the pthread_mutex_t at an address, and whether that is known.

    x86-64 glibc: lock +0, count +4, owner +8, nusers +12, kind +16. An elided lock has no owner word; robust and
    PI mutexes keep the owner in the lock word.
    """
    if not mutex:
        return None, False
    try:
        data = process.read(mutex, 20)
    except NotReadable:
        return None, False
    lock, _, owner, _, kind = (int.from_bytes(data[i : i + 4], "little") for i in range(0, 20, 4))
    if kind & 0x30:  # PTHREAD_MUTEX_ROBUST_NORMAL_NP 0x10, PTHREAD_MUTEX_PRIO_INHERIT_NP 0x20
        owner = lock & 0x3FFFFFFF
    if owner:
        return owner, True
    return None, not (kind & 0x100 and lock)
