"""Says whether a fix is known for what a stack shows: by its assertion first, then by its stack."""

from __future__ import annotations

import os
import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from ..knowledge import paths
from ..knowledge.everyday import EVERYDAY
from ..knowledge.folding import ENDS, fold, is_layer
from ..knowledge.functions import is_qemu_function, lookup, newer_than
from ..knowledge.helpers import helper_for
from ..knowledge.problems import Problem, expression_key, is_telling, problems
from ..model import Explanation, KnownFix, Message, Snapshot, Thread, ThreadExplanation
from . import own_words
from .signature import Likeness, stack_similarity

COMMIT_LINK = "https://gitlab.com/qemu-project/qemu/-/commit/"

_MOST_STACKS = 24  # of one process that are looked up
_MOST_CANDIDATES = 60  # stacks of the index that are aligned with one of ours
_LEAST = 0.3  # score of a match that is told
_FIX_BONUS = 0.15  # in the ranking, of a match that comes with a fix to have
_FEW_PLACES = 3  # files that define a function of one name, for them to tell where it crashed
_WITNESSES = 2  # functions that tell that QEMU is newer than a release, where no file does
_MOST_WITNESSES = 400  # functions that are looked at for that
_SAME_FILE_BONUS = 0.1  # in the ranking, of a fix that changes the file in which it crashed
_ALIKE = 0.3  # of a path, for the same assertion to be likely the same problem
_GENERIC = 4  # an assertion that so many problems share says little about the cause

Subject = Union[Snapshot, Explanation, ThreadExplanation, Thread]


class _Match:
    """What speaks for one problem."""

    def __init__(self, problem: int, assertion: str = "", exact: bool = True) -> None:
        self.problem = problem
        self.assertion = assertion  # the function that holds it
        self.exact = exact  # the expression is the same; else the report does not tell it
        self.shared = False  # its path, too, with another problem
        self.shared_by = 0  # problems that have the same assertion
        self.likeness: Optional[Likeness] = None
        self.others: List[Likeness] = []  # of further threads
        self.crashed_in = ""  # the source file that the fix changes and this process crashed in
        self.leads_there = False  # the problem's stack, whose crashed frame was lost, leads into that file

    @property
    def path(self) -> float:
        return _path(self.likeness) if self.likeness else 0.0

    @property
    def score(self) -> float:
        more = sum(_path(other) for other in self.others)
        stack = min(1.0, self.path + 0.1 * more)
        if not self.assertion:
            return 0.9 * stack
        if not self.exact:
            return max(0.9 * stack, 0.35 + 0.4 * stack)
        return min(1.0, (0.55 if self.shared_by < _GENERIC else 0.3) + 0.45 * stack)

    @property
    def confidence(self) -> str:
        """How sure it is to be this problem.

        An assertion alone makes it possible: left out one by one, most known problems that share their assertion with
        another are not that one. Of paths, one that has another caller in its middle is another way in.
        """
        if self.likeness is None:
            return "possible"
        functions = len(self.likeness.functions)
        if self.assertion and self.exact:
            enough = 0.6 if self.shared_by < _GENERIC else 0.8
            if self.path >= enough and functions >= 4 and not self.shared:
                return "certain"
            alike = self.path >= _ALIKE and functions >= 2 and not self.likeness.swapped
            return "likely" if alike and self.shared_by < _GENERIC else "possible"
        strong = self.likeness.first <= 1 and functions >= 4 and self.likeness.share >= 0.7
        return "likely" if strong and self.path >= 0.75 and not self.likeness.swapped else "possible"


class _Age(NamedTuple):
    """What is known of this QEMU's version: what it tells, else what its functions show."""

    version: Optional[str]
    after: str = ""  # the release that it is newer than, by its functions
    shown: Tuple[str, ...] = ()  # functions that no QEMU up to that release has

    def has(self, release: Optional[str]) -> Optional[bool]:
        """Whether it has what was first released in ``release``; None where that can't be known."""
        newer, wanted = _release(self.after), _release(release)
        if _release(self.version) is None and newer and wanted:
            return True if newer >= wanted else None
        return has_fix(self.version, release)


