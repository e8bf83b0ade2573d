# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The core: reads, and operations with one owner, one outcome and a lifetime.

::

    queued ──────────────► running ──► succeeded | failed | unknown
    awaiting_content ─► queued     (upload: content put, then committed)
    queued, awaiting_content ──► failed   (deleted, abandoned, gateway restarted)

``failed`` means known not to have happened; ``unknown`` means that it may have. What decides between the two is
whether the command that changes something had been sent, and whether the system answered it.

Everything here runs on the gateway's loop, so the state in memory needs no locks between two awaits; the store has
every state on disk before a client or a system can act on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import itertools
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from .auth import Caller, Login
from .config import Config
from .documents import FINAL, Request
from .fetch import fetch
from .logins import Logins, place_of
from .logs import AuditLog, Secrets, now_text
from .problems import ANSWERED, Problem, class_names, from_sdk, is_named, kind_of, not_logged_in
from .spool import Content, Receiver, Spool, put_on_disk_and_hash
from .store import Key, Row, Store
from .turns import Turns
from .vendor_session import BackupEntry, CommandFailed, ConnectFailed, Identity, Session, Sessions, TimeLimit

logger = logging.getLogger(__name__)

STEADY = 5
STEADY_PAUSE = 1.0
"""What was uploaded counts as stored with another size when that is not 0 and stays for five looks, a second apart."""

JANITOR_SECONDS = 5.0
TURN_SECONDS = 5.0
"""How long a login waits at most for others of its system or client address."""

FORCE_SECONDS = 10.0
"""How long an owner waits at most for the end of what they end by force."""

MOST_LISTED = 1000
"""Operations in one listing."""


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
    sent: bool = False
    done: bool = False
    content: Content | None = None
    content_wanted: bool = True
    receiving: object | None = None
    receptions: int = 0
    commit_sha256: str | None = None
    task: asyncio.Task[None] | None = None
    ended: float | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

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

    def wake(self) -> None:
        """Let everybody who waits for a change look again."""
        self.changed.set()
        self.changed = asyncio.Event()


