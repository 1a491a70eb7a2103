"""Hangs in a nested poll: drains, the graph lock, synchronous requests, and what they wait for."""

from __future__ import annotations

import re
from typing import List, Optional, Tuple

from ...knowledge import holders, peers
from ...knowledge.match import Names
from ...knowledge.yields import yield_in
from ...model import Coroutine, Evidence, Finding, canonical_name
from ...pattern import Pattern
from .. import coroutines
from ..complaint import prose
from ..context import Context, Subject
from ..coroutines import yielded_at
from ..stack import Stack, number
from ..waiting import Waiting
from . import common, host_waits
from .common import at, capital, evidence, finding, short, who
from .links import (
    ALL_THREADS,
    Search,
    actor,
    blocked_call,
    command_of,
    holding,
    lead,
    peer_of,
    progress_of,
    victims_text,
)
from .peer_calls import descriptor_of
from .requests import (
    held_back,
    in_flight,
    look_outside,
    one_each,
    request_text,
    server_of,
    short_wait,
    told_outside,
    waiting_outside,
)
from .steps import for_nbd, for_peer

_POLL_KINDS = {row.name: row.kind for row in holders.NESTED_POLLS}


def poll_wait(context: Context, last: Subject, victims: List[Subject], waiting: Waiting) -> Finding:
    stack = last.stack
    requests = context.facts.requests
    poll_frame = f"frame {stack.level(waiting.poll)}" if waiting.poll is not None else ""
    sentences = [lead(context, last)]
    command = command_of(stack)
    asked = _asker(stack, waiting.at)
    sentences.append(
        f"It polls in {at(stack, waiting.at)}{f', called by {asked},' if asked else ''} {waiting.says}"
        f"{f' ({stack.names[waiting.poll or 0]}, {poll_frame})' if poll_frame else ''}."
    )
    proof = [evidence(last, waiting.at, f"polls {waiting.says}")]
    steps: List[str] = []
    confidence = "likely"
    word = ""  # what the worker of such a request waits for in the host's kernel
    graph = others = ""  # why a drain inside a write section hangs; what a coroutine waits for of which no list tells
    kind = "hang.drain-waits-for-io"
    if waiting.row == "hmp-coroutine" and command.endswith('"screendump"'):
        return _polled_peer(context, last, victims, waiting, peers.SCREENDUMP, [x for x in sentences if x], proof)
    served_by = _coroutine_of(context, stack, waiting)
    if served_by is not None:
        text, own_steps = _served(context, last, served_by)
        sentences.append(text)
        steps += own_steps
        confidence = "certain"
        proof.append(Evidence(text=f"coroutine {served_by.address:#x}: {coroutines.waits(served_by)}"))
    elif requests and waiting.kind in ("drain", "nested-poll", "job", "graph-wrlock", "drain-end"):
        sentences.append(in_flight(context, requests))
        confidence = "certain"
        served = one_each(context, requests)
        if served[0].driver == "nbd":
            steps += for_nbd(context, served[0].node, last)
        steps += [f"qemu-coroutines 0x{r.coroutine:x}" for r in served[:2] if r.coroutine]
        for request in served[:4]:
            proof.append(Evidence(text=request_text(request)))
    elif (
        peer := peer_of(stack, waiting.at, min(waiting.at + 3, len(stack)))[0]
    ) is not None and peer.name in _POLLED_PEERS:
        return _polled_peer(context, last, victims, waiting, peer, [x for x in sentences if x], proof)
    else:
        workers, coroutine = _request_elsewhere(context)
        if coroutine is not None:
            text, step = coroutine
            sentences.append(text)
            steps.append(step)
        if waiting.row == "v9fs":
            workers = [s for s in workers if s.stack.find(_V9FS) is not None]
        if workers:
            worker = next((w for w in workers if host_waits.kept_by(w).label), workers[0])
            call = blocked_call(worker.stack)
            name = call[0] if call else "a system call"
            kept = host_waits.kept_by(worker)
            word = kept.label
            on = descriptor_of(worker.stack)[1]
            called = f", called by {at(worker.stack, call[1])}," if call is not None else ","
            if kept.label:
                what = "and works on one of them" if waiting.row == "v9fs" else "which may be such a request"
                what += f". {kept.sentence}"
            elif waiting.row == "v9fs":
                what = "and works on one of them: what is behind that path on the host does not answer."
            else:
                what = "which may be such a request: then the storage behind it is what does not answer."
            sentences.append(f"{who(worker)} is in {name}(){on}{called} {what}")
            proof.append(evidence(worker, 0, f"in {name}()"))
            steps.append(
                kept.step
                or ("look at that path in the directory that 9p shares (a FIFO? a dead mount?)"
                    if waiting.row == "v9fs"
                    else f"is {short(worker)} still in {name}() a minute later? Then look at that storage")
            )
        graph = _graph_writer(context, stack, waiting)
        if graph:
            sentences.append(graph)
        if not workers and coroutine is None and not graph:
            hidden = "Which request that is, no stack shows: it is a coroutine that has yielded, or is in the kernel."
            outside = waiting_outside(context)
            if waiting.row == "v9fs":
                hidden = "Which 9p request that is, no stack shows: its coroutine has yielded."
            elif outside and waiting.kind in ("drain", "nested-poll"):
                hidden = f"{told_outside(outside)[1]} That is what it waits for, as it seems."
                others = short_wait(outside[0])
                steps += look_outside(outside[0])
            elif waiting.kind == "graph-wrlock":
                hidden = (
                    "Which reader that is, no stack shows: it is a coroutine that has yielded inside a read section."
                )
            elif _POLL_KINDS.get(waiting.row) == "bh":
                hidden = "The AioContext's own thread (an iothread) runs it when its event loop turns."
            elif waiting.kind == "job":
                hidden = "What the job waits for, no stack shows: its coroutine has yielded."
            elif waiting.row == "nbd-teardown" and (connects := _nbd_connects(context)) is not None:
                hidden = (f"{who(connects)} still connects to that server, in {at(connects.stack, 0)}: the coroutine "
                          "may wait for that.")
                steps.append("does the NBD server's address answer? The coroutine ends when that attempt does")
            elif waiting.kind == "nested-poll" and _POLL_KINDS.get(waiting.row) == "other":
                hidden = "What would end that, no stack shows: a coroutine that has yielded, or an event to come."
            sentences.append(hidden)
        if context.snapshot.source.kind == "text":
            steps += _text_steps(stack, waiting)
        backup = _proxmox_backup(context, stack)
        if backup:
            sentences.append(backup)
            steps.insert(0, "is the Proxmox Backup Server reachable? ss -tnp | grep 8007 on the host, and its task log")
    replay = _under_replay(context, waiting)
    if replay:
        sentences.append(replay)
        steps = ["the same without rr= (record/replay): does the drain end?", *steps]
    progress = progress_of(stack, waiting.at)
    if progress is not None:
        sentences.append(progress.says)
        value = stack.arg_number(waiting.at, "pos")
        grows = f"frame {stack.level(waiting.at)}, twice: p pos ({value} here): while it grows, the command goes on"
        steps.insert(0, grows if value is not None else progress.step)
        confidence = "possible" if confidence == "likely" else confidence
    sentences += [holding(last), victims_text(victims)]
    if waiting.kind == "drain" or (waiting.kind in ("nested-poll", "drain-end", "job", "graph-wrlock")):
        subject_words = command or capital(actor(context, last))
        if waiting.kind == "graph-wrlock":
            title = f"{subject_words} waits for readers of the block graph that never leave"
        elif waiting.kind == "job":
            title = f"{subject_words} waits for a job that does not end"
        elif waiting.kind == "drain-end":
            title = f"{subject_words} waits for the end of a drained section in another AioContext"
        elif waiting.kind == "drain":
            title = f"{subject_words} waits in a drain for disk I/O that does not complete"
            if command:
                title = f"{command} waits for disk I/O that does not complete"
            held = held_back(context, requests) if requests else ""
            if held:
                title = f"{subject_words} waits for disk I/O that {held}"
                steps.insert(0, "it ends as time passes: raise or remove that limit where QMP answers")
            if graph and _writes_and_drains(context):
                title = f"{subject_words} drains a node inside the block graph's write lock: it may never end"
                steps.insert(0, "update QEMU: 10.2 drains before it takes that lock")
        elif others:
            title = f"{subject_words} waits {waiting.says}, and a coroutine for {others}"
        else:
            title = f"{subject_words} waits {waiting.says}, polling in {stack.names[waiting.at]}"
            if served_by is not None and served_by.waits_kind == "peer":
                title = f"{subject_words} waits {waiting.says}, which waits for {short_wait(served_by)}"
        if word:
            title = f"{title.partition(', polling in')[0]}: {short(worker)} waits for {word}"
    if progress is not None:
        title = progress.title
    iothreads = [s for s in context.live_subjects if s.told.role == "iothread" and s is not last]
    stuck = [s for s in iothreads if s.waiting is not None and not s.waiting.resting and s not in victims]
    if stuck:
        sentences.append(
            f"{who(stuck[0])} is stuck too ({stuck[0].waiting.says if stuck[0].waiting else ''}), and may be the "
            f"one that would complete it."
        )
    executing = blocked_call(stack) is None and stack.names[0] not in holders.PRIMITIVES
    if (
        executing
        and not requests
        and confidence == "likely"
        and waiting.kind not in ("drain", "graph-wrlock", "drain-end")
    ):
        confidence = "possible"
    return finding(
        kind,
        title,
        confidence,
        sentences,
        subjects=[last, *victims],
        proof=proof,
        steps=steps,
        rule=f"poll.{waiting.kind}",
    )


