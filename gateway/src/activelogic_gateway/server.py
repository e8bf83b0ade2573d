# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server: uvicorn with httptools, and the limits that it lacks, on connections, headers and stalled peers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .certificate import not_after
from .config import Config, Limits, Tls
from .logs import AuditLog
from .operations import Gateway
from .problems import MEDIA_TYPE, Problem

logger = logging.getLogger(__name__)

LINGER = 5.0
"""Seconds for which the rest of a refused body is read and dropped, so that the client can read the refusal."""


class TlsError(Exception):
    """Certificate, key or authority can't be used; the text is one sentence."""


def tls_context(tls: Tls) -> ssl.SSLContext:
    """A context for TLS 1.2 and later; with ``client_ca`` clients need a certificate.

    :raises TlsError: if the files can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        raise TlsError(f"tls: {tls.certificate} with the key {tls.key} can't be used: {reason}") from error
    if tls.client_ca is not None:
        try:
            context.load_verify_locations(tls.client_ca)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or error.strerror or str(error)
            raise TlsError(f"tls: client_ca {tls.client_ca} can't be used: {reason}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def days_left(tls: Tls | None) -> int | None:
    """Whole days until the certificate expires, negative after that; ``None`` without TLS or if it can't be told."""
    if tls is None:
        return None
    try:
        return (not_after(tls.certificate) - datetime.now(UTC)).days
    except (OSError, ValueError):
        return None


