# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several faults at once, drawn by a seed: whatever the run reports, every file and every backup is intact."""

from __future__ import annotations

import os
import random

import pytest

from tests.faults.proxy import (
    ANSWERS,
    COMMIT,
    DOWNLOAD,
    LISTING,
    OPERATION,
    POLL,
    REPLACEMENTS,
    REQUESTS,
    UPLOAD,
    Fault,
)
from tests.faults.scene import NAME, PUSHED, SIZE, SLACK, WANTED, Scene, digest

SEEDS = int(os.environ.get("FAULT_SEEDS", "3"))
SECONDS = 45.0
"""Upper bound of a run, if each request uses up its retries."""


def drawn(direction: str, seed: int) -> list[Fault]:
    """One to three faults, the same for the same seed."""
    dice = random.Random(f"{direction} {seed}")  # noqa: S311 - not for security
    content = DOWNLOAD if direction == "fetch" else UPLOAD
    faults = []
    for _number in range(dice.randint(1, 3)):
        route = dice.choice([content, content, content, LISTING, OPERATION, POLL, COMMIT])
        kinds = [*ANSWERS, *REPLACEMENTS, *(REQUESTS if route == UPLOAD else ())]
        faults.append(
            Fault(
                dice.choice(kinds),
                route,
                at=dice.choice([0, 10, dice.randrange(SIZE)]),
                times=dice.choice([1, 1, 2, None]),
                after=dice.choice([0, 0, 1]),
                status=dice.choice([429, 500, 502, 503]),
                retry_after=dice.choice([None, 0, 1, 3600]),
            )
        )
    return faults


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_fetch(scene: Scene, seed: int) -> None:
    with scene.proxy(drawn("fetch", seed)) as proxy:
        scene.url = proxy.url
        outcome = scene.fetch()
    assert outcome.seconds < SECONDS + SLACK
    if outcome.code == 0:
        scene.require_new()
    else:
        assert outcome.message
        scene.require_old()
    assert scene.listed() == {NAME: digest(WANTED)}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_push(scene: Scene, seed: int) -> None:
    with scene.proxy(drawn("push", seed)) as proxy:
        scene.url = proxy.url
        outcome = scene.push()
    assert outcome.seconds < SECONDS + SLACK
    there = scene.listed()
    assert there.pop(NAME) == digest(WANTED)
    if outcome.code == 0:
        assert there == {"new.plb": digest(PUSHED)}
    elif there:  # a backup that may exist must be reported
        assert there == {"new.plb": digest(PUSHED)}
        assert outcome.kind == "outcome_unknown" or "check the backup" in outcome.message, outcome.message
