"""Which known QEMU problem is named for a stack, and how surely."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from qemu_gdb.capture import text
from qemu_gdb.explain.known import find_known, has_fix
from qemu_gdb.knowledge.build import problems as builder
from qemu_gdb.knowledge.indexfile import DATA, IndexFile
from qemu_gdb.knowledge.problems import Problems, expression_key, problems, user_index
from qemu_gdb.model import Frame, Message, Snapshot, Thread

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"


def thread(*functions):
    return Thread(frames=[Frame(level, function) for level, function in enumerate(functions)])


ROUTES = thread(
    "raise", "abort", "kvm_irqchip_commit_routes", "kvm_irqchip_commit_route_changes", "kvm_virtio_pci_vq_vector_use",
    "kvm_virtio_pci_vector_use_one", "kvm_virtio_pci_vector_vq_use", "virtio_pci_set_guest_notifiers",
    "virtio_scsi_dataplane_start", "virtio_bus_start_ioeventfd", "virtio_pci_start_ioeventfd", "virtio_ioport_write",
    "virtio_pci_config_write", "memory_region_write_accessor", "access_with_adjusted_size", "flatview_write",
    "address_space_rw", "kvm_handle_io", "kvm_cpu_exec", "kvm_vcpu_thread_fn", "qemu_thread_start", "start_thread",
)  # fmt: skip


def test_fixes_of_an_assertion_that_the_stack_does_not_spell_are_named():
    found = find_known(Snapshot(threads=[ROUTES], version="8.2.0"))
    fixes = [f for f in found if f.release == "9.0.0"]
    assert {f.commit[:12] for f in fixes} == {"2ce6cff94df2", "e34f4d87e8d4"}
    assert all("kvm_irqchip_commit_routes" in f.matched and f.confidence == "possible" for f in fixes)
    assert all(f.link.startswith("https://") and f.has_fix is False for f in fixes)


def test_same_assertion_on_the_same_path_is_certain():
    crash = thread(
        "__pthread_kill_implementation", "__GI_raise", "__GI_abort", "__assert_fail_base", "__GI___assert_fail",
        "virtio_net_pre_save", "vmstate_save_state_v", "vmstate_save_state_with_err", "vmstate_save",
        "qemu_savevm_state_complete_precopy_non_iterable", "qemu_savevm_state_complete_precopy", "qemu_savevm_state",
        "save_snapshot", "snapshot_save_job_bh", "aio_bh_poll", "aio_poll", "bdrv_poll_co", "blk_pwrite",
        "pflash_update", "pflash_write",
    )  # fmt: skip
    message = Message("assertion", "", function="virtio_net_pre_save", expression="!n->vhost_started")
    best = find_known(Snapshot(threads=[crash], messages=[message]))[0]
    assert (best.confidence, best.link) == ("certain", "https://gitlab.com/qemu-project/qemu/-/issues/2111")


def test_same_assertion_by_another_path_is_only_possible():
    crash = thread("abort", "__assert_fail", "virtio_net_pre_save", "colo_do_checkpoint_transaction", "colo_thread")
    message = Message("assertion", "", function="virtio_net_pre_save", expression="! n->vhost_started")
    assert find_known(Snapshot(threads=[crash], messages=[message]))[0].confidence == "possible"


def test_same_path_through_another_caller_is_only_possible():
    """Many devices leak a timer in instance_init; each fix is one device's."""
    leak = thread(
        "__interceptor_calloc", "g_malloc0", "timer_new_full", "timer_new", "timer_new_ns", "a_device_init",
        "object_init_with_type", "object_new_with_type", "qmp_device_list_properties",
    )  # fmt: skip
    found = find_known(Snapshot(threads=[leak]))
    assert found and all(fix.confidence == "possible" for fix in found)


def test_few_problems_are_likely_another_one():
    """Each stack of the index, asked for as if its own problem were not in it."""
    index, queries, wrong = problems(), 0, 0
    assertions = index.assertions()
    for number in range(index.count):
        own = index.problem(number)
        hints = [Message("assertion", "", function=function) for function, _ in assertions.get(number, [])[:1]]
        for stack in index.stacks_of(number)[:1]:
            queries += 1
            found = find_known(Snapshot(threads=[thread(*stack.tokens)], messages=hints))
            others = [f for f in found if f.commit not in own.commits and (f.link or "?") != own.link]
            wrong += any(f.confidence != "possible" for f in others)
            assert not any(f.confidence == "certain" for f in others)
    # Most of these are one bug, reported twice, that nobody linked.
    assert queries > 500 and wrong / queries < 0.08


