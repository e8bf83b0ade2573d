# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operation: one owner, one outcome and a lifetime.

::

                     content put,        its turn
    awaiting_content ──────────► queued ──────────► running
           │         committed      │                  │
           └───────────┬────────────┘                  ├──► succeeded
                       ▼                               ├──► failed
                    failed                             └──► unknown

================  ================  =============================================================================
from              to                when
================  ================  =============================================================================
(nothing)         awaiting_content  an upload is asked for
(nothing)         queued            anything else is asked for
awaiting_content  queued            its owner commits the content that was put
queued            running           its turn has come, see :mod:`lanes`
awaiting_content  failed            deleted, not asked for any more, or the gateway was restarted
queued            failed            the same, and where it can't be stored that it runs
running           succeeded         the command has ended, and did what was asked for
running           failed            known not to have happened; a download, when the gateway was restarted
running           unknown           it may have happened (:func:`commands.outcome_of`); the gateway was restarted
================  ================  =============================================================================

Everything that deals with operations runs on the gateway's loop, so the state in memory needs no locks between two
awaits; the store has every state on disk before a client or a system can act on it.
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
    """One operation that this process knows: its stored row, and what lives in memory only."""

    row: Row
    spool_key: str
    address: str = ""
    login_digest: bytes | None = None
    """Of the login that was seen to be its owner's."""
    verified: float = 0.0
    password: str | None = None
    pollers: int = 0
    seen: float = field(default_factory=time.monotonic)
    received: float = field(default_factory=time.monotonic)
    """When the last bytes of its content came; before the first ones, when it was asked for."""
    turn: int = 0
    """Its number in the order in which operations were queued."""
    started: str | None = None
    forced: bool = False
    """Its owner ends it although it runs."""
    is_ending: bool = False
    """Its outcome is known, and is about to be stored."""
    warned: bool = False
    claimed: bool = False
    """Its turn has come. Nobody sees that it runs before the store has it, or a restart could tell another story."""
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
        """Whose it is, and its UUID."""
        return self.row.key

    @property
    def state(self) -> str:
        """The state, as in the document."""
        return self.row.state

    @property
    def waits(self) -> bool:
        """Whether it is in the queue, and nothing has been done for it."""
        return self.state == "queued" and not self.claimed

    @property
    def request(self) -> Request:
        """What was asked for."""
        return self.row.request

    def touch(self) -> None:
        """The owner has just shown that they still care."""
        self.seen = time.monotonic()

    def trust(self, digest: bytes) -> None:
        """The login with this digest was just seen to be its owner's."""
        self.login_digest, self.verified = digest, time.monotonic()

    def trusts(self, digest: bytes, seconds: float) -> bool:
        """Whether that login needs no asking: while the operation waits or runs, and for ``seconds`` after that."""
        if self.login_digest is None or not hmac.compare_digest(self.login_digest, digest):
            return False
        since = max(self.verified, self.ended or 0.0)
        return self.state in ("queued", "running") or time.monotonic() - since <= seconds

    def is_abandoned(self, owner_seconds: float) -> bool:
        """Whether its owner has not asked for it for so long."""
        return self.pollers == 0 and time.monotonic() - self.seen > owner_seconds

    def problem(self, kind: str, said: str) -> Problem:
        """A problem with this operation."""
        return Problem(kind, said, system=self.key.system, operation=self.key.uuid)

    def wake(self) -> None:
        """Let everybody who waits for a change look again."""
        self.changed.set()
        self.changed = asyncio.Event()


class Operations:
    """The operations that this process knows, each under its key; the others are in the store."""

    def __init__(self, store: Store, spool: Spool) -> None:
        self.closing = False
        """The gateway is being shut down: nothing new begins."""
        self._store = store
        self._spool = spool
        self._known: dict[Key, Operation] = {}
        self._registering: dict[Key, tuple[asyncio.Lock, int]] = {}

    def __iter__(self) -> Iterator[Operation]:
        return iter(list(self._known.values()))

    def get(self, key: Key) -> Operation | None:
        """The one of this key, if it is known."""
        return self._known.get(key)

    def add(self, operation: Operation) -> None:
        """Know one more."""
        self._known[operation.key] = operation

    def discard(self, key: Key) -> None:
        """Know it no more."""
        self._known.pop(key, None)

    def of_system(self, system: str) -> list[Operation]:
        """Those of one system."""
        return [each for each in self._known.values() if each.key.system == system]

    def begin_shutdown(self) -> None:
        """Begin nothing new, and end all long polls."""
        self.closing = True
        for operation in self:
            operation.wake()

    def forget_logins(self, system: str, username: str, which: Callable[[bytes], bool]) -> None:
        """Have the operations of a user need a login again, where it was a login of such a digest that opened them."""
        for operation in self._known.values():
            known = operation.login_digest
            if operation.key.owner == (system, username) and known is not None and which(known):
                operation.login_digest = None

    @asynccontextmanager
    async def registration(self, key: Key) -> AsyncIterator[None]:
        """One at a time for each key, so that a request that is sent twice at once runs once."""
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
        """The one of this key, known or stored; ``None`` where there is none."""
        operation = self._known.get(key)
        if operation is not None:
            return operation
        row = await self._store.find(key)
        if row is None:
            return None
        # It is kept in memory, so that its owner's next polls need no login for a while.
        operation = Operation(row, self._spool.new_key(key.owner), ended=time.monotonic())
        return self._known.setdefault(key, operation)


class Endings:
    """How operations end: the outcome is stored, told to those who wait for it, and written to the audit log."""

    def __init__(self, store: Store, spool: Spool, audit: AuditLog) -> None:
        self._store = store
        self._spool = spool
        self._audit = audit

    def close_books(self) -> None:
        """Close the books of an earlier process: what ran is unknown, what waited did not happen. Blocks."""
        for row in self._store.close_books(_end_after_restart):
            write_end(self._audit, row)

    async def end(self, operation: Operation, outcome: Outcome) -> None:
        """Give an operation its outcome."""
        await self._store_end(operation, _finished(operation, outcome))

    async def fail_unstarted(self, operation: Operation, kind: str, what: str) -> None:
        """End an operation for which nothing has been done."""
        problem = operation.problem(kind, f"operation {operation.key.uuid} was {what}")
        # In memory first: who waits for the lane looks at it before it starts; a restart would say failed too.
        operation.row = _finished(operation, Outcome("failed", problem=problem))
        if operation.task is not None:
            operation.task.cancel()
        await self._store_end(operation, operation.row)

    async def abandon(self, operation: Operation) -> None:
        """End an operation for which nothing has been done, and whose owner does not ask for it any more."""
        await self.fail_unstarted(operation, "abandoned", "not asked for any more before it began")
        await self.drop_content(operation)

    async def drop_content(self, operation: Operation) -> None:
        """Remove the bytes of an operation."""
        operation.content = None
        operation.receiving = None
        await self._spool.drop(operation.spool_key)

    async def _store_end(self, operation: Operation, finished: Row) -> None:
        operation.is_ending = True
        try:
            await self._store.save(finished)
        except Exception as error:  # such as a full disk: what is known is still told to whoever asks now
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
    """Finish what an earlier process left: ``unknown`` where a command may have run, else ``failed``."""
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
