# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The observer sees every kind of change; otherwise its checks would be worthless."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from activelogic_embedded import admin
from activelogic_embedded.exception import PLDBError

from tests.harness.lab import Lab
from tests.harness.observer import everything, look
from tests.truth.arrangement import Arrangement
from tests.truth.effects import effect
from tests.truth.table import CREATED, IN_WANTED, NOTHING, RULES, SAFETY, WANTED, Effect, Row

ROW = Row("any", "present", {"always": True}, CREATED, NOTHING, None)


@pytest.fixture
def arrangement(lab: Lab, next_system: Iterator[str]) -> Arrangement:
    made = Arrangement(lab, next(next_system), ROW)
    made.set_quirks(with_faults=True)
    return made


def add_row(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / "system.sqlite")) as database:
        database.execute("INSERT INTO facts VALUES ('new', 'fact')")
        database.commit()


CHANGES: dict[str, Callable[[Path], object]] = {
    "a byte": lambda folder: (folder / "backups" / WANTED).write_bytes(b"x"),
    "a new file": lambda folder: (folder / "tmp" / "left").touch(),
    "a file that is gone": lambda folder: (folder / "backups" / WANTED).unlink(),
    "a file that was written anew": lambda folder: (folder / "backups" / WANTED).write_bytes(
        (folder / "backups" / WANTED).read_bytes()
    ),
    "a mode": lambda folder: (folder / "backups" / WANTED).chmod(0o640),
    "a time": lambda folder: os.utime(folder / "lock", ns=(1, 1)),
    "a row": add_row,
    "a quirk": lambda folder: admin.set_quirks(folder.parent, folder.name, volatile="times"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_sees(change: str, arrangement: Arrangement) -> None:
    before = everything(arrangement.lab.root)
    assert everything(arrangement.lab.root) == before
    CHANGES[change](arrangement.folder)
    assert everything(arrangement.lab.root) != before


def test_what_reading_counts_is_no_change(arrangement: Arrangement) -> None:
    before = everything(arrangement.lab.root)
    admin.begin_outage(arrangement.lab.root, arrangement.system)
    assert everything(arrangement.lab.root) == before


def test_it_names_what_was_done(arrangement: Arrangement) -> None:
    before = look(arrangement.folder)
    backups = arrangement.folder / "backups"
    (backups / RULES).rename(backups / "pre-restore-20261124T120000Z-00ff.plb")
    (backups / WANTED).write_bytes(b"anew")
    for resource in ("Ruleset", "Config"):
        admin.set_value(arrangement.lab.root, arrangement.system, resource, "marker", "wanted")
    after = look(arrangement.folder)
    assert effect(before, after, after.configuration) == Effect(made=(SAFETY, WANTED), gone=(RULES,), holds=IN_WANTED)


def test_the_proof_of_a_backup_is_a_real_restore(arrangement: Arrangement, tmp_path: Path) -> None:
    held = look(arrangement.folder).configuration
    before, after = arrangement.restore_elsewhere(RULES, tmp_path / "part")
    assert (after["Ruleset"], after["Config"]) == (arrangement.wanted["Ruleset"], before["Config"])
    assert arrangement.restore_elsewhere(WANTED, tmp_path / "whole")[1] == arrangement.wanted
    assert look(arrangement.folder).configuration == held != arrangement.wanted
    (arrangement.folder / "backups" / WANTED).write_bytes(b"no backup at all")
    with pytest.raises(PLDBError, match="can't be restored"):
        arrangement.restore_elsewhere(WANTED, tmp_path / "bad")
