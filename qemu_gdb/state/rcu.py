"""Which threads are inside an RCU read-side critical section."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from .. import architecture
from ..model import RcuReader, Thread
from .access import Process
from .layout import ADDRESS, layout, require

_TLS_REACH = 1 << 20  # bytes below a thread's pointer that its static thread-local variables can lie at


def read(process: Process, threads: Sequence[Thread]) -> List[RcuReader]:
    """Readers registered with RCU whose section is open (``registry``, util/rcu.c; struct rcu_reader_data).

    While ``synchronize_rcu`` sorts readers, some lie on its own lists; those can't be told.
    """
    head = process.variable("registry")
    if head is None:
        return []
    machine = next(filter(None, (architecture.of(t.registers) for t in threads)), None)
    name = machine.thread_pointer if machine is not None else ""
    # a helper thread of the kernel has the registers of the vCPU thread that made it
    bases = {t.registers[name]: t.lwp for t in threads if t.registers.get(name) and not t.kernel_only}
    result = []
    first = head["lh_first"]
    members = layout(process, first.type.target(), "node.le_next", "depth", "ctr", "waiting")
    for reader in members.walk(process, int(first), "node.le_next", "RCU readers", 16384):
        depth, waiting = reader["depth"] or 0, reader["waiting"]
        if depth or reader["ctr"]:
            owner = _owner(require(reader, ADDRESS), bases, machine is None or machine.tls_below)
            result.append(RcuReader(owner, depth, None if waiting is None else bool(waiting)))
    return result


def _owner(address: int, bases: Dict[int, Optional[int]], below: bool) -> Optional[int]:
    # The structure is thread-local: it lies just below its thread's pointer (x86-64), or above it (aarch64).
    near = {abs(base - address): lwp for base, lwp in bases.items()
            if abs(base - address) <= _TLS_REACH and (address < base) == below}
    return near[min(near)] if near else None
