# ruff: noqa: E501, E101, W191  (pasted lines are as long as they are)
"""Stacks survive what mail, the web and terminals do to them, and no text breaks the reader."""

import base64
import html
import json
import quopri
import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qemu_gdb.capture import text
from qemu_gdb.model import Snapshot, from_plain, to_plain

STACK = """\
Thread 2 (Thread 0x7f2a1b7fe6c0 (LWP 40123) "CPU 1/KVM"):
#0  0x00007f2a1d0bb3f9 in __futex_abstimed_wait_common64 (private=0, cancel=true, abstime=0x0, op=393, expected=0) at ./nptl/futex-internal.c:57
#1  0x000055d0c0ffee10 in qemu_cond_wait_impl (cond=0x55d0c2000010, mutex=0x55d0c1f00020 <bql>, file=0x55d0c1a0aa10 "../system/cpus.c", line=462) at ../util/qemu-thread-posix.c:225
#2  0x000055d0c0dead20 in qemu_wait_io_event (cpu=cpu@entry=0x55d0c3000030) at ../system/cpus.c:462
#3  0x000055d0c0dead30 in kvm_vcpu_thread_fn (arg=arg@entry=0x55d0c3000030) at ../accel/kvm/kvm-accel-ops.c:55
#4  0x000055d0c0ffee20 in qemu_thread_start (args=0x55d0c3000040) at ../util/qemu-thread-posix.c:541
#5  0x00007f2a1d0be044 in start_thread (arg=<optimized out>) at ./nptl/pthread_create.c:442
#6  0x00007f2a1d13e5fc in clone3 () at ../sysdeps/unix/sysv/linux/x86_64/clone3.S:81

Thread 1 (Thread 0x7f2a1c0ea940 (LWP 40100) "qemu-system-x86"):
#0  0x00007f2a1d131066 in __ppoll (fds=0x55d0c3000050, nfds=7, timeout=<optimized out>, timeout@entry=0x7ffd5a3b1230, sigmask=sigmask@entry=0x0) at ../sysdeps/unix/sysv/linux/ppoll.c:42
#1  0x000055d0c0ff0010 in qemu_poll_ns (fds=<optimized out>, nfds=<optimized out>, timeout=timeout@entry=1000000000) at ../util/qemu-timer.c:351
#2  0x000055d0c0ff0020 in os_host_main_loop_wait (timeout=1000000000) at ../util/main-loop.c:310
#3  0x000055d0c0dea030 in qemu_main_loop () at ../system/runstate.c:840
#4  0x000055d0c0dea040 in main (argc=<optimized out>, argv=0x7ffd5a3b1470) at ../system/main.c:48
"""
WANTED = [
    (2, 40123, ["__futex_abstimed_wait_common64", "qemu_cond_wait_impl", "qemu_wait_io_event", "kvm_vcpu_thread_fn", "qemu_thread_start", "start_thread", "clone3"]),
    (1, 40100, ["__ppoll", "qemu_poll_ns", "os_host_main_loop_wait", "qemu_main_loop", "main"]),
]


def shape(source):
    (snapshot,) = text.parse(source)
    return [(t.number, t.lwp, [f.function for f in t.frames]) for t in snapshot.threads]


def places(source):
    (snapshot,) = text.parse(source)
    return [(f.file, f.line) for t in snapshot.threads for f in t.frames]


def each_line(change):
    return "".join(change(line) + "\n" for line in STACK.splitlines())


def wrap(width, indent="", keep=False):
    def change(line):
        if keep and not line.startswith("#"):
            return line
        return "\n".join(textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)) or line

    return each_line(change)


def hard(width):
    return each_line(lambda line: "\n".join(line[i : i + width] for i in range(0, len(line), width)))


def archive():
    return "".join(f">\n{line}\n" for line in wrap(72).splitlines())


