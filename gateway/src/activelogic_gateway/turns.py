# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit of concurrency per key, in order of arrival."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager


class Turns:
    """Limits concurrent work under several keys at once, such as a system and an address, each with its own limit."""

    def __init__(self) -> None:
        self._running: Counter[Hashable] = Counter()
        self._waiting: dict[asyncio.Future[None], Mapping[Hashable, int]] = {}

    @asynccontextmanager
    async def turn(self, limits: Mapping[Hashable, int], seconds: float) -> AsyncIterator[None]:
        """Run a ``with`` block once every key is below its limit.

        :param limits: maximum number of concurrent blocks for each key, including this one.
        :param seconds: maximum time to wait.
        :raises TimeoutError: if a limit did not allow the block in time.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = limits
        self._start_waiting()
        try:
            async with asyncio.timeout(seconds):
                await turn
            yield
        finally:
            if self._waiting.pop(turn, None) is None:
                self._running.subtract(limits.keys())
                self._running += Counter()  # drops zero counts
            self._start_waiting()

    def _start_waiting(self) -> None:
        full: set[Hashable] = set()
        for turn, limits in list(self._waiting.items()):
            if not full.isdisjoint(limits) or turn.done():
                continue
            if taken := [key for key, most in limits.items() if self._running[key] >= most]:
                full.update(taken)  # later arrivals for the same key must wait behind it
                continue
            del self._waiting[turn]
            self._running.update(limits.keys())
            turn.set_result(None)
