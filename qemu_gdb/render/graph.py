"""Draws who waits for whom as SVG: threads, locks, coroutines, requests and outside parties, for the HTML report."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..model import CoroutineExplanation, Explanation, Request, ThreadExplanation
from ..record import record
from . import words
from .safe import cut, safe, wrap

MAX_NODES = 40  # more are left out, those of the first finding never
_COLUMNS = 24  # characters of a line in a box
_LINES = 5
_WIDTH, _LINE, _PAD, _GAP_X, _GAP_Y, _LANE = 176, 15, 7, 14, 38, 14
_LOCKS = ("mutex", "bql", "lock", "rwlock", "aiocontext", "comutex")


@dataclass(eq=False)
class Node:
    """Somebody or something that waits or is waited for."""

    key: str
    kind: str  # thread, lock, coroutine, request, outside
    text: str
    layer: int = 0
    order: float = 0.0
    x: float = 0.0
    y: float = 0.0
    lines: List[str] = field(default_factory=list)

    @property
    def height(self) -> float:
        return len(self.lines) * _LINE + 2 * _PAD


class Edge(NamedTuple):
    """``source`` waits for ``target``."""

    source: str
    target: str
    label: str


_NONE = Edge("", "", "")


@record
class Graph:
    """Who waits for whom."""

    nodes: Dict[str, Node] = field(default_factory=dict)
    edges: List[Edge] = field(default_factory=list)
    left_out: int = 0

    def node(self, key: str, kind: str, text: str) -> str:
        if key not in self.nodes:
            self.nodes[key] = Node(key, kind, text)
        return key

    def edge(self, source: str, target: str, label: str) -> None:
        if source != target and not any(e.source == source and e.target == target for e in self.edges):
            self.edges.append(Edge(source, target, label))

    def cycle(self) -> Set[Edge]:
        """The edges that are part of a cycle: a deadlock."""
        after: Dict[str, List[str]] = {}
        for edge in self.edges:
            after.setdefault(edge.source, []).append(edge.target)
        reach = {key: _reached(key, after) for key in self.nodes}
        return {e for e in self.edges if e.source in reach[e.target]}


def _reached(start: str, after: Dict[str, List[str]]) -> Set[str]:
    found: Set[str] = {start}
    todo = [start]
    while todo:
        for key in after.get(todo.pop(), ()):
            if key not in found:
                found.add(key)
                todo.append(key)
    return found


# ---------------------------------------------------------------------------------------------------------------
# What is in it


def build(explanation: Explanation, spell: Callable[[int], str] = hex) -> Graph:
    """The graph of one process; without edges where nobody waits for anybody that is known.

    ``spell`` writes an address of the process.
    """
    graph = Graph()
    threads = [t for t in explanation.threads if not t.thread.history]
    keys = _thread_keys(explanation, threads)
    by_number = {t.thread.number: key for t, key in keys if t.thread.number is not None}
    by_lwp = {t.thread.lwp: key for t, key in keys if t.thread.lwp is not None}
    facts = explanation.snapshot.facts
    drains: List[str] = []
    for told, key in keys:
        if told.waits_for is None and told.state == "blocked-syscall" and told.summary:
            graph.edge(key, graph.node(f"o {key}", "outside", told.summary), "is blocked in")
        if told.waits_for is None or told.state in ("idle", "running-guest"):
            continue
        wait = told.waits_for
        what = wait.object or wait.kind
        owner = by_number.get(wait.owner_thread) if wait.owner_thread is not None else None
        if any(kind in wait.kind for kind in _LOCKS):
            lock = graph.node(f"l {what}", "lock", what)
            graph.edge(key, lock, "waits for")
            if owner:
                graph.edge(lock, owner, "held by")
        elif owner:
            graph.edge(key, owner, f"waits for {what}")
        elif "drain" in wait.kind and facts.requests:
            drains.append(key)
        else:
            label = "drains" if "drain" in wait.kind else "polls" if "poll" in wait.kind else "waits for"
            graph.edge(key, graph.node(f"o {wait.kind} {what}", "outside", what), label)
    for lock_fact in facts.locks:
        waiters = [by_lwp[lwp] for lwp in lock_fact.waiter_lwps if lwp in by_lwp]
        if waiters:
            lock = graph.node(f"l {lock_fact.name}", "lock", lock_fact.name)
            for waiter in waiters:
                graph.edge(waiter, lock, "waits for")
            if lock_fact.owner_lwp in by_lwp:
                graph.edge(lock, by_lwp[lock_fact.owner_lwp], "held by")
    _requests(graph, explanation, drains, spell)
    for told, key in keys:
        if any(key in (e.source, e.target) for e in graph.edges):
            graph.node(key, "thread", _thread_text(explanation, keys, key, told))
    return _bounded(graph, explanation, by_number)


def _thread_keys(explanation: Explanation,
                 threads: Sequence[ThreadExplanation]) -> List[Tuple[ThreadExplanation, str]]:
    """A node's key for each thread; three or more that wait for the same thing in the same role share one."""
    alike: Dict[Tuple[object, ...], List[int]] = {}
    for i, told in enumerate(threads):
        wait = told.waits_for
        # Of many waiters those that hold nothing are alike.
        key = (told.role, told.state, wait.kind, wait.object, wait.owner_thread) if wait and not told.holds else (i,)
        alike.setdefault(key, []).append(i)
    keys: Dict[int, str] = {}
    for group in alike.values():
        for i in group:
            keys[i] = f"t {group[0] if len(group) >= 3 else i}"
    return [(told, keys[i]) for i, told in enumerate(threads)]


