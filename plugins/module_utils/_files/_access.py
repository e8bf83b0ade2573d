# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Local files: their names in any locale, their errors, and their content. Private to this collection."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from .._errors import ActiveLogicError
from .._failures import FILE_NO_ROOM, FILE_NOT_REGULAR, FILE_UNUSABLE, PATH_NOT_LEGAL

PIECE = 256 * 1024
"""Bytes that are read, hashed, sent and written at a time; with copies they fit into a processor's cache."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

EXHAUSTED = (
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.EADDRNOTAVAIL,
    errno.ENETDOWN,
    errno.ENETUNREACH,
)
"""Errors when this machine is the reason that no connection can be made."""

Opener = Callable[[str, int], int]
"""The ``opener`` of :func:`open`: takes a path and flags, and returns a descriptor."""


# Names


def native(path: str) -> str:
    """Convert a path from Ansible for use in this process.

    Ansible encodes names in UTF-8 in every locale, while Python uses the locale's character set.

    :raises OptionError: when no file can have this name.
    """
    try:
        content = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise PATH_NOT_LEGAL.error(path=path, flaw="is not valid Unicode") from None
    if b"\0" in content:
        raise PATH_NOT_LEGAL.error(path=path, flaw="holds a NUL character")
    made = os.fsdecode(content)
    if os.fsencode(made) != content:  # some multi-byte character sets are not reversible
        raise PATH_NOT_LEGAL.error(path=path, flaw="can't be expressed in the locale where the module runs")
    return made


def exact(path: str) -> str:
    """The reverse of :func:`native`, for results and for Ansible's functions."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def shown(path: str) -> str:
    """A path of this process, for a message; invalid UTF-8 bytes are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


# Errors


@contextmanager
def local_errors(path: str) -> Iterator[None]:
    """Translate errors of the operating system in the block.

    :raises LocalFileError: for each of them.
    """
    try:
        yield
    except OSError as error:
        raise file_error(error, path) from error


def file_error(error: OSError, path: str) -> ActiveLogicError:
    """Translate an error of the operating system; ``path`` is used if the error does not name the file."""
    named = error.filename
    # A name without a folder is relative to a descriptor, and useless to the user.
    path, why = named if isinstance(named, str) and os.path.isabs(named) else path, why_of(error)
    if error.errno in NO_ROOM:
        return FILE_NO_ROOM.error(path=shown(path), why=why)
    return FILE_UNUSABLE.error(path=shown(path), why=why)


def why_of(error: OSError) -> str:
    """The text of an error of the operating system, without the file name."""
    return error.strerror or type(error).__name__


def status_of(path: str, *, follow: bool = False) -> os.stat_result | None:
    """The status of a path; ``None`` only if nothing exists there.

    :raises LocalFileError: when it can't be read, such as in a folder without permission.
    """
    try:
        return os.stat(path, follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise file_error(error, path) from error


def is_folder(path: str) -> bool:
    """Whether a path is a folder, or a link to one; :raises LocalFileError: as :func:`status_of`."""
    status = status_of(path, follow=True)
    return status is not None and stat.S_ISDIR(status.st_mode)


@contextmanager
def private_folder() -> Iterator[str]:
    """A temporary folder for this user only, removed at the end of the block if possible.

    :raises LocalFileError: when it can't be made.
    """
    with local_errors("the temporary folder (TMPDIR)"):
        folder = tempfile.mkdtemp(prefix="activelogic-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the outcome of the block stays what it is


def exhaustion_behind(error: BaseException) -> OSError | None:
    """The error among the causes of an exception that shows that this machine is out of space or resources."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        if isinstance(current, OSError) and current.errno in (*NO_ROOM, *EXHAUSTED):
            return current
        seen.append(current)
        current = current.__cause__ or current.__context__
    return None


def require_room(path: str, size: int, opener: Opener | None = None) -> None:
    """Check that there is room for a file of ``size`` bytes; some packages don't report a full disk.

    :param opener: opens the file, as for :func:`open`, instead of its name.
    :raises LocalFileError: when there is not.
    """
    with local_errors(path), open(path, "r+b", opener=opener) as target:
        try:
            os.posix_fallocate(target.fileno(), 0, size)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise


# Content


def digest_file(path: str, opener: Opener | None = None) -> tuple[int, str]:
    """Size in bytes and SHA-256 (hex) of a file, in constant memory.

    :param opener: opens it instead of its name.
    :raises LocalFileError: when it can't be read, or is not a regular file.
    """
    digest, size = hashlib.sha256(), 0
    with local_errors(path), open_regular(path, opener) as source:
        for piece in iter(lambda: source.read(PIECE), b""):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def open_regular(path: str, opener: Opener | None = None) -> BinaryIO:
    """Open a regular file for reading, unbuffered.

    :param opener: opens it instead of its name.
    :raises LocalFileError: when it can't be read, or is not a regular file.
    """
    with local_errors(path):
        return open(path, "rb", buffering=0, opener=opener or _open_regular)


def _open_regular(path: str, flags: int) -> int:
    """Open without blocking on a named pipe."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FILE_NOT_REGULAR.error(path=shown(path))
    return descriptor


def reopener(descriptor: int) -> Opener:
    """An opener for the file of a descriptor, from its start, whatever its name now refers to."""

    def reopen(_path: str, flags: int) -> int:
        opened = os.dup(descriptor)
        os.lseek(opened, 0, os.SEEK_SET)
        if flags & os.O_TRUNC:
            os.ftruncate(opened, 0)
        return opened

    return reopen


def has_content(path: str, content: bytes) -> bool:
    """Whether a small file exists and contains exactly these bytes."""
    try:
        with open_regular(path) as source:
            return source.read(len(content) + 1) == content
    except (ActiveLogicError, OSError):
        return False
