# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and contents from a system can't choose a folder, manipulate a terminal, or block a task."""

from __future__ import annotations

import hashlib
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.errors.conftest import OUTSIDE_SYSTEM
from tests.errors.odd_gateway import NAME, content, document, state
from tests.errors.scene import INFO, ODD_GATEWAY, TRANSFER, Scene
from tests.harness.lab import Lab
from tests.harness.login import DIRECT

OUTSIDE = "../../20250601T000000Z-0000.plb"
GOOD = "20250101T000000Z-0000.plb"
SPOOFING = "a\u202eblp.20250102T000000Z-0000.plb"
"""A legal name that is displayed as a different one."""


@pytest.fixture
def scene(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    made = Scene(lab, OUTSIDE_SYSTEM, request.param, tmp_path)
    yield made
    made.odd.stop()


def succeeded(scene: Scene) -> dict[str, Any]:
    assert scene.outcome is not None
    assert scene.outcome.code == 0, scene.outcome.output
    return scene.outcome.result


def warning(result: dict[str, Any]) -> str:
    """The only warning of a result; newer versions of ansible-core wrap it in a mapping."""
    (found,) = result["warnings"]
    return str(found["event"]["msg"] if isinstance(found, dict) else found)


def give(scene: Scene, name: str, backup: bytes) -> None:
    """Put this backup on the odd gateway."""
    sha256 = hashlib.sha256(backup).hexdigest()
    scene.odd.answers |= {
        "GET backups": document([{"name": name, "size": len(backup)}]),
        "GET operation": state("succeeded", result={"name": name, "size": len(backup), "sha256": sha256}),
        "GET content": content(backup),
    }


@pytest.mark.parametrize("scene", [ODD_GATEWAY], indirect=True)
def test_the_latest_backup_is_none_that_chooses_a_folder(scene: Scene) -> None:
    size = len(b"the content of a backup, as the odd gateway has it")
    names = [OUTSIDE, "../x.plb", GOOD, "\x1b[2J.plb"]
    scene.odd.answers["GET backups"] = document([{"name": name, "size": size} for name in names])
    dest = scene.archive / "a" / "b"
    scene.run(TRANSFER, direction="fetch", latest=True, dest=f"{dest}/")
    result = succeeded(scene)
    assert result["file"]["path"] == f"{dest}/{GOOD}"
    assert sorted(each.name for each in scene.archive.rglob("*") if each.is_file()) == [
        GOOD, f"{GOOD}.json", f"{GOOD}.sha256",
    ]  # fmt: skip
    said = warning(result)
    assert "passed over (3)" in said
    assert f"'{OUTSIDE}' holds '/'" in said
    assert r"'\x1b[2J.plb' holds a control character" in said
    assert said.isprintable()


@pytest.mark.parametrize("scene", [DIRECT], indirect=True)
def test_a_system_that_is_reached_directly_chooses_no_folder_either(scene: Scene) -> None:
    scene.odd_sdk("Escaping")
    scene.run(TRANSFER, direction="fetch", latest=True, dest=f"{scene.archive}/", on_missing="skip")
    result = succeeded(scene)
    assert (result["action"], result["file"]) == ("skipped", None)
    assert f"'{OUTSIDE}' holds '/'" in warning(result)


@pytest.mark.parametrize("scene", [ODD_GATEWAY], indirect=True)
def test_a_name_is_exact_in_results_and_escaped_in_sentences(scene: Scene) -> None:
    scene.odd.answers["GET backups"] = document([{"name": SPOOFING, "size": 1}])
    scene.run(INFO, name=SPOOFING)
    assert [each["name"] for each in succeeded(scene)["backups"]] == [SPOOFING]
    scene.run("activelogic_backup", state="restored", name="other.plb")
    assert scene.outcome is not None
    message = scene.outcome.result["msg"]
    assert r"backups there: a\u202eblp.20250102T000000Z-0000.plb." in message
    scene.run("activelogic_backup", state="absent", name=SPOOFING)
    assert scene.outcome is not None
    assert scene.outcome.result["msg"].isprintable()


@pytest.mark.parametrize("scene", [ODD_GATEWAY], indirect=True)
def test_an_archive_that_would_hold_the_module_up_is_fetched_and_not_vouched_for(scene: Scene) -> None:
    digits = b"1" * 2_000_000
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(digits)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    give(scene, NAME, header + digits + bytes(-len(digits) % 512) + tarfile.TarInfo("a").tobuf() + bytes(1024))
    begun = time.monotonic()
    scene.run(TRANSFER, direction="fetch", name=NAME, dest=f"{scene.archive}/")
    result = succeeded(scene)
    assert time.monotonic() - begun < 20
    assert result["verified_by"] == ["size", "digest"]
    assert "was not checked, and may be damaged (verify): it holds an extended header" in warning(result)
    scene.run("activelogic_backup", state="present", name=NAME)
    result = succeeded(scene)
    assert (result["action"], result["verified_by"]) == ("reused", ["size"])
    assert "was not checked" in str(result["warnings"])
