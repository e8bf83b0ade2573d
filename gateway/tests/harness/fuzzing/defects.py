# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planted defects, to prove that schemathesis finds them.

Run as a program, it is ``activelogic-gateway`` with the defect that ``GATEWAY_DEFECT`` names. Each defect changes what
the gateway accepts or answers for one kind of request, without touching the gateway's own files.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from activelogic_gateway import cli, documents, sessions
from activelogic_gateway.api import parameters

program: Any = cli
logins: Any = sessions.CallerSessions
"""A module and a class whose members the defects replace."""


@dataclass
class Exchange:
    """A request and its answer, which a defect may change."""

    method: str
    path: str
    query: str
    request_headers: dict[str, str]
    request_body: bytes
    status: int
    headers: dict[str, str]
    body: bytes

    def on(self, method: str, ending: str) -> bool:
        """Whether the request has this method and a path that matches ``.../<ending>``."""
        return self.method == method and re.fullmatch(f"/v1/systems/[^/]+{ending}", self.path) is not None

    def change(self, **members: Any) -> None:
        """Change members of a JSON body; ``None`` removes one."""
        document = json.loads(self.body)
        for name, value in members.items():
            if value is None:
                document.pop(name, None)
            else:
                document[name] = value
        self.body = json.dumps(document).encode()


@dataclass(frozen=True)
class Defect:
    """What is wrong, the operation to fuzz, the codes of the findings that reveal it, and how to plant it."""

    what: str
    operation_id: str
    found_by: tuple[str, ...]
    answer: Callable[[Exchange], None] | None = None
    install: Callable[[], None] = field(default=lambda: None)


ONE = "/operations/[^/]+"


def no_content_after_delete(each: Exchange) -> None:
    if each.on("DELETE", ONE) and each.status == 200:
        each.status, each.body, each.headers = 204, b"", {"cache-control": "no-store"}


def crash_on_longest_wait(each: Exchange) -> None:
    if each.on("GET", ONE) and re.fullmatch(r"wait=60(\.0)?", each.query):
        each.status, each.body = 500, b"Internal Server Error"


def number_for_machineid(each: Exchange) -> None:
    if each.on("GET", "") and each.status == 200:
        each.change(machineid=1122334455)


def no_finished(each: Exchange) -> None:
    if each.on("GET", ONE) and each.status == 200:
        each.change(finished=None)


def no_etag(each: Exchange) -> None:
    if each.on("HEAD", ONE + "/content"):
        each.headers.pop("etag", None)


def no_content_range(each: Exchange) -> None:
    if each.status == 206:
        each.headers.pop("content-range")


def plain_json_problem(each: Exchange) -> None:
    if each.status == 404:
        each.headers["content-type"] = "application/json"


def open_listing(each: Exchange) -> None:
    if each.on("GET", "/operations") and each.status == 401:
        each.status, each.body = 200, b"[]"
        each.headers = {"content-type": "application/json", "cache-control": "no-store"}


def patch_is_fine(each: Exchange) -> None:
    if each.status == 405:
        each.status, each.body, each.headers = 200, b"{}", {"content-type": "application/json"}


def no_allow(each: Exchange) -> None:
    each.headers.pop("allow", None)


def wrong_kind(each: Exchange) -> None:
    if each.on("PUT", ONE + "/commit") and each.status == 422:
        each.change(kind="wrong_digest")


def accepted_without_location(each: Exchange) -> None:
    if each.status == 202:
        each.headers.pop("location")


def no_challenge(each: Exchange) -> None:
    each.headers.pop("www-authenticate", None)


def teapot(each: Exchange) -> None:
    if each.on("PUT", ONE) and each.status == 409:
        each.status = 418


def refuse_long_names(each: Exchange) -> None:
    if each.on("PUT", ONE) and each.status == 202 and len(json.loads(each.body)["name"]) > 40:
        each.status = 400
        each.headers["content-type"] = "application/problem+json"
        each.body = json.dumps(
            {
                "type": "urn:activelogic:problem:bad-request", "title": "x", "status": 400, "detail": "x",
                "reason": "x", "kind": "bad_request", "exception": None, "system": None, "operation": None,
            }
        ).encode()  # fmt: skip


def state_in_capitals(each: Exchange) -> None:
    if each.on("GET", "/operations") and each.status == 200:
        each.body = each.body.replace(b'"succeeded"', b'"SUCCEEDED"')


