"""Builds the index of known problems from a list of facts, and from a clone of QEMU's git history.

    python3 -m qemu_gdb.knowledge.build.problems [FACTS.jsonl] [--git CLONE [--since DATE]] [--data DIR]

A line of FACTS is an object with `kind` ("fix" or "issue"), `stacks` (lists of functions, innermost first),
`assertions` (function, expression) and, of a fix, `commit`, `release`, `files` and `links`; of an issue, `link` and
`fixed_by`.
With --git, commits whose message holds a stack or an assertion are added, with the first release tag that has them;
without FACTS they are added to what the package's index has. An index in ~/.local/share/qemu-gdb is used instead of
the package's:

    python3 -m qemu_gdb.knowledge.build.problems --git ~/qemu --data ~/.local/share/qemu-gdb

Only hashes, numbers, names of functions and source files, and links are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from ..folding import fold, is_layer
from ..functions import is_qemu_function
from ..indexfile import DATA
from ..problems import Problems, expression_key, is_telling
from . import indexfile

COMMIT_LINK = "https://gitlab.com/qemu-project/qemu/-/commit/"


@dataclass
class Record:
    """One problem on its way into the index."""

    commits: List[str] = field(default_factory=list)
    link: str = ""  # of the issue that it is
    links: List[str] = field(default_factory=list)  # of the issues that a commit names
    stacks: Set[Tuple[str, ...]] = field(default_factory=set)
    assertions: Set[Tuple[str, str]] = field(default_factory=set)  # function, expression key
    files: Set[str] = field(default_factory=set)  # source files that a commit changes

    @property
    def tells(self) -> bool:
        return bool(self.stacks or self.assertions)


def folded(stacks: Iterable[Iterable[Optional[str]]]) -> Set[Tuple[str, ...]]:
    """Stacks as tokens, without those that show plumbing only."""
    found = set()
    for stack in stacks:
        tokens = tuple(token.replace(" ", "") for token in fold(stack))
        if any(not is_layer(token) for token in tokens):
            found.add(tokens)
    return found


def asserted(assertions: Iterable[Dict[str, Any]]) -> Set[Tuple[str, str]]:
    """Assertions as (function, key); the key of an expression that says nothing is empty."""
    found = set()
    for item in assertions:
        function, expression = item.get("function"), item.get("expression")
        if function and re.match(r"^[\w.]+$", function):
            found.add((function, expression_key(expression) if is_telling(expression) else ""))
    return found


_MOST_FILES = 8  # a commit that changes more tells no place


def changed(files: Iterable[str]) -> Set[str]:
    """Of a commit's files, QEMU's own code; none where it is a change all over the tree."""
    code = {file for file in files if re.search(r"\.(?:c|h|cpp|m|rs|inc)$", file) and not file.startswith("tests/")}
    return code if len(code) <= _MOST_FILES else set()


def from_facts(path: Path, releases: Dict[str, str]) -> Iterator[Record]:
    """Records of a list of facts; fills ``releases`` (commit to first release).

    :raises ValueError: a line is not a JSON object
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            fact = json.loads(line)
            if not isinstance(fact, dict):
                raise ValueError(f"{path}:{number}: expected an object")
            record = Record(stacks=folded(fact.get("stacks") or []), assertions=asserted(fact.get("assertions") or []))
            if fact.get("kind") == "fix":
                record.commits = [fact["commit"]]
                record.links = list(fact.get("links") or [])
                record.files = changed(fact.get("files") or [])
                releases[fact["commit"]] = fact.get("release") or ""
            else:
                record.commits = list(fact.get("fixed_by") or [])
                record.link = fact.get("link") or ""
            yield record


def from_index(index: Problems, releases: Dict[str, str]) -> Iterator[Record]:
    """Records of an index; fills ``releases``."""
    assertions = index.assertions()
    for number in range(index.count):
        problem = index.problem(number)
        releases.update((c, r) for c, r in zip(problem.commits, problem.releases) if r)
        stacks = {stack.tokens for stack in index.stacks_of(number)}
        asserts = set(assertions.get(number, ()))
        yield Record(list(problem.commits), problem.link, [], stacks, asserts, set(problem.files))


