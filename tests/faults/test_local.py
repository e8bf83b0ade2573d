# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Problems where the module runs: disk full, permission denied, unusable destinations, two runs at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils._deadline import Deadline
from ansible_collections.netops.activelogic.plugins.module_utils._errors import LocalFileError
from ansible_collections.netops.activelogic.plugins.module_utils._transport import _content

from tests.faults.proxy import DOWNLOAD, UPLOAD, Fault
from tests.faults.scene import EDGE, NAME, OLD, PUSHED, SIZE, WANTED, Scene, digest, names
from tests.harness.login import DIRECT, GATEWAY, WAYS
from tests.harness.observer import digest_of_tree
from tests.harness.systems import set_quirks

NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all")
SMALL_DISK = 'mount -t tmpfs -o size=4m tmpfs "$1" && cp -a "$2/." "$1" && shift 2 && "$@"; code=$?'
"""Start of a shell script: mounts a disk of 4 MiB, with room for the old file and only a part of the new one."""


def as_root() -> bool:
    return os.geteuid() == 0


needs_root = pytest.mark.skipif(not as_root(), reason="mounting and changing the user need root")


def on_small_disk(scene: Scene, seen: Path) -> list[str]:
    """Words to put before a command: ``scene.dest`` becomes a small disk, whose content is copied to ``seen``."""
    before = scene.folder / "before"
    shutil.copytree(scene.dest, before)
    seen.mkdir()
    script = f'{SMALL_DISK}; cp -a "{scene.dest}/." "{seen}"; exit $code'
    return ["unshare", "-m", "sh", "-c", script, "sh", str(scene.dest), str(before)]


@needs_root
@pytest.mark.parametrize("way", WAYS)
def test_a_full_disk_leaves_the_old_file(scene: Scene, way: str) -> None:
    seen = scene.folder / "seen"
    command = on_small_disk(scene, seen)
    outcome = scene.run(scene.options(way, direction="fetch", name=NAME, dest=f"{scene.dest}/"), wrapper=command)
    assert (outcome.code, outcome.kind) == (1, "local_file"), outcome.output
    assert "No space left" in outcome.message, outcome.message
    scene.require_old(seen)
    assert scene.spooled() == []


@needs_root
def test_a_full_disk_harms_who_writes_over_the_old_file(scene: Scene) -> None:
    seen = scene.folder / "seen"
    command = [*on_small_disk(scene, seen), "sh", "-c", 'cat "$1" "$1" > "$2"', "sh"]
    done = subprocess.run(
        [*command, str(scene.backups / NAME), str(scene.dest / NAME)], check=False, capture_output=True, timeout=30
    )
    assert done.returncode != 0
    assert (seen / NAME).read_bytes() not in (OLD, WANTED + WANTED)


@needs_root
@pytest.mark.parametrize(("by_task", "said"), [(None, "busy"), (False, "busy"), (True, "")])
def test_only_the_option_lets_a_file_be_written_over(scene: Scene, by_task: bool | None, said: str) -> None:
    """A mount point can't be renamed; AWX sets the variable with which ansible-core would turn the option on."""
    old = scene.dest / NAME
    script = f'mount --bind "{old}" "{old}" && exec "$@"'
    wrapper = ["env", "ANSIBLE_UNSAFE_WRITES=1", "unshare", "-m", "sh", "-c", script, "sh"]
    given: dict[str, Any] = {} if by_task is None else {"unsafe_writes": by_task}
    outcome = scene.run(scene.options(direction="fetch", name=NAME, dest=str(old), **given), wrapper=wrapper)
    if said:
        assert (outcome.code, outcome.kind) == (1, "local_file"), outcome.output
        assert said in outcome.message
        assert old.read_bytes() == OLD
    else:
        assert outcome.code == 0, outcome.output
        assert old.read_bytes() == WANTED


@pytest.mark.parametrize("way", WAYS)
def test_a_limit_of_the_file_size_leaves_the_old_file(scene: Scene, way: str) -> None:
    options = scene.options(way, direction="fetch", name=NAME, dest=f"{scene.dest}/")
    outcome = scene.run(options, wrapper=["prlimit", f"--fsize={SIZE // 2}"])
    assert (outcome.code, outcome.kind) == (1, "local_file"), outcome.output
    assert "File too large" in outcome.message, outcome.message
    scene.require_old()


