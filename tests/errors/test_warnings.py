# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Warnings of tasks that succeed, and the amount of data that they return."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.errors.cases.backups import name_of
from tests.errors.conftest import OWN_SIDE
from tests.errors.scene import BACKUP, INFO, TRANSFER, Scene
from tests.harness.lab import Lab
from tests.harness.login import DIRECT

AHEAD = name_of(-timedelta(hours=2))  # far enough to stay in the future until the last test has run
NEAR = name_of(-timedelta(minutes=2))
FRESH = name_of(timedelta(minutes=30))
OLD = name_of(timedelta(days=10))
MANY = 8000


@pytest.fixture(scope="session")
def next_system() -> Iterator[str]:
    """Names of systems that no case uses, round-robin."""
    return itertools.cycle(OWN_SIDE)


@pytest.fixture
def scene(lab: Lab, tmp_path: Path, next_system: Iterator[str]) -> Scene:
    """A system without backups."""
    made = Scene(lab, next(next_system), DIRECT, tmp_path)
    made.quirks()
    for each in made.backups.iterdir():
        each.unlink()
    return made


def succeed(scene: Scene, module: str, **options: Any) -> tuple[dict[str, Any], str]:
    """Run a module; returns its result and all its warnings."""
    scene.run(module, **options)
    assert scene.outcome is not None
    assert scene.outcome.code == 0, scene.outcome.output
    result = scene.outcome.result
    return result, str(result.get("warnings", ""))


@pytest.mark.parametrize("reused", [FRESH, None], ids=["fresh", "none"])
@pytest.mark.parametrize("check", [True, False])
def test_an_age_beside_a_date_ahead_is_a_warning(scene: Scene, reused: str | None, check: bool) -> None:
    for name in (AHEAD, reused or OLD):
        scene.make(name)
    result, warnings = succeed(scene, BACKUP, max_age="2h", _ansible_check_mode=check)
    assert (result["action"], result["backup"]["name"] == reused) == ("reused" if reused else "created", bool(reused))
    assert AHEAD in warnings
    assert [each["name"] for each in result["passed_over"]] == [AHEAD]


@pytest.mark.parametrize(
    "name",
    [NEAR, f"pre-restore-{AHEAD}", f"{AHEAD[:-4]}-only-ruleset.plb", f"other-{AHEAD}"],
    ids=["near", "safety", "partial", "other prefix"],
)
def test_a_date_ahead_that_does_not_matter_is_none(scene: Scene, name: str) -> None:
    prefix = "" if name == NEAR else "nightly-"
    for each in (f"{prefix}{FRESH}", name):
        scene.make(each)
    result, warnings = succeed(scene, BACKUP, max_age="2h", prefix=prefix)
    assert (result["action"], warnings, result["passed_over"]) == ("reused", "", [])
    fetched, warnings = succeed(
        scene, TRANSFER, direction="fetch", latest=True, prefix=prefix, dest=f"{scene.archive}/"
    )
    assert (fetched["backup"]["name"], warnings) == (NEAR if name == NEAR else f"nightly-{FRESH}", "")


@pytest.mark.parametrize("options", [{}, {"max_age": "2h"}, {"newer_than": "1d"}, {"name": AHEAD}])
def test_the_latest_beside_a_date_ahead_is_a_warning(scene: Scene, options: dict[str, Any]) -> None:
    for name in (AHEAD, FRESH):
        scene.make(name)
    result, warnings = succeed(scene, INFO, **options)
    assert AHEAD in warnings
    assert [each["name"] for each in result["passed_over"]] == [AHEAD]
    assert (result["latest"] or {}).get("name") != AHEAD


def test_a_name_that_was_there_is_a_warning_only_where_nothing_tells_its_age(scene: Scene) -> None:
    first, warnings = succeed(scene, BACKUP, name="before-upgrade.plb")
    assert (first["action"], warnings) == ("created", "")
    second, warnings = succeed(scene, BACKUP, name="before-upgrade.plb")
    assert (second["action"], second["changed"]) == ("reused", False)
    assert "age is not known" in second["reason"]
    assert "max_age" in warnings
    dated, warnings = succeed(scene, BACKUP, always=True)
    again, warnings = succeed(scene, BACKUP, name=dated["backup"]["name"])
    assert (again["action"], warnings) == ("reused", "")


def test_two_whole_listings_are_returned_only_where_they_are_asked_for(scene: Scene) -> None:
    content = scene.make(FRESH)
    for number in range(MANY):
        scene.place(f"{number:05}-by-hand.plb", content)
    options: dict[str, Any] = {"max_age": "2h", "verify": "size"}
    result, _warnings = succeed(scene, BACKUP, **options)
    assert scene.outcome is not None
    assert "diff" not in result
    assert len(scene.outcome.output) < 20_000
    result, _warnings = succeed(scene, BACKUP, **options, _ansible_diff=True)
    assert len(result["diff"]["after"]["backups"]) == MANY + 1


def test_a_message_lists_few_of_many_backups(scene: Scene) -> None:
    for number in range(50):
        scene.place(f"{number:05}-by-hand.plb", b"content")
    scene.run(BACKUP, state="restored", name="missing.plb")
    assert scene.outcome is not None
    assert "00009-by-hand.plb and 40 more" in scene.outcome.result["msg"]
    assert "00010-by-hand.plb" not in scene.outcome.result["msg"]
