# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A password that masks more than itself in a result causes a warning, which does not reveal it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.ansible_runs import INFO, Runner, succeeded
from tests.harness.lab import Lab
from tests.harness.login import DIRECT, GATEWAY, WAYS
from tests.harness.module_runs import ModuleRunner
from tests.harness.observer import backups_on
from tests.harness.systems import add_user

SHORT = "The password is shorter than 8 characters."
PART = "The password is part of a name or another value in the options or the result."
MASKS = (
    "Ansible masks every occurrence of it in results, so names and sizes may show as ********:"
    " give the user another password."
)
LONG_NAME = "edge-stockholm"
USERS = {
    "seven": "x7Qp-Zk",
    "eight": "x7Qp-Zk9",
    "in-backup": "before-u",
    "in-host": "stockholm",
    "operator-7": "operator",
}


@pytest.fixture(scope="module")
def lab_of_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A system with a long name, and users with various passwords."""
    with Lab(tmp_path_factory.mktemp("users") / "lab", [LONG_NAME]) as running:
        for user, password in USERS.items():
            add_user(running, LONG_NAME, user, password)
        yield running


@pytest.fixture
def as_user(lab_of_users: Lab, tmp_path: Path) -> Runner:
    """Ansible with that system; its output is the same in both ways."""
    return Runner(lab_of_users, GATEWAY, tmp_path)


@pytest.fixture(params=WAYS)
def modules(request: pytest.FixtureRequest, lab_of_users: Lab, tmp_path: Path) -> ModuleRunner:
    """Modules with that system, in both ways."""
    return ModuleRunner(lab_of_users, request.param, tmp_path, LONG_NAME)


def login_of(user: str) -> dict[str, str]:
    """The login options of one of the users."""
    return {"username": user, "password": USERS[user]}


@pytest.mark.parametrize(
    ("user", "module", "options", "why"),
    [
        ("seven", "activelogic_backup", {"state": "absent", "name": "missing.plb"}, SHORT),
        ("seven", "activelogic_backup", {"state": "restored", "name": "missing.plb"}, SHORT),
        ("eight", "activelogic_backup", {"state": "absent", "name": "missing.plb"}, None),
        ("in-backup", "activelogic_backup_info", {"name": "before-upgrade.plb"}, PART),
        ("in-host", "activelogic_backup_info", {}, PART),
        ("operator-7", "activelogic_backup_info", {}, PART),
    ],
)
def test_password_that_masks_results_is_warned_of_once(
    modules: ModuleRunner, user: str, module: str, options: dict[str, Any], why: str | None
) -> None:
    run = modules.run(module, **login_of(user), **options)
    shown = " ".join(run.output.split())
    assert run.code == (2 if options.get("state") == "restored" else 0), run.output
    assert [shown.count(f"{each} {MASKS}") for each in (SHORT, PART)] == [int(why == SHORT), int(why == PART)], shown
    assert len(run.result().get("warnings", [])) == int(why is not None), shown
    if why is SHORT:
        assert USERS[user] not in run.output


def test_backup_of_somebody_else_that_holds_the_password_is_warned_of(as_user: Runner) -> None:
    as_user.variables |= {"activelogic_username": "in-backup", "activelogic_password": USERS["in-backup"]}
    name = f"{as_user.way} before-u.plb"
    stored = Path(as_user.lab.root) / LONG_NAME / "backups" / name
    stored.write_bytes(b"content")
    try:
        run = succeeded(as_user.play({INFO: {"pattern": f"{as_user.way} *"}}, hosts=LONG_NAME))
    finally:
        stored.unlink()
    shown = " ".join(run.output.split())
    assert [shown.count(f"{each} {MASKS}") for each in (SHORT, PART)] == [0, 1], "the screen shows it once"
    assert run.result(LONG_NAME)["backups"][0]["name"] == f"{as_user.way} ********.plb"


def test_gateway_takes_no_name_that_holds_the_password(modules: ModuleRunner) -> None:
    """It stores and logs names; the direct way does neither."""
    name = f"{modules.way}-before-upgrade.plb"
    run = modules.run("activelogic_backup", name=name, **login_of("in-backup"))
    assert (name in backups_on(modules.lab, LONG_NAME)) == (modules.way == DIRECT)
    assert run.code == (0 if modules.way == DIRECT else 2), run.output
    if run.code:
        error = run.result(LONG_NAME)["error"]
        assert (error["kind"], error["hint"]) == (
            "refused",
            "give the user another password, or the backup another name",
        )
