# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The four ways to the Backup resource, behind one interface; each kind of error is a single word.

``sdk-async`` and ``sdk-sync`` use the stand-in itself; ``client-gateway`` and ``client-direct`` use the collection's
client. Only documented parts of the stand-in's API are used, and its exceptions are identified by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Protocol

from ansible_collections.netops.activelogic.plugins.module_utils import _errors
from ansible_collections.netops.activelogic.plugins.module_utils._client import Client, open_client
from ansible_collections.netops.activelogic.plugins.module_utils._connection import Settings

from tests.contract import standins
from tests.harness.login import DIRECT, GATEWAY, route_options

SDK_ASYNC = "sdk-async"
SDK_SYNC = "sdk-sync"
CLIENT_GATEWAY = "client-gateway"
CLIENT_DIRECT = "client-direct"
SDK_WAYS = (SDK_ASYNC, SDK_SYNC)
CLIENT_WAYS = (CLIENT_GATEWAY, CLIENT_DIRECT)
WAYS = (*SDK_WAYS, *CLIENT_WAYS)

REFUSED = "refused"
CRITICAL = "critical"
STALE = "stale"
TYPE = "type"
VALUE = "value"
LOGIN = "login"
UNREACHABLE = "unreachable"
NO_SESSION = "no session"
DETACHED = "detached"
CAPABILITY = "capability"
UNSUPPORTED = "unsupported"
LOCAL_FILE = "local file"
DEADLINE = "deadline"
UNKNOWN = "unknown"
TRANSFER = "transfer"

READY_SECONDS = 60.0
"""Seconds that a system may take to respond after a restore."""

