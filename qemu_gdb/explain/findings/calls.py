"""Hangs in a system call, in a page of guest memory that does not come, or behind a thread that executes."""

from __future__ import annotations

import re
from typing import List, Optional, Sequence, Tuple

from ...knowledge import peers
from ...knowledge.stages.rows import size_text
from ...model import Finding
from ..blocked import returns_at_once
from ..complaint import prose
from ..context import Context, Subject
from ..stack import Stack
from . import common
from .common import at, capital, evidence, finding, listed, short, who
from .links import (
    Search,
    blocked_call,
    command_of,
    holding,
    lead,
    main_stuck,
    progress_of,
    victims_text,
    waiters_for,
)
from .own_export import own_export
from .peer_calls import BlockedCall, behind_peer, descriptor_of


def system_call(context: Context, last: Subject, victims: List[Subject], call: str, position: int) -> Optional[Finding]:
    """A thread in a system call that does not return, or returns late; None where that is no hang."""
    if call == "recvmsg" and _reads_error_queue(last.stack, position):
        return _zero_copy(context, last, victims, position)
    queued = any(v.waiting is not None and v.waiting.kind == "mutex" for v in victims)
    if returns_at_once(last.stack, position) and not queued:
        return None  # it sends and goes on; only one that others of the same code queue behind may have stayed there
    own = own_export(context, last, victims, call, position)
    if own is not None:
        return own
    blocked = BlockedCall(context, last, victims, call, position, queued)
    if _rests(blocked):
        return None
    return behind_peer(blocked) if blocked.peer is not None else _in_the_kernel(blocked)


def _rests(blocked: BlockedCall) -> bool:
    """Whether the call is what such a thread does all day, or another thread's finding tells it."""
    stack, role, peer = blocked.stack, blocked.role, blocked.peer
    gdb = peer is not None and peer.name.startswith("gdb")
    if role == "user-mode" and not gdb and not blocked.queued:
        return True
    if role == "iothread" and not blocked.victims and stack.find(
        "iothread_run", blocked.position, blocked.position + 2
    ) is not None:
        return True
    progress = blocked.progress
    known = blocked.known is not None or bool(blocked.kept.step)
    alone = role in ("main-loop", "migration", "tool-main", "iothread") or (
        role in ("coroutine", "thread-pool-worker", "glib-worker") and known
    )
    if not blocked.victims and not blocked.held and peer is None and not alone and progress is None:
        return True
    # a thread that allocates memory: the one that waits for it tells
    return progress is not None and progress.step.startswith("on the host") and role != "main-loop"


def _in_the_kernel(blocked: BlockedCall) -> Finding:
    """The call waits for storage, a driver or the kernel itself."""
    stack, last, known, progress = blocked.stack, blocked.last, blocked.known, blocked.progress
    kept, call = blocked.kept, blocked.call
    sentences, steps = blocked.opening(), blocked.first_steps()
    sentences += [holding(last), victims_text(blocked.victims), blocked.who_goes_on()]
    aio_lock = any(h.lock.startswith("AioContext lock") for h in last.held)
    if aio_lock and not blocked.held and blocked.victims:
        sentences.append(
            "It holds its AioContext's lock in that call, and whoever needs that lock waits for the storage."
        )
    size = stack.arg_number(blocked.position, "size") if known is not None else None
    if progress is not None:
        sentences.append(progress.says)
        steps.append(progress.step)
    elif known is not None:
        sentences.append(known.says.format(size=f" {size_text(size)}" if size else ""))
        if not kept.step:
            step, logged = _long_call_step(blocked, known)
            sentences.append(logged)
            steps.append(step)
    sentences.append(kept.sentence)
    if kept.step:
        steps.insert(0, kept.step)
    elif known is None and progress is None:
        steps.append(f"is it still there in a second sample? Then the kernel does not return: {_look_at(blocked)}")
    small = bool(known is not None and "{size}" in known.says and size and 0 < size <= _SMALL_MAP
                 and not last.told.thread.kernel)
    if small:
        sentences.append("A map as small as that is one of many: the guest's IOMMU driver asks for each, and a sample "
                         "meets one of them.")
    if blocked.on_storage and call.startswith("lseek") and not kept.step and known is None:
        sentences.append(
            "An lseek(SEEK_DATA/SEEK_HOLE) can take long on a fragmented or remote file; this may be slow rather "
            "than stuck."
        )
    harms = (blocked.victims and blocked.role != "user-mode") or (blocked.queued and blocked.on_storage)
    passes = (progress is not None and not kept.label) or small or _mapped_at_start(blocked) >= 1 << 30
    return finding(
        "hang.blocked-syscall",
        _kernel_title(blocked),
        "likely" if (harms or blocked.held) and not passes else "possible",
        sentences,
        subjects=[last, *blocked.victims],
        proof=blocked.proof(),
        steps=steps,
        rule="blocked-syscall",
    )


