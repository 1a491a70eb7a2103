"""Adds terminal colours to a page where Pygments is installed; gives it back plain where it is not."""

from __future__ import annotations

MAX_COLOURED = 400_000  # characters; colouring a longer page would take longer than explaining it


def coloured(page: str) -> str:
    """``page`` with terminal escapes, in the colours that gdb itself uses for functions, files and addresses."""
    if len(page) > MAX_COLOURED:
        return page
    try:
        from pygments import highlight
        from pygments.formatters.terminal import TerminalFormatter
        from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String, Token, Whitespace

        from .lexer import BacktraceLexer
    except ImportError:
        return page
    scheme = {
        Token: ("", ""),
        Whitespace: ("", ""),
        Comment: ("gray", "brightblack"),
        Keyword: ("magenta", "brightmagenta"),
        Operator: ("", ""),
        Number: ("", ""),
        Number.Hex: ("blue", "brightblue"),
        String: ("green", "green"),
        Name.Function: ("yellow", "yellow"),
        Name.Variable: ("cyan", "cyan"),
        Generic.Error: ("*red*", "*brightred*"),
        Generic.Strong: ("**", "**"),
        Generic.Heading: ("**", "**"),
    }
    text = highlight(page, BacktraceLexer(stripnl=False, ensurenl=False), TerminalFormatter(colorscheme=scheme))
    return str(text)
