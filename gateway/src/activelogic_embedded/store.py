# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A system on disk: its facts, users and configuration in SQLite, its backups as files.

::

    ROOT/<name>/system.sqlite    facts, users, privileges, resources
    ROOT/<name>/backups/         the backups; a file is here only when it is whole
    ROOT/<name>/tmp/             files in the making, each locked by its maker
    ROOT/<name>/lock             held by whoever changes something
    ROOT/<name>/quirks.json      see :mod:`.quirks`; only where some were set

Safe for many processes and threads: every change is made under the lock, a backup appears by one rename, and the data
of a restore change in one transaction.
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
    """The resources of a system, by number. Only the vendor's names for people are documented, see :func:`title`."""

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
    """A command that can't be carried out. The text is for the user, and holds no secret."""


class StaleError(Exception):
    """Somebody else has committed to the resource since its revision was read."""


def root_from_environment() -> Path | None:
    """The folder of all systems, as the environment names it."""
    value = os.environ.get(ROOT_VARIABLE)
    return Path(value) if value else None


def why_illegal(name: str) -> str:
    """Say why the system refuses a backup's name; an empty string means that it does not."""
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
        """Make a new system with a user who may do everything; it appears at once and whole.

        :raises FileExistsError: when the folder exists.
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
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # somebody else was faster
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
        """One fact, such as ``machineid``, ``distversion``, ``name`` or ``restores``."""
        value: str = self._rows("SELECT value FROM facts WHERE key = ?", key)[0][0]
        return value

    def set_user(self, username: str, password: str | None, levels: Mapping[str, Level]) -> None:
        """Add or change a user; ``None`` keeps the password. Keys of ``levels`` are titles of resources, or ``*``."""
        with self._lock(), self._connect() as database:
            if password is not None:
                database.execute("INSERT OR REPLACE INTO users VALUES (?, ?, ?)", _user_row(username, password))
            rows = [(username, resource, level.name) for resource, level in levels.items()]
            database.executemany("INSERT OR REPLACE INTO privileges VALUES (?, ?, ?)", rows)

    def has_user(self, username: str) -> bool:
        """Whether there is a user of that name."""
        return bool(self._rows("SELECT 1 FROM users WHERE username = ?", username))

    def may_log_in(self, username: str, password: str) -> bool:
        """Whether the password is that of the user."""
        try:
            rows = self._rows("SELECT salt, digest FROM users WHERE username = ?", username)
        except UnicodeEncodeError:  # no user can have such a name
            rows = []
        salt, digest = rows[0] if rows else (b"no such user's ", b"")
        return hmac.compare_digest(_password_digest(password, salt), digest)

    def level(self, username: str, resource: Resource) -> Level:
        """What a user may do with a resource."""
        rows: dict[str, str] = dict(self._rows("SELECT resource, level FROM privileges WHERE username = ?", username))
        return Level[rows.get(TITLES[resource], rows.get(EVERY_RESOURCE, "NONE"))]

    def configuration(self) -> dict[str, Any]:
        """The data of all resources that have any, by title."""
        rows = self._rows("SELECT name, data FROM resources WHERE data != 'null' ORDER BY number")
        return {name: json.loads(data) for name, data in rows}

    def change(self, resource: str, change: Callable[[Any], Any]) -> None:
        """Commit new data of a resource; ``change`` gets the old ones."""
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
        """MD5 of all configuration data (an identification, not a protection)."""
        return hashlib.md5(_json(self.configuration()).encode("utf-8"), usedforsecurity=False).hexdigest()

    # Backups

    def revision(self) -> int:
        """How often something was committed to the Backup resource."""
        found: int = self._rows("SELECT revision FROM resources WHERE number = ?", int(Resource.BACKUP))[0][0]
        return found

    @contextlib.contextmanager
    def commit(self, seen: Callable[[], int]) -> Iterator[None]:
        """Lock the Backup resource for one command that changes something, and that returns the new revision.

        :param seen: the revision that the session has seen, asked under the lock.
        :raises StaleError: when somebody else has committed since.
        """
        with self._lock():
            if self.revision() != seen():
                raise StaleError
            self._remove_leftovers()
            yield

    def is_current(self, seen: Callable[[], int]) -> bool:
        """Whether nobody else has committed to the Backup resource since a session saw it.

        A difference counts only under the lock: the session itself may be in the middle of a commit.
        """
        if self.revision() == seen():
            return True
        with self._lock():
            return self.revision() == seen()

    def _next_revision(self) -> int:
        """Commit a revision of its own for a change of files; before it, so that none ever goes unnoticed."""
        with self._connect() as database:
            return self._raise_revision(database)

    @staticmethod
    def _raise_revision(database: sqlite3.Connection) -> int:
        statement = "UPDATE resources SET revision = revision + 1 WHERE number = ? RETURNING revision"
        raised: int = database.execute(statement, (int(Resource.BACKUP),)).fetchall()[0][0]
        return raised

    def listing(self) -> list[tuple[str, int]]:
        """Names and sizes (bytes) of all backups."""
        found = []
        with os.scandir(self.backups) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # removed while we look
                    found.append((entry.name, entry.stat().st_size))
        return sorted(found)

    def path(self, name: str) -> Path:
        """The file of a backup.

        :raises StoreError: when the name is refused, or there is none.
        """
        self._check_name(name)
        path = self.backups / name
        if not path.is_file():
            raise StoreError(f"there is no backup {name!r}")
        return path

    def exists(self, name: str) -> bool:
        """Whether there is a backup of a legal name."""
        return (self.backups / name).exists()

    def require_name(self, name: str, *, may_exist: bool = False) -> None:
        """:raises StoreError: when a new backup can't have the name: it is refused, or taken."""
        self._check_name(name)
        if not may_exist and self.exists(name):
            raise StoreError(f"a backup {name!r} exists")

    @staticmethod
    def _check_name(name: str) -> None:
        reason = why_illegal(name)
        if reason:
            raise StoreError(f"the name of the backup is refused: {reason}")

    def pack(self, resource: str | None, volatile: str = "") -> bytes:
        """The content of a new backup: of everything, or of one resource.

        :param volatile: ``times`` puts the time into it, ``content`` also something random.
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
        """A file in the making; :meth:`place` makes a backup of it, else it is gone after the block.

        To be opened before :meth:`commit`, which holds the same lock.
        """
        path = self.tmp / str(uuid.uuid4())
        with contextlib.ExitStack() as stack:
            with self._lock():  # or it could be taken for a leftover before it is locked
                file = stack.enter_context(open(path, "xb", opener=_private))
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield file
            finally:
                path.unlink(missing_ok=True)

    def place(self, incoming: BinaryIO, name: str, may_exist: bool = False) -> int:
        """Make a file of :meth:`incoming` the backup ``name``. Under :meth:`commit` only."""
        self.require_name(name, may_exist=may_exist)
        incoming.flush()
        os.fsync(incoming.fileno())
        revision = self._next_revision()
        Path(incoming.name).rename(self.backups / name)
        self._sync_backups()
        return revision

    def remove(self, name: str) -> int:
        """Remove a backup. Under :meth:`commit` only."""
        path = self.path(name)
        revision = self._next_revision()
        path.unlink()
        self._sync_backups()
        return revision

    def restore(self, name: str, resource: str | None, password: str | None = None, otherwise: bool = False) -> int:
        """Bring the saved data back, of all resources in the backup or of one. Under :meth:`commit` only.

        :param password: that of all users afterwards; ``None`` leaves them.
        :param otherwise: bring back something else than was saved.
        :raises StoreError: when the backup is damaged, or lacks the resource. Nothing is changed then.
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
        return self.bring_back(saved, password)

    def bring_back(self, saved: dict[str, Any], password: str | None) -> int:
        """Commit the data of a backup, by resource. Under :meth:`commit` only."""
        with self._connect() as database:
            self._write(database, saved)
            if password is not None:
                for (username,) in database.execute("SELECT username FROM users").fetchall():
                    database.execute("INSERT OR REPLACE INTO users VALUES (?, ?, ?)", _user_row(username, password))
            database.execute("UPDATE facts SET value = value + 1 WHERE key = 'restores'")
            return self._raise_revision(database)

    def afterwards(self, action: Callable[[], object]) -> None:
        """Have something done once others can see what was changed before: at once.

        :param action: knows nothing of the session, which ends when nobody knows it any more.
        """
        action()

    def _sync_backups(self) -> None:
        descriptor = os.open(self.backups, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _remove_leftovers(self) -> None:
        """Remove files in the making whose maker is dead: nobody holds their lock any more."""
        for path in self.tmp.iterdir():
            with contextlib.suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    # For observers

    def digest(self) -> str:
        """SHA-256 over everything: the rows of all tables, and the names and contents of all files."""
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
