# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Throttled logins are retried once the gateway allows it, and the client causes few refused logins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests
from activelogic_gateway.auth import Login
from activelogic_gateway.logins import Logins
from activelogic_gateway.problems import Problem
from ansible_collections.netops.activelogic.plugins.module_utils._client import Client
from ansible_collections.netops.activelogic.plugins.module_utils._connection import Settings
from ansible_collections.netops.activelogic.plugins.module_utils._errors import (
    AccessDeniedError,
    ActiveLogicError,
    AuthenticationError,
    OutcomeUnknownError,
)
from ansible_collections.netops.activelogic.plugins.module_utils._failures import PROBLEM_LOGIN, PROBLEM_LOGINS
from ansible_collections.netops.activelogic.plugins.module_utils._transport._gateway import GatewayTransport

from tests.errors.odd_gateway import Answer, OddGateway, document, failed, problem, state
from tests.errors.scene import BACKUP, Scene
from tests.harness.lab import Lab
from tests.harness.login import GATEWAY

PASSWORD = "right-Pa55word-of-the-test"  # noqa: S105 - of a test
LISTED = document([{"name": "there.plb", "size": 5}])


class Clock:
    """A fake clock, which advances only during sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def odd() -> Iterator[OddGateway]:
    made = OddGateway()
    yield made
    made.stop()


def transport(odd: OddGateway, clock: Clock, **options: Any) -> GatewayTransport:
    settings = Settings("edge1", "admin", PASSWORD, gateway_url=odd.url, **options)
    return GatewayTransport(settings, clock=clock, sleep=clock.sleep)


def throttled(seconds: int, times: int, then: Answer) -> Answer:
    """Rejects this many requests as throttled, then answers with ``then``."""
    left = [times]

    def answer(request: BaseHTTPRequestHandler) -> None:
        left[0] -= 1
        (problem("too_many_failed_logins", "until 12:00:31", seconds) if left[0] >= 0 else then)(request)

    return answer


def test_the_while_is_waited_whole_whatever_the_longest_pause(odd: OddGateway) -> None:
    clock = Clock()
    odd.answers["GET backups"] = throttled(55, 1, LISTED)
    assert [each.name for each in transport(odd, clock, retries=1, retry_max_delay=2).list().backups] == ["there.plb"]
    (slept,) = clock.slept
    assert 55 < slept <= 57
    assert odd.asked == ["GET backups"] * 2


def test_it_ends_after_the_retries_with_the_gateways_sentence(odd: OddGateway) -> None:
    clock = Clock()
    odd.answers["GET backups"] = throttled(10, 100, LISTED)
    with pytest.raises(AccessDeniedError, match="until 12:00:31"):
        transport(odd, clock, retries=3).list()
    assert odd.asked == ["GET backups"] * 4


@pytest.mark.parametrize(("wait_timeout", "asked"), [(5, 1), (70, 2), (140, 3)])
def test_it_ends_before_the_clock_would_run_out(odd: OddGateway, wait_timeout: float, asked: int) -> None:
    clock = Clock()
    odd.answers["GET backups"] = throttled(60, 100, LISTED)
    with pytest.raises(AccessDeniedError):
        transport(odd, clock, wait_timeout=wait_timeout).list()
    assert odd.asked == ["GET backups"] * asked
    assert sum(clock.slept) <= wait_timeout


def test_without_retries_it_ends_at_once(odd: OddGateway) -> None:
    clock = Clock()
    odd.answers["GET backups"] = throttled(10, 100, LISTED)
    with pytest.raises(AccessDeniedError):
        transport(odd, clock, retries=0).list()
    assert clock.slept == []


def test_a_refused_login_is_never_repeated(odd: OddGateway) -> None:
    clock = Clock()
    odd.answers["GET backups"] = problem("authentication_failed", "it refused the login")
    with pytest.raises(AuthenticationError):
        transport(odd, clock).list()
    assert odd.asked == ["GET backups"]


@pytest.mark.parametrize("kind", ["authentication_failed", "too_many_failed_logins"])
def test_a_write_whose_end_is_not_told_is_unknown_and_a_restore_lost(odd: OddGateway, kind: str) -> None:
    """A restore may change the password, so a refused login afterwards says nothing about the restore."""
    clock = Clock()
    odd.answers["GET operation"] = problem(kind, "it refused the login", 5)
    with pytest.raises(OutcomeUnknownError, match="it refused the login"):
        transport(odd, clock).create_new("new.plb", None)
    assert transport(odd, clock).restore("there.plb", None, None) == "lost"


def test_a_write_that_was_not_let_in_did_not_run(odd: OddGateway) -> None:
    clock = Clock()
    odd.answers["PUT operation"] = problem("authentication_failed", "it refused the login")
    with pytest.raises(AuthenticationError):
        transport(odd, clock).restore("there.plb", None, None)
    odd.answers["PUT operation"] = state("queued")
    odd.answers["GET operation"] = failed("authentication_failed", "it refused the login")
    with pytest.raises(AuthenticationError):
        transport(odd, clock).restore("there.plb", None, None)


# Waiting for a system whose password was changed by a restore


class _Refusing:
    """The gateway's counter of refused logins, on the fake clock, for a system that refuses every login."""

    tries = 1
    gave_up = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._login = Login("admin", PASSWORD)
        self.logins = Logins(60, 5, 30, clock)
        self.at: list[float] = []

    async def _try(self) -> None:
        async with self.logins.attempt("edge1", self._login, "192.0.2.1"):
            self.logins.refused("edge1", self._login, "192.0.2.1")

    def probe(self) -> None:
        try:
            asyncio.run(self._try())
        except Problem as refusal:
            raise PROBLEM_LOGINS.error(said=refusal.detail, retry_after=float(refusal.headers["Retry-After"])) from None
        self.at.append(self._clock.now)
        raise PROBLEM_LOGIN.error(said="it refused the login")


