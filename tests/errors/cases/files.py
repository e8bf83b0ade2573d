# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unusable files where the module runs."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
from typing import Any

from tests.errors.scene import TRANSFER, Facts, Scene, case
from tests.harness.login import DIRECT


def fetch(scene: Scene, dest: str, name: str = "there.plb", **options: Any) -> None:
    """Place a backup on the system and fetch it."""
    scene.place(name, b"content" * 50_000)
    scene.run(TRANSFER, direction="fetch", name=name, dest=dest, **options)


def push(scene: Scene, src: str) -> None:
    """Push a file."""
    scene.run(TRANSFER, direction="push", src=src)


@case("FILE_UNUSABLE")
def nothing_to_push(scene: Scene) -> Facts:
    path = str(scene.archive / "missing.plb")
    push(scene, path)
    return {"path": path, "why": "No such file or directory"}


@case("FILE_NO_ROOM")
def full_disk(scene: Scene) -> Facts:
    mounted = 'mount -t tmpfs -o size=64k none "$0" && exec "$@"'
    scene.wrapper = ["unshare", "--mount", "sh", "-c", mounted, str(scene.archive)]
    fetch(scene, str(scene.archive))
    return {
        "path": re.compile(re.escape(str(scene.archive)) + ".*"),
        "why": "No space left on device",
    }


@case("FILE_NOT_REGULAR")
def folder_to_push(scene: Scene) -> Facts:
    push(scene, str(scene.archive))
    return {"path": str(scene.archive)}


@case("DEST_NO_FOLDER")
def folder_that_is_not_there(scene: Scene) -> Facts:
    fetch(scene, str(scene.archive / "missing" / "x.plb"))
    return {"folder": str(scene.archive / "missing")}


@case("DEST_BELOW_FILE")
def file_in_the_way(scene: Scene) -> Facts:
    path = scene.file("file")
    fetch(scene, path + "/")
    return {"path": path}


@case("DEST_LINK")
def link_in_the_way(scene: Scene) -> Facts:
    path = scene.archive / "there.plb"
    path.symlink_to(scene.file("elsewhere"))
    fetch(scene, str(scene.archive))
    return {"path": str(path)}


@case("DEST_NOT_REGULAR")
def pipe_in_the_way(scene: Scene) -> Facts:
    path = str(scene.archive / "there.plb")
    os.mkfifo(path)
    fetch(scene, path)
    return {"path": path}


@case("DEST_ACCOMPANIES")
def name_of_a_manifest(scene: Scene) -> Facts:
    fetch(scene, str(scene.archive), "there.plb.json")
    return {"name": "there.plb.json"}


@case("DEST_LONG")
def name_beyond_the_limit(scene: Scene) -> Facts:
    name = "n" * 252 + ".plb"
    fetch(scene, str(scene.archive / name))
    return {"name": name[:40], "limit": 255}


@case("PART_FILE_TAKEN")
def somebody_who_tidies_up(scene: Scene) -> Facts:
    hook = f"""\
import fcntl
import glob
import shutil

lock = fcntl.flock


def tidied(descriptor, operation):
    lock(descriptor, operation)
    for each in glob.glob({str(scene.archive)!r} + "/.*.part"):
        shutil.rmtree(each)


fcntl.flock = tidied
"""
    scene.python("sitecustomize.py", hook)
    fetch(scene, str(scene.archive))
    return {"path": re.compile(re.escape(str(scene.archive)) + r"/\.there\.plb\.[0-9a-f]{16}\.part")}


@case("PATH_NOT_LEGAL")
def character_that_no_file_name_holds(scene: Scene) -> Facts:
    path = f"{scene.archive}/a\0b"
    fetch(scene, path)
    return {"path": path, "flaw": "holds a NUL character"}


@case("MODE_WRONG")
def mode_without_quotes(scene: Scene) -> Facts:
    fetch(scene, str(scene.archive), mode=644)
    return {"mode": 644, "flaw": "is a number of which it is not clear whether it is octal"}


@case("OWNER_UNKNOWN")
def user_that_is_not_there(scene: Scene) -> Facts:
    fetch(scene, str(scene.archive), owner="no-such-user")
    return {"option": "owner", "name": "no-such-user"}


