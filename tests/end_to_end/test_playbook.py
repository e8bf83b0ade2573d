# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook backs up every system and fetches the backups; a second run changes nothing."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import ansible_collections.netops.activelogic as collection
import yaml

from tests.harness.ansible_runs import Runner
from tests.harness.login import DIRECT
from tests.harness.observer import backups_on, digest_of_systems, digest_of_tree

PLAYBOOK = "netops.activelogic.backup_and_fetch"
ROLE = Path(next(iter(collection.__path__))) / "roles" / "backup_and_fetch"
DEFAULTS = set(yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8")))
INPUT = "netops.activelogic.backup_and_fetch : Check the input"
CHECK = "netops.activelogic.backup_and_fetch : Check that the destination is absolute and outlives the job"
FETCH = "netops.activelogic.backup_and_fetch : Fetch the backup and verify it"


def test_playbook_saves_every_system_and_says_what(through_gateway: Runner, tmp_path: Path) -> None:
    """One system through the gateway, one direct; a failed one gets a row and does not stop the others."""
    ansible, dest, saved = through_gateway, tmp_path / "archive", ("edge1", "edge2")
    ansible.reach("edge2", DIRECT)
    wanted = {"backup_and_fetch_dest": f"{dest}/", "backup_and_fetch_prefix": "play-"}
    ansible.hosts = (*saved, "edge-unknown")
    checked = ansible.playbook(PLAYBOOK, check=True, variables=wanted)
    assert (
        "\ncheck mode, nothing was written: 2 of 3 would be saved, 0 unchanged; 1 failed: edge-unknown\n"
        in checked.output
    )
    assert not dest.exists()

    first = ansible.playbook(PLAYBOOK, variables=wanted)
    assert first.code == 2, first.output
    for system in saved:
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
    assert sorted(each.name for each in dest.iterdir()) == list(saved)
    assert re.search(r"^edge-unknown +FAILED ", first.output, re.MULTILINE)
    assert "\n2 of 3 saved; 1 failed: edge-unknown\n" in first.output

    ansible.hosts = saved
    files, systems = digest_of_tree(dest), digest_of_systems(ansible.lab)
    # As with unanswered survey questions, and with no group of hosts.
    unanswered = dict.fromkeys(DEFAULTS - set(wanted), "")
    second = ansible.playbook(PLAYBOOK, variables={**unanswered, **wanted, "activelogic_hosts": ""})
    assert second.code == 0, second.output
    assert second.output.count("changed=0") == len(saved)
    assert (digest_of_tree(dest), digest_of_systems(ansible.lab)) == (files, systems)


def test_destination_that_is_missing_or_would_be_lost_is_refused_before_anything_is_made(
    through_gateway: Runner, tmp_path: Path
) -> None:
    """An upgrade would delete a relative one, inside the collection; one in a container is lost with its job."""
    ansible = through_gateway
    before = digest_of_systems(ansible.lab)
    ansible.hosts = ("edge1", "edge2", "edge3", "edge-without")
    other_user = {"ansible_become": True, "ansible_become_method": "ansible.builtin.su"}  # without the job's variables
    ansible.host_variables = {
        "edge1": {"backup_and_fetch_dest": "backups"},
        "edge2": {"backup_and_fetch_dest": "/archive-of-nobody", **other_user},
        "edge3": {"backup_and_fetch_dest": "/archive-of-nobody"},
    }
    job = {"container": "podman", "AWX_PRIVATE_DATA_DIR": str(tmp_path)}
    run = ansible.run(["ansible-playbook", "-i", ansible.inventory(), PLAYBOOK], job)
    assert run.code == 2
    assert "\n0 of 4 saved; 4 failed: edge-without, edge1, edge2, edge3\n" in run.output
    said = {host: run.result(host, CHECK)["msg"] for host in ("edge1", "edge2", "edge3")}
    assert f"would have become {ROLE.parent.parent / 'playbooks' / 'backups'};" in said["edge1"]
    for host in ("edge2", "edge3"):
        assert "lies inside the container of this job (in the " in said[host]
    assert "backup_and_fetch_dest is empty" in run.result("edge-without", INPUT)["msg"]
    assert digest_of_systems(ansible.lab) == before
