# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands that reach the gateway while every answer is lost: none may be reported as not executed."""

from __future__ import annotations

import time

from tests.faults.proxy import OPERATION, POLL, Fault
from tests.faults.scene import CLOCKS, Scene, names

TRIES = 1 + CLOCKS["retries"]
GIVE_UP = r"DELETE .*/operations/[0-9a-f-]+"
SILENCE = (
    Fault("lose", OPERATION, times=TRIES),
    Fault("lose", POLL, times=TRIES),
    Fault("lose", GIVE_UP),
)
"""Loses all answers to one command and to the polls for its state."""

BY_SIZE = {"verify": "size"}


def _safety_backups(scene: Scene) -> list[str]:
    return [name for name in names(scene.backups) if name.startswith("pre-restore-")]


def _until_made(scene: Scene, name: str) -> bool:
    """Whether a backup appears within a minute."""
    end = time.monotonic() + 60
    while not (scene.backups / name).exists() and time.monotonic() < end:
        time.sleep(0.1)
    return (scene.backups / name).exists()


def test_a_restore_that_ran_is_seen_to_have_run(scene: Scene) -> None:
    with scene.log_in() as connection:
        connection.backup().create_new("before.plb")
    from_safety = Fault("lose", OPERATION, after=1, times=TRIES)  # the first operation creates the safety backup
    with scene.proxy([from_safety, Fault("lose", POLL, after=1, times=TRIES), SILENCE[2]]) as proxy:
        scene.url = proxy.url
        outcome = scene.command(state="restored", name="before.plb", force=True, settle_after_restore=0.5, **BY_SIZE)
    assert (outcome.code, outcome.result.get("verified")) == (0, True), outcome.output
    assert _safety_backups(scene) == [outcome.result["safety_backup"]["name"]]


def test_a_restore_of_which_nothing_is_known_keeps_the_safety_backup(scene: Scene) -> None:
    with scene.log_in() as connection:
        connection.backup().create_new("before.plb")
    faults = [Fault("lose", OPERATION, after=1, times=None), Fault("lose", POLL, after=1, times=None), SILENCE[2]]
    with scene.proxy(faults) as proxy:
        scene.url = proxy.url
        outcome = scene.command(state="restored", name="before.plb", force=True, settle_after_restore=0.5, **BY_SIZE)
    assert (outcome.kind, outcome.result["changed"]) == ("outcome_unknown", True), outcome.output
    (safety,) = _safety_backups(scene)
    assert safety in outcome.message


def test_a_create_that_runs_is_found(scene: Scene) -> None:
    with scene.proxy(SILENCE) as proxy:
        scene.url = proxy.url
        outcome = scene.command(name="new.plb", **BY_SIZE)
    assert _until_made(scene, "new.plb")
    assert outcome.kind in ("", "outcome_unknown"), outcome.output
    assert outcome.result["changed"] is (outcome.code == 0)


def test_a_removal_that_runs_is_seen(scene: Scene) -> None:
    with scene.proxy(SILENCE) as proxy:
        scene.url = proxy.url
        outcome = scene.command(state="absent", name="wanted.plb")
    assert (outcome.code, outcome.result.get("action")) == (0, "removed"), outcome.output
    assert names(scene.backups) == []
