# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The truth table: each row runs in check mode, for real, and a second time, on both ways.

Each row proves that check mode left everything unchanged, that ``changed`` is correct, and that each backup of a
successful result can really be restored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from activelogic_embedded.quirks import Quirks

from tests.harness.lab import Lab
from tests.harness.login import WAYS
from tests.truth import rows_absent, rows_info, rows_present, rows_restored
from tests.truth.arrangement import Arrangement
from tests.truth.case import Case
from tests.truth.table import Row

ROWS = (*rows_present.ROWS, *rows_absent.ROWS, *rows_restored.ROWS, *rows_info.ROWS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_row(row: Row, way: str, lab: Lab, next_system: Iterator[str], tmp_path: Path) -> None:
    if row.fails_logins:
        with Lab(tmp_path / "lab", ["alone"]) as own:
            go_through(Case(row, Arrangement(own, "alone", row), way, tmp_path))
    else:
        go_through(Case(row, Arrangement(lab, next(next_system), row), way, tmp_path))


def go_through(case: Case) -> None:
    """Run the three runs of a row."""
    case.check()
    case.do()
    case.again()


def test_titles_tell_rows_apart() -> None:
    titles = [row.title for row in ROWS]
    assert sorted(set(titles)) == sorted(titles)


def test_only_a_restore_may_promise_a_change_that_is_none() -> None:
    """If both succeed, check mode and the real run agree, except where only a fresh backup shows a restore unneeded."""
    for row in ROWS:
        checked, real = row.in_check_mode, row.real
        if checked.error or real.error or checked.changed == real.changed:
            continue
        assert (row.state, checked.changed, row.options.get("force", False)) == ("restored", True, False), row.title


def test_check_mode_never_hides_a_failure_that_reading_shows() -> None:
    """If only the real run fails, check mode predicted a change: the failure came from the write."""
    for row in ROWS:
        if row.real.error and not row.in_check_mode.error:
            assert row.in_check_mode.changed, row.title
        if row.in_check_mode.error:
            assert row.in_check_mode == row.real, row.title


def test_every_quirk_that_concerns_these_modules_is_met() -> None:
    met = {quirk for row in ROWS for quirk in row.quirks}
    others = {"faults", "incomplete_size", "upload_overwrites"}
    assert {each.name for each in dataclasses.fields(Quirks)} - others <= met


@pytest.mark.parametrize(
    ("state", "commands"),
    [
        ("present", {"connect", "list", "create_new", "download"}),
        ("absent", {"connect", "list", "remove"}),
        ("restored", {"connect", "list", "create_new", "download", "restore", "remove"}),
        ("info", {"connect", "list", "download"}),
    ],
)
def test_every_command_of_a_state_meets_every_trouble(state: str, commands: set[str]) -> None:
    met = {(each["command"], each["does"]) for row in ROWS if row.state == state for each in row.faults}
    troubles = {(command, does) for command in commands for does in ("lose", "refuse", "stale", "wait")}
    assert not troubles - {("connect", "stale")} - met
