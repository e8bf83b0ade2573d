# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keywords of tasks and plays, vaults and similar features work with the modules.

Ansible's own features (loops, delegation, ``no_log``, vaults) do not depend on the way to a system, so they are tested
in one way only.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests.harness.ansible_runs import BACKUP, INFO, TRANSFER, Run, Runner, succeeded
from tests.harness.lab import BIN, Lab
from tests.harness.login import GATEWAY, WAYS
from tests.harness.observer import backups_on, digest_of_systems
from tests.harness.plays import (
    FOLDER,
    NO_CONNECTION,
    USERNAME,
    WAY,
    Play,
    PlaysRun,
    RunOf,
    connection,
    look,
    looked,
)
from tests.harness.waiting import until

GROUP = "group/netops.activelogic.activelogic"
WRONG = "wrong-Pa55word-of-the-test"
SYSTEMS = ("edge1", "edge2", "edge3")

pytestmark = pytest.mark.xdist_group("playbook_features")  # one worker makes the shared runs

PLAYS: list[Play] = []
"""The plays of the run that most of the tests below share."""

VERBOSE: list[Play] = []
"""The plays of a run with ``-vvv --diff`` and the vault's password."""


def added(name: str, *tasks: dict[str, Any], run: list[Play] | None = None, **more: Any) -> Play:
    """Add a play to a run, by default to :data:`PLAYS`."""
    play = Play(name, tasks, **more)
    (PLAYS if run is None else run).append(play)
    return play


DELEGATE = {
    "ansible_connection": "local",
    "activelogic_username": "nobody-there",
    "activelogic_password": WRONG,
    "activelogic_host": "edge2",
}
"""Variables of the host that tasks are delegated to: its own login, and a local connection that the others lack."""


