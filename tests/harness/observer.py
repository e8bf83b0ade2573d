# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A system's content, read from its files and its database without the collection."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activelogic_embedded import admin

from tests.harness.lab import Lab

QUIRKS = "quirks.json"
TABLES = ("facts", "users", "privileges", "resources")


def everything(root: Path) -> dict[str, Any]:
    """Inode, mode, mtime and content of everything in a folder, and the rows of all databases.

    Of ``quirks.json`` only the settings: its counters change on reads too.
    """
    found: dict[str, Any] = {}
    for each in sorted(root.rglob("*")):
        name = str(each.relative_to(root))
        if each.name == QUIRKS:
            found[name] = json.loads(each.read_bytes())["quirks"]
            continue
        status = each.lstat()
        is_parent_of_quirks = (each / QUIRKS).exists()  # replacing quirks.json changes its folder's mtime
        touched = 0 if is_parent_of_quirks or each.name == "quirks.lock" else status.st_mtime_ns
        content = hashlib.sha256(each.read_bytes()).hexdigest() if each.is_file() else ""
        found[name] = (status.st_ino, status.st_mode, touched, content)
        if each.suffix == ".sqlite":
            for table in TABLES:
                found[f"{name} {table}"] = _rows(each, f"SELECT * FROM {table}")  # noqa: S608 - names of our own
    return found


def _rows(database: Path, statement: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        return sorted(opened.execute(statement).fetchall(), key=repr)


def _restores(database: Path) -> int:
    return int(_rows(database, "SELECT value FROM facts WHERE key = 'restores'")[0][0])


@dataclass(frozen=True)
class Seen:
    """What a user would notice: the backups, the configuration, and the number of restores.

    A backup is identified by inode, mtime and digest, because a recreated file often gets the old inode.
    """

    backups: dict[str, tuple[int, int, str]]
    configuration: dict[str, Any]
    restores: int


def look(folder: Path) -> Seen:
    """The content of the system in a folder."""
    backups = {
        each.name: (each.stat().st_ino, each.stat().st_mtime_ns, hashlib.sha256(each.read_bytes()).hexdigest())
        for each in (folder / "backups").iterdir()
    }
    database = folder / "system.sqlite"
    resources = _rows(database, "SELECT name, data FROM resources WHERE data != 'null'")
    return Seen(backups, {name: json.loads(data) for name, data in resources}, _restores(database))


def backups_on(lab: Lab, system: str) -> dict[str, int]:
    """Names and sizes of a system's backups, read from its disk."""
    return {each.name: each.stat().st_size for each in (lab.root / system / "backups").iterdir()}


def configuration_of(lab: Lab, system: str) -> Any:
    """All configuration data of a system, by resource title."""
    return admin.show(lab.root, system)


def restores_on(lab: Lab, system: str) -> int:
    """The number of restores on a system, read from its database."""
    return _restores(lab.root / system / "system.sqlite")


def has_begun(lab: Lab, system: str) -> bool:
    """Whether the first of a system's faults has been triggered; it must have ``times``."""
    state = json.loads((lab.root / system / QUIRKS).read_bytes())["state"]
    return bool(state.get("happened", {}).get("0"))


def digest_of_systems(lab: Lab) -> str:
    """A digest of the content of all systems."""
    return admin.digest(lab.root)


def digest_of_system(lab: Lab, system: str) -> str:
    """A digest of the content of one system."""
    return admin.digest(lab.root, system)


def digest_of_tree(folder: Path) -> dict[str, tuple[int, int, int, str]]:
    """Inode, mode, mtime and content of everything in a folder."""
    found = {}
    for each in sorted(folder.rglob("*")):
        status = each.lstat()
        content = hashlib.sha256(each.read_bytes()).hexdigest() if each.is_file() else ""
        found[str(each.relative_to(folder))] = (status.st_ino, status.st_mode, status.st_mtime_ns, content)
    return found
