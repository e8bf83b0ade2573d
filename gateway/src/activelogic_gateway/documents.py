# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON documents of the HTTP API: they validate requests, and the OpenAPI document is generated from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from .names import why_illegal
from .problems import KINDS, Problem

UUID_PATTERN = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
NAME_PATTERN = r"^(?!\.{1,2}$)[^/\\\x00-\x1f\x7f-\x9f]+$"

LONGEST_POLL = 60.0
"""Seconds."""

State = Literal["queued", "awaiting_content", "running", "succeeded", "failed", "unknown"]
Cause = Literal["connection_lost", "time_limit", "gateway_restarted", "unexpected_error", "ended_by_owner"]
FINAL: frozenset[str] = frozenset({"succeeded", "failed", "unknown"})

# The pattern is only for OpenAPI: why_illegal decides, so that an illegal name gets a problem kind of its own.
BackupName = Annotated[
    str,
    Field(
        description="A legal backup name: at most 255 bytes of UTF-8, no slash, backslash or control character",
        json_schema_extra={"minLength": 1, "maxLength": 255, "pattern": NAME_PATTERN},
    ),
]
ResourceName = Annotated[
    str, Field(min_length=1, max_length=255, description="Only this resource, such as 'System Diagnostics'")
]
MachineId = Annotated[
    str,
    Field(
        min_length=1, max_length=255, description="The command runs only if the session's system has this machine id"
    ),
]


def _whole(value: Any) -> Any:
    """Convert 5.0 to 5: JSON Schema considers both integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CreateNew(_In):
    """Create a backup. If the name is empty or missing, the system chooses one."""

    action: Literal["create_new"]
    name: Annotated[str, Field(json_schema_extra={"maxLength": 255, "pattern": f"^$|{NAME_PATTERN}"})] | None = ""
    resource_name: ResourceName | None = None
    expected_machine_id: MachineId | None = None


class Restore(_In):
    """Restore a backup, or one resource of it."""

    action: Literal["restore"]
    name: BackupName
    resource_name: ResourceName | None = None
    expected_machine_id: MachineId | None = None


class Remove(_In):
    """Remove a backup."""

    action: Literal["remove"]
    name: BackupName
    expected_machine_id: MachineId | None = None


class Download(_In):
    """Download a backup from the system; it can then be read as this operation's content."""

    action: Literal["download"]
    name: BackupName
    expected_machine_id: MachineId | None = None


class Upload(_In):
    """Upload a backup to the system, after its bytes were sent as this operation's content, and committed."""

    action: Literal["upload"]
    name: BackupName
    size: Annotated[
        int,
        Field(ge=0, le=2**62, description="Bytes", json_schema_extra={"minimum": 1}),
        BeforeValidator(_whole),
    ]
    replace: bool = False
    expected_machine_id: MachineId | None = None


NewOperation = Annotated[CreateNew | Restore | Remove | Download | Upload, Field(discriminator="action")]
NEW_OPERATION: TypeAdapter[CreateNew | Restore | Remove | Download | Upload] = TypeAdapter(NewOperation)


class Commit(_In):
    """The digest of the bytes that were sent as the operation's content."""

    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]


class Request(BaseModel):
    """A requested operation, in the same form for all actions."""

    model_config = ConfigDict(frozen=True)

    action: str
    name: str
    resource_name: str | None = None
    size: int | None = None
    replace: bool = False
    expected_machine_id: str | None = None

    @property
    def writes(self) -> bool:
        """Whether the command changes something on the system."""
        return self.action != "download"


def _flaws(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in each['loc']) or 'the body'}: {each['msg']}"
        for each in error.errors(include_url=False)
    )[:500]


def parse_request(data: Any) -> Request:
    """Validate the body of a new operation.

    :raises Problem: ``invalid_request``, ``name_not_legal`` or ``empty_content``.
    """
    try:
        given = NEW_OPERATION.validate_python(data)
    except ValidationError as error:
        raise Problem("invalid_request", _flaws(error)) from None
    request = Request(**{**given.model_dump(), "name": given.name or ""})
    reason = why_illegal(request.name)
    if reason and not (request.action == "create_new" and not request.name):
        raise Problem("name_not_legal", f"the name of the backup {reason}")
    if request.size == 0:
        raise Problem("empty_content", f"{request.name}: an empty file can't be uploaded")
    return request


def parse_commit(data: Any) -> str:
    """Validate the body of a commit and return its SHA-256; raises ``invalid_request``."""
    try:
        return Commit.model_validate(data).sha256
    except ValidationError as error:
        raise Problem("invalid_request", _flaws(error)) from None


class _Out(BaseModel):
    """Base of the documents that the gateway sends: every member is always present, and there are no others."""

    model_config = ConfigDict(extra="forbid")


Bytes = Annotated[int, Field(ge=0, description="Bytes")]
Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN, description="SHA-256 in hex")]
Time = Annotated[str, Field(description="RFC 3339, in UTC", json_schema_extra={"format": "date-time"})]


