# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations on disk (SQLite), so that they outlive the process. Every change is on the disk when it returns."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from .documents import Request

Result = TypeVar("Result")
Key = tuple[str, str, str]
"""System, user, UUID: an operation belongs to (system, user)."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS operations (
    system TEXT NOT NULL, username TEXT NOT NULL, id TEXT NOT NULL,
    request TEXT NOT NULL, state TEXT NOT NULL, result TEXT, problem TEXT, cause TEXT,
    created TEXT NOT NULL, finished TEXT,
    PRIMARY KEY (system, username, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS operations_by_state ON operations (state);
CREATE INDEX IF NOT EXISTS operations_by_finished ON operations (finished);
"""


@dataclass
class Row:
    """One operation as it is stored; times are RFC 3339 in UTC."""

    key: Key
    request: Request
    state: str
    created: str
    result: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None
    cause: str | None = None
    finished: str | None = None

    @property
    def milliseconds(self) -> int | None:
        """From being asked for to the end, also across a restart; ``None`` before the end."""
        if self.finished is None:
            return None
        length = datetime.fromisoformat(self.finished) - datetime.fromisoformat(self.created)
        return length // timedelta(milliseconds=1)

    def document(self) -> dict[str, Any]:
        """The document of the HTTP API."""
        return {
            "id": self.key[2],
            "system": self.key[0],
            "action": self.request.action,
            "name": self.request.name,
            "resource_name": self.request.resource_name,
            "size": self.request.size,
            "state": self.state,
            "result": self.result,
            "problem": self.problem,
            "cause": self.cause,
            "created": self.created,
            "finished": self.finished,
        }


def _dump(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _load(text: str | None) -> Any:
    return None if text is None else json.loads(text)


class Store:
    """The database. Its calls run one after the other on one thread of their own, off the loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="activelogic-store")
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open or make the database; raises ``sqlite3.Error``."""
        database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        self._path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
        database.executescript(_SCHEMA)
        self._database = database

    def close(self) -> None:
        """Finish what was given to the thread, then close."""
        self._thread.shutdown(wait=True)
        if self._database is not None:
            self._database.close()
            self._database = None

    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            raise RuntimeError("the store is not open")
        return self._database

    async def _run(self, call: Callable[[], Result]) -> Result:
        # Shielded: a caller that is cancelled must not leave it open whether its change was made.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, call))

    async def save(self, row: Row) -> None:
        """Insert or update one operation."""
        values = (
            *row.key,
            row.request.model_dump_json(),
            row.state,
            _dump(row.result),
            _dump(row.problem),
            row.cause,
            row.created,
            row.finished,
        )

        def call() -> None:
            self._connection().execute(
                "INSERT INTO operations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " state = excluded.state, result = excluded.result, problem = excluded.problem, cause = excluded.cause,"
                " finished = excluded.finished",
                values,
            )

        await self._run(call)

    async def find(self, key: Key) -> Row | None:
        """One operation."""
        rows = await self._run(
            lambda: (
                self._connection()
                .execute("SELECT * FROM operations WHERE system = ? AND username = ? AND id = ?", key)
                .fetchall()
            )
        )
        return _row(rows[0]) if rows else None

    async def of_owner(self, system: str, username: str, most: int) -> list[Row]:
        """The newest operations of one owner, the newest first."""
        rows = await self._run(
            lambda: (
                self._connection()
                .execute(
                    "SELECT * FROM operations WHERE system = ? AND username = ? ORDER BY created DESC, id LIMIT ?",
                    (system, username, most),
                )
                .fetchall()
            )
        )
        return [_row(each) for each in rows]

    def unfinished(self) -> list[Row]:
        """What an earlier process left in the middle; blocks."""
        rows = self._connection().execute("SELECT * FROM operations WHERE finished IS NULL").fetchall()
        return [_row(each) for each in rows]

    def save_now(self, row: Row) -> None:
        """As :meth:`save`, but blocking and only for rows that are there; for use before the loop runs."""
        self._connection().execute(
            "UPDATE operations SET state = ?, problem = ?, cause = ?, finished = ?"
            " WHERE system = ? AND username = ? AND id = ?",
            (row.state, _dump(row.problem), row.cause, row.finished, *row.key),
        )

    async def forget(self, before: str) -> None:
        """Delete what finished before a moment (RFC 3339 UTC)."""

        def call() -> None:
            self._connection().execute("DELETE FROM operations WHERE finished < ?", (before,))

        await self._run(call)


def _row(columns: tuple[Any, ...]) -> Row:
    system, username, uuid, request, state, result, problem, cause, created, finished = columns
    return Row(
        (system, username, uuid),
        Request.model_validate_json(request),
        state,
        created,
        _load(result),
        _load(problem),
        cause,
        finished,
    )
