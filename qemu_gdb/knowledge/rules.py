"""QEMU's own rules about threads, and what single checks in its source mean, for explaining failed assertions."""

from __future__ import annotations

from typing import Dict, NamedTuple, Tuple

from ..pattern import Pattern
from .match import Names


class AssertedRule(NamedTuple):
    """An assertion by which QEMU checks one of its threading rules."""

    name: str
    kind: str  # rule.*
    expression: Pattern
    rule: str  # the rule, as a sentence
    headline: str  # "{function}" and "{thread}" are filled in


# First match wins.
ASSERTED: Tuple[AssertedRule, ...] = (
    # system/cpus.c bql_lock_impl: g_assert(!bql_locked()); also synchronize/exclusive helpers
    AssertedRule("bql-held-twice", "rule.bql-not-held",
                 Pattern(r"!\s*\(?(?:bql_locked|qemu_mutex_iothread_locked)\(\)"),
                 "Here the BQL must not be held.",
                 "{function} needs the BQL free, and {thread} holds it already"),
    # system/memory.c, accel/tcg/tcg-accel-ops.c, hw/core/cpu...: qemu_mutex_iothread_locked() until 8.2, bql_locked()
    AssertedRule("bql", "rule.bql-not-held", Pattern(r"(?:bql_locked|qemu_mutex_iothread_locked)\(\)"),
                 "{function} may run only with the BQL held.",
                 "{function} needs the BQL, and {thread} does not hold it"),
    # include/qemu/main-loop.h: GLOBAL_STATE_CODE(), since 7.0; in a system emulator qemu_in_main_thread() is
    # bql_locked()
    AssertedRule("global-state", "rule.bql-not-held", Pattern(r"qemu_in_main_thread\(\)"),
                 "{function} is global state code: it may run only in the main thread or with the BQL held.",
                 "{function} is global state code, and {thread} does not hold the BQL"),
    # block/graph-lock.c, block/*: no_coroutine_fn
    AssertedRule("in-coroutine", "rule.coroutine-context", Pattern(r"!\s*\(?qemu_in_coroutine\(\)"),
                 "{function} may poll or take the graph lock as the main loop does, so it must not run in a coroutine.",
                 "{function} must not run in a coroutine, and it does"),
    AssertedRule("no-coroutine", "rule.coroutine-context", Pattern(r"qemu_in_coroutine\(\)"),
                 "{function} yields, so it may run only in a coroutine.",
                 "{function} must run in a coroutine, and it does not"),
    # include/block/aio-wait.h: AIO_WAIT_WHILE
    AssertedRule("wait-in-main", "rule.nested-poll-off-home-thread",
                 Pattern(r"qemu_get_current_aio_context\(\) == qemu_get_aio_context\(\)"),
                 "Only the main loop (or a thread that holds the BQL) may wait for another AioContext "
                 "(AIO_WAIT_WHILE); an iothread "
                 "that waits for a context other than its own can deadlock.",
                 "{function} waits for another AioContext, and {thread} is not the main loop"),
    AssertedRule("home-thread", "rule.nested-poll-off-home-thread", Pattern(r"in_aio_context_home_thread\("),
                 "An AioContext is polled by the thread it belongs to.",
                 "{function} polls an AioContext that {thread} does not own"),
    # include/block/block_int-global-state.h: assert_bdrv_graph_writable; block/graph-lock.c
    AssertedRule("graph-lock", "rule.coroutine-context", Pattern(r"qemu_in_main_thread\(\) \|\| reader_count\(\)"),
                 "The block graph is read with its lock held, or in the main thread.",
                 "{function} reads the block graph without its lock"),
    # cpu-common.c: start_exclusive, since 9.2
    AssertedRule("exclusive", "rule.exclusive-inside-cpu-exec", Pattern(r"!\s*current_cpu->running"),
                 "start_exclusive() waits until no vCPU is inside cpu_exec, so a vCPU must not call it from there.",
                 "An exclusive section is asked for from inside cpu_exec"),
    # qemu-coroutine-lock.c and users: contexts of requests
    AssertedRule("request-context", "rule.coroutine-context", Pattern(r"ctx == qemu_get_current_aio_context\(\)"),
                 "A request is completed in the AioContext that it was submitted in.",
                 "{function} runs in another AioContext than its object belongs to"),
)  # fmt: skip


