# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes of the HTTP API as one table, and the OpenAPI document that is made of it.

Nothing here comes from FastAPI, and of pydantic's schemas only what its versions agree on: the document is the same
on every machine. Which problems a route can give is said by kind; statuses, headers and examples follow from that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from . import __version__
from .documents import (
    LONGEST_POLL,
    UUID_PATTERN,
    BackupDocument,
    Commit,
    ContentDocument,
    CreateNew,
    Download,
    HealthDocument,
    OperationDocument,
    ProblemDocument,
    Remove,
    Restore,
    SystemDocument,
    Upload,
)
from .openapi_examples import (
    BACKUP,
    BODIES,
    CANCELLED,
    CONTENT,
    ENDED,
    OPERATION,
    QUEUED_UPLOAD,
    REPR_DIGEST,
    SHA256,
    SYSTEM,
    UNFINISHED,
    UPLOADED,
    Json,
    examples,
)
from .problems import KINDS, LOGIN_CHALLENGE, MEDIA_TYPE

JSON = "application/json"
BINARY = "application/octet-stream"
ONE = "/v1/systems/{system}/operations/{operation}"

# What goes wrong, by kind

ANYWHERE = ("bad_request", "request_timeout", "headers_too_large", "internal_error")
"""Also before a route is known."""

WITH_LOGIN = (
    *ANYWHERE, "authentication_failed", "too_many_failed_logins", "unknown_system", "unknown_route", "invalid_request",
    "refused", "new_data_committed", "unsupported", "capability_missing", "sdk_error", "unreachable", "time_limit",
    "too_busy", "spool_full",
)  # fmt: skip
"""Wherever a user may have to be logged in at a system."""

OF_OPERATION = (*WITH_LOGIN, "unknown_operation")
DOCUMENT_BODY = ("unsupported_media_type", "too_large")
OF_CONTENT = ("no_content", "conflict", "content_gone", "precondition_failed")

_STATUS_TEXTS = {
    400: "The request is malformed",
    401: "The login is missing or wrong, or no connection to the system could be established: that is not told apart",
    404: "Not there, or not the asker's",
    408: "Headers or body came too slowly",
    409: "In conflict with the state of the operation or the system",
    410: "No longer kept",
    411: "Content-Length is missing",
    412: "If-Match names other content",
    413: "Too large",
    415: "The body has another media type, or is encoded",
    416: "The range lies outside the content",
    422: "The request does not fit its description, or the system refused the command",
    429: "Too many refused logins within a minute, of this user or this address; no login was tried",
    431: "The headers are too large",
    500: "The gateway failed",
    501: "The system can't do this",
    502: "The system can't be reached, or its Python package failed",
    503: "Too much is waiting already, or the gateway is being shut down",
    504: "A time limit of the gateway ran out",
    507: "The gateway has no room for the content",
}


@dataclass(frozen=True)
class Route:
    """One route: what it is for, what it takes, and what it can answer.

    :ivar operation_id: also the name of its endpoint.
    :ivar answers: a response object for each good status.
    :ivar kinds: of the problems that it can give.
    """

    operation_id: str
    method: str
    path: str
    summary: str
    description: str
    answers: dict[int, Json]
    kinds: tuple[str, ...]
    parameters: tuple[Json, ...] = ()
    body: Json | None = None
    extra: Json = field(default_factory=dict)

    @property
    def statuses(self) -> set[int]:
        """Every status that is described."""
        return {*self.answers, *(KINDS[kind][0] for kind in self.kinds)}


# Pieces of the document


def _schema_ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _header_ref(name: str) -> Json:
    return {"$ref": f"#/components/headers/{name}"}


def _headers(*names: str) -> Json:
    return {name: _header_ref(name) for name in names}


def _content(schema: Json, examples: Json, media_type: str = JSON) -> Json:
    return {media_type: {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}}}


def _answer(description: str, schema: Json, examples: Json, *headers: str, links: Iterable[str] = ()) -> Json:
    """A good answer with a JSON body."""
    answer: Json = {
        "description": description,
        "headers": _headers("Cache-Control", *headers),
        "content": _content(schema, examples),
    }
    if links:
        answer["links"] = {name: {"$ref": f"#/components/links/{name}"} for name in links}
    return answer


