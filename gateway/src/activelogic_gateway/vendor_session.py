# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions with ActiveLogic systems, each in a process of its own.

A call of the vendor's package can hang, crash, block the interpreter, or use up memory, and none of that can be stopped
from within the process. So the limits are enforced from outside: past its time limit, a session has
:data:`~.isolation.GRACE` seconds to exit by itself; then it is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .isolation import GRACE, Process, Processes
from .logs import Secrets
from .problems import Problem
from .wire import (
    MOST_NAME,
    MOST_REPLY,
    Listing,
    SessionLost,
    VendorError,
    WireError,
    frame,
    read_error,
    receive,
)

T = TypeVar("T")


class ConnectFailed(Exception):
    """The login failed with ``error``."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error = error


class CommandFailed(Exception):
    """A command failed with ``error``.

    :param doing: the command, such as "list the backups".
    :param has_run: the command itself succeeded, and a later step such as the commit failed.
    """

    def __init__(self, error: BaseException, doing: str, has_run: bool = False) -> None:
        super().__init__(f"{doing}: {type(error).__name__}")
        self.error = error
        self.doing = doing
        self.has_run = has_run


class TimeLimit(Exception):
    """A step did not finish within ``seconds``; its session is closed."""

    def __init__(self, doing: str, seconds: float) -> None:
        super().__init__(f"could not {doing} within {seconds:g} s")
        self.doing = doing
        self.seconds = seconds


@dataclass(frozen=True)
class Identity:
    """A system's identity, as its session reports it."""

    machineid: str
    distversion: str


class Session:
    """One session, which runs one command at a time."""

    def __init__(self, processes: Processes, host: str, username: str, password: str) -> None:
        self._processes = processes
        self._login = [host, username, password]
        self._used: list[Process] = []
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._identity: Identity | None = None
        self._seconds = GRACE
        self._is_given_up = False
        self._is_over = False
        self.has_closed = False
        """Whether the session was closed properly."""
        self._is_pending = False
        self._has_run = False

    @property
    def is_gone(self) -> bool:
        """Whether the session is closed and all its processes have ended."""
        return self._is_over and all(each.ended.is_set() for each in self._used)

    async def open(self, seconds: float) -> Identity:
        """Log in within ``seconds``.

        :raises ConnectFailed: with the cause.
        :raises TimeLimit: if it takes longer.
        :raises Problem: ``too_busy``.
        """
        self._seconds = seconds
        try:
            self._identity = await self._limited(self._open_with_retry(), "log in", seconds)
        except (VendorError, SessionLost) as error:
            raise ConnectFailed(error) from error
        return self._identity

    async def _open_with_retry(self) -> Identity:
        """Like :meth:`_open`, but retry once if the session was lost only because the fork server ended."""
        try:
            return await self._open()
        except SessionLost:
            if not self._used or not self._used[-1].ended_with_server:
                raise
        return await self._open()

    async def _open(self) -> Identity:
        process = await self._processes.new(self._login[0])
        self._used.append(process)
        self.has_closed = False
        self._reader, self._writer = await asyncio.open_connection(sock=process.connection)
        self._writer.write(frame({"login": self._login}))
        match (await self._receive()).get("opened"):
            case [str(machineid), str(distversion)] if max(len(machineid), len(distversion)) <= MOST_NAME:
                return Identity(machineid, distversion)
        raise self._invalid(WireError("a message lacks the system's identity"))

    async def _limited(self, work: Coroutine[Any, Any, T], doing: str, seconds: float) -> T:
        """Await the process's work with a time limit; give the session up on timeout or cancellation."""
        try:
            async with asyncio.timeout(max(0.0, seconds)) as limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
            self.give_up()
            raise TimeLimit(doing, seconds) from None
        except asyncio.CancelledError:
            self.give_up()
            raise

    async def _receive(self) -> dict[str, Any]:
        """Return the next message.

        :raises VendorError: if the message reports an exception of the package.
        :raises SessionLost: if the process has ended, or sent something invalid.
        """
        if self._reader is None:
            raise SessionLost("the session has ended")
        try:
            message = await receive(self._reader, MOST_REPLY)
            if "error" not in message:
                return message
            error = read_error(message["error"])
        except (EOFError, OSError):
            process = self._used[-1]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.ended.wait(), GRACE)
            raise process.lost() from None
        except WireError as invalid:
            raise self._invalid(invalid) from None
        self._has_run = message.get("has_run") is True
        raise error

    def _invalid(self, error: WireError) -> SessionLost:
        self.kill()
        return SessionLost(f"its process answered with something else than an answer ({error}), and was ended")

    async def _do(self, doing: str, seconds: float, **request: Any) -> Any:
        self._has_run = False
        try:
            return await self._limited(self._ask(request), doing, seconds)
        except (VendorError, SessionLost) as error:
            raise CommandFailed(error, doing, self._has_run) from error

    async def _ask(self, request: dict[str, Any]) -> Any:
        if self._writer is None or self._is_given_up:
            raise SessionLost("the session has ended")
        self._writer.write(frame(request))
        listing = Listing()
        while True:
            message = await self._receive()
            try:
                if "rows" not in message:
                    self._is_pending = message.get("is_pending") is True
                    return listing if request["do"] == "list" else message.get("result")
                listing.add(message["rows"])
            except WireError as invalid:
                raise self._invalid(invalid) from None

    async def _list(self, seconds: float) -> Listing:
        listed: Listing = await self._do("list the backups", seconds, do="list")
        return listed

    async def list(self, seconds: float) -> Listing:
        """List the backups; retry once in a new session if this one was lost only because the fork server ended."""
        ends = time.monotonic() + seconds
        try:
            return await self._list(seconds)
        except CommandFailed as failure:
            if not isinstance(failure.error, SessionLost) or not self._used[-1].ended_with_server:
                raise
            system = self._identity
            # The caller has checked the identity only of the previous session.
            if await self.open(ends - time.monotonic()) != system:
                raise
        return await self._list(ends - time.monotonic())

    async def create_new(self, name: str, resource_name: str | None, seconds: float) -> str:
        """Create a backup; returns the name that the system reports."""
        doing = "create a backup"
        created = await self._do(doing, seconds, do="create_new", name=name, resource_name=resource_name)
        if not isinstance(created, str) or not created:
            error = VendorError(["RuntimeError"], "create_new returned no name")
            raise CommandFailed(error, "learn the name of the backup")
        return created

    async def restore(self, name: str, resource_name: str | None, seconds: float) -> None:
        """Restore a backup."""
        await self._do(f"restore {name!r}", seconds, do="restore", name=name, resource_name=resource_name)

    async def remove(self, name: str, seconds: float) -> None:
        """Remove a backup."""
        await self._do(f"remove {name!r}", seconds, do="remove", name=name)

    async def download(self, name: str, path: Path, most: int, seconds: float) -> None:
        """Let the package write a backup to ``path``; no file can grow beyond ``most`` bytes."""
        await self._do(f"download {name!r}", seconds, do="download", name=name, path=str(path), bytes=most)

    async def upload(self, name: str, path: Path, seconds: float) -> None:
        """Let the package upload the file at ``path``."""
        await self._do(f"upload {name!r}", seconds, do="upload", name=name, path=str(path))

    # Closing

    async def renew(self, seconds: float) -> None:
        """Close the session and log in again, to see what other sessions see.

        :raises CommandFailed: if closing failed, so that the change may be undone, or the new login failed.
        """
        await self.end()
        known = self._identity
        try:
            found = await self.open(seconds)
        except ConnectFailed as failure:
            raise CommandFailed(failure.error, "log in again") from failure
        if known is not None and found.machineid != known.machineid:
            error = VendorError(["AnotherMachine"], f"the machine id is {found.machineid}, it was {known.machineid}")
            raise CommandFailed(error, "log in again to the same system")

    def give_up(self) -> None:
        """Tell the process to end, cancelling what it awaits."""
        self._is_given_up = True
        if self._writer is not None:
            self._writer.write(frame({"do": "end"}))

    def kill(self) -> None:
        """Kill the process."""
        self._is_given_up = True
        if self._used:
            self._processes.kill(self._used[-1])

    async def end(self) -> None:
        """Close the session within :data:`~.isolation.GRACE`, or, if closing makes a change visible to others, within
        the time limit of a login.

        :raises CommandFailed: if it was not closed properly, and its changes may be undone by that.
        """
        if self._writer is None or self._is_given_up:
            return
        writer, process, is_pending = self._writer, self._used[-1], self._is_pending
        error: BaseException = SessionLost("the session did not end in time")
        self._writer.write(frame({"do": "end"}))
        try:
            async with asyncio.timeout(max(GRACE, self._seconds) if is_pending else GRACE):
                self.has_closed = (await self._receive()).get("closed") is True
        except (VendorError, SessionLost) as failure:
            error = failure
        except TimeoutError:
            pass
        finally:
            self._reader = self._writer = None
            self._is_pending = False
            if not self.has_closed:
                self._processes.kill(process)
            writer.close()
        if is_pending and not self.has_closed:
            raise CommandFailed(error, "end the session", has_run=True)

    async def close(self) -> None:
        """Close the session and end its process, within a few seconds."""
        try:
            with contextlib.suppress(CommandFailed):
                await self.end()
            if self._used:
                await self._processes.finish(self._used[-1])
        finally:
            self._is_over = True
            if self._writer is not None:
                self._writer.transport.abort()
            elif self._used:
                self._used[-1].connection.close()

    async def gone(self) -> None:
        """Wait until all its processes have ended, without a time limit."""
        for each in self._used:
            await each.ended.wait()


