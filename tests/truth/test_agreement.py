# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real ``ansible``, at real speed, agrees with the sampled rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.ansible_runs import Runner
from tests.harness.lab import Lab
from tests.harness.login import WAYS
from tests.harness.observer import everything, look
from tests.truth.arrangement import Arrangement
from tests.truth.case import module_of, options_of, outcome_of
from tests.truth.effects import effect
from tests.truth.table import Row
from tests.truth.test_truth import ROWS

SAMPLE = [row for row in ROWS if row.sampled]


@pytest.mark.parametrize(
    ("row", "way"),
    [(row, WAYS[number % len(WAYS)]) for number, row in enumerate(SAMPLE)],
    ids=[row.title for row in SAMPLE],
)
def test_ansible_agrees(row: Row, way: str, lab: Lab, next_system: Iterator[str], tmp_path: Path) -> None:
    arrangement = Arrangement(lab, next(next_system), row)
    arrangement.set_quirks(with_faults=True)
    ansible = Runner(lab, way, tmp_path)
    found = everything(lab.root)
    before = look(arrangement.folder)
    for check, expected in ((True, row.in_check_mode), (False, row.real)):
        run = ansible.ad_hoc(module_of(row), host=arrangement.system, check=check, **options_of(row))
        result = run.result(arrangement.system)
        assert (run.code != 0) is bool(expected.error), run.output
        assert outcome_of({**result, "failed": run.code != 0}, expected) == expected, run.output
        if check:
            assert everything(lab.root) == found, "check mode wrote something"
    assert effect(before, look(arrangement.folder), arrangement.wanted) == row.effect
