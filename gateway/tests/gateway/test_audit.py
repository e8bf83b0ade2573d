# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log: a complete line for each request and each operation's end, without secrets."""

from __future__ import annotations

import base64
import hashlib
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.lab import AS_PROGRAM, PASSWORD, Lab, add_user

MEMBERS = {"time", "event", "client", "system", "user", "command", "name", "operation", "method", "outcome", "bytes"}
MEMBERS |= {"milliseconds"}
ODD = ("pässwörd-7316", "пароль-7316", "a:b-7316-c", " 7316-both-ends ", "x7" * 100, "quo\"te\\7316-'", "%41%42-7316")


@pytest.fixture(scope="module")
def program() -> tuple[str, ...]:
    return AS_PROGRAM


@pytest.fixture
def audited(make_lab: Callable[..., Lab]) -> Lab:
    lab = make_lab(limits={"failed_logins_per_minute": 100, "owner_seconds": 1, "read_seconds": 2})
    lab.start()
    return lab


def last(lab: Lab, event: str = "request") -> dict[str, Any]:
    """The newest line. An operation's end is logged just before its client learns of it, a request just after."""
    deadline = time.monotonic() + 5
    seen = -1
    while time.monotonic() < deadline:
        lines = lab.audit()
        found = [line for line in lines if line["event"] == event]
        if found and len(lines) == seen:
            return found[-1]
        seen = len(lines)
        time.sleep(0.05)
    raise AssertionError("the audit log does not come to rest")


def told(line: dict[str, Any]) -> tuple[Any, ...]:
    return line["system"], line["user"], line["command"], line["name"], line["outcome"].get("status")


def test_every_request_has_its_line(audited: Lab) -> None:
    lab = audited
    content = lab.create("made.plb")
    assert told(last(lab)) == ("edge1", "admin", "poll", "made.plb", 200)
    lab.get("/healthz", user="")
    assert told(last(lab)) == (None, None, "health", None, 200)
    lab.get("/v1/systems/edge1")
    assert told(last(lab)) == ("edge1", "admin", "identity", None, 200)
    lab.get("/v1/systems/edge1/backups")
    assert told(last(lab)) == ("edge1", "admin", "list", None, 200)
    lab.get("/v1/systems/edge1/operations")
    assert told(last(lab)) == ("edge1", "admin", "list_operations", None, 200)
    path = lab.run({"action": "download", "name": "made.plb"}).path
    lab.get(path + "/content", headers={"Range": "bytes=0-9"})
    assert told(last(lab)) == ("edge1", "admin", "download_content", "made.plb", 206)
    assert last(lab)["bytes"]["out"] == 10
    lab.request("HEAD", path + "/content")
    assert told(last(lab)) == ("edge1", "admin", "download_content_head", "made.plb", 200)
    lab.request("DELETE", path)
    assert told(last(lab)) == ("edge1", "admin", "release", None, 200)  # nothing was removed
    waiting = lab.path_of(lab.put({"action": "upload", "name": "never.plb", "size": 5}))
    lab.request("DELETE", waiting)
    assert told(last(lab)) == ("edge1", "admin", "cancel", None, 200)
    lab.put({"action": "remove", "name": "missing.plb"})
    assert told(last(lab)) == ("edge1", "admin", "ask_remove", "missing.plb", 202)  # it may never run
    response = lab.put({"action": "upload", "name": "up.plb", "size": len(content)})
    assert told(last(lab)) == ("edge1", "admin", "ask_upload", "up.plb", 202)
    lab.request("PUT", lab.path_of(response) + "/content", data=content)
    assert told(last(lab)) == ("edge1", "admin", "upload_content", "up.plb", 200)
    assert last(lab)["bytes"]["in"] == len(content)
    lab.request("PUT", lab.path_of(response) + "/commit", json={"sha256": hashlib.sha256(content).hexdigest()})
    assert told(last(lab))[:4] == ("edge1", "admin", "upload_commit", "up.plb")
    assert all(set(line) == MEMBERS for line in lab.audit())
    assert all(isinstance(line["milliseconds"], int) and line["milliseconds"] >= 0 for line in lab.audit())


