# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keywords of tasks and plays, vaults and the like work with the modules as playbooks use them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import Lab
from runner import BIN, DIRECT, WAYS, Run, Runner, add_user, backups_on, digest_of_systems

BACKUP = "netops.activelogic.activelogic_backup"
INFO = "netops.activelogic.activelogic_backup_info"
TRANSFER = "netops.activelogic.activelogic_backup_transfer"
GROUP = "group/netops.activelogic.activelogic"
WRONG = "wrong-Pa55word-of-the-test"


def succeeded(run: Run) -> Run:
    assert run.code == 0, run.output
    return run


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
            "check_mode": False,  # up to ansible-core 2.16 async_status does nothing in check mode
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

    before = digest_of_systems(ansible.lab)
    checked = succeeded(ansible.play(*tasks, hosts="all", arguments=["--check"]))
    assert digest_of_systems(ansible.lab) == before
    assert checked.result("edge3", "Wait")["changed"] is True

    first = succeeded(ansible.play(*tasks, hosts="all"))
    for system in ansible.hosts:
        result = first.result(system, "Wait")
        assert (result["changed"], result["action"], result["system"]["host"]) == (True, "created", system)
        assert result["backup"]["size"] == backups_on(ansible.lab, system)[name]
    second = succeeded(ansible.play(*tasks))
    assert second.result("edge1", "Wait")["changed"] is False
    assert list((tmp_path / "remote").iterdir()) == [], "files that hold the password were left behind"


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
    run = succeeded(ansible.play(block, environment=outer, vars={"user_of_the_test": user}))
    assert run.result()["system"]["host"] == "edge2"
    assert [name in on_system(ansible, system) for system in ("edge1", "edge2", "edge3")] == [False, True, False]
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


# Passwords that hide more than themselves

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
    """A system with a long name and users with all sorts of passwords."""
    with Lab(tmp_path_factory.mktemp("users") / "lab", [LONG_NAME]) as running:
        for user, password in USERS.items():
            add_user(running, LONG_NAME, user, password)
        yield running


@pytest.fixture(params=WAYS)
def as_user(request: pytest.FixtureRequest, lab_of_users: Lab, tmp_path: Path) -> Runner:
    """Ansible with that system, in both ways."""
    return Runner(lab_of_users, request.param, tmp_path)


@pytest.mark.parametrize(
    ("user", "module", "options", "why"),
    [
        ("seven", BACKUP, {"name": "made.plb"}, SHORT),
        ("seven", BACKUP, {"state": "restored", "name": "missing.plb"}, SHORT),
        ("eight", BACKUP, {"name": "made.plb"}, None),
        ("in-backup", BACKUP, {"name": "before-upgrade.plb"}, PART),
        ("in-host", INFO, {}, PART),
        ("operator-7", INFO, {}, PART),
    ],
)
def test_password_that_masks_results_is_warned_of_once(
    as_user: Runner, user: str, module: str, options: dict[str, Any], why: str | None
) -> None:
    as_user.variables |= {"activelogic_username": user, "activelogic_password": USERS[user]}
    run = as_user.play({module: options}, hosts=LONG_NAME, strategy="ansible.builtin.linear")
    shown = " ".join(run.output.split())
    assert run.code == (2 if options.get("state") == "restored" else 0), run.output
    assert [shown.count(f"{each} {MASKS}") for each in (SHORT, PART)] == [int(why == SHORT), int(why == PART)], shown
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
    assert f"{PART} {MASKS}" in " ".join(run.output.split())
    assert run.result(LONG_NAME)["backups"][0]["name"] == f"{as_user.way} ********.plb"


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


# Another user

ANOTHER = "nobody"
SYSTEM_PYTHON = "/usr/bin/python3"


def why_no_other_user() -> str:
    """Why no task can become another user on this machine; empty when one can."""
    if os.geteuid() != 0:
        return "only root becomes another user without a password"
    probe = [str(shutil.which("su")), "-s", "/bin/sh", ANOTHER, "-c", f"{SYSTEM_PYTHON} -c 'import ssl, sqlite3'"]
    if probe[0] == "None" or subprocess.run(probe, check=False, capture_output=True, timeout=30).returncode != 0:
        return f"there is no su, no user {ANOTHER}, or no {SYSTEM_PYTHON} for that user"
    return ""


def copy_packages(folder: Path) -> None:
    """Copy what the modules import to where every user can read it; a virtual environment may be out of reach."""
    for name in ("requests", "urllib3", "idna", "certifi", "charset-normalizer"):
        for each in importlib.metadata.files(name) or []:
            if ".." not in each.parts and each.suffix in (".py", ".pem"):
                target = folder / each
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(str(each.locate())), target)
    embedded = Path(str(sys.modules["activelogic_embedded"].__file__)).parent
    shutil.copytree(embedded, folder / embedded.name, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are for one user."""
    with tempfile.TemporaryDirectory(prefix="activelogic-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.skipif(bool(why_no_other_user()), reason=why_no_other_user())
def test_task_that_becomes_another_user_works_as_that_user(way: str, open_folder: Path) -> None:
    packages, archive, work = (open_folder / each for each in ("packages", "archive", "work"))
    for folder in (packages, archive, work):
        folder.mkdir()
    copy_packages(packages)
    shutil.chown(archive, ANOTHER)
    with Lab(open_folder / "lab", ["edge1"]) as lab:
        ansible = Runner(lab, way, work)
        (archive / "unreadable").mkdir(mode=0o700)
        lab.folder.chmod(0o711)
        for root, folders, files in os.walk(lab.root):
            for path in [root, *(str(Path(root) / each) for each in [*folders, *files])]:
                shutil.chown(path, ANOTHER)
        become = {
            "ansible_become_method": "su",
            "ansible_become_flags": "-s /bin/sh",
            "ansible_python_interpreter": SYSTEM_PYTHON,
        }
        ansible.variables |= become
        root = str(lab.root) if way == DIRECT else str(open_folder / "none")
        run = ansible.play(
            {"name": "Make", BACKUP: {"name": "made.plb"}},
            {"name": "Fetch", TRANSFER: {"direction": "fetch", "name": "made.plb", "dest": f"{archive}/"}},
            {"name": "Refused", INFO: {"ca_path": "{{ unreadable }}"}, "ignore_errors": True},
            become=True,
            become_user=ANOTHER,
            environment={"PYTHONPATH": str(packages), "ACTIVELOGIC_EMBEDDED_ROOT": root},
            vars={"unreadable": str(archive / "unreadable" / "ca.pem")},
        )
        succeeded(run)
        stored = Path(lab.root) / "edge1" / "backups" / "made.plb"
        fetched = archive / "made.plb"
        assert fetched.read_bytes() == stored.read_bytes()
        assert fetched.owner() == ANOTHER
        assert fetched.stat().st_mode & 0o777 == 0o600
        assert stored.owner() == (ANOTHER if way == DIRECT else "root")