def find_known(
    subject: Subject, version: Optional[str] = None, limit: int = 3, hangs: bool = False
) -> List[KnownFix]:
    """The known problems that match best, at most ``limit``, best first; empty when none is near.

    ``version`` is QEMU's as it tells it ("8.2.0", "7.2.9 (Debian 1:7.2+dfsg-7+deb12u7)"); a Snapshot brings its own.
    ``hangs``: the process hangs, so that a failed assertion's problem is another one.
    ``score`` is 0..1. ``confidence`` is "certain" only for the same assertion reached on the same path.
    """
    try:
        return _found(subject, version, limit, hangs)
    except (OSError, ValueError):  # the index is missing or damaged: the rest of an explanation does without
        return []


def _found(subject: Subject, version: Optional[str], limit: int, hangs: bool) -> List[KnownFix]:
    stacks, enders, messages = _seen(subject)
    crashed_in = _crashed_in(subject)
    if version is None:
        snapshot = subject.snapshot if isinstance(subject, Explanation) else subject
        if isinstance(snapshot, Snapshot):
            version = " ".join(part for part in (snapshot.version, snapshot.package) if part)
    matches: Dict[int, _Match] = {}
    _by_assertion(stacks, enders, messages, matches)
    _by_stack(stacks, crashed_in, matches)
    for number in [n for n, m in matches.items() if m.likeness is None and helper_for(m.assertion, "crash")]:
        del matches[number]  # what a helper asserts of its arguments is broken by any of its callers
    if hangs and matches:
        for number in problems().with_assertions().intersection(matches):
            del matches[number]
    if isinstance(subject, Explanation):
        _agree(subject, matches)
    told: Dict[str, KnownFix] = {}
    age = _age(subject, version)
    for number in [n for n, m in matches.items() if not m.assertion and _had(age, n)]:
        del matches[number]  # a path alone, and the fix is there: another problem
    _settle(matches)
    ranked = sorted((_rank(match, age), number) for number, match in matches.items() if match.score >= _LEAST)
    for _, number in ranked:
        match = matches[number]
        fix = _told(match, problems().problem(match.problem), age)
        key = fix.commit or fix.link or ""
        if key in told:
            told[key].link = told[key].link if match.assertion == "" else told[key].link or fix.link
            continue
        told[key] = fix
        if len(told) >= limit:
            break
    return list(told.values())


def _agree(explanation: Explanation, matches: Dict[int, _Match]) -> None:
    """Of a crash, drop the problems that only share a path with it and crash elsewhere, or in another way.

    A path that does not hold the function that crashed is the way that leads there, not what went wrong.
    """
    crash = next((f for f in explanation.findings if f.kind.startswith("crash.")), None)
    crashed = [t for t in explanation.threads if t.state in ("crashed", "aborting") and t.culprit]
    if not crashed:
        return
    culprits = {token for t in crashed for token in fold([t.culprit]) if not is_layer(token)}
    kind = crash.kind if crash is not None else ""
    if kind in _NO_ABORT or kind == "crash.heap-corruption":  # an assertion that no message tells did not fail
        for number in [n for n, m in matches.items() if m.assertion and not m.exact]:
            del matches[number]
    for number in [n for n, m in matches.items() if not m.assertion and m.likeness is not None]:
        match = matches[number]
        assert match.likeness is not None
        elsewhere = bool(culprits) and not match.leads_there and not culprits.intersection(match.likeness.functions)
        otherwise = kind in _NO_ABORT and number in problems().with_assertions()
        # such an instruction, or a division, is in the crashed function alone: the way there tells nothing
        alone = kind in _OF_ONE_INSTRUCTION and (kind != "crash.arithmetic" or match.confidence == "possible")
        if elsewhere or otherwise or alone:
            del matches[number]


_NO_ABORT = ("crash.null-dereference", "crash.invalid-access", "crash.bus-error", "crash.stack-overflow",
             "crash.arithmetic", "crash.illegal-instruction")  # fmt: skip
_OF_ONE_INSTRUCTION = ("crash.illegal-instruction", "crash.arithmetic")


def _had(age: _Age, number: int) -> bool:
    """Whether this QEMU has a problem's fix already."""
    return age.has((problems().problem(number).releases or ("",))[0] or None) is True


