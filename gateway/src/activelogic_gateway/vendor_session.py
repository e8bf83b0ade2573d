# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions with ActiveLogic systems. The only file that imports the SDK, and it does so by name.

Whether the SDK's coroutines block the loop is not documented, and a blocking call can't be cancelled. So every session
lives on a daemon thread with a loop and an executor of its own, and all limits are enforced from outside: past its
limit a call that awaits is cancelled, one that blocks is abandoned with its thread and counted.

Only what the vendor documents is used: ``async_connect(host, username, password)``, ``async with``, ``machineid``,
``distversion``, ``backup()``, and the methods of ``Backup`` and ``BackupFile``.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .daemon_threads import DaemonThreads
from .logs import Secrets
from .problems import Problem, is_named

logger = logging.getLogger(__name__)

READ_TRIES = 5
"""How often a read opens a new resource because another session committed meanwhile."""

GRACE = 2.0
"""Seconds that a session has to end after it was told to, before it counts as stuck."""


class SdkMissing(Exception):
    """The Python module with the vendor's API can't be used; the text is one sentence."""


class ConnectFailed(Exception):
    """``async_connect`` raised ``error``."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error = error


class CommandFailed(Exception):
    """A command raised ``error``; ``doing`` says which."""

    def __init__(self, error: BaseException, doing: str) -> None:
        super().__init__(f"{doing}: {type(error).__name__}")
        self.error = error
        self.doing = doing


class TimeLimit(Exception):
    """A step did not end within ``seconds``; its session is given up."""

    def __init__(self, doing: str, seconds: float) -> None:
        super().__init__(f"could not {doing} within {seconds:g} s")
        self.doing = doing
        self.seconds = seconds


@dataclass(frozen=True)
class Sdk:
    """What is used of the SDK module."""

    async_connect: Callable[[str, str, str], Awaitable[Any]]
    backup_file: type


def load_sdk(name: str) -> Sdk:
    """Import the module ``name``.

    :raises SdkMissing: if it is not installed, does not import, or lacks the vendor's API.
    """
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name + ".").startswith(error.name + "."):
            raise SdkMissing(
                f"the Python package {name!r} (sdk) is not installed where the gateway runs; install it,"
                " or name another one"
            ) from error
        raise SdkMissing(f"the Python package {name!r} (sdk) needs {error.name!r}, which is not installed") from error
    except Exception as error:
        raise SdkMissing(
            f"the Python package {name!r} (sdk) can't be imported: {type(error).__name__}: {error}"
        ) from error
    missing = [each for each in ("async_connect", "BackupFile") if not hasattr(module, each)]
    if missing:
        raise SdkMissing(f"the Python package {name!r} (sdk) has no {' and no '.join(missing)}")
    return Sdk(module.async_connect, module.BackupFile)


@dataclass(frozen=True)
class BackupEntry:
    """One backup in a listing; ``size`` in bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class Identity:
    """What a session tells of its system."""

    machineid: str
    distversion: str


Step = Callable[[Any], Awaitable[Any]]


