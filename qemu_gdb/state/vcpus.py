"""The vCPUs: which thread runs each, whether it is stopped or halted, and why it last left the guest."""

from __future__ import annotations

from typing import List, Optional

import gdb

from ..model import VCpu
from .access import NotReadable, Process, optional
from .layout import ADDRESS, Values, layout, require

_LIMIT = 4096
# CPUState's, include/hw/core/cpu.h
_MEMBERS = ("node.tqe_next", "cpu_index", "thread_id", "halted", "stop", "stopped", "running", "exit_request",
            "interrupt_request", "work_list.sqh_first", "kvm_run", "vcpu_dirty")
_REGISTERS = ("env.hflags", "env.eflags", "env.eip", "env.segs[1].base", "env.cr[0]")  # X86CPU's, target/i386/cpu.h

# linux/kvm.h; the numbers are the kernel's ABI
KVM_EXITS = {
    0: "unknown", 1: "exception", 2: "io", 3: "hypercall", 4: "debug", 5: "hlt", 6: "mmio", 7: "irq-window-open",
    8: "shutdown", 9: "fail-entry", 10: "intr", 11: "set-tpr", 12: "tpr-access", 16: "nmi", 17: "internal-error",
    18: "osi", 19: "papr-hcall", 21: "watchdog", 23: "epr", 24: "system-event", 26: "ioapic-eoi", 27: "hyperv",
    28: "arm-nisv", 29: "rdmsr", 30: "wrmsr", 31: "dirty-ring-full", 32: "ap-reset-hold", 33: "bus-lock", 34: "xen",
    35: "riscv-sbi", 36: "riscv-csr", 37: "notify", 39: "memory-fault",
}  # fmt: skip


def state_type(process: Process) -> Optional[gdb.Type]:
    """``CPUState`` (include/hw/core/cpu.h)."""
    # Where a vCPU thread begins gdb has read the debug information for its stack anyway.
    return process.type("CPUState", "mttcg_cpu_thread_fn", "kvm_vcpu_thread_fn", "cpu_exec", "qemu_cpu_kick",
                        "cpu_list_add")


def read(process: Process, accelerator: Optional[str] = None) -> List[VCpu]:
    """All vCPUs in the order of QEMU's list: ``cpus_queue`` since 8.2 (``cpus`` before), include/hw/core/cpu.h."""
    head, state = process.variable("cpus_queue", "cpus"), state_type(process)
    if head is None or state is None:
        return []
    result: List[VCpu] = []
    x86 = process.type("X86CPU", "x86_cpu_dump_local_apic_state", "cpu_x86_cpuid")
    accelerator = accelerator or _accelerator(process)
    members = layout(process, state, *_MEMBERS)
    for cpu in members.walk(process, int(head["tqh_first"]), "node.tqe_next", "the list of vCPUs", _LIMIT):
        with process.guard("a vCPU"):
            result.append(_vcpu(process, cpu, x86, accelerator))
    return result


def _accelerator(process: Process) -> Optional[str]:
    """kvm_allowed, tcg_allowed, ...: set for the accelerator in use (accel/*, all versions)."""
    for name in ("tcg", "kvm", "xen", "hvf", "nvmm", "whpx"):
        value = process.variable(f"{name}_allowed")
        if value is not None and optional(lambda: int(value), 0):  # noqa: B023
            return name
    return None


def _vcpu(process: Process, cpu: Values, x86: Optional[gdb.Type], accelerator: Optional[str]) -> VCpu:
    result = VCpu(require(cpu, "cpu_index"), address=require(cpu, ADDRESS), accelerator=accelerator)
    result.lwp = cpu["thread_id"] or None
    for name in ("halted", "stop", "stopped", "running", "exit_request"):
        value = cpu[name]
        setattr(result, name, None if value is None else bool(value))
    requests, queued = cpu["interrupt_request"], cpu["work_list.sqh_first"]
    if requests is not None and result.halted:
        # cpu_thread_is_idle's own reasons to run (system/cpus.c): a stop request or queued work; an interrupt
        # request may be masked, which only the target's has_work decides.
        result.has_work = bool(result.stop or queued) or (None if requests else False)
    if cpu["kvm_run"]:
        _kvm_exit(process, require(cpu, "kvm_run"), result)
    # Under KVM QEMU's registers are a copy, true only while it has fetched it and not yet given it back.
    if x86 is not None and (result.accelerator != "kvm" or cpu["vcpu_dirty"]):
        with process.guard(f"registers of vCPU {result.index}"):
            _guest_x86(process, x86, result)
    return result


