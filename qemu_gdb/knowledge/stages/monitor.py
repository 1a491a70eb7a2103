"""Monitor commands on a stack: QMP and HMP, by the names that QAPI and the HMP table give their functions."""

from __future__ import annotations

import re
from typing import Dict, NamedTuple, Optional

from ..functions import is_qemu_function
from ..match import Names
from ..roles import OLD_HMP_HANDLERS
from .rows import Row, View, readable

# HMP commands whose function is not hmp_<name>: hmp-commands.hx, hmp-commands-info.hx
_HMP: Dict[str, str] = {
    "hmp_quit": "quit",
    "hmp_cont": "cont",
    "hmp_drive_add": "drive_add",
    "hmp_drive_del": "drive_del",
    "hmp_system_powerdown": "system_powerdown",
    "hmp_migrate_cancel": "migrate_cancel",
    "hmp_snapshot_blkdev": "snapshot_blkdev",
    "hmp_info_qtree": "info qtree",
    "pci_device_hot_add": "pci_add",
    "drive_hot_add": "drive_add",
    "do_pci_device_hot_remove": "pci_del",
    "do_eject": "eject",
    **{
        name: name[3:].replace("info_", "info ")
        for name in OLD_HMP_HANDLERS
        if name.startswith("do_") and name not in ("do_pci_device_hot_remove", "do_change_block", "do_change_vnc")
    },
}
# QMP commands with an upper-case or odd command name: qapi/*.json
_QMP: Dict[str, str] = {
    "qmp_quit": "quit",
    "qmp_cont": "cont",
    "qmp_stop": "stop",
    "qmp_human_monitor_command": "human-monitor-command",
    "qmp_x_exit_preconfig": "x-exit-preconfig",
    "qmp_add_client": "add_client",
    "qmp_device_add": "device_add",
    "qmp_device_del": "device_del",
    "qmp_object_add": "object-add",
    "qmp_netdev_add": "netdev_add",
    "qmp_netdev_del": "netdev_del",
    "qmp_system_reset": "system_reset",
    "qmp_system_powerdown": "system_powerdown",
    "qmp_system_wakeup": "system_wakeup",
    "qmp_migrate_cancel": "migrate_cancel",
    "qmp_block_resize": "block_resize",
    "qmp_block_passwd": "block_passwd",
    "qmp_block_set_io_throttle": "block_set_io_throttle",
    "qmp_set_link": "set_link",
    "qmp_set_password": "set_password",
    "qmp_expire_password": "expire_password",
    "qmp_client_migrate_info": "client_migrate_info",
    "qmp_migrate_set_speed": "migrate_set_speed",
    "qmp_migrate_set_downtime": "migrate_set_downtime",
}
# Arguments of qmp_* functions that say what the command is about
_SUBJECTS = ("id", "device", "node_name", "job_id", "uri", "filename", "path", "target", "name", "qom_path")
_NOT_COMMANDS = frozenset(
    "qmp_dispatch qmp_capabilities_reset qmp_send_response qmp_find_command qmp_return qmp_error_response"
    " qmp_fd_receive qmp_fd_send"  # tests/qtest/libqmp.c: the client's side
    " qmp_request_free qmp_marshal_output qmp_command_name qmp_is_oob qmp_dispatch_check_obj qmp_dispatch_bh".split()
)
_MACHINERY = Names(
    "monitor_qmp_dispatch",
    "monitor_qmp_bh_dispatcher",
    "monitor_qmp_dispatcher_co",
    "qmp_dispatch",
    "do_qmp_dispatch",
    "do_qmp_dispatch_bh",
    "handle_qmp_command",
    "handle_hmp_command",
    "monitor_command_cb",
    "handle_hmp_command_co",
    "handle_hmp_command_exec",
    "readline_handle_byte",
    "monitor_read",
    "monitor_qmp_read",
    "json_message_parser_feed",
    "json_lexer_feed*",
    "json_message_process_token",
    "qmp_call_cmd",
    "monitor_event",
    "monitor_qmp_event",
    "monitor_can_read",
    "handle_user_command",
    "qmp_marshal_*",
    "hmp_compat*",
    "monitor_parse_*",
    "monitor_control_read",
    "qmp_call_*",
)


class MonitorCall(NamedTuple):
    """A monitor command on a stack."""

    protocol: str  # "QMP" or "HMP"; "guest agent" for what qemu-ga serves inside the guest
    command: str  # as a user types it: "blockdev-del", "stop"
    position: int  # of the frame that shows it
    arguments: str = ""

    @property
    def text(self) -> str:
        extra = f" {self.arguments}" if self.arguments else ""
        return f'{self.protocol} "{self.command}{extra}"'