@needs_root
@pytest.mark.parametrize("way", WAYS)
def test_without_room_for_the_old_backup_nothing_is_replaced(scene: Scene, way: str) -> None:
    command = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0" && "$@"', str(scene.tmp)]
    options = scene.options(way, direction="push", src=str(scene.src), name=NAME, force=True)
    outcome = scene.run(options, wrapper=command)
    assert (outcome.code, outcome.kind) == (1, "local_file"), outcome.output
    assert str(scene.tmp) in outcome.message, outcome.message
    assert scene.listed() == {NAME: digest(WANTED)}


# A file that changes during a push


def test_a_file_that_gets_shorter_while_it_is_sent(scene: Scene) -> None:
    with scene.proxy([Fault("stall up", UPLOAD, at=1000)]) as proxy:
        scene.url = proxy.url
        process = scene.start(scene.options(direction="push", src=str(scene.src), name="new.plb"))
        require_shorter(scene, process, lambda: bool(proxy.happened))


def test_a_file_that_gets_shorter_while_the_vendors_package_sends_it(scene: Scene) -> None:
    fault = {"command": "upload", "does": "wait", "when": "during", "at": 1_000_000, "seconds": 3}
    set_quirks(scene.lab, EDGE, faults=[fault])
    process = scene.start(scene.options(DIRECT, direction="push", src=str(scene.src), name="new.plb"))
    require_shorter(scene, process, lambda: any(scene.backups.parent.glob("tmp/*")))


