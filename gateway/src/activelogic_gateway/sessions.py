# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of those who ask, and what is learnt from them: which logins are right, and which systems are stuck."""

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
"""How long a login waits at most for others of its system or client address."""


class StuckSystems:
    """Systems whose last answer did not come in time, each with what it was doing."""

    def __init__(self) -> None:
        self._doing: dict[str, str] = {}

    def names(self) -> set[str]:
        """Their names."""
        return set(self._doing)

    def note(self, system: str, failure: TimeLimit) -> None:
        """A system did not answer in time."""
        if system not in self._doing:
            logger.warning("system %s is stuck: %s", system, failure)
        self._doing[system] = failure.doing

    def note_answer(self, system: str, doing: str | None = None) -> None:
        """A system has answered.

        :param doing: what the system has done in time; ``None`` for a command after which nothing is stuck.
        """
        if system in self._doing and doing in (None, self._doing[system]):
            del self._doing[system]
            logger.warning("system %s answers again", system)


class CallerSessions:
    """Opens sessions for requests, and knows which logins need none."""

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
        """A session for a read, whose login is the proof of who asks.

        Yields the session, what it tells of the system, and the monotonic deadline of the read. Exceptions of the SDK
        leave as problems.
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
        """A session for an operation whose turn has come."""
        host = self._config.systems[operation.key.system].host
        username, password = operation.key.username, operation.password or ""
        return self._sessions.open(host, username, password, self._limits.read_seconds)

    @asynccontextmanager
    async def _share_of_logins(self, caller: Caller) -> AsyncIterator[None]:
        """Nobody who has not logged in yet, and no system that does not answer, takes the sessions of all others.

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
        """The system accepted a login; what another password of this user had opened needs a login again."""
        login.accepted = True
        self._logins.succeeded(system, login, address)
        digest = self._logins.digest(system, login)
        self._operations.forget_logins(system, login.username, lambda known: known != digest)

    def note_refusal(
        self, failure: ConnectFailed, system: str, login: Login, address: str, of: Operation | None = None
    ) -> None:
        """A login may have been refused; what it had opened needs a login again.

        :param of: the operation that was refused it, whose end is still told to who asked for it.
        """
        if kind_of(failure.error, connecting=True) == "authentication_failed":
            self._logins.refused(system, login, address)
            digest = self._logins.digest(system, login)
            self._operations.forget_logins(system, login.username, lambda known: known == digest)
            if of is not None:
                of.login_digest = digest

    async def refuse_unknown(self, word: str, login: Login, address: str) -> NoReturn:
        """Refuse a request for a system that is not in the configuration.

        Who has not shown a login that works is told no more than of a system that refused the login, and no sooner
        runs out of the limits.

        :raises Problem: always: ``unknown_system``, ``authentication_failed`` or ``too_many_failed_logins``.
        """
        if self._logins.is_known(login):
            raise Problem("unknown_system", f"the gateway has no system {word!r}")
        async with self._logins.attempt(word, login, address):
            self._logins.refused(word, login, address)
        raise not_logged_in(word, is_known=False)

    async def verify(self, caller: Caller, operation: Operation | None = None) -> None:
        """Make sure that the login is right: by the operation's own, a recent one, or the system.

        :raises Problem: such as ``authentication_failed``.
        """
        digest = self._logins.digest(caller.system, caller.login)
        if caller.login.accepted:  # by this very request
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
        """What the system tells of itself."""
        async with self.session(caller) as (_, identity, _):
            return identity

    async def backups(self, caller: Caller) -> Listing:
        """The system's listing."""
        async with self.session(caller) as (session, _, deadline):
            listing = await session.list(deadline - time.monotonic())
        self._stuck.note_answer(caller.system)
        return listing
