# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Background cleaning: cancels operations that their owner abandoned, and deletes old ones."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta

from .config import Limits
from .logins import Logins
from .operations import Endings, Operation, Operations
from .store import Store

logger = logging.getLogger(__name__)

JANITOR_SECONDS = 5.0
"""Maximum number of seconds between two cleanings."""


class Janitor:
    """Cleans up for as long as the gateway runs."""

    def __init__(self, limits: Limits, operations: Operations, endings: Endings, logins: Logins, store: Store) -> None:
        self._limits = limits
        self._operations = operations
        self._endings = endings
        self._logins = logins
        self._store = store

    async def run(self) -> None:
        """Clean up periodically, until cancelled."""
        while True:
            await asyncio.sleep(min(JANITOR_SECONDS, self._limits.owner_seconds / 4))
            for operation in self._operations:
                try:  # a failure must not stop the cleaning of the others
                    await self._clean_one(operation)
                except Exception:
                    logger.exception("operation %s can't be cleaned up", operation.key.uuid)
            self._logins.clean()
            try:
                await self._store.forget(timedelta(days=self._limits.keep_operations_days))
            except Exception:
                logger.exception("finished operations can't be forgotten")

    async def _clean_one(self, operation: Operation) -> None:
        now = time.monotonic()
        if operation.state == "running" and not operation.warned and takes_long(operation, self._limits.stuck_seconds):
            operation.warned = True
            logger.warning("%s", self._about(operation))
        if operation.waits and operation.is_abandoned(self._limits.owner_seconds):
            await self._endings.abandon(operation)
        elif operation.state == "awaiting_content" and operation.receiving is None:
            # Polling alone does not keep an upload alive: before its first byte, the time limit is short.
            limit = self._limits.content_seconds if operation.receptions else self._limits.first_byte_seconds
            if now - operation.received > limit:
                await self._endings.abandon(operation)
        elif operation.ended is not None and now - operation.ended > self._limits.content_seconds:
            await self._endings.drop_content(operation)
            self._operations.discard(operation.key)

    def _about(self, operation: Operation) -> str:
        """Return a log message about a command that takes very long."""
        system, username, uuid = operation.key
        behind = sum(1 for each in self._operations.of_system(system) if each.waits)
        what = f"{operation.request.action} {operation.request.name!r} of user {username!r} (operation {uuid})"
        since = f"has been running since {operation.started}, and {behind} operations wait"
        return f"system {system}: {what} {since}; its owner can end it: DELETE of the operation with force=true"


def takes_long(operation: Operation, stuck_seconds: float) -> bool:
    """Whether its command has been running for more than ``stuck_seconds``."""
    if operation.started is None:
        return False
    age = datetime.now(UTC) - datetime.fromisoformat(operation.started)
    return age.total_seconds() > stuck_seconds
