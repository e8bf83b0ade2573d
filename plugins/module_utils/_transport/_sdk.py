# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The direct way: the vendor's Python package, where the module runs. Private to this collection.

The only file that imports the vendor's package, by the name in ``sdk_module``. It relies on nothing but what the
vendor documents: ``async_connect(host, username, password)``, ``await conn.backup()``, the methods of the Backup
resource, and exceptions told apart by name. Those calls have no timeouts: they run on a daemon thread with a loop of
its own, and the clocks are kept from outside.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import importlib
import os
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from .._connection import Settings
from .._errors import ActiveLogicError, OutcomeUnknownError, RefusedError, StaleDataError
from .._failures import (
    ARRIVED_SHORT,
    BACKUP_TAKEN,
    BACKUP_VANISHED,
    PUSH_LOST_OLD,
    PUSH_NOT_LISTED,
    PUSH_SHORT,
    PUSH_UNSEEN,
    SDK_FAILED,
    SDK_MISSING,
    SYSTEM_ERROR,
    SYSTEM_HANGS,
    SYSTEM_LATE,
    SYSTEM_LATE_UNKNOWN,
    SYSTEM_LOGIN,
    SYSTEM_LOGIN_FAILED,
    SYSTEM_LOST,
    SYSTEM_LOST_UNKNOWN,
    SYSTEM_NOT_ANSWERING,
    SYSTEM_REFUSES,
    SYSTEM_STALE,
    SYSTEM_UNREACHABLE,
)
from .._localfiles import digest_file, file_error
from .._model import BackupFile, Backups, Received, Sent, System, find
from ._base import LOST, RETURNED, repeat

T = TypeVar("T")

GRACE = 2.0
"""Seconds that a cancelled call has to end before its thread is given up."""

STEADY = 5
STEADY_PAUSE = 1.0
"""An upload that is listed with another size counts as short when that size is not 0 and stays for five looks, each a
second after the other."""

MAX_LEFT_BEHIND = 3
"""How many calls may hang, each in a thread that is left behind, before the system is given up."""

MAX_REOPEN = 5
"""How often a read opens a new resource after PLDBNewDataCommitted."""

CONNECTION_LOST = ("PLDBIOError", "PLDBDetached", "ConnectionError", "EOFError", "TimeoutError")
ANSWERED = (
    "PLDBError",
    "PLDBCriticalError",
    "PLDBCapabilityError",
    "PLDBUnsupportedInFirmware",
    "PLDBUnsupportedInHardware",
)


class _ExpiredError(Exception):
    """A call did not end in time; never leaves this file."""


class _DaemonExecutor(ThreadPoolExecutor):
    """The loop's default executor, with a daemon thread for each call: one that hangs never holds the exit."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self._started: set[threading.Thread] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001  # pylint: disable=broad-exception-caught
                future.set_exception(error)
            else:
                future.set_result(result)

        thread = threading.Thread(target=run, name="activelogic-call", daemon=True)
        self._started = {each for each in self._started if each.is_alive()} | {thread}
        thread.start()
        return future

    def is_busy(self, deadline: float) -> bool:
        """Whether a call still runs at a time of :func:`time.monotonic`."""
        for each in self._started:
            each.join(max(0.0, deadline - time.monotonic()))
        return any(each.is_alive() for each in self._started)


class _Loop:
    """A daemon thread with an asyncio loop: a blocking call in it can be left behind, and never holds the exit."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._executor = _DaemonExecutor()
        self._loop.set_default_executor(self._executor)
        self._thread = threading.Thread(target=self._loop.run_forever, name="activelogic", daemon=True)
        self._thread.start()
        self._is_blocked = False
        self.stuck = False

    def run(self, call: Coroutine[Any, Any, T], seconds: float) -> T:
        """Run a coroutine to its end, at most ``seconds`` long.

        :raises _ExpiredError: after the time; the call has been cancelled, or its thread given up.
        """
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result(seconds)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise  # a TimeoutError of the call itself (one class since Python 3.11)
            self._give_up(future)
            raise _ExpiredError from None
        except BaseException:
            if not future.done():
                self._give_up(future)
            raise

    def _give_up(self, future: concurrent.futures.Future[Any]) -> None:
        future.cancel()
        deadline = time.monotonic() + GRACE
        asked = threading.Event()
        self._loop.call_soon_threadsafe(asked.set)
        self._is_blocked = not asked.wait(GRACE)
        self.stuck = self._is_blocked or self._executor.is_busy(deadline)

    def stop(self) -> None:
        """End the loop and its thread, unless a call blocks them."""
        if self._is_blocked or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(GRACE)
        if not self._thread.is_alive():
            self._loop.close()