class HeldRule(NamedTuple):
    """Why a function must not be called with the BQL held."""

    rule: str
    step: str  # "{caller}" is filled in


_RECURSIVE = HeldRule("The BQL is not recursive, and this takes it.",
                      "{caller} or who called it: who took the BQL before?")
# By the functions that check !bql_locked().
BQL_HELD: Dict[str, HeldRule] = {
    # system/cpus.c, cpus.c, softmmu/cpus.c
    **dict.fromkeys(("bql_lock_impl", "qemu_mutex_lock_iothread_impl"), _RECURSIVE),
    # replay/replay-internal.c (5.2 to 10.2), include/system/replay.h: replay_mutex_lock is empty without record/replay
    "replay_mutex_lock": HeldRule(
        "The order of the two locks is the replay mutex first, then the BQL: a thread that waits for the replay mutex "
        "with the BQL held would stop the one that has it and needs the BQL.",
        "{caller} or its callers have to drop the BQL around this, or to take the replay mutex before the BQL"),
}  # fmt: skip


# Well-known checks: the function in whose source the check is the only one that aborts, and what it means.
CHECKS: Dict[str, str] = {
    # accel/kvm/kvm-all.c, 2.0 and later: assert(ret == 0) after kvm_vm_ioctl(KVM_SET_GSI_ROUTING)
    "kvm_irqchip_commit_routes": "In QEMU's source it asserts that KVM took the interrupt routing table (ret == 0 "
                                 "after "
    "KVM_SET_GSI_ROUTING): KVM refused the table, usually because it has grown past KVM's limit by routes that were "
    "never released, "
    "or holds a bad entry.",
    # accel/kvm/kvm-all.c
    "kvm_mem_ioeventfd_add": "KVM refused an ioeventfd for an MMIO address: one is registered there already "
                             "(EEXIST, two device "
    "regions overlap), or KVM's limit is reached; QEMU treats any refusal as fatal.",
    "kvm_io_ioeventfd_add": "KVM refused an ioeventfd for an I/O port: one is registered there already, or KVM's "
                            "limit is reached; "
    "QEMU treats any refusal as fatal.",
    "kvm_set_phys_mem": "KVM refused a memory slot (overlap, no slot left, or host memory that it can't map).",
    "kvm_set_user_memory_region": "KVM refused a memory slot.",
    "kvm_log_clear_one_slot": "KVM refused to clear its dirty log for a memory slot.",
    "kvm_put_msrs": "KVM refused to set a guest MSR: the host lacks it, or the value is invalid.",
    "kvm_buf_set_msrs": "KVM refused to set a guest MSR: the host lacks it, or the value is invalid; the line "
                        "\"error: failed to "
    "set MSR\" names it.",
    "kvm_get_msrs": "KVM could not give a guest MSR that QEMU asked for.",
    # util/rcu.c: abort() in try_dequeue for an empty queue
    "try_dequeue": "The queue of RCU callbacks is empty though its counter says otherwise: the same rcu_head was "
                   "queued twice, or "
    "memory with an rcu_head was freed while queued. The fault is with that caller of call_rcu, not here.",
    # hw/i386/kvmvapic.c, vapic.c
    "do_patch_instruction": "kvmvapic rewrites the guest's TPR accesses in place and aborts on an instruction that "
                            "it does not know "
    "or can't read.",
    # target/i386/hvf/vmx.h, x86_mmu.c
    "vmx_read_mem": "HVF's instruction emulator could not translate a guest address.",
    "vmx_write_mem": "HVF's instruction emulator could not translate a guest address.",
    # qom/object.c: assert(type != NULL) after type_get_by_name()
    "object_new_with_type": "In QEMU's source it asserts that the type exists: no QOM type of that name is registered, "
    "because the device is not built into this binary (Kconfig) or its module is missing.",
    "object_initialize_with_type": "In QEMU's source it asserts that the type exists, is not abstract, and fits into "
    "the memory given.",
    # block.c
    "bdrv_unref": "The node's reference count (refcnt) was 0 already: an earlier bdrv_unref was one too many.",
    # util/qemu-thread-posix.c: assert(mutex->initialized), 2.9 and later
    "qemu_mutex_lock_impl": "In QEMU's source it asserts mutex->initialized: the mutex was destroyed, or never made.",
    "qemu_mutex_unlock_impl": "In QEMU's source it asserts mutex->initialized: the mutex was destroyed, or never made.",
    "qemu_mutex_destroy": "In QEMU's source it asserts mutex->initialized: the mutex was destroyed before, or never "
                          "made.",
    "qemu_cond_wait_impl": "In QEMU's source it asserts cond->initialized: the condition was destroyed, or never made.",
    # cpus.c since 2.9, system/cpus.c: g_assert(!bql_locked())
    **dict.fromkeys(("qemu_mutex_lock_iothread", "qemu_mutex_lock_iothread_impl", "bql_lock", "bql_lock_impl"),
                    "In QEMU's source it asserts that this thread does not hold the BQL already; its caller, or a "
                    "caller of that, had taken it."),
    # accel/tcg/tcg-accel-ops.c: g_assert(bql_locked()) (qemu_mutex_iothread_locked() until 8.2)
    "tcg_handle_interrupt": "In QEMU's source it asserts that the BQL is held: it was called from a helper of "
                            "generated code, or another thread, "
    "without it.",
    # system/memory.c: assert(bql_locked()), since 8.0
    "memory_region_transaction_commit": "In QEMU's source it asserts that the BQL is held (and that a transaction "
                                        "is open).",
    # qom/object.c: g_assert(obj->ref > 0)
    "object_unref": "The object's reference count (ref) was 0 already: an earlier object_unref was one too many.",
    # hw/scsi/scsi-bus.c: assert(req->status == -1 && ...)
    "scsi_req_complete": "The SCSI request had been completed before: two paths completed it.",
    # util/qemu-coroutine.c
    "qemu_aio_coroutine_enter": "A coroutine was entered that runs already, or whose memory was freed and reused.",
    "qemu_coroutine_enter": "A coroutine was entered that runs already, or whose memory was freed and reused.",
    "qemu_coroutine_yield": "A coroutine yielded though nobody had entered it.",
    # util/iov.c
    "iov_memset": "The I/O vector is shorter than the range to fill.",
    "iov_from_buf_full": "The I/O vector is shorter than the range to write.",
    # include/exec/memory-internal / physmem.c
    "iotlb_to_section": "A TLB entry holds a section number that does not exist: the entry was overwritten or read "
                        "from a stale table.",
    "cpu_asidx_from_attrs": "The CPU asked for an address space that this CPU does not have (SMM or secure memory).",
    # hw/pci/pci.c
    "pcibus_reset": "A device still asserts an interrupt line after the reset of its bus.",
    # accel/tcg/tb-maint.c, since 10.2; do_tb_flush before has no check
    "tb_flush__exclusive_or_serial": "All translated code may be thrown away only while no vCPU runs any of it: with "
    "the VM stopped (!runstate_is_running()), or by a vCPU in an exclusive section or serial context "
    "(cpu_in_serial_context()). Here the VM runs, and the caller is neither.",
    # tcg/region.c
    "tcg_region_initial_alloc__locked": "The TCG code buffer has no region left for one more vCPU thread: its "
                                        "regions are sized at "
    "start by the number of vCPUs.",
}  # fmt: skip


