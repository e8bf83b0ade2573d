# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks that let schemathesis get past basic validation: existing operations, fitting bodies, satisfiable ranges.

Replacements depend only on the case, so runs with the same seed send the same requests. Deliberately invalid data is
left alone. ``FUZZING_SEEDS`` holds what the test prepared, as JSON. ``FUZZING_STATUSES`` names a file that gets one
line for each answer: the method, the route, the phase and the status.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import ssl
import urllib.error
import urllib.request
import uuid
import zlib
from pathlib import Path
from typing import Any

import schemathesis

from tests.harness.fuzzing.exclusions import reason_against

UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
SEEDS: dict[str, Any] = json.loads(os.environ["FUZZING_SEEDS"])
STATUSES = Path(os.environ["FUZZING_STATUSES"])
CONTEXT = ssl.create_default_context(cafile=SEEDS["ca"])
CONTENT_HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Range": "bytes=0-9"},
    {"Range": "bytes=-1"},
    {"Range": "bytes=5-", "If-Range": SEEDS["etag"]},
    {"Range": "bytes=5-", "If-Range": '"other"'},
    {"Range": "bytes=0-1,3-4"},
    {"Range": "bytes=99999999-"},
    {"Range": "bytes=99999999-100000000"},
    {"If-None-Match": SEEDS["etag"]},
    {"If-None-Match": f'"other", {SEEDS["etag"]}'},
    {"If-Match": '"other"'},
)

DIGESTS: dict[str, str] = {}
"""SHA-256 digests of the contents sent in scenarios, by operation."""


def send(method: str, path: str, body: bytes | None = None, media_type: str = "application/json") -> Any:
    """Send the gateway a request outside schemathesis, and return the JSON of its answer."""
    login = base64.b64encode(f"{SEEDS['user']}:{SEEDS['password']}".encode()).decode("ascii")
    headers = {"Authorization": f"Basic {login}", "Content-Type": media_type}
    request = urllib.request.Request(SEEDS["url"] + path, body, headers, method=method)
    with urllib.request.urlopen(request, context=CONTEXT, timeout=30) as answer:
        return json.loads(answer.read() or "null")


def path_of(operation: str) -> str:
    return f"/v1/systems/{SEEDS['system']}/operations/{operation}"


def new_upload(size: int = 5) -> str:
    """Create an upload that awaits its content."""
    operation = str(uuid.uuid4())
    body = {"action": "upload", "name": f"{operation}.plb", "size": size}
    send("PUT", path_of(operation), json.dumps(body).encode())
    return operation


def filled_upload() -> str:
    """Create an upload that awaits its commit, with the content b"hello"."""
    operation = new_upload()
    send("PUT", path_of(operation) + "/content", b"hello", "application/octet-stream")
    return operation


def kept_upload() -> str:
    """An upload that awaits its content; a new one if the last one has been committed or deleted."""
    if send("GET", path_of(SEEDS["upload"]))["state"] != "awaiting_content":
        SEEDS["upload"] = new_upload(SEEDS["upload_size"])
    return str(SEEDS["upload"])


def kept_download() -> str:
    """A download with content; a new one if the last one's content has been deleted."""
    try:
        send("HEAD", path_of(SEEDS["download"]) + "/content")
    except urllib.error.HTTPError:
        operation = SEEDS["download"] = str(uuid.uuid4())
        send("PUT", path_of(operation), json.dumps({"action": "download", "name": SEEDS["backup"]}).encode())
        send("GET", path_of(operation) + "?wait=20")
    return str(SEEDS["download"])