# block/block-gen.c (5.2: block/io.c): bdrv_flush() has a coroutine run bdrv_co_flush(), and polls until that is done
_SYNCHRONOUS = Pattern(r"(?:bdrv|blk)_(?!co_)(\w+)$")


def _coroutine_of(context: Context, stack: Stack, waiting: Waiting) -> Optional[Coroutine]:
    """The suspended coroutine of the synchronous request that a thread polls for: of a flush or the like no node's list
    of requests has one. None where there is none or more than one, as after an older such request.
    """
    match = _SYNCHRONOUS.match(stack.names[waiting.at]) if waiting.kind == "nested-poll" else None
    if match is None:
        return None
    names = {f"bdrv_co_{match.group(1)}", f"blk_co_{match.group(1)}"}
    listed = {r.coroutine for r in context.facts.requests}
    found = [c for c in context.snapshot.coroutines if c.address not in listed
             and any(canonical_name(f.function) in names for f in c.frames)]  # fmt: skip
    return found[0] if len(found) == 1 and found[0].waits_text else None


def _served(context: Context, last: Subject, coroutine: Coroutine) -> Tuple[str, List[str]]:
    """What that coroutine waits for, and what to do about it."""
    arguments = {number(f.args.get("bs")) for f in coroutine.frames} - {None, 0}
    nodes = [n for n in context.facts.nodes if n.peer and n.address in arguments]
    server = f" at {nodes[0].peer}" if len(nodes) == 1 and nodes[0].peer not in coroutine.waits_text else ""
    text = f"Its coroutine {coroutine.address:#x} {coroutines.waits(coroutine)}{server}."
    steps = for_nbd(context, nodes[0].name, last) if len(nodes) == 1 and nodes[0].driver == "nbd" else []
    return text, [*steps, f"qemu-coroutines {coroutine.address:#x}"]


