# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What killed tasks left where fetched backups go: put in order, and removed. Private to this collection.

A fetch works in a hidden folder beside its destination, ``.<name>.<16 hex>.part``. There it makes the new files, and
there it keeps the old side files while the data is exchanged. The folder holds a file ``lock``, in which stands which
machine's kernel keeps that lock; it is written once the lock is held.
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
"""The side files in the order in which they are placed: the manifest is the last."""

LEFTOVER_AGE = 24 * 3600
"""Seconds after which a folder counts as left over in which nothing happens, where no lock can tell."""

UNLOCKED_AGE = 600
"""Seconds after which one counts as left over that was never locked: that happens right after it was made."""

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def stem_of(path: str) -> str:
    """The part of a hidden folder's name that tells which file it is for."""
    base = os.path.basename(path)
    return base if len(os.fsencode(base)) < 200 else hashlib.sha256(os.fsencode(base)).hexdigest()


def kernel() -> str:
    """Which kernel keeps the locks of this process: containers share one, machines don't."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as source:
            return source.read().strip()
    except (OSError, ValueError):
        return os.uname().nodename


def hidden_folders(path: str) -> list[str]:
    """Paths of the hidden folders for the file ``path``, and of temporary files that earlier versions left for it."""
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
    """Where the side files of a backup file are."""

    digest: str
    manifest: str


def side_files(path: str) -> SideFiles:
    """Where the side files of ``path`` are: beside it, or, where an exchange is under way or was killed, put aside.

    Nothing is written. What is put aside counts only when it fits the content of the file.

    :raises LocalFileError: when something is put aside that may not be read.
    """
    found = {suffix: side_file(path, suffix) for suffix in SIDES}
    missing = [suffix for suffix in SIDES if status_of(found[suffix]) is None]
    if missing:
        found |= _aside(path, missing, hidden_folders(path))
    return SideFiles(found[DIGEST_SUFFIX], found[MANIFEST_SUFFIX])


def _aside(path: str, missing: list[str], folders: list[str]) -> dict[str, str]:
    """Which files in hidden folders are the missing side files of the content of ``path``."""
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
            continue  # a task was killed while it wrote it
        if fits:
            found.setdefault(suffix, candidate)
    return found


def recover(path: str, share: Share, seconds: float) -> None:
    """Put in order what killed tasks left for the file ``path``: side files go back beside it, the rest is removed.

    What a living task works with stays.

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
    """Remove a hidden folder, or what an earlier version left, as far as that is possible; no link is followed.

    :param folder: a descriptor of the folder that it is in.
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
            # The lock goes last: without it a folder is taken for one that was just made.
            for each in sorted(os.listdir(descriptor), key=lambda each: each == LOCK):
                os.unlink(each, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    with suppress(OSError):
        os.rmdir(name, dir_fd=folder)


@contextmanager
def _taken_over(path: str) -> Iterator[bool]:
    """Whether nobody works with a hidden folder any more; nobody else takes it for that while the block runs."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    age = _age(path)
    if age is None:
        yield False
        return
    try:
        descriptor = os.open(path if _is_file(path) else os.path.join(path, LOCK), flags)
    except OSError as error:
        # Made and not locked yet, or by another user.
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
    # A lock of another machine may not be visible here, as on NFS mounted with local locks (nfs(5), local_lock).
    return holder == kernel() or age > LEFTOVER_AGE


def _is_file(path: str) -> bool:
    status = status_of(path)
    return status is not None and stat.S_ISREG(status.st_mode)


def _age(path: str) -> float | None:
    """Seconds since something last happened with a hidden folder; ``None`` when that can't be told."""
    try:
        times = [os.lstat(path).st_mtime]
        if stat.S_ISDIR(os.lstat(path).st_mode):
            times += [os.lstat(os.path.join(path, each)).st_mtime for each in os.listdir(path)]
    except OSError:
        return None
    return time.time() - max(times)
