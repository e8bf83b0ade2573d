# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which errors count as a sign that a system restarted: only those about the system itself."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils import _client, _connection, _failures

OWN_SIDE: dict[str, dict[str, Any]] = {
    "GATEWAY_REFUSES": {"url": "https://gateway.example.com"},
    "GATEWAY_CONNECTION_LOST": {"url": "https://gateway.example.com", "exception": "ConnectionResetError"},
    "GATEWAY_STATUS_BUSY": {"status": 503},
    "PROBLEM_LATER": {"said": "the gateway is shutting down"},
    "LOCAL_EXHAUSTED": {"why": "Too many open files"},
    "FILE_NO_ROOM": {"path": "/srv/x", "why": "No space left on device"},
    "GATEWAY_ANSWER_WRONG": {"flaw": "is not JSON"},
}
OF_THE_SYSTEM: dict[str, dict[str, Any]] = {
    "SYSTEM_REFUSES": {"said": ""},
    "SYSTEM_NOT_ANSWERING": {"seconds": 10},
    "SYSTEM_LOST": {"said": ""},
    "SYSTEM_LOGIN": {"user": "admin", "said": ""},
    "PROBLEM_UNREACHABLE": {"said": "the system can't be reached"},
    "PROBLEM_LOGIN": {"said": "the login was refused"},
}


class Probed:
    """A transport test double: the second probe fails, all others succeed."""

    def __init__(self, failure: Exception) -> None:
        self.left = [None, failure]

    def probe(self) -> None:
        """Fail the second time."""
        failure = self.left.pop(0) if self.left else None
        if failure is not None:
            raise failure


def outage_seen(row: str, facts: dict[str, Any]) -> bool:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    settings = _connection.settings_from({"host": "edge1", "username": "admin", "password": "x" * 20, **DEFAULTS})
    transport: Any = Probed(_failures.ALL[row].error(**facts))
    client = _client.Client(transport, settings, clock=lambda: now, sleep=sleep)
    return client.await_ready(15)


DEFAULTS = {option: entry.get("default") for option, entry in _connection.connection_argument_spec().items()}
DEFAULTS = {option: value for option, value in DEFAULTS.items() if option not in ("host", "username", "password")}


@pytest.mark.parametrize("row", OWN_SIDE)
def test_a_failure_of_our_own_side_is_no_outage_of_the_system(row: str) -> None:
    assert outage_seen(row, OWN_SIDE[row]) is False


@pytest.mark.parametrize("row", OF_THE_SYSTEM)
def test_a_failure_of_the_system_is_an_outage(row: str) -> None:
    assert outage_seen(row, OF_THE_SYSTEM[row]) is True


def test_what_is_said_of_the_system_is_a_row_of_the_table() -> None:
    rows = set(_failures.ALL.values())
    assert rows >= _failures.OF_THE_SYSTEM
    assert rows >= _failures.OUTAGES
    own = {"FILE_NO_ROOM", "FILE_UNUSABLE", "LOCAL_EXHAUSTED", "PROBLEM_ROOM", "PROBLEM_DEFECT", "SDK_FAILED"}
    assert not {_failures.ALL[name] for name in own} & (_failures.OF_THE_SYSTEM | _failures.OUTAGES)
