"""On real QEMU processes in known states, live and from cores, the explanation says what the lab knows to be true."""

from __future__ import annotations

import re

import pytest
from explained import Explained, role_matches


@pytest.mark.truth("functions")
def test_the_lab_made_the_state_it_claims(case, explained: Explained):
    wanted = explained.truth["functions"]
    missing = [names for names in wanted if not any(name in explained.backtrace for name in names.split("|"))]
    assert not missing, f"not in any thread's backtrace: {missing}\n{explained.backtrace[-1500:]}"


@pytest.mark.truth("findings")
def test_first_finding_is_the_true_one(case, explained: Explained):
    kinds = [(finding["kind"], finding["title"]) for finding in explained.answer["findings"]]
    assert kinds and kinds[0][0] in explained.truth["findings"], f"findings: {kinds}"


@pytest.mark.truth("also")
def test_other_findings_are_there_too(case, explained: Explained):
    kinds = {finding["kind"] for finding in explained.answer["findings"]}
    assert set(explained.truth["also"]) <= kinds, kinds


@pytest.mark.truth("words")
def test_first_finding_names_what_matters(case, explained: Explained):
    text = explained.first_text.lower()
    missing = [word for word in explained.truth["words"] if word.lower() not in text]
    assert not missing, f"not named: {missing}\nin: {explained.first_text}"


@pytest.mark.truth("roles")
def test_every_thread_has_its_role(case, explained: Explained):
    for role, count in explained.truth["roles"].items():
        roles = sorted(thread["role"] for thread in explained.answer["threads"])
        assert len(explained.threads(role)) == count, f"{role}: {count} expected in {roles}"


@pytest.mark.truth("states")
def test_threads_do_what_they_do(case, explained: Explained):
    for role, state in explained.truth["states"].items():
        seen = {thread["state"] for thread in explained.threads(role)}
        assert seen == {state}, f"{role}: {seen}"


@pytest.mark.truth("runstate")
def test_run_state_is_known(case, explained: Explained):
    assert explained.answer["qemu"]["runstate"] in explained.truth["runstate"].split("|")


def test_accelerator_is_known(case, explained: Explained):
    program = explained.truth.get("program", "qemu-system-x86_64")
    assert explained.answer["qemu"]["is_qemu"] is True
    if program == "qemu-system-x86_64" and explained.threads("vcpu"):
        assert explained.answer["qemu"]["accelerator"] == case.accel


def test_version_is_known(case, explained: Explained):
    assert explained.answer["qemu"]["version"].startswith(case.version + ".")


def test_owner_of_the_bql_is_known(case, explained: Explained):
    if "bql_owner" not in explained.truth:
        pytest.skip("the lab does not know it")
    wanted = explained.truth["bql_owner"]
    threads = {thread["number"]: thread for thread in explained.answer["threads"]}
    owners = [lock["owner_thread"] for lock in explained.answer["locks"] if lock["name"] == "BQL"]
    owner = threads[owners[0]]["role"] if owners and owners[0] is not None else None
    if wanted is None:
        # A running QEMU takes it for a moment again and again: who holds it must at least be doing something.
        assert owner is None or threads[owners[0]]["state"] not in ("idle", "waiting-bql")
    else:
        assert owner is not None and role_matches(owner, wanted), f"{owner}"


@pytest.mark.truth("bql_waiters")
def test_waiters_for_the_bql_are_known(case, explained: Explained):
    for role in explained.truth["bql_waiters"]:
        waiting = [thread for thread in explained.threads(role) if thread["state"] == "waiting-bql"]
        assert waiting, f"{role}: {[thread['state'] for thread in explained.threads(role)]}"


@pytest.mark.truth("requests")
def test_requests_in_flight_are_known(case, explained: Explained):
    for wanted in explained.truth["requests"]:
        wanted = {name: value for name, value in wanted.items() if value is not None}
        same = [
            request
            for request in explained.answer["requests"]
            if all(request[name] == value for name, value in wanted.items())
        ]
        assert same, f"{wanted} not in {explained.answer['requests']}"


@pytest.mark.truth("requests")
def test_each_request_has_its_suspended_coroutine(case, explained: Explained):
    addresses = {coroutine["address"] for coroutine in explained.answer["coroutines"]}
    for wanted in explained.truth["requests"]:
        of_node = [r for r in explained.answer["requests"] if r["driver"] == wanted["driver"]]
        assert any(request["coroutine"] in addresses for request in of_node), f"{of_node} in {addresses}"


@pytest.mark.truth("coroutine_functions")
def test_suspended_coroutines_have_their_backtraces(case, explained: Explained):
    functions = {frame["function"] for coroutine in explained.answer["coroutines"] for frame in coroutine["frames"]}
    for names in explained.truth["coroutine_functions"]:
        assert functions & set(names.split("|")), sorted(filter(None, functions))


@pytest.mark.truth("iothreads")
def test_iothreads_have_their_ids(case, explained: Explained):
    found = {thread["role_detail"].get("iothread") for thread in explained.threads("iothread")}
    assert set(explained.truth["iothreads"]) <= found


@pytest.mark.truth("command")
def test_monitor_command_is_named(case, explained: Explained):
    command = explained.truth["command"]
    (main_loop,) = explained.threads("main-loop")
    text = " ".join(stage["text"] for stage in main_loop["stages"]) + main_loop["summary"] + explained.first_text
    assert re.search(rf"{command['via']}\W+(command\W+)?{re.escape(command['name'])}\b", text), text


@pytest.mark.truth("access")
def test_guest_access_is_named(case, explained: Explained):
    access = explained.truth["access"]
    inside = [t for t in explained.threads("vcpu") if t["state"] not in ("idle", "running-guest", "waiting-bql")]
    text = " ".join(stage["text"] for thread in inside for stage in thread["stages"])
    assert f"{access['address']:#x}" in text
    assert ("port" in text.lower()) == (access["kind"] == "port"), text
    assert access["device"] in text.lower(), text


@pytest.mark.truth("culprit")
def test_culprit_is_the_function_an_expert_names(case, explained: Explained):
    number = explained.first["threads"][0]
    (thread,) = [thread for thread in explained.answer["threads"] if thread["number"] == number]
    assert thread["culprit"] in explained.truth["culprit"], thread["culprit"]


@pytest.mark.truth("role")
def test_crash_is_in_the_thread_that_crashed(case, explained: Explained):
    number = explained.first["threads"][0]
    (thread,) = [thread for thread in explained.answer["threads"] if thread["number"] == number]
    assert role_matches(thread["role"], explained.truth["role"]), thread["role"]


@pytest.mark.truth("guest_triggered")
def test_part_of_the_guest_is_said(case, explained: Explained):
    assert "the guest" in explained.first["explanation"]


@pytest.mark.truth("known")
def test_known_problem_is_found(case, explained: Explained):
    links = [fix["link"] for fix in explained.first["known_fixes"]]
    assert set(explained.truth["known"]) & set(links), links


def test_source_is_said(case, explained: Explained):
    source = explained.answer["source"]
    assert source["kind"] == ("live" if case.how == "live" else "core")
    assert source["pid"] == explained.pid
    assert source["debug_info"] == "full"
