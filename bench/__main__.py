"""Prints each speed that the project promises, as a ratio or a time, with its target; for ``make bench``.

Where one program alone works, its processor time is taken, so that other work on the machine does not count.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import List, Optional, Tuple

from bench import problems, triage

ROOT = pathlib.Path(__file__).resolve().parent.parent
GDBINIT = ROOT / "qemu_gdb" / "gdbinit.py"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("PYTHONPYCACHEPREFIX", str(pathlib.Path(tempfile.gettempdir()) / "qemu-gdb-bench-bytecode"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
CACHE = pathlib.Path(os.environ.get("QEMU_GDB_CACHE", pathlib.Path.home() / ".cache" / "qemu-gdb"))
IOTHREADS, VCPUS = 300, 200

FRAMES = """\
Thread {n} (Thread 0x7f0{n:09x} (LWP {n}) "IO io{n}"):
#0  0x00007f472d59a366 in __ppoll (fds=0x55a8165f0a40, nfds=4, timeout=<optimized out>, sigmask=0x0) at ppoll.c:42
#1  0x000055a8145d3c45 in fdmon_poll_wait (ctx=0x55a8165e1f10, ready_list=0x7fffffffe0a0, timeout=-1) at util/fdmon-poll.c:79
#2  0x000055a8145d2a95 in aio_poll (ctx=ctx@entry=0x55a8165e1f10, blocking=blocking@entry=true) at util/aio-posix.c:670
#3  0x000055a8143f10c6 in iothread_run (opaque=0x55a8165e1c00) at iothread.c:63
#4  0x000055a8145d6148 in qemu_thread_start (args=0x55a8165f1d50) at util/qemu-thread-posix.c:541
#5  0x00007f472d51e1f5 in start_thread (arg=<optimized out>) at pthread_create.c:442
#6  0x00007f472d59e8ec in clone3 () at clone3.S:81

