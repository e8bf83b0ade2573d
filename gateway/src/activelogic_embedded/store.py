# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A system on disk: its facts, users and configuration in SQLite, its backups as files.

::

    ROOT/<name>/system.sqlite    facts, users, privileges, resources
    ROOT/<name>/backups/         the backups; complete files only
    ROOT/<name>/tmp/             files that are being written, each locked by its writer
    ROOT/<name>/lock             locked during every change
    ROOT/<name>/quirks.json      see :mod:`.quirks`; exists only if some were set

It is safe for concurrent processes and threads: every change is made under the lock, a backup appears by one rename,
and a restore changes the data in one transaction.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from . import archive
from .archive import Archive
from .system_folder import SystemFolder

ROOT_VARIABLE = "ACTIVELOGIC_EMBEDDED_ROOT"
PIECE = 1024 * 1024
MAX_NAME_BYTES = 255
EVERY_RESOURCE = "*"

_SCHEMA = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE users (username TEXT PRIMARY KEY, salt BLOB NOT NULL, digest BLOB NOT NULL);
CREATE TABLE privileges (username TEXT, resource TEXT, level TEXT NOT NULL, PRIMARY KEY (username, resource));
CREATE TABLE resources (number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, revision INTEGER NOT NULL, data TEXT);
"""


class Resource(enum.IntEnum):
    """The resources of a system, by number. The vendor documents only their titles, see :data:`TITLES`."""

    CONFIG = 1
    RULESET = 2
    SYSTEM_DIAGNOSTICS = 3
    BACKUP = 4


TITLES = {
    Resource.CONFIG: "Config",
    Resource.RULESET: "Ruleset",
    Resource.SYSTEM_DIAGNOSTICS: "System Diagnostics",
    Resource.BACKUP: "Backup",
}


class Level(enum.IntEnum):
    """Privileges of a user on a resource: read-only commands, or all commands."""

    NONE = 0
    READ = 1
    WRITE = 2


class StoreError(Exception):
    """A command can't be executed. The text is for the user, and contains no secret."""


class StaleError(Exception):
    """Another session has committed to the resource since its revision was read."""


def root_from_environment() -> Path | None:
    """Return the folder of all systems from the environment, if it is set."""
    value = os.environ.get(ROOT_VARIABLE)
    return Path(value) if value else None


def why_illegal(name: str) -> str:
    """Say why a backup name is illegal; an empty string means that it is legal."""
    if not name:
        return "it is empty"
    if name in (".", "..") or any(each in "/\\" or ord(each) < 0x20 or 0x7F <= ord(each) <= 0x9F for each in name):
        return "it holds a character that is not allowed, or is . or .."
    try:
        too_long = len(name.encode("utf-8")) > MAX_NAME_BYTES
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    return f"it has more than {MAX_NAME_BYTES} bytes" if too_long else ""