def _age(subject: Subject, version: Optional[str]) -> _Age:
    if _release(version) is not None:
        return _Age(version)
    if isinstance(subject, Explanation):
        threads = subject.snapshot.threads
    elif isinstance(subject, Snapshot):
        threads = subject.threads
    else:
        threads = [subject.thread if isinstance(subject, ThreadExplanation) else subject]
    shown: Dict[str, Dict[str, bool]] = {}  # release: functions that came later, and whether their file says so, too
    seen = {(frame.name, frame.file) for thread in threads for frame in thread.frames if frame.name}
    for name, file in sorted(seen, key=lambda place: (place[0], place[1] or ""))[:_MOST_WITNESSES]:
        after, agreed = newer_than(name, file)
        if after:
            shown.setdefault(after, {})[name] = agreed
        by_path = paths.after(file)
        if by_path is not None and file is not None and is_qemu_function(name):
            shown.setdefault(by_path, {})[f"a path like {file}"] = True
    for after in sorted(shown, key=lambda release: _release(release) or (), reverse=True):
        if len(shown[after]) >= _WITNESSES or any(shown[after].values()):
            return _Age(None, after, tuple(sorted(shown[after], key=lambda name: not shown[after][name])[:2]))
    return _Age(None)


def _seen(subject: Subject) -> Tuple[List[Tuple[str, ...]], List[str], List[Message]]:
    """The folded stacks that may tell the problem, the functions that aborted, and the assertions.

    Of a crash the stack that crashed, and what a sanitizer recorded; else all stacks, the likeliest first.
    """
    messages: List[Message] = []
    if isinstance(subject, Explanation):
        threads = sorted(
            (t for t in subject.threads if not t.thread.history),
            key=lambda t: (t.state not in ("crashed", "aborting"), t.state in ("idle", "running-guest")),
        )
        fatal = [t for t in threads if t.state in ("crashed", "aborting")]
        told = fatal or [t for t in threads if not _only_waits_behind(t, threads)] or threads
        candidates = [t.thread for t in told] + [t.thread for t in subject.threads if t.thread.history]
        messages = own_words.own(subject.snapshot.messages, subject.snapshot.threads)
    elif isinstance(subject, Snapshot):
        ended = [t for t in subject.threads if (t.crashed or _ends(t)) and not t.history]
        present = ended or sorted((t for t in subject.threads if not t.history), key=lambda t: not t.current)
        candidates = present + [t for t in subject.threads if t.history]
        messages = own_words.own(subject.messages, subject.threads)
    else:
        candidates = [subject.thread if isinstance(subject, ThreadExplanation) else subject]
    stacks: List[Tuple[str, ...]] = []
    enders: List[str] = []
    for thread in candidates:
        if _ends(thread):
            outside = fold(frame.function for frame in thread.frames[:24])
            enders.extend(outside[:1])
        tokens = fold(frame.function for frame in thread.frames)
        if any(not is_layer(token) for token in tokens) and tokens not in stacks:
            stacks.append(tokens)
            if len(stacks) == _MOST_STACKS:
                break
    return stacks, enders, [m for m in messages if m.expression or m.kind in ("assertion", "glib")]


def _only_waits_behind(told: ThreadExplanation, threads: Sequence[ThreadExplanation]) -> bool:
    """Whether a thread waits for the BQL because of another that waits for nobody: its own stack tells nothing."""
    if told.state != "waiting-bql" or told.waits_for is None:
        return False
    owner = next((t for t in threads if t.thread.number == told.waits_for.owner_thread), None)
    return owner is not None and (owner.waits_for is None or owner.waits_for.owner_thread is None)


def _ends(thread: Thread) -> bool:
    """Whether a thread ends the process, by its innermost frames."""
    return any(frame.name in ENDS for frame in thread.frames[:8])


def _by_assertion(
    stacks: Sequence[Tuple[str, ...]],
    enders: Sequence[str],
    messages: Sequence[Message],
    matches: Dict[int, _Match],
) -> None:
    """Match by function and expression; where no message tells the expression, by the function that aborted."""
    told: Set[str] = set()
    for message in messages:
        telling = is_telling(message.expression)
        key = expression_key(message.expression) if telling else ""
        functions = [message.function] if message.function else [stack[0] for stack in stacks[:2]]
        for function in functions:
            name = re.sub(r"\(.*", "", function or "").rsplit(" ", 1)[-1].lstrip("*")
            told.add(name)
            same = {problem for known, problem in problems().asserting(name) if known == key}
            for problem in same:
                match = matches.setdefault(problem, _Match(problem))
                match.assertion = name
                match.shared_by = max(match.shared_by, len(same) if telling else _GENERIC)
    for name in enders:
        if name not in told:
            for _, problem in problems().asserting(name):
                match = matches.setdefault(problem, _Match(problem, name, exact=False))
                match.assertion = match.assertion or name