"""  # noqa: E501


def show(what: str, value: str, target: str, good: bool) -> None:
    print(f"{what:<64} {value:>12}   target {target:<12} {'' if good else 'MISSED'}".rstrip(), flush=True)


def processor_time() -> float:
    """Seconds of processor time that finished child processes took."""
    used = os.times()
    return used.children_user + used.children_system


def in_gdb(target: List[str], line: str) -> Tuple[float, float]:
    """Seconds, and seconds of processor time, that one command takes in a fresh gdb, after it has loaded the core."""
    timed = f"python import time; t, c = time.perf_counter(), time.process_time(); gdb.execute({line!r}, " \
            "to_string=True); print('took', time.perf_counter() - t, time.process_time() - c)"
    out = gdb(target, ["-ex", f"source {GDBINIT}", "-ex", timed])
    wall, processor = out.rpartition("took ")[2].split()[:2]
    return float(wall), float(processor)


def gdb(target: List[str], arguments: List[str]) -> str:
    done = subprocess.run(["gdb", "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off", *target, *arguments],
                          capture_output=True, text=True, errors="replace", check=False, stdin=subprocess.DEVNULL)
    return done.stdout


def lab_core(state: str) -> Optional[List[str]]:
    """gdb's arguments for a core of one of the lab's states; None where the lab has made none."""
    for truth in sorted(CACHE.glob(f"cores/*/{state}.core.json")):
        core = str(truth)[: -len(".json")]
        program = json.loads(truth.read_text()).get("program")
        if program and os.path.exists(program) and os.path.exists(core):
            return [program, core]
    return None


def many_threads(folder: pathlib.Path) -> Optional[List[str]]:
    """gdb's arguments for a core of a QEMU with 600 threads: the lab's, or one of the distribution's QEMU."""
    cached = lab_core("many_threads")
    if cached is not None:
        return cached
    command = ["qemu-system-x86_64", "-accel", "tcg,tb-size=16", "-machine", "q35", "-m", "32", "-smp", str(VCPUS),
               "-display", "none", "-nodefaults", "-S"]
    for i in range(IOTHREADS):
        command += ["-object", f"iothread,id=t{i}"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            if len(os.listdir(f"/proc/{process.pid}/task")) > IOTHREADS + VCPUS:
                break
            time.sleep(0.2)
        if process.poll() is not None:
            return None
        gdb(["-p", str(process.pid)], ["-ex", f"gcore {folder}/core"])
    finally:
        process.kill()
        process.wait()
    return ["/usr/bin/qemu-system-x86_64", f"{folder}/core"] if (folder / "core").exists() else None


def compare(target: List[str], ours: str, theirs: str, limit: float) -> None:
    a, b = [], []
    for _ in range(ROUNDS):
        b.append(in_gdb(target, theirs))
        a.append(in_gdb(target, ours))
    # By processor time: other work on the machine counts for neither.
    ratio = min(t[1] for t in a) / min(t[1] for t in b)
    show(f"{ours} to {theirs}", f"{ratio:.2f}", f"<= {limit}", ratio <= limit)
    print(f"    {min(t[0] for t in a):.3f} s to {min(t[0] for t in b):.3f} s, best of {ROUNDS}, each in a fresh gdb")


def loading() -> None:
    """How much later gdb is ready with the extension loaded."""
    def start(*arguments: str) -> float:
        before = time.perf_counter()
        gdb([], list(arguments))
        return time.perf_counter() - before

    times: List[Tuple[float, float]] = [
        (start("-ex", f"source {GDBINIT}"), start("-ex", "python pass")) for _ in range(ROUNDS * 2)]
    added = (min(t[0] for t in times) - min(t[1] for t in times)) * 1000
    show("loading the extension adds to gdb's start", f"{added:.0f} ms", "<= 50 ms", added <= 50)


def small_text(folder: pathlib.Path) -> None:
    path = folder / "five.txt"
    path.write_text("".join(FRAMES.format(n=n) for n in range(1, 6)))
    times = []
    for _ in range(ROUNDS * 2):
        before = processor_time()
        subprocess.run([sys.executable, "-m", "qemu_gdb", "explain", str(path)], cwd=ROOT, capture_output=True,
                       check=True)
        times.append(processor_time() - before)
    show("qemu-gdb explain of a text with 5 threads", f"{min(times) * 1000:.0f} ms", "<= 150 ms", min(times) <= 0.15)


READER = """
import resource, sys, time
from qemu_gdb.capture import text
data = open(sys.argv[1], "rb").read()
text.parse("Thread 1 (LWP 1):\\n#0  main () at a.c:1\\n")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - len(data)
start = time.process_time()
text.parse(text.read(data))
took = time.process_time() - start
print(took, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / len(data))
"""


def large_text(folder: pathlib.Path) -> None:
    speeds = []
    for megabytes in (4, 16):
        path = folder / f"{megabytes}.txt"
        with open(path, "w") as stream:
            n = 0
            while stream.tell() < megabytes << 20:
                n += 1
                stream.write(FRAMES.format(n=n))
        done = subprocess.run([sys.executable, "-c", READER, str(path)], cwd=ROOT, capture_output=True, text=True,
                              check=True)
        took, memory = map(float, done.stdout.split())
        speeds.append(megabytes * 1.048576 / took)
        show(f"text of {megabytes} MiB read", f"{speeds[-1]:.1f} MB/s", ">= 5 MB/s", speeds[-1] >= 5)
        show("    memory, times the text", f"{memory:.1f}", "<= 10", memory <= 10)
    growth = speeds[0] / speeds[1]
    show("    time grows with the size, 1.0 is linear", f"{growth:.2f}", "<= 1.3", growth <= 1.3)


def stood_still(command: List[str], pid: int) -> float:
    """Seconds for which a process stood still under ptrace while ``command`` ran, seen from outside."""
    runs = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    stopped = 0.0
    last = time.perf_counter()
    while runs.poll() is None:
        time.sleep(0.001)
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            state = stream.read().rpartition(")")[2].split()[0]
        now = time.perf_counter()
        stopped += now - last if state in "tT" else 0
        last = now
    return stopped


def pause() -> None:
    """How long a live guest stands still for an attach."""
    guest = subprocess.Popen(
        ["qemu-system-x86_64", "-accel", "tcg,tb-size=16", "-m", "48", "-smp", "2", "-display", "none", "-nodefaults"],
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(3)
        ours = [sys.executable, "-m", "qemu_gdb", "attach", str(guest.pid)]
        theirs = ["gdb", "-nx", "-batch", "-p", str(guest.pid), "-ex", "thread apply all bt"]
        times = [(stood_still(ours, guest.pid), stood_still(theirs, guest.pid)) for _ in range(ROUNDS)]
        a, b = min(t[0] for t in times), min(t[1] for t in times)
        show("guest pause of qemu-gdb attach to that of gdb -p and bt", f"{a / b:.2f}", "<= 0.5", a / b <= 0.5)
        print(f"    {a:.3f} s to {b:.3f} s, best of {ROUNDS}")
    finally:
        guest.kill()
        guest.wait()


def hang() -> None:
    """What an explanation adds to gdb's start and the loading of a core."""
    target = lab_core("nbd_stop")
    if target is None:
        print("no core of a hang: make lab and make test-lab make one")
        return

    def took(*arguments: str) -> float:
        before = processor_time()
        gdb(target or [], list(arguments))
        return processor_time() - before

    times = [(took("-ex", f"source {GDBINIT}", "-ex", "qemu-explain"), took()) for _ in range(ROUNDS)]
    added = min(t[0] for t in times) - min(t[1] for t in times)
    show("qemu-explain of an NBD hang, beyond gdb's start and the core", f"{added:.2f} s", "<= 0.5 s", added <= 0.5)


SEARCH = """python
import time
from qemu_gdb.state import access, coroutine_stacks, coroutines, memory, qom
process = access.Process()
ranges = memory.heap_ranges(process)
with coroutine_stacks.CoroutineStacks(process) as stacks:
    reader = coroutines.CoroutineReader(process, qom.Qom(process), stacks)
    start = time.process_time()
    coroutines.search_candidates(process, reader, stacks, ranges)
    print("took", time.process_time() - start, sum(last - first for first, last in ranges))
end
"""


def search(target: List[str]) -> None:
    """How fast memory is searched for coroutines: all that is writable, without guest RAM."""
    with tempfile.NamedTemporaryFile("w", suffix=".gdb") as script:
        script.write(SEARCH)
        script.flush()
        found = [gdb(target, ["-ex", f"source {GDBINIT}", "-x", script.name]).rpartition("took ")[2].split()
                 for _ in range(2)]
    if not all(found):
        print("the search for coroutines was not measured: this QEMU has no symbols for it")
        return
    speed = min(float(took) / (int(size) / (1 << 30)) for took, size in found)
    show("searching memory for coroutines, a GB", f"{speed:.2f} s", "<= 1.5 s", speed <= 1.5)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="qemu-gdb-bench-") as name:
        folder = pathlib.Path(name)
        triage.measure(folder, show)
        loading()
        small_text(folder)
        large_text(folder)
        problems.measure(show, ROUNDS)
        pause()
        hang()
        target = many_threads(folder)
        if target is None:
            print("no core with 600 threads: QEMU did not start")
            return
        compare(target, "qemu-explain --all", "thread apply all bt", 1.0)
        compare(target, "qemu-explain --all --stacks", "thread apply all bt", 0.6)
        search(target)


if __name__ == "__main__":
    main()