def fitting(body: Any, size: int) -> bytes:
    """The body, repeated or cut to this many bytes."""
    piece = bytes(body) if isinstance(body, (bytes, bytearray)) and body else b"x"
    return (piece * (size // len(piece) + 1))[:size]


def choice(case: Any) -> int:
    """A number that depends only on the case."""
    return zlib.crc32(
        repr((case.path_parameters, case.query, dict(case.headers or {}), case.body)).encode("utf-8", "surrogatepass")
    )


def valid_path(case: Any) -> bool:
    """Whether the path is valid; schemathesis makes some invalid on purpose."""
    system, operation = case.path_parameters.get("system"), case.path_parameters.get("operation", SEEDS["created"])
    return (
        isinstance(system, str)
        and 0 < len(system) <= 255
        and isinstance(operation, str)
        and UUID.fullmatch(operation) is not None
    )


def shape_new_operation(case: Any, number: int) -> None:
    """Use sizes that may be uploaded, backups that exist, and operations that are new or already known."""
    body = case.body
    known = number % 16 in (1, 2)
    case.path_parameters = {**case.path_parameters, "operation": SEEDS["created"] if known else str(uuid.uuid4())}
    if not isinstance(body, dict):
        return
    size = body.get("size")
    if body.get("action") == "upload" and type(size) is int and number % 8 == 4:
        case.body = {**body, "size": SEEDS["most"] + 1 + abs(size) % 1000}  # too large
    elif body.get("action") == "upload" and type(size) is int and size > SEEDS["most"]:
        case.body = {**body, "size": 1 + size % SEEDS["most"]}
    elif body.get("action") == "download" and number % 4:
        case.body = {**body, "name": SEEDS["backup"]}
    if number % 16 == 1:
        case.body = SEEDS["created_body"]


def shape_commit(case: Any, number: int) -> str:
    if number % 4 and isinstance(case.body, dict) and re.fullmatch("[0-9a-f]{64}", str(case.body.get("sha256"))):
        case.body = {**case.body, "sha256": hashlib.sha256(b"hello").hexdigest()}
        if number % 8 == 1:
            return str(SEEDS["uploaded"])
    return filled_upload()


def shape_content(case: Any, number: int) -> str:
    if number % 8 != 4:
        case.body = fitting(case.body, SEEDS["upload_size"])
    return kept_upload()


def shape_ranges(case: Any, number: int) -> str:
    case.headers.update(CONTENT_HEADERS[number % len(CONTENT_HEADERS)])
    return str(SEEDS["created"]) if number % 32 == 1 else kept_download()


def shape_show(_case: Any, number: int) -> str:
    names = ("created", "download", "upload", "failed", "")
    return str(SEEDS.get(names[number % len(names)], uuid.UUID(int=number)))


def shape_delete(_case: Any, number: int) -> str:
    return new_upload() if number % 2 else str(SEEDS["created"])


SHAPES = {
    "show_operation": shape_show,
    "delete_operation": shape_delete,
    "get_content": shape_ranges,
    "head_content": shape_ranges,
    "put_content": shape_content,
    "commit_operation": shape_commit,
}


def shape_step(case: Any, operation_id: str) -> None:
    """Shape a step of a scenario: a new operation (even when the scenario is repeated) or that of the previous step."""
    if case.meta is None or case.meta.generation.mode.is_negative or not valid_path(case):
        return
    case.path_parameters = {**case.path_parameters, "system": SEEDS["system"]}
    if operation_id == "put_operation":
        number = zlib.crc32(repr(case.body).encode("utf-8", "surrogatepass"))
        case.path_parameters = {**case.path_parameters, "operation": str(uuid.uuid4())}
        if number % 2:
            case.body = {"action": "upload", "name": f"step-{number}.plb", "size": 1 + number % 5000, "replace": True}
        elif number % 4:
            case.body = {"action": "download", "name": SEEDS["backup"]}
    elif operation_id in ("put_content", "get_content", "head_content"):
        try:
            document = send("GET", path_of(case.path_parameters["operation"]) + "?wait=5")
        except urllib.error.HTTPError:
            return
        if operation_id == "put_content" and document["state"] == "awaiting_content":
            case.body = fitting(case.body, document["size"])
            DIGESTS[case.path_parameters["operation"]] = hashlib.sha256(case.body).hexdigest()
        elif operation_id != "put_content":
            number = zlib.crc32(case.path_parameters["operation"].encode("utf-8", "surrogatepass"))
            case.headers.update(CONTENT_HEADERS[number % len(CONTENT_HEADERS)])
    elif operation_id == "commit_operation" and case.path_parameters["operation"] in DIGESTS:
        case.body = {"sha256": DIGESTS[case.path_parameters["operation"]]}


def send_what_is_undeclared(case: Any) -> None:
    """Give undeclared query parameters a value, because an empty list would not appear in the URL."""
    declared = {each.name for each in case.operation.query}
    case.query.update({name: "x" for name, value in case.query.items() if name not in declared and not value})


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Replace parts of a case with prepared objects."""
    operation_id = case.operation.definition.raw["operationId"]
    send_what_is_undeclared(case)
    if case.meta is not None and case.meta.phase.name.value == "stateful":
        shape_step(case, operation_id)
        return
    number = choice(case)
    if "system" not in case.path_parameters or not valid_path(case) or number % 8 in (0, 5):
        return
    case.path_parameters = {**case.path_parameters, "system": SEEDS["system"]}
    if operation_id == "put_operation":
        shape_new_operation(case, number)
    elif operation_id in SHAPES:
        case.path_parameters = {**case.path_parameters, "operation": SHAPES[operation_id](case, number)}


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Record the status."""
    operation_id = case.operation.definition.raw["operationId"]
    phase = case.meta.phase.name.value if case.meta is not None else "none"
    with STATUSES.open("a", encoding="ascii") as stream:
        stream.write(f"{case.method} {operation_id} {phase} {response.status_code}\n")


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Keep a finding unless it is excluded."""
    operation_id = case.operation.definition.raw["operationId"]
    return reason_against(operation_id, failure.checks, response.status_code, response.content) is None
