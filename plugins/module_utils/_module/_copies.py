# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Temporary local copies of backups, to check and compare them. Private to this collection."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .._client import Client
from .._context import Context
from .._errors import during
from .._failures import DOWNLOADS_DIFFER
from .._files._access import local_errors
from .._model import ARCHIVE, SIZE, Listing

DOWNLOADS = 3
"""How often a backup that seems damaged is downloaded at most: it may have been damaged in transit."""


class Copies:
    """Copies of backups by name; the first intact one of each is kept.

    :param reads_back: whether :meth:`damage` checks the content of backups at all.
    :param warn: called with a warning when a backup could not be checked.
    """

    def __init__(self, client: Client, folder: str, reads_back: bool, warn: Callable[[str], None]) -> None:
        self._client = client
        self._folder = folder
        self._reads_back = reads_back
        self._warn = warn
        self._paths: dict[str, str] = {}
        self._kinds: dict[str, str | None] = {}

    def path(self, name: str) -> str:
        """The path of a copy of a backup, which is downloaded if there is none yet."""
        if name not in self._paths:
            self._paths[name] = self.path_of_another(name)
        return self._paths[name]

    def path_of_another(self, name: str) -> str:
        """The path of a new copy, in addition to the kept one."""
        path = self._new_path()
        self._client.download(name, path)
        return path

    def damage(self, name: str) -> str | None:
        """Check the content of a backup: what is wrong with it, as a clause without a subject, or ``None``.

        A backup counts as damaged after two equal damaged downloads: a single one may have been damaged in transit.

        :raises TransferError: when all downloads differ.
        """
        if not self._reads_back:
            return None
        from .._archive._whole import inspect, not_checked  # noqa: PLC0415 - loaded only if used

        path, seen = self._new_path(), set()
        for _number in range(DOWNLOADS):
            sha256 = self._client.download(name, path).sha256
            finding = inspect(path, self._client.deadline("transfer_timeout"))
            if finding.limit is not None:
                self._warn(not_checked(f"the backup {name!r}", finding))
            if finding.damage is None:
                self._paths[name], self._kinds[name] = path, finding.kind
                return None
            if sha256 in seen:
                return finding.damage
            seen.add(sha256)
        with during(f"read the backup {name!r} back"):
            raise DOWNLOADS_DIFFER.error(times=DOWNLOADS, name=name)

    def without_damaged(self, found: Listing, choose: Callable[[Listing], str | None]) -> Listing:
        """Check the chosen backup; while it is damaged, mark it as incomplete and choose again.

        :param choose: returns the name of the backup to use from a listing, or ``None``.
        """
        while True:
            name = choose(found)
            damage = None if name is None else self.damage(name)
            if name is None or damage is None:
                return found
            found = found.with_incomplete(name, damage)

    def verified_by(self, name: str) -> list[str]:
        """The checks that a complete backup has passed: its size, and its content if that is an intact archive."""
        return [SIZE, ARCHIVE] if self._kinds.get(name) is not None else [SIZE]

    def _new_path(self) -> str:
        with local_errors(self._folder):
            descriptor, path = tempfile.mkstemp(dir=self._folder)
            os.close(descriptor)
        return path


@contextmanager
def local_copies(context: Context) -> Iterator[Copies]:
    """Copies in a temporary folder, removed at the end of the block; ``verify`` says whether to check their content.

    :raises LocalFileError: when the folder can't be made. If it can't be removed, that is only a warning: by then the
        work is done.
    """
    with local_errors("the temporary folder (TMPDIR)"):
        folder = tempfile.mkdtemp(prefix="activelogic-", dir=context.ansible.temporary_folder)
    try:
        yield Copies(context.client, folder, context.params["verify"] == ARCHIVE, context.warn)
    finally:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            left = f"copies of backups, which may hold secrets, could not be removed from {folder}: {error.strerror}"
            context.warn(left)