class Session:
    """One session: made, used and ended by the loop of the gateway, while the SDK runs on the session's thread."""

    def __init__(self, sdk: Sdk, host: str, username: str, password: str) -> None:
        self._sdk = sdk
        self._login: tuple[str, str, str] | None = (host, username, password)
        self._home = asyncio.get_running_loop()
        self._opened: Future[Identity] = Future()
        self._given_up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._steps: asyncio.Queue[tuple[Step, Future[Any]] | None] = asyncio.Queue()
        self._executor = DaemonThreads()
        self._backup: Any = None
        self._endings: list[Callable[[], None]] = []
        self.ended = asyncio.Event()
        """Set when the SDK runs nowhere any more: neither on the session's thread, nor on one that the loop started."""
        self.aftermath: asyncio.Task[None] | None = None
        """What goes on until then; a loop holds its tasks only weakly."""
        self.given_up_at: float | None = None
        self.thread = threading.Thread(target=self._run, name="activelogic-session", daemon=True)

    # On the session's thread

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # nothing may leave the thread
            self._fail(error)
        finally:
            while not self._steps.empty():
                item = self._steps.get_nowait()
                if item is not None:
                    item[1].set_exception(ConnectionError("the session has ended"))
            self._executor.join()  # a call that hangs there keeps this thread, and so its session, in the count
            for each in self._endings:
                each()
            with contextlib.suppress(RuntimeError):  # the gateway's loop has ended
                self._home.call_soon_threadsafe(self.ended.set)

    def _fail(self, error: BaseException) -> None:
        if self._opened.done():
            logger.info("a session ended with %s", type(error).__name__)
        else:
            self._opened.set_exception(ConnectFailed(error))

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(self._executor)
        self._task = asyncio.current_task()
        login, self._login = self._login, None
        if self._given_up.is_set() or login is None:
            return
        connection = await self._sdk.async_connect(*login)
        del login
        async with connection:
            if self._given_up.is_set():
                return
            self._opened.set_result(Identity(str(connection.machineid), str(connection.distversion)))
            while True:
                item = await self._steps.get()
                if item is None or self._given_up.is_set():
                    return
                step, future = item
                try:
                    result = await step(connection)
                except asyncio.CancelledError:
                    future.set_exception(ConnectionError("the session was cancelled"))
                    raise
                except Exception as error:
                    future.set_exception(error)
                except BaseException as error:  # such as SystemExit: it must not end the gateway
                    future.set_exception(RuntimeError(f"the SDK raised {type(error).__name__}"))
                    raise
                else:
                    future.set_result(result)

    # On the gateway's loop

    async def open(self, seconds: float) -> Identity:
        """Log in within ``seconds``.

        :raises ConnectFailed: with the SDK's exception.
        :raises TimeLimit: if it takes longer.
        """
        self.thread.start()
        identity: Identity = await self._wait(self._opened, "log in", seconds)
        return identity

    async def _wait(self, future: Future[Any], doing: str, seconds: float) -> Any:
        waiter = asyncio.wrap_future(future)
        try:
            await asyncio.wait([waiter], timeout=max(0.0, seconds))
            if not waiter.done():
                raise TimeLimit(doing, seconds)
        except (asyncio.CancelledError, TimeLimit):
            self.give_up()
            # Whatever becomes of it is nobody's concern any more.
            waiter.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            raise
        return waiter.result()

    async def _do(self, step: Step, doing: str, seconds: float) -> Any:
        future: Future[Any] = Future()
        loop = self._loop
        try:
            if loop is None or self._given_up.is_set():
                raise RuntimeError
            loop.call_soon_threadsafe(self._steps.put_nowait, (step, future))
        except RuntimeError as error:
            raise CommandFailed(ConnectionError("the session has ended"), doing) from error
        try:
            return await self._wait(future, doing, seconds)
        except TimeLimit:
            raise
        except Exception as error:
            raise CommandFailed(error, doing) from error

    async def list(self, seconds: float) -> list[BackupEntry]:
        """List the backups."""

        async def run(backup: Any) -> list[BackupEntry]:
            return [BackupEntry(str(row.name), int(row.size)) for row in await backup.list(self._sdk.backup_file)]

        entries: list[BackupEntry] = await self._read("list the backups", seconds, run)
        return entries

    async def _read(self, doing: str, seconds: float, run: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run a command that changes nothing on a new resource, and on another where somebody commits meanwhile."""

        async def step(connection: Any) -> Any:
            for left in reversed(range(READ_TRIES)):
                self._backup = await connection.backup()
                try:
                    return await run(self._backup)
                except Exception as error:
                    if not left or not is_named(error, "PLDBNewDataCommitted"):
                        raise
            raise RuntimeError("unreachable")

        return await self._do(step, doing, seconds)

    async def _command(self, doing: str, seconds: float, run: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run a command that changes something on the last listing's resource, so that a commit since then shows."""

        async def step(connection: Any) -> Any:
            backup, self._backup = self._backup, None
            if backup is None:
                backup = await connection.backup()
            return await run(backup)

        return await self._do(step, doing, seconds)

    async def create_new(self, name: str, resource_name: str | None, seconds: float) -> str:
        """Create a backup; returns its name as the system says it."""
        given = {} if resource_name is None else {"resource_name": resource_name}
        created = await self._command("create a backup", seconds, lambda backup: backup.create_new(name, **given))
        if not isinstance(created, str) or not created:
            raise CommandFailed(RuntimeError("create_new returned no name"), "learn the name of the backup")
        return created

    async def restore(self, name: str, resource_name: str | None, seconds: float) -> None:
        """Restore a backup."""
        given = {} if resource_name is None else {"resource_name": resource_name}
        await self._command(f"restore {name!r}", seconds, lambda backup: backup.restore(name, **given))

    async def remove(self, name: str, seconds: float) -> None:
        """Remove a backup."""
        await self._command(f"remove {name!r}", seconds, lambda backup: backup.remove(name))

    async def download(self, name: str, path: Path, seconds: float) -> None:
        """Have the SDK write a backup to ``path``."""
        await self._read(f"download {name!r}", seconds, lambda backup: backup.download(name, dest_path=str(path)))

    async def upload(self, name: str, path: Path, seconds: float) -> None:
        """Have the SDK send the file at ``path``."""
        await self._command(f"upload {name!r}", seconds, lambda backup: backup.upload(name, in_path=str(path)))

    def at_end(self, action: Callable[[], None]) -> None:
        """Run ``action``, which must not raise, on the session's thread when that ends, however late."""
        self._endings.append(action)

    def give_up(self) -> None:
        """Cancel what awaits and start nothing more; what blocks is left to itself."""
        if self.given_up_at is not None:
            return
        self.given_up_at = time.monotonic()
        self._given_up.set()
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(task.cancel)

    async def close(self) -> None:
        """End the session: close the connection within :data:`GRACE` seconds, or give it up."""
        loop = self._loop
        if self.given_up_at is None and loop is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._steps.put_nowait, None)
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), GRACE if self.given_up_at is None else GRACE / 2)
                return
            self.give_up()


