# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A loopback proxy between client and gateway that terminates TLS and injects the faults it is given.

It is deterministic: the same faults and the same requests produce the same bytes.
"""

from __future__ import annotations

import gzip
import http.client
import os
import re
import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import trustme

ANY = r".*"
LISTING = r"GET .*/backups"
OPERATION = r"PUT .*/operations/[0-9a-f-]+"
POLL = r"GET .*/operations/[0-9a-f-]+"
DOWNLOAD = r"GET .*/content"
UPLOAD = r"PUT .*/content"
COMMIT = r"PUT .*/commit"
ELSEWHERE = "/elsewhere"
"""Target of redirects: a path that the proxy answers itself."""

OPENINGS = ("mute", "mute after TLS", "certificate")
REQUESTS = ("reset up", "stall up", "drip up", "flip up", "truncate up", "gzip up", "no range")
REPLACEMENTS = ("status", "redirect", "page")
ANSWERS = (
    "lose",
    "reset",
    "stall",
    "drip",
    "drip head",
    "length too large",
    "length too small",
    "truncate",
    "gzip",
    "flip",
    "other range",
    "no length",
)
DRIP_SECONDS = 0.3
LONGEST = 120.0
"""Seconds after which even a silent connection is closed."""


@dataclass(frozen=True)
class Fault:
    """A fault to inject.

    :param does: On connection setup: ``mute`` (sends nothing, not even TLS), ``mute after TLS``, ``certificate`` (of an
        untrusted CA). In a request: ``... up`` affects the body, ``no range`` drops the header. In place of an answer:
        ``status``, ``redirect``, or ``page`` (a login page, as a captive portal sends it). In an answer: ``lose`` (the
        request is carried out, then RST), ``reset`` (RST after ``at`` bytes of the body), ``stall``, ``drip`` (one byte
        every 0.3 s from ``at`` on), ``drip head``, ``length too large`` (and the connection stays open),
        ``length too small`` (half of it), ``truncate`` (half the body, with a matching length), ``gzip`` (with the
        matching header), ``flip`` (one bit of byte ``at``), ``other range`` (claims a different range than requested),
        ``no length`` (HTTP/1.0, where closing the connection ends the body).
    :param route: a regular expression for ``METHOD /path``.
    :param at: a position in the body, in bytes.
    :param times: how often it happens; ``None`` means always.
    :param after: number of matching connections or requests to let pass first.
    :param status: the status code of ``status``.
    :param retry_after: seconds in the Retry-After header of ``status``.
    """

    does: str
    route: str = ANY
    at: int = 0
    times: int | None = 1
    after: int = 0
    status: int = 503
    retry_after: int | None = None

    def __post_init__(self) -> None:
        if self.does not in (*OPENINGS, *REQUESTS, *REPLACEMENTS, *ANSWERS):
            raise ValueError(f"there is no fault {self.does!r}")


@dataclass
class _Request:
    method: str
    path: str
    headers: dict[str, str]

    @property
    def route(self) -> str:
        return f"{self.method} {self.path.partition('?')[0]}"

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", "0"))


@dataclass
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def head(self, length: int | None) -> bytes:
        version = "1.0" if length is None else "1.1"
        lines = [f"HTTP/{version} {self.status} {http.client.responses.get(self.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += ["", ""] if length is None else [f"Content-Length: {length}", "", ""]
        return "\r\n".join(lines).encode("latin-1")


class _EndError(Exception):
    """The connection has ended."""


class Proxy:
    """Listens on a free port of 127.0.0.1 while the block runs.

    :param folder: the lab's folder, with ``gateway.pem``, ``gateway.key`` and ``ca.pem``.
    :param port: the gateway's port on 127.0.0.1.
    """

    def __init__(self, folder: Path, port: int, faults: Iterable[Fault] = ()) -> None:
        self._faults = list(faults)
        self._counts = [0] * len(self._faults)
        self._port = port
        self._upstream = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "gateway.pem", folder / "gateway.key")
        self._stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if any(fault.does == "certificate" for fault in self._faults):
            trustme.CA().issue_cert("127.0.0.1").configure_cert(self._stranger)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket()
        self.seen: list[str] = []
        """``METHOD /path`` of each request whose head has been received."""

        self.happened: list[str] = []
        """``does`` of each fault that has happened, in order."""

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # inherited: limits unread data
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self._listener.settimeout(0.1)
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for each in list(self._threads):
            each.join(10)
        self._listener.close()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                connection, _address = self._listener.accept()
                self._start(self._serve, connection)

    def _due(self, kinds: Iterable[str], route: str = "") -> Fault | None:
        """The first fault of these kinds that is due now; it is counted."""
        with self._lock:
            found = None
            for number, fault in enumerate(self._faults):
                if found or fault.does not in kinds or (route and not re.fullmatch(fault.route, route)):
                    continue
                self._counts[number] += 1
                count = self._counts[number] - fault.after
                if count > 0 and (fault.times is None or count <= fault.times):
                    self.happened.append(fault.does)
                    found = fault
            return found

    # One connection

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(LONGEST)
        with suppress(OSError, _EndError, http.client.HTTPException), plain:
            opening = self._due(OPENINGS)
            kind = "" if opening is None else opening.does
            if kind == "mute":
                self._wait(plain)
            context = self._stranger if kind == "certificate" else self._context
            with context.wrap_socket(plain, server_side=True) as connection, connection.makefile("rb") as source:
                connection.settimeout(LONGEST)
                if kind == "mute after TLS":
                    self._wait(connection)
                while not self._stopped.is_set():
                    self._exchange(connection, source)

    def _exchange(self, connection: ssl.SSLSocket, source: BinaryIO) -> None:
        request = self._read_head(connection, source)
        with self._lock:
            self.seen.append(request.route)
        replacement = self._due(REPLACEMENTS, request.route)
        upward = self._due(REQUESTS, request.route) if replacement is None else None
        body = self._read_body(connection, source, request, upward)
        if request.path == ELSEWHERE:
            answer = _Answer(200, [], b"this is not what was asked for")
        elif replacement is not None:
            answer = _replaced(replacement)
        else:
            answer = self._forward(request, body)
        self._answer(connection, answer, self._due(ANSWERS, request.route) if replacement is None else None)

    def _read_head(self, connection: ssl.SSLSocket, source: BinaryIO) -> _Request:
        self._await_bytes(connection)
        first = source.readline().decode("latin-1")
        if not first:
            raise _EndError
        method, path, _version = first.split()
        headers = {}
        while (line := source.readline().decode("latin-1").strip()) != "":
            name, _colon, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return _Request(method, path, headers)

    def _await_bytes(self, connection: ssl.SSLSocket) -> None:
        """Wait for a request, or for the proxy to stop."""
        while not (connection.pending() or select.select([connection], [], [], 0.1)[0]):
            if self._stopped.is_set():
                raise _EndError

    def _read_body(self, connection: ssl.SSLSocket, source: BinaryIO, request: _Request, fault: Fault | None) -> bytes:
        if fault is not None and fault.does in ("reset up", "stall up", "drip up"):
            source.read(min(fault.at, request.length))
            if fault.does == "reset up":
                _reset(connection)
            while fault.does == "drip up" and not self._stopped.wait(DRIP_SECONDS):
                if not source.read(1):
                    raise _EndError
            self._wait(connection)
        body = source.read(request.length)
        if len(body) < request.length:
            raise _EndError
        if fault is not None:
            body = _damaged(body, fault.does.removesuffix(" up"), fault.at)
            if fault.does == "no range":
                request.headers.pop("range", None)
            if fault.does == "gzip up":
                request.headers["content-encoding"] = "gzip"
        return body

    def _forward(self, request: _Request, body: bytes) -> _Answer:
        gateway = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=LONGEST, context=self._upstream)
        try:
            headers = {name: value for name, value in request.headers.items() if name != "connection"}
            if "content-length" in headers:
                headers["content-length"] = str(len(body))
            gateway.request(request.method, request.path, body if body else None, headers)
            response = gateway.getresponse()
            kept = [
                (name, value)
                for name, value in response.getheaders()
                if name.lower() not in ("content-length", "transfer-encoding", "connection")
            ]
            return _Answer(response.status, kept, response.read())
        finally:
            gateway.close()

    def _answer(self, connection: ssl.SSLSocket, answer: _Answer, fault: Fault | None) -> None:
        does, at = ("", 0) if fault is None else (fault.does, fault.at)
        if does == "lose":
            _reset(connection)
        if does == "gzip":
            answer.headers.append(("Content-Encoding", "gzip"))
        if does == "other range":
            answer.headers = [(name, value) for name, value in answer.headers if name.lower() != "content-range"]
            answer.headers.append(("Content-Range", "bytes 0-1/2"))
        if does == "drip head":
            self._drip(connection, answer.head(len(answer.body)))
        body = _damaged(answer.body, does, at)
        lengths = {"length too large": len(body) + 1000, "length too small": len(body) // 2, "no length": None}
        connection.sendall(answer.head(lengths.get(does, len(body))))
        if does in ("reset", "stall", "drip"):
            connection.sendall(body[:at])
            if does == "reset":
                _reset(connection)
            if does == "drip":
                self._drip(connection, body[at:])
            self._wait(connection)
        connection.sendall(body)
        if does == "length too large":
            self._wait(connection)
        if does in ("length too small", "no length"):
            raise _EndError

    def _drip(self, connection: socket.socket, content: bytes) -> None:
        for number in range(len(content)):
            connection.sendall(content[number : number + 1])
            if self._stopped.wait(DRIP_SECONDS):
                break
        raise _EndError

    def _wait(self, connection: socket.socket) -> None:
        """Stay silent until the proxy stops, however long the client waits."""
        self._stopped.wait(LONGEST)
        connection.close()
        raise _EndError


def _replaced(fault: Fault) -> _Answer:
    if fault.does == "redirect":
        return _Answer(307, [("Location", ELSEWHERE)], b"<html>elsewhere</html>")
    if fault.does == "page":
        return _Answer(200, [("Content-Type", "text/html")], b"<html>please log in</html>")
    headers = [] if fault.retry_after is None else [("Retry-After", str(fault.retry_after))]
    return _Answer(fault.status, headers, b"<html>try again</html>")


def _damaged(body: bytes, does: str, at: int) -> bytes:
    if does == "truncate":
        return body[: len(body) // 2]
    if does == "gzip":
        return gzip.compress(body, 1, mtime=0)
    if does == "flip" and body:
        at = min(at, len(body) - 1)
        return body[:at] + bytes([body[at] ^ 0x01]) + body[at + 1 :]
    return body


def _reset(connection: socket.socket) -> None:
    """Close a connection with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())
    raise _EndError
