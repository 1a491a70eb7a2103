"""Tells each thread's story: its stages from the outside in, with values, and a one-line summary.

For the other rules of ``explain`` (all take a ``Stack`` and answer None where the stack shows nothing of the kind):

- ``guest_access(stack)``: the guest's port or MMIO access that the innermost dispatch on the stack serves
- ``monitor_command(stack)``: the QMP or HMP command that runs on the stack
- ``block_request(stack)``: the innermost block-layer request (type, node, driver, offset, bytes)
- ``drain(stack)``: the outermost drain or nested poll that waits on the stack
- ``job(stack)``: the block job whose code runs
- ``migration_phase(stack)``: the phase of migration that the stack is in
- ``trigger_chain(subject, facts)``: why the thread is here, outside in, as one phrase
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ..model import Facts
from .context import Context, Subject
from .stack import Stack


@dataclass(frozen=True)
class GuestAccess:
    """An access of the guest that QEMU delivers to a device."""

    kind: str  # "port" (PIO), "mmio", "hypercall", "msr"
    first: int = 0  # positions in the stack of the frames that deliver it, inner to outer
    last: int = 0
    write: Optional[bool] = None
    address: Optional[int] = None  # port number or guest-physical address
    virtual: Optional[int] = None  # guest-virtual address, under TCG
    offset: Optional[int] = None  # in the device's memory region
    width: Optional[int] = None  # bytes
    value: Optional[int] = None  # of a write
    register: str = ""  # "virtio-pci legacy: device status"
    handler: str = ""  # the device model's function that serves it
    device: str = ""  # from facts: type and id of the region's owner
    text: str = ""  # "guest 2-byte OUT to port 0xc012 (virtio-pci legacy: device status)"


@dataclass(frozen=True)
class MonitorCall:
    """A monitor command on a stack."""

    protocol: str  # "QMP" or "HMP"
    command: str  # as a user types it: "blockdev-del", "stop"
    position: int  # of the frame that shows it
    arguments: str = ""

    @property
    def text(self) -> str:
        return f'{self.protocol} "{self.command}"'


@dataclass(frozen=True)
class BlockRequest:
    """A request of the block layer on a stack."""

    type: str  # read, write, flush, discard, write-zeroes, ioctl, truncate, block-status, ...
    position: int
    node: str = ""
    driver: str = ""
    offset: Optional[int] = None
    bytes: Optional[int] = None
    text: str = ""


@dataclass(frozen=True)
class Drain:
    """A drain, or another nested poll that waits for block I/O."""

    kind: str  # "drain-all", "drain", "flush", "request" (a synchronous one), "job", "poll"
    position: int  # of the frame that asks for it
    poll: Optional[int] = None  # of aio_poll under it
    text: str = ""


def guest_access(stack: Stack, facts: Optional[Facts] = None) -> Optional[GuestAccess]:
    """The guest access that the innermost device dispatch on the stack serves."""
    return None


def monitor_command(stack: Stack) -> Optional[MonitorCall]:
    """The monitor command that runs on the stack."""
    return None


def block_request(stack: Stack, facts: Optional[Facts] = None) -> Optional[BlockRequest]:
    """The innermost block-layer request on the stack."""
    return None


def drain(stack: Stack) -> Optional[Drain]:
    """The outermost drain or nested poll on the stack."""
    return None


def job(stack: Stack) -> Optional[str]:
    """Type of the block job whose code is on the stack: "mirror", "backup", ..."""
    return None


def migration_phase(stack: Stack) -> Optional[str]:
    """The phase of migration that the stack is in, as a phrase."""
    return None


def trigger_chain(subject: Subject, facts: Optional[Facts] = None) -> str:
    """Why the thread is where it is, outside in, as one phrase; "" where the stack does not show it."""
    return ""


def tell(context: Context) -> None:
    """Fill stages and summary of every thread."""
