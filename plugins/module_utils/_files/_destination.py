# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The destination of a fetched backup, and its folders. Private to this collection.

Paths are as :func:`_access.native` returns them.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from .. import _failures
from ._access import exact, is_folder, local_errors, native, shown, status_of
from ._manifest import DIGEST_SUFFIX, MANIFEST_SUFFIX, MAX_FILE_NAME, side_file

PART_SUFFIX = ".part"


def resolve_destination(dest: str, name: str) -> str:
    """The path of a fetched backup: in ``dest`` if that is a folder or ends in ``/``, else ``dest`` itself.

    The name never selects a folder, and never replaces a side file of another backup in a folder.

    :raises LocalFileError: when the destination can't be used.
    """
    if _is_long(os.path.basename(dest)):
        raise _failures.DEST_LONG.error(name=exact(os.path.basename(dest))[:40], limit=MAX_FILE_NAME)
    if dest.endswith("/") or is_folder(dest):
        if name.endswith((MANIFEST_SUFFIX, DIGEST_SUFFIX, PART_SUFFIX)):
            raise _failures.DEST_ACCOMPANIES.error(name=name)
        _require_folders(dest)
        path = os.path.join(dest, native(name))
    else:
        path = dest
        folder = os.path.dirname(os.path.abspath(dest))
        if not is_folder(folder):
            raise _failures.DEST_NO_FOLDER.error(folder=shown(folder))
    if _is_long(os.path.basename(path)):
        raise _failures.DEST_LONG.error(name=exact(os.path.basename(path))[:40], limit=MAX_FILE_NAME)
    status = status_of(path)
    if status is not None and stat.S_ISLNK(status.st_mode):
        raise _failures.DEST_LINK.error(path=shown(path))
    for each in (path, side_file(path, DIGEST_SUFFIX), side_file(path, MANIFEST_SUFFIX)):
        if status_of(each) is not None and not _is_file(each):
            raise _failures.DEST_NOT_REGULAR.error(path=shown(each))
    return path


def _is_long(name: str) -> bool:
    return len(os.fsencode(name)) > MAX_FILE_NAME


def _is_file(path: str) -> bool:
    status = status_of(path, follow=True)
    return status is not None and stat.S_ISREG(status.st_mode)


def _require_folders(folder: str) -> None:
    """:raises LocalFileError: when a part of the path exists and is not a folder."""
    for each in _upwards(folder):
        if status_of(each) is not None and not is_folder(each):
            raise _failures.DEST_BELOW_FILE.error(path=shown(each))


def _upwards(folder: str) -> list[str]:
    """A folder and its parents, up to the root."""
    parts: list[str] = []
    current = os.path.abspath(folder)
    while current not in parts:
        parts.append(current)
        current = os.path.dirname(current)
    return parts


def folder_of(path: str) -> str:
    """The nearest existing folder above a path."""
    above = _upwards(os.path.dirname(os.path.abspath(path)))
    return next((each for each in above if is_folder(each)), above[-1])


def require_writable(path: str) -> None:
    """:raises LocalFileError: when the file can't be created there, as far as that is known without trying."""
    folder = folder_of(path)
    effective = os.access in os.supports_effective_ids
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
        is_read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        why = os.strerror(errno.EROFS if is_read_only else errno.EACCES)
        raise _failures.FILE_UNUSABLE.error(path=shown(folder), why=why)


def make_folders(path: str, give: Callable[[str, int], None]) -> None:
    """Create the missing folders of ``path``, accessible to their owner only.

    Below the existing folder no link is followed: its owner could redirect us between two steps.

    :param give: called with the path and a descriptor of each new folder, the topmost first.
    """
    folder, missing = os.path.dirname(os.path.abspath(path)), []
    while not is_folder(folder):
        folder, name = os.path.split(folder)
        missing.append(name)
    with local_errors(folder):
        above = os.open(folder, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in reversed(missing):
            folder = os.path.join(folder, name)
            is_new = True
            with local_errors(folder):
                try:
                    os.mkdir(name, 0o700, dir_fd=above)
                except FileExistsError:  # another task was faster
                    is_new = False
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                above, former = os.open(name, flags, dir_fd=above), above
            os.close(former)
            if is_new:
                give(folder, above)
    finally:
        os.close(above)
