# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The four ways to the Backup resource, in one small vocabulary, with errors as one word each.

``sdk-async`` and ``sdk-sync`` use the stand-in itself; ``client-gateway`` and ``client-direct`` are the collection's
client. Only what the vendor documents is used of the stand-in, and its exceptions are told apart by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from ansible_collections.netops.activelogic.plugins.module_utils import _errors
from ansible_collections.netops.activelogic.plugins.module_utils._client import Client, open_client
from ansible_collections.netops.activelogic.plugins.module_utils._connection import Settings

SDK_ASYNC = "sdk-async"
SDK_SYNC = "sdk-sync"
CLIENT_GATEWAY = "client-gateway"
CLIENT_DIRECT = "client-direct"
SDK_WAYS = (SDK_ASYNC, SDK_SYNC)
CLIENT_WAYS = (CLIENT_GATEWAY, CLIENT_DIRECT)
WAYS = (*SDK_WAYS, *CLIENT_WAYS)

REFUSED = "refused"
STALE = "stale"
TYPE = "type"
VALUE = "value"
LOGIN = "login"
UNREACHABLE = "unreachable"
NO_SESSION = "no session"
LOCAL_FILE = "local file"
DEADLINE = "deadline"
UNKNOWN = "unknown"
TRANSFER = "transfer"

_SDK_WORDS = {
    "PLDBNewDataCommitted": STALE,
    "PLDBError": REFUSED,
    "PLDBCriticalError": REFUSED,
    "PLDBIOError": NO_SESSION,
    "PLDBDetached": NO_SESSION,
    "TypeError": TYPE,
    "ValueError": VALUE,
    "ConnectionRefusedError": UNREACHABLE,
    "TimeoutError": UNREACHABLE,
    "OSError": LOCAL_FILE,
}
_CLIENT_WORDS: tuple[tuple[type[_errors.ActiveLogicError], str], ...] = (
    (_errors.StaleDataError, STALE),
    (_errors.AuthenticationError, LOGIN),
    (_errors.UnreachableError, UNREACHABLE),
    (_errors.LocalFileError, LOCAL_FILE),
    (_errors.DeadlineError, DEADLINE),
    (_errors.OutcomeUnknownError, UNKNOWN),
    (_errors.TransferError, TRANSFER),
    (_errors.NotFoundError, REFUSED),
    (_errors.ConflictError, REFUSED),
    (_errors.OptionError, REFUSED),
    (_errors.AccessDeniedError, REFUSED),
    (_errors.RefusedError, REFUSED),
)


class CommandError(Exception):
    """A command failed; ``word`` is one of those above, or the name of an exception that nobody expects."""

    def __init__(self, word: str, text: str) -> None:
        super().__init__(f"{word}: {text}")
        self.word = word
        self.text = text


@contextlib.contextmanager
def failures_of_sdk(connecting: bool = False) -> Iterator[None]:
    """Turn the exceptions of a stand-in into failures; while connecting, PLDBIOError is a refused login."""
    try:
        yield
    except Exception as error:
        names = [each.__name__ for each in type(error).__mro__]
        word = next((_SDK_WORDS[name] for name in names if name in _SDK_WORDS), names[0])
        word = LOGIN if connecting and word == NO_SESSION else word
        raise CommandError(word, str(error)) from error


@contextlib.contextmanager
def failures_of_client() -> Iterator[None]:
    """Turn the errors of the collection's client into failures."""
    try:
        yield
    except _errors.ActiveLogicError as error:
        word = next((word for kind, word in _CLIENT_WORDS if isinstance(error, kind)), type(error).__name__)
        raise CommandError(word, error.sentence("")) from error


class Session(Protocol):
    """A login at one system."""

    def identity(self) -> tuple[str, str]:
        """Machine id and firmware."""

    def list(self) -> dict[str, int]:
        """Sizes in bytes by name."""

    def create_new(self, name: str = "", resource_name: str | None = None) -> str:
        """Create a backup; returns its name."""

    def restore(self, name: str, resource_name: str | None = None) -> None:
        """Restore a backup, wholly or one resource of it."""

    def remove(self, name: str) -> None:
        """Remove a backup."""

    def download(self, name: str, path: Path) -> None:
        """Write a backup to a file."""

    def upload(self, name: str, path: Path) -> None:
        """Store a file as a backup."""

    def close(self) -> None:
        """End it."""


