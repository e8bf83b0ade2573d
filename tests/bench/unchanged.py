# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetching an unchanged large backup again, compared with get_url, which only checks the file."""

from __future__ import annotations

import shutil

from tests.bench.rounds import Row, in_turn
from tests.bench.stage import Stage, require
from tests.harness.ansible_runs import TRANSFER

MIB_OF_FILE = 1024
NAME = "unchanged.plb"
GOAL = 1.15


def unchanged(stage: Stage) -> list[Row]:
    """Both sides are complete runs of the command ``ansible``, on a file that has been fetched before."""
    edge = stage.lab.systems[0]
    file = stage.large_file("large", MIB_OF_FILE)
    held = stage.backups(edge) / NAME
    held.hardlink_to(file.path)
    dest = stage.empty_folder("fetched")
    options = {"direction": "fetch", "name": NAME, "dest": f"{dest}/"}
    stage.ansible([edge], TRANSFER, options)
    address = f"{stage.lab.url}/v1/systems/{edge}/backups"  # never contacted
    looked_at = {"url": address, "dest": str(dest / NAME), "checksum": f"sha256:{file.sha256}"}

    def run(module: str, given: dict[str, str]) -> float:
        result = []
        seconds = stage.seconds(lambda: result.append(stage.ansible([edge], module, given).result(edge)))
        require(result[0].get("changed") is False, f"{module} changed something")
        return seconds

    sides = {
        "ours": lambda: run(TRANSFER, options),
        "get_url": lambda: run("ansible.builtin.get_url", looked_at),
    }
    figures = in_turn(sides, stage.rounds, stage.tell)
    held.unlink()
    file.path.unlink()
    shutil.rmtree(dest)
    work = f"fetch of an unchanged file of {file.size // 2**20} MiB, the command ansible"
    return [Row(work, "get_url with checksum, the command ansible", figures["ours"], figures["get_url"], GOAL)]