class Store(SystemFolder):
    """One system below a root."""

    @classmethod
    def create(
        cls, folder: Path, facts: Mapping[str, str], resources: Mapping[Resource, Any], username: str, password: str
    ) -> Store:
        """Create a system with a user who has all privileges; it appears atomically.

        :raises FileExistsError: if the folder exists.
        """
        if folder.exists():
            raise FileExistsError(str(folder))
        folder.parent.mkdir(parents=True, exist_ok=True)
        making = folder.parent / f".{uuid.uuid4()}"
        try:
            cls._fill(making, facts, resources)
            cls(making).set_user(username, password, {EVERY_RESOURCE: Level.WRITE})
            making.rename(folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process was faster
                raise FileExistsError(str(folder)) from None
            raise
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return cls(folder)

    @staticmethod
    def _fill(making: Path, facts: Mapping[str, str], resources: Mapping[Resource, Any]) -> None:
        for each in (making, making / "backups", making / "tmp"):
            each.mkdir(mode=0o700)
        (making / "lock").touch(mode=0o600)
        with contextlib.closing(sqlite3.connect(making / "system.sqlite")) as database, database:
            database.executescript(_SCHEMA)
            defaults = {"restores": "0", "firstupdate": _now(), "lastupdate": _now()}
            database.executemany("INSERT INTO facts VALUES (?, ?)", {**defaults, **facts}.items())
            rows = [(int(each), title, 0, _json(resources.get(each))) for each, title in TITLES.items()]
            database.executemany("INSERT INTO resources VALUES (?, ?, ?, ?)", rows)
        (making / "system.sqlite").chmod(0o600)

    # Facts, users, configuration

    def fact(self, key: str) -> str:
        """Return one fact, such as ``machineid``, ``distversion``, ``name`` or ``restores``."""
        value: str = self._rows("SELECT value FROM facts WHERE key = ?", key)[0][0]
        return value

    def set_user(self, username: str, password: str | None, levels: Mapping[str, Level]) -> None:
        """Add or change a user; ``None`` keeps the password. The keys of ``levels`` are resource titles, or ``*``."""
        with self._lock(), self._connect() as database:
            if password is not None:
                database.execute("INSERT OR REPLACE INTO users VALUES (?, ?, ?)", _user_row(username, password))
            rows = [(username, resource, level.name) for resource, level in levels.items()]
            database.executemany("INSERT OR REPLACE INTO privileges VALUES (?, ?, ?)", rows)

    def has_user(self, username: str) -> bool:
        """Whether there is a user of that name."""
        return bool(self._rows("SELECT 1 FROM users WHERE username = ?", username))

    def may_log_in(self, username: str, password: str) -> bool:
        """Whether the user exists and the password is right."""
        try:
            rows = self._rows("SELECT salt, digest FROM users WHERE username = ?", username)
        except UnicodeEncodeError:  # no user can have such a name
            rows = []
        salt, digest = rows[0] if rows else (b"no such user's ", b"")
        return hmac.compare_digest(_password_digest(password, salt), digest)

    def level(self, username: str, resource: Resource) -> Level:
        """Return a user's privilege on a resource."""
        rows: dict[str, str] = dict(self._rows("SELECT resource, level FROM privileges WHERE username = ?", username))
        return Level[rows.get(TITLES[resource], rows.get(EVERY_RESOURCE, "NONE"))]

    def configuration(self) -> dict[str, Any]:
        """Return the data of all resources that have any, by title."""
        rows = self._rows("SELECT name, data FROM resources WHERE data != 'null' ORDER BY number")
        return {name: json.loads(data) for name, data in rows}

    def change(self, resource: str, change: Callable[[Any], Any]) -> None:
        """Commit new data of a resource; ``change`` converts the old data to the new."""
        with self._lock(), self._connect() as database:
            rows = database.execute("SELECT data FROM resources WHERE name = ?", (resource,)).fetchall()
            if not rows or rows[0][0] == "null":
                raise StoreError(f"there is no resource {resource!r} with data")
            self._write(database, {resource: change(json.loads(rows[0][0]))})

    def _write(self, database: sqlite3.Connection, data: Mapping[str, Any]) -> None:
        for name, value in data.items():
            statement = "UPDATE resources SET data = ?, revision = revision + 1 WHERE name = ?"
            database.execute(statement, (_json(value), name))
        database.execute("UPDATE facts SET value = ? WHERE key = 'lastupdate'", (_now(),))

    def config_md5(self) -> str:
        """Return the MD5 of all configuration data, for identification, not for security."""
        return hashlib.md5(_json(self.configuration()).encode("utf-8"), usedforsecurity=False).hexdigest()

    # Backups

    def revision(self) -> int:
        """Return the number of commits to the Backup resource."""
        found: int = self._rows("SELECT revision FROM resources WHERE number = ?", int(Resource.BACKUP))[0][0]
        return found

    @contextlib.contextmanager
    def commit(self, seen: Callable[[], int]) -> Iterator[None]:
        """Lock the Backup resource for one write, which returns the new revision.

        :param seen: returns the revision that the session has seen; called under the lock.
        :raises StaleError: if another session has committed since.
        """
        with self._lock():
            if self.revision() != seen():
                raise StaleError
            self._remove_leftovers()
            yield

    def is_current(self, seen: Callable[[], int]) -> bool:
        """Whether no other session has committed to the Backup resource since this one saw it.

        A difference is checked again under the lock: the session itself may be in the middle of a commit.
        """
        if self.revision() == seen():
            return True
        with self._lock():
            return self.revision() == seen()

    def _next_revision(self) -> int:
        """Commit a new revision before a change of files, so that no change goes unnoticed."""
        with self._connect() as database:
            return self._raise_revision(database)

    @staticmethod
    def _raise_revision(database: sqlite3.Connection) -> int:
        statement = "UPDATE resources SET revision = revision + 1 WHERE number = ? RETURNING revision"
        raised: int = database.execute(statement, (int(Resource.BACKUP),)).fetchall()[0][0]
        return raised

    def listing(self) -> list[tuple[str, int]]:
        """Return the names and sizes (bytes) of all backups."""
        found = []
        with os.scandir(self.backups) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    found.append((entry.name, entry.stat().st_size))
        return sorted(found)

    def path(self, name: str) -> Path:
        """Return the file of a backup.

        :raises StoreError: if the name is illegal, or there is no such backup.
        """
        self._check_name(name)
        path = self.backups / name
        if not path.is_file():
            raise StoreError(f"there is no backup {name!r}")
        return path

    def exists(self, name: str) -> bool:
        """Whether there is a backup with this (legal) name."""
        return (self.backups / name).exists()

    def require_name(self, name: str, *, may_exist: bool = False) -> None:
        """Raise ``StoreError`` if a new backup can't have the name, because it is illegal or taken."""
        self._check_name(name)
        if not may_exist and self.exists(name):
            raise StoreError(f"a backup {name!r} exists")

    @staticmethod
    def _check_name(name: str) -> None:
        reason = why_illegal(name)
        if reason:
            raise StoreError(f"the name of the backup is refused: {reason}")

    def pack(self, resource: str | None, volatile: str = "") -> bytes:
        """Return the content of a new backup, of all resources or of one.

        :param volatile: ``times`` includes the current time, ``content`` also random data.
        :raises StoreError: for an unknown resource.
        """
        data = self.configuration()
        if resource is not None:
            if resource not in data:
                raise StoreError(f"there is no resource {resource!r} that can be backed up")
            data = {resource: data[resource]}
        made = time.time() if volatile else 0
        mark = secrets.token_hex(16) if volatile == "content" else ""
        return archive.dump(Archive(data, made, mark))

    @contextlib.contextmanager
    def incoming(self) -> Iterator[BinaryIO]:
        """Open a new temporary file; :meth:`place` turns it into a backup, otherwise it is deleted after the block.

        Call it before :meth:`commit`, which holds the same lock.
        """
        path = self.tmp / str(uuid.uuid4())
        with contextlib.ExitStack() as stack:
            with self._lock():  # otherwise it could be removed as a leftover before it is locked
                file = stack.enter_context(open(path, "xb", opener=_private))
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield file
            finally:
                path.unlink(missing_ok=True)

    def place(self, incoming: BinaryIO, name: str, may_exist: bool = False) -> int:
        """Turn a file of :meth:`incoming` into the backup ``name``. Call it only under :meth:`commit`."""
        self.require_name(name, may_exist=may_exist)
        incoming.flush()
        os.fsync(incoming.fileno())
        revision = self._next_revision()
        Path(incoming.name).rename(self.backups / name)
        self._sync_backups()
        return revision

    def remove(self, name: str) -> int:
        """Remove a backup. Call it only under :meth:`commit`."""
        path = self.path(name)
        revision = self._next_revision()
        path.unlink()
        self._sync_backups()
        return revision

    def restore(self, name: str, resource: str | None, password: str | None = None, otherwise: bool = False) -> int:
        """Restore the data of all resources in the backup, or of one. Call it only under :meth:`commit`.

        :param password: new password of all users; ``None`` changes none.
        :param otherwise: restore something else than was saved.
        :raises StoreError: if the backup is damaged, or lacks the resource. Nothing is changed then.
        """
        path = self.path(name)
        try:
            with path.open("rb") as file:
                saved = dict(archive.load(file.read(archive.MAX_UNPACKED)).resources)
        except archive.ArchiveError as error:
            raise StoreError(f"the backup {name!r} can't be restored: {error}") from error
        known = self.configuration()
        if resource is not None:
            if resource not in saved:
                raise StoreError(f"the backup {name!r} does not hold the resource {resource!r}")
            saved = {resource: saved[resource]}
        unknown = sorted(set(saved) - set(known))
        if unknown:
            raise StoreError(f"the backup {name!r} holds an unknown resource {unknown[0]!r}")
        if otherwise:
            saved = {title: {**data, "restored": secrets.token_hex(4)} for title, data in saved.items()}
        return self.write_restored(saved, password)

    def write_restored(self, saved: dict[str, Any], password: str | None) -> int:
        """Commit the data of a backup, by resource. Call it only under :meth:`commit`."""
        with self._connect() as database:
            self._write(database, saved)
            if password is not None:
                for (username,) in database.execute("SELECT username FROM users").fetchall():
                    database.execute("INSERT OR REPLACE INTO users VALUES (?, ?, ?)", _user_row(username, password))
            database.execute("UPDATE facts SET value = value + 1 WHERE key = 'restores'")
            return self._raise_revision(database)

    def run_when_visible(self, action: Callable[[], object]) -> None:
        """Run an action once the preceding change is visible to others; here at once.

        :param action: must not refer to the session, or it would keep the session alive.
        """
        action()

    def _sync_backups(self) -> None:
        descriptor = os.open(self.backups, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _remove_leftovers(self) -> None:
        """Remove temporary files whose writer has died, so that nobody holds their lock."""
        for path in self.tmp.iterdir():
            with contextlib.suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    # For tests

    def digest(self) -> str:
        """Return a SHA-256 over the rows of all tables, and the names and contents of all files."""
        total = hashlib.sha256()
        for table in ("facts", "users", "privileges", "resources"):
            rows = sorted(repr(row) for row in self._rows(f"SELECT * FROM {table}"))  # noqa: S608 - our own names
            total.update(_json([table, rows]).encode("utf-8"))
        for path in sorted([*self.backups.iterdir(), *self.tmp.iterdir()]):
            content = hashlib.sha256()
            with path.open("rb") as file:
                for piece in iter(lambda: file.read(PIECE), b""):
                    content.update(piece)
            total.update(_json([str(path.relative_to(self.folder)), content.hexdigest()]).encode("utf-8"))
        return total.hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _user_row(username: str, password: str) -> tuple[str, bytes, bytes]:
    salt = secrets.token_bytes(16)
    return username, salt, _password_digest(password, salt)


def _password_digest(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, n=1024, r=8, p=1)


def _json(document: Any) -> str:
    return json.dumps(document, sort_keys=True, ensure_ascii=False)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
