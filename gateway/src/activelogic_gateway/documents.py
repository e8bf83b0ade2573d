# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON documents of the HTTP API: what comes in is checked by them, and OpenAPI is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .names import why_illegal
from .problems import KINDS, Problem

UUID_PATTERN = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
NAME_PATTERN = r"^[^/\\\x00-\x1f\x7f-\x9f]+$"

State = Literal["queued", "awaiting_content", "running", "succeeded", "failed", "unknown"]
Cause = Literal["connection_lost", "time_limit", "gateway_restarted", "unexpected_error"]
FINAL: frozenset[str] = frozenset({"succeeded", "failed", "unknown"})

# The pattern is only described here: why_illegal decides, so that an illegal name is a problem of its own kind.
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


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CreateNew(_In):
    """Create a backup. With an empty name, or none, the system chooses one."""

    action: Literal["create_new"]
    name: (
        Annotated[str, Field(json_schema_extra={"maxLength": 255, "pattern": r"^[^/\\\x00-\x1f\x7f-\x9f]*$"})] | None
    ) = ""
    resource_name: ResourceName | None = None
    expected_machine_id: MachineId | None = None


class Restore(_In):
    """Restore a backup, as a whole or one resource of it."""

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
    """Fetch a backup from the system, to be read from this operation's content."""

    action: Literal["download"]
    name: BackupName
    expected_machine_id: MachineId | None = None


class Upload(_In):
    """Store a backup on the system; its bytes are put to this operation's content, and then committed."""

    action: Literal["upload"]
    name: BackupName
    size: Annotated[int, Field(ge=0, le=2**62, description="Bytes", json_schema_extra={"minimum": 1})]
    replace: bool = False
    expected_machine_id: MachineId | None = None


NewOperation = Annotated[CreateNew | Restore | Remove | Download | Upload, Field(discriminator="action")]
NEW_OPERATION: TypeAdapter[CreateNew | Restore | Remove | Download | Upload] = TypeAdapter(NewOperation)


class Commit(_In):
    """The digest of the bytes that were put to the operation's content."""

    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]


class Request(BaseModel):
    """An operation as it was asked for, in one form for all actions."""

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
    """Check the body of a new operation.

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
    """Check the body of a commit and return its SHA-256; raises ``invalid_request``."""
    try:
        return Commit.model_validate(data).sha256
    except ValidationError as error:
        raise Problem("invalid_request", _flaws(error)) from None


class SystemDocument(BaseModel):
    """A system, as a session with it tells."""

    name: Annotated[str, Field(description="Its name in the gateway's configuration")]
    machineid: str
    distversion: Annotated[str, Field(description="Its firmware")]


class BackupDocument(BaseModel):
    """A backup in the system's listing."""

    name: str
    size: Annotated[int, Field(description="Bytes")]


class ProblemDocument(BaseModel):
    """RFC 9457; ``kind`` is the word to decide by."""

    type: str
    title: str
    status: int
    detail: str
    kind: Annotated[str, Field(json_schema_extra={"enum": sorted(KINDS)})]
    exception: Annotated[str | None, Field(description="Class name of the SDK's exception, where one is the cause")]
    system: str | None
    operation: str | None


class ResultDocument(BaseModel):
    """``name`` after create_new, download and upload; ``size`` (bytes) and ``sha256`` after the last two."""

    name: str | None = None
    size: int | None = None
    sha256: Annotated[str | None, Field(pattern=SHA256_PATTERN)] = None


class OperationDocument(BaseModel):
    """An operation: its owner alone sees it."""

    id: str
    system: str
    action: Literal["create_new", "restore", "remove", "download", "upload"]
    name: str
    resource_name: str | None
    size: int | None
    state: State
    result: ResultDocument | None
    problem: ProblemDocument | None
    cause: Annotated[Cause | None, Field(description="Why the outcome is unknown")]
    created: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    finished: Annotated[str | None, Field(json_schema_extra={"format": "date-time"})]


class ContentDocument(BaseModel):
    """Bytes that the gateway holds for an upload; nothing has reached the system yet."""

    size: int
    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]


class HealthDocument(BaseModel):
    """The gateway is alive."""

    status: Literal["ok"]
    stuck_sessions: Annotated[int, Field(description="Sessions past their limit that could not be ended")]
    certificate_days_left: Annotated[int | None, Field(description="Whole days until the certificate expires")]
