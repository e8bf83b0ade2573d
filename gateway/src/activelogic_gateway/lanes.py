# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queues of each system: one write at a time, and a limited number of parallel downloads."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import sqlite3
from dataclasses import replace
from typing import Any

from .commands import Outcome
from .config import Limits
from .documents import FINAL
from .logs import Secrets, now_text
from .operations import Endings, Operation, Operations
from .problems import Problem
from .runner import Runner
from .store import Key, Store

logger = logging.getLogger(__name__)


class Lanes:
    """Runs the queued operations of each system in order."""

    def __init__(
        self, limits: Limits, operations: Operations, endings: Endings, store: Store, runner: Runner, secrets: Secrets
    ) -> None:
        self._limits = limits
        self._operations = operations
        self._endings = endings
        self._store = store
        self._runner = runner
        self._secrets = secrets
        self._writes: dict[str, asyncio.Lock] = {}
        self._downloads: dict[str, asyncio.Semaphore] = {}
        self._turns = itertools.count(1)

    def _lane(self, system: str) -> asyncio.Lock:
        return self._writes.setdefault(system, asyncio.Lock())

    def check_room(self, key: Key, download: bool = False) -> None:
        """Limit the operations that wait for a system; users with none waiting may exceed the limit, up to its double.

        :raises Problem: ``too_busy``.
        """
        system, username, _ = key
        waiting = [
            each.key.username
            for each in self._operations.of_system(system)
            if each.waits and (each.request.action == "download") == download
        ]
        most = self._limits.waiting_downloads_per_system if download else self._limits.waiting_writes_per_system
        # If the lane is idle, the first operation in its queue is about to run, and doesn't count.
        idle = not download and not self._lane(system).locked()
        # A user without waiting operations may exceed the limit, so that one user can't fill the queue for all others.
        if len(waiting) >= most + idle and (username in waiting or len(waiting) >= 2 * most):
            raise Problem(
                "too_busy", f"{len(waiting)} operations wait for system {system} already", system=system, retry_after=5
            )

    def waiting_for(self, operation: Operation) -> dict[str, Any] | None:
        """Describe what a queued operation waits for (see ``WaitingDocument``); ``None`` if it waits for nothing."""
        if not operation.waits:
            return None
        (system, username, _), writes = operation.key, operation.request.writes
        ahead = [
            each
            for each in self._operations.of_system(system)
            if each.request.writes == writes and each.state in ("queued", "running") and 0 < each.turn < operation.turn
        ]
        if not ahead or (not writes and len(ahead) < self._limits.parallel_downloads_per_system):
            return None
        first = min(ahead, key=lambda each: each.turn)
        is_own = first.key.username == username
        return {
            "action": first.request.action,
            "name": first.request.name,
            "user": first.key.username,
            "since": first.started,
            "operation": first.key.uuid if is_own else None,
            "ahead": len(ahead),
        }

    def enter(self, operation: Operation, password: str) -> None:
        """Queue an operation.

        :param password: its owner's; kept in memory until the operation has ended.
        """
        operation.password = password
        operation.turn = next(self._turns)
        self._secrets.add(password)
        operation.task = asyncio.create_task(self._run(operation))
        operation.task.add_done_callback(lambda _: self._forget_password(operation))

    def _forget_password(self, operation: Operation) -> None:
        if operation.password is not None:
            self._secrets.discard(operation.password)
            operation.password = None

    async def _run(self, operation: Operation) -> None:
        """Wait for the operation's turn, run it, and store its outcome."""
        system = operation.key.system
        if operation.request.writes:
            place: contextlib.AbstractAsyncContextManager[Any] = self._lane(system)
        else:
            place = self._downloads.setdefault(system, asyncio.Semaphore(self._limits.parallel_downloads_per_system))
        async with place:
            if operation.state != "queued" or self._operations.closing:
                return
            if operation.is_abandoned(self._limits.owner_seconds):
                await self._endings.abandon(operation)
                return
            # From here on a plain DELETE is a conflict. Store the state before any client can see it.
            operation.claimed = True
            running = replace(operation.row, state="running")
            try:
                await self._store.save(running)
            except sqlite3.Error as error:
                logger.error("operation %s can't be stored: %s", operation.key.uuid, error)
                problem = Problem("internal_error", "the gateway can't store the operation")
                await self._endings.end(operation, Outcome("failed", problem=problem))
                return
            operation.row, operation.started = running, now_text()
            operation.wake()
            await self._endings.end(operation, await self._runner.run(operation))
        if not operation.content_wanted or (operation.request.action == "upload" and operation.state in FINAL):
            await self._endings.drop_content(operation)
