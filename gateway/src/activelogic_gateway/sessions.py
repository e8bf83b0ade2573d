# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens sessions with systems for callers, verifies logins, and tracks which systems are stuck."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NoReturn

from .auth import Caller, Login
from .commands import problem_of
from .config import Config
from .logins import Logins, place_of
from .operations import Operation, Operations
from .problems import Problem, class_names, kind_of, not_logged_in
from .turns import Turns
from .vendor_session import CommandFailed, ConnectFailed, Identity, Session, Sessions, TimeLimit
from .wire import Listing

logger = logging.getLogger(__name__)

TURN_SECONDS = 5.0
"""Maximum number of seconds that a login waits for other logins of its system or client address."""


class StuckSystems:
    """The systems that did not respond in time, each with what it was doing."""

    def __init__(self) -> None:
        self._doing: dict[str, str] = {}

    def names(self) -> set[str]:
        """Return the names of the stuck systems."""
        return set(self._doing)

    def note(self, system: str, failure: TimeLimit) -> None:
        """Record that a system did not respond in time."""
        if system not in self._doing:
            logger.warning("system %s is stuck: %s", system, failure)
        self._doing[system] = failure.doing

    def note_answer(self, system: str, doing: str | None = None) -> None:
        """Record that a system has responded.

        :param doing: what it did in time: that alone is no longer stuck; ``None``: the whole system is no longer stuck.
        """
        if system in self._doing and doing in (None, self._doing[system]):
            del self._doing[system]
            logger.warning("system %s answers again", system)


class CallerSessions:
    """Opens sessions for callers and operations, and verifies logins, without a session where possible."""

    def __init__(
        self, config: Config, sessions: Sessions, logins: Logins, operations: Operations, stuck: StuckSystems
    ) -> None:
        self._config = config
        self._limits = config.limits
        self._sessions = sessions
        self._logins = logins
        self._operations = operations
        self._stuck = stuck
        self._logging_in = Turns()

    @asynccontextmanager
    async def session(self, caller: Caller) -> AsyncIterator[tuple[Session, Identity, float]]:
        """Open a session for a read, which also verifies the login.

        Yields the session, the system's identity, and the deadline of the read (monotonic seconds). Exceptions of the
        SDK are raised as problems.
        """
        deadline = time.monotonic() + self._limits.read_seconds
        system, login = caller.system, caller.login
        host = self._config.systems[system].host
        is_known = self._logins.is_known(login)
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with (
                    self._logins.attempt(system, login, caller.address, self._limits.read_seconds),
                    self._share_of_logins(caller),
                ):
                    try:
                        session, identity = await stack.enter_async_context(
                            self._sessions.open(host, login.username, login.password, deadline - time.monotonic())
                        )
                    except ConnectFailed as failure:
                        self.note_refusal(failure, system, login, caller.address)
                        raise
                    self._note_login(system, login, caller.address)
                    self._stuck.note_answer(system, "log in")
                yield session, identity, deadline
        except ConnectFailed as failure:
            if kind_of(failure.error, connecting=True) == "authentication_failed":
                name = class_names(failure.error)[0] if is_known else None
                raise not_logged_in(caller.word, is_known, name) from failure
            raise problem_of(failure, caller.shown, (login.password,)) from failure
        except (CommandFailed, TimeLimit) as failure:
            if isinstance(failure, TimeLimit):
                self._stuck.note(system, failure)
            raise problem_of(failure, caller.shown, (login.password,)) from failure

    def open_for(self, operation: Operation) -> AbstractAsyncContextManager[tuple[Session, Identity]]:
        """Open a session for an operation whose turn has come."""
        host = self._config.systems[operation.key.system].host
        username, password = operation.key.username, operation.password or ""
        return self._sessions.open(host, username, password, self._limits.read_seconds)

    @asynccontextmanager
    async def _share_of_logins(self, caller: Caller) -> AsyncIterator[None]:
        """Limit concurrent logins per system and per client address, so that none of them can use up all sessions.

        :raises Problem: ``too_busy``.
        """
        place = place_of(caller.address)
        shares: dict[Hashable, int] = {
            ("system", caller.system): self._limits.logins_per_system,
            ("address", place): self._limits.logins_per_address,
        }
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._logging_in.turn(shares, TURN_SECONDS))
            except TimeoutError:
                said = f"too many logins at system {caller.shown}, or from client address {place},"
                raise Problem("too_busy", f"{said} are being tried already", retry_after=5) from None
            yield

    def _note_login(self, system: str, login: Login, address: str) -> None:
        """Record an accepted login; operations that another password of this user had access to need a new login."""
        login.accepted = True
        self._logins.succeeded(system, login, address)
        digest = self._logins.digest(system, login)
        self._operations.forget_logins(system, login.username, lambda known: known != digest)

    def note_refusal(
        self, failure: ConnectFailed, system: str, login: Login, address: str, of: Operation | None = None
    ) -> None:
        """Record a login that may have been refused; operations that it had access to need a new login.

        :param of: the operation whose login was refused; this login may still read its outcome.
        """
        if kind_of(failure.error, connecting=True) == "authentication_failed":
            self._logins.refused(system, login, address)
            digest = self._logins.digest(system, login)
            self._operations.forget_logins(system, login.username, lambda known: known == digest)
            if of is not None:
                of.login_digest = digest

    async def refuse_unknown(self, word: str, login: Login, address: str) -> NoReturn:
        """Refuse a request for a system that is not in the configuration.

        A caller without a login that works gets the same response, and is throttled in the same way, as for a system
        that refused the login.

        :raises Problem: always: ``unknown_system``, ``authentication_failed`` or ``too_many_failed_logins``.
        """
        if self._logins.is_known(login):
            raise Problem("unknown_system", f"the gateway has no system {word!r}")
        async with self._logins.attempt(word, login, address):
            self._logins.refused(word, login, address)
        raise not_logged_in(word, is_known=False)

    async def verify(self, caller: Caller, operation: Operation | None = None) -> None:
        """Verify the login: against the operation's own, a recently accepted one, or by logging in to the system.

        :raises Problem: such as ``authentication_failed``.
        """
        digest = self._logins.digest(caller.system, caller.login)
        if caller.login.accepted:  # verified earlier in this request
            if operation is not None:
                operation.trust(digest)
            return
        if operation is not None and operation.trusts(digest, self._limits.remember_login_seconds):
            caller.login.accepted = True
            return
        if not self._logins.worked_lately(caller.system, caller.login):
            async with self.session(caller):
                pass
        caller.login.accepted = True
        if operation is not None:
            operation.trust(digest)

    async def identity(self, caller: Caller) -> Identity:
        """Return the system's identity."""
        async with self.session(caller) as (_, identity, _):
            return identity

    async def backups(self, caller: Caller) -> Listing:
        """Return the system's listing."""
        async with self.session(caller) as (session, _, deadline):
            listing = await session.list(deadline - time.monotonic())
        self._stuck.note_answer(caller.system)
        return listing
