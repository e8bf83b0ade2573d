# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Systems that are reached directly, or not."""

from __future__ import annotations

from runner import DIRECT
from scene import BACKUP, INFO, Facts, Scene, case

WRONG = "wrong-Pa55word-of-the-test"


@case("SYSTEM_REFUSES", DIRECT)
def no_such_system(scene: Scene) -> Facts:
    scene.run(INFO, host="edge-unknown")
    return {"said": " (nothing answers at 'edge-unknown')"}


@case("SYSTEM_UNREACHABLE", DIRECT)
def no_answer_to_a_login(scene: Scene) -> Facts:
    scene.quirks(outage=600, outage_kind="timeout")
    scene.begin_outage()
    scene.run(INFO)
    return {"said": " (the system does not answer)"}


@case("SYSTEM_NOT_ANSWERING", DIRECT)
def login_that_hangs(scene: Scene) -> Facts:
    scene.fault("connect", "wait")
    scene.run(INFO, connect_timeout=0.5)
    return {"seconds": 0.5}


@case("SYSTEM_LOGIN", DIRECT)
def wrong_password(scene: Scene) -> Facts:
    scene.secrets.append(WRONG)
    scene.run(INFO, password=WRONG)
    return {"user": scene.lab.username}


@case("SYSTEM_LOGIN_FAILED", DIRECT)
def system_refuses_everybody(scene: Scene) -> Facts:
    scene.fault("connect", "refuse")
    scene.run(INFO)
    return {"exception": "PLDBError", "said": " (the system can't do connect now)"}


@case("SYSTEM_LOST", DIRECT)
def lost_while_listing(scene: Scene) -> Facts:
    scene.fault("list", "lose")
    scene.run(INFO)
    return {"said": " (the connection was lost)"}


@case("SYSTEM_LOST_UNKNOWN", DIRECT)
def lost_while_creating(scene: Scene) -> Facts:
    scene.fault("create_new", "lose")
    scene.run(BACKUP, name="new.plb")
    return {"said": " (the connection was lost)"}


@case("SYSTEM_LATE", DIRECT)
def listing_that_hangs(scene: Scene) -> Facts:
    scene.fault("list", "wait")
    scene.run(INFO, read_timeout=0.5)
    return {"seconds": 0.5, "option": "read_timeout"}


@case("SYSTEM_LATE_UNKNOWN", DIRECT)
def create_that_hangs(scene: Scene) -> Facts:
    scene.fault("create_new", "wait")
    scene.run(BACKUP, name="new.plb", wait_timeout=0.5)
    return {"seconds": 0.5, "option": "wait_timeout"}


@case("SYSTEM_HANGS", DIRECT)
def everything_hangs_after_a_restore(scene: Scene) -> None:
    scene.make("wanted.plb")
    scene.odd_sdk("Hanging")
    scene.may_change = True
    scene.hint = "look at the system; the configuration from before is in the safety backup .*"
    options = {"connect_timeout": 0.5, "read_timeout": 0.5, "settle_after_restore": 0}
    scene.run(BACKUP, state="restored", name="wanted.plb", force=True, **options)
    assert len(scene.listed()) == 2


@case("SYSTEM_STALE", DIRECT)
def somebody_commits_all_the_time(scene: Scene) -> Facts:
    scene.fault("create_new", "stale")
    scene.run(BACKUP, name="new.plb")
    return {"said": " (another session committed to the resource Backup)"}


@case("SYSTEM_ERROR", DIRECT)
def user_who_may_only_read(scene: Scene) -> Facts:
    scene.reader()
    scene.run(BACKUP, name="new.plb", username="reader")
    return {"exception": "PLDBError"}


@case("SDK_FAILED", DIRECT)
def exception_that_nobody_documented(scene: Scene) -> Facts:
    scene.odd_sdk("Failing")
    scene.run(INFO)
    return {"module": "odd_sdk", "exception": "KeyError", "said": " ('nobody documented this')"}