def command(view: View) -> Optional[MonitorCall]:
    """The monitor command that runs on a stack, the inner one where HMP runs inside QMP."""
    if "monitor" not in view.memo:
        view.memo["monitor"] = _command(view.whole())
    found = view.memo["monitor"]
    if not isinstance(found, MonitorCall):
        return None
    if found.protocol == "QMP" and found.command.startswith("guest-"):  # qga/qapi-schema.json: all but sync's kin
        found = found._replace(protocol="guest agent")
    if not found.arguments:
        for known in view.facts.monitor_commands:
            same = known.command.replace("_", "-") == found.command.replace("_", "-")
            if same and known.arguments and len(known.arguments) <= 60:
                return MonitorCall(found.protocol, found.command, found.position, known.arguments)
    return found


def _command(view: View) -> Optional[MonitorCall]:
    hmp: Optional[MonitorCall] = None
    qmp: Optional[MonitorCall] = None
    for position, name in enumerate(view.all_names):
        if name in (
            "handle_hmp_command",
            "handle_hmp_command_exec",
            "monitor_command_cb",
            "handle_user_command",
            "qmp_human_monitor_command",
        ):
            line = view.part(position, position).string(None, "cmdline", "command_line", "cmd")
            if line and name == "handle_hmp_command_exec":
                line = None
            if hmp is None:
                if line:
                    hmp = _hmp_line(line, position)
            elif line and hmp.position >= position - 8:
                hmp = _hmp_line(line, hmp.position)
        if name.startswith("hmp_") and hmp is None and not name.startswith("hmp_compat"):
            word = _HMP.get(name, name[4:])
            if word.startswith("info_"):
                word = "info " + word[5:].replace("_", "-")
            hmp = MonitorCall("HMP", word, position)
        elif name in _HMP and hmp is None:
            hmp = MonitorCall("HMP", _HMP[name], position)
        if (
            name.startswith("qmp_marshal_")
            and name not in _NOT_COMMANDS
            and not name.startswith(("qmp_marshal_output_",))
        ):
            word = _qmp_word(name[len("qmp_marshal_") :].replace("input_", "", 1))
            inner = view.part(qmp.position, qmp.position) if qmp is not None else None
            qmp = MonitorCall("QMP", word, position, _subject(inner) if inner is not None else "")
        elif name.startswith(("qmp_output_", "qmp_input_")):
            continue
        elif (
            name.startswith("qmp_")
            and name not in _NOT_COMMANDS
            and qmp is None
            and name not in _MACHINERY
            and not _called_by_qemu(view, position)
        ):
            qmp = MonitorCall("QMP", _qmp_word(name[4:]), position, _subject(view.part(position, position)))
    if hmp is not None and qmp is not None and qmp.position < hmp.position:
        return hmp  # HMP commands call the QMP function of the same purpose
    if hmp is not None:
        return hmp
    if qmp is None:
        return None
    marshalled = view.all_names[qmp.position].startswith("qmp_marshal_")
    dispatched = marshalled or any(
        n in ("qmp_dispatch", "do_qmp_dispatch", "do_qmp_dispatch_bh", "monitor_qmp_dispatch", "handle_qmp_command")
        for n in view.all_names[qmp.position :]
    )
    loaded = any(n in ("qemu_init", "main", "qmp_x_exit_preconfig", "configure_accelerators") for n in view.all_names)
    if not dispatched and loaded and qmp.command == "x-exit-preconfig":
        return None  # start-up calls it itself: system/vl.c qemu_init
    if dispatched or any(n in _MACHINERY for n in view.all_names):
        return qmp
    complete = view.all_names[-1] in ("start_thread", "clone", "clone3", "_start", "main", "coroutine_trampoline")
    return None if complete else qmp  # else QEMU's own call of a QMP function


def _called_by_qemu(view: View, position: int) -> bool:
    """Whether QEMU's own code calls a qmp_* function for itself: no command came over QMP (qdev_device_help...)."""
    caller = next((n for n in view.all_names[position + 1 : position + 2] if n), "")
    return bool(caller) and caller not in _MACHINERY and not _carries(caller) and is_qemu_function(caller)


def _carries(name: str) -> bool:
    return name.startswith(("hmp_", "aio_", "monitor_", "coroutine_", "qemu_coroutine")) or name in _HMP


def _hmp_line(line: str, position: int) -> MonitorCall:
    words = line.strip().split(None, 1)
    if not words:
        return MonitorCall("HMP", "", position)
    arguments = words[1][:60] if len(words) > 1 else ""
    return MonitorCall("HMP", words[0], position, arguments)