class Sessions:
    """Opens sessions and limits their number.

    :param most: maximum number of concurrent sessions, including stuck ones.
    :param secrets: holds each password for as long as the package may print it.
    """

    def __init__(self, processes: Processes, most: int, secrets: Secrets) -> None:
        self._processes = processes
        self._most = most
        self._secrets = secrets
        self._alive: set[Session] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def stuck(self) -> int:
        """Number of sessions that were killed a while ago, but whose processes have not ended."""
        return self._processes.stuck

    @asynccontextmanager
    async def open(
        self, host: str, username: str, password: str, seconds: float
    ) -> AsyncIterator[tuple[Session, Identity]]:
        """Open a session for a ``with`` block; yields it with the system's identity.

        :raises Problem: ``too_busy``.
        :raises ConnectFailed, TimeLimit: as :meth:`Session.open`.
        :raises CommandFailed: as :meth:`Session.end`, after the block.
        """
        self._alive = {each for each in self._alive if not each.is_gone}
        if len(self._alive) >= self._most:
            raise Problem("too_busy", "the gateway has too many sessions with systems", retry_after=5)
        session = Session(self._processes, host, username, password)
        self._alive.add(session)
        self._secrets.add(password)
        try:
            identity = await session.open(seconds)
            yield session, identity
            await session.end()
        except asyncio.CancelledError:
            session.give_up()
            raise
        finally:
            closing = self._in_background(session.close())
            self._in_background(self._forget(session, password, closing))
            if not session.has_closed:
                await asyncio.shield(closing)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the event loop keeps only weak references to tasks
        task.add_done_callback(self._tasks.discard)
        return task

    async def _forget(self, session: Session, password: str, closing: asyncio.Task[None]) -> None:
        try:
            await asyncio.wait({closing})
            await session.gone()
        finally:
            self._secrets.discard(password)
