# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A test double of the gateway that can give any answer. Plain HTTP, on the loopback interface."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from activelogic_gateway.problems import MEDIA_TYPE, Problem

CONTENT = b"the content of a backup, as the odd gateway has it"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "there.plb"

Answer = Callable[[BaseHTTPRequestHandler], None]
ROUTES = (
    ("system", r"/v1/systems/[^/]+"),
    ("backups", r"/v1/systems/[^/]+/backups"),
    ("operation", r"/v1/systems/[^/]+/operations/[^/]+"),
    ("content", r"/v1/systems/[^/]+/operations/[^/]+/content"),
    ("commit", r"/v1/systems/[^/]+/operations/[^/]+/commit"),
)


def document(content: Any, status: int = 200) -> Answer:
    """A JSON answer."""
    return plain(json.dumps(content).encode(), status, "application/json")


def problem(kind: str, detail: str, retry_after: int | None = None) -> Answer:
    """An error answer, formatted as by the gateway."""
    found = Problem(kind, detail, retry_after=retry_after)
    return plain(json.dumps(found.document()).encode(), found.status, MEDIA_TYPE, found.headers)


def plain(
    body: bytes, status: int = 200, media_type: str = "text/plain", headers: Mapping[str, str] | None = None
) -> Answer:
    """An answer with arbitrary bytes."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for key, value in {"Content-Type": media_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def content(body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a backup's content."""
    return plain(body, 200, "application/octet-stream", headers)


def hang_up(request: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    request.close_connection = True


def state(name: str, **members: Any) -> Answer:
    """An operation in this state."""
    return document({"state": name, **members})


def failed(kind: str, detail: str) -> Answer:
    """An operation that failed."""
    return state("failed", problem=Problem(kind, detail).document())


class OddGateway:
    """A gateway with one system and one backup; everything works except as set in ``answers``.

    :ivar answers: the answers by method and route, such as ``GET backups``.
    :ivar asked: the requests so far, as keys of ``answers``.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {
            "GET system": document({"machineid": "001122334455", "distversion": "22.20.06.1"}),
            "GET backups": document([{"name": NAME, "size": len(CONTENT)}]),
            "PUT operation": state("queued"),
            "GET operation": state("succeeded", result={"name": NAME, "size": len(CONTENT), "sha256": SHA256}),
            "DELETE operation": document({}),
            "GET content": content(CONTENT),
            "PUT content": self._take,
            "PUT commit": state("queued"),
        }
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The server's URL; the first access starts it."""
        if self._server is None:
            self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
            threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Stop the server, if it was started."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        document({"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}, 201)(request)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        odd = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                path = self.path.partition("?")[0]
                route = next((name for name, pattern in ROUTES if re.fullmatch(pattern, path)), "")
                key = f"{self.command} {route}"
                odd.asked.append(key)
                if key != "PUT content":
                    self.rfile.read(int(self.headers.get("Content-Length", "0")))
                odd.answers.get(key, plain(b"", 404))(self)

            do_GET = do_PUT = do_DELETE = answer  # noqa: N815 - required by the base class

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as the base class has it
                """Log nothing."""

        return Handler
