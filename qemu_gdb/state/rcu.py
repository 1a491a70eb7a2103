"""Which threads are inside an RCU read-side critical section."""

from __future__ import annotations

from typing import List, Optional, Sequence

from ..model import RcuReader, Thread
from .access import Process, optional

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
    for reader in process.qlist(head, "node", "RCU readers", 16384):
        with process.guard("an RCU reader"):
            depth = int(reader["depth"])
            if not depth and not int(reader["ctr"]):
                continue
            waiting = optional(lambda: bool(int(reader["waiting"])))  # noqa: B023
            result.append(RcuReader(_owner(int(reader), bases), depth, waiting))
    return result


def _owner(address: int, bases: dict[int, Optional[int]]) -> Optional[int]:
    # The structure is thread-local: on x86-64 it lies just below its thread's pointer.
    above = [base for base in bases if address < base <= address + _TLS_REACH]
    return bases[min(above)] if above else None
