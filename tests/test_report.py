"""Reports for QEMU's issue tracker: what they hold, what they keep private, that they are safe and well formed."""

from __future__ import annotations

import html.parser
import json
import pathlib
import re
import shutil
import subprocess
import sys

import machine
import pytest

from qemu_gdb import cli, model
from qemu_gdb.explain import explain
from qemu_gdb.render import graph, report
from qemu_gdb.render.redact import Redactor, source_file

STORIES = machine.ROOT / "fixtures" / "stories"
TEMPLATE = ("## Host environment", "## Emulated/Virtualized environment", "## Description of problem",
            "## Steps to reproduce", "## Additional information")
SECRETS = ("alice", "customer42", "550e8400", "build7", "10.1.2.3", "52:54:00:12:34:56", "hunter2", "vault.corp",
           "fe80::5054", "S3RIAL", "token=abc", "GUEST BYTES", "0x7f4ff00039f0", "0x55d5aabbccdd")
COMMAND = ("/home/alice/qemu/build/qemu-system-x86_64 -name guest=customer42,debug-threads=on"
           " -uuid 550e8400-e29b-41d4-a716-446655440000 -m 4G -smp 2 -accel kvm"
           " -drive file=/home/alice/vm/disk.qcow2,if=virtio,serial=S3RIAL -blockdev"
           " '{\"driver\": \"nbd\", \"node-name\": \"n0\", \"server\": {\"type\": \"inet\", \"host\": \"vault.corp\","
           " \"port\": \"10809\"}}' -device virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56 -object"
           " secret,id=sec0,data=hunter2 -chardev socket,id=c0,host=build7,port=99 -incoming tcp:10.1.2.3:4444"
           " -append 'root=/dev/vda1 token=abc'")


def private():
    """A made-up process that has something private everywhere."""
    frame = model.Frame
    frames = [
        frame(0, "__poll", "/build/glibc-x/poll.c", 29, pc=0x7F4FF00039F0),
        frame(1, "nbd_co_receive", "/home/alice/qemu/block/nbd.c", 12,
              args={"buf": '0x7f4ff00039f0 "GUEST BYTES\\001"...', "opaque": "0x55d5aabbccdd <bql>", "len": "512"},
              locals={"host": '0x7f4ff00039f0 "build7"', "data": "{1, 2, 3, 4, 5, 6, 7, 8}"}),
        frame(2, "main_loop_wait", "../util/main-loop.c", 310, args={"nonblocking": "0"}),
        frame(3, "main", "../system/main.c", 80),
    ]
    snapshot = model.Snapshot(
        model.Source("core", 12, "/home/alice/core"), "qemu-system-x86_64", "10.0.2", command_line=COMMAND,
        threads=[model.Thread(frames, number=1, lwp=11, current=True)],
        messages=[model.Message("qemu-error", "qemu-system-x86_64: -drive file=/home/alice/vm/disk.qcow2: cannot reach"
                                " build7 at 10.1.2.3 (fe80::5054:ff:fe12:3456), password: hunter2")])
    snapshot.facts.nodes = [model.BlockNode("n0", "nbd", filename="nbd://vault.corp:10809/disk")]
    told = explain(snapshot)
    told.findings = [model.Finding("hang.waiting-for-peer", "Waits for vault.corp", "likely",
                                   "Thread 1 reads <script>alert(1)</script> from nbd://vault.corp:10809/disk for"
                                   " customer42; coroutine 0x7f4ff00039f0.", [1],
                                   [model.Evidence("polls /home/alice/x.sock", 1, 0)], ["ask build7"])]
    return [told]


def of(path):
    return [explain(s) for s in cli.load(str(path))]


@pytest.fixture(params=[".md", ".html"])
def suffix(request):
    return request.param


def written(explanations, folder, suffix, **options):
    path = folder / f"report{suffix}"
    report.write(str(path), explanations, **options)
    return path.read_text()