_V9FS = Names("v9fs_*", "local_*")
_RECORD_REPLAY = Pattern(r"\brr=(record|replay)\b")


def _under_replay(context: Context, waiting: Waiting) -> str:
    """replay/replay-events.c, block/blkreplay.c: asynchronous events run at the checkpoints of the vCPU thread."""
    if waiting.kind not in ("drain", "drain-end", "nested-poll", "job") or waiting.row == "v9fs":
        return ""
    shown = any(name.startswith("replay_") for s in context.live_subjects for name in s.stack.names)
    if not shown and _RECORD_REPLAY.search(prose(context.snapshot)) is None:
        return ""
    return ("The machine runs under record/replay (rr=): a block request completes there only as an event of the log, "
            "which the vCPU thread's progress brings, and that does not go on while this thread holds the BQL or the "
            "VM is stopped.")


_BACKUP = Names("backup_*", "pvebackup_*", "qmp_backup*", "block_copy*")


def _proxmox_backup(context: Context, stack: Stack) -> str:
    """Proxmox VE's backup jobs write by libproxmox_backup_qemu, whose own threads talk to the server."""
    if stack.find(_BACKUP) is None:
        return ""
    seen = any("proxmox_backup" in (f.library or "") or f.name.startswith("proxmox_backup_")
               for s in context.live_subjects for f in s.stack.frames)
    return ("This QEMU backs up by libproxmox_backup_qemu: the request may be held by the Proxmox Backup Server."
            if seen else "")


