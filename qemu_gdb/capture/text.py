"""Turns a pasted backtrace into Snapshots, one for each process or dump in the text, for whoever has only text."""

from __future__ import annotations

import gc
import os
import re
from typing import List, Union

from qemu_gdb.capture import clean, reader
from qemu_gdb.capture.assemble import finish
from qemu_gdb.capture.reading import json_reports
from qemu_gdb.model import Notice, Snapshot


class UnreadableText(ValueError):
    """The input is no text that could hold a stack; the message says what was expected and what was found."""


def read(source: Union[bytes, str, os.PathLike[str]]) -> str:
    """The text of ``source``, a file's name or its bytes, in whatever encoding it is.

    :raises UnreadableText: it is empty, an ELF file or otherwise no text
    :raises OSError: the file can't be read
    """
    if isinstance(source, bytes):
        data = source
    else:
        with open(source, "rb") as file:
            data = file.read()
    if not data.strip():
        raise UnreadableText("expected the text of a backtrace, found nothing: the input is empty")
    if data.startswith(b"\x7fELF"):
        kind = data[16:18]
        what = "a core file" if kind in (b"\x04\x00", b"\x00\x04") else "an ELF file"
        raise UnreadableText(f"expected the text of a backtrace, found {what}: open it in gdb instead")
    for magic, name in (
        (b"\x1f\x8b", "gzip"),
        (b"\xfd7zXZ", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"PK\x03\x04", "zip"),
        (b"BZh", "bzip2"),
    ):
        if data.startswith(magic):
            raise UnreadableText(f"expected the text of a backtrace, found {name}-compressed data: unpack it first")
    text = _decode(data)
    sample = text[:65536]
    odd = sum(map(sample.count, _CONTROLS)) + sample.count("\ufffd")
    if odd * 10 > len(sample) and not re.search(r"#\d+ +\S", text[: 1 << 20]):
        raise UnreadableText("expected the text of a backtrace, found binary data")
    return text


_CONTROLS = [chr(c) for c in range(32) if chr(c) not in "\t\n\r\f\b\x1b"] + ["\x7f"]


def _decode(data: bytes) -> str:
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe\x00\x00", "utf-32"),
        (b"\x00\x00\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    sample = data[:4096]
    if len(sample) >= 8:
        if sample[1::2].count(0) * 10 > len(sample) * 4:
            return data.decode("utf-16-le", "replace")
        if sample[0::2].count(0) * 10 > len(sample) * 4:
            return data.decode("utf-16-be", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "replace")
    if text.count("\ufffd") * 20 > len(text):
        return text
    # a few stray bytes: an 8-bit charset in an argument's string
    return text


def parse(text: str) -> List[Snapshot]:
    """One Snapshot for each process or dump in ``text``; never empty.

    Where nothing is found, one Snapshot without threads has every line in ``unparsed``.
    """
    reported, text = json_reports.take(text)
    lines, _ = clean.clean(text)
    del text
    collecting = gc.isenabled()
    gc.disable()  # nothing below makes a cycle, and every pass over millions of new objects costs seconds
    try:
        reading = reader.read(lines)
        snapshots = finish(reported + reading.segments)
    finally:
        if collecting:
            gc.enable()
    if reading.cut:
        snapshots[0].notices.append(
            Notice("notice.shortened", f"{reading.cut} locals of the text were shortened or left out")
        )
    return snapshots