class SharedCheck(NamedTuple):
    """A check that several functions make, by its expression."""

    expression: Pattern
    functions: Names
    says: str
    step: str


SHARED_CHECKS: Tuple[SharedCheck, ...] = (
    # block/io.c, block.c, 5.2 to 10.2
    SharedCheck(Pattern(r"!\(?\w+->open_flags & BDRV_O_INACTIVE\)?"), Names("bdrv_*"),
                "The image had been given up for a migration (inactivated), and is used before it was activated "
                "again: a request came between the hand-over and its end, or the VM went on here all the same.",
                "what became of the migration just before: query-migrate, and in libvirt's log migrate_cancel, cont"),
    # target/arm/hvf/hvf.c, 7.2 to 10.2: EC_DATAABORT
    SharedCheck(Pattern(r"^isv$"), Names("hvf_*"),
                "The guest accessed a device's memory by an instruction of which the CPU tells neither register nor "
                "width (ISV is 0: a pair, a vector register, an address that is written back), and QEMU has no "
                "emulator for that under HVF.",
                "which guest code is that: its pc, and the device at that address? A plain load or store there works, "
                "and so does -accel tcg"),
)  # fmt: skip


# What to look at where one of the checks above fails; "{caller}" is filled in.
CHECK_STEPS: Dict[str, str] = {
    "tb_flush__exclusive_or_serial": "was the VM running (info status)? Then {caller} has to stop it first (vm_stop) "
                                     "or to queue the flush (queue_tb_flush)",
}  # fmt: skip


