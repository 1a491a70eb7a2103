"""vCPU threads: accelerator loops, KVM requests, translated code and its helpers, exclusive sections, stopping."""

from __future__ import annotations

from typing import Dict, Optional

from ...pattern import Pattern
from ..ioctls import ioctl_request
from ..match import Names
from .rows import Row, View, number_of

_IOCTL_FUNCTIONS = Names(
    "ioctl",
    "kvm_vcpu_ioctl",
    "kvm_vm_ioctl",
    "kvm_ioctl",
    "kvm_device_ioctl",
    "vhost_kernel_call",
    "vhost_ioctl",
    "kvm_vm_check_attr",
)


def ioctl_name(view: View) -> str:
    """Name of the ioctl request that the innermost ioctl on the stack makes, "" where it is not known."""
    for text in view.values(_IOCTL_FUNCTIONS, "request", "type"):
        value = number_of(text)
        if value is not None:
            name = ioctl_request(value)
            if name:
                return name
    return ""


def vcpu_index(view: View) -> Optional[int]:
    """Number of the vCPU whose CPUState the stack shows, from the facts."""
    if not view.facts.vcpus:
        return None
    for text in view.whole().values(None, "cpu", "cs", "cpu_state", "arg"):
        pointer = number_of(text)
        for vcpu in view.facts.vcpus:
            if pointer and vcpu.address == pointer:
                return vcpu.index
    return None


# target/*/kvm*.c: functions that read a part of a vCPU's state; other kvm_*get* ask KVM for what it can do
_GETS = Pattern(
    r"(?:do_)?kvm_(?:arch_)?get_(?!supported|max|free|notify|default|vm_type|mce_cap|vcpu_id|smmu|id|ioeventfd)"
    r"(?:\w*(?:regs?|msrs?|fpu?|fp|fpsimd|sve|xsave|xcrs|state|events?|apic\w*|vpr|one_\w+|tsc|ints?|cc)\w*)$"
)


def _kvm_request(view: View) -> str:
    name = ioctl_name(view)
    if name:
        return f"asks KVM: {name}"
    if view.has(
        "kvm_set_user_memory_region", "kvm_set_phys_mem", "kvm_region_add", "kvm_region_del", "kvm_region_commit"
    ):
        return "tells KVM about a change of the guest's memory map"
    if view.has("kvm_irqchip_commit_routes", "kvm_irqchip_commit_route_changes"):
        return "hands the interrupt routing table to KVM (KVM_SET_GSI_ROUTING)"
    if any("dirty" in n or "log_" in n for n in view.names):
        return "fetches the dirty log from KVM"
    if any("ioeventfd" in n for n in view.names):
        return f"{'removes' if any('_del' in n for n in view.names) else 'registers'} an ioeventfd with KVM"
    if any("get_registers" in n or "synchronize_state" in n or _GETS.match(n) for n in view.names):
        return "reads the vCPU's registers from KVM"
    if any("put_registers" in n or "_put_" in n or "synchronize_post" in n for n in view.names):
        return "writes the vCPU's registers to KVM"
    if any("irqfd" in n for n in view.names):
        return "attaches or detaches an irqfd"
    if any("route" in n or "virq" in n or "msi" in n for n in view.names):
        return "changes KVM's interrupt routes"
    return f"works on KVM state in {view.innermost}"