def tool_requests(search: Search) -> None:
    """A tool (qemu-img, qemu-nbd...) whose main loop rests while requests that it waits for are in flight."""
    context = search.context
    requests = context.facts.requests
    tools = [s for s in context.with_role("tool-main") if s.waiting is not None and s.waiting.resting]
    if not tools or search.findings:
        return
    tool = tools[0]
    outer = tool.stack.find(("main_loop_wait",))
    caller = common.qemu_frame(tool.stack, outer + 1) if outer is not None else None
    if outer is None or caller is None or tool.stack.names[caller] == "main":
        return
    if not requests:
        _tool_worker(search, tool, caller)
        return
    found = {c.address: c for c in context.snapshot.coroutines}
    kinds = {found[r.coroutine].waits_kind for r in requests if r.coroutine in found}
    served = one_each(context, requests)
    server = next(filter(None, (server_of(context, request.node) for request in served)), "")
    peer = "peer" in kinds or bool(server)
    name = context.explanation.program or context.snapshot.program or "The tool"
    sentences = [
        f"{who(tool)} waits in its main loop for {at(tool.stack, caller)} to finish.",
        in_flight(context, requests),
    ]
    steps = [f"look at that {served[0].driver.upper()} server{f' ({server})' if server else ''}"] if peer else []
    steps += [f"qemu-coroutines {r.coroutine:#x}" for r in requests[:2] if r.coroutine]
    search.add(
        finding(
            "hang.waiting-for-peer" if peer else "hang.drain-waits-for-io",
            f"{name} waits for {'a server that does not answer' if peer else 'block requests that do not complete'}",
            "likely",
            sentences,
            subjects=[tool],
            proof=[
                evidence(tool, caller, tool.stack.names[caller]),
                *[Evidence(text=request_text(r)) for r in requests[:3]],
            ],
            steps=steps,
            rule="tool-requests",
        ),
        [tool],
    )


