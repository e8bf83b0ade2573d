# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets up a system for a row, and verifies the restorability of its backups on a copy."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from activelogic_embedded import admin, sync_connect
from activelogic_embedded.quirks import Quirks
from activelogic_embedded.store import ROOT_VARIABLE

from tests.harness.lab import Lab
from tests.harness.observer import QUIRKS, look
from tests.truth.table import BEFORE, EMPTY, ENDLESS, GROWING, RULES, SHORT, THIS_MINUTE, WANTED, Row

LOOKS: dict[str, dict[str, Any]] = {
    EMPTY: {"complete_after": -1, "incomplete_size": "empty"},
    GROWING: {"complete_after": 40, "incomplete_size": "growing"},
    ENDLESS: {"complete_after": -1, "incomplete_size": "growing"},
    SHORT: {"complete_after": -1, "incomplete_size": "short"},
}


@dataclass(frozen=True)
class Made:
    """Configuration at the time a backup was made, and the resource that it contains (``None`` for all)."""

    configuration: dict[str, Any]
    resource: str | None

    def brought_to(self, held: dict[str, Any]) -> dict[str, Any]:
        """The configuration of a system that held ``held``, after restoring the backup."""
        if self.resource is None:
            return self.configuration
        return {**held, self.resource: self.configuration[self.resource]}


class Arrangement:
    """A new system, set up for a row.

    ``made`` describes all its backups; ``wanted`` is the configuration in the standard backups.
    """

    def __init__(self, lab: Lab, system: str, row: Row) -> None:
        self.lab = lab
        self.system = system
        self.folder = lab.root / system
        self.made: dict[str, Made] = {}
        self._row = row
        shutil.rmtree(self.folder)
        admin.create_system(lab.root, system, lab.username, lab.password)
        self._make(WANTED)
        self._make(RULES, "Ruleset")
        self.wanted = look(self.folder).configuration
        if row.holds == BEFORE:
            for resource in ("Ruleset", "Config"):
                admin.set_value(lab.root, system, resource, "marker", "changed")
        for name in self._names(row.found):
            self._make(name, "Ruleset" if name.endswith("-only-ruleset.plb") else None)

    @staticmethod
    def _names(found: Iterable[str]) -> Iterable[str]:
        now = datetime.now().astimezone()
        for name in found:
            if name == THIS_MINUTE:
                yield from (f"{now + timedelta(minutes=each):%Y%m%d-%H.%M}.plb" for each in range(3))
            else:
                yield name

    def _make(self, name: str, resource: str | None = None) -> None:
        _set_quirks(self.lab.root, self.system, LOOKS.get(self._row.looks.get(name, ""), {}))
        with _log_in(self.lab.root, self.system, self.lab) as connection:
            connection.backup().create_new(name, resource)
        self.made[name] = Made(look(self.folder).configuration, resource)

    def set_quirks(self, with_faults: bool) -> None:
        """Set the row's quirks and reset their counters."""
        _set_quirks(self.lab.root, self.system, self._row.quirks, self._row.faults if with_faults else ())

    def let_an_hour_pass(self) -> None:
        """Complete the growing backups."""
        _change_state(self.folder, lambda _state: {})

    def restore_elsewhere(self, name: str, elsewhere: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """Restore a backup on a copy of the system without quirks; incomplete backups stay incomplete.

        The copy's whole configuration is changed first, so that whatever comes back comes from the backup.

        :raises activelogic_embedded.exception.PLDBError: when the copy refuses to restore it.
        :return: the copy's configuration before and after.
        """
        copy = elsewhere / self.system
        shutil.copytree(self.folder, copy)
        _change_state(copy, lambda state: {"growing": state.get("growing", {})})
        _set_quirks(elsewhere, self.system, {})
        admin.set_user(elsewhere, self.system, self.lab.username, self.lab.password, {})
        for resource in self.wanted:
            admin.set_value(elsewhere, self.system, resource, "marker", "elsewhere")
        before = look(copy).configuration
        with _log_in(elsewhere, self.system, self.lab) as connection:
            connection.backup().restore(name)
        return before, look(copy).configuration


def _log_in(root: Path, system: str, lab: Lab) -> Any:
    os.environ[ROOT_VARIABLE] = str(root)
    return sync_connect(system, lab.username, lab.password)


def _set_quirks(root: Path, system: str, quirks: Mapping[str, Any], faults: Iterable[Mapping[str, Any]] = ()) -> None:
    admin.set_quirks(root, system, **{**asdict(Quirks()), **quirks, "faults": list(faults)})


def _change_state(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the recorded state of a system's quirks."""
    path = folder / QUIRKS
    document = json.loads(path.read_bytes())
    document["state"] = change(document["state"])
    path.write_text(json.dumps(document), encoding="utf-8")
