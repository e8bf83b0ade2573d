# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The moment at which something has to be over, and the option that set it. Private to this collection."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """A moment that lies ``seconds`` after this object was made.

    :param option: the option that holds the seconds, for messages.
    :param seconds: how long it may take.
    :param clock: seconds since any fixed moment; tests have their own.
    """

    def __init__(self, option: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.option = option
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds that are left; zero or less when it is over."""
        return self._end - self._clock()

    def is_over(self) -> bool:
        """Whether the moment has come."""
        return self.left() <= 0
