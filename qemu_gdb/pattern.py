"""Regular expressions that are compiled when first used: a text needs few of the many that its dialects know."""

from __future__ import annotations

import re
from typing import Any, Callable, Iterator, List, Optional, Union


class Pattern:
    """What ``re.compile`` returns, a little later."""

    match: Callable[..., Optional[re.Match[str]]]
    search: Callable[..., Optional[re.Match[str]]]
    finditer: Callable[..., Iterator[re.Match[str]]]
    findall: Callable[..., List[Any]]
    sub: Callable[..., str]

    def __init__(self, text: str, flags: Union[int, re.RegexFlag] = 0) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        # reached only until the methods below stand in the instance
        if name.startswith("__"):
            raise AttributeError(name)
        compiled = re.compile(self._text, self._flags)
        self.match, self.search, self.sub = compiled.match, compiled.search, compiled.sub
        self.finditer, self.findall = compiled.finditer, compiled.findall
        return getattr(compiled, name)
