# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Benchmark the modules against the obvious alternatives and print a table. Run by ``make bench``."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from tests.bench.listings import listings
from tests.bench.many_systems import SYSTEMS, many_systems
from tests.bench.memory import memory
from tests.bench.rounds import Row, table
from tests.bench.stage import BenchError, Stage
from tests.bench.transfers import fetch, push
from tests.bench.unchanged import unchanged
from tests.harness.lab import Lab, LabError

WORKS = {
    "fetch": fetch,
    "push": push,
    "unchanged": unchanged,
    "memory": memory,
    "info": listings,
    "role": many_systems,
}
ROUNDS = 5
GIB_NEEDED = 10
PROGRAMS = ("curl", "sha256sum")


def main() -> int:
    """Run the command; returns 0 when everything was measured, even if a goal was missed."""
    options = _parser().parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _unwind)
    try:
        _check(options)
        rows = _measure(options)
    except (BenchError, LabError) as error:
        print(f"bench.py: {error}", file=sys.stderr)
        return 1
    if options.scale < 1:
        rows = [replace(row, goal=None) for row in rows]  # the goals apply to the full sizes only
    print(f"\n{_machine()}\n\n{table(rows)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the modules side by side with what else a user could take.")
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"one or more of: {', '.join(WORKS)} (default: all)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all sizes; below 1 there is one round")
    parser.add_argument("--folder", type=Path, required=True, help=f"where {GIB_NEEDED} GiB of disk are free")
    return parser


def _unwind(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _check(options: argparse.Namespace) -> None:
    """:raises BenchError: when a requirement is missing."""
    unknown = sorted(set(options.works) - set(WORKS))
    if unknown:
        raise BenchError(f"{unknown[0]!r} is none of {', '.join(WORKS)}")
    if not 0 < options.scale <= 1:
        raise BenchError("the scale should be above 0 and at most 1")
    missing = [each for each in PROGRAMS if shutil.which(each) is None]
    if missing:
        raise BenchError(f"the program {missing[0]} is needed, and is not installed")
    needed = GIB_NEEDED * options.scale
    free = shutil.disk_usage(options.folder).free / 2**30
    if free < needed:
        raise BenchError(f"{options.folder} has {free:.1f} GiB of disk left, {needed:.1f} are needed")


def _measure(options: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as name:
        folder = Path(name).resolve()
        systems = [f"edge{number + 1}" for number in range(SYSTEMS)]
        with Lab(folder / "lab", systems) as lab:
            stage = Stage(lab, folder, ROUNDS if options.scale == 1 else 1, options.scale, _tell)
            for work in options.works or WORKS:
                _tell(f"{work} (after {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f})")
                rows += WORKS[work](stage)
    _tell(f"all of it took {time.monotonic() - began:.0f} s")
    return rows


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _machine() -> str:
    versions = ", ".join(f"{each} {version(each)}" for each in ("ansible-core", "requests", "urllib3", "uvicorn"))
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} processors, Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    sys.exit(main())
