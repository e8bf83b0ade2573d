# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations: each has one owner and one outcome, and never runs twice."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.lab import Lab, add_user


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


IMPATIENT = {"read_seconds": 2, "write_seconds": 2, "transfer_seconds": 2}


@pytest.fixture(scope="module")
def troubled_for_all(make_module_lab: Callable[..., Lab]) -> Lab:
    lab = make_module_lab(limits=IMPATIENT)
    lab.start()
    return lab


@pytest.fixture
def troubled(troubled_for_all: Lab) -> Lab:
    """The module's gateway with the misbehaving SDK; each test starts without backups on edge1 or recorded calls."""
    lab = troubled_for_all
    lab.trouble()
    lab.assert_no_session_is_left()
    for backup in lab.backups().iterdir():
        backup.unlink()
    (lab.folder / "calls").unlink(missing_ok=True)
    return lab


def test_create_new_makes_the_backup_on_the_system(lab: Lab) -> None:
    answer = lab.run({"action": "create_new", "name": "made.plb"})
    assert answer.document["state"] == "succeeded"
    assert answer.document["result"] == {"name": "made.plb"}
    assert answer.document["finished"].endswith("Z")
    assert "made.plb" in names(lab.backups())


def test_create_new_without_a_name_tells_the_name_that_the_system_chose(lab: Lab) -> None:
    name = lab.run({"action": "create_new"}, system="edge2").document["result"]["name"]
    assert names(lab.backups("edge2")) == {name}


def test_resource_name_reaches_the_system(lab: Lab) -> None:
    full = lab.create("full.plb")
    answer = lab.run({"action": "create_new", "name": "one.plb", "resource_name": "System Diagnostics"})
    assert answer.document["state"] == "succeeded"
    assert len((lab.backups() / "one.plb").read_bytes()) < len(full)


def test_unknown_resource_is_refused_in_the_words_of_the_system(lab: Lab) -> None:
    answer = lab.run({"action": "create_new", "name": "nothing.plb", "resource_name": "No Such Thing"})
    assert (answer.document["state"], answer.kind) == ("failed", "refused")
    problem = answer.document["problem"]
    assert problem["exception"] == "PLDBError"
    assert problem["reason"].startswith("PLDBError: ")
    assert "No Such Thing" in problem["reason"]
    assert problem["detail"] == f"system edge1: could not create a backup: {problem['reason']}"
    assert "nothing.plb" not in names(lab.backups())


def test_create_new_never_overwrites(lab: Lab) -> None:
    content = lab.create("kept.plb")
    answer = lab.run({"action": "create_new", "name": "kept.plb"})
    assert (answer.document["state"], answer.kind) == ("failed", "backup_exists")
    assert (lab.backups() / "kept.plb").read_bytes() == content


def test_remove_removes(lab: Lab) -> None:
    lab.create("going.plb")
    assert lab.run({"action": "remove", "name": "going.plb"}).document["state"] == "succeeded"
    assert "going.plb" not in names(lab.backups())


@pytest.mark.parametrize("action", ["remove", "restore", "download"])
def test_missing_backup_is_unknown_backup(lab: Lab, action: str) -> None:
    answer = lab.run({"action": action, "name": "missing.plb"})
    assert (answer.document["state"], answer.kind) == ("failed", "unknown_backup")
    assert answer.document["problem"]["status"] == 404


def test_restore_succeeds(lab: Lab) -> None:
    lab.create("restored.plb")
    answer = lab.run({"action": "restore", "name": "restored.plb"})
    assert (answer.document["state"], answer.document["result"]) == ("succeeded", {})


def test_another_machine_id_stops_the_command(lab: Lab) -> None:
    lab.create("guarded.plb")
    answer = lab.run({"action": "remove", "name": "guarded.plb", "expected_machine_id": "ffffffffffff"})
    assert (answer.document["state"], answer.kind) == ("failed", "wrong_machine")
    assert "guarded.plb" in names(lab.backups())
    right = lab.get("/v1/systems/edge1").json()["machineid"]
    answer = lab.run({"action": "remove", "name": "guarded.plb", "expected_machine_id": right})
    assert answer.document["state"] == "succeeded"


