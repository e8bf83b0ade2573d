# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random combinations beyond the table: whatever the result, the report is true and nothing is lost.

Each seed gives a fixed combination. The environment variable ``COMBINATIONS`` sets their number.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.harness.lab import Lab
from tests.harness.login import WAYS
from tests.harness.observer import everything, look
from tests.truth.arrangement import Arrangement
from tests.truth.case import Case
from tests.truth.effects import effect
from tests.truth.table import (
    BEFORE,
    COMPARE,
    EMPTY,
    ENDLESS,
    FRESH,
    IN_WANTED,
    NEW,
    NOTHING,
    RULES,
    SHORT,
    STALE,
    THERE,
    WANTED,
    Outcome,
    Row,
    fault,
)

COMBINATIONS = int(os.environ.get("COMBINATIONS", "20"))
CLOCKS = {"connect_timeout": 3, "read_timeout": 3, "transfer_timeout": 6, "wait_timeout": 6, "retry_max_delay": 0.2}
FOUND = (THERE, FRESH, STALE)
COMMANDS = ("connect", "list", "create_new", "restore", "remove", "download")


def _options(chance: random.Random) -> dict[str, Any]:
    """A state with options that fit together."""
    state = chance.choice(["present", "present", "absent", "restored", "restored", "restored", "info"])
    if state == "absent":
        return {"state": state, "names": chance.sample([THERE, FRESH, RULES, "missing.plb"], 2)}
    if state == "info":
        return {"state": state, "max_age": chance.choice(["2h", "7d"])}
    if state == "restored":
        options: dict[str, Any] = {"state": state, "name": chance.choice([WANTED, WANTED, THERE, RULES])}
        options |= {"force": True} if chance.random() < 0.2 else {}
        options |= {"safety_backup": False} if chance.random() < 0.2 else {}
        return options | ({"resource_name": "Ruleset"} if chance.random() < 0.3 else {})
    options = {"state": state, **chance.choice([{"name": NEW}, {"name": THERE}, {"max_age": "2h"}, {"always": True}])}
    if "name" in options and chance.random() < 0.4:
        options["force"] = True
    return options


def _quirks(chance: random.Random) -> dict[str, Any]:
    quirks: dict[str, Any] = {"time_factor": 0.1}
    if chance.random() < 0.3:
        quirks["volatile"] = chance.choice(["times", "content"])
    if chance.random() < 0.3:
        quirks |= {"complete_after": chance.choice([-1.0, 5.0, 30.0])}
        quirks |= {"incomplete_size": chance.choice(["growing", "empty", "short"])}
    if chance.random() < 0.4:
        quirks |= {"restart_after": chance.choice([0.0, 0.5, 4.0]), "outage": chance.choice([2.0, 10.0])}
        quirks |= {"outage_kind": chance.choice(["refuse", "timeout", "list"])}
    for quirk in ("create_new_overwrites", "restores_otherwise"):
        if chance.random() < 0.2:
            quirks[quirk] = True
    return quirks


def _fault(chance: random.Random) -> dict[str, Any]:
    command = chance.choice(COMMANDS)
    times = chance.choice([1, 1, 2, None])
    if command == "download" and chance.random() < 0.5:
        return fault(command, chance.choice(["cut", "flip", "lose"]), "during", times, at=chance.randrange(500))
    does = chance.choice(["wait", "lose", "refuse", "stale"])
    seconds = chance.choice([2.0, 5.0, None]) if does == "wait" else None
    return fault(command, does, chance.choice(["before", "after"]), times, seconds=seconds)


def combination(seed: int) -> Row:
    """A random setup, task and set of faults, without an expected outcome."""
    chance = random.Random(seed)  # noqa: S311 - not for security
    options = _options(chance)
    state = options.pop("state")
    found = tuple(chance.sample(FOUND, chance.randrange(4)))
    return Row(
        f"{seed}",
        state,
        {**options, **CLOCKS},
        Outcome(),
        NOTHING,
        None,
        found=found,
        looks={name: chance.choice([EMPTY, ENDLESS, SHORT]) for name in found if chance.random() < 0.4},
        holds=chance.choice([BEFORE, IN_WANTED]),
        quirks=_quirks(chance),
        faults=tuple(_fault(chance) for _number in range(chance.randrange(3))),
    )


class Combination(Case):
    """A case of which only the invariants of all cases are checked."""

    def may_go(self) -> set[str]:
        """The backups that the task may remove or recreate."""
        if self.row.state == "absent":
            return set(self.row.options["names"])
        return {THERE} if self.row.state == "present" and self.row.options.get("force") else set()

    def go_through(self) -> None:
        """Run in check mode, then for real."""
        self.arrangement.set_quirks(with_faults=True)
        untouched = everything(self._lab.root)
        checked = self._run(check=True)
        assert everything(self._lab.root) == untouched, "check mode wrote something"

        self.arrangement.set_quirks(with_faults=True)
        before = look(self.arrangement.folder)
        result = self._run()
        after = look(self.arrangement.folder)
        done = effect(before, after, self.arrangement.wanted)

        self._require_true(result, done)
        touched = {name for name, entry in before.backups.items() if after.backups.get(name) != entry}
        assert touched <= self.may_go(), (touched, result)
        self._remember(before, after)
        self._require_safety_is_named(result, before, after)
        if not result.get("failed"):
            self._require_as_checked(checked, result)
            assert set(done.made) <= {*self.may_go(), *self._kinds_to_make(), COMPARE}, (done, result)
        if result.get("verified"):
            name = self.row.options["name"]
            made = self.arrangement.made[name]
            assert after.configuration == made.brought_to(before.configuration), result
        for name in self._promised(result):
            self._require_restorable(name)

    def _kinds_to_make(self) -> set[str]:
        return {"present": {NEW, "<ours>"}, "restored": {"<safety>"}}.get(self.row.state, set())

    def _require_as_checked(self, checked: dict[str, Any], result: dict[str, Any]) -> None:
        """Require that check mode predicted ``changed``, unless only a fresh backup shows that no restore is needed."""
        if checked.get("failed") or checked["changed"] == result["changed"]:
            return
        assert (self.row.state, checked["changed"]) == ("restored", True), (checked, result)
        assert not self.row.options.get("force"), (checked, result)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(COMBINATIONS))
def test_a_combination(seed: int, way: str, tmp_path: Path) -> None:
    row = combination(seed)
    with Lab(tmp_path / "lab", ["alone"]) as own:
        Combination(row, Arrangement(own, "alone", row), way, tmp_path).go_through()
