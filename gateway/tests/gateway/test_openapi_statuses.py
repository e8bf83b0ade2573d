# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A live gateway produces every status of every route as the OpenAPI document describes it.

The document determines the test cases: a status without a producer fails, unless ``NOT_PRODUCED`` gives a reason.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness.lab import Lab
from tests.harness.openapi_reader import OPERATIONS, matches, resolve

NO_FAILURE = "no request is known that makes the gateway itself fail here; all routes share the layer that answers"
NOT_PRODUCED = {("health", 500): NO_FAILURE, ("show_system", 500): NO_FAILURE, ("list_backups", 500): NO_FAILURE}

CONTENT = b"hello"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Got:
    """A response: its status, its headers with lower-case names, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Asker:
    """Sends requests to one route of a lab's gateway."""

    def __init__(self, lab: Lab, operation_id: str) -> None:
        self.lab = lab
        self.operation_id = operation_id
        self.method, self.path, _ = OPERATIONS[operation_id]

    def target(self, path: str | None = None, system: str = "edge1") -> str:
        """The route's path, for the operation at ``path`` or a new one."""
        operation = path.rsplit("/", 1)[1] if path else str(uuid.uuid4())
        return self.path.format(system=system, operation=operation)

    def send(self, target: str | None = None, **options: Any) -> Got:
        """Send a body that fits the route, unless ``options`` contain another one."""
        if not {"json", "data"} & set(options):
            options.update(BODIES.get(self.operation_id, {}))
        response = self.lab.request(self.method, target or self.target(), **options)
        return Got(response.status_code, {k.lower(): v for k, v in response.headers.items()}, response.content)

    def send_raw(self, headers: bytes, seconds: float = 5.0) -> Got:
        """Send only these header lines, over a raw socket."""
        answer = self.lab.raw(f"{self.method} {self.target()} HTTP/1.1\r\n".encode() + headers, seconds)
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return Got(int(first.split()[1]), {name.lower(): value for name, value in pairs}, body)

    def with_trouble(self, connect: str) -> Got:
        """Send a request while every login to the system has this trouble."""
        self.lab.trouble(connect=connect)
        try:
            return self.send()
        finally:
            self.lab.trouble()


BODIES: dict[str, dict[str, Any]] = {
    "put_operation": {"json": {"action": "create_new"}},
    "put_content": {"data": CONTENT},
    "commit_operation": {"json": {"sha256": SHA256}},
}


def downloaded(lab: Lab) -> str:
    """Path of a download that succeeded."""
    name = f"{uuid.uuid4()}.plb"
    lab.create(name)
    return lab.run({"action": "download", "name": name}).path


def awaiting(lab: Lab, content: bytes | None = None) -> str:
    """Path of an upload, with its content if given."""
    path = lab.path_of(lab.put({"action": "upload", "name": f"{uuid.uuid4()}.plb", "size": len(CONTENT)}))
    if content is not None:
        assert lab.request("PUT", path + "/content", data=content).status_code == 200
    return path


def dropped(lab: Lab) -> str:
    """Path of a download whose content was deleted."""
    path = downloaded(lab)
    assert lab.request("DELETE", path).status_code == 200
    return path


def finished_upload(ask: Asker) -> Got:
    path = awaiting(ask.lab, CONTENT)
    ask.send(ask.target(path))
    ask.lab.finish(path)
    return ask.send(ask.target(path))


def no_room(ask: Asker) -> Got:
    return ask.send(json={"action": "upload", "name": "large.plb", "size": 2 * 10**5})


def on_download(**options: Any) -> Callable[[Asker], Got]:
    return lambda ask: ask.send(ask.target(downloaded(ask.lab)), **options)


EMPTY = {"action": "create_new", "name": ""}

OWN: dict[tuple[str, int], Callable[[Asker], Got]] = {
    ("put_operation", 200): lambda ask: ask.send(ask.lab.run({"action": "create_new", "name": ""}).path, json=EMPTY),
    ("put_operation", 413): lambda ask: ask.send(json={"action": "upload", "name": "x.plb", "size": 2 * 10**6}),
    ("put_operation", 507): no_room,
    ("show_operation", 200): lambda ask: ask.send(ask.target(awaiting(ask.lab))),
    ("delete_operation", 200): lambda ask: ask.send(ask.target(awaiting(ask.lab))),
    ("get_content", 200): on_download(),
    ("get_content", 206): on_download(headers={"Range": "bytes=0-4"}),
    ("get_content", 304): on_download(headers={"If-None-Match": "*"}),
    ("get_content", 410): lambda ask: ask.send(ask.target(dropped(ask.lab))),
    ("get_content", 412): on_download(headers={"If-Match": '"x"'}),
    ("get_content", 416): on_download(headers={"Range": "bytes=99999999-"}),
    ("head_content", 200): on_download(),
    ("head_content", 304): on_download(headers={"If-None-Match": "*"}),
    ("head_content", 410): lambda ask: ask.send(ask.target(dropped(ask.lab))),
    ("head_content", 412): on_download(headers={"If-Match": '"x"'}),
    ("put_content", 200): lambda ask: ask.send(ask.target(awaiting(ask.lab))),
    ("put_content", 411): lambda ask: ask.send(ask.target(awaiting(ask.lab)), data=iter([CONTENT])),
    ("put_content", 415): lambda ask: ask.send(
        ask.target(awaiting(ask.lab)), data=CONTENT, headers={"Content-Encoding": "gzip"}
    ),
    ("commit_operation", 200): finished_upload,
    ("commit_operation", 202): lambda ask: ask.send(ask.target(awaiting(ask.lab, CONTENT))),
    ("commit_operation", 413): lambda ask: ask.send(
        ask.target(awaiting(ask.lab)), data=b" " * 70_000, headers={"Content-Type": "application/json"}
    ),
    ("commit_operation", 415): lambda ask: ask.send(ask.target(awaiting(ask.lab)), data=b"{}"),
}

