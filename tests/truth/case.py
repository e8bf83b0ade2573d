# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a row and compares each reported result with what an observer sees on the system."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from activelogic_embedded.exception import PLDBError

from tests.harness.forked_modules import start_forked
from tests.harness.lab import Lab
from tests.harness.login import login_options
from tests.harness.observer import Seen, everything, look
from tests.truth.arrangement import Arrangement, Made
from tests.truth.effects import effect, kind_of
from tests.truth.table import NOTHING, OTHERWISE, SAFETY, Effect, Outcome, Row

SECONDS = 60
"""Timeout of a module."""

SETTLE_AFTER_RESTORE = 0.5


def module_of(row: Row) -> str:
    """The module that a row tests."""
    return "activelogic_backup_info" if row.state == "info" else "activelogic_backup"


def options_of(row: Row) -> dict[str, Any]:
    """The options of a row's task, without the connection."""
    if row.state == "info":
        return dict(row.options)
    waits = {"settle_after_restore": SETTLE_AFTER_RESTORE} if row.state == "restored" else {}
    given = {"state": row.state, **waits, **row.options}
    return {option: value for option, value in given.items() if value is not None}


def outcome_of(result: dict[str, Any], expected: Outcome) -> Outcome:
    """The reported outcome, limited to the facts of the expected one."""
    error = ""
    if result.get("failed"):
        error = result["error"]["kind"] if "error" in result else "arguments"
    return Outcome(
        action=result.get("action", ""),
        changed=result.get("changed", False),
        error=error,
        verified=result.get("verified"),
        facts={path: _fact(result, path) for path in expected.facts},
    )


def _fact(result: dict[str, Any], path: str) -> Any:
    found: Any = result
    for key in path.split("."):
        found = None if found is None else found[key]
    return found


@dataclass(frozen=True)
class Case:
    """A row, a system set up for it, and the way to reach it."""

    row: Row
    arrangement: Arrangement
    way: str
    folder: Path

    @property
    def _lab(self) -> Lab:
        return self.arrangement.lab

    def check(self) -> None:
        """Run in check mode: the outcome is the row's, and nothing was written."""
        self.arrangement.set_quirks(with_faults=True)
        before = everything(self._lab.root)
        result = self._run(check=True)
        assert outcome_of(result, self.row.in_check_mode) == self.row.in_check_mode, result
        assert everything(self._lab.root) == before, "check mode wrote something"

    def do(self) -> None:
        """Run for real: the outcome and the effect are the row's, and the report is true."""
        self.arrangement.set_quirks(with_faults=True)
        before = look(self.arrangement.folder)
        result = self._run()
        after = look(self.arrangement.folder)
        done = effect(before, after, self.arrangement.wanted)
        assert (outcome_of(result, self.row.real), done) == (self.row.real, self.row.effect), result
        self._require_true(result, done)
        self._remember(before, after)
        self._require_safety_is_named(result, before, after)
        for name in self._promised(result):
            self._require_restorable(name)

    def again(self) -> None:
        """Run a second time, without faults."""
        if self.row.second is None:
            return
        if self.row.an_hour_passes:
            self.arrangement.let_an_hour_pass()
        self.arrangement.set_quirks(with_faults=False)
        before = look(self.arrangement.folder)
        result = self._run()
        done = effect(before, look(self.arrangement.folder), self.arrangement.wanted)
        assert outcome_of(result, self.row.second) == self.row.second, result
        self._require_true(result, done)

    def _run(self, *, check: bool = False) -> dict[str, Any]:
        """Run the module as Ansible does, in a process; its temporary folder must be empty afterwards."""
        lab = self._lab
        temporary = self.folder / "remote_tmp"
        temporary.mkdir(exist_ok=True)
        options = login_options(lab, self.arrangement.system, self.way, retries=1, retry_delay=0.1)
        options |= {"_ansible_check_mode": check, "_ansible_tmpdir": str(temporary)}
        environment = {"ACTIVELOGIC_EMBEDDED_ROOT": str(lab.root), "TMPDIR": str(temporary)}
        process = start_forked(module_of(self.row), {**options, **options_of(self.row)}, environment)
        output, _none = process.communicate(timeout=SECONDS)
        result: dict[str, Any] = json.loads(output)
        assert (process.returncode != 0) is result.get("failed", False), output
        assert not list(temporary.iterdir()), "files were left where the module ran"
        return result

    @staticmethod
    def _require_true(result: dict[str, Any], done: Effect) -> None:
        """Require that ``changed`` is correct; a failure may omit it, but must not report it without a change."""
        if not result.get("failed") or result.get("changed"):
            assert result["changed"] is (done != NOTHING), (result, done)
        if result.get("verified"):
            assert done.holds != OTHERWISE, (result, done)

    def _remember(self, before: Seen, after: Seen) -> None:
        """Record what the new backups contain: the configuration that the system had before."""
        resource = self.row.options.get("resource_name")
        for name, entry in after.backups.items():
            if before.backups.get(name) != entry:
                is_whole = kind_of(name) == SAFETY
                self.arrangement.made[name] = Made(before.configuration, None if is_whole else resource)

    @staticmethod
    def _require_safety_is_named(result: dict[str, Any], before: Seen, after: Seen) -> None:
        """A safety backup that remains is named, whether the task failed or not."""
        for name in after.backups.keys() - before.backups.keys():
            if kind_of(name) == SAFETY:
                assert (result.get("safety_backup") or {}).get("name") == name or name in result.get("msg", ""), result

    def _promised(self, result: dict[str, Any]) -> list[str]:
        """The backups that a successful result declares reliable."""
        if result.get("failed") or self.row.state == "absent":
            return []
        if self.row.state == "info":
            return [result["latest"]["name"]] if result["fresh"] else []
        return [each["name"] for each in (result["backup"], result["safety_backup"]) if each is not None]

    def _require_restorable(self, name: str) -> None:
        """Require that restoring the backup brings back the configuration of the time it was made."""
        elsewhere = self.folder / "elsewhere" / name
        if self.row.limit:
            with pytest.raises(PLDBError, match="not complete"):
                self.arrangement.restore_elsewhere(name, elsewhere)
            return
        before, after = self.arrangement.restore_elsewhere(name, elsewhere)
        assert after == self.arrangement.made[name].brought_to(before)