def _thread_text(explanation: Explanation, keys: Sequence[Tuple[ThreadExplanation, str]], key: str,
                 told: ThreadExplanation) -> str:
    group = [t for t, k in keys if k == key]
    numbers = [t.thread.number for t in group if t.thread.number is not None]
    if len(group) > 1:
        label = words.group_label(group, explanation.accelerator)
        return f"Threads {words.ranges(numbers)}\n{label}" if numbers else label
    number = f"Thread {numbers[0]}\n" if numbers else ""
    holds = f"\nholds {', '.join(told.holds)}" if told.holds else ""
    return f"{number}{words.role_label(told, explanation.accelerator)}{holds}"


def _requests(graph: Graph, explanation: Explanation, drains: Sequence[str], spell: Callable[[int], str]) -> None:
    """Requests that somebody drains, their coroutines, and what those wait for."""
    facts = explanation.snapshot.facts
    told_coroutines = {c.coroutine.address: c for c in explanation.coroutines}
    if not drains and not any(r.waiting_for for r in facts.requests):
        waiting = [r for r in facts.requests if _waits_text(told_coroutines.get(r.coroutine))]
    else:
        waiting = list(facts.requests)
    linked = {r.waiting_for for r in waiting} | {r.coroutine for r in waiting if r.waiting_for}
    alike: Dict[Tuple[object, ...], List[Request]] = {}
    for i, request in enumerate(waiting):
        told = told_coroutines.get(request.coroutine)
        same = told is not None and not told.coroutine.waits_owner and request.coroutine not in linked
        kind = (request.type, request.node, request.origin, _waits_text(told), _yielded_in(told))
        alike.setdefault(kind if same else (i,), []).append(request)
    several = [group for group in alike.values() if len(group) >= 3]
    for group in several:
        _alike_requests(graph, group, told_coroutines[group[0].coroutine], drains)
    waiting = [group[i] for group in alike.values() if group not in several for i in range(len(group))]
    shown = waiting[:6]
    for request in shown:
        of = f"\nfor {request.origin}" if request.origin else ""
        key = graph.node(f"r {request.coroutine:x} {request.node} {request.offset}", "request",
                         f"{request.type} of {request.bytes} bytes at {request.offset}\n"
                         f"{request.node} ({request.driver}){of}")
        for drain in drains:
            graph.edge(drain, key, "drains")
        if request.coroutine:
            _coroutine(graph, told_coroutines, request.coroutine, key, spell)
        if request.waiting_for:
            other = next((r for r in facts.requests if r.coroutine == request.waiting_for), None)
            if other is not None and other in shown:
                graph.edge(key, f"r {other.coroutine:x} {other.node} {other.offset}", "waits for")
    if len(waiting) > len(shown):
        more = graph.node("r more", "request", f"{len(waiting) - len(shown)} more requests")
        for drain in drains:
            graph.edge(drain, more, "drains")