def test_the_same_request_sent_many_times_at_once_runs_once(troubled: Lab) -> None:
    operation = str(uuid.uuid4())
    body = {"action": "create_new", "name": "once.plb"}
    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(lambda _: troubled.put(body, operation=operation), range(10)))
    assert {response.status_code for response in responses} <= {200, 202}
    assert troubled.finish(troubled.path_of(responses[0])).document["state"] == "succeeded"
    assert troubled.put(body, operation=operation.upper()).json()["state"] == "succeeded"
    assert troubled.calls().count("create_new") == 1


def test_another_body_under_the_same_uuid_is_409(lab: Lab) -> None:
    operation = str(uuid.uuid4())
    lab.finish(lab.path_of(lab.put({"action": "create_new", "name": "first.plb"}, operation=operation)))
    response = lab.put({"action": "create_new", "name": "second.plb"}, operation=operation)
    assert (response.status_code, response.json()["kind"]) == (409, "conflict")
    assert "second.plb" not in names(lab.backups())


def test_for_anybody_else_an_operation_does_not_exist(lab: Lab) -> None:
    add_user(lab, "edge1", "other", "other-password-5521")
    answer = lab.run({"action": "create_new", "name": "mine.plb"})
    other = {"user": "other", "password": "other-password-5521"}
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/content"), ("HEAD", "/content")):
        assert lab.request(method, answer.path + path, **other).status_code == 404
    assert lab.request("PUT", answer.path + "/content", data=b"x", **other).status_code == 404
    assert lab.get(answer.path.replace("edge1", "edge2")).status_code == 404
    assert lab.get("/v1/systems/edge1/operations", **other).json() == []
    mine = lab.get("/v1/systems/edge1/operations").json()
    assert mine[0]["id"] in answer.path


def test_wrong_password_binds_no_uuid(lab: Lab) -> None:
    operation = str(uuid.uuid4())
    response = lab.put({"action": "create_new", "name": "refused.plb"}, operation=operation, password="wrong")
    assert response.status_code == 401
    assert lab.get(lab.path_of(response)).status_code == 404
    response = lab.put({"action": "create_new", "name": "accepted.plb"}, operation=operation)
    assert lab.finish(lab.path_of(response)).document["state"] == "succeeded"
    assert "refused.plb" not in names(lab.backups())


def test_wrong_password_sees_no_operation(lab: Lab) -> None:
    answer = lab.run({"action": "create_new", "name": "hidden.plb"})
    assert lab.get(answer.path, password="wrong").status_code == 401


@pytest.mark.parametrize("name", ["a/b", "a\\b", "..", ".", "a\x00b", "a\nb", "ä" * 128, "\x7f"])
@pytest.mark.parametrize("action", ["create_new", "remove", "download"])
def test_illegal_names_are_refused_before_anything_else(lab: Lab, action: str, name: str) -> None:
    response = lab.put({"action": action, "name": name})
    assert (response.status_code, response.json()["kind"]) == (422, "name_not_legal")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"action": "format"},
        {"action": "remove"},
        {"action": "remove", "name": None},
        {"action": "remove", "name": 5},
        {"action": "remove", "name": "a", "force": True},
        {"action": "remove", "name": "a", "resource_name": "Config"},
        {"action": "upload", "name": "a"},
        {"action": "upload", "name": "a", "size": "5"},
        {"action": "upload", "name": "a", "size": -1},
        {"action": "upload", "name": "a", "size": 1.5},
        {"action": "create_new", "name": "a", "resource_name": ""},
        {"action": "create_new", "name": "a", "resource_name": "\ud800"},
    ],
)
def test_bodies_that_do_not_fit_are_422(lab: Lab, body: object) -> None:
    response = lab.request("PUT", f"/v1/systems/edge1/operations/{uuid.uuid4()}", json=body)
    assert (response.status_code, response.json()["kind"]) == (422, "invalid_request")


def test_long_poll_returns_when_the_operation_ends(troubled: Lab) -> None:
    troubled.trouble(create_new="slow:1")
    path = troubled.path_of(troubled.put({"action": "create_new", "name": "slow.plb"}))
    began = time.monotonic()
    assert troubled.get(path).json()["state"] in ("queued", "running")
    assert time.monotonic() - began < 0.5
    assert troubled.get(path + "?wait=20").json()["state"] == "succeeded"
    assert 0.5 < time.monotonic() - began < 5