class Gateway:
    """All that the routes need. One per process."""

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
        self.store = store
        self.spool = spool
        self.logins = logins
        self.audit = audit
        self.secrets = secrets
        self.closing = False
        self.certificate_days_left: Callable[[], int | None] | None = None
        self._operations: dict[Key, Operation] = {}
        self._registering: dict[Key, tuple[asyncio.Lock, int]] = {}
        self._lanes: dict[str, asyncio.Lock] = {}
        self._downloads: dict[str, asyncio.Semaphore] = {}
        self._janitor: asyncio.Task[None] | None = None
        self._turns = itertools.count(1)
        self._stuck: dict[str, str] = {}
        self._logging_in = Turns()

    # Lifetime

    def recover(self) -> None:
        """Close the books of an earlier process: what ran is unknown, what waited did not happen. Blocks."""
        for row in self.store.close_books(_end_after_restart):
            self._audit_end(row)

    def start(self) -> None:
        """Begin the work that goes on in the background."""
        self._janitor = asyncio.create_task(self._clean())

    def begin_shutdown(self) -> None:
        """Take nothing new, and end all long polls."""
        self.closing = True
        for operation in self._operations.values():
            operation.wake()

    async def close(self) -> None:
        """Give running commands ``shutdown_seconds`` to end, then leave them to the next start's books."""
        self.begin_shutdown()
        if self._janitor is not None:
            self._janitor.cancel()
        tasks = {each.task for each in self._operations.values() if each.task is not None and not each.task.done()}
        waiting = {each.task for each in self._operations.values() if each.waits and each.task in tasks}
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

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(min(JANITOR_SECONDS, self.limits.owner_seconds / 4))
            for key, operation in list(self._operations.items()):
                try:  # one that can't be cleaned must not keep the others from it
                    await self._clean_one(key, operation)
                except Exception:
                    logger.exception("operation %s can't be cleaned up", key[2])
            self.logins.clean()
            try:
                await self.store.forget(timedelta(days=self.limits.keep_operations_days))
            except Exception:
                logger.exception("finished operations can't be forgotten")

    async def _clean_one(self, key: Key, operation: Operation) -> None:
        now = time.monotonic()
        if operation.state == "running" and not operation.warned and self._takes_long(operation):
            operation.warned = True
            logger.warning("%s", self._about(operation))
        if operation.waits and self._is_abandoned(operation):
            await self._abandon(operation)
        elif operation.state == "awaiting_content" and operation.receiving is None:
            # Polls alone keep no place: without a byte its life is short.
            limit = self.limits.content_seconds if operation.receptions else self.limits.first_byte_seconds
            if now - operation.received > limit:
                await self._abandon(operation)
        elif operation.ended is not None and now - operation.ended > self.limits.content_seconds:
            await self._drop(operation)
            self._operations.pop(key, None)

    # Systems that are stuck

    def _takes_long(self, operation: Operation) -> bool:
        if operation.started is None:
            return False
        age = datetime.now(UTC) - datetime.fromisoformat(operation.started)
        return age.total_seconds() > self.limits.stuck_seconds

    def _about(self, operation: Operation) -> str:
        """A line for the log about a command that takes long."""
        system, username, uuid = operation.row.key
        behind = sum(1 for each in self._operations.values() if each.waits and each.row.key[0] == system)
        what = f"{operation.request.action} {operation.request.name!r} of user {username!r} (operation {uuid})"
        since = f"has been running since {operation.started}, and {behind} operations wait"
        return f"system {system}: {what} {since}; its owner can end it: DELETE of the operation with force=true"

    def stuck_systems(self) -> list[str]:
        """Names of systems whose last answer did not come in time, or where a command takes very long."""
        slow = {
            each.row.key[0] for each in self._operations.values() if each.state == "running" and self._takes_long(each)
        }
        return sorted(slow | set(self._stuck))

    def _note_stuck(self, system: str, failure: TimeLimit) -> None:
        if system not in self._stuck:
            logger.warning("system %s is stuck: %s", system, failure)
        self._stuck[system] = failure.doing

    def _note_answer(self, system: str, doing: str | None = None) -> None:
        """:param doing: what the system has done in time; ``None`` for a command after which nothing is stuck."""
        if system in self._stuck and doing in (None, self._stuck[system]):
            del self._stuck[system]
            logger.warning("system %s answers again", system)

    # Logins and sessions

    @asynccontextmanager
    async def session(self, caller: Caller) -> AsyncIterator[tuple[Session, Identity, float]]:
        """A session for a read, whose login is the proof of who asks.

        Yields the session, what it tells of the system, and the monotonic deadline of the read. Exceptions of the SDK
        leave as problems.
        """
        deadline = time.monotonic() + self.limits.read_seconds
        system, login = caller.system, caller.login
        host = self.config.systems[system].host
        is_known = self.logins.is_known(login)
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with (
                    self.logins.attempt(system, login, caller.address, self.limits.read_seconds),
                    self._share_of_logins(caller),
                ):
                    try:
                        session, identity = await stack.enter_async_context(
                            self.sessions.open(host, login.username, login.password, deadline - time.monotonic())
                        )
                    except ConnectFailed as failure:
                        self._note_refusal(failure, system, login, caller.address)
                        raise
                    self._note_login(system, login, caller.address)
                    self._note_answer(system, "log in")
                yield session, identity, deadline
        except ConnectFailed as failure:
            if kind_of(failure.error, connecting=True) == "authentication_failed":
                name = class_names(failure.error)[0] if is_known else None
                raise not_logged_in(caller.word, is_known, name) from failure
            raise self._problem(failure, caller.shown, (login.password,)) from failure
        except (CommandFailed, TimeLimit) as failure:
            if isinstance(failure, TimeLimit):
                self._note_stuck(system, failure)
            raise self._problem(failure, caller.shown, (login.password,)) from failure

    @asynccontextmanager
    async def _share_of_logins(self, caller: Caller) -> AsyncIterator[None]:
        """Nobody who has not logged in yet, and no system that does not answer, takes the sessions of all others.

        :raises Problem: ``too_busy``.
        """
        place = place_of(caller.address)
        shares: dict[Hashable, int] = {
            ("system", caller.system): self.limits.logins_per_system,
            ("address", place): self.limits.logins_per_address,
        }
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._logging_in.turn(shares, TURN_SECONDS))
            except TimeoutError:
                said = f"too many logins at system {caller.shown}, or from client address {place},"
                raise Problem("too_busy", f"{said} are being tried already", retry_after=5) from None
            yield

    def _note_login(self, system: str, login: Login, address: str) -> None:
        """The system accepted a login; what another password of this user had opened needs a login again."""
        login.accepted = True
        self.logins.succeeded(system, login, address)
        digest = self.logins.digest(system, login)
        self._forget_digests(system, login.username, lambda known: known != digest)

    def _note_refusal(
        self, failure: ConnectFailed, system: str, login: Login, address: str, of: Operation | None = None
    ) -> None:
        """A login may have been refused; what it had opened needs a login again.

        :param of: the operation that was refused it, whose end is still told to who asked for it.
        """
        if kind_of(failure.error, connecting=True) == "authentication_failed":
            self.logins.refused(system, login, address)
            digest = self.logins.digest(system, login)
            self._forget_digests(system, login.username, lambda known: known == digest)
            if of is not None:
                of.login_digest = digest

    def _forget_digests(self, system: str, username: str, which: Callable[[bytes], bool]) -> None:
        for (of_system, of_user, _), operation in self._operations.items():
            known = operation.login_digest
            if (of_system, of_user) == (system, username) and known is not None and which(known):
                operation.login_digest = None

    async def refuse_unknown(self, word: str, login: Login, address: str) -> NoReturn:
        """Refuse a request for a system that is not in the configuration.

        Who has not shown a login that works is told no more than of a system that refused the login, and no sooner
        runs out of the limits.

        :raises Problem: always: ``unknown_system``, ``authentication_failed`` or ``too_many_failed_logins``.
        """
        if self.logins.is_known(login):
            raise Problem("unknown_system", f"the gateway has no system {word!r}")
        async with self.logins.attempt(word, login, address):
            self.logins.refused(word, login, address)
        raise not_logged_in(word, is_known=False)

    def _problem(
        self, failure: ConnectFailed | CommandFailed | TimeLimit, system: str, secrets: tuple[str, ...]
    ) -> Problem:
        if isinstance(failure, TimeLimit):
            return Problem("time_limit", f"system {system}: {failure}", system=system)
        connecting = isinstance(failure, ConnectFailed)
        doing = "log in" if isinstance(failure, ConnectFailed) else failure.doing
        return from_sdk(failure.error, connecting=connecting, doing=doing, system=system, secrets=secrets)

    async def verify(self, caller: Caller, operation: Operation | None = None) -> None:
        """Make sure that the login is right: by the operation's own, a recent one, or the system."""
        digest = self.logins.digest(caller.system, caller.login)
        if caller.login.accepted:  # by this very request
            if operation is not None:
                operation.trust(digest)
            return
        if operation is not None and operation.trusts(digest, self.limits.remember_login_seconds):
            caller.login.accepted = True
            return
        if not self.logins.worked_lately(caller.system, caller.login):
            async with self.session(caller):
                pass
        caller.login.accepted = True
        if operation is not None:
            operation.trust(digest)

    # Reads

    async def identity(self, caller: Caller) -> Identity:
        """What the system tells of itself."""
        async with self.session(caller) as (_, identity, _):
            return identity

    async def backups(self, caller: Caller) -> list[BackupEntry]:
        """The system's listing."""
        async with self.session(caller) as (session, _, deadline):
            entries = await session.list(deadline - time.monotonic())
        self._note_answer(caller.system)
        return entries

    # Operations: asking for one and about it

    @asynccontextmanager
    async def _registration(self, key: Key) -> AsyncIterator[None]:
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

    async def _load(self, key: Key) -> Operation | None:
        operation = self._operations.get(key)
        if operation is not None:
            return operation
        row = await self.store.find(key)
        if row is None:
            return None
        # It is kept in memory, so that its owner's next polls need no login for a while.
        operation = Operation(row, self.spool.new_key((key[0], key[1])), ended=time.monotonic())
        return self._operations.setdefault(key, operation)

    async def find(self, caller: Caller, uuid: str) -> Operation:
        """The operation of this owner, after their login was verified.

        :raises Problem: ``unknown_operation``, also when it is somebody else's.
        """
        system, username = caller.system, caller.login.username
        key = (system, username, uuid)
        operation = self._operations.get(key)
        await self.verify(caller, operation)
        operation = await self._load(key)
        if operation is None:
            raise Problem(
                "unknown_operation",
                f"user {username} has no operation {uuid} on system {system}",
                system=system,
                operation=uuid,
            )
        if operation.login_digest is None:
            operation.trust(self.logins.digest(system, caller.login))
        operation.touch()
        return operation

    async def let_in(self, caller: Caller, uuid: str) -> None:
        """Make sure that the login is right, before anything else is read of a request about this operation."""
        await self.verify(caller, self._operations.get((caller.system, caller.login.username, uuid)))

    async def put(self, caller: Caller, uuid: str, request: Request) -> Operation:
        """Register an operation, or find it registered already.

        :raises Problem: ``conflict`` if another body is registered under this UUID; what keeps an upload from being
            taken (``too_large``, ``spool_full``, ``backup_exists``, ...); ``too_busy``; ``shutting_down``.
        """
        system, login = caller.system, caller.login
        key = (system, login.username, uuid)
        async with self._registration(key):
            operation = self._operations.get(key)
            entries: list[BackupEntry] = []
            looks = request.action == "upload" and not request.replace
            if operation is None and looks and await self.store.find(key) is None:
                entries = await self.backups(caller)  # its session is the proof of who asks
            else:
                await self.verify(caller, operation)
            operation = operation or await self._load(key)
            if operation is not None:
                if operation.request != request:
                    raise Problem(
                        "conflict", f"operation {uuid} was asked for with another body", system=system, operation=uuid
                    )
                if operation.login_digest is None:
                    operation.trust(self.logins.digest(system, login))
                operation.touch()
                return operation
            if request.action == "upload":
                self._check_upload(system, request, entries)
            return await self._register(key, caller, request)

    def _check_upload(self, system: str, request: Request, entries: list[BackupEntry]) -> None:
        size = request.size or 0
        if size > self.limits.upload_bytes:
            raise Problem(
                "too_large",
                f"{size} bytes are more than the {self.limits.upload_bytes} that may be uploaded",
                system=system,
            )
        if not request.replace and any(each.name == request.name for each in entries):
            raise Problem("backup_exists", f"system {system} has a backup {request.name!r} already", system=system)

    async def _register(self, key: Key, caller: Caller, request: Request) -> Operation:
        system = key[0]
        if self.closing:
            raise Problem("shutting_down", "the gateway is being shut down", system=system, retry_after=5)
        self._check_room(system, key[1], request.action)
        state = "awaiting_content" if request.action == "upload" else "queued"
        spool_key = self.spool.new_key((key[0], key[1]))
        operation = Operation(Row(key, request, state, now_text()), spool_key, address=caller.address)
        operation.trust(self.logins.digest(system, caller.login))
        if request.action == "upload":
            self._check_unfinished_uploads(key)
            self.spool.check(spool_key, request.size or 0)
        # In memory first: between here and the end of the write it counts for the lane.
        self._operations[key] = operation
        try:
            await self.store.save(operation.row)
        except BaseException:
            self._operations.pop(key, None)
            raise
        if state == "queued":
            self._begin(operation, caller.login.password)
        return operation

    def _check_room(self, system: str, username: str, action: str) -> None:
        """At most so many may wait for a system, and of each user one at least."""
        if action == "upload":
            return  # it joins the lane with its commit
        download = action == "download"
        waiting = [
            each.row.key[1]
            for each in self._operations.values()
            if each.row.key[0] == system and each.waits and (each.request.action == "download") == download
        ]
        most = self.limits.waiting_downloads_per_system if download else self.limits.waiting_writes_per_system
        # The first in the queue of an idle lane is about to run and takes nobody's place.
        idle = not download and not self._lane(system).locked()
        # Who has none waiting gets in beyond that, so that nobody can fill the queue for others.
        if len(waiting) >= most + idle and (username in waiting or len(waiting) >= 2 * most):
            raise Problem(
                "too_busy", f"{len(waiting)} operations wait for system {system} already", system=system, retry_after=5
            )

    def _check_unfinished_uploads(self, key: Key) -> None:
        """A user may have so many uploads of which the content has not come whole."""
        most = self.limits.unfinished_uploads_per_user
        open_ones = sum(
            1
            for each in self._operations.values()
            if each.row.key[:2] == key[:2] and each.state == "awaiting_content" and each.commit_sha256 is None
        )
        if open_ones >= most:
            raise Problem(
                "too_busy", f"{open_ones} uploads of user {key[1]} await their content", system=key[0], retry_after=5
            )

    async def of_owner(self, caller: Caller) -> list[dict[str, Any]]:
        """The owner's operations, the newest first."""
        await self.verify(caller)
        rows = await self.store.of_owner(caller.system, caller.login.username, MOST_LISTED)
        known = {row.key: self._operations.get(row.key) for row in rows}
        return [self.document(found) if (found := known[row.key]) is not None else row.document() for row in rows]

    def document(self, operation: Operation) -> dict[str, Any]:
        """The operation as its owner sees it."""
        return {**operation.row.document(), "waiting_for": self._waiting_for(operation)}

    def _waiting_for(self, operation: Operation) -> dict[str, Any] | None:
        """What has to end before a queued operation begins; ``None`` where nothing has to."""
        if not operation.waits:
            return None
        (system, username, _), writes = operation.row.key, operation.request.writes
        ahead = [
            each
            for each in self._operations.values()
            if each.row.key[0] == system
            and each.request.writes == writes
            and each.state in ("queued", "running")
            and 0 < each.turn < operation.turn
        ]
        if not ahead or (not writes and len(ahead) < self.limits.parallel_downloads_per_system):
            return None
        first = min(ahead, key=lambda each: each.turn)
        is_own = first.row.key[1] == username
        return {
            "action": first.request.action,
            "name": first.request.name,
            "user": first.row.key[1],
            "since": first.started,
            "operation": first.row.key[2] if is_own else None,
            "ahead": len(ahead),
        }

    async def wait(self, operation: Operation, seconds: float, gone: Callable[[], Awaitable[None]]) -> None:
        """Long poll: return when the operation waits for nobody but its owner, or after ``seconds``.

        :param gone: ends when the client has gone; such a poll no longer counts.
        """
        deadline = time.monotonic() + seconds
        leaving = asyncio.ensure_future(gone())
        operation.pollers += 1
        try:
            while operation.state in ("queued", "running") and not self.closing and not leaving.done():
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

    async def delete(self, operation: Operation, force: bool = False) -> None:
        """End what has not started, and drop the bytes of what has ended.

        :param force: end also what runs: its session is given up, and the outcome of a write that was sent is unknown.
        :raises Problem: ``conflict`` if it runs. The bytes of a running download are dropped when it ends.
        """
        if operation.claimed and operation.state not in FINAL:
            operation.content_wanted = False
            system, _, uuid = operation.row.key
            if not force or not await self._end_running(operation):
                raise Problem("conflict", f"operation {uuid} runs already", system=system, operation=uuid)
        if operation.state not in FINAL:
            await self._fail_unstarted(operation, "cancelled", "deleted before it began")
        await self._drop(operation)

    async def _end_running(self, operation: Operation) -> bool:
        """Have a running operation end; whether it has."""
        deadline = time.monotonic() + FORCE_SECONDS
        while operation.state not in FINAL and (left := deadline - time.monotonic()) > 0:
            # Before it is stored as running, or while its end is being stored, it must not be interrupted.
            if operation.state == "running" and not operation.is_ending and not operation.forced and operation.task:
                operation.forced = True
                operation.task.cancel()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(operation.changed.wait(), left)
        return operation.state in FINAL

    # The content of uploads and downloads

    def content(self, operation: Operation) -> Content:
        """The bytes of a finished download.

        :raises Problem: ``no_content``, ``conflict`` (not finished or not succeeded) or ``content_gone``.
        """
        system, _, uuid = operation.row.key
        if operation.request.action != "download":
            raise Problem("no_content", f"operation {uuid} is no download", system=system, operation=uuid)
        if operation.state != "succeeded":
            raise Problem("conflict", f"operation {uuid} is {operation.state}", system=system, operation=uuid)
        if operation.content is None:
            raise Problem(
                "content_gone", f"the content of operation {uuid} is no longer kept", system=system, operation=uuid
            )
        return operation.content

    async def receive(self, operation: Operation, pieces: AsyncIterator[bytes]) -> Content:
        """Take the bytes of an upload into the spool; a later try takes over from one that still goes on."""
        system, _, uuid = operation.row.key
        if operation.state != "awaiting_content":
            raise Problem("conflict", f"operation {uuid} is {operation.state}", system=system, operation=uuid)
        spool_key = operation.spool_key
        self.spool.check(spool_key, operation.request.size or 0)
        token = operation.receiving = object()
        operation.receptions += 1
        part = f"{operation.receptions}.in"
        receiver = await asyncio.to_thread(Receiver, self.spool.path(spool_key, part))
        content: Content | None = None
        try:
            async for piece in pieces:
                self._still_receiving(operation, token)
                self.spool.grow(spool_key, part, len(piece))
                await receiver.write(piece)
                operation.received = time.monotonic()
            self._still_receiving(operation, token)
            content = await receiver.finish()
            self._still_receiving(operation, token)
            former, operation.content = operation.content, content
            if former is not None:
                self._drop_content(operation, former)
            return content
        finally:
            if operation.receiving is token:
                operation.receiving = None
            operation.touch()
            if operation.content is not content or content is None:
                await receiver.abort()
                self.spool.give_back(spool_key, part)

    def _drop_content(self, operation: Operation, content: Content) -> None:
        content.path.unlink(missing_ok=True)
        self.spool.give_back(operation.spool_key, content.path.name.partition(".")[2])

    @staticmethod
    def _still_receiving(operation: Operation, token: object) -> None:
        if operation.state != "awaiting_content" or operation.receiving is not token:
            system, _, uuid = operation.row.key
            raise Problem(
                "conflict", f"operation {uuid} took other content, or was ended", system=system, operation=uuid
            )

    async def commit(self, operation: Operation, login: Login, sha256: str) -> None:
        """Start the upload if the bytes are the right ones.

        :raises Problem: ``digest_mismatch`` (the bytes are dropped), ``conflict``, ``too_busy``.
        """
        system, _, uuid = operation.row.key
        if operation.commit_sha256 is not None and operation.commit_sha256 == sha256:
            return  # sent again
        content = operation.content
        if operation.state != "awaiting_content" or content is None or operation.receiving is not None:
            state = "has no content yet" if operation.state == "awaiting_content" else f"is {operation.state}"
            raise Problem("conflict", f"operation {uuid} {state}", system=system, operation=uuid)
        if content.sha256 != sha256:
            operation.content = None
            self._drop_content(operation, content)
            raise Problem(
                "digest_mismatch",
                f"the content has the SHA-256 {content.sha256}, not {sha256}; it was dropped",
                system=system,
                operation=uuid,
            )
        if self.closing:
            raise Problem("shutting_down", "the gateway is being shut down", system=system, retry_after=5)
        self._check_room(system, operation.row.key[1], "commit")
        operation.commit_sha256 = sha256
        row = operation.row
        row.state = "queued"
        try:
            await self.store.save(row)
        except sqlite3.Error:
            operation.commit_sha256, row.state = None, "awaiting_content"
            raise
        operation.wake()
        self._begin(operation, login.password)

    async def _drop(self, operation: Operation) -> None:
        operation.content = None
        operation.receiving = None
        await self.spool.drop(operation.spool_key)

    # Operations: their course

    def _lane(self, system: str) -> asyncio.Lock:
        return self._lanes.setdefault(system, asyncio.Lock())

    def _begin(self, operation: Operation, password: str) -> None:
        operation.password = password
        operation.turn = next(self._turns)
        self.secrets.add(password)
        operation.task = asyncio.create_task(self._run(operation))
        operation.task.add_done_callback(lambda _: self._forget_password(operation))

    def _forget_password(self, operation: Operation) -> None:
        if operation.password is not None:
            self.secrets.discard(operation.password)
            operation.password = None

    def _is_abandoned(self, operation: Operation) -> bool:
        return operation.pollers == 0 and time.monotonic() - operation.seen > self.limits.owner_seconds

    async def _abandon(self, operation: Operation) -> None:
        await self._fail_unstarted(operation, "abandoned", "not asked for any more before it began")
        await self._drop(operation)

    async def _fail_unstarted(self, operation: Operation, kind: str, what: str) -> None:
        system, _, uuid = operation.row.key
        problem = Problem(kind, f"operation {uuid} was {what}", system=system, operation=uuid)
        # In memory first: who waits for the lane looks at it before it starts; a restart would say failed too.
        operation.row = self._finished(operation, "failed", problem=problem)
        if operation.task is not None:
            operation.task.cancel()
        await self._close_books(operation, operation.row)

    def _finished(
        self,
        operation: Operation,
        state: str,
        *,
        result: dict[str, Any] | None = None,
        problem: Problem | None = None,
        cause: str | None = None,
    ) -> Row:
        row = operation.row
        if problem is not None:
            problem.system, problem.operation = row.key[0], row.key[2]
        document = problem.document() if problem is not None else None
        return Row(row.key, row.request, state, row.created, result, document, cause, now_text())

    async def _close_books(self, operation: Operation, finished: Row) -> None:
        operation.is_ending = True
        try:
            await self.store.save(finished)
        except Exception as error:  # such as a full disk: what is known is still told to whoever asks now
            logger.error("operation %s: its end can't be stored: %s", finished.key[2], error)
        operation.row = finished
        operation.ended = time.monotonic()
        operation.wake()
        self._audit_end(finished)

    async def _end(
        self,
        operation: Operation,
        state: str,
        *,
        result: dict[str, Any] | None = None,
        problem: Problem | None = None,
        cause: str | None = None,
    ) -> None:
        finished = self._finished(operation, state, result=result, problem=problem, cause=cause)
        await self._close_books(operation, finished)

    def _audit_end(self, row: Row) -> None:
        outcome: dict[str, Any] = {"state": row.state}
        if row.cause:
            outcome["cause"] = row.cause
        if row.problem:
            outcome["kind"], outcome["exception"] = row.problem["kind"], row.problem["exception"]
        self.audit.write(
            "operation",
            system=row.key[0],
            user=row.key[1],
            command=row.request.action,
            name=(row.result or {}).get("name") or row.request.name,
            operation=row.key[2],
            outcome=outcome,
            bytes=(row.result or {}).get("size"),
            milliseconds=row.milliseconds,
        )

    async def _run(self, operation: Operation) -> None:
        """From the queue to the outcome."""
        system = operation.row.key[0]
        if operation.request.writes:
            place: contextlib.AbstractAsyncContextManager[Any] = self._lane(system)
        else:
            place = self._downloads.setdefault(system, asyncio.Semaphore(self.limits.parallel_downloads_per_system))
        async with place:
            if operation.state != "queued" or self.closing:
                return
            if self._is_abandoned(operation):
                await self._abandon(operation)
                return
            # From here on DELETE is refused; the store knows it before anybody else can.
            operation.claimed = True
            running = replace(operation.row, state="running")
            try:
                await self.store.save(running)
            except sqlite3.Error as error:
                logger.error("operation %s can't be stored: %s", operation.row.key[2], error)
                await self._end(
                    operation, "failed", problem=Problem("internal_error", "the gateway can't store the operation")
                )
                return
            operation.row, operation.started = running, now_text()
            operation.wake()
            await self._perform(operation)
        if not operation.content_wanted or (operation.request.action == "upload" and operation.state in FINAL):
            await self._drop(operation)

    async def _perform(self, operation: Operation) -> None:
        """Run the command; whatever happens, the operation ends."""
        try:
            end = await self._outcome(operation)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not operation.forced or task is None:
                raise
            task.uncancel()
            uuid = operation.row.key[2]
            if operation.sent and operation.request.writes:
                end = {"state": "unknown", "cause": "ended_by_owner"}
            else:
                problem = Problem("cancelled", f"operation {uuid} was ended by its owner before it had an effect")
                end = {"state": "failed", "problem": problem}
        except Exception as error:
            logger.exception("operation %s failed in the gateway", operation.row.key[2])
            end = {
                "state": "failed",
                "problem": Problem("internal_error", f"the gateway failed ({type(error).__name__})"),
            }
            if operation.sent and operation.request.writes:
                end |= {"state": "unknown", "cause": "unexpected_error"}
        await self._end(operation, **end)

    async def _outcome(self, operation: Operation) -> dict[str, Any]:
        """Run the command, and return what :meth:`_end` takes.

        What comes out as an exception is a defect: of the gateway, or of an exception of the SDK that can't be read.
        """
        request, system = operation.request, operation.row.key[0]
        password = operation.password or ""
        commands = {
            "create_new": self._create_new,
            "restore": self._restore,
            "remove": self._remove,
            "download": self._download,
            "upload": self._upload,
        }
        login = Login(operation.row.key[1], password)
        try:
            host = self.config.systems[system].host
            async with self.sessions.open(host, login.username, password, self.limits.read_seconds) as (
                session,
                identity,
            ):
                self._check_machine(request, identity, system)
                result = await commands[request.action](operation, session)
        except Problem as problem:
            return {"state": "failed", "problem": problem}
        except ConnectFailed as failure:
            self._note_refusal(failure, system, login, operation.address, of=operation)
            return self._outcome_of(operation, failure, (password,))
        except (CommandFailed, TimeLimit) as failure:
            if isinstance(failure, TimeLimit):
                self._note_stuck(system, failure)
            return self._outcome_of(operation, failure, (password,))
        self._note_answer(system)
        return {"state": "succeeded", "result": result}

    def _outcome_of(
        self, operation: Operation, failure: ConnectFailed | CommandFailed | TimeLimit, secrets: tuple[str, ...]
    ) -> dict[str, Any]:
        """Decide between failed and unknown."""
        problem = self._problem(failure, operation.row.key[0], secrets)
        state, cause = "failed", None
        if operation.request.writes and operation.sent and not isinstance(failure, ConnectFailed):
            has_run = isinstance(failure, CommandFailed) and failure.has_run
            if isinstance(failure, TimeLimit):
                state, cause = "unknown", "time_limit"
            elif problem.kind == "unreachable" or (operation.done and problem.kind in ANSWERED):
                state, cause = "unknown", "connection_lost"
            elif has_run or (problem.kind not in ANSWERED and not _refused_argument(operation, failure)):
                state, cause = "unknown", "unexpected_error"
        return {"state": state, "problem": problem, "cause": cause}

    @staticmethod
    def _check_machine(request: Request, identity: Identity, system: str) -> None:
        wanted = request.expected_machine_id
        if wanted is not None and wanted != identity.machineid:
            raise Problem("wrong_machine", f"system {system} has the machine id {identity.machineid}, not {wanted}")

    async def _listed(self, operation: Operation, session: Session) -> dict[str, int]:
        entries = await session.list(self.limits.read_seconds)
        return {each.name: each.size for each in entries}

    async def _require_listed(self, operation: Operation, session: Session) -> int:
        """Size of the backup that the operation names; raises ``unknown_backup``."""
        listed = await self._listed(operation, session)
        name = operation.request.name
        if name not in listed:
            raise Problem("unknown_backup", f"system {operation.row.key[0]} has no backup {name!r}")
        return listed[name]

    async def _create_new(self, operation: Operation, session: Session) -> dict[str, Any]:
        request = operation.request
        if request.name and request.name in await self._listed(operation, session):
            raise Problem("backup_exists", f"system {operation.row.key[0]} has a backup {request.name!r} already")
        operation.sent = True
        return {"name": await session.create_new(request.name, request.resource_name, self.limits.write_seconds)}

    async def _restore(self, operation: Operation, session: Session) -> dict[str, Any]:
        await self._require_listed(operation, session)
        operation.sent = True
        await session.restore(operation.request.name, operation.request.resource_name, self.limits.write_seconds)
        return {}

    async def _remove(self, operation: Operation, session: Session) -> dict[str, Any]:
        await self._require_listed(operation, session)
        operation.sent = True
        await session.remove(operation.request.name, self.limits.write_seconds)
        return {}

    async def _download(self, operation: Operation, session: Session) -> dict[str, Any]:
        """Into the spool; whole only if the file and the listings before and after have one size."""
        name = operation.request.name
        before = await self._require_listed(operation, session)
        self.spool.promise(operation.spool_key, "part", before)
        try:
            part = await fetch(
                self.spool, session, operation.spool_key, "part", name, before, self.limits.transfer_seconds
            )
            after = (await self._listed(operation, session)).get(name)
            size, sha256 = await put_on_disk_and_hash(part)
            if not size == before == after:
                listed = f"{before} before and {'none' if after is None else after} after"
                raise Problem("transfer_incomplete", f"{name}: {size} bytes arrived, the system listed {listed}")
            path = self.spool.keep(operation.spool_key, "part", "bin")
        except BaseException:
            await asyncio.shield(self._drop(operation))
            raise
        operation.content = Content(path, size, sha256)
        return {"name": name, "size": size, "sha256": sha256}

    async def _upload(self, operation: Operation, session: Session) -> dict[str, Any]:
        request, content, system = operation.request, operation.content, operation.row.key[0]
        if content is None:
            raise Problem("content_gone", "the content is no longer kept")
        before = (await self._listed(operation, session)).get(request.name)
        if before is not None and not request.replace:
            raise Problem("backup_exists", f"system {system} has a backup {request.name!r} already")
        operation.sent = True
        if before is None:
            await session.upload(request.name, content.path, self.limits.transfer_seconds)
        else:
            await self._replace(operation, session, content)
        operation.done = True  # whatever fails now, the bytes have been sent
        await self._check_uploaded(operation, session, content, before)
        return {"name": request.name, "size": content.size, "sha256": content.sha256}

    async def _replace(self, operation: Operation, session: Session, content: Content) -> None:
        """Upload over a backup that exists.

        Whether the vendor's upload overwrites is not documented, so it is tried first. Where the system answers with
        an error, the old backup is fetched into the spool, removed, and the upload is sent again; if that is refused
        too, for another reason than the name, the old backup is put back. The problem (``replace_failed``) says what
        became of it. The risk that remains: where the connection is lost or a limit runs out after the removal, the
        outcome is unknown, and neither the old nor the new backup may be there. The client still has its file.
        """
        name = operation.request.name
        try:
            await session.upload(name, content.path, self.limits.transfer_seconds)
        except CommandFailed as failure:
            if kind_of(failure.error, connecting=False) != "refused":
                raise
            refused = class_names(failure.error)[0]
        else:
            return
        size = await self._require_listed(operation, session)
        self.spool.promise(operation.spool_key, "old", size)
        saved = await fetch(self.spool, session, operation.spool_key, "old", name, size, self.limits.transfer_seconds)
        if saved.stat().st_size != size:
            raise Problem(
                "replace_failed", f"{name}: the upload was refused ({refused}); the old backup could not be saved first"
            )
        await session.remove(name, self.limits.write_seconds)
        try:
            await session.upload(name, content.path, self.limits.transfer_seconds)
        except CommandFailed as failure:
            if kind_of(failure.error, connecting=False) not in ANSWERED and not is_named(failure.error, "TypeError"):
                raise
            refused = class_names(failure.error)[0]
            said = f"{name}: the upload was refused ({refused}) also after the old backup was removed"
        else:
            return
        try:
            await session.upload(name, saved, self.limits.transfer_seconds)
            back = (await self._listed(operation, session)).get(name) == size
        except (CommandFailed, TimeLimit):
            back = False
        said += "; the old backup was put back" if back else "; the old backup could not be put back"
        raise Problem("replace_failed", said, exception=refused)

    async def _check_uploaded(
        self, operation: Operation, session: Session, content: Content, before: int | None
    ) -> None:
        """The listing must show the whole size; a part of ours is removed, so that nobody takes it for a backup."""
        name = operation.request.name
        size = (await self._listed(operation, session)).get(name)
        if size != content.size:  # what others see counts: the change may show when the session has ended
            await session.renew(self.limits.read_seconds)
            size = await self._steady_size(operation, session, content.size)
        if size == content.size:
            return
        if size is None:
            raise Problem(
                "transfer_incomplete", f"{name}: {content.size} bytes were uploaded, but the system does not list it"
            )
        said = f"{name}: {content.size} bytes were uploaded, the system lists {size}"
        if size == before:
            raise Problem("transfer_incomplete", f"{said}, as before; nothing was removed")
        try:
            await session.remove(name, self.limits.write_seconds)
        except (CommandFailed, TimeLimit) as failure:
            raise Problem("transfer_incomplete", f"{said}; the part could not be removed") from failure
        raise Problem("transfer_incomplete", f"{said}; the part was removed")

    async def _steady_size(self, operation: Operation, session: Session, wanted: int) -> int | None:
        """The listed size once it is the wanted one, or another that stays: a system may list what is not yet whole."""
        seen: list[int | None] = []
        for _look in range(int(self.limits.read_seconds / STEADY_PAUSE) + STEADY):
            seen.append((await self._listed(operation, session)).get(operation.request.name))
            is_steady = len(seen) >= STEADY and len(set(seen[-STEADY:])) == 1
            if seen[-1] in (wanted, None) or (is_steady and seen[-1]):
                break
            await asyncio.sleep(STEADY_PAUSE)
        return seen[-1]


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
        system=row.key[0],
        operation=row.key[2],
    ).document()


def _refused_argument(operation: Operation, failure: CommandFailed | TimeLimit) -> bool:
    """Upload raises TypeError for its arguments, before it sends anything (backup-resource.txt, Backup.upload)."""
    return (
        operation.request.action == "upload"
        and isinstance(failure, CommandFailed)
        and is_named(failure.error, "TypeError")
    )
