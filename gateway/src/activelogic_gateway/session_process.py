# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of one session: it logs in, runs the commands that the gateway sends, and ends.

It uses only what the vendor documents: ``async_connect(host, username, password)``, ``async with`` or ``close()``,
``machineid``, ``distversion``, ``backup()``, the methods of ``Backup``, ``BackupFile``, and ``commit()`` of a resource
if it has one. Generations of the package differ, and whether a function is a coroutine is not always documented, so
every awaitable result is awaited.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import json
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from .problems import is_named
from .redaction import excerpt
from .vendor_package import Sdk
from .wire import (
    MOST_BACKUPS,
    MOST_CLASS_NAME,
    MOST_CLASSES,
    MOST_NAME,
    MOST_REPLY,
    MOST_REQUEST,
    MOST_SAID,
    WireError,
    frame,
    receive,
)

READ_TRIES = 5
"""Maximum number of attempts of a read that fails because another session committed meanwhile."""

RESERVE = 32 * 1024**2
"""Bytes beyond the memory limit, with which a session can report that it has reached the limit."""

Run = Callable[[Any], Any]


class ReplyTooLarge(Exception):
    """The package returned more than the gateway accepts."""


def run(connection: socket.socket, load: Callable[[], Sdk], memory_bytes: int) -> None:
    """Run a session until the gateway ends it.

    :param connection: socket to the gateway.
    :param load: returns the package, importing it if necessary.
    :param memory_bytes: limit of address space, beyond what the process uses once the package is imported.
    """
    asyncio.run(_Session(connection, load, memory_bytes).main())


def limit_memory(more: int) -> None:
    """Limit the address space to its current size plus ``more`` bytes; the hard limit is :data:`RESERVE` above that."""
    with open("/proc/self/statm", encoding="ascii") as stream:  # noqa: PTH123 (pathlib takes longer to import)
        mapped = int(stream.read().split()[0]) * resource.getpagesize()
    _, hardest = resource.getrlimit(resource.RLIMIT_AS)
    hard = mapped + more + RESERVE
    if hardest != resource.RLIM_INFINITY:
        hard = min(hard, hardest)
    resource.setrlimit(resource.RLIMIT_AS, (min(mapped + more, hard), hard))


def _free_reserve() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


async def settled(value: Any) -> Any:
    """Return the value, awaiting it if it is awaitable."""
    return await value if inspect.isawaitable(value) else value


@asynccontextmanager
async def entered(connection: Any) -> AsyncIterator[None]:
    """Close the connection after the block: as a context manager, or else by ``close()`` if there is one."""
    if hasattr(type(connection), "__aexit__"):
        async with connection:
            yield
        return
    try:
        yield
    finally:
        if has_end(connection):
            await settled(connection.close())


def has_end(connection: Any) -> bool:
    """Whether the connection can be closed; those of early generations close when their object is deleted."""
    return hasattr(type(connection), "__aexit__") or callable(getattr(connection, "close", None))


