# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Transactions of sessions: the lock of the Backup resource, and uncommitted changes, until a session commits or ends.

They exist only with the quirks ``lock`` and ``visible``; without these, every command commits by itself.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from .store import Store, StoreError
from .troubles import QuirkState


class StagedStore(Store):
    """A store with the uncommitted changes of one session; :meth:`publish` makes them visible to others.

    New backups are temporary files that this process has locked: if it dies, the next session that writes removes them.
    The session that publishes holds the lock of the resource, so no other session has committed meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._files: dict[str, tuple[Path, int]] = {}
        self._removed: set[str] = set()
        self._data: dict[str, Any] = {}
        self._steps: list[Callable[[], object]] = []

    def listing(self) -> list[tuple[str, int]]:
        hidden = self._removed | set(self._files)
        found = [each for each in super().listing() if each[0] not in hidden]
        return sorted([*found, *((name, path.stat().st_size) for name, (path, _file) in self._files.items())])

    def path(self, name: str) -> Path:
        self._check_name(name)
        if name in self._files:
            return self._files[name][0]
        if name in self._removed:
            raise StoreError(f"there is no backup {name!r}")
        return super().path(name)

    def exists(self, name: str) -> bool:
        return name in self._files or (name not in self._removed and super().exists(name))

    def configuration(self) -> dict[str, Any]:
        return {**super().configuration(), **self._data}

    def place(self, incoming: BinaryIO, name: str, may_exist: bool = False) -> int:
        self.require_name(name, may_exist=may_exist)
        incoming.flush()
        os.fsync(incoming.fileno())
        path = self.tmp / str(uuid.uuid4())
        Path(incoming.name).rename(path)
        self._forget(name)
        self._files[name] = (path, os.dup(incoming.fileno()))  # the duplicate keeps the temporary file locked
        return self.revision()

    def remove(self, name: str) -> int:
        self.path(name)
        self._forget(name)
        if super().exists(name):
            self._removed.add(name)
        return self.revision()

    def write_restored(self, saved: dict[str, Any], password: str | None) -> int:
        self._data.update(saved)
        self._steps.append(lambda: super(StagedStore, self).write_restored(saved, password))
        return self.revision()

    def run_when_visible(self, action: Callable[[], object]) -> None:
        self._steps.append(action)

    def _forget(self, name: str) -> None:
        """Delete a new backup that is not committed."""
        if name in self._files:
            path, file = self._files.pop(name)
            path.unlink(missing_ok=True)
            os.close(file)

    def publish(self) -> None:
        """Commit all changes, with one revision for each."""
        with self._lock():
            for name in sorted(self._removed - set(self._files)):
                self._next_revision()
                (self.backups / name).unlink(missing_ok=True)
            for name, (path, file) in self._files.items():
                self._next_revision()
                path.rename(self.backups / name)
                os.close(file)
            self._sync_backups()
        steps = self._steps
        self._files, self._removed, self._data, self._steps = {}, set(), {}, []
        for step in steps:
            step()

    def undo(self) -> None:
        """Roll back all changes."""
        for name in list(self._files):
            self._forget(name)
        self._removed, self._data, self._steps = set(), {}, []


class Transaction:
    """The transaction of one session. It does not refer to its session, so that it may outlive it briefly.

    :param opened_at: when the session was opened, in the time of :func:`.troubles.now`.
    """

    def __init__(self, store: Store, troubles: QuirkState, opened_at: float) -> None:
        quirks = troubles.quirks
        self._troubles = troubles
        self._opened_at = opened_at
        self._locks = bool(quirks.lock or quirks.visible)
        self._lock: int | None = None
        self.store: Store = StagedStore(store.folder) if quirks.visible else store
        self.is_lost = False

    def begin(self) -> None:
        """Take the lock before a write; the session keeps it.

        :raises StoreError: if another session holds it.
        """
        if not self._locks or self._lock is not None:
            return
        # A restart disconnects all sessions, so a lock that is older than the restart does not count.
        path = self.store.folder / f"session-{self._troubles.restarted_at():.6f}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StoreError("the resource Backup is locked by another session") from None
        self._lock = descriptor

    def commit(self) -> None:
        """Make the changes visible to others, and release the lock."""
        if isinstance(self.store, StagedStore):
            self.store.publish()
        self._release()

    def rollback(self) -> None:
        """Undo the uncommitted changes, and release the lock."""
        if isinstance(self.store, StagedStore):
            self.store.undo()
        self._release()

    def end(self) -> None:
        """End the session's transaction: commit, or roll back if the session was lost or disconnected."""
        if self.is_lost or self._troubles.is_cut(self._opened_at):
            self.rollback()
        else:
            self.commit()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
