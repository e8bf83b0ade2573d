# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way through an activelogic-gateway: HTTPS with ``requests``. Private to this collection.

The only file that imports ``requests``. Every call here is safe to send again: reads change nothing, and everything
else is an operation whose UUID this side chooses, so that the gateway runs it at most once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import ssl
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import wraps
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any, BinaryIO
from urllib.parse import quote

try:
    import requests
    from requests.adapters import HTTPAdapter
    from requests.auth import AuthBase
    from requests.utils import DEFAULT_CA_BUNDLE_PATH
except ImportError:
    HAS_REQUESTS = False
    AuthBase = HTTPAdapter = object  # type: ignore[assignment,misc]
else:
    HAS_REQUESTS = True

from .. import _sentences
from .._connection import SHORTEST_PASSWORD, Settings, holds_password
from .._errors import (
    AccessDeniedError,
    ActiveLogicError,
    AuthenticationError,
    NotFoundError,
    OutcomeUnknownError,
    ProtocolError,
    TransferError,
    UnreachableError,
)
from .._failures import (
    CA_BUNDLE_UNREADABLE,
    CONTENT_LONG,
    CONTENT_OTHER,
    CONTENT_SENT_OTHER,
    CONTENT_SHORT,
    GATEWAY_ANSWER_WRONG,
    GATEWAY_CONNECTION_LOST,
    GATEWAY_NAME_UNKNOWN,
    GATEWAY_NOT_ACCEPTING,
    GATEWAY_REDIRECT,
    GATEWAY_REFUSES,
    GATEWAY_SILENT,
    GATEWAY_SLOW,
    GATEWAY_STATUS,
    GATEWAY_STATUS_BUSY,
    GATEWAY_WITHOUT_TLS,
    LOCAL_EXHAUSTED,
    OPERATION_LATE,
    OPERATION_LATE_BEHIND,
    OPERATION_LATE_UNKNOWN,
    OPERATION_LOST,
    OPERATION_UNKNOWN,
    PASSWORD_IN_OPERATION,
    PROBLEM_BACKUP,
    PROBLEM_CONFLICT,
    PROBLEM_DEFECT,
    PROBLEM_EMPTY,
    PROBLEM_LATER,
    PROBLEM_LOGIN,
    PROBLEM_LOGINS,
    PROBLEM_MACHINE,
    PROBLEM_NAME,
    PROBLEM_OPERATION,
    PROBLEM_REFUSED,
    PROBLEM_REQUEST,
    PROBLEM_ROOM,
    PROBLEM_STALE,
    PROBLEM_SYSTEM,
    PROBLEM_TAKEN,
    PROBLEM_TIME,
    PROBLEM_TRANSFER,
    PROBLEM_UNREACHABLE,
    PROXY_LOGIN,
    PROXY_UNUSABLE,
    PUSH_CHANGED,
    REQUESTS_MISSING,
    TRANSFER_LATE,
    Failure,
)
from .._localfiles import PIECE, Opener, open_regular, own_trouble, shown, told
from .._model import Backups, Received, Sent, System, listed
from .._options import expand, require_absolute
from .._text import shorten
from .._tls_files import check_authorities, check_client, said
from ._base import LOST, RETURNED, pause, repeat
from ._diagnosis import look, refused, untrusted
from ._documents import MAX_DOCUMENT, MAX_LISTING, IncompleteError, Rows, decode, wrong
from ._lines import BoundedResponse

LONG_POLL = 25.0
"""Seconds that the gateway may hold a poll (its own upper limit)."""

POLL_PAUSE = 0.5
"""Seconds before the next poll, where a gateway answers at once although nothing new has happened."""

MAX_STATE = 40
"""Characters that are shown of a state or a cause that is not known."""

MAX_SIZE = 2**63
"""No backup has as many bytes."""

OCTETS = "application/octet-stream"
REPEATABLE_STATUS = (429, 502, 503, 504)
UNSTARTED = ("queued", "awaiting_content")
NOT_LET_IN = (AuthenticationError, AccessDeniedError)
RUNNING = (*UNSTARTED, "running")
FINAL_STATES = ("succeeded", "failed", "unknown")
WRITES = ("create_new", "remove", "restore")
"""Actions that change the system as soon as the gateway has them; an upload waits for its commit."""

