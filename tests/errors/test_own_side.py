# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A problem where the module runs is never mistaken for a problem of the system."""

from __future__ import annotations

import itertools
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.errors.conftest import OWN_SIDE
from tests.errors.scene import BACKUP, INFO, Scene
from tests.harness.lab import Lab
from tests.harness.login import DIRECT, GATEWAY, WAYS
from tests.harness.observer import restores_on
from tests.harness.systems import change_configuration
from tests.harness.waiting import until

WANTED = "wanted.plb"
SAFETY = re.compile(r"pre-restore-\d{8}T\d{6}Z-[0-9a-f]{4}\.plb")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture(scope="session")
def next_system() -> Iterator[str]:
    """Names of systems that no case uses, round-robin."""
    return itertools.cycle(OWN_SIDE)


@pytest.fixture
def make_scene(lab: Lab, tmp_path: Path, next_system: Iterator[str]) -> Callable[..., Scene]:
    """Makes a scene with one backup, whose configuration is the system's current one or not."""

    def make(way: str, *, is_held: bool) -> Scene:
        scene = Scene(lab, next(next_system), way, tmp_path)
        scene.quirks()
        for each in scene.backups.iterdir():
            each.unlink()
        scene.make(WANTED)
        if not is_held:
            change_configuration(lab, scene.system, "Ruleset", "marker", f"changed {tmp_path}")
        return scene

    return make


def on_disk(scene: Scene, mount: str, then: str = ":") -> dict[str, Any]:
    """Put the module's temporary folder on a small disk of its own; returns the option for that folder."""
    folder = scene.folder / "tmp"
    folder.mkdir()
    scene.environment["TMPDIR"] = str(folder)
    script = f'mount -t tmpfs {mount} tmpfs "$0" && {then} && "$@"'
    scene.wrapper = ["unshare", "-m", "sh", "-c", script, str(folder)]
    return {"_ansible_tmpdir": str(folder)}


FULL = ("-o size=4k", 'head -c 4096 /dev/zero > "$0/full"', "No space left on device")
ROOM_FOR_ONE = ("-o size=4k", ":", "No space left on device")
"""Room for one backup, which is smaller than 4 KiB and takes one page."""

NO_MORE_FILES = ("-o nr_inodes=1", ":", "No space left on device")
ONE_MORE_FILE = ("-o nr_inodes=3", ":", "No space left on device")
"""Inodes for the disk's root, the folder with the copies, and one copy."""

READ_ONLY = ("-o ro", ":", "Read-only file system")
DISKS = [FULL, ROOM_FOR_ONE, NO_MORE_FILES, ONE_MORE_FILE, READ_ONLY]


def require_nothing_done(scene: Scene, restores: int, said: str) -> None:
    """Require that the task failed for a local reason and left the system unchanged."""
    assert scene.outcome is not None
    result = scene.outcome.result
    assert (scene.outcome.code, result["error"]["kind"]) == (1, "local_file"), result
    assert said in result["msg"]
    assert result.get("changed", False) is False
    assert restores_on(scene.lab, scene.system) == restores
    assert set(scene.listed()) == {WANTED}, "something was left"


@needs_root
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [{}, {"verify": "size"}], ids=["archive", "size"])
@pytest.mark.parametrize("disk", DISKS, ids=["full", "room for one", "no more files", "one more file", "read-only"])
def test_nothing_is_restored_because_of_a_bad_temporary_folder(
    make_scene: Callable[..., Scene], disk: tuple[str, str, str], options: dict[str, Any], way: str
) -> None:
    scene = make_scene(way, is_held=True)
    before = restores_on(scene.lab, scene.system)
    mount, then, said = disk
    scene.run(BACKUP, state="restored", name=WANTED, **options, **on_disk(scene, mount, then))
    require_nothing_done(scene, before, said)
    if disk is not NO_MORE_FILES and disk is not READ_ONLY:
        assert scene.outcome is not None
        assert "nothing was restored" in scene.outcome.result["msg"]


@needs_root
@pytest.mark.parametrize("options", [{"_ansible_check_mode": True}, {"force": True}], ids=["check mode", "force"])
def test_a_backup_that_can_not_be_looked_into_here_is_not_restored(
    make_scene: Callable[..., Scene], options: dict[str, Any]
) -> None:
    scene = make_scene(GATEWAY, is_held=False)
    before = restores_on(scene.lab, scene.system)
    scene.run(BACKUP, state="restored", name=WANTED, **options, **on_disk(scene, *FULL[:2]))
    require_nothing_done(scene, before, FULL[2])


