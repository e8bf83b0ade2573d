# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Side files of another origin stop a push, also when they are unreadable or reached through links."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scene import NAME, PUSHED, WANTED, Outcome, Scene, digest
from tests.harness.login import DIRECT

STRANGER = "ffffffffffff"
WITHOUT_PRIVILEGES = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Root without the capabilities that bypass file permissions."""


def manifest(content: bytes = PUSHED, **changed: Any) -> bytes:
    document = {
        "machineid": STRANGER,
        "host": "edge0",
        "distversion": "22.20.06.1",
        "name": "pushed.plb",
        "size": len(content),
        "sha256": digest(content),
        "fetched_at": "2026-01-31T00:00:00Z",
        "collection_version": "0.1.0",
        "schema_version": 1,
    }
    return json.dumps({**document, **changed}).encode("utf-8")


def sums(content: bytes) -> bytes:
    return f"{digest(content)}  pushed.plb\n".encode()


def beside(path: Path, suffix: str, content: bytes, mode: int = 0o600) -> None:
    place = path.with_name(path.name + suffix)
    place.write_bytes(content)
    place.chmod(mode)


def linked(scene: Scene, *hops: str) -> Path:
    """Create a chain of links to the file, each in its own folder; returns the last one."""
    path = scene.src
    for each in hops:
        link = scene.folder / each / "link.plb"
        link.parent.mkdir()
        link.symlink_to(os.path.relpath(path, link.parent) if each == "relative" else path)
        path = link
    return path


Arrange = Callable[[Scene], "Path | None"]


def chain(scene: Scene, where: int) -> Path:
    last = linked(scene, "first", "relative", "last")
    places = [scene.src, scene.folder / "first" / "link.plb", scene.folder / "relative" / "link.plb", last]
    beside(places[where], ".json", manifest())
    return last


REFUSED: dict[str, tuple[str, Arrange]] = {
    "another machine": ("conflict", lambda scene: beside(scene.src, ".json", manifest())),
    "cut off": ("local_file", lambda scene: beside(scene.src, ".json", manifest()[:40])),
    "empty": ("local_file", lambda scene: beside(scene.src, ".json", b"")),
    "not JSON": ("local_file", lambda scene: beside(scene.src, ".json", b"machineid: x\n")),
    "later schema": ("local_file", lambda scene: beside(scene.src, ".json", manifest(schema_version=2))),
    "without machine": ("local_file", lambda scene: beside(scene.src, ".json", manifest(machineid=None))),
    "not readable": ("local_file", lambda scene: beside(scene.src, ".json", manifest(), 0o000)),
    "a folder": ("local_file", lambda scene: scene.src.with_name("pushed.plb.json").mkdir()),
    "a dangling link": (
        "local_file",
        lambda scene: scene.src.with_name("pushed.plb.json").symlink_to(scene.folder / "missing"),
    ),
    "a pipe": ("local_file", lambda scene: os.mkfifo(scene.src.with_name("pushed.plb.json"))),
    "other content": ("transfer", lambda scene: beside(scene.src, ".json", manifest(WANTED))),
    "beside the target of links": ("conflict", lambda scene: chain(scene, 0)),
    "beside the first link": ("conflict", lambda scene: chain(scene, 1)),
    "beside a link between": ("conflict", lambda scene: chain(scene, 2)),
    "beside the last link": ("conflict", lambda scene: chain(scene, 3)),
    "digest of other content": ("transfer", lambda scene: beside(scene.src, ".sha256", sums(WANTED))),
    "digest cut off": ("local_file", lambda scene: beside(scene.src, ".sha256", sums(PUSHED)[:40])),
    "digest not readable": ("local_file", lambda scene: beside(scene.src, ".sha256", sums(PUSHED), 0o000)),
    "digest empty": ("local_file", lambda scene: beside(scene.src, ".sha256", b"")),
}


def push(scene: Scene, src: Path, check: bool = False, **more: Any) -> Outcome:
    options = scene.options(DIRECT, direction="push", src=str(src), name="new.plb", **more)
    return scene.run({**options, "_ansible_check_mode": check}, wrapper=WITHOUT_PRIVILEGES if as_root() else ())


def as_root() -> bool:
    return os.geteuid() == 0


@pytest.mark.parametrize("case", REFUSED)
def test_a_push_that_something_speaks_against_is_refused(scene: Scene, case: str) -> None:
    kind, arrange = REFUSED[case]
    src = arrange(scene) or scene.src
    outcome = push(scene, src, check=len(case) % 2 == 0)
    assert (outcome.code, outcome.kind) == (1, kind), outcome.output
    assert scene.listed() == {NAME: digest(WANTED)}
    if kind != "conflict":  # other_machine only overrides conflicts
        assert push(scene, src, other_machine=True).kind == kind
        assert scene.listed() == {NAME: digest(WANTED)}


@pytest.mark.skipif(not as_root(), reason="only root can give itself up")
def test_permissions_bind_who_pushes_here(scene: Scene) -> None:
    """The premise of the test above."""
    scene.src.chmod(0o000)
    done = subprocess.run([*WITHOUT_PRIVILEGES, "cat", str(scene.src)], check=False, capture_output=True)
    assert done.returncode != 0


@pytest.mark.parametrize("where", range(4))
def test_another_machine_is_pushed_when_the_task_says_so(scene: Scene, where: int) -> None:
    outcome = push(scene, chain(scene, where), other_machine=True)
    assert outcome.code == 0, outcome.output
    assert scene.listed()["new.plb"] == digest(PUSHED)


@pytest.mark.parametrize("content", [b"", sums(PUSHED), digest(PUSHED).upper().encode()])
def test_a_push_that_nothing_speaks_against_runs(scene: Scene, content: bytes) -> None:
    if content:
        beside(scene.src, ".sha256", content)
    outcome = push(scene, linked(scene, "first", "relative"))
    assert outcome.code == 0, outcome.output
    assert scene.listed()["new.plb"] == digest(PUSHED)


def test_a_manifest_that_a_killed_fetch_put_aside_still_counts(scene: Scene) -> None:
    beside(scene.src, ".json", manifest())
    options = scene.options(DIRECT, direction="fetch", name=NAME, dest=str(scene.src), verify="size")
    killed = scene.run({**options, "other_machine": True}, "_files._placing:Part._set_aside:after:1")
    assert killed.code < 0, killed.output
    assert not scene.src.with_name("pushed.plb.json").exists()
    outcome = push(scene, scene.src)
    assert (outcome.code, outcome.kind) == (1, "conflict"), outcome.output
    assert STRANGER in outcome.message