def _operation_answer(description: str, documents: Json, *headers: str, links: Iterable[str] = ()) -> Json:
    """A good answer with an operation."""
    answer = _answer(description, _schema_ref("OperationDocument"), {}, *headers, links=links)
    answer["content"][JSON]["examples"] = {
        name: {"$ref": f"#/components/examples/operation-{name}"} for name in documents
    }
    return answer


def _parameter(name: str, place: str, description: str, schema: Json, example: Any, required: bool = False) -> Json:
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": description,
        "schema": schema,
        "example": example,
    }


_SYSTEM = _parameter(
    "system",
    "path",
    "A system's name or address, exactly as in the gateway's configuration",
    {"type": "string", "minLength": 1, "maxLength": 255},
    SYSTEM,
    required=True,
)
_UUID = _parameter(
    "operation",
    "path",
    "A UUID that the client chose; it is the same in capital and small letters",
    {"type": "string", "format": "uuid", "pattern": UUID_PATTERN},
    OPERATION,
    required=True,
)
_WAIT = _parameter(
    "wait",
    "query",
    "Seconds to wait at most while the operation is queued or running",
    {"type": "number", "minimum": 0, "maximum": LONGEST_POLL, "default": 0},
    0.5,
)
_FORCE = _parameter("force", "query", "End also an operation that runs", {"type": "boolean", "default": False}, False)
_CONDITIONS = (
    _parameter("If-Match", "header", "An ETag that the content must have, else 412", {"type": "string"}, "*"),
    _parameter(
        "If-None-Match", "header", "An ETag that the content must not have, else 304", {"type": "string"}, '"x"'
    ),
)
_RANGES = (
    _parameter(
        "Range",
        "header",
        "One range of bytes (RFC 9110, section 14). Several ranges, other units and what is no range are ignored",
        {"type": "string"},
        "bytes=0-4",
    ),
    _parameter(
        "If-Range",
        "header",
        "The ETag of the content to which Range belongs; with any other one Range is ignored",
        {"type": "string"},
        f'"{SHA256}"',
    ),
)

_ACTIONS: dict[str, type[BaseModel]] = {
    "create_new": CreateNew,
    "restore": Restore,
    "remove": Remove,
    "download": Download,
    "upload": Upload,
}
_NEW_OPERATION: Json = {
    "oneOf": [_schema_ref(model.__name__) for model in _ACTIONS.values()],
    "discriminator": {
        "propertyName": "action",
        "mapping": {action: f"#/components/schemas/{model.__name__}" for action, model in _ACTIONS.items()},
    },
}

_BINARY = {BINARY: {"schema": {"type": "string", "format": "binary"}, "examples": {"content": {"value": CONTENT}}}}
_IMMUTABLE = ("Accept-Ranges", "ETag", "Repr-Digest", "Content-Length")
_NOT_MODIFIED = {
    "description": "If-None-Match names this content",
    "headers": {"Cache-Control": _header_ref("Cache-Control-Content"), **_headers("ETag", "Repr-Digest")},
}
_LINKS = ("show", "delete", "read_content", "head_content", "write_content")


def _content_answer(description: str, *headers: str, body: bool = True) -> Json:
    return {
        "description": description,
        "headers": {"Cache-Control": _header_ref("Cache-Control-Content"), **_headers(*_IMMUTABLE, *headers)},
        **({"content": _BINARY} if body else {}),
    }


