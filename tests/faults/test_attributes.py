# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Owner, group, mode and flags of fetched files: the same for all three files and in check mode, all or nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scene import EDGE, NAME, WANTED, Outcome, Scene, names
from tests.harness.login import DIRECT, GATEWAY
from tests.harness.observer import digest_of_tree

THREE = (NAME, f"{NAME}.json", f"{NAME}.sha256")
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners and flags need root")


def fetch(scene: Scene, dest: Path, check: bool = False, wrapper: tuple[str, ...] = (), **more: Any) -> Outcome:
    options = scene.options(DIRECT, direction="fetch", name=NAME, dest=f"{dest}/", verify="size", **more)
    return scene.run({**options, "_ansible_check_mode": check}, wrapper=wrapper)


def looks(path: Path) -> tuple[int, int, str]:
    status = path.lstat()
    return status.st_uid, status.st_gid, f"{status.st_mode & 0o7777:04o}"


def flags(path: Path) -> set[str]:
    done = subprocess.run(["lsattr", "-d", str(path)], check=True, capture_output=True, text=True)
    return set(done.stdout.split()[0]) - set("-e")


@pytest.fixture
def archive(scene: Scene) -> Iterator[Path]:
    yield scene.folder / "archive"
    if os.geteuid() == 0:
        subprocess.run(["chattr", "-R", "-ia", str(scene.folder)], check=False, capture_output=True)


@needs_root
def test_all_files_and_the_folders_that_are_made_get_them(scene: Scene, archive: Path) -> None:
    os.umask(0o002)
    outcome = fetch(scene, archive / "a" / "b", owner="nobody", group="65534", mode="0640")
    assert outcome.code == 0, outcome.output
    for each in (archive, archive / "a", archive / "a" / "b"):
        assert looks(each) == (NOBODY, NOBODY, "0750")
    for name in THREE:
        assert looks(archive / "a" / "b" / name) == (NOBODY, NOBODY, "0640")
    assert looks(scene.folder)[:2] == (0, 0), "it was there before"


@pytest.mark.parametrize(("mode", "expected"), [(None, "0600"), (384, "0600"), (416, "0640"), ("u=r,g=r", "0440")])
def test_modes(scene: Scene, archive: Path, mode: Any, expected: str) -> None:
    outcome = fetch(scene, archive, **({} if mode is None else {"mode": mode}))
    assert outcome.code == 0, outcome.output
    assert {looks(archive / name)[2] for name in THREE} == {expected}


@pytest.mark.parametrize(
    "changed", [{"mode": "0640"}, {"mode": "g+r"}, pytest.param({"group": "65534"}, marks=needs_root)]
)
@pytest.mark.parametrize("lost", THREE)
def test_a_later_change_reaches_each_of_the_three(
    scene: Scene, archive: Path, changed: dict[str, Any], lost: str
) -> None:
    """Even if only one of them differs from what it should be; check mode predicts it."""
    assert fetch(scene, archive).code == 0
    assert fetch(scene, archive, **changed).result["changed"] is True
    wanted = looks(archive / NAME)
    assert {looks(archive / name) for name in THREE} == {wanted}
    (archive / lost).chmod(0o600)
    os.chown(archive / lost, os.geteuid(), os.getegid())
    before = digest_of_tree(archive)
    outcome = fetch(scene, archive, check=True, **changed)
    assert (outcome.result["action"], outcome.result["changed"]) == ("unchanged", True)
    assert digest_of_tree(archive) == before
    outcome = fetch(scene, archive, **changed)
    assert (outcome.result["action"], outcome.result["changed"]) == ("unchanged", True)
    assert {looks(archive / name) for name in THREE} == {wanted}
    for check in (True, False):
        assert fetch(scene, archive, check=check, **changed).result["changed"] is False


@pytest.mark.parametrize(
    "wrong",
    [{"owner": "no-such-user"}, {"group": "no-such-group"}, {"mode": 644}, {"mode": "rw"}, {"attributes": "+!"}],
)
def test_what_can_not_be_is_told_before_the_system_is_asked(scene: Scene, archive: Path, wrong: dict[str, Any]) -> None:
    for check in (True, False):
        options = scene.options(GATEWAY, direction="fetch", name=NAME, dest=f"{archive}/", **wrong)
        outcome = scene.run({**options, "gateway_url": "https://127.0.0.1:9", "_ansible_check_mode": check})
        assert (outcome.code, outcome.kind) == (1, "option"), outcome.output
    assert not archive.exists()


@needs_root
@pytest.mark.parametrize("right", ["chown", "linux_immutable"])
def test_what_this_user_may_not_set_is_told_before_the_download(scene: Scene, archive: Path, right: str) -> None:
    wanted = {"owner": "nobody"} if right == "chown" else {"attributes": "+i"}
    for check in (True, False):
        outcome = fetch(scene, archive, check, ("setpriv", f"--bounding-set=-{right}"), **wanted)
        assert (outcome.code, outcome.kind) == (1, "local_file"), outcome.output
        assert "may not give files" in outcome.message
    assert not archive.exists()


