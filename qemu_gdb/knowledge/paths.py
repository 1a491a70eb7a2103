"""Since which release a source file's path is as it is: what a frame tells of QEMU's version."""

from __future__ import annotations

from typing import Optional, Tuple

from ..pattern import Pattern

# Newest first: the path, and the last release that had none like it. system/ was softmmu/ to 8.1 (7.2 and 10.0 have one
# each), softmmu/ and util/fdmon-* came with 5.0 (5.2 has both), monitor/ with 4.1. A path that begins with ../ tells
# nothing: old builds in a folder of their own have such, too.
_PATHS: Tuple[Tuple[Pattern, str], ...] = (
    (Pattern(r"(?:^|/)system/(?:main|vl|cpus|physmem|memory|runstate|qdev-monitor|qtest)\.c$"), "8.1"),
    (Pattern(r"(?:^|/)(?:softmmu/(?:main|vl|cpus|physmem|memory)|util/fdmon-\w+)\.c$"), "4.2"),
    (Pattern(r"(?:^|/)monitor/(?:qmp|hmp|misc|monitor|hmp-cmds|qmp-cmds)\.c$"), "4.0"),
)  # fmt: skip


def after(file: Optional[str]) -> Optional[str]:
    """The last release that had no such path, None where the path does not tell."""
    if not file:
        return None
    return next((release for path, release in _PATHS if path.search(file)), None)