# What cpu_abort() means in the functions that call it for one reason.
CPU_ABORTS: Dict[str, str] = {
    # exec.c, cputlb.c up to 2.12: "Trying to execute code outside RAM or ROM at 0x..."
    "get_page_addr_code": "The guest jumped to an address where there is neither RAM nor ROM: a wild jump of the "
                          "guest's, or firmware or a kernel that was loaded to another place.",
    # accel/tcg/translate-all.c, 5.2 to 10.2: tcg_tb_lookup(retaddr) finds none
    "cpu_io_recompile": "The return address that it was given lies in no translated block that TCG knows: an "
                        "inconsistency of QEMU's own, not of the guest's state. The helper that made the access passed "
                        "a bad return address (GETPC() taken in the wrong function), or the block was thrown away "
                        "meanwhile.",
    # retaddr 0: target/i386/tcg/seg_helper.c and others read the guest's tables so, outside any translated block
    "cpu_io_recompile of no block": "An access to a device's memory has to be the last of its block (before 8.2 only "
                                    "under -icount), and this one is of no translated block at all (return address "
                                    "0): the CPU model itself reads or writes there, a descriptor table, a stack or "
                                    "a page table that the guest has put into a device's memory.",
    # tcg-accel-ops-icount.c, cpus.c: "Raised interrupt while not in I/O function"
    **dict.fromkeys(("icount_handle_interrupt", "tcg_handle_interrupt"),
                    "Under -icount an interrupt may be raised by a guest instruction only where translation allows "
                    "I/O: the instruction lacks its gen_io_start (translator_io_start)."),
}  # fmt: skip


# Those that give up because TCG's own bookkeeping does not fit, whatever the guest's CPU does.
CPU_ABORTS_OF_TCG = frozenset(("cpu_io_recompile",))


# Functions whose only likely failing assertion is the one about the BQL.
BQL_CHECKS = frozenset(("tcg_handle_interrupt", "memory_region_transaction_commit"))

# Device register handlers: the dispatch frames of system/memory.c, softmmu/memory.c, memory.c.
DISPATCH = Names(
    "memory_region_dispatch_read", "memory_region_dispatch_write", "memory_region_read_accessor",
    "memory_region_write_accessor", "memory_region_read_with_attrs_accessor", "memory_region_write_with_attrs_accessor",
    "memory_region_oldmmio_*", "access_with_adjusted_size", "memory_region_dispatch_*1",
)  # fmt: skip

# A device's access to memory: system/physmem.c, include/sysemu/dma.h (include/system/dma.h), hw/pci, hw/usb/libhw.c.
DMA = Names(
    "address_space_write", "address_space_read*", "address_space_rw", "address_space_st*", "address_space_ld*",
    "flatview_write", "flatview_read", "flatview_write_continue*", "flatview_read_continue*", "dma_memory_*",
    "pci_dma_*",
    "cpu_physical_memory_rw", "cpu_physical_memory_*", "dma_buf_*", "address_space_unmap", "stl_*_phys*", "ldl_*_phys*",
    "st*_pci_dma", "ld*_pci_dma", "st*_dma", "ld*_dma", "usb_packet_map", "usb_packet_unmap",
)  # fmt: skip

# What copies between a buffer and guest memory there, a sanitizer's own ones too
COPIES = Pattern(r"_*(?:asan_|msan_|interceptor_|GI_)?_*mem(?:cpy|move|set)\w*\Z")

# Generated guest code and its helpers: QEMU code that the guest's instruction called.
GENERATED = Names("code_gen_buffer", "cpu_tb_exec")
