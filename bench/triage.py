"""Measures how many texts ``qemu-gdb triage`` explains in a second, and whether its memory grows with their number."""

from __future__ import annotations

import os
import pathlib
import re
import resource
import subprocess
import sys
import time
from typing import Callable, List, Tuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXTS = int(os.environ.get("TEXTS", "10000"))
Show = Callable[[str, str, str, bool], None]


def sources() -> List[str]:
    """Reports to multiply: the stories and recordings of this project."""
    paths = sorted([*ROOT.glob("fixtures/stories/*.txt"), *ROOT.glob("fixtures/recordings/*.txt")])
    return [path.read_text(errors="replace") for path in paths]


def fill(folder: pathlib.Path, count: int) -> None:
    """Write ``count`` different reports: the same stacks at other addresses and lines."""
    texts = sources()
    for i in range(count):
        text = re.sub(r"0x0000(?=[0-9a-f]{8})", f"0x{i:04x}", texts[i % len(texts)])
        (folder / f"{i:05}.txt").write_text(f"report {i}\n\n{text}\n")


def once(folder: pathlib.Path) -> Tuple[float, float]:
    """Seconds, and MB that the largest of its processes took."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "qemu_gdb", "triage", str(folder)], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    took = time.perf_counter() - start
    return took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def measure(folder: pathlib.Path, show: Show) -> None:
    """Print the speed and the growth of memory. Run it first: the memory is the largest of all children so far."""
    few, many = folder / "few", folder / "many"
    for part, count in ((few, TEXTS // 10), (many, TEXTS)):
        part.mkdir()
        fill(part, count)
    _, before = once(few)
    took, after = once(many)
    speed = TEXTS / took
    show(f"triage of {TEXTS} texts, {os.cpu_count()} processors", f"{speed:.0f} /s", ">= 200 /s", speed >= 200)
    show("    memory, times that of a tenth of the texts", f"{after / before:.2f}", "<= 1.2", after <= 1.2 * before)
    print(f"    {took:.1f} s, at most {after:.0f} MB a process")
