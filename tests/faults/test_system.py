# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults between the system and its client, the gateway or the module: data cut, flipped, or lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.faults.scene import EDGE, NAME, OLD, PUSHED, SLACK, WANTED, Outcome, Scene, digest
from tests.harness.login import WAYS
from tests.harness.systems import set_quirks

FAR = 1_000_000
NEW = "new.plb"
TROUBLES = ("cut", "flip", "lose")


def trouble(scene: Scene, command: str, does: str, times: int | None = None) -> None:
    """Make the system inject a fault in the middle of a transfer."""
    fault: dict[str, Any] = {"command": command, "does": does, "when": "during", "at": FAR, "times": times}
    set_quirks(scene.lab, EDGE, faults=[fault])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("does", TROUBLES)
def test_a_fetch_of_something_else_leaves_the_old_file(scene: Scene, way: str, does: str) -> None:
    trouble(scene, "download", does)
    outcome = scene.fetch(way, checksum=f"sha256:{digest(WANTED)}")
    assert outcome.code == 1, outcome.output
    says = {"cut": str(FAR), "flip": "checksum", "lose": "lost"}[does]
    assert says in outcome.message, outcome.message
    assert outcome.seconds < 6 + SLACK
    scene.require_old()


@pytest.mark.parametrize("way", WAYS)
def test_half_a_backup_that_is_listed_like_a_whole_one_is_not_fetched(scene: Scene, way: str) -> None:
    (scene.backups / NAME).unlink()
    set_quirks(scene.lab, EDGE, complete_after=-1, incomplete_size="short")
    with scene.log_in() as connection:
        connection.backup().create_new(NAME)
    try:
        outcome = scene.fetch(way)
        assert (outcome.code, outcome.kind) == (1, "incomplete"), outcome.output
        scene.require_old()
        assert scene.fetch(way, verify="size").code == 0
        outcome = scene.fetch(way)  # the half that is there now is not accepted
        assert (outcome.code, outcome.kind) == (1, "incomplete"), outcome.output
    finally:
        with scene.log_in() as connection:
            connection.backup().remove(NAME)  # otherwise the next backup of this name would be half too


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("does", ["cut", "lose"])
def test_a_fetch_that_failed_once_is_repeated(scene: Scene, way: str, does: str) -> None:
    trouble(scene, "download", does, times=1)
    outcome = scene.fetch(way)
    assert outcome.code == 0, outcome.output
    scene.require_new()


@contextmanager
def growing(scene: Scene, begins: Callable[[], Any]) -> Iterator[None]:
    """Keep appending to the backup, once ``begins`` returns something true."""
    ended = threading.Event()

    def grow() -> None:
        with (scene.backups / NAME).open("ab", buffering=0) as file:
            while not ended.wait(0.0005):
                if begins():
                    file.write(b"more")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


@pytest.mark.parametrize("way", WAYS)
def test_a_backup_that_is_still_being_written_is_refused(scene: Scene, way: str) -> None:
    with growing(scene, lambda: True):
        outcome = scene.fetch(way)
    require_refused(scene, outcome)


def test_a_backup_that_grows_after_the_gateway_has_read_it_is_refused(scene: Scene) -> None:
    def bytes_arrive() -> bool:
        with suppress(FileNotFoundError):
            return any(each.stat().st_size for each in scene.dest.glob(".*.part/content"))
        return False

    with growing(scene, bytes_arrive):
        outcome = scene.fetch()
    require_refused(scene, outcome)


def require_refused(scene: Scene, outcome: Outcome) -> None:
    assert (outcome.code, outcome.kind) == (1, "incomplete"), outcome.output
    assert "still changing in size" in outcome.message
    scene.require_old()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("does", TROUBLES)
