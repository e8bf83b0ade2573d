# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes of the HTTP API as one table, from which both the application and the OpenAPI document are built.

Each route lists the problem kinds that it can return; their statuses, headers and examples follow from the kinds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel

from ..documents import LONGEST_POLL, UUID_PATTERN, CreateNew, Download, Remove, Restore, Upload
from ..problems import KINDS
from .openapi_examples import (
    BACKUP,
    BODIES,
    CANCELLED,
    ENDED,
    OPERATION,
    QUEUED_UPLOAD,
    SHA256,
    SYSTEM,
    UNFINISHED,
    UPLOADED,
    Json,
)
from .openapi_parts import (
    BINARY_MEDIA,
    answer,
    content_answer,
    header_ref,
    header_refs,
    media,
    operation_answer,
    parameter,
    schema_ref,
)

ONE = "/v1/systems/{system}/operations/{operation}"

ANYWHERE = ("bad_request", "request_timeout", "headers_too_large", "internal_error")
"""Kinds that any request can get, even before a route has matched."""

WITH_LOGIN = (
    *ANYWHERE, "authentication_failed", "too_many_failed_logins", "unknown_system", "unknown_route", "invalid_request",
    "refused", "new_data_committed", "unsupported", "capability_missing", "sdk_error", "unreachable", "time_limit",
    "too_busy", "spool_full",
)  # fmt: skip
"""Kinds of routes that may have to log in to a system."""

OF_OPERATION = (*WITH_LOGIN, "unknown_operation")
DOCUMENT_BODY = ("unsupported_media_type", "too_large")
OF_CONTENT = ("no_content", "conflict", "content_gone", "precondition_failed")


