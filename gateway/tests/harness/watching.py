# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching a gateway during a test: whether it serves other clients, and how much memory it uses."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests

from tests.harness.lab import PASSWORD, Lab

WITHIN = 2.0
"""Seconds within which a healthy system is served, whatever happens to others."""


@contextlib.contextmanager
def served_meanwhile(lab: Lab, system: str) -> Iterator[None]:
    """Check that a healthy system is served within :data:`WITHIN` throughout the block, more than once.

    Every second request closes its connection, so that the next one opens a new one.
    """
    slow: list[tuple[float, int | str]] = []
    times = 0
    is_over = threading.Event()

    def ask() -> None:
        nonlocal times
        with requests.Session() as session:
            session.verify, session.trust_env = str(lab.folder / "ca.pem"), False
            while not is_over.is_set():
                began = time.monotonic()
                status: int | str
                try:
                    status = session.get(
                        f"{lab.url}/v1/systems/{system}/backups",
                        auth=("admin", PASSWORD),
                        headers={"Connection": "close"} if times % 2 else {},
                        timeout=20,
                    ).status_code
                except requests.RequestException as error:
                    status = repr(error)
                seconds = time.monotonic() - began
                times += 1
                if status != 200 or seconds > WITHIN:
                    slow.append((seconds, status))
                time.sleep(0.05)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        is_over.set()
        asking.join()
    assert slow == [], slow
    assert times > 1, times


def held(process: int) -> int:
    """Memory of a process in bytes, with its share of shared pages (PSS)."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def resident(process: int, field: str = "VmRSS") -> int:
    """Resident memory of a process in bytes, or its peak (``VmHWM``); 0 if it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return 0


class MostMemory(threading.Thread):
    """Records the peak memory over a period.

    :param measure: returns the current memory in bytes.
    """

    def __init__(self, measure: Callable[[], int]) -> None:
        super().__init__(daemon=True)
        self._measure = measure
        self._is_over = threading.Event()
        self.most = 0

    def run(self) -> None:
        while not self._is_over.wait(0.03):
            self.most = max(self.most, self._measure())

    def end(self) -> int:
        self._is_over.set()
        self.join()
        return self.most
