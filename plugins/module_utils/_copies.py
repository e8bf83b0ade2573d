# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Local copies of a system's backups, to look into them; they go with the task. Private to this collection."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ._client import Client
from ._failures import DOWNLOADS_DIFFER
from ._runner import Context
from ._wholeness import inspect

DOWNLOADS = 3
"""How often a backup is downloaded at most that seems to be damaged: the way may be what damages it."""


class Copies:
    """Copies of backups by their names; the first good one of each is kept.

    :param reads_back: whether :meth:`damage` looks into a backup at all.
    """

    def __init__(self, client: Client, folder: str, reads_back: bool) -> None:
        self._client = client
        self._folder = folder
        self._reads_back = reads_back
        self._paths: dict[str, str] = {}
        self._kinds: dict[str, str] = {}

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

    def damage(self, name: str) -> str:
        """What speaks against the content of a backup, as a clause without its subject; empty when nothing does.

        Two downloads that are damaged in the same way are needed: one may have been damaged on the way.

        :raises TransferError: when each download differs from those before.
        """
        if not self._reads_back:
            return ""
        path, seen = self._new_path(), set()
        for _number in range(DOWNLOADS):
            sha256 = self._client.download(name, path).sha256
            finding = inspect(path, self._client.settings.transfer_timeout)
            if not finding.damage:
                self._paths[name], self._kinds[name] = path, finding.kind
                return ""
            if sha256 in seen:
                return finding.damage
            seen.add(sha256)
        raise DOWNLOADS_DIFFER.error(times=DOWNLOADS, name=name, operation=f"read the backup {name!r} back")

    def verified_by(self, name: str) -> list[str]:
        """What vouches for a backup that is complete: ``size``, and ``archive`` where its content does too."""
        return ["size", "archive"] if self._kinds.get(name) else ["size"]

    def _new_path(self) -> str:
        descriptor, path = tempfile.mkstemp(dir=self._folder)
        os.close(descriptor)
        return path


@contextmanager
def local_copies(context: Context) -> Iterator[Copies]:
    """Copies in a folder that is gone at the end of the block; ``verify`` says whether they are looked into."""
    with tempfile.TemporaryDirectory(prefix="activelogic-", dir=context.module.tmpdir) as folder:
        yield Copies(context.client, folder, context.params["verify"] == "archive")
