# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files where the module runs: their names in any locale, their errors, their content. Private to this collection."""

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
"""Bytes that are read, hashed, sent and written at once: few enough for a processor's cache, with their copies."""

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
"""What the operating system says when no connection can be made for a reason of its own."""

Opener = Callable[[str, int], int]
"""Opens a file for :func:`open`, which hands it a path and flags, and returns the descriptor."""


# Names


def native(path: str) -> str:
    """A path of Ansible's as this process has to write it.

    Ansible's names are UTF-8 whatever the locale, while Python encodes names in the locale's character set.

    :raises OptionError: when no file can have that name.
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
    """The reverse of :func:`native`, for results and for Ansible's own functions."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def shown(path: str) -> str:
    """A path of this process as it stands in a message; bytes that are no UTF-8 as hex."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


# Errors


@contextmanager
def local_errors(path: str) -> Iterator[None]:
    """Turn an error of the operating system into ours.

    :raises LocalFileError: for any that leaves the block.
    """
    try:
        yield
    except OSError as error:
        raise file_error(error, path) from error


def file_error(error: OSError, path: str) -> ActiveLogicError:
    """Our error for one of the operating system; ``path`` where that does not say which file it is about."""
    named = error.filename
    # A name without a folder is relative to a descriptor, and says nothing to the user.
    path, why = named if isinstance(named, str) and os.path.isabs(named) else path, why_of(error)
    if error.errno in NO_ROOM:
        return FILE_NO_ROOM.error(path=shown(path), why=why)
    return FILE_UNUSABLE.error(path=shown(path), why=why)


def why_of(error: OSError) -> str:
    """What an error of the operating system says, without the file."""
    return error.strerror or type(error).__name__


def status_of(path: str, *, follow: bool = False) -> os.stat_result | None:
    """What is at a path; ``None`` only where nothing is.

    :raises LocalFileError: when that can't be told, as in a folder that may not be entered.
    """
    try:
        return os.stat(path, follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise file_error(error, path) from error


def is_folder(path: str) -> bool:
    """Whether a folder, or a link to one, is at a path; :raises LocalFileError: as :func:`status_of`."""
    status = status_of(path, follow=True)
    return status is not None and stat.S_ISDIR(status.st_mode)


@contextmanager
def private_folder() -> Iterator[str]:
    """A temporary folder for the user alone, gone at the end of the block as far as that can be done.

    :raises LocalFileError: when it can't be made.
    """
    with local_errors("the temporary folder (TMPDIR)"):
        folder = tempfile.mkdtemp(prefix="activelogic-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the outcome of the block stays what it is


def own_trouble(error: BaseException) -> OSError | None:
    """The error of this machine's operating system that is behind an exception: no room, or nothing left to give."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        if isinstance(current, OSError) and current.errno in (*NO_ROOM, *EXHAUSTED):
            return current
        seen.append(current)
        current = current.__cause__ or current.__context__
    return None


def require_room(path: str, size: int, opener: Opener | None = None) -> None:
    """Show that a file could have ``size`` bytes; some packages don't say why they wrote fewer.

    :param opener: opens the file, as for :func:`open`, instead of its name.
    :raises LocalFileError: when it can't.
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
    :raises LocalFileError: when it can't be read, or is no regular file.
    """
    digest, size = hashlib.sha256(), 0
    with local_errors(path), open_regular(path, opener) as source:
        for piece in iter(lambda: source.read(PIECE), b""):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def open_regular(path: str, opener: Opener | None = None) -> BinaryIO:
    """Open a regular file for reading, without a buffer.

    :param opener: opens it instead of its name.
    :raises LocalFileError: when it can't be read, or is no regular file.
    """
    with local_errors(path):
        return open(path, "rb", buffering=0, opener=opener or _open_regular)


def _open_regular(path: str, flags: int) -> int:
    """Open without waiting for somebody at the other end of a pipe."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FILE_NOT_REGULAR.error(path=shown(path))
    return descriptor


def reopener(descriptor: int) -> Opener:
    """Opens the file of a descriptor, from its start; what has the file's name by now does not matter."""

    def reopen(_path: str, flags: int) -> int:
        opened = os.dup(descriptor)
        os.lseek(opened, 0, os.SEEK_SET)
        if flags & os.O_TRUNC:
            os.ftruncate(opened, 0)
        return opened

    return reopen


def has_content(path: str, content: bytes) -> bool:
    """Whether a small file is there and holds exactly these bytes."""
    try:
        with open_regular(path) as source:
            return source.read(len(content) + 1) == content
    except (ActiveLogicError, OSError):
        return False
