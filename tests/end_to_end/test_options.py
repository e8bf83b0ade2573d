# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where options come from, and which place wins."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.harness.ansible_runs import Run, Runner, succeeded
from tests.harness.interpreters import old_pythons
from tests.harness.lab import BIN
from tests.harness.systems import set_quirks

TRANSFER = "netops.activelogic.activelogic_backup_transfer"
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


# The environment, and which system it may name

ENVIRONMENT_IGNORED = "ACTIVELOGIC_HOST in the environment is not used"


@pytest.mark.parametrize("delegate", [{}, {"delegate_to": "localhost"}], ids=["own", "delegated"])
def test_environment_never_names_the_system_of_a_host_in_the_inventory(
    through_gateway: Runner, delegate: dict[str, Any]
) -> None:
    task = {"environment": {"ACTIVELOGIC_HOST": "edge2"}, **delegate}
    run = succeeded(play(through_gateway, task, host="all", process_environment={"ACTIVELOGIC_HOST": "edge3"}))
    for system in through_gateway.hosts:
        assert run.result(system)["system"]["host"] == system
    assert run.output.count(ENVIRONMENT_IGNORED) == 1, "it is said, and not for each host"


def test_host_that_is_added_while_the_play_runs_is_itself(through_gateway: Runner) -> None:
    add = {"name": "Add", "ansible.builtin.add_host": {"name": "new", "ansible_host": "edge2", "groups": "added"}}
    through_gateway.play(add)
    playbook = through_gateway.folder / "two.yml"
    plays = [
        {"hosts": "edge1", "gather_facts": False, "tasks": [add]},
        {"hosts": "added", "gather_facts": False, "tasks": [{"name": "List", INFO: {}}]},
    ]
    playbook.write_text(json.dumps(plays), encoding="utf-8")
    command = ["ansible-playbook", "-i", through_gateway.inventory(), str(playbook)]
    run = succeeded(through_gateway.run(command, {"ACTIVELOGIC_HOST": "edge3"}))
    assert run.result("new", "List")["system"]["host"] == "edge2"


@pytest.mark.parametrize("explicit", [True, False])
def test_environment_names_the_system_for_localhost(through_gateway: Runner, explicit: bool) -> None:
    variables = dict(through_gateway.variables)
    through_gateway.hosts = ("localhost",) if explicit else ("edge1",)
    task = {"loop": ["edge1", ""], INFO: {"host": "{{ item }}"}, "vars": variables}
    run = succeeded(play(through_gateway, task, host="localhost", process_environment={"ACTIVELOGIC_HOST": "edge3"}))
    asked = [each["system"]["host"] for each in run.result("localhost")["results"]]
    assert asked == ["edge1", "edge3"]
    assert ENVIRONMENT_IGNORED not in run.output


def test_environment_does_not_name_the_system_of_a_localhost_that_is_another_one(through_gateway: Runner) -> None:
    through_gateway.hosts = ("localhost",)
    through_gateway.variables["ansible_host"] = "edge2"
    run = succeeded(play(through_gateway, host="localhost", process_environment={"ACTIVELOGIC_HOST": "edge3"}))
    assert run.result("localhost")["system"]["host"] == "edge2"


# What is shown