# Guest instructions behind TCG helpers (target/i386/tcg and others); the rest are told by the name of the helper.
HELPERS: Dict[str, str] = {
    "helper_lret_protected": "far return",
    "helper_ret_protected": "far return or IRET",
    "helper_iret_protected": "IRET",
    "helper_iret_real": "IRET in real mode",
    "helper_lcall_protected": "far call",
    "helper_lcall_real": "far call in real mode",
    "helper_ljmp_protected": "far jump",
    "helper_load_seg": "load of a segment register",
    "helper_lldt": "LLDT",
    "helper_ltr": "LTR",
    "helper_syscall": "SYSCALL",
    "helper_sysret": "SYSRET",
    "helper_sysenter": "SYSENTER",
    "helper_sysexit": "SYSEXIT",
    "helper_write_crN": "MOV to a control register",
    "helper_read_crN": "MOV from a control register",
    "helper_wrmsr": "WRMSR",
    "helper_rdmsr": "RDMSR",
    "helper_rdtsc": "RDTSC",
    "helper_cpuid": "CPUID",
    "helper_hlt": "HLT",
    "helper_pause": "PAUSE",
    "helper_mwait": "MWAIT",
    "helper_monitor": "MONITOR",
    "helper_flush_page": "INVLPG",
    "helper_vmrun": "VMRUN (nested SVM)",
    "helper_outb": "OUT",
    "helper_outw": "OUT",
    "helper_outl": "OUT",
    "helper_inb": "IN",
    "helper_inw": "IN",
    "helper_inl": "IN",
    "helper_raise_interrupt": "software interrupt",
    "helper_raise_exception": "an exception",
    "helper_boundw": "BOUND",
    "helper_fxsave": "FXSAVE",
    "helper_fxrstor": "FXRSTOR",
    "helper_xsave": "XSAVE",
    "helper_xrstor": "XRSTOR",
    "helper_cmpxchg16b": "CMPXCHG16B",
    "helper_cmpxchg8b": "CMPXCHG8B",
    "helper_set_cp_reg": "write of a system register",
    "helper_set_cp_reg64": "write of a system register",
    "helper_get_cp_reg": "read of a system register",
    "helper_get_cp_reg64": "read of a system register",
    "helper_wfi": "WFI",
    "helper_wfe": "WFE",
    "helper_yield": "YIELD",
    "helper_exception_return": "ERET",
    "helper_dc_zva": "DC ZVA",
    "helper_csrrw": "CSR read and write",
    "helper_csrw": "CSR write",
    "helper_csrr": "CSR read",
    "helper_mret": "MRET",
    "helper_sret": "SRET",
    "helper_diag": "DIAGNOSE",
    "helper_servc": "SERVICE CALL",
    "helper_sigp": "SIGNAL PROCESSOR",
}


def _helper(view: View) -> str:
    for name in reversed(view.names):
        if name in HELPERS:
            if HELPERS[name] in ("OUT", "IN"):
                port = view.whole().number(name, "port")
                where = f", port {port:#x}" if port is not None else ""
                return f"executes the guest's {HELPERS[name]}{where}"
            if name == "helper_ret_protected":
                interrupt = view.number(name, "is_iret")
                return "executes the guest's " + (
                    {0: "far return", 1: "IRET"}.get(interrupt or 0, "") if interrupt is not None else HELPERS[name]
                )
            return (
                f"executes the guest's {HELPERS[name]}"
                if HELPERS[name] != "an exception"
                else "raises a guest exception"
            )
    helper = next((n for n in reversed(view.names) if n.startswith("helper_")), "")
    if not helper and any(n.startswith("do_interrupt") for n in view.names):
        return "delivers an interrupt or exception to the guest CPU"  # target/i386/tcg/seg_helper.c
    return f"executes the TCG helper {helper or view.outermost}"


def _hypercall(view: View) -> str:
    """An exit by which the guest asks for something."""
    name = view.outermost
    if any("rtas" in n for n in view.names):
        return f"serves the guest's RTAS call {next(n for n in view.names if 'rtas' in n)}"
    if any("msr" in n for n in view.names):
        return f"serves the guest's {'RDMSR' if 'rdmsr' in name else 'WRMSR'}"
    opcode = view.number("spapr_hypercall", "opcode")
    if opcode is not None:
        return f"serves the guest's hypercall {opcode:#x}"
    if any("hcall" in n or "hypercall" in n or "_hv_" in n for n in view.names):
        return "serves a guest hypercall"
    return f"handles an exit of the guest: {view.innermost}"


