# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Backup resource, as the vendor's reference describes it.

Every command commits by itself, unless the system has the quirk ``lock`` or ``visible``. Once another session has
committed to the system's Backup resource, every command on this resource object fails with PLDBNewDataCommitted.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

from .exception import PLDBError, PLDBNewDataCommitted
from .store import PIECE, TITLES, Level, Resource, StaleError, Store, StoreError
from .transaction import Transaction
from .troubles import Line, Pump, QuirkState

T = TypeVar("T")


class Session(Line, Protocol):
    """What resources need of their session."""

    @property
    def transaction(self) -> Transaction:
        """The session's uncommitted changes and lock."""

    def require_open(self) -> None:
        """Raise ``PLDBIOError`` if the session is closed, lost or disconnected."""


@dataclass
class BackupFile:
    """Object that represents a backup file: its name, and its size in bytes."""

    name: str
    size: int


def list_of(rows: Iterable[BackupFile]) -> list[BackupFile]:
    """Copy the rows, so that a caller who changes them does not affect others."""
    return [replace(each) for each in rows]


def now() -> datetime:
    """Return the time for generated names, in the system's time zone."""
    return datetime.now(UTC).astimezone()


class Backup:
    """The backups of one system, in one session. Created by ``await connection.backup()``."""

    def __init__(self, connection: Session, store: Store, username: str, troubles: QuirkState) -> None:
        self._connection = connection
        self._store = store
        self._username = username
        self._troubles = troubles
        self._revision = store.revision()
        self._is_stale = False
        self._listed: list[BackupFile] | None = None

    async def list(self, cls: type) -> list[BackupFile]:
        """List the backups; ``cls`` must be :class:`BackupFile`.

        :raises ValueError: for any other class.
        :raises PLDBNewDataCommitted: see the module's docstring.
        """
        if cls is not BackupFile:
            raise ValueError(f"invalid dataclass type {cls!r}")

        def files() -> list[BackupFile]:
            sizes = dict(self._store.listing())
            visible = self._troubles.visible_sizes(sizes)
            return [BackupFile(name, size if (part := visible[name]) is None else part) for name, size in sizes.items()]

        if self._listed is not None:
            return list_of(self._listed)
        listed = await self._read("list", files)
        if self._troubles.quirks.cached_listings:
            self._listed = list_of(listed)
        return listed

    async def create_new(self, name: str = "", resource_name: str | None = None) -> str:
        """Create a backup and return its name.

        :param name: if empty, a name such as ``20210622-04.48.plb`` is generated.
        :param resource_name: title of the only resource to include; all are included by default.
        :raises PLDBError: if the name exists or is illegal, the resource is unknown, or the user lacks the privilege.
        """
        chosen = name or now().strftime("%Y%m%d-%H.%M.plb")

        quirks = self._troubles.quirks

        def content(target: BinaryIO) -> None:
            self._store.require_name(chosen, may_exist=quirks.create_new_overwrites)
            target.write(self._store.pack(resource_name, quirks.volatile))

        await self._store_backup("create_new", chosen, content, quirks.create_new_overwrites)
        return chosen

    async def restore(self, name: str, resource_name: Resource | int | str | None = None) -> None:
        """Restore all resources of a backup, or the one given by title, enum member or number.

        :raises PLDBError: if the backup is missing or damaged, or does not contain the resource.
        """
        resource = None if resource_name is None else _title(resource_name)

        def restore() -> int:
            path = self._store.path(name)
            self._troubles.require_complete(name, path.stat().st_size)
            quirks = self._troubles.quirks
            revision = self._store.restore(name, resource, quirks.restored_password, quirks.restores_otherwise)
            self._store.run_when_visible(self._troubles.restoring)
            return revision

        await self._write("restore", restore)

    async def remove(self, name: str) -> None:
        """Remove a backup.

        :raises PLDBError: if it does not exist.
        """

        def remove() -> int:
            revision = self._store.remove(name)
            self._store.run_when_visible(partial(self._troubles.removed, name))
            return revision

        await self._write("remove", remove)

    async def download(self, backup_name: str, *, ofile_obj: Any = None, dest_path: str | Path | None = None) -> None:
        """Write a backup to a file object opened in binary mode, or to the file at a path.

        :raises TypeError: for each of the causes in the vendor's reference; nothing is written then.
        :raises PLDBError: if the backup does not exist; no file is created then.
        """
        _check_name(backup_name)
        _check_one(ofile_obj=ofile_obj, dest_path=dest_path)
        if dest_path is not None:
            _check_path(dest_path=dest_path)
        else:
            _check_output(ofile_obj)

        def copy() -> None:
            with ExitStack() as stack:
                source = stack.enter_context(self._store.path(backup_name).open("rb"))
                limit = self._troubles.visible(backup_name, os.fstat(source.fileno()).st_size)
                target = ofile_obj if dest_path is None else stack.enter_context(Path(dest_path).open("wb"))
                self._pump("download").copy(source.read, lambda content: _write(target, content), PIECE, limit)

        await self._read("download", copy)

    async def upload(self, backup_name: str, *, ifile_obj: Any = None, in_path: str | Path | None = None) -> None:
        """Store a backup from a file object opened in binary mode, or from the file at a path.

        :raises TypeError: for each of the causes in the vendor's reference; nothing is sent then.
        :raises PLDBError: if the name exists or is illegal.
        """
        _check_name(backup_name)
        _check_one(ifile_obj=ifile_obj, in_path=in_path)
        if in_path is not None:
            _check_path(in_path=in_path)
        else:
            _check_input(ifile_obj)
        overwrites = self._troubles.quirks.upload_overwrites

        def content(target: BinaryIO) -> None:
            with ExitStack() as stack:
                source = ifile_obj if in_path is None else stack.enter_context(Path(in_path).open("rb"))
                first = source.read(PIECE)
                if not first:
                    raise TypeError("Input file must be a non-empty file")
                self._store.require_name(backup_name, may_exist=overwrites)
                ahead = io.BytesIO(first)
                self._pump("upload").copy(lambda size: ahead.read(size) or source.read(size), target.write, PIECE)

        await self._store_backup("upload", backup_name, content, overwrites)

    # How a command runs

    async def _run(self, command: str, run: Callable[[], T]) -> T:
        await self._troubles.apply_faults(command, "before", self._connection)
        result = await asyncio.to_thread(_answered, run)
        await self._troubles.apply_faults(command, "after", self._connection)
        self._connection.require_uncut()
        return result

    async def _read(self, command: str, read: Callable[[], T]) -> T:
        def run() -> T:
            self._check(Level.READ)
            return read()

        return await self._run(command, run)

    async def _write(self, command: str, write: Callable[[], int]) -> None:
        def run() -> None:
            self._check(Level.WRITE)
            self._connection.transaction.begin()
            self._commit(write)

        await self._run(command, run)

    async def _store_backup(
        self, command: str, name: str, content: Callable[[BinaryIO], None], overwrites: bool
    ) -> None:
        def place(target: BinaryIO) -> int:
            revision = self._store.place(target, name, overwrites)
            self._store.run_when_visible(partial(self._troubles.placed, name))
            return revision

        def run() -> None:
            self._check(Level.WRITE)
            self._connection.transaction.begin()
            with self._store.incoming() as target:
                content(target)
                self._commit(lambda: place(target))

        await self._run(command, run)

    def _pump(self, command: str) -> Pump:
        return self._troubles.pump(command, self._connection)

    def _check(self, level: Level) -> None:
        self._connection.require_open()
        if self._is_stale:
            raise self._stale()
        if self._store.level(self._username, Resource.BACKUP) < level:
            title = TITLES[Resource.BACKUP]
            raise StoreError(f"user {self._username} lacks the privilege {level.name.lower()} on the resource {title}")
        if not self._store.is_current(lambda: self._revision):
            self._is_stale = True
            raise self._stale()

    def _commit(self, command: Callable[[], int]) -> None:
        try:
            with self._store.commit(lambda: self._revision):
                self._revision = command()
        except StaleError:
            self._is_stale = True
            raise self._stale() from None

    @staticmethod
    def _stale() -> PLDBNewDataCommitted:
        return PLDBNewDataCommitted("another session committed to the resource Backup")


