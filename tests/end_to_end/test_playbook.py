# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook backs every system up and fetches the backups; a second run changes nothing."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import ansible_collections.netops.activelogic as collection
import yaml

from tests.harness.ansible_runs import Runner
from tests.harness.observer import backups_on, digest_of_systems, digest_of_tree

PLAYBOOK = "netops.activelogic.backup_and_fetch"
ROLE = Path(next(iter(collection.__path__))) / "roles" / "backup_and_fetch"
DEFAULTS = set(yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8")))
FETCH = "netops.activelogic.backup_and_fetch : Fetch the backup and verify it"


def options(dest: Path, prefix: str) -> dict[str, Any]:
    return {"backup_and_fetch_dest": f"{dest}/", "backup_and_fetch_prefix": prefix}


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
        assert f"{fetched}" in first.output

    files, systems = digest_of_tree(dest), digest_of_systems(ansible.lab)
    # A survey that nobody answered, and an inventory's group that nobody named.
    unanswered = dict.fromkeys(DEFAULTS - set(wanted), "")
    second = ansible.playbook(PLAYBOOK, variables={**unanswered, **wanted, "activelogic_hosts": ""})
    assert second.code == 0, second.output
    assert second.output.count("changed=0") == len(ansible.hosts)
    assert (digest_of_tree(dest), digest_of_systems(ansible.lab)) == (files, systems)


def test_system_that_fails_has_a_row_and_the_others_are_saved(ansible: Runner, tmp_path: Path) -> None:
    ansible.hosts = ("edge1", "edge-unknown")
    run = ansible.playbook(PLAYBOOK, variables=options(tmp_path / "archive", f"partly-{ansible.way}-"))
    assert run.code == 2, run.output
    assert list((tmp_path / "archive").iterdir()) == [tmp_path / "archive" / "edge1"]
    assert re.search(r"^edge-unknown +FAILED ", run.output, re.MULTILINE)
    assert "\n1 of 2 saved; 1 failed: edge-unknown\n" in run.output


def test_missing_destination_is_refused_before_anything_is_made(ansible: Runner) -> None:
    before = digest_of_systems(ansible.lab)
    run = ansible.playbook(PLAYBOOK)
    assert run.code == 2
    assert "backup_and_fetch_dest" in run.output
    assert digest_of_systems(ansible.lab) == before


def test_destination_that_would_be_lost_is_refused_before_anything_is_made(
    through_gateway: Runner, tmp_path: Path
) -> None:
    """A relative one would be in the collection, which its upgrade deletes; one of a container goes with its job."""
    before = digest_of_systems(through_gateway.lab)
    relative = through_gateway.playbook(PLAYBOOK, variables={"backup_and_fetch_dest": "backups"})
    assert relative.code == 2
    assert f"would have become {ROLE.parent.parent / 'playbooks' / 'backups'};" in " ".join(relative.output.split())
    (tmp_path / "host_vars").mkdir()
    other_user = {"ansible_become": True, "ansible_become_method": "ansible.builtin.su"}  # without the job's variables
    (tmp_path / "host_vars" / "edge2.yml").write_text(json.dumps(other_user), encoding="utf-8")
    through_gateway.variables["backup_and_fetch_dest"] = "/archive-of-nobody"
    job = {"container": "podman", "AWX_PRIVATE_DATA_DIR": str(tmp_path)}
    lost = through_gateway.run(["ansible-playbook", "-i", through_gateway.inventory(), PLAYBOOK], job)
    assert lost.code == 2
    assert "\n0 of 3 saved; 3 failed: edge1, edge2, edge3\n" in lost.output
    assert lost.output.count("lies inside the container of this job (in the ") >= len(through_gateway.hosts)
    assert digest_of_systems(through_gateway.lab) == before