ROUTES = (
    Route(
        "health",
        "GET",
        "/healthz",
        "Alive, without a login",
        "Says that the gateway answers, how many sessions with systems are stuck, and when its certificate expires. Who"
        " sends a login that worked within an hour at some system is also told which systems are stuck.",
        {
            200: _answer(
                "The gateway is alive",
                _schema_ref("HealthDocument"),
                {
                    "healthy": {
                        "status": "ok",
                        "stuck_systems": None,
                        "stuck_sessions": 0,
                        "certificate_days_left": 89,
                    }
                },
            )
        },
        ANYWHERE,
        extra={"security": []},
    ),
    Route(
        "show_system",
        "GET",
        "/v1/systems/{system}",
        "What a system tells of itself",
        "Logs in at the system, so it also shows that the login is right and that the system answers.",
        {
            200: _answer(
                "The system",
                _schema_ref("SystemDocument"),
                {"system": {"name": SYSTEM, "machineid": "001122334455", "distversion": "22.20.06.1"}},
            )
        },
        WITH_LOGIN,
        (_SYSTEM,),
    ),
    Route(
        "list_backups",
        "GET",
        "/v1/systems/{system}/backups",
        "A system's backups",
        "Logs in at the system and lists its backups, in the system's order. Sizes are in bytes.",
        {
            200: _answer(
                "The listing",
                {"type": "array", "items": _schema_ref("BackupDocument")},
                {"two backups": [{"name": BACKUP, "size": 10394934}, {"name": "20210622-04.48.plb", "size": 5}]},
            )
        },
        WITH_LOGIN,
        (_SYSTEM,),
    ),
    Route(
        "list_operations",
        "GET",
        "/v1/systems/{system}/operations",
        "One's own operations, the newest first",
        "At most 1000. Operations are kept for some days after their end (keep_operations_days).",
        {
            200: _answer(
                "The operations",
                {"type": "array", "items": _schema_ref("OperationDocument")},
                {"two operations": [UNFINISHED["queued"], ENDED["created"]]},
            )
        },
        WITH_LOGIN,
        (_SYSTEM,),
    ),
    Route(
        "put_operation",
        "PUT",
        ONE,
        "Ask for an operation; sent again it never runs twice",
        "The client chooses the UUID. The same body under it again gives the operation as it is by then; another body"
        " is a conflict. An upload awaits its content; anything else is queued, and starts only while its owner polls"
        " at least once in owner_seconds. A name is 1 to 255 bytes of UTF-8, whatever number of characters that is;"
        " an upload's size, in bytes, has the limit upload_bytes of the configuration.",
        {
            200: _operation_answer("The operation, which has ended already", ENDED, links=_LINKS),
            202: _operation_answer("The operation, which has not ended", UNFINISHED, "Location", links=_LINKS),
        },
        (
            *WITH_LOGIN,
            *DOCUMENT_BODY,
            "name_not_legal",
            "empty_content",
            "conflict",
            "backup_exists",
            "shutting_down",
        ),
        (_SYSTEM, _UUID),
        {"required": True, "content": _content(_NEW_OPERATION, BODIES)},
    ),
    Route(
        "show_operation",
        "GET",
        ONE,
        "An operation; with wait a long poll",
        "Needs no login at the system where the password is the one that the operation was asked for with, so it works"
        " while the system restarts. With wait it answers once the operation is neither queued nor running, or after"
        " that many seconds.",
        {200: _operation_answer("The operation", {**UNFINISHED, **ENDED})},
        OF_OPERATION,
        (_SYSTEM, _UUID, _WAIT),
    ),
    Route(
        "delete_operation",
        "DELETE",
        ONE,
        "End what has not started, and drop its bytes",
        "An operation that was queued or awaited content ends as failed (cancelled); of one that has ended only the"
        " content goes. Its document is kept, so that its UUID stays taken. A running one is a conflict, unless force"
        " is true: its session with the system is given up, and it ends as failed (cancelled) where its command had not"
        " been sent, else as unknown (ended_by_owner).",
        {200: _operation_answer("The operation, which has ended", CANCELLED)},
        (*OF_OPERATION, "conflict"),
        (_SYSTEM, _UUID, _FORCE),
    ),
    Route(
        "get_content",
        "GET",
        ONE + "/content",
        "The bytes of a download that succeeded",
        "They never change. They are kept for content_seconds, and until the operation is deleted.",
        {
            200: _content_answer("The whole content"),
            206: _content_answer("One range of it", "Content-Range"),
            304: _NOT_MODIFIED,
        },
        (*OF_OPERATION, *OF_CONTENT, "range_not_satisfiable"),
        (_SYSTEM, _UUID, *_RANGES, *_CONDITIONS),
    ),
    Route(
        "head_content",
        "HEAD",
        ONE + "/content",
        "Size and digest of them",
        "As GET without Range, and without a body; so are its problems.",
        {200: _content_answer("There is content", body=False), 304: _NOT_MODIFIED},
        (*OF_OPERATION, *OF_CONTENT),
        (_SYSTEM, _UUID, *_CONDITIONS),
    ),
    Route(
        "put_content",
        "PUT",
        ONE + "/content",
        "The bytes of an upload",
        "Content-Length must be there and equal the operation's size. The gateway keeps the bytes; nothing has reached"
        " the system yet. Sent again they take the place of those that were sent before.",
        {
            200: _answer(
                "Size and digest of what arrived",
                _schema_ref("ContentDocument"),
                {"content": {"size": 5, "sha256": SHA256}},
                links=("commit",),
            )
        },
        (*OF_OPERATION, "conflict", "unsupported_media_type", "length_required", "length_mismatch"),
        (_SYSTEM, _UUID),
        {"required": True, "content": _BINARY},
    ),
    Route(
        "commit_operation",
        "PUT",
        ONE + "/commit",
        "Start the upload of the bytes with this digest",
        "With the digest of the content the upload is queued. With another one the bytes are dropped"
        " (digest_mismatch), and may be put again.",
        {
            200: _operation_answer("The operation, which has ended already", UPLOADED),
            202: _operation_answer("The operation, which has not ended", QUEUED_UPLOAD, "Location"),
        },
        (*OF_OPERATION, *DOCUMENT_BODY, "digest_mismatch", "conflict", "shutting_down"),
        (_SYSTEM, _UUID),
        {"required": True, "content": _content(_schema_ref("Commit"), {"digest": {"sha256": SHA256}})},
    ),
)
"""All routes, in the order in which they are matched."""