@pytest.fixture(scope="module")
def shared_run(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> PlaysRun:
    """The run of :data:`PLAYS`."""
    hosts = {"edge2": DELEGATE, "localhost": DELEGATE}
    return PlaysRun(lab, tmp_path_factory.mktemp("features"), PLAYS, hosts=hosts)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """The way to reach the systems."""
    found: str = request.param
    return found


@pytest.fixture
def run_of(shared_run: PlaysRun, way: str) -> RunOf:
    """The outcome of a play in that way."""
    return lambda asked: shared_run.of(asked, way)


def on_system(lab: Lab, way: str, system: str = "edge1") -> set[str]:
    """Names of the backups on a system that were made in the current way."""
    return {name for name in backups_on(lab, system) if name.startswith(way)}


# Asynchronous tasks


def background(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Tasks that start a task, assert that it is still running, and wait for it to end."""
    return [
        {"name": "Start", **task, "async": 600, "poll": 0, "register": "started"},
        {"name": "See", "ansible.builtin.assert": {"that": "not (started.finished | bool)"}},
        {
            "name": "Wait",
            "ansible.builtin.async_status": {"jid": "{{ started.ansible_job_id }}"},
            "register": "ended",
            "until": "ended is finished",
            "retries": 20,
            "delay": 3,  # longer than most modules take: each poll runs a module too
        },
    ]


IN_BACKGROUND = background({BACKUP: {"name": f"{WAY}-background.plb"}})
TEMPORARY = {"ansible_remote_tmp": f"{FOLDER}/{WAY}-remote"}
BACKGROUND = added("background", *IN_BACKGROUND, variables=TEMPORARY, systems=SYSTEMS[:2])
BACKGROUND_AGAIN = added("background-again", *IN_BACKGROUND, variables=TEMPORARY)


def test_background_tasks_do_their_work_and_report_it(run_of: RunOf, shared_run: PlaysRun, way: str) -> None:
    first = succeeded(run_of(BACKGROUND))
    for system in BACKGROUND.systems:
        result = first.result(system, "Wait")
        assert (result["changed"], result["action"], result["system"]["host"]) == (True, "created", system)
        assert result["backup"]["size"] == backups_on(shared_run.lab, system)[f"{way}-background.plb"]
    second = succeeded(run_of(BACKGROUND_AGAIN))
    assert second.result("edge1", "Wait")["changed"] is False
    remote = shared_run.folder / f"{way}-remote"
    until(lambda: not any(remote.iterdir()))  # the files contain the password


def test_background_task_in_check_mode_writes_nothing(lab: Lab, tmp_path: Path) -> None:
    play = Play("checked", background({BACKUP: {"name": "never-made.plb"}}))
    before = digest_of_systems(lab)
    run = PlaysRun(lab, tmp_path, [play], arguments=["--check"])
    assert digest_of_systems(lab) == before
    for checked in (run.of(play, way) for way in WAYS):
        if importlib.metadata.version("ansible-core").startswith("2.16."):
            assert "check mode and async cannot be used" in checked.output  # this version rejects the combination
        else:
            assert succeeded(checked).result("edge1", "Wait")["action"] == "created"


BACKGROUND_FAILED = added("background-failed", *background({BACKUP: {"state": "restored", "name": "missing.plb"}}))


def test_failure_of_a_background_task_is_reported_like_any_other(run_of: RunOf) -> None:
    run = run_of(BACKGROUND_FAILED)
    assert run.code == 2, run.output
    result = run.result("edge1", "Wait")
    assert (result["error"]["kind"], result["error"]["system"]) == ("not_found", "edge1")
    assert "missing.plb" in result["msg"]


# Loops and delegation


def each_of(name: str, state: str, count: int) -> dict[str, Any]:
    """A task that loops over the first of two backups, or over both."""
    names = [f"{WAY}-loop-{each}.plb" for each in ("a", "b, c")][:count]
    items = [{"name": each, "state": state, "label": f"label {number}"} for number, each in enumerate(names)]
    return {
        "name": name,
        BACKUP: {"name": "{{ item.name }}", "state": "{{ item.state }}"},
        "loop": items,
        "loop_control": {"label": "{{ item.label }}"},
    }


LOOP = added(
    "loop",
    look("Before"),
    each_of("Each", "present", 2),
    look("After"),
    each_of("Again", "present", 2),
    each_of("Remove", "absent", 1),
    look("Removed"),
    ways=[GATEWAY],
)


def test_loop_makes_and_removes_each_of_its_backups(shared_run: PlaysRun) -> None:
    names = [f"{GATEWAY}-loop-{each}.plb" for each in ("a", "b, c")]
    run = succeeded(shared_run.of(LOOP, GATEWAY))
    kept = looked(run, "Before", GATEWAY)
    first = run.of_task("Each")
    assert [each["backup"]["name"] for each in first.result()["results"]] == names
    assert looked(run, "After", GATEWAY) == kept | set(names)
    assert "(item=label 0)" in first.output
    assert names[0] not in first.output
    assert [each["changed"] for each in run.result(task="Again")["results"]] == [False, False]
    assert looked(run, "Removed", GATEWAY) == kept | set(names[1:])


OTHERS = ("edge2", "edge3")
DELEGATED = {
    delegate: added(
        f"delegated-to-{delegate}",
        *(look(f"Before {system}", system) for system in OTHERS),
        {"name": "Make", BACKUP: {"name": f"{WAY}-delegated-{delegate}.plb"}, "delegate_to": delegate},
        look("After"),
        *(look(f"After {system}", system) for system in OTHERS),
        variables={"ansible_connection": None},
        ways=[GATEWAY],
    )
    for delegate in ("edge2", "localhost")
}


@pytest.mark.parametrize("delegate", ["edge2", "localhost"])
def test_delegated_task_works_on_the_system_of_its_own_host(shared_run: PlaysRun, delegate: str) -> None:
    """Even if the delegate has its own login and only it has a local connection."""
    run = succeeded(shared_run.of(DELEGATED[delegate], GATEWAY))
    assert run.result(task="Make")["system"]["host"] == "edge1"
    assert f"{GATEWAY}-delegated-{delegate}.plb" in looked(run, "After")
    for system in OTHERS:
        assert looked(run, f"After {system}") == looked(run, f"Before {system}")


GATHERED = f"{WAY}-gathered.plb"
FETCH_GATHERED = {"direction": "fetch", "name": GATHERED, "dest": f"{FOLDER}/{{{{ inventory_hostname }}}}.plb"}
GATHER = added(
    "gather",
    {BACKUP: {"name": GATHERED}, "delegate_to": "localhost"},
    {TRANSFER: FETCH_GATHERED, "delegate_to": "localhost"},
    systems=SYSTEMS[:2],
)


def test_delegated_fetch_writes_one_file_for_each_system(run_of: RunOf, shared_run: PlaysRun, way: str) -> None:
    succeeded(run_of(GATHER))
    for system in GATHER.systems:
        there = shared_run.lab.root / system / "backups" / f"{way}-gathered.plb"
        assert (shared_run.folder / f"{GATHER.host(way, system)}.plb").read_bytes() == there.read_bytes()


# What Ansible displays


UNSEEN = added("unseen", {BACKUP: {"name": f"{WAY}-unseen.plb"}, "no_log": True}, run=VERBOSE, ways=[GATEWAY])


def test_no_log_hides_everything_but_what_is_done(verbose_run: PlaysRun) -> None:
    run, name = succeeded(verbose_run.of(UNSEEN, GATEWAY)), f"{GATEWAY}-unseen.plb"
    assert name in on_system(verbose_run.lab, GATEWAY)
    assert "censored" in run.result()
    assert name not in json.dumps(run.results)
    shown = [line for line in run.output.splitlines() if name in line]
    assert shown == []


OLD = f"{WAY}-diff-old.plb"
REMOVE_OLD = {BACKUP: {"state": "absent", "name": OLD}, "diff": True}
DIFF = added(
    "diff",
    {"name": "Old", BACKUP: {"name": OLD}},
    {"name": "Checked", **REMOVE_OLD, "check_mode": True},
    look("After check"),
    {"name": "Done", **REMOVE_OLD},
    look("After removal"),
    {"name": "Created", BACKUP: {"name": f"{WAY}-diff.plb"}, "diff": True},
    ways=[GATEWAY],
)


def test_diff_on_the_screen_has_names_and_sizes_in_check_mode_too(shared_run: PlaysRun, lab: Lab) -> None:
    run = succeeded(shared_run.of(DIFF, GATEWAY))
    old, name = f"{GATEWAY}-diff-old.plb", f"{GATEWAY}-diff.plb"
    size = run.result(task="Old")["backup"]["size"]
    assert old in looked(run, "After check")
    assert old not in looked(run, "After removal")
    checked, done = run.of_task("Checked"), run.of_task("Done")
    assert checked.diff() == done.diff()
    for each in (checked, done):
        gone = [line for line in each.output.splitlines() if line.startswith("-")]
        assert any(f'"name": "{old}"' in line for line in gone), each.output
        assert any(f'"size": {size}' in line for line in gone), each.output
        before, after = ([backup["name"] for backup in each.diff()[when]["backups"]] for when in ("before", "after"))
        assert before == sorted([*after, old])

    created = run.of_task("Created")
    came = [line for line in created.output.splitlines() if line.startswith("+")]
    assert any(f'"size": {backups_on(lab, "edge1")[name]}' in line for line in came), created.output


# Where options come from


def from_environment(way: str) -> Play:
    """A play with the connection in its environment, and parts of it in those of a block and of a task."""
    outer = {f"ACTIVELOGIC_{name.upper()}": value for name, value in connection(way).items()}
    task = {BACKUP: {"name": f"{WAY}-environment.plb"}, "environment": {"ACTIVELOGIC_HOST": "edge2"}}
    block = {
        "environment": {"ACTIVELOGIC_USERNAME": USERNAME, "ACTIVELOGIC_HOST": "edge3"},
        "block": [{"ignore_errors": True, **task}],
    }
    keywords = {"environment": {**outer, "ACTIVELOGIC_USERNAME": "nobody-there"}}
    return added(f"environment-{way}", block, run=VERBOSE, variables=NO_CONNECTION, ways=[way], keywords=keywords)


ENVIRONMENT = {way: from_environment(way) for way in WAYS}


def test_whole_connection_comes_from_the_environment_of_play_block_and_task(verbose_run: PlaysRun, way: str) -> None:
    run, lab = succeeded(verbose_run.of(ENVIRONMENT[way], way)), verbose_run.lab
    assert run.result()["system"]["host"] == "edge1", "the inventory names it"
    assert [f"{way}-environment.plb" in on_system(lab, way, system) for system in SYSTEMS] == [True, False, False]
    assert lab.password not in run.output


def in_all_modules(name: str) -> list[dict[str, Any]]:
    """One task for each of the modules."""
    fetch = {"direction": "fetch", "name": name, "dest": f"{FOLDER}/{WAY}-copy.plb"}
    return [
        {"name": "Make", BACKUP: {"name": name}},
        {"name": "List", INFO: {"name": name}},
        {"name": "Fetch", TRANSFER: fetch},
    ]


NO_DEFAULTS = added("no-defaults", *in_all_modules(f"{WAY}-defaults.plb"), variables=NO_CONNECTION)
DEFAULTS = {
    way: added(
        f"defaults-{way}",
        *in_all_modules(f"{WAY}-defaults.plb"),
        variables=NO_CONNECTION,
        ways=[way],
        keywords={"module_defaults": {GROUP: connection(way)}},
    )
    for way in WAYS
}


def test_module_defaults_of_the_group_reach_every_module(run_of: RunOf, shared_run: PlaysRun, way: str) -> None:
    name = f"{way}-defaults.plb"
    assert all(line["outcome"] == "failed" for line in run_of(NO_DEFAULTS).results), "the options come from elsewhere"
    run = succeeded(run_of(DEFAULTS[way]))
    there = shared_run.lab.root / "edge1" / "backups" / name
    assert (shared_run.folder / f"{way}-copy.plb").read_bytes() == there.read_bytes()
    assert run.result(task="List")["count"] == 1
    assert shared_run.lab.password not in run.output


def from_vault(kind: str) -> Play:
    """A play with the password in a vault."""
    options = {"name": f"{WAY}-vault-{kind}.plb"}
    if kind == "inline in the task":
        options["password"] = "{{ from_vault }}"  # noqa: S105 - a reference
    return added(
        f"vault-{kind.replace(' ', '-')}",
        {BACKUP: options},
        run=VERBOSE,
        variables={"activelogic_password": None},
        ways=[GATEWAY],
        keywords={"vars_files": [f"{kind}.yml"]},
    )


VAULTS = {kind: from_vault(kind) for kind in ("file", "inline", "inline in the task")}


def write_vault(ansible: Runner, kind: str, secret: Path) -> None:
    """Write the password to a variables file, encrypted with the vault password in ``secret``."""
    password, environment = ansible.lab.password, ansible.environment({})
    variable = "from_vault" if kind == "inline in the task" else "activelogic_password"
    vaulted = ansible.folder / f"{kind}.yml"
    vault = [str(BIN / "ansible-vault")]
    if kind == "file":
        vaulted.write_text(f"{variable}: {json.dumps(password)}\n", encoding="utf-8")
        command = [*vault, "encrypt", "--vault-password-file", str(secret), str(vaulted)]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    else:
        command = [*vault, "encrypt_string", "--vault-password-file", str(secret), "--stdin-name", variable]
        done = subprocess.run(
            command, env=environment, input=password.encode(), check=True, capture_output=True, timeout=60
        )
        vaulted.write_bytes(done.stdout)


@pytest.fixture(scope="module")
def verbose_run(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> PlaysRun:
    """The run of :data:`VERBOSE`."""
    folder = tmp_path_factory.mktemp("verbose")
    secret = folder / "vault-password"
    secret.write_text("the vault's own password\n", encoding="utf-8")
    for kind in VAULTS:
        write_vault(Runner(lab, WAYS[0], folder), kind, secret)
    arguments = ["--vault-password-file", str(secret), "-vvv", "--diff"]
    return PlaysRun(lab, folder, VERBOSE, arguments=arguments)


@pytest.mark.parametrize("kind", ["file", "inline", "inline in the task"])
def test_password_from_a_vault_is_used_and_never_shown(verbose_run: PlaysRun, kind: str) -> None:
    password = verbose_run.lab.password
    vaulted = (verbose_run.folder / f"{kind}.yml").read_text(encoding="utf-8")
    assert password not in vaulted
    assert "$ANSIBLE_VAULT;" in vaulted, "it was not in a vault"
    run = succeeded(verbose_run.of(VAULTS[kind], GATEWAY))
    assert f"{GATEWAY}-vault-{kind}.plb" in on_system(verbose_run.lab, GATEWAY)
    assert password not in run.output
    assert password not in json.dumps(run.results)


# Conditions of an AWX job


@pytest.fixture(scope="module")
def every_option(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The names of all options of each module."""
    runner = Runner(lab, WAYS[0], tmp_path_factory.mktemp("described"))
    described = json.loads(runner.run(["ansible-doc", "-j", BACKUP, INFO, TRANSFER]).output)
    return {module: list(described[module]["doc"]["options"]) for module in (BACKUP, INFO, TRANSFER)}


def test_empty_string_for_every_option_and_no_home(
    ansible: Runner, every_option: dict[str, list[str]], tmp_path: Path
) -> None:
    """Unset fields of a credential arrive as empty variables, unanswered survey questions as empty options."""
    of_connection = [name for name in ansible.variables if name.startswith("activelogic_")]
    given = {name.upper(): str(ansible.variables.pop(name)) for name in of_connection}
    options = {module: dict.fromkeys(names, "") for module, names in every_option.items()}
    unset = {f"ACTIVELOGIC_{name.upper()}": "" for name in options[INFO]}
    name = f"{ansible.way}-empty.plb"
    dest = tmp_path / "fetched.plb"
    run = ansible.play(
        {"name": "Make", BACKUP: {**options[BACKUP], "name": name}},
        {"name": "List", INFO: options[INFO]},
        {"name": "Fetch", TRANSFER: {**options[TRANSFER], "direction": "fetch", "name": name, "dest": str(dest)}},
        process_environment={
            **unset,
            **given,
            "HOME": None,
            "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
            "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
        },
    )
    assert ansible.lab.password not in succeeded(run).output
    there = Path(ansible.lab.root) / "edge1" / "backups" / name
    assert dest.read_bytes() == there.read_bytes()
    assert run.result(task="List")["count"] == len(backups_on(ansible.lab, "edge1"))
    assert list((tmp_path / "local").iterdir()) == []
    assert list((tmp_path / "remote").iterdir()) == []


@pytest.fixture(scope="module")
def ad_hoc_run(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One ad hoc command with a connection login; for each way, one host may use the login and one may not."""
    folder = tmp_path_factory.mktemp("ad-hoc")
    hosts = {}
    for way in WAYS:
        runner = Runner(lab, way, folder)
        login = {"activelogic_username": None, "activelogic_password": None, "ansible_host": "edge1"}
        given = {key: value for key, value in {**runner.variables, **login}.items() if value is not None}
        for wanted in (True, False):
            hosts[f"{way}-ad-hoc-{wanted}"] = {**given, "activelogic_use_connection_login": wanted}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    secret = folder / "connection-password"
    secret.write_text(f"{lab.password}\n", encoding="utf-8")
    command = ["ansible", "all", "-i", "hosts.yml", "--forks", "1", "-u", lab.username]
    command += ["--connection-password-file", str(secret), "-m", BACKUP, "-a", "name={{ inventory_hostname }}.plb"]
    return Runner(lab, WAYS[0], folder).run([*command, "-vvv"])


@pytest.mark.parametrize("wanted", [True, False])
def test_login_of_an_ad_hoc_command_is_used_where_that_is_asked_for(
    ad_hoc_run: Run, lab: Lab, way: str, wanted: bool
) -> None:
    """A machine credential arrives as the connection's user and password."""
    host = f"{way}-ad-hoc-{wanted}"
    assert (f"{host}.plb" in on_system(lab, way)) is wanted, ad_hoc_run.output
    assert [line["outcome"] for line in ad_hoc_run.results if line["host"] == host] == ["ok" if wanted else "failed"]
    assert ad_hoc_run.code == 2, "the command fails where one host fails"
    assert lab.password not in ad_hoc_run.output


@pytest.mark.parametrize("checked", ["true", "false"])
def test_word_in_the_environment_says_whether_certificates_are_checked(
    through_gateway: Runner, tmp_path: Path, checked: str
) -> None:
    """A credential's checkbox arrives as a word."""
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    through_gateway.variables["activelogic_ca_path"] = str(stranger)
    run = through_gateway.play({INFO: {}}, process_environment={"ACTIVELOGIC_VALIDATE_CERTS": checked})
    if checked == "false":
        assert succeeded(run).result()["system"]["host"] == "edge1"
    else:
        assert run.result()["error"]["kind"] == "certificate"