SD_WRITE = thread(
    "raise", "abort", "__assert_fail", "sd_wpbits", "sd_normal_command", "sd_do_command", "sdbus_do_command",
    "sdhci_send_command", "sdhci_write", "memory_region_write_accessor",
)  # fmt: skip
WPNUM = Message("assertion", "", function="sd_wpbits", expression="wpnum < sd->wpgrps_size")


def test_fix_that_this_qemu_has_comes_last_and_says_so():
    found = find_known(Snapshot(threads=[SD_WRITE], messages=[WPNUM], version="8.2.0"))
    assert [fix.has_fix for fix in found] == sorted((fix.has_fix for fix in found), key=bool)
    assert found[-1].has_fix and found[-1].confidence == "possible"
    assert found[-1].matched.endswith("though this QEMU has the fix: by its version")


@pytest.mark.parametrize(
    "others, newer",
    [
        ([], ""),
        ([Frame(0, "bql_lock_impl")], ""),  # of one name alone another program can have its own
        ([Frame(0, "bql_lock_impl"), Frame(1, "bdrv_graph_wrlock")], "bql_lock_impl came after 7.2"),
        ([Frame(0, "bql_lock_impl", "../system/cpus.c", 1)], "system/cpus.c came after 8.1"),
    ],
)
def test_version_that_is_not_told_is_estimated_from_functions_and_files(others, newer):
    fix = find_known(Snapshot(threads=[SD_WRITE, Thread(frames=others)], messages=[WPNUM]))[0]
    assert (fix.release, fix.has_fix, fix.confidence) == (
        "6.1.0", True if newer else None, "possible" if newer else "likely")
    assert newer in fix.matched and ("came after" in fix.matched) is bool(newer)


@pytest.mark.parametrize(
    "resting",
    [
        ("ppoll", "qemu_poll_ns", "os_host_main_loop_wait", "main_loop_wait", "qemu_main_loop", "main"),
        ("syscall", "qemu_futex_wait", "qemu_event_wait", "call_rcu_thread", "qemu_thread_start", "start_thread"),
        ("ioctl", "kvm_vcpu_ioctl", "kvm_cpu_exec", "kvm_vcpu_thread_fn", "qemu_thread_start", "start_thread"),
        ("ppoll", "qemu_poll_ns", "fdmon_poll_wait", "aio_poll", "iothread_run", "qemu_thread_start", "start_thread"),
        ("raise", "abort", "__assert_fail", "??", "aio_bh_poll", "aio_dispatch", "g_main_context_dispatch", "main"),
        ("some_new_function", "coroutine_trampoline", "__start_context"),
        ("??", "??"),
        (),
    ],
)
def test_common_tail_alone_matches_nothing(resting):
    assert find_known(Snapshot(threads=[thread(*resting)])) == []


@pytest.mark.parametrize(
    "version, release, expected",
    [
        ("9.0.0", "9.0.0", True),
        ("10.0.2", "9.0.0", True),
        ("8.2.0", "9.0.0", False),
        ("8.2.4", "9.0.0", None),  # stable updates carry fixes back
        ("7.2.9 (Debian 1:7.2+dfsg-7+deb12u7)", "8.0.0", None),  # so do distributions
        ("9.0.0-rc1", "9.0.0", None),
        ("8.2.50", "9.0.0", None),  # development towards 9.0
        ("2.5", "2.6.0", None),
        (None, "9.0.0", None),
        ("8.2.0", None, None),
    ],
)
def test_whether_a_version_has_a_fix(version, release, expected):
    assert has_fix(version, release) is expected


@pytest.mark.parametrize(
    "spelling",
    [
        "bs->refcnt > 0",
        "(bs->refcnt > 0)",
        "bs->refcnt>0",
        "assertion failed: (bs->refcnt > 0)",
        "bs->refcnt > 0)Bail out! x",
    ],
)
def test_assertion_is_the_same_in_every_spelling(spelling):
    assert expression_key(spelling) == expression_key("bs->refcnt > 0")
    assert expression_key("(a) > (b)") != expression_key("a) > (b")


def test_index_holds_no_text_of_others():
    for row in IndexFile(os.path.join(DATA, "problems.idx")).rows():
        key, _, value = row.partition(" ")
        if key.startswith("a:"):
            assert all(len(item.split(":")[0]) in (0, 12) for item in value.split(" "))
        elif key.startswith("p:"):
            commits, releases, link, files = value.split("\t")
            assert all(re.fullmatch(r"[\w./+-]+\.(c|h|cpp|m|rs|inc)", file) for file in files.split())
            assert all(set(c) <= set("0123456789abcdef") for c in commits.split(",")) and " " not in link
            assert all(set(r) <= set("0123456789.") for r in releases.split(","))