@dataclass(frozen=True)
class RouteDescription:
    """One route: its purpose, parameters, body and possible responses.

    :ivar operation_id: also the name of its method in ``Endpoints``.
    :ivar answers: a response object for each successful status.
    :ivar kinds: the problem kinds that it can return.
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
        """Every status that the route can return."""
        return {*self.answers, *(KINDS[kind][0] for kind in self.kinds)}


_SYSTEM = parameter(
    "system",
    "path",
    "A system's name or address, exactly as in the gateway's configuration",
    {"type": "string", "minLength": 1, "maxLength": 255},
    SYSTEM,
    required=True,
)
_UUID = parameter(
    "operation",
    "path",
    "A UUID that the client chose; upper and lower case are equivalent",
    {"type": "string", "format": "uuid", "pattern": UUID_PATTERN},
    OPERATION,
    required=True,
)
_WAIT = parameter(
    "wait",
    "query",
    "Maximum number of seconds to wait while the operation is queued or running",
    {"type": "number", "minimum": 0, "maximum": LONGEST_POLL, "default": 0},
    0.5,
)
_FORCE = parameter("force", "query", "Also end a running operation", {"type": "boolean", "default": False}, False)
_CONDITIONS = (
    parameter("If-Match", "header", "An ETag that the content must have, else 412", {"type": "string"}, "*"),
    parameter("If-None-Match", "header", "An ETag that the content must not have, else 304", {"type": "string"}, '"x"'),
)
_RANGES = (
    parameter(
        "Range",
        "header",
        "One range of bytes (RFC 9110, section 14). Several ranges, other units and malformed ranges are ignored",
        {"type": "string"},
        "bytes=0-4",
    ),
    parameter(
        "If-Range",
        "header",
        "The ETag of the content that Range refers to; if the content has another one, Range is ignored",
        {"type": "string"},
        f'"{SHA256}"',
    ),
)

ACTIONS: dict[str, type[BaseModel]] = {
    "create_new": CreateNew,
    "restore": Restore,
    "remove": Remove,
    "download": Download,
    "upload": Upload,
}
_NEW_OPERATION: Json = {
    "oneOf": [schema_ref(model.__name__) for model in ACTIONS.values()],
    "discriminator": {
        "propertyName": "action",
        "mapping": {action: f"#/components/schemas/{model.__name__}" for action, model in ACTIONS.items()},
    },
}

_NOT_MODIFIED = {
    "description": "If-None-Match names this content",
    "headers": {"Cache-Control": header_ref("Cache-Control-Content"), **header_refs("ETag", "Repr-Digest")},
}
_LINKS = ("show", "delete", "read_content", "head_content", "write_content")


ROUTES = (
    RouteDescription(
        "health",
        "GET",
        "/healthz",
        "Liveness, without a login",
        "Says that the gateway responds, how many sessions with systems are stuck, and when its certificate expires."
        " With a login that any system accepted within the last hour, the response also lists the stuck systems.",
        {
            200: answer(
                "The gateway is alive",
                schema_ref("HealthDocument"),
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
    RouteDescription(
        "show_system",
        "GET",
        "/v1/systems/{system}",
        "A system's identity",
        "Logs in to the system, so it also verifies the login and that the system responds.",
        {
            200: answer(
                "The system",
                schema_ref("SystemDocument"),
                {"system": {"name": SYSTEM, "machineid": "001122334455", "distversion": "22.20.06.1"}},
            )
        },
        WITH_LOGIN,
        (_SYSTEM,),
    ),
    RouteDescription(
        "list_backups",
        "GET",
        "/v1/systems/{system}/backups",
        "A system's backups",
        "Logs in to the system and lists its backups, in the system's order. Sizes are in bytes.",
        {
            200: answer(
                "The listing",
                {"type": "array", "items": schema_ref("BackupDocument")},
                {"two backups": [{"name": BACKUP, "size": 10394934}, {"name": "20210622-04.48.plb", "size": 5}]},
            )
        },
        WITH_LOGIN,
        (_SYSTEM,),
    ),
    RouteDescription(
        "list_operations",
        "GET",
        "/v1/systems/{system}/operations",
        "The user's own operations, newest first",
        "At most 1000. Operations are kept for some days after their end (keep_operations_days).",
        {
            200: answer(
                "The operations",
                {"type": "array", "items": schema_ref("OperationDocument")},
                {"two operations": [UNFINISHED["queued"], ENDED["created"]]},
            )
        },
        WITH_LOGIN,
        (_SYSTEM,),
    ),
    RouteDescription(
        "put_operation",
        "PUT",
        ONE,
        "Request an operation; a repeated request never runs it twice",
        "The client chooses the UUID. Sending the same body again returns the operation in its current state; another"
        " body is a conflict. An upload waits for its content; anything else is queued, and starts only while its owner"
        " polls at least once every owner_seconds. A name has 1 to 255 bytes of UTF-8, however many characters that is;"
        " an upload's size, in bytes, is limited by upload_bytes of the configuration.",
        {
            200: operation_answer("The operation, which has already ended", ENDED, links=_LINKS),
            202: operation_answer("The operation, which has not ended", UNFINISHED, "Location", links=_LINKS),
        },
        (
            *WITH_LOGIN,
            *DOCUMENT_BODY,
            "name_not_legal",
            "password_in_operation",
            "empty_content",
            "conflict",
            "backup_exists",
            "shutting_down",
        ),
        (_SYSTEM, _UUID),
        {"required": True, "content": media(_NEW_OPERATION, BODIES)},
    ),
    RouteDescription(
        "show_operation",
        "GET",
        ONE,
        "An operation; with wait, a long poll",
        "Does not log in to the system if the password is the one that the operation was requested with, so it works"
        " while the system restarts. With wait, it responds once the operation is neither queued nor running, or after"
        " that many seconds.",
        {200: operation_answer("The operation", {**UNFINISHED, **ENDED})},
        OF_OPERATION,
        (_SYSTEM, _UUID, _WAIT),
    ),
    RouteDescription(
        "delete_operation",
        "DELETE",
        ONE,
        "Cancel an operation, or delete its content",
        "An operation that is queued or awaiting content ends as failed (cancelled); of one that has ended, only the"
        " content is deleted. Its document is kept, so that its UUID stays taken. A running one is a conflict, unless"
        " force is true: its session with the system is closed, and it ends as failed (cancelled) if its command was"
        " not sent, otherwise as unknown (ended_by_owner).",
        {200: operation_answer("The operation, which has ended", CANCELLED)},
        (*OF_OPERATION, "conflict"),
        (_SYSTEM, _UUID, _FORCE),
    ),
    RouteDescription(
        "get_content",
        "GET",
        ONE + "/content",
        "The content of a successful download",
        "It never changes. It is kept for content_seconds, or until the operation is deleted.",
        {
            200: content_answer("The whole content"),
            206: content_answer("One range of it", "Content-Range"),
            304: _NOT_MODIFIED,
        },
        (*OF_OPERATION, *OF_CONTENT, "range_not_satisfiable"),
        (_SYSTEM, _UUID, *_RANGES, *_CONDITIONS),
    ),
    RouteDescription(
        "head_content",
        "HEAD",
        ONE + "/content",
        "Size and digest of the content",
        "Like GET without Range, but without a body, also for problems.",
        {200: content_answer("There is content", body=False), 304: _NOT_MODIFIED},
        (*OF_OPERATION, *OF_CONTENT),
        (_SYSTEM, _UUID, *_CONDITIONS),
    ),
    RouteDescription(
        "put_content",
        "PUT",
        ONE + "/content",
        "Send the content of an upload",
        "Content-Length is required and must equal the operation's size. The gateway stores the bytes; nothing is sent"
        " to the system yet. Sending content again replaces what was sent before.",
        {
            200: answer(
                "Size and digest of what arrived",
                schema_ref("ContentDocument"),
                {"content": {"size": 5, "sha256": SHA256}},
                links=("commit",),
            )
        },
        (*OF_OPERATION, "conflict", "unsupported_media_type", "length_required", "length_mismatch"),
        (_SYSTEM, _UUID),
        {"required": True, "content": BINARY_MEDIA},
    ),
    RouteDescription(
        "commit_operation",
        "PUT",
        ONE + "/commit",
        "Start the upload of the content with this digest",
        "If the digest matches the content, the upload is queued. Otherwise the content is deleted (digest_mismatch),"
        " and can be sent again.",
        {
            200: operation_answer("The operation, which has already ended", UPLOADED),
            202: operation_answer("The operation, which has not ended", QUEUED_UPLOAD, "Location"),
        },
        (*OF_OPERATION, *DOCUMENT_BODY, "digest_mismatch", "conflict", "shutting_down"),
        (_SYSTEM, _UUID),
        {"required": True, "content": media(schema_ref("Commit"), {"digest": {"sha256": SHA256}})},
    ),
)
"""All routes, in matching order."""
