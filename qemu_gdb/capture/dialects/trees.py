"""Call trees whose branches carry counts: macOS' sample and Activity Monitor, perf report. The heaviest branch counts.

The functions give frames outermost first, as such trees are drawn, and how many lines they took.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

from qemu_gdb.model import Frame
from qemu_gdb.pattern import Pattern

MAX_DEPTH = 2000  # frames of one branch

# "2511 Thread_412356: CPU 0/HVF", "2511 Thread_412345   DispatchQueue_1: com.apple.main-thread  (serial)"
_SAMPLE_THREAD = Pattern(
    r"\d{1,9} Thread_(?P<id>[0-9a-fA-F]{1,16})(?:: (?P<name>\S.*?))?(?:\s+DispatchQueue_.*)?\s*$"
)
# "    +         ! 2400 hv_vcpu_run  (in Hypervisor) + 52  [0x23bc01234]"
_SAMPLE = Pattern(
    r"(?P<marks>[\s+!:|]*)(?P<count>\d{1,9}) (?P<function>\S.*?)(?:\s+\(in (?P<module>[^()]+)\))?"
    r"(?: (?:load address 0x[0-9a-fA-F]+ )?\+ (?:0x[0-9a-fA-F]+|\d+(?:,\d+)*|\.\.\.)\s*)?"
    r"(?:\s+\[0x(?P<pc>[0-9a-fA-F]{1,16})[^\]]*\])?(?:\s+(?P<file>[^\s:]+\.\w+):(?P<line>\d{1,8}))?\s*$"
)
_BRANCH = Pattern(r"[\s|]*--+(?:(?P<share>\d{1,3}\.\d{1,2})%--)?(?P<function>[A-Za-z_\[]\S*)$")
_STEP = Pattern(r"[\s|]*(?P<function>[A-Za-z_\[0][^\s|]*)$")
PERF_ROW = Pattern(
    r"(?:\d{1,3}\.\d{1,2}%\s+){1,2}(?P<comm>\S.*?)\s{2,}\S+\s+\[[.kgH]\] (?P<function>\S+)(?:\s+-\s+-)?$"
)


class Sampled(NamedTuple):
    """What stands above the tree of one thread of a sample."""

    id: int
    name: Optional[str]


def sampled_thread(line: str) -> Optional[Sampled]:
    """``2511 Thread_412356: CPU 0/HVF``, else None."""
    match = _SAMPLE_THREAD.match(line)
    if match is None:
        return None
    text = match.group("id")
    return Sampled(int(text, 10 if text.isdigit() else 16), match.group("name"))


def sampled(lines: List[str], at: int) -> Tuple[List[Frame], int]:
    """The heaviest branch of the sample's tree that begins in ``lines[at]``, and the index of the line behind it."""
    chain: List[Tuple[int, int, Frame]] = []  # column, count, frame: the branch being built
    cut: Optional[int] = None  # column of the sibling below which everything is lighter
    end = at
    while end < len(lines):
        line = lines[end]
        match = _SAMPLE.match(line)
        if match is None or _SAMPLE_THREAD.match(line.strip()):
            break
        end += 1
        column, count = match.start("count"), int(match.group("count"))
        if cut is not None and column > cut:
            continue
        cut = None
        beside = next((entry for entry in chain if entry[0] >= column), None)
        if beside is not None:
            if beside[0] != column or beside[1] >= count:  # a lighter sibling
                cut = column
                continue
            chain = [entry for entry in chain if entry[0] < column]
        if len(chain) < MAX_DEPTH:
            chain.append((column, count, _frame(match.groupdict())))
    return [frame for _, _, frame in chain], end


def _frame(groups: dict[str, Optional[str]]) -> Frame:
    name = groups["function"]
    found = Frame(0, None if name in (None, "???") else name, library=groups["module"])
    if groups["pc"]:
        found.pc = int(groups["pc"], 16)
    if groups["file"]:
        found.file, found.line = groups["file"], int(groups["line"] or 0)
    return found


def reported(first: str, lines: List[str], at: int) -> Tuple[List[Frame], int]:
    """As ``sampled``, of the tree of perf report whose root is ``first``; ``lines[at]`` stands below it."""
    match = _BRANCH.match(first)
    if match is None:
        return [], at
    frames = [Frame(0, match.group("function"))]
    column = match.start("function")  # of the functions in the branch that is followed
    end = at
    leaving = False
    while end < len(lines):
        line = lines[end].rstrip()
        if not line.strip(" |"):
            if not line.strip():
                break
            end += 1
            continue
        branch = _BRANCH.match(line)
        match = branch or _STEP.match(line)
        if match is None or root(line):
            break
        end += 1
        here = match.start("function")
        if branch is not None and here <= column:
            leaving = True  # a lighter sibling: perf sorts by weight
        if leaving or (branch is None and here < column - 2):
            leaving = True
            continue
        column = here
        if len(frames) < MAX_DEPTH:
            name = match.group("function")
            frames.append(Frame(0, None if name.startswith(("0x", "[")) else name))
    return frames, end


def root(line: str) -> bool:
    """Whether ``line`` is the first of a tree of perf report: ``---qemu_main_loop``."""
    return _BRANCH.match(line) is not None and line.lstrip(" |").startswith("---")
