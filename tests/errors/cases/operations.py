# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Operations and transfers at a gateway that end in an unexpected way."""

from __future__ import annotations

import re
import time
import uuid
from http.server import BaseHTTPRequestHandler

import requests

from tests.errors.odd_gateway import CONTENT, SHA256, content, document, hang_up, problem, state
from tests.errors.scene import BACKUP, ODD_GATEWAY, TRANSFER, Facts, Scene, case
from tests.harness.login import GATEWAY


def fetch(scene: Scene, **options: object) -> None:
    """Fetch the odd gateway's backup."""
    scene.run(TRANSFER, direction="fetch", name="there.plb", dest=str(scene.archive), **options)


@case("GATEWAY_ANSWER_WRONG", ODD_GATEWAY)
def read_that_succeeds_without_a_result(scene: Scene) -> Facts:
    scene.odd.answers["GET operation"] = state("succeeded")
    fetch(scene)
    return {"flaw": "has no result"}


@case("OPERATION_LOST", ODD_GATEWAY)
def write_that_succeeds_without_a_result(scene: Scene) -> Facts:
    scene.odd.answers["GET operation"] = state("succeeded")
    scene.run(BACKUP, name="new.plb")
    return {"operation_id": re.compile("[0-9a-f-]{36}"), "reason": "the gateway's answer has no result"}


@case("OPERATION_LOST", ODD_GATEWAY)
def write_without_a_state(scene: Scene) -> Facts:
    scene.odd.answers["GET operation"] = document({})
    scene.run(BACKUP, name="new.plb")
    return {"operation_id": re.compile("[0-9a-f-]{36}"), "reason": "the gateway's answer has no state"}


@case("BACKUP_NAMED_ILLEGALLY", ODD_GATEWAY)
def operation_that_makes_another_name(scene: Scene) -> Facts:
    scene.may_change = True
    scene.odd.answers["GET operation"] = state("succeeded", result={"name": "\x1b[2J/x"})
    scene.run(BACKUP, name="new.plb")
    return {"name": "\x1b[2J/x", "flaw": "holds a control character"}


@case("GATEWAY_ANSWER_WRONG", ODD_GATEWAY)
def failure_without_a_problem(scene: Scene) -> Facts:
    scene.odd.answers["GET operation"] = state("failed")
    scene.run(BACKUP, name="new.plb")
    return {"flaw": "has no problem"}


@case("OPERATION_LATE", ODD_GATEWAY)
def never_its_turn(scene: Scene) -> Facts:
    scene.odd.answers["GET operation"] = state("queued")
    scene.run(BACKUP, name="new.plb", wait_timeout=0.5)
    assert "DELETE operation" in scene.odd.asked, "it was left at the gateway"
    return {"seconds": 0.5, "option": "wait_timeout", "state": "queued"}


@case("OPERATION_LATE_BEHIND", GATEWAY)
def behind_a_write_that_hangs(scene: Scene) -> Facts:
    scene.fault("create_new", "wait", seconds=20)
    lab, first = scene.lab, str(uuid.uuid4())
    path = f"{lab.url}/v1/systems/{scene.system}/operations/{first}"
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(lab.ca_path)
        session.auth = (lab.username, lab.password)
        session.put(path, json={"action": "create_new", "name": "first.plb"}, timeout=20)
        while session.get(path, timeout=20).json()["state"] != "running":
            time.sleep(0.02)
        scene.run(BACKUP, name="new.plb", wait_timeout=0.7)
        ended = session.delete(path, params={"force": "true"}, timeout=20)
    assert (ended.json()["state"], ended.json()["cause"]) == ("unknown", "ended_by_owner")
    what = "the create new of the backup 'first.plb' by user 'admin', which has been running since [0-9T:.-]+Z"
    request = re.escape(f"DELETE {path}?force=true")
    return {
        "seconds": 0.7,
        "option": "wait_timeout",
        "what": re.compile(what),
        "user": "'admin'",
        "request": re.compile(request),
    }


