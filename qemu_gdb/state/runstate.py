"""The VM's run state, by its QAPI name."""

from __future__ import annotations

import re
from typing import Optional

import gdb

from .access import Process

_RIP = re.compile(r"\(%rip\).*#\s*(0x[0-9a-f]+)")


def read(process: Process) -> Optional[str]:
    """``current_run_state`` (softmmu/vl.c in 5.2, softmmu/runstate.c to 8.x, system/runstate.c) as "running",
    "paused", ...; None where it is unknown, or in a tool that has no machine.
    """
    state = process.variable("current_run_state")
    if state is not None:
        number = int(state)
        name = process.enum_name("RunState_lookup", number)
        if name:
            return name
        text = str(state)
        return text[len("RUN_STATE_"):].lower().replace("_", "-") if text.startswith("RUN_STATE_") else None
    return _stripped(process) if not process.has_types else None


def resets_shut_down(process: Process) -> bool:
    """Whether a reset of the guest's shuts it down: reboot_action (softmmu/runstate-action.c, since 6.0), before that
    no_reboot (softmmu/vl.c of 5.2).
    """
    action = process.variable("reboot_action", "no_reboot")
    return action is not None and int(action) == 1  # REBOOT_ACTION_SHUTDOWN


def _stripped(process: Process) -> Optional[str]:
    # The variable is static, but exported functions compare it: runstate_check(state), runstate_is_running().
    for function in ("runstate_check", "runstate_get", "runstate_is_running"):
        start = process.address(function)
        if not start:
            continue
        try:
            listing = gdb.selected_frame().architecture().disassemble(start, start + 24)
        except gdb.error:
            continue
        for instruction in listing:
            match = _RIP.search(instruction["asm"])
            if match:
                return process.enum_name("RunState_lookup", process.int32(int(match.group(1), 16)))
            if instruction["asm"].startswith("ret"):
                break
    return None
