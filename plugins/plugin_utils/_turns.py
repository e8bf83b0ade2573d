# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the hosts of a play know of one another: who has begun a role, and what came of it.

Private to this collection. Ansible runs each host's task in a process of its own; registered variables of other hosts
may be missing or of an earlier run, under ``serial``, ``free``, or when a role runs twice. So the hosts of one run meet
in a folder below Ansible's own temporary one, which every process of one ``ansible-playbook`` shares and no other, and
which it deletes at its end. Files are only made, whole and once each: there is nothing to lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

MOST_TURNS = 10_000
"""How often a host may begin the same role in one run of Ansible."""


class Turn:
    """One run of a role by the hosts of a play.

    :param folder: where its hosts meet, as :meth:`begin` made it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def begin(cls, parent: Path, key: str, host: str) -> Turn:
        """Note that a host begins: its first time belongs to the others' first time, its second to their second.

        :param key: the same for all hosts, and another one for another task that begins a role.
        :raises OSError: when nothing can be written there.
        """
        for number in range(MOST_TURNS):
            turn = cls(parent / f"activelogic-{_digest(key)[:32]}-{number}")
            for name in ("begun", "rows", "shown", "prints"):
                (turn.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            if _make(turn.folder / "begun" / _digest(host)):
                return turn
        raise OSError(f"more than {MOST_TURNS} turns")

    def arrive(self, host: str, row: dict[str, Any]) -> None:
        """Note what came of a host.

        :raises OSError: when that can't be written.
        """
        target = self.folder / "rows" / _digest(host)
        whole = target.with_name(f".{target.name}")
        whole.write_text(json.dumps(row), encoding="utf-8")
        whole.replace(target)

    def awaits(self, gone: Iterable[str]) -> bool:
        """Whether a host has begun that has not arrived, and is not among those that have left the play."""
        begun = set(os.listdir(self.folder / "begun"))
        return bool(begun - set(os.listdir(self.folder / "rows")) - set(map(_digest, gone)))

    def rows(self) -> dict[str, dict[str, Any]]:
        """What came of the hosts that arrived, by their names."""
        rows = {}
        for path in (self.folder / "rows").iterdir():
            if not path.name.startswith("."):
                row = json.loads(path.read_text(encoding="utf-8"))
                rows[str(row["host"])] = row
        return rows

    def may_print(self, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Whether nobody else prints this same state of things; says so to one alone."""
        return _make(self.folder / "prints" / _digest(json.dumps(sorted(map(_identity, rows)))))

    def is_new(self, row: Mapping[str, Any]) -> bool:
        """Whether this row was not shown before; says so once."""
        return _make(self.folder / "shown" / _digest(_identity(row)))


def _identity(row: Mapping[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


def _make(path: Path) -> bool:
    with contextlib.suppress(FileExistsError), path.open("x"):
        return True
    return False


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