_SDK_WORDS = {
    "PLDBNewDataCommitted": STALE,
    "PLDBError": REFUSED,
    "PLDBCriticalError": CRITICAL,
    "PLDBIOError": NO_SESSION,
    "PLDBDetached": DETACHED,
    "PLDBCapabilityError": CAPABILITY,
    "PLDBUnsupportedInFirmware": UNSUPPORTED,
    "PLDBUnsupportedInHardware": UNSUPPORTED,
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
    """A command failed; ``word`` is one of the above, or the name of an unexpected exception."""

    def __init__(self, word: str, text: str) -> None:
        super().__init__(f"{word}: {text}")
        self.word = word
        self.text = text


@contextlib.contextmanager
def failures_of_sdk(module: str, connecting: bool = False) -> Iterator[None]:
    """Convert a stand-in's exceptions to :class:`CommandError`; while connecting, PLDBIOError means a refused login.

    The vendor's exceptions count only if they are the classes in the stand-in's module ``exception``.
    """
    try:
        yield
    except Exception as error:
        exceptions = importlib.import_module(f"{module}.exception")
        kinds = [
            each.__name__
            for each in type(error).__mro__
            if each.__module__ == "builtins" or getattr(exceptions, each.__name__, None) is each
        ]
        word = next((_SDK_WORDS[name] for name in kinds if name in _SDK_WORDS), type(error).__name__)
        word = LOGIN if connecting and word == NO_SESSION else word
        raise CommandError(word, str(error)) from error


@contextlib.contextmanager
def failures_of_client() -> Iterator[None]:
    """Convert the errors of the collection's client to :class:`CommandError`."""
    try:
        yield
    except _errors.ActiveLogicError as error:
        word = next((word for kind, word in _CLIENT_WORDS if isinstance(error, kind)), type(error).__name__)
        word = CRITICAL if word == REFUSED and "PLDBCriticalError" in error.reason else word
        raise CommandError(word, error.sentence("")) from error


def until_ready(attempt: Callable[[], object], seconds: float) -> None:
    """Repeat a call that a restarting system may refuse, for at most ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            attempt()
        except CommandError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


class Session(Protocol):
    """A session on one system."""

    answers: ClassVar[frozenset[str]]
    """Behavior that it guarantees whatever the stand-in does (constants of ``standins.py``)."""

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
        """End the session."""


class SdkSession:
    """A session through the vendor's API; :meth:`call` runs any method of its Backup resource with any arguments.

    :param keeps_sessions: whether a restore keeps sessions open; otherwise it logs in again, trying for at most
        ``ready_seconds``.
    """

    answers: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        module: str,
        way: str,
        host: str,
        username: str,
        password: str,
        keeps_sessions: bool = True,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        self.sdk = importlib.import_module(module)
        self._module = module
        self._login = (host, username, password)
        self._keeps_sessions = keeps_sessions
        self._ready_seconds = ready_seconds
        self._runner = asyncio.Runner() if way == SDK_ASYNC else None
        self._is_closed = False
        try:
            self._connect()
            self.reopen()
        except CommandError:
            self._end()
            raise

    def _connect(self) -> None:
        with failures_of_sdk(self._module, connecting=True):
            if self._runner is None:
                self.connection = self.sdk.sync_connect(*self._login)
            else:
                self.connection = self._runner.run(self.sdk.async_connect(*self._login))

    def run(self, result: Any) -> Any:
        """The result of a call, awaited on the asyncio way."""
        return result if self._runner is None else self._runner.run(result)

    def reopen(self) -> None:
        """Open a new Backup resource in the same session."""
        with failures_of_sdk(self._module):
            self.backup = self.run(self.connection.backup())

    def call(self, method: str, *positional: Any, **named: Any) -> Any:
        """Call a method of the Backup resource."""
        with failures_of_sdk(self._module):
            return self.run(getattr(self.backup, method)(*positional, **named))

    def overview(self) -> dict[str, Any]:
        """The systems that this one knows, by machine id."""
        with failures_of_sdk(self._module):
            overview = self.run(self.connection.system_overview())
            return {each.systemid: each for each in self.run(overview.list(self.sdk.GraphSystem))}

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
        try:
            self.call("restore", name, **named)
        except CommandError as error:
            if self._keeps_sessions or error.word not in (NO_SESSION, DETACHED):
                raise
        if not self._keeps_sessions:
            until_ready(self._log_in_again, self._ready_seconds)

    def _log_in_again(self) -> None:
        with contextlib.suppress(Exception):  # it may be gone
            self.run_close()
        self._connect()
        self._is_closed = False
        self.reopen()
        self.list()

    def remove(self, name: str) -> None:
        self.call("remove", name)

    def download(self, name: str, path: Path) -> None:
        self.call("download", name, dest_path=str(path))

    def upload(self, name: str, path: Path) -> None:
        self.call("upload", name, in_path=str(path))

    def run_close(self) -> None:
        """Close the connection, or drop it if it can't be closed; keep the event loop."""
        self._is_closed = True
        if not hasattr(self.connection, "close"):
            self.connection = self.backup = None
            gc.collect()
            return
        closing = self.connection.close()
        if self._runner is not None and hasattr(closing, "__await__"):  # whether it is a coroutine is not documented

            async def wait() -> None:
                await closing

            self._runner.run(wait())

    def close(self) -> None:
        """Close connection and loop; a connection is never closed twice, because the effect is not documented."""
        if not self._is_closed:
            # a restore in any session may have ended this one
            with contextlib.nullcontext() if self._keeps_sessions else contextlib.suppress(Exception):
                self.run_close()
        self._end()

    def _end(self) -> None:
        if self._runner is not None:
            self._runner.close()


class ClientSession:
    """A session of the collection's client, which checks whether a name exists before it sends a command."""

    client: Client

    answers: ClassVar[frozenset[str]] = frozenset(
        {
            standins.REFUSES_TAKEN_NAMES,
            standins.REFUSES_MISSING_NAMES,
            standins.REFUSES_ILLEGAL_NAMES,
            standins.EXACT_NAMES,
        }
    )

    def __init__(self, settings: Settings, keeps_sessions: bool = True, ready_seconds: float = READY_SECONDS) -> None:
        self._keeps_sessions = keeps_sessions
        self._ready_seconds = ready_seconds
        with failures_of_client():
            self.client = open_client(settings)

    def identity(self) -> tuple[str, str]:
        with failures_of_client():
            system = self.client.identity()
        return str(system.machineid), str(system.distversion)

    def list(self) -> dict[str, int]:
        with failures_of_client():
            listed = self.client.list().backups
        sizes = {each.name: each.size or 0 for each in listed}
        assert len(sizes) == len(listed), "a name is listed twice"
        return sizes

    def create_new(self, name: str = "", resource_name: str | None = None) -> str:
        with failures_of_client():
            return self.client.create_new(name, resource_name)

    def restore(self, name: str, resource_name: str | None = None) -> None:
        with failures_of_client():
            outcome = self.client.restore(name, resource_name)
        if not self._keeps_sessions:
            until_ready(self.list, self._ready_seconds)
        elif outcome != "returned":
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
    """One of the four ways with its connection settings; closing it closes its open sessions."""

    name: str
    module: str
    gateway_url: str
    ca_path: str
    keeps_sessions: bool = True
    ready_seconds: float = READY_SECONDS

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

        :param options: further settings of the client's connection, such as ``read_timeout``.
        """
        session: Session
        after_restore = self.keeps_sessions, self.ready_seconds
        if self.name in SDK_WAYS:
            session = SdkSession(self.module, self.name, host, username, password, *after_restore)
        else:
            way = GATEWAY if self.name == CLIENT_GATEWAY else DIRECT
            there = route_options(way, self.gateway_url, self.ca_path, self.module)
            given: dict[str, Any] = {"retries": 1, "retry_delay": 0.05, **there, **options}
            settings = Settings(host, username, password, **given)
            session = ClientSession(settings, *after_restore)
        self._open.append(session)
        return session


def run_command(session: Any, command: str, folder: Path, name: str = "new.plb") -> Any:
    """Run a command on a system that has ``there.plb``; a new backup is called ``name``.

    :param folder: contains ``source`` for an upload, and receives ``target`` of a download.
    """
    arguments: dict[str, tuple[Any, ...]] = {
        "list": (),
        "create_new": (name,),
        "restore": ("there.plb",),
        "remove": ("there.plb",),
        "download": ("there.plb", folder / "target"),
        "upload": (name, folder / "source"),
    }
    return getattr(session, command)(*arguments[command])
