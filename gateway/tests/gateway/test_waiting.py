# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting operations, forced cancellation, and stuck systems."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.lab import Lab, add_user
from tests.harness.waiting import until

OTHER = {"user": "other", "password": "other-password-5521"}


@pytest.fixture(scope="module")
def shared(make_module_lab: Callable[..., Lab]) -> Lab:
    lab = make_module_lab(limits={"parallel_downloads_per_system": 2})
    lab.start()
    return lab


@pytest.fixture
def lab(shared: Lab) -> Lab:
    shared.trouble()
    add_user(shared, "edge1", OTHER["user"], OTHER["password"])
    return shared


def running(lab: Lab, body: dict[str, Any]) -> str:
    """Path of a running operation."""
    path = lab.path_of(lab.put(body))
    lab.wait_until_running(path)
    return path


def works(lab: Lab) -> bool:
    """Whether the system runs the next write."""
    return bool(lab.run({"action": "create_new", "name": f"{uuid.uuid4()}.plb"}).document["state"] == "succeeded")


def test_a_queued_write_says_what_it_waits_for(lab: Lab) -> None:
    lab.trouble(create_new="hang")
    first = running(lab, {"action": "create_new", "name": "first.plb"})
    second = lab.put({"action": "remove", "name": "second.plb"})
    waiting_for = second.json()["waiting_for"]
    assert waiting_for.pop("since") >= lab.get(first).json()["created"]
    expected = {"action": "create_new", "name": "first.plb", "user": "admin", "ahead": 1}
    assert waiting_for == {**expected, "operation": first.rsplit("/", 1)[1]}
    third = lab.put({"action": "create_new", "name": "third.plb"}, **OTHER)
    waiting_for = third.json()["waiting_for"]
    assert (waiting_for["operation"], waiting_for["user"], waiting_for["ahead"]) == (None, "admin", 2)
    path = lab.path_of(third)
    assert lab.get("/v1/systems/edge1/operations", **OTHER).json()[0]["waiting_for"] == waiting_for
    assert lab.get(first).json()["waiting_for"] is None
    assert lab.put({"action": "create_new", "name": "x.plb"}, system="edge2").json()["waiting_for"] is None
    # A user can't cancel another user's operation.
    assert lab.request("DELETE", first + "?force=true", **OTHER).status_code == 404
    lab.request("DELETE", lab.path_of(second))
    assert lab.get(path, **OTHER).json()["waiting_for"]["ahead"] == 1
    lab.trouble()
    assert lab.request("DELETE", first + "?force=true").json()["state"] == "unknown"
    assert lab.get(path + "?wait=20", **OTHER).json()["state"] == "succeeded"


def test_a_queued_download_says_what_it_waits_for(lab: Lab) -> None:
    lab.create("there.plb")
    lab.trouble(download="hang")
    body = {"action": "download", "name": "there.plb"}
    paths = [running(lab, body), running(lab, body)]
    third = lab.put(body)
    assert third.json()["waiting_for"]["operation"] == paths[0].rsplit("/", 1)[1]
    for path in paths:
        document = lab.request("DELETE", path + "?force=true").json()
        assert (document["state"], document["problem"]["kind"]) == ("failed", "cancelled")
    lab.trouble()


@pytest.mark.parametrize("trouble", ["hang", "block"])
def test_the_owner_can_end_a_write_that_hangs_and_its_outcome_is_unknown(lab: Lab, trouble: str) -> None:
    lab.trouble(restore=trouble)
    lab.create(f"there-{trouble}.plb")
    path = running(lab, {"action": "restore", "name": f"there-{trouble}.plb"})
    until(lambda: any(note["name"] == f"there-{trouble}.plb" and note["call"] == "restore" for note in lab.notes()))
    assert lab.request("DELETE", path).status_code == 409
    assert lab.request("DELETE", path + "?force=maybe").status_code == 422
    began = time.monotonic()
    document = lab.request("DELETE", path + "?force=true").json()
    assert time.monotonic() - began < 8
    assert (document["state"], document["cause"], document["problem"]) == ("unknown", "ended_by_owner", None)
    lab.trouble()
    assert lab.run({"action": "create_new", "name": f"after-{trouble}.plb"}).document["state"] == "succeeded"
    assert lab.request("DELETE", path + "?force=true").status_code == 200  # repeated


def test_a_write_that_had_not_been_sent_is_failed_when_its_owner_ends_it(lab: Lab) -> None:
    lab.create("unsent.plb")
    lab.trouble(list="hang")
    path = running(lab, {"action": "remove", "name": "unsent.plb"})
    until(lambda: lab.calls()[-1] == "list")
    document = lab.request("DELETE", path + "?force=true").json()
    assert (document["state"], document["problem"]["kind"]) == ("failed", "cancelled")
    assert (lab.backups() / "unsent.plb").is_file()


@pytest.mark.parametrize("moment", range(8))
def test_an_end_by_force_at_any_moment_leaves_an_operation_that_has_ended(lab: Lab, moment: int) -> None:
    lab.trouble(create_new="slow:0.02")
    path = lab.path_of(lab.put({"action": "create_new", "name": f"moment{moment}.plb"}))
    time.sleep(moment * 0.008)
    assert lab.request("DELETE", path + "?force=true").json()["state"] in ("failed", "unknown", "succeeded")
    document = lab.get(path).json()
    made = (lab.backups() / f"moment{moment}.plb").is_file()
    if document["state"] != "unknown":
        assert made == (document["state"] == "succeeded")
    lab.trouble()
    assert works(lab)


@pytest.mark.parametrize("call", ["connect", "list", "create_new"])
def test_an_exception_that_can_not_be_read_ends_the_operation(lab: Lab, call: str) -> None:
    assert lab.get("/v1/systems/edge1").status_code == 200
    lab.trouble(**{call: "unreadable"})
    answer = lab.run({"action": "create_new", "name": "unreadable.plb"})
    state = "unknown" if call == "create_new" else "failed"
    assert (answer.document["state"], answer.kind) == (state, "sdk_error")
    lab.trouble()
    assert works(lab)


def test_health_and_the_log_tell_which_system_is_stuck(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"read_seconds": 0.5, "owner_seconds": 1, "stuck_seconds": 0.5})
    lab.start()

    def stuck(user: str = "admin") -> Any:
        return lab.get("/healthz", user=user).json()["stuck_systems"]

    assert stuck() is None  # this login has not succeeded yet
    assert lab.get("/v1/systems/edge1").status_code == 200
    assert (stuck(), stuck(user="")) == ([], None)
    lab.trouble(list="hang")
    assert lab.get("/v1/systems/edge2/backups").status_code == 504
    assert stuck() == ["edge2"]
    assert lab.get("/v1/systems/edge2").status_code == 200  # a login alone does not prove that listings work
    assert stuck() == ["edge2"]
    assert "system edge2 is stuck: could not list the backups within" in lab.errors()
    lab.trouble()
    assert lab.get("/v1/systems/edge2/backups").status_code == 200
    assert stuck() == []
    assert "system edge2 answers again" in lab.errors()
    lab.trouble(create_new="slow:3")
    path = running(lab, {"action": "create_new", "name": "long.plb"})
    lab.put({"action": "create_new", "name": "behind.plb"})
    until(lambda: stuck() == ["edge1"])
    until(lambda: "system edge1: create_new 'long.plb' of user 'admin'" in lab.errors())
    assert f"(operation {path.rsplit('/', 1)[1]})" in lab.errors()
    assert "1 operations wait" in lab.errors()
