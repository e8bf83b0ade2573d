# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup always matches its side files, and a file of another machine is not replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scene import NAME, OLD, WANTED, Scene, digest, names, noise
from tests.harness.login import DIRECT

STRANGER = "ffffffffffff"
EXCHANGE_POINTS = [
    "_files._placing:Part.place:before:0",
    "_files._placing:Part._set_aside:after:0",
    "_files._placing:Part._set_aside:after:1",
    "_files._placing:Part._move:before:0",
    "_files._placing:Part._move:after:0",
    "_files._placing:Part._move:after:1",
    "_files._placing:Part._move:after:2",
    "_files._placing:Part._require_together:after:0",
]
"""Points at which a task is killed; from index NEW_FROM on, the new data are in place."""

NEW_FROM = 4
SLOW_FOLDERS = """
import os, time
fsync = os.fsync
def slow(descriptor):
    if os.path.isdir(f"/proc/self/fd/{descriptor}"):
        time.sleep(0.1)
    fsync(descriptor)
os.fsync = slow
"""


def fetch_options(scene: Scene, **more: Any) -> dict[str, Any]:
    return scene.options(DIRECT, direction="fetch", name=NAME, dest=f"{scene.dest}/", verify="size", **more)


def give_old_sides(scene: Scene, machineid: str) -> None:
    """Give the old file the side files of a fetch from this machine."""
    manifest = {
        "machineid": machineid,
        "host": "edge0",
        "distversion": "22.20.06.1",
        "name": NAME,
        "size": len(OLD),
        "sha256": digest(OLD),
        "fetched_at": "2026-01-31T00:00:00Z",
        "collection_version": "0.1.0",
        "schema_version": 1,
    }
    (scene.dest / f"{NAME}.json").write_text(json.dumps(manifest), encoding="utf-8")
    (scene.dest / f"{NAME}.sha256").write_text(f"{digest(OLD)}  {NAME}\n", encoding="utf-8")


@pytest.mark.parametrize("index", range(len(EXCHANGE_POINTS)))
def test_a_kill_in_the_exchange_loses_neither_data_nor_origin(scene: Scene, index: int) -> None:
    give_old_sides(scene, STRANGER)
    outcome = scene.run(fetch_options(scene, other_machine=True), EXCHANGE_POINTS[index])
    assert outcome.code == -signal.SIGKILL, outcome.output
    scene.require_together()
    is_new = index >= NEW_FROM
    assert (scene.dest / NAME).read_bytes() == (WANTED if is_new else OLD)
    # The next task knows the origin of the old file, in check mode as well.
    for check in (True, False):
        outcome = scene.run({**fetch_options(scene), "_ansible_check_mode": check})
        if is_new:
            assert outcome.result["action"] == "unchanged", outcome.output
        else:
            assert (outcome.code, outcome.kind) == (1, "conflict"), outcome.output
            assert STRANGER in outcome.message
        scene.require_together()
    assert names(scene.dest) == sorted([NAME, f"{NAME}.json", f"{NAME}.sha256", "note"])
    assert scene.run(fetch_options(scene, other_machine=True)).code == 0
    scene.require_new()


@pytest.mark.parametrize("count", range(5))
def test_a_signal_in_the_exchange_leaves_a_whole_set(scene: Scene, count: int) -> None:
    give_old_sides(scene, STRANGER)
    scene.python(
        f"""
import os, signal
rename, left = os.rename, {count}
def interrupted(*paths, **folders):
    global left
    rename(*paths, **folders)
    left -= 1
    if left == -1:
        os.kill(os.getpid(), signal.SIGTERM)
os.rename = interrupted
"""
    )
    outcome = scene.run(fetch_options(scene, other_machine=True))
    assert (outcome.code, outcome.kind) == (1, "ended"), outcome.output
    assert names(scene.dest) == sorted([NAME, f"{NAME}.json", f"{NAME}.sha256", "note"])
    assert (scene.dest / NAME).read_bytes() == (OLD if count < 2 else WANTED)
    scene.require_together()


def test_no_other_process_sees_a_contradiction(scene: Scene) -> None:
    """Several tasks replace one file repeatedly, in a folder that is slow to flush."""
    other = noise("other")
    (scene.backups / "other.plb").write_bytes(other)
    scene.python(SLOW_FOLDERS)
    path = scene.dest / NAME
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            before, sides, data = stamp(path), read_sides(path), path.read_bytes()
            if stamp(path) == before:  # otherwise they were replaced during the read
                seen.update(f"{name} of {digest(data)}" for name, found in sides.items() if found != digest(data))

    watcher = threading.Thread(target=watch)
    watcher.start()
    options = {**fetch_options(scene), "dest": str(path), "force": True}
    since = time.monotonic()
    tasks = [scene.start({**options, "name": name}) for name in (NAME, "other.plb", NAME)]
    outcomes = [scene.end(each, since) for each in tasks]
    ended.set()
    watcher.join()
    assert [each.code for each in outcomes] == [0, 0, 0], [each.output for each in outcomes]
    assert seen == set()
    assert path.read_bytes() in (WANTED, other)
    assert set(read_sides(path).values()) == {digest(path.read_bytes())}