class SdkSession:
    """The vendor's API; :meth:`call` runs any method of one Backup resource with any arguments."""

    def __init__(self, module: str, way: str, host: str, username: str, password: str) -> None:
        self.sdk = importlib.import_module(module)
        self._runner = asyncio.Runner() if way == SDK_ASYNC else None
        try:
            with failures_of_sdk(connecting=True):
                if self._runner is None:
                    self.connection = self.sdk.sync_connect(host, username, password)
                else:
                    self.connection = self._runner.run(self.sdk.async_connect(host, username, password))
        except CommandError:
            self._end()
            raise
        self.reopen()

    def run(self, result: Any) -> Any:
        """The result of a call: on the asyncio way it is awaited."""
        return result if self._runner is None else self._runner.run(result)

    def reopen(self) -> None:
        """Open a new Backup resource in the same session."""
        with failures_of_sdk():
            self.backup = self.run(self.connection.backup())

    def call(self, method: str, *positional: Any, **named: Any) -> Any:
        """Call a method of the Backup resource."""
        with failures_of_sdk():
            return self.run(getattr(self.backup, method)(*positional, **named))

    def identity(self) -> tuple[str, str]:
        return self.connection.machineid, self.connection.distversion

    def list(self) -> dict[str, int]:
        listed = self.call("list", self.sdk.BackupFile)
        sizes = {each.name: each.size for each in listed}
        assert len(sizes) == len(listed), "a name is listed twice"
        return sizes

    def create_new(self, name: str = "", resource_name: str | None = None) -> str:
        named: dict[str, Any] = {"name": name} if name else {}
        if resource_name is not None:
            named["resource_name"] = resource_name
        created: str = self.call("create_new", **named)
        return created

    def restore(self, name: str, resource_name: str | None = None) -> None:
        named = {} if resource_name is None else {"resource_name": resource_name}
        assert self.call("restore", name, **named) is None

    def remove(self, name: str) -> None:
        assert self.call("remove", name) is None

    def download(self, name: str, path: Path) -> None:
        self.call("download", name, dest_path=str(path))

    def upload(self, name: str, path: Path) -> None:
        self.call("upload", name, in_path=str(path))

    def run_close(self) -> None:
        """Close the connection, and keep the loop."""
        closing = self.connection.close()
        if self._runner is not None and hasattr(closing, "__await__"):  # whether it has to be is not documented

            async def wait() -> None:
                await closing

            self._runner.run(wait())

    def close(self) -> None:
        self.run_close()
        self._end()

    def _end(self) -> None:
        if self._runner is not None:
            self._runner.close()


class ClientSession:
    """The collection's client."""

    client: Client

    def __init__(self, settings: Settings) -> None:
        with failures_of_client():
            self.client = open_client(settings)

    def identity(self) -> tuple[str, str]:
        with failures_of_client():
            system = self.client.identity()
        return str(system.machineid), str(system.distversion)

    def list(self) -> dict[str, int]:
        with failures_of_client():
            listed = self.client.list()
        sizes = {each.name: each.size or 0 for each in listed}
        assert len(sizes) == len(listed), "a name is listed twice"
        return sizes

    def create_new(self, name: str = "", resource_name: str | None = None) -> str:
        with failures_of_client():
            return self.client.create_new(name, resource_name)

    def restore(self, name: str, resource_name: str | None = None) -> None:
        with failures_of_client():
            outcome = self.client.restore(name, resource_name)
        if outcome != "returned":
            raise CommandError(UNKNOWN, "the connection was lost during the restore")

    def remove(self, name: str) -> None:
        with failures_of_client():
            self.client.remove(name)

    def download(self, name: str, path: Path) -> None:
        with failures_of_client():
            self.client.download(name, str(path))

    def upload(self, name: str, path: Path) -> None:
        with failures_of_client():
            self.client.upload(name, str(path))

    def close(self) -> None:
        self.client.close()


@dataclass
class Way:
    """One of the four, with what it takes to log in; sessions that stay open are closed with it."""

    name: str
    module: str
    gateway_url: str
    ca_path: str

    def __post_init__(self) -> None:
        self._open: list[Session] = []

    def __enter__(self) -> Way:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._open:
            session.close()

    def connect(self, host: str, username: str, password: str, **options: Any) -> Any:
        """Log in; on the client's ways the login happens with the first command.

        :param options: of the client's connection, such as ``read_timeout``.
        """
        session: Session
        if self.name in SDK_WAYS:
            session = SdkSession(self.module, self.name, host, username, password)
        else:
            through = {"gateway_url": self.gateway_url, "ca_path": self.ca_path}
            more: dict[str, Any] = through if self.name == CLIENT_GATEWAY else {"sdk_module": self.module}
            given: dict[str, Any] = {"retries": 1, "retry_delay": 0.05, **more, **options}
            settings = Settings(host, username, password, **given)
            session = ClientSession(settings)
        self._open.append(session)
        return session
