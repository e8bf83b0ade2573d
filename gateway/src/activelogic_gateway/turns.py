# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may begin when only so many may be at it: in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager


class Turns:
    """Counts those at work under several keys, such as a system and an address; each key has a limit of its own."""

    def __init__(self) -> None:
        self._at_work: Counter[Hashable] = Counter()
        self._waiting: dict[asyncio.Future[None], Mapping[Hashable, int]] = {}

    @asynccontextmanager
    async def turn(self, limits: Mapping[Hashable, int], seconds: float) -> AsyncIterator[None]:
        """Be at work for the time of a block, once there is room under each key.

        :param limits: how many may be at work under each key, this one included.
        :param seconds: how long to wait for it.
        :raises TimeoutError: when there was no room in time.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = limits
        self._let_in()
        try:
            async with asyncio.timeout(seconds):
                await turn
            yield
        finally:
            if self._waiting.pop(turn, None) is None:
                self._at_work.subtract(limits.keys())
                self._at_work += Counter()  # drops what is zero
            self._let_in()

    def _let_in(self) -> None:
        full: set[Hashable] = set()
        for turn, limits in list(self._waiting.items()):
            if not full.isdisjoint(limits) or turn.done():
                continue
            if taken := [key for key, most in limits.items() if self._at_work[key] >= most]:
                full.update(taken)  # those behind it that need the same wait, too
                continue
            del self._waiting[turn]
            self._at_work.update(limits.keys())
            turn.set_result(None)
