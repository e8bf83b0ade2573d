# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed logins: how many are tried, whom they block, and what an outdated password still gives access to."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from activelogic_gateway.auth import Login
from activelogic_gateway.logins import Logins, place_of
from activelogic_gateway.problems import Problem
from tests.harness.lab import PASSWORD, Lab, add_user

TEN = tuple(f"edge{number}" for number in range(10))


@pytest.fixture
def ten(make_lab: Callable[..., Lab]) -> Lab:
    made = make_lab(systems=TEN, limits={"connections": 1000})
    made.start()
    return made


class _From(HTTPAdapter):
    """Connects from another address of the loopback interface."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__(pool_maxsize=50)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, source_address=(self._address, 0), **kwargs)


@contextmanager
def from_address(lab: Lab, address: str) -> Iterator[Lab]:
    """The lab as seen by a client at another address."""
    ours, lab.session = lab.session, requests.Session()
    lab.session.verify, lab.session.trust_env = ours.verify, False
    lab.session.mount("https://", _From(address))
    try:
        yield lab
    finally:
        lab.session.close()
        lab.session = ours


def all_at_once(lab: Lab, logins: list[tuple[str, str, str]]) -> Counter[int]:
    """Statuses of concurrent reads, one for each (system, user, password)."""

    def read(each: tuple[str, str, str]) -> int:
        system, user, password = each
        with requests.Session() as session:
            session.verify, session.trust_env = lab.session.verify, False
            url = f"{lab.url}/v1/systems/{system}"
            return session.get(url, auth=(user, password), timeout=60).status_code

    with ThreadPoolExecutor(len(logins)) as pool:
        return Counter(pool.map(read, logins))


def logins_tried(lab: Lab) -> int:
    return lab.calls().count("connect")


# One user of one system at one address


def test_after_five_refused_logins_of_a_user_none_is_tried(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    assert all_at_once(lab, [("edge1", "admin", f"wrong{number}") for number in range(12)]) == {401: 5, 429: 7}
    assert logins_tried(lab) == 5
    response = lab.get("/v1/systems/edge1")
    assert response.status_code == 429
    seconds = int(response.headers["retry-after"])
    assert 0 < seconds <= 61
    assert logins_tried(lab) == 5
    detail = response.json()["detail"]
    until = [time.strftime("%H:%M:%S", time.gmtime(time.time() + seconds - early)) for early in (0, 1, 2)]
    assert any(each in detail for each in until), detail
    for part in ("client address 127.0.0.1", "5 refused logins a minute", "user admin", "this system"):
        assert part in detail


def test_refused_logins_of_a_user_stop_nobody_else(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    add_user(lab, "edge1", "other", "other-password-5521")
    for number in range(6):
        lab.get("/v1/systems/edge1", password=f"wrong{number}")
    assert lab.get("/v1/systems/edge1").status_code == 429
    assert lab.get("/v1/systems/edge2").status_code == 200
    assert lab.get("/v1/systems/edge1", user="other", password="other-password-5521").status_code == 200
    with from_address(lab, "127.0.0.2"):
        assert lab.get("/v1/systems/edge1").status_code == 200


def test_wrong_guesses_do_not_lock_out_who_logged_in_a_moment_ago(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    assert lab.get("/v1/systems/edge1").status_code == 200
    for number in range(6):
        lab.get("/v1/systems/edge1", password=f"wrong{number}")
    assert lab.get("/v1/systems/edge1", password="wrong").status_code == 429
    assert lab.get("/v1/systems/edge1").status_code == 200


# One address


def test_guessing_over_many_users_is_stopped(ten: Lab) -> None:
    statuses = all_at_once(ten, [("edge0", f"user{number}", "guess") for number in range(150)])
    assert statuses == {401: 31, 429: 119}
    assert logins_tried(ten) == 31
    response = ten.get("/v1/systems/edge0", user="user999", password="guess")
    assert response.status_code == 429
    detail = response.json()["detail"]
    assert "client address 127.0.0.1 has reached the limit of 30 refused logins a minute over all users" in detail
    # Neither another address nor the first login to another system is blocked.
    assert ten.get("/v1/systems/edge1").status_code == 200
    with from_address(ten, "127.0.0.2"):
        assert ten.get("/v1/systems/edge0").status_code == 200


def test_guessing_over_many_systems_is_stopped(ten: Lab) -> None:
    guesses = [(system, f"user{number}", "guess") for number in range(15) for system in TEN]
    assert all_at_once(ten, guesses) == {401: 40, 429: 110}
    assert logins_tried(ten) == 40


def test_a_login_that_worked_passes_an_address_at_its_limit_which_grows_with_them(ten: Lab) -> None:
    for system in TEN:
        assert ten.get(f"/v1/systems/{system}").status_code == 200
    guesses = [(system, f"user{number}", "guess") for number in range(10) for system in TEN]
    assert all_at_once(ten, guesses) == {401: 10 + 30 + 10, 429: 50}
    tried = logins_tried(ten)
    assert all_at_once(ten, [(system, "admin", PASSWORD) for system in TEN] * 5) == {200: 50}
    assert logins_tried(ten) == tried + 50


def test_systems_that_cannot_be_reached_cost_an_address_nothing(ten: Lab) -> None:
    """If it can't connect, the vendor's package may raise the same exception as for a wrong password."""
    add_user(ten, "edge0", "other", "other-password-5521")
    ten.trouble(connect="raise:PLDBIOError")
    for _round in range(4):
        assert all_at_once(ten, [(system, "admin", PASSWORD) for system in TEN]) == {401: 10}
    ten.trouble()
    guesses = [("edge0", f"user{number}", "guess") for number in range(40)]
    assert all_at_once(ten, guesses) == {401: 30, 429: 10}  # the whole limit was still available


def test_a_login_that_works_takes_back_its_refusals(ten: Lab) -> None:
    ten.trouble(connect="raise:PLDBIOError")
    for _number in range(4):
        assert ten.get("/v1/systems/edge0").status_code == 401
    ten.trouble()
    assert ten.get("/v1/systems/edge0").status_code == 200
    for number in range(4):
        assert ten.get("/v1/systems/edge0", password=f"wrong{number}").status_code == 401


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_refused_logins_count_for_a_minute() -> None:
    clock = _Clock()

    async def main() -> list[str]:
        logins, login = Logins(60, 2, 100, clock), Login("admin", "wrong")
        said = []
        for clock.now in (1000.0, 1010.0, 1059.0, 1061.0, 1062.0, 1071.0):
            try:
                async with logins.attempt("edge1", login, "192.0.2.1"):
                    logins.refused("edge1", login, "192.0.2.1")
                said.append("tried")
            except Problem as problem:
                said.append(problem.headers["Retry-After"])
        return said

    assert asyncio.run(main()) == ["tried", "tried", "2", "tried", "9", "tried"]


def test_the_limit_of_an_address_is_free_again_after_a_minute_and_a_first_login_after_an_hour() -> None:
    clock = _Clock()

    async def tried(logins: Logins, users: range) -> int:
        count = 0
        for number in users:
            login = Login(f"user{number}", "guess")
            try:
                async with logins.attempt("edge1", login, "192.0.2.1"):
                    logins.refused("edge1", login, "192.0.2.1")
                count += 1
            except Problem:
                pass
        return count

    async def main() -> list[int]:
        logins = Logins(60, 5, 3, clock)
        counts = [await tried(logins, range(10))]
        clock.now += 61
        counts.append(await tried(logins, range(10, 20)))
        clock.now += 3600
        logins.clean()
        counts.append(await tried(logins, range(20, 30)))
        return counts

    assert asyncio.run(main()) == [4, 3, 4]


def test_tries_that_hang_end_the_wait_of_others() -> None:
    async def main() -> str:
        logins, login = Logins(60, 1, 10), Login("admin", "secret-word")
        async with logins.attempt("edge1", login, "192.0.2.1"):
            try:
                async with logins.attempt("edge1", login, "192.0.2.1", seconds=0.05):
                    return "tried"
            except Problem as problem:
                return problem.kind

    assert asyncio.run(main()) == "too_busy"


def test_what_is_remembered_of_logins_is_forgotten_when_it_is_old() -> None:
    clock = _Clock()

    async def main() -> int:
        logins = Logins(60, 5, 3, clock)
        for number in range(50):
            async with logins.attempt("edge1", Login("admin", "right-word"), f"192.0.2.{number}"):
                logins.refused("edge1", Login("admin", "right-word"), f"192.0.2.{number}")
        logins.clean()
        held = len(logins._places)
        clock.now += 4000
        logins.clean()
        return held - len(logins._places)

    assert asyncio.run(main()) == 50


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::dead:beef:1:2", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_client_has_one_place_whatever_address_it_takes(address: str, place: str) -> None:
    assert place_of(address) == place


# Names of systems


def test_a_stranger_is_not_told_which_systems_there_are(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.settings["systems"]["edge1"] = {"host": "edge1"}
    lab.settings["systems"]["office"] = {"host": "edge2"}
    del lab.settings["systems"]["edge2"]
    lab.start()

    def told(word: str, **login: str) -> tuple[int, dict[str, Any], set[str]]:
        response = lab.get(f"/v1/systems/{word}", user="nobody", password="guess", **login)
        document = {key: str(value).replace(word, "WORD") for key, value in response.json().items()}
        return response.status_code, document, set(response.headers)

    status, document, _ = told("edge1")
    assert (status, document["kind"], document["system"]) == (401, "authentication_failed", "WORD")
    for word in ("edge9", "office", "edge2"):
        assert told(word) == told("edge1")
    for word in ("edge9", "edge9", "edge9", "edge9", "edge1"):
        assert told(word)[0] == 401
    assert told("edge9")[0] == told("edge1")[0] == 429
    for trouble in ("raise:ConnectionRefusedError", "raise:PLDBError", "bug"):
        lab.trouble(connect=trouble)
        assert "office" not in lab.get("/v1/systems/edge2", user="nobody", password="guess2").text
    lab.trouble()
    # After a successful login, the user learns that the system is unknown.
    assert lab.get("/v1/systems/edge1").status_code == 200
    response = lab.get("/v1/systems/edge9")
    assert (response.status_code, response.json()["kind"]) == (404, "unknown_system")


# What an old password still gives access to


def change_password(lab: Lab, password: str) -> dict[str, str]:
    add_user(lab, "edge1", "admin", password)
    return {"password": password}


@pytest.fixture
def changed(make_lab: Callable[..., Lab]) -> Iterator[tuple[Lab, str, str]]:
    """A gateway with a finished download and a running write of a user whose password has since changed."""
    lab = make_lab(limits={"failed_logins_per_minute": 50})
    lab.start()
    lab.create("there.plb")
    path = lab.run({"action": "download", "name": "there.plb"}).path
    assert lab.get(path + "/content").status_code == 200
    lab.trouble(create_new="slow:6")
    running = lab.path_of(lab.put({"action": "create_new", "name": "slow.plb"}))
    lab.wait_until_running(running)
    yield lab, path, running


def test_a_refused_login_ends_all_that_it_had_opened(changed: tuple[Lab, str, str]) -> None:
    lab, path, running = changed
    new = change_password(lab, "new-password-of-the-test")
    assert lab.get(path).status_code == 200  # the gateway can't know yet
    assert lab.get("/v1/systems/edge1/backups").status_code == 401
    for each in (path, path + "/content", running, "/v1/systems/edge1/operations"):
        assert lab.get(each).status_code == 401, each
    for each in (path, path + "/content", running, "/v1/systems/edge1/operations"):
        assert lab.get(each, **new).status_code == 200, each


def test_a_login_with_the_new_password_ends_what_the_old_one_had_opened(changed: tuple[Lab, str, str]) -> None:
    lab, path, running = changed
    new = change_password(lab, "new-password-of-the-test")
    assert lab.get("/v1/systems/edge1/backups", **new).status_code == 200
    for each in (path, path + "/content", running, "/v1/systems/edge1/operations"):
        assert lab.get(each).status_code == 401, each


def test_a_guess_ends_nothing_that_the_owner_had_opened(changed: tuple[Lab, str, str]) -> None:
    lab, path, running = changed
    assert lab.get("/v1/systems/edge1/backups", password="a-guess").status_code == 401
    before = logins_tried(lab)
    for each in (path, path + "/content", running):
        assert lab.get(each).status_code == 200, each
    assert logins_tried(lab) == before


def test_a_password_that_a_write_finds_refused_is_forgotten(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    path = lab.run({"action": "create_new", "name": "there.plb"}).path
    change_password(lab, "new-password-of-the-test")
    answer = lab.put({"action": "remove", "name": "there.plb"})
    assert answer.status_code == 202  # the login worked a moment ago
    found = lab.finish(lab.path_of(answer))  # the user who requested it still learns its outcome
    assert (found.document["state"], found.kind) == ("failed", "authentication_failed")
    assert lab.get(path).status_code == 401
    assert (lab.backups() / "there.plb").is_file()


def test_what_a_login_opened_ends_some_time_after_the_operation(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"remember_login_seconds": 0.5})
    lab.start()
    path = lab.run({"action": "create_new", "name": "there.plb"}).path
    change_password(lab, "new-password-of-the-test")
    time.sleep(0.6)
    assert lab.get(path).status_code == 401
