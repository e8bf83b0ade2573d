# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reaching systems directly, or failing to."""

from __future__ import annotations

from tests.errors.scene import BACKUP, INFO, Facts, Scene, case
from tests.harness.login import DIRECT
from tests.harness.systems import log_in

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
    return {"user": scene.lab.username, "said": " (authorization of user 'admin' failed)"}


@case("SYSTEM_LOGIN", DIRECT)
def login_that_can_not_be_made(scene: Scene) -> Facts:
    scene.quirks(connect="io_error")
    scene.run(INFO)
    return {"user": scene.lab.username, "said": " (the connection can't be established)"}


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


@case("SYSTEM_LOCKED", DIRECT)
def resource_that_another_session_has_locked(scene: Scene) -> Facts:
    scene.quirks(lock="until_commit")
    with log_in(scene.lab, scene.system) as connection:
        connection.backup().create_new("other.plb")
        scene.run(BACKUP, name="new.plb")
    return {"exception": "PLDBError", "said": " (the resource Backup is locked by another session)"}


@case("SYSTEM_COMMIT_UNKNOWN", DIRECT)
def commit_that_is_lost(scene: Scene) -> Facts:
    scene.quirks(offers_commit=True, visible="after_commit", faults=[{"command": "commit", "does": "lose"}])
    scene.run(BACKUP, name="new.plb")
    return {"what": "its commit failed with PLDBIOError (the connection was lost)"}


@case("SDK_FAILED", DIRECT)
def exception_that_nobody_documented(scene: Scene) -> Facts:
    scene.trick("list", "KeyError")
    scene.run(INFO)
    return {"module": "odd_sdk", "flaw": "failed with KeyError ('nobody documented this')"}


@case("SDK_FAILED_UNKNOWN", DIRECT)
def crash_while_creating(scene: Scene) -> Facts:
    scene.trick("create_new", "crash")
    scene.run(BACKUP, name="new.plb")
    return {"module": "odd_sdk", "flaw": "ended its process by signal SIGSEGV"}


@case("LOCAL_FAILED", DIRECT)
def no_more_open_files(scene: Scene) -> Facts:
    scene.trick("list", "EMFILE")
    scene.run(INFO)
    return {"module": "odd_sdk", "why": "Too many open files"}


@case("LOCAL_FAILED_UNKNOWN", DIRECT)
def full_disk_while_creating(scene: Scene) -> Facts:
    scene.trick("create_new", "ENOSPC")
    scene.run(BACKUP, name="new.plb")
    return {"module": "odd_sdk", "why": "No space left on device"}