class SdkTransport:
    """The Backup resource of one system, through the vendor's package. One login, opened when first needed."""

    def __init__(self, settings: Settings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._settings = settings
        self._sleep = sleep
        self._sdk = _import_sdk(settings.sdk_module)
        self._loop: _Loop | None = None
        self._connection: Any = None
        self._left_behind = 0
        self._file = ""  # of the transfer that runs
        self.tries = 1
        self.gave_up = False

    # The verbs of the Backup resource

    def identity(self) -> System:
        async def call(connection: Any) -> System:
            return self._system(connection)

        return self._read(call, self._settings.read_timeout, "read_timeout")

    def _system(self, connection: Any) -> System:
        return System(self._settings.host, str(connection.machineid), str(connection.distversion))

    def list(self) -> Backups:
        return self._read(self._listing, self._settings.read_timeout, "read_timeout")

    def probe(self) -> None:
        self._disconnect()
        self._once(self._listing, self._settings.read_timeout, "read_timeout", writes=False)

    async def _listing(self, connection: Any) -> Backups:
        backup = await connection.backup()
        return [BackupFile(str(each.name), int(each.size)) for each in await backup.list(self._sdk.BackupFile)]

    def create_new(self, name: str, resource_name: str | None) -> str:
        if name and find(self.list(), name) is not None:  # whether it would be overwritten is not documented
            raise BACKUP_TAKEN.error(name=name)

        async def call(connection: Any) -> str:
            backup = await connection.backup()
            if resource_name:
                return str(await backup.create_new(name, resource_name))
            return str(await backup.create_new(name))

        return self._write(call, self._settings.wait_timeout, "wait_timeout")

    def remove(self, name: str) -> None:
        _require_listed(self.list(), name)

        async def call(connection: Any) -> None:
            await (await connection.backup()).remove(name)

        self._write(call, self._settings.wait_timeout, "wait_timeout")

    def restore(self, name: str, resource_name: str | None, expected_machine_id: str | None) -> str:
        async def call(connection: Any) -> None:
            self._system(connection).require_machine(expected_machine_id)
            backup = await connection.backup()
            if resource_name:
                await backup.restore(name, resource_name)
            else:
                await backup.restore(name)

        _require_listed(self.list(), name)
        try:
            self._write(call, self._settings.wait_timeout, "wait_timeout")
        except OutcomeUnknownError:
            return LOST
        return RETURNED

    def download(self, name: str, path: str) -> Received:
        self._file = path

        async def call(connection: Any) -> None:
            await (await connection.backup()).download(name, dest_path=path)

        def attempt() -> Received:
            listing = self._reopening(self._listing, self._settings.read_timeout, "read_timeout")
            listed = _require_listed(listing, name).size
            self._reopening(call, self._settings.transfer_timeout, "transfer_timeout")
            size, sha256 = digest_file(path)
            if size != listed:
                raise ARRIVED_SHORT.error(size=size, listed=listed, repeatable=True)
            return Received(size, sha256, False, size)

        return repeat(attempt, self._settings, self._sleep, self._count)

    def digest(self, name: str) -> Received:
        with tempfile.TemporaryDirectory(prefix="activelogic-") as folder:
            return self.download(name, os.path.join(folder, "content"))

    def upload(self, name: str, path: str, replace: bool) -> Sent:
        size, sha256 = digest_file(path)
        before = find(self.list(), name)
        if before is not None and not replace:
            raise BACKUP_TAKEN.error(name=name)
        try:
            self._upload(name, path)
        except RefusedError:
            # Whether an upload over an existing name overwrites is unknown: where it does not, make room first.
            if before is None:
                raise
            self._replace(name, path)
        self._check_uploaded(name, size, before)
        return Sent(size, sha256)

    def _check_uploaded(self, name: str, size: int, before: BackupFile | None) -> None:
        """The listing has to show the whole size, at once or after it grew; a part of ours is removed."""
        seen: list[int] = []
        while len(seen) < STEADY or len(set(seen[-STEADY:])) > 1 or not seen[-1]:
            try:
                found = find(self.list(), name)
            except ActiveLogicError as error:
                raise PUSH_UNSEEN.error(reason=error.reason) from error
            if found is None:
                raise PUSH_NOT_LISTED.error(size=size)
            seen.append(found.size or 0)
            if seen[-1] == size:
                return
            if len(seen) > self._settings.wait_timeout / STEADY_PAUSE:
                break
            self._sleep(STEADY_PAUSE)
        if before is not None and before.size == seen[-1]:
            raise PUSH_SHORT.error(size=size, listed=seen[-1], then=", as before; nothing was removed")
        self.remove(name)
        raise PUSH_SHORT.error(size=size, listed=seen[-1], then=", which were removed again")

    def _upload(self, name: str, path: str) -> None:
        self._file = path

        async def call(connection: Any) -> None:
            await (await connection.backup()).upload(name, in_path=path)

        self._write(call, self._settings.transfer_timeout, "transfer_timeout")

    def _replace(self, name: str, path: str) -> None:
        """Remove a backup and upload another one; the old one is kept here meanwhile, and put back on failure."""
        with tempfile.TemporaryDirectory(prefix="activelogic-") as folder:
            kept = os.path.join(folder, "content")
            self.download(name, kept)
            self.remove(name)
            try:
                self._upload(name, path)
            except RefusedError as error:
                try:
                    self._upload(name, kept)
                except ActiveLogicError as second:
                    raise PUSH_LOST_OLD.error(reason=error.reason, second=second.reason) from error
                raise

    def close(self) -> None:
        self._disconnect()
        if self._loop is not None:
            self._loop.stop()
            self._loop = None

    # Sessions

    def _read(self, call: Callable[[Any], Coroutine[Any, Any, T]], seconds: float, clock_option: str) -> T:
        attempt = functools.partial(self._reopening, call, seconds, clock_option)
        return repeat(attempt, self._settings, self._sleep, self._count)

    def _reopening(self, call: Callable[[Any], Coroutine[Any, Any, T]], seconds: float, clock_option: str) -> T:
        """Run a call that changes nothing, again where another session had committed."""
        for _number in range(MAX_REOPEN):
            try:
                return self._once(call, seconds, clock_option, writes=False)
            except StaleDataError:
                continue  # every call opens a new resource, so calling again is all it takes
        return self._once(call, seconds, clock_option, writes=False)

    def _write(self, call: Callable[[Any], Coroutine[Any, Any, T]], seconds: float, clock_option: str) -> T:
        return self._once(call, seconds, clock_option, writes=True)

    def _count(self, number: int) -> None:
        self.tries = max(self.tries, number)

    def _once(
        self, call: Callable[[Any], Coroutine[Any, Any, T]], seconds: float, clock_option: str, writes: bool
    ) -> T:
        """Run one call on the session.

        :param clock_option: the option that set ``seconds``, for the message.
        :param writes: whether a lost answer leaves it open if something on the system has changed.
        """
        connection = self._connect()
        loop = self._running_loop()
        try:
            return loop.run(call(connection), seconds)
        except ActiveLogicError:
            raise
        except _ExpiredError:
            self.gave_up = True
            self._drop()
            if writes:
                raise SYSTEM_LATE_UNKNOWN.error(seconds=seconds, option=clock_option) from None
            raise SYSTEM_LATE.error(seconds=seconds, option=clock_option) from None
        except Exception as error:
            raise self._translate(error, writes) from error

    def _running_loop(self) -> _Loop:
        if self._loop is not None and self._loop.stuck:
            if self._left_behind >= MAX_LEFT_BEHIND:
                raise SYSTEM_HANGS.error()
            self._left_behind += 1
            self._loop.stop()
            self._loop = None
        if self._loop is None:
            self._loop = _Loop()
        return self._loop

    def _connect(self) -> Any:
        if self._connection is not None:
            return self._connection
        settings = self._settings
        loop = self._running_loop()

        async def call() -> Any:
            return await self._sdk.async_connect(settings.host, settings.username, settings.password)

        try:
            self._connection = loop.run(call(), settings.connect_timeout)
        except _ExpiredError:
            self.gave_up = True
            raise SYSTEM_NOT_ANSWERING.error(seconds=settings.connect_timeout, repeatable=not loop.stuck) from None
        except Exception as error:
            raise self._translate_connecting(error) from error
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None or self._loop is None or self._loop.stuck:
            return

        async def call() -> None:
            closing = connection.close()
            if isinstance(closing, Awaitable):  # whether it has to be awaited is not documented
                await closing

        with suppress(Exception):  # a session that can't be closed is gone as well
            self._loop.run(call(), self._settings.connect_timeout)

    def _drop(self) -> None:
        """Forget a session that may still be busy."""
        if self._loop is not None and not self._loop.stuck:
            self._disconnect()
        self._connection = None

    def _translate_connecting(self, error: Exception) -> ActiveLogicError:
        names = _names_of(error)
        if "PLDBIOError" in names:
            return SYSTEM_LOGIN.error(user=self._settings.username)
        if "ConnectionRefusedError" in names:
            return SYSTEM_REFUSES.error(said=self._said(error), repeatable=True)
        if "TimeoutError" in names or "OSError" in names:
            return SYSTEM_UNREACHABLE.error(said=self._said(error), repeatable=True)
        return SYSTEM_LOGIN_FAILED.error(exception=type(error).__name__, said=self._said(error))

    def _translate(self, error: Exception, writes: bool) -> ActiveLogicError:
        names = _names_of(error)
        if "PLDBNewDataCommitted" in names:
            return SYSTEM_STALE.error(said=self._said(error))
        if names[0] not in ANSWERED and any(name in names for name in CONNECTION_LOST):
            self._drop()
            if writes:
                return SYSTEM_LOST_UNKNOWN.error(said=self._said(error))
            return SYSTEM_LOST.error(said=self._said(error), repeatable=True)
        if any(name in names for name in ANSWERED):
            return SYSTEM_ERROR.error(exception=type(error).__name__, said=self._said(error))
        if isinstance(error, OSError):
            return file_error(error, self._file)
        return SDK_FAILED.error(
            module=self._settings.sdk_module, exception=type(error).__name__, said=self._said(error)
        )

    def _said(self, error: Exception) -> str:
        """What an exception says, without the password, in brackets."""
        text = " ".join(str(error).replace(self._settings.password, "********").split()).rstrip(".")
        return f" ({text[:500]})" if text else ""


def _require_listed(listing: Backups, name: str) -> BackupFile:
    """Look before a command: what the system does with a missing name is not documented."""
    found = find(listing, name)
    if found is None:
        raise BACKUP_VANISHED.error(name=name)
    return found


def _names_of(error: BaseException) -> list[str]:
    """Names of the exception's classes, its own first. The vendor documents names, not a hierarchy."""
    return [each.__name__ for each in type(error).__mro__]


def _import_sdk(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SDK_MISSING.error(name=name, said=error) from error