_SAME_OPERATION = {"system": "$request.path.system", "operation": "$request.path.operation"}


def _components() -> Json:
    models: tuple[type[BaseModel], ...] = (
        *_ACTIONS.values(), Commit, BackupDocument, ContentDocument, HealthDocument, OperationDocument,
        ProblemDocument, SystemDocument,
    )  # fmt: skip
    schemas: Json = {}
    for model in models:
        schema = _plain(model.model_json_schema(ref_template="#/components/schemas/{model}"))
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    schemas["ResultDocument"]["properties"] = {
        name: {key: value for key, value in member.items() if key != "default"}
        for name, member in schemas["ResultDocument"]["properties"].items()
    }
    return {
        "schemas": schemas,
        "examples": examples(),
        "headers": {
            name: {"description": text, "required": True, "schema": schema, "example": example}
            for name, text, schema, example in _HEADERS
        },
        "links": {
            name: {"operationId": operation_id, "parameters": _SAME_OPERATION}
            for name, operation_id in (
                ("show", "show_operation"),
                ("delete", "delete_operation"),
                ("read_content", "get_content"),
                ("head_content", "head_content"),
                ("write_content", "put_content"),
            )
        }
        | {
            "commit": {
                "operationId": "commit_operation",
                "parameters": _SAME_OPERATION,
                "description": "With the sha256 of this answer, once it is the one of the file that was sent",
            }
        },
        "securitySchemes": {
            "login": {
                "type": "http",
                "scheme": "basic",
                "description": "A user of the ActiveLogic system, and their password, in UTF-8 (RFC 7617)",
            }
        },
    }