def test_a_push_of_which_something_else_arrives_leaves_nothing(scene: Scene, way: str, does: str) -> None:
    trouble(scene, "upload", does)
    outcome = scene.push(way)
    assert outcome.code == 1, outcome.output
    assert outcome.kind in {"cut": ("transfer",), "flip": ("transfer",), "lose": ("outcome_unknown",)}[does]
    assert outcome.seconds < 10 + SLACK
    assert scene.listed() == {NAME: digest(WANTED)}
    assert scene.spooled() == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("does", ["cut", "flip"])
def test_a_backup_is_put_back_when_something_else_arrives_in_its_place(scene: Scene, way: str, does: str) -> None:
    trouble(scene, "upload", does, times=1)
    outcome = scene.push(way, name=NAME, force=True)
    assert (outcome.code, outcome.kind) == (1, "transfer"), outcome.output
    assert "was put back" in outcome.message, outcome.message
    assert scene.listed() == {NAME: digest(WANTED)}
    assert scene.spooled() == []
    assert scene.kept() == []


@pytest.mark.parametrize("way", WAYS)
def test_a_backup_that_can_not_be_put_back_is_kept(scene: Scene, way: str) -> None:
    trouble(scene, "upload", "flip")
    outcome = scene.push(way, name=NAME, force=True)
    assert (outcome.code, outcome.kind) == (1, "transfer"), outcome.output
    assert f"is kept in {scene.tmp}" in outcome.message, outcome.message
    assert scene.kept() == [WANTED]


@pytest.mark.parametrize("way", WAYS)
def test_a_backup_that_was_replaced_is_kept_no_longer(scene: Scene, way: str) -> None:
    outcome = scene.push(way, name=NAME, force=True)
    assert outcome.code == 0, outcome.output
    assert scene.listed() == {NAME: digest(PUSHED)}
    assert scene.kept() == []


@pytest.mark.parametrize("way", WAYS)
def test_a_second_download_shows_what_was_changed_before_the_gateway(scene: Scene, way: str) -> None:
    trouble(scene, "download", "flip", times=1)
    outcome = scene.fetch(way, verify="content")
    assert (outcome.code, outcome.kind) == (1, "transfer"), outcome.output
    scene.require_old()
    outcome = scene.fetch(way, verify="content")
    assert outcome.code == 0, outcome.output
    assert outcome.result["verified_by"][-1] == "content"
    scene.require_new()


@pytest.mark.parametrize("way", WAYS)
def test_a_second_download_shows_what_else_the_system_has_under_the_name(scene: Scene, way: str) -> None:
    assert scene.fetch(way, verify="content").code == 0
    assert scene.fetch(way, verify="content").result["action"] == "unchanged"
    (scene.backups / NAME).write_bytes(WANTED[::-1])
    assert scene.fetch(way).result["action"] == "unchanged"  # same size
    assert scene.fetch(way, verify="content").result["action"] == "fetched"
    assert (scene.dest / NAME).read_bytes() == WANTED[::-1]


@pytest.mark.parametrize("way", WAYS)
def test_a_push_that_is_read_back_wrongly_leaves_nothing(scene: Scene, way: str) -> None:
    trouble(scene, "download", "flip")
    outcome = scene.push(way)
    assert (outcome.code, outcome.kind) == (1, "transfer"), outcome.output
    assert "removed" in outcome.message
    assert scene.listed() == {NAME: digest(WANTED)}


@pytest.mark.parametrize("does", TROUBLES)
def test_a_client_that_does_not_check_has_a_wrong_file(scene: Scene, does: str) -> None:
    trouble(scene, "download", does)
    target = scene.dest / NAME
    with scene.log_in() as connection, suppress(OSError, Exception):
        connection.backup().download(NAME, dest_path=str(target))
    assert target.read_bytes() not in (OLD, WANTED)


@pytest.mark.parametrize("does", ["cut", "flip"])
def test_a_client_that_does_not_check_leaves_a_wrong_backup(scene: Scene, does: str) -> None:
    trouble(scene, "upload", does)
    with scene.log_in() as connection:
        connection.backup().upload(NEW, in_path=str(scene.src))
    assert scene.listed()[NEW] != digest(PUSHED)
