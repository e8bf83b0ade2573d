# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program in the process of the vendor's package: one session at a time. Private to this collection.

The only file that imports the vendor's package. It relies only on what the vendor documents:
``async_connect(host, username, password)``, ``await conn.backup()``, and the methods of the Backup resource. Packages
of earlier generations lack ``close`` and the context manager, and whether the resource has to be committed is not
documented, so these are used if they exist. Every value is validated before it leaves this process. The counterpart is
``_sdk_process``.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import resource
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any

MAX_MEMORY = 2 * 1024**3
"""Bytes of address space of this process."""

MAX_ROWS = 250_000
"""Backups in a listing."""

ROWS_AT_ONCE = 100
"""Rows of a listing in each line of an answer."""

MAX_NAME = 1000
"""Characters of a text that are passed on; a longer one is no legal name, and neither is its beginning."""

MAX_SIZE = 2**63
_PIECE = 64 * 1024
MAX_TEXT = 2000
"""Characters of an exception's text."""

MAX_CLASSES = 50
"""Classes of an exception that are passed on."""

KILL_AFTER = 10.0
"""Seconds after the deadline of a request until an alarm kills this process, should nobody else do it."""

OPENING = "opening"
SENT = "sent"
COMMITTING = "committing"
"""How far a command got: before it was sent, after that, or in its commit."""


class _FlawError(Exception):
    """The package returned something undocumented; the text is the end of a sentence about it."""


class _NotConnectedError(Exception):
    """The session is lost."""


class Session:
    """A session with a system, made and used in one event loop."""

    def __init__(self, sdk: Any) -> None:
        self._sdk = sdk
        self._connection: Any = None
        self._exit: AsyncExitStack | None = None
        self.phase = OPENING

    async def open(self, host: str, username: str, password: str) -> None:
        """Log in."""
        await self.close()
        connection = await self._sdk.async_connect(host, username, password)
        if connection is None:
            raise _FlawError("connected without a connection")
        self._connection = connection
        kind = type(connection)
        if hasattr(kind, "__aenter__") and hasattr(kind, "__aexit__"):
            self._exit = AsyncExitStack()
            await self._exit.enter_async_context(connection)

    async def close(self) -> bool:
        """Close the session. False if the package has no way to close it, so that it is only dropped."""
        leave, self._exit = self._exit, None
        connection, self._connection = self._connection, None
        if connection is None:
            return True
        if leave is not None:
            await leave.aclose()
            return True
        close = getattr(connection, "close", None)
        if callable(close):
            await _await_if_needed(close())
            return True
        del connection
        gc.collect()
        return False

    def facts(self) -> dict[str, str]:
        """Machine id and firmware version."""
        found = {}
        for name in ("machineid", "distversion"):
            try:
                value = getattr(self._connection, name)
            except ValueError as error:  # as documented: not connected
                raise _NotConnectedError(str(error)) from error
            if not isinstance(value, str):
                raise _FlawError(f"gave a {type(value).__name__} as {name}, not a str")
            found[name] = _plain(value)
        return found

    async def list(self) -> Any:
        """Names and sizes of all backups."""
        backup = await self._connection.backup()
        return _rows(await backup.list(self._sdk.BackupFile))

    async def create_new(self, name: str, resource_name: str | None) -> dict[str, Any]:
        """Create a backup."""
        named = {} if resource_name is None else {"resource_name": resource_name}

        def check(made: Any) -> str:
            if not isinstance(made, str) or not made:
                raise _FlawError(f"created a backup and returned a {type(made).__name__}, not its name")
            return _plain(made)

        return await self._write(lambda backup: backup.create_new(name, **named), check)

    async def remove(self, name: str) -> dict[str, Any]:
        """Remove a backup."""
        return await self._write(lambda backup: backup.remove(name))

    async def restore(self, name: str, resource_name: str | None, expected_machine_id: str | None) -> dict[str, Any]:
        """Restore a backup if this is the expected machine; otherwise return the id of the machine."""
        machine = self.facts()["machineid"]
        if expected_machine_id not in (None, machine):
            return {"other_machine": machine, "is_committed": True}
        named = {} if resource_name is None else {"resource_name": resource_name}
        return await self._write(lambda backup: backup.restore(name, **named))

    async def download(self, name: str, path: str, most: int | None, descriptor: int | None = None) -> None:
        """Write a backup into a local file, by path or by descriptor; at most ``most`` bytes."""
        with _limit_file_size(most):
            if descriptor is None:
                await (await self._connection.backup()).download(name, dest_path=path)
                return
            with open(descriptor, "wb") as target:  # noqa: ASYNC230 - nothing else runs in this loop
                await (await self._connection.backup()).download(name, ofile_obj=target)

    async def upload(self, name: str, path: str) -> dict[str, Any]:
        """Send a local file."""
        return await self._write(lambda backup: backup.upload(name, in_path=path))

    async def _write(
        self, run: Callable[[Any], Awaitable[Any]], check: Callable[[Any], Any] | None = None
    ) -> dict[str, Any]:
        """Run a command that changes something, and commit it if the resource has a commit."""
        backup = await self._connection.backup()
        self.phase = SENT
        result = await run(backup)
        result = None if check is None else check(result)
        commit = getattr(backup, "commit", None)
        if callable(commit):
            self.phase = COMMITTING
            await _await_if_needed(commit())
        return {"result": result, "is_committed": callable(commit)}


