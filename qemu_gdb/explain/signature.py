"""The signature of a crash or hang: what one problem keeps over versions, hosts and builds; how alike two are."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

from ..knowledge.folding import fold, is_layer, recursion
from ..knowledge.hashing import stable_hash
from ..knowledge.problems import problems
from ..model import Explanation, Finding, Thread, ThreadExplanation

_LONGEST = 6  # functions in a signature's text
_LAYER_WEIGHT = 0.4
_COMPARED = 40  # tokens of a stack that similarity looks at

# Roles whose difference is one of accelerator or naming, not of the problem.
_ROLE_NAMES = {
    "vcpu-kvm": "vcpu",
    "vcpu-mttcg": "vcpu",
    "vcpu-tcg-rr": "vcpu",
    "vcpu-other": "vcpu",
    "unknown": "",
}
_NOT_ON_THE_STACK = frozenset({"inline", "tailcall", "signal"})  # or there only with debug information
_NORMAL = frozenset({"idle", "running-guest"})


class Signature(NamedTuple):
    """What tells one problem from another."""

    text: str  # "vcpu | tsc210x_txrx < omap_mcspi_transfer_run < @guest-access", innermost first
    digest: str  # 12 hex digits of the text's hash
    tokens: Tuple[str, ...]  # the whole stack, folded


def signature(subject: Union[Thread, ThreadExplanation]) -> Signature:
    """The signature of one thread's stack.

    Its innermost telling functions up to the layer that called them (an event loop, a guest access, a command), with
    the role in front where it is known. Inlined copies, compiler suffixes, libraries, lock and abort primitives don't
    count; a function that was renamed counts as its newest name. Of endless recursion the cycle alone counts.
    """
    thread = subject.thread if isinstance(subject, ThreadExplanation) else subject
    role = subject.role if isinstance(subject, ThreadExplanation) else ""
    role = _ROLE_NAMES.get(role, role)
    cycle = recursion(_functions(thread))
    if cycle:
        # Where in the cycle the stack ended is chance; so is how much of its outer end was read.
        text = (f"{role} | " if role else "") + "recursion: " + " < ".join(cycle)
        return Signature(text, stable_hash(text), tokens_of(thread))
    return _made(role, tokens_of(thread))


def explanation_signature(told: Explanation) -> Signature:
    """The signature of a whole process: of the threads that its most important finding names.

    Without such threads, of the one that crashed, else of the one that is most telling. A monitor command is part of a
    hang's signature only where its own code waits: a drain inside the stopping of the VM is one problem with one
    remedy, whether "stop" or "quit" came to it.
    """
    finding = told.findings[0] if told.findings else None
    chosen = _chosen(told, finding)
    parts: List[Signature] = []
    for thread in chosen:
        part = signature(thread)
        if part.text not in [p.text for p in parts]:
            parts.append(part)
    telling = [part for part in parts if any(not is_layer(token) for token in part.tokens)]
    parts = telling or parts  # of several threads, those that only rest or wait for a lock tell nothing
    if not parts:
        return _made("", ())
    if len(parts) == 1 and finding is None:
        return parts[0]
    kind = finding.kind.partition(".")[0] if finding is not None else ""
    if kind == "hang":
        parts.sort(key=lambda part: part.text)
    text = " || ".join(part.text for part in parts)
    if finding is not None and kind in ("crash", "hang"):
        text = f"{kind if telling else finding.kind}: {text}"
    return Signature(text, stable_hash(text), tuple(token for part in parts for token in part.tokens))


def _chosen(told: Explanation, finding: Optional[Finding]) -> List[ThreadExplanation]:
    threads = [t for t in told.threads if not t.thread.history and t.thread.frames]
    fatal = [t for t in threads if t.state in ("crashed", "aborting")]
    if finding is not None and finding.kind.startswith("hang.") and finding.threads:
        numbers = set(finding.threads)
        named = [t for t in threads if t.thread.number in numbers and t.state not in _NORMAL]
        if any(_tells(t) for t in named):
            return named
    if fatal:
        # A process-wide set*id() call runs in every thread's signal handler; who made it is another thread.
        callers = [t for t in threads if "nptl_setxid" in (frame.name.lstrip("_") for frame in t.thread.frames[:4])]
        return callers[:1] if _in_setxid(fatal[0].thread) and callers else fatal[:1]
    if finding is not None and finding.threads:
        named = [t for t in threads if t.thread.number == finding.threads[0]]
        if named and _tells(named[0]):
            return named
    busy = [t for t in threads if t.state not in _NORMAL] or threads
    return sorted(busy, key=lambda t: -_tells(t))[:1]


def _tells(told: ThreadExplanation) -> int:
    """How many functions of a thread's stack tell something."""
    return sum(not is_layer(token) for token in tokens_of(told.thread))


