# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody else changes the system during a task, or the user aborts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.harness.ansible_runs import Runner
from tests.harness.lab import BIN, Lab
from tests.harness.login import GATEWAY, WAYS
from tests.harness.module_runs import ModuleRunner
from tests.harness.observer import backups_on
from tests.harness.systems import log_in, set_quirks
from tests.harness.waiting import until


@pytest.fixture(params=WAYS)
def modules(request: pytest.FixtureRequest, lab_of_new_systems: Lab, new_system: str, tmp_path: Path) -> ModuleRunner:
    """Modules with a system that only this test uses."""
    return ModuleRunner(lab_of_new_systems, request.param, tmp_path, new_system)


def test_a_backup_that_is_no_longer_needed_is_not_made(modules: ModuleRunner) -> None:
    """The create is refused as stale; a second run finds the fresh backup that a colleague has just made."""
    set_quirks(
        modules.lab,
        modules.system,
        faults=[
            {"command": "create_new", "does": "wait", "seconds": 3, "times": 1},
            {"command": "create_new", "does": "stale", "times": 1},
        ],
    )
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(modules.run("activelogic_backup", max_age="24h")))
    thread.start()
    happened = Path(modules.lab.root) / modules.system / "quirks.json"
    until(lambda: json.loads(happened.read_text(encoding="utf-8"))["state"].get("happened"))
    fresh = time.strftime("%Y%m%dT%H%M%SZ-aaaa.plb", time.gmtime())
    with log_in(modules.lab, modules.system) as connection:
        connection.backup().upload(fresh, in_path=__file__)
    thread.join(120)
    result = outcome[0].result()
    assert result["error"]["kind"] == "stale_data", outcome[0].output
    assert set(backups_on(modules.lab, modules.system)) == {fresh}
    again = modules.run("activelogic_backup", max_age="24h").result()
    assert (again["changed"], again["backup"]["name"]) == (False, fresh)


def test_a_task_that_is_interrupted_stops_what_has_not_begun(
    lab_of_new_systems: Lab, new_system: str, tmp_path: Path
) -> None:
    """The gateway is busy with a slow command on the system; Ctrl-C cancels the one queued behind it."""
    lab, ansible = lab_of_new_systems, Runner(lab_of_new_systems, GATEWAY, tmp_path)
    modules = ModuleRunner(lab, GATEWAY, tmp_path, new_system)
    set_quirks(lab, new_system, faults=[{"command": "create_new", "does": "wait", "seconds": 25, "times": 1}])
    slow = modules.start("activelogic_backup", name="slow.plb")
    happened = lab.root / new_system / "quirks.json"
    until(lambda: json.loads(happened.read_text(encoding="utf-8"))["state"].get("happened"))
    command = [
        str(BIN / "ansible"),
        new_system,
        "-i",
        ansible.inventory(),
        "-m",
        "netops.activelogic.activelogic_backup",
    ]
    waiting = subprocess.Popen(
        [*command, "-a", "name=never.plb"],
        cwd=ansible.folder,
        env=ansible.environment({}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    until(lambda: "never.plb" in lab.audit_log.read_text(encoding="utf-8"))
    os.killpg(waiting.pid, signal.SIGINT)
    waiting.communicate(timeout=60)
    slow.communicate(timeout=120)
    time.sleep(1)
    assert set(backups_on(lab, new_system)) == {"slow.plb"}
