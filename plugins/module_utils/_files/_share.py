# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work with file systems that lack locks, modes or flushing: SMB, NFS without a lock daemon, vfat, FUSE.

Private to this collection. A missing feature is skipped if that is safe, with one warning for each task.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from .._deadline import Deadline
from .._failures import FOLDER_LOCKED
from ._access import local_errors, shown, why_of

UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}
"""Errors for a call that a file system does not support; EBADF is that of NFS for a lock on a folder (flock(2))."""

NO_LOCKS = UNSUPPORTED | {errno.ENOLCK}
NO_MODES = UNSUPPORTED | {errno.EPERM}
PAUSE = 0.05
"""Seconds between two attempts to lock a folder."""


class Share:
    """The file system of a task's files, and the features that it lacks.

    :param warn: called with a warning for the user.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._said: set[str] = set()

    def _warn_once(self, what: str, sentence: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._warn(sentence)

    def sync(self, descriptor: int, path: str) -> None:
        """Flush a folder to disk; ``path`` is for messages."""
        with local_errors(path):
            try:
                os.fsync(descriptor)
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise
                self._warn_once(
                    "sync",
                    f"{shown(path)}: the file system can't flush folders ({why_of(error)}), so after a power failure "
                    "the old file may be there again",
                )

    def sync_folder(self, path: str) -> None:
        """Flush a folder, given by its path."""
        with local_errors(path):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sync(descriptor, path)
        finally:
            os.close(descriptor)

    def lock(self, descriptor: int, path: str) -> bool:
        """Try to lock an open file or folder. False if another task holds the lock; true also without lock support.

        Closing the descriptor releases the lock.
        """
        with local_errors(path):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                self._warn_once(
                    "lock",
                    f"{shown(path)}: the file system offers no locks ({why_of(error)}), so don't let two tasks "
                    "write to the same file at once",
                )
        return True

    @contextmanager
    def alone(self, descriptor: int, path: str, seconds: float) -> Iterator[None]:
        """Lock a folder during the block, so that no other task works in it; without lock support, just go on.

        :param seconds: how long to wait for other tasks (``wait_timeout``).
        :raises DeadlineError: when they are not done by then.
        """
        deadline = Deadline("wait_timeout", seconds)
        while not self.lock(descriptor, path):
            if deadline.is_over():
                raise FOLDER_LOCKED.error(folder=shown(path), seconds=seconds)
            time.sleep(PAUSE)
        try:
            yield
        finally:
            with suppress(OSError):  # closing the descriptor releases it too
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def set_mode(self, descriptor: int, mode: int, path: str) -> bool:
        """Set the permissions of an open file or folder; returns whether that changed anything.

        :raises LocalFileError: when the file system supports it, but does not allow it to this user.
        """
        status = os.fstat(descriptor)
        before = stat.S_IMODE(status.st_mode)
        if before == mode:
            return False
        with local_errors(path):
            try:
                os.fchmod(descriptor, mode)
            except OSError as error:
                if error.errno not in NO_MODES or (error.errno == errno.EPERM and not _is_own(status)):
                    raise
                self._warn_once(
                    "mode",
                    f"{shown(path)}: the file system can't set permissions ({why_of(error)}): it has the mode "
                    f"{before:04o} instead of {mode:04o}{_who_can_read(before & ~mode)}",
                )
                return False
        return True


def _is_own(status: os.stat_result) -> bool:
    return os.geteuid() in (0, status.st_uid)


def _who_can_read(more: int) -> str:
    """Who can read a backup by the excess bits of its mode, as the end of a warning."""
    if more & stat.S_IROTH:
        return ", so every user of that file system can read the secrets in the backup"
    if more & stat.S_IRGRP:
        return ", so its group can read the secrets in the backup"
    return ""