MESSAGE = """nbd: keep the client until its reply is read

The export could be freed under a reply:

  #0  0x0000555555a in raise () from libc.so
  #1  0x0000555555b in nbd_client_put (client=0x0) at ../nbd/server.c:1
  #2  0x0000555555c in nbd_co_send_sparse_read () at ../nbd/server.c:2
  #3  0x0000555555d in nbd_trip (opaque=0x1) at ../nbd/server.c:3
  #4  0x0000555555e in coroutine_trampoline () at ../util/coroutine-ucontext.c:4

qemu-nbd: ../nbd/server.c:1700: nbd_client_put: Assertion
`client->refcount > 7' failed.

Resolves: https://gitlab.com/qemu-project/qemu/-/issues/99999
"""


def test_index_grows_by_the_commits_of_a_git_clone(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    for message, tag in (("Start", "v8.2.0"), (MESSAGE, "v9.0.0"), ("Nothing of a stack", "v9.1.0")):
        if message == MESSAGE:
            (tmp_path / "nbd").mkdir()
            for name in ("nbd/server.c", "nbd/notes.txt"):
                (tmp_path / name).write_text("")
            git("add", "nbd")
        git("commit", "-q", "--allow-empty", "-m", message)
        git("tag", tag)
    commit = git("rev-parse", "v9.0.0")
    assert builder.main(["--git", str(tmp_path), "--data", str(tmp_path)]) == 0
    index = Problems(tmp_path / "problems.idx")
    ((key, number),) = index.asserting("nbd_client_put")
    assert key == expression_key("client->refcount > 7")
    assert (index.problem(number).commits, index.problem(number).releases) == ((commit,), ("9.0.0",))
    assert index.problem(number).files == ("nbd/server.c",)
    assert index.stacks_of(number)[0].tokens == ("nbd_client_put", "nbd_send_sparse_read", "nbd_trip", "@coroutine")


    # It is added to what the package has, and used once it lies in the user's data folder.
    assert index.count == Problems(os.path.join(DATA, "problems.idx")).count + 1
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    (tmp_path / "share" / "qemu-gdb").mkdir(parents=True)
    (tmp_path / "problems.idx").rename(user_index())
    problems.cache_clear()
    try:
        best = find_known(Snapshot(threads=[thread("nbd_client_put", "nbd_co_send_sparse_read", "nbd_trip")]))[0]
        assert (best.commit, best.release) == (commit, "9.0.0")
        Path(user_index()).write_text("damaged")
        problems.cache_clear()
        assert find_known(Snapshot(threads=[ROUTES]))
    finally:
        problems.cache_clear()


def test_everyday_path_names_the_fix_of_the_very_file_in_which_it_crashed_and_no_other():
    """A kick of any virtio device comes this way; what went wrong is in the handler, which the fix changes."""

    def kicked(function, file):
        frames = [Frame(0, function, file, 180), Frame(1, "virtio_queue_notify_vq", "hw/virtio/virtio.c", 1524),
                  Frame(2, "virtio_queue_host_notifier_read", "hw/virtio/virtio.c", 2430),
                  Frame(3, "aio_dispatch_handlers", "util/aio-posix.c", 399)]  # fmt: skip
        return find_known(Snapshot(threads=[Thread(frames=frames, crashed=True)]))

    [fix] = kicked("do_flush_queued_data", "hw/char/virtio-serial-bus.c")
    assert fix.release == "2.10.0" and fix.confidence == "possible"
    assert fix.matched.endswith("; it changes hw/char/virtio-serial-bus.c, where this crashed")
    assert [f.release for f in kicked("do_flush_queued_data", None)] == ["2.10.0"]  # the function tells its file
    assert kicked("virtio_gpu_handle_ctrl", "hw/display/virtio-gpu.c") == []


def test_a_file_of_the_same_name_in_another_folder_is_not_the_file_that_a_fix_changes():
    from qemu_gdb.explain.known import _key

    assert _key("hw/ide/pci.c") != _key("hw/vfio/pci.c") and _key("block.c") != _key("migration/block.c")
    assert _key("target-i386/cpu.c") == _key("target/i386/cpu.c") and _key("exec.c") == _key("system/exec.c")


def test_builder_tells_what_is_wrong_with_its_input(tmp_path, capsys):
    (tmp_path / "facts").write_text("[]\n")
    assert builder.main([str(tmp_path / "facts"), "--data", str(tmp_path)]) == 2
    assert "expected an object" in capsys.readouterr().err
    assert builder.main(["--git", str(tmp_path / "none"), "--data", str(tmp_path)]) == 2


def corpus_cases():
    if not CORPUS.is_dir():
        pytest.skip(f"no corpus at {CORPUS}")
    for meta in sorted(CORPUS.glob("*/meta.json")):
        label = json.loads(meta.read_text())
        snapshots = text.parse(text.read(meta.with_name("bt.txt")))
        found = [fix for s in snapshots for fix in find_known(s, label.get("qemu_version"))]
        yield label, sorted(found, key=lambda fix: -fix.score)


def indexed_commits():
    index = IndexFile(os.path.join(DATA, "problems.idx"))
    rows = (row.partition(" ")[2] for row in index.rows() if row.startswith("p:"))
    return {commit for value in rows for commit in value.split("\t")[0].split(",") if commit}


def test_fix_of_every_real_report_that_the_index_has_is_among_the_first_three():
    indexed, missed, count = indexed_commits(), [], 0
    for label, found in corpus_cases():
        fixed_by = label.get("fixed_by")
        if fixed_by and any(commit.startswith(fixed_by) for commit in indexed):
            count += 1
            if not any((fix.commit or "").startswith(fixed_by) for fix in found[:3]):
                missed.append(label["id"])
    assert count >= 30 and missed == []


def test_no_real_report_is_certain_to_be_another_problem():
    wrong = []
    for label, found in corpus_cases():
        for fix in found:
            own = (
                fix.link == label.get("link")
                or (label.get("fixed_by") or "?") == (fix.commit or "")[: len(label.get("fixed_by") or "?")]
            )
            if fix.confidence == "certain" and not own:
                wrong.append((label["id"], fix.commit, fix.link))
    assert wrong == []


def test_two_fixes_of_one_assertion_on_one_path_are_not_told_apart():
    found = find_known(Snapshot(threads=[SD_WRITE], messages=[WPNUM]))
    assert {f.commit[:12] for f in found[:2]} == {"59b63d78be1f", "4ac0b72bae85"}
    assert all(f.confidence == "likely" for f in found[:2])


def test_other_threads_of_a_crash_bring_no_problems_of_their_own():
    hang = thread("ppoll", "aio_poll", "bdrv_drain_all_begin", "bdrv_drain_all", "do_vm_stop", "qmp_stop", "main")
    crash = thread("raise", "abort", "a_function_of_tomorrow", "aio_bh_poll", "main_loop_wait", "main")
    assert find_known(Snapshot(threads=[hang, crash])) == []


@pytest.mark.parametrize(
    "everyday",
    [
        ("virtio_reset", "virtio_bus_reset", "virtio_pci_reset"),
        ("io_channel_send_full", "qemu_chr_write_buffer", "qemu_chr_write", "qemu_chr_fe_write"),
        ("translator_loop", "gen_intermediate_code", "tb_gen_code"),
        ("qemu_fdatasync", "handle_aiocb_flush", "aio_worker"),
        ("bdrv_close", "bdrv_delete", "bdrv_unref"),
        ("bdrv_drained_begin", "blk_drain"),
        ("virtio_scsi_data_plane_handle_cmd", "virtio_queue_notify_aio_vq", "virtio_queue_host_notifier_aio_poll"),
    ],
)
def test_everyday_paths_alone_match_nothing(everyday):
    assert find_known(Snapshot(threads=[thread("a_function_of_tomorrow", *everyday, "main_loop_wait")])) == []


def test_the_end_of_an_emulated_program_is_no_known_problem():
    assert find_known(Snapshot(threads=[thread("sigsuspend", "dump_core_and_abort", "cpu_loop", "main")])) == []


def test_a_path_alone_whose_fix_this_qemu_has_is_another_problem():
    leak = thread("multifd_send_sync_main", "migration_thread", "qemu_thread_start")
    assert any(fix.release == "4.2.0" for fix in find_known(Snapshot(threads=[leak], version="4.1.0")))
    assert not any(fix.release == "4.2.0" for fix in find_known(Snapshot(threads=[leak], version="8.1.0")))


def test_a_source_files_path_tells_that_a_fix_is_there():
    leak = thread("multifd_send_sync_main", "migration_thread", "qemu_thread_start")
    newer = Thread(frames=[Frame(0, "main_loop_wait", "/build/qemu/util/fdmon-poll.c", 1)])
    assert any(fix.release == "4.2.0" for fix in find_known(Snapshot(threads=[leak])))
    assert not any(fix.release == "4.2.0" for fix in find_known(Snapshot(threads=[leak, newer])))


def test_a_hang_is_no_failed_assertion():
    crash = thread("sd_wpbits", "sd_normal_command", "sd_do_command", "sdbus_do_command", "sdhci_send_command")
    assert find_known(Snapshot(threads=[crash]))
    number = next(n for _, n in problems().asserting("sd_wpbits"))
    commits = problems().problem(number).commits
    assert not any(fix.commit in commits for fix in find_known(Snapshot(threads=[crash]), hangs=True))