def test_long_poll_ends_after_its_seconds(troubled: Lab) -> None:
    troubled.trouble(create_new="slow:1.6")
    path = troubled.path_of(troubled.put({"action": "create_new", "name": "slow.plb"}))
    began = time.monotonic()
    assert troubled.get(path + "?wait=0.5").json()["state"] == "running"
    assert 0.4 < time.monotonic() - began < 1.5
    assert troubled.finish(path).document["state"] == "succeeded"


def test_deleted_before_it_began_never_runs(troubled: Lab) -> None:
    troubled.trouble(create_new="slow:1")
    running = troubled.path_of(troubled.put({"action": "create_new", "name": "running.plb"}))
    waiting = troubled.path_of(troubled.put({"action": "create_new", "name": "waiting.plb"}))
    troubled.wait_until_running(running)
    response = troubled.request("DELETE", running)
    assert (response.status_code, response.json()["kind"]) == (409, "conflict")
    deleted = troubled.request("DELETE", waiting)
    assert (deleted.status_code, deleted.json()["state"], deleted.json()["problem"]["kind"]) == (
        200,
        "failed",
        "cancelled",
    )
    assert troubled.finish(running).document["state"] == "succeeded"
    time.sleep(0.3)
    assert names(troubled.backups()) == {"running.plb"}
    assert troubled.request("DELETE", waiting).status_code == 200
    again = troubled.put({"action": "create_new", "name": "waiting.plb"}, operation=waiting.rsplit("/", 1)[1])
    assert again.json()["state"] == "failed"


def test_queued_operation_that_nobody_asks_for_does_not_run(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"owner_seconds": 1})
    lab.start()
    lab.trouble(create_new="slow:2.5")
    first = lab.path_of(lab.put({"action": "create_new", "name": "first.plb"}))
    forgotten = lab.path_of(lab.put({"action": "create_new", "name": "forgotten.plb"}))
    assert lab.finish(first).document["state"] == "succeeded"
    document = lab.get(forgotten + "?wait=5").json()
    assert (document["state"], document["problem"]["kind"]) == ("failed", "abandoned")
    assert names(lab.backups()) == {"first.plb"}


@pytest.mark.parametrize("trouble", ["hang", "block", "block_thread"])
@pytest.mark.parametrize("action", ["create_new", "restore", "remove"])
def test_write_past_its_limit_is_unknown_and_frees_its_lane(troubled: Lab, action: str, trouble: str) -> None:
    troubled.create("there.plb")
    troubled.trouble(**{action: trouble})
    name = "new.plb" if action == "create_new" else "there.plb"
    answer = troubled.run({"action": action, "name": name})
    assert (answer.document["state"], answer.document["cause"]) == ("unknown", "time_limit")
    troubled.trouble()
    assert troubled.run({"action": "create_new", "name": "after.plb"}).document["state"] == "succeeded"
    assert troubled.get("/healthz").json()["stuck_sessions"] == 0
    troubled.assert_no_session_is_left()


@pytest.mark.parametrize("action", ["create_new", "restore", "remove", "upload"])
@pytest.mark.parametrize("trouble", ["lost", "lost_after", "bug"])
def test_write_whose_answer_is_lost_is_unknown(troubled: Lab, action: str, trouble: str) -> None:
    if action == "upload":
        troubled.trouble(upload=trouble)
        answer = troubled.upload("new.plb", b"content")
    else:
        troubled.create("there.plb")
        troubled.trouble(**{action: trouble})
        answer = troubled.run({"action": action, "name": "new.plb" if action == "create_new" else "there.plb"})
    cause = "unexpected_error" if trouble == "bug" else "connection_lost"
    assert (answer.document["state"], answer.document["cause"]) == ("unknown", cause)


