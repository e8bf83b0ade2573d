# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Peak memory of the module's process with a small and with a large file, in each direction."""

from __future__ import annotations

import shutil

from tests.bench.rounds import Row, in_turn
from tests.bench.stage import LargeFile, Stage

MIB_OF_SMALL = 10
MIB_OF_LARGE = 2048
GOAL = 8.0


def memory(stage: Stage) -> list[Row]:
    """Fetch and push random bytes."""
    backups = stage.backups(stage.lab.systems[0])
    files = {"small": stage.large_file("small", MIB_OF_SMALL), "large": stage.large_file("large", MIB_OF_LARGE)}
    for name, file in files.items():
        (backups / name).hardlink_to(file.path)

    def fetch(name: str) -> float:
        dest = stage.empty_folder("fetched")
        return stage.transfer(direction="fetch", name=name, dest=f"{dest}/")[1]

    def push(file: LargeFile) -> float:
        given = {"direction": "push", "src": str(file.path), "name": "pushed", "verify": "size"}
        peak = stage.transfer(**given)[1]
        (backups / "pushed").unlink()
        return peak

    rows = []
    for direction, sides in {
        "fetch": {"large": lambda: fetch("large"), "small": lambda: fetch("small")},
        "push": {"large": lambda: push(files["large"]), "small": lambda: push(files["small"])},
    }.items():
        figures = in_turn(sides, stage.rounds, stage.tell)
        large, small = (f"{direction} of {files[name].size // 2**20} MiB" for name in ("large", "small"))
        row = Row(f"memory of the module, {large}", small, figures["large"], figures["small"], GOAL, "MiB")
        rows.append(row)
    for name, file in files.items():
        (backups / name).unlink()
        file.path.unlink()
    shutil.rmtree(stage.folder / "fetched")
    return rows
