# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An SDK generation whose connections have a synchronous ``close()`` and are not context managers."""

from __future__ import annotations

from typing import Any

import activelogic_embedded as embedded
from activelogic_embedded import BackupFile

__all__ = ["BackupFile", "async_connect"]


class _Connection:
    def __init__(self, real: Any) -> None:
        self._real = real
        self.machineid = real.machineid
        self.distversion = real.distversion

    async def backup(self) -> Any:
        return await self._real.backup()

    def close(self) -> None:
        self._real.close()


async def async_connect(host: str, username: str, password: str) -> _Connection:
    return _Connection(await embedded.async_connect(host, username, password))