def _kernel_title(blocked: BlockedCall) -> str:
    last, call, label = blocked.last, blocked.call, blocked.kept.label
    locked = ""
    if blocked.held:
        locked = " with the BQL held"
    elif any(h.lock.startswith("Aio") for h in last.held):
        locked = " with an AioContext lock held"
    title = f"{command_of(blocked.stack) or who(last)} is blocked in {call}(){locked}"
    if len(title) > 90:
        title = f"{capital(short(last))} is blocked in {call}(){locked}"
    if blocked.progress is not None:
        title = blocked.progress.title
    elif (size := _mapped_at_start(blocked)) >= 1 << 30:
        title = f"QEMU is still starting: the kernel pins {size_text(size)} of guest memory for an assigned device"
    return f"{title}: it waits for {label}" if label and len(title) + len(label) < 110 else title


def _mapped_at_start(blocked: BlockedCall) -> int:
    """How much guest memory the call maps while QEMU starts, in bytes; 0 for another call."""
    if blocked.known is None or "{size}" not in blocked.known.says or blocked.stack.find("qemu_init") is None:
        return 0
    return blocked.stack.arg_number(blocked.position, "size") or 0


def _long_call_step(blocked: BlockedCall, known: peers.LongCall) -> Tuple[str, str]:
    """What to do about a call that is known to take long, and what the kernel's log in the text says of it."""
    stack, position = blocked.stack, blocked.position
    step = next((step for names, step in known.by if stack.find(names, position) is not None), known.step)
    logged = re.search(known.log[0], prose(blocked.context.snapshot)) if known.log[0] else None
    if logged is None:
        return step, ""
    return known.log[1], f"The kernel's log in the text answers what became of it: \"{logged.group()}\"."


def _look_at(blocked: BlockedCall) -> str:
    if blocked.context.explanation.program == "qemu-ga":
        return "the guest's kernel log tells why"
    if blocked.call.startswith("open"):
        return "ls -l of that path: a FIFO waits there for its other end; else look at that storage (NFS, FUSE)"
    if blocked.on_storage:
        return "look at that storage (NFS, a dead path, a fragmented file)"
    return "/proc/PID/stack and the host's dmesg tell why"


def joined_for_long(context: Context, last: Subject, victims: List[Subject]) -> Optional[Finding]:
    """A thread that waits for the end of threads which do its long work, wherever these are found in it."""
    for subject in victims:
        waiting = subject.waiting
        progress = progress_of(subject.stack) if waiting is not None and waiting.kind == "join" else None
        if waiting is None or progress is None:
            continue
        others = [v for v in victims if v is not subject]
        return finding(
            "hang.blocked-syscall",
            progress.title,
            "possible",
            [
                lead(context, subject),
                f"It waits in {at(subject.stack, waiting.at)} for {short(last)} to end. {progress.says}",
                holding(subject),
                victims_text(others),
            ],
            subjects=[subject, last, *others],
            proof=[evidence(subject, waiting.at, f"waits {waiting.says}"), evidence(last, 0, "is at work")],
            steps=[progress.step],
            rule="joined-for-long",
        )
    return None


_SMALL_MAP = 64 << 10  # bytes; pinning them is a matter of microseconds

# linux/socket.h MSG_ERRQUEUE
_ERROR_QUEUE = 0x2000
_FLUSHES = ("qio_channel_socket_flush", "qio_channel_socket_flush_internal")


def _reads_error_queue(stack: Stack, position: int) -> bool:
    flags = stack.arg_number(0, "flags")
    return stack.names[position] in _FLUSHES or bool(flags is not None and flags & _ERROR_QUEUE)


def _zero_copy(context: Context, last: Subject, victims: List[Subject], position: int) -> Finding:
    """io/channel-socket.c, 7.1 and later: MSG_ERRQUEUE never blocks, and POLLERR is there at once as a rule."""
    descriptor, fd = descriptor_of(last.stack)
    on = f" of descriptor {descriptor}" if descriptor is not None else ""
    return finding(
        "hang.spinning",
        f"{who(last)} asks the kernel again and again whether its zero-copy sends are done",
        "possible",
        [
            lead(context, last),
            f"It is in recvmsg(){fd} on the socket's error queue (MSG_ERRQUEUE), called by {at(last.stack, position)}. "
            "That call never blocks: the thread repeats it until the kernel has reported each zero-copy send as done, "
            "and that is when the receiver has acknowledged the data.",
            victims_text(victims),
        ],
        subjects=[last, *victims],
        proof=[evidence(last, position, "reads the socket's error queue")],
        steps=[f"ss -tnpi on the host, twice: does bytes_acked of the connection{on} grow? If not, look at the "
               "receiver and the network between"],
        rule="zero-copy-flush",
    )  # fmt: skip


