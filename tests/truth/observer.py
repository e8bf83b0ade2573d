# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a system holds, read from its files and its database, without the collection."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from table import BEFORE, COMPARE, IN_RULES, IN_WANTED, OTHERWISE, OURS, OURS_OF_A_PART, SAFETY, SYSTEM, Effect

QUIRKS = "quirks.json"
TABLES = ("facts", "users", "privileges", "resources")
KINDS = {
    SAFETY: r"pre-restore-\d{8}T\d{6}Z-[0-9a-f]{4}\.plb",
    COMPARE: r"compare-\d{8}T\d{6}Z-[0-9a-f]{4}(-only-.+)?\.plb",
    OURS: r"(nightly-|x-only-|pre-restore-x-)?\d{8}T\d{6}Z-[0-9a-f]{4}\.plb",
    OURS_OF_A_PART: r"(nightly-)?\d{8}T\d{6}Z-[0-9a-f]{4}-only-ruleset\.plb",
    SYSTEM: r"\d{8}-\d\d\.\d\d\.plb",
}


def everything(root: Path) -> dict[str, Any]:
    """Inode, mode, time of change and bytes of everything below a folder, and the rows of all databases.

    Of ``quirks.json`` only what was set: the rest counts what happened, which reading does too.
    """
    found: dict[str, Any] = {}
    for each in sorted(root.rglob("*")):
        name = str(each.relative_to(root))
        if each.name == QUIRKS:
            found[name] = json.loads(each.read_bytes())["quirks"]
            continue
        status = each.lstat()
        is_parent_of_quirks = (each / QUIRKS).exists()  # replacing that file touches its folder
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


@dataclass(frozen=True)
class Seen:
    """What a user would miss: the backups, the configuration, and the count of restores.

    A backup is known by inode, time of change and digest: a file that was made anew often gets the old one's inode.
    """

    backups: dict[str, tuple[int, int, str]]
    configuration: dict[str, Any]
    restores: int


def look(folder: Path) -> Seen:
    """What the system in a folder holds."""
    backups = {
        each.name: (each.stat().st_ino, each.stat().st_mtime_ns, hashlib.sha256(each.read_bytes()).hexdigest())
        for each in (folder / "backups").iterdir()
    }
    database = folder / "system.sqlite"
    resources = _rows(database, "SELECT name, data FROM resources WHERE data != 'null'")
    restores = _rows(database, "SELECT value FROM facts WHERE key = 'restores'")
    return Seen(backups, {name: json.loads(data) for name, data in resources}, int(restores[0][0]))


def effect(before: Seen, after: Seen, wanted: dict[str, Any]) -> Effect:
    """What happened between two looks.

    :param wanted: the configuration that the usual backups hold.
    """
    made = {name for name, entry in after.backups.items() if before.backups.get(name) != entry}
    kinds = {name: name if name in before.backups else kind_of(name) for name in made}
    return Effect(
        made=tuple(sorted(kinds.values())),
        gone=tuple(sorted(before.backups.keys() - after.backups.keys())),
        restores=after.restores - before.restores,
        holds=_label(before.configuration, after.configuration, wanted),
    )


def kind_of(name: str) -> str:
    """The kind of a name that was not known before, or the name itself."""
    return next((kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, name)), name)


def _label(before: dict[str, Any], after: dict[str, Any], wanted: dict[str, Any]) -> str:
    labels = {
        BEFORE: before,
        IN_WANTED: wanted,
        IN_RULES: {**before, "Ruleset": wanted["Ruleset"]},
    }
    return next((label for label, configuration in labels.items() if configuration == after), OTHERWISE)