def test_every_refusal_has_its_line_and_names_a_user_only_after_a_login(audited: Lab) -> None:
    lab = audited
    lab.create("made.plb")
    for change, expected in (
        ({"password": "wrong"}, ("edge1", None, "ask", None, 401)),
        ({"system": "nowhere-at-all", "password": "wrong"}, (None, None, "ask", None, 401)),
        ({"system": "nowhere-at-all"}, (None, None, "ask", None, 404)),
        ({"system": "down"}, ("down", None, "ask", None, 502)),
    ):
        lab.put({"action": "create_new", "name": "refused.plb"}, **change)
        assert told(last(lab)) == expected
    response = lab.put({"action": "upload", "name": "made.plb", "size": 5})
    assert response.status_code == 409
    assert told(last(lab)) == ("edge1", "admin", "ask_upload", "made.plb", 409)
    lab.get(f"/v1/systems/edge1/operations/{uuid.uuid4()}")
    assert told(last(lab)) == ("edge1", "admin", "poll", None, 404)
    assert last(lab)["outcome"] == {"status": 404, "kind": "unknown_operation"}
    lab.get("/v1/systems/edge1", user="")
    assert last(lab)["outcome"] == {"status": 401, "kind": "authentication_failed"}
    lab.put({"action": "nonsense"})
    assert told(last(lab))[2:] == ("ask", None, 422)
    before = len(lab.audit())
    lab.raw(b"no HTTP\r\n\r\n")
    assert last(lab, "refused")["outcome"] == {"status": 400, "kind": "bad_request"}
    lab.raw(b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 0.5)
    assert last(lab)["outcome"] == {"status": 400, "kind": "bad_request"}
    assert len(lab.audit()) == before + 2
    assert all(set(line) == MEMBERS for line in lab.audit())


def test_every_end_of_an_operation_has_its_line(audited: Lab) -> None:
    lab = audited

    def ends() -> list[tuple[Any, ...]]:
        lines = [line for line in lab.audit() if line["event"] == "operation"]
        return [(line["system"], line["user"], line["command"], line["name"], line["outcome"]) for line in lines]

    content = lab.create("made.plb")
    lab.run({"action": "download", "name": "made.plb"})
    lab.upload("up.plb", content)
    lab.run({"action": "restore", "name": "missing.plb"})
    waiting = lab.path_of(lab.put({"action": "upload", "name": "cancelled.plb", "size": 5}))
    lab.request("DELETE", waiting)
    lab.trouble(create_new="slow:2.5")
    running = lab.path_of(lab.put({"action": "create_new", "name": "slow.plb"}))
    lab.put({"action": "create_new", "name": "abandoned.plb"})
    lab.finish(running)
    lab.trouble(create_new="lost")
    lab.run({"action": "create_new", "name": "lost.plb"})
    lab.trouble(create_new="hang")
    running = lab.path_of(lab.put({"action": "create_new", "name": "killed.plb"}))
    lab.wait_until_running(running)
    lab.stop(signal.SIGKILL)
    lab.trouble()
    lab.start()
    good: dict[str, Any] = {"state": "succeeded"}

    def failed(kind: str) -> dict[str, Any]:
        return {"state": "failed", "kind": kind, "exception": None}

    assert sorted(ends(), key=lambda end: str(end[3])) == [
        ("edge1", "admin", "create_new", "abandoned.plb", failed("abandoned")),
        ("edge1", "admin", "upload", "cancelled.plb", failed("cancelled")),
        ("edge1", "admin", "create_new", "killed.plb", {"state": "unknown", "cause": "gateway_restarted"}),
        (
            *("edge1", "admin", "create_new", "lost.plb"),
            {"state": "unknown", "cause": "connection_lost", "kind": "unreachable", "exception": "PLDBIOError"},
        ),
        ("edge1", "admin", "create_new", "made.plb", good),
        ("edge1", "admin", "download", "made.plb", good),
        ("edge1", "admin", "restore", "missing.plb", failed("unknown_backup")),
        ("edge1", "admin", "create_new", "slow.plb", good),
        ("edge1", "admin", "upload", "up.plb", good),
    ]
    (slow,) = [line for line in lab.audit() if line["event"] == "operation" and line["name"] == "slow.plb"]
    assert 2400 < slow["milliseconds"] < 5000
    sizes = {line["bytes"] for line in lab.audit() if line["event"] == "operation" and line["name"] == "up.plb"}
    assert sizes == {len(content)}
    assert all(set(line) == MEMBERS for line in lab.audit())


