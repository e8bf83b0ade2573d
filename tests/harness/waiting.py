# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wait for what happens elsewhere, never without an end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

PAUSE = 0.05
"""Seconds between two looks."""


def until(done: Callable[[], Any], seconds: float = 60, said: str = "") -> None:
    """Wait until something is done.

    :raises AssertionError: with ``said`` when it takes longer than that many seconds.
    """
    for _look in rounds_until(done, seconds, said):
        time.sleep(PAUSE)


def rounds_until(done: Callable[[], Any], seconds: float = 60, said: str = "") -> Iterator[None]:
    """Let the loop that asks go on, without a pause, until something is done.

    :raises AssertionError: with ``said`` when it takes longer than that many seconds.
    """
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, said or f"it took longer than {seconds} s"
        yield