def _kvm_exit(process: Process, run: int, result: VCpu) -> None:
    result.accelerator = "kvm"
    run_type = process.type("struct kvm_run", "kvm_cpu_exec")
    if run_type is None:
        return
    try:
        value = process.at(run, run_type)
        number = int(value["exit_reason"])
    except gdb.error:
        return  # a core may lack this mapping
    result.exit_reason = KVM_EXITS.get(number, str(number))
    with process.guard(f"the last KVM exit of vCPU {result.index}"):
        if number == 2:
            io = value["io"]
            direction = "OUT" if int(io["direction"]) else "IN"
            count = int(io["count"])
            times = f", {count} times" if count > 1 else ""
            data = ""
            size = int(io["size"])
            if direction == "OUT" and count == 1 and size in (1, 2, 4):
                offset = int(io["data_offset"])
                if 0 < offset < 1 << 16:
                    written = int.from_bytes(process.read(run + offset, size), "little")
                    data = f", value {written:#x}"
            result.exit_detail = f"{direction} port {int(io['port']):#x}, {size} bytes{data}{times}"
        elif number == 6:
            mmio = value["mmio"]
            size = min(int(mmio["len"]), 8)
            write = bool(int(mmio["is_write"]))
            data = ""
            if write:
                written = int.from_bytes(process.read(int(mmio["data"].address), size), "little")
                data = f", value {written:#x}"
            result.exit_detail = f"{'write' if write else 'read'} at {int(mmio['phys_addr']):#x}, {size} bytes{data}"
        elif number == 17:
            result.exit_detail = f"suberror {int(value['internal']['suberror'])}"
        elif number == 9:
            reason = int(value["fail_entry"]["hardware_entry_failure_reason"])
            result.exit_detail = f"hardware reason {reason:#x}"
        elif number == 24:
            kinds = {1: "shutdown", 2: "reset", 3: "crash", 4: "wakeup", 5: "suspend"}
            kind = int(value["system_event"]["type"])
            result.exit_detail = kinds.get(kind, str(kind))


# target/i386/cpu.h: HF_CS32_MASK, HF_LMA_MASK, HF_CS64_MASK; CR0_PE
_HF_CS32, _HF_LMA, _HF_CS64, _CR0_PE, _HF_SMM = 1 << 4, 1 << 14, 1 << 15, 1, 1 << 19
_EFLAGS_IF = 1 << 9  # IF_MASK


def _guest_x86(process: Process, x86: gdb.Type, result: VCpu) -> None:
    name = x86.strip_typedefs().tag or ""
    if name not in ("X86CPU", "ArchCPU"):  # ArchCPU since 7.0
        raise NotReadable(f"X86CPU is {name}")
    env = layout(process, x86, *_REGISTERS).read(process, result.address)
    flags = require(env, "env.hflags")
    base = 0 if flags & _HF_CS64 else require(env, "env.segs[1].base")
    result.pc = (require(env, "env.eip") + base) & 0xFFFFFFFFFFFFFFFF
    if flags & _HF_CS64:
        mode = "64-bit"
    elif not require(env, "env.cr[0]") & _CR0_PE:
        mode = "real mode"
    elif flags & _HF_CS32:
        mode = "32-bit"
    else:
        mode = "16-bit"
    result.masked = not require(env, "env.eflags") & _EFLAGS_IF
    result.mode = f"{mode} SMM" if flags & _HF_SMM else mode
