# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP API: an application built from a list of routes. Nothing happens at import, and nothing is global."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BeforeValidator
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import __version__
from .auth import Caller, Login, parse_basic
from .documents import FINAL, LONGEST_POLL, UUID_PATTERN, parse_commit, parse_request
from .gateway import Gateway
from .openapi import ROUTES
from .operations import Operation
from .problems import MEDIA_TYPE, NO_ROOM, Problem
from .spool import PIECE, Content

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_DOCUMENT = 65536
"""Bytes of a JSON body at most."""

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def _as_json_has_it(text: Any) -> Any:
    """Numbers are written as in JSON: pydantic alone would take "1_0", " 1" and more. The default is no text."""
    if isinstance(text, str) and not _NUMBER.fullmatch(text):
        raise ValueError("should be a number")
    return text


SystemName = Annotated[str, Path(min_length=1, max_length=255)]
OperationId = Annotated[str, Path(pattern=UUID_PATTERN)]
Force = Annotated[Literal["true", "false"], Query()]
Wait = Annotated[float, BeforeValidator(_as_json_has_it), Query(ge=0, le=LONGEST_POLL, allow_inf_nan=False)]


def document_response(
    document: Any, status: int = 200, headers: dict[str, str] | None = None, media_type: str = "application/json"
) -> Response:
    """A JSON response that nobody keeps."""
    body = json.dumps(document).encode("ascii")
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, media_type)


def problem_response(problem: Problem) -> Response:
    """A problem as RFC 9457 has it."""
    return document_response(problem.document(), problem.status, problem.headers, MEDIA_TYPE)


def failure(error: Exception) -> Problem:
    """What is said of a failure of the gateway's own: its class alone, for its text may hold anything."""
    return Problem("internal_error", f"the gateway failed ({type(error).__name__})")


# What a request brings


def client_address(request: Request) -> str:
    """The peer's address, as the transport knows it; no header can change it."""
    return request.client.host if request.client else ""


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """All values of a header."""
    return [value for key, value in scope["headers"] if key == name]


class Body:
    """The body of a request, read with a limit on its slowness: only the time spent waiting for the client counts."""

    def __init__(self, receive: Receive, idle_seconds: float, bytes_per_second: float) -> None:
        self._receive = receive
        self._allowance = idle_seconds
        self._rate = bytes_per_second
        self.size = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """The parts as they arrive.

        :raises Problem: ``request_timeout`` if it comes too slowly, ``bad_request`` if it ends too early.
        """
        waited = 0.0
        while True:
            began = time.monotonic()
            # A gap has a limit of its own, whatever came before it.
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
        """The same in pieces of about :data:`PIECE`."""
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


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is given twice")
    return members


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def refuse_encoded(request: Request) -> None:
    """Bytes are taken as they come: nothing is unpacked, and no digest is of anything else than what was sent."""
    if header_values(request.scope, b"content-encoding"):
        raise Problem("unsupported_media_type", "the body must not be encoded (Content-Encoding)")


async def read_json(request: Request, gateway: Gateway) -> Any:
    """The decoded JSON body, at most 64 KiB.

    :raises Problem: ``unsupported_media_type``, ``too_large``, ``bad_request``, ``request_timeout``.
    """
    refuse_encoded(request)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem("unsupported_media_type", "the body should be application/json")
    body = bytearray()
    limits = gateway.limits
    async for piece in Body(request.receive, limits.header_seconds, limits.body_bytes_per_second).pieces():
        body += piece
        if len(body) > MAX_DOCUMENT:
            raise Problem("too_large", f"the body has more than {MAX_DOCUMENT} bytes")
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_no_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Problem("bad_request", "the body is not JSON in UTF-8") from None


