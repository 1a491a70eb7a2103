"""Who holds QEMU's locks and who waits for them: the BQL, AioContext locks, and every mutex that a thread waits for."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple

import gdb

from ..model import Facts, Lock, Wait
from .access import NotReadable, Process, field, optional
from .waits import owner_of

# Mutexes that are variables: symbol, what to call it. A version that lacks one is fine.
GLOBAL_MUTEXES = (
    ("qemu_cpu_list_lock", "qemu_cpu_list_lock"),  # cpu-common.c (cpus-common.c before 8.0)
    ("rcu_registry_lock", "rcu_registry_lock"),  # util/rcu.c
    ("rcu_sync_lock", "rcu_sync_lock"),
    ("monitor_lock", "monitor_lock"),  # monitor/monitor.c
    ("job_mutex", "job_mutex"),  # job.c, since 7.1 a lock of its own
    ("aio_context_list_lock", "aio_context_list_lock"),  # block/graph-lock.c, since 8.0
    ("mmap_mutex", "mmap_lock"),  # linux-user/mmap.c
    ("map_client_list_lock", "map_client_list_lock"),
    ("qemu_file_lock", "qemu_file_lock"),
    ("throttle_groups_lock", "throttle_groups_lock"),
    ("pool_lock", "pool_lock"),
)
# Condition variables that threads are known to sleep on.
GLOBAL_CONDITIONS = (
    "qemu_cpu_cond",  # system/cpus.c: a vCPU thread has been created
    "qemu_pause_cond",  # system/cpus.c: pause_all_vcpus waits for vCPUs to stop
    "qemu_work_cond",  # cpu-common.c: run_on_cpu waits for the work to be done
    "exclusive_cond",  # cpu-common.c: start_exclusive waits for running vCPUs
    "exclusive_resume",  # cpu-common.c: vCPUs wait for the end of an exclusive section
    "rcu_call_ready_event",  # util/rcu.c
    "rcu_gp_event",  # util/rcu.c: wait_for_readers
)
BQL_SYMBOLS = ("bql", "qemu_global_mutex")  # system/cpus.c: bql since 9.0 (195801d700c0)
_LEA = re.compile(r"^lea\s.*\(%rip\),%rsi\s+#\s*(0x[0-9a-f]+)")


def bql_address(process: Process) -> int:
    """Address of the BQL; 0: unknown. Without debug information: from the code of qemu_cond_wait_bql."""
    address = process.address(*BQL_SYMBOLS) if process.has_types else 0
    if address:
        return address
    # A static variable has no symbol in a stripped program, but this exported function passes it on:
    # qemu_cond_wait(cond, &bql) (system/cpus.c; qemu_cond_wait_iothread before 9.0).
    for name in ("qemu_cond_wait_bql", "qemu_cond_wait_iothread"):
        start = process.address(name)
        if not start:
            continue
        try:
            listing = gdb.selected_frame().architecture().disassemble(start, start + 48)
        except gdb.error:
            continue
        for instruction in listing:
            match = _LEA.match(instruction["asm"])
            if match:
                return int(match.group(1), 16)
            if instruction["asm"].startswith(("ret", "jmp")):
                break
    return 0


def names(process: Process, bql: int) -> Dict[int, str]:
    """Names of the locks and conditions whose addresses are known."""
    result = {bql: "BQL"} if bql else {}
    if process.has_types:
        for symbol, name in GLOBAL_MUTEXES:
            address = process.address(symbol)
            if address:
                result[address] = name
        for symbol in GLOBAL_CONDITIONS:
            address = process.address(symbol)
            if address:
                result[address] = symbol
    ram_list = process.variable("ram_list")
    if ram_list is not None:
        address = optional(lambda: int(field(ram_list, "mutex").address), 0)
        if address:
            result[address] = "ram_list.mutex"
    return result


def read(process: Process, facts: Facts, waits: List[Wait], named: Dict[int, str], bql: int) -> None:
    """Fill the BQL's owner and the list of locks: those waited for, and those of known name that are held."""
    locks: Dict[int, Lock] = {}

    def lock(address: int, name: str = "", kind: str = "mutex") -> Optional[Lock]:
        if address not in locks:
            owner, known = owner_of(process, address)
            name = name or named.get(address) or process.symbol_at(address) or f"mutex {address:#x}"
            locks[address] = Lock(name, address, kind, owner, known)
        return locks[address]

    if bql:
        owner, known = owner_of(process, bql)
        facts.bql_owner_lwp, facts.bql_known = owner, known
        lock(bql, "BQL")
    for wait in waits:
        if wait.kind == "mutex" and wait.address:
            entry = lock(wait.address, wait.name)
            if entry is not None:
                entry.waiter_lwps.append(wait.lwp)
    for symbol, name in GLOBAL_MUTEXES if process.has_types else ():
        address = process.address(symbol)
        if address and owner_of(process, address)[0]:
            lock(address, name)
    for address, name in _aio_context_locks(process, facts):
        if address in locks:
            locks[address].name, locks[address].kind = name, "aiocontext"
        elif owner_of(process, address)[0]:
            lock(address, name, "aiocontext")
    facts.locks = list(locks.values())
    for wait in waits:
        if wait.kind == "mutex" and wait.address in locks:
            wait.name = locks[wait.address].name


def _aio_context_locks(process: Process, facts: Facts) -> List[Tuple[int, str]]:
    """AioContext.lock, as long as it means something: aio_context_acquire went away in 9.0 (6bc30f194989)."""
    if process.has_types:
        facts.extra["aiocontext_locks"] = process.symbol("aio_context_acquire") is not None
    if process.symbol("aio_context_acquire") is None:
        return []
    result = []
    contexts = [(t.context, t.name) for t in facts.iothreads if t.context]
    if facts.main_context:
        contexts.append((facts.main_context, "main"))
    type_ = process.type("AioContext", "aio_context_new", "aio_poll")
    if type_ is None:
        return []
    for address, name in contexts:
        try:
            rec_mutex = field(process.at(address, type_), "lock")
            result.append((int(rec_mutex.address), f"AioContext lock of {name}"))
        except (NotReadable, gdb.error):
            continue
    return result
