# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Operations and contents at a gateway that end otherwise than they should."""

from __future__ import annotations

import re
import time
from http.server import BaseHTTPRequestHandler

from odd_gateway import CONTENT, SHA256, content, document, hang_up, problem, state
from runner import GATEWAY
from scene import BACKUP, ODD_GATEWAY, TRANSFER, Facts, Scene, case


def fetch(scene: Scene, **options: object) -> None:
    """Fetch the one backup of the odd gateway."""
    scene.run(TRANSFER, direction="fetch", name="there.plb", dest=str(scene.archive), **options)


@case("GATEWAY_ANSWER_WRONG", ODD_GATEWAY)
def success_without_a_result(scene: Scene) -> Facts:
    scene.odd.answers["GET operation"] = state("succeeded")
    scene.run(BACKUP, name="new.plb")
    return {"flaw": "has no result"}


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
    return {"seconds": 1, "done": 1, "size": len(CONTENT)}


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