async def disconnected(request: Request) -> None:
    """Ends when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Do something for a client, which ends when the client goes: nobody would read the answer."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Problem("bad_request", "the client has gone")
        return working.result()
    finally:
        for each in (working, leaving):
            each.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


class Asker:
    """A request for a system: who asks, and what the audit log is to say of it."""

    def __init__(self, gateway: Gateway, request: Request, caller: Caller) -> None:
        self.audit: dict[str, Any] = request.scope["audit"]
        self.caller = caller
        self.system = caller.system
        self._gateway = gateway

    @classmethod
    async def of(
        cls, gateway: Gateway, request: Request, word: str, command: str, parameters: frozenset[str] = frozenset()
    ) -> Asker:
        """Look at what a request asks for.

        :param word: the system's name or address.
        :raises Problem: ``invalid_request``; as :meth:`CallerSessions.refuse_unknown` for a system that is not there.
        """
        audit: dict[str, Any] = request.scope["audit"]
        audit["command"] = command
        given = [name for name, _ in request.query_params.multi_items()]
        if not parameters.issuperset(given) or len(set(given)) < len(given):
            raise Problem("invalid_request", "the query has an unknown parameter, or one twice")
        login: Login = audit["login"]  # the outermost layer lets no request without one through
        address = client_address(request)
        audit["word"] = word
        system = gateway.config.find_system(word)
        if system is None:
            await gateway.callers.refuse_unknown(word, login, address)
        audit["system"] = system
        return cls(gateway, request, Caller(system, word, login, address))

    async def operation(self, uuid: str, is_named: bool = True) -> Operation:
        """The operation that is asked about.

        :param is_named: whether the audit log is to name its backup.
        """
        self.audit.update(operation=uuid.lower())
        operation = await self._gateway.find(self.caller, uuid.lower())
        if is_named:
            self.audit.update(name=operation.request.name)
        return operation


# The content of a download


def parse_range(value: str, size: int) -> tuple[int, int] | None:
    """First and last byte of a single range (RFC 9110, section 14); ``None`` when the header is to be ignored.

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
    """What tells the content from any other."""
    digest = base64.b64encode(bytes.fromhex(content.sha256)).decode("ascii")
    return {
        "ETag": f'"{content.sha256}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "Cache-Control": "no-store, no-transform",
    }


def etags(scope: Scope, header: bytes, weak: bool) -> set[str]:
    """The entity tags in If-Match or If-None-Match (RFC 9110, section 13.1); weak ones only where they count."""
    text = b",".join(header_values(scope, header)).decode("latin-1")
    return {tag for mark, tag in re.findall(r'(W/)?("[^"]*"|\*)', text) if weak or not mark}


class ContentResponse(Response):
    """Bytes of a file in pieces of :data:`PIECE`, read off the loop; constant memory."""

    def __init__(self, content: Content, span: tuple[int, int] | None, head: bool) -> None:
        first, last = span or (0, content.size - 1)
        headers = {**content_headers(content), "Content-Length": str(last - first + 1), "Accept-Ranges": "bytes"}
        if span:
            headers["Content-Range"] = f"bytes {first}-{last}/{content.size}"
        super().__init__(None, 206 if span else 200, headers, "application/octet-stream")
        self._file = content.path.open(
            "rb", buffering=0
        )  # opened at once: dropping the content can't break it any more
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


# The application


class Front:
    """Outermost layer: refuses what no route should see, turns failures into problems, writes the audit log."""

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
                raise  # in the middle of an answer: the connection must end
        finally:
            user = login.username if login is not None and login.accepted else None
            self._gateway.audit.write(
                "request",
                client=scope["client"][0] if scope.get("client") else None,
                system=audit.get("system"),
                user=user,
                command=audit.get("command", "health" if scope["path"] == "/healthz" else None),
                name=audit.get("name") if user else None,  # a stranger's words stay out of the log
                operation=audit.get("operation"),
                method=scope["method"],
                outcome={"status": sent["status"], "kind": audit.get("kind")},
                bytes={"in": audit.get("received", 0), "out": sent["bytes"]},
                milliseconds=int((time.monotonic() - began) * 1000),
            )

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
        # A quoted slash or backslash must not become another route, or another part of one.
        if re.search(rb"%2f|%5c|\\", scope["raw_path"], re.IGNORECASE):
            return Problem("unknown_route", "no name in a route holds a slash or backslash")
        return None


