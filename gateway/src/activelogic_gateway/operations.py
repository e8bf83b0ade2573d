# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations, each with one owner, one outcome and a lifetime.

::

                     content sent,       its turn
    awaiting_content ──────────► queued ──────────► running
           │       and committed    │                  │
           └───────────┬────────────┘                  ├──► succeeded
                       ▼                               ├──► failed
                    failed                             └──► unknown

================  ================  =============================================================================
from              to                when
================  ================  =============================================================================
(nothing)         awaiting_content  an upload is requested
(nothing)         queued            anything else is requested
awaiting_content  queued            its owner commits the content that was sent
queued            running           its turn has come, see :mod:`lanes`
awaiting_content  failed            deleted, abandoned by its owner, or the gateway was restarted
queued            failed            the same, or the state "running" can't be stored
running           succeeded         the command has succeeded
running           failed            known not to have happened; a download, if the gateway was restarted
running           unknown           it may have happened (:func:`commands.outcome_of`), or the gateway was restarted
================  ================  =============================================================================

All code that handles operations runs on the gateway's event loop, so the state in memory needs no locks between two
awaits; the store writes every state to disk before a client or a system can act on it.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from .audit_lines import write_end
from .commands import Outcome, Progress
from .documents import Request
from .logs import AuditLog, now_text
from .problems import Problem
from .spool import Content, Spool
from .store import Key, Row, Store

logger = logging.getLogger(__name__)


@dataclass
class Operation:
    """An operation in memory: its stored row, and what is not stored."""

    row: Row
    spool_key: str
    address: str = ""
    login_digest: bytes | None = None
    """Digest of the login that was verified as its owner's."""
    verified: float = 0.0
    password: str | None = None
    pollers: int = 0
    seen: float = field(default_factory=time.monotonic)
    received: float = field(default_factory=time.monotonic)
    """When content was last received (monotonic seconds); at first, when the operation was requested."""
    turn: int = 0
    """Its position in the order in which operations were queued; 0 before."""
    started: str | None = None
    forced: bool = False
    """Its owner forced its end while it was running."""
    is_ending: bool = False
    """Its outcome is known, and being stored."""
    warned: bool = False
    claimed: bool = False
    """Its turn has come. Clients see it as running only once that is stored, so that a restart can't contradict it."""
    progress: Progress = field(default_factory=Progress)
    content: Content | None = None
    content_wanted: bool = True
    receiving: object | None = None
    receptions: int = 0
    commit_sha256: str | None = None
    task: asyncio.Task[None] | None = None
    ended: float | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> Key:
        """System, owner and UUID."""
        return self.row.key

    @property
    def state(self) -> str:
        """The state, as in the operation's document."""
        return self.row.state

    @property
    def waits(self) -> bool:
        """Whether it is queued, and its turn has not come."""
        return self.state == "queued" and not self.claimed

    @property
    def request(self) -> Request:
        """The request that it was registered with."""
        return self.row.request

    def touch(self) -> None:
        """Record that the owner has just polled or used it, so that it is not abandoned."""
        self.seen = time.monotonic()

    def trust(self, digest: bytes) -> None:
        """Record that the login with this digest was just verified as its owner's."""
        self.login_digest, self.verified = digest, time.monotonic()

    def trusts(self, digest: bytes, seconds: float) -> bool:
        """Whether this login needs no verification: while the operation waits or runs, and ``seconds`` after that."""
        if self.login_digest is None or not hmac.compare_digest(self.login_digest, digest):
            return False
        since = max(self.verified, self.ended or 0.0)
        return self.state in ("queued", "running") or time.monotonic() - since <= seconds

    def is_abandoned(self, owner_seconds: float) -> bool:
        """Whether its owner has not polled or used it for so long."""
        return self.pollers == 0 and time.monotonic() - self.seen > owner_seconds

    def problem(self, kind: str, said: str) -> Problem:
        """Make a problem that names this operation and its system."""
        return Problem(kind, said, system=self.key.system, operation=self.key.uuid)

    def wake(self) -> None:
        """Wake everything that waits for a change of this operation."""
        self.changed.set()
        self.changed = asyncio.Event()


