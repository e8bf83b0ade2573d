# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OpenAPI document, generated from the route table.

It uses only those parts of pydantic's schemas that do not depend on pydantic's version, so that the document is the
same on every machine.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from .. import __version__
from ..documents import (
    BackupDocument,
    Commit,
    ContentDocument,
    HealthDocument,
    OperationDocument,
    ProblemDocument,
    SystemDocument,
)
from ..problems import KINDS, LOGIN_CHALLENGE, MEDIA_TYPE, type_of
from .openapi_examples import OPERATION, REPR_DIGEST, SHA256, SYSTEM, Json, examples
from .openapi_parts import header_ref, header_refs, schema_ref
from .route_table import ACTIONS, ONE, ROUTES, RouteDescription

_STATUS_TEXTS = {
    400: "The request is malformed",
    401: "The login is missing or wrong, or the system can't be reached: its package does not distinguish these",
    404: "Not found, or owned by another user",
    408: "Headers or body came too slowly",
    409: "Conflicts with the state of the operation or the system",
    410: "No longer kept",
    411: "Content-Length is missing",
    412: "If-Match names other content",
    413: "Too large",
    415: "The body has another media type, or is encoded",
    416: "The range lies outside the content",
    422: "The request does not match the schema, or the system refused the command",
    429: "Too many refused logins within a minute, for this user or from this address; no login was attempted",
    431: "The headers are too large",
    500: "The gateway failed",
    501: "The system can't do this",
    502: "The system can't be reached, or its Python package failed",
    503: "Too many operations or logins are waiting, or the gateway is shutting down",
    504: "A time limit of the gateway expired",
    507: "The gateway has no disk space for the content",
}

_SAME_OPERATION = {"system": "$request.path.system", "operation": "$request.path.operation"}


def _components() -> Json:
    models: tuple[type[BaseModel], ...] = (
        *ACTIONS.values(), Commit, BackupDocument, ContentDocument, HealthDocument, OperationDocument,
        ProblemDocument, SystemDocument,
    )  # fmt: skip
    schemas: Json = {}
    for model in models:
        schema = _plain(model.model_json_schema(ref_template="#/components/schemas/{model}"))
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    schemas.update({problem_schema_name(kind): _problem_schema(kind, schemas["ProblemDocument"]) for kind in KINDS})
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
                "description": "Send the sha256 of this response, if it equals the digest of the file that was sent",
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
        "The methods that the route supports",
        {"type": "string", "pattern": "^[A-Z]+(, [A-Z]+)*$"},
        "DELETE, GET, PUT",
    ),
    ("Cache-Control", "Must not be cached", {"type": "string", "const": "no-store"}, "no-store"),
    (
        "Cache-Control-Content",
        "Must not be cached, and no proxy may transform it",
        {"type": "string", "const": "no-store, no-transform"},
        "no-store, no-transform",
    ),
    ("Content-Length", "Size of the body in bytes; for HEAD, of GET's body", {"type": "integer", "minimum": 0}, 5),
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
        "The path of the operation, for polling",
        {"type": "string", "pattern": "^/v1/systems/[^/]+/operations/[0-9a-f-]{36}$"},
        ONE.format(system=SYSTEM, operation=OPERATION),
    ),
    (
        "Repr-Digest",
        "SHA-256 of the whole content in Base64, also when only a range is sent (RFC 9530)",
        {"type": "string", "pattern": "^sha-256=:[0-9A-Za-z+/]{43}=:$"},
        REPR_DIGEST,
    ),
    ("Retry-After", "Seconds after which to try again", {"type": "integer", "minimum": 1}, 5),
    ("WWW-Authenticate", "The challenge", {"type": "string", "const": LOGIN_CHALLENGE}, LOGIN_CHALLENGE),
)

_PROBLEM_HEADERS: dict[int, Json] = {
    401: header_refs("WWW-Authenticate"),
    405: header_refs("Allow"),
    416: {"Content-Range": header_ref("Content-Range-Unsatisfied")},
    429: header_refs("Retry-After"),
    503: header_refs("Retry-After"),
    507: header_refs("Retry-After"),
}


def problem_schema_name(kind: str) -> str:
    """Return the schema's name for a problem kind."""
    return "".join(word.capitalize() for word in kind.split("_")) + "Problem"


def _problem_schema(kind: str, any_problem: Json) -> Json:
    """The schema of problems of one kind.

    It repeats all members, with constants for those that are fixed by the kind: client generators can't merge a schema
    with another one that narrows it (``allOf``).

    :param any_problem: the schema for problems of every kind.
    """
    status, title = KINDS[kind]
    fixed = {
        "type": {"type": "string", "const": type_of(kind)},
        "status": {"type": "integer", "const": status},
        "kind": {"type": "string", "const": kind},
    }
    return {
        **any_problem,
        "description": f"{title} (RFC 9457)",
        "properties": {name: fixed.get(name, member) for name, member in any_problem["properties"].items()},
    }


def _problem_response(status: int, kinds: list[str], method: str) -> Json:
    """The response object for one status; its schema allows only the kinds that the route can return."""
    names = [problem_schema_name(kind) for kind in kinds]
    references = [schema_ref(name) for name in names]
    mapping = {kind: f"#/components/schemas/{name}" for kind, name in zip(kinds, names, strict=True)}
    several = {"oneOf": references, "discriminator": {"propertyName": "kind", "mapping": mapping}}
    content = {
        MEDIA_TYPE: {
            "schema": several if len(kinds) > 1 else references[0],
            "examples": {kind: {"$ref": f"#/components/examples/{kind}"} for kind in kinds},
        }
    }
    return {
        "description": _STATUS_TEXTS[status] + ". Kinds: " + ", ".join(kinds),
        "headers": {**header_refs("Cache-Control"), **_PROBLEM_HEADERS.get(status, {})},
        **({} if method == "HEAD" else {"content": content}),
    }


def _described(route: RouteDescription) -> Json:
    responses: dict[int, Json] = dict(route.answers)
    for status in route.statuses - set(route.answers):
        responses[status] = _problem_response(
            status, sorted(kind for kind in set(route.kinds) if KINDS[kind][0] == status), route.method
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
    """Remove what differs between pydantic's versions: titles, and how a constant is written."""
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
    """Return the OpenAPI document of the API."""
    paths: Json = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _described(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "activelogic-gateway",
            "version": __version__,
            "summary": "The Backup resource of ActiveLogic systems over HTTPS",
            "description": "Reading is a plain GET; everything else is an operation, with one owner, one outcome and a"
            " lifetime. Problems are RFC 9457 documents; clients should branch on their member kind. Times are RFC 3339"
            " in UTC, sizes are in bytes, durations in seconds. Unknown or repeated query parameters are refused"
            " (invalid_request). A method that a route does not support gets 405 (method_not_allowed) with Allow. Above"
            " the limit of connections, a connection is closed without a response.",
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "servers": [{"url": "https://127.0.0.1:8443", "description": "Where a gateway listens by default"}],
        "paths": paths,
        "components": _components(),
    }
