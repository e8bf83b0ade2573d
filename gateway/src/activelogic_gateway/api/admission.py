# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outermost layer of the application: every request and every response passes through it."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..audit_lines import write_request
from ..auth import Login, parse_basic
from ..gateway import Gateway
from ..problems import Problem
from .bodies import header_values
from .responses import failure, problem_response

logger = logging.getLogger(__name__)


class AdmitAndAudit:
    """ASGI middleware: rejects malformed requests, turns exceptions into problems, and writes the audit log."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        login = parse_basic(header_values(scope, b"authorization"))
        with self._gateway.secrets.held(login.password if login is not None else ""):
            await self._answer(scope, receive, send, login)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, login: Login | None) -> None:
        audit: dict[str, Any] = {"login": login}
        scope["audit"] = audit
        began = time.monotonic()
        sent: dict[str, Any] = {"status": None, "bytes": 0}

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent["status"] = message["status"]
            elif message["type"] == "http.response.body":
                sent["bytes"] += len(message.get("body", b""))
            await send(message)

        try:
            refusal = self._refuse(scope, login)
            if refusal is not None:
                audit["kind"] = refusal.kind
                await problem_response(refusal)(scope, receive, counting_send)
            else:
                await self._app(scope, receive, counting_send)
        except Exception as error:
            audit["kind"] = "internal_error"
            logger.exception("a request failed in the gateway")
            if sent["status"] is None:
                await problem_response(failure(error))(scope, receive, counting_send)
            elif sent["status"] != 500:
                raise  # the response has begun, so the connection must be closed
        finally:
            milliseconds = int((time.monotonic() - began) * 1000)
            write_request(self._gateway.audit, scope, audit, sent, milliseconds)

    @staticmethod
    def _refuse(scope: Scope, login: Login | None) -> Problem | None:
        hosts = header_values(scope, b"host")
        codings = header_values(scope, b"transfer-encoding")
        said = None
        if scope["http_version"] not in ("1.0", "1.1"):
            said = "this is not HTTP/1.1"
        elif len(hosts) != 1 or not re.fullmatch(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]+", hosts[0].strip()):
            said = "the request needs exactly one Host"
        elif codings and header_values(scope, b"content-length"):
            said = "Content-Length and Transfer-Encoding exclude each other"
        elif codings and (codings[0].strip().lower() != b"chunked" or scope["http_version"] == "1.0"):
            said = "the only Transfer-Encoding is chunked, in HTTP/1.1"  # RFC 9112, section 6.1
        if said:
            return Problem("bad_request", said, headers={"Connection": "close"})
        if scope["path"].startswith("/v1/") and login is None:
            return Problem("authentication_failed", "this needs HTTP Basic with a user of the ActiveLogic system")
        # A percent-encoded slash or backslash must not change which route matches, or split a path segment.
        if re.search(rb"%2f|%5c|\\", scope["raw_path"], re.IGNORECASE):
            return Problem("unknown_route", "no name in a route holds a slash or backslash")
        return None