def test_no_secret_is_in_any_log_state_or_argument(audited: Lab) -> None:
    lab = audited
    for number, password in enumerate(ODD):
        add_user(lab, "edge1", f"odd{number}", password)
        login = {"user": f"odd{number}", "password": password}
        wrong = {"user": f"odd{number}", "password": password + "-wrong"}
        body = {"action": "create_new", "name": f"odd{number}.plb"}
        path = lab.path_of(lab.put(body, **login))
        assert lab.get(path + "?wait=20", **login).json()["state"] == "succeeded"
        for refused in (lab.get("/v1/systems/edge1", **wrong), lab.put(body, **wrong), lab.get(path, **wrong)):
            assert refused.status_code == 401
    # Passwords where they don't belong: in names, bodies, paths, queries and headers.
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("password_in_operation", {"action": "create_new", "name": f"{PASSWORD}.plb"}),
        ("password_in_operation", {"action": "create_new", "name": "a", "resource_name": PASSWORD}),
        ("password_in_operation", {"action": "remove", "name": "a", "expected_machine_id": PASSWORD}),
        ("password_in_operation", {"action": "upload", "name": PASSWORD, "size": 3}),
        ("invalid_request", {"action": "create_new", "name": "a", "password": PASSWORD}),
    ]
    for kind, body in bodies:
        response = lab.put(body)
        assert (response.status_code, response.json()["kind"]) == (422, kind)
    lab.request("PUT", f"/v1/systems/edge1/operations/{uuid.uuid4()}", data=PASSWORD)
    for path in (f"/v1/systems/{PASSWORD}", f"/{PASSWORD}", f"/v1/systems/edge1?p={PASSWORD}"):
        lab.get(path, headers={"X-Password": PASSWORD, "Host": PASSWORD})
    lab.get("/v1/systems/edge1", user=PASSWORD)
    lab.raw(f"GET / HTTP/1.1\r\nX: {PASSWORD}\r\nY : {PASSWORD}\r\n\r\n".encode())
    for trouble in ("tell", "tell_late", "bug", "lost"):
        lab.trouble()
        lab.get("/v1/systems/edge2")  # cache this login, so that the next one is the operation's own
        lab.trouble(connect=trouble)
        answer = lab.run({"action": "create_new", "name": "told.plb"}, system="edge2")
        assert PASSWORD not in str(answer.document)
        assert PASSWORD not in lab.get("/v1/systems/edge2/backups").text
        if trouble == "tell_late":
            time.sleep(3)  # the package logs the password after every request that holds it has ended
    lab.trouble(create_new="hang")  # keeps a password in memory
    path = lab.path_of(lab.put({"action": "create_new", "name": "running.plb"}))
    assert lab.get(path + "?wait=0.5").json()["state"] == "running"
    assert lab.process is not None
    process = Path(f"/proc/{lab.process.pid}")
    seen = {name: (process / name).read_bytes() for name in ("cmdline", "environ", "comm")}
    lab.stop(signal.SIGKILL)
    for file in (lab.folder / "audit.log", lab.folder / "stderr", *(lab.folder / "state").rglob("*")):
        if file.is_file():
            seen[file.name] = file.read_bytes()
    assert {"operations.sqlite", "audit.log", "stderr"} <= set(seen)
    for line in (b": the password is ********", b": late, the password is ********"):
        assert line in seen["stderr"]  # control: the password did reach the redaction
    for password in (PASSWORD, *ODD):
        for form in forms(password):
            assert [where for where, content in seen.items() if form in content] == [], (password, form)


def forms(password: str) -> set[bytes]:
    """A password in plain text, as JSON or repr may write it, and as HTTP Basic encodes it."""
    plain = {password.encode(), password.encode("unicode_escape"), repr(password)[1:-1].encode()}
    plain |= {password.replace("\\", "\\\\").replace('"', '\\"').encode()}
    return plain | {base64.b64encode(each)[:-4] for each in plain}


def test_a_short_password_may_be_a_part_of_a_name(audited: Lab) -> None:
    add_user(audited, "edge1", "short", "plb")
    login = {"user": "short", "password": "plb"}
    path = audited.path_of(audited.put({"action": "create_new", "name": "made.plb"}, **login))
    assert audited.get(path + "?wait=20", **login).json()["state"] == "succeeded"


def test_the_audit_log_is_opened_anew_on_sighup(audited: Lab) -> None:
    log = audited.folder / "audit.log"
    audited.get("/healthz")
    last(audited)  # wait until its line is in the old file
    log.rename(log.with_suffix(".1"))
    assert audited.process is not None
    audited.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 5
    while not log.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    audited.get("/v1/systems/edge1")
    last(audited)
    assert [line["command"] for line in audited.audit()] == ["identity"]
    assert log.stat().st_mode & 0o777 == 0o600
