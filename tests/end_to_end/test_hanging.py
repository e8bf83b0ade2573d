# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hanging call of the vendor's API does not block a task."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.lab import Lab
from tests.harness.login import WAYS
from tests.harness.module_runs import ModuleRunner
from tests.harness.observer import backups_on
from tests.harness.systems import set_quirks

WITHIN = 15.0
"""Seconds for a module with timeouts of 2 s, including its start and end on a busy machine."""


DOES = ("wait", "block", "thread", "pool")
COMMANDS = ("list", "create_new")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One system per test, because a hanging call blocks all others on its system."""
    systems = [f"{command}-{does}-{way}" for command in COMMANDS for does in DOES for way in WAYS]
    with Lab(tmp_path_factory.mktemp("hanging") / "lab", [each.replace("_", "-") for each in systems]) as running:
        yield running


@pytest.mark.parametrize("does", DOES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_task_ends_within_its_clocks(modules: ModuleRunner, command: str, does: str) -> None:
    modules.fork = False  # the end of a regular process is part of the test
    modules.system = f"{command}-{does}-{modules.way}".replace("_", "-")
    set_quirks(modules.lab, modules.system, faults=[{"command": command, "does": does, "times": 1}])
    clocks: dict[str, Any] = {"read_timeout": 2, "wait_timeout": 2, "retries": 0}
    began = time.monotonic()
    run = modules.run("activelogic_backup", name="new.plb", **clocks)
    assert time.monotonic() - began < WITHIN
    result = run.result()
    assert run.code != 0, run.output
    expected = {"list": {"deadline", "unreachable"}, "create_new": {"outcome_unknown"}}[command]
    assert result["error"]["kind"] in expected, run.output
    assert "timeout" in result["msg"]
    assert backups_on(modules.lab, modules.system) == {}
