# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keywords of tasks and plays, vaults and the like work with the modules as playbooks use them."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.harness.ansible_runs import BACKUP, INFO, TRANSFER, Runner, succeeded
from tests.harness.lab import BIN
from tests.harness.observer import backups_on, digest_of_systems
from tests.harness.waiting import until

GROUP = "group/netops.activelogic.activelogic"
WRONG = "wrong-Pa55word-of-the-test"
LOGIN = ("username", "password")


def on_system(ansible: Runner, system: str = "edge1") -> set[str]:
    """Names of the backups of a system that were made the way that the test goes."""
    return {name for name in backups_on(ansible.lab, system) if name.startswith(ansible.way)}


# In the background


def background(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Tasks that start a task, see that it runs on, and wait for its end."""
    return [
        {"name": "Start", **task, "async": 600, "poll": 0, "register": "started"},
        {"name": "See", "ansible.builtin.assert": {"that": "not (started.finished | bool)"}},
        {
            "name": "Wait",
            "ansible.builtin.async_status": {"jid": "{{ started.ansible_job_id }}"},
            "register": "ended",
            "until": "ended is finished",
            "retries": 60,
            "delay": 1,
        },
    ]


def test_background_tasks_do_their_work_and_report_it(ansible: Runner, tmp_path: Path) -> None:
    name = f"{ansible.way}-background.plb"
    tasks = background({BACKUP: {"name": name}})
    ansible.variables["ansible_remote_tmp"] = str(tmp_path / "remote")

    first = succeeded(ansible.play(*tasks, hosts="all"))
    for system in ansible.hosts:
        result = first.result(system, "Wait")
        assert (result["changed"], result["action"], result["system"]["host"]) == (True, "created", system)
        assert result["backup"]["size"] == backups_on(ansible.lab, system)[name]
    second = succeeded(ansible.play(*tasks))
    assert second.result("edge1", "Wait")["changed"] is False
    until(lambda: not any((tmp_path / "remote").iterdir()))  # the files there hold the password


def test_background_task_in_check_mode_writes_nothing(ansible: Runner) -> None:
    before = digest_of_systems(ansible.lab)
    checked = ansible.play(*background({BACKUP: {"name": "never-made.plb"}}), arguments=["--check"])
    assert digest_of_systems(ansible.lab) == before
    if importlib.metadata.version("ansible-core").startswith("2.16."):
        assert "check mode and async cannot be used" in checked.output  # core itself refuses the two together
    else:
        assert succeeded(checked).result("edge1", "Wait")["action"] == "created"


def test_failure_of_a_background_task_is_reported_like_any_other(ansible: Runner) -> None:
    run = ansible.play(*background({BACKUP: {"state": "restored", "name": "missing.plb"}}))
    assert run.code == 2, run.output
    result = run.result("edge1", "Wait")
    assert (result["error"]["kind"], result["error"]["system"]) == ("not_found", "edge1")
    assert "missing.plb" in result["msg"]


# Loops and delegation


def test_loop_makes_and_removes_each_of_its_backups(ansible: Runner) -> None:
    names = [f"{ansible.way}-loop-{each}.plb" for each in ("a", "b, c")]
    kept = on_system(ansible)
    task = {
        "name": "Each",
        BACKUP: {"name": "{{ item.name }}", "state": "{{ item.state }}"},
        "loop_control": {"label": "{{ item.label }}"},
    }
    items = [{"name": name, "state": "present", "label": f"label {number}"} for number, name in enumerate(names)]
    first = succeeded(ansible.play({**task, "loop": items}))
    assert [each["backup"]["name"] for each in first.result()["results"]] == names
    assert on_system(ansible) == kept | set(names)
    assert "(item=label 0)" in first.output
    assert names[0] not in first.output

    second = succeeded(ansible.play({**task, "loop": items}))
    assert [each["changed"] for each in second.result()["results"]] == [False, False]
    removal = [{**item, "state": "absent"} for item in items[:1]]
    succeeded(ansible.play({**task, "loop": removal}))
    assert on_system(ansible) == kept | set(names[1:])


@pytest.mark.parametrize("delegate", ["edge2", "localhost"])
def test_delegated_task_works_on_the_system_of_its_own_host(ansible: Runner, delegate: str) -> None:
    """Also when the delegate has a login of its own, and is the only one with a local connection."""
    name = f"{ansible.way}-delegated-{delegate}.plb"
    del ansible.variables["ansible_connection"]
    login = {"activelogic_username": "nobody-there", "activelogic_password": WRONG, "activelogic_host": "edge2"}
    (ansible.folder / "host_vars").mkdir()
    text = json.dumps({"ansible_connection": "local", **login})
    (ansible.folder / "host_vars" / f"{delegate}.yml").write_text(text, encoding="utf-8")
    others = {system: on_system(ansible, system) for system in ("edge2", "edge3")}
    run = succeeded(ansible.play({BACKUP: {"name": name}, "delegate_to": delegate}))
    assert run.result()["system"]["host"] == "edge1"
    assert name in on_system(ansible)
    assert {system: on_system(ansible, system) for system in others} == others


def test_delegated_fetch_writes_one_file_for_each_system(ansible: Runner, tmp_path: Path) -> None:
    name = f"{ansible.way}-gathered.plb"
    fetch = {"direction": "fetch", "name": name, "dest": f"{tmp_path}/{{{{ inventory_hostname }}}}.plb"}
    local = {"delegate_to": "localhost"}
    succeeded(ansible.play({BACKUP: {"name": name}, **local}, {TRANSFER: fetch, **local}, hosts="all"))
    for system in ansible.hosts:
        there = Path(ansible.lab.root) / system / "backups" / name
        assert (tmp_path / f"{system}.plb").read_bytes() == there.read_bytes()


# What is shown


def test_no_log_hides_everything_but_what_is_done(ansible: Runner) -> None:
    name = f"{ansible.way}-unseen.plb"
    run = succeeded(ansible.play({BACKUP: {"name": name}, "no_log": True}, arguments=["--diff", "-vvv"]))
    assert name in on_system(ansible)
    assert "censored" in run.result()
    assert name not in json.dumps(run.results)
    shown = [line for line in run.output.splitlines() if name in line]
    assert shown == []


def test_diff_on_the_screen_has_names_and_sizes_in_check_mode_too(ansible: Runner) -> None:
    old, name = f"{ansible.way}-diff-old.plb", f"{ansible.way}-diff.plb"
    succeeded(ansible.play({BACKUP: {"name": old}}))
    task = {BACKUP: {"state": "absent", "name": old}}
    size = backups_on(ansible.lab, "edge1")[old]
    checked = succeeded(ansible.play(task, arguments=["--check", "--diff"]))
    assert old in on_system(ansible)
    done = succeeded(ansible.play(task, arguments=["--diff"]))
    assert old not in on_system(ansible)
    assert checked.diff() == done.diff()
    for run in (checked, done):
        gone = [line for line in run.output.splitlines() if line.startswith("-")]
        assert any(f'"name": "{old}"' in line for line in gone), run.output
        assert any(f'"size": {size}' in line for line in gone), run.output
        before, after = ([each["name"] for each in run.diff()[when]["backups"]] for when in ("before", "after"))
        assert before == sorted([*after, old])

    created = succeeded(ansible.play({BACKUP: {"name": name}}, arguments=["--diff"]))
    came = [line for line in created.output.splitlines() if line.startswith("+")]
    assert any(f'"size": {backups_on(ansible.lab, "edge1")[name]}' in line for line in came), created.output


# Where options come from


def connection(ansible: Runner) -> dict[str, Any]:
    """Take the connection's options out of the inventory's variables, by the names of the options."""
    given = {name: ansible.variables.pop(name) for name in list(ansible.variables) if name.startswith("activelogic_")}
    return {name.removeprefix("activelogic_"): value for name, value in given.items()}


def test_whole_connection_comes_from_the_environment_of_play_block_and_task(ansible: Runner) -> None:
    given = {f"ACTIVELOGIC_{name.upper()}": str(value) for name, value in connection(ansible).items()}
    name = f"{ansible.way}-environment.plb"
    block = {
        "environment": {"ACTIVELOGIC_USERNAME": "{{ user_of_the_test }}", "ACTIVELOGIC_HOST": "edge3"},
        "block": [{BACKUP: {"name": name}, "environment": {"ACTIVELOGIC_HOST": "edge2"}}],
    }
    user = given["ACTIVELOGIC_USERNAME"]
    outer = {**given, "ACTIVELOGIC_USERNAME": "nobody-there"}
    arguments = ["-vvv"]
    run = succeeded(ansible.play(block, environment=outer, vars={"user_of_the_test": user}, arguments=arguments))
    assert run.result()["system"]["host"] == "edge1", "the inventory names it"
    assert [name in on_system(ansible, system) for system in ("edge1", "edge2", "edge3")] == [True, False, False]
    assert given["ACTIVELOGIC_PASSWORD"] not in run.output


def test_module_defaults_of_the_group_reach_every_module(ansible: Runner, tmp_path: Path) -> None:
    name = f"{ansible.way}-defaults.plb"
    defaults = {GROUP: connection(ansible)}
    tasks = [
        {"name": "Make", BACKUP: {"name": name}},
        {"name": "List", INFO: {"name": name}},
        {"name": "Fetch", TRANSFER: {"direction": "fetch", "name": name, "dest": str(tmp_path / "copy.plb")}},
    ]
    assert ansible.play(*tasks).code == 2, "the options come from elsewhere"
    run = succeeded(ansible.play(*tasks, module_defaults=defaults))
    there = Path(ansible.lab.root) / "edge1" / "backups" / name
    assert (tmp_path / "copy.plb").read_bytes() == there.read_bytes()
    assert run.result(task="List")["count"] == 1
    assert defaults[GROUP]["password"] not in run.output


@pytest.mark.parametrize("kind", ["file", "inline", "inline in the task"])
def test_password_from_a_vault_is_used_and_never_shown(ansible: Runner, kind: str) -> None:
    password = ansible.variables.pop("activelogic_password")
    secret = ansible.folder / "vault-password"
    secret.write_text("the vault's own password\n", encoding="utf-8")
    variable = "from_vault" if kind == "inline in the task" else "activelogic_password"
    vault = [str(BIN / "ansible-vault")]
    vaulted = ansible.folder / "vaulted.yml"
    if kind == "file":
        vaulted.write_text(f"{variable}: {json.dumps(password)}\n", encoding="utf-8")
        command = [*vault, "encrypt", "--vault-password-file", str(secret), str(vaulted)]
        subprocess.run(command, env=ansible.environment({}), check=True, capture_output=True, timeout=60)
    else:
        command = [*vault, "encrypt_string", "--vault-password-file", str(secret), "--stdin-name", variable]
        done = subprocess.run(
            command, env=ansible.environment({}), input=password.encode(), check=True, capture_output=True, timeout=60
        )
        vaulted.write_bytes(done.stdout)
    assert password not in vaulted.read_text(encoding="utf-8")

    name = f"{ansible.way}-vault-{kind}.plb"
    options = {"name": name, **({"password": "{{ from_vault }}"} if kind == "inline in the task" else {})}
    arguments = ["--vault-password-file", str(secret), "-vvv", "--diff"]
    run = succeeded(ansible.play({BACKUP: options}, vars_files=[str(vaulted)], arguments=arguments))
    assert name in on_system(ansible)
    assert password not in run.output
    assert password not in json.dumps(run.results)
    assert ansible.play({BACKUP: options}, vars_files=[str(vaulted)]).code != 0, "it was not in a vault"


# Conditions of a job in AWX


def test_empty_string_for_every_option_and_no_home(ansible: Runner, tmp_path: Path) -> None:
    """A credential's fields that are not set arrive as empty variables, and a survey's as empty options."""
    given = {f"ACTIVELOGIC_{name.upper()}": str(value) for name, value in connection(ansible).items()}
    described = json.loads(ansible.run(["ansible-doc", "-j", BACKUP, INFO, TRANSFER]).output)
    options = {module: dict.fromkeys(described[module]["doc"]["options"], "") for module in (BACKUP, INFO, TRANSFER)}
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
    succeeded(run)
    there = Path(ansible.lab.root) / "edge1" / "backups" / name
    assert dest.read_bytes() == there.read_bytes()
    assert run.result(task="List")["count"] == len(backups_on(ansible.lab, "edge1"))
    assert list((tmp_path / "local").iterdir()) == []
    assert list((tmp_path / "remote").iterdir()) == []


@pytest.mark.parametrize("wanted", [True, False])
def test_login_of_an_ad_hoc_command_is_used_where_that_is_asked_for(ansible: Runner, wanted: bool) -> None:
    """A machine credential arrives as the user and the password of the connection."""
    given = connection(ansible)
    ansible.variables |= {f"activelogic_{name}": value for name, value in given.items() if name not in LOGIN}
    ansible.variables["activelogic_use_connection_login"] = wanted
    secret = ansible.folder / "connection-password"
    secret.write_text(f"{given['password']}\n", encoding="utf-8")
    name = f"{ansible.way}-ad-hoc-{wanted}.plb"
    command = ["ansible", "edge1", "-i", ansible.inventory(), "-u", given["username"]]
    command += ["--connection-password-file", str(secret), "-m", BACKUP, "-a", f"name={name}", "-vvv"]
    run = ansible.run(command)
    assert (name in on_system(ansible)) is wanted, run.output
    assert run.code == (0 if wanted else 2), run.output
    assert given["password"] not in run.output


@pytest.mark.parametrize("checked", ["true", "false"])
def test_word_in_the_environment_says_whether_certificates_are_checked(
    through_gateway: Runner, tmp_path: Path, checked: str
) -> None:
    """A credential's switch arrives as a word."""
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    through_gateway.variables["activelogic_ca_path"] = str(stranger)
    run = through_gateway.play({INFO: {}}, process_environment={"ACTIVELOGIC_VALIDATE_CERTS": checked})
    if checked == "false":
        assert succeeded(run).result()["system"]["host"] == "edge1"
    else:
        assert run.result()["error"]["kind"] == "certificate"
