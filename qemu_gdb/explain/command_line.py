"""Values of a QEMU command line's options, as QEMU's programs take them: -name VALUE, --name VALUE, --name=VALUE."""

from __future__ import annotations

import re
from typing import List

_VALUE = r"(?:'([^']*)'|\"([^\"]*)\"|(\S+))"


def values(command: str, *names: str) -> List[str]:
    """The values of the options called ``names``, in their order and without quotes; also where prose quotes them."""
    found = re.finditer(rf"(?:^|[\s\"'`])--?(?:{'|'.join(names)})(?:=|\s+){_VALUE}", command)
    return [next(filter(None, match.groups()), "").rstrip("'\"`") for match in found]
