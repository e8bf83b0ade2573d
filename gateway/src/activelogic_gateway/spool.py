# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on their way between clients and systems: a folder of our own, with a quota, emptied at start."""

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
"""Bytes that are read or written at once."""


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
    """The folder, and who holds how many bytes of it, by keys and their parts.

    Room of an upload is taken as its bytes arrive; that of a download is taken before, because the SDK writes it.

    :param quota: bytes that all holders together may have.
    :param keep_free: bytes of the file system that stay free.
    :param of_system: bytes of all holders of one system.
    :param of_user: bytes of all holders of one user of one system.
    """

    def __init__(self, folder: Path, quota: int, keep_free: int, of_system: int, of_user: int) -> None:
        self._folder = folder
        self._quota = quota
        self._keep_free = keep_free
        self._of_system = of_system
        self._of_user = of_user
        self._owners: dict[str, Owner] = {}
        self._held: dict[str, dict[str, int]] = {}
        self._promised: set[tuple[str, str]] = set()

    def open(self) -> None:
        """Make the folder (0700) and drop what an earlier process left in it; what can't be dropped is logged.

        :raises OSError: if it can't be made, or is not a folder of our own: nobody else's files may be dropped.
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
        """A key for one operation's files: ours, so that no client's choice becomes a path."""
        key = secrets.token_hex(16)
        self._owners[key] = owner
        return key

    def path(self, key: str, suffix: str) -> Path:
        """Where the file of ``key`` with this suffix is."""
        return self._folder / f"{key}.{suffix}"

    def check(self, key: str, size: int) -> None:
        """Look whether ``key`` could have ``size`` bytes more; takes nothing.

        :raises Problem: ``spool_full`` if a quota or the disk can't hold them.
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
        if disk.f_bavail * disk.f_frsize - self._still_to_come() - size < self._keep_free:
            raise Problem("spool_full", f"the disk of the spool has no room for {size} more bytes", retry_after=60)

    def _still_to_come(self) -> int:
        """Bytes that were promised to downloads, and are not written yet."""
        total = 0
        for key, part in self._promised:
            written = 0
            with suppress(FileNotFoundError):
                written = self.path(key, part).stat().st_size
            total += max(0, self._held.get(key, {}).get(part, 0) - written)
        return total

    def promise(self, key: str, part: str, size: int) -> None:
        """Take ``size`` bytes for a file that will be written; raises as :meth:`check`."""
        self.check(key, size)
        self._held.setdefault(key, {})[part] = size
        self._promised.add((key, part))

    def grow(self, key: str, part: str, size: int) -> None:
        """Take ``size`` bytes more for a file that is being written; raises as :meth:`check`."""
        self.check(key, size)
        parts = self._held.setdefault(key, {})
        parts[part] = parts.get(part, 0) + size

    def keep(self, key: str, part: str, name: str) -> Path:
        """A promised file is written: give it its last name, and return its path. Blocks for a moment."""
        path = self.path(key, name)
        self.path(key, part).rename(path)
        size = path.stat().st_size
        self.give_back(key, part)
        self._held.setdefault(key, {})[name] = size
        return path

    def give_back(self, key: str, part: str) -> None:
        """The file of this part has gone."""
        self._promised.discard((key, part))
        self._held.get(key, {}).pop(part, None)

    def written(self, beginning: str = "") -> int:
        """Bytes of all files whose names begin so."""
        total = 0
        for path in self._folder.glob(f"{beginning}*"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    async def drop(self, key: str) -> None:
        """Remove the files of ``key`` and give its bytes back. What can't be removed is reported, and still counts."""
        left = await asyncio.to_thread(self._remove_files, key)
        self._promised = {each for each in self._promised if each[0] != key}
        self._held.pop(key, None)
        if left:
            self._held[key] = {"left": left}
        else:
            self._owners.pop(key, None)

    def _remove_files(self, key: str) -> int:
        """Returns the bytes of those that could not be removed."""
        left = 0
        for path in self._folder.glob(f"{key}.*"):
            if not _remove(path):
                with suppress(OSError):
                    left += path.lstat().st_size
        return left

    def remove(self, beginning: str) -> None:
        """Remove all files whose names begin so."""
        for path in self._folder.glob(f"{beginning}*"):
            _remove(path)


def _remove(path: Path) -> bool:
    """Remove one file; one that can't be removed keeps nobody from removing others."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.error("%s can't be removed: %s", path, error.strerror)
        return False
    return True


async def put_on_disk_and_hash(path: Path) -> tuple[int, str]:
    """Make sure that a file is on the disk, and return its size and SHA-256 (hex)."""
    _, found = await asyncio.gather(asyncio.to_thread(_put_on_disk, path), asyncio.to_thread(_hash, path))
    return found


def _put_on_disk(path: Path) -> None:
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
    """Writes the body of an upload to a file and hashes it on the way, on a thread, while the next piece arrives."""

    def __init__(self, path: Path) -> None:
        """Make the file. Blocks, unlike everything else here."""
        self._path = path
        self._size = 0
        self._digest = hashlib.sha256()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._stream = os.fdopen(handle, "wb", buffering=0)
        self._writing: asyncio.Future[None] | None = None

    async def write(self, piece: bytes) -> None:
        """Take the next piece; at most one more is in memory.

        :raises OSError: what writing an earlier one raised.
        """
        await self._written()
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, piece))

    async def _written(self) -> None:
        if self._writing is not None:
            await asyncio.shield(self._writing)  # a thread goes on, even if nobody waits for it

    def _write(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            view = view[self._stream.write(view) :]
        self._digest.update(piece)
        self._size += len(piece)

    async def finish(self) -> Content:
        """Put the file on the disk for good."""
        await self._written()
        await asyncio.to_thread(os.fsync, self._stream.fileno())
        self._stream.close()
        return Content(self._path, self._size, self._digest.hexdigest())

    async def abort(self) -> None:
        """Drop the file."""
        with suppress(OSError):  # it may be why the file is dropped
            await self._written()
        self._stream.close()
        self._path.unlink(missing_ok=True)
