# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listing many systems, compared with plain requests for the same documents."""

from __future__ import annotations

from tests.bench.rounds import Row, in_turn
from tests.bench.stage import Stage, require
from tests.harness.ansible_runs import INFO

SYSTEMS = 20
FORKS = 10
BACKUPS = 20
GOAL = 1.0


def listings(stage: Stage) -> list[Row]:
    """Both sides are complete runs of the command ``ansible``."""
    hosts = list(stage.lab.systems[: stage.number(SYSTEMS)])
    for host in hosts:
        for number in range(BACKUPS):
            (stage.backups(host) / f"{number}.plb").write_bytes(b"a small backup")
    request = {
        "url": "{{ activelogic_gateway_url }}/v1/systems/{{ inventory_hostname }}/backups",
        "url_username": "{{ activelogic_username }}",
        "url_password": "{{ activelogic_password }}",
        "force_basic_auth": True,
        "ca_path": "{{ activelogic_ca_path }}",
    }

    def ours() -> float:
        runs = []
        seconds = stage.seconds(lambda: runs.append(stage.ansible(hosts, INFO, {}, FORKS)))
        require(all(runs[0].result(host)["count"] == BACKUPS for host in hosts), "a listing is not whole")
        return seconds

    def uri() -> float:
        runs = []
        seconds = stage.seconds(lambda: runs.append(stage.ansible(hosts, "ansible.builtin.uri", request, FORKS)))
        require(all(len(runs[0].result(host)["json"]) == BACKUPS for host in hosts), "a listing is not whole")
        return seconds

    figures = in_turn({"ours": ours, "uri": uri}, stage.rounds, stage.tell)
    for host in hosts:
        for number in range(BACKUPS):
            (stage.backups(host) / f"{number}.plb").unlink()
    work = f"activelogic_backup_info, {len(hosts)} hosts, {FORKS} forks"
    return [Row(work, "uri, GET of the listing", figures["ours"], figures["uri"], GOAL)]
