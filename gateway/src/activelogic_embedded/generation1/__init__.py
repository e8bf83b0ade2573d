# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same systems, with the API of an earlier generation of the firmware.

A connection has no ``close`` and is not a context manager: it ends when its object, and the resources that it opened,
are garbage-collected. Connecting never raises ``TimeoutError``, and there is no ``PLDBDetached``.
"""

from __future__ import annotations

from typing import Any

from .. import connection as current
from ..backup import Backup, BackupFile
from ..connection import GraphSystem, SystemOverview
from ..store import Resource
from . import exception

__all__ = [
    "Backup",
    "BackupFile",
    "Connection",
    "GraphSystem",
    "Resource",
    "SystemOverview",
    "async_connect",
    "exception",
    "sync_connect",
]


class _Facts:
    """The properties of both kinds of connections."""

    def __init__(self, real: Any) -> None:
        self._real = real

    @property
    def machineid(self) -> str:
        """The machine id, 12 hex digits."""
        return str(self._real.machineid)

    @property
    def distversion(self) -> str:
        """The firmware."""
        return str(self._real.distversion)


class Connection(_Facts):
    """A session with one system, for asyncio."""

    async def backup(self) -> Backup:
        """Open the Backup resource."""
        backup: Backup = await self._real.backup()
        return backup

    async def system_overview(self) -> SystemOverview:
        """Open the resource that lists all systems."""
        overview: SystemOverview = await self._real.system_overview()
        return overview


class _BlockingConnection(_Facts):
    """A session with one system, with blocking methods."""

    def backup(self) -> Any:
        """Open the Backup resource."""
        return self._real.backup()

    def system_overview(self) -> Any:
        """Open the resource that lists all systems."""
        return self._real.system_overview()


async def async_connect(host: str, username: str, password: str) -> Connection:
    """Log in to a system.

    :raises ConnectionRefusedError: if there is no system ``host`` below the root, or it is down.
    :raises PLDBIOError: if the login is refused, or the connection fails for another reason.
    """
    try:
        return Connection(await current.async_connect(host, username, password))
    except TimeoutError as error:
        raise exception.PLDBIOError(str(error)) from error


def sync_connect(host: str, username: str, password: str) -> Any:
    """Like :func:`async_connect`, but the connection and its resources have blocking methods."""
    try:
        return _BlockingConnection(current.sync_connect(host, username, password))
    except TimeoutError as error:
        raise exception.PLDBIOError(str(error)) from error
