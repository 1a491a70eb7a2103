"""What a pasted text tells of the process itself: program, version, command line, accelerator."""

from __future__ import annotations

import re
from collections import Counter
from typing import List, Optional, Tuple

from qemu_gdb.capture.versions import Versions
from qemu_gdb.model import Snapshot
from qemu_gdb.pattern import Pattern

_VERSION_IN_PATH = Pattern(
    r"/?\bqemu(?:-kvm)?(?:-rhev|-ev)?-(?P<version>\d{1,2}\.\d{1,3}(?:\.\d{1,3}){0,2}(?:-rc\d)?)(?P<rest>[+~:-]"
    r"[\w.+~:-]*)?"
)
_COMMAND = Pattern(
    r"(?:^|[\s`'\"=»„“‘])(?P<command>(?:[\w~./\\:-]*[/\\])?"
    r"(?P<program>qemu-(?:system-\w+|kvm|img|io|nbd|ga|storage-daemon"
    r"|[a-z0-9_]+))(?:\.exe)?['\"]?(?P<arguments>(?:\s.*)?))$"
)
_COMMAND_BARE = Pattern(r"(?P<command>(?:[\w~./-]*/)?(?P<program>qemu|kvm)(?P<arguments>\s+-.*))$")
_STARTING = Pattern(
    r"(?:Starting program:|[Cc]ommand ?line:|Run till exit|\bRunning:)\s*[`'\"]?(?P<command>\S.*?)[`]?\s*$"
)
_OF_A_DEVICE = Pattern(r"(?:-(?:device|global|object|usbdevice)|\bdevice_add)[ =]['\"]?$")  # its value is no program
_GOES_ON = Pattern(r"(?:\\|\s--?[a-z][\w-]*|,)\s*$")  # a command line that a mailer or a shell broke after an option
_NO_ARGUMENT = Pattern(r"==|[A-Z\[#(>*{]|0x|\d+:|$")
_ACCELERATOR = Pattern(r"(?:-accel[ =]|[,\s]accel=|-machine accel=)(?P<name>[a-z]+)(?P<more>:[a-z:]+)?")
_PROGRAM_NAME = Pattern(
    r"(?:lt-)?(?:qemu-(?:system-[\w]+|kvm|img|io|nbd|ga|storage-daemon|[a-z0-9_]+)|qemu|kvm|test-[\w-]+)$"
)
_ASSERT_PROGRAM = Pattern(r"^\s*(?P<program>[\w./+-]+): (?:[^\s:]+:\d+: |error|warning|fatal|\S)")


def identify(snapshot: Snapshot) -> None:
    """Program, version, command line and accelerator, from whatever tells them."""
    paths: Counter[Tuple[str, str]] = Counter()
    for thread in snapshot.threads[:400]:
        for frame in thread.frames[:200]:
            for place in (frame.file, frame.library):
                if place and "qemu" in place:
                    match = _VERSION_IN_PATH.search(place)
                    if match is not None:
                        rest = (match.group("rest") or "").rstrip("-.")
                        paths[(match.group("version"), rest)] += 1
    if paths:
        (version, rest), _ = paths.most_common(1)[0]
        snapshot.version = version
        if rest and not re.match(r"-[a-z_]+$", rest):
            snapshot.package = version + rest
    lines = (
        snapshot.unparsed
        if len(snapshot.unparsed) < 20_000
        else snapshot.unparsed[:10_000] + snapshot.unparsed[-10_000:]
    )
    said = Versions()
    for index, line in enumerate(lines):
        if "qemu" not in line and "QEMU" not in line and "Qemu" not in line and "kvm" not in line:
            if "-g" in line and "git" in line:
                said.take(line[:4000])
            continue
        line = line[:4000]
        said.take(line)
        if snapshot.command_line is None:
            _command(snapshot, lines, index)
    for thread in snapshot.threads[:400]:  # a line right above a stack is its heading
        if thread.heading and ("qemu" in thread.heading or "QEMU" in thread.heading):
            said.take(thread.heading[:4000])
    if snapshot.version is not None:
        snapshot.package = snapshot.package or said.package_of(snapshot.version)
    else:
        snapshot.version, snapshot.package = said.agreed() or (None, None)
    _program(snapshot)
    if snapshot.command_line is not None:
        snapshot.accelerator = _accelerator(snapshot.command_line)


def _command(snapshot: Snapshot, lines: List[str], index: int) -> None:
    """Take the command line that begins in ``lines[index]``, if one does."""
    line = lines[index].strip()[:100_000]
    match = _STARTING.search(line)
    command = match.group("command") if match is not None else line.lstrip("$#%> ")
    found = _COMMAND.search(command) or _COMMAND_BARE.match(command)
    if found is None or _OF_A_DEVICE.search(command[: found.start("command")]):
        return
    text = found.group("command").strip()
    for below in lines[index + 1 : index + 40]:
        below = below.strip()[:10_000]
        if (
            _NO_ARGUMENT.match(below)
            or not (below.startswith("-") and not below.startswith(("->", "---")))
            and not _GOES_ON.search(text)
        ):
            break
        text = f"{text.rstrip(chr(92)).rstrip()} {below}"
    arguments = text[len(found.group("command").strip()) - len(found.group("arguments").strip()) :].strip()
    if match is None and not re.match(r"['\"]?-", arguments):
        return
    snapshot.command_line = text.rstrip("`\\.«“”’").strip()
    if snapshot.program is None:
        snapshot.program = found.group("program")


def _program(snapshot: Snapshot) -> None:
    if snapshot.program is not None:
        snapshot.program = snapshot.program.strip("`'\"")
        if snapshot.program.endswith(".exe"):
            snapshot.program = snapshot.program[:-4]
    full = snapshot.program if snapshot.program and len(snapshot.program) != 15 else None
    if full is not None:
        return
    candidates: List[str] = []
    if snapshot.command_line:
        word = re.split(r"[\\/]", snapshot.command_line.split(" ")[0])[-1]
        candidates.append(word)
    for message in snapshot.messages:
        if message.kind in ("kernel-fault", "oom-kill", "told-to-end", "seccomp") and message.function:
            candidates.append(message.function)
        match = _ASSERT_PROGRAM.match(message.text)
        if match is not None and match.group("program") != "qemu":
            candidates.append(match.group("program").rsplit("/", 1)[-1])
    for thread in snapshot.threads[:400]:
        for frame in thread.frames[:100]:
            if frame.library and frame.kind != "kernel":
                word = re.split(r"[\\/]", frame.library)[-1]
                if ".so" not in word and ".dylib" not in word:
                    candidates.append(word)
    candidates.extend(t.name for t in snapshot.threads if t.name)
    for word in candidates:
        word = word[:-4] if word.endswith(".exe") else word
        if _PROGRAM_NAME.match(word) and (snapshot.program is None or word.startswith(snapshot.program)):
            if len(word) == 15 and word.startswith("qemu-system-x86"):
                snapshot.program = snapshot.program or word
                continue
            snapshot.program = word
            return


def _accelerator(command_line: str) -> Optional[str]:
    found: List[str] = []
    for match in _ACCELERATOR.finditer(command_line[:100_000]):
        if match.group("name") != "qtest":
            found.append(match.group("name") + (match.group("more") or ""))
    if re.search(r"(?:^|\s)--?enable-kvm\b", command_line):
        found.append("kvm")
    names = set(found)
    if len(names) == 1:
        name = names.pop()
        return name if ":" not in name else None
    return None