def _in_setxid(thread: Thread) -> bool:
    return any("setxid_sighandler" in frame.name for frame in thread.frames[:3])


def tokens_of(thread: Thread) -> Tuple[str, ...]:
    """A thread's stack folded, innermost first; frames of inlined functions left out."""
    return fold(_functions(thread))


def _functions(thread: Thread) -> List[Optional[str]]:
    return [frame.function for frame in thread.frames if frame.kind not in _NOT_ON_THE_STACK]


def _made(role: str, tokens: Sequence[str]) -> Signature:
    kept: List[str] = []
    telling = 0
    for token in tokens:
        if not is_layer(token):
            kept.append(token)
            telling += 1
        elif telling:
            kept.append(token)
            break
        if telling == _LONGEST:
            break
    if not kept:
        kept = list(tokens[:1])
    text = (f"{role} | " if role else "") + (" < ".join(kept) if kept else "no known function")
    return Signature(text, stable_hash(text), tuple(tokens))


def similarity(a: Signature, b: Signature) -> float:
    """How alike two stacks are: 1 for the same, 0 where nothing but plumbing is shared."""
    return stack_similarity(a.tokens, b.tokens).share


class Likeness(NamedTuple):
    """What two folded stacks share."""

    share: float  # 0..1 of both stacks' weight
    contained: float  # 0..1 of the lighter stack's weight
    weight: float  # of the shared functions, by rarity
    functions: Tuple[str, ...]  # shared, innermost first
    first: int  # how many telling functions stand above the innermost shared one, in the stack where it is deeper
    swapped: int  # places before the outermost shared one where each stack has telling functions of its own


def stack_similarity(a: Sequence[str], b: Sequence[str]) -> Likeness:
    """Align two folded stacks in order; rare functions and those near the top weigh more, layers hardly.

    Stacks that share nothing but layers have likeness 0.
    """
    a, b = a[:_COMPARED], b[:_COMPARED]
    weigh = problems().rarity
    depth_a, depth_b = _depths(a), _depths(b)
    weight_a = [(weigh(t) or _LAYER_WEIGHT) * _near(d) for t, d in zip(a, depth_a)]
    weight_b = [(weigh(t) or _LAYER_WEIGHT) * _near(d) for t, d in zip(b, depth_b)]
    best = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        row, below, token = best[i], best[i + 1], a[i]
        for j in range(len(b) - 1, -1, -1):
            value = below[j] if below[j] > row[j + 1] else row[j + 1]
            if token == b[j]:
                value = max(value, below[j + 1] + (weight_a[i] + weight_b[j]) / 2)
            row[j] = value
    shared: List[str] = []
    first = swapped = i = j = 0
    own_a = own_b = False
    while i < len(a) and j < len(b):
        if a[i] == b[j] and best[i][j] == best[i + 1][j + 1] + (weight_a[i] + weight_b[j]) / 2:
            if not is_layer(a[i]):
                if not shared:
                    first = max(depth_a[i], depth_b[j])
                shared.append(a[i])
                swapped += own_a and own_b
                own_a = own_b = False
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            own_a = own_a or not is_layer(a[i])
            i += 1
        else:
            own_b = own_b or not is_layer(b[j])
            j += 1
    if not shared:
        return Likeness(0.0, 0.0, 0.0, (), 0, 0)
    total_a, total_b = sum(weight_a), sum(weight_b)
    common = best[0][0]
    return Likeness(
        min(1.0, 2 * common / (total_a + total_b)),
        min(1.0, common / min(total_a, total_b)),
        sum(weigh(t) for t in shared),
        tuple(shared),
        first,
        swapped,
    )


def _depths(tokens: Sequence[str]) -> List[int]:
    """Of each token, how many telling functions stand above it."""
    depths, count = [], 0
    for token in tokens:
        depths.append(count)
        count += not is_layer(token)
    return depths


def _near(depth: int) -> float:
    return max(0.25, 1.0 - 0.08 * depth)