def _alike_requests(graph: Graph, group: Sequence[Request], told: CoroutineExplanation, drains: Sequence[str]) -> None:
    """Several requests that wait for the same thing share a box, and so do their coroutines."""
    first = group[0]
    sizes = sorted({r.bytes for r in group})
    size = f" of {sizes[0]} bytes" if len(sizes) == 1 else ""
    of = f"\nfor {first.origin}" if first.origin else ""
    key = graph.node(f"r several {first.coroutine:x}", "request",
                     f"{words.count(len(group), first.type)}{size}\n{first.node} ({first.driver}){of}")
    for drain in drains:
        graph.edge(drain, key, "drains")
    at = _yielded_in(told)
    inner = graph.node(f"c several {first.coroutine:x}", "coroutine",
                       f"{len(group)} coroutines" + (f"\nyielded in {at}" if at else ""))
    graph.edge(key, inner, "run in")
    waits = told.coroutine.waits_text
    if waits:
        graph.edge(inner, graph.node(f"o {waits}", "outside", waits), "wait for")


def _yielded_in(told: Optional[CoroutineExplanation]) -> str:
    """The function that gave control away, coroutine machinery left out."""
    frames = told.coroutine.frames if told is not None else []
    return next((f.name for f in frames if f.name and "coroutine" not in f.name), "")


def _waits_text(told: Optional[CoroutineExplanation]) -> str:
    return told.coroutine.waits_text if told is not None else ""


def _coroutine(graph: Graph, told: Dict[int, CoroutineExplanation], address: int, source: str,
               spell: Callable[[int], str]) -> None:
    label = "runs in"
    for _ in range(8):  # coroutines that wait for each other
        key = f"c {address:x}"
        seen = key in graph.nodes
        found = told.get(address)
        coroutine = found.coroutine if found is not None else None
        at = _yielded_in(found)
        graph.node(key, "coroutine", f"coroutine {spell(address)}" + (f"\nyielded in {at}" if at else ""))
        graph.edge(source, key, label)
        if seen or coroutine is None:
            return
        if not coroutine.waits_owner:
            if coroutine.waits_text:
                graph.edge(key, graph.node(f"o {coroutine.waits_text}", "outside", coroutine.waits_text), "waits for")
            return
        source, label, address = key, "waits for", coroutine.waits_owner


def _bounded(graph: Graph, explanation: Explanation, by_number: Dict[int, str]) -> Graph:
    """Keep what is connected with the first finding, then the rest up to the limit."""
    finding = explanation.findings[0] if explanation.findings else None
    start = [by_number[n] for n in (finding.threads if finding else []) if by_number.get(n) in graph.nodes]
    both: Dict[str, List[str]] = {}
    for edge in graph.edges:
        both.setdefault(edge.source, []).append(edge.target)
        both.setdefault(edge.target, []).append(edge.source)
    order: List[str] = []
    for key in [*start, *graph.nodes]:
        todo = [key]
        while todo:
            current = todo.pop(0)
            if current in order or current not in graph.nodes:
                continue
            order.append(current)
            todo += both.get(current, [])
    kept = [key for key in order if key in both][:MAX_NODES]
    edges = [e for e in graph.edges if e.source in kept and e.target in kept]
    return Graph({key: graph.nodes[key] for key in kept}, edges, len([k for k in order if k in both]) - len(kept))