class SystemDocument(_Out):
    """A system, as its session reports it."""

    name: Annotated[str, Field(description="Its name in the gateway's configuration")]
    machineid: Annotated[str, Field(description="Its machine id")]
    distversion: Annotated[str, Field(description="Its firmware")]


class BackupDocument(_Out):
    """A backup in the system's listing."""

    name: str
    size: Bytes


class ProblemDocument(_Out):
    """A problem (RFC 9457); clients should branch on ``kind``."""

    type: Annotated[
        str, Field(pattern=r"^urn:activelogic:problem:[a-z-]+$", description="A URN that identifies the kind")
    ]
    title: Annotated[str, Field(description="The same sentence for every problem of this kind")]
    status: Annotated[int, Field(ge=400, le=599, description="The HTTP status that belongs to the kind")]
    detail: Annotated[str, Field(description="A sentence for people; never contains a secret")]
    reason: Annotated[str, Field(description="The detail without any leading system and action")]
    kind: Annotated[str, Field(json_schema_extra={"enum": sorted(KINDS)})]
    exception: Annotated[str | None, Field(description="Class name of the SDK's exception, if one is the cause")]
    system: Annotated[str | None, Field(description="The system's name, if known")]
    operation: Annotated[str | None, Field(description="The operation's UUID, if the problem concerns one")]


class ResultDocument(BaseModel):
    """``name`` after create_new, download and upload; ``size`` and ``sha256`` after the last two."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"dependentRequired": {"size": ["name", "sha256"]}})

    name: str = ""
    size: Bytes = 0
    sha256: Sha256 = ""


def _exactly(member: str, states: tuple[str, ...]) -> dict[str, Any]:
    """JSON Schema: ``member`` is not null in these states, and null in all others."""
    return {
        "if": {"properties": {"state": {"enum": list(states)}}},
        "then": {"properties": {member: {"not": {"type": "null"}}}},
        "else": {"properties": {member: {"type": "null"}}},
    }


class WaitingDocument(_Out):
    """What a queued operation waits for: the first of the operations ahead of it."""

    action: Literal["create_new", "restore", "remove", "download", "upload"]
    name: Annotated[str, Field(description="The requested name; empty if the system chooses one")]
    user: Annotated[str, Field(description="Its owner; only they can end it")]
    since: Annotated[Time | None, Field(description="When it began to run; null if it is about to")]
    operation: Annotated[
        str | None, Field(pattern=UUID_PATTERN, description="Its UUID if the caller owns it, otherwise null")
    ]
    ahead: Annotated[int, Field(ge=1, description="Number of operations ahead of this one, including running ones")]


class OperationDocument(BaseModel):
    """An operation; only its owner can see it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "allOf": [
                _exactly("result", ("succeeded",)),
                _exactly("cause", ("unknown",)),
                _exactly("finished", ("failed", "succeeded", "unknown")),
                {
                    "if": {"properties": {"state": {"const": "failed"}}},
                    "then": {"properties": {"problem": {"not": {"type": "null"}}}},
                },
                {
                    "if": {"properties": {"problem": {"not": {"type": "null"}}}},
                    "then": {"properties": {"state": {"enum": ["failed", "unknown"]}}},
                },
            ]
        },
    )

    id: Annotated[str, Field(pattern=UUID_PATTERN, description="The UUID, in lower case")]
    system: Annotated[str, Field(description="The system's name in the gateway's configuration")]
    action: Literal["create_new", "restore", "remove", "download", "upload"]
    name: Annotated[str, Field(description="The requested name; empty if the system chooses one")]
    resource_name: str | None
    size: Annotated[int | None, Field(ge=1, description="Bytes; uploads only")]
    state: Annotated[
        State,
        Field(
            description="failed: known not to have happened (but see the problem kinds transfer_incomplete and"
            " replace_failed); unknown: it may have happened"
        ),
    ]
    result: ResultDocument | None
    problem: ProblemDocument | None
    cause: Annotated[Cause | None, Field(description="Why the outcome is unknown")]
    created: Time
    finished: Time | None
    waiting_for: Annotated[
        WaitingDocument | None, Field(description="What a queued operation waits for; null when its turn has come")
    ]


class ContentDocument(_Out):
    """The content that the gateway stores for an upload; nothing has been sent to the system yet."""

    size: Bytes
    sha256: Sha256


class HealthDocument(_Out):
    """The gateway is alive."""

    status: Literal["ok"]
    stuck_systems: Annotated[
        list[str] | None,
        Field(
            description="Systems that did not respond in time, or where a command has been running for more than"
            " stuck_seconds; null without a login that any system accepted within the last hour"
        ),
    ]
    stuck_sessions: Annotated[int, Field(ge=0, description="Sessions past their limit that could not be ended")]
    certificate_days_left: Annotated[
        int | None, Field(description="Whole days until the certificate expires, negative after that; null without TLS")
    ]