async def _await_if_needed(result: Any) -> None:
    """Await the result if it is awaitable: for ``close`` and ``commit`` this is not documented."""
    if isinstance(result, Awaitable):
        await result


def _rows(listed: Any) -> list[tuple[str, int]]:
    """Names and sizes (bytes) of a listing; :raises _FlawError: when it is not as documented."""
    if not isinstance(listed, (list, tuple)):
        raise _FlawError(f"listed a {type(listed).__name__}, not a list")
    if len(listed) > MAX_ROWS:
        raise _FlawError(f"listed {len(listed)} backups, more than {MAX_ROWS}")
    rows: list[tuple[str, int]] = []
    for each in listed:
        if len(rows) == MAX_ROWS:  # a subclass may report a wrong length
            raise _FlawError(f"listed more than {MAX_ROWS} backups")
        name, size = getattr(each, "name", None), getattr(each, "size", None)
        if not isinstance(name, str):
            raise _FlawError(f"listed a backup with a {type(name).__name__} as its name, not a str")
        if not isinstance(size, int) or isinstance(size, bool):
            raise _FlawError(f"listed a backup with a {type(size).__name__} as its size, not an int")
        whole = int.__index__(size)  # even if a subclass overrides it
        if not 0 <= whole < MAX_SIZE:
            raise _FlawError("listed a backup with a size that can't be one")
        rows.append((_plain(name), whole))
    return rows


def _plain(text: str) -> str:
    """The beginning of a text as a plain string, even if a subclass overrides its methods."""
    return str.__getitem__(text, slice(MAX_NAME))


# The process


