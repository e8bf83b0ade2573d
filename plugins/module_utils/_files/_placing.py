# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Move a new backup file and its two side files into place together. Private to this collection.

Side files never belong to other data: the old ones are moved away before the data is exchanged, and the new ones follow
it. If a task is killed in between, :mod:`_leftovers` moves the matching side files beside the data.

All operations use descriptors of folders and files that were opened once. Someone who may write to the destination
folder can make a task fail, but can't make it write elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import BinaryIO

from .._errors import ActiveLogicError
from .._failures import PART_FILE_TAKEN, PLACED_BY_ANOTHER
from ._access import PIECE, Opener, file_error, local_errors, reopener, shown
from ._destination import PART_SUFFIX
from ._leftovers import CONTENT, FOLDER_FLAGS, LOCK, NEW, OLD, SIDES, kernel, remove, stem_of
from ._manifest import side_file
from ._share import Share

UNSAFE_ERRORS = (errno.EBUSY, errno.EPERM, errno.EACCES, errno.EXDEV, errno.ETXTBSY)
"""Errors of a rename after which ``unsafe_writes`` overwrites the old file, as a rename can't work there."""

MAX_TRIES = 20
"""How often a hidden folder is created again when someone removes it at once."""

NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

SetAttributes = Callable[[int, str], object]
"""Sets the attributes of an open file; takes its descriptor, and its path for messages."""