def test_a_limit_of_the_file_size_is_no_reason_to_restore(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(GATEWAY, is_held=True)  # on the direct way, the embedded system itself would hit the limit
    before = restores_on(scene.lab, scene.system)
    scene.wrapper = ["prlimit", "--fsize=500"]
    scene.run(BACKUP, state="restored", name=WANTED)
    require_nothing_done(scene, before, "File too large")


@needs_root
def test_a_package_that_keeps_silent_about_a_full_disk_is_seen_through(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(DIRECT, is_held=True)
    before = restores_on(scene.lab, scene.system)
    scene.odd_sdk("Swallowing")
    scene.run(BACKUP, state="restored", name=WANTED, **on_disk(scene, *ROOM_FOR_ONE[:2]))
    require_nothing_done(scene, before, ROOM_FOR_ONE[2])


@pytest.mark.parametrize("oddity", ["Wrapping", "Undocumented"])
def test_an_error_of_our_own_side_in_the_packages_words_is_no_reason_to_restore(
    make_scene: Callable[..., Scene], oddity: str
) -> None:
    scene = make_scene(DIRECT, is_held=True)
    before = restores_on(scene.lab, scene.system)
    scene.odd_sdk(oddity)
    scene.run(BACKUP, state="restored", name=WANTED)
    assert scene.outcome is not None
    assert scene.outcome.code == 1, scene.outcome.output
    assert restores_on(scene.lab, scene.system) == before
    assert set(scene.listed()) == {WANTED}


@needs_root
@pytest.mark.parametrize("way", WAYS)
def test_after_a_restore_it_is_only_unknown_what_the_system_holds(make_scene: Callable[..., Scene], way: str) -> None:
    scene = make_scene(way, is_held=False)
    before = restores_on(scene.lab, scene.system)
    options = {"force": True, "verify": "size", "settle_after_restore": 0}
    scene.run(BACKUP, state="restored", name=WANTED, **options, **on_disk(scene, *ROOM_FOR_ONE[:2]))
    assert scene.outcome is not None
    result = scene.outcome.result
    assert (scene.outcome.code, result["action"], result["changed"], result["verified"]) == (0, "restored", True, None)
    assert "No space left on device" in result["reason"]
    assert "it is not known whether the system holds the restored backup" in str(result["warnings"])
    assert restores_on(scene.lab, scene.system) == before + 1
    assert set(scene.listed()) == {WANTED, result["safety_backup"]["name"]}


@needs_root
@pytest.mark.parametrize("module", [BACKUP, INFO])
def test_a_backup_that_can_not_be_looked_into_here_is_neither_fresh_nor_stale(
    make_scene: Callable[..., Scene], module: str
) -> None:
    scene = make_scene(GATEWAY, is_held=True)
    scene.run(BACKUP, always=True)
    before = set(scene.listed())
    scene.run(module, max_age="1h", **on_disk(scene, *FULL[:2]))
    assert scene.outcome is not None
    assert (scene.outcome.code, scene.outcome.result["error"]["kind"]) == (1, "local_file")
    assert set(scene.listed()) == before


@needs_root
def test_a_new_backup_that_can_not_be_looked_into_here_is_named(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(GATEWAY, is_held=True)
    scene.run(BACKUP, name="new.plb", **on_disk(scene, *FULL[:2]))
    assert scene.outcome is not None
    result = scene.outcome.result
    assert (scene.outcome.code, result["error"]["kind"], result["changed"]) == (1, "local_file", True)
    assert "the backup 'new.plb' was made, and is not known to be complete" in result["msg"]
    assert "new.plb" in scene.listed()


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("moment", ["create_new", "restore", "ready"])
def test_a_signal_names_the_safety_backup_or_it_is_gone(
    make_scene: Callable[..., Scene], way: str, moment: str, number: signal.Signals
) -> None:
    scene = make_scene(way, is_held=False)
    before = restores_on(scene.lab, scene.system)
    if moment != "ready":
        scene.quirks(faults=[{"command": moment, "does": "wait", "seconds": 3, "times": 1}])
    process = scene.start(BACKUP, state="restored", name=WANTED, settle_after_restore=60)
    until(scene.has_begun if moment != "ready" else lambda: restores_on(scene.lab, scene.system) == before + 1)
    process.send_signal(number)
    scene.end(process)
    assert scene.outcome is not None
    result = scene.outcome.result
    assert (scene.outcome.code, result["error"]["kind"]) == (1, "ended"), result
    left = [name for name in scene.listed() if SAFETY.fullmatch(name)]
    assert SAFETY.search(result["msg"]), result
    if moment == "create_new":
        assert "nothing was restored" in result["msg"]
        assert restores_on(scene.lab, scene.system) == before
        assert not left or left[0] in result["msg"]
    else:
        assert len(left) == 1
        assert f"the configuration from before is in the safety backup {left[0]}" in result["msg"]
        assert (result["changed"], result["verified"]) == (True, None)
        assert result["safety_backup"] == {"name": left[0]}
