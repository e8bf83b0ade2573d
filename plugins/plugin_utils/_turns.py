# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Share the state of a role between the hosts of a play: who has begun, and with which result.

Private to this collection. Ansible runs each host's task in a separate process, and registered variables of other hosts
may be missing or outdated, with ``serial``, ``free``, or when a role runs twice. So the hosts share a folder below
Ansible's temporary one; all processes of one ``ansible-playbook`` have it in common, and it is deleted at the end.
Files are only created, complete and once each, so nothing has to be locked.
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

    :param folder: the folder that its hosts share, see :meth:`begin`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def begin(cls, parent: Path, key: str, host: str) -> Turn:
        """Note that a host begins; the first runs of all hosts belong together, the second runs, and so on.

        :param key: the same for all hosts, and different for each task that begins a role.
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
        """Note the result of a host.

        :raises OSError: when it can't be written.
        """
        target = self.folder / "rows" / _digest(host)
        whole = target.with_name(f".{target.name}")
        whole.write_text(json.dumps(row), encoding="utf-8")
        whole.replace(target)

    def awaits(self, gone: Iterable[str]) -> bool:
        """Whether a host has begun, has no result yet, and has not left the play."""
        begun = set(os.listdir(self.folder / "begun"))
        return bool(begun - set(os.listdir(self.folder / "rows")) - set(map(_digest, gone)))

    def rows(self) -> dict[str, dict[str, Any]]:
        """The results so far, by host name."""
        rows = {}
        for path in (self.folder / "rows").iterdir():
            if not path.name.startswith("."):
                row = json.loads(path.read_text(encoding="utf-8"))
                rows[str(row["host"])] = row
        return rows

    def may_print(self, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Whether the caller is the first to print these rows; true only once."""
        return _make(self.folder / "prints" / _digest(json.dumps(sorted(map(_identity, rows)))))

    def is_new(self, row: Mapping[str, Any]) -> bool:
        """Whether this row has not been shown before; true only once."""
        return _make(self.folder / "shown" / _digest(_identity(row)))


def _identity(row: Mapping[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


def _make(path: Path) -> bool:
    with contextlib.suppress(FileExistsError), path.open("x"):
        return True
    return False


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