def test_report_asks_what_qemus_bug_template_asks(tmp_path):
    text = written(of(STORIES / "story1.txt"), tmp_path, ".md")
    positions = [text.index(heading) for heading in TEMPLATE]
    assert positions == sorted(positions)
    assert "hw_error" in text and "tsc210x_txrx" in text
    assert '/label ~"kind::Bug"' in text


@pytest.mark.parametrize("secret", SECRETS)
def test_report_holds_nothing_private(tmp_path, suffix, secret):
    assert secret.lower() not in written(private(), tmp_path, suffix).lower()


@pytest.mark.parametrize("secret", ["alice", "customer42", "vault.corp", "0x7f4ff00039f0", "GUEST BYTES"])
def test_no_redact_keeps_everything(tmp_path, suffix, secret):
    assert secret in written(private(), tmp_path, suffix, redact=False)


def test_report_keeps_what_developers_need(tmp_path, suffix):
    text = written(private(), tmp_path, suffix)
    for kept in ("nbd_co_receive", "block/nbd.c:12", "util/main-loop.c:310", "len=512", "-m 4G -smp 2 -accel kvm",
                 "if=virtio", "10.0.2", "debug-threads=on"):
        assert kept in text, kept


def test_one_host_has_one_label_everywhere(tmp_path):
    redactor = Redactor()
    (told,) = redactor.explanations(private())
    label = re.search(r"Waits for (<host \d+>)", told.findings[0].title).group(1)
    assert f'"host": "{label}"' in told.snapshot.command_line


def test_explanation_itself_stays_unredacted():
    before = private()
    plain = model.to_plain(before[0])
    Redactor().explanations(before)
    assert model.to_plain(before[0]) == plain


@pytest.mark.parametrize(("text", "kept"), [
    ("bdrv_co_preadv at block/io.c:1234", True), ("scsi-hd on /machine/peripheral/s0", True),
    ("address 0x18", True), ("pattern 0x5a5a5a5a5a5a5a5a", True), ("/dev/kvm is missing", True),
    ("QEMU 10.0.13 (Debian 1:10.0.13+ds-1)", True), ("std::vector::push_back at 12:30:45", True),
    ("https://gitlab.com/qemu-project/qemu/-/issues/736", True), ("ctx=ctx@entry", True), ("NULL + 0x40", True),
    ("listens on 127.0.0.1", True), ("virtio_queue_notify (vdev=0)", True), ("libc.so.6", True),
    ("read of 512 bytes at 4294967296", True), ("null-co's latency-ns", True), ("fault at 0xffffffffffffffff", True),
    ("CPU </KVM>, either/or, /* comment */", True), ("at 0x00000000015c6100", False),
    ("from 192.168.7.3", False), ("mail bob@corp.example", False), ("52:54:00:aa:bb:cc", False),
    ("ssh://me@host/path", False), ("unix:/run/user/1000/x.sock", False), ("in /srv/vm/a.qcow2", False),
    ("exec:ssh backup cat", False), ("tcp:filer:4444", False), ("secret=abcdef", False), ("0x7ffff7a00000", False),
    (r"C:\Users\bob\disk.img", False), ("2001:db8::1", False),
])
def test_private_shapes_are_told_from_technical_ones(text, kept):
    assert (Redactor().text(text) == text) is kept


@pytest.mark.parametrize("text", ["a." * 200000, "a@" * 100000, "exec:" * 50000, "/a" * 200000, "f:" * 100000])
def test_hostile_text_is_cut_before_it_is_searched(text):
    redactor = Redactor()
    assert len(redactor.text(text)) < 200000 and len(redactor.value("buf", text)) < 200000
    redactor.arguments(text)


