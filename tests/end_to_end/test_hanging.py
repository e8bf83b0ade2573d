# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A call of the vendor's API that never ends does not hold a task."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.ansible_runs import Runner
from tests.harness.lab import Lab
from tests.harness.observer import backups_on
from tests.harness.systems import set_quirks

WITHIN = 25.0
"""Seconds for a task with clocks of 2 s, the end of its process, and what Ansible itself takes on a busy machine."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A gateway of the test's own, because a call that hangs keeps every other one on its system waiting."""
    with Lab(tmp_path / "lab", ["edge1"]) as running:
        yield running


@pytest.mark.parametrize("does", ["wait", "block", "thread", "pool"])
@pytest.mark.parametrize("command", ["list", "create_new"])
def test_a_task_ends_within_its_clocks(ansible: Runner, command: str, does: str) -> None:
    set_quirks(ansible.lab, "edge1", faults=[{"command": command, "does": does, "times": 1}])
    clocks: dict[str, Any] = {"read_timeout": 2, "wait_timeout": 2, "retries": 0}
    began = time.monotonic()
    run = ansible.ad_hoc("activelogic_backup", name="new.plb", **clocks)
    assert time.monotonic() - began < WITHIN
    result = run.result()
    assert run.code != 0, run.output
    expected = {"list": {"deadline", "unreachable"}, "create_new": {"outcome_unknown"}}[command]
    assert result["error"]["kind"] in expected, run.output
    assert "timeout" in result["msg"]
    assert backups_on(ansible.lab, "edge1") == {}
