"""A storage daemon that opens the file which it serves itself by FUSE: it waits for its own answer."""

from __future__ import annotations

from typing import List, Optional

from ...model import Evidence, Finding
from ..command_line import values
from ..complaint import prose
from ..context import Context, Subject
from .common import at, evidence, finding, who
from .links import holding, lead, victims_text

# storage-daemon/qemu-storage-daemon.c: --export [type=]fuse,id=ID,node-name=NODE,mountpoint=FILE
_FUSE = ("type=fuse,", "fuse,")
_PATHS = ("file", "path", "pathname", "filename", "name", "__path", "__file")


def own_export(
    context: Context, last: Subject, victims: List[Subject], call: str, position: int
) -> Optional[Finding]:
    """block/export/fuse.c (6.0 and later): the export's requests are served by the node's own thread."""
    stack = last.stack
    paths = (stack.arg_string(n, *_PATHS) for n in range(min(position + 2, len(stack))))
    path = next((p for p in paths if p and p.startswith("/")), None)
    if path is None or last.told.role not in ("main-loop", "tool-main"):
        return None
    texts = (context.snapshot.command_line or "", prose(context.snapshot))
    for export in (value for text in texts for value in values(text, "export") if value.startswith(_FUSE)):
        options = export.split(",")
        if f"mountpoint={path}" not in options or any(option.startswith("iothread=") for option in options):
            continue
        return finding(
            "hang.deadlock",
            f"{call}() of the file that the process serves itself by FUSE: it waits for its own answer",
            "likely",
            [
                lead(context, last),
                f"{who(last)} is in {call}() for \"{path}\", called by {at(stack, position)}. That is the mountpoint "
                "of the process's own FUSE export: the kernel sends the request to this process, and this very thread "
                "has to serve it.",
                holding(last),
                victims_text(victims),
            ],
            subjects=[last, *victims],
            proof=[evidence(last, 0, f"in {call}()"), Evidence(text=f"--export {export}")],
            steps=[
                "abort the mount on the host: echo 1 > /sys/fs/fuse/connections/N/abort (N: the device number of the "
                "mount in /proc/self/mountinfo, behind the colon), or fusermount3 -u -z",
                "open the exported image before the export hides it, or mount the export at another path",
            ],
            rule="own-fuse-export",
        )
    return None
