# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of the OpenAPI document, all about one backup of one system."""

from __future__ import annotations

from typing import Any

from ..problems import KINDS, Problem

Json = dict[str, Any]

SYSTEM = "edge1"
OPERATION = "6f1d6c0e-3b52-4c43-9f0c-5d8a1f0b7e21"
BACKUP = "nightly-20261124T020000Z-4f1c.plb"
SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
CONTENT = "hello"
REPR_DIGEST = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"

_DETAILS = {
    "authentication_failed": f"system {SYSTEM}: it refused the login, or the connection to it could not be established",
    "too_many_failed_logins": "client address 192.0.2.7 has reached the limit of 5 refused logins a minute for user"
    " admin at this system; until 02:00:31 UTC no login of this user there is tried from this address",
    "unknown_system": "the gateway has no system 'edge9'",
    "unknown_backup": f"system {SYSTEM} has no backup '{BACKUP}'",
    "unknown_operation": f"user admin has no operation {OPERATION} on system {SYSTEM}",
    "unknown_route": "there is no such route",
    "no_content": f"operation {OPERATION} is not a download",
    "content_gone": f"the content of operation {OPERATION} is no longer kept",
    "method_not_allowed": "PATCH is not supported here",
    "precondition_failed": "If-Match names other content",
    "bad_request": "the body is not JSON in UTF-8",
    "invalid_request": "wait: Input should be less than or equal to 60",
    "name_not_legal": "the name of the backup holds a control character",
    "password_in_operation": "the body holds the password of the login",
    "empty_content": f"{BACKUP}: an empty file can't be uploaded",
    "unsupported_media_type": "the body should be application/json",
    "length_required": "the content needs a Content-Length",
    "length_mismatch": "Content-Length is 4, the operation's size 5",
    "too_large": "9000000000 bytes are more than the 8589934592 that may be uploaded",
    "range_not_satisfiable": "the content has 5 bytes",
    "headers_too_large": "the headers have more than 65536 bytes",
    "request_timeout": "the body came too slowly",
    "digest_mismatch": f"the content has the SHA-256 {SHA256}, not {'0' * 64}; it was dropped",
    "conflict": f"operation {OPERATION} was requested with another body",
    "backup_exists": f"system {SYSTEM} has a backup '{BACKUP}' already",
    "wrong_machine": f"system {SYSTEM} has the machine id 001122334455, not 001122334466",
    "new_data_committed": f"system {SYSTEM}: could not list the backups: PLDBNewDataCommitted",
    "cancelled": f"operation {OPERATION} was deleted before it began",
    "abandoned": f"operation {OPERATION} was abandoned by its owner before it began",
    "refused": f"system {SYSTEM}: could not create a backup: PLDBError: no such resource",
    "replace_failed": f"{BACKUP}: the upload was refused (PLDBError), even after the old backup was removed;"
    " the old backup was put back",
    "unsupported": f"system {SYSTEM}: could not list the backups: PLDBUnsupportedInFirmware",
    "capability_missing": f"system {SYSTEM}: could not log in: PLDBCapabilityError",
    "sdk_error": f"system {SYSTEM}: could not list the backups: KeyError",
    "unreachable": f"system {SYSTEM}: could not log in: ConnectionRefusedError",
    "time_limit": f"system {SYSTEM}: could not list the backups within 60 s",
    "transfer_incomplete": f"{BACKUP}: 4 bytes arrived, the system listed 5 before and 5 after",
    "too_busy": f"8 operations wait for system {SYSTEM} already",
    "gateway_restarted": "the gateway was restarted before the operation ended",
    "shutting_down": "the gateway is being shut down",
    "spool_full": "the spool has 1024 bytes left, 10394934 are needed",
    "internal_error": "the gateway failed (OSError)",
}
"""The ``detail`` of the example of each kind."""

_EXCEPTIONS = {
    "authentication_failed": "PLDBIOError",
    "new_data_committed": "PLDBNewDataCommitted",
    "refused": "PLDBError",
    "replace_failed": "PLDBError",
    "unsupported": "PLDBUnsupportedInFirmware",
    "capability_missing": "PLDBCapabilityError",
    "sdk_error": "KeyError",
    "unreachable": "ConnectionRefusedError",
}

