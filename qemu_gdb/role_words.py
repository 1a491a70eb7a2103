"""What sentences and tables call a thread's role."""

from __future__ import annotations

from typing import Dict, NamedTuple


class RoleWords(NamedTuple):
    """One role in four places."""

    table: str  # in the table of threads, beside the accelerator
    brackets: str  # behind a thread's number: "Thread 4 (vCPU, KVM)"
    the: str  # a thread without a number: "the vCPU thread (KVM)"
    one: str  # which kind of thread: "a vCPU thread (KVM)"


ROLE_WORDS: Dict[str, RoleWords] = {
    "main-loop": RoleWords("main loop", "main loop", "the main loop", "the main loop"),
    "vcpu-kvm": RoleWords("vCPU", "vCPU, KVM", "the vCPU thread (KVM)", "a vCPU thread (KVM)"),
    "vcpu-mttcg": RoleWords("vCPU", "vCPU, MTTCG", "the vCPU thread (MTTCG)", "a vCPU thread (TCG)"),
    "vcpu-tcg-rr": RoleWords("vCPUs", "vCPUs, single-threaded TCG", "the vCPU thread (single-threaded TCG)",
                             "the vCPU thread (TCG)"),
    "vcpu-other": RoleWords("vCPU", "vCPU", "the vCPU thread", "a vCPU thread"),
    "iothread": RoleWords("iothread", "iothread", "the iothread", "an iothread"),
    "monitor-iothread": RoleWords("monitor", "monitor iothread", "the monitor's iothread", "the monitor's iothread"),
    "rcu": RoleWords("RCU", "RCU", "the RCU thread", "the RCU thread"),
    "thread-pool-worker": RoleWords("pool worker", "thread-pool worker", "the thread-pool worker",
                                    "a thread-pool worker"),
    "migration": RoleWords("migration", "migration", "the migration thread", "the migration thread"),
    "migration-return-path": RoleWords("migration return path", "migration return path",
                                       "the migration return path thread", "migration's return-path thread"),
    "multifd-send": RoleWords("multifd send", "multifd send", "the multifd send thread", "a multifd send thread"),
    "multifd-recv": RoleWords("multifd receive", "multifd receive", "the multifd receive thread",
                              "a multifd receive thread"),
    "postcopy-fault": RoleWords("postcopy fault", "postcopy fault", "the postcopy fault thread",
                                "the postcopy fault thread"),
    "postcopy-listen": RoleWords("postcopy listen", "postcopy listen", "the postcopy listen thread",
                                 "the postcopy listen thread"),
    "colo": RoleWords("COLO", "COLO", "the COLO thread", "the COLO thread"),
    "coroutine": RoleWords("coroutine", "coroutine", "the coroutine", "a coroutine"),
    "vnc-worker": RoleWords("VNC worker", "VNC worker", "the VNC worker thread", "a VNC worker thread"),
    "spice-worker": RoleWords("SPICE worker", "SPICE worker", "the SPICE worker thread", "a SPICE worker thread"),
    "mem-prealloc": RoleWords("memory preallocation", "memory preallocation", "the memory preallocation thread",
                              "a memory preallocation thread"),
    "glib-worker": RoleWords("GLib worker", "GLib worker", "the GLib worker thread", "a GLib worker thread"),
    "external-library": RoleWords("library thread", "a library's thread", "a library's thread", "a library's thread"),
    "user-mode": RoleWords("guest thread", "user-mode guest thread", "the guest thread (user-mode)",
                           "a thread of the emulated program"),
    "tool-main": RoleWords("main", "main thread of the tool", "the tool's main thread", "the tool's main thread"),
    "unknown": RoleWords("unknown", "", "this thread", "this thread"),
}  # fmt: skip


def role_words(role: str) -> RoleWords:
    """The words for a role; for one that this table lacks, those that its name gives."""
    plain = role.replace("-", " ")
    return ROLE_WORDS.get(role) or RoleWords(
        plain, plain, f"the {plain} thread", f"a{'n' if plain[:1] in 'aeiou' else ''} {plain} thread"
    )
