"""``record``: the decorator of the classes that are plain data.

It gives what ``dataclasses.dataclass`` gives. Comparison and printed form are the same functions for all of them:
written for each class anew, as dataclass does it, they are more than half of the time that defining it takes, and a
command that has just been typed defines some sixty.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass

__all__ = ["many", "record"]

if typing.TYPE_CHECKING:
    from dataclasses import dataclass as many
    from dataclasses import dataclass as record
else:
    def _values(it):
        return {name: getattr(it, name) for name in type(it).__dataclass_fields__}

    def _equal(it, other):
        return _values(it) == _values(other) if type(it) is type(other) else NotImplemented

    def _written(it):
        return f"{type(it).__name__}({', '.join(f'{name}={value!r}' for name, value in _values(it).items())})"

    def _define(cls, **options):
        made = dataclass(eq=False, repr=False, **options)(cls)
        made.__eq__, made.__hash__, made.__repr__ = _equal, None, _written
        return made

    def record(cls):
        return _define(cls)

    def many(cls):
        """A record of which there may be millions: since Python 3.10 without a dictionary for each."""
        return _define(cls, **({"slots": True} if "slots" in (dataclass.__kwdefaults__ or {}) else {}))
