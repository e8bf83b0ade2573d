# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP server: uvicorn on one listening socket, with our own connection limits, protocol and TLS."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .config import Config
from .connections import Listener, Slot
from .gateway import Gateway
from .protocol import GuardedProtocol
from .tls import TlsError, tls_context

logger = logging.getLogger(__name__)

BACKLOG = 4096
"""Length of the kernel's queue of connections to accept; the default of net.core.somaxconn."""


class GatewayServer(uvicorn.Server):
    """uvicorn's server on one listening socket, with certificates that can be reloaded."""

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
                http=HttpToolsProtocol,
                loop="asyncio",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
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

        limits, audit = self._gateway.limits, self._gateway.audit

        def protocol(slot: Slot) -> asyncio.Protocol:
            return GuardedProtocol(
                limits, audit, slot, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        listener = Listener(self._sock, protocol, self._context, limits, audit)
        self.servers = [listener]  # type: ignore[list-item]
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload, listener)
        self.started = True
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End long polls, which would keep their connections open, then shut down."""
        self._gateway.begin_shutdown()
        await super().shutdown(sockets)

    def _reload(self, listener: Listener) -> None:
        """Handle SIGHUP: reload the certificates for new connections, and reopen the audit log."""
        self._gateway.audit.reopen()
        tls = self._gateway.config.tls
        if tls is not None:
            try:
                listener.context = tls_context(tls)
            except TlsError as error:
                logger.error("the certificates can't be reloaded: %s", error)


def listen(config: Config) -> socket.socket:
    """Create the listening socket; raises ``OSError``."""
    address, port = config.listen_address
    family, _, _, _, target = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(target)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def url_of(sock: socket.socket, config: Config) -> str:
    """Return the URL of the listening socket."""
    address, port = sock.getsockname()[:2]
    return f"{'https' if config.tls else 'http'}://{f'[{address}]' if ':' in address else address}:{port}"


def write_ready_file(path: Path, url: str) -> None:
    """Write the gateway's URL and process id to a file, atomically."""
    part = path.with_name(f".{path.name}.part")  # a fixed name, so that killed processes leave at most one such file
    part.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
    part.replace(path)