def _tool_worker(search: Search, tool: Subject, caller: int) -> None:
    """The same, where no memory tells of requests: a worker in a system call works on one of them."""
    context = search.context
    calls = [(s, blocked_call(s.stack)) for s in context.with_role("thread-pool-worker")]
    busy = [(s, call) for s, call in calls if call is not None]
    if not busy:
        return
    worker, (call_name, position) = busy[0]
    name = context.explanation.program or context.snapshot.program or "The tool"
    search.add(
        finding(
            "hang.blocked-syscall",
            f"{name} waits for a request that is in {call_name}()",
            "possible",
            [
                f"{who(tool)} waits in its main loop for {at(tool.stack, caller)} to finish.",
                f"{who(worker)} works on a request of it and is in {call_name}(), called by "
                f"{at(worker.stack, position)}. That is an ordinary moment of a working tool, and also what a storage "
                "looks like that does not answer.",
            ],
            subjects=[tool, worker],
            proof=[
                evidence(tool, caller, tool.stack.names[caller]),
                evidence(worker, position, f"in {call_name}()"),
            ],
            steps=[f"is {short(worker)} still in the same {call_name}() a minute later? Then look at that storage"],
            rule="tool-worker",
        ),
        [tool, worker],
    )


_POLLED_PEERS = ("nbd", "connect", "chardev-wait", "tls", "vhost-user", "ssh", "iscsi", "gluster", "rbd", "nfs", "curl",
                 "nvme-controller")


def _polled_peer(
    context: Context,
    last: Subject,
    victims: List[Subject],
    waiting: Waiting,
    peer: peers.Peer,
    sentences: List[str],
    proof: List[Evidence],
) -> Finding:
    """A nested poll for an outside party, which another thread may be asking."""
    command = command_of(last.stack)
    sentences[-1] = (
        f"It polls in {at(last.stack, waiting.at)} for {peer.says} (aio_poll, frame "
        f"{last.stack.level(waiting.poll or 0)})."
    )
    helper = None
    for subject in context.live_subjects:
        call = blocked_call(subject.stack) if subject is not last and subject.waiting is None else None
        if call is None:
            continue
        asked, position = peer_of(subject.stack, call[1], min(call[1] + 14, len(subject.stack)))
        if asked is not None and asked.name == peer.name:
            helper = subject
            sentences.append(f"{who(subject)} asks it, in {call[0]}() for {at(subject.stack, position)}.")
            proof.append(evidence(subject, position, f"in {call[0]}()"))
            break
    sentences += [holding(last), victims_text(victims)]
    title = f"{command} waits for {peer.says}, which does not answer" if command else peer.title
    if peer is peers.SCREENDUMP:
        title = f"{command} waits for the display device, which does not finish its update"
    return finding(
        "hang.waiting-for-peer",
        title,
        "likely",
        sentences,
        subjects=[last, *([helper] if helper is not None else []), *victims],
        proof=proof,
        steps=for_peer(context, peer, last),
        rule=f"poll-peer.{peer.name}",
    )


def _asker(stack: Stack, position: int) -> str:
    """The function that wanted the drain: the first one outside of the drain's own layers."""
    skip = (
        "bdrv_drain",
        "blk_drain",
        "bdrv_do_drain",
        "bdrv_subtree",
        "bdrv_parent_drain",
        "aio_wait",
        "bdrv_flush_all",
        "blk_root_drain",
    )
    for candidate in range(position + 1, min(position + 6, len(stack))):
        name = stack.names[candidate]
        if name and not name.startswith(skip) and name != stack.names[position]:
            return at(stack, candidate)
    return ""


def _nbd_connects(context: Context) -> Optional[Subject]:
    """The thread of block/nbd.c that connects, 5.2 to 6.0 (nbd/client-connection.c later)."""
    return next((s for s in context.live_subjects if s.stack.find("connect_thread_func") is not None), None)


_WRITES_AND_DRAINS = ((8, 2), (10, 2))  # the releases from the first up to before the second


def _writes_and_drains(context: Context) -> Optional[bool]:
    """Whether this QEMU takes the graph's write lock before it drains; None where its version is not known."""
    found = re.match(r"(\d{1,3})\.(\d{1,3})", context.snapshot.version or "")
    if found is None:
        return None
    first, before = _WRITES_AND_DRAINS
    return first <= (int(found.group(1)), int(found.group(2))) < before


