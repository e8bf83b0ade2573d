# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints of the API, and their routes."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..documents import FINAL, parse_commit, parse_request
from ..gateway import Gateway
from ..operations import Operation
from ..problems import NO_ROOM, Problem
from .bodies import Body, disconnected, header_values, read_json, refuse_encoded, while_connected
from .contents import answer_with
from .responses import document_response, list_response
from .route_table import ROUTES
from .system_request import SystemRequest


class Endpoints:
    """One method for each route, named after its operation in the OpenAPI document, which documents it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def health(self, request: Request) -> Response:
        login = request.scope["audit"]["login"]
        is_known = login is not None and self._gateway.logins.is_known(login)
        days_left = self._gateway.certificate_days_left
        return document_response(
            {
                "status": "ok",
                "stuck_systems": self._gateway.stuck_systems() if is_known else None,
                "stuck_sessions": self._gateway.sessions.stuck,
                "certificate_days_left": days_left() if days_left is not None else None,
            }
        )

    async def show_system(self, request: Request) -> Response:
        asked = await SystemRequest.read(self._gateway, request, "identity")
        identity = await while_connected(request, self._gateway.callers.identity(asked.caller))
        return document_response(
            {"name": asked.system, "machineid": identity.machineid, "distversion": identity.distversion}
        )

    async def list_backups(self, request: Request) -> Response:
        asked = await SystemRequest.read(self._gateway, request, "list")
        listing = await while_connected(request, self._gateway.callers.backups(asked.caller))
        return list_response({"name": each.name, "size": each.size} for each in listing)

    async def list_operations(self, request: Request) -> Response:
        asked = await SystemRequest.read(self._gateway, request, "list_operations")
        documents = await while_connected(request, self._gateway.of_owner(asked.caller))
        return document_response(documents)

    async def put_operation(self, request: Request) -> Response:
        asked = await SystemRequest.read(self._gateway, request, "ask")
        await self._gateway.verify(asked.caller, asked.uuid)  # before reading the body
        wanted = parse_request(await read_json(request, self._gateway.limits))
        if asked.caller.login.shows_in(*(str(each) for each in wanted.model_dump().values())):
            # The password would be stored with the operation, logged and listed.
            raise Problem("password_in_operation", "the body holds the password of the login", system=asked.system)
        asked.audit.update(command=f"ask_{wanted.action}", name=wanted.name, operation=asked.uuid)
        found = await self._gateway.put(asked.caller, asked.uuid, wanted)
        return self._operation_response(found)

    async def show_operation(self, request: Request) -> Response:
        asked = await SystemRequest.read(self._gateway, request, "poll", wait=0.0)
        found = await asked.operation()
        if asked.parameters["wait"] > 0:
            await self._gateway.wait(found, asked.parameters["wait"], lambda: disconnected(request))
        return self._operation_response(found, accepted=False)

    async def delete_operation(self, request: Request) -> Response:
        asked = await SystemRequest.read(self._gateway, request, "cancel", force="false")
        found = await asked.operation(is_named=False)  # the audit log need not name the backup: nothing happens to it
        if found.state in FINAL:
            asked.audit["command"] = "release"
        await self._gateway.delete(found, asked.parameters["force"] == "true")
        return self._operation_response(found, accepted=False)

    async def get_content(self, request: Request) -> Response:
        asked = await SystemRequest.read(self._gateway, request, "download_content")
        return await self._content_response(asked, request, head=False)

    async def head_content(self, request: Request) -> Response:
        asked = await SystemRequest.read(self._gateway, request, "download_content_head")
        return await self._content_response(asked, request, head=True)

    async def put_content(self, request: Request) -> Response:
        asked = await SystemRequest.read(self._gateway, request, "upload_content")
        found = await asked.operation()
        if found.request.action != "upload":
            said = "only the content of an upload can be put"
            raise Problem("conflict", said, system=asked.system, operation=asked.parameters["operation"])
        refuse_encoded(request)
        length = header_values(request.scope, b"content-length")
        if len(length) != 1 or not length[0].isdigit():
            raise Problem("length_required", "the content needs a Content-Length")
        if int(length[0]) != found.request.size:
            raise Problem(
                "length_mismatch", f"Content-Length is {int(length[0])}, the operation's size {found.request.size}"
            )
        body = Body(request.receive, self._gateway.limits.stalled_seconds, self._gateway.limits.body_bytes_per_second)
        try:
            content = await self._gateway.contents.receive(found, body.large_pieces())
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise Problem("spool_full", "the disk of the spool is full", retry_after=60) from error
        finally:
            asked.audit["received"] = body.size
        return document_response({"size": content.size, "sha256": content.sha256})

    async def commit_operation(self, request: Request) -> Response:
        asked = await SystemRequest.read(self._gateway, request, "upload_commit")
        found = await asked.operation()
        await self._gateway.commit(
            found, asked.caller.login, parse_commit(await read_json(request, self._gateway.limits))
        )
        return self._operation_response(found)

    def _operation_response(self, operation: Operation, accepted: bool = True) -> Response:
        system, _, uuid = operation.key
        if not accepted or operation.state in FINAL:
            return document_response(self._gateway.document(operation))
        location = f"/v1/systems/{system}/operations/{uuid}"
        return document_response(self._gateway.document(operation), 202, {"Location": location})

    async def _content_response(self, asked: SystemRequest, request: Request, head: bool) -> Response:
        content = self._gateway.contents.of(await asked.operation())
        return answer_with(content, request, head, asked.parameters["operation"])


def routes(gateway: Gateway) -> list[Route]:
    """Return all routes of the API."""
    endpoints = Endpoints(gateway)
    made = []
    for each in ROUTES:
        route = Route(each.path, getattr(endpoints, each.operation_id), methods=[each.method])
        route.methods = {each.method}  # remove the HEAD that Starlette adds to GET
        made.append(route)
    return made