def _walk(view: View) -> str:
    address = view.number(
        Names("*tlb_fill*", "mmu_lookup*", "get_physical_address*", "mmu_translate*", "probe_*"),
        "addr",
        "address",
        "vaddr",
    )
    kind = view.enumerator(None, "access_type", "type", "rw") or ""
    what = {
        "MMU_DATA_LOAD": " for a load",
        "MMU_DATA_STORE": " for a store",
        "MMU_INST_FETCH": " for an instruction fetch",
    }
    where = f" at {address:#x}" if address is not None and address > 0 else ""
    if view.has("ptw_setl_slow", "ptw_setl"):
        return f"walks the guest's page tables{what.get(kind, '')}{where}: sets accessed/dirty bits of an entry"
    return f"walks the guest's page tables{what.get(kind, '')}{where}"


def _translate(view: View) -> str:
    pc = view.number(
        (
            "tb_gen_code",
            "tb_find",
            "tb_lookup",
            "tb_find_slow",
            "tb_htable_lookup",
            "gen_intermediate_code",
            "translator_loop",
            "tb_lookup__cpu_state",
        ),
        "pc",
        "virt_pc",
    )
    where = f" at {pc:#x}" if pc is not None and pc > 0 else ""
    looks_up = any(n.startswith(("tb_find", "tb_lookup", "tb_htable_lookup", "tb_jmp_cache")) for n in view.names)
    if looks_up and not any("gen" in n or "translat" in n for n in view.names):
        return f"looks up translated code{where}"
    if view.innermost.startswith("page_") and all(n.startswith(("page_", "g_")) for n in view.names if n):
        return "works on the table of the guest's pages"  # accel/tcg/translate-all.c, tb-maint.c, user-exec.c
    return f"translates the guest's code{where}"


def _generated(view: View) -> str:
    return "runs translated guest code"


def _execute(view: View) -> str:
    if view.has("cpu_exec_step_atomic"):
        return "executes one guest instruction alone (exclusive)"
    if view.has("cpu_handle_interrupt", "cpu_handle_exception"):
        return "delivers an interrupt or exception to the guest CPU"
    if any(n.endswith(("_do_interrupt", "_do_interrupt_all")) for n in view.names):
        return "delivers an interrupt or exception to the guest CPU"
    single = any("_rr_" in n or n.startswith("rr_") or "_rr" in n for n in view.names)
    return "runs the vCPUs in turn (TCG, one thread)" if single else "runs the vCPU under TCG"


def _pause(view: View) -> str:
    if view.has("resume_all_vcpus"):
        return "resumes all vCPUs"
    if view.has("cpu_remove_sync"):  # system/cpus.c (cpus.c, softmmu/cpus.c before): joins that vCPU's thread
        return "waits until that vCPU's thread has ended"
    return "waits until every vCPU has stopped"


def _wait_event(view: View) -> str:
    if view.callee:
        return "handles requests between guest runs"
    if any("lll_lock" in n or "mutex_cond_lock" in n for n in view.inward):
        return "wakes up and waits for the BQL"
    return "waits for work: the vCPU is halted or stopped"


_TRANSLATION = Names(
    "tb_gen_code",
    "tb_find",
    "tb_find_fast",
    "tb_find_slow",
    "tb_lookup",
    "tb_lookup__cpu_state",
    "tb_htable_lookup",
    "tb_link_page",
    "tb_alloc",
    "tb_cmp",
    "tb_lookup_cmp",
    "qht_lookup_custom",
    "qht_lookup",
    "qht_insert",
    "qht_do_lookup",
    "gen_intermediate_code*",
    "translator_loop",
    "translator_ld*",
    "tcg_gen_*",
    "tcg_optimize",
    "tcg_out_*",
    "tcg_reg_alloc*",
    "tcg_liveness_analysis",
    "liveness_pass_*",
    "tcg_la_*",
    "setjmp_gen_code",
    "disas_insn*",
    "*_tr_translate_insn",
    "*_tr_*",
    "tcg_emit_op",
    "tcg_op_*",
    "tcg_temp_*",
    "temp_*",
    "tcg_func_start",
    "get_page_addr_code*",
    "page_find*",
    "page_unlock*",
    "page_lock*",
    "page_collection_*",
    "cpu_get_tb_cpu_state",
    "tcg_tb_*",
    "helper_lookup_tb_ptr",
    "disas_*",
    "trans_*",
    "decode_insn*",
    "do_constant_folding*",
    "fold_*",
)

