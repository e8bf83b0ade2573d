# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An SDK that must not be forked after its import, which starts a thread with a loop that runs its calls."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import activelogic_embedded as embedded
from activelogic_embedded import BackupFile

__all__ = ["BackupFile", "async_connect"]

_loop = asyncio.new_event_loop()
threading.Thread(target=_loop.run_forever, daemon=True).start()
print("a thread was started")


async def async_connect(host: str, username: str, password: str) -> Any:
    call = embedded.async_connect(host, username, password)
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, _loop))