_COPIES = (
    "memcpy",
    "memmove",
    "memcmp",
    "flatview_read_continue",
    "flatview_read_continue_step",
    "flatview_read",
    "address_space_read",
    "address_space_read_full",
    "address_space_rw",
    "ldl_phys",
    "ram_load",
    "cpu_physical_memory_rw",
)


_LOADS = (
    "process_incoming_migration_co",
    "qemu_loadvm_state",
    "qemu_loadvm_state_main",
    "loadvm_postcopy_handle_run_bh",
)


def guest_memory_wait(subject: Subject) -> Optional[Tuple[int, int]]:
    """A read of guest memory while the incoming VM is loaded, which under postcopy is a wait for the page."""
    stack = subject.stack
    inner = next(
        (
            p
            for p in range(min(6, len(stack)))
            if stack.names[p] in _COPIES
            or stack.names[p].startswith(("__memcpy", "__memmove", "flatview_read", "address_space_ld"))
        ),
        None,
    )
    # migration/ram.c: precopy writes guest memory, and loads no page that is still at the source
    if inner is None or stack.find(("ram_load_precopy", "ram_handle_compressed", "ram_handle_zero")) is not None:
        return None
    outer = stack.find(_LOADS, inner)
    return (inner, outer) if outer is not None else None


def page_waits(search: Search) -> None:
    context = search.context
    listeners = context.with_role("postcopy-listen")
    incoming = next((m for m in context.facts.migration if m.direction == "incoming"), None)
    postcopy = bool(listeners) or (incoming is not None and incoming.state.startswith("postcopy"))
    for subject in context.live_subjects:
        if subject.waiting is not None or id(subject) in search.told:
            continue
        found = guest_memory_wait(subject)
        if found is None and postcopy and subject.told.role in _TOUCH_GUEST_MEMORY:
            inner = next((p for p in range(min(4, len(subject.stack))) if _copies(subject.stack.names[p])), None)
            found = (inner, -1) if inner is not None else None
        if found is not None:
            _page_wait(search, subject, found, listeners, postcopy)
            return


_TOUCH_GUEST_MEMORY = ("main-loop", "iothread", "vcpu-kvm", "vcpu-mttcg", "vcpu-tcg-rr", "vcpu-other")
# accel/tcg/cputlb.c: how TCG reads guest memory by itself; load_helper until 8.0, do_ld*_mmu since
_READS = ("__memcpy", "__memmove", "flatview_read", "address_space_ld", "translator_ld", "load_helper", "load_memop",
          "full_ld", "cpu_ld", "do_ld",
          # include/qemu/bswap.h, include/exec/memory_ldst_cached.h.inc: how device models read a virtqueue
          "lduw_", "ldl_", "ldq_", "ldub_", "stw_", "stl_", "stq_", "stb_", "virtio_lduw_phys", "virtio_ldl_phys",
          "virtio_stw_phys")  # fmt: skip


def _copies(name: str) -> bool:
    return name in _COPIES or name.startswith(_READS)


def _page_wait(
    search: Search, subject: Subject, found: Tuple[int, int], listeners: Sequence[Subject], postcopy: bool
) -> None:
    inner, outer = found
    stack = subject.stack
    while_loading = f" while {at(stack, outer)} loads the VM" if outer >= 0 else ""
    sentences = [
        lead(search.context, subject),
        f"{who(subject)} accesses guest memory ({at(stack, inner)}){while_loading}. Under postcopy such an access is a "
        "page fault that waits until the source has sent the page; if it stays there, the page never comes.",
        holding(subject),
    ]
    proof = [evidence(subject, inner, "accesses guest memory")]
    victims = [v for v in waiters_for(search.context, [subject]) if v.told.role != "rcu"]
    sentences.append(victims_text(victims))
    paused = next((x for x in listeners if x.waiting is not None and x.waiting.row == "postcopy-pause"), None)
    idle = paused or next((x for x in listeners if blocked_call(x.stack) is not None), None)
    call = blocked_call(idle.stack) if idle is not None and paused is None else None
    if paused is not None and paused.waiting is not None:
        sentences.append(f"{who(paused)} waits in {at(paused.stack, paused.waiting.at)} {paused.waiting.says}: no page "
                         "comes before that.")
        proof.append(evidence(paused, paused.waiting.at, "the migration is paused"))
    elif idle is not None and call is not None:
        sentences.append(f"{who(idle)} waits in {call[0]}() for the source's next data.")
        proof.append(evidence(idle, call[1], f"in {call[0]}()"))
    steps = ["a second sample: is it still in that access?",
             "query-migrate on both sides: postcopy-active or postcopy-paused?",
             "" if postcopy else "thread apply all bt: the postcopy listen and fault threads"]
    if paused is not None:
        steps = [recover(search.context, subject)]
    search.add(
        finding(
            "hang.waiting-for-peer",
            f"Postcopy is broken off: {short(subject)} waits for a page that nobody sends"
            if paused is not None
            else "Postcopy: a page of guest memory is waited for, and the source sends nothing"
            if idle is not None
            else "Guest memory is read during an incoming migration: the page may never come",
            "likely" if idle is not None else "possible",
            sentences,
            subjects=[subject, *listeners, *victims],
            proof=proof,
            steps=steps,
            rule="postcopy-page",
        ),
        [subject, *listeners, *victims],
    )


