# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A transfer killed with ``kill -9`` leaves the old file or the complete new one, and the next run completes it."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.proxy import DOWNLOAD, Fault
from tests.faults.scene import NAME, OLD, PUSHED, WANTED, Naive, Outcome, Scene, digest, names
from tests.harness.login import DIRECT, GATEWAY, WAYS

RANDOM_KILLS = int(os.environ.get("RANDOM_KILLS", "1"))
"""Number of random moments at which each transfer is killed."""

NEW = "new.plb"
FETCH_POINTS = [
    "_module._fetch:make_folders:after:0",
    "_client:Client.download:before:0",
    "_client:Client.download:after:0",
    "_files._placing:Part.finish:before:0",
    "_files._placing:Part.place:before:0",
    "_files._placing:Part._move:before:0",
    "_files._placing:Part._move:after:0",
    "_files._placing:Part._move:after:1",
    "_files._placing:Part._move:after:2",
    "_files._placing:Part.place:after:0",
]
PUSH_POINTS = [
    "_client:Client.upload:before:0",
    "_client:Client.upload:after:0",
    "_client:Client.digest:before:0",
    "_client:Client.digest:after:0",
]
GATEWAY_FETCH_POINTS = [
    "_transport._gateway:GatewayTransport._finish:after:0",
    "_transport._content:Content._pieces:before:0",
    "_transport._content:Content.receive:after:0",
]
GATEWAY_PUSH_POINTS = [
    "_transport._gateway:GatewayTransport._await:after:0",
    "_transport._content:Content.send:after:0",
    "_transport._gateway:GatewayTransport._commit:before:0",
    "_transport._gateway:GatewayTransport._commit:after:0",
]


def fetch_options(scene: Scene, way: str) -> dict[str, Any]:
    return scene.options(way, direction="fetch", name=NAME, dest=f"{scene.dest}/")


def push_options(scene: Scene, way: str) -> dict[str, Any]:
    return scene.options(way, direction="push", src=str(scene.src), name=NEW)


def require_killed(outcome: Outcome) -> None:
    assert outcome.code == -signal.SIGKILL, f"the point was not reached: {outcome.output}"


def require_whole_file(scene: Scene) -> None:
    """After a kill: an intact file, old or new, beside it only side files and at most one temporary folder."""
    assert (scene.dest / NAME).read_bytes() in (OLD, WANTED)
    temporary = [name for name in names(scene.dest) if name.endswith(".part")]
    assert len(temporary) <= 1
    assert all((scene.dest / name).stat().st_mode & 0o077 == 0 for name in temporary)
    assert set(names(scene.dest)) - set(temporary) <= {NAME, "note", f"{NAME}.json", f"{NAME}.sha256"}


def fetch_again(scene: Scene, way: str) -> None:
    for action in ({"fetched", "unchanged"}, {"unchanged"}):
        outcome = scene.run(fetch_options(scene, way))
        assert outcome.code == 0, outcome.output
        assert outcome.result["action"] in action
        scene.require_new()


def push_again(scene: Scene, way: str) -> None:
    """The next run completes the push; until then the gateway may still be busy with the killed one."""
    deadline = time.monotonic() + 15
    while (outcome := scene.run(push_options(scene, way))).code and time.monotonic() < deadline:
        assert outcome.kind == "conflict", outcome.output
    assert outcome.code == 0, outcome.output
    assert scene.listed() == {NAME: digest(WANTED), NEW: digest(PUSHED)}


def ways_and_points(common: list[str], gateway: list[str]) -> list[object]:
    """All points on both ways; on the direct way most of them only with FAULTS=full."""
    return [
        *(pytest.param(GATEWAY, point) for point in common + gateway),
        *(
            pytest.param(DIRECT, point, marks=[pytest.mark.full] if index % 3 else [])
            for index, point in enumerate(common)
        ),
    ]


@pytest.mark.parametrize(("way", "point"), ways_and_points(FETCH_POINTS, GATEWAY_FETCH_POINTS))
def test_a_fetch_that_is_killed_at_a_named_point(scene: Scene, way: str, point: str) -> None:
    require_killed(scene.run(fetch_options(scene, way), point))
    require_whole_file(scene)
    fetch_again(scene, way)


@pytest.mark.parametrize(("way", "point"), ways_and_points(PUSH_POINTS, GATEWAY_PUSH_POINTS))
def test_a_push_that_is_killed_at_a_named_point(scene: Scene, way: str, point: str) -> None:
    require_killed(scene.run(push_options(scene, way), point))
    assert scene.listed().get(NEW, digest(PUSHED)) == digest(PUSHED)
    push_again(scene, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ends", ["before", "after"])
def test_a_replaced_backup_is_kept_by_a_push_that_is_killed(scene: Scene, way: str, ends: str) -> None:
    options = push_options(scene, way) | {"name": NAME, "force": True}
    require_killed(scene.run(options, f"_client:Client.upload:{ends}:0"))
    assert scene.kept() == [WANTED]
    assert scene.listed() == {NAME: digest(WANTED if ends == "before" else PUSHED)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("direction", ["fetch", "push"])
@pytest.mark.parametrize("seed", range(RANDOM_KILLS))
def test_a_transfer_that_is_killed_at_a_random_moment(scene: Scene, way: str, direction: str, seed: int) -> None:
    options = fetch_options if direction == "fetch" else push_options
    process = scene.start(options(scene, way))
    time.sleep(random.Random(f"{seed} {way} {direction}").uniform(0.2, 1.2))  # noqa: S311 - not for security
    process.kill()
    process.communicate(timeout=30)
    require_whole_file(scene)
    assert scene.listed().get(NEW, digest(PUSHED)) == digest(PUSHED)
    if direction == "fetch":
        fetch_again(scene, way)
    else:
        push_again(scene, way)


def test_a_fetch_that_is_killed_in_the_middle_of_the_content(scene: Scene) -> None:
    with scene.proxy([Fault("stall", DOWNLOAD, at=1_000_000)]) as proxy:
        scene.url = proxy.url
        process = scene.start(fetch_options(scene, GATEWAY) | {"read_timeout": 30})
        deadline = time.monotonic() + 20
        while not parts_with_content(scene.dest) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert parts_with_content(scene.dest), "nothing had arrived"
        process.kill()
        process.communicate(timeout=30)
        require_whole_file(scene)
        assert (scene.dest / NAME).read_bytes() == OLD
        fetch_again(scene, GATEWAY)


def parts_with_content(folder: Path) -> list[Path]:
    return [each for each in folder.glob(".*.part/content") if each.stat().st_size]


def test_a_client_that_writes_in_place_has_half_a_file_when_it_is_killed(scene: Scene) -> None:
    target = scene.dest / NAME
    with scene.proxy([Fault("stall", DOWNLOAD, at=1_000_000)]) as proxy:
        scene.url = proxy.url
        with Naive(scene) as naive, naive.start_curl(target) as process:
            deadline = time.monotonic() + 20
            while not 0 < target.stat().st_size < len(OLD) and time.monotonic() < deadline:
                time.sleep(0.05)
            process.kill()
    assert target.read_bytes() not in (OLD, WANTED)
