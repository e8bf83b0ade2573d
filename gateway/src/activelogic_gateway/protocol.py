# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol of one connection: uvicorn's for httptools, with the timeouts and limits that it lacks.

One timeout is always active; the connection's state determines which, and no byte from the client resets it:

* no request has begun: ``header_seconds`` after the connection was accepted, ``keep_alive_seconds`` after a response;
* a request head has begun: ``header_seconds``;
* a body arrives, or a response is being made: the application's timeouts;
* the response was sent before the request body ended: :data:`LINGER`;
* the client does not read: ``stalled_seconds``;
* the gateway shuts down, and the client is idle: :data:`SHUTDOWN_GRACE`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .config import Limits
from .connections import Slot
from .logs import AuditLog
from .problems import MEDIA_TYPE, Problem

SHUTDOWN_GRACE = 0.5
"""Seconds that an idle client has to close its side when the gateway shuts down."""

LINGER = 5.0
"""Seconds for which the rest of a refused body is read and discarded, so that the client can read the response."""

MOST_HEADERS = 100
"""Maximum number of headers in a request."""

PIECE = 262144
"""Maximum number of bytes that asyncio passes to ``data_received`` at once."""

FRAMING = 8
"""Allowed bytes of chunk framing per byte of a body: a chunk of one byte needs five."""


class GuardedProtocol(HttpToolsProtocol):
    """Refuses slow or large request heads, large trailers, idle clients, clients that don't read, and deep pipelining.

    :param slot: the connection's slot, which this class marks as busy or idle.
    """

    def __init__(self, limits: Limits, audit: AuditLog, slot: Slot, **uvicorn_parameters: Any) -> None:
        super().__init__(**uvicorn_parameters)
        self._limits = limits
        self._audit = audit
        self._slot = slot
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._message_open = False  # between the end of a request head and the end of its body
        self._answering: Any = None  # the request that is being answered; ``cycle`` is the last one that arrived
        self._head_size = self._head_count = 0
        self._outside_body = self._in_body = 0  # bytes of the current message
        self._began = 0.0

    # Timeouts

    def _start(self, name: str, seconds: float, action: Callable[[], object]) -> None:
        self._stop(name)
        self._timers[name] = self.loop.call_later(seconds, action)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _wait_for_request(self) -> None:
        """Start the idle timeout if no request is open; only a new request stops it, not any other bytes."""
        self._unset_keepalive_if_required()  # uvicorn's own timeout stops at any byte
        if self._message_open or self.pipeline or not self._is_answered() or self.transport.is_closing():
            return
        self._slot.rest()
        self._start("idle", self._limits.keep_alive_seconds, self.transport.close)

    def _is_answered(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.client = self.client or (self._slot.address, 0)  # a connection that was reset has lost its peer address
        self._began = self.loop.time()
        self._slot.end = self._make_room
        self._start("head", self._limits.header_seconds, self._head_too_slow)

    def _make_room(self) -> None:
        """Close the connection, since another one needs its slot; a finished response is still flushed."""
        if self._slot.has_worked and not self.transport.is_closing():
            self.transport.close()
        else:
            self.transport.abort()

    def shutdown(self) -> None:
        """Shut down: close the connection after the response to its request, or at once if there is none.

        Don't wait long for an idle client: it may never respond to the closing of TLS.
        """
        super().shutdown()
        if self.transport.is_closing():
            self._start("shutdown", SHUTDOWN_GRACE, self._end_unless_writing)

    def _end_unless_writing(self) -> None:
        if self.transport.get_write_buffer_size() == 0:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        for name in list(self._timers):
            self._stop(name)
        for cycle in (self._answering, *(each for each, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)
        self._slot.release()
        # Break reference cycles, or each connection's buffers stay in memory until garbage collection.
        self._slot.end = lambda: None
        self._answering = None
        self.cycle = None  # type: ignore[assignment]
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._outside_body += len(data)
        if self._outside_body > self._limits.header_bytes + PIECE + FRAMING * self._in_body:
            self._refuse_large()
            return
        super().data_received(data)

    # One request

    def on_message_begin(self) -> None:
        self._stop("idle")
        self._began = self.loop.time()
        self._head_size = self._head_count = 0
        if "head" not in self._timers:
            self._start("head", self._limits.header_seconds, self._head_too_slow)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._head_size += len(url)
        if self._is_head_within_limits():
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_count += 1
        self._head_size += len(name) + len(value)
        # After the body, it is a trailer (RFC 9112, section 7.1.2): count it, and drop it.
        if self._is_head_within_limits() and not self._message_open:
            super().on_header(name, value)

    def _is_head_within_limits(self) -> bool:
        if self.transport.is_closing():
            return False
        if self._head_size > self._limits.header_bytes or self._head_count > MOST_HEADERS:
            self._refuse_large()
            return False
        return True

    def on_headers_complete(self) -> None:
        self._stop("head")
        if self.transport.is_closing():
            return
        self._message_open = True
        self._outside_body = self._in_body = 0
        if self.pipeline:
            self._refuse("bad_request", "more than one request was pipelined")
            return
        self._slot.work()
        super().on_headers_complete()
        if not self.pipeline:
            self._answering = self.cycle

    def on_body(self, body: bytes) -> None:
        self._outside_body -= len(body)
        self._in_body += len(body)
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._message_open = False
        self._stop("linger")
        if not self.transport.is_closing():
            super().on_message_complete()
            self._wait_for_request()

    def on_response_complete(self) -> None:
        following = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        if self.transport.is_closing():
            return
        self._answering = following
        if self._message_open and following is None:
            self._unset_keepalive_if_required()
            self._slot.rest()
            self._start("linger", LINGER, self.transport.abort)
        self._wait_for_request()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("write", self._limits.stalled_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop("write")
        super().resume_writing()

    # Refusals before a request is complete

    def _head_too_slow(self) -> None:
        self._refuse("request_timeout", "the headers came too slowly")

    def _refuse_large(self) -> None:
        said = f"the headers have more than {self._limits.header_bytes} bytes, or are more than {MOST_HEADERS}"
        self._refuse("headers_too_large", said)

    def send_400_response(self, msg: str) -> None:
        self._refuse("bad_request", "this is not HTTP/1.1")

    def _refuse(self, kind: str, detail: str) -> None:
        """Send a problem, unless another response is in progress, and close the connection."""
        if self.transport.is_closing():
            return
        problem = Problem(kind, detail)
        current = self._answering
        if not self.pipeline and (current is None or current.response_complete or not current.response_started):
            if current is not None and not current.response_complete:
                current.disconnected = True  # its application sees a disconnected client, and sends nothing more
                current.message_event.set()
            body = json.dumps(problem.document()).encode("ascii")
            head = (
                f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
                f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
            )
            only_head = self.parser.get_method() == b"HEAD"
            self.transport.write(head.encode("ascii") + (b"" if only_head else body))
        self._audit.write(
            "refused",
            client=self.client[0] if self.client else None,
            outcome={"status": problem.status, "kind": kind},
            bytes={"in": 0, "out": 0},
            milliseconds=int((self.loop.time() - self._began) * 1000),
        )
        self._slot.rest()
        self.transport.close()
