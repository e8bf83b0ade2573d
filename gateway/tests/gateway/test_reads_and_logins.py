# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads, who may read, and what a login costs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from gateway_lab import Lab


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


@pytest.mark.parametrize("path", ["/v1/systems/nowhere", "/v1/systems/EDGE1", "/v1/systems/edge1%2Fbackups"])
def test_unknown_system_is_404(lab: Lab, path: str) -> None:
    response = lab.get(path + "/backups")
    if path.endswith("nowhere"):
        # It is the address of the system "down", whose host does not exist.
        assert (response.status_code, response.json()["kind"]) == (502, "unreachable")
        assert response.json()["exception"] == "ConnectionRefusedError"
    else:
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "header", ["", "Bearer abc", "Basic", "Basic !!!", "Basic YWRtaW4=", "Basic gICAgA==", "Basic OnB3"]
)
def test_no_wellformed_login_is_401_with_a_challenge(lab: Lab, header: str) -> None:
    response = lab.get("/v1/systems/edge1", user="", headers={"Authorization": header} if header else {})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Basic ")
    assert response.json()["kind"] == "authentication_failed"


@pytest.mark.parametrize("password", ["pässwörd", "пароль", "a:b", " both ends ", "x" * 200])
def test_passwords_of_every_kind_work(lab: Lab, add_user: Callable[..., None], password: str) -> None:
    user = f"user-{abs(hash(password))}"
    add_user(lab, "edge1", user, password)
    assert lab.get("/v1/systems/edge1", user=user, password=password).status_code == 200
    assert lab.get("/v1/systems/edge1", user=user, password=password + "x").status_code == 401


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
    answer = lab.run({"action": "create_new", "name": "polled.plb"})
    before = len(lab.calls())
    for _ in range(5):
        assert lab.get(answer.path).status_code == 200
    assert lab.calls()[before:] == []


def test_after_five_failed_logins_no_login_is_tried(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(lambda _: lab.get("/v1/systems/edge1", password="wrong").status_code, range(12)))
    assert sorted(statuses) == [401] * 5 + [429] * 7
    assert lab.calls() == ["connect"] * 5
    response = lab.get("/v1/systems/edge1")
    assert response.status_code == 429
    assert 0 < int(response.headers["retry-after"]) <= 61
    assert len(lab.calls()) == 5


def test_wrong_guesses_do_not_lock_out_who_logged_in_a_moment_ago(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    assert lab.get("/v1/systems/edge1").status_code == 200
    for _ in range(6):
        lab.get("/v1/systems/edge1", password="wrong")
    assert lab.get("/v1/systems/edge1", password="wrong").status_code == 429
    assert lab.get("/v1/systems/edge1").status_code == 200


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
    assert lab.get("/healthz").json()["stuck_sessions"] == (1 if trouble == "block" else 0)
