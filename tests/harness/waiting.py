# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wait for events elsewhere, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PAUSE = 0.05
"""Polling interval, in seconds."""


def until(done: Callable[[], Any], seconds: float = 60, said: str = "") -> None:
    """Poll until ``done`` returns something true.

    :raises AssertionError: with the text ``said``, after ``seconds``.
    """
    for _look in rounds_until(done, seconds, said):
        time.sleep(PAUSE)


def rounds_until(done: Callable[[], Any], seconds: float = 60, said: str = "") -> Iterator[None]:
    """Yield until ``done`` returns something true; the caller's loop does the pausing.

    :raises AssertionError: with the text ``said``, after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, said or f"it took longer than {seconds} s"
        yield


def has_ended(pid: int) -> bool:
    """Whether a process has ended, including one that nobody has waited for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in ("Z", "X")