class Part:
    """The new files of one backup, in a hidden folder beside the destination; see :func:`part_of`.

    :ivar path: the path of the new content, for programs that need one.
    """

    def __init__(self, destination: str, share: Share, stack: ExitStack) -> None:
        self._destination = destination
        self._folder_path, self._name = os.path.split(os.path.abspath(destination))
        self._share = share
        self._stack = stack
        self._sides: dict[str, int] = {}
        self._written_over: set[str] = set()  # names of files that were overwritten instead of renamed
        self._is_torn = False  # while the data is being overwritten
        with local_errors(self._folder_path):
            self._folder = os.open(self._folder_path, FOLDER_FLAGS)
            stack.callback(os.close, self._folder)
            self._hidden_name, self._hidden = self._make_hidden()
            self.path = os.path.join(self._folder_path, self._hidden_name, CONTENT)
            self._content = self._make_file(CONTENT)

    def _make_hidden(self) -> tuple[str, int]:
        """Create and lock the hidden folder; the lock is held while its descriptor is open."""
        for _number in range(MAX_TRIES):
            name = f".{stem_of(self._name)}.{os.urandom(8).hex()}{PART_SUFFIX}"
            try:
                os.mkdir(name, 0o700, dir_fd=self._folder)
            except FileExistsError:
                continue
            try:
                with ExitStack() as opened:
                    hidden = os.open(name, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=self._folder)
                    opened.callback(os.close, hidden)
                    lock = os.open(LOCK, NEW_FILE, 0o600, dir_fd=hidden)
                    opened.callback(os.close, lock)
                    if self._share.lock(lock, self._folder_path):
                        os.write(lock, kernel().encode("utf-8"))
                        if self._is_ours(name, hidden, lock):
                            self._stack.callback(remove, self._folder, name)
                            self._stack.push(opened.pop_all())
                            return name, hidden
            except (FileNotFoundError, NotADirectoryError):
                continue  # someone removed or replaced it
            except BaseException:
                remove(self._folder, name)
                raise
            remove(self._folder, name)
        raise PART_FILE_TAKEN.error(path=shown(os.path.join(self._folder_path, name)))

    def _is_ours(self, name: str, hidden: int, lock: int) -> bool:
        """Whether the hidden folder is still the one that was created, and new files in it have the same owner."""
        status = os.fstat(hidden)
        named = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        return os.path.samestat(named, status) and os.fstat(lock).st_uid == status.st_uid

    def _make_file(self, name: str) -> int:
        descriptor = os.open(name, NEW_FILE, 0o600, dir_fd=self._hidden)
        self._stack.callback(os.close, descriptor)
        return descriptor

    # The new files

    @property
    def opener(self) -> Opener:
        """An opener for the content by its descriptor, from its start, whatever its path now refers to."""
        return reopener(self._content)

    def require_own_content(self) -> None:
        """:raises LocalFileError: when the path of the content no longer refers to the file that was created."""
        try:
            named = os.lstat(self.path)
        except OSError:
            named = None
        if named is None or not os.path.samestat(named, os.fstat(self._content)):
            raise PART_FILE_TAKEN.error(path=shown(self.path))

    def finish(self, sides: Mapping[str, bytes], set_attributes: SetAttributes) -> None:
        """Write the side files, by suffix, set all attributes, and flush everything to disk.

        The files are not in place yet.
        """
        with local_errors(self._destination):
            for suffix, content in sides.items():
                descriptor = self._make_file(NEW + suffix)
                with open(os.dup(descriptor), "wb") as target:
                    target.write(content)
                self._sides[suffix] = descriptor
        set_attributes(self._content, self._destination)
        for suffix, descriptor in self._sides.items():
            set_attributes(descriptor, side_file(self._destination, suffix))
        with local_errors(self._destination):
            for descriptor in (self._content, *self._sides.values()):
                os.fsync(descriptor)

    # Moving them into place

    def place(self, guard: Callable[[], None], seconds: float, unsafe_writes: bool) -> None:
        """Exchange the old files for the new ones while no other task works in the folder.

        :param guard: raises if the old files may not be replaced; they may have changed during the download.
        :param seconds: how long to wait for other tasks (``wait_timeout``).
        :param unsafe_writes: if a rename is impossible (a mount point, some network file systems), overwrite the old
            file instead, which is not atomic.
        """
        with self._share.alone(self._folder, self._folder_path, seconds):
            guard()
            with local_errors(self._destination):
                try:
                    self._exchange(unsafe_writes)
                except BaseException:
                    self._put_back_sides()
                    raise

    def _exchange(self, unsafe_writes: bool) -> None:
        aside = [self._set_aside(suffix, unsafe_writes) for suffix in SIDES]
        if any(aside):
            self._share.sync(self._folder, self._folder_path)
        self.require_own_content()
        self._move(CONTENT, self._content, self._name, unsafe_writes)
        try:
            self._share.sync(self._folder, self._folder_path)
            for suffix, descriptor in self._sides.items():
                name = os.path.basename(side_file(self._destination, suffix))
                self._move(NEW + suffix, descriptor, name, unsafe_writes)
            self._share.sync(self._folder, self._folder_path)
            self._require_together()
        except (ActiveLogicError, OSError) as error:
            ours = _as_ours(error, self._destination)
            ours.facts["changed"] = True
            raise ours from error

    def _set_aside(self, suffix: str, unsafe_writes: bool) -> bool:
        """Move an old side file into the hidden folder; returns whether there was one."""
        name = os.path.basename(side_file(self._destination, suffix))
        try:
            os.rename(name, OLD + suffix, src_dir_fd=self._folder, dst_dir_fd=self._hidden)
        except FileNotFoundError:
            return False
        except OSError as error:
            if not unsafe_writes or error.errno not in UNSAFE_ERRORS:
                raise
            return False  # a mount point: it is overwritten like the data
        return True

    def _move(self, source: str, descriptor: int, name: str, unsafe_writes: bool) -> None:
        try:
            os.rename(source, name, src_dir_fd=self._hidden, dst_dir_fd=self._folder)
        except OSError as error:
            if not unsafe_writes or error.errno not in UNSAFE_ERRORS:
                raise
            with open(os.dup(descriptor), "rb") as content:
                content.seek(0)
                self._overwrite(content, name)

    def _overwrite(self, content: BinaryIO, name: str) -> None:
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(name, flags, dir_fd=self._folder), "wb") as target:
            status = os.fstat(target.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "Not a regular file")
            if status.st_nlink > 1:
                raise OSError(errno.EMLINK, "A hard link to a file that has another name as well")
            self._is_torn = name == self._name
            target.truncate(0)
            for piece in iter(lambda: content.read(PIECE), b""):
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())
        self._is_torn = False
        self._written_over.add(name)

    def _put_back_sides(self) -> None:
        """After an error or a signal: move the side files that match the data beside it, the old or the new ones."""
        if self._is_torn:
            return
        when = NEW if self._name in self._written_over or self._is_at(self._name, self._content) else OLD
        for suffix in SIDES:
            name = os.path.basename(side_file(self._destination, suffix))
            with suppress(OSError):
                os.stat(name, dir_fd=self._folder, follow_symlinks=False)
                continue
            with suppress(OSError):
                os.rename(when + suffix, name, src_dir_fd=self._hidden, dst_dir_fd=self._folder)

    def _is_at(self, name: str, descriptor: int) -> bool:
        try:
            named = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(named, os.fstat(descriptor))

    def _require_together(self) -> None:
        """Without working locks, check that no other task has replaced one of our files.

        :raises ConflictError: when one has; our remaining side files are removed then.
        """
        if self._written_over:
            return
        names = {os.path.basename(side_file(self._destination, each)): self._sides[each] for each in self._sides}
        if all(self._is_at(name, each) for name, each in {self._name: self._content, **names}.items()):
            return
        for name, descriptor in names.items():
            if self._is_at(name, descriptor):
                with suppress(OSError):
                    os.unlink(name, dir_fd=self._folder)
        raise PLACED_BY_ANOTHER.error(path=shown(self._destination))


def _as_ours(error: ActiveLogicError | OSError, path: str) -> ActiveLogicError:
    return error if isinstance(error, ActiveLogicError) else file_error(error, path)


@contextmanager
def part_of(destination: str, share: Share) -> Iterator[Part]:
    """The new files of a backup in a hidden folder, which is removed at the end of the block.

    :raises LocalFileError: when it can't be created.
    """
    with ExitStack() as stack:
        yield Part(destination, share, stack)