@pytest.mark.parametrize("background", [{}, {"async": 60, "poll": 1}], ids=["foreground", "background"])
def test_password_of_the_task_environment_is_in_no_command_line(
    through_gateway: Runner, background: dict[str, Any]
) -> None:
    """Neither in the process list nor in what ``-vvv`` shows; and a second try of the task has it as well."""
    ansible, password = through_gateway, through_gateway.variables.pop("activelogic_password")
    environment = {"ACTIVELOGIC_PASSWORD": password, "OTHER_OF_THE_TEST": "kept"}
    task: dict[str, Any] = {"name": "List", INFO: {}, "environment": environment}
    if not background:
        task |= {"register": "listed", "until": "listed.attempts == 2", "retries": 2, "delay": 0}
    (ansible.folder / "play.yml").write_text(
        json.dumps([{"hosts": "edge1", "gather_facts": False, "tasks": [{**task, **background}]}]), encoding="utf-8"
    )
    inventory = ansible.inventory()
    seconds = 1.0
    set_quirks(ansible.lab, "edge1", faults=[{"command": "list", "does": "wait", "seconds": seconds, "times": 1}])
    process = subprocess.Popen(
        [str(BIN / "ansible-playbook"), "-vvv", "-i", inventory, str(ansible.folder / "play.yml")],
        env=ansible.environment({}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ansible.folder,
    )
    seen = ""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        seen += subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        time.sleep(0.1)
    output, _none = process.communicate(timeout=60)
    set_quirks(ansible.lab, "edge1")
    assert process.returncode == 0, output
    assert "OTHER_OF_THE_TEST=kept" in seen, "the module was never seen"
    assert "OTHER_OF_THE_TEST=kept" in output
    assert password not in seen
    assert password not in output


def test_password_of_the_play_environment_is_in_no_command_line_of_the_role(through_gateway: Runner) -> None:
    """Each module of the role writes its own command line, the one that checks the destination as well."""
    ansible, password = through_gateway, through_gateway.variables.pop("activelogic_password")
    environment = {"ACTIVELOGIC_PASSWORD": password, "OTHER_OF_THE_TEST": "kept"}
    role = {"role": "netops.activelogic.backup_and_fetch", "backup_and_fetch_dest": str(ansible.folder / "archive")}
    plays = [{"hosts": "edge1", "gather_facts": False, "environment": environment, "roles": [role]}]
    playbook = ansible.folder / "play.yml"
    playbook.write_text(json.dumps(plays), encoding="utf-8")
    run = ansible.run(["ansible-playbook", "-vvv", "-i", ansible.inventory(), str(playbook)])
    assert run.code == 0, run.output
    assert run.output.count("OTHER_OF_THE_TEST=kept") == 3, "each module has the rest of the environment"
    assert password not in run.output


def test_proxy_with_a_login_is_used_and_its_password_is_never_shown(through_gateway: Runner) -> None:
    hidden = "proxy-Pa55word-of-the-test"
    login = {"proxy_url": "http://127.0.0.1:9", "proxy_username": "operator", "proxy_password": hidden}
    through_gateway.variables |= {f"activelogic_{option}": value for option, value in login.items()}
    run = play(through_gateway, arguments=["-vvvvv"])
    assert "proxy" in run.result()["msg"]
    assert '"proxy_username": "operator"' in run.output
    assert hidden not in run.output


# What else the environment or the connection brings


def test_only_the_task_switches_unsafe_writes_on(through_gateway: Runner, tmp_path: Path) -> None:
    options = {"direction": "fetch", "name": "none.plb", "on_missing": "skip", "dest": str(tmp_path / "x.plb")}
    run = through_gateway.play(
        {"name": "No", TRANSFER: options},
        {"name": "Yes", TRANSFER: {**options, "unsafe_writes": True}},
        {"name": "Default", TRANSFER: options, "module_defaults": {TRANSFER: {"unsafe_writes": True}}},
        arguments=["-vvv"],
        environment={"ANSIBLE_UNSAFE_WRITES": "1"},
        process_environment={"ANSIBLE_UNSAFE_WRITES": "1"},
    )
    succeeded(run)
    found = [run.result(task=name)["invocation"]["module_args"]["unsafe_writes"] for name in ("No", "Yes", "Default")]
    assert found == [False, True, True]


def test_ad_hoc_command_without_a_login_says_how_to_use_that_of_the_connection(through_gateway: Runner) -> None:
    unset = {"activelogic_username": None, "activelogic_password": None}
    run = through_gateway.ad_hoc("activelogic_backup_info", variables=unset)
    assert run.code == 2
    assert "set the variable activelogic_use_connection_login" in run.result()["msg"]


@pytest.mark.parametrize("explicit", [True, False])
def test_root_of_a_machine_credential_without_a_user_is_told(through_gateway: Runner, explicit: bool) -> None:
    """A job of AWX runs with ``-u root`` then."""
    ansible = through_gateway
    del ansible.variables["activelogic_username"]
    ansible.variables["activelogic_use_connection_login"] = True
    if explicit:
        ansible.variables["ansible_user"] = "root"
    run = ansible.run(["ansible", "edge1", "-i", ansible.inventory(), "-u", "root", "-m", INFO])
    assert run.code == 2
    assert run.result()["error"]["kind"] == "authentication"
    assert ("Machine credential that has no user name" in " ".join(run.output.split())) is not explicit


# Pythons that are too old


@pytest.mark.parametrize("number", ["3.6", "3.7", "3.8"])
def test_python_that_is_too_old_is_told_in_one_sentence(through_gateway: Runner, number: str) -> None:
    """By the module, or by core, which some versions of Python are too old for."""
    interpreter = old_pythons().get(number)
    if interpreter is None:
        pytest.skip(f"there is no Python {number} here")
    through_gateway.variables["ansible_python_interpreter"] = interpreter
    run = through_gateway.ad_hoc("activelogic_backup_info")
    assert run.code == 2
    found = re.fullmatch(
        r"ActiveLogic system edge1: the modules need Python 3\.9 or later, and (.+) is Python ([0-9.]+);"
        r" set the variable ansible_python_interpreter of the host to the path of a Python 3\.9 or later\.",
        run.result()["msg"],
    )
    assert found, run.output
    assert found.group(1) == interpreter
    assert found.group(2).startswith(f"{number}.")
    assert "Traceback" not in run.output


def test_python_of_ansible_is_not_too_old(through_gateway: Runner) -> None:
    through_gateway.variables["ansible_python_interpreter"] = sys.executable
    succeeded(through_gateway.ad_hoc("activelogic_backup_info"))
