# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores that do not start, whose outcome is unknown, or that restored something else."""

from __future__ import annotations

import re
from typing import Any

from tests.errors.scene import BACKUP, Facts, Scene, case
from tests.harness.login import DIRECT, GATEWAY
from tests.harness.observer import restores_on
from tests.harness.systems import change_configuration

WANTED = "wanted.plb"
SAFETY = r"; the configuration from before is in the safety backup (pre-restore-\S+), bring it back with: .*name=\1 .*"


def restore(scene: Scene, hint: str, **options: Any) -> None:
    """Restore on a system whose configuration has changed; the safety backup remains and the hint names it."""
    scene.may_change = True
    scene.hint = hint + SAFETY
    scene.make(WANTED)
    change_configuration(scene.lab, scene.system, "Ruleset", "marker", "changed")
    scene.run(BACKUP, state="restored", name=WANTED, settle_after_restore=0, **options)
    safety = [name for name in scene.listed() if name.startswith("pre-restore-")]
    assert len(safety) == 1
    assert scene.outcome is not None
    assert scene.outcome.result["changed"] is True
    assert safety[0] in scene.outcome.result["msg"]


@case("SOMEBODY_ELSE", DIRECT)
def backup_of_somebody_else(scene: Scene) -> Facts:
    scene.make(WANTED)
    scene.odd_sdk("Crowded")
    scene.may_change = True
    change_configuration(scene.lab, scene.system, "Ruleset", "marker", "changed")
    scene.run(BACKUP, state="restored", name=WANTED)
    assert restores_on(scene.lab, scene.system) == 0
    assert set(scene.listed()) == {WANTED, "taken.plb"}, "the safety backup was left"
    return {"what": "the backup 'taken.plb' appeared meanwhile"}


@case("NOT_READY")
def system_that_stays_away(scene: Scene) -> Facts:
    scene.quirks(restart_after=0.1, outage=600)
    restore(scene, "look at the system, or set wait_timeout higher; .* another address", wait_timeout=3)
    return {"seconds": 3}


@case("NOT_READY_LOGIN")
def restored_password(scene: Scene) -> Facts:
    scene.quirks(restart_after=0, restored_password="another-Pa55word-of-the-test")  # noqa: S106 - of a test
    hint = (
        "it may not be up yet, or the restored configuration may have another password, other hosts that the user may"
    )
    restore(scene, f"{hint} log in from, or another address", wait_timeout=3)
    assert restores_on(scene.lab, scene.system) == 1
    return {"seconds": 3}


@case("RESTORE_UNKNOWN")
def call_that_was_lost(scene: Scene) -> Facts:
    scene.quirks(faults=[{"command": "restore", "does": "lose", "times": 1}])
    restore(scene, "look at the system's backups before you run the task again")
    assert restores_on(scene.lab, scene.system) == 0
    return {"reason": re.compile("not verified: .*")}


@case("NOT_RESTORED")
def system_that_restores_something_else(scene: Scene) -> Facts:
    scene.quirks(restores_otherwise=True)
    restore(scene, "compare the backups")
    assert scene.outcome is not None
    assert scene.outcome.result["verified"] is False
    return {"reason": re.compile("two fresh backups are equal, and differ from it: .*")}


@case("COMPARE_LATE")
def slow_downloads(scene: Scene) -> Facts:
    scene.make(WANTED)
    scene.quirks(faults=[{"command": "download", "does": "wait", "seconds": 0.8}])
    scene.may_change = True
    scene.hint = "set transfer_timeout higher, or force to restore without a comparison"
    scene.run(BACKUP, state="restored", name=WANTED, verify="size", transfer_timeout=1.5)
    assert restores_on(scene.lab, scene.system) == 0
    assert set(scene.listed()) == {WANTED}, "the safety backup was left"
    return {"seconds": 1.5}


@case("LOCAL_FAILED", DIRECT)
def no_more_open_files_where_the_module_runs(scene: Scene) -> Facts:
    scene.wrapper = ["prlimit", "--nofile=5"]
    scene.run(BACKUP, always=True)
    return {"module": "activelogic_embedded", "why": "Too many open files"}


@case("LOCAL_EXHAUSTED", GATEWAY)
def no_network_where_the_module_runs(scene: Scene) -> Facts:
    scene.wrapper = ["unshare", "-n"]
    scene.run(BACKUP, always=True)
    return {"why": "Network is unreachable"}
