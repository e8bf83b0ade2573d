# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetches and pushes that are refused, or whose data change on the way."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from tests.errors.scene import TRANSFER, Facts, Scene, case
from tests.harness.login import DIRECT

NAME = "pushed.plb"
CONTENT = b"the content of a file"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
DAMAGED = "is a gzip archive that is damaged, or of which bytes are missing"
TIME_OF_GZIP = 4
"""Offset of gzip's mtime, which no checksum covers (RFC 1952, section 2.3)."""

GONE = "nothing of it is on the system; run the task again"


def fetch(scene: Scene, **options: Any) -> bytes:
    """Make a backup and fetch it; returns its content."""
    content = scene.make("there.plb")
    scene.run(TRANSFER, direction="fetch", name="there.plb", dest=str(scene.archive), **options)
    return content


def push(scene: Scene, **options: Any) -> None:
    """Push a file, by default a new one."""
    scene.run(TRANSFER, direction="push", **{"src": scene.file(NAME, CONTENT), **options})


@case("ARRIVED_SHORT", DIRECT)
def download_that_breaks_off(scene: Scene) -> Facts:
    scene.fault("download", "cut", when="during", at=10)
    content = fetch(scene)
    return {"size": 10, "listed": len(content)}


@case("FETCH_DAMAGED")
def bit_that_flips_in_an_archive(scene: Scene) -> Facts:
    scene.fault("download", "flip", when="during", at=100, times=1)
    fetch(scene)
    return {"why": DAMAGED}


@case("PUSH_DAMAGED")
def half_an_archive_to_push(scene: Scene) -> Facts:
    content = scene.make("there.plb")
    scene.run(TRANSFER, direction="push", src=scene.file(NAME, content[: len(content) // 2]))
    return {"path": str(scene.archive / NAME), "why": DAMAGED}


@case("FETCH_READ_OTHER")
def bit_that_flips_in_one_of_two_downloads(scene: Scene) -> Facts:
    scene.fault("download", "flip", when="during", at=TIME_OF_GZIP, times=1)
    content = fetch(scene, verify="content")
    return {"first": re.compile("[0-9a-f]{64}"), "second": hashlib.sha256(content).hexdigest()}


@case("CHECKSUM_OTHER")
def another_backup_than_expected(scene: Scene) -> Facts:
    content = fetch(scene, checksum="sha256:" + "0" * 64)
    return {"found": hashlib.sha256(content).hexdigest(), "wanted": "0" * 64}


@case("VALIDATE_REFUSED")
def command_that_says_no(scene: Scene) -> Facts:
    fetch(scene, validate="ls --no-such-option %s")
    return {"code": 2, "said": re.compile(".*no-such-option.*")}


@case("PUSH_EMPTY")
def empty_file(scene: Scene) -> Facts:
    path = scene.file("empty.plb", b"")
    push(scene, src=path)
    return {"path": path}


@case("PUSH_NOT_AS_MANIFEST")
def file_that_was_changed(scene: Scene) -> Facts:
    fetch(scene)
    path = scene.file("there.plb", CONTENT)
    push(scene, src=path)
    return {"path": path, "manifest": path + ".json", "size": len(CONTENT), "sha256": SHA256}


@case("PUSH_NOT_AS_DIGEST")
def file_with_another_digest(scene: Scene) -> Facts:
    path = scene.file(NAME, CONTENT)
    scene.file(NAME + ".sha256", b"0" * 64 + b"  " + NAME.encode("ascii") + b"\n")
    push(scene, src=path)
    return {"path": path, "file": path + ".sha256", "sha256": SHA256}


@case("PUSH_EVIDENCE_UNUSABLE")
def manifest_that_is_cut_off(scene: Scene) -> Facts:
    fetch(scene)
    path = scene.archive / "there.plb.json"
    path.write_bytes(path.read_bytes()[:40])
    push(scene, src=str(scene.archive / "there.plb"))
    return {"path": str(scene.archive / "there.plb"), "file": str(path), "why": "is cut off, or is not JSON"}


@case("PUSH_OTHER_MACHINE")
def file_of_another_machine(scene: Scene) -> Facts:
    fetch(scene)
    manifest = scene.archive / "there.plb.json"
    document = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**document, "machineid": "ffffffffffff"}), encoding="utf-8")
    path = str(scene.archive / "there.plb")
    push(scene, src=path)
    return {"path": path, "origin": "ffffffffffff", "found": document["machineid"]}


@case("PUSH_OTHER_THERE")
def another_backup_of_that_name(scene: Scene) -> Facts:
    scene.place(NAME, b"another one")
    push(scene)
    return {"there": re.compile("the system has 11 bytes and SHA-256 .*"), "size": len(CONTENT), "sha256": SHA256}


@case("PUSH_CHANGED", DIRECT)
def file_that_changes(scene: Scene) -> Facts:
    scene.odd_sdk("ChangingFile")
    scene.may_change = True
    scene.hint = "what had arrived was removed from the system again; run the task again"
    push(scene)
    assert scene.listed() == {}
    return {"path": str(scene.archive / NAME)}


@case("PUSH_NOT_LISTED", DIRECT)
def upload_that_comes_to_nothing(scene: Scene) -> Facts:
    scene.odd_sdk("Forgetting")
    scene.hint = GONE
    push(scene)
    return {"size": len(CONTENT)}


@case("PUSH_SHORT", DIRECT)
def upload_that_breaks_off(scene: Scene) -> Facts:
    scene.fault("upload", "cut", when="during", at=10)
    scene.may_change = True
    scene.hint = GONE
    push(scene)
    assert scene.listed() == {}
    return {"size": len(CONTENT), "listed": 10, "then": ", which were removed again"}


@case("PUSH_ARRIVED_OTHER")
def bit_that_flips_on_the_way_to_the_system(scene: Scene) -> Facts:
    scene.fault("upload", "flip", when="during", at=10)
    scene.may_change = True
    scene.hint = "what had arrived was removed from the system again; run the task again"
    push(scene, verify="content")
    assert scene.listed() == {}
    return {"there": re.compile(f"the system has {len(CONTENT)} bytes and SHA-256 [0-9a-f]{{64}}")}


@case("PUSH_UNSEEN", DIRECT)
def connection_lost_after_the_upload(scene: Scene) -> Facts:
    scene.odd_sdk("LostAfterUpload")
    scene.may_change = True
    scene.hint = r"looking for it failed too \(.*\): look at the system's backups before you run the task again"
    push(scene)
    assert scene.listed() == {NAME: len(CONTENT)}
    return {"reason": "the connection was lost (the connection was lost)"}


@case("PUSH_OLD_UNREADABLE")
def backup_that_reads_otherwise_each_time(scene: Scene) -> Facts:
    scene.place(NAME, b"another one")
    scene.fault("download", "flip", when="during", at=5, times=1)
    push(scene, force=True)
    facts = "the system has 11 bytes and SHA-256 "
    return {
        "first": re.compile(facts + "[0-9a-f]{64}"),
        "second": facts + hashlib.sha256(b"another one").hexdigest(),
    }


@case("PUSH_LOST_OLD", DIRECT)
def neither_new_nor_old(scene: Scene) -> Facts:
    scene.place(NAME, b"another one")
    scene.fault("upload", "refuse")
    scene.may_change = True
    scene.hint = "the backup from before is kept in .*; look at the system's backups before you run the task again"
    push(scene, force=True)
    said = "the system answered with PLDBError (the system can't do upload now)"
    return {"reason": said, "second": said}