class Operations:
    """The operations in memory, by key; older ones are only in the store."""

    def __init__(self, store: Store, spool: Spool) -> None:
        self.closing = False
        """Whether the gateway is shutting down: no operation begins any more."""
        self._store = store
        self._spool = spool
        self._known: dict[Key, Operation] = {}
        self._registering: dict[Key, tuple[asyncio.Lock, int]] = {}

    def __iter__(self) -> Iterator[Operation]:
        return iter(list(self._known.values()))

    def get(self, key: Key) -> Operation | None:
        """Return the operation with this key if it is in memory."""
        return self._known.get(key)

    def add(self, operation: Operation) -> None:
        """Add an operation."""
        self._known[operation.key] = operation

    def discard(self, key: Key) -> None:
        """Remove an operation from memory."""
        self._known.pop(key, None)

    def of_system(self, system: str) -> list[Operation]:
        """Return the operations of one system."""
        return [each for each in self._known.values() if each.key.system == system]

    def begin_shutdown(self) -> None:
        """Let no operation begin, and end all long polls."""
        self.closing = True
        for operation in self:
            operation.wake()

    def forget_logins(self, system: str, username: str, which: Callable[[bytes], bool]) -> None:
        """Require a new login for the operations of a user whose login digest satisfies ``which``."""
        for operation in self._known.values():
            known = operation.login_digest
            if operation.key.owner == (system, username) and known is not None and which(known):
                operation.login_digest = None

    @asynccontextmanager
    async def registration(self, key: Key) -> AsyncIterator[None]:
        """Lock the key, so that a request that is sent twice at the same time is registered once."""
        lock, users = self._registering.get(key, (asyncio.Lock(), 0))
        self._registering[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._registering.pop(key)
            if users > 1:
                self._registering[key] = (lock, users - 1)

    async def load(self, key: Key) -> Operation | None:
        """Return the operation with this key from memory or the store; ``None`` if there is none."""
        operation = self._known.get(key)
        if operation is not None:
            return operation
        row = await self._store.find(key)
        if row is None:
            return None
        # Keep it in memory, so that its owner's next polls need no login for a while.
        operation = Operation(row, self._spool.new_key(key.owner), ended=time.monotonic())
        return self._known.setdefault(key, operation)


class Endings:
    """Ends operations: stores the outcome, wakes the clients that wait for it, and writes it to the audit log."""

    def __init__(self, store: Store, spool: Spool, audit: AuditLog) -> None:
        self._store = store
        self._spool = spool
        self._audit = audit

    def end_interrupted(self) -> None:
        """End what an earlier process left unfinished: running writes as unknown, all others as failed. Blocks."""
        for row in self._store.end_unfinished(_end_after_restart):
            write_end(self._audit, row)

    async def end(self, operation: Operation, outcome: Outcome) -> None:
        """End an operation with an outcome."""
        await self._store_end(operation, _finished(operation, outcome))

    async def fail_unstarted(self, operation: Operation, kind: str, what: str) -> None:
        """End an operation that has not started, as failed."""
        problem = operation.problem(kind, f"operation {operation.key.uuid} was {what}")
        # Change it in memory first: its task in the queue checks the state. After a restart it would be failed too.
        operation.row = _finished(operation, Outcome("failed", problem=problem))
        if operation.task is not None:
            operation.task.cancel()
        await self._store_end(operation, operation.row)

    async def abandon(self, operation: Operation) -> None:
        """End an operation that has not started, and that its owner abandoned; delete its content."""
        await self.fail_unstarted(operation, "abandoned", "abandoned by its owner before it began")
        await self.drop_content(operation)

    async def drop_content(self, operation: Operation) -> None:
        """Delete the content of an operation."""
        operation.content = None
        operation.receiving = None
        await self._spool.drop(operation.spool_key)

    async def _store_end(self, operation: Operation, finished: Row) -> None:
        operation.is_ending = True
        try:
            await self._store.save(finished)
        except Exception as error:  # such as a full disk: clients still get the outcome from memory
            logger.error("operation %s: its end can't be stored: %s", finished.key.uuid, error)
        operation.row = finished
        operation.ended = time.monotonic()
        operation.wake()
        write_end(self._audit, finished)


def _finished(operation: Operation, outcome: Outcome) -> Row:
    row, problem = operation.row, outcome.problem
    if problem is not None:
        problem.system, problem.operation = row.key.system, row.key.uuid
    document = problem.document() if problem is not None else None
    return Row(row.key, row.request, outcome.state, row.created, outcome.result, document, outcome.cause, now_text())


def _end_after_restart(row: Row) -> None:
    """End an operation of an earlier process: ``unknown`` if a write may have run, otherwise ``failed``."""
    row.finished = now_text()
    if row.state == "running" and row.request.writes:
        row.state, row.cause = "unknown", "gateway_restarted"
        return
    row.state = "failed"
    row.problem = Problem(
        "gateway_restarted",
        "the gateway was restarted before the operation ended",
        system=row.key.system,
        operation=row.key.uuid,
    ).document()