def guarded_protocol(limits: Limits, audit: AuditLog) -> type[HttpToolsProtocol]:
    """uvicorn's protocol with ends for slow headers, large headers, peers that don't read, and unread bodies."""

    class GuardedProtocol(HttpToolsProtocol):
        _header_timer: asyncio.TimerHandle | None = None
        _write_timer: asyncio.TimerHandle | None = None
        _linger_timer: asyncio.TimerHandle | None = None
        _message_open = False
        _header_bytes = 0
        _began = 0.0

        def _later(self, seconds: float, action: Callable[[], object]) -> asyncio.TimerHandle:
            return self.loop.call_later(seconds, action)

        def _stop(self, name: str) -> None:
            timer = getattr(self, name)
            if timer is not None:
                timer.cancel()
                setattr(self, name, None)

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)  # type: ignore[arg-type]
            self._began = self.loop.time()
            self._header_timer = self._later(limits.header_seconds, self._headers_too_slow)

        def connection_lost(self, exc: Exception | None) -> None:
            for name in ("_header_timer", "_write_timer", "_linger_timer"):
                self._stop(name)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            if not self._message_open:
                self._header_bytes += len(data)
                if self._header_bytes > limits.header_bytes + 262144:
                    self._refuse("headers_too_large", f"the headers have more than {limits.header_bytes} bytes")
                    return
            super().data_received(data)

        def on_message_begin(self) -> None:
            self._began = self.loop.time()
            if self._header_timer is None:
                self._header_timer = self._later(limits.header_seconds, self._headers_too_slow)
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._stop("_header_timer")
            self._message_open = True
            self._header_bytes = 0
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > limits.header_bytes:
                self._refuse("headers_too_large", f"the headers have more than {limits.header_bytes} bytes")
                return
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._message_open = False
            self._stop("_linger_timer")
            if not self.transport.is_closing():
                super().on_message_complete()

        def on_body(self, body: bytes) -> None:
            if not self.transport.is_closing():
                super().on_body(body)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._message_open and not self.transport.is_closing():
                self._unset_keepalive_if_required()
                self._linger_timer = self._later(LINGER, self.transport.abort)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._write_timer = self._later(limits.stalled_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            self._stop("_write_timer")
            super().resume_writing()

        def _headers_too_slow(self) -> None:
            self._header_timer = None
            self._refuse("request_timeout", "the headers came too slowly")

        def send_400_response(self, msg: str) -> None:
            self._refuse("bad_request", "this is not HTTP/1.1")

        def _refuse(self, kind: str, detail: str) -> None:
            """Answer what never becomes a request, unless an answer is on its way, and end the connection."""
            if self.transport.is_closing():
                return
            problem = Problem(kind, detail)
            cycle = self.cycle
            if cycle is None or cycle.response_complete or not cycle.response_started:
                if cycle is not None and not cycle.response_complete:
                    cycle.disconnected = True  # its application learns that the client has gone, and says nothing more
                    cycle.message_event.set()
                body = json.dumps(problem.document()).encode("ascii")
                head = (
                    f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
                    f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
                )
                only_head = self.parser.get_method() == b"HEAD"
                self.transport.write(head.encode("ascii") + (b"" if only_head else body))
            client = self.client[0] if self.client else None
            audit.write(
                "refused",
                client=client,
                outcome={"status": problem.status, "kind": kind},
                bytes={"in": 0, "out": 0},
                milliseconds=int((self.loop.time() - self._began) * 1000),
            )
            self.transport.close()

    return GuardedProtocol


class _Listener:
    """Accepts connections, at most so many at once, and gives each few seconds for its TLS handshake."""

    def __init__(
        self,
        sock: socket.socket,
        factory: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext | None,
        limits: Limits,
    ) -> None:
        self._sock = sock
        self._factory = factory
        self.context = context
        """Of the handshakes to come."""
        self._limits = limits
        self._handshakes: set[asyncio.Task[None]] = set()
        self.connections: Callable[[], int] = lambda: 0
        self._task = asyncio.create_task(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._sock)
            except OSError as error:
                logger.error("a connection can't be accepted: %s", error)
                await asyncio.sleep(0.5)
                continue
            if self.connections() + len(self._handshakes) >= self._limits.connections:
                connection.close()
                continue
            task = asyncio.create_task(self._take(connection))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _take(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        extra: dict[str, Any] = {}
        if self.context is not None:
            extra = {
                "ssl": self.context,
                "ssl_handshake_timeout": self._limits.header_seconds,
                "ssl_shutdown_timeout": 5.0,
            }
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._factory, connection, **extra)
        except (OSError, asyncio.CancelledError):  # a failed handshake; SSLError and TimeoutError are OSErrors
            connection.close()

    def close(self) -> None:
        """Accept nothing more."""
        self._task.cancel()
        for task in self._handshakes:
            task.cancel()
        self._sock.close()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""


class GatewayServer(uvicorn.Server):
    """uvicorn's server on one listening socket, with certificates that can be read anew."""

    def __init__(
        self,
        app: ASGIApp,
        gateway: Gateway,
        sock: socket.socket,
        context: ssl.SSLContext | None,
        ready: Callable[[], None],
    ) -> None:
        limits = gateway.limits
        super().__init__(
            uvicorn.Config(
                app,
                http=guarded_protocol(limits, gateway.audit),
                loop="asyncio",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=int(limits.keep_alive_seconds) or 1,
                timeout_graceful_shutdown=int(limits.shutdown_seconds) or 1,
            )
        )
        self._gateway = gateway
        self._sock = sock
        self._context = context
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            return

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        listener = _Listener(self._sock, protocol, self._context, self._gateway.limits)
        listener.connections = lambda: len(self.server_state.connections)
        self.servers = [listener]  # type: ignore[list-item]
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload, listener)
        self.started = True
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End long polls first: they would hold their connections."""
        self._gateway.begin_shutdown()
        await super().shutdown(sockets)

    def _reload(self, listener: _Listener) -> None:
        """SIGHUP: read the certificates anew, for new connections, and open the audit log anew."""
        try:
            self._gateway.audit.reopen()
        except OSError as error:
            logger.error("the audit log is kept open as it was: %s", error)
        tls = self._gateway.config.tls
        if tls is not None:
            try:
                listener.context = tls_context(tls)
            except TlsError as error:
                logger.error("the certificates are kept as they were: %s", error)


def listen(config: Config) -> socket.socket:
    """The listening socket; raises ``OSError``."""
    address, port = config.listen_address
    family, _, _, _, target = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(target)
        sock.listen(1024)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def url_of(sock: socket.socket, config: Config) -> str:
    """The URL at which the socket is reached."""
    address, port = sock.getsockname()[:2]
    return f"{'https' if config.tls else 'http'}://{f'[{address}]' if ':' in address else address}:{port}"


def write_ready_file(path: Path, url: str) -> None:
    """Say where the gateway listens, in one step, so that no reader sees half of it."""
    part = path.with_name(f".{path.name}.part")  # of a fixed name: a killed process leaves one at most
    part.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
    part.replace(path)