def require_shorter(scene: Scene, process: Any, is_sent: Callable[[], bool]) -> None:
    """Truncate the file during the push: the error names it, and the system does not get the backup."""
    since = time.monotonic()
    while not is_sent() and time.monotonic() < since + 20:
        time.sleep(0.05)
    os.truncate(scene.src, SIZE // 2)
    outcome = scene.end(process, since)
    assert (outcome.code, outcome.kind) == (1, "transfer"), outcome.output
    assert f"{scene.src} changed while it was pushed" in outcome.message, outcome.message
    assert scene.listed() == {NAME: digest(WANTED)}
    assert scene.spooled() == []


def test_a_read_that_fails_while_a_file_is_sent_names_the_file() -> None:
    with open("/proc/self/mem", "rb", buffering=0) as unreadable:  # nothing is mapped at address 0
        reader = _content._HashingReader(unreadable, "/srv/new.plb", 1000, Deadline("transfer_timeout", 60))
        with pytest.raises(LocalFileError, match=r"/srv/new\.plb: Input/output error"):
            reader.read()


# Permissions, which root bypasses


@pytest.fixture
def shared(scene: Scene) -> Iterator[Scene]:
    """The scene in a folder that every user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)
    ca_path = folder / "ca.pem"
    shutil.copy(scene.lab.ca_path, ca_path)
    ca_path.chmod(0o644)
    moved = folder / "backups"
    shutil.copytree(scene.dest, moved)
    scene.dest = moved
    yield scene
    shutil.rmtree(folder)


def nobody_fetches(scene: Scene, dest: str) -> Any:
    options = scene.options(direction="fetch", name=NAME, dest=dest, ca_path=str(scene.dest.parent / "ca.pem"))
    return scene.run(options, wrapper=AS_NOBODY)


def nobody_can(*command: str) -> bool:
    return subprocess.run([*AS_NOBODY, *command], check=False, capture_output=True, timeout=30).returncode == 0


needs_python = pytest.mark.skipif(
    not as_root() or not nobody_can(sys.executable, "-c", "import requests"),
    reason="needs root, and a Python that the user nobody can run",
)


@needs_python
def test_a_folder_that_is_the_users_own_works(shared: Scene) -> None:
    for each in (shared.dest, *shared.dest.iterdir()):
        os.chown(each, NOBODY, NOBODY)
    outcome = nobody_fetches(shared, f"{shared.dest}/")
    assert outcome.code == 0, outcome.output
    shared.require_new()


@needs_python
@pytest.mark.parametrize(("mode", "owner"), [(0o555, NOBODY), (0o755, 0), (0o700, 0)])
def test_a_folder_without_permission_is_a_clear_error(shared: Scene, mode: int, owner: int) -> None:
    os.chown(shared.dest, owner, owner)
    shared.dest.chmod(mode)
    assert not nobody_can("touch", str(shared.dest / "probe")), "nobody may write there"
    outcome = nobody_fetches(shared, f"{shared.dest}/")
    assert (outcome.code, outcome.kind) == (1, "local_file"), outcome.output
    assert "Permission denied" in outcome.message, outcome.message
    assert str(shared.dest) in outcome.message
    shared.require_old()
    assert shared.spooled() == []


@needs_python
def test_a_source_that_may_not_be_read_is_a_clear_error(shared: Scene) -> None:
    src = shared.dest / "secret.plb"
    src.write_bytes(PUSHED)
    src.chmod(0o600)
    options = shared.options(direction="push", src=str(src), name="new.plb", ca_path=str(shared.dest.parent / "ca.pem"))
    outcome = shared.run(options, wrapper=AS_NOBODY)
    assert (outcome.code, outcome.kind) == (1, "local_file"), outcome.output
    assert "Permission denied" in outcome.message, outcome.message
    assert shared.listed() == {NAME: digest(WANTED)}


# Unusable destinations


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", ["link", "dangling link", "folder", "pipe", "file for a folder", "file above"])
def test_what_is_in_the_way_stays_as_it_is(scene: Scene, way: str, what: str) -> None:
    place = scene.dest / "place"
    dest = str(place)
    if what == "link":
        place.symlink_to(scene.dest / NAME)
    elif what == "dangling link":
        place.symlink_to(scene.folder / "outside")
    elif what == "folder":
        (place / NAME).mkdir(parents=True)
    elif what == "pipe":
        os.mkfifo(place)
    else:
        place.write_bytes(b"a file")
        dest += "/" if what == "file for a folder" else "/below/"
    before = digest_of_tree(scene.dest)
    outcome = scene.run(scene.options(way, direction="fetch", name=NAME, dest=dest))
    assert (outcome.code, outcome.kind) == (1, "local_file"), outcome.output
    assert str(place) in outcome.message, outcome.message
    assert digest_of_tree(scene.dest) == before
    assert not (scene.folder / "outside").exists()


@pytest.mark.parametrize("side", [".json", ".sha256"])
@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_in_the_way_of_a_side_file_is_never_written_through(scene: Scene, side: str, kind: str) -> None:
    outside = scene.folder / "outside"
    outside.write_bytes(b"precious")
    place = scene.dest / (NAME + side)
    if kind == "link":
        place.symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    outcome = scene.fetch()
    assert outside.read_bytes() == b"precious"
    assert (scene.dest / NAME).read_bytes() == (OLD if outcome.code else WANTED)
    assert not [name for name in names(scene.dest) if name.endswith(".part")]
    if kind != "link":
        assert (outcome.code, outcome.kind) == (1, "local_file"), outcome.output


# Two runs at once


@pytest.mark.parametrize("way", WAYS)
def test_two_runs_for_the_same_file(scene: Scene, way: str) -> None:
    options = scene.options(way, direction="fetch", name=NAME, dest=f"{scene.dest}/")
    since = time.monotonic()
    both = [scene.start(options) for _number in range(2)]
    outcomes = [scene.end(each, since) for each in both]
    assert [each.code for each in outcomes] == [0, 0], [each.output for each in outcomes]
    scene.require_new()


def test_a_run_that_overtakes_another_one(scene: Scene) -> None:
    with scene.proxy([Fault("stall", DOWNLOAD, at=1_000_000)]) as proxy:
        scene.url = proxy.url
        options = scene.options(direction="fetch", name=NAME, dest=f"{scene.dest}/")
        since = time.monotonic()
        slow = scene.start(options | {"read_timeout": 5, "transfer_timeout": 30})
        while not proxy.happened and time.monotonic() < since + 20:
            time.sleep(0.05)
        fast = scene.run(options)
        assert slow.poll() is None, "the slow one was not overtaken"
        outcome = scene.end(slow, since)
    assert (fast.code, outcome.code) == (0, 0), outcome.output
    scene.require_new()


@pytest.mark.parametrize("way", [GATEWAY, DIRECT])
def test_two_pushes_of_the_same_name(scene: Scene, way: str) -> None:
    options = scene.options(way, direction="push", src=str(scene.src), name="new.plb")
    since = time.monotonic()
    both = [scene.start(options) for _number in range(2)]
    outcomes = [scene.end(each, since) for each in both]
    assert 0 in [each.code for each in outcomes], [each.output for each in outcomes]
    assert scene.listed() == {NAME: digest(WANTED), "new.plb": digest(PUSHED)}
    assert all(each.code == 0 or each.kind in ("conflict", "stale_data", "refused") for each in outcomes), outcomes
