# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Transfers where the machine's locale is not UTF-8: Ansible passes file names as UTF-8 all the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.faults.scene import NAME, WANTED, Scene, digest, names
from tests.harness.login import DIRECT, GATEWAY


@pytest.fixture(scope="session")
def latin1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the locale de_DE in ISO-8859-1."""
    folder = tmp_path_factory.mktemp("locales")
    command = ["localedef", "--no-archive", "-i", "de_DE", "-f", "ISO-8859-1", str(folder / "de_DE.ISO-8859-1")]
    subprocess.run(command, check=False, capture_output=True)  # localedef warns
    if not (folder / "de_DE.ISO-8859-1").exists():
        pytest.skip("localedef can't make this locale here")
    return folder


@pytest.mark.parametrize("locale", ["de_DE.ISO-8859-1", "C"])
@pytest.mark.parametrize(
    ("way", "name"),
    [
        (GATEWAY, "Größe.plb"),
        (GATEWAY, "日本.plb"),
        (DIRECT, "plain.plb"),  # the embedded system stores backups as files, whose names depend on the locale
    ],
)
def test_names_outside_the_locale(scene: Scene, latin1: Path, way: str, locale: str, name: str) -> None:
    wrapper = ["env", f"LC_ALL={locale}", f"LOCPATH={latin1}", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0"]
    (scene.backups / name).write_bytes(WANTED)
    archive = scene.folder / "Ärchiv 日"
    options = scene.options(way, direction="fetch", name=name, dest=f"{archive}/", validate="test -s %s")
    for action in ("fetched", "unchanged"):
        outcome = scene.run(options, wrapper=wrapper)
        assert outcome.code == 0, outcome.output
        assert outcome.result["action"] == action
        assert outcome.result["file"]["path"] == f"{archive}/{name}"
    assert names(archive) == sorted([name, f"{name}.json", f"{name}.sha256"])
    subprocess.run(["sha256sum", "-c", "--strict", f"{name}.sha256"], cwd=archive, check=True, capture_output=True)
    (scene.backups / name).unlink()
    outcome = scene.run(scene.options(way, direction="push", src=f"{archive}/{name}"), wrapper=wrapper)
    assert outcome.code == 0, outcome.output
    assert scene.listed()[name] == digest(WANTED)
    outcome = scene.run(scene.options(way, direction="push", src=f"{archive}/Ö.plb"), wrapper=wrapper)
    assert (outcome.code, outcome.kind) == (1, "local_file"), outcome.output
    assert f"{archive}/Ö.plb: " in outcome.message, outcome.output


@pytest.mark.parametrize("locale", ["de_DE.ISO-8859-1", "C"])
def test_certificates_outside_the_locale(scene: Scene, latin1: Path, locale: str) -> None:
    wrapper = ["env", f"LC_ALL={locale}", f"LOCPATH={latin1}", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0"]
    folder = scene.folder / "Schlüssel 鍵"
    folder.mkdir()
    authority, missing = folder / "ça.pem", folder / "é.pem"
    authority.write_bytes(scene.lab.ca_path.read_bytes())
    options = scene.options(direction="fetch", name=NAME, dest=f"{scene.folder}/new.plb", ca_path=str(authority))
    outcome = scene.run(options, wrapper=wrapper)
    assert outcome.code == 0, outcome.output
    for option in ("client_cert", "ca_path"):
        outcome = scene.run({**options, option: str(missing)}, wrapper=wrapper)
        assert (outcome.code, outcome.kind) == (1, "option"), outcome.output
        assert f"{option} {missing} does not exist" in outcome.message, outcome.output
    outcome = scene.run({**options, "client_cert": str(authority)}, wrapper=wrapper)
    assert (outcome.code, outcome.kind) == (1, "option"), outcome.output
    assert f"client_cert {authority} contains no key" in outcome.message, outcome.output
    authority.write_bytes(b"")
    outcome = scene.run(options, wrapper=wrapper)
    assert f"ca_path {authority} is empty" in outcome.message, outcome.output
