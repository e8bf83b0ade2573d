# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes of the HTTP API as one table: the application takes its routes from it, and so does the OpenAPI document.

Which problems a route can give is said by kind; statuses, headers and examples follow from that.
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


@dataclass(frozen=True)
class RouteDescription:
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
    "A UUID that the client chose; it is the same in capital and small letters",
    {"type": "string", "format": "uuid", "pattern": UUID_PATTERN},
    OPERATION,
    required=True,
)
_WAIT = parameter(
    "wait",
    "query",
    "Seconds to wait at most while the operation is queued or running",
    {"type": "number", "minimum": 0, "maximum": LONGEST_POLL, "default": 0},
    0.5,
)
_FORCE = parameter("force", "query", "End also an operation that runs", {"type": "boolean", "default": False}, False)
_CONDITIONS = (
    parameter("If-Match", "header", "An ETag that the content must have, else 412", {"type": "string"}, "*"),
    parameter("If-None-Match", "header", "An ETag that the content must not have, else 304", {"type": "string"}, '"x"'),
)
_RANGES = (
    parameter(
        "Range",
        "header",
        "One range of bytes (RFC 9110, section 14). Several ranges, other units and what is no range are ignored",
        {"type": "string"},
        "bytes=0-4",
    ),
    parameter(
        "If-Range",
        "header",
        "The ETag of the content to which Range belongs; with any other one Range is ignored",
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
        "Alive, without a login",
        "Says that the gateway answers, how many sessions with systems are stuck, and when its certificate expires. Who"
        " sends a login that worked within an hour at some system is also told which systems are stuck.",
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
        "What a system tells of itself",
        "Logs in at the system, so it also shows that the login is right and that the system answers.",
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
        "Logs in at the system and lists its backups, in the system's order. Sizes are in bytes.",
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
        "One's own operations, the newest first",
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
        "Ask for an operation; sent again it never runs twice",
        "The client chooses the UUID. The same body under it again gives the operation as it is by then; another body"
        " is a conflict. An upload awaits its content; anything else is queued, and starts only while its owner polls"
        " at least once in owner_seconds. A name is 1 to 255 bytes of UTF-8, whatever number of characters that is;"
        " an upload's size, in bytes, has the limit upload_bytes of the configuration.",
        {
            200: operation_answer("The operation, which has ended already", ENDED, links=_LINKS),
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
        "An operation; with wait a long poll",
        "Needs no login at the system where the password is the one that the operation was asked for with, so it works"
        " while the system restarts. With wait it answers once the operation is neither queued nor running, or after"
        " that many seconds.",
        {200: operation_answer("The operation", {**UNFINISHED, **ENDED})},
        OF_OPERATION,
        (_SYSTEM, _UUID, _WAIT),
    ),
    RouteDescription(
        "delete_operation",
        "DELETE",
        ONE,
        "End what has not started, and drop its bytes",
        "An operation that was queued or awaited content ends as failed (cancelled); of one that has ended only the"
        " content goes. Its document is kept, so that its UUID stays taken. A running one is a conflict, unless force"
        " is true: its session with the system is given up, and it ends as failed (cancelled) where its command had not"
        " been sent, else as unknown (ended_by_owner).",
        {200: operation_answer("The operation, which has ended", CANCELLED)},
        (*OF_OPERATION, "conflict"),
        (_SYSTEM, _UUID, _FORCE),
    ),
    RouteDescription(
        "get_content",
        "GET",
        ONE + "/content",
        "The bytes of a download that succeeded",
        "They never change. They are kept for content_seconds, and until the operation is deleted.",
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
        "Size and digest of them",
        "As GET without Range, and without a body; so are its problems.",
        {200: content_answer("There is content", body=False), 304: _NOT_MODIFIED},
        (*OF_OPERATION, *OF_CONTENT),
        (_SYSTEM, _UUID, *_CONDITIONS),
    ),
    RouteDescription(
        "put_content",
        "PUT",
        ONE + "/content",
        "The bytes of an upload",
        "Content-Length must be there and equal the operation's size. The gateway keeps the bytes; nothing has reached"
        " the system yet. Sent again they take the place of those that were sent before.",
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
        "Start the upload of the bytes with this digest",
        "With the digest of the content the upload is queued. With another one the bytes are dropped"
        " (digest_mismatch), and may be put again.",
        {
            200: operation_answer("The operation, which has ended already", UPLOADED),
            202: operation_answer("The operation, which has not ended", QUEUED_UPLOAD, "Location"),
        },
        (*OF_OPERATION, *DOCUMENT_BODY, "digest_mismatch", "conflict", "shutting_down"),
        (_SYSTEM, _UUID),
        {"required": True, "content": media(schema_ref("Commit"), {"digest": {"sha256": SHA256}})},
    ),
)
"""All routes, in the order in which they are matched."""
