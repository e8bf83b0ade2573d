# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where options can be set, and which place takes precedence."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.harness.ansible_runs import INFO, TRANSFER, Run, Runner, succeeded
from tests.harness.interpreters import old_pythons
from tests.harness.lab import BIN, Lab
from tests.harness.login import GATEWAY, WAYS
from tests.harness.plays import FOLDER, PASSWORD, USERNAME, Play, PlaysRun, RunOf
from tests.harness.systems import set_quirks

WRONG = "wrong-Pa55word-of-the-test"
GROUP = "group/netops.activelogic.activelogic"

pytestmark = pytest.mark.xdist_group("options")  # one worker makes the shared runs

PLAYS: list[Play] = []
"""The plays of the run that most of the tests below share."""

FROM_ENVIRONMENT: list[Play] = []
"""The plays of a run with a wrong password in its environment."""


def play(ansible: Runner, task: dict[str, Any] | None = None, *, host: str = "edge1", **keywords: Any) -> Run:
    """Run one task that lists the backups, with further play keywords."""
    return ansible.play({"name": "List", INFO: {}, **(task or {})}, hosts=host, **keywords)


def listing(
    name: str,
    task: Mapping[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
    *,
    run: list[Play] | None = None,
    **more: Any,
) -> Play:
    """Add a play with one task that lists the backups to a run, by default to :data:`PLAYS`."""
    added = Play(name, [{"name": "List", INFO: {}, **(task or {})}], variables or {}, **more)
    (PLAYS if run is None else run).append(added)
    return added


@pytest.fixture(scope="module")
def shared_run(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> PlaysRun:
    """The run of :data:`PLAYS`."""
    hosts = {"edge2": {"ansible_connection": "local", "ansible_host": "edge2"}}
    return PlaysRun(lab, tmp_path_factory.mktemp("options"), PLAYS, hosts=hosts)


@pytest.fixture(params=WAYS)
def run_of(request: pytest.FixtureRequest, shared_run: PlaysRun) -> RunOf:
    """The outcome of a play, in both ways."""
    return lambda asked: shared_run.of(asked, request.param)


OPTION_LEFT_OUT = listing("option-left-out", variables={"activelogic_password": WRONG})
OPTION_OF_TASK = listing("option-of-task", {INFO: {"password": PASSWORD}}, {"activelogic_password": WRONG})


def test_option_of_the_task_wins_over_the_variable(run_of: RunOf) -> None:
    assert run_of(OPTION_LEFT_OUT).code == 2
    assert run_of(OPTION_OF_TASK).code == 0


WRONG_IN_TASK = {"environment": {"ACTIVELOGIC_PASSWORD": WRONG}}
VARIABLE_AND_ENVIRONMENT = listing("variable-and-environment", WRONG_IN_TASK)
ENVIRONMENT_ALONE = listing("environment-alone", WRONG_IN_TASK, {"activelogic_password": None})


def test_variable_wins_over_the_environment(run_of: RunOf) -> None:
    assert run_of(VARIABLE_AND_ENVIRONMENT).code == 0
    assert run_of(ENVIRONMENT_ALONE).code == 2


RIGHT_IN_TASK = {"environment": {"ACTIVELOGIC_PASSWORD": PASSWORD}}
NO_PASSWORD = {"activelogic_password": None}
ENVIRONMENT_OF_TASK = listing("environment-of-task", RIGHT_IN_TASK, NO_PASSWORD)
BOTH_ENVIRONMENTS = listing("both-environments", RIGHT_IN_TASK, NO_PASSWORD, run=FROM_ENVIRONMENT)
ENVIRONMENT_OF_COMMAND = listing("environment-of-command", variables=NO_PASSWORD, run=FROM_ENVIRONMENT)


@pytest.fixture(scope="module")
def run_with_environment(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> PlaysRun:
    """The run of :data:`FROM_ENVIRONMENT`."""
    folder = tmp_path_factory.mktemp("environment")
    return PlaysRun(lab, folder, FROM_ENVIRONMENT, environment={"ACTIVELOGIC_PASSWORD": WRONG})


@pytest.mark.parametrize("way", WAYS)
def test_environment_of_the_task_wins_over_that_of_the_command(
    shared_run: PlaysRun, run_with_environment: PlaysRun, way: str
) -> None:
    assert shared_run.of(ENVIRONMENT_OF_TASK, way).code == 0
    assert run_with_environment.of(BOTH_ENVIRONMENTS, way).code == 0
    assert run_with_environment.of(ENVIRONMENT_OF_COMMAND, way).code == 2, "its environment was not looked at"


EMPTY_OPTIONS = listing("empty-options", {INFO: {"password": "", "validate_certs": "", "retries": "", "name": ""}})


def test_empty_option_of_the_task_leaves_it_to_the_variable(run_of: RunOf) -> None:
    assert run_of(EMPTY_OPTIONS).code == 0


def defaults(password: str) -> dict[str, Any]:
    return {"module_defaults": {GROUP: {"password": password}}}


WRONG_DEFAULT = listing("wrong-default", keywords=defaults(WRONG))
RIGHT_DEFAULT = listing("right-default", variables={"activelogic_password": WRONG}, keywords=defaults(PASSWORD))


def test_defaults_of_the_action_group_count_as_given(run_of: RunOf) -> None:
    assert run_of(WRONG_DEFAULT).code == 2
    assert run_of(RIGHT_DEFAULT).code == 0


UNDEFINED = listing("undefined", variables={"activelogic_password": "{{ never_defined_anywhere }}"})


def test_undefined_reference_in_a_variable_is_named(run_of: RunOf) -> None:
    run = run_of(UNDEFINED)
    assert run.code == 2
    assert "activelogic_password" in run.result()["msg"]
    assert "Traceback" not in run.output


ADDRESS = listing("address", variables={"ansible_host": "edge2"})
ADDRESS_AND_HOST = listing("address-and-host", variables={"ansible_host": "edge2", "activelogic_host": "edge3"})


def test_address_of_the_inventory_is_the_host(run_of: RunOf) -> None:
    assert run_of(ADDRESS).result()["system"]["host"] == "edge2"
    assert run_of(ADDRESS_AND_HOST).result()["system"]["host"] == "edge3"


SYSTEMS = ("edge1", "edge2", "edge3")
DELEGATED = listing("delegated", {"delegate_to": "localhost"}, systems=SYSTEMS)
DELEGATED_TO_SYSTEM = listing("delegated-to-system", {"delegate_to": "edge2"})


def test_delegation_keeps_the_system_of_the_inventory(run_of: RunOf) -> None:
    run = succeeded(run_of(DELEGATED))
    assert [run.result(system)["system"]["host"] for system in SYSTEMS] == list(SYSTEMS)


def test_delegation_to_another_system_keeps_the_system_of_the_inventory(run_of: RunOf) -> None:
    run = succeeded(run_of(DELEGATED_TO_SYSTEM))
    assert run.result()["system"]["host"] == "edge1"


NO_LOGIN = {"activelogic_username": None, "activelogic_password": None}
OF_CONNECTION = {**NO_LOGIN, "ansible_user": USERNAME, "ansible_password": PASSWORD}
CONNECTION_LOGIN = {
    wanted: listing(
        f"connection-login-{wanted}", variables={**OF_CONNECTION, "activelogic_use_connection_login": wanted}
    )
    for wanted in (True, False)
}
OF_ANOTHER = {"ansible_user": "somebody-else", "ansible_password": PASSWORD, "activelogic_password": None}
ANOTHER_USER = listing("another-user", variables={**OF_ANOTHER, "activelogic_use_connection_login": True})


@pytest.mark.parametrize("wanted", [True, False])
def test_login_of_the_connection_is_used_only_where_that_is_asked_for(run_of: RunOf, lab: Lab, wanted: bool) -> None:
    run = run_of(CONNECTION_LOGIN[wanted])
    assert run.code == (0 if wanted else 2), run.output
    assert lab.password not in run.output


def test_password_of_the_connection_is_not_sent_for_another_user(run_of: RunOf) -> None:
    run = run_of(ANOTHER_USER)
    assert run.code == 2
    assert "password is not set" in run.result()["msg"]


# The environment, and the system that it may name

ENVIRONMENT_IGNORED = "ACTIVELOGIC_HOST in the environment is not used"


@pytest.mark.parametrize("delegate", [{}, {"delegate_to": "localhost"}], ids=["own", "delegated"])
def test_environment_never_names_the_system_of_a_host_in_the_inventory(
    through_gateway: Runner, delegate: dict[str, Any]
) -> None:
    through_gateway.hosts = ("edge1", "edge2")
    task = {"environment": {"ACTIVELOGIC_HOST": "edge-of-the-task"}, **delegate}
    run = succeeded(play(through_gateway, task, host="all", process_environment={"ACTIVELOGIC_HOST": "edge3"}))
    for system in through_gateway.hosts:
        assert run.result(system)["system"]["host"] == system
    assert run.output.count(ENVIRONMENT_IGNORED) == 1, "it is said, and not for each host"


def test_host_that_is_added_while_the_play_runs_is_itself(through_gateway: Runner) -> None:
    add = {"name": "Add", "ansible.builtin.add_host": {"name": "new", "ansible_host": "edge2", "groups": "added"}}
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


# What Ansible displays


@pytest.mark.parametrize("background", [{}, {"async": 60, "poll": 1}], ids=["foreground", "background"])
def test_password_of_the_task_environment_is_in_no_command_line(
    through_gateway: Runner, background: dict[str, Any]
) -> None:
    """Neither in the process list nor in the output of ``-vvv``; a retry of the task gets the password too."""
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
    """Each module of the role has its own command line, including the one that checks the destination."""
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


HIDDEN = "proxy-Pa55word-of-the-test"
PROXY = {"proxy_url": "http://127.0.0.1:9", "proxy_username": "operator", "proxy_password": HIDDEN}
PROXIED = Play(
    "proxied",
    [{"name": "List", INFO: {}}],
    {f"activelogic_{option}": value for option, value in PROXY.items()},
    ways=[GATEWAY],
)
SKIPPED = {"direction": "fetch", "name": "none.plb", "on_missing": "skip", "dest": f"{FOLDER}/x.plb"}
UNSAFE_WRITES = Play(
    "unsafe-writes",
    [
        {"name": "No", TRANSFER: SKIPPED},
        {"name": "Yes", TRANSFER: {**SKIPPED, "unsafe_writes": True}},
        {"name": "Default", TRANSFER: SKIPPED, "module_defaults": {TRANSFER: {"unsafe_writes": True}}},
    ],
    ways=[GATEWAY],
    keywords={"environment": {"ANSIBLE_UNSAFE_WRITES": "1"}},
)


@pytest.fixture(scope="module")
def verbose_run(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> PlaysRun:
    """A run with the highest verbosity."""
    folder, environment = tmp_path_factory.mktemp("verbose"), {"ANSIBLE_UNSAFE_WRITES": "1"}
    return PlaysRun(lab, folder, [PROXIED, UNSAFE_WRITES], arguments=["-vvvvv"], environment=environment)


def test_proxy_with_a_login_is_used_and_its_password_is_never_shown(verbose_run: PlaysRun) -> None:
    run = verbose_run.of(PROXIED, GATEWAY)
    assert "proxy" in run.result()["msg"]
    assert '"proxy_username": "operator"' in run.output
    assert HIDDEN not in run.output


# Other effects of the environment and the connection


def test_only_the_task_switches_unsafe_writes_on(verbose_run: PlaysRun) -> None:
    run = succeeded(verbose_run.of(UNSAFE_WRITES, GATEWAY))
    found = [run.result(task=name)["invocation"]["module_args"]["unsafe_writes"] for name in ("No", "Yes", "Default")]
    assert found == [False, True, True]


def test_ad_hoc_command_without_a_login_says_how_to_use_that_of_the_connection(through_gateway: Runner) -> None:
    unset = {"activelogic_username": None, "activelogic_password": None}
    run = through_gateway.ad_hoc("activelogic_backup_info", variables=unset)
    assert run.code == 2
    assert "set the variable activelogic_use_connection_login" in run.result()["msg"]


OF_ROOT: list[Play] = []
"""The plays of a run with root as its connection's user; the one that must not warn comes first."""

NO_USERNAME = {"activelogic_username": None, "activelogic_use_connection_login": True}
ROOT_OF_INVENTORY = listing(
    "root-of-inventory", variables={**NO_USERNAME, "ansible_user": "root"}, run=OF_ROOT, ways=[GATEWAY]
)
ROOT_OF_COMMAND = listing("root-of-command", variables=NO_USERNAME, run=OF_ROOT, ways=[GATEWAY])


@pytest.fixture(scope="module")
def run_of_root(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> PlaysRun:
    """A run like an AWX job whose Machine credential has no user."""
    return PlaysRun(lab, tmp_path_factory.mktemp("root"), OF_ROOT, arguments=["-u", "root"])


@pytest.mark.parametrize("explicit", [True, False])
def test_root_of_a_machine_credential_without_a_user_is_told(run_of_root: PlaysRun, explicit: bool) -> None:
    """AWX runs such a job with ``-u root``."""
    run = run_of_root.of(ROOT_OF_INVENTORY if explicit else ROOT_OF_COMMAND, GATEWAY)
    assert run.code == 2
    assert run.result()["error"]["kind"] == "authentication"
    assert ("Machine credential that has no user name" in " ".join(run.output.split())) is not explicit


# Python versions that are too old


OLD_PYTHONS = old_pythons()
WITH_OLD_PYTHON = {
    number: listing(f"python-{number}", variables={"ansible_python_interpreter": interpreter}, ways=[GATEWAY])
    for number, interpreter in OLD_PYTHONS.items()
}
WITH_OWN_PYTHON = listing("own-python", variables={"ansible_python_interpreter": sys.executable}, ways=[GATEWAY])


@pytest.mark.parametrize("number", ["3.6", "3.7", "3.8"])
def test_python_that_is_too_old_is_told_in_one_sentence(shared_run: PlaysRun, number: str) -> None:
    """Reported by the module, or by ansible-core if that does not support the version either."""
    interpreter = OLD_PYTHONS.get(number)
    if interpreter is None:
        pytest.skip(f"there is no Python {number} here")
    run = shared_run.of(WITH_OLD_PYTHON[number], GATEWAY)
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


def test_python_of_ansible_is_not_too_old(shared_run: PlaysRun) -> None:
    succeeded(shared_run.of(WITH_OWN_PYTHON, GATEWAY))