def routes(gateway: Gateway) -> list[APIRoute]:
    """All routes of the API."""

    async def health(request: Request) -> Response:
        login = request.scope["audit"]["login"]
        is_known = login is not None and gateway.logins.is_known(login)
        return document_response(
            {
                "status": "ok",
                "stuck_systems": gateway.stuck_systems() if is_known else None,
                "stuck_sessions": gateway.sessions.stuck,
                "certificate_days_left": certificate_days_left(),
            }
        )

    def certificate_days_left() -> int | None:
        return gateway.certificate_days_left() if gateway.certificate_days_left is not None else None

    async def show_system(request: Request, system: SystemName) -> Response:
        asker = await Asker.of(gateway, request, system, "identity")
        identity = await while_connected(request, gateway.callers.identity(asker.caller))
        return document_response(
            {"name": asker.system, "machineid": identity.machineid, "distversion": identity.distversion}
        )

    async def list_backups(request: Request, system: SystemName) -> Response:
        asker = await Asker.of(gateway, request, system, "list")
        entries = await while_connected(request, gateway.callers.backups(asker.caller))
        return document_response([{"name": each.name, "size": each.size} for each in entries])

    async def list_operations(request: Request, system: SystemName) -> Response:
        asker = await Asker.of(gateway, request, system, "list_operations")
        documents = await while_connected(request, gateway.of_owner(asker.caller))
        return document_response(documents)

    async def put_operation(request: Request, system: SystemName, operation: OperationId) -> Response:
        asker = await Asker.of(gateway, request, system, "ask")
        await gateway.let_in(asker.caller, operation.lower())  # before a body is read
        asked = parse_request(await read_json(request, gateway))
        if asker.caller.login.shows_in(*(str(each) for each in asked.model_dump().values())):
            # It would be stored with the operation, logged and listed.
            raise Problem("invalid_request", "the body holds the password of the login")
        asker.audit.update(command=f"ask_{asked.action}", name=asked.name, operation=operation.lower())
        found = await gateway.put(asker.caller, operation.lower(), asked)
        return operation_response(found)

    def operation_response(operation: Operation, accepted: bool = True) -> Response:
        system, _, uuid = operation.key
        if not accepted or operation.state in FINAL:
            return document_response(gateway.document(operation))
        location = f"/v1/systems/{system}/operations/{uuid}"
        return document_response(gateway.document(operation), 202, {"Location": location})

    async def show_operation(
        request: Request, system: SystemName, operation: OperationId, wait: Wait = 0.0
    ) -> Response:
        asker = await Asker.of(gateway, request, system, "poll", frozenset({"wait"}))
        found = await asker.operation(operation)

        if wait > 0:
            await gateway.wait(found, wait, lambda: disconnected(request))
        return operation_response(found, accepted=False)

    async def delete_operation(
        request: Request, system: SystemName, operation: OperationId, force: Force = "false"
    ) -> Response:
        asker = await Asker.of(gateway, request, system, "cancel", frozenset({"force"}))
        found = await asker.operation(operation, is_named=False)  # nothing happens to the backup
        if found.state in FINAL:
            asker.audit["command"] = "release"
        await gateway.delete(found, force == "true")
        return operation_response(found, accepted=False)

    async def content_response(request: Request, system: str, operation: str, head: bool) -> Response:
        asker = await Asker.of(gateway, request, system, "download_content_head" if head else "download_content")
        content = gateway.contents.of(await asker.operation(operation))
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

    async def get_content(request: Request, system: SystemName, operation: OperationId) -> Response:
        return await content_response(request, system, operation, head=False)

    async def head_content(request: Request, system: SystemName, operation: OperationId) -> Response:
        return await content_response(request, system, operation, head=True)

    async def put_content(request: Request, system: SystemName, operation: OperationId) -> Response:
        asker = await Asker.of(gateway, request, system, "upload_content")
        found = await asker.operation(operation)
        if found.request.action != "upload":
            raise Problem(
                "conflict", "only the content of an upload can be put", system=asker.system, operation=operation
            )
        refuse_encoded(request)
        length = header_values(request.scope, b"content-length")
        if len(length) != 1 or not length[0].isdigit():
            raise Problem("length_required", "the content needs a Content-Length")
        if int(length[0]) != found.request.size:
            raise Problem(
                "length_mismatch", f"Content-Length is {int(length[0])}, the operation's size {found.request.size}"
            )
        body = Body(request.receive, gateway.limits.stalled_seconds, gateway.limits.body_bytes_per_second)
        try:
            content = await gateway.contents.receive(found, body.large_pieces())
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise Problem("spool_full", "the disk of the spool is full", retry_after=60) from error
        finally:
            asker.audit["received"] = body.size
        return document_response({"size": content.size, "sha256": content.sha256})

    async def commit_operation(request: Request, system: SystemName, operation: OperationId) -> Response:
        asker = await Asker.of(gateway, request, system, "upload_commit")
        found = await asker.operation(operation)
        await gateway.commit(found, asker.caller.login, parse_commit(await read_json(request, gateway)))
        return operation_response(found)

    endpoints: tuple[Callable[..., Awaitable[Response]], ...] = (
        health, show_system, list_backups, list_operations, put_operation, show_operation, delete_operation,
        get_content, head_content, put_content, commit_operation,
    )  # fmt: skip
    named = {each.__name__: each for each in endpoints}
    return [
        APIRoute(
            each.path, named[each.operation_id], methods=[each.method], response_model=None, include_in_schema=False
        )
        for each in ROUTES
    ]


