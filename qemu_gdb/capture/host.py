"""Tells what machine this is, for the report of a process that runs on it: its system, kernel and architecture."""

from __future__ import annotations

import os
import platform
from typing import Dict, Sequence

from ..model import Snapshot


def of(snapshots: Sequence[Snapshot]) -> Dict[str, str]:
    """The host of these snapshots by the words of QEMU's bug template; empty where it may be another machine.

    Only a live process is known to run here: a core or a text may come from anywhere. The host's name is never told.
    """
    if not snapshots or not all(s.source.kind == "live" and _is_here(s.source.pid) for s in snapshots):
        return {}
    host = {"OS/kernel version": f"{platform.system()} {platform.release()}", "Architecture": platform.machine()}
    name = _system()
    if name:
        host["Operating system"] = name
    return host


def _is_here(pid: object) -> bool:
    return isinstance(pid, int) and os.path.isdir(f"/proc/{pid}")


def _system() -> str:
    """PRETTY_NAME of os-release(5)."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                for line in stream.read(65536).splitlines():
                    if line.startswith("PRETTY_NAME="):
                        return line.partition("=")[2].strip().strip("\"'")
        except OSError:
            continue
    return ""