class _Session:
    def __init__(self, connection: socket.socket, load: Callable[[], Sdk], memory_bytes: int) -> None:
        self._socket = connection
        self._load = load
        self._memory_bytes = memory_bytes
        self._secrets: tuple[str, ...] = ()
        self._requests: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._running: asyncio.Task[Any] | None = None
        self._resource: Any = None
        self._sdk: Sdk | None = None

    async def main(self) -> None:
        """Log in, run commands, and close the connection."""
        self._running = asyncio.current_task()
        self._reader, self._writer = await asyncio.open_connection(sock=self._socket)
        host, username, password = (await receive(self._reader, MOST_REQUEST))["login"]
        self._secrets = (password,)
        self._listening = asyncio.create_task(self._listen())
        try:
            self._sdk = self._load()
            limit_memory(self._memory_bytes)
            connection = await settled(self._sdk.async_connect(host, username, password))
            del password
        except BaseException as error:
            await self._send(self._failure(error))
            return
        try:
            async with entered(connection):
                await self._serve(connection)
                self._resource = None
            if not has_end(connection):
                del connection
                # A thread of the executor may still hold a reference.
                await asyncio.get_running_loop().shutdown_default_executor()
                gc.collect()  # the connection closes when its object is deleted
                await asyncio.sleep(0.01)
        except BaseException as error:
            await self._send(self._failure(error))
            return
        await self._send({"closed": True})
        sys.stdout.flush()
        os._exit(0)  # don't wait for threads of the package

    async def _listen(self) -> None:
        try:
            while (request := await receive(self._reader, MOST_REQUEST)).get("do") != "end":
                self._requests.put_nowait(request)
        except (EOFError, OSError, WireError):  # the gateway has gone
            os._exit(0)
        if self._is_busy and self._running is not None:
            self._running.cancel()
        self._requests.put_nowait(None)

    _is_busy = True
    """Whether the vendor's code is running."""

    async def _serve(self, connection: Any) -> None:
        await self._send({"opened": [str(connection.machineid)[:MOST_NAME], str(connection.distversion)[:MOST_NAME]]})
        self._is_busy = False
        while (request := await self._requests.get()) is not None:
            self._is_busy = True
            ended: BaseException | None = None
            try:
                reply = {"result": await self._perform(connection, request), "is_pending": self._is_pending}
            except BaseException as error:
                reply = self._failure(error, has_run=self._has_run)
                ended = None if isinstance(error, Exception) else error
            await self._send(reply)
            if ended is not None:
                raise ended  # such as SystemExit from the package
            self._is_busy = False

    async def _send(self, message: dict[str, Any]) -> None:
        self._writer.write(frame(message))
        with contextlib.suppress(OSError):
            await self._writer.drain()

    def _failure(self, error: BaseException, has_run: bool = False) -> dict[str, Any]:
        """Describe an exception as plain data, even if its class misbehaves."""
        if isinstance(error, MemoryError):
            _free_reserve()
        try:
            names = [str(each.__name__)[:MOST_CLASS_NAME] for each in type(error).__mro__[:MOST_CLASSES]]
        except BaseException:
            names = ["Exception"]
        try:
            said = excerpt(" ".join(str(error)[: 100 * MOST_SAID].split()), self._secrets, MOST_SAID)
        except BaseException:
            said = "(its text can't be read)"
        try:
            number = error.errno if type(error.errno) is int and abs(error.errno) < 2**31 else None  # type: ignore[attr-defined]
        except BaseException:
            number = None
        return {"error": {"names": names, "said": said, "errno": number}, "has_run": has_run}

    # Commands

    _has_run = False
    """Whether a command that changes something has succeeded, so that only its commit can have failed."""

    _is_pending = False
    """Whether other sessions may see the change only after this session has ended."""

    async def _perform(self, connection: Any, request: dict[str, Any]) -> Any:
        self._has_run = False
        name = request.get("name", "")
        given = {} if request.get("resource_name") is None else {"resource_name": request["resource_name"]}
        match request["do"]:
            case "list":
                return await self._list(connection)
            case "create_new":
                created = await self._change(connection, lambda backup: backup.create_new(name, **given))
                return str(created)[:MOST_NAME] if isinstance(created, str) else None
            case "restore":
                await self._change(connection, lambda backup: backup.restore(name, **given))
            case "remove":
                await self._change(connection, lambda backup: backup.remove(name))
            case "upload":
                await self._change(connection, lambda backup: backup.upload(name, in_path=request["path"]))
            case "download":
                with _largest_file(request["bytes"]):
                    await self._read(connection, lambda backup: backup.download(name, dest_path=request["path"]))
            case _:
                raise WireError("an unknown command")
        return None

    async def _list(self, connection: Any) -> None:
        async def rows(backup: Any) -> list[list[Any]]:
            found: list[list[Any]] = []
            for row in await settled(backup.list(self._sdk.backup_file if self._sdk else None)):
                name, size = str(row.name), int(row.size)
                if len(found) >= MOST_BACKUPS:
                    raise ReplyTooLarge(f"the listing has more than {MOST_BACKUPS} backups")
                if len(name) > MOST_NAME or not 0 <= size < 2**63:
                    raise ReplyTooLarge("the listing has a name or a size that no backup can have")
                found.append([name, size])
            return found

        part: list[list[Any]] = []
        size = 0
        for row in await self._read(connection, rows):
            part.append(row)
            size += len(json.dumps(row)) + 2
            if size > MOST_REPLY // 2:  # leaves room for one more row
                await self._send({"rows": part})
                part, size = [], 0
        await self._send({"rows": part})

    async def _read(self, connection: Any, run: Run) -> Any:
        """Run a read on a new resource; repeat it on another new one if another session commits meanwhile."""
        for left in reversed(range(READ_TRIES)):
            self._resource = await settled(connection.backup())
            try:
                return await settled(run(self._resource))
            except Exception as error:
                if not left or not is_named(error, "PLDBNewDataCommitted"):
                    raise
        raise RuntimeError("unreachable")

    async def _change(self, connection: Any, run: Run) -> Any:
        """Run a write on the resource of the last listing, so that a commit by another session since then is detected.

        Whether writes commit by themselves is not documented: a commit method of the resource is called at once.
        """
        backup, self._resource = self._resource, None
        if backup is None:
            backup = await settled(connection.backup())
        result = await settled(run(backup))
        self._has_run = True
        commit = getattr(backup, "commit", None)
        if callable(commit):
            await settled(commit())
        self._is_pending = not callable(commit)
        return result


@contextlib.contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """Limit the size of files to ``size`` bytes: a download that never ends must not fill the disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size if soft == resource.RLIM_INFINITY else min(size, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
