"""Says in one line where a mistake of this program happened, for its users and authors."""

from __future__ import annotations

import os


def place(error: BaseException) -> str:
    """Type, message and innermost place of an exception that nobody expected."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{where}"