_HEADERS: tuple[tuple[str, str, Json, Any], ...] = (
    ("Accept-Ranges", "Ranges are in bytes", {"type": "string", "const": "bytes"}, "bytes"),
    (
        "Allow",
        "The methods that the route knows",
        {"type": "string", "pattern": "^[A-Z]+(, [A-Z]+)*$"},
        "DELETE, GET, PUT",
    ),
    ("Cache-Control", "Nobody keeps it", {"type": "string", "const": "no-store"}, "no-store"),
    (
        "Cache-Control-Content",
        "Nobody keeps it, and nobody changes its form on the way",
        {"type": "string", "const": "no-store, no-transform"},
        "no-store, no-transform",
    ),
    ("Content-Length", "Bytes of the body; to HEAD, that GET would give", {"type": "integer", "minimum": 0}, 5),
    (
        "Content-Range",
        "First and last byte, counted from 0, and the size of the whole content",
        {"type": "string", "pattern": "^bytes [0-9]+-[0-9]+/[0-9]+$"},
        "bytes 0-4/5",
    ),
    (
        "Content-Range-Unsatisfied",
        "The size of the content in bytes",
        {"type": "string", "pattern": r"^bytes \*/[0-9]+$"},
        "bytes */5",
    ),
    (
        "ETag",
        "The SHA-256 of the whole content in hex, quoted",
        {"type": "string", "pattern": '^"[0-9a-f]{64}"$'},
        f'"{SHA256}"',
    ),
    (
        "Location",
        "The path of the operation, to be polled",
        {"type": "string", "pattern": "^/v1/systems/[^/]+/operations/[0-9a-f-]{36}$"},
        ONE.format(system=SYSTEM, operation=OPERATION),
    ),
    (
        "Repr-Digest",
        "SHA-256 of the whole content in Base64, also with a part of it (RFC 9530)",
        {"type": "string", "pattern": "^sha-256=:[0-9A-Za-z+/]{43}=:$"},
        REPR_DIGEST,
    ),
    ("Retry-After", "Seconds after which to try again", {"type": "integer", "minimum": 1}, 5),
    ("WWW-Authenticate", "The challenge", {"type": "string", "const": LOGIN_CHALLENGE}, LOGIN_CHALLENGE),
)

_PROBLEM_HEADERS: dict[int, Json] = {
    401: _headers("WWW-Authenticate"),
    405: _headers("Allow"),
    416: {"Content-Range": _header_ref("Content-Range-Unsatisfied")},
    429: _headers("Retry-After"),
    503: _headers("Retry-After"),
    507: _headers("Retry-After"),
}


def _problem_response(status: int, kinds: list[str]) -> Json:
    """The answer for one status; its schema allows the kinds that the route can give, and no others."""
    only = {"type": "object", "properties": {"status": {"const": status}, "kind": {"enum": kinds}}}
    return {
        "description": _STATUS_TEXTS[status] + ". Kinds: " + ", ".join(kinds),
        "headers": {**_headers("Cache-Control"), **_PROBLEM_HEADERS.get(status, {})},
        "content": {
            MEDIA_TYPE: {
                "schema": {"allOf": [_schema_ref("ProblemDocument"), only]},
                "examples": {kind: {"$ref": f"#/components/examples/{kind}"} for kind in kinds},
            }
        },
    }


def _described(route: Route) -> Json:
    responses: dict[int, Json] = dict(route.answers)
    for status in route.statuses - set(route.answers):
        responses[status] = _problem_response(
            status, sorted(kind for kind in set(route.kinds) if KINDS[kind][0] == status)
        )
    return {
        "operationId": route.operation_id,
        "summary": route.summary,
        "description": route.description,
        "security": [{"login": []}],
        "responses": {str(status): responses[status] for status in sorted(responses)},
        **({"parameters": list(route.parameters)} if route.parameters else {}),
        **({"requestBody": route.body} if route.body else {}),
        **route.extra,
    }


def _plain(schema: Any) -> Any:
    """A schema without what pydantic's versions word differently: titles, and how a constant is said."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _plain(value) for key, value in schema.items() if not (key == "title" and isinstance(value, str))}
    if isinstance(made.get("const"), str):
        made.pop("enum", None)
        made["type"] = "string"
    return made


def openapi() -> Json:
    """The OpenAPI document of the API."""
    paths: Json = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _described(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "activelogic-gateway",
            "version": __version__,
            "summary": "The Backup resource of ActiveLogic systems over HTTPS",
            "description": "Reads are plain; everything else is an operation, which has one owner, one outcome and a"
            " lifetime. Problems are RFC 9457 documents; their member kind is the word to decide by. Times are RFC 3339"
            " in UTC, sizes are bytes, durations seconds. Unknown query parameters, and one that is given twice, are"
            " refused (invalid_request). A method that a route does not know gets 405"
            " (method_not_allowed) with Allow. Over the limit of connections a connection is closed without an answer.",
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "servers": [{"url": "https://127.0.0.1:8443", "description": "Where a gateway listens unless told otherwise"}],
        "paths": paths,
        "components": _components(),
    }
