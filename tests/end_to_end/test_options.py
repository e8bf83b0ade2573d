# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where options come from, and which place wins."""

from __future__ import annotations

from typing import Any

import pytest
from runner import Run, Runner

INFO = "netops.activelogic.activelogic_backup_info"
WRONG = "wrong-Pa55word-of-the-test"


def play(ansible: Runner, task: dict[str, Any] | None = None, *, host: str = "edge1", **keywords: Any) -> Run:
    """Run one task that lists the backups, in a play with more keywords."""
    return ansible.play({"name": "List", INFO: {}, **(task or {})}, hosts=host, **keywords)


def test_option_of_the_task_wins_over_the_variable(ansible: Runner) -> None:
    ansible.variables["activelogic_password"] = WRONG
    assert play(ansible).code == 2
    assert play(ansible, {INFO: {"password": ansible.lab.password}}).code == 0


def test_variable_wins_over_the_environment(ansible: Runner) -> None:
    environment = {"ACTIVELOGIC_PASSWORD": WRONG}
    assert play(ansible, {"environment": environment}).code == 0
    del ansible.variables["activelogic_password"]
    assert play(ansible, {"environment": environment}).code == 2


def test_environment_of_the_task_wins_over_that_of_the_command(ansible: Runner) -> None:
    password = ansible.variables.pop("activelogic_password")
    path = ansible.folder / "play.yml"
    assert play(ansible, {"environment": {"ACTIVELOGIC_PASSWORD": password}}).code == 0
    command = ["ansible-playbook", "-i", ansible.inventory(), str(path)]
    assert ansible.run(command, {"ACTIVELOGIC_PASSWORD": WRONG}).code == 0


def test_empty_option_of_the_task_leaves_it_to_the_variable(ansible: Runner) -> None:
    assert play(ansible, {INFO: {"password": "", "validate_certs": "", "retries": "", "name": ""}}).code == 0


def test_defaults_of_the_action_group_count_as_given(ansible: Runner) -> None:
    defaults = {"group/netops.activelogic.activelogic": {"password": WRONG}}
    assert play(ansible, module_defaults=defaults).code == 2
    ansible.variables["activelogic_password"] = WRONG
    defaults = {"group/netops.activelogic.activelogic": {"password": ansible.lab.password}}
    assert play(ansible, module_defaults=defaults).code == 0


def test_undefined_reference_in_a_variable_is_named(ansible: Runner) -> None:
    ansible.variables["activelogic_password"] = "{{ never_defined_anywhere }}"  # noqa: S105 - a reference
    run = play(ansible)
    assert run.code == 2
    assert "activelogic_password" in run.output
    assert "Traceback" not in run.output


def test_address_of_the_inventory_is_the_host(ansible: Runner) -> None:
    ansible.variables["ansible_host"] = "edge2"
    result = play(ansible).result()
    assert result["system"]["host"] == "edge2"
    ansible.variables["activelogic_host"] = "edge3"
    assert play(ansible).result()["system"]["host"] == "edge3"


def test_delegation_keeps_the_system_of_the_inventory(ansible: Runner) -> None:
    run = play(ansible, {"delegate_to": "localhost"}, host="all")
    assert run.code == 0, run.output
    assert [run.result(system)["system"]["host"] for system in ansible.hosts] == list(ansible.hosts)


def test_delegation_to_another_system_keeps_the_system_of_the_inventory(ansible: Runner) -> None:
    run = play(ansible, {"delegate_to": "edge2"})
    assert run.code == 0, run.output
    assert run.result()["system"]["host"] == "edge1"


@pytest.mark.parametrize("wanted", [True, False])
def test_login_of_the_connection_is_used_only_where_that_is_asked_for(ansible: Runner, wanted: bool) -> None:
    login = {"ansible_user": ansible.lab.username, "ansible_password": ansible.variables.pop("activelogic_password")}
    del ansible.variables["activelogic_username"]
    ansible.variables.update(login, activelogic_use_connection_login=wanted)
    run = play(ansible)
    assert run.code == (0 if wanted else 2), run.output
    assert login["ansible_password"] not in run.output


def test_password_of_the_connection_is_not_sent_for_another_user(ansible: Runner) -> None:
    ansible.variables["ansible_user"] = "somebody-else"
    ansible.variables["ansible_password"] = ansible.variables.pop("activelogic_password")
    ansible.variables["activelogic_use_connection_login"] = True
    run = play(ansible)
    assert run.code == 2
    assert "password is not set" in run.result()["msg"]