ROWS = (
    # system/cpus.c, accel/tcg/tcg-accel-ops-rr.c (10.2); before: cpus.c, softmmu/cpus.c
    Row(
        "vCPU thread",
        Names(
            "qemu_wait_io_event", "qemu_process_cpu_events",
            "qemu_tcg_wait_io_event",
            "qemu_tcg_rr_wait_io_event",
            "rr_wait_io_event",
            "qemu_kvm_wait_io_event",
            "qemu_wait_io_event_common", "qemu_process_cpu_events_common",
            "qemu_cpu_stop",
        ),
        _wait_event,
        subsystem="Main loop",
        weight=5,
    ),
    # target/i386/whpx/whpx-all.c, target/i386/nvmm/nvmm-all.c, accel/hvf/hvf-accel-ops.c (10.2)
    Row(
        "accelerator loop",
        Names(
            "kvm_cpu_thread_fn",
            "qemu_cpu_exec",
            "hvf_cpu_thread_fn",
            "hax_cpu_thread_fn",
            "qemu_hvf_cpu_thread_fn",
            "qemu_hax_cpu_thread_fn",
            "hvf_vcpu_exec", "hvf_arch_vcpu_exec",
            "hax_smp_cpu_exec",
            "hax_vcpu_hax_exec",
            "whpx_cpu_thread_fn",
            "qemu_whpx_cpu_thread_fn",
            "whpx_vcpu_exec",
            "whpx_vcpu_run",
            "nvmm_vcpu_exec",
            "nvmm_vcpu_loop",
            "qemu_nvmm_cpu_thread_fn",
            "dummy_cpu_thread_fn",
            "qemu_dummy_cpu_thread_fn",
            "hv_vcpu_run",
            "WHvRunVirtualProcessor",
            "mshv_*",
            "awhpx_*",
        ),
        lambda v: (
            "waits for the vCPU's work: this accelerator runs no guest code here"
            if any("dummy" in n for n in v.names)
            else "runs the vCPU in the host's hypervisor"
        ),
        short="",
        weight=1,
    ),
    # accel/tcg/cpu-exec.c, tcg-accel-ops*.c; cpus.c and cpu-exec.c before 5.2
    Row(
        "TCG execution",
        Names(
            "mttcg_cpu_thread_fn",
            "rr_cpu_thread_fn",
            "qemu_tcg_cpu_thread_fn",
            "qemu_tcg_rr_cpu_thread_fn",
            "tcg_rr_cpu_thread_fn",
            "tcg_cpu_thread_fn",
            "tcg_cpus_exec",
            "tcg_cpu_exec",
            "tcg_exec_all",
            "cpu_exec",
            "cpu_exec_loop",
            "cpu_exec_setjmp",
            "cpu_loop_exec_tb",
            "cpu_exec_step_atomic",
            "cpu_handle_interrupt",
            "cpu_handle_exception",
            "cpu_x86_exec",
            "cpu_arm_exec",
            "cpu_ppc_exec",
            "cpu_mips_exec",
            "cpu_sparc_exec",
            "cpu_exec_nocache",
            "cpu_resume_from_signal",
            "cpu_loop_exit*",
            "cpu_restore_state*",
            "x86_cpu_exec_interrupt",
            "*_cpu_exec_interrupt",
            "*_cpu_do_interrupt",
        ),
        _execute,
        short="",
        subsystem="Overall TCG CPUs",
        weight=1,
    ),
    # accel/tcg/cpu-exec.c, tcg/tci.c (10.2); before: cpu-exec.c, tci.c
    Row(
        "translated code",
        Names("code_gen_buffer", "cpu_tb_exec", "tcg_qemu_tb_exec", "static_code_gen_buffer", "tcg_qemu_tb_exec_real"),
        _generated,
        short="",
        subsystem="Overall TCG CPUs",
        weight=1,
    ),
    # accel/tcg/cpu-exec.c, util/qht.c, accel/tcg/translate-all.c (10.2); before: cpu-exec.c, exec.c
    Row(
        "translation",
        _TRANSLATION,
        _translate,
        subsystem="Overall TCG CPUs",
        weight=6,
        reads=("tb_gen_code", "tb_find", "tb_lookup", "gen_intermediate_code", "translator_loop", "tb_htable_lookup"),
    ),
    # target/i386/tcg/seg_helper.c, target/i386/tcg/system/misc_helper.c, target/riscv/op_helper.c (10.2)
    Row(
        "TCG helper",
        Names(
            *HELPERS,
            "helper_*",
            "popl",
            "popq",
            "popw",
            "pushl",
            "pushq",
            "do_interrupt*",
            "load_segment*",
            "switch_tss*",
        ),
        _helper,
        weight=6,
        trigger=True,
        order=-1,
        reads=("helper_outb", "helper_outw", "helper_outl", "helper_inb", "helper_inw", "helper_inl"),
    ),
    # accel/tcg/cputlb.c, target/arm/ptw.c, target/i386/tcg/system/excp_helper.c (10.2)
    Row(
        "guest page walk",
        Names(
            "tlb_fill",
            "tlb_fill_align",
            "*_cpu_tlb_fill",
            "*_cpu_tlb_fill_align",
            "mmu_lookup",
            "mmu_lookup1",
            "get_physical_address*",
            "mmu_translate",
            "mmu_translate_*",
            "ptw_*",
            "probe_access*",
            "probe_read",
            "probe_write",
            "get_phys_addr*",
            "arm_cpu_tlb_fill",
            "*_cpu_handle_mmu_fault",
            "tlb_set_page*",
            "arm_ldl_ptw",
            "arm_ldq_ptw",
            "S1_ptw_translate",
            "ppc_xlate",
            "tlb_vaddr_to_host",
        ),
        _walk,
        weight=5,
        reads=(
            "tlb_fill",
            "tlb_fill_align",
            "x86_cpu_tlb_fill",
            "arm_cpu_tlb_fill",
            "riscv_cpu_tlb_fill",
            "ppc_cpu_tlb_fill",
            "mips_cpu_tlb_fill",
            "s390_cpu_tlb_fill",
            "get_physical_address",
            "mmu_translate",
            "mmu_lookup",
            "mmu_lookup1",
            "probe_access",
            "probe_access_internal",
            "loongarch_cpu_tlb_fill",
        ),
    ),
    # accel/tcg/cputlb.c, accel/tcg/tb-maint.c (10.2); before: accel/tcg/translate-all.c, cputlb.c
    Row(
        "TLB maintenance",
        Names(
            "tlb_flush*",
            "tlb_reset*",
            "notdirty_write",
            "tlb_protect_code",
            "tlb_unprotect_code*",
            "tb_flush*",
            "do_tb_flush",
            "tb_invalidate_*",
            "tb_phys_invalidate*",
            "do_tb_phys_invalidate",
            "tb_jmp_cache_*",
            "flush_all_helper",
        ),
        lambda v: (
            "throws away translated code"
            if any(n.startswith(("tb_", "do_tb")) for n in v.names)
            else "flushes the guest's software TLB"
        ),
        subsystem="Overall TCG CPUs",
        weight=5,
    ),
    # cpu-common.c (cpus-common.c up to 8.1)
    Row(
        "exclusive section",
        Names("start_exclusive", "end_exclusive", "exclusive_idle", "cpu_exec_start", "cpu_exec_end"),
        lambda v: (
            "waits in start_exclusive until no vCPU executes guest code"
            if v.has("start_exclusive")
            else "waits for another vCPU's exclusive section to end"
            if v.has("exclusive_idle", "cpu_exec_start")
            else "leaves an exclusive section"
        ),
        subsystem="Main loop",
        weight=8,
    ),
    # cpu-common.c, system/cpus.c (10.2); before: cpus-common.c, cpus.c
    Row(
        "work on a vCPU",
        Names(
            "process_queued_cpu_work",
            "do_run_on_cpu",
            "run_on_cpu",
            "async_run_on_cpu",
            "async_safe_run_on_cpu",
            "queue_work_on_cpu",
        ),
        lambda v: (
            "waits until another vCPU thread has run its work (run_on_cpu)"
            if v.has("do_run_on_cpu", "run_on_cpu")
            else "runs work that another thread queued for this vCPU"
        ),
        subsystem="Main loop",
        weight=7,
        trigger=True,
    ),
    # system/cpus.c, accel/tcg/user-exec-stub.c (10.2); before: cpus.c, softmmu/cpus.c
    Row(
        "vCPU pause",
        Names("pause_all_vcpus", "all_vcpus_paused", "resume_all_vcpus", "cpu_remove_sync", "cpu_pause", "cpu_resume"),
        _pause,
        subsystem="Main loop",
        weight=8,
    ),
    # hw/i386/x86-common.c, accel/tcg/user-exec-stub.c, system/cpus.c (10.2); before: hw/i386/x86.c, cpus.c
    Row(
        "vCPU creation",
        Names(
            "qemu_init_vcpu",
            "x86_cpu_realizefn",
            "arm_cpu_realizefn",
            "x86_cpu_new",
            "x86_cpus_init",
            "kvm_start_vcpu_thread",
            "mttcg_start_vcpu_thread",
            "rr_start_vcpu_thread",
            "*_cpu_realizefn",
            "*_cpu_realize",
        ),
        "creates a vCPU",
        weight=6,
    ),
    # system/cpus.c, accel/tcg/tcg-accel-ops-rr.c, accel/tcg/user-exec.c (10.2); before: cpus.c, softmmu/cpus.c
    Row(
        "vCPU kick",
        Names(
            "qemu_cpu_kick",
            "cpus_kick_thread",
            "qemu_cpu_kick_thread",
            "mttcg_kick_vcpu_thread", "cpus_kick_thread",
            "rr_kick_vcpu_thread",
            "qemu_cpu_kick_rr_cpus",
            "rr_kick_next_cpu",
            "kvm_ipi_signal",
            "cpu_exit",
            "dummy_signal",
        ),
        "kicks a vCPU out of guest code",
        subsystem="Main loop",
        weight=4,
    ),
    # hw/intc/apic.c, hw/virtio/virtio.c, hw/pci/pci.c (10.2); before: hw/apic.c, kvm-all.c
    Row(
        "interrupt delivery",
        Names(
            "qemu_set_irq",
            "qemu_irq_*",
            "gsi_handler",
            "pic_irq_request",
            "pic_set_irq",
            "kvm_set_irq",
            "kvm_pc_gsi_handler",
            "ioapic_set_irq",
            "apic_deliver*",
            "apic_local_deliver",
            "apic_update_irq",
            "apic_set_irq",
            "cpu_interrupt",
            "cpu_reset_interrupt",
            "tcg_handle_interrupt",
            "generic_handle_interrupt",
            "kvm_handle_interrupt",
            "msi_notify",
            "msix_notify",
            "msi_send_message",
            "apic_send_msi",
            "pci_irq_handler",
            "pci_set_irq",
            "pci_change_irq_level",
            "virtio_notify",
            "virtio_notify_vector",
            "virtio_irq",
            "virtio_pci_notify",
            "virtio_notify_irqfd",
            "*_cpu_set_irq",
            "piix3_set_irq*",
            "ich9_lpc_set_irq",
            "gic_update*",
            "gic_set_irq",
            "gicv3_update*",
            "gicv3_set_irq",
            "kvm_irqchip_send_msi",
        ),
        "raises or lowers an interrupt",
        weight=4,
    ),
    # accel/kvm/kvm-all.c
    Row(
        "KVM request",
        Names(
            "kvm_vm_ioctl",
            "kvm_ioctl",
            "kvm_device_ioctl",
            "kvm_device_access",
            "kvm_irqchip_*",
            "kvm_set_*",
            "kvm_get_*",
            "kvm_put_*",
            "kvm_region_*",
            "kvm_log_*",
            "kvm_physical_*",
            "kvm_arch_*",
            "kvm_cpu_synchronize_*",
            "do_kvm_cpu_synchronize_*",
            "cpu_synchronize_*",
            "kvm_init",
            "kvm_create_*",
            "kvm_init_vcpu",
            "kvm_mem_ioeventfd_*",
            "kvm_io_ioeventfd_*",
            "kvm_add_*",
            "kvm_update_*",
            "kvm_slot_*",
            "kvm_dirty_*",
            "kvm_eat_signals",
            "kvm_virtio_pci_*",
            "kvm_flush_coalesced_mmio_buffer",
            "kvm_convert_memory",
            "kvm_on_sigbus*",
        ),
        _kvm_request,
        weight=5,
        subsystem=None,
        order=-1,
        reads=("ioctl", "kvm_vcpu_ioctl", "kvm_vm_ioctl", "kvm_ioctl", "kvm_device_ioctl"),
    ),
    # target/i386/hvf/x86_emu.c, target/i386/emulate/
    Row(
        "instruction emulation",
        Names(
            "exec_instruction",
            "emulate_instruction",
            "exec_mov*",
            "exec_out",
            "exec_in",
            "exec_lods*",
            "exec_movs*",
            "exec_stos*",
            "exec_ins*",
            "fetch_operands",
            "decode_instruction",
            "x86_decode_*",
            "read_val_ext",
            "write_val_ext",
            "vmx_read_mem",
            "vmx_write_mem",
            "x86_emul_*",
        ),
        "emulates a guest instruction",
        weight=6,
        trigger=True,
    ),
    # gdbstub/gdbstub.c, gdbstub/system.c, system/cpus.c (10.2); before: gdbstub.c, gdbstub/gdbstub.c
    Row(
        "guest debugging",
        Names("gdb_handle_packet", "gdb_read_byte", "gdb_chr_receive", "gdb_*", "cpu_handle_guest_debug"),
        "serves the gdb stub",
        subsystem="GDB stub",
        weight=5,
        order=-2,
        trigger=True,
    ),
    # target/*/kvm, hw/ppc/spapr_hcall.c, target/s390x/kvm: exits that the guest asked for
    Row(
        "hypercall",
        Names(
            "spapr_hypercall",
            "kvm_hv_handle_exit",
            "kvm_xen_handle_exit",
            "kvm_xen_hcall_*",
            "handle_diag",
            "handle_intercept",
            "handle_instruction",
            "handle_sigp",
            "kvm_handle_rdmsr",
            "kvm_handle_wrmsr",
            "kvm_handle_tpr_access",
            "kvm_arm_handle_debug",
            "kvm_arm_handle_dabt_nisv",
            "rtas_*",
            "spapr_rtas_call",
            "h_rtas",
        ),
        _hypercall,
        weight=7,
        trigger=True,
    ),
    # system/qtest.c: a test plays the guest; tests/qtest/libqtest.c, whose names begin alike, is that test
    Row(
        "qtest",
        Names(
            "qtest_read",
            "qtest_process_*",
            "qtest_event",
            "qtest_irq_handler",
            "qtest_clock_warp",
            "qtest_server_inproc_recv",
            "qtest_send*",
        ),
        "serves a qtest command: a test plays the guest",
        weight=7,
        trigger=True,
    ),
    # semihosting/arm-compat-semi.c (10.2); before: arm-semi.c, target-arm/arm-semi.c
    Row(
        "semihosting",
        Names("do_common_semihosting", "do_arm_semihosting", "semihost_*", "common_semi_*", "qemu_semihosting_*"),
        "serves a guest semihosting call",
        weight=7,
        trigger=True,
    ),
    # plugins/core.c (10.2)
    Row(
        "TCG plugin",
        Names("qemu_plugin_*", "plugin_*", "exec_inline_op"),
        "runs a TCG plugin's callback",
        weight=6,
        subsystem="TCG Plugins",
        order=-1,
    ),
)
