# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder of a system on disk: its paths, its lock, and access to its database."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class SystemFolder:
    """Base of access to a system: its paths, its lock, and transactions on its database."""

    def __init__(self, folder: Path) -> None:
        """Use the system in a folder; raises ``FileNotFoundError`` if there is none."""
        self.folder = folder
        self.backups = folder / "backups"
        self.tmp = folder / "tmp"
        self._database = folder / "system.sqlite"
        if not self._database.is_file():
            raise FileNotFoundError(str(folder))

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """Run a block in a transaction, which is committed at its end, and rolled back by an exception."""
        with contextlib.closing(sqlite3.connect(self._database, timeout=30.0, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous = FULL")
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self._database, timeout=30.0)) as database:
            return database.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Prevent other processes and threads from changing the system during the block."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
