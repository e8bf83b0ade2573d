# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmark environment: a lab, large files, timing, and ways to run a module or a command."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.ansible_runs import Run, Runner, succeeded
from tests.harness.lab import Lab
from tests.harness.login import GATEWAY, login_options
from tests.harness.module_process import start_module

MIB = 1024 * 1024
HERE = Path(__file__).parent
LIMIT = 600
"""Timeout of one measured run, in seconds."""

LOOK_SECONDS = 0.05


class BenchError(Exception):
    """Something can't be measured; the text gives the reason."""


@dataclass(frozen=True)
class LargeFile:
    """A file of random bytes; ``size`` in bytes, ``sha256`` in hex."""

    path: Path
    size: int
    sha256: str


class Stage:
    """What all benchmarks share.

    :param scale: factor for all sizes and counts; the goals apply to 1.
    :param tell: prints progress.
    """

    def __init__(self, lab: Lab, folder: Path, rounds: int, scale: float, tell: Callable[[str], None]) -> None:
        self.lab = lab
        self.folder = folder
        self.rounds = rounds
        self.scale = scale
        self.tell = tell
        self.runner = Runner(lab, GATEWAY, folder)
        self.runner.variables["ansible_python_interpreter"] = sys.executable  # for both sides: no interpreter discovery

    def number(self, most: int) -> int:
        """The scaled number of systems."""
        return max(2, round(most * self.scale))

    def backups(self, system: str) -> Path:
        """The folder of a system's backups."""
        return self.lab.root / system / "backups"

    def large_file(self, name: str, mib: float) -> LargeFile:
        """Write a file of random, incompressible bytes."""
        path = self.folder / name
        pieces = max(1, round(mib * self.scale))
        digest = hashlib.sha256()
        with path.open("wb") as target:
            for _number in range(pieces):
                piece = os.urandom(MIB)
                digest.update(piece)
                target.write(piece)
        return LargeFile(path, pieces * MIB, digest.hexdigest())

    def empty_folder(self, name: str) -> Path:
        """Create an empty folder."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    # Timing

    @staticmethod
    def seconds(work: Callable[[], object]) -> float:
        """Wall time of some work; earlier writes are flushed to disk first."""
        os.sync()
        since = time.monotonic()
        work()
        return time.monotonic() - since

    def transfer(self, **options: Any) -> tuple[dict[str, Any], float]:
        """Run the module in its own process; returns its result and its peak memory in MiB."""
        given = login_options(self.lab, self.lab.systems[0], GATEWAY, **options)
        process = start_module("activelogic_backup_transfer", given, {"HOME": str(self.folder)}, hurry=False)
        deadline, peak = time.monotonic() + LIMIT, 0
        try:
            while process.poll() is None:
                peak = max(peak, most_memory(process.pid))
                if time.monotonic() > deadline:
                    raise BenchError(f"the module took longer than {LIMIT} s")
                time.sleep(LOOK_SECONDS)
        finally:
            process.kill()
            output, _none = process.communicate()
        if process.returncode != 0:
            raise BenchError(f"the module failed: {output}")
        result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return result, peak / MIB

    def ansible(self, hosts: list[str], module: str, options: Mapping[str, Any], forks: int = 5) -> Run:
        """Run a module as a user does, with the command ``ansible``."""
        self.runner.hosts = tuple(hosts)
        command = ["ansible", "all", "-i", self.runner.inventory(), "-f", str(forks), "-m", module]
        command += ["-a", json.dumps(options)] if options else []
        return succeeded(self.runner.run(command))

    def shell(self, script: str, digest: str, file: Path, name: str) -> None:
        """Run one of the shell scripts in this folder, which use curl."""
        login = self.folder / "login"
        login.touch(mode=0o600)
        login.write_text(f'user = "{self.lab.username}:{self.lab.password}"\n', encoding="utf-8")
        environment = {
            "PATH": os.environ["PATH"],
            "CA": str(self.lab.ca_path),
            "LOGIN": str(login),
            "SYSTEM": f"{self.lab.url}/v1/systems/{self.lab.systems[0]}",
            "DIGEST": digest,
            "FILE": str(file),
            "NAME": name,
        }
        done = subprocess.run(
            ["sh", str(HERE / script)], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise BenchError(f"{script} failed: {done.stdout}")


def most_memory(pid: int) -> int:
    """Peak memory (VmHWM) of a process in bytes; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def require(condition: bool, said: str) -> None:
    """:raises BenchError: when the work was not done properly, which makes its time meaningless."""
    if not condition:
        raise BenchError(said)
