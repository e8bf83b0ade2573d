# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway's error answers. The odd gateway gives them where the real one can't be made to on demand."""

from __future__ import annotations

import re

import requests

from tests.errors.odd_gateway import failed, plain, problem
from tests.errors.scene import BACKUP, INFO, ODD_GATEWAY, TRANSFER, Facts, Scene, case
from tests.harness.lab import Lab
from tests.harness.login import GATEWAY

WRONG = "wrong-Pa55word-of-the-test"
SAID = "something that the gateway says"


def refused(scene: Scene, kind: str) -> Facts:
    """A create that the gateway refuses."""
    scene.odd.answers["PUT operation"] = problem(kind, SAID)
    scene.odd.answers["GET operation"] = problem("unknown_operation", "there is no such operation")
    scene.run(BACKUP, name="new.plb")
    return {"said": SAID}


def ended(scene: Scene, kind: str) -> Facts:
    """A create that the gateway accepts, and that fails there."""
    scene.odd.answers["GET operation"] = failed(kind, SAID)
    scene.run(BACKUP, name="new.plb")
    return {"said": SAID}


@case("PROBLEM_LOGIN", GATEWAY)
def wrong_password(scene: Scene) -> Facts:
    scene.secrets.append(WRONG)
    scene.run(INFO, password=WRONG)
    return {"said": re.compile(r".*refused the login.*")}


@case("PROBLEM_LOGIN", GATEWAY)
def system_that_a_stranger_asks_for(scene: Scene) -> Facts:
    scene.run(INFO, host="edge-unknown", username="nobody")
    return {"said": re.compile("it refused the login, .*, or the gateway has no system of this name")}


@case("PROBLEM_LOGIN", ODD_GATEWAY)
def refused_by_something_before_the_gateway(scene: Scene) -> Facts:
    scene.odd.answers["GET system"] = plain(b"<html>Unauthorized</html>", 401)
    scene.run(INFO)
    return {"said": "the gateway refused the login"}


@case("PROBLEM_LOGINS", GATEWAY)
def too_many_wrong_passwords(scene: Scene) -> Facts:
    scene.secrets.append(WRONG)
    with Lab(scene.folder / "lab", [scene.system]) as own:  # the shared gateway would count these logins too
        for _number in range(6):
            url = f"{own.url}/v1/systems/{scene.system}/backups"
            requests.get(url, auth=(own.username, WRONG), verify=str(own.ca_path), timeout=20)
        scene.run(INFO, password=WRONG, gateway_url=own.url, ca_path=str(own.ca_path))
    said = "client address 127.0.0.1 has reached the limit of 5 refused logins a minute for user admin at this system; "
    return {"said": re.compile(said + "until [0-9:]{8} UTC no login of this user there is tried from this address")}


@case("PROBLEM_SYSTEM", GATEWAY)
def system_that_the_gateway_does_not_know(scene: Scene) -> Facts:
    lab = scene.lab  # only users who have logged in before learn which systems exist
    url = f"{lab.url}/v1/systems/{scene.system}"
    requests.get(url, auth=(lab.username, lab.password), verify=str(lab.ca_path), timeout=20)
    scene.run(INFO, host="edge-unknown")
    return {"said": "the gateway has no system 'edge-unknown'"}


@case("PROBLEM_BACKUP", ODD_GATEWAY)
def backup_that_vanished(scene: Scene) -> Facts:
    return ended(scene, "unknown_backup")


@case("PROBLEM_OPERATION", ODD_GATEWAY)
def content_that_is_gone(scene: Scene) -> Facts:
    scene.odd.answers["GET content"] = problem("content_gone", SAID)
    scene.run(TRANSFER, direction="fetch", name="there.plb", dest=str(scene.archive))
    return {"said": SAID}


@case("PROBLEM_REQUEST", ODD_GATEWAY)
def request_of_another_version(scene: Scene) -> Facts:
    return refused(scene, "invalid_request")


@case("PROBLEM_NAME", ODD_GATEWAY)
def name_that_the_gateway_refuses(scene: Scene) -> Facts:
    return refused(scene, "name_not_legal")


@case("PROBLEM_EMPTY", ODD_GATEWAY)
def nothing_to_upload(scene: Scene) -> Facts:
    return refused(scene, "empty_content")


@case("PROBLEM_CONFLICT", ODD_GATEWAY)
def operation_deleted_by_somebody(scene: Scene) -> Facts:
    return ended(scene, "cancelled")


@case("PROBLEM_TAKEN", ODD_GATEWAY)
def name_taken_meanwhile(scene: Scene) -> Facts:
    return ended(scene, "backup_exists")


@case("PROBLEM_MACHINE", ODD_GATEWAY)
def machine_changed_meanwhile(scene: Scene) -> Facts:
    return ended(scene, "wrong_machine")


@case("PROBLEM_STALE", GATEWAY)
def somebody_commits_all_the_time(scene: Scene) -> Facts:
    scene.fault("create_new", "stale")
    scene.run(BACKUP, name="new.plb")
    return {"said": re.compile(r".*PLDBNewDataCommitted.*another session committed.*")}


@case("PROBLEM_LATER", ODD_GATEWAY)
def gateway_is_busy(scene: Scene) -> Facts:
    scene.odd.answers["GET operation"] = problem("unknown_operation", "there is no such operation")
    return refused(scene, "too_busy")


@case("PROBLEM_UNREACHABLE", GATEWAY)
def system_is_down(scene: Scene) -> Facts:
    scene.quirks(restart_after=0, outage=600)
    scene.begin_outage()
    scene.run(INFO)
    return {"said": re.compile(r"ConnectionRefusedError: .*")}


@case("PROBLEM_TIME", ODD_GATEWAY)
def system_too_slow_for_the_gateway(scene: Scene) -> Facts:
    return ended(scene, "time_limit")


@case("PROBLEM_TRANSFER", GATEWAY)
def download_that_breaks_off(scene: Scene) -> Facts:
    scene.make("there.plb")
    scene.fault("download", "cut", when="during", at=10)
    scene.run(TRANSFER, direction="fetch", name="there.plb", dest=str(scene.archive))
    return {"said": re.compile(r"there.plb: 10 bytes arrived, the system listed .*")}


@case("PROBLEM_ROOM", ODD_GATEWAY)
def disk_of_the_gateway_is_full(scene: Scene) -> Facts:
    return refused(scene, "spool_full")


@case("PROBLEM_REFUSED", GATEWAY)
def no_such_resource(scene: Scene) -> Facts:
    scene.run(BACKUP, name="new.plb", resource_name="No Such Resource")
    return {"said": re.compile(r"PLDBError: .*No Such Resource.*")}


@case("PROBLEM_REFUSED", GATEWAY)
def user_who_may_only_read(scene: Scene) -> Facts:
    scene.reader()
    scene.run(BACKUP, name="new.plb", username="reader")
    return {"said": re.compile(r"PLDBError: .*privilege.*")}


@case("PROBLEM_DEFECT", ODD_GATEWAY)
def defect_of_the_gateway(scene: Scene) -> Facts:
    return ended(scene, "internal_error")
