# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetching and pushing one large backup: the module, alone and within Ansible, against a shell script with curl."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.bench.rounds import Row, in_turn
from tests.bench.stage import LargeFile, Stage, require
from tests.harness.ansible_runs import TRANSFER

MIB_OF_FILE = 1024
NAME = "large.plb"
GOAL = 0.9
SHA256SUM = "sha256sum"
OPENSSL = "openssl dgst -r -sha256"
"""May use the CPU's SHA-256 instructions where ``sha256sum`` does not; measured only if it is installed."""


def fetch(stage: Stage) -> list[Row]:
    """From the system to a verified file on disk."""
    file = stage.large_file("large", MIB_OF_FILE)
    held = stage.backups(stage.lab.systems[0]) / NAME
    held.hardlink_to(file.path)

    def options(dest: Path) -> dict[str, str]:
        return {"direction": "fetch", "name": NAME, "dest": f"{dest}/"}

    def module() -> float:
        dest = stage.empty_folder("fetched")
        seconds = stage.seconds(lambda: stage.transfer(**options(dest)))
        return checked(dest, seconds)

    def ansible() -> float:
        dest = stage.empty_folder("fetched")
        seconds = stage.seconds(lambda: stage.ansible([stage.lab.systems[0]], TRANSFER, options(dest)))
        return checked(dest, seconds)

    def curl(digest: str) -> float:
        dest = stage.empty_folder("fetched")
        return checked(dest, stage.seconds(lambda: stage.shell("fetch.sh", digest, dest / NAME, NAME)))

    def checked(dest: Path, seconds: float) -> float:
        require((dest / NAME).stat().st_size == file.size, "what was fetched has another size")
        return seconds

    rows = _rows(stage, "fetch", file, module, ansible, curl)
    held.unlink()
    file.path.unlink()
    shutil.rmtree(stage.folder / "fetched")
    return rows


def push(stage: Stage) -> list[Row]:
    """From a file to the system, which must list it with the right size."""
    file = stage.large_file("large", MIB_OF_FILE)
    held = stage.backups(stage.lab.systems[0]) / NAME
    options = {"direction": "push", "src": str(file.path), "name": NAME, "verify": "size"}

    def module() -> float:
        return checked(stage.seconds(lambda: stage.transfer(**options)))

    def ansible() -> float:
        return checked(stage.seconds(lambda: stage.ansible([stage.lab.systems[0]], TRANSFER, options)))

    def curl(digest: str) -> float:
        return checked(stage.seconds(lambda: stage.shell("push.sh", digest, file.path, NAME)))

    def checked(seconds: float) -> float:
        require(held.stat().st_size == file.size, "what was pushed has another size")
        held.unlink()
        return seconds

    rows = _rows(stage, "push", file, module, ansible, curl)
    file.path.unlink()
    return rows


def _rows(
    stage: Stage,
    verb: str,
    file: LargeFile,
    module: Callable[[], float],
    ansible: Callable[[], float],
    curl: Callable[[str], float],
) -> list[Row]:
    sides = {"module": module, "ansible": ansible, SHA256SUM: lambda: curl(SHA256SUM)}
    if shutil.which("openssl"):
        sides["openssl"] = lambda: curl(OPENSSL)
    figures = in_turn(sides, stage.rounds, stage.tell)
    size = f"{file.size // 2**20} MiB"
    works = {"module": f"{verb} {size}, the module's process", "ansible": f"{verb} {size}, the command ansible"}
    return [
        Row(work, f"curl and {other}", figures[side], figures[other], GOAL if other == SHA256SUM else None)
        for other in sides
        if other not in works
        for side, work in works.items()
    ]
