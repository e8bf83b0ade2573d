# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files where the module runs that can't be used."""

from __future__ import annotations

import os
import re

from scene import TRANSFER, Facts, Scene, case


def fetch(scene: Scene, dest: str, name: str = "there.plb") -> None:
    """Fetch a backup that is there."""
    scene.place(name, b"content" * 50_000)
    scene.run(TRANSFER, direction="fetch", name=name, dest=dest)


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
import os

lock = fcntl.flock


def tidied(descriptor, operation):
    lock(descriptor, operation)
    for each in glob.glob({str(scene.archive)!r} + "/.*.part"):
        os.unlink(each)


fcntl.flock = tidied
"""
    scene.python("sitecustomize.py", hook)
    fetch(scene, str(scene.archive))
    return {"path": re.compile(re.escape(str(scene.archive)) + r"/\.there\.plb\.\d+\.part")}
