"""Which monitor command is being run, with its arguments, by which monitor."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Sequence

import gdb

from ..model import Coroutine, Frame, MonitorCommand, Thread
from . import qobjects
from .access import NotReadable, Process, field, optional
from .arguments import FrameArguments, parse

_MARSHAL = re.compile(r"^qmp_marshal_(\w+)$")
_HMP = ("handle_hmp_command_exec", "handle_hmp_command", "monitor_command_cb")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


def read(
    process: Process, arguments: FrameArguments, threads: Sequence[Thread], coroutines: Sequence[Coroutine]
) -> List[MonitorCommand]:
    """Commands whose frames are on a thread's or a suspended coroutine's stack."""
    found: List[MonitorCommand] = []
    for thread in threads:
        with process.guard("a monitor command"):
            found += _commands(process, thread.frames, thread, arguments)
    for coroutine in coroutines:
        # The dispatcher waits in qmp_dispatch for a command that a thread runs: that thread tells it better.
        if coroutine.waits_kind == "idle":
            continue
        for command in _commands(process, coroutine.frames, None, arguments):
            if not any(c.protocol == command.protocol and _same(c.command, command.command) for c in found):
                found.append(command)
    for command in found:
        if command.protocol == "qmp" and not command.monitor:
            command.monitor = _dispatching(process, coroutines)
    return found


def _same(one: str, other: str) -> bool:
    return not one or one.replace("_", "-") == other.replace("_", "-")


def _commands(
    process: Process, frames: Sequence[Frame], thread: Optional[Thread], arguments: FrameArguments
) -> List[MonitorCommand]:
    result: List[MonitorCommand] = []

    def number(frame: Frame, *names: str) -> int:
        if thread is not None:
            return arguments.number(thread, frame, *names) or 0
        return next((v for v in (parse(frame.args.get(n)) for n in names) if v), 0)

    hmp: Optional[MonitorCommand] = None
    for frame in frames:
        name = frame.name
        match = _MARSHAL.match(name)
        if match:
            command = MonitorCommand("", "qmp", match.group(1).replace("_", "-"), lwp=thread.lwp if thread else None)
            command.arguments = qobjects.text(process, number(frame, "args"))
            result.append(command)
        elif name == "do_qmp_dispatch_bh":
            command = next((c for c in result if c.protocol == "qmp"), None) or MonitorCommand(
                "", "qmp", lwp=thread.lwp if thread else None
            )
            if command not in result:
                result.append(command)
            _from_dispatch(process, command, number(frame, "opaque"))
        elif name in _HMP:
            if hmp is None:
                hmp = MonitorCommand("", "hmp", lwp=thread.lwp if thread else None)
                result.append(hmp)
            line = arguments.text(thread, frame, "cmdline") if thread else frame.args.get("cmdline", "")
            quoted = _STRING.search(line or "")
            if quoted:
                hmp.command, _, hmp.arguments = quoted.group(1).strip().partition(" ")
            elif not hmp.command:
                _from_table(process, hmp, number(frame, "cmd"), number(frame, "qdict"))
            if not hmp.monitor:
                hmp.monitor = _label(process, number(frame, "mon"))
        elif name == "hmp_" or (name.startswith("hmp_") and hmp is None):
            hmp = MonitorCommand("", "hmp", name[4:].replace("_", " ").strip(), lwp=thread.lwp if thread else None)
            result.append(hmp)
            if name.startswith("hmp_info_"):
                hmp.command = "info " + name[9:]
    return result


def _from_dispatch(process: Process, command: MonitorCommand, opaque: int) -> None:
    """Name, arguments and monitor from QmpDispatchBH (qapi/qmp-dispatch.c, since 5.2)."""
    type_ = process.type("QmpDispatchBH", "qmp_dispatch")
    if not opaque or type_ is None:
        return
    with process.guard("a QMP command"):
        value = process.at(opaque, type_)
        command.command = process.string(value["cmd"]["name"], 64) or command.command
        command.arguments = qobjects.text(process, int(value["args"])).replace("{}", "") or command.arguments
        command.monitor = _label(process, int(value["cur_mon"])) or command.monitor


def _from_table(process: Process, command: MonitorCommand, entry: int, arguments: int) -> None:
    """HMPCommand (monitor/monitor-internal.h) begins with its name, "cont|c"."""
    if entry:
        try:
            command.command = process.string(process.word(entry), 64).split("|")[0].split(",")[0]
        except NotReadable:
            return
    if arguments:
        command.arguments = qobjects.text(process, arguments).replace("{}", "")


def _label(process: Process, monitor: int) -> str:
    """The id of a monitor's chardev (Monitor.chr.chr->label)."""
    type_ = process.type("Monitor", "monitor_cur", "monitor_init", "cur_mon", "mon_list")
    if not monitor or type_ is None:
        return ""
    try:
        return process.string(process.at(monitor, type_)["chr"]["chr"]["label"], 64)
    except (gdb.error, NotReadable):
        return ""


_LEAST_UNREAD = 4096  # bytes that a client which reads may leave for a moment


def unread(process: Process) -> Dict[str, int]:
    """Bytes of answers and events that wait for a monitor's client to read, by the monitor's id: those of a client that
    does not (Monitor.outbuf and out_watch, monitor/monitor-internal.h; a QString in 5.2).
    """
    head = process.variable("mon_list")
    found: Dict[str, int] = {}
    for monitor in process.qtailq(head, "entry", "monitors", 64) if head is not None else ():
        with process.guard("what a monitor has to send"):
            if int(monitor["out_watch"]) and int(monitor["outbuf"]):
                size = int(field(monitor["outbuf"].dereference(), "len", "length"))
                if size >= _LEAST_UNREAD:
                    found[_label(process, int(monitor)) or f"{int(monitor):#x}"] = size
    return found


def _dispatching(process: Process, coroutines: Sequence[Coroutine]) -> str:
    """The QMP monitor whose request the dispatcher holds: the only one, or the one in its frames."""
    for coroutine in coroutines:
        for frame in coroutine.frames:
            if frame.name in ("monitor_qmp_dispatch", "monitor_qmp_dispatcher_co"):
                label = _label(process, parse(frame.args.get("mon")) or 0)
                if label:
                    return label
    head = process.variable("mon_list")
    if head is None:
        return ""
    monitors = [m for m in process.qtailq(head, "entry", "monitors", 64)
                if optional(lambda: int(m["is_qmp"]), 0)]  # noqa: B023
    return _label(process, int(monitors[0])) if len(monitors) == 1 else ""