@case("OWNER_REFUSED")
def owner_without_the_right_to_give_files_away(scene: Scene) -> Facts:
    scene.wrapper = ["setpriv", "--bounding-set=-chown"]
    fetch(scene, str(scene.archive), owner="nobody")
    return {"option": "owner", "name": "nobody"}


@case("OWNER_REFUSED", DIRECT)
def flag_without_the_right_to_set_it(scene: Scene) -> Facts:
    scene.wrapper = ["setpriv", "--bounding-set=-linux_immutable"]
    fetch(scene, str(scene.archive), attributes="+i")
    return {"option": "attributes", "name": "+i"}


@case("ATTRIBUTES_WRONG")
def flag_that_nobody_knows(scene: Scene) -> Facts:
    fetch(scene, str(scene.archive), attributes="+!")
    return {"attributes": "+!", "flaw": "are no flags that chattr knows"}


@case("ATTRIBUTES_WRONG", DIRECT)
def flags_on_a_file_system_without_them(scene: Scene) -> Facts:
    scene.wrapper = ["unshare", "--mount", "sh", "-c", 'mount -t ramfs none "$0" && exec "$@"', str(scene.archive)]
    fetch(scene, str(scene.archive), attributes="+i")
    return {"attributes": "+i", "flaw": f"can't be set on the file system of {scene.archive}"}


@case("ATTRIBUTES_REFUSED")
def flag_for_folders_alone(scene: Scene) -> Facts:
    scene.may_change = True
    fetch(scene, str(scene.archive), attributes="+F")
    assert scene.outcome is not None
    assert scene.outcome.result["changed"] is True
    assert sorted(os.listdir(scene.archive)) == ["there.plb", "there.plb.json", "there.plb.sha256"]
    return {"path": str(scene.archive / "there.plb"), "said": re.compile(".*chattr: .*")}


@case("FILE_IMMUTABLE")
def immutable_file_in_the_way(scene: Scene) -> Facts:
    path = scene.file("there.plb")
    subprocess.run(["chattr", "+i", path], check=True)
    try:
        fetch(scene, str(scene.archive))
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    return {"path": path}


@case("FETCH_OTHER_MACHINE")
def backup_of_another_machine_in_the_way(scene: Scene) -> Facts:
    found = forge_manifest(scene, machineid="ffffffffffff")
    fetch(scene, str(scene.archive))
    return {"path": str(scene.archive / "there.plb"), "origin": "ffffffffffff", "found": found}


@case("FETCH_MANIFEST_UNUSABLE")
def manifest_of_a_later_version_in_the_way(scene: Scene) -> Facts:
    forge_manifest(scene, schema_version=2)
    fetch(scene, str(scene.archive))
    path = str(scene.archive / "there.plb")
    return {"path": path, "manifest": path + ".json", "why": "has schema version 2, this collection knows 1"}


def forge_manifest(scene: Scene, **changed: Any) -> str:
    """Fetch a backup, then change its manifest; returns the system's machine id."""
    scene.place("there.plb", b"the content from before")
    scene.run(TRANSFER, direction="fetch", name="there.plb", dest=str(scene.archive))
    path = scene.archive / "there.plb.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, **changed}), encoding="utf-8")
    return str(document["machineid"])


@case("FOLDER_LOCKED")
def program_that_locks_the_folder(scene: Scene) -> Facts:
    descriptor = os.open(scene.archive, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        fetch(scene, str(scene.archive), wait_timeout=0.2)
    finally:
        os.close(descriptor)
    return {"folder": str(scene.archive), "seconds": 0.2}


@case("PLACED_BY_ANOTHER")
def another_task_where_there_are_no_locks(scene: Scene) -> Facts:
    path = scene.archive / "there.plb"
    hook = f"""\
import errno
import fcntl
import os

rename = os.rename


def without_locks(descriptor, operation):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def overtaken(source, target, **folders):
    rename(source, target, **folders)
    if source == "content":
        with open({str(path)!r} + ".other", "wb") as other:
            other.write(b"of another task")
        rename({str(path)!r} + ".other", {str(path)!r})


fcntl.flock = without_locks
os.rename = overtaken
"""
    scene.python("sitecustomize.py", hook)
    scene.may_change = True
    fetch(scene, str(scene.archive))
    assert os.listdir(scene.archive) == ["there.plb"]
    return {"path": str(path)}