_NO_SYSTEM = (
    "bad_request", "request_timeout", "headers_too_large", "internal_error", "unknown_system", "unknown_route",
    "method_not_allowed", "invalid_request",
)  # fmt: skip
"""Kinds whose problems do not name a system."""


def _operation(action: str, state: str, **members: Any) -> Json:
    """An operation document for an example."""
    ended = state in ("succeeded", "failed", "unknown")
    return {
        "id": OPERATION,
        "system": SYSTEM,
        "action": action,
        "name": BACKUP,
        "resource_name": None,
        "size": None,
        "state": state,
        "result": None,
        "problem": None,
        "cause": None,
        "created": "2026-11-24T02:00:00.000Z",
        "finished": "2026-11-24T02:00:07.512Z" if ended else None,
        "waiting_for": None,
        **members,
    }


def problem_example(kind: str) -> Json:
    """Return an example of a problem document of this kind."""
    return Problem(
        kind,
        _DETAILS[kind],
        exception=_EXCEPTIONS.get(kind),
        system=None if kind in _NO_SYSTEM else SYSTEM,
        operation=OPERATION if OPERATION in _DETAILS[kind] else None,
    ).document()


def _failed(kind: str, action: str) -> Json:
    problem = {**problem_example(kind), "system": SYSTEM, "operation": OPERATION}
    return _operation(action, "failed", problem=problem, size=5 if action == "upload" else None)


_LOST = {
    **problem_example("unreachable"),
    "detail": f"system {SYSTEM}: could not remove '{BACKUP}': PLDBIOError",
    "exception": "PLDBIOError",
    "operation": OPERATION,
}

_FIRST = {
    "action": "restore",
    "name": BACKUP,
    "user": "admin",
    "since": "2026-11-24T01:55:00.000Z",
    "operation": None,
    "ahead": 2,
}
UNFINISHED = {
    "queued": _operation("create_new", "queued"),
    "awaiting-content": _operation("upload", "awaiting_content", size=5),
    "waiting": _operation("create_new", "queued", waiting_for=_FIRST),
    "running": _operation("restore", "running"),
}
QUEUED_UPLOAD = {"queued-upload": _operation("upload", "queued", size=5)}
UPLOADED = {"uploaded": _operation("upload", "succeeded", size=5, result={"name": BACKUP, "size": 5, "sha256": SHA256})}
CANCELLED = {"cancelled": _failed("cancelled", "create_new")}
ENDED = {
    "created": _operation("create_new", "succeeded", result={"name": BACKUP}),
    "restored": _operation("restore", "succeeded", result={}),
    "downloaded": _operation("download", "succeeded", result={"name": BACKUP, "size": 5, "sha256": SHA256}),
    **UPLOADED,
    "restarted": _operation("restore", "unknown", cause="gateway_restarted"),
    "ended-by-owner": _operation("restore", "unknown", cause="ended_by_owner"),
    "connection-lost": _operation("remove", "unknown", cause="connection_lost", problem=_LOST),
    "unknown-backup": _failed("unknown_backup", "download"),
    "wrong-machine": _failed("wrong_machine", "restore"),
    **CANCELLED,
    "abandoned": _failed("abandoned", "create_new"),
    "gateway-restarted": _failed("gateway_restarted", "upload"),
    "transfer-incomplete": _failed("transfer_incomplete", "download"),
    "replace-failed": _failed("replace_failed", "upload"),
}
"""Operations that have ended; the last ones show the problem kinds that occur only in operations."""

BODIES = {
    "create_new": {"action": "create_new", "name": BACKUP},
    "create_new-one-resource": {
        "action": "create_new",
        "name": "",
        "resource_name": "System Diagnostics",
    },
    "restore": {"action": "restore", "name": BACKUP, "expected_machine_id": "001122334455"},
    "remove": {"action": "remove", "name": BACKUP},
    "download": {"action": "download", "name": BACKUP},
    "upload": {"action": "upload", "name": BACKUP, "size": 5, "replace": False},
}


def examples() -> Json:
    """Return the shared examples: one problem of each kind, and operations."""
    problems = {kind: {"summary": KINDS[kind][1], "value": problem_example(kind)} for kind in KINDS}
    operations = {
        f"operation-{name}": {"value": document} for name, document in {**UNFINISHED, **QUEUED_UPLOAD, **ENDED}.items()
    }
    return {**problems, **operations}