_LENGTH = re.compile(r"[0-9]{1,18}")
_SECONDS = re.compile(r"[0-9]{1,9}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

PROBLEMS: dict[str, Failure] = {
    "authentication_failed": PROBLEM_LOGIN,
    "too_many_failed_logins": PROBLEM_LOGINS,
    "unknown_system": PROBLEM_SYSTEM,
    "unknown_backup": PROBLEM_BACKUP,
    "unknown_operation": PROBLEM_OPERATION,
    "no_content": PROBLEM_OPERATION,
    "content_gone": PROBLEM_OPERATION,
    "unknown_route": PROBLEM_REQUEST,
    "method_not_allowed": PROBLEM_REQUEST,
    "precondition_failed": PROBLEM_REQUEST,
    "bad_request": PROBLEM_REQUEST,
    "invalid_request": PROBLEM_REQUEST,
    "unsupported_media_type": PROBLEM_REQUEST,
    "length_required": PROBLEM_REQUEST,
    "length_mismatch": PROBLEM_REQUEST,
    "range_not_satisfiable": PROBLEM_REQUEST,
    "headers_too_large": PROBLEM_REQUEST,
    "name_not_legal": PROBLEM_NAME,
    "empty_content": PROBLEM_EMPTY,
    "conflict": PROBLEM_CONFLICT,
    "cancelled": PROBLEM_CONFLICT,
    "backup_exists": PROBLEM_TAKEN,
    "wrong_machine": PROBLEM_MACHINE,
    "new_data_committed": PROBLEM_STALE,
    "abandoned": PROBLEM_LATER,
    "too_busy": PROBLEM_LATER,
    "gateway_restarted": PROBLEM_LATER,
    "shutting_down": PROBLEM_LATER,
    "request_timeout": PROBLEM_LATER,
    "unreachable": PROBLEM_UNREACHABLE,
    "time_limit": PROBLEM_TIME,
    "digest_mismatch": PROBLEM_TRANSFER,
    "transfer_incomplete": PROBLEM_TRANSFER,
    "replace_failed": PROBLEM_TRANSFER,
    "too_large": PROBLEM_ROOM,
    "spool_full": PROBLEM_ROOM,
    "refused": PROBLEM_REFUSED,
    "unsupported": PROBLEM_REFUSED,
    "capability_missing": PROBLEM_REFUSED,
    "sdk_error": PROBLEM_DEFECT,
    "internal_error": PROBLEM_DEFECT,
}
"""What a ``kind`` of the gateway's problems is here; one that is not known yet is taken for a refusal."""


class _BasicAuth(AuthBase):
    """HTTP Basic in UTF-8. As an auth object it also keeps ``~/.netrc`` from replacing the header."""

    def __init__(self, username: str, password: str) -> None:
        token = base64.b64encode(f"{username}:{password}".encode())
        self.header = "Basic " + token.decode("ascii")

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = self.header
        return request


class _Connections(HTTPAdapter):
    """Makes the connections, and can end them under whoever waits on them: in a head, in a body, or while sending.

    A timeout of ``requests`` is per read and per write: a byte now and then would hold us for ever.
    """

    def __init__(self) -> None:
        super().__init__(max_retries=0)
        self._made: weakref.WeakSet[Any] = weakref.WeakSet()
        self.proxy_login: str | None = None

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """What the proxy is sent, and the gateway is not: HTTP Basic in UTF-8, with a login that is in no URL."""
        return {"Proxy-Authorization": self.proxy_login} if self.proxy_login else {}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """As ``requests`` 2.32 and later ask for a pool of connections."""
        return self._watched(super().get_connection_with_tls_context(*args, **kwargs))

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        """As earlier versions ask."""
        return self._watched(super().get_connection(*args, **kwargs))

    def _watched(self, pool: Any) -> Any:
        make = pool.ConnectionCls

        def make_watched(*args: Any, **kwargs: Any) -> Any:
            connection = make(*args, **kwargs)
            connection.response_class = BoundedResponse
            self._made.add(connection)
            return connection

        if not hasattr(make, "__wrapped__"):
            pool.ConnectionCls = wraps(make, updated=())(make_watched)
        return pool

    @contextmanager
    def cut_at(self, seconds: float) -> Iterator[None]:
        """End all connections if the block takes longer than ``seconds``."""
        watchdog = threading.Timer(max(0.0, seconds), self._cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()

    def _cut(self) -> None:
        for connection in list(self._made):
            sock = getattr(connection, "sock", None)
            sock = getattr(sock, "socket", sock)  # TLS inside the TLS of a proxy
            if isinstance(sock, socket.socket):
                with suppress(OSError):  # it may have ended already
                    # Not the method of an SSLSocket, which goes on without encryption.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _HashingReader:
    """The body of an upload: read once, in order, hashed on the way.

    A plain class with a length and no ``tell``: ``requests`` then sends it with Content-Length in the pieces that
    ``read`` returns.
    """

    def __init__(self, source: BinaryIO, path: str, size: int, expired: Callable[[], bool]) -> None:
        self._source = source
        self._path = path
        self._size = size
        self._expired = expired
        self._digest = hashlib.sha256()
        self.sent = 0

    def __len__(self) -> int:
        return self._size

    def read(self, amount: int = -1) -> bytes:
        """Return the next piece, at most :data:`PIECE` whatever ``amount`` says, so that memory stays constant.

        :raises ActiveLogicError: about the file, which would look like a lost connection otherwise.
        """
        if self._expired():
            raise _TransferExpiredError
        with told(self._path):
            piece = self._source.read(min(PIECE, self._size - self.sent))
        if not piece and self.sent < self._size:
            raise PUSH_CHANGED.error(path=shown(self._path))
        self._digest.update(piece)
        self.sent += len(piece)
        return piece

    def sha256(self) -> str:
        return self._digest.hexdigest()


class _TransferExpiredError(Exception):
    """Raised inside a body while it is sent; never leaves this file."""


class GatewayTransport:
    """The Backup resource of one system, through the gateway at ``settings.gateway_url``."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not HAS_REQUESTS:
            raise REQUESTS_MISSING.error()
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._url = (settings.gateway_url or "").rstrip("/")
        self._system_path = "/v1/systems/" + quote(settings.host, safe="")
        self._unfinished: set[str] = set()
        self._connections = _Connections()
        self._looked = False
        self._session = self._open_session()
        self.tries = 1
        self.passed_over = ""

    def _open_session(self) -> Any:
        settings = self._settings
        if settings.client_cert:
            check_client(settings.client_cert, settings.client_key)
        session: Any = requests.Session()
        session.trust_env = False  # no netrc, no proxy and no bundle that nobody named
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # none is kept, however many are sent
        session.get_redirect_target = lambda _response: None  # or the body of a redirect is read even if not followed
        session.auth = _BasicAuth(settings.username, settings.password)
        session.headers.update({"Accept": "application/json", "Accept-Encoding": "identity"})
        session.verify = self._trust()
        session.hooks["response"].append(self._note_answer)
        if settings.client_cert:
            session.cert = (settings.client_cert, settings.client_key) if settings.client_key else settings.client_cert
        if settings.proxy_url:
            session.proxies = {"http": settings.proxy_url, "https": settings.proxy_url}
            if settings.proxy_username:
                login = _BasicAuth(settings.proxy_username, settings.proxy_password or "")
                self._connections.proxy_login = login.header
        session.mount("https://", self._connections)
        session.mount("http://", self._connections)
        return session

    def _trust(self) -> str | bool:
        """The CA bundle as a path, or False. Never True: ``requests`` would then look at the environment."""
        settings = self._settings
        if not settings.validate_certs:
            return False
        if settings.ca_path:
            check_authorities("ca_path", settings.ca_path)
            return settings.ca_path
        named = os.environ.get("REQUESTS_CA_BUNDLE")
        bundle = expand(named) if named else DEFAULT_CA_BUNDLE_PATH
        if named:
            require_absolute(bundle, "REQUESTS_CA_BUNDLE")
        if not os.access(bundle, os.R_OK):
            raise CA_BUNDLE_UNREADABLE.error(path=shown(bundle))
        if named:
            check_authorities("REQUESTS_CA_BUNDLE", bundle)
        return bundle

    def _note_answer(self, response: Any, *_positional: Any, **_named: Any) -> Any:
        """Remember that something answered: what goes wrong later has nothing to do with certificates."""
        self._looked = True
        return response

    # The verbs of the Backup resource

    def identity(self) -> System:
        document = self._document("GET", self._system_path)
        return System.reported(self._settings.host, _text(document, "machineid"), _text(document, "distversion"))

    def list(self) -> Backups:
        return self._listing(self._settings.retries)

    def probe(self) -> None:
        self._listing(retries=0)

    def _listing(self, retries: int) -> Backups:
        found, warning = self._json("GET", self._system_path + "/backups", retries=retries, read=self._read_listing)
        self.passed_over = warning or self.passed_over
        backups: Backups = found
        return backups

    def create_new(self, name: str, resource_name: str | None) -> str:
        result = self._write({"action": "create_new", "name": name, "resource_name": resource_name})
        return _text(result, "name")

    def remove(self, name: str) -> None:
        self._write({"action": "remove", "name": name})

    def restore(self, name: str, resource_name: str | None, expected_machine_id: str | None) -> str:
        body = {
            "action": "restore",
            "name": name,
            "resource_name": resource_name,
            "expected_machine_id": expected_machine_id,
        }
        try:
            self._write(body)
        except OutcomeUnknownError:
            return LOST
        return RETURNED

    def download(self, name: str, path: str, opener: Opener | None = None) -> Received:
        deadline = self._clock() + self._settings.transfer_timeout
        with self._fetched(name, deadline) as (operation, size, sha256):
            return self._receive(operation, path, size, sha256, deadline, opener or _private)

    def digest(self, name: str) -> Received:
        with self._fetched(name, self._clock() + self._settings.transfer_timeout) as (_operation, size, sha256):
            return Received(size, sha256, True, 0)

    @contextmanager
    def _fetched(self, name: str, deadline: float) -> Iterator[tuple[str, int, str]]:
        """Have the gateway fetch a backup, again where that fails on the way; gives operation, size and SHA-256."""

        def attempt() -> tuple[ExitStack, str, dict[str, Any]]:
            with ExitStack() as stack:
                operation = stack.enter_context(self._operation({"action": "download", "name": name}))
                result = self._finish(operation, deadline, "transfer_timeout", writes=False)
                return stack.pop_all(), operation, result

        kept, operation, result = repeat(attempt, self._settings, self._sleep, self._count)
        with kept:
            yield operation, _whole(result, "size"), _digest(result)

    def upload(self, name: str, path: str, replace: bool) -> Sent:
        deadline = self._clock() + self._settings.transfer_timeout
        with open_regular(path) as source:
            size = os.fstat(source.fileno()).st_size
            body = {"action": "upload", "name": name, "size": size, "replace": replace}
            with self._operation(body) as operation:
                self._await(operation, ("awaiting_content", *FINAL_STATES), deadline, "transfer_timeout", writes=False)
                sha256 = self._send(operation, source, path, size, deadline)
                self._commit(operation, sha256)
                self._finish(operation, deadline, "transfer_timeout", writes=True)
                return Sent(size, sha256)

    def _commit(self, operation: str, sha256: str) -> None:
        """Let an upload go on to the system. Where the answer gets lost, the operation tells whether it does.

        :raises OutcomeUnknownError: when that can't be asked either.
        """
        try:
            self._document("PUT", self._operation_path(operation) + "/commit", {"sha256": sha256})
        except (UnreachableError, ProtocolError) as error:
            try:
                state = _text(self._document("GET", self._operation_path(operation)), "state")
            except ActiveLogicError:
                raise OPERATION_LOST.error(operation_id=operation, reason=error.reason) from error
            if state == "awaiting_content":
                raise

    def close(self) -> None:
        self._session.close()

    # Operations

    def _operation_path(self, operation: str) -> str:
        return f"{self._system_path}/operations/{operation}"

    def _write(self, body: dict[str, Any]) -> dict[str, Any]:
        deadline = self._clock() + self._settings.wait_timeout
        with self._operation(body) as operation:
            return self._finish(operation, deadline, "wait_timeout", writes=True)

    @contextmanager
    def _operation(self, body: dict[str, Any]) -> Iterator[str]:
        """Give an operation to the gateway, and end it there on every way out that leaves it unfinished."""
        operation = str(uuid.uuid4())
        given = {key: value for key, value in body.items() if value is not None}
        password = self._settings.password
        if len(password) >= SHORTEST_PASSWORD and holds_password(given, password):
            # The gateway stores and logs operations, so it refuses this one as malformed.
            raise PASSWORD_IN_OPERATION.error()
        self._unfinished.add(operation)
        try:
            try:
                self._document("PUT", self._operation_path(operation), given)
            except (UnreachableError, ProtocolError) as error:
                self._require_arrived(operation, error, writes=body["action"] in WRITES)
            yield operation
        finally:
            self._abandon(operation, drop_content=body["action"] == "download")

    def _require_arrived(self, operation: str, error: ActiveLogicError, writes: bool) -> None:
        """The answer to giving an operation got lost: ask whether the gateway knows it all the same.

        :param writes: whether it may run without anything more from this side, and change the system then.
        :raises ActiveLogicError: the ``error`` of giving it, when it did not arrive.
        :raises OutcomeUnknownError: when that can't be asked.
        """
        try:
            self._document("GET", self._operation_path(operation))
        except NotFoundError:
            raise error from None
        except ActiveLogicError:
            if writes:
                raise OPERATION_LOST.error(operation_id=operation, reason=error.reason) from error
            raise error from None

    def _abandon(self, operation: str, drop_content: bool) -> None:
        if operation not in self._unfinished and not drop_content:
            return
        self._unfinished.discard(operation)
        # On failure the gateway drops it by itself, since nobody polls; the first error is the one to report.
        with suppress(ActiveLogicError):
            self._json("DELETE", self._operation_path(operation), retries=0, accept=(404, 409))

    def _end_unstarted(self, operation: str) -> bool:
        """End an operation that was not seen to start; whether it is certain that it never did."""
        path = self._operation_path(operation)
        try:
            self._json("DELETE", path, retries=0)
            self._unfinished.discard(operation)
            return _text(self._json("GET", path, retries=0), "state") in (*UNSTARTED, "failed")
        except ActiveLogicError:
            return False

    def _finish(self, operation: str, deadline: float, clock_option: str, writes: bool) -> dict[str, Any]:
        document = self._await(operation, FINAL_STATES, deadline, clock_option, writes)
        self._unfinished.discard(operation)
        result = document.get("result")
        if isinstance(result, dict):
            return result
        error = wrong("has no result")
        raise OPERATION_LOST.error(operation_id=operation, reason=error.reason) if writes else error

    def _await(
        self, operation: str, states: tuple[str, ...], deadline: float, clock_option: str, writes: bool
    ) -> dict[str, Any]:
        """Poll until the operation is in one of ``states``; a failed or unknown one raises.

        :param clock_option: the option that set ``deadline``, for the message.
        :param writes: whether a lost answer leaves it open if something on the system has changed.
        """
        path = self._operation_path(operation)
        state = "queued"
        seen = {state}
        document: dict[str, Any] = {}
        while True:
            asked_at = self._clock()
            left = deadline - self._clock()
            if left <= 0:
                raise self._expired(operation, state, document.get("waiting_for"), clock_option, writes)
            wait = max(0.0, min(LONG_POLL, self._settings.read_timeout / 2, left))
            try:
                document = self._document("GET", f"{path}?wait={wait:.1f}", left=lambda: deadline - self._clock())
                state = shorten(_text(document, "state"), MAX_STATE)
            except (UnreachableError, NotFoundError, ProtocolError, *NOT_LET_IN) as error:
                if not writes:
                    raise
                raise OPERATION_LOST.error(operation_id=operation, reason=error.reason) from error
            if state == "failed":
                self._unfinished.discard(operation)
                raise _error_from_problem(document.get("problem"), self._settings, may_repeat=not writes)
            if state == "unknown":
                self._unfinished.discard(operation)
                cause = document.get("cause")
                known = shorten(cause, MAX_STATE).replace("_", " ") if isinstance(cause, str) else "no cause is given"
                raise OPERATION_UNKNOWN.error(cause=known)
            if state in states:
                return document
            if (state in seen or state not in RUNNING) and self._clock() - asked_at < min(wait, POLL_PAUSE):
                self._sleep(min(POLL_PAUSE, wait))
            seen.add(state)

    def _expired(
        self, operation: str, state: str, waiting_for: Any, clock_option: str, writes: bool
    ) -> ActiveLogicError:
        """The error of a clock that ran out; ``state`` and what it waits for are the last that is known."""
        seconds = getattr(self._settings, clock_option)
        if writes and (state not in UNSTARTED or not self._end_unstarted(operation)):
            return OPERATION_LATE_UNKNOWN.error(seconds=seconds, option=clock_option, state=state)
        if state == "queued" and isinstance(waiting_for, dict):
            uuid = waiting_for.get("operation") or "<its id>"
            return OPERATION_LATE_BEHIND.error(
                seconds=seconds,
                option=clock_option,
                what=_describe_first(waiting_for),
                user=repr(str(waiting_for.get("user"))[:255]),
                request=f"DELETE {self._url}{self._operation_path(str(uuid))}?force=true",
            )
        return OPERATION_LATE.error(seconds=seconds, option=clock_option, state=state)

    # Bodies

    def _receive(self, operation: str, path: str, size: int, sha256: str, deadline: float, opener: Opener) -> Received:
        """Stream the content of a finished download into ``path``; go on where a lost connection left off.

        Where something on the way gives the whole content again instead, that is a new beginning.
        """
        url = self._operation_path(operation) + "/content"
        digest = hashlib.sha256()
        received = transferred = resumed_from = furthest = 0
        number = 0
        with told(path), open(path, "wb", opener=opener) as target:
            while received < size:
                try:
                    for position, piece in self._content(url, received, sha256, deadline):
                        if position != received:
                            target.seek(0)
                            target.truncate()
                            digest = hashlib.sha256()
                            received = resumed_from = 0
                        target.write(piece)
                        digest.update(piece)
                        received += len(piece)
                        transferred += len(piece)
                        if received > size:
                            raise CONTENT_LONG.error(size=size)
                    if received < size:
                        raise CONTENT_SHORT.error(repeatable=True)
                except (UnreachableError, AccessDeniedError) as error:
                    if self._clock() >= deadline:
                        raise self._transfer_expired(received, size) from error
                    number = 0 if received > furthest else number + 1
                    furthest = max(furthest, received)
                    if number > self._settings.retries or not error.repeatable:
                        raise
                    self.tries += 1
                    resumed_from = received
                    self._sleep(min(pause(number, self._settings, error), max(0.0, deadline - self._clock())))
                if self._clock() >= deadline:
                    raise self._transfer_expired(received, size)
            target.flush()
            os.fsync(target.fileno())
        if digest.hexdigest() != sha256:
            raise CONTENT_OTHER.error(size=size, arrived=digest.hexdigest(), announced=sha256)
        return Received(size, sha256, True, transferred, resumed_from)

    def _content(self, url: str, offset: int, sha256: str, deadline: float) -> Iterator[tuple[int, bytes]]:
        """The content from ``offset`` on, or all of it, in pieces with their positions."""
        headers = {"Accept": OCTETS}
        if offset:
            headers.update({"Range": f"bytes={offset}-", "If-Range": f'"{sha256}"'})
        with self._answer("GET", url, deadline, headers=headers) as response:
            if response.status_code not in ((200, 206) if offset else (200,)):
                raise _error_from_response(response, self._read_document(response), self._settings)
            media_type = response.headers.get("Content-Type", OCTETS).partition(";")[0].strip().lower()
            if media_type != OCTETS:  # such as a page to log in
                raise GATEWAY_ANSWER_WRONG.error(flaw=f"is no content of a backup ({media_type[:40]})")
            position = offset if response.status_code == 206 else 0
            part = response.headers.get("Content-Range", "")
            if position and not part.lower().startswith(f"bytes {offset}-"):
                raise GATEWAY_ANSWER_WRONG.error(flaw=f"is not the part that was asked for ({part[:60]})")
            try:
                for piece in response.raw.stream(PIECE, decode_content=False):
                    yield position, piece
                    position += len(piece)
            except Exception as error:
                raise self._translate(error) from error

    def _send(self, operation: str, source: BinaryIO, path: str, size: int, deadline: float) -> str:
        """Send the content of an upload and return its SHA-256; nothing reaches the system by this."""
        url = self._operation_path(operation) + "/content"
        timeout = (self._settings.read_timeout, self._settings.read_timeout)  # the first one governs a body's writes

        def attempt() -> str:
            source.seek(0)
            reader = _HashingReader(source, path, size, lambda: self._clock() >= deadline)
            headers = {"Content-Type": OCTETS}
            try:
                with self._answer("PUT", url, deadline, headers=headers, data=reader, timeout=timeout) as response:
                    document = self._read_document(response)
                    if response.status_code not in (200, 201):
                        raise _error_from_response(response, document, self._settings)
            except _TransferExpiredError:
                raise self._transfer_expired(reader.sent, size) from None
            except UnreachableError as error:
                if self._clock() < deadline:
                    raise
                raise self._transfer_expired(reader.sent, size) from error
            if (_digest(document), _whole(document, "size")) != (reader.sha256(), size):
                raise CONTENT_SENT_OTHER.error()
            return reader.sha256()

        return repeat(attempt, self._settings, self._sleep, self._count)

    def _transfer_expired(self, done: int, size: int) -> ActiveLogicError:
        return TRANSFER_LATE.error(
            seconds=self._settings.transfer_timeout, done=_sentences.size(done), size=_sentences.size(size)
        )

    # Requests

    def _count(self, number: int) -> None:
        self.tries = max(self.tries, number)

    def _document(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        left: Callable[[], float] | None = None,
    ) -> dict[str, Any]:
        document = self._json(method, path, body, left=left)
        if not isinstance(document, dict):
            raise GATEWAY_ANSWER_WRONG.error(flaw="is not an object")
        return document

    def _json(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        retries: int | None = None,
        accept: tuple[int, ...] = (),
        read: Callable[[Any], Any] | None = None,
        left: Callable[[], float] | None = None,
    ) -> Any:
        """Send a small request, repeat it where that can help, and return the decoded answer.

        :param read: reads the body of a good answer; by default it is a document.
        :param left: see :func:`repeat`.
        """
        data = None if body is None else json.dumps(body).encode("utf-8")
        headers = {} if data is None else {"Content-Type": "application/json"}
        limit = self._settings.connect_timeout + 2 * self._settings.read_timeout  # a poll is held half a read_timeout

        def attempt() -> Any:
            deadline = self._clock() + limit
            try:
                with self._answer(method, path, deadline, headers=headers, data=data) as response:
                    is_good = 200 <= response.status_code < 300
                    document = (read if read is not None and is_good else self._read_document)(response)
                    if not is_good and response.status_code not in accept:
                        raise _error_from_response(response, document, self._settings)
                    return document
            except UnreachableError as error:
                if self._clock() < deadline:
                    raise
                raise GATEWAY_SLOW.error(url=self._url, seconds=limit, repeatable=True) from error

        if retries == 0:
            return attempt()
        return repeat(attempt, self._settings, self._sleep, self._count, left)

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        deadline: float,
        *,
        headers: Mapping[str, str],
        data: Any = None,
        timeout: tuple[float, float] | None = None,
    ) -> Iterator[Any]:
        """One request; its answer with the body still to be read. All of it is cut off at ``deadline``."""
        settings = self._settings
        with self._connections.cut_at(deadline - self._clock()):
            try:
                response = self._session.request(
                    method,
                    self._url + path,
                    headers=dict(headers),
                    data=data,
                    timeout=timeout or (settings.connect_timeout, settings.read_timeout),
                    allow_redirects=False,
                    stream=True,
                )
            except _TransferExpiredError:
                raise
            except Exception as error:
                raise self._translate(error) from error
            try:
                _require_plain(response)
                yield response
            finally:
                response.close()

    def _read_document(self, response: Any) -> Any:
        """The decoded body. Of an answer that refuses, what is no document says nothing, and is an empty one."""
        is_good = 200 <= response.status_code < 300
        text = b""
        for piece in self._body(response):
            text += piece
            if len(text) > MAX_DOCUMENT:
                if is_good:
                    raise wrong(f"has more than {_sentences.size(MAX_DOCUMENT)}")
                return {}
        if not text:
            if not _has_end(response):
                raise self._lost()
            return {}
        try:
            return decode(text)
        except IncompleteError:
            if not _has_end(response):
                raise self._lost() from None
            if is_good:
                raise wrong("is not JSON") from None
            return {}

    def _read_listing(self, response: Any) -> tuple[Backups, str]:
        """A listing, and the warning that goes with it; its rows are taken while they arrive."""
        rows = Rows()

        def names_and_sizes() -> Iterator[tuple[str, int]]:
            size = 0
            for piece in self._body(response):
                size += len(piece)
                if size > MAX_LISTING:
                    raise wrong(f"has more than {_sentences.size(MAX_LISTING)}")
                for row in rows.take(piece):
                    yield _text(row, "name"), _whole(row, "size")
            if not size and not _has_end(response):
                raise self._lost()
            try:
                rows.finish()
            except IncompleteError:
                raise wrong("is not JSON") if _has_end(response) else self._lost() from None

        return listed(names_and_sizes())

    def _body(self, response: Any) -> Iterator[bytes]:
        """The body in pieces, to its end.

        :raises UnreachableError: when it ends elsewhere than its head said.
        """
        size = 0
        try:
            for piece in response.raw.stream(PIECE, decode_content=False):
                size += len(piece)
                yield piece
        except Exception as error:
            raise self._translate(error) from error
        announced = response.headers.get("Content-Length")
        if announced is not None and int(announced) != size and not _is_bare(response):
            raise self._lost()

    def _lost(self) -> ActiveLogicError:
        return GATEWAY_CONNECTION_LOST.error(url=self._url, exception="IncompleteRead", repeatable=True)

    def _translate(self, error: Exception) -> ActiveLogicError:
        """Turn an exception of ``requests`` or of what lies below it into ours."""
        if isinstance(error, ActiveLogicError):
            return error
        url, settings = self._url, self._settings
        chain = _chain(error)
        if trouble := next((each for each in map(own_trouble, chain) if each is not None), None):
            return LOCAL_EXHAUSTED.error(why=trouble.strerror, repeatable=True)
        if isinstance(error, requests.exceptions.ProxyError):
            return _proxy_error(chain, settings.proxy_username is not None)
        known = untrusted(chain, url) or refused(chain, settings, url)
        if known is not None:
            return known
        in_handshake = any("handshake operation timed out" in str(each) for each in chain)  # connect_timeout governs it
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return GATEWAY_NOT_ACCEPTING.error(url=url, seconds=settings.connect_timeout, repeatable=True)
        is_late = any(
            isinstance(each, (socket.timeout, TimeoutError)) or "Timeout" in type(each).__name__ for each in chain
        )
        if is_late and not in_handshake:
            return GATEWAY_SILENT.error(url=url, seconds=settings.read_timeout, repeatable=True)
        if any(isinstance(each, ConnectionRefusedError) for each in chain):
            return GATEWAY_REFUSES.error(url=url, repeatable=True)
        if any(isinstance(each, socket.gaierror) for each in chain):
            return GATEWAY_NAME_UNKNOWN.error(url=url)
        found = self._look(in_handshake)
        if found is not None:
            return found
        if in_handshake:
            return GATEWAY_NOT_ACCEPTING.error(url=url, seconds=settings.connect_timeout, repeatable=True)
        ends = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
        for each in chain:
            if isinstance(each, ssl.SSLError) and not isinstance(each, ends):
                return GATEWAY_WITHOUT_TLS.error(url=url, why=said(each))
        return GATEWAY_CONNECTION_LOST.error(url=url, exception=_cause(chain), repeatable=True)

    def _look(self, silent: bool) -> ActiveLogicError | None:
        """Look once why there is no connection, where nothing has answered yet and no proxy is in between."""
        if self._looked or self._settings.proxy_url:
            return None
        self._looked = True
        return look(self._settings, self._url, silent=silent)


def _proxy_error(chain: list[BaseException], has_login: bool) -> ActiveLogicError:
    """The error of a proxy that can't be used; ``has_login`` where it was sent one."""
    texts = " ".join(map(str, chain))
    if re.search(r"\b407\b", texts):
        return PROXY_LOGIN.error(wants="refuses the login of proxy_username" if has_login else "wants a login")
    status = re.search(r"Tunnel connection failed: ([0-9]{3})", texts)
    if status:
        why = f"it answers with status {status.group(1)}"
    elif any(isinstance(each, ssl.SSLCertVerificationError) for each in chain):
        why = "its certificate is not trusted"
    elif "appears to only use HTTP" in texts:
        why = "it does not speak TLS, as its https URL says"
    elif any(isinstance(each, ConnectionRefusedError) for each in chain):
        why = "it refuses connections"
    elif any(isinstance(each, socket.gaierror) for each in chain):
        why = "its name can't be resolved"
    else:
        why = _cause(chain)
    return PROXY_UNUSABLE.error(why=why, repeatable=True)


def _chain(error: BaseException) -> list[BaseException]:
    """The exception and what caused it, outermost first."""
    chain: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(chain) < 50:
        each = waiting.pop(0)
        if each is None or any(each is known for known in chain):
            continue
        chain.append(each)
        inner = [
            argument for argument in (*each.args, getattr(each, "reason", None)) if isinstance(argument, BaseException)
        ]
        waiting.extend([*inner, each.__cause__, each.__context__])
    return chain


def _cause(chain: list[BaseException]) -> str:
    """The name of the innermost exception that is about the connection; urllib3 1.26 raises others on its way."""
    about = [each for each in chain if isinstance(each, (OSError, HTTPException))]
    return type(about[-1] if about else chain[-1]).__name__


def _require_plain(response: Any) -> None:
    """:raises ProtocolError: when the body is encoded, which was not asked for, or its length is not clear."""
    for header, plain in (("Content-Encoding", "identity"), ("Transfer-Encoding", "chunked")):
        encoding = response.headers.get(header, plain).lower()
        if encoding != plain:
            raise GATEWAY_ANSWER_WRONG.error(flaw=f"came encoded ({encoding[:20]}), which was not asked for")
    length = response.headers.get("Content-Length")  # several ones are joined by commas
    if length is not None and (_LENGTH.fullmatch(length.strip()) is None or "Transfer-Encoding" in response.headers):
        raise wrong(f"has a length that is not clear ({length[:20]})")


def _is_bare(response: Any) -> bool:
    """Whether an answer has no body, so that its length is that of another answer's."""
    return response.status_code in (204, 304)


def _has_end(response: Any) -> bool:
    """Whether the head says where the body ends.

    A head that breaks off looks to http.client like a whole one, without what it had still to say. A document that is
    whole without a length comes from an intermediary that speaks HTTP/1.0.
    """
    headers = response.headers
    return "Content-Length" in headers or "Transfer-Encoding" in headers or _is_bare(response)


def _private(path: str, flags: int) -> int:
    """Opener of files that may hold secrets: a new one is for its owner alone."""
    return os.open(path, flags, 0o600)


def _describe_first(waiting_for: Mapping[str, Any]) -> str:
    """The operation that has to end first, out of the gateway's ``waiting_for``."""
    action = str(waiting_for.get("action"))[:20].replace("_", " ")
    name = str(waiting_for.get("name") or "")[:255]
    since = waiting_for.get("since")
    ahead = waiting_for.get("ahead")
    what = f"the {action} of " + (f"the backup {name!r}" if name else "a backup")
    what += f" by user {str(waiting_for.get('user'))[:255]!r}"
    what += f", which has been running since {str(since)[:30]}" if since else ", which is about to begin"
    return what + (f", and {ahead - 1} more after it" if isinstance(ahead, int) and ahead > 1 else "")


def _error_from_response(response: Any, document: Any, settings: Settings) -> ActiveLogicError:
    status = response.status_code
    if isinstance(document, dict) and "kind" in document:
        return _error_from_problem(document, settings, _retry_after(response), status in REPEATABLE_STATUS)
    if status == 401:
        return PROBLEM_LOGIN.error(said="the gateway refused the login")
    if status in REPEATABLE_STATUS:
        return GATEWAY_STATUS_BUSY.error(status=status, repeatable=True, retry_after=_retry_after(response))
    if 300 <= status < 400:
        return GATEWAY_REDIRECT.error(status=status)
    return GATEWAY_STATUS.error(status=status)


def _error_from_problem(
    problem: Any, settings: Settings, retry_after: float | None = None, may_repeat: bool = False
) -> ActiveLogicError:
    """Turn a problem document (RFC 9457) of the gateway into an error of ours."""
    if not isinstance(problem, dict):
        return GATEWAY_ANSWER_WRONG.error(flaw="has no problem")
    texts = {key: value for key, value in problem.items() if isinstance(value, str)}
    kind = texts.get("kind", "")
    reason = (texts.get("detail") or texts.get("title") or kind).strip().rstrip(".")
    reason = shorten(reason.replace(settings.password, "********")) or "the gateway does not say why"
    # The sentence that this becomes part of names system and operation already.
    start = reason.find(f": {texts.get('exception')}: ")
    if start >= 0:
        reason = reason[start + 2 :]
    elif reason.startswith(f"system {settings.host}: "):
        reason = reason[len(f"system {settings.host}: ") :]
    failure = PROBLEMS.get(kind, PROBLEM_REFUSED)
    # AccessDeniedError: no login was tried, so it is no refused one that is repeated.
    may_repeat = may_repeat and issubclass(failure.error_class, (UnreachableError, TransferError, AccessDeniedError))
    return failure.error(said=reason, repeatable=may_repeat, retry_after=retry_after)


def _retry_after(response: Any) -> float | None:
    """The header Retry-After in seconds, where it is a number (RFC 9110, section 10.2.3)."""
    text = response.headers.get("Retry-After", "")
    return float(text) if _SECONDS.fullmatch(text) else None


def _text(document: Any, key: str) -> str:
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, str):
        raise wrong(f"has no {key}")
    return value


def _digest(document: Any) -> str:
    value = _text(document, "sha256")
    if _SHA256.fullmatch(value) is None:
        raise wrong("has no sha256")
    return value


def _whole(document: Any, key: str) -> int:
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MAX_SIZE:
        raise wrong(f"has no {key}")
    return value