@needs_root
def test_flags_come_last_and_stay(scene: Scene, archive: Path) -> None:
    assert fetch(scene, archive, attributes="+i", mode="0640").code == 0
    for name in THREE:
        assert looks(archive / name)[2] == "0640"
        assert flags(archive / name) == {"i"}
    assert flags(archive) == set()
    assert names(archive) == sorted(THREE)
    for check in (True, False):
        outcome = fetch(scene, archive, check, attributes="+i", mode="0640")
        assert (outcome.code, outcome.result["changed"]) == (0, False), outcome.output
    # Neither another backup nor another mode can replace it: one clear error, and no leftovers.
    (scene.backups / NAME).write_bytes(b"of today" + WANTED)
    before = digest_of_tree(archive)
    for check in (True, False):
        for more in ({"attributes": "+i"}, {"attributes": "+i", "unsafe_writes": True}, {"attributes": "-i"}):
            outcome = fetch(scene, archive, check, **more)
            assert (outcome.code, outcome.kind) == (1, "local_file"), outcome.output
            assert "is immutable" in outcome.message
    assert digest_of_tree(archive) == before
    (scene.backups / NAME).write_bytes(WANTED)
    for check in (True, False):
        outcome = fetch(scene, archive, check, mode="0600")
        assert "is immutable" in outcome.message, outcome.output
    for check in (True, False):
        outcome = fetch(scene, archive, check, mode="0600", attributes="-i")
        assert (outcome.code, outcome.result["changed"]) == (0, True), outcome.output
    for name in THREE:
        assert (looks(archive / name)[2], flags(archive / name)) == ("0600", set())


@needs_root
def test_the_group_of_a_folder_that_passes_it_on_stays(scene: Scene, archive: Path) -> None:
    archive.mkdir()
    os.chown(archive, 0, NOBODY)
    archive.chmod(0o2770)
    wrapper = ("setpriv", "--bounding-set=-chown", "--clear-groups")
    outcome = fetch(scene, archive / "below", wrapper=wrapper, group="65534", mode="0640")
    assert outcome.code == 0, outcome.output
    assert looks(archive / "below") == (0, NOBODY, "2750")
    assert {looks(archive / "below" / name) for name in THREE} == {(0, NOBODY, "0640")}


# File systems that lack features

SHARE = """
import errno, fcntl, os
below = {below!r}
def lacks(call, number, only=lambda _path: True):
    real = getattr(fcntl if call == "flock" else os, call)
    def refused(descriptor, *more):
        path = os.readlink(f"/proc/self/fd/{{descriptor}}")
        if path.startswith(below) and only(path):
            raise OSError(number, os.strerror(number))
        return real(descriptor, *more)
    setattr(fcntl if call == "flock" else os, call, refused)
"""
LACKS = {
    "flushed folders": "lacks('fsync', errno.EINVAL, os.path.isdir)",
    "locks": "lacks('flock', errno.ENOLCK)",
    "modes": "lacks('fchmod', errno.EPERM)",
}


def put_on_share(scene: Scene, *what: str) -> None:
    scene.python("\n".join([SHARE.format(below=str(scene.dest)), *(LACKS[each] for each in what)]))


@pytest.mark.parametrize("what", [*([each] for each in LACKS), list(LACKS)], ids="+".join)
@pytest.mark.parametrize("unsafe", [False, True])
def test_a_share_that_lacks_something(scene: Scene, what: list[str], unsafe: bool) -> None:
    put_on_share(scene, *what)
    more: dict[str, Any] = {"mode": "0640"} if "modes" in what else {}
    outcome = fetch(scene, scene.dest, unsafe_writes=unsafe, **more)
    assert outcome.code == 0, outcome.output
    scene.require_new()
    warnings = outcome.result.get("warnings", [])
    assert len(warnings) == len(what), outcome.output
    if "modes" in what:
        assert "it has the mode 0600 instead of 0640" in json.dumps(warnings)
    outcome = fetch(scene, scene.dest, unsafe_writes=unsafe, **more)
    assert (outcome.result["action"], outcome.result["changed"]) == ("unchanged", False)


def test_a_share_where_a_killed_task_left_files(scene: Scene) -> None:
    options = scene.options(DIRECT, direction="fetch", name=NAME, dest=f"{scene.dest}/", verify="size")
    put_on_share(scene, "locks")
    assert scene.run(options, "_client:Client.download:after:0").code < 0
    (left,) = [each for each in scene.dest.iterdir() if each.suffix == ".part"]
    assert fetch(scene, scene.dest).code == 0
    assert left.exists(), "nobody knows whether somebody works with it"
    for each in (*left.iterdir(), left):
        os.utime(each, (0, 0))
    assert fetch(scene, scene.dest).code == 0
    scene.require_new()


def test_tasks_with_the_same_process_id_share_a_folder(scene: Scene) -> None:
    """As in containers on several machines, whose process ids are small and repeat."""
    scene.python("import os; os.getpid = lambda: 7")
    options = scene.options(DIRECT, direction="fetch", name=NAME, dest=f"{scene.dest}/", verify="size")
    both = [scene.start(options) for _number in range(2)]
    assert [scene.end(each, 0).code for each in both] == [0, 0]
    scene.require_new()
    assert EDGE in (scene.dest / f"{NAME}.json").read_text(encoding="utf-8")


# A folder that another user can write to


def test_a_link_in_place_of_the_temporary_file_is_not_written_through(scene: Scene) -> None:
    victim = scene.folder / "victim"
    victim.write_bytes(b"precious")
    scene.python(
        f"""
import glob, os, sys
def swapped(event, details):
    is_download = event == "open" and str(details[0]) == {str(scene.dest / NAME)!r} and "w" in str(details[1])
    for each in glob.glob({str(scene.dest)!r} + "/.*.part/content") if is_download else []:
        os.rename(os.path.dirname(each), {str(scene.folder)!r} + "/away")
        os.mkdir(os.path.dirname(each))
        os.symlink({str(victim)!r}, each)
sys.addaudithook(swapped)
"""
    )
    outcome = scene.fetch(GATEWAY)
    assert (outcome.code, outcome.kind) == (1, "local_file"), outcome.output
    assert "was removed or replaced by another program" in outcome.message
    assert victim.read_bytes() == b"precious"
    assert (scene.folder / "away").exists(), "nothing was swapped"