def recover(context: Context, subject: Subject) -> str:
    """How to recover; qapi/migration.json: migrate-recover may run out of band, since 3.0."""
    where = '{"%s": "migrate-recover", "arguments": {"uri": "tcp:ADDRESS:PORT"}}'
    held = any(h.lock == "BQL" for h in subject.held)
    if not held and not main_stuck(context):
        return f"on a QMP monitor here: {where % 'execute'}, then migrate with resume on the source"
    unseen = "" if context.with_role("monitor-iothread") else " (no monitor thread is shown: there may be none)"
    waits = "QMP waits for the BQL like the rest" if held else "the main loop serves no QMP"
    return (f"{waits}; on a monitor that has negotiated oob{unseen}: "
            f"{where % 'exec-oob'}, then migrate with resume on the source")


def executing_holder(context: Context, last: Subject, victims: List[Subject]) -> Optional[Finding]:
    waiting = [v for v in victims if v.waiting is not None]
    held = next((h for h in last.held if h.lock == "BQL"), None)
    direct = [v for v in waiting if v.waiting is not None and any(h.lock == v.waiting.object for h in last.held)]
    stack = last.stack
    position = common.qemu_frame(stack)
    if not waiting or position is None:
        return None
    culprit = stack.find(last.told.culprit) if last.told.culprit else None
    if culprit is None:
        culprit = position
    if held is None and direct:
        waiting = direct
    kind_word = waiting[0].waiting.object if waiting[0].waiting is not None else "a lock"
    lock = "the BQL" if held is not None or kind_word == "BQL" else kind_word
    behind = [v for v in victims if v not in waiting] if held is None and direct else []
    delivers = held is not None and held.at is not None and stack.names[held.at] == "cpu_handle_interrupt"
    guest = last.told.state == "running-guest" and not delivers
    in_call = last.told.state == "blocked-syscall" and not guest
    short_things = "device accesses and commands are short in a healthy QEMU"
    if in_call:
        short_things = "the call is short on a healthy host"
    elif guest:
        short_things = "a thread that wants it kicks the vCPU out of the guest"
    elif delivers:
        short_things = "the delivery of an interrupt is short"
    basis = f" ({held.basis})" if held is not None and (guest or delivers or held.confidence == "certain") else ""
    sentences = [
        lead(context, last),
        f"It {'is in' if in_call else 'executes'} {'guest code' if guest else at(stack, culprit)}"
        f" and holds {lock}{basis}.",
        f"{capital(listed(direct or victims))} {'waits' if len(direct or victims) == 1 else 'wait'} for it"
        + (f", {listed(behind)} behind {'it' if len(direct) == 1 else 'them'}." if behind else "."),
        f"One sample can't tell a short wait from a stuck one: {short_things}.",
    ]
    place = "guest code" if guest else stack.names[culprit]
    title = (
        f"{who(last)} holds {lock} in {place}; {listed(victims)} "
        f"{'waits' if len(victims) == 1 else 'wait'}"
    )
    if len(title) > 90:
        title = f"{capital(short(last))} holds {lock} in {place}; others wait"
    steps = [f"take a second sample: if {short(last)} is still in {place}, it loops there or is very slow"]
    goes_round = next((row for row in peers.BUSY_WAITS if stack.find((row[0],), 0, 4) is not None), None)
    if goes_round is not None:
        sentences.append(f"{goes_round[0]} goes round until {goes_round[1]}.")
        steps.insert(0, goes_round[2])
    if in_call:
        tid = last.told.thread.lwp or "TID"
        steps = [
            f"take a second sample: is {short(last)} still in that call?",
            f"on the host, as root: cat /proc/PID/task/{tid}/stack; dmesg",
        ]
    if guest:
        steps = [f"take a second sample: does {listed(victims)} still wait? Then the kick did not reach the vCPU"]
    return finding(
        "hang.bql-held",
        title,
        "possible",
        sentences,
        subjects=[last, *victims],
        proof=[
            evidence(last, culprit, f"executes with {lock} held"),
            *[evidence(v, v.waiting.at if v.waiting else None, "waits for it") for v in victims[:4]],
        ],
        steps=steps,
        rule="lock-held",
    )