@pytest.mark.parametrize(("path", "shown"), [
    ("/home/me/qemu-10.0/hw/scsi/virtio-scsi.c", "hw/scsi/virtio-scsi.c"), ("../block/io.c", "block/io.c"),
    ("../../src/qemu-10.0.13+ds/util/main-loop.c", "util/main-loop.c"), ("/home/me/poll.c", "poll.c"),
    ("../sysdeps/unix/sysv/linux/ppoll.c", "sysdeps/unix/sysv/linux/ppoll.c"),
])
def test_source_files_are_named_below_qemus_tree(path, shown):
    assert source_file(path) == shown


def test_identical_idle_threads_are_told_once(tmp_path, suffix):
    worker = [model.Frame(0, "futex_wait"), model.Frame(1, "do_futex_wait"), model.Frame(2, "sem_timedwait"),
              model.Frame(3, "qemu_sem_timedwait", "util/qemu-thread-posix.c", 300),
              model.Frame(4, "worker_thread", "util/thread-pool.c", 91),
              model.Frame(5, "qemu_thread_start", "util/qemu-thread-posix.c", 505)]
    snapshot = model.Snapshot(program="qemu-system-x86_64",
                              threads=[model.Thread(list(worker), number=n) for n in range(3, 60)])
    text = written([explain(snapshot)], tmp_path, suffix)
    assert text.count("worker_thread at util/thread-pool.c:91") == 1
    assert "Threads 3-59: 57 pool workers, idle" in text


class Checker(html.parser.HTMLParser):
    """Notes everything that a page would load or run, and whether its elements nest."""

    VOID = frozenset(("meta", "link", "br", "img", "path", "rect"))

    def __init__(self):
        super().__init__()
        self.outside, self.open, self.tags = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "data", "action") or name.startswith("on") or (
                    name == "href" and tag != "a" and value != "data:,"):
                self.outside.append((tag, name, value))

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def checked(text):
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    return checker


def hang():
    """A made-up hang: five vCPUs wait for the BQL, its holder drains a request that waits for a server."""
    def thread(number, role, state, waits=None, holds=()):
        return model.ThreadExplanation(model.Thread([model.Frame(0, "f")], number=number, lwp=100 + number), role,
                                       state=state, waits_for=waits, holds=list(holds))

    bql = model.WaitsFor("bql", "BQL", 1)
    drain = model.WaitsFor("drain", "bdrv_drain_all")
    threads = [thread(1, "main-loop", "waiting-drain-or-nested-poll", drain, ["BQL"])]
    threads += [thread(n, "vcpu-kvm", "waiting-bql", bql) for n in range(2, 7)]
    coroutine = model.Coroutine(0x1000, [model.Frame(0, "nbd_read_eof")], waits_text="a reply of server <b>&\"x")
    snapshot = model.Snapshot(program="qemu-system-x86_64", threads=[t.thread for t in threads], coroutines=[coroutine])
    snapshot.facts.requests = [model.Request("n0", "nbd", "read", 0, 512, 0x1000, origin="scsi-hd d0")]
    return model.Explanation(snapshot, threads=threads, coroutines=[model.CoroutineExplanation(coroutine)],
                             findings=[model.Finding("hang.drain-waits-for-io", "t", "certain", "e", [1, 2])])


def test_graph_leads_from_waiters_over_lock_and_request_to_the_server():
    sentences = graph.sentences(graph.build(hang()))
    assert [s.split(" → ")[1] for s in sentences] == ["waits for", "held by", "drains", "runs in", "waits for"]
    assert sentences[0] == "Threads 2-6, 5 vCPUs  KVM → waits for → BQL"
    assert sentences[2].endswith("→ read of 512 bytes at 0, n0 (nbd), for scsi-hd d0")
    assert sentences[-1].endswith('a reply of server <b>&"x')


def test_graph_is_drawn_with_escaped_words():
    drawn = graph.svg(graph.build(hang()))
    assert drawn.startswith("<svg") and drawn.endswith("</svg>")
    assert "<b>" not in drawn and "&lt;b&gt;&amp;" in drawn
    checked(drawn)


