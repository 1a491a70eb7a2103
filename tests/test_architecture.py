"""What is read from registers and saved contexts, per processor architecture."""

import pytest

from qemu_gdb import architecture

GUARD = 0x96AD82904B47109A
X86, ARM = (architecture.by_name(name) for name in ("i386:x86-64", "aarch64"))


@pytest.mark.parametrize("machine", architecture.ARCHITECTURES, ids=lambda row: row.name)
def test_a_mangled_address_is_read_again(machine):
    for address in (0x5500B51D64, 0x7FFFFFFFE000, 0xFFFFFFFFFFFFFFF8):
        assert machine.demangle(machine.mangle(address, GUARD), GUARD) == address


def test_x86_rotates_a_mangled_address_and_aarch64_does_not():
    assert X86.mangle(GUARD ^ 1, GUARD) == 1 << 17
    assert ARM.mangle(GUARD ^ 1, GUARD) == 1


def test_a_saved_context_of_aarch64_has_its_stack_pointer_at_word_13():
    assert (ARM.saved.index("pc"), ARM.saved.index("sp"), ARM.saved[0]) == (11, 13, "x19")


def test_architecture_is_known_by_its_registers():
    assert architecture.of({"rip": 1}) is X86 and architecture.of({"pc": 1, "sp": 2}) is ARM
    assert architecture.of({}) is None and architecture.by_name("powerpc:common64") is None


def test_arguments_of_a_call_that_a_signal_interrupted_are_not_believed():
    interrupted = {"pc": 0x5500B51D64, "x8": 73, "x0": (1 << 64) - 4, "x1": 2}
    assert not ARM.is_system_call(interrupted, *ARM.polls)
    assert ARM.is_system_call({**interrupted, "x0": 0x5E6480}, *ARM.polls)
    assert not X86.is_system_call({"rip": 1, "orig_rax": (1 << 64) - 1, "rdi": 0x5E6480}, X86.futex)