def test_waiting_after_a_restore_leaves_an_operator_at_the_same_address_two_tries_at_any_moment() -> None:
    clock = Clock()
    transport: Any = _Refusing(clock)
    settings = Settings("edge1", "admin", PASSWORD, wait_timeout=1800)
    client = Client(transport, settings, clock=clock, sleep=clock.sleep)
    with pytest.raises(ActiveLogicError, match="1800 s"):
        client.await_ready(15)
    most = max(sum(1 for each in transport.at if end - 60 < each <= end) for end in transport.at)
    assert (most, len(transport.at)) == (3, 33)
    assert clock.now == 1000 + 1800


def test_a_throttled_probe_waits_until_logins_are_tried_again() -> None:
    clock = Clock()

    class Throttled(_Refusing):
        def probe(self) -> None:
            self.at.append(clock.now)
            raise PROBLEM_LOGINS.error(said="until 12:00:31", retry_after=50.0)

    transport: Any = Throttled(clock)
    client = Client(transport, Settings("edge1", "admin", PASSWORD, wait_timeout=100), clock=clock, sleep=clock.sleep)
    with pytest.raises(ActiveLogicError):
        client.await_ready(15)
    assert transport.at == [1000, 1050, 1100]


def test_a_restore_that_changes_the_password_spends_less_than_the_limit_of_its_user(tmp_path: Path) -> None:
    """With real parts: module, gateway and system; then an operator logs in from the same address."""
    other = "another-Pa55word-of-the-test"
    with Lab(tmp_path / "lab", ["edge1"]) as lab:
        (tmp_path / "scene").mkdir()
        scene = Scene(lab, "edge1", GATEWAY, tmp_path / "scene")
        scene.make("there.plb")
        scene.quirks(restart_after=0, restored_password=other)
        scene.run(BACKUP, state="restored", name="there.plb", force=True, wait_timeout=2, retries=4)
        assert scene.outcome is not None
        assert "may have another password" in scene.outcome.result["msg"]

        def status(password: str) -> int:
            url = f"{lab.url}/v1/systems/edge1"
            return requests.get(url, auth=(lab.username, password), verify=str(lab.ca_path), timeout=20).status_code

        refused = lab.audit_log.read_text(encoding="utf-8").count('"kind": "authentication_failed"')
        assert refused == 2  # one right away and one at the deadline
        assert [status("a wrong one"), status("a wrong one too"), status(other)] == [401, 401, 200]


# Many systems behind one address


def test_a_play_with_a_tenth_of_wrong_passwords_never_reaches_a_limit(tmp_path: Path) -> None:
    """100 systems, 50 at a time, the 10 with a wrong password first, with the modules' requests and retries.

    Then the failed ones four more times, with other wrong passwords: 40 guesses, more than an address without any
    successful login is allowed.
    """
    systems = [f"edge{number}" for number in range(100)]
    wrong = set(systems[:10])

    def play(pool: ThreadPoolExecutor, lab: Lab, mistake: str, systems: list[str]) -> list[str]:
        def task(system: str) -> str:
            password = mistake if system in wrong else lab.password
            url, authority = lab.url, str(lab.ca_path)
            settings = Settings(system, lab.username, password, gateway_url=url, ca_path=authority, retry_delay=0.01)
            client = Client(GatewayTransport(settings), settings, sleep=lambda seconds: None)
            try:
                client.identity()
                client.list()
            except ActiveLogicError as error:
                return error.kind
            finally:
                client.close()
            return "good"

        return list(pool.map(task, systems))

    with Lab(tmp_path / "lab", systems) as lab, ThreadPoolExecutor(50) as pool:
        said = play(pool, lab, "a wrong one", systems)
        assert said == ["authentication"] * 10 + ["good"] * 90
        for number in range(4):
            assert play(pool, lab, f"wrong {number}", systems[:10]) == ["authentication"] * 10
