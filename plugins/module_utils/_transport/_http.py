# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTPS with ``requests``, in the only file that imports it: requests, their responses and their timeouts.

Private to this collection.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from http.cookiejar import DefaultCookiePolicy
from typing import Any

from .._deadline import Deadline
from ._base import Attempts

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

from .. import _failures, _sentences
from .._connection import Settings
from .._errors import ActiveLogicError, UnreachableError
from .._files._access import PIECE, exhaustion_behind, shown
from .._options import expand, require_absolute
from .._tls_files import check_authorities, check_client, said
from ._diagnosis import cause_of, chain_of, diagnose, proxy_error, refused, untrusted
from ._documents import MAX_DOCUMENT, IncompleteError, decode, wrong
from ._lines import BoundedResponse
from ._problems import error_from_response

_LENGTH = re.compile(r"[0-9]{1,18}")


class PassedOnError(Exception):
    """Raised while a body is being sent; passes through a request without translation."""


class _BasicAuth(AuthBase):
    """HTTP Basic in UTF-8. Setting an auth object also keeps ``~/.netrc`` from replacing the header."""

    def __init__(self, username: str, password: str) -> None:
        token = base64.b64encode(f"{username}:{password}".encode())
        self.header = "Basic " + token.decode("ascii")

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = self.header
        return request


