# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to an embedded system: for asyncio, and through a proxy with blocking methods."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import threading
import weakref
from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

from .backup import Backup, CommittingBackup
from .exception import PLDBError, PLDBIOError
from .store import Level, Resource, Store, root_from_environment, why_illegal
from .transaction import Transaction
from .troubles import QuirkState, now


class Connection:
    """A session with one system. Applications get it from :func:`async_connect` or :func:`sync_connect`."""

    def __init__(self, store: Store, username: str) -> None:
        self._username = username
        self._troubles = QuirkState(store.folder)
        self._opened_at = now()
        self._is_closed = False
        self.transaction = Transaction(store, self._troubles, self._opened_at)
        self._store = self.transaction.store
        self._end = weakref.finalize(self, self.transaction.end)  # garbage collection also ends the session

    @property
    def machineid(self) -> str:
        """The machine id, 12 hex digits; ``ValueError`` once the session is closed."""
        return self._fact("machineid")

    @property
    def distversion(self) -> str:
        """The firmware; ``ValueError`` once the session is closed."""
        return self._fact("distversion")

    def _fact(self, key: str) -> str:
        if not self._is_open():
            raise ValueError("not connected")
        return self._store.fact(key)

    def _is_open(self) -> bool:
        return not self._is_closed and not self._troubles.is_cut(self._opened_at)

    def require_open(self) -> None:
        """Raise ``PLDBIOError`` if the session is closed, lost or disconnected."""
        if not self._is_open():
            raise PLDBIOError("the session is closed")

    def require_uncut(self) -> None:
        """Raise ``PLDBIOError`` if the system has disconnected the session."""
        if self._troubles.is_cut(self._opened_at):
            raise PLDBIOError("the connection was lost")

    def lose(self) -> None:
        """Mark the session as lost."""
        self._is_closed = True
        self.transaction.is_lost = True
        self._end()

    async def backup(self) -> Backup:
        """Open the Backup resource."""
        self.require_open()
        kind = CommittingBackup if self._troubles.quirks.offers_commit else Backup
        return await asyncio.to_thread(kind, self, self._store, self._username, self._troubles)

    async def system_overview(self) -> SystemOverview:
        """Open the resource that lists all systems."""
        self.require_open()
        return SystemOverview(self, self._store, self._username)

    def close(self) -> Closed:
        """End the session at once; the result may be awaited, but need not be."""
        self._is_closed = True
        self._end()
        return Closed()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Closed:
    """The result of ``close``: it may be awaited or not, since the vendor does not document which."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


@dataclass
class GraphSystem:
    """A system in the overview; ``configmd5`` is the MD5 of its configuration."""

    systemid: str
    name: str
    host: str
    distversion: str
    lastupdate: datetime
    firstupdate: datetime
    configmd5: str


class SystemOverview:
    """The resource that lists all systems below the same root."""

    def __init__(self, connection: Connection, store: Store, username: str) -> None:
        self._connection = connection
        self._store = store
        self._username = username

    async def list(self, cls: type) -> list[GraphSystem]:
        """List the systems; ``cls`` must be :class:`GraphSystem`, otherwise raises ``ValueError``."""
        if cls is not GraphSystem:
            raise ValueError(f"invalid dataclass type {cls!r}")
        self._connection.require_open()
        return await asyncio.to_thread(self._listing)

    def _listing(self) -> list[GraphSystem]:  # type: ignore[valid-type]
        if self._store.level(self._username, Resource.CONFIG) < Level.READ:
            raise PLDBError(f"user {self._username} lacks the privilege read")
        found = []
        for folder in sorted(self._store.folder.parent.iterdir()):
            if folder.name.startswith("."):
                continue
            try:
                store = Store(folder)
            except FileNotFoundError:
                continue
            found.append(
                GraphSystem(
                    systemid=store.fact("machineid"),
                    name=store.fact("name"),
                    host=folder.name,
                    distversion=store.fact("distversion"),
                    lastupdate=datetime.fromisoformat(store.fact("lastupdate")),
                    firstupdate=datetime.fromisoformat(store.fact("firstupdate")),
                    configmd5=store.config_md5(),
                )
            )
        return found


def _find(host: str) -> Store:
    root = root_from_environment()
    store = None
    if root is not None and not why_illegal(host) and not host.startswith("."):
        try:
            store = Store(root / host)
        except FileNotFoundError:
            store = None
    if store is None:
        raise ConnectionRefusedError(f"nothing answers at {host!r}")
    QuirkState(store.folder).require_reachable()
    return store


def _log_in(store: Store, username: str, password: str) -> Connection:
    if not store.may_log_in(username, password):
        raise PLDBIOError(f"authorization of user {username!r} failed")
    return Connection(store, username)


async def async_connect(host: str, username: str, password: str) -> Connection:
    """Log in to a system.

    :raises ConnectionRefusedError: if there is no system ``host`` below the root, or it is down.
    :raises TimeoutError: if it is down and does not respond.
    :raises PLDBIOError: if the login is refused.
    """
    store = await asyncio.to_thread(_find, host)
    troubles, line = QuirkState(store.folder), _NoLine()
    await troubles.apply_faults("connect", "before", line)
    connection = await asyncio.to_thread(_log_in, store, username, password)
    await troubles.apply_faults("connect", "after", connection)
    return connection


class _NoLine:
    """Stands for the session before the login, when there is none."""

    def lose(self) -> None:
        """Do nothing: there is no session to lose."""

    def require_uncut(self) -> None:
        """Do nothing: there is no session to disconnect."""


def sync_connect(host: str, username: str, password: str) -> Any:
    """Like :func:`async_connect`, but the connection and its resources have blocking methods."""
    loop = _LoopThread()
    try:
        connection = loop.run(async_connect(host, username, password))
    except BaseException:
        loop.stop()
        raise
    return _ConnectionProxy(connection, loop)


class _LoopThread:
    """An event loop in a daemon thread, so that blocking methods also work where another loop is running."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._main, name="activelogic-sync", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(thread_name_prefix="activelogic-sync") as executor:
            self._loop.set_default_executor(executor)
            try:
                self._loop.run_forever()
            finally:
                self._loop.close()

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        with self._lock:
            if self._is_stopping:
                call.close()
                raise PLDBIOError("the session is closed")
            future = asyncio.run_coroutine_threadsafe(call, self._loop)
        return future.result()

    def stop(self) -> None:
        """Wait for running calls, whose callers may be other threads, then stop the loop and its threads."""
        with self._lock:
            if self._is_stopping:
                return
            self._is_stopping = True
            asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        if threading.current_thread() is not self._thread:  # it is if a proxy was garbage-collected in that thread
            self._thread.join()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        self._loop.stop()


class _Proxy:
    """Wraps an object of the asyncio API: its coroutine methods block, everything else is unchanged."""

    def __init__(self, target: Any, loop: _LoopThread, parent: _Proxy | None = None) -> None:
        self._target = target
        self._loop = loop
        self._parent = parent  # keeps the connection alive, whose end would stop the loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not inspect.iscoroutinefunction(found):
            return found

        @functools.wraps(found)
        def blocking(*positional: Any, **named: Any) -> Any:
            result = self._loop.run(found(*positional, **named))
            return _Proxy(result, self._loop, self) if isinstance(result, (Backup, SystemOverview)) else result

        return blocking


class _ConnectionProxy(_Proxy):
    """The proxy of a connection, which stops the loop at the end."""

    def __init__(self, target: Connection, loop: _LoopThread) -> None:
        super().__init__(target, loop)
        self._finalizer = weakref.finalize(self, loop.stop)

    def close(self) -> None:
        """End the session."""
        self._target.close()
        self._finalizer()

    def __enter__(self) -> _ConnectionProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
