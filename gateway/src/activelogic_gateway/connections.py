# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connections there are: so many in all, a share of them for each address, and the longest idle one goes first.

A connection is at work from the end of a request's head to the end of its answer, and idle otherwise: in its handshake,
in the middle of a head, between two requests. A new connection that finds no room takes the place of the one that has
been idle for the longest; where none is idle it waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from .config import Limits
from .logins import place_of
from .logs import AuditLog
from .tls import limit_buffers

logger = logging.getLogger(__name__)

PATIENCE = 0.5
"""Seconds for which an idle connection is left alone: it may be in its handshake, or about to send its next request."""

WAITING = 2
"""How many may wait for a place, for each place that there is; who comes then takes the place of the oldest of them."""

LOOK_SECONDS = 0.1
"""How often those who wait are looked at while nothing else happens."""

AT_ONCE = 100
"""Connections that are accepted before anything else is done."""

REPORT_SECONDS = 1.0
"""How long connections that were refused are counted before the audit log gets a line for each address."""


class Slot:
    """The place of one connection. ``end`` ends it at once; ``idle_since`` is ``None`` while it is at work."""

    def __init__(self, connections: Connections, address: str) -> None:
        self._connections = connections
        self.address = address
        self.share = place_of(address)
        self.idle_since: float | None = time.monotonic()
        self.has_worked = False
        self.end: Callable[[], object] = lambda: None

    def is_idle_since(self, latest: float) -> bool:
        """Whether it has been idle since that moment, or for longer."""
        return self.idle_since is not None and self.idle_since <= latest

    def work(self) -> None:
        """A request has come."""
        self.idle_since = None
        self.has_worked = True

    def rest(self) -> None:
        """It waits for its client."""
        if self.idle_since is None:
            self.idle_since = time.monotonic()
            self._connections.let_in()

    def release(self) -> None:
        """The connection has ended."""
        self._connections.remove(self)


class Connections:
    """All connections, and those that wait for a place.

    :param most: in all, and for one address.
    """

    def __init__(self, most: int, most_per_address: int, audit: AuditLog) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._audit = audit
        self._slots: dict[Slot, None] = {}
        self._counts: Counter[str] = Counter()
        self._waiting: dict[Slot, asyncio.Future[None]] = {}
        self._look: asyncio.TimerHandle | None = None
        self._refused: Counter[str] = Counter()

    async def enter(self, address: str, seconds: float) -> Slot | None:
        """A place for a connection, waited for at most ``seconds``; ``None`` when there is none."""
        slot = Slot(self, address)
        if not self._waiting and self._admit(slot):
            return slot
        if len(self._waiting) >= WAITING * self._most:
            oldest = next(iter(self._waiting))  # which is the least likely to be still wanted
            self._waiting.pop(oldest).cancel()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[slot] = place
        self.let_in()
        try:
            async with asyncio.timeout(seconds):
                await place
        except TimeoutError:
            self.refuse(address)
            return None
        except asyncio.CancelledError:
            if not place.cancelled():  # it is this task that is to end
                raise
            self.refuse(address)
            return None
        finally:
            self._waiting.pop(slot, None)
        return slot if slot in self._slots else None  # it may have lost its place again

    def let_in(self) -> None:
        """Give places to those who wait, in their order; who finds none for its address holds up nobody else."""
        full: set[str] = set()
        for slot, place in list(self._waiting.items()):
            if slot.share in full or place.done():
                continue
            if self._admit(slot):
                place.set_result(None)
            else:
                full.add(slot.share)
        if full and self._look is None:
            self._look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._look = None
        self.let_in()

    def _admit(self, slot: Slot) -> bool:
        is_full_for_address = self._counts[slot.share] >= self._most_per_address
        if is_full_for_address or len(self._slots) >= self._most:
            leaving = self._longest_idle(slot.share if is_full_for_address else None)
            if leaving is None:
                return False
            self._dismiss(leaving)
        slot.idle_since = time.monotonic()
        self._slots[slot] = None
        self._counts[slot.share] += 1
        return True

    def _longest_idle(self, share: str | None) -> Slot | None:
        """The one that has been idle for the longest, of a share, or of the share with the most connections."""
        latest = time.monotonic() - PATIENCE
        idle = [each for each in self._slots if each.is_idle_since(latest) and share in (None, each.share)]
        return min(idle, key=lambda each: (-self._counts[each.share], each.idle_since), default=None)

    def _dismiss(self, slot: Slot) -> None:
        if not slot.has_worked:  # else it was kept only for the next request, which makes a new one
            self.refuse(slot.address)
        self._forget(slot)
        slot.end()

    def _forget(self, slot: Slot) -> bool:
        if slot not in self._slots:
            return False
        del self._slots[slot]
        self._counts[slot.share] -= 1
        if not self._counts[slot.share]:
            del self._counts[slot.share]
        return True

    def remove(self, slot: Slot) -> None:
        """A connection has ended."""
        if self._forget(slot):
            self.let_in()

    def refuse(self, address: str) -> None:
        """Have the audit log say that a connection of this address was ended without an answer."""
        if not self._refused:
            asyncio.get_running_loop().call_later(REPORT_SECONDS, self._report)
        self._refused[address] += 1

    def _report(self) -> None:
        refused, self._refused = self._refused, Counter()
        for address, number in refused.items():
            outcome = {"status": None, "kind": "too_many_connections", "connections": number}
            self._audit.write("refused", client=address, outcome=outcome)


class Listener:
    """Accepts connections, and gives each few seconds for a place and its TLS handshake."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: Callable[[Slot], asyncio.Protocol],
        context: ssl.SSLContext | None,
        limits: Limits,
        audit: AuditLog,
    ) -> None:
        self._sock = sock
        limit_buffers()
        self._protocol = protocol
        self.context = context
        """Of the handshakes to come."""
        self._limits = limits
        self._connections = Connections(limits.connections, limits.connections_per_address, audit)
        self._newcomers: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted = [await loop.sock_accept(self._sock)]
                with contextlib.suppress(OSError):  # no more are there; or it is told the next time
                    while len(accepted) < AT_ONCE:  # of a crowd, before the kernel has to drop some of it
                        accepted.append(self._sock.accept())
            except OSError as error:
                logger.error("a connection can't be accepted: %s", error)
                await asyncio.sleep(0.5)
                continue
            for connection, peer in accepted:
                connection.setblocking(False)
                task = asyncio.create_task(self._take(connection, str(peer[0])))
                self._newcomers.add(task)
                task.add_done_callback(self._newcomers.discard)

    async def _take(self, connection: socket.socket, address: str) -> None:
        slot = None
        try:
            slot = await self._connections.enter(address, self._limits.header_seconds)
            if slot is None:
                connection.close()
                return
            slot.end = self._cancellation()
            await self._shake_hands(connection, slot)
        except (OSError, asyncio.CancelledError):  # a failed handshake; SSLError and TimeoutError are OSErrors
            connection.close()
            if slot is not None:
                slot.release()

    @staticmethod
    def _cancellation() -> Callable[[], object]:
        task = asyncio.current_task()
        return (lambda: None) if task is None else task.cancel

    async def _shake_hands(self, connection: socket.socket, slot: Slot) -> None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        extra: dict[str, Any] = {}
        if self.context is not None:
            extra = {
                "ssl": self.context,
                "ssl_handshake_timeout": self._limits.header_seconds,
                "ssl_shutdown_timeout": 5.0,
            }
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self._protocol(slot), connection, **extra)

    def close(self) -> None:
        """Accept nothing more."""
        self._task.cancel()
        for task in self._newcomers:
            task.cancel()
        self._sock.close()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""