class _Server:
    """Answers requests from a socket, one at a time."""

    def __init__(self, channel: socket.socket, sdk: Any) -> None:
        self._channel = channel
        self._session = Session(sdk)
        self._running: asyncio.Task[dict[str, Any]] | None = None
        self._is_ending = False

    async def serve(self) -> None:
        """Serve until the request to end, or until the other side is gone."""
        loop = asyncio.get_running_loop()
        requests: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        def take(request: dict[str, Any]) -> None:
            if request["do"] == "end":
                self._is_ending = True
                if self._running is not None:
                    self._running.cancel()
            requests.put_nowait(request)

        def read() -> None:
            try:
                for request in requests_from(self._channel):
                    loop.call_soon_threadsafe(take, request)
            finally:  # also for ConnectionResetError, when the module did not read an answer
                os._exit(1)  # the module is gone, so this process has to end too

        threading.Thread(target=read, name="activelogic-requests", daemon=True).start()
        while not self._is_ending:
            request = await requests.get()
            if request["do"] != "end":
                signal.setitimer(signal.ITIMER_REAL, min(request["seconds"], 10.0**8) + KILL_AFTER)
                self._running = asyncio.create_task(self._answer(request))
                answer = await self._running
                self._running = None
                if not self._is_ending:
                    self._send(request["number"], answer)
                signal.setitimer(signal.ITIMER_REAL, 0)
        with suppress(Exception):  # a session that can't be closed is gone as well
            await self._session.close()

    def _send(self, number: int, answer: dict[str, Any]) -> None:
        """Send an answer with the number of its request; the rows of a listing go before it, in batches."""
        rows = answer.get("value")
        if isinstance(rows, list):
            for start in range(0, len(rows), ROWS_AT_ONCE):
                send(self._channel, {"number": number, "rows": rows[start : start + ROWS_AT_ONCE]})
            answer = {"value": None}
        send(self._channel, {"number": number, **answer})

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run a request; every exception of the package, even ``SystemExit``, becomes an answer."""
        session = self._session
        session.phase = OPENING
        arguments = {key: value for key, value in request.items() if key not in ("do", "seconds", "number")}
        try:
            value = getattr(session, request["do"])(**arguments)
            return {"value": await value if isinstance(value, Awaitable) else value}
        except _FlawError as flaw:
            return {"flaw": str(flaw)[:MAX_TEXT], "phase": session.phase}
        except BaseException as error:  # noqa: BLE001  # pylint: disable=broad-exception-caught
            return {"error": describe(error), "phase": session.phase}


def requests_from(channel: socket.socket) -> Iterator[dict[str, Any]]:
    """Requests until the other side is gone; with ``with_file`` a request comes with a file descriptor."""
    received, files = b"", []
    while True:
        piece, descriptors, _flags, _address = socket.recv_fds(channel, _PIECE, 1)
        if not piece:
            return
        files += descriptors
        *lines, received = (received + piece).split(b"\n")
        for line in lines:
            request: dict[str, Any] = json.loads(line)
            if request.pop("with_file", False):
                request["descriptor"] = files.pop(0)
                os.set_inheritable(request["descriptor"], False)
            yield request


def send(channel: socket.socket, answer: dict[str, Any]) -> None:
    """Send an answer as one line."""
    channel.sendall(json.dumps(answer).encode("ascii") + b"\n")


def describe(error: BaseException) -> dict[str, Any]:
    """Describe an exception: names of its classes, its text, and the error of the operating system behind it.

    The vendor documents names, not a hierarchy.
    """
    names = _names_of(error)
    behind: BaseException | None = error
    for _number in range(5):
        if behind is None or isinstance(behind, OSError):
            break
        behind = behind.__cause__ or behind.__context__
    found = None
    if isinstance(behind, OSError):
        found = {
            "names": _names_of(behind),
            "number": behind.errno if isinstance(behind.errno, int) else None,
            "why": _text(behind.strerror) or type(behind).__name__,
            "path": _text(os.fsdecode(behind.filename)) if isinstance(behind.filename, (str, bytes)) else None,
            "is_itself": behind is error,
        }
    is_not_connected = isinstance(error, _NotConnectedError)
    return {"names": names, "text": _text(error), "system_error": found, "is_not_connected": is_not_connected}


def _names_of(error: BaseException) -> list[str]:
    return [str(each.__name__)[:MAX_NAME] for each in type(error).__mro__[:MAX_CLASSES]]


def _text(value: object) -> str:
    try:
        return "" if value is None else str.__getitem__(str(value), slice(MAX_TEXT))
    except BaseException:  # noqa: BLE001  # pylint: disable=broad-exception-caught
        return ""


@contextmanager
def _limit_file_size(size: int | None) -> Iterator[None]:
    """Limit the size of files in bytes: a download that never ends must not fill the disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limits = [each for each in (size, soft, hard) if each not in (None, resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(limits, default=resource.RLIM_INFINITY), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _limit_memory() -> None:
    """Limit the memory of this process, and forbid core dumps, which would contain the login."""
    for what, most in ((resource.RLIMIT_AS, MAX_MEMORY), (resource.RLIMIT_CORE, 0)):
        _soft, hard = resource.getrlimit(what)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(OSError, ValueError):  # a platform that does not have it
            resource.setrlimit(what, (limit, limit))


def main(descriptor: int, module: str) -> None:
    """Import the package, report that, and serve."""
    channel = socket.socket(fileno=descriptor)
    channel.set_inheritable(False)
    _limit_memory()
    try:
        sdk = importlib.import_module(module)
    except BaseException as error:  # noqa: BLE001  # pylint: disable=broad-exception-caught
        send(channel, {"number": 0, "error": describe(error)})
        return
    missing = [each for each in ("async_connect", "BackupFile") if not hasattr(sdk, each)]
    if missing:
        send(channel, {"number": 0, "flaw": f"has no {' and no '.join(missing)}"})
        return
    send(channel, {"number": 0, "value": None})
    asyncio.run(_Server(channel, sdk).serve())
