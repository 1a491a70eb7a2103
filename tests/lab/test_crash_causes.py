"""The cause of a crash is read from the process: the bad pointer's name, the member, the memory behind an address."""

from __future__ import annotations

import pytest
from explained import VERSIONS, of_core

CAUSES = {
    "null_in_device_write_injected": ('NULL pointer "vq" in virtio_queue_notify', "reads VirtQueue.vring.desc there"),
    "null_in_port_write": ('NULL pointer "obj" in object_get_class', "the pointer came from fdctrl_start_transfer"),
    "null_in_coroutine_injected": ('NULL pointer "child" in bdrv_co_preadv_part', "reads BdrvChild.bs there"),
    "null_in_signal_handler_injected": ('NULL pointer "info" in termsig_handler', "info is NULL"),
    "ram_file_truncated": ("Bus error on guest RAM: memory-backend-file ram0 has no memory", "block ram0"),
    "assertion_by_qmp": ('Assertion "!value" failed in piix4_set_cpu_hotplug_legacy', 'QMP "qom-set"'),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", CAUSES)
def test_crash_names_the_pointer_and_what_was_read_through_it(state: str, version: str):
    explained = of_core(state, version)
    title, words = CAUSES[state]
    assert explained.first["title"].startswith(title)
    assert words in explained.first["explanation"]
    assert explained.first["confidence"] == "certain"


def test_assertion_is_known_where_the_program_is_stripped():
    """libc keeps the words of a failed assertion; no frame of a stripped QEMU shows them."""
    explained = of_core("assertion_by_qmp", "system")
    assert explained.first["title"].startswith('Assertion "!value" failed in piix4_set_cpu_hotplug_legacy, hw/acpi')
    assert explained.answer["source"]["debug_info"] == "symbols"
