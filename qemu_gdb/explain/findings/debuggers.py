"""Next steps in the commands of the debugger that wrote a text: WinDbg's and lldb's where that was not gdb."""

from __future__ import annotations

import re
from typing import Dict, Tuple

# gdb's command, as the steps have it, and the other debugger's; in order. WinDbg's reference; lldb's command map.
_WINDBG: Tuple[Tuple[str, str], ...] = (
    (r"p \$_siginfo[\w.]*", ".exr -1"),
    (r"\bx/(\d*)i \$pc", r"u @$ip"),
    (r"\binfo registers", "r"),
    (r"\binfo locals", "dv"),
    (r"\bthread apply all bt(?: full)?", "~*k"),
    (r"\bframe (\d+)(?! of)", r".frame \1"),
    (r"\b(?:p|print) (?=[*&(\w])", "?? "),
    (r"\btake bt full again", "take ~*kP again"),
)
_LLDB: Tuple[Tuple[str, str], ...] = (
    (r"p \$_siginfo[\w.]*", "thread info"),
    (r"\binfo registers", "register read"),
    (r"\binfo locals", "frame variable"),
    (r"\binfo proc mappings", "vmmap PID"),
    (r"\bthread apply all bt(?: full)?", "bt all"),
    (r"\bframe (\d+)(?! of)", r"frame select \1"),
    (r"\btake bt full again", "take bt all again"),
)
_COMMANDS: Dict[str, Tuple[Tuple[str, str], ...]] = {"windbg": _WINDBG, "lldb": _LLDB, "macos": _LLDB}


def step_for(dialect: str, step: str) -> str:
    """A next step in the words of the debugger that ``dialect`` (Source.dialect) is of; unchanged for gdb."""
    for pattern, command in _COMMANDS.get(dialect, ()):
        step = re.sub(pattern, command, step)
    return step
