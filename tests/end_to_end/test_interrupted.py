# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ctrl-C on a real terminal: the last line on the screen says what a restore left behind."""

from __future__ import annotations

import os
import pty
import re
import select
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.harness.ansible_runs import BACKUP, Runner
from tests.harness.lab import BIN, Lab
from tests.harness.login import GATEWAY, WAYS
from tests.harness.observer import backups_on, has_begun, restores_on
from tests.harness.systems import change_configuration, log_in, set_quirks

WANTED = "wanted.plb"
SECONDS = 60
CTRL_C = b"\x03"


@pytest.fixture
def restorable(lab_of_new_systems: Lab, new_system: str) -> Lab:
    """The lab of new systems; the test's own system has another configuration than its backup."""
    with log_in(lab_of_new_systems, new_system) as connection:
        connection.backup().create_new(WANTED)
    change_configuration(lab_of_new_systems, new_system, "Ruleset", "marker", "changed")
    return lab_of_new_systems


@pytest.fixture(params=WAYS)
def ansible(request: pytest.FixtureRequest, restorable: Lab, new_system: str, tmp_path: Path) -> Runner:
    """Ansible with only this system in its inventory, in both ways."""
    runner = Runner(restorable, request.param, tmp_path)
    runner.hosts = (new_system,)
    return runner


@pytest.fixture
def through_gateway(restorable: Lab, new_system: str, tmp_path: Path) -> Runner:
    """The same, through the gateway only."""
    runner = Runner(restorable, GATEWAY, tmp_path)
    runner.hosts = (new_system,)
    return runner


def interrupted(ansible: Runner, command: list[str], is_time: Callable[[], bool]) -> list[str]:
    """Run a command on a terminal, press Ctrl-C once ``is_time()``, and return the non-empty lines on the screen."""
    environment = ansible.environment({})
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ansible.folder)
        os.execve(str(BIN / command[0]), command, environment)  # noqa: S606 - it needs its own terminal
    output, has_pressed, deadline = b"", False, time.monotonic() + SECONDS
    try:
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.05)[0]:
                try:
                    piece = os.read(terminal, 65536)
                except OSError:  # the other end is closed
                    break
                output += piece
            if not has_pressed and is_time():
                os.write(terminal, CTRL_C)
                has_pressed = True
        else:
            pytest.fail(f"it did not end: {output.decode()}")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
    assert has_pressed, output.decode()
    return [line.strip() for line in output.decode().splitlines() if line.strip()]


def safety_backups(ansible: Runner) -> list[str]:
    return [name for name in backups_on(ansible.lab, ansible.hosts[0]) if name.startswith("pre-restore-")]


def restore(ansible: Runner) -> list[str]:
    """A command that runs a playbook with a restore."""
    task = {BACKUP: {"state": "restored", "name": WANTED, "settle_after_restore": 60}}
    play = [{"hosts": "all", "gather_facts": False, "tasks": [task]}]
    path = ansible.folder / "play.yml"
    path.write_text(yaml.safe_dump(play), encoding="utf-8")
    return ["ansible-playbook", "-i", ansible.inventory(), str(path)]


def test_while_the_safety_backup_is_made(ansible: Runner) -> None:
    set_quirks(
        ansible.lab, ansible.hosts[0], faults=[{"command": "create_new", "does": "wait", "seconds": 2, "times": 1}]
    )
    lines = interrupted(ansible, restore(ansible), lambda: has_begun(ansible.lab, ansible.hosts[0]))
    assert re.search(r"nothing was restored; if the safety backup pre-restore-\S+\.plb is there", lines[-1]), lines
    assert restores_on(ansible.lab, ansible.hosts[0]) == 0
    assert safety_backups(ansible) == []


def test_while_the_restore_runs(ansible: Runner) -> None:
    set_quirks(ansible.lab, ansible.hosts[0], faults=[{"command": "restore", "does": "wait", "seconds": 2, "times": 1}])
    lines = interrupted(ansible, restore(ansible), lambda: has_begun(ansible.lab, ansible.hosts[0]))
    require_named(ansible, lines)


def test_while_the_system_gets_ready(through_gateway: Runner) -> None:
    """The suggested command works; the tests above show on both ways that a running restore suggests it too."""
    ansible = through_gateway
    lines = interrupted(ansible, restore(ansible), lambda: restores_on(ansible.lab, ansible.hosts[0]) == 1)
    require_named(ansible, lines)
    command = lines[-1].split(' -a "')[1].split('"')[0]
    arguments = ["-m", BACKUP, "-a", f"{command} settle_after_restore=0"]
    back = ansible.run(["ansible", *ansible.hosts, "-i", ansible.inventory(), *arguments])
    assert back.code == 0, back.output


def require_named(ansible: Runner, lines: list[str]) -> None:
    (safety,) = safety_backups(ansible)
    assert f"the configuration from before is in the safety backup {safety}" in lines[-1], lines
    assert f"ActiveLogic system {ansible.hosts[0]}: " in lines[-1]
    assert "name=" + safety in lines[-1]


def test_what_left_nothing_says_nothing(through_gateway: Runner) -> None:
    """A task that has ended leaves no file whose text would be printed later."""
    set_quirks(
        through_gateway.lab,
        through_gateway.hosts[0],
        faults=[{"command": "list", "does": "wait", "seconds": 2, "times": 1}],
    )
    command = ["ansible", *through_gateway.hosts, "-i", through_gateway.inventory(), "-m", BACKUP, "-a", "name=new.plb"]
    lines = interrupted(through_gateway, command, lambda: has_begun(through_gateway.lab, through_gateway.hosts[0]))
    assert "[activelogic]" not in "".join(lines)
    assert "interrupted" in lines[-1].lower()