class _Connections(HTTPAdapter):
    """Makes connections that can be cut while another thread waits for a header, for a body, or to send.

    The timeouts of ``requests`` apply to a single read or write: a byte now and then would block us for ever.
    """

    def __init__(self) -> None:
        super().__init__(max_retries=0)
        self._made: weakref.WeakSet[Any] = weakref.WeakSet()
        self.proxy_login: str | None = None

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Headers for the proxy only: HTTP Basic in UTF-8, as the login is not part of the URL."""
        return {"Proxy-Authorization": self.proxy_login} if self.proxy_login else {}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Called by ``requests`` 2.32 and later."""
        return self._watched(super().get_connection_with_tls_context(*args, **kwargs))

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        """Called by earlier versions."""
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
        """Cut all connections if the block takes longer than ``seconds``."""
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
                with suppress(OSError):  # the connection may be closed already
                    # Not the method of SSLSocket, which would go on without encryption.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Http:
    """HTTP requests of one user to one gateway."""

    def __init__(self, settings: Settings, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        if not HAS_REQUESTS:
            raise _failures.REQUESTS_MISSING.error()
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self.url = (settings.gateway_url or "").rstrip("/")
        self._connections = _Connections()
        self._needs_diagnosis = True
        self._session = self._open_session()
        self.tries = 1

    def _open_session(self) -> Any:
        settings = self._settings
        if settings.client_cert:
            check_client(settings.client_cert, settings.client_key)
        session: Any = requests.Session()
        session.trust_env = False  # no netrc, no proxy and no CA bundle from the environment
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # keep no cookies
        session.get_redirect_target = lambda _response: None  # do not read the body of a redirect
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
        """The path of the CA bundle, or False. Never True, which makes ``requests`` read the environment."""
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
            raise _failures.CA_BUNDLE_UNREADABLE.error(path=shown(bundle))
        if named:
            check_authorities("REQUESTS_CA_BUNDLE", bundle)
        return bundle

    def _note_answer(self, response: Any, *_positional: Any, **_named: Any) -> Any:
        """Note that the server has answered, so later errors have nothing to do with certificates."""
        self._needs_diagnosis = False
        return response

    # Requests

    def count(self, number: int) -> None:
        self.tries = max(self.tries, number)

    def document(
        self, method: str, path: str, body: dict[str, Any] | None = None, deadline: Deadline | None = None
    ) -> dict[str, Any]:
        """Like :meth:`json`, for an answer that has to be a JSON object."""
        document = self.json(method, path, body, deadline=deadline)
        if not isinstance(document, dict):
            raise _failures.GATEWAY_ANSWER_WRONG.error(flaw="is not an object")
        return document

    def json(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        retries: int | None = None,
        accept: tuple[int, ...] = (),
        read: Callable[[Any], Any] | None = None,
        deadline: Deadline | None = None,
    ) -> Any:
        """Send a small request, with retries, and return the decoded answer.

        :param accept: error statuses whose answer is returned too.
        :param read: reads the body of a successful answer; by default it is a JSON document.
        :param deadline: see :class:`Attempts`.
        """
        data = None if body is None else json.dumps(body).encode("utf-8")
        headers = {} if data is None else {"Content-Type": "application/json"}
        seconds = self._settings.connect_timeout + 2 * self._settings.read_timeout  # a poll is held half a read_timeout
        attempts = Attempts(self._settings, self._sleep, self.count, deadline, retries=retries)
        while True:
            with attempts:
                limit = Deadline("read_timeout", seconds, self._clock)
                try:
                    with self.answer(method, path, limit, headers=headers, data=data) as response:
                        is_good = 200 <= response.status_code < 300
                        document = (read if read is not None and is_good else self.read_document)(response)
                        if not is_good and response.status_code not in accept:
                            raise error_from_response(response, document, self._settings)
                        return document
                except UnreachableError as error:
                    if not limit.is_over():
                        raise
                    raise _failures.GATEWAY_SLOW.error(url=self.url, seconds=seconds, repeatable=True) from error

    @contextmanager
    def answer(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        headers: Mapping[str, str],
        data: Any = None,
        timeout: tuple[float, float] | None = None,
    ) -> Iterator[Any]:
        """Send one request; yields the response before its body is read. Everything is cut off at ``deadline``."""
        settings = self._settings
        with self._connections.cut_at(deadline.left()):
            try:
                response = self._session.request(
                    method,
                    self.url + path,
                    headers=dict(headers),
                    data=data,
                    timeout=timeout or (settings.connect_timeout, settings.read_timeout),
                    allow_redirects=False,
                    stream=True,
                )
            except PassedOnError:
                raise
            except Exception as error:
                raise self.translate(error) from error
            try:
                _require_plain(response)
                yield response
            finally:
                response.close()

    def read_document(self, response: Any) -> Any:
        """The decoded JSON body. An error response with a body that is not JSON counts as an empty document."""
        is_good = 200 <= response.status_code < 300
        text = b""
        for piece in self.body(response):
            text += piece
            if len(text) > MAX_DOCUMENT:
                if is_good:
                    raise wrong(f"has more than {_sentences.size(MAX_DOCUMENT)}")
                return {}
        if not text:
            if not has_end(response):
                raise self.lost()
            return {}
        try:
            return decode(text)
        except IncompleteError:
            if not has_end(response):
                raise self.lost() from None
            if is_good:
                raise wrong("is not JSON") from None
            return {}

    def body(self, response: Any) -> Iterator[bytes]:
        """The body in pieces, to its end.

        :raises UnreachableError: when its length is not the announced one.
        """
        size = 0
        try:
            for piece in response.raw.stream(PIECE, decode_content=False):
                size += len(piece)
                yield piece
        except Exception as error:
            raise self.translate(error) from error
        announced = response.headers.get("Content-Length")
        if announced is not None and int(announced) != size and not _is_bare(response):
            raise self.lost()

    def lost(self) -> ActiveLogicError:
        return _failures.GATEWAY_CONNECTION_LOST.error(url=self.url, exception="IncompleteRead", repeatable=True)

    def translate(self, error: Exception) -> ActiveLogicError:
        """Translate an exception of ``requests`` or of a library below it."""
        if isinstance(error, ActiveLogicError):
            return error
        url, settings = self.url, self._settings
        chain = chain_of(error)
        if exhaustion := next((each for each in map(exhaustion_behind, chain) if each is not None), None):
            return _failures.LOCAL_EXHAUSTED.error(why=exhaustion.strerror, repeatable=True)
        if isinstance(error, requests.exceptions.ProxyError):
            return proxy_error(chain, settings.proxy_username is not None)
        known = untrusted(chain, url) or refused(chain, settings, url)
        if known is not None:
            return known
        in_handshake = any(
            "handshake operation timed out" in str(each) for each in chain
        )  # which connect_timeout limits
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return _failures.GATEWAY_NOT_ACCEPTING.error(url=url, seconds=settings.connect_timeout, repeatable=True)
        is_late = any(
            isinstance(each, (socket.timeout, TimeoutError)) or "Timeout" in type(each).__name__ for each in chain
        )
        if is_late and not in_handshake:
            return _failures.GATEWAY_SILENT.error(url=url, seconds=settings.read_timeout, repeatable=True)
        if any(isinstance(each, ConnectionRefusedError) for each in chain):
            return _failures.GATEWAY_REFUSES.error(url=url, repeatable=True)
        if any(isinstance(each, socket.gaierror) for each in chain):
            return _failures.GATEWAY_NAME_UNKNOWN.error(url=url)
        found = self._diagnose(in_handshake)
        if found is not None:
            return found
        if in_handshake:
            return _failures.GATEWAY_NOT_ACCEPTING.error(url=url, seconds=settings.connect_timeout, repeatable=True)
        ends = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
        for each in chain:
            if isinstance(each, ssl.SSLError) and not isinstance(each, ends):
                return _failures.GATEWAY_WITHOUT_TLS.error(url=url, why=said(each))
        return _failures.GATEWAY_CONNECTION_LOST.error(url=url, exception=cause_of(chain), repeatable=True)

    def close(self) -> None:
        self._session.close()

    def _diagnose(self, silent: bool) -> ActiveLogicError | None:
        """Find out why there is no connection; only once, before any answer, and without a proxy in between."""
        if not self._needs_diagnosis or self._settings.proxy_url:
            return None
        self._needs_diagnosis = False
        return diagnose(self._settings, self.url, silent=silent)


def _require_plain(response: Any) -> None:
    """:raises ProtocolError: when the body has an encoding that was not requested, or its length is ambiguous."""
    for header, plain in (("Content-Encoding", "identity"), ("Transfer-Encoding", "chunked")):
        encoding = response.headers.get(header, plain).lower()
        if encoding != plain:
            raise _failures.GATEWAY_ANSWER_WRONG.error(flaw=f"came encoded ({encoding[:20]}), which was not asked for")
    length = response.headers.get("Content-Length")  # repeated headers are joined by commas
    if length is not None and (_LENGTH.fullmatch(length.strip()) is None or "Transfer-Encoding" in response.headers):
        raise wrong(f"has a length that is not clear ({length[:20]})")


def _is_bare(response: Any) -> bool:
    """Whether a response has no body, so that its Content-Length describes another one."""
    return response.status_code in (204, 304)


def has_end(response: Any) -> bool:
    """Whether the headers say where the body ends.

    To http.client, truncated headers look like complete ones that lack the rest. A complete document without a length
    comes from a proxy that speaks HTTP/1.0.
    """
    headers = response.headers
    return "Content-Length" in headers or "Transfer-Encoding" in headers or _is_bare(response)