def take_any_member() -> None:
    for model in (documents.CreateNew, documents.Restore, documents.Remove, documents.Download, documents.Upload):
        model.model_config["extra"] = "ignore"
        model.model_rebuild(force=True)
    documents.NEW_OPERATION.rebuild(force=True)


def take_any_uuid() -> None:
    parameters.ADAPTERS["operation"] = TypeAdapter(str)


def take_any_wait() -> None:
    parameters.ADAPTERS["wait"] = TypeAdapter(float)


def take_any_password() -> None:
    async def verify(*_: Any) -> None:
        return

    logins.verify = verify


DEFECTS = {
    "undocumented status": Defect("DELETE gives 204", "delete_operation", ("ST103",), no_content_after_delete),
    "crash": Defect(
        "a poll with wait=60 gives 500, as text", "show_operation", ("ST101", "ST105"), crash_on_longest_wait
    ),
    "wrong type in an answer": Defect("machineid is a number", "show_system", ("ST108",), number_for_machineid),
    "missing member in an answer": Defect(
        "an operation has no member finished", "show_operation", ("ST108",), no_finished
    ),
    "wrong word in an answer": Defect("states in capitals", "list_operations", ("ST108",), state_in_capitals),
    "wrong kind of problem": Defect("commit says wrong_digest", "commit_operation", ("ST108",), wrong_kind),
    "missing header": Defect("HEAD of content without ETag", "head_content", ("ST107",), no_etag),
    "missing Content-Range": Defect("206 without Content-Range", "get_content", ("ST107",), no_content_range),
    "missing Location": Defect("202 without Location", "put_operation", ("ST107",), accepted_without_location),
    "missing challenge": Defect("401 without WWW-Authenticate", "show_system", ("ST107",), no_challenge),
    "wrong media type": Defect("404 is application/json", "show_system", ("ST105",), plain_json_problem),
    "undocumented refusal": Defect("a conflict is 418", "put_operation", ("ST103", "ST202"), teapot),
    "login ignored": Defect("the list of operations needs none", "list_operations", ("ST401",), open_listing),
    "password ignored": Defect(
        "any password opens operations", "show_operation", ("ST401",), install=take_any_password
    ),
    "unknown method accepted": Defect("an unknown method gives 200", "show_system", ("ST204",), patch_is_fine),
    "unknown method without Allow": Defect("405 without Allow", "show_system", ("ST204", "ST205"), no_allow),
    "invalid body accepted": Defect(
        "unknown members are ignored", "put_operation", ("ST201",), install=take_any_member
    ),
    "invalid UUID accepted": Defect("any text is a UUID", "put_operation", ("ST201",), install=take_any_uuid),
    "invalid query accepted": Defect("wait may be any number", "show_operation", ("ST201",), install=take_any_wait),
    "valid body refused": Defect(
        "names of more than 40 characters give 400", "put_operation", ("ST202",), refuse_long_names
    ),
}


class Spoiled:
    """An application in which a defect changes answers before they are sent."""

    def __init__(self, inner: ASGIApp, answer: Callable[[Exchange], None]) -> None:
        self._inner = inner
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        received, sent = b"", []

        async def keeping_receive() -> Message:
            nonlocal received
            message = await receive()
            received += message.get("body", b"")
            return message

        async def keeping_send(message: Message) -> None:
            sent.append(message)

        await self._inner(scope, keeping_receive, keeping_send)
        if not sent:
            return
        each = Exchange(
            scope["method"],
            scope["path"],
            scope["query_string"].decode("latin-1"),
            {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            received,
            sent[0]["status"],
            {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in sent[0]["headers"]},
            b"".join(message.get("body", b"") for message in sent[1:]),
        )
        self._answer(each)
        if each.body or each.method != "HEAD":
            each.headers["content-length"] = str(len(each.body))
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in each.headers.items()]
        await send({"type": "http.response.start", "status": each.status, "headers": headers})
        await send({"type": "http.response.body", "body": each.body})


def main() -> int:
    """Run the gateway with its defect."""
    defect = DEFECTS[os.environ["GATEWAY_DEFECT"]]
    defect.install()
    answer, create_app = defect.answer, program.create_app
    if answer is not None:
        program.create_app = lambda gateway: Spoiled(create_app(gateway), answer)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
