# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database of operations (SQLite), which survives restarts. Every change is on disk when its call returns."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .documents import Request
from .logs import now_text

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

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


class Key(NamedTuple):
    """Identifies an operation: UUIDs are chosen by clients, so they are unique only per system and user."""

    system: str
    username: str
    uuid: str

    @property
    def owner(self) -> tuple[str, str]:
        """System and user."""
        return self.system, self.username


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
        """Time from the request to the end, including restarts; ``None`` before the end."""
        if self.finished is None:
            return None
        length = datetime.fromisoformat(self.finished) - datetime.fromisoformat(self.created)
        return length // timedelta(milliseconds=1)

    def document(self) -> dict[str, Any]:
        """Return the operation's document in the HTTP API."""
        return {
            "id": self.key.uuid,
            "system": self.key.system,
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
            "waiting_for": None,
        }


def _dump(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _load(text: str | None) -> Any:
    return None if text is None else json.loads(text)


class UnreadableError(Exception):
    """A stored operation can't be read; this must not be reported as if it did not exist."""


MOST_DELETED = 1000
"""Maximum number of operations that are deleted at once, so that the database is not blocked for long."""


class Store:
    """The database. Its coroutines run their calls one after the other in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="activelogic-store")
        self._database: sqlite3.Connection | None = None
        self._opened = (datetime.now(UTC), time.monotonic())

    def open(self) -> None:
        """Open or create the database; raises ``sqlite3.Error``, and ``OSError`` if its path is not a regular file."""
        if self._path.is_symlink() or (self._path.exists() and not self._path.is_file()):
            raise OSError(errno.EINVAL, "is not a regular file", str(self._path))
        database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        self._path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns
        database.executescript(_SCHEMA)
        self._database = database
        self._opened = (self._latest(datetime.now(UTC)), time.monotonic())

    def _latest(self, now: datetime) -> datetime:
        """Return the time of the last stored event, but not later than ``now``."""
        stamps = self._connection().execute("SELECT max(created), max(finished) FROM operations").fetchone()
        known = [each for each in map(_moment, stamps) if each is not None]
        return min([now, max(known)] if known else [now])

    def close(self) -> None:
        """Finish pending calls, then close the database."""
        self._thread.shutdown(wait=True)
        if self._database is not None:
            self._database.close()
            self._database = None

    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            raise RuntimeError("the store is not open")
        return self._database

    async def _run(self, call: Callable[[], Result]) -> Result:
        # Shielded, so that a change is completed even if its caller is cancelled.
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
        """Return one operation, or ``None``; raises :class:`UnreadableError`."""
        rows = await self._run(
            lambda: (
                self._connection()
                .execute("SELECT * FROM operations WHERE system = ? AND username = ? AND id = ?", key)
                .fetchall()
            )
        )
        return _row(rows[0]) if rows else None

    async def of_owner(self, system: str, username: str, most: int) -> list[Row]:
        """Return the newest operations of one owner, newest first."""
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
        found = []
        for each in rows:
            with suppress(UnreadableError):  # it was logged when the gateway started
                found.append(_row(each))
        return found

    def end_unfinished(self, end: Callable[[Row], None]) -> list[Row]:
        """Call ``end`` with each operation that an earlier process left unfinished, and store all in one transaction.

        Blocks. An operation that can't be read is logged and ends as ``unknown``; it never runs again.

        :return: the operations that were ended.
        """
        database = self._connection()
        finished = []
        database.execute("BEGIN IMMEDIATE")
        try:
            for columns in database.execute("SELECT * FROM operations WHERE finished IS NULL").fetchall():
                try:
                    row = _row(columns)
                    end(row)
                    values = (row.state, _dump(row.problem), row.cause, row.finished)
                    finished.append(row)
                except UnreadableError:
                    logger.error("operation %s can't be read from the database; its outcome is unknown", columns[2])
                    values = ("unknown", None, "gateway_restarted", now_text())
                database.execute(
                    "UPDATE operations SET state = ?, problem = ?, cause = ?, finished = ?"
                    " WHERE system = ? AND username = ? AND id = ?",
                    (*values, *columns[:3]),
                )
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")
        return finished

    async def forget(self, age: timedelta) -> None:
        """Delete operations that finished so long ago, at most :data:`MOST_DELETED` per call.

        A clock that jumps ahead must not make operations look old, since a deleted operation could run a second time:
        the current time is at most that of the last event before the start, plus the monotonic time since then.
        """
        latest, opened = self._opened
        known_to_be_past = latest + timedelta(seconds=time.monotonic() - opened)
        before = _stamp(min(datetime.now(UTC), known_to_be_past) - age)

        def call() -> None:
            self._connection().execute(
                "DELETE FROM operations WHERE (system, username, id) IN"
                " (SELECT system, username, id FROM operations WHERE finished < ? LIMIT ?)",
                (before, MOST_DELETED),
            )

        await self._run(call)


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(stamp: Any) -> datetime | None:
    """Parse a stored time; ``None`` if there is none, or it can't be read."""
    try:
        return datetime.fromisoformat(stamp).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _with_reason(problem: dict[str, Any] | None) -> dict[str, Any] | None:
    """Add the member that an earlier version did not store."""
    return None if problem is None else {"reason": problem.get("detail", ""), **problem}


def _row(columns: tuple[Any, ...]) -> Row:
    """Convert a row; raises :class:`UnreadableError` if it is damaged, or another version wrote it."""
    system, username, uuid, request, state, result, problem, cause, created, finished = columns
    try:
        row = Row(
            Key(system, username, uuid),
            Request.model_validate_json(request),
            state,
            created,
            _load(result),
            _with_reason(_load(problem)),
            cause,
            finished,
        )
        _ = row.milliseconds
    except (ValueError, TypeError, AttributeError) as error:
        raise UnreadableError(str(uuid)) from error
    return row