_FRAME = re.compile(r"^[\s>|*]*#\s*(\d+)[: ]\s*(?:0x[0-9a-f]+\s+(?:in\s+)?|<\w+>\s+)?([A-Za-z_]\w*)", re.M)
_ASSERT = re.compile(
    r"(?:(?P<file>[\w./+-]+\.[ch](?:\.inc)?):\d+:\s*(?P<function>\w+)(?:\([^)]*\))?:\s*[Aa]ssertion"
    r"(?:\s+[`'](?P<expression>[^'\n]+)'\s+failed|\s+failed:\s*\((?P<glib>[^\n]+)\)))"
)


def stacks_in(text: str) -> List[List[str]]:
    """The stacks of a commit message, innermost function first; a frame #0 begins a new one."""
    stacks: List[List[str]] = []
    last = -1
    for match in _FRAME.finditer(text):
        level = int(match.group(1))
        if not stacks or level <= last:
            stacks.append([])
        stacks[-1].append(match.group(2))
        last = level
    return [s for s in stacks if len(s) >= 3 and sum(is_qemu_function(f) for f in s) >= 2]


def assertions_in(text: str) -> List[Dict[str, Any]]:
    """The assertion failures that a commit message quotes."""
    flat = re.sub(r"\n[\s>]+", " ", text)
    return [
        {"function": m.group("function"), "expression": m.group("expression") or m.group("glib")}
        for m in _ASSERT.finditer(flat)
    ]


def _git(clone: Path, *arguments: str) -> str:
    command = ["git", "-C", str(clone), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, errors="replace").stdout


def first_releases(clone: Path) -> Dict[str, str]:
    """Commit to the first release with it, by the clone's release tags (v1.0 to the newest)."""
    tags = re.findall(r"^v(\d+(?:\.\d+)+)$", _git(clone, "tag", "--list", "v*"), re.M)
    tags = [t for t in tags if not re.match(r"\d+\.\d+\.[1-9]\d*$", t) or int(t.split(".")[0]) < 1]
    found: Dict[str, str] = {}
    for tag in sorted(tags, key=lambda t: tuple(int(n) for n in t.split("."))):
        known = [f"^v{t}" for t in tags if _is_before(t, tag)][-3:]
        for commit in _git(clone, "rev-list", f"v{tag}", *known).split():
            found.setdefault(commit, tag)
    return found


def _is_before(a: str, b: str) -> bool:
    return tuple(int(n) for n in a.split(".")) < tuple(int(n) for n in b.split("."))


def from_git(clone: Path, since: Optional[str], releases: Dict[str, str], known: Set[str]) -> Iterator[Record]:
    """Records of the commits of a clone whose message holds a stack or an assertion.

    :raises subprocess.CalledProcessError: ``clone`` is no git repository
    """
    arguments = ["log", "--no-merges", "--name-only", "--format=%x01%H%x00%B%x00", "-E",
                 r"--grep=(^|[> ])#[0-9]+ ", "--grep=[Aa]ssertion"]  # fmt: skip
    if since:
        arguments.append(f"--since={since}")
    first = first_releases(clone)
    for entry in _git(clone, *arguments).split("\x01"):
        commit, message, files = (entry.strip().split("\x00", 2) + ["", ""])[:3]
        if not commit or commit in known:
            continue
        record = Record([commit], stacks=folded(stacks_in(message)), assertions=asserted(assertions_in(message)))
        if record.tells:
            record.files = changed(files.split("\n"))
            record.links = re.findall(r"^(?:Resolves|Closes|Fixes|Buglink):\s*(https?://\S+)", message, re.M | re.I)
            releases[commit] = first.get(commit, "")
            yield record