def sentences(graph: Graph) -> List[str]:
    """The graph's edges in words, for forms that can't draw."""
    def name(key: str) -> str:
        return ", ".join(graph.nodes[key].text.split("\n"))

    circle = graph.cycle()
    lines = [f"{name(e.source)} → {e.label} → {name(e.target)}" + (" (part of a circle)" if e in circle else "")
             for e in graph.edges]
    if graph.left_out:
        lines.append(f"{graph.left_out} more that wait are not listed")
    return lines


# ---------------------------------------------------------------------------------------------------------------
# How it is drawn


def svg(graph: Graph, ident: str = "waits") -> str:
    """An ``<svg>`` element for an HTML page, whose style sheet colours it; "" where there is nothing to draw.

    Waiters stand above what they wait for, so that the last link of a chain is at the bottom. Boxes keep their size
    on a narrow screen: the page scrolls the picture sideways instead of shrinking its text.
    """
    if not graph.edges:
        return ""
    for node in graph.nodes.values():
        node.lines = _box_lines(node.text)
    circle = graph.cycle()
    forward = _layers(graph)
    rows, passed = _rows(graph, forward)
    width, height = _place(rows)
    back = [e for e in graph.edges if e not in forward]
    total = width + (_LANE * len(back) + 8 if back else 0)
    parts = [
        f'<svg class="graph" role="img" aria-labelledby="{ident}-title" width="{total:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {total:.0f} {height:.0f}" xmlns="http://www.w3.org/2000/svg">',
        f'<title id="{ident}-title">Who waits for whom: {escape(safe("; ".join(sentences(graph)[:30])))}</title>',
        f'<defs><marker id="{ident}-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto"><path class="head" d="M0 0 L8 4 L0 8 z"/></marker></defs>',
    ]
    labels: List[str] = []
    for edge in graph.edges:
        source, target = graph.nodes[edge.source], graph.nodes[edge.target]
        style = "edge cycle" if edge in circle else "edge"
        if edge in forward:
            between = [(n.x, n.y) for n in passed[edge]]
            points = [(source.x, source.y + source.height), *between, (target.x, target.y - 2)]
            path = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
            for (x0, y0), (x1, y1) in zip(points, points[1:]):
                middle = (y0 + y1) / 2
                path += f" C{x0:.0f} {middle:.0f} {x1:.0f} {middle:.0f} {x1:.0f} {y1:.0f}"
            (x0, y0), (x1, y1) = points[0], points[1]
            at = ((x0 + x1) / 2, (y0 + y1) / 2 + 3)
        else:
            lane = width + _LANE * (back.index(edge) + 0.5)
            y0, y1 = source.y + source.height / 2, target.y + target.height / 2
            path = (f"M{source.x + _WIDTH / 2:.0f} {y0:.0f} H{lane - 6:.0f} Q{lane:.0f} {y0:.0f} {lane:.0f}"
                    f" {y0 + (6 if y1 > y0 else -6):.0f} V{y1 + (6 if y1 < y0 else -6):.0f}"
                    f" Q{lane:.0f} {y1:.0f} {lane - 6:.0f} {y1:.0f} H{target.x + _WIDTH / 2 + 2:.0f}")
            at = (min(lane - 40, source.x + _WIDTH / 2 + 40), y0 - 4)
        parts.append(f'<path class="{style}" d="{path}" marker-end="url(#{ident}-arrow)"/>')
        labels.append(f'<text class="label" x="{at[0]:.0f}" y="{at[1]:.0f}">{escape(cut(safe(edge.label), 30))}</text>')
    for node in graph.nodes.values():
        parts.append(_box(node))
    return "".join([*parts, *labels, "</svg>"])


def _box_lines(text: str) -> List[str]:
    lines = [line for part in text.split("\n") for line in wrap(safe(part), _COLUMNS)]
    return lines if len(lines) <= _LINES else [*lines[: _LINES - 1], cut(lines[_LINES - 1] + " …", _COLUMNS)]