def _qmp_word(word: str) -> str:
    known = _QMP.get("qmp_" + word)
    return known if known else word.replace("_", "-")


def _subject(view: Optional[View]) -> str:
    if view is None:
        return ""
    for argument in _SUBJECTS:
        text = view.string(None, argument)
        if text and readable(text) and len(text) <= 60:
            return text
    return ""


def _phrase(view: View) -> str:
    found = command(view)
    if found is None:
        if not any(n in _MACHINERY for n in view.names):
            return f"calls {view.outermost}"
        if "qemu_coroutine_yield" in view.inner and view.has("monitor_qmp_dispatcher_co"):
            if view.has("qmp_dispatch"):  # qapi/qmp-dispatch.c, since 5.2: a bottom half runs what is no coroutine_fn
                return "the QMP dispatcher has handed a command to the main loop"
            return "the QMP dispatcher waits for the next command"
        if all(n.startswith("json_") for n in view.names if n in _MACHINERY):
            return "parses JSON"  # of a monitor, of the guest agent, or of a test that talks to one
        return "the monitor handles input"
    return f"runs {found.text}"


def _short(view: View) -> str:
    found = command(view)
    return found.text if found is not None else _phrase(view)


def _event(view: View) -> str:
    name = next((n for n in view.names if n.startswith("qapi_event_send_")), "")
    if name:
        return f"sends the QMP event {re.sub('^qapi_event_send_', '', name).upper()}"
    return "writes monitor output"


ROWS = (
    # qapi/qmp-input-visitor.c, qapi/qmp-output-visitor.c up to 2.8, then qobject-*-visitor.c: no commands
    Row(
        "visitor",
        Names(
            "qmp_output_*",
            "qmp_input_visitor*",
            "qmp_input_push",
            "qmp_input_pop",
            "qmp_input_get*",
            "qmp_input_start_*",
            "qmp_input_end_*",
            "qmp_input_next_*",
            "qmp_input_type_*",
            "qmp_input_optional",
        ),
        "converts QAPI values",
        short="",
        weight=1,
        order=2,
    ),
    # monitor/hmp.c, monitor/qmp.c, block/monitor/block-hmp-cmds.c (10.2); before: monitor.c, hmp.c
    Row(
        "monitor command",
        Names(*_MACHINERY.patterns, *_HMP, "qmp_*", "hmp_*", "do_info_*"),
        _phrase,
        short=_short,
        subsystem="Human Monitor (HMP)",
        weight=9,
        trigger=True,
        order=-1,
        reads=(
            "handle_hmp_command",
            "handle_hmp_command_exec",
            "monitor_command_cb",
            "qmp_human_monitor_command",
            "qmp_blockdev_del",
            "qmp_blockdev_add",
            "qmp_device_add",
            "qmp_device_del",
            "qmp_migrate",
            "qmp_block_job_cancel",
            "qmp_job_cancel",
            "qmp_job_complete",
            "qmp_job_finalize",
            "qmp_job_dismiss",
            "qmp_block_resize",
            "qmp_drive_mirror",
            "qmp_blockdev_mirror",
            "qmp_blockdev_backup",
            "qmp_block_commit",
            "qmp_block_stream",
            "qmp_blockdev_snapshot",
            "qmp_blockdev_snapshot_sync",
            "qmp_object_del",
            "qmp_netdev_del",
            "qmp_chardev_remove",
            "qmp_chardev_add",
            "qmp_blockdev_change_medium",
            "qmp_eject",
            "qmp_set_link",
            "qmp_memsave",
            "qmp_pmemsave",
            "qmp_screendump",
            "qmp_dump_guest_memory",
            "qmp_nbd_server_add",
            "qmp_block_export_add",
            "qmp_block_export_del",
            "qmp_qom_set",
            "qmp_qom_get",
            "qmp_x_blockdev_set_iothread",
            "qmp_block_dirty_bitmap_add",
            "qmp_blockdev_reopen",
        ),
    ),
    # monitor/monitor.c, monitor/qmp.c (10.2); before: monitor.c, qemu-tool.c
    Row(
        "monitor output",
        Names(
            "monitor_puts",
            "monitor_puts_locked",
            "monitor_flush*",
            "monitor_printf",
            "monitor_vprintf",
            "qmp_send_response",
            "monitor_json_emitter",
            "qapi_event_send_*",
            "qapi_event_emit",
            "monitor_qapi_event_*",
            "monitor_unblocked",
        ),
        _event,
        subsystem="Human Monitor (HMP)",
        weight=5,
    ),
)