class Sessions:
    """Opens sessions and keeps count of those that are stuck.

    :param most: sessions at once, stuck ones included; more are refused.
    :param secrets: where passwords are noted for as long as the SDK may log them.
    """

    def __init__(self, sdk: Sdk, most: int, secrets: Secrets) -> None:
        self._sdk = sdk
        self._most = most
        self._secrets = secrets
        self._alive: set[Session] = set()

    def _living(self) -> set[Session]:
        self._alive = {each for each in self._alive if each.thread.ident is None or each.thread.is_alive()}
        return self._alive

    @property
    def stuck(self) -> int:
        """Sessions that were given up a while ago and still have not ended."""
        now = time.monotonic()
        return sum(1 for each in self._living() if each.given_up_at is not None and now - each.given_up_at > GRACE / 2)

    @asynccontextmanager
    async def open(
        self, host: str, username: str, password: str, seconds: float
    ) -> AsyncIterator[tuple[Session, Identity]]:
        """A session for the time of a block, with what it tells of its system.

        :raises Problem: ``too_busy``.
        :raises ConnectFailed, TimeLimit: as :meth:`Session.open`.
        """
        if len(self._living()) >= self._most:
            raise Problem("too_busy", "the gateway has too many sessions with systems", retry_after=5)
        session = Session(self._sdk, host, username, password)
        self._secrets.add(password)
        session.at_end(lambda: self._secrets.discard(password))
        self._alive.add(session)
        try:
            identity = await session.open(seconds)
            yield session, identity
        except asyncio.CancelledError:
            session.give_up()
            raise
        finally:
            if session.thread.ident is not None:
                await session.close()
            if not session.thread.is_alive():
                self._alive.discard(session)
