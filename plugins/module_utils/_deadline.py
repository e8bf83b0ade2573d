# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A deadline, and the option that sets it. Private to this collection."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """A moment ``seconds`` after this object is made.

    :param option: the option that sets the time limit, for messages.
    :param seconds: the time limit.
    :param clock: returns seconds since any fixed moment; tests pass their own.
    """

    def __init__(self, option: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.option = option
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds left; zero or less when the deadline has passed."""
        return self._end - self._clock()

    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.left() <= 0