def _by_stack(stacks: Sequence[Tuple[str, ...]], crashed_in: Set[str], matches: Dict[int, _Match]) -> None:
    index = problems()
    for tokens in stacks:
        weights: Dict[int, float] = {}
        for token in set(tokens):
            if not is_layer(token):
                rarity = index.rarity(token)
                for number in index.stacks_with(token):
                    weights[number] = weights.get(number, 0.0) + rarity
        near = sorted(weights, key=lambda n: (-weights[n], n))[:_MOST_CANDIDATES]
        for problem in matches:
            near.extend(s.number for s in index.stacks_of(problem) if s.number not in near)
        best: Dict[int, Likeness] = {}
        leading: Set[int] = set()
        for number in near:
            known = index.stack(number)
            likeness = stack_similarity(tokens, known.tokens)
            leads_there = bool(_changes(known.problem, crashed_in)) and _is_all_above(likeness, known.tokens)
            if not _holds(likeness, leads_there) and not (known.problem in matches and likeness.functions):
                continue
            leading.update([known.problem] if leads_there else [])
            if known.problem not in best or _path(likeness) > _path(best[known.problem]):
                best[known.problem] = likeness
        for problem, likeness in best.items():
            match = matches.setdefault(problem, _Match(problem))
            match.leads_there = match.leads_there or problem in leading
            if match.likeness is None:
                match.likeness = likeness
            elif _path(likeness) > _path(match.likeness):
                match.others.append(match.likeness)
                match.likeness = likeness
            else:
                match.others.append(likeness)
    for problem, match in matches.items():
        match.crashed_in = _changes(problem, crashed_in)


def _is_all_above(likeness: Likeness, tokens: Sequence[str]) -> bool:
    """Whether a problem's stack has no function of its own above what is shared: the one that crashed was lost."""
    return likeness.functions[:1] == tuple(token for token in tokens if not is_layer(token))[:1]


def _changes(problem: int, files: Set[str]) -> str:
    """Which of a problem's fixed files is one of these, "" for none; see `_key`."""
    return next((f for f in problems().problem(problem).files if _key(f) in files), "")


# Folders between which files moved in other releases, under their own name
_MOVED = ("softmmu", "system", "common", "tcg", "kvm", "dataplane", "core", "")
# Names of which the tree has many
_COMMON = frozenset(("pci.c", "cpu.c", "kvm.c", "core.c", "block.c", "translate.c", "helper.c", "nvme.c", "main.c",
                     "signal.c", "machine.c", "bus.c", "init.c", "common.c", "trace.c"))  # fmt: skip


def _key(path: str) -> str:
    """A source file by its name, and by its folder where several have that name: files move between releases."""
    name = os.path.basename(path)
    folder = os.path.basename(os.path.dirname(path)).replace("target-", "")
    return f"{folder}/{name}" if name in _COMMON and folder not in _MOVED else name


def _crashed_in(subject: Subject) -> Set[str]:
    """The source files whose code crashed (`_key`); where no frame tells, those that define the function."""
    found: Set[str] = set()
    for thread, culprit in _crashed(subject):
        frame = next((f for f in thread.frames if f.name and f.name == culprit), None)
        if frame is not None and frame.file:
            found.add(_key(frame.file.replace("\\", "/")))
        elif frame is not None:
            places = {_key(info.file) for info in lookup(frame.name)}
            found.update(places if len(places) <= _FEW_PLACES else ())
    return found


def _crashed(subject: Subject) -> Iterator[Tuple[Thread, str]]:
    """The threads that crashed or end the process, and the function of QEMU in which."""
    if isinstance(subject, (Explanation, ThreadExplanation)):
        told = subject.threads if isinstance(subject, Explanation) else [subject]
        yield from ((t.thread, t.culprit) for t in told if t.state in ("crashed", "aborting") and t.culprit)
        return
    for thread in subject.threads if isinstance(subject, Snapshot) else [subject]:
        if (thread.crashed or _ends(thread)) and not thread.history:
            own = (f.name for f in thread.frames if f.name and is_qemu_function(f.name) and f.name not in ENDS)
            yield thread, next(own, "")


def _settle(matches: Dict[int, _Match]) -> None:
    """Take "certain" from problems that share their assertion and path with another: the stack can't tell which."""
    certain = [match for match in matches.values() if match.confidence == "certain"]
    for match in certain:
        commits = set(problems().problem(match.problem).commits)
        for other in certain:
            theirs = problems().problem(other.problem).commits
            if other is not match and other.path >= match.path - 0.15 and not commits.intersection(theirs):
                match.shared = True


