# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads, who may read, and the number of logins needed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import pytest

from tests.harness.lab import Lab, add_user


def test_health_needs_no_login(lab: Lab) -> None:
    response = lab.get("/healthz", user="")
    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    assert response.json()["stuck_sessions"] == 0
    assert response.json()["certificate_days_left"] > 0
    assert "server" not in response.headers


def test_system_is_found_by_name_and_tells_of_itself(lab: Lab) -> None:
    response = lab.get("/v1/systems/edge1")
    assert response.status_code == 200
    document = response.json()
    assert document["name"] == "edge1"
    assert len(document["machineid"]) == 12
    assert document["machineid"] != lab.get("/v1/systems/edge2").json()["machineid"]


def test_listing_is_what_the_system_has(lab: Lab) -> None:
    content = lab.create("listed.plb")
    assert {"name": "listed.plb", "size": len(content)} in lab.get("/v1/systems/edge1/backups").json()


@pytest.mark.parametrize(
    "word", ["EDGE1", "edge", "edge11", "edge1 ", " edge1", "edge1.", "127.0.0.1", "*", "edge1%00"]
)
def test_a_system_is_found_by_its_exact_name_alone(lab: Lab, word: str) -> None:
    assert lab.get("/v1/systems/edge1").status_code == 200  # after a successful login, unknown systems give 404
    for path in ("", "/backups", "/operations"):
        response = lab.get(f"/v1/systems/{word}{path}")
        assert (response.status_code, response.json()["kind"]) == (404, "unknown_system")
        assert response.headers["content-type"] == "application/problem+json"


def test_a_system_is_found_by_its_address_and_no_other_is_dialled(lab: Lab) -> None:
    response = lab.get("/v1/systems/nowhere/backups")  # the address of the system "down", where nothing listens
    assert (response.status_code, response.json()["kind"]) == (502, "unreachable")
    problem = response.json()
    assert problem["exception"] == "ConnectionRefusedError"
    assert problem["reason"].startswith("ConnectionRefusedError")
    assert problem["detail"] == f"system nowhere: could not log in: {problem['reason']}"


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer abc", "Basic", "Basic !!!", "Basic YWRtaW4=", "Basic gICAgA==", "Basic OnB3", "Basic YTo=",
        "Basic YTpi YTpi", "Basic YTpi\tYTpi", "Basic YTpiAA==", "Digest YTpi", "YTpi",
    ],
)  # fmt: skip
def test_no_wellformed_login_is_401_with_a_challenge(lab: Lab, header: str) -> None:
    response = lab.get("/v1/systems/edge1", user="", headers={"Authorization": header} if header else {})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Basic ")
    assert response.json()["kind"] == "authentication_failed"


@pytest.mark.parametrize("password", ["pässwörd", "пароль", "a:b", " both ends ", "x" * 200])
def test_passwords_of_every_kind_work(lab: Lab, password: str) -> None:
    user = f"user-{hashlib.sha256(password.encode()).hexdigest()[:8]}"
    add_user(lab, "edge1", user, password)
    login = {"user": user, "password": password}
    assert lab.get("/v1/systems/edge1", **login).status_code == 200
    for wrong in (password + "x", password[:-1], password.strip() if password != password.strip() else "x"):
        assert lab.get("/v1/systems/edge1", user=user, password=wrong).status_code == 401
    response = lab.put({"action": "create_new", "name": f"{user}.plb"}, **login)
    assert response.status_code == 202
    document = lab.get(lab.path_of(response) + "?wait=20", **login).json()
    assert document["state"] == "succeeded"
    assert (lab.backups() / f"{user}.plb").is_file()
    assert password.strip() not in (lab.folder / "audit.log").read_text(encoding="utf-8")


def test_a_read_costs_exactly_one_login(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    for path, commands in (("/v1/systems/edge1", ["connect"]), ("/v1/systems/edge1/backups", ["connect", "list"])):
        before = len(lab.calls())
        assert lab.get(path).status_code == 200
        assert lab.calls()[before:] == commands


def test_polls_cost_no_login(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"remember_login_seconds": 0.001})
    lab.start()
    lab.trouble(create_new="slow:1")
    path = lab.path_of(lab.put({"action": "create_new", "name": "polled.plb"}))
    while lab.get(path).json()["state"] != "running" or "create_new" not in lab.calls():
        time.sleep(0.02)
    before = len(lab.calls())
    for _ in range(5):
        assert lab.get(path).json()["state"] == "running"
    assert lab.calls()[before:] == []


def test_polls_of_what_has_just_ended_cost_no_login(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    answer = lab.run({"action": "create_new", "name": "polled.plb"})
    before = len(lab.calls())
    for _ in range(5):
        assert lab.get(answer.path).status_code == 200
    assert lab.calls()[before:] == []


def test_read_opens_a_new_resource_when_another_session_committed(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.trouble(list="stale")
    lab.start()
    response = lab.get("/v1/systems/edge1/backups")
    assert (response.status_code, response.json()["kind"]) == (409, "new_data_committed")
    assert lab.calls() == ["connect"] + ["list"] * 5


@pytest.mark.parametrize("trouble", ["hang", "block"])
def test_read_past_its_limit_is_504_and_does_not_hold_others(make_lab: Callable[..., Lab], trouble: str) -> None:
    lab = make_lab(limits={"read_seconds": 1})
    lab.trouble(list=trouble)
    lab.start()
    response = lab.get("/v1/systems/edge1/backups")
    assert (response.status_code, response.json()["kind"]) == (504, "time_limit")
    lab.trouble()
    assert lab.get("/v1/systems/edge1/backups").status_code == 200
    assert lab.get("/healthz").json()["stuck_sessions"] == 0
    lab.assert_no_session_is_left()