def merged(records: Iterable[Record]) -> List[Record]:
    """Records with an issue's reports as one, and with the commits that name an issue as its commits."""
    naming: Dict[str, List[str]] = defaultdict(list)
    issues: Dict[str, Record] = {}
    found: List[Record] = []
    for record in records:
        for link in record.links:
            naming[_plain(link)].extend(record.commits)
        first = issues.get(_plain(record.link)) if record.link else None
        if first is None:
            found.append(record)
            if record.link:
                issues[_plain(record.link)] = record
        else:
            first.commits.extend(c for c in record.commits if c not in first.commits)
            first.stacks |= record.stacks
            first.assertions |= record.assertions
            first.files |= record.files
    files = {commit: record.files for record in found if not record.link for commit in record.commits}
    for link, issue in issues.items():
        issue.commits.extend(c for c in naming[link] if c not in issue.commits)
        issue.files.update(*(files.get(commit, ()) for commit in issue.commits))
    return found


def _plain(link: str) -> str:
    """A tracker's link in one spelling."""
    found = re.search(r"launchpad\.net/.*?bugs?/(\d+)", link) or re.search(r"(issues/\d+)", link)
    return found.group(1) if found else link


def build(records: Sequence[Record], releases: Dict[str, str], data: Path) -> None:
    """Write problems.idx into a folder."""
    rows: List[Tuple[str, str]] = []
    holders: Dict[str, List[str]] = defaultdict(list)
    asserting: Dict[str, List[str]] = defaultdict(list)
    stacks = 0
    kept = [record for record in records if record.tells]
    for number, record in enumerate(kept):
        since = ",".join(releases.get(c, "") for c in record.commits)
        parts = [",".join(record.commits), since, record.link, " ".join(sorted(record.files))]
        rows.append((f"p:{number}", "\t".join(parts)))
        own = []
        for tokens in sorted(record.stacks):
            rows.append((f"s:{stacks}", " ".join([str(number), *tokens])))
            for token in sorted({t for t in tokens if not is_layer(t)}):
                holders[token].append(indexfile.base36(stacks))
            own.append(str(stacks))
            stacks += 1
        if own:
            rows.append((f"o:{number}", " ".join(own)))
        for function, key in sorted(record.assertions):
            asserting[function].append(f"{key}:{number}")
    rows.extend((f"f:{token}", " ".join(numbers)) for token, numbers in holders.items())
    rows.extend((f"a:{function}", " ".join(items)) for function, items in asserting.items())
    size = indexfile.write(data / "problems.idx", [str(stacks), str(len(kept))], rows)
    print(f"problems.idx: {len(kept)} problems, {stacks} stacks, {size} bytes")


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python3 -m qemu_gdb.knowledge.build.problems", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("facts", metavar="FACTS", nargs="?", type=Path, help="facts, a JSON object a line")
    parser.add_argument("--git", metavar="CLONE", type=Path, help="a clone of QEMU's repository")
    parser.add_argument(
        "--since", metavar="DATE", help="of the clone, only commits after this date (as git log takes it)"
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parent.parent / "data", help="folder to write to")
    given = parser.parse_args(arguments)
    if given.facts is None and given.git is None:
        parser.error("give a list of facts, a clone, or both")
    releases: Dict[str, str] = {}
    records: List[Record] = []
    try:
        if given.facts is not None:
            records.extend(from_facts(given.facts, releases))
        else:
            records.extend(from_index(Problems(os.path.join(DATA, "problems.idx")), releases))
        if given.git is not None:
            known = {commit for record in records for commit in record.commits}
            records.extend(from_git(given.git, given.since, releases, known))
    except (OSError, ValueError) as error:
        print(f"{given.facts}: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"{given.git}: {error.stderr.strip() or error}", file=sys.stderr)
        return 2
    try:
        given.data.mkdir(parents=True, exist_ok=True)
        build(merged(records), releases, given.data)
    except OSError as error:
        print(f"{given.data}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