def _graph_writer(context: Context, stack: Stack, waiting: Waiting) -> str:
    if waiting.kind == "graph-wrlock":
        inner = stack.find(("job_exit", "job_do_finalize_locked", "job_finalize_single_locked"), waiting.at)
        if inner is not None:
            return (
                "Readers are coroutines inside the block layer; one that was drained, or waits for a lock this "
                "thread holds, never leaves."
            )
        return ""
    if waiting.kind != "drain":
        return ""
    position = stack.find(("block_job_remove_all_bdrv",), waiting.at)
    if position is None or _writes_and_drains(context) is False:
        return ""
    return (
        f"{at(stack, position)} takes the graph write lock before it (QEMU 8.2 to 10.0), and a request that the drain "
        "waits for may itself wait for the graph's read lock: then neither goes on, however healthy the disk is."
    )


def _request_elsewhere(context: Context) -> Tuple[List[Subject], Optional[Tuple[str, str]]]:
    """Workers in a system call that may be the request, and what a coroutine's stack in the text shows."""
    workers = [s for s in context.with_role("thread-pool-worker") if blocked_call(s.stack) is not None]
    coroutine = None
    for subject in context.subjects:
        if not (subject.told.thread.coroutine or subject.told.role == "coroutine"):
            continue
        stack = subject.stack
        place = yielded_at(stack)
        if place is None:
            continue
        inner = stack.names[place]
        names = [n for n in stack.names[place:] if n and n != "coroutine_trampoline"]
        peer = next((p for p in peers.PEERS if any(n in p.functions for n in names)), None)
        key = next((n for n in reversed(names) if not n.startswith("__") and n != "makecontext"), inner)
        if peer is not None:
            coroutine = (
                f"The coroutine shown is one that keeps it waiting: it has yielded in {inner} for {peer.says} ({key}).",
                peer.advice,
            )
        else:
            row = yield_in(inner)
            means = f" {row.says}" if row is not None else ""
            coroutine = (f"The coroutine shown has yielded in {inner} ({key}).{means}", "")
        break
    return workers, coroutine


def _text_steps(stack: Stack, waiting: Waiting) -> List[str]:
    steps = []
    for position in range(waiting.at, max(waiting.at - 4, -1), -1):
        bs = stack.arg(position, "bs")
        if bs is not None and waiting.row != "nbd-teardown":
            level = stack.level(position)
            steps.append(
                f"frame {level}: p bs->node_name, p bs->in_flight, p *bs->tracked_requests.lh_first (its co is the "
                f"coroutine that "
                "keeps it)"
            )
            break
    else:
        if waiting.row == "nbd-server":
            # block/export/export.c: an export is in the list until its last reference goes, a connected client's too
            steps.append(
                "p *block_exports.lh_first (id, refcount, user_owned): a client, or its request, keeps its "
                "export; qemu-requests tells the requests of those clients"
            )
        elif waiting.row == "nbd-teardown":
            # block/nbd.c, 4.2 to 6.0: connection_co also reconnects, and then waits for connect_thread_func
            steps.append(f"frame {stack.level(waiting.at)}: p *(BDRVNBDState *) bs->opaque: connection_co, state, and "
                         "whether it reconnects")
        elif waiting.row == "v9fs":
            # hw/9pfs/9p.c: the PDUs that are being served
            steps.append(f"frame {stack.level(waiting.at)}: p *s->active_list.lh_first: the 9p request (PDU) that is "
                         "still served")
        elif waiting.kind in ("drain", "nested-poll", "job"):
            steps.append(
                "qemu-requests (or, for each node: p *bs->tracked_requests.lh_first): which request is in flight, "
                "and in which coroutine"
            )
        elif waiting.kind == "graph-wrlock":
            steps.append("p aio_context_list and each reader_count: which AioContext holds the reader")
    steps.append(ALL_THREADS)
    return steps
