"""Measures what the list of known problems costs: looking a crash up in it, and building it."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Callable

ROOT = pathlib.Path(__file__).resolve().parent.parent
FACTS = ROOT.parent / "shared" / "data" / "known_problems.jsonl"
Show = Callable[[str, str, str, bool], None]

LOOKUP = """
import sys, time
from qemu_gdb.capture import text
from qemu_gdb.explain import explain, known
took = []
find = known.find_known
def timed(*arguments, **named):
    start = time.process_time()
    try:
        return find(*arguments, **named)
    finally:
        took.append(time.process_time() - start)
known.find_known = timed
for snapshot in text.parse(open(sys.argv[1]).read()):
    explain(snapshot)
print(sum(took))
"""


def processor_time() -> float:
    used = os.times()
    return used.children_user + used.children_system


def measure(show: Show, rounds: int) -> None:
    crashes = [path for path in sorted(ROOT.glob("fixtures/*/*.txt"))
               if re.search("Assertion|SIGSEGV", path.read_text("utf-8", "replace"))]
    slowest = 0.0
    for path in crashes:
        times = []
        for _ in range(min(rounds, 2)):
            done = subprocess.run([sys.executable, "-c", LOOKUP, str(path)], cwd=ROOT, capture_output=True, text=True,
                                  check=True)
            times.append(float(done.stdout))
        slowest = max(slowest, min(times))
    show(f"looking a crash up among the known problems, slowest of {len(crashes)}", f"{slowest * 1000:.0f} ms",
         "<= 30 ms", 0 < slowest <= 0.03)
    if not FACTS.exists():
        print("    building the list: not measured, its source is not here")
        return
    with tempfile.TemporaryDirectory(prefix="qemu-gdb-bench-") as folder:
        before = processor_time()
        subprocess.run([sys.executable, "-m", "qemu_gdb.knowledge.build.problems", str(FACTS), "--data", folder],
                       cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        took = processor_time() - before
    show("building the list of known problems", f"{took:.1f} s", "<= 10 s", took <= 10)
