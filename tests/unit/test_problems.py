# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the client reads a gateway's problem documents: facts come from members, never from prose."""

from __future__ import annotations

from typing import Any

import pytest
from activelogic_gateway.problems import Problem, from_sdk, not_logged_in
from ansible_collections.netops.activelogic.plugins.module_utils import _connection, _failures
from ansible_collections.netops.activelogic.plugins.module_utils._transport import _problems

DEFAULTS = {option: entry.get("default") for option, entry in _connection.connection_argument_spec().items()}
PASSWORD = "*password* of the test"  # noqa: S105
SETTINGS = _connection.settings_from({**DEFAULTS, "host": "edge1", "username": "admin", "password": PASSWORD})

LOST = from_sdk(OSError("lost"), connecting=False, doing="list the backups", system="edge1", secrets=()).document()
LOCKED = from_sdk(
    type("PLDBError", (Exception,), {})("locked: by a user"),
    connecting=False, doing="create a backup", system="edge1", secrets=(),
).document()  # fmt: skip


def reason_of(problem: dict[str, Any]) -> str:
    return str(_problems.error_from_problem(problem, SETTINGS).reason)


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (LOST, "OSError: lost"),
        (LOCKED, "PLDBError: locked: by a user; another session may hold the lock"),
        (
            not_logged_in("edge1", is_known=True).document(),
            "it refused the login, or the connection to it could not be established",
        ),
        (Problem("too_busy", "8 operations wait already").document(), "8 operations wait already"),
    ],
)
def test_what_the_sentence_says_already_is_not_said_again(problem: dict[str, Any], reason: str) -> None:
    assert reason_of(problem) == reason


def test_the_sentences_of_an_older_gateway_are_said_whole() -> None:
    older = {key: value for key, value in LOST.items() if key != "reason"}
    assert reason_of(older) == "system edge1: could not list the backups: OSError: lost"
    assert reason_of({**older, "detail": None}) == LOST["title"]
    assert reason_of({"kind": "unreachable"}) == "unreachable"


def test_nothing_is_cut_out_of_a_reason() -> None:
    reason = "system edge1: a tale: OSError: of two"
    assert reason_of({**LOST, "reason": reason}) == reason


def test_a_reason_shows_no_password() -> None:
    assert reason_of({**LOST, "reason": f"said {PASSWORD}"}) == "said ********"


def test_the_gateway_alone_knows_which_operation_holds_a_password() -> None:
    problem = Problem("password_in_operation", "the body holds the password of the login").document()
    error = _problems.error_from_problem(problem, SETTINGS)
    expected = _failures.PASSWORD_IN_OPERATION.error()
    assert (type(error), error.reason, error.hint) == (type(expected), expected.reason, expected.hint)
