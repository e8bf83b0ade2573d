# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook backs every system up and fetches the backups; a second run changes nothing."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from runner import Runner, backups_on, digest_of_systems, digest_of_tree

PLAYBOOK = "netops.activelogic.backup_and_fetch"
FETCH = "netops.activelogic.backup_and_fetch : Fetch the backup and verify it"


def options(dest: Path, prefix: str) -> dict[str, Any]:
    return {"backup_and_fetch_dest": str(dest), "backup_and_fetch_prefix": prefix}


def test_playbook_saves_every_system_and_says_what(ansible: Runner, tmp_path: Path) -> None:
    dest = tmp_path / "archive"
    wanted = options(dest, f"play-{ansible.way}-")
    checked = ansible.playbook(PLAYBOOK, check=True, variables=wanted)
    assert checked.code == 0, checked.output
    assert not dest.exists()

    first = ansible.playbook(PLAYBOOK, variables=wanted)
    assert first.code == 0, first.output
    for system in ansible.hosts:
        name = first.result(system, FETCH)["backup"]["name"]
        assert name in backups_on(ansible.lab, system)
        fetched = dest / system / name
        on_system = (Path(ansible.lab.root) / system / "backups" / name).read_bytes()
        assert fetched.read_bytes() == on_system
        subprocess.run(["sha256sum", "-c", "--strict", f"{name}.sha256"], cwd=fetched.parent, check=True)
        manifest = json.loads((dest / system / f"{name}.json").read_text(encoding="utf-8"))
        assert manifest["sha256"] == hashlib.sha256(on_system).hexdigest()
        assert manifest["size"] == len(on_system)
        assert manifest["host"] == system
        assert sorted(each.name for each in fetched.parent.iterdir()) == [name, f"{name}.json", f"{name}.sha256"]
        assert {each.stat().st_mode & 0o777 for each in fetched.parent.iterdir()} == {0o600}
        table = next(line for line in first.output.splitlines() if manifest["sha256"] in line and system in line)
        assert name in table
        assert str(manifest["size"]) in table

    files, systems = digest_of_tree(dest), digest_of_systems(ansible.lab)
    second = ansible.playbook(PLAYBOOK, variables=wanted)
    assert second.code == 0, second.output
    assert second.output.count("changed=0") == len(ansible.hosts)
    assert (digest_of_tree(dest), digest_of_systems(ansible.lab)) == (files, systems)


def test_system_that_fails_has_a_row_and_the_others_are_saved(ansible: Runner, tmp_path: Path) -> None:
    ansible.hosts = ("edge1", "edge-unknown")
    run = ansible.playbook(PLAYBOOK, variables=options(tmp_path / "archive", f"partly-{ansible.way}-"))
    assert run.code == 2, run.output
    assert list((tmp_path / "archive").iterdir()) == [tmp_path / "archive" / "edge1"]
    assert any(line.strip(' "').startswith("edge-unknown") and " failed" in line for line in run.output.splitlines())


def test_missing_destination_is_refused_before_anything_is_made(ansible: Runner) -> None:
    before = digest_of_systems(ansible.lab)
    run = ansible.playbook(PLAYBOOK)
    assert run.code == 2
    assert "backup_and_fetch_dest" in run.output
    assert digest_of_systems(ansible.lab) == before