class CommittingBackup(Backup):
    """The Backup resource with the quirk ``offers_commit``: it has the methods ``commit`` and ``rollback``."""

    async def commit(self) -> None:
        """Make this session's changes visible to others, and release the lock.

        :raises PLDBNewDataCommitted: like every command.
        """
        await self._end("commit", self._connection.transaction.commit)

    async def rollback(self) -> None:
        """Undo this session's uncommitted changes, and release the lock."""
        await self._end("commit", self._connection.transaction.rollback)

    async def _end(self, command: str, end: Callable[[], None]) -> None:
        def run() -> None:
            self._check(Level.READ)
            end()
            self._revision = self._store.revision()

        await self._run(command, run)


def _answered(command: Callable[[], T]) -> T:
    """Run a command; convert a ``StoreError`` to ``PLDBError``, the system's error response."""
    try:
        return command()
    except StoreError as error:
        raise PLDBError(str(error)) from error


def _title(resource: Resource | int | str) -> str:
    if isinstance(resource, str):
        return resource
    try:
        return TITLES[Resource(resource)]
    except ValueError:
        raise PLDBError(f"there is no resource with the number {resource!r}") from None


def _check_name(backup_name: object) -> None:
    if not isinstance(backup_name, str):
        raise TypeError("backup_name must be of str type")


def _check_one(**given: object) -> None:
    names = ", ".join(given)
    count = sum(each is not None for each in given.values())
    if count == 0:
        raise TypeError(f"One of {names} must be provided")
    if count > 1:
        raise TypeError(f"Either one of {names} must be provided but not both")


def _check_path(**given: object) -> None:
    for name, value in given.items():
        if not isinstance(value, (str, Path)):
            raise TypeError(f"{name} must be an instance of str or pathlib.Path")


def _check_output(file: object) -> None:
    if not isinstance(file, io.IOBase):
        raise TypeError("ofile_obj must be a file object")
    if file.closed or not file.writable():
        raise TypeError("ofile_obj must be writable")
    if isinstance(file, io.TextIOBase):
        raise TypeError("ofile_obj must be opened in binary mode to download text/binary files.")


def _check_input(file: object) -> None:
    if not isinstance(file, io.IOBase):
        raise TypeError("ifile_obj must be a non-None python file object")
    if file.closed or not file.readable():
        raise TypeError("ifile_obj must be a readable file")
    if isinstance(file, io.TextIOBase):
        raise TypeError("ifile_obj must be opened in binary mode")


def _write(target: BinaryIO, content: bytes) -> None:
    left = memoryview(content)
    while left:  # a raw file may write only a part
        written = target.write(left)
        left = left[written:] if isinstance(target, io.RawIOBase) else left[len(left) :]
