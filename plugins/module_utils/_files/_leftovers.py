# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clean up what killed tasks left beside fetched backups. Private to this collection.

A fetch works in a hidden folder beside its destination, ``.<name>.<16 hex>.part``. It creates the new files there, and
keeps the old side files there while the data is exchanged. The folder contains a file ``lock``, which the task locks
and then fills with the id of the kernel that holds the lock.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ._access import digest_file, is_folder, local_errors, status_of
from ._destination import PART_SUFFIX
from ._manifest import DIGEST_SUFFIX, MANIFEST_SUFFIX, UnusableError, read_digest, read_manifest, side_file
from ._share import NO_LOCKS, Share

LOCK = "lock"
CONTENT = "content"
OLD = "old"
NEW = "new"
SIDES = (DIGEST_SUFFIX, MANIFEST_SUFFIX)
"""The side files in the order in which they are placed; the manifest is last."""

LEFTOVER_AGE = 24 * 3600
"""Seconds without activity after which a folder counts as abandoned, if its lock can't tell."""

UNLOCKED_AGE = 600
"""Seconds after which a folder that was never locked counts as abandoned: locking follows right after creation."""

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def stem_of(path: str) -> str:
    """The part of a hidden folder's name that identifies its file."""
    base = os.path.basename(path)
    return base if len(os.fsencode(base)) < 200 else hashlib.sha256(os.fsencode(base)).hexdigest()


def kernel() -> str:
    """The id of the kernel that holds the locks of this process: containers share one, machines don't."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as source:
            return source.read().strip()
    except (OSError, ValueError):
        return os.uname().nodename


def hidden_folders(path: str) -> list[str]:
    """Paths of the hidden folders of the file ``path``, and of temporary files of earlier versions."""
    folder = os.path.dirname(os.path.abspath(path))
    pattern = re.compile(rf"\.{re.escape(stem_of(path))}\.([0-9a-f]{{16}}|[0-9]+){re.escape(PART_SUFFIX)}\Z")
    with local_errors(folder):
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
    return sorted(os.path.join(folder, name) for name in names if pattern.match(name))


@dataclass(frozen=True)
class SideFiles:
    """The paths of the side files of a backup file."""

    digest: str
    manifest: str


def side_files(path: str) -> SideFiles:
    """Find the side files of ``path``: beside it or, during an exchange or after it was killed, in a hidden folder.

    Nothing is written. Files in a hidden folder count only if they match the content of the file.

    :raises LocalFileError: when one of those may not be read.
    """
    found = {suffix: side_file(path, suffix) for suffix in SIDES}
    missing = [suffix for suffix in SIDES if status_of(found[suffix]) is None]
    if missing:
        found |= _aside(path, missing, hidden_folders(path))
    return SideFiles(found[DIGEST_SUFFIX], found[MANIFEST_SUFFIX])


def _aside(path: str, missing: list[str], folders: list[str]) -> dict[str, str]:
    """The missing side files of ``path`` in hidden folders, by suffix; they match its content."""
    found: dict[str, str] = {}
    status = status_of(path)
    if status is None or not stat.S_ISREG(status.st_mode):
        return found
    candidates = [
        (suffix, os.path.join(folder, when + suffix))
        for folder in folders
        if is_folder(folder)
        for suffix in missing
        for when in (OLD, NEW)
    ]
    candidates = [each for each in candidates if status_of(each[1]) is not None]
    if not candidates:
        return found
    size, sha256 = digest_file(path)
    for suffix, candidate in candidates:
        try:
            if suffix == MANIFEST_SUFFIX:
                manifest = read_manifest(candidate)
                fits = manifest is not None and (manifest.size, manifest.sha256) == (size, sha256)
            else:
                fits = read_digest(candidate, path) == sha256
        except UnusableError:
            continue  # a task was killed while writing it
        if fits:
            found.setdefault(suffix, candidate)
    return found


def recover(path: str, share: Share, seconds: float) -> None:
    """Clean up after killed tasks for the file ``path``: move side files back beside it, and remove the rest.

    Folders of running tasks stay.

    :param seconds: how long to wait for other tasks in that folder (``wait_timeout``).
    """
    found = hidden_folders(path)
    if not found:
        return
    folder = os.path.dirname(os.path.abspath(path))
    with local_errors(folder):
        descriptor = os.open(folder, FOLDER_FLAGS)
    try:
        with share.alone(descriptor, folder, seconds):
            for each in found:
                with _taken_over(each) as is_left_over:
                    if is_left_over:
                        _put_back(path, each)
                        remove(descriptor, os.path.basename(each))
    finally:
        os.close(descriptor)


def _put_back(path: str, folder: str) -> None:
    missing = [suffix for suffix in SIDES if status_of(side_file(path, suffix)) is None]
    for suffix, aside in _aside(path, missing, [folder]).items():
        with local_errors(aside):
            os.rename(aside, side_file(path, suffix))


def remove(folder: int, name: str) -> None:
    """Remove a hidden folder, or a temporary file of an earlier version, if possible; no link is followed.

    :param folder: a descriptor of the folder that contains it.
    """
    try:
        descriptor = os.open(name, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=folder)
    except NotADirectoryError:
        with suppress(OSError):
            os.unlink(name, dir_fd=folder)
        return
    except OSError:
        return
    try:
        with suppress(OSError):
            # The lock goes last: a folder without one counts as just created.
            for each in sorted(os.listdir(descriptor), key=lambda each: each == LOCK):
                os.unlink(each, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    with suppress(OSError):
        os.rmdir(name, dir_fd=folder)


@contextmanager
def _taken_over(path: str) -> Iterator[bool]:
    """Yields whether a hidden folder is abandoned; if so, its lock is held during the block."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    age = _age(path)
    if age is None:
        yield False
        return
    try:
        descriptor = os.open(path if _is_file(path) else os.path.join(path, LOCK), flags)
    except OSError as error:
        # Created and not locked yet, or owned by another user.
        yield error.errno == errno.ENOENT and age > UNLOCKED_AGE
        return
    try:
        yield _is_abandoned(descriptor, age)
    finally:
        os.close(descriptor)


def _is_abandoned(lock: int, age: float) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in NO_LOCKS and age > LEFTOVER_AGE
    holder = os.pread(lock, 200, 0).decode("ascii", "replace")
    if not holder:
        return age > UNLOCKED_AGE
    # A lock of another machine may be invisible here, as on NFS with local locks (nfs(5), local_lock).
    return holder == kernel() or age > LEFTOVER_AGE


def _is_file(path: str) -> bool:
    status = status_of(path)
    return status is not None and stat.S_ISREG(status.st_mode)


def _age(path: str) -> float | None:
    """Seconds since the last change in a hidden folder; ``None`` when unknown."""
    try:
        times = [os.lstat(path).st_mtime]
        if stat.S_ISDIR(os.lstat(path).st_mode):
            times += [os.lstat(os.path.join(path, each)).st_mtime for each in os.listdir(path)]
    except OSError:
        return None
    return time.time() - max(times)