def stamp(path: Path) -> list[tuple[int, int]]:
    """Identifies the current files."""
    found = []
    for each in (path, path.with_name(f"{path.name}.sha256"), path.with_name(f"{path.name}.json")):
        with suppress(FileNotFoundError):
            found.append((each.stat().st_ino, each.stat().st_ctime_ns))
    return found


def read_sides(path: Path) -> dict[str, str]:
    """The digests in those side files that exist."""
    found = {}
    with suppress(FileNotFoundError):
        found["sha256"] = path.with_name(f"{path.name}.sha256").read_text(encoding="utf-8").split()[0]
    with suppress(FileNotFoundError):
        found["json"] = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))["sha256"]
    return found


# The file at the destination


@pytest.mark.parametrize("manifest", ["of another machine", "cut off", "of a later schema", "a folder's", "absent"])
def test_what_may_be_of_another_machine_is_replaced_when_the_task_says_so(scene: Scene, manifest: str) -> None:
    give_old_sides(scene, STRANGER)
    place = scene.dest / f"{NAME}.json"
    if manifest == "cut off":
        place.write_bytes(place.read_bytes()[:40])
    elif manifest == "of a later schema":
        place.write_bytes(place.read_bytes().replace(b'"schema_version": 1', b'"schema_version": 2'))
    elif manifest == "absent":
        place.unlink()
    elif manifest == "a folder's":
        place.unlink()
        place.symlink_to(scene.tmp)
    before = sorted(each.lstat().st_mtime_ns for each in scene.dest.iterdir())
    if manifest != "absent":
        for check in (True, False):
            outcome = scene.run({**fetch_options(scene), "_ansible_check_mode": check})
            assert outcome.code == 1, outcome.output
            assert outcome.kind in ("conflict", "local_file")
        assert sorted(each.lstat().st_mtime_ns for each in scene.dest.iterdir()) == before
    if manifest == "a folder's":
        return  # only a regular file is replaced
    outcome = scene.run(fetch_options(scene, other_machine=manifest != "absent"))
    assert outcome.code == 0, outcome.output
    scene.require_new()


def test_what_another_task_fetched_meanwhile_is_not_replaced(scene: Scene) -> None:
    """The guard checks again at the point where no other task can place a file any more."""
    give_old_sides(scene, STRANGER)
    kept = scene.folder / "kept"
    (scene.dest / f"{NAME}.json").rename(kept)
    command = f"sh -c 'cp {kept} {scene.dest}/{NAME}.json; true %s'"
    outcome = scene.run(fetch_options(scene, validate=command))
    assert (outcome.code, outcome.kind) == (1, "conflict"), outcome.output
    assert (scene.dest / NAME).read_bytes() == OLD
    scene.require_together()


# Where renaming fails

AS_MOUNT_POINT = 'mount --bind "$0" "$1" && shift && "$@"'


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("unsafe", [False, True])
@pytest.mark.parametrize("suffix", ["", ".sha256"])
def test_a_file_that_is_a_mount_point(scene: Scene, unsafe: bool, suffix: str) -> None:
    give_old_sides(scene, STRANGER)
    mounted = scene.folder / "mounted"
    mounted.write_bytes((scene.dest / f"{NAME}{suffix}").read_bytes())
    before = mounted.read_bytes()
    wrapper = ["unshare", "-m", "sh", "-c", AS_MOUNT_POINT, str(mounted), str(scene.dest / f"{NAME}{suffix}")]
    outcome = scene.run(fetch_options(scene, other_machine=True, unsafe_writes=unsafe), wrapper=wrapper)
    assert not [each for each in names(scene.dest) if each.endswith(".part")]
    if not unsafe:
        assert (outcome.code, outcome.kind) == (1, "local_file"), outcome.output
        assert "Device or resource busy" in outcome.message, outcome.message
        assert mounted.read_bytes() == before
        assert json.loads((scene.dest / f"{NAME}.json").read_text(encoding="utf-8"))["machineid"] == STRANGER
        return
    assert outcome.code == 0, outcome.output
    for each in (NAME, f"{NAME}.sha256"):
        seen = mounted if each == f"{NAME}{suffix}" else scene.dest / each
        assert seen.read_bytes() == (WANTED if each == NAME else f"{digest(WANTED)}  {NAME}\n".encode())


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_plain_rename_onto_a_mount_point_does_not_work(scene: Scene) -> None:
    """The premise of the test above."""
    script = 'mount --bind "$0" "$1" && mv -f "$2" "$1"'
    (scene.folder / "new").write_bytes(b"new")
    command = ["unshare", "-m", "sh", "-c", script, str(scene.src), str(scene.dest / NAME), str(scene.folder / "new")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode != 0
    assert "busy" in done.stderr