DAMAGE = {
    "none": STACK,
    "quoted": each_line(lambda line: "> " + line),
    "quoted thrice": each_line(lambda line: ">>> " + line),
    "quoted with blanks between": each_line(lambda line: "> > " + line),
    "quoted with bars": each_line(lambda line: "| " + line),
    "indented": each_line(lambda line: "\t    " + line),
    "wrapped at 72": wrap(72),
    "wrapped at 60 with indent": wrap(60, "    "),
    "wrapped and quoted": "".join(f"> {line}\n" for line in wrap(70).splitlines()),
    "terminal of 80 columns": hard(80),
    "terminal of 100 columns": hard(100),
    "quoted-printable": quopri.encodestring(STACK.encode()).decode(),
    "wrapped, then quoted-printable": quopri.encodestring(wrap(75).encode()).decode(),
    "html entities": STACK.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;").replace("'", "&#39;"),
    "html line breaks": "<pre>" + STACK.replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>\n") + "</pre>",
    "tags eaten": STACK.replace("<optimized out>", "").replace(" <bql>", " "),
    "fences": "```gdb\n" + STACK + "```\n",
    "backslashes at line ends": each_line(lambda line: line + "\\"),
    "underscores escaped": STACK.replace("_", "\\_"),
    "carriage returns": STACK.replace("\n", "\r\n"),
    "blank line after each": STACK.replace("\n", "\n\n"),
    "one line": STACK.replace("\n", " "),
    "colours": each_line(lambda line: line.replace(" in ", " in \x1b[33m", 1).replace(" (", "\x1b[m (", 1)),
    "no-break spaces": STACK.replace("  ", "\u00a0 "),
    "zero width": STACK.replace("qemu_", "qemu\u200b_"),
    "addresses@hidden": STACK.replace("cpu=cpu@entry=0x55d0c3000030", "address@hidden").replace("arg=arg@entry=0x55d0c3000030", "address@hidden"),
    "pager": STACK.replace("\n#3", "\n--Type <RET> for more, q to quit, c to continue without paging--c\n#3"),
    "pager of old gdb": STACK.replace("\n#3", "\n---Type <return> to continue, or q <return> to quit---\n#3"),
    "dots stuffed": STACK.replace(".c:", "..c:"),
    "syslog": each_line(lambda line: "Jan 12 03:04:05 host qemu[77]: " + line),
    "bold bullets": each_line(lambda line: "* " + line if line.startswith("#") else line),
    "source lines": STACK.replace("\n#3", "\n462\t        qemu_cond_wait(cpu->halt_cond, &bql);\n#3"),
    "web archive": archive(),
    "timestamps": each_line(lambda line: "2026-03-04 05:06:07,089 INFO  gdb: " + line),
    "a chat": each_line(lambda line: "[05:06:07] <bob> " + line),
    "a container's log": each_line(lambda line: "2026-03-04T05:06:07.089Z stdout F " + line),
    "lines numbered": "".join(f"{n:6}\t{line}\n" for n, line in enumerate(STACK.splitlines(), 1)),
    "grep": "".join(f"bt.txt:{n}:{line}\n" for n, line in enumerate(STACK.splitlines(), 1)),
    "diff": each_line(lambda line: "+" + line),
    "a table's cells": "".join(f"<tr><td>{n}</td><td>{html.escape(line)}</td></tr>\n" for n, line in enumerate(STACK.splitlines())),
    "colours without their escape": each_line(lambda line: "[1m" + line.replace(" in ", " in [33m", 1) + "[0m"),
    "JSON": json.dumps({"crash": {"host": "a", "trace": STACK}}),
    "JSON in JSON": json.dumps({"log": json.dumps({"trace": STACK})}),
    "JSON lists": json.dumps({"trace": STACK.splitlines()}, indent=2),
    "JSON list in a line": json.dumps({"trace": STACK.splitlines()}),
    "JSON lines": each_line(lambda line: json.dumps({"t": 12, "line": line})),
    "a Python string": repr(STACK),
    "base64": "Content-Type: text/plain\nContent-Transfer-Encoding: base64\nMIME-Version: 1.0\n\n" + base64.encodebytes(STACK.encode()).decode(),
    "line separators": STACK.replace("\n", "\u2028"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_changes_no_thread_and_no_function(name):
    assert shape(DAMAGE[name]) == WANTED


@pytest.mark.parametrize("name", [n for n in DAMAGE if n not in ("zero width",)])
def test_damage_changes_no_file_and_no_line(name):
    assert places(DAMAGE[name]) == places(STACK)


@pytest.mark.parametrize("name", ["terminal of 80 columns", "quoted-printable", "wrapped at 72", "web archive"])
def test_damage_changes_no_argument(name):
    def arguments(source):
        (snapshot,) = text.parse(source)
        return [f.args for t in snapshot.threads for f in t.frames]

    assert arguments(DAMAGE[name]) == arguments(STACK)


@pytest.mark.parametrize("cut", range(1, len(STACK), 37))
def test_a_cut_text_keeps_what_is_there_and_says_that_it_is_cut(cut):
    (snapshot,) = text.parse(STACK[:cut])
    for thread, (number, _, functions) in zip(snapshot.threads, WANTED):
        assert thread.number == number
        found = [f.function for f in thread.frames]
        assert found[:-1] == functions[: len(found) - 1]
        assert functions[len(found) - 1].startswith(found[-1] or "")
    # the dump's last stack is whole only if it reaches its outermost frame
    if snapshot.threads and not {f.function for f in snapshot.threads[-1].frames} & {"start_thread", "main"}:
        assert snapshot.threads[-1].truncated_bottom
        assert [n.kind for n in snapshot.notices] == ["notice.truncated"]


def test_numbered_issues_and_steps_are_no_log_of_frames():
    (snapshot,) = text.parse("Fixes:\nBug #1 aio_poll (hangs)\nBug #2 bdrv_drain (asserts)\nBug #3 main loop (slow)\n")
    assert snapshot.threads == [] and len(snapshot.unparsed) == 4


def test_the_command_that_a_mailer_broke_is_whole():
    (snapshot,) = text.parse("Core was generated by `/usr/bin/qemu-system-x86_64 -machine\nq35,accel=kvm -m 4G'.\n" + STACK)
    assert snapshot.command_line == "/usr/bin/qemu-system-x86_64 -machine q35,accel=kvm -m 4G"
    assert snapshot.accelerator == "kvm"


def test_a_text_that_begins_at_frame_4_says_so():
    (snapshot,) = text.parse("#4  0x1 in aio_poll (ctx=0x2, blocking=true) at ../util/aio-posix.c:737\n#5  0x2 in main () at m.c:1\n")
    (thread,) = snapshot.threads
    assert thread.truncated_top and not thread.truncated_bottom
    assert snapshot.notices[0].kind == "notice.truncated"
    assert "#4" in snapshot.notices[0].text


def test_what_is_no_stack_is_kept_as_it_is():
    (snapshot,) = text.parse("Dear list,\n\nissue #4711 is\n  still there: #1 of my list.\n")
    assert snapshot.threads == []
    assert snapshot.unparsed == ["Dear list,", "issue #4711 is", "  still there: #1 of my list."]


@pytest.mark.parametrize("source", ["", "\n", " \t ", "\x00", "#", "#0", "Thread", "Thread 1", "(gdb)", "==1==", "=>", "frame #0:", "0 0x"])
def test_scraps(source):
    assert len(text.parse(source)) == 1


@pytest.mark.parametrize(
    "data, wanted",
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x04\x00" + bytes(99), "a core file"),
        (b"\x1f\x8b\x08" + bytes(range(99)), "gzip"),
        (bytes(range(1, 32)) * 9, "binary data"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(data, wanted):
    with pytest.raises(text.UnreadableText) as error:
        text.read(data)
    assert wanted in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_encodings(encoding):
    assert shape(text.read(STACK.encode(encoding))) == WANTED


def test_a_file_is_read_by_its_name(tmp_path):
    path = tmp_path / "bt.txt"
    path.write_bytes(STACK.encode() + b"\xff\xfe caf\xe9\n")
    assert shape(text.read(path))[:2] == WANTED


def test_a_hundred_thousand_threads_and_long_lines():
    count = 100_000
    source = "".join(f"Thread {n} (LWP {n}):\n#0  poll () at a.c:1\n#1  main () at b.c:2\n" for n in range(count, 0, -1))
    (snapshot,) = text.parse(source)
    assert len(snapshot.threads) == count
    line = "#0  0x1 in f (s=0x2 \"" + "(\\\"" * 400_000 + "\", n=7) at a.c:1\n"
    (snapshot,) = text.parse(line)
    assert snapshot.threads[0].frames[0].args["n"] == "7"


# --------------------------------------------------------------------------------------------------------------

LINES = st.sampled_from(
    STACK.splitlines()
    + [
        "", "> ", "#3", "#7  0x", "#1  f (a=", "    at ", "at x.c:1", "from /lib/x.so", '"', "(gdb) bt", "(gdb) thread 3", "[Switching to thread 2 (LWP 5)]",
        "Thread 0x7f (LWP 1):", "* thread #1, name = 'x', stop reason = signal SIGSEGV", "  * frame #0: 0x1 a`b(c=1) at d.c:1:2", "==12==    at 0x1: f (a.c:1)",
        "0   mod   0x0000000109cd26d2 f + 178 (a.c:2)", "=>0 0x7b83ba1e f+0x1e() in k (0x04)", "    #0 0x5593 in f a.c:1:2", "freed by thread T0 here:",
        "Stack trace of thread 3:", "goroutine 1 [running]:", "Call Trace:", "Backtrace stopped: x", "[Inferior 1 (process 3) detached]", "=3D=\n", "&lt;&#39;<br>",
        "Core was generated by `qemu'.", "Program terminated with signal SIGBUS, Bus error.", "q: a.c:1: f: Assertion `x' failed.", "        x = {a = 1,", "          b = 2}",
        "==== src ====:", "frame={level=\"0\",func=\"f\"}", "  2    Thread 0x1 (LWP 4) \"x\" f (", "00 0000000000000000 0000000000000000 a!b+0x1 [c @ 2]",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(LINES, st.text(max_size=60)), max_size=40).map("\n".join))
def test_any_text_is_read_and_survives_its_json(source):
    snapshots = text.parse(source)
    assert snapshots
    for snapshot in snapshots:
        assert all(thread.frames for thread in snapshot.threads)
        assert from_plain(Snapshot, to_plain(snapshot)) == snapshot


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data):
    try:
        source = text.read(data)
    except text.UnreadableText:
        return
    assert text.parse(source)


@settings(max_examples=60, deadline=None)
@given(st.integers(50, 120), st.booleans(), st.booleans())
def test_functions_survive_any_wrapping_quoting_and_encoding(width, quote, encode):
    source = wrap(width, keep=True)
    if quote:
        source = "".join(f"> {line}\n" for line in source.splitlines())
    if encode:
        source = quopri.encodestring(source.encode()).decode()
    assert shape(source) == WANTED


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z_][a-z0-9_]{0,30}", fullmatch=True),
            st.dictionaries(
                st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
                st.one_of(
                    st.integers(0, 2**48).map(hex),
                    st.sampled_from(["<optimized out>", "...", "0x5 <f+3>", "97 'a'", "{a = 1, b = {c = 2}}", "true", '0x1 "a, b) at c.c:1"', '0x1 "\\")\\""', '0x2 "x"...']),
                ),
                max_size=5,
            ),
            st.sampled_from([" at ../a/b.c:12", " from /lib64/libx.so.1", ""]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_rendered_frames_are_read_back(frames):
    source = "".join(
        f"#{n:<2} 0x{n + 1:016x} in {name} ({', '.join(f'{k}={v}' for k, v in args.items())}){place}\n"
        for n, (name, args, place) in enumerate(frames)
    )
    (snapshot,) = text.parse(source)
    (thread,) = snapshot.threads
    assert [(f.function, f.args) for f in thread.frames] == [(name, args) for name, args, _ in frames]
