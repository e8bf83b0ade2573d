# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway behind the HTTP routes: it registers, finds, starts, waits for and deletes operations."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Any

from .auth import Caller, Login
from .cleaning import Janitor, takes_long
from .config import Config
from .documents import FINAL, Request
from .lanes import Lanes
from .logins import Logins
from .logs import AuditLog, Secrets, now_text
from .operation_content import OperationContents
from .operations import Endings, Operation, Operations
from .problems import Problem
from .runner import Runner
from .sessions import CallerSessions, StuckSystems
from .spool import Spool
from .store import Key, Row, Store
from .vendor_session import Sessions
from .wire import Listing

FORCE_SECONDS = 10.0
"""Maximum number of seconds that a forced DELETE waits for the operation to end."""

MOST_LISTED = 1000
"""Maximum number of operations in a listing."""


class Gateway:
    """Wires the parts together; one per process.

    :ivar callers: sessions and logins of callers.
    :ivar contents: content of uploads and downloads.
    """

    def __init__(
        self,
        config: Config,
        sessions: Sessions,
        store: Store,
        spool: Spool,
        logins: Logins,
        audit: AuditLog,
        secrets: Secrets,
    ) -> None:
        self.config = config
        self.limits = config.limits
        self.sessions = sessions
        self.logins = logins
        self.audit = audit
        self.secrets = secrets
        self.certificate_days_left: Callable[[], int | None] | None = None
        self._store = store
        self._spool = spool
        self._stuck = StuckSystems()
        self._operations = Operations(store, spool)
        self._endings = Endings(store, spool, audit)
        self.callers = CallerSessions(config, sessions, logins, self._operations, self._stuck)
        self.contents = OperationContents(spool)
        runner = Runner(self.limits, self.callers, self._stuck, spool)
        self._lanes = Lanes(self.limits, self._operations, self._endings, store, runner, secrets)
        self._janitor = Janitor(self.limits, self._operations, self._endings, logins, store)
        self._cleaning: asyncio.Task[None] | None = None

    # Lifetime

    def recover(self) -> None:
        """End the operations that an earlier process left unfinished; see :meth:`Endings.end_interrupted`. Blocks."""
        self._endings.end_interrupted()

    def start(self) -> None:
        """Start the background tasks."""
        self._cleaning = asyncio.create_task(self._janitor.run())

    def begin_shutdown(self) -> None:
        """Accept no new operations, and end all long polls."""
        self._operations.begin_shutdown()

    async def close(self) -> None:
        """Give running commands ``shutdown_seconds`` to finish; the next start ends those that remain."""
        self.begin_shutdown()
        if self._cleaning is not None:
            self._cleaning.cancel()
        tasks = {each.task for each in self._operations if each.task is not None and not each.task.done()}
        waiting = {each.task for each in self._operations if each.waits and each.task in tasks}
        for task in waiting:
            if task is not None:
                task.cancel()
        running = {task for task in tasks - waiting if task is not None}
        if running:
            _, late = await asyncio.wait(running, timeout=self.limits.shutdown_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=self.limits.shutdown_seconds)

    def stuck_systems(self) -> list[str]:
        """Return the names of systems that did not respond in time, or where a command takes very long."""
        slow = {
            each.key.system
            for each in self._operations
            if each.state == "running" and takes_long(each, self.limits.stuck_seconds)
        }
        return sorted(slow | self._stuck.names())

    # Operations

    async def find(self, caller: Caller, uuid: str) -> Operation:
        """Verify the login, then find the caller's operation.

        :raises Problem: ``unknown_operation``, also if another user owns it.
        """
        key = Key(caller.system, caller.login.username, uuid)
        operation = self._operations.get(key)
        await self.callers.verify(caller, operation)
        operation = await self._operations.load(key)
        if operation is None:
            raise Problem(
                "unknown_operation",
                f"user {key.username} has no operation {uuid} on system {key.system}",
                system=key.system,
                operation=uuid,
            )
        if operation.login_digest is None:
            operation.trust(self.logins.digest(key.system, caller.login))
        operation.touch()
        return operation

    async def verify(self, caller: Caller, uuid: str) -> None:
        """Verify the login of a request about this operation, before the rest of the request is read."""
        await self.callers.verify(caller, self._operations.get(Key(caller.system, caller.login.username, uuid)))

    async def put(self, caller: Caller, uuid: str, request: Request) -> Operation:
        """Register an operation, or find it if it is already registered.

        :raises Problem: ``conflict`` if another body is registered under this UUID; ``too_large``, ``spool_full``,
            ``backup_exists``, ... for an upload that can't be accepted; ``too_busy``; ``shutting_down``.
        """
        system, login = caller.system, caller.login
        key = Key(system, login.username, uuid)
        async with self._operations.registration(key):
            operation = self._operations.get(key)
            listing = Listing()
            needs_listing = request.action == "upload" and not request.replace
            if operation is None and needs_listing and await self._store.find(key) is None:
                listing = await self.callers.backups(caller)  # its session also verifies the login
            else:
                await self.callers.verify(caller, operation)
            operation = operation or await self._operations.load(key)
            if operation is not None:
                if operation.request != request:
                    raise operation.problem("conflict", f"operation {uuid} was requested with another body")
                if operation.login_digest is None:
                    operation.trust(self.logins.digest(system, login))
                operation.touch()
                return operation
            if request.action == "upload":
                self._check_upload(system, request, listing)
            return await self._register(key, caller, request)

    def _check_upload(self, system: str, request: Request, listing: Listing) -> None:
        size = request.size or 0
        if size > self.limits.upload_bytes:
            raise Problem(
                "too_large",
                f"{size} bytes are more than the {self.limits.upload_bytes} that may be uploaded",
                system=system,
            )
        if not request.replace and any(each.name == request.name for each in listing):
            raise Problem("backup_exists", f"system {system} has a backup {request.name!r} already", system=system)

    async def _register(self, key: Key, caller: Caller, request: Request) -> Operation:
        self._refuse_when_closing(key.system)
        if request.action != "upload":  # an upload joins the queue at its commit
            self._lanes.check_room(key, request.action == "download")
        state = "awaiting_content" if request.action == "upload" else "queued"
        spool_key = self._spool.new_key(key.owner)
        operation = Operation(Row(key, request, state, now_text()), spool_key, address=caller.address)
        operation.trust(self.logins.digest(key.system, caller.login))
        if request.action == "upload":
            self._check_unfinished_uploads(key)
            self._spool.check(spool_key, request.size or 0)
        # Add it first: while it is being stored, it already counts as waiting.
        self._operations.add(operation)
        try:
            await self._store.save(operation.row)
        except BaseException:
            self._operations.discard(key)
            raise
        if state == "queued":
            self._lanes.enter(operation, caller.login.password)
        return operation

    def _refuse_when_closing(self, system: str) -> None:
        if self._operations.closing:
            raise Problem("shutting_down", "the gateway is being shut down", system=system, retry_after=5)

    def _check_unfinished_uploads(self, key: Key) -> None:
        """Limit the uploads of a user whose content is not complete; raises ``too_busy``."""
        most = self.limits.unfinished_uploads_per_user
        open_ones = sum(
            1
            for each in self._operations.of_system(key.system)
            if each.key.owner == key.owner and each.state == "awaiting_content" and each.commit_sha256 is None
        )
        if open_ones >= most:
            raise Problem(
                "too_busy",
                f"{open_ones} uploads of user {key.username} await their content",
                system=key.system,
                retry_after=5,
            )

    async def of_owner(self, caller: Caller) -> list[dict[str, Any]]:
        """Return the documents of the caller's operations, newest first."""
        await self.callers.verify(caller)
        rows = await self._store.of_owner(caller.system, caller.login.username, MOST_LISTED)
        known = {row.key: self._operations.get(row.key) for row in rows}
        return [self.document(found) if (found := known[row.key]) is not None else row.document() for row in rows]

    def document(self, operation: Operation) -> dict[str, Any]:
        """Return the operation's document, as its owner sees it."""
        return {**operation.row.document(), "waiting_for": self._lanes.waiting_for(operation)}

    async def wait(self, operation: Operation, seconds: float, gone: Callable[[], Awaitable[None]]) -> None:
        """Long poll: return when the operation is neither queued nor running, or after ``seconds``.

        :param gone: returns when the client has disconnected, which ends the poll.
        """
        deadline = time.monotonic() + seconds
        leaving = asyncio.ensure_future(gone())
        operation.pollers += 1
        try:
            while operation.state in ("queued", "running") and not self._operations.closing and not leaving.done():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                change = asyncio.ensure_future(operation.changed.wait())
                try:
                    await asyncio.wait({change, leaving}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    change.cancel()
        finally:
            operation.pollers -= 1
            operation.touch()
            leaving.cancel()

    async def commit(self, operation: Operation, login: Login, sha256: str) -> None:
        """Queue the upload if its content has this digest.

        :raises Problem: ``digest_mismatch`` (the content is deleted), ``conflict``, ``too_busy``, ``shutting_down``.
        """
        if operation.commit_sha256 is not None and operation.commit_sha256 == sha256:
            return  # a repeated request
        self.contents.check_committed(operation, sha256)
        self._refuse_when_closing(operation.key.system)
        self._lanes.check_room(operation.key)
        operation.commit_sha256 = sha256
        row = operation.row
        row.state = "queued"
        try:
            await self._store.save(row)
        except sqlite3.Error:
            operation.commit_sha256, row.state = None, "awaiting_content"
            raise
        operation.wake()
        self._lanes.enter(operation, login.password)

    async def delete(self, operation: Operation, force: bool = False) -> None:
        """Cancel an operation that has not started, and delete its content.

        :param force: also end a running one: its session is closed; if a write was sent, its outcome is unknown.
        :raises Problem: ``conflict`` if it runs. The content of a running download is deleted when it ends.
        """
        if operation.claimed and operation.state not in FINAL:
            operation.content_wanted = False
            if not force or not await _end_running(operation):
                raise operation.problem("conflict", f"operation {operation.key.uuid} runs already")
        if operation.state not in FINAL:
            await self._endings.fail_unstarted(operation, "cancelled", "deleted before it began")
        await self._endings.drop_content(operation)


async def _end_running(operation: Operation) -> bool:
    """Cancel a running operation; returns whether it ended in time."""
    deadline = time.monotonic() + FORCE_SECONDS
    while operation.state not in FINAL and (left := deadline - time.monotonic()) > 0:
        # Don't interrupt it before it is stored as running, or while its end is being stored.
        if operation.state == "running" and not operation.is_ending and not operation.forced and operation.task:
            operation.forced = True
            operation.task.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(operation.changed.wait(), left)
    return operation.state in FINAL
