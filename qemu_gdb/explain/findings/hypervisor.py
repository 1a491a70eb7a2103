"""What Apple's Hypervisor.framework answered where a call of QEMU's failed: accel/hvf/hvf-all.c's assert_hvf_ok()."""

from __future__ import annotations

from ...model import Evidence
from ...pattern import Pattern
from ..context import Context
from . import common
from .cause import Cause
from .common import oneline

# "Error: ret = HV_DENIED (0xfae94007, at ../target/arm/hvf/hvf.c:1927)"; "Error: HV_ERROR" up to 8.2
_ANSWER = Pattern(
    r"Error: (?:(?:(?P<call>hv_\w{1,60})\([^\n]{0,80}|\S{1,80}) = )?(?P<name>HV_[A-Z_]+)"
    r"(?: \((?P<code>0x[0-9a-fA-F]+), at (?P<file>[^\s:()]+):(?P<line>\d+)\))?"
)
# Hypervisor.framework's hv_error.h
_MEANS = {
    "HV_BUSY": "The framework was busy with the same VM or vCPU.",
    "HV_BAD_ARGUMENT": "An argument was not one that the framework takes: an address or size that is no multiple of "
    "the host's page, a register that it does not have.",
    "HV_NO_RESOURCES": "The framework had no more resources: memory, or virtual machines (other ones that run count).",
    "HV_NO_DEVICE": "There is no VM or vCPU like that.",
    "HV_DENIED": "The system denies it: the program is not signed with the entitlement "
    "com.apple.security.hypervisor, or its signature was changed since.",
    "HV_UNSUPPORTED": "This host or release of macOS does not have what was asked for.",
    "HV_ILLEGAL_GUEST_STATE": "The guest's state is none that the framework can run.",
}


def tell(context: Context, cause: Cause, whose: str) -> None:
    """Tell the answer from the line that QEMU wrote before it aborted, where the text has it."""
    answers = (_ANSWER.search(line) for line in context.said if "HV_" in line)
    found = next((answer for answer in answers if answer), None)
    if found is None:
        cause.sentences.append(
            f"{whose} made a call whose error QEMU does not expect; the code is in the line that assert_hvf_ok printed."
        )
        return
    name, call = found.group("name"), found.group("call")
    spot = common.location(found.group("file"), int(found.group("line"))) if found.group("file") else ""
    cause.headline += f": {name}" + (f", {spot}" if spot else "")
    code = f" ({found.group('code')})" if found.group("code") else ""
    what = f"{call}()" if call else "The call"
    cause.sentences.append(f"{what}{f' at {spot}' if spot else f' of {whose}'} was answered {name}{code}.")
    if name in _MEANS:
        cause.sentences.append(_MEANS[name])
    if name == "HV_DENIED":
        cause.steps.append("codesign -d --entitlements - PROGRAM: is com.apple.security.hypervisor there?")
    cause.proof.append(Evidence(text=oneline(found.string)))
