# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The spool: a folder for files in transfer between clients and systems, with quotas, and emptied at start."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .problems import Problem

logger = logging.getLogger(__name__)

PIECE = 1024 * 1024
"""Size of a chunk that is read or written at once, in bytes."""


@dataclass(frozen=True)
class Content:
    """A complete file in the spool; ``size`` in bytes, ``sha256`` in hex."""

    path: Path
    size: int
    sha256: str


Owner = tuple[str, str]
"""System, user."""

NOBODY: Owner = ("", "")


class Spool:
    """The folder, and the bytes that each key uses or has reserved, by part (file).

    An upload takes space as its bytes arrive; a download reserves it beforehand, because the SDK writes the file.

    :param quota: limit for all files together, in bytes.
    :param keep_free: bytes of the file system that must stay free.
    :param of_system: limit for the files of one system, in bytes.
    :param of_user: limit for the files of one user of one system, in bytes.
    """

    def __init__(self, folder: Path, quota: int, keep_free: int, of_system: int, of_user: int) -> None:
        self._folder = folder
        self._quota = quota
        self._keep_free = keep_free
        self._of_system = of_system
        self._of_user = of_user
        self._owners: dict[str, Owner] = {}
        self._held: dict[str, dict[str, int]] = {}
        self._reserved: set[tuple[str, str]] = set()

    def open(self) -> None:
        """Create the folder (mode 0700) and delete what an earlier process left in it; failures to delete are logged.

        :raises OSError: if it can't be created, or belongs to another user, whose files must not be deleted.
        """
        with suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
        status = self._folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise OSError(errno.EPERM, "is not a folder that belongs to the gateway's user", str(self._folder))
        self._folder.chmod(0o700)
        for path in self._folder.iterdir():
            _remove(path)

    def new_key(self, owner: Owner) -> str:
        """Return a random key for one operation's files: nothing that a client chose becomes part of a path."""
        key = secrets.token_hex(16)
        self._owners[key] = owner
        return key

    def path(self, key: str, suffix: str) -> Path:
        """Return the path of the file of ``key`` with this suffix."""
        return self._folder / f"{key}.{suffix}"

    def check(self, key: str, size: int) -> None:
        """Check whether ``key`` could get ``size`` more bytes, without reserving them.

        :raises Problem: ``spool_full`` if a quota or the disk has no space for them.
        """
        mine = self._owners.get(key, NOBODY)
        held = {each: sum(parts.values()) for each, parts in self._held.items()}
        for limit, whose, count in (
            (self._quota, "the spool", sum(held.values())),
            (
                self._of_system,
                f"system {mine[0]}",
                sum(n for each, n in held.items() if self._owners.get(each, NOBODY)[0] == mine[0]),
            ),
            (
                self._of_user,
                f"user {mine[1]} of system {mine[0]}",
                sum(n for each, n in held.items() if self._owners.get(each, NOBODY) == mine),
            ),
        ):
            if count + size > limit:
                left = max(0, limit - count)
                raise Problem("spool_full", f"{whose} has {left} bytes left, {size} are needed", retry_after=60)
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize - self._reserved_unwritten() - size < self._keep_free:
            raise Problem("spool_full", f"the disk of the spool has no room for {size} more bytes", retry_after=60)

    def _reserved_unwritten(self) -> int:
        """Return the bytes that are reserved for downloads and not written yet."""
        total = 0
        for key, part in self._reserved:
            written = 0
            with suppress(FileNotFoundError):
                written = self.path(key, part).stat().st_size
            total += max(0, self._held.get(key, {}).get(part, 0) - written)
        return total

    def reserve(self, key: str, part: str, size: int) -> None:
        """Reserve ``size`` bytes for a file that will be written; raises as :meth:`check`."""
        self.check(key, size)
        self._held.setdefault(key, {})[part] = size
        self._reserved.add((key, part))

    def grow(self, key: str, part: str, size: int) -> None:
        """Count ``size`` more bytes for a file that is being written; raises as :meth:`check`."""
        self.check(key, size)
        parts = self._held.setdefault(key, {})
        parts[part] = parts.get(part, 0) + size

    def keep(self, key: str, part: str, name: str) -> Path:
        """Rename a reserved file that is complete to its final name, and return its path. Blocks briefly."""
        path = self.path(key, name)
        self.path(key, part).rename(path)
        size = path.stat().st_size
        self.release(key, part)
        self._held.setdefault(key, {})[name] = size
        return path

    def release(self, key: str, part: str) -> None:
        """Release the space of a file that was removed."""
        self._reserved.discard((key, part))
        self._held.get(key, {}).pop(part, None)

    def written(self, beginning: str = "") -> int:
        """Return the total size of all files whose names begin so."""
        total = 0
        for path in self._folder.glob(f"{beginning}*"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    async def drop(self, key: str) -> None:
        """Delete the files of ``key`` and release its space; files that can't be deleted are logged and still count."""
        left = await asyncio.to_thread(self._remove_files, key)
        self._reserved = {each for each in self._reserved if each[0] != key}
        self._held.pop(key, None)
        if left:
            self._held[key] = {"left": left}
        else:
            self._owners.pop(key, None)

    def _remove_files(self, key: str) -> int:
        """Delete the files of ``key``; returns the total size of those that could not be deleted."""
        left = 0
        for path in self._folder.glob(f"{key}.*"):
            if not _remove(path):
                with suppress(OSError):
                    left += path.lstat().st_size
        return left

    def remove(self, beginning: str) -> None:
        """Delete all files whose names begin so."""
        for path in self._folder.glob(f"{beginning}*"):
            _remove(path)


def _remove(path: Path) -> bool:
    """Delete one file; logs a failure, and returns whether the file is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.error("%s can't be removed: %s", path, error.strerror)
        return False
    return True


async def sync_and_hash(path: Path) -> tuple[int, str]:
    """Sync a file to disk, and return its size in bytes and its SHA-256 in hex."""
    _, found = await asyncio.gather(asyncio.to_thread(_sync, path), asyncio.to_thread(_hash, path))
    return found


def _sync(path: Path) -> None:
    with path.open("rb", buffering=0) as stream:
        os.fsync(stream.fileno())


def _hash(path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb", buffering=0) as stream:
        while piece := stream.read(PIECE):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


class Receiver:
    """Writes the body of an upload to a file and hashes it, in a thread, while the next chunk arrives."""

    def __init__(self, path: Path) -> None:
        """Create the file. Blocks, unlike the other methods."""
        self._path = path
        self._size = 0
        self._digest = hashlib.sha256()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._stream = os.fdopen(handle, "wb", buffering=0)
        self._writing: asyncio.Future[None] | None = None

    async def write(self, piece: bytes) -> None:
        """Start writing the next chunk, after the previous one is written.

        :raises OSError: if writing the previous chunk failed.
        """
        await self._written()
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, piece))

    async def _written(self) -> None:
        if self._writing is not None:
            await asyncio.shield(self._writing)  # the thread continues even if this task is cancelled

    def _write(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            view = view[self._stream.write(view) :]
        self._digest.update(piece)
        self._size += len(piece)

    async def finish(self) -> Content:
        """Sync and close the file, and return it."""
        await self._written()
        await asyncio.to_thread(os.fsync, self._stream.fileno())
        self._stream.close()
        return Content(self._path, self._size, self._digest.hexdigest())

    async def abort(self) -> None:
        """Delete the file."""
        with suppress(OSError):  # the failed write may be the reason for aborting
            await self._written()
        self._stream.close()
        self._path.unlink(missing_ok=True)
