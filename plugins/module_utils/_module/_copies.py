# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Local copies of a system's backups, to look into them; they go with the task. Private to this collection."""

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
"""How often a backup is downloaded at most that seems to be damaged: the way may be what damages it."""


class Copies:
    """Copies of backups by their names; the first good one of each is kept.

    :param reads_back: whether :meth:`damage` looks into a backup at all.
    :param warn: is told of a backup that could not be looked into.
    """

    def __init__(self, client: Client, folder: str, reads_back: bool, warn: Callable[[str], None]) -> None:
        self._client = client
        self._folder = folder
        self._reads_back = reads_back
        self._warn = warn
        self._paths: dict[str, str] = {}
        self._kinds: dict[str, str | None] = {}

    def path(self, name: str) -> str:
        """The copy of a backup, downloaded where there is none yet."""
        if name not in self._paths:
            self._paths[name] = self.path_of_another(name)
        return self._paths[name]

    def path_of_another(self, name: str) -> str:
        """A copy that is downloaded anew, beside the kept one."""
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
        from .._archive._whole import inspect, not_checked  # noqa: PLC0415 - whoever looks into no backup need not load the readers

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
        """Look into the backup that is chosen, and while that is damaged into the next; those are incomplete then.

        :param choose: the name of the backup that is relied on, by a listing that judged them; ``None`` for none.
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
    """Copies in a folder that is gone at the end of the block; ``verify`` says whether they are looked into.

    :raises LocalFileError: when the folder can't be made. One that can't be removed is a warning: by then the work is
        done, and its outcome stays what it is.
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
