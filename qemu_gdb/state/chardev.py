"""The character devices: what they are, who is at the other end, whether somebody is connected."""

from __future__ import annotations

from typing import Iterable, List, Optional

import gdb

from ..model import Chardev
from .access import Process, has_field, optional
from .channels import describe, socket_address
from .qom import Qom

_FD_KINDS = ("file", "pipe", "stdio", "serial", "fd")  # chardev/char-fd.c
_STATES = ("disconnected", "connecting", "connected")  # TCPChardevState, chardev/char-socket.c, since 4.0


def read(process: Process, qom: Qom) -> List[Chardev]:
    """The children of /chardevs (chardev/char.c, 5.2 to 10.2)."""
    container = qom.resolve("chardevs")
    result: List[Chardev] = []
    with process.guard("the character devices"):
        for name, address in qom.children(container) if container else ():
            result.append(_chardev(process, qom, name, address))
    return result


def unfinished(process: Process, qom: Qom, addresses: Iterable[int]) -> List[Chardev]:
    """Those of these addresses that are character devices without a place in the tree: being opened now."""
    result = []
    for address in addresses:
        if (qom.type_name(address) or "").startswith("chardev-"):
            base = _base_type(process)
            found = qom.object(address)
            if base is not None and found is not None and not found.path:
                with process.guard("a character device"):
                    name = process.string(process.at(address, base)["label"], 64)
                    found.id = name
                    result.append(_chardev(process, qom, name, address))
    return result


def _base_type(process: Process) -> Optional[gdb.Type]:
    return process.type("Chardev", "qemu_chr_write", "qemu_chr_be_event")


def _socket_type(process: Process) -> Optional[gdb.Type]:
    return process.type("SocketChardev", "char_socket_type_info", "tcp_chr_connect")


def _chardev(process: Process, qom: Qom, name: str, address: int) -> Chardev:
    kind = (qom.type_name(address) or "chardev").replace("chardev-", "")
    entry = Chardev(name, kind, address=address)
    # types are dear to look up: only the one that is needed
    socket_type = _socket_type(process) if kind == "socket" else None
    base = _base_type(process) if socket_type is None else None
    with process.guard(f"chardev {name}"):
        if socket_type is not None:
            value = process.at(address, socket_type)
            state = optional(lambda: int(value["state"]))
            if state is not None and 0 <= state < len(_STATES):
                entry.connected = _STATES[state] == "connected"
            entry.peer = socket_address(process, value["addr"])
            ioc = int(value["ioc"])
            channel = describe(process, qom, ioc) if ioc else None
            if channel is not None and channel.peer and not channel.peer.startswith("unix:"):
                entry.peer = channel.peer
            entry.fd = channel.fd if channel is not None else None
            if entry.peer and optional(lambda: int(value["is_listen"]), 0):
                entry.peer += ",server=on"
                entry.listens = _listens(process, qom, optional(lambda: int(value["listener"]), 0))
        elif base is not None:
            value = process.at(address, base)
            entry.peer = optional(lambda: process.string(value["filename"], 128), "")
            opened = optional(lambda: int(value["be_open"]))
            entry.connected = None if opened is None else bool(opened)
            fd_type = process.type("FDChardev", "fd_chr_read", "qemu_chr_open_fd") if kind in _FD_KINDS else None
            if fd_type is not None:
                channel = describe(process, qom, int(process.at(address, fd_type)["ioc_in"]))
                entry.fd = channel.fd if channel is not None else None
        if base is not None:
            entry.takes_input = _takes_input(process, process.at(address, base))
    return entry


def _listens(process: Process, qom: Qom, listener: int) -> List[int]:
    """The descriptors of a QIONetListener (include/io/net-listener.h); it has a structure for each since 10.2."""
    type_ = process.type("QIONetListener", "qio_net_listener_new")
    if not listener or type_ is None:
        return []
    value = process.at(listener, type_)
    found = []
    for number in range(min(int(value["nsioc"]), 16)):
        channel = value["source"][number]["sioc"] if has_field(value, "source") else value["sioc"][number]
        described = describe(process, qom, channel)
        if described is not None and described.fd is not None:
            found.append(described.fd)
    return found


def _takes_input(process: Process, chardev: gdb.Value) -> Optional[bool]:
    """Whether the chardev's input is polled: its source (IOWatchPoll, chardev/char-io.c, 5.2 to 10.2) has a watch only
    while the frontend can take something.
    """
    source = optional(lambda: int(chardev["gsource"]), 0)
    type_ = process.type("IOWatchPoll", "io_add_watch_poll") if source else None
    functions = process.variable("io_watch_poll_funcs") if source else None
    if type_ is None or functions is None:
        return None
    value = process.at(source, type_)
    if int(value["parent"]["source_funcs"]) != int(functions.address):
        return None
    return bool(int(value["src"]))