def _path(likeness: Likeness) -> float:
    """0..1: how much of the way is the same; a short stack inside a long one counts for less than two whole ones."""
    same = 0.5 * likeness.contained + 0.5 * likeness.share
    enough = min(1.0, likeness.weight / 12.0)
    return same * (0.4 + 0.6 * enough) * max(0.4, 1.0 - 0.1 * likeness.first)


def _holds(likeness: Likeness, leads_there: bool) -> bool:
    """Whether a likeness is enough to stand alone: telling functions near the top, not only a common tail.

    An everyday path is, where it leads into the file that the fix changes.
    """
    everyday = all(function in EVERYDAY for function in likeness.functions)
    if likeness.first > 4 or (everyday and not leads_there):
        return False
    if len(likeness.functions) == 1:  # then all the rest must be the same, too
        return likeness.first == 0 and likeness.share >= 0.9 and likeness.weight >= 4.5
    return likeness.weight >= 6.0


def _told(match: _Match, problem: Problem, age: _Age) -> KnownFix:
    commit = problem.commits[0] if problem.commits else None
    release = (problem.releases[0] if problem.releases else "") or None
    parts = []
    if match.assertion and match.exact:
        parts.append(f"the same assertion in {match.assertion}")
    elif match.assertion:
        parts.append(f"an assertion in {match.assertion} (this report does not tell which)")
    if match.likeness is not None:
        functions = match.likeness.functions
        shown = ", ".join(functions[:4]) + (f" and {len(functions) - 4} more" if len(functions) > 4 else "")
        parts.append(f"the path {shown}")
    matched = " and ".join(parts) + (f"; it changes {match.crashed_in}, where this crashed" if match.crashed_in else "")
    fixed = age.has(release)
    confidence = match.confidence
    if fixed:
        reason = f"{' and '.join(age.shown)} came after {age.after}" if age.shown else "by its version"
        confidence, matched = "possible", f"{matched}, though this QEMU has the fix: {reason}"
    return KnownFix(
        commit=commit,
        release=release,
        score=round(match.score, 2),
        link=problem.link or (COMMIT_LINK + commit if commit else None),
        matched=matched,
        confidence=confidence,
        has_fix=fixed,
    )


def _release(version: Optional[str]) -> Optional[Tuple[int, ...]]:
    """The first version number of a text, with three parts; None without one."""
    found = re.search(r"\d+(?:\.\d+)+", version or "")
    if not found:
        return None
    numbers = tuple(int(n) for n in found.group().split("."))[:3]
    return numbers + (0,) * (3 - len(numbers))


def _rank(match: _Match, age: _Age) -> Tuple[bool, float, float]:
    """Sorts matches, best first: a fix that this QEMU has last, by score, a fix to have before an issue without one.

    Of equal ones the fix that came soonest after our version, or the newest where the version is unknown.
    """
    known = problems().problem(match.problem)
    score = match.score + (_SAME_FILE_BONUS if match.crashed_in else 0.0)
    release = next((r for r in known.releases if r), None)
    ours, theirs = _release(age.version), _release(release)
    if theirs is None:
        return (False, -score - (_FIX_BONUS / 2 if known.commits else 0.0), 0.0)
    had = age.has(release) is True
    if ours is None:
        return (had, -score - _FIX_BONUS, -theirs[0] - theirs[1] / 100)
    gap = (theirs[0] - ours[0]) + (theirs[1] - ours[1]) / 100
    return (had, -score - _FIX_BONUS, abs(gap))


def has_fix(version: Optional[str], release: Optional[str]) -> Optional[bool]:
    """Whether a QEMU of a version has what was first released in ``release``; None where that can't be known.

    A later or equal release has it. An earlier plain ``X.Y.0`` has not; of a stable update, a development version or a
    distribution's package nobody can tell: fixes are backported.
    """
    ours, wanted = _release(version), _release(release)
    if ours is None or wanted is None:
        return None
    number = re.search(r"\d+(?:\.\d+)+", version or "")
    rest = (version or "")[number.end() :] if number else ""
    if ours > wanted or (ours == wanted and not re.match(r"[-.~]?rc", rest)):
        return True
    if ours[2] == 0 and not rest.strip() and number and number.group().count(".") >= 2:
        return False
    return None