@case("OPERATION_LATE_UNKNOWN", ODD_GATEWAY)
def its_turn_at_the_last_moment(scene: Scene) -> Facts:
    def refuse(request: BaseHTTPRequestHandler) -> None:
        scene.odd.answers["GET operation"] = state("running")
        problem("conflict", "it runs already")(request)

    scene.odd.answers |= {"GET operation": state("queued"), "DELETE operation": refuse}
    scene.run(BACKUP, name="new.plb", wait_timeout=0.5)
    return {"seconds": 0.5, "option": "wait_timeout", "state": "queued"}


@case("OPERATION_LATE_UNKNOWN", GATEWAY)
def system_that_takes_its_time(scene: Scene) -> Facts:
    scene.fault("create_new", "wait", seconds=20)
    scene.run(BACKUP, name="new.plb", wait_timeout=1)
    assert scene.listed() == {}
    return {"seconds": 1, "option": "wait_timeout", "state": "running"}


@case("OPERATION_UNKNOWN", GATEWAY)
def system_that_loses_the_connection(scene: Scene) -> Facts:
    scene.fault("create_new", "lose")
    scene.run(BACKUP, name="new.plb")
    return {"cause": re.compile("[a-z ]+")}


@case("OPERATION_LOST", ODD_GATEWAY)
def gateway_that_goes_away(scene: Scene) -> Facts:
    scene.odd.answers["GET operation"] = hang_up
    scene.run(BACKUP, name="new.plb")
    return {"operation_id": re.compile("[0-9a-f-]{36}"), "reason": re.compile("the connection to the gateway .*")}


@case("GATEWAY_ANSWER_WRONG", ODD_GATEWAY)
def upload_that_is_answered_with_nothing(scene: Scene) -> Facts:
    scene.odd.answers |= {"GET operation": state("awaiting_content"), "PUT content": document(None)}
    scene.run(TRANSFER, direction="push", src=scene.file("pushed.plb"))
    return {"flaw": "has no sha256"}


@case("TRANSFER_LATE", ODD_GATEWAY)
def a_byte_now_and_then(scene: Scene) -> Facts:
    def drip(request: BaseHTTPRequestHandler) -> None:
        content(CONTENT[:1], headers={"Content-Length": str(len(CONTENT)), "Connection": "close"})(request)
        time.sleep(3)

    scene.odd.answers["GET content"] = drip
    fetch(scene, transfer_timeout=1)
    return {"seconds": 1, "done": "1 byte", "size": f"{len(CONTENT)} bytes"}


@case("CONTENT_SHORT", ODD_GATEWAY)
def content_that_never_comes(scene: Scene) -> None:
    scene.odd.answers["GET content"] = content(b"")
    fetch(scene)


@case("CONTENT_LONG", ODD_GATEWAY)
def more_than_announced(scene: Scene) -> Facts:
    scene.odd.answers["GET content"] = content(CONTENT + b"!")
    fetch(scene)
    return {"size": len(CONTENT)}


@case("CONTENT_OTHER", ODD_GATEWAY)
def a_bit_flipped_on_the_way(scene: Scene) -> Facts:
    scene.odd.answers["GET content"] = content(CONTENT[:-1] + b"!")
    fetch(scene)
    return {"size": len(CONTENT), "arrived": re.compile("[0-9a-f]{64}"), "announced": SHA256}


@case("CONTENT_SENT_OTHER", ODD_GATEWAY)
def changed_on_the_way_to_the_gateway(scene: Scene) -> None:
    scene.odd.answers["GET operation"] = state("awaiting_content")
    scene.odd.answers["PUT content"] = _took_something_else
    scene.hint = "nothing of it is on the system; run the task again"
    scene.run(TRANSFER, direction="push", src=scene.file("pushed.plb"))
    assert "PUT commit" not in scene.odd.asked


def _took_something_else(request: BaseHTTPRequestHandler) -> None:
    size = int(request.headers["Content-Length"])
    request.rfile.read(size)
    document({"size": size, "sha256": SHA256}, 201)(request)