def create_app(gateway: Gateway) -> ASGIApp:
    """The application over one gateway; the gateway's background work lives as long as the application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        gateway.start()
        try:
            yield
        finally:
            await gateway.close()

    app = FastAPI(
        title="activelogic-gateway",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        routes=list(routes(gateway)),
    )

    async def on_problem(request: Request, problem: Exception) -> Response:
        if not isinstance(problem, Problem):
            raise problem
        request.scope["audit"]["kind"] = problem.kind
        audit = request.scope["audit"]
        if audit["login"] is not None and audit["login"].accepted:
            problem.system = problem.system or audit.get("system")
        else:  # who has not logged in learns no name, neither which there are nor that of an address
            problem.system = None if problem.kind == "unknown_system" else audit.get("word")
        return problem_response(problem)

    async def on_failure(request: Request, error: Exception) -> Response:
        return await on_problem(request, failure(error))  # it is raised again, and logged by the front

    async def on_invalid(request: Request, error: Exception) -> Response:
        where = "; ".join(
            f"{each['loc'][-1]}: {each['msg']}"
            for each in (error.errors() if isinstance(error, RequestValidationError) else [])
        )
        return await on_problem(request, Problem("invalid_request", where[:500]))

    async def on_http(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            allowed = sorted(
                {
                    method
                    for each in app.routes
                    if isinstance(each, APIRoute) and each.matches(request.scope)[0] is not Match.NONE
                    for method in each.methods or ()
                }
            )
            return await on_problem(
                request,
                Problem(
                    "method_not_allowed", f"{request.method} is not known here", headers={"Allow": ", ".join(allowed)}
                ),
            )
        if isinstance(error, HTTPException) and error.status_code == 404:
            return await on_problem(request, Problem("unknown_route", "there is no such route"))
        status = getattr(error, "status_code", 400)
        return await on_problem(
            request, Problem("bad_request" if status < 500 else "internal_error", "the request can't be handled")
        )

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_failure)
    return Front(app, gateway)