ON_ALL: dict[int, Callable[[Asker], Got]] = {
    200: lambda ask: ask.send(),
    202: lambda ask: ask.send(),
    400: lambda ask: ask.send_raw(b"Host: a\r\nHost: b\r\n\r\n"),
    401: lambda ask: ask.send(user=""),
    404: lambda ask: ask.send(ask.target(system="edge9")),
    408: lambda ask: ask.send_raw(b"Host: a\r\n"),
    409: lambda ask: ask.with_trouble("raise:PLDBNewDataCommitted"),
    415: lambda ask: ask.send(data=b"{}", headers={"Content-Type": "text/plain"}),
    422: lambda ask: ask.send(ask.target(system="x" * 256)),
    431: lambda ask: ask.send_raw(b"Host: a\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"),
    501: lambda ask: ask.with_trouble("raise:PLDBUnsupportedInFirmware"),
    502: lambda ask: ask.with_trouble("raise:ConnectionRefusedError"),
    504: lambda ask: ask.with_trouble("hang"),
    507: lambda ask: ask.with_trouble("full"),
}
"""Producers for statuses that every route gives in the same way; 429, 500 and 503 have their own gateways."""

CASES = [
    pytest.param(operation_id, int(status), id=f"{operation_id}-{status}")
    for operation_id, (_, _, described) in OPERATIONS.items()
    for status in described["responses"]
]


@pytest.fixture(scope="module")
def willing(make_module_lab: Callable[..., Lab]) -> Lab:
    """A gateway with short timeouts that logs in for every request."""
    limits = {
        "remember_login_seconds": 0.001, "read_seconds": 1, "header_seconds": 1, "upload_bytes": 10**6,
        "spool_bytes": 10**5, "failed_logins_per_minute": 1000,
    }  # fmt: skip
    lab = make_module_lab(limits=limits)
    lab.start()
    assert lab.get("/v1/systems/edge1").status_code == 200  # after a successful login, unknown systems give 404
    return lab


@pytest.fixture(scope="module")
def locked(make_module_lab: Callable[..., Lab]) -> Lab:
    """A gateway with too many failed logins."""
    lab = make_module_lab(limits={"failed_logins_per_minute": 1})
    lab.start()
    assert lab.get("/v1/systems/edge1", password="wrong").status_code == 401
    return lab


@pytest.fixture(scope="module")
def broken(make_module_lab: Callable[..., Lab]) -> Lab:
    """A gateway without its database table."""
    lab = make_module_lab()
    lab.start()
    with sqlite3.connect(lab.folder / "state" / "operations.sqlite") as database:
        database.execute("DROP TABLE operations")
    database.close()
    return lab


@pytest.fixture(scope="module")
def busy(make_module_lab: Callable[..., Lab]) -> Lab:
    """A gateway with only one session, which is in use."""
    lab = make_module_lab(limits={"sessions": 1, "remember_login_seconds": 0.001})
    lab.start()
    return lab


def hold_the_session(lab: Lab) -> None:
    """Occupy the only session with a hanging command, unless it is already in use.

    A command fails while the process of an earlier session is still ending, so it may have to be sent again.
    """
    if lab.get("/v1/systems/edge1").status_code == 503:
        return
    lab.trouble(create_new="hang")
    deadline = time.monotonic() + 30
    before = lab.calls().count("create_new")
    while lab.calls().count("create_new") == before:
        asked = lab.put({"action": "create_new", "name": "long.plb"})
        while asked.status_code != 503 and lab.calls().count("create_new") == before:
            if lab.get(lab.path_of(asked)).json()["state"] not in ("queued", "running"):
                break
            time.sleep(0.02)
            assert time.monotonic() < deadline, lab.errors()
        assert time.monotonic() < deadline, lab.errors()
    lab.trouble()


@pytest.mark.parametrize(("operation_id", "status"), CASES)
def test_documented_status_comes_from_the_gateway_as_described(
    request: pytest.FixtureRequest, operation_id: str, status: int
) -> None:
    if (operation_id, status) in NOT_PRODUCED:
        pytest.skip(NOT_PRODUCED[operation_id, status])
    lab: Lab = request.getfixturevalue({429: "locked", 500: "broken", 503: "busy"}.get(status, "willing"))
    ask = Asker(lab, operation_id)
    if status == 503:
        hold_the_session(lab)
    produce = OWN.get((operation_id, status)) or ON_ALL.get(status) or (lambda ask: ask.send())
    got = produce(ask)
    assert got.status == status, got
    described = resolve(OPERATIONS[operation_id][2]["responses"][str(status)])
    for name, header in described.get("headers", {}).items():
        value: Any = got.headers[name.lower()]
        schema = resolve(header)["schema"]
        assert matches(int(value) if schema["type"] == "integer" else value, schema), (name, value)
    content = described.get("content", {})
    if ask.method == "HEAD" or not content:
        assert got.body == b""
        return
    assert set(content) == {got.headers["content-type"]}
    if "json" in got.headers["content-type"]:
        (described_body,) = content.values()
        assert matches(json.loads(got.body), described_body["schema"]), got


def test_reasons_stand_only_where_a_status_is_documented() -> None:
    known = {(case.values[0], case.values[1]) for case in CASES}
    assert set(NOT_PRODUCED) <= known
    assert set(OWN) <= known