def _box(node: Node) -> str:
    x, top = node.x - _WIDTH / 2, node.y
    radius = {"lock": 2, "coroutine": 16, "request": 6, "outside": 6}.get(node.kind, 8)
    parts = [f'<g class="{node.kind}"><rect x="{x:.0f}" y="{top:.0f}" width="{_WIDTH}" height="{node.height:.0f}"'
             f' rx="{radius}"/>']
    for i, line in enumerate(node.lines):
        style = ' class="first"' if i == 0 and node.kind != "outside" else ""
        parts.append(f'<text{style} x="{node.x:.0f}" y="{top + _PAD + _LINE * (i + 0.78):.0f}">{escape(line)}</text>')
    return "".join(parts) + "</g>"


def _layers(graph: Graph) -> List[Edge]:
    """Give each node its layer; returns the edges that lead downwards, all but those that close a circle."""
    after: Dict[str, List[Edge]] = {key: [] for key in graph.nodes}
    targets = {e.target for e in graph.edges}
    for edge in graph.edges:
        after[edge.source].append(edge)
    state: Dict[str, int] = {}
    forward: List[Edge] = []
    finished: List[str] = []
    for start in sorted(graph.nodes, key=lambda key: key in targets):
        if start in state:
            continue
        stack = [(start, iter(after[start]))]
        state[start] = 1
        while stack:
            key, rest = stack[-1]
            edge = next(rest, _NONE)
            if edge is _NONE:
                state[key] = 2
                finished.append(key)
                stack.pop()
            elif state.get(edge.target) != 1:
                forward.append(edge)
                if edge.target not in state:
                    state[edge.target] = 1
                    stack.append((edge.target, iter(after[edge.target])))
    for key in reversed(finished):
        for edge in after[key]:
            if edge in forward:
                node = graph.nodes[edge.target]
                node.layer = max(node.layer, graph.nodes[key].layer + 1)
    return forward


def _rows(graph: Graph, forward: Sequence[Edge]) -> Tuple[List[List[Node]], Dict[Edge, List[Node]]]:
    """The boxes of each layer from left to right, each near what leads to it; and for edges that pass layers, the
    places that they pass through, which keep room between the boxes there.
    """
    rows: List[List[Node]] = [[] for _ in range(max(n.layer for n in graph.nodes.values()) + 1)]
    for node in graph.nodes.values():
        rows[node.layer].append(node)
    passed: Dict[Edge, List[Node]] = {}
    before: Dict[int, List[Node]] = {}
    for edge in forward:
        last, target = graph.nodes[edge.source], graph.nodes[edge.target]
        passed[edge] = []
        for layer in range(last.layer + 1, target.layer):
            place = Node("", "", "", layer)
            rows[layer].append(place)
            passed[edge].append(place)
            before.setdefault(id(place), []).append(last)
            last = place
        before.setdefault(id(target), []).append(last)
    for row in rows:
        for node in row:
            above = [n.order for n in before.get(id(node), ())]
            node.order = sum(above) / len(above) if above else node.order
        row.sort(key=lambda n: n.order)
        for i, node in enumerate(row):
            node.order = i - (len(row) - 1) / 2
    for row, below in zip(reversed(rows[:-1]), reversed(rows[1:])):  # and near what it leads to
        for node in row:
            ahead = [n.order for n in below if node in before.get(id(n), ())]
            node.order = sum(ahead) / len(ahead) if ahead else node.order
        row.sort(key=lambda n: n.order)
    return rows, passed


def _width(node: Node) -> float:
    return _WIDTH if node.kind else _GAP_X


def _place(rows: Sequence[Sequence[Node]]) -> Tuple[float, float]:
    """Give every box its place; returns the picture's width and height."""
    widths = [sum(map(_width, row)) + (len(row) - 1) * _GAP_X for row in rows]
    width = max(widths) + 2
    top = 2.0
    for row, used in zip(rows, widths):
        left = (width - used) / 2
        height = max(n.height for n in row)
        for node in row:
            node.x = left + _width(node) / 2
            node.y = top if node.kind else top + height / 2
            left += _width(node) + _GAP_X
        top += height + _GAP_Y
    return width, top - _GAP_Y + 2