def test_trouble_before_the_command_was_sent_is_failed(troubled: Lab) -> None:
    troubled.create("there.plb")
    for trouble, kind in (("lost", "unreachable"), ("hang", "time_limit"), ("block", "time_limit")):
        troubled.trouble(list=trouble)
        answer = troubled.run({"action": "remove", "name": "there.plb"})
        assert (answer.document["state"], answer.kind) == ("failed", kind)
    assert "there.plb" in names(troubled.backups())


def test_write_on_stale_data_is_failed_and_not_repeated(troubled: Lab) -> None:
    troubled.create("there.plb")
    troubled.trouble(remove="stale")
    answer = troubled.run({"action": "remove", "name": "there.plb"})
    assert (answer.document["state"], answer.kind) == ("failed", "new_data_committed")
    assert troubled.calls().count("remove") == 1


def test_killed_gateway_reports_unknown_after_its_restart(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    done = lab.run({"action": "create_new", "name": "done.plb"})
    lab.trouble(create_new="hang")
    running = lab.path_of(lab.put({"action": "create_new", "name": "running.plb"}))
    waiting = lab.path_of(lab.put({"action": "create_new", "name": "waiting.plb"}))
    upload = lab.path_of(lab.put({"action": "upload", "name": "up.plb", "size": 3}))
    lab.request("PUT", upload + "/content", data=b"abc")
    lab.wait_until_running(running)
    lab.stop(signal.SIGKILL)
    lab.trouble()
    lab.start()
    before = len(lab.calls())
    document = lab.get(running).json()
    assert (document["state"], document["cause"]) == ("unknown", "gateway_restarted")
    for path in (waiting, upload):
        document = lab.get(path).json()
        assert (document["state"], document["problem"]["kind"]) == ("failed", "gateway_restarted")
    assert lab.get(done.path).json()["state"] == "succeeded"
    assert lab.calls()[before:] == ["connect"]
    assert lab.get(running, password="wrong").status_code == 401
    assert list((lab.folder / "state" / "spool").iterdir()) == []
    again = lab.put({"action": "create_new", "name": "running.plb"}, operation=running.rsplit("/", 1)[1])
    assert (again.status_code, again.json()["state"]) == (200, "unknown")
    again = lab.put({"action": "create_new", "name": "done.plb"}, operation=done.path.rsplit("/", 1)[1])
    assert (again.status_code, again.json()) == (200, done.document)
    another = lab.put({"action": "create_new", "name": "other.plb"}, operation=done.path.rsplit("/", 1)[1])
    assert another.status_code == 409
    assert "create_new" not in lab.calls()[before:]
    assert names(lab.backups()) == {"done.plb"}


def test_sigterm_lets_a_running_command_end_and_exits_0(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    lab.trouble(create_new="slow:1")
    path = lab.path_of(lab.put({"action": "create_new", "name": "ending.plb"}))
    lab.wait_until_running(path)
    assert lab.stop() == 0
    lab.start()
    assert lab.get(path).json()["state"] == "succeeded"
    assert names(lab.backups()) == {"ending.plb"}


@pytest.mark.parametrize("trouble", ["hang", "block", "block_thread", "block_pool"])
def test_sigterm_does_not_wait_for_a_call_that_hangs(make_lab: Callable[..., Lab], trouble: str) -> None:
    lab = make_lab(limits={"shutdown_seconds": 1})
    lab.start()
    lab.trouble(create_new=trouble)
    path = lab.path_of(lab.put({"action": "create_new", "name": "blocked.plb"}))
    lab.wait_until_running(path)
    began = time.monotonic()
    assert lab.stop() == 0
    assert time.monotonic() - began < 10
    lab.trouble()
    lab.start()
    assert lab.get(path).json()["cause"] == "gateway_restarted"


@pytest.mark.parametrize("trouble", ["hang", "block", "block_thread", "block_pool"])
def test_sigterm_does_not_wait_for_a_call_that_was_given_up(make_lab: Callable[..., Lab], trouble: str) -> None:
    lab = make_lab(limits=IMPATIENT)
    lab.start()
    lab.trouble(create_new=trouble)
    assert lab.run({"action": "create_new", "name": "blocked.plb"}).document["cause"] == "time_limit"
    began = time.monotonic()
    assert lab.stop() == 0
    assert time.monotonic() - began < 10
