# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module killed with ``kill -9`` loses nothing, and the next run reaches the wanted state."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness.forked_modules import ForkedModule, start_forked
from tests.harness.lab import Lab
from tests.harness.login import WAYS, login_options
from tests.harness.observer import backups_on, configuration_of, restores_on
from tests.harness.systems import change_configuration, log_in

WANTED = "wanted.plb"
OTHER = "other.plb"
SPOILED = "spoiled.plb"
"""An empty backup."""

RANDOM_KILLS = int(os.environ.get("RANDOM_KILLS", "1"))
"""Number of random kills of each task, in addition to the named points; ``make test-kills`` sets a higher one."""

TASKS: dict[str, dict[str, Any]] = {
    "present": {"name": "new.plb"},
    "present with force": {"name": SPOILED, "force": True},
    "absent": {"state": "absent", "names": [OTHER, SPOILED]},
    "restored": {"state": "restored", "name": WANTED, "settle_after_restore": 0.3},
}
POINTS = {
    "present": [
        "_client:Client.identity:before:0",
        "_client:Client.identity:after:0",
        "_client:Client.create_new:before:0",
        "_client:Client.create_new:after:0",
        "_client:Client.await_complete:after:0",
        "_module._copies:Copies.damage:after:0",
        "_module._backup:result_of_plan:after:0",
    ],
    "present with force": [
        "_client:Client.settle:after:0",
        "_client:Client.remove:before:0",
        "_client:Client.remove:after:0",
        "_client:Client.create_new:after:0",
    ],
    "absent": [
        "_client:Client.list:after:0",
        "_client:Client.remove:before:0",
        "_client:Client.remove:after:0",
        "_client:Client.remove:after:1",
        "_module._backup:result_of_plan:before:0",
    ],
    "restored": [
        "_client:Client.settle:after:0",
        "_module._copies:Copies.damage:after:0",
        "_client:Client.create_new:before:0",
        "_client:Client.create_new:after:0",
        "_module._copies:Copies.damage:before:1",
        "_client:Client.create_complete:after:0",
        "_client:Client.download:before:0",
        "_client:Client.download:after:1",
        "_module._restored:_Run._prove:after:0",
        "_module._restored:_Run._require_nobody_else:after:0",
        "_client:Client.restore:before:0",
        "_client:Client.restore:after:0",
        "_client:Client.await_ready:after:0",
        "_client:Client.create_new:after:1",
        "_module._restored:compare:after:1",
        "_client:Client.remove:before:0",
        "_client:Client.remove:after:0",
        "_module._restored:result_of_plan:before:0",
    ],
}


@dataclass
class System:
    """A system that only this test uses, in a lab of several."""

    lab: Lab
    name: str


@pytest.fixture
def system(lab_of_new_systems: Lab, new_system: str) -> System:
    """A system with three backups, and another configuration than in the wanted one."""
    with log_in(lab_of_new_systems, new_system) as connection:
        for name in (WANTED, OTHER):
            connection.backup().create_new(name)
    (lab_of_new_systems.root / new_system / "backups" / SPOILED).touch()
    change_configuration(lab_of_new_systems, new_system, "Ruleset", "marker", "changed")
    return System(lab_of_new_systems, new_system)


def start(system: System, way: str, task: str, point: str) -> ForkedModule:
    options = login_options(system.lab, system.name, way, retries=1, retry_delay=0.1)
    environment = {"ACTIVELOGIC_EMBEDDED_ROOT": str(system.lab.root)}
    return start_forked("activelogic_backup", {**options, **TASKS[task]}, environment, point=point)


def contents(system: System) -> dict[str, str]:
    folder = system.lab.root / system.name / "backups"
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in folder.iterdir()}


def require_nothing_lost(system: System, task: str, before: dict[str, str], configuration: Any) -> None:
    """Everything outside the task's scope still exists; if the configuration is gone, a safety backup exists."""
    after = contents(system)
    mine = {"absent": {OTHER, SPOILED}, "present with force": {SPOILED}}.get(task, set())
    assert {name: after.get(name) for name in before.keys() - mine} == {
        name: before[name] for name in before.keys() - mine
    }
    own = {name for name in after.keys() - before.keys() if not name.startswith(("pre-restore-", "compare-"))}
    assert own <= {"new.plb"}
    if configuration_of(system.lab, system.name) != configuration:
        assert task == "restored"
        assert any(name.startswith("pre-restore-") for name in after), "the old configuration is lost"


def require_wanted_state(system: System, task: str) -> None:
    listed = backups_on(system.lab, system.name)
    if task == "restored":
        assert "marker" not in configuration_of(system.lab, system.name)["Ruleset"]
    elif task == "absent":
        assert set(listed) == {WANTED}
    else:
        assert listed[TASKS[task]["name"]] > 0


def run_again(system: System, way: str, task: str) -> None:
    """The next run succeeds and reports ``changed`` correctly; the one after it changes nothing."""
    for number in range(2):
        before = (contents(system), restores_on(system.lab, system.name))
        process = start(system, way, task, "")
        output, _none = process.communicate(timeout=60)
        assert process.returncode == 0, output
        result = json.loads(output)
        assert result["changed"] is ((contents(system), restores_on(system.lab, system.name)) != before), output
        assert number == 0 or result["changed"] is False
        require_wanted_state(system, task)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("task", "point"), [(task, point) for task, points in POINTS.items() for point in points])
def test_a_module_that_is_killed_at_a_named_point(system: System, way: str, task: str, point: str) -> None:
    before, configuration = contents(system), configuration_of(system.lab, system.name)
    process = start(system, way, task, point)
    output, _none = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, output
    require_nothing_lost(system, task, before, configuration)
    run_again(system, way, task)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", range(RANDOM_KILLS))
def test_a_module_that_is_killed_at_a_random_moment(system: System, way: str, task: str, seed: int) -> None:
    before, configuration = contents(system), configuration_of(system.lab, system.name)
    delay = random.Random(f"{seed} {task}").uniform(0.2, 3.0 if task == "restored" else 1.2)  # noqa: S311 - no secret
    process = start(system, way, task, "")
    try:
        process.communicate(timeout=delay)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate(timeout=60)
    time.sleep(0.1)  # the gateway finishes commands without its client
    require_nothing_lost(system, task, before, configuration)
    run_again(system, way, task)
