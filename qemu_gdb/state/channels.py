"""Says where a QIOChannel or a SocketAddress leads: for NBD clients, chardevs and migration streams."""

from __future__ import annotations

import struct
from typing import Optional, Union

import gdb

from ..record import record
from .access import NotReadable, Process, field, has_field, optional, to_int
from .qom import Qom

_AF_UNIX, _AF_INET, _AF_INET6, _AF_VSOCK = 1, 2, 10, 40
_PATH = 108


@record
class Channel:
    """One end of a connection."""

    address: int
    type_name: str = ""
    fd: Optional[int] = None
    peer: str = ""  # "unix:/run/nbd.sock", "tcp:127.0.0.1:10809", "process 4711"
    name: str = ""  # QEMU's own label: "nbd-client", "migration-exec-outgoing"


def describe(process: Process, qom: Qom, channel: Union[int, gdb.Value]) -> Optional[Channel]:
    """The QIOChannel at an address (include/io/channel.h); None where no channel is."""
    address = to_int(channel)
    result: Optional[Channel] = None
    for _ in range(4):  # a TLS or websocket channel wraps another
        type_name = qom.type_name(address)
        if type_name is None or not type_name.startswith("qio-channel"):
            return result
        if result is None:
            result = Channel(address, type_name)
            base = process.type("QIOChannel", "qio_channel_yield", "qio_channel_readv")
            if base is not None:
                found = result
                found.name = optional(lambda: process.string(process.at(address, base)["name"], 64), "")  # noqa: B023
        if type_name == "qio-channel-socket":
            _socket(process, address, result)
        elif type_name == "qio-channel-command":
            command = process.type("QIOChannelCommand", "qio_channel_command_new_pid", "qio_channel_command_new_spawn")
            if command is not None:
                value = process.at(address, command)
                result.fd = optional(lambda: int(value["writefd"]))  # noqa: B023
                pid = optional(lambda: int(value["pid"]))  # noqa: B023
                result.peer = f"process {pid}" if pid else ""
        elif type_name == "qio-channel-file":
            file_type = process.type("QIOChannelFile", "qio_channel_file_new_fd")
            if file_type is not None:
                result.fd = optional(lambda: int(process.at(address, file_type)["fd"]))  # noqa: B023
        elif type_name in ("qio-channel-tls", "qio-channel-websock"):
            anchor = "qio_channel_tls_new_client" if type_name.endswith("tls") else "qio_channel_websock_new_server"
            wrapper = process.type("QIOChannelTLS" if type_name.endswith("tls") else "QIOChannelWebsock", anchor)
            if wrapper is not None:
                address = optional(lambda: int(process.at(address, wrapper)["master"]), 0)  # noqa: B023
                continue
        return result
    return result


def _socket(process: Process, address: int, result: Channel) -> None:
    type_ = process.type("QIOChannelSocket", "qio_channel_socket_new")
    if type_ is None:
        return
    value = process.at(address, type_)
    result.fd = optional(lambda: int(value["fd"]))
    for name in ("remoteAddr", "localAddr"):  # the accepting end of a unix socket only knows its own address
        storage = value[name]
        size = int(field(value, f"{name}Len"))
        text = optional(lambda: sockaddr(process.read(int(storage.address), min(size, 128))), "")  # noqa: B023
        if text:
            result.peer = text
            return


def sockaddr(data: bytes) -> str:
    """A ``struct sockaddr`` as text, "" if it names nothing."""
    if len(data) < 2:
        return ""
    (family,) = struct.unpack_from("<H", data)
    if family == _AF_UNIX:
        path = data[2 : 2 + _PATH]
        if not path.strip(b"\0"):
            return ""
        if path.startswith(b"\0"):
            return "unix:@" + path[1:].rstrip(b"\0").decode("utf-8", "replace")
        return "unix:" + path.split(b"\0")[0].decode("utf-8", "replace")
    if family == _AF_INET and len(data) >= 8:
        return f"tcp:{'.'.join(map(str, data[4:8]))}:{struct.unpack_from('>H', data, 2)[0]}"
    if family == _AF_INET6 and len(data) >= 24:
        import socket  # only here: it takes longer to import than all the rest of a small reading

        return f"tcp:[{socket.inet_ntop(socket.AF_INET6, data[8:24])}]:{struct.unpack_from('>H', data, 2)[0]}"
    if family == _AF_VSOCK and len(data) >= 12:
        port, cid = struct.unpack_from("<II", data, 4)
        return f"vsock:{cid}:{port}"
    return ""


def socket_address(process: Process, pointer: gdb.Value) -> str:
    """A QAPI ``SocketAddress *`` as text, "" for NULL (qapi/sockets.json)."""
    if not int(pointer):
        return ""
    value = pointer.dereference()
    kind = process.enum_name("SocketAddressType_lookup", int(value["type"])) or ""
    union = value["u"]

    def inner(name: str) -> gdb.Value:
        arm = union[name]
        if has_field(arm, "data"):  # the "legacy" flavour holds a pointer
            arm = arm["data"]
        return arm

    try:
        if kind == "unix":
            return "unix:" + process.string(field(inner("q_unix"), "path"), 128)
        if kind == "inet":
            inet = inner("inet")
            return f"tcp:{process.string(inet['host'], 128)}:{process.string(inet['port'], 16)}"
        if kind == "vsock":
            vsock = inner("vsock")
            return f"vsock:{process.string(vsock['cid'], 32)}:{process.string(vsock['port'], 32)}"
        if kind == "fd":
            return "fd:" + process.string(field(inner("fd"), "str"), 64)
    except gdb.error as error:
        raise NotReadable("a socket address") from error
    return kind
