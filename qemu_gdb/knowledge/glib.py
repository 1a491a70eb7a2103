"""How GLib writes its messages."""

from __future__ import annotations

from ..pattern import Pattern

# "(qemu-system-x86_64:33112): GLib-GObject-CRITICAL **: 09:31:07.515: ...", g_log_writer_format_fields of gmessages.c
_PREFIX = Pattern(r"^(?:\*\* )?(?:\(?[\w.+-]{1,64}:\d{1,10}\)?: )?(?=[\w.-]{0,64}(?:ERROR|CRITICAL|WARNING) \*\*: )")
_TIME = Pattern(r" \*\*: (?:\d\d:\d\d:\d\d(?:\.\d{1,6})?: )?")


def plain(text: str) -> str:
    """A message of GLib's without the process and the time before it."""
    return _TIME.sub(": ", _PREFIX.sub("", text), count=1)
