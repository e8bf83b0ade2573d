# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading request bodies, and noticing that the client has disconnected."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Receive, Scope

from ..config import Limits
from ..problems import Problem
from ..spool import PIECE

Result = TypeVar("Result")

MAX_DOCUMENT = 65536
"""Maximum size of a JSON body, in bytes."""


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """All values of a header."""
    return [value for key, value in scope["headers"] if key == name]


class Body:
    """The body of a request, read with a minimum rate: only time spent waiting for the client counts."""

    def __init__(self, receive: Receive, idle_seconds: float, bytes_per_second: float) -> None:
        self._receive = receive
        self._allowance = idle_seconds
        self._rate = bytes_per_second
        self.size = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the chunks as they arrive.

        :raises Problem: ``request_timeout`` if the body comes too slowly, ``bad_request`` if it ends too early.
        """
        waited = 0.0
        while True:
            began = time.monotonic()
            # No single gap may exceed the allowance, however fast the body was before.
            left = min(self._allowance, self._allowance + self.size / self._rate - waited)
            try:
                async with asyncio.timeout(max(0.01, left)):
                    message = await self._receive()
            except TimeoutError:
                raise Problem("request_timeout", "the body came too slowly", headers={"Connection": "close"}) from None
            waited += time.monotonic() - began
            if message["type"] == "http.disconnect":
                raise Problem("bad_request", "the body ended too early")
            piece = message.get("body", b"")
            self.size += len(piece)
            if piece:
                yield piece
            if not message.get("more_body", False):
                return
            if waited > self._allowance + self.size / self._rate:
                raise Problem("request_timeout", "the body came too slowly", headers={"Connection": "close"})

    async def large_pieces(self) -> AsyncIterator[bytes]:
        """Yield the body in chunks of about :data:`PIECE` bytes."""
        held: list[bytes] = []
        size = 0
        async for piece in self.pieces():
            held.append(piece)
            size += len(piece)
            if size >= PIECE:
                yield b"".join(held)
                held.clear()
                size = 0
        if held:
            yield b"".join(held)


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is given twice")
    return members


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def refuse_encoded(request: Request) -> None:
    """Refuse a Content-Encoding: the gateway stores and hashes the bytes exactly as sent."""
    if header_values(request.scope, b"content-encoding"):
        raise Problem("unsupported_media_type", "the body must not be encoded (Content-Encoding)")


async def read_json(request: Request, limits: Limits) -> Any:
    """Read and decode a JSON body of at most 64 KiB.

    :raises Problem: ``unsupported_media_type``, ``too_large``, ``bad_request``, ``request_timeout``.
    """
    refuse_encoded(request)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem("unsupported_media_type", "the body should be application/json")
    body = bytearray()
    async for piece in Body(request.receive, limits.header_seconds, limits.body_bytes_per_second).pieces():
        body += piece
        if len(body) > MAX_DOCUMENT:
            raise Problem("too_large", f"the body has more than {MAX_DOCUMENT} bytes")
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Problem("bad_request", "the body is not JSON in UTF-8") from None


async def disconnected(request: Request) -> None:
    """Return when the client has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Await ``work``, but cancel it when the client disconnects: nobody would read the response.

    :raises Problem: ``bad_request`` if the client disconnected.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Problem("bad_request", "the client has gone")
        return working.result()
    finally:
        for each in (working, leaving):
            await _end(each)


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel a task, wait for its end, and take its result.

    A task keeps its cancellation until somebody takes it. The traceback of that has the frames of all that it waited
    for, and a frame with a timeout refers to the task: a listing in it would stay until the next full garbage
    collection.
    """
    task.cancel()
    await asyncio.wait([task])
    with contextlib.suppress(asyncio.CancelledError, Exception):
        task.result()
