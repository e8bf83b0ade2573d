# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Responses with the content of a download: conditional requests, ranges, digests."""

from __future__ import annotations

import asyncio
import base64
import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..problems import Problem
from ..spool import PIECE, Content
from .bodies import header_values


def parse_range(value: str, size: int) -> tuple[int, int] | None:
    """Parse a single range (RFC 9110, section 14) into its first and last byte; ``None`` means: ignore the header.

    :raises Problem: ``range_not_satisfiable``.
    """
    found = re.fullmatch(r"\s*bytes\s*=\s*([0-9]{0,99})-([0-9]{0,99})\s*", value, re.IGNORECASE | re.ASCII)
    if found is None or not (found[1] or found[2]):
        return None
    if found[1]:
        first = int(found[1])
        last = min(int(found[2]), size - 1) if found[2] else size - 1
        if found[2] and int(found[2]) < first:
            return None
    else:
        first, last = max(0, size - int(found[2])), size - 1
    if first >= size or (not found[1] and int(found[2]) == 0):
        raise Problem(
            "range_not_satisfiable", f"the content has {size} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return first, last


def content_headers(content: Content) -> dict[str, str]:
    """Headers that identify the content (ETag and digest), and forbid caching."""
    digest = base64.b64encode(bytes.fromhex(content.sha256)).decode("ascii")
    return {
        "ETag": f'"{content.sha256}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "Cache-Control": "no-store, no-transform",
    }


def etags(scope: Scope, header: bytes, weak: bool) -> set[str]:
    """Parse the entity tags of If-Match or If-None-Match (RFC 9110, section 13.1); weak ones only if ``weak``."""
    text = b",".join(header_values(scope, header)).decode("latin-1")
    return {tag for mark, tag in re.findall(r'(W/)?("[^"]*"|\*)', text) if weak or not mark}


class ContentResponse(Response):
    """Streams a file, or a range of it, in chunks of :data:`PIECE` bytes, read in a thread; uses constant memory."""

    def __init__(self, content: Content, span: tuple[int, int] | None, head: bool) -> None:
        first, last = span or (0, content.size - 1)
        headers = {**content_headers(content), "Content-Length": str(last - first + 1), "Accept-Ranges": "bytes"}
        if span:
            headers["Content-Range"] = f"bytes {first}-{last}/{content.size}"
        super().__init__(None, 206 if span else 200, headers, "application/octet-stream")
        # Open the file now: the response survives it if the content is deleted meanwhile.
        self._file = content.path.open("rb", buffering=0)
        self._first, self._left, self._head = first, last - first + 1, head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if self._head:
                await send({"type": "http.response.body", "body": b""})
                return
            self._file.seek(self._first)
            while self._left > 0:
                piece = await asyncio.to_thread(self._file.read, min(PIECE, self._left))
                if not piece:
                    raise OSError("the spool file ended too early")
                self._left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": self._left > 0})
        finally:
            self._file.close()


def answer_with(content: Content, request: Request, head: bool, operation: str) -> Response:
    """Respond to GET or HEAD of content: 200 with all of it, 206 with a range, or 304.

    :param operation: the UUID, as the request has it.
    :raises Problem: ``precondition_failed``, ``range_not_satisfiable``, ``content_gone``.
    """
    etag = f'"{content.sha256}"'
    if header_values(request.scope, b"if-match") and not etags(request.scope, b"if-match", False) & {etag, "*"}:
        raise Problem("precondition_failed", "If-Match names other content", operation=operation)
    if etags(request.scope, b"if-none-match", True) & {etag, "*"}:
        return Response(None, 304, content_headers(content))
    span = None
    ranges = header_values(request.scope, b"range")
    condition = request.headers.get("if-range")
    if not head and len(ranges) == 1 and (condition is None or condition.strip() == etag):
        span = parse_range(ranges[0].decode("latin-1"), content.size)
    try:
        return ContentResponse(content, span, head)
    except FileNotFoundError:
        raise Problem("content_gone", "the content is no longer kept") from None