def test_requests_that_wait_for_the_same_share_a_box():
    told = hang()
    for i in range(1, 5):
        coroutine = model.Coroutine(0x1000 * (i + 1), [model.Frame(0, "qemu_co_sleep")], waits_text="a timer")
        told.coroutines.append(model.CoroutineExplanation(coroutine))
        told.snapshot.facts.requests.append(model.Request("dst", "null-co", "write", i, 65536, coroutine.address))
    texts = [n.text for n in graph.build(told).nodes.values()]
    assert "4 writes of 65536 bytes\ndst (null-co)" in texts and "4 coroutines\nyielded in qemu_co_sleep" in texts
    assert sum("512 bytes" in t for t in texts) == 1


def test_graph_marks_the_circle_of_a_deadlock():
    told = hang()
    told.threads[0].waits_for = model.WaitsFor("mutex", "lock A", 2)
    told.threads[1].holds = ["lock A"]
    drawn = graph.build(told)
    assert {e.label for e in drawn.cycle()} == {"waits for", "held by"}
    assert 'class="edge cycle"' in graph.svg(drawn)


def test_graph_of_thousands_of_waiters_stays_small():
    told = hang()
    told.threads += [model.ThreadExplanation(model.Thread(number=n), "iothread", state="waiting-mutex",
                                             waits_for=model.WaitsFor("mutex", f"lock {n}", None))
                     for n in range(10, 3000)]
    drawn = graph.build(told)
    assert len(drawn.nodes) <= graph.MAX_NODES and drawn.left_out > 0
    assert any("BQL" in n.text for n in drawn.nodes.values())


@pytest.mark.parametrize("story", sorted(STORIES.glob("story?.txt")), ids=lambda p: p.stem)
def test_page_is_whole_and_loads_nothing(story, tmp_path):
    text = written(of(story), tmp_path, ".html")
    checker = checked(text)
    assert checker.outside == [] and "script" not in checker.tags
    assert "details" in checker.tags and "<title>" in text
    assert "@import" not in text and "url(" not in text.replace("url(#", "")


def test_hostile_names_stay_text(tmp_path, suffix):
    bad = '"><script>alert(1)</script><!-- ``` \x1b[31m \u202e'
    told = private()
    told[0].snapshot.threads[0].frames[1].function = bad
    told[0].snapshot.threads[0].name = bad
    told[0].findings[0].title = bad
    text = written(told, tmp_path, suffix, redact=False)
    assert "\x1b" not in text and "\u202e" not in text
    if suffix == ".html":
        assert "script" not in checked(text).tags
    else:
        outside, inside = [], False
        fence = ""
        for line in text.splitlines():
            mark = re.match(r"\s*(`{3,})$", line)
            if mark and (not inside or mark.group(1) == fence):
                inside, fence = not inside, mark.group(1)
            elif not inside:
                outside.append(line)
        without_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", "\n".join(outside))
        assert not inside and "<script>" not in without_code


def test_report_of_other_suffix_is_refused(tmp_path):
    with pytest.raises(report.UnknownForm, match=r"\.md or \.html"):
        report.write(str(tmp_path / "x.pdf"), private())


