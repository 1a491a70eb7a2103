"""Which threads are inside an RCU read-side critical section."""

from __future__ import annotations

from typing import List, Optional, Sequence

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
    bases = {t.registers["fs_base"]: t.lwp for t in threads if t.registers.get("fs_base")}
    result = []
    first = head["lh_first"]
    members = layout(process, first.type.target(), "node.le_next", "depth", "ctr", "waiting")
    for reader in members.walk(process, int(first), "node.le_next", "RCU readers", 16384):
        depth, waiting = reader["depth"] or 0, reader["waiting"]
        if depth or reader["ctr"]:
            owner = _owner(require(reader, ADDRESS), bases)
            result.append(RcuReader(owner, depth, None if waiting is None else bool(waiting)))
    return result


def _owner(address: int, bases: dict[int, Optional[int]]) -> Optional[int]:
    # The structure is thread-local: on x86-64 it lies just below its thread's pointer.
    above = [base for base in bases if address < base <= address + _TLS_REACH]
    return bases[min(above)] if above else None
