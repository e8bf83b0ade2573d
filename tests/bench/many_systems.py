# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role on many systems, compared with a threaded program that makes the same calls without pausing."""

from __future__ import annotations

import base64
import json
import os
import resource
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from activelogic_embedded.store import Store

from tests.bench.rounds import Row, in_turn
from tests.bench.stage import HERE, LIMIT, Stage, require
from tests.harness.ansible_runs import succeeded

PLAYBOOK = "netops.activelogic.backup_and_fetch"
SYSTEMS = 50
FORKS = 10
BYTES_OF_BACKUP = 10_000_000


def many_systems(stage: Stage) -> list[Row]:
    """On every system: make a backup, wait until it is complete, fetch it and verify it."""
    hosts = list(stage.lab.systems[: stage.number(SYSTEMS)])
    stage.runner.hosts = tuple(hosts)
    filler = base64.b64encode(secrets.token_bytes(round(BYTES_OF_BACKUP * min(1.0, stage.scale)))).decode("ascii")
    for host in hosts:  # gzip undoes the growth that base64 causes
        Store(stage.lab.root / host).change("Config", lambda data: {**data, "filler": filler})

    def role() -> float:
        dest = clear()
        given = json.dumps({"backup_and_fetch_dest": str(dest)})
        command = ["ansible-playbook", "-i", stage.runner.inventory(), "-f", str(FORKS), "-e", given, PLAYBOOK]
        runs = []
        before, since = _processor_seconds(stage), time.monotonic()
        seconds = stage.seconds(lambda: runs.append(succeeded(stage.runner.run(command))))
        ansible, gateway = (after - earlier for after, earlier in zip(_processor_seconds(stage), before))
        own = [each["result"]["elapsed"] for each in runs[0].results if "elapsed" in each["result"]]
        stage.tell(
            f"  role: {seconds:.1f} s; processor: Ansible and modules {ansible:.1f} s, gateway with systems"
            f" {gateway:.1f} s, in all {(ansible + gateway) / (time.monotonic() - since):.2f} of"
            f" {os.cpu_count()} processors; the {len(own)} modules' own time {sum(own):.1f} s"
        )
        return checked(dest, seconds)

    def program() -> float:
        dest = clear()
        task: dict[str, Any] = {
            "url": stage.lab.url,
            "ca": str(stage.lab.ca_path),
            "login": [stage.lab.username, stage.lab.password],
            "systems": hosts,
            "dest": str(dest),
            "threads": FORKS,
        }
        command = [sys.executable, str(HERE / "plain_program.py")]
        seconds = stage.seconds(
            lambda: subprocess.run(command, input=json.dumps(task), text=True, timeout=LIMIT, check=True)
        )
        return checked(dest, seconds)

    def clear() -> Path:
        for host in hosts:
            for each in stage.backups(host).iterdir():
                each.unlink()
        return stage.empty_folder("fetched")

    def checked(dest: Path, seconds: float) -> float:
        sizes = [each.stat().st_size for each in dest.glob("*/*.plb")]
        require(len(sizes) == len(hosts), f"{len(sizes)} backups were fetched from {len(hosts)} systems")
        stage.tell(f"  {sum(sizes) / len(sizes) / 1e6:.1f} MB a backup")
        return seconds

    figures = in_turn({"role": role, "program": program}, stage.rounds, stage.tell)
    clear()
    shutil.rmtree(stage.folder / "fetched")
    work = f"role backup_and_fetch, {len(hosts)} systems, {FORKS} forks"
    return [Row(work, f"a program with {FORKS} threads, the same calls", figures["role"], figures["program"])]


def _processor_seconds(stage: Stage) -> tuple[float, float]:
    """CPU seconds used by finished child processes, and by the gateway."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    gateway = Path(f"/proc/{stage.lab.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    ticks = int(gateway[11]) + int(gateway[12])
    return children.ru_utime + children.ru_stime, ticks / os.sysconf("SC_CLK_TCK")