def test_command_line_writes_report_and_still_explains(tmp_path):
    out = tmp_path / "r.html"
    done = subprocess.run([sys.executable, "-m", "qemu_gdb", "explain", "--report", str(out),
                           str(STORIES / "story3.txt")], cwd=machine.ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "memory_region_transaction_commit" in done.stdout
    assert "memory_region_transaction_commit" in out.read_text()
    refused = subprocess.run([sys.executable, "-m", "qemu_gdb", "explain", "--report", "r.txt",
                              str(STORIES / "story3.txt")], cwd=machine.ROOT, capture_output=True, text=True)
    assert refused.returncode == 2 and ".md or .html" in refused.stderr


def test_gdb_writes_the_report_of_a_live_qemu_with_its_host(idle_qemu, tmp_path):
    out = tmp_path / "live.md"
    machine.gdb(["-p", idle_qemu.pid], f"qemu-explain --report {out}")
    text = out.read_text()
    assert re.search(r"- Architecture: \w+\n", text) and re.search(r"OS/kernel version: Linux \d", text)
    assert "- QEMU flavor: qemu-system-x86_64" in text and "-nodefaults" in text
    import platform

    assert platform.node() not in text or len(platform.node()) < 4


def test_report_of_a_core_has_the_whole_command_line(idle_core, tmp_path):
    out = tmp_path / "core.md"
    machine.gdb([machine.QEMU, idle_core], f"qemu-explain --report {out}")
    command = out.read_text().partition("QEMU command line:")[2].partition("## Emulated")[0]
    assert "-device scsi-hd,drive=d0,bus=s0.0" in command and "-name guest=<name" not in command
    assert re.search(r"-qmp unix:<path \d+>,server=on,wait=off", command)
    assert "Operating system: <!--" in out.read_text()  # a core may come from anywhere


# ---------------------------------------------------------------------------------------------------------------
# In a browser


def chromium():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser():
    if not chromium():
        pytest.skip("chromium is not installed (apt-get install chromium)")


def in_browser(page, width, folder, *arguments):
    done = subprocess.run(
        [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
         f"--user-data-dir={folder}", f"--window-size={width},1200", *arguments, page.as_uri()],
        capture_output=True, text=True, errors="replace", timeout=120)
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line or "Refused to" in line]
    assert complaints == []
    return done.stdout


PROBE = """<script>addEventListener("load", () => {
  const d = document, r = {width: innerWidth, page: d.documentElement.scrollWidth, ground:
    getComputedStyle(d.body).backgroundColor, ink: getComputedStyle(d.body).color, boxes: [], folds: 0};
  for (const g of d.querySelectorAll("svg g")) { const b = g.querySelector("rect").getBBox();
    for (const t of g.querySelectorAll("text")) { const x = t.getBBox();
      r.boxes.push(x.x >= b.x - 3 && x.x + x.width <= b.x + b.width + 3); } }
  for (const f of d.querySelectorAll("details")) { const s = f.open, h = f.offsetHeight; f.open = !s;
    r.folds += f.offsetHeight === h && f.offsetHeight > 0; f.open = s; }
  d.documentElement.setAttribute("data-seen", JSON.stringify(r)); });</script></body>"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [500, 1600])
def test_page_fits_and_folds_in_a_browser(browser, tmp_path, width, scheme):
    report.write(str(tmp_path / "page.html"), [hang()])
    page = tmp_path / "probe.html"  # the page with a probe in it, which its own policy would not allow
    text = re.sub(r"<meta http-equiv[^>]*>", "", (tmp_path / "page.html").read_text())
    page.write_text(text.replace("</body>", PROBE))
    setting = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    shown = in_browser(page, width, tmp_path / "profile", "--dump-dom", *setting)
    seen = json.loads(html.unescape(re.search(r'data-seen="([^"]*)"', shown).group(1)))
    assert seen["page"] <= seen["width"]  # nothing makes the page scroll sideways
    assert len(seen["boxes"]) > 6 and all(seen["boxes"])  # the graph's words stay in their boxes
    assert seen["folds"] == 0
    light = sum(map(int, re.findall(r"\d+", seen["ground"])[:3])) > sum(map(int, re.findall(r"\d+", seen["ink"])[:3]))
    assert light is (scheme == "light")


def test_page_raises_no_complaint_in_a_browser(browser, tmp_path):
    page = tmp_path / "page.html"
    report.write(str(page), [hang()])
    picture = tmp_path / "page.png"
    in_browser(page, 400, tmp_path / "profile", f"--screenshot={picture}")
    assert pathlib.Path(picture).stat().st_size > 5000
