"""Colours backtraces and this program's pages: a Pygments lexer, also for ``pygmentize -l qemu-backtrace``."""

from __future__ import annotations

from pygments.lexer import RegexLexer, bygroups
from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String, Text, Whitespace

_NAME = r"[A-Za-z_~][\w.:~@$]*"


class BacktraceLexer(RegexLexer):  # type: ignore[misc]
    """gdb backtraces of QEMU, pages of qemu-explain, and both mixed."""

    name = "QEMU backtrace"
    aliases = ["qemu-backtrace"]
    filenames = ["*.backtrace", "*.bt"]
    mimetypes = ["text/x-qemu-backtrace"]
    url = "https://www.qemu.org/docs/master/devel/"

    tokens = {
        "root": [
            (r"^(CRASH|HANG|RULE)(  )", bygroups(Generic.Error, Whitespace), "title"),
            (r"^(STATE|NOTICE)(  )", bygroups(Generic.Strong, Whitespace), "title"),
            (r"^(Threads|Coroutines|Locks|Requests|vCPUs)\b", Generic.Heading),
            (r"^( +)(Next|Known|Seen|Rule|Holds|Waits for|Look at|Signal)(:)",
             bygroups(Whitespace, Generic.Strong, Operator)),
            (r"^(Thread )(\d+)(?= )", bygroups(Generic.Heading, Generic.Heading)),
            (r"^([ >]*)(#\d+)( +)", bygroups(Operator, Number, Whitespace), "frame"),
            (r"^([ ]+)(\d[\d,\u2026-]*\*?)(  +)", bygroups(Whitespace, Number, Whitespace), "row"),
            (r"\n", Whitespace),
            (r"[^\n]+", Text),
        ],
        "title": [
            (r"\n", Whitespace, "#pop"),
            (r"  (certain|likely|possible)(?=\n)", Comment),
            (r"[^\n ]+", Generic.Strong),
            (r" +(?!certain\n|likely\n|possible\n)", Whitespace),
            (r" ", Whitespace),
        ],
        "row": [
            (r"\n", Whitespace, "#pop"),
            (r"  (idle|running-guest|stopped|earlier)(?=  |\n)", Comment),
            (r"  (waiting-[a-z-]+|blocked-syscall|draining|nested-poll)(?=  |\n)", Keyword),
            (r"  (crashed|aborting)(?=  |\n)", Generic.Error),
            (r"[^\n ]+", Text),
            (r" ", Whitespace),
        ],
        "frame": [
            (r"\n", Whitespace, "#pop"),
            (r"(0x[0-9a-fA-F]+)( in )", bygroups(Number.Hex, Keyword)),
            (r"(at|from)( )([^\s:]+)(:\d+)?", bygroups(Keyword, Whitespace, String, Number)),
            (r"<signal handler called>", Keyword),
            (rf"({_NAME})(=)", bygroups(Name.Variable, Operator)),
            (rf"({_NAME})(?= *\()", Name.Function),
            (rf"({_NAME})(?=  |\n)", Name.Function),
            (r"([\w./+-]+\.\w+)(:\d+)", bygroups(String, Number)),
            (r"0x[0-9a-fA-F]+", Number.Hex),
            (r'"[^"\n]*"', String),
            (r"\[[^\]\n]*\]$", Comment),
            (r"[^\s(=,)\"\[]+", Text),
            (r"[^\n]", Text),
        ],
    }
