"""What to do about an outside party that a thread waits for: where to look, and how to end the wait."""

from __future__ import annotations

import json
import re
from typing import Dict, List, Optional

from ...knowledge import peers
from ...model import Chardev, Coroutine, Request
from ...pattern import Pattern
from ..command_line import values
from ..context import Context, Subject
from ..stack import number
from .requests import server_of, short_wait

_NBD_SERVER = Pattern(r"NBD server at (\S+)")
_OF_CHARDEVS = ("serial", "parallel", "monitor", "qmp", "qmp-pretty", "gdb")  # options that make a chardev, too
_SOCKETS = ("unix:", "tcp:", "telnet:", "websocket:")
BY_CHARDEV = ("tpm-emulator", "smartcard")  # peers that a chardev connects
_YANK_SINCE = 6  # qapi/yank.json: nbd nodes, socket chardevs and migrations since 6.0


def chardev_of(context: Context, subject: Subject) -> Optional[Chardev]:
    """The character device among the innermost frames' arguments."""
    by_address = {c.address: c for c in context.facts.chardevs if c.address}
    for frame in subject.stack.frames[:16] if by_address else ():
        found = next((by_address[n] for n in map(number, frame.args.values()) if n in by_address), None)
        if found is not None:
            return found
    return None


def for_peer(context: Context, peer: peers.Peer, subject: Subject) -> List[str]:
    """What to look at, with the party's address where it is known, and how to cut it off."""
    by_chardev = peer.name.startswith(("chardev", "vhost-user")) or peer.name in BY_CHARDEV
    chardev = chardev_of(context, subject) if by_chardev else None
    if chardev is None:
        return [peer.advice + (_sole_socket(context) if by_chardev else _server(context, peer))]
    where = f" ({chardev.id}, {chardev.peer})" if chardev.peer else f" ({chardev.id})"
    steps = [peer.advice + where]
    # chardev/char-socket.c: a connected socket registers char_socket_yank_iochannel, which shuts it down
    if chardev.type == "socket" and chardev.connected and peer.name in ("chardev-write", *BY_CHARDEV):
        steps += _yank(context, subject, "to cut that connection", {"type": "chardev", "id": chardev.id})
    return steps


def _sole_socket(context: Context) -> str:
    """ " (cv, /run/vhost.sock)": the socket chardev of the command line, where it has but that one; else ""."""
    command = context.snapshot.command_line or ""
    options = [option for option in values(command, "chardev") if option.startswith("socket,")]
    if len(options) != 1 or any(option.startswith(_SOCKETS) for option in values(command, *_OF_CHARDEVS)):
        return ""
    given = dict(part.partition("=")[::2] for part in options[0].split(","))
    address = given.get("path") or ":".join(filter(None, (given.get("host"), given.get("port"))))
    return f" ({given.get('id', 'without an id')}, {address})" if address else ""


def _server(context: Context, peer: peers.Peer) -> str:
    """ " (unix:/run/nbd.sock)": the NBD server, where every coroutine that waits for one waits for the same."""
    if peer.name != "nbd":
        return ""
    texts = [c.waits_text for c in context.snapshot.coroutines if c.waits_kind == "peer"]
    servers = {found.group(1) for found in map(_NBD_SERVER.search, texts) if found}
    return f" ({servers.pop()})" if len(servers) == 1 else ""


def for_nbd(context: Context, node: str, waits: Optional[Subject] = None) -> List[str]:
    """A request on a node that an NBD server does not answer. block/nbd.c: nbd_yank ends the connection for good.

    ``waits``: the thread that waits for the request, if one does.
    """
    server = server_of(context, node)
    steps = [f"look at that NBD server{f' ({server})' if server else ''}"]
    instance = {"type": "block-node", "node-name": node}
    return steps + _yank(context, waits, "to let the request fail instead", instance)


def for_outside(context: Context, request: Request, coroutine: Coroutine) -> List[str]:
    """A request whose coroutine waits for an outside party, and no thread with it."""
    if request.driver == "nbd":
        return for_nbd(context, request.node)
    return [f"look at {short_wait(coroutine)}"] if coroutine.waits_kind == "peer" else []


def _yank(context: Context, waits: Optional[Subject], purpose: str, instance: Dict[str, str]) -> List[str]:
    found = re.match(r"\D*(\d+)\.\d", context.snapshot.version or "")
    if not context.facts.vcpus or (found is not None and int(found.group(1)) < _YANK_SINCE):
        return []  # a tool or storage daemon has no such command
    blocked = waits is not None and any(held.lock == "BQL" for held in waits.held)
    execute = "exec-oob" if blocked else "execute"
    command = json.dumps({execute: "yank", "arguments": {"instances": [instance]}})
    where = ", on a QMP monitor that has negotiated oob" if blocked else ", on a QMP monitor"
    since = "" if found is not None else " (QEMU 6.0 and later)"
    return [f"{purpose}{where}{since}: {command}"]
